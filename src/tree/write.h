/* SPDX-License-Identifier: MIT */
/*
 * The one way to write. Whatever is stored, erased or allocated, one range is replaced by another
 * entry, in these steps:
 *
 *   plan     walk to the range and work out what will be: most often an edit of a leaf, else
 *            nothing, a slot, a leaf, some leaves of one parent, or a subtree. Pure arithmetic;
 *            afterwards the number of nodes is known. (edit.c, share.c, slide.c, plan.c)
 *   obtain   exactly that many nodes; the only step that can fail, with nothing changed. (store.c)
 *   build    the replacement, in nodes that nobody sees yet. (the same, build.c, splice.c)
 *   publish  the nodes to be replaced are marked, one release store goes into the lowest slot that
 *            covers all of the change, and the replaced nodes are retired. (publish.c, drop.c)
 *
 * An edit of the normal API, which has no cursor, is all of that in one (edit.h).
 *
 * Levels count from the leaves, 0, upwards; depths, as in paths, from the top. Planning goes level
 * by level. On each level there is a *window*: the nodes that are to be replaced, from the left
 * one, of which the first items are kept, to the right one, of which the last are kept; all nodes
 * between go. What becomes of the level below, one to three nodes, goes between:
 *
 *      left node                    new                  right node
 *   [ kept kept | .... ]     ( one to three )      [ .... | kept kept kept ]
 *
 * If the left and the right node are one and the result fits in one node, its parent's slot is
 * where to publish, and the levels above stay as they are. If the result is too much or too little
 * for one node, a neighbour joins the window and all is dealt out evenly: that is splitting,
 * sharing and merging in one.
 */
#ifndef SMR_TREE_WRITE_H
#define SMR_TREE_WRITE_H

#include "mem/take.h"
#include "tree/edges.h"
#include "tree/edit.h"
#include "tree/encode.h"
#include "tree/walk.h"

/* No window of one level is ever dealt out to more nodes than this: see deal.c. */
#define SMR_PARTS_MAX 3

/* But leaves that share as they are written: share.c. */
#define SMR_SHARES_MAX 4

/*
 * Room left in leaves that are dealt out anew, so that the next store does not have to do it again.
 * Inner nodes are dealt without, and never packed: what credits promise rests on how full they are
 * after that (pledge.c).
 */
#define SMR_DEAL_SLACK 5

enum smr_what {
	SMR_NOTHING, /* it is so already */
	SMR_ROOT,    /* swap the root for an entry or NULL; frees the whole tree */
	SMR_FIRST,   /* a leaf in the place of a root that is none */
	SMR_SLOT,    /* swap one slot of a leaf, if that is not what it holds */
	SMR_JOIN,    /* an entry over all of a gap in pieces, which become joined ranges: run.h */
	SMR_EDIT,    /* of one leaf: edit.h */
	SMR_INPLACE, /* change one leaf in place: nobody else can see it */
	SMR_LEAF,    /* one leaf becomes one of the same encoding; copies above it, at most */
	SMR_SHARE,   /* an edit of a leaf that shares with its siblings: share.c */
	SMR_SLIDE,   /* a gap of two leaves becomes one of them: slide.c */
	SMR_SUBTREE, /* everything else: see the levels */
};

struct smr_level {
	unsigned long min, max; /* of the window */
	unsigned long left_min; /* first key of the left node */
	void *neighbour;        /* joined to the window, or NULL */
	unsigned long neighbour_min;
	bool neighbour_left;
	bool spliced; /* its only part is its only node, but for the children that change */
	unsigned char parts;
	unsigned char cut[SMR_SHARES_MAX + 1]; /* part i gets items [cut[i], cut[i + 1]) */
	struct smr_code code[SMR_SHARES_MAX];
	unsigned long start[SMR_SHARES_MAX];
	void *node[SMR_SHARES_MAX]; /* once built */
	uint32_t gap[SMR_SHARES_MAX];
};

/* Those of three leaves, one of them with two more. */
#define SMR_WRITTEN_MAX (3 * SMR_CAP_MAX + 2)

/*
 * Ranges of leaves of one kind, base and shift: where each begins, but the first, as they write it,
 * and what it holds. Behind them may be as many as a leaf has.
 */
