/* SPDX-License-Identifier: MIT */
#include "strace.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"

/* The first half of a call that its process has not completed yet. */
struct half {
	uint64_t pid;
	size_t line;
	bool early;
	char *text;
};

struct strace {
	size_t nr_lines;
	uint64_t first; /* the process of the first line that is about one */
	bool seen_first;
	struct half *halves;
	size_t nr_halves;
	uint64_t *attached;
	size_t nr_attached;
	size_t headless;
	char *begun;  /* what came of a line before a message cut it; NULL: nothing */
	char *whole;  /* the last line that was put together again */
	bool summary; /* has begun; it is the end of the log */
	char *joined; /* text of the last call that was joined */
};

struct strace *strace_new(void)
{
	return calloc(1, sizeof(struct strace));
}

void strace_free(struct strace *strace)
{
	if (!strace)
		return;
	for (size_t i = 0; i < strace->nr_halves; i++)
		free(strace->halves[i].text);
	free(strace->halves);
	free(strace->attached);
	free(strace->begun);
	free(strace->whole);
	free(strace->joined);
	free(strace);
}

size_t strace_unfinished(const struct strace *strace)
{
	return strace->nr_halves;
}

size_t strace_headless(const struct strace *strace)
{
	return strace->headless;
}

const char *strace_half(const struct strace *strace, size_t i, uint64_t *pid, size_t *began)
{
	if (i >= strace->nr_halves)
		return NULL;
	*pid = strace->halves[i].pid;
	*began = strace->halves[i].line;
	return strace->halves[i].early ? "" : strace->halves[i].text;
}

uint64_t strace_first(const struct strace *strace)
{
	return strace->first;
}

bool strace_attached(const struct strace *strace, uint64_t pid)
{
	for (size_t i = 0; i < strace->nr_attached; i++) {
		if (strace->attached[i] == pid)
			return true;
	}
	return false;
}

/* ---- Halves ---- */

/* Keeps the first half @text of a call of @pid. Returns 0 or -ENOMEM. */
static int keep_half(struct strace *strace, uint64_t pid, const char *text, size_t length)
{
	struct half *halves = array_extend(strace->halves, strace->nr_halves, sizeof(*halves));

	if (!halves)
		return -ENOMEM;
	strace->halves = halves;
	halves[strace->nr_halves].text = strndup(text, length);
	if (!halves[strace->nr_halves].text)
		return -ENOMEM;
	halves[strace->nr_halves].line = strace->nr_lines - 1;
	halves[strace->nr_halves].early = false;
	halves[strace->nr_halves++].pid = pid;
	return 0;
}

/*
 * Returns where a first half ends, or NULL. It has no second half if strace let go of the process.
 * When a thread executes a program, strace names its new process id; *@pid is set to that id, since
 * the second half will have it.
 */
static char *find_cut(char *line, uint64_t *pid)
{
	char *cut = strrchr(line, '<');
	unsigned long long next;
	int length = 0;

	if (!cut || !strcmp(cut, "<unfinished ...>") || !strcmp(cut, "<detached ...>"))
		return cut;
	if (sscanf(cut, "<pid changed to %llu ...>%n", &next, &length) != 1 || !length ||
	    cut[length])
		return NULL;
	*pid = next;
	return cut;
}

/*
 * Returns the first half to which a second half of @pid belongs, or SIZE_MAX. Process ids appear
 * when a second process does, and go with it: a second half without one belongs to the only process
 * left, and a first half without one to the process that was alone.
 */
static size_t find_half(const struct strace *strace, uint64_t pid, const char *name, size_t length)
{
	size_t found = SIZE_MAX;

	for (size_t i = strace->nr_halves; i-- > 0;) {
		const struct half *half = &strace->halves[i];

		if (strncmp(half->text, name, length) || half->text[length] != '(')
			continue;
		if (half->pid == pid)
			return i;
		if (found == SIZE_MAX && (!pid || !half->pid))
			found = i;
	}
	return found;
}

/*
 * Appends the second half @text of a call named @name (of @length bytes) to the first. 1: *@line is
 * the whole call, which @call says when it began; 0: there is no first half.
 */
static int join_halves(struct strace *strace, uint64_t pid, const char *name, size_t length,
		       const char *text, char **line, struct strace_call *call)
{
	size_t i = find_half(strace, pid, name, length);
	char *first;

	if (i == SIZE_MAX) {
		strace->headless++;
		return 0;
	}
	first = strace->halves[i].text;
	free(strace->joined);
	strace->joined = malloc(strlen(first) + strlen(text) + 1);
	if (!strace->joined)
		return -ENOMEM;
	strcpy(stpcpy(strace->joined, first), text);
	free(first);
	call->began = strace->halves[i].line;
	call->early = strace->halves[i].early;
	strace->halves[i] = strace->halves[--strace->nr_halves];
	*line = strace->joined;
	return 1;
}

