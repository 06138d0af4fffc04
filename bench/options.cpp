/* SPDX-License-Identifier: MIT */
#include "options.hpp"
#include "clock.hpp"
#include "keys.hpp"
#include "workloads.hpp"
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <getopt.h>

namespace
{

void print_list()
{
	std::printf("Peers (* only when named with --peer):\n");
	for (auto peer = bench_peers(); *peer; peer++)
		std::printf("  %-14s%s%s\n", (*peer)->name,
			    (*peer)->can & BENCH_ON_REQUEST ? "* " : "  ", (*peer)->what);
	if (bench_linux_missing())
		std::printf("  %-14s  %s\n", "linux", bench_linux_missing());
	std::printf("\nWorkloads:\n");
	for (const auto &w : workload_infos())
		std::printf("  %-14s  %s (%s)\n", w.name.c_str(), w.what, w.unit);
	std::printf("\nDistributions:\n");
	for (const auto &d : distributions())
		std::printf("  %-14s  %s\n", d.name, d.what);
}

void print_help()
{
	std::printf(
		"Usage: samara-bench [OPTION]...\n"
		"Measures Samara and other range maps in one process, pinned to a CPU, in turns.\n\n"
		"  --quick            few repetitions, some minutes (the default)\n"
		"  --full             more repetitions, operations and sizes\n"
		"  --n LIST           numbers of mappings, such as 1k,64k,1M\n"
		"  --large            16M mappings too\n"
		"  --peer LIST        only these peers\n"
		"  --workload LIST    only these workloads\n"
		"  --dist LIST        how mappings lie in the key space (page), or all\n"
		"  --trace LIST       replay these trace files too; may be repeated\n"
		"  --reps N           repetitions of everything (quick 3, full 7)\n"
		"  --ops N            operations per measurement (quick 256k, full 1M)\n"
		"  --ratio PEER       a second table, in multiples of this peer's figures\n"
		"  --best             tables show the best of all repetitions, for a machine that\n"
		"                     others use too, instead of the median\n"
		"  --cpu-time         the reader's and the writer's speed in time they ran, not in time\n"
		"                     that passed: for such a machine; waits for locks do not count\n"
		"  --json FILE        all samples as JSON; - is standard output\n"
		"  --seed N           of the random order (1)\n"
		"  --cpu N            pin to this CPU (the last one allowed)\n"
		"  --list             names of peers, workloads and distributions\n"
		"  --help\n");
}

[[noreturn]] void complain(const char *what, const std::string &value)
{
	std::fprintf(stderr, "samara-bench: %s: %s (see --help and --list)\n", what, value.c_str());
	std::exit(2);
}

/* A positive number with an optional suffix: k for 1024, M for 1,000,000. */
size_t number(const std::string &text)
{
	unsigned long unit = 1;
	char *end;

	errno = 0;
	unsigned long value = std::strtoul(text.c_str(), &end, 10);
	if (*end == 'k')
		unit = 1024, end++;
	else if (*end == 'M')
		unit = 1000000, end++;
	if (text[0] < '0' || text[0] > '9' || *end || !value)
		complain("not a positive number", text);
	if (errno || __builtin_mul_overflow(value, unit, &value))
		complain("too large a number", text);
	return value;
}

/* The number of things that are kept in memory, or done one by one. */
size_t amount(const std::string &text)
{
	const size_t value = number(text);

	if (value > 1000000000)
		complain("too large a number", text);
	return value;
}

/* Splits @text, the argument of an option, at its commas; no part may be empty. */
std::vector<std::string> split(const std::string &text)
{
	std::vector<std::string> out;
	size_t at = 0;

	while (at <= text.size()) {
		const size_t comma = std::min(text.find(',', at), text.size());

		if (comma > at)
			out.push_back(text.substr(at, comma - at));
		at = comma + 1;
	}
	if (out.empty())
		complain("an empty list", "'" + text + "'");
	return out;
}

/* The argument of an option that takes one name. */
std::string named(const char *text)
{
	if (!*text)
		complain("an empty name", "''");
	return text;
}

const bench_peer &check_peer(const std::string &name)
{
	auto peer = bench_peers();

	while (*peer && name != (*peer)->name)
		peer++;
	if (!*peer && bench_linux_missing() && name.rfind("linux", 0) == 0)
		complain(bench_linux_missing(), name);
	if (!*peer)
		complain("no such peer", name);
	return **peer;
}

/* Complains unless one of @all, a list of things with a name, is called @name. */
template <class List> void check_name(const List &all, const std::string &name, const char *what)
{
	if (std::none_of(all.begin(), all.end(), [&](const auto &one) { return name == one.name; }))
		complain(what, name);
}

void check_names(const options &opt)
{
	for (const auto &name : opt.peers)
		check_peer(name);
	if (!opt.ratio.empty() && !chosen(opt, check_peer(opt.ratio)))
		complain("not among the peers that are measured", opt.ratio);
	for (const auto &name : opt.workloads)
		check_name(workload_infos(), name, "no such workload");
	for (const auto &name : opt.dists)
		if (name != "all")
			check_name(distributions(), name, "no such distribution");
}

enum {
	QUICK = 256,
	FULL,
	LARGE,
	N,
	PEER,
	WORKLOAD,
	DIST,
	TRACE,
	REPS,
	OPS,
	RATIO,
	BEST,
	CPU_TIME,
	JSON,
	SEED,
	CPU,
	LIST,
	HELP
};

const option long_options[] = {
	{ "quick", no_argument, nullptr, QUICK },
	{ "full", no_argument, nullptr, FULL },
	{ "large", no_argument, nullptr, LARGE },
	{ "n", required_argument, nullptr, N },
	{ "peer", required_argument, nullptr, PEER },
	{ "workload", required_argument, nullptr, WORKLOAD },
	{ "dist", required_argument, nullptr, DIST },
	{ "trace", required_argument, nullptr, TRACE },
	{ "reps", required_argument, nullptr, REPS },
	{ "ops", required_argument, nullptr, OPS },
	{ "ratio", required_argument, nullptr, RATIO },
	{ "best", no_argument, nullptr, BEST },
	{ "cpu-time", no_argument, nullptr, CPU_TIME },
	{ "json", required_argument, nullptr, JSON },
	{ "seed", required_argument, nullptr, SEED },
	{ "cpu", required_argument, nullptr, CPU },
	{ "list", no_argument, nullptr, LIST },
	{ "help", no_argument, nullptr, HELP },
	{ nullptr, 0, nullptr, 0 },
};

void apply(options &opt, int which, const char *arg)
{
	switch (which) {
	case QUICK:
	case FULL:
		opt.full = which == FULL;
		break;
	case LARGE:
		opt.sizes.push_back(16000000);
		break;
	case N:
		for (const auto &text : split(arg))
			opt.sizes.push_back(amount(text));
		break;
	case PEER:
		opt.peers = split(arg);
		break;
	case WORKLOAD:
		opt.workloads = split(arg);
		break;
	case DIST:
		opt.dists = split(arg);
		break;
	case TRACE:
		for (const auto &path : split(arg))
			opt.traces.push_back(path);
		break;
	case REPS:
		opt.reps = amount(arg);
		break;
	case OPS:
		opt.ops = amount(arg);
		break;
	case RATIO:
		opt.ratio = named(arg);
		break;
	case BEST:
		opt.best = true;
		break;
	case CPU_TIME:
		opt.cpu_time = true;
		break;
	case JSON:
		opt.json = named(arg);
		break;
	case SEED:
		opt.seed = number(arg);
		break;
	case CPU:
		opt.cpu = arg[0] == '0' && !arg[1] ? 0 : static_cast<int>(amount(arg));
		break;
	case LIST:
		print_list();
		std::exit(end_output());
	case HELP:
		print_help();
		std::exit(end_output());
	default:
		std::fprintf(stderr, "Try samara-bench --help.\n");
		std::exit(2);
	}
}

/* Drops duplicates: what is named twice is measured once. */
template <class T> void once_each(std::vector<T> &list)
{
	std::vector<T> out;

	for (const auto &one : list)
		if (std::find(out.begin(), out.end(), one) == out.end())
			out.push_back(one);
	list = std::move(out);
}

/* Sets what was not given to the defaults of --quick or --full, whichever came last. */
void fill_in(options &opt, bool sized)
{
	const std::vector<size_t> few = { 1024, 8192, 65536, 1000000 };
	const std::vector<size_t> many = { 1024, 4096, 16384, 65536, 262144, 1000000 };
	const std::vector<size_t> &sizes = opt.full ? many : few;

	if (!sized)
		opt.sizes.insert(opt.sizes.begin(), sizes.begin(), sizes.end());
	if (!opt.reps)
		opt.reps = opt.full ? 7 : 3;
	if (!opt.ops)
		opt.ops = opt.full ? 1000000 : 262144;
	opt.reader_seconds = opt.full ? 1 : 0.2;
	if (opt.dists.empty())
		opt.dists.push_back("page");
}

} // namespace

