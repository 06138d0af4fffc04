/* SPDX-License-Identifier: MIT */
#include "gpuvm_script.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What follows a verb, in this order. */
enum {
	A_RANGE = 1 << 0,    /* ADDR+RANGE */
	A_MAPPING = 1 << 1,  /* ADDR+RANGE=OBJECT@OFFSET */
	A_ADDR = 1 << 2,     /* ADDR */
	A_ANY = 1 << 3,      /* ADDR or ADDR+RANGE */
	A_OBJECT = 1 << 4,   /* NAME */
	A_SIZE = 1 << 5,     /* a number, optional for an object */
	A_RESERVED = 1 << 6, /* the remaining arguments of vm */
	A_WHERE = 1 << 7,    /* the remaining arguments of hole */
};

static const struct verb {
	const char *name;
	unsigned int args;
} verbs[SCRIPT_VERBS] = {
	[SCRIPT_VM] = { "vm", A_RANGE | A_RESERVED },
	[SCRIPT_OBJECT] = { "object", A_OBJECT | A_SIZE },
	[SCRIPT_MAP] = { "map", A_MAPPING },
	[SCRIPT_UNMAP] = { "unmap", A_RANGE },
	[SCRIPT_OPS_MAP] = { "ops-map", A_MAPPING },
	[SCRIPT_OPS_UNMAP] = { "ops-unmap", A_RANGE },
	[SCRIPT_PREFETCH] = { "prefetch", A_RANGE },
	[SCRIPT_UNMAP_ALL] = { "unmap-all", A_OBJECT },
	[SCRIPT_INSERT] = { "insert", A_MAPPING },
	[SCRIPT_REMOVE] = { "remove", A_RANGE },
	[SCRIPT_FIND] = { "find", A_ANY },
	[SCRIPT_FIND_FIRST] = { "find-first", A_RANGE },
	[SCRIPT_PREV] = { "prev", A_ADDR },
	[SCRIPT_NEXT] = { "next", A_ADDR },
	[SCRIPT_EMPTY] = { "empty", A_RANGE },
	[SCRIPT_VALID] = { "valid", A_RANGE },
	[SCRIPT_HOLE] = { "hole", A_SIZE | A_WHERE },
	[SCRIPT_EVICT] = { "evict", A_OBJECT },
	[SCRIPT_VALIDATE] = { "validate", 0 },
	[SCRIPT_DUMP] = { "dump", 0 },
};

/* ---- Reading ---- */

struct cursor {
	const char *at;
	const char *why; /* the first thing that was wrong */
};

static bool wrong(struct cursor *c, const char *why)
{
	if (!c->why)
		c->why = why;
	return false;
}

static void blanks(struct cursor *c)
{
	while (*c->at == ' ' || *c->at == '\t')
		c->at++;
}

static bool at_end(const struct cursor *c)
{
	return *c->at == 0 || *c->at == '#' || *c->at == '\n' || *c->at == '\r';
}

static bool take(struct cursor *c, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(c->at, word, n))
		return false;
	c->at += n;
	return true;
}

static bool number(struct cursor *c, uint64_t *value)
{
	const char *begin = c->at;

	for (*value = 0; isxdigit((unsigned char)*c->at); c->at++) {
		int digit = tolower((unsigned char)*c->at);

		if (*value >> 60)
			return wrong(c, "a number has more than 64 bits");
		*value = *value << 4 | (uint64_t)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
	}
	return c->at > begin || wrong(c, "a hexadecimal number is missing");
}

static bool range(struct cursor *c, uint64_t *addr, uint64_t *size)
{
	if (!number(c, addr))
		return false;
	if (!take(c, "+"))
		return wrong(c, "ADDR+RANGE is wanted");
	return number(c, size);
}

static bool name(struct cursor *c, char out[SCRIPT_NAME])
{
	size_t n = 0;

	if (!isalpha((unsigned char)*c->at))
		return wrong(c, "an object's name is missing");
	for (; isalnum((unsigned char)*c->at) || *c->at == '_'; c->at++) {
		if (n == SCRIPT_NAME - 1)
			return wrong(c, "an object's name is too long");
		out[n++] = *c->at;
	}
	out[n] = 0;
	return true;
}

