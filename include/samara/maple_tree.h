/* SPDX-License-Identifier: MIT */
/*
 * The maple tree: a map from ranges of unsigned long to pointers, with readers that never wait.
 *
 * Every key 0..ULONG_MAX has an entry, NULL where nothing was stored. The tree presents this as
 * non-overlapping inclusive ranges [first..last]. Storing a non-NULL entry makes its range exactly
 * one range and cuts or drops what was there; neighbours with the same entry are not merged.
 * Storing NULL erases; adjacent gaps always form one gap.
 *
 * Names and behaviour are those of Linux's maple tree, so that code and knowledge carry over. What
 * is new is marked as such: mtree_reserve(), mtree_release(), mt_set_mem(), mt_stats(), the RCU
 * flavours.
 *
 * Two interfaces. The normal one (mtree_*, mt_*) takes the locks itself. The advanced one (mas_*)
 * works on a cursor, struct ma_state, and leaves locking to the caller. docs/locking.md says who
 * may call what under which lock; each section below gives the short form.
 *
 * Units: keys are plain integers, sizes count keys. Errors: 0 or a negative errno; after any error
 * the tree, the out-parameters and what readers see are unchanged, and nothing has leaked.
 */
#ifndef SAMARA_MAPLE_TREE_H
#define SAMARA_MAPLE_TREE_H

#include <samara/export.h>
#include <samara/lock.h>
#include <samara/mem.h>
#include <samara/rcu.h>
#include <samara/xarray.h>
#include <stdio.h>

MT_BEGIN_DECLS

/* ---- Constants ------------------------------------------------------------------------------- */

/*
 * Linux's layout figures, kept for code that names them; this library's nodes are laid out
 * differently.
 */
#define MAPLE_NODE_SLOTS 31
#define MAPLE_RANGE64_SLOTS 16
#define MAPLE_ARANGE64_SLOTS 10
#define MAPLE_ALLOC_SLOTS (MAPLE_NODE_SLOTS - 1)
#define MAPLE_NODE_MASK 255UL

#define MAPLE_HEIGHT_MAX 31
/* Internal entries below this are reserved for the library. */
#define MAPLE_RESERVED_RANGE 4096

#define MT_FLAGS_ALLOC_RANGE 0x01   /* gap search works; fixed at initialisation */
#define MT_FLAGS_USE_RCU 0x02       /* RCU mode: mt_set_in_rcu(), mt_clear_in_rcu() */
#define MT_FLAGS_HEIGHT_OFFSET 0x02 /* where ma_flags keeps the height */
#define MT_FLAGS_HEIGHT_MASK 0x7C
#define MT_FLAGS_LOCK_MASK 0x300
#define MT_FLAGS_LOCK_IRQ 0x100       /* documents how the user takes ma_lock; no effect here */
#define MT_FLAGS_LOCK_BH 0x200        /* the same */
#define MT_FLAGS_LOCK_EXTERN 0x300    /* the user supplies the lock */
#define MT_FLAGS_ALLOC_WRAPPED 0x0800 /* cyclic allocation has wrapped; the library's own */

/* ---- The tree -------------------------------------------------------------------------------- */

/*
 * Users may read ma_flags and ma_root (under the lock if there are writers), take ma_lock with the
 * macros below, and touch nothing else. What readers need and what writers dirty are at least a
 * cache line apart.
 */
struct maple_tree {
	void *ma_root; /* NULL, the entry of [0..0], or the top node */
	unsigned int ma_flags;
	unsigned int ma_rcu;   /* enum mt_rcu_flavor */
	struct mt_mem *ma_mem; /* NULL: the default arena */
	char ma_pad[64];
	union {
		struct mt_lock ma_lock;
		void *ma_external_lock;
	};
	bool (*ma_lock_is_held)(void *lock); /* for an external lock; NULL: not known */
	unsigned long ma_seq;                /* bumped whenever a node goes or a gap is filled */
	unsigned long ma_nodes_built;
	unsigned long ma_nodes_retired;
	unsigned long ma_newest; /* first key of the range stored last */
	unsigned int ma_txn;     /* in a transaction's view (txn.h): its number; else 0 */
	unsigned int ma_txns;    /* transactions begun so far */
	struct {                 /* what holders of credits rely on (credits.h) */
		unsigned long leaves;
		unsigned long crowding;
		unsigned long recycling; /* credits */
		unsigned long strict;    /* credits */
		unsigned long working;   /* stores that holders may announce at once */
		unsigned long pledged;   /* nodes */
		unsigned int reach;      /* levels the tree can come to */
		unsigned int open;       /* a transaction is open: its view has the rest */
		unsigned long inner;     /* inner nodes in the tree */
		unsigned long bound;     /* the most leaves the tree can have; 0: not known */
	} ma_pledge;
};

#define MT_TREE_INIT_(flags)                                                                 \
	{                                                                                    \
		NULL, (flags) & ~(unsigned int)MT_FLAGS_HEIGHT_MASK, MT_RCU_BP, NULL, { 0 }, \
			{ MT_LOCK_INIT }, NULL, 0, 0, 0, 0, 0, 0,                            \
		{                                                                            \
			0, 0, 0, 0, 0, 0, 1, 0, 0, 0                                         \
		}                                                                            \
	}

