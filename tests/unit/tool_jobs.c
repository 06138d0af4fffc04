/* SPDX-License-Identifier: MIT */
/*
 * Traces as jobs: what the jobs do, in which order they must run, and what readers may see
 * meanwhile.
 */
#include "support/cm.h"

#include <errno.h>
#include <string.h>

#include "tools/samara/gpu_work.h"
#include "tools/samara/jobs.h"
#include "tools/samara/samara.h"

/* Replaces the error messages of jobs.c. */
int complain(const char *format, ...)
{
	(void)format;
	return EXIT_FAILED;
}

int complain_at(const char *name, unsigned long line, const char *format, ...)
{
	(void)name;
	(void)line;
	(void)format;
	return EXIT_FAILED;
}

static struct trace trace;
static struct jobs jobs;
static struct probes probes;

static void add(const char *lines)
{
	char text[4096], why[256] = "";
	struct trace_reader *reader;
	struct trace_op op;

	snprintf(text, sizeof(text),
		 "# samara-trace 1\n# source: test\n# page: 1000\n# va: 0-ffffffffffffffff\n%s",
		 lines);
	if (trace_open_buffer(&reader, text, strlen(text), "test", why, sizeof(why)))
		fail_msg("%s", why);
	trace.header = *trace_reader_header(reader);
	while (trace_next(reader, &op) == 1)
		assert_int_equal(trace_append(&trace, &op), 0);
	assert_string_equal(trace_reader_error(reader), "");
	trace_close(reader);
}

static int make(const char *lines, unsigned int lanes)
{
	const struct jobs_options options = { .name = "test", .lanes = lanes, .pieces = true };

	add(lines);
	return jobs_init(&jobs, &trace, &options);
}

static int tear_down(void **state)
{
	(void)state;
	if (jobs.trace)
		jobs_destroy(&jobs);
	trace_free(&trace);
	return 0;
}

static void expect_ops(size_t job, unsigned int nr)
{
	assert_int_equal(jobs.job[job].nr_ops, nr);
}

static void expect_map(size_t job, unsigned int at, uint64_t addr, uint64_t range, uint64_t id,
		       uint64_t offset, unsigned int flags)
{
	const struct bind_op *op = &jobs.ops[jobs.job[job].ops + at];

	assert_int_equal(op->type, BIND_MAP);
	assert_int_equal(op->addr, addr);
	assert_int_equal(op->range, range);
	assert_int_equal(((const struct vm_object *)op->obj)->id, id);
	assert_int_equal(op->offset, offset);
	assert_int_equal(op->flags, flags_to_va(flags));
}

static void expect_unmap(size_t job, unsigned int at, uint64_t addr, uint64_t range)
{
	const struct bind_op *op = &jobs.ops[jobs.job[job].ops + at];

	assert_int_equal(op->type, BIND_UNMAP);
	assert_int_equal(op->addr, addr);
	assert_int_equal(op->range, range);
	assert_null(op->obj);
}

static void test_map_and_unmap(void **state)
{
	(void)state;
	assert_int_equal(make("map 1000 2000 7 3000 rwp\nmap 5000 1000 0 0 p\nunmap 0 9000\n", 1),
			 EXIT_OK);
	assert_int_equal(jobs.peak, 2);
	assert_int_equal(jobs.nr, 3);
	expect_ops(0, 1);
	expect_map(0, 0, 0x1000, 0x2000, 7, 0x3000, TRACE_READ | TRACE_WRITE);
	expect_ops(1, 1);
	expect_map(1, 0, 0x5000, 0x1000, 0, 0x5000, 0);
	expect_ops(2, 1);
	expect_unmap(2, 0, 0, 0x9000);
	assert_int_equal(jobs.job[0].nr_pieces, 1);
	assert_int_equal(jobs.job[2].nr_pieces, 0);
}