struct smr_written {
	union {
		int16_t b16[SMR_WRITTEN_MAX + SMR_ITEMS_SPARE];
		int32_t b32[SMR_WRITTEN_MAX + SMR_ITEMS_SPARE];
		int64_t b64[SMR_WRITTEN_MAX + SMR_ITEMS_SPARE];
	};
	void *entry[SMR_WRITTEN_MAX + SMR_ITEMS_SPARE];
};

/* A leaf and one sibling, or both, whose ranges are dealt out anew: share.c. */
struct smr_share {
	struct maple_tree *mt;
	void *const *path; /* the node above them at @depth */
	const unsigned char *slot;
	unsigned int depth;
	const void *leaf;
	unsigned long min, max;   /* its keys */
	bool left, right;         /* does the sibling there share? */
	bool decoded;             /* are they items? else they stay as they are written */
	unsigned int first;       /* offset above of the first of them */
	unsigned int before;      /* ranges in front of the leaf's */
	unsigned int ranges;      /* of all */
	unsigned int stand;       /* which of these is the new one? */
	struct smr_level *leaves; /* that come of it */
	union {
		struct smr_written written;
		struct smr_items items;
	};
};

/* Two leaves side by side, the cursor's and another, which share their ranges anew. */
struct smr_slide {
	bool up;             /* is the other one behind? else it is in front */
	bool run;            /* has the cursor's the gap as a run? else as one range, its last */
	unsigned int ranges; /* that the other one loses */
	unsigned long edge;  /* where they meet then */
	unsigned int stand;  /* the cursor's offset then */
};

