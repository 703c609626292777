/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ipq_edit: rewrite a packet; lengths and checksums follow by themselves.
 *
 *	#include <ipq.h>
 *	#include <ipq_edit.h>
 *
 *	static void rewrite(struct ipq_queue *q, const struct ipq_packet *packet)
 *	{
 *		uint8_t buffer[65536];
 *		struct ipq_edit e;
 *
 *		memcpy(buffer, packet->payload, packet->payload_len);
 *		if (ipq_edit_begin(&e, buffer, packet->payload_len, sizeof(buffer), packet->flags) < 0 ||
 *		    ipq_edit_set_ttl(&e, 64) < 0 ||
 *		    ipq_edit_substitute(&e, "http", 4, "gopher", 6) < 0)
 *			ipq_drop(q, packet);
 *		else
 *			ipq_replace(q, packet, e.data, e.len);
 *	}
 *
 * There is no call to end with: after every call the packet is whole and may be sent, and a call that
 * fails has changed nothing. So no error path can leave a half-edited packet behind. An edit that keeps
 * the length may be made in packet->payload itself (room = payload_len); one that lengthens the packet
 * needs a buffer with room, as above.
 *
 * Checksums are adjusted for what changed (RFC 1624), not computed anew: an edit costs the bytes that it
 * touches, and a packet that came with a wrong checksum leaves with an equally wrong one, so that damage
 * is still found by the receiver. ipq_checksum_complete() computes them from scratch when that is wanted.
 *
 * What cannot be made right is refused with -EOPNOTSUPP: a change of contents in a later fragment (the
 * checksum travels in the first), a change of length in any fragment, anything that an Authentication
 * Header protects, whatever needs the inside of an encrypted payload (ESP).
 *
 * IPv4 with options; IPv6 with hop-by-hop, routing, destination, fragment and authentication headers;
 * TCP, UDP, UDP-Lite, ICMP and ICMPv6. Nothing here allocates, blocks, or keeps state outside struct
 * ipq_edit: different packets may be edited by different threads. All numbers are in host byte order,
 * addresses are bytes in network order. Returns 0 or -errno unless said otherwise.
 */
#ifndef IPQ_EDIT_H
#define IPQ_EDIT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* Bits of ipq_edit.flags. */
enum ipq_edit_flags {
	/* The transport checksum holds only the sum of the pseudo-header, and a device or
	 * ipq_checksum_complete() completes it later. Given to ipq_edit_begin(); edits keep it so. The same
	 * bit as IPQ_PACKET_CHECKSUM_NOT_READY. */
	IPQ_EDIT_CHECKSUM_NOT_READY = 1 << 0,
	IPQ_EDIT_FRAGMENT = 1 << 8,	  /* found: a fragment, the first one or a later one */
	IPQ_EDIT_LATER_FRAGMENT = 1 << 9, /* found: not the first one, there is no transport header */
	IPQ_EDIT_AUTHENTICATED = 1 << 10  /* found: an Authentication Header (RFC 4302) */
};

/* A packet being edited. The caller allocates it, ipq_edit_begin() fills it, the calls below keep it
 * current; read it, don't write it. Offsets count from data. */
struct ipq_edit {
	uint8_t *data;		 /* the packet: the caller's memory */
	uint32_t len;		 /* its bytes now */
	uint32_t room;		 /* bytes at data that may be used */
	uint32_t flags;		 /* IPQ_EDIT_ */
	int32_t transport_error; /* 0, or the -errno of calls that need a transport header */
	uint8_t version;	 /* 4 or 6 */
	uint8_t protocol;	 /* IPPROTO_ of what follows the network header and its extensions */
	uint16_t reserved1;
	uint32_t transport;	/* offset of the transport header */
	uint32_t transport_len; /* bytes of header and payload, the UDP length where there is one */
	uint32_t payload;	/* offset of what TCP, UDP or ICMP (after 8 bytes) carry */
	uint32_t payload_len;	/* its bytes in this packet */
	uint32_t checksum;	/* offset of the transport checksum; 0: none here */
	uint32_t covered;	/* bytes from transport on that the checksum covers */
	uint32_t final_source; /* offsets of the addresses in the pseudo-header: with a Home Address option */
	uint32_t final_destination; /* or a routing header not those of the network header; 0: unknown */
	uint32_t reserved2[6];
};

