/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The classic calls of <libipq.h>, which is this room's only public header. It may use ipqueue, core,
 * nfqueue, source and util. From top to bottom, each file uses only those below it:
 *
 *	classic.c      the calls, the environment, the list of open handles
 *	over_socket.c  transport: ip_queue's messages on a socket, to an engine or an old kernel
 *	host.c         an engine in a thread of the library
 *	direct.c       transport: the queue's own socket, one packet for each ipq_read
 *	batch.c        the same for programs that request batches
 *	message.c      packets and refusals as ip_queue's messages
 *	error.c        the error of the last call
 */
#ifndef CLASSIC_CLASSIC_H
#define CLASSIC_CLASSIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#include <libipq.h>
#include "source/source.h"
#include "util/count.h"

/* Message types that libipq defines for itself. */
enum {
	IPQ_ERR_NONE,
	IPQ_ERR_IMPL,
	IPQ_ERR_HANDLE,
	IPQ_ERR_SOCKET,
	IPQ_ERR_BIND,
	IPQ_ERR_BUFFER,
	IPQ_ERR_RECV,
	IPQ_ERR_NLEOF,
	IPQ_ERR_ADDRLEN,
	IPQ_ERR_STRUNC,
	IPQ_ERR_RTRUNC,
	IPQ_ERR_NLRECV,
	IPQ_ERR_SEND,
	IPQ_ERR_SUPP,
	IPQ_ERR_RECVBUF,
	IPQ_ERR_TIMEOUT,
	IPQ_ERR_PROTOCOL
};

#define CLASSIC_QUEUE_LENGTH 1024  /* ip_queue's default */
#define CLASSIC_REQUEST_MAX 110000 /* maximum bytes of a verdict's payload, limited by the send buffer */

/* Deadlines of reads: a time of now_us(), or one of these. */
#define READ_NOW INT64_C(0)
#define READ_FOREVER INT64_MAX

enum read_event {
	/* the read is complete: `bytes` is what ipq_read returns; on failure the error is set */
	READ_DONE,
	READ_NOTHING, /* no message has arrived */
	READ_WOKEN,   /* another thread has closed the handle or changed its transport */
	/* A packet of the other family was dropped. If bytes is not 0, ipq_read must not wait, but return
	 * bytes once an engine has taken over. */
	READ_WRONG_FAMILY
};

struct read_result {
	enum read_event event;
	ssize_t bytes;
};

struct classic;

/*
 * How a handle gets packets. Calls return 0 or more, or -errno, except: read never returns READ_NOTHING, and
 * set_verdict returns what ipq_set_verdict returns, so that a packet's path ends there (util/compiler.h).
 */
struct transport {
	int (*open)(struct classic *c, const char *source, struct ipq_error *e);
	void (*wake)(struct classic *c);  /* wakes all readers: they return READ_WOKEN or fail */
	void (*close)(struct classic *c); /* called when no thread uses the handle */
	int (*set_mode)(struct classic *c, uint8_t mode, uint32_t range);
	struct read_result (*read)(struct classic *c, unsigned char *buf, size_t len, int64_t deadline);
	int (*set_verdict)(struct classic *c, uint64_t id, uint32_t verdict, const void *payload, size_t len);
	int (*reconfigure)(struct classic *c); /* queue_length, receive_buffer or fail_open changed */
	int (*set_batch)(struct classic *c, unsigned batch);
	void (*stats)(struct classic *c, struct ipq_ctl_stats *stats);
};

/* A cached interface of recent packets. Valid for packets of the same clock tick. */
struct known_interface {
	uint32_t index;
	uint16_t type;
	char name[IFNAMSIZ];
	int64_t time;
};

struct classic {
	struct ipq_handle public; /* must be first: the part that programs see */
	struct classic *next;	  /* next handle in the list of open handles */
	const struct transport *_Atomic transport;
	char *source_name;
	atomic_int refs; /* references: one of the program, and one of each ipq_read in progress */
	atomic_bool closing;
	pid_t pid;	/* process that created the handle */
	uint8_t family; /* AF_INET, AF_INET6 */

	unsigned batch;
	uint32_t queue_length, receive_buffer;
	bool fail_open;
	bool may_fall_back; /* no source was named: the kernel's ip_queue may be used */
	uint8_t mode;
	uint32_t range;
	bool configured; /* a mode was set */
	bool busy;	 /* another program owned the queue when the last mode was set */
	char explanation[sizeof(struct ipq_error)];
	atomic_uint_fast64_t packets, verdicts, refused, wrong_family;

