/* SPDX-License-Identifier: MIT */
/* What the files of src/mem share among themselves. */
#ifndef SMR_MEM_INTERNAL_H
#define SMR_MEM_INTERNAL_H

#include "mem/arena.h"

/* ---- slab.c: chunks. CONTEXT: HOLDS the arena's lock, unless it says otherwise. ---- */

/* Makes @memory a chunk of @mem, all of whose nodes are free. */
void smri_slab_add(struct mt_mem *mem, void *memory);
/*
 * Takes a free node, which there must be: the latest ready one, else one from about the fullest
 * chunk.
 */
void *smri_slab_pop(struct mt_mem *mem);
void smri_slab_push(struct mt_mem *mem, void *node);
/* A list of free nodes, some of which hold the addresses of the others (slab.c). */
struct smr_bundles {
	struct smr_bundle *first, *last;
	unsigned long nr; /* nodes in all */
};

/*
 * Bundles the nodes of @list, which must not be empty and which no reader can see any more, such
 * that the last of the list will be handed out first. @first: the number of the note for the first
 * of them. The link of the last one is not followed. CONTEXT: any.
 */
struct smr_bundles smri_slab_bundle(const struct smr_nodes *list, const struct smr_notes *notes,
				    unsigned long first);
/* Makes the nodes of @bundles free without sorting them into their chunks. */
void smri_slab_push_bundles(struct mt_mem *mem, const struct smr_bundles *bundles);
/* Sorts at most @nr of these into their chunks. Returns false when no such node is left. */
bool smri_slab_sort(struct mt_mem *mem, unsigned int nr);
/* Removes a chunk without a used node from @mem and returns it, or NULL if there is none. */
void *smri_slab_remove_idle(struct mt_mem *mem);

/* ---- take.c ---- */

/* Nodes given back under one hold of the arena's lock, which bounds how long others wait. */
#define SMR_GIVE_BATCH 64

/* ---- arena.c ---- */

/* No memory holds more nodes. */
#define SMR_NODES_MAX (ULONG_MAX / MT_NODE_SIZE)

/*
 * Returns how many of the chunks' free nodes are pledged. CONTEXT, of these four: HOLDS the arena's
 * lock.
 */
static inline unsigned long smri_mem_pledged(const struct mt_mem *mem)
{
	return mem->pledged > mem->lent ? mem->pledged - mem->lent : 0;
}

/* Returns how many free nodes of the chunks are neither pledged nor in the emergency reserve. */
static inline unsigned long smri_mem_spare(const struct mt_mem *mem)
{
	unsigned long kept = mem->reserve_size + smri_mem_pledged(mem);

	return mem->free > kept ? mem->free - kept : 0;
}

/* Returns how many nodes the emergency reserve holds now: it gives way to pledges. */
static inline unsigned long smri_mem_reserve_left(const struct mt_mem *mem)
{
	unsigned long pledged = smri_mem_pledged(mem);
	unsigned long rest = mem->free > pledged ? mem->free - pledged : 0;

	return rest < mem->reserve_size ? rest : mem->reserve_size;
}

/* Returns the number of nodes in limbo, of all flavours. */
static inline unsigned long smri_mem_limbo(const struct mt_mem *mem)
{
	unsigned long nr = 0;

	for (unsigned int i = 0; i < SMR_RCU_FLAVORS; i++)
		nr += mem->limbo[i].retired - mem->limbo[i].freed;
	return nr;
}

/* Lock and unlock the lists of all arenas. CONTEXT: TAKES / HOLDS arenas. */
void smri_mem_lock_arenas(void);
void smri_mem_unlock_arenas(void);
/* Returns the arena with @id, or NULL if it is gone. CONTEXT: HOLDS arenas. */
struct mt_mem *smri_mem_by_id(unsigned long id);

/* ---- magazine.c ---- */

/*
 * Returns the calling thread's magazine of @mem, claiming one if need be. NULL if all have owners,
 * or if nothing would give it back when the thread ends: its destructor has run or cannot be set
 * up, which may have to allocate and then fails unless @may_block. CONTEXT: no lock of src/mem
 * held.
 */
struct smr_mag *smri_mag_get(struct mt_mem *mem, bool may_block);
/* Moves all but @keep nodes of @mag to the chunks. CONTEXT: HOLDS the arena's lock. */
void smri_mag_drain(struct mt_mem *mem, struct smr_mag *mag, unsigned int keep);
/*
 * Fills @mag from the chunks for a request of @nr nodes, unless it cannot hold that many, and for
 * some requests to come, as far as there are spare nodes. CONTEXT: HOLDS the arena's lock.
 */
void smri_mag_fill(struct mt_mem *mem, struct smr_mag *mag, unsigned long nr);
/* Returns how many nodes all magazines hold. Their owners may change that meanwhile. */
unsigned long smri_mag_nodes(const struct mt_mem *mem);

/* ---- refill.c ---- */

/* Gives back chunks without a used node until @keep are left. CONTEXT: SLEEP yes, no lock held. */
void smri_refill_release(struct mt_mem *mem, unsigned long keep);
/*
 * The same after a grace period, for an arena that may be needed again at once. CONTEXT: SLEEP yes,
 * no lock held.
 */
void smri_refill_release_surplus(struct mt_mem *mem);

/* ---- retire.c ---- */

/*
 * What the grace period of nodes just put in limbo needs: that the callback is called, patiently or
 * not, or that the one on its way hurries.
 */
struct smri_grace_request {
	bool calls, patient, hurry;
};

/*
 * Retiring in three steps, for callers that have more to do under the same hold of the arena's
 * lock: smri_retire_note() notes all of @list, which must not be empty, and returns its last node;
 * smri_retire_enqueue(), with the lock held, puts them in limbo; smri_retire_request_grace(), after
 * the lock has been released, starts or hurries their grace period. CONTEXT: any.
 */
void *smri_retire_note(struct mt_mem *mem, enum mt_rcu_flavor flavor, const struct smr_nodes *list);
struct smri_grace_request smri_retire_enqueue(struct smr_limbo *limbo, struct smr_nodes *list,
					      void *last);
void smri_retire_request_grace(struct smr_limbo *limbo, struct smri_grace_request r);

/* Returns false if there is no memory. CONTEXT: ALLOC yes. */
bool smri_retire_init(struct mt_mem *mem);
/* CONTEXT: nothing is in limbo, nor will be. */
void smri_retire_exit(struct mt_mem *mem);
/* Repairs limbo in a child of fork(), where other threads stopped wherever they were. */
void smri_retire_after_fork(struct mt_mem *mem);
/*
 * Starts the thread and the callback for what is in limbo, if a fork() has ended them or there was
 * no memory for the thread. CONTEXT: no lock held. ALLOC yes.
 */
void smri_retire_resume(struct mt_mem *mem);
/*
 * Waits until all nodes have come back and all callbacks have ended. Returns false if the caller
 * would wait for itself, which has been reported. CONTEXT: SLEEP yes, GRACE waits.
 */
bool smri_retire_wait_idle(struct mt_mem *mem);
/*
 * Waits for the nodes now in limbo; only looks if the flavour's thread cannot be started or the
 * caller is such a thread. Returns false if there was nothing to wait for, a look was in vain, or
 * the caller is inside a read-side section of any flavour. CONTEXT: SLEEP yes, GRACE waits.
 */
bool smri_retire_wait(struct mt_mem *mem);

#endif
