/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <inttypes.h>
#include <math.h>

#include "trace/trace.h"

void json_begin(struct json *json, FILE *out)
{
	*json = (struct json){ .out = out };
}

void json_end(struct json *json)
{
	fputc('\n', json->out);
}

static void put_text(struct json *json, const char *text)
{
	fputc('"', json->out);
	while (*text) {
		unsigned char c = (unsigned char)*text;
		size_t length = trace_utf8_length(text);

		if (c == '"' || c == '\\')
			fprintf(json->out, "\\%c", c);
		else if (c < 0x20)
			fprintf(json->out, "\\u%04x", c);
		else if (length)
			fwrite(text, 1, length, json->out);
		else
			fputs("\\ufffd", json->out); /* a file's name may be any bytes */
		text += length ? length : 1;
	}
	fputc('"', json->out);
}

static void new_line(struct json *json)
{
	fprintf(json->out, "\n%*s", (int)json->depth * 2, "");
}

/* Writes what comes before any value. */
static void lead_in(struct json *json, const char *name)
{
	if (json->any)
		fputc(',', json->out);
	if (json->depth)
		new_line(json);
	if (name) {
		put_text(json, name);
		fputs(": ", json->out);
	}
	json->any = true;
}

void json_open(struct json *json, const char *name, char bracket)
{
	lead_in(json, name);
	fputc(bracket, json->out);
	json->depth++;
	json->any = false;
}

void json_close(struct json *json, char bracket)
{
	json->depth--;
	if (json->any)
		new_line(json);
	fputc(bracket, json->out);
	json->any = true;
}

void json_text(struct json *json, const char *name, const char *text)
{
	lead_in(json, name);
	put_text(json, text);
}

void json_number(struct json *json, const char *name, uint64_t number)
{
	lead_in(json, name);
	fprintf(json->out, "%" PRIu64, number);
}

void json_real(struct json *json, const char *name, double number)
{
	lead_in(json, name);
	if (isfinite(number))
		fprintf(json->out, "%.9g", number);
	else
		fputs("null", json->out);
}

void json_bool(struct json *json, const char *name, bool value)
{
	lead_in(json, name);
	fputs(value ? "true" : "false", json->out);
}
