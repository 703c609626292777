/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nfnetlink_queue at the other end of a socket pair, in a thread: it acknowledges requests as the kernel does and
 * records them, and the verdicts. So errors and orders of messages can be tested that a kernel does not produce.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include <pthread.h>
#include <stdatomic.h>
#include "nfqueue/state.h"

struct kernel_request {
	uint16_t queue;
	uint8_t command, mode; /* mode: copy mode + 1 */
	bool has_flags, has_length;
	uint32_t mask, flags, length, range;
};

struct kernel_verdict {
	uint16_t type, flags, queue;
	uint32_t id, code, tag, mark, payload_len;
	bool has_mark, has_payload, clean; /* clean: the padding is zeros, and nothing is left over */
	uint8_t first, last;		   /* bytes of the payload */
};

struct kernel {
	int fd;
	pthread_t thread;
	/* The errno to answer; -1: no answer. NULL: acknowledges all. */
	int (*answer)(struct kernel *k, const struct kernel_request *r);
	unsigned char before[256]; /* sent before the next answer */
	size_t before_len;
	struct kernel_request request[64];
	struct kernel_verdict verdict[256];
	atomic_uint requests, verdicts, datagrams, noops, synced;
};

/* The other end of a new kernel's socket, or -1. */
int kernel_open(struct kernel *k);
/* Ends it, when the other end has been closed. */
void kernel_close(struct kernel *k);
/* A source for this queue, whose socket leads to the kernel. */
struct source *kernel_start(struct kernel *k, const char *number);
/* Closes the source, too. */
void kernel_stop(struct kernel *k, struct source *s);
/* Returns when all that was sent on fd has been handled. */
void kernel_settle(struct kernel *k, int fd);

/* A packet message of IPv4 in INPUT. payload NULL: without payload. Returns its length. */
size_t kernel_packet(unsigned char *message, uint32_t id, const void *payload, size_t len);
/* One more attribute at its end. Returns the new length. */
size_t kernel_add(unsigned char *message, uint16_t type, const void *value, size_t len);
void kernel_send(const struct kernel *k, const void *message, size_t len);

#endif
