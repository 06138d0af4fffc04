/* SPDX-License-Identifier: MIT */
#include "space.h"

#include <errno.h>
#include <stdlib.h>

void space_init(struct space *space, bool rcu, struct history *history)
{
	*space = (struct space){ .history = history };
	mt_init_flags(&space->tree, MT_FLAGS_ALLOC_RANGE);
	if (rcu)
		mt_set_in_rcu(&space->tree);
	reclaimer_init(&space->reclaimer, rcu, mapping_free);
}

void space_destroy(struct space *space)
{
	MA_STATE(mas, &space->tree, 0, 0);
	struct mapping *mapping;

	mas_lock(&mas);
	if (!space->wrong) {
		mas_for_each(&mas, mapping, ULONG_MAX)
			mapping_discard(mapping);
	}
	mas_unlock(&mas);
	mtree_destroy(&space->tree);
	reclaimer_finish(&space->reclaimer);
	free(space->victims);
}

/* ---- Steps ---- */

/*
 * Stores @mapping (NULL: nothing) over [first..last]. end_store() must follow, even after an error.
 * CONTEXT: the tree's lock.
 */
static int begin_store(struct space *space, uint64_t first, uint64_t last, struct mapping *mapping)
{
	MA_STATE(mas, &space->tree, first, last);
	uint64_t step = ++space->step;

	if (mapping)
		mapping->birth = step;
	if (space->history)
		history_begin(space->history, step, first, last, mapping);
	return mas_store_gfp(&mas, mapping, GFP_KERNEL);
}

/* Tells readers that the store has ended, with result @err, and returns @err. */
static int end_store(struct space *space, uint64_t first, uint64_t last, int err)
{
	if (space->history && err)
		history_cancel(space->history, space->step, first, last);
	else if (space->history)
		history_finish(space->history, space->step);
	return err;
}

/* Replaces the part of @old that @rest covers by @rest, a record with the same contents. */
static int store_rest(struct space *space, struct mapping *old, struct mapping *rest)
{
	uint64_t none = 0;
	int err;

	/* Before the store: a reader that sees the shorter range also sees the reason. */
	atomic_compare_exchange_strong(&old->cut, &none, space->step + 1);
	err = begin_store(space, rest->what.first, rest->what.last, rest);
	if (!err)
		space->live++;
	return end_store(space, rest->what.first, rest->what.last, err);
}

static int add_victim(struct space *space, struct mapping *mapping)
{
	if (space->nr_victims == space->room) {
		size_t room = space->room ? space->room * 2 : 64;
		struct mapping **victims = realloc(space->victims, room * sizeof(*victims));

		if (!victims)
			return -ENOMEM;
		space->victims = victims;
		space->room = room;
	}
	space->victims[space->nr_victims++] = mapping;
	return 0;
}

/* Gathers the records that reach into [first..last], in order. CONTEXT: the tree's lock. */
static int find_victims(struct space *space, uint64_t first, uint64_t last)
{
	MA_STATE(mas, &space->tree, first, first);
	struct mapping *mapping;

	space->nr_victims = 0;
	mas_for_each(&mas, mapping, last) {
		if (add_victim(space, mapping))
			return -ENOMEM;
	}
	return 0;
}

/* Returns what is left of @mapping from @addr on. */
static struct as_mapping rest_above(struct as_mapping mapping, uint64_t addr)
{
	if (mapping.object)
		mapping.offset += addr - mapping.first;
	mapping.first = addr;
	return mapping;
}

static struct as_mapping rest_below(struct as_mapping mapping, uint64_t addr)
{
	mapping.last = addr - 1;
	return mapping;
}

/* Makes records for the parts that stick out of [first..last], or NULL where nothing does. */
static int make_rests(struct space *space, uint64_t first, uint64_t last, struct mapping **below,
		      struct mapping **above)
{
	struct mapping *lowest, *highest;
	struct as_mapping what;

	*below = *above = NULL;
	if (!space->nr_victims)
		return 0;
	lowest = space->victims[0];
	highest = space->victims[space->nr_victims - 1];
	if (lowest->what.first < first) {
		what = rest_below(lowest->what, first);
		*below = mapping_new(&what);
		if (!*below)
			return -ENOMEM;
	}
	if (highest->what.last > last) {
		what = rest_above(highest->what, last + 1);
		*above = mapping_new(&what);
		if (!*above) {
			mapping_discard(*below);
			return -ENOMEM;
		}
	}
	return 0;
}

/* Marks the victims as removed in step @step; 0: still alive. */
static void set_death(struct space *space, uint64_t step)
{
	for (size_t i = 0; i < space->nr_victims; i++)
		atomic_store(&space->victims[i]->death, step);
}

