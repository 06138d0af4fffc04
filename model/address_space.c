/* SPDX-License-Identifier: MIT */
/* The model of an address space: see address_space.h. */
#include "address_space.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void as_init(struct address_space *as)
{
	*as = (struct address_space){ 0 };
}

void as_destroy(struct address_space *as)
{
	for (size_t i = 0; i < as->nr_blocks; i++)
		free(as->blocks[i]);
	free(as->blocks);
	as_init(as);
}

/* ---- Mappings ---- */

bool as_equal(const struct as_mapping *a, const struct as_mapping *b)
{
	return a->first == b->first && a->last == b->last && a->object == b->object &&
	       a->offset == b->offset && a->flags == b->flags;
}

/* Returns @mapping without its part below @addr. */
static struct as_mapping tail_of(struct as_mapping mapping, uint64_t addr)
{
	if (mapping.object)
		mapping.offset += addr - mapping.first;
	mapping.first = addr;
	return mapping;
}

void as_clip(struct as_mapping *mapping, uint64_t first, uint64_t last)
{
	if (mapping->first < first)
		*mapping = tail_of(*mapping, first);
	if (mapping->last > last)
		mapping->last = last;
}

const char *as_text(const struct as_mapping *mapping, char *text, size_t size)
{
	char flags[TRACE_FLAGS_SIZE];

	if (!mapping)
		snprintf(text, size, "nothing");
	else
		snprintf(text, size,
			 "%" PRIx64 "-%" PRIx64 " object %" PRIu64 " offset %" PRIx64 " %s",
			 mapping->first, mapping->last, mapping->object, mapping->offset,
			 trace_flags_text(mapping->flags, flags));
	return text;
}

/* ---- The sequence ---- */

static struct as_mapping *mapping_at(const struct address_space *as, struct as_pos pos)
{
	if (pos.block == as->nr_blocks)
		return NULL;
	return &as->blocks[pos.block]->mappings[pos.slot];
}

/* Finds the first mapping that ends at or above @addr. If there is none: { nr_blocks, 0 }. */
static struct as_pos find(const struct address_space *as, uint64_t addr)
{
	size_t low = 0, high = as->nr_blocks;
	struct as_pos pos;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct as_block *block = as->blocks[mid];

		if (block->mappings[block->count - 1].last < addr)
			low = mid + 1;
		else
			high = mid;
	}
	pos.block = low;
	pos.slot = 0;
	if (low < as->nr_blocks) {
		while (as->blocks[low]->mappings[pos.slot].last < addr)
			pos.slot++;
	}
	return pos;
}

static int insert_block(struct address_space *as, size_t at)
{
	struct as_block *block;

	if (as->nr_blocks == as->room) {
		size_t room = as->room ? as->room * 2 : 16;
		struct as_block **blocks = realloc(as->blocks, room * sizeof(struct as_block *));

		if (!blocks)
			return -ENOMEM;
		as->blocks = blocks;
		as->room = room;
	}
	block = malloc(sizeof(*block));
	if (!block)
		return -ENOMEM;
	block->count = 0;
	memmove(&as->blocks[at + 1], &as->blocks[at],
		(as->nr_blocks - at) * sizeof(struct as_block *));
	as->blocks[at] = block;
	as->nr_blocks++;
	return 0;
}

/* Moves the upper half of a full block to a new block behind it. */
static int halve_block(struct address_space *as, size_t at)
{
	struct as_block *from, *to;

	if (insert_block(as, at + 1))
		return -ENOMEM;
	from = as->blocks[at];
	to = as->blocks[at + 1];
	to->count = from->count / 2;
	from->count -= to->count;
	memcpy(to->mappings, &from->mappings[from->count], to->count * sizeof(struct as_mapping));
	return 0;
}

/* Inserts @mapping, whose range must be free. */
static int insert(struct address_space *as, const struct as_mapping *mapping)
{
	struct as_pos pos = find(as, mapping->first);
	struct as_block *block;

	if (!as->nr_blocks && insert_block(as, 0))
		return -ENOMEM;
	if (pos.block == as->nr_blocks) {
		pos.block--;
		pos.slot = as->blocks[pos.block]->count;
	}
	if (as->blocks[pos.block]->count == AS_BLOCK) {
		if (halve_block(as, pos.block))
			return -ENOMEM;
		if (pos.slot > as->blocks[pos.block]->count) {
			pos.slot -= as->blocks[pos.block]->count;
			pos.block++;
		}
	}
	block = as->blocks[pos.block];
	memmove(&block->mappings[pos.slot + 1], &block->mappings[pos.slot],
		(block->count - pos.slot) * sizeof(struct as_mapping));
	block->mappings[pos.slot] = *mapping;
	block->count++;
	as->count++;
	return 0;
}

