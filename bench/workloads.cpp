/* SPDX-License-Identifier: MIT */
#include "workloads.hpp"
#include "clock.hpp"
#include <algorithm>
#include <cstdio>
#include <cstdlib>

void wrong_answer(const bench_peer &peer, const char *what)
{
	std::fprintf(stderr, "samara-bench: %s gives a wrong answer: %s\n", peer.name, what);
	std::exit(1);
}

/*
 * Small trees are built many times over, so that there is something to measure; but not thousands
 * of times, since destroying one may take a grace period.
 */
static size_t builds_of(const key_set &keys)
{
	return std::clamp<size_t>(65536 / keys.stores.size(), 1, 64);
}

static void store_all(const bench_peer &peer, void *tree, const std::vector<bench_range> &stores)
{
	for (const auto &range : stores)
		if (peer.store(tree, range.first, range.last, range.entry) != 0)
			wrong_answer(peer, "a store failed");
}

void *create(const bench_peer &peer)
{
	void *tree = peer.create();

	if (!tree)
		wrong_answer(peer, "no tree");
	return tree;
}

void *build(const bench_peer &peer, const key_set &keys, double *ns)
{
	void *tree = create(peer);

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

void change(const bench_peer &peer, void *tree, const key_set &keys, size_t at, size_t ops)
{
	for (size_t i = 0; i < ops; i++) {
		const bench_range &range = keys.moves[(at + i) % keys.moves.size()];

		if (peer.erase(tree, range.first) != range.entry)
			wrong_answer(peer, "erase");
		if (peer.store(tree, range.first, range.last, range.entry) != 0)
			wrong_answer(peer, "store after erase");
	}
}

namespace
{

void *build_timed(const bench_peer &peer, const key_set &keys, const report::sink &sink)
{
	const size_t rounds = builds_of(keys);
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

/* With @dependent the next key cannot be computed before the last answer is known. */
double load_ns(const bench_peer &peer, void *tree, const std::vector<probe> &probes, bool dependent)
{
	unsigned long zero = 0, sum = 0, expected = 0, last = 0;

	asm volatile("" : "+r"(zero)); /* the compiler must not know its value */
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
		wrong_answer(peer, "loads");
	return ns;
}

/* 32 at a time; peers without such a call look them up one by one. */
double batch_ns(const bench_peer &peer, void *tree, const std::vector<probe> &probes)
{
	const size_t most = 32;
	std::vector<unsigned long> keys;
	std::vector<void *> found(probes.size());

	for (const auto &p : probes)
		keys.push_back(p.key);
	const double start = now_ns();
	for (size_t at = 0; at < keys.size(); at += most) {
		const size_t n = std::min(most, keys.size() - at);

		if (peer.load_batch)
			peer.load_batch(tree, &keys[at], &found[at], n);
		else
			for (size_t i = at; i < at + n; i++)
				found[i] = peer.load(tree, keys[i]);
	}
	const double ns = (now_ns() - start) / static_cast<double>(keys.size());
	for (size_t i = 0; i < probes.size(); i++)
		if (found[i] != probes[i].entry)
			wrong_answer(peer, "loads in batches");
	return ns;
}

/* Checks that the tree holds all mappings, and nothing else. */
void check_all(const bench_peer &peer, void *tree, const key_set &keys)
{
	const bench_sum sum = peer.iterate(tree);

	if (sum.count != keys.all.count || sum.sum != keys.all.sum)
		wrong_answer(peer, "iteration");
}

double iterate_ns(const bench_peer &peer, void *tree, const key_set &keys)
{
	const size_t rounds = std::max<size_t>(1, 1000000 / keys.sorted.size());
	const double start = now_ns();

	for (size_t i = 0; i < rounds; i++)
		check_all(peer, tree, keys);
	return (now_ns() - start) / static_cast<double>(rounds * keys.sorted.size());
}

/* Checks that erased mappings are gone, and stored ones are there. Not timed. */
void check_changes(const bench_peer &peer, void *tree, const key_set &keys)
{
	const size_t some = std::min<size_t>(keys.moves.size(), 1000);

	if (peer.can & BENCH_APART)
		return;
	if (peer.enter)
		peer.enter();
	for (size_t i = 0; i < some; i++) {
		const bench_range &range = keys.moves[i];

		if (peer.erase(tree, range.first) != range.entry || peer.load(tree, range.last))
			wrong_answer(peer, "erase");
		if (peer.store(tree, range.first, range.last, range.entry) != 0 ||
		    peer.load(tree, range.first) != range.entry)
			wrong_answer(peer, "store after erase");
	}
	if (peer.leave)
		peer.leave();
}

double churn_ns(const bench_peer &peer, void *tree, const key_set &keys, size_t ops)
{
	const double start = now_ns();

	change(peer, tree, keys, 0, ops);
	return (now_ns() - start) / static_cast<double>(ops);
}

/* In the first round a mapping is reduced to its upper half; in the next it is whole again. */
double resize_ns(const bench_peer &peer, void *tree, const key_set &keys, size_t ops)
{
	const double start = now_ns();

	for (size_t i = 0; i < ops; i++) {
		const bench_range &range = keys.moves[i % keys.moves.size()];
		const unsigned long middle = range.first + (range.last - range.first + 1) / 2;
		const bool whole = i / keys.moves.size() % 2 == 0;

		if (peer.erase(tree, whole ? range.first : middle) != range.entry)
			wrong_answer(peer, "erase");
		if (peer.store(tree, whole ? middle : range.first, range.last, range.entry) != 0)
			wrong_answer(peer, "store of another size");
	}
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
		wrong_answer(peer, highest ? "highest gap" : "lowest gap");
	return ns;
}

/* For a tree that has been built. Whatever is wanted, checks that it is complete. */
void run_loads(const bench_peer &peer, void *tree, const key_set &keys, const options &opt,
	       const report::sink &sink)
{
	if (peer.enter)
		peer.enter();
	check_all(peer, tree, keys);
	if (wanted_any(opt, { "load", "load-dep", "load-batch" }))
		load_ns(peer, tree, keys.probes, false); /* warms the caches */
	if (wanted(opt, "load"))
		sink("load", load_ns(peer, tree, keys.probes, false));
	if (wanted(opt, "load-dep"))
		sink("load-dep", load_ns(peer, tree, keys.probes, true));
	if (wanted(opt, "load-batch"))
		sink("load-batch", batch_ns(peer, tree, keys.probes));
	if (wanted(opt, "iterate"))
		sink("iterate", iterate_ns(peer, tree, keys));
	if (peer.leave)
		peer.leave();
}

} // namespace

std::vector<size_t> crowds(size_t most)
{
	std::vector<size_t> list;

	if (most < 2)
		return list;
	for (size_t n = 1; n < most; n *= 2)
		list.push_back(n);
	list.push_back(most);
	return list;
}

std::string crowd_name(const char *what, size_t n)
{
	return what + ("-" + std::to_string(n));
}

static std::vector<workload_info> make_infos()
{
	std::vector<workload_info> list = {
		{ "build", "ns", "1", "stores in random order into an empty tree, per store" },
		{ "append", "ns", "1", "stores in ascending order into an empty tree, per store" },
		{ "drain", "ns", "1", "erases of all of it in ascending order, per erase" },
		{ "load", "ns", "1", "random look-ups, all of which can overlap" },
		{ "load-dep", "ns", "1",
		  "random look-ups, each waiting for the last one's answer" },
		{ "load-batch", "ns", "1", "random look-ups, 32 handed over at a time" },
		{ "iterate", "ns", "1", "a walk over all mappings, per mapping" },
		{ "churn", "ns", "1", "erase of a random mapping and store of the same, per pair" },
		{ "resize", "ns", "1",
		  "erase of a random mapping and store of its upper half, or of all of it again" },
		{ "gap-first", "ns", "1",
		  "search of the lowest gap that fits, above a random mapping" },
		{ "gap-last", "ns", "1",
		  "search of the highest gap that fits, below a random mapping" },
		{ "bytes", "B", "1", "memory in nodes per mapping after the build" },
		{ "bytes-churn", "B", "1", "the same after churn" },
		{ "read-alone", "ns", "2", "look-ups of one reader, nobody writing" },
		{ "read-beside", "ns", "2", "the same beside a writer that never rests" },
		{ "read-kept", "%", "2", "the reader's speed that is left beside the writer" },
		{ "write-alone", "ns", "2", "erase and store, per pair, nobody reading" },
		{ "write-beside", "ns", "2", "the same beside that reader" },
		{ "write-kept", "%", "2", "the writer's speed that is left beside the reader" },
		{ "wait-alone-p99.99", "ns", "3",
		  "one look-up in 10,000 takes longer, nobody writing" },
		{ "wait-p50", "ns", "3", "half the look-ups beside the writer take longer" },
		{ "wait-p99", "ns", "3", "one of them in 100 takes longer" },
		{ "wait-p99.9", "ns", "3", "one in 1000 takes longer" },
		{ "wait-p99.99", "ns", "3", "one in 10,000 takes longer" },
		{ "wait-max", "ns", "3", "the longest of them" },
		{ "replay", "ns", "6",
		  "a recorded trace from its begin to its end, per operation" },
		{ "replay-changes", "ns", "6", "the same without the trace's look-ups" },
	};

	for (size_t n : crowds(std::max<size_t>(allowed_cpus().size(), 1) - 1)) {
		list.push_back({ crowd_name("reads", n), "M/s", "4",
				 "look-ups of that many readers beside the writer" });
		list.push_back({ crowd_name("writes", n), "ns", "5",
				 "erase and store beside that many readers, per pair" });
	}
	return list;
}

const std::vector<workload_info> &workload_infos()
{
	static const std::vector<workload_info> list = make_infos();

	return list;
}

const workload_info &workload_of(const std::string &name)
{
	const auto &list = workload_infos();

	return *std::find_if(list.begin(), list.end(),
			     [&](const auto &w) { return name == w.name; });
}

bool wanted_group(const options &opt, std::initializer_list<const char *> groups)
{
	for (const auto &w : workload_infos())
		for (const std::string group : groups)
			if (w.group == group && wanted(opt, w.name))
				return true;
	return false;
}

void run_single(const bench_peer &peer, const key_set &keys, const options &opt,
		const report::sink &sink)
{
	const size_t changes = std::min(opt.ops, std::max<size_t>(4 * keys.sorted.size(), 65536));
	void *tree = build_timed(peer, keys, sink);

	run_loads(peer, tree, keys, opt, sink);
	sink("bytes", bytes_each(peer, tree, keys));
	if (peer.can & BENCH_CAN_STORE && (wanted(opt, "churn") || wanted(opt, "bytes-churn"))) {
		check_changes(peer, tree, keys);
		sink("churn", churn_ns(peer, tree, keys, changes));
		sink("bytes-churn", bytes_each(peer, tree, keys));
	}
	if (peer.can & BENCH_CAN_STORE && wanted(opt, "resize"))
		sink("resize", resize_ns(peer, tree, keys, changes));
	peer.destroy(tree);
}

void run_in_order(const bench_peer &peer, const key_set &keys, const report::sink &sink)
{
	const size_t rounds = builds_of(keys);
	const double ops = static_cast<double>(rounds * keys.sorted.size());
	double stores = 0, erases = 0;

	for (size_t i = 0; i < rounds; i++) {
		void *tree = create(peer);
		const double start = now_ns();

		store_all(peer, tree, keys.sorted);
		const double middle = now_ns();
		for (const auto &range : keys.sorted)
			if (peer.erase(tree, range.first) != range.entry)
				wrong_answer(peer, "erase in order");
		erases += now_ns() - middle;
		stores += middle - start;
		if (peer.iterate(tree).count != 0)
			wrong_answer(peer, "what erases leave");
		peer.destroy(tree);
	}
	sink("append", stores / ops);
	sink("drain", erases / ops);
}

void run_gaps(const bench_peer &peer, const key_set &keys, const report::sink &sink)
{
	double unused;
	void *tree = build(peer, keys, &unused);

	for (const bool highest : { false, true }) {
		gap_ns(peer, tree, keys, highest); /* warms the caches */
		sink(highest ? "gap-last" : "gap-first", gap_ns(peer, tree, keys, highest));
	}
	peer.destroy(tree);
}
