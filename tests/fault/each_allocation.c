/* SPDX-License-Identifier: MIT */
/*
 * Every operation, on trees of many sizes, with its 1st, 2nd, ... allocation refused until it
 * succeeds. After each failure the tree is as it was and sound, nothing has leaked, and the cursor
 * has the right status.
 */
#include "support/cm.h"

#include "support/env.h"
#include "support/memfault.h"
#include "support/treecheck.h"

#include <errno.h>
#include <string.h>

#define NEW ((void *)0x7770UL)
#define ATTEMPTS 50

struct fixture {
	struct maple_tree tree, copy;
	struct range_model model;
	struct ma_state mas;
	unsigned long first, last; /* what to write */
	unsigned long start, next; /* out-parameters */
	void *got;
	unsigned long nodes; /* in use before the attempt */
};

/* Statuses that a failed call may leave; NO_CURSOR: it has no cursor. */
enum { NO_CURSOR = -1 };

/*
 * run: returns 0 or a negative errno. after: changes the model as a success does. needs: flags that
 * the tree must have.
 */
struct operation {
	const char *name;
	int (*run)(struct fixture *f, gfp_t gfp);
	void (*after)(struct fixture *f);
	int failed_status;
	unsigned int needs;
	bool kernel_only;
};

/* ---- The operations */

static void after_store(struct fixture *f)
{
	assert_int_equal(rm_store(&f->model, f->first, f->last, NEW), 0);
}

static void after_null(struct fixture *f)
{
	assert_int_equal(rm_store(&f->model, f->first, f->last, NULL), 0);
}

static void after_erase(struct fixture *f)
{
	assert_ptr_equal(rm_erase(&f->model, f->first), f->got);
}

static void after_alloc(struct fixture *f)
{
	assert_int_equal(rm_insert(&f->model, f->start, f->start + 2, NEW), 0);
}

static void after_cyclic(struct fixture *f)
{
	assert_int_equal(rm_insert(&f->model, f->start, f->start, NEW), 0);
	assert_int_equal(f->next, f->start + 1);
}

static void after_reserve(struct fixture *f)
{
	assert_int_equal(rm_insert(&f->model, f->first, f->first, XA_ZERO_ENTRY), 0);
}

static void after_nothing(struct fixture *f)
{
	(void)f;
}

static int run_store(struct fixture *f, gfp_t gfp)
{
	return mtree_store_range(&f->tree, f->first, f->last, NEW, gfp);
}

static int run_null(struct fixture *f, gfp_t gfp)
{
	return mtree_store_range(&f->tree, f->first, f->last, NULL, gfp);
}

/* Into a gap that every tree has above its ranges. */
static int run_insert(struct fixture *f, gfp_t gfp)
{
	f->first += 1UL << 40;
	f->last += 1UL << 40;
	return mtree_insert_range(&f->tree, f->first, f->last, NEW, gfp);
}

static int run_reserve(struct fixture *f, gfp_t gfp)
{
	f->first += 1UL << 40;
	return mtree_reserve(&f->tree, f->first, f->first, gfp);
}

static int run_erase(struct fixture *f, gfp_t gfp)
{
	bool there = rm_load(&f->model, f->first) != NULL;

	(void)gfp;
	f->got = mtree_erase(&f->tree, f->first);
	return !f->got && there ? -ENOMEM : 0;
}

static int run_alloc(struct fixture *f, gfp_t gfp)
{
	return mtree_alloc_range(&f->tree, &f->start, NEW, 3, f->first, ULONG_MAX, gfp);
}

static int run_alloc_rev(struct fixture *f, gfp_t gfp)
{
	return mtree_alloc_rrange(&f->tree, &f->start, NEW, 3, 0, f->last + (1UL << 40), gfp);
}

static int run_cyclic(struct fixture *f, gfp_t gfp)
{
	int ret = mtree_alloc_cyclic(&f->tree, &f->start, NEW, 0, ULONG_MAX, &f->next, gfp);

	return ret < 0 ? ret : 0;
}

static int run_mas_store_gfp(struct fixture *f, gfp_t gfp)
{
	int err;

	mtree_lock(&f->tree);
	mas_set_range(&f->mas, f->first, f->last);
	err = mas_store_gfp(&f->mas, NEW, gfp);
	mtree_unlock(&f->tree);
	return err;
}

static int run_mas_null_gfp(struct fixture *f, gfp_t gfp)
{
	int err;

	mtree_lock(&f->tree);
	mas_set_range(&f->mas, f->first, f->last);
	err = mas_store_gfp(&f->mas, NULL, gfp);
	mtree_unlock(&f->tree);
	return err;
}

