/* SPDX-License-Identifier: MIT */
#include "mem/magazine.h"
#include "mem/mem_internal.h"
#include <pthread.h>

/* glibc keeps the values of so many keys in the thread itself; for later keys it allocates. */
#define KEYS_WITHOUT_MALLOC 32

smr_thread_local struct smr_mag_way smri_mag_ways[SMR_MAG_WAYS];

static pthread_once_t exit_once = PTHREAD_ONCE_INIT;
static pthread_key_t exit_key;
static bool exit_key_made;
static smr_thread_local bool ending; /* the destructor has run */

void smri_mag_drain(struct mt_mem *mem, struct smr_mag *mag, unsigned int keep)
{
	unsigned int nr = smr_load(&mag->nr, RELAXED);
	unsigned int drop, i;

	if (nr <= keep)
		return;
	/* The oldest go; the younger ones may still be in the cache. */
	drop = nr - keep;
	for (i = 0; i < drop; i++)
		smri_slab_push(mem, mag->node[i]);
	for (i = 0; i < keep; i++)
		mag->node[i] = mag->node[drop + i];
	smr_store(&mag->nr, keep, RELAXED);
}

void smri_mag_fill(struct mt_mem *mem, struct smr_mag *mag, unsigned int nr)
{
	while (nr--)
		smri_mag_push(mag, smri_slab_pop(mem));
}

/*
 * Gives the magazine of @way back to its arena, if that still exists. CONTEXT: HOLDS arenas.
 */
static void release_way(struct smr_mag_way *way)
{
	struct mt_mem *mem = smri_mem_by_id(way->id);

	if (mem) {
		mt_lock_acquire(&mem->lock);
		smri_mag_drain(mem, way->mag, 0);
		mem->mags_used &= ~(1UL << (way->mag - mem->mag));
		mt_lock_release(&mem->lock);
	}
	way->id = 0;
	way->mag = NULL;
}

static void release_all(void *unused)
{
	unsigned int i;

	(void)unused;
	ending = true;
	smri_mem_lock_arenas();
	for (i = 0; i < SMR_MAG_WAYS; i++)
		release_way(&smri_mag_ways[i]);
	smri_mem_unlock_arenas();
}

static void make_exit_key(void)
{
	exit_key_made = pthread_key_create(&exit_key, release_all) == 0;
}

/*
 * Makes sure that release_all() runs when the thread ends. Returns false if that is not possible,
 * or if it has already run: there might be no round of destructors left for a second time.
 */
static bool watch_exit(bool may_block)
{
	if (ending)
		return false;
	pthread_once(&exit_once, make_exit_key);
	if (!exit_key_made)
		return false;
	if (pthread_getspecific(exit_key))
		return true;
	if (exit_key >= KEYS_WITHOUT_MALLOC && !may_block)
		return false;
	return pthread_setspecific(exit_key, smri_mag_ways) == 0;
}

static struct smr_mag *claim(struct mt_mem *mem)
{
	struct smr_mag *mag = NULL;

	mt_lock_acquire(&mem->lock);
	if (~mem->mags_used) {
		unsigned int i = (unsigned int)__builtin_ctzl(~mem->mags_used);

		mem->mags_used |= 1UL << i;
		mag = &mem->mag[i];
	}
	mt_lock_release(&mem->lock);
	return mag;
}

struct smr_mag *smri_mag_get(struct mt_mem *mem, bool may_block)
{
	struct smr_mag_way *way = &smri_mag_ways[mem->id % SMR_MAG_WAYS];
	struct smr_mag *mag;

	if (way->id == mem->id)
		return way->mag;
	if (!watch_exit(may_block))
		return NULL;
	mag = claim(mem);
	if (!mag)
		return NULL;
	if (way->id) {
		smri_mem_lock_arenas();
		release_way(way);
		smri_mem_unlock_arenas();
	}
	way->id = mem->id;
	way->mag = mag;
	return mag;
}

unsigned long smri_mag_nodes(const struct mt_mem *mem)
{
	unsigned long nr = 0;

	for (unsigned int i = 0; i < SMR_MAGS; i++)
		nr += smr_load(&mem->mag[i].nr, RELAXED);
	return nr;
}
