/* SPDX-License-Identifier: MIT */
/*
 * What the checker knows of each thread. The records lie in a pool, and a thread has only a pointer
 * to its own: as a thread-local variable a record would be more than the loader keeps free for a
 * library loaded by dlopen(), and from the heap it could not be got where nothing may allocate. The
 * pool is mapped for the first thread and never unmapped; what is not used of it takes no memory.
 * If it were a variable of the library, LeakSanitizer would look through it, which takes longer
 * than most processes that it is used on. A thread gets its record when the checker first meets it,
 * and gives it back when it ends: in the first round of destructors if it holds nothing; otherwise
 * in the second, and is then not watched to its end.
 */
#include "lock/check.h"

#ifdef SMR_LOCKCHECK

#include "base/base.h"
#include "lock/check_internal.h"
#include "lock/section.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

smr_thread_local struct smri_thread *smri_check_mine;

static struct smri_thread *pool;                                           /* GUARD tables */
static struct smri_thread *free_list;                                      /* GUARD tables */
static unsigned int nr_used;                                               /* GUARD tables */
static struct smri_thread no_record = { .busy = true, .unwatched = true }; /* never written */

static pthread_key_t exit_key;
static bool exit_key_made;
static smr_thread_local bool ending; /* its destructors have begun */

static void give_back(struct smri_thread *t)
{
	t->next = free_list;
	free_list = t;
}

/* CONTEXT: a thread that ends. */
static void detach(void *record)
{
	struct smri_thread *t = record;
	bool last = ending;

	ending = true;
	/* Destructors still to come may leave what the thread is in, or release what it holds. */
	if (!last &&
	    (t->nr_holds || t->nr_untracked || smr_in_section() || t->read[MT_RCU_QSBR].depth)) {
		(void)pthread_setspecific(exit_key, t);
		return;
	}
	/* For a record that it got even later there might be no round left to give it back in. */
	smri_check_mine = last ? &no_record : NULL;
	smri_check_lock_tables();
	give_back(t);
	smri_check_unlock_tables();
}

/* Early, while glibc can keep the values of a new key without allocating. */
__attribute__((constructor)) static void watch_exits(void)
{
	exit_key_made = pthread_key_create(&exit_key, detach) == 0;
}

/* Returns the next record that no thread has had, or NULL. */
static struct smri_thread *new_record(void)
{
	if (!pool) {
		void *map = mmap(NULL, SMRI_THREADS * sizeof(*pool), PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (map == MAP_FAILED)
			return NULL;
		pool = map;
	}
	return nr_used < SMRI_THREADS ? &pool[nr_used++] : NULL;
}

struct smri_thread *smri_check_attach(void)
{
	struct smri_thread *t;
	unsigned int serial;

	smri_check_lock_tables();
	t = free_list;
	if (t)
		free_list = t->next;
	else
		t = new_record();
	smri_check_unlock_tables();
	if (!t) {
		/* For good: by the time there is a record again, the thread may hold locks. */
		smri_check_mine = &no_record;
		smri_check_say_crowded();
		return &no_record;
	}
	/* A cursor may have been handed over: serials go on where the last owner stopped. */
	serial = t->last_serial;
	memset(t, 0, sizeof(*t));
	t->last_serial = serial;
	smri_check_mine = t;
	if (exit_key_made)
		(void)pthread_setspecific(exit_key, t);
	return t;
}

void smri_check_detach_others(void)
{
	free_list = NULL;
	for (unsigned int i = 0; i < nr_used; i++)
		if (&pool[i] != smri_check_mine)
			give_back(&pool[i]);
}

#else

/* A file of the library may not be empty in ISO C. */
typedef int smr_check_thread_is_off;

#endif
