/* SPDX-License-Identifier: MIT */
/* A thread is registered with liburcu-memb once, however many peers want it to be. */
#ifndef BENCH_MEMB_H
#define BENCH_MEMB_H

/* These two nest. */
void bench_memb_enter(void);
void bench_memb_leave(void);
/* Registers the calling thread for good: one that writes. */
void bench_memb_stay(void);

#endif
