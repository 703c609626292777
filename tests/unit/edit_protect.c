// SPDX-License-Identifier: LGPL-2.1-or-later
/* Editing: fields that cover or count the payload are adjusted, or the edit is refused with its reason. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "edit_random.h"

/* Builds a TCP packet with these options (a multiple of 4 bytes) and this payload. */
static struct built tcp_packet(int version, unsigned flags, const void *options, size_t options_len,
			       const char *payload)
{
	struct built b =
		build(packet, (struct shape){ version, IPPROTO_TCP, 0 }, options_len + strlen(payload));
	uint8_t *tcp = packet + b.transport;

	tcp[12] = (uint8_t)((20 + options_len) / 4 << 4);
	tcp[13] = (uint8_t)flags;
	set_be16(tcp + 18, 0);
	memcpy(tcp + 20, options, options_len);
	memcpy(tcp + 20 + options_len, payload, strlen(payload));
	b.header = 20 + options_len;
	reference_complete(&b, packet);
	memcpy(copy, packet, b.len);
	return b;
}

static struct built udp_packet(unsigned from, unsigned to, const void *payload, size_t len)
{
	struct built b = build(packet, (struct shape){ 4, IPPROTO_UDP, 0 }, len);

	set_be16(packet + 20, from);
	set_be16(packet + 22, to);
	memcpy(packet + 28, payload, len);
	reference_complete(&b, packet);
	memcpy(copy, packet, b.len);
	return b;
}

static unsigned urgent_after(unsigned flags, unsigned urgent, const char *old, const char *new)
{
	struct built b = tcp_packet(4, flags, "", 0, "kill SECRET now! SECRET");
	struct ipq_edit e;

	set_be16(packet + b.transport + 18, urgent);
	reference_complete(&b, packet);
	assert_int_equal(begin(&e, b.len), 0);
	assert_true(ipq_edit_substitute(&e, old, strlen(old), new, strlen(new)) > 0);
	b.len = e.len;
	assert_int_equal(reference_residue(&b, packet), 0xffff);
	return be16(packet + b.transport + 18);
}

static void urgent_pointer_is_adjusted_to_new_length(void **state)
{
	struct built b;
	struct ipq_edit e;

	(void)state;
	assert_int_equal(urgent_after(IPQ_TCP_URG, 16, "SECRET ", ""), 16 - 7);
	assert_int_equal(urgent_after(IPQ_TCP_URG, 16, "SECRET", "longer text"), 21);
	assert_int_equal(urgent_after(IPQ_TCP_URG, 23, "SECRET", "S"), 13);
	/* the urgent data ends in a later segment */
	assert_int_equal(urgent_after(IPQ_TCP_URG, 100, "SECRET", "S"), 90);
	/* the urgent data ends before the change */
	assert_int_equal(urgent_after(IPQ_TCP_URG, 5, "SECRET", "S"), 5);
	assert_int_equal(urgent_after(IPQ_TCP_URG, 8, "SECRET", "S"),
			 /* the urgent data ends inside the replaced text: then at the end of the new text */
			 6);
	assert_int_equal(urgent_after(IPQ_TCP_URG, 8, "SECRET", "SECRETS"), 8);
	/* the urgent pointer is not valid without the flag */
	assert_int_equal(urgent_after(0, 16, "SECRET", ""), 16);
	/* A SYN counts as one byte, which comes first. */
	assert_int_equal(urgent_after(IPQ_TCP_URG | IPQ_TCP_SYN, 17, "SECRET", "S"), 12);
	assert_int_equal(urgent_after(IPQ_TCP_URG | IPQ_TCP_SYN, 6, "SECRET", "S"), 6);
	assert_int_equal(urgent_after(IPQ_TCP_URG | IPQ_TCP_SYN, 8, "SECRET", "S"), 7);

	b = tcp_packet(6, IPQ_TCP_URG, "", 0, "kill SECRET now!");
	set_be16(packet + b.transport + 18, 16);
	reference_complete(&b, packet);
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_replace(&e, 5, 6, "S", 1), 0);
	assert_int_equal(be16(packet + b.transport + 18), 11);
	assert_int_equal(reference_residue(&b, packet), 0xffff);
}

