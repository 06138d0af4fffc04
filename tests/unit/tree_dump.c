/* SPDX-License-Identifier: MIT */
/* What mt_stats() counts, what dumps say of a tree, and assertions that print them. */
#include "support/cm.h"

#include "support/child.h"
#include "support/treecheck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long count(const char *text, const char *part)
{
	unsigned long n = 0;

	for (const char *p = text; (p = strstr(p, part)) != NULL; p++)
		n++;
	return n;
}

static struct mt_stats stats_of(struct maple_tree *tree)
{
	struct mt_stats stats;

	mtree_lock(tree);
	mt_stats(tree, &stats);
	mtree_unlock(tree);
	return stats;
}

/* Checks that sums over the levels agree, and the numbers of entries and gaps. */
static void expect_consistent(const struct mt_stats *s, unsigned long entries, unsigned long gaps)
{
	unsigned long nodes = 0;

	assert_int_equal(s->entries, entries);
	assert_int_equal(s->gaps, gaps);
	for (unsigned int level = 0; level < MT_PATH_MAX; level++) {
		nodes += s->level_nodes[level];
		assert_int_equal(s->level_nodes[level] > 0, level < s->height);
		assert_true(s->level_slots[level] <= s->level_room[level]);
		if (level > 0 && level < s->height)
			assert_int_equal(s->level_slots[level], s->level_nodes[level - 1]);
	}
	assert_int_equal(s->nodes, nodes);
	assert_int_equal(s->bytes, nodes * MT_NODE_SIZE);
	if (s->height) {
		assert_int_equal(s->level_nodes[s->height - 1], 1);
		assert_int_equal(s->level_slots[0], entries + gaps);
	}
}

static void counting(void **state)
{
	DEFINE_MTREE(tree);
	struct mt_stats stats = stats_of(&tree);
	unsigned long built;

	(void)state;
	assert_int_equal(stats.nodes, 0);
	assert_int_equal(stats.height, 0);
	assert_int_equal(mtree_store(&tree, 0, &tree, GFP_KERNEL), 0);
	stats = stats_of(&tree);
	assert_int_equal(stats.entries, 1);
	assert_int_equal(stats.nodes, 0);
	for (unsigned long i = 0; i < 5000; i++)
		assert_int_equal(
			mtree_store_range(&tree, 10 * i, 10 * i + 5, xa_mk_value(i), GFP_KERNEL),
			0);
	stats = stats_of(&tree);
	expect_consistent(&stats, 5000, 5000);
	assert_int_equal(stats.wide_nodes, 0);
	assert_true(stats.nodes_built >= stats.nodes);
	assert_true(stats.nodes_built - stats.nodes_retired >= stats.nodes);
	built = stats.nodes_built;
	mtree_destroy(&tree);
	stats = stats_of(&tree);
	assert_int_equal(stats.nodes, 0);
	assert_int_equal(stats.nodes_built, built);
	for (unsigned long i = 0; i < 60; i++)
		assert_int_equal(
			mtree_store(&tree, i * ((1UL << 57) + 1), xa_mk_value(i), GFP_KERNEL), 0);
	stats = stats_of(&tree);
	expect_consistent(&stats, 60, 60);
	assert_true(stats.wide_nodes > 0);
	mtree_destroy(&tree);
}

static char *dump_of(struct maple_tree *tree, int how)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	mtree_lock(tree);
	if (how < 0)
		mt_dump_dot(tree, out);
	else
		mt_dump_to(tree, (enum mt_dump_format)how, out);
	mtree_unlock(tree);
	fclose(out);
	return text;
}