/* Only pieces whose flags change are mapped again. */
static void test_protect(void **state)
{
	(void)state;
	assert_int_equal(make("map 1000 2000 7 0 rp\nmap 3000 1000 0 0 rwp\nmap 4000 2000 8 0 rp\n"
			      "protect 2000 3000 rwp\nprotect 2000 3000 rwp\n",
			      1),
			 EXIT_OK);
	expect_ops(3, 2);
	expect_map(3, 0, 0x2000, 0x1000, 7, 0x1000, TRACE_READ | TRACE_WRITE);
	expect_map(3, 1, 0x4000, 0x1000, 8, 0, TRACE_READ | TRACE_WRITE);
	assert_int_equal(jobs.job[3].nr_pieces, 3);
	expect_ops(4, 0);
}

static void test_move(void **state)
{
	(void)state;
	assert_int_equal(make("map 1000 2000 7 0 rp\nmove 2000 1000 8000 2000\n"
			      "move 8000 2000 8000 1000\nmove 8000 1000 8000 3000\n"
			      "move 8000 3000 8000 3000\n",
			      1),
			 EXIT_OK);
	expect_ops(1, 3);
	expect_unmap(1, 0, 0x8000, 0x2000);
	expect_map(1, 1, 0x8000, 0x2000, 7, 0x1000, TRACE_READ);
	expect_unmap(1, 2, 0x2000, 0x1000);
	assert_int_equal(jobs.job[1].nr_pieces, 0);
	assert_int_equal(jobs.job[1].nr_more, 1);
	expect_ops(2, 1);
	expect_unmap(2, 0, 0x9000, 0x1000);
	expect_ops(3, 1);
	expect_map(3, 0, 0x8000, 0x3000, 7, 0x1000, TRACE_READ);
	expect_ops(4, 0);
}

/* A load belongs to the last job before it that touched its address. */
static void test_loads(void **state)
{
	const struct load *load;

	(void)state;
	assert_int_equal(make("map 1000 1000 7 0 rp\nmap 3000 1000 0 0 rp\nload 1234\nload 1235\n"
			      "unmap 1000 1000\n",
			      1),
			 EXIT_OK);
	assert_int_equal(jobs.nr, 3);
	assert_int_equal(jobs.nr_loads, 2);
	assert_int_equal(jobs.job[1].load, 0);
	assert_int_equal(jobs.job[2].load, 0);
	load = &jobs.loads[jobs.job[0].load - 1];
	assert_int_equal(load->addr, 0x1235);
	assert_int_equal(load->content.object, 7);
	assert_int_equal(load->content.offset, 0x235);
	load = &jobs.loads[load->next - 1];
	assert_int_equal(load->addr, 0x1234);
	assert_int_equal(load->next, 0);
}

static uint32_t after(size_t job, unsigned int lane)
{
	return order_after(&jobs.order, jobs.job[job].item, lane);
}

/* Jobs 0, 2 and 4 are in lane 0, jobs 1, 3 and 5 in lane 1. */
static void test_order(void **state)
{
	(void)state;
	assert_int_equal(make("map 1000 1000 7 0 rp\nmap 3000 1000 0 0 rp\nmap 5000 1000 0 0 p\n"
			      "unmap 1000 1000\nunmap 3000 3000\nmap 3000 1000 0 0 p\n",
			      2),
			 EXIT_OK);
	for (size_t job = 0; job < 3; job++)
		assert_int_equal(after(job, !(job % 2)), 0);
	/*
	 * 3 waits for 0, the first of its lane; 4 for 1, and for 2 in its own lane; 5 for 4, the
	 * third.
	 */
	assert_int_equal(after(3, 0), 1);
	assert_int_equal(after(4, 1), 1);
	assert_int_equal(after(5, 0), 3);
	for (size_t job = 0; job < 6; job++)
		assert_int_equal(after(job, job % 2), 0);
}

static void test_top_of_the_space(void **state)
{
	(void)state;
	assert_int_equal(make("map fffffffffffff000 1000 0 0 p\n", 1), EXIT_FAILED);
	assert_int_equal(jobs.nr, 0);
}

/* ---- Readers ---- */

