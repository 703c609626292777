/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nfnetlink_queue's messages byte by byte. Messages are parsed in memory of exactly their size, so that a sanitizer or
 * valgrind finds an overread of one byte.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include "nfqueue/messages.h"

/* A number of 16 bits in our own byte order, as two bytes of an initializer. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define NATIVE16(n) (n) >> 8, (n)&255
#else
#define NATIVE16(n) (n) & 255, (n) >> 8
#endif
#define PRIORITY 21 /* NFQA_PRIORITY and NFQA_CGROUP_CLASSID, which some headers lack */
#define CGROUP 22

struct message {
	unsigned char bytes[4096];
	size_t len;
};

static void append(struct message *m, const void *bytes, size_t len)
{
	assert_true(m->len + len <= sizeof(m->bytes));
	memcpy(m->bytes + m->len, bytes, len);
	m->len += len;
}

static void pad(struct message *m)
{
	while (m->len % 4 != 0)
		m->bytes[m->len++] = 0xee; /* padding with a value, which must be ignored */
}

/* Appends an attribute. The last one has no padding, because the kernel ends a message with the payload. */
static void attribute(struct message *m, unsigned type, const void *value, size_t len)
{
	struct nlattr a = { .nla_len = (uint16_t)(NLA_HDRLEN + len), .nla_type = (uint16_t)type };

	pad(m);
	append(m, &a, sizeof(a));
	append(m, value, len);
}

static void attribute32(struct message *m, unsigned type, uint32_t value)
{
	value = htonl(value);
	attribute(m, type, &value, sizeof(value));
}

static void begin(struct message *m, unsigned type)
{
	struct nlmsghdr nlh = { .nlmsg_type = (uint16_t)type };
	struct nfgenmsg gen = { .nfgen_family = AF_INET6, .res_id = htons(7) };

	m->len = 0;
	append(m, &nlh, sizeof(nlh));
	append(m, &gen, sizeof(gen));
}

static void begin_packet(struct message *m, uint32_t id)
{
	struct nfqnl_msg_packet_hdr hdr = { .packet_id = htonl(id), .hw_protocol = htons(0x86dd), .hook = 3 };

	begin(m, NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET);
	attribute(m, NFQA_PACKET_HDR, &hdr, sizeof(hdr));
}

static void end(struct message *m)
{
	((struct nlmsghdr *)(void *)m->bytes)->nlmsg_len = (uint32_t)m->len;
}

/* A parsed message and the memory of exactly len bytes that it points into. */
struct parsed {
	unsigned char *memory;
	struct ipq_packet p;
	struct nfq_reply r;
};

static struct parsed parse(const struct message *m, size_t len)
{
	struct parsed d = { .memory = malloc(len + !len) };

	assert_non_null(d.memory);
	memcpy(d.memory, m->bytes, len);
	memset(&d.p, 0xa5, sizeof(d.p)); /* the struct may contain old data of the program */
	nfq_parse(d.memory, len, &d.p, &d.r);
	return d;
}

