/* SPDX-License-Identifier: MIT */
/* The normal API's writers: check the arguments, take the lock, store, release the lock. */
#include "base/warn.h"
#include "mem/refill.h"
#include "tree/check.h"
#include "tree/edit.h"
#include "tree/pledge.h"
#include "tree/store.h"

#include <errno.h>
#include <samara/txn.h>

static int refuse(const char *function, const void *entry)
{
	smr_warn_once("%s() of %p, which is reserved for the library", function, entry);
	return -EINVAL;
}

/*
 * Stores what is more than an edit, through a cursor, which begins where @path leads, if that is
 * not NULL. CONTEXT: HOLDS tree lock; may drop it.
 */
static smr_noinline int store_by_cursor(struct maple_tree *mt, const struct smr_path *path,
					unsigned long first, unsigned long last, void *entry,
					gfp_t gfp, bool free_only)
{
	MA_STATE(mas, mt, first, last);
	int err;

	if (path)
		smr_cursor_follow(&mas, path);
	err = smr_write_entry(&mas, entry, gfp, free_only, NULL);
	mas_destroy(&mas);
	return err;
}

static int store(struct maple_tree *mt, unsigned long first, unsigned long last, void *entry,
		 gfp_t gfp, bool free_only)
{
	struct smr_path path;
	bool found;
	int err = -EAGAIN;

	if (first > last)
		return -EINVAL;
	smr_lock_internal(mt);
	found = smr_edit_find(mt, first, &path);
	if (smr_likely(found))
		err = smr_edit_range(mt, &path, first, last, entry, gfp, free_only);
	if (smr_unlikely(err == -EAGAIN))
		err = store_by_cursor(mt, found ? &path : NULL, first, last, entry, gfp, free_only);
	mtree_unlock(mt);
	if (!entry && gfpflags_allow_blocking(gfp) && mtree_empty(mt))
		smr_mem_release_idle(smr_mem_of(mt));
	return err;
}

int mtree_store_range(struct maple_tree *mt, unsigned long first, unsigned long last, void *entry,
		      gfp_t gfp)
{
	if (smr_unlikely(xa_is_advanced(entry)))
		return refuse("mtree_store", entry);
	return store(mt, first, last, entry, gfp, false);
}

int mtree_store(struct maple_tree *mt, unsigned long index, void *entry, gfp_t gfp)
{
	return mtree_store_range(mt, index, index, entry, gfp);
}

int mtree_insert_range(struct maple_tree *mt, unsigned long first, unsigned long last, void *entry,
		       gfp_t gfp)
{
	if (smr_unlikely(xa_is_advanced(entry)))
		return refuse("mtree_insert", entry);
	return store(mt, first, last, entry, gfp, true);
}

int mtree_insert(struct maple_tree *mt, unsigned long index, void *entry, gfp_t gfp)
{
	return mtree_insert_range(mt, index, index, entry, gfp);
}

static smr_noinline void *erase_by_cursor(struct maple_tree *mt, unsigned long index)
{
	MA_STATE(mas, mt, index, index);

	return mas_erase(&mas);
}

void *mtree_erase(struct maple_tree *mt, unsigned long index)
{
	struct smr_path path;
	void *entry;

	smr_lock_internal(mt);
	if (!smr_edit_find(mt, index, &path) || smr_edit_remove(mt, &path, &entry))
		entry = erase_by_cursor(mt, index);
	mtree_unlock(mt);
	if (entry && mtree_empty(mt))
		smr_mem_release_idle(smr_mem_of(mt));
	return entry;
}

/* ---- Reserved ranges ---- */

int mtree_reserve(struct maple_tree *mt, unsigned long first, unsigned long last, gfp_t gfp)
{
	return store(mt, first, last, XA_ZERO_ENTRY, gfp, true);
}

/* Finds the next reserved piece of [first..last] at or above the cursor, cut to the limits. */
static bool next_reserved(struct ma_state *mas, unsigned long first, unsigned long last)
{
	void *entry;

	do
		entry = mas_find(mas, last);
	while (entry && !xa_is_zero(entry));
	if (!entry)
		return false;
	if (mas->index < first)
		mas->index = first;
	if (mas->last > last)
		mas->last = last;
	return true;
}

/* Whether there is a reserved piece after the one that the cursor is on. The cursor stays there. */
static bool has_more_reserved(const struct ma_state *mas, unsigned long last)
{
	struct ma_state next = *mas;

	return next_reserved(&next, 0, last);
}