/*
 * Static initialisers. The external form neither adds MT_FLAGS_LOCK_EXTERN, which must be in
 * @flags, nor records @lock.
 */
#define MTREE_INIT(name, flags) MT_TREE_INIT_(flags)
#define MTREE_INIT_EXT(name, flags, lock) MT_TREE_INIT_(flags)
#define DEFINE_MTREE(name) struct maple_tree name = MTREE_INIT(name, 0)

/*
 * Gets the default arena its first nodes and its emergency reserve, as the first store that may
 * block would. Only a program whose first store may not block needs it. CONTEXT: may block.
 */
MT_API void maple_tree_init(void);

/*
 * Makes @mt an empty tree, whatever it held: nothing is freed. With MT_FLAGS_LOCK_EXTERN the lock
 * is left alone, but what mt_set_external_lock_check() said about it is forgotten. @flags may be
 * another tree's ma_flags: its height is ignored, but the mark that its cyclic allocation has
 * wrapped is taken over. With MT_FLAGS_USE_RCU the first tree of a process may start a thread, and
 * so allocate.
 */
MT_API void mt_init_flags(struct maple_tree *mt, unsigned int flags);

static inline void mt_init(struct maple_tree *mt)
{
	mt_init_flags(mt, 0);
}

static inline bool mt_external_lock(const struct maple_tree *mt)
{
	unsigned int flags = __atomic_load_n(&mt->ma_flags, __ATOMIC_RELAXED);

	return (flags & MT_FLAGS_LOCK_MASK) == MT_FLAGS_LOCK_EXTERN;
}

/*
 * Says which lock protects a tree made with MT_FLAGS_LOCK_EXTERN. @lock is any pointer; the library
 * never takes or releases it. With @is_held, which tells whether the calling thread holds @lock, a
 * library with the checker (lockcheck.h) checks every write; @is_held may be called by any thread
 * at any time and must not wait. No effect on a tree that has its own lock. CONTEXT: after
 * mt_init_flags(), before the tree is shared.
 */
static inline void mt_set_external_lock_check(struct maple_tree *mt, void *lock,
					      bool (*is_held)(void *lock))
{
	if (mt_external_lock(mt)) {
		mt->ma_external_lock = lock;
		mt->ma_lock_is_held = is_held;
	}
}

#define mt_set_external_lock(mt, lock) mt_set_external_lock_check((mt), (void *)(lock), NULL)
/* Linux marks trees on the stack for its lock checker; here there is nothing to do. */
#define mt_on_stack(mt) ((void)&(mt))

/*
 * Sets the arena of an empty tree; NULL: the default one. 0, or -EBUSY when the tree holds nodes or
 * a transaction is open. CONTEXT: before the tree is shared, or with the lock held.
 */
MT_API int mt_set_mem(struct maple_tree *mt, struct mt_mem *mem);

/* Does the calling thread hold the tree's lock? Also true where that cannot be known (external). */
MT_API bool mt_lock_is_held(const struct maple_tree *mt);
#define mt_write_lock_is_held(mt) mt_lock_is_held(mt)

#define mtree_lock(mt) mt_lock_acquire(&(mt)->ma_lock)
#define mtree_unlock(mt) mt_lock_release(&(mt)->ma_lock)
#define mtree_lock_nested(mt, subclass) mt_lock_acquire_nested(&(mt)->ma_lock, (subclass))
#define mas_lock(mas) mtree_lock((mas)->tree)
#define mas_unlock(mas) mtree_unlock((mas)->tree)
#define mas_lock_nested(mas, subclass) mtree_lock_nested((mas)->tree, subclass)
#define mas_lock_irqsave(mas, flags) ((void)((flags) = 0), mtree_lock((mas)->tree))
#define mas_unlock_irqrestore(mas, flags) ((void)(flags), mtree_unlock((mas)->tree))

static inline bool mt_in_rcu(const struct maple_tree *mt)
{
	return __atomic_load_n(&mt->ma_flags, __ATOMIC_RELAXED) & MT_FLAGS_USE_RCU;
}

/*
 * Levels of nodes: 0 for an empty tree, and for one that has never held anything but an entry at
 * [0..0] whose low bits are not 10. A tree in which only such an entry remains may keep a node.
 */
static inline unsigned int mt_height(const struct maple_tree *mt)
{
	return (__atomic_load_n(&mt->ma_flags, __ATOMIC_RELAXED) & MT_FLAGS_HEIGHT_MASK) >>
	       MT_FLAGS_HEIGHT_OFFSET;
}

static inline bool mtree_empty(const struct maple_tree *mt)
{
	return __atomic_load_n(&mt->ma_root, __ATOMIC_RELAXED) == NULL;
}

/*
 * Switch RCU mode on, before the first lock-free reader, and off, once none can be left. The
 * contents stay. CONTEXT: takes the internal lock; an external one must be held. The first tree of
 * a flavour may start a thread, and so allocate.
 */
