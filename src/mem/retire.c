/* SPDX-License-Identifier: MIT */
/*
 * Retirement: how nodes that a writer has replaced become free again.
 *
 * Waiting for a grace period costs the same for one node as for thousands. So retired nodes gather
 * in limbo: one queue for each arena and flavour, the oldest in front, linked through the nodes'
 * last words. Once a grace period is known to be over, all nodes that were in the queue when it
 * began are free, which is a number of nodes at its front:
 *
 *	   freed              batch.nr                        retired
 *	     |  oldest ... last  |  ...      ...      newest     |
 *	     +-------------------+-------------------------------+
 *	       free after the      retired since
 *	       callback            its call
 *
 * There are two ways to learn that a grace period is over.
 *
 *	Looking   A writer that takes free nodes and may block, or that announces stores on
 *	          credits, checks now and then whether it is quiet: whether no reader is in a
 *	          section that began before the check (base/quiet.h). If so, all nodes retired
 *	          before the look are free. Looks cost a hundredth of what the stores cost, and the
 *	          nodes are reused while they are still in the writer's caches.
 *	Calling   While the queue is not empty and no writer looks, a callback for what was in it at
 *	          the call is on its way through a grace period (base/grace.h). In a child of fork()
 *	          it does not set out until a thread that may block takes nodes, announces stores on
 *	          credits or waits. The callback brings nodes back where no writer looks: after the
 *	          last store, under other flavours, where nothing may block, and where readers do
 *	          not rest. Where looking works, the callback is patient.
 *
 * The stride from one look to the next is from SMR_STRIDE_MIN to STRIDE_MAX retired nodes. It
 * doubles after a look that took more than a 32nd of the time since the last one, and after each
 * look in vain from the second in a row on; otherwise it halves if the look took less than a 128th.
 * A look takes 0.3 us, or some us where it interrupts running threads; 20 us where a reader does
 * not rest. After two looks in vain, or when one is overdue by more than STRIDE_MAX nodes, since
 * nobody looks any more, the callback is in a hurry.
 *
 * Only one thread frees at a time (`busy`). A callback that finds a writer doing so is left for
 * that writer to call again when it has done. Called again at once, it would come again and again
 * meanwhile: for ever if the flavour's thread has the writer's CPU and a higher priority. So nodes
 * come back in the order in which they were retired, and to wait for them is to wait until `freed`
 * reaches what `retired` was. The arena's lock guards all of this; what takes long is done without
 * it.
 *
 * Why the nodes are safe to free: a node is retired after it was unlinked from the tree, and is in
 * the queue before the look or the call. A reader that can still be on it entered its section
 * before the node was unlinked, hence before the look or the call, and so is waited for. That the
 * nodes of a batch were retired at different times, and by different threads, makes no difference:
 * their grace period begins when the last of them is in the queue.
 *
 * A reader may still look at all of a retired node but its last word, which only src/mem reads.
 *
 * An arena may be freed once its limbo is idle: empty, no thread busy, and no callback on its way.
 * The thread that makes it idle releases the arena's lock first, then wakes the waiters by an
 * address that it does not dereference.
 *
 * Nothing here allocates or fails: giving memory back must never need memory. The flavour's thread
 * is started by callers that may block; until one has, nodes stay in limbo unless a look finds it
 * quiet.
 *
 * Rejected: synchronize_rcu() in writers (a store would take milliseconds); the callback alone (a
 * fifth of a writer's time where the flavour's thread shares its CPU, see docs/performance.md);
 * epochs of our own (the user's sections are liburcu's); liburcu's call_rcu (base/grace.h says
 * why); a queue for each thread (nobody could give back what a thread leaves in its queue when it
 * turns to other things).
 */
#include "mem/retire.h"

#include "base/hooks.h"
#include "base/park.h"
#include "base/thread.h"
#include "lock/check.h"
#include "lock/tid.h"
#include "mem/heap.h"
#include "mem/mem_internal.h"
#include "mem/refill.h"
#include <limits.h>
#include <time.h>

/* Nodes from one look to the next, at most. */
#define STRIDE_MAX 4096

