/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "nflog/messages.h"
#include "util/bytes.h"

#define PACKET ((NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_PACKET)

/* A datagram to which messages are appended. */
struct datagram {
	_Alignas(8) unsigned char bytes[4096];
	size_t len, message; /* bytes used; offset of the last message */
};

static void put(struct datagram *d, const void *bytes, size_t len)
{
	memset(d->bytes + d->len, 0, (len + 3) & ~(size_t)3);
	memcpy(d->bytes + d->len, bytes, len);
	d->len += (len + 3) & ~(size_t)3;
}

static void set_length(struct datagram *d, uint32_t len)
{
	memcpy(d->bytes + d->message, &len, sizeof(len));
}

static void begin(struct datagram *d, uint16_t type)
{
	struct nlmsghdr nlh = { .nlmsg_type = type };
	struct nfgenmsg gen = { .nfgen_family = AF_INET };

	d->message = d->len;
	put(d, &nlh, sizeof(nlh));
	if (type == PACKET)
		put(d, &gen, sizeof(gen));
	set_length(d, (uint32_t)(d->len - d->message));
}

static void attribute(struct datagram *d, uint16_t type, const void *value, size_t len)
{
	struct nlattr a = { .nla_len = (uint16_t)(NLA_HDRLEN + len), .nla_type = type };

	put(d, &a, sizeof(a));
	put(d, value, len);
	set_length(d, (uint32_t)(d->len - d->message));
}

static void number(struct datagram *d, uint16_t type, uint32_t value)
{
	value = htonl(value);
	attribute(d, type, &value, sizeof(value));
}

static void begin_packet(struct datagram *d)
{
	struct nfulnl_msg_packet_hdr header = { .hw_protocol = htons(0x0800), .hook = 3 };

	begin(d, PACKET);
	attribute(d, NFULA_PACKET_HDR, &header, sizeof(header));
}

static void parse(struct datagram *d, struct ipq_packet *p, struct nflog_message *m)
{
	nflog_parse(d->bytes, d->len, p, m);
}

static void packet_fields_are_read(void **state)
{
	static const uint8_t ip[28] = { 0x45, 0, 0, 28 };
	struct nfulnl_msg_packet_hw hw = { .hw_addrlen = htons(6),
					   .hw_addr = { 1, 2, 3, 4, 5, 6, 0xaa, 0xaa } };
	struct datagram d = { .len = 0 };
	struct nflog_message m;
	struct ipq_packet p;

	(void)state;
	begin_packet(&d);
	number(&d, NFULA_MARK, 7);
	number(&d, NFULA_IFINDEX_OUTDEV, 3);
	number(&d, NFULA_UID, 1000);
	number(&d, NFULA_SEQ, 41);
	attribute(&d, NFULA_HWADDR, &hw, sizeof(hw));
	attribute(&d, NFULA_PREFIX, "a prefix", 9);
	attribute(&d, NFULA_PAYLOAD, ip, sizeof(ip));
	parse(&d, &p, &m);
	assert_int_equal(m.kind, NFLOG_PACKET);
	assert_int_equal(m.len, d.len);
	assert_true(m.numbered);
	assert_int_equal(m.seq, 41);
	assert_int_equal(p.present,
			 IPQ_HAS_MARK | IPQ_HAS_OUTDEV | IPQ_HAS_UID | IPQ_HAS_HWADDR | IPQ_HAS_PAYLOAD);
	assert_int_equal(p.family, AF_INET);
	assert_int_equal(p.hook, 3);
	assert_int_equal(p.hw_protocol, 0x0800);
	assert_int_equal(p.mark, 7);
	assert_int_equal(p.outdev, 3);
	assert_int_equal(p.uid, 1000);
	assert_int_equal(p.hw_addr_len, 6);
	/* the undefined bytes after the address were cleared */
	assert_memory_equal(p.hw_addr, "\1\2\3\4\5\6\0\0", 8);
	assert_int_equal(p.payload_len, 28);
	assert_int_equal(p.full_len, 28);
	assert_int_equal(p.flags, 0);
}

