// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Makes every classic call with the arguments of a careless program, while real packets arrive. After each invalid
 * call, the next packet must still be read, decided and arrive. This program itself sends and receives the packets,
 * over loopback port 7000, which the rule queues.
 */
#include <arpa/inet.h>
#include <libipq.h>
#include <limits.h>
#include <linux/netfilter.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;
static int out, in;
static struct ipq_handle *h;
static unsigned char buf[66000], large[70000];

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
		perror("absurd");
		exit(1);
	}
}

static bool arrives(const char *text)
{
	struct pollfd p = { .fd = in, .events = POLLIN };
	char got[64];

	return poll(&p, 1, 500) == 1 && recv(in, got, sizeof(got), 0) == (ssize_t)strlen(text) &&
	       memcmp(got, text, strlen(text)) == 0;
}

/* Skips error messages, at most ten, up to the next packet. Returns its id. */
static ipq_id_t next_packet(void)
{
	for (int i = 0; i < 10; i++) {
		ssize_t n = ipq_read(h, buf, sizeof(buf), 1000000);

		if (n > 0 && ipq_message_type(buf) == IPQM_PACKET)
			return ipq_get_packet(buf)->packet_id;
		if (n <= 0)
			break;
	}
	check(false, "the packet is there", __LINE__);
	return 0;
}

/* Returns the errno in the next message; 0 for a packet, -1 if there is no message. */
static int next_error(void)
{
	ssize_t n = ipq_read(h, buf, sizeof(buf), 500000);

	if (n <= 0)
		return -1;
	return ipq_message_type(buf) == NLMSG_ERROR ? ipq_get_msgerr(buf) : 0;
}

static ipq_id_t queued(const char *text)
{
	CHECK(send(out, text, strlen(text), 0) == (ssize_t)strlen(text));
	return next_packet();
}

/* Checks that a packet is still read and decided, and arrives. */
static void sane(void)
{
	CHECK(ipq_set_verdict(h, queued("sane"), NF_ACCEPT, 0, NULL) > 0);
	CHECK(arrives("sane"));
}

static void nonsense_without_a_handle(void)
{
	static const uint32_t protocol[] = { 0, 1, 3, 7, 9, 11, 255, UINT32_MAX };

	for (size_t i = 0; i < sizeof(protocol) / sizeof(protocol[0]); i++) {
		CHECK(ipq_create_handle(0, protocol[i]) == NULL);
		CHECK(strcmp(ipq_errstr(), "Invalid protocol specified") == 0);
	}
	CHECK(ipq_destroy_handle(NULL) == 0);
	memset(buf, 0, sizeof(buf));
	CHECK(ipq_message_type(buf) == 0);
	CHECK((unsigned char *)ipq_get_packet(buf) == buf + 16);
	memset(buf, 0xff, sizeof(buf));
	CHECK(ipq_message_type(buf) == 0xffff);
	ipq_perror(NULL);
	ipq_perror("");
	ipq_perror("%s%n");
}

static void nonsense_before_the_mode(void)
{
	CHECK(ipq_read(h, buf, sizeof(buf), 1000) == 0);
	CHECK(ipq_read(h, buf, sizeof(buf), -1) <= 0);
	ipq_set_verdict(h, 1, NF_ACCEPT, 0, NULL);
	CHECK(ipq_read(h, buf, 0, 1000) == -1);
}

static void nonsense_in_modes(void)
{
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, SIZE_MAX) > 0);
	sane();
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 1) > 0);
	sane();
	CHECK(ipq_set_mode(h, IPQ_COPY_META, SIZE_MAX) > 0);
	sane();
	/* Each mode is refused, either by the call or by the next message, and no setting changes. */
	for (unsigned mode = 3; mode < 256; mode += 84)
		if (ipq_set_mode(h, (uint8_t)mode, 0) > 0)
			CHECK(next_error() == EINVAL);
	sane();
	CHECK(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	sane();
}