static enum mt_rcu_flavor flavor_of(const struct smr_limbo *limbo)
{
	return (enum mt_rcu_flavor)(limbo - limbo->mem->limbo);
}

/* ---- The queue. CONTEXT: HOLDS the arena's lock. ---- */

static void append(struct smr_limbo *limbo, struct smr_nodes *list, void *last)
{
	if (limbo->newest)
		*smr_node_link(limbo->newest) = list->head;
	else
		limbo->oldest = list->head;
	limbo->newest = last;
	smr_store(&limbo->retired, limbo->retired + list->nr, RELAXED);
	list->head = NULL;
	list->nr = 0;
}

static struct smr_limbo_part all_of(const struct smr_limbo *limbo)
{
	return (struct smr_limbo_part){ limbo->newest, limbo->retired };
}

/* Removes @part, or what is left of it, from the front of the queue. */
static struct smr_nodes dequeue(struct smr_limbo *limbo, struct smr_limbo_part part)
{
	struct smr_nodes nodes = { NULL, 0 };

	if ((long)(part.nr - limbo->freed) <= 0)
		return nodes;
	nodes.head = limbo->oldest;
	nodes.nr = part.nr - limbo->freed;
	if (part.last == limbo->newest)
		limbo->oldest = limbo->newest = NULL;
	else
		limbo->oldest = *smr_node_link(part.last);
	return nodes;
}

/* ---- Freeing ---- */

/*
 * Makes the caller the one that frees, unless another thread is: then returns false. CONTEXT: HOLDS
 * the arena's lock.
 */
static bool become_busy(struct smr_limbo *limbo)
{
	bool can = !limbo->busy;

	limbo->busy = true;
	return can;
}

/*
 * Makes all nodes in hand free, in one step. If fork() comes in between, the child starts over with
 * them: bundling leaves the links alone. CONTEXT: busy. TAKES arena.
 */
static void free_hand(struct smr_limbo *limbo)
{
	struct mt_mem *mem = limbo->mem;
	struct smr_bundles bundles = smri_slab_bundle(&limbo->hand, limbo->notes,
						      limbo->freed - limbo->noted_from);

	mt_lock_acquire(&mem->lock);
	smri_slab_push_bundles(mem, &bundles);
	limbo->freed += bundles.nr;
	if (limbo->freed == limbo->retired)
		smr_store(&limbo->noted_from, limbo->retired, RELAXED);
	limbo->hand = (struct smr_nodes){ NULL, 0 };
	mem->lent = bundles.nr < mem->lent ? mem->lent - bundles.nr : 0;
	mem->batches++;
	mt_lock_release(&mem->lock);
}

/* Makes the nodes of @part free. CONTEXT: busy. TAKES arena. */
static void free_part(struct smr_limbo *limbo, struct smr_limbo_part part)
{
	mt_lock_acquire(&limbo->mem->lock);
	limbo->hand = dequeue(limbo, part);
	mt_lock_release(&limbo->mem->lock);
	if (limbo->hand.nr == 0)
		return;
	smr_hook_at(SMR_HOOK_IN_HAND);
	free_hand(limbo);
}

/* ---- Calling ---- */

/* Whether looks succeed, so that the callback may be patient. CONTEXT: HOLDS the arena's lock. */
static bool relies_on_looks(const struct smr_limbo *limbo)
{
	return limbo->failed_looks < SMR_FAILED_LOOKS;
}

/*
 * Marks a callback as on its way, unless one is. Returns true if it was not: the caller must then
 * use queue_callback() once it has released the lock. CONTEXT: HOLDS the arena's lock.
 */
static bool mark_called(struct smr_limbo *limbo)
{
	if (limbo->called)
		return false;
	limbo->called = true;
	limbo->batch = all_of(limbo);
	return true;
}

/* The same if a callback is needed, and nobody is busy who will mark one. */
static bool mark_if_needed(struct smr_limbo *limbo)
{
	return !limbo->called && !limbo->busy && limbo->newest && mark_called(limbo);
}

static void batch_done(struct smr_rcu_head *rcu);

/* CONTEXT: `called` has just been set. */
static void queue_callback(struct smr_limbo *limbo, bool patient)
{
	smr_hook_at(SMR_HOOK_CALLS);
	smr_rcu_call_nodes(flavor_of(limbo), &limbo->rcu, batch_done, patient);
}

