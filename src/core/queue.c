/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation: the new API over any source. Packets are received in batches into the slots, memory of the
 * queue. Verdicts are recorded (decide.c, verdicts.c) and sent in as few messages and system calls as possible. A
 * receive has three steps: send pending verdicts, receive packets, account for them.
 */
#include <errno.h>
#include <linux/netfilter.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "core/flows.h"
#include "core/state.h"
#include "util/clock.h"
#include "util/compiler.h"
#include "util/fork_count.h"

#define QUEUE_LENGTH 8192
#define HEAD_ROOM 4096 /* room for attributes before the payload: a security context may be long */
#define SPIN_LOOKS 4   /* receives between calls of sched_yield(), which costs as much as a receive */

/* ---- opening ------------------------------------------------------------------------------------ */

static int map_slots(struct ipq_queue *q)
{
	size_t size = q->slot_size * SOURCE_BATCH_MAX;
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned i;

	if (memory == MAP_FAILED)
		return -ENOMEM;
	q->memory = memory;
	q->memory_size = size;
	for (i = 0; i < SOURCE_BATCH_MAX; i++)
		q->slot[i] = (struct iovec){ q->memory + i * q->slot_size, q->slot_size };
	return 0;
}

int queue_create(struct ipq_queue **queue, struct source *source, size_t slot_size, uint32_t flags,
		 uint32_t spin_usec)
{
	struct ipq_queue *q = calloc(1, sizeof(*q));

	*queue = NULL;
	if (q == NULL)
		return -ENOMEM;
	q->source = source;
	q->flags = flags;
	q->spin_usec = q->spin_now = spin_usec;
	q->slot_size = slot_size;
	q->forks = atomic_load(&fork_count);
	if (map_slots(q) < 0) {
		free(q);
		return -ENOMEM;
	}
	moderation_begin(&q->moderation);
	*queue = q;
	return 0;
}

void queue_expect_unknown_pending(struct ipq_queue *q)
{
	q->verdicts.unknown_pending = true;
}

void queue_on_refused(struct ipq_queue *q, source_refused refused, void *context)
{
	q->refused = refused;
	q->refused_context = context;
}

/* Bytes of a slot: not a multiple of 4 KiB (see SOURCE_SLOT_SIZE for the reason). */
static size_t slot_size_for(const struct ipq_options *o)
{
	size_t payload = o->flags & IPQ_O_META_ONLY ? 0 : o->copy_range != 0 ? o->copy_range : 65536;

	if (payload > 65536)
		payload = 65536;
	return ((payload + HEAD_ROOM + 4095) & ~(size_t)4095) + 64;
}

/*
 * Bytes of socket buffer for a full queue. The kernel charges 832 bytes for a small packet, 2,304 bytes for one of
 * 1,400 bytes, and 57 KiB for a GSO packet. Few GSO packets wait at a time.
 */
static uint32_t buffer_for(const struct ipq_options *o)
{
	uint64_t each = o->flags & IPQ_O_META_ONLY ? 1024 : 4096, all = each * o->queue_length;

	if (!(o->flags & IPQ_O_META_ONLY) && all < 64U << 20)
		all = 64U << 20;
	return all > 512U << 20 ? 512U << 20 : (uint32_t)all;
}