static void make_with_probes(bool steps)
{
	const struct jobs_options options = { .name = "test", .lanes = 2, .probes = &probes };

	add("map 1000 1000 7 0 rp\nmap 1000 1000 7 0 rwp\nunmap 1000 1000\nmap 1000 1000 0 0 p\n");
	assert_int_equal(probes_init(&probes, &trace, 64, steps), 0);
	assert_int_equal(jobs_init(&jobs, &trace, &options), EXIT_OK);
}

static struct fixed_probe *probe_at(uint64_t addr)
{
	for (size_t i = 0; i < probes.nr; i++) {
		if (probes.probe[i].addr == addr)
			return &probes.probe[i];
	}
	fail_msg("no such probe");
	return NULL;
}

static bool allows(const struct fixed_probe *probe, struct content content, uint32_t before,
		   uint32_t after)
{
	return probe_allows(probe, &content, before, after);
}

static const struct content nothing = { .mapped = false };
static const struct content first = { true, TRACE_READ, 7, 0x800 };
static const struct content second = { true, TRACE_READ | TRACE_WRITE, 7, 0x800 };
static const struct content last = { true, 0, 0, 0 };

static void test_probes(void **state)
{
	struct fixed_probe *probe;

	(void)state;
	make_with_probes(false);
	probe = probe_at(0x1800);
	assert_int_equal(probe->nr, 5);
	/* Nothing is done yet: job 0 may be running. */
	assert_true(allows(probe, nothing, 0, 0));
	assert_true(allows(probe, first, 0, 0));
	assert_false(allows(probe, second, 0, 0));
	probes_done(&probes, 0, 0x1000, 0x1fff);
	assert_int_equal(probe_before(probe), 1);
	assert_int_equal(probe_before(probe_at(0x2000)), 0);
	assert_false(allows(probe, nothing, 1, 1));
	assert_true(allows(probe, second, 1, 1));
	probes_done(&probes, 1, 0x1000, 0x1fff);
	/* A look-up that spans the end of job 1, and one that began after it. */
	assert_true(allows(probe, first, 1, 2));
	assert_false(allows(probe, first, 2, 2));
	assert_true(allows(probe, nothing, 2, 2));
	assert_false(allows(probe, last, 2, 2));
	probes_done(&probes, 3, 0x1000, 0x1fff);
	assert_int_equal(probe_after(probe), 4);
	assert_true(allows(probe, last, 4, 4));
	assert_false(allows(probe, nothing, 4, 4));
	probes_destroy(&probes);
}

/* If a VM shows its steps, a look-up may find nothing during a job that maps over something. */
static void test_probes_with_steps(void **state)
{
	struct fixed_probe *probe;

	(void)state;
	make_with_probes(true);
	probe = probe_at(0x1800);
	probes_done(&probes, 0, 0x1000, 0x1fff);
	assert_true(allows(probe, first, 1, 1));
	assert_true(allows(probe, nothing, 1, 1));
	assert_true(allows(probe, second, 1, 1));
	assert_false(allows(probe, last, 1, 1));
	probes_done(&probes, 1, 0x1000, 0x1fff);
	assert_int_equal(probe_after(probe), 3);
	assert_false(allows(probe, first, 3, 3));
	probes_destroy(&probes);
}

/* ---- What a VM has, compared with what it should ---- */

static void vm_free(struct gpuvm *vm)
{
	(void)vm;
}

/* A VM that has what @ops, @nr mappings, say; @check's answer about it. */
static int with_vm(const struct bind_op *ops, unsigned int nr, int (*check)(struct gpuvm *vm))
{
	static const struct gpuvm_ops vm_ops = { .vm_free = vm_free };
	struct gpuvm_object *r_obj = gpuvm_resv_object_alloc(NULL);
	struct vm_mapping held[8] = { 0 };
	struct gpuvm vm;
	int err;

	assert_non_null(r_obj);
	assert_int_equal(gpuvm_init(&vm, "test", 0, NULL, r_obj, 0, UINT64_MAX, 0, 0, &vm_ops), 0);
	gpuvm_lock(&vm);
	for (unsigned int i = 0; i < nr; i++) {
		struct gpuva_op_map map = { { ops[i].addr, ops[i].range },
					    { ops[i].obj, ops[i].offset } };

		held[i].va.flags = ops[i].flags;
		assert_int_equal(gpuva_map(&vm, &held[i].va, &map), 0);
	}
	gpuvm_unlock(&vm);
	err = check(&vm);
	gpuvm_lock(&vm);
	for (unsigned int i = 0; i < nr; i++)
		gpuva_remove(&held[i].va);
	gpuvm_unlock(&vm);
	gpuvm_put(&vm);
	gpuvm_object_put(r_obj);
	return err;
}

