/* SPDX-License-Identifier: MIT */
/* Printing trees. */
#include "tree/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct dump {
	FILE *out;
	bool dec;
	bool gaps;
};

static void put_range(const struct dump *d, unsigned long first, unsigned long last)
{
	if (d->dec)
		fprintf(d->out, "%lu-%lu", first, last);
	else
		fprintf(d->out, "%lx-%lx", first, last);
}

static void put_entry(const struct dump *d, const void *entry)
{
	if (xa_is_value(entry))
		fprintf(d->out, d->dec ? "value %lu" : "value %lx", xa_to_value(entry));
	else if (xa_is_zero(entry))
		fprintf(d->out, "zero");
	else if (xa_is_internal(entry))
		fprintf(d->out, "internal %lu", xa_to_internal(entry));
	else if (!entry)
		fprintf(d->out, "-");
	else
		fprintf(d->out, "%p", entry);
}

static void put_head(const struct dump *d, const void *enode, unsigned long min, unsigned long max)
{
	const struct smr_node *node = smr_node_of(enode);
	enum smr_kind kind = smr_enode_kind(enode);

	fprintf(d->out, "%s %p ", smr_kind_leaf(kind) ? "leaf" : "node", (const void *)node);
	put_range(d, min, max);
	fprintf(d->out, " %u/%u %s", node->count, smr_kind_cap(kind), smr_kind_name(kind));
	if (!smr_kind_wide(kind))
		fprintf(d->out, " shift %u base %lx", node->shift, node->base);
}

/*
 * Prints the ranges of @leaf as users see them, each followed by @line_end. For a range in pieces
 * (run.h) it says in how many.
 */
static void put_ranges(const struct dump *d, const void *leaf, unsigned int depth,
		       unsigned long min, unsigned long max, const char *line_end)
{
	void *const *slots = smr_slots(leaf);
	unsigned int end = smr_count(leaf) - 1, to;
	unsigned long first = min, last;

	for (unsigned int i = 0; i <= end; i = to + 1, first = last + 1) {
		to = smr_tail(slots, i, end);
		if (!slots[i])
			to = smr_run_to(slots, to, end);
		last = to < end ? smr_start(leaf, to + 1) - 1 : max;
		fprintf(d->out, "%*s", (int)depth * 2, "");
		put_range(d, first, last);
		fputs(": ", d->out);
		put_entry(d, slots[i]);
		if (to > i)
			fprintf(d->out, " in %u pieces", to - i + 1);
		fputs(line_end, d->out);
	}
}

static void dump_node(const struct dump *d, const void *enode, unsigned int depth,
		      unsigned long min, unsigned long max)
{
	unsigned int end = smr_count(enode) - 1;
	unsigned long first = min, last;

	fprintf(d->out, "%*s", (int)depth * 2, "");
	put_head(d, enode, min, max);
	fputc('\n', d->out);
	if (smr_enode_leaf(enode)) {
		put_ranges(d, enode, depth + 1, min, max, "\n");
		return;
	}
	for (unsigned int i = 0; i <= end; i++, first = last + 1) {
		last = i < end ? smr_start(enode, i + 1) - 1 : max;
		if (d->gaps)
			fprintf(d->out, "%*s(largest gap: figure %" PRIu32 ")\n",
				(int)depth * 2 + 2, "", smr_gaps(enode)[i]);
		dump_node(d, smr_slots(enode)[i], depth + 1, first, last);
	}
}

void mt_dump_to(const struct maple_tree *mt, enum mt_dump_format format, FILE *out)
{
	struct dump d = { out, format == mt_dump_dec, mt->ma_flags & MT_FLAGS_ALLOC_RANGE };
	const void *root = mt->ma_root;

	fprintf(out, "maple_tree %p flags %x height %u seq %lu\n", (const void *)mt, mt->ma_flags,
		mt_height(mt), mt->ma_seq);
	if (smr_is_enode(root)) {
		dump_node(&d, root, 0, 0, ULONG_MAX);
		return;
	}
	fputs(root ? "0: " : "empty", out);
	if (root)
		put_entry(&d, root);
	fputc('\n', out);
}

void mt_dump(const struct maple_tree *mt, enum mt_dump_format format)
{
	mt_dump_to(mt, format, stdout);
	fflush(stdout);
}

/* ---- Graphviz ---- */

static void dot_node(const struct dump *d, const void *enode, unsigned long min, unsigned long max)
{
	bool leaf = smr_enode_leaf(enode);
	unsigned int end = smr_count(enode) - 1;
	unsigned long first = min, last;

	fprintf(d->out, "\tn%p [label=\"", (const void *)smr_node_of(enode));
	put_range(d, min, max);
	fprintf(d->out, "\\n%u/%u %s", end + 1, smr_kind_cap(smr_enode_kind(enode)),
		smr_kind_name(smr_enode_kind(enode)));
	if (leaf) {
		fputs("\\l", d->out);
		put_ranges(d, enode, 0, min, max, "\\l");
	}
	fputs("\"];\n", d->out);
	for (unsigned int i = 0; !leaf && i <= end; i++, first = last + 1) {
		const void *child = smr_slots(enode)[i];

		last = i < end ? smr_start(enode, i + 1) - 1 : max;
		fprintf(d->out, "\tn%p -> n%p;\n", (const void *)smr_node_of(enode),
			(const void *)smr_node_of(child));
		dot_node(d, child, first, last);
	}
}

void mt_dump_dot(const struct maple_tree *mt, FILE *out)
{
	struct dump d = { out, false, false };
	const void *root = mt->ma_root;

	fprintf(out,
		"digraph maple_tree {\n\trankdir=LR;\n\tnode [shape=box, fontname=monospace];\n");
	if (smr_is_enode(root)) {
		dot_node(&d, root, 0, ULONG_MAX);
	} else {
		fputs("\troot [label=\"", out);
		put_entry(&d, root);
		fputs("\"];\n", out);
	}
	fputs("}\n", out);
}

void mas_dump(const struct ma_state *mas)
{
	static const char *const name[] = { "active", "start",    "root",      "none",
					    "pause",  "overflow", "underflow", "error" };

	fprintf(stderr, "ma_state %p tree %p [%lx..%lx] %s", (const void *)mas,
		(const void *)mas->tree, mas->index, mas->last, name[mas->status & 7]);
	if (mas->status == ma_error)
		fprintf(stderr, " %d", xa_err(mas->node));
	else if (mas->node)
		fprintf(stderr, " in leaf [%lx..%lx] offset %lu of %u at depth %u", mas->min,
			mas->max, mas->offset, mas->end, mas->depth);
	fprintf(stderr, ", owns %lu nodes, seq %lu of %lu\n", mas->alloc_nr, mas->seq,
		mas->tree->ma_seq);
}

void mt_bug(const struct maple_tree *mt, const struct ma_state *mas, bool fatal, const char *what,
	    const char *file, int line)
{
	fprintf(stderr, "samara: %s:%d: %s: %s\n", file, line, fatal ? "BUG" : "warning", what);
	if (mas)
		mas_dump(mas);
	mt_dump_to(mt, mt_dump_hex, stderr);
	if (fatal)
		abort();
}