static bool mapping(struct cursor *c, struct script_line *out)
{
	if (!range(c, &out->addr, &out->range))
		return false;
	if (!take(c, "="))
		return wrong(c, "ADDR+RANGE=OBJECT@OFFSET is wanted");
	if (!take(c, "-") && !name(c, out->object))
		return false;
	return take(c, "@") ? number(c, &out->offset) : true;
}

static void align(struct cursor *c, struct script_line *out)
{
	blanks(c);
	out->aligns = take(c, "align=") && number(c, &out->align);
}

static bool where(struct cursor *c, struct script_line *out)
{
	align(c, out);
	blanks(c);
	if (take(c, "in=") && (!range(c, &out->addr, &out->range) || !out->range))
		return wrong(c, "0 makes no sense here");
	blanks(c);
	out->high = take(c, "high");
	return true;
}

static bool arguments(struct cursor *c, unsigned int args, struct script_line *out)
{
	bool good = true;

	if (args & A_MAPPING)
		good = mapping(c, out);
	else if (args & A_RANGE)
		good = range(c, &out->addr, &out->range);
	else if (args & (A_ADDR | A_ANY))
		good = number(c, &out->addr);
	else if (args & A_OBJECT)
		good = name(c, out->object);
	if (good && (args & A_ANY) && take(c, "+")) {
		out->ranged = true;
		good = number(c, &out->range);
	}
	if (good && (args & A_RESERVED)) {
		out->reserves = take(c, "/");
		if (out->reserves)
			good = range(c, &out->reserve_addr, &out->reserve_range);
		align(c, out);
	}
	blanks(c);
	if (good && (args & A_SIZE) && (!at_end(c) || (args & A_WHERE)))
		good = number(c, &out->size);
	if (good && (args & A_WHERE))
		good = where(c, out);
	return good && !c->why;
}

static const struct verb *find_verb(struct cursor *c)
{
	size_t n = strcspn(c->at, " \t\r\n#");

	for (unsigned int i = 0; i < SCRIPT_VERBS; i++) {
		if (strlen(verbs[i].name) == n && !strncmp(verbs[i].name, c->at, n)) {
			c->at += n;
			return &verbs[i];
		}
	}
	return NULL;
}

int script_parse(const char *line, struct script_line *out, const char **why)
{
	struct cursor c = { line, NULL };
	const struct verb *verb;

	memset(out, 0, sizeof(*out));
	blanks(&c);
	if (at_end(&c))
		return 0;
	verb = find_verb(&c);
	if (!verb) {
		*why = "unknown command";
		return -1;
	}
	out->verb = (enum script_verb)(verb - verbs);
	blanks(&c);
	if (arguments(&c, verb->args, out)) {
		blanks(&c);
		if (at_end(&c))
			return 1;
		wrong(&c, "something follows that does not belong there");
	}
	*why = c.why;
	return -1;
}

/* ---- Writing ---- */

struct writer {
	char *text;
	size_t size;
	int len;
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *w, const char *format, ...)
{
	size_t done = (size_t)w->len < w->size ? (size_t)w->len : w->size;
	va_list args;

	va_start(args, format);
	w->len += vsnprintf(w->text + done, w->size - done, format, args);
	va_end(args);
}

static void put_where(struct writer *w, const struct script_line *line)
{
	if (line->range)
		put(w, " in=%" PRIx64 "+%" PRIx64, line->addr, line->range);
	if (line->high)
		put(w, " high");
}

int script_print(const struct script_line *line, char *text, size_t size)
{
	const struct verb *verb = &verbs[line->verb];
	unsigned int args = verb->args;
	struct writer w = { text, size, 0 };

	put(&w, "%s", verb->name);
	if (args & (A_MAPPING | A_RANGE | A_ADDR | A_ANY))
		put(&w, " %" PRIx64, line->addr);
	if ((args & (A_MAPPING | A_RANGE)) || line->ranged)
		put(&w, "+%" PRIx64, line->range);
	if (args & A_MAPPING)
		put(&w, "=%s@%" PRIx64, *line->object ? line->object : "-", line->offset);
	if (args & A_OBJECT)
		put(&w, " %s", line->object);
	if (line->reserves)
		put(&w, "/%" PRIx64 "+%" PRIx64, line->reserve_addr, line->reserve_range);
	if ((args & A_WHERE) || line->size)
		put(&w, " %" PRIx64, line->size);
	if (line->aligns)
		put(&w, " align=%" PRIx64, line->align);
	if (args & A_WHERE)
		put_where(&w, line);
	return w.len;
}
