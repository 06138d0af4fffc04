/* SPDX-License-Identifier: MIT */
/*
 * Read-side sections. A tree in RCU mode is read without a lock; a reader that keeps a cursor, or
 * an entry's object, over more than one call does so inside a read-side section of the tree's
 * flavour. The flavours are liburcu's:
 *
 *   flavour       threads register themselves?      read lock + unlock     grace period
 *   MT_RCU_BP     no (first use registers)          a TLS look-up          milliseconds
 *   MT_RCU_MEMB   yes, urcu_memb_register_thread()  compiler barriers      milliseconds
 *   MT_RCU_MB     yes, urcu_mb_register_thread()    two full fences        milliseconds
 *   MT_RCU_QSBR   yes, urcu_qsbr_register_thread()  nothing                until all threads have
 *                                                                          been quiescent
 *
 * A thread's first section of MT_RCU_BP, also within mtree_load() and its like, registers it with
 * liburcu, which takes memory now and then, and ends the program if there is none. Its first
 * signalling section (fence.h) does so before it begins. A thread of whom nothing may go wrong
 * later enters and leaves a section when it starts.
 *
 * A program that already uses liburcu directly may take the section itself (urcu_bp_read_lock() and
 * so on): it is the same section. docs/locking.md tells what each flavour costs and demands.
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
 * Enter / leave a read-side section of @mt's flavour. Sections nest. Never blocks, but for a
 * thread's first, as above. In a tree that is not in RCU mode the section protects nothing (hold
 * the lock instead). Inside, wait for no grace period, no fence, and no lock whose holder does.
 */
MT_API void mt_rcu_read_lock(const struct maple_tree *mt);
MT_API void mt_rcu_read_unlock(const struct maple_tree *mt);

/*
 * Waits until every thread that is in a read-side section of @mt's flavour now has left it: what
 * was taken out of the tree before may be freed then. liburcu's urcu_bp_call_rcu() and its like
 * free later, without a wait. CONTEXT: SLEEP yes. Not within a read-side section, nor a signalling
 * section (fence.h).
 */
MT_API void mt_rcu_synchronize(const struct maple_tree *mt);

/*
 * Chooses the flavour of @mt. Call it before mt_set_in_rcu() and before the first lock-free reader;
 * 0, -EBUSY when the tree is in RCU mode already, -EINVAL for an unknown flavour.
 */
MT_API int mt_set_rcu_flavor(struct maple_tree *mt, enum mt_rcu_flavor flavor);
MT_API enum mt_rcu_flavor mt_rcu_flavor(const struct maple_tree *mt);

MT_END_DECLS

#endif
