// SPDX-License-Identifier: LGPL-2.1-or-later
/* The nflog source with a simulated kernel at the other end of a socket pair, which answers before a send returns. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <sys/socket.h>
#include <unistd.h>
#include "../directory_entries.h"
#include "nflog/messages.h"
#include "nflog/nflog.h"
#include "util/clock.h"

#define CONFIG (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG)
#define PACKET (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET)
#define SLOTS 8
#define IP_LEN 60

struct request {
	uint16_t group, flags;
	uint8_t command, family;
	bool settings;
	uint32_t range, buffer, threshold, timeout;
};

static struct source *s;
static int pair[2] = { -1, -1 };
static struct request request[32];
static unsigned requests, noops;
/* returns the errno to answer, or -1 for no answer; NULL: no error */
static int (*answer)(const struct request *r);
static int recv_error; /* errno of the next receive; 0: none */
static unsigned char datagram[8192];
static size_t datagram_len;
static unsigned char memory[SLOTS][SOURCE_SLOT_SIZE];
static struct iovec slot[SLOTS];
static struct ipq_packet packet[SLOTS];

ssize_t __real_send(int fd, const void *buf, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags);
ssize_t __real_recv(int fd, void *buf, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags);
int __wrap_netlink_open(bool *absent);

int __wrap_netlink_open(bool *absent)
{
	*absent = false;
	return pair[0];
}

ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags)
{
	if (fd == pair[0] && recv_error != 0) {
		errno = recv_error;
		recv_error = 0;
		return -1;
	}
	return __real_recv(fd, buf, len, flags);
}

static void give(const void *bytes, size_t len)
{
	assert_int_equal(__real_send(pair[1], bytes, len, 0), len);
}

static void acknowledge(uint32_t seq, uint16_t type, int error)
{
	struct {
		struct nlmsghdr nlh;
		struct nlmsgerr e;
	} message = { .nlh = { .nlmsg_len = sizeof(message), .nlmsg_type = NLMSG_ERROR },
		      .e = { .error = -error, .msg = { .nlmsg_type = type, .nlmsg_seq = seq } } };

	give(&message, sizeof(message));
}

static void read_request(const struct nlmsghdr *nlh, struct request *r)
{
	const struct nfgenmsg *gen = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *a;

	*r = (struct request){ .group = ntohs(gen->res_id), .family = gen->nfgen_family };
	assert_int_equal(nlh->nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK);
	for (a = mnl_nlmsg_get_payload_offset(nlh, sizeof(*gen));
	     mnl_attr_ok(a, (int)((const char *)nlh + nlh->nlmsg_len - (const char *)a));
	     a = mnl_attr_next(a)) {
		const void *v = mnl_attr_get_payload(a);

		for (size_t i = mnl_attr_get_payload_len(a); i % 4 != 0; i++)
			assert_int_equal(((const uint8_t *)v)[i], 0); /* the padding */
		switch (mnl_attr_get_type(a)) {
		case NFULA_CFG_CMD:
			r->command = *(const uint8_t *)v;
			break;
		case NFULA_CFG_MODE:
			r->settings = true;
			r->range = ntohl(*(const uint32_t *)v);
			assert_int_equal(((const uint8_t *)v)[4], NFULNL_COPY_PACKET);
			break;
		case NFULA_CFG_NLBUFSIZ:
			r->buffer = ntohl(*(const uint32_t *)v);
			break;
		case NFULA_CFG_TIMEOUT:
			r->timeout = ntohl(*(const uint32_t *)v);
			break;
		case NFULA_CFG_QTHRESH:
			r->threshold = ntohl(*(const uint32_t *)v);
			break;
		default:
			assert_int_equal(mnl_attr_get_type(a), NFULA_CFG_FLAGS);
			r->flags = ntohs(*(const uint16_t *)v);
			break;
		}
	}
}

ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags)
{
	const struct nlmsghdr *nlh = buf;
	struct request *r = &request[requests % 32];
	int error = 0;

	if (fd != pair[0])
		return __real_send(fd, buf, len, flags);
	if (nlh->nlmsg_type == NLMSG_NOOP) {
		noops++;
	} else {
		assert_int_equal(nlh->nlmsg_type, CONFIG);
		read_request(nlh, r);
		requests++;
		error = answer != NULL ? answer(r) : 0;
	}
	if (error >= 0)
		acknowledge(nlh->nlmsg_seq, nlh->nlmsg_type, error);
	return (ssize_t)len;
}

