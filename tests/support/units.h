/* SPDX-License-Identifier: MIT */
/*
 * Units for keys that give leaves of each kind (tree/node.h): ranges of a few units lie too far
 * apart, and are not aligned enough, for the bounds of the kind before. But a leaf with the first
 * or the last of all keys is not short, whatever the unit.
 */
#ifndef TESTS_SUPPORT_UNITS_H
#define TESTS_SUPPORT_UNITS_H

#define PAGE_UNIT 4096UL /* short leaves, as with a unit of one key */
#define NARROW_UNIT ((1UL << 16) + 1)
#define WIDE_UNIT ((1UL << 40) + 1)

#endif
