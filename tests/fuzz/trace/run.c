/* SPDX-License-Identifier: MIT */
/*
 * Runs the fuzz target on files. Usage: test-fuzz-trace FILE|FOLDER...
 *
 * SAMARA_FUZZ_MUTATIONS (default 0) changed copies of each file are tried as well; SAMARA_TEST_SEED
 * determines the changes. Seed and number of an input are noted before it is tried; a crash prints
 * them.
 */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_SIZE (1u << 20)

static char current[512];
static size_t inputs;

static void on_crash(int signal_number)
{
	ssize_t ignored = write(STDERR_FILENO, current, strlen(current));

	(void)ignored;
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static uint64_t next_random(uint64_t *random)
{
	*random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *random >> 33;
}

/* The target gets a copy of the exact size, so that a sanitizer sees a read beyond its end. */
static void try_input(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		exit(99);
	if (size)
		memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	inputs++;
}

/* Changes, drops, repeats or swaps a few bytes. Returns the new size. */
static size_t mutate(uint8_t *data, size_t size, uint64_t *random)
{
	for (uint64_t n = 1 + next_random(random) % 6; n > 0 && size; n--) {
		size_t at = next_random(random) % size, from = next_random(random) % size;
		size_t length = 1 + next_random(random) % 16;

		if (length > size - at)
			length = size - at;
		switch (next_random(random) % 5) {
		case 0:
			data[at] = (uint8_t)next_random(random);
			break;
		case 1:
			data[at] ^= (uint8_t)(1u << next_random(random) % 8);
			break;
		case 2:
			memmove(data + at, data + at + length, size - at - length);
			size -= length;
			break;
		case 3:
			memmove(data + at, data + from,
				length > size - from ? size - from : length);
			break;
		default:
			data[at] = data[from];
		}
	}
	return size;
}

static void run_file(const char *path, uint64_t mutations)
{
	static uint8_t data[MAX_SIZE], changed[MAX_SIZE];
	uint64_t seed = number_from("SAMARA_TEST_SEED", 1);
	FILE *in = fopen(path, "rb");
	size_t size;

	if (!in) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(99);
	}
	size = fread(data, 1, sizeof(data), in);
	fclose(in);
	snprintf(current, sizeof(current), "crashed on %s\n", path);
	try_input(data, size);
	for (uint64_t i = 0; i < mutations; i++) {
		uint64_t random = seed * 1000003 + i;

		snprintf(current, sizeof(current),
			 "crashed on mutation %" PRIu64 " of %s, SAMARA_TEST_SEED=%" PRIu64 "\n", i,
			 path, seed);
		memcpy(changed, data, size);
		try_input(changed, mutate(changed, size, &random));
	}
}

static void run_path(const char *path, uint64_t mutations)
{
	struct dirent *entry;
	struct stat status;
	char inner[4096];
	DIR *folder;

	if (stat(path, &status) || !S_ISDIR(status.st_mode)) {
		run_file(path, mutations);
		return;
	}
	folder = opendir(path);
	while (folder && (entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
		run_path(inner, mutations);
	}
	if (folder)
		closedir(folder);
}

int main(int argc, char **argv)
{
	uint64_t mutations = number_from("SAMARA_FUZZ_MUTATIONS", 0);

	signal(SIGSEGV, on_crash);
	signal(SIGABRT, on_crash);
	for (int i = 1; i < argc; i++)
		run_path(argv[i], mutations);
	printf("%zu inputs\n", inputs);
	return inputs ? 0 : 99;
}
