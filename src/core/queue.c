/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation: the new API over any source. Packets are received in batches into slots of the
 * queue's own memory, one behind the other; verdicts are collected (verdicts.c) and sent in as few
 * messages and system calls as keep their meaning. A replacement that lies in the packet itself is sent
 * from there: its slot is not reused before the verdicts have left.
 */
#include <errno.h>
#include <linux/netfilter.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <ipq_edit.h>
#include "core/moderation.h"
#include "core/core.h"
#include "core/verdicts.h"
#include "source/links.h"
#include "util/clock.h"
#include "util/compiler.h"
#include "util/fork_count.h"

#define QUEUE_LENGTH 8192
#define PENDING_MAX 65536    /* verdicts that are collected before they are sent unasked */
#define EXTRAS_MAX 1024	     /* those with something beside the code, likewise */
#define COPIES_MAX (1 << 20) /* bytes of replacements, likewise */
#define HEAD_ROOM 4096	     /* attributes in front of the payload: a security context may be long */
#define SPIN_LOOKS 4	     /* between two yields, each of which takes as long as a look */

struct copy {
	struct copy *next;
	uint8_t bytes[];
};

struct ipq_queue {
	/* What every packet needs, side by side: it takes a receive that has slept a while to fetch it. */
	struct source *source;
	struct verdicts verdicts;
	unsigned forks;	  /* when the queue was opened */
	uint32_t last_id; /* of the packet received last; they count up from 1 */
	uint32_t spin_usec;
	bool receiving;	       /* somebody is in ipq_queue_recv, or was cancelled there */
	bool pinned;	       /* a verdict that was not sent yet has its payload in a slot */
	bool eperm_seen;       /* the kernel refused a verdict for want of the capability */
	bool refusal_reported; /* refused was called in this receive */
	struct copy *copies;   /* replacements that were not sent yet */
	size_t copies_size;
	struct moderation moderation;
	struct ipq_stats stats;
	struct iovec slot[SOURCE_BATCH_MAX];

	bool owned;
	uint32_t flags;
	uint32_t spin_now; /* what it has paid to spin lately, up to spin_usec */
	unsigned char *memory;
	size_t memory_size, slot_size;
	source_refused refused;
	void *refused_context;
	struct ipq_error error;
	char interface[IFNAMSIZ];
};

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

/* Not a multiple of a page or of 4 KiB, or the slots' heads would compete for the same cache lines. */
static size_t slot_size_for(const struct ipq_options *o)
{
	size_t payload = o->flags & IPQ_O_META_ONLY ? 0 : o->copy_range != 0 ? o->copy_range : 65536;

	if (payload > 65536)
		payload = 65536;
	return ((payload + HEAD_ROOM + 4095) & ~(size_t)4095) + 64;
}

/* What a full queue takes of the socket's buffer: the kernel charges 832 bytes for a small packet, 2304 for
 * one of 1,400 bytes, 57 KiB for one of GSO size, of which few are there at once. */
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
			       IPQ_O_OWNER | IPQ_O_SECURITY_CONTEXT | IPQ_O_TIMESTAMP | IPQ_O_BEST_EFFORT;
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
				"options.reserved is not 0: begin with a struct ipq_options of zeros");
	if (o->flags & ~known)
		return ipq_fail(e, EINVAL, "options.flags has bits 0x%x that this libipq does not know",
				o->flags & ~known);
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
		.queue_length = o->queue_length,
		.receive_buffer = o->receive_buffer,
		.flags = o->flags,
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
	verdicts_free(&q->verdicts);
	moderation_end(&q->moderation);
	munmap(q->memory, q->memory_size);
	free(q);
}

