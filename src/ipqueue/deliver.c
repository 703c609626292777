// SPDX-License-Identifier: LGPL-2.1-or-later
/* Sends packets from the source to their owners as ip_queue's messages, a batch per system call. */
#include <errno.h>
#include <string.h>
#include "ipqueue/state.h"
#include <linux/netfilter.h>
#include "source/links.h"

#define NSEC_PER_SEC 1000000000

static unsigned char padding[4]; /* the zeros between the end of the payload and the rounded nlmsg_len */

static uint32_t payload_len(const struct family *f, const struct ipq_packet *p)
{
	if (f->mode != COPY_PACKET || (p->present & IPQ_HAS_PAYLOAD) == 0)
		return 0;
	return f->range != 0 && f->range < p->payload_len ? f->range : p->payload_len;
}

static void name_device(struct engine *e, struct device *last, const struct ipq_packet *p, uint32_t has,
			uint32_t index, char *name, uint16_t *type)
{
	const struct source *s = e->source;

	if ((p->present & has) == 0)
		return;
	if (s->links != NULL) {
		if (index != last->index)
			links_get(s->links, index, last->name, &last->type);
		last->index = index;
		memcpy(name, last->name, sizeof(last->name));
		*type = last->type;
	} else if (s->ops->interface != NULL && s->ops->interface(s, index, name, type) < 0) {
		*type = 0;
	}
}

/*
 * ip_queue filled in the hardware fields only if the packet had a link-layer header, that is, if a device had
 * received it.
 */
static void fill_hardware(struct wire_packet *w, const struct ipq_packet *p, uint16_t type)
{
	if ((p->present & IPQ_HAS_HWADDR) == 0 || p->hw_addr_len == 0)
		return;
	w->hw_addrlen = p->hw_addr_len < sizeof(w->hw_addr) ? p->hw_addr_len : sizeof(w->hw_addr);
	memcpy(w->hw_addr, p->hw_addr, w->hw_addrlen);
	w->hw_type = type;
}

/* Whether the slot has room around the payload for the whole message. */
static bool in_slot(const struct engine *e, const struct ipq_packet *p)
{
	return (p->present & IPQ_HAS_PAYLOAD) != 0 && p->payload >= e->slots + SLOT_FRONT &&
	       p->payload < e->slots + (size_t)BATCH * SLOT_SIZE;
}

static void encode(struct engine *e, const struct family *f, const struct ipq_packet *p, unsigned k)
{
	struct wire_packet w = { .packet_id = p->id, .hook = p->hook, .hw_protocol = p->hw_protocol };
	struct iovec *iov = e->out_iov[k];
	uint16_t type = 0, ignored;
	size_t len = payload_len(f, p), head = wire_packet_head(f->owner->layout), pieces;

	if ((p->present & IPQ_HAS_MARK) != 0)
		w.mark = p->mark;
	if ((p->present & IPQ_HAS_TIMESTAMP) != 0) {
		w.timestamp_sec = p->timestamp / NSEC_PER_SEC;
		w.timestamp_usec = p->timestamp % NSEC_PER_SEC / 1000;
	}
	name_device(e, &e->last_indev, p, IPQ_HAS_INDEV, p->indev, w.indev, &type);
	name_device(e, &e->last_outdev, p, IPQ_HAS_OUTDEV, p->outdev, w.outdev, &ignored);
	fill_hardware(&w, p, type);
	iov[0] = (struct iovec){ e->out_head[k], head };
	iov[1] = (struct iovec){ p->payload, len };
	iov[2] = (struct iovec){ padding, (0 - len) & 3 };
	pieces = len == 0 ? 1 : iov[2].iov_len == 0 ? 2 : 3;
	/* a message in one piece costs less; it must not overwrite bytes of the payload */
	if (in_slot(e, p) && len == p->payload_len) {
		iov[0] = (struct iovec){ p->payload - head, head + len + iov[2].iov_len };
		memset(p->payload + len, 0, iov[2].iov_len);
		pieces = 1;
	}
	wire_put_packet(f->owner->layout, iov[0].iov_base, &w, len);
	e->out[k].msg_hdr = (struct msghdr){ .msg_iov = iov, .msg_iovlen = (unsigned)pieces };
}

static void drop(struct engine *e, struct family *f, unsigned i)
{
	engine_drop(e, e->packet[i].id);
	undecided_remove(f, e->packet[i].id);
	f->counts.dropped++;
	e->done[i] = true;
}

/*
 * Whether the packet arrived while only the other family had a peer, whose mode copied no payload. ip_queue dropped
 * packets of a family without a peer.
 */
static bool came_before_peer(const struct family *f, const struct ipq_packet *p)
{
	return f->mode == COPY_PACKET && !f->had_meta && (p->present & IPQ_HAS_PAYLOAD) == 0;
}

/*
 * Whether the packet was queued before the mode or the range grew, so that bytes are missing. It may have arrived
 * after the owner's request if the owner did not wait for the result of the request. NF_QUEUE queues the packet
 * again, with more of its bytes.
 */
