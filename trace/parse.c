/* SPDX-License-Identifier: MIT */
/* Parses, checks and formats the lines of a trace: see parse.h. */
#include "parse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	unsigned int fields;
} verbs[] = {
	[TRACE_MAP] = { "map", 5 },         [TRACE_UNMAP] = { "unmap", 2 },
	[TRACE_PROTECT] = { "protect", 3 }, [TRACE_MOVE] = { "move", 4 },
	[TRACE_LOAD] = { "load", 1 },
};

#define NR_VERBS (sizeof(verbs) / sizeof(verbs[0]))
#define MAX_FIELDS 5

const char *trace_verb_name(enum trace_verb verb)
{
	return verbs[verb].name;
}

bool trace_op_equal(const struct trace_op *a, const struct trace_op *b)
{
	if (a->verb != b->verb || a->addr != b->addr || a->length != b->length)
		return false;
	switch ((enum trace_verb)a->verb) {
	case TRACE_MAP:
		return a->object == b->object && a->offset == b->offset && a->flags == b->flags;
	case TRACE_PROTECT:
		return a->flags == b->flags;
	case TRACE_MOVE:
		return a->new_addr == b->new_addr && a->new_length == b->new_length;
	case TRACE_UNMAP:
	case TRACE_LOAD:
		break;
	}
	return true;
}

void trace_message(char *why, size_t size, const char *name, const char *what)
{
	snprintf(why, size, "%.*s: %s", PATH_MAX, name, what);
}

/* ---- Flags and numbers ---- */

const char *trace_flags_text(unsigned int flags, char text[static TRACE_FLAGS_SIZE])
{
	char *end = text;

	if (flags & TRACE_READ)
		*end++ = 'r';
	if (flags & TRACE_WRITE)
		*end++ = 'w';
	if (flags & TRACE_EXEC)
		*end++ = 'x';
	*end++ = flags & TRACE_SHARED ? 's' : 'p';
	if (flags & TRACE_GROWSDOWN)
		*end++ = 'g';
	*end = '\0';
	return text;
}

int trace_flags_parse(const char *text, unsigned int *flags)
{
	unsigned int found = 0;

	if (*text == 'r')
		text++, found |= TRACE_READ;
	if (*text == 'w')
		text++, found |= TRACE_WRITE;
	if (*text == 'x')
		text++, found |= TRACE_EXEC;
	if (*text == 's')
		found |= TRACE_SHARED;
	else if (*text != 'p')
		return -EINVAL;
	text++;
	if (*text == 'g')
		text++, found |= TRACE_GROWSDOWN;
	if (*text)
		return -EINVAL;
	*flags = found;
	return 0;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

/*
 * Reads all of @text as a number of @base, of at most 64 bits. Returns NULL, or what is wrong.
 */
static const char *parse_number(const char *text, unsigned int base, uint64_t *value)
{
	uint64_t sum = 0;

	if (!*text)
		return "a number is missing";
	for (; *text; text++) {
		unsigned int digit = (unsigned int)digit_of(*text);

		if (digit >= base)
			return base == 16 ? "not a hexadecimal number" : "not a decimal number";
		if (__builtin_mul_overflow(sum, base, &sum) ||
		    __builtin_add_overflow(sum, digit, &sum))
			return "the number does not fit in 64 bits";
	}
	*value = sum;
	return NULL;
}

size_t trace_utf8_length(const char *text)
{
	static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
	const unsigned char *s = (const unsigned char *)text;
	unsigned int more = *s < 0x80 ? 0 : *s >= 0xf0 ? 3 : *s >= 0xe0 ? 2 : 1;
	uint32_t code = more ? *s & (0x3fu >> more) : *s;

	if (!*s || (*s >= 0x80 && *s < 0xc2) || *s > 0xf4)
		return 0;
	for (unsigned int i = 1; i <= more; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3fu);
	}
	if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	return 1 + more;
}

bool trace_is_control(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	return *s < ' ' || *s == 0x7f || (*s == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0);
}

static bool text_is_utf8(const char *text)
{
	size_t length;

	while ((length = trace_utf8_length(text)))
		text += length;
	return !*text;
}

/* ---- What is allowed ---- */

const char *trace_source_fault(const char *text)
{
	if (!*text)
		return "the source is empty";
	if (strlen(text) >= sizeof(((struct trace_header *)NULL)->source))
		return "the source is longer than 1023 bytes";
	for (const char *c = text; *c; c++) {
		if (trace_is_control(c))
			return "the source contains a control character";
	}
	return text_is_utf8(text) ? NULL : "the source is not UTF-8";
}

static const char *page_fault(uint64_t page)
{
	return !page || page & (page - 1) ? "the page size is not a power of two" : NULL;
}

