/* SPDX-License-Identifier: MIT */
/*
 * What a program does that reads a container from several threads: the same peer with one rwlock
 * for the tree, taken shared to read and exclusively to write.
 */
#ifndef BENCH_LOCKED_HPP
#define BENCH_LOCKED_HPP

#include "../peer.h"
#include <mutex>
#include <shared_mutex>

/* @Base: like range_map<>, with functions for all that a peer does. */
template <class Base> struct locked {
	struct tree {
		void *base;
		std::shared_mutex lock;
	};
	using reading = std::shared_lock<std::shared_mutex>;
	using writing = std::unique_lock<std::shared_mutex>;

	static tree &of(void *t)
	{
		return *static_cast<tree *>(t);
	}

	static void *create()
	{
		return new tree{ Base::create(), {} };
	}
	static void destroy(void *t)
	{
		Base::destroy(of(t).base);
		delete &of(t);
	}

	static int store(void *t, unsigned long first, unsigned long last, void *entry)
	{
		writing guard(of(t).lock);

		return Base::store(of(t).base, first, last, entry);
	}

	static void *load(void *t, unsigned long key)
	{
		reading guard(of(t).lock);

		return Base::load(of(t).base, key);
	}

	static void *erase(void *t, unsigned long key)
	{
		writing guard(of(t).lock);

		return Base::erase(of(t).base, key);
	}

	static int clear(void *t, unsigned long first, unsigned long last)
	{
		writing guard(of(t).lock);

		return Base::clear(of(t).base, first, last);
	}

	static bench_sum iterate(void *t)
	{
		reading guard(of(t).lock);

		return Base::iterate(of(t).base);
	}

	static std::size_t bytes(void *t)
	{
		return Base::bytes(of(t).base);
	}

	static constexpr bench_peer peer(const char *name, const char *what)
	{
		return { name,    what,    BENCH_CAN_STORE | BENCH_CAN_READERS | BENCH_LOCKS,
			 create,  destroy, store,
			 nullptr, load,    erase,
			 clear,   iterate, nullptr,
			 bytes,   nullptr, nullptr,
			 nullptr, nullptr, nullptr };
	}
};

#endif
