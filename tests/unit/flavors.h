/* SPDX-License-Identifier: MIT */
/* What differs between flavours for a thread that uses them: registering. */
#ifndef TESTS_UNIT_FLAVORS_H
#define TESTS_UNIT_FLAVORS_H

#include <samara/rcu.h>

static const enum mt_rcu_flavor all_flavors[] = { MT_RCU_BP, MT_RCU_MEMB, MT_RCU_MB, MT_RCU_QSBR };

/*
 * liburcu's headers of several flavours cannot be included together; these are all that is needed.
 */
void urcu_memb_register_thread(void);
void urcu_memb_unregister_thread(void);
void urcu_mb_register_thread(void);
void urcu_mb_unregister_thread(void);
void urcu_qsbr_register_thread(void);
void urcu_qsbr_unregister_thread(void);
void urcu_qsbr_thread_offline(void);
void urcu_qsbr_thread_online(void);

static inline void register_reader(enum mt_rcu_flavor flavor)
{
	if (flavor == MT_RCU_MEMB)
		urcu_memb_register_thread();
	else if (flavor == MT_RCU_MB)
		urcu_mb_register_thread();
	else if (flavor == MT_RCU_QSBR)
		urcu_qsbr_register_thread();
}

static inline void unregister_reader(enum mt_rcu_flavor flavor)
{
	if (flavor == MT_RCU_MEMB)
		urcu_memb_unregister_thread();
	else if (flavor == MT_RCU_MB)
		urcu_mb_unregister_thread();
	else if (flavor == MT_RCU_QSBR)
		urcu_qsbr_unregister_thread();
}

#endif