MT_API void mt_set_in_rcu(struct maple_tree *mt);
MT_API void mt_clear_in_rcu(struct maple_tree *mt);

/*
 * ---- Normal API: reading ----------------------------------------------------------------------
 */
/*
 * CONTEXT: in RCU mode no lock is needed (each call enters a read-side section); otherwise hold the
 * lock, or exclude writers. Never waits, retries or writes, except that a thread's first section
 * registers it (rcu.h). The object an entry points to is the caller's affair: to keep using it, be
 * in a read-side section yourself, hold the lock, or own a reference.
 */

/* The entry of @index; NULL for a gap and for a zero entry. */
MT_API void *mtree_load(struct maple_tree *mt, unsigned long index);

/*
 * Loads @n keys at once: sets @entry[i] to what mtree_load() of @index[i] returns. Each key is
 * loaded on its own; a writer may come between two of them. Keys may be in any order and repeat.
 * Several times as fast as single loads when the tree is larger than the caches. In RCU mode one
 * section covers 64 keys at a time. (Samara's own.)
 */
MT_API void mtree_load_batch(struct maple_tree *mt, const unsigned long index[], void *entry[],
			     size_t n);

/*
 * The first entry whose range contains *@index, or lies above it and starts at or below @max; zero
 * entries are skipped. Sets *@index to one past its range (0 past ULONG_MAX). NULL when there is
 * none or *@index is above @max; then *@index stays.
 */
MT_API void *mt_find(struct maple_tree *mt, unsigned long *index, unsigned long max);
/* The same, but NULL when *@index is 0, so that a loop ends at the end of the key space. */
MT_API void *mt_find_after(struct maple_tree *mt, unsigned long *index, unsigned long max);
/*
 * The entry of the next range above the one containing @index, if it starts at or below @max, or
 * NULL.
 */
MT_API void *mt_next(struct maple_tree *mt, unsigned long index, unsigned long max);
/*
 * The entry of the next range below the one containing @index, if it ends at or above @min, or
 * NULL.
 */
MT_API void *mt_prev(struct maple_tree *mt, unsigned long index, unsigned long min);

/*
 * Visits the entries from @index up to @max. The loop holds no lock in its body, which may call
 * anything; @index is already past the current range.
 */
#define mt_for_each(mt, entry, index, max)                      \
	for ((entry) = mt_find((mt), &(index), (max)); (entry); \
	     (entry) = mt_find_after((mt), &(index), (max)))

/*
 * ---- Normal API: writing ----------------------------------------------------------------------
 */
/*
 * CONTEXT: TAKES the internal lock, which the caller must not hold; forbidden with an external
 * lock. With a @gfp that may block, the lock is dropped to get memory and the operation then starts
 * over, so another writer may come between; the operation still takes effect at one moment. Such a
 * @gfp must not be used in signalling sections (fence.h). Returns 0, -EINVAL (@first is above
 * @last, or xa_is_advanced() of the entry), -ENOMEM, or an error named below. Storing an entry over
 * exactly one range needs no memory, except in a tree that holds nothing beside key 0 if the range
 * is more than that key or the entry's low bits are 10. See docs/concurrency.md, guarantee K.
 */

MT_API int mtree_store(struct maple_tree *mt, unsigned long index, void *entry, gfp_t gfp);
/* Replaces [first..last] by one range with @entry; NULL erases. */
MT_API int mtree_store_range(struct maple_tree *mt, unsigned long first, unsigned long last,
			     void *entry, gfp_t gfp);
MT_API int mtree_insert(struct maple_tree *mt, unsigned long index, void *entry, gfp_t gfp);
/*
 * Stores only if every key is free, else -EEXIST. With NULL it checks the same and stores nothing.
 */
MT_API int mtree_insert_range(struct maple_tree *mt, unsigned long first, unsigned long last,
			      void *entry, gfp_t gfp);
/*
 * Erases the whole range around @index and returns its entry. NULL when there was none, or no
 * memory to erase it (then it is still there). Most erases need no memory. May block.
 */
MT_API void *mtree_erase(struct maple_tree *mt, unsigned long index);

/*
 * Stores @entry over the lowest (rrange: highest) @size free keys inside [min..max] and sets
 * *@startp to the first. Trees with MT_FLAGS_ALLOC_RANGE only. -EBUSY: no gap fits. -EINVAL: @size
 * is 0 or more than the limits hold, the tree lacks that flag, or the entry is one of the library's
 * own, which here includes XA_ZERO_ENTRY. With NULL nothing is stored: *@startp says where an entry
 * would go.
 */
MT_API int mtree_alloc_range(struct maple_tree *mt, unsigned long *startp, void *entry,
			     unsigned long size, unsigned long min, unsigned long max, gfp_t gfp);
MT_API int mtree_alloc_rrange(struct maple_tree *mt, unsigned long *startp, void *entry,
			      unsigned long size, unsigned long min, unsigned long max, gfp_t gfp);
