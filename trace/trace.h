/* SPDX-License-Identifier: MIT */
/*
 * Reads and writes trace files: what one process did to its address space, as text.
 * docs/trace-format.md describes the format; this is version 1. A trace is read one operation at a
 * time from a file, plain or compressed with xz (told apart by the first bytes, not by the name),
 * from standard input, or from memory. It is written to a file, compressed if its name ends in .xz,
 * or to standard output.
 *
 * The reader refuses every line that the format does not allow. It does not check what depends on
 * the state of the address space (a protect over a hole, for example); the code that replays the
 * trace does. Messages have the form "FILE:LINE: what is wrong".
 *
 * No function takes a lock: use a reader or writer from one thread at a time.
 */
#ifndef TRACE_TRACE_H
#define TRACE_TRACE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum trace_verb {
	TRACE_MAP,
	TRACE_UNMAP,
	TRACE_PROTECT,
	TRACE_MOVE,
	TRACE_LOAD,
};

/* Flags of a mapping. Without TRACE_SHARED it is private. */
enum {
	TRACE_READ = 1,
	TRACE_WRITE = 2,
	TRACE_EXEC = 4,
	TRACE_SHARED = 8,
	TRACE_GROWSDOWN = 16,
};

/* Room for any message, with the longest possible file name. */
#define TRACE_WHY_SIZE (PATH_MAX + 256)

/* The flags that a protect must leave as they are. */
#define TRACE_KEPT (TRACE_SHARED | TRACE_GROWSDOWN)

/* Room for the letters of any flags and a NUL. */
#define TRACE_FLAGS_SIZE 8

/*
 * One operation, a line of the file. Addresses and lengths are in bytes; all but those of a load
 * are whole pages, and a range never wraps or leaves the header's limits.
 */
struct trace_op {
	uint64_t addr;
	uint64_t length; /* 1 for a load */
	union {
		struct {
			uint64_t object; /* map; 0: private anonymous memory */
			uint64_t offset; /* map */
		};
		struct {
			uint64_t new_addr;   /* move */
			uint64_t new_length; /* move */
		};
	};
	uint32_t line; /* of the file, for messages; 0: not read from a file */
	uint8_t verb;  /* enum trace_verb */
	uint8_t flags; /* map, protect */
};

struct trace_header {
	char source[1024]; /* one line of UTF-8: see trace_source_fault() */
	uint64_t page;     /* a power of two */
	uint64_t va_first; /* the lowest and the highest address that can occur */
	uint64_t va_last;
};

/* Returns the last byte of the operation's range, of a move the old one. */
static inline uint64_t trace_op_last(const struct trace_op *op)
{
	return op->addr + (op->length - 1);
}

/* Returns true if the operations are the same, whatever lines they come from. */
bool trace_op_equal(const struct trace_op *a, const struct trace_op *b);
/* Returns "map", "unmap", ... */
const char *trace_verb_name(enum trace_verb verb);
/* Writes the letters of @flags, "rwp" for example, and returns @text. */
const char *trace_flags_text(unsigned int flags, char text[static TRACE_FLAGS_SIZE]);
/* Reads the letters @text into *@flags. Returns 0 or -EINVAL. */
int trace_flags_parse(const char *text, unsigned int *flags);

/* Returns NULL if @text is valid as the source in a header, else what is wrong with it. */
const char *trace_source_fault(const char *text);
/* Returns the length of the UTF-8 character at @text; 0: there is none, or @text is empty. */
size_t trace_utf8_length(const char *text);
/* Returns true if @text begins with a control character, of ASCII or U+0080 to U+009F. */
bool trace_is_control(const char *text);

/* ---- Reading ---- */

struct trace_reader;

/*
 * Opens @path ("-": standard input) and reads the header. Returns 0, and the caller owns *@reader;
 * or a negative errno and a message in @why of @size bytes (TRACE_WHY_SIZE always suffice): -EINVAL
 * for a malformed header, else the error of the system.
 */
int trace_open(struct trace_reader **reader, const char *path, char *why, size_t size);
/*
 * The same for @length bytes at @data, which must stay valid until trace_close(); messages call it
 * @name.
 */
int trace_open_buffer(struct trace_reader **reader, const void *data, size_t length,
		      const char *name, char *why, size_t size);
const struct trace_header *trace_reader_header(const struct trace_reader *reader);
/*
 * Reads the next operation into *@op. Returns 1; 0 at the end; or a negative errno, with a message
 * in trace_reader_error().
 */
int trace_next(struct trace_reader *reader, struct trace_op *op);
/* Returns the message of the last failure, "" if none, valid until trace_close(). */
const char *trace_reader_error(const struct trace_reader *reader);
void trace_close(struct trace_reader *reader);

/* A whole trace in memory. */
struct trace {
	struct trace_header header;
	struct trace_op *ops;
	size_t count;
	size_t room;
};

/*
 * Reads all of @path. Returns 0; or a negative errno and a message in @why, and *@trace is empty.
 */
int trace_load(struct trace *trace, const char *path, char *why, size_t size);
/* Appends a copy of @op. Returns 0 or -ENOMEM. */
int trace_append(struct trace *trace, const struct trace_op *op);
void trace_free(struct trace *trace);

/*
 * For fuzzers: reads @data as a trace and, if it is one, writes it and reads that again, which must
 * give the same operations. Returns 0: it is a trace; -EINVAL: it is not; -EUCLEAN: the reader and
 * the writer disagree; or another negative errno, of memory or the system. Never crashes, whatever
 * the bytes.
 */
int trace_check_buffer(const void *data, size_t length);

/* ---- Writing ---- */

struct trace_writer;

/*
 * Creates @path ("-": standard output) and writes the header. Returns 0; or a negative errno and a
 * message in @why: -EINVAL for a header that a reader would refuse.
 */
int trace_create(struct trace_writer **writer, const char *path, const struct trace_header *header,
		 char *why, size_t size);
/* Returns 0, -EINVAL for an operation that a reader would refuse, or the error of the file. */
int trace_write(struct trace_writer *writer, const struct trace_op *op);
/*
 * Ends the file and frees the writer, also after errors. Returns 0 only if everything has been
 * written.
 */
int trace_finish(struct trace_writer *writer);

#endif
