/* SPDX-License-Identifier: MIT */
/*
 * Threads that look things up beside the writer and judge every answer: look-ups of probe
 * addresses by their history (history.h), walks over several mappings by the stamps of the
 * records they meet. In RCU mode they take no lock; without RCU each look-up holds the tree's
 * lock.
 */
#ifndef SAMARA_TOOL_READERS_H
#define SAMARA_TOOL_READERS_H

#include "counts.h"
#include "space.h"

struct readers;

/* Starts @nr threads and waits until each is at work. 0 or a negative errno. */
int readers_start(struct readers **readers, struct space *space, unsigned int nr, uint64_t seed);
/*
 * Lets each thread look at every probe once more, ends them all, adds up what they counted and
 * frees.
 */
void readers_stop(struct readers *readers, struct reader_counts *counts);

#endif
