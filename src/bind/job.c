/* SPDX-License-Identifier: MIT */
/*
 * What a job holds while it waits: how much, where it comes from, and how it goes back.
 *
 * How much follows from the kinds of its operations and nothing else, so it is right whatever the
 * VM looks like when the job runs:
 *
 *	              mappings  stores  live mappings more
 *	map                  3       1                   2  itself, and what is left of one cut
 *	unmap                2       1                   1  what is left
 *	unmap, whole VM      0       1                   0
 *	unmap all, prefetch  0       0                   0
 *
 * The spare is what one unmap needs, kept by each VM for when memory has run out. An unmap of all
 * of an object, or a job without operations, takes only the records from it.
 */
#include "bind/bind_internal.h"

#include "fence/timeline.h"
#include "mem/heap.h"
#include "tree/pledge.h"

#include <errno.h>

/* Memory per credit of the VM's holder, as in docs/credits.md: what the tree can grow by. */
#define CREDIT_BYTES (MT_NODE_SIZE + MT_NODE_SIZE / 16)

/* ---- How much ---- */

static void add_op(const struct gpuvm_queues *q, const struct bind_op *op,
		   struct smri_bind_need *need)
{
	bool map = op->type == BIND_MAP, unmap = op->type == BIND_UNMAP;
	bool whole = op->addr == q->vm->mm_start && op->range == q->vm->mm_range;

	if (map)
		need->nr[SMRI_BIND_VAS] += GPUVM_MAP_CHANGES;
	else if (unmap && !whole)
		need->nr[SMRI_BIND_VAS] += GPUVM_UNMAP_CHANGES;
	need->stores += map || unmap;
	if (map || unmap) /* over the whole VM nothing is left */
		need->load.growth += whole ? map
				     : map ? GPUVM_MAP_CHANGES - 1
					   : GPUVM_UNMAP_CHANGES - 1;
	if (map && op->obj) {
		need->maps_object = true;
		need->load.bytes += sizeof(struct gpuvm_bo) + sizeof(struct gpuvm_resv_fence);
	}
	need->unmaps_only &= unmap || op->type == BIND_UNMAP_ALL;
}

/* The VM's holder of credits serves jobs of up to one batch; larger ones carry their own. */
static bool exceeds_batch(const struct gpuvm_queues *q, const struct smri_bind_need *need)
{
	return need->stores > q->credits.batch;
}

/* Returns what the job's credits take, in the VM's tree as it is now. */
static size_t credits_bytes(const struct gpuvm_queues *q, const struct smri_bind_need *need)
{
	unsigned long nodes;

	if (!exceeds_batch(q, need))
		return need->stores * CREDIT_BYTES;
	gpuvm_lock(q->vm);
	nodes = smr_pledge_for_strict(&q->vm->tree, need->stores);
	gpuvm_unlock(q->vm);
	return sizeof(struct mt_credits) + nodes * MT_NODE_SIZE;
}

void smri_bind_need(const struct gpuvm_queues *q, const struct bind_job *job,
		    struct smri_bind_need *need)
{
	*need = (struct smri_bind_need){ .unmaps_only = true };
	for (unsigned int i = 0; i < job->nr_ops; i++)
		add_op(q, &job->ops[i], need);
	need->nr[SMRI_BIND_JOBS] = need->load.jobs = 1;
	need->nr[SMRI_BIND_OPS] = need->load.ops = job->nr_ops;
	need->nr[SMRI_BIND_SYNCS] = (unsigned long)job->nr_in + job->nr_out;
	for (unsigned int k = 0; k < SMRI_BIND_KINDS; k++)
		need->load.bytes += need->nr[k] * q->pool[k].size;
	need->load.bytes += credits_bytes(q, need);
}

static bool has_parts(const struct smri_bind_parts *parts, const struct smri_bind_need *need)
{
	bool all = parts->credits >= need->stores;

	for (unsigned int k = 0; k < SMRI_BIND_KINDS; k++)
		all &= parts->list[k].nr >= need->nr[k];
	return all;
}

/* ---- Parts ---- */

