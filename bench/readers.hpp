/* SPDX-License-Identifier: MIT */
/* A reader beside a writer: what each keeps of its speed, and how long single look-ups take. */
#ifndef BENCH_READERS_HPP
#define BENCH_READERS_HPP

#include "workloads.hpp"

/*
 * One repetition: a reader on @reader_cpu, a writer on this thread's CPU, first one, then the
 * other, then both, in short turns, so that all three meet the same machine.
 */
void run_readers(const bench_peer &peer, const key_set &keys, const options &opt, int reader_cpu,
		 const report::sink &sink);

#endif
