/* SPDX-License-Identifier: MIT */
/*
 * Reserving credits, and copying into a tree that has outstanding credits, while the allocation of
 * nodes fails, at every point where it can: no trace is left. Also without the thread that waits
 * for grace periods.
 */
#include "support/cm.h"

#include "base/hooks.h"
#include "support/memfault.h"
#include "support/treecheck.h"
#include "tree/pledge.h"

#include <errno.h>
#include <samara/credits.h>
#include <samara/txn.h>
#include <string.h>

struct state {
	struct mt_mem_stats mem;
	struct mt_credits c;
	unsigned long pledged, recycling, strict, working, reach;
};

static struct state state_of(struct maple_tree *mt, struct mt_mem *mem, const struct mt_credits *c)
{
	struct state s;

	memset(&s, 0, sizeof(s));
	mt_mem_stats(mem, &s.mem);
	/*
	 * Failed requests are counted, and chunks may have been mapped; only what is used must be
	 * the same.
	 */
	s.mem = (struct mt_mem_stats){ .nodes_used = s.mem.nodes_used,
				       .nodes_pledged = s.mem.nodes_pledged };
	s.c = *c;
	s.pledged = mt->ma_pledge.pledged;
	s.recycling = mt->ma_pledge.recycling;
	s.strict = mt->ma_pledge.strict;
	s.working = mt->ma_pledge.working;
	s.reach = mt->ma_pledge.reach;
	return s;
}

static void expect_same(const struct state *a, const struct state *b)
{
	assert_int_equal(a->mem.nodes_used, b->mem.nodes_used);
	assert_int_equal(a->mem.nodes_pledged, b->mem.nodes_pledged);
	assert_int_equal(a->c.left, b->c.left);
	assert_int_equal(a->pledged, b->pledged);
	assert_int_equal(a->recycling, b->recycling);
	assert_int_equal(a->strict, b->strict);
	assert_int_equal(a->working, b->working);
	if (a->pledged) /* otherwise it has no meaning, and may be outdated */
		assert_int_equal(a->reach, b->reach);
}

/* Makes all requests fail, then the n-th, for n = 1, 2, ... until there is no such request. */
static void reserve_fails_at(struct maple_tree *mt, struct mt_mem *mem, struct mt_credits *c,
			     unsigned long nr, gfp_t gfp)
{
	struct state before = state_of(mt, mem, c), after;
	bool met = true;

	for (unsigned long n = 0; met; n++) {
		int err;

		if (n == 0)
			memfault_none();
		else
			memfault_nth(n);
		err = mt_credits_reserve(c, nr, gfp);
		met = n == 0 || memfault_count() >= n;
		memfault_ok();
		assert_true(err == 0 || err == -ENOMEM);
		if (n == 0)
			assert_int_equal(err, -ENOMEM);
		assert_int_equal(mt_credits_left(c), before.c.left + (err ? 0 : nr));
		if (!err)
			mt_credits_release(c);
		after = state_of(mt, mem, c);
		expect_same(&before, &after);
	}
}

/* All allocations fail: nothing changes, and what is already reserved still works. */
static void without_memory(struct maple_tree *mt, struct mt_mem *mem, struct mt_credits *c,
			   gfp_t gfp)
{
	struct state before, after;

	assert_int_equal(mt_credits_reserve(c, 40, GFP_KERNEL), 0);
	before = state_of(mt, mem, c);
	memfault_none();
	assert_int_equal(mt_credits_reserve(c, 1000, gfp), -ENOMEM);
	after = state_of(mt, mem, c);
	expect_same(&before, &after);
	for (unsigned long i = 0; i < 40; i++)
		assert_int_equal(mtree_store_range_credit(c, 997 * i, 997 * i + 2 * i,
							  i % 4 ? xa_mk_value(i) : NULL),
				 0);
	memfault_ok();
	assert_int_equal(mt->ma_pledge.pledged, 0);
}

