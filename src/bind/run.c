/* SPDX-License-Identifier: MIT */
/*
 * The run of a job, all of it within a signalling section: nothing here allocates, frees, waits for
 * anything but locks under which nobody does, or fails for want of anything.
 *
 *   apply    under the VM's lock, all operations in one transaction: what each removes, makes and
 *            leaves over is noted in its record
 *   steps    the driver's, without a lock, from these notes
 *   unlist   what was removed leaves the objects' lists
 *   signal   the out-fences
 *
 * An object's list holds what a driver has to look after when the object's memory moves. So a new
 * mapping is on it before its step is called, and an old one until its step is over: in between
 * both are, and whoever moves the object invalidates both. Flags are carried to what is left of a
 * mapping under the same hold of the object's lock that puts it on the list, or an invalidation
 * could be lost.
 *
 * BIND_UNMAP_ALL removes any number of mappings, of which each would take a store. Instead the
 * pair's epoch is moved on, which hides them all from readers at once, right before the transaction
 * is committed, and then their entries are replaced by empty markers, one slot each, before the
 * VM's lock is let go of. The job's own later operations pass them over meanwhile because of
 * `gone`. Where one of these has overwritten a part, the rest is in pieces that still name the
 * mapping; each piece gets a marker. New mappings of the pair get the epoch to come, and those that
 * other operations take out are spared: a reader may have found one of them a moment ago.
 */
#include "bind/bind_internal.h"

#include "gpuvm/change.h"
#include "gpuvm/object.h"
#include "gpuvm/split.h"
#include "tree/credits.h"

#include <errno.h>

/* ---- Apply ---- */

struct apply {
	struct gpuvm_queues *q;
	struct smri_bind_job *job;
	struct mt_txn txn;
	unsigned long in, out; /* mappings */
	bool unmaps_all;
};

static bool is_gone(const struct gpuva *va, void *arg)
{
	(void)arg;
	return smri_bind_va_of(va)->gone;
}

/* BIND_UNMAP_ALLs of @pair that come before @op in the job. */
static unsigned int epochs_to_come(const struct apply *a, const struct smri_bind_op *op,
				   const struct gpuvm_bo *pair)
{
	const struct smri_bind_op *former;
	unsigned int nr = 0;

	if (!a->unmaps_all)
		return 0;
	smri_bind_for_each(former, &a->job->ops)
	{
		if (former == op)
			break;
		nr += former->req.type == BIND_UNMAP_ALL && former->pair == pair;
	}
	return nr;
}

/* A mapping out of the job's list, for @op. */
static struct gpuva *new_va(struct apply *a, const struct smri_bind_op *op,
			    const struct gpuva_op_map *map)
{
	struct smri_bind_va *v = smr_pool_get(&a->job->vas);

	smr_assert(v);
	v->born = op->stamp;
	v->va.vm = a->q->vm;
	gpuva_init_from_op(&v->va, map);
	a->in++;
	return &v->va;
}

/* Puts @va on its object's list, with the flags of @old, or @flags. */
static void link_va(struct apply *a, const struct smri_bind_op *op, struct gpuva *va,
		    struct gpuvm_bo *pair, const struct gpuva *old, unsigned int flags)
{
	if (pair)
		gpuvm_object_lock(pair->obj);
	smr_store(&va->flags, old ? smr_load(&old->flags, RELAXED) : flags, RELAXED);
	if (pair) {
		gpuva_link(va, pair);
		va->epoch += epochs_to_come(a, op, pair);
		gpuvm_object_unlock(pair->obj);
	}
}

static struct gpuva *rest_of(struct apply *a, const struct smri_bind_op *op,
			     const struct gpuva_op_map *part, const struct gpuva *old)
{
	struct gpuva *va = new_va(a, op, part);

	link_va(a, op, va, old->vm_bo, old, 0);
	return va;
}

static void note_removed(struct apply *a, struct smri_bind_op *op, const struct gpuva *va,
			 bool keep)
{
	struct smri_bind_va *v = smri_bind_va_of(va);

	v->gone = 1;
	v->keep = keep;
	smr_pool_list_add(&op->removed, &v->obj);
	a->out++;
}