static void edit_that_overflows_urgent_pointer_is_rejected(void **state)
{
	struct built b = tcp_packet(4, IPQ_TCP_URG, "", 0, "kill SECRET now!");
	struct ipq_edit e;

	(void)state;
	set_be16(packet + b.transport + 18, 65533);
	reference_complete(&b, packet);
	memcpy(copy, packet, b.len);
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_replace(&e, 5, 6, "a long text", 11), -EMSGSIZE);
	assert_int_equal(ipq_edit_substitute(&e, "SECRET", 6, "a long text", 11), -EMSGSIZE);
	assert_int_equal(e.reason, IPQ_EDIT_REASON_SIZE);
	assert_memory_equal(packet, copy, b.len);
}

static void edits_of_bytes_covered_by_tcp_signature_are_rejected(void **state)
{
	static const uint8_t md5[20] = { 1, 1, 19, 18 }, ao[16] = { 29, 16, 1 }, address[16];
	static const struct {
		const uint8_t *option;
		size_t len;
		uint8_t kind;
	} signatures[] = { { md5, sizeof(md5), 19 }, { ao, sizeof(ao), 29 } };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct built b = tcp_packet(i & 2 ? 6 : 4, IPQ_TCP_ACK, signatures[i & 1].option,
					    signatures[i & 1].len, "text");
		struct ipq_edit e;

		assert_int_equal(begin(&e, b.len), 0);
		assert_int_equal(ipq_edit_replace(&e, 0, 4, "TEXT", 4), -EOPNOTSUPP);
		assert_int_equal(e.reason, IPQ_EDIT_REASON_SIGNED);
		assert_int_equal(ipq_edit_substitute(&e, "t", 1, "T", 1), -EOPNOTSUPP);
		assert_int_equal(ipq_edit_substitute(&e, "no such text", 12, "", 0), 0);
		assert_int_equal(ipq_edit_set_source(&e, address, i & 2 ? 16 : 4), -EOPNOTSUPP);
		assert_int_equal(ipq_edit_set_destination_port(&e, 1), -EOPNOTSUPP);
		assert_int_equal(ipq_edit_set_tcp_sequence(&e, 1), -EOPNOTSUPP);
		assert_int_equal(ipq_edit_set_tcp_option(&e, 2, "\5\264", 2), -EOPNOTSUPP);
		assert_int_equal(ipq_edit_clear_tcp_option(&e, 8), -EOPNOTSUPP);
		assert_memory_equal(packet, copy, b.len);
		assert_int_equal(ipq_edit_set_ttl(&e, 3), 0);
		/* Without its signature, the packet can be edited. */
		assert_int_equal(ipq_edit_clear_tcp_option(&e, signatures[i & 1].kind), 0);
		assert_int_equal(ipq_edit_replace(&e, 0, 4, "longer", 6), 0);
		assert_int_equal(reference_residue(&b, packet), 0xffff);
	}
}

static int mptcp_edit(const void *option, size_t len, const char *new)
{
	struct built b = tcp_packet(4, IPQ_TCP_ACK, option, len, "text");
	struct ipq_edit e;
	int err;

	assert_int_equal(begin(&e, b.len), 0);
	err = ipq_edit_replace(&e, 0, 4, new, strlen(new));
	if (err < 0) {
		assert_int_equal(e.reason, IPQ_EDIT_REASON_MPTCP);
		assert_memory_equal(packet, copy, b.len);
	} else {
		assert_int_equal(reference_residue(&b, packet), 0xffff);
	}
	return err;
}