static void dumping(void **state)
{
	DEFINE_MTREE(tree);
	char *text;

	(void)state;
	for (unsigned long i = 0; i < 200; i++)
		assert_int_equal(mtree_store_range(&tree, 70000 + 100 * i, 70000 + 100 * i + 50,
						   xa_mk_value(i), GFP_KERNEL),
				 0);
	text = dump_of(&tree, mt_dump_dec);
	for (unsigned long i = 0; i < 200; i += 7) {
		char key[32];

		snprintf(key, sizeof(key), "%lu", 70000 + 100 * i);
		assert_true(count(text, key) >= 1);
	}
	free(text);
	text = dump_of(&tree, mt_dump_hex);
	assert_true(count(text, "111d4") >= 1); /* 70100 */
	free(text);
	text = dump_of(&tree, -1);
	assert_non_null(strstr(text, "graph"));
	assert_non_null(strstr(text, "->"));
	assert_int_equal(count(text, "{") > 0, 1);
	assert_int_equal(count(text, "{"), count(text, "}"));
	free(text);
	mtree_destroy(&tree);
}

static void expect_line(const char *text, const char *format, ...)
{
	char line[128];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (!strstr(text, line))
		fail_msg("\"%s\" is not in\n%s", line, text);
}

/* Entries of every kind, each printed by its own name. */
static void dumping_entries(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 40, 49);
	char *text;

	(void)state;
	assert_int_equal(mtree_store_range(&tree, 10, 19, xa_mk_value(33), GFP_KERNEL), 0);
	assert_int_equal(mtree_store_range(&tree, 20, 29, &tree, GFP_KERNEL), 0);
	assert_int_equal(mtree_reserve(&tree, 30, 39, GFP_KERNEL), 0);
	mtree_lock(&tree);
	mas_store(&mas, xa_mk_internal(255));
	mtree_unlock(&tree);
	text = dump_of(&tree, mt_dump_dec);
	expect_line(text, "  0-9: -\n");
	expect_line(text, "  10-19: value 33\n");
	expect_line(text, "  20-29: %p\n", (void *)&tree);
	expect_line(text, "  30-39: zero\n");
	expect_line(text, "  40-49: internal 255\n");
	free(text);
	text = dump_of(&tree, mt_dump_hex);
	expect_line(text, "  a-13: value 21\n");
	expect_line(text, "  1e-27: zero\n");
	free(text);
	text = dump_of(&tree, -1);
	expect_line(text, "1e-27: zero");
	expect_line(text, "28-31: internal 255");
	free(text);
	mtree_destroy(&tree);
}

/*
 * Dumps of trees with gap figures give one for each child, the last of them rounded up; others
 * none.
 */
static void dumping_gaps(void **state)
{
	(void)state;
	for (unsigned int flags = 0; flags <= MT_FLAGS_ALLOC_RANGE; flags += MT_FLAGS_ALLOC_RANGE) {
		struct maple_tree tree = MTREE_INIT(tree, flags);
		struct mt_stats stats;
		char *text;

		for (unsigned long i = 0; i < 100; i++)
			assert_int_equal(mtree_store_range(&tree, 10 * i, 10 * i + 5,
							   xa_mk_value(i), GFP_KERNEL),
					 0);
		stats = stats_of(&tree);
		assert_int_equal(stats.height, 2);
		text = dump_of(&tree, mt_dump_dec);
		assert_int_equal(count(text, "largest gap"), flags ? stats.level_nodes[0] : 0);
		assert_int_equal(count(text, "  (largest gap: figure 4)\n"),
				 flags ? stats.level_nodes[0] - 1 : 0);
		assert_int_equal(count(text, "  (largest gap: figure 1342177281)\n"),
				 flags ? 1 : 0);
		free(text);
		mtree_destroy(&tree);
	}
}

/* Trees without nodes can be dumped, too. */
static void dumping_little(void **state)
{
	DEFINE_MTREE(tree);

	(void)state;
	for (int how = -1; how <= mt_dump_hex; how++) {
		char *text = dump_of(&tree, how);

		assert_true(strlen(text) > 0);
		free(text);
		assert_int_equal(mtree_store(&tree, 0, xa_mk_value(3), GFP_KERNEL), 0);
		text = dump_of(&tree, how);
		assert_true(strlen(text) > 0);
		free(text);
		mtree_destroy(&tree);
	}
}

/* ---- What is printed on the standard streams */

struct say {
	struct maple_tree *tree;
	struct ma_state *mas;
	int result;
};

