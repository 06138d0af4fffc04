/* SPDX-License-Identifier: MIT */
/*
 * Steps from entry to entry by a word with a bit for each slot that holds one: iterate.c includes
 * this once for each instruction set, as search_isa.h is included. A walk over the slots one by one
 * would have the processor guess at each whether a gap comes next, and if some ranges touch and
 * some do not, every other guess is wrong.
 */

/*
 * The slots of a leaf that hold entries; filled_after(): those after the cursor's. Slots change
 * while readers read, so a bit is a hint: the slot is read again before it is used, and when one is
 * filled later, the change counter moves on (write.h). Vectors read each slot whole, because it
 * lies within a line.
 */
SMR_ISA_TARGET smr_inline uint64_t SMR_ISA(filled)(enum smr_kind kind, const struct smr_node *leaf)
{
	struct smr_node *node = (struct smr_node *)leaf;

	return ~SMR_ISA(smri_nulls)(smr_kind_slots(node, kind), kind) &
	       ((UINT64_C(2) << (node->count - 1)) - 1);
}

SMR_ISA_TARGET smr_inline uint64_t SMR_ISA(filled_after)(enum smr_kind kind,
							 const struct ma_state *mas)
{
	return SMR_ISA(filled)(kind, smr_kind_node(mas->node, kind)) & ~UINT64_C(1) << mas->offset;
}

/* Steps to the first of the slots that are @left in the cursor's leaf. */
SMR_ISA_TARGET smr_inline struct mt_found_ SMR_ISA(step_within)(enum smr_kind kind,
								struct ma_state *mas,
								unsigned long max, uint64_t left)
{
	const struct smr_node *node = smr_kind_node(mas->node, kind);
	unsigned int i = (unsigned int)__builtin_ctzl(left);
	struct mt_found_ found = { NULL, left & (left - 1) };
	void *entry = smr_slot_read(smr_kind_slots(smr_kind_node(mas->node, kind), kind) + i);

	if (!entry || smr_load(&node->dead, RELAXED) || mas->last >= max ||
	    smr_kind_start(node, kind, i) > max)
		return found;
	mas->offset = i;
	mas->index = smr_kind_start(node, kind, i);
	mas->last = i < mas->end ? smr_kind_start(node, kind, i + 1) - 1 : mas->max;
	found.entry = entry;
	return found;
}

/*
 * Steps from a leaf that has no more entries to the first entry of the leaf after it. A @loop needs
 * bits for all entries there; a single step, only for the first two slots. @ahead: what
 * has_leaves_ahead() says.
 */
SMR_ISA_TARGET smr_inline struct mt_found_ SMR_ISA(step_across)(enum smr_kind kind,
								struct ma_state *mas,
								unsigned long max, bool loop,
								bool ahead)
{
	void *leaf = smr_next_leaf(mas), *entry;
	struct mt_found_ found = { NULL, 0 };
	struct smr_node *node;
	unsigned long first;
	unsigned int i;

	if (smr_unlikely(!leaf || !smr_enode_is(leaf, kind)))
		return found;
	node = smr_kind_node(leaf, kind);
	found.left = loop ? SMR_ISA(filled)(kind, node)
			  : first_entry_bit(smr_kind_slots(node, kind));
	if (smr_unlikely(!found.left))
		return found;
	i = (unsigned int)__builtin_ctzl(found.left);
	found.left &= found.left - 1;
	entry = smr_slot_read(smr_kind_slots(node, kind) + i);
	first = select_key(i > 0, smr_kind_start(node, kind, i + !i), mas->max + 1);
	if (smr_unlikely(!entry || smr_load(&node->dead, RELAXED) || first > max ||
			 mas->last >= max || node->count < i + 2))
		return found;
	smr_leaf_enter(mas, leaf, ahead);
	mas->offset = i;
	mas->index = first;
	mas->last = smr_kind_start(node, kind, i + 1) - 1;
	found.entry = entry;
	return found;
}

SMR_ISA_TARGET smr_inline struct mt_found_ SMR_ISA(step_near)(enum smr_kind kind,
							      struct ma_state *mas,
							      unsigned long max, bool loop)
{
	uint64_t left = at_end(kind, mas) ? 0 : SMR_ISA(filled_after)(kind, mas);

	return left ? SMR_ISA(step_within)(kind, mas, max, left)
		    : SMR_ISA(step_across)(kind, mas, max, loop, false);
}

SMR_ISA_TARGET static void *SMR_ISA(smri_next_near)(struct ma_state *mas, unsigned long max)
{
	return SMR_FOR_LEAF(mas->node, SMR_ISA(step_near), mas, max, false).entry;
}

/* The rest of mas_each_beyond_(). */
SMR_ISA_TARGET static smr_noinline struct mt_found_ SMR_ISA(smri_each_far)(struct ma_state *mas,
									   unsigned long max)
{
	bool reach = mas->reach;
	struct mt_found_ found = { NULL, 0 };

	if (smr_likely(may_step(mas))) {
		found = SMR_FOR_LEAF(mas->node, SMR_ISA(step_near), mas, max, true);
		if (found.entry)
			return found;
	}
	found.entry = find(mas, max, false);
	found.left = 0;
	if (found.entry && mas->node && (reach || mas->reach))
		found.left = SMR_FOR_LEAF(mas->node, SMR_ISA(filled_after), mas);
	return found;
}

/*
 * The hot path calls nothing, so it needs no stack frame: after the end of a leaf, which is not
 * predicted, a loop waits for each instruction.
 */
SMR_ISA_TARGET static struct mt_found_ SMR_ISA(mas_each_beyond_)(
	struct ma_state *mas, unsigned long max, unsigned long left, unsigned long last,
	unsigned long seq, const struct maple_tree *of)
{
	struct mt_found_ found;

	if (smr_likely(!left && last == mas->last && seq == mas->seq && of == mas->tree &&
		       may_step(mas) && has_leaves_ahead(mas))) {
		found = SMR_FOR_LEAF(mas->node, SMR_ISA(step_across), mas, max, true, true);
		if (smr_likely(found.entry))
			return found;
	}
	return SMR_ISA(smri_each_far)(mas, max);
}
