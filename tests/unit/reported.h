/* SPDX-License-Identifier: MIT */
/*
 * For tests of the checker: its last report, and functions for its stacks to name. Those must be
 * visible to dladdr(), so they are not static.
 */
#ifndef TESTS_UNIT_REPORTED_H
#define TESTS_UNIT_REPORTED_H

#include "support/cm.h"

#include "lock/check.h"

#include <errno.h>
#include <samara/credits.h>
#include <samara/fence.h>
#include <samara/gpuvm.h>
#include <samara/lockcheck.h>
#include <samara/maple_tree.h>
#include <samara/txn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REPORTED_FRAMES = 40, ENTRY = 7 };

extern struct reported {
	unsigned int nr; /* reports so far */
	enum lockcheck_rule rule;
	char name[40];
	char sentence[400];
	char other[80]; /* the second stack's caption */
	unsigned int frames[2];
	void *frame[2][REPORTED_FRAMES];
} seen;

/* The handler that fills in @seen. */
void note(const struct lockcheck_report *report, void *arg);
/* The set-up of every test: forgets all locks and reports. */
int begin(void **state);
#define TEST(name) cmocka_unit_test_setup(name, begin)

/*
 * Expects one report, of @rule, with a stack through @here and one through @other (NULL: unknown).
 * Forgets it.
 */
void expect(enum lockcheck_rule rule, const char *here, const char *other);
void expect_nothing(void);

void in_thread(void *(*body)(void *), void *arg);

extern struct lockcheck_class class_a, class_b, class_c, class_d, class_e;
extern char a, a2, b, c, d, e; /* locks: only their addresses count */

/* Clang knows no clones. */
#if defined(__has_attribute) && !__has_attribute(noclone)
#define NAMED __attribute__((noinline)) void
#else
#define NAMED __attribute__((noinline, noclone)) void
#endif

NAMED takes(const void *lock, struct lockcheck_class *lock_class, unsigned int flags);
NAMED takes_again(const void *lock, struct lockcheck_class *lock_class, unsigned int flags);
NAMED lets_go(const void *lock);
NAMED locks(struct maple_tree *mt);
NAMED unlocks(struct maple_tree *mt);
NAMED begins(void);
NAMED allocates(void);
NAMED waits(void);
NAMED stores(struct ma_state *mas, gfp_t gfp);
NAMED steps(struct ma_state *mas);
NAMED reads(struct maple_tree *mt);
NAMED reads_again(struct maple_tree *mt);
NAMED reads_no_more(struct maple_tree *mt);
NAMED ends(void);
NAMED preallocates(struct ma_state *mas);
NAMED takes_rank(const void *lock, enum smr_lock_rank rank);
NAMED locks_again(struct maple_tree *mt);
NAMED locks_nested(struct maple_tree *mt);
NAMED waits_for_readers(void);
NAMED destroys(struct mt_mem *mem);
NAMED synchronizes(struct maple_tree *mt);
NAMED waits_for_grace(enum mt_rcu_flavor flavor);
NAMED waits_for_fence(struct fence *fence);
NAMED waits_forever(struct fence *fence);
NAMED stores_on_credit(struct mt_credits *credits, unsigned long key);
NAMED stores_in_txn(struct mt_txn *txn, struct mt_credits *credits, unsigned long key);
NAMED synchronizes_vm(const struct gpuvm *vm);
NAMED puts_object(struct gpuvm_object *obj);
NAMED puts_pair(struct gpuvm_bo *pair);
NAMED puts_vm(struct gpuvm *vm);
NAMED unlinks(struct gpuva *va);
NAMED finds(struct ma_state *mas);

/* Takes @outer, then @inner, and releases both. */
void nest(const void *outer, struct lockcheck_class *outer_class, const void *inner,
	  struct lockcheck_class *inner_class);
/* Stores 200 ranges of five keys, ten apart. */
void fill(struct maple_tree *mt);

#endif
