/* SPDX-License-Identifier: MIT */
/* Reports of the checker: stacks, the handler, and the text on stderr. */
#include <samara/lockcheck.h>

#ifdef SMR_LOCKCHECK

#include "base/atomic.h"
#include "base/base.h"
#include "base/say.h"
#include "lock/check_internal.h"
#include "lock/mutex.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>
#ifdef SMR_BACKTRACE
#include <execinfo.h>
#else
#include <dlfcn.h>
#endif

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

void smri_check_enter(void)
{
	smr_lock_acquire_unseen(&tables);
}

void smri_check_leave(void)
{
	smr_lock_release_unseen(&tables);
}

void smri_check_free_tables(void)
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

/* ---- Stacks ---- */

#if SMR_CHECK_RETURN

/* No frame of the first thread lies beyond what the kernel has put onto its stack. */
static uintptr_t first_stack_end(void)
{
	static uintptr_t end; /* GUARD relaxed: all find the same */
	uintptr_t found = smr_load(&end, RELAXED);

	if (!found) {
		found = getauxval(AT_RANDOM);
		smr_store(&end, found, RELAXED);
	}
	return found;
}

/* Thread descriptors lie above the stacks they belong to, but for that of the first thread. */
static uintptr_t stack_end(uintptr_t from)
{
#ifdef __powerpc64__ /* GCC has no builtin before 13, and the pointer is elsewhere */
	uintptr_t thread = (uintptr_t)pthread_self();
#else
	uintptr_t thread = (uintptr_t)__builtin_thread_pointer();
#endif

	return thread > from ? thread : first_stack_end();
}

/*
 * Follows linked frames. A caller without a frame pointer has left anything in its place: it must
 * at least lead up the stack. All is mapped up to the end of the thread's own; where another one
 * ends is not known (docs/lockcheck.md, Reports).
 */
__attribute__((no_sanitize("address"), no_sanitize("thread"))) static unsigned int follow(
	void **frames, unsigned int max, void *frame)
{
	uintptr_t end = stack_end((uintptr_t)frame), *fp = frame, next;
	unsigned int n = 0;

	for (;;) {
		frames[n++] = (void *)fp[SMR_CHECK_RETURN];
		next = fp[0];
		if (n == max || next <= (uintptr_t)fp ||
		    next + SMR_CHECK_RETURN * sizeof(*fp) >= end || next % sizeof(*fp) ||
		    next - (uintptr_t)fp > 1UL << 20 ||
		    ((uintptr_t *)next)[SMR_CHECK_RETURN] < 4096)
			return n;
		fp = (uintptr_t *)next;
	}
}

#else /* frames lead nowhere */

static unsigned int follow(void **frames, unsigned int max, void *frame)
{
	(void)max;
	frames[0] = frame;
	return 1;
}

#endif

#ifdef SMR_BACKTRACE

/* The unwinder loads a library, and so allocates, when it is first used. */
__attribute__((constructor)) static void warm_up(void)
{
	void *frame[1];

	(void)backtrace(frame, 1);
}

/* Frames from the caller of the function with @frame outwards. */
static unsigned int unwind(void **frames, unsigned int max, void *frame)
{
	unsigned int nr = (unsigned int)backtrace(frames, (int)max), skip = 0;
	void *first;

	(void)follow(&first, 1, frame);
	while (skip < nr && frames[skip] != first)
		skip++;
	if (skip == nr)
		return nr;
	memmove(frames, frames + skip, (nr - skip) * sizeof(*frames));
	return nr - skip;
}

static void print_frames(void *const *frames, unsigned int nr)
{
	backtrace_symbols_fd(frames, (int)nr, STDERR_FILENO);
}

#else /* C libraries without an unwinder */

static unsigned int unwind(void **frames, unsigned int max, void *frame)
{
	return follow(frames, max, frame);
}

/* As glibc's backtrace_symbols_fd() has it. */
static void print_frame(const void *frame)
{
	Dl_info in;
	char where[64];
	bool known = dladdr(frame, &in) != 0;
	const void *base = !known ? NULL : in.dli_sname ? in.dli_saddr : in.dli_fbase;

	if (base) {
		smr_say(in.dli_fname);
		smr_say("(");
		smr_say(in.dli_sname ? in.dli_sname : "");
		snprintf(where, sizeof(where), "+0x%tx)", (const char *)frame - (const char *)base);
		smr_say(where);
	}
	snprintf(where, sizeof(where), "[%p]\n", frame);
	smr_say(where);
}

static void print_frames(void *const *frames, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		print_frame(frames[i]);
}

#endif

void smri_stack_keep(struct smri_stack *stack, void *frame, unsigned int max)
{
	if (SMR_CHECK_RETURN) {
		stack->nr = follow(stack->frame, max, frame);
		return;
	}
	smri_stack_unwind(stack, frame);
	if (stack->nr > max)
		stack->nr = max;
}

void smri_stack_unwind(struct smri_stack *stack, void *frame)
{
	void *frames[SMRI_FRAMES_NOW];
	unsigned int nr = unwind(frames, SMRI_FRAMES_NOW, frame);

	stack->nr = nr < SMRI_FRAMES ? nr : SMRI_FRAMES;
	memcpy(stack->frame, frames, stack->nr * sizeof(*frames));
}

/* ---- Reports ---- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 29;
}

/* What makes two reports the same one: the classes, or else the place. Never 0. */
static uint64_t identity(const struct smri_found *found, const struct lockcheck_stack *here)
{
	uint64_t hash = mix(mix(mix(1, found->rule), found->a), found->b);

	if (!found->a && !found->b)
		for (unsigned int i = 0; i < here->nr; i++)
			hash = mix(hash, (uintptr_t)here->frames[i]);
	return hash ? hash : 1;
}

/*
 * Notes @id; false when it has been noted before. With the table full all is news. CONTEXT: HOLDS
 * tables.
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

	smri_check_enter();
	fn = handler;
	arg = handler_arg;
	news = is_news(id);
	smri_check_leave();
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
						    unwind(frames, SMRI_FRAMES_NOW, frame),
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
	/* Frames are return addresses; the call is in the line before. */
	if (stack->nr)
		print_frames(stack->frames, stack->nr);
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
	smri_check_enter();
	handler = fn;
	handler_arg = arg;
	memset(seen, 0, sizeof(seen));
	smri_graph_renew();
	smri_check_leave();
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
