/* SPDX-License-Identifier: MIT */
#include "interp_text.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* What the letters stand for: distinct, aligned addresses. */
static unsigned long letters[26][2];

static const char *const status_names[] = {
	[ma_active] = "active",       [ma_start] = "start", [ma_root] = "root",
	[ma_none] = "none",           [ma_pause] = "pause", [ma_overflow] = "overflow",
	[ma_underflow] = "underflow", [ma_error] = "error",
};

#define NR_STATUS (sizeof(status_names) / sizeof(status_names[0]))

static const struct {
	int code;
	const char *name;
} codes[] = {
	{ -EINVAL, "-EINVAL" },
	{ -ENOMEM, "-ENOMEM" },
	{ -EEXIST, "-EEXIST" },
	{ -EBUSY, "-EBUSY" },
};

void text_add(struct text *text, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text->at, text->room, format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= text->room) {
		text->full = true;
		return;
	}
	text->at += len;
	text->room -= (size_t)len;
}

void text_key(struct text *text, unsigned long key)
{
	if (key == ULONG_MAX)
		text_add(text, "M");
	else if (key > ULONG_MAX - 1000)
		text_add(text, "M-%lu", ULONG_MAX - key);
	else
		text_add(text, "%lu", key);
}

void text_range(struct text *text, unsigned long first, unsigned long last)
{
	text_key(text, first);
	text_add(text, "..");
	text_key(text, last);
}

void text_entry(struct text *text, const void *entry)
{
	const unsigned long *letter = entry;

	if (!entry)
		text_add(text, "NULL");
	else if (xa_is_zero(entry))
		text_add(text, "ZERO");
	else if (letter >= letters[0] && letter <= letters[25])
		text_add(text, "%c", (int)('A' + (letter - letters[0]) / 2));
	else if (xa_is_value(entry))
		text_add(text, "v%lu", xa_to_value(entry));
	else
		text_add(text, "r%lu", (unsigned long)entry);
}

void text_code(struct text *text, int code)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if (codes[i].code == code) {
			text_add(text, "%s", codes[i].name);
			return;
		}
	}
	text_add(text, "%d", code);
}

void text_cursor(struct text *text, const struct ma_state *mas)
{
	text_range(text, mas->index, mas->last);
	if ((size_t)mas->status >= NR_STATUS) {
		text_add(text, " status?%d", (int)mas->status);
		return;
	}
	text_add(text, " %s", status_names[mas->status]);
	if (mas->status == ma_error) {
		text_add(text, "(");
		text_code(text, xa_err(mas->node));
		text_add(text, ")");
	}
}

void skip_blanks(const char **at)
{
	while (isspace((unsigned char)**at))
		(*at)++;
}

bool take_char(const char **at, char c)
{
	skip_blanks(at);
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

static bool take_number(const char **at, unsigned long *number)
{
	char *end;

	if (!isdigit((unsigned char)**at))
		return false;
	errno = 0;
	*number = strtoul(*at, &end, 10);
	*at = end;
	return errno == 0;
}

bool take_key(const char **at, unsigned long *key)
{
	unsigned long below = 0;
	const char *p;

	skip_blanks(at);
	p = *at;
	if (*p != 'M')
		return take_number(at, key);
	p++;
	if (*p == '-') {
		p++;
		if (!take_number(&p, &below))
			return false;
	}
	*at = p;
	*key = ULONG_MAX - below;
	return true;
}

static bool take_word(const char **at, const char *word)
{
	size_t len = strlen(word);

	skip_blanks(at);
	if (strncmp(*at, word, len) != 0 || isalnum((unsigned char)(*at)[len]))
		return false;
	*at += len;
	return true;
}

bool take_entry(const char **at, void **entry)
{
	unsigned long number;
	const char *p;

	if (take_word(at, "NULL")) {
		*entry = NULL;
		return true;
	}
	if (take_word(at, "ZERO")) {
		*entry = XA_ZERO_ENTRY;
		return true;
	}
	skip_blanks(at);
	p = *at + 1;
	if (**at >= 'A' && **at <= 'Z' && !isalnum((unsigned char)*p)) {
		*entry = letters[**at - 'A'];
		*at = p;
		return true;
	}
	if ((**at != 'v' && **at != 'r') || !take_number(&p, &number))
		return false;
	*entry = **at == 'v' ? xa_mk_value(number) : (void *)number;
	*at = p;
	return true;
}

bool take_gfp(const char **at, gfp_t *gfp)
{
	if (take_word(at, "KERNEL"))
		*gfp = GFP_KERNEL;
	else if (take_word(at, "ATOMIC"))
		*gfp = GFP_ATOMIC;
	else if (take_word(at, "NOWAIT"))
		*gfp = GFP_NOWAIT;
	else
		return false;
	return true;
}

bool take_status(const char **at, enum maple_status *status)
{
	for (size_t i = 0; i < NR_STATUS; i++) {
		if (take_word(at, status_names[i])) {
			*status = (enum maple_status)i;
			return true;
		}
	}
	return false;
}

bool take_name(const char **at, char *name, size_t size)
{
	size_t len = 0;

	skip_blanks(at);
	while (islower((unsigned char)(*at)[len]) || (*at)[len] == '_')
		len++;
	if (len == 0 || len >= size)
		return false;
	memcpy(name, *at, len);
	name[len] = '\0';
	*at += len;
	return true;
}
