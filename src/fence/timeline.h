/* SPDX-License-Identifier: MIT */
/* Timelines, for the layers above: what has been asked of one, taken back. */
#ifndef SMR_FENCE_TIMELINE_H
#define SMR_FENCE_TIMELINE_H

#include <samara/fence.h>

/*
 * Takes the caller's reference to @f, which timeline_fence() has given to him, and that of the
 * timeline, which has it until the value is reached. Nobody else has heard of @f, and it has no
 * callbacks. Looks for it among all that is pending. CONTEXT: may free.
 */
void smr_timeline_forget(struct timeline *tl, struct fence *f);

#endif
