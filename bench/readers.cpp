/* SPDX-License-Identifier: MIT */
#include "readers.hpp"
#include "clock.hpp"
#include <atomic>
#include <memory>
#include <sys/resource.h>
#include <thread>

namespace
{

constexpr size_t burst = 64; /* operations between two readings of the clock */
constexpr int turns = 4;

/* The clock for measuring speeds. */
double speed_ns(bool cpu_time)
{
	return cpu_time ? thread_ns() : now_ns();
}

/* How often this thread has lost its CPU involuntarily. */
long preemptions()
{
	rusage usage = {};

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nivcsw;
}

/* A thread that looks up keys until told to stop. Two of them share no cache line. */
struct alignas(128) reader {
	const bench_peer &peer;
	void *tree;
	const std::vector<probe> &probes;
	bool cpu_time;
	bool alone;       /* no writer: what is looked up is there */
	histogram *times; /* of single look-ups; NULL: not wanted, since the clock takes time too */
	size_t at;
	std::atomic<bool> go{ false }, stop{ false };
	double ns_per_load = 0;
	bool ok = true, found = false;

	void load_one()
	{
		const probe &p = probes[at];
		void *entry = peer.load(tree, p.key);

		ok = ok && (entry == p.entry || (!entry && !alone));
		found = found || entry;
		at = at + 1 == probes.size() ? 0 : at + 1;
	}

	void load_some()
	{
		if (times) {
			time_some();
			return;
		}
		for (size_t i = 0; i < burst; i++)
			load_one();
	}

	/*
	 * Drops a burst in which the scheduler gave this CPU to another thread: that says nothing
	 * about the tree. Waiting for a lock, even one whose owner does not run, is not such a
	 * case.
	 */
	void time_some()
	{
		const long before = preemptions();
		uint64_t ends[burst + 1];

		ends[0] = clock_ticks();
		for (size_t i = 1; i <= burst; i++) {
			load_one();
			ends[i] = clock_ticks();
		}
		if (preemptions() != before)
			return;
		for (size_t i = 1; i <= burst; i++)
			times->add(ends[i] - ends[i - 1]);
	}

	void run(int cpu)
	{
		size_t loads = 0;

		pin_to(cpu);
		if (peer.enter)
			peer.enter();
		go.store(true, std::memory_order_release);
		const double start = speed_ns(cpu_time);
		do { /* at least once: the CPU may have been away all the time */
			load_some();
			loads += burst;
			if (peer.rest)
				peer.rest();
		} while (!stop.load(std::memory_order_relaxed));
		ns_per_load = (speed_ns(cpu_time) - start) / static_cast<double>(loads);
		if (peer.leave)
			peer.leave();
	}
};

/* Shared by all phases of one repetition. */
struct stage {
	const bench_peer &peer;
	void *tree;
	const key_set &keys;
	double seconds; /* of a phase */
	bool cpu_time;
	size_t reads = 0, writes = 0; /* places in keys where the next phase begins */

	double write_for(double ns)
	{
		const double end = now_ns() + ns, start = speed_ns(cpu_time);
		size_t changes = 0;

		do {
			change(peer, tree, keys, writes + changes, burst);
			changes += burst;
		} while (now_ns() < end);
		writes += changes;
		return (speed_ns(cpu_time) - start) / static_cast<double>(changes);
	}