/* ---- packets --------------------------------------------------------------------------------------- */

static void put(const void *bytes, size_t len)
{
	memcpy(datagram + datagram_len, bytes, len);
	datagram_len += (len + 3) & ~(size_t)3;
}

static void attribute(uint16_t type, const void *value, size_t len)
{
	const struct nlattr a = { .nla_len = (uint16_t)(NLA_HDRLEN + len), .nla_type = type };

	put(&a, sizeof(a));
	put(value, len);
}

/*
 * Appends a packet to the datagram, with an IPv4 packet of IP_LEN bytes as its payload. Number 0: the packet has no
 * number.
 */
static void add_packet(uint32_t number)
{
	static const uint8_t link_header[14] = "link";
	const struct nfulnl_msg_packet_hdr header = { .hw_protocol = htons(0x0800), .hook = 1 };
	const struct nfgenmsg gen = { .nfgen_family = AF_INET };
	const uint32_t seq = htonl(number);
	struct nlmsghdr nlh = { .nlmsg_type = PACKET };
	size_t begin = datagram_len;
	uint8_t ip[IP_LEN] = { 0x45, 0, 0, IP_LEN };

	memset(ip + 20, (int)(number & 0xff), IP_LEN - 20);
	put(&nlh, sizeof(nlh));
	put(&gen, sizeof(gen));
	attribute(NFULA_PACKET_HDR, &header, sizeof(header));
	if (number != 0)
		attribute(NFULA_SEQ, &seq, sizeof(seq));
	attribute(NFULA_CT, "entry", 5);
	attribute(NFULA_L2HDR, link_header, sizeof(link_header));
	attribute(NFULA_PAYLOAD, ip, sizeof(ip));
	nlh.nlmsg_len = (uint32_t)(datagram_len - begin);
	memcpy(datagram + begin, &nlh, sizeof(nlh));
}

static void give_datagram(void)
{
	give(datagram, datagram_len);
	memset(datagram, 0, sizeof(datagram));
	datagram_len = 0;
}

static void give_packets(uint32_t first, uint32_t last)
{
	for (uint32_t number = first; number != last + 1; number++)
		add_packet(number);
	give_datagram();
}

static int receive(unsigned max)
{
	return s->ops->recv(s, slot, packet, max, 0, NULL, NULL);
}

static bool is_readable(void)
{
	struct pollfd p = { .fd = s->ops->fd(s), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static int configure(enum copy_mode mode, uint32_t range, uint32_t flags)
{
	const struct source_config c = { .mode = mode, .range = range, .flags = flags };
	struct ipq_error e;

	return s->ops->configure(s, &c, &e);
}

static void open_source(const char *arg)
{
	struct ipq_error e;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(source_nflog.open(&s, arg, &e), 0);
}

static int begin(void **state)
{
	(void)state;
	requests = noops = 0;
	answer = NULL;
	recv_error = 0;
	for (unsigned i = 0; i < SLOTS; i++)
		slot[i] = (struct iovec){ memory[i], SOURCE_SLOT_SIZE };
	open_source("300,batch=4");
	return 0;
}

static int end(void **state)
{
	(void)state;
	s->ops->close(s);
	close(pair[1]);
	pair[0] = pair[1] = -1;
	return 0;
}

/* ---- tests ----------------------------------------------------------------------------------------- */

static void names_are_a_group_and_a_batch(void **state)
{
	static const char *const wrong[] = { "",
					     "x",
					     "5x",
					     "5,",
					     "5,batch=0",
					     "5,batch=1025",
					     "5,batch=3x",
					     "5,batch=",
					     "5,size=3",
					     "65536",
					     "-1",
					     "5,batch=99999999999999999999",
					     "99999999999999999999" };
	static const char *const right[] = { "0", "9", "65535", "5,batch=1", "5,batch=9", "5,batch=1024" };
	struct ipq_error e;
	struct source *other;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(source_nflog.open(&other, wrong[i], &e), -EINVAL);
		assert_null(other);
	}
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		end(NULL);
		open_source(right[i]);
	}
}

