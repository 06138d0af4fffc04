/* SPDX-License-Identifier: MIT */
/*
 * What moves in a node moves whole, and the rest stays, with every instruction set of this machine.
 */
#include "support/cm.h"

#include "support/rng.h"
#include "tree/splice.h"

#include <stdalign.h>
#include <sys/mman.h>
#include <unistd.h>

typedef void shift_fn(struct smr_node *to, const struct smr_node *from, enum smr_kind kind,
		      unsigned int y, unsigned int j);

#define DEFINE_SHIFT(isa)                                                                          \
	SMR_TARGET_##isa static void shift_##isa(struct smr_node *to, const struct smr_node *from, \
						 enum smr_kind kind, unsigned int y,               \
						 unsigned int j)                                   \
	{                                                                                          \
		smr_shift_new_##isa(to, from, kind, y, j);                                         \
	}

SMR_EACH_ISA(DEFINE_SHIFT)

/* The old leaf, the new one, and on either side of them memory that belongs to others. */
static alignas(MT_NODE_SIZE) struct smr_node old[3], new[3];

/*
 * Places for a leaf at the beginning and at the end of accessible memory: nothing beside it may
 * even be read.
 */
static struct smr_node *edge[2];

static int map_edges(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *map = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	if (map == MAP_FAILED || mprotect(map + page, page, PROT_READ | PROT_WRITE))
		return -1;
	edge[0] = (struct smr_node *)(void *)(map + page);
	edge[1] = (struct smr_node *)(void *)(map + 2 * page - sizeof(struct smr_node));
	return 0;
}

static void fill(struct smr_node *node, struct rng *rng)
{
	for (size_t i = 0; i < 3 * sizeof(*node) / sizeof(uint64_t); i++)
		((uint64_t *)(void *)node)[i] = rng_next(rng);
}

static void make_leaf(enum smr_kind kind, unsigned int count, struct rng *rng)
{
	fill(old, rng);
	fill(new, rng);
	old[1].count = (uint8_t)count;
	smr_bounds_pad(&old[1], kind, count - 1, smr_kind_bounds(kind));
	if (!smr_kind_leaf(kind)) {
		void *enode = smr_enode_make(&old[1], kind);

		for (unsigned int i = count; i < smr_nr_gaps(enode); i++)
			smr_gaps(enode)[i] = 0;
	}
}

static int64_t bound_of(const struct smr_node *node, enum smr_kind kind, unsigned int i)
{
	return smr_kind_bound(node, kind, i);
}

/* What lies before @y stays as it was; what lies behind comes from @j on; the rest is padding. */
static void check_leaf(const struct smr_node *from, struct smr_node *to, enum smr_kind kind,
		       unsigned int y, unsigned int j)
{
	unsigned int rest = from->count - j;
	void **before = smr_kind_slots((struct smr_node *)from, kind);
	void **after = smr_kind_slots(to, kind);

	assert_int_equal(to->base, from->base);
	assert_int_equal(to->shift, from->shift);
	assert_int_equal(to->count, y + rest);
	for (unsigned int i = 0; i < y && i <= j; i++)
		assert_ptr_equal(after[i], before[i]);
	for (unsigned int i = 0; i + 1 < y && i < j; i++)
		assert_int_equal(bound_of(to, kind, i), bound_of(from, kind, i));
	for (unsigned int i = 0; i < rest; i++)
		assert_ptr_equal(after[y + i], before[j + i]);
	for (unsigned int i = 0; i + 1 < rest; i++)
		assert_int_equal(bound_of(to, kind, y + i), bound_of(from, kind, j + i));
	for (unsigned int i = y + rest - 1; i < smr_kind_bounds(kind); i++)
		assert_int_equal(bound_of(to, kind, i), smr_kind_padding(kind));
}

/* The same for an inner node's figures. */
static void check_gaps(const struct smr_node *from, struct smr_node *to, enum smr_kind kind,
		       unsigned int y, unsigned int j)
{
	void *enode = smr_enode_make(to, kind);
	const uint32_t *before = smr_gaps(smr_enode_make((struct smr_node *)from, kind));
	const uint32_t *after = smr_gaps(enode);
	unsigned int rest = from->count - j;

	for (unsigned int i = 0; i < y && i <= j; i++)
		assert_int_equal(after[i], before[i]);
	for (unsigned int i = 0; i < rest; i++)
		assert_int_equal(after[y + i], before[j + i]);
	for (unsigned int i = y + rest; i < smr_nr_gaps(enode); i++)
		assert_int_equal(after[i], 0);
}

static void check_node(const struct smr_node *from, struct smr_node *to, enum smr_kind kind,
		       unsigned int y, unsigned int j)
{
	check_leaf(from, to, kind, y, j);
	if (!smr_kind_leaf(kind))
		check_gaps(from, to, kind, y, j);
}

static void check_shift(shift_fn *shift, enum smr_kind kind, unsigned int count, unsigned int y,
			unsigned int j)
{
	struct rng rng = rng_make(21, 10000 * kind + 100 * count + y + j);
	alignas(MT_NODE_SIZE) struct smr_node before[3];
	struct smr_node beside[3];

	make_leaf(kind, count, &rng);
	memcpy(before, old, sizeof(old));
	memcpy(beside, new, sizeof(new));
	shift(&new[1], &old[1], kind, y, j);
	assert_memory_equal(old, before, sizeof(old));
	assert_memory_equal(&new[0], &beside[0], sizeof(beside[0]));
	assert_memory_equal(&new[2], &beside[2], sizeof(beside[2]));
	check_node(&old[1], &new[1], kind, y, j);
	for (unsigned int i = 0; i < ARRAY_SIZE(edge); i++) {
		memcpy(edge[i], &old[1], sizeof(old[1]));
		shift(&new[1], edge[i], kind, y, j);
		check_node(&old[1], &new[1], kind, y, j);
	}
	smr_shift_within(&old[1], kind, y, j);
	check_node(&before[1], &old[1], kind, y, j);
}

static void check_shifts(shift_fn *shift, enum smr_kind kind)
{
	unsigned int cap = smr_kind_cap(kind);

	for (unsigned int count = 1; count <= cap; count++)
		for (unsigned int j = 0; j < count; j++)
			for (unsigned int y = 0; y <= j + 2 && y + count - j <= cap; y++)
				check_shift(shift, kind, count, y, j);
}

static void check_kinds(shift_fn *shift)
{
	check_shifts(shift, SMR_SLEAF);
	check_shifts(shift, SMR_NLEAF);
	check_shifts(shift, SMR_WLEAF);
	check_shifts(shift, SMR_NINNER);
	check_shifts(shift, SMR_WINNER);
}

static void shifts_any(void **state)
{
	(void)state;
	check_kinds(shift_any);
}

static void shifts_avx2(void **state)
{
	(void)state;
#if SMR_HAVE_AVX2
	if (!smr_isa_have_avx2())
		skip();
	check_kinds(shift_avx2);
#else
	skip();
#endif
}

static void shifts_avx512(void **state)
{
	(void)state;
#if SMR_HAVE_AVX2
	if (!smr_isa_have_avx512())
		skip();
	check_kinds(shift_avx512);
#else
	skip();
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shifts_any),
		cmocka_unit_test(shifts_avx2),
		cmocka_unit_test(shifts_avx512),
	};

	return cmocka_run_group_tests(tests, map_edges, NULL);
}
