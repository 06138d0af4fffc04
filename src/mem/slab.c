/* SPDX-License-Identifier: MIT */
/*
 * Chunks: where nodes are cut from.
 *
 * A chunk is MT_CHUNK_SIZE bytes at a multiple of MT_CHUNK_SIZE. Its first MT_NODE_SIZE bytes are
 * the header; the rest are nodes. So a node's chunk is found by masking the node's address, and
 * nothing else records where a node belongs.
 *
 *	0        512      1024               fresh*512                       2 MiB
 *	+--------+--------+--------+-- ... --+--------+-- ... ---------------+
 *	| header |  used  |  free --> free --> NULL   |  never handed out    |
 *	+--------+--------+--------+-- ... --+--------+-- ... ---------------+
 *
 * Nodes from number `fresh` on have not been handed out since the chunk was last empty. They are in
 * no list, so a new chunk costs one write to its header, not 4095 page touches.
 *
 * Each chunk of an arena is in one of SMR_CHUNK_CLASSES lists, by how many free nodes it has: none,
 * 1, 2 to 3, 4 to 7, ..., 2048 to 4094, all. A bit per list says whether it is empty, so one bit
 * scan finds the fullest chunk that has a free node, within a factor of two. Nodes are taken from
 * that one: chunks that are nearly empty are left to drain and can be given back, and the tree's
 * nodes gather on few huge pages. An exact order would cost a heap and gain nothing measurable.
 *
 * Nodes that come back after a grace period are listed in bundles (mem->ready) and handed out
 * first, see struct smr_bundle. Only those left when the writers pause are sorted into their chunks
 * (smri_slab_sort()): only then can a chunk be seen to have no used node.
 *
 * Invariants, under the arena's lock:
 *	1. chunk->free_nr = length of chunk->free + (1 + MT_CHUNK_NODES - chunk->fresh).
 *	2. mem->free = sum of free_nr + mem->ready_nr; mem->chunks = number of chunks; mem->idle =
 *	   length of the last list.
 *	3. A chunk is in the list of class_of(free_nr), and the bit of a list is set iff it is not
 *	   empty.
 *	4. A chunk without a used node has an empty free list and fresh = 1, as if it were new.
 *
 * Here, too, nodes are linked through their last word (nodes.h), so that AddressSanitizer can watch
 * over the rest.
 *
 * Rejected: a bitmap per chunk (a scan and a write to the header on each give, no better locality);
 * size classes (all nodes have one size, that is the point); giving back single pages of a chunk
 * (breaks huge pages, which are worth more than the memory).
 */
#include "mem/mem_internal.h"

struct smr_chunk {
	struct mt_mem *mem;            /* constant */
	struct smr_chunk *next, *prev; /* GUARD arena lock: the list of its class */
	void *free;                    /* GUARD arena lock: through smr_node_link() */
	unsigned int free_nr;          /* GUARD arena lock */
	unsigned int fresh;            /* GUARD arena lock: the first node never handed out */
};

_Static_assert(sizeof(struct smr_chunk) <= MT_NODE_SIZE, "the header takes the place of one node");
_Static_assert(SMR_NODE_LINK + sizeof(void *) == MT_NODE_SIZE, "the link is a node's last word");
_Static_assert(SMR_CHUNK_IDLE == 13 && MT_CHUNK_NODES == 4095,
	       "classes 1 to 12 hold up to 4095 nodes");

static struct smr_chunk *chunk_of(void *node)
{
	return (struct smr_chunk *)((uintptr_t)node & ~(MT_CHUNK_SIZE - 1));
}

static unsigned int class_of(unsigned int free_nr)
{
	if (free_nr == 0)
		return SMR_CHUNK_FULL;
	if (free_nr == MT_CHUNK_NODES)
		return SMR_CHUNK_IDLE;
	return 32 - (unsigned int)__builtin_clz(free_nr);
}

static void list_chunk(struct mt_mem *mem, struct smr_chunk *chunk, unsigned int class)
{
	struct smr_chunk *head = mem->chunk[class];

	chunk->prev = NULL;
	chunk->next = head;
	if (head)
		head->prev = chunk;
	mem->chunk[class] = chunk;
	mem->classes |= 1u << class;
}

static void unlist_chunk(struct mt_mem *mem, struct smr_chunk *chunk, unsigned int class)
{
	if (chunk->prev)
		chunk->prev->next = chunk->next;
	else
		mem->chunk[class] = chunk->next;
	if (chunk->next)
		chunk->next->prev = chunk->prev;
	if (!mem->chunk[class])
		mem->classes &= ~(1u << class);
}

/* Sets how many nodes of @chunk are free, and moves it to the list it then belongs to. */
static void set_free_nr(struct mt_mem *mem, struct smr_chunk *chunk, unsigned int free_nr)
{
	unsigned int from = class_of(chunk->free_nr);
	unsigned int to = class_of(free_nr);

	chunk->free_nr = free_nr;
	if (smr_likely(from == to))
		return;
	unlist_chunk(mem, chunk, from);
	list_chunk(mem, chunk, to);
	if (from == SMR_CHUNK_IDLE)
		mem->idle--;
	if (to == SMR_CHUNK_IDLE)
		mem->idle++;
}

