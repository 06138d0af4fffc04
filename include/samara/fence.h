/* SPDX-License-Identifier: MIT */
/*
 * Fences: one-shot events that others wait for.
 *
 * A fence is signalled once, with or without an error, and stays so. Whoever holds a reference may
 * ask, wait, be called back, or have an eventfd made readable, and also signal it. Timelines are
 * counters whose values can be waited for as fences. The idea and most names are those of Linux's
 * dma-fences; differences are said here.
 *
 * Everything is safe to call from any thread at any time unless its CONTEXT says otherwise. What a
 * thread did before it signalled a fence is visible to every thread that has seen it signalled, by
 * whichever call.
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

/* One reference more. Accepts and returns NULL. */
MT_API struct fence *fence_get(struct fence *f);

/*
 * One reference less; NULL is fine. The last one frees the fence. A fence that dies unsignalled is
 * signalled first, with -ECANCELED, so that its callbacks run. CONTEXT: the last reference frees
 * memory, and closes the fence's duplicates of eventfds: not within a signalling section. Any
 * other: anywhere.
 */
MT_API void fence_put(struct fence *f);

/* ---- Signalling ---- */

/*
 * Signals @f: its callbacks run, then its waiters wake, then its eventfds become readable. 0, or
 * -EALREADY when it was signalled before (then nothing changes: the first one counts; its callbacks
 * may be running still). @error is 0 or a negative errno, else -EINVAL. The caller's reference must
 * last until the call is over. CONTEXT: any, also a signalling section. ALLOC no. SLEEP no, but for
 * the fence's own lock and what callbacks do. No lock is held while callbacks run. Keeps errno.
 */
MT_API int fence_signal(struct fence *f);
MT_API int fence_signal_error(struct fence *f, int error);

/* Has it been signalled? Never waits. */
MT_API bool fence_is_signaled(const struct fence *f);
/* The error it was signalled with; 0 for none, and while it is not signalled. */
MT_API int fence_error(const struct fence *f);
/* When it was signalled; 0 while it is not. */
MT_API uint64_t fence_timestamp(const struct fence *f);

/* ---- Being told ---- */

struct fence_cb;
typedef void (*fence_fn)(struct fence *f, struct fence_cb *cb);

/*
 * The caller's memory, private fields; it stays until fn is called (which may free it) or the
 * callback is removed.
 */
struct fence_cb {
	struct fence_cb *next, **pprev;
	fence_fn fn;
};

/*
 * @fn(@f, @cb) is called once, when @f is signalled, by the thread that signals it, before
 * fence_signal() returns, in the order in which callbacks were added; before sleeping waiters are
 * woken, but for those in fence_wait_any(), each woken by a callback in its place among the others;
 * and before eventfds become readable. 0; or -ENOENT when @f is signalled already, and @fn will not
 * be called. In @fn: nothing may be asked of @f but whether it is signalled, its error and its
 * timestamp; a reference to @f that was held for the callback may be dropped (it is not the last
 * one); the thread may be in a signalling section. The callback needs no reference: if all go
 * before @f is signalled, that signals it.
 */
MT_API int fence_add_callback(struct fence *f, struct fence_cb *cb, fence_fn fn);

/*
 * True: removed, and its function will not be called. False: it has run (and has returned), or was
 * never added to @f (@cb is all zero then, or fence_add_callback() has refused it). Not for one
 * that has been added to another fence meanwhile. CONTEXT: waits for @cb's function if that is
 * running; not within a callback of @f, nor with a lock held that the function takes.
 */
MT_API bool fence_remove_callback(struct fence *f, struct fence_cb *cb);

/*
 * A new eventfd that becomes readable when @f is signalled, or is so already; the caller closes it,
 * at any time. For epoll, poll and io_uring loops; reading it is not needed, and does not block
 * (EFD_NONBLOCK, EFD_CLOEXEC). The fence has a second descriptor for it until its last reference
 * goes. Negative errno: -ENOMEM, -EMFILE, -ENFILE. CONTEXT: allocates.
 */
