/* SPDX-License-Identifier: MIT */
/*
 * The one way in which the tree is written. Every store, erase and allocation gives one range
 * another entry, in these steps:
 *
 *   plan     walk to the range and work out what changes: most often a leaf, by an edit, else
 *            nothing, a slot, a leaf, some leaves of one parent, or a subtree. Pure arithmetic;
 *            afterwards the number of nodes is known. (edit.c, share.c, slide.c, plan.c)
 *   obtain   exactly that many nodes; the only step that can fail, with nothing changed. (store.c)
 *   build    the replacement, in nodes that no other thread can reach yet. (edit.c, share.c,
 *            slide.c, build.c, splice.c)
 *   publish  mark as dead the nodes to be replaced, do one release store into the lowest slot
 *            that covers the whole change, and retire the replaced nodes. (publish.c, drop.c)
 *
 * For the normal API, which has no cursor, one function takes all steps of an edit (edit.h).
 *
 * Levels count upwards from the leaves, which are level 0; depths, as in paths, from the top, which
 * is depth 0. Planning proceeds level by level. On each level a *window* of nodes is to be
 * replaced: of the left node the first items are kept, of the right node the last, and all nodes
 * between them go. What replaces the window of the level below, one to three nodes, goes in
 * between:
 *
 *      left node                    new                  right node
 *   [ kept kept | .... ]     ( one to three )      [ .... | kept kept kept ]
 *
 * If the left and the right node are the same and the result fits in one node, it is published in
 * the parent's slot, and the levels above stay as they are. If the result is too much or too little
 * for one node, a neighbour joins the window and everything is dealt out evenly: that is splitting,
 * sharing and merging in one.
 */
#ifndef SMR_TREE_WRITE_H
#define SMR_TREE_WRITE_H

#include "mem/take.h"
#include "tree/edges.h"
#include "tree/edit.h"
#include "tree/encode.h"
#include "tree/walk.h"

/* The window of a level is never dealt out to more nodes than this: see deal.c. */
#define SMR_PARTS_MAX 3

/* The same for leaves that share without being decoded: share.c. */
#define SMR_SHARES_MAX 4

/*
 * Slots left free in leaves that are dealt out anew, so that the next store need not do it again.
 * Inner nodes are dealt out without slack, and never packed: what credits promise rests on how full
 * they are afterwards (pledge.c).
 */
#define SMR_DEAL_SLACK 5

enum smr_form {
	SMR_NOTHING, /* nothing changes */
	SMR_ROOT,    /* replace the root by an entry or NULL; frees all nodes */
	SMR_FIRST,   /* the first leaf of a tree without nodes */
	SMR_SLOT,    /* swap one slot of a leaf, unless it holds the entry already */
	SMR_JOIN,    /* store an entry over all of a gap in pieces, which are joined: run.h */
	SMR_EDIT,    /* an edit of one leaf: edit.h */
	SMR_INPLACE, /* change one leaf in place: no reader without the lock can see it */
	SMR_LEAF,    /* replace one leaf, keeping its encoding; above it at most copies */
	SMR_SHARE,   /* an edit of a leaf that shares with its siblings: share.c */
	SMR_SLIDE,   /* gaps of two leaves become one, in one of them: slide.c */
	SMR_SUBTREE, /* everything else: see struct smr_level */
};

struct smr_level {
	unsigned long min, max; /* of the window */
	unsigned long left_min; /* first key of the left node */
	void *neighbour;        /* joined to the window, or NULL */
	unsigned long neighbour_min;
	bool neighbour_left;
	bool spliced; /* its only part is a copy of its only node, with some children changed */
	unsigned char parts;
	unsigned char cut[SMR_SHARES_MAX + 1]; /* part i gets items [cut[i], cut[i + 1]) */
	struct smr_code code[SMR_SHARES_MAX];
	unsigned long start[SMR_SHARES_MAX];
	void *node[SMR_SHARES_MAX]; /* once built */
	uint32_t gap[SMR_SHARES_MAX];
};

