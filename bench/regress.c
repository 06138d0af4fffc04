/* SPDX-License-Identifier: MIT */
/*
 * The workloads whose instructions scripts/bench-regress counts: the same operations in the same
 * order every time, on one thread, through the public headers only, so that they compile with old
 * revisions too.
 *
 *	regress WORKLOAD [TRACE]     runs it once; prints how many operations measured() covered
 *	regress --list               the names
 */
#include "random.h"
#include "steps.h"
#include <samara/maple_tree.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if __has_include(<samara/txn.h>)
#include <samara/txn.h>
#define HAVE_TXN 1
#endif
#if __has_include(<samara/credits.h>)
#include <samara/credits.h>
#define HAVE_CREDITS 1
#endif

enum { N = 20000, RCU = MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU, TXN = 500 };

#define PAGE 4096UL
#define BASE (1UL << 32)

struct range {
	unsigned long first, last;
	void *entry;
};

static struct maple_tree tree;
static struct range ranges[N]; /* in ascending order */
static unsigned int order[N];  /* a random order of them */
static struct bench_steps trace;
static uint64_t random_state = 1;
static unsigned long sink;

static uint64_t random_next(void)
{
	return bench_random(&random_state);
}

static void must(int err)
{
	if (err) {
		fprintf(stderr, "regress: an operation failed: %d\n", err);
		exit(1);
	}
}

static void store(const struct range *r)
{
	must(mtree_store_range(&tree, r->first, r->last, r->entry, GFP_KERNEL));
}

/* ---- What is there before the measuring begins ---- */

static void make_ranges(bool aligned)
{
	unsigned long at = BASE;

	for (unsigned int i = 0; i < N; i++) {
		unsigned long size = aligned ? PAGE * (1 + random_next() % 8)
					     : 1 + random_next() % (1UL << 40);

		ranges[i] = (struct range){ at, at + size - 1, xa_mk_value(i) };
		at += 2 * size;
		order[i] = i;
	}
	for (unsigned int i = N - 1; i > 0; i--) {
		unsigned int k = (unsigned int)(random_next() % i), swapped = order[i];

		order[i] = order[k];
		order[k] = swapped;
	}
}

static void store_all(void)
{
	for (unsigned int i = 0; i < N; i++)
		store(&ranges[order[i]]);
}

static void empty(void)
{
	make_ranges(true);
}

static void pages(void)
{
	make_ranges(true);
	store_all();
}

static void bytes(void)
{
	make_ranges(false);
	store_all();
}

static void empty_bytes(void)
{
	make_ranges(false);
}

/* ---- What is measured; each returns how many operations it has done ---- */

static unsigned long build(void)
{
	store_all();
	return N;
}

static unsigned long append(void)
{
	for (unsigned int i = 0; i < N; i++)
		store(&ranges[i]);
	return N;
}

static unsigned long load(void)
{
	for (unsigned int i = 0; i < N; i++)
		sink += (unsigned long)mtree_load(&tree, ranges[order[i]].last);
	return N;
}

#ifdef HAVE_LOAD_BATCH
static unsigned long load_batch(void)
{
	unsigned long keys[32];
	void *found[32];

	_Static_assert(N % 32 == 0, "full batches");
	for (unsigned int i = 0; i < N; i += 32) {
		for (unsigned int k = 0; k < 32; k++)
			keys[k] = ranges[order[i + k]].last;
		mtree_load_batch(&tree, keys, found, 32);
		for (unsigned int k = 0; k < 32; k++)
			sink += (unsigned long)found[k];
	}
	return N;
}
#endif

static unsigned long walk(void)
{
	MA_STATE(mas, &tree, 0, 0);
	unsigned long count = 0;
	void *entry;

	mt_rcu_read_lock(&tree);
	mas_for_each(&mas, entry, ULONG_MAX) {
		sink += mas.index;
		count++;
	}
	mt_rcu_read_unlock(&tree);
	return count;
}

/* Walks from @start until @step returns NULL. */
static unsigned long walk_by(void *(*step)(struct ma_state *mas, unsigned long limit),
			     unsigned long start, unsigned long limit)
{
	MA_STATE(mas, &tree, start, start);
	unsigned long count = 0;

	mt_rcu_read_lock(&tree);
	while (step(&mas, limit) || mas.status == ma_active) {
		sink += mas.index;
		count++;
	}
	mt_rcu_read_unlock(&tree);
	return count;
}

static unsigned long walk_back(void)
{
	return walk_by(mas_prev, ULONG_MAX, 0);
}

static unsigned long walk_next(void)
{
	return walk_by(mas_next, 0, ULONG_MAX);
}