int ipq_queue_detach_memory(struct ipq_queue *q, void **memory, size_t *size)
{
	int err = ipq_queue_flush(q); /* a pending replacement may lie in the memory */

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

/* ---- sending verdicts ---------------------------------------------------------------------------------- */

/* What the source says of its failure, or what errno says. */
static int fail_source(struct ipq_queue *q, int err, const char *what)
{
	const struct source_ops *ops = q->source->ops;

	if (ops->error != NULL && ops->error(q->source)[0] != '\0')
		return ipq_fail(&q->error, -err, "%s", ops->error(q->source));
	return ipq_fail(&q->error, -err, "cannot %s: %s", what, strerror(-err));
}

/* The first n verdicts have left. */
static void count_sent(struct ipq_queue *q, size_t n)
{
	const struct pending *p = q->verdicts.log + q->verdicts.first, *end = p + n;

	for (; p < end; p++) {
		if (p->code == NF_ACCEPT)
			q->stats.accepted++;
		else if (p->code == NF_DROP)
			q->stats.dropped++;
		else
			q->stats.other++;
		if (p->extra >= 0 && (q->verdicts.extra[p->extra].present & IPQ_SET_PAYLOAD))
			q->stats.replaced++;
	}
}

/* Sends all but the newest verdicts. */
__noinline static int flush_but(struct ipq_queue *q, size_t keep)
{
	struct source_verdict out[SOURCE_BATCH_MAX];
	size_t covers[SOURCE_BATCH_MAX];

	while (q->verdicts.count > keep) {
		unsigned n =
			verdicts_pack(&q->verdicts, q->verdicts.count - keep, out, covers, SOURCE_BATCH_MAX);
		int sent = source_send(q->source, out, n);

		q->stats.sends++;
		if (sent > 0) {
			count_sent(q, covers[sent - 1]);
			verdicts_sent(&q->verdicts, covers[sent - 1]);
		}
		if (sent < 0)
			return fail_source(q, sent, "send verdicts");
	}
	return 0;
}

/* Sends the only verdict that there is. */
static int flush_only(struct ipq_queue *q, const struct source_verdict *verdict)
{
	int sent = source_send(q->source, verdict, 1);

	q->stats.sends++;
	if (sent < 0)
		return fail_source(q, sent, "send verdicts");
	count_sent(q, 1);
	verdicts_sent(&q->verdicts, 1);
	return 0;
}

static inline int flush(struct ipq_queue *q)
{
	struct source_verdict only;
	int err = verdicts_only(&q->verdicts, &only) ? flush_only(q, &only) : flush_but(q, 0);

	if (err < 0)
		return err;
	free_copies(q);
	q->pinned = false;
	return 0;
}

int ipq_queue_flush(struct ipq_queue *q)
{
	return flush(q);
}

/* ---- packets -------------------------------------------------------------------------------------- */

static void count_refused(void *context, const struct source_refusal *refusal)
{
	struct ipq_queue *q = context;

	q->stats.refused++;
	if (refusal->error == EPERM)
		q->eperm_seen = true;
	if (q->refused == NULL)
		return;
	q->refused(q->refused_context, refusal);
	q->refusal_reported = true;
}

static int receive(struct ipq_queue *q, struct ipq_packet *packet, unsigned max, int timeout_ms)
{
	q->stats.receives++;
	return source_recv(q->source, q->slot, packet, max, timeout_ms, count_refused, q);
}

/* Looks again and again, then sleeps: a packet that comes soon finds the reader awake. */
static int receive_spinning(struct ipq_queue *q, struct ipq_packet *packet, unsigned max, int64_t end)
{
	int64_t stop = now_us() + q->spin_now;
	unsigned looks = 0;
	int n;

	if (end >= 0 && end < stop)
		stop = end;
	while ((n = receive(q, packet, max, 0)) == 0 && now_us() < stop)
		if (++looks % SPIN_LOOKS == 0)
			sched_yield(); /* whoever is to send the packet may want this very core */
	return n;
}

/* Spinning pays while packets come within spin_usec. Each that did not halves it, until it costs nothing. */
static void adapt_spin(struct ipq_queue *q, int64_t began)
{
	q->spin_now = now_us() - began <= q->spin_usec ? q->spin_usec : q->spin_now / 2;
}

/* end: when to give up, microseconds of the monotonic clock; -1: never. */
__noinline static int receive_until(struct ipq_queue *q, struct ipq_packet *packet, unsigned max, int64_t end)
{
	for (;;) {
		int64_t began = now_us(), left = end < 0 ? 0 : end - began;
		int n = 0;

		if (q->spin_now > 0)
			n = receive_spinning(q, packet, max, end);
		if (n == 0)
			n = receive(q, packet, max,
				    end < 0    ? IPQ_FOREVER
				    : left > 0 ? (int)((left + 999) / 1000)
					       : 0);
		if (q->spin_usec > 0)
			adapt_spin(q, began);
		/* 0: the time is over, or only refusals came. */
		if (n != 0 || q->eperm_seen || q->refusal_reported || (end >= 0 && now_us() >= end))
			return n;
	}
}

static int fail_recv(struct ipq_queue *q, int err)
{
	switch (err) {
	case -EINTR:
		return ipq_fail(&q->error, EINTR, "interrupted by a signal");
	case -ECANCELED:
		return ipq_fail(&q->error, ECANCELED, "woken by ipq_queue_wake");
	case -ENODATA:
		return ipq_fail(&q->error, ENODATA, "the capture file has ended");
	default:
		return fail_source(q, err, "receive");
	}
}

/* Packets that cannot be noted nobody may decide: they are dropped, before a verdict for all up to some id passes them. */
static int drop_unnoted(struct ipq_queue *q, const struct ipq_packet *packet, unsigned n)
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
	return ipq_fail(&q->error, ENOMEM, "no memory to note the packets that wait: %u were dropped", n);
}

