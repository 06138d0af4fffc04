/* SPDX-License-Identifier: MIT */
/*
 * Takes any bytes as lines of a script for a GPU VA space: a line is refused with a reason, or
 * read, and then written and read again with the same result.
 */
#include "../trace/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "tools/samara/gpuvm_script.h"

static void one_line(const char *text)
{
	char again[SCRIPT_LINE];
	struct script_line line, other;
	const char *why = NULL;
	int what = script_parse(text, &line, &why);

	if ((what < 0) != (why != NULL))
		abort();
	if (what <= 0)
		return;
	if (script_print(&line, again, sizeof(again)) >= (int)sizeof(again) ||
	    script_parse(again, &other, &why) != 1 || memcmp(&line, &other, sizeof(line)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[2 * SCRIPT_LINE];
	size_t n = 0;

	for (size_t i = 0; i <= size; i++) {
		if (i < size && data[i] != '\n' && n < sizeof(text) - 1) {
			text[n++] = (char)data[i];
			continue;
		}
		text[n] = 0;
		one_line(text);
		n = 0;
	}
	return 0;
}
