/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ipq_edit: changes packets, and keeps lengths and checksums right.
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
 * There is no call to end an edit: after every call the packet is complete and may be sent. A call that fails changes
 * nothing in the packet. An edit that keeps the length may be made in packet->payload itself (room = payload_len). An
 * edit that makes the packet longer needs a buffer with room, as above.
 *
 * Checksums are adjusted for the changed bytes (RFC 1624), not recomputed. A packet that arrived with a wrong
 * checksum leaves with an equally wrong one, so that the receiver still detects the damage. ipq_checksum_complete()
 * recomputes checksums.
 *
 * If a field covers the changed bytes and cannot be adjusted, the edit is refused with -EOPNOTSUPP: see enum
 * ipq_edit_reason. ipq_edit(7) lists the fields that are adjusted, the fields that cause a refusal, and the
 * fields that are not recognised.
 *
 * Supported are IPv4 with options; IPv6 with hop-by-hop, routing, destination, fragment and authentication headers;
 * TCP, UDP, UDP-Lite, SCTP, ICMP and ICMPv6; packets with length 0 from captures with segmentation offload;
 * jumbograms. No call allocates memory, blocks or prints, or keeps state outside struct ipq_edit: threads may edit
 * different packets at the same time. Numbers are in host byte order, addresses are bytes in network order. Calls
 * return 0 or -errno unless described otherwise.
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
	/* Partial checksum, completed by hardware or by ipq_checksum_complete(): the field holds the sum
	 * of the pseudo-header. Input of ipq_edit_begin(); edits keep it. The same bit as
	 * IPQ_PACKET_CHECKSUM_NOT_READY. */
	IPQ_EDIT_CHECKSUM_NOT_READY = 1 << 0,
	IPQ_EDIT_FRAGMENT = 1 << 8, /* set by ipq_edit_begin(): a fragment, first or later */
	/* set by ipq_edit_begin(): a later fragment, without a transport header */
	IPQ_EDIT_LATER_FRAGMENT = 1 << 9,
	IPQ_EDIT_AUTHENTICATED = 1 << 10, /* set by ipq_edit_begin(): an Authentication Header (RFC 4302) */
	/* Set by ipq_edit_begin(): the length field is 0, from a capture with segmentation offload. The
	 * packet has the length given to ipq_edit_begin(). Edits keep the 0. */
	IPQ_EDIT_NO_LENGTH = 1 << 11,
	/* set by ipq_edit_begin(): a jumbo payload option has the length (RFC 2675) */
	IPQ_EDIT_JUMBO = 1 << 12,
	/* Input of ipq_edit_begin(): also accept a packet of which only the first bytes are present. Afterwards the
	 * bit is set only if bytes are missing. Then the header fields can be changed, but neither its
	 * payload nor its length (-ENODATA). */
	IPQ_EDIT_CUT = 1 << 13
};

/* Why a call failed, more precisely than its -errno: see ipq_edit.reason. Later versions may add values. */
enum ipq_edit_reason {
	IPQ_EDIT_REASON_NONE,
	IPQ_EDIT_REASON_ARGUMENT,      /* an argument is out of range, or this protocol has no such field */
	IPQ_EDIT_REASON_MALFORMED,     /* a header or option is malformed */
	IPQ_EDIT_REASON_CUT,	       /* only the first bytes of the packet are present */
	IPQ_EDIT_REASON_FRAGMENT,      /* a fragment: see ipq_edit_begin() */
	IPQ_EDIT_REASON_PROTOCOL,      /* unknown transport protocol, such as DCCP */
	IPQ_EDIT_REASON_ENCRYPTED,     /* ESP, also in UDP */
	IPQ_EDIT_REASON_AUTHENTICATED, /* an Authentication Header covers the bytes */
	IPQ_EDIT_REASON_SIGNED, /* TCP-MD5 (RFC 2385), TCP-AO (RFC 5925) or SCTP's AUTH or cookie covers the bytes */
	IPQ_EDIT_REASON_MPTCP,	  /* a Multipath TCP option covers the payload or counts its bytes */
	IPQ_EDIT_REASON_TUNNEL,	  /* the payload is another packet, with lengths and checksums of its own */
	IPQ_EDIT_REASON_ICMP,	  /* the payload is a quoted packet, or has lengths of its own */
	IPQ_EDIT_REASON_COVERAGE, /* a new length, for UDP-Lite with partial checksum coverage */
	IPQ_EDIT_REASON_ROUTE,	  /* an unknown routing header hides the final destination */
	IPQ_EDIT_REASON_SIZE,	  /* the packet or its TCP options would become too long */
	IPQ_EDIT_REASON_ROOM,	  /* the packet would not fit into the buffer */
	IPQ_EDIT_REASON_LATE,	  /* ipq_tcp.h: later payload was already sent */
	IPQ_EDIT_REASON_MEMORY,	  /* ipq_tcp.h: the memory for connections is used up */
	/* ipq_tcp.h: sequence or acknowledgement number outside the connection's window */
	IPQ_EDIT_REASON_WINDOW,
	IPQ_EDIT_REASON_CHUNK, /* SCTP: a new length, or bytes other than the user data of one chunk */
	IPQ_EDIT_REASON_COUNT  /* number of reasons in this version */
};

