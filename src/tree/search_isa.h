/* SPDX-License-Identifier: MIT */
/*
 * Searching nodes and the tree: search.h and search_simd.h include this once for each instruction
 * set, with SMR_ISA() for the names and SMR_ISA_TARGET for the functions. So it has no include
 * guard.
 */

/*
 * A key on its way down. The nodes that it passes usually measure their bounds alike (encode.c sees
 * to it), so the limit computed for one serves the next. The test for that is predicted, so the
 * next node's bounds are compared without waiting for its header, with a third of the instructions.
 */
struct SMR_ISA(smr_aim) {
	unsigned long key;
	SMR_ISA(smri_measure) measure;
	SMR_ISA(smri_limits) limits;
	unsigned int shift; /* of that measure; short leaves share it, but not the base */
};

SMR_ISA_TARGET smr_inline void SMR_ISA(smr_aim_at)(struct SMR_ISA(smr_aim) * aim, unsigned long key)
{
	aim->key = key;
	aim->measure = SMR_ISA(smri_measure_none)();
	aim->limits = SMR_ISA(smri_limits_of)(0);
	aim->shift = UINT8_MAX;
}

SMR_ISA_TARGET smr_inline void SMR_ISA(smri_aim_adjust)(struct SMR_ISA(smr_aim) * aim,
							const struct smr_node *node,
							SMR_ISA(smri_head) head)
{
	if (smr_unlikely(!SMR_ISA(smri_same_measure)(aim->measure, aim->shift, head))) {
		aim->measure = SMR_ISA(smri_measure_of)(head);
		aim->limits = SMR_ISA(smri_limits_of)(smri_limit(node, aim->key));
		SMR_ISA(smri_limits_keep)(&aim->limits);
		aim->shift = node->shift;
	}
}

/*
 * smri_aim_adjust() for @n keys that go down side by side, in nodes of the same depth: @enode, an
 * inner node, is the first key's. Usually all these nodes, and those above them, measure alike. So
 * if @enode does not measure as @aim has it, the limits of all keys are recomputed at once.
 */
SMR_ISA_TARGET smr_inline void SMR_ISA(smr_aims_adjust)(struct SMR_ISA(smr_aim) * aim,
							int32_t *limit, const void *enode,
							const unsigned long *key, unsigned int n)
{
	const struct smr_node *node = smr_node_of(enode);
	SMR_ISA(smri_head) head = SMR_ISA(smri_head_of)(node);

	if (!smr_enode_ninner(enode) || SMR_ISA(smri_same_measure)(aim->measure, aim->shift, head))
		return;
	aim->measure = SMR_ISA(smri_measure_of)(head);
	aim->shift = node->shift;
	smri_limit_each(node, key, limit, n);
}

/* Returns the aim of one of these keys; @aim is that of all. */
SMR_ISA_TARGET smr_inline struct SMR_ISA(smr_aim)
	SMR_ISA(smr_aim_one)(struct SMR_ISA(smr_aim) aim, unsigned long key, int32_t limit)
{
	aim.key = key;
	aim.limits = SMR_ISA(smri_limits_of)(limit);
	return aim;
}

/*
 * Counts the bounds of one narrow node that are below each of @n limits. There must be at least
 * SMRI_EACH limits; the last SMRI_EACH may overlap those before. The vectors hold limits here, and
 * are as wide as the machine's: GCC 12 compares wider ones lane by lane. Given plain loops over
 * bounds and limits, compilers make other vectors, or keep the counts in memory.
 */
SMR_ISA_TARGET smr_inline void SMR_ISA(smri_below_each)(const struct smr_node *node,
							const int32_t *limit, int32_t *below,
							unsigned int n)
{
	typedef int32_t lanes __attribute__((vector_size(SMR_ISA(SMRI_VECTOR))));
	enum { VECTORS = SMRI_EACH * sizeof(int32_t) / sizeof(lanes) };
	unsigned int last = n - SMRI_EACH;

	for (unsigned int i = 0; i < n; i += SMRI_EACH) {
		unsigned int at = i < last ? i : last;
		lanes limits[VECTORS], sum[VECTORS] = { 0 };

		memcpy(limits, limit + at, sizeof(limits));
		for (unsigned int b = 0; b + 1 < node->count; b++)
#pragma GCC unroll 4
			for (unsigned int v = 0; v < VECTORS; v++)
				sum[v] -= node->b32[b] < limits[v]; /* lanes of -1 */
		memcpy(below + at, sum, sizeof(sum));
	}
}

