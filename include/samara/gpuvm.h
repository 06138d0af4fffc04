/* SPDX-License-Identifier: MIT */
/*
 * The GPU virtual-address manager: which part of which object is mapped where in a GPU's address
 * space, and which steps a map or an unmap takes when it meets what is there already (split and
 * merge).
 *
 * Names and behaviour are those of Linux's drm_gpuvm, without "drm_" and without its quirks. What
 * is new is marked as such: the index is a maple tree, so look-ups need no lock, and changes may
 * need memory (see "Memory").
 *
 * Numbers. Addresses, ranges and offsets are 64-bit, in any unit the owner chooses; nothing is
 * scaled. [addr, addr + range) is half-open and its end must fit in 64 bits too, so the last unit
 * of the space is never mapped. Offsets wrap modulo 2^64.
 *
 * Who drives a VM. Either its user, with the functions below, under a lock of the VM: the internal
 * one (gpuvm_lock()) or the user's own (gpuvm_set_lock()). Or bind queues (bind_queue.h): then only
 * they may change it, so what is under "Memory for changes", "Changing the index" and "Split and
 * merge" below is theirs, as are linking and unlinking, and nobody may allocate with gpuvm_lock()
 * held, as gpuvm_exec_lock_range() and gpuvm_prepare_range() would. The user may still call
 * everything else: references, sections, look-ups, holes, objects and their lists of pairs and
 * mappings, gpuva_invalidate(), transactions. Debug builds check who changes a VM.
 *
 * Reading. gpuvm_find(), the gpuva_find functions and iteration work under the VM's lock, or
 * without it in a read-side section (gpuvm_read_lock()), concurrently with any change. A mapping
 * found in a section stays allocated until the section ends if its owner frees it only after a
 * grace period (bind queues do; a user calls gpuvm_synchronize() or waits in another way). Its va
 * and gem fields never change while it is in the VM.
 *
 * Memory. A change of the index may need nodes. It takes them from what gpuvm_reserve() has
 * reserved; else from free nodes; else, outside signalling sections (fence.h), it gets memory as
 * with GFP_KERNEL, keeping the lock. So to change the VM in a signalling section, reserve before
 * it; otherwise there is no need to. Removing uses nothing that is reserved, and never fails:
 * without memory an empty marker holds the place. A marker reads as nothing, and goes with the next
 * change there or with gpuvm_sweep().
 *
 * Errors: 0 or a negative errno; after an error nothing has changed.
 */
#ifndef SAMARA_GPUVM_H
#define SAMARA_GPUVM_H

#include <samara/credits.h>
#include <samara/maple_tree.h>
#include <stdint.h>

MT_BEGIN_DECLS

struct fence;
struct gpuvm;
struct gpuvm_bo;
struct gpuvm_ops;
struct gpuvm_queues; /* of bind_queue.h */

/* A link of a circular list, and its head; private. */
struct gpuvm_list {
	struct gpuvm_list *next, *prev;
};

/*
 * ---- Reservation locks ------------------------------------------------------------------------
 */
/*
 * A lock that an object's users take before they depend on where its memory is, and the fences to
 * wait for before moving that memory. Objects may share one; a VM has one through its r_obj.
 * CONTEXT: sleeping locks that are held while memory is allocated: never within a signalling
 * section.
 */
enum gpuvm_usage {
	GPUVM_USAGE_KERNEL,   /* moves and clears of the memory itself: everybody waits */
	GPUVM_USAGE_WRITE,    /* readers and writers wait */
	GPUVM_USAGE_READ,     /* writers wait */
	GPUVM_USAGE_BOOKKEEP, /* only those who take the memory away wait */
};

struct gpuvm_resv_fence {
	struct fence *fence;
	enum gpuvm_usage usage;
};

/* The caller's memory, private fields. */
struct gpuvm_resv {
	struct mt_lock lock;
	struct gpuvm_resv_fence *fence; /* GUARD lock */
	unsigned int nr, room;          /* GUARD lock: of fence[] */
	unsigned int reserved;          /* GUARD lock: slots promised */
};

MT_API void gpuvm_resv_init(struct gpuvm_resv *resv);
/* Drops the fences and frees the memory. Nobody may hold the lock or take it later. */
MT_API void gpuvm_resv_fini(struct gpuvm_resv *resv);
MT_API void gpuvm_resv_lock(struct gpuvm_resv *resv);
MT_API bool gpuvm_resv_trylock(struct gpuvm_resv *resv);
MT_API void gpuvm_resv_unlock(struct gpuvm_resv *resv);
MT_API bool gpuvm_resv_is_held(const struct gpuvm_resv *resv);
/*
 * Reserves slots for @nr more fences, so that gpuvm_resv_add() cannot fail: 0 or -ENOMEM. Slots of
 * signalled fences are reused first. Reservations add up, and end when the lock is released. Lock
 * held. Allocates, and may free.
 */
