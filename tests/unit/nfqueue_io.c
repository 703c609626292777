// SPDX-License-Identifier: LGPL-2.1-or-later
/* Receives and sends of the nfqueue source, with messages and errors that a kernel does not produce on request. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h> /* must precede <linux/netfilter.h> */
#include <linux/netfilter.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "kernel.h"
#include "util/clock.h"

static struct kernel k;
static struct source *s;
static unsigned char message[70000], memory[SOURCE_BATCH_MAX][2048];
static struct iovec slot[SOURCE_BATCH_MAX];
static struct ipq_packet packet[SOURCE_BATCH_MAX];
static unsigned refusals;
static bool acts_on_refusals; /* return value of refused() */

/* ---- system calls that fail --------------------------------------------------------------------- */

static int program_fd;
static int send_errno[4]; /* errno of the next sends; 0: none */
static int receive_errno; /* errno of the next receive; 0: none */
static bool slow_receive;

static bool send_fails(void)
{
	errno = send_errno[0];
	memmove(send_errno, send_errno + 1, sizeof(send_errno) - sizeof(send_errno[0]));
	send_errno[3] = 0;
	return errno != 0;
}

ssize_t __real_send(int fd, const void *bytes, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags)
{
	return fd == program_fd && send_fails() ? -1 : __real_send(fd, bytes, len, flags);
}

ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	return send_fails() ? -1 : __real_sendmsg(fd, msg, flags);
}

int __real_recvmmsg(int fd, struct mmsghdr *msg, unsigned n, int flags, struct timespec *t);
int __wrap_recvmmsg(int fd, struct mmsghdr *msg, unsigned n, int flags, struct timespec *t);
int __wrap_recvmmsg(int fd, struct mmsghdr *msg, unsigned n, int flags, struct timespec *t)
{
	if (slow_receive)
		usleep(5000);
	if (receive_errno != 0) {
		errno = receive_errno;
		receive_errno = 0;
		return -1;
	}
	return __real_recvmmsg(fd, msg, n, flags, t);
}

/* ------------------------------------------------------------------------------------------------- */

static int begin(void **state)
{
	(void)state;
	s = kernel_start(&k, "7");
	program_fd = s != NULL ? nfqueue(s)->fd : -1;
	for (unsigned i = 0; i < SOURCE_BATCH_MAX; i++)
		slot[i] = (struct iovec){ memory[i], sizeof(memory[i]) };
	memset(memory, 0xee, sizeof(memory));
	refusals = 0;
	acts_on_refusals = true;
	return s != NULL ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	memset(send_errno, 0, sizeof(send_errno));
	kernel_stop(&k, s);
	return 0;
}

static bool refused(void *context, const struct source_refusal *refusal)
{
	(void)context;
	(void)refusal;
	refusals++;
	return acts_on_refusals;
}

static int receive(unsigned max, int timeout_ms)
{
	return nfqueue_recv(s, slot, packet, max, timeout_ms, refused, NULL);
}

static void deliver(uint32_t id)
{
	uint8_t payload[20];

	memset(payload, (int)id, sizeof(payload));
	kernel_send(&k, message, kernel_packet(message, id, payload, sizeof(payload)));
}

static struct source_counts counts(void)
{
	struct source_counts c;

	assert_int_equal(s->ops->counts(s, &c), 0);
	return c;
}

static bool is_readable(void)
{
	return poll(&(struct pollfd){ .fd = nfqueue(s)->fd, .events = POLLIN }, 1, 0) > 0;
}

/* ---- receiving ---------------------------------------------------------------------------------- */

static void gaps_in_ids_are_lost_packets(void **state)
{
	static const uint32_t first[] = { 1, UINT32_MAX - 3, INT32_MAX - 2 };

	for (unsigned i = 0; i < 3; i++) {
		deliver(first[i]);
		assert_int_equal(receive(64, 1000), 1);
		assert_int_equal(counts().lost, 0);
		deliver(first[i] + 1);
		assert_int_equal(receive(1, 1000), 1);
		assert_int_equal(counts().lost, 0);
		deliver(first[i] + 9);
		deliver(first[i] + 4); /* the id is out of order, because the packet was deferred */
		assert_int_equal(receive(64, 1000) + receive(64, 0), 2);
		assert_int_equal(counts().lost, 6);
		end(state);
		begin(state);
	}
}

