/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between source_ipqueue.c (the socket and its settings) and source_ipqueue_flow.c (packets and verdicts). */
#ifndef IPQUEUE_SOURCE_IPQUEUE_H
#define IPQUEUE_SOURCE_IPQUEUE_H

#include <pthread.h>
#include <stdatomic.h>
#include "ipqueue/idmap.h"
#include "ipqueue/messages.h"
#include "source/source.h"

#define IPQUEUE_SENT 1024    /* requests remembered until they cannot be refused any more */
#define IPQUEUE_REFUSED 1024 /* refusals of our own that wait for a reader; more are lost */

/* A request on its way, at the index of its sequence number. */
struct ipqueue_sent {
	uint32_t seq;
	struct source_refusal as; /* what it is reported as when ip_queue says no */
};

struct ipqueue_interface {
	char name[IFNAMSIZ];
	uint16_t type;
};

struct ipqueue {
	struct source base;
	int fd;	     /* the conversation with ip_queue */
	int event;   /* readable while a wake or a refusal of our own is there */
	int poll_fd; /* readable when either is */
	uint8_t family;
	bool netlink; /* the kernel's own, not somebody in its place */
	bool configured, ended;
	uint32_t port; /* netlink port id */
	atomic_bool woken;
	atomic_uint_fast64_t overruns, malformed;
	struct ipq_error text;

	pthread_mutex_t send_lock; /* one sender at a time; taken before lock */
	pthread_mutex_t lock;	   /* the rest; never held while waiting */
	struct idmap waiting;
	uint32_t seq;
	struct ipqueue_sent sent[IPQUEUE_SENT];
	struct source_refusal refused[IPQUEUE_REFUSED];
	size_t refusals;
	struct ipqueue_interface *interface; /* index - 1 */
	uint32_t interfaces, interface_room;
};

static inline struct ipqueue *ipqueue(struct source *s)
{
	return (struct ipqueue *)(void *)s;
}

/* Gives the request a sequence number under which a refusal finds as again. */
void ipqueue_remember(struct ipqueue *q, void *request, const struct source_refusal *as);

int ipqueue_recv(struct source *s, struct source_slot *slot, struct ipq_packet *packet, unsigned max,
		 int timeout_ms, source_refused refused, void *context);
int ipqueue_send(struct source *s, const struct source_verdict *verdict, unsigned n);
int ipqueue_refuse(struct source *s, const struct source_refusal *refusal);

#endif
