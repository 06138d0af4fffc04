/* SPDX-License-Identifier: MIT */
/* Sets up the VM that bind queues drive, plain or of the software GPU: see queue_run.h. */
#include <errno.h>

#include "queue_run.h"

static void vm_free(struct gpuvm *vm)
{
	(void)vm;
}

static const struct gpuvm_ops vm_ops = { .vm_free = vm_free };

static int set_up_plain(struct queue_run *run, const struct bind_config *config)
{
	int err;

	run->r_obj = gpuvm_resv_object_alloc(NULL);
	if (!run->r_obj)
		return -ENOMEM;
	err = gpuvm_init(&run->plain, run->settings->name, 0, NULL, run->r_obj, 0, UINT64_MAX, 0, 0,
			 &vm_ops);
	if (!err) {
		gpuvm_set_align(&run->plain, run->trace->header.page);
		err = bind_vm_init(&run->plain, config);
		if (err)
			gpuvm_put(&run->plain);
	}
	if (err)
		gpuvm_object_put(run->r_obj);
	run->vm = &run->plain;
	return err;
}

static int set_up_gpu(struct queue_run *run, const struct bind_config *config)
{
	int err = sg_vm_create(&run->device, run->settings->name, SG_EAGER, config, &run->gpu);

	if (!err)
		run->vm = &run->gpu->base;
	return err;
}

int queue_vm_set_up(struct queue_run *run)
{
	const struct bind_config config = {
		.size = sizeof(config),
		.ops = &queue_section_ops,
		.priv = run,
		.va_size = sizeof(struct vm_mapping),
		.max_jobs = run->settings->in_flight,
	};

	return run->settings->engines ? set_up_gpu(run, &config) : set_up_plain(run, &config);
}

void queue_vm_tear_down(struct queue_run *run)
{
	if (run->gpu) {
		sg_vm_destroy(run->gpu);
		return;
	}
	bind_vm_close(&run->plain, BIND_DRAIN);
	gpuvm_put(&run->plain);
	gpuvm_object_put(run->r_obj);
}
