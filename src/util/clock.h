/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The system's clocks, each read as one number. now_*() are monotonic clocks, for deadlines and durations. */
#ifndef UTIL_CLOCK_H
#define UTIL_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static inline int64_t now_us(void)
{
	return now_ns() / 1000;
}

static inline int64_t now_ms(void)
{
	return now_ns() / 1000000;
}

/* A cheaper clock, which advances every 1 to 4 ms. */
static inline int64_t now_coarse_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC_COARSE);
}

static inline int64_t realtime_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

#endif
