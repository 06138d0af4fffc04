/* SPDX-License-Identifier: MIT */
/*
 * Writes JSON, indented. Inside an object every value has a name; inside an array its name is NULL.
 */
#ifndef SAMARA_TOOL_JSON_H
#define SAMARA_TOOL_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
	FILE *out;
	unsigned int depth;
	bool any; /* the innermost object or array is not empty */
};

void json_begin(struct json *json, FILE *out);
void json_end(struct json *json);
void json_open(struct json *json, const char *name, char bracket);
void json_close(struct json *json, char bracket);
void json_text(struct json *json, const char *name, const char *text);
void json_number(struct json *json, const char *name, uint64_t number);
/* A value that is not finite becomes null. */
void json_real(struct json *json, const char *name, double number);
void json_bool(struct json *json, const char *name, bool value);

#endif