/* If limbo is empty, gives back chunks that were kept for an active writer. CONTEXT: busy. */
static void release_if_idle(struct smr_limbo *limbo)
{
	bool idle;

	mt_lock_acquire(&limbo->mem->lock);
	idle = !limbo->newest;
	mt_lock_release(&limbo->mem->lock);
	if (idle) /* an active writer would only have to map them again */
		smri_refill_release_surplus(limbo->mem);
}

smr_inline void request_grace(struct smr_limbo *limbo, struct smri_grace_request r)
{
	if (r.calls || r.hurry)
		smr_grace_near(flavor_of(limbo), smr_lock_tid());
	if (r.calls)
		queue_callback(limbo, r.patient);
	else if (r.hurry)
		smr_grace_hurry(flavor_of(limbo));
}

/*
 * Lets other threads free, and wakes sleepers. Marks a callback if r.calls is true. Returns what is
 * left to be asked for. CONTEXT: HOLDS the arena's lock, which it releases; busy, which it ends.
 */
static struct smri_grace_request end_busy(struct smr_limbo *limbo, struct smri_grace_request r)
{
	bool wake = limbo->sleepers > 0;

	limbo->busy = false;
	r.calls = r.calls && mark_called(limbo);
	r.patient = relies_on_looks(limbo) && !wake;
	smr_store(&limbo->event, limbo->event + 1, RELAXED);
	mt_lock_release(&limbo->mem->lock);
	if (wake)
		smr_wake(&limbo->event, INT_MAX);
	return r;
}

/* CONTEXT: the flavour's thread, after the grace period of limbo->batch. TAKES arena. */
static void batch_done(struct smr_rcu_head *rcu)
{
	struct smr_limbo *limbo = container_of(rcu, struct smr_limbo, rcu);
	struct mt_mem *mem = limbo->mem;
	struct smri_grace_request r = { false, false, false };
	bool mine;

	mt_lock_acquire(&mem->lock);
	mine = become_busy(limbo);
	limbo->called = mine;
	mt_lock_release(&mem->lock);
	if (!mine) /* from here on the arena may be gone */
		return;
	free_part(limbo, limbo->batch);
	release_if_idle(limbo);
	mt_lock_acquire(&mem->lock);
	limbo->called = false;
	r.calls = limbo->newest;
	r = end_busy(limbo, r);
	if (r.calls) /* by the thread itself, which therefore stays where it is */
		queue_callback(limbo, r.patient);
}

/* ---- Looking ---- */

/* Returns how many nodes have been retired since a look was due, or 0 if none is due yet. */
static unsigned long overdue(const struct smr_limbo *limbo)
{
	long nr = (long)(smr_load(&limbo->retired, RELAXED) - smr_load(&limbo->look_due, RELAXED));

	return nr > 0 ? (unsigned long)nr : 0;
}

/*
 * Works out when to look next, after a look from @begin to @end. The time to free the nodes does
 * not count: it is the same for each node, however many are freed at once, and to count it would
 * only let limbo grow until no cache held it. CONTEXT: HOLDS the arena's lock; busy.
 */
static void adapt_stride(struct smr_limbo *limbo, uint64_t begin, uint64_t end)
{
	uint64_t took = end - begin, since = begin - limbo->last_look;

	if (limbo->failed_looks >= SMR_FAILED_LOOKS || took > since / 32)
		limbo->stride *= 2;
	else if (took < since / 128)
		limbo->stride /= 2;
	if (limbo->stride < SMR_STRIDE_MIN)
		limbo->stride = SMR_STRIDE_MIN;
	if (limbo->stride > STRIDE_MAX)
		limbo->stride = STRIDE_MAX;
	smr_store(&limbo->look_due, limbo->retired + limbo->stride, RELAXED);
	limbo->last_look = end;
}

