/* SPDX-License-Identifier: MIT */
/*
 * Read-side sections. A tree in RCU mode is read without a lock. To keep a cursor, or an entry's
 * object, over more than one call, be in a read-side section of the tree's flavour. The flavours
 * are liburcu's:
 *
 *   flavour       threads register themselves?      read lock + unlock     grace period
 *   MT_RCU_BP     no (first use registers)          a TLS look-up          milliseconds
 *   MT_RCU_MEMB   yes, urcu_memb_register_thread()  compiler barriers      milliseconds
 *   MT_RCU_MB     yes, urcu_mb_register_thread()    two full fences        milliseconds
 *   MT_RCU_QSBR   yes, urcu_qsbr_register_thread()  nothing                until all threads have
 *                                                                          been quiescent
 *
 * A thread's first section of MT_RCU_BP, even one inside mtree_load() and the like, registers the
 * thread with liburcu. That sometimes needs memory, and ends the program if there is none. A
 * thread's first signalling section (fence.h) registers it before it begins. If nothing may go
 * wrong in a thread later, have it enter and leave a section when it starts.
 *
 * A program that already uses liburcu directly may enter the section itself (urcu_bp_read_lock()
 * and so on): it is the same section. docs/locking.md says what each flavour costs and demands.
 */
#ifndef SAMARA_RCU_H
#define SAMARA_RCU_H

#include <samara/export.h>

MT_BEGIN_DECLS

struct maple_tree;

enum mt_rcu_flavor {
	MT_RCU_BP, /* the default */
	MT_RCU_MEMB,
	MT_RCU_MB,
	MT_RCU_QSBR,
};

/*
 * Enter / leave a read-side section of @mt's flavour. Sections nest. Never blocks, except a
 * thread's first, as above. In a tree that is not in RCU mode the section protects nothing: hold
 * the lock instead. Inside a section, do not wait for a grace period or a fence, nor for a lock
 * whose holder waits for either.
 */
MT_API void mt_rcu_read_lock(const struct maple_tree *mt);
MT_API void mt_rcu_read_unlock(const struct maple_tree *mt);

/*
 * Waits until every thread that is now in a read-side section of @mt's flavour has left it: then
 * what was taken out of the tree before may be freed. To free later without waiting, use liburcu's
 * urcu_bp_call_rcu() or the like. CONTEXT: SLEEP yes. Not within a read-side section, nor a
 * signalling section (fence.h).
 */
MT_API void mt_rcu_synchronize(const struct maple_tree *mt);

/*
 * Sets the flavour of @mt. Call it before mt_set_in_rcu() and before the first lock-free reader. 0,
 * -EBUSY when the tree is in RCU mode already, -EINVAL for an unknown flavour.
 */
MT_API int mt_set_rcu_flavor(struct maple_tree *mt, enum mt_rcu_flavor flavor);
MT_API enum mt_rcu_flavor mt_rcu_flavor(const struct maple_tree *mt);

MT_END_DECLS

#endif
