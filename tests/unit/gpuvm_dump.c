/* SPDX-License-Identifier: MIT */
/* Dumps of VMs: the reserved region, and what is printed of each sort of mapping. */
#include "support/cm.h"

#include "support/gpuvm_toy.h"

#include <stdlib.h>

static struct toy toy;

static void expect_dump(const char *expected)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	gpuvm_dump(&toy.vm, out);
	fclose(out);
	assert_string_equal(text, expected);
	free(text);
}

static void nothing_mapped(void **state)
{
	static const struct toy_config config = { .range = UINT64_MAX };

	(void)state;
	assert_int_equal(toy_init(&toy, &config), 0);
	gpuvm_lock(&toy.vm);
	toy.vm.name = "mine";
	expect_dump("gpuvm mine 0-fffffffffffffffe mappings 0\n");
	gpuvm_unlock(&toy.vm);
	assert_true(toy_destroy(&toy));
}

static void mappings(void **state)
{
	static const struct toy_config config = {
		.start = 0x1000, .range = 0x9000, .reserve_start = 0x3000, .reserve_range = 0x1000
	};
	char expected[500];
	struct gpuva *va;

	(void)state;
	assert_int_equal(toy_init(&toy, &config), 0);
	toy.vm.name = "mine";
	gpuvm_lock(&toy.vm);
	assert_int_equal(toy_insert(&toy, 0x1000, 0x1000, 0, 0x8000), 0);
	assert_int_equal(toy_insert(&toy, 0x4000, 0x2000, 1, 0), 0);
	assert_int_equal(toy_insert(&toy, 0x6000, 0x1000, -1, 0), 0);
	assert_int_equal(toy_insert(&toy, 0x7000, 0x1000, -1, 0), 0);
	va = gpuvm_find(&toy.vm, 0x4000);
	gpuva_invalidate(va, true);
	gpuvm_find(&toy.vm, 0x6000)->flags = GPUVA_SPARSE;
	gpuvm_find(&toy.vm, 0x7000)->flags = GPUVA_USERBITS << 1 | GPUVA_USERBITS;
	snprintf(expected, sizeof(expected),
		 "gpuvm mine 1000-9fff reserved 3000-3fff mappings 4\n"
		 "1000-1fff: object %p at 8000\n"
		 "4000-5fff: object %p at 0, invalidated\n"
		 "6000-6fff: sparse\n"
		 "7000-7fff: no object, flags c\n",
		 (void *)toy_obj(&toy, 0), (void *)toy_obj(&toy, 1));
	expect_dump(expected);
	toy_clear(&toy);
	gpuvm_unlock(&toy.vm);
	assert_true(toy_destroy(&toy));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_mapped),
		cmocka_unit_test(mappings),
	};

	return cmocka_run_group_tests_name("gpuvm_dump", tests, NULL, NULL);
}
