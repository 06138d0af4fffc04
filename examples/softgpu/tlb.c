/* SPDX-License-Identifier: MIT */
/*
 * One engine's cache of the page tables: SG_TLB_SETS sets of SG_TLB_WAYS pages, of which the oldest
 * is replaced first.
 */
#include "softgpu.h"
#include <string.h>

static unsigned int set_of(uint64_t page)
{
	return (unsigned int)(page ^ page / SG_TLB_SETS) % SG_TLB_SETS;
}

bool sg_tlb_find(struct sg_tlb *tlb, uint64_t addr, struct sg_translation *tr)
{
	uint64_t page = addr >> SG_PAGE_SHIFT;
	const struct sg_tlb_entry *set = tlb->set[set_of(page)];

	for (unsigned int way = 0; way < SG_TLB_WAYS; way++) {
		if (set[way].tag == page + 1) {
			*tr = set[way].tr;
			tlb->hits++;
			return true;
		}
	}
	tlb->misses++;
	return false;
}

void sg_tlb_enter(struct sg_tlb *tlb, uint64_t addr, const struct sg_translation *tr)
{
	uint64_t page = addr >> SG_PAGE_SHIFT;
	unsigned int set = set_of(page), way = tlb->victim[set];

	tlb->set[set][way] = (struct sg_tlb_entry){ .tag = page + 1, .tr = *tr };
	tlb->victim[set] = (unsigned char)((way + 1) % SG_TLB_WAYS);
}

/*
 * Forgets the pages from @first to @last: one by one if they are few, else by checking each entry.
 */
static void forget(struct sg_tlb *tlb, uint64_t first, uint64_t last)
{
	bool few = last - first < SG_TLB_SETS;
	uint64_t rounds = few ? last - first + 1 : SG_TLB_SETS;

	for (uint64_t i = 0; i < rounds; i++) {
		struct sg_tlb_entry *set = tlb->set[few ? set_of(first + i) : i];

		for (unsigned int way = 0; way < SG_TLB_WAYS; way++) {
			uint64_t page = set[way].tag - 1;

			if (set[way].tag && first <= page && page <= last)
				set[way].tag = 0;
		}
	}
}

void sg_tlb_refresh(struct sg_tlb *tlb, struct sg_pagetable *pt)
{
	if (tlb->seen == sg_pt_generation(pt))
		return;
	mt_lock_acquire(&pt->lock);
	if (pt->generation - tlb->seen > SG_LOG) { /* the log no longer has all ranges */
		memset(tlb->set, 0, sizeof(tlb->set));
		tlb->seen = pt->generation;
		tlb->invalidations++;
	}
	for (; tlb->seen < pt->generation; tlb->seen++, tlb->invalidations++)
		forget(tlb, pt->log[tlb->seen % SG_LOG].first >> SG_PAGE_SHIFT,
		       pt->log[tlb->seen % SG_LOG].last >> SG_PAGE_SHIFT);
	mt_lock_release(&pt->lock);
}