static int run_mas_store(struct fixture *f, gfp_t gfp)
{
	(void)gfp;
	mtree_lock(&f->tree);
	mas_set_range(&f->mas, f->first, f->last);
	mas_store(&f->mas, NEW);
	mtree_unlock(&f->tree);
	return mas_is_err(&f->mas) ? xa_err(f->mas.node) : 0;
}

/* With mas_nomem(): the first refusal is survived, and nodes left over are given back. */
static int run_mas_nomem(struct fixture *f, gfp_t gfp)
{
	bool more;

	mtree_lock(&f->tree);
	do {
		mas_set_range(&f->mas, f->first, f->last);
		mas_store(&f->mas, NULL);
		more = mas_nomem(&f->mas, gfp);
	} while (more);
	mas_destroy(&f->mas);
	mtree_unlock(&f->tree);
	return mas_is_err(&f->mas) ? xa_err(f->mas.node) : 0;
}

static int run_preallocate(struct fixture *f, gfp_t gfp)
{
	int err;

	mtree_lock(&f->tree);
	mas_set_range(&f->mas, f->first, f->last);
	err = mas_preallocate(&f->mas, NEW, gfp);
	if (!err)
		mas_store_prealloc(&f->mas, NEW);
	mtree_unlock(&f->tree);
	return err;
}

static int run_mas_erase(struct fixture *f, gfp_t gfp)
{
	(void)gfp;
	mtree_lock(&f->tree);
	mas_set_range(&f->mas, f->first, f->last);
	f->got = mas_erase(&f->mas);
	mtree_unlock(&f->tree);
	return mas_is_err(&f->mas) ? xa_err(f->mas.node) : 0;
}

static int run_mas_cyclic(struct fixture *f, gfp_t gfp)
{
	int ret;

	mtree_lock(&f->tree);
	mas_set_range(&f->mas, f->first, f->last);
	ret = mas_alloc_cyclic(&f->mas, &f->start, NEW, 0, ULONG_MAX, &f->next, gfp);
	mtree_unlock(&f->tree);
	return ret < 0 ? ret : 0;
}

static int run_expected(struct fixture *f, gfp_t gfp)
{
	int err;

	(void)gfp;
	mtree_lock(&f->tree);
	mas_set(&f->mas, 0);
	err = mas_expected_entries(&f->mas, 3000);
	mas_destroy(&f->mas);
	mas_reset(&f->mas);
	mtree_unlock(&f->tree);
	return err;
}

static int run_dup(struct fixture *f, gfp_t gfp)
{
	int err;
	char why[WHY_SIZE];

	mt_init_flags(&f->copy, f->tree.ma_flags & ~MT_FLAGS_HEIGHT_MASK);
	err = mtree_dup(&f->tree, &f->copy, gfp);
	if (err)
		assert_true(mtree_empty(&f->copy));
	mtree_lock(&f->copy);
	if (!err && !tree_good(&f->copy, &f->model, why))
		fail_msg("%s", why);
	mtree_unlock(&f->copy);
	mtree_destroy(&f->copy);
	return err;
}

static int run_release(struct fixture *f, gfp_t gfp)
{
	(void)gfp;
	return mtree_release(&f->tree, f->first, f->last);
}

/* In these trees only every fifth range is reserved. */
static void after_release(struct fixture *f)
{
	unsigned long key = f->first, first, end;
	void *entry;

	for (;;) {
		rm_range(&f->model, key, &first, &end, &entry);
		if (end > f->last)
			end = f->last;
		if (xa_is_zero(entry))
			assert_int_equal(rm_store(&f->model, key, end, NULL), 0);
		if (end == f->last)
			return;
		key = end + 1;
	}
}

