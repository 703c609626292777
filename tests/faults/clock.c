/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * clock API: the monotonic clock jumps between any two readings, as for a process that was stopped or a machine
 * that slept, and the wall clock jumps back and forth. A timeout must always end, and a packet that has arrived
 * must be returned in time, whatever time the clocks show.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include "packets.h"

#define SECOND 1000000000LL

/* time in ns by which the clocks jump at each reading; only the wall clock jumps back */
static atomic_llong step;
static atomic_llong forth, back;

int __real_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
	int ret = __real_clock_gettime(clock, t);
	int64_t jump = atomic_load(&step), ns = t->tv_sec * SECOND + t->tv_nsec;

	atomic_fetch_add(jump < 0 ? &back : &forth, jump);
	ns += atomic_load(&forth) + (clock == CLOCK_REALTIME ? atomic_load(&back) : 0);
	t->tv_sec = (time_t)(ns / SECOND);
	t->tv_nsec = ns % SECOND;
	return ret;
}

static int64_t true_ms(void)
{
	struct timespec t;

	__real_clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void ignore_signal(int signal)
{
	(void)signal;
}

/* Lets the clock jump by this time at each reading. Returns whether a timeout of 50 ms ended within 2 s. */
static bool timeout_ends_after_clock_jump(struct reader *r, int64_t jump)
{
	const struct itimerval never = { .it_value.tv_sec = 0 }, soon = { .it_value.tv_sec = 2 };
	int64_t start = true_ms();
	struct seen s;
	int n;

	setitimer(ITIMER_REAL, &soon, NULL); /* interrupts a wait that does not end */
	atomic_store(&step, jump);
	n = reader_next(r, &s, 50);
	atomic_store(&step, 0);
	setitimer(ITIMER_REAL, &never, NULL);
	if (n != 0 || true_ms() - start > 1500)
		printf("a jump of %lld ns: %d after %lld ms\n", (long long)jump, n,
		       (long long)(true_ms() - start));
	return n == 0 && true_ms() - start <= 1500;
}

static void timeouts_end_when_clock_jumps(struct reader *r)
{
	int64_t ms;

	/* The jump at which the timeout ends depends on the size of the jumps, so many sizes are tried. */
	for (ms = 1; ms < 60; ms += 2)
		want(timeout_ends_after_clock_jump(r, ms * SECOND / 1000));
	want(timeout_ends_after_clock_jump(r, SECOND));
	want(timeout_ends_after_clock_jump(r, 86400 * SECOND));
	want(timeout_ends_after_clock_jump(r, -SECOND / 1000));
}

static void packets_are_read_when_clock_jumps(struct reader *r, unsigned first, int64_t jump)
{
	unsigned n = 0;
	struct seen s;

	say(first, 10);
	atomic_store(&step, jump);
	while (n < 10 && reader_next(r, &s, 1000) == 1) {
		want(reader_judge(r, &s) == 0);
		n++;
	}
	reader_flush(r);
	atomic_store(&step, 0);
	want(n == 10);
	want(heard(100) == 5);
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = ignore_signal };
	struct reader r = { .q = NULL };
	const char *why;

	(void)argc;
	choose_api(argv);
	open_sockets();
	sigaction(SIGALRM, &sa, NULL);
	atomic_store(&step, 3600 * SECOND);
	want(reader_open(&r, &why) == 0);
	atomic_store(&step, 0);
	timeouts_end_when_clock_jumps(&r);
	packets_are_read_when_clock_jumps(&r, 0, 3600 * SECOND);
	packets_are_read_when_clock_jumps(&r, 10, -SECOND);
	packets_are_read_when_clock_jumps(&r, 20, 0);
	reader_close(&r);
	return failures != 0;
}
