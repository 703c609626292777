/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * effect ASPECT HOW: a request that the program itself writes to the socket applies to a packet that is sent right
 * after the call has returned. The program sends UDP datagrams to port 7000 of this machine, which a rule queues.
 */
#include <poll.h>
#include <sys/uio.h>

#define TIMES 40
#define TEXT 50

static const char *how = "";

/* Sends a mode request in one of the ways of old programs. */
static void ask_mode(int fd, unsigned char mode, size_t range)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	ipq_peer_msg_t body = { .msg.mode = { .value = mode, .range = range } };
	struct {
		struct nlmsghdr header;
		ipq_peer_msg_t body;
	} m = { .header = { .nlmsg_len = sizeof(m),
			    .nlmsg_type = IPQM_MODE,
			    .nlmsg_flags = NLM_F_REQUEST,
			    .nlmsg_pid = (uint32_t)getpid() } };
	struct iovec iov[2] = { { &m.header, sizeof(m.header) }, { &body, sizeof(body) } };
	struct msghdr msg = {
		.msg_name = &kernel, .msg_namelen = sizeof(kernel), .msg_iov = iov, .msg_iovlen = 2
	};
	struct mmsghdr several = { .msg_hdr = msg };
	ssize_t n;

	m.body = body;
	if (strcmp(how, "sendmsg") == 0)
		n = sendmsg(fd, &msg, 0);
	else if (strcmp(how, "sendmmsg") == 0)
		n = CALL(sendmmsg, SENDMMSG, fd, (long)&several, 1, 0) == 1 ? (ssize_t)several.msg_len : -1;
	else if (strcmp(how, "send") == 0)
		n = send(fd, &m, sizeof(m), 0);
	else if (strcmp(how, "write") == 0)
		n = write(fd, &m, sizeof(m));
	else
		n = sendto(fd, &m, sizeof(m), 0, (void *)&kernel, sizeof(kernel));
	EXPECT(n == (ssize_t)sizeof(m));
}

static void send_packet(void)
{
	static const char text[TEXT];
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(7000),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	static int s = -1;

	if (s < 0)
		s = socket(AF_INET, SOCK_DGRAM, 0);
	EXPECT(sendto(s, text, sizeof(text), 0, (void *)&to, sizeof(to)) == sizeof(text));
}

/* Returns the next message; NULL: none arrived within two seconds. */
static const struct nlmsghdr *next_message(int fd)
{
	static unsigned char buf[70000] __attribute__((aligned(8)));
	struct pollfd p = { .fd = fd, .events = POLLIN };

	EXPECT(poll(&p, 1, 2000) >= 0);
	return p.revents != 0 && recv(fd, buf, sizeof(buf), 0) > 0 ? (const void *)buf : NULL;
}

/* Checks that the next packet has this number of payload bytes. */
static void expect_packet(int fd, size_t data_len)
{
	const struct nlmsghdr *header = next_message(fd);
	const ipq_packet_msg_t *packet = (const void *)(header + 1);

	EXPECT(header != NULL && header->nlmsg_type == IPQM_PACKET);
	decide(fd, packet->packet_id, 1);
	if (packet->data_len != data_len)
		fprintf(stderr, "%lu bytes, not %lu\n", (unsigned long)packet->data_len,
			(unsigned long)data_len);
	EXPECT(packet->data_len == data_len);
}

static void expect_refusal(int fd, int error)
{
	const struct nlmsghdr *header = next_message(fd);

	EXPECT(header != NULL && header->nlmsg_type == NLMSG_ERROR);
	EXPECT(*(const int *)(const void *)(header + 1) == -error);
}

static void first_mode(int other)
{
	int fd = open_queue(NETLINK_FIREWALL), six = other ? open_queue(NETLINK_IP6_FW) : -1;

	if (other > 1)
		ask_mode(six, IPQ_COPY_META, 0);
	ask_mode(fd, IPQ_COPY_PACKET, 0);
	send_packet();
	expect_packet(fd, 28 + TEXT);
	close(fd);
	if (other)
		close(six);
}

