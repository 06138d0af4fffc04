/* SPDX-License-Identifier: MIT */
/* Checks the model of an address space against one cell per page. */
#include "support/cm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/address_space.h"

#define PAGES 600
#define PAGE UINT64_C(0x1000)

struct page {
	uint64_t object;
	uint64_t offset; /* of this page */
	unsigned int flags;
	unsigned int id; /* of its mapping; 0: not mapped */
};

struct cells {
	struct page page[PAGES];
	unsigned int last_id;
};

static unsigned int seed = 1;

static unsigned int pick(unsigned int below)
{
	return (unsigned int)rand_r(&seed) % below;
}

/* Splits a mapping that spans the border below page @at. */
static void cut(struct cells *cells, size_t at)
{
	unsigned int id;

	if (!at || at >= PAGES || !cells->page[at].id ||
	    cells->page[at].id != cells->page[at - 1].id)
		return;
	id = ++cells->last_id;
	for (unsigned int old = cells->page[at].id; at < PAGES && cells->page[at].id == old; at++)
		cells->page[at].id = id;
}

static void clear(struct cells *cells, size_t first, size_t count)
{
	cut(cells, first);
	cut(cells, first + count);
	memset(&cells->page[first], 0, count * sizeof(cells->page[0]));
}

static bool mapped(const struct cells *cells, size_t first, size_t count, bool all)
{
	size_t nr = 0;

	for (size_t i = first; i < first + count; i++)
		nr += cells->page[i].id != 0;
	return all ? nr == count : nr != 0;
}

static void cells_map(struct cells *cells, const struct trace_op *op)
{
	size_t first = op->addr / PAGE, count = op->length / PAGE;
	unsigned int id = ++cells->last_id;

	clear(cells, first, count);
	for (size_t i = 0; i < count; i++)
		cells->page[first + i] = (struct page){ op->object,
							op->object ? op->offset + i * PAGE : 0,
							op->flags, id };
}

static int cells_protect(struct cells *cells, const struct trace_op *op)
{
	size_t first = op->addr / PAGE, count = op->length / PAGE;

	if (!mapped(cells, first, count, true))
		return -EINVAL;
	for (size_t i = first; i < first + count; i++) {
		if ((cells->page[i].flags ^ op->flags) & TRACE_KEPT)
			return -EINVAL;
	}
	if (cells->page[first].flags != op->flags)
		cut(cells, first);
	if (cells->page[first + count - 1].flags != op->flags)
		cut(cells, first + count);
	for (size_t i = first; i < first + count; i++)
		cells->page[i].flags = op->flags;
	return 0;
}

/* Continues the mapping of page @from - 1 over the pages up to @to - 1. */
static void extend(struct cells *cells, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		cells->page[i] = cells->page[i - 1];
		if (cells->page[i].object)
			cells->page[i].offset += PAGE;
	}
}

static int cells_move(struct cells *cells, const struct trace_op *op)
{
	size_t old = op->addr / PAGE, count = op->length / PAGE;
	size_t new = op->new_addr / PAGE, new_count = op->new_length / PAGE;
	struct page moved[PAGES];
	unsigned int shift;

	if (!mapped(cells, old, count, false))
		return -EINVAL;
	if (new_count > count && !cells->page[old + count - 1].id)
		return -EINVAL;
	if (old == new &&new_count <= count) {
		if (new_count < count)
			clear(cells, old + new_count, count - new_count);
		return 0;
	}
	if (old == new) {
		if (mapped(cells, old + count, new_count - count, false))
			return -EINVAL;
		extend(cells, old + count, old + new_count);
		return 0;
	}
	memcpy(moved, &cells->page[old], count * sizeof(moved[0]));
	clear(cells, new, new_count);
	cut(cells, old);
	cut(cells, old + count);
	/* The pieces are new mappings, with unused ids. */
	shift = cells->last_id;
	for (size_t i = 0; i < count && i < new_count; i++) {
		cells->page[new + i] = moved[i];
		if (moved[i].id)
			cells->page[new + i].id += shift;
	}
	cells->last_id *= 2;
	if (new_count > count)
		extend(cells, new + count, new + new_count);
	clear(cells, old, count);
	return 0;
}

static int cells_apply(struct cells *cells, const struct trace_op *op)
{
	switch ((enum trace_verb)op->verb) {
	case TRACE_MAP:
		cells_map(cells, op);
		return 0;
	case TRACE_UNMAP:
		clear(cells, op->addr / PAGE, op->length / PAGE);
		return 0;
	case TRACE_PROTECT:
		return cells_protect(cells, op);
	case TRACE_MOVE:
		return cells_move(cells, op);
	case TRACE_LOAD:
		break;
	}
	return cells->page[op->addr / PAGE].id ? 0 : -EINVAL;
}

