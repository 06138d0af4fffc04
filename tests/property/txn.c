/* SPDX-License-Identifier: MIT */
/*
 * Random transactions against the model, in trees that other operations change between them.
 * Inside, the transaction must match the model; outside, the tree must stay as it was until the
 * commit, and for good after an abort. Each round is a process of its own, so that a crash fails it
 * like a wrong answer.
 */
#include "generate.h"
#include "support/env.h"
#include "support/rig_internal.h"
#include "support/rng.h"
#include "unit/txn_image.h"

#include <errno.h>
#include <samara/txn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define STORES_DEFAULT 400000UL
#define TXN_MAX 1500UL /* steps, two of three of which store */
#define HANG_SECONDS 120

/* What a round tells its parent, even if the round crashes. */
struct report {
	char why[WHY_SIZE];
	uint64_t step;                      /* of the round, begun */
	unsigned long stores, txns, aborts; /* made so far, in all rounds */
};

static struct report *report;

/*
 * One round. While a transaction is open, rig.model follows the transaction; @outside is the tree.
 */
struct play {
	struct rig rig;
	const struct profile *profile;
	uint64_t seed, round, step;
	struct mt_txn txn;
	struct range_model outside;
	struct tree_image image;
	enum tree_form form; /* of what the transaction sees */
	unsigned long since; /* steps since all ranges were compared */
};

static struct op draw(struct play *p)
{
	report->step = p->step;
	return generate(p->profile, &p->rig, p->seed, p->round, p->step++);
}

static bool fault(struct play *p, const char *what, const void *got, const void *want)
{
	return rig_fault(&p->rig, "%s: %p, should be %p", what, got, want);
}

/* ---- Within a transaction */

/* Checks the result @err of a store; *@done is set if it has stored. */
static bool stored(struct play *p, const struct op *op, int err, int want, bool *done)
{
	*done = err == 0;
	if (err == want || (want == 0 && rig_refused(op, err, want)))
		return true;
	return rig_fault(&p->rig, "a store in a transaction: %d, should be %d", err, want);
}

static bool txn_store(struct play *p, const struct op *op)
{
	unsigned long first = op->n[0], last = op->n[1];
	void *entry = rig_entry(op->n[2]);
	unsigned long before = mt_txn_stores(&p->txn);
	bool bad = first > last || xa_is_advanced(entry), done;
	int err = mt_txn_store_range(&p->txn, first, last, entry, op_gfps[op->gfp]);

	if (!stored(p, op, err, bad ? -EINVAL : 0, &done))
		return false;
	if (mt_txn_stores(&p->txn) != before + done)
		return rig_fault(&p->rig, "stores are miscounted");
	if (done)
		rm_store(&p->rig.model, first, last, entry);
	return true;
}

static bool txn_erase(struct play *p, const struct op *op)
{
	void *want = NULL, *got = NULL;
	bool done;
	int err = mt_txn_erase(&p->txn, op->n[0], &got, op_gfps[op->gfp]);

	if (!stored(p, op, err, 0, &done) || !done)
		return !done && err == -ENOMEM;
	want = rm_erase(&p->rig.model, op->n[0]);
	return got == want || fault(p, "erase", got, want);
}

static bool txn_look(struct play *p, const struct op *op)
{
	unsigned long key = op->n[0], at = key, want_at = key, last, want_last;
	void *want = model_load(&p->rig.model, key), *got = mt_txn_load(&p->txn, key);

	if (got != want)
		return fault(p, "load inside", got, want);
	want = model_find(&p->rig.model, &want_at, op->n[1]);
	got = mt_txn_find(&p->txn, &at, op->n[1]);
	if (got != want || at != want_at)
		return fault(p, "find inside", got, want);
	at = key;
	rm_range(&p->rig.model, key, &want_at, &want_last, &want);
	got = mt_txn_walk(&p->txn, &at, &last);
	if (got != want || at != want_at || last != want_last)
		return fault(p, "walk inside", got, want);
	want = model_load(&p->outside, key);
	got = mtree_load(&p->rig.tree, key);
	return got == want || fault(p, "load outside", got, want);
}

static bool txn_step(struct play *p, const struct op *op)
{
	switch (op->kind) {
	case OP_store:
	case OP_insert:
	case OP_reserve:
	case OP_release:
	case OP_cur_set:
	case OP_cur_store:
	case OP_cur_store_gfp:
	case OP_cur_prealloc:
		return txn_store(p, op);
	case OP_erase:
	case OP_cur_erase:
		return txn_erase(p, op);
	default:
		return txn_look(p, op);
	}
}

/*
 * Comparing all ranges takes time in proportion to their number; done at this rate, it costs about
 * as much as the steps do.
 */
static bool due(struct play *p)
{
	if (p->since < 30 + p->rig.model.count / 2)
		return false;
	p->since = 0;
	return true;
}

/* Checks that the inside matches the model and the outside is unchanged. */
static bool txn_check(struct play *p)
{
	struct tree_image image = tree_image_of(&p->rig.tree);

	if (!tree_image_equal(&image, &p->image))
		return rig_fault(&p->rig, "the tree changed under an open transaction");
	return tree_good(&p->txn.view, &p->rig.model, p->rig.why) &&
	       tree_good(&p->rig.tree, &p->outside, p->rig.why);
}