static bool has_timestamps(void)
{
	int on = 0;
	socklen_t len = sizeof(on);

	assert_int_equal(getsockopt(s->ops->fd(s), SOL_SOCKET, SO_TIMESTAMP, &on, &len), 0);
	return on;
}

static void settings_reach_the_kernel(void **state)
{
	(void)state;
	assert_int_equal(configure(COPY_NONE, 0, 0), 0);
	assert_int_equal(requests, 0);
	assert_int_equal(configure(COPY_PACKET, 0, 0), 0);
	assert_int_equal(requests, 1);
	assert_int_equal(request[0].group, 300);
	assert_int_equal(request[0].command, NFULNL_CFG_CMD_BIND);
	assert_int_equal(request[0].range, NFLOG_PAYLOAD_MAX);
	assert_int_equal(request[0].threshold, 4);
	assert_int_equal(request[0].timeout, 1);
	assert_int_equal(request[0].buffer, 8192 - 512); /* enough for four packets of 1,500 bytes */
	assert_int_equal(request[0].flags, NFULNL_CFG_F_SEQ);
	assert_false(has_timestamps());
	assert_int_equal(configure(COPY_PACKET, 100, IPQ_O_CONNTRACK), IPQ_O_CONNTRACK);
	assert_int_equal(request[1].command, NFULNL_CFG_CMD_NONE);
	assert_int_equal(request[1].range, 100);
	assert_int_equal(request[1].buffer, 4096 - 512);
	assert_int_equal(request[1].flags, NFULNL_CFG_F_SEQ | NFULNL_CFG_F_CONNTRACK);
	assert_int_equal(configure(COPY_PACKET, NFLOG_PAYLOAD_MAX + 1, 0), 0);
	assert_int_equal(request[2].range, NFLOG_PAYLOAD_MAX);
	assert_int_equal(configure(COPY_META, 100, 0), 0);
	assert_int_equal(request[3].range, NFLOG_LENGTH_RANGE);
	assert_int_equal(configure(COPY_META, 100, IPQ_O_TIMESTAMP), IPQ_O_TIMESTAMP);
	assert_true(has_timestamps());
	requests--; /* this request is not compared */
	assert_int_equal(configure(COPY_NONE, 0, IPQ_O_TIMESTAMP), IPQ_O_TIMESTAMP);
	assert_false(has_timestamps());
	assert_int_equal(request[4].command, NFULNL_CFG_CMD_UNBIND);
	assert_int_equal(request[4].group, 300);
	assert_false(request[4].settings);
	assert_int_equal(requests, 5);
	end(NULL);
	open_source("5,batch=1024");
	assert_int_equal(configure(COPY_PACKET, 0, 0), 0);
	assert_int_equal(request[5].buffer, 65536 - 512); /* the maximum */
	end(NULL);
	open_source("5,batch=4");
	assert_int_equal(configure(COPY_PACKET, 596, 0), 0);
	assert_int_equal(request[6].buffer, 4096 - 512); /* 4 * (596 + 300) bytes are just enough */
	assert_int_equal(configure(COPY_PACKET, 597, 0), 0);
	assert_int_equal(request[7].buffer, 8192 - 512);
}