static void malformed_packet_is_dropped_and_counted(void **state)
{
	size_t len;

	(void)state;
	deliver(1);
	assert_int_equal(receive(64, 1000), 1);
	len = kernel_packet(message, 2, "bytes of a packet...", 20);
	memcpy(message + len - 24, &(uint16_t){ 3 },
	       2); /* length of the payload's attribute: less than the attribute's header */
	kernel_send(&k, message, len);
	deliver(3);
	assert_int_equal(receive(64, 1000) + receive(64, 0), 1);
	assert_int_equal(packet[0].id, 3);
	kernel_settle(&k, program_fd);
	assert_int_equal(k.verdicts, 1);
	assert_int_equal(k.verdict[0].id, 2);
	assert_int_equal(k.verdict[0].code, NF_DROP);
	assert_int_equal(k.verdict[0].queue, 7);
	assert_int_equal(counts().malformed, 1);
	assert_int_equal(counts().lost, 0);
	kernel_send(&k, message, 10); /* the message is not complete */
	assert_int_equal(receive(64, 100), 0);
	assert_int_equal(counts().malformed, 2);
	kernel_settle(&k, program_fd);
	assert_int_equal(k.verdicts, 1);
}

/* The packet was queued before the mode was set. It is queued again, but only a limited number of times. */
static void packet_without_payload_is_queued_again(void **state)
{
	(void)state;
	atomic_store(&nfqueue(s)->requeues_left, 2);
	for (uint32_t id = 1; id <= 3; id++) {
		kernel_send(&k, message, kernel_packet(message, id, NULL, 0));
		assert_int_equal(receive(id == 1 ? 1 : 64, 100), id == 3);
	}
	kernel_settle(&k, program_fd);
	assert_int_equal(k.verdicts, 2);
	assert_int_equal(k.verdict[1].code, NF_QUEUE_NR(7));
	assert_int_equal(k.verdict[1].id, 2);
	assert_int_equal(packet[0].id, 3);
	assert_int_equal(packet[0].present & IPQ_HAS_PAYLOAD, 0);
}

static void timeout_that_is_over_before_the_poll_ends_the_receive(void **state)
{
	int64_t before = now_ms();

	(void)state;
	slow_receive = true;
	alarm(10);
	assert_int_equal(receive(64, 1), 0);
	alarm(0);
	slow_receive = false;
	assert_in_range(now_ms() - before, 5, 5000);
	before = now_ms();
	assert_int_equal(receive(1, 30), 0);
	assert_in_range(now_ms() - before, 29, 5000);
}

/* An overrun is reported once; the packets in the buffer are still received. */
static void overrun_does_not_end_a_receive(void **state)
{
	(void)state;
	deliver(1);
	receive_errno = ENOBUFS;
	assert_int_equal(receive(64, 1000), 1);
	receive_errno = ENOBUFS;
	assert_int_equal(receive(64, 0), 0);
}

static void late_answer_does_not_replace_the_awaited_one(void **state)
{
	struct nfqueue *q = nfqueue(s);

	(void)state;
	atomic_store(&q->awaited, 5);
	nfqueue_post_ack(q, 5, 0);
	nfqueue_post_ack(q, 4, EIO);
	assert_int_equal(q->answered, 5);
	assert_int_equal(q->answer, 0);
}

static void ignore(int signal)
{
	(void)signal;
}

static void signal_ends_every_receive(void **state)
{
	const struct sigaction action = { .sa_handler = ignore };
	const struct itimerval soon = { .it_interval.tv_usec = 20000, .it_value.tv_usec = 20000 };
	const struct itimerval never = { .it_value.tv_usec = 0 };

	(void)state;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(receive(i % 2 ? 64 : 1, i < 2 ? IPQ_FOREVER : 2000), -EINTR);
	setitimer(ITIMER_REAL, &never, NULL);
	signal(SIGALRM, SIG_DFL);
}

static void wake_ends_one_receive(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(s->ops->wake(s), 0);
		assert_int_equal(receive(i == 0 ? 1 : 64, IPQ_FOREVER), -ECANCELED);
		assert_int_equal(receive(64, 0), 0);
		assert_false(is_readable());
	}
}

