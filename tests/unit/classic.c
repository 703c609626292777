/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The classic calls with invalid arguments, and with buffers that are too small, on a capture file: its packets arrive
 * in ip_queue's own protocol. Texts and values are those of 2001.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <linux/netfilter.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <libipq.h>
#include "capture_file.h"
#include "ipqueue/messages.h"

#define PACKETS 100
#define LENGTH 86 /* bytes of an IP packet */
#define HEAD (sizeof(struct nlmsghdr) + sizeof(ipq_packet_msg_t))
#define EXPECT_ERROR(call, number, text)                   \
	do {                                               \
		errno = 0;                                 \
		assert_int_equal((call), -1);              \
		assert_int_equal(errno, (number));         \
		assert_string_equal(ipq_errstr(), (text)); \
	} while (0)

static unsigned char buf[4096];
static struct ipq_handle *h;

static void calls_without_handle_fail(void **state)
{
	(void)state;
	EXPECT_ERROR(ipq_set_mode(NULL, IPQ_COPY_META, 0), EINVAL, "Implementation error");
	EXPECT_ERROR(ipq_read(NULL, buf, sizeof(buf), 0), EINVAL, "Implementation error");
	EXPECT_ERROR(ipq_set_verdict(NULL, 1, NF_ACCEPT, 0, NULL), EINVAL, "Implementation error");
	EXPECT_ERROR(ipq_ctl(NULL, IPQ_CTL_BATCH, 1U), EINVAL, "Implementation error");
	assert_int_equal(ipq_destroy_handle(NULL), 0);
	assert_int_equal(ipq_message_type(NULL), 0);
	assert_null(ipq_get_packet(NULL));
	assert_int_equal(ipq_get_msgerr(NULL), EINVAL);
}

static void missing_or_short_buffer_is_refused(void **state)
{
	(void)state;
	EXPECT_ERROR(ipq_read(h, NULL, sizeof(buf), 0), EINVAL, "Implementation error");
	EXPECT_ERROR(ipq_read(h, buf, sizeof(struct nlmsgerr) - 1, 0), 0, "Receive buffer size invalid");
	EXPECT_ERROR(ipq_read(h, NULL, 0, 0), 0, "Receive buffer size invalid");
	errno = 77;
	assert_int_equal(ipq_read(h, buf, 1, 0), -1); /* no system call has failed */
	assert_int_equal(errno, 77);
}

/* A program may ask for the port of its descriptor, as with a netlink socket. */
static void descriptor_of_each_family_has_the_port_as_its_name(void **state)
{
	struct ipq_handle *six = ipq_create_handle(0, PF_INET6);

	(void)state;
	assert_non_null(six);
	for (unsigned i = 0; i < 2; i++) {
		struct sockaddr_nl name = { .nl_pid = 0 };
		socklen_t len = sizeof(name);

		assert_int_equal(getsockname(i == 0 ? h->fd : six->fd, (struct sockaddr *)&name, &len), 0);
		assert_int_equal(len, sizeof(name));
		assert_int_equal(name.nl_pid, getpid());
	}
	ipq_destroy_handle(six);
}

/* The library blocks signals and cancellation during such a read, because it uses the engine's lock. */
static void read_without_waiting_keeps_signals_and_errno(void **state)
{
	sigset_t before, now;
	int cancel;

	(void)state;
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
	for (unsigned i = 0; i < 20; i++) {
		errno = 77;
		assert_true(ipq_read(h, buf, sizeof(buf), -1) >= 0);
		assert_int_equal(errno, 77);
	}
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
	for (int number = 1; number < 32; number++)
		assert_int_equal(sigismember(&now, number), sigismember(&before, number));
	assert_int_equal(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &cancel), 0);
	assert_int_equal(cancel, PTHREAD_CANCEL_ENABLE);
}

/*
 * The program sends its requests itself. The engine's thread may not have read them yet: then the read that does not
 * wait serves them.
 */
static void read_without_waiting_returns_the_answer_to_a_request_that_waits(void **state)
{
	unsigned char request[sizeof(struct nlmsghdr) + sizeof(ipq_peer_msg_t)];

	(void)state;
	while (ipq_read(h, buf, sizeof(buf), -1) > 0)
		;
	wire_put_verdict(WIRE_NATIVE, request, h->local.nl_pid, NF_ACCEPT, 999999, 0);
	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(send(h->fd, request, sizeof(request), 0), sizeof(request));
		assert_true(ipq_read(h, buf, sizeof(buf), -1) > 0);
		assert_int_equal(ipq_message_type(buf), NLMSG_ERROR);
		assert_int_equal(ipq_read(h, buf, sizeof(buf), -1), 0);
	}
}

