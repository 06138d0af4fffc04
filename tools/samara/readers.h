/* SPDX-License-Identifier: MIT */
/*
 * Threads that look things up while the writer runs, and judge every answer: look-ups of probe
 * addresses by their history (history.h), walks over several mappings by the stamps of the records
 * they meet. In RCU mode they take no lock; without RCU each look-up holds the tree's lock.
 */
#ifndef SAMARA_TOOL_READERS_H
#define SAMARA_TOOL_READERS_H

#include "crew.h"
#include "space.h"

/* Like crew_start(). */
int readers_start(struct crew **readers, struct space *space, unsigned int nr, uint64_t seed);

#endif