static void no_mode(void)
{
	int fd = open_queue(NETLINK_FIREWALL);

	send_packet();
	usleep(100000);
	EXPECT(recv(fd, &(char){ 0 }, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
	ask_mode(fd, IPQ_COPY_PACKET, 20);
	send_packet();
	expect_packet(fd, 20);
	EXPECT(recv(fd, &(char){ 0 }, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
	close(fd);
}

/* All requests have taken effect when the call returns: a read that does not wait finds the refusal. */
static void several_at_once(void)
{
	int fd = open_queue(NETLINK_FIREWALL);
	struct {
		struct nlmsghdr header;
		ipq_peer_msg_t body;
	} m[4];
	struct iovec iov[4];
	struct mmsghdr message[4];
	unsigned char buf[200];

	for (unsigned i = 0; i < 4; i++) {
		memset(&m[i], 0, sizeof(m[i]));
		m[i].header = (struct nlmsghdr){ .nlmsg_len = sizeof(m[i]),
						 .nlmsg_type = i == 1 ? IPQM_VERDICT : IPQM_MODE,
						 .nlmsg_flags = NLM_F_REQUEST,
						 .nlmsg_pid = (uint32_t)getpid() };
		if (i == 1)
			m[i].body.msg.verdict = (struct ipq_verdict_msg){ .value = 1, .id = 4711 };
		else
			m[i].body.msg.mode =
				(struct ipq_mode_msg){ .value = IPQ_COPY_PACKET, .range = 20 + i };
		iov[i] = (struct iovec){ &m[i], sizeof(m[i]) };
		message[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &iov[i], .msg_iovlen = 1 } };
	}
	EXPECT(CALL(sendmmsg, SENDMMSG, fd, (long)message, 3, 0) == 3);
	EXPECT(message[0].msg_len == sizeof(m[0]) && message[2].msg_len == sizeof(m[0]) &&
	       message[3].msg_len == 0);
	EXPECT(recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 36);
	EXPECT(*(const int *)(const void *)(buf + 16) == -ENOENT);
	send_packet();
	expect_packet(fd, 22);
	close(fd);
}

/* A read that does not wait and is passed to the supervisor finds the refusal of a verdict. */
static void refusals(void)
{
	static unsigned char buf[200];
	struct iovec iov = { buf, sizeof(buf) };
	struct sockaddr_nl from;
	struct msghdr msg = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1
	};
	int fd = open_queue(NETLINK_FIREWALL);

	ask_mode(fd, IPQ_COPY_PACKET, 0);
	for (unsigned i = 0; i < 5 * TIMES; i++) {
		decide(fd, 4711, 1);
		EXPECT(CALL(recvmsg, RECVMSG, fd, (long)&msg, MSG_DONTWAIT) > 36);
		EXPECT(*(const int *)(const void *)(buf + 16) == -ENOENT);
	}
	close(fd);
}

static int effect(const char *aspect)
{
	int fd, i;

	if (strcmp(aspect, "first") == 0 || strcmp(aspect, "other") == 0 || strcmp(aspect, "both") == 0)
		for (i = 0; i < TIMES; i++)
			first_mode(aspect[0] == 'f' ? 0 : aspect[0] == 'o' ? 1 : 2);
	if (strcmp(aspect, "none") == 0)
		no_mode();
	if (strcmp(aspect, "refusals") == 0)
		refusals();
	if (strcmp(aspect, "several") == 0)
		several_at_once();
	if (strcmp(aspect, "change") != 0)
		return 0;
	fd = open_queue(NETLINK_FIREWALL);
	for (i = 0; i < TIMES; i++) {
		size_t range = 20 + (size_t)(i % 2 == 0 ? i / 2 : TIMES / 2 - i / 2);

		ask_mode(fd, IPQ_COPY_PACKET, range);
		send_packet();
		expect_packet(fd, range);
		ask_mode(fd, IPQ_COPY_META, 0);
		send_packet();
		expect_packet(fd, 0);
		ask_mode(fd, 9, 0);
		ask_mode(fd, IPQ_COPY_PACKET, i % 2 == 0 ? 0 : 70);
		send_packet();
		expect_refusal(fd, EINVAL);
		expect_packet(fd, i % 2 == 0 ? 28 + TEXT : 70);
	}
	return 0;
}
