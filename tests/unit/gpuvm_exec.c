/* SPDX-License-Identifier: MIT */
/* Reservation locks: their fences, and transactions that lock many of them. */
#include "support/cm.h"

#include "base/atomic.h"
#include "base/park.h"
#include "fence/fence_internal.h"
#include "support/gpuvm_toy.h"
#include "support/memfault.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>
#include <samara/fence.h>

static struct toy toy;

static void set_up(void)
{
	struct toy_config config = { .range = 0x1000, .external = true };

	assert_int_equal(toy_init(&toy, &config), 0);
}

static void *wait_for_all(void *arg)
{
	assert_int_equal(gpuvm_resv_wait(arg, GPUVM_USAGE_BOOKKEEP, FENCE_FOREVER), 0);
	return NULL;
}

static void until_waited_for(struct fence *f)
{
	while (smr_load(&f->state, RELAXED) != SMRI_FENCE_WAITED)
		sched_yield();
}

/*
 * Fences move up while a thread waits, and more come: it waits for those behind and those before.
 */
static void waited_for_in_any_order(void **state)
{
	static const unsigned int order[] = { 0, 1, 3, 2 };
	struct fence *f[ARRAY_SIZE(order)];
	struct gpuvm_resv resv;
	pthread_t waiter;

	(void)state;
	alarm(100);
	gpuvm_resv_init(&resv);
	for (unsigned int i = 0; i < ARRAY_SIZE(order); i++)
		f[i] = fence_create();
	gpuvm_resv_lock(&resv);
	assert_int_equal(gpuvm_resv_reserve(&resv, 3), 0);
	for (unsigned int i = 0; i < 3; i++)
		gpuvm_resv_add(&resv, f[i], GPUVM_USAGE_BOOKKEEP);
	gpuvm_resv_unlock(&resv);
	assert_int_equal(pthread_create(&waiter, NULL, wait_for_all, &resv), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(order); i++) {
		until_waited_for(f[order[i]]);
		if (i == 1) {
			gpuvm_resv_lock(&resv);
			assert_int_equal(gpuvm_resv_reserve(&resv, 100), 0);
			assert_int_equal(resv.nr, 2);
			gpuvm_resv_add(&resv, f[3], GPUVM_USAGE_BOOKKEEP);
			gpuvm_resv_unlock(&resv);
		}
		fence_signal(f[order[i]]);
	}
	assert_int_equal(pthread_join(waiter, NULL), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(order); i++)
		fence_put(f[i]);
	gpuvm_resv_fini(&resv);
	alarm(0);
}

static void fences(void **state)
{
	struct fence *f[5];
	struct gpuvm_resv resv;

	(void)state;
	gpuvm_resv_init(&resv);
	assert_int_equal(gpuvm_resv_wait(&resv, GPUVM_USAGE_BOOKKEEP, 0), 0);
	gpuvm_resv_lock(&resv);
	assert_true(gpuvm_resv_is_held(&resv));
	memfault_none();
	assert_int_equal(gpuvm_resv_reserve(&resv, 1), -ENOMEM);
	memfault_ok();
	assert_int_equal(gpuvm_resv_reserve(&resv, UINT32_MAX), -ENOMEM);
	/* Promises add up. */
	assert_int_equal(gpuvm_resv_reserve(&resv, 2), 0);
	assert_int_equal(gpuvm_resv_reserve(&resv, 3), 0);
	for (unsigned int i = 0; i < 5; i++) {
		f[i] = fence_create();
		assert_non_null(f[i]);
		gpuvm_resv_add(&resv, f[i], i < 4 ? (enum gpuvm_usage)i : GPUVM_USAGE_READ);
	}
	assert_int_equal(gpuvm_resv_wait(&resv, GPUVM_USAGE_KERNEL, 0), -ETIMEDOUT);
	fence_signal(f[0]);
	assert_int_equal(gpuvm_resv_wait(&resv, GPUVM_USAGE_KERNEL, 0), 0);
	assert_int_equal(gpuvm_resv_wait(&resv, GPUVM_USAGE_WRITE, 1000), -ETIMEDOUT);
	fence_signal(f[1]);
	gpuvm_resv_unlock(&resv);
	assert_int_equal(gpuvm_resv_wait(&resv, GPUVM_USAGE_WRITE, FENCE_FOREVER), 0);
	fence_signal(f[2]);
	assert_int_equal(gpuvm_resv_wait(&resv, GPUVM_USAGE_READ, 0), -ETIMEDOUT);
	fence_signal(f[4]);
	assert_int_equal(gpuvm_resv_wait(&resv, GPUVM_USAGE_READ, 0), 0);
	assert_int_equal(gpuvm_resv_wait(&resv, GPUVM_USAGE_BOOKKEEP, 0), -ETIMEDOUT);
	/* Signalled fences make room. */
	assert_true(gpuvm_resv_trylock(&resv));
	memfault_none();
	assert_int_equal(gpuvm_resv_reserve(&resv, 4), 0);
	memfault_ok();
	assert_int_equal(resv.nr, 1);
	gpuvm_resv_unlock(&resv);
	gpuvm_resv_fini(&resv);
	for (unsigned int i = 0; i < 5; i++)
		fence_put(f[i]);
}

