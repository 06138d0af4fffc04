/* SPDX-License-Identifier: MIT */
#include "lock/section.h"

#include "base/rcu.h"
#include "lock/check.h"

smr_thread_local unsigned int smri_section_depth;

void smr_section_enter(const char *what)
{
	/* Otherwise the thread's first read-side section, in here, would allocate. */
	if (!smr_in_section())
		smr_rcu_join();
	smr_check_section_enter(what);
	smri_section_depth++;
}

void smr_section_leave(void)
{
	/* Leaving a section that was not entered is a mistake, and does nothing. */
	if (smr_check_section_leave() && smri_section_depth > 0)
		smri_section_depth--;
}
