/* SPDX-License-Identifier: MIT */
/*
 * An interpreter for the shorthand in which the data files of this folder say what the tree does.
 *
 *   setup       flags (alloc, rcu), then ranges to store: "alloc 5..9:A 20:B"; "-" is an empty tree
 *   operations  "t.store_range(7,12,B); c.set(5); c.walk; t.ranges"
 *   results     what every operation that returns something returned: "0; A 5..9 active; {5..9:A}"
 *
 * t and u are trees, c is a cursor on t that starts at 0. t.x() is mtree_x() or mt_x(), c.x() is
 * mas_x(). Keys: decimal numbers, M (ULONG_MAX), M-n. Entries: NULL, ZERO, letters A-Z (pointers),
 * vN (value N), rN (raw word N). The last argument may be a gfp: KERNEL (the default), ATOMIC,
 * NOWAIT.
 *
 * Besides the API: c._set is __mas_set_range(), c.state shows the cursor, c.force(status)
 * overwrites its status, t.ranges lists the entries, u.new(setup) makes u anew, fill(n,s,w) stores
 * vi over w keys at i*s, mem(ok|none|nowait) makes node allocations succeed, fail, or fail unless
 * they may block.
 *
 * The tree's lock is held from a cursor call to the next call that takes it itself. With rcu in the
 * setup a read-side critical section is held throughout, and cursor calls that read rely on it
 * alone. After every operation both trees are checked, and also that a failed call left its
 * out-parameters alone.
 */
#ifndef TESTS_CONFORMANCE_INTERP_H
#define TESTS_CONFORMANCE_INTERP_H

#include <stdbool.h>
#include <stddef.h>

/* Ways to run the same operations that must not change a result. */
#define INTERP_RCU 1u   /* switch RCU mode on */
#define INTERP_ALLOC 2u /* make it a gap-tracking tree */

/*
 * Runs @operations and writes their results into @out. Returns false if the text cannot be
 * understood or a check failed; then @out says why. In any case everything is freed; a node that is
 * not freed counts as a failed check.
 */
bool interp_run(const char *setup, const char *operations, unsigned int variant, char *out,
		size_t size);

#endif