/* Walks gaps, too. */
static unsigned long walk_ranges(void)
{
	return walk_by(mas_next_range, 0, ULONG_MAX);
}

static unsigned long walk_ranges_back(void)
{
	return walk_by(mas_prev_range, ULONG_MAX, 0);
}

/*
 * Erases and stores again. Waits for replaced nodes now and then, so that they come back in the
 * same way each time.
 */
static unsigned long churn(void)
{
	for (unsigned int i = 0; i < N; i++) {
		const struct range *r = &ranges[order[i]];

		sink += (unsigned long)mtree_erase(&tree, r->first);
		store(r);
		if (mt_in_rcu(&tree) && i % 256 == 0)
			mt_mem_barrier(mt_mem_default());
	}
	return N;
}

/* Erases and stores the upper half. */
static unsigned long resize(void)
{
	for (unsigned int i = 0; i < N; i++) {
		struct range half = ranges[order[i]];

		sink += (unsigned long)mtree_erase(&tree, half.first);
		half.first += (half.last - half.first + 1) / 2;
		store(&half);
	}
	return N;
}

/* Each store covers about four ranges, two of which are cut. */
static unsigned long overwrite(void)
{
	for (unsigned int i = 0; i < N; i++) {
		const struct range *r = &ranges[order[i] % (N - 4)];
		struct range over = { (r[0].first + r[0].last) / 2, r[3].first, xa_mk_value(i) };

		store(&over);
	}
	return N;
}

static unsigned long erase(void)
{
	for (unsigned int i = 0; i < N; i++)
		sink += (unsigned long)mtree_erase(&tree, ranges[order[i]].first);
	return N;
}

static unsigned long drain(void)
{
	for (unsigned int i = 0; i < N; i++)
		sink += (unsigned long)mtree_erase(&tree, ranges[i].first);
	return N;
}

static unsigned long gap_first(void)
{
	for (unsigned int i = 0; i < N; i++) {
		MA_STATE(mas, &tree, 0, 0);

		mas_lock(&mas);
		sink += (unsigned long)mas_empty_area(&mas, ranges[order[i]].first, ULONG_MAX,
						      8 * PAGE);
		mas_unlock(&mas);
	}
	return N;
}

static unsigned long gap_last(void)
{
	for (unsigned int i = 0; i < N; i++) {
		MA_STATE(mas, &tree, 0, 0);

		mas_lock(&mas);
		sink += (unsigned long)mas_empty_area_rev(&mas, 0, ranges[order[i]].last, 8 * PAGE);
		mas_unlock(&mas);
	}
	return N;
}

static unsigned long alloc(void)
{
	unsigned long at;

	for (unsigned int i = 0; i < N; i++)
		must(mtree_alloc_range(&tree, &at, xa_mk_value(i), PAGE * (1 + i % 8), BASE,
				       ULONG_MAX, GFP_KERNEL));
	return N;
}

static unsigned long preallocate(void)
{
	for (unsigned int i = 0; i < N; i++) {
		const struct range *r = &ranges[order[i]];
		MA_STATE(mas, &tree, r->first, r->last);

		mas_lock(&mas);
		must(mas_preallocate(&mas, r->entry, GFP_KERNEL));
		mas_store_prealloc(&mas, r->entry);
		mas_unlock(&mas);
	}
	return N;
}

/* Reserves a page behind each range, and gives it back. */
static unsigned long reserve(void)
{
	for (unsigned int i = 0; i < N; i++) {
		unsigned long first = ranges[order[i]].last + 1;

		must(mtree_reserve(&tree, first, first + PAGE - 1, GFP_KERNEL));
		must(mtree_release(&tree, first, first + PAGE - 1));
	}
	return N;
}

static unsigned long duplicate(void)
{
	struct maple_tree copy;

	mt_init_flags(&copy, tree.ma_flags & MT_FLAGS_ALLOC_RANGE);
	must(mtree_dup(&tree, &copy, GFP_KERNEL));
	sink += mt_height(&copy);
	return N;
}

static unsigned long replay(void)
{
	for (size_t i = 0; i < trace.count; i++) {
		const struct bench_step *step = &trace.list[i];

		if (step->verb == BENCH_LOAD)
			sink += (unsigned long)mtree_load(&tree, step->first);
		else
			must(mtree_store_range(&tree, step->first, step->last, step->entry,
					       GFP_KERNEL));
	}
	return trace.count;
}

