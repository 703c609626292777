/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * forks API: fork before the queue is opened, before it is taken, and afterwards. The cases: the child reads and
 * the parent decides; the parent reads and the child decides; both read; one of the two processes ends first.
 *
 * Each case runs in a new process. This process sends the packets and checks which ones arrive.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../directory_entries.h"
#include "packets.h"

#define EACH 20 /* packets per round */

static unsigned next_number;
static int order[2], done[2]; /* pipes that carry orders from the sender, and answers to it */

static void signal_done(int fd)
{
	if (write(fd, "x", 1) != 1)
		_exit(9);
}

static void wait_done(int fd)
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

/* Signals that it is ready; reads and decides packets; signals that it is done. */
static void work(struct reader *r)
{
	signal_done(done[1]);
	wait_done(order[0]);
	want(reader_work(r, 200) == EACH);
	reader_flush(r);
	signal_done(done[1]);
}

#ifdef __SANITIZE_ADDRESS__
static bool others_sleep(void)
{
	DIR *d = opendir("/proc/self/task");
	bool sleep = true;
	struct dirent *e;

	if (d == NULL)
		_exit(4);
	while (sleep && (e = readdir(d)) != NULL) {
		char path[300], state = 'S';
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/stat", e->d_name);
		if (strtol(e->d_name, NULL, 10) <= 0 || strtol(e->d_name, NULL, 10) == getpid() ||
		    (f = fopen(path, "r")) == NULL)
			continue;
		sleep = fscanf(f, "%*d (%*[^)]) %c", &state) == 1 && state == 'S';
		fclose(f);
	}
	closedir(d);
	return sleep;
}

/*
 * Waits until the other threads sleep. A thread that starts or allocates holds a lock of the sanitizer, and a child
 * that is forked at this time would wait for the lock forever.
 */
static void wait_until_others_sleep(void)
{
	int tries, quiet = 0;

	for (tries = 0; quiet < 10 && tries < 1000; tries++) {
		quiet = others_sleep() ? quiet + 1 : 0;
		usleep(5000);
	}
}
#else
static void wait_until_others_sleep(void)
{
}
#endif

static pid_t fork_child(void)
{
	pid_t child;

	wait_until_others_sleep();
	child = fork();
	if (child < 0)
		_exit(6);
	return child;
}

static void expect_exit_0(pid_t child)
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

static void child_opens_queue_after_fork(struct reader *r)
{
	pid_t child = fork_child();

	if (child == 0) {
		open_or_end(r);
		work(r);
		reader_close(r);
		end();
	}
	expect_exit_0(child);
	open_or_end(r);
	work(r);
}

/* Classic calls only: the child takes the queue with a handle that its parent created, and the parent closes it. */
static void child_takes_queue_of_parents_handle(struct reader *r)
{
	pid_t child;

	if (api != NEW)
		r->h = ipq_create_handle(0, 2);
	child = fork_child();
	if (child == 0) {
		/* Let the parent close its handle first: until then its engine might serve the child's request. */
		usleep(1000);
		open_or_end(r);
		work(r);
		work(r);
		reader_close(r);
		end();
	}
	if (api != NEW)
		ipq_destroy_handle(r->h);
	expect_exit_0(child);
	end();
}

static void child_continues_after_parent_exits(struct reader *r)
{
	open_or_end(r);
	if (fork_child() > 0)
		exit(failures != 0); /* the parent exits, as in a program that becomes a daemon */
	usleep(100000);
	work(r);
	work(r);
}

static void child_continues_after_parent_closes(struct reader *r)
{
	pid_t child;

	open_or_end(r);
	child = fork_child();
	if (child == 0) {
		usleep(100000);
		work(r);
		work(r);
		reader_close(r);
		end();
	}
	reader_close(r);
	expect_exit_0(child);
	end();
}

/* The child has read and decided packets. It closes the queue and calls exit(). The parent must not be affected. */
static void parent_continues_after_child_exits(struct reader *r)
{
	pid_t child;

	open_or_end(r);
	child = fork_child();
	if (child == 0) {
		work(r);
		reader_close(r);
		exit(failures != 0);
	}
	expect_exit_0(child);
	work(r);
}

static void parent_continues_after_child_exits_without_close(struct reader *r)
{
	pid_t child;

	open_or_end(r);
	child = fork_child();
	if (child == 0)
		exit(0);
	expect_exit_0(child);
	work(r);
	work(r);
}

/* A child that does not use the queue closes it. No descriptor may be left. (LeakSanitizer checks the memory.) */
static void child_close_releases_everything(struct reader *r)
{
	unsigned before = directory_entries("/proc/self/fd");
	pid_t child;

	open_or_end(r);
	child = fork_child();
	if (child == 0) {
		reader_close(r);
		want(directory_entries("/proc/self/fd") == before);
		exit(failures != 0);
	}
	expect_exit_0(child);
	work(r);
	work(r);
}