/* Spare room beyond what is asked for is optional. */
static void the_last_slots_need_no_memory(void **state)
{
	struct fence *f = fence_create();
	struct gpuvm_resv resv;

	(void)state;
	gpuvm_resv_init(&resv);
	gpuvm_resv_lock(&resv);
	assert_int_equal(gpuvm_resv_reserve(&resv, 1), 0);
	gpuvm_resv_add(&resv, f, GPUVM_USAGE_READ);
	fence_signal(f);
	memfault_none();
	assert_int_equal(gpuvm_resv_reserve(&resv, resv.room), 0);
	assert_int_equal(gpuvm_resv_reserve(&resv, 1), -ENOMEM);
	memfault_ok();
	assert_int_equal(resv.reserved, resv.room);
	gpuvm_resv_unlock(&resv);
	gpuvm_resv_fini(&resv);
	fence_put(f);
}

/* Fences that take turns: there is always one to wait for. */
struct turns {
	struct gpuvm_resv resv;
	struct fence *f;
	int result;
	bool done;
};

enum { TIMEOUT_NS = 200000000 };

static void next_turn(struct turns *t)
{
	struct fence *f = fence_create(), *before = t->f;

	assert_non_null(f);
	gpuvm_resv_lock(&t->resv);
	assert_int_equal(gpuvm_resv_reserve(&t->resv, 1), 0);
	gpuvm_resv_add(&t->resv, f, GPUVM_USAGE_READ);
	gpuvm_resv_unlock(&t->resv);
	t->f = f;
	if (!before)
		return;
	fence_signal(before);
	fence_put(before);
}

static void *wait_for_turns(void *arg)
{
	struct turns *t = arg;

	t->result = gpuvm_resv_wait(&t->resv, GPUVM_USAGE_READ, TIMEOUT_NS);
	__atomic_store_n(&t->done, true, __ATOMIC_RELEASE);
	return NULL;
}

/*
 * The timeout covers all fences together. If each had its own, the wait would go on as long as new
 * ones come, and then find none left.
 */
static void many_fences_share_a_timeout(void **state)
{
	uint64_t end = smr_now() + 300 * (uint64_t)TIMEOUT_NS;
	struct turns t = { .f = NULL };
	pthread_t thread;

	(void)state;
	gpuvm_resv_init(&t.resv);
	next_turn(&t);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_turns, &t), 0);
	while (!__atomic_load_n(&t.done, __ATOMIC_ACQUIRE) && smr_now() < end)
		next_turn(&t);
	fence_signal(t.f);
	pthread_join(thread, NULL);
	assert_int_equal(t.result, -ETIMEDOUT);
	fence_put(t.f);
	gpuvm_resv_fini(&t.resv);
}

