/* SPDX-License-Identifier: MIT */
/*
 * The layout of nodes.
 *
 * The tree is a B+-tree over ranges. A leaf holds up to 45 consecutive ranges, an inner node up to
 * 31 children. Range (child) i of a node begins where range i - 1 ends; only the starts of ranges
 * 1, 2, ... are stored, as the node's *bounds*. Where range 0 begins and the last range ends is
 * known from the parent; at the top these are 0 and ULONG_MAX.
 *
 * All nodes are MT_NODE_SIZE bytes. A pointer to one (an *enode*) is the address of its slots,
 * which begin at a different offset in each kind of node. So a walk knows how to read a node before
 * it has touched it:
 *
 *   bits 1:0  10, which no entry at the root has, so that the two can be told apart
 *   bit  2    leaf
 *   bits 8:3  where the node's slots begin
 *
 *            short leaf     narrow leaf    narrow inner   wide leaf      wide inner
 *   byte   0 base (8), shift (1), count (1), dead (1), mark (1), txn (4)
 *         16 56 bounds * 2  40 bounds * 4  30 bounds * 4  30 bounds * 8  24 bounds * 8
 *            45 slots  * 8  41 slots  * 8  31 slots  * 8  31 slots  * 8  25 slots  * 8
 *                                          32 gaps   * 4                 26 gaps   * 4
 *        504 link (8): used by the memory layer once the node is free or retired; in a leaf that
 *            the open transaction has replaced, by the transaction. No reader looks at it
 *
 * Narrow bounds are 32-bit: the start of range i is base + (bound << shift). shift is an alignment
 * that all starts share relative to base, 12 for pages. Most nodes of a tree also have the same
 * base and shift (encode.c), so that a look-up need not convert its key at each level.
 *
 * Short bounds work the same way, but are 16-bit and signed. base is the middle of a block of 2^16
 * units of 1 << shift keys, aligned to its own size. All keys of the leaf lie in this block,
 * including those of its first and its last range, and none in the block's last unit. So a search
 * needs only 16 bits of a key, wherever base is, and any aligned range stored there later can be
 * written this way. There are more bounds than the leaf can use: with the header, they fill two
 * cache lines.
 *
 * Ranges that fit neither form (byte-granular ones spread over more than 2^31) go into a wide node.
 * Its bounds are the starts themselves with the sign bit flipped, so that signed vector compares
 * order them.
 *
 * Unused bounds hold the largest value, above every key, so that a search compares all bounds and
 * needs no count.
 *
 * Two other places read nodes and repeat this layout: tools/gdb/samara-gdb.py and, for leaves, the
 * public header.
 *
 * Slots hold entries in leaves, enodes in inner nodes. A gap figure stands for the largest gap
 * below a child (gap.h). A node stores the figures of its children; its own is in its parent.
 *
 * Invariants:
 *   1. bounds strictly increase; every range is non-empty; neighbouring ranges that are both NULL,
 *      or joined, are pieces of one range, and lie in one leaf (run.h);
 *   2. all leaves are at the same depth; a leaf that is not the top has at least SMR_LEAF_MIN
 *      ranges, or fewer, and the mark SMR_PIECES, if pieces have been put together; an inner node
 *      that is not the top has at least SMR_INNER_MIN children, the top inner node at least 2;
 *   3. once a node can be reached from the root, only three things that readers look at change in
 *      it: slots, each by a release store; the gap figures, under the lock; and dead, which is set
 *      before ranges of the node are joined and before it is replaced.
 */
#ifndef SMR_TREE_NODE_H
#define SMR_TREE_NODE_H

#include "base/base.h"
#include "base/order.h"

#include <samara/maple_tree.h>
#include <stdint.h>

enum {
	SMR_ENODE_TAG = 2,
	SMR_ENODE_LEAF = 4,
	SMR_ENODE_MASK = MT_NODE_SIZE - 1,

	SMR_SLEAF_CAP = 45,
	SMR_SLEAF_BOUNDS = 56, /* of which at most SMR_SLEAF_CAP - 1 are used */
	SMR_NLEAF_CAP = 41,
	SMR_NINNER_CAP = 31,
	SMR_WLEAF_CAP = 31,
	SMR_WINNER_CAP = 25,
	SMR_CAP_MAX = SMR_SLEAF_CAP,

