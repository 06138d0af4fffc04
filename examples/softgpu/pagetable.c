/* SPDX-License-Identifier: MIT */
/*
 * Page tables: four levels of SG_ENTRIES entries. An entry at level 0 covers a page, at level 1 2
 * MiB, then 1 GiB and 512 GiB. A range is entered with the largest entries that lie within it:
 *
 *	level 1   |         leaf | leaf | leaf | table  |
 *	level 0   |  ..leaves                  | leaves.. |
 *	             ^ addr                             ^ addr + range
 *
 * so tables are only needed where one of its two ends lies inside an entry: at most one for each
 * end and level. That bound, sg_pt_tables(), does not depend on what the tables contain when the
 * range is entered, which is not known when the tables are reserved.
 *
 * Clearing never needs a table: a leaf that is cut goes as a whole, and what was mapped beside the
 * cut comes back by faults. A table whose last entry goes is unlinked, and put aside until it may
 * be freed.
 *
 * Clearing also tells the TLBs: the generation advances, and the range is noted in a log. An engine
 * compares the generation before each access, and reads the log if it has changed (tlb.c). A fault
 * remembers the generation from before it asked the VM: if it has advanced, the answer may be about
 * a mapping that is gone.
 */
#include "softgpu.h"
#include <assert.h>
#include <string.h>

static uint64_t span(unsigned int level)
{
	return SG_PAGE << (level * SG_LEVEL_BITS);
}

static unsigned int index_of(uint64_t addr, unsigned int level)
{
	return (unsigned int)(addr >> (SG_PAGE_SHIFT + level * SG_LEVEL_BITS)) % SG_ENTRIES;
}

/* ---- Entries */

static enum sg_kind kind_of(const struct sg_entry *e)
{
	return (enum sg_kind)(e->info % SG_PAGE);
}

static uint64_t offset_of(const struct sg_entry *leaf)
{
	return leaf->info & ~(SG_PAGE - 1);
}

static unsigned int used_of(const struct sg_entry *table)
{
	return (unsigned int)(table->info >> SG_PAGE_SHIFT);
}

/* Counts one entry more or less in the table that @parent leads to. The top has no parent. */
static void count_used(struct sg_entry *parent, int more)
{
	if (parent)
		parent->info += (uint64_t)more * SG_PAGE;
}

static void set(struct sg_entry *e, struct sg_entry *parent, enum sg_kind kind, void *to,
		uint64_t offset)
{
	bool was = kind_of(e) != SG_EMPTY, is = kind != SG_EMPTY;

	count_used(parent, is - was);
	e->to = to;
	e->info = offset | kind;
}

/* Takes the table that @e leads to, and all below it, out of use. @level is that of @e. */
static void drop_tables(struct sg_pagetable *pt, struct sg_entry *e, unsigned int level)
{
	struct sg_table *table = e->to;

	if (kind_of(e) != SG_TABLE)
		return;
	for (unsigned int i = 0; level > 1 && i < SG_ENTRIES; i++)
		drop_tables(pt, &table->entry[i], level - 1);
	sg_reserve_put(&pt->dead, table);
	pt->tables--;
}

static bool add_table(struct sg_pagetable *pt, struct sg_entry *e, struct sg_entry *parent,
		      struct sg_reserve *r)
{
	struct sg_table *table = r ? sg_reserve_take(r) : NULL;

	if (!table)
		return false;
	memset(table, 0, sizeof(*table));
	set(e, parent, SG_TABLE, table, 0);
	pt->tables++;
	return true;
}

/* ---- Ranges */

/* What to do to [first, last]. */
struct range {
	uint64_t first, last;
	bool clear;
	struct sg_object *obj;
	uint64_t base; /* of a mapping: its offset minus its address */
	struct sg_reserve *r;
};

static void apply(struct sg_pagetable *pt, struct sg_table *table, struct sg_entry *parent,
		  unsigned int level, uint64_t start, const struct range *range);

/* For an entry that lies within the range. */
static void apply_whole(struct sg_pagetable *pt, struct sg_entry *e, struct sg_entry *parent,
			unsigned int level, uint64_t start, const struct range *range)
{
	drop_tables(pt, e, level);
	if (range->clear)
		set(e, parent, SG_EMPTY, NULL, 0);
	else
		set(e, parent, SG_LEAF, range->obj, start + range->base);
}

/* For an entry that the range covers in part. */
static void apply_part(struct sg_pagetable *pt, struct sg_entry *e, struct sg_entry *parent,
		       unsigned int level, uint64_t start, const struct range *range)
{
	if (kind_of(e) == SG_LEAF)
		set(e, parent, SG_EMPTY, NULL, 0);
	if (kind_of(e) == SG_EMPTY && (range->clear || !add_table(pt, e, parent, range->r)))
		return;
	apply(pt, e->to, e, level - 1, start, range);
	if (used_of(e) == 0) {
		drop_tables(pt, e, level);
		set(e, parent, SG_EMPTY, NULL, 0);
	}
}

/* @table, at @level, begins at address @start. */
static void apply(struct sg_pagetable *pt, struct sg_table *table, struct sg_entry *parent,
		  unsigned int level, uint64_t start, const struct range *range)
{
	uint64_t table_last = start + span(level + 1) - 1;
	unsigned int from = range->first > start ? index_of(range->first, level) : 0;
	unsigned int to = range->last < table_last ? index_of(range->last, level) : SG_ENTRIES - 1;

	for (unsigned int i = from; i <= to; i++) {
		uint64_t at = start + i * span(level), last = at + span(level) - 1;
		struct sg_entry *e = &table->entry[i];

		if (range->clear && kind_of(e) == SG_EMPTY)
			continue;
		if (range->first <= at && last <= range->last)
			apply_whole(pt, e, parent, level, at, range);
		else
			apply_part(pt, e, parent, level, at, range);
	}
}