static struct trace_op random_op(void)
{
	unsigned int first = pick(PAGES), length = 1 + pick(pick(8) ? 12 : 200);
	struct trace_op op = { .verb = (uint8_t)pick(6), .addr = first * PAGE };

	if (op.verb > TRACE_LOAD)
		op.verb = TRACE_MAP;
	if (first + length > PAGES)
		length = PAGES - first;
	op.length = length * PAGE;
	op.flags = (uint8_t)(pick(4) | (pick(8) ? 0 : TRACE_SHARED));
	if (op.verb == TRACE_MAP) {
		op.object = pick(3);
		op.offset = op.object ? pick(8) * PAGE : 0;
	} else if (op.verb == TRACE_LOAD) {
		op.addr += pick(PAGE);
		op.length = 1;
	} else if (op.verb == TRACE_MOVE) {
		unsigned int new = pick(3) ? pick(PAGES) : first, new_length = 1 + pick(20);

		if (new + new_length > PAGES)
			new_length = PAGES - new;
		op.new_addr = new *PAGE;
		op.new_length = new_length * PAGE;
		if (new != first &&new < first + length && first < new + new_length)
			op.verb = TRACE_UNMAP;
	}
	return op;
}

/* Every mapping must be where the cells have a maximal run of one id, with the same contents. */
static void compare(const struct address_space *as, const struct cells *cells)
{
	struct as_pos pos;
	const struct as_mapping *m = as_from(as, 0, &pos);
	size_t count = 0;

	for (size_t i = 0; i < PAGES; count++) {
		const struct page *page = &cells->page[i];
		size_t end = i;

		if (!page->id) {
			assert_null(as_at(as, i++ * PAGE));
			count--;
			continue;
		}
		while (end < PAGES && cells->page[end].id == page->id)
			end++;
		assert_non_null(m);
		assert_ptr_equal(as_at(as, i * PAGE), m);
		assert_ptr_equal(as_at(as, end * PAGE - 1), m);
		assert_int_equal(m->first, i * PAGE);
		assert_int_equal(m->last, end * PAGE - 1);
		assert_int_equal(m->object, page->object);
		assert_int_equal(m->offset, page->offset);
		assert_int_equal(m->flags, page->flags);
		m = as_next(as, &pos);
		i = end;
	}
	assert_null(m);
	assert_int_equal(as->count, count);
}

static void test_random(void **state)
{
	struct cells *cells = calloc(1, sizeof(*cells));
	struct address_space as;

	(void)state;
	assert_non_null(cells);
	as_init(&as);
	for (unsigned int i = 0; i < 20000; i++) {
		struct trace_op op = random_op();
		const char *why = NULL;

		/* Ids double with each move; begin again before they run out. */
		if (cells->last_id > 1u << 29) {
			as_destroy(&as);
			memset(cells, 0, sizeof(*cells));
		}
		assert_int_equal(as_apply(&as, &op, &why), cells_apply(cells, &op));
		compare(&as, cells);
	}
	as_destroy(&as);
	free(cells);
}

/* Enough mappings for many blocks, coming and going. */
static void test_many(void **state)
{
	struct address_space as;
	const char *why;
	struct as_pos pos;

	(void)state;
	as_init(&as);
	for (uint64_t i = 0; i < 20000; i++) {
		uint64_t at = i * 7919 % 20000;
		struct trace_op op = { .verb = TRACE_MAP, .addr = at * 2 * PAGE, .length = PAGE };

		assert_int_equal(as_apply(&as, &op, &why), 0);
	}
	assert_int_equal(as.count, 20000);
	for (uint64_t i = 0; i < 20000; i++)
		assert_int_equal(as_at(&as, i * 2 * PAGE)->first, i * 2 * PAGE);
	assert_null(as_from(&as, 40000 * PAGE, &pos));
	for (uint64_t i = 20000; i-- > 0;)
		assert_int_equal(as_prev(&as, &pos)->first, i * 2 * PAGE);
	assert_null(as_prev(&as, &pos));
	assert_int_equal(as_apply(&as,
				  &(struct trace_op){ .verb = TRACE_UNMAP,
						      .addr = PAGE,
						      .length = 39998 * PAGE },
				  &why),
			 0);
	assert_int_equal(as.count, 1);
	as_destroy(&as);
}