static void remove_at(struct address_space *as, struct as_pos pos)
{
	struct as_block *block = as->blocks[pos.block];

	as->count--;
	block->count--;
	memmove(&block->mappings[pos.slot], &block->mappings[pos.slot + 1],
		(block->count - pos.slot) * sizeof(struct as_mapping));
	if (block->count)
		return;
	free(block);
	as->nr_blocks--;
	memmove(&as->blocks[pos.block], &as->blocks[pos.block + 1],
		(as->nr_blocks - pos.block) * sizeof(struct as_block *));
}

const struct as_mapping *as_from(const struct address_space *as, uint64_t addr, struct as_pos *pos)
{
	*pos = find(as, addr);
	return mapping_at(as, *pos);
}

const struct as_mapping *as_at(const struct address_space *as, uint64_t addr)
{
	const struct as_mapping *mapping = mapping_at(as, find(as, addr));

	return mapping && mapping->first <= addr ? mapping : NULL;
}

const struct as_mapping *as_next(const struct address_space *as, struct as_pos *pos)
{
	if (pos->block < as->nr_blocks && ++pos->slot == as->blocks[pos->block]->count) {
		pos->block++;
		pos->slot = 0;
	}
	return mapping_at(as, *pos);
}

const struct as_mapping *as_prev(const struct address_space *as, struct as_pos *pos)
{
	if (!pos->slot) {
		if (!pos->block)
			return NULL;
		pos->block--;
		pos->slot = as->blocks[pos->block]->count;
	}
	pos->slot--;
	return mapping_at(as, *pos);
}

/* ---- The operations ---- */

/* Cuts the mapping, if there is one, that contains both @addr - 1 and @addr. */
static int cut(struct address_space *as, uint64_t addr)
{
	struct as_mapping *mapping = mapping_at(as, find(as, addr));
	struct as_mapping tail;

	if (!mapping || mapping->first >= addr)
		return 0;
	tail = tail_of(*mapping, addr);
	mapping->last = addr - 1;
	return insert(as, &tail);
}

static int unmap(struct address_space *as, uint64_t first, uint64_t last)
{
	struct as_pos pos;
	const struct as_mapping *mapping;

	if (cut(as, first) || (last != UINT64_MAX && cut(as, last + 1)))
		return -ENOMEM;
	while ((mapping = as_from(as, first, &pos)) && mapping->first <= last)
		remove_at(as, pos);
	return 0;
}

static bool all_mapped(const struct address_space *as, uint64_t first, uint64_t last)
{
	const struct as_mapping *mapping = as_at(as, first);

	while (mapping && mapping->last < last)
		mapping = as_at(as, mapping->last + 1);
	return mapping != NULL;
}

static bool any_mapped(const struct address_space *as, uint64_t first, uint64_t last)
{
	struct as_pos pos;
	const struct as_mapping *mapping = as_from(as, first, &pos);

	return mapping && mapping->first <= last;
}

static int map(struct address_space *as, const struct trace_op *op)
{
	struct as_mapping mapping = { op->addr, trace_op_last(op), op->object, op->offset,
				      op->flags };
	int err = unmap(as, mapping.first, mapping.last);

	return err ? err : insert(as, &mapping);
}

/* Returns NULL, or why @op cannot be done. */
static const char *protect_fault(const struct address_space *as, const struct trace_op *op)
{
	uint64_t last = trace_op_last(op);
	const struct as_mapping *mapping;
	struct as_pos pos;

	if (!all_mapped(as, op->addr, last))
		return "protects a range that is not wholly mapped";
	for (mapping = as_from(as, op->addr, &pos); mapping && mapping->first <= last;
	     mapping = as_next(as, &pos)) {
		if ((mapping->flags ^ op->flags) & TRACE_KEPT)
			return "protects with another s, p or g than what is mapped has";
	}
	return NULL;
}

static int protect(struct address_space *as, const struct trace_op *op, const char **why)
{
	uint64_t first = op->addr, last = trace_op_last(op);
	const char *fault = protect_fault(as, op);
	struct as_pos pos;
	struct as_mapping *mapping;

	if (fault) {
		*why = fault;
		return -EINVAL;
	}
	/* A mapping that has these flags already stays whole. */
	if (as_at(as, first)->flags != op->flags && cut(as, first))
		return -ENOMEM;
	if (as_at(as, last)->flags != op->flags && last != UINT64_MAX && cut(as, last + 1))
		return -ENOMEM;
	for (pos = find(as, first); (mapping = mapping_at(as, pos)) && mapping->first <= last;
	     as_next(as, &pos))
		mapping->flags = op->flags;
	return 0;
}

/* mremap in place: extends the mapping that contains @old_last to @new_last. */
static int grow(struct address_space *as, uint64_t old_last, uint64_t new_last, const char **why)
{
	if (any_mapped(as, old_last + 1, new_last)) {
		*why = "grows into what is mapped already";
		return -EINVAL;
	}
	mapping_at(as, find(as, old_last))->last = new_last;
	return 0;
}

