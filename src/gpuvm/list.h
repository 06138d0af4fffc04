/* SPDX-License-Identifier: MIT */
/*
 * Circular, doubly linked lists whose links the user embeds. A link that is on no list points to
 * itself.
 */
#ifndef SMR_GPUVM_LIST_H
#define SMR_GPUVM_LIST_H

#include "base/base.h"
#include <samara/gpuvm.h>

smr_inline void smr_list_init(struct gpuvm_list *head)
{
	head->next = head->prev = head;
}

smr_inline bool smr_list_empty(const struct gpuvm_list *head)
{
	return head->next == head;
}

smr_inline void smr_list_append(struct gpuvm_list *head, struct gpuvm_list *link)
{
	link->prev = head->prev;
	link->next = head;
	head->prev->next = link;
	head->prev = link;
}

/* Takes @link off its list, if it is on one. */
smr_inline void smr_list_remove(struct gpuvm_list *link)
{
	link->next->prev = link->prev;
	link->prev->next = link->next;
	smr_list_init(link);
}

/* Puts all of @from in front of what @head has. */
smr_inline void smr_list_prepend_all(struct gpuvm_list *head, struct gpuvm_list *from)
{
	if (smr_list_empty(from))
		return;
	from->prev->next = head->next;
	head->next->prev = from->prev;
	head->next = from->next;
	from->next->prev = head;
	smr_list_init(from);
}

#define smr_list_entry(link, type, member) container_of(link, type, member)

#define smr_list_for_each(link, head) \
	for ((link) = (head)->next; (link) != (head); (link) = (link)->next)

#define smr_list_for_each_safe(link, following, head)                             \
	for ((link) = (head)->next, (following) = (link)->next; (link) != (head); \
	     (link) = (following), (following) = (link)->next)

#endif
