/* SPDX-License-Identifier: MIT */
#include "locked.hpp"
#include "range_map.hpp"
#include <map>

namespace
{
struct tag;
using map = std::map<unsigned long, mapped, std::less<unsigned long>,
		     counted<std::pair<const unsigned long, mapped>, tag>>;
} // namespace

extern "C" const bench_peer bench_std_map =
	range_map<map, tag>::peer("std::map", "red-black tree of ranges by first key");
extern "C" const bench_peer bench_std_map_locked =
	locked<range_map<map, tag>>::peer("std::map+lock", "the same behind a rwlock");
