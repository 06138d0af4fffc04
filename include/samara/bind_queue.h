/* SPDX-License-Identifier: MIT */
/*
 * Bind queues: map and unmap requests that are accepted now and run later, where nothing may
 * allocate, wait for memory, or fail.
 *
 *	submit   validates everything, reserves everything, and queues. May sleep. May fail; then
 *	         nothing has changed.
 *	run      later, on a worker thread, once the job's in-fences are signalled and the jobs
 *	         before it in its queue are done: in a signalling section (fence.h) all operations
 *	         are applied to the VM in one transaction, the driver's steps are called, and the
 *	         out-fences are signalled.
 *	clean up afterwards, on a thread that may sleep again: what was reserved and not used
 *	         goes back, mappings that were removed are freed after a grace period, references
 *	         are dropped. In the order of the runs; no run and no fence waits for it.
 *
 * What a job's operations do depends on the VM as it is when the job runs, whatever ran before it.
 * The most that they can need follows from their kinds alone, and that is reserved: mappings, a
 * pair of VM and object, tree nodes (a credit for each), the job itself. So an accepted job never
 * fails for lack of resources.
 *
 * Order. Jobs of one queue start and complete in the order of submission. Only fences order jobs of
 * different queues. Each job is atomic to all other jobs and, except for what bind_queue_submit()
 * says of BIND_UNMAP_ALL, to readers without a lock: they see none of it or all of it. Operations
 * of one job are applied in order, each seeing the ones before it.
 *
 * Errors: 0 or a negative errno. A function with ALLOC yes in its CONTEXT must not be called in
 * signalling sections, one with SLEEP yes neither there nor in read-side sections. Everything here
 * is safe to call from any thread. But a child of fork() has none of its parent's workers, so jobs
 * do not run there, and waiting for one never ends: it must leave its parent's pools, queues and
 * VMs with queues alone. It can make its own.
 */
#ifndef SAMARA_BIND_QUEUE_H
#define SAMARA_BIND_QUEUE_H

#include <samara/fence.h>
#include <samara/gpuvm.h>

MT_BEGIN_DECLS

/*
 * ---- Workers ----------------------------------------------------------------------------------
 */

struct bind_workers;

/*
 * A pool of @nr threads (1 to 1024) that run jobs, of any number of VMs, and of as many threads
 * that clean up after them. At most one of each works for a VM at a time, so to keep the other VMs
 * going, let @nr exceed the number of VMs whose callbacks may block at once. The threads have the
 * scheduling policy, nice value and CPUs of the caller. NULL when out of memory or threads.
 * CONTEXT: ALLOC yes.
 */
MT_API struct bind_workers *bind_workers_create(unsigned int nr);
/*
 * Ends the threads. No VM may use the pool any more. NULL is fine. CONTEXT: SLEEP yes, waits for
 * the threads; not within a callback.
 */
MT_API void bind_workers_destroy(struct bind_workers *workers);

/*
 * ---- Requests ---------------------------------------------------------------------------------
 */

enum bind_op_type {
	BIND_MAP,   /* [addr, addr + range) becomes obj from offset on, over whatever is there */
	BIND_UNMAP, /* what is mapped in [addr, addr + range) goes; mappings at its ends are cut */
	BIND_UNMAP_ALL, /* all mappings of obj go; addr, range and offset are 0 */
	BIND_PREFETCH,  /* a prefetch step for each mapping that overlaps [addr, addr + range) */
};

struct bind_op {
	enum bind_op_type type;
	unsigned int flags; /* BIND_MAP: of the new mapping; GPUVA_SPARSE: no object, offset 0 */
	uint64_t addr, range;
	struct gpuvm_object *obj; /* BIND_MAP: NULL for sparse, or the user's own memory */
	uint64_t offset;
};

/*
 * What to wait for, or to signal: a fence, or else a value of a timeline. If something else moves a
 * timeline to an out-value before the job is over, the timeline stays as it is and the job's error
 * is lost. The error is also lost to those who ask for the fence of a value after it is reached. If
 * you must know of errors, use fences, or get the fences of the values beforehand.
 */
struct bind_sync {
	struct fence *fence;
	struct timeline *timeline;
	uint64_t value;
};