static void make_rich(struct message *m)
{
	const uint8_t hw[12] = { 0, 6, 0, 0, 2, 4, 6, 8, 10, 12, 0x55, 0x55 };
	const uint8_t stamp[16] = { 0, 0, 0, 0, 0x65, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x03, 0xe8 };
	/* The flag in the type is not a part of the type. */
	const uint8_t vlan[] = {
		NATIVE16(6), NATIVE16(NFQA_VLAN_TCI | NLA_F_NET_BYTEORDER),   0xa0, 0x64, 0, 0,
		NATIVE16(6), NATIVE16(NFQA_VLAN_PROTO | NLA_F_NET_BYTEORDER), 0x88, 0xa8, 0, 0
	};

	begin_packet(m, 0x01020304);
	attribute32(m, NFQA_MARK, 0xaabbccdd);
	attribute(m, NFQA_TIMESTAMP, stamp, sizeof(stamp));
	attribute32(m, NFQA_IFINDEX_INDEV, 11);
	attribute32(m, NFQA_IFINDEX_OUTDEV, 12);
	attribute32(m, NFQA_IFINDEX_PHYSINDEV, 13);
	attribute32(m, NFQA_IFINDEX_PHYSOUTDEV, 14);
	attribute(m, NFQA_HWADDR, hw, sizeof(hw));
	attribute(m, NFQA_CT | NLA_F_NESTED, "conntrac", 8);
	attribute32(m, NFQA_CT_INFO, 5);
	attribute32(m, NFQA_CAP_LEN, 1500);
	attribute32(m, NFQA_SKB_INFO, NFQA_SKB_CSUMNOTREADY | NFQA_SKB_GSO | 1 << 30);
	attribute(m, NFQA_EXP | NLA_F_NESTED, "expectation.", 12);
	attribute32(m, NFQA_UID, 1000);
	attribute32(m, NFQA_GID, 1001);
	attribute(m, NFQA_SECCTX, "user:role", 9);
	attribute(m, NFQA_VLAN | NLA_F_NESTED, vlan, sizeof(vlan));
	attribute(m, NFQA_L2HDR, "link header 14", 14);
	attribute32(m, PRIORITY, 0x10002);
	attribute32(m, CGROUP, 0x30004);
	attribute(m, NFQA_PAYLOAD, "sixty bytes of a packet, more or less", 37);
	end(m);
}

static void every_attribute_is_stored_in_its_field(void **state)
{
	struct message m;
	struct parsed d;

	(void)state;
	make_rich(&m);
	d = parse(&m, m.len);
	assert_int_equal(d.r.kind, NFQ_PACKET);
	assert_int_equal(d.p.present, (1u << 18) - 1); /* all of enum ipq_packet_fields */
	assert_int_equal(d.p.id, 0x01020304);
	assert_int_equal(d.p.family, AF_INET6);
	assert_int_equal(d.p.hook, 3);
	assert_int_equal(d.p.hw_protocol, 0x86dd);
	assert_int_equal(d.p.mark, 0xaabbccdd);
	assert_true(d.p.timestamp == 0x65000000LL * 1000000000 + 1000 * 1000);
	assert_int_equal(d.p.indev, 11);
	assert_int_equal(d.p.outdev, 12);
	assert_int_equal(d.p.physindev, 13);
	assert_int_equal(d.p.physoutdev, 14);
	assert_int_equal(d.p.hw_addr_len, 6);
	/* no undefined bytes follow the address */
	assert_memory_equal(d.p.hw_addr, "\x02\x04\x06\x08\x0a\x0c\0\0", 8);
	assert_int_equal(d.p.conntrack_len, 8);
	assert_memory_equal(d.p.conntrack, "conntrac", 8);
	assert_int_equal(d.p.conntrack_info, 5);
	assert_int_equal(d.p.expectation_len, 12);
	assert_memory_equal(d.p.expectation, "expectation.", 12);
	assert_int_equal(d.p.uid, 1000);
	assert_int_equal(d.p.gid, 1001);
	assert_int_equal(d.p.security_context_len, 9);
	assert_memory_equal(d.p.security_context, "user:role", 9);
	assert_int_equal(d.p.vlan_proto, 0x88a8);
	assert_int_equal(d.p.vlan_tci, 0xa064);
	assert_int_equal(d.p.link_header_len, 14);
	assert_memory_equal(d.p.link_header, "link header 14", 14);
	assert_int_equal(d.p.priority, 0x10002);
	assert_int_equal(d.p.cgroup, 0x30004);
	assert_int_equal(d.p.payload_len, 37);
	assert_memory_equal(d.p.payload, "sixty bytes of a packet, more or less", 37);
	/* An unknown bit of a newer kernel is not reported as one of ours. */
	assert_int_equal(d.p.flags, IPQ_PACKET_CHECKSUM_NOT_READY | IPQ_PACKET_GSO | IPQ_PACKET_TRUNCATED);
	free(d.memory);
}

