/* SPDX-License-Identifier: MIT */
/* What is measured: each workload yields one sample per repetition. */
#ifndef BENCH_WORKLOADS_HPP
#define BENCH_WORKLOADS_HPP

#include "keys.hpp"
#include "options.hpp"
#include "peer.h"
#include <functional>
#include <string>
#include <vector>

struct workload_info {
	const char *name;
	const char *unit;
	const char *what;
};
const std::vector<workload_info> &workload_infos();

/* Takes one sample of the workload named. */
using sample_sink = std::function<void(const char *workload, double value)>;

/*
 * One repetition: builds, measures and destroys @peer's trees. Wrong answers end the program with
 * a message. @gaps is the fragmented space, or NULL when gap search is not wanted.
 */
void run_single(const bench_peer &peer, const key_set &keys, const key_set *gaps,
		const options &opt, const sample_sink &sink);

/* One reader on @reader_cpu, first alone, then beside a writer on this thread's CPU. */
void run_reader(const bench_peer &peer, const key_set &keys, const options &opt, int reader_cpu,
		const sample_sink &sink);

#endif
