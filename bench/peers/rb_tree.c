/* SPDX-License-Identifier: MIT */
/*
 * A red-black interval tree: libbsd's tree of ranges by first key, where each node knows the first
 * and the last key of its subtree and the largest gap between its ranges. Address spaces used to be
 * kept in such trees. Ranges that are cut stay where they are in the tree.
 */
#include "../peer.h"
#include "pool.h"

struct range;
static void sum_up(struct range *r);
#define RB_AUGMENT(r) sum_up(r)
#include "rb_near.h"

struct range {
	RB_ENTRY(range) node;
	unsigned long first, last;
	void *entry;
	unsigned long low, high; /* first and last key of the subtree */
	unsigned long gap;       /* the largest between its ranges */
};

RB_HEAD(tree, range);

static int compare(const struct range *a, const struct range *b)
{
	return (a->first > b->first) - (a->first < b->first);
}

RB_GENERATE_INTERNAL(tree, range, node, compare, __attribute__((unused)) static)

static struct pool pool; /* of all trees: they are used by one thread only */

static unsigned long larger(unsigned long a, unsigned long b)
{
	return a > b ? a : b;
}

/* ---- What subtrees know ---- */

static void sum_up(struct range *r)
{
	const struct range *left = RB_LEFT(r, node), *right = RB_RIGHT(r, node);

	r->low = left ? left->low : r->first;
	r->high = right ? right->high : r->last;
	r->gap = left ? larger(left->gap, r->first - left->high - 1) : 0;
	if (right)
		r->gap = larger(r->gap, larger(right->gap, right->low - r->last - 1));
}

/* Updates the nodes from @r upwards after a change, until one stays the same. */
static void sum_up_from(struct range *r)
{
	for (; r; r = RB_PARENT(r, node)) {
		const struct range old = *r;

		sum_up(r);
		if (r->low == old.low && r->high == old.high && r->gap == old.gap)
			return;
	}
}

/* ---- Changes ---- */

static int insert_behind(struct tree *t, struct range *before, struct range what)
{
	struct range *r = pool_take(&pool, pool_size(sizeof(*r))), *parent, **slot;

	if (!r)
		return -1;
	*r = what;
	RB_BEHIND(t, before, parent, slot, node);
	RB_SET(r, parent, node);
	*slot = r;
	sum_up(r);
	sum_up_from(parent);
	tree_RB_INSERT_COLOR(t, r);
	return 0;
}

static void remove_range(struct tree *t, struct range *r)
{
	/*
	 * If @r has two children, libbsd itself updates all nodes upwards from the successor's old
	 * place.
	 */
	struct range *parent = RB_LEFT(r, node) && RB_RIGHT(r, node) ? NULL : RB_PARENT(r, node);

	RB_REMOVE(tree, t, r);
	for (; parent; parent = RB_PARENT(parent, node))
		sum_up(parent);
	pool_give(&pool, r, pool_size(sizeof(*r)));
}

/* Returns the lowest range that ends at or above @key. *@before is the one below it. */
static struct range *at_or_after(struct tree *t, unsigned long key, struct range **before)
{
	struct range *r = RB_ROOT(t), *found = NULL;

	*before = NULL;
	while (r) {
		if (r->last >= key) {
			found = r;
			r = RB_LEFT(r, node);
		} else {
			*before = r;
			r = RB_RIGHT(r, node);
		}
	}
	return found;
}

/* Erases all in [first..last]. *@before is the range below it then. */
static int cut(struct tree *t, unsigned long first, unsigned long last, struct range **before)
{
	struct range *r = at_or_after(t, first, before), *next;

	for (; r && r->first <= last; r = next) {
		const struct range old = *r;

		next = RB_NEXT(tree, t, r);
		if (old.first < first) {
			r->last = first - 1;
			sum_up_from(r);
			*before = r;
		} else if (old.last > last) {
			r->first = last + 1;
			sum_up_from(r);
			return 0;
		} else {
			remove_range(t, r);
		}
		if (old.first < first && old.last > last)
			return insert_behind(t, *before,
					     (struct range){ .first = last + 1,
							     .last = old.last,
							     .entry = old.entry });
	}
	return 0;
}