/*
 * Stores @entry at the lowest free key of [max(lo, *next)..hi], else of [lo..hi], and sets *@next
 * to one past it (0 after ULONG_MAX). Returns 0, 1 when the search wrapped, -EBUSY, -EINVAL or
 * -ENOMEM. A call that takes ULONG_MAX leaves a mark in the tree (MT_FLAGS_ALLOC_WRAPPED): the next
 * call that would return 0, whatever its range and *@next, returns 1 instead and clears the mark.
 * Neither a call that wraps nor mtree_destroy() clears it. With NULL nothing is stored; *@startp
 * and *@next are set as for another entry.
 */
MT_API int mtree_alloc_cyclic(struct maple_tree *mt, unsigned long *startp, void *entry,
			      unsigned long range_lo, unsigned long range_hi, unsigned long *next,
			      gfp_t gfp);

/*
 * Reserves [first..last]: every key must be free (-EEXIST). The range then reads as NULL through
 * the normal API (but mt_next(), mt_prev() and mtree_erase() return XA_ZERO_ENTRY), yet is no gap.
 * A later mtree_store_range() of exactly this range needs no memory and cannot fail; a store in a
 * transaction (txn.h) can. mtree_release() frees whatever part of [first..last] is still reserved,
 * all or nothing, and does not touch entries stored meanwhile; it gets memory as with GFP_KERNEL.
 * (Samara's own; Linux has it for the XArray only.)
 */
MT_API int mtree_reserve(struct maple_tree *mt, unsigned long first, unsigned long last, gfp_t gfp);
MT_API int mtree_release(struct maple_tree *mt, unsigned long first, unsigned long last);

/*
 * Makes the empty tree @dst a copy of @mt, node by node; entries are copied as pointers. -EINVAL
 * when @dst is not empty or the flags differ. @dst keeps its arena, from which the nodes come, and
 * its flavour. mtree_dup() TAKES both locks, @dst's first, and keeps them while it allocates; for
 * __mt_dup() the caller holds both.
 */
MT_API int mtree_dup(struct maple_tree *mt, struct maple_tree *dst, gfp_t gfp);
MT_API int __mt_dup(struct maple_tree *mt, struct maple_tree *dst, gfp_t gfp);

/*
 * Frees the nodes; the tree is then empty and ready for use. Entries are not touched. Outside
 * signalling sections (fence.h) mtree_destroy() then gives chunks without a used node back to the
 * system. __mt_destroy() does not, and the caller holds the lock.
 */
MT_API void mtree_destroy(struct maple_tree *mt);
MT_API void __mt_destroy(struct maple_tree *mt);

/*
 * ---- Cursors -----------------------------------------------------------------------------------
 */

enum maple_status {
	ma_active,    /* on the range [index..last], an entry or a gap */
	ma_start,     /* nothing known yet; begins at index */
	ma_root,      /* on [0..0] of a tree without nodes */
	ma_none,      /* the last search ended where there is nothing to stand on */
	ma_pause,     /* position given up; continues past [index..last] */
	ma_overflow,  /* stopped at the upper limit */
	ma_underflow, /* stopped at the lower limit */
	ma_error,     /* xa_err(mas->node) says which */
};

/* Nodes that a cursor can keep on the way from the top to a leaf; no tree can be higher. */
#define MT_PATH_MAX 16

/*
 * A cursor: a position in a tree, and memory for the next store (mas_preallocate()). It belongs to
 * one thread and takes no lock. A position is valid while the lock or read-side section it was made
 * under is held: call mas_pause() before you release that. A cursor notices when other writers have
 * left it behind and looks its place up again: from last going up, from index going down. Users may
 * read and write tree, index, last and status; the rest is private. After writing tree, reset the
 * cursor (mas_reset()), for steps and searches go on from its place; only mas_walk() and
 * mas_erase() do without.
 */
struct ma_state {
	struct maple_tree *tree;
	unsigned long index; /* in: the range to work on; out: the range found */
	unsigned long last;
	void *node;        /* the leaf; in status error the encoded errno */
	unsigned long min; /* the leaf's first and last key */
	unsigned long max;
	void *alloc; /* nodes owned */
	unsigned long alloc_nr;
	unsigned long alloc_want; /* what the last store lacked */
	enum maple_status status;
	unsigned char depth; /* of the leaf; the top is at 0 */
	unsigned char mas_flags;
	unsigned char end;   /* the leaf's last offset */
	unsigned char reach; /* the same if a step may take the short way, else 0 */
	/* Of the range in the leaf; a word, because that is the fastest to read back. */
	unsigned long offset;
	unsigned long seq;   /* ma_seq when the position was made */
	unsigned long guard; /* what protected it then, for the checker (lockcheck.h) */
	void *path[MT_PATH_MAX];
	unsigned char slot[MT_PATH_MAX];
	unsigned char store_type; /* for code that names it; means nothing here */
};

/*
 * Private: a new cursor. Its path is left uninitialised: clearing it would take longer than many a
 * look-up.
 */
static inline struct ma_state mas_state_(struct maple_tree *mt, unsigned long first,
					 unsigned long last)
{
	struct ma_state mas;

	mas.tree = mt;
	mas.index = first;
	mas.last = last;
	mas.node = NULL;
	mas.min = 0;
	mas.max = ~0UL;
	mas.alloc = NULL;
	mas.alloc_nr = mas.alloc_want = 0;
	mas.status = ma_start;
	mas.depth = mas.mas_flags = mas.end = mas.reach = 0;
	mas.offset = 0;
	mas.seq = 0;
	mas.guard = 0;
	mas.store_type = 0;
	return mas;
}

