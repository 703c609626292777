/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The room of the kernel's nfnetlink_queue: a source for one queue; and diagnosis (diagnose.h) for error texts and
 * the command. May use source, util.
 */
#ifndef NFQUEUE_NFQUEUE_H
#define NFQUEUE_NFQUEUE_H

#include "source/source.h"

/* The longest replacement payload: an attribute's 16-bit length includes its own 4-byte header. */
#define NFQ_PAYLOAD_MAX 65531

extern const struct source_ops source_nfqueue;

/* The numbers of the two spare queues (0, 1) of a queue that is taken over: see recover.c. */
static inline uint16_t nfqueue_spare(uint16_t number, unsigned which)
{
	return number ^ (which == 0 ? 0x8000 : 0xc000);
}

/* The functions of source_nfqueue.recv and source_nfqueue.send, for direct calls. */
int nfqueue_recv(struct source *s, const struct iovec *slot, struct ipq_packet *packet, unsigned max,
		 int timeout_ms, source_refused refused, void *context);
int nfqueue_send(struct source *s, const struct source_verdict *verdict, unsigned n);

#endif