static void other_fields_are_read(void **state)
{
	/* Big-endian time: 1,234,567,890 s and 654,321 us. */
	static const uint8_t time[16] = { 0, 0, 0, 0, 0x49, 0x96, 0x02, 0xd2, 0, 0, 0, 0, 0, 9, 0xfb, 0xf1 };
	/* Nested attributes: the protocol, one that is too short, and the tag. */
	static const uint8_t vlan[] = { 0, 6, 0, NFULA_VLAN_PROTO, 0x81, 0,    0, 0,
					0, 5, 0, NFULA_VLAN_TCI,   0xee, 0,    0, 0,
					0, 6, 0, NFULA_VLAN_TCI,   0x20, 0x64, 0, 0 };
	struct nfulnl_msg_packet_hw hw = { .hw_addrlen = htons(20), .hw_addr = { 1, 2, 3, 4, 5, 6, 7, 8 } };
	uint8_t native[sizeof(vlan)];
	struct datagram d = { .len = 0 };
	struct nflog_message m;
	struct ipq_packet p;

	(void)state;
	memcpy(native, vlan, sizeof(vlan));
	for (size_t at = 0; at < sizeof(native); at += 8) {
		uint16_t head[2] = { get16(vlan + at), get16(vlan + at + 2) };

		memcpy(native + at, head, sizeof(head));
	}
	begin_packet(&d);
	attribute(&d, NFULA_TIMESTAMP, time, sizeof(time));
	attribute(&d, NFULA_HWADDR, &hw, sizeof(hw));
	attribute(&d, NFULA_VLAN, native, sizeof(native));
	number(&d, NFULA_IFINDEX_INDEV, 11);
	number(&d, NFULA_IFINDEX_OUTDEV, 12);
	number(&d, NFULA_IFINDEX_PHYSINDEV, 13);
	number(&d, NFULA_IFINDEX_PHYSOUTDEV, 14);
	number(&d, NFULA_UID, 15);
	number(&d, NFULA_GID, 16);
	number(&d, NFULA_CT_INFO, 17);
	attribute(&d, NFULA_MARK, "abc", 3);
	parse(&d, &p, &m);
	assert_int_equal(m.kind, NFLOG_PACKET);
	assert_int_equal(p.timestamp, INT64_C(1234567890654321000));
	assert_int_equal(p.hw_addr_len, 8);
	assert_memory_equal(p.hw_addr, "\1\2\3\4\5\6\7\10", 8);
	assert_int_equal(p.vlan_proto, 0x8100);
	assert_int_equal(p.vlan_tci, 0x2064);
	assert_int_equal(p.indev, 11);
	assert_int_equal(p.outdev, 12);
	assert_int_equal(p.physindev, 13);
	assert_int_equal(p.physoutdev, 14);
	assert_int_equal(p.uid, 15);
	assert_int_equal(p.gid, 16);
	assert_int_equal(p.conntrack_info, 17);
	assert_false(p.present & IPQ_HAS_MARK);
}

/* A tag of one byte is ignored. */
static void short_vlan_is_ignored(void **state)
{
	const struct nlattr tag = { .nla_len = 5, .nla_type = NFULA_VLAN_TCI };
	uint8_t nested[8] = { 0 };
	struct datagram d = { .len = 0 };
	struct nflog_message m;
	struct ipq_packet p;

	(void)state;
	memcpy(nested, &tag, sizeof(tag));
	nested[4] = 0xee;
	begin_packet(&d);
	attribute(&d, NFULA_VLAN, nested, sizeof(nested));
	parse(&d, &p, &m);
	assert_false(p.present & IPQ_HAS_VLAN);
}

