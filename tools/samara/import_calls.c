/* SPDX-License-Identifier: MIT */
#include "import.h"

#include <stdlib.h>
#include <string.h>

/* ---- Flags ---- */

enum {
	MAP_SHARED_BIT = 1, /* also in MAP_SHARED_VALIDATE */
	MAP_FIXED_BIT = 0x10,
	MAP_ANONYMOUS_BIT = 0x20,
	MAP_GROWSDOWN_BIT = 0x100,
	MAP_HUGETLB_BIT = 0x40000,
	HUGE_SHIFT_BITS = 26, /* of the size, in mmap's flags and in shmget's */
	MREMAP_FIXED_BIT = 2,
	MREMAP_DONTUNMAP_BIT = 4,
	PROT_GROWSDOWN_BIT = 0x1000000,
	SHM_HUGETLB_BIT = 04000,
	SHM_RDONLY_BIT = 010000,
	SHM_EXEC_BIT = 0100000,
	TMPFILE_BIT = 020000000, /* of O_TMPFILE, the one that O_DIRECTORY has not */
	F_DUPFD_NUMBER = 0,
	F_DUPFD_CLOEXEC_NUMBER = 1030,
};

/* The values are those of the trace's letters, and also those of strace -X raw. */
static const struct strace_flag prot_names[] = {
	{ "PROT_READ", TRACE_READ },
	{ "PROT_WRITE", TRACE_WRITE },
	{ "PROT_EXEC", TRACE_EXEC },
	{ "PROT_GROWSDOWN", PROT_GROWSDOWN_BIT },
	{ NULL, 0 },
};

static const struct strace_flag map_names[] = {
	{ "MAP_SHARED", MAP_SHARED_BIT },   { "MAP_SHARED_VALIDATE", MAP_SHARED_BIT | 2 },
	{ "MAP_FIXED", MAP_FIXED_BIT },     { "MAP_ANONYMOUS", MAP_ANONYMOUS_BIT },
	{ "MAP_ANON", MAP_ANONYMOUS_BIT },  { "MAP_GROWSDOWN", MAP_GROWSDOWN_BIT },
	{ "MAP_HUGETLB", MAP_HUGETLB_BIT }, { NULL, 0 },
};

static const struct strace_flag mremap_names[] = {
	{ "MREMAP_MAYMOVE", 1 },
	{ "MREMAP_FIXED", MREMAP_FIXED_BIT },
	{ "MREMAP_DONTUNMAP", MREMAP_DONTUNMAP_BIT },
	{ NULL, 0 },
};

static const struct strace_flag shmget_names[] = {
	{ "SHM_HUGETLB", SHM_HUGETLB_BIT },
	{ NULL, 0 },
};

static const struct strace_flag shmat_names[] = {
	{ "SHM_RDONLY", SHM_RDONLY_BIT },
	{ "SHM_EXEC", SHM_EXEC_BIT },
	{ NULL, 0 },
};

#define RWX (TRACE_READ | TRACE_WRITE | TRACE_EXEC)

/* ---- Calls ---- */

static const char not_a_number[] = "an argument is not a number";

/* Reads the first two arguments, an address and a length, and rounds the length up. */
static const char *range_args(const struct import *import, const struct strace_call *call,
			      uint64_t *addr, uint64_t *length)
{
	const char *why;

	if (!strace_number(call->args[0], addr) || !strace_number(call->args[1], length))
		return not_a_number;
	why = import_round_up(length, import->header.page);
	if (!why && *length && *addr + (*length - 1) < *addr)
		why = "the range goes beyond the end of the address space";
	return why;
}

/*
 * Returns the object of the file that number @fd stands for, of which -y says @path, @length bytes;
 * 0: no memory.
 */
