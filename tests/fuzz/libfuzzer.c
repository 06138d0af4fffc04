/* SPDX-License-Identifier: MIT */
/* libFuzzer's entry point; built with clang. Run it as: test-fuzz-libfuzzer tests/fuzz/corpus */
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_tree(data, size);
	return 0;
}
