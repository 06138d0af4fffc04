/* SPDX-License-Identifier: MIT */
/*
 * Trees with other RCU flavours: their threads register, and with qsbr they report when they hold
 * no references.
 */
#include "expect.h"
#include <errno.h>
#include <samara/maple_tree.h>
#include <urcu/urcu-memb.h>
#include <urcu/urcu-qsbr.h>

static void with_memb(void)
{
	DEFINE_MTREE(mt);
	int a;

	EXPECT(mt_set_rcu_flavor(&mt, MT_RCU_MEMB) == 0);
	mt_set_in_rcu(&mt);
	EXPECT(mt_set_rcu_flavor(&mt, MT_RCU_BP) == -EBUSY);

	urcu_memb_register_thread();
	EXPECT(mtree_store_range(&mt, 10, 19, &a, GFP_KERNEL) == 0);
	mt_rcu_read_lock(&mt);
	EXPECT(mtree_load(&mt, 15) == &a);
	mt_rcu_read_unlock(&mt);
	mtree_destroy(&mt);
	urcu_memb_unregister_thread();
}

static void with_qsbr(void)
{
	DEFINE_MTREE(mt);
	int a;

	EXPECT(mt_set_rcu_flavor(&mt, MT_RCU_QSBR) == 0);
	mt_set_in_rcu(&mt);

	urcu_qsbr_register_thread();
	EXPECT(mtree_store_range(&mt, 10, 19, &a, GFP_KERNEL) == 0);
	for (int i = 0; i < 1000; i++) {
		EXPECT(mtree_load(&mt, 15) == &a);
		urcu_qsbr_quiescent_state(); /* else memory that writers replaced is never freed */
	}
	mtree_destroy(&mt);
	urcu_qsbr_unregister_thread();
}

int main(void)
{
	with_memb();
	with_qsbr();
	return 0;
}