static uint64_t named_object(struct objects *objects, int64_t fd, const char *path, size_t length)
{
	static const char mark[] = "(deleted)";
	size_t cut = sizeof(mark); /* with the > or blank before it */
	uint64_t object;

	if (length <= cut || strncmp(path + length - (cut - 1), mark, cut - 1)) {
		object = objects_by_name(objects, path, length);
		return objects_note_mapped(objects, fd, object) ? 0 : object;
	}
	/*
	 * Deleted files (memfds above all) may share a name. The number tells them apart if it was
	 * traced, or if a file of that name has been mapped by it before.
	 */
	if (objects_knows_fd(objects, fd))
		return objects_by_fd(objects, fd);
	object = objects_find_name(objects, path, length - cut);
	if (object && object == objects_mapped(objects, fd))
		return object;
	return objects_by_name(objects, path, length);
}

/* Finds the object of a file mapping. */
static const char *file_object(struct import *import, const char *arg, uint64_t *object)
{
	const char *path;
	size_t length;
	int64_t fd;

	if (!strace_file(arg, &fd, &path, &length))
		return "the file number cannot be read";
	*object = path ? named_object(&import->objects, fd, path, length)
		       : objects_by_fd(&import->objects, fd);
	return *object ? NULL : import_no_memory;
}

/* The size of pages that the flags of mmap or shmget ask for; 2 MiB if they leave it open. */
static uint64_t huge_page(uint64_t flags)
{
	unsigned int shift = flags >> HUGE_SHIFT_BITS & 63;

	return UINT64_C(1) << (shift ? shift : 21);
}

static const char *call_mmap(struct import *import, const struct strace_call *call)
{
	uint64_t addr, length, prot, flags, offset;
	struct as_mapping what = { .first = call->result };
	const char *why = range_args(import, call, &addr, &length);

	if (why)
		return why;
	if (!strace_flags(call->args[2], prot_names, &prot) ||
	    !strace_flags(call->args[3], map_names, &flags) ||
	    !strace_number(call->args[5], &offset))
		return "the protection, the flags or the offset cannot be read";
	if (flags & MAP_HUGETLB_BIT)
		why = import_round_up(&length, huge_page(flags));
	if (why)
		return why;
	what.last = call->result + (length - 1);
	what.flags = (unsigned int)prot & RWX;
	if (flags & MAP_SHARED_BIT)
		what.flags |= TRACE_SHARED;
	if (flags & MAP_GROWSDOWN_BIT)
		what.flags |= TRACE_GROWSDOWN;
	if (!(flags & MAP_ANONYMOUS_BIT)) {
		what.offset = offset;
		why = file_object(import, call->args[4], &what.object);
	} else if (flags & MAP_SHARED_BIT) {
		what.object = objects_new(&import->objects);
	}
	return why ? why : import_map(import, &what);
}

static const char *call_munmap(struct import *import, const struct strace_call *call)
{
	uint64_t addr, length;
	const char *why = range_args(import, call, &addr, &length);

	return why ? why : import_unmap(import, addr, length);
}

/* Returns where the part of a stack begins that has the same flags as at @addr. */
static uint64_t stack_begin(const struct import *import, uint64_t addr)
{
	const struct as_mapping *mapping = as_at(&import->model, addr), *below = mapping;

	while (below && below->flags & TRACE_GROWSDOWN && below->flags == mapping->flags) {
		addr = below->first < addr ? below->first : addr;
		below = addr ? as_at(&import->model, addr - 1) : NULL;
	}
	return addr;
}

/* Returns the end of what is mapped without a hole from @addr on, @last at most. */
static uint64_t mapped_until(const struct import *import, uint64_t addr, uint64_t last)
{
	const struct as_mapping *mapping = as_at(&import->model, addr), *next = mapping;

	while (mapping->last < last && (next = as_at(&import->model, mapping->last + 1)))
		mapping = next;
	return mapping->last < last ? mapping->last : last;
}

