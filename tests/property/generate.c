/* SPDX-License-Identifier: MIT */
#include "generate.h"

#include "support/rng.h"

struct draw {
	struct rng rng;
	const struct profile *profile;
	const struct range_model *model;
	uint64_t number;
};

static uint64_t below(struct draw *d, uint64_t bound)
{
	return rng_below(&d->rng, bound);
}

static bool one_in(struct draw *d, uint64_t n)
{
	return below(d, n) == 0;
}

/* ---- Keys. Each spread gives a first key and how many more keys a range may well have. */

struct span {
	unsigned long first;
	unsigned long more;
};

static struct span span_tiny(struct draw *d)
{
	return (struct span){ below(d, 64), below(d, 8) };
}

static struct span span_bytes(struct draw *d)
{
	return (struct span){ below(d, 1UL << 20), below(d, 200) };
}

static struct span span_pages(struct draw *d)
{
	return (struct span){ 0x7f0000000000UL + (below(d, 1UL << 18) << 12),
			      ((1 + below(d, 32)) << 12) - 1 };
}

static struct span span_huge_pages(struct draw *d)
{
	return (struct span){ below(d, 1UL << 24) << 21, ((1 + below(d, 4)) << 21) - 1 };
}

/* A few places far apart, dense around each. */
static struct span span_clusters(struct draw *d)
{
	struct rng place = rng_make(17, below(d, 12));

	return (struct span){ rng_next(&place) + below(d, 3000), below(d, 20) };
}

/* All of the key space, often at its ends. */
static struct span span_sparse(struct draw *d)
{
	unsigned long key = rng_next(&d->rng) >> below(d, 64);

	if (one_in(d, 2))
		key = ~key;
	return (struct span){ key, rng_next(&d->rng) >> below(d, 64) >> 3 };
}

/* Adjacent single keys, very far from the next such group: no common alignment. */
static struct span span_wide(struct draw *d)
{
	return (struct span){ (below(d, 256) << 56) + below(d, 9), below(d, 4) };
}

static struct span span_nested(struct draw *d)
{
	unsigned long size = 1UL << below(d, 24);

	return (struct span){ below(d, (1UL << 24) / size) * size, size - 1 };
}

static struct span span_ascending(struct draw *d)
{
	return (struct span){ 10 * (d->number % 30000) + below(d, 4), below(d, 9) };
}

static struct span span_descending(struct draw *d)
{
	return (struct span){ ULONG_MAX - 10 - 10 * (d->number % 30000) + below(d, 4),
			      below(d, 9) };
}

static const struct {
	const char *name;
	struct span (*take)(struct draw *d);
	unsigned long most; /* the most ranges that make sense */
} key_spreads[] = {
	{ "tiny", span_tiny, 40 },
	{ "bytes", span_bytes, 8000 },
	{ "pages", span_pages, 8000 },
	{ "huge pages", span_huge_pages, 8000 },
	{ "clusters", span_clusters, 4000 },
	{ "sparse", span_sparse, 4000 },
	{ "wide", span_wide, 2000 },
	{ "nested", span_nested, 3000 },
	{ "ascending", span_ascending, 8000 },
	{ "descending", span_descending, 8000 },
};

#define NR_SPREADS (sizeof(key_spreads) / sizeof(key_spreads[0]))

static struct span take_span(struct draw *d)
{
	struct span span = key_spreads[d->profile->keys].take(d);

	if (span.more > ULONG_MAX - span.first)
		span.more = ULONG_MAX - span.first;
	return span;
}

static const struct rm_range *some_range(struct draw *d)
{
	return &d->model->ranges[below(d, d->model->count)];
}

/* Returns a key at or next to the end of a range, one of the ends of the key space, or any key. */
static unsigned long take_key(struct draw *d)
{
	static const unsigned long ends[] = { 0, 1, ULONG_MAX - 1, ULONG_MAX };
	const struct rm_range *range;

	if (one_in(d, 40))
		return ends[below(d, 4)];
	if (d->model->count == 0 || !one_in(d, 3))
		return take_span(d).first;
	range = some_range(d);
	switch (below(d, 5)) {
	case 0:
		return range->first;
	case 1:
		return range->last;
	case 2:
		return range->first - (range->first > 0);
	case 3:
		return range->last + (range->last < ULONG_MAX);
	default:
		return range->first + below(d, range->last - range->first);
	}
}

