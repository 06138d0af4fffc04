/* SPDX-License-Identifier: MIT */
/*
 * The bound on how many nodes stores on credits need.
 *
 * The *crowding* of an inner node other than the top is the number of its children beyond 17, the
 * fewest that a node gets when a window is dealt to three. Let
 *
 *	M = nodes + crowding / 16 - 2 * height.
 *
 * Any store raises M by at most 17/16: one more leaf, and its place in the parent. A level that
 * splits pays for its new node with the crowding it loses (16 or more), and passes its child's
 * charge on to the level above. A level that merges two nodes pays for the crowding it gains (at
 * most 14) with the node it saves. A new top, two nodes, is paid for by the height. So c stores,
 * whatever they are, need at most (17 c + crowding) / 16 + 2 * (reach - height) nodes more than the
 * tree has. Nor do they need more than reach each, which is less if there are few.
 *
 * A tree whose largest size is known needs only the nodes that it does not have yet.
 *
 * docs/credits.md has the cases. All this depends on deal.c dealing the children of inner nodes
 * evenly, to as few nodes as hold them.
 */
#include "tree/pledge.h"

#include "mem/pledge.h"

enum { CHARGE = 17, UNIT = 16 }; /* M rises by CHARGE / UNIT */

/*
 * The fewest leaves of a tree, by its levels: the top has at least two children, other inner nodes
 * at least eleven.
 */
static const unsigned long min_leaves[] = {
	0,
	0,
	2UL,
	22UL,
	242UL,
	2662UL,
	29282UL,
	322102UL,
	3543122UL,
	38974342UL,
	428717762UL,
	4715895382UL,
	51874849202UL,
	570623341222UL,
	6276856753442UL,
	69045424287862UL,
	759499667166482UL,
	8354496338831302UL,
	91899459727144322UL,
	1010894056998587542UL,
	11119834626984462962UL,
	ULONG_MAX,
};

_Static_assert(SMR_INNER_MIN == 11, "min_leaves[] goes by it");

/*
 * Returns the levels of the highest tree with @leaves leaves, usually @before or one more or less.
 */
static unsigned long max_levels(unsigned long leaves, unsigned long before)
{
	while (leaves >= min_leaves[before + 1])
		before++;
	while (leaves < min_leaves[before])
		before--;
	return before;
}

static unsigned long top_crowding(const void *root)
{
	return smr_is_enode(root) && !smr_enode_leaf(root) ? smr_crowding(smr_count(root)) : 0;
}

/* ---- Trees with a bound ---- */

/*
 * Returns how many nodes the largest tree with @leaves leaves has: the top is one node, other inner
 * nodes have at least eleven children.
 */
static unsigned long max_nodes(unsigned long leaves)
{
	unsigned long nodes = leaves, level = leaves;

	while (level > 1) {
		level = level > SMR_INNER_MIN ? level / SMR_INNER_MIN : 1;
		nodes += level;
	}
	return nodes;
}

/*
 * A transaction can reuse nodes of its own that it has replaced, so it never holds more than a
 * whole tree and what one store builds.
 */
unsigned long smr_pledge_cap(const struct maple_tree *mt, unsigned long nodes, unsigned long reach)
{
	unsigned long most = max_nodes(mt->ma_pledge.bound) + smr_store_nodes(reach);

	return nodes < most ? nodes : most;
}

void smr_pledge_bound(struct maple_tree *mt, unsigned long ranges)
{
	smr_assert(!smr_has_credits(mt));
	mt->ma_pledge.bound = ranges / SMR_LEAF_MIN;
	if (ranges && mt->ma_pledge.bound == 0)
		mt->ma_pledge.bound = 1;
}

/* ---- The sum ---- */

struct need {
	unsigned long leaves, nodes, crowding, height;
	struct smr_claims claims;
};