/*
 * Reads the packet at data: from the network header on, len bytes in a buffer of room bytes. Of flags only
 * IPQ_EDIT_CHECKSUM_NOT_READY counts; ipq_packet.flags may be passed as it is. Bytes past the end that the
 * network header gives (padding of short Ethernet frames) are cut off: see e->len.
 * -EBADMSG: not IPv4 or IPv6, or a malformed network or extension header. -ENODATA: the packet was cut
 * when it was copied (IPQ_PACKET_TRUNCATED). -EMSGSIZE: a jumbogram. -EINVAL: room < len.
 * A transport header that is malformed (-EBADMSG), in another fragment or encrypted (-EOPNOTSUPP) or
 * unknown (-EPROTONOSUPPORT) is no error here: see e->transport_error.
 */
int ipq_edit_begin(struct ipq_edit *e, void *data, size_t len, size_t room, uint32_t flags);

/* ---- network header --------------------------------------------------------------------------- */

/*
 * Source and destination address: 4 bytes for IPv4, 16 for IPv6, in network order. Right for every fragment:
 * give all of them the same addresses. A packet on its way through a source route (IPv4 LSRR/SSRR, IPv6
 * routing header with segments left) keeps its final destination, only the next hop changes.
 * -EAFNOSUPPORT: len is not that of this packet's family. -EOPNOTSUPP: authenticated, encrypted (in
 * transport mode a checksum inside covers the addresses), or a routing header of unknown type is under
 * way. -EPROTONOSUPPORT: a protocol whose checksum might cover them. -EBADMSG: malformed transport header.
 */
int ipq_edit_set_source(struct ipq_edit *e, const void *address, size_t len);
int ipq_edit_set_destination(struct ipq_edit *e, const void *address, size_t len);

/* Time to live, or hop limit. Never fails. */
int ipq_edit_set_ttl(struct ipq_edit *e, uint8_t ttl);

/* Differentiated services code point (0..63, RFC 2474) and explicit congestion notification (0..3,
 * RFC 3168). -EINVAL: out of range. */
int ipq_edit_set_dscp(struct ipq_edit *e, unsigned dscp);
int ipq_edit_set_ecn(struct ipq_edit *e, unsigned ecn);

/* ---- TCP, UDP, ICMP --------------------------------------------------------------------------- */

/* Each returns e->transport_error if that is set, -EOPNOTSUPP when the packet is authenticated, and
 * -EPROTONOSUPPORT when its protocol has no such field. */

/* TCP, UDP, UDP-Lite. */
int ipq_edit_set_source_port(struct ipq_edit *e, uint16_t port);
int ipq_edit_set_destination_port(struct ipq_edit *e, uint16_t port);

/* ICMP and ICMPv6: type and code; the identifier of an echo message (-EPROTONOSUPPORT for other types). */
int ipq_edit_set_icmp(struct ipq_edit *e, uint8_t type, uint8_t code);
int ipq_edit_set_icmp_id(struct ipq_edit *e, uint16_t id);

/* TCP flags as RFC 9293 numbers them. */
enum ipq_tcp_flags {
	IPQ_TCP_FIN = 0x001,
	IPQ_TCP_SYN = 0x002,
	IPQ_TCP_RST = 0x004,
	IPQ_TCP_PSH = 0x008,
	IPQ_TCP_ACK = 0x010,
	IPQ_TCP_URG = 0x020,
	IPQ_TCP_ECE = 0x040,
	IPQ_TCP_CWR = 0x080,
	IPQ_TCP_AE = 0x100 /* RFC 9768; formerly NS */
};

/* The flags in mask become those in flags, the others stay. -EINVAL: not IPQ_TCP_ flags. */
int ipq_edit_set_tcp_flags(struct ipq_edit *e, unsigned flags, unsigned mask);

/* Sequence and acknowledgement number and window (unscaled). Whoever changes the length of a TCP payload
 * owes the rest of the connection, both ways, the difference in these. */
int ipq_edit_set_tcp_sequence(struct ipq_edit *e, uint32_t sequence);
int ipq_edit_set_tcp_acknowledgement(struct ipq_edit *e, uint32_t acknowledgement);
int ipq_edit_set_tcp_window(struct ipq_edit *e, uint16_t window);