/* What the spare is refilled to. It never holds more. */
static const struct smri_bind_need whole_spare = {
	.nr = {
		[SMRI_BIND_JOBS] = 1,
		[SMRI_BIND_OPS] = 1,
		[SMRI_BIND_VAS] = GPUVM_UNMAP_CHANGES,
		[SMRI_BIND_SYNCS] = SMRI_BIND_SPARE_SYNCS,
	},
	.stores = 1,
};

void smri_bind_parts_init(struct smri_bind_parts *parts)
{
	for (unsigned int k = 0; k < SMRI_BIND_KINDS; k++)
		smr_pool_list_init(&parts->list[k]);
	parts->credits = 0;
}

/* Moves to @parts what they lack of @need, as far as @from has it. */
static void move_missing(struct smri_bind_parts *parts, const struct smri_bind_need *need,
			 struct smri_bind_parts *from)
{
	for (unsigned int k = 0; k < SMRI_BIND_KINDS; k++)
		while (parts->list[k].nr < need->nr[k] && from->list[k].head)
			smr_pool_list_add(&parts->list[k], smr_pool_get(&from->list[k]));
	for (; parts->credits < need->stores && from->credits > 0; from->credits--)
		parts->credits++;
}

/* The spare comes first: a thread that waits for it has nothing else to hope for. */
void smri_bind_parts_put(struct gpuvm_queues *q, struct smri_bind_parts *parts)
{
	mt_lock_acquire(&q->lock);
	move_missing(&q->spare, &whole_spare, parts);
	mt_lock_release(&q->lock);
	mt_credits_return(&q->credits, parts->credits);
	for (unsigned int k = 0; k < SMRI_BIND_KINDS; k++)
		smr_pool_put(&q->pool[k], &parts->list[k]);
}

/* Gets all of @need but credits that exceed a batch. -ENOMEM: as much as there is memory for. */
static int get_parts(struct gpuvm_queues *q, struct smri_bind_parts *parts,
		     const struct smri_bind_need *need)
{
	int err = 0;

	smri_bind_parts_init(parts);
	for (unsigned int k = 0; k < SMRI_BIND_KINDS && !err; k++)
		err = smr_pool_prepare(&q->pool[k], &parts->list[k], need->nr[k]);
	if (err || need->stores == 0 || exceeds_batch(q, need))
		return err;
	err = mt_credits_reserve(&q->credits, need->stores, GFP_KERNEL);
	if (!err)
		parts->credits = need->stores;
	return err;
}

int smri_bind_refill(struct gpuvm_queues *q)
{
	struct smri_bind_need missing = whole_spare;
	struct smri_bind_parts parts;
	bool is_whole;
	int err;

	mt_lock_acquire(&q->lock);
	is_whole = has_parts(&q->spare, &whole_spare);
	for (unsigned int k = 0; k < SMRI_BIND_KINDS; k++)
		missing.nr[k] -= q->spare.list[k].nr;
	missing.stores -= (unsigned int)q->spare.credits;
	mt_lock_release(&q->lock);
	if (is_whole)
		return 0;
	err = get_parts(q, &parts, &missing);
	smri_bind_parts_put(q, &parts); /* other threads may have refilled it */
	return err;
}

/* ---- Records ---- */

/* Finds the pair of @op's object, or makes one to be put on the object's list at commit. */
static int get_pair(struct gpuvm_queues *q, struct smri_bind_op *op)
{
	struct gpuvm_object *obj = op->req.obj;

	gpuvm_object_lock(obj);
	op->pair = gpuvm_bo_find(q->vm, obj);
	gpuvm_object_unlock(obj);
	if (op->pair)
		return 0;
	op->spare = gpuvm_bo_create(q->vm, obj);
	return op->spare ? 0 : -ENOMEM;
}

int smri_bind_set_ops(struct gpuvm_queues *q, struct smri_bind_job *j, const struct bind_op *ops)
{
	struct smri_bind_op *op;
	int err = 0;

	smri_bind_for_each(op, &j->ops)
	{
		op->req = *ops++;
		smr_pool_list_init(&op->removed);
		if (op->req.type == BIND_UNMAP_ALL)
			gpuvm_object_get(op->req.obj);
		else if (op->req.obj && !err)
			err = get_pair(q, op);
	}
	return err;
}

struct fence *smri_bind_in_get(const struct bind_sync *in)
{
	return in->fence ? fence_get(in->fence) : timeline_fence(in->timeline, in->value);
}

