/* SPDX-License-Identifier: MIT */
/* VMs driven by queues: their beginning and end, bans, figures. */
#include "bind/bind_internal.h"

#include "gpuvm/change.h"
#include "lock/check.h"
#include "lock/rank.h"
#include "mem/heap.h"
#include "tree/pledge.h"

#include <errno.h>
#include <limits.h>
#include <samara/credits.h>
#include <samara/txn.h>
#include <string.h>

/* ---- The beginning ---- */

/* The most of anything that is paid for at the beginning. */
#define MAX_PREPAID (ULONG_MAX / MT_CHUNK_SIZE)

/* Reads the caller's configuration, which may be of an older, shorter version: 0 or -EINVAL. */
static int read_config(struct bind_config *out, const struct bind_config *config)
{
	if (!config || config->size < offsetof(struct bind_config, workers) ||
	    config->size > sizeof(*out))
		return -EINVAL;
	memset(out, 0, sizeof(*out));
	memcpy(out, config, config->size);
	if (out->va_size == 0)
		out->va_size = sizeof(struct gpuva);
	if (out->va_size < sizeof(struct gpuva) || out->va_size > UINT32_MAX)
		return -EINVAL;
	if (out->max_mappings && (out->max_jobs == 0 || out->max_ops == 0))
		return -EINVAL;
	/* A limit far beyond any memory, and small enough for sums. */
	if (out->max_mappings && (out->max_mappings > MAX_PREPAID || out->max_jobs > MAX_PREPAID ||
				  out->max_ops > MAX_PREPAID))
		return -EINVAL;
	return 0;
}

/* The pool of mappings has some that no reader sees any more. CONTEXT: HOLDS pool. */
static void vas_expired(void *arg)
{
	struct gpuvm_queues *q = arg;

	mt_lock_acquire(&q->lock);
	q->expired = true;
	smri_bind_kick(q, SMRI_BIND_CLEAN);
	smri_bind_wake_waiters(q); /* a thread that closes the VM releases them itself */
	mt_lock_release(&q->lock);
}

static void free_queues(struct gpuvm_queues_head *head)
{
	smr_heap_free(container_of(head, struct gpuvm_queues, head));
}

static void init_pools(struct gpuvm_queues *q, const struct bind_config *c)
{
	enum mt_rcu_flavor flavor = mt_rcu_flavor(&q->vm->tree);
	const size_t size[SMRI_BIND_KINDS] = {
		[SMRI_BIND_JOBS] = sizeof(struct smri_bind_job),
		[SMRI_BIND_OPS] = sizeof(struct smri_bind_op),
		[SMRI_BIND_VAS] = offsetof(struct smri_bind_va, va) + c->va_size,
		[SMRI_BIND_SYNCS] = sizeof(struct smri_bind_sync),
	};
	unsigned long keep[SMRI_BIND_KINDS] = { 0 }; /* free ones that stay in the pool */

	if (c->max_mappings) {
		/* Enough for the spare, too. */
		keep[SMRI_BIND_JOBS] = c->max_jobs + 1;
		keep[SMRI_BIND_OPS] = c->max_ops + 1;
		keep[SMRI_BIND_VAS] = c->max_mappings + GPUVM_MAP_CHANGES * c->max_ops +
				      GPUVM_UNMAP_CHANGES;
		keep[SMRI_BIND_SYNCS] = SMRI_BIND_SPARE_SYNCS * keep[SMRI_BIND_JOBS];
	}
	for (unsigned int k = 0; k < SMRI_BIND_KINDS; k++)
		smr_pool_init(&q->pool[k], size[k], keep[k], flavor,
			      k == SMRI_BIND_VAS ? vas_expired : NULL, q);
}

static int fill(struct smr_pool *pool)
{
	struct smr_pool_list list;
	int err;

	smr_pool_list_init(&list);
	err = smr_pool_prepare(pool, &list, pool->keep);
	smr_pool_put(pool, &list);
	return err;
}

static void bound_tree(struct gpuvm *vm, unsigned long ranges)
{
	gpuvm_lock(vm);
	smr_pledge_bound(&vm->tree, ranges);
	gpuvm_unlock(vm);
}

