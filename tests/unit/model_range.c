/* SPDX-License-Identifier: MIT */
/* Checks the oracle of the tree's tests against something even plainer: one cell per key. */
#include "support/cm.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "model/range_model.h"

#define KEYS 24

/*
 * @id tells ranges with the same entry apart; entry and id are 0 in a gap. Keys beyond are a gap.
 */
struct cells {
	unsigned long entry[KEYS];
	unsigned long id[KEYS];
	unsigned long last_id;
};

static unsigned int seed = 1;

static unsigned long pick(unsigned long below)
{
	return (unsigned long)rand_r(&seed) % below;
}

static unsigned long end_of(const struct cells *cells, unsigned long key)
{
	while (key + 1 < KEYS && cells->id[key + 1] == cells->id[key])
		key++;
	return key == KEYS - 1 && !cells->id[key] ? ULONG_MAX : key;
}

static unsigned long start_of(const struct cells *cells, unsigned long key)
{
	while (key && cells->id[key - 1] == cells->id[key])
		key--;
	return key;
}

static void cells_store(struct cells *cells, unsigned long first, unsigned long last,
			unsigned long entry)
{
	unsigned long id = entry ? ++cells->last_id : 0;
	/* The part cut off at the end becomes a range of its own. */
	unsigned long rest = ++cells->last_id, cut = cells->id[last];

	for (unsigned long k = last + 1; cut && k < KEYS && cells->id[k] == cut; k++)
		cells->id[k] = rest;
	for (unsigned long k = first; k <= last; k++) {
		cells->entry[k] = entry;
		cells->id[k] = id;
	}
}

static bool cells_free(const struct cells *cells, unsigned long first, unsigned long last)
{
	for (unsigned long k = first; k <= last; k++) {
		if (k < KEYS && cells->id[k])
			return false;
	}
	return true;
}

static void compare_key(const struct range_model *m, const struct cells *cells, unsigned long key)
{
	unsigned long first, last, next = KEYS, prev = KEYS;
	void *entry;

	assert_ptr_equal(rm_load(m, key), (void *)cells->entry[key]);
	rm_range(m, key, &first, &last, &entry);
	assert_int_equal(first, start_of(cells, key));
	assert_int_equal(last, end_of(cells, key));
	assert_ptr_equal(entry, (void *)cells->entry[key]);
	for (unsigned long k = end_of(cells, key) + 1; k && k < KEYS && next == KEYS; k++)
		next = cells->id[k] ? k : KEYS;
	assert_int_equal(rm_next(m, key, &first, NULL, NULL), next != KEYS);
	if (next != KEYS)
		assert_int_equal(first, next);
	for (unsigned long k = start_of(cells, key); k-- > 0 && prev == KEYS;)
		prev = cells->id[k] ? k : KEYS;
	assert_int_equal(rm_prev(m, key, NULL, &last, NULL), prev != KEYS);
	if (prev != KEYS)
		assert_int_equal(last, prev);
}

static void compare_gaps(const struct range_model *m, const struct cells *cells)
{
	unsigned long size = 1 + pick(6), min = pick(KEYS), max = min + pick(KEYS), start, s;
	bool fits = max - min + 1 >= size;
	int ret;

	ret = rm_gap_first(m, size, min, max, &start);
	for (s = min; fits && s + size - 1 <= max && !cells_free(cells, s, s + size - 1); s++)
		;
	if (!fits)
		assert_int_equal(ret, -EINVAL);
	else if (s + size - 1 > max)
		assert_int_equal(ret, -EBUSY);
	else
		assert_true(!ret && start == s);
	ret = rm_gap_last(m, size, min, max, &start);
	if (!fits) {
		assert_int_equal(ret, -EINVAL);
		return;
	}
	for (s = max - size + 2; s > min && !cells_free(cells, s - 1, s + size - 2); s--)
		;
	if (s == min)
		assert_int_equal(ret, -EBUSY);
	else
		assert_true(!ret && start == s - 1);
}