void smri_slab_add(struct mt_mem *mem, void *memory)
{
	struct smr_chunk *chunk = memory;

	chunk->mem = mem;
	chunk->free = NULL;
	chunk->free_nr = MT_CHUNK_NODES;
	chunk->fresh = 1;
	list_chunk(mem, chunk, SMR_CHUNK_IDLE);
	mem->idle++;
	mem->chunks++;
	mem->free += MT_CHUNK_NODES;
}

/*
 * A free node that lists others. Nodes that come back after a grace period are handed out again
 * from bundles, the latest first: the writer that retired them has them in its caches, and gets
 * their addresses without touching them. A list linked through the nodes would cost a cache miss
 * for each; sorting them into their chunks would also move each node's line to another core and
 * back.
 */
struct smr_bundle {
	struct smr_bundle *next;
	unsigned long nr;
	void *node[(SMR_NODE_LINK - 2 * sizeof(void *)) / sizeof(void *)];
};

#define BUNDLE_NODES (sizeof(((struct smr_bundle *)NULL)->node) / sizeof(void *))

_Static_assert(sizeof(struct smr_bundle) <= SMR_NODE_LINK, "the link is not the bundle's");

/* How many nodes ahead of the one being bundled a link is prefetched. */
#define BUNDLE_AHEAD 8

/* @node need not be valid: it is a hint. */
static void prefetch_link(const void *node)
{
	smr_prefetch((const void *)((uintptr_t)node + SMR_NODE_LINK));
}

struct smr_bundles smri_slab_bundle(const struct smr_nodes *list, const struct smr_notes *notes,
				    unsigned long first)
{
	struct smr_bundles bundles = { NULL, NULL, 0 };
	struct smr_bundle *b = NULL;
	void *node = list->head, *next;

	for (bundles.nr = 0; bundles.nr < list->nr; bundles.nr++, node = next) {
		unsigned long ahead = first + bundles.nr + BUNDLE_AHEAD;

		prefetch_link(smr_load(&notes->node[ahead % SMR_NOTES], RELAXED));
		next = *smr_node_link(node);
		if (b && b->nr < BUNDLE_NODES) {
			smri_node_poison(node);
			b->node[b->nr++] = node;
			continue;
		}
		b = node;
		b->next = bundles.first;
		b->nr = 0;
		bundles.first = b;
		if (!bundles.last)
			bundles.last = b;
	}
	return bundles;
}

void smri_slab_push_bundles(struct mt_mem *mem, const struct smr_bundles *bundles)
{
	mem->free += bundles->nr;
	mem->ready_nr += bundles->nr;
	bundles->last->next = mem->ready;
	mem->ready = bundles->first;
}

static void *pop_ready(struct mt_mem *mem)
{
	struct smr_bundle *b = mem->ready;
	void *node = b;

	if (b->nr > 0)
		node = b->node[--b->nr];
	else
		mem->ready = b->next;
	smri_node_unpoison(node);
	mem->free--;
	mem->ready_nr--;
	return node;
}

bool smri_slab_sort(struct mt_mem *mem, unsigned int nr)
{
	while (nr-- && mem->ready)
		smri_slab_push(mem, pop_ready(mem));
	return mem->ready;
}

void *smri_slab_pop(struct mt_mem *mem)
{
	unsigned int some_free = mem->classes & ~(1u << SMR_CHUNK_FULL);
	struct smr_chunk *chunk;
	void *node;

	smr_assert(mem->free);
	if (mem->ready)
		return pop_ready(mem);
	smr_assert(some_free);
	chunk = mem->chunk[__builtin_ctz(some_free)];
	node = chunk->free;
	if (node)
		chunk->free = *smr_node_link(node);
	else
		node = (char *)chunk + MT_NODE_SIZE * chunk->fresh++;
	set_free_nr(mem, chunk, chunk->free_nr - 1);
	mem->free--;
	smri_node_unpoison(node);
	return node;
}

void smri_slab_push(struct mt_mem *mem, void *node)
{
	struct smr_chunk *chunk = chunk_of(node);

	smr_assert(((uintptr_t)node & (MT_NODE_SIZE - 1)) == 0);
	smr_assert(chunk->mem == mem && chunk->free_nr < MT_CHUNK_NODES);
	*smr_node_link(node) = chunk->free;
	smri_node_poison(node);
	chunk->free = node;
	set_free_nr(mem, chunk, chunk->free_nr + 1);
	if (chunk->free_nr == MT_CHUNK_NODES) {
		chunk->free = NULL;
		chunk->fresh = 1;
	}
	mem->free++;
}

void *smri_slab_remove_idle(struct mt_mem *mem)
{
	struct smr_chunk *chunk = mem->chunk[SMR_CHUNK_IDLE];

	if (!chunk)
		return NULL;
	unlist_chunk(mem, chunk, SMR_CHUNK_IDLE);
	mem->idle--;
	mem->chunks--;
	mem->free -= MT_CHUNK_NODES;
	smri_chunk_unpoison(chunk);
	return chunk;
}
