/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * forks API: a queue and fork, in every order: before it is opened, before it is taken, after; the child
 * reads and the parent decides, and the other way round; both read; either ends first.
 *
 * The family of each case lives in a process of its own, so that it can end as it likes; this one sends the
 * packets and listens to what arrives.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "packets.h"

#define EACH 20 /* packets a round */

static unsigned next_number;
static int order[2], done[2]; /* pipes: from the sender, to the sender */

static void tell(int fd)
{
	if (write(fd, "x", 1) != 1)
		_exit(9);
}

static void await(int fd)
{
	char x;

	if (read(fd, &x, 1) != 1)
		_exit(8);
}

static void open_or_end(struct reader *r)
{
	const char *why = "";

	if (reader_open(r, &why) < 0) {
		printf("cannot open: %s (errno %d)\n", why, errno);
		_exit(7);
	}
}

/* Says that it is ready, reads and decides what comes, says that it is done. */
static void work(struct reader *r)
{
	tell(done[1]);
	await(order[0]);
	want(reader_work(r, 200) == EACH);
	reader_flush(r);
	tell(done[1]);
}

static pid_t born(void)
{
	pid_t child = fork();

	if (child < 0)
		_exit(6);
	return child;
}

static void ends_well(pid_t child)
{
	int status = 1;

	want(waitpid(child, &status, 0) == child && status == 0);
}

static _Noreturn void end(void)
{
	_exit(failures != 0);
}

/* ---- the families ----------------------------------------------------------------------------------------
 */

static void forked_before_it_is_opened(struct reader *r)
{
	pid_t child = born();

	if (child == 0) {
		open_or_end(r);
		work(r);
		reader_close(r);
		end();
	}
	ends_well(child);
	open_or_end(r);
	work(r);
}

/* Of the classic calls: the child takes the queue with a handle that its parent made, and the parent lets go.
 */
static void forked_before_it_is_taken(struct reader *r)
{
	pid_t child;

	if (api != NEW)
		r->h = ipq_create_handle(0, 2);
#ifdef __SANITIZE_ADDRESS__
	usleep(200000); /* a thread that starts holds the sanitizer's lock, for which a child of this moment waits for ever */
#endif
	child = born();
	if (child == 0) {
		usleep(1000); /* the parent may have let go, and its engine may have served us before */
		open_or_end(r);
		work(r);
		work(r);
		reader_close(r);
		end();
	}
	if (api != NEW)
		ipq_destroy_handle(r->h);
	ends_well(child);
	end();
}

static void parent_ends_first(struct reader *r)
{
	open_or_end(r);
	if (born() > 0)
		exit(failures != 0); /* as a program that becomes a daemon does */
	usleep(100000);
	work(r);
	work(r);
}

static void parent_closes_first(struct reader *r)
{
	pid_t child;

	open_or_end(r);
	child = born();
	if (child == 0) {
		usleep(100000);
		work(r);
		work(r);
		reader_close(r);
		end();
	}
	reader_close(r);
	ends_well(child);
	end();
}

/* It worked, it closes, it exits by exit() with all that runs then: the parent must not notice. */
static void child_ends_first(struct reader *r)
{
	pid_t child;

	open_or_end(r);
	child = born();
	if (child == 0) {
		work(r);
		reader_close(r);
		exit(failures != 0);
	}
	ends_well(child);
	work(r);
}

static void child_exits_without_closing(struct reader *r)
{
	pid_t child;

	open_or_end(r);
	child = born();
	if (child == 0)
		exit(0);
	ends_well(child);
	work(r);
	work(r);
}

static unsigned open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	if (d == NULL)
		_exit(4);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* A child that has no use for it, and no copy of it: for memory, LeakSanitizer looks. */
static void child_closes_and_keeps_nothing(struct reader *r)
{
	unsigned before = open_descriptors();
	pid_t child;

	open_or_end(r);
	child = born();
	if (child == 0) {
		reader_close(r);
		want(open_descriptors() == before);
		exit(failures != 0);
	}
	ends_well(child);
	work(r);
	work(r);
}

/* Reads EACH packets and passes their names on. */
static void read_for_another(struct reader *r, int fd)
{
	struct seen s;
	unsigned i;

	for (i = 0; i < EACH; i++) {
		memset(&s, 0, sizeof(s));
		if (!want(reader_next(r, &s, 2000) == 1) || write(fd, &s, sizeof(s)) != sizeof(s))
			break;
	}
}

/* A verdict from the process that did not read: <ipq.h> says that it does not know the packet, which waits
 * on. */