	/* Members of over_socket.c */
	struct host *host; /* NULL: the kernel's ip_queue, no engine */
	uint32_t client;   /* the handle's number in the engine */
	uint32_t seq;	   /* sequence number of the last request that asked for an acknowledgement */
	atomic_bool acknowledged;

	/* Members of direct.c */
	struct source *source;
	unsigned char *scratch; /* memory for one reader at a time */
	atomic_flag scratch_taken;
	/* the last input and output interface; used by the reader that owns `scratch` */
	struct known_interface known[2];
	int default_rcvbuf; /* SO_RCVBUF of the new socket; the program may change it */
	struct classic_batch *batching;
};

static inline struct classic *classic(const struct ipq_handle *h)
{
	return (struct classic *)(uintptr_t)h;
}

/* error.c. Sets this thread's error, and errno unless err is 0. Returns -1. */
long classic_fail(int ipq_error, int err);
/* Sets the error of a read that has failed. */
struct read_result classic_read_failed(int ipq_error, int err);
/* Sets the result of a read that has timed out: 0, "Timeout", and errno 0. */
struct read_result classic_timed_out(void);

/* Waits until h->fd is readable. READ_NOTHING: it is readable; any other value: the read returns it. */
struct read_result classic_wait(const struct classic *c, int64_t deadline);

/* The result of ipq_set_verdict. err: 0 or -errno of a verdict with len bytes of payload. */
static inline int classic_sent(int err, size_t len)
{
	return err < 0 ? (int)classic_fail(IPQ_ERR_SEND, -err)
		       : (int)(NLMSG_LENGTH(sizeof(ipq_verdict_msg_t)) + len);
}

static inline struct read_result classic_read_done(ssize_t bytes)
{
	return (struct read_result){ READ_DONE, bytes };
}

/* Functions of message.c */

/* A mode request as the library of 2001 sent it: it counted the netlink header twice, so 16 zeros follow. */
#define CLASSIC_MODE_REQUEST (2 * NLMSG_HDRLEN + sizeof(ipq_peer_msg_t))
void classic_put_mode(const struct classic *c, unsigned char request[CLASSIC_MODE_REQUEST], uint8_t mode,
		      size_t range);

/* Each function writes a message into buf. Returns its length, or -1 with the error set if it was truncated. known:
 * the interfaces of the last packet, or NULL. */
ssize_t classic_deliver(struct classic *c, const struct ipq_packet *p, struct known_interface *known,
			unsigned char *buf, size_t len);
ssize_t classic_deliver_refusal(struct classic *c, const struct source_refusal *r, unsigned char *buf,
				size_t len);
/*
 * Writes an acknowledgement, for a program that has seen h->fd readable although there is no message for it.
 */
ssize_t classic_deliver_nothing(struct classic *c, unsigned char *buf, size_t len);

/* batch.c. Sets the packets per receive; 0 or 1: no batches. */
int classic_batch_set(struct classic *c, unsigned size);
void classic_batch_free(struct classic *c);
struct read_result classic_batch_read(struct classic *c, unsigned char *buf, size_t len, int64_t deadline);
int classic_batch_verdict(struct classic *c, const struct source_verdict *v);

/* direct.c. read and set_verdict are public for DIRECT_CALL. */
extern const struct transport classic_direct;
struct read_result classic_direct_read(struct classic *c, unsigned char *buf, size_t len, int64_t deadline);
int classic_direct_set_verdict(struct classic *c, uint64_t id, uint32_t verdict, const void *payload,
			       size_t len);
/* The size of the socket's receive buffer, or -errno. */
int classic_receive_buffer(const struct classic *c);

/* Functions of over_socket.c */
extern const struct transport classic_over_socket;
/*
 * These functions move a handle from classic_direct to classic_over_socket. h->fd keeps its number. 0 or -errno.
 * classic_share: an engine takes the queue over, so that handles of both families can use it. h->fd becomes
 * readable once more. classic_fall_back: for a kernel without nfnetlink_queue; uses the kernel's ip_queue if there
 * is one.
 */
int classic_share(struct classic *c, struct ipq_error *e);
int classic_fall_back(struct classic *c);

#endif
