/* SPDX-License-Identifier: MIT */
/* Bulk loading: nodes for many stores at once, which the cursor keeps until mas_destroy(). */
#include "tree/node.h"
#include "tree/store.h"
#include "tree/write.h"

/*
 * Nodes for @ranges ranges in ascending order. Leaves are left full behind ascending stores (31
 * ranges where keys are wide), inner nodes too; descending or jumping ones leave them half full,
 * for which there is room. A store that replaces nodes gives them back to the cursor, so a few are
 * enough for what is under way.
 */
static unsigned long nodes_for(unsigned long ranges)
{
	unsigned long level = ranges / (SMR_WLEAF_CAP / 2) + 1, nodes = level;

	while (level > 1) {
		level = level / (SMR_WINNER_CAP / 2) + 1;
		nodes += level;
	}
	return nodes + 3UL * MT_PATH_MAX;
}

int mas_expected_entries(struct ma_state *mas, unsigned long nr_entries)
{
	unsigned long ranges = nr_entries > ULONG_MAX / 2 ? nr_entries : 2 * nr_entries;
	int err = smr_cursor_fill(mas, nodes_for(ranges), GFP_KERNEL);

	mas_reset(mas);
	if (err)
		mas_destroy(mas);
	else
		mas->mas_flags = SMR_MAS_BULK;
	return err;
}