MT_API int fence_eventfd(struct fence *f);

/* ---- Waiting ---- */
/*
 * @timeout_ns: how long, 0 to look only, FENCE_FOREVER (or anything negative). 0: signalled
 * (fence_error() says how); -ETIMEDOUT; -EINTR: a signal handler of this thread ran, SA_RESTART or
 * not; nothing is lost, call again. fence_wait_any() says in *@which (unless NULL) the first of @f
 * that is signalled, and leaves it alone otherwise; of no fences any is -EINVAL, all is 0 at once.
 * Who is not asleep when a fence is signalled may return before its callbacks, and who sleeps in
 * fence_wait_any() before those that were added after it had begun. CONTEXT: SLEEP yes, unless
 * @timeout_ns is 0. Not within a read-side section, nor a signalling section, nor a callback. ALLOC
 * no (fence_wait_any(): of more than 16 fences it allocates, -ENOMEM).
 */
MT_API int fence_wait(struct fence *f, int64_t timeout_ns);
MT_API int fence_wait_any(struct fence *const f[], unsigned int nr, int64_t timeout_ns,
			  unsigned int *which);
MT_API int fence_wait_all(struct fence *const f[], unsigned int nr, int64_t timeout_ns);

/* ---- Timelines ---- */
/*
 * A 64-bit value that only grows, from @value on. The fence of a value is signalled once the
 * timeline has reached it, and not before those that were waiting for lower values. @name is
 * copied, cut to 31 bytes; NULL becomes "unknown". Create, get and put as for fences; a timeline
 * that dies signals the fences it still owes with -ECANCELED.
 */
MT_API struct timeline *timeline_create(const char *name, uint64_t value);
MT_API struct timeline *timeline_get(struct timeline *tl);
MT_API void timeline_put(struct timeline *tl);
MT_API const char *timeline_name(const struct timeline *tl);
MT_API uint64_t timeline_value(const struct timeline *tl);

/*
 * A fence for @value, the caller's reference; signalled already if the value is reached, and
 * without an error: the timeline does not remember with which it was. Two calls may return the same
 * fence or two. The timeline keeps it until the value is reached, whether or not the caller does,
 * and if nobody else has it then, until the next timeline_fence(). NULL when out of memory. Goes
 * through the lower values that are waited for, from the one asked for last on if that is not
 * higher, unless none is higher than @value: so it is quick where they are asked for upwards.
 * CONTEXT: allocates, and may free.
 */
MT_API struct fence *timeline_fence(struct timeline *tl, uint64_t value);

/*
 * Moves the value on to @value, and signals the fences of all values up to it, lower values first;
 * (with error) with that error. 0; -EINVAL when @value is not above the present one, or @error no
 * errno, and nothing changes. The value is the new one before the first fence is signalled. When it
 * returns, the fences are signalled, unless another thread was signalling fences of @tl, or this is
 * a callback of one of them: then that call does it, for the sake of the order. CONTEXT: as
 * fence_signal().
 */
MT_API int timeline_signal(struct timeline *tl, uint64_t value);
MT_API int timeline_signal_error(struct timeline *tl, uint64_t value, int error);

/* ---- Signalling sections ---- */
/*
 * Around the code that leads up to signalling a fence that others may be waiting for already,
 * perhaps in order to free memory. In between the thread must not allocate or free memory, wait for
 * a fence, a grace period (but as mt_credits_begin() does) or memory, nor take a lock that is
 * anywhere held while one of these is done. Sections nest. A thread's first one registers it with
 * liburcu before it begins, so that it can read in there (rcu.h). Debug builds (lockcheck.h) report
 * what functions of this library break of that, and what the program has annotated: not a malloc()
 * or free() of its own. In all builds functions of this library whose CONTEXT says so behave
 * differently inside, gpuva_insert() for one.
 */
MT_API void fence_begin_signalling(void);
MT_API void fence_end_signalling(void);
/* Is the calling thread in one? */
MT_API bool fence_in_signalling(void);

MT_END_DECLS

#endif
