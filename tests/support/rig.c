/* SPDX-License-Identifier: MIT */
#include "rig_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool rig_fault(struct rig *rig, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(rig->why, sizeof(rig->why), format, args);
	va_end(args);
	return false;
}

void *rig_entry(unsigned long n)
{
	switch (n) {
	case 0:
		return NULL;
	case 1:
		return XA_ZERO_ENTRY;
	case 2:
		return (void *)6UL;
	}
	switch (n % 4) {
	case 0:
		return (void *)(n << 3);
	case 2:
		return (void *)((n << 12) | 2);
	default:
		return xa_mk_value(n);
	}
}

static bool lock_is_held(void *arg)
{
	const struct rig *rig = arg;

	return rig->locks > 0;
}

static bool external(const struct rig *rig)
{
	return mt_external_lock(&rig->tree);
}

void rig_lock(struct rig *rig)
{
	if (!external(rig))
		mtree_lock(&rig->tree);
	/*
	 * There is no other writer: the cursor may live on from one lock hold or section to the
	 * next.
	 */
	rig->mas.guard = 0;
	rig->locks++;
}

void rig_unlock(struct rig *rig)
{
	rig->locks--;
	if (!external(rig))
		mtree_unlock(&rig->tree);
}

bool rig_init(struct rig *rig, unsigned int flags)
{
	return rig_init_in(rig, flags, NULL);
}

bool rig_init_in(struct rig *rig, unsigned int flags, struct mt_mem *mem)
{
	memset(rig, 0, sizeof(*rig));
	rig->own_mem = !mem;
	rig->mem = mem ? mem : mt_mem_create(0, NULL);
	if (!rig->mem)
		return false;
	rig->nodes = nodes_in_use(rig->mem);
	rm_init(&rig->model);
	mt_init_flags(&rig->tree, flags);
	mt_set_mem(&rig->tree, rig->mem);
	if (external(rig))
		mt_set_external_lock_check(&rig->tree, rig, lock_is_held);
	mas_init(&rig->mas, &rig->tree, 0);
	rig->cursor = (struct cursor_model){ .ranges = &rig->model, .status = ma_start };
	return true;
}

bool rig_check(struct rig *rig)
{
	bool good;

	rig_lock(rig);
	good = tree_good(&rig->tree, &rig->model, rig->why);
	rig_unlock(rig);
	return good;
}

bool rig_fini(struct rig *rig)
{
	unsigned long nodes;

	rig_lock(rig);
	mas_destroy(&rig->mas);
	__mt_destroy(&rig->tree);
	rig_unlock(rig);
	nodes = nodes_in_use(rig->mem) - rig->nodes;
	if (rig->own_mem)
		mt_mem_destroy(rig->mem);
	rm_destroy(&rig->model);
	return nodes == 0 || rig_fault(rig, "%lu nodes leaked", nodes);
}

bool rig_changed(struct rig *rig)
{
	enum tree_form form = form_after(rig->cursor.form, &rig->model);
	unsigned int height = mt_height(&rig->tree);

	rig->cursor.form = form;
	if ((form == FORM_NODES) != (height > 0))
		return rig_fault(rig, "height %u in form %d", height, (int)form);
	if (mtree_empty(&rig->tree) != (form == FORM_EMPTY))
		return rig_fault(rig, "mtree_empty() in form %d", (int)form);
	return true;
}

void rig_leave_cursor(struct rig *rig)
{
	if (rig->stay) {
		rig->stale = true;
		return;
	}
	mas_pause(&rig->mas);
	rig->cursor.status = ma_pause;
	rig->part = false;
}

bool rig_refused(const struct op *op, int got, int want)
{
	return got == -ENOMEM && op->gfp != 0 && (want >= 0 || want == -EEXIST);
}

static bool answered(struct rig *rig, const char *what, int got, int want)
{
	return got == want || rig_fault(rig, "%s: %d, should be %d", what, got, want);
}

static bool returned(struct rig *rig, const char *what, const void *got, const void *want)
{
	return got == want || rig_fault(rig, "%s: %p, should be %p", what, got, want);
}

static bool same_key(struct rig *rig, const char *what, unsigned long got, unsigned long want)
{
	return got == want || rig_fault(rig, "%s: %#lx, should be %#lx", what, got, want);
}

/* ---- Writing through the normal API */

/* mtree_store_range(), or a store through a cursor when the lock is external. */
static int do_store(struct rig *rig, unsigned long first, unsigned long last, void *entry,
		    gfp_t gfp)
{
	MA_STATE(mas, &rig->tree, first, last);
	int err;

	if (!external(rig))
		return mtree_store_range(&rig->tree, first, last, entry, gfp);
	if (xa_is_advanced(entry))
		return -EINVAL;
	rig_lock(rig);
	err = mas_store_gfp(&mas, entry, gfp);
	mas_destroy(&mas);
	rig_unlock(rig);
	return err;
}