static void mptcp_edits_of_length_or_checksum_are_rejected(void **state)
{
	static const uint8_t dss[20] = { 30, 18, 0x20, 5 }, dss_checksum[20] = { 30, 20, 0x20, 5 },
			     dss_long[28] = { 30, 28, 0x20, 15 }, ack_only[8] = { 30, 8, 0x20, 1 },
			     capable[24] = { 30, 22, 0x01 }, capable_checksum[24] = { 30, 24, 0x01 };

	(void)state;
	assert_int_equal(mptcp_edit(dss, sizeof(dss), "TEXT"), 0);
	assert_int_equal(mptcp_edit(dss, sizeof(dss), "longer"), -EOPNOTSUPP);
	assert_int_equal(mptcp_edit(dss_checksum, sizeof(dss_checksum), "TEXT"), -EOPNOTSUPP);
	assert_int_equal(mptcp_edit(dss_long, sizeof(dss_long), "TEXT"), -EOPNOTSUPP);
	assert_int_equal(mptcp_edit(ack_only, sizeof(ack_only), "TEXT"), 0);
	assert_int_equal(mptcp_edit(ack_only, sizeof(ack_only), ""), -EOPNOTSUPP);
	assert_int_equal(mptcp_edit(capable, sizeof(capable), "TEXT"), 0);
	assert_int_equal(mptcp_edit(capable_checksum, sizeof(capable_checksum), "TEXT"), -EOPNOTSUPP);
}

static void fast_open_data_in_a_syn_is_payload(void **state)
{
	static const uint8_t cookie[12] = { 34, 10, 1, 2, 3, 4, 5, 6, 7, 8 };
	struct built b = tcp_packet(4, IPQ_TCP_SYN, cookie, sizeof(cookie), "text");
	struct ipq_edit e;

	(void)state;
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_substitute(&e, "text", 4, "longer", 6), 1);
	assert_int_equal(reference_residue(&b, packet), 0xffff);
	assert_memory_equal(packet + b.transport + 20, cookie, sizeof(cookie));
}

