/* SPDX-License-Identifier: MIT */
/* Bulk loading: nodes for many stores at once, which the cursor keeps until mas_destroy(). */
#include "tree/node.h"
#include "tree/pledge.h"
#include "tree/store.h"
#include "tree/write.h"

/*
 * Returns how many nodes @ranges ranges in ascending order need, including those for holders of
 * credits. Ascending stores leave leaves and inner nodes full (leaves with 31 ranges where keys are
 * wide); descending or jumping ones leave them half full, and the result is large enough for that.
 * A store gives the nodes that it replaces back to the cursor, so a few are enough for what is
 * under way.
 */
static unsigned long nodes_for(const struct maple_tree *mt, unsigned long ranges)
{
	unsigned long leaves = ranges / (SMR_WLEAF_CAP / 2) + 1, level = leaves, inner = 0;

	while (level > 1) {
		level = level / (SMR_WINNER_CAP / 2) + 1;
		inner += level;
	}
	return leaves + inner + 3UL * MT_PATH_MAX + smr_pledge_for_load(mt, leaves, inner);
}

int mas_expected_entries(struct ma_state *mas, unsigned long nr_entries)
{
	unsigned long ranges = nr_entries > ULONG_MAX / 2 ? nr_entries : 2 * nr_entries;
	int err = smr_cursor_fill(mas, nodes_for(mas->tree, ranges), GFP_KERNEL);

	mas_reset(mas);
	if (err)
		mas_destroy(mas);
	else
		mas->mas_flags = SMR_MAS_BULK;
	return err;
}
