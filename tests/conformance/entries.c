/* SPDX-License-Identifier: MIT */
/*
 * Which words may be entries, which interface refuses which of them, and the helpers that make and
 * read them.
 */
#include "support/cm.h"

#include <errno.h>
#include <samara/maple_tree.h>
#include <stdio.h>
#include <unistd.h>

#define INTERNAL_FIRST 2UL
#define INTERNAL_LAST 4094UL
#define ADVANCED_LAST 1026UL

static void helpers_values(void **state)
{
	(void)state;
	assert_ptr_equal(xa_mk_value(0), (void *)1UL);
	assert_ptr_equal(xa_mk_value(5), (void *)11UL);
	assert_int_equal(xa_to_value(xa_mk_value(5)), 5);
	assert_int_equal(xa_to_value(xa_mk_value(LONG_MAX)), LONG_MAX);
	assert_true(xa_is_value(xa_mk_value(0)));
	assert_false(xa_is_value(NULL));
	assert_false(xa_is_value(XA_ZERO_ENTRY));
}

static void helpers_tags(void **state)
{
	static unsigned long object;

	(void)state;
	for (unsigned long tag = 0; tag <= 3; tag++) {
		void *tagged = xa_tag_pointer(&object, tag);

		if (tag == 2)
			continue;
		assert_int_equal(xa_pointer_tag(tagged), tag);
		assert_ptr_equal(xa_untag_pointer(tagged), &object);
		assert_int_equal(xa_is_value(tagged), tag != 0);
		assert_false(xa_is_internal(tagged));
	}
}

static void helpers_internal(void **state)
{
	(void)state;
	assert_ptr_equal(xa_mk_internal(0), (void *)2UL);
	assert_int_equal(xa_to_internal(xa_mk_internal(77)), 77);
	assert_true(xa_is_internal(xa_mk_internal(77)));
	assert_ptr_equal(XA_ZERO_ENTRY, (void *)1030UL);
	assert_ptr_equal(XA_RETRY_ENTRY, (void *)1026UL);
	assert_true(xa_is_zero(XA_ZERO_ENTRY));
	assert_false(xa_is_zero(NULL));
	assert_true(xa_is_advanced((void *)2UL));
	assert_true(xa_is_advanced(XA_RETRY_ENTRY));
	assert_false(xa_is_advanced(XA_ZERO_ENTRY));
	assert_false(xa_is_advanced(NULL));
	assert_false(xa_is_advanced((void *)1025UL));
}

static void helpers_errors(void **state)
{
	static unsigned long object;

	(void)state;
	for (int err = -4095; err < 0; err++) {
		void *entry = MA_ERROR(err);

		assert_ptr_equal(entry, xa_mk_internal((unsigned long)err));
		assert_true(xa_is_err(entry));
		assert_int_equal(xa_err(entry), err);
	}
	assert_int_equal((unsigned long)MA_ERROR(-ENOMEM) & 0xffff, 0xffd2);
	assert_int_equal(xa_err(XA_ZERO_ENTRY), 0);
	assert_int_equal(xa_err(NULL), 0);
	assert_int_equal(xa_err(&object), 0);
	assert_int_equal(xa_err(xa_mk_internal((unsigned long)-4096)), 0);
	assert_false(xa_is_err(xa_mk_value(LONG_MAX)));
}

/* The normal API refuses 2 to 1026 on a store or an insertion, and changes nothing. */
static void stores_refuse_advanced(void **state)
{
	DEFINE_MTREE(tree);

	(void)state;
	for (unsigned long raw = INTERNAL_FIRST; raw <= INTERNAL_LAST; raw += 4) {
		void *entry = (void *)raw;
		int want = raw <= ADVANCED_LAST ? -EINVAL : 0;
		void *seen = want || xa_is_zero(entry) ? NULL : entry;

		assert_int_equal(mtree_store(&tree, 7, entry, GFP_KERNEL), want);
		assert_ptr_equal(mtree_load(&tree, 7), seen);
		mtree_erase(&tree, 7);
		assert_int_equal(mtree_store_range(&tree, 5, 9, entry, GFP_KERNEL), want);
		mtree_erase(&tree, 7);
		assert_int_equal(mtree_insert(&tree, 0, entry, GFP_KERNEL), want);
		assert_ptr_equal(mtree_load(&tree, 0), seen);
		mtree_erase(&tree, 0);
		assert_int_equal(mtree_insert_range(&tree, 0, ULONG_MAX, entry, GFP_KERNEL), want);
		mtree_erase(&tree, 7);
		assert_true(mtree_empty(&tree));
	}
	mtree_destroy(&tree);
}