unsigned int sg_pt_tables(uint64_t addr, uint64_t range)
{
	uint64_t end = addr + range;
	unsigned int tables = 0;

	for (unsigned int level = 1; level < SG_LEVELS; level++) {
		bool head = addr % span(level) != 0, tail = end % span(level) != 0;

		/* If both ends lie in one entry, they share one table. */
		if (head && tail && addr / span(level) == end / span(level))
			tail = false;
		tables += head + tail;
	}
	return tables;
}

void sg_pt_map(struct sg_pagetable *pt, uint64_t addr, uint64_t range, struct sg_object *obj,
	       uint64_t offset, struct sg_reserve *r)
{
	const struct range what = {
		.first = addr, .last = addr + range - 1, .obj = obj, .base = offset - addr, .r = r
	};

	mt_lock_acquire(&pt->lock);
	apply(pt, &pt->top, NULL, SG_LEVELS - 1, 0, &what);
	mt_lock_release(&pt->lock);
}

void sg_pt_clear(struct sg_pagetable *pt, uint64_t addr, uint64_t range)
{
	const struct range what = { .first = addr, .last = addr + range - 1, .clear = true };
	uint64_t generation;

	mt_lock_acquire(&pt->lock);
	apply(pt, &pt->top, NULL, SG_LEVELS - 1, 0, &what);
	generation = pt->generation;
	pt->log[generation % SG_LOG].first = what.first;
	pt->log[generation % SG_LOG].last = what.last;
	/*
	 * Release, for sg_pt_generation(): an engine that sees the new number also sees what came
	 * before the bind's out-fence.
	 */
	__atomic_store_n(&pt->generation, generation + 1, __ATOMIC_RELEASE);
	mt_lock_release(&pt->lock);
}

/* ---- Single addresses */

static bool find_leaf(struct sg_pagetable *pt, uint64_t addr, struct sg_translation *tr)
{
	struct sg_table *table = &pt->top;

	for (unsigned int level = SG_LEVELS; level-- > 0;) {
		struct sg_entry *e = &table->entry[index_of(addr, level)];

		if (kind_of(e) == SG_LEAF) {
			tr->obj = e->to;
			tr->offset = offset_of(e) + (addr % span(level) & ~(SG_PAGE - 1));
			return true;
		}
		if (kind_of(e) == SG_EMPTY)
			return false;
		table = e->to;
	}
	return false;
}

bool sg_pt_walk(struct sg_pagetable *pt, uint64_t addr, struct sg_translation *tr)
{
	bool found;

	if (addr >= SG_VA_END)
		return false;
	mt_lock_acquire(&pt->lock);
	found = find_leaf(pt, addr, tr);
	mt_lock_release(&pt->lock);
	return found;
}

uint64_t sg_pt_generation(const struct sg_pagetable *pt)
{
	return __atomic_load_n(&pt->generation, __ATOMIC_ACQUIRE);
}

/*
 * Returns the range of the largest entry around @addr that lies within [first, last], or of a
 * smaller one where there are finer entries already.
 */
static struct range entry_around(struct sg_pagetable *pt, uint64_t addr, uint64_t first,
				 uint64_t last)
{
	struct range range = { .first = addr & ~(SG_PAGE - 1) };
	struct sg_table *table = &pt->top;
	unsigned int level;

	for (level = SG_LEVELS - 1; level > 0; level--) {
		uint64_t at = addr & ~(span(level) - 1);
		struct sg_entry *e = table ? &table->entry[index_of(addr, level)] : NULL;

		table = e && kind_of(e) == SG_TABLE ? e->to : NULL;
		if (!table && first <= at && at + span(level) - 1 <= last) {
			range.first = at;
			break;
		}
	}
	range.last = range.first + span(level) - 1;
	return range;
}

bool sg_pt_fill(struct sg_pagetable *pt, const struct gpuva *va, uint64_t addr, uint64_t generation,
		struct sg_reserve *r)
{
	struct range range;
	bool current;

	mt_lock_acquire(&pt->lock);
	current = pt->generation == generation;
	if (current) {
		range = entry_around(pt, addr, va->va.addr, va->va.addr + va->va.range - 1);
		range.obj = (struct sg_object *)va->gem.obj;
		range.base = va->gem.offset - va->va.addr;
		range.r = r;
		apply(pt, &pt->top, NULL, SG_LEVELS - 1, 0, &range);
	}
	mt_lock_release(&pt->lock);
	return current;
}

/* ---- Lifetime */

void sg_pt_init(struct sg_pagetable *pt, struct sg_pool *pool)
{
	memset(pt, 0, sizeof(*pt));
	pt->pool = pool;
	mt_lock_init(&pt->lock);
}

void sg_pt_trim(struct sg_pagetable *pt)
{
	struct sg_reserve dead;

	mt_lock_acquire(&pt->lock);
	dead = pt->dead;
	pt->dead = (struct sg_reserve){ 0 };
	mt_lock_release(&pt->lock);
	sg_pool_release(pt->pool, &dead);
}

void sg_pt_fini(struct sg_pagetable *pt)
{
	sg_pt_clear(pt, 0, SG_VA_END);
	sg_pt_trim(pt);
	assert(pt->tables == 0);
}
