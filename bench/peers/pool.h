/* SPDX-License-Identifier: MIT */
/*
 * The allocator of all peers that have none of their own: blocks of one size from a free list over
 * 2 MiB chunks advised to huge pages. It suits best the trees that one thread changes at a time: no
 * header, no lock, the block freed last is the next one taken, and few TLB misses. A block larger
 * than half a cache line, but not larger than one, has a line to itself. Chunks are kept for ever.
 */
#ifndef BENCH_POOL_H
#define BENCH_POOL_H

#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

#define POOL_CHUNK ((size_t)2 << 20)
#define POOL_LINE 64

struct pool_block {
	struct pool_block *next;
};

struct pool {
	struct pool_block *free;
	char *at, *end; /* the unused rest of the newest chunk */
	size_t live;    /* bytes handed out */
};

/* The memory that a block of @size bytes takes. */
static inline size_t pool_size(size_t size)
{
	const size_t unit = size > POOL_LINE / 2 && size < POOL_LINE ? POOL_LINE : 16;

	return (size + unit - 1) / unit * unit;
}

static inline void *pool_cut(struct pool *p, size_t size)
{
	if (p->at == p->end) {
		char *chunk = (char *)aligned_alloc(POOL_CHUNK, POOL_CHUNK);

		if (!chunk)
			return NULL;
		madvise(chunk, POOL_CHUNK, MADV_HUGEPAGE);
		p->at = chunk;
		p->end = chunk + POOL_CHUNK / size * size;
	}
	p->at += size;
	return p->at - size;
}

/* @size comes from pool_size(), and is always the same for one pool. NULL: no memory. */
static inline void *pool_take(struct pool *p, size_t size)
{
	struct pool_block *block = p->free;

	p->live += size;
	if (!block)
		return pool_cut(p, size);
	p->free = block->next;
	return block;
}

static inline void pool_give(struct pool *p, void *at, size_t size)
{
	struct pool_block *block = (struct pool_block *)at;

	p->live -= size;
	block->next = p->free;
	p->free = block;
}

#endif