/* The ranges of three leaves, and two more that a new range adds. */
#define SMR_ENCODED_MAX (3 * SMR_CAP_MAX + 2)

/*
 * Ranges of leaves of one encoding (kind, base and shift): the bounds, as stored, of all but the
 * first, and the entries. Loops of constant length may write after them, as many as a leaf has.
 */
struct smr_encoded {
	union {
		int16_t b16[SMR_ENCODED_MAX + SMR_ITEMS_SPARE];
		int32_t b32[SMR_ENCODED_MAX + SMR_ITEMS_SPARE];
		int64_t b64[SMR_ENCODED_MAX + SMR_ITEMS_SPARE];
	};
	void *entry[SMR_ENCODED_MAX + SMR_ITEMS_SPARE];
};

/* A leaf whose ranges are dealt out anew, alone or with those of one or both siblings: share.c. */
struct smr_share {
	struct maple_tree *mt;
	void *const *path; /* the parent is at @depth */
	const unsigned char *slot;
	unsigned int depth;
	const void *leaf;
	unsigned long min, max;   /* keys of the leaf */
	bool left, right;         /* whether the sibling on that side shares */
	bool decoded;             /* whether @items is used, else @encoded */
	unsigned int first_slot;  /* in the parent, of the first leaf that shares */
	unsigned int left_ranges; /* of the left sibling, if it shares */
	unsigned int ranges;      /* of all leaves together */
	unsigned int new_range;   /* its index among these */
	struct smr_level *leaves; /* the new ones */
	union {
		struct smr_encoded encoded;
		struct smr_items items;
	};
};

/* The cursor's leaf, to which keys of a sibling move: slide.c. */
struct smr_slide {
	bool from_right;          /* the sibling is the right one, else the left one */
	bool as_run;              /* the leaf has the gap as a run, else as its last range */
	unsigned int lost_ranges; /* of the sibling */
	unsigned long separator;  /* where the second of the two begins afterwards */
	unsigned int new_offset;  /* the cursor's, afterwards */
};

struct smr_write {
	struct ma_state *mas;
	struct maple_tree *mt;
	unsigned long first, last; /* for NULL, widened to the whole resulting gap */
	void *entry;
	struct smr_edges edges;
	void *former; /* the previous entry at the key asked for */
	enum smr_form form;
	unsigned int nodes;   /* needed */
	unsigned long pledge; /* needed in addition, for holders of credits: pledge.h */
	unsigned int i, j;    /* offsets of first and last in their leaves */
	/* Old range i begins at begin, j ends at end: what is outside first and last stays. */
	unsigned long begin, end;
	bool spans;             /* i and j are in two leaves, j's at the end of @right */
	bool compact;           /* the tree has no nodes yet */
	struct smr_edit edit;   /* SMR_EDIT: the whole plan */
	struct smr_slide slide; /* SMR_SLIDE */
	/*
	 * SMR_SHARE, and SMR_SUBTREE if shared. Otherwise SMR_SUBTREE and SMR_FIRST use only its
	 * items, for level 0.
	 */
	struct smr_share share;
	/* SMR_SUBTREE: */
	bool shared;                 /* level 0 is the leaves of @share */
	bool to_root;                /* the top part becomes the root */
	unsigned int top;            /* the level whose only part is published */
	struct smr_path left, right; /* @right is set for any store that spans leaves */
	struct smr_level level[MT_PATH_MAX + 1];
};

/*
 * ORDER publish: everything the new value leads to has been written, and what it replaces has been
 * marked. PARTNER node.h, smr_slot_read() and smr_root(), and the header's mas_each_leaf_().
 * WITHOUT a reader follows an uninitialised node, or sees an object before its contents.
 */
smr_inline void smr_publish(void **slot, void *value)
{
	smr_store(slot, value, ORDER(publish, release));
}

/*
 * ORDER seq: the change counter advances after the new nodes, or the entry that fills a gap, are in
 * place. PARTNER walk.c, smr_walk() and smri_path_revalidate(). WITHOUT a cursor takes the new
 * count but has not seen the new nodes, or a loop (each_isa.h) has not seen such an entry.
 */
