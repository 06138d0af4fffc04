/* SPDX-License-Identifier: MIT */
/*
 * Runs the examples and tables of the data files named on the command line, each row (each cell) as
 * a test with a name of its own. Rows that do not depend on the tree's flags also run in RCU mode
 * and with gap tracking.
 */
#include "interp.h"

#include "support/cm.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_ 2048
#define COLUMNS_MAX 12
#define SHORTS_MAX 16
#define OUT_SIZE 8192

struct example {
	char *name;
	char *setup;
	char *operations;
	char *results;
	bool last_only; /* results has only that of the last operation */
};

static struct CMUnitTest *tests;
static size_t nr_tests;

/* What the rows of a table need to know from earlier lines. */
struct table {
	char *name;
	char *setup;
	char *columns[COLUMNS_MAX];
	unsigned int nr_columns;
	struct {
		char *word, *text;
	} shorts[SHORTS_MAX];
	unsigned int nr_shorts;
};

static _Noreturn void broken(const char *file, unsigned int line, const char *what)
{
	fprintf(stderr, "%s:%u: %s\n", file, line, what);
	exit(99);
}

/* Texts live as long as the program; a list keeps leak checkers from reporting them. */
static char *copy(const char *text)
{
	static struct kept {
		struct kept *next;
		char text[];
	} * all;
	struct kept *one = malloc(sizeof(*one) + strlen(text) + 1);

	if (!one)
		exit(99);
	one->next = all;
	all = one;
	return strcpy(one->text, text);
}

static char *trim(char *text)
{
	char *end;

	text += strspn(text, " \t\n");
	end = text + strlen(text);
	while (end > text && strchr(" \t\n", end[-1]))
		*--end = '\0';
	return text;
}

/* Cuts @text at each @sep. Returns the number of pieces. */
static unsigned int cut(char *text, const char *sep, char **pieces, unsigned int max)
{
	unsigned int n = 0;
	char *save = NULL;

	for (char *p = strtok_r(text, sep, &save); p && n < max; p = strtok_r(NULL, sep, &save))
		pieces[n++] = trim(p);
	return n;
}

/* Compares the results; '*' matches anything up to the next semicolon. */
static bool matches(const char *want, const char *got)
{
	for (;; want++, got++) {
		if (*want == '*') {
			want++;
			got += strcspn(got, ";");
		}
		if (*want != *got)
			return false;
		if (!*want)
			return true;
	}
}

static void run_variant(const struct example *e, unsigned int variant, const char *how)
{
	char out[OUT_SIZE];
	const char *got = out, *cut_at;
	bool good = interp_run(e->setup, e->operations, variant, out, sizeof(out));

	if (e->last_only && (cut_at = strrchr(out, ';')) != NULL)
		got = cut_at + 2;
	if (good && matches(e->results, got))
		return;
	fail_msg("%s%s\n  setup:      %s\n  operations: %s\n  expected:   %s\n  got:        %s",
		 e->name, how, e->setup, e->operations, e->results, good ? got : out);
}

static void run_example(void **state)
{
	const struct example *e = *state;

	run_variant(e, 0, "");
	/* These look at the flags themselves, or at when memory is needed. */
	if (strstr(e->operations, "u.") || strstr(e->operations, "flags") ||
	    strstr(e->operations, "mem("))
		return;
	run_variant(e, INTERP_RCU, " (in RCU mode)");
	if (strstr(e->operations, "alloc") || strstr(e->operations, "empty_area"))
		return;
	run_variant(e, INTERP_ALLOC, " (with gap tracking)");
	run_variant(e, INTERP_ALLOC | INTERP_RCU, " (with gap tracking, in RCU mode)");
}

static void add(struct example example)
{
	struct example *e = malloc(sizeof(*e)); /* reachable from tests[] */

	tests = realloc(tests, (nr_tests + 1) * sizeof(*tests));
	if (!e || !tests)
		exit(99);
	*e = example;
	tests[nr_tests++] = (struct CMUnitTest){ e->name, run_example, NULL, NULL, e };
}

static const char *expand(const struct table *table, const char *cell)
{
	for (unsigned int i = 0; i < table->nr_shorts; i++)
		if (strcmp(table->shorts[i].word, cell) == 0)
			return table->shorts[i].text;
	return cell;
}

/* Adds a row of a table: one test for each operation of each column. */
static void add_cells(const struct table *table, char **cells)
{
	for (unsigned int i = 0; i < table->nr_columns; i++) {
		char *names[4], *column = copy(table->columns[i]);
		unsigned int n = cut(column, ",", names, 4);

		for (unsigned int k = 0; k < n; k++) {
			char name[256], operations[512];

			snprintf(name, sizeof(name), "%s: %s: %s", table->name, cells[0], names[k]);
			snprintf(operations, sizeof(operations), "%s; c.%s", cells[1], names[k]);
			add((struct example){ copy(name), table->setup, copy(operations),
					      copy(expand(table, cells[i + 2])), true });
		}
	}
}

static void begin_table(struct table *table, char **cells)
{
	memset(table, 0, sizeof(*table));
	table->name = copy(trim(cells[0] + strlen("table")));
	table->setup = copy(cells[1]);
}

static void set_columns(struct table *table, char **cells, unsigned int n)
{
	table->nr_columns = n - 1;
	for (unsigned int i = 1; i < n; i++)
		table->columns[i - 1] = copy(cells[i]);
}

static void add_short(struct table *table, char *line)
{
	char *equals = strchr(line, '=');

	if (!equals || table->nr_shorts == SHORTS_MAX)
		return;
	*equals = '\0';
	table->shorts[table->nr_shorts].word = copy(trim(line + strlen("short")));
	table->shorts[table->nr_shorts++].text = copy(trim(equals + 1));
}

static void read_line(struct table *table, char *line, const char *file, unsigned int nr)
{
	char *cells[COLUMNS_MAX + 2];
	unsigned int n;

	line = trim(line);
	if (!*line || *line == '#')
		return;
	if (strncmp(line, "short ", 6) == 0) {
		add_short(table, line);
		return;
	}
	n = cut(line, "|", cells, COLUMNS_MAX + 2);
	if (n == 2 && strncmp(cells[0], "table", 5) == 0)
		begin_table(table, cells);
	else if (n > 1 && strcmp(cells[0], "columns") == 0)
		set_columns(table, cells, n);
	else if (table->nr_columns && n == table->nr_columns + 2)
		add_cells(table, cells);
	else if (!table->nr_columns && n == 4)
		add((struct example){ copy(cells[0]), copy(cells[1]), copy(cells[2]),
				      copy(cells[3]), false });
	else
		broken(file, nr, "not a row");
}

static void read_file(const char *path)
{
	struct table table = { 0 };
	char line[LINE_MAX_];
	unsigned int nr = 0;
	FILE *file = fopen(path, "r");

	if (!file)
		broken(path, 0, "cannot be opened");
	while (fgets(line, sizeof(line), file)) {
		nr++;
		if (!strchr(line, '\n'))
			broken(path, nr, "too long");
		read_line(&table, line, path, nr);
	}
	fclose(file);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		read_file(argv[i]);
	if (nr_tests == 0)
		broken(argv[0], 0, "no examples given");
	return _cmocka_run_group_tests("conformance", tests, nr_tests, NULL, NULL);
}
