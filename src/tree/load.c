/* SPDX-License-Identifier: MIT */
/* The normal API's readers: each takes the read section itself when the tree is in RCU mode. */
#include "base/rcu.h"
#include "tree/search.h"

/* In a read section from here on, if the tree needs one; what to give read_end(). */
smr_inline bool read_begin(const struct maple_tree *mt)
{
	bool rcu = mt_in_rcu(mt);

	if (rcu)
		smr_rcu_read_lock((enum mt_rcu_flavor)mt->ma_rcu);
	return rcu;
}

smr_inline void read_end(const struct maple_tree *mt, bool rcu)
{
	if (rcu)
		smr_rcu_read_unlock((enum mt_rcu_flavor)mt->ma_rcu);
}

SMR_CLONES void *mtree_load(struct maple_tree *mt, unsigned long index)
{
	bool rcu = read_begin(mt);
	void *entry = smr_lookup(smr_root(mt), index);

	read_end(mt, rcu);
	return smr_unlikely(xa_is_zero(entry)) ? NULL : entry;
}

void *mt_find(struct maple_tree *mt, unsigned long *index, unsigned long max)
{
	MA_STATE(mas, mt, *index, *index);
	bool rcu;
	void *entry;

	if (*index > max)
		return NULL;
	rcu = read_begin(mt);
	do {
		entry = mas_find(&mas, max);
	} while (xa_is_zero(entry));
	read_end(mt, rcu);
	if (entry)
		*index = mas.last + 1;
	return entry;
}

void *mt_find_after(struct maple_tree *mt, unsigned long *index, unsigned long max)
{
	return *index ? mt_find(mt, index, max) : NULL;
}

void *mt_next(struct maple_tree *mt, unsigned long index, unsigned long max)
{
	MA_STATE(mas, mt, index, index);
	bool rcu = read_begin(mt);
	void *entry = mas_next(&mas, max);

	read_end(mt, rcu);
	return entry;
}

void *mt_prev(struct maple_tree *mt, unsigned long index, unsigned long min)
{
	MA_STATE(mas, mt, index, index);
	bool rcu = read_begin(mt);
	void *entry = mas_prev(&mas, min);

	read_end(mt, rcu);
	return entry;
}
