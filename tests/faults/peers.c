/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * peers BUG: tests that this library does not have known mistakes of other libraries and programs that use
 * nfnetlink_queue. These tests need the kernel's behaviour. Tests for mistakes in the bytes of messages are in
 * tests/unit/nfqueue_messages.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "packets.h"

static unsigned requests, unacknowledged;

ssize_t __real_send(int fd, const void *buf, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags)
{
	struct nlmsghdr nlh;

	if (len >= sizeof(nlh)) {
		memcpy(&nlh, buf, sizeof(nlh));
		if (nlh.nlmsg_len == len && nlh.nlmsg_type == (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG)) {
			requests++;
			unacknowledged += (nlh.nlmsg_flags & NLM_F_ACK) == 0;
		}
	}
	return __real_send(fd, buf, len, flags);
}

/* ---- datagrams of any length, which packets.h does not have
 * ------------------------------------------------ */

static int in, out;

static void open_pair(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(7000),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	in = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	out = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (bind(in, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    connect(out, (struct sockaddr *)&to, sizeof(to)) < 0)
		abort();
}

static void send_bytes(size_t n)
{
	unsigned char bytes[2000];

	memset(bytes, 0xab, sizeof(bytes));
	want(sendto(out, bytes, n, 0, NULL, 0) == (ssize_t)n);
}

/* Receives the next datagram and returns its length; -1: none arrived, or its bytes are wrong. */
static ssize_t arrived(void)
{
	struct pollfd wait = { .fd = in, .events = POLLIN };
	unsigned char bytes[2000];
	ssize_t n, i;

	if (poll(&wait, 1, 1000) <= 0)
		return -1;
	n = recvfrom(in, bytes, sizeof(bytes), 0, NULL, NULL);
	for (i = 0; i < n; i++)
		if (bytes[i] != 0xab)
			return -1;
	return n;
}

/* ---- the mistakes
 * ------------------------------------------------------------------------------------------- */

/* The mistake: the byte order of packet_id is converted twice; the verdict for packet 1 then decides packet 0x01000000.
 * */
static void ids_swapped_twice(void)
{
	struct reader r = { .q = NULL };
	struct seen s[3];
	const char *why;
	int i;

	want(reader_open(&r, &why) == 0);
	say(0, 3);
	for (i = 0; i < 3; i++) {
		want(reader_next(&r, &s[i], 1000) == 1);
		/* the kernel's numbers begin with 1 */
		want((api == NEW ? s[i].packet.id : s[i].id) == (unsigned)i + 1);
	}
	want(reader_judge(&r, &s[2]) == 0 && reader_judge(&r, &s[1]) == 0 && reader_judge(&r, &s[0]) == 0);
	reader_flush(&r);
	want(heard(100) == 2);
	want(reader_next(&r, &s[0], 0) == 0 && r.refusals == 0);
	reader_close(&r);
}

/* The mistake: the aligned length of the attribute is used as the length of the packet, up to three bytes too many. */
static void padding_counted_as_payload(void)
{
	struct reader r = { .q = NULL };
	const char *why;
	struct seen s;
	size_t n, len;
	int ret;

	open_pair();
	want(reader_open(&r, &why) == 0);
	for (n = 0; n <= 9; n++) {
		send_bytes(n);
		want(reader_next(&r, &s, 1000) == 1);
		len = api == NEW ? s.packet.payload_len : ipq_get_packet(r.buf)->data_len;
		want(len == 28 + n);
		/* The payload is returned with the verdict: the kernel must get as many bytes as it has sent. */
		if (api == NEW)
			ret = ipq_replace(r.q, &s.packet, s.packet.payload, s.packet.payload_len);
		else
			ret = ipq_set_verdict(r.h, s.id, NF_ACCEPT, len, ipq_get_packet(r.buf)->payload) > 0
				      ? 0
				      : -1;
		want(ret == 0);
		reader_flush(&r);
		want(arrived() == (ssize_t)n);
	}
	reader_close(&r);
	close(in);
	close(out);
}

/* The mistake: the copied length and the packet's full length are exchanged. */
static void lengths_swapped_when_cut(void)
{
	struct ipq_options o = { .size = sizeof(o), .copy_range = 40 };
	static unsigned char buf[4096];
	struct ipq_handle *h;
	struct ipq_packet p;
	struct ipq_queue *q;
	ssize_t n;

	open_pair();
	want(ipq_queue_open(&q, "nfqueue:0", &o) == 0);
	send_bytes(1000);
	want(ipq_queue_recv(q, &p, 1, 1000) == 1);
	want(p.payload_len == 40 && p.full_len == 1028 && (p.flags & IPQ_PACKET_TRUNCATED) != 0);
	want(ipq_accept(q, &p) == 0 && ipq_queue_flush(q) == 0);
	want(arrived() == 1000); /* the complete datagram */
	ipq_queue_close(q);

	h = ipq_create_handle(0, PF_INET);
	want(h != NULL && ipq_set_mode(h, IPQ_COPY_PACKET, 40) > 0);
	send_bytes(1000);
	n = ipq_read(h, buf, sizeof(buf), 1000000);
	want(n == (ssize_t)(sizeof(struct nlmsghdr) + sizeof(ipq_packet_msg_t) + 40));
	want(ipq_get_packet(buf)->data_len == 40);
	want(ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) > 0);
	want(arrived() == 1000);
	ipq_destroy_handle(h);
}

