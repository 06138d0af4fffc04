/* SPDX-License-Identifier: MIT */
/*
 * What tests measure keys in, so that leaves are of each kind (tree/node.h): ranges of a few units
 * lie too far apart, and without an alignment, for the bounds of the kind before. Only where a leaf
 * has the first or the last of all keys it is not short, whatever the unit.
 */
#ifndef TESTS_SUPPORT_UNITS_H
#define TESTS_SUPPORT_UNITS_H

#define PAGE_UNIT 4096UL /* short leaves, as with a unit of one key */
#define NARROW_UNIT ((1UL << 16) + 1)
#define WIDE_UNIT ((1UL << 40) + 1)

#endif
