/* SPDX-License-Identifier: MIT */
#include "history.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"
#include "sanitizer.h"
#include "tsan.h"

/* ---- The probes ---- */

/* The addresses around a range where mistakes show: just outside, both ends, the middle. */
static size_t edges_of(uint64_t first, uint64_t length, uint64_t *addrs)
{
	uint64_t last = first + (length - 1);

	addrs[0] = first;
	addrs[1] = last;
	addrs[2] = first + length / 2;
	addrs[3] = first ? first - 1 : 0;
	addrs[4] = last != UINT64_MAX ? last + 1 : last;
	return 5;
}

static size_t addresses_of(const struct trace_op *op, uint64_t *addrs)
{
	size_t nr = edges_of(op->addr, op->length, addrs);

	if (op->verb == TRACE_MOVE)
		nr += edges_of(op->new_addr, op->new_length, addrs + nr);
	return nr;
}

int probe_addresses(const struct trace *trace, size_t max, uint64_t **addrs, size_t *nr)
{
	size_t stride = trace->count * 5 / max + 1, all = 0;

	*addrs = malloc((max + 11) * sizeof(**addrs));
	if (!*addrs)
		return -ENOMEM;
	for (size_t i = 0; i < trace->count && all < max; i += stride)
		all += addresses_of(&trace->ops[i], *addrs + all);
	(*addrs)[all++] = trace->header.va_first;
	*nr = array_sort_unique(*addrs, all);
	return 0;
}

int history_init(struct history *history, const struct trace *trace, size_t max)
{
	uint64_t *addrs;
	size_t nr;

	memset(history, 0, sizeof(*history));
	if (probe_addresses(trace, max, &addrs, &nr))
		return -ENOMEM;
	history->probes = calloc(nr, sizeof(*history->probes));
	history->nr_probes = history->probes ? nr : 0;
	/* Entry 0 of each log: nothing is there, since step 0. */
	for (size_t i = 0; i < history->nr_probes; i++) {
		history->probes[i].addr = addrs[i];
		atomic_init(&history->probes[i].head, 1);
	}
	free(addrs);
	return history->probes ? 0 : -ENOMEM;
}

void history_destroy(struct history *history)
{
	free(history->probes);
	history->probes = NULL;
	history->nr_probes = 0;
}

/* ---- The writer ---- */

static const void *newest(struct probe *probe)
{
	uint64_t head = atomic_load_explicit(&probe->head, memory_order_relaxed);

	return atomic_load_explicit(&probe->entries[(head - 1) % HISTORY_DEPTH].contents,
				    memory_order_relaxed);
}

/*
 * Entries are stored with release and loaded with acquire, so that a reader that has read part of
 * an overwritten entry then also reads a head that reveals it.
 */
static void append(struct probe *probe, uint64_t step, const void *contents)
{
	uint64_t head = atomic_load_explicit(&probe->head, memory_order_relaxed);
	struct probe_entry *entry = &probe->entries[head % HISTORY_DEPTH];

	atomic_store_explicit(&entry->step, step, memory_order_release);
	atomic_store_explicit(&entry->contents, contents, memory_order_release);
	atomic_store_explicit(&probe->head, head + 1, memory_order_release);
}

/* The first probe at or above @addr. */
static size_t first_probe(const struct history *history, uint64_t addr)
{
	size_t low = 0, high = history->nr_probes;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (history->probes[mid].addr < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void history_begin(struct history *history, uint64_t step, uint64_t first, uint64_t last,
		   const void *contents)
{
	for (size_t i = first_probe(history, first);
	     i < history->nr_probes && history->probes[i].addr <= last; i++) {
		if (newest(&history->probes[i]) != contents)
			append(&history->probes[i], step, contents);
	}
	atomic_store_explicit(&history->begun, step, memory_order_release);
}

void history_finish(struct history *history, uint64_t step)
{
	atomic_store_explicit(&history->finished, step, memory_order_release);
}

void history_cancel(struct history *history, uint64_t step, uint64_t first, uint64_t last)
{
	for (size_t i = first_probe(history, first);
	     i < history->nr_probes && history->probes[i].addr <= last; i++) {
		struct probe *probe = &history->probes[i];
		uint64_t head = atomic_load_explicit(&probe->head, memory_order_relaxed);
		struct probe_entry *entry = &probe->entries[(head - 1) % HISTORY_DEPTH];

		if (head < 2 || atomic_load_explicit(&entry->step, memory_order_relaxed) != step)
			continue;
		entry = &probe->entries[(head - 2) % HISTORY_DEPTH];
		append(probe, step, atomic_load_explicit(&entry->contents, memory_order_relaxed));
	}
	history_finish(history, step);
}

/* ---- The readers ---- */

uint64_t history_finished(const struct history *history)
{
	return atomic_load_explicit(&history->finished, memory_order_acquire);
}

uint64_t history_begun(const struct history *history)
{
	/*
	 * The look-up's loads may be ordered by dependency alone; the fence orders this load after
	 * them. Without it a reader could see a store's result but miss that its step had begun.
	 * ThreadSanitizer does not support fences; the processors it runs on do not reorder loads.
	 */
#if !TOOL_TSAN
	atomic_thread_fence(memory_order_acquire);
#endif
	return atomic_load_explicit(&history->begun, memory_order_acquire);
}

enum verdict history_judge(const struct probe *probe, const void *contents, uint64_t s0,
			   uint64_t s1)
{
	uint64_t head = atomic_load_explicit(&probe->head, memory_order_acquire);
	uint64_t oldest = head;
	bool found = false;

	for (uint64_t i = head; i-- > 0;) {
		const struct probe_entry *entry = &probe->entries[i % HISTORY_DEPTH];
		uint64_t step;
		const void *seen;

		if (head - i >= HISTORY_DEPTH)
			return VERDICT_UNKNOWN;
		step = atomic_load_explicit(&entry->step, memory_order_acquire);
		seen = atomic_load_explicit(&entry->contents, memory_order_acquire);
		oldest = i;
		if (step <= s1 && seen == contents)
			found = true;
		if (step <= s0)
			break;
	}
	/*
	 * Entry i is overwritten when entry i + HISTORY_DEPTH is written, while head is still i +
	 * HISTORY_DEPTH.
	 */
	head = atomic_load_explicit(&probe->head, memory_order_acquire);
	if (head >= oldest + HISTORY_DEPTH)
		return VERDICT_UNKNOWN;
	return found ? VERDICT_TRUE : VERDICT_FALSE;
}
