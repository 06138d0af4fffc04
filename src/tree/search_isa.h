/* SPDX-License-Identifier: MIT */
/*
 * Searching nodes and the tree: search.h and search_simd.h include this once for each instruction
 * set, with SMR_ISA() for the names and SMR_ISA_TARGET for the functions. So it has no guard.
 */

/*
 * A key on its way down. As a rule the nodes it passes measure their bounds alike (encode.c sees to
 * it), and the limit made for one serves the next. The test for it is foreseen, so that the next
 * node's bounds are compared without waiting for its header, and with a third of the instructions.
 */
struct SMR_ISA(smr_aim) {
	unsigned long key;
	SMR_ISA(smri_measure) measure;
	SMR_ISA(smri_limits) limits;
	unsigned int shift; /* of that measure: short leaves have it, too, but another base */
};

SMR_ISA_TARGET smr_inline void SMR_ISA(smr_aim_at)(struct SMR_ISA(smr_aim) * aim, unsigned long key)
{
	aim->key = key;
	aim->measure = SMR_ISA(smri_measure_none)();
	aim->limits = SMR_ISA(smri_limits_of)(0);
	aim->shift = UINT8_MAX;
}

SMR_ISA_TARGET smr_inline void SMR_ISA(smri_adjust)(struct SMR_ISA(smr_aim) * aim,
						    const struct smr_node *node,
						    SMR_ISA(smri_head) head)
{
	if (smr_unlikely(!SMR_ISA(smri_measured)(aim->measure, aim->shift, head))) {
		aim->measure = SMR_ISA(smri_measure_of)(head);
		aim->limits = SMR_ISA(smri_limits_of)(smri_limit(node, aim->key));
		SMR_ISA(smri_limits_keep)(&aim->limits);
		aim->shift = node->shift;
	}
}

/*
 * For keys that go down side by side, each in a node of the same depth, of which @enode, an inner
 * one, is the first. As a rule all of them measure alike, and those above did. So where this one
 * does not measure as @aim has it, the keys' limits are made anew, all at once.
 */
SMR_ISA_TARGET smr_inline void SMR_ISA(smr_aims_measure)(struct SMR_ISA(smr_aim) * aim,
							 int32_t *limit, const void *enode,
							 const unsigned long *key, unsigned int n)
{
	const struct smr_node *node = smr_node_of(enode);
	SMR_ISA(smri_head) head = SMR_ISA(smri_head_of)(node);

	if (!smr_enode_ninner(enode) || SMR_ISA(smri_measured)(aim->measure, aim->shift, head))
		return;
	aim->measure = SMR_ISA(smri_measure_of)(head);
	aim->shift = node->shift;
	smri_limit_each(node, key, limit, n);
}

/* One of them, @aim being of all. */
SMR_ISA_TARGET smr_inline struct SMR_ISA(smr_aim)
	SMR_ISA(smr_aim_one)(struct SMR_ISA(smr_aim) aim, unsigned long key, int32_t limit)
{
	aim.key = key;
	aim.limits = SMR_ISA(smri_limits_of)(limit);
	return aim;
}

/*
 * How many bounds of one narrow node are below each of @n limits, SMRI_EACH or more; the last so
 * many may overlap those before. Vectors are of limits here, and as wide as the machine has them:
 * of wider ones GCC 12 compares lane by lane, and of loops over bounds and limits compilers make
 * others, or keep the counts in memory.
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
 * @alone: no other look-up fills the time until the node is here, so all its lines are asked for at
 * once. Beside others, where what is waited for is how many lines can come at a time, the third one
 * is left alone as long as the key is in front of it: it is so in most nodes.
 */

SMR_ISA_TARGET smr_inline unsigned int SMR_ISA(smri_narrow_leaf)(struct SMR_ISA(smr_aim) * aim,
								 const struct smr_node *node,
								 bool alone)
{
	SMR_ISA(smri_head) head = SMR_ISA(smri_head_of)(node);
	unsigned int near;

	SMR_ISA(smri_adjust)(aim, node, head);
	near = alone ? SMRI_NEAR_BOUNDS : SMR_ISA(smri_below_near)(node, head, aim->limits);
	return smr_likely(near < SMRI_NEAR_BOUNDS)
		       ? near
		       : SMR_ISA(smri_below_leaf)(node, head, aim->limits);
}