static void flags_that_the_kernel_has_not_are_refused(void **state)
{
	(void)state;
	assert_int_equal(configure(COPY_PACKET, 0, IPQ_O_SEGMENT), -EOPNOTSUPP);
	assert_int_equal(configure(COPY_PACKET, 0, IPQ_O_SECURITY_CONTEXT), -EOPNOTSUPP);
	assert_int_equal(configure(COPY_PACKET, 0, IPQ_O_SEGMENT | IPQ_O_BEST_EFFORT), IPQ_O_BEST_EFFORT);
	/* A flag that a later version adds is refused, too. */
	assert_int_equal(configure(COPY_PACKET, 0, 1U << 31), -EOPNOTSUPP);
	assert_int_equal(configure(COPY_PACKET, 0, 1U << 31 | IPQ_O_BEST_EFFORT), IPQ_O_BEST_EFFORT);
}

static int first_two_lost(const struct request *r)
{
	(void)r;
	return requests <= 2 ? -1 : 0;
}

static int all_lost(const struct request *r)
{
	(void)r;
	return -1;
}

static void lost_answer_is_asked_for_again(void **state)
{
	(void)state;
	answer = first_two_lost;
	assert_int_equal(configure(COPY_PACKET, 0, 0), 0);
	assert_int_equal(requests, 3);
	answer = all_lost;
	assert_int_equal(configure(COPY_PACKET, 0, 0), -ETIMEDOUT);
	assert_true(requests > 4);
}

/* First sends two other answers, without errors: to a request that has timed out, and to a wake. */
static int others_first(const struct request *r)
{
	(void)r;
	acknowledge(77, CONFIG, 0);
	acknowledge(requests, NLMSG_NOOP, 0);
	return ENOMEM;
}

static void answer_to_another_request_is_not_taken(void **state)
{
	(void)state;
	answer = others_first;
	assert_int_equal(configure(COPY_PACKET, 0, 0), -ENOMEM);
}

static int not_capable(const struct request *r)
{
	(void)r;
	return EPERM;
}

static int taken(const struct request *r)
{
	return r->command == NFULNL_CFG_CMD_PF_BIND && r->family == 255 ? EAFNOSUPPORT : EPERM;
}

static int no_such_subsystem(const struct request *r)
{
	(void)r;
	return EINVAL;
}

static void refusal_has_its_cause(void **state)
{
	(void)state;
	answer = not_capable;
	assert_int_equal(configure(COPY_PACKET, 0, 0), -EPERM);
	answer = taken;
	assert_int_equal(configure(COPY_PACKET, 0, 0), -EBUSY);
	answer = no_such_subsystem;
	assert_int_equal(configure(COPY_PACKET, 0, 0), -ECONNREFUSED);
}

static int no_conntrack(const struct request *r)
{
	return r->flags & NFULNL_CFG_F_CONNTRACK ? EOPNOTSUPP : 0;
}

static void conntrack_may_be_missing(void **state)
{
	(void)state;
	answer = no_conntrack;
	assert_int_equal(configure(COPY_PACKET, 0, IPQ_O_CONNTRACK), -EOPNOTSUPP);
	assert_int_equal(configure(COPY_PACKET, 0, IPQ_O_CONNTRACK | IPQ_O_BEST_EFFORT), IPQ_O_BEST_EFFORT);
}

static int packets_first(const struct request *r)
{
	(void)r;
	give_packets(1, 1);
	give_packets(2, 3);
	return 0;
}

static void packets_before_an_answer_are_kept_in_order(void **state)
{
	(void)state;
	answer = packets_first;
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(configure(COPY_PACKET, 0, 0), 0);
		for (unsigned n = 1; n <= 3; n++) {
			assert_true(is_readable());
			assert_int_equal(receive(1), 1);
			assert_int_equal(packet[0].id, 3 * round + n);
			assert_int_equal(packet[0].payload[20], n);
		}
		while (is_readable())
			assert_int_equal(receive(8), 0);
	}
}

