/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <pthread.h>
#include "util/fork_count.h"

atomic_uint fork_count, fork_depth;

static void in_parent(void)
{
	atomic_fetch_add(&fork_count, 1);
}

static void in_child(void)
{
	atomic_fetch_add(&fork_count, 1);
	atomic_fetch_add(&fork_depth, 1);
}

__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(NULL, in_parent, in_child);
}