static int receive_within(struct ipq_queue *q, struct ipq_packet *packet, unsigned max, int timeout_ms)
{
	if (timeout_ms > 0 || (timeout_ms < 0 && q->spin_usec > 0))
		return receive_until(q, packet, max,
				     timeout_ms < 0 ? -1 : now_us() + (int64_t)timeout_ms * 1000);
	for (;;) {
		int n = receive(q, packet, max, timeout_ms);

		if (n != 0 || timeout_ms == 0 || q->eperm_seen || q->refusal_reported)
			return n;
	}
}

/* How many verdicts may leave after the next packets have been fetched. */
static size_t keeps(const struct ipq_queue *q)
{
	/* What goes with verdicts is forgotten when all have left: now and then all must. */
	return q->pinned || q->verdicts.extra_count >= EXTRAS_MAX ? 0
								  : moderation_deferred_count(&q->moderation);
}

/* The next packets of a busy queue; its newest verdicts leave after them, see moderation.c. */
__noinline static int receive_moderated(struct ipq_queue *q, struct ipq_packet *packet, unsigned max,
					size_t keep)
{
	int err = flush_but(q, keep);

	if (err == 0)
		err = moderation_pause(&q->moderation, q->source);
	return err < 0 ? err : receive(q, packet, max, 0);
}

/*
 * Packets wait that this process does not know when another one that shares the queue has read them, which shows
 * as a gap in the ids, or when a reader was cancelled with them in its hands. A verdict for all packets up to
 * some id would decide those, too.
 */
static void detect_id_gap(struct ipq_queue *q, const struct ipq_packet *packet, int n)
{
	int i;

	for (i = 0; i < n && q->forks != atomic_load_explicit(&fork_count, memory_order_relaxed); i++)
		q->verdicts.unknown_pending |= packet[i].id != (i > 0 ? packet[i - 1].id : q->last_id) + 1;
	if (n > 0)
		q->last_id = packet[n - 1].id;
}

static int note_packets(struct ipq_queue *q, const struct ipq_packet *packet, int n)
{
	int i, err;

	q->stats.received += (unsigned)n;
	for (i = 0; i < n; i++) {
		if (verdicts_add_pending(&q->verdicts, packet[i].id) < 0) {
			err = drop_unnoted(q, packet + i, (unsigned)(n - i));
			return i > 0 ? i : err;
		}
	}
	return n;
}

__flatten int ipq_queue_recv(struct ipq_queue *q, struct ipq_packet *packet, unsigned max, int timeout_ms)
{
	size_t keep;
	int err = 0, n = 0;

	if (max == 0)
		return ipq_fail(&q->error, EINVAL, "ipq_queue_recv was given room for no packet");
	if (max > SOURCE_BATCH_MAX)
		max = SOURCE_BATCH_MAX;
	q->verdicts.unknown_pending |= q->receiving;
	q->receiving = true;
	q->refusal_reported = false;
	keep = timeout_ms != 0 && q->spin_usec == 0 ? keeps(q) : 0;
	if (keep > 0)
		n = receive_moderated(q, packet, max, keep);
	if (n <= 0)
		err = flush(q);
	if (n == 0 && err == 0 && !q->refusal_reported)
		n = receive_within(q, packet, max, timeout_ms);
	detect_id_gap(q, packet, n);
	if (err < 0)
		n = err;
	else if (n < 0)
		n = fail_recv(q, n);
	else if (q->eperm_seen)
		n = ipq_fail(&q->error, EPERM,
			     "the kernel refuses verdicts: this process gave up CAP_NET_ADMIN, keep it");
	else
		n = note_packets(q, packet, n);
	moderation_note(&q->moderation, n > 0 ? (unsigned)n : 0, max);
	q->receiving = false;
	return n;
}

