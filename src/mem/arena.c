/* SPDX-License-Identifier: MIT */
#include "mem/arena.h"
#include "base/hooks.h"
#include "lock/check.h"
#include "lock/mutex.h"
#include "mem/mem_internal.h"
#include "mem/refill.h"
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#ifdef SMR_DEBUG
#include <stdio.h>
#endif

static void *map_anonymous(void *ctx, size_t size, size_t align);
static void unmap_anonymous(void *ctx, void *chunk, size_t size);

#define ANONYMOUS                                    \
	{                                            \
		map_anonymous, unmap_anonymous, NULL \
	}

static struct smr_notes default_notes[SMR_RCU_FLAVORS];

#define LIMBO(flavor) [flavor] = SMR_LIMBO(&smri_mem_default, &default_notes[flavor])

struct mt_mem smri_mem_default = {
	.lock = SMR_LOCK_INIT(ARENA),
	.id = 1,
	.ops = ANONYMOUS,
	.limit = ULONG_MAX,
	.reserve_size = SMR_RESERVE_DEFAULT,
	.limbo = { LIMBO(MT_RCU_BP), LIMBO(MT_RCU_MEMB), LIMBO(MT_RCU_MB), LIMBO(MT_RCU_QSBR) },
};

static struct mt_lock arenas_lock = SMR_LOCK_INIT(ARENAS);
static unsigned long last_id = 1; /* GUARD arenas_lock */

/*
 * All arenas, hashed by id: a thread that goes from one arena to another looks up the one whose
 * magazine it gives up, and there may be thousands.
 */
#define ARENA_LISTS 1024
static struct mt_mem *arenas[ARENA_LISTS] = { [1] = &smri_mem_default }; /* GUARD arenas_lock */

#define for_each_arena(mem)                                     \
	for (unsigned int list = 0; list < ARENA_LISTS; list++) \
		for ((mem) = arenas[list]; (mem); (mem) = (mem)->next)

void smri_mem_lock_arenas(void)
{
	mt_lock_acquire(&arenas_lock);
}

void smri_mem_unlock_arenas(void)
{
	mt_lock_release(&arenas_lock);
}

struct mt_mem *smri_mem_by_id(unsigned long id)
{
	struct mt_mem *mem;

	for (mem = arenas[id % ARENA_LISTS]; mem; mem = mem->next)
		if (mem->id == id)
			return mem;
	return NULL;
}

/*
 * fork() in a program with threads: the child must find every lock free, and what it protects
 * consistent, so all of them are taken around it. The owner's id in them is then that of the
 * parent's thread, so the child does not release but re-initialises them. What other threads had in
 * their magazines stays there. What they were doing without a lock, getting a chunk or finding out
 * whether it is quiet, ends with them: the child undoes it or completes it.
 */
static void before_fork(void)
{
	struct mt_mem *mem;

	smr_grace_before_fork();
	smr_lock_acquire_unseen(&arenas_lock);
	for_each_arena(mem)
		smr_lock_acquire_unseen(&mem->lock);
}

static void after_fork_parent(void)
{
	struct mt_mem *mem;

	for_each_arena(mem)
		smr_lock_release_unseen(&mem->lock);
	smr_lock_release_unseen(&arenas_lock);
	smr_grace_after_fork_parent();
}

static void after_fork_child(void)
{
	struct mt_mem *mem;

	for_each_arena(mem)
		smr_lock_init(&mem->lock, SMR_RANK_ARENA);
	smr_lock_init(&arenas_lock, SMR_RANK_ARENAS);
	for_each_arena(mem) {
		mem->mapping = 0;
		mem->map_sleepers = 0;
		smri_retire_after_fork(mem);
	}
	smr_grace_after_fork_child();
}