static int take_options(struct ipq_options *o, const struct ipq_options *given, struct ipq_error *e)
{
	const uint32_t known = IPQ_O_META_ONLY | IPQ_O_FAIL_OPEN | IPQ_O_SEGMENT | IPQ_O_CONNTRACK |
			       IPQ_O_OWNER | IPQ_O_SECURITY_CONTEXT | IPQ_O_TIMESTAMP | IPQ_O_BEST_EFFORT |
			       IPQ_O_FLOWS;
	uint32_t low;
	int err;

	memset(o, 0, sizeof(*o));
	if (given != NULL) {
		err = copy_struct_in(o, sizeof(*o), given, offsetof(struct ipq_options, copy_range),
				     "ipq_options", e);
		if (err < 0)
			return err;
	}
	if (o->reserved != 0)
		return ipq_fail(e, EINVAL,
				"options.reserved is not 0: initialize struct ipq_options with zeros");
	if (o->flags & ~known)
		return ipq_fail(e, EINVAL,
				"options.flags has unknown bits 0x%x: clear them or use a newer libipq",
				o->flags & ~known);
	if (o->flow_mask == 0)
		o->flow_mask = FLOWS_MASK;
	if (o->flow_mark == 0)
		o->flow_mark = FLOWS_MARK & o->flow_mask;
	if (o->flow_max == 0)
		o->flow_max = FLOWS_MAX;
	if (o->reserved2 != 0)
		return ipq_fail(e, EINVAL,
				"options.reserved2 is not 0: initialize struct ipq_options with zeros");
	if (o->flow_max > FLOW_TABLE_MAX)
		return ipq_fail(e, EINVAL, "options.flow_max %u is more than %u", o->flow_max,
				FLOW_TABLE_MAX);
	low = o->flow_mask & -o->flow_mask;
	if ((o->flow_mask & low << 1) == 0 || (o->flow_mark & ~o->flow_mask) != 0 ||
	    (o->flow_mark & (low | low << 1)) != low)
		return ipq_fail(
			e, EINVAL,
			"options.flow_mark 0x%x does not fit options.flow_mask 0x%x: the mask needs at "
			"least two adjacent bits; the mark must set the lowest one and clear the next",
			o->flow_mark, o->flow_mask);
	if (o->queue_length == 0)
		o->queue_length = QUEUE_LENGTH;
	if (o->receive_buffer == 0)
		o->receive_buffer = buffer_for(o);
	return 0;
}

static int open_queue(struct ipq_queue **q, const char *name, const struct ipq_options *o,
		      struct ipq_error *e)
{
	struct source_config config = {
		.mode = o->flags & IPQ_O_META_ONLY ? COPY_META : COPY_PACKET,
		.range = o->copy_range,
		.beyond_slot = o->copy_range == 0,
		.queue_length = o->queue_length,
		.receive_buffer = o->receive_buffer,
		.flags = o->flags & ~(uint32_t)IPQ_O_FLOWS,
	};
	struct source *source;
	int flags, err = source_open(&source, name, e);

	if (err < 0)
		return err;
	flags = source->ops->configure(source, &config, e);
	err = flags;
	if (err >= 0)
		err = queue_create(q, source, slot_size_for(o), (uint32_t)flags, o->spin_usec);
	if (err < 0) {
		source->ops->close(source);
		return err;
	}
	(*q)->owned = true;
	(*q)->flags |= o->flags & IPQ_O_FLOWS;
	(*q)->flow_mask = o->flow_mask;
	(*q)->flow_mark = o->flow_mark;
	(*q)->flow_max = o->flow_max;
	if (o->flags & IPQ_O_FLOWS) {
		(*q)->flows = flows_create(*q);
		if ((*q)->flows == NULL) {
			ipq_queue_close(*q);
			*q = NULL;
			return ipq_fail(e, ENOMEM, "no memory for a table of %u flows: lower flow_max",
					o->flow_max);
		}
		flows_revoke_earlier((*q)->flows);
	}
	return 0;
}

int ipq_queue_open(struct ipq_queue **q, const char *source, const struct ipq_options *options)
{
	struct ipq_error e = { "" };
	struct ipq_options o;
	int err;

	*q = NULL;
	err = take_options(&o, options, &e);
	if (err == 0)
		err = open_queue(q, source, &o, &e);
	if (err < 0 && e.text[0] == '\0')
		ipq_fail(&e, -err, "cannot open %s: %s", source != NULL ? source : SOURCE_DEFAULT,
			 strerror(-err));
	if (options != NULL && o.error != NULL && o.error_size > 0)
		snprintf(o.error, o.error_size, "%s", e.text);
	return err;
}

static void free_copies(struct ipq_queue *q)
{
	while (q->copies != NULL) {
		struct copy *c = q->copies;

		q->copies = c->next;
		free(c);
	}
	q->copies_size = 0;
}

