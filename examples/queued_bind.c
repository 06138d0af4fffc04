/* SPDX-License-Identifier: MIT */
/*
 * Map and unmap requests that are accepted now and carried out later, by a worker that must neither
 * block nor fail (for example a GPU driver's, on whose progress the freeing of memory may depend).
 * Submitting may do both.
 *
 *   submit map     reserves the range: takes its memory and its place in the tree
 *   run map        stores over exactly the reserved range: needs no memory, cannot fail
 *   run unmap      restores the reservation over exactly the mapped range: needs none, cannot fail
 *   clean up       later, where blocking is fine, frees the reservations that are no longer wanted
 */
#include "expect.h"
#include <errno.h>
#include <pthread.h>
#include <samara/maple_tree.h>

enum op { MAP, UNMAP, STOP };

struct job {
	struct job *next;
	enum op op;
	unsigned long first, last;
	void *object;
};

static struct maple_tree space = MTREE_INIT(space, MT_FLAGS_ALLOC_RANGE);

static struct {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct job *head, **tail; /* GUARD lock */
} queue = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, &queue.head };

static void enqueue(struct job job)
{
	struct job *j = malloc(sizeof(*j));

	EXPECT(j);
	*j = job;
	j->next = NULL;
	pthread_mutex_lock(&queue.lock);
	*queue.tail = j;
	queue.tail = &j->next;
	pthread_cond_signal(&queue.more);
	pthread_mutex_unlock(&queue.lock);
}

static struct job dequeue(void)
{
	struct job *j, job;

	pthread_mutex_lock(&queue.lock);
	while (!queue.head)
		pthread_cond_wait(&queue.more, &queue.lock);
	j = queue.head;
	queue.head = j->next;
	if (!queue.head)
		queue.tail = &queue.head;
	pthread_mutex_unlock(&queue.lock);
	job = *j;
	free(j);
	return job;
}

/* May block or fail; on failure nothing has been promised. */
static int submit_map(unsigned long first, unsigned long last, void *object)
{
	int err = mtree_reserve(&space, first, last, GFP_KERNEL);

	if (!err)
		enqueue((struct job){ .op = MAP, .first = first, .last = last, .object = object });
	return err;
}

/* The worker. Every store is over exactly one existing range, so it cannot fail. */
static void *run_jobs(void *arg)
{
	for (;;) {
		struct job job = dequeue();
		void *entry = job.op == MAP ? job.object : XA_ZERO_ENTRY;

		if (job.op == STOP)
			return arg;
		EXPECT(mtree_store_range(&space, job.first, job.last, entry, GFP_NOWAIT) == 0);
	}
}

int main(void)
{
	pthread_t worker;
	int object;

	EXPECT(pthread_create(&worker, NULL, run_jobs, NULL) == 0);
	for (unsigned long at = 0; at < 1000 * 0x10000; at += 0x10000)
		EXPECT(submit_map(at, at + 0xfff, &object) == 0);
	EXPECT(submit_map(0, 0x1fff, &object) == -EEXIST); /* reported now, not when the job runs */
	for (unsigned long at = 0; at < 1000 * 0x10000; at += 2 * 0x10000)
		enqueue((struct job){ .op = UNMAP, .first = at, .last = at + 0xfff });
	enqueue((struct job){ .op = STOP });
	EXPECT(pthread_join(worker, NULL) == 0);

	EXPECT(mtree_load(&space, 0x20000) == NULL);
	EXPECT(mtree_load(&space, 0x30000) == &object);
	/* An unmapped range keeps its place until a thread that may block releases it. */
	EXPECT(submit_map(0x20000, 0x20fff, &object) == -EEXIST);
	EXPECT(mtree_release(&space, 0, ULONG_MAX) == 0);
	EXPECT(mtree_insert_range(&space, 0x20000, 0x20fff, &object, GFP_KERNEL) == 0);

	mtree_destroy(&space);
	return 0;
}
