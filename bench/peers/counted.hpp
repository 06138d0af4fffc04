/* SPDX-License-Identifier: MIT */
/*
 * An allocator for the containers: malloc, with a count of the bytes it hands out, malloc's own
 * header of one word included. One count per tag; a tag belongs to one peer, which has one tree
 * at a time.
 */
#ifndef BENCH_COUNTED_HPP
#define BENCH_COUNTED_HPP

#include <cstddef>
#include <cstdlib>
#include <malloc.h>
#include <new>

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
		void *p = std::malloc(n * sizeof(T));

		if (!p)
			throw std::bad_alloc();
		Tag::live += malloc_usable_size(p) + sizeof(std::size_t);
		return static_cast<T *>(p);
	}

	void deallocate(T *p, std::size_t)
	{
		Tag::live -= malloc_usable_size(p) + sizeof(std::size_t);
		std::free(p);
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
