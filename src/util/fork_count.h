/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counts forks: a count that has changed means that the process has forked since. */
#ifndef UTIL_FORK_COUNT_H
#define UTIL_FORK_COUNT_H

#include <stdatomic.h>

/* Number of forks of this process and of its ancestors since the library was loaded. */
extern atomic_uint fork_count;

/* Number of forks between the process that loaded the library and this process. */
extern atomic_uint fork_depth;

#endif