static void nonsense_in_reads(void)
{
	static const size_t small[] = { 0, 1, 15, sizeof(struct nlmsgerr) - 1 };
	ipq_id_t id;

	for (size_t i = 0; i < sizeof(small) / sizeof(small[0]); i++) {
		CHECK(ipq_read(h, buf, small[i], 1000) == -1);
		CHECK(strcmp(ipq_errstr(), "Receive buffer size invalid") == 0);
		CHECK(ipq_read(h, NULL, small[i], 1000) == -1);
	}
	CHECK(ipq_read(h, buf, sizeof(buf), INT_MIN) <= 0);
	sane();
	/* Buffers of every size: no byte after the buffer may change, and no packet may stay in the queue. */
	for (size_t len = sizeof(struct nlmsgerr); len < 160; len += 9) {
		ssize_t n;

		CHECK(send(out, "sane", 4, 0) == 4);
		memset(buf, 0xa5, sizeof(buf));
		n = ipq_read(h, buf, len, 500000);
		CHECK(n <= (ssize_t)len);
		for (size_t i = len; i < len + 300; i++)
			if (buf[i] != 0xa5) {
				check(false, "no byte after the buffer is written", __LINE__);
				break;
			}
		if (len < 16 + sizeof(ipq_packet_msg_t))
			continue;
		CHECK(n >= (ssize_t)(16 + sizeof(ipq_packet_msg_t)));
		id = ipq_get_packet(buf)->packet_id;
		CHECK(ipq_get_packet(buf)->data_len <= len - 16 - sizeof(ipq_packet_msg_t));
		CHECK(ipq_set_verdict(h, id, NF_ACCEPT, 0, NULL) > 0);
		CHECK(arrives("sane"));
	}
	sane();
	/* The buffer may be at any address. */
	for (size_t shift = 1; shift < 8; shift++) {
		unsigned char *at = buf + shift;
		ipq_packet_msg_t m;

		CHECK(send(out, "sane", 4, 0) == 4);
		CHECK(ipq_read(h, at, sizeof(buf) - shift, 500000) == (ssize_t)(16 + sizeof(m) + 20 + 8 + 4));
		CHECK(ipq_message_type(at) == IPQM_PACKET);
		memcpy(&m, at + 16, sizeof(m));
		CHECK(m.data_len == 20 + 8 + 4);
		CHECK(strcmp(m.indev_name, "lo") == 0 || strcmp(m.outdev_name, "lo") == 0);
		CHECK(memcmp(at + 16 + sizeof(m) + 20 + 8, "sane", 4) == 0);
		CHECK(ipq_set_verdict(h, m.packet_id, NF_ACCEPT, 0, NULL) > 0);
		CHECK(arrives("sane"));
	}
	sane();
}

static void nonsense_in_verdicts(void)
{
	static const ipq_id_t nobody[] = { 0, 1, 0x7fffffff, ULONG_MAX };
	ipq_id_t id;

	for (size_t i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++) {
		CHECK(ipq_set_verdict(h, nobody[i], NF_ACCEPT, 0, NULL) > 0);
		CHECK(next_error() == ENOENT);
	}
	sane();
	/* A packet with a refused verdict still waits. */
	id = queued("text");
	CHECK(ipq_set_verdict(h, id, 77, 0, NULL) > 0);
	CHECK(next_error() == EINVAL);
	CHECK(ipq_set_verdict(h, id, NF_ACCEPT, 0, NULL) > 0);
	CHECK(arrives("text"));
	/* Gives a second verdict on the same packet. */
	CHECK(ipq_set_verdict(h, id, NF_DROP, 0, NULL) > 0);
	CHECK(next_error() == ENOENT);
	sane();
}

static void nonsense_in_replacements(void)
{
	static const size_t too_short[] = { 1, 19 };
	ipq_id_t id;

	/* A length without bytes, or bytes without a length: the packet is not modified. */
	id = queued("text");
	CHECK(ipq_set_verdict(h, id, NF_ACCEPT, SIZE_MAX, NULL) > 0);
	CHECK(arrives("text"));
	id = queued("text");
	CHECK(ipq_set_verdict(h, id, NF_ACCEPT, 0, large) > 0);
	CHECK(arrives("text"));
	/* A payload shorter than an IP header is ignored; if it is longer than any packet, the packet is dropped. */
	for (size_t i = 0; i < sizeof(too_short) / sizeof(too_short[0]); i++) {
		id = queued("text");
		CHECK(ipq_set_verdict(h, id, NF_ACCEPT, too_short[i], large) > 0);
		CHECK(arrives("text"));
	}
	id = queued("text");
	CHECK(ipq_set_verdict(h, id, NF_ACCEPT, sizeof(large), large) != 0);
	CHECK(!arrives("text"));
	while (ipq_read(h, buf, sizeof(buf), 1000) > 0)
		CHECK(ipq_message_type(buf) == NLMSG_ERROR);
	sane();
	id = queued("text");
	CHECK(ipq_set_verdict(h, id, NF_DROP, 40, large) > 0);
	CHECK(!arrives("text"));
	sane();
}

static void nonsense_in_ctl(void)
{
	static const int request[] = { -1, 0, 1, 0x1000, 0x7fffffff };

	for (size_t i = 0; i < sizeof(request) / sizeof(request[0]); i++)
		ipq_ctl(h, request[i], NULL);
	sane();
	CHECK(ipq_ctl(h, IPQ_CTL_STATS, NULL) < 0);
	sane();
}

int main(void)
{
	open_ends();
	nonsense_without_a_handle();
	h = ipq_create_handle(UINT32_MAX, PF_INET);
	if (!h) {
		ipq_perror("absurd");
		return 1;
	}
	nonsense_before_the_mode();
	nonsense_in_modes();
	nonsense_in_reads();
	nonsense_in_verdicts();
	nonsense_in_replacements();
	nonsense_in_ctl();
	CHECK(ipq_destroy_handle(h) == 0);
	/* At the end, opens a new handle. */
	h = ipq_create_handle(0, PF_INET);
	CHECK(h != NULL && ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	sane();
	ipq_destroy_handle(h);
	close(out);
	close(in);
	return failures != 0;
}
