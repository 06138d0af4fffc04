/* SPDX-License-Identifier: MIT */
/*
 * Readers beside a writer: what one of them and the writer keep of their speed, how long single
 * look-ups take, and how many there are of them when there are more readers.
 */
#ifndef BENCH_READERS_HPP
#define BENCH_READERS_HPP

#include "workloads.hpp"

/*
 * One repetition: a reader on the first of @cpus, a writer on this thread's CPU, first one, then
 * the other, then both, in short turns, so that all three meet the same machine. Then readers on
 * more and more of @cpus.
 */
void run_readers(const bench_peer &peer, const key_set &keys, const options &opt,
		 const std::vector<int> &cpus, const report::sink &sink);

#endif
