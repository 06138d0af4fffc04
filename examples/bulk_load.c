/* SPDX-License-Identifier: MIT */
/* Fill a tree in ascending order with memory allocated beforehand, then let readers in. */
#include "expect.h"
#include <samara/maple_tree.h>

#define COUNT 100000ul

int main(void)
{
	DEFINE_MTREE(mt);
	MA_STATE(mas, &mt, 0, 0);

	mas_lock(&mas);
	EXPECT(mas_expected_entries(&mas, COUNT) == 0);
	for (unsigned long i = 0; i < COUNT; i++) {
		mas_set_range(&mas, i * 16, i * 16 + 7);
		mas_store(&mas, xa_mk_value(i));
		EXPECT(!mas_is_err(&mas));
	}
	mas_destroy(&mas); /* gives back the unused memory */
	mas_unlock(&mas);
	mt_set_in_rcu(&mt);

	EXPECT(xa_to_value(mtree_load(&mt, 16 * 777 + 7)) == 777);
	EXPECT(mtree_load(&mt, 16 * 777 + 8) == NULL);

	mtree_destroy(&mt);
	return 0;
}
