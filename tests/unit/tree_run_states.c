/* SPDX-License-Identifier: MIT */
/*
 * Three pieces in each possible state: with every kind of store over them, with cursors that stop
 * in them and go on, and as inspected by dumps, counts and copies.
 */
#include "run_bed.h"

#include "support/cursor_model.h"

enum { STATES = 6 };

/* Puts the three pieces from b->at on into @state, one of those that they can be in. */
static void prepare(struct bed *b, unsigned int state)
{
	unsigned long at = b->at;

	make_gap(b);
	if (state == 1 || state == 2)
		fill(b, at, at + 3 * LEN - 1);
	if (state == 3 || state == 4)
		fill(b, at, at + 2 * LEN - 1);
	if (state == 5)
		fill(b, at + LEN, at + 3 * LEN - 1);
	if (state == 2 || state == 4)
		erase(b, at);
}

/* Moves with limits that cut ranges in pieces, from wherever the cursor is. */
static void move_about(struct bed *b, unsigned int moves)
{
	static step_fn *const step[NR_MOVES] = {
		[MOVE_NEXT] = mas_next,         [MOVE_NEXT_RANGE] = mas_next_range,
		[MOVE_PREV] = mas_prev,         [MOVE_PREV_RANGE] = mas_prev_range,
		[MOVE_FIND] = find_inline,      [MOVE_FIND_RANGE] = mas_find_range,
		[MOVE_FIND_REV] = mas_find_rev, [MOVE_FIND_RANGE_REV] = mas_find_range_rev,
	};
	struct cursor_model c = { .ranges = &b->model, .form = FORM_NODES };

	c.vague = true; /* no place yet */
	for (unsigned int i = 0; i < moves; i++) {
		unsigned long key = first_key(b, b->at - 2 * LEN + rng_below(&b->rng, 7 * LEN));
		enum cursor_move move = (enum cursor_move)rng_below(&b->rng, NR_MOVES);
		bool up = move < MOVE_PREV || move == MOVE_FIND || move == MOVE_FIND_RANGE;
		unsigned long limit = rng_one_in(&b->rng, 2) ? key : up ? ULONG_MAX : 0;
		void *want, *got;

		if (c.vague || rng_one_in(&b->rng, 8)) {
			mas_set(&b->mas, key);
			c.index = c.last = key;
			c.status = ma_start;
		}
		want = cursor_model_move(&c, move, limit);
		got = step[move] ? step[move](&b->mas, limit) : mas_walk(&b->mas);
		assert_ptr_equal(got, want);
		if (c.vague)
			continue;
		assert_int_equal(b->mas.index, c.index);
		assert_int_equal(b->mas.last, c.last);
		assert_int_equal(b->mas.status, c.status);
	}
}

static void moves(struct bed *b)
{
	prepare(b, b->variant);
	move_about(b, 3000);
}

static void cursors_stop_and_go_on(void **state)
{
	(void)state;
	on_beds(true, STATES, moves);
}

/*
 * One piece of the gap that a cursor stands in gets an entry: the cursor goes on beyond all of
 * them.
 */
static void fills_gap_of_cursor(struct bed *b)
{
	unsigned long at = b->at + b->variant % 3 * LEN, key, first, last;
	MA_STATE(mas, &b->tree, first_key(b, b->at), 0);
	bool up = b->variant / 3 % 2, amid = b->variant / 6;
	void *entry;

	make_gap(b);
	assert_null(mas_walk(&mas));
	key = up ? mas.last + 1 : mas.index - 1;
	fill(b, at, at + LEN - 1);
	expect_quiet(b);
	if (amid)
		mas.seq = b->tree.ma_seq; /* as if it had already checked its place */
	rm_range(&b->model, key, &first, &last, &entry);
	assert_non_null(entry);
	assert_ptr_equal(up ? mas_next_range(&mas, ULONG_MAX) : mas_prev_range(&mas, 0), entry);
	assert_int_equal(mas.index, first);
	assert_int_equal(mas.last, last);
}

static void cursors_pass_what_was_their_gap(void **state)
{
	(void)state;
	on_beds(true, 12, fills_gap_of_cursor);
}

