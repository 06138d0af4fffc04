/* SPDX-License-Identifier: MIT */
/*
 * Sum up all accounts while money moves between them, without a lock. Each move is a transaction,
 * and the reader sums up a snapshot.
 */
#include "expect.h"
#include <pthread.h>
#include <samara/snapshot.h>
#include <samara/txn.h>

enum { ACCOUNTS = 1000, OPENING = 100, MOVES = 20000 };

static struct maple_tree bank = MTREE_INIT(bank, MT_FLAGS_USE_RCU);
static int done;

static unsigned long balance(struct mt_txn *txn, unsigned long account)
{
	return xa_to_value(mt_txn_load(txn, account));
}

/* CONTEXT: the bank's lock. */
static int move(unsigned long from, unsigned long to, unsigned long sum)
{
	struct mt_txn txn;
	int err;

	mt_txn_begin(&txn, &bank);
	err = mt_txn_store_range(&txn, from, from, xa_mk_value(balance(&txn, from) - sum),
				 GFP_KERNEL);
	if (!err)
		err = mt_txn_store_range(&txn, to, to, xa_mk_value(balance(&txn, to) + sum),
					 GFP_KERNEL);
	if (err)
		mt_txn_abort(&txn);
	else
		mt_txn_commit(&txn);
	return err;
}

static void *add_up(void *unused)
{
	struct maple_tree then;

	while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
		unsigned long sum = 0;
		void *amount;

		mt_rcu_read_lock(&bank);
		mt_snapshot(&then, &bank);
		{
			MA_STATE(mas, &then, 0, 0);

			mas_for_each(&mas, amount, ULONG_MAX)
				sum += xa_to_value(amount);
		}
		mt_rcu_read_unlock(&bank);
		EXPECT(sum == (unsigned long)ACCOUNTS * OPENING);
	}
	return unused;
}

int main(void)
{
	unsigned long account = 0;
	pthread_t reader;

	for (unsigned long i = 0; i < ACCOUNTS; i++)
		EXPECT(mtree_store(&bank, i, xa_mk_value(OPENING), GFP_KERNEL) == 0);
	EXPECT(pthread_create(&reader, NULL, add_up, NULL) == 0);
	for (unsigned int i = 0; i < MOVES; i++) {
		unsigned long to = (account + 617) % ACCOUNTS;

		mtree_lock(&bank);
		EXPECT(move(account, to, xa_to_value(mtree_load(&bank, account)) / 2) == 0);
		mtree_unlock(&bank);
		account = to;
	}
	__atomic_store_n(&done, 1, __ATOMIC_RELEASE);
	EXPECT(pthread_join(reader, NULL) == 0);
	mtree_destroy(&bank);
	return 0;
}
