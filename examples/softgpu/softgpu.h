/* SPDX-License-Identifier: MIT */
/*
 * A GPU in software, driven by a client of the library as a real one would be: objects in
 * (simulated) device memory, page tables, engines with TLBs that copy, fill and check memory
 * through GPU addresses, and binds that run in signalling sections. It uses the public headers
 * only, and is meant to be read.
 *
 *	memory.c     blocks of memory that are obtained before they are needed; objects made of them
 *	pagetable.c  four levels of tables, large entries, invalidation
 *	tlb.c        an engine's cache of the page tables
 *	vm.c         an address space: what its bind queues have done to the page tables, and when
 *	engine.c     threads that run jobs
 *	command.c    the commands of jobs: copy, fill, check; and how an address is translated
 *	main.c       a program that checks all of it against a model
 *
 * One rule shapes it: from the moment a job is accepted until its fences are signalled, nothing
 * allocates. So a bind reserves page tables when it is submitted, an execution reserves frames for
 * the pages that it may be the first to write to, and an engine keeps a few tables ready for
 * faults. What was not needed is released afterwards.
 *
 * The page tables are a cache of the VM. Any entry may be missing at any time; then the engine
 * faults, asks gpuvm_find(), and fills it in. So unmapping needs no memory: if it cuts through a
 * large entry, it drops the whole entry. And so a VM may be SG_LAZY, and leave everything to
 * faults.
 *
 * Errors are 0 or a negative errno.
 */
#ifndef SOFTGPU_H
#define SOFTGPU_H

#include <pthread.h>
#include <samara/bind_queue.h>
#include <samara/fence.h>
#include <samara/gpuvm.h>
#include <samara/lock.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SG_PAGE_SHIFT 12
#define SG_PAGE ((uint64_t)1 << SG_PAGE_SHIFT)
#define SG_LEVEL_BITS 9 /* of a table's index */
#define SG_ENTRIES (1u << SG_LEVEL_BITS)
#define SG_LEVELS 4
#define SG_VA_BITS (SG_PAGE_SHIFT + SG_LEVELS * SG_LEVEL_BITS)
#define SG_VA_END ((uint64_t)1 << SG_VA_BITS)

/*
 * ---- Memory (memory.c) ------------------------------------------------------------------------
 */

/* A block that is not in use. */
struct sg_block {
	struct sg_block *next;
};

/* Where blocks of one size come from. */
struct sg_pool {
	size_t size;
	struct mt_lock lock;
	struct sg_block *free; /* GUARD lock */
	unsigned long nr_free; /* GUARD lock */
	unsigned long held;    /* GUARD lock: blocks that are reserved or in use */
	unsigned long peak;    /* GUARD lock */
};

/* Blocks obtained ahead of time, for one user. All zero is empty. */
struct sg_reserve {
	struct sg_block *first;
	unsigned long nr;
};

void sg_pool_init(struct sg_pool *pool, size_t size);
/* CONTEXT: no block is held any more. */
void sg_pool_fini(struct sg_pool *pool);
/* Adds @nr blocks to @r. Returns 0, or -ENOMEM with nothing changed. CONTEXT: allocates. */
int sg_pool_reserve(struct sg_pool *pool, struct sg_reserve *r, unsigned long nr);
/* Gives back all of @r. CONTEXT: frees. */
void sg_pool_release(struct sg_pool *pool, struct sg_reserve *r);
/*
 * Take a block, with undefined contents, out of @r (NULL: there is none); put one back. CONTEXT:
 * any.
 */
void *sg_reserve_take(struct sg_reserve *r);
void sg_reserve_put(struct sg_reserve *r, void *block);

/*
 * An object: up to SG_VA_END bytes, zero until written. Its frames hang in a radix tree, with one
 * level for each 9 bits of page number. The first write to a page puts its frame there.
 */
struct sg_object {
	struct gpuvm_object base; /* first */
	struct sg_pool *frames;
	unsigned int levels; /* of nodes above the frames */
	void *root;          /* GUARD atomic: a node, or with 0 levels the frame */
};

/* The most blocks that a write to one page of any object needs: a frame and the nodes above it. */
#define SG_BLOCKS_PER_PAGE (SG_LEVELS + 1)

/*
 * @size is rounded up to pages. The caller gets one reference, to be dropped with
 * gpuvm_object_put(); dropping the last one calls @free, which must call sg_object_fini(). -EINVAL:
 * @size is 0, or more than SG_VA_END.
 */