enum {
	/*
	 * Return only when the job is done and cleaned up, with its result; no in- or out-fences.
	 * Waiting for an out-fence instead ends sooner.
	 */
	BIND_SYNC = 1 << 0,
	/*
	 * -ENOSPC instead of waiting for room below the VM's bounds, -ENOMEM instead of waiting for
	 * memory of other jobs. Submit still sleeps as getting memory requires (GFP_KERNEL: a page
	 * source, and at an arena's limit a grace period), and for reservation locks.
	 */
	BIND_NONBLOCK = 1 << 1,
};

/* The caller's memory, used only during the call; all but bad_op is only read. */
struct bind_job {
	const struct bind_op *ops;
	unsigned int nr_ops;
	unsigned int nr_in, nr_out;
	const struct bind_sync *in, *out;
	unsigned int flags;
	/*
	 * Out: with -EINVAL, or an error of prepare, the index of the operation; nr_ops: the job
	 * itself. UINT_MAX: the job was accepted, and the error returned is its result.
	 */
	unsigned int bad_op;
};

/*
 * ---- The driver's side ------------------------------------------------------------------------
 */

/*
 * One step of an operation, in the order of gpuvm_sm_map(): remaps and unmaps ascending, then the
 * map.
 */
struct bind_step {
	const struct gpuva_op *op;       /* valid only during the call */
	struct gpuva *map, *prev, *next; /* the new mappings it names, where it has them */
	unsigned int index;              /* of the operation in its job */
	void *cookie;                    /* what prepare noted for the operation */
};

/* All are optional. finish and va_release may be called concurrently with a later job's run. */
struct bind_ops {
	/*
	 * At submit, for each operation: reserves what its steps will need, such as page-table
	 * memory, and notes it in *@cookie. May sleep. 0; -ENOMEM, -ENOSPC or another errno, which
	 * becomes the result of the submit.
	 */
	int (*prepare)(struct gpuvm *vm, const struct bind_op *op, void **cookie, void *priv);
	/*
	 * In the run, after the VM has changed and before the out-fences are signalled, in the
	 * order of the operations; no lock of the library is held. gpuva_op_remap_to_unmap_range()
	 * gives a remap's hole. 0, or a negative errno, -1 to -4095: the VM is banned. Anything
	 * else counts as -EINVAL, and debug builds abort; the same goes for prepare.
	 * CONTEXT: a signalling section.
	 */
	int (*step)(struct gpuvm *vm, const struct bind_step *step, void *priv);
	/*
	 * For each *@cookie that prepare gave, when the job is over, was not accepted, or was
	 * cancelled. May sleep.
	 */
	void (*finish)(struct gpuvm *vm, void *cookie, void *priv);
	/*
	 * First and last in the signalling section of a run, on the worker's thread; also for jobs
	 * without steps: those without operations, or cancelled.
	 */
	void (*run_begin)(struct gpuvm *vm, void *priv);
	void (*run_end)(struct gpuvm *vm, void *priv);
	/*
	 * No reader can see the mapping any more, and its memory is about to be reused: release the
	 * driver's part of it. May sleep.
	 */
	void (*va_release)(struct gpuva *va, void *priv);
};

/*
 * ---- The VM -----------------------------------------------------------------------------------
 */

struct bind_config {
	size_t size;                  /* of this struct: sizeof(struct bind_config) */
	struct bind_workers *workers; /* NULL: a pool of two, which all VMs without workers share */
	const struct bind_ops *ops;   /* NULL: none. Stays the caller's and must last */
	void *priv;
	/* Of a mapping, which begins with a struct gpuva; 0: just that. The rest begins zeroed. */
	size_t va_size;
	/*
	 * Back-pressure: submit waits while more jobs, operations or bytes (of memory reserved for
	 * jobs that are not over) than these would be outstanding, unless no job is. 0: no bound. A
	 * waiting submit is let in as soon as there is room for its job, the longest waiting first;
	 * smaller jobs pass one that finds no room, perhaps for ever. Jobs that fill the bound may
	 * also wait for ever for fences of a job that finds no room.
	 */
	unsigned long max_jobs, max_ops;
	size_t max_bytes;
	/*
	 * Not 0: the strict level. The VM is created with this limit of live mappings, and
	 * everything for them, and for max_jobs and max_ops, which then must not be 0, is paid for
	 * now: mappings, records, and all nodes that the index can come to. From then on an unmap
	 * does not get -ENOMEM for any of these, whatever others have used up. A job that could
	 * take the VM beyond the limit, even an unmap, gets -ENOSPC, unless the VM has no room for
	 * more mappings (range / alignment); so does a job of more than max_ops operations. A
	 * submit may sleep until readers release mappings (BIND_NONBLOCK: -ENOMEM). What belongs to
	 * others is not paid for: a map's pair, completion and its slot; the fence of an in-fence
	 * that is a timeline's value; fences beyond four per job, counted over max_jobs together;
	 * what prepare gets.
	 */
	unsigned long max_mappings;
};

