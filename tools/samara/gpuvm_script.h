/* SPDX-License-Identifier: MIT */
/* Parses and prints the lines of a script for a GPU VA space: docs/gpuvm-script.md. */
#ifndef SAMARA_TOOL_GPUVM_SCRIPT_H
#define SAMARA_TOOL_GPUVM_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRIPT_NAME 16 /* of an object, including the NUL */
#define SCRIPT_LINE 256

enum script_verb {
	SCRIPT_VM,
	SCRIPT_OBJECT,
	SCRIPT_MAP,
	SCRIPT_UNMAP,
	SCRIPT_OPS_MAP,
	SCRIPT_OPS_UNMAP,
	SCRIPT_PREFETCH,
	SCRIPT_UNMAP_ALL,
	SCRIPT_INSERT,
	SCRIPT_REMOVE,
	SCRIPT_FIND,
	SCRIPT_FIND_FIRST,
	SCRIPT_PREV,
	SCRIPT_NEXT,
	SCRIPT_EMPTY,
	SCRIPT_VALID,
	SCRIPT_HOLE,
	SCRIPT_EVICT,
	SCRIPT_VALIDATE,
	SCRIPT_DUMP,
	SCRIPT_VERBS
};

/* What is missing on the line is 0, or empty. */
struct script_line {
	enum script_verb verb;
	bool ranged; /* find: an exact range, not an address */
	uint64_t addr, range;
	char object[SCRIPT_NAME]; /* empty: none */
	uint64_t offset;
	bool reserves, aligns; /* the next members are given, even if 0 */
	uint64_t reserve_addr, reserve_range;
	uint64_t size, align;
	bool high;
};

/* Reads one line. Returns 1, 0 for a line without a command, or -1 with the reason in *@why. */
int script_parse(const char *line, struct script_line *out, const char **why);

/*
 * Writes the line so that it can be read again. Returns the number of characters, as snprintf()
 * does.
 */
int script_print(const struct script_line *line, char *text, size_t size);

#endif