MT_API int gpuvm_resv_reserve(struct gpuvm_resv *resv, unsigned int nr);
/* Takes a reference to @f. Lock held, slot reserved. */
MT_API void gpuvm_resv_add(struct gpuvm_resv *resv, struct fence *f, enum gpuvm_usage usage);
/*
 * Waits, as fence_wait(), for all fences of @usage or a stronger (smaller) one, including those
 * added while it waits. Lock held or not; if not, it is taken for each look, and @timeout_ns does
 * not bound the wait for it. If you must not wait for it, try to take it before the call.
 */
MT_API int gpuvm_resv_wait(struct gpuvm_resv *resv, enum gpuvm_usage usage, int64_t timeout_ns);

/*
 * ---- Objects ----------------------------------------------------------------------------------
 */
/* What can be mapped. Embedded by the user; reference counted. */
struct gpuvm_object {
	unsigned int refs;       /* GUARD atomic */
	uint64_t size;           /* 0: not stated */
	struct gpuvm_resv *resv; /* own, or another's */
	struct gpuvm_resv own_resv;
	/*
	 * GUARDs the list of pairs and each pair's list of mappings. Never held while memory is
	 * allocated, so it may be taken in a signalling section.
	 */
	struct mt_lock lock;
	struct gpuvm_list pairs;
	/*
	 * Called after the last put, unless NULL; may sleep. A transaction unlocks everything
	 * before it drops its references. But pairs are put under reservation locks: with
	 * GPUVM_RESV_PROTECTED a pair's last put is made under the VM's; and gpuvm_exec_lock() and
	 * gpuvm_validate() hold a reference to one pair after another. If such a put is a pair's
	 * last, and nobody else has a reference to the object, this is called with these locks
	 * held. (Bind queues hold one to the object, so their puts never do that.)
	 */
	void (*free)(struct gpuvm_object *obj);
};

/*
 * Starts with one reference. @resv NULL: its own. @size 0: offsets are not checked against the
 * size.
 */
MT_API void gpuvm_object_init(struct gpuvm_object *obj, uint64_t size, struct gpuvm_resv *resv,
			      void (*free)(struct gpuvm_object *obj));
/*
 * NULL is fine for both. The last put calls free, so it may sleep: not within a signalling section.
 */
MT_API struct gpuvm_object *gpuvm_object_get(struct gpuvm_object *obj);
MT_API void gpuvm_object_put(struct gpuvm_object *obj);
static inline void gpuvm_object_lock(struct gpuvm_object *obj)
{
	mt_lock_acquire(&obj->lock);
}
static inline void gpuvm_object_unlock(struct gpuvm_object *obj)
{
	mt_lock_release(&obj->lock);
}

/*
 * ---- Mappings ---------------------------------------------------------------------------------
 */

enum {
	GPUVA_INVALIDATED = 1 << 0, /* the backing is not in the page tables just now */
	GPUVA_SPARSE = 1 << 1,      /* no backing: reads give zero, writes are dropped */
	GPUVA_USERBITS = 1 << 2,    /* the first bit that is the user's */
};

/*
 * One mapping. Embedded and owned by the user, who keeps it allocated until it is out of the VM and
 * unlinked, no list of operations that names it will be used, and every reader that may have found
 * it has left its section. Not reference counted. In a new one the user sets vm_bo to NULL, and
 * flags; the functions below set the rest.
 */
struct gpuva {
	struct gpuvm *vm;       /* set by gpuva_insert() */
	struct gpuvm_bo *vm_bo; /* the pair it is linked to, or NULL */
	/* GUARD atomic; the library reads only GPUVA_SPARSE, and only in a request. */
	unsigned int flags;
	/* GUARD writes: VM lock. The pair's epoch, when linked by a queue: private */
	unsigned int epoch;
	struct {
		uint64_t addr, range;
	} va;
	struct {
		struct gpuvm_object *obj; /* NULL: sparse, or the user's own memory */
		uint64_t offset;
		struct gpuvm_list entry; /* GUARD object lock: in the pair's list */
	} gem;
};

static inline void gpuva_invalidate(struct gpuva *va, bool invalidate)
{
	if (invalidate)
		__atomic_fetch_or(&va->flags, GPUVA_INVALIDATED, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&va->flags, ~(unsigned int)GPUVA_INVALIDATED, __ATOMIC_RELAXED);
}

static inline bool gpuva_invalidated(const struct gpuva *va)
{
	return __atomic_load_n(&va->flags, __ATOMIC_RELAXED) & GPUVA_INVALIDATED;
}

/*
 * ---- Operations -------------------------------------------------------------------------------
 */

enum gpuva_op_type {
	GPUVA_OP_MAP,
	GPUVA_OP_REMAP,
	GPUVA_OP_UNMAP,
	GPUVA_OP_PREFETCH,
};

struct gpuva_op_map {
	struct {
		uint64_t addr, range;
	} va;
	struct {
		struct gpuvm_object *obj;
		uint64_t offset;
	} gem;
};

/*
 * @keep: the new mapping continues the old one in the same object, so the page-table entries that
 * they share may stay as they are.
 */
struct gpuva_op_unmap {
	struct gpuva *va;
	bool keep;
};