/*
 * Releases what is reserved in [first..last], all or nothing, with the cursor's nodes and others
 * that are free. A single piece takes one store, and so no transaction.
 */
static int try_release(struct ma_state *mas, unsigned long first, unsigned long last)
{
	struct maple_tree *mt = mas->tree;
	struct mt_txn txn;
	int err = 0;

	mas_set(mas, first);
	if (!next_reserved(mas, first, last))
		return 0;
	if (!has_more_reserved(mas, last))
		return smr_write_entry(mas, NULL, GFP_NOWAIT, false, NULL);
	mt_txn_begin(&txn, mt);
	mas->tree = &txn.view;
	mas_set(mas, first);
	while (!err && next_reserved(mas, first, last)) {
		unsigned long end = mas->last;

		err = smr_write_entry(mas, NULL, GFP_NOWAIT, false, NULL);
		mas_set(mas, end);
	}
	mas->tree = mt;
	if (err)
		mt_txn_abort(&txn);
	else
		mt_txn_commit(&txn);
	return err;
}

/*
 * Usually a range is released as it was reserved, which is one edit, with nodes that are free.
 * Returns -EAGAIN if it may be more than that.
 */
static int release_edit(struct maple_tree *mt, unsigned long first, unsigned long last)
{
	struct smr_path path;
	unsigned int i;
	void *leaf;

	if (!smr_edit_find(mt, first, &path))
		return -EAGAIN;
	leaf = path.node[path.depth];
	i = path.slot[path.depth];
	if (!xa_is_zero(smr_slots(leaf)[i]) || i + 1 >= smr_count(leaf) ||
	    smr_start(leaf, i + 1) <= last)
		return -EAGAIN;
	return smr_edit_range(mt, &path, first, last, NULL, GFP_NOWAIT, false);
}

int mtree_release(struct maple_tree *mt, unsigned long first, unsigned long last)
{
	MA_STATE(mas, mt, first, first);
	unsigned long nodes = SMR_STORE_NODES(1);
	int err;

	if (first > last)
		return -EINVAL;
	smr_lock_internal(mt);
	err = release_edit(mt, first, last);
	if (smr_unlikely(err == -EAGAIN))
		err = try_release(&mas, first, last);
	for (; err == -ENOMEM; err = try_release(&mas, first, last)) {
		/* The nodes obtained before were not enough. */
		nodes = 2 * (nodes + mas.alloc_nr);
		err = smr_cursor_obtain(&mas, nodes, GFP_KERNEL);
		if (err && err != -EAGAIN)
			break;
	}
	mtree_unlock(mt);
	mas_destroy(&mas);
	if (mtree_empty(mt))
		smr_mem_release_idle(smr_mem_of(mt));
	return err;
}

/* ---- Allocation of ranges ---- */

/* Sets all of *@where but the place, which is large and set by @find. */
smr_inline void where_init(struct smr_where *where,
			   int (*find)(const struct maple_tree *mt, struct smr_where *where),
			   unsigned long min, unsigned long max, unsigned long size, bool high,
			   const unsigned long *next)
{
	where->find = find;
	where->min = min;
	where->max = max;
	where->size = size;
	where->high = high;
	where->next = next;
}

static int find_gap(const struct maple_tree *mt, struct smr_where *where)
{
	return smr_gap_find(mt, where->min, where->max, where->size, where->high, &where->gap);
}

static bool is_reserved(const void *entry)
{
	return xa_is_internal(entry) && (unsigned long)entry < MAPLE_RESERVED_RANGE;
}

/* Returns 0 if the normal API may put @entry somewhere in @mt, or else the error to return. */
static int check_alloc(const struct maple_tree *mt, const void *entry)
{
	if (is_reserved(entry))
		return refuse("mtree_alloc", entry);
	return smr_load(&mt->ma_flags, RELAXED) & MT_FLAGS_ALLOC_RANGE ? 0 : -EINVAL;
}

/* Stores what is more than an edit, through a cursor; by then the place may be a different one. */
static smr_noinline int alloc_by_cursor(struct maple_tree *mt, void *entry, struct smr_where *where,
					gfp_t gfp)
{
	struct ma_state mas;
	int err;

	mas_init(&mas, mt, 0);
	err = smr_write_entry(&mas, entry, gfp, false, where);
	mas_destroy(&mas);
	return err;
}