/*
 * From now on queues drive @vm, which must have no mappings and use the internal lock. 0; -EINVAL:
 * a bad config, or an external lock; -EBUSY: it has mappings or reserved memory, or has or had
 * queues; -ENOMEM. Holds a reference to @vm until bind_vm_close(). CONTEXT: ALLOC yes. TAKES the
 * VM's lock.
 */
MT_API int bind_vm_init(struct gpuvm *vm, const struct bind_config *config);

enum bind_close {
	BIND_CANCEL, /* jobs that have not begun complete with -ECANCELED */
	BIND_DRAIN,  /* all jobs run; waits for their in-fences */
};

/*
 * Refuses new submits (-ENOENT), lets jobs finish as @how says, removes all mappings (without
 * steps: the driver drops its page tables as a whole), waits until their memory is free, and drops
 * the reference. Queues stay; their owners must destroy them before the VM's last reference goes.
 * 0, or -ENOENT when it is closed already: then BIND_CANCEL cancels what another thread may be
 * draining, and does not wait. CONTEXT: SLEEP yes; not within a read-side or signalling section, a
 * callback of @vm, nor with a lock held that clean-up may take: a reservation lock (with
 * GPUVM_RESV_PROTECTED certainly the VM's), or one of the driver's.
 */
MT_API int bind_vm_close(struct gpuvm *vm, enum bind_close how);

/*
 * A VM is banned when a step fails, or by this call. Then every submit, unmaps included, returns
 * -ENOENT; jobs that have not begun complete in order, with -ECANCELED, and do not touch the VM;
 * all that they had reserved comes back; bind_vm_close() works.
 */
MT_API void bind_vm_ban(struct gpuvm *vm);
MT_API bool bind_vm_is_banned(const struct gpuvm *vm);

/*
 * Figures of a VM. Units are mappings ("vas"), operations and bytes; each is exact at some moment
 * of the call. A job's outcome is counted at its clean-up, after its out-fences.
 */
struct bind_stats {
	unsigned long jobs, jobs_peak; /* outstanding: accepted and not yet cleaned up */
	unsigned long ops;
	size_t bytes, bytes_peak;
	/* Jobs ever; completed: without an error. */
	unsigned long submitted, completed, failed, canceled;
	unsigned long vas_reserved; /* held by outstanding jobs */
	/* In the VM; out of it and waiting for readers, which no bound counts. */
	unsigned long vas_live, vas_limbo;
	/* Ever; reserved ones that became mappings, and ones that did not. */
	unsigned long vas_used, vas_returned;
	unsigned long grace_waits; /* runs that waited for a grace period before they began */
	unsigned long blocked;     /* submits that waited for room */
	/* Jobs of unmaps or of nothing that the submitter had to run, for lack of memory. */
	unsigned long unmaps_inline;
};

MT_API void bind_vm_stats(struct gpuvm *vm, struct bind_stats *stats);

/*
 * Prints the jobs of each queue that have not begun, in order, and what each waits for, to find out
 * why nothing moves. One line each; the form may change. CONTEXT: ALLOC yes (out of memory it
 * prints only the first line, which says so). No lock is held while it prints.
 */
MT_API void bind_vm_dump(struct gpuvm *vm, FILE *out);

/*
 * ---- Queues -----------------------------------------------------------------------------------
 */

struct bind_queue;

/*
 * A queue on @vm, to which it holds a reference. @name is copied, cut to 31 bytes. On failure NULL,
 * with *@err (unless NULL) -ENOENT, -ENOMEM or -EINVAL. CONTEXT: ALLOC yes.
 */
MT_API struct bind_queue *bind_queue_create(struct gpuvm *vm, const char *name, int *err);

