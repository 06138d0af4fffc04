/* SPDX-License-Identifier: MIT */
/*
 * How to tell the checker of the program's own locks, allocator and sections: a pthread mutex that
 * protects a tree, and a section in which others wait for this thread. Then two mistakes, and what
 * the checker reports. In a library without the checker (lockcheck_enabled() is false) the
 * annotations do nothing and the mistakes go unnoticed.
 */
#include "expect.h"
#include <pthread.h>
#include <samara/lockcheck.h>
#include <samara/maple_tree.h>

static struct lockcheck_class space_class = LOCKCHECK_CLASS("space");
static struct lockcheck_class log_class = LOCKCHECK_CLASS("log");

struct space {
	pthread_mutex_t lock;
	struct maple_tree mt; /* GUARD lock */
};

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

/* Annotated before waiting for the lock, so that a deadlock is reported before it happens. */
static void lock(pthread_mutex_t *mutex, struct lockcheck_class *lock_class)
{
	lockcheck_acquire(mutex, lock_class, 0);
	pthread_mutex_lock(mutex);
}

/* Annotated after trying, and only on success. */
static bool try_lock(pthread_mutex_t *mutex, struct lockcheck_class *lock_class)
{
	if (pthread_mutex_trylock(mutex))
		return false;
	lockcheck_acquire(mutex, lock_class, LOCKCHECK_TRY);
	return true;
}

static void unlock(pthread_mutex_t *mutex)
{
	lockcheck_release(mutex);
	pthread_mutex_unlock(mutex);
}

static void *allocate(size_t size)
{
	lockcheck_alloc("memory"); /* it may block, whether or not it does this time */
	return malloc(size);
}

static int map(struct space *space, unsigned long first, unsigned long last, void *entry)
{
	MA_STATE(mas, &space->mt, first, last);
	int err;

	lock(&space->lock, &space_class);
	err = mas_store_gfp(&mas, entry, GFP_KERNEL);
	unlock(&space->lock);
	return err;
}

/* Prints and counts a report, then lets the program go on. */
static void handle(const struct lockcheck_report *report, void *arg)
{
	unsigned int *reports = arg;

	lockcheck_print(report);
	reports[report->rule]++;
}

/* Takes the locks in the right order: the log's inside the space's. */
static void tell(struct space *space)
{
	lock(&space->lock, &space_class);
	lock(&log_lock, &log_class);
	unlock(&log_lock);
	unlock(&space->lock);
}

/* Takes the space's lock inside the log's: some day two threads will wait for each other. */
static void tell_wrongly(struct space *space)
{
	lock(&log_lock, &log_class);
	lock(&space->lock, &space_class);
	unlock(&space->lock);
	unlock(&log_lock);
}

/*
 * Other threads wait for this section to end, perhaps to free memory, so it must not wait for
 * memory itself.
 */
static void finish(bool wrongly)
{
	lockcheck_section_begin("finishing a job");
	if (wrongly)
		free(allocate(100));
	lockcheck_section_end();
}

int main(void)
{
	struct space space = { .lock = PTHREAD_MUTEX_INITIALIZER,
			       .mt = MTREE_INIT_EXT(space.mt, MT_FLAGS_LOCK_EXTERN, space.lock) };
	unsigned int reports[LOCKCHECK_STALE_CURSOR + 1] = { 0 };
	unsigned int expected = lockcheck_enabled() ? 1 : 0;
	int thing;

	lockcheck_set_handler(handle, reports);
	/* The checker knows which thread holds the lock, so it can check that a writer does. */
	mt_set_external_lock_check(&space.mt, &space.lock, lockcheck_held);
	EXPECT(map(&space, 100, 199, &thing) == 0);
	EXPECT(try_lock(&space.lock, &space_class));
	EXPECT(mtree_load(&space.mt, 150) == &thing);
	unlock(&space.lock);
	tell(&space);
	finish(false);

	tell_wrongly(&space);
	EXPECT(reports[LOCKCHECK_LOCK_ORDER] == expected);
	finish(true);
	EXPECT(reports[LOCKCHECK_ALLOCATION_IN_SECTION] == expected);

	lock(&space.lock, &space_class);
	__mt_destroy(&space.mt);
	unlock(&space.lock);
	return 0;
}
