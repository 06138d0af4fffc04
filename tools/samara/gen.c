/* SPDX-License-Identifier: MIT */
/* samara gen: writes synthetic traces. */
#include "gen.h"

#include <inttypes.h>
#include <string.h>

#include "options.h"
#include "output.h"
#include "progress.h"
#include "samara.h"

uint64_t gen_random(struct gen *gen, uint64_t below)
{
	uint64_t x = gen->random += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (x ^ x >> 31) % below;
}

static void emit(struct gen *gen, const struct trace_op *op)
{
	const char *why;

	if (!gen->left || gen->err)
		return;
	gen->err = as_apply(&gen->model, op, &why);
	if (!gen->err)
		gen->err = trace_write(gen->writer, op);
	gen->left--;
}

void gen_map(struct gen *gen, uint64_t addr, uint64_t length, uint64_t object, uint64_t offset,
	     unsigned int flags)
{
	struct trace_op op = { .verb = TRACE_MAP, .addr = addr, .length = length };

	op.object = object;
	op.offset = offset;
	op.flags = (uint8_t)flags;
	emit(gen, &op);
}

void gen_unmap(struct gen *gen, uint64_t addr, uint64_t length)
{
	emit(gen, &(struct trace_op){ .verb = TRACE_UNMAP, .addr = addr, .length = length });
}

void gen_protect(struct gen *gen, uint64_t addr, uint64_t length, unsigned int rwx)
{
	const struct as_mapping *first = as_at(&gen->model, addr), *mapping = first;
	struct trace_op op = { .verb = TRACE_PROTECT, .addr = addr, .length = length };
	uint64_t last = trace_op_last(&op);

	while (mapping && mapping->last < last &&
	       (mapping->flags & TRACE_KEPT) == (first->flags & TRACE_KEPT))
		mapping = as_at(&gen->model, mapping->last + 1);
	if (!mapping || (mapping->flags & TRACE_KEPT) != (first->flags & TRACE_KEPT))
		return;
	op.flags = (uint8_t)(rwx | (first->flags & TRACE_KEPT));
	emit(gen, &op);
}

void gen_move(struct gen *gen, uint64_t addr, uint64_t length, uint64_t new_addr,
	      uint64_t new_length)
{
	struct trace_op op = { .verb = TRACE_MOVE, .addr = addr, .length = length };

	op.new_addr = new_addr;
	op.new_length = new_length;
	if (new_addr <= trace_op_last(&op) && addr <= new_addr + (new_length - 1))
		return;
	emit(gen, &op);
}

void gen_load(struct gen *gen, uint64_t addr)
{
	struct as_pos pos;
	const struct as_mapping *mapping = as_from(&gen->model, addr, &pos);
	struct trace_op op = { .verb = TRACE_LOAD, .length = 1 };

	if (!mapping)
		return;
	op.addr = mapping->first + gen_random(gen, mapping->last - mapping->first + 1);
	emit(gen, &op);
}

const struct as_mapping *gen_pick(struct gen *gen, uint64_t first, uint64_t last)
{
	struct as_pos pos;
	const struct as_mapping *mapping = as_from(&gen->model, first, &pos);

	return mapping && mapping->first <= last ? mapping : NULL;
}

struct settings {
	const char *kind;
	const char *output;
	uint64_t ops;
	uint64_t seed;
	uint64_t live;
};

static const struct gen_kind *find_kind(const char *name)
{
	for (unsigned int i = 0; i < nr_gen_kinds; i++) {
		if (!strcmp(gen_kinds[i].name, name))
			return &gen_kinds[i];
	}
	return NULL;
}

static void make_operations(struct gen *gen, const struct gen_kind *kind, uint64_t ops)
{
	struct progress progress;

	progress_begin(&progress, kind->name, ops);
	while (gen->left && !gen->err) {
		kind->step(gen);
		progress_show(&progress, ops - gen->left);
	}
	progress_end(&progress);
}

static int generate(const struct settings *settings, const struct gen_kind *kind)
{
	struct trace_header header = { .page = GEN_PAGE,
				       .va_first = GEN_VA_FIRST,
				       .va_last = GEN_VA_LAST };
	struct gen gen = { .live = settings->live,
			   .left = settings->ops,
			   .random = settings->seed };
	char why[TRACE_WHY_SIZE];
	int err;

	snprintf(header.source, sizeof(header.source),
		 "synthetic, samara gen --kind=%s --ops=%" PRIu64 " --seed=%" PRIu64
		 " --live=%" PRIu64,
		 kind->name, settings->ops, settings->seed, settings->live);
	if (trace_create(&gen.writer, settings->output, &header, why, sizeof(why)))
		return complain("%s", why);
	as_init(&gen.model);
	make_operations(&gen, kind, settings->ops);
	as_destroy(&gen.model);
	err = trace_finish(gen.writer);
	/* An error of the output takes precedence; if there is none, the model failed. */
	if (gen.err && !err)
		return complain("%s: %s", kind->name, strerror(-gen.err));
	return output_status(settings->output, err);
}

static int run(const struct command *command, int argc, char **argv)
{
	struct settings settings = {
		.kind = "streaming", .output = "-", .ops = 100000, .live = 10000
	};
	const struct option options[] = {
		{ "kind", OPTION_TEXT, &settings.kind, 0, 0 },
		{ "ops", OPTION_NUMBER, &settings.ops, 0, UINT32_MAX },
		{ "seed", OPTION_NUMBER, &settings.seed, 0, UINT64_MAX },
		{ "live", OPTION_NUMBER, &settings.live, 1, 100000000 },
		{ "output", OPTION_TEXT, &settings.output, 0, 0 },
		{ .name = NULL },
	};
	const struct gen_kind *kind;
	int operands;
	int status = parse_options(command, argc, argv, options, &operands);

	if (status || operands < 0)
		return status;
	if (operands)
		return complain_usage(command, "takes no FILE ('%s'); see --output", argv[1]);
	kind = find_kind(settings.kind);
	if (!kind)
		return complain_usage(
			command, "--kind wants streaming, fragment, churn or overlap, not '%s'",
			settings.kind);
	return generate(&settings, kind);
}

const struct command command_gen = {
	.name = "gen",
	.summary = "make a synthetic trace",
	.synopsis = "[OPTION]...",
	.help = "Writes a synthetic trace. The same options always give the same trace, byte for byte.\n"
		"\n"
		"  --kind=KIND    streaming: a sparse texture whose 64 KiB tiles are bound in front of a moving\n"
		"                 camera and unbound behind it (the default)\n"
		"                 fragment: blocks of 1 to 64 pages that come and go, holes torn into them\n"
		"                 churn: single pages, mapped, protected, replaced, unmapped at random\n"
		"                 overlap: nested and overlapping ranges of all sizes, protected and moved about\n"
		"  --ops=N        operations, loads included (default 100000)\n"
		"  --seed=N       another trace of the same kind (default 0)\n"
		"  --live=N       about how many mappings there should be at a time (default 10000)\n"
		"  --output=FILE  write there ('-', the default: standard output; packed when FILE ends in .xz)\n"
		"\n"
		"Examples:\n"
		"  samara gen --kind=churn --ops=1000000 --live=100000 --output=churn.trace.xz\n"
		"  samara gen --kind=overlap --seed=7 | samara replay --check=every -\n",
	.run = run,
};