/* Frees @part if it is quiet. CONTEXT: busy, which it ends. TAKES arena. */
static void look(struct smr_limbo *limbo, struct smr_limbo_part part)
{
	uint64_t begin = smr_now(), end;
	/* A callback even if limbo will be empty: it gives back chunks. */
	struct smri_grace_request r = { .calls = true };
	bool quiet;

	smr_hook_at(SMR_HOOK_LOOKS);
	quiet = smr_rcu_quiet(flavor_of(limbo));
	end = smr_now();
	if (quiet)
		free_part(limbo, part);
	mt_lock_acquire(&limbo->mem->lock);
	limbo->failed_looks = quiet ? 0 : limbo->failed_looks + 1;
	r.hurry = limbo->failed_looks == SMR_FAILED_LOOKS;
	adapt_stride(limbo, begin, end);
	request_grace(limbo, end_busy(limbo, r));
}

/* Looks now, unless limbo is empty or another thread is busy. CONTEXT: TAKES arena. */
static void try_look(struct smr_limbo *limbo)
{
	struct mt_mem *mem = limbo->mem;
	struct smr_limbo_part part;
	bool looks;

	mt_lock_acquire(&mem->lock);
	looks = limbo->newest && become_busy(limbo);
	part = all_of(limbo);
	mt_lock_release(&mem->lock);
	if (looks)
		look(limbo, part);
}

void smr_mem_look(struct mt_mem *mem)
{
	struct smr_limbo *limbo = &mem->limbo[MT_RCU_BP];

	if (smr_unlikely(overdue(limbo)))
		try_look(limbo);
}

/* ---- Retiring ---- */

void *smri_retire_note(struct mt_mem *mem, enum mt_rcu_flavor flavor, const struct smr_nodes *list)
{
	void *node = list->head;

	for (unsigned long i = 0;; i++) {
		smr_mem_note(mem, flavor, i, node);
		if (i + 1 == list->nr)
			return node;
		node = *smr_node_link(node);
	}
}

void smr_mem_retire(struct mt_mem *mem, enum mt_rcu_flavor flavor, struct smr_nodes *list)
{
	if (list->head)
		smr_mem_retire_noted(mem, flavor, list, smri_retire_note(mem, flavor, list));
}

void smr_mem_retire_one(struct mt_mem *mem, enum mt_rcu_flavor flavor, void *node)
{
	struct smr_nodes one = { node, 1 };

	smr_mem_note(mem, flavor, 0, node);
	smr_mem_retire_noted(mem, flavor, &one, node);
}

smr_inline struct smri_grace_request enqueue(struct smr_limbo *limbo, struct smr_nodes *list,
					     void *last)
{
	struct smri_grace_request r;

	append(limbo, list, last);
	/* If a look is so long overdue, nobody looks any more. */
	r.hurry = relies_on_looks(limbo) && overdue(limbo) > STRIDE_MAX;
	if (r.hurry)
		limbo->failed_looks = SMR_FAILED_LOOKS;
	r.patient = relies_on_looks(limbo);
	r.calls = mark_if_needed(limbo);
	return r;
}

struct smri_grace_request smri_retire_enqueue(struct smr_limbo *limbo, struct smr_nodes *list,
					      void *last)
{
	return enqueue(limbo, list, last);
}

void smri_retire_request_grace(struct smr_limbo *limbo, struct smri_grace_request r)
{
	request_grace(limbo, r);
	smr_hook_at(SMR_HOOK_GIVEN);
}

void smr_mem_retire_noted(struct mt_mem *mem, enum mt_rcu_flavor flavor, struct smr_nodes *list,
			  void *last)
{
	struct smr_limbo *limbo = &mem->limbo[flavor];
	struct smri_grace_request r;

	mt_lock_acquire(&mem->lock);
	r = enqueue(limbo, list, last);
	mt_lock_release(&mem->lock);
	request_grace(limbo, r);
	smr_hook_at(SMR_HOOK_GIVEN);
}

bool smri_retire_init(struct mt_mem *mem)
{
	struct smr_notes *notes = smr_heap_alloc(SMR_RCU_FLAVORS * sizeof(*notes));

	for (unsigned int i = 0; notes && i < SMR_RCU_FLAVORS; i++)
		mem->limbo[i] = (struct smr_limbo)SMR_LIMBO(mem, &notes[i]);
	return notes;
}

void smri_retire_exit(struct mt_mem *mem)
{
	smr_heap_free(mem->limbo[0].notes);
}