/* ---- Prefixes ---- */

static char *skip_blanks(char *text)
{
	return text + strspn(text, " \t");
}

/*
 * Steps over "<comm>", which strace -Y puts behind a process id, with < and > inside it in octal.
 */
static char *skip_comm(char *text)
{
	char *end = *text == '<' ? strchr(text, '>') : NULL;

	return end ? end + 1 : text;
}

/* Returns the ] of the "[pid 123<comm>]" or "[000000a0b1c2d3e4]" at @text, or NULL. */
static char *end_of_brackets(char *text)
{
	return *text == '[' ? strchr(skip_comm(text + strcspn(text, "<]")), ']') : NULL;
}

/*
 * Returns the ) of the "(+     0.000012)" at @text, which strace -r prints together with a time of
 * day, or NULL.
 */
static char *end_of_step(char *text)
{
	if (strncmp(text, "(+", 2))
		return NULL;
	text += 2 + strspn(text + 2, " 0123456789.");
	return *text == ')' ? text : NULL;
}

/*
 * Skips "[pid 123] ", "123 ", "12:34:56.7 ", "(+ 0.1) ", "[000000a0b1c2d3e4] " and such, in any
 * combination.
 */
static char *skip_prefix(char *line, uint64_t *pid)
{
	bool have_pid = false;

	*pid = 0;
	for (;;) {
		size_t digits, length;
		char *bracket, *end;

		line = skip_blanks(line);
		digits = strspn(line, "0123456789");
		length = strspn(line, "0123456789:.+-TZ");
		end = digits && digits == length ? skip_comm(line + length) : line + length;
		bracket = end_of_brackets(line);
		if (!bracket)
			bracket = end_of_step(line);
		if (bracket) {
			if (!strncmp(line, "[pid", 4) && !have_pid) {
				*pid = strtoull(line + 4, NULL, 10);
				have_pid = true;
			}
			line = bracket + 1;
		} else if (length && *end != ' ') {
			return line;
		} else if (digits && digits == length && !have_pid) {
			*pid = strtoull(line, NULL, 10);
			have_pid = true;
			line = end;
		} else if (length && digits && digits < length) {
			line += length;
		} else {
			return line;
		}
	}
}

/* Returns the message at the end of @line, which begins with "strace: ", or NULL. */
static char *find_message(char *line)
{
	unsigned long long pid;
	char *found = strstr(line, "strace: "), *next;
	int length = 0;

	if (found == line)
		return found;
	for (; found && (next = strstr(found + 1, "strace: ")); found = next)
		;
	if (!found || sscanf(found, "strace: Process %llu attached%n", &pid, &length) != 1)
		return NULL;
	return length && !found[length] ? found : NULL;
}

static int note_attached(struct strace *strace, const char *line)
{
	unsigned long long pid;
	uint64_t *attached;

	if (sscanf(line, "strace: Process %llu attached", &pid) != 1)
		return 0;
	attached = array_extend(strace->attached, strace->nr_attached, sizeof(*attached));
	if (!attached)
		return -ENOMEM;
	strace->attached = attached;
	attached[strace->nr_attached++] = pid;
	return 0;
}

/* ---- Calls ---- */

/* Steps over one character, or over all of a quoted string. Stays at a NUL. */
static char *skip_one(char *text)
{
	if (*text != '"')
		return *text ? text + 1 : text;
	for (text++; *text && *text != '"'; text++) {
		if (*text == '\\' && text[1])
			text++;
	}
	return *text ? text + 1 : text;
}

/* Whether the > at @text is that of the arrow in <TCP:[127.0.0.1:80->127.0.0.1:99]>. */
static bool is_arrow(const char *text)
{
	return text[-1] == '-' && (isdigit((unsigned char)text[1]) || text[1] == '[');
}

/*
 * Returns the last > of what follows a file number: </lib/libc.so.6>, </dev/zero<char 1:5>>. strace
 * writes < and > inside a name in octal.
 */
static char *end_of_file_name(char *text)
{
	unsigned int depth = 0;

	for (; *text; text++) {
		if (*text == '<')
			depth++;
		else if (*text == '>' && !is_arrow(text) && !--depth)
			break;
	}
	return text;
}

