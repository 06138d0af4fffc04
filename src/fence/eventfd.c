/* SPDX-License-Identifier: MIT */
/*
 * Eventfds that become readable with a fence.
 *
 * The caller closes its descriptor whenever it likes, and its number may be another file's by the
 * time the fence is signalled. So the fence writes to a duplicate of its own. Closing that, and
 * freeing the record, has to wait for the fence's last reference, since neither is allowed where a
 * fence may be signalled.
 */
#include "fence/fence_internal.h"

#include "base/thread.h"
#include "mem/heap.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct smri_eventfd {
	struct smri_eventfd *next; /* GUARD the fence's lock until it is signalled, then constant */
	int fd;                    /* constant */
};

/*
 * Cannot fail: the count is at most 1 unless the caller has written to it, and then it is readable
 * anyway.
 */
static void ring(int fd)
{
	const uint64_t one = 1;
	int cancel = smr_cancel_off();
	ssize_t written = write(fd, &one, sizeof(one));

	(void)written;
	smr_cancel_restore(cancel);
}

void smri_eventfd_ring(const struct fence *f)
{
	int saved = errno;

	for (const struct smri_eventfd *e = f->eventfds; e; e = e->next)
		ring(e->fd);
	errno = saved;
}

static void close_fd(int fd)
{
	int cancel = smr_cancel_off();

	close(fd);
	smr_cancel_restore(cancel);
}

static void drop(struct smri_eventfd *e)
{
	close_fd(e->fd);
	smr_heap_free(e);
}

void smri_eventfd_drop(struct fence *f)
{
	struct smri_eventfd *next;

	for (struct smri_eventfd *e = f->eventfds; e; e = next) {
		next = e->next;
		drop(e);
	}
}

/*
 * Returns false if the fence is signalled already and will not write to @e. CONTEXT: TAKES fence.
 */
static bool attach(struct fence *f, struct smri_eventfd *e)
{
	bool pending;

	mt_lock_acquire(&f->lock);
	pending = smr_load(&f->state, RELAXED) != SMRI_FENCE_SIGNALED;
	if (pending) {
		e->next = f->eventfds;
		f->eventfds = e;
	}
	mt_lock_release(&f->lock);
	return pending;
}

int fence_eventfd(struct fence *f)
{
	struct smri_eventfd *e = smr_heap_alloc(sizeof(*e));
	int fd, err;

	if (!e)
		return -ENOMEM;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0) {
		err = -errno;
		goto free;
	}
	e->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (e->fd < 0) {
		err = -errno;
		goto close;
	}
	if (!attach(f, e)) {
		ring(fd);
		drop(e);
	}
	return fd;

close:
	close_fd(fd);
free:
	smr_heap_free(e);
	return err;
}
