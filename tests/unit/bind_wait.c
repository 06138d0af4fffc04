/* SPDX-License-Identifier: MIT */
/*
 * Waiting for room below the bounds, for a job or for a queue: who is let in, who learns of the
 * end, and signals.
 */
#include "support/bind_bed.h"

#include "base/park.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct blocked {
	pthread_t thread;
	struct bind_queue *q;
	int result;
	unsigned int done;
};

static void *submit_blocked(void *arg)
{
	struct blocked *b = arg;

	b->result = submit(b->q, "map 20+10=B@0", NULL, NULL);
	__atomic_store_n(&b->done, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void start_blocked(struct blocked *b, struct bind_queue *q)
{
	*b = (struct blocked){ .q = q };
	assert_int_equal(pthread_create(&b->thread, NULL, submit_blocked, b), 0);
	while (stats().blocked == 0)
		usleep(100);
}

static int join_blocked(struct blocked *b)
{
	pthread_join(b->thread, NULL);
	return b->result;
}

static void bounded(const struct bind_config *bounds)
{
	struct bind_queue *q = begin(bounds);
	struct fence *in = fence_create();
	struct bind_job job = { .flags = BIND_NONBLOCK };
	struct blocked b;

	/* The first job is always let in. */
	assert_int_equal(submit(q, "map 10+10=A@0; map 11+10=A@0", in, NULL), 0);
	assert_int_equal(bind_toy_submit_job(q, &bt, "map 20+10=B@0", &job), -ENOSPC);
	start_blocked(&b, q);
	assert_int_equal(b.done, 0);
	fence_signal(in);
	assert_int_equal(join_blocked(&b), 0);
	settle(q);
	expect_vm("[10+1=A@0 11+f=A@0 20+10=B@0]");
	assert_int_equal(stats().blocked, 1);
	fence_put(in);
	end(q);
}

static void submits_wait_for_room(void **state)
{
	(void)state;
	bounded(&(struct bind_config){ .max_jobs = 1 });
	bounded(&(struct bind_config){ .max_ops = 2 });
	bounded(&(struct bind_config){ .max_bytes = 1000 });
}

static void who_waits_learns_of_the_end(void **state)
{
	struct bind_config one = { .max_jobs = 1 };

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		struct bind_queue *q = begin(&one);
		struct fence *in = fence_create();
		struct blocked b;

		assert_int_equal(submit(q, "map 10+10=A@0", in, NULL), 0);
		start_blocked(&b, q);
		if (i == 0)
			bind_queue_cancel(q);
		else if (i == 1)
			bind_vm_ban(&bt.toy.vm);
		else
			bind_vm_close(&bt.toy.vm, BIND_CANCEL);
		assert_int_equal(join_blocked(&b), -ENOENT);
		fence_put(in);
		end(q);
	}
}

static void nothing(int sig)
{
	(void)sig;
}

static void handle_signals(void)
{
	struct sigaction action = { .sa_handler = nothing, .sa_flags = SA_RESTART };

	sigaction(SIGUSR1, &action, NULL);
}

static void kick(pthread_t thread, const unsigned int *done)
{
	handle_signals();
	while (!__atomic_load_n(done, __ATOMIC_SEQ_CST)) {
		pthread_kill(thread, SIGUSR1);
		usleep(200);
	}
}

static void waiting_for_room_is_interrupted(void **state)
{
	struct bind_config one = { .max_jobs = 1 };
	struct bind_queue *q = begin(&one);
	struct fence *in = fence_create();
	struct blocked b;

	(void)state;
	assert_int_equal(submit(q, "map 10+10=A@0", in, NULL), 0);
	start_blocked(&b, q);
	kick(b.thread, &b.done);
	assert_int_equal(join_blocked(&b), -EINTR);
	fence_signal(in);
	settle(q);
	expect_vm("[10+10=A@0]");
	fence_put(in);
	end(q);
}

static int submit_kicked(struct bind_queue *q)
{
	struct blocked b = { .q = q };

	assert_int_equal(pthread_create(&b.thread, NULL, submit_blocked, &b), 0);
	kick(b.thread, &b.done);
	return join_blocked(&b);
}

/*
 * A map at the strict level may wait for mappings and records, which jobs give back, but not for
 * its fence or its pair.
 */
static void nobody_waits_for_what_no_job_brings(void **state)
{
	struct bind_config strict = { .max_mappings = 10, .max_jobs = 2, .max_ops = 2 };
	struct bind_queue *q = begin(&strict);
	struct fence *in = fence_create();
	unsigned int refused = 0;
	int err;

	(void)state;
	assert_int_equal(submit(q, "map 10+10=A@0", in, NULL), 0);
	for (;;) {
		memfault_nth(refused + 1);
		err = submit_kicked(q);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		refused++;
	}
	memfault_ok();
	assert_true(refused >= 2);
	fence_signal(in);
	settle(q);
	expect_vm("[10+10=A@0 20+10=B@0]");
	fence_put(in);
	end(q);
}

static void sync_jobs_return_their_result(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct bind_job job = { .flags = BIND_SYNC };

	(void)state;
	bt.step_err = -EINTR;
	assert_int_equal(bind_toy_submit_job(q, &bt, "map 10+10=A@0", &job), -EINTR);
	assert_int_equal(job.bad_op, UINT_MAX); /* it was accepted */
	assert_int_equal(bind_toy_submit_job(q, &bt, "map 20+10=A@0", &job), -ENOENT);
	assert_int_equal(job.bad_op, 1);
	end(q);
}

struct synced {
	struct bind_queue *q;
	struct bind_job job;
	int result;
	unsigned int done;
};

static void *submit_synced(void *arg)
{
	struct synced *s = arg;

	s->job = (struct bind_job){ .flags = BIND_SYNC };
	s->result = bind_toy_submit_job(s->q, &bt, "map 20+10=B@0", &s->job);
	__atomic_store_n(&s->done, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void an_interrupted_sync_job_still_runs(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct fence *in = fence_create();
	struct synced s = { .q = q };
	pthread_t thread;

	(void)state;
	assert_int_equal(submit(q, "map 10+10=A@0", in, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, submit_synced, &s), 0);
	while (stats().jobs < 2)
		usleep(100);
	kick(thread, &s.done);
	pthread_join(thread, NULL);
	assert_int_equal(s.result, -EINTR);
	assert_int_equal(s.job.bad_op, UINT_MAX);
	fence_signal(in);
	settle(q);
	expect_vm("[10+10=A@0 20+10=B@0]");
	fence_put(in);
	end(q);
}

/* The job has run; its clean-up may take as long as it likes. */
static void a_signal_ends_a_wait_for_clean_up(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct synced s = { .q = q };
	pthread_t thread;

	(void)state;
	bt.awaited = fence_create();
	assert_int_equal(pthread_create(&thread, NULL, submit_synced, &s), 0);
	while (now(&bt.awaiting) == 0)
		usleep(100);
	kick(thread, &s.done);
	pthread_join(thread, NULL);
	fence_signal(bt.awaited);
	assert_int_equal(s.result, -EINTR);
	assert_int_equal(s.job.bad_op, UINT_MAX);
	assert_int_equal(bt.in_vain, 0);
	settle(q);
	expect_vm("[20+10=B@0]");
	fence_put(bt.awaited);
	end(q);
}

/* ---- Beside a queue that is busy ---- */

enum kind { FOR_QUEUE, FOR_JOB, FOR_ROOM, KINDS };

struct sleeper {
	enum kind kind;
	struct bind_queue *q, *other;
	struct fence *in;
	pthread_t thread;
	int tid, result;
	unsigned int done;
};

static void *sleep_in(void *arg)
{
	struct sleeper *s = arg;

	__atomic_store_n(&s->tid, (int)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	if (s->kind == FOR_QUEUE)
		s->result = bind_queue_wait(s->q, FENCE_FOREVER);
	else if (s->kind == FOR_JOB)
		s->result = submit_sync(s->q, "map 20+10=B@0");
	else
		s->result = submit(s->q, "map 20+10=B@0; prefetch 1+1", NULL, NULL);
	__atomic_store_n(&s->done, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Returns how often the thread has gone to sleep; sets *@asleep if it sleeps now. */
static unsigned long sleeps(int tid, bool *asleep)
{
	char path[64], line[256];
	unsigned long nr = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	f = fopen(path, "r");
	assert_non_null(f);
	*asleep = false;
	while (fgets(line, sizeof(line), f)) {
		*asleep |= strncmp(line, "State:\tS", 8) == 0;
		sscanf(line, "voluntary_ctxt_switches: %lu", &nr);
	}
	fclose(f);
	return nr;
}

/* Waits until the thread sleeps and stays asleep; returns how often it has gone to sleep. */
static unsigned long until_asleep(const struct sleeper *s)
{
	unsigned long before, nr = 0;
	bool asleep = false;

	while (__atomic_load_n(&s->tid, __ATOMIC_SEQ_CST) == 0)
		usleep(100);
	do {
		before = nr;
		usleep(2000);
		nr = sleeps(s->tid, &asleep);
	} while (!asleep || nr != before);
	return nr;
}

/* Starts the sleeper while three operations are outstanding; the bound for room is four. */
static unsigned long start_sleeper(struct sleeper *s, enum kind kind)
{
	static const struct bind_config four = { .max_ops = 4 };

	*s = (struct sleeper){ .kind = kind, .in = fence_create() };
	s->q = begin(kind == FOR_ROOM ? &four : NULL);
	s->other = another();
	assert_int_equal(submit(s->q, "map 10+10=A@0; prefetch 1+1; prefetch 1+1", s->in, NULL), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, sleep_in, s), 0);
	return until_asleep(s);
}

static void end_sleeper(struct sleeper *s)
{
	fence_signal(s->in);
	pthread_join(s->thread, NULL);
	settle(s->q);
	fence_put(s->in);
	bind_queue_destroy(s->other);
	end(s->q);
}

static void who_waits_sleeps_on_beside_others(void **state)
{
	(void)state;
	for (enum kind kind = 0; kind < KINDS; kind++) {
		struct sleeper s;
		unsigned long nr = start_sleeper(&s, kind);

		for (unsigned int i = 0; i < 50; i++)
			assert_int_equal(submit_sync(s.other, "prefetch 1+1"), 0);
		assert_int_equal(until_asleep(&s), nr);
		end_sleeper(&s);
		assert_int_equal(s.result, 0);
	}
}

struct storm {
	struct bind_queue *q;
	pthread_t thread;
	unsigned int jobs, stop;
};

static void *storm(void *arg)
{
	struct storm *st = arg;

	while (!now(&st->stop)) {
		submit_sync(st->q, "prefetch 1+1");
		__atomic_fetch_add(&st->jobs, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void start_storm(struct storm *st, struct bind_queue *q)
{
	*st = (struct storm){ .q = q };
	assert_int_equal(pthread_create(&st->thread, NULL, storm, st), 0);
	while (now(&st->jobs) < 10)
		usleep(100);
}

static void end_storm(struct storm *st)
{
	__atomic_store_n(&st->stop, 1, __ATOMIC_SEQ_CST);
	pthread_join(st->thread, NULL);
}

/* One signal is enough, while jobs of another queue come and go. */
static void one_signal_ends_a_wait(void **state)
{
	(void)state;
	handle_signals();
	for (unsigned int round = 0; round < 10 * KINDS; round++) {
		struct sleeper s;
		struct storm st;

		start_sleeper(&s, round % KINDS);
		start_storm(&st, s.other);
		pthread_kill(s.thread, SIGUSR1);
		for (unsigned int i = 0; i < 5000 && !now(&s.done); i++)
			usleep(1000);
		end_storm(&st);
		end_sleeper(&s);
		assert_int_equal(s.result, -EINTR);
	}
}

/* ---- What comes at the same time as a signal ---- */

struct last_moment {
	struct smri_bind_wait wait;
	struct gpuvm_queues *q;
	bool sleeps;         /* waits until anything is over; else for one thing */
	bool waiting, comes; /* GUARD q->lock */
	int result;
};

static bool has_come(struct gpuvm_queues *q, struct smri_bind_wait *w)
{
	(void)q;
	return container_of(w, struct last_moment, wait)->comes;
}

static void *wait_to_the_last(void *arg)
{
	struct last_moment *m = arg;

	mt_lock_acquire(&m->q->lock);
	m->waiting = true;
	m->result = m->sleeps ? smri_bind_sleep(m->q) : smri_bind_wait(m->q, &m->wait, SMR_NEVER);
	mt_lock_release(&m->q->lock);
	return NULL;
}

/* Whether a thread sleeps waiting for the lock that the caller holds. */
static bool is_wanted(const struct mt_lock *lock)
{
	return __atomic_load_n(&lock->word, __ATOMIC_RELAXED) & 0x80000000u;
}

/*
 * Interrupts a wait by a signal; the event @comes, or not, before the waiter gets the lock. Returns
 * the result of the wait.
 */
static int interrupted_while_it_comes(struct gpuvm_queues *q, bool sleeps, bool comes)
{
	struct last_moment m = { .wait.is_over = has_come, .q = q, .sleeps = sleeps };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, wait_to_the_last, &m), 0);
	mt_lock_acquire(&q->lock);
	while (!m.waiting || is_wanted(&q->lock)) { /* one that slept for it cannot know */
		mt_lock_release(&q->lock);
		mt_lock_acquire(&q->lock);
	}
	/* Until it is awake and waits for the lock. */
	while (!is_wanted(&q->lock)) {
		pthread_kill(thread, SIGUSR1);
		usleep(200);
	}
	m.comes = comes;
	if (comes)
		smri_bind_wake_waiters(q);
	mt_lock_release(&q->lock);
	pthread_join(thread, NULL);
	assert_true(smr_list_empty(&q->waits));
	assert_int_equal(q->sleepers, 0);
	return m.result;
}

/* What has come (room below a bound, say) has been taken for the waiter and is the waiter's. */
static void what_comes_with_a_signal_has_come(void **state)
{
	struct bind_queue *q = begin(NULL);

	(void)state;
	handle_signals();
	for (unsigned int sleeps = 0; sleeps < 2; sleeps++) {
		assert_int_equal(interrupted_while_it_comes(q->vm, sleeps, true), 0);
		assert_int_equal(interrupted_while_it_comes(q->vm, sleeps, false), -EINTR);
	}
	end(q);
}

/* ---- Reservation locks ---- */

static void *map_both(void *q)
{
	return submit(q, "map 10+10=A@0; map 30+10=B@0", NULL, NULL) ? q : NULL;
}

/* A thread that waits for one holds none meanwhile: elsewhere they are taken in another order. */
static void nothing_is_held_while_one_is_waited_for(void **state)
{
	static const struct toy_config external = { .range = 0x1000, .external = true };

	(void)state;
	for (unsigned int held = 0; held < 2; held++) {
		struct gpuvm_resv *theirs, *other;
		struct bind_queue *q;
		pthread_t thread;
		void *failed;

		bind_toy_init(&bt, &external, NULL);
		q = bind_queue_create(&bt.toy.vm, "test", NULL);
		theirs = bt.toy.objs[held].resv;
		other = bt.toy.objs[!held].resv;
		gpuvm_resv_lock(theirs);
		assert_int_equal(pthread_create(&thread, NULL, map_both, q), 0);
		/* Until a thread sleeps waiting for it. */
		while (!(__atomic_load_n(&theirs->lock.word, __ATOMIC_RELAXED) & 0x80000000u))
			usleep(100);
		assert_true(gpuvm_resv_trylock(other));
		gpuvm_resv_unlock(other);
		assert_int_equal(stats().submitted, 0);
		gpuvm_resv_unlock(theirs);
		pthread_join(thread, &failed);
		assert_null(failed);
		settle(q);
		expect_vm("[10+10=A@0 30+10=B@0]");
		for (unsigned int i = 0; i < 2; i++) {
			assert_int_equal(bt.toy.objs[i].resv->lock.word, 0);
			assert_int_equal(bt.toy.objs[i].resv->nr, 1);
			assert_int_equal(bt.toy.objs[i].resv->reserved, 0);
		}
		end(q);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(submits_wait_for_room),
		cmocka_unit_test(who_waits_learns_of_the_end),
		cmocka_unit_test(waiting_for_room_is_interrupted),
		cmocka_unit_test(nobody_waits_for_what_no_job_brings),
		cmocka_unit_test(sync_jobs_return_their_result),
		cmocka_unit_test(an_interrupted_sync_job_still_runs),
		cmocka_unit_test(a_signal_ends_a_wait_for_clean_up),
		cmocka_unit_test(who_waits_sleeps_on_beside_others),
		cmocka_unit_test(one_signal_ends_a_wait),
		cmocka_unit_test(what_comes_with_a_signal_has_come),
		cmocka_unit_test(nothing_is_held_while_one_is_waited_for),
	};

	return cmocka_run_group_tests_name("bind_wait", tests, NULL, NULL);
}