static int next_refusal(struct ipq_handle *h)
{
	unsigned char buf[256];

	if (ipq_read(h, buf, sizeof(buf), 2000000) <= 0 || ipq_message_type(buf) != NLMSG_ERROR)
		return 0;
	return ipq_get_msgerr(buf);
}

/* As with ip_queue, the child is another owner than the parent: its own handle gets EBUSY. */
static void child_opens_handle_of_its_own(struct reader *r)
{
	struct ipq_handle *h;
	pid_t child;

	open_or_end(r);
	child = fork_child();
	if (child == 0) {
		h = ipq_create_handle(0, 2);
		if (h == NULL)
			_exit(3);
		want(ipq_set_mode(h, IPQ_COPY_META, 0) < 0 && errno == EBUSY);
		want(next_refusal(h) == EBUSY);
		want(ipq_set_verdict(h, 1, 1, 0, NULL) > 0);
		want(next_refusal(h) == EBUSY);
		ipq_destroy_handle(h);
		end();
	}
	expect_exit_0(child);
	work(r);
	work(r);
}

/* Reads EACH packets and sends their ids to the other process. */
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

/* Decides packets that another process has read. <ipq.h> refuses such a verdict, and the packet still waits. */
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
	child = fork_child();
	if ((child == 0) == child_reads) {
		signal_done(done[1]);
		wait_done(order[0]);
		read_for_another(r, names[1]);
	} else {
		decide_for_another(r, names[0]);
		signal_done(done[1]);
	}
	if (child == 0)
		end();
	expect_exit_0(child);
}

static void parent_decides_packets_read_by_child(struct reader *r)
{
	one_reads_the_other_decides(r, true);
}

static void child_decides_packets_read_by_parent(struct reader *r)
{
	one_reads_the_other_decides(r, false);
}

/*
 * Two processes read one queue. The child has read an odd packet and not decided it. The parent's verdicts on even
 * packets before and after it must not decide the odd packet.
 */
static void two_readers_decide_only_their_own_packets(struct reader *r)
{
	struct seen first, second, third;
	int turn[2], taken[2];
	pid_t child;

	open_or_end(r);
	if (pipe(turn) < 0 || pipe(taken) < 0)
		_exit(5);
	child = fork_child();
	if (child == 0) {
		wait_done(turn[0]);
		want(reader_next(r, &second, 2000) == 1);
		want(second.number % 2 == 1);
		signal_done(taken[1]);
		signal_done(done[1]);
		wait_done(order[0]);
		want(reader_judge(r, &second) == 0);
		reader_flush(r);
		signal_done(done[1]);
		end();
	}
	signal_done(done[1]);
	want(reader_next(r, &first, 2000) == 1);
	signal_done(turn[1]);
	wait_done(taken[0]);
	want(reader_next(r, &third, 5000) == 1);
	want(reader_judge(r, &first) == 0 && reader_judge(r, &third) == 0);
	reader_flush(r);
	signal_done(done[1]);
	expect_exit_0(child);
}

/* ---- the sender ------------------------------------------------------------------------------------------
 */

static void round_of_packets(unsigned arrive)
{
	wait_done(done[0]);
	say(next_number, EACH);
	next_number += EACH;
	signal_done(order[1]);
	wait_done(done[0]);
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
	wait_done(done[0]);
	say(next_number, 1);
	usleep(50000); /* the parent has read the packet */
	say(next_number + 1, 1);
	wait_done(done[0]); /* the child has read the packet */
	say(next_number + 2, 1);
	wait_done(done[0]); /* the parent's verdicts were sent */
	want(heard(100) == 2);
	signal_done(order[1]);
	wait_done(done[0]);
	want(heard(100) == 0);
	next_number += 4;
}

static const struct {
	const char *name;
	void (*family)(struct reader *r);
	void (*traffic)(void);
} cases[] = {
	{ "child opens queue after fork", child_opens_queue_after_fork, two_rounds },
	{ "child takes queue of parent's handle", child_takes_queue_of_parents_handle, two_rounds },
	{ "child continues after parent exits", child_continues_after_parent_exits, two_rounds },
	{ "child continues after parent closes", child_continues_after_parent_closes, two_rounds },
	{ "parent continues after child exits", parent_continues_after_child_exits, two_rounds },
	{ "parent continues after child exits without close",
	  parent_continues_after_child_exits_without_close, two_rounds },
	{ "child's close releases everything", child_close_releases_everything, two_rounds },
	{ "child opens a handle of its own", child_opens_handle_of_its_own, two_rounds },
	{ "parent decides packets read by child", parent_decides_packets_read_by_child, one_round },
	{ "child decides packets read by parent", child_decides_packets_read_by_parent, one_round },
	{ "two readers decide only their own packets", two_readers_decide_only_their_own_packets,
	  one_by_one },
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
	expect_exit_0(family);
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
