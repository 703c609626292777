/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation. Each direction of a connection has a list of places where text of one length was
 * replaced by text of another, in the sender's sequence numbers, and the sum of those that the receiver
 * has acknowledged (`base`). A sequence number moves by the sum of all places before it; an
 * acknowledgement of the other side moves back by the same.
 *
 * The invariant: what was sent on for a sequence number never changes. So
 *  - a segment that leaves a hole is dropped: text missing in the hole might yet change its length, and
 *    then everything behind would have been sent with wrong numbers. The sender repeats it in order.
 *  - text that was (in part) sent on before is only replaced where it was replaced the first time.
 *  - a repeated segment that begins or ends inside a replaced text is cut back to its edge.
 * Text that is split between two segments is not found. So that a segment that grows is not too large for
 * the network, SYNs of both sides are given a smaller maximum segment size; where none was seen, or it was
 * not enough, what no longer fits into a packet is left as it was.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "filter/tcp_seq.h"
#include "util/bytes.h"

#define BUCKETS 4096
#define FLOWS_MAX 262144
#define IDLE_NS (INT64_C(3600) * 1000000000)
#define CLOSED_NS (INT64_C(60) * 1000000000)
#define OPTION_MSS 2
#define OPTION_SACK 5
#define SEGMENT_MAX 65400 /* with headers still what a verdict can carry */
#define SEGMENT_MIN 256

struct place {
	uint32_t begin, end; /* of the text, in the sender's numbers */
	int32_t delta;	     /* how much longer it became */
};

struct direction {
	struct place *place; /* in order */
	size_t places, room;
	int32_t base;
	uint32_t next;	/* what comes next without a hole */
	bool known;	/* next is */
	bool rewritten; /* its text may change, so it must come in order */
	bool finished;
};

struct key {
	uint8_t address[2][16]; /* the smaller side first */
	uint16_t port[2];
	uint8_t version, pad[3];
	uint32_t zone;
};

struct flow {
	struct flow *next, *older, *newer;
	struct key key;
	struct direction direction[2];
	size_t from_len, to_len; /* of the text, for the segment size; any rule's that was applied */
	bool all;
	int64_t used;
	size_t bucket;
};

struct flows {
	struct flow *bucket[BUCKETS];
	struct flow *oldest, *newest;
	size_t count;
};

/* Serial number arithmetic (RFC 1982). */
static bool before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/* ---- the table ----------------------------------------------------------------------------------- */

struct flows *flows_new(void)
{
	return calloc(1, sizeof(struct flows));
}

size_t flows_count(const struct flows *t)
{
	return t->count;
}

static void unlink_flow(struct flows *t, struct flow *f)
{
	*(f->older != NULL ? &f->older->newer : &t->oldest) = f->newer;
	*(f->newer != NULL ? &f->newer->older : &t->newest) = f->older;
}

static void link_newest(struct flows *t, struct flow *f)
{
	f->older = t->newest;
	f->newer = NULL;
	*(t->newest != NULL ? &t->newest->newer : &t->oldest) = f;
	t->newest = f;
}

static void forget(struct flows *t, struct flow *f)
{
	struct flow **at = &t->bucket[f->bucket];

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	unlink_flow(t, f);
	t->count--;
	free(f->direction[0].place);
	free(f->direction[1].place);
	free(f);
}

void flows_free(struct flows *t)
{
	if (t == NULL)
		return;
	while (t->oldest != NULL)
		forget(t, t->oldest);
	free(t);
}

/* Fills in the key. Returns which direction this packet has. */
static unsigned make_key(struct key *key, const struct ipq_edit *e, uint32_t zone)
{
	size_t len = e->version == 4 ? 4 : 16, at = e->version == 4 ? 12 : 8;
	const uint8_t *source = e->data + at, *destination = source + len, *ports = e->data + e->transport;
	int order = memcmp(source, destination, len);
	unsigned side;

	if (order == 0)
		order = memcmp(ports, ports + 2, 2);
	side = order > 0;
	memset(key, 0, sizeof(*key));
	memcpy(key->address[side], source, len);
	memcpy(key->address[!side], destination, len);
	memcpy(&key->port[side], ports, 2);
	memcpy(&key->port[!side], ports + 2, 2);
	key->version = e->version;
	key->zone = zone;
	return side;
}

static size_t hash(const struct key *key)
{
	const uint8_t *p = (const uint8_t *)key;
	uint32_t h = 2166136261U; /* FNV-1a */

	for (size_t i = 0; i < sizeof(*key); i++)
		h = (h ^ p[i]) * 16777619U;
	return (h ^ h >> 16) % BUCKETS;
}

static struct flow *find(struct flows *t, const struct key *key, size_t bucket)
{
	struct flow *f;

	for (f = t->bucket[bucket]; f != NULL; f = f->next)
		if (memcmp(&f->key, key, sizeof(*key)) == 0)
			return f;
	return NULL;
}

static bool is_over(const struct flow *f, int64_t now)
{
	bool closed = f->direction[0].finished && f->direction[1].finished;

	return now - f->used > (closed ? CLOSED_NS : IDLE_NS);
}