	/*
	 * Returns the look-ups per ns of a reader on each of @cpus, all together. With @write_ns
	 * this thread writes meanwhile, and reports how long a pair takes. The times of single
	 * look-ups, of one reader, go to @times, unless it is NULL.
	 */
	double read(const std::vector<int> &cpus, double *write_ns, histogram *times)
	{
		std::vector<std::unique_ptr<reader>> readers;
		std::vector<std::thread> threads;
		double rate = 0;

		for (size_t i = 0; i < cpus.size(); i++) {
			const size_t at = reads + i * keys.probes.size() / cpus.size();

			readers.emplace_back(new reader{ peer, tree, keys.probes, cpu_time,
							 !write_ns, times,
							 at % keys.probes.size() });
			threads.emplace_back(&reader::run, readers.back().get(), cpus[i]);
		}
		for (const auto &r : readers)
			while (!r->go.load(std::memory_order_acquire))
				std::this_thread::yield();
		/* A separate thread ends the phase: many readers may lock out a writer for good. */
		std::thread end([&] {
			std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
			for (const auto &r : readers)
				r->stop.store(true, std::memory_order_relaxed);
		});
		if (write_ns)
			*write_ns = write_for(1e9 * seconds);
		end.join();
		for (size_t i = 0; i < cpus.size(); i++) {
			threads[i].join();
			/* If there is only one mapping, a writer may hide it from every look-up. */
			if (!readers[i]->ok || (!readers[i]->found && keys.sorted.size() > 1))
				wrong_answer(peer, write_ns ? "a look-up beside a writer"
							    : "a look-up of a reader");
			rate += 1 / readers[i]->ns_per_load;
		}
		reads = readers.front()->at;
		return rate;
	}
};

void measure_speeds(stage &s, int cpu, const report::sink &sink)
{
	double write_beside;

	for (int i = 0; i < turns; i++) {
		const double read_alone = 1 / s.read({ cpu }, nullptr, nullptr);
		const double read_beside = 1 / s.read({ cpu }, &write_beside, nullptr);
		const double write_alone = s.write_for(1e9 * s.seconds);

		sink("read-alone", read_alone);
		sink("read-beside", read_beside);
		sink("read-kept", 100 * read_alone / read_beside);
		sink("write-alone", write_alone);
		sink("write-beside", write_beside);
		sink("write-kept", 100 * write_alone / write_beside);
	}
}

void measure_waits(stage &s, int cpu, const report::sink &sink)
{
	histogram alone, beside;
	double unused;

	for (int i = 0; i < turns; i++) {
		s.read({ cpu }, nullptr, &alone);
		s.read({ cpu }, &unused, &beside);
	}
	sink("wait-alone", alone);
	sink("wait-beside", beside);
	sink("wait-alone-p99.99", static_cast<double>(alone.percentile(1e-4)));
	sink("wait-p50", static_cast<double>(beside.percentile(0.5)));
	sink("wait-p99", static_cast<double>(beside.percentile(1e-2)));
	sink("wait-p99.9", static_cast<double>(beside.percentile(1e-3)));
	sink("wait-p99.99", static_cast<double>(beside.percentile(1e-4)));
	sink("wait-max", static_cast<double>(beside.largest()));
}

void measure_crowds(stage &s, const std::vector<int> &cpus, const options &opt,
		    const report::sink &sink)
{
	for (size_t n : crowds(cpus.size())) {
		const std::vector<int> some(cpus.begin(), cpus.begin() + static_cast<long>(n));
		const std::string reads = crowd_name("reads", n), writes = crowd_name("writes", n);
		double write_ns;

		if (!wanted(opt, reads) && !wanted(opt, writes))
			continue;
		for (int i = 0; i < turns; i++) {
			sink(reads, 1e3 * s.read(some, &write_ns, nullptr));
			sink(writes, write_ns);
		}
	}
}

} // namespace

void run_readers(const bench_peer &peer, const key_set &keys, const options &opt,
		 const std::vector<int> &cpus, const report::sink &sink)
{
	double unused;
	stage s{ peer, build(peer, keys, &unused), keys, opt.reader_seconds / turns, opt.cpu_time };

	if (wanted_group(opt, { "2" }))
		measure_speeds(s, cpus.front(), sink);
	if (wanted_group(opt, { "3" }))
		measure_waits(s, cpus.front(), sink);
	if (wanted_group(opt, { "4", "5" }))
		measure_crowds(s, cpus, opt, sink);
	peer.destroy(s.tree);
}
