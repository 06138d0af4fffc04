/* SPDX-License-Identifier: MIT */
/*
 * The strict level: all that mappings, jobs and the index can need is paid for when the VM is
 * created. Then others use up its arena to the last node, and still only what exceeds the given
 * limits is refused: neither one unmap for each mapping in whatever order, nor unmaps of pieces,
 * nor maps.
 */
#include "support/cm.h"

#include "bind/bind_internal.h"
#include "support/env.h"
#include "support/gpuvm_toy.h"
#include "support/hoard.h"
#include "support/memfault.h"
#include "support/rng.h"
#include "support/treecheck.h"
#include "tree/edit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPS = 200, OBJECTS = 2 };

/*
 * What a page is part of: no mapping, one that begins there, or one that begins before. The offset
 * is the page's number.
 */
enum { NOTHING, BEGINS, GOES_ON };

static struct {
	struct mt_mem *mem;
	struct smr_nodes hoard;
	struct gpuvm vm;
	struct gpuvm_object resv, objs[OBJECTS];
	struct bind_queue *q;
	unsigned long pages, live;
	unsigned char *state, *obj;
} w;

/* ---- The model ---- */

static void set(unsigned long page, unsigned char state)
{
	w.live -= w.state[page] == BEGINS;
	w.live += state == BEGINS;
	w.state[page] = state;
}

static void model_unmap(unsigned long first, unsigned long nr)
{
	for (unsigned long i = first; i < first + nr; i++)
		set(i, NOTHING);
	if (w.state[first + nr] == GOES_ON)
		set(first + nr, BEGINS);
}

static void model_map(unsigned long first, unsigned long nr, unsigned int obj)
{
	model_unmap(first, nr);
	for (unsigned long i = first; i < first + nr; i++) {
		set(i, i == first ? BEGINS : GOES_ON);
		w.obj[i] = (unsigned char)obj;
	}
}

static void model_unmap_all(unsigned int obj)
{
	for (unsigned long i = 0; i < w.pages; i++)
		if (w.obj[i] == obj)
			set(i, NOTHING);
}

static void model_apply(const struct bind_op *op)
{
	unsigned int obj = (unsigned int)(op->obj - w.objs);

	if (op->type == BIND_MAP)
		model_map(op->addr, op->range, obj);
	else if (op->type == BIND_UNMAP)
		model_unmap(op->addr, op->range);
	else
		model_unmap_all(obj);
}

/* ---- Small world ---- */

static void free_vm(struct gpuvm *vm)
{
	(void)vm;
}

/* Makes a strict VM of @pages. */
static void begin_amply(unsigned long pages, unsigned long mappings, unsigned long ops)
{
	static const struct gpuvm_ops vm_ops = { .vm_free = free_vm };
	struct bind_config config = {
		.size = sizeof(config), .max_mappings = mappings, .max_jobs = 16, .max_ops = ops
	};

	memset(&w, 0, sizeof(w));
	w.pages = pages;
	w.state = calloc(pages + 1, 1);
	w.obj = calloc(pages + 1, 1);
	w.mem = mt_mem_create((2 + mappings / 8192) * MT_CHUNK_SIZE, NULL);
	assert_non_null(w.mem);
	gpuvm_object_init(&w.resv, 0, NULL, NULL);
	for (unsigned int i = 0; i < OBJECTS; i++)
		gpuvm_object_init(&w.objs[i], 0, w.resv.resv, NULL);
	assert_int_equal(gpuvm_init(&w.vm, "strict", 0, NULL, &w.resv, 0, pages + 100, pages + 50,
				    10, &vm_ops),
			 0);
	assert_int_equal(gpuvm_set_mem(&w.vm, w.mem), 0);
	assert_int_equal(bind_vm_init(&w.vm, &config), 0);
	w.q = bind_queue_create(&w.vm, "strict", NULL);
	assert_non_null(w.q);
}

/* The same, in an arena that is used up afterwards. */
static void begin(unsigned long pages, unsigned long mappings, unsigned long ops)
{
	begin_amply(pages, mappings, ops);
	hoard_all(w.mem, &w.hoard, GFP_KERNEL);
}

static struct bind_stats stats(void)
{
	struct bind_stats s;

	bind_vm_stats(&w.vm, &s);
	return s;
}

