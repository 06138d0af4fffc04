/* SPDX-License-Identifier: MIT */
/* How often each time occurred: sixteen buckets to each power of two, so within 6 %. */
#ifndef BENCH_HISTOGRAM_HPP
#define BENCH_HISTOGRAM_HPP

#include <cstddef>
#include <cstdint>
#include <vector>

class histogram
{
      public:
	void add(uint64_t ns)
	{
		const size_t at = bucket(ns);

		counts[at < nr_buckets ? at : nr_buckets - 1]++;
		if (ns > max)
			max = ns;
	}

	void add(const histogram &other)
	{
		for (size_t i = 0; i < nr_buckets; i++)
			counts[i] += other.counts[i];
		if (other.max > max)
			max = other.max;
	}

	/* The time that all samples but a fraction of @rest do not exceed. */
	uint64_t percentile(double rest) const
	{
		uint64_t above = 0;
		size_t i = nr_buckets;

		while (i > 0 && static_cast<double>(above + counts[i - 1]) <=
					rest * static_cast<double>(total()))
			above += counts[--i];
		return i == 0 || low(i) > max ? max : low(i) - 1;
	}

	uint64_t total() const
	{
		uint64_t sum = 0;

		for (uint64_t count : counts)
			sum += count;
		return sum;
	}

	uint64_t largest() const
	{
		return max;
	}

	/* Calls @visit(lowest, first above, count) for each bucket that is not empty. */
	template <class Visit> void each(Visit visit) const
	{
		for (size_t i = 0; i < nr_buckets; i++)
			if (counts[i])
				visit(low(i), low(i + 1), counts[i]);
	}

      private:
	static constexpr unsigned bits = 4, octaves = 32;
	static constexpr size_t per_octave = 1 << bits, nr_buckets = octaves * per_octave;

	static size_t bucket(uint64_t ns)
	{
		if (ns < per_octave)
			return ns;
		const unsigned shift = 63 - bits - static_cast<unsigned>(__builtin_clzl(ns));

		return (shift + 1) * per_octave + (ns >> shift) - per_octave;
	}

	static uint64_t low(size_t at)
	{
		if (at < per_octave)
			return at;
		return (at % per_octave + per_octave) << (at / per_octave - 1);
	}

	std::vector<uint64_t> counts = std::vector<uint64_t>(nr_buckets);
	uint64_t max = 0;
};

#endif