static void allocations_refuse_reserved(void **state)
{
	struct maple_tree tree = MTREE_INIT(tree, MT_FLAGS_ALLOC_RANGE);
	unsigned long start = 99, next = 0;

	(void)state;
	for (unsigned long raw = INTERNAL_FIRST; raw <= INTERNAL_LAST; raw += 4) {
		void *entry = (void *)raw;

		assert_int_equal(mtree_alloc_range(&tree, &start, entry, 1, 0, 9, GFP_KERNEL),
				 -EINVAL);
		assert_int_equal(mtree_alloc_rrange(&tree, &start, entry, 1, 0, 9, GFP_KERNEL),
				 -EINVAL);
		assert_int_equal(mtree_alloc_cyclic(&tree, &start, entry, 0, 9, &next, GFP_KERNEL),
				 -EINVAL);
		assert_int_equal(start, 99);
		assert_int_equal(next, 0);
	}
	assert_true(mtree_empty(&tree));
	mtree_destroy(&tree);
}

/* What every interface accepts: pointers, tagged pointers, values, internal words from 4098 up. */
static void *const ordinary[] = {
	(void *)4UL,
	(void *)8UL,
	(void *)1UL,
	(void *)3UL,
	(void *)4098UL,
	(void *)~1UL,
	(void *)(~0UL - 3),
	(void *)~0UL,
	(void *)65538UL,
	(void *)(1UL << 63),
	(void *)0xfffffffffd2UL,
	(void *)0x7ffUL,
};

#define NR_ORDINARY (sizeof(ordinary) / sizeof(ordinary[0]))

static void ordinary_entries_everywhere(void **state)
{
	struct maple_tree tree = MTREE_INIT(tree, MT_FLAGS_ALLOC_RANGE);

	(void)state;
	for (size_t i = 0; i < NR_ORDINARY; i++) {
		unsigned long start = 99, next = 0;

		assert_int_equal(mtree_store(&tree, 0, ordinary[i], GFP_KERNEL), 0);
		assert_ptr_equal(mtree_load(&tree, 0), ordinary[i]);
		assert_int_equal(mtree_insert(&tree, ULONG_MAX, ordinary[i], GFP_KERNEL), 0);
		assert_ptr_equal(mtree_load(&tree, ULONG_MAX), ordinary[i]);
		assert_int_equal(mtree_alloc_range(&tree, &start, ordinary[i], 3, 0, 9, GFP_KERNEL),
				 0);
		assert_int_equal(start, 1);
		assert_int_equal(
			mtree_alloc_cyclic(&tree, &start, ordinary[i], 0, 9, &next, GFP_KERNEL), 0);
		assert_int_equal(start, 4);
		for (unsigned long key = 0; key <= 4; key++)
			assert_ptr_equal(mtree_load(&tree, key), ordinary[i]);
		mtree_destroy(&tree);
	}
}

