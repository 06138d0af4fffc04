/* SPDX-License-Identifier: MIT */
/*
 * Runs files of steps (support/ops.h), each of which once showed a fault, and checks after every
 * step.
 */
#include "support/rig.h"

#include <stdio.h>

static bool replay(const char *path, struct op_list *list)
{
	struct rig rig;
	bool good = true;

	if (!rig_init(&rig, list->flags))
		return false;
	for (size_t i = 0; good && i < list->count; i++) {
		good = rig_step(&rig, &list->ops[i]) && rig_check(&rig);
		if (!good)
			fprintf(stderr, "%s: step %zu, %s: %s\n", path, i + 1,
				op_name(list->ops[i].kind), rig.why);
	}
	if (good && !rig_fini(&rig)) {
		good = false;
		fprintf(stderr, "%s: %s\n", path, rig.why);
	}
	return good;
}

int main(int argc, char **argv)
{
	int failed = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: %s FILE...\n", argv[0]);
		return 99;
	}
	for (int i = 1; i < argc; i++) {
		struct op_list list;
		unsigned int line;
		FILE *file = fopen(argv[i], "r");

		if (!file) {
			perror(argv[i]);
			return 99;
		}
		line = op_list_read(&list, file);
		fclose(file);
		if (line) {
			fprintf(stderr, "%s:%u: not understood\n", argv[i], line);
			return 99;
		}
		failed += !replay(argv[i], &list);
		op_list_free(&list);
	}
	return failed != 0;
}