/* With the model, and with all pieces of [1000..6fff]. */
static int check_both(struct gpuvm *vm)
{
	struct as_mapping pieces[3];
	struct address_space model;
	const char *unused = "";
	char why[512] = "";
	struct as_pos pos;
	int err;

	as_init(&model);
	for (size_t i = 0; i < trace.count; i++)
		assert_int_equal(as_apply(&model, &trace.ops[i], &unused), 0);
	pieces[0] = *as_from(&model, 0, &pos);
	pieces[1] = *as_next(&model, &pos);
	pieces[2] = *as_next(&model, &pos);
	err = vm_check_all(vm, &model, why, sizeof(why));
	assert_int_equal(*why != 0, err != 0);
	assert_int_equal(vm_check_range(vm, 0x1000, 0x6fff, pieces, 3, why, sizeof(why)), err);
	as_destroy(&model);
	return err;
}

static void test_comparisons(void **state)
{
	struct bind_op right[4], wrong[4];

	(void)state;
	assert_int_equal(
		make("map 1000 1000 7 0 rp\nmap 3000 1000 0 0 rwp\nmap 5000 1000 8 4000 rp\n", 1),
		EXIT_OK);
	memcpy(right, jobs.ops, 3 * sizeof(*right));
	right[3] = right[0];
	right[3].addr = 0x4000;
	assert_int_equal(with_vm(right, 3, check_both), 0);
	assert_int_equal(with_vm(right, 4, check_both), -EUCLEAN);
	right[3].addr = 0x6000;
	assert_int_equal(with_vm(right, 4, check_both), -EUCLEAN);
	assert_int_equal(with_vm(right, 2, check_both), -EUCLEAN);
	assert_int_equal(with_vm(right + 1, 2, check_both), -EUCLEAN);
	assert_int_equal(with_vm(right, 0, check_both), -EUCLEAN);
	for (unsigned int i = 0; i < 3; i++) {
		memcpy(wrong, right, sizeof(wrong));
		wrong[i].offset += 0x1000;
		assert_int_equal(with_vm(wrong, 3, check_both), -EUCLEAN);
		memcpy(wrong, right, sizeof(wrong));
		wrong[i].flags ^= flags_to_va(TRACE_EXEC);
		assert_int_equal(with_vm(wrong, 3, check_both), -EUCLEAN);
		memcpy(wrong, right, sizeof(wrong));
		wrong[i].obj = right[(i + 1) % 3].obj;
		assert_int_equal(with_vm(wrong, 3, check_both), -EUCLEAN);
		memcpy(wrong, right, sizeof(wrong));
		wrong[i].range = 0x800;
		assert_int_equal(with_vm(wrong, 3, check_both), -EUCLEAN);
	}
}

static int check_last_job(struct gpuvm *vm)
{
	char why[512];

	return jobs_check(&jobs, jobs.nr - 1, vm, why, sizeof(why));
}

static void test_comparisons_after_moves(void **state)
{
	const struct bind_op *there;

	(void)state;
	assert_int_equal(make("map 1000 1000 7 0 rp\nmove 1000 1000 8000 1000\n", 1), EXIT_OK);
	there = &jobs.ops[jobs.job[1].ops + 1];
	assert_int_equal(there->addr, 0x8000);
	assert_int_equal(with_vm(there, 1, check_last_job), 0);
	assert_int_equal(with_vm(NULL, 0, check_last_job), -EUCLEAN);
	assert_int_equal(with_vm(jobs.ops, 1, check_last_job), -EUCLEAN);
}

