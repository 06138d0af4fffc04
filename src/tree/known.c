/* SPDX-License-Identifier: MIT */
#include "tree/known.h"

#include "tree/encode.h"
#include "tree/pledge.h"
#include "tree/write.h"

/* The range of @key in the cursor's leaf, looked for from the cursor's place on: it is close by. */
static unsigned int range_of(const struct ma_state *mas, unsigned long key)
{
	unsigned int i = mas->offset;

	while (i > 0 && key < smr_start(mas->node, i))
		i--;
	while (i < mas->end && key >= smr_start(mas->node, i + 1))
		i++;
	return i;
}

static bool can_begin(const void *leaf, unsigned long key)
{
	const struct smr_node *node = smr_node_of(leaf);

	return smr_kind_wide(smr_enode_kind(leaf)) ||
	       smr_narrow_can_start(node->base, node->shift, key);
}

/* Does whatever that store may be leave one leaf of it, of the same form? False: perhaps not. */
static bool stays_in_leaf(const struct ma_state *mas, unsigned long first, unsigned long last)
{
	unsigned int i, j, count;

	if (mas->tree->ma_txn || !smr_path_fresh(mas) || first < mas->min || last >= mas->max)
		return false;
	i = range_of(mas, first);
	j = range_of(mas, last);
	count = mas->end + 1u;
	/* Two pieces more at most; as many ranges less as there are, and the gaps that a NULL might join. */
	return i > 0 && j < mas->end && count + 2 <= smr_kind_cap(smr_enode_kind(mas->node)) &&
	       count - (j - i) >= SMR_LEAF_MIN + 2 && can_begin(mas->node, first) &&
	       can_begin(mas->node, last + 1);
}

unsigned long smr_nodes_within(const struct ma_state *mas, unsigned long first, unsigned long last)
{
	unsigned int height = mt_height(mas->tree);

	if (height == 0 || stays_in_leaf(mas, first, last))
		return 1;
	return SMR_STORE_NODES(height);
}

bool smr_swap_beside(const struct ma_state *mas, int by, unsigned long first, unsigned long last,
		     void *entry)
{
	int i = mas->offset + by;
	void **slot;

	if (mas->tree->ma_txn || mas->status != ma_active || !smr_path_fresh(mas) || i < 0 ||
	    i > mas->end || smr_leaf_first(mas->node, (unsigned int)i, mas->min) != first ||
	    smr_leaf_last(mas->node, (unsigned int)i, mas->end, mas->max) != last)
		return false;
	slot = smr_slots(mas->node) + i;
	if (!*slot)
		return false;
	smr_publish(slot, entry);
	return true;
}
