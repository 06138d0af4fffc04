/* SPDX-License-Identifier: MIT */
#include "lock/section.h"

__thread unsigned int smri_section_depth __attribute__((tls_model("initial-exec")));

void smr_section_enter(const char *what)
{
	(void)what;
	smri_section_depth++;
}

void smr_section_leave(void)
{
	smr_assert(smri_section_depth > 0);
	smri_section_depth--;
}
