/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* register names */
#include "guard.h"
#include "base/sanitizer.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

static __thread bool inside;

static void (*on_fault)(const char *what); /* atomic */
static unsigned long faults;               /* atomic */
static char first[128];                    /* by the thread that makes faults 1 */

void guard_enter(void)
{
	inside = true;
}

void guard_leave(void)
{
	inside = false;
}

bool guard_inside(void)
{
	return inside;
}

void guard_set_fault(void (*fn)(const char *what))
{
	__atomic_store_n(&on_fault, fn, __ATOMIC_RELEASE);
}

unsigned long guard_faults(void)
{
	return __atomic_load_n(&faults, __ATOMIC_ACQUIRE);
}

const char *guard_first_fault(void)
{
	return first;
}

static void forget_faults(void)
{
	__atomic_store_n(&faults, 0, __ATOMIC_RELEASE);
	first[0] = 0;
}

static void fault(const char *what)
{
	void (*fn)(const char *) = __atomic_load_n(&on_fault, __ATOMIC_ACQUIRE);

	/* What the handler itself does must not be reported. */
	inside = false;
	if (fn)
		fn(what);
	else if (__atomic_fetch_add(&faults, 1, __ATOMIC_ACQ_REL) == 0)
		snprintf(first, sizeof(first), "%s", what);
	inside = true;
}

/* ---- The C allocator ---- */

static void called(const char *what)
{
	if (inside)
		fault(what);
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
int __real_posix_memalign(void **p, size_t align, size_t size);
void __real_free(void *p);
void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
void *__real_mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *addr, size_t len);
int __real_madvise(void *addr, size_t len, int advice);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
int __wrap_posix_memalign(void **p, size_t align, size_t size);
void __wrap_free(void *p);
void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *addr, size_t len);
int __wrap_madvise(void *addr, size_t len, int advice);

void *__wrap_malloc(size_t size)
{
	called("malloc()");
	return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	called("calloc()");
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	called("realloc()");
	return __real_realloc(p, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	called("aligned_alloc()");
	return __real_aligned_alloc(align, size);
}

int __wrap_posix_memalign(void **p, size_t align, size_t size)
{
	called("posix_memalign()");
	return __real_posix_memalign(p, align, size);
}

void __wrap_free(void *p)
{
	called("free()");
	__real_free(p);
}

void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	called("mmap()");
	return __real_mmap(addr, len, prot, flags, fd, offset);
}

/* mmap() under another name, where off_t is asked to have 64 bits. */
void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	called("mmap()");
	return __real_mmap64(addr, len, prot, flags, fd, offset);
}

int __wrap_munmap(void *addr, size_t len)
{
	called("munmap()");
	return __real_munmap(addr, len);
}

int __wrap_madvise(void *addr, size_t len, int advice)
{
	called("madvise()");
	return __real_madvise(addr, len, advice);
}

/* ---- System calls ---- */

#if SMR_ASAN || SMR_TSAN || !defined(__x86_64__)

void guard_begin(void)
{
	forget_faults();
}

bool guard_thread(void)
{
	return false;
}

#else

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

/*
 * A filter cannot be removed again. So outside sections, too, all system calls but a few raise
 * SIGSYS, and its handler makes them from the one place that the filter lets pass. @args are in the
 * order of the kernel's calling convention.
 */
long guard_gate(long number, const long args[6]);
extern const char guard_gate_end[];

__asm__(".pushsection .text\n"
	".hidden guard_gate, guard_gate_end\n"
	".globl guard_gate, guard_gate_end\n"
	"guard_gate:\n"
	"	mov %rdi, %rax\n"
	"	mov (%rsi), %rdi\n"
	"	mov 16(%rsi), %rdx\n"
	"	mov 24(%rsi), %r10\n"
	"	mov 32(%rsi), %r8\n"
	"	mov 40(%rsi), %r9\n"
	"	mov 8(%rsi), %rsi\n"
	"	syscall\n"
	"guard_gate_end:\n" /* the instruction pointer that the filter sees */
	"	ret\n"
	".popsection\n");

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (field))
#define PASS_IF(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (skip), 0)

static bool filter_calls(void)
{
	const unsigned int address = offsetof(struct seccomp_data, instruction_pointer);
	uint64_t gate = (uintptr_t)guard_gate_end;
	struct sock_filter code[] = {
		LOAD(offsetof(struct seccomp_data, nr)),
		PASS_IF(SYS_futex, 6),
		PASS_IF(SYS_rt_sigreturn, 5),
		LOAD(address),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)gate, 0, 2),
		LOAD(address + 4),
		PASS_IF((uint32_t)(gate >> 32), 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void on_sigsys(int sig, siginfo_t *info, void *arg)
{
	ucontext_t *context = arg;
	greg_t *regs = context->uc_mcontext.gregs;
	const long args[6] = { regs[REG_RDI], regs[REG_RSI], regs[REG_RDX],
			       regs[REG_R10], regs[REG_R8],  regs[REG_R9] };
	const long mask[6] = { SIG_SETMASK, 0, (long)&context->uc_sigmask, 8 };
	char what[32];

	(void)sig;
	if (inside && info->si_syscall != SYS_clock_gettime) {
		snprintf(what, sizeof(what), "system call %d", info->si_syscall);
		fault(what);
	}
	regs[REG_RAX] = guard_gate(info->si_syscall, args);
	/*
	 * The return from this handler restores that mask. And SIGSYS must not be blocked: raised
	 * while blocked, it would end the process.
	 */
	if (info->si_syscall == SYS_rt_sigprocmask) {
		guard_gate(SYS_rt_sigprocmask, mask);
		sigdelset(&context->uc_sigmask, SIGSYS);
	}
}

void guard_begin(void)
{
	struct sigaction action = { .sa_sigaction = on_sigsys,
				    .sa_flags = SA_SIGINFO | SA_NODEFER };

	forget_faults();
	sigaction(SIGSYS, &action, NULL);
}

bool guard_thread(void)
{
	static __thread enum { NOT_YET, WATCHED, UNWATCHED } state;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	if (state == NOT_YET)
		state = !pthread_sigmask(SIG_UNBLOCK, &set, NULL) && filter_calls() ? WATCHED
										    : UNWATCHED;
	return state == WATCHED;
}

#endif
