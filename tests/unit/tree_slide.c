/* SPDX-License-Identifier: MIT */
/*
 * The first or last entry of a leaf is erased, and the gap beside it belongs to another leaf: the
 * gap moves over, in three new nodes or none, and storing the same entry again takes none. Or much
 * of two leaves is erased, and they stay two.
 */
#include "run_bed.h"

#include "tree/store.h"

/* The leaf of b->at, the one with the gap beside it, and the node above. */
struct sides {
	void *leaf, *beside, *above;
	unsigned int count, count_beside;
};

static void look(struct bed *b, bool up, struct sides *s)
{
	unsigned int d;

	note(b);
	s->leaf = b->leaf;
	s->count = b->count;
	d = b->mas.depth - 1u;
	s->above = b->mas.path[d];
	s->beside = smr_slots(s->above)[b->mas.slot[d] + (up ? 1 : -1)];
	s->count_beside = smr_count(s->beside);
}

/* Whether the cursor's leaf has a sibling in that direction. */
static bool has_sibling(const struct bed *b, bool up)
{
	unsigned int slot = b->mas.slot[b->mas.depth - 1];

	return up ? slot + 1u < smr_count(b->mas.path[b->mas.depth - 1]) : slot > 0;
}

/* Puts b->at on the first or last entry of a leaf, beside a sibling or a cousin. */
static void find_end(struct bed *b, bool up, bool sibling)
{
	for (unsigned long u = 3 * LEN;; u = b->mas.max / b->unit + 1) {
		void *leaf = leaf_of(b, u);
		unsigned int end = b->mas.end;

		assert_true(b->mas.max < ULONG_MAX);
		if (b->mas.min == 0 || !smr_slots(leaf)[up ? end : 0] ||
		    has_sibling(b, up) != sibling)
			continue;
		b->at = (up ? smr_start(leaf, end) : b->mas.min) / b->unit;
		return;
	}
}

/* Replaces four ranges inside the leaf of b->at by one: ascending stores left it full. */
static void make_room(struct bed *b)
{
	void *leaf = leaf_of(b, b->at);
	unsigned int i = smr_count(leaf) / 2;

	fill(b, smr_start(leaf, i) / b->unit, smr_start(leaf, i + 4) / b->unit - 1);
}

/*
 * Expects the gap in the leaf of b->at, or in its replacement. In plain mode the leaf is the same.
 */
static void expect_slid(struct bed *b, bool up, const struct sides *before)
{
	struct sides now;

	assert_int_equal(b->tree.ma_nodes_built, b->built + (in_rcu(b) ? 3 : 0));
	look(b, up, &now);
	assert_int_equal(now.count, before->count + 1);
	assert_int_equal(b->mas.offset, up ? b->mas.end : 2);
	assert_int_equal(pieces(b, b->at), 3);
	assert_int_equal(now.leaf == before->leaf, !in_rcu(b));
	assert_int_equal(now.beside == before->beside, !in_rcu(b));
	assert_int_equal(now.above == before->above, !in_rcu(b));
}

/* Makes the gap of the other leaf one piece, three, or larger than any. */
static void prepare_gap(struct bed *b, bool up, unsigned int kind)
{
	unsigned long next = up ? b->at + 2 * LEN : b->at - 2 * LEN;

	if (kind == 1)
		erase(b, next);
	else if (kind == 2)
		store(b, up ? next : next + HALF, up ? next + HALF - 1 : next + LEN - 1, NULL);
}

/* Replaces ranges of the other leaf by one entry, so that it has @left. */
static void leave_beside(struct bed *b, bool up, unsigned int left)
{
	struct sides s;
	unsigned int more;

	look(b, up, &s);
	more = s.count_beside - left;
	if (more > 0)
		fill(b, smr_start(s.beside, 4) / b->unit,
		     smr_start(s.beside, 4 + more + 1) / b->unit - 1);
	look(b, up, &s);
	assert_int_equal(s.count_beside, left);
}