/* Returns a reason in a few words, for messages and statistics, for example "fragment". The text is static and never
 * NULL. */
const char *ipq_edit_reason_text(unsigned reason);

/* A packet that is being edited. The caller allocates the struct, ipq_edit_begin() fills it in, and the calls below
 * update it. Callers may read the members, but must not change them. Offsets count from data. */
struct ipq_edit {
	uint8_t *data;		 /* the packet: the caller's memory */
	uint32_t len;		 /* current length of the packet in bytes */
	uint32_t room;		 /* bytes at data that may be used */
	uint32_t flags;		 /* IPQ_EDIT_* flags */
	int32_t transport_error; /* 0, or the -errno that calls return if they need a transport header */
	uint8_t version;	 /* 4 or 6 */
	uint8_t protocol;	 /* IPPROTO_ number after the network header and its extension headers */
	uint16_t reason;	 /* IPQ_EDIT_REASON_ of the last call that failed */
	uint32_t transport;	 /* offset of the transport header */
	uint32_t transport_len;	 /* bytes of transport header and payload */
	uint32_t payload; /* offset of the payload of TCP, UDP, SCTP (its chunks) or ICMP (after 8 bytes) */
	uint32_t payload_len; /* bytes of payload in this packet */
	uint32_t checksum;    /* offset of the transport checksum; 0: none in this packet */
	uint32_t covered;     /* number of bytes, starting at `transport`, that the checksum covers */
	/* Offsets of the addresses in the pseudo-header; 0: unknown. With a Home Address option or a routing header,
	 * these addresses are not those of the network header. */
	uint32_t final_source, final_destination;
	uint32_t reserved2[6];
};

/*
 * Parses the packet at data: len bytes from the network header on, in a buffer of room bytes. ipq_packet.flags may be
 * passed as flags: IPQ_PACKET_CHECKSUM_NOT_READY and IPQ_PACKET_TRUNCATED are used, the other bits are ignored. Bytes
 * after the end of the packet (padding of short Ethernet frames) are cut off: see e->len. Returns 0, or
 * -EBADMSG     the packet is not IPv4 or IPv6, or has a malformed network or extension header
 * -ENODATA     only the first bytes of the packet are present (IPQ_PACKET_TRUNCATED); with IPQ_EDIT_CUT only if the
 *              network headers are not complete
 * -EINVAL      room < len
 *
 * A transport header that is malformed (-EBADMSG), encrypted (-EOPNOTSUPP), unknown (-EPROTONOSUPPORT), not complete
 * (-ENODATA), or in another fragment (-EOPNOTSUPP) is no error here: see e->transport_error. In a first fragment,
 * payload can be replaced by the same number of bytes; in later fragments only the network header can be changed.
 * After an error there is no packet in e: no other call changes anything.
 */
int ipq_edit_begin(struct ipq_edit *e, void *data, size_t len, size_t room, uint32_t flags);

/* ---- network header --------------------------------------------------------------------------- */

/*
 * Source and destination address: 4 bytes for IPv4, 16 for IPv6, in network order. In a fragmented packet, set the
 * same addresses in all fragments. A packet with a source route that is not completed (IPv4 LSRR or SSRR, IPv6
 * routing header with segments left) keeps its final destination: only the next hop changes. Returns 0, or
 * -EAFNOSUPPORT        len does not match the packet's family
 * -EOPNOTSUPP          the packet is authenticated, signed or encrypted (in transport mode, an encrypted checksum
 *                      covers the addresses), or a routing header of unknown type has segments left
 * -EPROTONOSUPPORT     the protocol is unknown, and its checksum may cover the addresses
 * -EBADMSG             the transport header is malformed
 */
int ipq_edit_set_source(struct ipq_edit *e, const void *address, size_t len);
int ipq_edit_set_destination(struct ipq_edit *e, const void *address, size_t len);

/* Time to live, or hop limit. Fails only if ipq_edit_begin() has failed. */
int ipq_edit_set_ttl(struct ipq_edit *e, uint8_t ttl);

/* Differentiated services code point (0..63, RFC 2474) and explicit congestion notification (0..3,
 * RFC 3168). -EINVAL: out of range. */
int ipq_edit_set_dscp(struct ipq_edit *e, unsigned dscp);
int ipq_edit_set_ecn(struct ipq_edit *e, unsigned ecn);

/* ---- TCP, UDP, ICMP --------------------------------------------------------------------------- */

/*
 * These calls return e->transport_error if it is set, -EOPNOTSUPP if the packet is authenticated or signed, and
 * -EPROTONOSUPPORT if its protocol has no such field.
 */

/* TCP, UDP, UDP-Lite, SCTP. */
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

/* Sets the flags in mask to their values in flags; the others stay. -EINVAL: not IPQ_TCP_ flags. */
int ipq_edit_set_tcp_flags(struct ipq_edit *e, unsigned flags, unsigned mask);

/* Sequence and acknowledgement number, and window (unscaled). If the payload's length changes, sequence
 * numbers must be adjusted in both directions for the rest of the connection. */
