/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes calls fail that the library makes (allocations and system calls; -Wl,--wrap, see meson.build): the N-th
 * call, or all calls from the N-th on. The tests themselves use calls that are not wrapped: write, read, sendto,
 * recvfrom.
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

/*
 * Makes call number `site` fail; 0: only counts the calls. error: the errno of receives, sends and waits that fail.
 */
void fail_arm(enum fail_kind kind, unsigned long site, bool lasting, int error);
/* Returns whether a call was made to fail. */
bool fail_disarm(void);

#endif
