/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The inside of a classic handle, shared by classic.c and its transports. */
#ifndef CLASSIC_CLASSIC_H
#define CLASSIC_CLASSIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#include <libipq.h>
#include "source/source.h"
#include "util/count.h"

/* libipq's own numbers for its messages. */
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

#define CLASSIC_QUEUE_LENGTH 1024  /* as ip_queue had it */
#define CLASSIC_REQUEST_MAX 110000 /* bytes of replacement: more did not fit the send buffer of old */

struct classic;

/*
 * Each returns 0 or more, or -errno. But read and set_verdict are the rest of ipq_read and ipq_set_verdict: they return
 * what these do, with the error already set, so that nothing is left to do behind them (paths.h).
 */
struct transport {
	int (*open)(struct classic *c, const char *source, struct ipq_error *e);
	void (*wake)(struct classic *c);  /* all readers, so that they see c->closing */
	void (*close)(struct classic *c); /* nobody is inside any more */
	int (*set_mode)(struct classic *c, uint8_t mode, uint32_t range);
	ssize_t (*read)(struct classic *c, unsigned char *buf, size_t len, int timeout);
	int (*set_verdict)(struct classic *c, uint64_t id, uint32_t verdict, const void *payload, size_t len);
	int (*reconfigure)(struct classic *c); /* queue_length, receive_buffer or fail_open changed */
	int (*set_batch)(struct classic *c, unsigned batch);
	void (*stats)(struct classic *c, struct ipq_ctl_stats *stats);
};

/* An interface as the last packets had it, good for those of the same moment. */
struct known_interface {
	uint32_t index;
	uint16_t type;
	char name[IFNAMSIZ];
	int64_t moment;
};

struct classic {
	struct ipq_handle public; /* first: what programs see */
	struct classic *next;	  /* of the process's open handles */
	const struct transport *_Atomic transport;
	char *source_name;
	atomic_int refs; /* the program's own and one for each ipq_read under way */
	atomic_bool closing;
	pid_t pid;	/* that created it */
	uint8_t family; /* AF_INET, AF_INET6 */

	unsigned batch;
	uint32_t queue_length, receive_buffer;
	bool fail_open;
	bool probes; /* no source was named: what the kernel has is found out */
	uint8_t mode;
	uint32_t range;
	char explanation[sizeof(struct ipq_error)];

	/* classic_wire */
	struct host *host; /* the engine; NULL: the kernel's ip_queue */
	uint32_t seq;	   /* of the last request that asked for an answer */
	atomic_bool acknowledged;

	/* classic_nfqueue */
	struct source *source;
	unsigned char *scratch; /* where one reader at a time receives */
	atomic_flag scratch_taken;
	struct known_interface known[2]; /* in and out, of the reader that has the scratch */
	int default_rcvbuf;		 /* as the socket was born: another value is the program's own */
	bool configured;
	atomic_uint_fast64_t packets, verdicts, refused, wrong_family;
	struct classic_batch *batching;
};

static inline struct classic *classic(const struct ipq_handle *h)
{
	return (struct classic *)(uintptr_t)h;
}

/* Sets this thread's error, and errno unless err is 0. Returns -1. */
long classic_fail(int ipq_error, int err);

/* What ipq_set_verdict returns: err is 0 or -errno of a verdict with len bytes of payload. */
static inline int classic_sent(int err, size_t len)
{
	return err < 0 ? (int)classic_fail(IPQ_ERR_SEND, -err)
		       : (int)(NLMSG_LENGTH(sizeof(ipq_verdict_msg_t)) + len);
}

/* What a read returns when its time is over: 0, «Timeout», and no errno. */
ssize_t classic_timed_out(void);

/* classic_nfqueue.c, for batching: messages to the program. */
ssize_t classic_deliver(struct classic *c, const struct ipq_packet *p, struct known_interface *known,
			unsigned char *buf, size_t len);
ssize_t classic_deliver_refusal(struct classic *c, const struct source_refusal *r, unsigned char *buf,
				size_t len);

/* classic_batch.c. size packets a receive; 0 or 1: strict. */
int classic_batch_set(struct classic *c, unsigned size);
void classic_batch_free(struct classic *c);
ssize_t classic_batch_read(struct classic *c, unsigned char *buf, size_t len, int timeout);
int classic_batch_verdict(struct classic *c, const struct source_verdict *v);

/* classic_nfqueue's. */
ssize_t classic_nfqueue_read(struct classic *c, unsigned char *buf, size_t len, int timeout);
int classic_nfqueue_set_verdict(struct classic *c, uint64_t id, uint32_t verdict, const void *payload,
				size_t len);

/* Bytes that the kernel granted. */
int classic_receive_buffer(const struct classic *c);

extern const struct transport classic_nfqueue, classic_wire;

/* The kernel has no nfnetlink_queue: goes on with its ip_queue, if it has that. The program keeps its descriptor
 * number. 0 or -errno. */
int classic_fall_back(struct classic *c);

/* Moves a handle from the queue's own socket to an engine, which takes the queue over; the program keeps its
 * descriptor number. 0 or -errno. */
int classic_share(struct classic *c, struct ipq_error *e);
/* The same from a reader, who does not hold the list of handles. Another reader may have been faster. */
int classic_share_locked(struct classic *c, struct ipq_error *e);

#endif
