/* SPDX-License-Identifier: MIT */
/* The words of the shorthand: keys, entries, flags, statuses, in both directions. */
#ifndef TESTS_CONFORMANCE_INTERP_TEXT_H
#define TESTS_CONFORMANCE_INTERP_TEXT_H

#include <samara/maple_tree.h>

/* Text being put together; full is set if something did not fit. */
struct text {
	char *at;
	size_t room;
	bool full;
};

void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_key(struct text *text, unsigned long key);
void text_range(struct text *text, unsigned long first, unsigned long last);
void text_entry(struct text *text, const void *entry);
/* 0, 1, -EINVAL ... */
void text_code(struct text *text, int code);
/* "5..9 active" */
void text_cursor(struct text *text, const struct ma_state *mas);

/* Each takes its word off the front of *@at, or returns false and leaves *@at alone. */
bool take_key(const char **at, unsigned long *key);
bool take_entry(const char **at, void **entry);
bool take_gfp(const char **at, gfp_t *gfp);
bool take_status(const char **at, enum maple_status *status);
/* A lower-case name with underscores. */
bool take_name(const char **at, char *name, size_t size);
bool take_char(const char **at, char c);
void skip_blanks(const char **at);

#endif