/* Copies what is mapped in @op's old range, as far as it fits, to the new one, which is free. */
static int copy_to_new(struct address_space *as, const struct trace_op *op)
{
	uint64_t old_last = trace_op_last(op);
	uint64_t copy_last = op->new_length < op->length ? op->addr + op->new_length - 1 : old_last;
	uint64_t addr = op->addr;
	struct as_pos pos;
	const struct as_mapping *source;

	while ((source = as_from(as, addr, &pos)) && source->first <= copy_last) {
		struct as_mapping piece = *source;
		bool at_end = piece.last >= copy_last;

		if (piece.first < op->addr)
			piece = tail_of(piece, op->addr);
		if (at_end)
			piece.last = copy_last;
		addr = piece.last + 1;
		piece.first += op->new_addr - op->addr;
		piece.last += op->new_addr - op->addr;
		/* Growth: the last mapping extends to the end of the new range. */
		if (at_end && copy_last == old_last)
			piece.last = op->new_addr + op->new_length - 1;
		if (insert(as, &piece))
			return -ENOMEM;
		if (at_end)
			break;
	}
	return 0;
}

/* Returns NULL, or why @op, a move, cannot be done. */
static const char *move_fault(const struct address_space *as, const struct trace_op *op)
{
	uint64_t old_last = trace_op_last(op), offset;
	const struct as_mapping *end = as_at(as, old_last);

	if (!any_mapped(as, op->addr, old_last))
		return "moves a range in which nothing is mapped";
	if (op->new_length <= op->length)
		return NULL;
	if (!end)
		return "grows a range whose end is not mapped";
	offset = end->offset + (old_last - end->first);
	if (end->object && offset + (op->new_length - op->length) < offset)
		return "grows to where the offset goes beyond 64 bits";
	return NULL;
}

static int move(struct address_space *as, const struct trace_op *op, const char **why)
{
	uint64_t old_last = trace_op_last(op);
	const char *fault = move_fault(as, op);
	int err;

	if (fault) {
		*why = fault;
		return -EINVAL;
	}
	if (op->addr == op->new_addr) {
		if (op->new_length < op->length)
			return unmap(as, op->addr + op->new_length, old_last);
		if (op->new_length == op->length)
			return 0;
		return grow(as, old_last, op->addr + op->new_length - 1, why);
	}
	err = unmap(as, op->new_addr, op->new_addr + op->new_length - 1);
	if (!err)
		err = copy_to_new(as, op);
	return err ? err : unmap(as, op->addr, old_last);
}

int as_apply(struct address_space *as, const struct trace_op *op, const char **why)
{
	switch ((enum trace_verb)op->verb) {
	case TRACE_MAP:
		return map(as, op);
	case TRACE_UNMAP:
		return unmap(as, op->addr, trace_op_last(op));
	case TRACE_PROTECT:
		return protect(as, op, why);
	case TRACE_MOVE:
		return move(as, op, why);
	case TRACE_LOAD:
		break;
	}
	if (as_at(as, op->addr))
		return 0;
	*why = "looks up an address that is not mapped";
	return -EINVAL;
}

/* ---- Runs ---- */

void as_runs_begin(struct as_runs *runs, FILE *out)
{
	*runs = (struct as_runs){ .out = out };
}

void as_runs_end(struct as_runs *runs)
{
	const struct as_mapping *run = &runs->run;
	char flags[TRACE_FLAGS_SIZE];

	if (!runs->any)
		return;
	/* A memory stream without memory reports that only to the write that meets it. */
	if (runs->out && fprintf(runs->out, "%" PRIx64 " %" PRIx64 " %" PRIu64 " %" PRIx64 " %s\n",
				 run->first, run->last - run->first + 1, run->object, run->offset,
				 trace_flags_text(run->flags, flags)) < 0)
		runs->failed = true;
	runs->count++;
	runs->any = false;
}

void as_runs_add(struct as_runs *runs, const struct as_mapping *mapping)
{
	struct as_mapping *run = &runs->run;

	if (runs->any && run->last + 1 == mapping->first && run->object == mapping->object &&
	    run->flags == mapping->flags &&
	    (!run->object || run->offset + (run->last - run->first) + 1 == mapping->offset)) {
		run->last = mapping->last;
		return;
	}
	as_runs_end(runs);
	*run = *mapping;
	runs->any = true;
}

size_t as_runs_count(const struct as_runs *runs)
{
	return runs->failed ? SIZE_MAX : runs->count;
}

size_t as_write_runs(const struct address_space *as, FILE *out)
{
	struct as_runs runs;
	struct as_pos pos;

	as_runs_begin(&runs, out);
	for (const struct as_mapping *m = as_from(as, 0, &pos); m; m = as_next(as, &pos))
		as_runs_add(&runs, m);
	as_runs_end(&runs);
	return as_runs_count(&runs);
}