static void tunneled_packets_are_not_edited(void **state)
{
	static const struct {
		unsigned from, to;
		const char *head;
		uint8_t head_len;
		bool refused;
	} udp[] = {
		{ 50000, 4789, "\x08\0\0\0\0\0\x2a\0", 8, true }, /* VXLAN */
		/* VXLAN's port counts only as the destination port */
		{ 4789, 50000, "\x08\0\0\0\0\0\x2a\0", 8, false },
		{ 50000, 4789, "GET / HTTP", 8, false },
		{ 50000, 8472, "\x88\0\0\1\0\0\x2a\0", 8, true },
		{ 50000, 6081, "\0\0\x65\x58\0\0\x2a\0", 8, true }, /* Geneve */
		{ 2152, 2152, "\x30\xff\0\x20\0\0\0\1", 8, true },  /* GTP-U */
		{ 2152, 40000, "\x32\xff\0\x20\0\0\0\1", 8, true },
		{ 2152, 2152, "\x32\1\0\4\0\0\0\0", 8, false },	    /* an echo request of GTP */
		{ 1701, 1701, "\0\2\0\1\0\1\xff\3", 8, true },	    /* L2TP */
		{ 50000, 6081, "\0\0\x88\x47\0\0\x2a\0", 8, true }, /* Geneve with an MPLS packet */
		{ 50000, 6081, "0 text ab", 8, true },
		{ 50000, 6081, "GET / HTTP", 8, false },
		{ 1701, 1701, "\0\3\0\0\0\0\0\1", 8, true },	  /* L2TP, version 3 */
		{ 1701, 1701, "\xc8\2\0\x20\0\0\0\0", 8, false }, /* a control message of L2TP */
		{ 50000, 3544, "\x60\0\0\0\0\0\x3b\1", 8, true }, /* Teredo */
		/* Teredo, with an authentication header first */
		{ 3544, 50000, "\0\1\0\0\0\0\0\0", 8, true },
		{ 3544, 50000, "\0\0\xf0\0\x34\x56\0\0", 8, true },  /* Teredo, with an origin header first */
		{ 50000, 4341, "\x80\0\0\0\0\0\0\0", 8, true },	     /* LISP */
		{ 50000, 4791, "\4\0\xff\xff\0\0\0\1", 8, true },    /* RoCE */
		{ 5247, 50000, "\0\x10\2\0\0\0\0\0", 8, true },	     /* CAPWAP */
		{ 5247, 50000, "\1\0\0\0\x17\xfe\xff\0", 8, false }, /* CAPWAP with DTLS */
		{ 2268, 50000, "\6\0\x45\0\0\x2a\0\0", 8, true },    /* AMT */
		{ 2268, 50000, "\1\0\0\0\0\0\0\1", 8, false },	     /* a discovery message of AMT */
		{ 50000, 37008, "\1\0\0\1\1\0\0\0", 8, true },	     /* TZSP */
		{ 50000, 5353, "\x08\0\0\0\0\0\x2a\0", 8, false },
	};
	static const int protocols[] = { IPPROTO_IPIP, IPPROTO_IPV6, IPPROTO_GRE };
	char payload[64] = "";
	struct ipq_edit e;

	(void)state;
	memcpy(payload + 40, "text", 4);
	for (size_t i = 0; i < sizeof(udp) / sizeof(udp[0]); i++) {
		struct built b;

		memcpy(payload, udp[i].head, udp[i].head_len);
		b = udp_packet(udp[i].from, udp[i].to, payload, sizeof(payload));
		assert_int_equal(begin(&e, b.len), 0);
		if (udp[i].refused) {
			assert_int_equal(ipq_edit_substitute(&e, "text", 4, "TEXT", 4), -EOPNOTSUPP);
			assert_int_equal(e.reason, IPQ_EDIT_REASON_TUNNEL);
			assert_int_equal(ipq_edit_replace(&e, 40, 4, "", 0), -EOPNOTSUPP);
			assert_memory_equal(packet, copy, b.len);
		} else {
			assert_int_equal(ipq_edit_substitute(&e, "text", 4, "TEXT", 4), 1);
		}
		/* a field of the outer header can be changed */
		assert_int_equal(ipq_edit_set_destination_port(&e, 99), 0);
		assert_int_equal(reference_residue(&b, packet), 0xffff);
	}
	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
		struct built b = udp_packet(1, 2, payload, sizeof(payload));

		packet[9] = (uint8_t)protocols[i];
		assert_int_equal(begin(&e, b.len), 0);
		assert_int_equal(ipq_edit_substitute(&e, "text", 4, "TEXT", 4), -EPROTONOSUPPORT);
		assert_int_equal(e.reason, IPQ_EDIT_REASON_TUNNEL);
	}
}

