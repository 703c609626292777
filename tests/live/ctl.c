// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ctl strict|batch|engine [six]: checks the documented effects of ipq_ctl by the datagrams that arrive and the
 * packets that are counted. The datagrams go over loopback to port 7000, which the rule queues. six: they also go
 * to port 7006 of ::1. IPQ_SOURCE selects the source. ctl foreign|foreign-timeout: one packet of the other family
 * comes first. ctl again: a packet is queued again.
 */
#include <arpa/inet.h>
#include <libipq.h>
#include <linux/netfilter.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include "util/clock.h"

static int failures, out, in;
static struct ipq_handle *h;
static unsigned char buf[4096];
static bool engine, sees_counts; /* whether the kernel's table of queues can be read here */

#define CHECK(condition) check((condition), #condition, __LINE__)

static void check(bool good, const char *what, int line)
{
	if (good)
		return;
	printf("FAILED: line %d: %s (%s, errno %d)\n", line, what, ipq_errstr(), errno);
	failures++;
}

static void open_ends(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(7000),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	out = socket(AF_INET, SOCK_DGRAM, 0);
	in = socket(AF_INET, SOCK_DGRAM, 0);
	if (bind(in, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    connect(out, (struct sockaddr *)&a, sizeof(a)) < 0) {
		perror("ctl");
		exit(1);
	}
}

static void say(unsigned n)
{
	for (; n > 0; n--)
		CHECK(send(out, "x", 1, 0) == 1);
}

/* Receives until no datagram arrives for 100 ms. Returns how many have arrived. */
static unsigned arrived(void)
{
	struct pollfd p = { .fd = in, .events = POLLIN };
	char text[8];
	unsigned n = 0;

	while (poll(&p, 1, 100) == 1 && recv(in, text, sizeof(text), 0) > 0)
		n++;
	return n;
}

static int next_within(int milliseconds)
{
	return ipq_read(h, buf, sizeof(buf), 1000 * milliseconds) > 0 ? ipq_message_type(buf) : 0;
}

/* The type of the next message, which must arrive. */
static int next(void)
{
	return next_within(5000);
}

/* Gives n waiting packets this verdict. True if no more packets wait. */
static bool decide(unsigned n, unsigned verdict)
{
	for (; n > 0; n--)
		if (next() != IPQM_PACKET ||
		    ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, verdict, 0, NULL) < 0)
			return false;
	return next_within(200) == 0;
}

static struct ipq_ctl_stats stats(void)
{
	struct ipq_ctl_stats s = { .size = sizeof(s) };

	errno = 0;
	CHECK(ipq_ctl(h, IPQ_CTL_STATS, &s) == 0 && errno == 0);
	return s;
}

/* Waits until n packets are counted. An engine counts packets when it has received them. */
static bool have_come(unsigned n)
{
	for (unsigned i = 0; i < 500 && stats().waiting != n; i++)
		usleep(10000);
	return stats().waiting == n;
}

static void what_is_not_there(void)
{
	struct ipq_ctl_stats s = { .size = sizeof(s.size) - 1 };

	CHECK(ipq_ctl(NULL, IPQ_CTL_BATCH, 1U) == -1 && errno == EINVAL);
	CHECK(ipq_ctl(h, 1) == -1 && errno == ENOTSUP &&
	      strcmp(ipq_errstr(), "Operation not supported") == 0);
	CHECK(ipq_ctl(h, IPQ_CTL_STATS, NULL) == -1 && errno == EINVAL);
	CHECK(ipq_ctl(h, IPQ_CTL_STATS, &s) == -1 && errno == EINVAL);
}

