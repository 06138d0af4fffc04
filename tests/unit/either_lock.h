/* SPDX-License-Identifier: MIT */
/* For tests with both kinds of lock: the tree's own, or a flag in place of an external one. */
#ifndef TESTS_UNIT_EITHER_LOCK_H
#define TESTS_UNIT_EITHER_LOCK_H

#include <samara/maple_tree.h>
#include <stdbool.h>

/* The check for mt_set_external_lock_check(). */
static inline bool flag_is_set(void *held)
{
	return *(bool *)held;
}

/* Sets the flag in either case. */
static inline void either_lock(struct maple_tree *mt, bool *held)
{
	if (!mt_external_lock(mt))
		mtree_lock(mt);
	*held = true;
}

static inline void either_unlock(struct maple_tree *mt, bool *held)
{
	*held = false;
	if (!mt_external_lock(mt))
		mtree_unlock(mt);
}

#endif
