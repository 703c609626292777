/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ip_queue in user space: what the kernel module did, for any number of clients on datagram sockets,
 * with packets from any source. One engine serves both families (ip_queue and ip6_queue), each with an
 * owner, a mode, a queue limit and counters of its own.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include <stdint.h>
#include <stdio.h>
#include "source.h"
#include "wire.h"

struct engine;
struct engine_client;

struct engine_options {
	uint32_t queue_length; /* of each family; 0: 1024 */
	FILE *log;             /* a line for each event; NULL: none */
};

/* The engine owns the source from then on. 0 or -errno with words in *e. */
int engine_open(struct engine **engine, struct source *source, const struct engine_options *options,
		struct ipq_error *e);
void engine_close(struct engine *engine);

/*
 * Serves the program at the other end of fd (SOCK_SEQPACKET or SOCK_DGRAM), which the engine owns from
 * then on: requests in, packets and errors out. family is AF_INET or AF_INET6; pid is what the program's
 * netlink headers carry; capable says whether it would have had CAP_NET_ADMIN. The end of the socket is
 * the end of the client.
 */
int engine_add(struct engine *engine, int fd, uint8_t family, enum wire_layout layout, uint32_t pid, bool capable);

/* Readable when engine_step has something to do. */
int engine_fd(const struct engine *engine);

/* Does what there is to do; waits timeout_ms for it. 0; -ENODATA when the source has ended and all is
 * delivered; -errno when the source failed. */
int engine_step(struct engine *engine, int timeout_ms);

struct engine_counts {
	uint32_t peer_pid;
	enum copy_mode mode;
	uint32_t range;
	uint32_t queue_length, queue_max;
	uint64_t queue_dropped, netlink_dropped;
	uint64_t packets, accepted, dropped, replaced, foreign;
};
/* Of one family: what /proc/net/ip_queue would say, and more. */
void engine_counts(const struct engine *engine, uint8_t family, struct engine_counts *counts);
/* The text of /proc/net/ip_queue or /proc/net/ip6_queue. Returns its length, as snprintf does. */
int engine_proc(const struct engine *engine, uint8_t family, char *buf, size_t room);

#endif