/*
 * A cut: @unmap goes, and what is left of it comes, @prev below and @next above. Either may be
 * NULL, but not both.
 */
struct gpuva_op_remap {
	struct gpuva_op_map *prev, *next;
	struct gpuva_op_unmap *unmap;
};

struct gpuva_op_prefetch {
	struct gpuva *va;
};

struct gpuva_op {
	struct gpuvm_list entry;
	enum gpuva_op_type op;
	union {
		struct gpuva_op_map map;
		struct gpuva_op_remap remap;
		struct gpuva_op_unmap unmap;
		struct gpuva_op_prefetch prefetch;
	};
};

struct gpuva_ops {
	struct gpuvm_list list;
};

/*
 * ---- Callbacks --------------------------------------------------------------------------------
 */

struct gpuvm_exec;

/*
 * All but vm_free are optional. Set op_alloc and op_free together, and vm_bo_alloc and vm_bo_free.
 */
struct gpuvm_ops {
	/*
	 * The last reference is gone; the user frees what the VM is part of. May sleep. The VM has
	 * put its r_obj before, so this may free that too; to look at it, or at gpuvm_resv(), hold
	 * a reference of your own.
	 */
	void (*vm_free)(struct gpuvm *vm);
	/*
	 * Let a user embed operations, and pairs, at the beginning of a larger structure. NULL: no
	 * memory. The memory need not be zeroed. vm_bo_free is called after a grace period, on a
	 * thread of the library; the VM and the object may be gone by then. It must not wait for
	 * anything: all who wait for a grace period, as runs of bind queues may, wait for that
	 * thread.
	 */
	struct gpuva_op *(*op_alloc)(void);
	void (*op_free)(struct gpuva_op *op);
	struct gpuvm_bo *(*vm_bo_alloc)(void);
	void (*vm_bo_free)(struct gpuvm_bo *vm_bo);
	/*
	 * Makes the object resident again and calls gpuvm_bo_evict(vm_bo, false). 0 or a negative
	 * errno. May do the same for other pairs, and put any: @vm_bo stays for the call.
	 */
	int (*vm_bo_validate)(struct gpuvm_bo *vm_bo, struct gpuvm_exec *exec);
	/* The steps of gpuvm_sm_map() and gpuvm_sm_unmap(). @op is valid only during the call. */
	int (*sm_step_map)(struct gpuva_op *op, void *priv);
	int (*sm_step_remap)(struct gpuva_op *op, void *priv);
	int (*sm_step_unmap)(struct gpuva_op *op, void *priv);
};

/*
 * ---- The VM -----------------------------------------------------------------------------------
 */

enum {
	/* The lists of external and evicted pairs are protected by the VM's reservation lock. */
	GPUVM_RESV_PROTECTED = 1 << 0,
	GPUVM_IMMEDIATE_MODE = 1 << 1, /* reserved; no effect: every VM works this way */
	GPUVM_USERBITS = 1 << 2,
};

/* Private, except for what the accessors return. Embedded by the user. */
struct gpuvm {
	const char *name;
	unsigned int flags;
	unsigned int refs; /* GUARD atomic */
	void *dev;
	uint64_t mm_start, mm_range;
	uint64_t align;
	struct gpuva kernel_alloc_node; /* the reserved region; range 0: none */
	struct gpuvm_object *r_obj;
	const struct gpuvm_ops *ops;
	struct maple_tree tree;    /* GUARD writes: its lock; reads: that, or RCU */
	struct mt_credits credits; /* GUARD lock: gpuvm_reserve() */
	unsigned long nr_vas;      /* GUARD lock; reads: relaxed */
	unsigned long markers;     /* GUARD lock: empty markers in the tree */
	struct mt_lock list_lock;  /* GUARDs extobj and evict, unless GPUVM_RESV_PROTECTED */
	struct {
		struct gpuvm_list list;
		bool iterating;
	} extobj, evict;
	struct gpuvm_queues *queues; /* NULL: the user drives */
};

/*
 * Initialises @vm, with one reference, to manage [start, start + range). The reserved region
 * [reserve_start, + reserve_range) (range 0: none) is for the user's own purposes: it counts as
 * occupied, and no mapping or request may overlap it. It need not lie inside. @name is not copied;
 * NULL becomes "unknown". Takes a reference to @r_obj, whose reservation lock becomes the VM's. 0;
 * -EINVAL for a range that overflows, or no r_obj, ops or vm_free; -ENOMEM (a reserved region needs
 * a node). On an error nothing is initialised. Look-ups need no lock from the start (RCU, the
 * default flavour). CONTEXT: may allocate.
 */
MT_API int gpuvm_init(struct gpuvm *vm, const char *name, unsigned int flags, void *dev,
		      struct gpuvm_object *r_obj, uint64_t start, uint64_t range,
		      uint64_t reserve_start, uint64_t reserve_range, const struct gpuvm_ops *ops);

