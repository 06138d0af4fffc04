/* SPDX-License-Identifier: MIT */
/*
 * A tree and a counter that change together, under a lock of the program's own. The library never
 * touches that lock, but is told how to ask whether it is held, so that a debug build can complain.
 */
#include "expect.h"
#include <pthread.h>
#include <samara/maple_tree.h>
#include <stdatomic.h>

struct owned_mutex {
	pthread_mutex_t mutex;
	_Atomic(pthread_t) owner; /* 0: none; readable without the mutex */
};

struct space {
	struct owned_mutex lock;
	struct maple_tree mt;      /* GUARD lock */
	unsigned long keys_mapped; /* GUARD lock */
};

static void lock(struct owned_mutex *m)
{
	pthread_mutex_lock(&m->mutex);
	m->owner = pthread_self();
}

static void unlock(struct owned_mutex *m)
{
	m->owner = 0;
	pthread_mutex_unlock(&m->mutex);
}

/* May be called by any thread at any time. */
static bool held_by_me(void *lock)
{
	struct owned_mutex *m = lock;

	return m->owner == pthread_self();
}

static int map(struct space *space, unsigned long first, unsigned long last, void *entry)
{
	MA_STATE(mas, &space->mt, first, last);
	int err;

	lock(&space->lock);
	err = mas_store_gfp(&mas, entry, GFP_KERNEL); /* may allocate with the lock held */
	if (!err)
		space->keys_mapped += last - first + 1;
	unlock(&space->lock);
	return err;
}

static void *unmap(struct space *space, unsigned long key)
{
	MA_STATE(mas, &space->mt, key, key);
	void *entry;

	lock(&space->lock);
	entry = mas_walk(&mas);
	if (entry) {
		unsigned long keys = mas.last - mas.index + 1;

		entry = mas_erase(&mas); /* NULL: no memory, the entry is still there */
		space->keys_mapped -= entry ? keys : 0;
	}
	unlock(&space->lock);
	return entry;
}

int main(void)
{
	struct space space = {
		.lock.mutex = PTHREAD_MUTEX_INITIALIZER,
		.mt = MTREE_INIT_EXT(space.mt, MT_FLAGS_LOCK_EXTERN, space.lock),
	};
	int a, b;

	mt_set_external_lock_check(&space.mt, &space.lock, held_by_me);
	EXPECT(map(&space, 100, 199, &a) == 0);
	EXPECT(map(&space, 300, 349, &b) == 0);
	EXPECT(space.keys_mapped == 150);
	EXPECT(unmap(&space, 320) == &b);
	EXPECT(space.keys_mapped == 100);

	lock(&space.lock);
	EXPECT(mtree_load(&space.mt, 150) == &a);
	__mt_destroy(&space.mt);
	unlock(&space.lock);
	return 0;
}