static void expect_runs(const char *const *lines, const char *runs)
{
	struct address_space as;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	as_init(&as);
	for (; *lines; lines++) {
		char trace[512], why[128];
		const char *reason = "";
		struct trace_reader *reader;
		struct trace_op op;

		snprintf(
			trace, sizeof(trace),
			"# samara-trace 1\n# source: t\n# page: 1000\n# va: 0-ffffffffffffffff\n%s\n",
			*lines);
		assert_int_equal(
			trace_open_buffer(&reader, trace, strlen(trace), "t", why, sizeof(why)), 0);
		assert_int_equal(trace_next(reader, &op), 1);
		trace_close(reader);
		assert_int_equal(as_apply(&as, &op, &reason), 0);
	}
	as_write_runs(&as, out);
	as_destroy(&as);
	fclose(out);
	assert_string_equal(text, runs);
	free(text);
}

static void test_runs(void **state)
{
	static const char *const joined[] = { "map 1000 1000 1 0 rp",    "map 2000 1000 1 1000 rp",
					      "map 3000 1000 1 1000 rp", "map 4000 1000 1 2000 rs",
					      "map 5000 1000 0 0 p",     "map 6000 1000 0 0 p",
					      "map 8000 1000 0 0 p",     NULL };
	static const char *const moved[] = { "map 1000 3000 3 5000 rwp", "move 2000 1000 9000 2000",
					     "move 3000 1000 3000 2000", NULL };
	static const char *const top[] = { "map fffffffffffff000 1000 1 0 rwxsg", NULL };

	(void)state;
	expect_runs(joined, "1000 2000 1 0 rp\n3000 1000 1 1000 rp\n4000 1000 1 2000 rs\n"
			    "5000 2000 0 0 p\n8000 1000 0 0 p\n");
	expect_runs(moved, "1000 1000 3 5000 rwp\n3000 2000 3 7000 rwp\n9000 2000 3 6000 rwp\n");
	expect_runs(top, "fffffffffffff000 1000 1 0 rwxsg\n");
}

static void test_refusals(void **state)
{
	static const struct {
		struct trace_op op;
		const char *why;
	} cases[] = {
		{ { .verb = TRACE_LOAD, .addr = 0x3000, .length = 1 },
		  "looks up an address that is not mapped" },
		{ { .verb = TRACE_PROTECT, .addr = 0x2000, .length = 0x2000 },
		  "protects a range that is not wholly mapped" },
		{ { .verb = TRACE_MOVE,
		    .addr = 0x3000,
		    .length = 0x1000,
		    .new_addr = 0x8000,
		    .new_length = 0x1000 },
		  "moves a range in which nothing is mapped" },
		{ { .verb = TRACE_MOVE,
		    .addr = 0x2000,
		    .length = 0x2000,
		    .new_addr = 0x8000,
		    .new_length = 0x3000 },
		  "grows a range whose end is not mapped" },
		{ { .verb = TRACE_PROTECT,
		    .addr = 0x1000,
		    .length = 0x1000,
		    .flags = TRACE_READ | TRACE_SHARED },
		  "protects with another s, p or g than what is mapped has" },
		{ { .verb = TRACE_PROTECT,
		    .addr = 0x1000,
		    .length = 0x1000,
		    .flags = TRACE_GROWSDOWN },
		  "protects with another s, p or g than what is mapped has" },
		{ { .verb = TRACE_MOVE,
		    .addr = 0x3000,
		    .length = 0x1000,
		    .new_addr = 0x3000,
		    .new_length = 0x1000 },
		  "moves a range in which nothing is mapped" },
		{ { .verb = TRACE_MOVE,
		    .addr = 0x2000,
		    .length = 0x2000,
		    .new_addr = 0x2000,
		    .new_length = 0x3000 },
		  "grows a range whose end is not mapped" },
		{ { .verb = TRACE_MOVE,
		    .addr = 0x2000,
		    .length = 0x1000,
		    .new_addr = 0x2000,
		    .new_length = 0x3000 },
		  "grows into what is mapped already" },
		{ { .verb = TRACE_MOVE,
		    .addr = 0x5000,
		    .length = 0x1000,
		    .new_addr = 0x5000,
		    .new_length = 0x2000 },
		  "grows to where the offset goes beyond 64 bits" },
		{ { .verb = TRACE_MOVE,
		    .addr = 0x4000,
		    .length = 0x1000,
		    .new_addr = 0x8000,
		    .new_length = 0x3000 },
		  "grows to where the offset goes beyond 64 bits" },
	};
	struct trace_op map = { .verb = TRACE_MAP, .addr = 0x1000, .length = 0x2000 };
	struct address_space as;
	const char *why;

	(void)state;
	as_init(&as);
	assert_int_equal(as_apply(&as, &map, &why), 0);
	map.addr = 0x4000;
	map.object = 1;
	map.offset = -0x2000ull;
	assert_int_equal(as_apply(&as, &map, &why), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(as_apply(&as, &cases[i].op, &why), -EINVAL);
		assert_string_equal(why, cases[i].why);
		assert_int_equal(as.count, 2);
	}
	as_destroy(&as);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_runs),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