static void settle(void)
{
	assert_int_equal(bind_queue_wait(w.q, FENCE_FOREVER), 0);
	while (stats().vas_limbo > 0)
		usleep(100);
}

/* Checks that the VM matches the model, and that no marker has stayed. */
static void compare(void)
{
	unsigned long nr = 0;
	struct gpuva *va;

	settle();
	gpuvm_lock(&w.vm);
	gpuvm_for_each_va(va, &w.vm)
	{
		assert_int_equal(va->gem.offset, va->va.addr);
		for (unsigned long i = va->va.addr; i < va->va.addr + va->va.range; i++) {
			assert_int_equal(w.state[i], i == va->va.addr ? BEGINS : GOES_ON);
			assert_ptr_equal(va->gem.obj, &w.objs[w.obj[i]]);
		}
		assert_int_not_equal(w.state[va->va.addr + va->va.range], GOES_ON);
		nr++;
	}
	assert_int_equal(w.vm.markers, 0);
	assert_true(toy_markers_counted(&w.vm));
	assert_int_equal(mt_check(&w.vm.tree, NULL, 0), 0);
	gpuvm_unlock(&w.vm);
	assert_int_equal(nr, w.live);
	assert_int_equal(stats().vas_live, w.live);
	assert_int_equal(stats().unmaps_inline, 0);
}

static void end(void)
{
	struct mt_mem_stats mem;

	compare();
	assert_int_equal(bind_vm_close(&w.vm, BIND_DRAIN), 0);
	bind_queue_destroy(w.q);
	gpuvm_put(&w.vm);
	for (unsigned int i = 0; i < OBJECTS; i++) {
		assert_int_equal(w.objs[i].refs, 1);
		gpuvm_object_put(&w.objs[i]);
	}
	gpuvm_object_put(&w.resv);
	hoard_give(w.mem, &w.hoard);
	mt_mem_barrier(w.mem);
	assert_int_equal(nodes_in_use(w.mem), 0);
	mt_mem_stats(w.mem, &mem);
	assert_int_equal(mem.nodes_pledged, 0);
	mt_mem_destroy(w.mem);
	free(w.state);
	free(w.obj);
}

/* ---- Requests ---- */

static struct bind_op map_of(unsigned long first, unsigned long nr, unsigned int obj)
{
	return (struct bind_op){ BIND_MAP, 0, first, nr, &w.objs[obj], first };
}

static struct bind_op unmap_of(unsigned long first, unsigned long nr)
{
	return (struct bind_op){ .type = BIND_UNMAP, .addr = first, .range = nr };
}

static int submit(const struct bind_op *ops, unsigned int nr)
{
	struct bind_job job = { .ops = ops, .nr_ops = nr };
	int err = bind_queue_submit(w.q, &job);

	for (unsigned int i = 0; !err && i < nr; i++)
		model_apply(&ops[i]);
	return err;
}

static void submit_good(struct bind_op op)
{
	assert_int_equal(submit(&op, 1), 0);
}

/* Maps every other page, 64 in a job. */
static void fill(unsigned long mappings)
{
	struct bind_op ops[64];
	unsigned int nr = 0;

	for (unsigned long i = 0; i < mappings; i++) {
		ops[nr++] = map_of(2 * (i * 7919 % mappings), 1, 0);
		if (nr < 64 && i + 1 < mappings)
			continue;
		/*
		 * While a job is outstanding the most that it may add counts; afterwards only what
		 * it has added.
		 */
		for (int err = -ENOSPC; err;) {
			err = submit(ops, nr);
			assert_true(err == 0 || err == -ENOSPC);
			if (err)
				settle();
		}
		nr = 0;
	}
}

/* ---- One unmap for each mapping ---- */

enum order { UP, DOWN, SHUFFLED, FROM_BOTH_ENDS, ORDERS };

static unsigned long nth(enum order order, unsigned long i, unsigned long n)
{
	switch (order) {
	case UP:
		return i;
	case DOWN:
		return n - 1 - i;
	case SHUFFLED:
		return i * 10007 % n;
	default:
		return i % 2 ? n - 1 - i / 2 : i / 2;
	}
}

