/* SPDX-License-Identifier: MIT */
#include "workloads.hpp"
#include "clock.hpp"
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace
{

[[noreturn]] void wrong(const bench_peer &peer, const char *what)
{
	std::fprintf(stderr, "samara-bench: %s gives a wrong answer: %s\n", peer.name, what);
	std::exit(1);
}

unsigned long word(void *entry)
{
	return reinterpret_cast<unsigned long>(entry);
}

void store_all(const bench_peer &peer, void *tree, const std::vector<bench_range> &stores)
{
	for (const auto &range : stores)
		if (peer.store(tree, range.first, range.last, range.entry) != 0)
			wrong(peer, "a store failed");
}

/* A peer's tree with everything in it, and the time of a store in *@ns (0: none was done). */
void *build(const bench_peer &peer, const key_set &keys, double *ns)
{
	void *tree = peer.create();

	if (!tree)
		wrong(peer, "no tree");
	*ns = 0;
	if (!(peer.can & BENCH_CAN_STORE)) {
		peer.fill(tree, keys.sorted.data(), keys.sorted.size());
		return tree;
	}
	const double start = now_ns();
	store_all(peer, tree, keys.stores);
	*ns = (now_ns() - start) / static_cast<double>(keys.stores.size());
	return tree;
}

/* Small trees are built many times over, so that there is something to measure. */
void *build_timed(const bench_peer &peer, const key_set &keys, const sample_sink &sink)
{
	const size_t rounds = std::max<size_t>(1, 65536 / keys.stores.size());
	double ns, sum = 0;
	void *tree = build(peer, keys, &ns);

	sum = ns;
	for (size_t i = 1; i < rounds; i++) {
		peer.destroy(tree);
		tree = build(peer, keys, &ns);
		sum += ns;
	}
	if (peer.can & BENCH_CAN_STORE)
		sink("build", sum / static_cast<double>(rounds));
	return tree;
}

/* With @dependent the next key cannot be computed before the last answer is there. */
double load_ns(const bench_peer &peer, void *tree, const std::vector<probe> &probes, bool dependent)
{
	unsigned long zero = 0, sum = 0, expected = 0, last = 0;

	asm volatile("" : "+r"(zero)); /* the compiler must not know it */
	const double start = now_ns();
	if (dependent) {
		for (const auto &p : probes) {
			last = word(peer.load(tree, p.key + (last & zero)));
			sum += last;
		}
	} else {
		for (const auto &p : probes)
			sum += word(peer.load(tree, p.key));
	}
	const double ns = (now_ns() - start) / static_cast<double>(probes.size());
	for (const auto &p : probes)
		expected += word(p.entry);
	if (sum != expected)
		wrong(peer, "loads");
	return ns;
}

double iterate_ns(const bench_peer &peer, void *tree, const key_set &keys)
{
	const size_t rounds = std::max<size_t>(1, 1000000 / keys.sorted.size());
	const double start = now_ns();

	for (size_t i = 0; i < rounds; i++) {
		bench_sum sum = {};

		peer.iterate(tree, &sum);
		if (sum.count != keys.all.count || sum.sum != keys.all.sum)
			wrong(peer, "iteration");
	}
	return (now_ns() - start) / static_cast<double>(rounds * keys.sorted.size());
}

/* Erases and stores again @ops mappings, beginning with the @at-th. */
void change(const bench_peer &peer, void *tree, const key_set &keys, size_t at, size_t ops)
{
	for (size_t i = 0; i < ops; i++) {
		const bench_range &range = keys.moves[(at + i) % keys.moves.size()];

		if (peer.erase(tree, range.first) != range.entry)
			wrong(peer, "erase");
		if (peer.store(tree, range.first, range.last, range.entry) != 0)
			wrong(peer, "store after erase");
	}
}

double churn_ns(const bench_peer &peer, void *tree, const key_set &keys, size_t ops)
{
	const double start = now_ns();

	change(peer, tree, keys, 0, ops);
	return (now_ns() - start) / static_cast<double>(ops);
}

double bytes_each(const bench_peer &peer, void *tree, const key_set &keys)
{
	if (peer.settle)
		peer.settle(tree);
	return static_cast<double>(peer.bytes(tree)) / static_cast<double>(keys.sorted.size());
}

double gap_ns(const bench_peer &peer, void *tree, const key_set &keys, bool highest)
{
	unsigned long sum = 0, expected = 0;
	const double start = now_ns();

	for (const auto &p : keys.gaps)
		sum += highest ? peer.gap(tree, keys.gap_size, 0, p.limit, true)
			       : peer.gap(tree, keys.gap_size, p.limit, ULONG_MAX, false);
	const double ns = (now_ns() - start) / static_cast<double>(keys.gaps.size());
	for (const auto &p : keys.gaps)
		expected += highest ? p.highest : p.lowest;
	if (sum != expected)
		wrong(peer, highest ? "highest gap" : "lowest gap");
	return ns;
}

void run_gaps(const bench_peer &peer, const key_set &keys, const sample_sink &sink)
{
	double unused;
	void *tree = build(peer, keys, &unused);

	sink("gap-first", gap_ns(peer, tree, keys, false));
	sink("gap-last", gap_ns(peer, tree, keys, true));
	peer.destroy(tree);
}

void run_loads(const bench_peer &peer, void *tree, const key_set &keys, const options &opt,
	       const sample_sink &sink)
{
	if (peer.enter)
		peer.enter();
	if (wanted(opt, "load"))
		load_ns(peer, tree, keys.probes, false); /* warms what fits */
	if (wanted(opt, "load"))
		sink("load", load_ns(peer, tree, keys.probes, false));
	if (wanted(opt, "load-dep"))
		sink("load-dep", load_ns(peer, tree, keys.probes, true));
	if (wanted(opt, "iterate"))
		sink("iterate", iterate_ns(peer, tree, keys));
	if (peer.leave)
		peer.leave();
}

/* A thread that looks keys up until told to stop. */
struct reader {
	std::atomic<bool> go{ false }, stop{ false };
	double ns_per_load = 0;
	bool ok = true;

	void run(const bench_peer &peer, void *tree, const std::vector<probe> &probes, int cpu)
	{
		unsigned long loads = 0;
		size_t i = 0;

		pin_to(cpu);
		if (peer.enter)
			peer.enter();
		go.store(true, std::memory_order_release);
		const double start = now_ns();
		while (!stop.load(std::memory_order_relaxed)) {
			for (int burst = 0; burst < 64; burst++) {
				const probe &p = probes[i];
				void *entry = peer.load(tree, p.key);

				ok = ok && (!entry || entry == p.entry);
				i = i + 1 == probes.size() ? 0 : i + 1;
			}
			loads += 64;
		}
		ns_per_load = (now_ns() - start) / static_cast<double>(loads);
		if (peer.leave)
			peer.leave();
	}
};

/* The reader's time per load; while it runs, changes are made if @ns_per_change is given. */
double read_beside(const bench_peer &peer, void *tree, const key_set &keys, const options &opt,
		   int cpu, double *ns_per_change)
{
	reader r;
	std::thread thread([&] { r.run(peer, tree, keys.probes, cpu); });
	size_t changes = 0;

	while (!r.go.load(std::memory_order_acquire))
		std::this_thread::yield();
	const double start = now_ns(), end = start + 1e9 * opt.reader_seconds;
	if (ns_per_change) {
		for (; now_ns() < end; changes += 64)
			change(peer, tree, keys, changes, 64);
		*ns_per_change = (now_ns() - start) / static_cast<double>(changes);
	} else {
		std::this_thread::sleep_for(std::chrono::duration<double>(opt.reader_seconds));
	}
	r.stop.store(true, std::memory_order_relaxed);
	thread.join();
	if (!r.ok)
		wrong(peer, "a load beside a writer");
	return r.ns_per_load;
}

} // namespace

