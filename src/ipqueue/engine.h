/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ip_queue in user space: does the work of the kernel module, for any number of clients on datagram sockets, with
 * packets from any source. One engine serves both families (ip_queue and ip6_queue), each with an owner, a mode, a
 * queue limit and counters. This and messages.h are the public headers of the room, which may use source, core and
 * util.
 *
 * A lossless source (a capture file, a held queue) is read only as fast as its clients read. From any other source, a
 * packet for which a client's socket has no room is dropped and counted, as in ip_queue. With a lossless source, the
 * engine also waits a moment for the first client of each family. With engine_options.keep, it treats every source in
 * this way.
 *
 * Threads: one thread at a time calls engine_step(). All other functions except engine_close() may be called from any
 * thread. The engine starts no thread, so it can also continue in a forked child.
 */
#ifndef IPQUEUE_ENGINE_H
#define IPQUEUE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/uio.h>
#include "ipqueue/messages.h"
#include "source/source.h"

struct engine;

struct engine_options {
	FILE *log; /* a line for each event; NULL: none */
	/*
	 * Another process has used the source before, so packets that the engine has not seen may wait in it.
	 * Verdicts for unknown ids are sent to the source, and refused only if the source refuses them.
	 */
	bool adopt;
	/*
	 * When a client ends, the next owner of its family receives the packets that it has not decided, in order
	 * and with the same ids. Until then no packets are received: they wait in the source.
	 */
	bool keep;
	/*
	 * The source is configured for whole packets when a client is added, not only when a client sets a mode. So
	 * a packet that arrives after a mode request was sent is received even if the request was not read yet. The
	 * option is not needed for a lossless or held source, which loses no packets.
	 */
	bool early;
};

/*
 * Opens an engine, which owns the source from then on. options may be NULL. Returns 0, or -errno with a text in *e;
 * then the caller still owns the source. The source is configured when a client first sets a mode, or earlier: see
 * `early`.
 */
int engine_open(struct engine **engine, struct source *source, const struct engine_options *options,
		struct ipq_error *e);
/* Closes the source and every client's socket. */
void engine_close(struct engine *engine);
/* Closes the engine, but not the source: it belongs to the caller again. */
void engine_detach(struct engine *engine);
/* Frees a forked child's copy of an engine without affecting the process that steps it. */
void engine_close_after_fork(struct engine *engine);

/*
 * Serves the program at the other end of fd, which the engine owns from then on. fd is a SOCK_SEQPACKET
 * socket. family is AF_INET or AF_INET6.
 * pid is the port id in the program's netlink headers; 0: take it from the first request. capable: whether
 * the program has CAP_NET_ADMIN. The client ends when the other end is closed. Returns the client's number
 * (> 0), -EINVAL (wrong kind of socket or family) or -errno; on failure the caller still owns fd.
 */
int engine_add(struct engine *engine, int fd, uint8_t family, enum wire_layout layout, uint32_t pid,
	       bool capable);

/*
 * Serves a request of a client immediately, after the requests in its socket. When this returns, the request has
 * taken effect, and its refusal or acknowledgement is in the client's socket. 0; a positive errno: the refusal;
 * -ENOENT: no such client.
 */
int engine_request(struct engine *engine, uint32_t client, const struct iovec *piece, size_t pieces);

/* The port id of a client; 0: still unknown, because the client has sent no request. */
uint32_t engine_client_pid(struct engine *engine, uint32_t client);

/*
 * Creates a pair of sockets for engine_add(): pair[0] for the engine, pair[1] for the program, close-on-exec,
 * SOCK_SEQPACKET; flags may be SOCK_NONBLOCK. The engine's end has an abstract name of ten zeros. So the address
 * that the program's recvfrom returns has 12 bytes, with nl_pid 0 and nl_groups 0
 * (doc/assumptions/seqpacket-as-netlink.c). 0 or -errno.
 */
int engine_socketpair(int pair[2], int flags);

#define ENGINE_BUFFER (1024 * 4096) /* bytes of memory for the default limit of waiting packets */
/* Sets the send buffer to at least this size, as far as the system permits. */
void engine_enlarge(int fd, int bytes);

/* A descriptor that is readable when engine_step has something to do. */
int engine_fd(const struct engine *engine);

/*
 * Watches a descriptor of the caller. While it is watched, engine_step also waits until it is readable or has
 * ended, and then returns 1, unless the engine has a failure to report. So the caller needs no poll() before each
 * step. 0 or -errno.
 */
int engine_watch(struct engine *engine, int fd, bool on);

/*
 * Waits up to timeout_ms (-1: for ever) for packets or requests, and processes them. 0; 1: see engine_watch();
 * -ECANCELED after engine_wake(); -ENODATA when the source has ended and no packet waits for a verdict (clients have
 * been sent an end of file); -errno when the source failed, see engine_error().
 */
int engine_step(struct engine *engine, int timeout_ms);
/* Cause and remedy of the source's failure. Never NULL, valid until engine_close(). */
const char *engine_error(const struct engine *engine);
/* The source's failure so far: 0 or -errno. */
int engine_failure(struct engine *engine);
/*
 * Whether the source still accepts verdicts. If a capture file is damaged, the packets before the damage can still
 * be decided; after the last of these verdicts, engine_step returns the failure.
 */
bool engine_lives(const struct engine *engine);
/*
 * A forked child calls this before it first steps the engine that its parent has stepped. Restores the parent's
 * state.
 */
void engine_resume(struct engine *engine);
/* Called by fork handlers: between these two calls, no other thread is inside the engine. */
void engine_lock(struct engine *engine);
void engine_unlock(struct engine *engine);
/* Makes the current or the next call of engine_step return. Async-signal-safe. */
void engine_wake(struct engine *engine);

/* Sets the limit that was net.ipv4.ip_queue_maxlen: 0 drops all packets, UINT32_MAX is no limit. */
void engine_set_queue_max(struct engine *engine, uint8_t family, uint32_t max);

struct engine_counters {
	uint32_t peer_pid;
	enum copy_mode mode;
	uint32_t range;
	uint32_t queue_length, queue_max;
	uint64_t queue_dropped;		      /* packets dropped because too many were waiting */
	uint64_t netlink_dropped;	      /* packets dropped because the client's socket was full */
	uint64_t packets;		      /* packets delivered */
	uint64_t accepted, dropped, replaced; /* verdicts by kind */
	/* packets dropped because no program has requested packets of this family */
	uint64_t wrong_family;
};
/*
 * The counters of one family: the values of /proc/net/ip_queue, and more. For other families only wrong_family is
 * set.
 */
void engine_counts(struct engine *engine, uint8_t family, struct engine_counters *counts);
/* The text of /proc/net/ip_queue or, for AF_INET6, ip6_queue. Returns its length, as snprintf does. */
int engine_proc_text(struct engine *engine, uint8_t family, char *buf, size_t room);
/* Packets that were lost before the engine received them. 0 or -errno. */
int engine_source_counts(struct engine *engine, struct source_counts *counts);

#endif