/* A known mistake of programs: they swapped the bytes of packet_id twice, and so decided other packets. */
static void ids_are_byte_swapped_once_each_way(void **state)
{
	const struct source_verdict v = { .id = 0x01020304, .code = NF_ACCEPT };
	const unsigned char wire[8] = { 0, 0, 0, 1, 1, 2, 3, 4 };
	unsigned char buf[NFQ_VERDICT_MAX];
	struct message m;
	struct parsed d;
	size_t padding;

	(void)state;
	begin_packet(&m, 0x01020304);
	end(&m);
	assert_memory_equal(m.bytes + 24, "\x01\x02\x03\x04", 4);
	d = parse(&m, m.len);
	assert_int_equal(d.p.id, 0x01020304);
	free(d.memory);
	nfq_put_verdict(buf, 0, &v, &padding);
	assert_memory_equal(buf + 24, wire, sizeof(wire));
}

static void padding_is_not_counted_as_payload(void **state)
{
	static const unsigned char bytes[70];
	struct message m;

	(void)state;
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		struct parsed d;

		begin_packet(&m, 1);
		attribute(&m, NFQA_PAYLOAD, bytes, len);
		pad(&m);
		end(&m);
		d = parse(&m, m.len);
		assert_int_equal(d.r.kind, NFQ_PACKET);
		assert_int_equal(d.p.payload_len, len);
		assert_int_equal(d.p.full_len, len);
		assert_int_equal(d.p.flags, 0);
		free(d.memory);
	}
}

static void truncated_packet_keeps_payload_and_full_length_apart(void **state)
{
	static const unsigned char bytes[100];
	struct message m;
	struct parsed d;

	(void)state;
	/* The attributes may come in both orders. */
	for (int first = 0; first < 2; first++) {
		begin_packet(&m, 1);
		if (first)
			attribute32(&m, NFQA_CAP_LEN, 1500);
		attribute(&m, NFQA_PAYLOAD, bytes, sizeof(bytes));
		if (!first)
			attribute32(&m, NFQA_CAP_LEN, 1500);
		end(&m);
		d = parse(&m, m.len);
		assert_int_equal(d.r.kind, NFQ_PACKET);
		assert_int_equal(d.p.payload_len, 100);
		assert_int_equal(d.p.full_len, 1500);
		assert_int_equal(d.p.flags, IPQ_PACKET_TRUNCATED);
		free(d.memory);
	}
}

static void packet_without_payload_is_not_truncated(void **state)
{
	struct message m;
	struct parsed d;

	(void)state;
	begin_packet(&m, 1);
	attribute32(&m, NFQA_CAP_LEN, 1500);
	end(&m);
	d = parse(&m, m.len);
	assert_int_equal(d.r.kind, NFQ_PACKET);
	assert_int_equal(d.p.full_len, 1500);
	assert_int_equal(d.p.flags, 0);
	free(d.memory);
}

static void inside(const struct parsed *d, const void *view, size_t len, size_t size)
{
	const unsigned char *at = view;

	assert_true(at >= d->memory && at + len <= d->memory + size);
}

static void truncated_message_is_rejected_or_flagged(void **state)
{
	struct message m;

	(void)state;
	make_rich(&m);
	for (size_t len = 0; len < m.len; len++) {
		struct parsed d = parse(&m, len);

		if (d.r.kind == NFQ_PACKET) {
			assert_true(d.r.has_id);
			assert_int_equal(d.p.id, 0x01020304);
			assert_true(d.p.flags & IPQ_PACKET_TRUNCATED);
			if (d.p.present & IPQ_HAS_PAYLOAD)
				inside(&d, d.p.payload, d.p.payload_len, len);
			if (d.p.present & IPQ_HAS_CONNTRACK)
				inside(&d, d.p.conntrack, d.p.conntrack_len, len);
			if (d.p.present & IPQ_HAS_LINK_HEADER)
				inside(&d, d.p.link_header, d.p.link_header_len, len);
			if (d.p.present & IPQ_HAS_SECURITY_CONTEXT)
				inside(&d, d.p.security_context, d.p.security_context_len, len);
		} else {
			assert_int_equal(d.r.kind, NFQ_OTHER);
			/* If the id was received it is known, so that the packet can be dropped. */
			assert_int_equal(d.r.has_id, len >= 20 + 4 + 7);
		}
		free(d.memory);
	}
}

