/* SPDX-License-Identifier: MIT */
/*
 * What a maple tree means, in the plainest form that can be run: a sorted array of the ranges
 * that have an entry. Everything between them is a gap. It is the oracle of the property tests
 * and shares nothing with the tree.
 *
 * Ranges are inclusive. Two neighbouring ranges stay two even with the same entry; gaps, not
 * being stored at all, cannot help being merged. Any non-NULL entry occupies its range, the zero
 * entry too.
 *
 * Not thread safe. Errors are negative errnos and leave everything, out-parameters included, as
 * it was.
 */
#ifndef MODEL_RANGE_MODEL_H
#define MODEL_RANGE_MODEL_H

#include <stdbool.h>
#include <stddef.h>

struct rm_range {
	unsigned long first;
	unsigned long last;
	void *entry; /* never NULL */
};

/*
 * Read ranges[0..count - 1] freely; they are sorted and do not overlap. Zeroed, it is an empty
 * model.
 */
struct range_model {
	struct rm_range *ranges;
	size_t count;
	size_t room;
};

/* Owns nothing until the first store. */
void rm_init(struct range_model *m);
/* Empties the model and frees its memory; it can be used again. */
void rm_destroy(struct range_model *m);
/* Makes @dst (initialised; its contents are lost) equal to @src. 0 or -ENOMEM. */
int rm_copy(struct range_model *dst, const struct range_model *src);
/* Same ranges with the same entries? */
bool rm_equal(const struct range_model *a, const struct range_model *b);

/* Makes [first..last] one range with @entry, or with NULL a part of a gap. 0, -EINVAL, -ENOMEM. */
int rm_store(struct range_model *m, unsigned long first, unsigned long last, void *entry);
/* The same, but -EEXIST when any key is occupied. */
int rm_insert(struct range_model *m, unsigned long first, unsigned long last, void *entry);
/* Makes the whole range around @key a gap and returns its entry; NULL when @key is in a gap. */
void *rm_erase(struct range_model *m, unsigned long key);

void *rm_load(const struct range_model *m, unsigned long key);
/* The range around @key, be it an entry's or a gap (*entry NULL). Any out-parameter may be NULL. */
void rm_range(const struct range_model *m, unsigned long key, unsigned long *first,
	      unsigned long *last, void **entry);
/* The lowest range with an entry that begins above @key, and the highest that ends below it. */
bool rm_next(const struct range_model *m, unsigned long key, unsigned long *first,
	     unsigned long *last, void **entry);
bool rm_prev(const struct range_model *m, unsigned long key, unsigned long *first,
	     unsigned long *last, void **entry);
/* Ranges with an entry. */
size_t rm_count(const struct range_model *m);

/*
 * The lowest / highest start of @size free keys inside [min..max], found by looking at every gap
 * there is. 0; -EINVAL when @size is 0 or [min..max] is empty or smaller; -EBUSY when no gap
 * fits.
 */
int rm_gap_first(const struct range_model *m, unsigned long size, unsigned long min,
		 unsigned long max, unsigned long *start);
int rm_gap_last(const struct range_model *m, unsigned long size, unsigned long min,
		unsigned long max, unsigned long *start);

#endif
