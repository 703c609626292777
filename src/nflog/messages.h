/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private: parses and builds nfnetlink_log's messages. No I/O. */
#ifndef NFLOG_MESSAGES_H
#define NFLOG_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/netlink.h>
#include "source/source.h"

/* The longest payload: an attribute's 16-bit length includes its own 4-byte header. */
#define NFLOG_PAYLOAD_MAX 65531
/* Bytes of the payload from which the length of a packet is read. */
#define NFLOG_LENGTH_RANGE 6

enum nflog_kind {
	NFLOG_PACKET,
	NFLOG_ACK,   /* the answer to a request, with the request's type and seq, and its result in `error` */
	NFLOG_OTHER, /* the end of a datagram, or a message of another kind */
	NFLOG_MALFORMED
};

struct nflog_message {
	enum nflog_kind kind;
	size_t len;    /* bytes of this message in the datagram, with its padding */
	bool numbered; /* the message has the packet's number in the group */
	uint32_t seq;  /* packet: its number in the group; answer: the request's sequence number */
	uint16_t type; /* answer: the request's type */
	int error;     /* answer: 0 or a positive errno */
};

/*
 * Reads the first message of a datagram of which len bytes (not 0) are left, aligned to 4 bytes. A packet is filled
 * into p, with pointers into the message. p->id is not set.
 */
void nflog_parse(unsigned char *bytes, size_t len, struct ipq_packet *p, struct nflog_message *m);

struct nflog_config {
	uint16_t group;
	uint8_t command;    /* NFULNL_CFG_CMD_; NFULNL_CFG_CMD_NONE: only the settings change */
	uint8_t family;	    /* address family of NFULNL_CFG_CMD_PF_BIND */
	bool settings;	    /* the members below are in the message */
	uint32_t range;	    /* maximum payload bytes */
	uint32_t buffer;    /* bytes that the kernel collects in one datagram */
	uint32_t threshold; /* packets that the kernel collects in one datagram */
	uint32_t timeout;   /* how long the kernel collects packets, in hundredths of a second */
	bool conntrack;	    /* send the conntrack entry */
};

#define NFLOG_REQUEST_MAX 128

/* Writes a request for an acknowledged change into buf (NFLOG_REQUEST_MAX bytes, aligned to 4). */
struct nlmsghdr *nflog_request(void *buf, uint32_t seq, const struct nflog_config *config);

#endif
