/* SPDX-License-Identifier: MIT */
/*
 * Trace files: what one process did to its address space, as text. docs/trace-format.md describes
 * the format; this is version 1. A trace is read from a file, plain or compressed with xz (told
 * apart by the first bytes, not by the name), from standard input, or from memory, one operation
 * at a time; or written to a file, compressed when its name ends in .xz, or to standard output.
 *
 * The reader refuses every line that the format does not allow; what depends on the state of the
 * address space (a protect over a hole, say) is for whoever replays the trace to find. Messages
 * have the form "FILE:LINE: what is wrong".
 *
 * Nothing here locks: one thread per reader or writer.
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

/* Flags of a mapping. Exactly one of TRACE_SHARED and its absence: absent means private. */
enum {
	TRACE_READ = 1,
	TRACE_WRITE = 2,
	TRACE_EXEC = 4,
	TRACE_SHARED = 8,
	TRACE_GROWSDOWN = 16,
};

/* Room for any message, with the longest name that a file can have. */
#define TRACE_WHY_SIZE (PATH_MAX + 256)

/* What a protect leaves as it is. */
#define TRACE_KEPT (TRACE_SHARED | TRACE_GROWSDOWN)

/* Room for the letters of any flags and a NUL. */
#define TRACE_FLAGS_SIZE 8

/*
 * One line. Addresses and lengths are in bytes; all but that of a load are whole pages, and a
 * range never wraps or leaves the header's limits.
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
	uint32_t line; /* of the file, for messages; 0 when made rather than read */
	uint8_t verb;  /* enum trace_verb */
	uint8_t flags; /* map, protect */
};

struct trace_header {
	char source[1024]; /* one line of UTF-8: trace_source_fault() */
	uint64_t page;     /* a power of two */
	uint64_t va_first; /* the lowest and the highest address that can occur */
	uint64_t va_last;
};

/* The last byte of an operation's (old) range. */
static inline uint64_t trace_op_last(const struct trace_op *op)
{
	return op->addr + (op->length - 1);
}

/* Same operation, wherever it was read? */
bool trace_op_equal(const struct trace_op *a, const struct trace_op *b);
/* "map", "unmap", ... */
const char *trace_verb_name(enum trace_verb verb);
/* Writes the letters of @flags, "rwp" for example, and returns @text. */
const char *trace_flags_text(unsigned int flags, char text[static TRACE_FLAGS_SIZE]);
/* The flags that @text names: 0 or -EINVAL. */
int trace_flags_parse(const char *text, unsigned int *flags);

/* NULL when @text may be the source that a header gives, else what is wrong with it. */
const char *trace_source_fault(const char *text);
/* Bytes of the UTF-8 character that @text begins with; 0: it is none, or @text is empty. */
size_t trace_utf8_length(const char *text);
/* Does @text begin with a control character, of ASCII or U+0080 to U+009F? */
bool trace_is_control(const char *text);

/* ---- Reading ---- */

struct trace_reader;

/*
 * Opens @path ("-": standard input) and reads the header. Returns 0, or a negative errno and a
 * message in @why of @size bytes (TRACE_WHY_SIZE always do): -EINVAL for a malformed header, else
 * what the system said. On success the caller owns *@reader.
 */
int trace_open(struct trace_reader **reader, const char *path, char *why, size_t size);
/* The same for @length bytes at @data, which must stay; messages call it @name. */
int trace_open_buffer(struct trace_reader **reader, const void *data, size_t length,
		      const char *name, char *why, size_t size);
const struct trace_header *trace_reader_header(const struct trace_reader *reader);
/* 1: *@op is the next operation; 0: the end; negative errno: trace_reader_error() tells. */
int trace_next(struct trace_reader *reader, struct trace_op *op);
/* The message of the last failure; "" when there was none. Lives as long as the reader. */
const char *trace_reader_error(const struct trace_reader *reader);
void trace_close(struct trace_reader *reader);

/* A whole trace in memory. */
struct trace {
	struct trace_header header;
	struct trace_op *ops;
	size_t count;
	size_t room;
};

/* Reads all of @path. 0, or a negative errno and a message in @why, and *@trace is empty. */
int trace_load(struct trace *trace, const char *path, char *why, size_t size);
/* Appends a copy of @op: 0 or -ENOMEM. */
int trace_append(struct trace *trace, const struct trace_op *op);
void trace_free(struct trace *trace);

/*
 * What a fuzzer calls: reads @data as a trace and, if it is one, writes it and reads that again,
 * which must give the same operations. 0: it is a trace, -EINVAL: it is none, -EUCLEAN: the
 * reader and the writer disagree; or what memory and the system said. Never crashes, whatever the
 * bytes.
 */
int trace_check_buffer(const void *data, size_t length);

/* ---- Writing ---- */

struct trace_writer;

/*
 * Creates @path ("-": standard output) and writes the header. 0, or a negative errno and a
 * message: -EINVAL for a header that no reader would take.
 */
int trace_create(struct trace_writer **writer, const char *path, const struct trace_header *header,
		 char *why, size_t size);
/* 0, -EINVAL for an operation that no reader would take, or the errno of the file. */
int trace_write(struct trace_writer *writer, const struct trace_op *op);
/*
 * Ends the file and frees the writer, also after errors. Only a 0 here means that all has been
 * written.
 */
int trace_finish(struct trace_writer *writer);

#endif
