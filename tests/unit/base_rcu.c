/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* sched_getcpu() */
#include "base/rcu.h"
#include "base/atomic.h"
#include "base/park.h"
#include "base/thread.h"
#include "flavors.h"
#include "support/cm.h"
#include <errno.h>
#include <pthread.h>
#include <samara/fence.h>
#include <samara/maple_tree.h>
#include <samara/snapshot.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct note {
	struct smr_rcu_head head;
	unsigned int calls;
	int value;
};

static void take_note(struct smr_rcu_head *head)
{
	struct note *note = container_of(head, struct note, head);

	note->value++;
	smr_add(&note->calls, 1, __ATOMIC_RELEASE);
	smr_wake(&note->calls, 1);
}

static void callback_runs_after_the_section(enum mt_rcu_flavor flavor)
{
	struct note note = { .value = 41 };

	assert_true(smr_grace_start(flavor));
	register_reader(flavor);
	smr_rcu_read_lock(flavor);
	smr_rcu_call(flavor, &note.head, take_note);
	/* Not before the section is left, however long it lasts. */
	assert_int_equal(smr_load(&note.calls, RELAXED), 0);
	smr_rcu_read_unlock(flavor);
	unregister_reader(flavor);
	while (smr_load(&note.calls, __ATOMIC_ACQUIRE) == 0)
		smr_park(&note.calls, 0);
	assert_int_equal(note.calls, 1);
	assert_int_equal(note.value, 42);
}

/* ---- Callbacks that can wait, and hurrying them ---- */

static void await(struct note *note)
{
	while (smr_load(&note->calls, __ATOMIC_ACQUIRE) == 0)
		smr_park(&note->calls, 0);
}

/* Returns the time in ns until a callback queued before a hurry runs. */
static uint64_t hurry_while_it_gathers(void)
{
	struct note before = { .value = 0 }, note = { .value = 0 };
	uint64_t begin;
	bool gathers;

	smr_rcu_call_nodes(MT_RCU_BP, &before.head, take_note, true);
	usleep(SMR_GRACE_PATIENCE_US / 4);
	smr_rcu_call_nodes(MT_RCU_BP, &note.head, take_note, true);
	begin = smr_now();
	smr_grace_hurry(MT_RCU_BP);
	gathers = smr_load(&before.calls, RELAXED) == 0;
	await(&before);
	await(&note);
	return gathers ? smr_now() - begin : UINT64_MAX;
}

static uint64_t hurry_before_it_comes(void)
{
	struct note note = { .value = 0 };
	uint64_t begin;

	smr_grace_hurry(MT_RCU_BP);
	usleep(SMR_GRACE_PATIENCE_US); /* the worker has noticed */
	begin = smr_now();
	smr_rcu_call_nodes(MT_RCU_BP, &note.head, take_note, true);
	await(&note);
	return smr_now() - begin;
}

/* If a hurry were forgotten, nothing would be called before the patience ends, in any try. */
static void hurries_last_until_it_is_taken(void **state)
{
	uint64_t (*const fn[])(void) = { hurry_while_it_gathers, hurry_before_it_comes };

	(void)state;
	assert_true(smr_grace_start(MT_RCU_BP));
	for (unsigned int i = 0; i < ARRAY_SIZE(fn); i++) {
		unsigned int tries = 0;

		while (fn[i]() >= 1000 * SMR_GRACE_PATIENCE_US)
			assert_true(++tries < 100);
	}
}

/* ---- The thread that runs callbacks ---- */

struct self {
	struct smr_rcu_head head;
	unsigned int known;
	bool joined, takes_faults, takes_others;
};

static void take_self(struct smr_rcu_head *head)
{
	struct self *self = container_of(head, struct self, head);
	sigset_t blocked;

	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	self->joined = smr_rcu_joined();
	self->takes_faults = !sigismember(&blocked, SIGSEGV);
	self->takes_others = !sigismember(&blocked, SIGALRM);
	smr_store(&self->known, 1, __ATOMIC_RELEASE);
	smr_wake(&self->known, 1);
}

/*
 * A callback's first section must not wait for liburcu's lock: a forking thread holds it while it
 * waits for the callback. The test takes another flavour than the default: waiting for one of the
 * default's grace periods, where the thread is asserted to be outside of sections, makes it known,
 * too.
 */
static void the_worker_is_known_to_liburcu(void **state)
{
	struct self self = { .known = 0 };

	(void)state;
	assert_true(smr_grace_start(MT_RCU_MB));
	smr_rcu_call(MT_RCU_MB, &self.head, take_self);
	while (!smr_load(&self.known, __ATOMIC_ACQUIRE))
		smr_park(&self.known, 0);
	assert_true(self.joined);
	assert_true(self.takes_faults);
	assert_false(self.takes_others);
}

