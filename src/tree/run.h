/* SPDX-License-Identifier: MIT */
/*
 * Ranges in pieces: neighbouring ranges of a leaf that are one to whoever looks at the tree.
 * So a store can be one slot that changes, which takes no node and no copy, although ranges come or
 * go: their bounds stay.
 *
 * A gap may be a *run* of up to SMR_RUN_MAX ranges that hold NULL. An entry erased beside gaps
 * becomes one of them, and storing the same range again is a slot as well. No store of an entry
 * makes a run longer, for it only cuts; an erase that would, makes one range of it. So of four
 * neighbouring ranges one has an entry, and what a leaf holds is bounded as before.
 *
 * An entry stored over all of a run, where nothing else may change, goes into the first slot, and
 * into the others a mark, *joined*: what is there goes on from the range before. The mark is in
 * place before the entry, so all keys get it at one moment. It stays for as long as the leaf does,
 * whatever the first slot comes to hold: a reader who has met it may look there at any time later,
 * and finds what its key has had meanwhile. Such a leaf says so (struct smr_node, dead); any other
 * change of it puts the pieces together.
 *
 * A cursor has the offset of the last piece. Runs and joined ranges lie in one leaf.
 */
#ifndef SMR_TREE_RUN_H
#define SMR_TREE_RUN_H

#include "tree/node.h"

#define SMR_RUN_MAX 3u

/*
 * How many ranges the gaps of @mt may be in. One, where the nodes that it may come to are reckoned
 * by its ranges (pledge.h).
 */
smr_inline unsigned int smr_run_max(const struct maple_tree *mt)
{
	return smr_unlikely(mt->ma_pledge.bound) ? 1 : SMR_RUN_MAX;
}

/* A slot of @leaf comes to hold NULL: with what is beside it, a gap may be in pieces then. */
smr_inline void smr_mark_pieces(struct smr_node *leaf)
{
	if (smr_unlikely(leaf->mark == SMR_UNMARKED))
		leaf->mark = SMR_PIECES;
}

/*
 * The mark is an address that is the library's own, so that it is nobody's entry. Its low bits are
 * those of XA_ZERO_ENTRY, the other thing that a look-up does not return as it is: one compare, of
 * 16 bits, says that an entry is neither.
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
 * The entry, or NULL, of the range that *@slot is a piece of. Each slot is read once: what has been
 * found in the first one is an answer, even if that is joined to another now.
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

/* The first, and the last, piece of what range @i is one of, gaps in runs left aside. */
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
 * What slot @i holds, and the last piece of that, *@to, at the same moment. Pieces only ever become
 * joined: if there are no more of them after the slot has been read, there were as many when it
 * was. Else it is read again, as often as a gap has pieces at the most.
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
 * Where a run begins that range @i is in, or that ends in front of it. Range @i is the first piece
 * of a range.
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

/* Where a run ends that range @i is in, or that begins behind it. Range @i is the last piece. */
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

/* Are ranges [i..j] a gap, or a part of one? */
smr_inline bool smr_is_gap(void *const *slots, unsigned int i, unsigned int j)
{
	return !slots[i] && smr_run_to(slots, i, j) == j;
}

/* May ranges [from..to] of a leaf whose last is @end all be NULL? Not if that is all of it. */
smr_inline bool smr_may_run(const struct maple_tree *mt, unsigned int from, unsigned int to,
			    unsigned int end)
{
	return to - from < smr_run_max(mt) && (from > 0 || to < end);
}

#endif
