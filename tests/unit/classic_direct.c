// SPDX-License-Identifier: LGPL-2.1-or-later
/* The classic calls on a queue of their own: the messages that they send to the kernel, and their results for the
 * kernel's messages. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <net/if_arp.h>
#include <netinet/in.h> /* must precede <linux/netfilter.h> */
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <libipq.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "kernel.h"
#include "util/clock.h"

#define QUEUE 300 /* a number with more than 8 bits */
#define HEAD (sizeof(struct nlmsghdr) + sizeof(ipq_packet_msg_t))

static struct kernel k;
static struct ipq_handle *h;
static unsigned char message[70000], buf[70000];
static bool no_more_descriptors; /* set when the source has its socket */
static int given = -1;		 /* a socket for the next source, instead of one from a simulated kernel */

static void limit_descriptors(rlim_t most)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = most > 0 ? most : limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Connects the socket of the handle's source to the simulated kernel. */
int __wrap_netlink_open(bool *absent);
int __wrap_netlink_open(bool *absent)
{
	int fd = given >= 0 ? given : kernel_open(&k);

	*absent = false;
	if (no_more_descriptors)
		limit_descriptors(3);
	return fd;
}

static int begin(void **state)
{
	(void)state;
	errno = 77;
	h = ipq_create_handle(0, PF_INET);
	if (h == NULL || errno != 77)
		return -1;
	h->local.nl_pid = (uint32_t)getpid(); /* the port id, as with a netlink socket */
	return 0;
}

static int end(void **state)
{
	int cancel = PTHREAD_CANCEL_ENABLE;

	(void)state;
	ipq_destroy_handle(h);
	kernel_close(&k);
	/* No call may leave cancellation disabled. */
	return pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &cancel) == 0 && cancel == PTHREAD_CANCEL_ENABLE
		       ? 0
		       : -1;
}

static void deliver(uint32_t id, const void *payload, size_t len)
{
	kernel_send(&k, message, kernel_packet(message, id, payload, len));
}

/* Returns the last verdict that the kernel received. */
static struct kernel_verdict last(void)
{
	kernel_settle(&k, h->fd);
	assert_true(k.verdicts > 0);
	return k.verdict[(k.verdicts - 1) % 256];
}

static const struct kernel_request *find_mode(void)
{
	for (unsigned i = k.requests; i > 0; i--)
		if (k.request[i - 1].mode != 0)
			return &k.request[i - 1];
	return NULL;
}

static struct ipq_ctl_stats stats(void)
{
	struct ipq_ctl_stats s = { .size = sizeof(s) };

	assert_int_equal(ipq_ctl(h, IPQ_CTL_STATS, &s), 0);
	return s;
}

/* Reads an error message that quotes a request of the program. type: that of a mode or a verdict. */
static void expect_refusal(int error, uint16_t type)
{
	struct nlmsghdr quoted;

	assert_true(ipq_read(h, buf, sizeof(buf), 1000000) > 0);
	assert_int_equal(ipq_message_type(buf), NLMSG_ERROR);
	assert_int_equal(ipq_get_msgerr(buf), error);
	memcpy(&quoted, buf + sizeof(struct nlmsghdr) + 4, sizeof(quoted));
	assert_int_equal(quoted.nlmsg_type, type);
}

static void on_alarm(int signal)
{
	(void)signal;
}

/* Sends a packet from a child process, a moment after the caller has begun to wait. */
static void deliver_later(uint32_t id)
{
	const struct timespec moment = { .tv_nsec = 20000000 };

	if (fork() != 0)
		return;
	nanosleep(&moment, NULL);
	deliver(id, "bytes of a packet...", 20);
	_exit(0);
}

static void read_one_and_accept(uint32_t id)
{
	errno = 77;
	assert_int_equal(ipq_read(h, buf, sizeof(buf), 0), HEAD + 20);
	assert_int_equal(errno, 77);
	assert_int_equal(ipq_get_packet(buf)->packet_id, id);
	assert_true(ipq_set_verdict(h, id, NF_ACCEPT, 0, NULL) > 0);
	assert_int_equal(errno, 77);
}

/* In a process with one thread, a read without a timeout uses another function. This must be the first test: a
 * simulated kernel is a thread. */
