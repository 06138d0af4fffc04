/* SPDX-License-Identifier: MIT */
/*
 * What credits and transactions cost: in time, compared with ordinary stores of the same run, and
 * in memory, compared with the other ways to guarantee a store. Each figure is the median over
 * several turns, in which the ways alternate.
 *
 *	bench-credits [MAPPINGS [TURNS]]
 */
#include "program.h"
#include "random.h"
#include <errno.h>
#include <samara/credits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 1024, TURN = 32 * BATCH, TXN = 1000, TURNS_MAX = 99, MAPPINGS_MAX = 100000000 };

static uint64_t random_state;

static uint64_t random_next(void)
{
	return bench_random(&random_state);
}

static void must(int err)
{
	if (err) {
		fprintf(stderr, "bench-credits: a store failed: %s\n", strerror(-err));
		exit(1);
	}
}

/* ---- The tree: mappings at places of their own, half of them there, gaps between them ---- */

#define PLACE (1UL << 16)
#define SIZE (1UL << 14)

struct bench {
	struct maple_tree tree;
	unsigned long places;
};

struct store {
	unsigned long first;
	void *entry;
};

static struct store at(unsigned long place)
{
	void *entry = xa_mk_value(random_next() >> 1);

	return (struct store){ place * PLACE, random_next() & 1 ? entry : NULL };
}

static struct store any_store(const struct bench *b)
{
	return at(random_next() % b->places);
}

static void fill(struct bench *b, unsigned long mappings)
{
	unsigned long have = 0;

	mt_init_flags(&b->tree, MT_FLAGS_USE_RCU);
	b->places = 2 * mappings;
	while (have < mappings) {
		unsigned long first = random_next() % b->places * PLACE;
		int err = mtree_insert_range(&b->tree, first, first + SIZE - 1, xa_mk_value(first),
					     GFP_KERNEL);

		if (err == -EEXIST)
			continue;
		must(err);
		have++;
	}
}

/* ---- Ways to store; each returns the time of @nr stores ---- */

static double ordinary(struct bench *b, unsigned long nr)
{
	double start = bench_now_ns();

	for (unsigned long i = 0; i < nr; i++) {
		struct store s = any_store(b);

		must(mtree_store_range(&b->tree, s.first, s.first + SIZE - 1, s.entry, GFP_KERNEL));
	}
	return bench_now_ns() - start;
}

/* The same through a cursor. */
static double ordinary_by_cursor(struct bench *b, unsigned long nr)
{
	double start = bench_now_ns();

	for (unsigned long i = 0; i < nr; i++) {
		struct store s = any_store(b);
		MA_STATE(mas, &b->tree, s.first, s.first + SIZE - 1);

		mtree_lock(&b->tree);
		must(mas_store_gfp(&mas, s.entry, GFP_KERNEL));
		mtree_unlock(&b->tree);
	}
	return bench_now_ns() - start;
}

static void on_credit(struct mt_credits *c, struct store s)
{
	MA_STATE(mas, c->mt, s.first, s.first + SIZE - 1);

	mtree_lock(c->mt);
	must(mas_store_credit(&mas, s.entry, c));
	mtree_unlock(c->mt);
}

/* One mt_credits_begin() for each store, all in one call, or one for each batch. */
static double guaranteed(struct bench *b, unsigned long nr, enum mt_credits_mode mode, bool each)
{
	struct mt_credits c;
	double start, time;

	mt_credits_init(&c, &b->tree, mode);
	must(mt_credits_set_batch(&c, BATCH));
	must(mt_credits_reserve(&c, nr, GFP_KERNEL));
	start = bench_now_ns();
	for (unsigned long i = 0; i < nr; i++) {
		struct store s = any_store(b);

		if (each) {
			must(mtree_store_range_credit(&c, s.first, s.first + SIZE - 1, s.entry));
			continue;
		}
		if (i % BATCH == 0)
			mt_credits_begin(&c, nr - i < BATCH ? nr - i : BATCH);
		on_credit(&c, s);
	}
	time = bench_now_ns() - start;
	mt_credits_release(&c);
	return time;
}

static double guaranteed_each(struct bench *b, unsigned long nr)
{
	return guaranteed(b, nr, MT_CREDITS_RECYCLING, true);
}

