/* SPDX-License-Identifier: MIT */
/* The normal API's readers: each enters a read-side section itself if the tree is in RCU mode. */
#include "base/rcu.h"
#include "tree/search_simd.h"

/* A read-side critical section, if the tree needs one. */
struct section {
	unsigned long *entered;
	enum mt_rcu_flavor flavor;
	bool rcu;
};

smr_inline struct section read_begin(const struct maple_tree *mt)
{
	struct section s = { NULL, MT_RCU_BP, mt_in_rcu(mt) };

	if (s.rcu) {
		s.flavor = mt->ma_rcu;
		s.entered = smr_rcu_enter(s.flavor);
	}
	return s;
}

smr_inline void read_end(struct section s)
{
	if (s.rcu)
		smr_rcu_leave(s.flavor, s.entered);
}

/*
 * The default flavour has a path of its own, without a branch between entering and leaving and
 * without a call: the fewer instructions a load takes, the more loads overlap. A tree that needs no
 * section also has its own, which then saves no registers.
 */
#define DEFINE_LOAD(isa)                                                                           \
	SMR_TARGET_##isa static smr_noinline void *load_plain_##isa(struct maple_tree *mt,         \
								    unsigned long index)           \
	{                                                                                          \
		return smr_lookup_##isa(smr_root(mt), index);                                      \
	}                                                                                          \
                                                                                                   \
	SMR_TARGET_##isa static smr_noinline void *load_other_##isa(struct maple_tree *mt,         \
								    unsigned long index)           \
	{                                                                                          \
		enum mt_rcu_flavor flavor = mt->ma_rcu;                                            \
		unsigned long *entered = smr_rcu_enter(flavor);                                    \
		void *entry = smr_lookup_##isa(smr_root(mt), index);                               \
                                                                                                   \
		smr_rcu_leave(flavor, entered);                                                    \
		return entry;                                                                      \
	}                                                                                          \
                                                                                                   \
	SMR_TARGET_##isa static void *mtree_load_##isa(struct maple_tree *mt, unsigned long index) \
	{                                                                                          \
		struct smr_rcu_quick section;                                                      \
		void *entry;                                                                       \
                                                                                                   \
		if (!mt_in_rcu(mt))                                                                \
			return load_plain_##isa(mt, index);                                        \
		if (smr_unlikely(mt->ma_rcu != MT_RCU_BP || !smr_rcu_quick_enter(&section)))       \
			return load_other_##isa(mt, index);                                        \
		entry = smr_lookup_##isa(smr_root(mt), index);                                     \
		smr_rcu_quick_leave(&section);                                                     \
		return entry;                                                                      \
	}

SMR_EACH_ISA(DEFINE_LOAD)
SMR_DISPATCH(void *, mtree_load, (struct maple_tree * mt, unsigned long index));

/*
 * Loads of many keys go down side by side: while one waits for its node, the others take their
 * step. By itself the processor would overlap fewer: it sees two or three loads ahead.
 *
 * At the top they are all in one node. If there are enough keys, each bound is compared with the
 * keys there, rather than each key with the bounds.
 *
 * All leaves below one root are at the same depth, whatever writers do: a slot is only ever swapped
 * for a subtree of the same height.
 */
#define GROUP 64

#define DEFINE_GROUP(isa)                                                                         \
	SMR_TARGET_##isa static void smri_load_group_##isa(void *top, const unsigned long *index, \
							   void **entry, unsigned int n)          \
	{                                                                                         \
		struct smr_aim_##isa all, aim;                                                    \
		int32_t limit[GROUP], below[GROUP];                                               \
		void *node[GROUP], **at[GROUP];                                                   \
		unsigned int slot;                                                                \
                                                                                                  \
		smr_aim_at_##isa(&all, 0);                                                        \
		for (unsigned int i = 0; i < GROUP; i++)                                          \
			node[i] = top;                                                            \
		if (n >= SMRI_EACH && smr_enode_ninner(top)) {                                    \
			smr_aims_adjust_##isa(&all, limit, top, index, n);                        \
			smri_below_each_##isa(smr_node_of(top), limit, below, n);                 \
			for (unsigned int i = 0; i < n; i++) {                                    \
				node[i] = smr_slot_read(smr_slots(top) + below[i]);               \
				smr_prefetch_bounds(node[i]);                                     \
			}                                                                         \
		}                                                                                 \
		while (!smr_enode_leaf(node[0])) {                                                \
			smr_aims_adjust_##isa(&all, limit, node[0], index, n);                    \
			for (unsigned int i = 0; i < n; i++) {                                    \
				aim = smr_aim_one_##isa(all, index[i], limit[i]);                 \
				node[i] = smr_slot_read(                                          \
					smr_child_slot_##isa(&aim, node[i], false, &slot));       \
				smr_prefetch_bounds(node[i]);                                     \
			}                                                                         \
		}                                                                                 \
		for (unsigned int i = 0; i < n; i++) {                                            \
			aim = smr_aim_one_##isa(all, index[i], limit[i]);                         \
			at[i] = smr_entry_slot_##isa(&aim, node[i], false, &slot);                \
			smr_prefetch(at[i]);                                                      \
		}                                                                                 \
		for (unsigned int i = 0; i < n; i++)                                              \
			entry[i] = smr_visible(at[i]);                                            \
	}

SMR_EACH_ISA(DEFINE_GROUP)
SMR_DISPATCH(static void, smri_load_group,
	     (void *top, const unsigned long *index, void **entry, unsigned int n));

void mtree_load_batch(struct maple_tree *mt, const unsigned long index[], void *entry[], size_t n)
{
	struct section s;
	unsigned int part;
	void *top;

	if (n == 1) { /* no other key to go down with */
		*entry = mtree_load(mt, *index);
		return;
	}
	for (; n > 0; n -= part, index += part, entry += part) {
		part = n < GROUP ? (unsigned int)n : GROUP;
		/* The next group's keys arrive while this group goes down. */
		for (size_t i = GROUP; i < n && i < 2 * GROUP; i += SMR_CACHE_LINE / sizeof(*index))
			smr_prefetch(&index[i]);
		s = read_begin(mt);
		top = smr_root(mt);
		if (smr_likely(smr_is_enode(top)))
			smri_load_group(top, index, entry, part);
		else
			for (unsigned int i = 0; i < part; i++)
				entry[i] = index[i] == 0 ? top : NULL;
		read_end(s);
	}
}

void *mt_find(struct maple_tree *mt, unsigned long *index, unsigned long max)
{
	MA_STATE(mas, mt, *index, *index);
	struct section s;
	void *entry;

	if (*index > max)
		return NULL;
	s = read_begin(mt);
	do {
		entry = mas_find(&mas, max);
	} while (xa_is_zero(entry));
	read_end(s);
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
	struct section s = read_begin(mt);
	void *entry = mas_next(&mas, max);

	read_end(s);
	return entry;
}

void *mt_prev(struct maple_tree *mt, unsigned long index, unsigned long min)
{
	MA_STATE(mas, mt, index, index);
	struct section s = read_begin(mt);
	void *entry = mas_prev(&mas, min);

	read_end(s);
	return entry;
}
