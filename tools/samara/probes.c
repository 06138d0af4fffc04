/* SPDX-License-Identifier: MIT */
#include "probes.h"

#include <errno.h>
#include <stdlib.h>

#include "array.h"
#include "history.h"
#include "sanitizer.h"
#include "tsan.h"

/* ---- Beforehand ---- */

static int append(struct fixed_probe *probe, uint32_t job, const struct content *content)
{
	struct probe_content *entries = array_extend(probe->entries, probe->nr, sizeof(*entries));

	if (!entries)
		return -ENOMEM;
	probe->entries = entries;
	probe->entries[probe->nr++] = (struct probe_content){ job, *content };
	return 0;
}

int probes_init(struct probes *probes, const struct trace *trace, size_t max, bool steps)
{
	const struct content nothing = { .mapped = false };
	uint64_t *addrs;
	size_t nr;
	int err;

	*probes = (struct probes){ .steps = steps };
	/* Use the same addresses as the readers of a tree. */
	if (probe_addresses(trace, max, &addrs, &nr))
		return -ENOMEM;
	probes->probe = calloc(nr, sizeof(*probes->probe));
	err = probes->probe ? 0 : -ENOMEM;
	for (size_t i = 0; i < nr && !err; i++) {
		probes->probe[i].addr = addrs[i];
		probes->nr++;
		err = append(&probes->probe[i], 0, &nothing);
	}
	free(addrs);
	if (err)
		probes_destroy(probes);
	return err;
}

void probes_destroy(struct probes *probes)
{
	for (size_t i = 0; i < probes->nr; i++)
		free(probes->probe[i].entries);
	free(probes->probe);
	*probes = (struct probes){ .nr = 0 };
}

/* Returns the first probe at or above @addr. */
static struct fixed_probe *first_probe(const struct probes *probes, uint64_t addr)
{
	size_t low = 0, high = probes->nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (probes->probe[mid].addr < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return &probes->probe[low];
}

static int expect(struct probes *probes, struct fixed_probe *probe, uint32_t job,
		  const struct address_space *model)
{
	const struct content *last = &probe->entries[probe->nr - 1].content;
	const struct content nothing = { .mapped = false };
	struct content content = content_expected(model, probe->addr);
	bool emptied = probes->steps && last->mapped;

	/* The ranges of a job may overlap; one entry is enough. */
	if (probe->nr > 1 && probe->entries[probe->nr - 1].job == job)
		return 0;
	if (!emptied && content_equal(last, &content))
		return 0;
	if (emptied && append(probe, job, &nothing))
		return -ENOMEM;
	return append(probe, job, &content);
}

int probes_expect(struct probes *probes, uint32_t job, uint64_t first, uint64_t last,
		  const struct address_space *model)
{
	const struct fixed_probe *end = probes->probe + probes->nr;

	for (struct fixed_probe *p = first_probe(probes, first); p < end && p->addr <= last; p++) {
		if (expect(probes, p, job, model))
			return -ENOMEM;
	}
	return 0;
}

/* ---- While jobs run ---- */

void probes_done(struct probes *probes, uint32_t job, uint64_t first, uint64_t last)
{
	const struct fixed_probe *end = probes->probe + probes->nr;

	for (struct fixed_probe *p = first_probe(probes, first); p < end && p->addr <= last; p++) {
		uint32_t done = atomic_load_explicit(&p->done, memory_order_relaxed), was = done;

		while (done + 1 < p->nr && p->entries[done + 1].job <= job)
			done++;
		if (done != was)
			atomic_store_explicit(&p->done, done, memory_order_release);
	}
}

uint32_t probe_before(const struct fixed_probe *probe)
{
	return atomic_load_explicit(&probe->done, memory_order_acquire);
}

uint32_t probe_after(const struct fixed_probe *probe)
{
	/* The look-up's loads may be ordered by dependency alone: see history_begun(). */
#if !TOOL_TSAN
	atomic_thread_fence(memory_order_acquire);
#endif
	return atomic_load_explicit(&probe->done, memory_order_acquire);
}

bool probe_allows(const struct fixed_probe *probe, const struct content *content, uint32_t before,
		  uint32_t after)
{
	uint32_t end = after + 1;

	while (end < probe->nr && probe->entries[end].job == probe->entries[after + 1].job)
		end++;
	for (uint32_t i = before; i < end; i++) {
		if (content_equal(&probe->entries[i].content, content))
			return true;
	}
	return false;
}
