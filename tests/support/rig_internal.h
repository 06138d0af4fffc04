/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_RIG_INTERNAL_H
#define TESTS_SUPPORT_RIG_INTERNAL_H

#include "rig.h"

/* Says what went wrong; always false. */
bool rig_fault(struct rig *rig, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The write lock, internal or external. */
void rig_lock(struct rig *rig);
void rig_unlock(struct rig *rig);

/* The model has changed: form, height and emptiness follow. */
bool rig_changed(struct rig *rig);
/* Somebody else wrote: the long-lived cursor gives its position up, as its user must. */
void rig_leave_cursor(struct rig *rig);

/* Was the answer @got as the model's @want, given that memory may be short without GFP_KERNEL? */
bool rig_refused(const struct op *op, int got, int want);

bool rig_cursor_step(struct rig *rig, const struct op *op);

#endif
