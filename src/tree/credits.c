/* SPDX-License-Identifier: MIT */
/*
 * Holders of credits. They rely on a pledge of the arena, whose size pledge.c works out; here it is
 * obtained, drawn on and given back.
 *
 * A store on a credit takes its nodes out of the thread's magazine or, if that has too few, out of
 * the pledge. The pledge is then for one credit less. If it now has less than the remaining credits
 * need, the difference is *lent*: it is in the nodes that the store replaced, and comes back with
 * them after a grace period. A holder may have as many nodes lent as its working set has, and
 * mt_credits_begin() makes sure that the stores it announces stay within that: it makes good what
 * is lent out of the arena's spare nodes, or waits for the holder's own former nodes. So among the
 * pledged - lent nodes each holder always finds the working set it announced, whatever the others
 * do.
 */
#include "tree/credits.h"

#include "base/rcu.h"
#include "lock/check.h"
#include "lock/section.h"
#include "mem/pledge.h"
#include "mem/refill.h"
#include "mem/retire.h"
#include "tree/check.h"
#include "tree/plan.h"

#include <errno.h>
#include <samara/credits.h>

/*
 * A tree may use at most this many credits before the nodes that they no longer need are released.
 * They are released earlier if one of its stores has to lock the arena anyway.
 */
#define CREDITS_PER_RELEASE 8

void mt_credits_init(struct mt_credits *c, struct maple_tree *mt, enum mt_credits_mode mode)
{
	*c = (struct mt_credits){ .mt = mt, .mode = mode, .batch = MT_CREDITS_BATCH };
}

int mt_credits_set_batch(struct mt_credits *c, unsigned long nr)
{
	if (nr == 0)
		return -EINVAL;
	/* Credits that an open transaction has used come back if it is aborted. */
	if (c->left > 0 || c->used > 0)
		return -EBUSY;
	c->batch = nr;
	return 0;
}

/*
 * Returns what the holders on @mt, the tree of @c or a view of it, have if @c has @left credits: @c
 * has its working set as long as it has any credit.
 */
static struct smr_claims claims_with(const struct mt_credits *c, const struct maple_tree *mt,
				     unsigned long left)
{
	struct smr_claims claims = { mt->ma_pledge.recycling, mt->ma_pledge.strict,
				     mt->ma_pledge.working };

	if (c->mode == MT_CREDITS_STRICT) {
		claims.strict += left - c->left;
		return claims;
	}
	claims.recycling += left - c->left;
	claims.working += (left ? c->batch : 0) - (c->left ? c->batch : 0);
	return claims;
}

/*
 * @c->left is written under the tree's lock and read without it: by mt_credits_left(), and by a
 * worker in mt_credits_begin() while a submitter adds credits.
 */
static void put_left(struct mt_credits *c, unsigned long left)
{
	smr_store(&c->left, left, RELAXED);
}

static void set_left(struct mt_credits *c, struct maple_tree *mt, unsigned long left)
{
	struct smr_claims claims = claims_with(c, mt, left);

	mt->ma_pledge.recycling = claims.recycling;
	mt->ma_pledge.strict = claims.strict;
	mt->ma_pledge.working = claims.working;
	put_left(c, left);
}

/* ---- Reserving ---- */

/*
 * Adds @nr credits and returns 0 if @nodes, or else @nodes and spare nodes of the arena, suffice.
 * Otherwise returns how many nodes @nodes must have. Holders read their credits and reach without
 * the lock, so neither changes before the nodes are pledged. CONTEXT: HOLDS tree lock.
 */
static unsigned long try_reserve(struct mt_credits *c, unsigned long nr, struct smr_nodes *nodes)
{
	struct maple_tree *mt = c->mt;
	struct smr_claims claims = claims_with(c, mt, c->left + nr);
	unsigned long want = smr_pledge_required_for(mt, &claims), more;

	smr_assert(!mt->ma_pledge.bound || c->mode == MT_CREDITS_RECYCLING);
	more = want > mt->ma_pledge.pledged ? want - mt->ma_pledge.pledged : 0;
	if (more > nodes->nr && smr_pledge_grow(smr_mem_of(mt), more - nodes->nr)) {
		mt->ma_pledge.pledged += more - nodes->nr;
		more = nodes->nr;
	}
	if (more > nodes->nr)
		return more;
	smr_pledge_add(smr_mem_of(mt), nodes, more);
	mt->ma_pledge.pledged += more;
	set_left(c, mt, c->left + nr);
	smr_pledge_required(mt);
	return 0;
}