static void every_mapping_goes(void **state)
{
	/* Primes, so that any step reaches all; with room for what outstanding jobs may add. */
	const unsigned long n = env_stride() > 1 ? 251 : 5003;

	(void)state;
	for (enum order order = UP; order < ORDERS; order++) {
		begin(2 * n, n + 200, 64);
		for (unsigned int round = 0; round < 2; round++) {
			fill(n);
			compare();
			assert_int_equal(w.live, n);
			for (unsigned long i = 0; i < n; i++)
				submit_good(unmap_of(2 * nth(order, i, n), 1));
			compare();
			assert_int_equal(w.live, 0);
		}
		end();
	}
}

/* ---- Pieces ---- */

/*
 * Unmaps the middle of every mapping, and then of what is left, until each is a page. Then these,
 * too.
 */
static void every_piece_goes(void **state)
{
	enum { LONG = 63 };
	const unsigned long n = env_scaled(300), pages = n * (LONG + 1);

	(void)state;
	begin(pages, n * (LONG + 1) / 2 + 200, 64);
	for (unsigned long i = 0; i < n; i++)
		submit_good(map_of(i * (LONG + 1), LONG, (unsigned int)(i % OBJECTS)));
	for (unsigned int len = LONG; len > 1; len /= 2)
		for (unsigned long i = 0; i < pages; i += len + 1)
			submit_good(unmap_of(i + len / 2, 1));
	compare();
	assert_int_equal(w.live, n * (LONG + 1) / 2);
	for (unsigned long i = 0; i < pages; i += 2)
		submit_good(unmap_of(nth(SHUFFLED, i / 2, pages / 2) * 2, 1));
	compare();
	assert_int_equal(w.live, 0);
	end();
}

/* ---- Anything ---- */

static struct bind_op random_op(struct rng *rng)
{
	unsigned long nr = 1 + rng_below(rng, rng_one_in(rng, 200) ? w.pages / 2 : 12);
	unsigned long first = rng_below(rng, w.pages - nr);
	unsigned int obj = rng_one_in(rng, 4);

	if (rng_one_in(rng, 500))
		return (struct bind_op){ .type = BIND_UNMAP_ALL, .obj = &w.objs[1] };
	return rng_below(rng, 5) < 3 ? map_of(first, nr, obj) : unmap_of(first, nr);
}

static unsigned long growth_of(const struct bind_op *ops, unsigned int nr)
{
	unsigned long growth = 0;

	for (unsigned int i = 0; i < nr; i++)
		growth += ops[i].type == BIND_MAP ? 2 : ops[i].type == BIND_UNMAP;
	return growth;
}

/* Near the limit hardly anything else is accepted: only few jobs cannot add mappings. */
static void make_room(unsigned int obj)
{
	submit_good((struct bind_op){ .type = BIND_UNMAP_ALL, .obj = &w.objs[obj] });
}

/*
 * A job is never refused for lack of memory; and if none is outstanding, it is refused for the
 * limit if and only if it could exceed it.
 */
static void only_limits_refuse(void **state)
{
	/* So few that jobs reach the limit again and again. */
	const unsigned long mappings = 600, n = env_scaled(27000) + 3000;
	unsigned long refused = 0, accepted = 0;
	struct bind_op ops[OPS];

	(void)state;
	begin(25 * mappings, mappings, OPS);
	for (unsigned long i = 0; i < n; i++) {
		struct rng rng = rng_make(env_seed(), i);
		/* Large ones need more than a batch of credits. */
		unsigned int nr = 1 +
				  (unsigned int)rng_below(&rng, rng_one_in(&rng, 500) ? OPS : 4);
		bool beyond;
		int err;

		for (unsigned int k = 0; k < nr; k++)
			ops[k] = random_op(&rng);
		err = submit(ops, nr);
		if (err) {
			assert_int_equal(err, -ENOSPC);
			settle();
			beyond = w.live + growth_of(ops, nr) > mappings;
			err = submit(ops, nr);
			assert_int_equal(err, beyond ? -ENOSPC : 0);
		}
		refused += err != 0;
		if (err && refused % 8 == 0)
			make_room(refused / 8 % OBJECTS);
		accepted += !err;
		if (i % 5000 == 0)
			compare();
	}
	assert_true(accepted > refused && refused > 0);
	print_message("%lu jobs accepted, %lu beyond the limit\n", accepted, refused);
	end();
}

/*
 * Maps and unmaps of all of an object, whose markers must not stay: there is never any memory to
 * clear them with.
 */
