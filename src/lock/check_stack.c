/* SPDX-License-Identifier: MIT */
/*
 * The checker's stacks: cheap ones, along linked frames, which are kept with each lock that is
 * taken, and complete ones, by unwinding, for reports. Where only one of the two ways exists it
 * serves for both.
 */
#include "lock/check.h"

#ifdef SMR_LOCKCHECK

#include "base/atomic.h"
#include "base/base.h"
#include "base/say.h"
#include "lock/check_internal.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>
#ifdef SMR_BACKTRACE
#include <execinfo.h>
#else
#include <dlfcn.h>
#endif

#if SMR_CHECK_RETURN

/* No frame of the first thread lies beyond what the kernel has put on its stack. */
static uintptr_t first_stack_end(void)
{
	static uintptr_t end; /* GUARD relaxed: all threads find the same */
	uintptr_t found = smr_load(&end, RELAXED);

	if (!found) {
		found = getauxval(AT_RANDOM);
		smr_store(&end, found, RELAXED);
	}
	return found;
}

/* Thread descriptors lie above the stacks that they belong to, except the first thread's. */
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
 * Follows linked frames. A caller without a frame pointer may have left anything in its place: it
 * must at least lead up the stack. Everything is mapped up to the end of the thread's own stack;
 * where any other stack ends is not known (docs/lockcheck.md, Reports).
 */
#ifdef __clang__ /* GCC has no such sanitizer, and would warn of its name */
__attribute__((no_sanitize("memory")))
#endif
__attribute__((no_sanitize("address"), no_sanitize("thread"))) static unsigned int
follow(void **frames, unsigned int max, void *frame)
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

#else /* frames are not linked */

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

unsigned int smri_frames(void **frames, unsigned int max, void *frame)
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

void smri_print_frames(void *const *frames, unsigned int nr)
{
	backtrace_symbols_fd(frames, (int)nr, STDERR_FILENO);
}

#else /* C libraries without an unwinder */

unsigned int smri_frames(void **frames, unsigned int max, void *frame)
{
	return follow(frames, max, frame);
}

/* Prints a frame in the form of glibc's backtrace_symbols_fd(). */
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

void smri_print_frames(void *const *frames, unsigned int nr)
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
	unsigned int nr = smri_frames(frames, SMRI_FRAMES_NOW, frame);

	stack->nr = nr < SMRI_FRAMES ? nr : SMRI_FRAMES;
	memcpy(stack->frame, frames, stack->nr * sizeof(*frames));
}

#else

/* A file of the library may not be empty in ISO C. */
typedef int smr_check_stack_is_off;

#endif