/* A payload that is shorter than the header of the tunnel is no tunnel. */
static void tunnel_is_recognised_by_port_and_complete_header(void **state)
{
	static const struct {
		unsigned port;
		const char head[4];
		uint8_t len;
		bool either; /* also as the source port */
	} tunnels[] = {
		{ 4789, "\x08", 8, false },
		{ 4790, "\x0c", 8, false },
		{ 8472, "\x08", 8, false },
		{ 6081, "\0\0\x65\x58", 8, false },
		{ 6081, "\0\0\x06\0", 8, false }, /* the lowest EtherType */
		{ 2152, "\x30\xff", 8, true },
		{ 1701, "\0\2", 6, true },
		{ 1701, "\0\x12", 6, true }, /* other bits beside the version */
		{ 1701, "\0\xf3", 6, true },
		{ 3544, "\x60", 20, true },
		{ 3544, "\0\1", 20, true },
		{ 6080, "", 1, false },
		{ 6635, "", 1, false },
		{ 9899, "", 1, true },
		{ 4341, "", 1, false },
		{ 4791, "", 1, false },
		{ 5247, "", 8, true },
		{ 2268, "\4", 20, true },
		{ 2268, "\5", 20, true },
		{ 37008, "\1\1", 5, false },
		{ 4500, "\0\0\0\1", 8, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(tunnels) / sizeof(tunnels[0]); i++)
		for (unsigned k = 0; k < 3; k++) {
			/* k 0: complete; 1: one byte less; 2: the port is the source port */
			uint8_t payload[20] = { 0 };
			struct built b;
			struct ipq_edit e;
			bool refused = k == 0 || (k == 2 && tunnels[i].either);

			memcpy(payload, tunnels[i].head, 4);
			b = udp_packet(k == 2 ? tunnels[i].port : 50000, k == 2 ? 50000 : tunnels[i].port,
				       payload, tunnels[i].len - (k == 1 ? 1U : 0));
			assert_int_equal(begin(&e, b.len), 0);
			assert_int_equal(ipq_edit_replace(&e, 0, 0, "x", 1), refused ? -EOPNOTSUPP : 0);
			if (refused)
				assert_int_equal(e.reason, tunnels[i].port == 4500 ? IPQ_EDIT_REASON_ENCRYPTED
										   : IPQ_EDIT_REASON_TUNNEL);
		}
}

static void esp_in_udp_is_encrypted_and_ike_is_not(void **state)
{
	struct built b = udp_packet(4500, 4500, "\1\2\3\4\0\0\0\1text", 12);
	struct ipq_edit e;

	(void)state;
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_substitute(&e, "text", 4, "TEXT", 4), -EOPNOTSUPP);
	assert_int_equal(e.reason, IPQ_EDIT_REASON_ENCRYPTED);
	b = udp_packet(4500, 4500, "\0\0\0\0\0\0\0\1text", 12);
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_substitute(&e, "text", 4, "TEXT", 4), 1);
}

static int icmp_edit(int version, uint8_t type, const char *new)
{
	struct built b =
		build(packet, (struct shape){ version, version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, 0 }, 40);
	struct ipq_edit e;
	int err;

	packet[b.transport] = type;
	memcpy(packet + b.len - 4, "text", 4);
	reference_complete(&b, packet);
	assert_int_equal(begin(&e, b.len), 0);
	err = ipq_edit_replace(&e, 36, 4, new, strlen(new));
	if (err < 0)
		assert_int_equal(e.reason, IPQ_EDIT_REASON_ICMP);
	assert_int_equal(reference_residue(&b, packet), 0xffff);
	return err;
}

static void packets_quoted_in_icmp_errors_are_not_edited(void **state)
{
	static const uint8_t errors4[] = { 3, 4, 5, 11, 12 }, errors6[] = { 1, 2, 3, 4, 137 },
			     probes4[] = { 42, 43 }, probes6[] = { 160, 161 };

	(void)state;
	for (size_t i = 0; i < sizeof(errors4); i++)
		assert_int_equal(icmp_edit(4, errors4[i], "TEXT"), -EOPNOTSUPP);
	for (size_t i = 0; i < sizeof(errors6); i++)
		assert_int_equal(icmp_edit(6, errors6[i], "TEXT"), -EOPNOTSUPP);
	/* The extension objects of these messages have a checksum. */
	for (size_t i = 0; i < sizeof(probes4); i++)
		assert_int_equal(icmp_edit(4, probes4[i], "TEXT"), -EOPNOTSUPP);
	for (size_t i = 0; i < sizeof(probes6); i++)
		assert_int_equal(icmp_edit(6, probes6[i], "TEXT"), -EOPNOTSUPP);
	assert_int_equal(icmp_edit(4, 8, "longer"), 0);
	assert_int_equal(icmp_edit(6, 129, "longer"), 0);
	/* Router advertisements have options with lengths. */
	assert_int_equal(icmp_edit(6, 134, "longer"), -EOPNOTSUPP);
	assert_int_equal(icmp_edit(6, 134, "TEXT"), 0);
	assert_int_equal(icmp_edit(4, 9, "longer"), -EOPNOTSUPP);
	assert_int_equal(icmp_edit(4, 9, "TEXT"), 0);
}