static void objects_come_and_go(void **state)
{
	const unsigned long n = env_stride() > 1 ? 601 : 3001;

	(void)state;
	begin(2 * n * 8, n + 200, 64);
	for (unsigned int round = 0; round < 8; round++) {
		for (unsigned long i = 0; i < n; i++)
			submit_good(map_of(2 * (round * n + i), 1, 0));
		/* Cut into pieces, each of which is replaced by a marker. */
		for (unsigned long i = 0; i < 20; i++)
			submit_good(map_of(2 * (round * n + 7 * i), 1, 1));
		submit_good((struct bind_op){ .type = BIND_UNMAP_ALL, .obj = &w.objs[0] });
		submit_good((struct bind_op){ .type = BIND_UNMAP_ALL, .obj = &w.objs[1] });
		compare();
		assert_int_equal(w.live, 0);
	}
	end();
}

/*
 * The same while there is memory: clearing with unpledged nodes leaves all of those that are paid
 * for.
 */
static void objects_go_while_there_is_memory(void **state)
{
	const unsigned long n = env_stride() > 1 ? 601 : 3001;

	(void)state;
	begin_amply(2 * n, n + 200, 64);
	for (unsigned long i = 0; i < n; i++)
		submit_good(map_of(2 * i, 1, 0));
	compare();
	submit_good((struct bind_op){ .type = BIND_UNMAP_ALL, .obj = &w.objs[0] });
	compare();
	hoard_all(w.mem, &w.hoard, GFP_KERNEL);
	fill(n);
	compare();
	end();
}

/*
 * Leaves as empty as possible, and blocks of mappings unmapped from among others: none of the
 * stores covers a whole leaf.
 */
static void blocks_go_while_there_is_memory(void **state)
{
	const unsigned long n = 400, rounds = env_scaled(60) + 10;

	(void)state;
	begin_amply(2 * n, n + 200, 64);
	for (unsigned long round = 0; round < rounds; round++) {
		struct rng rng = rng_make(env_seed(), round);
		unsigned int drop = 2 + (unsigned int)rng_below(&rng, 7), obj = 0;

		for (unsigned long i = 0; i < n; i++) {
			obj ^= rng_one_in(&rng, 16);
			submit_good(map_of(2 * i, 1 + rng_below(&rng, 2), obj));
		}
		for (unsigned long i = 0; i < n; i++)
			if (rng_below(&rng, 10) < drop)
				submit_good(unmap_of(2 * nth(SHUFFLED, i, n), 2));
		submit_good((struct bind_op){ .type = BIND_UNMAP_ALL, .obj = &w.objs[0] });
		compare();
	}
	end();
}

/* ---- The largest index ---- */

/* Whether the leaf could lose @page's mapping without being merged with another. */
static bool leaf_can_spare(unsigned long page)
{
	struct smr_path path;
	unsigned int count, slot;

	gpuvm_lock(&w.vm);
	assert_true(smr_edit_find(&w.vm.tree, page, &path));
	count = smr_count(path.node[path.depth]);
	slot = path.slot[path.depth];
	gpuvm_unlock(&w.vm);
	/* The gaps on both sides become one. */
	return count >= SMR_LEAF_MIN + 2 && slot > 0 && slot + 1 < count;
}

static void thin_out(void)
{
	for (unsigned long i = 0; i < w.pages; i += 2) {
		if (w.state[i] != BEGINS || !leaf_can_spare(i))
			continue;
		submit_good(unmap_of(i, 1));
		settle();
	}
}

/* Maps every other page from @page on, as far as the limit allows. Returns the next page. */
static unsigned long fill_up(unsigned long page)
{
	struct bind_op op = map_of(page, 1, 0);

	while (page < w.pages && !submit(&op, 1)) {
		settle();
		page += 2;
		op = map_of(page, 1, 0);
	}
	return page;
}

/* As many mappings as allowed, apart, in as many leaves as possible: what was paid for. */
static void leaves_as_empty_as_can_be(void **state)
{
	const unsigned long mappings = 600, leaves = 2 * mappings / SMR_LEAF_MIN;
	unsigned long page = 0;

	(void)state;
	begin(8 * mappings, mappings, 16);
	/* Two thirds of the new ones go again each time. */
	for (unsigned int round = 0; round < 8; round++) {
		thin_out();
		page = fill_up(page);
	}
	compare();
	assert_uint_in_range(w.live, mappings - 2, mappings);
	assert_true(w.vm.tree.ma_pledge.leaves > leaves * 8 / 10);
	end();
}