static void bytes_after_nlmsg_len_are_ignored(void **state)
{
	struct message m;
	struct parsed d;

	(void)state;
	begin_packet(&m, 9);
	end(&m);
	attribute32(&m, NFQA_MARK, 1);
	d = parse(&m, m.len);
	assert_int_equal(d.r.kind, NFQ_PACKET);
	assert_int_equal(d.p.present, 0);
	free(d.memory);
}

static void unknown_attributes_are_skipped(void **state)
{
	static const unsigned char bytes[200];
	struct message m;
	struct parsed d;

	(void)state;
	begin_packet(&m, 9);
	for (unsigned type = 23; type < 40; type++)
		attribute(&m, type | (type & 1 ? NLA_F_NESTED : 0), bytes, type * 3);
	attribute32(&m, NFQA_MARK, 5);
	attribute(&m, 0x3fff, bytes, 0);
	attribute(&m, NFQA_PAYLOAD, "x", 1);
	end(&m);
	d = parse(&m, m.len);
	assert_int_equal(d.r.kind, NFQ_PACKET);
	assert_int_equal(d.p.present, IPQ_HAS_MARK | IPQ_HAS_PAYLOAD);
	assert_int_equal(d.p.mark, 5);
	free(d.memory);
}

static void attributes_shorter_than_their_type_are_ignored(void **state)
{
	static const unsigned types[] = {
		NFQA_MARK,
		NFQA_TIMESTAMP,
		NFQA_IFINDEX_INDEV,
		NFQA_IFINDEX_OUTDEV,
		NFQA_IFINDEX_PHYSINDEV,
		NFQA_IFINDEX_PHYSOUTDEV,
		NFQA_HWADDR,
		NFQA_CAP_LEN,
		NFQA_SKB_INFO,
		NFQA_UID,
		NFQA_GID,
		NFQA_VLAN,
		NFQA_CT_INFO,
		PRIORITY,
		CGROUP,
	};
	struct message m;

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		for (size_t len = 0; len < 4; len++) {
			struct parsed d;

			begin_packet(&m, 9);
			attribute(&m, types[i], "\xff\xff\xff", len);
			end(&m);
			d = parse(&m, m.len);
			assert_int_equal(d.r.kind, NFQ_PACKET);
			assert_int_equal(d.p.present, 0);
			assert_int_equal(d.p.flags, 0);
			assert_int_equal(d.p.full_len, 0);
			free(d.memory);
		}
	}
}

static void attribute_of_wrong_length_is_rejected_with_packet_id(void **state)
{
	struct message m;
	struct parsed d;

	(void)state;
	for (unsigned claimed = 0; claimed < 80; claimed += claimed == 3 ? 70 : 1) {
		struct nlattr a = { .nla_len = (uint16_t)claimed, .nla_type = NFQA_MARK };

		begin_packet(&m, 77);
		append(&m, "\0", 1); /* the padding of the packet header */
		append(&m, &a, sizeof(a));
		append(&m, "\0\0\0\0", 4);
		end(&m);
		d = parse(&m, m.len);
		assert_int_equal(d.r.kind, NFQ_OTHER);
		assert_true(d.r.has_id);
		assert_int_equal(d.p.id, 77);
		free(d.memory);
	}
	/* A packet header shorter than its structure: the packet's id is unknown. */
	begin(&m, NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET);
	attribute(&m, NFQA_PACKET_HDR, "\0\0\0\1", 4);
	end(&m);
	d = parse(&m, m.len);
	assert_int_equal(d.r.kind, NFQ_OTHER);
	assert_false(d.r.has_id);
	free(d.memory);
}

static void hardware_address_longer_than_field_is_truncated(void **state)
{
	const uint8_t hw[12] = {
		0x01, 0x14, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8
	}; /* length 276, whose low byte is 20, the size of a header */
	struct message m;
	struct parsed d;

	(void)state;
	begin_packet(&m, 9);
	attribute(&m, NFQA_HWADDR, hw, sizeof(hw));
	end(&m);
	d = parse(&m, m.len);
	assert_int_equal(d.p.hw_addr_len, 8);
	assert_memory_equal(d.p.hw_addr, hw + 4, 8);
	free(d.memory);
}