static const struct operation operations[] = {
	{ "mtree_store_range", run_store, after_store, NO_CURSOR, 0, false },
	{ "mtree_store_range NULL", run_null, after_null, NO_CURSOR, 0, false },
	{ "mtree_insert_range", run_insert, after_store, NO_CURSOR, 0, false },
	{ "mtree_erase", run_erase, after_erase, NO_CURSOR, 0, true },
	{ "mtree_alloc_range", run_alloc, after_alloc, NO_CURSOR, MT_FLAGS_ALLOC_RANGE, false },
	{ "mtree_alloc_rrange", run_alloc_rev, after_alloc, NO_CURSOR, MT_FLAGS_ALLOC_RANGE,
	  false },
	{ "mtree_alloc_cyclic", run_cyclic, after_cyclic, NO_CURSOR, MT_FLAGS_ALLOC_RANGE, false },
	{ "mtree_reserve", run_reserve, after_reserve, NO_CURSOR, 0, false },
	{ "mtree_release", run_release, after_release, NO_CURSOR, 0, true },
	{ "mas_store_gfp", run_mas_store_gfp, after_store, ma_error, 0, false },
	{ "mas_store_gfp NULL", run_mas_null_gfp, after_null, ma_error, 0, false },
	{ "mas_store", run_mas_store, after_store, ma_error, 0, false },
	{ "mas_nomem", run_mas_nomem, after_null, ma_error, 0, false },
	{ "mas_preallocate", run_preallocate, after_store, ma_start, 0, false },
	{ "mas_erase", run_mas_erase, after_erase, ma_error, 0, true },
	{ "mas_alloc_cyclic", run_mas_cyclic, after_cyclic, ma_error, MT_FLAGS_ALLOC_RANGE, false },
	{ "mas_expected_entries", run_expected, after_nothing, NO_CURSOR, 0, true },
	{ "mtree_dup", run_dup, after_nothing, NO_CURSOR, 0, false },
};

#define NR_OPERATIONS (sizeof(operations) / sizeof(operations[0]))

/* ---- The trees */

static void *entry_of(unsigned long i)
{
	return i % 5 == 4 ? XA_ZERO_ENTRY : xa_mk_value(i);
}

/* GFP_NOWAIT can only get what is free already. */
static void have_free_nodes(void)
{
	DEFINE_MTREE(tree);
	struct mt_mem_stats stats;

	mt_mem_stats(mt_mem_default(), &stats);
	if (stats.nodes_free > 600)
		return;
	for (unsigned long i = 0; i < 1000; i++)
		assert_int_equal(mtree_store(&tree, 2 * i, NEW, GFP_KERNEL), 0);
	mtree_destroy(&tree);
}

static void begin(struct fixture *f, unsigned int flags, unsigned long n)
{
	memset(f, 0, sizeof(*f));
	memfault_ok();
	mt_init_flags(&f->tree, flags);
	rm_init(&f->model);
	mas_init(&f->mas, &f->tree, 0);
	have_free_nodes();
	for (unsigned long i = 0; i < n; i++) {
		unsigned long first = n == 1 ? 0 : 20 * i, last = n == 1 ? 0 : 20 * i + 9;

		assert_int_equal(mtree_store_range(&f->tree, first, last, entry_of(i), GFP_KERNEL),
				 0);
		assert_int_equal(rm_store(&f->model, first, last, entry_of(i)), 0);
	}
}

static void expect_good(struct fixture *f, const struct operation *op, const char *when)
{
	char why[WHY_SIZE];

	mtree_lock(&f->tree);
	if (!tree_good(&f->tree, &f->model, why))
		fail_msg("%s [%#lx..%#lx] %s: %s", op->name, f->first, f->last, when, why);
	mtree_unlock(&f->tree);
}

static void end(struct fixture *f, const struct operation *op)
{
	unsigned long left;

	memfault_ok();
	mas_destroy(&f->mas);
	left = nodes_in_use(mt_mem_default());
	mtree_destroy(&f->tree);
	rm_destroy(&f->model);
	if (nodes_in_use(mt_mem_default()) != 0)
		fail_msg("%s: %lu nodes leaked (%lu before the end)", op->name,
			 nodes_in_use(mt_mem_default()), left);
}

/* After a failure all is as before, including the out-parameters and the cursor's range. */
static void expect_unchanged(struct fixture *f, const struct operation *op, unsigned long first,
			     unsigned long last)
{
	expect_good(f, op, "after a failure");
	assert_int_equal(nodes_in_use(mt_mem_default()), f->nodes);
	assert_int_equal(f->start, 0x5a);
	assert_int_equal(f->next, 3);
	if (op->failed_status == NO_CURSOR)
		return;
	if (f->mas.status != (enum maple_status)op->failed_status)
		fail_msg("%s: a failure left status %d, not %d", op->name, (int)f->mas.status,
			 op->failed_status);
	if (op->failed_status == ma_error)
		assert_int_equal(xa_err(f->mas.node), -ENOMEM);
	if (f->mas.index != first || f->mas.last != last)
		fail_msg("%s [%#lx..%#lx]: a failure left the cursor on [%#lx..%#lx]", op->name,
			 first, last, f->mas.index, f->mas.last);
	assert_int_equal(mas_allocated(&f->mas), 0);
}

