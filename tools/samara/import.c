/* SPDX-License-Identifier: MIT */
#include "import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"
#include "options.h"
#include "output.h"
#include "samara.h"
#include "trace/input.h"

struct settings {
	const char *format;
	const char *pid;
	const char *output;
	const char *source;
	uint64_t page;
};

/*
 * All lines of the log: which processes share memory may become known only after they have used it.
 */
struct log {
	const char *name;
	char **lines;
	size_t nr_lines;
};

/*
 * A process or thread that works, or worked for a while, in the imported address space. Process ids
 * may be used again.
 */
struct member {
	uint64_t pid;
	bool thread;  /* its execve is that of all members */
	bool files;   /* has the table of files of the imported process */
	size_t from;  /* the line in which the call that made it began */
	size_t until; /* the line in which it ended or got an address space of its own */
};

struct members {
	bool everybody;
	uint64_t first;        /* the process that the address space belongs to */
	uint64_t unnamed;      /* the process of lines without a process id; 0: not known */
	struct member *member; /* sorted by id, then by the line they began in */
	size_t nr;
	uint64_t *children; /* what clone, fork and the like returned, of all processes; sorted */
	size_t nr_children;
	size_t unread; /* unreadable calls that made a process or thread */
};

/* ---- The log ---- */

static int fault_at(const struct log *log, size_t line, const char *what)
{
	return complain_at(log->name, line + 1, "%s", what);
}

static int add_line(struct log *log, const char *line)
{
	char **lines = array_extend(log->lines, log->nr_lines, sizeof(*lines));

	if (!lines)
		return -ENOMEM;
	log->lines = lines;
	lines[log->nr_lines] = strdup(line);
	if (!lines[log->nr_lines])
		return -ENOMEM;
	log->nr_lines++;
	return 0;
}

static int read_log(struct log *log, const char *path)
{
	struct trace_input *input;
	const char *why = "";
	char *line;
	int ret = trace_input_open(&input, path);

	if (ret)
		return complain("%s: %s", log->name, strerror(-ret));
	while ((ret = trace_input_line(input, &line, &why)) > 0) {
		if (add_line(log, line)) {
			why = strerror(ENOMEM);
			ret = -ENOMEM;
			break;
		}
	}
	trace_input_close(input);
	return ret ? fault_at(log, log->nr_lines, why) : EXIT_OK;
}

static void free_log(struct log *log)
{
	for (size_t i = 0; i < log->nr_lines; i++)
		free(log->lines[i]);
	free(log->lines);
}

/* ---- Who counts ---- */

