/* SPDX-License-Identifier: MIT */
/*
 * The checker of the locking rules.
 *
 * There are two kinds of rules. Some are broken by one thread at one moment: a write without the
 * lock, an allocation in a section, a wait in a read-side section, a cursor that has outlived what
 * protected it. For those the checker keeps, for each thread, which locks it holds and which
 * sections it is in, each with the stack of where it was taken or entered (struct smri_thread). The
 * others are broken by two pieces of code together: one takes B under A and the other A under B;
 * one holds L while it allocates and the other takes L where nothing may wait for memory. They are
 * judged by *classes* of locks, in check_graph.c: once each half has been seen, at any time, in any
 * thread, they are reported, whether or not the deadlock has ever come about.
 *
 * What that costs. Taking a lock goes through the thread's holds, of which there are few, and looks
 * up one bit for each; the stack is taken along frame pointers, some ten loads. Only what has not
 * been seen before takes the lock of the tables, unwinds its stack and looks for cycles. Nothing
 * allocates: all tables have fixed sizes, and when one is full the checker says so and stops. A
 * thread's table of holds is the exception: holds that find no room there are only counted, lest
 * one thread blind the checker to all. Until these are released, any lock that is not in the table
 * may be one of them. The stack of a report itself is unwound, and so complete.
 *
 * The identity of a hold or section is a number that no other hold or section of the thread has had
 * for long. A cursor keeps the numbers of what protected it when it got its position: that of the
 * tree's lock in the lower half of ma_state.guard, that of a noted read-side section in the upper
 * half. The position is good as long as one of the two lasts.
 *
 * Rejected: stacks of all holds by unwinding (a microsecond or more for each lock taken); a class
 * for each tree (no rule would ever be found broken by two trees of the same kind); a shadow of
 * what liburcu knows (its sections are entered by inlines in the program: about those not entered
 * by mt_rcu_read_lock(), liburcu is asked when it matters, and they have no stack).
 */
#include "lock/check.h"

#include <samara/lockcheck.h>

#ifdef SMR_LOCKCHECK

#include "base/atomic.h"
#include "lock/check_internal.h"
#include "lock/tid.h"

#include <string.h>

/* ---- Where locks were released last, by any thread ---- */

enum { RELEASES = 256 };

/* Lossy: the last writer wins. A reader may find a mixture, which costs it some wrong frames. */
static struct release {
	const void *lock;
	unsigned int tid;
	unsigned int nr;
	void *frame[SMRI_FRAMES];
} releases[RELEASES]; /* GUARD relaxed: each field by itself */