/* ---- The slot of a key's range in one node, by kind ---- */
/*
 * @alone: no other look-up fills the time until the node arrives, so all its lines are requested at
 * once. If there are others, the bottleneck is how many lines can arrive at a time, so the third
 * one is not touched if the key lies before it, as it does in most nodes.
 */

SMR_ISA_TARGET smr_inline unsigned int SMR_ISA(smri_narrow)(struct SMR_ISA(smr_aim) * aim,
							    const struct smr_node *node, bool leaf,
							    bool alone)
{
	SMR_ISA(smri_head) head = SMR_ISA(smri_head_of)(node);
	unsigned int near;

	SMR_ISA(smri_aim_adjust)(aim, node, head);
	near = alone ? SMRI_NEAR_BOUNDS : SMR_ISA(smri_below_near)(node, head, aim->limits);
	if (smr_likely(near < SMRI_NEAR_BOUNDS))
		return near;
	return leaf ? SMR_ISA(smri_below_leaf)(node, head, aim->limits)
		    : SMR_ISA(smri_below_inner)(node, head, aim->limits);
}

/* The shift is usually that of the nodes above, so the limit need not wait for the leaf's. */
SMR_ISA_TARGET smr_inline unsigned int SMR_ISA(smri_short_leaf)(struct SMR_ISA(smr_aim) * aim,
								const struct smr_node *node)
{
	unsigned int predicted = aim->shift;

	/* Compilers substitute equal values for each other, and so would wait for the leaf's. */
	__asm__("" : "+r"(predicted));
	if (smr_unlikely(node->shift != predicted)) {
		aim->shift = node->shift;
		__asm__ volatile("" : "+r"(aim->shift)); /* a branch, not a conditional move */
	}
	return SMR_ISA(smri_below_short)(node, smri_short_limit(aim->shift, aim->key));
}

/* A range that starts at ULONG_MAX has the padding as its bound: the count decides. */
SMR_ISA_TARGET smr_inline unsigned int SMR_ISA(smri_wide)(const struct SMR_ISA(smr_aim) * aim,
							  const struct smr_node *node, bool leaf)
{
	int64_t key = (int64_t)(aim->key ^ SMR_WIDE_SIGN);
	unsigned int n = leaf ? SMR_ISA(smri_upto_leaf)(node->b64, key)
			      : SMR_ISA(smri_upto_inner)(node->b64, key);
	unsigned int last = node->count - 1u;

	return n < last ? n : last;
}

/* ---- One step down, and all the way ---- */
/*
 * Each kind has a branch of its own, so that the offset of its slots is a constant. A tree's kinds
 * hardly vary from path to path, so branches on them are predicted.
 */

/* Returns the address of the slot, in a node of @kind, of the key's range or child: slot *@i. */
SMR_ISA_TARGET smr_inline void **SMR_ISA(smri_kind_slot)(struct SMR_ISA(smr_aim) * aim,
							 const void *enode, enum smr_kind kind,
							 bool alone, unsigned int *i)
{
	struct smr_node *node = smr_kind_node(enode, kind);

	if (alone)
		smri_prefetch_slots(node, kind);
	if (smr_kind_short(kind))
		*i = SMR_ISA(smri_short_leaf)(aim, node);
	else if (smr_kind_wide(kind))
		*i = SMR_ISA(smri_wide)(aim, node, smr_kind_leaf(kind));
	else
		*i = SMR_ISA(smri_narrow)(aim, node, smr_kind_leaf(kind), alone);
	return smr_kind_slots(node, kind) + *i;
}