static void slides(struct bed *b)
{
	bool up = b->variant % 2;
	unsigned int kind = b->variant / 2 % 3;
	struct sides before, slid;
	unsigned int gone = kind == 1 ? 3 : 1;

	find_end(b, up, true);
	make_room(b);
	prepare_gap(b, up, kind);
	b->held = b->variant / 6;
	look(b, up, &before);
	erase(b, b->at);
	expect_slid(b, up, &before);
	look(b, up, &slid);
	assert_int_equal(slid.count_beside, before.count_beside - gone);
	expect_all(b, b->at);
	note(b);
	fill(b, b->at, b->at + LEN - 1);
	expect_quiet(b);
	expect_all(b, b->at);
	/* And back: the other leaf now has the entry at which a gap of this one ends. */
	b->at = up ? b->at + (gone + 1) * LEN : b->at - (gone + 1) * LEN;
	if (kind == 0) {
		look(b, !up, &before);
		erase(b, b->at);
		expect_slid(b, !up, &before);
		expect_all(b, b->at);
	}
}

static void a_gap_comes_over(void **state)
{
	(void)state;
	on_beds(false, 12, slides);
}

/* Without the gap the other leaf has just as many ranges as it must. */
static void spares_gap(struct bed *b)
{
	bool up = b->variant % 2;
	unsigned int kind = b->variant / 2;
	struct sides before;

	find_end(b, up, true);
	make_room(b);
	prepare_gap(b, up, kind);
	leave_beside(b, up, SMR_LEAF_MIN + (kind == 1 ? 3 : 1));
	look(b, up, &before);
	erase(b, b->at);
	expect_slid(b, up, &before);
	expect_all(b, b->at);
}

static void so_does_all_that_may(void **state)
{
	(void)state;
	on_beds(false, 4, spares_gap);
}

/* Erases half of the leaf's first or last entry, and maybe half of the gap beside it. */
static void half_goes(struct bed *b)
{
	bool up = b->variant % 2;
	unsigned long more = b->variant / 2 ? HALF : 0, from, to;

	find_end(b, up, true);
	make_room(b);
	from = up ? b->at + HALF : b->at - more;
	to = up ? b->at + LEN - 1 + more : b->at + HALF - 1;
	store(b, from, to, NULL);
	expect_all(b, b->at);
	fill(b, from, to);
	expect_all(b, b->at);
}

static void what_is_left_of_an_entry_stays(void **state)
{
	(void)state;
	on_beds(false, 4, half_goes);
}

/* ---- Ranges of two leaves ---- */

/* Erases from @from, or its middle, to the end of @to, or its middle. */
static void erase_across(struct bed *b, unsigned long from, unsigned long to, unsigned int how)
{
	store(b, how & 1 ? from + HALF : from, how & 2 ? to + HALF - 1 : to + LEN - 1, NULL);
}

/* Returns the unit of the entry at @u, or of the one behind it. */
static unsigned long entry_from(struct bed *b, unsigned long u)
{
	return mtree_load(&b->tree, first_key(b, u)) ? u : u + LEN;
}

static void across(struct bed *b)
{
	unsigned int how = b->variant % 4, more = b->variant / 4 % 4;
	struct sides before, after;
	unsigned long from, to;

	find_end(b, true, true);
	make_room(b);
	b->held = b->variant / 16;
	look(b, true, &before);
	from = b->at - more * 2 * LEN;
	to = entry_from(b, b->mas.max / b->unit + 1) + more * 2 * LEN;
	assert_true(mtree_load(&b->tree, first_key(b, from)) &&
		    mtree_load(&b->tree, first_key(b, to)));
	leaf_of(b, to);
	assert_ptr_equal(b->mas.node, before.beside);
	erase_across(b, from, to, how);
	assert_int_equal(b->tree.ma_nodes_built, b->built + (in_rcu(b) ? 3 : 0));
	b->at = from;
	look(b, true, &after);
	assert_int_equal(after.leaf == before.leaf, !in_rcu(b));
	leaf_of(b, from + HALF);
	assert_int_equal(b->mas.offset, b->mas.end);
	assert_int_equal(after.count, before.count - 2 * more + (how & 1 ? 1 : -1));
	assert_int_equal(after.count_beside,
			 before.count_beside - 2 * more - 1 - (how & 2 ? 0 : 2));
	expect_all(b, from);
	fill(b, from, to + LEN - 1);
	expect_all(b, from);
}

