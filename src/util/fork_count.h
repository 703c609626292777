/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Forks, counted where they happen. A number that has changed says that one lies between. */
#ifndef UTIL_FORK_COUNT_H
#define UTIL_FORK_COUNT_H

#include <stdatomic.h>

/* In both processes: from then on either may do what the other one does not know of. */
extern atomic_uint fork_count;

/* In the child only: how many lie between this process and the loading of the library. */
extern atomic_uint fork_depth;

#endif
