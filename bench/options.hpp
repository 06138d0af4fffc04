/* SPDX-License-Identifier: MIT */
#ifndef BENCH_OPTIONS_HPP
#define BENCH_OPTIONS_HPP

#include "peer.h"
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

struct options {
	std::vector<size_t> sizes;
	std::vector<std::string> peers;     /* empty: all but those that run on request */
	std::vector<std::string> workloads; /* empty: all */
	std::vector<std::string> dists;     /* as given, or "page" */
	std::vector<std::string> traces;    /* files to replay */
	std::string json;                   /* file to write, "-": standard output */
	std::string ratio;                  /* peer to divide by, for a second table */
	size_t reps = 0; /* as given, or by --quick or --full; the same for ops */
	size_t ops = 0;  /* loads, and at most as many changes, per repetition */
	double reader_seconds = 0;
	uint64_t seed = 1;
	bool full = false;     /* more numbers of mappings, unless they are given */
	bool cpu_time = false; /* of the reader and the writer that run at the same time */
	bool best = false;     /* tables show the best, not the median */
	int cpu = -1;          /* -1: the last one allowed */
};

/* Reads the command line; prints and exits on --help, --list and mistakes. */
options parse_options(int argc, char **argv);

/* Reports an error with a file, from errno, and returns 1. */
int failed(const std::string &path);

/* Returns 0 if all that was printed could be written, else does what failed() does. */
int end_output();

/* Whether @peer is to be measured. */
bool chosen(const options &opt, const bench_peer &peer);

/* Whether @workload, or any of @workloads, is to be run. */
bool wanted(const options &opt, const std::string &workload);
bool wanted_any(const options &opt, std::initializer_list<const char *> workloads);

#endif
