/* SPDX-License-Identifier: MIT */
/*
 * What the benchmark asks of a data structure, in plain C: each peer is a table of functions. All
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
	BENCH_CAN_STORE = 1,   /* stores and erases after the build; without it: fill() only */
	BENCH_CAN_GAP = 2,     /* searches for gaps */
	BENCH_CAN_READERS = 4, /* allows readers beside a writer, without a lock */
	BENCH_ON_REQUEST = 8,  /* runs only when named with --peer */
	BENCH_LOCKS = 16,      /* a lock around each call: only for readers beside a writer */
	BENCH_APART = 32,      /* a thread that writes cannot read */
};

struct bench_range {
	unsigned long first;
	unsigned long last;
	void *entry;
};

/* What an iteration has seen, to be compared with what should be there. */
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
	/* Replaces whatever is in [first..last]. Returns 0 or a negative errno. */
	int (*store)(void *tree, unsigned long first, unsigned long last, void *entry);
	/* Takes @n disjoint ranges in ascending order at once (peers without BENCH_CAN_STORE). */
	int (*fill)(void *tree, const struct bench_range *ranges, size_t n);
	void *(*load)(void *tree, unsigned long key);
	/* Erases the range around @key. Returns its entry, or NULL. */
	void *(*erase)(void *tree, unsigned long key);
	/* Erases all that is in [first..last], whatever it is. Returns 0 or a negative errno. */
	int (*clear)(void *tree, unsigned long first, unsigned long last);
	struct bench_sum (*iterate)(void *tree);
	/*
	 * Returns where the lowest or highest @size free keys in [min..max] begin; ULONG_MAX:
	 * nowhere.
	 */
	unsigned long (*gap)(void *tree, unsigned long size, unsigned long min, unsigned long max,
			     bool highest);
	/* Bytes of nodes, as the allocator hands them out. */
	size_t (*bytes)(void *tree);
	/* Waits for deferred frees. May be NULL, as may the next two. */
	void (*settle)(void *tree);
	/* Called by each thread before its first and after its last load. */
	void (*enter)(void);
	void (*leave)(void);
	/*
	 * Called now and then by a reader that runs for long, when it holds no references. May be
	 * NULL.
	 */
	void (*rest)(void);
	/* Looks up @n keys at once. May be NULL. */
	void (*load_batch)(void *tree, const unsigned long *key, void **entry, size_t n);
};

/* All peers that can run here, ending with NULL. */
const struct bench_peer *const *bench_peers(void);
/* Returns why Linux's tree is not among them, or NULL. */
const char *bench_linux_missing(void);

/* The last two functions put peers into @list and return their number. */
extern const struct bench_peer bench_std_map, bench_std_map_locked;
extern const struct bench_peer bench_absl_btree, bench_absl_btree_locked;
extern const struct bench_peer bench_boost_icl, bench_rb_tree, bench_sorted_array;
size_t bench_samara_peers(const struct bench_peer **list);
size_t bench_linux_peers(const struct bench_peer **list);

#ifdef __cplusplus
}
#endif

#endif