static void two_leaves_stay_two(void **state)
{
	(void)state;
	on_beds(false, 32, across);
}

/* The rest of one entry, of the other, or of both get entries of their own. */
static void edges_across(struct bed *b)
{
	struct smr_edges edges = SMR_NO_EDGES;
	unsigned long first, last, end;

	find_end(b, true, true);
	make_room(b);
	leaf_of(b, b->at);
	end = last_key(b, entry_from(b, b->mas.max / b->unit + 1) + LEN - 1);
	first = first_key(b, b->at + HALF);
	last = end - HALF * b->unit;
	if (b->variant != 1)
		edges.left = new_entry(b);
	if (b->variant != 0)
		edges.right = new_entry(b);
	mas_set_range(&b->mas, first, last);
	assert_int_equal(smr_store_in_place(&b->mas, NULL, edges, GFP_KERNEL), 0);
	assert_int_equal(rm_store(&b->model, first, last, NULL), 0);
	if (edges.left)
		assert_int_equal(rm_store(&b->model, first_key(b, b->at), first - 1, edges.left),
				 0);
	if (edges.right)
		assert_int_equal(rm_store(&b->model, last + 1, end, edges.right), 0);
	expect_all(b, b->at);
}

static void edges_go_with_it(void **state)
{
	(void)state;
	on_beds(false, 3, edges_across);
}

/*
 * Erases around the gap that a leaf ends with: all or half of the entry before it, and the one
 * behind.
 */
static void around_gap(struct bed *b)
{
	unsigned long from;

	find_end(b, false, true);
	make_room(b);
	from = b->at - 2 * LEN + (b->variant ? HALF : 0);
	store(b, from, b->at + LEN - 1, NULL);
	expect_all(b, b->at);
	fill(b, from, b->at + LEN - 1);
	expect_all(b, b->at);
}

static void the_gap_between_goes_too(void **state)
{
	(void)state;
	on_beds(false, 2, around_gap);
}

/*
 * Without gaps before: erases so much of two leaves that @first ranges are left in the first, with
 * the gap, and @second in the second.
 */
static void leave_ranges(struct bed *b, unsigned int first, unsigned int second)
{
	struct sides s;
	unsigned long from, to;

	find_end(b, true, true);
	look(b, true, &s);
	from = smr_start(s.leaf, first - 1) / b->unit;
	to = smr_start(s.beside, s.count_beside - second) / b->unit - 1;
	b->at = from;
	note(b);
	store(b, from, to, NULL);
}

/* The leaves keep their ranges if each has no fewer than it must; else these are dealt out anew. */
static void few_stay(struct bed *b)
{
	unsigned int first = SMR_LEAF_MIN - (b->variant == 1);
	unsigned int second = SMR_LEAF_MIN - (b->variant == 2);

	leave_ranges(b, first, second);
	if (b->variant == 0) {
		assert_int_equal(b->tree.ma_nodes_built, b->built + (in_rcu(b) ? 3 : 0));
		assert_int_equal(smr_count(leaf_of(b, b->at)), SMR_LEAF_MIN);
		assert_int_equal(smr_count(leaf_of(b, b->mas.max / b->unit + 1)), SMR_LEAF_MIN);
	}
	expect_all(b, b->at);
}

/* A full leaf has no room for the gap beside the rest of its last entry. */
static void half_of_a_full_leaf(struct bed *b)
{
	struct sides s;

	find_end(b, true, true);
	look(b, true, &s);
	assert_int_equal(s.count, smr_leaf_cap(leaf_kind(b->unit)));
	store(b, b->at + HALF, b->at + 2 * LEN - 1, NULL);
	expect_all(b, b->at);
}

static void leaves_keep_what_they_must(void **state)
{
	(void)state;
	on_beds(true, 3, few_stay);
	on_beds(true, 1, half_of_a_full_leaf);
}