static void rest_of_a_datagram_is_announced(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < 3; round++) {
		give_packets(10 * round + 1, 10 * round + 5);
		for (unsigned i = 0; i < 3; i++) {
			assert_true(is_readable());
			assert_int_equal(receive(2), i < 2 ? 2 : 1);
			assert_int_equal(packet[0].id, round * 5 + 2 * i + 1);
			assert_int_equal(packet[0].payload[20], 10 * round + 2 * i + 1);
		}
		assert_int_equal(receive(2), 0);
		assert_false(is_readable());
	}
}

static uint64_t lost(void)
{
	struct source_counts c;

	assert_int_equal(s->ops->counts(s, &c), 0);
	assert_int_equal(c.malformed, 0);
	return c.lost;
}

static void gaps_are_counted(void **state)
{
	(void)state;
	assert_int_equal(configure(COPY_PACKET, 0, 0), 0);
	give_packets(100, 101);
	give_packets(105, 105);
	add_packet(0);
	add_packet(106);
	give_datagram();
	assert_int_equal(receive(8), 5);
	assert_int_equal(lost(), 3);
	assert_int_equal(configure(COPY_NONE, 0, 0), 0);
	assert_int_equal(configure(COPY_PACKET, 0, 0), 0);
	give_packets(0xffffffff, 0xffffffff);
	assert_int_equal(receive(8), 1);
	assert_int_equal(lost(), 3); /* only lost packets of this group are counted */
	give_packets(2, 2);
	assert_int_equal(receive(8), 1);
	assert_int_equal(lost(), 5);
}

static bool is_inside(const void *p, size_t len)
{
	const unsigned char *at = p;

	return at >= memory[0] && at + len <= memory[0] + slot[0].iov_len;
}

static void packet_is_in_its_slot(void **state)
{
	(void)state;
	give_packets(9, 9);
	assert_int_equal(receive(1), 1);
	assert_true(packet[0].present & IPQ_HAS_CONNTRACK && packet[0].present & IPQ_HAS_LINK_HEADER);
	assert_true(is_inside(packet[0].payload, IP_LEN) && is_inside(packet[0].conntrack, 5));
	assert_true(is_inside(packet[0].link_header, 14));
	assert_int_equal(packet[0].payload_len, IP_LEN);
	assert_memory_equal(packet[0].conntrack, "entry", 5);
	assert_memory_equal(packet[0].link_header, "link", 4);
	assert_int_equal(packet[0].payload[IP_LEN - 1], 9);
	assert_int_equal(packet[0].flags, 0);
}

/* Slots of every length: no byte after the slot may be written, and all pointers must be within it. */
static void slot_may_be_too_small(void **state)
{
	(void)state;
	for (size_t len = 16; len < 160; len++) {
		slot[0].iov_len = len;
		memset(memory[0], 0xee, sizeof(memory[0]));
		give_packets(9, 9);
		assert_int_equal(receive(1), 1);
		for (size_t i = len; i < len + 200; i++)
			assert_int_equal(memory[0][i], 0xee);
		assert_int_equal((packet[0].flags & IPQ_PACKET_TRUNCATED) != 0,
				 packet[0].payload_len < IP_LEN);
		assert_true(packet[0].payload_len == 0 ||
			    is_inside(packet[0].payload, packet[0].payload_len));
		assert_true(!(packet[0].present & IPQ_HAS_CONNTRACK) || is_inside(packet[0].conntrack, 5));
		assert_true(!(packet[0].present & IPQ_HAS_LINK_HEADER) ||
			    is_inside(packet[0].link_header, 14));
		assert_int_equal(packet[0].full_len, IP_LEN);
	}
}

