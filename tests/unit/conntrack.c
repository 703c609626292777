/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Conntrack entries built byte by byte, in memory of exactly their size. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <ipq.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>

struct entry {
	unsigned char bytes[512];
	size_t len;
};

static void attribute(struct entry *e, unsigned type, const void *value, size_t len)
{
	struct nlattr a = { .nla_len = (uint16_t)(NLA_HDRLEN + len), .nla_type = (uint16_t)type };

	assert_true(e->len + NLA_HDRLEN + NLA_ALIGN(len) <= sizeof(e->bytes));
	memcpy(e->bytes + e->len, &a, sizeof(a));
	memset(e->bytes + e->len + NLA_HDRLEN, 0, NLA_ALIGN(len));
	memcpy(e->bytes + e->len + NLA_HDRLEN, value, len);
	e->len += NLA_HDRLEN + NLA_ALIGN(len);
}

static void attribute32(struct entry *e, unsigned type, uint32_t value)
{
	value = htonl(value);
	attribute(e, type, &value, sizeof(value));
}

static void attribute16(struct entry *e, unsigned type, uint16_t value)
{
	value = htons(value);
	attribute(e, type, &value, sizeof(value));
}

static void nest(struct entry *e, unsigned type, const struct entry *inner)
{
	attribute(e, type | NLA_F_NESTED, inner->bytes, inner->len);
}

static void tuple4(struct entry *e, unsigned type, const char *source, const char *destination, uint16_t from,
		   uint16_t to)
{
	struct entry ip = { .len = 0 }, proto = { .len = 0 }, tuple = { .len = 0 };
	uint8_t protocol = IPPROTO_TCP;

	attribute(&ip, CTA_IP_V4_SRC, source, 4);
	attribute(&ip, CTA_IP_V4_DST, destination, 4);
	attribute(&proto, CTA_PROTO_NUM, &protocol, 1);
	attribute16(&proto, CTA_PROTO_SRC_PORT, from);
	attribute16(&proto, CTA_PROTO_DST_PORT, to);
	nest(&tuple, CTA_TUPLE_IP, &ip);
	nest(&tuple, CTA_TUPLE_PROTO, &proto);
	nest(e, type, &tuple);
}

static void tcp_state(struct entry *e, uint8_t state)
{
	struct entry tcp = { .len = 0 }, info = { .len = 0 };

	attribute(&tcp, CTA_PROTOINFO_TCP_WSCALE_ORIGINAL, "\7", 1);
	attribute(&tcp, CTA_PROTOINFO_TCP_STATE, &state, 1);
	nest(&info, CTA_PROTOINFO_TCP, &tcp);
	nest(e, CTA_PROTOINFO, &info);
}

static void make_rich(struct entry *e)
{
	e->len = 0;
	tuple4(e, CTA_TUPLE_ORIG, "\x0a\x00\x00\x01", "\x0a\x00\x00\x02", 40000, 80);
	tuple4(e, CTA_TUPLE_REPLY, "\x0a\x00\x00\x02", "\xc0\xa8\x00\x01", 80, 40001);
	attribute32(e, CTA_STATUS, 0x0000018e);
	attribute32(e, CTA_TIMEOUT, 431999);
	attribute32(e, CTA_MARK, 0xaabbccdd);
	attribute(e, CTA_LABELS, "sixteen of them!", 16);
	attribute32(e, CTA_ID, 0x12345678);
	attribute16(e, CTA_ZONE, 7);
	tcp_state(e, TCP_CONNTRACK_ESTABLISHED);
	attribute(e, 60, "from a newer kernel", 19);
}

/* Reads an entry from memory of exactly its size. Fills in ct. */
static int read_entry(const void *bytes, size_t len, struct ipq_conntrack *ct)
{
	void *memory = malloc(len + !len);
	struct ipq_packet p = { .present = IPQ_HAS_CONNTRACK,
				.conntrack = memory,
				.conntrack_len = (uint16_t)len };
	int ret;

	assert_non_null(memory);
	memcpy(memory, bytes, len);
	ret = ipq_packet_conntrack(&p, ct);
	free(memory);
	return ret;
}