/* The gap begins where the first leaf can have no bound, or at joined ranges. */
static void across_from(struct bed *b)
{
	unsigned long to;

	find_end(b, true, true);
	make_room(b);
	to = entry_from(b, b->mas.max / b->unit + 1);
	if (b->variant) {
		erase(b, b->at - 2 * LEN);
		fill(b, b->at - 3 * LEN, b->at - 1);
		assert_int_equal(smr_has_joined(leaf_of(b, b->at)), in_rcu(b));
	}
	store_keys(b, first_key(b, b->at - (b->variant ? LEN : 0)) + b->unit / 2,
		   last_key(b, to + LEN - 1), NULL);
	assert_false(smr_has_joined(leaf_of(b, b->at - 4 * LEN)));
	expect_all(b, b->at);
}

/* The gap ends before joined ranges of the other leaf, inside one of them, or with them. */
static void across_to(struct bed *b)
{
	unsigned long joined, last;

	find_end(b, true, true);
	make_room(b);
	leaf_of(b, b->at);
	joined = entry_from(b, b->mas.max / b->unit + 1) + 2 * LEN;
	erase(b, joined);
	fill(b, joined - LEN, joined + 2 * LEN - 1);
	assert_int_equal(smr_has_joined(leaf_of(b, joined)), in_rcu(b));
	last = joined - LEN + b->variant * HALF;
	store(b, b->at, last - 1, NULL);
	assert_false(smr_has_joined(leaf_of(b, last)));
	expect_all(b, b->at);
}

static void whatever_they_are(void **state)
{
	(void)state;
	on_beds(false, 2, across_from);
	on_beds(false, 7, across_to);
}

/* ---- Within a transaction ---- */

/* Which of the two leaves are the transaction's own; or only the nodes above are, or nothing. */
enum { OWN = 1, OWN_BESIDE = 2, OWN_ABOVE = 4 };

/* Replaces an entry inside @leaf, which makes the leaf the transaction's own. */
static void touch(struct bed *b, struct txn_case *t, void *leaf)
{
	unsigned int i = smr_count(leaf) / 2;

	i += !smr_slots(leaf)[i];
	txn_store(b, t, smr_start(leaf, i), smr_start(leaf, i + 1) - 1, new_entry(b));
}

/* Returns a sibling of both. */
static void *third_leaf(const struct sides *s)
{
	void *const *leaf = smr_slots(s->above);

	assert_true(smr_count(s->above) > 2);
	while (*leaf == s->leaf || *leaf == s->beside)
		leaf++;
	return *leaf;
}

static void touch_some(struct bed *b, struct txn_case *t, const struct sides *s, unsigned int own)
{
	if (own & OWN)
		touch(b, t, s->leaf);
	if (own & OWN_BESIDE)
		touch(b, t, s->beside);
	if (own & OWN_ABOVE)
		touch(b, t, third_leaf(s));
}

/* Stores NULL from @first to @last. */
static void slide_in_txn(struct bed *b, const struct sides *s, unsigned long first,
			 unsigned long last, unsigned int own, bool keep)
{
	unsigned long nodes = !(own & OWN) + !(own & OWN_BESIDE);
	struct txn_case t;

	txn_case_begin(b, &t);
	touch_some(b, &t, s, own);
	nodes += t.txn.view.ma_nodes_built;
	txn_store(b, &t, first, last, NULL);
	if (own)
		assert_int_equal(t.txn.view.ma_nodes_built, nodes);
	else /* all nodes above are copied */
		assert_true(t.txn.view.ma_nodes_built > nodes);
	nodes = t.txn.view.ma_nodes_built;
	txn_store(b, &t, first, last, new_entry(b)); /* both are its own now */
	if (own)
		assert_int_equal(t.txn.view.ma_nodes_built, nodes);
	txn_store(b, &t, first, last, NULL);
	txn_case_end(b, &t, keep);
}