int mt_credits_reserve(struct mt_credits *c, unsigned long nr, gfp_t gfp)
{
	struct maple_tree *mt = c->mt;
	struct smr_nodes nodes = { NULL, 0 };
	unsigned long more;
	int err = 0;

	if (nr == 0 || (unsigned int)c->mode > MT_CREDITS_STRICT)
		return -EINVAL;
	/* Far beyond any memory, and small enough to be multiplied by what one credit takes. */
	if (nr > ULONG_MAX / MT_CHUNK_SIZE || mt_credits_left(c) > ULONG_MAX / MT_CHUNK_SIZE ||
	    (c->mode == MT_CREDITS_RECYCLING && c->batch > ULONG_MAX / MT_CHUNK_SIZE))
		return -EOVERFLOW;
	if (gfpflags_allow_blocking(gfp))
		smr_check_alloc("credits");
	/* A later wait for a grace period must not have to wait for memory for the thread. */
	if (mt_in_rcu(mt) && gfpflags_allow_blocking(gfp) && !smr_grace_start(mt->ma_rcu))
		return -ENOMEM;
	do {
		smr_lock_tree(mt);
		err = smr_txn_is_open(mt) ? -EBUSY : 0;
		more = err ? 0 : try_reserve(c, nr, &nodes);
		smr_unlock_tree(mt);
		if (more)
			err = smr_mem_obtain(smr_mem_of(mt), &nodes, more - nodes.nr, gfp);
	} while (more && !err);
	smr_mem_give_list(smr_mem_of(mt), &nodes);
	return err;
}

/*
 * Lowers the number of announced stores to that of the credits left. Another thread may be
 * announcing stores on these right now: they stay announced.
 */
static void forget_begun(struct mt_credits *c)
{
	unsigned long begun = smr_load(&c->begun, RELAXED);

	while (begun > c->left && !smr_cas(&c->begun, &begun, c->left, RELAXED, RELAXED))
		;
}

/*
 * Gives back @nr credits, or all if there are fewer; none if the caller has a transaction open.
 */
static void give_back(struct mt_credits *c, unsigned long nr)
{
	struct maple_tree *mt = c->mt;

	smr_lock_tree(mt);
	smr_assert(!smr_txn_is_open(mt));
	if (!smr_txn_is_open(mt)) {
		set_left(c, mt, c->left - (nr < c->left ? nr : c->left));
		forget_begun(c);
		smr_pledge_release_surplus(mt);
	}
	smr_unlock_tree(mt);
}

void mt_credits_return(struct mt_credits *c, unsigned long nr)
{
	if (nr == 0)
		return;
	smr_assert(nr <= mt_credits_left(c));
	give_back(c, nr);
}

void mt_credits_release(struct mt_credits *c)
{
	smr_assert(c->used == 0);
	if (mt_credits_left(c) > 0)
		give_back(c, ULONG_MAX);
}

unsigned long mt_credits_left(const struct mt_credits *c)
{
	return smr_load(&c->left, RELAXED);
}

/*
 * For a recycling holder: the working set, and its part of what the tree's recycling credits share.
 */
size_t mt_credits_bytes(const struct mt_credits *c)
{
	struct maple_tree *mt = c->mt;
	unsigned long reach, per_store, shared, nodes = 0;

	smr_lock_tree(mt);
	reach = mt->ma_pledge.reach;
	per_store = smr_store_nodes(reach);
	shared = mt->ma_pledge.pledged - smr_working_nodes(mt, mt->ma_pledge.working, reach) -
		 mt->ma_pledge.strict * per_store;
	if (c->left > 0 && c->mode == MT_CREDITS_STRICT)
		nodes = c->left * per_store;
	else if (c->left > 0)
		nodes = smr_working_nodes(mt, c->batch, reach) +
			(unsigned long)((double)shared * (double)c->left /
					(double)mt->ma_pledge.recycling);
	smr_unlock_tree(mt);
	return nodes * MT_NODE_SIZE;
}

/* ---- Storing ---- */

static unsigned long lent_of(const struct mt_credits *c)
{
	return c->limbo[0] + c->limbo[1];
}