static void decide_for_another(struct reader *r, int fd)
{
	struct seen s;
	unsigned i;
	int err;

	for (i = 0; i < EACH && read(fd, &s, sizeof(s)) == sizeof(s); i++) {
		err = reader_judge(r, &s);
		want(err == (api == NEW ? -ENOENT : 0));
	}
	want(i == EACH);
	reader_flush(r);
}

static void one_reads_the_other_decides(struct reader *r, bool child_reads)
{
	int names[2];
	pid_t child;

	open_or_end(r);
	if (pipe(names) < 0)
		_exit(5);
	child = born();
	if ((child == 0) == child_reads) {
		tell(done[1]);
		await(order[0]);
		read_for_another(r, names[1]);
	} else {
		decide_for_another(r, names[0]);
		tell(done[1]);
	}
	if (child == 0)
		end();
	ends_well(child);
}

static void child_reads_parent_decides(struct reader *r)
{
	one_reads_the_other_decides(r, true);
}

static void parent_reads_child_decides(struct reader *r)
{
	one_reads_the_other_decides(r, false);
}

/*
 * Two readers of one queue. The child has taken an odd packet and not decided it: the parent's verdicts on
 * even ones before and behind it must not be the child's.
 */
static void both_read(struct reader *r)
{
	struct seen first, second, third;
	int turn[2], taken[2];
	pid_t child;

	open_or_end(r);
	if (pipe(turn) < 0 || pipe(taken) < 0)
		_exit(5);
	child = born();
	if (child == 0) {
		await(turn[0]);
		want(reader_next(r, &second, 2000) == 1);
		want(second.number % 2 == 1);
		tell(taken[1]);
		tell(done[1]);
		await(order[0]);
		want(reader_judge(r, &second) == 0);
		reader_flush(r);
		tell(done[1]);
		end();
	}
	tell(done[1]);
	want(reader_next(r, &first, 2000) == 1);
	tell(turn[1]);
	await(taken[0]);
	want(reader_next(r, &third, 5000) == 1);
	want(reader_judge(r, &first) == 0 && reader_judge(r, &third) == 0);
	reader_flush(r);
	tell(done[1]);
	ends_well(child);
}

/* ---- the sender ------------------------------------------------------------------------------------------
 */

static void round_of_packets(unsigned arrive)
{
	await(done[0]);
	say(next_number, EACH);
	next_number += EACH;
	tell(order[1]);
	await(done[0]);
	want(heard(100) == arrive);
}

static void two_rounds(void)
{
	round_of_packets(EACH / 2);
	round_of_packets(EACH / 2);
}

static void one_round(void)
{
	round_of_packets(api == NEW ? 0 : EACH / 2);
}

static void one_by_one(void)
{
	await(done[0]);
	say(next_number, 1);
	usleep(50000); /* the parent has it */
	say(next_number + 1, 1);
	await(done[0]); /* the child has that */
	say(next_number + 2, 1);
	await(done[0]); /* the parent's verdicts have left */
	want(heard(100) == 2);
	tell(order[1]);
	await(done[0]);
	want(heard(100) == 0);
	next_number += 4;
}

static const struct {
	const char *name;
	void (*family)(struct reader *r);
	void (*traffic)(void);
} cases[] = {
	{ "forked before it is opened", forked_before_it_is_opened, two_rounds },
	{ "forked before it is taken", forked_before_it_is_taken, two_rounds },
	{ "the parent ends first", parent_ends_first, two_rounds },
	{ "the parent closes first", parent_closes_first, two_rounds },
	{ "the child ends first", child_ends_first, two_rounds },
	{ "the child exits without closing", child_exits_without_closing, two_rounds },
	{ "the child closes and keeps nothing", child_closes_and_keeps_nothing, two_rounds },
	{ "the child reads, the parent decides", child_reads_parent_decides, one_round },
	{ "the parent reads, the child decides", parent_reads_child_decides, one_round },
	{ "both read", both_read, one_by_one },
};

static void run(size_t i)
{
	struct reader r = { .q = NULL };
	int before = failures;
	pid_t family;

	if (pipe(order) < 0 || pipe(done) < 0)
		abort();
	family = fork();
	if (family == 0) {
		failures = 0;
		alarm(20);
		cases[i].family(&r);
		reader_close(&r);
		exit(failures != 0);
	}
	close(done[1]);
	cases[i].traffic();
	ends_well(family);
	want(heard(0) == 0);
	want(queue_is_free());
	close(order[0]);
	close(order[1]);
	close(done[0]);
	printf("%s: %s\n", failures == before ? "right" : "WRONG", cases[i].name);
}

int main(int argc, char **argv)
{
	size_t i;

	choose_api(argv);
	open_sockets();
	alarm(50);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (argc < 3 || strtoul(argv[2], NULL, 10) == i)
			run(i);
	return failures != 0;
}
