/* SPDX-License-Identifier: MIT */
/* The program's read-side sections: those of base/rcu.h, with the checker informed. */
#include "base/rcu.h"
#include "lock/check.h"

#include <samara/maple_tree.h>

void mt_rcu_read_lock(const struct maple_tree *mt)
{
	smr_check_read_enter(mt->ma_rcu);
	smr_rcu_read_lock(mt->ma_rcu);
}

void mt_rcu_read_unlock(const struct maple_tree *mt)
{
	enum mt_rcu_flavor flavor = mt->ma_rcu;

	if (!smr_check_read_leave(flavor))
		return;
	smr_rcu_read_unlock(flavor);
	smr_check_read_left(flavor);
}

void mt_rcu_synchronize(const struct maple_tree *mt)
{
	enum mt_rcu_flavor flavor = mt->ma_rcu;

	if (smr_check_synchronize(flavor))
		smr_rcu_synchronize(flavor);
}