static void malformed_vlan_attribute_is_ignored(void **state)
{
	static const unsigned char nests[][8] = {
		{ NATIVE16(0), NATIVE16(NFQA_VLAN_TCI) }, /* length 0 must not cause an endless loop */
		{ NATIVE16(3), NATIVE16(NFQA_VLAN_TCI) },
		/* a nested attribute longer than the outer one */
		{ NATIVE16(9), NATIVE16(NFQA_VLAN_TCI), 1, 1 },
		{ NATIVE16(5), NATIVE16(NFQA_VLAN_TCI), 1 }, /* an attribute too short for its number */
	};
	struct message m;

	(void)state;
	for (size_t i = 0; i < sizeof(nests) / sizeof(nests[0]); i++) {
		struct parsed d;

		begin_packet(&m, 9);
		attribute(&m, NFQA_VLAN, nests[i], sizeof(nests[i]));
		end(&m);
		d = parse(&m, m.len);
		assert_int_equal(d.r.kind, NFQ_PACKET);
		assert_int_equal(d.p.present, 0);
		free(d.memory);
	}
}

static void extreme_timestamp_is_accepted(void **state)
{
	unsigned char stamp[16];
	struct message m;
	struct parsed d;

	(void)state;
	memset(stamp, 0xff, sizeof(stamp));
	begin_packet(&m, 9);
	attribute(&m, NFQA_TIMESTAMP, stamp, sizeof(stamp));
	end(&m);
	d = parse(&m, m.len);
	assert_int_equal(d.r.kind, NFQ_PACKET);
	assert_true(d.p.present & IPQ_HAS_TIMESTAMP);
	free(d.memory);
}

/*
 * Linux writes attributes in one order, which may change. This order is parsed faster; any other order must have
 * the same result.
 */
static void attributes_are_read_in_any_order(void **state)
{
	struct message usual, m;
	struct parsed expected, d;
	size_t at[32], count = 0;

	(void)state;
	make_rich(&usual);
	expected = parse(&usual, usual.len);
	for (size_t i = NLMSG_LENGTH(sizeof(struct nfgenmsg)); i < usual.len; count++) {
		at[count] = i;
		i += NLA_ALIGN(((struct nlattr *)(void *)(usual.bytes + i))->nla_len);
	}
	assert_int_equal(count, 21);
	for (size_t first = 0; first < count; first++)
		for (size_t stride = 1; stride < count; stride++) {
			/* this stride would not visit all 21 attributes */
			if (stride % 3 == 0 || stride % 7 == 0)
				continue;
			begin(&m, NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET);
			for (size_t k = 0; k < count; k++) {
				const struct nlattr *a =
					(void *)(usual.bytes + at[(first + k * stride) % count]);

				attribute(&m, a->nla_type, a + 1, a->nla_len - NLA_HDRLEN);
			}
			end(&m);
			d = parse(&m, m.len);
			assert_int_equal(d.r.kind, NFQ_PACKET);
			assert_int_equal(d.p.present, expected.p.present);
			assert_int_equal(d.p.flags, expected.p.flags);
			assert_int_equal(d.p.id, expected.p.id);
			assert_int_equal(d.p.indev, 11);
			assert_int_equal(d.p.outdev, 12);
			assert_int_equal(d.p.mark, expected.p.mark);
			assert_memory_equal(d.p.hw_addr, expected.p.hw_addr, 8);
			assert_true(d.p.timestamp == expected.p.timestamp);
			assert_int_equal(d.p.full_len, 1500);
			assert_int_equal(d.p.payload_len, expected.p.payload_len);
			assert_memory_equal(d.p.payload, expected.p.payload, d.p.payload_len);
			free(d.memory);
		}
	free(expected.memory);
}

