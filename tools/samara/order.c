/* SPDX-License-Identifier: MIT */
#include "order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"

int order_init(struct order *order, unsigned int lanes)
{
	*order = (struct order){ .lanes = lanes };
	for (unsigned int kind = 0; kind < ORDER_KINDS; kind++)
		mt_init(&order->touched[kind]);
	order->in_lane = calloc(lanes, sizeof(*order->in_lane));
	return order->in_lane ? 0 : -ENOMEM;
}

void order_destroy(struct order *order)
{
	for (unsigned int kind = 0; kind < ORDER_KINDS; kind++)
		mtree_destroy(&order->touched[kind]);
	free(order->in_lane);
	free(order->items);
	free(order->after);
	order->in_lane = NULL;
	order->items = NULL;
	order->after = NULL;
}

static int make_room(struct order *order)
{
	struct order_item *items = array_extend(order->items, order->nr, sizeof(*items));
	uint32_t *after;

	if (!items)
		return -ENOMEM;
	order->items = items;
	after = array_extend(order->after, order->nr, order->lanes * sizeof(*after));
	if (!after)
		return -ENOMEM;
	order->after = after;
	return 0;
}

int order_add(struct order *order, unsigned int lane, uint32_t *item)
{
	if (make_room(order))
		return -ENOMEM;
	*item = (uint32_t)order->nr++;
	order->items[*item] = (struct order_item){ lane, ++order->in_lane[lane] };
	memset(&order->after[(size_t)*item * order->lanes], 0,
	       order->lanes * sizeof(*order->after));
	return 0;
}

void order_depend(struct order *order, enum order_kind kind, uint64_t first, uint64_t last)
{
	const struct order_item *newest = &order->items[order->nr - 1];
	uint32_t *after = &order->after[(order->nr - 1) * order->lanes];
	unsigned long index = first;
	void *entry;

	/* A lane keeps its own order. */
	if (order->lanes == 1)
		return;
	mt_for_each(&order->touched[kind], entry, index, last) {
		const struct order_item *item = &order->items[xa_to_value(entry)];

		if (item->lane != newest->lane && after[item->lane] < item->seq)
			after[item->lane] = item->seq;
	}
}

int order_touch(struct order *order, enum order_kind kind, uint64_t first, uint64_t last)
{
	if (order->lanes == 1)
		return 0;
	return mtree_store_range(&order->touched[kind], first, last, xa_mk_value(order->nr - 1),
				 GFP_KERNEL);
}