static void retire_victims(struct space *space)
{
	for (size_t i = 0; i < space->nr_victims; i++) {
		struct mapping *victim = space->victims[i];

		reclaimer_retire(&space->reclaimer, victim);
		space->live--;
	}
}

/*
 * Makes [first..last] hold @mapping (NULL: nothing), whatever was there:
 *
 *     |---- A ----|  |-B-|  |---- C ----|          before
 *     |-A'-|                    |---C'--|          after the two rests
 *     |-A'-|------- mapping ----|---C'--|          after the last step; A, B, C are retired
 *
 * On success the tree owns @mapping, on failure the caller does. CONTEXT: the tree's lock.
 */
static int replace(struct space *space, uint64_t first, uint64_t last, struct mapping *mapping)
{
	struct mapping *below, *above;
	int err = find_victims(space, first, last);

	if (!err)
		err = make_rests(space, first, last, &below, &above);
	if (err)
		return err;
	if (below)
		err = store_rest(space, space->victims[0], below);
	if (err)
		goto discard;
	if (above)
		err = store_rest(space, space->victims[space->nr_victims - 1], above);
	if (err) {
		below = NULL;
		goto discard;
	}
	set_death(space, space->step + 1);
	err = begin_store(space, first, last, mapping);
	/* Before the step is over: a reader that finds the victims afterwards relies on it. */
	if (err)
		set_death(space, 0);
	err = end_store(space, first, last, err);
	if (err)
		return err;
	if (mapping)
		space->live++;
	retire_victims(space);
	if (space->live > space->peak)
		space->peak = space->live;
	return 0;

discard:
	mapping_discard(below);
	mapping_discard(above);
	return err;
}

static int replace_with(struct space *space, const struct as_mapping *what)
{
	struct mapping *mapping = mapping_new(what);
	int err = mapping ? replace(space, what->first, what->last, mapping) : -ENOMEM;

	if (err)
		mapping_discard(mapping);
	return err;
}

/* ---- Operations ---- */

static struct mapping *mapping_at(struct space *space, uint64_t addr)
{
	MA_STATE(mas, &space->tree, addr, addr);

	return mas_walk(&mas);
}

static int map(struct space *space, const struct trace_op *op)
{
	struct as_mapping what = { op->addr, trace_op_last(op), op->object, op->offset, op->flags };

	return replace_with(space, &what);
}

/* Whether [first..last] is mapped throughout. The victims must be those of the range. */
static bool victims_cover(const struct space *space, uint64_t first, uint64_t last)
{
	for (size_t i = 0; i < space->nr_victims; i++) {
		const struct as_mapping *what = &space->victims[i]->what;

		if (what->first > first)
			return false;
		if (what->last >= last)
			return true;
		first = what->last + 1;
	}
	return false;
}

/* Returns NULL, or why @op cannot be done. The victims must be those of its range. */
static const char *protect_fault(const struct space *space, const struct trace_op *op)
{
	if (!victims_cover(space, op->addr, trace_op_last(op)))
		return "protects a range that is not wholly mapped";
	for (size_t i = 0; i < space->nr_victims; i++) {
		if ((space->victims[i]->what.flags ^ op->flags) & TRACE_KEPT)
			return "protects with another s, p or g than what is mapped has";
	}
	return NULL;
}

static int protect(struct space *space, const struct trace_op *op, const char **why)
{
	uint64_t addr = op->addr, last = trace_op_last(op);
	int err = find_victims(space, addr, last);
	const char *fault;

	if (err)
		return err;
	fault = protect_fault(space, op);
	if (fault) {
		*why = fault;
		return -EINVAL;
	}
	/* The victims change with every replacement, so continue by address. */
	for (;;) {
		struct as_mapping what = mapping_at(space, addr)->what;

		if (what.first < addr)
			what = rest_above(what, addr);
		if (what.last > last)
			what = rest_below(what, last + 1);
		if (what.flags != op->flags) {
			what.flags = op->flags;
			err = replace_with(space, &what);
		}
		if (err || what.last == last)
			return err;
		addr = what.last + 1;
	}
}

static int grow(struct space *space, uint64_t old_last, uint64_t new_last, const char **why)
{
	MA_STATE(mas, &space->tree, old_last + 1, old_last + 1);
	struct as_mapping what;

	if (mas_find(&mas, new_last)) {
		*why = "grows into what is mapped already";
		return -EINVAL;
	}
	what = mapping_at(space, old_last)->what;
	what.last = new_last;
	return replace_with(space, &what);
}