/*
 * The thread that was busy and those that slept do not exist in the child; the nodes in hand have
 * had their grace period. Callbacks do not come: one that was marked as on its way may be in no
 * queue. Another one is called for what is in limbo when nodes are retired, waited for or obtained.
 * Obtaining and waiting start the thread, but the fork does not: a child that just goes on to
 * exec() needs none.
 */
void smri_retire_after_fork(struct mt_mem *mem)
{
	for (unsigned int i = 0; i < SMR_RCU_FLAVORS; i++) {
		struct smr_limbo *limbo = &mem->limbo[i];

		if (limbo->hand.nr > 0)
			free_hand(limbo);
		limbo->busy = false;
		limbo->called = false;
		limbo->sleepers = 0;
	}
}

/*
 * Starts the flavour's thread if any node has ever been in limbo. Returns true if it runs, false
 * also if it is not needed. CONTEXT: no lock held. ALLOC yes.
 */
static bool ensure_thread(const struct smr_limbo *limbo)
{
	return smr_load(&limbo->retired, RELAXED) != 0 && smr_grace_start(flavor_of(limbo));
}

void smri_retire_resume(struct mt_mem *mem)
{
	for (unsigned int i = 0; i < SMR_RCU_FLAVORS; i++) {
		struct smr_limbo *limbo = &mem->limbo[i];
		bool calls;

		if (!ensure_thread(limbo))
			continue;
		mt_lock_acquire(&mem->lock);
		calls = mark_if_needed(limbo);
		mt_lock_release(&mem->lock);
		if (calls)
			queue_callback(limbo, false);
	}
}

/* ---- Waiting ---- */

/* CONTEXT, of these two: HOLDS the arena's lock. */
static bool is_idle(const struct smr_limbo *limbo)
{
	return !limbo->newest && !limbo->called && !limbo->busy;
}

static bool is_freed(const struct smr_limbo *limbo, unsigned long nr)
{
	return (long)(limbo->freed - nr) >= 0;
}

/* Whether the first @nr nodes ever retired are free and, if @idle is true, limbo is idle. */
static bool is_over(const struct smr_limbo *limbo, unsigned long nr, bool idle)
{
	return is_freed(limbo, nr) && (!idle || is_idle(limbo));
}

/*
 * Makes sure that there is a thread to run the callbacks that the caller is going to wait for. As
 * long as none can be started, looks until there is nothing to wait for. CONTEXT: TAKES arena.
 */
static void await_thread(struct smr_limbo *limbo, unsigned long nr, bool idle)
{
	const struct timespec pause = { 0, 1000 * 1000 };
	int cancel = smr_cancel_off();
	bool over = false;

	while (!over && !ensure_thread(limbo)) {
		/*
		 * Only a thread with a record may look now (base/quiet.h). This one has to wait in
		 * any case, and liburcu, which ends the program without memory, asks for it once.
		 */
		if (flavor_of(limbo) == MT_RCU_BP)
			smr_rcu_join();
		try_look(limbo);
		mt_lock_acquire(&limbo->mem->lock);
		over = is_over(limbo, nr, idle);
		mt_lock_release(&limbo->mem->lock);
		if (!over)
			nanosleep(&pause, NULL);
	}
	smr_cancel_restore(cancel);
}

/* Sleeps until is_over(). */
static void sleep_until_over(struct smr_limbo *limbo, unsigned long nr, bool idle)
{
	struct mt_mem *mem = limbo->mem;

	mt_lock_acquire(&mem->lock);
	while (!is_over(limbo, nr, idle)) {
		unsigned int event = limbo->event;
		bool calls = mark_if_needed(limbo);

		limbo->sleepers++;
		mt_lock_release(&mem->lock);
		if (calls)
			queue_callback(limbo, false);
		smr_grace_await(flavor_of(limbo));
		smr_park(&limbo->event, event);
		smr_grace_awaited(flavor_of(limbo));
		mt_lock_acquire(&mem->lock);
		limbo->sleepers--;
	}
	mt_lock_release(&mem->lock);
}

/*
 * Returns the number of nodes retired so far, and in @freed whether all of them are free. CONTEXT:
 * TAKES arena.
 */