/*
 * Call these, if at all, between gpuvm_init() and the first other use. Every address, range and
 * offset must then be a multiple of @align, a power of two (-EINVAL otherwise); nodes come from
 * @mem, which must outlive the VM; the lock is @lock, any pointer, and @is_held tells whether the
 * calling thread holds it (NULL: not known). -EBUSY once there are mappings or bind queues; the
 * latter two functions also while memory is reserved (gpuvm_reserve()). CONTEXT: gpuvm_set_mem()
 * may allocate.
 */
MT_API int gpuvm_set_align(struct gpuvm *vm, uint64_t align);
MT_API int gpuvm_set_mem(struct gpuvm *vm, struct mt_mem *mem);
MT_API int gpuvm_set_lock(struct gpuvm *vm, void *lock, bool (*is_held)(void *lock));

/*
 * References to the VM. Each mapping in it, each pair and each queue holds one, so its creator must
 * first remove and unlink all mappings. The last put drops r_obj, whose free must leave the VM
 * alone, then calls ops->vm_free. It may sleep. NULL is fine for both.
 */
MT_API struct gpuvm *gpuvm_get(struct gpuvm *vm);
MT_API void gpuvm_put(struct gpuvm *vm);

/* The internal lock. Do not take it if gpuvm_set_lock() named another. */
MT_API void gpuvm_lock(struct gpuvm *vm);
MT_API void gpuvm_unlock(struct gpuvm *vm);
MT_API bool gpuvm_is_locked(const struct gpuvm *vm);

/* A read-side section of the VM. Nests. Never blocks, except a thread's first (rcu.h). */
MT_API void gpuvm_read_lock(const struct gpuvm *vm);
MT_API void gpuvm_read_unlock(const struct gpuvm *vm);
/*
 * Waits until all read-side sections that are open now have ended. CONTEXT: SLEEP yes; not within
 * one, nor within a signalling section.
 */
MT_API void gpuvm_synchronize(const struct gpuvm *vm);

/*
 * Is the range free of overflow, inside the managed interval and clear of the reserved region?
 * Range 0 is not valid.
 */
MT_API bool gpuvm_range_valid(const struct gpuvm *vm, uint64_t addr, uint64_t range);

static inline bool gpuvm_resv_protected(const struct gpuvm *vm)
{
	return vm->flags & GPUVM_RESV_PROTECTED;
}
static inline struct gpuvm_object *gpuvm_resv_obj(const struct gpuvm *vm)
{
	return vm->r_obj;
}
static inline struct gpuvm_resv *gpuvm_resv(const struct gpuvm *vm)
{
	return vm->r_obj->resv;
}
static inline bool gpuvm_resv_held(const struct gpuvm *vm)
{
	return gpuvm_resv_is_held(gpuvm_resv(vm));
}
/* Debug builds abort if the calling thread does not hold it. */
MT_API void gpuvm_resv_assert_held(const struct gpuvm *vm);
/* Is @obj one whose reservation lock is not the VM's, so that other VMs may have it? */
static inline bool gpuvm_is_extobj(const struct gpuvm *vm, const struct gpuvm_object *obj)
{
	return obj && obj->resv != vm->r_obj->resv;
}
/*
 * A dummy of size 0 to be an r_obj, with one reference; NULL when out of memory. CONTEXT:
 * allocates.
 */
MT_API struct gpuvm_object *gpuvm_resv_object_alloc(void *dev);

/*
 * ---- Memory for changes -----------------------------------------------------------------------
 */

/*
 * The most changes of the index that a map and an unmap take, done step by step with the functions
 * below.
 */
#define GPUVM_MAP_CHANGES 3
#define GPUVM_UNMAP_CHANGES 2

/*
 * Reserves nodes for @nr more changes of the index, whatever happens to it in between: 0, -ENOMEM,
 * or -EOVERFLOW as mt_credits_reserve(). gpuva_insert(), gpuva_map() and gpuva_remap() each use one
 * reserved change or none; removing uses none. gpuvm_unreserve() gives back what is left. CONTEXT:
 * SLEEP yes, lock not held (with gpuvm_set_lock(): held). These are recycling credits (credits.h):
 * to use up to @nr of them, MT_CREDITS_BATCH (64) at most, call gpuvm_begin(vm, nr) before taking
 * the lock, an external one too; it may wait for a grace period. What is reserved but not begun is
 * not used. From gpuvm_begin() to the last of the changes the reserve belongs to one thread: if
 * several change a VM they must agree on which.
 */
MT_API int gpuvm_reserve(struct gpuvm *vm, unsigned long nr);
MT_API void gpuvm_begin(struct gpuvm *vm, unsigned long nr);
MT_API void gpuvm_unreserve(struct gpuvm *vm);
MT_API unsigned long gpuvm_reserved(const struct gpuvm *vm);
/*
 * Removes empty markers as far as memory allows: 0, or -ENOMEM with some left. CONTEXT: lock held,
 * and kept; outside signalling sections may allocate.
 */
MT_API int gpuvm_sweep(struct gpuvm *vm);

/*
 * ---- Changing the index -----------------------------------------------------------------------
 */
/* CONTEXT: HOLDS the VM's lock. None of these sleeps, except as "Memory" above says. */

