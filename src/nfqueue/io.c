/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Receives packets and sends verdicts of the nfnetlink_queue source: source.c has the theory of operation. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include "nfqueue/messages.h"
#include "nfqueue/state.h"
#include "util/clock.h"
#include "util/compiler.h"
#include "util/count.h"

#define SEND_MAX (128 * 1024) /* bytes per send; the default send buffer has 200 KiB */
#define SEND_PIECES 128
#define HEADS_MAX 4096

/* Counts lost packets. Ids are consecutive: each id between the first and the last was either received or lost. */
static void note_id(struct nfqueue *q, uint32_t id)
{
	uint64_t before = count(&q->received);

	if (before == 0)
		atomic_store_explicit(&q->first_id, id, memory_order_relaxed);
	if (before == 0 ||
	    (int32_t)(id - (uint32_t)atomic_load_explicit(&q->last_id, memory_order_relaxed)) > 0)
		atomic_store_explicit(&q->last_id, id, memory_order_relaxed);
}

struct receiving {
	struct nfqueue *q;
	source_refused refused;
	void *context;
	bool woken;
	bool reported; /* a refusal was reported, and the reader must return */
	bool ignored;  /* messages were received, but none for the reader: more messages may follow */
};

static bool take_message(struct receiving *rx, const struct iovec *slot, size_t len, struct ipq_packet *p);

/* Copies a deferred message to a slot, as if it had just been received. */
static size_t copy_deferred(const struct deferred *d, const struct iovec *slot)
{
	size_t len = d->len < slot->iov_len ? d->len : slot->iov_len;

	memcpy(slot->iov_base, d->message, len);
	return len;
}

/* Returns the oldest deferred message, if any. True if it is a packet: then *p is filled in. */
__cold static bool pop_deferred(struct receiving *rx, const struct iovec *slot, struct ipq_packet *p)
{
	struct deferred *d = nfqueue_pop_deferred(rx->q);
	bool packet = false;

	if (d == NULL)
		return false;
	if (d->len == 0)
		rx->reported |= rx->refused(rx->context, &d->refusal);
	else
		packet = take_message(rx, slot, copy_deferred(d, slot), p);
	rx->ignored = !packet;
	free(d);
	return packet;
}

static void take_answer(struct receiving *rx, const struct nfq_reply *r)
{
	if (r->type != NLMSG_NOOP)
		nfqueue_post_ack(rx->q, r->seq, r->refusal.error);
	else if (r->seq == nfqueue_noop_seq(rx->q, SEQ_WAKE))
		rx->woken = true;
}

__cold void nfqueue_drop(struct nfqueue *q, const struct nfq_reply *r, uint32_t id)
{
	struct source_verdict drop = { .id = id };

	atomic_fetch_add(&q->malformed, 1);
	if (!r->has_id)
		return;
	note_id(q, id);
	nfqueue_send(&q->base, &drop, 1);
}

/*
 * Linux changes the copy mode before the range, so a packet that is queued in between may have no payload
 * (doc/assumptions/mode-before-range.c). Packets that were queued before the change have none either. The verdict
 * NF_QUEUE queues such a packet once more: the kernel delivers it again, complete, with another id.
 */
__cold static bool requeue(struct nfqueue *q, uint32_t id)
{
	const struct source_verdict verdict = { .id = id, .code = NF_QUEUE_NR((uint32_t)q->number) };
	unsigned left = atomic_load(&q->requeues_left);

	while (left > 0)
		if (atomic_compare_exchange_weak(&q->requeues_left, &left, left - 1))
			return nfqueue_send(&q->base, &verdict, 1) == 1;
	return false;
}

/* Handles a message other than a valid packet. True if it announced a deferred packet: then *p is filled in. */
__cold static bool take_other(struct receiving *rx, const struct iovec *slot, const struct nfq_reply *r,
			      struct ipq_packet *p)
{
	if (r->kind == NFQ_ACK && r->type == NLMSG_NOOP && r->seq == nfqueue_noop_seq(rx->q, SEQ_DEFERRED))
		return pop_deferred(rx, slot, p);
	if (r->kind == NFQ_ACK)
		take_answer(rx, r);
	else if (r->kind == NFQ_REFUSED)
		rx->reported |= rx->refused(rx->context, &r->refusal);
	else
		nfqueue_drop(rx->q, r, p->id);
	return false;
}