/*
 * Returns the end of the argument at @text: the comma or parenthesis that is not inside anything.
 */
static char *end_of_arg(char *text)
{
	unsigned int depth = 0;

	for (; *text; text = skip_one(text)) {
		if (strchr("([{", *text)) {
			depth++;
		} else if (strchr(")]}", *text)) {
			if (!depth)
				return text;
			depth--;
		} else if (*text == '<' && isdigit((unsigned char)text[-1]) && text[1] != '<') {
			text = end_of_file_name(text);
			if (!*text)
				return text;
		} else if (*text == ',' && !depth) {
			return text;
		}
	}
	return text;
}

static void trim_end(char *begin, char *end)
{
	while (end > begin && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*end = '\0';
}

/* Splits what is between the parentheses. Returns what follows them, or NULL. */
static char *split_args(char *text, struct strace_call *call)
{
	call->nr_args = 0;
	text = skip_blanks(text);
	if (*text == ')')
		return text + 1;
	for (;;) {
		char *end = end_of_arg(text);
		char stop = *end;

		if (!stop)
			return NULL;
		trim_end(text, end);
		if (call->nr_args < STRACE_MAX_ARGS)
			call->args[call->nr_args++] = text;
		if (stop != ',')
			return end + 1;
		text = skip_blanks(end + 1);
	}
}

/* Returns the text between < and > at @name, with a "(deleted)" that follows, as strace_file(). */
static const char *cut_file_name(char *name)
{
	char *end = end_of_file_name(name);

	end[strcspn(end, " \t")] = '\0';
	if (!strcmp(end, ">"))
		*end = '\0';
	return name + 1;
}

static bool parse_result(char *text, struct strace_call *call)
{
	char *end;

	text = skip_blanks(text);
	if (*text != '=')
		return false;
	text = skip_blanks(text + 1);
	call->failed = *text == '-' || *text == '?';
	call->no_memory = !strncmp(text, "-1 ENOMEM", strlen("-1 ENOMEM"));
	call->result = 0;
	call->path = NULL;
	if (call->failed)
		return true;
	end = text + strcspn(text, " \t<");
	if (*end == '<')
		call->path = cut_file_name(end);
	*end = '\0';
	return strace_number(text, &call->result);
}

static int parse_call(char *text, uint64_t pid, struct strace_call *call, const char **why)
{
	size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_?");

	call->pid = pid;
	call->exited = false;
	call->name = text;
	text += length;
	if (!length || *text != '(') {
		*why = "not a line of strace's output";
		return -EINVAL;
	}
	*text = '\0';
	text = split_args(text + 1, call);
	if (!text) {
		*why = "the call's arguments do not end";
		return -EINVAL;
	}
	if (!parse_result(text, call)) {
		*why = "the call has no result that can be read";
		return -EINVAL;
	}
	return 1;
}

int strace_early(struct strace *strace, size_t i, uint64_t result, char **text,
		 struct strace_call *call, const char **why)
{
	struct half *half = &strace->halves[i];

	half->early = true;
	if (asprintf(text, "%s) = %#llx", half->text, (unsigned long long)result) < 0) {
		*text = NULL;
		return -ENOMEM;
	}
	*call = (struct strace_call){ .began = half->line };
	return parse_call(*text, half->pid, call, why);
}

/* Second halves: "<... mmap resumed>) = 0x7f..." */
static int resume(struct strace *strace, uint64_t pid, char *line, char **whole,
		  struct strace_call *call, const char **why)
{
	char *name = skip_blanks(line + strlen("<..."));
	size_t length = strcspn(name, " ");
	char *rest = strstr(name, "resumed>");

	if (!rest) {
		*why = "a call that goes on, but not as strace writes it";
		return -EINVAL;
	}
	return join_halves(strace, pid, name, length, rest + strlen("resumed>"), whole, call);
}

/*
 * Puts @line, of which @length bytes count, behind what a message cut off. Returns the whole, which
 * is strace->begun, or NULL without memory.
 */
static char *add_to_begun(struct strace *strace, const char *line, size_t length)
{
	size_t begun = strace->begun ? strlen(strace->begun) : 0;
	char *whole = realloc(strace->begun, begun + length + 1);

	if (!whole)
		return NULL;
	memcpy(whole + begun, line, length);
	whole[begun + length] = '\0';
	strace->begun = whole;
	return whole;
}

/*
 * Without -o strace announces in the middle of a line that it has attached to a process; the rest
 * of the line follows. Returns 1: *@line is whole; 0: more of it follows; or -ENOMEM.
 */
static int take_message(struct strace *strace, char **line)
{
	char *message = find_message(*line);

	if (message && message != *line && !add_to_begun(strace, *line, (size_t)(message - *line)))
		return -ENOMEM;
	if (message)
		return note_attached(strace, message);
	if (!strace->begun)
		return 1;
	if (!add_to_begun(strace, *line, strlen(*line)))
		return -ENOMEM;
	free(strace->whole);
	strace->whole = *line = strace->begun;
	strace->begun = NULL;
	return 1;
}

/* The table of strace -C: numbers, dashes and names, to the end of the log. */
static int summary_line(struct strace *strace, const char *line, const char **why)
{
	strace->summary = true;
	if (!line[strspn(line, " %./-_?0123456789abcdefghijklmnopqrstuvwxyz")])
		return 0;
	*why = "something follows strace's summary";
	return -EINVAL;
}

int strace_line(struct strace *strace, char *line, struct strace_call *call, const char **why)
{
	char *cut;
	uint64_t pid;
	int ret;

	call->began = strace->nr_lines++;
	call->early = false;
	if (strace->summary || !strncmp(line, "% time", 6))
		return summary_line(strace, line, why);
	ret = take_message(strace, &line);
	if (ret <= 0)
		return ret;
	if (!strncmp(line, " > ", 3)) /* a frame of strace -k */
		return 0;
	line = skip_prefix(line, &pid);
	if (!*line)
		return 0;
	if (!strace->seen_first)
		strace->first = pid;
	strace->seen_first = true;
	if (!strncmp(line, "---", 3))
		return 0;
	if (!strncmp(line, "+++", 3)) {
		*call = (struct strace_call){ .pid = pid, .began = call->began, .name = "" };
		call->failed = call->exited = strncmp(line, "+++ superseded", 14);
		return call->exited;
	}
	if (!strncmp(line, "<...", 4)) {
		ret = resume(strace, pid, line, &line, call, why);
		if (ret <= 0)
			return ret;
	}
	cut = find_cut(line, &pid);
	if (cut)
		return keep_half(strace, pid, line, (size_t)(cut - line));
	return parse_call(line, pid, call, why);
}

/* ---- Arguments ---- */

bool strace_number(const char *arg, uint64_t *value)
{
	char *end;

	if (!strcmp(arg, "NULL")) {
		*value = 0;
		return true;
	}
	if (!isdigit((unsigned char)*arg))
		return false;
	errno = 0;
	*value = strtoull(arg, &end, 0);
	return !errno && (!*end || *end == ' ');
}

static uint64_t flag_value(const char *name, size_t length, const struct strace_flag *names)
{
	for (; names->name; names++) {
		if (strlen(names->name) == length && !memcmp(names->name, name, length))
			return names->value;
	}
	return 0;
}

bool strace_flags(const char *arg, const struct strace_flag *names, uint64_t *value)
{
	uint64_t sum = 0;

	for (;;) {
		size_t length = strcspn(arg, "|,} ");

		if (!length)
			return false;
		if (isdigit((unsigned char)*arg)) {
			char *end;
			uint64_t number = strtoull(arg, &end, 0);

			/* 21<<MAP_HUGE_SHIFT, 21<<SHM_HUGE_SHIFT, or 21<<26 with -X */
			if (!strncmp(end, "<<", 2))
				number <<= isdigit((unsigned char)end[2])
						   ? strtoul(end + 2, NULL, 10) & 63
						   : 26;
			sum |= number;
		} else {
			sum |= flag_value(arg, length, names);
		}
		arg += length;
		/* The name of a number, or that it is unknown; more may follow. */
		if (!strncmp(arg, " /*", 3) && strstr(arg, "*/"))
			arg = strstr(arg, "*/") + 2;
		if (*arg != '|')
			break;
		arg++;
	}
	*value = sum;
	return true;
}

bool strace_file(const char *arg, int64_t *fd, const char **path, size_t *length)
{
	const char *end;

	*path = NULL;
	*length = 0;
	if (*arg == '-' && isdigit((unsigned char)arg[1])) {
		*fd = -1;
		return true;
	}
	if (!isdigit((unsigned char)*arg))
		return false;
	*fd = strtoll(arg, (char **)&end, 0);
	if (*end == '<') {
		*path = end + 1;
		*length = strlen(*path);
		if (*length && (*path)[*length - 1] == '>')
			(*length)--;
	}
	return true;
}