static int store(void *tree, unsigned long first, unsigned long last, void *entry)
{
	struct range *before;
	int err = cut(tree, first, last, &before);

	return err ? err
		   : insert_behind(tree, before,
				   (struct range){ .first = first, .last = last, .entry = entry });
}

static int clear(void *tree, unsigned long first, unsigned long last)
{
	struct range *before;

	return cut(tree, first, last, &before);
}

static struct range *find(struct tree *t, unsigned long key)
{
	struct range *r = RB_ROOT(t);

	while (r && (key < r->first || key > r->last))
		r = key < r->first ? RB_LEFT(r, node) : RB_RIGHT(r, node);
	return r;
}

static void *erase(void *tree, unsigned long key)
{
	struct range *r = find(tree, key);
	void *entry = r ? r->entry : NULL;

	if (r)
		remove_range(tree, r);
	return entry;
}

/* ---- Reading ---- */

static void *load(void *tree, unsigned long key)
{
	const struct range *r = find(tree, key);

	return r ? r->entry : NULL;
}

static struct bench_sum iterate(void *tree)
{
	struct bench_sum sum = { 0, 0 };
	struct range *r;

	RB_FOREACH(r, tree, (struct tree *)tree)
	{
		sum.sum += (unsigned long)r->entry ^ r->first;
		sum.count++;
	}
	return sum;
}

struct wanted {
	unsigned long size, min, max;
	bool highest;
};

static unsigned long fit(unsigned long from, unsigned long to, const struct wanted *w)
{
	from = larger(from, w->min);
	to = to < w->max ? to : w->max;
	if (to < from || to - from < w->size - 1)
		return ULONG_MAX;
	return w->highest ? to - (w->size - 1) : from;
}

/* Searches [from..to], which is free except for the ranges below @r. */
static unsigned long search(const struct range *r, unsigned long from, unsigned long to,
			    const struct wanted *w)
{
	unsigned long at = ULONG_MAX;

	if (to < w->min || from > w->max)
		return ULONG_MAX;
	if (!r)
		return fit(from, to, w);
	if (r->gap < w->size && r->low - from < w->size && to - r->high < w->size)
		return ULONG_MAX;
	for (int turn = 0; turn < 2 && at == ULONG_MAX; turn++) {
		const bool right = w->highest ^ (turn == 1);

		if (right && r->last < to)
			at = search(RB_RIGHT(r, node), r->last + 1, to, w);
		if (!right && r->first > from)
			at = search(RB_LEFT(r, node), from, r->first - 1, w);
	}
	return at;
}

static unsigned long gap(void *tree, unsigned long size, unsigned long min, unsigned long max,
			 bool highest)
{
	const struct wanted w = { size, min, max, highest };

	return search(RB_ROOT((struct tree *)tree), 0, ULONG_MAX, &w);
}

static size_t bytes(void *tree)
{
	(void)tree;
	return pool.live;
}

static void *create(void)
{
	return calloc(1, sizeof(struct tree));
}

static void destroy(void *tree)
{
	struct range *r;

	while ((r = RB_ROOT((struct tree *)tree))) {
		RB_REMOVE(tree, (struct tree *)tree, r);
		pool_give(&pool, r, pool_size(sizeof(*r)));
	}
	free(tree);
}

const struct bench_peer bench_rb_tree = {
	.name = "rb tree",
	.what = "red-black interval tree (libbsd's) that knows its gaps",
	.can = BENCH_CAN_STORE | BENCH_CAN_GAP,
	.create = create,
	.destroy = destroy,
	.store = store,
	.load = load,
	.erase = erase,
	.clear = clear,
	.iterate = iterate,
	.gap = gap,
	.bytes = bytes,
};
