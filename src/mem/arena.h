/* SPDX-License-Identifier: MIT */
/*
 * The arena, struct mt_mem, which nodes come from. Only src/mem uses its fields; it is defined here
 * for the inlines of take.h.
 *
 * Where the nodes of an arena are:
 *
 *	chunks ----- free: in lists or never used yet (slab.c), the last reserve_size of them kept
 *	  |                for GFP_ATOMIC: the emergency reserve is a number, not a set of nodes
 *	  +--------- free: in a thread's magazine (magazine.c)
 *	  +--------- in limbo: retired, but a reader may still be on them (retire.c)
 *	  +--------- used: all others, in trees or taken for stores
 */
#ifndef SMR_MEM_ARENA_H
#define SMR_MEM_ARENA_H

#include "base/rcu.h"
#include "mem/magazine.h"
#include <samara/lock.h>
#include <samara/maple_tree.h>

/* A chunk's class says how many free nodes it has: 0, 1, 2-3, 4-7, ..., 2048-4094, all. */
#define SMR_CHUNK_CLASSES 14
#define SMR_CHUNK_FULL 0
#define SMR_CHUNK_IDLE (SMR_CHUNK_CLASSES - 1)

#define SMR_RESERVE_DEFAULT 64

/*
 * How many addresses are noted: enough for all nodes in limbo even if a grace period takes 20 ms,
 * as it does now and then (liburcu sleeps for 10 at a time). Notes that are never written take no
 * memory.
 */
#define SMR_NOTES 65536

/*
 * The addresses of the nodes in limbo, the oldest first: hints for prefetching. The nodes are a
 * linked list, and following each link may be a cache miss. Note 0 is that of the first node
 * retired after limbo was last empty: where limbo is often empty, only a few pages are ever
 * written.
 */
struct smr_notes {
	void *node[SMR_NOTES]; /* GUARD relaxed */
};

/* The nodes in limbo up to and including one of them. */
struct smr_limbo_part {
	void *last;       /* meaningless once `freed` has reached nr */
	unsigned long nr; /* `retired` when it was the last */
};

/* Retired nodes of one arena and one flavour; retire.c explains. */
struct smr_limbo {
	void *oldest, *newest; /* GUARD lock: ends of the linked list; NULL if empty */
	unsigned long retired; /* GUARD writes: lock; reads: relaxed: nodes, ever */
	unsigned long freed;   /* GUARD lock: how many of these are free again */
	bool called;           /* GUARD lock: the callback rcu is on its way */
	bool busy; /* GUARD lock: a thread is looking for what may be freed, or freeing it */
	struct smr_nodes hand;       /* GUARD writes: lock; reads: busy: dequeued, not free yet */
	unsigned long noted_from;    /* GUARD writes: lock; reads: relaxed: retired before note 0 */
	unsigned int failed_looks;   /* GUARD lock: consecutive ones */
	struct smr_limbo_part batch; /* GUARD lock: what rcu will free */
	struct smr_rcu_head rcu;     /* GUARD called: its setter, then the callback */

	/* GUARD writes: lock; reads: relaxed: the next look is due when `retired` passes this. */
	unsigned long look_due;
	unsigned long stride; /* GUARD lock: nodes from one look to the next */
	uint64_t last_look;   /* GUARD busy: when the last look ended */

	unsigned int event;    /* GUARD writes: lock; the futex */
	unsigned int sleepers; /* GUARD lock: threads waiting on it */

	struct mt_mem *mem;      /* constant */
	struct smr_notes *notes; /* constant */
} smr_aligned(SMR_CACHE_LINE);

/* Nodes from one look to the next, at least. */
#define SMR_STRIDE_MIN 256

/*
 * After this many consecutive looks in vain, nothing relies on the next one to free anything. An
 * arena begins as if there had been that many.
 */
#define SMR_FAILED_LOOKS 2

#define SMR_LIMBO(mem_, notes_)                                                     \
	{                                                                           \
		.mem = (mem_), .notes = (notes_), .failed_looks = SMR_FAILED_LOOKS, \
		.look_due = SMR_STRIDE_MIN, .stride = SMR_STRIDE_MIN,               \
	}

struct mt_mem {
	unsigned long id;             /* constant, never used twice */
	struct mt_mem_ops ops;        /* constant */
	struct mt_mem *next, **pprev; /* GUARD arenas lock: its list among those of all arenas */

	struct mt_lock lock smr_aligned(SMR_CACHE_LINE); /* RANK arena */
	struct smr_chunk *chunk[SMR_CHUNK_CLASSES];      /* GUARD lock: lists */
	unsigned int classes;       /* GUARD lock: bit set: that list is not empty */
	unsigned long chunks;       /* GUARD lock */
	unsigned long mapping;      /* GUARD lock: chunks being got or given back right now */
	unsigned int map_event;     /* GUARD writes: lock; the futex: how many have ended */
	unsigned int map_sleepers;  /* GUARD lock: threads waiting on it */
	unsigned long limit;        /* GUARD lock: in chunks; ULONG_MAX: none */
	unsigned long idle;         /* GUARD lock: chunks without a used node */
	unsigned int warm_batches;  /* GUARD lock: batches until chunks got lately may be freed */
	struct smr_bundle *ready;   /* GUARD lock: free nodes not yet sorted into their chunks */
	unsigned long ready_nr;     /* GUARD lock */
	unsigned long free;         /* GUARD lock: nodes in chunks, and ready */
	unsigned long reserve_size; /* GUARD lock */
	unsigned long pledged;      /* GUARD lock: pledge.h */
	unsigned long lent;         /* GUARD lock: pledge.h */
	unsigned long mags_used;    /* GUARD lock: bit set: that magazine has an owner */
	unsigned long taken;        /* GUARD lock: nodes not counted by a magazine */
	unsigned long atomic_taken; /* GUARD lock */
	unsigned long failed;       /* GUARD lock */
	unsigned long batches;      /* GUARD lock: that have come back from limbo */

	struct smr_limbo limbo[SMR_RCU_FLAVORS];
	struct smr_mag mag[SMR_MAGS];
};

_Static_assert(SMR_MAGS <= 8 * sizeof(unsigned long), "one bit per magazine");

extern struct mt_mem smri_mem_default __attribute__((visibility("hidden")));

/* Returns the arena that @mt takes its nodes from. */
smr_inline struct mt_mem *smr_mem_of(const struct maple_tree *mt)
{
	return mt->ma_mem ? mt->ma_mem : &smri_mem_default;
}

/* Returns the calling thread's magazine of @mem, or NULL. */
smr_inline struct smr_mag *smri_mag_mine(const struct mt_mem *mem)
{
	return smri_mag_find(mem->id);
}

#endif