/* Write addr, range, obj and offset, nothing else. */
MT_API void gpuva_init(struct gpuva *va, uint64_t addr, uint64_t range, struct gpuvm_object *obj,
		       uint64_t offset);
MT_API void gpuva_init_from_op(struct gpuva *va, const struct gpuva_op_map *op);

/*
 * Puts @va into the VM and takes a reference to the VM: 0; -EINVAL: the range is invalid or not
 * aligned, or offset + range exceeds the size that the object states; -EEXIST: something overlaps;
 * -ENOMEM.
 */
MT_API int gpuva_insert(struct gpuvm *vm, struct gpuva *va);
/*
 * Takes @va out of the VM and drops that reference (hold one of your own: it may be the last). The
 * fields of @va stay. Does not unlink. On the reserved region debug builds abort; others do
 * nothing.
 */
MT_API void gpuva_remove(struct gpuva *va);
/* gpuva_init_from_op() and gpuva_insert(). */
MT_API int gpuva_map(struct gpuvm *vm, struct gpuva *va, const struct gpuva_op_map *op);
/*
 * Takes op->unmap->va out and puts in @prev and @next, each only if the operation has it; otherwise
 * the argument is ignored. Readers see all of it at once. 0, or -ENOMEM: then nothing has changed
 * except what gpuva_init_from_op() writes.
 */
MT_API int gpuva_remap(struct gpuva *prev, struct gpuva *next, const struct gpuva_op_remap *op);
/* gpuva_remove(op->va). */
MT_API void gpuva_unmap(const struct gpuva_op_unmap *op);

/*
 * ---- Looking things up ------------------------------------------------------------------------
 */
/*
 * CONTEXT: HOLDS the VM's lock, or inside a read-side section, where each call sees one state from
 * between its beginning and its end; but a call that passes over the reserved region or markers is
 * several look-ups, one after another (docs/concurrency.md, U). Except gpuvm_find_hole(), none
 * waits, allocates or writes; but in a step of gpuvm_sm_map() what the steps have done is stored
 * first. Ranges are not checked; range 0 finds nothing.
 */

/*
 * The mapping that covers @addr, or NULL: for page faults. Never the reserved region. Never waits.
 */
MT_API struct gpuva *gpuvm_find(struct gpuvm *vm, uint64_t addr);
/* The mapping with exactly this address and range, the reserved region included. */
MT_API struct gpuva *gpuva_find(struct gpuvm *vm, uint64_t addr, uint64_t range);
/* The lowest mapping that overlaps, the reserved region included. */
MT_API struct gpuva *gpuva_find_first(struct gpuvm *vm, uint64_t addr, uint64_t range);
/*
 * The mapping that covers @start - 1, and the one that covers @end; NULL for a gap, outside the VM,
 * or in the reserved region.
 */
MT_API struct gpuva *gpuva_find_prev(struct gpuvm *vm, uint64_t start);
MT_API struct gpuva *gpuva_find_next(struct gpuvm *vm, uint64_t end);
/* Does nothing overlap? The reserved region counts as overlapping. */
MT_API bool gpuvm_interval_empty(struct gpuvm *vm, uint64_t addr, uint64_t range);

/*
 * Iteration: the lowest mapping that overlaps [start, end), then the next above @va that begins
 * below @end. The reserved region is skipped. The safe forms find the next one before the body
 * runs, so the body may remove the current one and insert others: those below that next one are not
 * visited, those above it are; if there was no next one, the walk ends.
 */
MT_API struct gpuva *gpuvm_first_va(struct gpuvm *vm, uint64_t start, uint64_t end);
MT_API struct gpuva *gpuvm_next_va(struct gpuvm *vm, const struct gpuva *va, uint64_t end);

#define gpuvm_for_each_va_range(va, vm, start, end)             \
	for ((va) = gpuvm_first_va((vm), (start), (end)); (va); \
	     (va) = gpuvm_next_va((vm), (va), (end)))
#define gpuvm_for_each_va_range_safe(va, next, vm, start, end)       \
	for ((va) = gpuvm_first_va((vm), (start), (end)),            \
	    (next) = (va) ? gpuvm_next_va((vm), (va), (end)) : NULL; \
	     (va); (va) = (next), (next) = (va) ? gpuvm_next_va((vm), (va), (end)) : NULL)
#define gpuvm_for_each_va(va, vm) gpuvm_for_each_va_range(va, vm, 0, UINT64_MAX)
#define gpuvm_for_each_va_safe(va, next, vm) \
	gpuvm_for_each_va_range_safe(va, next, vm, 0, UINT64_MAX)

/*
 * Prints the VM, and each of its mappings on a line. The form may change. CONTEXT: as the others,
 * but it prints, which may wait and allocate, with that lock held or section open.
 */
MT_API void gpuvm_dump(struct gpuvm *vm, FILE *out);

enum gpuvm_hole {
	GPUVM_HOLE_LOW,  /* the lowest place */
	GPUVM_HOLE_HIGH, /* the highest */
};