/* Returns what the census says, including the top's crowding. */
static struct need need_of(const struct maple_tree *mt, unsigned int height)
{
	return (struct need){ mt->ma_pledge.leaves,
			      mt->ma_pledge.leaves + mt->ma_pledge.inner,
			      mt->ma_pledge.crowding,
			      height,
			      { mt->ma_pledge.recycling, mt->ma_pledge.strict,
				mt->ma_pledge.working } };
}

/* The same for the tree as it is, without the top's crowding. */
static struct need need_now(const struct maple_tree *mt)
{
	struct need n = need_of(mt, mt_height(mt));

	n.crowding -= top_crowding(mt->ma_root);
	return n;
}

static unsigned long reach_of(const struct maple_tree *mt, const struct need *n)
{
	unsigned long bound = mt->ma_pledge.bound;

	return max_levels(bound ? bound : n->leaves + n->claims.recycling + n->claims.strict,
			  mt->ma_pledge.reach);
}

/*
 * Returns how many nodes a tree with a bound does not have yet, if its one holder has credits, plus
 * that holder's working set.
 */
static unsigned long required_of_bound(const struct maple_tree *mt, const struct need *n,
				       unsigned long reach)
{
	unsigned long most = max_nodes(mt->ma_pledge.bound);

	smr_assert(n->nodes <= most);
	return (n->claims.recycling && n->nodes < most ? most - n->nodes : 0) +
	       smr_working_nodes(mt, n->claims.working, reach);
}

smr_inline unsigned long required(const struct maple_tree *mt, const struct need *n,
				  unsigned long reach)
{
	unsigned long credits = n->claims.recycling;
	unsigned long height = n->height > 1 ? n->height : 1;
	unsigned long many = (CHARGE * credits + n->crowding + UNIT - 1) / UNIT +
			     2 * (reach - height);
	unsigned long few = credits * reach;

	if (smr_unlikely(mt->ma_pledge.bound))
		return required_of_bound(mt, n, reach);
	return (many < few ? many : few) +
	       (n->claims.working + n->claims.strict) * smr_store_nodes(reach);
}

static unsigned long shortfall(const struct maple_tree *mt, const struct need *n)
{
	unsigned long want = required(mt, n, reach_of(mt, n));

	return want > mt->ma_pledge.pledged ? want - mt->ma_pledge.pledged : 0;
}

unsigned long smr_pledge_required(struct maple_tree *mt)
{
	struct need n = need_now(mt);
	unsigned long reach = reach_of(mt, &n);

	smr_store(&mt->ma_pledge.reach, (unsigned int)reach, RELAXED);
	return required(mt, &n, reach);
}

unsigned long smr_pledge_required_for(const struct maple_tree *mt, const struct smr_claims *claims)
{
	struct need n = need_now(mt);

	n.claims = *claims;
	return required(mt, &n, reach_of(mt, &n));
}

/*
 * Changes @n to the census after @w, but does not subtract nodes that @w removes between the edges
 * of its windows: they would only lower the sum, except in a tree with a bound, where there are
 * none.
 */
static void census_after(const struct smr_write *w, struct need *n)
{
	for (unsigned int l = 0; l <= w->top; l++) {
		const struct smr_level *lev = &w->level[l];
		unsigned int d = w->mas->depth - l;
		const void *old[3] = { NULL, NULL, lev->neighbour };

		if (l <= w->mas->depth) {
			old[0] = w->left.node[d];
			old[1] = w->left.node[d] != w->right.node[d] ? w->right.node[d] : NULL;
		}
		for (unsigned int c = 0; c < lev->parts; c++) {
			n->nodes++;
			n->leaves += l == 0;
			n->crowding += l ? smr_crowding(lev->cut[c + 1] - lev->cut[c]) : 0;
		}
		for (unsigned int i = 0; i < 3; i++) {
			if (!old[i])
				continue;
			n->nodes--;
			n->leaves -= l == 0;
			n->crowding -= l ? smr_crowding(smr_count(old[i])) : 0;
		}
	}
	if (w->to_root) {
		const struct smr_level *top = &w->level[w->top];

		/* The old top was above the node that becomes the top. */
		n->nodes -= n->height > w->top + 1;
		n->height = w->top + 1;
		n->crowding -= w->top ? smr_crowding(top->cut[1] - top->cut[0]) : 0;
	} else {
		n->crowding -= top_crowding(w->mt->ma_root);
	}
}