	/* Gap figures in an inner node: one more than its capacity. Unused ones are 0. */
	SMR_NINNER_GAPS = 32,
	SMR_WINNER_GAPS = 26,

	/*
	 * A node with fewer items shares with a neighbour. At most half of the smallest capacity.
	 */
	SMR_LEAF_MIN = 14,
	SMR_INNER_MIN = 11,
};

#define SMR_SHORT_BITS 16
#define SMR_NARROW_MAX (INT32_MAX - 1) /* the largest bound; INT32_MAX pads */
#define SMR_WIDE_SIGN (1UL << 63)

struct smr_node {
	unsigned long base;
	uint8_t shift;
	uint8_t count;
	uint8_t dead; /* GUARD writes: tree lock; reads: relaxed. enum smr_dead */
	uint8_t mark; /* GUARD tree lock. enum smr_mark */
	uint32_t txn; /* GUARD tree lock. The transaction that made the node, or 0 */
	union {
		int16_t b16[248];
		int32_t b32[124];
		int64_t b64[62];
		void *slot[62];    /* GUARD writes: tree lock; reads: RCU, ORDER publish */
		uint32_t gap[124]; /* GUARD tree lock */
	};
};

enum smr_dead {
	SMR_DEAD = 1,   /* replaced: look the key up again */
	SMR_JOINED = 2, /* has joined ranges (run.h): not for the header's inlines */
};

enum smr_mark {
	SMR_UNMARKED,
	/*
	 * Leaves: some ranges may be in pieces (run.h), until they are put together; or pieces have
	 * been put together, and fewer than SMR_LEAF_MIN ranges are left.
	 */
	SMR_PIECES,
	/* Inner nodes (txn.c): */
	SMR_REPLACED, /* the open transaction has another node in its place */
	SMR_TWIN, /* made by a transaction; differs from the node it replaced only in its slots */
};

_Static_assert(sizeof(struct smr_node) == MT_NODE_SIZE, "a node is one slab object");

/* Kinds, as bits 8:2 of an enode. */
enum smr_kind {
	SMR_SLEAF = 128 | SMR_ENODE_LEAF,
	SMR_NINNER = 136,
	SMR_NLEAF = 176 | SMR_ENODE_LEAF,
	SMR_WINNER = 208,
	SMR_WLEAF = 256 | SMR_ENODE_LEAF,
};

/* The wide kinds have one of these bits, the others none. */
#define SMR_ENODE_WIDE (256 | 64)

_Static_assert((SMR_WLEAF & SMR_ENODE_WIDE) != 0 && (SMR_WINNER & SMR_ENODE_WIDE) != 0 &&
		       ((SMR_SLEAF | SMR_NINNER | SMR_NLEAF) & SMR_ENODE_WIDE) == 0,
	       "SMR_ENODE_WIDE tells the wide kinds");

/* Returns the offset of the slots in a node of @kind, in bytes. */
smr_inline size_t smr_kind_slots_at(enum smr_kind kind)
{
	return kind & ~7u;
}

/* Leaves match struct mt_leaf_ of the public header. */
_Static_assert(offsetof(struct smr_node, base) == offsetof(struct mt_leaf_, base) &&
		       offsetof(struct smr_node, shift) == offsetof(struct mt_leaf_, shift) &&
		       offsetof(struct smr_node, dead) == offsetof(struct mt_leaf_, dead) &&
		       offsetof(struct smr_node, b32) == offsetof(struct mt_leaf_, narrow.bound) &&
		       (SMR_NLEAF & ~7) == offsetof(struct mt_leaf_, narrow.slot) &&
		       offsetof(struct smr_node, b16) == offsetof(struct mt_leaf_, brief.bound) &&
		       (SMR_SLEAF & ~7) == offsetof(struct mt_leaf_, brief.slot) &&
		       offsetof(struct smr_node, b64) == offsetof(struct mt_leaf_, wide.bound) &&
		       (SMR_WLEAF & ~7) == offsetof(struct mt_leaf_, wide.slot) &&
		       (SMR_SLEAF | SMR_ENODE_TAG) == MT_LEAF_SHORT_ &&
		       (SMR_NLEAF | SMR_ENODE_TAG) == MT_LEAF_NARROW_ &&
		       (SMR_WLEAF | SMR_ENODE_TAG) == MT_LEAF_WIDE_,
	       "as the header's inlines read it");