static int lock_more(struct gpuvm_exec *exec)
{
	return gpuvm_exec_prepare_obj(exec, exec->extra.priv, exec->num_fences);
}

static int refuse(struct gpuvm_exec *exec)
{
	(void)exec;
	return -EXDEV;
}

/* Mappings of two external objects, one of which is mapped twice, and one without an object. */
static void set_up_mapped(void)
{
	set_up();
	gpuvm_lock(&toy.vm);
	assert_int_equal(toy_insert(&toy, 0, 8, 0, 0), 0);
	assert_int_equal(toy_insert(&toy, 8, 8, 1, 0), 0);
	assert_int_equal(toy_insert(&toy, 16, 8, 0, 0), 0);
	assert_int_equal(toy_insert(&toy, 24, 8, -1, 0), 0);
	gpuvm_unlock(&toy.vm);
}

/* Locks the VM and its two external objects, with two slots each. */
static void transactions(void **state)
{
	struct gpuvm_exec exec = { .vm = &toy.vm, .num_fences = 2 };
	struct fence *f = fence_create();

	(void)state;
	set_up_mapped();
	assert_int_equal(gpuvm_exec_lock(&exec), 0);
	assert_int_equal(exec.nr, 3);
	assert_true(gpuvm_resv_held(&toy.vm));
	gpuvm_resv_assert_held(&toy.vm);
	assert_int_equal(toy.objs[1].resv->reserved, 2);
	gpuvm_exec_resv_add_fence(&exec, f, GPUVM_USAGE_BOOKKEEP, GPUVM_USAGE_WRITE);
	assert_int_equal(toy.objs[0].resv->fence[0].usage, GPUVM_USAGE_WRITE);
	assert_int_equal(toy.r_obj.resv->fence[0].usage, GPUVM_USAGE_BOOKKEEP);
	gpuvm_exec_unlock(&exec);
	assert_false(gpuvm_resv_held(&toy.vm));
	fence_signal(f);
	fence_put(f);
	for (unsigned int n = 1;; n++) {
		int err;

		memfault_nth(n);
		err = gpuvm_exec_lock(&exec);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_false(gpuvm_resv_held(&toy.vm));
	}
	memfault_ok();
	gpuvm_exec_unlock(&exec);
	assert_true(toy_destroy(&toy));
}

/* More objects than fit at first; then one twice. */
static void objects_named(void **state)
{
	struct gpuvm_exec exec = { .vm = &toy.vm, .num_fences = 2 };
	struct gpuvm_object *objs[TOY_OBJECTS];

	(void)state;
	set_up_mapped();
	for (unsigned int i = 0; i < TOY_OBJECTS; i++)
		objs[i] = &toy.objs[i];
	assert_int_equal(gpuvm_exec_lock_array(&exec, objs + 2, TOY_OBJECTS - 2), 0);
	assert_int_equal(exec.nr, TOY_OBJECTS + 1);
	gpuvm_exec_unlock(&exec);
	assert_int_equal(gpuvm_exec_lock_array(&exec, objs, 1), -EALREADY);
	assert_int_equal(exec.nr, 0);
	exec.flags = GPUVM_EXEC_IGNORE_DUPLICATES;
	assert_int_equal(gpuvm_exec_lock_array(&exec, objs, 1), 0);
	gpuvm_exec_unlock(&exec);
	assert_true(toy_destroy(&toy));
}

static void callbacks(void **state)
{
	struct gpuvm_exec exec = { .vm = &toy.vm, .num_fences = 2 };

	(void)state;
	set_up_mapped();
	exec.extra.fn = lock_more;
	exec.extra.priv = &toy.objs[5];
	assert_int_equal(gpuvm_exec_lock(&exec), 0);
	assert_int_equal(exec.nr, 4);
	gpuvm_exec_unlock(&exec);
	exec.extra.fn = refuse;
	assert_int_equal(gpuvm_exec_lock(&exec), -EXDEV);
	assert_false(gpuvm_resv_held(&toy.vm));
	assert_true(toy_destroy(&toy));
}