static unsigned long retired_so_far(struct smr_limbo *limbo, bool *freed)
{
	unsigned long nr;

	mt_lock_acquire(&limbo->mem->lock);
	nr = limbo->retired;
	*freed = is_freed(limbo, nr);
	mt_lock_release(&limbo->mem->lock);
	return nr;
}

/*
 * As sleep_until_over(), but makes sure first that the flavour's thread runs. CONTEXT: not inside a
 * section of the flavour.
 */
static void start_and_wait(struct smr_limbo *limbo, unsigned long nr, bool idle)
{
	enum mt_rcu_flavor flavor = flavor_of(limbo);
	bool online;

	await_thread(limbo, nr, idle);
	online = smr_rcu_offline(flavor);
	sleep_until_over(limbo, nr, idle);
	if (online)
		smr_rcu_online(flavor);
}

/*
 * Waits for the nodes now in limbo, after a look if @may_look is true. Returns false if there were
 * none. CONTEXT: not inside a section of the flavour.
 */
static bool wait_flavor(struct smr_limbo *limbo, bool may_look)
{
	bool freed;
	unsigned long nr = retired_so_far(limbo, &freed);

	if (freed)
		return false;
	if (may_look)
		try_look(limbo);
	start_and_wait(limbo, nr, false);
	return true;
}

unsigned int smr_mem_grace_now(struct mt_mem *mem, enum mt_rcu_flavor flavor)
{
	return (unsigned int)smr_load(&mem->limbo[flavor].retired, RELAXED);
}

bool smr_mem_grace_over(struct mt_mem *mem, enum mt_rcu_flavor flavor, unsigned int since)
{
	unsigned int freed;

	mt_lock_acquire(&mem->lock);
	freed = (unsigned int)mem->limbo[flavor].freed;
	mt_lock_release(&mem->lock);
	return (int)(freed - since) >= 0;
}

void smr_mem_grace_wait(struct mt_mem *mem, enum mt_rcu_flavor flavor)
{
	smr_check_grace(flavor);
	wait_flavor(&mem->limbo[flavor], false);
}

/*
 * Looks, without waiting. Returns true if that has freed all nodes now in limbo, false also if
 * there were none.
 */
static bool freed_by_look(struct smr_limbo *limbo)
{
	bool freed;
	unsigned long nr = retired_so_far(limbo, &freed);

	if (freed)
		return false;
	try_look(limbo);
	mt_lock_acquire(&limbo->mem->lock);
	freed = is_freed(limbo, nr);
	mt_lock_release(&limbo->mem->lock);
	return freed;
}

bool smri_retire_wait(struct mt_mem *mem)
{
	bool waited = false;

	/*
	 * Not even for another flavour than that of the caller's section: a thread in a section of
	 * that flavour may be waiting for the caller's to end.
	 */
	if (smr_rcu_reading())
		return false;
	for (unsigned int i = 0; i < SMR_RCU_FLAVORS; i++) {
		/* A flavour's thread, calling the page source, would wait for itself. */
		if (smr_grace_self() || !ensure_thread(&mem->limbo[i])) {
			waited |= freed_by_look(&mem->limbo[i]);
			continue;
		}
		smr_check_grace((enum mt_rcu_flavor)i);
		waited |= wait_flavor(&mem->limbo[i], true);
	}
	return waited;
}

bool smri_retire_wait_idle(struct mt_mem *mem)
{
	for (unsigned int i = 0; i < SMR_RCU_FLAVORS; i++) {
		struct smr_limbo *limbo = &mem->limbo[i];
		bool freed;
		unsigned long nr = retired_so_far(limbo, &freed);

		if (nr == 0)
			continue;
		if (smr_check_waits_for_itself((enum mt_rcu_flavor)i))
			return false;
		start_and_wait(limbo, nr, true);
	}
	return true;
}

void mt_mem_barrier(struct mt_mem *mem)
{
	smr_check_wait("a grace period");
	for (unsigned int i = 0; i < SMR_RCU_FLAVORS; i++)
		if (!smr_check_waits_for_itself((enum mt_rcu_flavor)i))
			wait_flavor(&mem->limbo[i], true);
	smr_mem_release_idle(mem);
}
