/* SPDX-License-Identifier: MIT */
/*
 * Ranges in pieces after many random stores, most of them erases and refills, so that pieces are
 * joined all the time; and cursors that such stores overtake.
 */
#include "run_bed.h"

enum { MANY_RANGES = 1600, OPS = 6000, CHECK = 16, NEAR = 12, LONG_GAP = 64 * LEN };

/* A place where random stores stay for a while, so that each finds what earlier ones left. */
struct hunt {
	struct bed *b;
	unsigned long from;   /* unit */
	unsigned long joined; /* stores that have joined pieces */
};

static unsigned long hunted(struct hunt *h)
{
	return h->from + rng_below(&h->b->rng, NEAR * LEN);
}

/* Stores in one of the ways outside of transactions, some of which drop the lock. */
static void hunt_store(struct hunt *h, unsigned long first, unsigned long last, void *entry)
{
	struct bed *b = h->b;
	enum way way = b->held ? WAY_STORE : (enum way)rng_below(&b->rng, WAY_COMMIT);

	if (way == WAY_INSERT && !entry)
		way = WAY_STORE;
	store_by(b, way, first, last, entry);
	h->joined += entry && pieces(b, first / b->unit) > 1;
}

static void hunt_erase(struct hunt *h)
{
	erase(h->b, hunted(h));
}

/* Stores over all of a gap, but not the one behind everything. */
static void hunt_gap(struct hunt *h)
{
	unsigned long first, last;
	void *entry;

	rm_range(&h->b->model, first_key(h->b, hunted(h)), &first, &last, &entry);
	if (!entry && last - first < LONG_GAP * h->b->unit)
		hunt_store(h, first, last, new_entry(h->b));
}

/* Stores over some neighbouring pieces of a gap. */
static void hunt_pieces(struct hunt *h)
{
	struct bed *b = h->b;
	void *leaf = leaf_of(b, hunted(h)), *const *slots = smr_slots(leaf);
	unsigned int i = (unsigned int)b->mas.offset, end = b->mas.end, from, to;
	unsigned long first, last;

	if (smr_value(slots, i))
		return;
	from = smr_run_from(slots, smr_head(slots, i));
	to = smr_run_to(slots, i, end);
	from = smr_head(slots, from + (unsigned int)rng_below(&b->rng, to - from + 1));
	to = smr_tail(slots, from + (unsigned int)rng_below(&b->rng, to - from + 1), end);
	first = smr_leaf_first(leaf, from, b->mas.min);
	last = smr_leaf_last(leaf, to, end, b->mas.max);
	if (last - first < LONG_GAP * b->unit)
		hunt_store(h, first, last, new_entry(b));
}

/* Stores the same range again, or NULL in its place, perhaps where NULL is already. */
static void hunt_range(struct hunt *h)
{
	struct bed *b = h->b;
	unsigned long first, last, end;
	bool swap = rng_one_in(&b->rng, 2);
	void *entry;

	rm_range(&b->model, first_key(b, hunted(h)), &first, &last, &entry);
	if (!entry)
		return;
	if (!swap && last < ULONG_MAX) {
		rm_range(&b->model, last + 1, NULL, &end, &entry);
		if (!entry && end - last < LONG_GAP * b->unit)
			last += b->unit * rng_below(&b->rng, (end - last) / b->unit + 1);
	}
	hunt_store(h, first, last, swap ? new_entry(b) : NULL);
}

static void hunt_part(struct hunt *h)
{
	struct bed *b = h->b;
	unsigned long from = hunted(h), to = from + rng_below(&b->rng, 3 * LEN);

	hunt_store(h, first_key(b, from), last_key(b, to),
		   rng_one_in(&b->rng, 2) ? NULL : new_entry(b));
}

static void hunt_txn(struct hunt *h)
{
	struct bed *b = h->b;
	unsigned long from = hunted(h), to = from + rng_below(&b->rng, 2 * LEN);

	b->at = hunted(h);
	store_in_txn(b, first_key(b, from), last_key(b, to), rng_one_in(&b->rng, 2) ? b : NULL,
		     rng_one_in(&b->rng, 2));
}

/* Erases an entry and the one behind it, then one entry takes the place of both. */
static void hunt_pair(struct hunt *h)
{
	struct bed *b = h->b;
	unsigned long unit = hunted(h), first, last, end;
	void *entry, *other;

	rm_range(&b->model, first_key(b, unit), &first, &last, &entry);
	if (last - first >= LONG_GAP * b->unit)
		return;
	rm_range(&b->model, last + 1, NULL, &end, &other);
	if (!entry || !other)
		return;
	erase(b, first / b->unit);
	erase(b, end / b->unit);
	hunt_store(h, first, end, new_entry(b));
}