/* Returns how much is mapped at @addr before the first hole in the @length bytes; 0: no hole. */
static uint64_t before_hole(const struct import *import, uint64_t addr, uint64_t length)
{
	uint64_t last = addr + (length - 1);
	uint64_t end = as_at(&import->model, addr) ? mapped_until(import, addr, last) : last;

	return end < last ? end - addr + 1 : 0;
}

static const char *call_mprotect(struct import *import, const struct strace_call *call)
{
	uint64_t addr, length, prot, last;
	const char *why = range_args(import, call, &addr, &length);

	if (!why && !strace_flags(call->args[2], prot_names, &prot))
		why = "the protection cannot be read";
	/* The kernel stops at a hole, but does not undo what it did before it. */
	if (!why && length && call->failed)
		length = before_hole(import, addr, length);
	if (why || !length)
		return why;
	why = import_assume(import, addr, length);
	last = addr + (length - 1);
	if (prot & PROT_GROWSDOWN_BIT)
		addr = stack_begin(import, addr);
	/* One operation for each part with the same s and g throughout. */
	while (!why && addr <= last) {
		const struct as_mapping *mapping = as_at(&import->model, addr), *next = mapping;
		struct trace_op op = { .verb = TRACE_PROTECT, .addr = addr };
		uint64_t end = mapping->last;

		while (end < last && (next = as_at(&import->model, end + 1)) &&
		       (next->flags & TRACE_KEPT) == (mapping->flags & TRACE_KEPT))
			end = next->last;
		if (end > last)
			end = last;
		op.length = end - addr + 1;
		op.flags = (uint8_t)((prot & RWX) | (mapping->flags & TRACE_KEPT));
		why = import_op(import, op);
		if (end == UINT64_MAX)
			break;
		addr = end + 1;
	}
	return why;
}

/* mremap with an old length of 0: a second mapping of shared memory. */
static const char *map_again(struct import *import, uint64_t old, uint64_t result, uint64_t length)
{
	const char *why = import_assume(import, old & ~(import->header.page - 1),
					import->header.page);
	struct as_mapping what;

	if (why)
		return why;
	what = *as_at(&import->model, old);
	if (what.object)
		what.offset += old - what.first;
	what.first = result;
	what.last = result + (length - 1);
	return import_map(import, &what);
}

/* MREMAP_DONTUNMAP: what was moved from @op's old range stays mapped there as well. */
static const char *move_but_keep(struct import *import, const struct trace_op *op)
{
	struct address_space kept;
	struct as_pos pos;
	const char *why = NULL;
	uint64_t last = trace_op_last(op);

	as_init(&kept);
	for (const struct as_mapping *m = as_from(&import->model, op->addr, &pos);
	     m && m->first <= last && !why; m = as_next(&import->model, &pos)) {
		struct trace_op map = { .verb = TRACE_MAP, .addr = m->first };

		map.length = m->last - m->first + 1;
		map.object = m->object;
		map.offset = m->offset;
		map.flags = (uint8_t)m->flags;
		if (as_apply(&kept, &map, &why))
			why = import_no_memory;
	}
	if (!why)
		why = import_op(import, *op);
	for (const struct as_mapping *m = as_from(&kept, op->addr, &pos); m && !why;
	     m = as_next(&kept, &pos)) {
		struct as_mapping what = *m;

		as_clip(&what, op->addr, last);
		why = import_map(import, &what);
	}
	as_destroy(&kept);
	return why;
}

/*
 * Returns how much of @op's old range was mapped: all that was moved or that grew; but if it
 * neither moved nor grew, only the first page is certain.
 */
static uint64_t moved_length(const struct import *import, const struct trace_op *op)
{
	if (op->new_length > op->length)
		return op->length;
	return op->addr == op->new_addr ? import->header.page : op->new_length;
}

/*
 * Does @op, which neither grows nor shrinks, for each part of the old range without holes: there
 * the new range stays as it is.
 */