/*
 * Accepts @job, or not:
 *
 *   0           it will run, or (BIND_SYNC) has run; its out-fences will be signalled, with its
 *               error if it has one
 *   -EINVAL     malformed: job->bad_op says which operation. Also a range that gpuva_insert()
 *               would refuse: one that touches the reserved region, goes outside the VM or is not
 *               aligned (a prefetch may be of any range); range 0; an object or an offset with a
 *               sparse map; an object with an unmap; fences with BIND_SYNC
 *   -ENOENT     the VM is banned or closed, or the queue cancelled
 *   -ENOMEM     no memory for what it may need
 *   -ENOSPC     BIND_NONBLOCK and no room below the VM's bounds; the limit of live mappings; or as
 *               prepare said
 *   -EINTR      a signal handler ran while it waited. If the job was not accepted yet, nothing has
 *               changed; a BIND_SYNC job that was accepted still runs, or has run
 *
 * A wait for room, for an in-fence or for the job is one sleep, whatever else goes on in the VM,
 * and a signal handler that runs during it ends it. One that runs before the sleep begins, or after
 * what is waited for has come, is not noticed. A submit that waits for memory looks for some each
 * time something is over; a handler that runs just then is not noticed either.
 *
 * On an error nothing has changed: no mapping, pair, fence, sequence or other job's reservation. If
 * a BIND_SYNC job was accepted, its result is returned, -ECANCELED, a step's error or that -EINTR:
 * then job->bad_op is UINT_MAX.
 *
 * A job without operations is legal: its out-fences follow its in-fences and the jobs before it. An
 * in-fence with an error counts as signalled. One that everybody else drops unsignalled does not:
 * the job has a reference of its own, and stays queued. Ranges with nothing mapped are fine for
 * unmap and prefetch.
 *
 * The job's completion is added to the reservation lock of each object that a BIND_MAP names
 * (GPUVM_USAGE_BOOKKEEP), so that whoever moves the object waits for it. The caller keeps its
 * references; the job has its own.
 *
 * An unmap is never refused for lack of memory as long as others give theirs back: each VM keeps
 * what one unmap needs, and submit waits for that to return. If nothing is outstanding and there is
 * still no memory, the submitter waits for the in-fences and runs the unmap itself; then readers
 * may see one mapping go after another. It gets -ENOMEM only if it must cut a mapping and cannot,
 * is a job of more than 16 operations, or lacks memory for the fence of a timeline's value.
 * BIND_NONBLOCK does the same, but gets -ENOMEM instead of waiting for a job, an in-fence or
 * va_release. Unmaps here are jobs of only BIND_UNMAPs and BIND_UNMAP_ALLs, or without operations.
 *
 * BIND_UNMAP_ALL makes all mappings of the object invisible at one moment, without needing memory.
 * In a job with other operations that moment comes directly before the one at which these become
 * visible.
 *
 * CONTEXT: SLEEP yes, ALLOC yes. TAKES the VM's lock, and the reservation locks of objects named
 * (and the VM's, if that protects its lists). Not within a read-side or signalling section, nor
 * with a lock held that a step takes. If it may wait for a job, for room or for an unmap's memory,
 * not with a lock held that clean-up takes; so within finish or va_release of this VM only with
 * BIND_NONBLOCK. Debug builds report a thread that waits for itself in this way, here and below.
 */
MT_API int bind_queue_submit(struct bind_queue *q, struct bind_job *job);

/*
 * Waits until all jobs submitted before the call are over and cleaned up: 0, -ETIMEDOUT, -EINTR
 * (one sleep, as above). Timeout 0 only looks, and may be used anywhere. CONTEXT: otherwise SLEEP
 * yes; not within a read-side or signalling section, for clean-up waits for readers, nor a callback
 * of the VM, nor with a lock held that clean-up may take: a reservation lock, or one of the
 * driver's. (With one held, wait for the job's fence.)
 */
MT_API int bind_queue_wait(struct bind_queue *q, int64_t timeout_ns);

/*
 * Jobs that have not begun complete, in order, with -ECANCELED; the running one finishes. Later
 * submits get -ENOENT. Does not wait.
 */
MT_API void bind_queue_cancel(struct bind_queue *q);

/*
 * Cancels, waits until all jobs are over and cleaned up, and frees the queue. NULL is fine.
 * CONTEXT: SLEEP yes; otherwise as bind_queue_wait(). Nobody may submit to it any more.
 */
MT_API void bind_queue_destroy(struct bind_queue *q);

MT_API const char *bind_queue_name(const struct bind_queue *q);

MT_END_DECLS

#endif
