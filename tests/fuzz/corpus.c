/* SPDX-License-Identifier: MIT */
/*
 * The driver of every test run: feeds each named file, and each file in each named folder, to the
 * target, then inputs of its own making: random bytes, and the corpus with bytes changed. With one
 * file as argument it repeats what a fuzzer found; AFL runs it that way, with @@ for the file.
 */
#include "support/env.h"
#include "support/rng.h"
#include "target.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX 4096
#define CORPUS_MAX 1024

struct input {
	uint8_t bytes[INPUT_MAX];
	size_t size;
};

static struct input corpus[CORPUS_MAX];
static size_t nr_corpus;

static bool read_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct input *in = &corpus[nr_corpus];

	if (!file || nr_corpus == CORPUS_MAX) {
		fprintf(stderr, "%s: cannot be read\n", path);
		return false;
	}
	in->size = fread(in->bytes, 1, INPUT_MAX, file);
	fclose(file);
	nr_corpus++;
	return true;
}

static bool read_folder(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;
	char name[4096];
	bool good = folder != NULL;

	while (good && (entry = readdir(folder)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		good = read_file(name);
	}
	if (folder)
		closedir(folder);
	return good;
}

static bool read_argument(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return read_folder(path);
	return read_file(path);
}

static void random_input(struct input *in, struct rng *rng)
{
	in->size = rng_below(rng, 600);
	for (size_t i = 0; i < in->size; i++)
		in->bytes[i] = (uint8_t)rng_next(rng);
}

/* Makes an input of the head of one file and the tail of another, with a few bytes changed. */
static void mutated_input(struct input *in, struct rng *rng)
{
	const struct input *a = &corpus[rng_below(rng, nr_corpus)],
			   *b = &corpus[rng_below(rng, nr_corpus)];
	size_t head = rng_below(rng, a->size + 1), tail = rng_below(rng, b->size + 1);

	if (head + tail > INPUT_MAX)
		tail = INPUT_MAX - head;
	memcpy(in->bytes, a->bytes, head);
	memcpy(in->bytes + head, b->bytes + b->size - tail, tail);
	in->size = head + tail;
	for (unsigned int i = 0; in->size > 0 && i < 4; i++)
		in->bytes[rng_below(rng, in->size)] = (uint8_t)rng_next(rng);
}

int main(int argc, char **argv)
{
	static struct input in;
	uint64_t seed = env_seed(), tries = argc == 2 ? 0 : env_scaled(15000);

	for (int i = 1; i < argc; i++) {
		struct stat st;

		if (!read_argument(argv[i]))
			return 99;
		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
			tries = env_scaled(15000);
	}
	for (size_t i = 0; i < nr_corpus; i++)
		fuzz_tree(corpus[i].bytes, corpus[i].size);
	printf("%zu inputs of the corpus; seed %llu, %llu more\n", nr_corpus,
	       (unsigned long long)seed, (unsigned long long)tries);
	for (uint64_t n = 0; n < tries; n++) {
		struct rng rng = rng_make(seed, n);

		if (nr_corpus == 0 || rng_one_in(&rng, 3))
			random_input(&in, &rng);
		else
			mutated_input(&in, &rng);
		fuzz_tree(in.bytes, in.size);
	}
	return 0;
}
