/* SPDX-License-Identifier: MIT */
/* The model of a maple tree: see range_model.h. */
#include "range_model.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void rm_init(struct range_model *m)
{
	*m = (struct range_model){ 0 };
}

void rm_destroy(struct range_model *m)
{
	free(m->ranges);
	rm_init(m);
}

static int make_room(struct range_model *m, size_t count)
{
	struct rm_range *ranges;
	size_t room = m->room ? m->room : 16;

	if (count <= m->room)
		return 0;
	while (room < count)
		room *= 2;
	if (room > SIZE_MAX / sizeof(*ranges))
		return -ENOMEM;
	ranges = realloc(m->ranges, room * sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	m->ranges = ranges;
	m->room = room;
	return 0;
}

int rm_copy(struct range_model *dst, const struct range_model *src)
{
	int err = make_room(dst, src->count);

	if (err)
		return err;
	if (src->count)
		memcpy(dst->ranges, src->ranges, src->count * sizeof(*src->ranges));
	dst->count = src->count;
	return 0;
}

bool rm_equal(const struct range_model *a, const struct range_model *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const struct rm_range *x = &a->ranges[i], *y = &b->ranges[i];

		if (x->first != y->first || x->last != y->last || x->entry != y->entry)
			return false;
	}
	return true;
}

/* Returns the number of the first range that ends at or above @key; count: there is none. */
static size_t lower_bound(const struct range_model *m, unsigned long key)
{
	size_t low = 0, high = m->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (m->ranges[mid].last < key)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int rm_store(struct range_model *m, unsigned long first, unsigned long last, void *entry)
{
	struct rm_range pieces[3];
	size_t nr = 0, from, to;
	int err;

	if (first > last)
		return -EINVAL;
	from = lower_bound(m, first);
	for (to = from; to < m->count && m->ranges[to].first <= last; to++)
		;
	/* ranges[from..to - 1] overlap; only the first and the last can reach beyond the store. */
	if (to > from && m->ranges[from].first < first)
		pieces[nr++] = (struct rm_range){ m->ranges[from].first, first - 1,
						  m->ranges[from].entry };
	if (entry)
		pieces[nr++] = (struct rm_range){ first, last, entry };
	if (to > from && m->ranges[to - 1].last > last)
		pieces[nr++] = (struct rm_range){ last + 1, m->ranges[to - 1].last,
						  m->ranges[to - 1].entry };
	if (!nr && to == from)
		return 0;
	err = make_room(m, m->count - (to - from) + nr);
	if (err)
		return err;
	memmove(&m->ranges[from + nr], &m->ranges[to], (m->count - to) * sizeof(*m->ranges));
	memcpy(&m->ranges[from], pieces, nr * sizeof(*pieces));
	m->count = m->count - (to - from) + nr;
	return 0;
}

int rm_insert(struct range_model *m, unsigned long first, unsigned long last, void *entry)
{
	size_t at;

	if (first > last)
		return -EINVAL;
	at = lower_bound(m, first);
	if (at < m->count && m->ranges[at].first <= last)
		return -EEXIST;
	return rm_store(m, first, last, entry);
}

void *rm_erase(struct range_model *m, unsigned long key)
{
	size_t at = lower_bound(m, key);
	void *entry;

	if (at == m->count || m->ranges[at].first > key)
		return NULL;
	entry = m->ranges[at].entry;
	m->count--;
	memmove(&m->ranges[at], &m->ranges[at + 1], (m->count - at) * sizeof(*m->ranges));
	return entry;
}

void *rm_load(const struct range_model *m, unsigned long key)
{
	size_t at = lower_bound(m, key);

	return at < m->count && m->ranges[at].first <= key ? m->ranges[at].entry : NULL;
}

static void give(unsigned long *first, unsigned long *last, void **entry, struct rm_range range)
{
	if (first)
		*first = range.first;
	if (last)
		*last = range.last;
	if (entry)
		*entry = range.entry;
}

/*
 * Stores the gap below range number @at; if @at is count, the gap above all ranges. Returns false
 * if there is none.
 */
static bool gap_below(const struct range_model *m, size_t at, unsigned long *first,
		      unsigned long *last)
{
	if (at && m->ranges[at - 1].last == ULONG_MAX)
		return false;
	if (at < m->count && !m->ranges[at].first)
		return false;
	*first = at ? m->ranges[at - 1].last + 1 : 0;
	*last = at < m->count ? m->ranges[at].first - 1 : ULONG_MAX;
	return *first <= *last;
}

void rm_range(const struct range_model *m, unsigned long key, unsigned long *first,
	      unsigned long *last, void **entry)
{
	size_t at = lower_bound(m, key);
	struct rm_range gap = { 0, 0, NULL };

	if (at < m->count && m->ranges[at].first <= key) {
		give(first, last, entry, m->ranges[at]);
		return;
	}
	gap_below(m, at, &gap.first, &gap.last);
	give(first, last, entry, gap);
}

bool rm_next(const struct range_model *m, unsigned long key, unsigned long *first,
	     unsigned long *last, void **entry)
{
	size_t at = lower_bound(m, key);

	if (at < m->count && m->ranges[at].first <= key)
		at++;
	if (at == m->count)
		return false;
	give(first, last, entry, m->ranges[at]);
	return true;
}

bool rm_prev(const struct range_model *m, unsigned long key, unsigned long *first,
	     unsigned long *last, void **entry)
{
	size_t at = lower_bound(m, key);

	if (!at)
		return false;
	give(first, last, entry, m->ranges[at - 1]);
	return true;
}

size_t rm_count(const struct range_model *m)
{
	return m->count;
}

/* Cuts the gap below range @at to [min..max]. Returns true if @size keys fit into what is left. */
static bool gap_fits(const struct range_model *m, size_t at, unsigned long size, unsigned long min,
		     unsigned long max, unsigned long *first, unsigned long *last)
{
	if (!gap_below(m, at, first, last))
		return false;
	if (*first < min)
		*first = min;
	if (*last > max)
		*last = max;
	return *first <= *last && *last - *first >= size - 1;
}

static bool search_makes_sense(unsigned long size, unsigned long min, unsigned long max)
{
	return size && min <= max && max - min >= size - 1;
}

int rm_gap_first(const struct range_model *m, unsigned long size, unsigned long min,
		 unsigned long max, unsigned long *start)
{
	unsigned long first, last;

	if (!search_makes_sense(size, min, max))
		return -EINVAL;
	for (size_t at = 0; at <= m->count; at++) {
		if (gap_fits(m, at, size, min, max, &first, &last)) {
			*start = first;
			return 0;
		}
	}
	return -EBUSY;
}

int rm_gap_last(const struct range_model *m, unsigned long size, unsigned long min,
		unsigned long max, unsigned long *start)
{
	unsigned long first, last;

	if (!search_makes_sense(size, min, max))
		return -EINVAL;
	for (size_t at = m->count + 1; at-- > 0;) {
		if (gap_fits(m, at, size, min, max, &first, &last)) {
			*start = last - (size - 1);
			return 0;
		}
	}
	return -EBUSY;
}
