/* SPDX-License-Identifier: MIT */
/*
 * Linux's maple tree as a peer: a plugin that scripts/get-linux-peer builds outside the
 * repository. It is loaded at run time, so that neither the build nor the program depends on it.
 */
#define _GNU_SOURCE
#include "../peer.h"
#include "linux_mode.h"
#include "memb.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static struct {
	void *(*create)(enum linux_mode mode);
	void (*destroy)(void *tree);
	int (*store)(void *tree, unsigned long first, unsigned long last, void *entry);
	void *(*load)(void *tree, unsigned long key);
	void *(*erase)(void *tree, unsigned long key);
	unsigned long (*iterate)(void *tree, unsigned long *sum);
	unsigned long (*gap)(void *tree, unsigned long size, unsigned long min, unsigned long max,
			     int highest);
	unsigned long (*bytes)(void);
	void (*settle)(void);
} plugin;

static const char *missing;

static void *create_plain(void)
{
	bench_memb_stay();
	return plugin.create(LINUX_PLAIN);
}

static void *create_rcu(void)
{
	bench_memb_stay();
	return plugin.create(LINUX_RCU);
}

static void *create_call_rcu(void)
{
	bench_memb_stay();
	return plugin.create(LINUX_CALL_RCU);
}

static void destroy(void *tree)
{
	plugin.destroy(tree);
}

static int clear(void *tree, unsigned long first, unsigned long last)
{
	return plugin.store(tree, first, last, NULL);
}

static struct bench_sum iterate(void *tree)
{
	struct bench_sum sum;

	sum.count = plugin.iterate(tree, &sum.sum);
	return sum;
}

static unsigned long gap(void *tree, unsigned long size, unsigned long min, unsigned long max,
			 bool highest)
{
	return plugin.gap(tree, size, min, max, highest);
}

static size_t bytes(void *tree)
{
	(void)tree;
	return plugin.bytes();
}

static void settle(void *tree)
{
	(void)tree;
	plugin.settle();
}

static const char *plugin_path(void)
{
	static char path[4096];
	const char *dir = getenv("SAMARA_PEER_DIR");
	const char *cache = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");

	if (dir)
		snprintf(path, sizeof(path), "%s/linux_maple.so", dir);
	else if (cache)
		snprintf(path, sizeof(path), "%s/samara/linux_maple.so", cache);
	else
		snprintf(path, sizeof(path), "%s/.cache/samara/linux_maple.so", home ? home : "");
	return path;
}

/* POSIX lets an object pointer hold a function's address; C requires a detour through memory. */
static bool find(void *handle, const char *name, void *slot)
{
	void *at = dlsym(handle, name);

	*(void **)slot = at;
	return at != NULL;
}

static bool load_plugin(void)
{
	void *handle = dlopen(plugin_path(), RTLD_NOW | RTLD_LOCAL);

	return handle && find(handle, "linux_make", &plugin.create) &&
	       find(handle, "linux_free", &plugin.destroy) &&
	       find(handle, "linux_store", &plugin.store) &&
	       find(handle, "linux_load", &plugin.load) &&
	       find(handle, "linux_erase", &plugin.erase) &&
	       find(handle, "linux_iterate", &plugin.iterate) &&
	       find(handle, "linux_gap", &plugin.gap) &&
	       find(handle, "linux_bytes", &plugin.bytes) &&
	       find(handle, "linux_settle", &plugin.settle);
}

const char *bench_linux_missing(void)
{
	return missing;
}

size_t bench_linux_peers(const struct bench_peer **list)
{
	static struct bench_peer plain, rcu, call_rcu;

	if (!load_plugin()) {
		missing = "not built here, or for another version: run scripts/get-linux-peer";
		return 0;
	}
	plain = (struct bench_peer){
		.name = "linux",
		.what = "Linux 6.12's maple tree, compiled for user space",
		.can = BENCH_CAN_STORE,
		.create = create_plain,
		.destroy = destroy,
		.store = plugin.store,
		.load = plugin.load,
		.erase = plugin.erase,
		.clear = clear,
		.iterate = iterate,
		.gap = gap,
		.bytes = bytes,
		.settle = settle,
		.enter = bench_memb_enter,
		.leave = bench_memb_leave,
	};
	rcu = plain;
	rcu.name = "linux-rcu";
	rcu.what = "the same in RCU mode (liburcu-memb), tracking gaps";
	rcu.can |= BENCH_CAN_GAP | BENCH_CAN_READERS;
	rcu.create = create_rcu;
	call_rcu = rcu;
	call_rcu.name = "linux-call-rcu";
	call_rcu.what = "the same, each node retired by liburcu's call_rcu()";
	call_rcu.can |= BENCH_ON_REQUEST;
	call_rcu.create = create_call_rcu;
	list[0] = &plain;
	list[1] = &rcu;
	list[2] = &call_rcu;
	return 3;
}
