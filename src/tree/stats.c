/* SPDX-License-Identifier: MIT */
/* Counting what a tree consists of. */
#include "tree/run.h"

#include <string.h>

static void count(struct mt_stats *st, const void *enode, unsigned int level)
{
	enum smr_kind kind = smr_enode_kind(enode);
	void *const *slots = smr_slots(enode);
	unsigned int n = smr_count(enode);

	st->level_nodes[level]++;
	st->level_slots[level] += n;
	st->level_room[level] += smr_kind_cap(kind);
	st->wide_nodes += smr_kind_wide(kind);
	for (unsigned int i = 0; i < n; i++) {
		if (!smr_kind_leaf(kind))
			count(st, slots[i], level - 1);
		else if (smr_is_joined(slots[i]))
			continue;
		else if (slots[i])
			st->entries++;
		else if (i == 0 || smr_value(slots, i - 1)) /* of pieces, only the first (run.h) */
			st->gaps++;
	}
}

void mt_stats(const struct maple_tree *mt, struct mt_stats *st)
{
	const void *root = mt->ma_root;

	memset(st, 0, sizeof(*st));
	st->height = mt_height(mt);
	st->nodes_built = mt->ma_nodes_built;
	st->nodes_retired = mt->ma_nodes_retired;
	if (smr_is_enode(root)) {
		count(st, root, st->height - 1);
	} else {
		st->entries = root != NULL;
		st->gaps = 1;
	}
	for (unsigned int l = 0; l < MT_PATH_MAX; l++)
		st->nodes += st->level_nodes[l];
	st->bytes = st->nodes * MT_NODE_SIZE;
}