/* CONTEXT: the page size is valid. */
static const char *limits_fault(const struct trace_header *header)
{
	uint64_t mask = header->page - 1;

	if (header->va_first > header->va_last)
		return "the lowest address lies above the highest";
	if (header->va_first & mask || (header->va_last & mask) != mask)
		return "the address limits are not whole pages";
	return NULL;
}

const char *trace_header_fault(const struct trace_header *header)
{
	const char *fault = trace_source_fault(header->source);

	if (!fault)
		fault = page_fault(header->page);
	return fault ? fault : limits_fault(header);
}

static const char *range_fault(uint64_t addr, uint64_t length, const struct trace_header *header)
{
	if (!length)
		return "the length is 0";
	if ((addr | length) & (header->page - 1))
		return "not a multiple of the page size";
	if (addr + (length - 1) < addr)
		return "the range goes beyond the end of the address space";
	if (addr < header->va_first || addr + (length - 1) > header->va_last)
		return "the range is outside the limits that the header gives";
	return NULL;
}

static const char *map_fault(const struct trace_op *op, const struct trace_header *header)
{
	if (op->offset & (header->page - 1))
		return "the offset is not a multiple of the page size";
	if (op->offset + (op->length - 1) < op->offset)
		return "the offset goes beyond 64 bits within the range";
	if (!op->object && op->offset)
		return "private anonymous memory (object 0) has no offset";
	if (!op->object && op->flags & TRACE_SHARED)
		return "private anonymous memory (object 0) is not shared";
	return NULL;
}

static const char *move_fault(const struct trace_op *op, const struct trace_header *header)
{
	const char *fault = range_fault(op->new_addr, op->new_length, header);

	if (fault || op->addr == op->new_addr)
		return fault;
	if (op->new_addr <= trace_op_last(op) && op->addr <= op->new_addr + (op->new_length - 1))
		return "the old and the new range overlap";
	return NULL;
}

const char *trace_op_fault(const struct trace_op *op, const struct trace_header *header)
{
	const char *fault;

	if (op->verb >= NR_VERBS)
		return "unknown operation";
	if (op->verb == TRACE_LOAD) {
		if (op->addr < header->va_first || op->addr > header->va_last)
			return "the address is outside the limits that the header gives";
		return op->length == 1 ? NULL : "a load is of one byte";
	}
	fault = range_fault(op->addr, op->length, header);
	if (!fault && op->verb == TRACE_MAP)
		fault = map_fault(op, header);
	if (!fault && op->verb == TRACE_MOVE)
		fault = move_fault(op, header);
	if (!fault && op->flags & ~0x1fu)
		fault = "unknown flags";
	return fault;
}

/* ---- Lines ---- */

static const char carriage_return[] = "a carriage return; lines end in a line feed alone";

/* Returns what follows @prefix in @line, or NULL if @line does not begin with it. */
static const char *skip_prefix(const char *line, const char *prefix)
{
	size_t length = strlen(prefix);

	return strncmp(line, prefix, length) ? NULL : line + length;
}

static const char *parse_limits(const char *text, struct trace_header *header)
{
	char first[TRACE_OP_TEXT_MAX];
	const char *dash = strchr(text, '-');
	const char *fault;

	if (!dash || (size_t)(dash - text) >= sizeof(first))
		return "expected '# va: LOWEST-HIGHEST'";
	memcpy(first, text, (size_t)(dash - text));
	first[dash - text] = '\0';
	fault = parse_number(first, 16, &header->va_first);
	return fault ? fault : parse_number(dash + 1, 16, &header->va_last);
}

const char *trace_parse_header(const char *line, unsigned int number, struct trace_header *header)
{
	const char *text, *fault;

	if (strchr(line, '\r'))
		return carriage_return;
	switch (number) {
	case 1:
		text = skip_prefix(line, "# samara-trace ");
		if (!text)
			return "not a samara trace: the first line must be '# samara-trace 1'";
		return strcmp(text, "1") ? "only version 1 of the format is known" : NULL;
	case 2:
		text = skip_prefix(line, "# source: ");
		if (!text)
			return "expected '# source: TEXT'";
		fault = trace_source_fault(text);
		if (!fault)
			strcpy(header->source, text);
		return fault;
	case 3:
		text = skip_prefix(line, "# page: ");
		if (!text)
			return "expected '# page: SIZE'";
		fault = parse_number(text, 16, &header->page);
		return fault ? fault : page_fault(header->page);
	default:
		text = skip_prefix(line, "# va: ");
		if (!text)
			return "expected '# va: LOWEST-HIGHEST'";
		fault = parse_limits(text, header);
		return fault ? fault : limits_fault(header);
	}
}