static void *note_mask(void *mask)
{
	pthread_sigmask(SIG_SETMASK, NULL, mask);
	return NULL;
}

/*
 * A blocked signal left for sigwait() is not delivered while a thread is started, or to that
 * thread.
 */
static void what_is_blocked_stays_blocked(void **state)
{
	sigset_t abort_only, before, mask;
	pthread_t thread;
	int taken = 0;

	(void)state;
	sigemptyset(&abort_only);
	sigaddset(&abort_only, SIGABRT);
	pthread_sigmask(SIG_BLOCK, &abort_only, &before);
	assert_int_equal(pthread_kill(pthread_self(), SIGABRT), 0);
	assert_int_equal(smr_thread_start(&thread, note_mask, &mask), 0);
	pthread_join(thread, NULL);
	assert_true(sigismember(&mask, SIGABRT));
	assert_false(sigismember(&mask, SIGSEGV));
	assert_int_equal(sigwait(&abort_only, &taken), 0);
	assert_int_equal(taken, SIGABRT);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- Where callbacks run ---- */

struct place {
	struct smr_rcu_head head;
	int cpu;
	cpu_set_t may;
	pid_t thread;
	unsigned int known;
};

static void take_place(struct smr_rcu_head *head)
{
	struct place *place = container_of(head, struct place, head);

	place->cpu = sched_getcpu();
	place->thread = (pid_t)syscall(SYS_gettid);
	assert_int_equal(sched_getaffinity(0, sizeof(place->may), &place->may), 0);
	smr_store(&place->known, 1, __ATOMIC_RELEASE);
	smr_wake(&place->known, 1);
}

/*
 * Returns where a callback runs that is queued by a thread on @cpu that has called
 * smr_grace_near().
 */
static struct place place_near(enum mt_rcu_flavor flavor, int cpu)
{
	struct place place = { .cpu = -1 };
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((size_t)cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	smr_grace_near(flavor, (unsigned int)syscall(SYS_gettid));
	smr_rcu_call(flavor, &place.head, take_place);
	while (smr_load(&place.known, __ATOMIC_ACQUIRE) == 0)
		smr_park(&place.known, 0);
	return place;
}

static bool runs_on(int cpu)
{
	struct place place = place_near(MT_RCU_BP, cpu);

	return place.cpu == cpu && CPU_COUNT(&place.may) == 1;
}

static int started_free(int a, int b)
{
	return smr_grace_start(MT_RCU_BP) && runs_on(a) && runs_on(b) && runs_on(a);
}

/*
 * Has the worker run on @cpu, and waits until it is bound to no CPU. While it sleeps it must not
 * be: a thread of higher priority may run there by then. Returns the worker, or -1.
 */
static pid_t put_to_sleep(int cpu)
{
	struct place place;

	if (!smr_grace_start(MT_RCU_BP))
		return -1;
	place = place_near(MT_RCU_BP, cpu);
	while (CPU_COUNT(&place.may) == 1)
		if (sched_getaffinity(place.thread, sizeof(place.may), &place.may))
			return -1;
	return place.thread;
}

static bool runs_within(int near, const cpu_set_t *may)
{
	struct place place = place_near(MT_RCU_BP, near);

	return CPU_EQUAL(&place.may, may);
}

/* Somebody else, perhaps from outside the process, has bound the sleeping worker to @b. */
static int bound_while_asleep(int a, int b)
{
	pid_t worker = put_to_sleep(a);
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((size_t)b, &one);
	return worker > 0 && sched_setaffinity(worker, sizeof(one), &one) == 0 &&
	       runs_within(a, &one);
}

/* A writer of higher priority might not let the worker run. */
static int not_near_real_time(int a, int b)
{
	const struct sched_param low = { .sched_priority = 1 };
	cpu_set_t may;

	(void)b;
	if (sched_getaffinity(0, sizeof(may), &may) || !smr_grace_start(MT_RCU_BP) || !runs_on(a))
		return false;
	if (sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &low))
		return errno == EPERM || errno == ENOSYS; /* may not; musl cannot */
	return runs_within(a, &may);
}

static int not_near_ordinary_if_idle(int a, int b)
{
	const struct sched_param none = { .sched_priority = 0 };
	cpu_set_t may;

	(void)b;
	if (sched_setscheduler(0, SCHED_IDLE, &none))
		return errno == ENOSYS;
	if (sched_getaffinity(0, sizeof(may), &may) || !smr_grace_start(MT_RCU_BP) || !runs_on(a))
		return false;
	if (sched_setscheduler(0, SCHED_OTHER, &none))
		return errno == EPERM;
	return runs_within(a, &may);
}

static int not_near_less_nice(int a, int b)
{
	int nice = getpriority(PRIO_PROCESS, 0);
	cpu_set_t may;

	(void)b;
	if (nice == 19) /* the least there is */
		return true;
	if (setpriority(PRIO_PROCESS, 0, nice + 1) || sched_getaffinity(0, sizeof(may), &may) ||
	    !smr_grace_start(MT_RCU_BP) || !runs_on(a))
		return false;
	if (setpriority(PRIO_PROCESS, 0, nice))
		return errno == EPERM || errno == EACCES;
	return runs_within(a, &may);
}

/* The user has chosen where the worker may run. */
static int started_bound(int a, int b)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((size_t)a, &one);
	return sched_setaffinity(0, sizeof(one), &one) == 0 && smr_grace_start(MT_RCU_BP) &&
	       place_near(MT_RCU_BP, b).cpu == a;
}