static bool store_both(struct rig *rig, const struct op *op, unsigned long first,
		       unsigned long last, void *entry)
{
	int want = first > last || xa_is_advanced(entry) ? -EINVAL : 0;
	int got = do_store(rig, first, last, entry, op_gfps[op->gfp]);

	rig_leave_cursor(rig);
	if (rig_refused(op, got, want))
		return true;
	if (want == 0)
		want = rm_store(&rig->model, first, last, entry);
	return answered(rig, "store", got, want) && rig_changed(rig);
}

static bool step_store(struct rig *rig, const struct op *op)
{
	return store_both(rig, op, op->n[0], op->n[1], rig_entry(op->n[2]));
}

static bool occupied(const struct range_model *model, unsigned long first, unsigned long last)
{
	unsigned long start;

	return rm_load(model, first) ||
	       (rm_next(model, first, &start, NULL, NULL) && start <= last);
}

static int want_insert(const struct rig *rig, const struct op *op, const void *entry)
{
	if (op->n[0] > op->n[1] || xa_is_advanced(entry))
		return -EINVAL;
	return occupied(&rig->model, op->n[0], op->n[1]) ? -EEXIST : 0;
}

static bool insert_both(struct rig *rig, const struct op *op, void *entry, int got, int want)
{
	rig_leave_cursor(rig);
	if (rig_refused(op, got, want))
		return true;
	if (want == 0)
		want = rm_store(&rig->model, op->n[0], op->n[1], entry);
	return answered(rig, op_name(op->kind), got, want) && rig_changed(rig);
}

static bool step_insert(struct rig *rig, const struct op *op)
{
	void *entry = rig_entry(op->n[2]);
	int want = want_insert(rig, op, entry);

	return insert_both(
		rig, op, entry,
		mtree_insert_range(&rig->tree, op->n[0], op->n[1], entry, op_gfps[op->gfp]), want);
}

static bool step_reserve(struct rig *rig, const struct op *op)
{
	int want = want_insert(rig, op, XA_ZERO_ENTRY);

	return insert_both(rig, op, XA_ZERO_ENTRY,
			   mtree_reserve(&rig->tree, op->n[0], op->n[1], op_gfps[op->gfp]), want);
}

/* The reserved parts of [first..last] become free, piece by piece. */
static bool step_release(struct rig *rig, const struct op *op)
{
	unsigned long first = op->n[0], last = op->n[1], start, end;
	int got = mtree_release(&rig->tree, first, last);
	unsigned long key = first;
	void *entry;

	rig_leave_cursor(rig);
	if (first > last)
		return answered(rig, "release", got, -EINVAL);
	for (;;) {
		rm_range(&rig->model, key, &start, &end, &entry);
		if (end > last)
			end = last;
		if (xa_is_zero(entry) && rm_store(&rig->model, key, end, NULL) != 0)
			return rig_fault(rig, "the model refused");
		if (end == last)
			break;
		key = end + 1;
	}
	return answered(rig, "release", got, 0) && rig_changed(rig);
}

static bool step_erase(struct rig *rig, const struct op *op)
{
	MA_STATE(mas, &rig->tree, op->n[0], op->n[0]);
	void *want = rm_erase(&rig->model, op->n[0]), *got;

	if (external(rig)) {
		rig_lock(rig);
		got = mas_erase(&mas);
		mas_destroy(&mas);
		rig_unlock(rig);
	} else {
		got = mtree_erase(&rig->tree, op->n[0]);
	}
	rig_leave_cursor(rig);
	return returned(rig, "erase", got, want) && rig_changed(rig);
}

static bool reserved(const void *entry)
{
	return xa_is_internal(entry) && (unsigned long)entry < MAPLE_RESERVED_RANGE;
}

static bool tracks_gaps(const struct rig *rig)
{
	return rig->tree.ma_flags & MT_FLAGS_ALLOC_RANGE;
}

static bool step_alloc(struct rig *rig, const struct op *op)
{
	unsigned long size = op->n[0], min = op->n[1], max = op->n[2], start = 0x5a,
		      want_start = 0x5a;
	void *entry = rig_entry(op->n[3]);
	bool low = op->kind == OP_alloc;
	int got, want = -EINVAL;

	if (!entry)
		return true;
	got = (low ? mtree_alloc_range : mtree_alloc_rrange)(&rig->tree, &start, entry, size, min,
							     max, op_gfps[op->gfp]);
	rig_leave_cursor(rig);
	if (tracks_gaps(rig) && !reserved(entry))
		want = (low ? rm_gap_first : rm_gap_last)(&rig->model, size, min, max, &want_start);
	if (rig_refused(op, got, want))
		return same_key(rig, "refused alloc: start", start, 0x5a);
	if (want == 0)
		want = rm_store(&rig->model, want_start, want_start + size - 1, entry);
	return answered(rig, op_name(op->kind), got, want) &&
	       same_key(rig, "alloc: start", start, want_start) && rig_changed(rig);
}

