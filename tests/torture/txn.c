/* SPDX-License-Identifier: MIT */
/*
 * Transactions under lock-free readers. Each commit makes the next version of the tree; each moves
 * amounts between accounts that lie far apart, and writes its number into stamps all over the key
 * space, so:
 *
 *   - what a reader finds in two stamps, one after the other, never decreases;
 *   - if the stamps read before and after a look at all accounts are the same, everything in
 *     between was read from that one version, and the amounts add up to the same sum as always.
 *     (Looking takes many calls, each of which may see another version: that is what the two
 *     stamps are for.)
 *   - in a snapshot all stamps are the same, and the amounts add up, however many calls it takes.
 *
 * Aborted transactions write what no reader may ever see. Between the accounts lies filler that
 * comes and goes, so that commits replace anything from one leaf to a tree of another height.
 */
#include "support/cm.h"

#include "blame.h"
#include "support/env.h"
#include "support/rng.h"
#include "support/treecheck.h"
#include "unit/flavors.h"

#include <pthread.h>
#include <samara/snapshot.h>
#include <samara/txn.h>
#include <string.h>
#include <unistd.h>

void urcu_qsbr_quiescent_state(void);

enum { READERS = 2, WRITERS_MAX = 2, ACCOUNTS = 24, FILLERS = 150, OPENING = 1000 };

#define TOTAL ((unsigned long)ACCOUNTS * OPENING)
#define POISON xa_mk_value(1UL << 50)
#define FILLER xa_mk_value(1UL << 51)

/*
 * Account @i owns BLOCK keys: its stamp at the start, then its amount, over a varying number of
 * keys, then the filler, up to the block's end.
 */
#define BLOCK (1UL << 16)
#define STAMP_KEYS 8UL
#define AMOUNT_KEYS 64UL
#define FILLER_FROM 256UL

struct bank {
	struct maple_tree tree;
	struct mt_mem *mem;
	enum mt_rcu_flavor flavor;
	uint64_t seed, transactions; /* of each writer */
	unsigned long amount[ACCOUNTS];
	unsigned long version; /* GUARD tree lock, with amount */
	unsigned int writing;  /* atomic */
	unsigned long whole;   /* atomic: looks at all accounts that saw one version */
	struct blame blame;
};

struct worker {
	struct bank *bank;
	unsigned long id;
	pthread_t thread;
};

/* ---- Writing */

static void put(struct bank *bank, struct mt_txn *txn, unsigned long first, unsigned long last,
		void *entry)
{
	if (mt_txn_store_range(txn, first, last, entry, GFP_KERNEL))
		blame(&bank->blame, "a store failed");
}

static void put_stamps(struct bank *bank, struct mt_txn *txn, unsigned long version)
{
	for (unsigned long i = 0; i < ACCOUNTS; i++)
		put(bank, txn, BLOCK * i, BLOCK * i + STAMP_KEYS - 1, xa_mk_value(version));
}

/* Stores over fewer or more keys than before, always including the one that readers look at. */
static void put_amount(struct bank *bank, struct mt_txn *txn, unsigned long i, void *entry,
		       unsigned long more)
{
	unsigned long first = BLOCK * i + STAMP_KEYS;

	put(bank, txn, first, first + AMOUNT_KEYS - 1, NULL);
	put(bank, txn, first, first + more % AMOUNT_KEYS, entry);
}

static unsigned long amount_key(unsigned long i)
{
	return BLOCK * i + STAMP_KEYS;
}

/* Stores or clears some of a block's filler, or all the filler of some blocks. */
static void change_filler(struct bank *bank, struct mt_txn *txn, struct rng *rng)
{
	unsigned long block = rng_below(rng, ACCOUNTS), from = rng_below(rng, FILLERS);
	unsigned long blocks = rng_one_in(rng, 8) ? ACCOUNTS - block : 1;
	unsigned long n = rng_below(rng, FILLERS - from);

	if (rng_one_in(rng, 3)) {
		for (unsigned long b = block; b < block + blocks; b++)
			put(bank, txn, BLOCK * b + FILLER_FROM, BLOCK * (b + 1) - 1, NULL);
		return;
	}
	for (unsigned long i = from; i < from + n; i++) {
		unsigned long first = BLOCK * block + FILLER_FROM + 64 * i;

		put(bank, txn, first, first + rng_below(rng, 60), FILLER);
	}
}

static void spoil(struct bank *bank, struct mt_txn *txn, struct rng *rng)
{
	for (unsigned long i = rng_below(rng, ACCOUNTS); i < ACCOUNTS; i++)
		put_amount(bank, txn, i, POISON, i);
	put_stamps(bank, txn, xa_to_value(POISON));
	if (rng_one_in(rng, 4))
		put(bank, txn, 0, ULONG_MAX, rng_one_in(rng, 2) ? NULL : POISON);
}