/* Offset in data of the value of the first TCP option of this kind, its bytes in *len (may be NULL).
 * -ENOENT: none. -EBADMSG: malformed options. */
int ipq_edit_find_tcp_option(const struct ipq_edit *e, uint8_t kind, size_t *len);

/*
 * Gives a TCP option this value (without kind and length; len may be 0): in its place if the packet has
 * one, of whatever length; else behind the others. The header grows or shrinks as needed; padding (NOP) is
 * given up when there is no room otherwise. -EINVAL: kind 0 or 1 (they have no value). -EMSGSIZE: more than
 * 40 bytes of options, or a packet over 65535. -ENOSPC: more than e->room. -EOPNOTSUPP: a fragment would
 * change its length. -EBADMSG: malformed options. value must not lie in the packet.
 */
int ipq_edit_set_tcp_option(struct ipq_edit *e, uint8_t kind, const void *value, size_t len);

/* Overwrites all TCP options of this kind with NOP; the length stays. -ENOENT: none. -EBADMSG: malformed
 * options. -EINVAL: kind 0 or 1. */
int ipq_edit_clear_tcp_option(struct ipq_edit *e, uint8_t kind);

/* Lowers the maximum segment size of a SYN to mss. 1: lowered. 0: not a SYN, no such option, or not
 * above mss. -EBADMSG: malformed options. */
int ipq_edit_clamp_mss(struct ipq_edit *e, uint16_t mss);

/* ---- payload ---------------------------------------------------------------------------------- */

/*
 * Puts new_len bytes in the place of old_len bytes at offset of the payload; either length may be 0. bytes
 * must not lie in the packet. -EINVAL: outside the payload. -EOPNOTSUPP: a later fragment, a fragment that
 * would change its length, authenticated or encrypted, or a new length for a UDP-Lite packet that is covered
 * in part. -EMSGSIZE: over 65535 bytes (a verdict of nfnetlink_queue carries 65531). -ENOSPC: more than
 * e->room. -EPROTONOSUPPORT, -EBADMSG: e->transport_error.
 */
int ipq_edit_replace(struct ipq_edit *e, size_t offset, size_t old_len, const void *bytes, size_t new_len);

/* Offset in the payload of the first such bytes at or behind from. -ENOENT: none. -EINVAL: len is 0, or from
 * is behind the payload. Any packet may be searched, later fragments and unknown protocols too. */
int ipq_edit_find(const struct ipq_edit *e, size_t from, const void *bytes, size_t len);

/* Replaces every occurrence of old_bytes in the payload, from left to right, all or none. Returns how many
 * there were, or the errors of ipq_edit_replace(). Takes time linear in the payload. */
int ipq_edit_substitute(struct ipq_edit *e, const void *old_bytes, size_t old_len, const void *new_bytes,
			size_t new_len);

/* ---- checksums -------------------------------------------------------------------------------- */

/*
 * Computes all checksums of the packet from scratch: IPv4 header, TCP, UDP (even where it was 0, none),
 * UDP-Lite, ICMP, ICMPv6. For packets that a device was to complete (IPQ_PACKET_CHECKSUM_NOT_READY), of up
 * to 64 KiB, and for packets made by hand. The errors of ipq_edit_begin(); and with the IPv4 header done but
 * the rest untouched: -EOPNOTSUPP (a fragment, authenticated, encrypted, or a routing header of unknown type
 * under way), -EPROTONOSUPPORT (no such checksum known; so are tunnels, which may carry an incomplete one
 * inside), -EBADMSG (malformed transport header).
 */
int ipq_checksum_complete(void *packet, size_t len);

/* Bits that ipq_checksum_verify() returns. */
enum ipq_checksum_wrong {
	IPQ_CHECKSUM_NETWORK_WRONG = 1 << 0,  /* the IPv4 header's */
	IPQ_CHECKSUM_TRANSPORT_WRONG = 1 << 1 /* TCP, UDP, UDP-Lite, ICMP, ICMPv6 */
};

/* Checks them as a receiver would. 0: right. > 0: IPQ_CHECKSUM_ bits of those that are wrong. < 0: could not
 * be judged: the errors of ipq_edit_begin() and ipq_checksum_complete(); authenticated packets can. */
int ipq_checksum_verify(const void *packet, size_t len);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
