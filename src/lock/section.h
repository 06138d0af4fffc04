/* SPDX-License-Identifier: MIT */
/*
 * Sections in which a thread must not allocate, wait for memory or wait for a fence, because others
 * wait for what it is about to do. fence_begin_signalling() enters one, and a program's own
 * sections are the same (lockcheck.h). They nest, and belong to the thread.
 */
#ifndef SMR_LOCK_SECTION_H
#define SMR_LOCK_SECTION_H

#include "base/base.h"

/* How many nested sections the calling thread is in. */
extern smr_thread_local unsigned int smri_section_depth;

/*
 * Enter / leave a section; @what names it in reports. CONTEXT: any. A thread's first one may
 * allocate, before it begins; otherwise never blocks.
 */
void smr_section_enter(const char *what);
void smr_section_leave(void);

smr_inline bool smr_in_section(void)
{
	return smri_section_depth > 0;
}

#endif