/* ---- Reading through the normal API */

/* Up to 70 keys at once, near and far from @key: a full group and a part of one. */
static bool load_many(struct rig *rig, unsigned long key)
{
	size_t n = 1 + key % 70;
	unsigned long index[70];
	void *entry[70];

	for (size_t i = 0; i < n; i++)
		index[i] = key + (i % 2 ? i : -i) * (1UL << i % 60);
	mtree_load_batch(&rig->tree, index, entry, n);
	for (size_t i = 0; i < n; i++)
		if (!returned(rig, "load_batch", entry[i], model_load(&rig->model, index[i])))
			return false;
	return true;
}

static bool step_load(struct rig *rig, const struct op *op)
{
	return returned(rig, "load", mtree_load(&rig->tree, op->n[0]),
			model_load(&rig->model, op->n[0])) &&
	       load_many(rig, op->n[0]);
}

static bool step_find(struct rig *rig, const struct op *op)
{
	unsigned long got_index = op->n[0], want_index = op->n[0];
	bool after = op->kind == OP_find_after;
	void *got = (after ? mt_find_after : mt_find)(&rig->tree, &got_index, op->n[1]);
	void *want = after && want_index == 0 ? NULL
					      : model_find(&rig->model, &want_index, op->n[1]);

	return returned(rig, op_name(op->kind), got, want) &&
	       same_key(rig, "find: index", got_index, want_index);
}

static bool step_next(struct rig *rig, const struct op *op)
{
	unsigned long index = op->n[0], max = op->n[1], first;
	void *want = NULL;

	if (index >= max || !rm_next(&rig->model, index, &first, NULL, &want) || first > max)
		want = NULL;
	return returned(rig, "next", mt_next(&rig->tree, index, max), want);
}

static bool step_prev(struct rig *rig, const struct op *op)
{
	unsigned long index = op->n[0], min = op->n[1], last;
	void *want = NULL;

	if (index <= min || !rm_prev(&rig->model, index, NULL, &last, &want) || last < min)
		want = NULL;
	return returned(rig, "prev", mt_prev(&rig->tree, index, min), want);
}

/* ---- The tree as a whole */

/*
 * Sets [*@first..*@last] to range @i of a fill or bulk load; returns false if it does not lie below
 * the end of the key space.
 */
static bool fill_range(const struct op *op, unsigned long i, unsigned long *first,
		       unsigned long *last)
{
	unsigned long start = op->n[0], step = op->n[1], more = op->n[2] - 1;

	if ((i > 0 && step > (ULONG_MAX - start) / i) || more > ULONG_MAX - start - i * step)
		return false;
	*first = start + i * step;
	*last = *first + more;
	return true;
}

static bool step_fill(struct rig *rig, const struct op *op)
{
	unsigned long first, last;
	struct op quiet = { .kind = OP_fill };

	for (unsigned long i = 0; i < op->n[3] && fill_range(op, i, &first, &last); i++) {
		if (!store_both(rig, &quiet, first, last, xa_mk_value(i)))
			return false;
	}
	return true;
}

static bool bulk_store(struct rig *rig, struct ma_state *mas, unsigned long i, unsigned long first,
		       unsigned long last)
{
	do {
		mas->index = first;
		mas->last = last;
		mas_store(mas, xa_mk_value(i));
	} while (mas_nomem(mas, GFP_KERNEL));
	if (mas_is_err(mas))
		return rig_fault(rig, "bulk: error %d", xa_err(mas->node));
	return rm_store(&rig->model, first, last, xa_mk_value(i)) == 0;
}

static bool step_bulk(struct rig *rig, const struct op *op)
{
	MA_STATE(mas, &rig->tree, 0, 0);
	unsigned long first, last;
	bool good = true;

	if (mt_in_rcu(&rig->tree))
		return step_fill(rig, op);
	rig_lock(rig);
	if (mas_expected_entries(&mas, op->n[3]) != 0)
		good = rig_fault(rig, "bulk: no memory");
	for (unsigned long i = 0; good && i < op->n[3] && fill_range(op, i, &first, &last); i++)
		good = bulk_store(rig, &mas, i, first, last);
	mas_destroy(&mas);
	rig_unlock(rig);
	rig_leave_cursor(rig);
	/* Without a store the tree is unchanged; otherwise the form follows from the last store. */
	return good && rig_changed(rig);
}