/* Notes what @op does to the mappings it meets. Their entries stay as they are. */
static void split(struct apply *a, struct smri_bind_op *op, const struct gpuva_op_map *map)
{
	struct smr_split s;
	struct gpuva_op *step;

	smr_split_begin(&s, a->q->vm, &a->txn.view, op->req.addr, op->req.range, map);
	s.gone = is_gone;
	while ((step = smr_split_next(&s))) {
		const struct gpuva_op_unmap *unmap = &step->unmap;

		if (step->op == GPUVA_OP_REMAP) {
			unmap = step->remap.unmap;
			if (step->remap.prev)
				op->prev = rest_of(a, op, step->remap.prev, unmap->va);
			if (step->remap.next)
				op->next = rest_of(a, op, step->remap.next, unmap->va);
		}
		smr_gpuva_spare(unmap->va);
		note_removed(a, op, unmap->va, unmap->keep);
	}
}

static void store(struct apply *a, const struct smri_bind_op *op)
{
	struct mt_credits *credits = a->job->credits ? a->job->credits : &a->q->credits;
	uint64_t first = op->req.addr, last = op->req.addr + (op->req.range - 1);
	struct smr_edges edges = { op->prev, op->next };
	struct gpuvm *vm = a->q->vm;
	int err;

	/* Nothing there, and nothing to put there. */
	if (!op->map && !op->removed.head)
		return;
	vm->markers -= (unsigned long)smr_gpuvm_markers_under(vm, &a->txn.view, first, last);
	err = smr_txn_store_credit(&a->txn, first, last, op->map, edges, credits);
	smr_assert(!err);
	(void)err;
	a->job->stores--;
}

static void apply_map(struct apply *a, struct smri_bind_op *op)
{
	struct gpuva_op_map map = { { op->req.addr, op->req.range },
				    { op->req.obj, op->req.offset } };

	split(a, op, &map);
	op->map = new_va(a, op, &map);
	link_va(a, op, op->map, op->pair, NULL, op->req.flags);
	store(a, op);
}

static void apply_unmap(struct apply *a, struct smri_bind_op *op)
{
	split(a, op, NULL);
	store(a, op);
}

static void apply_unmap_all(struct apply *a, struct smri_bind_op *op)
{
	struct gpuvm_object *obj = op->req.obj;
	struct gpuva *va;

	a->unmaps_all = true;
	gpuvm_object_lock(obj);
	op->pair = gpuvm_bo_find(a->q->vm, obj);
	if (op->pair)
		gpuvm_bo_for_each_va(va, op->pair)
		{
			if (!is_gone(va, NULL))
				note_removed(a, op, va, false);
		}
	gpuvm_object_unlock(obj);
}

static void apply_op(struct apply *a, struct smri_bind_op *op)
{
	op->stamp = ++a->q->stamp;
	switch (op->req.type) {
	case BIND_MAP:
		apply_map(a, op);
		break;
	case BIND_UNMAP:
		apply_unmap(a, op);
		break;
	case BIND_UNMAP_ALL:
		apply_unmap_all(a, op);
		break;
	case BIND_PREFETCH:
		break;
	}
}

static void hide_all(struct smri_bind_job *job)
{
	struct smri_bind_op *op;

	smri_bind_for_each(op, &job->ops)
	{
		if (op->req.type != BIND_UNMAP_ALL || !op->pair)
			continue;
		gpuvm_object_lock(op->req.obj);
		smr_gpuvm_bo_hide(op->pair);
		gpuvm_object_unlock(op->req.obj);
	}
}

/* ---- Entries without memory ---- */

static bool clear(struct gpuvm *vm, unsigned long first, unsigned long last)
{
	struct ma_state mas;

	mas_init(&mas, &vm->tree, first);
	mas.last = last;
	return !mas_store_gfp(&mas, NULL, GFP_NOWAIT | __GFP_NOWARN);
}

/* Leaves a marker for each piece of @va that is left in the tree. */
static void mark_pieces(struct gpuvm *vm, const struct gpuva *va)
{
	struct ma_state mas;
	void *entry;

	mas_init(&mas, &vm->tree, va->va.addr);
	while ((entry = mas_find(&mas, smr_va_last(va))))
		if (entry == va)
			smr_gpuvm_leave_marker(vm, mas.index, mas.last);
}

