/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Simulates nfnetlink_queue in a thread, at the other end of a socket pair. It acknowledges requests as the kernel
 * does, and records requests and verdicts. So tests can use errors and orders of messages that a real kernel does not
 * produce.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include <pthread.h>
#include <stdatomic.h>
#include "nfqueue/state.h"

struct kernel_request {
	uint16_t queue;
	uint8_t command, mode; /* mode: copy mode + 1 */
	uint16_t family;       /* of the command */
	bool has_flags, has_length;
	uint32_t mask, flags, length, range;
};

struct kernel_verdict {
	uint16_t type, flags, queue;
	uint32_t id, code, tag, mark, payload_len;
	bool has_mark, has_payload, clean; /* clean: the padding consists of zeros, and no bytes follow it */
	uint8_t first, last;		   /* the first and the last byte of the payload */
};

struct kernel {
	int fd;
	pthread_t thread;
	/* Returns the errno to answer; -1: no answer. NULL: all requests are acknowledged. */
	int (*answer)(struct kernel *k, const struct kernel_request *r);
	unsigned char before[256]; /* a message to send before the next answer */
	size_t before_len;
	struct kernel_request request[64];
	struct kernel_verdict verdict[256];
	atomic_uint requests, verdicts, datagrams, noops, synced;
};

/* Starts a simulated kernel. Returns the other end of its socket, or -1. */
int kernel_open(struct kernel *k);
/* Stops the simulated kernel. The other end must be closed. */
void kernel_close(struct kernel *k);
/* Starts a simulated kernel, and returns a source for this queue that is connected to it. */
struct source *kernel_start(struct kernel *k, const char *number);
/* Stops the simulated kernel and closes the source. */
void kernel_stop(struct kernel *k, struct source *s);
/* Returns when everything that was sent on fd has been handled. */
void kernel_settle(struct kernel *k, int fd);

/* Writes a message with an IPv4 packet in INPUT. payload NULL: no payload. Returns its length. */
size_t kernel_packet(unsigned char *message, uint32_t id, const void *payload, size_t len);
/* Appends an attribute to a message. Returns the new length. */
size_t kernel_add(unsigned char *message, uint16_t type, const void *value, size_t len);
void kernel_send(const struct kernel *k, const void *message, size_t len);

#endif