/* Handles a message of len bytes. True if *p is filled in. */
static bool take_message(struct receiving *rx, const struct iovec *slot, size_t len, struct ipq_packet *p)
{
	bool spare = false;
	struct nfq_reply r;

	nfq_parse(slot->iov_base, len, p, &r);
	if (unlikely(rx->q->adopted != NULL))
		spare = adopted_translate(rx->q->adopted, slot->iov_base, len, p, &r);
	if (unlikely(r.kind != NFQ_PACKET))
		return take_other(rx, slot, &r, p);
	if (likely(!spare)) /* the spare queue has its own sequence of ids */
		note_id(rx->q, p->id);
	if (unlikely(!(p->present & IPQ_HAS_PAYLOAD)))
		return !requeue(rx->q, p->id);
	return true;
}

/* Called after a failed receive. Returns 1 to try again, 0 on timeout, -errno. end: see now_ms(). */
__noinline static int wait_more(int fd, int timeout_ms, int64_t end)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	int64_t left;
	int n;

	if (errno == ENOBUFS)
		return 1; /* the kernel reports this once, see NETLINK_NO_ENOBUFS */
	if (errno != EAGAIN || timeout_ms == IPQ_FOREVER)
		return -errno;
	if (timeout_ms == 0)
		return 0;
	left = end - now_ms(); /* read the clock only once: a timeout below 0 would mean no timeout */
	n = poll(&wait, 1, left > 0 ? (int)left : 0);
	return n < 0 ? -errno : n;
}

static int64_t end_of(int timeout_ms)
{
	return timeout_ms > 0 ? now_ms() + timeout_ms : 0;
}

/* Receives one message. Returns its length, 0 on timeout, -errno. */
static ssize_t receive_one(int fd, const struct iovec *slot, int timeout_ms)
{
	int flags = timeout_ms == IPQ_FOREVER ? 0 : MSG_DONTWAIT, more;
	int64_t end = end_of(timeout_ms);
	ssize_t n;

	for (;;) {
		n = recv(fd, slot->iov_base, slot->iov_len, flags);
		if (likely(n >= 0))
			return n;
		more = wait_more(fd, timeout_ms, end);
		if (more <= 0)
			return more;
	}
}

/* Receives up to max messages. Returns their number, 0 on timeout, -errno. */
static int receive_many(int fd, struct mmsghdr *msg, unsigned max, int timeout_ms)
{
	int flags = timeout_ms == IPQ_FOREVER ? MSG_WAITFORONE : MSG_DONTWAIT, more, n;
	int64_t end = end_of(timeout_ms);

	for (;;) {
		n = recvmmsg(fd, msg, max, flags, NULL);
		if (n > 0)
			return n;
		more = wait_more(fd, timeout_ms, end);
		if (more <= 0)
			return more;
	}
}

static int recv_one(struct receiving *rx, const struct iovec *slot, struct ipq_packet *packet, int timeout_ms)
{
	ssize_t len = receive_one(rx->q->fd, slot, timeout_ms);

	if (unlikely(len < 0))
		return (int)len;
	if (unlikely(len == 0)) /* timeout */
		return pop_deferred(rx, slot, packet);
	if (likely(take_message(rx, slot, (size_t)len, packet)))
		return 1;
	rx->ignored = true;
	return rx->woken ? -ECANCELED : 0;
}

/* Arguments of recvmmsg(), which does not change them. So they are prepared once and used for all calls. */
struct batch {
	struct mmsghdr msg[SOURCE_BATCH_MAX];
	const struct iovec *slot;
	unsigned count;
	unsigned singles; /* consecutive receives that returned one packet */
};

/*
 * recv costs less than recvmmsg if one packet waits, because it does not try to receive a second one. recvmmsg is
 * used every PROBE_OFTEN-th time to find out whether one packet still waits at a time, or every PROBE_SELDOM-th after
 * MANY_SINGLES.
 */
#define PROBE_OFTEN 4
#define PROBE_SELDOM 16
#define MANY_SINGLES 64

static bool use_recv(struct batch *b)
{
	if (b->singles < 2 || b->singles % (b->singles < MANY_SINGLES ? PROBE_OFTEN : PROBE_SELDOM) == 0)
		return false;
	b->singles++;
	return true;
}

struct batch *nfqueue_new_batch(void)
{
	return calloc(1, sizeof(struct batch));
}

static struct batch *prepare(struct nfqueue *q, const struct iovec *slot, unsigned max)
{
	struct batch *b = q->batch;
	unsigned i;

	if (b->slot == slot && b->count >= max)
		return b;
	for (i = 0; i < max; i++)
		b->msg[i].msg_hdr = (struct msghdr){ .msg_iov = (struct iovec *)&slot[i], .msg_iovlen = 1 };
	b->slot = slot;
	b->count = max;
	return b;
}

