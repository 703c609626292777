/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verdicts as nfnetlink_queue reads them, byte by byte. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include "nfqueue/messages.h"
#include "nfqueue/nfqueue.h"

#define PRIORITY 21 /* NFQA_PRIORITY, which some headers lack */

static void bare_verdict_has_expected_bytes(void **state)
{
	const struct source_verdict v = { .id = 0x0a0b0c0d, .code = NF_QUEUE_NR(9), .tag = 0x11223344 };
	unsigned char wire[32] = { 32, 0, 0,	0,    1, 3, 1, 0, 0x44, 0x33, 0x22, 0x11,
				   0,  0, 0,	0,    /* struct nlmsghdr */
				   0,  0, 0x12, 0x34, /* struct nfgenmsg with queue 0x1234 */
				   12, 0, 2,	0,    0, 9, 0, 3, 0x0a, 0x0b, 0x0c, 0x0d };
	unsigned char buf[NFQ_VERDICT_MAX];
	size_t padding = 99;

	(void)state;
	if (htons(1) == 1) { /* netlink's own fields are in host byte order */
		const struct nlmsghdr nlh = { 32, 0x301, 1, 0x11223344, 0 };
		const struct nlattr a = { 12, 2 };

		memcpy(wire, &nlh, sizeof(nlh));
		memcpy(wire + 20, &a, sizeof(a));
	}
	assert_int_equal(nfq_put_verdict(buf, 0x1234, &v, &padding), sizeof(wire));
	assert_memory_equal(buf, wire, sizeof(wire));
	assert_int_equal(padding, 0);
}

static void batch_verdict_differs_only_in_message_type(void **state)
{
	const struct source_verdict one = { .id = 5, .code = NF_ACCEPT },
				    all = { .id = 5, .code = NF_ACCEPT, .batch = 1 };
	unsigned char a[NFQ_VERDICT_MAX], b[NFQ_VERDICT_MAX];
	size_t padding, len = nfq_put_verdict(a, 0, &one, &padding);

	(void)state;
	assert_int_equal(nfq_put_verdict(b, 0, &all, &padding), len);
	assert_int_equal(((struct nlmsghdr *)(void *)b)->nlmsg_type,
			 NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT_BATCH);
	((struct nlmsghdr *)(void *)b)->nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT;
	assert_memory_equal(a, b, len);
}

/* Finds the value of an attribute, without the code under test; NULL: not found. */
static const unsigned char *value_of(const unsigned char *at, size_t len, unsigned type, size_t wanted)
{
	while (len >= 4) {
		struct nlattr a;
		size_t step;

		memcpy(&a, at, sizeof(a));
		assert_true(a.nla_len >= 4 && a.nla_len <= len);
		step = (a.nla_len + 3u) & ~3u;
		for (size_t i = a.nla_len; i < step && i < len; i++)
			/* uninitialised bytes of the stack must not be sent to the kernel */
			assert_int_equal(at[i], 0);
		if (a.nla_type == type) {
			assert_int_equal(a.nla_len - 4, wanted);
			return at + 4;
		}
		if (step >= len)
			return NULL;
		at += step;
		len -= step;
	}
	return NULL;
}

static const struct source_verdict everything = {
	.id = 5,
	.code = NF_ACCEPT,
	.present = IPQ_SET_MARK | IPQ_SET_PRIORITY | IPQ_SET_CONNTRACK_MARK | IPQ_SET_CONNTRACK_LABELS |
		   IPQ_SET_VLAN | IPQ_SET_PAYLOAD,
	.mark = 0x01020304,
	.priority = 0x05060708,
	.conntrack_mark = 0x11121314,
	.conntrack_mark_mask = 0xff00ff00,
	.vlan_proto = 0x88a8,
	.vlan_tci = 0x2064,
	.conntrack_labels = "fifteen letters",
	.payload = "payload",
	.payload_len = 7,
};

