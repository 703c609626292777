/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Private to the engine. From top to bottom, each file uses only those below it:
 *
 *	engine.c     opening, stepping, the end, counters
 *	deliver.c    packets to clients
 *	client.c     clients and their requests
 *	fork.c       what a child process needs to continue
 *	events.c     the epoll set and its timers
 *	undecided.c  copies of packets, for the next owner
 *	to_source.c  settings and verdicts for the source
 */
#ifndef IPQUEUE_STATE_H
#define IPQUEUE_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include "ipqueue/engine.h"
#include "ipqueue/idset.h"

#define BATCH SOURCE_BATCH_MAX
/* Room for a verdict with the largest replacement, and for some more bytes by which a longer one is noticed. */
#define REQUEST_ROOM (65536 + 64)
#define HEAD_MAX 112
/* A slot for a packet has room for the message's head before the payload, and for the padding after it. */
#define SLOT_FRONT 128
#define SLOT_SIZE (SLOT_FRONT + SOURCE_SLOT_SIZE + 64)
/* Bytes of a verdict that are stored in case the source refuses it: everything except its payload. */
#define KEPT_ROOM 64
#define KEPT 1024
/* The copy range before the first mode: one byte less than the kernel's maximum, so that /proc shows that there is no
 * mode yet. */
#define EARLY_RANGE 65530
#define BUCKETS 4096 /* hash buckets for undecided packets, by id */
/*
 * Maximum number of undecided packets that are received while there is no owner, or the owner's socket has no room.
 */
#define KEEP_PACKETS 16384
#define KEEP_BYTES (64 << 20)

struct undecided;

struct client {
	struct client *next, *prev;
	int fd; /* -1: the client has ended and is freed at the end of the step */
	uint8_t family;
	enum wire_layout layout;
	uint32_t pid;	 /* port id of the client; 0: not known yet */
	uint32_t serial; /* number of the client, unique in this engine */
	bool capable;
	bool hung_up; /* the other end is closed; requests may still be in the socket */
	bool blocked; /* packets are held until the client's socket has room */
	bool watched; /* the client's socket is in the epoll set */
	bool async;   /* the client has once sent a mode request without waiting until it was served */
};

/* The state of ip_queue or ip6_queue. */
struct family {
	uint8_t af;
	uint32_t peer_pid;	  /* port id of the peer; 0: none */
	struct client *owner;	  /* the client with the peer's port id; NULL: none, packets are lost */
	struct client *requester; /* the client whose request made the port id the peer */
	bool owner_decided;	  /* the family has had an owner, or the wait for one has timed out */
	enum copy_mode mode;
	bool had_meta; /* the peer has once requested packets without their payload */
	uint32_t range;
	uint32_t queue_max;
	struct idset waiting;
	struct engine_counters counts; /* only the members that are event counters */
	/* Used with engine_options.keep: the settings of the last peer, and the lists of undecided.c. */
	enum copy_mode last_mode;
	uint32_t last_range;
	struct undecided *oldest, *newest, *again, *bucket[BUCKETS];
	size_t kept, kept_bytes;
};

/*
 * The parent's last state, for a child that steps the engine after the parent. It is in shared memory; clients are
 * named by serial, 0: none.
 */
struct shared_state {
	atomic_uint serial; /* the serial of the newest client in all processes */
	bool configured;
	struct source_config config;
	struct {
		uint32_t peer_pid, owner, requester, range;
		enum copy_mode mode;
		bool had_meta, owner_decided;
		struct engine_counters counts;
	} family[2];
};

/* The last interface that was looked up in the current batch of packets; index 0: none. */
struct device {
	uint32_t index;
	uint16_t type;
	char name[IFNAMSIZ];
};

/* A verdict that was sent to the source and that the source may still refuse. */
struct kept {
	uint32_t tag; /* tag of the verdict; 0: none */
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
	/* the thread must return because of engine_wake(); other wakeups only request a step */
	atomic_bool woken;
	int always_ready; /* an eventfd that is always readable */
	int end_timer;	  /* timer that runs while the end of the packets waits for the last verdicts */
	int owner_timer;  /* timer that runs while packets wait for an owner of their family */
	bool adopt, lossless, keep, early;
	bool patient; /* the source is lossless, or `keep` is set: packets wait for clients */
	bool configured, ended, eof_sent, awaiting_owner;
	bool serving;	/* the memory for requests is in use */
	bool receiving; /* the memory for packets is in use */
	/* function that receives and delivers the packets that are now in the source */
	void (*receive_earlier)(struct engine *e);
	/* the source's -errno for the last configuration; 0: it succeeded */
	int refused;
	bool reported;	/* the last epoll_wait() returned the source */
	bool watched;	/* the source is in the epoll set */
	bool polling;	/* the source and the owners are not in the epoll set: see engine_set_polling */
	int failed;	/* -errno: the source does not work any more */
	int broken;	/* -errno: the source has no more packets, but still takes verdicts */
	bool passed_on; /* a verdict for an unknown id was sent: the source may refuse it */
	unsigned work;	/* packets received and requests served in this step */
	struct source_config config;
	bool grew;	 /* the last configuration requested more bytes per packet */
	uint32_t cut_at; /* copied bytes per packet before that configuration */
	struct family family[2];
	struct shared_state *shared_state;
	uint64_t wrong_family;
	struct client *clients, *ended_clients;
	uint32_t tag;

