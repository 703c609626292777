// SPDX-License-Identifier: LGPL-2.1-or-later
/* The classic calls on the ip_queue of a kernel up to 3.4, which is a socket pair here. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "ipqueue/messages.h"

#define HEAD (sizeof(struct nlmsghdr) + sizeof(ipq_packet_msg_t))

static int kernel = -1; /* the simulated kernel's end of the program's socket */
static struct ipq_handle *h;
static unsigned char buf[4096];

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol)
{
	int pair[2];

	if (domain != AF_NETLINK || protocol != 3 /* 3: NETLINK_FIREWALL */)
		return __real_socket(domain, type, protocol);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	kernel = pair[1];
	return pair[0];
}

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t len);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t len)
{
	(void)fd, (void)address, (void)len;
	return 0;
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len)
{
	(void)fd, (void)address, (void)len;
	return 0;
}

static int begin(void **state)
{
	(void)state;
	h = ipq_create_handle(0, PF_INET);
	return h != NULL ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	ipq_destroy_handle(h);
	close(kernel);
	return 0;
}

static void answer(uint32_t seq, int error)
{
	const struct nlmsghdr request = { .nlmsg_len = 56, .nlmsg_type = IPQM_MODE, .nlmsg_seq = seq };
	unsigned char message[64] = { 0 };
	size_t len = wire_put_error(message, error, h->local.nl_pid, &request, sizeof(request));

	assert_int_equal(send(kernel, message, len, 0), len);
}

/* Returns the next request of the program. */
static struct nlmsghdr request(void)
{
	struct nlmsghdr nlh;

	assert_true(recv(kernel, buf, sizeof(buf), MSG_DONTWAIT) >= (ssize_t)sizeof(nlh));
	memcpy(&nlh, buf, sizeof(nlh));
	return nlh;
}

static void first_mode_waits_for_its_acknowledgement(void **state)
{
	struct nlmsghdr nlh;

	(void)state;
	answer(1, 0);
	assert_true(ipq_set_mode(h, IPQ_COPY_PACKET, 70000) > 0);
	nlh = request();
	assert_int_equal(nlh.nlmsg_type, IPQM_MODE);
	assert_int_equal(nlh.nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK);
	assert_int_equal(nlh.nlmsg_seq, 1);
	/* packets may already be in the socket, so the second mode request asks for no acknowledgement */
	assert_true(ipq_set_mode(h, IPQ_COPY_META, 0) > 0);
	assert_int_equal(request().nlmsg_flags, NLM_F_REQUEST);
	assert_int_equal(ipq_read(h, buf, sizeof(buf), -1), 0);
}

/* The answer to a request that has timed out arrives late. */
static void acknowledgement_of_an_older_request_is_not_taken(void **state)
{
	(void)state;
	answer(0, 0);
	answer(1, EPERM);
	errno = 0;
	assert_int_equal(ipq_set_mode(h, IPQ_COPY_PACKET, 0), -1);
	assert_int_equal(errno, EPERM);
	/* The program may have ignored the result of ipq_set_mode. */
	assert_true(ipq_read(h, buf, sizeof(buf), -1) > 0);
	assert_int_equal(ipq_message_type(buf), NLMSG_ERROR);
	assert_int_equal(ipq_get_msgerr(buf), EPERM);
	answer(1, EPERM);
	answer(2, 0);
	assert_true(ipq_set_mode(h, IPQ_COPY_PACKET, 0) > 0);
	assert_int_equal(ipq_read(h, buf, sizeof(buf), -1), 0);
}

static void what_is_no_answer_fails_the_mode(void **state)
{
	(void)state;
	assert_int_equal(send(kernel, "a few bytes that are no answer at all", 37, 0), 37);
	errno = 0;
	assert_int_equal(ipq_set_mode(h, IPQ_COPY_PACKET, 0), -1);
	assert_int_equal(errno, EBADMSG);
	request(); /* read the request; otherwise the close would reset the socket */
	close(kernel);
	errno = 0;
	assert_int_equal(ipq_set_mode(h, IPQ_COPY_PACKET, 0), -1);
	assert_int_equal(errno, ECONNREFUSED);
}