void ipq_queue_close(struct ipq_queue *q)
{
	if (q == NULL)
		return;
	ipq_queue_flush(q);
	if (q->owned)
		q->source->ops->close(q->source);
	free_copies(q);
	flows_destroy(q->flows);
	verdicts_free(&q->verdicts);
	moderation_end(&q->moderation);
	munmap(q->memory, q->memory_size);
	free(q);
}

int ipq_queue_detach_memory(struct ipq_queue *q, void **memory, size_t *size)
{
	int err = ipq_queue_flush(q); /* the payload of a pending verdict may lie in this memory */

	if (err < 0)
		return err;
	*memory = q->memory;
	*size = q->memory_size;
	err = map_slots(q);
	if (err < 0) {
		*memory = NULL;
		*size = 0;
		return ipq_fail(&q->error, ENOMEM, "no memory for new packets");
	}
	return 0;
}

const char *ipq_queue_error(const struct ipq_queue *q)
{
	return q->error.text;
}

const char *queue_recorded_verdict(const struct ipq_queue *q, const struct ipq_packet *packet)
{
	const struct source_ops *ops = q->source->ops;

	return ops->verdict != NULL ? ops->verdict(q->source, packet->id) : "";
}

uint32_t ipq_queue_flags(const struct ipq_queue *q)
{
	return q->flags;
}

int ipq_queue_fd(const struct ipq_queue *q)
{
	return q->source->ops->fd(q->source);
}

int ipq_queue_wake(struct ipq_queue *q)
{
	return q->source->ops->wake(q->source);
}

/* ---- sending verdicts ------------------------------------------------------------------------------ */

/* Stores the source's own error text, or that of err. Returns err. */
static int fail_source(struct ipq_queue *q, int err, const char *what)
{
	const struct source_ops *ops = q->source->ops;

	if (ops->error != NULL && ops->error(q->source)[0] != '\0')
		return ipq_fail(&q->error, -err, "%s", ops->error(q->source));
	return ipq_fail(&q->error, -err, "cannot %s: %s", what, strerror(-err));
}

/* Call it when the first n verdicts have been sent. */
static void account_sent(struct ipq_queue *q, size_t n)
{
	const struct pending *p = q->verdicts.log + q->verdicts.first, *end = p + n;

	for (; p < end; p++) {
		uint32_t code = p->code;

		if (unlikely(q->flows != NULL) && p->extra == VERDICT_MARK)
			code = flows_code(q->flows, code, p->mark);
		if (code == NF_ACCEPT)
			q->stats.accepted++;
		else if (code == NF_DROP)
			q->stats.dropped++;
		else
			q->stats.other++;
		if (p->extra >= 0 && (q->verdicts.extra[p->extra].present & IPQ_SET_PAYLOAD))
			q->stats.replaced++;
	}
	verdicts_sent(&q->verdicts, n);
}

/* Sends all verdicts except the newest `defer`. 0 or -errno. */
static int send_verdicts(struct ipq_queue *q, size_t defer)
{
	struct source_verdict out[SOURCE_BATCH_MAX];
	size_t covers[SOURCE_BATCH_MAX];

	while (q->verdicts.count > defer) {
		unsigned n =
			verdicts_pack(&q->verdicts, q->verdicts.count - defer, out, covers, SOURCE_BATCH_MAX);
		int sent = source_send(q->source, out, n);

		q->stats.sends++;
		if (unlikely(sent < 0))
			return fail_source(q, sent, "send verdicts");
		if (sent > 0)
			account_sent(q, covers[sent - 1]);
	}
	if (defer > 0)
		return 0;
	free_copies(q);
	q->pinned = false;
	return 0;
}

static bool is_readable(const struct ipq_queue *q)
{
	struct pollfd fd = { .fd = ipq_queue_fd(q), .events = POLLIN };

	return poll(&fd, 1, 0) != 0;
}

