/* SPDX-License-Identifier: MIT */
/*
 * Takes entries out of the tree although there may be no memory for it, and sweeps the markers that
 * then stay in their place (gpuvm/change.c).
 *
 *   leaving    any section: where a store of nothing would take a node, and there is none, an entry
 *              becomes a marker; neighbours that leave together take one store, or a marker each
 *   sweeping   by the cleaner, after a run that has left some: first with the nodes that are free,
 *              then, for what is left, on credits, for which it may wait
 *   deferred   what clean-ups that got no memory have left: swept by the runner, after each run,
 *              with free nodes alone
 */
#include "bind/bind_internal.h"

#include "gpuvm/change.h"
#include "tree/credits.h"

#include <limits.h>

/* ---- Leaving markers ---- */

static bool clear(struct gpuvm *vm, unsigned long first, unsigned long last)
{
	struct ma_state mas;

	mas_init(&mas, &vm->tree, first);
	mas.last = last;
	return !mas_store_gfp(&mas, NULL, GFP_NOWAIT | __GFP_NOWARN);
}

void smri_bind_erase(struct gpuvm_queues *q, struct gpuva *va)
{
	if (!clear(q->vm, va->va.addr, smr_va_last(va)))
		smr_gpuvm_leave_marker(q->vm, va->va.addr, smr_va_last(va));
}

/*
 * Returns true if @entry is on its way out. Of the mappings that are gone only those that
 * smri_bind_erase_all() is called for are still in the tree.
 */
static bool is_leaving(const struct gpuvm *vm, const void *entry)
{
	return xa_is_zero(entry) ||
	       (entry != &vm->kernel_alloc_node && smri_bind_va_of(entry)->gone);
}

/* Neighbours that leave together: between them are only gaps. */
struct leaving {
	uint64_t first, last;
	unsigned long markers; /* how many of them are markers */
};

/*
 * Returns how many may go in one store. In a tree of known size, which is that of the strict level,
 * a store without a credit must not reach over whole nodes (docs/credits.md). Half of SMR_LEAF_MIN
 * entries, with the gaps between and beside them, are too few for a whole leaf and a range on
 * either side of it.
 */
static unsigned long max_per_store(const struct gpuvm_queues *q)
{
	return q->max.growth ? SMR_LEAF_MIN / 2 : ULONG_MAX;
}

/* Returns those around the piece that the cursor is on, itself included. */
static struct leaving leaving_around(const struct gpuvm_queues *q, const struct ma_state *mas)
{
	struct leaving l = { mas->index, mas->last, 0 };
	unsigned long more = max_per_store(q) - 1;
	struct ma_state down = *mas, up = *mas;
	void *entry;

	for (; more && (entry = mas_prev(&down, 0)) && is_leaving(q->vm, entry); more--) {
		l.first = down.index;
		l.markers += xa_is_zero(entry);
	}
	for (; more && (entry = mas_next(&up, UINT64_MAX)) && is_leaving(q->vm, entry); more--) {
		l.last = up.last;
		l.markers += xa_is_zero(entry);
	}
	return l;
}

/*
 * Takes out what is left of @va in the tree, piece by piece, with what leaves beside each. Returns
 * the last range taken out.
 */
static struct leaving erase_pieces(struct gpuvm_queues *q, const struct gpuva *va)
{
	struct leaving l = { va->va.addr, smr_va_last(va), 0 };
	struct gpuvm *vm = q->vm;
	struct ma_state mas;
	void *entry;

	mas_init(&mas, &vm->tree, va->va.addr);
	while ((entry = mas_find(&mas, smr_va_last(va)))) {
		if (entry != va)
			continue;
		l = leaving_around(q, &mas);
		if (clear(vm, l.first, l.last))
			vm->markers -= l.markers;
		else
			smr_gpuvm_leave_markers(vm, l.first, l.last);
	}
	return l;
}

void smri_bind_erase_all(struct gpuvm_queues *q, const struct smr_pool_list *removed)
{
	struct leaving l = { UINT64_MAX, 0, 0 };
	const struct smri_bind_va *v;

	smri_bind_for_each(v, removed)
	{
		if (v->va.va.addr < l.first || smr_va_last(&v->va) > l.last)
			l = erase_pieces(q, &v->va);
	}
}