static const char *move_parts(struct import *import, const struct trace_op *op, bool keep)
{
	uint64_t addr = op->addr, last = trace_op_last(op), end;
	const struct as_mapping *mapping;
	const char *why = NULL;
	struct as_pos pos;

	while (!why && (mapping = as_from(&import->model, addr, &pos)) && mapping->first <= last) {
		struct trace_op part = { .verb = TRACE_MOVE };

		part.addr = mapping->first > addr ? mapping->first : addr;
		part.new_addr = op->new_addr + (part.addr - op->addr);
		end = mapped_until(import, part.addr, last);
		part.length = part.new_length = end - part.addr + 1;
		why = keep ? move_but_keep(import, &part) : import_op(import, part);
		if (end == last)
			break;
		addr = end + 1;
	}
	return why;
}

static const char *call_mremap(struct import *import, const struct strace_call *call)
{
	struct trace_op op = { .verb = TRACE_MOVE };
	uint64_t flags = 0, grown;
	const char *why = range_args(import, call, &op.addr, &op.length);
	bool keep;

	op.new_addr = call->result;
	if (why)
		return why;
	if (!strace_number(call->args[2], &op.new_length))
		return not_a_number;
	if (!strace_flags(call->args[3], mremap_names, &flags))
		return "the flags cannot be read";
	keep = flags & MREMAP_DONTUNMAP_BIT;
	why = import_round_up(&op.new_length, import->header.page);
	if (why)
		return why;
	if (!op.length)
		return map_again(import, op.addr, op.new_addr, op.new_length);
	/* Only such a move may have holes, though not at its beginning. */
	if (op.length == op.new_length && op.addr != op.new_addr && as_at(&import->model, op.addr))
		return move_parts(import, &op, keep);
	why = import_assume(import, op.addr, moved_length(import, &op));
	grown = op.new_length > op.length ? op.new_length - op.length : 0;
	/* The kernel found the room behind the range free, whatever the log says about it. */
	if (!why && op.addr == op.new_addr && grown &&
	    import_any_mapped(import, op.addr + op.length, grown)) {
		import->assumed++;
		why = import_unmap(import, op.addr + op.length, grown);
	}
	if (why)
		return why;
	return keep ? move_but_keep(import, &op) : import_op(import, op);
}

static const char *call_brk(struct import *import, const struct strace_call *call)
{
	struct as_mapping what = { 0, 0, 0, 0, TRACE_READ | TRACE_WRITE };
	uint64_t end = call->result, old = import->heap_end;
	const char *why = import_round_up(&end, import->header.page);

	if (why)
		return why;
	import->heap_end = end;
	if (!import->heap_known) {
		import->heap_known = true;
		return NULL;
	}
	if (end == old)
		return NULL;
	if (end < old)
		return import_unmap(import, end, old - end);
	what.first = old;
	what.last = end - 1;
	return import_map(import, &what);
}

static const char *call_shmget(struct import *import, const struct strace_call *call)
{
	struct segment *segment = objects_segment(&import->objects, call->result);
	uint64_t size, flags;
	const char *why;

	if (!segment)
		return import_no_memory;
	if (!strace_number(call->args[1], &size))
		return not_a_number;
	if (!strace_flags(call->args[2], shmget_names, &flags))
		return "the flags cannot be read";
	why = import_round_up(&size,
			      flags & SHM_HUGETLB_BIT ? huge_page(flags) : import->header.page);
	/* A call that only looks up a segment may give less, or 0. */
	if (!why && size > segment->size)
		segment->size = size;
	return why;
}

static const char *call_shmat(struct import *import, const struct strace_call *call)
{
	struct as_mapping what = { .first = call->result };
	struct segment *segment;
	uint64_t id, flags, length;

	if (!strace_number(call->args[0], &id))
		return not_a_number;
	if (!strace_flags(call->args[2], shmat_names, &flags))
		return "the flags cannot be read";
	segment = objects_segment(&import->objects, id);
	if (!segment)
		return import_no_memory;
	import->unsized += !segment->size;
	length = segment->size ? segment->size : import->header.page;
	what.last = what.first + (length - 1);
	what.object = segment->object;
	what.flags = TRACE_SHARED | TRACE_READ;
	if (!(flags & SHM_RDONLY_BIT))
		what.flags |= TRACE_WRITE;
	if (flags & SHM_EXEC_BIT)
		what.flags |= TRACE_EXEC;
	return import_map(import, &what);
}

