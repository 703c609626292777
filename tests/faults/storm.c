/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * storm API: more packets than the socket takes, again and again, and a reader that is stopped and continued
 * under load. Whatever is sent was read, or is counted as lost; what was read is decided rightly; and between
 * the storms the queue works as if nothing had been.
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

/* The socket that packets come from: room for a few dozen. */
static void make_narrow(struct reader *r)
{
	int fd = api == NEW ? ipq_queue_fd(r->q) : r->h->fd, bytes = 16384;

	if (api == ENGINE) /* the engine's own end is what fills up: a program can only read slowly */
		return;
	want(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)) == 0);
}

static void calm(struct reader *r)
{
	say(next_number, 10);
	next_number += 10;
	want(reader_work(r, 100) == 10);
	reader_flush(r);
	want(heard(100) == 5);
}

static void storms(void)
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
		calm(&r);
	}
	losses = reader_losses(&r);
	printf("%u sent in storms, %u read, %ju lost\n", sent, read, (uintmax_t)losses);
	want(losses > 0);
	want(read + losses == sent);
	want(r.refusals == 0);
	reader_close(&r);
}

/* Reads until it has seen the number that ends it, and reports what it counted. */
static void be_stopped(int report, unsigned last)
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

static void stopped_and_continued(void)
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
		be_stopped(report[1], last);
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
	storms();
	next_number += next_number % 2;
	stopped_and_continued();
	return failures != 0;
}