static void each_mode(void (*body)(struct maple_tree *mt, struct mt_mem *mem, struct mt_credits *c,
				   gfp_t gfp))
{
	static const gfp_t gfps[] = { GFP_KERNEL, GFP_ATOMIC, GFP_NOWAIT };
	static const unsigned long sizes[] = { 0, 1, 30, 1000, 9000 };
	char why[WHY_SIZE];

	for (unsigned int i = 0; i < 2 * 2 * 3 * 5; i++) {
		struct mt_mem *mem = mt_mem_create(0, NULL);
		struct maple_tree mt;
		struct mt_credits c;

		assert_non_null(mem);
		mt_init_flags(&mt, i & 1 ? MT_FLAGS_USE_RCU : 0);
		assert_int_equal(mt_set_mem(&mt, mem), 0);
		for (unsigned long n = 0; n < sizes[i / 12]; n++)
			assert_int_equal(mtree_store_range(&mt, 20 * n, 20 * n + 9, xa_mk_value(n),
							   GFP_KERNEL),
					 0);
		mt_mem_barrier(mem);
		mt_credits_init(&c, &mt, i & 2 ? MT_CREDITS_STRICT : MT_CREDITS_RECYCLING);
		body(&mt, mem, &c, gfps[i / 4 % 3]);
		mt_credits_release(&c);
		mtree_lock(&mt);
		if (!tree_sound(&mt, why))
			fail_msg("%s", why);
		mtree_unlock(&mt);
		mtree_destroy(&mt);
		mt_mem_barrier(mem);
		assert_int_equal(nodes_in_use(mem), 0);
		mt_mem_destroy(mem);
	}
}

static void fail_each(struct maple_tree *mt, struct mt_mem *mem, struct mt_credits *c, gfp_t gfp)
{
	struct mt_credits other;

	reserve_fails_at(mt, mem, c, 1, gfp);
	reserve_fails_at(mt, mem, c, 50, gfp);
	if (gfp != GFP_KERNEL)
		return;
	reserve_fails_at(mt, mem, c, 3000, gfp);
	/* Again, while another holder has some. */
	assert_int_equal(mt_credits_reserve(c, 7, gfp), 0);
	mt_credits_init(&other, mt, c->mode);
	reserve_fails_at(mt, mem, &other, 9, gfp);
	reserve_fails_at(mt, mem, &other, 3000, gfp);
}

static void failing_leaves_no_trace(void **state)
{
	(void)state;
	each_mode(fail_each);
}

/* ---- What other threads see ---- */

/* What mt_credits_begin() reads of a tree and a holder without the lock. */
struct seen {
	const struct maple_tree *mt;
	const struct mt_credits *c;
	unsigned long reach, left, times;
};

/* While nodes are being requested nothing has been obtained, so nothing may be relied on yet. */
static void look(void *arg)
{
	struct seen *seen = arg;

	assert_int_equal(seen->mt->ma_pledge.reach, seen->reach);
	assert_int_equal(mt_credits_left(seen->c), seen->left);
	seen->times++;
}

static void look_while_reserving(struct maple_tree *mt, struct mt_mem *mem, struct mt_credits *c,
				 gfp_t gfp)
{
	struct seen seen = { .mt = mt, .c = c };

	(void)mem;
	assert_int_equal(mt_credits_reserve(c, 3, GFP_KERNEL), 0);
	seen.reach = mt->ma_pledge.reach;
	seen.left = mt_credits_left(c);
	smr_hook_set_alloc(look, &seen);
	smr_hook_set_mem(SMR_HOOK_MEM_NONE);
	assert_int_equal(mt_credits_reserve(c, 1UL << 40, gfp), -ENOMEM);
	smr_hook_set_mem(SMR_HOOK_MEM_OK);
	/* Succeeds, but only after a first attempt without memory. */
	assert_int_equal(mt_credits_reserve(c, 3000, GFP_KERNEL), 0);
	smr_hook_reset();
	assert_true(seen.times > 2);
	assert_true(mt->ma_pledge.reach > seen.reach);
	assert_int_equal(mt_credits_left(c), seen.left + 3000);
}