/* Accepts all packets: then the engine reaches the damaged record at the end of the file. */
static void end_of_a_damaged_file_is_explained(void **state)
{
	static unsigned char large[70000]; /* refusals of earlier tests may be in the socket */
	const char *why = NULL;
	ssize_t n;

	(void)state;
	for (ipq_id_t id = 1; id <= PACKETS; id++)
		ipq_set_verdict(h, id, NF_ACCEPT, 0, NULL);
	errno = 0;
	while ((n = ipq_read(h, large, sizeof(large), 0)) > 0)
		if (ipq_message_type(large) == IPQM_PACKET)
			ipq_set_verdict(h, ipq_get_packet(large)->packet_id, NF_ACCEPT, 0, NULL);
	assert_int_equal(n, -1);
	assert_int_equal(errno, EBADMSG);
	assert_string_equal(ipq_errstr(), "Received EOF on netlink socket");
	assert_int_equal(ipq_ctl(h, IPQ_CTL_EXPLAIN, &why), 0);
	assert_non_null(why);
	assert_true(why[0] != '\0');
}

/* Reads the next message into len bytes, and checks that nothing is written after them. */
static ssize_t read_into(size_t len)
{
	ssize_t n;

	memset(buf, 0xaa, sizeof(buf));
	n = ipq_read(h, buf, len, 0);
	for (size_t i = len; i < sizeof(buf); i++)
		assert_int_equal(buf[i], 0xaa);
	return n;
}

static void packet_longer_than_buffer_is_shortened(void **state)
{
	const size_t lengths[] = { HEAD, HEAD + 1, HEAD + 20, HEAD + LENGTH - 1, HEAD + LENGTH };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t data_len = lengths[i] - HEAD;
		ipq_packet_msg_t *m = ipq_get_packet(buf);
		struct nlmsghdr nlh;

		assert_int_equal(read_into(lengths[i]), lengths[i]);
		memcpy(&nlh, buf, sizeof(nlh));
		assert_int_equal(nlh.nlmsg_type, IPQM_PACKET);
		assert_int_equal(nlh.nlmsg_len, lengths[i]);
		assert_int_equal(m->data_len, data_len);
		assert_true(data_len == 0 || buf[HEAD] == 0x45);
		/* The bytes that did not fit can still be accepted. */
		assert_true(ipq_set_verdict(h, m->packet_id, NF_ACCEPT, 0, NULL) > 0);
	}
	EXPECT_ERROR(read_into(HEAD - 1), 0, "Received message truncated");
	EXPECT_ERROR(read_into(sizeof(struct nlmsgerr)), 0, "Received message truncated");
}

static uint64_t refused(void)
{
	struct ipq_ctl_stats s = { .size = sizeof(s) };

	assert_int_equal(ipq_ctl(h, IPQ_CTL_STATS, &s), 0);
	return s.refused;
}

/*
 * A refusal that does not fit into the buffer is counted, and one that fits is read completely. Packets arrive
 * before both.
 */
static void refusal_longer_than_buffer_is_cut(void **state)
{
	(void)state;
	assert_true(ipq_set_verdict(h, 999999, NF_ACCEPT, 0, NULL) > 0);
	while (refused() == 0)
		EXPECT_ERROR(read_into(sizeof(struct nlmsgerr) + 4), 0, "Received message truncated");
	assert_true(ipq_set_verdict(h, 999999, NF_ACCEPT, 0, NULL) > 0);
	while (read_into(sizeof(buf)) > 0 && ipq_message_type(buf) == IPQM_PACKET)
		;
	assert_int_equal(ipq_message_type(buf), NLMSG_ERROR);
	assert_int_equal(ipq_get_msgerr(buf), ENOENT);
	assert_int_equal(refused(), 2);
}

static void oversized_replacement_is_refused(void **state)
{
	(void)state;
	EXPECT_ERROR(ipq_set_verdict(h, 1, NF_ACCEPT, SIZE_MAX, buf), EMSGSIZE,
		     "Failed to send netlink message");
	EXPECT_ERROR(ipq_set_verdict(h, 1, NF_ACCEPT, INT32_MAX, buf), EMSGSIZE,
		     "Failed to send netlink message");
}

static void fail_open_on_a_capture_file_is_refused(void **state)
{
	(void)state;
	EXPECT_ERROR(ipq_ctl(h, IPQ_CTL_FAIL_OPEN, 1), EOPNOTSUPP, "Operation not supported");
	assert_int_equal(ipq_ctl(h, IPQ_CTL_BATCH, 16U), 0);
	assert_true(ipq_ctl(h, IPQ_CTL_RECEIVE_BUFFER, 100000U) >= 100000);
	EXPECT_ERROR(ipq_ctl(h, 0x7fff), ENOTSUP, "Operation not supported");
}

