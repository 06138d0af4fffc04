/* SPDX-License-Identifier: MIT */
/*
 * What must wait for what. Items of work, of whatever kind, are added in an order that gives the
 * right result. Each belongs to a lane, whose items run one after another, and touches ranges of
 * keys: addresses, say. The order that is kept is: an item runs after the last item before it that
 * touched each of its keys, so, by way of that one, after all of them. It is told as numbers:
 * before an item of one lane runs, so and so many items of another are over.
 */
#ifndef SAMARA_TOOL_ORDER_H
#define SAMARA_TOOL_ORDER_H

#include <samara/maple_tree.h>
#include <stddef.h>
#include <stdint.h>

/* Different things that can be touched; their keys have nothing to do with each other. */
enum order_kind {
	ORDER_ADDRESSES,
	ORDER_MEMORY,
	ORDER_KINDS,
};

struct order_item {
	uint32_t lane;
	uint32_t seq; /* number seq of its lane, from 1 on */
};

struct order {
	unsigned int lanes;
	uint32_t *in_lane; /* items of each lane so far */
	struct order_item *items;
	uint32_t *after; /* for each item, of each lane: how many must be over */
	size_t nr, room;
	struct maple_tree touched[ORDER_KINDS]; /* of each key: the last item that touched it */
};

/* 0 or -ENOMEM; in either case to be destroyed. */
int order_init(struct order *order, unsigned int lanes);
void order_destroy(struct order *order);

/* A new item of @lane, *@item its number, from 0 on: 0 or -ENOMEM. */
int order_add(struct order *order, unsigned int lane, uint32_t *item);
/*
 * The newest item waits for those before it that touched [first..last]; all of that before the
 * first order_touch().
 */
void order_depend(struct order *order, enum order_kind kind, uint64_t first, uint64_t last);
/* The newest item touches it: 0 or -ENOMEM. */
int order_touch(struct order *order, enum order_kind kind, uint64_t first, uint64_t last);

/* How many items of @lane must be over before @item runs. 0 for its own lane. */
static inline uint32_t order_after(const struct order *order, uint32_t item, unsigned int lane)
{
	return order->after[(size_t)item * order->lanes + lane];
}

#endif
