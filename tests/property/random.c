/* SPDX-License-Identifier: MIT */
/*
 * Random steps against the model, in rounds of their own process, so that a crash or a hang fails a
 * round like a wrong answer. The steps of a failed round are thinned out until none can be spared,
 * and printed as a file for tests/regress.
 */
#include "generate.h"
#include "support/env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEPS_MAX 20000UL
#define OPS_DEFAULT 1000000UL
#define HANG_SECONDS 120
#define SHRINK_TRIALS 2000

/* What a round tells its parent, even if the round crashes. */
struct report {
	char why[WHY_SIZE];
	size_t count; /* steps begun */
	struct op ops[STEPS_MAX + 1];
};

static struct report *report;

static void set_limits(void)
{
	alarm(HANG_SECONDS);
}

/* Does one step, after noting it in the report. */
static bool play(struct rig *rig, const struct op *op)
{
	report->ops[report->count++] = *op;
	return rig_step(rig, op);
}

/* Runs the round. All checks together cost about as much as the steps do. */
static bool play_round(struct rig *rig, const struct profile *profile, uint64_t seed,
		       uint64_t round)
{
	unsigned long since = 0;

	for (uint64_t number = 0; number < profile->steps && report->count < STEPS_MAX; number++) {
		struct op op = generate(profile, rig, seed, round, number);

		if (!play(rig, &op))
			return false;
		if (++since > 30 + rig->model.count / 2) {
			since = 0;
			if (!rig_check(rig))
				return false;
		}
	}
	return rig_check(rig);
}

static _Noreturn void end_child(struct rig *rig, bool good)
{
	if (good)
		good = rig_fini(rig);
	memcpy(report->why, rig->why, WHY_SIZE);
	_exit(good ? 0 : 1);
}

static bool wait_child(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		perror("fork");
		exit(99);
	}
	if (WIFSIGNALED(status))
		snprintf(report->why, WHY_SIZE, "%s", strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) > 1 && !report->why[0])
		snprintf(report->why, WHY_SIZE, "exit status %d", WEXITSTATUS(status));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool round_passes(const struct profile *profile, uint64_t seed, uint64_t round)
{
	struct rig rig;
	pid_t pid;

	fflush(NULL);
	report->count = 0;
	report->why[0] = '\0';
	pid = fork();
	if (pid == 0) {
		set_limits();
		if (!rig_init(&rig, profile->flags))
			_exit(99);
		end_child(&rig, play_round(&rig, profile, seed, round));
	}
	return wait_child(pid);
}

/*
 * Whether these steps pass, with a check after the last. Quiet, since most trials of a shrinking
 * fail in the same way.
 */
static bool list_passes(const struct op_list *list)
{
	struct rig rig;
	pid_t pid;

	fflush(NULL);
	report->why[0] = '\0';
	pid = fork();
	if (pid == 0) {
		bool good = true;

		set_limits();
		if (!freopen("/dev/null", "w", stderr) || !rig_init(&rig, list->flags))
			_exit(99);
		for (size_t i = 0; good && i < list->count; i++)
			good = rig_step(&rig, &list->ops[i]);
		end_child(&rig, good && rig_check(&rig));
	}
	return wait_child(pid);
}

/* Leaves out shorter and shorter stretches of steps, as long as the rest still fails. */
static void shrink(struct op_list *list)
{
	struct op *spare = malloc(list->count * sizeof(*spare));
	unsigned int trials = 0;

	if (!spare)
		exit(99);
	for (size_t stretch = (list->count + 1) / 2; stretch > 0; stretch /= 2) {
		for (size_t at = 0; at < list->count && trials < SHRINK_TRIALS; trials++) {
			size_t n = stretch < list->count - at ? stretch : list->count - at;
			struct op_list trial = { spare, list->count - n, 0, list->flags };

			memcpy(spare, list->ops, at * sizeof(*spare));
			memcpy(spare + at, list->ops + at + n,
			       (list->count - at - n) * sizeof(*spare));
			if (list_passes(&trial)) {
				at += n;
			} else {
				memcpy(list->ops, spare, trial.count * sizeof(*spare));
				list->count = trial.count;
			}
		}
	}
	free(spare);
}

static int report_failure(const struct profile *profile, uint64_t seed, uint64_t round)
{
	struct op_list list = { NULL, report->count, 0, profile->flags };

	fprintf(stderr, "seed %llu, round %llu, keys %s, flags %#x, step %zu: %s\n",
		(unsigned long long)seed, (unsigned long long)round, profile_keys(profile),
		profile->flags, report->count, report->why);
	list.ops = malloc((list.count + 1) * sizeof(*list.ops));
	if (!list.ops)
		return 99;
	memcpy(list.ops, report->ops, list.count * sizeof(*list.ops));
	if (list_passes(&list)) {
		fprintf(stderr, "the same steps pass when they are repeated\n");
	} else {
		shrink(&list);
		list_passes(&list);
		printf("# %s\n", report->why);
		op_list_print(&list, stdout);
	}
	op_list_free(&list);
	return 1;
}

int main(void)
{
	uint64_t seed = env_seed(), left = env_ops(OPS_DEFAULT), done = 0;

	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (report == MAP_FAILED)
		return 99;
	printf("seed %llu, %llu steps\n", (unsigned long long)seed, (unsigned long long)left);
	for (uint64_t round = 0; left > 0; round++) {
		struct profile profile = profile_make(seed, round, STEPS_MAX);

		if (profile.steps > left)
			profile.steps = left;
		if (!round_passes(&profile, seed, round))
			return report_failure(&profile, seed, round);
		left -= profile.steps;
		done += profile.steps;
	}
	printf("%llu steps passed\n", (unsigned long long)done);
	return 0;
}
