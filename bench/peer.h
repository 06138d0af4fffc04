/* SPDX-License-Identifier: MIT */
/*
 * What the benchmark asks of a data structure, in plain C: each peer is one table of functions. All
 * peers live in one process and are called through the same pointers, so that the cost of a call is
 * the same for all.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum bench_can {
	BENCH_CAN_STORE = 1,   /* stores and erases after the build; else: fill() only */
	BENCH_CAN_GAP = 2,     /* searches gaps */
	BENCH_CAN_READERS = 4, /* lets others read beside a writer, without a lock */
	BENCH_ON_REQUEST = 8,  /* runs only when named with --peer */
	BENCH_LOCKS = 16,      /* the same with a lock around each call: only beside readers */
	BENCH_APART = 32,      /* a thread that writes cannot read as well */
};

struct bench_range {
	unsigned long first;
	unsigned long last;
	void *entry;
};

/* What an iteration has seen: compared with what is known to be there. */
struct bench_sum {
	unsigned long count;
	unsigned long sum; /* of entry xor first key */
};

struct bench_peer {
	const char *name;
	const char *what;
	unsigned int can;
	void *(*create)(void);
	void (*destroy)(void *tree);
	/* Replaces whatever is in [first..last]; 0 or a negative errno. */
	int (*store)(void *tree, unsigned long first, unsigned long last, void *entry);
	/* Takes @n disjoint ranges in ascending order at once (peers without BENCH_CAN_STORE). */
	int (*fill)(void *tree, const struct bench_range *ranges, size_t n);
	void *(*load)(void *tree, unsigned long key);
	/* Erases the range around @key; its entry, or NULL. */
	void *(*erase)(void *tree, unsigned long key);
	/* Leaves nothing in [first..last], whatever was there; 0 or a negative errno. */
	int (*clear)(void *tree, unsigned long first, unsigned long last);
	struct bench_sum (*iterate)(void *tree);
	/* Where the lowest or highest @size free keys in [min..max] begin; ULONG_MAX: nowhere. */
	unsigned long (*gap)(void *tree, unsigned long size, unsigned long min, unsigned long max,
			     bool highest);
	/* Memory in nodes, as the allocator hands it out. */
	size_t (*bytes)(void *tree);
	/* Waits for deferred frees. May be NULL, as may the three below. */
	void (*settle)(void *tree);
	/* Called by each thread before its first and after its last load. */
	void (*enter)(void);
	void (*leave)(void);
	/*
	 * Called by a reader that goes on for long now and then, when it holds nothing. May be
	 * NULL.
	 */
	void (*rest)(void);
	/* Looks up @n keys at once. May be NULL. */
	void (*load_batch)(void *tree, const unsigned long *key, void **entry, size_t n);
};

/* All peers that can run here, ending with NULL. */
const struct bench_peer *const *bench_peers(void);
/* Why Linux's tree is not among them, or NULL. */
const char *bench_linux_missing(void);

/* The last two give the number of peers they have put into @list. */
extern const struct bench_peer bench_std_map, bench_std_map_locked;
extern const struct bench_peer bench_absl_btree, bench_absl_btree_locked;
extern const struct bench_peer bench_boost_icl, bench_rb_tree, bench_sorted_array;
size_t bench_samara_peers(const struct bench_peer **list);
size_t bench_linux_peers(const struct bench_peer **list);

#ifdef __cplusplus
}
#endif

#endif
