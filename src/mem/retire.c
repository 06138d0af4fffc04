/* SPDX-License-Identifier: MIT */
/*
 * Retirement: how nodes that a writer has replaced become free again.
 *
 * Waiting for a grace period costs the same for one node as for thousands, and every callback queued costs an
 * atomic exchange on a word that all writers share, and often a futex call to wake the thread at the other
 * end. So nodes gather, for each arena and flavour by itself, in a `struct smr_limbo`, and at most one
 * batch of each is on its way through smr_rcu_call() at a time. While it waits for its grace period the next one
 * gathers. Batches thus form by themselves, and grow with the rate of stores: there is no size to tune, and
 * no node waits for a batch to fill up.
 *
 * One word, `gathered`, holds the whole state:
 *
 *	            retire: list becomes the batch, smr_rcu_call
 *	  IDLE ----------------------------------------------> EMPTY <---+
 *	   ^                                                     |  |    | callback: list becomes the
 *	   |   callback: batch is free, nothing gathered         |  |    | next batch, smr_rcu_call
 *	   +-----------------------------------------------------+  |    |
 *	                                                   retire:  v    |
 *	                                                   push   list --+
 *	                                                          ^  | retire: push
 *	                                                          +--+
 *
 *	IDLE   no batch is in flight
 *	EMPTY  a batch is in flight, nothing has gathered meanwhile
 *	list   a batch is in flight, and this gathered; linked through the nodes' last word
 *
 * Whoever moves the word from IDLE to EMPTY, or takes a list off it, owns the batch in flight: `batch` and
 * `rcu` are its alone, so no lock is needed. The owner is a retiring thread until smr_rcu_call(), and
 * the flavour's thread (base/grace.c) from then on.
 *
 * Why the nodes of a batch are safe to free: a node is retired after it was cut off the tree. It enters the
 * batch by that same thread, or is pushed (release) and grabbed (acquire) later: in any case before the
 * batch's smr_rcu_call(). A reader that can still be on the node began before it was cut off, hence before that
 * call, and so is waited for. That the nodes of a batch were retired at different times, and by
 * different threads, makes no difference: their grace period begins when the last of them is in.
 *
 * What a reader may still see: all of the node but its last word. Nobody reads that word but src/mem.
 *
 * Waiting. `done` counts batches whose nodes are free, `event` those whose callback has let go of the arena;
 * both are counted by the one owner of the batch, so `done` goes up in order. Who wants everything
 * back that is in limbo now, and finds the word not IDLE, has to wait for the batch in flight and for the one
 * that gathers. When it then reads `done` as d, the batch in flight is number d + 1, or, if its
 * callback is just moving on, d or d + 1; what has gathered is in number d + 2 at the latest. So it waits until
 * done is d + 2, or until the word is IDLE: two grace periods at most. `event` is the futex. It is
 * counted last, after the word has moved on, so a sleeper that reads it, looks, and goes to sleep on
 * what it read cannot miss a change.
 *
 * An arena may be freed when the word is IDLE and event = done: the callback touches nothing after event,
 * and smr_wake() passes an address without looking at it.
 *
 * Nothing here allocates or fails: giving memory back must never need memory. Only starting the flavour's
 * thread may, once, and where it does the nodes wait in limbo until it succeeds.
 *
 * Rejected: synchronize_rcu() in writers (a store would take milliseconds); epochs of our own (the user's
 * sections are liburcu's); liburcu's call_rcu (base/grace.h says why); a batch of fixed size (either too large for a quiet tree, whose last nodes would stay
 * in limbo for ever, or too small for a busy one).
 */
#include "mem/retire.h"

#include "base/order.h"
#include "base/park.h"
#include "lock/check.h"
#include "mem/mem_internal.h"
#include "mem/refill.h"
#include <limits.h>
#include <stdlib.h>
#include <time.h>

#define IDLE NULL
#define EMPTY ((void *)1)

static void batch_done(struct smr_rcu_head *rcu);

/* Sends @nodes, of which the caller is the owner now, through a grace period. */
static void launch(struct smr_limbo *limbo, enum mt_rcu_flavor flavor, void *nodes)
{
	limbo->batch = nodes;
	limbo->noted = smr_load(&limbo->notes->nr, RELAXED);
	smr_rcu_call(flavor, &limbo->rcu, batch_done);
}

/* Notes all of @list, as it hangs together behind those retired before. Its last node. */
static void *note(struct mt_mem *mem, enum mt_rcu_flavor flavor, const struct smr_nodes *list)
{
	void *node = list->head;

	for (unsigned long i = list->nr - 1;; i--) {
		smr_mem_note(mem, flavor, i, node);
		if (i == 0)
			return node;
		node = *smr_node_link(node);
	}
}

