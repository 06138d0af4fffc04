/* SPDX-License-Identifier: MIT */
#include "mem/magazine.h"
#include "mem/mem_internal.h"
#include <pthread.h>

/* glibc keeps the values of so many keys in the thread itself; for later keys it allocates. */
#define KEYS_WITHOUT_MALLOC 32

smr_thread_local struct smr_mag_slot smri_mag_slots[SMR_MAG_SLOTS];

static pthread_once_t exit_once = PTHREAD_ONCE_INIT;
static pthread_key_t exit_key;
static bool exit_key_made;
static smr_thread_local bool exit_ran; /* the destructor has run */

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

void smri_mag_fill(struct mt_mem *mem, struct smr_mag *mag, unsigned long nr)
{
	unsigned long have = smr_load(&mag->nr, RELAXED);
	unsigned long want = nr > SMR_MAG_NODES / 2 ? nr : SMR_MAG_NODES / 2;
	unsigned long spare = smri_mem_spare(mem);

	if (nr > SMR_MAG_NODES || have >= want)
		return;
	nr = want - have < spare ? want - have : spare;
	while (nr--)
		smri_mag_push(mag, smri_slab_pop(mem));
}

/*
 * Gives the magazine of @slot back to its arena, if that still exists. CONTEXT: HOLDS arenas.
 */
static void release_slot(struct smr_mag_slot *slot)
{
	struct mt_mem *mem = smri_mem_by_id(slot->id);

	if (mem) {
		mt_lock_acquire(&mem->lock);
		smri_mag_drain(mem, slot->mag, 0);
		mem->mags_used &= ~(1UL << (slot->mag - mem->mag));
		mt_lock_release(&mem->lock);
	}
	slot->id = 0;
	slot->mag = NULL;
}

static void release_all(void *unused)
{
	unsigned int i;

	(void)unused;
	exit_ran = true;
	smri_mem_lock_arenas();
	for (i = 0; i < SMR_MAG_SLOTS; i++)
		release_slot(&smri_mag_slots[i]);
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
	if (exit_ran)
		return false;
	pthread_once(&exit_once, make_exit_key);
	if (!exit_key_made)
		return false;
	if (pthread_getspecific(exit_key))
		return true;
	if (exit_key >= KEYS_WITHOUT_MALLOC && !may_block)
		return false;
	return pthread_setspecific(exit_key, smri_mag_slots) == 0;
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
	struct smr_mag_slot *slot = &smri_mag_slots[mem->id % SMR_MAG_SLOTS];
	struct smr_mag *mag;

	if (slot->id == mem->id)
		return slot->mag;
	if (!watch_exit(may_block))
		return NULL;
	mag = claim(mem);
	if (!mag)
		return NULL;
	if (slot->id) {
		smri_mem_lock_arenas();
		release_slot(slot);
		smri_mem_unlock_arenas();
	}
	slot->id = mem->id;
	slot->mag = mag;
	return mag;
}

unsigned long smri_mag_nodes(const struct mt_mem *mem)
{
	unsigned long nr = 0;

	for (unsigned int i = 0; i < SMR_MAGS; i++)
		nr += smr_load(&mem->mag[i].nr, RELAXED);
	return nr;
}
