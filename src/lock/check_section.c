/* SPDX-License-Identifier: MIT */
/*
 * Sections: those in which nothing may be allocated and those of readers, and what must not be done
 * in either.
 */
#include "lock/section.h"

#ifdef SMR_LOCKCHECK

#include "base/rcu.h"
#include "lock/check_internal.h"

void smr_check_section_enter(const char *name)
{
	struct smri_thread *t = smri_check_me();
	struct smri_section *section;

	if (t->unwatched || smri_section_depth >= SMRI_SECTIONS)
		return;
	section = &t->section[smri_section_depth];
	section->name = name;
	smri_stack_keep(&section->entered, smr_check_frame(), SMRI_FRAMES);
}

bool smr_check_section_leave(void)
{
	struct smri_found found = { .rule = LOCKCHECK_SECTION_NOT_ENTERED,
				    .here = "left here",
				    .other_caption = "it was entered here" };

	if (smr_in_section())
		return true;
	if (smri_check_on())
		smri_report(&found, smr_check_frame(),
			    "the thread leaves a section that it is not in");
	return false;
}

/* Reports something that must not be done in a section. CONTEXT: in one. */
static void report_in_section(enum lockcheck_rule rule, const char *does, const char *what,
			      const char *here, void *frame)
{
	unsigned int depth = smri_section_depth < SMRI_SECTIONS ? smri_section_depth
								: SMRI_SECTIONS;
	struct smri_section *section = &smri_check_me()->section[depth - 1];
	struct smri_found found = { .rule = rule,
				    .here = here,
				    .other_caption = "the section was entered here",
				    .other = &section->entered };

	smri_report(&found, frame, "the thread %s %s inside the section \"%s\"", does, what,
		    section->name);
}

static void note_holds(enum smri_fact fact, const char *what, const void *without, void *frame)
{
	const struct smri_thread *t = smri_check_me();

	for (unsigned int i = 0; i < t->nr_holds; i++)
		if (t->hold[i].lock != without)
			smri_graph_fact(t->hold[i].lock_class, fact, what, frame);
}

static void check_alloc_in_section(const char *what, void *frame)
{
	if (smr_unlikely(smr_in_section()))
		report_in_section(LOCKCHECK_ALLOCATION_IN_SECTION, "allocates or frees", what,
				  "allocated or freed here", frame);
}

void smri_check_alloc(const char *what, const void *without, void *frame)
{
	if (!smri_check_on())
		return;
	check_alloc_in_section(what, frame);
	note_holds(SMRI_OVER_ALLOC, what, without, frame);
}

void smr_check_alloc(const char *what)
{
	smri_check_alloc(what, NULL, smr_check_frame());
}

void smr_check_last_put(const char *what)
{
	if (smri_check_on())
		check_alloc_in_section(what, smr_check_frame());
}

void smr_check_alloc_without(const char *what, const void *lock)
{
	smri_check_alloc(what, lock, smr_check_frame());
}

/*
 * Returns true if the thread may be in a section of @flavor. What liburcu says of a QSBR thread
 * that is online proves nothing either way: only the checker knows of those sections.
 */
static bool may_be_reading(enum mt_rcu_flavor flavor)
{
	if (flavor == MT_RCU_QSBR)
		return smri_check_me()->read[flavor].depth;
	return smr_rcu_read_ongoing(flavor);
}

/* Reports a wait, and returns true, if the thread is in a section of @flavor. */
static bool report_if_reading(enum mt_rcu_flavor flavor, const char *what, void *frame)
{
	struct smri_read *read = &smri_check_me()->read[flavor];
	struct smri_found found = { .rule = LOCKCHECK_WAIT_IN_READ_SECTION,
				    .here = "waits here",
				    .other_caption = "the read-side section was entered here",
				    .other = read->depth ? &read->entered : NULL };

	/*
	 * A section entered without the checker's knowledge has no stack; one may have been left
	 * without it, too.
	 */
	if (!may_be_reading(flavor)) {
		read->depth = 0;
		return false;
	}
	smri_report(&found, frame, "the thread waits for %s inside a read-side section", what);
	return true;
}