static void count_retired(struct mt_mem *mem, unsigned long nr)
{
	struct smr_mag *mag = smri_mag_mine(mem);

	if (mag)
		smri_mag_count(&mag->retired, nr);
	else
		smr_add(&mem->retired, nr, RELAXED);
}

void smr_mem_retire(struct mt_mem *mem, enum mt_rcu_flavor flavor, struct smr_nodes *list)
{
	if (list->head)
		smr_mem_retire_noted(mem, flavor, list, note(mem, flavor, list));
}

void smr_mem_retire_noted(struct mt_mem *mem, enum mt_rcu_flavor flavor, struct smr_nodes *list,
			  void *last)
{
	struct smr_limbo *limbo = &mem->limbo[flavor];
	void *seen = smr_load(&limbo->gathered, RELAXED);
	unsigned int noted = smr_load(&limbo->notes->nr, RELAXED);
	void *first = list->head;

	count_retired(mem, list->nr);
	smr_store(&limbo->notes->nr, noted + (unsigned int)list->nr, RELAXED);
	list->head = NULL;
	list->nr = 0;
	if (seen == IDLE || seen == EMPTY) /* once a batch */
		smr_grace_near(flavor);
	for (;;) {
		*smr_node_link(last) = seen == EMPTY ? NULL : seen;
		if (seen == IDLE) {
			/* ORDER retire: the former batch's owner is through with batch and rcu. PARTNER
			 * next_batch(). WITHOUT this one might be overwritten by that one's stores. */
			if (smr_cas(&limbo->gathered, &seen, EMPTY, ORDER(retire, acquire),
				    RELAXED)) {
				launch(limbo, flavor, first);
				return;
			}
			continue;
		}
		/* ORDER retire: the list's links are in place, and the nodes are off the tree, before it
		 * can be grabbed. PARTNER next_batch(). WITHOUT the grabber follows wild links. */
		if (smr_cas(&limbo->gathered, &seen, first, ORDER(retire, release), RELAXED))
			return;
	}
}

/* What has gathered, to be the next batch; or NULL, and none is in flight any more. */
static void *next_batch(struct smr_limbo *limbo)
{
	void *seen = EMPTY;

	/* ORDER retire: batch and rcu are the next owner's. PARTNER smr_mem_retire(), from IDLE. */
	if (smr_cas(&limbo->gathered, &seen, IDLE, ORDER(retire, release), RELAXED))
		return NULL;
	/* ORDER retire: acquires the list from smr_mem_retire(); releases done to wait_flavor(). */
	return smr_xchg(&limbo->gathered, EMPTY, ORDER(retire, acq_rel));
}

/* Gives the nodes of a batch back all at once. */
static void free_batch(const struct smr_limbo *limbo, void *nodes)
{
	struct mt_mem *mem = limbo->mem;
	struct smr_bundles rolled = smri_slab_roll(nodes, limbo->notes, limbo->noted);

	mt_lock_acquire(&mem->lock);
	smri_slab_adopt(mem, &rolled);
	mem->returned += rolled.nr;
	mem->lent = rolled.nr < mem->lent ? mem->lent - rolled.nr : 0;
	mem->batches++;
	mt_lock_release(&mem->lock);
}

/* CONTEXT: the flavour's thread, after the grace period of limbo->batch. TAKES arena. */
static void batch_done(struct smr_rcu_head *rcu)
{
	struct smr_limbo *limbo = container_of(rcu, struct smr_limbo, rcu);
	enum mt_rcu_flavor flavor = (enum mt_rcu_flavor)(limbo - limbo->mem->limbo);
	void *nodes = limbo->batch;

	free_batch(limbo, nodes);
	/* ORDER grace: see base/order.h. PARTNER wait_for(). */
	smr_add(&limbo->done, 1, ORDER(grace, release));
	nodes = next_batch(limbo);
	if (nodes)
		launch(limbo, flavor, nodes);
	else /* a busy writer would only have to map again what it gets back */
		smri_refill_settle(limbo->mem);
	/* ORDER grace: the last touch of the arena. PARTNER wait_for(). */
	smr_add(&limbo->event, 1, ORDER(grace, release));
	smr_wake(&limbo->event, INT_MAX);
}

bool smri_retire_init(struct mt_mem *mem)
{
	struct smr_notes *notes = calloc(SMR_RCU_FLAVORS, sizeof(*notes));

	for (unsigned int i = 0; notes && i < SMR_RCU_FLAVORS; i++) {
		mem->limbo[i].mem = mem;
		mem->limbo[i].notes = &notes[i];
	}
	return notes;
}