static bool came_cut(const struct engine *e, const struct family *f, const struct ipq_packet *p)
{
	if (!e->grew || f->owner == NULL || !f->owner->async || e->lossless || e->source->ops->copies ||
	    f->mode != COPY_PACKET)
		return false;
	if ((p->present & IPQ_HAS_PAYLOAD) == 0)
		return e->cut_at == 0;
	return e->cut_at != 0 && (f->range == 0 || f->range > e->cut_at) && p->payload_len == e->cut_at &&
	       p->full_len > e->cut_at;
}

static void requeue(struct engine *e, struct family *f, unsigned i)
{
	engine_verdict(e, &(struct source_verdict){ .id = e->packet[i].id,
						    .code = NF_QUEUE_NR((uint32_t)e->source->queue_number) });
	undecided_remove(f, e->packet[i].id);
	e->done[i] = true;
}

/* Makes messages of the family's packets for which there is room. */
static unsigned collect(struct engine *e, struct family *f)
{
	unsigned i, n = 0;

	/* Reserve the memory first, so that the engine can record every packet that is sent. */
	bool room = idset_reserve(&f->waiting, BATCH) == 0;

	for (i = 0; i < e->received; i++) {
		if (e->done[i] || e->packet[i].family != f->af)
			continue;
		if (f->peer_pid == 0 && engine_await_owner(e, f))
			break;
		if (came_cut(e, f, &e->packet[i])) {
			requeue(e, f, i);
		} else if (f->peer_pid == 0 || f->mode == COPY_NONE || came_before_peer(f, &e->packet[i])) {
			f->counts.wrong_family += f->mode != COPY_NONE || f->peer_pid == 0;
			drop(e, f, i);
		} else if (!room || f->waiting.count + n >= f->queue_max) {
			if (e->patient && f->waiting.count + n > 0)
				break;
			f->counts.queue_dropped++;
			drop(e, f, i);
		} else if (f->owner == NULL) {
			f->counts.netlink_dropped++;
			drop(e, f, i);
		} else {
			encode(e, f, &e->packet[i], n);
			e->out_packet[n++] = i;
		}
	}
	return n;
}

static void sent(struct engine *e, struct family *f, unsigned i)
{
	idset_add(&f->waiting, e->packet[i].id);
	f->counts.packets += !e->keep || undecided_offered(e, f, &e->packet[i]);
	e->done[i] = true;
}

/*
 * Handles the failure to send packet k. Returns how many packets to skip: like ip_queue, the engine loses packets
 * while the socket is full.
 */
static unsigned give_up(struct engine *e, struct family *f, unsigned k, unsigned n, int err, bool *gone)
{
	unsigned i;

	if ((err == EAGAIN || err == ENOBUFS) && e->patient) {
		f->owner->blocked = true;
		client_watch(e, f->owner);
		return n - k;
	}
	*gone = err == EPIPE || err == ECONNRESET || err == ECONNREFUSED || err == ENOTCONN;
	if (*gone && e->keep)
		return n - k; /* the engine holds these packets for the next owner */
	if (err != EMSGSIZE && err != EAGAIN && err != ENOBUFS && !*gone)
		engine_log(e, "client %u: cannot send packets: %s", f->owner->serial, strerror(err));
	n = err == EMSGSIZE ? k + 1 : n;
	for (i = k; i < n; i++) {
		f->counts.netlink_dropped++;
		drop(e, f, e->out_packet[i]);
	}
	return n - k;
}

/* Returns the number of messages that were sent, or -1. For one message, sendmsg costs less than sendmmsg. */
static int send_messages(int fd, struct mmsghdr *message, unsigned n)
{
	const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;

	if (n == 1)
		return sendmsg(fd, &message->msg_hdr, flags) < 0 ? -1 : 1;
	return sendmmsg(fd, message, n, flags);
}

static void deliver(struct engine *e, struct family *f)
{
	unsigned i, k = 0, n = collect(e, f);
	bool gone = false;

	while (k < n) {
		int ret = send_messages(f->owner->fd, e->out + k, n - k);

		if (ret < 0 && errno == EINTR)
			continue;
		for (i = 0; ret > 0 && i < (unsigned)ret; i++)
			sent(e, f, e->out_packet[k + i]);
		k += ret > 0 ? (unsigned)ret : give_up(e, f, k, n, errno, &gone);
	}
	if (gone)
		client_finish(e, f->owner);
}

/* With `keep`: copies the packets that no client has read, so that their slots are free for newer ones. */
static void keep_rest(struct engine *e)
{
	for (unsigned i = 0; e->keep && i < e->received; i++) {
		struct family *f = engine_family(e, e->packet[i].family);

		if (!e->done[i] && !(e->done[i] = undecided_add(e, f, &e->packet[i], false)))
			drop(e, f, i);
	}
}

void engine_deliver(struct engine *e)
{
	unsigned i;

	e->last_indev = e->last_outdev = (struct device){ 0 };
	for (i = 0; i < e->received; i++)
		if (!e->done[i] && engine_family(e, e->packet[i].family) == NULL) {
			e->wrong_family++;
			engine_drop(e, e->packet[i].id);
			e->done[i] = true;
		}
	deliver(e, &e->family[0]);
	deliver(e, &e->family[1]);
	keep_rest(e);
	for (i = 0, e->held = 0; i < e->received; i++)
		e->held += !e->done[i];
}