__flatten __noinline static int recv_many(struct receiving *rx, const struct iovec *slot,
					  struct ipq_packet *packet, unsigned max, int timeout_ms)
{
	struct batch *b = prepare(rx->q, slot, max);
	unsigned i, count = 0;
	int n;

	/*
	 * Return older packets first: a batch verdict for a packet from the socket would decide the older ones,
	 * too.
	 */
	while (count < max && atomic_load_explicit(&rx->q->deferred_count, memory_order_relaxed) > 0)
		count += pop_deferred(rx, &slot[count], &packet[count]);
	if (count > 0)
		return (int)count;
	n = receive_many(rx->q->fd, b->msg, max, timeout_ms);
	if (n < 0)
		return n;
	if (n == 0 && timeout_ms == 0)
		return pop_deferred(rx, slot, packet);
	for (i = 0; i < (unsigned)n; i++)
		count += take_message(rx, &slot[i], b->msg[i].msg_len, &packet[count]);
	b->singles = count == 1 && n == 1 ? b->singles + 1 : 0;
	rx->ignored = count == 0 && n > 0;
	if (!rx->woken)
		return (int)count;
	if (count == 0)
		return -ECANCELED;
	atomic_store(&rx->q->woken, true);
	nfqueue_send_noop(rx->q, SEQ_READABLE);
	return (int)count;
}

/* Returns packets of a predecessor. The socket stays readable until all of them have been returned. */
__cold static int recv_adopted(struct receiving *rx, const struct iovec *slot, struct ipq_packet *packet,
			       unsigned max)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct held_message *m;
	int count = 0;

	if (!atomic_load(&rx->q->adopted->ready)) {
		nanosleep(&pause, NULL); /* no mode yet: the messages are not for this reader */
		return 0;
	}
	while (count < (int)max && (m = adopted_pop(rx->q->adopted)) != NULL) {
		size_t len = m->len < slot[count].iov_len ? m->len : slot[count].iov_len;

		memcpy(slot[count].iov_base, m->bytes, len);
		free(m);
		count += take_message(rx, &slot[count], len, &packet[count]);
	}
	rx->ignored = count == 0;
	return count;
}

static bool has_adopted(const struct nfqueue *q)
{
	return !atomic_load_explicit(&q->adopted->ready, memory_order_acquire) ||
	       atomic_load_explicit(&q->adopted->collected, memory_order_relaxed) > 0;
}

__flatten int nfqueue_recv(struct source *s, const struct iovec *slot, struct ipq_packet *packet,
			   unsigned max, int timeout_ms, source_refused refused, void *context)
{
	struct receiving rx = { .q = nfqueue(s), .refused = refused, .context = context };
	int n;

	if (atomic_load_explicit(&rx.q->woken, memory_order_relaxed) && atomic_exchange(&rx.q->woken, false))
		return -ECANCELED;
	if (max > SOURCE_BATCH_MAX)
		max = SOURCE_BATCH_MAX;
	/* Do not block: the NOOP that announces a deferred message may have been lost to a full buffer. */
	if (unlikely(atomic_load_explicit(&rx.q->deferred_count, memory_order_relaxed) > 0))
		timeout_ms = 0;
	else if (max > 1 && use_recv(rx.q->batch))
		max = 1;
	do {
		rx.ignored = false;
		if (unlikely(rx.q->adopted != NULL) && has_adopted(rx.q))
			n = recv_adopted(&rx, slot, packet, max);
		else if (likely(max == 1))
			n = recv_one(&rx, slot, packet, timeout_ms);
		else
			n = recv_many(&rx, slot, packet, max, timeout_ms);
	} while (unlikely(n == 0) && rx.ignored && !rx.reported && timeout_ms == 0);
	return n;
}

/* ---- verdicts ---------------------------------------------------------------------------------------- */

/* The buffers of one send: head[] has the messages without payloads. Payloads are not copied. */
struct packing {
	unsigned char head[HEADS_MAX];
	struct iovec iov[SEND_PIECES];
	size_t used, pieces, bytes;
};

static void add_piece(struct packing *k, const void *base, size_t len)
{
	struct iovec *last = k->pieces > 0 ? &k->iov[k->pieces - 1] : NULL;

	if (last != NULL &&
	    (const unsigned char *)last->iov_base + last->iov_len == (const unsigned char *)base)
		last->iov_len += len;
	else
		k->iov[k->pieces++] = (struct iovec){ (void *)base, len };
	k->bytes += len;
}

static bool fits(const struct packing *k, const struct source_verdict *v)
{
	return k->used + NFQ_VERDICT_MAX <= sizeof(k->head) && k->pieces + 3 <= SEND_PIECES &&
	       (k->bytes == 0 || k->bytes + NFQ_VERDICT_MAX + v->payload_len <= SEND_MAX);
}