/* One entry, up or down, or entries of two leaves. */
static void in_txn(struct bed *b)
{
	static const unsigned int own[] = { OWN, OWN_BESIDE, OWN | OWN_BESIDE, OWN_ABOVE, 0 };
	unsigned int way = b->variant % 3, which = own[b->variant / 3 % 5];
	bool up = way > 0, keep = b->variant / 15;
	unsigned long from, to;
	struct sides s;

	find_end(b, up, true);
	make_room(b);
	look(b, up, &s);
	from = to = b->at;
	if (way == 2) {
		to = entry_from(b, b->mas.max / b->unit + 1);
		from -= 2 * LEN;
	}
	slide_in_txn(b, &s, first_key(b, from), last_key(b, to + LEN - 1), which, keep);
	if (keep && way < 2 && which)
		assert_int_equal(pieces(b, b->at), 3);
	expect_all(b, b->at);
	fill(b, from, to + LEN - 1);
	expect_all(b, b->at);
}

static void what_is_its_own_changes_in_place(void **state)
{
	struct bed b;

	(void)state;
	on_beds(false, 30, in_txn);
	for (unsigned int i = 0; i < 60; i++) { /* more levels than the root */
		bed_make(&b, i % 2 ? RCU_TREE : MT_FLAGS_ALLOC_RANGE, PAGE_UNIT, 3000, false);
		b.variant = i / 2;
		in_txn(&b);
		bed_free(&b);
	}
	expect_no_nodes();
}

/* ---- Where ranges must be dealt out anew ---- */

/* Makes a run that would give the gap more pieces than it may have. */
static void lengthen_run(struct bed *b, bool up)
{
	erase(b, up ? b->at - 2 * LEN : b->at + 2 * LEN);
}

/* The same with a run that has one piece less. */
static void lengthen_short_run(struct bed *b, bool up)
{
	unsigned long entry = up ? b->at - 2 * LEN : b->at + 2 * LEN;
	unsigned long gap = up ? entry - LEN : entry + LEN;

	fill(b, gap, gap + LEN - 1);
	erase(b, entry);
	assert_int_equal(pieces(b, entry), 2);
}

/* Stores halves of entries until the leaf is full. */
static void fill_leaf(struct bed *b, bool up)
{
	unsigned long u = b->at;

	while (smr_count(leaf_of(b, b->at)) < smr_leaf_cap(leaf_kind(b->unit))) {
		u = up ? u - 2 * LEN : u + 2 * LEN;
		fill(b, u, u + HALF - 1);
	}
}

static void thin_sibling(struct bed *b, bool up)
{
	leave_beside(b, up, SMR_LEAF_MIN);
}

/* With pages: makes the gap begin or end where the node above can have no bound. */
static void misalign(struct bed *b, bool up)
{
	unsigned long key = first_key(b, up ? b->at + 2 * LEN : b->at - LEN);

	if (b->unit > 1)
		store_keys(b, up ? key : key - b->unit / 2, up ? key + b->unit / 2 - 1 : key - 1,
			   NULL);
}

/* Joins ranges, which the next change of their leaf merges. */
static void join_ranges(struct bed *b, unsigned long entry)
{
	erase(b, entry);
	fill(b, entry - LEN, entry + 2 * LEN - 1);
	assert_int_equal(smr_has_joined(leaf_of(b, entry)), in_rcu(b));
}

static void join_own(struct bed *b, bool up)
{
	join_ranges(b, up ? b->at - 4 * LEN : b->at + 4 * LEN);
}

static void join_sibling(struct bed *b, bool up)
{
	join_ranges(b, up ? b->at + 4 * LEN : b->at - 4 * LEN);
}

/* The erased range of b->at is not a piece of a gap, unless @slides. */
static void stays(struct bed *b, bool slides)
{
	erase(b, b->at);
	assert_int_equal(pieces(b, b->at), slides ? 3 : 1);
	expect_all(b, b->at);
	fill(b, b->at, b->at + LEN - 1);
	expect_all(b, b->at);
}

typedef void prevent_fn(struct bed *b, bool up);

static void prevented(struct bed *b)
{
	static prevent_fn *const prevent[] = { lengthen_run, lengthen_short_run, fill_leaf,
					       thin_sibling, misalign,           join_own,
					       join_sibling };
	bool up = b->variant % 2;
	unsigned int how = b->variant / 2;

	find_end(b, up, true);
	make_room(b);
	prevent[how](b, up);
	stays(b, (how == 4 && b->unit != PAGE_UNIT) || (how > 4 && !in_rcu(b)));
}