static void single_thread_reads_and_keeps_errno(void **state)
{
	const struct itimerval soon = { .it_value.tv_usec = 20000 };
	struct sigaction action = { .sa_handler = on_alarm };
	uint32_t id;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	given = pair[0];
	h = ipq_create_handle(0, PF_INET);
	given = -1;
	k.fd = pair[1];
	assert_non_null(h);
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
	/* as in the library of 2001, a signal is not an error */
	assert_int_equal(ipq_read(h, buf, sizeof(buf), 10000000), 0);
	deliver_later(1);
	read_one_and_accept(1);
	assert_int_equal(ipq_ctl(h, IPQ_CTL_BATCH, 32U), 0);
	deliver_later(2);
	read_one_and_accept(2);
	/* Enough packets for a busy queue: the library polls such a queue before the reader sleeps. */
	for (id = 3; id <= 22; id++)
		deliver(id, "bytes of a packet...", 20);
	for (id = 3; id <= 22; id++)
		read_one_and_accept(id);
	deliver_later(23);
	read_one_and_accept(23);
	assert_int_equal(stats().packets, 23);
	for (unsigned i = 0; i < 3; i++)
		assert_true(wait(NULL) > 0);
	ipq_destroy_handle(h);
	close(pair[1]);
}

static void modes_reach_the_kernel(void **state)
{
	int on = 0;
	socklen_t len = sizeof(on);

	(void)state;
	assert_true(ipq_set_mode(h, IPQ_COPY_META, 99) > 0);
	assert_int_equal(find_mode()->mode, NFQNL_COPY_META + 1);
	assert_int_equal(find_mode()->range, 0);
	assert_int_equal(find_mode()->queue, QUEUE);
	assert_int_equal(getsockopt(h->fd, SOL_SOCKET, SO_TIMESTAMP, &on, &len), 0);
	assert_int_equal(on, 1);
	assert_true(ipq_set_mode(h, IPQ_COPY_PACKET, 77) > 0);
	assert_int_equal(find_mode()->mode, NFQNL_COPY_PACKET + 1);
	assert_int_equal(find_mode()->range, 77);
	assert_true(ipq_set_mode(h, IPQ_COPY_PACKET, 70000) > 0);
	assert_int_equal(find_mode()->range, 0); /* range 65,535 means the complete packet */
	assert_true(ipq_set_mode(h, IPQ_COPY_NONE, 0) > 0);
	assert_int_equal(find_mode()->mode, NFQNL_COPY_NONE + 1);
}

static void unknown_mode_is_refused_by_a_message(void **state)
{
	unsigned before = k.requests;

	(void)state;
	assert_true(ipq_set_mode(h, 3, 0) > 0);
	expect_refusal(EINVAL, IPQM_MODE);
	assert_int_equal(k.requests, before);
	assert_int_equal(stats().refused, 1);
}

static int refuse_mode(struct kernel *kernel, const struct kernel_request *r)
{
	(void)kernel;
	return r->mode != 0 ? ENOMEM : 0;
}

static void mode_that_the_kernel_refuses_is_an_error_and_a_message(void **state)
{
	const char *why = NULL;

	(void)state;
	k.answer = refuse_mode;
	errno = 0;
	assert_int_equal(ipq_set_mode(h, IPQ_COPY_META, 0), -1);
	assert_int_equal(errno, ENOMEM);
	assert_string_equal(ipq_errstr(), "Failed to send netlink message");
	assert_int_equal(ipq_ctl(h, IPQ_CTL_EXPLAIN, &why), 0);
	assert_non_null(strstr(why, "copy mode"));
	expect_refusal(ENOMEM, IPQM_MODE);
	k.answer = NULL;
	assert_true(ipq_set_mode(h, IPQ_COPY_META, 0) > 0);
}

static void packet_is_read_as_a_message_of_ip_queue(void **state)
{
	ipq_packet_msg_t *m = ipq_get_packet(buf);
	uint8_t payload[23];
	ssize_t n;

	(void)state;
	memset(payload, 0x45, sizeof(payload));
	memset(buf, 0xee, sizeof(buf));
	deliver(0x80000001, payload, sizeof(payload));
	errno = 77;
	n = ipq_read(h, buf, sizeof(buf), 0);
	assert_int_equal(errno, 77);
	assert_int_equal(n, HEAD + 24); /* the length is rounded up */
	assert_int_equal(((struct nlmsghdr *)(void *)buf)->nlmsg_len, n);
	assert_int_equal(((struct nlmsghdr *)(void *)buf)->nlmsg_pid, 0);
	assert_int_equal(ipq_message_type(buf), IPQM_PACKET);
	assert_int_equal(m->packet_id, 0x80000001);
	assert_int_equal(m->hook, 1);
	assert_int_equal(m->hw_protocol, htons(0x800));
	assert_int_equal(m->data_len, sizeof(payload));
	assert_memory_equal(m->payload, payload, sizeof(payload));
	assert_int_equal(buf[n - 1], 0);
	assert_int_equal(m->indev_name[0], 0);
	assert_int_equal(m->mark, 0);
	assert_int_equal(m->timestamp_sec, 0);
	assert_int_equal(m->timestamp_usec, 0);
	assert_int_equal(buf[n], 0xee);
	assert_int_equal(stats().packets, 1);
	assert_int_equal(h->local.nl_family, AF_NETLINK);
	assert_int_equal(h->peer.nl_family, AF_NETLINK);
	assert_int_equal(h->peer.nl_pid, 0);
}

