/* SPDX-License-Identifier: MIT */
/*
 * `samara import`: strace.c reads the lines, import.c decides which processes' calls count,
 * import_calls.c turns calls into operations, import_space.c carries them out, import_objects.c
 * knows which object is behind a file number.
 */
#ifndef SAMARA_TOOL_IMPORT_H
#define SAMARA_TOOL_IMPORT_H

#include "model/address_space.h"
#include "strace.h"

/* ---- Objects ---- */

struct named_object {
	char *name;
	uint64_t object;
};

struct open_file {
	int64_t fd;
	uint64_t object; /* from open or dup, or without -y; 0: not known */
	uint64_t mapped; /* the last one mapped by this number with -y; 0: none */
};

struct segment {
	uint64_t id;   /* from shmget */
	uint64_t size; /* 0: not known */
	uint64_t object;
};

/* Hands out object ids, 1, 2, ... in order of appearance. */
struct objects {
	uint64_t last;
	struct named_object *named; /* sorted by name */
	size_t nr_named;
	struct open_file *files;
	size_t nr_files;
	struct segment *segments;
	size_t nr_segments;
};

void objects_destroy(struct objects *objects);
uint64_t objects_new(struct objects *objects);
/* Returns the object of a file name of @length bytes; 0: no memory. */
uint64_t objects_by_name(struct objects *objects, const char *name, size_t length);
/* Returns the object of a file name that is known already, or 0. */
uint64_t objects_find_name(const struct objects *objects, const char *name, size_t length);
/* Returns the object of a file number, a new one if it has none yet; 0: no memory. */
uint64_t objects_by_fd(struct objects *objects, int64_t fd);
/* Whether the file number has an object. */
bool objects_knows_fd(const struct objects *objects, int64_t fd);
/* Makes file number @fd stand for @object (0: not known). Returns 0 or -ENOMEM. */
int objects_set_fd(struct objects *objects, int64_t fd, uint64_t object);
/* Remembers that @object was mapped by the number @fd. Returns 0 or -ENOMEM. */
int objects_note_mapped(struct objects *objects, int64_t fd, uint64_t object);
/* Returns what was last noted about @fd since it was set, or 0. */
uint64_t objects_mapped(const struct objects *objects, int64_t fd);
/* Returns the System V segment @id, creating it if it is new; NULL: no memory. */
struct segment *objects_segment(struct objects *objects, uint64_t id);
/* Whether @object is a System V segment. */
bool objects_is_segment(const struct objects *objects, uint64_t object);

/* ---- The process ---- */

/* The address space of the imported process, and the trace that led to it. */
struct import {
	struct trace trace;
	struct trace_header header; /* page; the limits are those of the machine */
	struct address_space model;
	struct objects objects;
	bool heap_known;
	uint64_t heap_end; /* the break, rounded up to a page */
	uint32_t line;     /* of the log */
	size_t assumed;    /* ranges used without ever having been mapped */
	size_t unsized;    /* attached segments whose size is not in the log */
};

void import_init(struct import *import, uint64_t page);
void import_destroy(struct import *import);
/*
 * The building blocks of calls. Each returns NULL, or what is wrong. import_op() checks @op,
 * applies it to the model and appends it to the trace.
 */
extern const char import_no_memory[];
const char *import_op(struct import *import, struct trace_op op);
const char *import_map(struct import *import, const struct as_mapping *what);
const char *import_unmap(struct import *import, uint64_t addr, uint64_t length);
/* Rounds *@length up to whole pages of @page bytes. */
const char *import_round_up(uint64_t *length, uint64_t page);
bool import_any_mapped(const struct import *import, uint64_t addr, uint64_t length);
/*
 * A log does not show what execve, fork or the kernel mapped, nor what came before it. When such a
 * range is used, it is mapped here and now, as private anonymous memory that can be read and
 * written.
 */
const char *import_assume(struct import *import, uint64_t addr, uint64_t length);

/* Whether the kernel chose the place of what @call mapped: @length bytes at @addr. */
bool import_placed(const struct import *import, const struct strace_call *call, uint64_t *addr,
		   uint64_t *length);
/*
 * Does what @call did, if it is relevant. Without @files the caller has a table of files of its
 * own, whose changes do not count. Returns NULL, or what is wrong; then nothing more can be
 * imported.
 */
const char *import_call(struct import *import, const struct strace_call *call, bool files);

#endif