/* Takes several ranges, from the beginning or the middle of the first. */
static void take_run(struct draw *d, unsigned long *first, unsigned long *last)
{
	size_t at = below(d, d->model->count), over = one_in(d, 10) ? 60 : 3;
	const struct rm_range *from = &d->model->ranges[at], *to;

	/*
	 * What removes a large part of the tree must be as rare as that part is large, or no tree
	 * grows.
	 */
	if (one_in(d, 20 + d->model->count))
		over = d->model->count / 4;
	at += below(d, over + 1);
	to = &d->model->ranges[at < d->model->count ? at : d->model->count - 1];
	*first = one_in(d, 2) ? from->first : from->first + below(d, from->last - from->first);
	*last = one_in(d, 2) ? to->last : to->first + below(d, to->last - to->first);
	if (one_in(d, 4))
		*first -= *first > 0;
	if (one_in(d, 4))
		*last += *last < ULONG_MAX;
	if (*last < *first)
		*last = *first;
}

static void take_range(struct draw *d, unsigned long *first, unsigned long *last)
{
	struct span span;

	if (d->model->count > 0 && one_in(d, 6)) {
		const struct rm_range *range = some_range(d);

		*first = range->first;
		*last = range->last;
	} else if (d->model->count > 0 && one_in(d, 8)) {
		take_run(d, first, last);
	} else if (one_in(d, 8)) {
		*first = take_key(d);
		*last = take_key(d);
		if (*last < *first) {
			unsigned long swap = *first;

			*first = *last;
			*last = swap;
		}
		/* The same goes for what lies between two keys. */
		if (!one_in(d, 10 + d->model->count) && *last - *first > 64)
			*last = *first + below(d, 64);
	} else {
		span = take_span(d);
		*first = span.first;
		*last = span.first + span.more;
	}
	/* A mistake of the caller's. */
	if (one_in(d, 500) && *last > *first) {
		unsigned long swap = *first;

		*first = *last;
		*last = swap;
	}
}

/* For trees that should grow: seldom NULL. */
static unsigned long take_entry(struct draw *d, bool grow)
{
	if (one_in(d, grow ? 12 : 2))
		return 0;
	return one_in(d, 16) ? below(d, 8) : 4 + below(d, 1000000);
}

/* ---- Steps, each with two weights: for a tree that is too small, and for one that is too large */

static const struct {
	unsigned char kind, grow, shrink;
} weights[] = {
	{ OP_store, 20, 10 },       { OP_insert, 10, 4 },      { OP_erase, 3, 24 },
	{ OP_alloc, 4, 2 },         { OP_alloc_rev, 4, 2 },    { OP_alloc_cyclic, 3, 2 },
	{ OP_reserve, 3, 2 },       { OP_release, 1, 3 },      { OP_load, 6, 6 },
	{ OP_find, 3, 3 },          { OP_find_after, 1, 1 },   { OP_next, 3, 3 },
	{ OP_prev, 3, 3 },          { OP_cur_set, 6, 6 },      { OP_cur_pause, 2, 2 },
	{ OP_cur_reset, 2, 2 },     { OP_cur_move, 30, 30 },   { OP_cur_store, 8, 8 },
	{ OP_cur_store_gfp, 8, 8 }, { OP_cur_prealloc, 8, 8 }, { OP_cur_abandon, 2, 2 },
	{ OP_cur_erase, 3, 16 },    { OP_area, 3, 2 },         { OP_area_rev, 3, 2 },
	{ OP_cur_cyclic, 2, 2 },    { OP_cur_stay, 1, 1 },     { OP_cur_part, 6, 6 },
	{ OP_cur_fail, 1, 1 },
};

#define NR_WEIGHTS (sizeof(weights) / sizeof(weights[0]))

static enum op_kind take_kind(struct draw *d, bool grow)
{
	unsigned int sum = 0, at;

	for (size_t i = 0; i < NR_WEIGHTS; i++)
		sum += grow ? weights[i].grow : weights[i].shrink;
	at = (unsigned int)below(d, sum);
	for (size_t i = 0;; i++) {
		unsigned int weight = grow ? weights[i].grow : weights[i].shrink;

		if (at < weight)
			return weights[i].kind;
		at -= weight;
	}
}

/*
 * Steps that look at or change the whole tree cost as much as it is large, so the larger the tree,
 * the rarer they are.
 */
static bool take_rare(struct draw *d, struct op *op)
{
	static const unsigned char rare[] = { OP_dup,   OP_bulk, OP_fill,     OP_rcu, OP_check,
					      OP_check, OP_each, OP_each_rev, OP_rcu };
	struct span span;

	if (!one_in(d, 60 + d->model->count / 2))
		return false;
	op->kind = rare[below(d, sizeof(rare))];
	if (one_in(d, 40))
		op->kind = OP_destroy;
	span = take_span(d);
	op->n[0] = span.first;
	if (op->kind == OP_bulk || op->kind == OP_fill) {
		op->n[2] = 1 + below(d, span.more + (span.more < ULONG_MAX));
		op->n[1] = op->n[2] + (one_in(d, 2) ? below(d, op->n[2]) : 0);
		op->n[3] = below(d, 1 + d->profile->size / 4);
	} else if (op->kind == OP_each) {
		op->n[0] = take_key(d);
		op->n[1] = one_in(d, 3) ? ULONG_MAX : take_key(d);
	} else if (op->kind == OP_each_rev) {
		op->n[0] = take_key(d);
		op->n[1] = one_in(d, 3) ? 0 : take_key(d);
	} else if (op->kind == OP_rcu || op->kind == OP_dup) {
		op->n[0] = below(d, 4);
	}
	return true;
}