struct smr_write {
	struct ma_state *mas;
	struct maple_tree *mt;
	unsigned long first, last; /* NULL stores: the whole gap that will be */
	void *entry;
	struct smr_edges edges;
	void *former; /* entry of the key asked for, before */
	enum smr_what what;
	unsigned int nodes;   /* needed */
	unsigned long pledge; /* needed besides, for holders of credits: pledge.h */
	unsigned int i, j;    /* offsets of first and last in their leaves */
	/* The old ranges there begin and end here: what is beyond first and last stays. */
	unsigned long begin, end;
	bool spans;             /* those leaves are two, the second at the end of right */
	bool compact;           /* the tree has no nodes yet */
	struct smr_edit edit;   /* SMR_EDIT: all that counts */
	struct smr_slide slide; /* SMR_SLIDE */
	/* SMR_SHARE, and SMR_SUBTREE if shared; else of that and SMR_FIRST its items: of level 0 */
	struct smr_share share;
	/* SMR_SUBTREE: */
	bool shared;                 /* level 0 is the share's */
	bool to_root;                /* the top part becomes the root */
	unsigned int top;            /* level whose only part is published */
	struct smr_path left, right; /* this one wherever it spans leaves */
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
 * ORDER seq: the new number comes after the new nodes, and after an entry in the place of a gap.
 * PARTNER walk.c, smr_walk() and smri_path_renew(). WITHOUT a cursor takes the number of nodes that
 * it has not seen, or a loop (each_isa.h) that of such entries.
 */
smr_inline void smr_advance(struct maple_tree *mt)
{
	smr_store(&mt->ma_seq, mt->ma_seq + 1, ORDER(seq, release));
}

/*
 * May the slot above the node at depth @d be swapped? Within a transaction only if that changes
 * nothing that others see; else the way up is replaced too, as far as the first node of its own.
 */
smr_inline bool smr_can_publish(const struct smr_write *w, void *const *path, unsigned int d)
{
	return !w->mt->ma_txn || d == 0 || smr_editable(w->mt, path[d - 1]);
}

/* Puts the cursor where a committed store leaves it. */
void smr_settle(const struct smr_write *w);

/*
 * The two halves of a commit that replaces the cursor's leaf by one of the same form: writes the
 * new one into @node, with the new range at *@x, and puts it in the place of the old.
 */
void *smr_build_leaf(const struct smr_write *w, struct smr_node *node, unsigned int *x);
void smr_publish_leaf(struct smr_write *w, void *leaf, unsigned int x);

/*
 * Brings the figure of the cursor's leaf, which @w stays within, and those above up to date; before
 * the leaf is.
 */
void smr_update_gaps(const struct smr_write *w);

/* Where the figure of the node at depth @d of a path is kept, which must not be the top. */
smr_inline uint32_t *smr_kept_gap(void *const *node, const unsigned char *slot, unsigned int d)
{
	return smr_gaps(node[d - 1]) + slot[d - 1];
}

/* The figure of the node at depth @d of a path has become @figure: so are those above. */
void smr_set_gap(void *const *node, const unsigned char *slot, unsigned int d, uint32_t figure);

/* A gap of @figure has come into the node at depth @d: nothing has to be looked for. */
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

/*
 * Publishes @root, of a tree of @height, in place of all there is; what was there is the caller's
 * to drop.
 */
void smr_replace_root(struct maple_tree *mt, void *root, unsigned int height);

/* For smr_commit(): build all levels of a subtree. */
void smr_build(struct smr_write *w);
/* The parts of a level are written: what else is to be said of them. */
void smr_finish_level(struct maple_tree *mt, struct smr_level *lev, bool leaves);

/* The last key of part @c. */
smr_inline unsigned long smr_part_last(const struct smr_level *lev, unsigned int c)
{
	return c + 1 < lev->parts ? lev->start[c + 1] - 1 : lev->max;
}

/* Writes items, as they have been dealt out to the parts of @lev, into nodes of @own. */
void smr_encode_parts(struct smr_level *lev, const struct smr_items *it, struct smr_nodes *own);

/* Collects the items of one level. Before the level below is built its nodes are NULL. */
void smr_gather(const struct smr_write *w, unsigned int l, struct smr_items *it);

/*
 * mt_init_flags(), but that readers need a thread which waits for them: that takes memory. For
 * views of transactions, which nobody reads without the lock, and for snapshots, whose readers are
 * those of another tree (init.c).
 */
void smr_tree_init(struct maple_tree *mt, unsigned int flags);

/* ---- Dealing a window out (deal.c) ---- */

/* Of a new range: which is to be left full. */
enum smr_side { SMR_EITHER, SMR_LEFT, SMR_RIGHT };

/*
 * Where an entry in the place of ranges [i..j] meets a leaf that is full, whose keys begin with
 * @min: do stores follow one another there, or end the leaf? Then more of them are to come in this
 * place, and the side of it where more ranges are will have no other, and is to be left full.
 */
enum smr_side smr_growing(const struct maple_tree *mt, const void *leaf, unsigned long min,
			  unsigned int i, unsigned int j);
/* Is the sibling of leaf @at of @above on side @full full already? Then it stays as it is. */
bool smr_grows_from_full(const void *above, unsigned int at, enum smr_side full);
/*
 * Evenly, to as few parts as hold them with room for @slack more in each; or without, if there
 * would be too few in each.
 */
void smr_deal(struct smr_level *lev, const struct smr_items *it, bool leaf, unsigned int slack);
/* To one part, if it holds them all. */
bool smr_deal_alone(struct smr_level *lev, const struct smr_items *it, bool leaf);
/*
 * Stores that follow one another leave full leaves behind them, for nothing will be stored there
 * again: what lies on side @full of the range that begins at @first. The rest goes on growing; what
 * of that side would be too little for a leaf of its own comes to it. False: that cannot be.
 */
bool smr_deal_growing(struct smr_level *lev, const struct smr_items *it, unsigned long first,
		      enum smr_side full);
/* The ranges of a window that a neighbour has joined, by one or the other. */
void smr_deal_leaves(struct smr_level *lev, const struct smr_items *it, unsigned long first,
		     enum smr_side full);

/* ---- A node with a new middle (splice.c) ---- */

/* How many ranges the cursor's leaf comes to. */
smr_inline unsigned int smr_leaf_ranges(const struct smr_write *w)
{
	return w->mas->end + 1u - (w->j - w->i) + (w->first > w->begin) + (w->last < w->end);
}

/*
 * Makes @to, a new leaf or @leaf itself, what @leaf becomes: ranges [0, i), a piece of range i, the
 * new range, a piece of j, and those behind j. The offset of the new range. All flags of a new leaf
 * are those of @leaf.
 */
unsigned int smr_splice(const struct smr_write *w, void *leaf, void *to);
/*
 * Makes @node what the inner node @old becomes, in which the parts of @below, which are built, take
 * the place of children @first to @last.
 */
void *smr_splice_inner(struct smr_node *node, const void *old, unsigned int first,
		       unsigned int last, const struct smr_level *below);
/* A copy, flags and all. */
void smr_node_copy(struct smr_node *to, const struct smr_node *from);

/* ---- A leaf and its siblings (share.c) ---- */

/*
 * Plans @e, of the leaf at @depth of a path, for which that would be too full, or too empty, with
 * leaves at s->leaves. False: it is more than this.
 */
bool smr_plan_share(struct smr_share *s, const struct smr_edit *e, struct maple_tree *mt,
		    void *const *path, const unsigned char *slot, unsigned int depth, void *entry);
/* How many leaves share. */
smr_inline unsigned int smr_share_leaves(const struct smr_share *s)
{
	return 1u + s->left + s->right;
}
/* It is planned: what its edges come to hold. */
void smr_share_put_edges(struct smr_share *s, struct smr_edges edges);
/* Can they be children of the node above, which stays else as it is? Then it takes @nodes. */
bool smr_share_fits(const struct smr_share *s, unsigned int *nodes);
/*
 * Else the node above is to be dealt out, too: w->share is planned, of the cursor's leaf and one
 * sibling, with leaves at w->level[0], and w->first and w->last are set.
 */
void smr_plan_above_share(struct smr_write *w);
/* Writes the new leaves, into nodes of @own. */
void smr_build_share(struct smr_share *s, struct smr_nodes *own);
/* Does it, with the nodes at the head of mas->alloc, and leaves the cursor where a store does. */
void smr_commit_share(struct smr_share *s, struct ma_state *mas);
/* All of that without a cursor: as smr_edit_range(), which has come to @e. */
int smr_share_range(const struct smr_edit *e, struct maple_tree *mt, const struct smr_path *path,
		    void *entry, gfp_t gfp);

/* ---- A gap of two leaves (slide.c) ---- */

/*
 * Is that all that storing NULL comes to, of one entry at the end of a leaf, or of ranges of two
 * leaves? Then it is planned: the first before the store is widened, the second after that.
 */
bool smr_plan_slide(struct smr_write *w);
bool smr_plan_slide_across(struct smr_write *w);
void smr_commit_slide(struct smr_write *w);

/* ---- Nodes that leave the tree (drop.c) ---- */

/*
 * Adds @enode to @dropped; within a transaction only if that has made it, else it is noted as
 * replaced.
 */
void smr_drop_node(struct maple_tree *mt, void *enode, struct smr_nodes *dropped);
/* Notes that @view, a transaction's, has another in the place of the tree's @enode (txn.c). */
void smr_txn_replaced(struct maple_tree *view, void *enode);
/* Adds @enode and all nodes below it. */
void smr_drop_subtree(struct maple_tree *mt, void *enode, struct smr_nodes *dropped);
/*
 * Drops @enode of level @l, and below it whatever lies in the windows of the levels below. Windows
 * begin and end where nodes do.
 */
void smr_drop_window(const struct smr_write *w, void *enode, unsigned int l,
		     struct smr_nodes *dropped);
/* What a cursor does with the nodes that its store replaces: mas->mas_flags. */
enum {
	SMR_MAS_BULK = 1,   /* keeps them for the next store, if they are free at once */
	SMR_MAS_CREDIT = 2, /* keeps them for credits.c, which frees or retires them */
};

/* Makes the nodes of @list those in front of the ones that the cursor owns. */
void smr_cursor_keep(struct ma_state *mas, struct smr_nodes *list);

/* Frees or retires the nodes of @dropped, of a store through @mas (or NULL). */
void smr_dispose(struct maple_tree *mt, struct ma_state *mas, struct smr_nodes *dropped);
/*
 * For a store through @mas: publishes @root, an entry or NULL, in place of all nodes of @mt, and
 * drops these.
 */
void smr_replace_tree(struct maple_tree *mt, struct ma_state *mas, void *root);
/* Drops all that is in @mt, whatever that means for holders of credits: some nodes are theirs. */
void smr_destroy_tree(struct maple_tree *mt);

smr_inline bool smr_tracks_gaps(const struct maple_tree *mt)
{
	return mt->ma_flags & MT_FLAGS_ALLOC_RANGE;
}

/* The nodes that the cursor owns; and what is left of them, or has become of them. */
smr_inline struct smr_nodes smr_own_nodes(const struct ma_state *mas)
{
	return (struct smr_nodes){ mas->alloc, mas->alloc_nr };
}

smr_inline void smr_set_own_nodes(struct ma_state *mas, const struct smr_nodes *own)
{
	mas->alloc = own->head;
	mas->alloc_nr = own->nr;
}

/* Takes one of them. */
smr_inline struct smr_node *smr_own_node(struct ma_state *mas)
{
	struct smr_nodes own = smr_own_nodes(mas);
	struct smr_node *node = smr_nodes_pop(&own);

	smr_set_own_nodes(mas, &own);
	return node;
}

#endif
