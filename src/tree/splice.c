/* SPDX-License-Identifier: MIT */
#include "tree/splice.h"

#include "tree/write.h"

SMR_DISPATCH(void, smr_shift_new,
	     (struct smr_node * to, const struct smr_node *from, enum smr_kind kind, unsigned int y,
	      unsigned int j));

SMR_CLONES void smr_node_copy(struct smr_node *to, const struct smr_node *from)
{
	smri_node_copy(to, from);
}

unsigned int smr_splice(const struct smr_write *w, void *leaf, void *to)
{
	enum smr_kind kind = smr_enode_kind(leaf);
	struct smr_node *node = smr_node_of(to), *from = smr_node_of(leaf);
	unsigned int x = w->i + (w->first > w->begin);
	bool right_edge = w->last < w->end;
	void **slots = smr_kind_slots(node, kind);

	smr_shift(node, from, kind, x + right_edge, w->j);
	slots[x] = w->entry;
	smr_put_edges(slots + x, w->edges);
	if (x > w->i)
		smr_kind_set_start(node, from, kind, x, w->first);
	if (right_edge)
		smr_kind_set_start(node, from, kind, x + 1, w->last + 1);
	return x;
}

void *smr_splice_inner(struct smr_node *node, const void *old, unsigned int first,
		       unsigned int last, const struct smr_level *below)
{
	enum smr_kind kind = smr_enode_kind(old);
	void *enode = smr_enode_make(node, kind);

	smr_shift_new(node, smr_node_of(old), kind, first + below->parts - 1, last);
	node->mark = SMR_UNMARKED;
	for (unsigned int c = 0; c < below->parts; c++) {
		if (c > 0)
			smr_kind_set_start(node, node, kind, first + c, below->start[c]);
		smr_slots(enode)[first + c] = below->node[c];
		smr_gaps(enode)[first + c] = below->gap[c];
	}
	return enode;
}