SMR_ISA_TARGET smr_inline unsigned int SMR_ISA(smri_narrow_inner)(struct SMR_ISA(smr_aim) * aim,
								  const struct smr_node *node,
								  bool alone)
{
	SMR_ISA(smri_head) head = SMR_ISA(smri_head_of)(node);
	unsigned int near;

	SMR_ISA(smri_adjust)(aim, node, head);
	near = alone ? SMRI_NEAR_BOUNDS : SMR_ISA(smri_below_near)(node, head, aim->limits);
	return smr_likely(near < SMRI_NEAR_BOUNDS)
		       ? near
		       : SMR_ISA(smri_below_inner)(node, head, aim->limits);
}

/* As a rule its shift is that of the nodes above: what is made of the key need not wait for it. */
SMR_ISA_TARGET smr_inline unsigned int SMR_ISA(smri_short_leaf)(struct SMR_ISA(smr_aim) * aim,
								const struct smr_node *node)
{
	unsigned int foreseen = aim->shift;

	/* What compilers find equal they take for each other, and so would wait for the leaf's. */
	__asm__("" : "+r"(foreseen));
	if (smr_unlikely(node->shift != foreseen)) {
		aim->shift = node->shift;
		__asm__ volatile("" : "+r"(aim->shift)); /* a branch, no choice of two values */
	}
	return SMR_ISA(smri_below_short)(node, smri_short_limit(aim->shift, aim->key));
}

/* A range that starts at ULONG_MAX has the padding's value: count decides. */
SMR_ISA_TARGET smr_inline unsigned int SMR_ISA(smri_wide_leaf)(const struct SMR_ISA(smr_aim) * aim,
							       const struct smr_node *node)
{
	unsigned int n = SMR_ISA(smri_upto_leaf)(node->b64, (int64_t)(aim->key ^ SMR_WIDE_SIGN));
	unsigned int last = node->count - 1u;

	return n < last ? n : last;
}

SMR_ISA_TARGET smr_inline unsigned int SMR_ISA(smri_wide_inner)(const struct SMR_ISA(smr_aim) * aim,
								const struct smr_node *node)
{
	unsigned int n = SMR_ISA(smri_upto_inner)(node->b64, (int64_t)(aim->key ^ SMR_WIDE_SIGN));
	unsigned int last = node->count - 1u;

	return n < last ? n : last;
}

/* ---- One step down, and all the way ---- */
/*
 * Each kind has an arm of its own, so that where its slots are is a constant. A tree's kinds hardly
 * vary from path to path, and branches on them are foreseen.
 */

/* Where an inner node keeps the way to the key: slot *@i. */
SMR_ISA_TARGET smr_inline void **SMR_ISA(smri_narrow_child)(struct SMR_ISA(smr_aim) * aim,
							    const void *enode, bool alone,
							    unsigned int *i)
{
	struct smr_node *node = smr_kind_node(enode, SMR_NINNER);

	if (alone)
		smri_prefetch_slots(node, SMR_NINNER);
	*i = SMR_ISA(smri_narrow_inner)(aim, node, alone);
	return smr_kind_slots(node, SMR_NINNER) + *i;
}

SMR_ISA_TARGET smr_inline void **SMR_ISA(smri_wide_child)(struct SMR_ISA(smr_aim) * aim,
							  const void *enode, bool alone,
							  unsigned int *i)
{
	struct smr_node *node = smr_kind_node(enode, SMR_WINNER);

	if (alone)
		smri_prefetch_slots(node, SMR_WINNER);
	*i = SMR_ISA(smri_wide_inner)(aim, node);
	return smr_kind_slots(node, SMR_WINNER) + *i;
}