static int dump_to_stdout(void *arg)
{
	dup2(STDERR_FILENO, STDOUT_FILENO);
	mt_dump(((struct say *)arg)->tree, mt_dump_hex);
	return 0;
}

static int dump_cursor(void *arg)
{
	mas_dump(((struct say *)arg)->mas);
	return 0;
}

static void expect_part(const char *said, const char *part)
{
	if (!strstr(said, part))
		fail_msg("\"%s\" does not say \"%s\"", said, part);
}

static void expect_cursor(struct ma_state *mas, const char *part)
{
	struct say say = { .mas = mas };
	char said[4096];

	assert_int_equal(child_status(dump_cursor, &say, said, sizeof(said)), 0);
	expect_part(said, part);
}

/* The dump is written at once, though the stream has a buffer. */
static void dumping_to_stdout(void **state)
{
	DEFINE_MTREE(tree);
	struct say say = { .tree = &tree };
	char said[4096], *text;

	(void)state;
	assert_int_equal(mtree_store_range(&tree, 0x10, 0x1f, xa_mk_value(3), GFP_KERNEL), 0);
	text = dump_of(&tree, mt_dump_hex);
	assert_int_equal(child_status(dump_to_stdout, &say, said, sizeof(said)), 0);
	assert_string_equal(said, text);
	free(text);
	mtree_destroy(&tree);
}

static void dumping_cursors(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 0x15, 0x17);

	(void)state;
	assert_int_equal(mtree_store_range(&tree, 0x10, 0x1f, xa_mk_value(3), GFP_KERNEL), 0);
	expect_cursor(&mas, " [15..17] start, owns 0 nodes");
	mtree_lock(&tree);
	assert_non_null(mas_walk(&mas));
	expect_cursor(&mas,
		      " [10..1f] active in leaf [0..ffffffffffffffff] offset 1 of 2 at depth 0");
	mas_pause(&mas);
	expect_cursor(&mas, " [10..1f] pause");
	mas_set_range(&mas, 5, 4);
	mas_store(&mas, xa_mk_value(1));
	expect_cursor(&mas, " [5..4] error -22, owns 0 nodes");
	mtree_unlock(&tree);
	mtree_destroy(&tree);
}

static int warn(void *arg)
{
	struct say *say = arg;

	return MT_WARN_ON(say->tree, say->result == 0) && !MT_WARN_ON(say->tree, say->result) &&
			       MAS_WARN_ON(say->mas, say->result == 0)
		       ? 3
		       : 4;
}

static int bug(void *arg)
{
	struct say *say = arg;

	MT_BUG_ON(say->tree, say->result == 1);
	MAS_BUG_ON(say->mas, say->result == 0);
	return 0;
}

/*
 * Failed assertions print the condition, and the cursor and the tree where given; warnings go on,
 * bugs do not.
 */
static void assertions(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 5, 5);
	struct say say = { .tree = &tree, .mas = &mas };
	char said[4096], *text;
	int status;

	(void)state;
	assert_int_equal(mtree_store(&tree, 5, xa_mk_value(77), GFP_KERNEL), 0);
	text = dump_of(&tree, mt_dump_hex);
	status = child_status(warn, &say, said, sizeof(said));
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 3);
	expect_part(said, "tree_dump.c:");
	expect_part(said, ": warning: say->result == 0\n");
	assert_int_equal(count(said, ": warning: "), 2);
	assert_int_equal(count(said, "ma_state "), 1);
	assert_int_equal(count(said, text), 2);
	status = child_status(bug, &say, said, sizeof(said));
	assert_true(has_aborted(status));
	expect_part(said, ": BUG: say->result == 0\nma_state ");
	assert_int_equal(count(said, text), 1);
	free(text);
	mtree_destroy(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counting),        cmocka_unit_test(dumping),
		cmocka_unit_test(dumping_entries), cmocka_unit_test(dumping_gaps),
		cmocka_unit_test(dumping_little),  cmocka_unit_test(dumping_to_stdout),
		cmocka_unit_test(dumping_cursors), cmocka_unit_test(assertions),
	};

	return cmocka_run_group_tests_name("tree_dump", tests, NULL, NULL);
}