	/*
	 * Packets from the source. Packets that are not done are held, which happens only with a lossless source.
	 */
	struct iovec slot[BATCH];
	struct ipq_packet packet[BATCH];
	bool done[BATCH];
	unsigned held, received;
	unsigned char *slots;
	struct mmsghdr out[BATCH];
	struct iovec out_iov[BATCH][3];
	unsigned char out_head[BATCH][HEAD_MAX];
	unsigned out_packet[BATCH];
	struct device last_indev, last_outdev;

	/* Requests, and verdicts whose payloads lie in the requests. */
	struct mmsghdr in[BATCH];
	struct iovec in_iov[BATCH];
	unsigned char *requests;
	unsigned char *request; /* memory for a request that came in pieces */
	/* memory for one request of a client that has ended during another client's batch */
	unsigned char *last;
	unsigned char *answer;
	struct source_verdict verdict[BATCH];
	unsigned verdicts;
	struct kept kept[KEPT];
};

static inline struct family *engine_family(struct engine *e, uint8_t af)
{
	return af == AF_INET ? &e->family[0] : af == AF_INET6 ? &e->family[1] : NULL;
}

/* The family of a client. Each client has one of two: see engine_add(). */
static inline struct family *client_family(struct engine *e, const struct client *c)
{
	return &e->family[c->family == AF_INET6];
}

static inline struct client *engine_find_client(const struct engine *e, uint32_t serial)
{
	struct client *c;

	for (c = e->clients; c != NULL && c->serial != serial; c = c->next)
		;
	return c;
}

/* Functions of to_source.c */
__attribute__((format(printf, 2, 3))) void engine_log(struct engine *e, const char *format, ...);
bool engine_same_config(const struct source_config *a, const struct source_config *b);
/* Configures the source as the clients have requested. 0 or -errno with a text. */
int engine_configure(struct engine *e, struct ipq_error *error);
/* A verdict for the next engine_flush(). The payload must stay valid until then. */
void engine_verdict(struct engine *e, const struct source_verdict *verdict);
void engine_drop(struct engine *e, uint32_t id);
void engine_flush(struct engine *e);

/* Functions of events.c, and engine_wake() */
/* Wakes the thread that steps the engine, so that it checks for work. */
void engine_poke(struct engine *e);
int engine_open_events(struct engine *e);
int engine_source_fd(const struct engine *e);
bool engine_wants_packets(const struct engine *e);
/* Put the source or a client's socket into the epoll set, or take it out. */
void engine_watch_source(struct engine *e);
void client_watch(struct engine *e, struct client *c);
void engine_set_polling(struct engine *e, bool on);
/* Call this when a client has sent a request. If the end of the packets is pending, it is sent a little later. */
void engine_extend_end(struct engine *e);
/* Whether packets of a family without an owner must be held because an owner may register soon. */
bool engine_await_owner(struct engine *e, const struct family *f);
void engine_end_await(struct engine *e);

/* Functions of fork.c */
void engine_save_state(struct engine *e);
void engine_restore_state(struct engine *e);

/* Functions of undecided.c */
/*
 * Copies a packet, if the engine stores copies. offered: the packet was sent to the owner. Returns whether there is
 * a copy.
 */
bool undecided_add(struct engine *e, struct family *f, const struct ipq_packet *p, bool offered);
/* Removes the copy of a packet. False: there is none. */
bool undecided_remove(struct family *f, uint32_t id);
bool undecided_has(struct family *f, uint32_t id);
/* Records that the packet was sent to the owner. Returns whether it was sent for the first time. */
bool undecided_offered(struct engine *e, struct family *f, const struct ipq_packet *p);
/* Call this when the owner has ended: all copies wait for the next owner. */
void undecided_offer_again(struct family *f);
/* Copies received packets that cannot be offered yet because older ones wait. */
void undecided_store(struct engine *e);
/* Puts up to BATCH packets that can be offered now into e->packet[]. Returns their number. */
unsigned undecided_take(struct engine *e);
bool undecided_can_offer(const struct engine *e);
bool undecided_are_left(const struct engine *e);
bool undecided_have_room(const struct engine *e);
void undecided_free(struct family *f);

/* Functions of client.c */
/* Reads and serves a limited number of the client's requests; ends the client when it has hung up. */
void client_serve(struct engine *e, struct client *c);
/* Serves at most one request of the client, which costs less. */
void client_serve_one(struct engine *e, struct client *c);
/* Call this when the other end is closed: serves the requests that are left, then ends the client. */
void client_finish(struct engine *e, struct client *c);
void client_refused(struct engine *e, uint32_t tag, int error);
/* Serves one request that is not in its socket. 0 or the positive errno of the refusal. */
int client_request(struct engine *e, struct client *c, const struct iovec *piece, size_t pieces);
/* Makes the program read an end of file after the last packet. */
void client_send_eof(const struct client *c);
void client_free_ended(struct engine *e);

/* deliver.c. Sends the received packets to their owners; e->held counts those that must wait. */
void engine_deliver(struct engine *e);

#endif
