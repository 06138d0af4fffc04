/* SPDX-License-Identifier: MIT */
/*
 * Fences: one-shot events that others wait for.
 *
 * A fence is signalled once, with or without an error, and stays so. Any holder of a reference may
 * query it, wait for it, add a callback, have an eventfd made readable, or signal it. Timelines are
 * counters whose values can be waited for as fences. The idea and most names are those of Linux's
 * dma-fences; differences are stated here.
 *
 * Everything is safe to call from any thread at any time unless its CONTEXT says otherwise. What a
 * thread did before it signalled a fence is visible to every thread that has seen it signalled,
 * through any call.
 *
 * Errors are 0 or a negative errno. Times are nanoseconds of CLOCK_MONOTONIC.
 */
#ifndef SAMARA_FENCE_H
#define SAMARA_FENCE_H

#include <samara/export.h>
#include <stdbool.h>
#include <stdint.h>

MT_BEGIN_DECLS

struct fence;
struct timeline;

/* Waits for ever: a timeout. */
#define FENCE_FOREVER (-1)

/* ---- Lifetime ---- */

/*
 * A new fence that is not signalled, with one reference; NULL when out of memory. CONTEXT:
 * allocates, so not within a signalling section.
 */
MT_API struct fence *fence_create(void);

/* Takes a reference. Accepts and returns NULL. */
MT_API struct fence *fence_get(struct fence *f);

/*
 * Drops a reference; NULL is fine. The last one frees the fence. A fence that dies unsignalled is
 * signalled first, with -ECANCELED, so that its callbacks run. CONTEXT: dropping the last reference
 * frees memory and closes the fence's duplicates of eventfds: not within a signalling section. Any
 * other: anywhere.
 */
MT_API void fence_put(struct fence *f);

/* ---- Signalling ---- */

/*
 * Signals @f: its callbacks run, then its waiters wake, then its eventfds become readable. 0, or
 * -EALREADY when it was signalled before (then nothing changes: the first call counts; its
 * callbacks may still be running). @error is 0 or a negative errno, else -EINVAL. The caller's
 * reference must last until the call returns. CONTEXT: any, also a signalling section. ALLOC no.
 * SLEEP no, except for the fence's own lock and what callbacks do. No lock is held while callbacks
 * run. Preserves errno.
 */
MT_API int fence_signal(struct fence *f);
MT_API int fence_signal_error(struct fence *f, int error);

/* Has @f been signalled? Never waits. */
MT_API bool fence_is_signaled(const struct fence *f);
/* The error it was signalled with; 0 if none, or while it is not signalled. */
MT_API int fence_error(const struct fence *f);
/* When it was signalled; 0 while it is not. */
MT_API uint64_t fence_timestamp(const struct fence *f);

/* ---- Being told ---- */

struct fence_cb;
typedef void (*fence_fn)(struct fence *f, struct fence_cb *cb);

/*
 * The caller's memory, private fields; must stay until fn is called (which may free it) or the
 * callback is removed.
 */
struct fence_cb {
	struct fence_cb *next, **pprev;
	fence_fn fn;
};

/*
 * Calls @fn(@f, @cb) once, when @f is signalled, on the thread that signals it, before
 * fence_signal() returns. Callbacks run in the order they were added, before eventfds become
 * readable and before sleeping waiters are woken, except those in fence_wait_any(): each of these
 * is woken by a callback of its own in that order. 0, or -ENOENT when @f is signalled already and
 * @fn will not be called. Within @fn, ask @f only whether it is signalled, its error and its
 * timestamp; a reference to @f that was held for the callback may be dropped (it is not the last
 * one); the thread may be in a signalling section. The callback needs no reference: if all are
 * dropped before @f is signalled, that signals it.
 */
MT_API int fence_add_callback(struct fence *f, struct fence_cb *cb, fence_fn fn);

/*
 * True: removed; its function will not be called. False: its function has run (and returned), or it
 * was never added to @f (then @cb is all zero, or fence_add_callback() refused it). Not for a
 * callback that has been added to another fence meanwhile. CONTEXT: the caller has a reference to
 * @f. Waits for @cb's function if that is running; not within a callback of @f, nor with a lock
 * held that the function takes.
 */
MT_API bool fence_remove_callback(struct fence *f, struct fence_cb *cb);

