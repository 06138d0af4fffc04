/* SPDX-License-Identifier: MIT */
/* A child of fork() leaves its parent's VMs alone, and has VMs with queues of its own. */
#include "base/sanitizer.h"
#include "support/cm.h"

#include <samara/bind_queue.h>
#include <sys/wait.h>
#include <unistd.h>
#include <urcu/urcu-bp.h>

/* A child that hangs is killed, and reported. */
#define CHILD_SECONDS 20

/* A VM with a queue and the shared workers. */
struct shared {
	struct gpuvm vm;
	struct gpuvm_object r_obj;
	struct bind_queue *q;
};

static void vm_free(struct gpuvm *vm)
{
	(void)vm; /* it is static */
}

/* These return 0 or a negative errno. */
static int begin_shared(struct shared *s)
{
	static const struct gpuvm_ops ops = { .vm_free = vm_free };
	static const struct bind_config config = { .size = sizeof(config) };
	int err;

	gpuvm_object_init(&s->r_obj, 0, NULL, NULL);
	err = gpuvm_init(&s->vm, "shared", 0, NULL, &s->r_obj, 0, 0x1000, 0, 0, &ops);
	if (!err)
		err = bind_vm_init(&s->vm, &config);
	if (!err)
		s->q = bind_queue_create(&s->vm, "shared", &err);
	return err;
}

static int map(struct shared *s)
{
	struct bind_op op = { .type = BIND_MAP, .addr = 0x10, .range = 0x10 };
	struct bind_job job = { .ops = &op, .nr_ops = 1, .flags = BIND_SYNC };

	return bind_queue_submit(s->q, &job);
}

static int end_shared(struct shared *s)
{
	int err = bind_vm_close(&s->vm, BIND_DRAIN);

	bind_queue_destroy(s->q);
	gpuvm_put(&s->vm);
	gpuvm_object_put(&s->r_obj);
	return err;
}

/* Returns the child's exit status. */
static int child(void)
{
	static struct shared own;

	return begin_shared(&own) || map(&own) || end_shared(&own);
}

static int status_of_child(void)
{
	int status;
	pid_t pid;

	urcu_bp_before_fork();
	pid = fork();
	if (pid == 0) {
		alarm(CHILD_SECONDS);
		urcu_bp_after_fork_child();
		_exit(child());
	}
	urcu_bp_after_fork_parent();
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* The parent's are not there: the child gets some of its own. */
static void shared_workers(void **state)
{
	static struct shared parents;

	(void)state;
	assert_int_equal(status_of_child(), 0);
	assert_int_equal(begin_shared(&parents), 0);
	assert_int_equal(map(&parents), 0);
	assert_int_equal(status_of_child(), 0);
	assert_int_equal(map(&parents), 0);
	assert_int_equal(end_shared(&parents), 0);
	assert_int_equal(status_of_child(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shared_workers),
	};

#if SMR_TSAN || SMR_ASAN
	return 77; /* as in mem_fork.c */
#endif
	return cmocka_run_group_tests_name("bind_fork", tests, NULL, NULL);
}