/* Replaces what is left in the tree of the mappings that were hidden. */
static void mark_all(struct gpuvm_queues *q, struct smri_bind_job *job)
{
	struct smri_bind_op *op;

	smri_bind_for_each(op, &job->ops)
	{
		if (op->req.type != BIND_UNMAP_ALL)
			continue;
		for (struct smr_pool_obj *obj = op->removed.head; obj; obj = obj->next)
			mark_pieces(q->vm, &((struct smri_bind_va *)obj)->va);
	}
}

/* ---- Sweeping: with free nodes one by one, and on credits what is left then ---- */

/* Takes out a marker; false: it needs a node, and there is none. */
static bool clear_marker(struct gpuvm *vm, const struct ma_state *mas)
{
	bool done = clear(vm, mas->index, mas->last);

	vm->markers -= done;
	return done;
}

/*
 * Entries that are looked at before jobs get their turn, and whoever wants the VM's lock, however
 * many there are.
 */
enum { SWEEP_LOOKS = 256 };
/* Few, so that runs of them wait less often for the nodes of those before. */
enum { SWEEP_CREDITS = MT_CREDITS_BATCH / 4 };

struct sweep {
	struct gpuvm_queues *q;
	const struct smr_pool_obj *obj; /* the mapping it has come to; NULL: all done */
	uint64_t at;                    /* from there on */
	struct mt_txn txn;
	unsigned long credits; /* left */
};

static void sweep_from(struct sweep *s, const struct smr_pool_obj *obj)
{
	s->obj = obj;
	if (obj)
		s->at = ((const struct smri_bind_va *)obj)->va.va.addr;
}

/*
 * Goes on with @fn for each marker, until that says no, or for a while. CONTEXT: the runner; HOLDS
 * the VM's lock.
 */
static void sweep_on(struct sweep *s, bool (*fn)(struct sweep *s, const struct ma_state *mas))
{
	unsigned int looks = SWEEP_LOOKS;
	struct gpuvm *vm = s->q->vm;
	struct ma_state mas;
	void *entry;

	while (s->obj && vm->markers > 0) {
		const struct gpuva *va = &((const struct smri_bind_va *)s->obj)->va;

		mas_init(&mas, &vm->tree, s->at);
		while ((entry = mas_find(&mas, smr_va_last(va)))) {
			s->at = mas.index;
			if (looks-- == 0 || (xa_is_zero(entry) && !fn(s, &mas)))
				return;
		}
		sweep_from(s, s->obj->next);
		if (looks == 0)
			return;
		looks--; /* a mapping of which nothing is left counts, too */
	}
	if (vm->markers == 0)
		s->obj = NULL;
}

static bool sweep_free_piece(struct sweep *s, const struct ma_state *mas)
{
	(void)clear_marker(s->q->vm, mas);
	return true;
}

/* Some with free nodes; false: none is left. CONTEXT: the runner. */
static bool sweep_free(struct sweep *s)
{
	struct gpuvm *vm = s->q->vm;
	bool left;

	gpuvm_lock(vm);
	sweep_on(s, sweep_free_piece);
	left = vm->markers > 0;
	gpuvm_unlock(vm);
	return left;
}

/*
 * The walk goes over the tree as it was. A marker of a mapping that came later may reach over
 * several that are swept, and be met with each of them.
 */
static bool has_gone(struct sweep *s, unsigned long index)
{
	struct ma_state mas;

	mas_init(&mas, &s->txn.view, index);
	return !xa_is_zero(mas_walk(&mas));
}

static bool sweep_paid_piece(struct sweep *s, const struct ma_state *mas)
{
	int err;

	if (has_gone(s, mas->index))
		return true;
	if (s->credits == 0)
		return false;
	err = mt_txn_store_credit(&s->txn, mas->index, mas->last, NULL, &s->q->credits);
	smr_assert(!err);
	(void)err;
	s->credits--;
	s->q->vm->markers--;
	return true;
}

/* As many as there are credits for, at most. CONTEXT: the runner. */
static void sweep_paid(struct sweep *s)
{
	struct gpuvm *vm = s->q->vm;

	smr_credits_begin(&s->q->credits, s->credits);
	gpuvm_lock(vm);
	mt_txn_begin(&s->txn, &vm->tree);
	sweep_on(s, sweep_paid_piece);
	mt_txn_commit(&s->txn);
	gpuvm_unlock(vm);
}

