/* SPDX-License-Identifier: MIT */
/* Everything that a submit might leave behind. */
#ifndef TESTS_FAULT_BIND_PICTURE_H
#define TESTS_FAULT_BIND_PICTURE_H

#include "support/bind_bed.h"

#include "bind/bind_internal.h"
#include "fence/fence_internal.h"

#include <stdio.h>
#include <string.h>

struct picture {
	struct bind_stats stats;
	struct smri_bind_load charged;
	struct smr_pool_count pools[SMRI_BIND_KINDS];
	unsigned long credits, pledged, submitted, seq;
	unsigned int obj_refs[TOY_OBJECTS], pairs[TOY_OBJECTS], vm_refs, resv_fences, resv_reserved;
	unsigned int extobj, owed;
	long cookies;
	bool in_signaled, out_signaled, spare_credit;
	char vm[4096];
};

static inline unsigned int length(const struct gpuvm_list *head)
{
	unsigned int n = 0;

	for (const struct gpuvm_list *link = head->next; link != head; link = link->next)
		n++;
	return n;
}

/* Returns the number of fences that @tl, which may be NULL, has for values to come. */
static inline unsigned int owed_by(const struct timeline *tl)
{
	unsigned int n = 0;

	for (const struct fence *f = tl ? tl->pending.first : NULL; f; f = f->next)
		n++;
	return n;
}

static inline void take_picture(struct picture *p, struct bind_queue *queue, struct fence *in,
				struct fence *out, const struct timeline *tl)
{
	struct gpuvm_queues *q = queue->vm;

	memset(p, 0, sizeof(*p));
	p->stats = stats();
	p->charged = q->charged;
	for (unsigned int k = 0; k < SMRI_BIND_KINDS; k++)
		p->pools[k] = smr_pool_count(&q->pool[k]);
	p->credits = mt_credits_left(&q->credits);
	p->spare_credit = q->spare.credits;
	p->pledged = bt.toy.vm.tree.ma_pledge.pledged;
	p->seq = bt.toy.vm.tree.ma_seq;
	p->submitted = queue->submitted;
	for (unsigned int i = 0; i < TOY_OBJECTS; i++) {
		p->obj_refs[i] = bt.toy.objs[i].refs;
		p->pairs[i] = length(&bt.toy.objs[i].pairs);
		p->resv_fences += bt.toy.objs[i].own_resv.nr;
		p->resv_reserved += bt.toy.objs[i].own_resv.reserved;
	}
	p->vm_refs = bt.toy.vm.refs;
	p->extobj = length(&bt.toy.vm.extobj.list);
	p->owed = owed_by(tl);
	p->cookies = bt.cookies;
	p->in_signaled = in && fence_is_signaled(in);
	p->out_signaled = out && fence_is_signaled(out);
	snprintf(p->vm, sizeof(p->vm), "%s", bind_toy_dump(&bt));
}

static inline void expect_same(const struct picture *a, const struct picture *b, unsigned long i)
{
	if (memcmp(a, b, sizeof(*a)) == 0)
		return;
	for (size_t at = 0; at < sizeof(*a); at++)
		if (((const char *)a)[at] != ((const char *)b)[at])
			fail_msg("allocation %lu: the picture differs at byte %zu", i, at);
}

#endif
