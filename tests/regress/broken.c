/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into the tool, breaks the tree as SAMARA_BROKEN says, so that a test can see whether the
 * tool's checks notice:
 *
 *   load   now and then mtree_load() finds nothing where there is something
 *   lost   now and then mas_store_gfp() stores nothing
 *   stale  mtree_load() repeats what it told the thread of that index some calls ago
 */
#include <samara/maple_tree.h>
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef void *load_function(struct maple_tree *mt, unsigned long index);
typedef int store_function(struct ma_state *mas, void *entry, gfp_t gfp);

static bool broken(const char *how)
{
	const char *what = getenv("SAMARA_BROKEN");

	return what && !strcmp(what, how);
}

/* ISO C has no conversion from what dlsym() returns to a function. */
static void find(void *function, const char *name)
{
	void *address = dlsym(RTLD_NEXT, name);

	if (!address)
		abort();
	memcpy(function, &address, sizeof(address));
}

#define REMEMBERED 4096

/* What the thread was told of @index before; the answer is good for a few calls. */
static void *stale_load(load_function *next, struct maple_tree *mt, unsigned long index)
{
	static _Thread_local struct {
		unsigned long index;
		void *entry;
		unsigned int calls;
	} told[REMEMBERED], *one;

	one = &told[(index >> 8) % REMEMBERED];
	if (one->index != index || one->calls++ % 4 == 0) {
		one->index = index;
		one->calls = 1;
		one->entry = next(mt, index);
	}
	return one->entry;
}

void *mtree_load(struct maple_tree *mt, unsigned long index)
{
	static atomic_uint calls;
	load_function *next;

	find(&next, "mtree_load");
	if (broken("stale"))
		return stale_load(next, mt, index);
	if (atomic_fetch_add(&calls, 1) % 100 == 99 && broken("load"))
		return NULL;
	return next(mt, index);
}

int mas_store_gfp(struct ma_state *mas, void *entry, gfp_t gfp)
{
	static unsigned int calls;
	store_function *next;

	find(&next, "mas_store_gfp");
	if (broken("lost") && ++calls % 500 == 0)
		return 0;
	return next(mas, entry, gfp);
}
