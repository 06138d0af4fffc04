/* SPDX-License-Identifier: MIT */
/*
 * Map and unmap requests that are accepted now and carried out later, by a worker that must neither
 * block nor fail (a GPU driver's, say, on whose progress the freeing of memory may depend).
 * Submitting may do both.
 *
 *   submit map     reserves the range: takes its memory and its place in the tree
 *   run map        stores over exactly the reserved range: no memory, no failure
 *   run unmap      puts the reservation back over exactly the mapped range: likewise
 *   clean up       later, where blocking is fine, frees what is reserved for nobody
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

/* May block, may fail; then nothing has been promised. */
static int submit_map(unsigned long first, unsigned long last, void *object)
{
	int err = mtree_reserve(&space, first, last, GFP_KERNEL);

	if (!err)
		enqueue((struct job){ .op = MAP, .first = first, .last = last, .object = object });
	return err;
}

/* The worker: every store here is over exactly one range that exists, so it cannot fail. */
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
	EXPECT(submit_map(0, 0x1fff, &object) == -EEXIST); /* known at once, not when it runs */
	for (unsigned long at = 0; at < 1000 * 0x10000; at += 2 * 0x10000)
		enqueue((struct job){ .op = UNMAP, .first = at, .last = at + 0xfff });
	enqueue((struct job){ .op = STOP });
	EXPECT(pthread_join(worker, NULL) == 0);

	EXPECT(mtree_load(&space, 0x20000) == NULL);
	EXPECT(mtree_load(&space, 0x30000) == &object);
	/* What was unmapped still has its place, until somebody who may block gives it back. */
	EXPECT(submit_map(0x20000, 0x20fff, &object) == -EEXIST);
	EXPECT(mtree_release(&space, 0, ULONG_MAX) == 0);
	EXPECT(mtree_insert_range(&space, 0x20000, 0x20fff, &object, GFP_KERNEL) == 0);

	mtree_destroy(&space);
	return 0;
}