__attribute__((constructor)) static void watch_forks(void)
{
	/* Fails only if there is no memory at start-up; then a fork may find a lock held. */
	(void)pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static void *map_anonymous(void *ctx, size_t size, size_t align)
{
	uintptr_t at, aligned;
	void *area;

	(void)ctx;
	area = mmap(NULL, size + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		return NULL;
	at = (uintptr_t)area;
	aligned = (at + align - 1) & ~(align - 1);
	if (aligned > at)
		munmap(area, aligned - at);
	if (at + align > aligned)
		munmap((void *)(aligned + size), at + align - aligned);
	/* Only advice: a kernel without huge pages refuses it, and all works without them. */
	(void)madvise((void *)aligned, size, MADV_HUGEPAGE);
	return (void *)aligned;
}

static void unmap_anonymous(void *ctx, void *chunk, size_t size)
{
	(void)ctx;
	munmap(chunk, size);
}

static unsigned long limit_in_chunks(size_t limit)
{
	return limit ? limit / MT_CHUNK_SIZE : ULONG_MAX;
}

static void enlist(struct mt_mem *mem)
{
	struct mt_mem **list;

	smri_mem_lock_arenas();
	mem->id = ++last_id;
	list = &arenas[mem->id % ARENA_LISTS];
	mem->pprev = list;
	mem->next = *list;
	if (mem->next)
		mem->next->pprev = &mem->next;
	*list = mem;
	smri_mem_unlock_arenas();
}

static void delist(struct mt_mem *mem)
{
	smri_mem_lock_arenas();
	*mem->pprev = mem->next;
	if (mem->next)
		mem->next->pprev = mem->pprev;
	smri_mem_unlock_arenas();
}

static void free_arena(struct mt_mem *mem)
{
	smri_retire_exit(mem);
	free(mem);
}

struct mt_mem *mt_mem_create(size_t limit, const struct mt_mem_ops *ops)
{
	static const struct mt_mem_ops anonymous = ANONYMOUS;
	struct mt_mem *mem;

	if (limit && limit < MT_CHUNK_SIZE)
		return NULL;
	smr_check_alloc("an arena");
	mem = smr_hook_fail_alloc(true) ? NULL : aligned_alloc(SMR_CACHE_LINE, sizeof(*mem));
	if (!mem)
		return NULL;
	memset(mem, 0, sizeof(*mem));
	smr_lock_init(&mem->lock, SMR_RANK_ARENA);
	mem->ops = ops ? *ops : anonymous;
	mem->limit = limit_in_chunks(limit);
	mem->reserve_size = SMR_RESERVE_DEFAULT;
	if (!smri_retire_init(mem) || smr_mem_fill(mem, 1)) {
		free_arena(mem);
		return NULL;
	}
	enlist(mem);
	return mem;
}

/* In debug builds, reports nodes of @mem that are still in use. */
static void report_leaks(const struct mt_mem *mem)
{
#ifdef SMR_DEBUG
	unsigned long used = mem->chunks * MT_CHUNK_NODES - mem->free;

	if (used)
		fprintf(stderr, "samara: mt_mem_destroy: %lu nodes are still in use\n", used);
#else
	(void)mem;
#endif
}

void mt_mem_destroy(struct mt_mem *mem)
{
	unsigned int i;

	smr_assert(mem != &smri_mem_default);
	smr_check_alloc("an arena");
	smr_check_wait("a grace period");
	if (!smri_retire_wait_idle(mem))
		return;
	/*
	 * From here on other threads' magazines of this arena have no owner: its id is never looked
	 * up again.
	 */
	delist(mem);
	mt_lock_acquire(&mem->lock);
	for (i = 0; i < SMR_MAGS; i++)
		smri_mag_drain(mem, &mem->mag[i], 0);
	/* Nothing needs to be kept any more. */
	mem->reserve_size = mem->pledged = 0;
	report_leaks(mem);
	mt_lock_release(&mem->lock);
	smri_refill_release(mem, 0);
	free_arena(mem);
}

struct mt_mem *mt_mem_default(void)
{
	return &smri_mem_default;
}

void mt_mem_set_limit(struct mt_mem *mem, size_t limit)
{
	mt_lock_acquire(&mem->lock);
	mem->limit = limit_in_chunks(limit);
	mt_lock_release(&mem->lock);
}

int mt_mem_set_reserve(struct mt_mem *mem, unsigned long nodes)
{
	if (nodes > SMR_NODES_MAX)
		return -ENOMEM;
	mt_lock_acquire(&mem->lock);
	mem->reserve_size = nodes;
	mt_lock_release(&mem->lock);
	return smr_mem_fill(mem, 0);
}

void mt_mem_trim(struct mt_mem *mem)
{
	smr_mem_flush_local(mem);
	smr_mem_release_idle(mem);
}

void mt_cache_shrink(void)
{
	mt_mem_trim(&smri_mem_default);
}