/* The pieces of a move: what will be mapped in the new range. */
struct pieces {
	struct as_mapping *what;
	size_t count;
};

/* Cuts the victims to what is moved and shifts them; the last one grows if the range does. */
static int make_pieces(struct space *space, const struct trace_op *op, struct pieces *pieces)
{
	uint64_t old_last = trace_op_last(op);
	uint64_t last = op->new_length < op->length ? op->addr + op->new_length - 1 : old_last;

	pieces->count = 0;
	pieces->what = malloc(space->nr_victims * sizeof(*pieces->what));
	if (!pieces->what)
		return -ENOMEM;
	for (size_t i = 0; i < space->nr_victims; i++) {
		struct as_mapping what = space->victims[i]->what;

		if (what.first > last)
			break;
		if (what.first < op->addr)
			what = rest_above(what, op->addr);
		if (what.last > last)
			what = rest_below(what, last + 1);
		what.first += op->new_addr - op->addr;
		what.last += op->new_addr - op->addr;
		if (what.last == op->new_addr + (op->length - 1))
			what.last = op->new_addr + (op->new_length - 1);
		pieces->what[pieces->count++] = what;
	}
	return 0;
}

/* The victims must be those of the old range. */
static int move_away(struct space *space, const struct trace_op *op)
{
	struct pieces pieces;
	int err = make_pieces(space, op, &pieces);

	if (!err)
		err = replace(space, op->new_addr, op->new_addr + (op->new_length - 1), NULL);
	for (size_t i = 0; !err && i < pieces.count; i++)
		err = replace_with(space, &pieces.what[i]);
	if (!err)
		err = replace(space, op->addr, trace_op_last(op), NULL);
	free(pieces.what);
	return err;
}

/* Returns NULL, or why @op, a move, cannot be done. The victims must be those of the old range. */
static const char *move_fault(const struct space *space, const struct trace_op *op)
{
	uint64_t old_last = trace_op_last(op), offset;
	const struct as_mapping *end;

	if (!space->nr_victims)
		return "moves a range in which nothing is mapped";
	if (op->new_length <= op->length)
		return NULL;
	end = &space->victims[space->nr_victims - 1]->what;
	if (end->last < old_last)
		return "grows a range whose end is not mapped";
	offset = end->offset + (old_last - end->first);
	if (end->object && offset + (op->new_length - op->length) < offset)
		return "grows to where the offset goes beyond 64 bits";
	return NULL;
}

static int move(struct space *space, const struct trace_op *op, const char **why)
{
	uint64_t old_last = trace_op_last(op);
	int err = find_victims(space, op->addr, old_last);
	const char *fault;

	if (err)
		return err;
	fault = move_fault(space, op);
	if (fault) {
		*why = fault;
		return -EINVAL;
	}
	if (op->addr != op->new_addr)
		return move_away(space, op);
	if (op->new_length < op->length)
		return replace(space, op->addr + op->new_length, old_last, NULL);
	if (op->new_length == op->length)
		return 0;
	return grow(space, old_last, op->addr + (op->new_length - 1), why);
}

/* The one operation that reads: through the normal API, without the lock. */
static int load(struct space *space, const struct trace_op *op, const char **why)
{
	const struct mapping *mapping = mtree_load(&space->tree, op->addr);

	if (mapping && mapping->what.first <= op->addr && op->addr <= mapping->what.last)
		return 0;
	*why = mapping ? "the tree gave a mapping that does not contain the address"
		       : "looks up an address that is not mapped";
	return -EINVAL;
}

int space_apply(struct space *space, const struct trace_op *op, const char **why)
{
	int err;

	if (op->verb == TRACE_LOAD)
		return load(space, op, why);
	mtree_lock(&space->tree);
	if (op->verb == TRACE_MAP)
		err = map(space, op);
	else if (op->verb == TRACE_UNMAP)
		err = replace(space, op->addr, trace_op_last(op), NULL);
	else if (op->verb == TRACE_PROTECT)
		err = protect(space, op, why);
	else
		err = move(space, op, why);
	mtree_unlock(&space->tree);
	return err;
}

size_t space_write_runs(void *arg, FILE *out)
{
	struct space *space = arg;
	MA_STATE(mas, &space->tree, 0, 0);
	const struct mapping *mapping;
	struct as_runs runs;

	as_runs_begin(&runs, out);
	mas_lock(&mas);
	mas_for_each(&mas, mapping, ULONG_MAX)
		as_runs_add(&runs, &mapping->what);
	mas_unlock(&mas);
	as_runs_end(&runs);
	return as_runs_count(&runs);
}