static void packet_has_no_fields_of_previous_packet(void **state)
{
	struct message m;
	struct parsed d;

	(void)state;
	make_rich(&m);
	d = parse(&m, m.len);
	begin_packet(&m, 2);
	end(&m);
	nfq_parse(m.bytes, m.len, &d.p, &d.r);
	assert_int_equal(d.r.kind, NFQ_PACKET);
	assert_int_equal(d.p.present, 0);
	assert_int_equal(d.p.flags, 0);
	assert_int_equal(d.p.payload_len, 0);
	assert_int_equal(d.p.full_len, 0);
	assert_null(d.p.payload);
	assert_int_equal(d.p.mark, 0);
	assert_int_equal(
		d.p.conntrack_len + d.p.expectation_len + d.p.link_header_len + d.p.security_context_len, 0);
	free(d.memory);
}

static void message_longer_than_slot_is_a_truncated_packet(void **state)
{
	static const unsigned char bytes[200];
	struct message m;
	struct parsed d;

	(void)state;
	begin_packet(&m, 9);
	attribute(&m, NFQA_PAYLOAD, bytes, sizeof(bytes));
	end(&m);
	d = parse(&m, 90);
	assert_int_equal(d.r.kind, NFQ_PACKET);
	assert_int_equal(d.p.payload_len, 90 - (m.len - 200));
	assert_int_equal(d.p.full_len, 200);
	assert_int_equal(d.p.flags, IPQ_PACKET_TRUNCATED);
	free(d.memory);
}

/* ---- errors ------------------------------------------------------------------------------------- */

static void begin_error(struct message *m, int error, const void *quoted, size_t len)
{
	struct nlmsghdr nlh = { .nlmsg_type = NLMSG_ERROR };

	m->len = 0;
	append(m, &nlh, sizeof(nlh));
	append(m, &error, sizeof(error));
	append(m, quoted, len);
	end(m);
}

static void refused_verdict_has_its_packet_id(void **state)
{
	const struct source_verdict v = { .id = 0x01020304,
					  .code = NF_REPEAT,
					  .tag = 99,
					  .present = IPQ_SET_MARK | IPQ_SET_PAYLOAD,
					  .mark = 3,
					  .payload = "",
					  .payload_len = 777 };
	unsigned char buf[NFQ_VERDICT_MAX];
	size_t padding, len = nfq_put_verdict(buf, 7, &v, &padding);
	struct message m;
	struct parsed d;

	(void)state;
	begin_error(&m, -ENOENT, buf, len);
	d = parse(&m, m.len);
	assert_int_equal(d.r.kind, NFQ_REFUSED);
	assert_int_equal(d.r.refusal.error, ENOENT);
	assert_int_equal(d.r.refusal.id, 0x01020304);
	assert_int_equal(d.r.refusal.code, NF_REPEAT);
	assert_int_equal(d.r.refusal.tag, 99);
	assert_int_equal(d.r.refusal.payload_len, 777);
	free(d.memory);
	for (size_t cut = 0; cut < m.len; cut++) {
		d = parse(&m, cut);
		/* A quotation of only the header, as with NETLINK_CAP_ACK, is also a refusal. */
		assert_int_equal(d.r.kind, cut < 16 + 4 + 16 ? NFQ_OTHER : NFQ_REFUSED);
		if (cut >= 16 + 4 + 20 + 12)
			assert_int_equal(d.r.refusal.id, 0x01020304);
		free(d.memory);
	}
}

/* Bytes of an earlier message follow: a length in the quotation must not make the parser read them. */
static void wrong_lengths_and_errors_in_a_quotation_are_ignored(void **state)
{
	static const int errors[] = { 1, INT32_MAX, -4096, INT32_MIN };
	const struct source_verdict v = { .id = 0x01020304, .code = NF_REPEAT };
	const uint16_t lengths[] = { 0, 3, 11, 13, 400, UINT16_MAX };
	unsigned char buf[NFQ_VERDICT_MAX];
	size_t padding, len = nfq_put_verdict(buf, 7, &v, &padding);
	struct message m;
	struct parsed d;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		begin_error(&m, errors[i], buf, len);
		d = parse(&m, m.len);
		assert_int_equal(d.r.kind, NFQ_OTHER);
		free(d.memory);
	}
	for (unsigned i = 0; i < 6; i++) {
		memcpy(buf + 20, &lengths[i], 2); /* length of the attribute with code and id */
		begin_error(&m, -ENOENT, buf, len);
		d = parse(&m, m.len);
		assert_int_equal(d.r.kind, NFQ_REFUSED);
		assert_int_equal(d.r.refusal.id, 0);
		free(d.memory);
	}
}

