/* SPDX-License-Identifier: MIT */
/*
 * Publication. A change becomes visible by one release store, into the root or into the lowest slot
 * that covers all of it. A reader that read that slot before goes on in the old nodes, one that
 * reads it later in the new ones; no reader sees a mixture, and none waits.
 *
 * Before that the old nodes are marked dead, so that a reader in them that has met the new ones, by
 * another look-up, does not go on in the old: the marks are ordered by publish, too. Until the new
 * nodes are there, such a reader just looks up its place again, and finds the old ones.
 *
 * After that the change counter advances, so that cursors under the lock look up their place again,
 * and the old nodes are retired, to be used again after a grace period, or at once in a tree
 * without lock-free readers.
 */
#include "tree/gap.h"
#include "tree/plan.h"

static void set_height(struct maple_tree *mt, unsigned int height)
{
	unsigned int flags = mt->ma_flags & ~(unsigned int)MT_FLAGS_HEIGHT_MASK;

	smr_store(&mt->ma_flags, flags | height << MT_FLAGS_HEIGHT_OFFSET, RELAXED);
}

/* ---- The forms of a commit ---- */

void smr_replace_root(struct maple_tree *mt, void *root, unsigned int height)
{
	smr_publish(&mt->ma_root, root);
	set_height(mt, height);
	smr_advance_seq(mt);
}

/*
 * Sets what is kept of the figure of the node at depth @d to @figure, and updates the figures
 * above. A node's own figure is the largest of its children's, so it is searched for only if the
 * largest has become smaller.
 */
void smr_set_gap(void *const *node, const unsigned char *slot, unsigned int d, uint32_t figure)
{
	uint32_t *kept = smr_kept_gap(node, slot, d), before = *kept, own;

	while (figure != before) {
		*kept = figure;
		if (--d == 0)
			return;
		kept = smr_kept_gap(node, slot, d);
		own = *kept;
		if (figure < own) {
			if (before < own)
				return;
			figure = smr_gap_inner(node[d]);
		}
		before = own;
	}
}

static void commit_root(struct smr_write *w)
{
	smr_replace_tree(w->mt, w->mas, w->entry);
}

/*
 * Advances the change counter after an entry has filled a gap and nothing else has changed: loops
 * that know what is left in the leaf (iterate.c) do not know of it.
 */
static void advance_after_fill(struct smr_write *w)
{
	smr_advance_seq(w->mt);
	w->mas->seq = w->mt->ma_seq;
}

static void commit_slot(struct smr_write *w)
{
	void **slot = smr_slots(w->mas->node) + w->i;
	bool gap = !*slot;

	/* If the slot has it already, the leaf may be one that a transaction must not write to. */
	if (*slot == w->entry)
		return;
	if (!w->entry)
		smr_mark_pieces(smr_node_of(w->mas->node));
	smr_update_gaps(w);
	smr_publish(slot, w->entry);
	if (gap)
		advance_after_fill(w);
}

/*
 * ORDER publish: a reader that finds a joined piece, or the entry, finds the leaf marked; one that
 * finds the entry finds the pieces after it joined. PARTNER run.h, smr_slot_value(), and the
 * header's inlines.
 */
static void commit_join(struct smr_write *w)
{
	struct smr_node *leaf = smr_node_of(w->mas->node);
	void **slots = smr_slots(w->mas->node);

	smr_update_gaps(w);
	smr_store(&leaf->dead, leaf->dead | SMR_JOINED, RELAXED);
	for (unsigned int i = w->i + 1; i <= w->j; i++)
		smr_publish(slots + i, smr_joined());
	smr_publish(slots + w->i, w->entry);
	advance_after_fill(w);
}

/* The cursor's leaf has become @leaf, with the new range at @x. */
static void leaf_changed(struct smr_write *w, void *leaf, unsigned int x)
{
	struct ma_state *mas = w->mas;
	unsigned int d = mas->depth;

	smr_advance_seq(w->mt);
	mas->path[d] = leaf;
	smr_cursor_on(mas, leaf, smr_leaf_ranges(w));
	mas->offset = mas->slot[d] = (unsigned char)x;
	mas->seq = w->mt->ma_seq;
}

static void commit_inplace(struct smr_write *w)
{
	void *leaf = w->mas->node;

	smr_update_gaps(w);
	leaf_changed(w, leaf, smr_splice(w, leaf, leaf));
}

/*
 * In a transaction: copies the nodes above the cursor's leaf that are not the transaction's own
 * yet. No one else sees the slots that lead to the copies. Below each of them all is as it was, so
 * the copies are twins, by which txn.c finds its way.
 */