smr_inline void smr_advance_seq(struct maple_tree *mt)
{
	smr_store(&mt->ma_seq, mt->ma_seq + 1, ORDER(seq, release));
}

/*
 * Returns true if the slot above the node at depth @d may be swapped. A transaction may do so only
 * if that changes nothing that others see; otherwise the nodes above are replaced too, up to the
 * first one that it has made.
 */
smr_inline bool smr_can_publish(const struct smr_write *w, void *const *path, unsigned int d)
{
	return !w->mt->ma_txn || d == 0 || smr_editable(w->mt, path[d - 1]);
}

/* Puts the cursor where a committed store leaves it. */
void smr_place_cursor(const struct smr_write *w);

/*
 * The two halves of a commit that replaces the cursor's leaf, keeping its encoding. The first
 * writes the new leaf into @node and sets *@x to the offset of the new range, the second puts the
 * new leaf in the place of the old.
 */
void *smr_build_leaf(const struct smr_write *w, struct smr_node *node, unsigned int *x);
void smr_publish_leaf(struct smr_write *w, void *leaf, unsigned int x);

/* Whether gap figures are kept up to date: gap.h. */
smr_inline bool smr_tracks_gaps(const struct maple_tree *mt)
{
	return mt->ma_flags & MT_FLAGS_ALLOC_RANGE;
}

void smri_update_gaps(const struct smr_write *w);

/*
 * Brings the gap figure of the cursor's leaf, within which @w stays, and those above up to date.
 * Must be called before the leaf changes.
 */
smr_inline void smr_update_gaps(const struct smr_write *w)
{
	if (smr_tracks_gaps(w->mt))
		smri_update_gaps(w);
}

/* Where the gap figure of the node at depth @d of a path is kept. The node must not be the top. */
smr_inline uint32_t *smr_kept_gap(void *const *node, const unsigned char *slot, unsigned int d)
{
	return smr_gaps(node[d - 1]) + slot[d - 1];
}

/* Sets the gap figure of the node at depth @d of a path to @figure, and updates those above. */
void smr_set_gap(void *const *node, const unsigned char *slot, unsigned int d, uint32_t figure);

/*
 * Raises the figures of the node at depth @d, which has got a new gap of @figure, and of those
 * above, without a search.
 */
smr_inline void smr_raise_gap(void *const *node, const unsigned char *slot, unsigned int d,
			      uint32_t figure)
{
	uint32_t *kept;

	for (; d > 0; d--) {
		kept = smr_kept_gap(node, slot, d);
		if (*kept >= figure)
			return;
		*kept = figure;
	}
}

/* Publishes @root, of a tree of @height, in place of the old tree, which the caller must drop. */
void smr_replace_root(struct maple_tree *mt, void *root, unsigned int height);

/* Builds all levels of a subtree, for smr_commit(). */
void smr_build(struct smr_write *w);
/* Completes the parts of a level once all are written: transaction, census, gap figures. */
void smr_finish_level(struct maple_tree *mt, struct smr_level *lev, bool leaves);

/* The last key of part @c. */
smr_inline unsigned long smr_part_last(const struct smr_level *lev, unsigned int c)
{
	return c + 1 < lev->parts ? lev->start[c + 1] - 1 : lev->max;
}

/* Writes the items, dealt out to the parts of @lev, into nodes taken from @own. */
void smr_encode_parts(struct smr_level *lev, const struct smr_items *it, struct smr_nodes *own);

/*
 * Collects the items of level @l. Slots and gap figures of new children are undefined until these
 * are built.
 */
void smr_gather(const struct smr_write *w, unsigned int l, struct smr_items *it);

/*
 * Like mt_init_flags(), without starting the thread that waits for readers, which takes memory. For
 * views of transactions, which nobody reads without the lock, and for snapshots, whose readers are
 * those of another tree (init.c).
 */
void smr_tree_init(struct maple_tree *mt, unsigned int flags);

