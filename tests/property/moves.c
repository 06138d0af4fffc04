/* SPDX-License-Identifier: MIT */
/*
 * Every sequence of a few moves of a cursor, to limits where something begins or ends, in the
 * smallest trees: those without nodes, which have rules of their own, and some of one leaf.
 */
#include "support/cm.h"

#include "support/cursor_model.h"
#include "support/rig.h"

enum { MOVES = 3, KEYS = 4, TREES = 5 };

static const unsigned long keys[KEYS] = { 0, 1, 2, ULONG_MAX };

/* A move and its limit, or a pause. */
enum { CHOICES = NR_MOVES * KEYS + 1 };

static struct op decode(unsigned int choice)
{
	if (choice == CHOICES - 1)
		return (struct op){ .kind = OP_cur_pause };
	return (struct op){ .kind = OP_cur_move, .n = { choice / KEYS, keys[choice % KEYS] } };
}

static void describe(unsigned int tree, unsigned long first, unsigned long last,
		     const unsigned int *choice, const char *why)
{
	printf("tree %u, from %#lx..%#lx:", tree, first, last);
	for (unsigned int i = 0; i < MOVES; i++)
		printf(" %u", choice[i]);
	fail_msg("%s", why);
}

/* Makes all sequences, starting with the cursor set to [@first..@last]. */
static void move_from(struct rig *rig, unsigned int tree, unsigned long first, unsigned long last)
{
	const struct op set = { .kind = OP_cur_set, .n = { first, last } };
	unsigned int choice[MOVES] = { 0 }, i;

	for (;;) {
		bool good = rig_step(rig, &set);

		for (i = 0; i < MOVES && good; i++) {
			struct op op = decode(choice[i]);

			good = rig_step(rig, &op);
		}
		if (!good)
			describe(tree, first, last, choice, rig->why);
		for (i = MOVES; i > 0 && ++choice[i - 1] == CHOICES; i--)
			choice[i - 1] = 0;
		if (i == 0)
			return;
	}
}

static void moves_in_small_trees(void **state)
{
	static const struct op stores[TREES][2] = {
		{ { .kind = OP_check }, { .kind = OP_check } },                   /* empty */
		{ { .kind = OP_store, .n = { 0, 0, 9 } }, { .kind = OP_check } }, /* no node */
		{ { .kind = OP_store, .n = { 0, 1, 9 } }, { .kind = OP_check } },
		{ { .kind = OP_store, .n = { 1, 1, 9 } }, { .kind = OP_check } },
		{ { .kind = OP_store, .n = { 0, 0, 9 } },
		  { .kind = OP_store, .n = { 2, ULONG_MAX, 8 } } },
	};

	(void)state;
	for (unsigned int tree = 0; tree < TREES; tree++) {
		struct rig rig;

		assert_true(rig_init(&rig, 0));
		for (unsigned int i = 0; i < 2; i++)
			assert_true(rig_step(&rig, &stores[tree][i]));
		for (unsigned int i = 0; i < KEYS; i++)
			for (unsigned int j = i; j < KEYS; j++)
				move_from(&rig, tree, keys[i], keys[j]);
		assert_true(rig_check(&rig));
		assert_true(rig_fini(&rig));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moves_in_small_trees),
	};

	return cmocka_run_group_tests_name("moves", tests, NULL, NULL);
}
