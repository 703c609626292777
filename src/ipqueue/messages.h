/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ip_queue's messages, encoded and decoded in the layout of 64-bit (LP64) and 32-bit (ILP32) programs. Pure
 * functions: no I/O, no allocation; every length is checked first.
 */
#ifndef IPQUEUE_MESSAGES_H
#define IPQUEUE_MESSAGES_H

#include <stddef.h>
#include <stdint.h>
#include <net/if.h>

enum wire_layout { WIRE_LP64, WIRE_ILP32 };
#define WIRE_NATIVE (sizeof(long) == 8 ? WIRE_LP64 : WIRE_ILP32)

#define WIRE_NLHDR 16 /* size of struct nlmsghdr, the same in both layouts */

/* An IPQM_PACKET message without its payload. Host byte order. */
struct wire_packet {
	uint64_t packet_id, mark;
	int64_t timestamp_sec, timestamp_usec;
	uint32_t hook;
	char indev[IFNAMSIZ], outdev[IFNAMSIZ]; /* terminated and padded with zeros */
	uint16_t hw_protocol, hw_type;
	uint8_t hw_addrlen, hw_addr[8];
};

/* Bytes before the payload: netlink header and packet message. 112 (LP64), 88 (ILP32). */
size_t wire_packet_head(enum wire_layout layout);
/* Bytes before the payload of a verdict: 40 (LP64), 28 (ILP32). A mode message has the same size. */
size_t wire_request_head(enum wire_layout layout);

/*
 * Writes the header and the packet message; the caller appends payload_len bytes of payload. buf has room for
 * wire_packet_head(). Returns the length including the payload. nlmsg_len is this length rounded by NLMSG_ALIGN.
 */
size_t wire_put_packet(enum wire_layout layout, void *buf, const struct wire_packet *p, size_t payload_len);

/* A decoded request. */
struct wire_request {
	uint16_t type, flags; /* fields of the netlink header */
	uint32_t seq, pid;
	uint32_t len; /* nlmsg_len */
	struct {
		uint8_t value;
		uint64_t range;
	} mode; /* valid for IPQM_MODE */
	struct {
		uint32_t value;
		uint64_t id, data_len;
		const void *payload; /* the bytes after the header, even if data_len differs; NULL: none */
		size_t payload_len;
	} verdict; /* valid for IPQM_VERDICT */
};

/* Decodes the header, then the body. 0; -EINVAL: shorter than a peer message, only the header is set;
 * -EBADMSG: not a netlink header or a wrong nlmsg_len, which ip_queue ignored. */
int wire_get_request(enum wire_layout layout, const void *buf, size_t len, struct wire_request *r);

/*
 * These functions write requests with their header. The caller appends a verdict's payload. They return the length
 * including the payload.
 */
size_t wire_put_mode(enum wire_layout layout, void *buf, uint32_t pid, uint8_t mode, uint64_t range);
size_t wire_put_verdict(enum wire_layout layout, void *buf, uint32_t pid, uint32_t value, uint64_t id,
			size_t payload_len);

/*
 * Writes an NLMSG_ERROR that quotes the first `quote` bytes of request. error is a positive errno or 0 (an
 * acknowledgement). buf has room for 20 + quote. Returns the length.
 */
size_t wire_put_error(void *buf, int error, uint32_t pid, const void *request, size_t quote);

#endif