void smri_bind_in_put(const struct bind_sync *in, struct fence *f)
{
	if (in->timeline)
		smr_timeline_forget(in->timeline, f);
	else
		fence_put(f);
}

static int add_in(struct smri_bind_job *j, struct smr_pool_list *records,
		  const struct bind_sync *in)
{
	struct smri_bind_sync *sync;
	struct fence *f = smri_bind_in_get(in);

	if (!f)
		return -ENOMEM;
	sync = smr_pool_get(records);
	sync->fence = f;
	sync->value = in->fence ? 0 : in->value;
	sync->job = j;
	smr_pool_list_add(&j->in, &sync->obj);
	return 0;
}

static void add_out(struct smri_bind_job *j, struct smr_pool_list *records,
		    const struct bind_sync *out)
{
	struct smri_bind_sync *sync = smr_pool_get(records);

	sync->fence = fence_get(out->fence);
	sync->timeline = out->fence ? NULL : timeline_get(out->timeline);
	sync->value = out->value;
	smr_pool_list_add(&j->out, &sync->obj);
}

static int set_syncs(struct smri_bind_job *j, struct smr_pool_list *records,
		     const struct bind_job *job)
{
	int err = 0;

	for (unsigned int i = 0; i < job->nr_in && !err; i++)
		err = add_in(j, records, &job->in[i]);
	for (unsigned int i = 0; i < job->nr_out && !err; i++)
		add_out(j, records, &job->out[i]);
	return err;
}

/* ---- Giving it back ---- */

/* Puts the fences that a refused job would have waited for. */
static void drop_in(struct smri_bind_job *j, const struct bind_job *of)
{
	const struct bind_sync *in = of->in;
	struct smri_bind_sync *sync;

	smri_bind_for_each(sync, &j->in)
	{
		smri_bind_in_put(in++, sync->fence);
		sync->fence = NULL;
	}
}

void smri_bind_job_refuse(struct gpuvm_queues *q, struct smri_bind_job *j,
			  const struct bind_job *of)
{
	drop_in(j, of);
	smri_bind_job_free(q, j);
}

/* In protected mode a pair's last reference must be dropped under the VM's reservation lock. */
void smri_bind_put_pair(struct gpuvm_queues *q, struct gpuvm_bo *pair)
{
	struct gpuvm_object *obj;

	if (!pair || !gpuvm_resv_protected(q->vm)) {
		gpuvm_bo_put(pair);
		return;
	}
	/* The object must not be freed under that lock either: its free may take it. */
	obj = gpuvm_object_get(pair->obj);
	gpuvm_resv_lock(gpuvm_resv(q->vm));
	gpuvm_bo_put(pair);
	gpuvm_resv_unlock(gpuvm_resv(q->vm));
	gpuvm_object_put(obj);
}

void smri_bind_put_ops(struct gpuvm_queues *q, struct smri_bind_job *j)
{
	struct smri_bind_op *op;

	smri_bind_for_each(op, &j->ops)
	{
		smri_bind_put_pair(q, op->pair);
		smri_bind_put_pair(q, op->spare);
		if (op->req.type == BIND_UNMAP_ALL)
			gpuvm_object_put(op->req.obj);
	}
}

/* Afterwards all records are in one list, j->in. */
static void drop_syncs(struct smri_bind_job *j)
{
	struct smri_bind_sync *sync;

	smr_pool_list_move(&j->in, &j->out);
	smri_bind_for_each(sync, &j->in)
	{
		fence_put(sync->fence);
		timeline_put(sync->timeline);
	}
}

void smri_bind_job_free(struct gpuvm_queues *q, struct smri_bind_job *j)
{
	struct smri_bind_parts parts;

	smri_bind_put_ops(q, j);
	drop_syncs(j);
	fence_put(j->done);
	smri_bind_parts_init(&parts);
	if (j->credits) {
		mt_credits_release(j->credits);
		smr_heap_free(j->credits);
	} else {
		parts.credits = j->stores;
	}
	smr_pool_list_move(&parts.list[SMRI_BIND_OPS], &j->ops);
	smr_pool_list_move(&parts.list[SMRI_BIND_VAS], &j->vas);
	smr_pool_list_move(&parts.list[SMRI_BIND_SYNCS], &j->in);
	smr_pool_list_add(&parts.list[SMRI_BIND_JOBS], &j->obj);
	smri_bind_parts_put(q, &parts);
}