void smri_retire_exit(struct mt_mem *mem)
{
	free(mem->limbo[0].notes);
}

/* Is no batch in flight and no callback still at it? @event is what was read of limbo->event first. */
static bool is_idle(const struct smr_limbo *limbo, unsigned int event)
{
	return smr_load(&limbo->gathered, RELAXED) == IDLE &&
	       smr_load(&limbo->done, RELAXED) == event;
}

/* Makes sure that there is a thread to run the callbacks that the caller is going to wait for. */
static void insist_on_worker(enum mt_rcu_flavor flavor)
{
	const struct timespec pause = { 0, 1000 * 1000 };

	while (!smr_rcu_init(flavor))
		nanosleep(&pause, NULL);
}

/* Sleeps until @limbo is idle, or until its batch number @target is free if @batch_will_do. */
static void wait_for(struct smr_limbo *limbo, unsigned int target, bool batch_will_do)
{
	for (;;) {
		/* ORDER grace: what the callbacks did is over. PARTNER batch_done(). */
		unsigned int event = smr_load(&limbo->event, ORDER(grace, acquire));
		unsigned int done = smr_load(&limbo->done, ORDER(grace, acquire));

		if (is_idle(limbo, event) || (batch_will_do && (int)(done - target) >= 0))
			return;
		smr_park(&limbo->event, event);
	}
}

/* Waits for what is in limbo now. CONTEXT: not inside a section of @flavor. */
static void wait_flavor(struct smr_limbo *limbo, enum mt_rcu_flavor flavor)
{
	/* ORDER retire: done is not read before the word. PARTNER next_batch(). WITHOUT d might be too old. */
	void *seen = smr_load(&limbo->gathered, ORDER(retire, acquire));
	unsigned int done = smr_load(&limbo->done, RELAXED);
	bool online;

	if (seen == IDLE)
		return;
	insist_on_worker(flavor);
	online = smr_rcu_offline(flavor);
	wait_for(limbo, done + 2, true);
	if (online)
		smr_rcu_online(flavor);
}

unsigned int smr_mem_grace_now(struct mt_mem *mem, enum mt_rcu_flavor flavor)
{
	struct smr_limbo *limbo = &mem->limbo[flavor];

	/* ORDER retire: as in wait_flavor(): done is not read before the word. */
	(void)smr_load(&limbo->gathered, ORDER(retire, acquire));
	return smr_load(&limbo->done, RELAXED);
}

bool smr_mem_grace_over(struct mt_mem *mem, enum mt_rcu_flavor flavor, unsigned int since)
{
	struct smr_limbo *limbo = &mem->limbo[flavor];

	/* ORDER retire, grace: as in wait_flavor() and wait_for(). */
	if (smr_load(&limbo->gathered, ORDER(retire, acquire)) == IDLE)
		return true;
	return (int)(smr_load(&limbo->done, ORDER(grace, acquire)) - since) >= 2;
}

void smr_mem_grace_wait(struct mt_mem *mem, enum mt_rcu_flavor flavor)
{
	smr_check_grace(flavor);
	wait_flavor(&mem->limbo[flavor], flavor);
}

bool smri_retire_wait(struct mt_mem *mem)
{
	bool waited = false;
	unsigned int i;

	for (i = 0; i < SMR_RCU_FLAVORS; i++) {
		struct smr_limbo *limbo = &mem->limbo[i];
		enum mt_rcu_flavor flavor = (enum mt_rcu_flavor)i;

		if (smr_load(&limbo->gathered, RELAXED) == IDLE)
			continue;
		if (smr_rcu_read_ongoing(flavor) || !smr_rcu_init(flavor))
			continue;
		wait_flavor(limbo, flavor);
		waited = true;
	}
	return waited;
}

void smri_retire_wait_idle(struct mt_mem *mem)
{
	unsigned int i;

	for (i = 0; i < SMR_RCU_FLAVORS; i++) {
		enum mt_rcu_flavor flavor = (enum mt_rcu_flavor)i;
		bool online;

		if (smr_load(&mem->limbo[i].gathered, RELAXED) == IDLE &&
		    smr_load(&mem->limbo[i].done, RELAXED) == 0)
			continue;
		insist_on_worker(flavor);
		online = smr_rcu_offline(flavor);
		wait_for(&mem->limbo[i], 0, false);
		if (online)
			smr_rcu_online(flavor);
	}
}

void mt_mem_barrier(struct mt_mem *mem)
{
	unsigned int i;

	smr_check_wait("a grace period");
	for (i = 0; i < SMR_RCU_FLAVORS; i++)
		wait_flavor(&mem->limbo[i], (enum mt_rcu_flavor)i);
	smr_mem_reap(mem);
}