/* CONTEXT: HOLDS tree lock; may drop it. */
static int alloc_locked(struct maple_tree *mt, void *entry, struct smr_where *where, gfp_t gfp)
{
	struct smr_gap *gap = &where->gap;
	int err = where->find(mt, where);

	if (err)
		return err;
	err = -EAGAIN;
	if (smr_likely(smr_edit_found(mt, &gap->path)))
		err = smr_edit_range(mt, &gap->path, gap->first, gap->first + (where->size - 1),
				     entry, gfp, false);
	return smr_unlikely(err == -EAGAIN) ? alloc_by_cursor(mt, entry, where, gfp) : err;
}

static int alloc(struct maple_tree *mt, unsigned long *startp, void *entry, struct smr_where *where,
		 gfp_t gfp)
{
	int err = check_alloc(mt, entry);

	if (err)
		return err;
	smr_lock_internal(mt);
	err = alloc_locked(mt, entry, where, gfp);
	mtree_unlock(mt);
	if (!err)
		*startp = where->gap.first;
	return err;
}

int mtree_alloc_range(struct maple_tree *mt, unsigned long *startp, void *entry, unsigned long size,
		      unsigned long min, unsigned long max, gfp_t gfp)
{
	struct smr_where where;

	where_init(&where, find_gap, min, max, size, false, NULL);
	return alloc(mt, startp, entry, &where, gfp);
}

int mtree_alloc_rrange(struct maple_tree *mt, unsigned long *startp, void *entry,
		       unsigned long size, unsigned long min, unsigned long max, gfp_t gfp)
{
	struct smr_where where;

	where_init(&where, find_gap, min, max, size, true, NULL);
	return alloc(mt, startp, entry, &where, gfp);
}

/* ---- Cyclic allocation ---- */

/* Finds one key in [*next..hi], or else in [lo..hi]. */
static int find_cyclic(const struct maple_tree *mt, struct smr_where *where)
{
	unsigned long next = *where->next, lo = where->min, hi = where->max;
	unsigned long from = next > lo ? next : lo;
	int err = -EBUSY;

	if (from <= hi)
		err = smr_gap_find(mt, from, hi, 1, false, &where->gap);
	if (err == -EBUSY && next > lo)
		err = smr_gap_find(mt, lo, hi, 1, false, &where->gap);
	return err;
}

static void mark_wrapped(struct maple_tree *mt, bool wrapped)
{
	unsigned int flags = mt->ma_flags & ~(unsigned int)MT_FLAGS_ALLOC_WRAPPED;

	smr_store(&mt->ma_flags, wrapped ? flags | MT_FLAGS_ALLOC_WRAPPED : flags, RELAXED);
}

/* After @key is allocated: sets where the next search begins; returns whether this one wrapped. */
static int advance_next(struct maple_tree *mt, unsigned long key, unsigned long *next)
{
	bool wrapped = key < *next;

	*next = key + 1;
	/*
	 * A wrap at the end of the key space is reported by the next call that has not itself
	 * wrapped.
	 */
	if (!wrapped && (mt->ma_flags & MT_FLAGS_ALLOC_WRAPPED)) {
		wrapped = true;
		mark_wrapped(mt, false);
	}
	if (key == ULONG_MAX)
		mark_wrapped(mt, true);
	return wrapped;
}

int mas_alloc_cyclic(struct ma_state *mas, unsigned long *startp, void *entry,
		     unsigned long range_lo, unsigned long range_hi, unsigned long *next, gfp_t gfp)
{
	unsigned long index = mas->index, last = mas->last;
	struct smr_where where;
	int err;

	if (range_lo > range_hi)
		return -EINVAL;
	where_init(&where, find_cyclic, range_lo, range_hi, 1, false, next);
	err = smr_write_entry(mas, entry, gfp, false, &where);
	mas_destroy(mas);
	if (err) {
		__mas_set_range(mas, index, last);
		if (err == -ENOMEM)
			smr_set_error(mas, err);
		return err;
	}
	*startp = where.gap.first;
	return advance_next(mas->tree, where.gap.first, next);
}

int mtree_alloc_cyclic(struct maple_tree *mt, unsigned long *startp, void *entry,
		       unsigned long range_lo, unsigned long range_hi, unsigned long *next,
		       gfp_t gfp)
{
	int err = check_alloc(mt, entry);
	struct smr_where where;

	if (err)
		return err;
	if (range_lo > range_hi)
		return -EINVAL;
	where_init(&where, find_cyclic, range_lo, range_hi, 1, false, next);
	smr_lock_internal(mt);
	err = alloc_locked(mt, entry, &where, gfp);
	if (!err) {
		*startp = where.gap.first;
		err = advance_next(mt, where.gap.first, next);
	}
	mtree_unlock(mt);
	return err;
}
