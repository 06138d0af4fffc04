/* SPDX-License-Identifier: MIT */
/*
 * The fuzz target of the trace reader, under libFuzzer's name and with its promise: for any bytes
 * no crash, no leak, and a result of 0. The tests and AFL link it with run.c; for libFuzzer, use
 * clang -fsanitize=fuzzer,address and the same sources without run.c.
 */
#ifndef TESTS_FUZZ_TRACE_FUZZ_H
#define TESTS_FUZZ_TRACE_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
