/* SPDX-License-Identifier: MIT */
/* What is measured. If a peer gives a wrong answer, the program ends with a message. */
#ifndef BENCH_WORKLOADS_HPP
#define BENCH_WORKLOADS_HPP

#include "keys.hpp"
#include "options.hpp"
#include "peer.h"
#include "report.hpp"
#include <string>
#include <vector>

struct workload_info {
	std::string name;
	const char *unit;
	const char *group; /* workloads of a group share a table; sorted by name */
	const char *what;
};
const std::vector<workload_info> &workload_infos();
/* Returns the one with this name, which must exist. */
const workload_info &workload_of(const std::string &name);

/* Whether any workload of these groups is to be run. */
bool wanted_group(const options &opt, std::initializer_list<const char *> groups);

/* The numbers of readers to measure if there are CPUs for @most: none if that is one. */
std::vector<size_t> crowds(size_t most);
/* The name of the figure for @n readers: @what is "reads" or "writes". */
std::string crowd_name(const char *what, size_t n);

[[noreturn]] void wrong_answer(const bench_peer &peer, const char *what);

inline unsigned long word(void *entry)
{
	return reinterpret_cast<unsigned long>(entry);
}

/* An empty tree of a peer. */
void *create(const bench_peer &peer);
/* A peer's tree with everything in it, and the time of a store in *@ns (0: none was done). */
void *build(const bench_peer &peer, const key_set &keys, double *ns);
/* Erases and stores again @ops mappings, beginning with number @at. */
void change(const bench_peer &peer, void *tree, const key_set &keys, size_t at, size_t ops);

/* One repetition on one thread: builds, measures and destroys @peer's trees. */
void run_single(const bench_peer &peer, const key_set &keys, const options &opt,
		const report::sink &sink);
/* The same for mappings that are stored and erased in ascending order. */
void run_in_order(const bench_peer &peer, const key_set &keys, const report::sink &sink);
/* The same for the search for gaps. */
void run_gaps(const bench_peer &peer, const key_set &keys, const report::sink &sink);

#endif