/* The same for any inner node. */
SMR_ISA_TARGET smr_inline void **SMR_ISA(smr_child_slot)(struct SMR_ISA(smr_aim) * aim,
							 const void *enode, bool alone,
							 unsigned int *i)
{
	if (smr_unlikely((uintptr_t)enode & SMR_ENODE_WIDE))
		return SMR_ISA(smri_kind_slot)(aim, enode, SMR_WINNER, alone, i);
	return SMR_ISA(smri_kind_slot)(aim, enode, SMR_NINNER, alone, i);
}

/* The same for any leaf. */
SMR_ISA_TARGET smr_inline void **SMR_ISA(smr_entry_slot)(struct SMR_ISA(smr_aim) * aim,
							 const void *enode, bool alone,
							 unsigned int *i)
{
	if (smr_likely(smr_enode_is(enode, SMR_SLEAF)))
		return SMR_ISA(smri_kind_slot)(aim, enode, SMR_SLEAF, alone, i);
	if (smr_unlikely((uintptr_t)enode & SMR_ENODE_WIDE))
		return SMR_ISA(smri_kind_slot)(aim, enode, SMR_WLEAF, alone, i);
	return SMR_ISA(smri_kind_slot)(aim, enode, SMR_NLEAF, alone, i);
}

/*
 * The first step down, which also sets up the key's aim. The top is the same node for all keys: it
 * is in the nearest cache, and whether it is a narrow node with few children, as every second top
 * is, is predicted. This saves a tenth of a look-up.
 */
SMR_ISA_TARGET smr_inline void *SMR_ISA(smr_child_from_top)(struct SMR_ISA(smr_aim) * aim,
							    const void *top, unsigned long key,
							    unsigned int *i)
{
	struct smr_node *node = smr_kind_node(top, SMR_NINNER);
	SMR_ISA(smri_head) head = SMR_ISA(smri_head_of)(node);

	aim->key = key;
	aim->measure = SMR_ISA(smri_measure_of)(head);
	aim->limits = SMR_ISA(smri_limits_of)(smri_limit(node, key));
	aim->shift = node->shift;
	*i = smr_likely(node->count <= SMRI_FEW_BOUNDS + 1)
		     ? SMR_ISA(smri_below_few)(node, head, aim->limits)
		     : SMR_ISA(smri_below_inner)(node, head, aim->limits);
	return smr_slot_read(smr_kind_slots(node, SMR_NINNER) + *i);
}

/* Returns what the normal API does for @key, in the read-side section that @top was read in. */
SMR_ISA_TARGET smr_inline void *SMR_ISA(smr_lookup)(void *top, unsigned long key)
{
	struct SMR_ISA(smr_aim) aim;
	unsigned int i;

	if (smr_likely(smr_enode_is(top, SMR_NINNER)))
		top = SMR_ISA(smr_child_from_top)(&aim, top, key, &i);
	else if (smr_is_enode(top))
		SMR_ISA(smr_aim_at)(&aim, key);
	else
		return key == 0 ? top : NULL;
	for (;;) {
		while (smr_likely(smr_enode_ninner(top)))
			top = smr_slot_read(
				SMR_ISA(smri_kind_slot)(&aim, top, SMR_NINNER, true, &i));
		if (smr_likely(smr_enode_leaf(top)))
			break;
		top = smr_slot_read(SMR_ISA(smri_kind_slot)(&aim, top, SMR_WINNER, true, &i));
	}
	return smr_visible(SMR_ISA(smr_entry_slot)(&aim, top, true, &i));
}

/* Returns the slot of @key's range, as an index into smr_slots(). */
SMR_ISA_TARGET smr_inline unsigned int SMR_ISA(smr_search_leaf)(const void *enode,
								unsigned long key)
{
	struct SMR_ISA(smr_aim) aim;
	unsigned int i;

	SMR_ISA(smr_aim_at)(&aim, key);
	SMR_ISA(smr_entry_slot)(&aim, enode, false, &i);
	return i;
}

SMR_ISA_TARGET smr_inline unsigned int SMR_ISA(smr_search_inner)(const void *enode,
								 unsigned long key)
{
	struct SMR_ISA(smr_aim) aim;
	unsigned int i;

	SMR_ISA(smr_aim_at)(&aim, key);
	SMR_ISA(smr_child_slot)(&aim, enode, false, &i);
	return i;
}