/* Returns the position of the first member that is not before one of @pid and @from. */
static size_t member_position(const struct members *members, uint64_t pid, size_t from)
{
	size_t low = 0, high = members->nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct member *member = &members->member[mid];

		if (member->pid < pid || (member->pid == pid && member->from < from))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Returns the member that has the id @pid in line @line, or NULL. */
static struct member *find_member(const struct members *members, uint64_t pid, size_t line)
{
	size_t i = member_position(members, pid, 0);

	for (; i < members->nr && members->member[i].pid == pid; i++) {
		struct member *member = &members->member[i];

		if (member->from <= line && line < member->until)
			return member;
	}
	return NULL;
}

enum { CLONE_VM_BIT = 0x100, CLONE_FILES_BIT = 0x400, CLONE_THREAD_BIT = 0x10000 };

static int add_member(struct members *members, uint64_t pid, uint64_t flags, size_t from)
{
	size_t at = member_position(members, pid, from);
	struct member *member = members->member;

	if (at < members->nr && member[at].pid == pid && member[at].from == from)
		return 0;
	member = array_extend(member, members->nr, sizeof(*member));
	if (!member)
		return -ENOMEM;
	members->member = member;
	memmove(&member[at + 1], &member[at], (members->nr - at) * sizeof(*member));
	members->nr++;
	member[at] = (struct member){
		.pid = pid,
		.thread = flags & CLONE_THREAD_BIT,
		.files = flags & CLONE_FILES_BIT,
		.from = from,
		.until = SIZE_MAX,
	};
	return 0;
}

static uint64_t real_pid(const struct members *members, const struct strace_call *call)
{
	return call->pid ? call->pid : members->unnamed;
}

static bool is_call(const struct strace_call *call, const char *name)
{
	return !strcmp(call->name, name);
}

static const struct strace_flag clone_names[] = {
	{ "CLONE_VM", CLONE_VM_BIT },
	{ "CLONE_FILES", CLONE_FILES_BIT },
	{ "CLONE_THREAD", CLONE_THREAD_BIT },
	{ NULL, 0 },
};

/*
 * Reads the flags of a call that makes a process or thread: "flags=...", by itself or in clone3's
 * braces. 0 for other calls. Returns false if the flags cannot be read.
 */
static bool clone_flags(const struct strace_call *call, uint64_t *flags)
{
	*flags = is_call(call, "vfork") ? CLONE_VM_BIT : 0;
	if (!is_call(call, "clone") && !is_call(call, "clone3"))
		return true;
	for (unsigned int i = 0; i < call->nr_args; i++) {
		const char *found = strstr(call->args[i], "flags=");

		if (found && strace_flags(found + strlen("flags="), clone_names, flags))
			return true;
	}
	return false;
}

static bool makes_process(const struct strace_call *call)
{
	return !call->failed && (is_call(call, "clone") || is_call(call, "clone3") ||
				 is_call(call, "fork") || is_call(call, "vfork"));
}

/* Learns from @call, in line @line, which processes share the address space, and until when. */
static int learn(struct members *members, const struct strace_call *call, size_t line)
{
	struct member *member;
	uint64_t flags;

	member = find_member(members, real_pid(members, call), line);
	if (member && call->exited)
		member->until = line;
	if (!member || call->failed)
		return 0;
	if (is_call(call, "execve") || is_call(call, "execveat")) {
		if (!member->thread)
			member->until = line;
		return 0;
	}
	if (!clone_flags(call, &flags) && !members->everybody)
		members->unread++;
	if (!member->files)
		flags &= ~(uint64_t)CLONE_FILES_BIT;
	if (flags & CLONE_VM_BIT)
		return add_member(members, call->result, flags, call->began);
	return 0;
}

static uint64_t attached_first(const struct log *log)
{
	unsigned long long pid;

	if (log->nr_lines && sscanf(log->lines[0], "strace: Process %llu attached", &pid) == 1)
		return pid;
	return 0;
}

/* Calls @visit for every call of the log. Lines are copied, since reading them changes them. */
static int for_each_call(const struct log *log, struct strace *strace, void *ctx,
			 const char *(*visit)(void *ctx, struct strace *strace,
					      const struct strace_call *call, size_t line))
{
	struct strace_call call;
	int status = EXIT_OK;

	for (size_t i = 0; i < log->nr_lines && !status; i++) {
		char *copy = strdup(log->lines[i]);
		const char *why = strerror(ENOMEM);
		int ret = copy ? strace_line(strace, copy, &call, &why) : -ENOMEM;

		if (ret > 0)
			why = visit(ctx, strace, &call, i);
		if (ret < 0 || (ret > 0 && why))
			status = fault_at(log, i, why);
		free(copy);
	}
	return status;
}

/* What the first pass finds out. */
struct survey {
	struct members *members;
	uint64_t *results; /* as in struct findings */
	bool seen_pid;     /* some line has a process id */
};

static const char *visit_for_survey(void *ctx, struct strace *strace,
				    const struct strace_call *call, size_t line)
{
	struct survey *survey = ctx;
	struct members *members = survey->members;
	uint64_t *children;

	(void)strace;
	if (call->began != line && !call->failed)
		survey->results[call->began] = call->result;
	survey->seen_pid |= call->pid != 0;
	if (!makes_process(call))
		return NULL;
	children = array_extend(members->children, members->nr_children, sizeof(*children));
	if (!children)
		return strerror(ENOMEM);
	members->children = children;
	children[members->nr_children++] = call->result;
	return NULL;
}

/* Whether the log shows some process making @pid. */
static bool is_child(const struct members *members, uint64_t pid)
{
	return members->nr_children &&
	       bsearch(&pid, members->children, members->nr_children, sizeof(pid), array_compare);
}

/*
 * Lines without a process id belong to the first process, until there is a second one; then the
 * first gets its id as well. It is a process that no other one made, as far as the log shows that:
 * by the call or by strace's message that it attached to it.
 */
static const char *visit_for_naming(void *ctx, struct strace *strace,
				    const struct strace_call *call, size_t line)
{
	struct members *members = ctx;

	(void)line;
	if (!members->unnamed && call->pid && !strace_attached(strace, call->pid) &&
	    !is_child(members, call->pid))
		members->unnamed = call->pid;
	return NULL;
}

static const char *visit_for_members(void *ctx, struct strace *strace,
				     const struct strace_call *call, size_t line)
{
	(void)strace;
	return learn(ctx, call, line) ? strerror(ENOMEM) : NULL;
}

struct findings {
	uint64_t *results;           /* of calls in two halves, by the line of the first; 0: none */
	size_t unfinished, headless; /* calls of which the log has only one half */
	uint64_t first;              /* the process of the first line */
};

/* Makes one pass over the log; @visit is called as above. */
static int pass(const struct log *log, struct findings *findings, void *ctx,
		const char *(*visit)(void *ctx, struct strace *strace,
				     const struct strace_call *call, size_t line))
{
	struct strace *strace = strace_new();
	int status;

	if (!strace)
		return complain("%s: %s", log->name, strerror(ENOMEM));
	status = for_each_call(log, strace, ctx, visit);
	findings->unfinished = strace_unfinished(strace);
	findings->headless = strace_headless(strace);
	findings->first = strace_first(strace);
	strace_free(strace);
	return status;
}

/* Finds out which process the lines without a process id belong to. */
static int name_unnamed(const struct log *log, struct findings *findings, struct members *members)
{
	struct survey survey = { .members = members, .results = findings->results };
	int status = pass(log, findings, &survey, visit_for_survey);

	if (members->nr_children)
		members->nr_children = array_sort_unique(members->children, members->nr_children);
	members->unnamed = attached_first(log);
	if (!status && survey.seen_pid && !findings->first && !members->unnamed)
		status = pass(log, findings, members, visit_for_naming);
	return status;
}

/* Finds out whose address space to import, and which processes work in it. */
static int find_members(const struct log *log, const struct settings *settings,
			struct findings *findings, struct members *members)
{
	int status;
	size_t nr;

	findings->results = calloc(log->nr_lines + 1, sizeof(*findings->results));
	if (!findings->results)
		return complain("%s: %s", log->name, strerror(ENOMEM));
	members->everybody = settings->pid && !strcmp(settings->pid, "all");
	status = name_unnamed(log, findings, members);
	if (status)
		return status;
	members->first = findings->first ? findings->first : members->unnamed;
	if (settings->pid && !members->everybody)
		parse_decimal(settings->pid, 1, UINT64_MAX, &members->first);
	if (add_member(members, members->first, CLONE_FILES_BIT | CLONE_THREAD_BIT, 0))
		return complain("%s: %s", log->name, strerror(ENOMEM));
	/*
	 * A new process may execute a program, or make others, in lines before the one in which the
	 * call that made it returns. So read again until no pass finds another member.
	 */
	do {
		nr = members->nr;
		members->unread = 0;
		status = pass(log, findings, members, visit_for_members);
	} while (!status && members->nr != nr);
	return status;
}

static bool counts(const struct members *members, const struct strace_call *call, size_t line)
{
	return members->everybody || find_member(members, real_pid(members, call), line);
}

/* Whether @call, which counts, is made with the imported process's table of files. */
static bool has_files(const struct members *members, const struct strace_call *call, size_t line)
{
	const struct member *member = find_member(members, real_pid(members, call), line);

	return !member || member->files;
}

/* ---- The trace ---- */

struct conversion {
	struct import import;
	struct members members;
	struct findings findings;
	size_t unmade; /* calls left out, of processes that the log does not show being made */
};

static const char *visit_to_import(void *ctx, struct strace *strace, const struct strace_call *call,
				   size_t line);

/*
 * Whether a call of which @half is known, and that will return @result, frees some of the @length
 * bytes at @addr.
 */
static bool frees(const char *half, uint64_t result, uint64_t addr, uint64_t length)
{
	long long from, size, left = 0;

	if (sscanf(half, "mremap(%lli, %lli, %lli", &from, &size, &left) == 3) {
		if (!result)
			return false;
		if (result != (uint64_t)from)
			left = 0;
	} else if (sscanf(half, "munmap(%lli, %lli", &from, &size) != 2) {
		return false;
	}
	return left < size && (uint64_t)from + (uint64_t)left <= addr + (length - 1) &&
	       addr < (uint64_t)from + (uint64_t)size;
}

/*
 * The kernel chose a place for what @call mapped, so a munmap or mremap there that has begun but
 * not returned must be past its work, and is carried out first.
 */
static const char *free_early(struct conversion *conversion, struct strace *strace,
			      const struct strace_call *call, size_t line)
{
	const uint64_t *results = conversion->findings.results;
	uint64_t addr, length, pid;
	const char *half, *why = NULL;
	size_t began;

	if (!import_placed(&conversion->import, call, &addr, &length))
		return NULL;
	for (size_t i = 0; !why && (half = strace_half(strace, i, &pid, &began)); i++) {
		struct strace_call early = { .pid = pid };
		char *text;

		if (!frees(half, results[began], addr, length) ||
		    !counts(&conversion->members, &early, line))
			continue;
		if (strace_early(strace, i, results[began], &text, &early, &why) > 0)
			why = visit_to_import(conversion, strace, &early, line);
		else if (!text)
			why = import_no_memory;
		free(text);
	}
	return why;
}

/* Whether the log leaves open what made @pid, which is not the first process. */
static bool may_be_thread(const struct conversion *conversion, uint64_t pid)
{
	const struct members *members = &conversion->members;

	return pid && pid != conversion->findings.first && pid != members->unnamed &&
	       pid != members->first && !is_child(members, pid);
}

static const char *visit_to_import(void *ctx, struct strace *strace, const struct strace_call *call,
				   size_t line)
{
	struct conversion *conversion = ctx;
	const char *why;

	if (call->early)
		return NULL;
	if (!counts(&conversion->members, call, line)) {
		conversion->unmade += !call->failed && may_be_thread(conversion, call->pid);
		return NULL;
	}
	conversion->import.line = (uint32_t)(line + 1);
	why = free_early(conversion, strace, call, line);
	if (why)
		return why;
	return import_call(&conversion->import, call, has_files(&conversion->members, call, line));
}

/* The tightest limits that hold all operations. */
static void set_limits(struct trace_header *header, const struct trace *trace)
{
	header->va_first = UINT64_MAX;
	header->va_last = 0;
	for (size_t i = 0; i < trace->count; i++) {
		const struct trace_op *op = &trace->ops[i];
		uint64_t first = op->addr, last = trace_op_last(op);

		if (op->verb == TRACE_MOVE) {
			uint64_t new_last = op->new_addr + (op->new_length - 1);

			first = first < op->new_addr ? first : op->new_addr;
			last = last > new_last ? last : new_last;
		}
		if (first < header->va_first)
			header->va_first = first;
		if (last > header->va_last)
			header->va_last = last;
	}
}

/*
 * The source that the header names by default. The log's name may be too long, and may contain
 * bytes that are not allowed there.
 */
static void default_source(char *source, size_t size, const char *name)
{
	static const char stand_in[] = "\xef\xbf\xbd"; /* U+FFFD */
	size_t used = (size_t)snprintf(source, size, "imported from the strace log ");

	while (*name) {
		size_t length = trace_is_control(name) ? 0 : trace_utf8_length(name);
		const char *put = length ? name : stand_in;
		size_t room = length ? length : sizeof(stand_in) - 1;

		if (room >= size - used)
			break;
		memcpy(source + used, put, room);
		used += room;
		name += length ? length : 1;
	}
	source[used] = '\0';
}

static int write_trace(struct import *import, const struct settings *settings, const char *name)
{
	struct trace_header *header = &import->header;
	struct trace_writer *writer;
	char why[TRACE_WHY_SIZE];
	int err = 0, finished;

	set_limits(header, &import->trace);
	if (settings->source)
		snprintf(header->source, sizeof(header->source), "%s", settings->source);
	else
		default_source(header->source, sizeof(header->source), name);
	if (trace_create(&writer, settings->output, header, why, sizeof(why)))
		return complain("%s", why);
	for (size_t i = 0; i < import->trace.count && !err; i++)
		err = trace_write(writer, &import->trace.ops[i]);
	finished = trace_finish(writer);
	if (!err)
		err = finished;
	return output_status(settings->output, err);
}

static void report(const struct conversion *conversion, const char *name)
{
	const struct import *import = &conversion->import;

	if (import->assumed)
		complain(
			"%s: %zu ranges were used that the log does not show being mapped (what execve or "
			"fork left, or other threads, see --pid); private anonymous memory was assumed",
			name, import->assumed);
	if (import->unsized)
		complain(
			"%s: the size of %zu System V segments is not in the log; one page was assumed "
			"(trace shmget as well)",
			name, import->unsized);
	if (conversion->unmade)
		complain(
			"%s: %zu calls of processes that may be threads were left out; the log does not "
			"show what made these processes (trace clone and clone3 as well, or see --pid=all)",
			name, conversion->unmade);
	if (conversion->members.unread)
		complain(
			"%s: %zu calls of clone or clone3 whose flags the log does not show (strace -e raw) "
			"were taken to make processes, not threads (see --pid=all)",
			name, conversion->members.unread);
	if (conversion->findings.headless)
		complain("%s: %zu calls that began before the log were left out", name,
			 conversion->findings.headless);
	if (conversion->findings.unfinished)
		complain("%s: %zu calls that never finished were left out", name,
			 conversion->findings.unfinished);
}

static int convert(struct conversion *conversion, const struct log *log,
		   const struct settings *settings)
{
	int status = find_members(log, settings, &conversion->findings, &conversion->members);

	if (!status)
		status = pass(log, &conversion->findings, conversion, visit_to_import);
	if (status)
		return status;
	if (!conversion->import.trace.count) {
		if (settings->pid)
			return complain("%s: no memory calls of process %s", log->name,
					settings->pid);
		return complain("%s: no memory calls", log->name);
	}
	report(conversion, log->name);
	return write_trace(&conversion->import, settings, log->name);
}

static int import_file(const char *path, const struct settings *settings)
{
	struct log log = { .name = trace_input_name(path) };
	struct conversion conversion = { 0 };
	int status = read_log(&log, path);

	import_init(&conversion.import, settings->page);
	if (!status)
		status = convert(&conversion, &log, settings);
	import_destroy(&conversion.import);
	free(conversion.members.children);
	free(conversion.members.member);
	free(conversion.findings.results);
	free_log(&log);
	return status;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct settings settings = { .format = "strace", .output = "-", .page = 4096 };
	const struct option options[] = {
		{ "format", OPTION_TEXT, &settings.format, 0, 0 },
		{ "pid", OPTION_TEXT, &settings.pid, 0, 0 },
		{ "page", OPTION_NUMBER, &settings.page, 1, UINT64_C(1) << 30 },
		{ "source", OPTION_TEXT, &settings.source, 0, 0 },
		{ "output", OPTION_TEXT, &settings.output, 0, 0 },
		{ .name = NULL },
	};
	const char *fault;
	uint64_t pid;
	int operands;
	int status = parse_options(command, argc, argv, options, &operands);

	if (status || operands < 0)
		return status;
	if (strcmp(settings.format, "strace"))
		return complain_usage(command, "--format wants strace, not '%s'", settings.format);
	if (settings.page & (settings.page - 1))
		return complain_usage(command, "--page wants a power of two");
	if (settings.pid && strcmp(settings.pid, "all") &&
	    !parse_decimal(settings.pid, 1, UINT64_MAX, &pid))
		return complain_usage(command, "--pid wants a process id or all, not '%s'",
				      settings.pid);
	fault = settings.source ? trace_source_fault(settings.source) : NULL;
	if (fault)
		return complain_usage(command, "--source: %s", fault);
	if (operands > 1)
		return complain_usage(
			command,
			"expected one log file (strace-log-merge joins those of strace -ff)");
	if (operands != 1)
		return complain_usage(command, "expected one log file ('-' is standard input)");
	return import_file(argv[1], &settings);
}

const struct command command_import = {
	.name = "import",
	.summary = "make a trace from an strace log",
	.synopsis = "[OPTION]... FILE",
	.help = "Turns the log FILE ('-': standard input) of\n"
		"\n"
		"  strace -f -y -e trace=%memory,clone,clone3,fork,vfork,execve,shmget -o FILE PROGRAM\n"
		"\n"
		"into a trace of one address space. -f and -y can be missing, and so can all but %memory; there\n"
		"may be times and process ids. Calls that failed are left out; calls cut in two by another\n"
		"thread are put together and count when they end (munmap, mremap: before others map there).\n"
		"\n"
		"Of strace -ff -ttt -o PREFIX, which writes a file for each thread, import what strace-log-merge\n"
		"PREFIX prints.\n"
		"\n"
		"  --format=strace  the only format so far, and the default\n"
		"  --pid=PID        import this process's address space; default: that of the first line.\n"
		"                   Threads (and vfork children, until they execute a program) belong to it\n"
		"                   when clone, clone3 and vfork are in the log\n"
		"  --pid=all        all lines are one address space: for logs of threads without clone\n"
		"  --page=N         page size in bytes (default 4096)\n"
		"  --source=TEXT    what the trace's header shall say\n"
		"  --output=FILE    write there ('-', the default: standard output; packed when FILE ends in .xz)\n"
		"\n"
		"Files become object ids by name with -y, otherwise by number: open, openat, memfd_create, dup, fcntl\n"
		"and close are heeded when they are in the log; without them one number is one object. What was\n"
		"mapped before the log, by execve for example, is not in it: when such a range is protected or\n"
		"moved it is taken for private anonymous memory, and a message on standard error says how often\n"
		"that was. shmget tells how large a System V segment is.\n"
		"\n"
		"Examples:\n"
		"  strace -f -y -e trace=%memory -o log true && samara import --output=true.trace.xz log\n"
		"  samara import log | samara replay --check=every -\n"
		"  strace-log-merge PREFIX | samara import --output=program.trace.xz -\n",
	.run = run,
};
