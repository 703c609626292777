/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * storm API: sends several times more packets than the socket's buffer can hold, while the reader is stopped and
 * continued. Every packet that was sent must be read or counted as lost. Every packet that was read must get its
 * verdict. Between the storms the queue must work normally.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "packets.h"

#define STORM 3000
#define STORMS 3
#define STOPS 5

static unsigned next_number;

/* Shrinks the socket's receive buffer, so that it holds only a few dozen packets. */
static void make_narrow(struct reader *r)
{
	int fd = api == NEW ? ipq_queue_fd(r->q) : r->h->fd, bytes = 16384;

	/* the engine's own socket becomes full, because the program does not read fast enough */
	if (api == ENGINE)
		return;
	want(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)) == 0);
}

static void expect_no_packets_waiting(struct reader *r)
{
	say(next_number, 10);
	next_number += 10;
	want(reader_work(r, 100) == 10);
	reader_flush(r);
	want(heard(100) == 5);
}

static void overload_loses_only_counted_packets(void)
{
	struct reader r = { .q = NULL };
	unsigned sent = 0, read = 0, i;
	uint64_t losses;
	const char *why;

	if (!want(reader_open(&r, &why) == 0))
		return;
	make_narrow(&r);
	for (i = 0; i < STORMS; i++) {
		say(next_number, STORM);
		next_number += STORM;
		sent += STORM;
		read += reader_work(&r, 100);
		reader_flush(&r);
		heard(100);
		expect_no_packets_waiting(&r);
	}
	losses = reader_losses(&r);
	printf("%u sent in storms, %u read, %ju lost\n", sent, read, (uintmax_t)losses);
	want(losses > 0);
	want(read + losses == sent);
	want(r.refusals == 0);
	reader_close(&r);
}

/* Reads until the last number arrives, and reports the counters. */
static void read_while_stopped(int report, unsigned last)
{
	struct reader r = { .q = NULL };
	uint64_t counts[2] = { 0, 0 };
	const char *why;
	struct seen s;
	bool ready;

	ready = reader_open(&r, &why) == 0;
	if (write(report, &ready, sizeof(ready)) < 0 || !ready)
		_exit(1);
	do {
		if (reader_next(&r, &s, 10000) != 1 || reader_judge(&r, &s) < 0)
			_exit(2);
		counts[0]++;
	} while (s.number < last);
	reader_flush(&r);
	counts[1] = reader_losses(&r);
	if (write(report, counts, sizeof(counts)) < 0)
		_exit(3);
	reader_close(&r);
	_exit(failures != 0);
}

static void reader_continues_after_sigstop(void)
{
	const unsigned last = next_number + STOPS * STORM, first = next_number;
	unsigned passed = 0;
	int report[2], status = 1, i;
	uint64_t counts[2];
	bool ready = false;
	pid_t child;

	want(pipe(report) == 0);
	child = fork();
	if (child == 0)
		read_while_stopped(report[1], last);
	close(report[1]);
	want(read(report[0], &ready, sizeof(ready)) > 0 && ready);
	for (i = 0; i < STOPS; i++) {
		kill(child, SIGSTOP);
		say(next_number, STORM / 2);
		kill(child, SIGCONT);
		say(next_number + STORM / 2, STORM / 2);
		next_number += STORM;
		passed += heard(1);
	}
	passed += heard(200);
	say(last, 1);
	want(read(report[0], counts, sizeof(counts)) == sizeof(counts));
	want(waitpid(child, &status, 0) == child && status == 0);
	passed += heard(200);
	printf("%u sent to a reader that was stopped, %ju read, %ju lost, %u passed\n", last + 1 - first,
	       (uintmax_t)counts[0], (uintmax_t)counts[1], passed);
	want(counts[0] + counts[1] == last + 1 - first);
	want(passed > counts[0] / 4 && passed < counts[0]);
}

int main(int argc, char **argv)
{
	(void)argc;
	choose_api(argv);
	open_sockets();
	overload_loses_only_counted_packets();
	next_number += next_number % 2;
	reader_continues_after_sigstop();
	return failures != 0;
}
