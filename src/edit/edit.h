/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shared by the files of this room and of tcp. Other rooms include ipq_edit.h only. The order of the files: sum.c,
 * sctp.c and parse.c use none of the others; protect.c uses sctp.c; edit.c uses sum.c, sctp.c and protect.c;
 * tcp.c uses edit.c; checksum.c uses sum.c, sctp.c and parse.c.
 *
 * Sums are one's complement sums of 16-bit words in memory order. As RFC 1071 shows, the bytes of the result are
 * then the same on big- and little-endian machines. The only sum to swap is that of bytes that begin at an odd
 * offset. A folded sum has 16 bits; 0 and 0xffff both mean zero.
 */
#ifndef EDIT_EDIT_H
#define EDIT_EDIT_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "ipq_edit.h"
#include "util/bytes.h"

static inline uint16_t sum_fold(uint64_t sum)
{
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16); /* the first fold leaves 18 bits */
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* Folded sum of len bytes. odd: the bytes begin at an odd offset of the checksummed data. */
uint16_t sum_bytes(const void *bytes, size_t len, bool odd);

/* The change of a sum when one of its parts changes from `before` to `after`. */
static inline uint16_t sum_change(uint16_t before, uint16_t after)
{
	return sum_fold((uint64_t)(uint16_t)~before + after);
}

/* Sum of a length in the pseudo-header. The field has 32 bits; a small length uses 16 of them. */
static inline uint16_t sum_length(size_t len)
{
	return sum_fold((uint64_t)htons((uint16_t)(len >> 16)) + htons((uint16_t)len));
}

/* Whether the transport checksum covers the addresses and a length in addition to the transport's own bytes. */
static inline bool edit_has_pseudo_header(const struct ipq_edit *e)
{
	return e->protocol != IPPROTO_ICMP && e->protocol != IPPROTO_SCTP;
}

/*
 * Computes the CRC-32C of RFC 9260, appendix A. Begin with ~0. The checksum is the complement of the result, least
 * significant byte first.
 */
uint32_t edit_crc32c(uint32_t crc, const uint8_t *p, size_t len);
/* The reason why the chunks of this SCTP packet cannot be edited; IPQ_EDIT_REASON_NONE: they can. */
unsigned edit_sctp_reason(const struct ipq_edit *e);
/*
 * Whether the bytes [begin, end) of the packet are user data of one chunk. Call it only if edit_sctp_reason()
 * returned no reason. *chunk is e->payload at first, and advances with the positions.
 */
bool edit_sctp_is_data(const struct ipq_edit *e, size_t *chunk, size_t begin, size_t end);

/* Number of bytes of the packet that are not present: see IPQ_EDIT_CUT. */
static inline uint32_t edit_missing(const struct ipq_edit *e)
{
	return e->reserved2[0];
}

/* Stores the reason of a failure and returns err. */
static inline int edit_fail(struct ipq_edit *e, unsigned reason, int err)
{
	e->reason = (uint16_t)reason;
	return err;
}

enum {
	IPV6_HEADER = 40,
	IPV6_OPTION_PAD1 = 0,
	IPV6_OPTION_JUMBO = 0xc2, /* RFC 2675 */
	TCP_HEADER = 20,
};

/*
 * Length of the TCP option at offset `at`, which is before end. NOP and the end of the list have length 1.
 * -EBADMSG: malformed.
 */
int edit_option_len(const uint8_t *data, size_t at, size_t end);
/* Offset of the first TCP option of this kind at or after from; -ENOENT; or -EBADMSG. */
int edit_find_option(const struct ipq_edit *e, size_t from, uint8_t kind);
/* Kind of the TCP option that signs the packet; 0: none. */
uint8_t edit_signature(const struct ipq_edit *e);

/* The reason that belongs to e->transport_error. */
unsigned edit_transport_reason(const struct ipq_edit *e);
/* Whether transport header and payload can be changed: 0 or -errno. protocol: the required one, 0 for any. */
int edit_transport(struct ipq_edit *e, int protocol);
/* Whether the payload (and, if resize is set, its length) can be changed: 0 or -errno. */
int edit_payload(struct ipq_edit *e, bool resize);

/* Overwrites n bytes at offset of the packet, at or after the transport header, and adjusts the checksum. */
void edit_write(struct ipq_edit *e, size_t offset, const void *bytes, size_t n);

/* Replaces old_len bytes at offset of the packet by new_len bytes and adjusts all lengths and the
 * checksum. The caller has checked edit_transport() or edit_payload(), and adjusts payload or payload_len.
 * 0 or -errno. */
int edit_splice(struct ipq_edit *e, size_t offset, size_t old_len, const void *bytes, size_t new_len);

#endif
