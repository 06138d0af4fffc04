/* SPDX-License-Identifier: MIT */
/* Recorded traces replayed through the peers. */
#ifndef BENCH_REPLAY_HPP
#define BENCH_REPLAY_HPP

#include "steps.h"
#include "workloads.hpp"

struct replay {
	data_set data; /* "trace:NAME", and the number of steps */
	std::vector<bench_step> steps;
	std::vector<bench_step> changes; /* the steps without the look-ups */
	std::vector<bench_step> ends;    /* look-ups for after the last change */
};

/* Ends the program with a message if the file cannot be used. */
replay load_replay(const std::string &path);

/* One repetition: the whole trace, as often as it takes to have something to measure. */
void run_replay(const bench_peer &peer, const replay &trace, const options &opt,
		const report::sink &sink);

#endif