static bool txn_steps(struct play *p, unsigned long steps)
{
	while (steps-- > 0) {
		struct op op = draw(p);

		if (!txn_step(p, &op))
			return false;
		p->form = form_after(p->form, &p->rig.model);
		if ((p->form == FORM_NODES) != (mt_height(&p->txn.view) > 0))
			return rig_fault(&p->rig, "height %u inside", mt_height(&p->txn.view));
		p->since++;
		if (due(p) && !txn_check(p))
			return false;
	}
	report->stores += mt_txn_stores(&p->txn);
	return true;
}

static bool expect_marks_gone(struct play *p)
{
	struct tree_image image = tree_image_of(&p->rig.tree);

	if (image.marked)
		return rig_fault(&p->rig, "%lu nodes are still marked", image.marked);
	if (nodes_in_use(p->rig.mem) != image.nodes + mas_allocated(&p->rig.mas))
		return rig_fault(&p->rig, "%lu nodes in use, %lu in the tree",
				 nodes_in_use(p->rig.mem), image.nodes);
	return true;
}

static bool txn_abort(struct play *p)
{
	struct tree_image image;

	mt_txn_abort(&p->txn);
	report->aborts++;
	image = tree_image_of(&p->rig.tree);
	rm_destroy(&p->rig.model);
	p->rig.model = p->outside;
	if (!tree_image_equal(&image, &p->image))
		return rig_fault(&p->rig, "an abort left another tree");
	return true;
}

static bool transaction(struct play *p, struct rng *rng)
{
	unsigned long steps = rng_below(rng, 1 + (TXN_MAX >> rng_below(rng, 11)));
	bool good;

	rm_init(&p->outside);
	if (rm_copy(&p->outside, &p->rig.model))
		return rig_fault(&p->rig, "no memory for the model");
	rig_lock(&p->rig);
	p->image = tree_image_of(&p->rig.tree);
	p->form = p->rig.cursor.form;
	mt_txn_begin(&p->txn, &p->rig.tree);
	report->txns++;
	good = txn_steps(p, steps);
	if (good && rng_one_in(rng, 3)) {
		good = txn_abort(p);
	} else if (good) {
		mt_txn_commit(&p->txn);
		rm_destroy(&p->outside);
		p->rig.cursor.form = p->form;
	}
	good = good && expect_marks_gone(p) && tree_good(&p->rig.tree, &p->rig.model, p->rig.why);
	rig_unlock(&p->rig);
	if (!good)
		return false;
	rig_leave_cursor(&p->rig);
	return rig_changed(&p->rig);
}

/* ---- Rounds */

/* Ordinary changes between transactions; the cursor may keep preallocated nodes. */
static bool ordinary_life(struct play *p, struct rng *rng)
{
	for (unsigned long n = rng_below(rng, 40); n > 0; n--) {
		struct op op = draw(p);

		if (!rig_step(&p->rig, &op))
			return false;
	}
	return true;
}

static bool play_round(struct play *p)
{
	for (uint64_t turn = 0; p->step < p->profile->steps; turn++) {
		struct rng rng = rng_make(p->seed + 1 + p->round, turn);

		if (!ordinary_life(p, &rng) || !transaction(p, &rng))
			return false;
	}
	return rig_check(&p->rig);
}

static bool round_passes(const struct profile *profile, uint64_t seed, uint64_t round)
{
	static struct play p;
	int status;
	pid_t pid;

	fflush(NULL);
	report->why[0] = '\0';
	pid = fork();
	if (pid == 0) {
		bool good;

		alarm(HANG_SECONDS);
		p = (struct play){ .profile = profile, .seed = seed, .round = round };
		if (!rig_init(&p.rig, profile->flags))
			_exit(99);
		good = play_round(&p) && rig_fini(&p.rig);
		memcpy(report->why, p.rig.why, WHY_SIZE);
		_exit(good ? 0 : 1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		perror("fork");
		exit(99);
	}
	if (WIFSIGNALED(status))
		snprintf(report->why, WHY_SIZE, "%s", strsignal(WTERMSIG(status)));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(void)
{
	uint64_t seed = env_seed(), stores = env_ops(STORES_DEFAULT);

	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (report == MAP_FAILED)
		return 99;
	printf("seed %llu, %llu stores\n", (unsigned long long)seed, (unsigned long long)stores);
	for (uint64_t round = 0; report->stores < stores; round++) {
		struct profile profile = profile_make(seed, round, 12000);

		if (!round_passes(&profile, seed, round)) {
			fprintf(stderr,
				"seed %llu, round %llu, keys %s, flags %#x, step %llu: %s\n",
				(unsigned long long)seed, (unsigned long long)round,
				profile_keys(&profile), profile.flags,
				(unsigned long long)report->step, report->why);
			return 1;
		}
	}
	printf("%lu stores in %lu transactions passed, %lu of them aborted\n", report->stores,
	       report->txns, report->aborts);
	return 0;
}
