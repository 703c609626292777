// SPDX-License-Identifier: LGPL-2.1-or-later
/* The classic calls on a queue of their own: each message that they send to the kernel, and what they make of its. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h> /* before <linux/netfilter.h> */
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <libipq.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "kernel.h"
#include "util/clock.h"

#define QUEUE 300 /* more than 8 bits */
#define HEAD (sizeof(struct nlmsghdr) + sizeof(ipq_packet_msg_t))

static struct kernel k;
static struct ipq_handle *h;
static unsigned char message[70000], buf[70000];

/* The socket of the handle's source leads to this test's kernel. */
int __wrap_netlink_open(bool *absent);
int __wrap_netlink_open(bool *absent)
{
	*absent = false;
	return kernel_open(&k);
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
	kernel_close(&k);
	return 0;
}

static void deliver(uint32_t id, const void *payload, size_t len)
{
	kernel_send(&k, message, kernel_packet(message, id, payload, len));
}

/* The verdict that the kernel got last. */
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

/* An error message that quotes a request of the program: its type is mode or verdict. */
static void expect_refusal(int error, uint16_t type)
{
	struct nlmsghdr quoted;

	assert_true(ipq_read(h, buf, sizeof(buf), 1000000) > 0);
	assert_int_equal(ipq_message_type(buf), NLMSG_ERROR);
	assert_int_equal(ipq_get_msgerr(buf), error);
	memcpy(&quoted, buf + sizeof(struct nlmsghdr) + 4, sizeof(quoted));
	assert_int_equal(quoted.nlmsg_type, type);
}

static void modes_reach_the_kernel(void **state)
{
	(void)state;
	assert_true(ipq_set_mode(h, IPQ_COPY_META, 99) > 0);
	assert_int_equal(find_mode()->mode, NFQNL_COPY_META + 1);
	assert_int_equal(find_mode()->range, 0);
	assert_int_equal(find_mode()->queue, QUEUE);
	assert_true(ipq_set_mode(h, IPQ_COPY_PACKET, 77) > 0);
	assert_int_equal(find_mode()->mode, NFQNL_COPY_PACKET + 1);
	assert_int_equal(find_mode()->range, 77);
	assert_true(ipq_set_mode(h, IPQ_COPY_PACKET, 70000) > 0);
	assert_int_equal(find_mode()->range, 0); /* 65,535, which is the whole packet */
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
	assert_int_equal(n, HEAD + 24); /* rounded */
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
	assert_int_equal(buf[n], 0xee);
	assert_int_equal(stats().packets, 1);
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
		    { NF_STOLEN, NF_DROP }, /* the kernel would refuse it, and the packet wait */
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
	(void)state;
	assert_true(ipq_set_verdict(h, 1, NF_MAX_VERDICT + 1, 0, NULL) > 0);
	expect_refusal(EINVAL, IPQM_VERDICT);
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
	ipq_set_verdict(h, 2, NF_ACCEPT, 19, message); /* no header fits: the packet stays as it is */
	assert_false(last().has_payload);
	assert_int_equal(last().code, NF_ACCEPT);
	ipq_set_verdict(h, 3, NF_DROP, 20, message);
	assert_false(last().has_payload);
	ipq_set_verdict(h, 4, NF_ACCEPT, 65536, message); /* longer than any packet */
	assert_int_equal(last().code, NF_DROP);
	assert_false(last().has_payload);
	ipq_set_verdict(h, 5, NF_ACCEPT, 20, NULL);
	assert_false(last().has_payload);
	assert_int_equal(ipq_set_verdict(h, 6, NF_ACCEPT, NFQ_PAYLOAD_MAX + 1, message), -1);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(stats().verdicts, 5);
}

/* The kernel's answer to a verdict: it quotes the message. */
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
	assert_int_equal(k.requests, before); /* the queue is not taken yet */
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
	assert_int_equal(ipq_ctl(h, IPQ_CTL_QUEUE_LENGTH, 700U), 0); /* without what was refused */
	assert_int_equal(find_length()->length, 700);
	assert_true(ipq_ctl(h, IPQ_CTL_RECEIVE_BUFFER, 65536U) >= 65536);
	assert_int_equal(ipq_ctl(h, 0x7777), -1);
	assert_int_equal(errno, ENOTSUP);
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
			message[sizeof(struct nlmsghdr)] = AF_INET6; /* nobody reads these: dropped */
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
	assert_int_equal(ipq_ctl(h, IPQ_CTL_BATCH, 1U), 0); /* sends them */
	kernel_settle(&k, h->fd);
	assert_int_equal(k.verdicts, 4);
	assert_int_equal(k.verdict[1].code, NF_QUEUE_NR(QUEUE));
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(k.verdict[i].code, i == 1 ? NF_QUEUE_NR(QUEUE) : NF_DROP);
	assert_int_equal(stats().foreign, 1);
	assert_int_equal(ipq_read(h, buf, sizeof(buf), 10000), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(modes_reach_the_kernel),
		TEST(unknown_mode_is_refused_by_a_message),
		TEST(mode_that_the_kernel_refuses_is_an_error_and_a_message),
		TEST(packet_is_read_as_a_message_of_ip_queue),
		TEST(read_times_out),
		TEST(verdicts_reach_the_kernel),
		TEST(verdicts_that_ip_queue_refused_are_not_sent),
		TEST(replacements_are_those_that_ip_queue_accepted),
		TEST(refused_verdict_is_read_as_a_message),
		TEST(settings_apply_before_and_after_the_mode),
		TEST(statistics_of_an_older_program_are_filled_in),
		TEST(second_handle_of_the_family_is_refused),
		TEST(batch_is_read_packet_by_packet_and_decided_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