static void test_contents(void **state)
{
	const struct content content = { true, TRACE_READ, 7, 0x1000 };
	struct content other = content;

	(void)state;
	assert_true(content_equal(&content, &other));
	other.offset++;
	assert_false(content_equal(&content, &other));
	other = content;
	other.object++;
	assert_false(content_equal(&content, &other));
	other = content;
	other.flags = TRACE_WRITE;
	assert_false(content_equal(&content, &other));
	other = content;
	other.mapped = false;
	assert_false(content_equal(&content, &other));
	assert_false(content_equal(&other, &content));
}

/* ---- What engines do between jobs ---- */

static void test_tasks(void **state)
{
	unsigned char page[SG_PAGE];
	struct gpu_work work;
	const struct jobs_options options = {
		.name = "test",
		.lanes = 1,
		.other_lanes = 1,
		.on_job = gpu_work_add,
		.arg = &work,
	};
	const struct gpu_task *task;

	(void)state;
	add("map 1000 1000 7 0 rwp\nunmap 5000 1000\nunmap 6000 1000\nunmap 7000 1000\nunmap 1000 1000\n");
	assert_int_equal(gpu_work_init(&work, &jobs, 1, 1), 0);
	assert_int_equal(jobs_init(&jobs, &trace, &options), EXIT_OK);
	assert_int_equal(work.nr, 2);
	/* What is written is read back. */
	task = &work.tasks[0];
	assert_int_equal(task->jobs_before, 1);
	assert_false(task->faults);
	assert_int_equal(task->nr_cmds, 2);
	assert_int_equal(task->cmds[0].type, SG_FILL);
	assert_int_equal(task->cmds[0].dst, 0x1000);
	assert_int_equal(task->cmds[1].type, SG_VERIFY);
	assert_int_equal(task->cmds[1].src, 0x1000);
	sg_fill(page, sizeof(page), task->cmds[0].pattern);
	assert_true(task->cmds[1].sum == sg_checksum(0, page, sizeof(page)));
	task = &work.tasks[1];
	assert_int_equal(task->jobs_before, 5);
	assert_true(task->faults);
	gpu_work_destroy(&work);
}

static void expect_verdict(bool faults, int error, const char *wanted)
{
	struct gpu_task task = { .faults = faults, .nr_cmds = 2 };
	char why[128] = "";

	task.cmds[0] = (struct sg_cmd){ .type = SG_VERIFY, .error = faults ? -EFAULT : 0 };
	task.cmds[1] = (struct sg_cmd){
		.type = SG_VERIFY, .src = 0x1000, .fault = 0x1008, .error = error
	};
	assert_int_equal(gpu_task_check(&task, why, sizeof(why)), *wanted ? -EUCLEAN : 0);
	assert_string_equal(why, wanted);
}

static void test_verdicts_on_tasks(void **state)
{
	(void)state;
	expect_verdict(false, 0, "");
	expect_verdict(false, -EFAULT, "an engine found nothing mapped at 1008");
	expect_verdict(false, -EIO, "an engine found wrong contents at 1000");
	expect_verdict(true, -EFAULT, "");
	expect_verdict(true, 0, "an engine found something mapped at 1000");
	expect_verdict(true, -EIO, "an engine found something mapped at 1000");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_map_and_unmap, tear_down),
		cmocka_unit_test_teardown(test_protect, tear_down),
		cmocka_unit_test_teardown(test_move, tear_down),
		cmocka_unit_test_teardown(test_loads, tear_down),
		cmocka_unit_test_teardown(test_order, tear_down),
		cmocka_unit_test_teardown(test_top_of_the_space, tear_down),
		cmocka_unit_test_teardown(test_probes, tear_down),
		cmocka_unit_test_teardown(test_probes_with_steps, tear_down),
		cmocka_unit_test_teardown(test_comparisons, tear_down),
		cmocka_unit_test_teardown(test_comparisons_after_moves, tear_down),
		cmocka_unit_test(test_contents),
		cmocka_unit_test_teardown(test_tasks, tear_down),
		cmocka_unit_test(test_verdicts_on_tasks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
