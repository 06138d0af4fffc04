/* SPDX-License-Identifier: MIT */
/*
 * Readers beside a writer: how much of its speed each of one reader and the writer keeps, how long
 * single look-ups take, and the number of look-ups with more readers.
 */
#ifndef BENCH_READERS_HPP
#define BENCH_READERS_HPP

#include "workloads.hpp"

/*
 * One repetition: a reader on the first of @cpus and a writer on this thread's CPU, first one, then
 * the other, then both, in short turns, so that all three meet the same machine. Then readers on
 * more and more of @cpus.
 */
void run_readers(const bench_peer &peer, const key_set &keys, const options &opt,
		 const std::vector<int> &cpus, const report::sink &sink);

#endif