/* A worker lives as long as its process, so each case gets a process of its own. */
static bool in_child(int (*fn)(int a, int b), int a, int b)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(!fn(a, b));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void the_worker_runs_where_the_work_comes_from(void **state)
{
	cpu_set_t may;
	int a = 0, b;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(may), &may), 0);
	if (CPU_COUNT(&may) < 2)
		skip();
	while (!CPU_ISSET((size_t)a, &may))
		a++;
	for (b = a + 1; !CPU_ISSET((size_t)b, &may);)
		b++;
	assert_true(in_child(started_free, a, b));
	assert_true(in_child(started_bound, a, b));
	assert_true(in_child(bound_while_asleep, a, b));
	assert_true(in_child(not_near_real_time, a, b));
	assert_true(in_child(not_near_ordinary_if_idle, a, b));
	assert_true(in_child(not_near_less_nice, a, b));
}

static void every_flavour_calls_back(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(all_flavors); i++)
		callback_runs_after_the_section(all_flavors[i]);
}

static void a_section_is_noticed(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(all_flavors); i++) {
		enum mt_rcu_flavor flavor = all_flavors[i];

		assert_false(smr_rcu_read_ongoing(flavor));
		register_reader(flavor);
		smr_rcu_read_lock(flavor);
		smr_rcu_read_lock(flavor);
		assert_true(smr_rcu_read_ongoing(flavor));
		smr_rcu_read_unlock(flavor);
		assert_true(smr_rcu_read_ongoing(flavor));
		smr_rcu_read_unlock(flavor);
		/* A registered QSBR thread counts as a reader until it says otherwise. */
		assert_int_equal(smr_rcu_read_ongoing(flavor), flavor == MT_RCU_QSBR);
		unregister_reader(flavor);
		smr_rcu_synchronize(flavor);
	}
}

static void *quick_in_new_thread(void *arg)
{
	struct smr_rcu_quick section;

	(void)arg;
	assert_false(smr_rcu_quick_enter(&section));
	assert_false(smr_rcu_read_ongoing(MT_RCU_BP));
	return NULL;
}

/* Quick and ordinary sections nest in each other. */
static void quick_sections(void **state)
{
	struct smr_rcu_quick outer = { 0 }, inner = { 0 };
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, quick_in_new_thread, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	smr_rcu_read_lock(MT_RCU_BP);
	if (smr_rcu_quick_enter(&outer)) {
		smr_rcu_quick_leave(&outer);
		assert_true(smr_rcu_read_ongoing(MT_RCU_BP));
	}
	smr_rcu_read_unlock(MT_RCU_BP);
	assert_false(smr_rcu_read_ongoing(MT_RCU_BP));
	if (!smr_rcu_quick_enter(&outer))
		skip(); /* under a sanitizer, or without membarrier() */
	assert_true(smr_rcu_quick_enter(&inner));
	smr_rcu_read_lock(MT_RCU_BP);
	smr_rcu_read_unlock(MT_RCU_BP);
	assert_true(smr_rcu_read_ongoing(MT_RCU_BP));
	smr_rcu_quick_leave(&inner);
	assert_true(smr_rcu_read_ongoing(MT_RCU_BP));
	smr_rcu_quick_leave(&outer);
	assert_false(smr_rcu_read_ongoing(MT_RCU_BP));
	smr_rcu_synchronize(MT_RCU_BP);
}

