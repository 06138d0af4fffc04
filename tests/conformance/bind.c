/* SPDX-License-Identifier: MIT */
/* Runs the requests of gpuvm.txt, whose head explains the lines, as jobs of a bind queue. */
#include "gpuvm_lines.h"
#include "support/bind_toy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bind_toy bt;

/* Maps what is in brackets, each mapping a job. Returns what follows the brackets. */
static const char *set_up(struct bind_queue *q, const char *at)
{
	char job[64];
	size_t n;

	for (at++; *at != ']'; at += n + (at[n] == ' ')) {
		n = strcspn(at, " ]");
		snprintf(job, sizeof(job), "map %.*s", (int)n, at);
		if (bind_toy_submit(q, &bt, job, NULL, NULL))
			exit(99);
	}
	if (bind_queue_wait(q, FENCE_FOREVER))
		exit(99);
	return at + 2;
}

/* Makes the request and formats its result as in the lines. */
static void answer(struct bind_queue *q, const char *request, char *text, size_t size)
{
	struct bind_job job = { .flags = BIND_SYNC };
	int err;

	toy_clear_log(&bt.toy);
	err = bind_toy_submit_job(q, &bt, request, &job);
	if (err)
		snprintf(text, size, "%s => %s",
			 err == -EINVAL && job.bad_op == 0 ? "-EINVAL" : "error",
			 bind_toy_dump(&bt));
	else
		snprintf(text, size, "%s => %s", toy_log(&bt.toy), bind_toy_dump(&bt));
}

static bool run_line(char *line)
{
	static char text[2 * TOY_TEXT];
	struct toy_config config;
	struct bind_queue *q;
	char *want = strstr(line, " => ");
	const char *at = parse_vm(line, &config);
	bool good;

	*want = 0;
	want += strlen(" => ");
	bind_toy_init(&bt, &config, NULL);
	q = bind_queue_create(&bt.toy.vm, "examples", NULL);
	answer(q, set_up(q, at), text, sizeof(text));
	good = strcmp(text, want) == 0;
	if (!good)
		fprintf(stderr, "%s => %s\n  gave: %s\n", line, want, text);
	bind_queue_destroy(q);
	if (!bind_toy_destroy(&bt)) {
		fprintf(stderr, "%s\n  something is left\n", line);
		good = false;
	}
	return good;
}

int main(int argc, char **argv)
{
	return run_lines(argc, argv, "E", run_line, 70);
}
