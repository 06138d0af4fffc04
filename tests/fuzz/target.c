/* SPDX-License-Identifier: MIT */
#include "target.h"

#include "support/rig.h"

#include <stdlib.h>

/*
 * An input is a byte of flags, then steps: a byte for the kind, then one number for each number of
 * that kind. A number is a byte of form, and as many bytes of value as the form says; so small
 * changes of the input are small changes of the steps.
 */
struct input {
	const uint8_t *at;
	size_t left;
};

static uint8_t take_byte(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->at++;
}

/*
 * Bits 1:0: bytes of value. Bits 4:2: shift it by 0, 4, 12, 21, 31, 40, 52, 60. Bit 5: count from
 * the top.
 */
static unsigned long take_number(struct input *in)
{
	static const unsigned char shifts[] = { 0, 4, 12, 21, 31, 40, 52, 60 };
	uint8_t form = take_byte(in);
	unsigned long value = 0;

	for (unsigned int i = 0; i < (form & 3u); i++)
		value = value << 8 | take_byte(in);
	value <<= shifts[form >> 2 & 7];
	return form & 0x20 ? ~value : value;
}

static const unsigned char numbers[NR_OPS] = {
	[OP_store] = 3,       [OP_insert] = 3,       [OP_erase] = 1,         [OP_alloc] = 4,
	[OP_alloc_rev] = 4,   [OP_alloc_cyclic] = 4, [OP_reserve] = 2,       [OP_release] = 2,
	[OP_load] = 1,        [OP_find] = 2,         [OP_find_after] = 2,    [OP_next] = 2,
	[OP_prev] = 2,        [OP_cur_set] = 2,      [OP_cur_pause] = 0,     [OP_cur_reset] = 0,
	[OP_cur_move] = 2,    [OP_cur_store] = 4,    [OP_cur_store_gfp] = 4, [OP_cur_prealloc] = 4,
	[OP_cur_abandon] = 4, [OP_cur_erase] = 2,    [OP_area] = 4,          [OP_area_rev] = 4,
	[OP_cur_cyclic] = 4,  [OP_each] = 2,         [OP_each_rev] = 2,      [OP_dup] = 1,
	[OP_bulk] = 4,        [OP_fill] = 4,         [OP_rcu] = 1,           [OP_destroy] = 0,
	[OP_check] = 0,       [OP_cur_stay] = 1,     [OP_cur_part] = 2,      [OP_cur_fail] = 2,
};

static struct op take_op(struct input *in)
{
	uint8_t byte = take_byte(in);
	struct op op = { .kind = (enum op_kind)(byte % NR_OPS) };

	for (unsigned int i = 0; i < numbers[op.kind]; i++)
		op.n[i] = take_number(in);
	if (op.kind == OP_bulk || op.kind == OP_fill) {
		/* Ranges one behind the other, and few enough to finish soon. */
		op.n[2] = op.n[2] % 4096 + 1;
		op.n[1] = op.n[1] < op.n[2] ? op.n[2] : op.n[1];
		op.n[3] %= 200;
	} else if (byte >= 128) {
		op.gfp = 1 + byte % 2;
	}
	/* A range the wrong way round is a case of its own, but a few of them are enough. */
	if (numbers[op.kind] >= 2 && op.n[1] < op.n[0] && byte % 8 && op.kind != OP_cur_move &&
	    op.kind != OP_fill && op.kind != OP_bulk && op.kind != OP_prev &&
	    op.kind != OP_each_rev && op.kind != OP_alloc && op.kind != OP_alloc_rev) {
		unsigned long swap = op.n[0];

		op.n[0] = op.n[1];
		op.n[1] = swap;
	}
	return op;
}

size_t fuzz_decode(const uint8_t *data, size_t size, unsigned int *flags, struct op *ops,
		   size_t max)
{
	struct input in = { data, size };
	uint8_t first = take_byte(&in);
	size_t n = 0;

	*flags = (first & 1 ? MT_FLAGS_ALLOC_RANGE : 0) | (first & 2 ? MT_FLAGS_USE_RCU : 0) |
		 (first & 4 ? RIG_EXTERN : 0);
	while (in.left > 0 && n < max)
		ops[n++] = take_op(&in);
	return n;
}

static _Noreturn void differ(const struct op_list *list, size_t steps, const char *why)
{
	struct op_list shown = { list->ops, steps < list->count ? steps + 1 : list->count, 0,
				 list->flags };

	printf("# %s\n", why);
	op_list_print(&shown, stdout);
	fflush(stdout);
	abort();
}

void fuzz_tree(const uint8_t *data, size_t size)
{
	static struct op ops[FUZZ_STEPS];
	struct op_list list = { ops, 0, 0, 0 };
	struct rig rig;

	list.count = fuzz_decode(data, size, &list.flags, ops, FUZZ_STEPS);
	/* The default arena, so that no chunk has to be mapped for each input. */
	if (!rig_init_in(&rig, list.flags, mt_mem_default()))
		return;
	for (size_t i = 0; i < list.count; i++) {
		if (!rig_step(&rig, &ops[i]))
			differ(&list, i, rig.why);
	}
	if (!rig_check(&rig) || !rig_fini(&rig))
		differ(&list, list.count, rig.why);
}
