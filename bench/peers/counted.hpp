/* SPDX-License-Identifier: MIT */
/*
 * The pools of pool.h as an allocator for containers, one pool for each size. All containers with
 * the same tag share them; a tag belongs to one peer, which has one tree at a time.
 */
#ifndef BENCH_COUNTED_HPP
#define BENCH_COUNTED_HPP

#include "pool.h"
#include <cstddef>
#include <new>

template <class Tag> struct pools {
	static constexpr std::size_t largest = 1024;
	static inline pool by_size[largest / 16 + 1];

	static std::size_t live()
	{
		std::size_t sum = 0;

		for (const pool &p : by_size)
			sum += p.live;
		return sum;
	}
};

template <class T, class Tag> struct counted {
	using value_type = T;

	counted() = default;
	template <class U> counted(const counted<U, Tag> &)
	{
	}

	template <class U> struct rebind {
		using other = counted<U, Tag>;
	};

	T *allocate(std::size_t n)
	{
		const std::size_t size = pool_size(n * sizeof(T));
		void *p = size <= pools<Tag>::largest
				  ? pool_take(&pools<Tag>::by_size[size / 16], size)
				  : nullptr;

		if (!p)
			throw std::bad_alloc();
		return static_cast<T *>(p);
	}

	void deallocate(T *p, std::size_t n)
	{
		const std::size_t size = pool_size(n * sizeof(T));

		pool_give(&pools<Tag>::by_size[size / 16], p, size);
	}

	bool operator==(const counted &) const
	{
		return true;
	}
	bool operator!=(const counted &) const
	{
		return false;
	}
};

#endif