int sg_object_init(struct sg_object *obj, struct sg_pool *frames, uint64_t size,
		   void (*free)(struct gpuvm_object *base));
/* Gives the memory back. CONTEXT: frees. */
void sg_object_fini(struct sg_object *obj);
/* Creates an object that frees itself. NULL: no memory, or a bad size. */
struct sg_object *sg_object_create(struct sg_pool *frames, uint64_t size);
/*
 * Returns the 4 KiB of page @page. If it was never written: NULL, or with @r a new, zeroed page
 * made of blocks from @r. CONTEXT: any. The object's size is not checked.
 */
void *sg_object_frame(struct sg_object *obj, uint64_t page, struct sg_reserve *r);

/*
 * ---- Page tables (pagetable.c) ----------------------------------------------------------------
 */

/* Where an address leads. */
struct sg_translation {
	struct sg_object *obj; /* NULL: sparse: reads as zero, writes are dropped */
	uint64_t offset;       /* of the page that holds the address, in the object */
};

enum sg_kind {
	SG_EMPTY,
	SG_TABLE,
	SG_LEAF,
};

/*
 * An entry maps a page, or at higher levels 2 MiB, 1 GiB or 512 GiB; or it leads to a table that
 * maps the same range more finely.
 */
struct sg_entry {
	void *to; /* the table, or the object (NULL: sparse) */
	/* The kind; and for a leaf the offset, for a table the entries in use << SG_PAGE_SHIFT. */
	uint64_t info;
};

struct sg_table {
	struct sg_entry entry[SG_ENTRIES];
};

#define SG_LOG 32

struct sg_pagetable {
	struct mt_lock lock;
	struct sg_table top;    /* GUARD lock */
	struct sg_pool *pool;   /* of tables */
	struct sg_reserve dead; /* GUARD lock: tables to be freed where that is allowed */
	unsigned long tables;   /* GUARD lock: below the top */
	uint64_t generation;    /* GUARD writes: lock; the number of invalidations so far */
	struct {
		uint64_t first, last;
	} log[SG_LOG]; /* GUARD lock: the latest invalidations; n is at n % SG_LOG */
};

void sg_pt_init(struct sg_pagetable *pt, struct sg_pool *pool);
void sg_pt_fini(struct sg_pagetable *pt);
/* The most tables that mapping the range can take, whatever is there: 6. */
unsigned int sg_pt_tables(uint64_t addr, uint64_t range);
/*
 * Enters the range, sparse if @obj is NULL. Takes tables from @r; if there are too few, pages are
 * left out. CONTEXT: any. TAKES pt.
 */
void sg_pt_map(struct sg_pagetable *pt, uint64_t addr, uint64_t range, struct sg_object *obj,
	       uint64_t offset, struct sg_reserve *r);
/*
 * Removes the range from the page tables and the TLBs. Adjacent addresses may lose their entries,
 * too. CONTEXT: any. TAKES pt.
 */
void sg_pt_clear(struct sg_pagetable *pt, uint64_t addr, uint64_t range);
/* Frees unused tables. CONTEXT: frees. TAKES pt. */
void sg_pt_trim(struct sg_pagetable *pt);
/* Returns false if nothing is entered at @addr. CONTEXT: any. TAKES pt. */
bool sg_pt_walk(struct sg_pagetable *pt, uint64_t addr, struct sg_translation *tr);
uint64_t sg_pt_generation(const struct sg_pagetable *pt);
/*
 * Enters what a fault has found: as much of mapping @va around @addr as one entry can hold. Returns
 * false if anything has been invalidated since @generation: look up again, as @va may be outdated.
 * CONTEXT: any. TAKES pt.
 */
bool sg_pt_fill(struct sg_pagetable *pt, const struct gpuva *va, uint64_t addr, uint64_t generation,
		struct sg_reserve *r);

/*
 * ---- TLBs (tlb.c) -----------------------------------------------------------------------------
 */

#define SG_TLB_SETS 64
#define SG_TLB_WAYS 4

/* Belongs to one engine, and is only used by it. All zero is empty. */
struct sg_tlb {
	uint64_t seen; /* the generation up to which invalidations were applied */
	struct sg_tlb_entry {
		uint64_t tag; /* page number + 1; 0: empty */
		struct sg_translation tr;
	} set[SG_TLB_SETS][SG_TLB_WAYS];
	unsigned char victim[SG_TLB_SETS]; /* to be replaced next */
	unsigned long hits, misses, invalidations;
};

