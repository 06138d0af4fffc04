/* SPDX-License-Identifier: MIT */
/*
 * Judges answers to look-ups without locks, as history.h does, where jobs change a VM in an order
 * that is known in advance.
 *
 * For a fixed set of addresses, the probes, everything that each will ever hold is written down
 * before the first job runs, with the number of the job that stores it. Jobs that touch the same
 * address run in the order of their numbers; other jobs may run in any order. The thread that runs
 * a job calls probes_done() for what it touched after its changes are visible and before any later
 * job that touches the same addresses may begin. Then a look-up of a probe that began with d0 of
 * its entries done, and ended with d1 done, may have met
 *
 *   the entries from d0 to d1, since all of them were there meanwhile or at its beginning,
 *   and those of the job after that of entry d1, which may be running,
 *
 * and nothing else. No false alarm: entries beyond belong to jobs that cannot have begun. No wrong
 * answer escapes: one that was never there is in no entry, and an outdated one is below d0.
 *
 * A VM driven by its user shows the steps of a job: where it maps over something, there is nothing
 * for a moment. With @steps the entries include that.
 */
#ifndef SAMARA_TOOL_PROBES_H
#define SAMARA_TOOL_PROBES_H

#include <stdatomic.h>

#include "mapped.h"

struct probe_content {
	uint32_t job;
	struct content content;
};

struct fixed_probe {
	uint64_t addr;
	struct probe_content *entries; /* [0]: nothing, stored by no job */
	uint32_t nr;
	_Atomic(uint32_t) done; /* GUARD the running job: the last entry known to be there */
};

struct probes {
	size_t nr;
	struct fixed_probe *probe; /* by ascending address */
	bool steps;
};

/* Chooses about @max probes from the addresses that @trace touches. Returns 0 or -ENOMEM. */
int probes_init(struct probes *probes, const struct trace *trace, size_t max, bool steps);
void probes_destroy(struct probes *probes);

/*
 * Before any job runs: tells that job number @job touches [first..last] and leaves it as in @model.
 * Returns 0 or -ENOMEM.
 */
int probes_expect(struct probes *probes, uint32_t job, uint64_t first, uint64_t last,
		  const struct address_space *model);
/* Called by the thread that runs job @job, for the same range. Allocates nothing. */
void probes_done(struct probes *probes, uint32_t job, uint64_t first, uint64_t last);

/* Reader: call before and after its look-up. */
uint32_t probe_before(const struct fixed_probe *probe);
uint32_t probe_after(const struct fixed_probe *probe);
/* Whether a look-up between the two may have met @content. */
bool probe_allows(const struct fixed_probe *probe, const struct content *content, uint32_t before,
		  uint32_t after);

#endif
