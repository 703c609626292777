// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Checks that receivers accept edited packets. Each packet is built with random addresses, ports and payload, is edited
 * to be addressed to this host, and is written into a tun device: the kernel checks it like a packet from the network.
 * The result is what the receiving socket returns.
 *
 *	edited packet --> tun (10.77.0.1, fd77::1) --> kernel's checks --> UDP, TCP socket or echo reply
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/edit_packets.h"
#include "ipq_edit.h"

enum { SKIPPED = 77, OUR_PORT = 7000, THEIR_PORT = 4321, WAIT_MS = 2000, NOTHING_MS = 150 };

static const char text[] = "what the edit put in its place, and not of the old length";
static uint8_t packet[70000];
static int tun, checks, failures;

static void expect(bool good, const char *what, const char *shape)
{
	checks++;
	failures += !good;
	printf("%s: %s: %s\n", good ? "ok" : "FAILED", shape, what);
}

static int open_tun(void)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };

	tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (tun < 0) {
		printf("skipped: /dev/net/tun: %s\n", strerror(errno));
		return SKIPPED;
	}
	strcpy(request.ifr_name, "tun0");
	if (ioctl(tun, TUNSETIFF, &request) < 0) {
		printf("skipped: no tun device: %s\n", strerror(errno));
		return SKIPPED;
	}
	return system("ip address add 10.77.0.1/24 dev tun0 && ip address add fd77::1/64 dev tun0 nodad && "
		      "ip link set tun0 mtu 65535 up")
		       ? 1
		       : 0;
}

/* Opens a dual-stack socket. */
static int open_socket(int type)
{
	struct sockaddr_in6 us = { .sin6_family = AF_INET6, .sin6_port = htons(OUR_PORT) };
	int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&us, sizeof(us)) < 0 ||
	    (type == SOCK_STREAM && listen(fd, 1) < 0))
		return -1;
	return fd;
}

static bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

static bool address_to_us(struct ipq_edit *e)
{
	uint8_t us[16], them[16];
	int family = e->version == 4 ? AF_INET : AF_INET6;
	size_t len = e->version == 4 ? 4 : 16;

	inet_pton(family, family == AF_INET ? "10.77.0.1" : "fd77::1", us);
	inet_pton(family, family == AF_INET ? "10.77.0.2" : "fd77::2", them);
	return !ipq_edit_set_source(e, them, len) && !ipq_edit_set_destination(e, us, len) &&
	       !ipq_edit_set_ttl(e, 9);
}

static bool to_our_port(struct ipq_edit *e)
{
	return address_to_us(e) && !ipq_edit_set_source_port(e, THEIR_PORT) &&
	       !ipq_edit_set_destination_port(e, OUR_PORT);
}

static bool begin(struct ipq_edit *e, struct shape shape, size_t payload, uint32_t flags)
{
	struct built b = build(packet, shape, payload);

	if (flags & IPQ_EDIT_CHECKSUM_NOT_READY)
		set_be16(checksum_field(&b, packet), reference_pseudo(&b, packet));
	return !ipq_edit_begin(e, packet, b.len, sizeof(packet), flags);
}

static bool inject(size_t len)
{
	return write(tun, packet, len) == (ssize_t)len;
}

/* Whether exactly these bytes arrived, from the address that the edit set. */
static bool datagram_arrived(int fd, const void *bytes, size_t len)
{
	static uint8_t got[70000];
	struct sockaddr_in6 from = { 0 };
	socklen_t from_len = sizeof(from);

	return readable(fd, WAIT_MS) &&
	       recvfrom(fd, got, sizeof(got), MSG_TRUNC, (struct sockaddr *)&from, &from_len) ==
		       (ssize_t)len &&
	       !memcmp(got, bytes, len) && from.sin6_port == htons(THEIR_PORT);
}