SMR_ISA_TARGET smr_inline void **SMR_ISA(smr_child)(struct SMR_ISA(smr_aim) * aim,
						    const void *enode, bool alone, unsigned int *i)
{
	if (smr_unlikely((uintptr_t)enode & SMR_ENODE_WIDE))
		return SMR_ISA(smri_wide_child)(aim, enode, alone, i);
	return SMR_ISA(smri_narrow_child)(aim, enode, alone, i);
}

/* Where a leaf keeps the key's entry: slot *@i. */
SMR_ISA_TARGET smr_inline void **SMR_ISA(smr_entry)(struct SMR_ISA(smr_aim) * aim,
						    const void *enode, bool alone, unsigned int *i)
{
	struct smr_node *node;

	if (smr_likely(smr_enode_is(enode, SMR_SLEAF))) {
		node = smr_kind_node(enode, SMR_SLEAF);
		if (alone)
			smri_prefetch_slots(node, SMR_SLEAF);
		*i = SMR_ISA(smri_short_leaf)(aim, node);
		return smr_kind_slots(node, SMR_SLEAF) + *i;
	}
	if (smr_unlikely((uintptr_t)enode & SMR_ENODE_WIDE)) {
		node = smr_kind_node(enode, SMR_WLEAF);
		if (alone)
			smri_prefetch_slots(node, SMR_WLEAF);
		*i = SMR_ISA(smri_wide_leaf)(aim, node);
		return smr_kind_slots(node, SMR_WLEAF) + *i;
	}
	node = smr_kind_node(enode, SMR_NLEAF);
	if (alone)
		smri_prefetch_slots(node, SMR_NLEAF);
	*i = SMR_ISA(smri_narrow_leaf)(aim, node, alone);
	return smr_kind_slots(node, SMR_NLEAF) + *i;
}

/*
 * The first step down, of a key whose aim is to be taken. The top is the same node for all keys: it
 * is in the nearest cache, and whether it is a narrow one of few children, as every other top is,
 * will be foreseen. What that saves is a tenth of a look-up.
 */
SMR_ISA_TARGET smr_inline void *SMR_ISA(smr_from_top)(struct SMR_ISA(smr_aim) * aim,
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

/* What the normal API returns for @key, within the section that @top was read in. */
SMR_ISA_TARGET smr_inline void *SMR_ISA(smr_lookup)(void *top, unsigned long key)
{
	struct SMR_ISA(smr_aim) aim;
	unsigned int i;

	if (smr_likely(smr_enode_is(top, SMR_NINNER)))
		top = SMR_ISA(smr_from_top)(&aim, top, key, &i);
	else if (smr_is_enode(top))
		SMR_ISA(smr_aim_at)(&aim, key);
	else
		return key == 0 ? top : NULL;
	for (;;) {
		while (smr_likely(smr_enode_ninner(top)))
			top = smr_slot_read(SMR_ISA(smri_narrow_child)(&aim, top, true, &i));
		if (smr_likely(smr_enode_leaf(top)))
			break;
		top = smr_slot_read(SMR_ISA(smri_wide_child)(&aim, top, true, &i));
	}
	return smr_visible(SMR_ISA(smr_entry)(&aim, top, true, &i));
}

/* The slot of @key's range, as an index into smr_slots(). */
SMR_ISA_TARGET smr_inline unsigned int SMR_ISA(smr_search_leaf)(const void *enode,
								unsigned long key)
{
	struct SMR_ISA(smr_aim) aim;
	unsigned int i;

	SMR_ISA(smr_aim_at)(&aim, key);
	SMR_ISA(smr_entry)(&aim, enode, false, &i);
	return i;
}

SMR_ISA_TARGET smr_inline unsigned int SMR_ISA(smr_search_inner)(const void *enode,
								 unsigned long key)
{
	struct SMR_ISA(smr_aim) aim;
	unsigned int i;

	SMR_ISA(smr_aim_at)(&aim, key);
	SMR_ISA(smr_child)(&aim, enode, false, &i);
	return i;
}
