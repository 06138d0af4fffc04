/* SPDX-License-Identifier: MIT */
/*
 * The memory orders of the library, by name: for each pairing its two sides, what it guarantees,
 * and what goes wrong without it. An access says ORDER(name, order), where order is one of acquire,
 * release, acq_rel, seq_cst. scripts/check-order compares this list with the uses of ORDER(): each
 * name used must be listed, and each name listed must be used, on both sides, and have a test.
 *
 * ORDER lock
 *   release: smr_lock_release_unseen() (lock/mutex.c)
 *   acquire: acquire_fast(), acquire_slow() (same file)
 *   What one holder of a mutex did is visible to the next. WITHOUT it the next holder works on data
 *   as they were before that.
 *
 * ORDER publish
 *   release: smr_publish() (tree/write.h), __mt_dup()
 *   acquire: smr_slot_read(), smr_root() (tree/node.h), mas_each_leaf_() (samara/maple_tree.h)
 *   Before a slot points at a node or a user's object, everything that is reached through it is
 *   complete, and the nodes that it replaces are marked. WITHOUT it a lock-free reader follows an
 *   uninitialised node, sees an object before its contents, or goes on in the old nodes after it
 *   has met the new. The last is why consume is not enough: the marks are not reached through the
 *   slot.
 *
 * ORDER seq
 *   release: smr_advance_seq() (tree/write.h)
 *   acquire: smr_walk(), smri_path_revalidate() (tree/walk.c)
 *   The change counter is advanced after the nodes have changed, and read before them. WITHOUT it a
 *   cursor pairs the new number with nodes that have been replaced, and trusts them later.
 *
 * ORDER grace_queue
 *   release: enqueue(), note_hurry(), notify()
 *   acquire: take_work(), wait_for_work(), gather() (all base/grace.c)
 *   A queued callback's head is complete before the worker takes it; the worker takes a hurry
 *   together with what it is about, and reads the event before the queue. WITHOUT it the worker
 *   calls through a stale pointer, delays what is urgent, or sleeps while something is queued.
 *
 * ORDER fence
 *   release: fence_signal_error() (fence/fence.c)
 *   acquire: smri_fence_signaled() (fence/fence_internal.h), wait_for() (fence/wait.c)
 *   A fence's error and timestamp, and whatever its signaller did before, are complete before it is
 *   signalled. WITHOUT it a thread that was told, or has waited, works on data not yet written.
 *
 * ORDER timeline
 *   release: timeline_signal_error()             acquire: timeline_value() (both fence/timeline.c)
 *   The same for threads that read a timeline's value instead of asking a fence, with the same
 *   consequences WITHOUT it.
 *
 * ORDER ref
 *   release: smr_ref_put(), smr_ref_put_unless_last()
 *   acquire: smr_ref_put(), smr_ref_is_last() (all base/ref.h)
 *   What other threads did with an object while they had a reference is over before the holder of
 *   the last one frees it. WITHOUT it the memory is freed while they still read it.
 *
 * ORDER epoch
 *   release: smr_gpuvm_bo_hide() (gpuvm/object.c)    acquire: smr_gpuva_is_gone() (gpuvm/vm.h)
 *   A reader that finds a mapping gone sees whatever was done before it was declared gone. WITHOUT
 *   it the reader sees the unmap before what preceded it: it finds a place empty, but sees data
 *   from when it was not; or it takes for gone a mapping that another mapping had replaced before,
 *   and that was spared for that reason.
 *
 * ORDER record
 *   release: smr_quiet_add_record()               acquire: all_quiescent() (both base/quiet.c)
 *   What liburcu does with the memory of a record is done before the record is in the table.
 *   WITHOUT it a thread that looks whether all readers are quiescent would go by what was there
 *   before, if it were not for membarrier(), of which neither C nor ThreadSanitizer knows.
 */
#ifndef SMR_BASE_ORDER_H
#define SMR_BASE_ORDER_H

#include "base/atomic.h"
#include "base/sanitizer.h"

#define SMR_MO_acquire __ATOMIC_ACQUIRE
#define SMR_MO_release __ATOMIC_RELEASE
#define SMR_MO_acq_rel __ATOMIC_ACQ_REL
#define SMR_MO_seq_cst __ATOMIC_SEQ_CST

/*
 * Under ThreadSanitizer a test can have all accesses of one name relaxed, and must then be told of
 * a race (tests/order). Its runtime takes the order as an argument; a compiler that makes an
 * instruction of it needs a constant.
 */
#if defined(SMR_HOOKS) && SMR_TSAN
#define SMR_ORDERS(X) \
	X(lock) X(publish) X(seq) X(grace_queue) X(fence) X(timeline) X(ref) X(epoch) X(record)
#define SMR_ORDER_ENUM(name) SMR_ORDER_##name,
enum smr_order { SMR_ORDER_none, SMR_ORDERS(SMR_ORDER_ENUM) };

/* GUARD none: set before there are threads. */
extern enum smr_order smr_hook_weakened;
#define ORDER(name, order) (smr_hook_weakened == SMR_ORDER_##name ? RELAXED : SMR_MO_##order)
#else
#define ORDER(name, order) SMR_MO_##order
#endif

#endif
