/* SPDX-License-Identifier: MIT */
#include "output.h"

#include <errno.h>
#include <string.h>

#include "samara.h"

/* The negative errno of the call that has just failed. */
static int error(void)
{
	return errno ? -errno : -EIO;
}

FILE *output_open(const char *path)
{
	FILE *out = strcmp(path, "-") ? fopen(path, "w") : stdout;

	if (!out)
		complain("%s: %s", path, strerror(errno));
	return out;
}

int output_close(FILE *out, const char *path)
{
	int err = 0;

	if (out == stdout) {
		output_flush();
		return EXIT_OK;
	}
	if (ferror(out))
		err = error();
	if (fclose(out) && !err)
		err = error();
	return output_status(path, err);
}

int output_flush(void)
{
	static int first;

	if ((fflush(stdout) || ferror(stdout)) && !first)
		first = error();
	return first;
}

int output_status(const char *path, int err)
{
	if (!err || err == -EPIPE)
		return EXIT_OK;
	return complain("%s: %s", strcmp(path, "-") ? path : "standard output", strerror(-err));
}