/* ---- Sweeping: with free nodes one by one, and on credits what is left then ---- */

/* Takes out a marker; false: that needs a node, and there is none. */
static bool clear_marker(struct gpuvm *vm, const struct ma_state *mas)
{
	bool done = clear(vm, mas->index, mas->last);

	vm->markers -= done;
	return done;
}

/*
 * The most entries that are looked at, however many there are, before jobs and threads that want
 * the VM's lock get their turn.
 */
enum { SWEEP_LOOKS = 256 };
/* Few, so that a round waits less often for the nodes that earlier rounds have replaced. */
enum { SWEEP_CREDITS = MT_CREDITS_BATCH / 4 };

struct sweep {
	struct gpuvm_queues *q;
	const struct smr_pool_obj *obj; /* the mapping it has come to; NULL: all done */
	uint64_t at;                    /* where to go on */
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
 * Goes on with the sweep, for a while: calls @fn for each marker until it returns false. CONTEXT:
 * the runner; HOLDS the VM's lock.
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

/* Sweeps some with free nodes; false: no marker is left. CONTEXT: the runner. */
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
 * Returns true if the marker at @index has gone. The walk sees the tree as it was. A marker of a
 * later mapping may reach over several mappings that are swept, and be met with each of them.
 */
static bool is_swept(struct sweep *s, unsigned long index)
{
	struct ma_state mas;

	mas_init(&mas, &s->txn.view, index);
	return !xa_is_zero(mas_walk(&mas));
}

static bool sweep_paid_piece(struct sweep *s, const struct ma_state *mas)
{
	int err;

	if (is_swept(s, mas->index))
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

/* Sweeps at most as many as there are credits for. CONTEXT: the runner. */
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

/* Notes that markers of the mappings from @obj on are left. */
static void note_deferred(struct gpuvm_queues *q, const struct smr_pool_obj *obj)
{
	for (; obj; obj = obj->next) {
		const struct gpuva *va = &((const struct smri_bind_va *)obj)->va;

		if (va->va.addr < q->deferred_first)
			q->deferred_first = va->va.addr;
		if (smr_va_last(va) > q->deferred_last)
			q->deferred_last = smr_va_last(va);
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
		/* Not yet as the runner: this may wait for memory, and that for jobs. */
		err = mt_credits_reserve(&q->credits, s.credits, GFP_KERNEL);
		become_runner(q);
		if (err)
			note_deferred(q, s.obj);
		else
			sweep_paid(&s);
		end_as_runner(q);
		if (!err)
			mt_credits_return(&q->credits, s.credits);
	}
}

/* ---- Sweeping what was deferred ---- */

/* Goes on for a while; false: nothing is left, or the next marker needs memory. */
static bool sweep_deferred_some(struct gpuvm_queues *q)
{
	struct gpuvm *vm = q->vm;
	unsigned int looks = SWEEP_LOOKS;
	struct ma_state mas;
	void *entry;

	mas_init(&mas, &vm->tree, q->deferred_first);
	while (vm->markers > 0 && (entry = mas_find(&mas, q->deferred_last))) {
		q->deferred_first = mas.index;
		if (looks-- == 0)
			return true;
		if (xa_is_zero(entry) && !clear_marker(vm, &mas))
			return false;
	}
	q->deferred_first = UINT64_MAX;
	q->deferred_last = 0;
	return false;
}

static bool has_ready_queue(struct gpuvm_queues *q)
{
	bool ready;

	mt_lock_acquire(&q->lock);
	ready = !smr_list_empty(&q->ready);
	mt_lock_release(&q->lock);
	return ready;
}

/*
 * As long as there are no free nodes this stops where it stopped before, and so costs next to
 * nothing.
 */
void smri_bind_sweep_deferred(struct gpuvm_queues *q)
{
	bool more = q->deferred_first <= q->deferred_last;

	while (more) {
		gpuvm_lock(q->vm);
		more = sweep_deferred_some(q);
		gpuvm_unlock(q->vm);
		more = more && !has_ready_queue(q);
	}
}