static void udp(int fd, const char *name, struct shape shape)
{
	struct ipq_edit e;
	bool made = begin(&e, shape, 33, 0) && to_our_port(&e) &&
		    !ipq_edit_replace(&e, 0, e.payload_len, text, sizeof(text));

	expect(made && inject(e.len) && datagram_arrived(fd, text, sizeof(text)), "edited datagram arrives",
	       name);
	packet[e.payload] ^= 1;
	expect(inject(e.len) && !readable(fd, NOTHING_MS), "a wrong bit in it is found", name);
	packet[e.payload] ^= 1;
	packet[e.payload + 1] ^= 1; /* damage the packet before the edit, which must not repair it */
	made = ipq_edit_begin(&e, packet, e.len, sizeof(packet), 0) == 0 &&
	       ipq_edit_replace(&e, 9, 3, "other", 5) == 0;
	expect(made && inject(e.len) && !readable(fd, NOTHING_MS), "damage from before the edit is found",
	       name);
}

static void udp_not_ready(int fd, const char *name, struct shape shape)
{
	static uint8_t sent[60000];
	struct ipq_edit e;
	bool made = begin(&e, shape, 59000, IPQ_EDIT_CHECKSUM_NOT_READY) && to_our_port(&e) &&
		    !ipq_edit_replace(&e, 501, 3, text, sizeof(text));

	expect(made && inject(e.len) && !readable(fd, NOTHING_MS), "a checksum not ready is not right yet",
	       name);
	memcpy(sent, packet + e.payload, e.payload_len);
	expect(!ipq_checksum_complete(packet, e.len) && inject(e.len) &&
		       datagram_arrived(fd, sent, e.payload_len),
	       "completed, it arrives", name);
}

/* Sends one datagram in two fragments, each of which is edited without the other. */
static void udp_in_fragments(int fd)
{
	struct built b = build(packet, (struct shape){ 4, IPPROTO_UDP, 0 }, 1000);
	uint8_t whole[1028], expected[1000];
	struct ipq_edit e;
	bool first;

	memcpy(whole, packet, b.len);
	set_be16(packet + 2, 20 + 512);
	packet[6] = 0x20;
	set_be16(packet + 10, 0);
	set_be16(packet + 10, 0xffff - reference_network_residue(&b, packet));
	first = !ipq_edit_begin(&e, packet, 20 + 512, sizeof(packet), 0) && to_our_port(&e) &&
		!ipq_edit_replace(&e, 100, 5, "HELLO", 5);
	memcpy(expected, packet + 28, 504);
	memcpy(expected + 504, whole + 20 + 512, 496);
	expect(first && inject(e.len), "the first is edited", "IPv4 UDP in fragments");

	memcpy(packet, whole, 20);
	memcpy(packet + 20, whole + 20 + 512, 496);
	set_be16(packet + 2, 20 + 496);
	packet[7] = 512 / 8;
	set_be16(packet + 10, 0);
	set_be16(packet + 10, 0xffff - reference_network_residue(&b, packet));
	expect(!ipq_edit_begin(&e, packet, 20 + 496, sizeof(packet), 0) && address_to_us(&e) &&
		       inject(e.len) && datagram_arrived(fd, expected, sizeof(expected)),
	       "put together, they arrive", "IPv4 UDP in fragments");
}

/* Reads the next packet of this protocol that the kernel sends through the tun device, into `answer`. */
static bool kernel_answers(int version, int protocol, struct ipq_edit *e, int ms)
{
	static uint8_t answer[70000];

	for (int tries = 0; tries < 20 && readable(tun, ms); tries++) {
		ssize_t n = read(tun, answer, sizeof(answer));

		/* The kernel sends multicast packets on its own, such as router solicitations. */
		if (n > 0 && !ipq_edit_begin(e, answer, (size_t)n, sizeof(answer), 0) &&
		    e->version == version && e->protocol == protocol && (version == 4 || answer[24] != 0xff))
			return true;
	}
	return false;
}

static void echo(const char *name, struct shape shape)
{
	struct ipq_edit e, reply;
	bool answered;

	answered = begin(&e, shape, 21, 0) && address_to_us(&e) && !ipq_edit_set_icmp_id(&e, 0x1234) &&
		   !ipq_edit_replace(&e, 0, e.payload_len, text, sizeof(text)) && inject(e.len) &&
		   kernel_answers(shape.version, shape.protocol, &reply, WAIT_MS) &&
		   reply.payload_len == sizeof(text) &&
		   !memcmp(reply.data + reply.payload, text, sizeof(text)) &&
		   be16(reply.data + reply.transport + 4) == 0x1234;
	expect(answered, "edited echo request is answered", name);
	packet[e.payload] ^= 1;
	expect(inject(e.len) && !kernel_answers(shape.version, shape.protocol, &reply, NOTHING_MS),
	       "a wrong bit in it is found", name);
}

