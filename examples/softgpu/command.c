/* SPDX-License-Identifier: MIT */
/*
 * What engines do: fill, copy and sum up memory, page by page, through GPU addresses.
 *
 * Each access to a page is made in a read-side critical section. A translation is invalidated
 * before the grace period after which its object may be freed, so an access that has begun with the
 * old translation ends before that.
 */
#include "engine.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

/* Read in place of pages that were never written. */
static char zeroes[SG_PAGE];

/* ---- Contents ---- */

void sg_fill(void *bytes, size_t len, uint64_t pattern)
{
	for (size_t i = 0; i < len; i += sizeof(pattern))
		memcpy((char *)bytes + i, &pattern, sizeof(pattern));
}

uint64_t sg_checksum(uint64_t sum, const void *bytes, size_t len)
{
	uint64_t word;

	for (size_t i = 0; i < len; i += sizeof(word)) {
		memcpy(&word, (const char *)bytes + i, sizeof(word));
		sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		sum ^= sum >> 29;
	}
	return sum;
}

/*
 * Copies word by word, upwards. That defines the result for ranges that overlap because one page is
 * mapped twice.
 */
static void copy(char *to, const char *from, size_t len)
{
	uint64_t word;

	for (size_t i = 0; i < len; i += sizeof(word)) {
		memcpy(&word, from + i, sizeof(word));
		memcpy(to + i, &word, sizeof(word));
	}
}

/* ---- Translation ---- */

static void interlude(const struct sg_engine *e)
{
	if (e->vm->interlude)
		e->vm->interlude();
}

/* Asks the VM and enters its answer, or asks again if anything was invalidated meanwhile. */
static int fault(struct sg_engine *e, uint64_t addr, struct sg_translation *tr)
{
	struct sg_pagetable *pt = &e->vm->pt;
	const struct gpuva *va;
	uint64_t generation;

	do {
		generation = sg_pt_generation(pt);
		va = gpuvm_find(&e->vm->base, addr);
		if (!va || gpuva_invalidated(va))
			return -EFAULT;
		tr->obj = (struct sg_object *)va->gem.obj;
		tr->offset = va->gem.offset + (addr - va->va.addr);
		tr->offset -= tr->offset % SG_PAGE;
		interlude(e);
	} while (!sg_pt_fill(pt, va, addr, generation, &e->tables));
	e->now.faults++;
	return 0;
}

static int translate(struct sg_engine *e, uint64_t addr, struct sg_translation *tr)
{
	sg_tlb_refresh(&e->tlb, &e->vm->pt);
	if (sg_tlb_find(&e->tlb, addr, tr))
		return 0;
	if (!sg_pt_walk(&e->vm->pt, addr, tr)) {
		int err = fault(e, addr, tr);

		if (err)
			return err;
	}
	sg_tlb_enter(&e->tlb, addr, tr);
	return 0;
}

/* ---- Commands ---- */

/*
 * Returns the memory at @addr. NULL: nothing is mapped there, and @cmd->error is set; or a write to
 * sparse memory is to be dropped. CONTEXT: in a read-side section.
 */
static char *memory_at(struct sg_engine *e, struct sg_cmd *cmd, uint64_t addr,
		       struct sg_reserve *frames)
{
	struct sg_translation tr;
	char *frame = NULL;

	cmd->error = translate(e, addr, &tr);
	if (cmd->error) {
		cmd->fault = addr;
		return NULL;
	}
	interlude(e);
	if (tr.obj)
		frame = sg_object_frame(tr.obj, tr.offset >> SG_PAGE_SHIFT, frames);
	if (!frame && frames) {
		assert(!tr.obj); /* enough was reserved */
		return NULL;
	}
	return (frame ? frame : zeroes) + addr % SG_PAGE;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The number of bytes from @at on that can be processed without leaving a page. */
static uint64_t chunk_at(const struct sg_cmd *cmd, uint64_t at)
{
	uint64_t len = cmd->len - at;

	if (sg_reads(cmd))
		len = least(len, SG_PAGE - (cmd->src + at) % SG_PAGE);
	if (sg_writes(cmd))
		len = least(len, SG_PAGE - (cmd->dst + at) % SG_PAGE);
	return len;
}

/* CONTEXT: in a read-side section. */
static void run_chunk(struct sg_engine *e, struct sg_cmd *cmd, uint64_t at, size_t len,
		      uint64_t *sum, struct sg_reserve *frames)
{
	const char *from = NULL;
	char *to = NULL;

	if (sg_reads(cmd))
		from = memory_at(e, cmd, cmd->src + at, NULL);
	if (sg_writes(cmd) && !cmd->error)
		to = memory_at(e, cmd, cmd->dst + at, frames);
	if (cmd->error)
		return;
	if (!sg_writes(cmd))
		*sum = sg_checksum(*sum, from, len);
	else if (to && from)
		copy(to, from, len);
	else if (to)
		sg_fill(to, len, cmd->pattern);
}

void sg_cmd_run(struct sg_engine *e, struct sg_cmd *cmd, struct sg_reserve *frames)
{
	uint64_t sum = 0, at = 0, len;

	cmd->error = 0;
	for (; at < cmd->len; at += len) {
		len = chunk_at(cmd, at);
		gpuvm_read_lock(&e->vm->base);
		run_chunk(e, cmd, at, len, &sum, frames);
		gpuvm_read_unlock(&e->vm->base);
		if (cmd->error)
			break;
	}
	e->now.cmds++;
	e->now.bytes += at;
	e->now.errors += cmd->error != 0;
	if (cmd->type == SG_VERIFY && !cmd->error && sum != cmd->sum) {
		cmd->error = -EBADMSG;
		e->now.mismatches++;
	}
	if (!sg_writes(cmd))
		cmd->sum = sum;
}
