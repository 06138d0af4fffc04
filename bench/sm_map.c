/* SPDX-License-Identifier: MIT */
/*
 * Maps random ranges into a full GPU address space: each map cuts what it meets at its ends, drops
 * what it covers, and takes its place. Samara's manager and two built on red-black trees get the
 * same requests, a slice at a time in turn, in one process on one CPU; after each slice all must
 * have taken the same steps.
 *
 *	samara-bench-sm-map [MAPPINGS [SLICES]]
 */
#define _GNU_SOURCE
#include "sm_map.h"
#include "program.h"
#include "random.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	SLICE = 20000,
	SLICES_MAX = 999,
	MAPPINGS_MAX = 100000000,
	PAGES_MAX = 61,
	EACH = 16,
	FINDS = 20000
};

#define PAGE 4096UL

static const struct sm_peer *const peers[] = {
	&sm_samara,
	&sm_rb_tree,
	&sm_rb_interval_tree,
};

enum { NR_PEERS = sizeof(peers) / sizeof(peers[0]) };

struct vm {
	const struct sm_peer *peer;
	void *vm;
	struct sm_steps steps;
	double ns[SLICES_MAX]; /* per map, in each slice */
};

static uint64_t random_state = 1;
static struct sm_map requests[SLICE];
static uint64_t pages; /* of the address space */

static uint64_t random_next(void)
{
	return bench_random(&random_state);
}

static void die(const struct vm *v, const char *what)
{
	fprintf(stderr, "samara-bench-sm-map: %s: %s\n", v->peer->name, what);
	exit(1);
}

/* ---- Requests ---- */

/*
 * Each object is mapped where its offsets equal the addresses, so a map over a mapping of the same
 * object continues it: one in four does.
 */
static struct sm_map request(uint64_t page, uint64_t nr)
{
	return (struct sm_map){ page * PAGE, nr * PAGE, 1 + random_next() % SM_OBJECTS,
				page * PAGE };
}

static void make_requests(void)
{
	for (unsigned int i = 0; i < SLICE; i++) {
		const uint64_t nr = 1 + random_next() % PAGES_MAX;

		requests[i] = request(random_next() % (pages - nr + 1), nr);
	}
}

static void map(struct vm *v, const struct sm_map *r)
{
	if (v->peer->map(v->vm, r))
		die(v, "a map failed");
}

/*
 * After random ranges have been mapped over each other for long, mappings are half as long as
 * ranges on average: EACH pages, with PAGES_MAX. They begin with that length, and their number
 * stays.
 */
static void fill(struct vm *v, uint64_t mappings)
{
	random_state = 1;
	pages = mappings * EACH;
	v->vm = v->peer->create(pages * PAGE, &v->steps);
	if (!v->vm)
		die(v, "no VM");
	for (uint64_t i = 0; i < mappings; i++) {
		const struct sm_map r = request(i * EACH, EACH);

		map(v, &r);
	}
}

static double map_all(struct vm *v)
{
	const double start = bench_now_ns();

	for (unsigned int i = 0; i < SLICE; i++)
		map(v, &requests[i]);
	return (bench_now_ns() - start) / SLICE;
}

/* ---- Comparing ---- */

static void compare_steps(const struct vm *v)
{
	for (unsigned int i = 1; i < NR_PEERS; i++) {
		if (v[i].steps.sum != v[0].steps.sum || v[i].steps.count != v[0].steps.count)
			die(&v[i], "its steps are not those of the first");
		if (v[i].peer->count(v[i].vm) != v[0].peer->count(v[0].vm))
			die(&v[i], "it has another number of mappings");
	}
}

/*
 * The space is full, so a look-up must find a mapping around its address, at the same offset of its
 * object in all peers.
 */
static void check_finds(const struct vm *v)
{
	for (unsigned int k = 0; k < FINDS; k++) {
		const uint64_t addr = random_next() % (pages * PAGE);
		struct sm_map first, m;

		for (unsigned int i = 0; i < NR_PEERS; i++) {
			if (!v[i].peer->find(v[i].vm, addr, &m) || addr - m.addr >= m.range ||
			    m.offset != m.addr)
				die(&v[i], "a look-up is wrong");
			if (i == 0)
				first = m;
			if (m.addr != first.addr || m.range != first.range ||
			    m.object != first.object)
				die(&v[i], "a look-up differs from the first's");
		}
	}
}