/* Stores four ranges as they were in the beginning. */
static void hunt_restore(struct hunt *h)
{
	unsigned long from = hunted(h) / LEN * LEN;

	for (unsigned int i = 0; i < 4; i++, from += LEN)
		fill(h->b, from, from + LEN - 1);
}

/* Mostly erases and refills. */
static void hunt_on(struct hunt *h)
{
	static void (*const act[])(struct hunt * h) = {
		hunt_erase, hunt_erase, hunt_erase, hunt_erase,   hunt_erase,  hunt_erase,
		hunt_gap,   hunt_gap,   hunt_gap,   hunt_pieces,  hunt_pieces, hunt_pieces,
		hunt_range, hunt_part,  hunt_pair,  hunt_restore,
	};

	if (rng_one_in(&h->b->rng, 64))
		h->from = LEN * rng_below(&h->b->rng, MANY_RANGES - NEAR);
	act[rng_below(&h->b->rng, sizeof(act) / sizeof(act[0]))](h);
}

/* Returns how many stores joined pieces. */
static unsigned long hunt_in(unsigned int flags, unsigned long unit)
{
	struct hunt h = { 0 };
	struct bed b;

	h.b = &b;
	bed_make(&b, flags, unit, MANY_RANGES, true);
	for (uint64_t i = env_scaled(OPS); i > 0; i--) {
		hunt_on(&h);
		expect_reads(&b, first_key(&b, hunted(&h)));
		expect_reads(&b, last_key(&b, hunted(&h)));
		if (i % (8 * CHECK) == 0)
			hunt_txn(&h);
		if (i % CHECK == 0)
			expect(&b);
	}
	b.at = h.from;
	expect_all(&b, h.from);
	bed_free(&b);
	return h.joined;
}

static void erases_and_refills_at_random(void **state)
{
	static const unsigned int flags[] = { MT_FLAGS_ALLOC_RANGE, MT_FLAGS_USE_RCU, RCU_TREE };
	static const unsigned long unit[] = { 1, PAGE_UNIT, NARROW_UNIT, WIDE_UNIT };
	unsigned long joined;

	(void)state;
	for (unsigned int u = 0; u < ARRAY_SIZE(unit); u++)
		for (unsigned int f = 0; f < 3; f++) {
			joined = hunt_in(flags[f], unit[u]);
			print_message("unit %#lx, flags %x: %lu joined\n", unit[u], flags[f],
				      joined);
			assert_true(joined >= env_scaled(OPS) / 200 ||
				    !(flags[f] & MT_FLAGS_USE_RCU));
		}
	expect_no_nodes();
}

/* ---- Cursors that other stores overtake ---- */

struct stayer {
	struct ma_state mas;
	step_fn *step;
	bool down, gaps;
	bool goes_on; /* from a limit as from elsewhere */
};

/* Where a step began, and what the model says of it. */
struct step {
	unsigned long from, to, limit;
	bool ends; /* what the cursor has passed now reaches the limit */
	void *want;
	unsigned long first, last;
};

static struct step step_of(struct bed *b, const struct stayer *s, unsigned long limit)
{
	struct step t = { .from = s->mas.index, .to = s->mas.last, .limit = limit };
	unsigned long first, last;

	rm_range(&b->model, s->down ? t.from : t.to, &first, &last, NULL);
	t.ends = s->down ? first <= limit : last >= limit;
	if (s->down && !(rm_prev(&b->model, t.from, &t.first, &t.last, &t.want) && t.last >= limit))
		t.want = NULL;
	if (!s->down && !(rm_next(&b->model, t.to, &t.first, &t.last, &t.want) && t.first <= limit))
		t.want = NULL;
	return t;
}

/* Whether the cursor is on a gap, or a part of one, and has skipped nothing on the way there. */
static bool gap_beside(struct bed *b, const struct stayer *s, const struct step *t)
{
	unsigned long first, last, edge = s->down ? s->mas.last + 1 : s->mas.index - 1;
	void *entry;

	rm_range(&b->model, s->down ? t->from : t->to, &first, &last, NULL);
	if (s->down ? edge > t->from || edge < first : edge < t->to || edge > last)
		return false;
	rm_range(&b->model, s->mas.index, &first, &last, &entry);
	return !entry && s->mas.index >= first && s->mas.last <= last;
}

