/* SPDX-License-Identifier: MIT */
/*
 * Finding a key's range within one node: counting the bounds that are not above it. All bounds are compared, the
 * unused ones too (they pad with the largest value), so there is no branch that depends on data: the
 * compiler turns each loop into vector compares, and look-ups of independent keys overlap.
 */
#ifndef SMR_TREE_SEARCH_H
#define SMR_TREE_SEARCH_H

#include "tree/node.h"

/* Bounds below the key's own place: @limit is one more than the largest bound that is not above it. */
smr_inline unsigned int smri_count_below32(const int32_t *bound, unsigned int n, int32_t limit)
{
	int below = 0;

	for (unsigned int i = 0; i < n; i++)
		below += bound[i] < limit;
	return (unsigned int)below;
}

/* The key as a bound of @node, plus one; 0 when it lies below them all, never above the padding. */
smr_inline int32_t smri_limit(const struct smr_node *node, unsigned long key)
{
	unsigned long units = (key - node->base) >> node->shift;

	units = units < SMR_NARROW_MAX ? units + 1 : SMR_NARROW_MAX + 1UL;
	return key >= node->base ? (int32_t)units : 0;
}

/* A range that starts at ULONG_MAX has the padding's value: count decides. */
smr_inline unsigned int smri_search_wide(const struct smr_node *node, unsigned int bounds,
					 unsigned long key)
{
	int64_t skey = (int64_t)(key ^ SMR_WIDE_SIGN);
	unsigned int last = node->count - 1u;
	unsigned int n = 0;

	for (unsigned int i = 0; i < bounds; i++)
		n += node->b64[i] <= skey;
	return n < last ? n : last;
}

/* The slot of @key's range in a leaf; its offset is the slot's place in smr_slots(). */
smr_inline unsigned int smr_search_leaf(const void *enode, unsigned long key)
{
	const struct smr_node *node = smr_node_of(enode);

	if (smr_unlikely((uintptr_t)enode & SMR_ENODE_WIDE))
		return smri_search_wide(node, SMR_WLEAF_CAP - 1, key);
	return smri_count_below32(node->b32, SMR_NLEAF_CAP - 1, smri_limit(node, key));
}

smr_inline unsigned int smr_search_inner(const void *enode, unsigned long key)
{
	const struct smr_node *node = smr_node_of(enode);

	if (smr_unlikely((uintptr_t)enode & SMR_ENODE_WIDE))
		return smri_search_wide(node, SMR_WINNER_CAP - 1, key);
	return smri_count_below32(node->b32, SMR_NINNER_CAP - 1, smri_limit(node, key));
}

smr_inline unsigned int smr_search(const void *enode, unsigned long key)
{
	return smr_enode_leaf(enode) ? smr_search_leaf(enode, key) : smr_search_inner(enode, key);
}

/*
 * A look-up that keeps no path. Each kind has its own arm, so that where its slots are is a constant; the next
 * node's later lines are asked for before its bounds are compared, so that slot and bounds arrive together.
 */
smr_inline void *smri_child(const void *enode, unsigned long key)
{
	struct smr_node *node = smr_node_of(enode);
	unsigned int s;

	if (smr_unlikely((uintptr_t)enode & SMR_ENODE_WIDE)) {
		s = smri_search_wide(node, SMR_WINNER_CAP - 1, key);
		return smr_slot_read(smr_kind_slots(node, SMR_WINNER) + s);
	}
	s = smri_count_below32(node->b32, SMR_NINNER_CAP - 1, smri_limit(node, key));
	return smr_slot_read(smr_kind_slots(node, SMR_NINNER) + s);
}

smr_inline void *smri_entry(const void *enode, unsigned long key)
{
	struct smr_node *node = smr_node_of(enode);
	unsigned int s;

	if (smr_unlikely((uintptr_t)enode & SMR_ENODE_WIDE)) {
		s = smri_search_wide(node, SMR_WLEAF_CAP - 1, key);
		return smr_slot_read(smr_kind_slots(node, SMR_WLEAF) + s);
	}
	s = smri_count_below32(node->b32, SMR_NLEAF_CAP - 1, smri_limit(node, key));
	return smr_slot_read(smr_kind_slots(node, SMR_NLEAF) + s);
}

smr_inline void smr_prefetch_node(const void *enode)
{
	const char *node = (const char *)smr_node_of(enode);

	for (unsigned int line = 0; line < MT_NODE_SIZE; line += 64)
		__builtin_prefetch(node + line);
}

smr_inline void *smr_lookup(void *top, unsigned long key)
{
	if (smr_unlikely(!smr_is_enode(top)))
		return key == 0 ? top : NULL;
	while (!smr_enode_leaf(top)) {
		top = smri_child(top, key);
		smr_prefetch_node(top);
	}
	return smri_entry(top, key);
}

#endif
