/* SPDX-License-Identifier: MIT */
#include "locked.hpp"
#include "range_map.hpp"
#include <absl/container/btree_map.h>

namespace
{
struct tag;
using map = absl::btree_map<unsigned long, mapped, std::less<unsigned long>,
			    counted<std::pair<const unsigned long, mapped>, tag>>;
} // namespace

extern "C" const bench_peer bench_absl_btree =
	range_map<map, tag>::peer("absl::btree", "absl::btree_map of ranges by first key");
extern "C" const bench_peer bench_absl_btree_locked =
	locked<range_map<map, tag>>::peer("absl::btree+lock", "the same behind a rwlock");
