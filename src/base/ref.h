/* SPDX-License-Identifier: MIT */
/* Reference counts. */
#ifndef SMR_BASE_REF_H
#define SMR_BASE_REF_H

#include "base/base.h"
#include "base/order.h"

/* Takes another reference. CONTEXT: the caller has one. */
smr_inline void smr_ref_get(unsigned int *refs)
{
	unsigned int before = smr_add(refs, 1, RELAXED);

	smr_assert(before > 0 && before < ~0u);
	(void)before;
}

/*
 * Takes a reference, unless none is left: then returns false. CONTEXT: the memory must be there; a
 * reference need not.
 */
smr_inline bool smr_ref_try_get(unsigned int *refs)
{
	unsigned int count = smr_load(refs, RELAXED);

	while (count > 0)
		if (smr_cas(refs, &count, count + 1, RELAXED, RELAXED))
			return true;
	return false;
}

/*
 * Drops a reference. Returns true if it was the last one; then whatever other threads did while
 * they had theirs is over.
 */
smr_inline bool smr_ref_put(unsigned int *refs)
{
	/*
	 * ORDER ref: see base/order.h. PARTNER itself, in the thread with the last reference;
	 * smr_ref_is_last(), for the release; smr_ref_put_unless_last(), for the acquire.
	 */
	unsigned int before = smr_sub(refs, 1, ORDER(ref, acq_rel));

	smr_assert(before > 0);
	return before == 1;
}

/*
 * Returns true if the caller's reference is the only one. Then nobody else can take another, and
 * what other threads did with theirs is over.
 */
smr_inline bool smr_ref_is_last(const unsigned int *refs)
{
	/* ORDER ref. PARTNER smr_ref_put(), smr_ref_put_unless_last(). */
	return smr_load(refs, ORDER(ref, acquire)) == 1;
}

/*
 * Drops the caller's reference unless it is the last one: then returns false, and the caller keeps
 * it.
 */
smr_inline bool smr_ref_put_unless_last(unsigned int *refs)
{
	unsigned int count = smr_load(refs, RELAXED);

	while (count > 1) {
		/* ORDER ref. PARTNER smr_ref_put(), smr_ref_is_last(). */
		if (smr_cas(refs, &count, count - 1, ORDER(ref, release), RELAXED))
			return true;
	}
	return false;
}

#endif
