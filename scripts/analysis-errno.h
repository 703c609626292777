/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For the static analyzers only (scripts/check): a call that failed has set errno. They know nothing of it, and
 * follow every `return -errno` to the caller as if it could be 0, success.
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