static void wake_is_returned_after_the_packets_before_it(void **state)
{
	(void)state;
	deliver(1);
	deliver(2);
	s->ops->wake(s);
	kernel_settle(&k, program_fd);
	deliver(3);
	assert_int_equal(receive(64, 1000), 3);
	assert_int_equal(packet[2].id, 3);
	kernel_settle(&k, program_fd);
	assert_true(is_readable());
	assert_int_equal(receive(64, 0), -ECANCELED);
	assert_int_equal(receive(64, 0), 0);
	assert_int_equal(receive(64, 0), 0);
	assert_false(is_readable());
}

static void other_messages_do_not_displace_packets(void **state)
{
	(void)state;
	deliver(1);
	nfqueue_send_noop(nfqueue(s), 12345);
	kernel_settle(&k, program_fd);
	deliver(2);
	assert_int_equal(receive(64, 1000), 2);
	assert_int_equal(packet[0].id, 1);
	assert_int_equal(packet[1].id, 2);
	assert_int_equal(packet[1].payload[19], 2);
}

/* A program that learns only of changes of the descriptor (SIGIO, EPOLLET) reads until nothing is left. */
static void receive_without_waiting_goes_past_messages_for_nobody(void **state)
{
	const struct source_refusal refusal = { .error = ENOENT };

	(void)state;
	for (unsigned max = 1; max <= 64; max += 63) {
		for (unsigned i = 0; i < max; i++)
			nfqueue_send_noop(nfqueue(s), 12345);
		kernel_settle(&k, program_fd);
		deliver(1);
		assert_int_equal(receive(max, 0), 1);
		assert_int_equal(receive(max, 0), 0);
	}
	for (int acts = 0; acts <= 1; acts++) {
		acts_on_refusals = acts;
		nfqueue_defer(nfqueue(s), NULL, 0, &refusal);
		nfqueue_send_noop(nfqueue(s), SEQ_DEFERRED);
		kernel_settle(&k, program_fd);
		deliver(2);
		assert_int_equal(receive(1, 0), !acts);
		assert_int_equal(receive(1, 0), acts);
	}
	assert_int_equal(refusals, 2);
}

static void deferred_messages_come_first_and_in_order(void **state)
{
	const struct source_refusal refusal = { .error = ENOENT };

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		uint8_t long_payload[400];

		deliver(90);
		memset(long_payload, 5, sizeof(long_payload));
		for (uint32_t id = 1; id <= 3; id++)
			nfqueue_defer(nfqueue(s), message, kernel_packet(message, id, long_payload, 400),
				      NULL);
		nfqueue_defer(nfqueue(s), NULL, 0, &refusal);
		for (uint32_t id = 1; id <= 3; id++) {
			/*
			 * The call must not block: the message that announces the deferred packets may have been
			 * lost.
			 */
			int n = receive(round == 1 ? 1 : 64, IPQ_FOREVER);

			if (round == 1 && n == 1 && packet[0].id == 90)
				n = receive(1, 0);
			assert_true(n > 0);
			assert_int_equal(packet[0].id, id);
			assert_int_equal(packet[0].payload_len, 400);
			assert_int_equal(packet[0].payload[399], 5);
			id += (uint32_t)n - 1;
		}
		while (receive(64, 50) > 0)
			;
		assert_int_equal(refusals, round + 1);
		assert_int_equal(nfqueue(s)->deferred_count, 0);
		assert_int_equal(receive(64, 0), 0);
	}
}

static void slots_may_be_others_each_time(void **state)
{
	static unsigned char other[SOURCE_BATCH_MAX][512];
	struct iovec others[SOURCE_BATCH_MAX];

	(void)state;
	for (unsigned i = 0; i < SOURCE_BATCH_MAX; i++)
		others[i] = (struct iovec){ other[i], sizeof(other[i]) };
	deliver(1);
	deliver(2);
	assert_int_equal(receive(64, 1000), 2);
	memset(memory, 0xee, sizeof(memory));
	deliver(3);
	deliver(4);
	assert_int_equal(nfqueue_recv(s, others, packet, 64, 1000, refused, NULL), 2);
	assert_true(packet[1].payload > other[1] && packet[1].payload < other[2]);
	assert_int_equal(packet[1].payload[0], 4);
	assert_int_equal(memory[0][0], 0xee);
}