static void length_of_zero_is_kept_and_the_given_length_is_used(void **state)
{
	(void)state;
	for (int version = 4; version <= 6; version += 2) {
		struct built b = tcp_packet(version, IPQ_TCP_ACK, "", 0, "abcd");
		uint8_t *length = packet + (version == 4 ? 2 : 4);
		struct ipq_edit e;

		set_be16(length, 0);
		if (version == 4) {
			set_be16(packet + 10, 0);
			set_be16(packet + 10, 0xffff - reference_network_residue(&b, packet));
		}
		assert_int_equal(begin(&e, b.len), 0);
		assert_int_equal(e.flags, IPQ_EDIT_NO_LENGTH);
		assert_int_equal(e.len, b.len);
		assert_int_equal(ipq_checksum_verify(packet, b.len), 0);
		assert_int_equal(ipq_edit_substitute(&e, "b", 1, "BBBBB", 5), 1);
		assert_int_equal(e.len, b.len + 4);
		assert_int_equal(be16(length), 0);
		assert_int_equal(ipq_checksum_verify(packet, e.len), 0);
		assert_memory_equal(packet + e.payload, "aBBBBBcd", 8);
		/* The transport checksum is that of the packet with its length in the header. */
		if (version == 4)
			assert_int_equal(reference_network_residue(&b, packet), 0xffff);
		set_be16(length, version == 4 ? e.len : e.len - 40);
		assert_int_equal(reference_residue(&b, packet), 0xffff);
		set_be16(length, 0);
		assert_int_equal(
			ipq_edit_begin(&e, packet, b.len, sizeof(packet), IPQ_EDIT_CHECKSUM_NOT_READY), 0);
		/* The bytes after the end of a truncated packet are missing. */
		assert_int_equal(ipq_edit_begin(&e, packet, b.len, sizeof(packet), 1 << 3), -ENODATA);
		assert_int_equal(e.reason, IPQ_EDIT_REASON_CUT);
	}
}

static void padding_after_empty_ipv6_packet_is_removed(void **state)
{
	struct ipq_edit e;

	(void)state;
	build(packet, (struct shape){ 6, IPPROTO_TCP, 0 }, 4);
	set_be16(packet + 4, 0);
	packet[6] = IPPROTO_NONE;
	assert_int_equal(begin(&e, 46), 0);
	assert_int_equal(e.len, 40);
}

/* 70,000 bytes after a jumbo payload option, with a checksum computed as in RFC 2675. */
static void jumbogram_length_is_adjusted(void **state)
{
	static uint8_t big[80000];
	const size_t payload = 70000, len = 40 + 8 + 8 + payload;
	uint8_t pseudo[40];
	struct ipq_edit e;

	(void)state;
	random_fill(big, sizeof(big));
	memset(big, 0, 56);
	big[0] = 0x60;
	big[8] = big[24] = 0xfd;
	big[40] = IPPROTO_UDP;
	memcpy(big + 42, "\xc2\x04\0\1", 4);
	set_be16(big + 46, len - 40 - 65536);
	memcpy(big + 56 + 1000, "text", 4);
	assert_int_equal(ipq_checksum_complete(big, len), 0);
	assert_int_equal(ipq_edit_begin(&e, big, len, sizeof(big), 0), 0);
	assert_int_equal(e.flags, IPQ_EDIT_JUMBO);
	assert_int_equal(e.payload_len, payload);
	assert_int_equal(ipq_edit_replace(&e, 1000, 4, "longer text", 11), 0);
	assert_int_equal(be16(big + 44) * 65536 + be16(big + 46), len - 40 + 7);
	assert_int_equal(be16(big + 4), 0);
	memcpy(pseudo, big + 8, 32);
	memset(pseudo + 32, 0, 8);
	set_be16(pseudo + 32, (e.len - 48) / 65536);
	set_be16(pseudo + 34, (e.len - 48) % 65536);
	pseudo[39] = IPPROTO_UDP;
	assert_int_equal(reference_sum(reference_sum(0, pseudo, 40), big + 48, e.len - 48), 0xffff);
	/* With fewer than 65536 bytes, the packet would not be a jumbogram. */
	assert_int_equal(ipq_edit_replace(&e, 0, 10000, "", 0), -EMSGSIZE);
	assert_int_equal(ipq_edit_replace(&e, 0, e.len - 40 - 65535, "", 0), -EMSGSIZE);
	assert_int_equal(ipq_edit_replace(&e, 0, e.len - 40 - 65536, "", 0), 0);
	assert_int_equal(be16(big + 44) * 65536 + be16(big + 46), 65536);
	set_be16(big + 44, (len - 40) / 65536);
	set_be16(big + 46, (len - 40) % 65536);
	assert_int_equal(ipq_edit_begin(&e, big, len - 1, sizeof(big), 0), -ENODATA);
	set_be16(big + 44, 0);
	assert_int_equal(ipq_edit_begin(&e, big, len, sizeof(big), 0), -EBADMSG);
}