/* Markers of mappings from @obj on are left. */
static void note_left(struct gpuvm_queues *q, const struct smr_pool_obj *obj)
{
	for (; obj; obj = obj->next) {
		const struct gpuva *va = &((const struct smri_bind_va *)obj)->va;

		if (va->va.addr < q->left_first)
			q->left_first = va->va.addr;
		if (smr_va_last(va) > q->left_last)
			q->left_last = smr_va_last(va);
	}
}

static void become_runner(struct gpuvm_queues *q)
{
	mt_lock_acquire(&q->lock);
	smri_bind_own(q, SMRI_BIND_RUN);
	mt_lock_release(&q->lock);
}

static void end_as_runner(struct gpuvm_queues *q)
{
	mt_lock_acquire(&q->lock);
	smri_bind_disown(q, SMRI_BIND_RUN);
	mt_lock_release(&q->lock);
}

void smri_bind_sweep(struct gpuvm_queues *q, const struct smr_pool_list *removed)
{
	struct sweep s = { .q = q };
	bool left = false;
	int err = 0;

	for (sweep_from(&s, removed->head); s.obj;) {
		become_runner(q);
		left = sweep_free(&s);
		end_as_runner(q);
	}
	for (sweep_from(&s, left ? removed->head : NULL); s.obj && !err;) {
		s.credits = removed->nr < SWEEP_CREDITS ? removed->nr : SWEEP_CREDITS;
		/* Not the runner yet: this may wait for memory, and that for jobs. */
		err = mt_credits_reserve(&q->credits, s.credits, GFP_KERNEL);
		become_runner(q);
		if (err)
			note_left(q, s.obj);
		else
			sweep_paid(&s);
		end_as_runner(q);
		if (!err)
			mt_credits_return(&q->credits, s.credits);
	}
}

/* ---- Sweeping what had to be left ---- */

/* Goes on for a while; false: nothing is left, or what comes next needs memory. */
static bool sweep_left_on(struct gpuvm_queues *q)
{
	struct gpuvm *vm = q->vm;
	unsigned int looks = SWEEP_LOOKS;
	struct ma_state mas;
	void *entry;

	mas_init(&mas, &vm->tree, q->left_first);
	while (vm->markers > 0 && (entry = mas_find(&mas, q->left_last))) {
		q->left_first = mas.index;
		if (looks-- == 0)
			return true;
		if (xa_is_zero(entry) && !clear_marker(vm, &mas))
			return false;
	}
	q->left_first = UINT64_MAX;
	q->left_last = 0;
	return false;
}

static bool others_are_ready(struct gpuvm_queues *q)
{
	bool ready;

	mt_lock_acquire(&q->lock);
	ready = !smr_list_empty(&q->ready);
	mt_lock_release(&q->lock);
	return ready;
}

/*
 * Takes out what clean-ups had to leave, with free nodes alone, and goes on after the next run when
 * that can begin: it may be waited for. As long as there are no nodes it stops where it stopped
 * before, and so costs next to nothing.
 */
static void sweep_left(struct gpuvm_queues *q)
{
	bool more = q->left_first <= q->left_last;

	while (more) {
		gpuvm_lock(q->vm);
		more = sweep_left_on(q);
		gpuvm_unlock(q->vm);
		more = more && !others_are_ready(q);
	}
}

void smri_bind_erase(struct gpuvm_queues *q, struct gpuva *va)
{
	if (!clear(q->vm, va->va.addr, smr_va_last(va)))
		smr_gpuvm_leave_marker(q->vm, va->va.addr, smr_va_last(va));
}

/* What becomes of the VM. */
static void apply(struct gpuvm_queues *q, struct smri_bind_job *job)
{
	struct apply a = { .q = q, .job = job };
	struct gpuvm *vm = q->vm;
	struct smri_bind_op *op;

	gpuvm_lock(vm);
	mt_txn_begin(&a.txn, &vm->tree);
	smri_bind_for_each(op, &job->ops) apply_op(&a, op);
	if (a.unmaps_all)
		hide_all(job);
	mt_txn_commit(&a.txn);
	if (a.unmaps_all)
		mark_all(q, job);
	smr_gpuvm_count(vm, a.in, a.out);
	gpuvm_unlock(vm);
	job->more = a.in;
	job->fewer = a.out;
}

