/* SPDX-License-Identifier: MIT */
/* An exact image of a tree, for tests of what a transaction must leave alone. */
#ifndef TESTS_UNIT_TXN_IMAGE_H
#define TESTS_UNIT_TXN_IMAGE_H

#include "mem/nodes.h"
#include "tree/node.h"

#include <string.h>

/* All that readers, writers and gap searches look at. */
struct tree_image {
	uint64_t nodes_sum; /* contents and addresses of all nodes */
	unsigned long nodes;
	unsigned long marked;   /* nodes with a mark of a transaction, or dead */
	unsigned long numbered; /* nodes that a transaction has made */
	unsigned int flags;
	void *root;
};

static inline void tree_image_add(struct tree_image *image, const void *enode)
{
	struct smr_node copy = *smr_node_of(enode);
	uint64_t words[MT_NODE_SIZE / sizeof(uint64_t)], sum = (uintptr_t)enode;

	image->nodes++;
	image->marked += copy.mark == SMR_REPLACED || (copy.dead & SMR_DEAD);
	image->numbered += copy.txn != 0;
	copy.mark = SMR_UNMARKED;
	copy.txn = 0;
	if (smr_enode_leaf(enode)) /* in inner nodes it is a gap figure */
		*smr_node_link(&copy) = NULL;
	memcpy(words, &copy, sizeof(words));
	for (unsigned int i = 0; i < MT_NODE_SIZE / sizeof(uint64_t); i++)
		sum = (sum ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15) + (sum >> 29);
	image->nodes_sum = image->nodes_sum * 31 + sum;
	if (smr_enode_leaf(enode))
		return;
	for (unsigned int i = 0; i < smr_count(enode); i++)
		tree_image_add(image, smr_slots(enode)[i]);
}

static inline struct tree_image tree_image_of(const struct maple_tree *mt)
{
	struct tree_image image = { .flags = mt->ma_flags, .root = mt->ma_root };

	if (smr_is_enode(mt->ma_root))
		tree_image_add(&image, mt->ma_root);
	return image;
}

/*
 * Whether both have the same nodes with the same contents, except what transactions note in them.
 */
static inline bool tree_image_equal(const struct tree_image *a, const struct tree_image *b)
{
	return a->nodes_sum == b->nodes_sum && a->nodes == b->nodes && a->flags == b->flags &&
	       a->root == b->root;
}

#endif