const char *ipq_queue_interface(struct ipq_queue *q, uint32_t index, uint16_t *type)
{
	uint16_t ignored;

	source_interface(q->source, index, q->interface, type != NULL ? type : &ignored);
	return q->interface;
}

/* Copies one of the packet's views behind the others and lets the pointer follow. */
static uint8_t *append(uint8_t *at, const void *from, size_t len, const void **view)
{
	memcpy(at, from, len);
	*view = at;
	return at + len;
}

struct ipq_packet *ipq_packet_keep(const struct ipq_packet *packet)
{
	const struct ipq_packet *p = packet;
	size_t payload = p->present & IPQ_HAS_PAYLOAD ? p->payload_len : 0;
	struct ipq_packet *kept = malloc(sizeof(*kept) + payload + p->link_header_len +
					 p->security_context_len + p->conntrack_len + p->expectation_len + 8);
	const void *view;
	uint8_t *at;

	if (kept == NULL)
		return NULL;
	*kept = *p;
	at = (uint8_t *)(kept + 1);
	/* Attributes first: they are read as numbers, so they stay aligned to 4 bytes. */
	if (p->conntrack_len > 0)
		at = append(at, p->conntrack, p->conntrack_len, &kept->conntrack);
	at = (uint8_t *)(((uintptr_t)at + 3) & ~(uintptr_t)3);
	if (p->expectation_len > 0)
		at = append(at, p->expectation, p->expectation_len, &kept->expectation);
	if (p->link_header_len > 0) {
		at = append(at, p->link_header, p->link_header_len, &view);
		kept->link_header = view;
	}
	if (p->security_context_len > 0) {
		at = append(at, p->security_context, p->security_context_len, &view);
		kept->security_context = view;
	}
	kept->payload = at;
	if (payload > 0)
		memcpy(at, p->payload, payload);
	return kept;
}

void ipq_packet_free(struct ipq_packet *kept)
{
	free(kept);
}

/* ---- verdicts --------------------------------------------------------------------------------------- */

static int fail_verdict(struct ipq_queue *q, int err, uint32_t id)
{
	if (err == -ENOENT)
		return ipq_fail(
			&q->error, ENOENT,
			"packet %u does not wait for a verdict: it was never received or is already decided",
			id);
	return ipq_fail(&q->error, -err, "cannot note the verdict: %s", strerror(-err));
}

static int give(struct ipq_queue *q, uint32_t id, uint32_t code, const struct source_verdict *extra)
{
	int err = verdicts_set(&q->verdicts, id, code, extra);

	if (err < 0)
		return fail_verdict(q, err, id);
	if (q->verdicts.count >= PENDING_MAX || q->verdicts.extra_count >= EXTRAS_MAX ||
	    q->copies_size >= COPIES_MAX)
		return ipq_queue_flush(q);
	return 0;
}

int ipq_accept(struct ipq_queue *q, const struct ipq_packet *packet)
{
	return give(q, packet->id, NF_ACCEPT, NULL);
}

int ipq_drop(struct ipq_queue *q, const struct ipq_packet *packet)
{
	return give(q, packet->id, NF_DROP, NULL);
}

static uint8_t *copy_payload(struct ipq_queue *q, const void *bytes, size_t len)
{
	struct copy *c = malloc(sizeof(*c) + len);

	if (c == NULL)
		return NULL;
	memcpy(c->bytes, bytes, len);
	c->next = q->copies;
	q->copies = c;
	q->copies_size += len;
	return c->bytes;
}

/* In place: inside the slot from which the packet was received, which is not reused before a flush. */
static bool in_place(const struct ipq_queue *q, const struct ipq_packet *packet, const uint8_t *bytes,
		     size_t len)
{
	return packet->payload >= q->memory && packet->payload < q->memory + q->memory_size &&
	       bytes >= packet->payload && bytes + len <= packet->payload + packet->payload_len;
}