/* The objects mapped in a range, without the VM. */
static void mapped_ranges(void **state)
{
	struct gpuvm_exec exec = { .vm = &toy.vm,
				   .num_fences = 2,
				   .flags = GPUVM_EXEC_IGNORE_DUPLICATES };

	(void)state;
	set_up_mapped();
	gpuvm_lock(&toy.vm);
	assert_int_equal(gpuvm_exec_lock_range(&exec, 4, 0), 0);
	assert_int_equal(gpuvm_prepare_range(&toy.vm, &exec, 4, 0, 1), 0);
	assert_int_equal(exec.nr, 0);
	gpuvm_exec_unlock(&exec);
	assert_int_equal(gpuvm_exec_lock_range(&exec, 0, UINT64_MAX), 0);
	assert_int_equal(exec.nr, 2);
	assert_false(gpuvm_resv_held(&toy.vm));
	gpuvm_exec_unlock(&exec);
	exec.flags = 0;
	assert_int_equal(gpuvm_exec_lock_range(&exec, 0, 24), -EALREADY);
	assert_int_equal(gpuvm_exec_lock_range(&exec, 0, 16), 0);
	gpuvm_exec_unlock(&exec);
	gpuvm_unlock(&toy.vm);
	assert_true(toy_destroy(&toy));
}

/* ---- Many objects ---- */

enum { MANY = 20 };

static struct gpuvm_object many[MANY];

static void expect_free(const struct gpuvm_object *objs, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		assert_false(gpuvm_resv_is_held(objs[i].resv));
		assert_int_equal(objs[i].resv->reserved, 0);
		assert_int_equal(objs[i].refs, 1);
	}
}

/* Locked objects are kept in an array that grows; if it cannot, all are unlocked. */
static void as_many_as_one_likes(void **state)
{
	struct gpuvm_exec exec = { .vm = &toy.vm };
	struct gpuvm_object *objs[MANY];
	unsigned int n;
	int err = -ENOMEM;

	(void)state;
	set_up();
	for (unsigned int i = 0; i < MANY; i++) {
		gpuvm_object_init(&many[i], 0, NULL, NULL);
		objs[i] = &many[i];
	}
	for (n = 1; err; n++) {
		memfault_nth(n);
		err = gpuvm_exec_lock_array(&exec, objs, MANY);
		memfault_ok();
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_false(gpuvm_resv_held(&toy.vm));
		expect_free(many, MANY);
	}
	assert_true(n > 3);
	assert_int_equal(exec.nr, 1 + MANY);
	for (unsigned int i = 0; i < MANY; i++)
		assert_true(gpuvm_resv_is_held(many[i].resv));
	gpuvm_exec_unlock(&exec);
	assert_false(gpuvm_resv_held(&toy.vm));
	expect_free(many, MANY);
	for (unsigned int i = 0; i < MANY; i++)
		gpuvm_object_put(&many[i]);
	assert_true(toy_destroy(&toy));
}

/* Pretends that as many are locked as can be counted: there is no room for one more. */
static void no_more_than_can_be_counted(void **state)
{
	struct gpuvm_exec exec = { .vm = &toy.vm };

	(void)state;
	set_up();
	assert_int_equal(gpuvm_exec_lock(&exec), 0);
	exec.nr = exec.room = UINT_MAX / 2 + 1;
	assert_int_equal(gpuvm_exec_prepare_obj(&exec, &toy.objs[0], 1), -ENOMEM);
	assert_int_equal(exec.room, UINT_MAX / 2 + 1);
	assert_false(gpuvm_resv_is_held(toy.objs[0].resv));
	exec.nr = 1;
	gpuvm_exec_unlock(&exec);
	assert_true(toy_destroy(&toy));
}