/* The slots follow the bounds, of which each kind has a fixed number. */
_Static_assert((SMR_SLEAF & ~7) == offsetof(struct smr_node, b16[SMR_SLEAF_BOUNDS]) &&
		       SMR_NINNER == offsetof(struct smr_node, b32[SMR_NINNER_CAP - 1]) &&
		       (SMR_NLEAF & ~7) == offsetof(struct smr_node, b32[SMR_NLEAF_CAP - 1]) &&
		       SMR_WINNER == offsetof(struct smr_node, b64[SMR_WINNER_CAP - 1]) &&
		       (SMR_WLEAF & ~7) == offsetof(struct smr_node, b64[SMR_WLEAF_CAP - 1]),
	       "slots begin where the bounds end");

smr_inline enum smr_kind smr_enode_kind(const void *enode)
{
	return (uintptr_t)enode & (SMR_ENODE_MASK & ~3);
}

_Static_assert(SMR_SLEAF < SMR_NINNER && SMR_NINNER < SMR_NLEAF && SMR_NLEAF < SMR_WINNER &&
		       SMR_WINNER < 256 && SMR_WLEAF - 256 < SMR_SLEAF,
	       "kinds differ in their lowest byte");

/* Whether @enode is of @kind. */
smr_inline bool smr_enode_is(const void *enode, enum smr_kind kind)
{
	return (uint8_t)(uintptr_t)enode == (uint8_t)(kind | SMR_ENODE_TAG);
}

/*
 * Whether @enode is a narrow inner node, as most on the way down are. It tests bits: with a
 * compare, GCC 12 moves the walk's vectors back and forth at each node.
 */
smr_inline bool smr_enode_ninner(const void *enode)
{
	return !((uintptr_t)enode & (SMR_ENODE_LEAF | SMR_ENODE_WIDE));
}

smr_inline bool smr_kind_leaf(enum smr_kind kind)
{
	return kind & SMR_ENODE_LEAF;
}

smr_inline bool smr_kind_wide(enum smr_kind kind)
{
	return kind & SMR_ENODE_WIDE;
}

smr_inline bool smr_kind_short(enum smr_kind kind)
{
	return kind == SMR_SLEAF;
}

smr_inline bool smr_kind_narrow(enum smr_kind kind)
{
	return !smr_kind_wide(kind) && !smr_kind_short(kind);
}

/* The name of @kind, for dumps. */
smr_inline const char *smr_kind_name(enum smr_kind kind)
{
	return smr_kind_wide(kind) ? "wide" : smr_kind_short(kind) ? "short" : "narrow";
}

smr_inline bool smr_enode_leaf(const void *enode)
{
	return (uintptr_t)enode & SMR_ENODE_LEAF;
}

/* Whether @root, the value of the root, is a node. If not, it is NULL or the entry of [0..0]. */
smr_inline bool smr_is_enode(const void *root)
{
	return ((uintptr_t)root & 3) == SMR_ENODE_TAG;
}

smr_inline struct smr_node *smr_node_of(const void *enode)
{
	return (struct smr_node *)((uintptr_t)enode & ~(uintptr_t)SMR_ENODE_MASK);
}

smr_inline void *smr_enode_make(struct smr_node *node, enum smr_kind kind)
{
	return (void *)((uintptr_t)node | SMR_ENODE_TAG | (uintptr_t)kind);
}

/* The node of an enode of @kind: they differ by a constant, which costs nothing to subtract. */
smr_inline struct smr_node *smr_kind_node(const void *enode, enum smr_kind kind)
{
	return (struct smr_node *)((uintptr_t)enode - (uintptr_t)smr_enode_make(NULL, kind));
}