/*
 * Returns the lowest mapping of the segment that was attached at @addr (of @object; 0: of any), or
 * NULL. Parts of it may have been replaced or unmapped since.
 */
static const struct as_mapping *find_attached(const struct import *import, uint64_t addr,
					      uint64_t object)
{
	const struct as_mapping *mapping;
	struct as_pos pos;

	for (mapping = as_from(&import->model, addr, &pos); mapping;
	     mapping = as_next(&import->model, &pos)) {
		if (mapping->first >= addr && mapping->offset == mapping->first - addr &&
		    (object ? mapping->object == object
			    : objects_is_segment(&import->objects, mapping->object)))
			break;
	}
	return mapping;
}

static const char *call_shmdt(struct import *import, const struct strace_call *call)
{
	const struct as_mapping *mapping;
	uint64_t addr, object;
	const char *why = NULL;

	if (!strace_number(call->args[0], &addr))
		return not_a_number;
	mapping = find_attached(import, addr, 0);
	if (!mapping) {
		/* Attached before the log began. */
		import->unsized++;
		return import_unmap(import, addr, import->header.page);
	}
	object = mapping->object;
	while (!why && mapping) {
		why = import_unmap(import, mapping->first, mapping->last - mapping->first + 1);
		mapping = find_attached(import, addr, object);
	}
	return why;
}

static const char *call_remap_file_pages(struct import *import, const struct strace_call *call)
{
	struct as_mapping what;
	uint64_t addr, length, page_offset;
	const char *why = range_args(import, call, &addr, &length);

	if (!why && !strace_number(call->args[3], &page_offset))
		why = not_a_number;
	if (!why)
		why = import_assume(import, addr, length);
	if (why)
		return why;
	what = *as_at(&import->model, addr);
	what.first = addr;
	what.last = addr + (length - 1);
	what.offset = what.object ? page_offset * import->header.page : 0;
	return import_map(import, &what);
}

/* A new program: nothing of the old one stays mapped. */
static const char *call_execve(struct import *import, const struct strace_call *call)
{
	const struct as_mapping *mapping;
	const char *why = NULL;
	struct as_pos pos;

	(void)call;
	while (!why && (mapping = as_from(&import->model, 0, &pos)))
		why = import_unmap(import, mapping->first, mapping->last - mapping->first + 1);
	import->heap_known = false;
	return why;
}

/* open, openat, creat, memfd_create and the like: the result is a new file. */
static const char *call_open(struct import *import, const struct strace_call *call)
{
	struct objects *objects = &import->objects;
	bool nameless = !strncmp(call->name, "memfd", 5);
	const char *path = NULL;
	uint64_t object, number;

	for (unsigned int i = 0; i < call->nr_args; i++) {
		if (!path && *call->args[i] == '"')
			path = call->args[i];
		else
			nameless |= strace_number(call->args[i], &number)
					    ? (number & TMPFILE_BIT) != 0
					    : strstr(call->args[i], "O_TMPFILE") != NULL;
	}
	/* Each nameless file is one of its own; others are told apart by their names. */
	if (nameless || !path)
		object = objects_new(objects);
	else if (call->path)
		object = objects_by_name(objects, call->path, strlen(call->path));
	else
		object = objects_by_name(objects, path + 1,
					 strlen(path) > 1 ? strlen(path) - 2 : 0);
	if (!object || objects_set_fd(&import->objects, (int64_t)call->result, object))
		return import_no_memory;
	return NULL;
}

