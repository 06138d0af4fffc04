/* SPDX-License-Identifier: MIT */
/*
 * What a job holds while it waits: how much that is, where it comes from, and how it goes back.
 *
 * How much follows from the kinds of its operations and nothing else, so it is right whatever the
 * VM looks like when the job runs:
 *
 *	              mappings  stores  live mappings more
 *	map                  3       1                   2  itself, and the rests of one that is cut
 *	unmap                2       1                   1  what is left
 *	unmap all, prefetch  0       0                   0
 *
 * The spare is what one unmap needs, kept by each VM for when memory has run out. One of all of an
 * object, or a job without operations, takes of it the records alone.
 */
#include "bind/bind_internal.h"

#include "fence/timeline.h"
#include "mem/heap.h"

#include <errno.h>

/* Memory of a credit, as docs/credits.md has it: what the tree can grow by. */
#define CREDIT_BYTES (MT_NODE_SIZE + MT_NODE_SIZE / 16)

/* ---- How much ---- */

static void add_op(const struct gpuvm_queues *q, const struct bind_op *op,
		   struct smri_bind_need *need)
{
	bool map = op->type == BIND_MAP, unmap = op->type == BIND_UNMAP;
	bool whole = op->addr == q->vm->mm_start && op->range == q->vm->mm_range;

	need->vas += map ? GPUVM_MAP_CHANGES : unmap ? GPUVM_UNMAP_CHANGES : 0;
	need->stores += map || unmap;
	if (map || unmap) /* of the whole VM nothing is left over */
		need->load.growth += whole ? map
				     : map ? GPUVM_MAP_CHANGES - 1
					   : GPUVM_UNMAP_CHANGES - 1;
	need->load.bytes += q->op_records.size;
	if (map && op->obj) {
		need->maps_object = true;
		need->load.bytes += sizeof(struct gpuvm_bo) + sizeof(struct gpuvm_resv_fence);
	}
	need->unmaps_only &= unmap || op->type == BIND_UNMAP_ALL;
}

void smri_bind_need(const struct gpuvm_queues *q, const struct bind_job *job,
		    struct smri_bind_need *need)
{
	*need = (struct smri_bind_need){ .unmaps_only = true };
	for (unsigned int i = 0; i < job->nr_ops; i++)
		add_op(q, &job->ops[i], need);
	need->syncs = job->nr_in + job->nr_out;
	need->load.jobs = 1;
	need->load.ops = job->nr_ops;
	need->load.bytes += q->jobs.size + need->syncs * q->syncs.size + need->vas * q->vas.size +
			    need->stores * CREDIT_BYTES;
}

/* ---- Credits ---- */

/* The VM's holder of credits serves jobs of one batch; larger ones carry their own. */
static int get_own_credits(struct gpuvm_queues *q, struct smri_bind_job *j, unsigned int nr)
{
	j->credits = smr_heap_alloc(sizeof(*j->credits));
	if (!j->credits)
		return -ENOMEM;
	mt_credits_init(j->credits, &q->vm->tree, MT_CREDITS_STRICT);
	return mt_credits_reserve(j->credits, nr, GFP_KERNEL);
}

static int get_credits(struct gpuvm_queues *q, struct smri_bind_job *j, unsigned int nr)
{
	int err = 0;

	if (nr > q->credits.batch)
		err = get_own_credits(q, j, nr);
	else if (nr > 0)
		err = mt_credits_reserve(&q->credits, nr, GFP_KERNEL);
	if (!err)
		j->stores = nr;
	return err;
}

/* ---- Records ---- */

/* A pair of @op's object: the one there is, or one to be put on the object's list at commit. */
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

static int set_ops(struct gpuvm_queues *q, struct smri_bind_job *j, const struct bind_op *ops)
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

static void init_job(struct smri_bind_job *j)
{
	smr_pool_list_init(&j->ops);
	smr_pool_list_init(&j->vas);
	smr_pool_list_init(&j->in);
	smr_pool_list_init(&j->out);
}