static int dup_tree(struct rig *rig, struct maple_tree *from, struct maple_tree *to, gfp_t gfp)
{
	int err;

	if (!external(rig))
		return mtree_dup(from, to, gfp);
	rig->locks++;
	err = __mt_dup(from, to, gfp);
	rig->locks--;
	return err;
}

static void destroy_tree(struct rig *rig, struct maple_tree *tree)
{
	if (external(rig)) {
		rig->locks++;
		__mt_destroy(tree);
		rig->locks--;
	} else {
		mtree_destroy(tree);
	}
}

static bool copy_good(struct rig *rig, struct maple_tree *copy)
{
	bool good;

	if (mt_height(copy) != mt_height(&rig->tree) || copy->ma_flags != rig->tree.ma_flags)
		return rig_fault(rig, "dup: flags %#x of %#x", copy->ma_flags, rig->tree.ma_flags);
	rig->locks++;
	if (!external(rig))
		mtree_lock(copy);
	good = tree_good(copy, &rig->model, rig->why);
	if (!external(rig))
		mtree_unlock(copy);
	rig->locks--;
	return good;
}

/* Bit 0: go on with a copy of the copy. Bit 1: give the copy other flags, which must be refused. */
static bool step_dup(struct rig *rig, const struct op *op)
{
	unsigned int flags = rig->tree.ma_flags & ~MT_FLAGS_HEIGHT_MASK;
	int want = op->n[0] & 2 ? -EINVAL : 0, got;
	struct maple_tree copy;
	bool good;

	mt_init_flags(&copy, want ? flags ^ MT_FLAGS_ALLOC_RANGE : flags);
	mt_set_mem(&copy, rig->mem);
	if (external(rig))
		mt_set_external_lock_check(&copy, rig, lock_is_held);
	got = dup_tree(rig, &rig->tree, &copy, op_gfps[op->gfp]);
	if (got != 0)
		return (rig_refused(op, got, want) || answered(rig, "dup", got, want)) &&
		       (mtree_empty(&copy) || rig_fault(rig, "a failed dup left something"));
	good = answered(rig, "dup", got, want) && copy_good(rig, &copy);
	if (good && (op->n[0] & 1)) {
		destroy_tree(rig, &rig->tree);
		got = dup_tree(rig, &copy, &rig->tree, GFP_KERNEL);
		good = answered(rig, "dup back", got, 0) && copy_good(rig, &copy);
		rig_leave_cursor(rig);
	}
	destroy_tree(rig, &copy);
	return good && rig_changed(rig);
}

static bool step_rcu(struct rig *rig, const struct op *op)
{
	bool on = op->n[0] & 1;

	if (external(rig))
		rig->locks++;
	if (on)
		mt_set_in_rcu(&rig->tree);
	else
		mt_clear_in_rcu(&rig->tree);
	if (external(rig))
		rig->locks--;
	rig_leave_cursor(rig);
	return mt_in_rcu(&rig->tree) == on || rig_fault(rig, "RCU mode did not switch");
}

static bool step_destroy(struct rig *rig, const struct op *op)
{
	(void)op;
	destroy_tree(rig, &rig->tree);
	rm_destroy(&rig->model);
	rm_init(&rig->model);
	rig_leave_cursor(rig);
	return rig_changed(rig);
}

static bool step_check(struct rig *rig, const struct op *op)
{
	(void)op;
	return rig_check(rig);
}

/* Steps that need the internal lock are skipped with an external one. */
static const struct {
	bool (*run)(struct rig *rig, const struct op *op);
	bool internal_only;
} steps[NR_OPS] = {
	[OP_store] = { step_store, false },     [OP_insert] = { step_insert, true },
	[OP_erase] = { step_erase, false },     [OP_alloc] = { step_alloc, true },
	[OP_alloc_rev] = { step_alloc, true },  [OP_reserve] = { step_reserve, true },
	[OP_release] = { step_release, true },  [OP_load] = { step_load, false },
	[OP_find] = { step_find, false },       [OP_find_after] = { step_find, false },
	[OP_next] = { step_next, false },       [OP_prev] = { step_prev, false },
	[OP_dup] = { step_dup, false },         [OP_bulk] = { step_bulk, false },
	[OP_fill] = { step_fill, false },       [OP_rcu] = { step_rcu, false },
	[OP_destroy] = { step_destroy, false }, [OP_check] = { step_check, false },
};

bool rig_step(struct rig *rig, const struct op *op)
{
	if ((unsigned int)op->kind >= NR_OPS || op->gfp >= NR_GFPS)
		return rig_fault(rig, "no such step");
	if (!steps[op->kind].run)
		return rig_cursor_step(rig, op);
	if (steps[op->kind].internal_only && external(rig))
		return true;
	return steps[op->kind].run(rig, op);
}
