/* SPDX-License-Identifier: MIT */
#include "final.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "samara.h"
#include "trace/input.h"
#include "trace/output.h"

static int expect_line(const char *name, const char *holder, unsigned long number,
		       const char *expected, const char *is)
{
	if (expected && is && !strcmp(expected, is))
		return EXIT_OK;
	return complain_at(name, number, "expected '%s', %s has '%s'",
			   expected ? expected : "the end", holder, is ? is : "no more");
}

/* Compares @text, the lines of the final runs, with the file that @input reads. Cuts up @text. */
static int compare_lines(struct trace_input *input, const char *name, const char *holder,
			 char *text)
{
	unsigned long number = 1;
	const char *why = "";
	char *line;

	for (;; number++) {
		char *is = *text ? text : NULL;
		int ret = trace_input_line(input, &line, &why);

		if (ret < 0)
			return complain_at(name, number, "%s", why);
		if (!ret && !is)
			return EXIT_OK;
		if (is) {
			text += strcspn(text, "\n");
			*text++ = '\0';
		}
		if (expect_line(name, holder, number, ret ? line : NULL, is))
			return EXIT_FAILED;
	}
}

static int compare_final(const char *path, const char *holder, char *text)
{
	struct trace_input *input;
	int err = trace_input_open(&input, path), status;
	const char *name = trace_input_name(path);

	if (err)
		return complain("%s: %s", name, strerror(-err));
	status = compare_lines(input, name, holder, text);
	trace_input_close(input);
	return status;
}

static int write_final(const char *path, const char *text, size_t size)
{
	struct trace_output *output;
	int err = trace_output_open(&output, path);

	if (err)
		return complain("%s: %s", path, strerror(-err));
	trace_output_put(output, text, size);
	return output_status(path, trace_output_close(output));
}

int final_state(const struct run_settings *settings, const char *holder, write_runs_function *write,
		void *arg, size_t *runs)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int status = EXIT_OK;

	if (!out)
		return complain("%s: %s", settings->name, strerror(errno));
	*runs = write(arg, out);
	if (fclose(out) || *runs == SIZE_MAX)
		status = complain("%s: %s", settings->name, strerror(ENOMEM));
	if (!status && settings->dump_final)
		status = write_final(settings->dump_final, text, size);
	if (!status && settings->expect_final)
		status = compare_final(settings->expect_final, holder, text);
	free(text);
	return status;
}
