/* SPDX-License-Identifier: MIT */
/* Counts of references: of fences and of timelines. */
#ifndef SMR_FENCE_REF_H
#define SMR_FENCE_REF_H

#include "base/base.h"
#include "base/order.h"

/* CONTEXT: the caller has a reference. */
smr_inline void smri_ref_get(unsigned int *refs)
{
	unsigned int before = smr_add(refs, 1, RELAXED);

	smr_assert(before > 0 && before < ~0u);
	(void)before;
}

/* True: that was the last one, and whatever others did while they had theirs is over. */
smr_inline bool smri_ref_put(unsigned int *refs)
{
	/* ORDER ref: see base/order.h. PARTNER itself, in the thread with the last reference. */
	unsigned int before = smr_sub(refs, 1, ORDER(ref, acq_rel));

	smr_assert(before > 0);
	return before == 1;
}

/* One less unless it is the last; false then, and the caller still has it. */
smr_inline bool smri_ref_put_unless_last(unsigned int *refs)
{
	unsigned int count = smr_load(refs, RELAXED);

	while (count > 1) {
		/* ORDER ref. PARTNER smri_ref_put(). */
		if (smr_cas(refs, &count, count - 1, ORDER(ref, release), RELAXED))
			return true;
	}
	return false;
}

#endif
