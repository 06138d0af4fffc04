/* SPDX-License-Identifier: MIT */
/*
 * All locks of the library, outermost first: a thread that holds one may take those further down only.
 * Two locks of one rank are never held together, except by mtree_dup() (which takes the copy's lock, then
 * the original's) and around fork() (every arena's, in the order of their list).
 *
 * While any of them from SMR_RANK_ARENAS down is held nothing is called that could block: no page source,
 * no allocator, no grace period.
 */
#ifndef SMR_LOCK_RANK_H
#define SMR_LOCK_RANK_H

enum smr_lock_rank {
	SMR_RANK_TREE,     /* maple_tree.ma_lock, or the user's own lock: writers of one tree */
	SMR_RANK_ARENAS,   /* the list of all arenas (mem/arena.c) */
	SMR_RANK_ARENA,    /* mt_mem.lock: the chunks of one arena */
	SMR_RANK_TIMELINE, /* timeline.lock: what it owes. Released while fences are signalled */
	SMR_RANK_FENCE, /* fence.lock: its callbacks. Released while one runs, so nothing is taken inside */
};

#endif