/* A cursor accepts and returns every possible word, also at the key that needs no node. */
static void cursors_take_everything(void **state)
{
	DEFINE_MTREE(tree);

	(void)state;
	for (unsigned long raw = 1; raw <= INTERNAL_LAST + 8; raw++) {
		MA_STATE(mas, &tree, 0, 0);

		mtree_lock(&tree);
		assert_int_equal(mas_store_gfp(&mas, (void *)raw, GFP_KERNEL), 0);
		assert_int_equal(mt_height(&tree), (raw & 3) == 2);
		mas_set(&mas, 0);
		assert_ptr_equal(mas_walk(&mas), (void *)raw);
		assert_int_equal(mas.index, 0);
		assert_int_equal(mas.last, 0);
		mas_set_range(&mas, 5, 9);
		assert_int_equal(mas_store_gfp(&mas, (void *)raw, GFP_KERNEL), 0);
		mas_set(&mas, 0);
		assert_ptr_equal(mas_find(&mas, ULONG_MAX), (void *)raw);
		assert_ptr_equal(mas_find(&mas, ULONG_MAX), (void *)raw);
		assert_int_equal(mas.last, 9);
		assert_int_equal(mt_check(&tree, NULL, 0), 0);
		mas_set(&mas, 7);
		assert_ptr_equal(mas_erase(&mas), (void *)raw);
		mas_set(&mas, 0);
		assert_ptr_equal(mas_erase(&mas), (void *)raw);
		assert_true(mtree_empty(&tree));
		mtree_unlock(&tree);
	}
	mtree_destroy(&tree);
}

/*
 * An entry that looks like an encoded error is an entry; only the cursor's status reports errors.
 */
static void error_lookalikes(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 5, 9);
	void *entry = MA_ERROR(-ENOMEM);

	(void)state;
	mtree_lock(&tree);
	assert_int_equal(mas_store_gfp(&mas, entry, GFP_KERNEL), 0);
	assert_false(mas_is_err(&mas));
	mas_set(&mas, 7);
	assert_ptr_equal(mas_walk(&mas), entry);
	assert_false(mas_is_err(&mas));
	mas_set(&mas, 0);
	assert_int_equal(mas_store_gfp(&mas, entry, GFP_KERNEL), 0);
	mtree_unlock(&tree);
	assert_ptr_equal(mtree_load(&tree, 7), entry);
	assert_ptr_equal(mtree_load(&tree, 0), entry);
	assert_ptr_equal(mtree_erase(&tree, 7), entry);
	mtree_destroy(&tree);
}

/* A refused entry and a value too large print one line each, the first time only. */
static void warns_once(void **state)
{
	struct maple_tree tree = MTREE_INIT(tree, MT_FLAGS_ALLOC_RANGE);
	FILE *said = tmpfile();
	int before = dup(STDERR_FILENO), lines = 0;
	unsigned long start, next = 0;

	(void)state;
	assert_non_null(said);
	fflush(stderr);
	dup2(fileno(said), STDERR_FILENO);
	for (unsigned int i = 0; i < 3; i++) {
		(void)mtree_store(&tree, 5, XA_RETRY_ENTRY, GFP_KERNEL);
		(void)mtree_insert(&tree, 5, XA_RETRY_ENTRY, GFP_KERNEL);
		(void)mtree_alloc_range(&tree, &start, XA_ZERO_ENTRY, 1, 0, 9, GFP_KERNEL);
		(void)mtree_alloc_cyclic(&tree, &start, XA_ZERO_ENTRY, 0, 9, &next, GFP_KERNEL);
		(void)xa_mk_value(ULONG_MAX - i);
	}
	dup2(before, STDERR_FILENO);
	close(before);
	rewind(said);
	for (int c; (c = fgetc(said)) != EOF;)
		lines += c == '\n';
	assert_int_equal(lines, 2);
	fclose(said);
	assert_true(mtree_empty(&tree));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(warns_once), /* before other tests have caused the warnings */
		cmocka_unit_test(helpers_values),
		cmocka_unit_test(helpers_tags),
		cmocka_unit_test(helpers_internal),
		cmocka_unit_test(helpers_errors),
		cmocka_unit_test(stores_refuse_advanced),
		cmocka_unit_test(allocations_refuse_reserved),
		cmocka_unit_test(ordinary_entries_everywhere),
		cmocka_unit_test(cursors_take_everything),
		cmocka_unit_test(error_lookalikes),
	};

	return cmocka_run_group_tests_name("entries", tests, NULL, NULL);
}