void smri_check_wait(const char *what, const void *without, void *frame)
{
	if (!smri_check_on())
		return;
	if (smr_in_section())
		report_in_section(LOCKCHECK_WAIT_IN_SECTION, "waits for", what, "waits here",
				  frame);
	note_holds(SMRI_OVER_WAIT, what, without, frame);
	for (unsigned int i = 0; i < SMR_RCU_FLAVORS; i++)
		if (report_if_reading((enum mt_rcu_flavor)i, what, frame))
			return;
}

void smr_check_wait(const char *what)
{
	smri_check_wait(what, NULL, smr_check_frame());
}

void smr_check_wait_without(const char *what, const void *lock)
{
	smri_check_wait(what, lock, smr_check_frame());
}

void smr_check_grace(enum mt_rcu_flavor flavor)
{
	if (!smri_check_on())
		return;
	note_holds(SMRI_OVER_GRACE + flavor, "a grace period", NULL, smr_check_frame());
	report_if_reading(flavor, "a grace period", smr_check_frame());
}

bool smr_check_synchronize(enum mt_rcu_flavor flavor)
{
	smri_check_wait("a grace period", NULL, smr_check_frame());
	return !smr_check_waits_for_itself(flavor);
}

bool smr_check_waits_for_itself(enum mt_rcu_flavor flavor)
{
	/* A QSBR thread that waits is offline meanwhile, even if it counts as reading. */
	return smri_check_on() && flavor != MT_RCU_QSBR && smr_rcu_read_ongoing(flavor);
}

/*
 * Returns true if the thread is in a section of @flavor. Of sections that the checker has not seen
 * being entered only those of the default flavour count: to ask liburcu for the others, for each
 * lock, would take as long as everything else.
 */
static bool is_inside(enum mt_rcu_flavor flavor)
{
	return (smri_check_me()->read[flavor].depth || flavor == MT_RCU_BP) &&
	       may_be_reading(flavor);
}

void smri_check_taken_inside(unsigned int lock_class, void *frame)
{
	if (smr_in_section())
		smri_graph_fact(lock_class, SMRI_IN_SECTION, "inside a section", frame);
	/* No thread waits under the library's inner locks (rank.h). */
	if (lock_class >= SMR_RANK_OBJECT && lock_class < SMR_RANKS_NR)
		return;
	for (unsigned int i = 0; i < SMR_RCU_FLAVORS; i++)
		if (is_inside((enum mt_rcu_flavor)i))
			smri_graph_fact(lock_class, SMRI_IN_READ + i, "inside a read-side section",
					frame);
}

void smr_check_read_enter(enum mt_rcu_flavor flavor)
{
	struct smri_thread *t = smri_check_me();
	struct smri_read *read = &t->read[flavor];

	if (t->unwatched || read->depth++)
		return;
	/* A section entered through liburcu, around the last one and this, makes them the same. */
	if (flavor == MT_RCU_QSBR || !read->outer_ongoing || !smr_rcu_read_ongoing(flavor))
		read->serial = smri_next_serial();
	read->outer_ongoing = false;
	smri_stack_keep(&read->entered, smr_check_frame(), SMRI_FRAMES);
}

bool smr_check_read_leave(enum mt_rcu_flavor flavor)
{
	struct smri_read *read = &smri_check_me()->read[flavor];
	struct smri_found found = { .rule = LOCKCHECK_SECTION_NOT_ENTERED,
				    .here = "left here",
				    .other_caption = "one was left last here",
				    .other = read->left_serial ? &read->left : NULL };

	/* It may have been entered without the checker's knowledge, and left so. */
	if (!may_be_reading(flavor) && smri_check_on()) {
		read->depth = 0;
		smri_report(&found, smr_check_frame(),
			    "the thread leaves a read-side section that it is not in");
		return false;
	}
	if (read->depth == 1) {
		read->left_serial = read->serial;
		smri_stack_keep(&read->left, smr_check_frame(), SMRI_FRAMES);
	}
	return true;
}

void smr_check_read_left(enum mt_rcu_flavor flavor)
{
	struct smri_read *read = &smri_check_me()->read[flavor];

	if (read->depth && --read->depth == 0)
		read->outer_ongoing = smr_rcu_read_ongoing(flavor);
}

#else

/* A file of the library may not be empty in ISO C. */
typedef int smr_check_section_is_off;

#endif
