/* SPDX-License-Identifier: MIT */
/*
 * A reader that never waits while another thread writes. The reader keeps a cursor and follows the
 * entries, so it is in a read-side critical section; the writer frees an object only after a grace
 * period, when no reader can still be looking at it.
 */
#include "expect.h"
#include <pthread.h>
#include <samara/maple_tree.h>
#include <stdatomic.h>

struct mapping {
	unsigned long first, last;
	unsigned long generation;
};

static struct maple_tree mt;
static atomic_bool done;

static struct mapping *new_mapping(unsigned long first, unsigned long last,
				   unsigned long generation)
{
	struct mapping *m = malloc(sizeof(*m));

	EXPECT(m);
	*m = (struct mapping){ first, last, generation };
	return m;
}

static void *read_all(void *arg)
{
	unsigned long *rounds = arg;

	while (!atomic_load(&done) || *rounds == 0) {
		MA_STATE(mas, &mt, 0, 0);
		struct mapping *m;

		mt_rcu_read_lock(&mt);
		mas_for_each(&mas, m, ULONG_MAX)
			EXPECT(m->first == mas.index && m->last == mas.last);
		mt_rcu_read_unlock(&mt);
		(*rounds)++;
	}
	return NULL;
}

int main(void)
{
	unsigned long rounds = 0, index = 0;
	struct mapping *m;
	pthread_t reader;

	mt_init_flags(&mt, MT_FLAGS_USE_RCU);
	for (unsigned long at = 0; at < 1000; at += 10) {
		struct mapping *new = new_mapping(at, at + 4, 0);

		EXPECT(mtree_store_range(&mt, at, at + 4, new, GFP_KERNEL) == 0);
	}
	EXPECT(pthread_create(&reader, NULL, read_all, &rounds) == 0);

	for (unsigned long i = 0; i < 200; i++) {
		unsigned long at = i % 100 * 10;
		struct mapping *new = new_mapping(at, at + 4, i);
		struct mapping *old = mtree_load(&mt, at); /* only this thread frees objects */

		EXPECT(mtree_store_range(&mt, at, at + 4, new, GFP_KERNEL) == 0);
		mt_rcu_synchronize(&mt);
		free(old);
	}
	atomic_store(&done, true);
	EXPECT(pthread_join(reader, NULL) == 0);
	EXPECT(rounds > 0);

	mt_for_each(&mt, m, index, ULONG_MAX)
		free(m);
	mtree_destroy(&mt);
	return 0;
}