static atomic_bool done;
static atomic_uint got, failed;

static void *read_some(void *arg)
{
	unsigned char own[4096];
	ssize_t n;

	(void)arg;
	while (!atomic_load(&done)) {
		n = ipq_read(h, own, sizeof(own), 100000);
		atomic_fetch_add(n > 0 ? &got : &failed, n != 0);
	}
	return NULL;
}

/* One message wakes all readers, and one of them gets it. */
static void readers_that_get_no_message_time_out(void **state)
{
	pthread_t reader[6];
	unsigned i, before;

	(void)state;
	for (i = 0; i < 6; i++)
		assert_int_equal(pthread_create(&reader[i], NULL, read_some, NULL), 0);
	do { /* send packets until the socket is full */
		before = got;
		usleep(100000);
	} while (got != before);
	for (i = 0; i < 300; i++) {
		assert_true(ipq_set_verdict(h, 999999, NF_ACCEPT, 0, NULL) > 0);
		usleep(1000);
	}
	usleep(100000);
	atomic_store(&done, true);
	for (i = 0; i < 6; i++)
		pthread_join(reader[i], NULL);
	assert_int_equal(got - before, 300);
	assert_int_equal(failed, 0);
}

/* O_NONBLOCK is meant for reads: a verdict waits while the other end is busy. */
static void verdicts_on_nonblocking_socket_wait_for_room(void **state)
{
	static unsigned char payload[60000] = { 0x45 };
	int flags = fcntl(h->fd, F_GETFL);

	(void)state;
	assert_int_equal(fcntl(h->fd, F_SETFL, flags | O_NONBLOCK), 0);
	for (unsigned i = 0; i < 2000; i++)
		assert_true(ipq_set_verdict(h, 1000000 + i, NF_ACCEPT, sizeof(payload), payload) > 0);
	assert_int_equal(fcntl(h->fd, F_SETFL, flags), 0);
}

static void read_file_of_packets(char **argv)
{
	static struct capture_file f;

	put_header(&f, false, false, 1);
	for (unsigned i = 0; i < PACKETS; i++)
		put_frame(&f, i, i, LENGTH + 14, (uint8_t)i);
	for (unsigned i = 0; i < 4; i++)
		put32(&f, UINT32_MAX); /* a damaged record */
	start_again(argv, &f, NULL);
}

/*
 * The program itself has sent an earlier request. The answer to that request must not be mistaken for the answer to
 * ipq_set_mode.
 */
static int begin(void **state)
{
	struct {
		struct nlmsghdr nlh;
		ipq_peer_msg_t m;
	} request = { .nlh = { .nlmsg_len = sizeof(request),
			       .nlmsg_type = IPQM_MODE,
			       .nlmsg_flags = NLM_F_REQUEST,
			       .nlmsg_seq = 7777 },
		      .m.msg.mode.value = 99 };

	(void)state;
	h = ipq_create_handle(0, PF_INET);
	if (h == NULL)
		return -1;
	request.nlh.nlmsg_pid = h->local.nl_pid;
	if (send(h->fd, &request, sizeof(request), 0) < 0 || ipq_set_mode(h, IPQ_COPY_PACKET, 0) < 0)
		return -1;
	/* The engine has served both requests in order. */
	if (ipq_read(h, buf, sizeof(buf), 0) <= 0 || ipq_message_type(buf) != NLMSG_ERROR)
		return -1;
	return ipq_get_msgerr(buf) == EINVAL ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	return ipq_destroy_handle(h);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_without_handle_fail),
		cmocka_unit_test(missing_or_short_buffer_is_refused),
		cmocka_unit_test(descriptor_of_each_family_has_the_port_as_its_name),
		cmocka_unit_test(read_without_waiting_keeps_signals_and_errno),
		cmocka_unit_test(packet_longer_than_buffer_is_shortened),
		cmocka_unit_test(refusal_longer_than_buffer_is_cut),
		cmocka_unit_test(oversized_replacement_is_refused),
		cmocka_unit_test(fail_open_on_a_capture_file_is_refused),
		cmocka_unit_test(readers_that_get_no_message_time_out),
		cmocka_unit_test(read_without_waiting_returns_the_answer_to_a_request_that_waits),
		cmocka_unit_test(verdicts_on_nonblocking_socket_wait_for_room),
		cmocka_unit_test(end_of_a_damaged_file_is_explained),
	};

	int quiet[2];

	(void)argc;
	if (getenv("IPQ_SOURCE") == NULL)
		read_file_of_packets(argv);
	/* The standard input never has data: no thread of the library may wait for it. */
	if (pipe(quiet) < 0 || dup2(quiet[0], STDIN_FILENO) < 0)
		return 1;
	alarm(60);
	return cmocka_run_group_tests(tests, begin, end);
}
