/* SPDX-License-Identifier: MIT */
/*
 * The inside of fences and timelines, for the files of this folder. fence.c and timeline.c explain
 * it.
 */
#ifndef SMR_FENCE_INTERNAL_H
#define SMR_FENCE_INTERNAL_H

#include "base/base.h"
#include "base/order.h"
#include "base/ref.h"
#include <samara/fence.h>
#include <samara/lock.h>

/* Values of fence.state. SIGNALED is final. */
enum {
	SMRI_FENCE_PENDING,  /* not signalled, and no thread sleeps on the word */
	SMRI_FENCE_WAITED,   /* not signalled, a thread may sleep on the word */
	SMRI_FENCE_SIGNALED, /* error and timestamp are final */
};

struct smri_eventfd;

struct fence {
	unsigned int refs;  /* GUARD atomic; ORDER ref */
	unsigned int state; /* GUARD atomic, the futex of waiters; to SIGNALED: lock; ORDER fence */
	uint64_t timestamp; /* GUARD lock until SIGNALED, then constant; ORDER fence */
	int error;          /* GUARD as timestamp */
	unsigned int nr_finished; /* GUARD atomic, a futex: moves on when a callback has returned */
	struct mt_lock lock;      /* RANK fence */
	struct fence_cb *first, **last; /* GUARD lock: callbacks not run yet */
	struct fence_cb *running;       /* GUARD lock: an address only, its memory may be gone */
	bool finish_awaited;            /* GUARD lock: a thread sleeps on nr_finished */
	struct smri_eventfd *eventfds;  /* GUARD lock until SIGNALED, then constant */
	struct fence *next;             /* GUARD the timeline's lock: its place in a list there */
	uint64_t value;                 /* GUARD as next */
};

_Static_assert(sizeof(struct fence) <= 96, "a fence is small");

#define SMRI_TIMELINE_NAME 32

struct fence_list {
	struct fence *first, *last;
};

struct timeline {
	unsigned int refs;             /* GUARD atomic; ORDER ref */
	bool signalling;               /* GUARD lock: a thread is at work on due */
	struct mt_lock lock;           /* RANK timeline */
	uint64_t value;                /* GUARD writes: lock; ORDER timeline */
	struct fence_list pending;     /* GUARD lock */
	unsigned long nr_pending;      /* GUARD lock: how many are pending */
	unsigned long sweep_at;        /* GUARD lock: sweep when so many are pending */
	struct fence *newest;          /* GUARD lock: put into pending last; or NULL */
	struct fence_list due;         /* GUARD lock */
	struct fence *dead;            /* GUARD lock */
	char name[SMRI_TIMELINE_NAME]; /* constant */
};

smr_inline bool smri_fence_signaled(const struct fence *f)
{
	/* ORDER fence: see base/order.h. PARTNER fence_signal_error(). */
	return smr_load(&f->state, ORDER(fence, acquire)) == SMRI_FENCE_SIGNALED;
}

/* Makes all eventfds of a signalled fence readable. ALLOC no. Keeps errno. */
void smri_eventfd_ring(const struct fence *f);
/* Closes the descriptors, and frees the records, of a dying fence's eventfds. */
void smri_eventfd_drop(struct fence *f);

#endif