/* Declares a cursor inside a function. */
#define MA_STATE(name, mt, first, last) struct ma_state name = mas_state_((mt), (first), (last))

/* The entry that encodes the negative errno @err. */
#define MA_ERROR(err) ((void *)(((unsigned long)(long)(err) << 2) | 2UL))

MT_API void mas_init(struct ma_state *mas, struct maple_tree *tree, unsigned long addr);

static inline void mas_reset(struct ma_state *mas)
{
	mas->status = ma_start;
	mas->node = NULL;
	mas->reach = 0;
}

/* Sets the range but keeps the position; @start must lie inside the current range. */
static inline void __mas_set_range(struct ma_state *mas, unsigned long start, unsigned long last)
{
	mas->index = start;
	mas->last = last;
}

static inline void mas_set_range(struct ma_state *mas, unsigned long start, unsigned long last)
{
	mas_reset(mas);
	__mas_set_range(mas, start, last);
}

static inline void mas_set(struct ma_state *mas, unsigned long index)
{
	mas_set_range(mas, index, index);
}

/*
 * Gives the position up, so that the lock may be released. Then mas_find() continues above the
 * range and mas_find_rev() below it; mas_next() and mas_prev() step from the range around index.
 */
static inline void mas_pause(struct ma_state *mas)
{
	mas->status = ma_pause;
	mas->node = NULL;
	mas->reach = 0;
}

static inline bool mas_is_active(const struct ma_state *mas)
{
	return mas->status == ma_active;
}

static inline bool mas_is_err(const struct ma_state *mas)
{
	return mas->status == ma_error;
}

/*
 * ---- Cursors: reading ---------------------------------------------------------------------------
 */
/*
 * CONTEXT: the lock, or in RCU mode a read-side section (mt_rcu_read_lock()). Zero entries are
 * returned like any other. A range returned starts at or below @max (ends at or above @min) and may
 * go beyond it. [index..last] is the range found. NULL at the limit, at the end, and in status
 * error. A function that stops at gaps has not reached its end while last is below @max (index
 * above @min).
 */

/* The entry at index, whatever the status was. */
MT_API void *mas_walk(struct ma_state *mas);
/* First the entry at index, then the following entries. */
MT_API void *mas_find(struct ma_state *mas, unsigned long max);
/* The same, stopping at gaps too (NULL, status active), though not at one around index. */
MT_API void *mas_find_range(struct ma_state *mas, unsigned long max);
MT_API void *mas_find_rev(struct ma_state *mas, unsigned long min);
MT_API void *mas_find_range_rev(struct ma_state *mas, unsigned long min);
/* The following / preceding entry (_range: range). */
MT_API void *mas_next(struct ma_state *mas, unsigned long max);
MT_API void *mas_next_range(struct ma_state *mas, unsigned long max);
MT_API void *mas_prev(struct ma_state *mas, unsigned long min);
MT_API void *mas_prev_range(struct ma_state *mas, unsigned long min);

/*
 * Private: a leaf as mas_for_each() knows it. A library that comes to have other leaves reports
 * nothing left in them and makes each step itself, as it does when the lock checker is built in.
 */
struct mt_short_ {
	short bound[56]; /* ranges 1, 2, ... start at base + (bound << shift) */
	void *slot[45];
};

struct mt_narrow_ {
	int bound[40]; /* as in mt_short_ */
	void *slot[41];
};

struct mt_wide_ {
	/* Ranges start there, with the sign bit inverted. */
	unsigned long bound[30];
	void *slot[31];
};

struct mt_leaf_ {
	unsigned long base;
	unsigned char shift, count, dead, other[5];
	union {
		struct mt_short_ brief;
		struct mt_narrow_ narrow;
		struct mt_wide_ wide;
	};
};

/* Leaves begin at multiples of their size. */
#define MT_LEAF_SIZE_ 512UL

/* By how much mas->node is above the address of such a leaf. They differ in their lowest byte. */
#define MT_LEAF_SHORT_ 134
#define MT_LEAF_NARROW_ 182
#define MT_LEAF_WIDE_ 262

/* Private: an entry, and a bit for each later slot of its leaf that holds another. */
struct mt_found_ {
	void *entry;
	unsigned long left;
};

/*
 * Private: what a loop knows about the cursor's leaf: what is left there after the range that ends
 * with @last, as of the tree's number @seq, and how bounds are written there. The compiler keeps it
 * in registers.
 */
struct mt_each_ {
	void *leaf;
	unsigned long left;
	unsigned long last;
	unsigned long seq;
	struct maple_tree *tree;
	unsigned long base;
	unsigned long unit; /* how many keys 1 of the bounds stands for */
	unsigned long end;  /* the leaf's last offset, */
	unsigned long max;  /* and key */
};