/*
 * Finds @size free units inside [start, end) and the managed interval, at a multiple of @align (0
 * and 1: any) and of the alignment set by gpuvm_set_align(), and sets *@addr to where they are.
 * Nothing is taken: insert a mapping there under the same lock. 0; -ENOSPC; -EINVAL: size 0, or
 * align is no power of two. Gaps that are too small are skipped all at once; gaps that are large
 * enough but hold no aligned place are visited one by one, at most one for each multiple of @align:
 * keep aligned mappings in a part of the space of their own. CONTEXT: HOLDS the VM's lock; sweeps
 * empty markers first, and so may allocate, as gpuvm_sweep(). With queues it leaves markers alone,
 * and TAKES the lock if it is not held: then a queued job may take the place first.
 */
MT_API int gpuvm_find_hole(struct gpuvm *vm, uint64_t *addr, uint64_t size, uint64_t align,
			   uint64_t start, uint64_t end, enum gpuvm_hole where);

/*
 * ---- Split and merge --------------------------------------------------------------------------
 */
/*
 * CONTEXT of all: HOLDS the VM's lock. None sleeps, except as "Memory" above says and in the steps
 * themselves. Rules and drawings: docs/gpuvm.md.
 */

/*
 * Calls the steps that make [addr, addr + range) a mapping of @obj from @offset: a remap or an
 * unmap for every mapping that is overlapped, ascending, then one map. The steps change the VM with
 * the functions above. The first result that is not 0 ends the walk and is returned; what earlier
 * steps did stays. -EINVAL: a step callback is missing, or gpuva_insert() would refuse the mapping
 * as invalid.
 *
 * If the steps do what their operations say, with gpuva_unmap(), gpuva_remap() and gpuva_map() on
 * these very operations, together they are one change of the index (and use one reserved change),
 * made by the map step or at the end. So until this function returns, a reader without the lock may
 * find what a step has taken out: only then does the grace period for its memory begin. The reader
 * sees the whole request at one moment, or, if an unmap found no memory, one mapping after another.
 * The thread itself sees what its steps have done.
 */
MT_API int gpuvm_sm_map(struct gpuvm *vm, void *priv, uint64_t addr, uint64_t range,
			struct gpuvm_object *obj, uint64_t offset);
/* The same for an unmap: there is no map step, and keep is never set. */
MT_API int gpuvm_sm_unmap(struct gpuvm *vm, void *priv, uint64_t addr, uint64_t range);

/*
 * The same steps as a list: carry them out in order before making another list. The list only
 * borrows the mappings it names. On failure NULL, with *@err (unless NULL) -EINVAL or -ENOMEM. Free
 * every list with gpuva_ops_free(). CONTEXT: allocates.
 */
MT_API struct gpuva_ops *gpuvm_sm_map_ops_create(struct gpuvm *vm, uint64_t addr, uint64_t range,
						 struct gpuvm_object *obj, uint64_t offset,
						 int *err);
MT_API struct gpuva_ops *gpuvm_sm_unmap_ops_create(struct gpuvm *vm, uint64_t addr, uint64_t range,
						   int *err);
/*
 * One prefetch, of the whole mapping, for each mapping that overlaps, ascending; the reserved
 * region is skipped. The range is not checked: range 0 gives an empty list, and a range beyond the
 * end of the space is cut there (bind_queue.h's BIND_PREFETCH refuses both). So the only error is
 * -ENOMEM.
 */
MT_API struct gpuva_ops *gpuvm_prefetch_ops_create(struct gpuvm *vm, uint64_t addr, uint64_t range,
						   int *err);
/*
 * One unmap for each mapping linked to the pair, in the order of linking. Also HOLDS the object's
 * lock, which is released to allocate and then retaken: the caller must have a reference to the
 * pair.
 */
MT_API struct gpuva_ops *gpuvm_bo_unmap_ops_create(struct gpuvm_bo *vm_bo, int *err);
MT_API void gpuva_ops_free(struct gpuvm *vm, struct gpuva_ops *ops);

/* The range that a remap actually vacates. Either pointer may be NULL. */
MT_API void gpuva_op_remap_to_unmap_range(const struct gpuva_op_remap *op, uint64_t *start,
					  uint64_t *range);

/* Walking a list: NULL at its ends. */
MT_API struct gpuva_op *gpuva_first_op(const struct gpuva_ops *ops);
MT_API struct gpuva_op *gpuva_last_op(const struct gpuva_ops *ops);
MT_API struct gpuva_op *gpuva_next_op(const struct gpuva_ops *ops, const struct gpuva_op *op);
MT_API struct gpuva_op *gpuva_prev_op(const struct gpuva_ops *ops, const struct gpuva_op *op);

#define gpuva_for_each_op(op, ops) \
	for ((op) = gpuva_first_op(ops); (op); (op) = gpuva_next_op((ops), (op)))
#define gpuva_for_each_op_safe(op, next, ops)                                                     \
	for ((op) = gpuva_first_op(ops), (next) = (op) ? gpuva_next_op((ops), (op)) : NULL; (op); \
	     (op) = (next), (next) = (op) ? gpuva_next_op((ops), (op)) : NULL)
