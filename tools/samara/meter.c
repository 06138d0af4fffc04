/* SPDX-License-Identifier: MIT */
#include "meter.h"
#include "sanitizer.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static struct {
	_Atomic(uint64_t) sections;
	_Atomic(uint64_t) uncounted; /* sections in which calls could not be counted */
	_Atomic(uint64_t) allocations;
	_Atomic(uint64_t) system_calls, futexes;
	_Atomic(long) first_call;
} counts = { .first_call = -1 };

static _Thread_local bool inside;
static _Atomic(meter_predicate *) other_sections;

void meter_heap_used(void)
{
	meter_predicate *other = atomic_load_explicit(&other_sections, memory_order_acquire);

	if (inside || (other && other()))
		atomic_fetch_add_explicit(&counts.allocations, 1, memory_order_relaxed);
}

/* ---- System calls ---- */

#if defined(__x86_64__) && defined(PR_SET_SYSCALL_USER_DISPATCH) && !TOOL_ASAN && !TOOL_TSAN

#define SA_RESTORER 0x04000000

/* The kernel looks at this byte at each system call of the thread. */
static _Thread_local volatile unsigned char selector = SYSCALL_DISPATCH_FILTER_ALLOW;

/*
 * The one place whose system calls are never intercepted: those that the handler makes, and its
 * return. The arguments are in the kernel's order.
 */
long meter_gate_call(long number, const greg_t args[6]);
void meter_gate_return(void);
extern const char meter_gate_begin[], meter_gate_end[];

__asm__(".pushsection .text\n"
	".hidden meter_gate_call, meter_gate_return, meter_gate_begin, meter_gate_end\n"
	".globl meter_gate_call, meter_gate_return, meter_gate_begin, meter_gate_end\n"
	"meter_gate_begin:\n"
	"meter_gate_call:\n"
	"	mov %rdi, %rax\n"
	"	mov (%rsi), %rdi\n"
	"	mov 16(%rsi), %rdx\n"
	"	mov 24(%rsi), %r10\n"
	"	mov 32(%rsi), %r8\n"
	"	mov 40(%rsi), %r9\n"
	"	mov 8(%rsi), %rsi\n"
	"	syscall\n"
	"	ret\n"
	"meter_gate_return:\n"
	"	mov $15, %eax\n" /* rt_sigreturn */
	"	syscall\n"
	"	ud2\n" /* the address that the kernel sees is that behind the call */
	"meter_gate_end:\n"
	".popsection\n");

static void count_call(long number)
{
	long none = -1;

	if (number == SYS_futex) {
		atomic_fetch_add_explicit(&counts.futexes, 1, memory_order_relaxed);
	} else if (number != SYS_clock_gettime) {
		atomic_fetch_add_explicit(&counts.system_calls, 1, memory_order_relaxed);
		atomic_compare_exchange_strong(&counts.first_call, &none, number);
	}
}

/*
 * Runs in place of a system call: counts and makes it, and puts its result where the caller looks.
 */
static void on_call(int signal, siginfo_t *info, void *arg)
{
	ucontext_t *context = arg;
	greg_t *regs = context->uc_mcontext.gregs;
	const greg_t args[6] = { regs[REG_RDI], regs[REG_RSI], regs[REG_RDX],
				 regs[REG_R10], regs[REG_R8],  regs[REG_R9] };

	(void)signal;
	/*
	 * The return of another handler, within a section. It takes its frame from the stack, so it
	 * has to be made from the interrupted code.
	 */
	if (info->si_syscall == SYS_rt_sigreturn) {
		regs[REG_RIP] = (greg_t)(uintptr_t)meter_gate_return;
		return;
	}
	count_call(info->si_syscall);
	regs[REG_RAX] = meter_gate_call(info->si_syscall, args);
}

static atomic_bool caught; /* SIGSYS is ours */

/* With sigaction() the handler would return through the C library, whose calls are intercepted. */
static void catch_calls(void)
{
	struct {
		void (*handler)(int, siginfo_t *, void *);
		unsigned long flags;
		void (*restorer)(void);
		uint64_t mask;
	} action = { on_call, SA_SIGINFO | SA_RESTORER, meter_gate_return, UINT64_MAX };

	atomic_store(&caught,
		     !syscall(SYS_rt_sigaction, SIGSYS, &action, NULL, sizeof(action.mask)));
}

/* Has the kernel intercept this thread's system calls. Returns whether it does. */
static bool watch_thread(void)
{
	sigset_t set;

	if (!atomic_load(&caught))
		return false;
	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	return !prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON,
		      (unsigned long)meter_gate_begin,
		      (unsigned long)(meter_gate_end - meter_gate_begin), &selector);
}

static void count_calls(bool on)
{
	selector = on ? SYSCALL_DISPATCH_FILTER_BLOCK : SYSCALL_DISPATCH_FILTER_ALLOW;
}

#else

static void catch_calls(void)
{
}

static bool watch_thread(void)
{
	return false;
}

static void count_calls(bool on)
{
	(void)on;
}

#endif

/* ---- Sections ---- */

void meter_enter(void)
{
	static _Thread_local int watched = -1;

	if (watched < 0)
		watched = watch_thread();
	atomic_fetch_add_explicit(&counts.sections, 1, memory_order_relaxed);
	if (!watched)
		atomic_fetch_add_explicit(&counts.uncounted, 1, memory_order_relaxed);
	inside = true;
	if (watched)
		count_calls(true);
}

void meter_leave(void)
{
	count_calls(false);
	inside = false;
}

void meter_start(meter_predicate *other)
{
	meter_heap_start();
	atomic_store(&other_sections, NULL);
	catch_calls();
	atomic_store(&counts.sections, 0);
	atomic_store(&counts.uncounted, 0);
	atomic_store(&counts.allocations, 0);
	atomic_store(&counts.system_calls, 0);
	atomic_store(&counts.futexes, 0);
	atomic_store(&counts.first_call, -1);
	atomic_store_explicit(&other_sections, other, memory_order_release);
}

void meter_read(struct meter *meter)
{
	atomic_store(&other_sections, NULL);
	*meter = (struct meter){
		.sections = atomic_load(&counts.sections),
		.allocations = atomic_load(&counts.allocations),
		.system_calls = atomic_load(&counts.system_calls),
		.futexes = atomic_load(&counts.futexes),
		.first_call = atomic_load(&counts.first_call),
		.counts_allocations = meter_heap_start(),
		.counts_system_calls = !atomic_load(&counts.uncounted),
	};
}