/* mt_credits_begin() of another thread does not rely on what is only requested. */
static void nothing_counts_before_it_is_pledged(void **state)
{
	(void)state;
	each_mode(look_while_reserving);
}

static void stores_need_no_memory(void **state)
{
	(void)state;
	each_mode(without_memory);
}

/* ---- Copies ---- */

static unsigned long dropped; /* copies that were complete, except for the memory for holders */

static void expect_copy(struct maple_tree *mt, struct maple_tree *copy)
{
	unsigned long a = 0, b = 0;
	char why[WHY_SIZE];
	void *entry;

	do {
		entry = mt_find(mt, &a, ULONG_MAX);
		assert_ptr_equal(mt_find(copy, &b, ULONG_MAX), entry);
		assert_int_equal(a, b);
	} while (entry);
	mtree_lock(copy);
	if (!tree_sound(copy, why))
		fail_msg("%s", why);
	mtree_unlock(copy);
}

/*
 * Copies while the n-th request fails: all is copied, or nothing. Returns true if the copy failed
 * at that request.
 */
static bool copy_fails_at(struct maple_tree *mt, struct maple_tree *copy, struct mt_mem *mem,
			  const struct mt_credits *c, unsigned long n, gfp_t gfp)
{
	struct state before = state_of(copy, mem, c), after;
	bool met;
	int err;

	memfault_nth(n);
	err = mtree_dup(mt, copy, gfp);
	met = memfault_count() >= n;
	memfault_ok();
	if (!err) {
		expect_copy(mt, copy);
		return false;
	}
	assert_int_equal(err, -ENOMEM);
	assert_null(copy->ma_root);
	assert_int_equal(mt_height(copy), 0);
	after = state_of(copy, mem, c);
	expect_same(&before, &after);
	dropped += met && n > 1;
	return met;
}

/* Checks that the figures which holders rely on are those of the current tree. */
static void expect_settled(struct maple_tree *mt)
{
	unsigned long reach = mt->ma_pledge.reach, pledged = mt->ma_pledge.pledged;

	mtree_lock(mt);
	assert_int_equal(smr_pledge_required(mt), pledged);
	assert_int_equal(mt->ma_pledge.reach, reach);
	mtree_unlock(mt);
}

static void copy_into_credits(struct maple_tree *mt, struct mt_mem *mem, struct mt_credits *c,
			      gfp_t gfp)
{
	struct maple_tree copy;
	struct mt_credits own;
	unsigned long n = 1;

	mt_init_flags(&copy, mt->ma_flags & ~(unsigned int)MT_FLAGS_HEIGHT_MASK);
	assert_int_equal(mt_set_mem(&copy, mem), 0);
	mt_credits_init(&own, &copy, c->mode);
	assert_int_equal(mt_credits_reserve(&own, 9, GFP_KERNEL), 0);
	while (copy_fails_at(mt, &copy, mem, &own, n, gfp))
		n++;
	/* There may be fewer free nodes than a copy takes. */
	if (!copy.ma_root && mt->ma_root)
		assert_int_equal(mtree_dup(mt, &copy, GFP_KERNEL), 0);
	expect_settled(&copy);
	memfault_none();
	for (unsigned long i = 0; i < 9; i++)
		assert_int_equal(
			mtree_store_range_credit(&own, 997 * i, 997 * i + 2 * i, xa_mk_value(i)),
			0);
	memfault_ok();
	assert_int_equal(copy.ma_pledge.pledged, 0);
	mtree_destroy(&copy);
}

/*
 * What holders of credits on the copy's tree need in addition is paid for, or the copy is dropped.
 */
static void copies_pay_for_holders(void **state)
{
	(void)state;
	dropped = 0;
	each_mode(copy_into_credits);
	assert_true(dropped > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failing_leaves_no_trace),
		cmocka_unit_test(stores_need_no_memory),
		cmocka_unit_test(nothing_counts_before_it_is_pledged),
		cmocka_unit_test(copies_pay_for_holders),
	};

	return cmocka_run_group_tests_name("credits", tests, NULL, NULL);
}