static void hardware_address_and_mark_are_those_of_the_packet(void **state)
{
	const uint32_t mark = htonl(0x12345678);
	static const uint8_t address[12] = { 0, 6, 0, 0, 2, 4, 6, 8, 10, 12 };
	ipq_packet_msg_t *m = ipq_get_packet(buf);

	(void)state;
	for (uint32_t id = 1; id <= 4; id++) {
		size_t len = kernel_packet(message, id, "bytes of a packet...", 20);

		if (id % 2) {
			kernel_add(message, NFQA_MARK, &mark, sizeof(mark));
			len = kernel_add(message, NFQA_HWADDR, address, sizeof(address));
		}
		kernel_send(&k, message, len);
		assert_true(ipq_read(h, buf, sizeof(buf), 0) > 0);
		assert_int_equal(m->mark, id % 2 ? 0x12345678 : 0);
		assert_int_equal(m->hw_addrlen, id % 2 ? 6 : 0);
		assert_memory_equal(m->hw_addr, id % 2 ? address + 4 : (const uint8_t[8]){ 0 }, 8);
	}
}

/* Reads the next message into len bytes, and checks that nothing is written after them. */
static ssize_t read_into(size_t len)
{
	ssize_t n;

	memset(buf, 0xee, sizeof(buf));
	n = ipq_read(h, buf, len, 1000000);
	for (size_t i = len; i < len + 256; i++)
		assert_int_equal(buf[i], 0xee);
	return n;
}

static void packet_longer_than_the_buffer_is_cut(void **state)
{
	static const size_t room[] = { HEAD, HEAD + 1, HEAD + 20, HEAD + 98, HEAD + 99 };
	uint8_t payload[99];

	(void)state;
	memset(payload, 0x45, sizeof(payload));
	for (size_t i = 0; i < sizeof(room) / sizeof(room[0]); i++) {
		deliver(7, payload, sizeof(payload));
		assert_int_equal(read_into(room[i]), room[i]);
		assert_int_equal(((struct nlmsghdr *)(void *)buf)->nlmsg_len, room[i]);
		assert_int_equal(ipq_get_packet(buf)->data_len, room[i] - HEAD);
		assert_memory_equal(buf + HEAD, payload, room[i] - HEAD);
	}
	deliver(8, payload, sizeof(payload));
	assert_int_equal(read_into(HEAD - 1), -1);
	assert_string_equal(ipq_errstr(), "Received message truncated");
	assert_int_equal(ipq_get_packet(buf)->packet_id, 8);
}

static void time_is_in_seconds_and_microseconds(void **state)
{
	/* Big-endian time: 1,234,567,890 s and 654,321 us. */
	static const uint8_t timestamp[16] = { 0, 0, 0, 0, 0x49, 0x96, 0x02, 0xd2,
					       0, 0, 0, 0, 0,	 9,    0xfb, 0xf1 };

	(void)state;
	kernel_packet(message, 1, "bytes of a packet...", 20);
	kernel_send(&k, message, kernel_add(message, NFQA_TIMESTAMP, timestamp, sizeof(timestamp)));
	assert_int_equal(read_into(sizeof(buf) - 256), HEAD + 20);
	assert_int_equal(ipq_get_packet(buf)->timestamp_sec, 1234567890);
	assert_int_equal(ipq_get_packet(buf)->timestamp_usec, 654321);
	deliver(2, "bytes of a packet...", 20); /* a packet without a time */
	assert_int_equal(read_into(sizeof(buf) - 256), HEAD + 20);
	assert_int_equal(ipq_get_packet(buf)->timestamp_sec, 0);
	assert_int_equal(ipq_get_packet(buf)->timestamp_usec, 0);
}

/* lo has index 1 in each namespace; no interface has the other index. Both packets arrive in one tick of the clock. */
static void interfaces_have_names_and_the_input_has_a_type(void **state)
{
	const uint32_t lo = htonl(1), none = htonl(0x7ffffff0);

	(void)state;
	for (uint32_t id = 1; id <= 4; id++) {
		kernel_packet(message, id, "bytes of a packet...", 20);
		kernel_add(message, NFQA_IFINDEX_INDEV, id % 2 ? &lo : &none, 4);
		kernel_send(&k, message, kernel_add(message, NFQA_IFINDEX_OUTDEV, id % 2 ? &none : &lo, 4));
	}
	for (uint32_t id = 1; id <= 4; id++) {
		assert_int_equal(read_into(HEAD + 20), HEAD + 20);
		assert_string_equal(ipq_get_packet(buf)->indev_name, id % 2 ? "lo" : "");
		assert_string_equal(ipq_get_packet(buf)->outdev_name, id % 2 ? "" : "lo");
		assert_int_equal(ipq_get_packet(buf)->hw_type, id % 2 ? ARPHRD_LOOPBACK : 0);
	}
}

