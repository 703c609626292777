/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a process of the command gives up once it is set up. doc/security.md says who keeps what, and why.
 *
 * All of it is best effort: a kernel that does not know one of these leaves us as we were without it, and
 * where a container forbids it there was less to lose. Call before threads are started: each has its own.
 */
#ifndef IPQ_COMMON_PRIVILEGES_H
#define IPQ_COMMON_PRIVILEGES_H

#include <stdint.h>
#include <linux/capability.h>

#define PRIVILEGE(capability) (UINT64_C(1) << (capability))

/* Only these capabilities stay, of those that we have, here and in whatever is executed. */
void privileges_keep(uint64_t capabilities);

/* Nothing can be written, made or removed by name any more, here and in what is executed, but these files
 * (NULL at the end; those that do not exist do not matter). What is open stays open. Call privileges_keep()
 * first. */
void privileges_write_only(const char *const files[]);

/* Closes what we inherited beyond standard error. Ours is known by being close-on-exec. */
void privileges_close_inherited(void);

#endif