/* The bytes of an earlier datagram must not be taken for the rest of a message. */
static void message_beyond_its_datagram_is_counted_as_malformed(void **state)
{
	struct source_counts c;

	(void)state;
	give_packets(1, 2);
	assert_int_equal(receive(8), 2);
	add_packet(1);
	add_packet(2);
	datagram_len -= 40;
	give_datagram();
	assert_int_equal(receive(8), 1);
	assert_int_equal(receive(8), 0);
	assert_int_equal(s->ops->counts(s, &c), 0);
	assert_int_equal(c.malformed, 1);
}

static void *give_late(void *arg)
{
	usleep(5000);
	give_packets(1, 1);
	return arg;
}

static void receive_waits_for_a_packet_or_its_timeout(void **state)
{
	int64_t before = now_ms();
	int quiet[2], standard_input = dup(0);
	pthread_t thread;

	(void)state;
	assert_int_equal(pipe(quiet), 0); /* the standard input never has data during this test */
	dup2(quiet[0], 0);
	assert_int_equal(s->ops->recv(s, slot, packet, SLOTS, 20, NULL, NULL), 0);
	assert_true(now_ms() - before >= 20);
	assert_int_equal(pthread_create(&thread, NULL, give_late, NULL), 0);
	assert_int_equal(s->ops->recv(s, slot, packet, SLOTS, 10000, NULL, NULL), 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(now_ms() - before < 10000);
	dup2(standard_input, 0);
	close(standard_input);
	close(quiet[0]);
	close(quiet[1]);
}

static void closed_source_leaves_no_descriptors(void **state)
{
	unsigned before = directory_entries("/proc/self/fd");

	end(state);
	assert_int_equal(directory_entries("/proc/self/fd"),
			 before - 3); /* the pair, and the socket for names of interfaces */
	open_source("300");
	assert_int_equal(directory_entries("/proc/self/fd"), before);
}

static void mode_without_payload_has_none(void **state)
{
	(void)state;
	assert_int_equal(configure(COPY_META, 0, 0), 0);
	give_packets(9, 9);
	assert_int_equal(receive(1), 1);
	assert_false(packet[0].present & IPQ_HAS_PAYLOAD);
	assert_null(packet[0].payload);
	assert_int_equal(packet[0].payload_len, 0);
	assert_int_equal(packet[0].full_len, IP_LEN);
}

static void wake_comes_after_the_packets_before_it(void **state)
{
	(void)state;
	give_packets(1, 2);
	assert_int_equal(s->ops->wake(s), 0);
	assert_int_equal(receive(8), 2);
	assert_true(is_readable());
	assert_int_equal(receive(8), -ECANCELED);
	assert_int_equal(receive(8), 0);
	assert_false(is_readable());
}

static void overrun_is_no_error(void **state)
{
	(void)state;
	give_packets(1, 1);
	recv_error = ENOBUFS;
	assert_int_equal(receive(8), 0);
	assert_int_equal(receive(8), 1);
	recv_error = ENETDOWN;
	assert_int_equal(receive(8), -ENETDOWN);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(names_are_a_group_and_a_batch),
		TEST(settings_reach_the_kernel),
		TEST(flags_that_the_kernel_has_not_are_refused),
		TEST(lost_answer_is_asked_for_again),
		TEST(answer_to_another_request_is_not_taken),
		TEST(refusal_has_its_cause),
		TEST(conntrack_may_be_missing),
		TEST(packets_before_an_answer_are_kept_in_order),
		TEST(rest_of_a_datagram_is_announced),
		TEST(gaps_are_counted),
		TEST(packet_is_in_its_slot),
		TEST(slot_may_be_too_small),
		TEST(message_beyond_its_datagram_is_counted_as_malformed),
		TEST(receive_waits_for_a_packet_or_its_timeout),
		TEST(closed_source_leaves_no_descriptors),
		TEST(mode_without_payload_has_none),
		TEST(wake_comes_after_the_packets_before_it),
		TEST(overrun_is_no_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