static double guaranteed_batch(struct bench *b, unsigned long nr)
{
	return guaranteed(b, nr, MT_CREDITS_RECYCLING, false);
}

static double guaranteed_strict(struct bench *b, unsigned long nr)
{
	return guaranteed(b, nr < 4096 ? nr : 4096, MT_CREDITS_STRICT, true) *
	       ((double)nr / (double)(nr < 4096 ? nr : 4096));
}

/*
 * Where the stores of a transaction go: anywhere, near each other in mixed order, or side by side.
 */
enum where { FAR, NEAR, ROW };

static struct store next_store(const struct bench *b, enum where where, unsigned long base,
			       unsigned long k)
{
	switch (where) {
	case FAR:
		return any_store(b);
	case NEAR:
		return at((base + random_next() % (2 * TXN)) % b->places);
	default:
		return at((base + k) % b->places);
	}
}

/* Returns how many of @nr stores belong to the transaction that begins with number @i. */
static unsigned long txn_size(unsigned long nr, unsigned long i)
{
	return nr - i < TXN ? nr - i : TXN;
}

static double in_txns(struct bench *b, unsigned long nr, enum where where)
{
	double start = bench_now_ns();
	struct mt_txn txn;

	for (unsigned long i = 0; i < nr; i += TXN) {
		unsigned long base = random_next() % b->places;

		mtree_lock(&b->tree);
		mt_txn_begin(&txn, &b->tree);
		for (unsigned long k = 0; k < txn_size(nr, i); k++) {
			struct store s = next_store(b, where, base, k);

			must(mt_txn_store_range(&txn, s.first, s.first + SIZE - 1, s.entry,
						GFP_KERNEL));
		}
		mt_txn_commit(&txn);
		mtree_unlock(&b->tree);
	}
	return bench_now_ns() - start;
}

static double one_by_one(struct bench *b, unsigned long nr, enum where where)
{
	double start = bench_now_ns();

	for (unsigned long i = 0; i < nr; i += TXN) {
		unsigned long base = random_next() % b->places;

		for (unsigned long k = 0; k < txn_size(nr, i); k++) {
			struct store s = next_store(b, where, base, k);

			must(mtree_store_range(&b->tree, s.first, s.first + SIZE - 1, s.entry,
					       GFP_KERNEL));
		}
	}
	return bench_now_ns() - start;
}

static double txn_far(struct bench *b, unsigned long nr)
{
	return in_txns(b, nr, FAR);
}

static double txn_near(struct bench *b, unsigned long nr)
{
	return in_txns(b, nr, NEAR);
}

static double txn_row(struct bench *b, unsigned long nr)
{
	return in_txns(b, nr, ROW);
}

static double single_far(struct bench *b, unsigned long nr)
{
	return one_by_one(b, nr, FAR);
}

static double single_near(struct bench *b, unsigned long nr)
{
	return one_by_one(b, nr, NEAR);
}

static double single_row(struct bench *b, unsigned long nr)
{
	return one_by_one(b, nr, ROW);
}

/* ---- Comparing ---- */

static double median(double *values, unsigned int nr)
{
	bench_sort(values, nr);
	return values[nr / 2];
}

static void against(struct bench *b, const char *name, double (*way)(struct bench *, unsigned long),
		    double (*base)(struct bench *, unsigned long), unsigned int turns)
{
	double time[TURNS_MAX], base_time[TURNS_MAX], ratio[TURNS_MAX];

	for (unsigned int t = 0; t < turns; t++) {
		if (t % 2)
			base_time[t] = base(b, TURN);
		time[t] = way(b, TURN);
		if (t % 2 == 0)
			base_time[t] = base(b, TURN);
		ratio[t] = time[t] / base_time[t];
	}
	printf("  %-42s %7.0f ns a store, %7.0f otherwise, ratio %.3f\n", name,
	       median(time, turns) / TURN, median(base_time, turns) / TURN, median(ratio, turns));
	fflush(stdout);
}

