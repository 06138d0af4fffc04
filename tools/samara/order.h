/* SPDX-License-Identifier: MIT */
/*
 * Works out which work must wait for which. Items of work, of whatever kind, are added in an order
 * that gives the right result. Each belongs to a lane, whose items run one after another, and
 * touches ranges of keys, for example addresses. The order kept is: an item runs after the last
 * earlier item that touched each of its keys, and thus after all that did. It is expressed in
 * numbers: how many items of each other lane must be over before an item of one lane runs.
 */
#ifndef SAMARA_TOOL_ORDER_H
#define SAMARA_TOOL_ORDER_H

#include <samara/maple_tree.h>
#include <stddef.h>
#include <stdint.h>

/* Different things that can be touched; their keys are independent. */
enum order_kind {
	ORDER_ADDRESSES,
	ORDER_MEMORY,
	ORDER_KINDS,
};

struct order_item {
	uint32_t lane;
	uint32_t seq; /* its number in its lane, from 1 on */
};

struct order {
	unsigned int lanes;
	uint32_t *in_lane; /* items of each lane so far */
	struct order_item *items;
	uint32_t *after; /* for each item and each lane: how many must be over */
	size_t nr;
	struct maple_tree touched[ORDER_KINDS]; /* for each key: the last item that touched it */
};

/* Returns 0 or -ENOMEM; in either case to be destroyed. */
int order_init(struct order *order, unsigned int lanes);
void order_destroy(struct order *order);

/* Adds an item to @lane and sets *@item to its number, from 0 on. Returns 0 or -ENOMEM. */
int order_add(struct order *order, unsigned int lane, uint32_t *item);
/*
 * Makes the newest item wait for the earlier ones that touched [first..last]. CONTEXT: before its
 * first order_touch().
 */
void order_depend(struct order *order, enum order_kind kind, uint64_t first, uint64_t last);
/* Notes that the newest item touches [first..last]. Returns 0 or -ENOMEM. */
int order_touch(struct order *order, enum order_kind kind, uint64_t first, uint64_t last);

/* Returns how many items of @lane must be over before @item runs. 0 for its own lane. */
static inline uint32_t order_after(const struct order *order, uint32_t item, unsigned int lane)
{
	return order->after[(size_t)item * order->lanes + lane];
}

#endif