static void cut_packet_has_the_length_in_its_header(void **state)
{
	static const uint8_t ipv4[6] = { 0x45, 0, 0x10, 0x01 }, ipv6[6] = { 0x60, 0, 0, 0, 0x01, 0x00 };
	static const uint8_t jumbo[6] = { 0x60 };
	struct datagram d = { .len = 0 }, d6 = { .len = 0 }, dj = { .len = 0 };
	struct nflog_message m;
	struct ipq_packet p;

	(void)state;
	begin_packet(&d);
	attribute(&d, NFULA_PAYLOAD, ipv4, sizeof(ipv4));
	parse(&d, &p, &m);
	assert_int_equal(p.full_len, 0x1001);
	assert_true(p.flags & IPQ_PACKET_TRUNCATED);
	begin_packet(&d6);
	attribute(&d6, NFULA_PAYLOAD, ipv6, sizeof(ipv6));
	parse(&d6, &p, &m);
	assert_int_equal(p.full_len, 0x100 + 40);
	begin_packet(&dj);
	attribute(&dj, NFULA_PAYLOAD, jumbo, sizeof(jumbo));
	parse(&dj, &p, &m);
	assert_int_equal(p.full_len, sizeof(jumbo));
}

/*
 * The length in a header is used only if it is plausible: the first two bytes of a packet do not contain it, and it
 * may be less than the number of bytes.
 */
static void other_lengths_are_those_of_the_payload(void **state)
{
	static const uint8_t two[2] = { 0x45, 0 }, longer[24] = { 0x45, 0, 0, 20 };
	struct datagram d = { .len = 0 }, dl = { .len = 0 };
	struct nflog_message m;
	struct ipq_packet p;

	(void)state;
	begin_packet(&d);
	attribute(&d, NFULA_PAYLOAD, two, sizeof(two));
	memset(d.bytes + d.len, 0xee, 8);
	memset(d.bytes + d.len - 2, 0xee, 2); /* the padding of the last attribute */
	parse(&d, &p, &m);
	assert_int_equal(p.full_len, 2);
	begin_packet(&dl);
	attribute(&dl, NFULA_PAYLOAD, longer, sizeof(longer));
	parse(&dl, &p, &m);
	assert_int_equal(p.full_len, 24);
	assert_int_equal(p.flags, 0);
}

/* The next message begins at a multiple of 4. */
static void messages_are_aligned(void **state)
{
	struct datagram d = { .len = 0 };
	struct nflog_message m;
	struct ipq_packet p;

	(void)state;
	begin_packet(&d);
	attribute(&d, NFULA_PAYLOAD, "12345", 5);
	set_length(&d, (uint32_t)d.len - 3);
	begin_packet(&d);
	parse(&d, &p, &m);
	assert_int_equal(m.kind, NFLOG_PACKET);
	assert_int_equal(m.len, d.message);
}

static void messages_of_one_datagram_are_read_in_turn(void **state)
{
	struct datagram d = { .len = 0 };
	struct nflog_message m;
	struct ipq_packet p;
	size_t at = 0;

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		begin_packet(&d);
		number(&d, NFULA_SEQ, i);
	}
	begin(&d, NLMSG_DONE);
	for (uint32_t i = 0; i < 3; i++) {
		nflog_parse(d.bytes + at, d.len - at, &p, &m);
		assert_int_equal(m.kind, NFLOG_PACKET);
		assert_int_equal(m.seq, i);
		at += m.len;
	}
	nflog_parse(d.bytes + at, d.len - at, &p, &m);
	assert_int_equal(m.kind, NFLOG_OTHER);
	assert_int_equal(at + m.len, d.len);
}

static void message_length_beyond_datagram_is_rejected(void **state)
{
	static const uint32_t lengths[] = { 0, 15, 4000, 0x80000000, 0xfffffffd, 0xffffffff };
	struct nflog_message m;
	struct ipq_packet p;

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct datagram d = { .len = 0 };

		begin_packet(&d);
		set_length(&d, lengths[i]);
		parse(&d, &p, &m);
		assert_int_equal(m.kind, NFLOG_MALFORMED);
		assert_int_equal(m.len, d.len); /* the position of a message after it is unknown */
	}
}

