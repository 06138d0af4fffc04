/* SPDX-License-Identifier: MIT */
/*
 * The least that data which never changes can cost: first keys in one sorted array, the rest in
 * another, binary search without branches that depend on the data.
 */
#include "../peer.h"
#include <cstdlib>
#include <vector>

namespace
{
struct table {
	std::vector<unsigned long> first;
	std::vector<bench_range> range;
};

table &of(void *tree)
{
	return *static_cast<table *>(tree);
}

void *create()
{
	return new table;
}

void destroy(void *tree)
{
	delete static_cast<table *>(tree);
}

int fill(void *tree, const bench_range *ranges, std::size_t n)
{
	table &t = of(tree);

	t.range.assign(ranges, ranges + n);
	t.first.resize(n);
	for (std::size_t i = 0; i < n; i++)
		t.first[i] = ranges[i].first;
	return 0;
}

void *load(void *tree, unsigned long key)
{
	const table &t = of(tree);
	const unsigned long *base = t.first.data();
	std::size_t n = t.first.size();

	while (n > 1) {
		const std::size_t half = n / 2;

		base = base[half] <= key ? base + half : base;
		n -= half;
	}
	const bench_range &range = t.range[base - t.first.data()];
	return range.first <= key && key <= range.last ? range.entry : nullptr;
}

bench_sum iterate(void *tree)
{
	bench_sum sum = {};

	for (const auto &range : of(tree).range) {
		sum.sum += reinterpret_cast<unsigned long>(range.entry) ^ range.first;
		sum.count++;
	}
	return sum;
}

std::size_t bytes(void *tree)
{
	return of(tree).range.size() * (sizeof(bench_range) + sizeof(unsigned long));
}
} // namespace

extern "C" const bench_peer bench_sorted_array = {
	"sorted array",
	"binary search; cannot be changed",
	0,
	create,
	destroy,
	nullptr,
	fill,
	load,
	nullptr,
	nullptr,
	iterate,
	nullptr,
	bytes,
	nullptr,
	nullptr,
	nullptr,
	nullptr,
	nullptr,
};
