/* SPDX-License-Identifier: MIT */
/*
 * Threads that fault: while jobs change a VM, they ask it without a lock what is mapped at an
 * address, as a page fault handler does, and judge every answer (probes.h). Now and then they walk
 * over some mappings in a row.
 */
#ifndef SAMARA_TOOL_FAULTS_H
#define SAMARA_TOOL_FAULTS_H

#include "crew.h"
#include "probes.h"

/* What they ask, and what they judge the answers by. */
struct faults {
	struct gpuvm *vm;
	const struct probes *probes;
};

/* Like crew_start(); @faults must stay valid until crew_stop(). */
int faulters_start(struct crew **faulters, struct faults *faults, unsigned int nr, uint64_t seed);

#endif