static void all_attributes_of_a_verdict_are_written(void **state)
{
	unsigned char buf[NFQ_VERDICT_MAX];
	const unsigned char *at, *nest;
	size_t padding, written, len;

	(void)state;
	memset(buf, 0xcc, sizeof(buf));
	written = nfq_put_verdict(buf, 0, &everything, &padding);
	assert_true(written <= NFQ_VERDICT_MAX);
	assert_int_equal(padding, 1);
	assert_int_equal(((struct nlmsghdr *)(void *)buf)->nlmsg_len, written + 8);
	/* The header of the payload's attribute is at the end. */
	assert_int_equal(((struct nlattr *)(void *)(buf + written - 4))->nla_len, 4 + 7);
	assert_int_equal(((struct nlattr *)(void *)(buf + written - 4))->nla_type, NFQA_PAYLOAD);
	at = buf + 20;
	len = written - 20 - 4;
	assert_memory_equal(value_of(at, len, NFQA_MARK, 4), "\x01\x02\x03\x04", 4);
	assert_memory_equal(value_of(at, len, PRIORITY, 4), "\x05\x06\x07\x08", 4);
	nest = value_of(at, len, NFQA_VLAN | NLA_F_NESTED, 16);
	assert_non_null(nest);
	assert_memory_equal(value_of(nest, 16, NFQA_VLAN_PROTO, 2), "\x88\xa8", 2);
	assert_memory_equal(value_of(nest, 16, NFQA_VLAN_TCI, 2), "\x20\x64", 2);
	nest = value_of(at, len, NFQA_CT | NLA_F_NESTED, 36);
	assert_non_null(nest);
	/* Without the bits outside the mask, which the kernel would xor. */
	assert_memory_equal(value_of(nest, 36, CTA_MARK, 4), "\x11\x00\x13\x00", 4);
	assert_memory_equal(value_of(nest, 36, CTA_MARK_MASK, 4), "\xff\x00\xff\x00", 4);
	assert_memory_equal(value_of(nest, 36, CTA_LABELS, 16), "fifteen letters", 16);
}

static void each_attribute_of_a_verdict_is_written_alone(void **state)
{
	static const struct {
		uint32_t present;
		unsigned type;
		size_t size;
	} all[] = {
		{ IPQ_SET_MARK, NFQA_MARK, 4 },
		{ IPQ_SET_PRIORITY, PRIORITY, 4 },
		{ IPQ_SET_VLAN, NFQA_VLAN | NLA_F_NESTED, 16 },
		{ IPQ_SET_CONNTRACK_MARK, NFQA_CT | NLA_F_NESTED, 16 },
		{ IPQ_SET_CONNTRACK_LABELS, NFQA_CT | NLA_F_NESTED, 20 },
	};
	unsigned char buf[NFQ_VERDICT_MAX];
	size_t padding;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct source_verdict v = everything;
		size_t written;

		v.present = all[i].present;
		written = nfq_put_verdict(buf, 0, &v, &padding);
		assert_int_equal(written, 32 + 4 + all[i].size);
		assert_int_equal(((struct nlmsghdr *)(void *)buf)->nlmsg_len, written);
		assert_non_null(value_of(buf + 20, written - 20, all[i].type, all[i].size));
	}
}

static void conntrack_mark_without_mask_sets_all_bits(void **state)
{
	struct source_verdict v = { .present = IPQ_SET_CONNTRACK_MARK, .conntrack_mark = 1 };
	unsigned char buf[NFQ_VERDICT_MAX];
	size_t padding, written = nfq_put_verdict(buf, 0, &v, &padding);
	const unsigned char *nest = value_of(buf + 20, written - 20, NFQA_CT | NLA_F_NESTED, 8);

	(void)state;
	assert_non_null(nest);
	assert_non_null(value_of(nest, 8, CTA_MARK, 4));
	assert_null(value_of(nest, 8, CTA_MARK_MASK, 4)); /* without a mask, the kernel changes all bits */
}

static void message_length_includes_payload_and_padding(void **state)
{
	unsigned char buf[NFQ_VERDICT_MAX];

	(void)state;
	for (size_t len = 1; len <= NFQ_PAYLOAD_MAX; len += len < 10 ? 1 : len < 65000 ? 9973 : 1) {
		struct source_verdict v = { .present = IPQ_SET_PAYLOAD, .payload = "", .payload_len = len };
		size_t padding, written = nfq_put_verdict(buf, 0, &v, &padding);
		struct nlattr a;

		memcpy(&a, buf + written - 4, sizeof(a));
		assert_int_equal(a.nla_len, len + 4);
		assert_int_equal((len + padding) % 4, 0);
		assert_true(padding < 4);
		assert_int_equal(((struct nlmsghdr *)(void *)buf)->nlmsg_len, written + len + padding);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bare_verdict_has_expected_bytes),
		cmocka_unit_test(batch_verdict_differs_only_in_message_type),
		cmocka_unit_test(all_attributes_of_a_verdict_are_written),
		cmocka_unit_test(each_attribute_of_a_verdict_is_written_alone),
		cmocka_unit_test(conntrack_mark_without_mask_sets_all_bits),
		cmocka_unit_test(message_length_includes_payload_and_padding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
