/* SPDX-License-Identifier: MIT */
/*
 * samara-bench: Samara and other range maps side by side. For each number of mappings the peers
 * take turns, repetition by repetition, so that a change in the machine's speed affects all of
 * them.
 */
#include "clock.hpp"
#include "readers.hpp"
#include "replay.hpp"
#include "report.hpp"
#include "workloads.hpp"
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <iterator>
#include <new>
#include <stdexcept>
#include <unistd.h>

namespace
{

void show_progress(const data_set &data, size_t rep, const options &opt, const char *peer)
{
	if (isatty(STDERR_FILENO))
		std::fprintf(stderr, "\r\033[K%s, %zu, repetition %zu of %zu: %s",
			     data.dist.c_str(), data.n, rep, opt.reps, peer);
}

/*
 * Calls @run(peer, sink, warming up) for each peer in turn, in one round to warm up, which does not
 * count, and in as many more as there are repetitions.
 */
template <class Run>
void take_turns(const data_set &data, const options &opt, report &results, const Run &run)
{
	report unused;

	for (size_t rep = 0; rep <= opt.reps; rep++) {
		for (auto at = bench_peers(); *at; at++) {
			if (!chosen(opt, **at))
				continue;
			show_progress(data, rep, opt, (*at)->name);
			run(**at, (rep ? results : unused).sink_of(data, (*at)->name, opt), !rep);
		}
	}
	if (isatty(STDERR_FILENO))
		std::fprintf(stderr, "\r\033[K");
}

void run_mappings(const std::string &dist, size_t n, const options &opt,
		  const std::vector<int> &reader_cpus, report &results)
{
	const key_set keys = make_keys(dist, n, opt.ops, opt.seed);
	const bool single = wanted_any(opt, { "build", "load", "load-dep", "load-batch", "iterate",
					      "churn", "resize", "bytes", "bytes-churn" });
	const bool in_order = wanted_any(opt, { "append", "drain" });
	const bool readers = !reader_cpus.empty() && wanted_group(opt, { "2", "3", "4", "5" });

	take_turns({ dist, n }, opt, results,
		   [&](const bench_peer &peer, const report::sink &sink, bool warming_up) {
			   if (single && !(peer.can & BENCH_LOCKS))
				   run_single(peer, keys, opt, sink);
			   if (in_order && peer.can & BENCH_CAN_STORE && !(peer.can & BENCH_LOCKS))
				   run_in_order(peer, keys, sink);
			   if (readers && !warming_up && peer.can & BENCH_CAN_READERS)
				   run_readers(peer, keys, opt, reader_cpus, sink);
		   });
}

/* Always in a space made for it, whatever the distributions. */
void run_gap_searches(size_t n, const options &opt, report &results)
{
	if (!wanted_any(opt, { "gap-first", "gap-last" }))
		return;
	const std::string dist = "fragmented";
	const key_set keys = make_keys(dist, n, opt.ops, opt.seed);

	take_turns({ dist, n }, opt, results,
		   [&](const bench_peer &peer, const report::sink &sink, bool) {
			   if (peer.can & BENCH_CAN_GAP && !(peer.can & BENCH_LOCKS))
				   run_gaps(peer, keys, sink);
		   });
}

void run_traces(const std::vector<replay> &traces, const options &opt, report &results)
{
	for (const auto &trace : traces) {
		take_turns(trace.data, opt, results,
			   [&](const bench_peer &peer, const report::sink &sink, bool) {
				   if (peer.can & BENCH_CAN_STORE && !(peer.can & BENCH_LOCKS))
					   run_replay(peer, trace, opt, sink);
			   });
	}
}

/*
 * Prints the sizes of the working sets and what a dependent miss costs in each, and how long a line
 * takes to the reader's CPU.
 */
void print_calibration(FILE *out, const char *when, const calibration &c)
{
	std::fprintf(out, "ns per dependent miss %s:", when);
	for (const auto &chase : c.chases)
		std::fprintf(out, "  %zu KiB %.1f", chase.bytes >> 10, chase.ns);
	if (c.line_ns > 0)
		std::fprintf(out, "; a line from CPU to CPU %.0f", c.line_ns);
	std::fprintf(out, "\n");
}

void print_machine(FILE *out, const machine &m)
{
	std::fprintf(out, "%s, pinned to CPU %d, clock %.0f ns\n", cpu_name().c_str(), m.cpu,
		     m.clock_ns);
	print_calibration(out, "before", m.before);
	if (bench_linux_missing())
		std::fprintf(out, "linux: left out, %s\n", bench_linux_missing());
	if (m.reader_cpu < 0)
		std::fprintf(out, "reader beside a writer: left out, there is one CPU only\n");
	std::fflush(out);
}

/* Opened before there is anything to write, so that a mistake is reported before the run. */
FILE *open_json(const std::string &path)
{
	if (path == "-")
		return stdout;
	return std::fopen(path.c_str(), "a"); /* keeps the old contents until then */
}

int close_json(FILE *out, const options &opt, const machine &m, const report &results)
{
	/* Anything but a file, such as a pipe, has no old contents. */
	if (out != stdout && ftruncate(fileno(out), 0) && errno != EINVAL)
		return failed(opt.json);
	results.print_json(out, opt, m);
	if (std::fflush(out) || std::ferror(out) || (out != stdout && std::fclose(out)))
		return failed(opt.json);
	return 0;
}

/* Traces must have distinct names, as figures are stored by name. */
void add_trace(std::vector<replay> &traces, replay trace)
{
	for (const auto &other : traces)
		if (other.data.dist == trace.data.dist) {
			std::fprintf(stderr, "samara-bench: two files are called %s\n",
				     trace.data.dist.c_str());
			std::exit(1);
		}
	traces.push_back(std::move(trace));
}

int run(const options &opt)
{
	FILE *text = opt.json == "-" ? stderr : stdout; /* standard output has only one of them */
	FILE *json = opt.json.empty() ? nullptr : open_json(opt.json);
	const std::vector<int> &cpus = allowed_cpus();
	std::vector<int> reader_cpus;
	std::vector<replay> traces;
	machine m = {};
	report results;
	int status = 0;

	if (!json && !opt.json.empty())
		return failed(opt.json);
	for (const auto &path : opt.traces)
		add_trace(traces, load_replay(path));
	m.cpu = opt.cpu >= 0 || cpus.empty() ? opt.cpu : cpus.back();
	std::remove_copy(cpus.rbegin(), cpus.rend(), std::back_inserter(reader_cpus), m.cpu);
	m.reader_cpu = reader_cpus.empty() ? -1 : reader_cpus.front();
	pin_to(m.cpu);
	m.clock_ns = clock_cost();
	m.before = calibrate(m.reader_cpu);
	print_machine(text, m);
	for (const auto &dist : opt.dists)
		for (size_t n : opt.sizes)
			run_mappings(dist, n, opt, reader_cpus, results);
	for (size_t n : opt.sizes)
		run_gap_searches(n, opt, results);
	run_traces(traces, opt, results);
	m.after = calibrate(m.reader_cpu);
	print_calibration(text, "after", m.after);
	if (results.empty()) {
		std::fprintf(stderr, "samara-bench: nothing was measured: none of these peers does "
				     "any of these workloads (a replay wants --trace)\n");
		return 1;
	}
	if (text == stdout) {
		results.print(opt);
		status = end_output();
	}
	if (json && close_json(json, opt, m, results))
		status = 1;
	return status;
}

} // namespace

int main(int argc, char **argv)
{
	bench_peers(); /* finds out which peers exist, before names are checked */
	const options opt = parse_options(argc, argv);

	try {
		return run(opt);
	} catch (const std::bad_alloc &) {
	} catch (const std::length_error &) { /* more elements than a vector can have */
	}
	std::fprintf(stderr, "samara-bench: there is not enough memory for that\n");
	return 1;
}