static void offline_and_online(void **state)
{
	(void)state;
	assert_false(smr_rcu_offline(MT_RCU_BP));
	urcu_qsbr_register_thread();
	assert_true(smr_rcu_offline(MT_RCU_QSBR));
	assert_false(smr_rcu_offline(MT_RCU_QSBR));
	smr_rcu_online(MT_RCU_QSBR);
	assert_true(smr_rcu_read_ongoing(MT_RCU_QSBR));
	urcu_qsbr_unregister_thread();
}

static void a_trees_flavour(void **state)
{
	struct maple_tree then;
	DEFINE_MTREE(mt);

	(void)state;
	assert_int_equal(mt_rcu_flavor(&mt), MT_RCU_BP);
	assert_int_equal(mt_set_rcu_flavor(&mt, MT_RCU_MB), 0);
	assert_int_equal(mt_rcu_flavor(&mt), MT_RCU_MB);
	assert_int_equal(mt_set_rcu_flavor(&mt, (enum mt_rcu_flavor)4), -EINVAL);
	assert_int_equal(mt_set_rcu_flavor(&mt, (enum mt_rcu_flavor) - 1), -EINVAL);
	mt.ma_flags |= MT_FLAGS_USE_RCU;
	assert_int_equal(mt_set_rcu_flavor(&mt, MT_RCU_BP), -EBUSY);
	assert_int_equal(mt_rcu_flavor(&mt), MT_RCU_MB);
	urcu_mb_register_thread();
	mt_rcu_read_lock(&mt);
	assert_true(smr_rcu_read_ongoing(MT_RCU_MB));
	assert_false(smr_rcu_read_ongoing(MT_RCU_BP));
	mt_snapshot(&then, &mt);
	assert_int_equal(mt_rcu_flavor(&then), MT_RCU_MB);
	mt_rcu_read_unlock(&mt);
	assert_false(smr_rcu_read_ongoing(MT_RCU_MB));
	urcu_mb_unregister_thread();
}

struct stay {
	struct maple_tree *mt;
	unsigned int in, leaves;
};

/* Stays in a section for a while, however short that turns out to be. */
static void *stay_in(void *arg)
{
	enum mt_rcu_flavor flavor;
	struct stay *stay = arg;

	flavor = mt_rcu_flavor(stay->mt);
	register_reader(flavor);
	mt_rcu_read_lock(stay->mt);
	smr_store(&stay->in, 1, RELAXED);
	for (unsigned int i = 0; i < 1000; i++)
		sched_yield();
	smr_store(&stay->leaves, 1, RELAXED);
	mt_rcu_read_unlock(stay->mt);
	unregister_reader(flavor);
	return NULL;
}

/* The tree says which flavour's readers the caller waits for. */
static void synchronize_waits_for_readers(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(all_flavors); i++) {
		struct maple_tree mt = MTREE_INIT(mt, 0);
		struct stay stay = { .mt = &mt };
		pthread_t thread;

		assert_int_equal(mt_set_rcu_flavor(&mt, all_flavors[i]), 0);
		assert_int_equal(pthread_create(&thread, NULL, stay_in, &stay), 0);
		while (!smr_load(&stay.in, RELAXED))
			sched_yield();
		mt_rcu_synchronize(&mt);
		assert_true(smr_load(&stay.leaves, RELAXED));
		pthread_join(thread, NULL);
	}
}

static void *begin_signalling(void *arg)
{
	bool *known = arg;

	known[0] = smr_rcu_joined();
	fence_begin_signalling();
	known[1] = smr_rcu_joined();
	fence_end_signalling();
	return NULL;
}

/* Registering allocates, so it must not be left to the first read in the section. */
static void signalling_threads_are_known(void **state)
{
	bool known[2];
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, begin_signalling, known), 0);
	pthread_join(thread, NULL);
	assert_false(known[0]);
	assert_true(known[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_worker_runs_where_the_work_comes_from), /* first: it forks */
		cmocka_unit_test(synchronize_waits_for_readers),
		cmocka_unit_test(the_worker_is_known_to_liburcu),
		cmocka_unit_test(what_is_blocked_stays_blocked),
		cmocka_unit_test(every_flavour_calls_back),
		cmocka_unit_test(hurries_last_until_it_is_taken),
		cmocka_unit_test(signalling_threads_are_known),
		cmocka_unit_test(a_section_is_noticed),
		cmocka_unit_test(quick_sections),
		cmocka_unit_test(offline_and_online),
		cmocka_unit_test(a_trees_flavour),
	};

	return cmocka_run_group_tests_name("base_rcu", tests, NULL, NULL);
}