static void acknowledgements_are_distinguished_from_refusals(void **state)
{
	struct nlmsghdr config = { .nlmsg_len = 16,
				   .nlmsg_seq = 41,
				   .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG };
	struct nlmsghdr noop = { .nlmsg_len = 16, .nlmsg_seq = 42, .nlmsg_type = NLMSG_NOOP };
	struct nlmsghdr verdict = { .nlmsg_len = 16,
				    .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT };
	struct message m;
	struct parsed d;

	(void)state;
	begin_error(&m, -EPERM, &config, sizeof(config));
	d = parse(&m, m.len);
	assert_int_equal(d.r.kind, NFQ_ACK);
	assert_int_equal(d.r.seq, 41);
	assert_int_equal(d.r.refusal.error, EPERM);
	assert_int_equal(d.r.type, config.nlmsg_type);
	free(d.memory);
	begin_error(&m, 0, &noop, sizeof(noop));
	d = parse(&m, m.len);
	assert_int_equal(d.r.kind, NFQ_ACK);
	assert_int_equal(d.r.type, NLMSG_NOOP);
	assert_int_equal(d.r.seq, 42);
	free(d.memory);
	begin_error(&m, 0, &verdict, sizeof(verdict)); /* an acknowledged verdict is not reported */
	d = parse(&m, m.len);
	assert_int_equal(d.r.kind, NFQ_OTHER);
	free(d.memory);
}

static void other_messages_are_ignored(void **state)
{
	static const unsigned types[] = { NLMSG_DONE, NLMSG_OVERRUN,
					  NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT,
					  NFNL_SUBSYS_CTNETLINK << 8 };
	struct message m;

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct parsed d;

		begin_packet(&m, 3);
		((struct nlmsghdr *)(void *)m.bytes)->nlmsg_type = (uint16_t)types[i];
		end(&m);
		d = parse(&m, m.len);
		assert_int_equal(d.r.kind, NFQ_OTHER);
		assert_false(d.r.has_id);
		free(d.memory);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_attribute_is_stored_in_its_field),
		cmocka_unit_test(ids_are_byte_swapped_once_each_way),
		cmocka_unit_test(padding_is_not_counted_as_payload),
		cmocka_unit_test(truncated_packet_keeps_payload_and_full_length_apart),
		cmocka_unit_test(packet_without_payload_is_not_truncated),
		cmocka_unit_test(truncated_message_is_rejected_or_flagged),
		cmocka_unit_test(bytes_after_nlmsg_len_are_ignored),
		cmocka_unit_test(unknown_attributes_are_skipped),
		cmocka_unit_test(attributes_shorter_than_their_type_are_ignored),
		cmocka_unit_test(attribute_of_wrong_length_is_rejected_with_packet_id),
		cmocka_unit_test(hardware_address_longer_than_field_is_truncated),
		cmocka_unit_test(malformed_vlan_attribute_is_ignored),
		cmocka_unit_test(extreme_timestamp_is_accepted),
		cmocka_unit_test(attributes_are_read_in_any_order),
		cmocka_unit_test(packet_has_no_fields_of_previous_packet),
		cmocka_unit_test(message_longer_than_slot_is_a_truncated_packet),
		cmocka_unit_test(refused_verdict_has_its_packet_id),
		cmocka_unit_test(wrong_lengths_and_errors_in_a_quotation_are_ignored),
		cmocka_unit_test(acknowledgements_are_distinguished_from_refusals),
		cmocka_unit_test(other_messages_are_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