static void else_it_is_one_range(void **state)
{
	(void)state;
	on_beds(false, 14, prevented);
}

/* Two nodes above would have to change, too. */
static void nothing_comes_from_a_cousin(void **state)
{
	struct bed b;

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		bed_make(&b, i / 2 ? RCU_TREE : MT_FLAGS_ALLOC_RANGE, PAGE_UNIT, 3000, false);
		find_end(&b, i % 2, false);
		make_room(&b);
		stays(&b, false);
		bed_free(&b);
	}
	expect_no_nodes();
}

/* ---- What leaves cannot be written as ---- */

enum { BLOCK = 1 << SMR_SHORT_BITS };

/* The entry beside the gap that is to move, and the one on the gap's far side. */
struct shape {
	bool up;
	unsigned long first, last, far; /* keys; far: where the other ends or begins */
};

/*
 * Stores @lead entries before and behind these, one page each; ascending, which leaves leaves full.
 */
static void build(struct bed *b, const struct shape *s, unsigned int lead)
{
	unsigned long low = s->up ? s->first : s->far, high = s->up ? s->far : s->first;
	unsigned long page = low / PAGE_UNIT - 2 * lead;

	for (; page < low / PAGE_UNIT; page += 2)
		fill(b, page, page);
	store_keys(b, low, s->up ? s->last : low + PAGE_UNIT - 1, new_entry(b));
	store_keys(b, high, s->up ? high + PAGE_UNIT - 1 : s->last, new_entry(b));
	for (page = high / PAGE_UNIT + 2; page < high / PAGE_UNIT + 200; page += 2)
		fill(b, page, page);
}

/* With some number of entries before it, the entry is at the end of a short leaf. */
static void with_shape(const struct shape *s, unsigned int flags)
{
	unsigned int seen = 0;
	struct bed b;

	for (unsigned int lead = 60; lead < 110; lead++) {
		bed_make(&b, flags, PAGE_UNIT, 2, false);
		build(&b, s, lead);
		mas_set(&b.mas, s->first);
		mas_walk(&b.mas);
		if (smr_enode_kind(b.mas.node) == SMR_SLEAF && has_sibling(&b, s->up) &&
		    b.mas.offset == (s->up ? b.mas.end : 0)) {
			b.at = s->first / PAGE_UNIT;
			fill(&b, b.at + (s->up ? -12 : 4), b.at + (s->up ? -4 : 12));
			mas_set(&b.mas, s->first);
			assert_ptr_equal(mas_erase(&b.mas), rm_erase(&b.model, s->first));
			assert_int_equal(pieces(&b, b.at), 1);
			expect_all(&b, b.at);
			seen++;
		}
		bed_free(&b);
	}
	assert_true(seen > 0);
}

static void leaves_stay_what_they_can_be(void **state)
{
	static const unsigned long page = PAGE_UNIT, at = PAGE_UNIT * (BLOCK / 2),
				   half = PAGE_UNIT / 2;
	static const struct shape shape[] = {
		/* The block of a short leaf ends in the gap. */
		{ true, page * (BLOCK - 4), page * (BLOCK - 3) - 1, page * (BLOCK + 4) },
		{ false, page * (BLOCK + 4), page * (BLOCK + 5) - 1, page * (BLOCK - 4) },
		/* The leaves do not meet at a page. */
		{ true, at, at + half - 1, at + 2 * page },
		{ false, at + half, at + page - 1, at - 2 * page },
	};

	(void)state;
	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(shape); i++)
		with_shape(&shape[i / 2], i % 2 ? RCU_TREE : MT_FLAGS_ALLOC_RANGE);
	expect_no_nodes();
}

/*
 * Stores from the last entry of one leaf to the gap that another begins with, over all in between.
 */