/* Rejected even if the packet could be longer, as with segmentation offload. */
static void text_over_65535_bytes_is_rejected(void **state)
{
	static uint8_t big[200000], text[65536];
	struct built b = tcp_packet(4, IPQ_TCP_ACK, "", 0, "abcd");
	struct ipq_edit e;

	(void)state;
	set_be16(packet + 2, 0);
	memcpy(big, packet, b.len);
	assert_int_equal(ipq_edit_begin(&e, big, b.len, sizeof(big), 0), 0);
	assert_int_equal(ipq_edit_substitute(&e, "b", 1, text, 65536), -EMSGSIZE);
	assert_int_equal(e.len, b.len);
	assert_memory_equal(big, packet, b.len);
	assert_int_equal(ipq_edit_substitute(&e, "b", 1, text, 65535), 1);
	assert_int_equal(e.len, b.len + 65534);
}

static void substitute_without_match_changes_nothing(void **state)
{
	struct built b = udp_packet(53, 53, "hi", 2);
	struct ipq_edit e;

	(void)state;
	set_be16(packet + 24, 40); /* the length field exceeds the packet */
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(e.transport_error, -EBADMSG);
	assert_int_equal(ipq_edit_substitute(&e, "Q", 1, "RR", 2), 0);
	assert_int_equal(ipq_edit_substitute(&e, "hi", 2, "ho", 2), -EBADMSG);
	assert_int_equal(e.reason, IPQ_EDIT_REASON_MALFORMED);
}

static void every_reason_has_its_own_text(void **state)
{
	(void)state;
	for (unsigned i = 0; i < IPQ_EDIT_REASON_COUNT; i++)
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(ipq_edit_reason_text(i), ipq_edit_reason_text(k));
	assert_string_equal(ipq_edit_reason_text(IPQ_EDIT_REASON_COUNT), "unknown reason");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urgent_pointer_is_adjusted_to_new_length),
		cmocka_unit_test(edit_that_overflows_urgent_pointer_is_rejected),
		cmocka_unit_test(edits_of_bytes_covered_by_tcp_signature_are_rejected),
		cmocka_unit_test(mptcp_edits_of_length_or_checksum_are_rejected),
		cmocka_unit_test(fast_open_data_in_a_syn_is_payload),
		cmocka_unit_test(tunneled_packets_are_not_edited),
		cmocka_unit_test(tunnel_is_recognised_by_port_and_complete_header),
		cmocka_unit_test(esp_in_udp_is_encrypted_and_ike_is_not),
		cmocka_unit_test(packets_quoted_in_icmp_errors_are_not_edited),
		cmocka_unit_test(length_of_zero_is_kept_and_the_given_length_is_used),
		cmocka_unit_test(padding_after_empty_ipv6_packet_is_removed),
		cmocka_unit_test(jumbogram_length_is_adjusted),
		cmocka_unit_test(text_over_65535_bytes_is_rejected),
		cmocka_unit_test(substitute_without_match_changes_nothing),
		cmocka_unit_test(every_reason_has_its_own_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