#define gpuva_for_each_op_reverse(op, ops) \
	for ((op) = gpuva_last_op(ops); (op); (op) = gpuva_prev_op((ops), (op)))
#define gpuva_for_each_op_from_reverse(op, ops) for (; (op); (op) = gpuva_prev_op((ops), (op)))

/*
 * ---- Pairs of a VM and an object --------------------------------------------------------------
 */
/*
 * A pair holds a reference to its VM and one to its object, and each mapping linked to it holds one
 * to the pair. A pair's last put takes it off all lists and drops these two references; its own
 * memory is freed after a grace period. So the last put may sleep: not within a signalling section.
 * With GPUVM_RESV_PROTECTED the last put of a pair that is on a list of the VM needs the VM's resv
 * held, and so does gpuva_unlink(), whose put may be the last.
 */
struct gpuvm_bo {
	struct gpuvm *vm;
	struct gpuvm_object *obj;
	unsigned int refs; /* GUARD atomic */
	bool evicted;      /* GUARD object's resv */
	/* GUARD writes: VM lock; ORDER epoch: mappings linked before it are gone. */
	unsigned int epoch;
	unsigned int hides; /* GUARD VM lock: moves of it that a queue's job will make: private */
	unsigned long
		hidden_at; /* GUARD VM lock: which operation of the job makes the last: private */
	struct {
		struct gpuvm_list gpuva; /* GUARD object lock: mappings, in the order of linking */
		struct gpuvm_list gem;   /* GUARD object lock: in the object's list */
		struct gpuvm_list extobj, evict; /* GUARD list lock, or the VM's resv */
	} list;
	void *rcu[3]; /* until a grace period is over: private */
};

/*
 * A new pair on no list, with one reference; NULL when out of memory. Its object counts as
 * resident: if it is not, call gpuvm_bo_evict() next. CONTEXT: allocates.
 */
MT_API struct gpuvm_bo *gpuvm_bo_create(struct gpuvm *vm, struct gpuvm_object *obj);
/*
 * Take and drop a reference; put returns true if that was the last. NULL is fine for both. CONTEXT
 * of put: TAKES the object's lock.
 */
MT_API struct gpuvm_bo *gpuvm_bo_get(struct gpuvm_bo *vm_bo);
MT_API bool gpuvm_bo_put(struct gpuvm_bo *vm_bo);
/* The pair on the object's list, with a reference, or NULL. CONTEXT: HOLDS the object's lock. */
MT_API struct gpuvm_bo *gpuvm_bo_find(struct gpuvm *vm, struct gpuvm_object *obj);
/*
 * The same, or else a new pair, put on the list; NULL when out of memory. Both functions search the
 * object's pairs, one for each VM that it is in. CONTEXT: takes the object's lock, and allocates
 * without it; the VM's resv need not be held.
 */
MT_API struct gpuvm_bo *gpuvm_bo_obtain(struct gpuvm *vm, struct gpuvm_object *obj);
/*
 * Puts a pair made by gpuvm_bo_create() on the object's list and returns it. If there is one
 * already, returns that with a reference and sets *@spare to the pair given, for the caller to put
 * where that may sleep; it is on no list, so the VM's resv need not be held. Never fails and
 * allocates nothing. CONTEXT: takes the object's lock; any, also a signalling section.
 */
MT_API struct gpuvm_bo *gpuvm_bo_obtain_prealloc(struct gpuvm_bo *vm_bo, struct gpuvm_bo **spare);

/*
 * Puts the pair on the list of external objects, if its object is one. With GPUVM_RESV_PROTECTED:
 * the VM's resv held.
 */
MT_API void gpuvm_bo_extobj_add(struct gpuvm_bo *vm_bo);
/*
 * Notes whether the object's memory has been taken away, so that the pair must be validated.
 * CONTEXT: the object's resv held. With GPUVM_RESV_PROTECTED an external object joins or leaves the
 * VM's list only when the VM is next locked or validated.
 */
MT_API void gpuvm_bo_evict(struct gpuvm_bo *vm_bo, bool evict);
/* The same for every pair of the object, in all VMs. TAKES the object's lock. */
MT_API void gpuvm_bo_gem_evict(struct gpuvm_object *obj, bool evict);

/*
 * Links @va to the pair of its object: appends it to the pair's list and takes a reference. Without
 * an object it does nothing. On another object's pair debug builds abort; others do not notice.
 * HOLDS the object's lock.
 */
MT_API void gpuva_link(struct gpuva *va, struct gpuvm_bo *vm_bo);
/*
 * Unlinks @va and drops its reference to the pair; if that is the last, the pair goes. CONTEXT:
 * HOLDS the object's lock, which is then released and retaken (the caller must hold a reference to
 * the object); not within a signalling section.
 */
MT_API void gpuva_unlink(struct gpuva *va);
/*
 * Unlinks @va and hands its reference to the pair to the caller, who puts it where that is allowed;
 * NULL if @va was not linked. Any section.
 */
MT_API struct gpuvm_bo *gpuva_unlink_defer(struct gpuva *va);