/* ---- Objects that go with the transaction ---- */

static unsigned int gone, gone_locked;

/* A destructor may take any lock, those of the transaction, too. */
static void count_gone(struct gpuvm_object *obj)
{
	(void)obj;
	gone++;
	gone_locked += gpuvm_resv_held(&toy.vm);
	for (unsigned int i = 0; i < MANY; i++)
		gone_locked += gpuvm_resv_is_held(many[i].resv);
}

static void last_references(void **state)
{
	struct gpuvm_exec exec = { .vm = &toy.vm };
	struct gpuvm_object *objs[MANY];

	(void)state;
	set_up();
	for (unsigned int i = 0; i < MANY; i++) {
		gpuvm_object_init(&many[i], 0, NULL, count_gone);
		objs[i] = &many[i];
	}
	assert_int_equal(gpuvm_exec_lock_array(&exec, objs, MANY), 0);
	for (unsigned int i = 0; i < MANY; i++)
		gpuvm_object_put(&many[i]);
	assert_int_equal(gone, 0);
	gpuvm_exec_unlock(&exec);
	assert_int_equal(gone, MANY);
	assert_int_equal(gone_locked, 0);
	assert_true(toy_destroy(&toy));
}

/* ---- Two VMs at once ---- */

static struct toy other;

static int lock_other(struct gpuvm_exec *exec)
{
	int err = gpuvm_prepare_vm(&other.vm, exec, 3);

	return err ? err : gpuvm_prepare_objects(&other.vm, exec, 1);
}

static void another_vm_too(void **state)
{
	struct toy_config config = { .range = 0x1000, .external = true };
	struct gpuvm_exec exec = { .vm = &toy.vm, .num_fences = 1 };

	(void)state;
	set_up();
	assert_int_equal(toy_init(&other, &config), 0);
	gpuvm_lock(&toy.vm);
	assert_int_equal(toy_insert(&toy, 0, 8, 0, 0), 0);
	gpuvm_unlock(&toy.vm);
	gpuvm_lock(&other.vm);
	assert_int_equal(toy_insert(&other, 0, 8, 2, 0), 0);
	gpuvm_unlock(&other.vm);
	exec.extra.fn = lock_other;
	assert_int_equal(gpuvm_exec_lock(&exec), 0);
	assert_int_equal(exec.nr, 4);
	assert_true(gpuvm_resv_held(&other.vm));
	assert_int_equal(other.r_obj.resv->reserved, 3);
	assert_true(gpuvm_resv_is_held(other.objs[2].resv));
	assert_int_equal(other.objs[2].resv->reserved, 1);
	assert_false(gpuvm_resv_is_held(other.objs[0].resv));
	gpuvm_exec_unlock(&exec);
	assert_false(gpuvm_resv_held(&toy.vm));
	assert_false(gpuvm_resv_held(&other.vm));
	assert_false(gpuvm_resv_is_held(other.objs[2].resv));
	assert_true(toy_destroy(&toy));
	assert_true(toy_destroy(&other));
}

/* ---- Threads lock the same objects in opposite orders ---- */

static struct gpuvm_object shared[4];
static unsigned long counted; /* GUARD all their locks */

struct locker {
	struct gpuvm_exec exec;
	bool backwards;
	pthread_t thread;
};

static void *lock_them(void *arg)
{
	struct locker *l = arg;
	struct gpuvm_object *objs[4];

	for (unsigned int i = 0; i < 4; i++)
		objs[i] = &shared[l->backwards ? 3 - i : i];
	for (unsigned int n = 0; n < 2000; n++) {
		if (gpuvm_exec_lock_array(&l->exec, objs, 4))
			return objs[0];
		counted++;
		gpuvm_exec_unlock(&l->exec);
	}
	return NULL;
}

