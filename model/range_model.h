/* SPDX-License-Identifier: MIT */
/*
 * A model of a maple tree, as plain as possible: a sorted array of the ranges that have an entry.
 * Everything between them is a gap. It is the oracle of the property tests and shares nothing with
 * the tree.
 *
 * Ranges are inclusive. Neighbouring ranges are never merged, even if they have the same entry;
 * gaps always are, since they are not stored. Any non-NULL entry occupies its range, the zero entry
 * too.
 *
 * Not thread-safe. Errors are negative errnos and leave everything as it was, including what the
 * parameters point to.
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
 * Users may read ranges[0..count - 1], which are sorted and do not overlap. All zero is an empty
 * model.
 */
struct range_model {
	struct rm_range *ranges;
	size_t count;
	size_t room;
};

/* Allocates nothing: the first store does. */
void rm_init(struct range_model *m);
/* Empties the model and frees its memory; it can be used again. */
void rm_destroy(struct range_model *m);
/* Makes @dst, whose contents are lost, equal to @src; both are initialised. 0 or -ENOMEM. */
int rm_copy(struct range_model *dst, const struct range_model *src);
/* Returns true if both have the same ranges with the same entries. */
bool rm_equal(const struct range_model *a, const struct range_model *b);

/* Makes [first..last] one range with @entry; NULL: part of a gap. 0, -EINVAL or -ENOMEM. */
int rm_store(struct range_model *m, unsigned long first, unsigned long last, void *entry);
/* The same, but -EEXIST if any key is occupied. */
int rm_insert(struct range_model *m, unsigned long first, unsigned long last, void *entry);
/* Makes the whole range around @key a gap and returns its entry; NULL: @key is in a gap. */
void *rm_erase(struct range_model *m, unsigned long key);

void *rm_load(const struct range_model *m, unsigned long key);
/* Stores the range or the gap (*@entry is NULL) around @key. Any of the pointers may be NULL. */
void rm_range(const struct range_model *m, unsigned long key, unsigned long *first,
	      unsigned long *last, void **entry);
/*
 * Store the lowest range with an entry that begins above @key; the highest that ends below it.
 * Return false if there is none.
 */
bool rm_next(const struct range_model *m, unsigned long key, unsigned long *first,
	     unsigned long *last, void **entry);
bool rm_prev(const struct range_model *m, unsigned long key, unsigned long *first,
	     unsigned long *last, void **entry);
/* Returns the number of ranges with an entry. */
size_t rm_count(const struct range_model *m);

/*
 * Store in *@start the lowest (highest) key from which @size keys in [min..max] are free, found by
 * looking at every gap. Return 0; -EINVAL if @size is 0 or [min..max] is empty or smaller; -EBUSY
 * if no gap is large enough.
 */
int rm_gap_first(const struct range_model *m, unsigned long size, unsigned long min,
		 unsigned long max, unsigned long *start);
int rm_gap_last(const struct range_model *m, unsigned long size, unsigned long min,
		unsigned long max, unsigned long *start);

#endif