/* The first mapping of the pair, and the one linked after @va. HOLDS the object's lock. */
MT_API struct gpuva *gpuvm_bo_first_va(const struct gpuvm_bo *vm_bo);
MT_API struct gpuva *gpuvm_bo_next_va(const struct gpuvm_bo *vm_bo, const struct gpuva *va);

#define gpuvm_bo_for_each_va(va, pair) \
	for ((va) = gpuvm_bo_first_va(pair); (va); (va) = gpuvm_bo_next_va((pair), (va)))
#define gpuvm_bo_for_each_va_safe(va, next, pair)                  \
	for ((va) = gpuvm_bo_first_va(pair),                       \
	    (next) = (va) ? gpuvm_bo_next_va((pair), (va)) : NULL; \
	     (va); (va) = (next), (next) = (va) ? gpuvm_bo_next_va((pair), (va)) : NULL)

/*
 * ---- Locking a whole VM -----------------------------------------------------------------------
 */
/*
 * A transaction that takes the reservation locks of a VM and of its objects, in any order, without
 * deadlock: when one is contended it releases all and begins again with that one. Set vm,
 * num_fences, flags and extra; zero the rest.
 */
enum {
	GPUVM_EXEC_INTERRUPTIBLE = 1 << 0,     /* -EINTR when a signal handler runs meanwhile */
	GPUVM_EXEC_IGNORE_DUPLICATES = 1 << 1, /* asking for a lock twice is fine; else -EALREADY */
};

struct gpuvm_exec {
	struct gpuvm *vm;
	unsigned int flags;
	unsigned int num_fences; /* slots to reserve in each */
	struct {
		int (*fn)(struct gpuvm_exec *exec); /* locks more with gpuvm_exec_prepare_obj() */
		void *priv;
	} extra;
	/* private: */
	struct gpuvm_object **locked;
	unsigned int nr, room;
	struct gpuvm_object *contended;
	struct gpuvm_object *unasked; /* waited for in vain: not locked, put at the end */
};

/* 0; or -ENOMEM, -EINTR, -EALREADY, or what extra.fn returned: then nothing is locked. */
MT_API int gpuvm_exec_lock(struct gpuvm_exec *exec);
MT_API int gpuvm_exec_lock_array(struct gpuvm_exec *exec, struct gpuvm_object *const objs[],
				 unsigned int nr);
/*
 * Locks only the objects mapped in the range, not the VM's r_obj; extra.fn is not called. CONTEXT:
 * HOLDS the VM's lock.
 */
MT_API int gpuvm_exec_lock_range(struct gpuvm_exec *exec, uint64_t addr, uint64_t range);
/* Unlocks all, then drops its references to the objects. */
MT_API void gpuvm_exec_unlock(struct gpuvm_exec *exec);
/*
 * For extra.fn: locks @obj and reserves @nr slots. If the result is not 0, extra.fn must return it.
 */
MT_API int gpuvm_exec_prepare_obj(struct gpuvm_exec *exec, struct gpuvm_object *obj,
				  unsigned int nr);
/*
 * The parts of gpuvm_exec_lock(), for extra.fn: lock the VM's r_obj; all external objects; a
 * range's objects. One thread at a time may lock the external objects of a VM, or another misses
 * those that it has passed: lock r_obj first (without GPUVM_RESV_PROTECTED, a lock of your own will
 * do).
 */
MT_API int gpuvm_prepare_vm(struct gpuvm *vm, struct gpuvm_exec *exec, unsigned int nr);
MT_API int gpuvm_prepare_objects(struct gpuvm *vm, struct gpuvm_exec *exec, unsigned int nr);
MT_API int gpuvm_prepare_range(struct gpuvm *vm, struct gpuvm_exec *exec, uint64_t addr,
			       uint64_t range, unsigned int nr);
/*
 * Calls ops->vm_bo_validate for every evicted pair, in list order, up to the first error, which it
 * returns; pairs not reached or not cleared stay listed. -EOPNOTSUPP without the callback. CONTEXT:
 * all objects locked. (Without GPUVM_RESV_PROTECTED a job's submit, or gpuvm_bo_extobj_add(), may
 * add another external pair meanwhile; if its object's resv is not held, the pair is skipped and
 * stays listed.) Puts pairs, and so may free.
 */
MT_API int gpuvm_validate(struct gpuvm *vm, struct gpuvm_exec *exec);
static inline int gpuvm_exec_validate(struct gpuvm_exec *exec)
{
	return gpuvm_validate(exec->vm, exec);
}
/*
 * Adds the fence to everything locked, with @ext_usage for external objects. Cannot fail: the slots
 * are reserved.
 */
MT_API void gpuvm_resv_add_fence(struct gpuvm *vm, struct gpuvm_exec *exec, struct fence *f,
				 enum gpuvm_usage usage, enum gpuvm_usage ext_usage);
static inline void gpuvm_exec_resv_add_fence(struct gpuvm_exec *exec, struct fence *f,
					     enum gpuvm_usage usage, enum gpuvm_usage ext_usage)
{
	gpuvm_resv_add_fence(exec->vm, exec, f, usage, ext_usage);
}

MT_END_DECLS

#endif
