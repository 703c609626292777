/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the system's own tools are, and in what environment they are started. */
#ifndef IPQ_COMMON_TOOL_H
#define IPQ_COMMON_TOOL_H

#include <stdbool.h>
#include <stddef.h>

/* Is there such a tool in the absolute directories of $PATH or in those of the superuser? Fills in where. */
bool tool_find(const char *name, char *path, size_t room);

/* For exec: nothing of ours but the lock of iptables, and the C locale. Valid until the next call. */
char *const *tool_environment(void);

#endif