/* The same for leaves that share: there may be one more or less, below the same node. */
static void census_after_share(const struct smr_share *s, struct need *n)
{
	unsigned int before = smr_count(s->path[s->depth]);
	unsigned int after = before + s->leaves->parts - smr_share_leaves(s);

	n->leaves += (unsigned long)after - before;
	n->nodes += (unsigned long)after - before;
	n->crowding += (unsigned long)smr_crowding(after) - smr_crowding(before);
	n->crowding -= s->depth ? top_crowding(s->mt->ma_root) : smr_crowding(after);
}

unsigned long smr_pledge_shortfall(const struct smr_write *w)
{
	struct maple_tree *mt = w->mt;
	struct need n = need_of(mt, mt_height(mt));

	if (w->form == SMR_SUBTREE)
		census_after(w, &n);
	else if (w->form == SMR_SHARE)
		census_after_share(&w->share, &n);
	else if (w->form == SMR_FIRST)
		n = (struct need){ 1, 1, 0, 1, n.claims };
	else if (w->form == SMR_ROOT)
		n = (struct need){ .claims = n.claims };
	else
		return 0;
	return shortfall(mt, &n);
}

unsigned long smr_pledge_missing(const struct maple_tree *mt, const void *root, unsigned int height)
{
	struct need n = need_of(mt, height);

	n.crowding -= top_crowding(root);
	return shortfall(mt, &n);
}

/*
 * The largest sum there can be, with all new inner nodes crowded and the height as it is, less what
 * is required now: not what is pledged, since the first store releases what is pledged beyond the
 * need (credits.c). What stores release on the way is gone, too, and must be obtained again: one
 * node each time an inner node splits, two for each new level. (docs/credits.md: the cases a, b and
 * f, and a new top.)
 */
unsigned long smr_pledge_for_load(const struct maple_tree *mt, unsigned long leaves,
				  unsigned long inner)
{
	struct need now = need_now(mt), n = need_of(mt, mt_height(mt));

	if (!smr_has_credits(mt) || mt->ma_pledge.bound)
		return 0;
	n.leaves += leaves;
	n.crowding += inner * smr_crowding(SMR_NINNER_CAP);
	return required(mt, &n, reach_of(mt, &n)) - required(mt, &now, reach_of(mt, &now)) + inner +
	       2UL * MT_PATH_MAX;
}

unsigned long smr_pledge_for_strict(const struct maple_tree *mt, unsigned long nr)
{
	struct need n = need_now(mt);
	unsigned long before = required(mt, &n, reach_of(mt, &n));

	n.claims.strict += nr;
	return required(mt, &n, reach_of(mt, &n)) - before;
}

void smr_pledge_release_surplus(struct maple_tree *mt)
{
	unsigned long want = smr_pledge_required(mt);

	smr_assert(want <= mt->ma_pledge.pledged);
	/* A transaction may still be aborted, and then needs what the tree had. */
	if (mt->ma_txn || want >= mt->ma_pledge.pledged)
		return;
	smr_unpledge(smr_mem_of(mt), mt->ma_pledge.pledged - want);
	mt->ma_pledge.pledged = want;
}

void smr_pledge_emptied(struct maple_tree *mt, struct smr_nodes *dropped)
{
	struct smr_pledge_change change = { .before = mt->ma_pledge.pledged,
					    .after = smr_pledge_required(mt),
					    .flavor = mt->ma_rcu };

	mt->ma_nodes_retired += dropped->nr;
	if (mt_in_rcu(mt)) {
		change.retired = *dropped;
	} else {
		change.used = -(long)dropped->nr;
		change.back = *dropped;
	}
	smr_pledge_apply(smr_mem_of(mt), &change);
	mt->ma_pledge.pledged = change.after;
}