static int set_payload(struct ipq_queue *q, struct source_verdict *v, const struct ipq_packet *packet,
		       const void *bytes, size_t len)
{
	uint8_t *payload = (uint8_t *)(uintptr_t)bytes;
	int err = 0;

	if (bytes == NULL || len == 0 || len > NFQ_PAYLOAD_MAX)
		return ipq_fail(&q->error, bytes == NULL || len == 0 ? EINVAL : EMSGSIZE,
				"a replacement of %zu bytes: the kernel takes 1 to %d", len, NFQ_PAYLOAD_MAX);
	if (in_place(q, packet, bytes, len))
		q->pinned = true;
	else
		payload = copy_payload(q, bytes, len);
	if (payload == NULL)
		return ipq_fail(&q->error, ENOMEM, "no memory for the replacement");
	if ((packet->present & IPQ_HAS_PAYLOAD) && (packet->flags & IPQ_PACKET_CHECKSUM_NOT_READY))
		err = ipq_checksum_complete(payload, len);
	/* Nobody would complete it once the kernel has the bytes: they would go out damaged. */
	if (err < 0)
		return ipq_fail(&q->error, -err,
				"cannot complete the checksum that was left to a device (%s): open with "
				"IPQ_O_SEGMENT to have the kernel do it",
				strerror(-err));
	v->present |= IPQ_SET_PAYLOAD;
	v->payload = payload;
	v->payload_len = len;
	return 0;
}

int ipq_replace(struct ipq_queue *q, const struct ipq_packet *packet, const void *bytes, size_t len)
{
	struct source_verdict v = { 0 };
	int err = set_payload(q, &v, packet, bytes, len);

	return err < 0 ? err : give(q, packet->id, NF_ACCEPT, &v);
}

static int take_verdict(struct ipq_queue *q, struct ipq_verdict *v, const struct ipq_verdict *given)
{
	const uint32_t known = IPQ_SET_MARK | IPQ_SET_PRIORITY | IPQ_SET_CONNTRACK_MARK |
			       IPQ_SET_CONNTRACK_LABELS | IPQ_SET_VLAN | IPQ_SET_PAYLOAD;
	int err = copy_struct_in(v, sizeof(*v), given, offsetof(struct ipq_verdict, queue), "ipq_verdict",
				 &q->error);

	if (err < 0)
		return err;
	if (v->present & ~known)
		return ipq_fail(&q->error, EINVAL,
				"verdict.present has bits 0x%x that this libipq does not know",
				v->present & ~known);
	if (v->code > IPQ_STOP || v->code == NF_STOLEN)
		return ipq_fail(&q->error, EINVAL, "no verdict has the code %u", v->code);
	return 0;
}

/* What the kernel would pass over in silence is told here. */
static int check_offered(struct ipq_queue *q, const struct ipq_packet *packet, uint32_t present)
{
	if ((present & (IPQ_SET_CONNTRACK_MARK | IPQ_SET_CONNTRACK_LABELS)) && !(q->flags & IPQ_O_CONNTRACK))
		return ipq_fail(&q->error, EOPNOTSUPP,
				"no conntrack mark or labels can be set in this queue: open it with "
				"IPQ_O_CONNTRACK, which tells whether the kernel has what it takes");
	if ((present & IPQ_SET_VLAN) && packet->family != AF_BRIDGE)
		return ipq_fail(&q->error, EOPNOTSUPP,
				"packet %u has no VLAN tag to set: only those queued by a rule of the "
				"bridge family have",
				packet->id);
	return 0;
}

int ipq_decide(struct ipq_queue *q, const struct ipq_packet *packet, const struct ipq_verdict *verdict)
{
	struct ipq_verdict given;
	struct source_verdict v;
	int err = take_verdict(q, &given, verdict);
	uint32_t code;

	if (err == 0)
		err = check_offered(q, packet, given.present);
	if (err < 0)
		return err;
	code = given.code == IPQ_QUEUE ? NF_QUEUE_NR((uint32_t)given.queue) : given.code;
	if (given.present == 0)
		return give(q, packet->id, code, NULL);
	v = (struct source_verdict){
		.present = given.present & ~(uint32_t)IPQ_SET_PAYLOAD,
		.mark = given.mark,
		.priority = given.priority,
		.conntrack_mark = given.conntrack_mark,
		.conntrack_mark_mask = given.conntrack_mark_mask,
		.vlan_proto = given.vlan_proto,
		.vlan_tci = given.vlan_tci,
	};
	if (given.present & IPQ_SET_CONNTRACK_LABELS)
		memcpy(v.conntrack_labels, given.conntrack_labels, sizeof(v.conntrack_labels));
	if (given.present & IPQ_SET_PAYLOAD)
		err = set_payload(q, &v, packet, given.payload, given.payload_len);
	return err < 0 ? err : give(q, packet->id, code, &v);
}

void queue_counters(const struct ipq_queue *q, struct ipq_stats *stats)
{
	*stats = q->stats;
	stats->waiting = q->verdicts.waiting;
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