int ipq_edit_set_tcp_sequence(struct ipq_edit *e, uint32_t sequence);
int ipq_edit_set_tcp_acknowledgement(struct ipq_edit *e, uint32_t acknowledgement);
int ipq_edit_set_tcp_window(struct ipq_edit *e, uint16_t window);

/* Finds the first TCP option of this kind. Returns the offset of its value in data, and stores the length of the value
 * in *len (len may be NULL). -ENOENT: none. -EBADMSG: malformed options. */
int ipq_edit_find_tcp_option(const struct ipq_edit *e, uint8_t kind, size_t *len);

/*
 * Sets the value of a TCP option (without kind and length; len may be 0). An existing option is replaced, a new one
 * is appended. The header grows or shrinks as needed; NOP padding is removed when room is short. value must not be in
 * the packet. Returns 0, or
 * -EINVAL      kind is 0 or 1 (these options have no value)
 * -EMSGSIZE    the packet would have more than 40 bytes of options, or more than 65535 bytes
 * -ENOSPC      the packet would be longer than e->room
 * -EOPNOTSUPP  a fragment would change its length
 * -EBADMSG     the options are malformed
 */
int ipq_edit_set_tcp_option(struct ipq_edit *e, uint8_t kind, const void *value, size_t len);

/* Overwrites all TCP options of this kind with NOP; the length does not change. In a signed packet, only
 * the signature (kind 19 or 29) can be cleared. -ENOENT: no such option. -EBADMSG: malformed options.
 * -EINVAL: kind 0 or 1. */
int ipq_edit_clear_tcp_option(struct ipq_edit *e, uint8_t kind);

/* Lowers the maximum segment size of a SYN to mss. Returns 1 if it was lowered, and 0 if the packet is not a SYN, has
 * no such option, or has a value that is not above mss. -EBADMSG: malformed options. */
int ipq_edit_clamp_mss(struct ipq_edit *e, uint16_t mss);

/* ---- payload ---------------------------------------------------------------------------------- */

/*
 * Replaces old_len bytes at offset of the payload by new_len bytes; either length may be 0. The urgent pointer of TCP
 * is adjusted. bytes must not be in the packet. Returns 0, or
 * -EINVAL                      the bytes to replace are outside the payload
 * -EOPNOTSUPP                  a field covers or counts the bytes and cannot be adjusted: see e->reason
 * -EMSGSIZE                    the packet would have more than 65535 bytes (a verdict of nfnetlink_queue carries 65531)
 * -ENOSPC                      the packet would be longer than e->room
 * -EPROTONOSUPPORT, -EBADMSG   the error in e->transport_error
 */
int ipq_edit_replace(struct ipq_edit *e, size_t offset, size_t old_len, const void *bytes, size_t new_len);

/* Finds bytes in the payload. Returns the offset of the first match at or after `from`. -ENOENT: no match. -EINVAL: len
 * is 0, or `from` is beyond the payload. Every packet can be searched, including later fragments and unknown
 * protocols. */
int ipq_edit_find(const struct ipq_edit *e, size_t from, const void *bytes, size_t len);

/* Replaces every occurrence of old_bytes in the payload, from left to right; if one cannot be replaced, none is.
 * Returns the number of occurrences, or the errors of ipq_edit_replace(). If old_bytes does not occur, returns 0,
 * even for packets that cannot be edited. The time is linear in the length of the payload. */
int ipq_edit_substitute(struct ipq_edit *e, const void *old_bytes, size_t old_len, const void *new_bytes,
			size_t new_len);

/* ---- checksums -------------------------------------------------------------------------------- */

/*
 * Computes all checksums of the packet: IPv4 header, TCP, UDP (even if it was 0, no checksum), UDP-Lite, SCTP,
 * ICMP, ICMPv6. Use it for partial checksums (IPQ_PACKET_CHECKSUM_NOT_READY) of packets up to 64 KiB, and for new
 * packets. Returns 0 or the errors of ipq_edit_begin(). With these errors only the IPv4 header's checksum is set:
 * -EOPNOTSUPP          the packet is a fragment, authenticated or encrypted, or has a routing header of unknown type
 *                      with segments left
 * -EPROTONOSUPPORT     the protocol is unknown, or is a tunnel, whose inner packet may have a partial checksum
 * -EBADMSG             the transport header is malformed
 */
int ipq_checksum_complete(void *packet, size_t len);

/* Bits that ipq_checksum_verify() returns. */
enum ipq_checksum_wrong {
	IPQ_CHECKSUM_NETWORK_WRONG = 1 << 0,  /* the checksum of the IPv4 header */
	IPQ_CHECKSUM_TRANSPORT_WRONG = 1 << 1 /* the checksum of TCP, UDP, UDP-Lite, SCTP, ICMP or ICMPv6 */
};

/* Verifies the checksums as a receiver would. Returns 0 if they are right, or IPQ_CHECKSUM_ bits (> 0) of the wrong
 * ones. If they cannot be verified, returns the errors of ipq_edit_begin() and ipq_checksum_complete(); but
 * authenticated packets can be verified. */
int ipq_checksum_verify(const void *packet, size_t len);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
