/* SPDX-License-Identifier: MIT */
/* Reports of the checker: the handler, and the text on stderr. */
#include <samara/lockcheck.h>

#ifdef SMR_LOCKCHECK

#include "base/atomic.h"
#include "base/base.h"
#include "base/say.h"
#include "lock/check_internal.h"
#include "lock/mutex.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SEEN = 512 };

static struct mt_lock tables =
	MT_LOCK_INIT;         /* the innermost lock of all, and unseen by the checker */
static unsigned int given_up; /* GUARD relaxed: only ever set */
static uint64_t seen[SEEN];   /* GUARD tables: hashes of what has been reported */
static void (*handler)(const struct lockcheck_report *report, void *arg); /* GUARD tables */
static void *handler_arg;                                                 /* GUARD tables */

static const char *const names[] = {
	[LOCKCHECK_WRITE_WITHOUT_LOCK] = "write-without-lock",
	[LOCKCHECK_ALLOCATION_IN_SECTION] = "allocation-in-section",
	[LOCKCHECK_LOCK_OVER_ALLOCATION] = "lock-over-allocation",
	[LOCKCHECK_LOCK_OVER_WAIT] = "lock-over-wait",
	[LOCKCHECK_LOCK_ORDER] = "lock-order",
	[LOCKCHECK_LOCK_NESTING] = "lock-nesting",
	[LOCKCHECK_LOCK_RECURSION] = "lock-recursion",
	[LOCKCHECK_RELEASE_NOT_HELD] = "release-not-held",
	[LOCKCHECK_WAIT_IN_READ_SECTION] = "wait-in-read-section",
	[LOCKCHECK_WAIT_IN_SECTION] = "wait-in-section",
	[LOCKCHECK_SECTION_NOT_ENTERED] = "section-not-entered",
	[LOCKCHECK_STALE_CURSOR] = "stale-cursor",
};

void smri_check_lock_tables(void)
{
	smr_lock_acquire_unseen(&tables);
}

void smri_check_unlock_tables(void)
{
	smr_lock_release_unseen(&tables);
}

void smri_check_reset_tables_lock(void)
{
	smr_store(&tables.word, 0, RELAXED);
}

bool smri_check_on(void)
{
	return !smri_check_me()->busy && !smr_load(&given_up, RELAXED);
}

void smri_check_give_up(const char *what)
{
	struct smr_saying s;

	if (smr_xchg(&given_up, 1, RELAXED))
		return;
	smr_say_begin(&s);
	smr_say("samara: lockcheck stops checking: too many ");
	smr_say(what);
	smr_say("\n");
	smr_say_end(&s);
}

void smri_check_say_crowded(void)
{
	static bool said;
	struct smr_saying s;

	if (smr_xchg(&said, true, RELAXED))
		return;
	smr_say_begin(&s);
	smr_say("samara: lockcheck does not watch further threads: no room for more\n");
	smr_say_end(&s);
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 29;
}

/*
 * Returns a hash that is the same for reports of one mistake: of the rule and the classes, or else
 * the place. Never 0.
 */
static uint64_t identity(const struct smri_found *found, const struct lockcheck_stack *here)
{
	uint64_t hash = mix(mix(mix(1, found->rule), found->a), found->b);

	if (!found->a && !found->b)
		for (unsigned int i = 0; i < here->nr; i++)
			hash = mix(hash, (uintptr_t)here->frames[i]);
	return hash ? hash : 1;
}

/*
 * Notes @id. Returns false if it has been noted before. When the table is full, everything is news.
 * CONTEXT: HOLDS tables.
 */
static bool is_news(uint64_t id)
{
	for (unsigned int i = 0; i < SEEN; i++) {
		uint64_t *slot = &seen[(id + i) % SEEN];

		if (*slot == id)
			return false;
		if (*slot == 0) {
			*slot = id;
			return true;
		}
	}
	return true;
}

static void deliver(const struct lockcheck_report *report, uint64_t id)
{
	void (*fn)(const struct lockcheck_report *report, void *arg);
	void *arg;
	bool news;

	smri_check_lock_tables();
	fn = handler;
	arg = handler_arg;
	news = is_news(id);
	smri_check_unlock_tables();
	if (!news)
		return;
	smri_check_me()->busy = true;
	if (!fn) {
		lockcheck_print(report);
		abort();
	}
	fn(report, arg);
	smri_check_me()->busy = false;
}

void smri_report(const struct smri_found *found, void *frame, const char *format, ...)
{
	void *frames[SMRI_FRAMES_NOW];
	char sentence[400];
	struct lockcheck_report report = { .rule = found->rule,
					   .name = names[found->rule],
					   .sentence = sentence };
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	report.stack[0] = (struct lockcheck_stack){ found->here,
						    smri_frames(frames, SMRI_FRAMES_NOW, frame),
						    frames };
	report.stack[1] = (struct lockcheck_stack){ .caption = found->other_caption };
	if (found->other) {
		report.stack[1].nr = found->other->nr;
		report.stack[1].frames = found->other->frame;
	}
	deliver(&report, identity(found, &report.stack[0]));
}

static void print_stack(const struct lockcheck_stack *stack)
{
	smr_say("  ");
	smr_say(stack->caption);
	smr_say(stack->nr ? ":\n" : ": not known\n");
	/* Frames are return addresses; each call lies just before. */
	if (stack->nr)
		smri_print_frames(stack->frames, stack->nr);
}

void lockcheck_print(const struct lockcheck_report *report)
{
	struct smr_saying s;

	smr_say_begin(&s);
	smr_say("samara: lockcheck: ");
	smr_say(report->name);
	smr_say(": ");
	smr_say(report->sentence);
	smr_say("\n");
	print_stack(&report->stack[0]);
	print_stack(&report->stack[1]);
	smr_say("  docs/lockcheck.md, section ");
	smr_say(report->name);
	smr_say(", says what to do about it.\n");
	smr_say_end(&s);
}

void lockcheck_set_handler(void (*fn)(const struct lockcheck_report *report, void *arg), void *arg)
{
	smri_check_lock_tables();
	handler = fn;
	handler_arg = arg;
	memset(seen, 0, sizeof(seen));
	smri_graph_forget_mistakes();
	smri_check_unlock_tables();
}

bool lockcheck_enabled(void)
{
	return !smr_load(&given_up, RELAXED);
}

#else

bool lockcheck_enabled(void)
{
	return false;
}

void lockcheck_set_handler(void (*fn)(const struct lockcheck_report *report, void *arg), void *arg)
{
	(void)fn;
	(void)arg;
}

void lockcheck_print(const struct lockcheck_report *report)
{
	(void)report;
}

#endif