/* Makes one attempt. Returns true if it succeeded. */
static bool attempt(struct fixture *f, const struct operation *op, unsigned long first,
		    unsigned long last, gfp_t gfp)
{
	int err;

	f->first = first;
	f->last = last;
	f->start = 0x5a;
	f->next = 3;
	f->nodes = nodes_in_use(mt_mem_default());
	err = op->run(f, gfp);
	if (err == -ENOMEM) {
		memfault_ok();
		expect_unchanged(f, op, first, last);
		return false;
	}
	if (err)
		fail_msg("%s [%#lx..%#lx]: %d", op->name, first, last, err);
	op->after(f);
	expect_good(f, op, "after it passed");
	return true;
}

/* Without blocking: refuses the n-th allocation, for n = 1, 2, ... until the operation succeeds. */
static void refuse_each(const struct operation *op, unsigned int flags, unsigned long n,
			unsigned long first, unsigned long last, gfp_t gfp)
{
	struct fixture f;
	unsigned long nth = 0;

	begin(&f, flags, n);
	do {
		assert_true(nth < ATTEMPTS);
		memfault_nth(++nth);
	} while (!attempt(&f, op, first, last, gfp));
	end(&f, op);
}

/*
 * Refuses all allocations: the operation fails, or succeeds without memory; with memory it
 * succeeds.
 */
static void refuse_all(const struct operation *op, unsigned int flags, unsigned long n,
		       unsigned long first, unsigned long last, gfp_t gfp)
{
	struct fixture f;

	begin(&f, flags, n);
	memfault_none();
	if (!attempt(&f, op, first, last, gfp)) {
		memfault_ok();
		assert_true(attempt(&f, op, first, last, GFP_KERNEL));
	}
	end(&f, op);
}

/* Blocking calls survive it when allocations that may not block are refused. */
static void refuse_nonblocking(const struct operation *op, unsigned int flags, unsigned long n,
			       unsigned long first, unsigned long last)
{
	struct fixture f;

	begin(&f, flags, n);
	memfault_nowait();
	assert_true(attempt(&f, op, first, last, GFP_KERNEL));
	end(&f, op);
}

static void try_all(const struct operation *op, unsigned int flags, unsigned long n,
		    unsigned long first, unsigned long last)
{
	static const gfp_t gfps[] = { GFP_NOWAIT, GFP_ATOMIC, GFP_KERNEL };

	for (unsigned int g = op->kernel_only ? 2 : 0; g < 3; g++) {
		refuse_each(op, flags, n, first, last, gfps[g]);
		refuse_all(op, flags, n, first, last, gfps[g]);
	}
	if (op->run != run_mas_store)
		refuse_nonblocking(op, flags, n, first, last);
}

/* Writes to a tree of @n ranges: inside one, over some, over many, over all. */
static void at_every_place(const struct operation *op, unsigned int flags, unsigned long n)
{
	unsigned long mid = 20 * (n / 2);

	try_all(op, flags, n, mid + 2, mid + 5);
	try_all(op, flags, n, mid, mid + 9);
	try_all(op, flags, n, mid + 5, mid + 20 * (n / 8) + 7);
	if (n < 500)
		try_all(op, flags, n, 0, 0);
	try_all(op, flags, n, 0, 20 * n - (n > 0) + 5);
	try_all(op, flags, n, mid + 3, ULONG_MAX - (1UL << 41));
}

static void every_operation(void **state)
{
	static const unsigned long sizes[] = { 0, 1, 2, 20, 21, 43, 300, 2000 };
	const struct operation *op = *state;

	for (unsigned int mode = 0; mode < 4; mode++) {
		unsigned int flags = (mode & 1 ? MT_FLAGS_USE_RCU : 0) |
				     (mode & 2 ? MT_FLAGS_ALLOC_RANGE : 0);

		if ((flags & op->needs) != op->needs)
			continue;
		for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
			/*
			 * Tall trees in one mode only, and not where everything takes ten times as
			 * long.
			 */
			if (sizes[s] > 100 && (mode == 1 || mode == 2 || env_scaled(100) < 100))
				continue;
			if (sizes[s] > 1000 && mode != 3)
				continue;
			at_every_place(op, flags, sizes[s]);
		}
	}
}

int main(void)
{
	struct CMUnitTest tests[NR_OPERATIONS];

	for (size_t i = 0; i < NR_OPERATIONS; i++)
		tests[i] = (struct CMUnitTest){ operations[i].name, every_operation, NULL, NULL,
						(void *)&operations[i] };
	return cmocka_run_group_tests_name("each_allocation", tests, NULL, NULL);
}