static void copy_path(struct smr_write *w)
{
	struct ma_state *mas = w->mas;
	struct smr_nodes dropped = { NULL, 0 };
	void **parent_slot = &w->mt->ma_root;

	for (unsigned int d = 0; d < mas->depth; d++) {
		void *old = mas->path[d];

		if (!smr_editable(w->mt, old)) {
			struct smr_node *node = smr_pop_own_node(mas);

			smr_node_copy(node, smr_node_of(old));
			node->mark = SMR_TWIN;
			node->txn = w->mt->ma_txn;
			smr_drop_node(w->mt, old, &dropped);
			mas->path[d] = smr_enode_make(node, smr_enode_kind(old));
			smr_count_node(w->mt, mas->path[d], 1);
			smr_publish(parent_slot, mas->path[d]);
		}
		parent_slot = smr_slots(mas->path[d]) + mas->slot[d];
	}
}

void *smr_build_leaf(const struct smr_write *w, struct smr_node *node, unsigned int *x)
{
	void *old = w->mas->node, *leaf = smr_enode_make(node, smr_enode_kind(old));

	*x = smr_splice(w, old, leaf);
	node->txn = w->mt->ma_txn;
	return leaf;
}

void smr_publish_leaf(struct smr_write *w, void *leaf, unsigned int x)
{
	struct ma_state *mas = w->mas;
	unsigned int d = mas->depth;
	struct smr_nodes dropped = { NULL, 0 };

	smr_update_gaps(w);
	smr_count_node(w->mt, leaf, 1);
	smr_drop_node(w->mt, mas->node, &dropped);
	smr_publish(d ? smr_slots(mas->path[d - 1]) + mas->slot[d - 1] : &w->mt->ma_root, leaf);
	leaf_changed(w, leaf, x);
	smr_free_dropped(w->mt, mas, &dropped);
}

static void commit_leaf(struct smr_write *w)
{
	struct smr_node *node = smr_pop_own_node(w->mas);
	unsigned int x;
	void *leaf;

	if (smr_unlikely(w->mt->ma_txn))
		copy_path(w);
	leaf = smr_build_leaf(w, node, &x);
	smr_publish_leaf(w, leaf, x);
}

static void commit_first(struct smr_write *w)
{
	const struct smr_items *it = &w->share.items;
	struct ma_state *mas = w->mas;
	void *leaf = smr_encode(smr_pop_own_node(mas), &w->level[0].code[0], it, 0, it->n);

	smr_node_of(leaf)->txn = w->mt->ma_txn;
	smr_count_node(w->mt, leaf, 1);
	smr_replace_root(w->mt, leaf, 1);
	mas->depth = 0;
	mas->min = 0;
	mas->max = ULONG_MAX;
	mas->path[0] = leaf;
	mas->offset = mas->slot[0] = (unsigned char)w->i;
	smr_cursor_on(mas, leaf, it->n);
	mas->seq = w->mt->ma_seq;
}

static void commit_subtree(struct smr_write *w)
{
	struct maple_tree *mt = w->mt;
	struct ma_state *mas = w->mas;
	const struct smr_level *top = &w->level[w->top];
	struct smr_nodes dropped = { NULL, 0 };
	unsigned int d = mas->depth - w->top;
	void *root;

	smr_build(w);
	if (w->to_root) {
		smr_drop_window(w, mt->ma_root, mas->depth, &dropped);
		smr_publish(&mt->ma_root, top->node[0]);
		set_height(mt, w->top + 1);
	} else {
		smr_drop_window(w, w->left.node[d], w->top, &dropped);
		smr_publish(smr_slots(w->left.node[d - 1]) + w->left.slot[d - 1], top->node[0]);
		if (smr_tracks_gaps(mt))
			smr_set_gap(w->left.node, w->left.slot, d, top->gap[0]);
	}
	smr_advance_seq(mt);
	smr_free_dropped(mt, mas, &dropped);
	smr_walk(mas, w->first, &root);
}

void smr_place_cursor(const struct smr_write *w)
{
	struct ma_state *mas = w->mas;
	enum maple_status before = mas->status;

	if (w->form == SMR_NOTHING || w->form == SMR_ROOT) {
		smr_cursor_off(mas);
		if (w->compact && !w->entry)
			mas->status = w->form == SMR_ROOT || w->mt->ma_root ? ma_root : ma_none;
		else
			mas->status = before == ma_root ? ma_root : ma_start;
		if (!w->compact) {
			mas->index = 0;
			mas->last = ULONG_MAX;
		}
		return;
	}
	mas->status = ma_active;
	mas->index = w->first;
	mas->last = w->last;
	smr_check_place(mas);
}

void smri_commit(struct smr_write *w)
{
	switch (w->form) {
	case SMR_NOTHING:
	case SMR_EDIT:
		break;
	case SMR_ROOT:
		commit_root(w);
		break;
	case SMR_FIRST:
		commit_first(w);
		break;
	case SMR_SLOT:
		commit_slot(w);
		break;
	case SMR_JOIN:
		commit_join(w);
		break;
	case SMR_INPLACE:
		commit_inplace(w);
		break;
	case SMR_LEAF:
		commit_leaf(w);
		break;
	case SMR_SHARE:
		smr_commit_share(&w->share, w->mas);
		break;
	case SMR_SLIDE:
		smr_commit_slide(w);
		break;
	case SMR_SUBTREE:
		commit_subtree(w);
		break;
	}
	smr_place_cursor(w);
}