/* ---- The whole ---- */

/* Makes a job of @parts, except the records of its fences. */
static struct smri_bind_job *job_from_parts(struct smri_bind_parts *parts,
					    const struct smri_bind_need *need)
{
	struct smri_bind_job *j = smr_pool_get(&parts->list[SMRI_BIND_JOBS]);

	smr_pool_list_init(&j->ops);
	smr_pool_list_init(&j->vas);
	smr_pool_list_init(&j->in);
	smr_pool_list_init(&j->out);
	smr_pool_list_move(&j->ops, &parts->list[SMRI_BIND_OPS]);
	smr_pool_list_move(&j->vas, &parts->list[SMRI_BIND_VAS]);
	j->stores = (unsigned int)parts->credits;
	j->load = need->load;
	j->nr_vas = (unsigned int)need->nr[SMRI_BIND_VAS];
	return j;
}

/*
 * Makes @j the job @of, with @syncs, which are as many as it needs. If *@err is set, or on an
 * error, gives everything back: NULL.
 */
static struct smri_bind_job *set_up(struct gpuvm_queues *q, struct smri_bind_job *j,
				    struct smr_pool_list *syncs, const struct bind_job *of,
				    int *err)
{
	if (!*err)
		*err = set_syncs(j, syncs, of);
	if (!*err)
		*err = smri_bind_set_ops(q, j, of->ops);
	if (!*err)
		return j;
	smr_pool_list_move(&j->out, syncs); /* they have no fences, and go back with it */
	smri_bind_job_refuse(q, j, of);
	return NULL;
}

static int get_own_credits(struct gpuvm_queues *q, struct smri_bind_job *j, unsigned int nr)
{
	int err;

	j->credits = smr_heap_alloc(sizeof(*j->credits));
	if (!j->credits)
		return -ENOMEM;
	mt_credits_init(j->credits, &q->vm->tree, MT_CREDITS_STRICT);
	err = mt_credits_reserve(j->credits, nr, GFP_KERNEL);
	j->stores = err ? 0 : nr;
	return err;
}

struct smri_bind_job *smri_bind_job_new(struct gpuvm_queues *q, const struct bind_job *job,
					const struct smri_bind_need *need, int *err)
{
	struct smri_bind_parts parts;
	struct smri_bind_job *j;

	*err = get_parts(q, &parts, need);
	if (*err) {
		smri_bind_parts_put(q, &parts);
		return NULL;
	}
	j = job_from_parts(&parts, need);
	if (exceeds_batch(q, need))
		*err = get_own_credits(q, j, need->stores);
	if (!*err && need->maps_object && !(j->done = fence_create()))
		*err = -ENOMEM;
	j = set_up(q, j, &parts.list[SMRI_BIND_SYNCS], job, err);
	if (*err == -ENOMEM && !need->unmaps_only)
		*err = SMRI_BIND_NO_HEAP;
	return j;
}

/* Takes all that a job needs out of the spare; or nothing: false. */
static bool take_spare(struct gpuvm_queues *q, const struct smri_bind_need *need,
		       struct smri_bind_parts *parts)
{
	bool there;

	smri_bind_parts_init(parts);
	mt_lock_acquire(&q->lock);
	there = has_parts(&q->spare, need);
	if (there)
		move_missing(parts, need, &q->spare);
	mt_lock_release(&q->lock);
	for (unsigned int k = 0; k < SMRI_BIND_KINDS; k++)
		smr_pool_clear(&q->pool[k], &parts->list[k]);
	return there;
}

struct smri_bind_job *smri_bind_job_spare(struct gpuvm_queues *q, const struct bind_job *job,
					  const struct smri_bind_need *need)
{
	struct smri_bind_parts parts;
	struct smri_bind_job *j;
	int err = 0;

	if (!need->unmaps_only || !take_spare(q, need, &parts))
		return NULL;
	j = job_from_parts(&parts, need);
	/* The value of a timeline needs a fence, for which there may be no memory. */
	return set_up(q, j, &parts.list[SMRI_BIND_SYNCS], job, &err);
}