static void one_step(struct range_model *m, struct cells *cells)
{
	unsigned long first = pick(KEYS), last = first + pick(KEYS - first);
	unsigned long entry = pick(3) * 4;

	switch (pick(4)) {
	case 0:
		if (cells_free(cells, first, last)) {
			assert_int_equal(rm_insert(m, first, last, (void *)entry), 0);
			cells_store(cells, first, last, entry);
		} else {
			assert_int_equal(rm_insert(m, first, last, (void *)entry), -EEXIST);
		}
		break;
	case 1:
		entry = cells->entry[first];
		assert_ptr_equal(rm_erase(m, first), (void *)entry);
		if (entry)
			cells_store(cells, start_of(cells, first), end_of(cells, first), 0);
		break;
	default:
		assert_int_equal(rm_store(m, first, last, (void *)entry), 0);
		cells_store(cells, first, last, entry);
	}
}

static void test_random(void **state)
{
	struct cells cells = { 0 };
	struct range_model m, copy;

	(void)state;
	rm_init(&m);
	rm_init(&copy);
	for (unsigned int i = 0; i < 20000; i++) {
		size_t count = 0;

		one_step(&m, &cells);
		for (unsigned long k = 0; k < KEYS; k++) {
			compare_key(&m, &cells, k);
			count += cells.id[k] && start_of(&cells, k) == k;
		}
		assert_int_equal(rm_count(&m), count);
		compare_gaps(&m, &cells);
		assert_int_equal(rm_copy(&copy, &m), 0);
		assert_true(rm_equal(&copy, &m));
	}
	rm_destroy(&copy);
	rm_destroy(&m);
}

static void test_edges(void **state)
{
	void *a = (void *)4, *b = (void *)8;
	struct range_model m, other;
	unsigned long start = 77, first, last;

	(void)state;
	rm_init(&m);
	rm_init(&other);
	assert_int_equal(rm_store(&m, 2, 1, a), -EINVAL);
	assert_int_equal(rm_insert(&m, 2, 1, a), -EINVAL);
	assert_int_equal(rm_store(&m, 0, ULONG_MAX, a), 0);
	assert_int_equal(rm_gap_first(&m, 1, 0, ULONG_MAX, &start), -EBUSY);
	assert_int_equal(rm_gap_last(&m, 1, 0, ULONG_MAX, &start), -EBUSY);
	assert_int_equal(rm_gap_first(&m, 0, 0, ULONG_MAX, &start), -EINVAL);
	assert_int_equal(start, 77);
	assert_int_equal(rm_store(&m, 5, 5, a), 0);
	assert_int_equal(rm_count(&m), 3);
	assert_int_equal(rm_store(&m, ULONG_MAX, ULONG_MAX, b), 0);
	assert_ptr_equal(rm_load(&m, ULONG_MAX), b);
	assert_int_equal(rm_store(&m, 6, ULONG_MAX, NULL), 0);
	rm_range(&m, 100, &first, &last, NULL);
	assert_true(first == 6 && last == ULONG_MAX);
	assert_int_equal(rm_gap_last(&m, ULONG_MAX - 5, 0, ULONG_MAX, &start), 0);
	assert_int_equal(start, 6);
	assert_false(rm_equal(&m, &other));
	assert_ptr_equal(rm_erase(&m, 5), a);
	assert_null(rm_erase(&m, 5));
	rm_destroy(&m);
	assert_true(rm_equal(&m, &other));
	assert_int_equal(rm_gap_first(&m, ULONG_MAX, 0, ULONG_MAX, &start), 0);
	assert_int_equal(start, 0);
}

/* Other tests compare with rm_equal(), so it must tell each part of a range. */
static void test_equal(void **state)
{
	static char x, y;
	const struct rm_range others[] = { { 2, 5, &x }, { 1, 6, &x }, { 1, 5, &y } };
	struct range_model a, b;

	(void)state;
	rm_init(&a);
	assert_int_equal(rm_store(&a, 1, 5, &x), 0);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		rm_init(&b);
		assert_int_equal(rm_store(&b, others[i].first, others[i].last, others[i].entry), 0);
		assert_false(rm_equal(&a, &b));
		assert_int_equal(rm_copy(&b, &a), 0);
		assert_true(rm_equal(&a, &b));
		rm_destroy(&b);
	}
	assert_int_equal(rm_insert(&a, 4, 3, &y), -EINVAL);
	rm_destroy(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_equal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
