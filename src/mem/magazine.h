/* SPDX-License-Identifier: MIT */
/*
 * Magazines: a few free nodes that belong to one thread, so that taking and giving needs neither a
 * lock nor an atomic instruction, and does not touch the node.
 *
 * They are arrays inside the arena, SMR_MAGS of them, which threads claim as they come. Claiming
 * one needs no memory, unless a program has so many thread-specific keys that pthread_setspecific()
 * does; then a thread that may not block gets none. A thread that gets none works on the arena
 * itself, under its lock. A thread finds its own magazine by the arena's id in a small table in
 * thread-local storage. Ids are never reused, so a table entry of an arena that is gone matches
 * nothing and needs no cleaning up.
 */
#ifndef SMR_MEM_MAGAZINE_H
#define SMR_MEM_MAGAZINE_H

#include "base/atomic.h"
#include "base/base.h"
#include "mem/nodes.h"

#define SMR_MAG_NODES 32
#define SMR_MAGS 64
#define SMR_MAG_SLOTS 8

/* Written by the owner only; others read the figures, for statistics. */
struct smr_mag {
	unsigned int nr;           /* GUARD relaxed */
	unsigned long taken;       /* GUARD relaxed: nodes ever handed out */
	void *node[SMR_MAG_NODES]; /* GUARD owner */
} smr_aligned(SMR_CACHE_LINE);

struct smr_mag_slot {
	unsigned long id; /* of the arena; 0: none */
	struct smr_mag *mag;
};

extern smr_thread_local struct smr_mag_slot smri_mag_slots[SMR_MAG_SLOTS]
	__attribute__((visibility("hidden")));

/* Returns the calling thread's magazine of the arena with @id, or NULL. */
smr_inline struct smr_mag *smri_mag_find(unsigned long id)
{
	const struct smr_mag_slot *slot = &smri_mag_slots[id % SMR_MAG_SLOTS];

	return smr_likely(slot->id == id) ? slot->mag : NULL;
}

/* Adds to a figure that only the calling thread writes. */
smr_inline void smri_mag_count(unsigned long *figure, unsigned long nr)
{
	smr_store(figure, smr_load(figure, RELAXED) + nr, RELAXED);
}

/* Returns NULL if @mag is empty. CONTEXT: the owner. */
smr_inline void *smri_mag_pop(struct smr_mag *mag)
{
	unsigned int nr = smr_load(&mag->nr, RELAXED);
	void *node;

	if (smr_unlikely(nr == 0))
		return NULL;
	node = mag->node[nr - 1];
	smr_store(&mag->nr, nr - 1, RELAXED);
	smri_node_unpoison(node);
	return node;
}

/* Returns false if @mag is full. CONTEXT: the owner. */
smr_inline bool smri_mag_push(struct smr_mag *mag, void *node)
{
	unsigned int nr = smr_load(&mag->nr, RELAXED);

	if (smr_unlikely(nr == SMR_MAG_NODES))
		return false;
	smri_node_poison(node);
	mag->node[nr] = node;
	smr_store(&mag->nr, nr + 1, RELAXED);
	return true;
}

#endif