/* A step that found no entry ends where the cursor was, or on a current range. */
static bool stands_well(struct bed *b, const struct stayer *s, const struct step *t)
{
	unsigned long first, last;
	void *entry;

	if (s->mas.index == t->from && s->mas.last == t->to)
		return true;
	rm_range(&b->model, s->mas.index, &first, &last, &entry);
	return entry ? s->mas.index == first && s->mas.last == last
		     : s->mas.index >= first && s->mas.last <= last;
}

/*
 * Steps to what is now beside the cursor's place. A range that covers what the cursor has passed is
 * not returned, nor is a part of one.
 */
static void stayer_step(struct hunt *h, struct stayer *s)
{
	struct bed *b = h->b;
	unsigned long any = first_key(b, hunted(h));
	struct step t = step_of(b, s, rng_one_in(&b->rng, 2) ? any : s->down ? 0 : ULONG_MAX);
	void *entry;
	bool good;

	if (rng_one_in(&b->rng, 2))
		let_inlines(&s->mas);
	entry = s->step(&s->mas, t.limit);
	good = entry == t.want;
	if (entry)
		good = good && s->mas.index == t.first && s->mas.last == t.last;
	else if (s->gaps)
		good = t.ends ? stands_well(b, s, &t) : gap_beside(b, s, &t);
	else
		good = good && stands_well(b, s, &t);
	if (!good)
		fail_msg("%s from [%#lx..%#lx] to %#lx: %p at [%#lx..%#lx], not %p at [%#lx..%#lx]",
			 s->down ? "down" : "up", t.from, t.to, t.limit, entry, s->mas.index,
			 s->mas.last, t.want, t.first, t.last);
}

static void stayer_go(struct hunt *h, struct stayer *s)
{
	enum maple_status stopped = s->down ? ma_underflow : ma_overflow;

	if ((s->mas.status == ma_active || (s->goes_on && s->mas.status == stopped)) &&
	    !rng_one_in(&h->b->rng, 40)) {
		stayer_step(h, s);
		return;
	}
	mas_set(&s->mas, first_key(h->b, hunted(h)));
	mas_walk(&s->mas);
}

enum { STAYERS = 8 };

static void stayers_begin(struct bed *b, struct stayer *s)
{
	static const struct stayer kinds[STAYERS] = {
		{ .step = mas_next, .goes_on = true },
		{ .step = mas_find },
		{ .step = find_inline },
		{ .step = mas_next_range, .gaps = true, .goes_on = true },
		{ .step = mas_find_range, .gaps = true },
		{ .step = mas_prev, .down = true, .goes_on = true },
		{ .step = mas_find_rev, .down = true },
		{ .step = mas_prev_range, .down = true, .gaps = true, .goes_on = true },
	};

	for (unsigned int i = 0; i < STAYERS; i++) {
		s[i] = kinds[i];
		mas_init(&s[i].mas, &b->tree, 0);
	}
}

enum { SECTION = 60 }; /* a section lasts this many stores */

/* Each cursor makes steps with stores in between: all of it under the lock, or only the stores. */
static void stay(struct hunt *h, bool lockless)
{
	struct bed *b = h->b;
	struct stayer s[STAYERS];

	stayers_begin(b, s);
	for (unsigned int i = 0; i < SECTION; i++) {
		for (unsigned int k = 0; k < 4; k++)
			stayer_go(h, &s[rng_below(&b->rng, STAYERS)]);
		if (lockless)
			mtree_lock(&b->tree);
		hunt_on(h);
		if (lockless)
			mtree_unlock(&b->tree);
	}
}

static void stay_in(unsigned int flags, unsigned long unit)
{
	struct hunt h = { 0 };
	struct bed b;

	h.b = &b;
	bed_make(&b, flags, unit, MANY_RANGES, true);
	b.held = true;
	for (uint64_t i = env_scaled(5 * OPS / SECTION); i > 0; i--) {
		stay(&h, false);
		if (!in_rcu(&b))
			continue;
		mtree_unlock(&b.tree);
		mt_rcu_read_lock(&b.tree);
		stay(&h, true);
		mt_rcu_read_unlock(&b.tree);
		mtree_lock(&b.tree);
	}
	expect(&b);
	bed_free(&b);
}

static void cursors_that_stay(void **state)
{
	(void)state;
	stay_in(MT_FLAGS_ALLOC_RANGE, 4096);
	stay_in(RCU_TREE, 4096);
	stay_in(RCU_TREE, NARROW_UNIT);
	stay_in(RCU_TREE, WIDE_UNIT);
	expect_no_nodes();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(erases_and_refills_at_random),
		cmocka_unit_test(cursors_that_stay),
	};

	return bed_run("tree_run_random", tests, sizeof(tests) / sizeof(tests[0]));
}