/*
 * The tree never has more ranges than the mappings, the reserved region, and the gaps around them;
 * markers stand where mappings stood, and are gone before these stop counting. So the tree is told
 * its bound, and one credit that is never used keeps all the nodes for it that it may come to need.
 */
static int pay_for_nodes(struct gpuvm_queues *q, unsigned long mappings)
{
	unsigned long batch = q->max.ops > MT_CREDITS_BATCH ? q->max.ops : MT_CREDITS_BATCH;

	bound_tree(q->vm, 2 * (mappings + 1) + 1);
	(void)mt_credits_set_batch(&q->credits, batch);
	return mt_credits_reserve(&q->credits, 1, GFP_KERNEL);
}

/* The strict level: gets now all that can be in use at a time. */
static int pay_for_all(struct gpuvm_queues *q, unsigned long mappings)
{
	int err = 0;

	if (mappings == 0)
		return 0;
	for (unsigned int k = 0; k < SMRI_BIND_KINDS && !err; k++)
		err = fill(&q->pool[k]);
	return err ? err : pay_for_nodes(q, mappings);
}

/* CONTEXT: no other thread uses @q any more. */
static void end_pools(struct gpuvm_queues *q)
{
	mt_credits_release(&q->credits);
	bound_tree(q->vm, 0);
	for (unsigned int k = 0; k < SMRI_BIND_KINDS; k++) {
		smr_pool_put(&q->pool[k], &q->spare.list[k]);
		smr_pool_destroy(&q->pool[k]);
	}
	if (q->shared_workers)
		smri_bind_workers_put();
}

static struct gpuvm_queues *new_queues(struct gpuvm *vm, const struct bind_config *c)
{
	struct gpuvm_queues *q = smr_heap_alloc(sizeof(*q));

	if (!q)
		return NULL;
	q->head.free = free_queues;
	q->vm = vm;
	q->ops = c->ops;
	q->priv = c->priv;
	q->deferred_first = UINT64_MAX;
	q->max = (struct smri_bind_load){ c->max_jobs, c->max_ops, c->max_mappings, c->max_bytes };
	if (c->max_mappings >= vm->mm_range / vm->align && c->max_mappings)
		q->max.growth = ULONG_MAX;
	smr_lock_init(&q->lock, SMR_RANK_BIND);
	smr_list_init(&q->queues);
	smr_list_init(&q->ready);
	smr_list_init(&q->waits);
	smr_pool_list_init(&q->to_clean);
	smri_bind_parts_init(&q->spare);
	mt_credits_init(&q->credits, &vm->tree, MT_CREDITS_RECYCLING);
	init_pools(q, c);
	q->shared_workers = !c->workers;
	q->workers = c->workers ? c->workers : smri_bind_workers_get();
	return q;
}

/*
 * Leaves only the reserved region in the tree: nothing would look after earlier markers, and gaps
 * may be in pieces, which those of a tree of known size are not (tree/run.h). 0; or -ENOMEM, and
 * nothing has changed.
 */
static int clear_tree(struct gpuvm *vm)
{
	struct gpuva *reserved = &vm->kernel_alloc_node;
	struct mt_txn txn;
	int err;

	gpuvm_lock(vm);
	mt_txn_begin(&txn, &vm->tree);
	err = mt_txn_store_range(&txn, 0, ULONG_MAX, NULL, GFP_KERNEL);
	if (!err && reserved->va.range > 0)
		err = mt_txn_store_range(&txn, reserved->va.addr, smr_va_last(reserved), reserved,
					 GFP_KERNEL);
	if (err) {
		mt_txn_abort(&txn);
	} else {
		mt_txn_commit(&txn);
		vm->markers = 0;
	}
	gpuvm_unlock(vm);
	return err;
}

int bind_vm_init(struct gpuvm *vm, const struct bind_config *config)
{
	struct gpuvm_queues *q;
	struct bind_config c;
	int err = read_config(&c, config);

	if (err || mt_external_lock(&vm->tree))
		return -EINVAL;
	if (vm->queues || vm->nr_vas > 0 || gpuvm_reserved(vm) > 0)
		return -EBUSY;
	if (!smr_grace_start(mt_rcu_flavor(&vm->tree)) || clear_tree(vm))
		return -ENOMEM;
	q = new_queues(vm, &c);
	if (!q)
		return -ENOMEM;
	if (!q->workers) {
		q->shared_workers = false;
		err = -ENOMEM;
	}
	if (!err)
		err = pay_for_all(q, c.max_mappings);
	if (!err)
		err = smri_bind_refill(q);
	if (err) {
		end_pools(q);
		smr_heap_free(q);
		return err;
	}
	/* From now on the lock is taken in sections. */
	smr_lock_init(&vm->tree.ma_lock, SMR_RANK_QUEUED_VM);
	vm->queues = q;
	gpuvm_get(vm);
	return 0;
}

