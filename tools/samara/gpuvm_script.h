/* SPDX-License-Identifier: MIT */
/* Lines of a script for a GPU VA space: docs/gpuvm-script.md. */
#ifndef SAMARA_TOOL_GPUVM_SCRIPT_H
#define SAMARA_TOOL_GPUVM_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRIPT_NAME 16 /* of an object, the end included */
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

/* What is not on the line is 0, or empty. */
struct script_line {
	enum script_verb verb;
	bool ranged; /* find: of an exact range, not of an address */
	uint64_t addr, range;
	char object[SCRIPT_NAME]; /* empty: none */
	uint64_t offset;
	bool reserves, aligns; /* the next ones are there, and may be 0 all the same */
	uint64_t reserve_addr, reserve_range;
	uint64_t size, align;
	bool high;
};

/* Reads one line: 1, or 0 for one that says nothing, or -1 and in *@why what is wrong. */
int script_parse(const char *line, struct script_line *out, const char **why);

/* Writes it as it could be read again; the number of characters, as snprintf(). */
int script_print(const struct script_line *line, char *text, size_t size);

#endif
