/* SPDX-License-Identifier: MIT */
/*
 * Grace periods that nobody waits for: is it quiet now?
 *
 * A writer that replaces a node every 200 ns cannot wait for readers, and to have a thread do so
 * costs it a fifth of its time where the two share a CPU: it is put to sleep and woken, and what
 * comes back is gone over once more, by another. Most of the time there is nobody to wait for. A
 * membarrier() and a look at what liburcu knows of each reader, some hundred nanoseconds, tell so;
 * and a reader that does look-ups all the time is found between two of them after a few looks.
 *
 * liburcu keeps its records to itself. So a thread's record is entered in a table here before the
 * thread reads the root of a tree for the first time: smr_rcu_meet(), called on the way to each
 * root, compares the record that the thread has with the one entered. Records are liburcu's for
 * good: those of threads that have ended lie idle until others get them, and are not entered twice.
 * When the table is full it is never quiet any more, and the thread of base/grace.c does all the
 * waiting.
 *
 * Why what was cut off a tree before the call can be freed after it: membarrier() is a full fence
 * in every thread, at some moment of the call. A section that begins behind it finds what was cut
 * off no more. One that began before it shows in the thread's count, and the thread in the table,
 * until it ends; and each count is seen to be none after the fence. On the way back the fence is
 * once more needed where loads of a section may come after the store that ends it.
 *
 * At the end of the process liburcu takes its records away, but for those that threads have in use.
 * From exit() on it is not quiet any more, so that nobody looks at one that is gone.
 *
 * All this is about tree nodes, which only who has read a root can be on. A thread in a section
 * that has found other things by other ways need not be in the table: whatever is not a node is
 * waited for by liburcu.
 *
 * For the default flavour only. Records of memb and mb lie in the threads themselves and go with
 * them, and those of qsbr say nothing of who rests.
 */
#ifndef SMR_BASE_QUIET_H
#define SMR_BASE_QUIET_H

#include <samara/rcu.h>
#include <stdbool.h>

/* Records there is room for. */
#define SMR_QUIET_RECORDS 1024

/*
 * Enters the calling thread's @count, of which only the address is known yet. CONTEXT: any, also a
 * signal handler.
 */
void smr_quiet_enter(const unsigned long *count);

/*
 * Are all read-side sections of @flavor over in which a root was read before the call? False also
 * when that cannot be told. CONTEXT: any. SLEEP no. A system call that interrupts the program's
 * other threads.
 */
bool smr_rcu_quiet(enum mt_rcu_flavor flavor);

#endif
