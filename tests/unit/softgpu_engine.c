/* SPDX-License-Identifier: MIT */
/* What an engine of the software GPU refuses, and that a refusal does no harm. */
#include "softgpu.h"
#include "support/cm.h"
#include "support/threadfault.h"
#include <errno.h>

static struct sg_device dev;
static struct sg_vm *vm;
static struct sg_engine *engine;

static unsigned int destroyed; /* mutexes and conditions */

int __real_pthread_mutex_destroy(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex);
int __real_pthread_cond_destroy(pthread_cond_t *cond);
int __wrap_pthread_cond_destroy(pthread_cond_t *cond);

int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
	destroyed++;
	return __real_pthread_mutex_destroy(mutex);
}

int __wrap_pthread_cond_destroy(pthread_cond_t *cond)
{
	destroyed++;
	return __real_pthread_cond_destroy(cond);
}

static int begin(void **state)
{
	(void)state;
	sg_device_init(&dev);
	assert_int_equal(sg_vm_create(&dev, "engine", SG_EAGER, NULL, &vm), 0);
	engine = sg_engine_create(vm);
	assert_non_null(engine);
	return 0;
}

static int end(void **state)
{
	(void)state;
	sg_engine_destroy(engine);
	sg_vm_destroy(vm);
	sg_device_fini(&dev); /* nothing is held */
	return 0;
}

/* Submits @cmds and returns the error or, if they are accepted, their result. */
static int submit(struct sg_cmd *cmds, unsigned int nr)
{
	struct bind_sync out = { .fence = fence_create() };
	struct sg_job job = { .cmds = cmds, .nr_cmds = nr, .out = &out, .nr_out = 1 };
	int err;

	assert_non_null(out.fence);
	err = sg_engine_submit(engine, &job);
	if (!err) {
		assert_int_equal(fence_wait(out.fence, FENCE_FOREVER), 0);
		err = fence_error(out.fence);
	}
	fence_put(out.fence);
	return err;
}

static int fill(uint64_t dst, uint64_t len)
{
	struct sg_cmd cmd = { .type = SG_FILL, .dst = dst, .len = len };

	return submit(&cmd, 1);
}

static int copy(uint64_t dst, uint64_t src, uint64_t len)
{
	struct sg_cmd cmd = { .type = SG_COPY, .dst = dst, .src = src, .len = len };

	return submit(&cmd, 1);
}

static int checksum(uint64_t src, uint64_t len)
{
	struct sg_cmd cmd = { .type = SG_CHECKSUM, .src = src, .len = len };

	return submit(&cmd, 1);
}

static void addresses_are_in_the_space(void **state)
{
	(void)state;
	assert_int_equal(fill(SG_VA_END - 8, 8), -EFAULT);
	assert_int_equal(fill(SG_VA_END - 8, 16), -EINVAL);
	assert_int_equal(fill(SG_VA_END, 8), -EINVAL);
	assert_int_equal(fill(SG_PAGE + 16, -(uint64_t)8), -EINVAL);
	assert_int_equal(fill(SG_PAGE, SG_VA_END), -EINVAL);
	assert_int_equal(copy(SG_PAGE, SG_VA_END, 8), -EINVAL);
	assert_int_equal(copy(SG_VA_END, SG_PAGE, 8), -EINVAL);
	assert_int_equal(copy(SG_PAGE, SG_VA_END - 8, 8), -EFAULT);
	assert_int_equal(checksum(SG_VA_END - 8, 8), -EFAULT);
	assert_int_equal(checksum(SG_PAGE, SG_VA_END - SG_PAGE), -EFAULT);
	assert_int_equal(checksum(SG_PAGE, -(uint64_t)SG_PAGE), -EINVAL);
}

static void multiples_of_eight(void **state)
{
	(void)state;
	assert_int_equal(fill(SG_PAGE + 4, 8), -EINVAL);
	assert_int_equal(fill(SG_PAGE, 4), -EINVAL);
	assert_int_equal(copy(SG_PAGE, SG_PAGE + 1, 8), -EINVAL);
}

/* No command of a job runs if one of them is refused. */
static void pages_to_write_are_bounded(void **state)
{
	const uint64_t most = SG_JOB_PAGES * SG_PAGE;
	struct sg_cmd both[] = {
		{ .type = SG_FILL, .dst = SG_PAGE, .len = most / 2 },
		{ .type = SG_FILL, .dst = SG_PAGE, .len = most / 2 + 8 },
	};

	(void)state;
	assert_int_equal(fill(SG_PAGE, most + 8), -EINVAL);
	assert_int_equal(fill(SG_PAGE, most * SG_PAGE), -EINVAL);
	assert_int_equal(submit(both, 2), -EINVAL);
	both[1].len = 8;
	both[1].dst++;
	assert_int_equal(submit(both, 2), -EINVAL);
	assert_int_equal(dev.frames.held, 0);
}

static void bytes_that_were_not_there_do_not_count(void **state)
{
	struct sg_engine_stats stats;

	(void)state;
	assert_int_equal(fill(SG_PAGE, 8), -EFAULT);
	assert_int_equal(copy(SG_PAGE, SG_VA_END - SG_PAGE, SG_PAGE), -EFAULT);
	assert_int_equal(checksum(SG_PAGE + 8, 2 * SG_PAGE), -EFAULT);
	sg_engine_stats(engine, &stats);
	assert_int_equal(stats.cmds, 3);
	assert_int_equal(stats.errors, 3);
	assert_int_equal(stats.bytes, 0);
}

static void no_engine_without_a_thread(void **state)
{
	(void)state;
	destroyed = 0;
	threads_to_come = 0;
	assert_null(sg_engine_create(vm));
	threads_to_come = -1;
	assert_int_equal(destroyed, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(addresses_are_in_the_space, begin, end),
		cmocka_unit_test_setup_teardown(multiples_of_eight, begin, end),
		cmocka_unit_test_setup_teardown(pages_to_write_are_bounded, begin, end),
		cmocka_unit_test_setup_teardown(bytes_that_were_not_there_do_not_count, begin, end),
		cmocka_unit_test_setup_teardown(no_engine_without_a_thread, begin, end),
	};

	return cmocka_run_group_tests_name("softgpu_engine", tests, NULL, NULL);
}