static void opposite_orders(void **state)
{
	struct toy_config config = { .range = 0x1000 };
	struct locker lockers[3] = {
		{ .exec = { .vm = &toy.vm, .num_fences = 1, .flags = GPUVM_EXEC_INTERRUPTIBLE } },
		{ .exec = { .vm = &toy.vm, .num_fences = 1 }, .backwards = true },
		{ .exec = { .vm = &other.vm }, .backwards = true },
	};
	void *failed;

	(void)state;
	set_up();
	assert_int_equal(toy_init(&other, &config), 0);
	for (unsigned int i = 0; i < 4; i++)
		gpuvm_object_init(&shared[i], 0, NULL, NULL);
	counted = 0;
	for (unsigned int i = 0; i < 3; i++)
		pthread_create(&lockers[i].thread, NULL, lock_them, &lockers[i]);
	for (unsigned int i = 0; i < 3; i++) {
		pthread_join(lockers[i].thread, &failed);
		assert_null(failed);
	}
	assert_int_equal(counted, 6000);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(shared[i].refs, 1);
		gpuvm_object_put(&shared[i]);
	}
	assert_true(toy_destroy(&toy));
	assert_true(toy_destroy(&other));
}

/* ---- An object that was waited for and is not asked for again ---- */

/* The transaction holds its last reference, which must not be dropped while the VM is locked. */
static struct gpuvm_object lost;
static struct gpuvm_bo *lost_pair; /* or NULL: extra.fn asks for it */
static unsigned int lost_gone;
static bool gone_under_lock;
static sem_t lost_taken;

static void lost_free(struct gpuvm_object *obj)
{
	(void)obj;
	lost_gone++;
	gone_under_lock |= gpuvm_resv_held(&toy.vm);
}

/*
 * Holds the object's lock until a thread waits for it, which shows as one more reference. After
 * that nothing asks for the object.
 */
static void *take_away(void *unused)
{
	unsigned int before = lost.refs;

	(void)unused;
	gpuvm_resv_lock(lost.resv);
	sem_post(&lost_taken);
	while (__atomic_load_n(&lost.refs, __ATOMIC_RELAXED) == before)
		usleep(100);
	if (lost_pair) {
		while (!gpuvm_resv_trylock(toy.r_obj.resv))
			usleep(100);
		gpuvm_bo_put(lost_pair);
		gpuvm_resv_unlock(toy.r_obj.resv);
	}
	gpuvm_object_put(&lost);
	gpuvm_resv_unlock(lost.resv);
	return NULL;
}

static int ask_once(struct gpuvm_exec *exec)
{
	bool *asked = exec->extra.priv;

	if (*asked)
		return 0;
	*asked = true;
	return gpuvm_exec_prepare_obj(exec, &lost, exec->num_fences);
}

static void lost_is_let_go_of(unsigned int flags, bool listed)
{
	struct toy_config config = { .range = 0x1000, .flags = flags };
	struct gpuvm_exec exec = { .vm = &toy.vm, .num_fences = 1 };
	struct fence *f = fence_create();
	bool asked = false;
	pthread_t thread;

	assert_int_equal(toy_init(&toy, &config), 0);
	gpuvm_object_init(&lost, 0, NULL, lost_free);
	lost_gone = 0;
	gone_under_lock = false;
	lost_pair = listed ? gpuvm_bo_obtain(&toy.vm, &lost) : NULL;
	if (listed) {
		gpuvm_resv_lock(toy.r_obj.resv);
		gpuvm_bo_extobj_add(lost_pair);
		gpuvm_resv_unlock(toy.r_obj.resv);
	} else {
		exec.extra.fn = ask_once;
		exec.extra.priv = &asked;
	}
	sem_init(&lost_taken, 0, 0);
	pthread_create(&thread, NULL, take_away, NULL);
	sem_wait(&lost_taken);
	assert_int_equal(gpuvm_exec_lock(&exec), 0);
	pthread_join(thread, NULL);
	/* Only the VM is locked, so that every lock has its slot. */
	assert_int_equal(exec.nr, 1);
	assert_true(gpuvm_resv_held(&toy.vm));
	assert_false(gpuvm_resv_is_held(lost.resv));
	assert_int_equal(lost_gone, 0);
	gpuvm_exec_resv_add_fence(&exec, f, GPUVM_USAGE_BOOKKEEP, GPUVM_USAGE_WRITE);
	assert_int_equal(toy.r_obj.resv->nr, 1);
	assert_int_equal(lost.resv->nr, 0);
	gpuvm_exec_unlock(&exec);
	assert_int_equal(lost_gone, 1);
	assert_false(gone_under_lock);
	fence_signal(f);
	fence_put(f);
	sem_destroy(&lost_taken);
	assert_true(toy_destroy(&toy));
}

