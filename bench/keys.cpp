/* SPDX-License-Identifier: MIT */
#include "keys.hpp"
#include <algorithm>

namespace
{

constexpr unsigned long page = 4096;
constexpr unsigned long base = 1ul << 32; /* leaves room below the first mapping */

/* Entries are distinct, aligned and never dereferenced. */
void *entry_of(size_t i)
{
	return reinterpret_cast<void *>((1ul << 44) + 16 * i);
}

using ranges = std::vector<bench_range>;

/* Ranges of @size keys every @step. */
ranges every(size_t n, unsigned long size, unsigned long step)
{
	ranges out;

	for (size_t i = 0; i < n; i++)
		out.push_back({ base + i * step, base + i * step + size - 1, entry_of(i) });
	return out;
}

ranges page_ranges(size_t n, rng &)
{
	return every(n, page, 4 * page);
}

ranges huge_ranges(size_t n, rng &)
{
	return every(n, 2ul << 20, 8ul << 20);
}

ranges byte_ranges(size_t n, rng &r)
{
	ranges out;
	unsigned long at = base;

	for (size_t i = 0; i < n; i++) {
		const unsigned long size = 1 + r.below(4096);

		out.push_back({ at, at + size - 1, entry_of(i) });
		at += size + 1 + r.below(4096);
	}
	return out;
}

/* Runs of up to 256 pages without a gap inside, far apart. */
ranges clustered_ranges(size_t n, rng &r)
{
	ranges out;
	unsigned long at = base;

	for (size_t i = 0; i < n; i++) {
		if (i % 256 == 0)
			at += (1 + r.below(256)) << 26;
		out.push_back({ at, at + page - 1, entry_of(i) });
		at += page;
	}
	return out;
}

/* One to 4096 keys anywhere in each n-th part of the 64-bit space. */
ranges sparse_ranges(size_t n, rng &r)
{
	const unsigned long part = ULONG_MAX / (n + 1);
	ranges out;

	for (size_t i = 0; i < n; i++) {
		const unsigned long at = (i + 1) * part + r.below(part / 2);

		out.push_back({ at, at + r.below(4096), entry_of(i) });
	}
	return out;
}

/*
 * One to 64 pages; one in @apart leaves a random gap of up to 64 pages, the others touch the next.
 */
ranges strewn_ranges(size_t n, rng &r, uint64_t apart)
{
	ranges out;
	unsigned long at = base;

	for (size_t i = 0; i < n; i++) {
		const unsigned long pages = 1 + r.below(64);

		out.push_back({ at, at + pages * page - 1, entry_of(i) });
		at += (pages + (r.below(apart) == 0 ? 1 + r.below(64) : 0)) * page;
	}
	return out;
}

ranges mixed_ranges(size_t n, rng &r)
{
	return strewn_ranges(n, r, 1);
}

/* Ranges as those of programs and libraries lie. */
ranges touching_ranges(size_t n, rng &r)
{
	return strewn_ranges(n, r, 2);
}

/* One to eight pages free between mappings, but sixty-four after one in 256. */
ranges fragmented_ranges(size_t n, rng &r)
{
	ranges out;
	unsigned long at = base;

	for (size_t i = 0; i < n; i++) {
		const unsigned long pages = 1 + r.below(16);

		out.push_back({ at, at + pages * page - 1, entry_of(i) });
		at += (pages + (r.below(256) == 0 ? 64 : 1 + r.below(8))) * page;
	}
	return out;
}

struct dist_maker {
	dist_info info;
	ranges (*make)(size_t n, rng &r);
};

const dist_maker makers[] = {
	{ { "page", "4 KiB every 16 KiB" }, page_ranges },
	{ { "byte", "1 to 4096 keys, as far apart, not aligned" }, byte_ranges },
	{ { "huge", "2 MiB every 8 MiB" }, huge_ranges },
	{ { "clustered", "runs of 256 adjacent pages, far apart" }, clustered_ranges },
	{ { "sparse", "1 to 4096 keys, anywhere in 64 bits" }, sparse_ranges },
	{ { "mixed", "1 to 64 pages, 1 to 64 pages apart" }, mixed_ranges },
	{ { "touching", "the same, every other one touches the next" }, touching_ranges },
	{ { "nested", "64 pages, 16 stored into them, 4 into these" }, nullptr },
	{ { "fragmented", "many small gaps, few large ones" }, fragmented_ranges },
};

void shuffle(ranges &v, rng &r)
{
	for (size_t i = v.size(); i > 1; i--)
		std::swap(v[i - 1], v[r.below(i)]);
}

/*
 * Groups of three stores, each into the middle of the one before; five ranges remain of a group.
 * Groups come in random order; the innermost range is the one that moves.
 */
void make_nested(key_set &set, size_t n, rng &r)
{
	const unsigned long outer = 64 * page, mid = 16 * page, inner = 4 * page;
	std::vector<size_t> group((n + 2) / 3);

	for (size_t i = 0; i < group.size(); i++) {
		const unsigned long a = base + i * 2 * outer;
		const unsigned long b = a + (outer - mid) / 2, c = b + (mid - inner) / 2;
		void *e = entry_of(3 * i), *f = entry_of(3 * i + 1), *g = entry_of(3 * i + 2);

		set.sorted.insert(set.sorted.end(), { { a, b - 1, e },
						      { b, c - 1, f },
						      { c, c + inner - 1, g },
						      { c + inner, b + mid - 1, f },
						      { b + mid, a + outer - 1, e } });
		group[i] = i;
	}
	for (size_t i = group.size(); i > 1; i--)
		std::swap(group[i - 1], group[r.below(i)]);
	for (size_t i : group) {
		const bench_range *five = &set.sorted[5 * i];

		set.stores.push_back({ five[0].first, five[4].last, five[0].entry });
		set.stores.push_back({ five[1].first, five[3].last, five[1].entry });
		set.stores.push_back(five[2]);
		set.moves.push_back(five[2]);
	}
}

/*
 * For some mappings, finds where the lowest gap of gap_size above and the highest below them lies.
 */
void make_gap_probes(key_set &set, size_t count, rng &r)
{
	const ranges &v = set.sorted;
	std::vector<unsigned long> above(v.size()), below(v.size());

	set.gap_size = 16 * page;
	above.back() = v.back().last + 1;
	for (size_t i = v.size() - 1; i-- > 0;)
		above[i] = v[i + 1].first - v[i].last > set.gap_size ? v[i].last + 1 : above[i + 1];
	below[0] = v[0].first - set.gap_size;
	for (size_t i = 1; i < v.size(); i++)
		below[i] = v[i].first - v[i - 1].last > set.gap_size ? v[i].first - set.gap_size
								     : below[i - 1];
	for (size_t k = 0; k < count; k++) {
		const size_t i = r.below(v.size());

		set.gaps.push_back({ v[i].first, above[i], below[i] });
	}
}

} // namespace

const std::vector<dist_info> &distributions()
{
	static std::vector<dist_info> list;

	if (list.empty())
		for (const auto &maker : makers)
			list.push_back(maker.info);
	return list;
}

key_set make_keys(const std::string &dist, size_t n, size_t probes, uint64_t seed)
{
	key_set set = {};
	rng r(seed);

	for (const auto &maker : makers) {
		if (dist != maker.info.name)
			continue;
		if (maker.make)
			set.sorted = maker.make(n, r);
		else
			make_nested(set, n, r);
	}
	if (set.stores.empty()) {
		set.stores = set.sorted;
		shuffle(set.stores, r);
		set.moves = set.sorted;
	}
	shuffle(set.moves, r);
	for (const auto &range : set.sorted) {
		set.all.count++;
		set.all.sum += reinterpret_cast<unsigned long>(range.entry) ^ range.first;
	}
	for (size_t i = 0; i < probes; i++) {
		const bench_range &range = set.sorted[r.below(set.sorted.size())];

		set.probes.push_back(
			{ range.first + r.below(range.last - range.first + 1), range.entry });
	}
	if (dist == "fragmented")
		make_gap_probes(set, std::min<size_t>(probes, 65536), r);
	return set;
}