/*
 * Returns how many ranges fit into a leaf of @kind. Separate from inner nodes, so that compilers
 * see the most iterations that a loop over a leaf's slots can make.
 */
smr_inline unsigned int smr_leaf_cap(enum smr_kind kind)
{
	if (smr_kind_wide(kind))
		return SMR_WLEAF_CAP;
	return smr_kind_short(kind) ? SMR_SLEAF_CAP : SMR_NLEAF_CAP;
}

smr_inline unsigned int smr_kind_cap(enum smr_kind kind)
{
	if (smr_kind_leaf(kind))
		return smr_leaf_cap(kind);
	return smr_kind_wide(kind) ? SMR_WINNER_CAP : SMR_NINNER_CAP;
}

/* Returns how many bounds a node of @kind has, unused ones included. */
smr_inline unsigned int smr_kind_bounds(enum smr_kind kind)
{
	return smr_kind_short(kind) ? SMR_SLEAF_BOUNDS : smr_kind_cap(kind) - 1;
}

/* Calls @function with the kind of @leaf, as a constant, and the other arguments. */
#define SMR_FOR_LEAF(leaf, function, ...)                                   \
	(smr_enode_is(leaf, SMR_SLEAF)   ? function(SMR_SLEAF, __VA_ARGS__) \
	 : smr_enode_is(leaf, SMR_NLEAF) ? function(SMR_NLEAF, __VA_ARGS__) \
					 : function(SMR_WLEAF, __VA_ARGS__))

smr_inline void **smr_kind_slots(struct smr_node *node, enum smr_kind kind)
{
	return (void **)(void *)((char *)node + smr_kind_slots_at(kind));
}

/* Returns the offset of the end of the slots, in bytes: a constant wherever @kind is one. */
smr_inline size_t smr_kind_end(enum smr_kind kind)
{
	return smr_kind_slots_at(kind) + sizeof(void *) * smr_kind_cap(kind);
}

smr_inline void **smr_slots(const void *enode)
{
	return (void **)((uintptr_t)enode & ~(uintptr_t)7);
}

/* The gap figures of an inner node's children. */
smr_inline uint32_t *smr_gaps(const void *enode)
{
	bool wide = (uintptr_t)enode & SMR_ENODE_WIDE;

	/* They follow the slots. */
	return (uint32_t *)(void *)(smr_slots(enode) + (wide ? SMR_WINNER_CAP : SMR_NINNER_CAP));
}

/* Returns how many gap figures an inner node has, unused ones included. */
smr_inline unsigned int smr_nr_gaps(const void *enode)
{
	return (uintptr_t)enode & SMR_ENODE_WIDE ? SMR_WINNER_GAPS : SMR_NINNER_GAPS;
}

smr_inline unsigned int smr_count(const void *enode)
{
	return smr_node_of(enode)->count;
}

/*
 * Whether the node may be changed in place: in a transaction, if the transaction has made the node;
 * elsewhere, if there are no lock-free readers.
 */
smr_inline bool smr_editable(const struct maple_tree *mt, const void *enode)
{
	if (smr_unlikely(mt->ma_txn))
		return smr_node_of(enode)->txn == mt->ma_txn;
	return !(mt->ma_flags & MT_FLAGS_USE_RCU);
}

/* Whether the leaf has joined ranges. CONTEXT: HOLDS tree lock. */
smr_inline bool smr_has_joined(const void *leaf)
{
	return smr_node_of(leaf)->dead & SMR_JOINED;
}

/* Marks a node before its replacement is published; that publication orders the mark. */
smr_inline void smr_mark_dead(struct smr_node *node)
{
	smr_store(&node->dead, node->dead | SMR_DEAD, RELAXED);
}

/*
 * The *crowding* of an inner node is how many children it has beyond these, the fewest that it gets
 * when children are dealt out to three nodes: see pledge.c.
 */
#define SMR_CROWD_FROM 17

smr_inline unsigned int smr_crowding(unsigned int children)
{
	return children > SMR_CROWD_FROM ? children - SMR_CROWD_FROM : 0;
}