int ipq_queue_flush(struct ipq_queue *q)
{
	int err = 0;

	/*
	 * A flow is not left to the kernel while packets of the flow may wait in the queue: later packets would
	 * overtake them.
	 */
	while (unlikely(q->flows != NULL) && q->flows->held_count > 0 && err == 0) {
		if (is_readable(q))
			flows_release(q, false);
		else
			flows_release_one(q);
		err = send_verdicts(q, 0);
	}
	return err < 0 ? err : send_verdicts(q, 0);
}

/* ---- receiving packets ----------------------------------------------------------------------------- */

static bool count_refused(void *context, const struct source_refusal *refusal)
{
	struct ipq_queue *q = context;

	q->stats.refused++;
	if (q->refused == NULL) {
		q->eperm_seen |= refusal->error == EPERM;
		return q->eperm_seen;
	}
	q->refusal_reported |= q->refused(q->refused_context, refusal);
	return q->refusal_reported;
}

static int receive(struct ipq_queue *q, struct ipq_packet *packet, unsigned max, int timeout_ms)
{
	q->stats.receives++;
	return source_recv(q->source, q->slot, packet, max, timeout_ms, count_refused, q);
}

/* Receives without blocking for up to spin_now microseconds: a packet that arrives soon does not need to wake the
 * reader. */
static int receive_spinning(struct ipq_queue *q, struct ipq_packet *packet, unsigned max, int64_t end)
{
	int64_t stop = now_us() + q->spin_now;
	unsigned looks = 0;
	int n;

	if (end >= 0 && end < stop)
		stop = end;
	while ((n = receive(q, packet, max, 0)) == 0 && now_us() < stop)
		if (++looks % SPIN_LOOKS == 0)
			sched_yield(); /* this processor may be the one that the packet's sender needs */
	return n;
}

/*
 * Waits for packets or a refusal. end: the time at which to stop, in microseconds of the monotonic clock; -1:
 * never.
 */
__noinline static int receive_until(struct ipq_queue *q, struct ipq_packet *packet, unsigned max, int64_t end)
{
	for (;;) {
		int64_t began = now_us(), left = end - began;
		int n = 0, timeout_ms = end < 0 ? IPQ_FOREVER : left > 0 ? (int)((left + 999) / 1000) : 0;

		if (q->spin_now > 0)
			n = receive_spinning(q, packet, max, end);
		if (n == 0)
			n = receive(q, packet, max, timeout_ms);
		/* Halve the spinning time each time that no packet comes during it. It may become 0. */
		if (q->spin_usec > 0)
			q->spin_now = now_us() - began <= q->spin_usec ? q->spin_usec : q->spin_now / 2;
		/* 0: timeout, or only refusals were received. */
		if (n != 0 || q->eperm_seen || q->refusal_reported || (end >= 0 && now_us() >= end))
			return n;
	}
}

static int fail_receive(struct ipq_queue *q, int err)
{
	switch (err) {
	case -EINTR:
		return ipq_fail(&q->error, EINTR, "interrupted by a signal");
	case -ECANCELED:
		return ipq_fail(&q->error, ECANCELED, "woken by ipq_queue_wake");
	default: /* an error, or the end of a capture file */
		return fail_source(q, err, "receive");
	}
}

static int receive_within(struct ipq_queue *q, struct ipq_packet *packet, unsigned max, int timeout_ms)
{
	int n;

	if (timeout_ms > 0 || (timeout_ms < 0 && q->spin_usec > 0)) {
		n = receive_until(q, packet, max,
				  timeout_ms < 0 ? -1 : now_us() + (int64_t)timeout_ms * 1000);
	} else {
		do
			n = receive(q, packet, max, timeout_ms);
		while (n == 0 && timeout_ms != 0 && !q->eperm_seen && !q->refusal_reported);
	}
	return likely(n >= 0) ? n : fail_receive(q, n);
}

/*
 * The number of verdicts that may be sent after the next receive: see moderation.c. Payloads and extras are freed
 * when no verdict is pending, so all must be sent from time to time.
 */
static size_t may_defer(const struct ipq_queue *q, int timeout_ms)
{
	if (timeout_ms == 0 || q->spin_usec > 0 || q->pinned || q->verdicts.extra_count >= EXTRAS_MAX)
		return 0;
	return moderation_deferred_count(&q->moderation);
}