/* Forgets lent nodes whose grace period is over. */
static void forget_returned(struct mt_credits *c, struct mt_mem *mem, enum mt_rcu_flavor flavor)
{
	for (unsigned int i = 0; i < 2; i++)
		if (c->limbo[i] && smr_mem_grace_over(mem, flavor, c->grace[i]))
			c->limbo[i] = 0;
}

/* Makes good what @c has lent, the oldest first, as far as the arena has spare nodes. */
static void repay(struct mt_credits *c, struct mt_mem *mem)
{
	unsigned long nr = smr_pledge_repay(mem, lent_of(c));

	for (unsigned int i = 0; i < 2; i++) {
		unsigned long part = nr < c->limbo[i] ? nr : c->limbo[i];

		c->limbo[i] -= part;
		nr -= part;
	}
}

/*
 * Gets back enough of what @c has lent for @nr stores to find their working set. Returns true if it
 * has waited.
 */
static bool recover_lent(struct mt_credits *c, unsigned long nr)
{
	struct maple_tree *mt = c->mt;
	struct mt_mem *mem = smr_mem_of(mt);
	enum mt_rcu_flavor flavor = mt->ma_rcu;
	unsigned long reach = smr_load(&mt->ma_pledge.reach, RELAXED);
	unsigned long lendable = smr_working_nodes(mt, c->batch, reach) -
				 smr_working_nodes(mt, nr, reach);

	if (lent_of(c) <= lendable)
		return false;
	forget_returned(c, mem, flavor);
	if (lent_of(c) <= lendable)
		return false;
	repay(c, mem);
	if (lent_of(c) <= lendable)
		return false;
	smr_mem_grace_wait(mem, flavor);
	c->limbo[0] = c->limbo[1] = 0;
	return true;
}

bool smr_credits_begin(struct mt_credits *c, unsigned long nr)
{
	const struct maple_tree *mt = c->mt;
	enum mt_rcu_flavor flavor = mt->ma_rcu;
	unsigned long left = smr_load(&c->left, RELAXED);

	smr_assert(nr <= left && (c->mode == MT_CREDITS_STRICT || nr <= c->batch));
	nr = nr < left ? nr : left;
	if (c->mode == MT_CREDITS_RECYCLING && nr > c->batch)
		nr = c->batch;
	/* Another thread may be returning other credits of the holder: forget_begun(). */
	smr_store(&c->begun, nr, RELAXED);
	if (mt_in_rcu(mt) && !smr_in_section()) {
		(void)smr_grace_start(flavor); /* since stores on credits start no thread */
		smr_mem_look(smr_mem_of(mt));
	}
	if (c->mode == MT_CREDITS_STRICT)
		return false;
	if (mt_in_rcu(mt))
		smr_check_grace(flavor);
	return lent_of(c) > 0 && recover_lent(c, nr);
}

void mt_credits_begin(struct mt_credits *c, unsigned long nr)
{
	smr_credits_begin(c, nr);
}

/* Notes that @c has @lent more nodes lent: among the newer ones, after those waiting for longer. */
static void note_lent(struct mt_credits *c, struct maple_tree *mt, unsigned long lent)
{
	struct mt_mem *mem = smr_mem_of(mt);
	enum mt_rcu_flavor flavor = mt->ma_rcu;

	if (lent == 0)
		return;
	if (c->limbo[0] == 0) {
		c->limbo[0] = c->limbo[1];
		c->grace[0] = c->grace[1];
		c->limbo[1] = 0;
	}
	c->limbo[1] += lent;
	c->grace[1] = smr_mem_grace_now(mem, flavor);
}

/*
 * Returns how many nodes must be pledged after a store that used @used of @pledged nodes, or gave
 * back as many if negative. A transaction releases nothing but what it has used: it may be aborted,
 * and then owes all of it again.
 */
static unsigned long pledged_after(struct maple_tree *mt, unsigned long pledged, long used)
{
	unsigned long required = smr_pledge_required(mt);
	unsigned long rest = (unsigned long)((long)pledged - used);

	return mt->ma_txn && required < rest ? rest : required;
}

/*
 * Moves the nodes that the cursor's store has replaced to @list, and leaves it the @owned nodes
 * that it had before.
 */
static void take_replaced(struct ma_state *mas, unsigned long owned, struct smr_nodes *list)
{
	struct smr_nodes own = smr_own_nodes(mas);

	if (owned == 0)
		smr_nodes_move(list, &own);
	while (own.nr > owned)
		smr_nodes_push(list, smr_nodes_pop(&own));
	smr_set_own_nodes(mas, &own);
}