/* ---- Steps ---- */

static int call_step(struct gpuvm_queues *q, const struct bind_step *step)
{
	return q->ops && q->ops->step ? smri_bind_answer(q->ops->step(q->vm, step, q->priv)) : 0;
}

int smri_bind_step_unmap(struct gpuvm_queues *q, struct smri_bind_va *v, unsigned int index,
			 void *cookie)
{
	struct gpuva_op op = { .op = GPUVA_OP_UNMAP, .unmap = { &v->va, v->keep } };
	struct bind_step step = { .op = &op, .index = index, .cookie = cookie };

	return call_step(q, &step);
}

static struct gpuva_op_map map_of(const struct gpuva *va)
{
	return (struct gpuva_op_map){ { va->va.addr, va->va.range },
				      { va->gem.obj, va->gem.offset } };
}

/* @v was cut: @prev and @next, or one of them, are what is left of it. */
static int step_remap(struct gpuvm_queues *q, struct smri_bind_va *v, struct gpuva *prev,
		      struct gpuva *next, unsigned int index, void *cookie)
{
	struct gpuva_op_map left, right;
	struct gpuva_op_unmap unmap = { &v->va, v->keep };
	struct gpuva_op op = { .op = GPUVA_OP_REMAP, .remap = { .unmap = &unmap } };
	struct bind_step step = {
		.op = &op, .prev = prev, .next = next, .index = index, .cookie = cookie
	};

	if (prev) {
		left = map_of(prev);
		op.remap.prev = &left;
	}
	if (next) {
		right = map_of(next);
		op.remap.next = &right;
	}
	return call_step(q, &step);
}

static int step_map(struct gpuvm_queues *q, struct gpuva *va, unsigned int index, void *cookie)
{
	struct gpuva_op op = { .op = GPUVA_OP_MAP, .map = map_of(va) };
	struct bind_step step = { .op = &op, .map = va, .index = index, .cookie = cookie };

	return call_step(q, &step);
}

static int steps_of_change(struct gpuvm_queues *q, struct smri_bind_op *op, unsigned int index)
{
	int err = 0;

	for (struct smr_pool_obj *obj = op->removed.head; obj && !err; obj = obj->next) {
		struct smri_bind_va *v = (struct smri_bind_va *)obj;
		struct gpuva *prev = obj == op->removed.head ? op->prev : NULL;
		struct gpuva *next = !obj->next ? op->next : NULL;

		if (prev || next)
			err = step_remap(q, v, prev, next, index, op->cookie);
		else
			err = smri_bind_step_unmap(q, v, index, op->cookie);
	}
	return !err && op->map ? step_map(q, op->map, index, op->cookie) : err;
}

static bool overlaps(const struct gpuva *va, uint64_t first, uint64_t last)
{
	return va->va.addr <= last && smr_va_last(va) >= first;
}

/* The lowest mapping of the tree from @first on that was there after @op. */
static struct gpuva *prefetch_in_tree(struct gpuvm_queues *q, const struct smri_bind_op *op,
				      uint64_t first, uint64_t last)
{
	struct gpuvm *vm = q->vm;
	struct gpuva *va = NULL;

	/* Only runners change the tree, so what is found stays. */
	gpuvm_read_lock(vm);
	while (first <= last && (va = smr_gpuvm_first(vm, first, last))) {
		if (va != &vm->kernel_alloc_node && smri_bind_va_of(va)->born <= op->stamp)
			break;
		first = smr_va_last(va) + 1;
		va = NULL;
	}
	gpuvm_read_unlock(vm);
	return va;
}

/*
 * The lowest one in [first, last] of the VM as it was after @op: in the tree, or removed by a later
 * operation.
 */
