/* SPDX-License-Identifier: MIT */
#include "import.h"

#include <errno.h>
#include <stdlib.h>

#include "trace/parse.h"

const char import_no_memory[] = "out of memory";

void import_init(struct import *import, uint64_t page)
{
	*import = (struct import){ .header = { .page = page, .va_last = UINT64_MAX } };
	as_init(&import->model);
}

void import_destroy(struct import *import)
{
	trace_free(&import->trace);
	as_destroy(&import->model);
	objects_destroy(&import->objects);
}

const char *import_op(struct import *import, struct trace_op op)
{
	const char *why = trace_op_fault(&op, &import->header);

	op.line = import->line;
	if (why)
		return why;
	if (as_apply(&import->model, &op, &why) == -ENOMEM || trace_append(&import->trace, &op))
		return import_no_memory;
	return why;
}

const char *import_map(struct import *import, const struct as_mapping *what)
{
	struct trace_op op = { .verb = TRACE_MAP,
			       .addr = what->first,
			       .length = what->last - what->first + 1 };

	op.object = what->object;
	op.offset = what->offset;
	op.flags = (uint8_t)what->flags;
	return import_op(import, op);
}

const char *import_unmap(struct import *import, uint64_t addr, uint64_t length)
{
	return import_op(import,
			 (struct trace_op){ .verb = TRACE_UNMAP, .addr = addr, .length = length });
}

const char *import_round_up(uint64_t *length, uint64_t page)
{
	if (__builtin_add_overflow(*length, page - 1, length))
		return "the length does not fit in 64 bits";
	*length &= ~(page - 1);
	return NULL;
}

bool import_any_mapped(const struct import *import, uint64_t addr, uint64_t length)
{
	struct as_pos pos;
	const struct as_mapping *mapping = as_from(&import->model, addr, &pos);

	return mapping && mapping->first <= addr + (length - 1);
}

const char *import_assume(struct import *import, uint64_t addr, uint64_t length)
{
	uint64_t last = addr + (length - 1);
	const char *why = NULL;

	while (!why) {
		struct as_mapping hole = { addr, last, 0, 0, TRACE_READ | TRACE_WRITE };
		struct as_pos pos;
		const struct as_mapping *mapping = as_from(&import->model, addr, &pos);

		if (mapping && mapping->first <= addr) {
			if (mapping->last >= last)
				return NULL;
			addr = mapping->last + 1;
			continue;
		}
		if (mapping && mapping->first <= last)
			hole.last = mapping->first - 1;
		import->assumed++;
		why = import_map(import, &hole);
	}
	return why;
}