/* Private: for a loop that is about to begin. No tree reaches that number. */
#define MT_EACH_                                   \
	{                                          \
		NULL, 0, 0, ~0UL, NULL, 0, 0, 0, 0 \
	}

/* Private: for branches in the header's inlines: the path of a loop that stays falls through. */
#define MT_LIKELY_(is) __builtin_expect((is) != 0, 1)
#define MT_UNLIKELY_(is) __builtin_expect((is) != 0, 0)
/* Bounds below a leaf's base are meant to wrap: -fsanitize=integer must not report that. */
#ifdef __clang__
#define MT_INLINE_ \
	static inline __attribute__((always_inline, no_sanitize("unsigned-integer-overflow")))
#else
#define MT_INLINE_ static inline __attribute__((always_inline))
#endif

/* Private: notes that @left is left in the leaf where the cursor stands. */
MT_INLINE_ void mt_each_at_(struct mt_each_ *each, const struct ma_state *mas, unsigned long left)
{
	const struct mt_leaf_ *leaf = (const struct mt_leaf_ *)((unsigned long)mas->node &
								~(MT_LEAF_SIZE_ - 1));

	each->leaf = mas->node;
	each->left = left;
	each->last = mas->last;
	each->seq = mas->seq;
	each->tree = mas->tree;
	each->end = mas->end;
	each->max = mas->max;
	if (left) {
		each->base = leaf->base;
		each->unit = 1UL << leaf->shift;
	}
}

/*
 * Private: where range @i of the loop's leaf begins; @i is not the first. Multiplies: on x86,
 * shifts by a variable count run on the same units as branches, and a step consists mostly of
 * branches.
 */
MT_INLINE_ unsigned long mt_each_start_(const struct mt_each_ *each, const struct mt_leaf_ *leaf,
					int form, unsigned long i)
{
	if (form == MT_LEAF_SHORT_)
		return each->base + (unsigned long)leaf->brief.bound[i - 1] * each->unit;
	if (form == MT_LEAF_WIDE_)
		return leaf->wide.bound[i - 1] ^ ~(~0UL >> 1);
	return each->base + (unsigned long)leaf->narrow.bound[i - 1] * each->unit;
}

/*
 * Private: moves to the next entry left in the loop's leaf, which has that form. NULL, with nothing
 * changed: the entry or the leaf is gone, or the entry lies beyond @max. An iteration spends its
 * time here. Not visiting the slots one by one saves predicting whether a gap comes next.
 */
MT_INLINE_ void *mas_each_leaf_(struct ma_state *mas, unsigned long max, struct mt_each_ *each,
				int form)
{
	const struct mt_leaf_ *leaf =
		(const struct mt_leaf_ *)(const void *)((const char *)each->leaf - form);
	void *const *slot = form == MT_LEAF_SHORT_  ? leaf->brief.slot
			    : form == MT_LEAF_WIDE_ ? leaf->wide.slot
						    : leaf->narrow.slot;
	unsigned long i = (unsigned long)__builtin_ctzl(each->left), first;
	void *entry;

	/*
	 * ORDER publish, as everywhere that a slot is read: a reader that gets an entry sees what
	 * it points at, and that the leaf is no longer one for inlines. PARTNER src/tree/write.h,
	 * smr_publish().
	 */
	entry = __atomic_load_n(&slot[i], __ATOMIC_ACQUIRE);
	if (MT_UNLIKELY_(!entry) || MT_UNLIKELY_(__atomic_load_n(&leaf->dead, __ATOMIC_RELAXED)))
		return NULL;
	first = mt_each_start_(each, leaf, form, i);
	if (MT_UNLIKELY_(first > max))
		return NULL;
	mas->offset = i;
	mas->index = first;
	mas->last = MT_LIKELY_(i < each->end) ? mt_each_start_(each, leaf, form, i + 1) - 1
					      : each->max;
	each->last = mas->last;
	each->left &= each->left - 1;
	return entry;
}

/*
 * Private: the same for whatever leaf the loop is in. Also NULL if the cursor is not where the loop
 * left it, or the tree is another or has changed. A cursor that says it is there is not checked
 * further: it may be an earlier copy.
 */
MT_INLINE_ void *mas_each_near_(struct ma_state *mas, unsigned long max, struct mt_each_ *each)
{
	unsigned char form = (unsigned char)(unsigned long)each->leaf;

	if (MT_UNLIKELY_(!each->left) || MT_UNLIKELY_(mas->status != ma_active) ||
	    MT_UNLIKELY_(mas->last != each->last) || MT_UNLIKELY_(mas->tree != each->tree) ||
	    MT_UNLIKELY_(each->seq != __atomic_load_n(&each->tree->ma_seq, __ATOMIC_RELAXED)))
		return NULL;
	if (MT_LIKELY_(form == (unsigned char)MT_LEAF_SHORT_))
		return mas_each_leaf_(mas, max, each, MT_LEAF_SHORT_);
	if (form == (unsigned char)MT_LEAF_WIDE_)
		return mas_each_leaf_(mas, max, each, MT_LEAF_WIDE_);
	return mas_each_leaf_(mas, max, each, MT_LEAF_NARROW_);
}