/* ---- Dealing a window out (deal.c) ---- */

/* The side of a new range whose leaves are to be left full. */
enum smr_side { SMR_EITHER, SMR_LEFT, SMR_RIGHT };

/*
 * Returns the side to be left full for an entry that replaces ranges [@i..@j] of a full leaf whose
 * keys begin with @min. If the range stored last is next to it, or @j is the leaf's last, more
 * stores are expected in this place, and none on the side with more ranges, which is returned.
 * Otherwise returns SMR_EITHER.
 */
enum smr_side smr_full_side(const struct maple_tree *mt, const void *leaf, unsigned long min,
			    unsigned int i, unsigned int j);
/*
 * Returns true if child @at of @parent has a sibling on side @full that is full already, and so
 * need not change.
 */
bool smr_sibling_is_full(const void *parent, unsigned int at, enum smr_side full);
/*
 * Deals the items out evenly, to as few parts as hold them with room for @slack more in each; or
 * without that room, if it would take too many parts or leave too few items in each.
 */
void smr_deal(struct smr_level *lev, const struct smr_items *it, bool leaf, unsigned int slack);
/* Deals all items to one part. Returns false if it does not hold them. */
bool smr_deal_to_one(struct smr_level *lev, const struct smr_items *it, bool leaf);
/*
 * Deals ranges out for stores that follow one another. What lies on side @full of the range that
 * begins at @first is left in full leaves, as nothing will be stored there again. The rest, where
 * more will be stored, also gets what is left over of that side, if it is too little for a leaf of
 * its own. Returns false if that is not possible.
 */
bool smr_deal_sequential(struct smr_level *lev, const struct smr_items *it, unsigned long first,
			 enum smr_side full);
/*
 * Deals out the ranges of a window that a neighbour has joined: by smr_deal_sequential() if the
 * neighbour is on side @full and that is possible, else by smr_deal().
 */
void smr_deal_leaves(struct smr_level *lev, const struct smr_items *it, unsigned long first,
		     enum smr_side full);

/* ---- A node with a new middle (splice.c) ---- */

/* How many ranges the cursor's leaf will have. */
smr_inline unsigned int smr_leaf_ranges(const struct smr_write *w)
{
	return w->mas->end + 1u - (w->j - w->i) + (w->first > w->begin) + (w->last < w->end);
}

/*
 * Writes what @leaf becomes into @to, a new leaf or @leaf itself: ranges [0, i), what is left of
 * range i, the new range, what is left of range j, and those after j. Returns the offset of the new
 * range. A new leaf gets all flags of @leaf.
 */
unsigned int smr_splice(const struct smr_write *w, void *leaf, void *to);
/*
 * Writes into @node what the inner node @old becomes when the parts of @below, which are built,
 * take the place of children @first to @last. Returns the enode.
 */
void *smr_splice_inner(struct smr_node *node, const void *old, unsigned int first,
		       unsigned int last, const struct smr_level *below);
/* Copies a node, flags included. */
void smr_node_copy(struct smr_node *to, const struct smr_node *from);

/* ---- A leaf and its siblings (share.c) ---- */

/*
 * Plans a share for @e, an edit that would make the leaf at @depth of a path too full or too empty.
 * The new leaves are planned in s->leaves, which the caller has set. Returns false if it takes more
 * than a share, or if one new leaf may do.
 */
bool smr_plan_share(struct smr_share *s, const struct smr_edit *e, struct maple_tree *mt,
		    void *const *path, const unsigned char *slot, unsigned int depth, void *entry);
/* How many leaves share. */
smr_inline unsigned int smr_share_leaves(const struct smr_share *s)
{
	return 1u + s->left + s->right;
}
/* Gives the edges of a planned share their entries. */
void smr_share_put_edges(struct smr_share *s, struct smr_edges edges);
/*
 * Returns true if the new leaves fit into the parent, which otherwise stays as it is: it has room
 * for them, keeps enough children, and can write where each begins. Then *@nodes is how many nodes
 * the share takes.
 */
