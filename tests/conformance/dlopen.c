/* SPDX-License-Identifier: MIT */
/*
 * A library with the checker can be loaded late, by a program that does not know of it. It watches
 * threads that already exist and threads that start later. Usage: dlopen LIBRARY
 */
#include "support/cm.h"

#include <dlfcn.h>
#include <pthread.h>
#include <samara/lockcheck.h>
#include <samara/maple_tree.h>
#include <semaphore.h>
#include <string.h>

static const char *path;
static sem_t loaded;
static unsigned int reports;
/*
 * An entry that is an address: xa_mk_value() may need a symbol of the library, which is not linked.
 */
static int record;

static void (*init)(struct maple_tree *mt, unsigned int flags);
static int (*store)(struct maple_tree *mt, unsigned long first, unsigned long last, void *entry,
		    gfp_t gfp);
static void *(*load)(struct maple_tree *mt, unsigned long index);
static void (*destroy)(struct maple_tree *mt);
static void (*acquire)(struct mt_lock *lock);
static void (*release)(struct mt_lock *lock);
static bool (*enabled)(void);
static void (*set_handler)(void (*fn)(const struct lockcheck_report *report, void *arg), void *arg);

static void find(void *library, const char *name, void *function)
{
	void *symbol = dlsym(library, name);

	assert_non_null(symbol);
	memcpy(function, &symbol, sizeof(symbol));
}

static void note(const struct lockcheck_report *report, void *arg)
{
	(void)arg;
	if (report->rule == LOCKCHECK_LOCK_RECURSION)
		reports++;
}

static void *use(void *arg)
{
	struct maple_tree mt;

	(void)arg;
	sem_wait(&loaded);
	init(&mt, 0);
	assert_int_equal(store(&mt, 5, 9, &record, GFP_KERNEL), 0);
	assert_ptr_equal(load(&mt, 7), &record);
	destroy(&mt);
	set_handler(note, NULL); /* also forgets which places have been reported */
	acquire(&mt.ma_lock);
	acquire(&mt.ma_lock);
	release(&mt.ma_lock);
	release(&mt.ma_lock);
	return NULL;
}

static void loads_and_watches(void **state)
{
	pthread_t thread;
	void *library;

	(void)state;
	sem_init(&loaded, 0, 0);
	assert_int_equal(pthread_create(&thread, NULL, use, NULL), 0);
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		fail_msg("%s", dlerror());
	find(library, "mt_init_flags", &init);
	find(library, "mtree_store_range", &store);
	find(library, "mtree_load", &load);
	find(library, "mtree_destroy", &destroy);
	find(library, "mt_lock_acquire", &acquire);
	find(library, "mt_lock_release", &release);
	find(library, "lockcheck_enabled", &enabled);
	find(library, "lockcheck_set_handler", &set_handler);
	assert_true(enabled());
	sem_post(&loaded);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(reports, 1);
	sem_post(&loaded);
	assert_int_equal(pthread_create(&thread, NULL, use, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(reports, 2);
	sem_post(&loaded);
	use(NULL);
	assert_int_equal(reports, 3);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loads_and_watches),
	};

	if (argc != 2)
		return 99;
	path = argv[1];
	return cmocka_run_group_tests_name("dlopen", tests, NULL, NULL);
}
