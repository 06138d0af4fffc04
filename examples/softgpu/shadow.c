/* SPDX-License-Identifier: MIT */
#include "shadow.h"
#include <errno.h>
#include <string.h>

/* All commands work on units of eight bytes. */
#define WORD 8

void shadow_init(struct shadow *s)
{
	memset(s, 0, sizeof(*s));
	shadow_map(s, 0, PAGES, NOTHING, 0);
}

void shadow_map(struct shadow *s, unsigned int at, unsigned int nr, int obj, unsigned int from)
{
	for (unsigned int i = 0; i < nr; i++) {
		s->va[at + i].obj = obj;
		s->va[at + i].page = from + i;
	}
}

void shadow_unmap_all(struct shadow *s, int obj)
{
	for (unsigned int i = 0; i < PAGES; i++)
		if (s->va[i].obj == obj)
			shadow_map(s, i, 1, NOTHING, 0);
}

/*
 * The memory at @addr, or zeroes for sparse memory; NULL, with @cmd's error set, if nothing is
 * mapped.
 */
static unsigned char *memory_at(struct shadow *s, struct sg_cmd *cmd, uint64_t addr)
{
	static unsigned char sink[WORD];
	unsigned int page = shadow_page(addr);
	int obj = s->va[page].obj;

	if (obj >= 0)
		return &s->bytes[obj][s->va[page].page * SG_PAGE + addr % SG_PAGE];
	if (obj == NOTHING) {
		cmd->error = -EFAULT;
		cmd->fault = addr;
		return NULL;
	}
	memset(sink, 0, sizeof(sink));
	return sink;
}

void shadow_run(struct shadow *s, struct sg_cmd *cmd)
{
	bool reads = cmd->type != SG_FILL, writes = cmd->type == SG_FILL || cmd->type == SG_COPY;
	unsigned char *from, *to, word[WORD];
	uint64_t sum = 0;

	cmd->error = 0;
	for (uint64_t at = 0; at < cmd->len; at += WORD) {
		from = to = (unsigned char *)&cmd->pattern;
		if (reads)
			from = memory_at(s, cmd, cmd->src + at);
		if (!from)
			break;
		memcpy(word, from, WORD);
		if (writes)
			to = memory_at(s, cmd, cmd->dst + at);
		if (!to)
			break;
		if (writes)
			memcpy(to, word, WORD);
		else
			sum = sg_checksum(sum, word, WORD);
	}
	if (!writes)
		cmd->sum = sum;
}
