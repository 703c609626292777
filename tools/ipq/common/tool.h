/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds the system's tools and provides their environment. */
#ifndef IPQ_COMMON_TOOL_H
#define IPQ_COMMON_TOOL_H

#include <stdbool.h>
#include <stddef.h>

/* Searches the absolute directories of $PATH, then those of the superuser. False if there is no such tool. */
bool tool_find(const char *name, char *path, size_t room);

/*
 * The name of iptables, or ip6tables, for legacy tables. Versions before 1.8 have only these, and no suffix in their
 * names.
 */
const char *tool_iptables(bool six);

/* The environment for exec: four variables, with the C locale. Valid until the next call. */
char *const *tool_environment(void);

#endif