static void a_store_over_many_leaves(void **state)
{
	unsigned int seen = 0, slot;
	unsigned long last;
	const void *above;
	struct bed b;

	(void)state;
	bed_make(&b, RCU_TREE, PAGE_UNIT, 3000, false);
	for (unsigned long u = 3 * LEN; seen == 0; u = last / PAGE_UNIT + 1) {
		void *leaf = leaf_of(&b, u);

		last = b.mas.max;
		assert_true(last < ULONG_MAX);
		above = b.mas.path[b.mas.depth - 1];
		slot = b.mas.slot[b.mas.depth - 1];
		if (!smr_slots(leaf)[b.mas.end])
			continue;
		b.at = smr_start(leaf, b.mas.end) / PAGE_UNIT;
		for (unsigned long v = last / PAGE_UNIT + 1; v < 3000 * LEN;
		     v = b.mas.max / PAGE_UNIT + 1) {
			leaf = leaf_of(&b, v);
			if (b.mas.path[b.mas.depth - 1] == above ||
			    b.mas.slot[b.mas.depth - 1] != slot + 1 || smr_slots(leaf)[0])
				continue;
			make_room(&b);
			store(&b, b.at, v, NULL);
			expect_all(&b, b.at);
			seen++;
			break;
		}
	}
	bed_free(&b);
	expect_no_nodes();
}

/* The same with all of them below one node. */
static void over_siblings(struct bed *b)
{
	unsigned long next, to;

	find_end(b, true, true);
	make_room(b);
	leaf_of(b, b->at);
	leaf_of(b, b->mas.max / b->unit + 1);
	next = b->mas.max / b->unit + 1;
	assert_true(has_sibling(b, true));
	to = entry_from(b, next);
	store(b, b->variant & 1 ? b->at + HALF : b->at, b->variant & 2 ? next : to + LEN - 1, NULL);
	expect_all(b, b->at);
}

static void a_store_over_siblings(void **state)
{
	(void)state;
	on_beds(false, 4, over_siblings);
}

/* Gets where the keys below child @slot of the root begin and end, in units. */
static void find_child(struct bed *b, unsigned int slot, unsigned long *from, unsigned long *to)
{
	const void *top;

	leaf_of(b, 0);
	top = b->mas.path[0];
	assert_true(b->mas.depth > 1 && smr_count(top) > slot + 1);
	*from = smr_child_start(top, slot) / b->unit;
	*to = smr_child_start(top, slot + 1) / b->unit - 1;
}

/*
 * Stores from the first leaf of a node to its last. The rest is too small for a leaf, and there is
 * no sibling: it joins the last leaf of the node before.
 */
static void a_store_over_a_whole_node(void **state)
{
	static const unsigned int flags[] = { 0, RCU_TREE };
	unsigned long from, to;
	struct bed b;

	(void)state;
	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(flags); i++) {
		bed_make(&b, flags[i / 2], PAGE_UNIT, 3000, true);
		find_child(&b, 1, &from, &to);
		b.at = from + 2 * LEN;
		store(&b, b.at, to - 2 * LEN, i % 2 ? new_entry(&b) : NULL);
		expect_all(&b, b.at);
		leaf_of(&b, from);
		assert_uint_in_range(smr_count(b.mas.node), SMR_LEAF_MIN, SMR_SLEAF_CAP);
		assert_true(b.mas.min < from * b.unit);
		bed_free(&b);
	}
	expect_no_nodes();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_gap_comes_over),
		cmocka_unit_test(so_does_all_that_may),
		cmocka_unit_test(what_is_left_of_an_entry_stays),
		cmocka_unit_test(two_leaves_stay_two),
		cmocka_unit_test(edges_go_with_it),
		cmocka_unit_test(the_gap_between_goes_too),
		cmocka_unit_test(leaves_keep_what_they_must),
		cmocka_unit_test(whatever_they_are),
		cmocka_unit_test(what_is_its_own_changes_in_place),
		cmocka_unit_test(else_it_is_one_range),
		cmocka_unit_test(nothing_comes_from_a_cousin),
		cmocka_unit_test(leaves_stay_what_they_can_be),
		cmocka_unit_test(a_store_over_many_leaves),
		cmocka_unit_test(a_store_over_siblings),
		cmocka_unit_test(a_store_over_a_whole_node),
	};

	return bed_run("tree_slide", tests, sizeof(tests) / sizeof(tests[0]));
}
