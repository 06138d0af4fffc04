/* SPDX-License-Identifier: MIT */
/*
 * The functions that allocate and free, defined by the program so that the whole process uses them:
 * each tells the meter and passes the call on to the C library, or to the kernel.
 */
#include "meter.h"
#include "sanitizer.h"

#include <features.h> /* __GLIBC__ */

#if TOOL_ASAN || TOOL_TSAN

#include <stddef.h>

/* In the sanitizers' runtimes. Declared here since not every compiler has a header for it. */
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
					      void (*on_free)(const volatile void *));

static void on_malloc(const volatile void *at, size_t size)
{
	(void)at;
	(void)size;
	meter_heap_used();
}

static void on_free(const volatile void *at)
{
	if (at)
		meter_heap_used();
}

bool meter_heap_start(void)
{
	static int installed = -1;

	if (installed < 0)
		installed = __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) != 0;
	return installed;
}

#elif defined(__GLIBC__)

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* glibc's own names for its malloc() and so on. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *at, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *at);

bool meter_heap_start(void)
{
	return true;
}

void *malloc(size_t size)
{
	meter_heap_used();
	return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	meter_heap_used();
	return __libc_calloc(count, size);
}

void *realloc(void *at, size_t size)
{
	meter_heap_used();
	return __libc_realloc(at, size);
}

void free(void *at)
{
	if (at)
		meter_heap_used();
	__libc_free(at);
}

void *memalign(size_t align, size_t size);
void *memalign(size_t align, size_t size)
{
	meter_heap_used();
	return __libc_memalign(align, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

int posix_memalign(void **at, size_t align, size_t size)
{
	int saved = errno;
	void *got;

	if (align % sizeof(void *) || !align || align & (align - 1))
		return EINVAL;
	got = memalign(align, size);
	errno = saved;
	if (!got)
		return ENOMEM;
	*at = got;
	return 0;
}

void *mmap(void *at, size_t length, int prot, int flags, int file, off_t offset)
{
	meter_heap_used();
#ifdef __s390__ /* system calls have at most five arguments there */
	const unsigned long args[] = { (unsigned long)at,   length,
				       (unsigned long)prot, (unsigned long)flags,
				       (unsigned long)file, (unsigned long)offset };

	return (void *)syscall(SYS_mmap, args);
#else
	return (void *)syscall(SYS_mmap, at, length, prot, flags, file, offset);
#endif
}

/* With large file support this is mmap64(); code without it, such as liburcu, calls mmap(). */
#if defined(_FILE_OFFSET_BITS) && _FILE_OFFSET_BITS == 64
void *mmap_by_name(void *at, size_t length, int prot, int flags, int file,
		   off_t offset) __asm__("mmap");

void *mmap_by_name(void *at, size_t length, int prot, int flags, int file, off_t offset)
{
	return mmap(at, length, prot, flags, file, offset);
}
#endif

int munmap(void *at, size_t length)
{
	meter_heap_used();
	return (int)syscall(SYS_munmap, at, length);
}

void *mremap(void *at, size_t length, size_t new_length, int flags, ...)
{
	va_list args;
	void *to;

	va_start(args, flags);
	to = flags & MREMAP_FIXED ? va_arg(args, void *) : NULL;
	va_end(args);
	meter_heap_used();
	return (void *)syscall(SYS_mremap, at, length, new_length, flags, to);
}

#else

bool meter_heap_start(void)
{
	return false;
}

#endif