static struct gpuva *prefetch_next(struct gpuvm_queues *q, const struct smri_bind_op *op,
				   uint64_t first, uint64_t last)
{
	struct gpuva *va = prefetch_in_tree(q, op, first, last);
	const struct smri_bind_op *later = op;

	while ((later = (const struct smri_bind_op *)later->obj.next)) {
		for (struct smr_pool_obj *obj = later->removed.head; obj; obj = obj->next) {
			struct smri_bind_va *v = (struct smri_bind_va *)obj;

			if (v->born <= op->stamp && overlaps(&v->va, first, last) &&
			    (!va || v->va.va.addr < va->va.addr))
				va = &v->va;
		}
	}
	return va;
}

static int steps_of_prefetch(struct gpuvm_queues *q, struct smri_bind_op *op, unsigned int index)
{
	uint64_t first = op->req.addr, last = op->req.addr + (op->req.range - 1);
	struct gpuva *va;
	int err = 0;

	while (!err && first <= last && (va = prefetch_next(q, op, first, last))) {
		struct gpuva_op prefetch = { .op = GPUVA_OP_PREFETCH, .prefetch = { va } };
		struct bind_step step = { .op = &prefetch, .index = index, .cookie = op->cookie };

		err = call_step(q, &step);
		first = smr_va_last(va) + 1;
	}
	return err;
}

static int steps(struct gpuvm_queues *q, struct smri_bind_job *job)
{
	struct smri_bind_op *op;
	unsigned int index = 0;
	int err = 0;

	smri_bind_for_each(op, &job->ops)
	{
		if (err)
			break;
		err = op->req.type == BIND_PREFETCH ? steps_of_prefetch(q, op, index)
						    : steps_of_change(q, op, index);
		index++;
	}
	return err;
}

void smri_bind_unlist(struct smr_pool_list *removed)
{
	for (struct smr_pool_obj *obj = removed->head; obj; obj = obj->next) {
		struct gpuva *va = &((struct smri_bind_va *)obj)->va;

		if (!va->gem.obj)
			continue;
		gpuvm_object_lock(va->gem.obj);
		smr_gpuva_unlist(va);
		gpuvm_object_unlock(va->gem.obj);
	}
}

/* ---- The whole ---- */

void smri_bind_signal(struct fence *f, struct timeline *tl, uint64_t value, int error)
{
	/* One that is signalled already, or a value that is reached, stays as it is. */
	if (f)
		(void)fence_signal_error(f, error);
	else
		(void)timeline_signal_error(tl, value, error);
}

static void signal_out(struct smri_bind_job *job)
{
	if (job->done)
		smri_bind_signal(job->done, NULL, 0, job->error);
	for (struct smr_pool_obj *obj = job->out.head; obj; obj = obj->next) {
		struct smri_bind_sync *sync = (struct smri_bind_sync *)obj;

		smri_bind_signal(sync->fence, sync->timeline, sync->value, job->error);
	}
}

/* Announces the job's stores; counts a wait. CONTEXT: no lock, no section. */
static void announce(struct gpuvm_queues *q, struct smri_bind_job *job)
{
	struct mt_credits *credits = job->credits ? job->credits : &q->credits;

	if (job->stores == 0 || !smr_credits_begin(credits, job->stores))
		return;
	mt_lock_acquire(&q->lock);
	q->stats.grace_waits++;
	mt_lock_release(&q->lock);
}

static int change(struct gpuvm_queues *q, struct smri_bind_job *job)
{
	struct smri_bind_op *op;
	int err;

	apply(q, job);
	err = steps(q, job);
	smri_bind_for_each(op, &job->ops) smri_bind_unlist(&op->removed);
	if (err)
		bind_vm_ban(q->vm);
	return err;
}

void smri_bind_section_begin(struct gpuvm_queues *q)
{
	fence_begin_signalling();
	if (q->ops && q->ops->run_begin)
		q->ops->run_begin(q->vm, q->priv);
}

void smri_bind_section_end(struct gpuvm_queues *q)
{
	if (q->ops && q->ops->run_end)
		q->ops->run_end(q->vm, q->priv);
	fence_end_signalling();
}

void smri_bind_run(struct gpuvm_queues *q, struct smri_bind_job *job)
{
	if (!job->cancel)
		announce(q, job);
	smri_bind_section_begin(q);
	job->error = job->cancel ? -ECANCELED : change(q, job);
	signal_out(job);
	smri_bind_section_end(q);
	if (!job->cancel)
		sweep_left(q);
}