/* From the range before the pieces to the one behind them, in steps of half a range. */
enum { STEPS = 5 * LEN / HALF, PAIRS = STEPS * (STEPS + 1) / 2 };

/* The first few are a sample of all kinds of stores. */
enum { STORES = NR_WAYS * 2 * STATES * PAIRS, SPREAD = 7919 };

static void stores(struct bed *b)
{
	unsigned int n = b->variant * SPREAD % STORES;
	enum way way = (enum way)(n % NR_WAYS);
	bool null = (n /= NR_WAYS) % 2;
	unsigned int state = (n /= 2) % STATES, pair = n / STATES, from = 0;
	unsigned long first, last;

	for (; pair >= STEPS - from; from++)
		pair -= STEPS - from;
	first = first_key(b, b->at - LEN + HALF * from);
	last = last_key(b, b->at - LEN + HALF * (from + pair + 1) - 1);
	prepare(b, state);
	store_by(b, way, first, last, null ? NULL : new_entry(b));
	expect(b);
	expect_units(b, b->at - LEN, b->at + 4 * LEN);
	move_about(b, 40);
}

static void every_store(void **state)
{
	(void)state;
	on_beds(true, (unsigned int)env_scaled(STORES), stores);
}

static unsigned long gaps_of(const struct range_model *model)
{
	unsigned long last = ULONG_MAX, gaps = 0;
	void *entry;

	do {
		rm_range(model, last + 1, NULL, &last, &entry);
		gaps += !entry;
	} while (last < ULONG_MAX);
	return gaps;
}

/* The dump must have a line for each range of the model, and no other. */
static void expect_dump(struct bed *b)
{
	unsigned long first, last = ULONG_MAX, ranges = 0;
	char *text, *line, *rest;
	size_t size;
	void *entry;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	mt_dump_to(&b->tree, mt_dump_dec, out);
	fclose(out);
	do {
		char start[64];

		first = last + 1;
		rm_range(&b->model, first, NULL, &last, &entry);
		snprintf(start, sizeof(start), " %lu-%lu: %s", first, last, entry ? "" : "-");
		assert_non_null(strstr(text, start));
		ranges++;
	} while (last < ULONG_MAX);
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		ranges -= strstr(line, ": ") && !strstr(line, "largest gap");
	assert_int_equal(ranges, 0);
	free(text);
}

/* The copy has pieces of its own. */
static void expect_copy(struct bed *b)
{
	unsigned long key = first_key(b, b->at + LEN);
	struct range_model model;
	struct maple_tree copy;

	rm_init(&model);
	assert_int_equal(rm_copy(&model, &b->model), 0);
	mt_init_flags(&copy, b->tree.ma_flags & RCU_TREE);
	mt_set_mem(&copy, arena);
	mtree_unlock(&b->tree);
	assert_int_equal(mtree_dup(&b->tree, &copy, GFP_KERNEL), 0);
	check_good(b, &copy, &model);
	assert_ptr_equal(mtree_erase(&copy, key), rm_erase(&model, key));
	check_good(b, &copy, &model);
	assert_int_equal(mtree_store(&copy, key, b, GFP_KERNEL), 0);
	assert_int_equal(rm_store(&model, key, key, b), 0);
	check_good(b, &copy, &model);
	mtree_destroy(&copy);
	rm_destroy(&model);
	mtree_lock(&b->tree);
	expect(b);
}

static void looks(struct bed *b)
{
	struct mt_stats stats;

	prepare(b, b->variant);
	mt_stats(&b->tree, &stats);
	assert_int_equal(stats.entries, rm_count(&b->model));
	assert_int_equal(stats.gaps, gaps_of(&b->model));
	expect_dump(b);
	expect_copy(b);
}

static void counted_printed_and_copied(void **state)
{
	(void)state;
	on_beds(true, STATES, looks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cursors_stop_and_go_on),
		cmocka_unit_test(cursors_pass_what_was_their_gap),
		cmocka_unit_test(every_store),
		cmocka_unit_test(counted_printed_and_copied),
	};

	return bed_run("tree_run_states", tests, sizeof(tests) / sizeof(tests[0]));
}