/* The second handle is in another process, because a process can have only one handle of each family. */
static void the_explanation_names_the_owner(void)
{
	struct ipq_handle *second;
	const char *text = NULL;
	int status = -1;
	pid_t child;

	CHECK(ipq_ctl(h, IPQ_CTL_EXPLAIN, &text) == 0 && text != NULL && *text == '\0');
	if (engine) /* with an engine, this is a second client of the queue's owner, not a second owner */
		return;
	child = fork();
	if (child == 0) {
		ipq_destroy_handle(h);
		second = ipq_create_handle(0, PF_INET);
		CHECK(second != NULL && ipq_set_mode(second, IPQ_COPY_META, 0) == -1);
		CHECK(ipq_ctl(second, IPQ_CTL_EXPLAIN, &text) == 0 && strstr(text, "taken") != NULL);
		exit(failures != 0);
	}
	CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

/* An older program has a shorter struct: the library must not write after its end. */
static void counts_are_right_and_no_longer_than_asked(void)
{
	struct ipq_ctl_stats before = stats(), after, cut;

	say(5);
	CHECK(decide(5, NF_ACCEPT));
	CHECK(arrived() == 5);
	say(3);
	CHECK(decide(3, NF_DROP));
	CHECK(arrived() == 0);
	after = stats();
	CHECK(after.packets == before.packets + 8 && after.verdicts == before.verdicts + 8);
	CHECK(after.refused == before.refused && after.foreign == before.foreign);
	memset(&cut, 0x55, sizeof(cut));
	cut.size = offsetof(struct ipq_ctl_stats, verdicts);
	CHECK(ipq_ctl(h, IPQ_CTL_STATS, &cut) == 0);
	CHECK(cut.packets == after.packets && cut.verdicts == 0x5555555555555555);
}

/* A refusal also reaches a reader that waits forever. */
static void a_refusal_is_a_message(void)
{
	struct ipq_ctl_stats before = stats();

	CHECK(ipq_set_verdict(h, 0x7ffffff0, NF_ACCEPT, 0, NULL) > 0);
	CHECK(ipq_read(h, buf, sizeof(buf), 0) > 0 && ipq_message_type(buf) == NLMSG_ERROR);
	CHECK(ipq_get_msgerr(buf) == ENOENT);
	CHECK(stats().refused == before.refused + 1);
}

static void a_short_queue_loses_what_is_beyond(void)
{
	struct ipq_ctl_stats before = stats();

	CHECK(ipq_ctl(h, IPQ_CTL_QUEUE_LENGTH, 3U) == 0);
	say(5);
	if (sees_counts || engine)
		CHECK(next() == IPQM_PACKET && have_come(3) &&
		      stats().queue_dropped == before.queue_dropped + 2);
	else
		CHECK(next() == IPQM_PACKET);
	CHECK(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) > 0);
	CHECK(decide(2, NF_ACCEPT));
	CHECK(arrived() == 3);
}

/* The queue still has the short limit of the last test. */
static void fail_open_lets_them_through(void)
{
	int ret = ipq_ctl(h, IPQ_CTL_FAIL_OPEN, 1);

	if (engine) {
		CHECK(ret == -1 && errno == ENOTSUP);
		return;
	}
	CHECK(ret == 0);
	say(5);
	CHECK(arrived() == 2);
	CHECK(decide(3, NF_DROP));
	CHECK(arrived() == 0);
	CHECK(ipq_ctl(h, IPQ_CTL_FAIL_OPEN, 0) == 0);
	say(5);
	CHECK(arrived() == 0);
	CHECK(decide(3, NF_DROP));
}

static void the_receive_buffer_is_what_was_granted(void)
{
	int small = ipq_ctl(h, IPQ_CTL_RECEIVE_BUFFER, 20000U),
	    large = ipq_ctl(h, IPQ_CTL_RECEIVE_BUFFER, 100000U);
	int granted = 0;
	socklen_t len = sizeof(granted);

	CHECK(getsockopt(h->fd, SOL_SOCKET, SO_RCVBUF, &granted, &len) == 0);
	CHECK(small >= 20000 && large >= 100000 && large == granted);
}

/* With batches, verdicts are sent with the next read. A program may disable batches again. */
static void batches_decide_every_packet(void)
{
	unsigned i, n = 0;
	ipq_id_t id[12];

	CHECK(ipq_ctl(h, IPQ_CTL_BATCH, 8U) == 0 && ipq_ctl(h, IPQ_CTL_BATCH, 16U) == 0);
	CHECK(ipq_ctl(h, IPQ_CTL_QUEUE_LENGTH, 1024U) == 0);
	say(12);
	while (n < 12 && next() == IPQM_PACKET)
		id[n++] = ipq_get_packet(buf)->packet_id;
	CHECK(n == 12);
	for (i = 0; i < n; i++)
		CHECK(ipq_set_verdict(h, id[i], i % 3 == 0 ? NF_DROP : NF_ACCEPT, 0, NULL) > 0);
	CHECK(next_within(300) == 0 && strcmp(ipq_errstr(), "Timeout") == 0);
	CHECK(arrived() == 8);
	/* A verdict that needs its own message is sent after the earlier ones. */
	say(1);
	CHECK(next() == IPQM_PACKET &&
	      ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) > 0);
	CHECK(engine || arrived() == 0);
	CHECK(ipq_set_verdict(h, 0x7ffffff0, NF_ACCEPT, 0, NULL) > 0);
	CHECK(arrived() == 1);
	CHECK(next() == NLMSG_ERROR && ipq_get_msgerr(buf) == ENOENT);
	a_refusal_is_a_message();
	say(2);
	CHECK(decide(2, NF_ACCEPT));
	CHECK(ipq_ctl(h, IPQ_CTL_BATCH, 0U) == 0);
	CHECK(arrived() == 2);
	say(4);
	CHECK(decide(4, NF_ACCEPT));
	CHECK(arrived() == 4);
}

/*
 * Sends a packet every 30 ms, for so long that a read which restarts its timeout with each packet would fail the test.
 */
