/* SPDX-License-Identifier: MIT */
/*
 * Answers that a driver's callbacks must not give, with the library as users have it (debug builds
 * stop there). They are treated as -EINVAL, and in the end every fence is signalled.
 */
#include "support/cm.h"

#include <errno.h>
#include <limits.h>
#include <samara/bind_queue.h>

static int answer; /* of each step, and of prepare for each operation */
static bool by_step;

static int prepare(struct gpuvm *vm, const struct bind_op *op, void **cookie, void *priv)
{
	(void)vm;
	(void)op;
	(void)cookie;
	(void)priv;
	return by_step ? 0 : answer;
}

static int step(struct gpuvm *vm, const struct bind_step *step, void *priv)
{
	(void)vm;
	(void)step;
	(void)priv;
	return answer;
}

static void free_vm(struct gpuvm *vm)
{
	(void)vm;
}

static const struct gpuvm_ops vm_ops = { .vm_free = free_vm };
static const struct bind_ops ops = { .prepare = prepare, .step = step };

static void answers(int err, int expected)
{
	struct bind_config config = { .size = sizeof(config), .ops = &ops };
	struct fence *out = fence_create();
	struct bind_sync sync = { .fence = out };
	struct bind_op op = { .type = BIND_MAP, .addr = 16, .range = 16 };
	struct bind_job job = { .ops = &op, .nr_ops = 1, .nr_out = 1, .out = &sync };
	struct gpuvm_object resv;
	struct bind_queue *q;
	struct gpuvm vm;

	gpuvm_object_init(&resv, 0, NULL, NULL);
	assert_int_equal(gpuvm_init(&vm, "answers", 0, NULL, &resv, 0, 1000, 0, 0, &vm_ops), 0);
	assert_int_equal(bind_vm_init(&vm, &config), 0);
	q = bind_queue_create(&vm, "answers", NULL);
	answer = err;
	by_step = false;
	assert_int_equal(bind_queue_submit(q, &job), expected);
	assert_false(fence_is_signaled(out));
	assert_false(bind_vm_is_banned(&vm));
	by_step = true;
	assert_int_equal(bind_queue_submit(q, &job), 0);
	assert_int_equal(fence_wait(out, FENCE_FOREVER), 0);
	assert_int_equal(fence_error(out), expected);
	assert_true(bind_vm_is_banned(&vm));
	assert_int_equal(bind_vm_close(&vm, BIND_DRAIN), 0);
	bind_queue_destroy(q);
	gpuvm_put(&vm);
	gpuvm_object_put(&resv);
	fence_put(out);
}

static void good_answers_are_passed_on(void **state)
{
	(void)state;
	answers(-EIO, -EIO);
	answers(-1, -1);
	answers(-4095, -4095);
}

static void others_are_taken_for_invalid(void **state)
{
	(void)state;
	answers(1, -EINVAL);
	answers(-4096, -EINVAL);
	answers(INT_MAX, -EINVAL);
	answers(INT_MIN, -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_answers_are_passed_on),
		cmocka_unit_test(others_are_taken_for_invalid),
	};

	return cmocka_run_group_tests_name("bind_answers", tests, NULL, NULL);
}