/* Makes the packet in e a segment of this connection. */
static bool segment(struct ipq_edit *e, unsigned flags, uint32_t sequence, uint32_t acknowledgement)
{
	return to_our_port(e) && !ipq_edit_set_tcp_flags(e, flags, 0x1ff) &&
	       !ipq_edit_set_tcp_sequence(e, sequence) &&
	       !ipq_edit_set_tcp_acknowledgement(e, acknowledgement) && !ipq_edit_set_tcp_window(e, 5000);
}

/* Discards earlier errors of the kernel. */
static void forget_answers(void)
{
	uint8_t byte;

	while (readable(tun, 0))
		if (read(tun, &byte, 1) < 0)
			return;
}

static void tcp(int fd, const char *name, struct shape shape)
{
	struct ipq_edit e, answer;
	char got[sizeof(text)] = "";
	uint32_t theirs;
	int connection;

	forget_answers();
	/* Builds a SYN from random bytes, with one option that the kernel supports and one that it does not. */
	expect(begin(&e, shape, 0, 0) && segment(&e, IPQ_TCP_SYN, 1000, 0) &&
		       !ipq_edit_set_tcp_option(&e, 2, "\x04\x00", 2) &&
		       !ipq_edit_set_tcp_option(&e, 99, "abc", 3) && ipq_edit_clamp_mss(&e, 700) == 1 &&
		       inject(e.len) && kernel_answers(shape.version, IPPROTO_TCP, &answer, WAIT_MS) &&
		       answer.data[answer.transport + 13] == (IPQ_TCP_SYN | IPQ_TCP_ACK),
	       "edited SYN is answered", name);
	memcpy(&theirs, answer.data + answer.transport + 4, 4);
	theirs = ntohl(theirs) + 1;
	shape.parts &= ~(unsigned)WITH_OPTIONS; /* the timestamps would not match those of the SYN */
	expect(begin(&e, shape, 77, 0) && segment(&e, IPQ_TCP_ACK | IPQ_TCP_PSH, 1001, theirs) &&
		       !ipq_edit_replace(&e, 0, e.payload_len, text, sizeof(text)) && inject(e.len),
	       "a segment is edited", name);
	connection = readable(fd, WAIT_MS) ? accept(fd, NULL, NULL) : -1;
	expect(connection >= 0 && readable(connection, WAIT_MS) &&
		       recv(connection, got, sizeof(got), 0) == (ssize_t)sizeof(text) &&
		       !memcmp(got, text, sizeof(text)),
	       "its payload arrives", name);
	if (connection >= 0)
		close(connection);
	/* Resets the connection, so that the next one may have the same ports. */
	if (begin(&e, shape, 0, 0) && segment(&e, IPQ_TCP_RST, 1001 + sizeof(text), 0))
		inject(e.len);
}

int main(void)
{
	int skipped, datagrams, stream;

	setvbuf(stdout, NULL, _IOLBF, 0);
	skipped = open_tun();
	if (skipped)
		return skipped;
	datagrams = open_socket(SOCK_DGRAM);
	stream = open_socket(SOCK_STREAM);
	if (datagrams < 0 || stream < 0)
		return 1;
	for (size_t i = 0; i < SHAPES; i++) {
		struct shape shape = shapes[i].shape;

		/* Hosts do not accept source routes or home addresses from other hosts. */
		if (shape.parts & ~(unsigned)(WITH_OPTIONS | WITH_HOP_BY_HOP | WITH_ATOMIC_FRAGMENT))
			continue;
		if (shape.protocol == IPPROTO_UDP) {
			udp(datagrams, shapes[i].name, shape);
			udp_not_ready(datagrams, shapes[i].name, shape);
		} else if (shape.protocol == IPPROTO_TCP) {
			tcp(stream, shapes[i].name, shape);
		} else if (shape.protocol != IPPROTO_UDPLITE) {
			echo(shapes[i].name, shape);
		}
	}
	udp_in_fragments(datagrams);
	printf("%d checks, %d failures\n", checks, failures);
	return failures != 0;
}