/* Commits @w, and fills in @change, except for the pledge's size afterwards. */
static void commit(struct smr_write *w, struct smr_pledge_change *change)
{
	struct maple_tree *mt = w->mt;
	struct mt_mem *mem = smr_mem_of(mt);
	struct ma_state *mas = w->mas;
	struct smr_nodes own = smr_own_nodes(mas);
	unsigned long owned = mas->alloc_nr, borrowed;

	if (w->nodes > 0)
		change->used = (long)smr_pledge_take(mem, &own, w->nodes);
	borrowed = w->nodes - (unsigned long)change->used;
	smr_set_own_nodes(mas, &own);
	mas->mas_flags |= SMR_MAS_CREDIT;
	smr_commit(w);
	mas->mas_flags &= (unsigned char)~SMR_MAS_CREDIT;
	if (mt_in_rcu(mt)) {
		take_replaced(mas, owned, &change->retired);
		return;
	}
	/* First the magazine gets back what came from it. */
	for (; mas->alloc_nr > owned && borrowed > 0; borrowed--)
		smr_mem_give(mem, smr_pop_own_node(mas));
	take_replaced(mas, owned, &change->back);
	change->used -= (long)change->back.nr;
}

static struct smr_pledge_change begin_change(const struct maple_tree *mt)
{
	return (struct smr_pledge_change){ .before = mt->ma_pledge.pledged, .flavor = mt->ma_rcu };
}

/*
 * Takes one credit from the holder, after a store on it. Returns true if what that leaves over may
 * stay pledged until another store: after most stores it may, so they do without the arena's lock.
 */
static bool use_credit(struct mt_credits *c, struct maple_tree *mt)
{
	set_left(c, mt, c->left - 1);
	c->begun--;
	return c->left > 0 &&
	       (mt->ma_pledge.recycling + mt->ma_pledge.strict) % CREDITS_PER_RELEASE > 0;
}

/*
 * Applies @change, which a store has made, to the pledge. If @may_wait is true and the pledge gave
 * and got nothing and need not rise, it stays as it is until a later store. Returns how many nodes
 * of the working set the store took.
 */
static unsigned long apply_change(struct maple_tree *mt, struct smr_pledge_change *change,
				  bool may_wait)
{
	change->after = pledged_after(mt, change->before, change->used);
	if (may_wait && change->used == 0 && change->back.nr == 0 &&
	    change->after <= change->before) {
		if (change->retired.nr > 0)
			smr_mem_retire(smr_mem_of(mt), change->flavor, &change->retired);
		return 0;
	}
	mt->ma_pledge.pledged = change->after;
	return smr_pledge_apply(smr_mem_of(mt), change);
}

/*
 * Makes a store on a credit in the holder's tree or a view of it. Returns how many nodes of the
 * working set it took.
 */
static unsigned long store(struct mt_credits *c, struct ma_state *mas, void *entry,
			   struct smr_edges edges)
{
	struct maple_tree *mt = mas->tree;
	struct smr_pledge_change change = begin_change(mt);
	struct smr_write w;

	smr_plan_edges(&w, mas, entry, edges);
	commit(&w, &change);
	return apply_change(mt, &change, use_credit(c, mt));
}

/*
 * As store(), for a store that is an edit and so needs no cursor (edit.h). An edit changes how many
 * nodes must be pledged only by using a credit. Returns -EAGAIN if the store may be more than an
 * edit.
 */
static long store_edit(struct mt_credits *c, const struct smr_path *path, unsigned long first,
		       unsigned long last, void *entry)
{
	struct maple_tree *mt = c->mt;
	struct smr_pledge_change change;
	int used = smr_edit_paid(mt, path, first, last, entry);

	if (smr_unlikely(used < 0))
		return used;
	if (smr_likely(use_credit(c, mt) && used == 0))
		return 0;
	change = begin_change(mt);
	change.used = used;
	if (used > 0)
		smr_nodes_push(&change.retired, smr_node_of(path->node[path->depth]));
	return (long)apply_change(mt, &change, false);
}

static bool may_store(const struct mt_credits *c)
{
	smr_assert(c->begun > 0 && c->left > 0);
	return c->begun > 0 && c->left > 0;
}

