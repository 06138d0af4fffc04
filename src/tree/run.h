/* SPDX-License-Identifier: MIT */
/*
 * Ranges in pieces: neighbouring ranges of a leaf that look like one range to users of the tree.
 * They let a store that adds or removes ranges change just one slot, without a node or a copy: the
 * bounds stay.
 *
 * A gap may be a *run* of up to SMR_RUN_MAX ranges that hold NULL. An entry erased next to gaps
 * becomes part of such a run, and storing the same range again also changes just one slot. Storing
 * an entry only shortens runs; an erase that would make a run too long turns it into one range. So
 * one of any four neighbouring ranges has an entry, and what a leaf holds stays bounded.
 *
 * If an entry is stored over a whole run and nothing else may change, it goes into the first slot;
 * the other slots get a mark, *joined*: this range continues the one before. The marks are in place
 * before the entry, so that all keys get it at the same moment. A mark stays as long as the leaf,
 * whatever the first slot comes to hold: a reader that has met the mark may look at the first slot
 * at any later time, and finds what its key has had meanwhile. Such a leaf is flagged (struct
 * smr_node, dead); any other change to it puts the pieces together.
 *
 * A cursor has the offset of the last piece. The pieces of a range lie in one leaf.
 */
#ifndef SMR_TREE_RUN_H
#define SMR_TREE_RUN_H

#include "tree/node.h"

#define SMR_RUN_MAX 3u

/*
 * Returns how many pieces a gap of @mt may have: one if the number of nodes that the tree may need
 * is calculated from its ranges (pledge.h).
 */
smr_inline unsigned int smr_run_max(const struct maple_tree *mt)
{
	return smr_unlikely(mt->ma_pledge.bound) ? 1 : SMR_RUN_MAX;
}

/* Called when a slot of @leaf becomes NULL: with its neighbours it may then be a gap in pieces. */
smr_inline void smr_mark_pieces(struct smr_node *leaf)
{
	if (smr_unlikely(leaf->mark == SMR_UNMARKED))
		leaf->mark = SMR_PIECES;
}

/*
 * The mark is an address that belongs to the library, so it cannot be a user's entry. Its low bits
 * are those of XA_ZERO_ENTRY, the only other value that a look-up does not return as it is: one
 * compare, of 16 bits, shows that an entry is neither.
 */
#define SMRI_ALIGN 0x10000UL

extern char smri_joined_room[2 * SMRI_ALIGN];

smr_inline void *smr_joined(void)
{
	uintptr_t room = (uintptr_t)smri_joined_room;

	return (void *)(((room + SMRI_ALIGN - 1) & ~(SMRI_ALIGN - 1)) + (uintptr_t)XA_ZERO_ENTRY);
}

smr_inline bool smr_is_special(const void *entry)
{
	return smr_unlikely((uint16_t)(uintptr_t)entry == (uint16_t)(uintptr_t)XA_ZERO_ENTRY);
}

smr_inline bool smr_is_joined(const void *entry)
{
	return smr_is_special(entry) && entry == smr_joined();
}

/*
 * Returns the entry, or NULL, of the range that *@slot is a piece of. Each slot is read once: the
 * value of the first piece is a valid answer, even if that has since been joined to another.
 */
smr_inline void *smr_slot_value(void *const *slot)
{
	void *entry = smr_slot_read(slot);

	while (smr_is_joined(entry))
		entry = smr_slot_read(--slot);
	return entry;
}

smr_inline void *smr_value(void *const *slots, unsigned int i)
{
	return smr_slot_value(slots + i);
}

/* Return the first and the last of the joined pieces around range @i; runs do not count. */
smr_inline unsigned int smr_head(void *const *slots, unsigned int i)
{
	while (smr_is_joined(smr_slot_read(slots + i)))
		i--;
	return i;
}

smr_inline unsigned int smr_tail(void *const *slots, unsigned int i, unsigned int end)
{
	while (i < end && smr_is_joined(smr_slot_read(slots + i + 1)))
		i++;
	return i;
}

/*
 * Returns what slot @i holds, and in *@to the last piece of that range at the same moment. Pieces
 * only ever become joined: if there are no more of them after the slot has been read, there were as
 * many when it was read. Otherwise it is read again, at most as often as a gap has pieces.
 */
smr_inline void *smr_read_range(void *const *slots, unsigned int i, unsigned int end,
				unsigned int *to)
{
	void *entry = smr_slot_read(slots + i);
	unsigned int tail;

	for (*to = i; (tail = smr_tail(slots, *to, end)) > *to; *to = tail)
		entry = smr_slot_read(slots + i);
	return entry;
}

/*
 * Returns where the run begins that contains range @i or ends just before it; @i if there is none.
 * Range @i must be the first piece of a range.
 */
smr_inline unsigned int smr_run_from(void *const *slots, unsigned int i)
{
	void *entry;

	while (i > 0) {
		entry = smr_slot_read(slots + i - 1);
		if (!entry)
			i--;
		else if (smr_is_joined(entry) && !smr_value(slots, i - 1))
			i = smr_head(slots, i - 1);
		else
			break;
	}
	return i;
}

/*
 * Returns where the run ends that contains range @i or begins just after it. Range @i must be the
 * last piece of a range.
 */
smr_inline unsigned int smr_run_to(void *const *slots, unsigned int i, unsigned int end)
{
	void *entry;

	for (; i < end; i++) {
		entry = smr_slot_read(slots + i + 1);
		if (entry && !smr_is_joined(entry))
			break;
	}
	return i;
}

/* Whether ranges [i..j] are a gap, or a part of one. */
smr_inline bool smr_is_gap(void *const *slots, unsigned int i, unsigned int j)
{
	return !slots[i] && smr_run_to(slots, i, j) == j;
}

/* Whether ranges [from..to] may all be NULL; not if they are the whole leaf, which ends at @end. */
smr_inline bool smr_may_run(const struct maple_tree *mt, unsigned int from, unsigned int to,
			    unsigned int end)
{
	return to - from < smr_run_max(mt) && (from > 0 || to < end);
}

#endif
