/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the library asks of memory and kernel fails on demand (-Wl,--wrap, see meson.build): the N-th request,
 * or every one from the N-th on. Tests use calls that are not wrapped: write, read, sendto, recvfrom.
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

/* site 0: only counts. error: what receives, sends and waits fail with. */
void fail_arm(enum fail_kind kind, unsigned long site, bool lasting, int error);
/* True when something was made to fail. */
bool fail_disarm(void);

#endif
