/* SPDX-License-Identifier: MIT */
/*
 * A range map on top of an ordered container from first key to (last key, entry): what a program
 * does that keeps its mappings in std::map. A store cuts and drops what it covers.
 */
#ifndef BENCH_RANGE_MAP_HPP
#define BENCH_RANGE_MAP_HPP

#include "../peer.h"
#include "counted.hpp"
#include <iterator>

struct mapped {
	unsigned long last;
	void *entry;
};

/* @Map: an ordered container from unsigned long to struct mapped; @Tag: that of its allocator. */
template <class Map, class Tag> struct range_map {
	static Map &of(void *tree)
	{
		return *static_cast<Map *>(tree);
	}

	static void *create()
	{
		return new Map;
	}
	static void destroy(void *tree)
	{
		delete static_cast<Map *>(tree);
	}

	/* The first range that ends at or above @key. */
	static typename Map::iterator at_or_after(Map &map, unsigned long key)
	{
		auto it = map.upper_bound(key);

		if (it != map.begin()) {
			auto before = std::prev(it);
			if (before->second.last >= key)
				return before;
		}
		return it;
	}

	/* Erases all in [first..last]. Returns the position of the next range. */
	static typename Map::iterator cut(Map &map, unsigned long first, unsigned long last)
	{
		auto it = at_or_after(map, first);

		while (it != map.end() && it->first <= last) {
			const unsigned long old_first = it->first;
			const mapped old = it->second;

			if (old_first < first)
				(it++)->second.last = first - 1;
			else
				it = map.erase(it);
			if (old.last > last) {
				it = map.emplace_hint(it, last + 1, old);
				break;
			}
		}
		return it;
	}

	static int store(void *tree, unsigned long first, unsigned long last, void *entry)
	{
		Map &map = of(tree);

		map.emplace_hint(cut(map, first, last), first, mapped{ last, entry });
		return 0;
	}

	static int clear(void *tree, unsigned long first, unsigned long last)
	{
		cut(of(tree), first, last);
		return 0;
	}

	static typename Map::iterator find(Map &map, unsigned long key)
	{
		auto it = map.upper_bound(key);

		if (it == map.begin())
			return map.end();
		--it;
		return it->second.last >= key ? it : map.end();
	}

	static void *load(void *tree, unsigned long key)
	{
		Map &map = of(tree);
		auto it = find(map, key);

		return it == map.end() ? nullptr : it->second.entry;
	}

	static void *erase(void *tree, unsigned long key)
	{
		Map &map = of(tree);
		auto it = find(map, key);

		if (it == map.end())
			return nullptr;
		void *entry = it->second.entry;
		map.erase(it);
		return entry;
	}

	static bench_sum iterate(void *tree)
	{
		bench_sum sum = {};

		for (const auto &range : of(tree)) {
			sum.sum += reinterpret_cast<unsigned long>(range.second.entry) ^
				   range.first;
			sum.count++;
		}
		return sum;
	}

	static std::size_t bytes(void *)
	{
		return pools<Tag>::live();
	}

	static constexpr bench_peer peer(const char *name, const char *what)
	{
		return { name,    what,    BENCH_CAN_STORE, create,  destroy, store,
			 nullptr, load,    erase,           clear,   iterate, nullptr,
			 bytes,   nullptr, nullptr,         nullptr, nullptr, nullptr };
	}
};

#endif
