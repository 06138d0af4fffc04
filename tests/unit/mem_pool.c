/* SPDX-License-Identifier: MIT */
/* Pools: what they hand out, keep and give back, and when retired objects come back. */
#include "support/cm.h"

#include "base/rcu.h"
#include "mem/pool.h"
#include "support/memfault.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct thing {
	struct smr_pool_obj obj;
	unsigned long a, b;
};

static unsigned int notified;

static void notify(void *arg)
{
	assert_ptr_equal(arg, &notified);
	__atomic_fetch_add(&notified, 1, __ATOMIC_SEQ_CST);
}

static void make(struct smr_pool *pool, unsigned long keep)
{
	notified = 0;
	assert_true(smr_grace_start(MT_RCU_BP));
	smr_pool_init(pool, sizeof(struct thing), keep, MT_RCU_BP, notify, &notified);
}

static void expect(struct smr_pool *pool, unsigned long total, unsigned long free,
		   unsigned long limbo)
{
	struct smr_pool_count count = smr_pool_count(pool);

	assert_int_equal(count.total, total);
	assert_int_equal(count.free, free);
	assert_int_equal(count.limbo, limbo);
}

static void keeps_some_and_clears_them(void **state)
{
	struct smr_pool_list list;
	struct smr_pool pool;
	struct thing *t;

	(void)state;
	make(&pool, 2);
	smr_pool_list_init(&list);
	assert_int_equal(smr_pool_prepare(&pool, &list, 0), 0);
	assert_null(smr_pool_get(&list));
	assert_int_equal(smr_pool_prepare(&pool, &list, 3), 0);
	assert_int_equal(list.nr, 3);
	expect(&pool, 3, 0, 0);
	for (struct smr_pool_obj *obj = list.head; obj; obj = obj->next)
		memset(obj + 1, 0xff, sizeof(struct thing) - sizeof(*obj));
	smr_pool_put(&pool, &list);
	assert_int_equal(list.nr, 0);
	expect(&pool, 2, 2, 0);
	assert_int_equal(smr_pool_prepare(&pool, &list, 3), 0);
	for (unsigned int i = 0; i < 3; i++) {
		t = smr_pool_get(&list);
		assert_true(t->a == 0 && t->b == 0);
		smr_pool_list_add(&list, &t->obj);
	}
	smr_pool_put(&pool, &list);
	smr_pool_put(&pool, &list);
	smr_pool_destroy(&pool);
}

static void all_or_nothing(void **state)
{
	struct smr_pool_list list, more;
	struct smr_pool pool;

	(void)state;
	make(&pool, 2);
	smr_pool_list_init(&list);
	smr_pool_list_init(&more);
	assert_int_equal(smr_pool_prepare(&pool, &list, 2), 0);
	smr_pool_put(&pool, &list);
	assert_int_equal(smr_pool_prepare(&pool, &list, 1), 0);
	for (unsigned long i = 1; i <= 3; i++) {
		memfault_nth(i);
		assert_int_equal(smr_pool_prepare(&pool, &list, 4), -ENOMEM);
		assert_int_equal(list.nr, 1);
		expect(&pool, 2, 1, 0);
	}
	memfault_none();
	assert_int_equal(smr_pool_prepare(&pool, &more, 1), 0); /* it is available */
	memfault_ok();
	smr_pool_list_move(&list, &more);
	assert_int_equal(list.nr, 2);
	assert_null(more.head);
	smr_pool_put(&pool, &list);
	smr_pool_destroy(&pool);
}

static void await(struct smr_pool *pool, struct smr_pool_list *list, unsigned long nr)
{
	while (list->nr < nr) {
		usleep(100);
		smr_pool_expired(pool, list);
	}
}

static void what_is_retired_waits_for_readers(void **state)
{
	struct smr_pool_list list, gone;
	struct smr_pool pool;
	struct thing *t;

	(void)state;
	make(&pool, 0);
	smr_pool_list_init(&list);
	smr_pool_list_init(&gone);
	assert_int_equal(smr_pool_prepare(&pool, &list, 3), 0);
	((struct thing *)list.head)->a = 7;
	smr_rcu_read_lock(MT_RCU_BP);
	smr_pool_retire(&pool, &list);
	smr_pool_retire(&pool, &list); /* nothing */
	assert_int_equal(smr_pool_prepare(&pool, &list, 1), 0);
	smr_pool_retire(&pool, &list); /* the next batch */
	usleep(2000);
	smr_pool_expired(&pool, &gone);
	assert_null(gone.head);
	expect(&pool, 4, 0, 4);
	smr_rcu_read_unlock(MT_RCU_BP);
	await(&pool, &gone, 4);
	assert_true(notified == 2);
	expect(&pool, 4, 0, 4); /* they are not ended yet */
	smr_pool_ended(&pool, 4);
	expect(&pool, 4, 0, 0);
	t = smr_pool_get(&gone);
	assert_int_equal(t->a, 7);
	smr_pool_list_add(&gone, &t->obj);
	smr_pool_clear(&pool, &gone);
	assert_int_equal(t->a, 0);
	smr_pool_put(&pool, &gone);
	smr_pool_destroy(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_some_and_clears_them),
		cmocka_unit_test(all_or_nothing),
		cmocka_unit_test(what_is_retired_waits_for_readers),
	};

	return cmocka_run_group_tests_name("mem_pool", tests, NULL, NULL);
}
