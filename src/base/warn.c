/* SPDX-License-Identifier: MIT */
#include "base/warn.h"

#include <samara/xarray.h>
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

void mt_warn_value_(unsigned long v)
{
	smr_warn_once("xa_mk_value(%#lx): the highest bit is lost", v);
}
