/* SPDX-License-Identifier: MIT */
/*
 * Private lists of nodes, owned by one thread. They are linked through the last word of each node,
 * the only one that no reader looks at: the rest of a retired node must stay as it was. The link of
 * a list's last node is meaningless and never written: most lists have one node, which therefore is
 * not touched at all.
 */
#ifndef SMR_MEM_NODES_H
#define SMR_MEM_NODES_H

#include "base/base.h"
#include "base/sanitizer.h"
#include <samara/mem.h>
#include <string.h>

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

/* Returns NULL if @list is empty. */
smr_inline void *smr_nodes_pop(struct smr_nodes *list)
{
	void *node = list->head;

	if (node) {
		list->nr--;
		list->head = list->nr > 0 ? *smr_node_link(node) : NULL;
	}
	return node;
}

/* Moves all nodes of @from to the front of @to. */
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
 * LeakSanitizer knows the heap, but not what page sources map. It has to be told to look there, or
 * it reports all objects to which only entries of trees point. A program is linked with it or not,
 * however the library was compiled.
 */
__attribute__((weak)) void __lsan_register_root_region(const void *at, size_t size);
__attribute__((weak)) void __lsan_unregister_root_region(const void *at, size_t size);

/*
 * Tells AddressSanitizer which nodes are free, so that it reports accesses to them, and
 * LeakSanitizer leaves them out. Their links stay accessible, since lists of free nodes use them.
 */
#if SMR_ASAN
void __asan_poison_memory_region(void const volatile *addr, size_t size);
void __asan_unpoison_memory_region(void const volatile *addr, size_t size);
#define smri_node_poison(node) __asan_poison_memory_region((node), SMR_NODE_LINK)
#define smri_node_unpoison(node) __asan_unpoison_memory_region((node), MT_NODE_SIZE)
/* What is mapped there next, perhaps a thread's stack, does not consist of free nodes. */
#define smri_chunk_unpoison(chunk) __asan_unpoison_memory_region((chunk), MT_CHUNK_SIZE)
#else
/* An object is not in use because a free node still has its address. */
smr_inline void smri_node_poison(void *node)
{
	if (smr_unlikely(__lsan_register_root_region))
		memset(node, 0, SMR_NODE_LINK);
}
#define smri_node_unpoison(node) ((void)(node))
#define smri_chunk_unpoison(chunk) ((void)(chunk))
#endif

#endif
