/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For the static analyzers only (scripts/check). They do not know that a failed call has set errno, and treat every
 * `return -errno` as if it could return 0, success.
 */
#include <errno.h>

static inline int *errno_of_a_failure(void)
{
	int *e = &errno;

	if (*e <= 0)
		__builtin_unreachable();
	return e;
}

#undef errno
#define errno (*errno_of_a_failure())