static void message_cut_in_a_batch_is_marked(void **state)
{
	size_t len;

	(void)state;
	deliver(1);
	len = kernel_packet(message, 2, memory[40], 200);
	kernel_send(&k, message, len - 100);
	assert_int_equal(receive(64, 1000), 2);
	assert_int_equal(packet[1].payload_len, 100);
	assert_int_equal(packet[1].full_len, 200);
	assert_int_equal(packet[1].flags & IPQ_PACKET_TRUNCATED, IPQ_PACKET_TRUNCATED);
	assert_int_equal(packet[0].flags & IPQ_PACKET_TRUNCATED, 0);
}

/* While packets arrive one at a time, recv is used; recvmmsg is used again when several packets wait. */
static void batches_come_back_after_single_packets(void **state)
{
	uint32_t id = 0;
	unsigned calls = 0;
	int n, most = 0;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		deliver(++id);
		assert_int_equal(receive(64, 1000), 1);
	}
	for (unsigned i = 0; i < 50; i++)
		deliver(++id);
	for (n = 0; n < 50; calls++) {
		int got = receive(64, 1000);

		assert_true(got > 0);
		n += got;
		most = got > most ? got : most;
	}
	assert_true(most > 20);
	assert_in_range(calls, 2, 30);
}

/* ---- sending ------------------------------------------------------------------------------------ */

/* Sends 64 verdicts. All must arrive complete, in order and with these settings. */
static void send_64(uint32_t present, size_t payload_len)
{
	struct source_verdict v[SOURCE_BATCH_MAX];
	unsigned char *payload = malloc(payload_len + 64);
	unsigned n = k.verdicts, before = n;
	int sent;

	assert_non_null(payload);
	for (unsigned i = 0; i < SOURCE_BATCH_MAX; i++)
		v[i] = (struct source_verdict){
			.id = 1000 + i,
			.code = NF_ACCEPT,
			.present = present,
			.tag = i,
			.mark = i,
			.conntrack_mark = 5,
			.conntrack_mark_mask = 7,
			.payload = payload + i,
			.payload_len = present & IPQ_SET_PAYLOAD ? payload_len : 0,
		};
	for (unsigned i = 0; i < payload_len + 64; i++)
		payload[i] = (unsigned char)(i * 3 + 1);
	for (unsigned done = 0; done < SOURCE_BATCH_MAX; done += (unsigned)sent) {
		sent = nfqueue_send(s, v + done, SOURCE_BATCH_MAX - done);
		assert_true(sent > 0);
	}
	kernel_settle(&k, program_fd);
	assert_int_equal(k.verdicts, before + SOURCE_BATCH_MAX);
	for (unsigned i = 0; i < SOURCE_BATCH_MAX; i++) {
		const struct kernel_verdict *got = &k.verdict[n++ % 256];

		assert_int_equal(got->id, 1000 + i);
		assert_int_equal(got->tag, i);
		assert_true(got->clean);
		assert_int_equal(got->has_mark, (present & IPQ_SET_MARK) != 0);
		assert_int_equal(got->mark, present & IPQ_SET_MARK ? i : 0);
		assert_int_equal(got->payload_len, v[i].payload_len);
		assert_int_equal(got->has_payload, payload_len > 0);
		if (payload_len > 0) {
			assert_int_equal(got->first, payload[i]);
			assert_int_equal(got->last, payload[i + payload_len - 1]);
		}
	}
	free(payload);
}

static void verdicts_of_any_size_arrive_whole(void **state)
{
	const uint32_t all = IPQ_SET_MARK | IPQ_SET_PRIORITY | IPQ_SET_VLAN | IPQ_SET_CONNTRACK_MARK |
			     IPQ_SET_CONNTRACK_LABELS;

	(void)state;
	send_64(0, 0);
	send_64(IPQ_SET_MARK, 0);
	send_64(all, 0);
	for (size_t len = 20; len < 24; len++) {
		send_64(IPQ_SET_PAYLOAD, len);
		send_64(all | IPQ_SET_PAYLOAD, len);
	}
	send_64(IPQ_SET_PAYLOAD, 1401);
	send_64(IPQ_SET_PAYLOAD, 30001);
	send_64(IPQ_SET_PAYLOAD, NFQ_PAYLOAD_MAX);
}

