/* SPDX-License-Identifier: MIT */
/* Counts of references. */
#ifndef SMR_BASE_REF_H
#define SMR_BASE_REF_H

#include "base/base.h"
#include "base/order.h"

/* CONTEXT: the caller has a reference. */
smr_inline void smr_ref_get(unsigned int *refs)
{
	unsigned int before = smr_add(refs, 1, RELAXED);

	smr_assert(before > 0 && before < ~0u);
	(void)before;
}

/*
 * One more unless there is none left; false then. CONTEXT: the memory is there, a reference need
 * not be.
 */
smr_inline bool smr_ref_try_get(unsigned int *refs)
{
	unsigned int count = smr_load(refs, RELAXED);

	while (count > 0)
		if (smr_cas(refs, &count, count + 1, RELAXED, RELAXED))
			return true;
	return false;
}

/* True: that was the last one, and whatever others did while they had theirs is over. */
smr_inline bool smr_ref_put(unsigned int *refs)
{
	/* ORDER ref: see base/order.h. PARTNER itself, in the thread with the last reference. */
	unsigned int before = smr_sub(refs, 1, ORDER(ref, acq_rel));

	smr_assert(before > 0);
	return before == 1;
}

/* Is the caller's the only one? Then nobody else makes it more, and what others did is over. */
smr_inline bool smr_ref_is_last(const unsigned int *refs)
{
	/* ORDER ref. PARTNER smr_ref_put(). */
	return smr_load(refs, ORDER(ref, acquire)) == 1;
}

/* One less unless it is the last; false then, and the caller still has it. */
smr_inline bool smr_ref_put_unless_last(unsigned int *refs)
{
	unsigned int count = smr_load(refs, RELAXED);

	while (count > 1) {
		/* ORDER ref. PARTNER smr_ref_put(). */
		if (smr_cas(refs, &count, count - 1, ORDER(ref, release), RELAXED))
			return true;
	}
	return false;
}

#endif
