/* SPDX-License-Identifier: MIT */
/*
 * Accept now, commit later. Several threads send requests to map or unmap arbitrary ranges. A
 * worker carries them out in the order in which they came in; since the freeing of memory may
 * depend on its progress, it must not allocate and cannot fail. Requests overlap, and what the tree
 * will look like when one is carried out is not known when it is accepted. Other threads use the
 * tree at the same time, with and without a lock.
 *
 *   submit   takes two credits for each request: may sleep, may fail, and then nothing has happened
 *   run      makes both stores in one transaction, so that a reader sees the mapping in the old
 *            place or in the new one, never in both or neither
 *
 * All credits belong to one holder, the worker: the working set is needed only once, and a waiting
 * request costs little more than two nodes.
 */
#include "expect.h"
#include <pthread.h>
#include <samara/credits.h>
#include <samara/txn.h>

#define REQUESTS 400UL /* of each thread */
#define THREADS 3
#define PAGE 0x1000UL

struct request {
	struct request *next;
	unsigned long from, to, size;
	void *object;
};

static struct maple_tree space = MTREE_INIT(space, MT_FLAGS_ALLOC_RANGE);
static struct mt_credits credits; /* reserved by any thread, used by the worker */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct request *head, **tail; /* GUARD lock */
	unsigned long to_come;        /* GUARD lock */
} queue = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, &queue.head,
	    THREADS *REQUESTS };

/* The only function that can fail. On failure the caller keeps the request. */
static int submit(struct request *r)
{
	int err = mt_credits_reserve(&credits, 2, GFP_KERNEL);

	if (err)
		return err;
	r->next = NULL;
	pthread_mutex_lock(&queue.lock);
	*queue.tail = r;
	queue.tail = &r->next;
	queue.to_come--;
	pthread_cond_signal(&queue.more);
	pthread_mutex_unlock(&queue.lock);
	return 0;
}

/* Allocates nothing. Any waiting is over before the lock is taken. */
static void run(struct request *r)
{
	struct mt_txn txn;

	mt_credits_begin(&credits, 2);
	mtree_lock(&space);
	mt_txn_begin(&txn, &space);
	EXPECT(mt_txn_store_credit(&txn, r->from, r->from + r->size - 1, NULL, &credits) == 0);
	EXPECT(mt_txn_store_credit(&txn, r->to, r->to + r->size - 1, r->object, &credits) == 0);
	mt_txn_commit(&txn);
	mtree_unlock(&space);
}

static struct request *next_request(void)
{
	struct request *r;

	pthread_mutex_lock(&queue.lock);
	while (!queue.head && queue.to_come > 0)
		pthread_cond_wait(&queue.more, &queue.lock);
	r = queue.head;
	if (r)
		queue.head = r->next;
	if (!queue.head)
		queue.tail = &queue.head;
	pthread_mutex_unlock(&queue.lock);
	return r;
}

static void *worker(void *arg)
{
	struct request *r;

	while ((r = next_request())) {
		run(r);
		free(r);
	}
	return arg;
}

static int objects[THREADS];

/* Each thread moves its own object about, over whatever is there. */
static void *submitter(void *arg)
{
	unsigned long at = 0, step = 3 + 20 * (unsigned long)((int *)arg - objects);

	for (unsigned long i = 0; i < REQUESTS; i++) {
		struct request *r = malloc(sizeof(*r));

		EXPECT(r);
		r->from = at;
		r->to = at = (at + step * 37 * PAGE) % (4096 * PAGE);
		r->size = (1 + i % 9) * PAGE;
		r->object = arg;
		EXPECT(submit(r) == 0);
		/* Other stores change the tree, perhaps before the request is carried out. */
		EXPECT(mtree_store_range(&space, (5000 + i * step) * PAGE,
					 (5000 + i * step) * PAGE + 7, arg, GFP_KERNEL) == 0);
	}
	return NULL;
}

int main(void)
{
	pthread_t threads[THREADS + 1];
	char why[256];

	mt_set_in_rcu(&space);
	mt_credits_init(&credits, &space, MT_CREDITS_RECYCLING);
	EXPECT(mt_credits_set_batch(&credits, 8) == 0);
	EXPECT(pthread_create(&threads[THREADS], NULL, worker, NULL) == 0);
	for (int i = 0; i < THREADS; i++)
		EXPECT(pthread_create(&threads[i], NULL, submitter, &objects[i]) == 0);
	for (int i = 0; i <= THREADS; i++)
		EXPECT(pthread_join(threads[i], NULL) == 0);

	EXPECT(mt_credits_left(&credits) == 0);
	mtree_lock(&space);
	EXPECT(mt_check(&space, why, sizeof(why)) == 0);
	mtree_unlock(&space);
	mt_credits_release(&credits);
	mtree_destroy(&space);
	return 0;
}