static struct release *release_of(const void *lock)
{
	return &releases[((uintptr_t)lock >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 56];
}

static void publish_release(const void *lock, const struct smri_stack *stack)
{
	struct release *entry = release_of(lock);

	smr_store(&entry->lock, NULL, RELAXED);
	smr_store(&entry->tid, smr_lock_tid(), RELAXED);
	smr_store(&entry->nr, stack->nr, RELAXED);
	for (unsigned int i = 0; i < stack->nr; i++)
		smr_store(&entry->frame[i], stack->frame[i], RELAXED);
	smr_store(&entry->lock, lock, RELAXED);
}

static void forget_release(const void *lock)
{
	struct release *entry = release_of(lock);

	if (smr_load(&entry->lock, RELAXED) == lock)
		smr_store(&entry->lock, NULL, RELAXED);
}

/* Returns the id of the thread that released @lock last, and where in *@stack; 0: not known. */
static unsigned int recall_release(const void *lock, struct smri_stack *stack)
{
	struct release *entry = release_of(lock);

	if (smr_load(&entry->lock, RELAXED) != lock)
		return 0;
	stack->nr = smr_load(&entry->nr, RELAXED);
	for (unsigned int i = 0; i < stack->nr && i < SMRI_FRAMES; i++)
		stack->frame[i] = smr_load(&entry->frame[i], RELAXED);
	return smr_load(&entry->tid, RELAXED);
}

/* ---- Holds ---- */

static struct smri_hold *find_hold(struct smri_thread *t, const void *lock)
{
	for (unsigned int i = t->nr_holds; i-- > 0;)
		if (t->hold[i].lock == lock)
			return &t->hold[i];
	return NULL;
}

static void remove_hold(struct smri_thread *t, struct smri_hold *hold)
{
	t->nr_holds--;
	if (hold != &t->hold[t->nr_holds])
		memmove(hold, hold + 1, (size_t)(&t->hold[t->nr_holds] - hold) * sizeof(*hold));
}

unsigned int smri_next_serial(void)
{
	struct smri_thread *t = smri_check_me();

	/* Threads start from different numbers, since a cursor may have been handed over. */
	if (!t->last_serial)
		t->last_serial = (unsigned int)((uintptr_t)t >> 6) * 2654435761u;
	if (!++t->last_serial)
		t->last_serial = 1;
	return t->last_serial;
}

/*
 * Returns true for the library's inner locks. They are taken often and briefly, and seldom part of
 * a mistake, so less is kept of them.
 */
static bool is_inner(unsigned int lock_class)
{
	return lock_class >= SMR_RANK_ARENAS && lock_class < SMR_RANKS_NR;
}

/* Returns NULL if there is no room for the hold, which is then only counted. */
static struct smri_hold *add_hold(struct smri_thread *t, const void *lock, unsigned int lock_class,
				  unsigned int flags, unsigned int serial, void *frame)
{
	struct smri_hold *hold;

	if (t->nr_holds == SMRI_HOLDS) {
		t->nr_untracked++;
		return NULL;
	}
	hold = &t->hold[t->nr_holds++];
	hold->lock = lock;
	hold->lock_class = lock_class;
	hold->flags = flags;
	hold->serial = serial;
	hold->recursions = 0;
	smri_stack_keep(&hold->taken, frame,
			is_inner(lock_class) ? SMRI_FRAMES_INNER : SMRI_FRAMES);
	return hold;
}

static void report_recursion(const struct smri_hold *hold, void *frame)
{
	struct smri_found found = { .rule = LOCKCHECK_LOCK_RECURSION,
				    .here = "taken again here",
				    .other_caption = "taken here at first",
				    .other = &hold->taken };

	smri_report(&found, frame, "the thread takes a lock of class \"%s\" that it holds already",
		    smri_class_name(hold->lock_class));
}

static void report_nesting(const struct smri_hold *hold, void *frame)
{
	struct smri_found found = { .rule = LOCKCHECK_LOCK_NESTING,
				    .a = hold->lock_class + 1,
				    .b = hold->lock_class + 1,
				    .here = "the second one is taken here",
				    .other_caption = "the first one was taken here",
				    .other = &hold->taken };

	smri_report(&found, frame,
		    "two locks of class \"%s\" are held together, and nothing says in which order",
		    smri_class_name(hold->lock_class));
}

/* Checks the order of a lock that is about to be waited for, and notes what it is taken inside. */
static void check_order(struct smri_thread *t, unsigned int lock_class, unsigned int flags,
			void *frame)
{
	for (unsigned int i = 0; i < t->nr_holds; i++) {
		if (t->hold[i].lock_class != lock_class)
			smri_graph_order(&t->hold[i], lock_class, frame);
		else if (!(flags & LOCKCHECK_NESTED))
			report_nesting(&t->hold[i], frame);
	}
	smri_check_taken_inside(lock_class, frame);
}

bool smri_check_take(const void *lock, unsigned int lock_class, unsigned int flags, void *frame)
{
	struct smri_thread *t = smri_check_me();
	struct smri_hold *hold;

	if (!smri_check_on())
		return true;
	hold = find_hold(t, lock);
	if (smr_unlikely(hold) && !(hold->flags & flags & LOCKCHECK_SHARED)) {
		report_recursion(hold, frame);
		hold->recursions++;
		return false;
	}
	if (!hold && !(flags & LOCKCHECK_TRY))
		check_order(t, lock_class, flags, frame);
	/* To cursors, shared holds of a lock are one: it is held until the last is released. */
	add_hold(t, lock, lock_class, flags, hold ? hold->serial : smri_next_serial(), frame);
	return true;
}

static void remember_release(struct smri_thread *t, const struct smri_hold *hold, void *frame)
{
	struct smri_release *release = &t->release[t->nr_releases++ % SMRI_RELEASES];

	release->serial = hold->serial;
	smri_stack_keep(&release->stack, frame, SMRI_FRAMES);
	publish_release(hold->lock, &release->stack);
}

static void report_not_held(const void *lock, void *frame)
{
	struct smri_stack stack;
	unsigned int tid = recall_release(lock, &stack);
	struct smri_found found = { .rule = LOCKCHECK_RELEASE_NOT_HELD,
				    .here = "released here",
				    .other_caption = "it was released last here",
				    .other = tid ? &stack : NULL };

	smri_report(&found, frame, "the thread releases a lock that it does not hold");
}

bool smri_check_drop(const void *lock, void *frame)
{
	struct smri_thread *t = smri_check_me();
	struct smri_hold *hold;

	if (!smri_check_on())
		return true;
	hold = find_hold(t, lock);
	if (smr_unlikely(!hold && t->nr_untracked)) {
		t->nr_untracked--;
		return true;
	}
	if (smr_unlikely(!hold)) {
		report_not_held(lock, frame);
		return false;
	}
	if (smr_unlikely(hold->recursions)) {
		hold->recursions--;
		return false;
	}
	if (!is_inner(hold->lock_class))
		remember_release(t, hold, frame);
	remove_hold(t, hold);
	return true;
}

bool smri_check_holds(const void *lock)
{
	struct smri_thread *t = smri_check_me();

	return t->nr_untracked || find_hold(t, lock);
}

void smr_check_init(const struct mt_lock *lock)
{
	struct smri_thread *t = smri_check_mine;
	struct smri_hold *hold = t ? find_hold(t, lock) : NULL;

	if (smr_unlikely(hold))
		remove_hold(t, hold);
	forget_release(lock);
}

bool smr_check_lock(const struct mt_lock *lock, unsigned int flags, unsigned int subclass)
{
	unsigned int lock_class = SMR_RANK_MARK(lock->kind);

	/* Tree locks have classes of their own for subclasses 0 to 3: their order is fixed. */
	if (lock_class == SMR_RANK_TREE) {
		lock_class += subclass < 3 ? subclass : 3;
		subclass -= lock_class - SMR_RANK_TREE;
	}
	if (subclass)
		flags |= LOCKCHECK_NESTED;
	return smri_check_take(lock, lock_class, flags | SMRI_MT_LOCK, smr_check_frame());
}

bool smr_check_unlock(const struct mt_lock *lock)
{
	return smri_check_drop(lock, smr_check_frame());
}

void smr_check_forked(void)
{
	struct smri_thread *t = smri_check_mine;
	unsigned int nr = 0;

	smri_check_reset_tables_lock();
	smri_check_detach_others();
	if (!t || t->unwatched)
		return;
	for (unsigned int i = 0; i < t->nr_holds; i++)
		if (!(t->hold[i].flags & SMRI_MT_LOCK))
			t->hold[nr++] = t->hold[i];
	t->nr_holds = nr;
}

/* ---- Trees and cursors ---- */

unsigned long smr_check_guard(const void *lock, bool rcu, enum mt_rcu_flavor flavor)
{
	struct smri_thread *t = smri_check_me();
	struct smri_hold *hold = lock ? find_hold(t, lock) : NULL;
	struct smri_read *read = &t->read[flavor];
	unsigned long guard = hold ? hold->serial : 0;

	if (rcu && (read->depth || read->outer_ongoing))
		guard |= (unsigned long)read->serial << 32;
	return guard;
}

bool smr_check_guarded(unsigned long guard)
{
	struct smri_thread *t = smri_check_me();
	unsigned int hold = (unsigned int)guard, section = (unsigned int)(guard >> 32);

	/* A hold that is only counted may be one of a lock that is held twice. */
	if (!smri_check_on() || t->nr_untracked)
		return true;
	if (hold)
		for (unsigned int i = 0; i < t->nr_holds; i++)
			if (t->hold[i].serial == hold)
				return true;
	if (section)
		for (unsigned int i = 0; i < SMR_RCU_FLAVORS; i++)
			if (t->read[i].serial == section &&
			    (t->read[i].depth || t->read[i].outer_ongoing))
				return true;
	return false;
}

/*
 * Returns where the thread released @hold of @lock, the last time if it took it up again; if that
 * is too long ago, where @lock was released last, in *@latest; or NULL.
 */
static const struct smri_stack *where_released(const void *lock, unsigned int hold,
					       struct smri_stack *latest)
{
	struct smri_thread *t = smri_check_me();

