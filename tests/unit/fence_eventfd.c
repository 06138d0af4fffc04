/* SPDX-License-Identifier: MIT */
/* Eventfds of fences, as an event loop sees them. */
#include "support/cm.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <samara/fence.h>
#include <sys/resource.h>
#include <unistd.h>

#define FDS 5

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLIN);
}

/* Returns the lowest free descriptor: if it is the same before and after, none has leaked. */
static int next_fd(void)
{
	int fd = open("/dev/null", O_RDONLY);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

/*
 * Reads from a duplicate of @fd, as the fence writes to one: when it emulates machines with another
 * byte order, qemu swaps bytes only for the descriptor that eventfd() returned.
 */
static uint64_t read_count(int fd)
{
	uint64_t count;
	int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	assert_true(duplicate >= 0);
	assert_int_equal(read(duplicate, &count, sizeof(count)), sizeof(count));
	close(duplicate);
	return count;
}

static void readable_once_signalled(void **state)
{
	struct fence *f = fence_create();
	int fd[FDS], free_fd = next_fd();
	uint64_t count;

	(void)state;
	for (int i = 0; i < FDS; i++) {
		fd[i] = fence_eventfd(f);
		assert_true(fd[i] >= 0);
		assert_false(readable(fd[i]));
		assert_true(fcntl(fd[i], F_GETFD) & FD_CLOEXEC);
	}
	errno = 0;
	assert_int_equal(read(fd[0], &count, sizeof(count)), -1); /* does not block */
	assert_int_equal(errno, EAGAIN);
	fence_signal_error(f, -EIO);
	for (int i = 0; i < FDS; i++)
		assert_true(readable(fd[i]));
	assert_int_equal(read_count(fd[0]), 1);
	assert_false(readable(fd[0]));
	fence_signal(f);
	assert_false(readable(fd[0]));
	fence_put(f);
	for (int i = 0; i < FDS; i++) {
		assert_true(i == 0 || readable(fd[i])); /* it outlives the fence */
		close(fd[i]);
	}
	assert_int_equal(next_fd(), free_fd);
}

static void readable_if_signalled_already(void **state)
{
	int free_fd = next_fd(), fd;
	struct fence *f = fence_create();

	(void)state;
	fence_signal(f);
	fd = fence_eventfd(f);
	assert_true(readable(fd));
	close(fd);
	assert_int_equal(next_fd(), free_fd); /* the fence keeps nothing */
	fence_put(f);
}

/* By then the number of a closed descriptor may be another file's, which must not be written to. */
static void closed_before(void **state)
{
	int free_fd = next_fd(), fd, ends[2];
	struct fence *f = fence_create();

	(void)state;
	fd = fence_eventfd(f);
	close(fd);
	assert_int_equal(pipe(ends), 0);
	assert_true(ends[0] == fd || ends[1] == fd);
	assert_int_equal(fence_signal(f), 0);
	assert_false(readable(ends[0]));
	close(ends[0]);
	close(ends[1]);
	fence_put(f);
	assert_int_equal(next_fd(), free_fd);
}

static void cancelled_is_readable_too(void **state)
{
	struct fence *f = fence_create();
	int fd = fence_eventfd(f);

	(void)state;
	fence_put(f);
	assert_true(readable(fd));
	close(fd);
}

/* The caller has filled the eventfd's count: signalling neither blocks nor fails. */
static void full_already(void **state)
{
	struct fence *f = fence_create();
	int fd = fence_eventfd(f);
	uint64_t most = UINT64_MAX - 1;

	(void)state;
	assert_int_equal(write(fd, &most, sizeof(most)), sizeof(most));
	errno = ENOTTY;
	assert_int_equal(fence_signal(f), 0);
	assert_int_equal(errno, ENOTTY);
	assert_true(readable(fd));
	close(fd);
	fence_put(f);
}

/* No descriptor is free, or one but not the second. */
static void out_of_descriptors(void **state)
{
	struct fence *f = fence_create();
	struct rlimit was, now;
	int free_fd = next_fd(), fd;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	for (int spare = 0; spare <= 1; spare++) {
		now = was;
		now.rlim_cur = (rlim_t)(free_fd + spare);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
		assert_int_equal(fence_eventfd(f), -EMFILE);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
		assert_int_equal(next_fd(), free_fd);
	}
	fd = fence_eventfd(f);
	assert_true(fd >= 0);
	fence_signal(f);
	assert_true(readable(fd));
	close(fd);
	fence_put(f);
	assert_int_equal(next_fd(), free_fd);
}

static void *signal_it(void *f)
{
	usleep(2000);
	fence_signal(f);
	return NULL;
}

static void poll_is_woken(void **state)
{
	struct fence *f = fence_create();
	struct pollfd p = { .fd = fence_eventfd(f), .events = POLLIN };
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, signal_it, f), 0);
	assert_int_equal(poll(&p, 1, -1), 1);
	assert_true(fence_is_signaled(f));
	pthread_join(thread, NULL);
	close(p.fd);
	fence_put(f);
}

static void *signals_cancelled(void *tl)
{
	pthread_cancel(pthread_self());
	timeline_signal(tl, 1);
	pthread_testcancel();
	return NULL;
}

/* A thread cancelled while it signals still wakes all waiters. */
static void cancelled_threads_signal_to_the_end(void **state)
{
	struct timeline *tl = timeline_create("cancelled", 0);
	struct fence *f = timeline_fence(tl, 1), *g = timeline_fence(tl, 2);
	int fd = fence_eventfd(f);
	pthread_t thread;
	void *result;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, signals_cancelled, tl), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	assert_true(readable(fd));
	assert_int_equal(timeline_signal(tl, 2), 0);
	assert_true(fence_is_signaled(g));
	close(fd);
	fence_put(f);
	fence_put(g);
	timeline_put(tl);
}

struct get {
	struct fence *f;
	int fd; /* the result; 1: there was none */
};

static void *gets_one_cancelled(void *arg)
{
	struct get *get = arg;

	pthread_cancel(pthread_self());
	get->fd = fence_eventfd(get->f);
	pthread_testcancel();
	return NULL;
}

static int get_one_cancelled(struct fence *f)
{
	struct get get = { f, 1 };
	pthread_t thread;
	void *result;

	assert_int_equal(pthread_create(&thread, NULL, gets_one_cancelled, &get), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	return get.fd;
}

/* Nor is a descriptor lost if a thread is cancelled while it gets one, or fails to. */
static void cancelled_threads_get_eventfds(void **state)
{
	struct fence *f = fence_create();
	struct rlimit was, now;
	int free_fd = next_fd(), fd;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	now = was;
	now.rlim_cur = (rlim_t)(free_fd + 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	fd = get_one_cancelled(f);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(fd, -EMFILE);
	assert_int_equal(next_fd(), free_fd);
	fence_signal(f);
	fd = get_one_cancelled(f);
	assert_true(fd >= 0 && fd != 1);
	assert_true(readable(fd));
	close(fd);
	assert_int_equal(next_fd(), free_fd);
	fence_put(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readable_once_signalled),
		cmocka_unit_test(readable_if_signalled_already),
		cmocka_unit_test(closed_before),
		cmocka_unit_test(cancelled_is_readable_too),
		cmocka_unit_test(full_already),
		cmocka_unit_test(out_of_descriptors),
		cmocka_unit_test(poll_is_woken),
		cmocka_unit_test(cancelled_threads_signal_to_the_end),
		cmocka_unit_test(cancelled_threads_get_eventfds),
	};

	alarm(100);
	return cmocka_run_group_tests_name("fence_eventfd", tests, NULL, NULL);
}
