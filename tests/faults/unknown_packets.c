/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * unknown_packets API: packets wait that the current reader has not received: either a thread received them and was
 * cancelled, or they were read before batching was enabled. No verdict for several packets may decide them.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include "packets.h"

/* Cancels the thread just after the kernel has returned the packets, which the C library may do, too. */
static atomic_bool cancel_now;

int __real_recvmmsg(int fd, struct mmsghdr *msg, unsigned n, int flags, struct timespec *t);
int __wrap_recvmmsg(int fd, struct mmsghdr *msg, unsigned n, int flags, struct timespec *t);
int __wrap_recvmmsg(int fd, struct mmsghdr *msg, unsigned n, int flags, struct timespec *t)
{
	int got = __real_recvmmsg(fd, msg, n, flags, t);

	if (got > 0 && atomic_exchange(&cancel_now, false)) {
		pthread_cancel(pthread_self());
		pthread_testcancel();
	}
	return got;
}

static void *read_one(void *reader)
{
	struct seen s;

	reader_next(reader, &s, -1);
	return NULL;
}

static void packets_of_cancelled_reader_stay_undecided(void)
{
	struct reader r = { .q = NULL };
	const char *why;
	pthread_t t;
	void *ended;

	if (!want(reader_open(&r, &why) == 0))
		return;
	say(0, 4);
	atomic_store(&cancel_now, true);
	pthread_create(&t, NULL, read_one, &r);
	pthread_join(t, &ended);
	want(ended == PTHREAD_CANCELED);
	say(4, 1);
	say(6, 1);
	want(reader_work(&r, 100) == 2);
	reader_flush(&r);
	want(heard(100) == 2);
	reader_close(&r);
}

static void packets_read_before_batching_stay_undecided(void)
{
	struct reader r = { .h = NULL };
	struct seen odd, even;
	const char *why;

	if (!want(reader_open(&r, &why) == 0) || !want(ipq_ctl(r.h, IPQ_CTL_BATCH, 1) == 0))
		return;
	say(11, 2);
	want(reader_next(&r, &odd, 1000) == 1 && odd.number == 11);
	want(reader_next(&r, &even, 1000) == 1 && even.number == 12);
	want(ipq_ctl(r.h, IPQ_CTL_BATCH, 8) == 0);
	say(14, 1);
	say(16, 1);
	want(reader_work(&r, 100) == 2);
	reader_flush(&r);
	want(heard(100) == 2);
	want(reader_judge(&r, &even) == 0 && reader_judge(&r, &odd) == 0);
	reader_flush(&r);
	want(heard(100) == 1);
	want(r.refusals == 0 && reader_next(&r, &odd, 0) == 0 && r.refusals == 0);
	reader_close(&r);
}

int main(int argc, char **argv)
{
	(void)argc;
	choose_api(argv);
	open_sockets();
	if (api == STRICT)
		packets_read_before_batching_stay_undecided();
	else
		packets_of_cancelled_reader_stay_undecided();
	return failures != 0;
}
