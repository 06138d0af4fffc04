/* SPDX-License-Identifier: MIT */
/* Boost.ICL: an interval map that splits and trims by itself, on top of std::map. */
#include "../peer.h"
#include "counted.hpp"
#include <boost/icl/closed_interval.hpp>
#include <boost/icl/interval_map.hpp>

namespace
{
struct tag;
template <class T> using alloc = counted<T, tag>;

using interval = boost::icl::closed_interval<unsigned long>;
using map = boost::icl::interval_map<unsigned long, unsigned long, boost::icl::partial_enricher,
				     std::less, boost::icl::inplace_plus, boost::icl::inter_section,
				     interval, alloc>;

map &of(void *tree)
{
	return *static_cast<map *>(tree);
}

void *create()
{
	return new map;
}

void destroy(void *tree)
{
	delete static_cast<map *>(tree);
}

int store(void *tree, unsigned long first, unsigned long last, void *entry)
{
	of(tree).set({ interval(first, last), reinterpret_cast<unsigned long>(entry) });
	return 0;
}

void *load(void *tree, unsigned long key)
{
	auto it = of(tree).find(key);

	return it == of(tree).end() ? nullptr : reinterpret_cast<void *>(it->second);
}

void *erase(void *tree, unsigned long key)
{
	auto it = of(tree).find(key);

	if (it == of(tree).end())
		return nullptr;
	void *entry = reinterpret_cast<void *>(it->second);
	const interval range = it->first; /* there is no erase by iterator */
	of(tree).erase(range);
	return entry;
}

int clear(void *tree, unsigned long first, unsigned long last)
{
	of(tree).erase(interval(first, last));
	return 0;
}

bench_sum iterate(void *tree)
{
	bench_sum sum = {};

	for (const auto &range : of(tree)) {
		sum.sum += range.second ^ range.first.lower();
		sum.count++;
	}
	return sum;
}

std::size_t bytes(void *)
{
	return pools<tag>::live();
}
} // namespace

extern "C" const bench_peer bench_boost_icl = {
	"boost::icl",    "boost::icl::interval_map",
	BENCH_CAN_STORE, create,
	destroy,         store,
	nullptr,         load,
	erase,           clear,
	iterate,         nullptr,
	bytes,           nullptr,
	nullptr,         nullptr,
	nullptr,         nullptr,
};
