/* SPDX-License-Identifier: MIT */
#include "base/warn.h"

#include <samara/xarray.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/say.h"

/* Uses one write, so that the warnings of several threads do not mix. */
void smr_warn(const char *format, ...)
{
	char what[256], text[300];
	struct smr_saying s;
	va_list args;

	smr_say_begin(&s);
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	snprintf(text, sizeof(text), "samara: warning: %s\n", what);
	smr_say(text);
	smr_say_end(&s);
}

void mt_warn_value_(unsigned long v)
{
	smr_warn_once("xa_mk_value(%#lx): the highest bit is lost", v);
}
