/* SPDX-License-Identifier: MIT */
/*
 * Threads that fault: they ask a VM, without a lock, what is mapped at an address, as the handler
 * of a page fault does, while jobs change it, and judge every answer (probes.h). Now and then they
 * walk over some mappings in a row.
 */
#ifndef SAMARA_TOOL_FAULTS_H
#define SAMARA_TOOL_FAULTS_H

#include "counts.h"
#include "probes.h"

struct faulters;

/* Starts @nr threads and waits until each is at work. 0 or a negative errno. */
int faulters_start(struct faulters **faulters, struct gpuvm *vm, const struct probes *probes,
		   unsigned int nr, uint64_t seed);
/*
 * Lets each thread look at every probe once more, ends them all, adds up what they counted and
 * frees.
 */
void faulters_stop(struct faulters *faulters, struct reader_counts *counts);

#endif