static void transact(struct bank *bank, struct rng *rng)
{
	struct mt_txn txn;

	mtree_lock(&bank->tree);
	mt_txn_begin(&txn, &bank->tree);
	for (unsigned long n = rng_below(rng, 3); n > 0; n--)
		change_filler(bank, &txn, rng);
	if (rng_one_in(rng, 5)) {
		spoil(bank, &txn, rng);
		mt_txn_abort(&txn);
	} else {
		for (unsigned long n = 1 + rng_below(rng, 4); n > 0; n--) {
			unsigned long from = rng_below(rng, ACCOUNTS);
			unsigned long to = rng_below(rng, ACCOUNTS);
			unsigned long sum = rng_below(rng, bank->amount[from] + 1);

			bank->amount[from] -= sum;
			bank->amount[to] += sum;
			put_amount(bank, &txn, from, xa_mk_value(bank->amount[from]), sum);
			put_amount(bank, &txn, to, xa_mk_value(bank->amount[to]), sum / 3);
		}
		put_stamps(bank, &txn, ++bank->version);
		mt_txn_commit(&txn);
	}
	mtree_unlock(&bank->tree);
}

static void *writer(void *arg)
{
	struct worker *w = arg;
	struct bank *bank = w->bank;

	register_reader(bank->flavor);
	if (bank->flavor == MT_RCU_QSBR)
		urcu_qsbr_thread_offline(); /* a store may wait for memory */
	for (uint64_t n = 0; n < bank->transactions && !blamed(&bank->blame); n++) {
		struct rng rng = rng_make(bank->seed + 1000 * w->id, n);

		transact(bank, &rng);
	}
	if (bank->flavor == MT_RCU_QSBR)
		urcu_qsbr_thread_online();
	unregister_reader(bank->flavor);
	__atomic_fetch_sub(&bank->writing, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* ---- Reading */

/* Looks up a key in one of several ways. */
static void *look(struct bank *bank, unsigned long key, struct rng *rng)
{
	MA_STATE(mas, &bank->tree, key, key);
	unsigned long index = key;

	switch (rng_below(rng, 3)) {
	case 0:
		return mt_find(&bank->tree, &index, key);
	case 1:
		return mas_walk(&mas);
	default:
		return mtree_load(&bank->tree, key);
	}
}

/*
 * Returns the version in @entry, found in stamp @i. It must not be below *@least, which is set to
 * it.
 */
static unsigned long judge_stamp(struct bank *bank, unsigned long i, const void *entry,
				 unsigned long *least, const char *how)
{
	unsigned long version = xa_is_value(entry) ? xa_to_value(entry) : 0;

	if (!xa_is_value(entry) || entry == POISON)
		blame(&bank->blame, "%s: stamp %lu is %p", how, i, entry);
	else if (version < *least)
		blame(&bank->blame, "%s: stamp %lu is of version %lu after one of %lu", how, i,
		      version, *least);
	*least = version;
	return version;
}

static unsigned long read_stamp(struct bank *bank, unsigned long i, unsigned long *least,
				struct rng *rng)
{
	return judge_stamp(bank, i, look(bank, BLOCK * i, rng), least, "look-up");
}

/* Reads all accounts between two stamps. Returns true if that was one version. */
static bool add_up(struct bank *bank, unsigned long *least, struct rng *rng)
{
	unsigned long before = read_stamp(bank, rng_below(rng, ACCOUNTS), least, rng), sum = 0;
	unsigned long turn = rng_below(rng, ACCOUNTS);

	for (unsigned long n = 0; n < ACCOUNTS; n++) {
		unsigned long i = (n + turn) % ACCOUNTS;
		void *entry = look(bank, amount_key(i), rng);

		if (!xa_is_value(entry) || xa_to_value(entry) > TOTAL)
			blame(&bank->blame, "account %lu holds %p", i, entry);
		sum += xa_to_value(entry);
	}
	if (read_stamp(bank, rng_below(rng, ACCOUNTS), least, rng) != before)
		return false;
	if (sum != TOTAL)
		blame(&bank->blame, "version %lu adds up to %lu", before, sum);
	__atomic_fetch_add(&bank->whole, 1, __ATOMIC_RELAXED);
	return true;
}

static bool is_stamp(const struct ma_state *mas)
{
	return mas->index % BLOCK == 0;
}

/* Moves one cursor over the whole tree: the versions it meets must not decrease. */
static void tour(struct bank *bank, unsigned long *least, bool down)
{
	const char *how = down ? "tour down" : "tour up";
	MA_STATE(mas, &bank->tree, down ? BLOCK * ACCOUNTS : 0, 0);
	unsigned long stamps = 0;
	void *entry;

	mas.last = mas.index;
	for (;;) {
		entry = down ? mas_find_rev(&mas, 0) : mas_find(&mas, BLOCK * ACCOUNTS);
		if (!entry || blamed(&bank->blame))
			break;
		if (is_stamp(&mas)) {
			judge_stamp(bank, mas.index / BLOCK, entry, least, how);
			stamps++;
		} else if (entry == POISON) {
			blame(&bank->blame, "%s: met what was aborted at %#lx", how, mas.index);
		}
	}
	if (stamps != ACCOUNTS)
		blame(&bank->blame, "%s: saw %lu stamps", how, stamps);
}

/*
 * A cursor that was in the tree already, with look-ups between its steps: versions must not
 * decrease then either.
 */
static void tour_with_looks(struct bank *bank, unsigned long *least, struct rng *rng)
{
	MA_STATE(mas, &bank->tree, 0, 0);
	void *entry = mas_walk(&mas);

	for (unsigned int n = 0; n < 200 && entry && !blamed(&bank->blame); n++) {
		if (is_stamp(&mas))
			judge_stamp(bank, mas.index / BLOCK, entry, least, "tour with look-ups");
		read_stamp(bank, rng_below(rng, ACCOUNTS), least, rng);
		entry = mas_next(&mas, BLOCK * ACCOUNTS);
	}
}

static bool is_amount(const struct ma_state *mas)
{
	return mas->index % BLOCK == STAMP_KEYS;
}

/* Counts all stamps and amounts with one cursor. */
static void count_all(struct bank *bank, struct maple_tree *then, unsigned long version, bool down)
{
	MA_STATE(mas, then, down ? ULONG_MAX : 0, down ? ULONG_MAX : 0);
	unsigned long stamps = 0, sum = 0;
	void *entry;

	while ((entry = down ? mas_find_rev(&mas, 0) : mas_find(&mas, ULONG_MAX)) != NULL) {
		if (is_amount(&mas))
			sum += xa_to_value(entry);
		else if (is_stamp(&mas))
			stamps += entry == xa_mk_value(version);
	}
	if (stamps != ACCOUNTS || sum != TOTAL)
		blame(&bank->blame,
		      "snapshot of version %lu: %lu stamps, and amounts add up to %lu", version,
		      stamps, sum);
}

/* The same by loops, which step in the header, and by look-ups. */
static void count_by_loops(struct bank *bank, struct maple_tree *then, unsigned long version)
{
	unsigned long keys[ACCOUNTS], sum[3] = { 0, 0, 0 }, index = 0;
	void *entry, *amount[ACCOUNTS];
	MA_STATE(mas, then, 0, 0);

	mas_for_each(&mas, entry, ULONG_MAX)
		sum[0] += is_amount(&mas) ? xa_to_value(entry) : 0;
	mt_for_each(then, entry, index, ULONG_MAX)
		sum[1] += (index - 1) % BLOCK < FILLER_FROM && (index - 1) % BLOCK >= STAMP_KEYS
				  ? xa_to_value(entry)
				  : 0;
	for (unsigned long i = 0; i < ACCOUNTS; i++)
		keys[i] = amount_key(i);
	mtree_load_batch(then, keys, amount, ACCOUNTS);
	for (unsigned long i = 0; i < ACCOUNTS; i++)
		sum[2] += xa_to_value(amount[i]);
	for (unsigned int i = 0; i < 3; i++)
		if (sum[i] != TOTAL)
			blame(&bank->blame, "snapshot of version %lu: amounts add up to %lu (%u)",
			      version, sum[i], i);
}

static void look_at_snapshot(struct bank *bank, unsigned long *least, struct rng *rng)
{
	struct maple_tree then;
	unsigned long version;

	mt_snapshot(&then, &bank->tree);
	version = judge_stamp(bank, 0, mtree_load(&then, 0), least, "snapshot");
	count_all(bank, &then, version, rng_one_in(rng, 2));
	count_by_loops(bank, &then, version);
}

static void read_once(struct bank *bank, unsigned long *least, struct rng *rng)
{
	mt_rcu_read_lock(&bank->tree);
	for (unsigned int n = 0; n < 20 && !blamed(&bank->blame); n++)
		add_up(bank, least, rng);
	tour(bank, least, rng_one_in(rng, 2));
	tour_with_looks(bank, least, rng);
	look_at_snapshot(bank, least, rng);
	mt_rcu_read_unlock(&bank->tree);
	if (bank->flavor == MT_RCU_QSBR)
		urcu_qsbr_quiescent_state();
}

static void *reader(void *arg)
{
	struct worker *w = arg;
	struct bank *bank = w->bank;
	unsigned long least = 0;

	register_reader(bank->flavor);
	for (uint64_t n = 0; __atomic_load_n(&bank->writing, __ATOMIC_ACQUIRE) > 0; n++) {
		struct rng rng = rng_make(bank->seed + 77 + w->id, n);

		read_once(bank, &least, &rng);
		if (blamed(&bank->blame))
			break;
	}
	unregister_reader(bank->flavor);
	return NULL;
}

/* ---- A run */

static void open_bank(struct bank *bank, unsigned int flags, enum mt_rcu_flavor flavor,
		      uint64_t transactions)
{
	struct mt_txn txn;

	memset(bank, 0, sizeof(*bank));
	bank->seed = env_seed();
	bank->flavor = flavor;
	bank->transactions = transactions;
	bank->mem = mt_mem_create(0, NULL);
	assert_non_null(bank->mem);
	mt_init_flags(&bank->tree, flags);
	assert_int_equal(mt_set_mem(&bank->tree, bank->mem), 0);
	assert_int_equal(mt_set_rcu_flavor(&bank->tree, flavor), 0);
	mt_set_in_rcu(&bank->tree);
	mtree_lock(&bank->tree);
	mt_txn_begin(&txn, &bank->tree);
	for (unsigned long i = 0; i < ACCOUNTS; i++) {
		bank->amount[i] = OPENING;
		put_amount(bank, &txn, i, xa_mk_value(OPENING), i);
	}
	put_stamps(bank, &txn, 0);
	mt_txn_commit(&txn);
	mtree_unlock(&bank->tree);
}

static void close_bank(struct bank *bank)
{
	unsigned long least = bank->version;
	struct rng rng = rng_make(bank->seed, 0);
	char why[WHY_SIZE];

	mtree_lock(&bank->tree);
	assert_true(add_up(bank, &least, &rng));
	for (unsigned long i = 0; i < ACCOUNTS; i++)
		assert_ptr_equal(mtree_load(&bank->tree, amount_key(i)),
				 xa_mk_value(bank->amount[i]));
	if (!tree_sound(&bank->tree, why))
		fail_msg("%s", why);
	mtree_unlock(&bank->tree);
	mtree_destroy(&bank->tree);
	assert_int_equal(nodes_in_use(bank->mem), 0);
	mt_mem_destroy(bank->mem);
}

static void start(struct worker *w, struct bank *bank, unsigned long id, void *(*body)(void *))
{
	*w = (struct worker){ .bank = bank, .id = id };
	assert_int_equal(pthread_create(&w->thread, NULL, body, w), 0);
}

static void torture(unsigned int flags, enum mt_rcu_flavor flavor, unsigned int writers,
		    uint64_t transactions)
{
	struct worker worker[READERS + WRITERS_MAX];
	struct bank bank;

	open_bank(&bank, flags, flavor, transactions);
	bank.writing = writers;
	for (unsigned int i = 0; i < READERS; i++)
		start(&worker[i], &bank, i, reader);
	for (unsigned int i = READERS; i < READERS + writers; i++)
		start(&worker[i], &bank, i, writer);
	for (unsigned int i = 0; i < READERS + writers; i++)
		pthread_join(worker[i].thread, NULL);
	if (blamed(&bank.blame))
		fail_msg("seed %llu: %s", (unsigned long long)bank.seed, bank.blame.why);
	print_message("%lu versions, %lu times all of one added up\n", bank.version, bank.whole);
	close_bank(&bank);
}

static void flavour(void **state)
{
	torture(MT_FLAGS_ALLOC_RANGE, *(enum mt_rcu_flavor *)*state, 1, env_ops(6000));
}

static void many_writers(void **state)
{
	(void)state;
	torture(0, MT_RCU_BP, WRITERS_MAX, env_ops(5000));
}

int main(void)
{
	static enum mt_rcu_flavor flavors[] = { MT_RCU_BP, MT_RCU_MEMB, MT_RCU_MB, MT_RCU_QSBR };
	const struct CMUnitTest tests[] = {
		{ "flavour bp", flavour, NULL, NULL, &flavors[0] },
		{ "flavour memb", flavour, NULL, NULL, &flavors[1] },
		{ "flavour mb", flavour, NULL, NULL, &flavors[2] },
		{ "flavour qsbr", flavour, NULL, NULL, &flavors[3] },
		cmocka_unit_test(many_writers),
	};

	alarm(500);
	print_message("seed %llu\n", (unsigned long long)env_seed());
	return cmocka_run_group_tests_name("txn", tests, NULL, NULL);
}
