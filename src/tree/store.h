/* SPDX-License-Identifier: MIT */
/* The writing operations below their entry points: find the place, obtain memory, commit once. */
#ifndef SMR_TREE_STORE_H
#define SMR_TREE_STORE_H

#include "tree/edges.h"
#include "tree/gap.h"

#include <samara/maple_tree.h>

/*
 * Where an operation writes. find() looks for the place, or returns what the operation is to
 * return. It is called again whenever the lock has been dropped, as everything may have changed.
 */
struct smr_where {
	int (*find)(const struct maple_tree *mt, struct smr_where *where);
	unsigned long min, max, size;
	bool high;
	/* Where a cyclic search begins; others may move it while the lock is dropped. */
	const unsigned long *next;
	struct smr_gap gap; /* set by find() */
};

/*
 * Stores @entry where @where says (NULL: over [index..last]); with @free_only, returns -EEXIST
 * unless all of it is free. Obtains nodes as docs/memory.md describes: free ones first; if @gfp may
 * block, the internal lock is dropped and retaken. On error nothing but the position has changed.
 * CONTEXT: HOLDS tree lock; may drop it.
 */
int smr_write_entry(struct ma_state *mas, void *entry, gfp_t gfp, bool free_only,
		    struct smr_where *where);

/*
 * Stores @entry over [mas->index..last], and @edges. Obtains the nodes that the cursor lacks in
 * place: the lock is kept, whatever @gfp is. Returns 0 or -ENOMEM. Like mas_store_gfp() it leaves
 * the cursor no nodes. CONTEXT: HOLDS tree lock.
 */
int smr_store_in_place(struct ma_state *mas, void *entry, struct smr_edges edges, gfp_t gfp);

/* Puts the cursor into its error state. */
void smr_set_error(struct ma_state *mas, int err);

/*
 * Prepares a store in @mt whose memory is obtained now, with @gfp, and which may be made later,
 * where none can be had. The nodes that it replaces will need the thread that waits for grace
 * periods: starts that, unless it runs, there is no memory for it, or @gfp may not block.
 */
void smr_store_prepare(const struct maple_tree *mt, gfp_t gfp);

/* Gives the cursor @nr nodes in all, blocking in place if @gfp may. Returns 0 or -ENOMEM. */
int smr_cursor_fill(struct ma_state *mas, unsigned long nr, gfp_t gfp);

int smri_cursor_obtain(struct ma_state *mas, unsigned long nr, gfp_t gfp);

/*
 * The same in the order in which stores try: free nodes; then, if @gfp may block, what can be had
 * with the internal lock dropped. Returns 0, -ENOMEM, or -EAGAIN if it was dropped and the nodes
 * are there now: then the store must be planned again.
 */
smr_inline int smr_cursor_obtain(struct ma_state *mas, unsigned long nr, gfp_t gfp)
{
	return smr_likely(mas->alloc_nr >= nr) ? 0 : smri_cursor_obtain(mas, nr, gfp);
}

#endif