/* A lost packet also has an id, so its loss leaves a gap in the ids. */
static void lost_packets_are_counted(void **state)
{
	(void)state;
	for (uint32_t id = 0xfffffffe; id != 8; id += 5) {
		deliver(id, "bytes of a packet...", 20);
		assert_true(read_into(HEAD + 20) > 0);
	}
	assert_int_equal(stats().lost, 4);
	assert_int_equal(stats().queue_dropped, 0);
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 200; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/*
 * The packet is dropped and an engine takes the queue over. From then on the program's descriptor does not become
 * readable for such packets.
 */
static void packet_of_the_other_family_is_dropped(void **state)
{
	size_t len = kernel_packet(message, 5, "bytes of a packet...", 20);
	unsigned descriptors = open_descriptors();

	(void)state;
	assert_true(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	message[sizeof(struct nlmsghdr)] = AF_INET6;
	kernel_send(&k, message, len);
	deliver(6, "bytes of a packet...", 20);
	assert_true(ipq_read(h, buf, sizeof(buf), 5000000) > 0);
	if (ipq_message_type(buf) == NLMSG_ERROR) /* the program may have seen that h->fd was readable */
		assert_true(ipq_read(h, buf, sizeof(buf), 5000000) > 0);
	assert_int_equal(ipq_message_type(buf), IPQM_PACKET);
	assert_int_equal(ipq_get_packet(buf)->packet_id, 6);
	assert_int_equal(k.verdict[0].id, 5);
	assert_int_equal(k.verdict[0].code, NF_DROP);
	assert_int_equal(stats().foreign, 1);
	message[sizeof(struct nlmsghdr)] = AF_INET6; /* the engine drops this one */
	kernel_send(&k, message, len);
	deliver(7, "bytes of a packet...", 20);
	assert_true(ipq_read(h, buf, sizeof(buf), 5000000) > 0);
	assert_int_equal(ipq_get_packet(buf)->packet_id, 7);
	assert_int_equal(stats().foreign, 2);
	/* Packets 6 and 7 fill the queue. */
	assert_int_equal(ipq_ctl(h, IPQ_CTL_QUEUE_LENGTH, 2U), 0);
	deliver(8, "bytes of a packet...", 20);
	for (unsigned i = 0; i < 5000 && stats().queue_dropped == 0; i++)
		usleep(1000);
	assert_int_equal(stats().queue_dropped, 1);
	assert_int_equal(stats().waiting, 2);
	assert_int_equal(ipq_read(h, buf, sizeof(buf), -1), 0);
	ipq_destroy_handle(h);
	h = NULL;
	assert_int_equal(open_descriptors(), descriptors - 3); /* h->fd, and the source's two sockets */
}

static void read_times_out(void **state)
{
	int64_t before = now_us();

	(void)state;
	errno = 5;
	assert_int_equal(ipq_read(h, buf, sizeof(buf), 30000), 0);
	assert_in_range(now_us() - before, 29000, 5000000);
	assert_int_equal(errno, 5);
	assert_string_equal(ipq_errstr(), "Timeout");
	before = now_us();
	assert_int_equal(ipq_read(h, buf, sizeof(buf), -1), 0);
	assert_int_equal(errno, 5);
	assert_true(now_us() - before < 1000000);
	deliver(1, "bytes of a packet...", 20);
	assert_true(ipq_read(h, buf, sizeof(buf), -1) > 0);
}

static void verdicts_reach_the_kernel(void **state)
{
	static const struct {
		unsigned verdict;
		uint32_t code;
	} all[] = { { NF_DROP, NF_DROP },
		    { NF_ACCEPT, NF_ACCEPT },
		    { NF_STOLEN, NF_DROP }, /* the kernel would refuse NF_STOLEN, and the packet would wait */
		    { NF_QUEUE, NF_QUEUE_NR(QUEUE) },
		    { NF_REPEAT, NF_REPEAT } };

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		assert_true(ipq_set_verdict(h, 1000 + i, all[i].verdict, 0, NULL) > 0);
		assert_int_equal(last().id, 1000 + i);
		assert_int_equal(last().code, all[i].code);
		assert_int_equal(last().queue, QUEUE);
		assert_false(last().has_payload || last().has_mark);
	}
	assert_int_equal(stats().verdicts, 5);
	assert_int_equal(k.verdicts, 5);
}

static void verdicts_that_ip_queue_refused_are_not_sent(void **state)
{
	ipq_verdict_msg_t quoted;

	(void)state;
	assert_true(ipq_set_verdict(h, 4711, NF_MAX_VERDICT + 1, 0, NULL) > 0);
	expect_refusal(EINVAL, IPQM_VERDICT);
	memcpy(&quoted, buf + 2 * sizeof(struct nlmsghdr) + 4, sizeof(quoted));
	assert_int_equal(quoted.id, 4711);
	assert_int_equal(quoted.value, NF_MAX_VERDICT + 1);
	if (sizeof(ipq_id_t) > 4) {
		assert_true(ipq_set_verdict(h, (ipq_id_t)((1ULL << 32) + 5), NF_ACCEPT, 0, NULL) > 0);
		expect_refusal(ENOENT, IPQM_VERDICT);
	}
	kernel_settle(&k, h->fd);
	assert_int_equal(k.verdicts, 0);
	assert_int_equal(stats().refused, sizeof(ipq_id_t) > 4 ? 2 : 1);
}

static void replacements_are_those_that_ip_queue_accepted(void **state)
{
	(void)state;
	memset(message, 0x45, sizeof(message));
	assert_int_equal(ipq_set_verdict(h, 1, NF_ACCEPT, 20, message),
			 sizeof(struct nlmsghdr) + sizeof(ipq_verdict_msg_t) + 20);
	assert_int_equal(last().payload_len, 20);
	assert_int_equal(last().last, 0x45);
	ipq_set_verdict(h, 2, NF_ACCEPT, 19, message); /* shorter than a header: the packet is not changed */
	assert_false(last().has_payload);
	assert_int_equal(last().code, NF_ACCEPT);
	ipq_set_verdict(h, 3, NF_DROP, 20, message);
	assert_false(last().has_payload);
	ipq_set_verdict(h, 4, NF_ACCEPT, 65536, message); /* longer than any packet: the packet is dropped */
	assert_int_equal(last().code, NF_DROP);
	assert_false(last().has_payload);
	assert_int_equal(ipq_set_verdict(h, 5, NF_ACCEPT, 20, NULL),
			 sizeof(struct nlmsghdr) + sizeof(ipq_verdict_msg_t));
	assert_false(last().has_payload);
	assert_int_equal(ipq_set_verdict(h, 6, NF_ACCEPT, NFQ_PAYLOAD_MAX + 1, message), -1);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(stats().verdicts, 5);
}

static void replacement_without_a_header_of_its_family_is_ignored(void **state)
{
	(void)state;
	memset(message, 0x60, sizeof(message));
	ipq_destroy_handle(h);
	kernel_close(&k);
	h = ipq_create_handle(0, PF_INET6);
	assert_non_null(h);
	ipq_set_verdict(h, 1, NF_ACCEPT, 39, message);
	assert_false(last().has_payload);
	ipq_set_verdict(h, 2, NF_ACCEPT, 40, message);
	assert_int_equal(last().payload_len, 40);
}

/* ip_queue's refusal quotes the complete request, with its payload. */
static void refusal_is_as_long_as_the_request(void **state)
{
	const size_t sent = sizeof(struct nlmsghdr) + sizeof(ipq_verdict_msg_t) + 100;
	const size_t whole =
		sizeof(struct nlmsghdr) + 4 + sizeof(struct nlmsghdr) + sizeof(ipq_peer_msg_t) + 100;
	static const size_t too_short[] = { 20, 59, 100 };
	struct nlmsghdr quoted;

	(void)state;
	memset(message, 0x45, 100);
	for (unsigned i = 0; i < 5; i++) {
		size_t room = i == 0 ? whole : i == 1 ? whole - 1 : too_short[i - 2];

		assert_int_equal(ipq_set_verdict(h, 1, NF_MAX_VERDICT + 1, 100, message), sent);
		assert_int_equal(read_into(room), i == 0 ? (ssize_t)whole : -1);
		assert_int_equal(((struct nlmsghdr *)(void *)buf)->nlmsg_len, whole);
		if (i > 0)
			continue;
		memcpy(&quoted, buf + sizeof(struct nlmsghdr) + 4, sizeof(quoted));
		assert_int_equal(quoted.nlmsg_len, sent);
		for (size_t at = whole - 100; at < whole; at++)
			assert_int_equal(buf[at], 0);
	}
	assert_int_equal(stats().refused, 5);
	assert_true(ipq_set_mode(h, 99, 5) > 0);
	assert_int_equal(read_into(whole),
			 20 + sizeof(struct nlmsghdr) + NLMSG_LENGTH(sizeof(ipq_peer_msg_t)));
}

/* The kernel's answer to a refused verdict, which quotes the verdict's message. */
static void refused_verdict_is_read_as_a_message(void **state)
{
	struct {
		struct nlmsghdr nlh;
		int error;
		struct nlmsghdr quoted;
		unsigned char gen[4];
		struct nlattr a;
		struct nfqnl_msg_verdict_hdr v;
	} answer = { .nlh = { .nlmsg_len = sizeof(answer), .nlmsg_type = NLMSG_ERROR },
		     .error = -ENOENT,
		     .quoted = { .nlmsg_len = 32,
				 .nlmsg_type = 3 << 8 | NFQNL_MSG_VERDICT,
				 .nlmsg_seq = NF_ACCEPT },
		     .a = { .nla_len = 12, .nla_type = NFQA_VERDICT_HDR },
		     .v = { .verdict = htonl(NF_ACCEPT), .id = htonl(4711) } };
	ipq_verdict_msg_t quoted;

	(void)state;
	kernel_send(&k, &answer, sizeof(answer));
	expect_refusal(ENOENT, IPQM_VERDICT);
	memcpy(&quoted, buf + 2 * sizeof(struct nlmsghdr) + 4, sizeof(quoted));
	assert_int_equal(quoted.id, 4711);
	assert_int_equal(quoted.value, NF_ACCEPT);
	assert_int_equal(stats().refused, 1);
}

static const struct kernel_request *find_flags(uint32_t mask)
{
	for (unsigned i = k.requests; i > 0; i--)
		if (k.request[i - 1].has_flags && k.request[i - 1].mask == mask)
			return &k.request[i - 1];
	return NULL;
}

static const struct kernel_request *find_length(void)
{
	for (unsigned i = k.requests; i > 0; i--)
		if (k.request[i - 1].has_length)
			return &k.request[i - 1];
	return NULL;
}

static int refuse_flags(struct kernel *kernel, const struct kernel_request *r)
{
	(void)kernel;
	return r->has_flags ? EINVAL : 0;
}

static void settings_apply_before_and_after_the_mode(void **state)
{
	unsigned before = k.requests;

	(void)state;
	assert_int_equal(ipq_ctl(h, IPQ_CTL_QUEUE_LENGTH, 500U), 0);
	assert_int_equal(ipq_ctl(h, IPQ_CTL_FAIL_OPEN, 1), 0);
	assert_int_equal(k.requests, before); /* the queue is not taken yet, so no request was sent */
	assert_true(ipq_set_mode(h, IPQ_COPY_META, 0) > 0);
	assert_int_equal(find_length()->length, 500);
	assert_int_equal(find_flags(NFQA_CFG_F_FAIL_OPEN)->flags, NFQA_CFG_F_FAIL_OPEN);
	assert_int_equal(ipq_ctl(h, IPQ_CTL_QUEUE_LENGTH, 600U), 0);
	assert_int_equal(find_length()->length, 600);
	assert_int_equal(find_mode()->mode, NFQNL_COPY_META + 1);
	assert_int_equal(ipq_ctl(h, IPQ_CTL_FAIL_OPEN, 0), 0);
	assert_int_equal(find_flags(NFQA_CFG_F_FAIL_OPEN)->flags, 0);
	k.answer = refuse_flags;
	assert_int_equal(ipq_ctl(h, IPQ_CTL_FAIL_OPEN, 1), -1);
	/* the refused setting is not sent again */
	assert_int_equal(ipq_ctl(h, IPQ_CTL_QUEUE_LENGTH, 700U), 0);
	assert_int_equal(find_length()->length, 700);
	assert_true(ipq_ctl(h, IPQ_CTL_RECEIVE_BUFFER, 65536U) >= 65536);
	assert_int_equal(ipq_ctl(h, 0x7777), -1);
	assert_int_equal(errno, ENOTSUP);
}

static int receive_buffer(void)
{
	int bytes = 0;
	socklen_t len = sizeof(bytes);

	assert_int_equal(getsockopt(h->fd, SOL_SOCKET, SO_RCVBUF, &bytes, &len), 0);
	return bytes;
}

static void receive_buffer_has_room_for_the_queue(void **state)
{
	static const struct {
		uint8_t mode;
		size_t range;
		int bytes;
	} all[] = { { IPQ_COPY_PACKET, 0, 2 * (65536 + 4096) },
		    { IPQ_COPY_PACKET, 2000, 2 * 5024 },
		    { IPQ_COPY_PACKET, 65535, 2 * (65536 + 4096) },
		    { IPQ_COPY_META, 0, 2304 } }; /* 2,304 bytes: the kernel's minimum */
	int own = 20000;

	(void)state;
	assert_int_equal(ipq_ctl(h, IPQ_CTL_QUEUE_LENGTH, 2U), 0);
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_true(ipq_set_mode(h, all[i].mode, all[i].range) > 0);
		assert_int_equal(receive_buffer(), all[i].bytes);
	}
	/* A size that the program has chosen stays. */
	assert_int_equal(setsockopt(h->fd, SOL_SOCKET, SO_RCVBUF, &own, sizeof(own)), 0);
	assert_true(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	assert_int_equal(receive_buffer(), 2 * own);
	assert_int_equal(ipq_ctl(h, IPQ_CTL_RECEIVE_BUFFER, 50000U), 50000);
	assert_true(ipq_set_mode(h, IPQ_COPY_META, 0) > 0);
	assert_true(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	assert_int_equal(receive_buffer(), 50000);
}

static void receive_buffer_that_is_set_to_its_default_stays(void **state)
{
	int size = receive_buffer();

	(void)state;
	assert_int_equal(ipq_ctl(h, IPQ_CTL_QUEUE_LENGTH, 2U), 0);
	assert_int_equal(ipq_ctl(h, IPQ_CTL_RECEIVE_BUFFER, (unsigned)size), size);
	assert_true(ipq_set_mode(h, IPQ_COPY_META, 0) > 0);
	assert_int_equal(receive_buffer(), size);
}

static void *read_until_the_end(void *arg)
{
	unsigned char own[4096];

	errno = 0;
	*(ssize_t *)arg = ipq_read(h, own, sizeof(own), 0);
	return (void *)(intptr_t)errno;
}

static void destroy_ends_a_read_of_another_thread(void **state)
{
	ssize_t result = 0;
	pthread_t reader;
	void *error;

	(void)state;
	signal(SIGALRM, SIG_DFL);
	alarm(20);
	assert_int_equal(pthread_create(&reader, NULL, read_until_the_end, &result), 0);
	usleep(20000); /* time for the thread to wait */
	assert_int_equal(ipq_destroy_handle(h), 0);
	assert_int_equal(pthread_join(reader, &error), 0);
	assert_int_equal(result, -1);
	assert_int_equal((intptr_t)error, EBADF);
	alarm(0);
	h = NULL;
}

/* The program may close the descriptor itself. */
static void destroy_keeps_errno(void **state)
{
	(void)state;
	close(h->fd);
	errno = 77;
	assert_int_equal(ipq_destroy_handle(h), 0);
	assert_int_equal(errno, 77);
	h = NULL;
}

static void statistics_of_a_newer_program_are_filled_in_as_far_as_known(void **state)
{
	struct ipq_ctl_stats s[2];
	unsigned char *bytes = (unsigned char *)s;

	(void)state;
	memset(s, 0xee, sizeof(s));
	s[0].size = sizeof(s);
	assert_int_equal(ipq_ctl(h, IPQ_CTL_STATS, &s[0]), 0);
	assert_int_equal(s[0].size, sizeof(s));
	assert_int_equal(s[0].packets, 0);
	for (size_t i = sizeof(s[0]); i < sizeof(s); i++)
		assert_int_equal(bytes[i], 0xee);
}

static void statistics_of_an_older_program_are_filled_in(void **state)
{
	struct ipq_ctl_stats s[2];
	unsigned char *bytes = (unsigned char *)s;

	(void)state;
	deliver(1, "bytes of a packet...", 20);
	assert_true(ipq_read(h, buf, sizeof(buf), 0) > 0);
	memset(s, 0xee, sizeof(s));
	s[0].size = offsetof(struct ipq_ctl_stats, verdicts);
	assert_int_equal(ipq_ctl(h, IPQ_CTL_STATS, &s[0]), 0);
	assert_int_equal(s[0].packets, 1);
	for (size_t i = offsetof(struct ipq_ctl_stats, verdicts); i < sizeof(s); i++)
		assert_int_equal(bytes[i], 0xee);
	s[0].size = 3;
	assert_int_equal(ipq_ctl(h, IPQ_CTL_STATS, &s[0]), -1);
}

static void second_handle_of_the_family_is_refused(void **state)
{
	(void)state;
	errno = 0;
	assert_null(ipq_create_handle(0, PF_INET));
	assert_int_equal(errno, EADDRINUSE);
	assert_string_equal(ipq_errstr(), "Unable to bind netlink socket");
	assert_null(ipq_create_handle(0, PF_UNIX));
	assert_string_equal(ipq_errstr(), "Invalid protocol specified");
}

static void descriptors_are_closed_whatever_happens(void **state)
{
	unsigned before = open_descriptors();

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		no_more_descriptors = i == 1;
		errno = 0;
		h = ipq_create_handle(0, PF_INET);
		limit_descriptors(0);
		assert_int_equal(h == NULL, no_more_descriptors);
		assert_true(h != NULL || errno == EMFILE);
		ipq_destroy_handle(h);
		kernel_close(&k);
		assert_int_equal(open_descriptors(), before);
	}
	no_more_descriptors = false;
}

/* ---- batches ------------------------------------------------------------------------------------ */

static void batch_is_read_packet_by_packet_and_decided_together(void **state)
{
	unsigned datagrams;

	(void)state;
	assert_true(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	assert_int_equal(ipq_ctl(h, IPQ_CTL_BATCH, 16U), 0);
	for (uint32_t id = 1; id <= 4; id++) {
		size_t len = kernel_packet(message, id, "bytes of a packet...", 20);

		if (id == 3)
			/* a packet of IPv6, which has no reader: it is dropped */
			message[sizeof(struct nlmsghdr)] = AF_INET6;
		kernel_send(&k, message, len);
	}
	kernel_settle(&k, h->fd);
	datagrams = k.datagrams;
	for (uint32_t id = 1; id <= 4; id += id == 2 ? 2 : 1) {
		errno = 77;
		assert_true(ipq_read(h, buf, sizeof(buf), 0) > 0);
		assert_int_equal(errno, 77);
		assert_int_equal(ipq_get_packet(buf)->packet_id, id);
		assert_true(ipq_set_verdict(h, id, id == 2 ? NF_QUEUE : NF_DROP, 0, NULL) > 0);
	}
	kernel_settle(&k, h->fd);
	assert_int_equal(k.datagrams, datagrams);
	errno = 77;
	assert_true(ipq_set_verdict(h, 4711, NF_ACCEPT, 0, NULL) >
		    0); /* an id that the library has not seen */
	assert_int_equal(errno, 77);
	kernel_settle(&k, h->fd);
	assert_int_equal(k.verdicts, 5); /* all verdicts are sent, in order */
	assert_int_equal(k.verdict[4].id, 4711);
	assert_int_equal(ipq_ctl(h, IPQ_CTL_BATCH, 1U), 0); /* this call sends the pending verdicts */
	kernel_settle(&k, h->fd);
	assert_int_equal(k.verdicts, 5);
	assert_int_equal(k.verdict[1].code, NF_QUEUE_NR(QUEUE));
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(k.verdict[i].code, i == 1 ? NF_QUEUE_NR(QUEUE) : NF_DROP);
	assert_int_equal(stats().foreign, 1);
	assert_int_equal(ipq_read(h, buf, sizeof(buf), 10000), 0);
}

static void verdicts_of_a_batch_are_sent_before_the_handle_ends(void **state)
{
	(void)state;
	assert_true(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	assert_int_equal(ipq_ctl(h, IPQ_CTL_BATCH, 16U), 0);
	deliver(1, "bytes of a packet...", 20);
	assert_true(ipq_read(h, buf, sizeof(buf), 0) > 0);
	assert_true(ipq_set_verdict(h, 1, NF_ACCEPT, 0, NULL) > 0);
	kernel_settle(&k, h->fd);
	assert_int_equal(k.verdicts, 0);
	ipq_destroy_handle(h);
	h = NULL;
	for (unsigned i = 0; i < 5000 && k.verdicts == 0; i++)
		usleep(1000);
	assert_int_equal(k.verdicts, 1);
}

static void batch_has_room_for_its_refusals(void **state)
{
	unsigned count = 0;

	(void)state;
	assert_int_equal(ipq_ctl(h, IPQ_CTL_BATCH, 16U), 0);
	for (unsigned i = 0; i < 100; i++)
		assert_true(ipq_set_verdict(h, i, NF_MAX_VERDICT + 1, 0, NULL) > 0);
	while (ipq_read(h, buf, sizeof(buf), 10000) > 0)
		count += ipq_message_type(buf) == NLMSG_ERROR && ipq_get_msgerr(buf) == EINVAL;
	assert_int_equal(count, SOURCE_BATCH_MAX);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(single_thread_reads_and_keeps_errno),
		TEST(modes_reach_the_kernel),
		TEST(unknown_mode_is_refused_by_a_message),
		TEST(mode_that_the_kernel_refuses_is_an_error_and_a_message),
		TEST(packet_is_read_as_a_message_of_ip_queue),
		TEST(hardware_address_and_mark_are_those_of_the_packet),
		TEST(packet_longer_than_the_buffer_is_cut),
		TEST(time_is_in_seconds_and_microseconds),
		TEST(interfaces_have_names_and_the_input_has_a_type),
		TEST(lost_packets_are_counted),
		TEST(packet_of_the_other_family_is_dropped),
		TEST(read_times_out),
		TEST(verdicts_reach_the_kernel),
		TEST(verdicts_that_ip_queue_refused_are_not_sent),
		TEST(replacements_are_those_that_ip_queue_accepted),
		TEST(replacement_without_a_header_of_its_family_is_ignored),
		TEST(refusal_is_as_long_as_the_request),
		TEST(refused_verdict_is_read_as_a_message),
		TEST(settings_apply_before_and_after_the_mode),
		TEST(receive_buffer_has_room_for_the_queue),
		TEST(receive_buffer_that_is_set_to_its_default_stays),
		TEST(destroy_ends_a_read_of_another_thread),
		TEST(destroy_keeps_errno),
		TEST(statistics_of_an_older_program_are_filled_in),
		TEST(statistics_of_a_newer_program_are_filled_in_as_far_as_known),
		TEST(second_handle_of_the_family_is_refused),
		cmocka_unit_test(descriptors_are_closed_whatever_happens),
		TEST(batch_is_read_packet_by_packet_and_decided_together),
		TEST(verdicts_of_a_batch_are_sent_before_the_handle_ends),
		TEST(batch_has_room_for_its_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