/* ---- The end ---- */

/* Removes every mapping, without needing memory. CONTEXT: the runner. */
static void remove_all(struct gpuvm_queues *q)
{
	struct gpuvm *vm = q->vm;
	struct smr_pool_list list;
	struct gpuva *va;
	uint64_t at = 0;

	smr_pool_list_init(&list);
	gpuvm_lock(vm);
	while ((va = smr_gpuvm_first(vm, at, UINT64_MAX))) {
		at = smr_va_last(va) + 1;
		if (va != &vm->kernel_alloc_node) {
			smri_bind_erase(q, va);
			smr_pool_list_add(&list, &smri_bind_va_of(va)->obj);
		}
	}
	smri_bind_unlist(&list);
	smr_gpuvm_count(vm, 0, list.nr);
	gpuvm_unlock(vm);
	mt_lock_acquire(&q->lock);
	q->stats.vas_live -= list.nr;
	mt_lock_release(&q->lock);
	smr_pool_retire(&q->pool[SMRI_BIND_VAS], &list);
}

/*
 * Waits until the last mapping in limbo is free; false: the caller, a reader, would wait for
 * itself. CONTEXT: the cleaner.
 */
static bool wait_for_limbo(struct gpuvm_queues *q)
{
	while (smr_pool_count(&q->pool[SMRI_BIND_VAS]).limbo > 0) {
		if (smr_check_waits_for_itself(mt_rcu_flavor(&q->vm->tree)))
			return false;
		mt_lock_acquire(&q->lock);
		while (!q->expired)
			(void)smri_bind_sleep(q);
		q->expired = false;
		mt_lock_release(&q->lock);
		smri_bind_release_expired(q);
	}
	return true;
}

int bind_vm_close(struct gpuvm *vm, enum bind_close how)
{
	struct gpuvm_queues *q = vm->queues;
	bool closed;

	if (!q)
		return -ENOENT;
	smri_bind_check_wait(q);
	mt_lock_acquire(&q->lock);
	closed = q->closed;
	q->closed = true;
	if (how == BIND_CANCEL)
		q->canceled = true; /* also jobs that another thread is draining */
	smri_bind_update_ready_all(q);
	if (!closed) {
		smri_bind_wake_waiters(q);
		while (q->charged.jobs > 0)
			(void)smri_bind_sleep(q);
		smri_bind_own(q, SMRI_BIND_CLEAN);
		smri_bind_own(q, SMRI_BIND_RUN);
	}
	mt_lock_release(&q->lock);
	if (closed)
		return -ENOENT;
	remove_all(q);
	/* It stays owned: no worker will work for it again. */
	if (!wait_for_limbo(q))
		return 0;
	end_pools(q);
	gpuvm_put(vm);
	return 0;
}

/* ---- Bans ---- */

void bind_vm_ban(struct gpuvm *vm)
{
	struct gpuvm_queues *q = vm->queues;

	if (!q)
		return;
	mt_lock_acquire(&q->lock);
	smr_store(&q->banned, true, RELAXED);
	smri_bind_update_ready_all(q);
	smri_bind_wake_waiters(q);
	mt_lock_release(&q->lock);
}

bool bind_vm_is_banned(const struct gpuvm *vm)
{
	return vm->queues && smr_load(&vm->queues->banned, RELAXED);
}

/* ---- Figures ---- */

void bind_vm_stats(struct gpuvm *vm, struct bind_stats *stats)
{
	struct gpuvm_queues *q = vm->queues;

	*stats = (struct bind_stats){ 0 };
	if (!q)
		return;
	mt_lock_acquire(&q->lock);
	*stats = q->stats;
	mt_lock_release(&q->lock);
	stats->vas_limbo = smr_pool_count(&q->pool[SMRI_BIND_VAS]).limbo;
}
