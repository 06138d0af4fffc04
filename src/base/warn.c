/* SPDX-License-Identifier: MIT */
#include "base/warn.h"

#include <stdarg.h>
#include <stdio.h>

/* One write, so that what several threads have to say is not mixed. */
void smr_warn(const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "samara: warning: %s\n", text);
}
