/* SPDX-License-Identifier: MIT */
/*
 * samara-bench: Samara and other range maps side by side. For each number of mappings the peers
 * take turns, repetition by repetition, so that a machine that gets slower or faster does so for
 * all of them.
 */
#include "clock.hpp"
#include "report.hpp"
#include "workloads.hpp"
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <unistd.h>

namespace
{

bool chosen(const options &opt, const bench_peer &peer)
{
	if (opt.peers.empty())
		return !(peer.can & BENCH_ON_REQUEST);
	return std::find(opt.peers.begin(), opt.peers.end(), peer.name) != opt.peers.end();
}

void show_progress(size_t n, size_t rep, const options &opt, const char *peer)
{
	if (isatty(STDERR_FILENO))
		std::fprintf(stderr, "\r\033[K%zu mappings, repetition %zu of %zu: %s", n, rep + 1,
			     opt.reps, peer);
}

void end_progress()
{
	if (isatty(STDERR_FILENO))
		std::fprintf(stderr, "\r\033[K");
}

bool any_wanted(const options &opt, std::initializer_list<const char *> names)
{
	return std::any_of(names.begin(), names.end(),
			   [&](const char *name) { return wanted(opt, name); });
}

void run_size(size_t n, const options &opt, int reader_cpu, report &results)
{
	const key_set keys = make_keys(opt.dist, n, opt.ops, opt.seed);
	const bool gap = any_wanted(opt, { "gap-first", "gap-last" });
	const bool single = gap || any_wanted(opt, { "build", "load", "load-dep", "iterate",
						     "churn", "bytes", "bytes-churn" });
	const bool readers =
		any_wanted(opt, { "read-alone", "read-beside", "read-kept", "write-beside" });
	const key_set gaps = gap ? make_keys("fragmented", n, opt.ops, opt.seed) : key_set();

	for (size_t rep = 0; rep < opt.reps; rep++) {
		for (auto at = bench_peers(); *at; at++) {
			const bench_peer &peer = **at;
			auto sink = [&](const char *workload, double value) {
				if (wanted(opt, workload))
					results.add(n, peer.name, workload, value);
			};

			if (!chosen(opt, peer))
				continue;
			show_progress(n, rep, opt, peer.name);
			if (single)
				run_single(peer, keys, gap ? &gaps : nullptr, opt, sink);
			if (readers && reader_cpu >= 0 && peer.can & BENCH_CAN_READERS)
				run_reader(peer, keys, opt, reader_cpu, sink);
		}
	}
	end_progress();
}

void print_machine(FILE *out, const std::vector<chase> &calibration, int cpu, int reader_cpu)
{
	std::fprintf(out, "%s, pinned to CPU %d\nns per dependent miss:", cpu_name().c_str(), cpu);
	for (const auto &c : calibration)
		std::fprintf(out, "  %zu KiB %.1f", c.bytes >> 10, c.ns);
	std::fprintf(out, "\n");
	if (bench_linux_missing())
		std::fprintf(out, "linux: left out, %s\n", bench_linux_missing());
	if (reader_cpu < 0)
		std::fprintf(out, "reader beside a writer: left out, there is one CPU only\n");
	std::fflush(out);
}

} // namespace

int main(int argc, char **argv)
{
	bench_peers(); /* finds out which there are, before names are checked */
	const options opt = parse_options(argc, argv);
	const std::vector<int> cpus = allowed_cpus();
	const int cpu = opt.cpu >= 0 || cpus.empty() ? opt.cpu : cpus.back();
	int reader_cpu = -1;
	report results;

	for (int other : cpus)
		if (other != cpu)
			reader_cpu = other;
	pin_to(cpu);
	const std::vector<chase> calibration = calibrate();
	const bool table = opt.json != "-"; /* standard output carries the one or the other */
	print_machine(table ? stdout : stderr, calibration, cpu, reader_cpu);
	for (size_t n : opt.sizes)
		run_size(n, opt, reader_cpu, results);
	if (table)
		results.print(opt);
	const int err = results.write_json(opt, calibration, cpu);
	if (err)
		std::fprintf(stderr, "samara-bench: %s: %s\n", opt.json.c_str(),
			     std::strerror(-err));
	return err ? 1 : 0;
}
