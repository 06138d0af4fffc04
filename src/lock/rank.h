/* SPDX-License-Identifier: MIT */
/*
 * All locks of the library, outermost first: a thread that holds one may only take those further
 * down. Programs, too, take those above SMR_RANK_OBJECT, in an order of their own choice. Two locks
 * of one rank are never held together, except for reservation locks and around fork() (every
 * arena's, in the order of their list, unseen by the checker). mtree_lock_nested() and mtree_dup(),
 * which takes the copy's lock and then the original's, have ranks of their own.
 *
 * While a lock from SMR_RANK_OBJECT down is held, nothing is called that could block: no page
 * source, no allocator, no grace period. Of many reservation locks only the first is waited for;
 * the others are tried (gpuvm/exec.c).
 *
 * A rank is one line here, from which the checker (lock/check.h) takes its name for reports. A
 * struct mt_lock carries its rank; one that mt_lock_init() or MT_LOCK_INIT made has rank TREE.
 */
#ifndef SMR_LOCK_RANK_H
#define SMR_LOCK_RANK_H

#include <samara/lock.h>

#define SMR_RANKS(RANK)                                                                          \
	RANK(VM, "VM lock")               /* gpuvm: the index of a VM that its user drives */    \
	RANK(QUEUED_VM, "queued VM lock") /* the same once queues drive it: nothing allocates */ \
	RANK(TREE, "tree lock")           /* maple_tree.ma_lock: writers of one tree */          \
	RANK(TREE_NESTED, "tree lock/1")  /* the same, taken with mtree_lock_nested(mt, 1) */    \
	RANK(TREE_NESTED2, "tree lock/2") /* the same with 2 */                                  \
	RANK(TREE_NESTED3, "tree lock/3") /* the same with 3 or more */                          \
	RANK(RESV, "reservation lock")    /* gpuvm_resv.lock; gpuvm_exec takes many */           \
	RANK(OBJECT, "object lock")       /* gpuvm_object.lock: pairs and their mappings */      \
	RANK(VM_LISTS, "VM list lock")    /* gpuvm.list_lock: external and evicted pairs */      \
	RANK(POOL, "pool lock")           /* smr_pool.lock: of objects that may be retired */    \
	RANK(BIND, "bind lock")           /* gpuvm_queues.lock: queues and jobs of one VM */     \
	RANK(WORKERS, "workers lock")     /* bind_workers.lock: VMs with something to do */      \
	RANK(ARENAS, "list of arenas")    /* the list of all arenas (mem/arena.c) */             \
	RANK(ARENA, "arena lock")         /* mt_mem.lock: the chunks of one arena */             \
	RANK(TIMELINE, "timeline lock")   /* timeline.lock: released to signal a fence */        \
	RANK(FENCE, "fence lock")         /* fence.lock: released to run a callback */

#define SMR_RANK_ENUM(name, text) SMR_RANK_##name,

enum smr_lock_rank { SMR_RANKS(SMR_RANK_ENUM) SMR_RANKS_NR };

/* Converts a rank to what a lock carries, where 0 stands for TREE, and back. */
#define SMR_RANK_MARK(rank) ((unsigned int)(rank) ^ (unsigned int)SMR_RANK_TREE)

#define SMR_LOCK_INIT(rank)                       \
	{                                         \
		0, SMR_RANK_MARK(SMR_RANK_##rank) \
	}

/* mt_lock_init() for a lock of the library's own. */
static inline void smr_lock_init(struct mt_lock *lock, enum smr_lock_rank rank)
{
	mt_lock_init(lock);
	lock->kind = SMR_RANK_MARK(rank);
}

#endif
