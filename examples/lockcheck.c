/* SPDX-License-Identifier: MIT */
/*
 * The program's own locks, allocator and sections, made known to the checker: a pthread mutex that
 * protects a tree, and a section in which others wait for this thread. Then two mistakes, and what
 * the checker says of them. Where the library has none (lockcheck_enabled()) the annotations do
 * nothing, and the mistakes go unseen.
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

/* Before waiting for the lock, so that a deadlock is reported rather than met. */
static void lock(pthread_mutex_t *mutex, struct lockcheck_class *lock_class)
{
	lockcheck_acquire(mutex, lock_class, 0);
	pthread_mutex_lock(mutex);
}

/* After trying: only success counts. */
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
	lockcheck_alloc("memory"); /* it may block, whether it has to this time or not */
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

/* The first report of each kind is enough for this program; then it goes on. */
static void handle(const struct lockcheck_report *report, void *arg)
{
	unsigned int *reports = arg;

	lockcheck_print(report);
	reports[report->rule]++;
}

/* Reports how a space was told: the log inside the space. */
static void tell(struct space *space)
{
	lock(&space->lock, &space_class);
	lock(&log_lock, &log_class);
	unlock(&log_lock);
	unlock(&space->lock);
}

/* And here the space inside the log: one day two threads wait for each other. */
static void tell_wrongly(struct space *space)
{
	lock(&log_lock, &log_class);
	lock(&space->lock, &space_class);
	unlock(&space->lock);
	unlock(&log_lock);
}

/*
 * Others wait for what happens in here, perhaps in order to free memory: it must not wait for
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
	/* The checker knows who holds the lock, so it can say whether a writer does. */
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
