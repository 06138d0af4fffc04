/* SPDX-License-Identifier: MIT */
#include "replay.hpp"
#include "clock.hpp"
#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace
{

void cut_end(std::string &name, const std::string &end)
{
	const size_t rest = name.size() > end.size() ? name.size() - end.size() : 0;

	if (rest && name.compare(rest, end.size(), end) == 0)
		name.resize(rest);
}

/* "traces/NAME.trace.xz" is "trace:NAME". */
std::string name_of(const std::string &path)
{
	const size_t slash = path.rfind('/');
	std::string file = slash == std::string::npos ? path : path.substr(slash + 1);

	cut_end(file, ".xz");
	cut_end(file, ".trace");
	return "trace:" + file;
}

/* Returns the sum of what the look-ups find. */
unsigned long replay_once(const bench_peer &peer, void *tree, const std::vector<bench_step> &steps)
{
	unsigned long sum = 0;
	int err = 0;

	for (const auto &step : steps) {
		switch (step.verb) {
		case BENCH_STORE:
			err |= peer.store(tree, step.first, step.last, step.entry);
			break;
		case BENCH_CLEAR:
			err |= peer.clear(tree, step.first, step.last);
			break;
		case BENCH_LOAD:
			sum += word(peer.load(tree, step.first));
			break;
		}
	}
	if (err)
		wrong_answer(peer, "a store of a replay failed");
	return sum;
}

void check_ends(const bench_peer &peer, void *tree, const std::vector<bench_step> &ends)
{
	if (peer.enter)
		peer.enter();
	for (const auto &step : ends)
		if (peer.load(tree, step.first) != step.entry)
			wrong_answer(peer, "what a replay leaves");
	if (peer.leave)
		peer.leave();
}

double replay_ns(const bench_peer &peer, const std::vector<bench_step> &steps,
		 const std::vector<bench_step> &ends)
{
	/* Bounded, since destroying a tree may take a grace period. */
	const size_t rounds = std::min<size_t>(64, 1 + 131072 / steps.size());
	unsigned long expected = 0;
	double ns = 0;

	for (const auto &step : steps)
		if (step.verb == BENCH_LOAD)
			expected += word(step.entry);
	for (size_t i = 0; i < rounds; i++) {
		void *tree = create(peer);
		const double start = now_ns();

		if (replay_once(peer, tree, steps) != expected)
			wrong_answer(peer, "look-ups of a replay");
		ns += now_ns() - start;
		if (i + 1 == rounds)
			check_ends(peer, tree, ends);
		peer.destroy(tree);
	}
	return ns / static_cast<double>(rounds * steps.size());
}

} // namespace

replay load_replay(const std::string &path)
{
	bench_steps steps;
	char why[BENCH_WHY_SIZE];
	replay r;

	if (bench_steps_load(&steps, path.c_str(), why, sizeof(why))) {
		std::fprintf(stderr, "samara-bench: %s\n", why);
		std::exit(1);
	}
	r.steps.assign(steps.list, steps.list + steps.count);
	r.ends.assign(steps.ends, steps.ends + steps.nr_ends);
	std::copy_if(r.steps.begin(), r.steps.end(), std::back_inserter(r.changes),
		     [](const auto &step) { return step.verb != BENCH_LOAD; });
	if (r.changes.empty()) {
		std::fprintf(stderr, "samara-bench: %s: nothing is changed in it\n", path.c_str());
		std::exit(1);
	}
	r.data = { name_of(path), steps.count };
	bench_steps_free(&steps);
	return r;
}

void run_replay(const bench_peer &peer, const replay &trace, const options &opt,
		const report::sink &sink)
{
	if (wanted(opt, "replay-changes"))
		sink("replay-changes", replay_ns(peer, trace.changes, trace.ends));
	if (wanted(opt, "replay") && !(peer.can & BENCH_APART))
		sink("replay", replay_ns(peer, trace.steps, trace.ends));
}