static struct flow *create(struct flows *t, const struct key *key, size_t bucket, int64_t now)
{
	struct flow *f;

	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): forget() moves t->oldest on */
	while (t->oldest != NULL && (t->count >= FLOWS_MAX || is_over(t->oldest, now)))
		forget(t, t->oldest); /* NOLINT(clang-analyzer-unix.Malloc) */
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return NULL;
	f->key = *key;
	f->bucket = bucket;
	f->next = t->bucket[bucket];
	t->bucket[bucket] = f;
	link_newest(t, f);
	t->count++;
	return f;
}

/* ---- one direction ------------------------------------------------------------------------------- */

static uint32_t move_sequence(const struct direction *d, uint32_t sequence)
{
	uint32_t moved = sequence + (uint32_t)d->base;

	for (size_t i = 0; i < d->places && !before(sequence, d->place[i].end); i++)
		moved += (uint32_t)d->place[i].delta;
	return moved;
}

static uint32_t move_back(const struct direction *d, uint32_t acknowledged)
{
	uint32_t moved = (uint32_t)d->base;

	for (size_t i = 0; i < d->places; i++) {
		const struct place *p = &d->place[i];

		if (before(acknowledged, p->end + moved + (uint32_t)p->delta))
			/* Half of the new text was received: the old one has no such half. */
			return before(p->begin + moved, acknowledged) ? p->begin : acknowledged - moved;
		moved += (uint32_t)p->delta;
	}
	return acknowledged - moved;
}

/* The receiver has everything before this: those places are only a sum from now on. */
static void settle(struct direction *d, uint32_t acknowledged)
{
	size_t done = 0;

	while (done < d->places && !before(acknowledged, d->place[done].end))
		d->base += d->place[done++].delta;
	if (done == 0)
		return;
	d->places -= done;
	memmove(d->place, d->place + done, d->places * sizeof(*d->place));
}

static bool is_place(const struct direction *d, uint32_t begin)
{
	for (size_t i = 0; i < d->places; i++)
		if (d->place[i].begin == begin)
			return true;
	return false;
}

