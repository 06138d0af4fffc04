/* SPDX-License-Identifier: MIT */
#include "tree/run.h"

/* Never accessed: no user can have a pointer into it. */
char smri_joined_room[2 * SMRI_ALIGN];
