/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between engine.c (source side), engine_client.c (client side) and engine_deliver.c (packets to clients). */
#ifndef IPQUEUE_STATE_H
#define IPQUEUE_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include "ipqueue/engine.h"
#include "ipqueue/idset.h"

#define BATCH SOURCE_BATCH_MAX
/* A verdict with the largest replacement, and something to see that there was more. */
#define REQUEST_ROOM (65536 + 64)
#define HEAD_MAX 112
/* A slot for a packet, with room in front of the payload for its message's head, and behind for the padding. */
#define SLOT_FRONT 128
#define SLOT_SIZE (SLOT_FRONT + SOURCE_SLOT_SIZE + 64)
/* How much of a verdict is kept in case the source refuses it: all of one without replacement. */
#define KEPT_ROOM 64
#define KEPT 1024

struct client {
	struct client *next, *prev;
	int fd;	  /* -1: has ended, freed when the step is over */
	int type; /* SOCK_ */
	uint8_t family;
	enum wire_layout layout;
	uint32_t pid;	 /* its port id; 0: not known yet */
	uint32_t serial; /* names the client for as long as the engine lives */
	bool capable;
	bool hung_up; /* the other end is closed; requests may be left to read */
	bool blocked; /* packets are held until its socket has room */
	bool watched; /* its socket is in the epoll set */
};

/* ip_queue or ip6_queue. */
struct family {
	uint8_t af;
	uint32_t peer_pid;	  /* 0: nobody */
	struct client *owner;	  /* who has that port id; NULL: nobody, packets get lost */
	struct client *requester; /* who sent the request that made it the peer */
	bool owner_decided;	  /* somebody has owned it, or was waited for in vain */
	enum copy_mode mode;
	bool had_meta; /* the peer has asked for packets without their bytes */
	uint32_t range;
	uint32_t queue_max;
	struct idset waiting;
	struct engine_counts counts; /* only what counts up */
};

/* What a child of fork that steps the engine after its parent must know of what the parent did last. In memory that
 * both have; clients by their serials, 0: none. */
struct shared_state {
	atomic_uint serial; /* the newest client's, of whichever process */
	bool configured;
	struct source_config config;
	struct {
		uint32_t peer_pid, owner, requester, range;
		enum copy_mode mode;
		bool had_meta, owner_decided;
		struct engine_counts counts;
	} family[2];
};

/* A verdict that went to the source and may still be refused. */
struct kept {
	uint32_t tag; /* 0: none */
	uint32_t serial;
	uint32_t id, len;
	bool known; /* the packet was in the waiting set */
	unsigned char request[KEPT_ROOM];
};

struct engine {
	pthread_mutex_t lock;
	struct source *source;
	FILE *log;
	int epoll, wake;
	int always; /* readable without end, stands for a source without descriptor */
	int grace;  /* timer: runs while the end waits for the last verdicts */
	int hope;   /* timer: runs while packets wait for somebody to own their family */
	bool adopt, lossless;
	bool configured, ended, said_end, hoping;
	bool watched;  /* the source is in the epoll set */
	bool polling;  /* it and the owners are looked at in every step instead */
	int failed;    /* what the source died of */
	int broken;    /* why a patient source brings no more packets; verdicts it still takes */
	unsigned work; /* packets received and requests served in this step */
	struct source_config config;
	struct family family[2];
	struct shared_state *shared_state;
	uint64_t wrong_family;
	struct client *clients, *ended_clients;
	uint32_t tag;

	/* Packets from the source. Those not done are held back: only a patient engine does that. */
	struct iovec slot[BATCH];
	struct ipq_packet packet[BATCH];
	bool done[BATCH];
	unsigned held, received;
	unsigned char *slots;
	struct mmsghdr out[BATCH];
	struct iovec out_iov[BATCH][3];
	unsigned char out_head[BATCH][HEAD_MAX];
	unsigned out_packet[BATCH];

	/* Requests, and verdicts that point into them. */
	struct mmsghdr in[BATCH];
	struct iovec in_iov[BATCH];
	unsigned char *requests;
	unsigned char *last; /* one request of a client that has gone, in the middle of another's batch */
	unsigned char *answer;
	struct source_verdict verdict[BATCH];
	unsigned verdicts;
	struct kept kept[KEPT];
};

/* engine.c */
__attribute__((format(printf, 2, 3))) void engine_log(struct engine *e, const char *format, ...);
/* Tells the source what the clients want. 0 or -errno with words. */
int engine_configure(struct engine *e, struct ipq_error *error);
/* A verdict to go with the next engine_flush(); the payload must live until then. */
void engine_verdict(struct engine *e, const struct source_verdict *verdict);
void engine_drop(struct engine *e, uint32_t id);
void engine_flush(struct engine *e);
/* A client has asked something: the end of the packets, if it is near, waits a little longer. */
void engine_active(struct engine *e);
/* Whether a packet of a family without an owner is to be held: one may come in a moment. */
bool engine_hopes(struct engine *e, const struct family *f);
struct family *engine_family(struct engine *e, uint8_t af);

/* engine_client.c */
/* Reads and does what the client asks, a bounded amount; ends it when it has hung up. */
void client_serve(struct engine *e, struct client *c);
/* The other end has gone: does what is left to read, then ends the client. */
void client_finish(struct engine *e, struct client *c);
void client_refused(struct engine *e, uint32_t tag, int error);
/* Puts its socket into the epoll set, or takes it out. */
void client_watch(struct engine *e, struct client *c);
/* There are no more packets: the program reads that behind those that it has been sent. */
void client_send_eof(const struct client *c);
void client_free_ended(struct engine *e);

/* engine_deliver.c */
/* Brings the received packets to their owners; counts those that have to wait in e->held. */
void engine_deliver(struct engine *e);

#endif
