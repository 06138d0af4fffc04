/* SPDX-License-Identifier: MIT */
/* Registers a thread with liburcu-memb once, however many peers need that. */
#ifndef BENCH_MEMB_H
#define BENCH_MEMB_H

/* Calls of these two nest. */
void bench_memb_enter(void);
void bench_memb_leave(void);
/* Registers the calling thread, which writes, for good. */
void bench_memb_stay(void);

#endif