#ifdef HAVE_TXN
static unsigned long txn(void)
{
	struct mt_txn t;

	for (unsigned int i = 0; i < N; i += TXN) {
		mtree_lock(&tree);
		mt_txn_begin(&t, &tree);
		for (unsigned int k = i; k < i + TXN; k++) {
			const struct range *r = &ranges[order[k]];

			must(mt_txn_store_range(&t, r->first, r->last, r->entry, GFP_KERNEL));
		}
		mt_txn_commit(&t);
		mtree_unlock(&tree);
	}
	return N;
}
#endif

#ifdef HAVE_CREDITS
static unsigned long credits(void)
{
	struct mt_credits c;

	mt_credits_init(&c, &tree, MT_CREDITS_RECYCLING);
	must(mt_credits_reserve(&c, N, GFP_KERNEL));
	for (unsigned int i = 0; i < N; i++) {
		const struct range *r = &ranges[order[i]];
		MA_STATE(mas, &tree, r->first, r->last);

		mt_credits_begin(&c, 1);
		mtree_lock(&tree);
		must(mas_store_credit(&mas, r->entry, &c));
		mtree_unlock(&tree);
	}
	mt_credits_release(&c);
	return N;
}
#endif

/* ---- The list ---- */

static const struct workload {
	const char *name;
	unsigned int flags;
	void (*prepare)(void);
	unsigned long (*run)(void);
} workloads[] = {
	{ "build", 0, empty, build },
	{ "build-gaps", MT_FLAGS_ALLOC_RANGE, empty, build },
	{ "build-rcu", RCU, empty, build },
	{ "build-bytes", 0, empty_bytes, build },
	{ "append", MT_FLAGS_ALLOC_RANGE, empty, append },
	{ "append-rcu", RCU, empty, append },
	{ "load", 0, pages, load },
	{ "load-rcu", RCU, pages, load },
	{ "load-bytes", 0, bytes, load },
#ifdef HAVE_LOAD_BATCH
	{ "load-batch", RCU, pages, load_batch },
#endif
	{ "iterate", 0, pages, walk },
	{ "iterate-back", 0, pages, walk_back },
	{ "next", 0, pages, walk_next },
	{ "ranges", 0, pages, walk_ranges },
	{ "ranges-back", 0, pages, walk_ranges_back },
	{ "churn", 0, pages, churn },
	{ "churn-rcu", RCU, pages, churn },
	{ "churn-bytes", 0, bytes, churn },
	{ "resize", 0, pages, resize },
	{ "overwrite", 0, pages, overwrite },
	{ "erase", 0, pages, erase },
	{ "drain", MT_FLAGS_ALLOC_RANGE, pages, drain },
	{ "drain-rcu", RCU, pages, drain },
	{ "gap-first", MT_FLAGS_ALLOC_RANGE, pages, gap_first },
	{ "gap-last", MT_FLAGS_ALLOC_RANGE, pages, gap_last },
	{ "alloc", MT_FLAGS_ALLOC_RANGE, empty, alloc },
	{ "preallocate", 0, pages, preallocate },
	{ "reserve", 0, pages, reserve },
	{ "duplicate", 0, pages, duplicate },
	{ "replay", MT_FLAGS_ALLOC_RANGE, empty, replay },
#ifdef HAVE_TXN
	{ "txn", 0, empty, txn },
#endif
#ifdef HAVE_CREDITS
	{ "credits", 0, empty, credits },
#endif
};

enum { NR_WORKLOADS = sizeof(workloads) / sizeof(workloads[0]) };

/* The function whose instructions callgrind counts: --toggle-collect=measured. */
__attribute__((noinline, noipa)) unsigned long measured(const struct workload *w);

unsigned long measured(const struct workload *w)
{
	return w->run();
}

static int run(const struct workload *w, const char *trace_path)
{
	char why[BENCH_WHY_SIZE];

	if (w->run == replay && bench_steps_load(&trace, trace_path, why, sizeof(why))) {
		fprintf(stderr, "regress: %s\n", why);
		return 1;
	}
	mt_init_flags(&tree, w->flags);
	w->prepare();
	if (w->flags & MT_FLAGS_USE_RCU)
		mt_mem_barrier(mt_mem_default());
	printf("%lu\n", measured(w));
	bench_steps_free(&trace);
	return 0;
}

int main(int argc, char **argv)
{
	const bool list = argc == 2 && strcmp(argv[1], "--list") == 0;

	for (unsigned int i = 0; i < NR_WORKLOADS; i++) {
		if (list)
			printf("%s\n", workloads[i].name);
		else if (argc > 1 && strcmp(argv[1], workloads[i].name) == 0)
			return run(&workloads[i], argc > 2 ? argv[2] : "-");
	}
	if (list)
		return 0;
	fprintf(stderr, "usage: regress WORKLOAD [TRACE]\n       regress --list\n");
	return 2;
}
