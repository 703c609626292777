/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* nfnetlink_queue on a plain netlink socket, for the consumers that use no library. */
#ifndef RAW_H
#define RAW_H

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <sys/uio.h>
#include "bench.h"

#define SLOT            \
	(65536 + 4096 + \
	 64) /* room for any packet; not a multiple of the page size, so that slots do not share cache sets \
			     */
#define SEND_BYTES (160u << 10) /* less than the default send buffer */

struct verdict_message {
	struct nlmsghdr nlh;
	struct nfgenmsg gen;
	struct nlattr attr;
	struct nfqnl_msg_verdict_hdr verdict;
};

struct payload_header {
	struct verdict_message message;
	struct nlattr attr;
};

struct raw {
	int fd;
	uint16_t queue;
	const struct job *job;
	struct tally *tally;
	bool coalesce;
	unsigned limit; /* maximum number of messages per send */
	unsigned n;	/* number of messages that are not sent yet */
	size_t bytes;	/* length of these messages */
	unsigned pieces;
	struct payload_header message[BATCH];
	struct iovec iov[3 * BATCH];
	/* whether a run of equal verdicts is not yet in a message */
	bool run;
	uint32_t run_id;
	unsigned run_verdict, run_length;
};

struct raw_packet {
	uint32_t id, mark, info;
	unsigned char *payload;
	size_t len;
};

/*
 * Takes the queue; the caller reports that it is ready. Like all of these functions, returns 0, or -1 with a
 * message on stderr.
 */
int raw_open(struct raw *raw, const struct job *job, unsigned queue, struct tally *tally, bool gso);
/* False: the message is not a packet. The payload points into buf. */
bool raw_parse(unsigned char *buf, size_t len, struct raw_packet *packet);
/* Collects a verdict. The caller updates its counters. */
int raw_verdict(void *raw, uint32_t id, unsigned verdict);
/* Accepts the packet with the payload, which must stay valid until the flush. */
int raw_replace(struct raw *raw, const struct raw_packet *packet);
int raw_flush(struct raw *raw);

#endif