static void pack(struct packing *k, uint16_t queue, const struct source_verdict *v)
{
	unsigned char *at = k->head + k->used;
	size_t pad, len = nfq_put_verdict(at, queue, v, &pad);

	add_piece(k, at, len);
	k->used += len;
	if (!(v->present & IPQ_SET_PAYLOAD))
		return;
	add_piece(k, v->payload, v->payload_len);
	if (pad > 0) {
		memset(k->head + k->used, 0, pad);
		add_piece(k, k->head + k->used, pad);
		k->used += pad;
	}
}

static int send_packed(int fd, struct packing *k)
{
	struct msghdr msg = { .msg_iov = k->iov, .msg_iovlen = (unsigned)k->pieces };
	ssize_t n;

	do
		n = k->pieces == 1 ? send(fd, k->iov[0].iov_base, k->iov[0].iov_len, 0)
				   : sendmsg(fd, &msg, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int nfqueue_send_bare(int fd, uint16_t queue, const struct source_verdict *v)
{
	const struct nfq_bare message = nfq_bare(queue, v);

	while (unlikely(send(fd, &message, sizeof(message), 0) < 0))
		if (errno != EINTR)
			return -errno;
	return 1;
}

__noinline static int send_all(int fd, uint16_t queue, const struct source_verdict *verdict, unsigned n)
{
	unsigned done = 0, i;

	while (done < n) {
		struct packing k;
		int err;

		if (verdict[done].present & IPQ_SET_PAYLOAD && verdict[done].payload_len > NFQ_PAYLOAD_MAX)
			return done > 0 ? (int)done : -EMSGSIZE;
		k.used = k.pieces = k.bytes = 0;
		for (i = done; i < n && fits(&k, &verdict[i]); i++) {
			if (verdict[i].present & IPQ_SET_PAYLOAD && verdict[i].payload_len > NFQ_PAYLOAD_MAX)
				break;
			pack(&k, queue, &verdict[i]);
		}
		err = send_packed(fd, &k);
		if (err < 0)
			return done > 0 ? (int)done : err;
		done = i;
	}
	return (int)n;
}

static int send_to(int fd, uint16_t queue, const struct source_verdict *verdict, unsigned n)
{
	return n == 1 && verdict->present == 0 ? nfqueue_send_bare(fd, queue, verdict)
					       : send_all(fd, queue, verdict, n);
}

/* Unbinds the spare queue, in which no packet waits any more. Does not wait for the acknowledgement. */
__cold static void unbind_spare(const struct nfqueue *q, int fd)
{
	const struct nfqnl_msg_config_cmd command = { .command = NFQNL_CFG_CMD_UNBIND };
	struct nfq_config m = nfq_config(q->adopted->spare);

	nfq_config_put(&m, NFQA_CFG_CMD, &command, sizeof(command));
	send(fd, &m, m.nlh.nlmsg_len, 0);
}

/* Sends verdicts one at a time while packets of a predecessor wait. Afterwards it only converts the ids. */
__noinline static int send_adopted(struct nfqueue *q, const struct source_verdict *verdict, unsigned n)
{
	struct source_verdict main[SOURCE_BATCH_MAX], spare;
	const int spare_fd = nfqueue_socket_of(q, q->adopted->spare);
	int err = 0;
	unsigned i, count = 0, done = 0;

	for (i = 0; i < n && err >= 0; i++) {
		struct adopted_parts parts = adopted_split(q->adopted, &verdict[i], &spare, &main[count]);

		if (parts.spare) {
			err = send_to(spare_fd, q->adopted->spare, &spare, 1);
			if (err >= 0 && adopted_decided(q->adopted, &spare))
				unbind_spare(q, spare_fd);
		}
		count += parts.main;
		if (err >= 0 && count > 0 && (parts.spare || count == SOURCE_BATCH_MAX || i + 1 == n)) {
			err = send_to(q->fd, q->number, main, count);
			if (err >= 0 && (unsigned)err < count)
				return (int)(i + 1 - count + (unsigned)err);
			count = 0;
		}
		if (err >= 0 && count == 0)
			done = i + 1;
	}
	return err < 0 && done == 0 ? err : (int)done;
}

__hot int nfqueue_send(struct source *s, const struct source_verdict *verdict, unsigned n)
{
	struct nfqueue *q = nfqueue(s);

	if (unlikely(q->adopted != NULL))
		return send_adopted(q, verdict, n);
	return send_to(q->fd, q->number, verdict, n);
}