int smr_store_credit(struct ma_state *mas, void *entry, struct smr_edges edges,
		     struct mt_credits *c)
{
	if (mas->status == ma_error)
		return xa_err(mas->node);
	if (mas->index > mas->last)
		return -EINVAL;
	smr_assert(mas->tree == c->mt);
	if (!may_store(c))
		return -ENOSPC;
	note_lent(c, mas->tree, store(c, mas, entry, edges));
	return 0;
}

int mas_store_credit(struct ma_state *mas, void *entry, struct mt_credits *c)
{
	return smr_store_credit(mas, entry, SMR_NO_EDGES, c);
}

/* As store(), with a cursor of its own that begins where @path leads, unless that is NULL. */
static smr_noinline unsigned long store_any(struct mt_credits *c, const struct smr_path *path,
					    unsigned long first, unsigned long last, void *entry)
{
	MA_STATE(mas, c->mt, first, last);

	if (path)
		smr_cursor_follow(&mas, path);
	return store(c, &mas, entry, SMR_NO_EDGES);
}

/* As store(), for a store outside of transactions, edit or not. CONTEXT: HOLDS tree lock. */
static unsigned long store_range(struct mt_credits *c, unsigned long first, unsigned long last,
				 void *entry)
{
	struct smr_path path;
	bool found = smr_edit_find(c->mt, first, &path);
	long lent = found ? store_edit(c, &path, first, last, entry) : -EAGAIN;

	if (smr_unlikely(lent < 0))
		return store_any(c, found ? &path : NULL, first, last, entry);
	return (unsigned long)lent;
}

int mtree_store_range_credit(struct mt_credits *c, unsigned long first, unsigned long last,
			     void *entry)
{
	bool may;

	if (first > last || xa_is_advanced(entry))
		return -EINVAL;
	if (mt_credits_left(c) == 0) {
		smr_assert(!"a holder without credits");
		return -ENOSPC;
	}
	mt_credits_begin(c, 1);
	smr_lock_internal(c->mt);
	may = may_store(c);
	if (may)
		note_lent(c, c->mt, store_range(c, first, last, entry));
	mtree_unlock(c->mt);
	return may ? 0 : -ENOSPC;
}

/* ---- Within transactions ---- */

int smr_txn_store_credit(struct mt_txn *txn, unsigned long first, unsigned long last, void *entry,
			 struct smr_edges edges, struct mt_credits *c)
{
	if (first > last || xa_is_advanced(entry))
		return -EINVAL;
	smr_assert(txn->mt == c->mt);
	if (!may_store(c))
		return -ENOSPC;
	smr_check_write(txn->mt);
	if (c->used == 0) {
		c->next = txn->holders;
		txn->holders = c;
		txn->mas.mas_flags |= SMR_MAS_BULK; /* txn.c says why */
	}
	txn->mas.index = first;
	txn->mas.last = last;
	c->lent += store(c, &txn->mas, entry, edges);
	c->used++;
	txn->stores++;
	return 0;
}

int mt_txn_store_credit(struct mt_txn *txn, unsigned long first, unsigned long last, void *entry,
			struct mt_credits *c)
{
	return smr_txn_store_credit(txn, first, last, entry, SMR_NO_EDGES, c);
}

void smr_credits_commit(struct mt_txn *txn, struct smr_nodes *list)
{
	unsigned long back = 0;
	struct mt_credits *next;

	for (struct mt_credits *c = txn->holders; c; c = next) {
		next = c->next;
		if (mt_in_rcu(txn->mt))
			note_lent(c, txn->mt, c->lent);
		else
			back += c->lent;
		c->used = c->lent = 0;
	}
	if (list->nr > 0 || back > 0)
		smr_pledge_restore(smr_mem_of(txn->mt), list, 0, 0, back);
}

void smr_credits_abort(struct mt_txn *txn, struct smr_nodes *list)
{
	unsigned long lent = 0;
	struct mt_credits *next;

	for (struct mt_credits *c = txn->holders; c; c = next) {
		next = c->next;
		put_left(c, c->left + c->used);
		c->begun += c->used;
		lent += c->lent;
		c->used = c->lent = 0;
	}
	smr_pledge_restore(smr_mem_of(txn->mt), list, txn->mt->ma_pledge.pledged,
			   txn->view.ma_pledge.pledged, lent);
}