static void single_verdict_has_its_mark(void **state)
{
	struct source_verdict v = { .id = 5, .code = NF_ACCEPT, .present = IPQ_SET_MARK };

	(void)state;
	assert_int_equal(nfqueue_send(s, &v, 1), 1);
	kernel_settle(&k, program_fd);
	assert_true(k.verdict[0].has_mark);
	assert_int_equal(k.verdict[0].mark, 0);
	assert_int_equal(k.verdict[0].id, 5);
}

static void payload_too_long_for_an_attribute_is_refused(void **state)
{
	struct source_verdict v[3] = { { .id = 1, .code = NF_ACCEPT },
				       { .id = 2,
					 .code = NF_ACCEPT,
					 .present = IPQ_SET_PAYLOAD,
					 .payload = message,
					 .payload_len = NFQ_PAYLOAD_MAX + 1 },
				       { .id = 3, .code = NF_ACCEPT } };

	(void)state;
	assert_int_equal(nfqueue_send(s, v, 3), 1);
	assert_int_equal(nfqueue_send(s, v + 1, 2), -EMSGSIZE);
	kernel_settle(&k, program_fd);
	assert_int_equal(k.verdicts, 1);
}

static void interrupted_send_is_repeated(void **state)
{
	struct source_verdict v[2] = { { .id = 1, .code = NF_ACCEPT }, { .id = 2, .code = NF_ACCEPT } };

	(void)state;
	send_errno[0] = send_errno[1] = EINTR;
	assert_int_equal(nfqueue_send(s, v, 1), 1);
	send_errno[0] = send_errno[1] = EINTR;
	assert_int_equal(nfqueue_send(s, v, 2), 2);
	send_errno[0] = ENOBUFS;
	assert_int_equal(nfqueue_send(s, v, 1), -ENOBUFS);
	send_errno[0] = ENOBUFS;
	assert_int_equal(nfqueue_send(s, v, 2), -ENOBUFS);
	send_errno[0] = EINTR;
	assert_int_equal(s->ops->wake(s), 0);
	kernel_settle(&k, program_fd);
	assert_int_equal(k.verdicts, 3);
}

static void verdicts_before_a_failed_send_are_reported(void **state)
{
	struct source_verdict v[SOURCE_BATCH_MAX];
	int n;

	(void)state;
	for (unsigned i = 0; i < SOURCE_BATCH_MAX; i++)
		v[i] = (struct source_verdict){ .id = i,
						.code = NF_ACCEPT,
						.present = IPQ_SET_PAYLOAD,
						.payload = message,
						.payload_len = 30000 };
	send_errno[1] = ENOBUFS;
	n = nfqueue_send(s, v, SOURCE_BATCH_MAX);
	assert_in_range(n, 1, 5);
	kernel_settle(&k, program_fd);
	assert_int_equal(k.verdicts, n);
	assert_int_equal(k.verdict[n - 1].id, n - 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(gaps_in_ids_are_lost_packets),
		TEST(malformed_packet_is_dropped_and_counted),
		TEST(packet_without_payload_is_queued_again),
		TEST(timeout_that_is_over_before_the_poll_ends_the_receive),
		TEST(overrun_does_not_end_a_receive),
		TEST(late_answer_does_not_replace_the_awaited_one),
		TEST(signal_ends_every_receive),
		TEST(wake_ends_one_receive),
		TEST(wake_is_returned_after_the_packets_before_it),
		TEST(other_messages_do_not_displace_packets),
		TEST(receive_without_waiting_goes_past_messages_for_nobody),
		TEST(deferred_messages_come_first_and_in_order),
		TEST(slots_may_be_others_each_time),
		TEST(message_cut_in_a_batch_is_marked),
		TEST(batches_come_back_after_single_packets),
		TEST(verdicts_of_any_size_arrive_whole),
		TEST(single_verdict_has_its_mark),
		TEST(payload_too_long_for_an_attribute_is_refused),
		TEST(interrupted_send_is_repeated),
		TEST(verdicts_before_a_failed_send_are_reported),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