/* Splits @line at blanks into up to @max words. Returns how many; @max + 1: there are more. */
static unsigned int split_words(char *line, char **words, unsigned int max)
{
	unsigned int nr = 0;

	for (;;) {
		while (*line == ' ')
			line++;
		if (!*line)
			return nr;
		if (nr == max)
			return nr + 1;
		words[nr++] = line;
		line += strcspn(line, " ");
		if (*line)
			*line++ = '\0';
	}
}

/* Sets the fields of @op from the words after its verb, whose number is right. */
static const char *parse_fields(char **words, struct trace_op *op)
{
	const char *fault = parse_number(words[0], 16, &op->addr);
	unsigned int flags = 0;
	const char *letters = NULL;

	if (!fault && op->verb != TRACE_LOAD)
		fault = parse_number(words[1], 16, &op->length);
	if (!fault && op->verb == TRACE_MAP) {
		fault = parse_number(words[2], 10, &op->object);
		if (!fault)
			fault = parse_number(words[3], 16, &op->offset);
		letters = words[4];
	} else if (!fault && op->verb == TRACE_PROTECT) {
		letters = words[2];
	} else if (!fault && op->verb == TRACE_MOVE) {
		fault = parse_number(words[2], 16, &op->new_addr);
		if (!fault)
			fault = parse_number(words[3], 16, &op->new_length);
	}
	if (!fault && letters && trace_flags_parse(letters, &flags))
		fault = "flags must be letters out of r, w, x in this order, then s or p, then "
			"perhaps g";
	op->flags = (uint8_t)flags;
	return fault;
}

static const char *wrong_number_of_fields(enum trace_verb verb)
{
	switch (verb) {
	case TRACE_MAP:
		return "expected 'map ADDR LENGTH OBJECT OFFSET FLAGS'";
	case TRACE_UNMAP:
		return "expected 'unmap ADDR LENGTH'";
	case TRACE_PROTECT:
		return "expected 'protect ADDR LENGTH FLAGS'";
	case TRACE_MOVE:
		return "expected 'move OLD OLD_LENGTH NEW NEW_LENGTH'";
	case TRACE_LOAD:
		break;
	}
	return "expected 'load ADDR'";
}

const char *trace_parse_op(char *line, const struct trace_header *header, struct trace_op *op,
			   bool *found)
{
	char *words[MAX_FIELDS + 1];
	unsigned int nr, verb;
	const char *fault;

	*found = false;
	if (!text_is_utf8(line))
		return "not UTF-8";
	line[strcspn(line, "#")] = '\0';
	if (strchr(line, '\r'))
		return carriage_return;
	nr = split_words(line, words, MAX_FIELDS + 1);
	if (!nr)
		return NULL;
	for (verb = 0; verb < NR_VERBS && strcmp(words[0], verbs[verb].name); verb++)
		;
	if (verb == NR_VERBS)
		return "unknown operation; expected map, unmap, protect, move or load";
	if (nr - 1 != verbs[verb].fields)
		return wrong_number_of_fields((enum trace_verb)verb);
	*op = (struct trace_op){ .verb = (uint8_t)verb, .length = 1 };
	fault = parse_fields(words + 1, op);
	if (!fault)
		fault = trace_op_fault(op, header);
	*found = !fault;
	return fault;
}

int trace_format_op(const struct trace_op *op, char text[static TRACE_OP_TEXT_MAX])
{
	const char *name = verbs[op->verb].name;
	char flags[TRACE_FLAGS_SIZE];

	trace_flags_text(op->flags, flags);
	switch ((enum trace_verb)op->verb) {
	case TRACE_MAP:
		return snprintf(text, TRACE_OP_TEXT_MAX,
				"%s %" PRIx64 " %" PRIx64 " %" PRIu64 " %" PRIx64 " %s\n", name,
				op->addr, op->length, op->object, op->offset, flags);
	case TRACE_PROTECT:
		return snprintf(text, TRACE_OP_TEXT_MAX, "%s %" PRIx64 " %" PRIx64 " %s\n", name,
				op->addr, op->length, flags);
	case TRACE_MOVE:
		return snprintf(text, TRACE_OP_TEXT_MAX,
				"%s %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 "\n", name,
				op->addr, op->length, op->new_addr, op->new_length);
	case TRACE_UNMAP:
		return snprintf(text, TRACE_OP_TEXT_MAX, "%s %" PRIx64 " %" PRIx64 "\n", name,
				op->addr, op->length);
	case TRACE_LOAD:
		break;
	}
	return snprintf(text, TRACE_OP_TEXT_MAX, "%s %" PRIx64 "\n", name, op->addr);
}

int trace_format_header(const struct trace_header *header, char text[static TRACE_HEADER_TEXT_MAX])
{
	return snprintf(text, TRACE_HEADER_TEXT_MAX,
			"# samara-trace 1\n# source: %s\n# page: %" PRIx64 "\n# va: %" PRIx64
			"-%" PRIx64 "\n",
			header->source, header->page, header->va_first, header->va_last);
}