/*
 * Counts a node that is added (@by 1) or removed (@by -1) in the tree's *census*, which is what
 * pledges are worked out from: its leaves, inner nodes and their crowding.
 */
smr_inline void smr_count_node(struct maple_tree *mt, const void *enode, long by)
{
	if (smr_enode_leaf(enode)) {
		mt->ma_pledge.leaves += (unsigned long)by;
		return;
	}
	mt->ma_pledge.inner += (unsigned long)by;
	mt->ma_pledge.crowding += (unsigned long)(by * (long)smr_crowding(smr_count(enode)));
}

/* Returns bound @i as it is stored. */
smr_inline int64_t smr_kind_bound(const struct smr_node *node, enum smr_kind kind, unsigned long i)
{
	if (smr_kind_wide(kind))
		return node->b64[i];
	return smr_kind_short(kind) ? node->b16[i] : node->b32[i];
}

smr_inline void smr_kind_set_bound(struct smr_node *node, enum smr_kind kind, unsigned long i,
				   int64_t bound)
{
	if (smr_kind_wide(kind))
		node->b64[i] = bound;
	else if (smr_kind_short(kind))
		node->b16[i] = (int16_t)bound;
	else
		node->b32[i] = (int32_t)bound;
}

/* The value of unused bounds. */
smr_inline int64_t smr_kind_padding(enum smr_kind kind)
{
	return smr_kind_wide(kind) ? INT64_MAX : smr_kind_short(kind) ? INT16_MAX : INT32_MAX;
}

/* Returns the key that @bound stands for in @node. */
smr_inline unsigned long smr_kind_key(const struct smr_node *node, enum smr_kind kind,
				      int64_t bound)
{
	if (smr_kind_wide(kind))
		return (unsigned long)bound ^ SMR_WIDE_SIGN;
	return node->base + ((unsigned long)bound << node->shift);
}

/* Returns the start of range or child @i. @i must not be 0: only the parent knows that start. */
smr_inline unsigned long smr_kind_start(const struct smr_node *node, enum smr_kind kind,
					unsigned long i)
{
	return smr_kind_key(node, kind, smr_kind_bound(node, kind, i - 1));
}

/* Returns the bound that stands for @key, which must be a key that the node can express. */
smr_inline int64_t smr_kind_bound_of(const struct smr_node *node, enum smr_kind kind,
				     unsigned long key)
{
	if (smr_kind_wide(kind))
		return (int64_t)(key ^ SMR_WIDE_SIGN);
	return (int64_t)((key - node->base) >> node->shift);
}

/*
 * Sets the start of range @i to @key. Base and shift are read from @from, which has the same ones
 * and was written longer ago.
 */
smr_inline void smr_kind_set_start(struct smr_node *node, const struct smr_node *from,
				   enum smr_kind kind, unsigned int i, unsigned long key)
{
	smr_kind_set_bound(node, kind, i - 1, smr_kind_bound_of(from, kind, key));
}

smr_inline unsigned long smr_start(const void *enode, unsigned int i)
{
	return smr_kind_start(smr_node_of(enode), smr_enode_kind(enode), i);
}

/* smr_start() for inner nodes. */
smr_inline unsigned long smr_child_start(const void *inner, unsigned int i)
{
	const struct smr_node *node = smr_node_of(inner);

	if (smr_unlikely((uintptr_t)inner & SMR_ENODE_WIDE))
		return smr_kind_start(node, SMR_WINNER, i);
	return smr_kind_start(node, SMR_NINNER, i);
}

/*
 * Reads a slot, as a lock-free reader has to.
 * ORDER publish: before the slot was stored, what it leads to was complete, and what it replaces
 * was marked. PARTNER write.h, smr_publish(), and dup.c, __mt_dup(). WITHOUT a reader follows an
 * uninitialised node, or misses the mark.
 */
smr_inline void *smr_slot_read(void *const *slot)
{
	return smr_load(slot, ORDER(publish, acquire));
}

/* smr_slot_read() for the root. */
smr_inline void *smr_root(const struct maple_tree *mt)
{
	return smr_load(&mt->ma_root, ORDER(publish, acquire));
}

#endif