static void not_asked_for_again(void **state)
{
	(void)state;
	lost_is_let_go_of(0, true);
	lost_is_let_go_of(GPUVM_RESV_PROTECTED, true);
	lost_is_let_go_of(0, false);
}

/* ---- Signals ---- */

static void nothing(int number)
{
	(void)number;
}

static int interrupted;

static void *wait_for_lock(void *unused)
{
	struct gpuvm_exec exec = { .vm = &toy.vm, .flags = GPUVM_EXEC_INTERRUPTIBLE };
	struct gpuvm_object *objs[] = { &toy.objs[0], &toy.objs[1], &toy.objs[2] };
	int err = gpuvm_exec_lock_array(&exec, objs, 3);

	(void)unused;
	if (exec.nr > 0 || exec.locked)
		err = 0;
	__atomic_store_n(&interrupted, err, __ATOMIC_RELAXED);
	return NULL;
}

/* Interrupts a thread that waits for @contended with nothing else locked; it keeps no lock. */
static void interrupts(struct gpuvm_object *contended)
{
	struct sigaction action = { .sa_handler = nothing }, before;
	pthread_t thread;

	sigaction(SIGUSR1, &action, &before);
	interrupted = 1;
	gpuvm_resv_lock(contended->resv);
	pthread_create(&thread, NULL, wait_for_lock, NULL);
	/* Until a signal arrives while it waits. */
	while (__atomic_load_n(&interrupted, __ATOMIC_RELAXED) == 1) {
		usleep(1000);
		pthread_kill(thread, SIGUSR1);
	}
	pthread_join(thread, NULL);
	assert_int_equal(interrupted, -EINTR);
	gpuvm_resv_unlock(contended->resv);
	sigaction(SIGUSR1, &before, NULL);
	for (unsigned int i = 0; i < TOY_OBJECTS; i++) {
		assert_int_equal(toy.objs[i].refs, 1);
		assert_true(gpuvm_resv_trylock(toy.objs[i].resv));
		gpuvm_resv_unlock(toy.objs[i].resv);
	}
}

static void signals(void **state)
{
	(void)state;
	set_up();
	interrupts(&toy.r_obj);   /* the first, waited for at once */
	interrupts(&toy.objs[0]); /* the second and the last: contended */
	interrupts(&toy.objs[2]);
	assert_true(toy_destroy(&toy));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fences),
		cmocka_unit_test(waited_for_in_any_order),
		cmocka_unit_test(transactions),
		cmocka_unit_test(objects_named),
		cmocka_unit_test(callbacks),
		cmocka_unit_test(mapped_ranges),
		cmocka_unit_test(as_many_as_one_likes),
		cmocka_unit_test(no_more_than_can_be_counted),
		cmocka_unit_test(last_references),
		cmocka_unit_test(another_vm_too),
		cmocka_unit_test(opposite_orders),
		cmocka_unit_test(not_asked_for_again),
		cmocka_unit_test(signals),
		cmocka_unit_test(many_fences_share_a_timeout),
		cmocka_unit_test(the_last_slots_need_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
