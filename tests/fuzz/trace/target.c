/* SPDX-License-Identifier: MIT */
/*
 * Takes any bytes as a trace: it is refused or accepted, and an accepted one survives being
 * written.
 */
#include "fuzz.h"

#include <errno.h>
#include <stdlib.h>

#include "model/address_space.h"

/* The model takes whatever the reader accepts. */
static void apply_all(const uint8_t *data, size_t size)
{
	struct trace_reader *reader;
	struct address_space as;
	struct trace_op op;
	const char *reason;
	char why[256];

	if (trace_open_buffer(&reader, data, size, "fuzz", why, sizeof(why)))
		return;
	as_init(&as);
	while (trace_next(reader, &op) > 0) {
		if (as_apply(&as, &op, &reason) == -ENOMEM)
			break;
	}
	as_destroy(&as);
	trace_close(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (trace_check_buffer(data, size) == -EUCLEAN)
		abort();
	apply_all(data, size);
	return 0;
}
