/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cancelled API: threads are cancelled in ipq_read and ipq_queue_recv, while blocked and during a burst. Afterwards
 * the handle must work in another thread, closing it must not block, and no packet may get a wrong verdict.
 */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#include "packets.h"

#define BURSTS 60
#define BURST 20

static struct reader r;

static void *read_until_cancelled(void *timeout)
{
	struct seen s;

	for (;;)
		if (reader_next(&r, &s, *(int *)timeout) > 0)
			reader_judge(&r, &s);
	return NULL;
}

static void cancel_after(int timeout_ms, unsigned usec)
{
	pthread_t t;
	void *ended = NULL;

	pthread_create(&t, NULL, read_until_cancelled, &timeout_ms);
	usleep(usec);
	pthread_cancel(t);
	pthread_join(t, &ended);
	want(ended == PTHREAD_CANCELED);
}

static void close_does_not_block(void)
{
	int64_t start = clock_ms();

	reader_close(&r);
	want(clock_ms() - start < 300);
	want(queue_is_free());
}

static void cancelled_while_blocked(int timeout_ms, unsigned first)
{
	const char *why;

	if (!want(reader_open(&r, &why) == 0))
		return;
	cancel_after(timeout_ms, 50000);
	say(first, 10);
	want(reader_work(&r, 100) == 10);
	reader_flush(&r);
	want(heard(100) == 5);
	cancel_after(timeout_ms, 50000);
	close_does_not_block();
}

static void cancelled_in_bursts(unsigned first)
{
	unsigned i, passed = 0;
	const char *why;

	if (!want(reader_open(&r, &why) == 0))
		return;
	for (i = 0; i < BURSTS; i++) {
		say(first + i * BURST, BURST);
		cancel_after(i % 2 == 0 ? -1 : 1000, i * 37 % 700);
	}
	reader_work(&r, 100);
	reader_flush(&r);
	passed = heard(100);
	printf("%u of %u passed\n", passed, BURSTS * BURST);
	/* Packets that a cancelled thread had received wait until the queue is closed. */
	want(passed >= BURSTS * BURST / 2 - BURSTS * 8 && passed <= BURSTS * BURST / 2);
	say(first + BURSTS * BURST, 10);
	want(reader_work(&r, 100) == 10);
	reader_flush(&r);
	want(heard(100) == 5);
	close_does_not_block();
}

int main(int argc, char **argv)
{
	(void)argc;
	choose_api(argv);
	open_sockets();
	cancelled_while_blocked(-1, 0);
	cancelled_while_blocked(5000, 20);
	cancelled_in_bursts(100);
	return failures != 0;
}