static void every_field_of_an_entry_is_read(void **state)
{
	struct ipq_conntrack ct = { .size = sizeof(ct) };
	struct entry e;

	(void)state;
	make_rich(&e);
	assert_int_equal(read_entry(e.bytes, e.len, &ct), 0);
	assert_int_equal(ct.present, IPQ_CT_HAS_ID | IPQ_CT_HAS_STATUS | IPQ_CT_HAS_MARK |
					     IPQ_CT_HAS_TIMEOUT | IPQ_CT_HAS_ZONE | IPQ_CT_HAS_TCP_STATE |
					     IPQ_CT_HAS_ORIGINAL | IPQ_CT_HAS_REPLY | IPQ_CT_HAS_LABELS);
	assert_int_equal(ct.size, sizeof(ct));
	assert_int_equal(ct.id, 0x12345678);
	assert_int_equal(ct.status, 0x18e);
	assert_int_equal(ct.mark, 0xaabbccdd);
	assert_int_equal(ct.timeout, 431999);
	assert_int_equal(ct.zone, 7);
	assert_int_equal(ct.tcp_state, TCP_CONNTRACK_ESTABLISHED);
	assert_memory_equal(ct.labels, "sixteen of them!", 16);
	assert_int_equal(ct.original.family, AF_INET);
	assert_int_equal(ct.original.protocol, IPPROTO_TCP);
	assert_memory_equal(ct.original.source, "\x0a\x00\x00\x01\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_memory_equal(ct.original.destination, "\x0a\x00\x00\x02", 4);
	assert_int_equal(ct.original.source_port, 40000);
	assert_int_equal(ct.original.destination_port, 80);
	assert_memory_equal(ct.reply.destination, "\xc0\xa8\x00\x01", 4);
	assert_int_equal(ct.reply.destination_port, 40001);
}

static void ipv6_and_icmp_tuples_are_read(void **state)
{
	const char six[] = "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1";
	struct entry e = { .len = 0 }, ip = { .len = 0 }, proto = { .len = 0 }, tuple = { .len = 0 };
	struct ipq_conntrack ct = { .size = sizeof(ct) };

	(void)state;
	attribute(&ip, CTA_IP_V6_SRC, six, 16);
	attribute(&ip, CTA_IP_V6_DST, six, 16);
	attribute(&proto, CTA_PROTO_NUM, "\x3a", 1);
	attribute16(&proto, CTA_PROTO_ICMPV6_ID, 0xbeef);
	attribute(&proto, CTA_PROTO_ICMPV6_TYPE, "\x80", 1);
	attribute(&proto, CTA_PROTO_ICMPV6_CODE, "\x01", 1);
	nest(&tuple, CTA_TUPLE_IP, &ip);
	nest(&tuple, CTA_TUPLE_PROTO, &proto);
	nest(&e, CTA_TUPLE_ORIG, &tuple);
	assert_int_equal(read_entry(e.bytes, e.len, &ct), 0);
	assert_int_equal(ct.present, IPQ_CT_HAS_ORIGINAL);
	assert_int_equal(ct.original.family, AF_INET6);
	assert_memory_equal(ct.original.source, six, 16);
	assert_memory_equal(ct.original.destination, six, 16);
	assert_int_equal(ct.original.protocol, IPPROTO_ICMPV6);
	assert_int_equal(ct.original.source_port, 0xbeef);
	assert_int_equal(ct.original.icmp_type, 0x80);
	assert_int_equal(ct.original.icmp_code, 1);
}

static void packet_without_entry_returns_enodata(void **state)
{
	struct ipq_conntrack ct = { .size = sizeof(ct) };
	struct ipq_packet p = { .present = ~(uint32_t)IPQ_HAS_CONNTRACK };

	(void)state;
	assert_int_equal(ipq_packet_conntrack(&p, &ct), -ENODATA);
	assert_int_equal(read_entry("", 0, &ct), 0); /* an empty entry */
	assert_int_equal(ct.present, 0);
}

static void unchanged_after(int expected, const struct entry *e, size_t len)
{
	struct ipq_conntrack ct, before;

	memset(&ct, 0x5a, sizeof(ct));
	ct.size = sizeof(ct);
	memcpy(&before, &ct, sizeof(ct));
	assert_int_equal(read_entry(e->bytes, len, &ct), expected);
	assert_memory_equal(&ct, &before, sizeof(ct));
}

static bool ends_attribute(const struct entry *e, size_t len)
{
	size_t at = 0;

	while (at < len) {
		struct nlattr a;

		memcpy(&a, e->bytes + at, sizeof(a));
		if (at + a.nla_len <= len && len <= at + NLA_ALIGN(a.nla_len))
			return true; /* the padding of the last attribute may be missing */
		at += NLA_ALIGN(a.nla_len);
	}
	return len == 0;
}

static void entry_truncated_inside_attribute_is_rejected(void **state)
{
	struct entry e;

	(void)state;
	make_rich(&e);
	for (size_t len = 0; len <= e.len; len++) {
		struct ipq_conntrack ct = { .size = sizeof(ct) };

		if (ends_attribute(&e, len))
			assert_int_equal(read_entry(e.bytes, len, &ct), 0);
		else
			unchanged_after(-EBADMSG, &e, len);
	}
}

static void short_numbers_are_rejected(void **state)
{
	static const struct {
		unsigned type;
		size_t size;
	} numbers[] = {
		{ CTA_STATUS, 4 }, { CTA_TIMEOUT, 4 }, { CTA_MARK, 4 }, { CTA_ID, 4 }, { CTA_ZONE, 2 }
	};

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		for (size_t size = 0; size < numbers[i].size; size++) {
			struct entry e = { .len = 0 };

			attribute(&e, numbers[i].type, "\0\0\0", size);
			unchanged_after(-EBADMSG, &e, e.len);
		}
	}
}

