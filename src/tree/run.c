/* SPDX-License-Identifier: MIT */
#include "tree/run.h"

/* Never looked at: of an address in it nobody else can have a pointer. */
char smri_joined_room[2 * SMRI_ALIGN];