static void attribute_length_beyond_message_ends_the_message(void **state)
{
	struct nlattr long_one = { .nla_len = 200, .nla_type = NFULA_MARK };
	struct datagram d = { .len = 0 };
	struct nflog_message m;
	struct ipq_packet p;

	(void)state;
	begin_packet(&d);
	attribute(&d, NFULA_UID, "\0\0", 2); /* an attribute that is too short for its type is skipped */
	put(&d, &long_one, sizeof(long_one));
	set_length(&d, (uint32_t)d.len);
	parse(&d, &p, &m);
	assert_int_equal(m.kind, NFLOG_PACKET);
	assert_int_equal(p.present, 0);
}

/*
 * The message ends at its own length, even if this is not a multiple of four. The next one begins at the next
 * multiple of four.
 */
static void attribute_beyond_an_odd_length_ends_the_message(void **state)
{
	const unsigned char hardware[12] = { 0, 6, 0, 0, 2 };
	struct datagram d = { .len = 0 };
	struct nflog_message m;
	struct ipq_packet p;

	(void)state;
	begin_packet(&d);
	attribute(&d, NFULA_HWADDR, hardware, sizeof(hardware));
	set_length(&d, (uint32_t)d.len - 1);
	parse(&d, &p, &m);
	assert_int_equal(m.kind, NFLOG_PACKET);
	assert_int_equal(p.present & IPQ_HAS_HWADDR, 0);
}

static void packet_without_header_is_malformed(void **state)
{
	struct datagram d = { .len = 0 };
	struct nflog_message m;
	struct ipq_packet p;

	(void)state;
	begin(&d, PACKET);
	number(&d, NFULA_MARK, 1);
	parse(&d, &p, &m);
	assert_int_equal(m.kind, NFLOG_MALFORMED);
}

static void answer_has_error_and_number_of_the_request(void **state)
{
	struct nlmsgerr answer = { .error = -EPERM, .msg = { .nlmsg_seq = 9, .nlmsg_type = 0x401 } };
	struct datagram d = { .len = 0 };
	struct nflog_message m;
	struct ipq_packet p;

	(void)state;
	begin(&d, NLMSG_ERROR);
	put(&d, &answer, sizeof(answer));
	set_length(&d, (uint32_t)d.len);
	parse(&d, &p, &m);
	assert_int_equal(m.kind, NFLOG_ACK);
	assert_int_equal(m.error, EPERM);
	assert_int_equal(m.seq, 9);
	assert_int_equal(m.type, 0x401);
}

static void answer_with_an_error_that_is_none_is_malformed(void **state)
{
	static const int errors[] = { 1, EPERM, -4096, INT32_MIN };
	struct nflog_message m;
	struct ipq_packet p;

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct nlmsgerr answer = { .error = errors[i] };
		struct datagram d = { .len = 0 };

		begin(&d, NLMSG_ERROR);
		put(&d, &answer, sizeof(answer));
		set_length(&d, (uint32_t)d.len);
		parse(&d, &p, &m);
		assert_int_equal(m.kind, NFLOG_MALFORMED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packet_fields_are_read),
		cmocka_unit_test(other_fields_are_read),
		cmocka_unit_test(short_vlan_is_ignored),
		cmocka_unit_test(other_lengths_are_those_of_the_payload),
		cmocka_unit_test(messages_are_aligned),
		cmocka_unit_test(answer_with_an_error_that_is_none_is_malformed),
		cmocka_unit_test(cut_packet_has_the_length_in_its_header),
		cmocka_unit_test(messages_of_one_datagram_are_read_in_turn),
		cmocka_unit_test(message_length_beyond_datagram_is_rejected),
		cmocka_unit_test(attribute_length_beyond_message_ends_the_message),
		cmocka_unit_test(attribute_beyond_an_odd_length_ends_the_message),
		cmocka_unit_test(packet_without_header_is_malformed),
		cmocka_unit_test(answer_has_error_and_number_of_the_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