const std::vector<workload_info> &workload_infos()
{
	static const std::vector<workload_info> list = {
		{ "build", "ns", "stores in random order into an empty tree, per store" },
		{ "load", "ns", "random look-ups, all of which can overlap" },
		{ "load-dep", "ns", "random look-ups, each waiting for the last one's answer" },
		{ "iterate", "ns", "a walk over all mappings, per mapping" },
		{ "churn", "ns", "erase of a random mapping and store of the same, per pair" },
		{ "gap-first", "ns", "search of the lowest gap that fits, above a random mapping" },
		{ "gap-last", "ns", "search of the highest gap that fits, below a random mapping" },
		{ "bytes", "B", "memory in nodes per mapping after the build" },
		{ "bytes-churn", "B", "the same after churn" },
		{ "read-alone", "ns", "look-ups of one reader, nobody writing" },
		{ "read-beside", "ns", "the same beside a writer that never rests" },
		{ "read-kept", "%", "the reader's speed that is left beside the writer" },
		{ "write-beside", "ns", "erase and store, per pair, beside that reader" },
	};

	return list;
}

void run_single(const bench_peer &peer, const key_set &keys, const key_set *gaps,
		const options &opt, const sample_sink &sink)
{
	const size_t changes = std::min(opt.ops, std::max<size_t>(4 * keys.sorted.size(), 65536));
	void *tree = build_timed(peer, keys, sink);

	run_loads(peer, tree, keys, opt, sink);
	sink("bytes", bytes_each(peer, tree, keys));
	if (peer.can & BENCH_CAN_STORE && (wanted(opt, "churn") || wanted(opt, "bytes-churn"))) {
		sink("churn", churn_ns(peer, tree, keys, changes));
		sink("bytes-churn", bytes_each(peer, tree, keys));
	}
	peer.destroy(tree);
	if (gaps && peer.can & BENCH_CAN_GAP)
		run_gaps(peer, *gaps, sink);
}

void run_reader(const bench_peer &peer, const key_set &keys, const options &opt, int reader_cpu,
		const sample_sink &sink)
{
	double ns, write_ns;
	void *tree = build(peer, keys, &ns);
	const double alone = read_beside(peer, tree, keys, opt, reader_cpu, nullptr);
	const double beside = read_beside(peer, tree, keys, opt, reader_cpu, &write_ns);

	sink("read-alone", alone);
	sink("read-beside", beside);
	sink("read-kept", 100 * alone / beside);
	sink("write-beside", write_ns);
	peer.destroy(tree);
}
