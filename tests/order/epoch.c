/* SPDX-License-Identifier: MIT */
/*
 * ORDER epoch: a thread that finds that a mapping is gone reads what was done before it was
 * declared gone.
 */
#include "two.h"

#include "gpuvm/object.h"
#include <samara/gpuvm.h>

#define ROUNDS 2000

static struct gpuvm_object obj;
static struct gpuvm_bo pair = { .obj = &obj };
static struct gpuva mappings[ROUNDS];
static unsigned long notes[ROUNDS];

static void *hide(void *unused)
{
	(void)unused;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		notes[i] = i + 1;
		gpuvm_object_lock(&obj);
		smr_gpuvm_bo_hide(&pair);
		gpuvm_object_unlock(&obj);
	}
	return NULL;
}

static void *look(void *unused)
{
	(void)unused;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		while (!smr_gpuva_is_gone(&mappings[i]))
			;
		if (notes[i] != i + 1)
			exit(1);
	}
	return NULL;
}

void order_epoch(void)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		mappings[i].vm_bo = &pair;
		mappings[i].epoch = i;
	}
	two(hide, look);
}