int failed(const std::string &path)
{
	const char *name = path == "-" ? "standard output" : path.c_str();

	std::fprintf(stderr, "samara-bench: %s: %s\n", name, std::strerror(errno));
	return 1;
}

int end_output()
{
	return std::fflush(stdout) || std::ferror(stdout) ? failed("-") : 0;
}

bool chosen(const options &opt, const bench_peer &peer)
{
	if (opt.peers.empty())
		return !(peer.can & BENCH_ON_REQUEST);
	return std::find(opt.peers.begin(), opt.peers.end(), peer.name) != opt.peers.end();
}

bool wanted(const options &opt, const std::string &workload)
{
	return opt.workloads.empty() || std::find(opt.workloads.begin(), opt.workloads.end(),
						  workload) != opt.workloads.end();
}

bool wanted_any(const options &opt, std::initializer_list<const char *> workloads)
{
	return std::any_of(workloads.begin(), workloads.end(),
			   [&](const char *name) { return wanted(opt, name); });
}

options parse_options(int argc, char **argv)
{
	options opt;
	bool sized = false;
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, nullptr)) != -1) {
		apply(opt, c, optarg);
		sized = sized || c == N;
	}
	if (optind < argc)
		complain("unexpected argument", argv[optind]);
	fill_in(opt, sized);
	check_names(opt);
	if (std::find(opt.dists.begin(), opt.dists.end(), "all") != opt.dists.end()) {
		opt.dists.clear();
		for (const auto &dist : distributions())
			opt.dists.push_back(dist.name);
	}
	once_each(opt.sizes);
	once_each(opt.dists);
	const std::vector<int> cpus = allowed_cpus();
	if (opt.cpu >= 0 && std::find(cpus.begin(), cpus.end(), opt.cpu) == cpus.end())
		complain("may not run on this CPU", std::to_string(opt.cpu));
	return opt;
}