/* Private: mas_find() after mas_each_near_() found nothing; takes what the loop knows in parts. */
MT_API struct mt_found_ mas_each_beyond_(struct ma_state *mas, unsigned long max,
					 unsigned long left, unsigned long last, unsigned long seq,
					 const struct maple_tree *tree);

/* Private: mas_find(), without a call if possible. */
MT_INLINE_ void *mas_each_(struct ma_state *mas, unsigned long max, struct mt_each_ *each)
{
	void *entry = mas_each_near_(mas, max, each);
	struct mt_found_ found;

	if (MT_LIKELY_(entry))
		return entry;
	found = mas_each_beyond_(mas, max, each->left, each->last, each->seq, each->tree);
	mt_each_at_(each, mas, found.left);
	return found.entry;
}

/* Private: a name for each loop, so that nested loops hide nothing. */
#define MT_NAME_(name, number) MT_NAME_OF_(name, number)
#define MT_NAME_OF_(name, number) name##number##_
/* From Clang 22 on __COUNTER__ is C2y's to -Wpedantic. */
#if defined(__clang__) && __clang_major__ >= 22
#define MT_UNIQUE_ __LINE__
#else
#define MT_UNIQUE_ __COUNTER__
#endif
#define MT_FOR_EACH_(mas, entry, max, each) \
	for (struct mt_each_ each = MT_EACH_; ((entry) = mas_each_((mas), (max), &each)) != NULL;)

#define mas_for_each(mas, entry, max) MT_FOR_EACH_(mas, entry, max, MT_NAME_(mt_each_, MT_UNIQUE_))

/*
 * mas_find_rev() until it finds nothing: from index down to the last entry that ends at or above
 * @min.
 */
#define mas_for_each_rev(mas, entry, min) while (((entry) = mas_find_rev((mas), (min))) != NULL)

/*
 * The lowest (rev: highest) gap of @size keys in [min..max]. 0: [index..last] is the place found,
 * ready for a store. -EBUSY, -EINVAL: the cursor is where it was. Store with mas_preallocate() and
 * mas_store_prealloc(), or with a gfp that may not block: a mas_store_gfp() that blocks may drop
 * the internal lock, and then overwrites whatever has taken the place meanwhile. CONTEXT: the lock.
 */
MT_API int mas_empty_area(struct ma_state *mas, unsigned long min, unsigned long max,
			  unsigned long size);
MT_API int mas_empty_area_rev(struct ma_state *mas, unsigned long min, unsigned long max,
			      unsigned long size);

/*
 * ---- Cursors: writing ---------------------------------------------------------------------------
 */
/*
 * CONTEXT: the write lock. The range written is [index..last]. After a store the cursor is on the
 * range as it now is (after NULL: the whole gap); other cursors find their place again by
 * themselves. But if the tree then has no nodes, the status is ma_start, ma_root or ma_none, from
 * which mas_find() may begin with the range that was stored.
 */

/*
 * Stores with the memory it can get without blocking; returns the former entry of index. Errors:
 * mas_is_err(), -ENOMEM or -EINVAL. In status error it stores nothing.
 */
MT_API void *mas_store(struct ma_state *mas, void *entry);
/*
 * 0, -ENOMEM, -EINVAL; in status error it returns that error and stores nothing. Drops and retakes
 * an internal lock when @gfp may block and memory is short. Uses the nodes that the cursor owns
 * first, and gives the rest back.
 */
MT_API int mas_store_gfp(struct ma_state *mas, void *entry, gfp_t gfp);
/*
 * Erases the range around index and returns its entry; NULL for a gap or without memory
 * (mas_is_err()). If it needs memory, gets it as mas_store_gfp() with GFP_KERNEL.
 */
MT_API void *mas_erase(struct ma_state *mas);

/*
 * Fills the cursor up to exactly the nodes that storing @entry over [index..last] will use, for
 * holders of credits too; if it owns more already, they stay. Good only while the lock is held and
 * the tree stays as it is: before mas_store_prealloc(), which never allocates and cannot fail,
 * nothing else may write to the tree, nor may credits on it (credits.h) be reserved, returned or
 * released. mas_destroy() gives the nodes back instead. With NULL, [index..last] becomes the whole
 * gap that will result: set it again before storing anything else. 0, -ENOMEM, -EINVAL; -EBUSY
 * while a transaction (txn.h) is open. docs/locking.md explains what this does not promise.
 */
MT_API int mas_preallocate(struct ma_state *mas, void *entry, gfp_t gfp);
MT_API void mas_store_prealloc(struct ma_state *mas, void *entry);
/*
 * Gets the cursor enough nodes for any one store in a tree of up to @height levels
 * (MAPLE_HEIGHT_MAX: any tree): 3 per level. Unlike those of mas_preallocate() they stay valid
 * however the tree changes, as long as it does not grow higher; the lock may be released in
 * between. Store with mas_store_prealloc(); or with mas_store_gfp() and GFP_ATOMIC, which uses the
 * cursor's nodes first, then free ones, then the emergency reserve, so that fewer may suffice. 0,
 * -ENOMEM, -EINVAL. CONTEXT: none needed. (Samara's own.)
 */