static const char *call_close(struct import *import, const struct strace_call *call)
{
	const char *path;
	size_t length;
	int64_t fd;

	if (!strace_file(call->args[0], &fd, &path, &length))
		return "the file number cannot be read";
	return objects_set_fd(&import->objects, fd, 0) ? import_no_memory : NULL;
}

static const char *call_dup(struct import *import, const struct strace_call *call)
{
	uint64_t object;
	const char *why = file_object(import, call->args[0], &object);

	if (!why && objects_set_fd(&import->objects, (int64_t)call->result, object))
		why = import_no_memory;
	return why;
}

static const char *call_fcntl(struct import *import, const struct strace_call *call)
{
	uint64_t number;
	bool copies = strace_number(call->args[1], &number)
			      ? number == F_DUPFD_NUMBER || number == F_DUPFD_CLOEXEC_NUMBER
			      : strstr(call->args[1], "F_DUPFD") != NULL;

	return copies ? call_dup(import, call) : NULL;
}

static const struct {
	const char *name;
	unsigned int min_args;
	bool files; /* changes the table of files */
	const char *(*handle)(struct import *import, const struct strace_call *call);
} calls[] = {
	{ "mmap", 6, false, call_mmap },
	{ "mmap2", 6, false, call_mmap }, /* strace shows its offset in bytes */
	{ "munmap", 2, false, call_munmap },
	{ "mprotect", 3, false, call_mprotect },
	{ "pkey_mprotect", 3, false, call_mprotect },
	{ "mremap", 4, false, call_mremap },
	{ "brk", 1, false, call_brk },
	{ "shmget", 3, false, call_shmget },
	{ "shmat", 3, false, call_shmat },
	{ "shmdt", 1, false, call_shmdt },
	{ "remap_file_pages", 4, false, call_remap_file_pages },
	{ "execve", 1, false, call_execve },
	{ "execveat", 1, false, call_execve },
	{ "open", 1, true, call_open },
	{ "openat", 2, true, call_open },
	{ "openat2", 2, true, call_open },
	{ "creat", 1, true, call_open },
	{ "memfd_create", 1, true, call_open },
	{ "close", 1, true, call_close },
	{ "dup", 1, true, call_dup },
	{ "dup2", 1, true, call_dup },
	{ "dup3", 1, true, call_dup },
	{ "fcntl", 2, true, call_fcntl },
	{ "fcntl64", 2, true, call_fcntl }, /* of 32-bit programs */
};

bool import_placed(const struct import *import, const struct strace_call *call, uint64_t *addr,
		   uint64_t *length)
{
	uint64_t flags, old_addr, old_length;

	if (call->failed || call->nr_args < 4 || range_args(import, call, &old_addr, &old_length))
		return false;
	*addr = call->result;
	*length = old_length;
	if (!strcmp(call->name, "mmap") || !strcmp(call->name, "mmap2"))
		return strace_flags(call->args[3], map_names, &flags) && !(flags & MAP_FIXED_BIT);
	if (strcmp(call->name, "mremap") || !strace_number(call->args[2], length) ||
	    import_round_up(length, import->header.page) ||
	    !strace_flags(call->args[3], mremap_names, &flags) || flags & MREMAP_FIXED_BIT)
		return false;
	if (*addr != old_addr)
		return true;
	/* It was there already, up to the growth. */
	*addr += old_length;
	*length -= old_length < *length ? old_length : *length;
	return *length;
}

const char *import_call(struct import *import, const struct strace_call *call, bool files)
{
	if (call->failed && !call->no_memory)
		return NULL;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (strcmp(calls[i].name, call->name))
			continue;
		if (call->failed && calls[i].handle != call_mprotect)
			return NULL;
		if (call->nr_args < calls[i].min_args)
			return "the call has too few arguments";
		return calls[i].files && !files ? NULL : calls[i].handle(import, call);
	}
	return NULL;
}