static void times(unsigned long mappings, unsigned int turns)
{
	static struct bench b;

	fill(&b, mappings);
	printf("%lu mappings, RCU mode, random erasing and storing:\n", mappings);
	against(&b, "guaranteed, announced one by one", guaranteed_each, ordinary, turns);
	against(&b, "guaranteed, announced by the batch", guaranteed_batch, ordinary_by_cursor,
		turns);
	against(&b, "guaranteed, strict", guaranteed_strict, ordinary, turns);
	against(&b, "transactions of 1000, anywhere", txn_far, single_far, turns);
	against(&b, "transactions of 1000, near each other", txn_near, single_near, turns);
	against(&b, "transactions of 1000, side by side", txn_row, single_row, turns);
	mtree_destroy(&b.tree);
}

/* ---- Memory ---- */

static double credit_bytes(struct bench *b, enum mt_credits_mode mode, unsigned long nr)
{
	struct mt_credits c;
	double bytes;

	mt_credits_init(&c, &b->tree, mode);
	must(mt_credits_reserve(&c, nr, GFP_KERNEL));
	bytes = (double)mt_credits_bytes(&c) / (double)nr;
	mt_credits_release(&c);
	return bytes;
}

/*
 * The bytes of nodes that storing a new mapping anywhere in the tree takes, on average and at most.
 */
static void exact_bytes(struct bench *b, double *mean, double *most)
{
	unsigned long sum = 0, max = 0, nr = 10000;

	for (unsigned long i = 0; i < nr; i++) {
		unsigned long first = random_next() % b->places * PLACE + PLACE / 2;
		MA_STATE(mas, &b->tree, first, first + SIZE - 1);

		mtree_lock(&b->tree);
		must(mas_preallocate(&mas, xa_mk_value(1), GFP_KERNEL));
		sum += mas_allocated(&mas);
		max = mas_allocated(&mas) > max ? mas_allocated(&mas) : max;
		mas_destroy(&mas);
		mtree_unlock(&b->tree);
	}
	*mean = (double)(sum * MT_NODE_SIZE) / (double)nr;
	*most = (double)(max * MT_NODE_SIZE);
}

static double height_bytes(struct bench *b, unsigned int height)
{
	MA_STATE(mas, &b->tree, 0, 0);
	unsigned long nodes;

	must(mas_preallocate_height(&mas, height, GFP_KERNEL));
	nodes = mas_allocated(&mas);
	mas_destroy(&mas);
	return (double)(nodes * MT_NODE_SIZE);
}

static void memory(unsigned long mappings)
{
	static const unsigned long counts[] = { 1, 100, 10000, 100000 };
	static struct bench b;
	double mean, most;

	fill(&b, mappings);
	printf("%lu mappings with gaps, bytes for each store to come:\n", mappings);
	for (unsigned int i = 0; i < 4; i++)
		printf("  %6lu credits: recycling %9.0f, strict %6.0f\n", counts[i],
		       credit_bytes(&b, MT_CREDITS_RECYCLING, counts[i]),
		       credit_bytes(&b, MT_CREDITS_STRICT, counts[i]));
	exact_bytes(&b, &mean, &most);
	printf("  preallocated by height: %.0f for the tree's own (%u), %.0f for the largest\n",
	       height_bytes(&b, mt_height(&b.tree)), mt_height(&b.tree),
	       height_bytes(&b, MAPLE_HEIGHT_MAX));
	printf("  preallocated exactly, valid until the tree changes: %.0f, at most %.0f\n", mean,
	       most);
	mtree_destroy(&b.tree);
}

int main(int argc, char **argv)
{
	unsigned long mappings = 1000000, turns = 15;

	if (argc > 3 || (argc > 1 && !bench_count(argv[1], 100, MAPPINGS_MAX, &mappings)) ||
	    (argc > 2 && !bench_count(argv[2], 1, TURNS_MAX, &turns))) {
		fprintf(stderr,
			"usage: bench-credits [MAPPINGS [TURNS]]\n"
			"100 to %d mappings and 1 to %d turns\n",
			MAPPINGS_MAX, TURNS_MAX);
		return 2;
	}
	if (mappings > 65536)
		times(65536, (unsigned int)turns);
	times(mappings, (unsigned int)turns);
	memory(mappings);
	return bench_end_output("bench-credits");
}