static void short_addresses_and_ports_are_rejected(void **state)
{
	static const struct {
		unsigned where, type;
		size_t size;
	} fields[] = {
		{ CTA_TUPLE_IP, CTA_IP_V4_SRC, 4 },	    { CTA_TUPLE_IP, CTA_IP_V4_DST, 4 },
		{ CTA_TUPLE_IP, CTA_IP_V6_SRC, 16 },	    { CTA_TUPLE_IP, CTA_IP_V6_DST, 16 },
		{ CTA_TUPLE_PROTO, CTA_PROTO_NUM, 1 },	    { CTA_TUPLE_PROTO, CTA_PROTO_SRC_PORT, 2 },
		{ CTA_TUPLE_PROTO, CTA_PROTO_DST_PORT, 2 }, { CTA_TUPLE_PROTO, CTA_PROTO_ICMP_TYPE, 1 },
	};
	static const unsigned char bytes[16];

	(void)state;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		struct entry e = { .len = 0 }, tuple = { .len = 0 }, inner = { .len = 0 };

		attribute(&inner, fields[i].type, bytes, fields[i].size - 1);
		nest(&tuple, fields[i].where, &inner);
		nest(&e, CTA_TUPLE_REPLY, &tuple);
		unchanged_after(-EBADMSG, &e, e.len);
	}
}

static void nested_attribute_of_wrong_length_is_rejected(void **state)
{
	static const unsigned char bad[][8] = {
		{ 0 }, /* length 0 must not cause an endless loop */
		{ 3, 0, 1, 0 },
		{ 12, 0, 1, 0, 0, 0, 0, 0 }, /* a nested attribute longer than the outer one */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct entry e = { .len = 0 }, tuple = { .len = 0 };

		attribute(&tuple, CTA_TUPLE_IP | NLA_F_NESTED, bad[i], sizeof(bad[i]));
		nest(&e, CTA_TUPLE_ORIG, &tuple);
		unchanged_after(-EBADMSG, &e, e.len);
		e.len = 0;
		attribute(&e, CTA_PROTOINFO | NLA_F_NESTED, bad[i], sizeof(bad[i]));
		unchanged_after(-EBADMSG, &e, e.len);
	}
}

static void labels_longer_than_the_field_are_cut(void **state)
{
	static const unsigned char ones[40] = { [0 ... 39] = 0xff };

	(void)state;
	for (size_t len = 0; len <= sizeof(ones); len += 4) {
		struct ipq_conntrack ct = { .size = sizeof(ct) };
		struct entry e = { .len = 0 };

		attribute(&e, CTA_LABELS, ones, len);
		assert_int_equal(read_entry(e.bytes, e.len, &ct), 0);
		for (size_t i = 0; i < sizeof(ct.labels); i++)
			assert_int_equal(ct.labels[i], i < len ? 0xff : 0);
	}
}

static void struct_of_older_program_is_not_overrun(void **state)
{
	struct ipq_conntrack ct;
	unsigned char *bytes = (unsigned char *)&ct;
	size_t old = offsetof(struct ipq_conntrack, zone);
	struct entry e;

	(void)state;
	make_rich(&e);
	memset(&ct, 0x5a, sizeof(ct));
	ct.size = old;
	assert_int_equal(read_entry(e.bytes, e.len, &ct), 0);
	assert_int_equal(ct.size, old);
	assert_int_equal(ct.mark, 0xaabbccdd);
	for (size_t i = old; i < sizeof(ct); i++)
		assert_int_equal(bytes[i], 0x5a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_of_an_entry_is_read),
		cmocka_unit_test(ipv6_and_icmp_tuples_are_read),
		cmocka_unit_test(packet_without_entry_returns_enodata),
		cmocka_unit_test(entry_truncated_inside_attribute_is_rejected),
		cmocka_unit_test(short_numbers_are_rejected),
		cmocka_unit_test(short_addresses_and_ports_are_rejected),
		cmocka_unit_test(nested_attribute_of_wrong_length_is_rejected),
		cmocka_unit_test(labels_longer_than_the_field_are_cut),
		cmocka_unit_test(struct_of_older_program_is_not_overrun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