MT_API int mas_preallocate_height(struct ma_state *mas, unsigned int height, gfp_t gfp);
/* Nodes that the cursor owns now. (Samara's own.) */
static inline unsigned long mas_allocated(const struct ma_state *mas)
{
	return mas->alloc_nr;
}

/*
 * After mas_store(): should it be tried again? Gets the memory it lacked, and may drop an internal
 * lock if @gfp may block. False: done, or failed (mas_is_err()).
 */
MT_API bool mas_nomem(struct ma_state *mas, gfp_t gfp);
/* Frees the memory the cursor owns and ends a bulk load. Position and range stay. */
MT_API void mas_destroy(struct ma_state *mas);

/*
 * Gets nodes for about @nr_entries ascending mas_store()s on this cursor, plus what the holders of
 * credits (credits.h) on the tree come to need because of them. For trees that are not in RCU mode.
 * 0, or -ENOMEM: then the cursor owns nothing. May block, and keeps the lock meanwhile.
 * mas_destroy(), mas_store_gfp() and mas_erase() end the load.
 */
MT_API int mas_expected_entries(struct ma_state *mas, unsigned long nr_entries);

/*
 * mtree_alloc_cyclic() for a cursor; checks neither the tree's flags nor the entry. After -ENOMEM
 * the cursor is in status error.
 */
MT_API int mas_alloc_cyclic(struct ma_state *mas, unsigned long *startp, void *entry,
			    unsigned long range_lo, unsigned long range_hi, unsigned long *next,
			    gfp_t gfp);

/*
 * ---- Looking inside ----------------------------------------------------------------------------
 */

enum mt_dump_format {
	mt_dump_dec,
	mt_dump_hex,
};

/*
 * Prints the tree, node by node. A range that takes several slots of its leaf is shown as that many
 * pieces. CONTEXT: the lock.
 */
MT_API void mt_dump(const struct maple_tree *mt, enum mt_dump_format format);
MT_API void mt_dump_to(const struct maple_tree *mt, enum mt_dump_format format, FILE *out);
/* The same as a Graphviz graph. */
MT_API void mt_dump_dot(const struct maple_tree *mt, FILE *out);
MT_API void mas_dump(const struct ma_state *mas);

/*
 * Checks every invariant of the tree: order, coverage, merged gaps, gap figures, fill, encoding,
 * height. 0, or -EUCLEAN: then @why (if not NULL), of @size bytes, describes the first fault.
 * CONTEXT: the lock.
 */
MT_API int mt_check(const struct maple_tree *mt, char *why, size_t size);
/* The same under Linux's name; prints the fault to stderr. */
MT_API int mt_validate(struct maple_tree *mt);

struct mt_stats {
	unsigned int height;
	unsigned long nodes;                    /* all levels */
	unsigned long level_nodes[MT_PATH_MAX]; /* [0]: leaves */
	unsigned long level_slots[MT_PATH_MAX]; /* children, or pieces of ranges, in them */
	unsigned long level_room[MT_PATH_MAX];  /* how many they could hold as they are encoded */
	unsigned long wide_nodes;               /* nodes whose keys need 64 bits */
	unsigned long entries;                  /* ranges with an entry */
	unsigned long gaps;                     /* ranges without */
	size_t bytes;                           /* of all nodes */
	unsigned long nodes_built;              /* since mt_init() */
	unsigned long nodes_retired;
};

/* Counts everything by walking the tree. CONTEXT: the lock. */
MT_API void mt_stats(const struct maple_tree *mt, struct mt_stats *stats);

/* mt_mem_trim() of the default arena, under Linux's name. */
MT_API void mt_cache_shrink(void);

/* Assertions in the manner of Linux's test code: print the tree or cursor, then abort. */
MT_API void mt_bug(const struct maple_tree *mt, const struct ma_state *mas, bool fatal,
		   const char *what, const char *file, int line);

/* Private: mt_bug(), for use in a condition. */
static inline bool mt_failed_(const struct maple_tree *mt, const struct ma_state *mas, bool fatal,
			      const char *what, const char *file, int line)
{
	mt_bug(mt, mas, fatal, what, file, line);
	return true;
}

#define MT_WARN_(mt, mas, cond, fatal) \
	__extension__({ (cond) && mt_failed_((mt), (mas), (fatal), #cond, __FILE__, __LINE__); })
#define MT_BUG_ON(mt, cond) ((void)MT_WARN_(mt, NULL, cond, true))
#define MAS_BUG_ON(mas, cond) ((void)MT_WARN_((mas)->tree, mas, cond, true))
#define MAS_WR_BUG_ON(wrmas, cond) ((void)MT_WARN_((wrmas)->mas->tree, (wrmas)->mas, cond, true))
#define MT_WARN_ON(mt, cond) MT_WARN_(mt, NULL, cond, false)
#define MAS_WARN_ON(mas, cond) MT_WARN_((mas)->tree, mas, cond, false)
#define MAS_WR_WARN_ON(wrmas, cond) MT_WARN_((wrmas)->mas->tree, (wrmas)->mas, cond, false)

MT_END_DECLS

#endif