static void packet_is_read_whole_or_cut(void **state)
{
	const struct wire_packet p = { .packet_id = 7, .mark = 9 };
	size_t len = wire_put_packet(WIRE_NATIVE, buf, &p, 24);
	unsigned char *message = memset(buf + 2048, 0x45, HEAD + 24);
	ipq_packet_msg_t *m = ipq_get_packet(buf);
	struct ipq_ctl_stats s = { .size = sizeof(s) };

	(void)state;
	memcpy(message, buf, len - 24);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(send(kernel, message, len, 0), len);
	assert_int_equal(ipq_read(h, buf, 2048, 0), len);
	assert_int_equal(m->packet_id, 7);
	assert_int_equal(m->data_len, 24);
	memset(buf, 0xee, 2048);
	assert_int_equal(ipq_read(h, buf, HEAD + 10, 0), HEAD + 10);
	assert_int_equal(m->data_len, 10);
	assert_int_equal(((struct nlmsghdr *)(void *)buf)->nlmsg_len, HEAD + 10);
	assert_int_equal(buf[HEAD + 10], 0xee);
	assert_int_equal(ipq_read(h, buf, HEAD - 1, 0), -1);
	assert_string_equal(ipq_errstr(), "Received message truncated");
	assert_int_equal(ipq_ctl(h, IPQ_CTL_STATS, &s), 0);
	assert_int_equal(s.packets, 3);
	assert_int_equal(s.refused, 0);
}

static void verdict_is_sent_with_its_payload(void **state)
{
	struct wire_request r;
	ssize_t n;

	(void)state;
	assert_true(ipq_set_verdict(h, 4711, NF_ACCEPT, 5, (unsigned char *)"12345") > 0);
	n = recv(kernel, buf, sizeof(buf), MSG_DONTWAIT);
	assert_true(n > 0);
	assert_int_equal(wire_get_request(WIRE_NATIVE, buf, (size_t)n, &r), 0);
	assert_int_equal(r.type, IPQM_VERDICT);
	assert_int_equal(r.verdict.id, 4711);
	assert_int_equal(r.verdict.value, NF_ACCEPT);
	assert_int_equal(r.verdict.data_len, 5);
	assert_memory_equal(r.verdict.payload, "12345", 5);
	close(kernel);
	errno = 0;
	assert_int_equal(ipq_set_verdict(h, 4711, NF_ACCEPT, 0, NULL), -1);
	assert_int_equal(errno, ECONNREFUSED);
	assert_int_equal(ipq_read(h, buf, sizeof(buf), 0), -1);
	assert_string_equal(ipq_errstr(), "Received EOF on netlink socket");
}

/* O_NONBLOCK is meant for reads: a verdict waits while the other end is busy. */
static void full_socket_is_waited_for(void **state)
{
	const struct timespec moment = { .tv_nsec = 20000000 };
	int status, count = 0;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		nanosleep(&moment, NULL);
		while (count < 2000 && recv(kernel, buf, sizeof(buf), 0) > 0)
			count++;
		_exit(count == 2000 ? 0 : 1);
	}
	assert_int_equal(fcntl(h->fd, F_SETFL, O_NONBLOCK), 0);
	for (unsigned i = 0; i < 2000; i++)
		assert_true(ipq_set_verdict(h, i, NF_ACCEPT, 0, NULL) > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(first_mode_waits_for_its_acknowledgement),
		TEST(acknowledgement_of_an_older_request_is_not_taken),
		TEST(what_is_no_answer_fails_the_mode),
		TEST(packet_is_read_whole_or_cut),
		TEST(full_socket_is_waited_for),
		TEST(verdict_is_sent_with_its_payload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