/* ---- The heap, too ---- */

static void no_memory_at_all(void **state)
{
	enum { FENCES = 64 };
	const unsigned long n = env_stride() > 1 ? 251 : 1009;
	struct fence *done[FENCES];

	(void)state;
	begin(4 * n, 2 * n + 200, 64);
	for (unsigned long i = 0; i < n; i++)
		submit_good(map_of(4 * i, 3, 0));
	settle();
	for (unsigned int i = 0; i < FENCES; i++)
		assert_non_null(done[i] = fence_create());
	memfault_none();
	for (unsigned long i = 0; i < n; i++) {
		struct bind_op op = unmap_of(4 * nth(SHUFFLED, i, n) + 1, 1);
		struct bind_sync in = { .fence = done[(i + FENCES - 1) % FENCES] };
		struct bind_sync out = { .fence = done[i % FENCES] };
		struct bind_job job = {
			.ops = &op, .nr_ops = 1, .nr_in = i > 0, .nr_out = 1, .in = &in, .out = &out
		};

		assert_int_equal(bind_queue_submit(w.q, &job), 0);
		model_apply(&op);
	}
	compare();
	assert_int_equal(w.live, 2 * n);
	for (unsigned long i = 0; i < n; i++)
		submit_good(unmap_of(4 * i, 4));
	compare();
	memfault_ok();
	for (unsigned int i = 0; i < FENCES; i++) {
		assert_true(fence_is_signaled(done[i]));
		fence_put(done[i]);
	}
	end();
}

/*
 * As many jobs at a time as allowed, after only one, of one map, so that no records are left over
 * from earlier jobs.
 */
static void all_is_there_from_the_start(void **state)
{
	enum { JOBS = 16, EACH = 4 };
	struct fence *gate = fence_create();
	struct bind_sync in = { .fence = gate };
	struct bind_op ops[EACH];
	struct bind_job job = {
		.flags = BIND_NONBLOCK, .ops = ops, .nr_ops = EACH, .nr_in = 1, .in = &in
	};
	int err = 0;

	(void)state;
	assert_non_null(gate);
	begin(2 * JOBS * EACH + 1, 4 * JOBS * EACH, JOBS * EACH);
	submit_good(map_of(0, 2 * JOBS * EACH + 1, 0));
	settle();
	memfault_none();
	for (unsigned long i = 0; i < JOBS * EACH; i++) {
		ops[i % EACH] = unmap_of(2 * i + 1, 1);
		model_apply(&ops[i % EACH]);
		if (i % EACH == EACH - 1 && !err)
			err = bind_queue_submit(w.q, &job);
	}
	fence_signal(gate);
	assert_int_equal(err, 0);
	compare();
	assert_int_equal(w.live, JOBS * EACH + 1);
	memfault_ok();
	fence_put(gate);
	end();
}

/* ---- Limits that the address space itself keeps ---- */

static void a_vm_of_so_many_pages(void **state)
{
	const unsigned long n = 500;

	(void)state;
	begin(n, n + 100, 16);
	for (unsigned long i = 0; i < n; i++)
		submit_good(map_of(i, 1, 0));
	compare();
	/*
	 * Each might cut a mapping, as far as is known at submission; but there cannot be more
	 * mappings than pages.
	 */
	for (unsigned long i = 0; i < n; i++)
		submit_good(unmap_of(nth(FROM_BOTH_ENDS, i, n), 1));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_mapping_goes),
		cmocka_unit_test(every_piece_goes),
		cmocka_unit_test(only_limits_refuse),
		cmocka_unit_test(objects_come_and_go),
		cmocka_unit_test(objects_go_while_there_is_memory),
		cmocka_unit_test(blocks_go_while_there_is_memory),
		cmocka_unit_test(leaves_as_empty_as_can_be),
		cmocka_unit_test(no_memory_at_all),
		cmocka_unit_test(all_is_there_from_the_start),
		cmocka_unit_test(a_vm_of_so_many_pages),
	};

	return cmocka_run_group_tests_name("bind_strict", tests, NULL, NULL);
}
