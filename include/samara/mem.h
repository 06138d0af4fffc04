/* SPDX-License-Identifier: MIT */
/*
 * Where the memory of trees comes from. An arena (struct mt_mem) hands out tree nodes, all of
 * MT_NODE_SIZE bytes, cut from chunks of MT_CHUNK_SIZE. Every tree belongs to one arena; unless
 * told otherwise (mt_set_mem()) to the default one. Trees may share an arena.
 *
 * An arena's nodes are, at any moment, either in a tree, or waiting for a grace period, or free, or
 * in the emergency reserve, or promised (preallocated in a cursor), or kept for holders of credits
 * (credits.h). What a caller's gfp allows:
 *
 *   GFP_KERNEL  free nodes; else a new chunk from the page source, which may block and may fail
 *   GFP_ATOMIC  free nodes; else the emergency reserve; never the C allocator, never a system call
 *   GFP_NOWAIT  free nodes only; never the C allocator, never a system call
 *
 * The one exception are futexes: threads wait for each other while the arena's lists change, and
 * what is retired may wake the library's thread that waits for grace periods.
 *
 * Free nodes kept by another thread's magazine do not count as free for this thread.
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
 * A page source: how an arena gets and gives back its chunks. Both are called from contexts that
 * may block, and from the library's thread that frees after grace periods, with no lock held that
 * others wait for, but for a tree's (mas_preallocate(), mas_expected_entries(), mtree_dup() and
 * transactions keep that while they allocate; every store keeps an external one) and one that
 * fork() takes: they must not fork. Nor may they use the arena itself: others wait until they have
 * returned; nor wait for a grace period of any: that is the thread's own work. A store into a tree
 * of another arena that is at its limit may get -ENOMEM.
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
	unsigned long nodes_used;    /* in trees, cursors and promises */
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
 * A new arena holding at most @limit bytes of chunks (rounded down to whole ones; 0: no limit),
 * which come from @ops (NULL: anonymous memory advised to huge pages). @ops is copied. The first
 * chunk is mapped at once. CONTEXT: may block. Returns NULL when out of memory, or when @limit is
 * not 0 and less than MT_CHUNK_SIZE.
 */
MT_API struct mt_mem *mt_mem_create(size_t limit, const struct mt_mem_ops *ops);

/*
 * Waits for all retired nodes, then gives all memory back. No tree may use the arena any more
 * (nodes still in use are reported to stderr in debug builds and their chunks leaked rather than
 * freed under somebody's feet). Not for the default arena. CONTEXT: may block; not inside a
 * read-side section, nor a signalling section (fence.h).
 */
MT_API void mt_mem_destroy(struct mt_mem *mem);

/* The arena of trees that were given none. */
MT_API struct mt_mem *mt_mem_default(void);

/* Changes the limit. Memory held already stays even when it is more. 0: none. */
MT_API void mt_mem_set_limit(struct mt_mem *mem, size_t limit);

/*
 * Sets how many nodes the emergency reserve is to hold (64 at first) and fills it, which may block:
 * 0 or -ENOMEM, then the size is set but the reserve is short; every blocking allocation tops it
 * up. (Of more than any memory holds nothing is set.)
 */
MT_API int mt_mem_set_reserve(struct mt_mem *mem, unsigned long nodes);

/* Reads the figures; they are each exact at some moment of the call, not all at the same. */
MT_API void mt_mem_stats(struct mt_mem *mem, struct mt_mem_stats *stats);

/*
 * Waits until every node retired before the call is free again. CONTEXT: blocks for up to two grace
 * periods; not inside a read-side section, nor a signalling section, nor in an RCU callback.
 */
MT_API void mt_mem_barrier(struct mt_mem *mem);

/*
 * Empties the calling thread's magazine and gives chunks without a used node back, all but one.
 * CONTEXT: may block; in a signalling section (fence.h) it gives no chunk back.
 */
MT_API void mt_mem_trim(struct mt_mem *mem);

MT_END_DECLS

#endif
