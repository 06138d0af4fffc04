/* SPDX-License-Identifier: MIT */
/*
 * The memory orders of the library, by name: what each pairing guarantees, its two sides, and what
 * goes wrong without it. An access says ORDER(name, order) with order one of acquire, release,
 * acq_rel, seq_cst. scripts/check-order holds this list and the uses of ORDER() together: each name
 * used is listed, each name listed is used, on at least two sides, and has a test.
 *
 * ORDER lock
 *   release: smr_lock_release_unseen() (lock/mutex.c)
 *   acquire: acquire_fast(), acquire_slow() (same file)
 *   What one holder of a mutex did is visible to the next. WITHOUT it the next holder works on data
 *   as they were before.
 *
 * ORDER publish
 *   release: smr_publish() (tree/write.h), __mt_dup()
 *   acquire: smr_slot_read(), smr_root() (tree/node.h), mas_each_leaf_() (samara/maple_tree.h)
 *   What a slot leads to, nodes and the user's object alike, is complete before the slot points at
 *   it, and what it replaces is marked. WITHOUT it a lock-free reader follows an uninitialised
 *   node, sees an object before its contents, or goes on in the old nodes after it has met the new.
 *   For that it is an acquire: the marks are not what the slot leads to, as consume orders it.
 *
 * ORDER seq
 *   release: smr_advance() (tree/write.h)    acquire: smr_walk(), smri_path_renew() (tree/walk.c)
 *   The change counter moves on after the nodes have changed, and is read before them. WITHOUT it a
 *   cursor pairs the new number with nodes that have been replaced, and trusts them later.
 *
 * ORDER grace_queue
 *   release: enqueue(), note_hurry(), notify()
 *   acquire: take_work(), wait_for_work(), gather() (all base/grace.c)
 *   A queued callback's head is complete before the worker takes it, a hurry is taken with what it
 *   is about, and the event is read before the queue. WITHOUT it the worker calls through a stale
 *   pointer, dawdles, or sleeps on a full queue.
 *
 * ORDER fence
 *   release: fence_signal_error() (fence/fence.c)
 *   acquire: smri_fence_signaled() (fence/fence_internal.h), wait_for() (fence/wait.c)
 *   A fence's error and timestamp, and whatever its signaller did before, are complete before it is
 *   signalled. WITHOUT it who was told, or has waited, works on data that are not written yet.
 *
 * ORDER timeline
 *   release: timeline_signal_error()             acquire: timeline_value() (both fence/timeline.c)
 *   The same for who reads a timeline's value instead of asking a fence. WITHOUT it likewise.
 *
 * ORDER ref
 *   release: smr_ref_put(), smr_ref_put_unless_last()
 *   acquire: smr_ref_put(), smr_ref_is_last() (all base/ref.h)
 *   What others did with an object while they had a reference is over before the last one frees it.
 *   WITHOUT it the memory is given away while they still read it.
 *
 * ORDER epoch
 *   release: smr_gpuvm_bo_hide() (gpuvm/object.c)    acquire: smr_gpuva_gone() (gpuvm/vm.h)
 *   Who finds a mapping gone sees whatever was done before it was declared so. WITHOUT it a reader
 *   acts on the unmap before what preceded it: it sees a place empty, and data from when it was
 *   not; or it takes for gone what another had replaced before, and was spared for that.
 *
 * ORDER record
 *   release: smr_quiet_enter()                    acquire: all_rest() (both base/quiet.c)
 *   What liburcu does with the memory of a record is done before the record is in the table.
 *   WITHOUT it who looks whether all readers rest goes by what was there before, but for
 *   membarrier(), of which neither C nor ThreadSanitizer knows.
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
 * Where ThreadSanitizer watches, a test can have all accesses of one name relaxed, and must then be
 * told of a race (tests/order). Its runtime takes the order as an argument; a compiler that makes
 * an instruction of it needs a constant.
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
