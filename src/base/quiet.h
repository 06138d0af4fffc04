/* SPDX-License-Identifier: MIT */
/*
 * Grace periods without waiting: whether it is quiet, that is, whether no reader is in a section
 * that began before.
 *
 * A writer that replaces a node every 200 ns cannot wait for readers. Having a thread wait for it
 * costs the writer a fifth of its time where the two share a CPU: it is put to sleep and woken, and
 * another thread goes over the nodes that come back once more. Most of the time there is nobody to
 * wait for. That is found out, in some hundred nanoseconds, by a membarrier() and a look at what
 * liburcu knows of each reader; and a reader that does look-ups all the time is found between two
 * look-ups after a few looks.
 *
 * liburcu keeps its records to itself. So a thread's record is entered in a table here before the
 * thread reads the root of a tree for the first time: smr_rcu_meet(), called on the way to each
 * root, compares the record that the thread has with the one entered. Records stay liburcu's for
 * good: those of threads that have ended lie idle until other threads get them, and are not entered
 * twice. Once a record has found the table full it is never quiet any more, and the thread of
 * base/grace.c does all the waiting.
 *
 * Why what was cut off a tree before the call can be freed after it: membarrier() is a full fence
 * in every thread, at some moment during the call. A section that begins after the fence does not
 * find what was cut off. One that began before the fence shows in the thread's count until it ends,
 * and the thread is in the table; and each thread's nesting count is seen to be 0 after the fence.
 * Once the counts have been seen, a second fence is needed where loads of a section may come after
 * the store that ends it.
 *
 * At the end of the process liburcu unmaps its records unless some thread has one in use. The
 * workers of base/grace.c have one each, and never end. Unless one has begun before exit(), only a
 * thread that has a record itself looks at those of others, and only until exit().
 *
 * All this is only about tree nodes, which a thread can be on only if it has read a root. A thread
 * in a section that has found other things in other ways need not be in the table: for whatever is
 * not a node, liburcu is asked for a grace period.
 *
 * This works for the default flavour only. Records of memb and mb lie in the threads themselves and
 * go with them, and those of qsbr do not tell who is quiescent.
 */
#ifndef SMR_BASE_QUIET_H
#define SMR_BASE_QUIET_H

#include <samara/rcu.h>
#include <stdbool.h>

/* How many records the table has room for. */
#define SMR_QUIET_RECORDS 1024

/*
 * Enters the calling thread's @count in the table, by its address: its value is not looked at yet.
 * CONTEXT: any, also a signal handler.
 */
void smr_quiet_add_record(const unsigned long *count);

/*
 * Says that the calling thread, which has joined (rcu.h), never ends. From then on liburcu keeps
 * the records, and threads that have none can look as well. Does nothing once the process is
 * ending: the records may be gone.
 */
void smr_quiet_keep_records(void);

/*
 * Returns true if all read-side sections of @flavor in which a root was read before the call are
 * over; false also if that cannot be told. CONTEXT: any. SLEEP no. Makes a system call that
 * interrupts the program's other threads.
 */
bool smr_rcu_quiet(enum mt_rcu_flavor flavor);

#endif
