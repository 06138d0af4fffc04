/* SPDX-License-Identifier: MIT */
/*
 * Private lists of nodes, owned by one thread. They are linked through the last word of each node,
 * the only one that no reader looks at: the rest of a retired node must stay as it was. The link of
 * the last node of a list means nothing, and is not written: most lists are of one node, which
 * therefore is not touched at all.
 */
#ifndef SMR_MEM_NODES_H
#define SMR_MEM_NODES_H

#include "base/base.h"
#include "base/sanitizer.h"
#include <samara/mem.h>

#define SMR_NODE_LINK 504

struct smr_nodes {
	void *head;
	unsigned long nr;
};

smr_inline void **smr_node_link(void *node)
{
	return (void **)((char *)node + SMR_NODE_LINK);
}

smr_inline void smr_nodes_push(struct smr_nodes *list, void *node)
{
	if (list->nr > 0)
		*smr_node_link(node) = list->head;
	list->head = node;
	list->nr++;
}

/* NULL when @list is empty. */
smr_inline void *smr_nodes_pop(struct smr_nodes *list)
{
	void *node = list->head;

	if (node) {
		list->nr--;
		list->head = list->nr > 0 ? *smr_node_link(node) : NULL;
	}
	return node;
}

/* Moves all of @from in front of @to. */
smr_inline void smr_nodes_move(struct smr_nodes *to, struct smr_nodes *from)
{
	if (to->nr == 0) {
		*to = *from;
		*from = (struct smr_nodes){ NULL, 0 };
	}
	while (from->head)
		smr_nodes_push(to, smr_nodes_pop(from));
}

/*
 * AddressSanitizer learns which nodes are free, so that touching one is reported. Their link stays
 * accessible, for it is what free nodes hang together by.
 */
#if SMR_ASAN
void __asan_poison_memory_region(void const volatile *addr, size_t size);
void __asan_unpoison_memory_region(void const volatile *addr, size_t size);
#define smri_node_hide(node) __asan_poison_memory_region((node), SMR_NODE_LINK)
#define smri_node_show(node) __asan_unpoison_memory_region((node), MT_NODE_SIZE)
/* What is mapped there next, a thread's stack perhaps, is nobody's node. */
#define smri_chunk_show(chunk) __asan_unpoison_memory_region((chunk), MT_CHUNK_SIZE)
#else
#define smri_node_hide(node) ((void)(node))
#define smri_node_show(node) ((void)(node))
#define smri_chunk_show(chunk) ((void)(chunk))
#endif

#endif
