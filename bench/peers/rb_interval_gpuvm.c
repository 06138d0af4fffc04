/* SPDX-License-Identifier: MIT */
/* The same manager over an interval tree: see rb_gpuvm.h. */
#define RB_INTERVAL
#include "rb_gpuvm.c"