/*
 * Receives from a busy queue while verdicts are deferred. They are sent before the reader sleeps on an empty queue.
 */
__noinline static int receive_moderated(struct ipq_queue *q, struct ipq_packet *packet, unsigned max,
					int timeout_ms)
{
	int err = moderation_pause(&q->moderation, q->source);
	int n = err < 0 ? err : receive(q, packet, max, 0);

	if (n > 0)
		return n;
	if (n < 0)
		n = fail_receive(q, n);
	err = send_verdicts(q, 0);
	if (err < 0)
		return err;
	return n < 0 || q->refusal_reported ? n : receive_within(q, packet, max, timeout_ms);
}

/*
 * There is no memory to record these packets as waiting. Drops them: otherwise a verdict for a range of ids could
 * accept them.
 */
static int drop_unrecorded(struct ipq_queue *q, const struct ipq_packet *packet, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		struct source_verdict drop = { .id = packet[i].id, .code = NF_DROP };

		q->stats.sends++;
		if (source_send(q->source, &drop, 1) == 1)
			q->stats.dropped++;
		else
			q->verdicts.unknown_pending = true;
	}
	return ipq_fail(&q->error, ENOMEM, "no memory to record waiting packets: %u were dropped", n);
}

/*
 * Packets of this queue may wait without a record here: another process that shares the queue after a fork has read
 * them (the ids have a gap), or a reader was cancelled after it had received them. A verdict for a range of ids
 * would decide those packets, too. So such verdicts are no longer used.
 */
static void detect_id_gap(struct ipq_queue *q, const struct ipq_packet *packet, int n)
{
	int i;

	for (i = 0; i < n && q->forks != atomic_load_explicit(&fork_count, memory_order_relaxed); i++)
		q->verdicts.unknown_pending |= packet[i].id != (i > 0 ? packet[i - 1].id : q->last_id) + 1;
	if (n > 0)
		q->last_id = packet[n - 1].id;
}

/* Accounts for a receive that returned n packets, or -errno. Returns the result of ipq_queue_recv. */
static int account_received(struct ipq_queue *q, const struct ipq_packet *packet, int n)
{
	int i, err;

	detect_id_gap(q, packet, n);
	if (n < 0)
		return n;
	if (unlikely(q->eperm_seen))
		return ipq_fail(&q->error, EPERM,
				"the kernel refuses verdicts: this process gave up CAP_NET_ADMIN, which "
				"each verdict needs");
	q->stats.received += (unsigned)n;
	for (i = 0; i < n; i++) {
		if (unlikely(verdicts_add_pending(&q->verdicts, packet[i].id) < 0)) {
			err = drop_unrecorded(q, packet + i, (unsigned)(n - i));
			return i > 0 ? i : err;
		}
	}
	return n;
}

__flatten static int receive_packets(struct ipq_queue *q, struct ipq_packet *packet, unsigned max,
				     int timeout_ms)
{
	size_t defer;
	int n;

	q->verdicts.unknown_pending |= q->receiving;
	q->receiving = true;
	q->refusal_reported = false;
	defer = may_defer(q, timeout_ms);
	n = send_verdicts(q, defer);
	if (likely(n == 0))
		n = defer > 0 ? receive_moderated(q, packet, max, timeout_ms)
			      : receive_within(q, packet, max, timeout_ms);
	n = account_received(q, packet, n);
	moderation_note(&q->moderation, n > 0 ? (unsigned)n : 0, max);
	q->receiving = false;
	return n;
}

/*
 * A call with a timeout of 0 ends when the source has no packets. It also ends after it has decided packets of
 * known flows for this long. If packets are left, the program does not learn of them by edge-triggered epoll, which
 * reports only changes.
 */
#define DECIDED_FLOWS_MS 100