bool smr_share_fits(const struct smr_share *s, unsigned int *nodes);
/*
 * If they do not fit, plans to deal out the parent, too. w->share must be planned in w->level[0],
 * for the cursor's leaf and at most one sibling; w->first and w->last must be set.
 */
void smr_plan_above_share(struct smr_write *w);
/* Writes the new leaves, into nodes of @own. */
void smr_build_share(struct smr_share *s, struct smr_nodes *own);
/*
 * Commits the share with the nodes at the head of mas->alloc, and leaves the cursor where a store
 * does.
 */
void smr_commit_share(struct smr_share *s, struct ma_state *mas);
/*
 * Plans and commits a share, or empties the tree, without a cursor, for smr_edit_range() and
 * smr_edit_remove(), whose plan is @e, and returns what they return.
 */
int smr_share_range(const struct smr_edit *e, struct maple_tree *mt, const struct smr_path *path,
		    void *entry, gfp_t gfp);

/* ---- A gap of two leaves (slide.c) ---- */

/*
 * Plan storing NULL as a slide, and return false if that is not possible: the first for one entry
 * at either end of a leaf, before the store is widened, the second for ranges of two leaves, after
 * that.
 */
bool smr_plan_slide(struct smr_write *w);
bool smr_plan_slide_across(struct smr_write *w);
void smr_commit_slide(struct smr_write *w);

/* ---- Nodes that leave the tree (drop.c) ---- */

/*
 * Marks @enode dead and adds it to @dropped. A transaction does so only with nodes that it has made
 * itself; others are noted as replaced.
 */
void smr_drop_node(struct maple_tree *mt, void *enode, struct smr_nodes *dropped);
/* Notes that a transaction's @view has another node in the place of the tree's @enode (txn.c). */
void smr_txn_note_replaced(struct maple_tree *view, void *enode);
/* Drops @enode and all nodes below it. */
void smr_drop_subtree(struct maple_tree *mt, void *enode, struct smr_nodes *dropped);
/*
 * Drops @enode of level @l, and below it the nodes in the windows of the levels below. Windows
 * begin and end where nodes do.
 */
void smr_drop_window(const struct smr_write *w, void *enode, unsigned int l,
		     struct smr_nodes *dropped);
/* What a cursor does with the nodes that its store replaces: mas->mas_flags. */
enum {
	SMR_MAS_BULK = 1,   /* keeps them for the next store, if they are free at once */
	SMR_MAS_CREDIT = 2, /* keeps them for credits.c, which frees or retires them */
};

/* Puts the nodes of @list in front of those that the cursor owns. */
void smr_cursor_add_nodes(struct ma_state *mas, struct smr_nodes *list);

/* Frees or retires the nodes of @dropped, or has the cursor @mas (may be NULL) keep them. */
void smr_free_dropped(struct maple_tree *mt, struct ma_state *mas, struct smr_nodes *dropped);
/*
 * For a store through @mas: publishes @root, an entry or NULL, in place of all nodes of @mt, and
 * drops these.
 */
void smr_replace_tree(struct maple_tree *mt, struct ma_state *mas, void *root);
/* Drops everything in @mt, even with credits on it: their pledge then gets some of the nodes. */
void smr_destroy_tree(struct maple_tree *mt);

/* Get and set the nodes that the cursor owns. */
smr_inline struct smr_nodes smr_own_nodes(const struct ma_state *mas)
{
	return (struct smr_nodes){ mas->alloc, mas->alloc_nr };
}

smr_inline void smr_set_own_nodes(struct ma_state *mas, const struct smr_nodes *own)
{
	mas->alloc = own->head;
	mas->alloc_nr = own->nr;
}

/* Takes one of the nodes that the cursor owns. */
smr_inline struct smr_node *smr_pop_own_node(struct ma_state *mas)
{
	struct smr_nodes own = smr_own_nodes(mas);
	struct smr_node *node = smr_nodes_pop(&own);

	smr_set_own_nodes(mas, &own);
	return node;
}

#endif
