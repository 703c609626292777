/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ip_queue's packets on their way in, verdicts on their way out. See source_ipqueue.c. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <linux/netlink.h>
#include <linux/netfilter_ipv4/ip_queue.h>
#include "ipqueue/source_ipqueue.h"
#include "util/clock.h"
#include <linux/netfilter.h>

#define BATCH_MAX 64
#define INTERFACES_MAX 4096
#define HEAD_MAX 64 /* a verdict without its payload */

/* ---- requests and their refusals ---------------------------------------------------------------- */

/* Lock held. */
void ipqueue_remember(struct ipqueue *q, void *request, const struct source_refusal *as)
{
	struct nlmsghdr nlh;
	struct ipqueue_sent *sent;

	if (++q->seq == 0)
		q->seq = 1;
	sent = &q->sent[q->seq % IPQUEUE_SENT];
	sent->seq = q->seq;
	sent->as = *as;
	memcpy(&nlh, request, sizeof(nlh));
	nlh.nlmsg_seq = q->seq;
	memcpy(request, &nlh, sizeof(nlh));
}

int ipqueue_refuse(struct source *s, const struct source_refusal *refusal)
{
	struct ipqueue *q = ipqueue(s);
	bool room;

	pthread_mutex_lock(&q->lock);
	room = q->refusals < IPQUEUE_REFUSED;
	if (room)
		q->refused[q->refusals++] = *refusal;
	eventfd_write(q->event, 1);
	pthread_mutex_unlock(&q->lock);
	return room ? 0 : -ENOBUFS;
}

/* Hands out our own refusals; returns how many. Not under the lock: the callback may send. */
static unsigned report_refusals(struct ipqueue *q, source_refused refused, void *context)
{
	struct source_refusal some[16];
	unsigned n, i;

	pthread_mutex_lock(&q->lock);
	n = q->refusals < 16 ? (unsigned)q->refusals : 16;
	memcpy(some, q->refused, n * sizeof(some[0]));
	q->refusals -= n;
	memmove(q->refused, q->refused + n, q->refusals * sizeof(some[0]));
	pthread_mutex_unlock(&q->lock);
	for (i = 0; i < n && refused != NULL; i++)
		refused(context, &some[i]);
	return n;
}

/* Whether somebody has woken us. The event stays readable while anything is left to tell. */
static bool take_events(struct ipqueue *q)
{
	bool woken = atomic_exchange(&q->woken, false);
	eventfd_t value;

	pthread_mutex_lock(&q->lock);
	eventfd_read(q->event, &value);
	if (q->refusals > 0)
		eventfd_write(q->event, 1);
	pthread_mutex_unlock(&q->lock);
	return woken || atomic_exchange(&q->woken, false);
}

/* ---- receiving ---------------------------------------------------------------------------------- */

/* The number of an interface by this name, made when there is none; 0: no name, no room. Lock held. */
static uint32_t interface_index(struct ipqueue *q, const char *name, uint16_t type)
{
	uint32_t i, room = q->interface_room == 0 ? 16 : 2 * q->interface_room;

	if (name[0] == '\0')
		return 0;
	for (i = 0; i < q->interfaces && memcmp(q->interface[i].name, name, IFNAMSIZ) != 0; i++)
		;
	if (i == q->interfaces && i == q->interface_room) {
		void *more =
			room <= INTERFACES_MAX ? realloc(q->interface, room * sizeof(*q->interface)) : NULL;

		if (more == NULL)
			return 0;
		q->interface = more;
		q->interface_room = room;
	}
	if (i == q->interfaces) {
		memcpy(q->interface[i].name, name, IFNAMSIZ);
		q->interface[i].type = 0;
		q->interfaces++;
	}
	if (type != 0) /* told only of packets that came in */
		q->interface[i].type = type;
	return i + 1;
}