	for (unsigned int i = 1; i <= SMRI_RELEASES; i++) {
		struct smri_release *release = &t->release[(t->nr_releases - i) % SMRI_RELEASES];

		if (release->serial == hold)
			return &release->stack;
	}
	return lock && recall_release(lock, latest) ? latest : NULL;
}

/* Returns where the thread left @section, or NULL if it has left another since. */
static const struct smri_stack *where_left(unsigned int section)
{
	struct smri_thread *t = smri_check_me();

	for (unsigned int i = 0; i < SMR_RCU_FLAVORS; i++)
		if (t->read[i].left_serial == section)
			return &t->read[i].left;
	return NULL;
}

void smr_check_report_cursor(const void *lock, unsigned long guard, void *frame)
{
	unsigned int hold = (unsigned int)guard;
	struct smri_stack latest;
	struct smri_found found = {
		.rule = LOCKCHECK_STALE_CURSOR,
		.here = "used here",
		.other_caption = hold ? "the lock was released here"
				      : "the read-side section was left here",
		.other = hold ? where_released(lock, hold, &latest)
			      : where_left((unsigned int)(guard >> 32)),
	};

	smri_report(
		&found, frame,
		"a cursor is used whose %s has been left since it got its position, without mas_pause()",
		hold ? "lock" : "read-side section");
}

void smr_check_report_write(const void *lock, unsigned int owner, void *frame)
{
	struct smri_stack stack;
	struct smri_thread *t = smri_check_me();
	unsigned int tid = recall_release(lock, &stack);
	struct smri_found found = { .rule = LOCKCHECK_WRITE_WITHOUT_LOCK,
				    .here = "written here",
				    .other = tid ? &stack : NULL,
				    .other_caption = "the lock was last released here" };
	struct smri_hold *hold;

	if (!smri_check_on())
		return;
	hold = find_hold(t, lock);
	if (tid == smr_lock_tid())
		found.other_caption = "the lock was last released, by this thread, here";
	else if (tid)
		found.other_caption = "the lock was last released, by another thread, here";
	if (hold) {
		found.other = &hold->taken;
		found.other_caption = "the lock was taken, for reading, here";
		smri_report(&found, frame,
			    "a tree is written while its lock is held for reading only");
	} else if (owner) {
		smri_report(&found, frame,
			    "a tree is written without its lock, which thread %u holds", owner);
	} else {
		smri_report(&found, frame,
			    "a tree is written without its lock, which this thread does not hold");
	}
}

bool smr_check_only_shared(const void *lock)
{
	struct smri_hold *hold = find_hold(smri_check_me(), lock);

	return hold && (hold->flags & LOCKCHECK_SHARED);
}

void smr_check_retake(const void *lock)
{
	struct smri_thread *t = smri_check_me();
	struct smri_hold *hold = smri_check_on() ? find_hold(t, lock) : NULL;

	if (hold)
		check_order(t, hold->lock_class, LOCKCHECK_NESTED, smr_check_frame());
}

struct smr_check_hold smr_check_suspend(const void *lock)
{
	struct smri_thread *t = smri_check_me();
	struct smri_hold *hold = find_hold(t, lock);
	struct smr_check_hold was = { 0 };

	if (!hold)
		return was;
	was = (struct smr_check_hold){ hold->serial, hold->lock_class, hold->flags,
				       hold->recursions };
	remove_hold(t, hold);
	return was;
}

void smr_check_resume(const void *lock, struct smr_check_hold was)
{
	struct smri_thread *t = smri_check_me();
	struct smri_hold *hold;

	if (!was.serial)
		return;
	hold = add_hold(t, lock, was.lock_class, was.flags, was.serial, smr_check_frame());
	if (hold)
		hold->recursions = was.recursions;
}

#else

/* A file of the library may not be empty in ISO C. */
typedef int smr_lockcheck_is_off;

#endif