static pid_t say_in_ipv6(void)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6,
				  .sin6_port = htons(7006),
				  .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	pid_t child = fork();
	int fd;

	if (child != 0)
		return child;
	fd = socket(AF_INET6, SOCK_DGRAM, 0);
	for (int i = 0; i < 100; i++) {
		sendto(fd, "x", 1, 0, (struct sockaddr *)&a, sizeof(a));
		usleep(30000);
	}
	_exit(0);
}

static void say_once_in_ipv6(void)
{
	pid_t child = say_in_ipv6();

	usleep(50000);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static bool readable(int milliseconds)
{
	struct pollfd p = { .fd = h->fd, .events = POLLIN };

	return poll(&p, 1, milliseconds) == 1;
}

/* A program that polled h->fd and then reads without a timeout must be able to return to its other work. */
static void a_foreign_packet_keeps_nobody_who_polled(void)
{
	int64_t start;

	say_once_in_ipv6();
	CHECK(readable(1000));
	start = now_ms();
	CHECK(ipq_read(h, buf, sizeof(buf), 0) > 0 && now_ms() - start < 2000);
	CHECK(ipq_message_type(buf) == NLMSG_ERROR && ipq_get_msgerr(buf) == 0);
	CHECK(stats().foreign > 0 && !readable(100));
	say(3);
	CHECK(decide(3, NF_ACCEPT) && arrived() == 3);
}

/*
 * The same packet arrives during a timeout. The read continues for the remaining time and receives the next packet.
 */
static void a_foreign_packet_leaves_the_timeout_alone(void)
{
	pid_t child = say_in_ipv6();
	int64_t start = now_ms();

	CHECK(next_within(300) == 0 && strcmp(ipq_errstr(), "Timeout") == 0);
	CHECK(now_ms() - start >= 299 && now_ms() - start < 2000);
	CHECK(stats().foreign > 0);
	say(3);
	CHECK(decide(3, NF_ACCEPT) && arrived() == 3);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* With batches, a queue can have only one family. */
static void the_other_family_cannot_share_a_batch(void)
{
	errno = 0;
	CHECK(ipq_create_handle(0, PF_INET6) == NULL && errno == EBUSY);
}

static void the_other_family_prolongs_no_timeout(void)
{
	struct ipq_ctl_stats before = stats();
	pid_t child = say_in_ipv6();
	int64_t start = now_ms();

	CHECK(next_within(300) == 0 && strcmp(ipq_errstr(), "Timeout") == 0);
	CHECK(now_ms() - start >= 300 && now_ms() - start < 2000);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	while (next_within(100) != 0)
		;
	CHECK(stats().foreign > before.foreign);
	CHECK(!sees_counts || stats().waiting == 0); /* the packet was dropped, not only skipped */
}

/* NF_QUEUE queues a packet to the queue from which the packet came, even if that queue has another number than 0. */
static void a_packet_comes_back(void)
{
	say(1);
	CHECK(next() == IPQM_PACKET &&
	      ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_QUEUE, 0, NULL) > 0);
	CHECK(arrived() == 0);
	CHECK(decide(1, NF_ACCEPT));
	CHECK(arrived() == 1);
}

int main(int argc, char **argv)
{
	FILE *table = fopen("/proc/net/netfilter/nfnetlink_queue", "re");

	if (argc < 2)
		return 2;
	alarm(60);
	engine = strcmp(argv[1], "engine") == 0;
	open_ends();
	h = ipq_create_handle(0, PF_INET);
	CHECK(h != NULL && ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	if (failures > 0)
		return 1;
	if (strcmp(argv[1], "again") == 0) {
		a_packet_comes_back();
		ipq_destroy_handle(h);
		return failures != 0;
	}
	if (strncmp(argv[1], "foreign", 7) == 0) {
		alarm(10);
		(strcmp(argv[1], "foreign") == 0 ? a_foreign_packet_keeps_nobody_who_polled
						 : a_foreign_packet_leaves_the_timeout_alone)();
		ipq_destroy_handle(h);
		return failures != 0;
	}
	sees_counts = table != NULL && fgetc(table) != EOF;
	what_is_not_there();
	if (strcmp(argv[1], "batch") != 0)
		the_explanation_names_the_owner();
	counts_are_right_and_no_longer_than_asked();
	a_refusal_is_a_message();
	a_short_queue_loses_what_is_beyond();
	fail_open_lets_them_through();
	the_receive_buffer_is_what_was_granted();
	if (strcmp(argv[1], "batch") == 0)
		the_other_family_cannot_share_a_batch();
	if (argc > 2 && strcmp(argv[1], "batch") == 0)
		the_other_family_prolongs_no_timeout();
	batches_decide_every_packet();
	ipq_destroy_handle(h);
	return failures != 0;
}
