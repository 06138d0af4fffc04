/* SPDX-License-Identifier: MIT */
/*
 * The GPU virtual-address manager: which part of which object is mapped where in a GPU's address
 * space, with the steps that a map or an unmap comes to when it meets what is there already (split
 * and merge).
 *
 * Names and behaviour are those of Linux's drm_gpuvm, without "drm_" and without its quirks. What
 * is new here says so: the index is a maple tree, so look-ups need no lock, and changes may need
 * memory (see "Memory").
 *
 * Numbers. Addresses, ranges and offsets are 64-bit in any unit the owner chooses; nothing is
 * scaled. [addr, addr + range) is half-open and its end must itself be a number, so the last unit
 * of the space is never mapped. Offsets wrap modulo 2^64.
 *
 * Who drives a VM. Either its user, with the functions below, under a lock of the VM: the internal
 * one (gpuvm_lock()), or one of the user's own (gpuvm_set_lock()). Or bind queues (bind_queue.h),
 * which then are the only ones to change it: what stands under "Memory for changes", "Changing the
 * index" and "Split and merge" below is theirs, and so are linking and unlinking. Nobody allocates
 * with gpuvm_lock() held then, as gpuvm_exec_lock_range() and gpuvm_prepare_range() would. All else
 * the user may go on to call: references, sections, look-ups, holes, objects and their lists of
 * pairs and mappings, gpuva_invalidate(), transactions. Debug builds check who changes a VM.
 *
 * Reading. gpuvm_find(), the gpuva_find functions and iteration work under the VM's lock, or
 * without it inside a read-side section (gpuvm_read_lock()), beside any change. A mapping found so
 * stays allocated until the section ends, if its owner frees it only after a grace period (bind
 * queues do; a user calls gpuvm_synchronize() or waits in another way). Its va and gem fields never
 * change while it is in the VM.
 *
 * Memory. A change of the index may need nodes. Each is paid for, in this order, by what
 * gpuvm_reserve() has reserved; else by free nodes; else, outside signalling sections (fence.h), by
 * memory got as with GFP_KERNEL, keeping the lock. So a user who changes the VM in a section
 * reserves before it; others need not care. Removing uses nothing that is reserved, and never
 * fails: without memory the place is held by an empty marker, which reads as nothing and goes with
 * the next change there or gpuvm_sweep().
 *
 * Errors: 0 or a negative errno; on an error nothing has changed.
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
 * What an object's users lock before they depend on where its memory is, and the fences that
 * whoever moves it must wait for. Objects may share one; a VM has one through its r_obj. CONTEXT:
 * sleeping locks that are held while memory is allocated: never within a signalling section.
 */
