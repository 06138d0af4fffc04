/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_RIG_INTERNAL_H
#define TESTS_SUPPORT_RIG_INTERNAL_H

#include "rig.h"

/* Records what went wrong; always returns false. */
bool rig_fault(struct rig *rig, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The write lock, internal or external. */
void rig_lock(struct rig *rig);
void rig_unlock(struct rig *rig);

/* Call after a change of the model: checks that the tree's form, height and emptiness match it. */
bool rig_changed(struct rig *rig);
/*
 * Call after a write by another way: the long-lived cursor gives up its position, as its user must.
 */
void rig_leave_cursor(struct rig *rig);

/*
 * Whether @got is a lack of memory that excuses a result other than the model's @want: possible
 * only without GFP_KERNEL.
 */
bool rig_refused(const struct op *op, int got, int want);

bool rig_cursor_step(struct rig *rig, const struct op *op);

#endif
