/* SPDX-License-Identifier: MIT */
/*
 * Where the memory of trees comes from. An arena (struct mt_mem) hands out tree nodes, all of
 * MT_NODE_SIZE bytes, cut from chunks of MT_CHUNK_SIZE. Every tree belongs to one arena: the
 * default one, unless mt_set_mem() says otherwise. Trees may share an arena.
 *
 * At any moment each node of an arena is in a tree, waiting for a grace period, free, in the
 * emergency reserve, owned by a cursor (preallocated), or kept for holders of credits
 * (credits.h). What a caller's gfp allows:
 *
 *   GFP_KERNEL  free nodes; else a new chunk from the page source, which may block and may fail
 *   GFP_ATOMIC  free nodes; else the emergency reserve; never the C allocator, never a system call
 *   GFP_NOWAIT  free nodes only; never the C allocator, never a system call
 *
 * The exceptions to "no system call" are futexes, since threads wait for each other while the
 * arena's lists change, and retiring a node may wake the library's thread that waits for grace
 * periods; and gettid, once in each thread, when it takes its first lock of the library.
 *
 * Free nodes in another thread's magazine do not count as free for this thread.
 */
#ifndef SAMARA_MEM_H
#define SAMARA_MEM_H

#include <samara/export.h>
#include <stdbool.h>
#include <stddef.h>

MT_BEGIN_DECLS

typedef unsigned int gfp_t;

#define __GFP_HIGH 0x20u
#define __GFP_DIRECT_RECLAIM 0x400u
#define __GFP_KSWAPD_RECLAIM 0x800u
#define __GFP_NOWARN 0x2000u
#define GFP_KERNEL (__GFP_DIRECT_RECLAIM | __GFP_KSWAPD_RECLAIM)
#define GFP_ATOMIC (__GFP_HIGH | __GFP_KSWAPD_RECLAIM)
#define GFP_NOWAIT (__GFP_KSWAPD_RECLAIM)

/* May an allocation with @gfp block (and map memory)? */
static inline bool gfpflags_allow_blocking(gfp_t gfp)
{
	return gfp & __GFP_DIRECT_RECLAIM;
}

#define MT_NODE_SIZE 512UL
#define MT_CHUNK_SIZE (2UL << 20)
/* Nodes that one chunk holds: its first MT_NODE_SIZE bytes are the arena's own. */
#define MT_CHUNK_NODES (MT_CHUNK_SIZE / MT_NODE_SIZE - 1)

struct mt_mem;

/*
 * A page source: how an arena gets and gives back its chunks. Both functions are called from
 * contexts that may block, and from the library's thread that frees after grace periods. They are
 * called with no lock held that others wait for, except a tree's (mas_preallocate(),
 * mas_expected_entries(), mtree_dup() and transactions keep it while they allocate; every store
 * keeps an external one) and one that fork() takes. So they must not fork. They must not use the
 * arena itself, because others wait until they have returned, nor wait for a grace period of any
 * arena, which is that thread's own work. Their stores into a tree of another arena that is at its
 * limit may get -ENOMEM.
 */
struct mt_mem_ops {
	/* @size bytes aligned to @align, zeroed or not, or NULL when there are none. */
	void *(*map)(void *ctx, size_t size, size_t align);
	void (*unmap)(void *ctx, void *chunk, size_t size);
	void *ctx;
};

struct mt_mem_stats {
	size_t bytes_mapped; /* all chunks */
	size_t bytes_limit;  /* SIZE_MAX: none */
	unsigned long chunks;
	unsigned long nodes_used;    /* in trees, or taken for stores */
	unsigned long nodes_free;    /* in chunks and magazines */
	unsigned long nodes_limbo;   /* retired, waiting for a grace period */
	unsigned long nodes_pledged; /* kept for holders of credits, lent ones included */
	unsigned long reserve_size;  /* what the emergency reserve should hold */
	unsigned long reserve_left;  /* what it holds now */
	unsigned long taken;         /* nodes ever handed out */
	unsigned long retired;       /* nodes ever retired through a grace period */
	unsigned long atomic_taken;  /* nodes ever taken from the emergency reserve */
	unsigned long failed;        /* requests ever refused */
	unsigned long grace_periods; /* batches that a grace period gave back */
};

/*
 * A new arena that holds at most @limit bytes of chunks (rounded down to whole ones; 0: no limit).
 * The first chunk is mapped at once. Chunks come from @ops, which is copied (NULL: anonymous memory
 * advised to huge pages). CONTEXT: may block. Returns NULL when out of memory, or when @limit is
 * not 0 and less than MT_CHUNK_SIZE.
 */
MT_API struct mt_mem *mt_mem_create(size_t limit, const struct mt_mem_ops *ops);

/*
 * Waits for all retired nodes, then gives all memory back. No tree may use the arena any more
 * (debug builds report nodes still in use to stderr; their chunks are leaked rather than freed
 * while in use). Not for the default arena. CONTEXT: may block; not inside a read-side section, nor
 * a signalling section (fence.h).
 */
MT_API void mt_mem_destroy(struct mt_mem *mem);

/* The arena of trees that were not given one. */
MT_API struct mt_mem *mt_mem_default(void);

/* Changes the limit; 0: none. Memory already held stays, even if it is more. */
MT_API void mt_mem_set_limit(struct mt_mem *mem, size_t limit);

/*
 * Sets how many nodes the emergency reserve should hold (64 at first) and fills it, which may
 * block. 0, or -ENOMEM: then the size is set but the reserve is short, and every blocking
 * allocation tops it up. (A number larger than any memory holds sets nothing.)
 */
MT_API int mt_mem_set_reserve(struct mt_mem *mem, unsigned long nodes);

/* Reads the figures. Each is exact at some moment during the call, but not all at the same one. */
MT_API void mt_mem_stats(struct mt_mem *mem, struct mt_mem_stats *stats);

/*
 * Waits until every node retired before the call is free again. CONTEXT: blocks for up to two grace
 * periods; not inside a read-side section, nor a signalling section, nor in an RCU callback.
 */
MT_API void mt_mem_barrier(struct mt_mem *mem);

/*
 * Empties the calling thread's magazine and gives back all chunks without a used node, except one.
 * CONTEXT: may block; in a signalling section (fence.h) it gives no chunk back.
 */
MT_API void mt_mem_trim(struct mt_mem *mem);

MT_END_DECLS

#endif
