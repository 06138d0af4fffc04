/* SPDX-License-Identifier: MIT */
/* Timelines, for the layers above: taking back what has been asked of one. */
#ifndef SMR_FENCE_TIMELINE_H
#define SMR_FENCE_TIMELINE_H

#include <samara/fence.h>

/*
 * Drops the caller's reference to @f, which timeline_fence() returned, and the timeline's own, if
 * the timeline still has it because the value has not been reached. Nobody else may know of @f, and
 * it must have no callbacks. Searches all that is pending. CONTEXT: may free.
 */
void smr_timeline_forget(struct timeline *tl, struct fence *f);

#endif
