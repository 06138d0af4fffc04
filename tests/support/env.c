/* SPDX-License-Identifier: MIT */
#include "env.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SEED_DEFAULT UINT64_C(20240607)

/* Reads a number from the environment. Nonsense means a broken set-up: exit status 99. */
static bool env_number(const char *name, uint64_t *value)
{
	const char *text = getenv(name);
	char *end;

	if (!text || !*text)
		return false;
	errno = 0;
	*value = strtoull(text, &end, 0);
	if (errno || *end || *text == '-') {
		fprintf(stderr, "%s=%s: not a number\n", name, text);
		exit(99);
	}
	return true;
}

uint64_t env_seed(void)
{
	uint64_t seed = SEED_DEFAULT;
	struct timespec now;

	if (env_number("SAMARA_TEST_SEED", &seed) && seed == 0) {
		clock_gettime(CLOCK_REALTIME, &now);
		seed = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	}
	return seed;
}

uint64_t env_scaled(uint64_t n)
{
	uint64_t percent = 100;

	env_number("SAMARA_TEST_SCALE", &percent);
	n = n / 100 * percent + n % 100 * percent / 100;
	return n ? n : 1;
}

unsigned int env_stride(void)
{
	return env_scaled(100) < 100 ? 5 : 1;
}

uint64_t env_ops(uint64_t ops)
{
	uint64_t given;

	if (env_number("SAMARA_TEST_OPS", &given))
		return given ? given : 1;
	return env_scaled(ops);
}
