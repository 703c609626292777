/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes calls of the library fail (allocations and system calls; -Wl,--wrap, see meson.build): the N-th one, or all
 * from the N-th on. Tests use calls that are not wrapped: write, read, sendto, recvfrom.
 */
#ifndef FAIL_H
#define FAIL_H

#include <stdbool.h>

enum fail_kind {
	FAIL_RESOURCES, /* memory, descriptors, threads */
	FAIL_RECEIVES,
	FAIL_SENDS,
	FAIL_WAITS
};

/* site 0: only counts the calls. error: errno of receives, sends and waits that fail. */
void fail_arm(enum fail_kind kind, unsigned long site, bool lasting, int error);
/* True if a call was made to fail. */
bool fail_disarm(void);

#endif