static int add_place(struct direction *d, uint32_t begin, const struct rewrite *r)
{
	if (d->places == d->room) {
		size_t room = d->room > 0 ? d->room * 2 : 8;
		struct place *grown = realloc(d->place, room * sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		d->place = grown;
		d->room = room;
	}
	d->place[d->places++] = (struct place){ begin, begin + (uint32_t)r->from_len,
						(int32_t)r->to_len - (int32_t)r->from_len };
	return 0;
}

/* Cuts off the parts of replaced texts in which a repeated segment begins or ends. */
static int cut_to_edges(const struct direction *d, struct ipq_edit *e, uint32_t *sequence)
{
	for (size_t i = 0; i < d->places; i++) {
		const struct place *p = &d->place[i];
		uint32_t end = *sequence + e->payload_len;
		int err = 0;

		if (before(p->begin, end) && before(end, p->end) && !before(p->begin, *sequence))
			err = ipq_edit_replace(e, p->begin - *sequence, end - p->begin, "", 0);
		else if (before(p->begin, *sequence) && before(*sequence, p->end)) {
			uint32_t cut =
				p->end - *sequence < e->payload_len ? p->end - *sequence : e->payload_len;

			err = ipq_edit_replace(e, 0, cut, "", 0);
			*sequence += cut;
		}
		if (err < 0)
			return err;
	}
	return 0;
}

/* Replaces text in a segment whose numbers are still the sender's. sent: the end of what went before. */
static int replace_texts(struct direction *d, struct ipq_edit *e, const struct rewrite *r, uint32_t sequence,
			 uint32_t sent)
{
	bool first = true;
	size_t from = 0;
	int places = 0, at, err = 0;

	while (err == 0 && (at = ipq_edit_find(e, from, r->from, r->from_len)) >= 0) {
		uint32_t begin = sequence + (uint32_t)at;
		bool again = is_place(d, begin), new = !again && !before(begin, sent) && (first || r->all);

		if (!again && !new) {
			from = (size_t)at + 1;
			continue;
		}
		err = ipq_edit_replace(e, (size_t)at, r->from_len, r->to, r->to_len);
		if ((err == -EMSGSIZE || err == -ENOSPC) && new) {
			err = 0;
			break;
		}
		if (err == 0 && new)
			err = add_place(d, begin, r);
		/* From here on offsets in the packet are ahead of the sender's numbers. */
		sequence -= (uint32_t)(r->to_len - r->from_len);
		from = (size_t)at + r->to_len;
		first = first && again;
		places++;
	}
	return err < 0 ? err : places;
}

/* ---- a packet ------------------------------------------------------------------------------------ */

static int move_sack(const struct direction *other, struct ipq_edit *e)
{
	uint8_t blocks[40];
	size_t len;
	int at = ipq_edit_find_tcp_option(e, OPTION_SACK, &len);

	if (at < 0 || len > sizeof(blocks))
		return 0;
	memcpy(blocks, e->data + at, len);
	for (size_t i = 0; i + 4 <= len; i += 4)
		put32(blocks + i, move_back(other, get32(blocks + i)));
	return ipq_edit_set_tcp_option(e, OPTION_SACK, blocks, len);
}

static int move_acknowledgement(struct direction *other, struct ipq_edit *e)
{
	uint32_t old = get32(e->data + e->transport + 8), moved;
	int err;

	if (other->places == 0 && other->base == 0)
		return 0;
	moved = move_back(other, old);
	err = move_sack(other, e);
	if (err == 0)
		err = ipq_edit_set_tcp_acknowledgement(e, moved);
	settle(other, moved);
	return err;
}

static int lower_segment_size(const struct flow *f, struct ipq_edit *e)
{
	size_t len, size = SEGMENT_MAX, longer = f->to_len > f->from_len ? f->to_len - f->from_len : 0;
	int at = ipq_edit_find_tcp_option(e, OPTION_MSS, &len), err;

	if (at < 0 || len != 2)
		return 0;
	if (((size_t)e->data[at] << 8 | e->data[at + 1]) < size)
		size = (size_t)e->data[at] << 8 | e->data[at + 1];
	if (f->all && longer > 0)
		size = size * f->from_len / f->to_len; /* a segment full of it */
	else
		size -= longer < size ? longer : size;
	err = ipq_edit_clamp_mss(e, (uint16_t)(size > SEGMENT_MIN ? size : SEGMENT_MIN));
	return err < 0 ? err : 0;
}

/* A fresh SYN on the old addresses begins a new connection. */
static void restart(struct flow *f)
{
	for (unsigned i = 0; i < 2; i++) {
		struct direction *d = &f->direction[i];

		*d = (struct direction){ .place = d->place, .room = d->room };
	}
}

static int pass(struct flow *f, unsigned side, struct ipq_edit *e, const struct rewrite *r)
{
	struct direction *d = &f->direction[side];
	uint8_t flags = e->data[e->transport + 13];
	uint32_t sequence = get32(e->data + e->transport + 4), sent;
	uint32_t text = sequence + ((flags & IPQ_TCP_SYN) != 0); /* a SYN counts for one, before the text */
	uint32_t end = text + e->payload_len + ((flags & IPQ_TCP_FIN) != 0);
	int err, places = 0;

	if ((flags & (IPQ_TCP_SYN | IPQ_TCP_ACK)) == IPQ_TCP_SYN)
		restart(f);
	d->rewritten |= r != NULL;
	if (d->known && d->rewritten && before(d->next, sequence) && (flags & IPQ_TCP_RST) == 0)
		return FLOW_DROP;
	sent = d->known ? d->next : text;
	if ((flags & IPQ_TCP_RST) == 0 && (!d->known || before(d->next, end)))
		d->next = end;
	d->known = true;
	err = cut_to_edges(d, e, &text);
	sequence = text - ((flags & IPQ_TCP_SYN) != 0);
	if (err == 0)
		err = ipq_edit_set_tcp_sequence(e, move_sequence(d, sequence));
	if (err == 0 && (flags & IPQ_TCP_ACK) != 0)
		err = move_acknowledgement(&f->direction[!side], e);
	if (err == 0 && (flags & IPQ_TCP_SYN) != 0)
		err = lower_segment_size(f, e);
	if (err == 0 && r != NULL)
		places = err = replace_texts(d, e, r, text, sent);
	d->finished |= (flags & (IPQ_TCP_FIN | IPQ_TCP_RST)) != 0;
	return err < 0 ? err : places;
}

/* The connection of a packet; made when there is a rule for it. */
static struct flow *flow_of(struct flows *t, uint32_t zone, const struct ipq_edit *e, const struct rewrite *r,
			    int64_t now, unsigned *side)
{
	struct key key;
	struct flow *f;
	size_t bucket;

	*side = make_key(&key, e, zone);
	bucket = hash(&key);
	f = find(t, &key, bucket);
	if (f == NULL && r != NULL)
		f = create(t, &key, bucket, now);
	if (f == NULL)
		return NULL;
	unlink_flow(t, f);
	link_newest(t, f);
	f->used = now;
	if (r != NULL) {
		f->from_len = r->from_len;
		f->to_len = r->to_len;
		f->all = r->all;
	}
	return f;
}

int flow_pass(struct flows *t, uint32_t zone, struct ipq_edit *e, const struct rewrite *rewrite, int64_t now)
{
	struct flow *f;
	unsigned side;

	if (e->protocol != IPPROTO_TCP || e->transport_error < 0)
		return FLOW_SAME;
	f = flow_of(t, zone, e, rewrite, now, &side);
	if (f == NULL)
		return rewrite != NULL ? -ENOMEM : FLOW_SAME;
	return pass(f, side, e, rewrite);
}

int flow_expect(struct flows *t, uint32_t zone, struct ipq_edit *e, const struct rewrite *rewrite,
		int64_t now)
{
	struct flow *f;
	unsigned side;

	if (e->protocol != IPPROTO_TCP || e->transport_error < 0)
		return FLOW_SAME;
	f = flow_of(t, zone, e, rewrite, now, &side);
	return f != NULL ? pass(f, side, e, NULL) : -ENOMEM;
}
