/* SPDX-License-Identifier: MIT */
#include "credits_guard.h"

#include "base/base.h"
#include "base/park.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <samara/maple_tree.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* their own calls would be caught */
#else
#define SANITIZED 0
#endif

enum { STARTING, IDLE, JOB, DONE, FAULT };

static struct {
	unsigned int state; /* one of the above; the futex of both threads */
	bool filtered;
	void (*fn)(void *arg);
	void *arg;
	char fault[256];
} guard;

static __thread bool guarded;

static unsigned int wait_while(unsigned int value, unsigned int or_value)
{
	unsigned int state;

	for (;;) {
		state = __atomic_load_n(&guard.state, __ATOMIC_ACQUIRE);
		if (state != value && state != or_value)
			return state;
		smr_park(&guard.state, state);
	}
}

static void move_to(unsigned int state)
{
	__atomic_store_n(&guard.state, state, __ATOMIC_RELEASE);
	smr_wake(&guard.state, 2);
}

__attribute__((noreturn)) static void stop(void)
{
	move_to(FAULT);
	for (;;)
		smr_park(&guard.state, FAULT);
}

/* ---- Assertions of the library: in place of its own, which prints and aborts ---- */

__attribute__((noreturn, cold)) void smr_assert_fail(const char *what, const char *file, int line)
{
	if (!guarded) {
		fprintf(stderr, "samara: %s:%d: assertion failed: %s\n", file, line, what);
		abort();
	}
	snprintf(guard.fault, sizeof(guard.fault), "%s:%d: %s", file, line, what);
	stop();
}

/* ---- The C allocator ---- */

static void asked_for(const char *what)
{
	if (!guarded)
		return;
	snprintf(guard.fault, sizeof(guard.fault), "the storing thread called %s", what);
	stop();
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
int __real_posix_memalign(void **p, size_t align, size_t size);
void __real_free(void *p);
void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *addr, size_t len);
int __real_madvise(void *addr, size_t len, int advice);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
int __wrap_posix_memalign(void **p, size_t align, size_t size);
void __wrap_free(void *p);
void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *addr, size_t len);
int __wrap_madvise(void *addr, size_t len, int advice);

void *__wrap_malloc(size_t size)
{
	asked_for("malloc");
	return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	asked_for("calloc");
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	asked_for("realloc");
	return __real_realloc(p, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	asked_for("aligned_alloc");
	return __real_aligned_alloc(align, size);
}

int __wrap_posix_memalign(void **p, size_t align, size_t size)
{
	asked_for("posix_memalign");
	return __real_posix_memalign(p, align, size);
}

void __wrap_free(void *p)
{
	asked_for("free");
	__real_free(p);
}

void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	asked_for("mmap");
	return __real_mmap(addr, len, prot, flags, fd, offset);
}

int __wrap_munmap(void *addr, size_t len)
{
	asked_for("munmap");
	return __real_munmap(addr, len);
}

int __wrap_madvise(void *addr, size_t len, int advice)
{
	asked_for("madvise");
	return __real_madvise(addr, len, advice);
}

/* ---- System calls ---- */

/* Anything but futex raises SIGSYS. */
static bool forbid_system_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void on_sigsys(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	snprintf(guard.fault, sizeof(guard.fault), "the storing thread made system call %d",
		 info->si_syscall);
	stop();
}

static void *guarded_thread(void *arg)
{
	struct maple_tree tree = MTREE_INIT(tree, MT_FLAGS_USE_RCU);

	(void)arg;
	/* A thread asks for its id once, when it takes its first lock. */
	mtree_lock(&tree);
	mtree_unlock(&tree);
	/* Assertions about read-side sections make liburcu register the thread, which asks the system. */
	mt_rcu_read_lock(&tree);
	mt_rcu_read_unlock(&tree);
	guard.filtered = !SANITIZED && forbid_system_calls();
	move_to(IDLE);
	for (;;) {
		wait_while(IDLE, DONE);
		guarded = true;
		guard.fn(guard.arg);
		guarded = false;
		move_to(DONE);
	}
	return NULL;
}

bool guard_start(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, guarded_thread, NULL))
		abort();
	pthread_detach(thread);
	wait_while(STARTING, STARTING);
	return guard.filtered;
}

const char *guard_run(void (*fn)(void *arg), void *arg)
{
	struct sigaction action = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO };

	sigaction(SIGSYS, &action, NULL); /* each test of cmocka sets its own */
	guard.fn = fn;
	guard.arg = arg;
	move_to(JOB);
	return wait_while(JOB, JOB) == FAULT ? guard.fault : NULL;
}
