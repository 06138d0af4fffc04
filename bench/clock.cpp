/* SPDX-License-Identifier: MIT */
/* The machine: CPUs, and what a cache miss costs on it at the moment. */
#include "clock.hpp"
#include "keys.hpp"
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <sched.h>
#include <sys/mman.h>
#include <thread>

static std::vector<int> ask_cpus()
{
	std::vector<int> list;
	cpu_set_t set;

	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
			if (CPU_ISSET(cpu, &set))
				list.push_back(cpu);
	return list;
}

const std::vector<int> &allowed_cpus()
{
	static const std::vector<int> list = ask_cpus();

	return list;
}

void pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set); /* without it a measurement is worse, not wrong */
}

double clock_cost()
{
	constexpr int times = 100000;
	const double start = now_ns();

	for (int i = 0; i < times; i++)
		clock_ticks();
	return (now_ns() - start) / times;
}

/* Walks a random cycle through all cache lines of @bytes. */
static double chase_ns(size_t bytes)
{
	constexpr size_t line = 64, align = 2ul << 20;
	const size_t lines = bytes / line, steps = 1 << 20;
	char *area =
		static_cast<char *>(std::aligned_alloc(align, (bytes + align - 1) / align * align));
	std::vector<unsigned> next(lines);
	rng r(42);

	if (!area)
		return 0;
	madvise(area, bytes, MADV_HUGEPAGE);
	for (size_t i = 0; i < lines; i++)
		next[i] = static_cast<unsigned>(i);
	for (size_t i = lines - 1; i > 0; i--) /* Sattolo: one cycle through all */
		std::swap(next[i], next[r.below(i)]);
	for (size_t i = 0; i < lines; i++)
		*reinterpret_cast<char **>(area + i * line) = area + next[i] * line;

	char *at = area;
	for (size_t i = 0; i < lines && i < steps; i++)
		at = *reinterpret_cast<char *volatile *>(at);
	const double start = now_ns();
	for (size_t i = 0; i < steps; i++)
		at = *reinterpret_cast<char *volatile *>(at);
	const double ns = (now_ns() - start) / steps;
	asm volatile("" : : "r"(at));
	std::free(area);
	return ns;
}

/*
 * Two threads pass a cache line to and fro. Where two virtual CPUs are is decided by their host,
 * and may change.
 */
static double line_ns(int other)
{
	constexpr int times = 100000;
	alignas(64) std::atomic<int> turn{ 0 };
	std::thread partner([&] {
		pin_to(other);
		for (int i = 1; i <= 2 * times; i += 2) {
			while (turn.load(std::memory_order_acquire) != i)
				;
			turn.store(i + 1, std::memory_order_release);
		}
	});
	const double start = now_ns();

	for (int i = 1; i <= 2 * times; i += 2) {
		turn.store(i, std::memory_order_release);
		while (turn.load(std::memory_order_acquire) != i + 1)
			;
	}
	const double ns = (now_ns() - start) / (2 * times);

	partner.join();
	return ns;
}

calibration calibrate(int other)
{
	calibration c = {};

	for (size_t bytes : { 16ul << 10, 256ul << 10, 4ul << 20, 64ul << 20, 256ul << 20 })
		c.chases.push_back({ bytes, chase_ns(bytes) });
	if (other >= 0)
		c.line_ns = line_ns(other);
	return c;
}

std::string cpu_name()
{
	std::ifstream in("/proc/cpuinfo");
	std::string line;

	while (std::getline(in, line))
		if (line.rfind("model name", 0) == 0 && line.find(": ") != std::string::npos)
			return line.substr(line.find(": ") + 2);
	return "unknown";
}