enum gpuvm_usage {
	GPUVM_USAGE_KERNEL,   /* moves and clears of the memory itself: everybody waits */
	GPUVM_USAGE_WRITE,    /* readers and writers wait */
	GPUVM_USAGE_READ,     /* writers wait */
	GPUVM_USAGE_BOOKKEEP, /* only who takes the memory away waits */
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
/* Drops the fences, and frees. Nobody holds the lock or will take it. */
MT_API void gpuvm_resv_fini(struct gpuvm_resv *resv);
MT_API void gpuvm_resv_lock(struct gpuvm_resv *resv);
MT_API bool gpuvm_resv_trylock(struct gpuvm_resv *resv);
MT_API void gpuvm_resv_unlock(struct gpuvm_resv *resv);
MT_API bool gpuvm_resv_is_held(const struct gpuvm_resv *resv);
/*
 * Makes room for @nr fences more, which gpuvm_resv_add() then cannot fail for: 0 or -ENOMEM.
 * Signalled fences give their slots up first. Promises add up, and end when the lock is released.
 * Lock held. Allocates, and may free.
 */
MT_API int gpuvm_resv_reserve(struct gpuvm_resv *resv, unsigned int nr);
/* Takes a reference to @f. Lock held, slot reserved. */
MT_API void gpuvm_resv_add(struct gpuvm_resv *resv, struct fence *f, enum gpuvm_usage usage);
/*
 * Waits for all fences of @usage or a stronger (smaller) one, also those added while it waits; as
 * fence_wait(). Lock held or not; if not, it is taken for each look, and waited for however long
 * that takes. Who must not wait for it tries to get it before.
 */
MT_API int gpuvm_resv_wait(struct gpuvm_resv *resv, enum gpuvm_usage usage, int64_t timeout_ns);

/*
 * ---- Objects ----------------------------------------------------------------------------------
 */
/* What can be mapped. The user embeds it; counted references. */
struct gpuvm_object {
	unsigned int refs;       /* GUARD atomic */
	uint64_t size;           /* 0: not stated */
	struct gpuvm_resv *resv; /* own, or another's */
	struct gpuvm_resv own_resv;
	/*
	 * GUARDs the list of pairs and, of each pair, the list of mappings. Never held while memory
	 * is allocated, so it may be taken in a signalling section.
	 */
	struct mt_lock lock;
	struct gpuvm_list pairs;
	/*
	 * After the last reference, unless NULL; may sleep. A transaction has unlocked all when it
	 * drops its own. But pairs are put under reservation locks: with GPUVM_RESV_PROTECTED by
	 * whoever puts one for the last time, under the VM's; and by gpuvm_exec_lock() and
	 * gpuvm_validate(), which hold one after the other. If that is the last of a pair, and
	 * nobody has a reference to the object, this is called with these locks held. (Bind queues
	 * have one, and do not.)
	 */
	void (*free)(struct gpuvm_object *obj);
};

/* One reference. @resv NULL: its own. @size 0: the library does not check offsets against it. */
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
 * One mapping. The user embeds and owns it; it stays allocated until it is out of the VM, unlinked,
 * no list of operations that names it will be used, and every reader that may have found it has
 * left its section. Not reference counted. Of a new one he writes vm_bo, NULL, and flags; the
 * functions below write the rest.
 */
struct gpuva {
	struct gpuvm *vm;       /* set by gpuva_insert() */
	struct gpuvm_bo *vm_bo; /* the pair it is linked to, or NULL */
	/* GUARD atomic; of these the library reads none but GPUVA_SPARSE of a request. */
	unsigned int flags;
	/* GUARD writes: VM lock. Of the pair, when linked by a queue: private */
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
 * @keep: the new mapping continues the old one in the same object, so the page-table entries of
 * what they share may stay as they are.
 */
struct gpuva_op_unmap {
	struct gpuva *va;
	bool keep;
};

/*
 * Cut: @unmap goes, and what is left of it in front, @prev, and behind, @next, comes. Either may be
 * NULL, not both.
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

/* All are optional but vm_free; op_alloc and op_free, vm_bo_alloc and vm_bo_free only together. */
struct gpuvm_ops {
	/*
	 * The last reference is gone; the user frees what the VM is part of. May sleep. The VM has
	 * put its r_obj before, so this may free that with it; and to look at it, or at
	 * gpuvm_resv(), wants a reference of one's own.
	 */
	void (*vm_free)(struct gpuvm *vm);
	/*
	 * Let a user embed operations, and pairs, at the beginning of his own structure. NULL: no
	 * memory. The memory need not be zeroed. vm_bo_free comes after a grace period, on a thread
	 * of the library; the VM and the object may be gone by then. It must not wait for anything:
	 * whoever waits for a grace period, as runs of bind queues may, waits for that thread.
	 */
	struct gpuva_op *(*op_alloc)(void);
	void (*op_free)(struct gpuva_op *op);
	struct gpuvm_bo *(*vm_bo_alloc)(void);
	void (*vm_bo_free)(struct gpuvm_bo *vm_bo);
	/*
	 * Makes the object resident again and calls gpuvm_bo_evict(vm_bo, false). 0 or a negative
	 * errno. May do the same for other pairs, and put any: the one it is about lasts for the
	 * call.
	 */
	int (*vm_bo_validate)(struct gpuvm_bo *vm_bo, struct gpuvm_exec *exec);
	/*
	 * The steps of gpuvm_sm_map() and gpuvm_sm_unmap(); the operation lives for the call only.
	 */
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
	GPUVM_IMMEDIATE_MODE = 1 << 1, /* reserved; no effect: every VM works so */
	GPUVM_USERBITS = 1 << 2,
};

/* Private, but for what the accessors give. The user embeds it. */
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
 * Makes @vm ready, with one reference: [start, start + range), of which [reserve_start, +
 * reserve_range) (range 0: none) is kept for the user's own purposes: it counts as occupied, and no
 * mapping or request may overlap it. It need not lie inside. @name is not copied; NULL becomes
 * "unknown". @r_obj, whose reservation lock becomes the VM's, gets a reference. 0; -EINVAL for a
 * range that overflows, for no r_obj, no ops or no vm_free; -ENOMEM (a reserved region needs a
 * node). On an error nothing is initialised. Look-ups need no lock from the start (RCU, the default
 * flavour). CONTEXT: may allocate.
 */
MT_API int gpuvm_init(struct gpuvm *vm, const char *name, unsigned int flags, void *dev,
		      struct gpuvm_object *r_obj, uint64_t start, uint64_t range,
		      uint64_t reserve_start, uint64_t reserve_range, const struct gpuvm_ops *ops);

/*
 * To be called, if at all, between gpuvm_init() and the first other use: every address, range and
 * offset must be a multiple of @align, a power of two (-EINVAL otherwise); nodes come from @mem,
 * which must outlive the VM; the lock is @lock, any pointer, of which @is_held tells whether the
 * calling thread holds it (NULL: not known). -EBUSY once there are mappings, or bind queues; for
 * the latter two also while memory is reserved (gpuvm_reserve()). CONTEXT: gpuvm_set_mem() may
 * allocate.
 */
MT_API int gpuvm_set_align(struct gpuvm *vm, uint64_t align);
MT_API int gpuvm_set_mem(struct gpuvm *vm, struct mt_mem *mem);
MT_API int gpuvm_set_lock(struct gpuvm *vm, void *lock, bool (*is_held)(void *lock));

/*
 * Counted references. Each mapping in the VM, each pair and each queue holds one, so whoever
 * created it must remove and unlink all mappings first. The last put drops r_obj, whose free must
 * leave the VM alone, then calls ops->vm_free. It may sleep. NULL is fine for both.
 */
MT_API struct gpuvm *gpuvm_get(struct gpuvm *vm);
MT_API void gpuvm_put(struct gpuvm *vm);

/* The internal lock; not to be taken where gpuvm_set_lock() named another. */
MT_API void gpuvm_lock(struct gpuvm *vm);
MT_API void gpuvm_unlock(struct gpuvm *vm);
MT_API bool gpuvm_is_locked(const struct gpuvm *vm);

/* A read-side section of the VM. Nests. Never blocks. */
MT_API void gpuvm_read_lock(const struct gpuvm *vm);
MT_API void gpuvm_read_unlock(const struct gpuvm *vm);
/*
 * Waits until all read-side sections that are open now are left. CONTEXT: SLEEP yes; not within
 * one, nor within a signalling section.
 */
MT_API void gpuvm_synchronize(const struct gpuvm *vm);

/*
 * Is it free of overflow, inside the managed interval and clear of the reserved region? Range 0 is
 * not valid.
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
/* Reports misuse in debug builds. */
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
 * Changes of the index that a map and an unmap come to at most, done step by step with the
 * functions below.
 */
#define GPUVM_MAP_CHANGES 3
#define GPUVM_UNMAP_CHANGES 2

/*
 * Reserves nodes for @nr changes of the index more, whatever happens to it in between: 0, -ENOMEM,
 * or -EOVERFLOW as of mt_credits_reserve(). gpuva_insert(), gpuva_map() and gpuva_remap() each use
 * one, or none; removing uses none. gpuvm_unreserve() gives back what is left. CONTEXT: SLEEP yes,
 * lock not held (with gpuvm_set_lock(): held). Recycling credits (credits.h): call
 * gpuvm_begin(vm, nr) before taking the lock to use up to @nr of them, MT_CREDITS_BATCH (64) at
 * most; it may wait for a grace period. With an external lock it is called before that lock is
 * taken, too. What is reserved and not begun is left alone. From gpuvm_begin() to the last of the
 * changes the reserve is one thread's: where several change a VM they agree on whose.
 */
MT_API int gpuvm_reserve(struct gpuvm *vm, unsigned long nr);
MT_API void gpuvm_begin(struct gpuvm *vm, unsigned long nr);
MT_API void gpuvm_unreserve(struct gpuvm *vm);
MT_API unsigned long gpuvm_reserved(const struct gpuvm *vm);
/*
 * Removes empty markers as far as there is memory: 0, or -ENOMEM with some left. CONTEXT: lock
 * held; may allocate, keeping it, outside signalling sections.
 */
MT_API int gpuvm_sweep(struct gpuvm *vm);

/*
 * ---- Changing the index -----------------------------------------------------------------------
 */
/* CONTEXT: HOLDS the VM's lock. None of these sleeps, outside what "Memory" above says. */

/* Write addr, range, obj and offset, nothing else. */
MT_API void gpuva_init(struct gpuva *va, uint64_t addr, uint64_t range, struct gpuvm_object *obj,
		       uint64_t offset);
MT_API void gpuva_init_from_op(struct gpuva *va, const struct gpuva_op_map *op);

/*
 * Into the VM, which it takes a reference to: 0; -EINVAL: the range is not valid, or not aligned,
 * or offset + range is beyond the size that the object states; -EEXIST: something overlaps;
 * -ENOMEM.
 */
MT_API int gpuva_insert(struct gpuvm *vm, struct gpuva *va);
/*
 * Out of the VM, whose reference it drops (hold one of your own: it may be the last). Its fields
 * stay. Does not unlink. On the reserved region: reported in debug builds, no effect.
 */
MT_API void gpuva_remove(struct gpuva *va);
/* gpuva_init_from_op() and gpuva_insert(). */
MT_API int gpuva_map(struct gpuvm *vm, struct gpuva *va, const struct gpuva_op_map *op);
/*
 * Takes op->unmap->va out and puts @prev and @next in where the operation has them; the other
 * argument is not looked at. Readers see all of it at once. 0 or -ENOMEM, and nothing has changed
 * but what gpuva_init_from_op() writes.
 */
MT_API int gpuva_remap(struct gpuva *prev, struct gpuva *next, const struct gpuva_op_remap *op);
/* gpuva_remove(op->va). */
MT_API void gpuva_unmap(const struct gpuva_op_unmap *op);

/*
 * ---- Looking things up ------------------------------------------------------------------------
 */
/*
 * CONTEXT: HOLDS the VM's lock, or inside a read-side section, where each call sees some state
 * between its beginning and its end; but for one that passes over the reserved region or over
 * markers, which is several look-ups, one behind the other (docs/concurrency.md, U). None waits,
 * allocates or writes, but for gpuvm_find_hole(); and in a step of gpuvm_sm_map() what the steps
 * have done is stored first. Ranges are not checked; range 0 finds nothing.
 */

/*
 * The mapping that covers @addr, or NULL: how a page fault is answered. Never the reserved region.
 * Never waits.
 */
MT_API struct gpuva *gpuvm_find(struct gpuvm *vm, uint64_t addr);
/* The mapping with exactly this address and range, the reserved region included. */
MT_API struct gpuva *gpuva_find(struct gpuvm *vm, uint64_t addr, uint64_t range);
/* The lowest mapping that overlaps, the reserved region included. */
MT_API struct gpuva *gpuva_find_first(struct gpuvm *vm, uint64_t addr, uint64_t range);
/*
 * The mapping that covers @start - 1, and the one that covers @end; NULL for a gap, outside, or
 * reserved.
 */
MT_API struct gpuva *gpuva_find_prev(struct gpuvm *vm, uint64_t start);
MT_API struct gpuva *gpuva_find_next(struct gpuvm *vm, uint64_t end);
/* Does nothing overlap? The reserved region does. */
MT_API bool gpuvm_interval_empty(struct gpuvm *vm, uint64_t addr, uint64_t range);

/*
 * Iteration: the lowest mapping that overlaps [start, end), then the next behind @va that begins
 * below @end. The reserved region is skipped. The safe forms know the next one before the body,
 * which may then remove the current one and insert others.
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
 * Prints the VM, and each of its mappings on a line. The form may change. CONTEXT: as the others;
 * but that lock is held, or that section open, while it prints, which may wait and allocate.
 */
MT_API void gpuvm_dump(struct gpuvm *vm, FILE *out);

enum gpuvm_hole {
	GPUVM_HOLE_LOW,  /* the lowest place */
	GPUVM_HOLE_HIGH, /* the highest */
};

/*
 * Finds @size free units at a multiple of @align (0 and 1: any), and of what gpuvm_set_align() has
 * said, inside [start, end) and the managed interval, and says where in *@addr. Nothing is taken:
 * insert a mapping there under the same lock. 0; -ENOSPC; -EINVAL: size 0, align no power of two.
 * Gaps that are too small are skipped all at once, those that are large enough and hold no multiple
 * of @align are looked at one by one, one for each multiple at most: keep what is aligned in a part
 * of the space of its own. CONTEXT: HOLDS the VM's lock; sweeps empty markers first, and so may
 * allocate, as gpuvm_sweep(). With queues it leaves markers alone, and TAKES the lock where it is
 * not held: what is queued may then take the place first.
 */
MT_API int gpuvm_find_hole(struct gpuvm *vm, uint64_t *addr, uint64_t size, uint64_t align,
			   uint64_t start, uint64_t end, enum gpuvm_hole where);

/*
 * ---- Split and merge --------------------------------------------------------------------------
 */
/*
 * CONTEXT of all: HOLDS the VM's lock. None sleeps, outside what "Memory" above says and what steps
 * do. Rules and drawings: docs/gpuvm.md.
 */

/*
 * Calls the steps that make [addr, addr + range) a mapping of @obj from @offset: a remap or an
 * unmap for every mapping that is overlapped, ascending, then one map. They are to do it with the
 * functions above. The first result that is not 0 ends the walk and is returned; what earlier steps
 * did stays. -EINVAL: a step callback is missing, or what gpuva_insert() would refuse.
 *
 * Where the steps do what their operations say, with gpuva_unmap(), gpuva_remap() and gpuva_map()
 * on these very operations, all of them come to one change of the index (and use one of those
 * reserved), made by the map step or at the end. So a reader without the lock may find what a step
 * has taken out until this function returns: the grace period for its memory begins then. It sees
 * the whole request at one moment, or, if an unmap has found no memory, one mapping after another.
 * The thread itself sees what its steps have done.
 */
MT_API int gpuvm_sm_map(struct gpuvm *vm, void *priv, uint64_t addr, uint64_t range,
			struct gpuvm_object *obj, uint64_t offset);
/* The same for removing; no map step, and keep is never set. */
MT_API int gpuvm_sm_unmap(struct gpuvm *vm, void *priv, uint64_t addr, uint64_t range);

/*
 * The same steps as a list, to be worked off in order before another list is made. It names
 * mappings, which it only borrows. NULL and *@err (unless NULL) -EINVAL or -ENOMEM. Every list
 * wants one gpuva_ops_free(). CONTEXT: allocates.
 */
MT_API struct gpuva_ops *gpuvm_sm_map_ops_create(struct gpuvm *vm, uint64_t addr, uint64_t range,
						 struct gpuvm_object *obj, uint64_t offset,
						 int *err);
MT_API struct gpuva_ops *gpuvm_sm_unmap_ops_create(struct gpuvm *vm, uint64_t addr, uint64_t range,
						   int *err);
/*
 * One prefetch for each mapping that overlaps, whole, ascending; the reserved region is skipped.
 * The range is not checked: range 0 gives an empty list, and what goes beyond the end of the space
 * ends there (bind_queue.h's BIND_PREFETCH refuses both). So *@err is -ENOMEM, if anything.
 */
MT_API struct gpuva_ops *gpuvm_prefetch_ops_create(struct gpuvm *vm, uint64_t addr, uint64_t range,
						   int *err);
/*
 * One unmap for each mapping linked to the pair, in the order of linking. HOLDS the object's lock,
 * too, which is released while it allocates, and retaken: the caller has a reference to the pair.
 */
MT_API struct gpuva_ops *gpuvm_bo_unmap_ops_create(struct gpuvm_bo *vm_bo, int *err);
MT_API void gpuva_ops_free(struct gpuvm *vm, struct gpuva_ops *ops);

/* What a remap really vacates. Either pointer may be NULL. */
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
 * to the pair. Its last put takes it off all lists and drops the two; its own memory is freed after
 * a grace period. So it may sleep: not within a signalling section. With GPUVM_RESV_PROTECTED the
 * last put of a pair that is on a list of the VM wants the VM's resv held, and so does
 * gpuva_unlink(), whose put may be the last.
 */
struct gpuvm_bo {
	struct gpuvm *vm;
	struct gpuvm_object *obj;
	unsigned int refs; /* GUARD atomic */
	bool evicted;      /* GUARD object's resv */
	/* GUARD writes: VM lock; ORDER epoch: mappings linked before it are gone. */
	unsigned int epoch;
	unsigned int hides; /* GUARD VM lock: moves of it that a queue's job is to make: private */
	unsigned long
		hidden_at; /* GUARD VM lock: which of its operations wants the last one: private */
	struct {
		struct gpuvm_list gpuva; /* GUARD object lock: mappings, in the order of linking */
		struct gpuvm_list gem;   /* GUARD object lock: in the object's list */
		struct gpuvm_list extobj, evict; /* GUARD list lock, or the VM's resv */
	} list;
	void *rcu[3]; /* until a grace period is over: private */
};

/*
 * A new pair on no list, one reference; NULL when out of memory. Its object counts as resident: if
 * it is not, gpuvm_bo_evict() comes next. CONTEXT: allocates.
 */
MT_API struct gpuvm_bo *gpuvm_bo_create(struct gpuvm *vm, struct gpuvm_object *obj);
/*
 * One reference more; and one less: true if that was the last. NULL is fine for both. CONTEXT of
 * put: TAKES the object's lock.
 */
MT_API struct gpuvm_bo *gpuvm_bo_get(struct gpuvm_bo *vm_bo);
MT_API bool gpuvm_bo_put(struct gpuvm_bo *vm_bo);
/* The pair on the object's list, with a reference, or NULL. CONTEXT: HOLDS the object's lock. */
MT_API struct gpuvm_bo *gpuvm_bo_find(struct gpuvm *vm, struct gpuvm_object *obj);
/*
 * The same, or a new one put on the list; NULL when out of memory. Both look through the object's
 * pairs, one for each VM that it is in. CONTEXT: takes the object's lock, and allocates without it;
 * the VM's resv need not be held.
 */
MT_API struct gpuvm_bo *gpuvm_bo_obtain(struct gpuvm *vm, struct gpuvm_object *obj);
/*
 * With a pair made by gpuvm_bo_create(): puts it on the object's list and returns it; or, where
 * there is one already, returns that with a reference, and *@spare is the one given, for the caller
 * to put where that may sleep; it is on no list, so the VM's resv need not be held. Never fails,
 * allocates nothing. CONTEXT: takes the object's lock; any, also a signalling section.
 */
MT_API struct gpuvm_bo *gpuvm_bo_obtain_prealloc(struct gpuvm_bo *vm_bo, struct gpuvm_bo **spare);

/*
 * Puts the pair on the list of external objects, if its object is one. With GPUVM_RESV_PROTECTED:
 * VM's resv held.
 */
MT_API void gpuvm_bo_extobj_add(struct gpuvm_bo *vm_bo);
/*
 * Notes that the object's memory is (not) away, to be validated. CONTEXT: object's resv held. With
 * GPUVM_RESV_PROTECTED an external object joins, and leaves, the VM's list only when the VM is next
 * locked or validated.
 */
MT_API void gpuvm_bo_evict(struct gpuvm_bo *vm_bo, bool evict);
/* The same for every pair of the object, in all VMs. TAKES the object's lock. */
MT_API void gpuvm_bo_gem_evict(struct gpuvm_object *obj, bool evict);

/*
 * Links @va to the pair of its object: appended to the list, a reference. No object: nothing. HOLDS
 * the object's lock.
 */
MT_API void gpuva_link(struct gpuva *va, struct gpuvm_bo *vm_bo);
/*
 * Unlinks it and drops the pair's reference; if that is the last the pair goes. CONTEXT: HOLDS the
 * object's lock, which is released and retaken then (the caller holds a reference to the object);
 * not within a signalling section.
 */
MT_API void gpuva_unlink(struct gpuva *va);
/*
 * Unlinks it and hands the pair to the caller, to be put where that is allowed; NULL if it was not
 * linked. Any section.
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
 * A transaction that locks the reservation locks of a VM and of its objects, in any order, without
 * deadlock: when one is contended it lets go of all and begins again with that one. Set vm,
 * num_fences, flags and extra, zero the rest.
 */
enum {
	GPUVM_EXEC_INTERRUPTIBLE = 1 << 0,     /* -EINTR when a signal handler runs meanwhile */
	GPUVM_EXEC_IGNORE_DUPLICATES = 1 << 1, /* a lock asked for twice is fine; else -EALREADY */
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

/* 0; -ENOMEM, -EINTR, -EALREADY, or what extra.fn returned: then nothing is locked. */
MT_API int gpuvm_exec_lock(struct gpuvm_exec *exec);
MT_API int gpuvm_exec_lock_array(struct gpuvm_exec *exec, struct gpuvm_object *const objs[],
				 unsigned int nr);
/*
 * Only the objects mapped in the range: neither the VM's own, nor what extra.fn, which is not
 * called, would ask for. CONTEXT: HOLDS the VM's lock.
 */
MT_API int gpuvm_exec_lock_range(struct gpuvm_exec *exec, uint64_t addr, uint64_t range);
/* Unlocks all, and then drops its references to the objects. */
MT_API void gpuvm_exec_unlock(struct gpuvm_exec *exec);
/*
 * For extra.fn: locks @obj and reserves @nr slots. Returns what extra.fn must return if it is not
 * 0.
 */
MT_API int gpuvm_exec_prepare_obj(struct gpuvm_exec *exec, struct gpuvm_object *obj,
				  unsigned int nr);
/*
 * The parts of gpuvm_exec_lock(), for extra.fn: the VM's r_obj; all external objects (with
 * GPUVM_RESV_PROTECTED after the former); a range's objects.
 */
MT_API int gpuvm_prepare_vm(struct gpuvm *vm, struct gpuvm_exec *exec, unsigned int nr);
MT_API int gpuvm_prepare_objects(struct gpuvm *vm, struct gpuvm_exec *exec, unsigned int nr);
MT_API int gpuvm_prepare_range(struct gpuvm *vm, struct gpuvm_exec *exec, uint64_t addr,
			       uint64_t range, unsigned int nr);
/*
 * Calls ops->vm_bo_validate for every evicted pair, in list order, up to the first error, which it
 * returns; pairs not reached or not cleared stay listed. -EOPNOTSUPP without the callback. CONTEXT:
 * all objects locked. (Without GPUVM_RESV_PROTECTED a job's submit, or gpuvm_bo_extobj_add(), may
 * bring another external one meanwhile; if its resv is not held it is passed over, and stays
 * listed.) Puts pairs, and so may free.
 */
MT_API int gpuvm_validate(struct gpuvm *vm, struct gpuvm_exec *exec);
static inline int gpuvm_exec_validate(struct gpuvm_exec *exec)
{
	return gpuvm_validate(exec->vm, exec);
}
/*
 * Adds the fence to all that is locked, with @ext_usage for external objects. The slots are
 * reserved: cannot fail.
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