static unsigned long take_limit(struct draw *d, enum cursor_move move)
{
	if (one_in(d, 2))
		return move == MOVE_PREV || move == MOVE_PREV_RANGE || move >= MOVE_FIND_REV
			       ? 0
			       : ULONG_MAX;
	return take_key(d);
}

static void take_window(struct draw *d, unsigned long *min, unsigned long *max)
{
	*min = one_in(d, 3) ? 0 : take_key(d);
	*max = one_in(d, 3) ? ULONG_MAX : take_key(d);
}

static void take_numbers(struct draw *d, struct op *op, bool grow)
{
	unsigned long size;

	switch (op->kind) {
	case OP_alloc:
	case OP_alloc_rev:
		op->n[0] = 1 + take_span(d).more;
		take_window(d, &op->n[1], &op->n[2]);
		op->n[3] = take_entry(d, true);
		break;
	case OP_area:
	case OP_area_rev:
		take_window(d, &op->n[0], &op->n[1]);
		size = take_span(d).more;
		op->n[2] = one_in(d, 10) ? size : 1 + size;
		op->n[3] = one_in(d, 2) ? 0 : take_entry(d, true);
		break;
	case OP_alloc_cyclic:
	case OP_cur_cyclic:
		take_window(d, &op->n[0], &op->n[1]);
		op->n[2] = one_in(d, 2) ? op->n[0] : take_key(d);
		op->n[3] = take_entry(d, true);
		break;
	case OP_cur_move:
		op->n[0] = below(d, NR_MOVES);
		op->n[1] = take_limit(d, (enum cursor_move)op->n[0]);
		break;
	case OP_cur_stay:
		op->n[0] = below(d, 2);
		break;
	case OP_load:
	case OP_erase:
	case OP_cur_erase:
		op->n[0] = take_key(d);
		op->n[1] = below(d, 2);
		break;
	case OP_find:
	case OP_find_after:
	case OP_next:
		op->n[0] = take_key(d);
		op->n[1] = one_in(d, 2) ? ULONG_MAX : take_key(d);
		break;
	case OP_prev:
		op->n[0] = take_key(d);
		op->n[1] = one_in(d, 2) ? 0 : take_key(d);
		break;
	default:
		take_range(d, &op->n[0], &op->n[1]);
		op->n[2] = take_entry(d, grow);
		op->n[3] = below(d, 2);
	}
}

struct op generate(const struct profile *profile, const struct rig *rig, uint64_t seed,
		   uint64_t round, uint64_t number)
{
	struct draw d = { rng_make(seed ^ (round << 32), number), profile, &rig->model, number };
	/* Grows and shrinks in waves. */
	unsigned long size = (number / (2 * profile->size + 1)) % 3 == 2 ? profile->size / 4
									 : profile->size;
	bool grow = rig->model.count < size;
	struct op op = { 0 };

	op.gfp = one_in(&d, 4) ? (unsigned int)below(&d, NR_GFPS) : 0;
	if (take_rare(&d, &op))
		return op;
	op.kind = take_kind(&d, grow);
	take_numbers(&d, &op, grow);
	return op;
}

struct profile profile_make(uint64_t seed, uint64_t round, unsigned long steps)
{
	struct rng rng = rng_make(seed, round);
	struct profile profile = { .keys = (unsigned int)rng_below(&rng, NR_SPREADS) };
	unsigned long most = key_spreads[profile.keys].most;

	if (rng_one_in(&rng, 2))
		profile.flags |= MT_FLAGS_ALLOC_RANGE;
	if (rng_one_in(&rng, 2))
		profile.flags |= MT_FLAGS_USE_RCU;
	if (rng_one_in(&rng, 5))
		profile.flags |= RIG_EXTERN;
	/* From a single leaf to as many levels as the number of steps allows. */
	profile.size = 1 + (most >> rng_below(&rng, 10));
	profile.steps = 50 + rng_below(&rng, steps - 50);
	return profile;
}

const char *profile_keys(const struct profile *profile)
{
	return key_spreads[profile->keys].name;
}
