/* SPDX-License-Identifier: MIT */
/*
 * A balanced binary tree of ranges that knows, for each subtree, the largest gap between its
 * ranges: what address spaces were commonly kept in before. Balanced at random (a treap). Gaps
 * need no bookkeeping beyond a subtree's own: its outer ends, and the largest gap inside.
 */
#include "../keys.hpp"
#include "../peer.h"
#include "counted.hpp"
#include <algorithm>

namespace
{
struct tag;

struct node {
	unsigned long first, last;
	void *entry;
	node *left, *right;
	uint64_t weight;         /* no child weighs more */
	unsigned long low, high; /* first and last key of the subtree */
	unsigned long gap;       /* the largest between its ranges */
};

struct tree {
	node *root = nullptr;
	rng weights{ 1 };
	counted<node, tag> memory;
};

tree &of(void *t)
{
	return *static_cast<tree *>(t);
}

node *make(tree &t, unsigned long first, unsigned long last, void *entry)
{
	node *n = t.memory.allocate(1);

	*n = { first, last, entry, nullptr, nullptr, t.weights.next(), first, last, 0 };
	return n;
}

void free_all(tree &t, node *n)
{
	if (!n)
		return;
	free_all(t, n->left);
	free_all(t, n->right);
	t.memory.deallocate(n, 1);
}

/* Computes what @n knows of its subtree from its children. */
node *sum_up(node *n)
{
	n->low = n->left ? n->left->low : n->first;
	n->high = n->right ? n->right->high : n->last;
	n->gap = 0;
	if (n->left)
		n->gap = std::max(n->left->gap, n->first - n->left->high - 1);
	if (n->right)
		n->gap = std::max({ n->gap, n->right->gap, n->right->low - n->last - 1 });
	return n;
}

/* Ranges that begin below @key go into @below, the others into @rest. */
void split(node *n, unsigned long key, node *&below, node *&rest)
{
	if (!n) {
		below = rest = nullptr;
	} else if (n->first < key) {
		split(n->right, key, n->right, rest);
		below = sum_up(n);
	} else {
		split(n->left, key, below, n->left);
		rest = sum_up(n);
	}
}

/* All of @a lies below all of @b. */
node *join(node *a, node *b)
{
	if (!a || !b)
		return a ? a : b;
	if (a->weight >= b->weight) {
		a->right = join(a->right, b);
		return sum_up(a);
	}
	b->left = join(a, b->left);
	return sum_up(b);
}

/* Lets the highest range of @n end at @last. */
void shorten(node *n, unsigned long last)
{
	if (n->right)
		shorten(n->right, last);
	else
		n->last = last;
	sum_up(n);
}

const node *highest(const node *n)
{
	while (n->right)
		n = n->right;
	return n;
}

/* Takes all of [first..last] out; what lies below and above it is then @below and @above. */
void cut(tree &t, unsigned long first, unsigned long last, node *&below, node *&above)
{
	node *covered;

	split(t.root, first, below, above);
	if (last == ULONG_MAX) {
		covered = above;
		above = nullptr;
	} else {
		split(above, last + 1, covered, above);
	}
	const node *over = covered ? highest(covered) : below ? highest(below) : nullptr;
	if (over && over->last > last)
		above = join(make(t, last + 1, over->last, over->entry), above);
	if (below && below->high >= first)
		shorten(below, first - 1);
	free_all(t, covered);
}

int store(void *p, unsigned long first, unsigned long last, void *entry)
{
	tree &t = of(p);
	node *below, *above;

	cut(t, first, last, below, above);
	t.root = join(join(below, make(t, first, last, entry)), above);
	return 0;
}

int clear(void *p, unsigned long first, unsigned long last)
{
	tree &t = of(p);
	node *below, *above;

	cut(t, first, last, below, above);
	t.root = join(below, above);
	return 0;
}

node *find(node *n, unsigned long key)
{
	while (n && (key < n->first || key > n->last))
		n = key < n->first ? n->left : n->right;
	return n;
}

void *load(void *p, unsigned long key)
{
	const node *n = find(of(p).root, key);

	return n ? n->entry : nullptr;
}

/* Takes @victim out of the subtree @n. */
node *without(node *n, const node *victim)
{
	if (n == victim)
		return join(n->left, n->right);
	if (victim->first < n->first)
		n->left = without(n->left, victim);
	else
		n->right = without(n->right, victim);
	return sum_up(n);
}

void *erase(void *p, unsigned long key)
{
	tree &t = of(p);
	node *n = find(t.root, key);

	if (!n)
		return nullptr;
	void *entry = n->entry;
	t.root = without(t.root, n);
	t.memory.deallocate(n, 1);
	return entry;
}

void visit(const node *n, bench_sum *sum)
{
	if (!n)
		return;
	visit(n->left, sum);
	sum->sum += reinterpret_cast<unsigned long>(n->entry) ^ n->first;
	sum->count++;
	visit(n->right, sum);
}

struct wanted {
	unsigned long size, min, max;
	bool highest;
};

unsigned long fit(unsigned long from, unsigned long to, const wanted &w)
{
	from = std::max(from, w.min);
	to = std::min(to, w.max);
	if (to < from || to - from < w.size - 1)
		return ULONG_MAX;
	return w.highest ? to - (w.size - 1) : from;
}

/* Searches [from..to], which is free but for the ranges of @n. */
unsigned long search(const node *n, unsigned long from, unsigned long to, const wanted &w)
{
	if (to < w.min || from > w.max)
		return ULONG_MAX;
	if (!n)
		return fit(from, to, w);
	if (n->gap < w.size && n->low - from < w.size && to - n->high < w.size)
		return ULONG_MAX;
	for (bool right : { w.highest, !w.highest }) {
		unsigned long at = ULONG_MAX;

		if (right && n->last < to)
			at = search(n->right, n->last + 1, to, w);
		if (!right && n->first > from)
			at = search(n->left, from, n->first - 1, w);
		if (at != ULONG_MAX)
			return at;
	}
	return ULONG_MAX;
}

unsigned long gap(void *p, unsigned long size, unsigned long min, unsigned long max, bool highest)
{
	return search(of(p).root, 0, ULONG_MAX, { size, min, max, highest });
}

void *create()
{
	return new tree;
}

void destroy(void *p)
{
	free_all(of(p), of(p).root);
	delete static_cast<tree *>(p);
}

void iterate(void *p, bench_sum *sum)
{
	visit(of(p).root, sum);
}

std::size_t bytes(void *)
{
	return pools<tag>::live();
}
} // namespace

extern "C" const bench_peer bench_gap_tree = {
	"gap tree",
	"balanced binary tree that knows its gaps",
	BENCH_CAN_STORE | BENCH_CAN_GAP,
	create,
	destroy,
	store,
	nullptr,
	load,
	erase,
	clear,
	iterate,
	gap,
	bytes,
	nullptr,
	nullptr,
	nullptr,
};