/* Applies the invalidations that are new. */
void sg_tlb_refresh(struct sg_tlb *tlb, struct sg_pagetable *pt);
bool sg_tlb_find(struct sg_tlb *tlb, uint64_t addr, struct sg_translation *tr);
void sg_tlb_enter(struct sg_tlb *tlb, uint64_t addr, const struct sg_translation *tr);

/*
 * ---- Address spaces (vm.c) --------------------------------------------------------------------
 */

enum sg_mode {
	SG_EAGER, /* binds enter mappings into the page tables */
	SG_LAZY,  /* faults do */
};

struct sg_device {
	struct sg_pool tables, frames;
};

struct sg_vm {
	struct gpuvm base; /* first */
	struct sg_device *dev;
	enum sg_mode mode;
	struct sg_pagetable pt;
	const struct bind_ops *more; /* the user's: run_begin, run_end and va_release are called */
	void *more_priv;
	/*
	 * For tests, or NULL: called where an engine has just read something that may be outdated a
	 * moment later.
	 */
	void (*interlude)(void);
};

void sg_device_init(struct sg_device *dev);
/* CONTEXT: all VMs, engines and objects are gone. */
void sg_device_fini(struct sg_device *dev);
/*
 * Creates an address space [SG_PAGE, SG_VA_END) for bind queues. @config: workers, bounds and so
 * on, or NULL for the defaults. Its size is set here; of its ops run_begin, run_end and va_release
 * are called.
 */
int sg_vm_create(struct sg_device *dev, const char *name, enum sg_mode mode,
		 const struct bind_config *config, struct sg_vm **vm);
/*
 * Lets all binds run, then frees everything. CONTEXT: engines and queues are gone, or idle for
 * good.
 */
void sg_vm_destroy(struct sg_vm *vm);

/*
 * ---- Engines (engine.c) -----------------------------------------------------------------------
 */

enum sg_cmd_type {
	SG_FILL,     /* fills [dst, dst + len) with the pattern, repeated */
	SG_COPY,     /* copies [src, src + len) to dst, word by word, upwards */
	SG_CHECKSUM, /* sum = sg_checksum() of [src, src + len) */
	SG_VERIFY,   /* the same, and the result must equal the given sum */
};

/* The most pages that the commands of a job may write to in total: memory is reserved for each. */
#define SG_JOB_PAGES (1ul << 16)

/*
 * Addresses and len are multiples of 8, and all that is read or written lies below SG_VA_END. A
 * command ends at the first page that is not mapped.
 */
struct sg_cmd {
	enum sg_cmd_type type;
	uint64_t dst, src, len;
	uint64_t pattern;
	uint64_t sum;   /* out: of what was read */
	uint64_t fault; /* out: with -EFAULT, the address */
	int error;      /* out: 0, -EFAULT, -EBADMSG: another sum */
};

/* Belongs to the caller, as do the commands, which must stay until they have run. */
struct sg_job {
	struct sg_cmd *cmds;
	unsigned int nr_cmds;
	unsigned int nr_in, nr_out;
	const struct bind_sync *in, *out; /* only read during the call */
};

struct sg_engine_stats {
	unsigned long jobs, cmds;
	unsigned long faults; /* answered by gpuvm_find() */
	unsigned long errors; /* commands that found nothing mapped */
	unsigned long mismatches;
	unsigned long tlb_hits, tlb_misses, tlb_invalidations;
	uint64_t bytes; /* processed by commands, up to the first unmapped page */
};

struct sg_engine;

/*
 * Creates an engine of @vm: a thread that runs jobs in order, each when its in-fences are
 * signalled. NULL: no memory.
 */
struct sg_engine *sg_engine_create(struct sg_vm *vm);
/* Waits until all jobs are over. */
void sg_engine_destroy(struct sg_engine *e);
/*
 * Returns 0; -EINVAL: a command breaks the rules of struct sg_cmd, or too many pages; or -ENOMEM.
 * An accepted job will run, and signal its out-fences with the error of the first command that has
 * one. In-fences with an error count as signalled. CONTEXT: allocates.
 */
int sg_engine_submit(struct sg_engine *e, const struct sg_job *job);
/* Reports the figures of jobs that are over. */
void sg_engine_stats(struct sg_engine *e, struct sg_engine_stats *stats);

/*
 * The sum of @len bytes, a multiple of 8, that follow those whose sum is @sum (0 in the beginning).
 */
uint64_t sg_checksum(uint64_t sum, const void *bytes, size_t len);
/* What SG_FILL writes to @len bytes. */
void sg_fill(void *bytes, size_t len, uint64_t pattern);

#endif
