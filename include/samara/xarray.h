/* SPDX-License-Identifier: MIT */
/*
 * Entries: what a tree may hold, and the helpers to make and read them. Names and values are those
 * of Linux's XArray interface.
 *
 * An entry is one word. Its bits 1:0 say what it is:
 *
 *   00  a pointer, at least 4-byte aligned; NULL means "no entry"
 *   01  a value (xa_mk_value()) or a pointer tagged 1
 *   11  a value or a pointer tagged 3
 *   10  internal: reserved for the library below 4096 (2, 6, ..., 4094), free for the user above
 */
#ifndef SAMARA_XARRAY_H
#define SAMARA_XARRAY_H

#include <samara/export.h>

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

MT_BEGIN_DECLS

/* Private: the warning of xa_mk_value(). */
MT_API void mt_warn_value_(unsigned long v);

MT_END_DECLS

/*
 * The entry that holds the integer @v. Bit 63 of @v is lost, because only LONG_MAX + 1 values
 * exist; the first time it is set, a warning goes to stderr.
 */
static inline void *xa_mk_value(unsigned long v)
{
	if (v > LONG_MAX)
		mt_warn_value_(v);
	return (void *)((v << 1) | 1);
}

/* The integer of a value entry. */
static inline unsigned long xa_to_value(const void *entry)
{
	return (unsigned long)entry >> 1;
}

/* Is @entry a value? A pointer tagged 1 or 3 counts as one. */
static inline bool xa_is_value(const void *entry)
{
	return (unsigned long)entry & 1;
}

/* A pointer with tag 0, 1 or 3 in its low bits; such an entry also answers to xa_is_value(). */
static inline void *xa_tag_pointer(void *p, unsigned long tag)
{
	return (void *)((unsigned long)p | tag);
}

static inline void *xa_untag_pointer(void *entry)
{
	return (void *)((unsigned long)entry & ~3UL);
}

static inline unsigned int xa_pointer_tag(void *entry)
{
	return (unsigned int)((unsigned long)entry & 3UL);
}

static inline void *xa_mk_internal(unsigned long v)
{
	return (void *)((v << 2) | 2);
}

static inline unsigned long xa_to_internal(const void *entry)
{
	return (unsigned long)entry >> 2;
}

static inline bool xa_is_internal(const void *entry)
{
	return ((unsigned long)entry & 3) == 2;
}

#define XA_RETRY_ENTRY xa_mk_internal(256)
/*
 * A reservation: occupies its range like any entry, but reads as NULL through the normal API,
 * except mt_next(), mt_prev() and mtree_erase().
 */
#define XA_ZERO_ENTRY xa_mk_internal(257)

static inline bool xa_is_zero(const void *entry)
{
	return entry == XA_ZERO_ENTRY;
}

/* Entries that mtree_store*() and mtree_insert*() refuse. */
static inline bool xa_is_advanced(const void *entry)
{
	return xa_is_internal(entry) && xa_to_internal(entry) <= xa_to_internal(XA_RETRY_ENTRY);
}

/* Is @entry an encoded negative errno, -1 to -4095? */
static inline bool xa_is_err(const void *entry)
{
	return xa_is_internal(entry) &&
	       xa_to_internal(entry) >= xa_to_internal(xa_mk_internal(-4095UL));
}

/* The negative errno that @entry encodes, 0 for everything else. */
static inline int xa_err(void *entry)
{
	return xa_is_err(entry) ? (int)((long)entry >> 2) : 0;
}

#endif
