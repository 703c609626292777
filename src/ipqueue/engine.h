/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ip_queue in user space: what the kernel module did, for any number of clients on datagram sockets,
 * with packets from any source. One engine serves both families (ip_queue and ip6_queue), each with an
 * owner, a mode, a queue limit and counters of its own.
 *
 * A source that can wait (source_ops.patient: a capture file) is read only as fast as its clients go; from
 * any other, what a client has no room for is dropped and counted, as ip_queue did. Nor does a source that can
 * wait lose a family's packets to a program that asks for the other family first: once for each family they
 * are held for a moment.
 *
 * Threads: engine_step() runs in one thread at a time; everything else but engine_close() may be called
 * from any thread meanwhile. Nothing starts a thread here, so an engine may also live in a forked child.
 */
#ifndef IPQUEUE_ENGINE_H
#define IPQUEUE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "ipqueue/messages.h"
#include "source/source.h"

struct engine;

struct engine_options {
	uint32_t queue_length; /* of each family; 0: 1024 */
	FILE *log;	       /* a line for each event; NULL: none */
	/* Packets that the engine has never seen may wait in the source (it was in use before): verdicts
	 * for unknown ids go to it, and what it refuses is answered when it says so. */
	bool adopt;
};

/* The engine owns the source from then on; options may be NULL. 0, or -errno with words in *e: then the
 * source is still the caller's. The source is configured when the first client asks. */
int engine_open(struct engine **engine, struct source *source, const struct engine_options *options,
		struct ipq_error *e);
/* Closes the source and every client's socket. */
void engine_close(struct engine *engine);
/* The same, but the source stays open and is the caller's. */
void engine_detach(struct engine *engine);
/* Frees what this process, a child of fork, has of an engine that another one steps, which notices nothing. */
void engine_close_after_fork(struct engine *engine);

/*
 * Serves the program at the other end of fd (SOCK_SEQPACKET; SOCK_DGRAM works, but its end shows only
 * when something is sent), which the engine owns from then on: requests in, packets and errors out.
 * family is AF_INET or AF_INET6; pid is what the program's netlink headers carry, 0: what its first
 * request carries; capable says whether it would have had CAP_NET_ADMIN. The end of the socket is the
 * end of the client. 0, -EINVAL (not such a socket or family), -errno; then fd is still the caller's.
 */
int engine_add(struct engine *engine, int fd, uint8_t family, enum wire_layout layout, uint32_t pid,
	       bool capable);

/*
 * A pair for engine_add(): pair[0] is for the engine, pair[1] the program's, close-on-exec, SOCK_SEQPACKET; flags
 * may be SOCK_NONBLOCK. The engine's end has an abstract name of ten bytes, six of them 0: an address that the
 * program's recvfrom returns is then 12 bytes long with nl_pid 0, which is all that programs look at
 * (doc/assumptions/seqpacket-as-netlink.c). 0 or -errno.
 */
int engine_socketpair(int pair[2], int flags);

#define ENGINE_BUFFER (1024 * 4096) /* for as many messages as wait at most, unless the limit is changed */
/* Lets at least so many bytes wait behind fd, as far as the system allows it. */
void engine_enlarge(int fd, int bytes);

/* Readable when engine_step has something to do. */
int engine_fd(const struct engine *engine);

/*
 * Does what there is to do; waits timeout_ms for it (-1: without end). 0; -ECANCELED after engine_wake();
 * -ENODATA when the source has ended and no packet waits for a verdict any more (the end of file stands
 * behind the last packet on its clients' sockets); -errno when the source failed, see engine_error().
 */
int engine_step(struct engine *engine, int timeout_ms);
/* What the source says of its failure: cause and remedy. Never NULL, valid until engine_close(). */
const char *engine_error(const struct engine *engine);
/* What engine_step says or will say of a failure of the source, so far: 0 or -errno. */
int engine_failure(struct engine *engine);
/* Whether it still takes verdicts. A capture file that is damaged brings no more packets, but those before the damage
 * can be decided like any others: engine_step says what is wrong when they have been. */
bool engine_lives(const struct engine *engine);
/* To be called in a child of fork before it steps an engine that its parent may have stepped meanwhile: both share
 * the kernel's side of it, and this makes ours agree with that. */
void engine_resume(struct engine *engine);
/* Makes a blocked (or the next) engine_step return. Async-signal-safe. */
void engine_wake(struct engine *engine);

/* What net.ipv4.ip_queue_maxlen was: 0 drops all, UINT32_MAX is no limit. Packets that wait stay. */
void engine_set_queue_max(struct engine *engine, uint8_t family, uint32_t max);

struct engine_counts {
	uint32_t peer_pid;
	enum copy_mode mode;
	uint32_t range;
	uint32_t queue_length, queue_max;
	uint64_t queue_dropped;		      /* too many were waiting */
	uint64_t netlink_dropped;	      /* the client's socket was full */
	uint64_t packets;		      /* handed out */
	uint64_t accepted, dropped, replaced; /* by verdict */
	uint64_t wrong_family;		      /* dropped: nobody wanted this family */
};
/* Of one family: what /proc/net/ip_queue would say, and more. For any other family only foreign counts. */
void engine_counts(struct engine *engine, uint8_t family, struct engine_counts *counts);
/* What the source has lost before the engine saw it. 0, -errno. */
int engine_source_counts(struct engine *engine, struct source_counts *counts);
/* The text of /proc/net/ip_queue or /proc/net/ip6_queue. Returns its length, as snprintf does. */
int engine_proc(struct engine *engine, uint8_t family, char *buf, size_t room);

#endif
