/* SPDX-License-Identifier: MIT */
/* The kinds of synthetic traces. */
#include "gen.h"

static const unsigned int protections[] = {
	TRACE_READ,
	TRACE_READ | TRACE_WRITE,
	TRACE_READ | TRACE_EXEC,
	0,
};

static unsigned int some_protection(struct gen *gen)
{
	return protections[gen_random(gen, sizeof(protections) / sizeof(protections[0]))];
}

static void unmap_one(struct gen *gen, uint64_t first, uint64_t last)
{
	const struct as_mapping *mapping = gen_pick(gen, first, last);

	if (mapping)
		gen_unmap(gen, mapping->first, mapping->last - mapping->first + 1);
}

/*
 * A game that streams a texture larger than memory. A camera travels over a sparse resource of 64
 * KiB tiles; a few tiles ahead of it are bound to memory from four heaps, and those far behind it
 * are unbound. Now and then it jumps, or a tile in view is bound anew.
 */
static void streaming(struct gen *gen)
{
	const uint64_t tile = 16 * GEN_PAGE, tiles = gen->live * 8 + 64;
	uint64_t length = 1 + gen_random(gen, 8), at, behind;

	if (!gen_random(gen, 500))
		gen->cursor = gen_random(gen, tiles);
	at = gen->cursor % tiles;
	if (length > tiles - at)
		length = tiles - at;
	gen_map(gen, GEN_BASE + at * tile, length * tile, 1 + gen_random(gen, 4),
		gen_random(gen, 1 << 16) * tile, TRACE_READ | TRACE_WRITE | TRACE_SHARED);
	gen->cursor = at + length;
	if (!gen_random(gen, 4))
		gen_map(gen, GEN_BASE + (at + gen_random(gen, length)) * tile, tile,
			1 + gen_random(gen, 4), gen_random(gen, 1 << 16) * tile,
			TRACE_READ | TRACE_WRITE | TRACE_SHARED);
	while (gen->model.count > gen->live && gen->left && !gen->err) {
		/*
		 * The first binding beyond the camera, wrapping around at the end, is the one that
		 * was left behind longest ago.
		 */
		behind = GEN_BASE + (gen->cursor % tiles + tiles / 64) % tiles * tile;
		if (as_at(&gen->model, behind) || gen_random(gen, 2))
			unmap_one(gen, behind, UINT64_MAX);
		else
			unmap_one(gen, GEN_BASE, UINT64_MAX);
	}
	gen_load(gen, GEN_BASE + gen_random(gen, tiles) * tile);
}

/*
 * A heap that fragments: blocks of very different sizes are put where there is room, and removed
 * whole, or from the middle, which leaves two.
 */
static void fragment(struct gen *gen)
{
	const uint64_t window = gen->live * 64 * GEN_PAGE;
	uint64_t addr = GEN_BASE + gen_random(gen, window / GEN_PAGE) * GEN_PAGE;
	uint64_t pages = UINT64_C(1) << gen_random(gen, 7), room;
	const struct as_mapping *mapping = as_at(&gen->model, addr);
	struct as_pos pos;

	gen_load(gen, addr);
	if (gen->model.count >= gen->live || (mapping && gen_random(gen, 2))) {
		mapping = gen_pick(gen, addr, GEN_BASE + window - 1);
		if (!mapping)
			return;
		pages = (mapping->last - mapping->first + 1) / GEN_PAGE;
		if (pages > 2 && gen->model.count < gen->live && gen_random(gen, 2))
			gen_unmap(gen, mapping->first + pages / 2 * GEN_PAGE, GEN_PAGE);
		else
			gen_unmap(gen, mapping->first, pages * GEN_PAGE);
		return;
	}
	if (mapping)
		addr = mapping->last + 1;
	mapping = as_from(&gen->model, addr, &pos);
	if (mapping && mapping->first <= addr)
		return;
	room = mapping ? (mapping->first - addr) / GEN_PAGE : pages;
	gen_map(gen, addr, (pages < room ? pages : room) * GEN_PAGE, 0, 0, some_protection(gen));
}

/* Single pages of one window, mapped, protected, replaced and unmapped in random order. */
static void churn(struct gen *gen)
{
	uint64_t addr = GEN_BASE + gen_random(gen, gen->live * 2) * GEN_PAGE;
	uint64_t what = gen_random(gen, 10);

	if (!as_at(&gen->model, addr) || what < 2)
		gen_map(gen, addr, GEN_PAGE, gen_random(gen, 3), 0, some_protection(gen));
	else if (what < 5)
		gen_protect(gen, addr, GEN_PAGE, some_protection(gen));
	else if (what < 8)
		gen_unmap(gen, addr, GEN_PAGE);
	else
		gen_load(gen, addr);
}

/* Ranges around one spot, from large to small, each cutting the previous one in three. */
static void nest(struct gen *gen, uint64_t middle)
{
	for (unsigned int depth = 8; depth-- > 0;) {
		uint64_t half = GEN_PAGE << depth;
		uint64_t object = gen_random(gen, 4);

		gen_map(gen, middle - half, 2 * half, object,
			object ? gen_random(gen, 1 << 20) * GEN_PAGE : 0, some_protection(gen));
	}
}

/*
 * Nested and overlapping ranges of every size, with holes torn into them, moved about and
 * protected.
 */
static void overlap(struct gen *gen)
{
	const uint64_t pages = gen->live * 4 + 1024;
	uint64_t addr = GEN_BASE + (512 + gen_random(gen, pages)) * GEN_PAGE;
	uint64_t length = GEN_PAGE << gen_random(gen, 9);
	const struct as_mapping *mapping = as_at(&gen->model, addr);
	uint64_t what = gen_random(gen, 10);

	if (gen->model.count > gen->live)
		gen_unmap(gen, addr, GEN_PAGE << (4 + gen_random(gen, 6)));
	else if (what < 2)
		nest(gen, addr);
	else if (what < 5)
		gen_map(gen, addr, length, 0, 0, some_protection(gen));
	else if (what < 6)
		gen_unmap(gen, addr, length);
	else if (what < 8)
		gen_protect(gen, addr, length, some_protection(gen));
	else if (what < 9 && mapping)
		gen_move(gen, mapping->first, mapping->last - mapping->first + 1,
			 GEN_BASE + (pages + 2048 + gen_random(gen, pages)) * GEN_PAGE, length);
	else
		gen_load(gen, addr);
}

const struct gen_kind gen_kinds[] = {
	{ "streaming", streaming },
	{ "fragment", fragment },
	{ "churn", churn },
	{ "overlap", overlap },
};
const unsigned int nr_gen_kinds = sizeof(gen_kinds) / sizeof(gen_kinds[0]);