static int get_records(struct gpuvm_queues *q, struct smri_bind_job *j, unsigned int nr_ops,
		       const struct smri_bind_need *need, struct smr_pool_list *syncs)
{
	int err = smr_pool_prepare(&q->op_records, &j->ops, nr_ops);

	if (!err)
		err = smr_pool_prepare(&q->vas, &j->vas, need->vas);
	if (!err)
		err = smr_pool_prepare(&q->syncs, syncs, need->syncs);
	if (!err && need->maps_object && !(j->done = fence_create()))
		err = -ENOMEM;
	if (!err)
		err = get_credits(q, j, need->stores);
	return err;
}

struct smri_bind_job *smri_bind_job_new(struct gpuvm_queues *q, const struct bind_job *job,
					const struct smri_bind_need *need, int *err)
{
	struct smr_pool_list list, syncs;
	struct smri_bind_job *j;

	smr_pool_list_init(&list);
	smr_pool_list_init(&syncs);
	*err = smr_pool_prepare(&q->jobs, &list, 1);
	if (*err)
		return NULL;
	j = smr_pool_get(&list);
	init_job(j);
	*err = get_records(q, j, job->nr_ops, need, &syncs);
	j->load = need->load;
	j->nr_vas = need->vas;
	if (!*err)
		*err = set_syncs(j, &syncs, job);
	if (!*err)
		*err = set_ops(q, j, job->ops);
	smr_pool_put(&q->syncs, &syncs);
	if (*err) {
		smri_bind_job_refuse(q, j, job);
		j = NULL;
	}
	return j;
}

/* ---- Giving it back ---- */

/* The fences that a job refused would have waited for. */
static void drop_in(struct smri_bind_job *j, const struct bind_job *of)
{
	const struct bind_sync *in = of->in;

	for (struct smr_pool_obj *obj = j->in.head; obj; obj = obj->next, in++) {
		struct smri_bind_sync *sync = (struct smri_bind_sync *)obj;

		smri_bind_in_put(in, sync->fence);
		sync->fence = NULL;
	}
}

void smri_bind_job_refuse(struct gpuvm_queues *q, struct smri_bind_job *j,
			  const struct bind_job *of)
{
	drop_in(j, of);
	smri_bind_job_free(q, j);
}

/* In protected mode whoever drops a pair's last reference holds the VM's reservation lock. */
void smri_bind_put_pair(struct gpuvm_queues *q, struct gpuvm_bo *pair)
{
	struct gpuvm_object *obj;

	if (!pair || !gpuvm_resv_protected(q->vm)) {
		gpuvm_bo_put(pair);
		return;
	}
	/* Nor may the object go under that lock: its end may take it. */
	obj = gpuvm_object_get(pair->obj);
	gpuvm_resv_lock(gpuvm_resv(q->vm));
	gpuvm_bo_put(pair);
	gpuvm_resv_unlock(gpuvm_resv(q->vm));
	gpuvm_object_put(obj);
}

static void drop_pairs(struct gpuvm_queues *q, struct smri_bind_job *j)
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

/* All of them end up in one list, of records. */
static void drop_syncs(struct smri_bind_job *j)
{
	smr_pool_list_move(&j->in, &j->out);
	for (struct smr_pool_obj *obj = j->in.head; obj; obj = obj->next) {
		struct smri_bind_sync *sync = (struct smri_bind_sync *)obj;

		fence_put(sync->fence);
		timeline_put(sync->timeline);
	}
}

static void fill_up(struct smr_pool_list *list, unsigned long nr, struct smr_pool_list *from)
{
	while (list->nr < nr && from->head)
		smr_pool_list_add(list, smr_pool_get(from));
}

void smri_bind_fill_spare_vas(struct gpuvm_queues *q, struct smr_pool_list *vas)
{
	mt_lock_acquire(&q->lock);
	fill_up(&q->spare.vas, GPUVM_UNMAP_CHANGES, vas);
	mt_lock_release(&q->lock);
}