/* Receives packets like receive_packets(), but gives packets of decided flows their verdict here: see flows.h. */
__noinline static int receive_undecided(struct ipq_queue *q, struct ipq_packet *packet, unsigned max,
					int timeout_ms)
{
	int64_t end = timeout_ms < 0 ? -1 : now_ms() + (timeout_ms > 0 ? timeout_ms : DECIDED_FLOWS_MS);

	if (q->flows->one_by_one)
		max = 1;
	for (;;) {
		bool held = q->flows->held_count > 0;
		int64_t left = end < 0 ? IPQ_FOREVER : end - now_ms();
		int n = receive_packets(q, packet, max,
					held || timeout_ms == 0 ? 0
					: left < 0 && end >= 0	? 0
								: (int)left),
		    err = 0;
		int undecided = n <= 0 ? 0 : q->asks_flows ? n : flows_take(q, packet, n);

		if (flows_release_due(q, held && n == 0))
			err = send_verdicts(q, 0);
		/* After an error the verdicts stay pending, and the next receive returns the error. */
		if (undecided > 0)
			return undecided;
		if (err < 0)
			return err;
		/* Packets of decided flows may arrive without end, but the timeout must apply. */
		left = end < 0 ? 1 : end - now_ms();
		if (n < 0 || q->refusal_reported || left < 0 ||
		    (n == 0 && !held && (timeout_ms == 0 || left == 0 || end < 0))) {
			/* The program may poll the descriptor now, so no verdict may wait for the next receive. */
			flows_release(q, false);
			err = send_verdicts(q, 0);
			return n < 0 ? n : err;
		}
	}
}

int ipq_queue_recv(struct ipq_queue *q, struct ipq_packet *packet, unsigned max, int timeout_ms)
{
	if (max == 0)
		return ipq_fail(&q->error, EINVAL, "max must not be 0");
	if (max > SOURCE_BATCH_MAX)
		max = SOURCE_BATCH_MAX;
	if (likely(q->flows == NULL))
		return receive_packets(q, packet, max, timeout_ms);
	return receive_undecided(q, packet, max, timeout_ms);
}

const char *ipq_queue_interface(struct ipq_queue *q, uint32_t index, uint16_t *type)
{
	uint16_t ignored;

	source_interface(q->source, index, q->interface, type != NULL ? type : &ignored);
	return q->interface;
}

void queue_counters(const struct ipq_queue *q, struct ipq_stats *stats)
{
	*stats = q->stats;
	stats->waiting = q->verdicts.waiting;
}

bool queue_is_full(const struct ipq_queue *q)
{
	return q->source->ops->full != NULL && q->source->ops->full(q->source);
}

int queue_copy(struct ipq_queue *q, const struct ipq_packet *packet, const struct ipq_verdict *verdict)
{
	struct source_verdict v = { .id = packet->id, .present = verdict->present & IPQ_SET_PAYLOAD };
	int err;

	if (q->source->ops->copy == NULL)
		return -EOPNOTSUPP;
	if (v.present != 0) {
		v.payload = verdict->payload;
		v.payload_len = verdict->payload_len;
	}
	err = ipq_queue_flush(q);
	return err < 0 ? err : q->source->ops->copy(q->source, &v);
}

int queue_add_losses(const struct ipq_queue *q, struct ipq_stats *stats)
{
	struct source_counts counts;
	int err = q->source->ops->counts(q->source, &counts);

	if (err < 0)
		return err;
	stats->lost += counts.lost;
	stats->queue_dropped += counts.queue_dropped;
	stats->malformed += counts.malformed;
	return 0;
}

int ipq_queue_stats(struct ipq_queue *q, struct ipq_stats *stats)
{
	struct ipq_stats now;
	int err;

	queue_counters(q, &now);
	err = queue_add_losses(q, &now);
	if (err < 0)
		return ipq_fail(&q->error, -err, "cannot read the counters of the source: %s",
				strerror(-err));
	if (copy_struct_out(stats, &now, sizeof(now), sizeof(now.size) + 1) < 0)
		return ipq_fail(&q->error, EINVAL,
				"the size in struct ipq_stats is %zu: set it to sizeof(struct ipq_stats)",
				stats->size);
	return 0;
}