/*
 * A new eventfd that becomes readable when @f is signalled, or already is; the caller closes it, at
 * any time. For epoll, poll and io_uring loops; reading it is not needed, and does not block
 * (EFD_NONBLOCK, EFD_CLOEXEC). The fence keeps a second descriptor for it until the fence's last
 * reference is dropped. Negative errno: -ENOMEM, -EMFILE, -ENFILE. CONTEXT: allocates.
 */
MT_API int fence_eventfd(struct fence *f);

/* ---- Waiting ---- */
/*
 * @timeout_ns: how long to wait; 0: only look; FENCE_FOREVER (or anything negative): no limit.
 * Returns 0 when signalled (fence_error() says how), -ETIMEDOUT, or -EINTR when a signal handler of
 * this thread ran, SA_RESTART or not: nothing is lost, call again. fence_wait_any() sets *@which
 * (unless NULL) to the first of @f that is signalled, and leaves it alone if none is. With no
 * fences, any is -EINVAL and all is 0 at once. A thread that is not asleep when a fence is
 * signalled may return before the callbacks have run; one asleep in fence_wait_any(), before those
 * added after its wait began. CONTEXT: SLEEP yes, unless @timeout_ns is 0. Not within a read-side
 * section, a signalling section or a callback. ALLOC no (fence_wait_any() allocates for more than
 * 16 fences: -ENOMEM).
 */
MT_API int fence_wait(struct fence *f, int64_t timeout_ns);
MT_API int fence_wait_any(struct fence *const f[], unsigned int nr, int64_t timeout_ns,
			  unsigned int *which);
MT_API int fence_wait_all(struct fence *const f[], unsigned int nr, int64_t timeout_ns);

/* ---- Timelines ---- */
/*
 * A 64-bit value that only grows, starting at @value. The fence of a value is signalled once the
 * timeline has reached the value, but not before the pending fences of lower values. @name is
 * copied, cut to 31 bytes; NULL becomes "unknown". Create, get and put as for fences; a timeline
 * that dies signals the fences it still owes with -ECANCELED.
 */
MT_API struct timeline *timeline_create(const char *name, uint64_t value);
MT_API struct timeline *timeline_get(struct timeline *tl);
MT_API void timeline_put(struct timeline *tl);
MT_API const char *timeline_name(const struct timeline *tl);
MT_API uint64_t timeline_value(const struct timeline *tl);

/*
 * A fence for @value, with a reference for the caller. If the value is already reached the fence is
 * signalled, without an error: the timeline does not remember errors. Two calls may return the same
 * fence or two. The timeline keeps a fence with a callback or an eventfd until the value is
 * reached, whether or not the caller does, and if nobody else holds it then, until the next
 * timeline_fence(). A fence with neither, which nobody else holds, is freed by a later
 * timeline_fence(), before there are many more of them than of others. NULL when out of memory.
 * If a higher value is pending, walks the lower pending ones, starting from the value asked for
 * last if that is not higher than @value; so it is fast when values are asked for in ascending
 * order. CONTEXT: allocates, and may free.
 */
MT_API struct fence *timeline_fence(struct timeline *tl, uint64_t value);

/*
 * Advances the value to @value and signals the fences of all values up to it, lower values first;
 * timeline_signal_error(), with that error. 0; -EINVAL, with nothing changed, when @value is not
 * above the present one or @error is no errno. The value is the new one before the first fence is
 * signalled. On return the fences are signalled, unless another thread was signalling fences of
 * @tl, or this is a callback of one of them: then, to keep the order, that call signals them.
 * CONTEXT: as fence_signal().
 */
MT_API int timeline_signal(struct timeline *tl, uint64_t value);
MT_API int timeline_signal_error(struct timeline *tl, uint64_t value, int error);

/* ---- Signalling sections ---- */
/*
 * For the code that leads up to signalling a fence that others may already be waiting for, perhaps
 * in order to free memory. Inside, the thread must not allocate or free memory; wait for a fence,
 * memory or a grace period (except as mt_credits_begin() does); or take a lock that is anywhere
 * held while one of these is done. Sections nest. A thread's first one registers it with liburcu
 * before it begins, so that the thread can read inside (rcu.h). Debug builds (lockcheck.h) report
 * violations by functions of this library and by what the program has annotated, but not the
 * program's own malloc() or free(). In all builds, functions of this library whose CONTEXT says so
 * behave differently inside, for example gpuva_insert().
 */
MT_API void fence_begin_signalling(void);
MT_API void fence_end_signalling(void);
/* Is the calling thread in one? */
MT_API bool fence_in_signalling(void);

MT_END_DECLS

#endif