void smri_bind_parts_init(struct smri_bind_parts *parts)
{
	smr_pool_list_init(&parts->jobs);
	smr_pool_list_init(&parts->ops);
	smr_pool_list_init(&parts->vas);
	smr_pool_list_init(&parts->syncs);
	parts->credits = 0;
}

void smri_bind_parts_put(struct gpuvm_queues *q, struct smri_bind_parts *parts)
{
	smr_pool_put(&q->vas, &parts->vas);
	smr_pool_put(&q->op_records, &parts->ops);
	smr_pool_put(&q->syncs, &parts->syncs);
	smr_pool_put(&q->jobs, &parts->jobs);
}

static void take_apart(struct smri_bind_job *j, struct smri_bind_parts *parts)
{
	smri_bind_parts_init(parts);
	smr_pool_list_move(&parts->ops, &j->ops);
	smr_pool_list_move(&parts->vas, &j->vas);
	smr_pool_list_move(&parts->syncs, &j->in);
	parts->credits = j->credits ? 0 : j->stores;
	smr_pool_list_add(&parts->jobs, &j->obj);
}

/* What the spare lacks goes there first: who waits for it has nothing else to hope for. */
static void fill_spare(struct gpuvm_queues *q, struct smri_bind_parts *parts)
{
	struct smri_bind_parts *spare = &q->spare;

	mt_lock_acquire(&q->lock);
	fill_up(&spare->jobs, 1, &parts->jobs);
	fill_up(&spare->ops, 1, &parts->ops);
	fill_up(&spare->vas, GPUVM_UNMAP_CHANGES, &parts->vas);
	fill_up(&spare->syncs, SMRI_BIND_SPARE_SYNCS, &parts->syncs);
	if (!spare->credits && parts->credits > 0) {
		spare->credits = 1;
		parts->credits--;
	}
	mt_lock_release(&q->lock);
}

void smri_bind_job_free(struct gpuvm_queues *q, struct smri_bind_job *j)
{
	struct smri_bind_parts parts;

	drop_pairs(q, j);
	drop_syncs(j);
	fence_put(j->done);
	if (j->credits) {
		mt_credits_release(j->credits);
		smr_heap_free(j->credits);
	}
	take_apart(j, &parts);
	fill_spare(q, &parts);
	mt_credits_return(&q->credits, parts.credits);
	smri_bind_parts_put(q, &parts);
}

/* ---- The spare ---- */

/* Brings @list of the spare to @nr objects, beside others who may do the same. */
static int top_up(struct gpuvm_queues *q, struct smr_pool *pool, struct smr_pool_list *list,
		  unsigned long nr)
{
	struct smr_pool_list more;
	unsigned long missing;
	int err;

	smr_pool_list_init(&more);
	mt_lock_acquire(&q->lock);
	missing = list->nr < nr ? nr - list->nr : 0;
	mt_lock_release(&q->lock);
	err = smr_pool_prepare(pool, &more, missing);
	mt_lock_acquire(&q->lock);
	fill_up(list, nr, &more);
	mt_lock_release(&q->lock);
	smr_pool_put(pool, &more);
	return err;
}

static int top_up_credit(struct gpuvm_queues *q)
{
	bool had;
	int err;

	mt_lock_acquire(&q->lock);
	had = q->spare.credits;
	mt_lock_release(&q->lock);
	if (had)
		return 0;
	err = mt_credits_reserve(&q->credits, 1, GFP_KERNEL);
	if (err)
		return err;
	mt_lock_acquire(&q->lock);
	had = q->spare.credits;
	q->spare.credits = 1;
	mt_lock_release(&q->lock);
	if (had) /* by somebody else meanwhile */
		mt_credits_return(&q->credits, 1);
	return 0;
}

/* CONTEXT: HOLDS q->lock. */
static bool has_all(const struct gpuvm_queues *q)
{
	const struct smri_bind_parts *spare = &q->spare;

	return spare->jobs.nr >= 1 && spare->ops.nr >= 1 && spare->vas.nr >= GPUVM_UNMAP_CHANGES &&
	       spare->syncs.nr >= SMRI_BIND_SPARE_SYNCS && spare->credits;
}

