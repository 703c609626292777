/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Error texts, and public structs whose size depends on the version of the program. */
#ifndef UTIL_ERROR_H
#define UTIL_ERROR_H

#include <stddef.h>

/* The text of an error: cause and remedy. */
struct ipq_error {
	char text[320];
};

/*
 * Stores the text unless e is NULL. err is a positive errno. Returns -err, so that a failing path is one
 * line.
 */
int ipq_fail(struct ipq_error *e, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

/*
 * Reads a public struct that begins with its size: struct `name`, of which this library knows the first
 * `known` bytes and requires `min_size`. If the program's struct is shorter (older), the missing fields
 * become 0. If it is longer (newer), the extra bytes must be 0. Returns 0, or -EINVAL; `to` is filled in
 * either way, so that the caller finds the program's error buffer in it, unless the size itself is invalid.
 */
int copy_struct_in(void *to, size_t known, const void *given, size_t min_size, const char *name,
		   struct ipq_error *e);

/*
 * Fills in a public struct that begins with its size from `ours` of `known` bytes. A shorter (older) struct
 * receives the fields that it has; in a longer (newer) one the extra bytes become 0. Returns 0, or -EINVAL
 * when the size is below min_size or over 65536, that is, the program did not set it.
 */
int copy_struct_out(void *given, const void *ours, size_t known, size_t min_size);

#endif
