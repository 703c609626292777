/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counters for several threads. In a process with one thread they need no atomic operation. */
#ifndef UTIL_COUNT_H
#define UTIL_COUNT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define single_threaded() (__libc_single_threaded != 0)
#else
#define single_threaded() false
#endif

/* Adds one. Returns the previous value. */
static inline uint64_t count(atomic_uint_fast64_t *counter)
{
	uint64_t before;

	if (!single_threaded())
		return atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
	before = atomic_load_explicit(counter, memory_order_relaxed);
	atomic_store_explicit(counter, before + 1, memory_order_relaxed);
	return before;
}

#endif