static bool is_whole(struct gpuvm_queues *q)
{
	bool whole;

	mt_lock_acquire(&q->lock);
	whole = has_all(q);
	mt_lock_release(&q->lock);
	return whole;
}

int smri_bind_refill(struct gpuvm_queues *q)
{
	int err;

	if (is_whole(q))
		return 0;
	err = top_up(q, &q->jobs, &q->spare.jobs, 1);
	if (!err)
		err = top_up(q, &q->op_records, &q->spare.ops, 1);
	if (!err)
		err = top_up(q, &q->vas, &q->spare.vas, GPUVM_UNMAP_CHANGES);
	if (!err)
		err = top_up(q, &q->syncs, &q->spare.syncs, SMRI_BIND_SPARE_SYNCS);
	if (!err)
		err = top_up_credit(q);
	return err;
}

/* CONTEXT: HOLDS q->lock. */
static bool has(const struct gpuvm_queues *q, const struct smri_bind_need *need)
{
	const struct smri_bind_parts *spare = &q->spare;

	return spare->jobs.nr >= 1 && spare->ops.nr >= need->load.ops &&
	       spare->vas.nr >= need->vas && spare->syncs.nr >= need->syncs &&
	       spare->credits >= need->stores;
}

/* What a job needs out of the spare, or nothing: false. It has one credit, as it has one record. */
static bool take_spare(struct gpuvm_queues *q, const struct smri_bind_need *need,
		       struct smri_bind_parts *parts)
{
	struct smri_bind_parts *spare = &q->spare;
	bool there;

	smri_bind_parts_init(parts);
	mt_lock_acquire(&q->lock);
	there = has(q, need);
	if (there) {
		fill_up(&parts->jobs, 1, &spare->jobs);
		fill_up(&parts->ops, need->load.ops, &spare->ops);
		fill_up(&parts->vas, need->vas, &spare->vas);
		fill_up(&parts->syncs, need->syncs, &spare->syncs);
		spare->credits -= need->stores;
		parts->credits = need->stores;
	}
	mt_lock_release(&q->lock);
	return there;
}

/* A job made of these, but for @parts->syncs. */
static struct smri_bind_job *put_together(struct gpuvm_queues *q, struct smri_bind_parts *parts)
{
	struct smri_bind_job *j;

	smr_pool_clear(&q->jobs, &parts->jobs);
	smr_pool_clear(&q->op_records, &parts->ops);
	smr_pool_clear(&q->vas, &parts->vas);
	smr_pool_clear(&q->syncs, &parts->syncs);
	j = smr_pool_get(&parts->jobs);
	init_job(j);
	j->stores = (unsigned int)parts->credits;
	smr_pool_list_move(&j->ops, &parts->ops);
	smr_pool_list_move(&j->vas, &parts->vas);
	return j;
}

/* Back to where it came from. */
static void give_spare(struct gpuvm_queues *q, struct smr_pool_list *syncs)
{
	mt_lock_acquire(&q->lock);
	smr_pool_list_move(&q->spare.syncs, syncs);
	mt_lock_release(&q->lock);
}

struct smri_bind_job *smri_bind_job_spare(struct gpuvm_queues *q, const struct bind_job *job,
					  const struct smri_bind_need *need)
{
	struct smri_bind_job *j;
	struct smri_bind_parts parts;
	int err;

	if (!need->unmaps_only || !take_spare(q, need, &parts))
		return NULL;
	j = put_together(q, &parts);
	j->load = need->load;
	j->nr_vas = need->vas;
	err = set_syncs(j, &parts.syncs, job); /* the value of a timeline needs a fence */
	if (!err)
		err = set_ops(q, j, job->ops);
	give_spare(q, &parts.syncs);
	if (err) {
		smri_bind_job_refuse(q, j, job);
		j = NULL;
	}
	return j;
}