static void check_unmaps(const struct vm *v)
{
	for (unsigned int i = 0; i < NR_PEERS; i++)
		if (v[i].peer->unmap(v[i].vm, PAGE / 2, (pages - 1) * PAGE) ||
		    v[i].peer->count(v[i].vm) != 2)
			die(&v[i], "an unmap of all but the ends leaves something");
	compare_steps(v);
}

/* Sorts @values. */
static void print_spread(const char *name, double *values, unsigned int nr, int digits)
{
	bench_sort(values, nr);
	printf("%-38s %9.*f %9.*f %9.*f\n", name, digits, values[nr / 2], digits, values[nr / 10],
	       digits, values[nr - 1 - nr / 10]);
}

/*
 * How much faster the first is than @other, slice by slice. Call before print_spread() sorts them.
 */
static void print_ratio(const struct vm *first, const struct vm *other, unsigned int slices)
{
	static double ratio[SLICES_MAX];
	char name[64];

	for (unsigned int s = 0; s < slices; s++)
		ratio[s] = other->ns[s] / first->ns[s];
	snprintf(name, sizeof(name), "%s, times %s's rate", first->peer->name, other->peer->name);
	print_spread(name, ratio, slices, 2);
}

static void report(struct vm *v, unsigned int slices)
{
	printf("%zu mappings, %.1f steps a map, %u slices of %d maps each in turn\n",
	       v[0].peer->count(v[0].vm), (double)v[0].steps.count / (slices * (double)SLICE),
	       slices, SLICE);
	printf("%-38s %9s %9s %9s\n", "", "median", "p10", "p90");
	for (unsigned int i = 1; i < NR_PEERS; i++)
		print_ratio(&v[0], &v[i], slices);
	for (unsigned int i = 0; i < NR_PEERS; i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s, ns per map", v[i].peer->name);
		print_spread(name, v[i].ns, slices, 0);
	}
}

static void pin(void)
{
	cpu_set_t allowed, one;

	CPU_ZERO(&one);
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return;
	for (int cpu = CPU_SETSIZE - 1; cpu >= 0 && !CPU_COUNT(&one); cpu--)
		if (CPU_ISSET(cpu, &allowed))
			CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one); /* without it a measurement is worse, not wrong */
}

int main(int argc, char **argv)
{
	unsigned long mappings = 300000, slices = 100;
	static struct vm v[NR_PEERS];

	if (argc > 3 || (argc > 1 && !bench_count(argv[1], 100, MAPPINGS_MAX, &mappings)) ||
	    (argc > 2 && !bench_count(argv[2], 1, SLICES_MAX, &slices))) {
		fprintf(stderr,
			"usage: samara-bench-sm-map [MAPPINGS [SLICES]]\n"
			"100 to %d mappings and 1 to %d slices\n",
			MAPPINGS_MAX, SLICES_MAX);
		return 2;
	}
	pin();
	for (unsigned int i = 0; i < NR_PEERS; i++) {
		v[i].peer = peers[i];
		fill(&v[i], mappings);
	}
	/* Not measured: until the lengths of mappings no longer change. */
	for (unsigned long done = 0; done < mappings; done += SLICE) {
		make_requests();
		for (unsigned int i = 0; i < NR_PEERS; i++)
			map_all(&v[i]);
	}
	for (unsigned int i = 0; i < NR_PEERS; i++)
		v[i].steps.count = 0;
	for (unsigned int s = 0; s < slices; s++) {
		make_requests();
		for (unsigned int i = 0; i < NR_PEERS; i++) {
			struct vm *turn = &v[(i + s) % NR_PEERS];

			turn->ns[s] = map_all(turn);
		}
		compare_steps(v);
	}
	report(v, (unsigned int)slices);
	check_finds(v);
	check_unmaps(v);
	for (unsigned int i = 0; i < NR_PEERS; i++)
		v[i].peer->destroy(v[i].vm);
	return bench_end_output("samara-bench-sm-map");
}
