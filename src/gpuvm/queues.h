/* SPDX-License-Identifier: MIT */
/* All that this layer knows of the queues that drive a VM. */
#ifndef SMR_GPUVM_QUEUES_H
#define SMR_GPUVM_QUEUES_H

/* A struct gpuvm_queues begins with one. */
struct gpuvm_queues_head {
	void (*free)(struct gpuvm_queues_head *head); /* with the VM, after its last reference */
};

#endif