/* The mistake: settings are sent without waiting for the acknowledgement, so a refusal is missed, or read as a packet.
 * */
static void configuration_unacknowledged(void)
{
	struct ipq_options o = { .size = sizeof(o), .queue_length = 3 };
	struct ipq_queue *q, *other;
	struct ipq_packet p[8];

	requests = unacknowledged = 0;
	want(ipq_queue_open(&q, "nfqueue:0", &o) == 0);
	/* The settings are in force when open returns: three packets wait, two are dropped by the full queue. */
	say(1, 5);
	want(ipq_queue_recv(q, p, 8, 200) == 3);
	want(requests >= 4 && unacknowledged == 0);
	want(ipq_queue_open(&other, "nfqueue:0", &o) == -EBUSY); /* the refusal is known when open returns */
	ipq_queue_close(q);
	want(heard(100) == 0);
}

/* The mistake: packets that arrive before an acknowledgement are read and discarded, so that they get no verdict. */
static void packets_discarded_while_waiting_for_an_answer(void)
{
	struct reader r = { .q = NULL };
	const char *why;
	int i;

	want(reader_open(&r, &why) == 0);
	say(0, 100);
	for (i = 0; i < 5; i++)
		want(ipq_set_mode(r.h, IPQ_COPY_PACKET, 1000 + (size_t)i) > 0);
	want(reader_work(&r, 100) == 100);
	want(heard(100) == 50);
	reader_close(&r);
}

/* The mistake: after a burst a receive fails with ENOBUFS, and the program ends its loop. */
static void enobufs_is_the_end(void)
{
	struct reader r = { .q = NULL };
	int bytes = 8192;
	const char *why;

	want(reader_open(&r, &why) == 0);
	want(setsockopt(api == NEW ? ipq_queue_fd(r.q) : r.h->fd, SOL_SOCKET, SO_RCVBUF, &bytes,
			sizeof(bytes)) == 0);
	say(1000, 500);
	want(reader_work(&r, 100) < 500);
	reader_flush(&r);
	heard(100);
	say(2000, 10);
	want(reader_work(&r, 100) == 10);
	reader_flush(&r);
	want(heard(100) == 5);
	want(reader_losses(&r) > 0);
	reader_close(&r);
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	want(syscall(SYS_capset, &header, none) == 0);
}

/*
 * The kernel returns EPERM if the capability is missing, and also if another program owns the queue. The remedies
 * differ.
 */
static void eperm_misreported(void)
{
	struct reader first = { .q = NULL }, second = { .q = NULL };
	const char *why = "";
	int status = 1;

	want(reader_open(&first, &why) == 0);
	if (fork() == 0) {
		failures = 0;
		want(reader_open(&second, &why) == -EBUSY);
		want(api != NEW || strstr(why, "taken by") != NULL);
		reader_close(&second);
		drop_capabilities();
		want(reader_open(&second, &why) == -EPERM);
		want(api != NEW || strstr(why, "CAP_NET_ADMIN") != NULL);
		_exit(failures != 0);
	}
	wait(&status);
	want(status == 0);
	/* When the owner has closed the queue, the handle that was refused can take it. */
	if (api != NEW) {
		second.h = NULL;
		if (fork() == 0) {
			failures = 0;
			want(reader_open(&second, &why) == -EBUSY);
			ipq_destroy_handle(first.h); /* closes the child's copy */
			usleep(200000);
			want(reader_open(&second, &why) == 0);
			say(0, 2);
			want(reader_work(&second, 100) == 2);
			_exit(failures != 0);
		}
		usleep(100000);
	}
	reader_close(&first);
	if (api != NEW) {
		wait(&status);
		want(status == 0 && heard(0) == 1);
	}
}

static const struct {
	const char *name;
	void (*test)(void);
	bool is_new, is_classic, own_sockets;
} tests[] = {
	{ "ids-swapped-twice", ids_swapped_twice, true, true, false },
	{ "padding-counted-as-payload", padding_counted_as_payload, true, true, true },
	{ "lengths-swapped-when-cut", lengths_swapped_when_cut, true, false, true },
	{ "configuration-unacknowledged", configuration_unacknowledged, true, false, false },
	{ "packets-discarded-while-waiting-for-an-answer", packets_discarded_while_waiting_for_an_answer,
	  false, true, false },
	{ "enobufs-is-the-end", enobufs_is_the_end, true, true, false },
	{ "eperm-misreported", eperm_misreported, true, true, false },
};

int main(int argc, char **argv)
{
	static const int apis[] = { NEW, STRICT };
	size_t i, j;

	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (argc != 2 || strcmp(argv[1], tests[i].name) != 0)
			continue;
		for (j = 0; j < 2; j++) {
			pid_t child = fork(); /* if a process ID was used again, try another child */
			int status = 1;

			if (child == 0) {
				api = apis[j];
				if (!tests[i].own_sockets)
					open_sockets();
				if (api == NEW ? tests[i].is_new : tests[i].is_classic)
					tests[i].test();
				fflush(stdout);
				_exit(failures != 0);
			}
			want(waitpid(child, &status, 0) == child && status == 0);
		}
		return failures != 0;
	}
	return 2;
}