static size_t min(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* What the packet says of its own length, which may be more than was copied. */
static uint32_t full_len(const struct ipqueue *q, const uint8_t *ip, size_t len)
{
	uint32_t whole = 0;

	if (q->family == AF_INET && len >= 4)
		whole = (uint32_t)ip[2] << 8 | ip[3];
	else if (q->family == AF_INET6 && len >= 6)
		whole = ((uint32_t)ip[4] << 8 | ip[5]) + 40;
	return whole > len ? whole : (uint32_t)len;
}

static void fill_payload(const struct ipqueue *q, struct source_slot *slot, struct ipq_packet *p,
			 size_t data_len)
{
	size_t at = wire_packet_head(WIRE_NATIVE), in_head = slot->head_room - at;
	size_t n = min(data_len, in_head + (slot->tail != NULL ? slot->tail_room : 0));

	p->payload = slot->head + at;
	p->payload_len = (uint32_t)n;
	p->present |= IPQ_HAS_PAYLOAD;
	p->full_len = full_len(q, p->payload, min(n, in_head));
	if (p->full_len < data_len)
		p->full_len = (uint32_t)data_len;
	if (p->full_len > n)
		p->flags |= IPQ_PACKET_TRUNCATED;
	slot->payload_split = slot->head + slot->head_room == slot->tail ? n : min(n, in_head);
}

/* Lock held. */
static void fill_packet(struct ipqueue *q, const struct wire_packet *w, struct ipq_packet *p)
{
	memset(p, 0, sizeof(*p));
	p->family = q->family;
	p->hook = (uint8_t)w->hook;
	p->hw_protocol = w->hw_protocol;
	p->mark = (uint32_t)w->mark;
	p->present = IPQ_HAS_MARK;
	if (w->timestamp_sec != 0 || w->timestamp_usec != 0) {
		p->timestamp = w->timestamp_sec * 1000000000 + w->timestamp_usec * 1000;
		p->present |= IPQ_HAS_TIMESTAMP;
	}
	p->indev = interface_index(q, w->indev, w->hw_type);
	p->outdev = interface_index(q, w->outdev, 0);
	p->present |= (p->indev != 0 ? IPQ_HAS_INDEV : 0) | (p->outdev != 0 ? IPQ_HAS_OUTDEV : 0);
	if (w->hw_addrlen > 0) {
		p->hw_addr_len = (uint8_t)min(w->hw_addrlen, sizeof(p->hw_addr));
		memcpy(p->hw_addr, w->hw_addr, sizeof(p->hw_addr));
		p->present |= IPQ_HAS_HWADDR;
	}
}

/* len is the message's true length, which may be more than the slot took. */
static bool take_packet(struct ipqueue *q, struct source_slot *slot, size_t len, struct ipq_packet *packet)
{
	struct idmap_entry *entry;
	struct wire_packet w;
	const void *payload;
	size_t data_len;

	if (wire_get_packet(WIRE_NATIVE, slot->head, len, &w, &payload, &data_len) < 0) {
		atomic_fetch_add(&q->malformed, 1);
		return false;
	}
	pthread_mutex_lock(&q->lock);
	entry = idmap_add(&q->waiting, w.packet_id);
	if (entry != NULL) {
		fill_packet(q, &w, packet);
		packet->id = entry->ours;
	}
	pthread_mutex_unlock(&q->lock);
	if (entry == NULL) {
		atomic_fetch_add(&q->overruns, 1); /* nobody can decide it */
		return false;
	}
	slot->payload_split = 0;
	if (data_len > 0)
		fill_payload(q, slot, packet, data_len);
	return true;
}

/* ip_queue said no, or yes to somebody who did not wait for it. True: a refusal was reported. */
static bool take_error(struct ipqueue *q, const unsigned char *message, size_t len, source_refused refused,
		       void *context)
{
	struct source_refusal as = { 0 };
	struct ipqueue_sent *sent;
	struct nlmsghdr nlh;
	int error;

	if (len < NLMSG_HDRLEN + sizeof(error)) {
		atomic_fetch_add(&q->malformed, 1);
		return false;
	}
	memcpy(&nlh, message, sizeof(nlh));
	memcpy(&error, message + NLMSG_HDRLEN, sizeof(error));
	if (error >= 0 || error < -4095)
		return false;
	pthread_mutex_lock(&q->lock);
	sent = &q->sent[nlh.nlmsg_seq % IPQUEUE_SENT];
	if (nlh.nlmsg_seq != 0 && sent->seq == nlh.nlmsg_seq)
		as = sent->as;
	pthread_mutex_unlock(&q->lock);
	as.error = -error;
	if (refused != NULL)
		refused(context, &as);
	return true;
}

struct receiving {
	struct mmsghdr msg[BATCH_MAX];
	struct iovec iov[BATCH_MAX][2];
};

/* What is there, up to max datagrams; 0: nothing. */
static int receive(struct ipqueue *q, struct receiving *rx, const struct source_slot *slot, unsigned max)
{
	unsigned i;
	int n;

	for (i = 0; i < max; i++) {
		rx->iov[i][0] = (struct iovec){ slot[i].head, slot[i].head_room };
		rx->iov[i][1] = (struct iovec){ slot[i].tail, slot[i].tail_room };
		rx->msg[i].msg_hdr =
			(struct msghdr){ .msg_iov = rx->iov[i], .msg_iovlen = slot[i].tail != NULL ? 2 : 1 };
	}
	for (;;) {
		n = recvmmsg(q->fd, rx->msg, max, MSG_DONTWAIT | MSG_TRUNC, NULL);
		if (n >= 0)
			return n;
		if (errno == ENOBUFS)
			atomic_fetch_add(&q->overruns, 1); /* told once; the socket goes on */
		else if (errno == EAGAIN)
			return 0;
		else if (errno != EINTR &&
			 errno != ECONNRESET) /* the latter once, from a peer that has closed */
			return ipq_fail(&q->text, errno, "cannot receive from ip_queue: %s", strerror(errno));
	}
}

/* Packets that are there; *reported: refusals among them. -ENODATA: the other end has gone. */
static int receive_now(struct ipqueue *q, struct source_slot *slot, struct ipq_packet *packet, unsigned max,
		       source_refused refused, void *context, unsigned *reported)
{
	struct receiving rx;
	unsigned i, count = 0;
	struct nlmsghdr nlh;
	int n = q->ended ? 0 : receive(q, &rx, slot, max);

	for (i = 0; n > 0 && i < (unsigned)n && !q->ended; i++) {
		size_t len = rx.msg[i].msg_len;

		memset(&nlh, 0, sizeof(nlh));
		memcpy(&nlh, slot[i].head, min(len, sizeof(nlh)));
		if (len == 0) {
			q->ended = true;
		} else if (nlh.nlmsg_type == NLMSG_ERROR) {
			*reported += take_error(q, slot[i].head, len, refused, context);
		} else if (take_packet(q, &slot[i], len, &packet[count])) {
			slot[count].payload_split = slot[i].payload_split;
			count++;
		}
	}
	if (count == 0 && q->ended)
		return ipq_fail(&q->text, ENODATA, "the other end of ip_queue's socket is closed");
	return n < 0 ? n : (int)count;
}

/* Until something is there: 1; the time is over: 0; -EINTR. */
static int wait_until(const struct ipqueue *q, int64_t end, int timeout_ms)
{
	struct pollfd p = { .fd = q->poll_fd, .events = POLLIN };
	int64_t left = timeout_ms < 0 ? -1 : end - now_ms();
	int n;

	if (timeout_ms >= 0 && left <= 0)
		return 0;
	n = poll(&p, 1, (int)left);
	return n < 0 ? -errno : n;
}

int ipqueue_recv(struct source *s, struct source_slot *slot, struct ipq_packet *packet, unsigned max,
		 int timeout_ms, source_refused refused, void *context)
{
	int64_t end = timeout_ms > 0 ? now_ms() + timeout_ms : 0;
	struct ipqueue *q = ipqueue(s);
	unsigned reported = 0;
	int n;

	if (max > BATCH_MAX)
		max = BATCH_MAX;
	for (;;) {
		reported = report_refusals(q, refused, context);
		if (take_events(q))
			return -ECANCELED;
		n = receive_now(q, slot, packet, max, refused, context, &reported);
		if (reported > 0 && n < 0)
			n = 0; /* an end can be told again */
		if (n != 0 || reported > 0 || timeout_ms == 0 || max == 0)
			return n;
		n = wait_until(q, end, timeout_ms);
		if (n <= 0)
			return n;
	}
}

/* ---- verdicts ----------------------------------------------------------------------------------- */

/* Messages that leave together. Each is for a packet whose entry is marked as taken until it has left. */
struct outgoing {
	struct mmsghdr msg[BATCH_MAX];
	struct iovec iov[BATCH_MAX][2];
	unsigned char head[BATCH_MAX][HEAD_MAX];
	uint32_t id[BATCH_MAX];
	unsigned verdict[BATCH_MAX]; /* index of the caller's that it belongs to */
	unsigned n;
};

static void report_as(const struct source_verdict *v, uint32_t id, int error, struct source_refusal *as)
{
	*as = (struct source_refusal){
		.error = error,
		.id = id,
		.code = v->code,
		.tag = v->tag,
		.payload_len = (uint32_t)((v->present & IPQ_SET_PAYLOAD) ? v->payload_len : 0)
	};
}

/* Lock held. */
static void add_message(struct ipqueue *q, struct outgoing *out, struct idmap_entry *entry,
			const struct source_verdict *v, unsigned index)
{
	size_t payload = (v->present & IPQ_SET_PAYLOAD) ? v->payload_len : 0;
	struct iovec *iov = out->iov[out->n];
	unsigned char *head = out->head[out->n];
	struct source_refusal as;

	report_as(v, entry->ours, 0, &as);
	wire_put_verdict(WIRE_NATIVE, head, q->port, v->code, entry->theirs, payload);
	ipqueue_remember(q, head, &as);
	iov[0] = (struct iovec){ head, wire_request_head(WIRE_NATIVE) };
	iov[1] = (struct iovec){ (void *)(uintptr_t)v->payload, payload };
	out->msg[out->n].msg_hdr = (struct msghdr){ .msg_iov = iov, .msg_iovlen = payload > 0 ? 2 : 1 };
	out->id[out->n] = entry->ours;
	out->verdict[out->n] = index;
	out->n++;
	entry->taken = true;
}

/* What has left waits no more, unless its number has come again meanwhile; the rest goes on waiting. */
static void settle(struct ipqueue *q, struct outgoing *out, unsigned sent)
{
	unsigned i;

	pthread_mutex_lock(&q->lock);
	for (i = 0; i < out->n; i++) {
		struct idmap_entry *entry = idmap_find(&q->waiting, out->id[i]);

		if (entry != NULL && i < sent)
			idmap_remove(&q->waiting, entry);
		else if (entry != NULL)
			entry->taken = false;
	}
	pthread_mutex_unlock(&q->lock);
	out->n = 0;
}

/* 0, or -errno: then *done is how many of the caller's verdicts have left as a whole. */
static int flush(struct ipqueue *q, struct outgoing *out, unsigned *done)
{
	struct pollfd room = { .fd = q->fd, .events = POLLOUT };
	unsigned sent = 0;
	int n, err = 0;

	while (sent < out->n && err == 0) {
		n = sendmmsg(q->fd, out->msg + sent, out->n - sent, MSG_NOSIGNAL);
		if (n > 0)
			sent += (unsigned)n;
		else if (n < 0 && errno == EAGAIN)
			poll(&room, 1, -1);
		else if (n < 0 && errno != EINTR)
			err = -errno;
	}
	if (err < 0) {
		*done = out->verdict[sent];
		ipq_fail(&q->text, -err, "cannot send verdicts to ip_queue: %s", strerror(-err));
	}
	settle(q, out, sent);
	return err;
}

/* Why ip_queue cannot be asked for this: a positive errno; 0: it can. */
static int cannot(const struct ipqueue *q, const struct source_verdict *v)
{
	if (v->code > NF_MAX_VERDICT) /* the number of another queue included */
		return (v->code & NF_VERDICT_MASK) == NF_QUEUE ? EOPNOTSUPP : EINVAL;
	if ((v->present & ~(uint32_t)IPQ_SET_PAYLOAD) != 0)
		return EOPNOTSUPP;
	if ((v->present & IPQ_SET_PAYLOAD) == 0)
		return 0;
	/* ip_queue would let the packet go unchanged, or drop it. */
	return v->payload_len < (q->family == AF_INET6 ? 40U : 20U) ? EINVAL
	       : v->payload_len > 65535				    ? EMSGSIZE
								    : 0;
}

/* One packet's verdict. */
static int send_single(struct ipqueue *q, struct outgoing *out, const struct source_verdict *v,
		       unsigned index, unsigned *done)
{
	struct idmap_entry *entry;
	struct source_refusal as;
	int error = cannot(q, v), err = 0;

	if (out->n == BATCH_MAX)
		err = flush(q, out, done);
	if (err < 0)
		return err;
	pthread_mutex_lock(&q->lock);
	entry = error == 0 ? idmap_find(&q->waiting, v->id) : NULL;
	if (entry != NULL && !entry->taken)
		add_message(q, out, entry, v, index);
	else if (error == 0)
		error = ENOENT;
	pthread_mutex_unlock(&q->lock);
	if (error == 0)
		return 0;
	report_as(v, v->id, error, &as);
	return ipqueue_refuse(&q->base, &as);
}

/* The same verdict for every packet up to v->id: ip_queue takes one at a time. */
static int send_batch(struct ipqueue *q, struct outgoing *out, const struct source_verdict *v, unsigned index,
		      unsigned *done)
{
	struct idmap_entry *entry;
	int err;

	if (cannot(q, v) != 0) {
		struct source_refusal as;

		report_as(v, v->id, cannot(q, v), &as);
		return ipqueue_refuse(&q->base, &as);
	}
	for (;;) {
		pthread_mutex_lock(&q->lock);
		for (entry = q->waiting.first; entry != NULL && (int32_t)(entry->ours - v->id) <= 0;
		     entry = entry->next) {
			if (out->n == BATCH_MAX)
				break;
			if (!entry->taken)
				add_message(q, out, entry, v, index);
		}
		pthread_mutex_unlock(&q->lock);
		if (out->n < BATCH_MAX)
			return 0;
		err = flush(q, out, done);
		if (err < 0)
			return err;
	}
}

int ipqueue_send(struct source *s, const struct source_verdict *verdict, unsigned n)
{
	struct ipqueue *q = ipqueue(s);
	struct outgoing out;
	unsigned i, done = 0;
	int err = 0;

	out.n = 0;
	pthread_mutex_lock(&q->send_lock);
	for (i = 0; i < n && err == 0; i++) {
		done = i; /* a refusal that nobody can be told of ends the matter here */
		if (verdict[i].batch)
			err = send_batch(q, &out, &verdict[i], i, &done);
		else
			err = send_single(q, &out, &verdict[i], i, &done);
	}
	if (out.n > 0) {
		int late = flush(q, &out, &done);

		err = late < 0 ? late : err;
	}
	pthread_mutex_unlock(&q->send_lock);
	if (err == 0)
		return (int)n;
	return done > 0 ? (int)done : err;
}
