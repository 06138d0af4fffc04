/* SPDX-License-Identifier: MIT */
/* The crew of readers: the counts of all its members are summed. */
#include "support/cm.h"

#include <stdio.h>
#include <string.h>

#include "tools/samara/crew.h"
#include "tools/samara/samara.h"

static unsigned int complaints;

int complain(const char *format, ...)
{
	(void)format;
	complaints++;
	return EXIT_FAILED;
}

static uint64_t look_up(struct crew_member *member, uint64_t random)
{
	member->counts.lookups++;
	return random;
}

static void walk(struct crew_member *member, uint64_t addr)
{
	(void)addr;
	member->counts.walked++;
}

/* Member number *ctx reports a wrong answer twice. */
static void look_at_all(struct crew_member *member)
{
	const unsigned int *ctx = member->ctx;

	member->counts.unjudged++;
	if (member->number == *ctx) {
		crew_wrong(member, "%x is wrong", 0x17u);
		crew_wrong(member, "%x, too", 0x18u);
	}
}

static void expect_wrong(unsigned int number, uint64_t wrong, const char *example)
{
	static const struct crew_work work = { look_up, walk, look_at_all };
	struct reader_counts counts = { .lookups = 0 };
	struct crew *crew;

	complaints = 0;
	assert_int_equal(crew_start(&crew, &work, &number, 3, 0), 0);
	crew_stop(crew, &counts);
	assert_int_equal(counts.unjudged, 3);
	assert_int_equal(counts.wrong, wrong);
	assert_string_equal(counts.example, example);
	assert_int_equal(crew_judge("test", &counts), wrong ? EXIT_FAILED : EXIT_OK);
	assert_int_equal(complaints, wrong ? 1 : 0);
}

static void test_wrong_answers(void **state)
{
	(void)state;
	expect_wrong(3, 0, "");
	for (unsigned int number = 0; number < 3; number++) {
		char example[64];

		snprintf(example, sizeof(example), "reader %u: 17 is wrong", number);
		expect_wrong(number, 2, example);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
