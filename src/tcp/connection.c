// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The state of a connection, and which packets may change it.
 *
 * Anyone can send a packet with the addresses of a connection. A packet changes the connection's state only if its
 * sequence number and its acknowledgement number lie in the windows (RFC 5961). A SYN that does not belong to the
 * connection begins a second state with the same addresses, and from then on each packet belongs to the state whose
 * windows contain its numbers. So neither a forged nor a late SYN harms a connection, and a connection that really
 * begins anew is recognised by its own packets. After a forged RST the state of the connection may be removed,
 * until the next packet with payload creates it again.
 */
#include <errno.h>
#include <stdlib.h>

#include "tcp/tcp.h"

#define WINDOW_MIN 65536
#define WINDOW_UNHEARD (1 << 20) /* the window to assume after a SYN without an answer */
#define WINDOW_MAX (INT32_C(1) << 30)
#define SCALE_MAX 14
#define CLOSED_DISTANCE (1 << 20) /* a new connection may have numbers near those of a closed one */
#define STATES_MAX 4		  /* maximum number of states with the same addresses */

/* The largest window that the receiver has offered, but at least WINDOW_MIN. */
static uint32_t offered_window(const struct tcp_direction *receiver)
{
	return receiver->window > WINDOW_MIN ? receiver->window : WINDOW_MIN;
}

/*
 * The maximum distance of a number of `sender` from the expected number, according to the windows that `receiver`
 * has offered.
 */
static int32_t reach(const struct ipq_tcp *t, const struct tcp_direction *sender,
		     const struct tcp_direction *receiver)
{
	if (t->recorded || receiver->window > WINDOW_MAX)
		return WINDOW_MAX;
	if (!receiver->known)
		return sender->has_isn ? WINDOW_UNHEARD : WINDOW_MAX;
	return (int32_t)offered_window(receiver);
}

static bool is_near(uint32_t number, uint32_t expected, int32_t distance)
{
	int32_t difference = (int32_t)(number - expected);

	return difference >= -distance - 1 && difference <= distance;
}

/* The acknowledgement number that the other side sends if it has received everything. */
static uint32_t expected_acknowledgement(const struct ipq_tcp *t, const struct tcp_direction *d)
{
	return t->recorded ? d->next : tcp_log_map(&d->log, d->next, true);
}

static bool answers_syn(const struct ipq_tcp *t, const struct tcp_direction *d, uint32_t acknowledgement)
{
	return d->has_isn && before(d->isn, acknowledgement) &&
	       !before(expected_acknowledgement(t, d), acknowledgement);
}

static bool acknowledgement_fits(const struct ipq_tcp *t, const struct tcp_direction *receiver,
				 const struct tcp_direction *sender, uint32_t acknowledgement)
{
	if (!sender->known)
		return true;
	/* The receiver has sent nothing yet, so it can only acknowledge the SYN. */
	if (!t->recorded && !receiver->known && sender->has_isn)
		return answers_syn(t, sender, acknowledgement);
	/* Compare the sender's own numbers: its peer's window limits these. */
	if (!t->recorded)
		acknowledgement = tcp_log_unmap(&sender->log, acknowledgement, false);
	return is_near(acknowledgement, sender->next, reach(t, sender, receiver));
}

static bool is_established(const struct tcp_flow *f)
{
	return f->direction[0].acknowledged && f->direction[1].acknowledged;
}

static bool is_closed(const struct tcp_flow *f)
{
	const struct tcp_direction *a = &f->direction[0], *b = &f->direction[1];

	return f->reset ||
	       (a->has_fin && b->has_fin && !before(a->floor, a->fin) && !before(b->floor, b->fin));
}

static bool was_edited(const struct tcp_flow *f)
{
	for (unsigned i = 0; i < 2; i++)
		if (f->direction[i].log.total || f->direction[i].log.end)
			return true;
	return false;
}

/* Whether the segment belongs to this state. */
static bool belongs(const struct ipq_tcp *t, const struct tcp_flow *f, const struct ipq_tcp_segment *s)
{
	const struct tcp_direction *d = &f->direction[s->side], *other = &f->direction[!s->side];
	bool syn = s->flags & IPQ_TCP_SYN, ack = s->flags & IPQ_TCP_ACK;

	/*
	 * A SYN belongs to the state with its sequence number. An answer belongs to the state whose SYN it
	 * acknowledges.
	 */
	if (syn && ack && other->known && !answers_syn(t, other, s->acknowledgement))
		return false;
	if (syn)
		return d->known ? d->has_isn && d->isn == s->sequence : ack || !other->known;
	if (d->known && !is_near(s->text, d->next, reach(t, d, other)))
		return false;
	return !ack || acknowledgement_fits(t, d, other, s->acknowledgement);
}

/* If one of two states must be removed, the one with the higher rank stays. */
static unsigned rank(const struct tcp_flow *f)
{
	if (is_established(f))
		return is_closed(f) ? 1 : 3;
	return f->direction[0].has_isn && f->direction[1].has_isn ? 2 : 0;
}

static bool is_better(const struct tcp_flow *a, const struct tcp_flow *b)
{
	return rank(a) != rank(b) ? rank(a) > rank(b) : a->order > b->order;
}

static uint32_t distance(uint32_t a, uint32_t b)
{
	return before(a, b) ? b - a : a - b;
}

/*
 * The distance of the segment's numbers from the numbers that this state expects. If there are two states, the
 * segment belongs to the nearer one.
 */
static uint64_t distance_to(const struct ipq_tcp *t, const struct tcp_flow *f,
			    const struct ipq_tcp_segment *s)
{
	const struct tcp_direction *d = &f->direction[s->side], *other = &f->direction[!s->side];
	uint64_t sum = is_closed(f) ? CLOSED_DISTANCE : 0;

	sum += d->known ? distance(s->text, d->next) : UINT32_MAX;
	if (s->flags & IPQ_TCP_ACK)
		sum += other->known ? distance(s->acknowledgement, expected_acknowledgement(t, other))
				    : UINT32_MAX;
	return sum;
}

struct tcp_flow *tcp_find(struct ipq_tcp *t, struct tcp_shard *shard, const struct tcp_key *key,
			  uint64_t hash, const struct ipq_tcp_segment *s, bool create)
{
	struct tcp_flow *nearest = NULL, *fallback = NULL, *worst = NULL, *closed = NULL, *f;
	unsigned states = 0, closed_states = 0;

	for (f = tcp_flow_first(t, shard, hash); f; f = f->next) {
		if (memcmp(&f->key, key, sizeof(*key)) != 0)
			continue;
		states++;
		if (belongs(t, f, s) && (!nearest || distance_to(t, f, s) < distance_to(t, nearest, s)))
			nearest = f;
		if (was_edited(f) && (!fallback || is_better(f, fallback)))
			fallback = f;
		if (!worst || is_better(worst, f))
			worst = f;
		closed_states += is_closed(f);
		if (is_closed(f) && (!closed || f->order < closed->order))
			closed = f;
	}
	if (nearest)
		return nearest;
	/*
	 * Numbers outside the windows of an edited connection are shifted by the same distance as the last numbers
	 * of the connection.
	 */
	if (!(s->flags & IPQ_TCP_SYN) && fallback)
		return fallback;
	if (!create || s->flags & IPQ_TCP_RST)
		return NULL;
	if (states >= STATES_MAX)
		tcp_flow_forget(t, shard, closed_states > 1 ? closed : worst);
	return tcp_flow_new(t, shard, key, hash);
}

struct tcp_flow *tcp_find_quoted(const struct ipq_tcp *t, const struct tcp_shard *shard,
				 const struct tcp_key *key, uint64_t hash, unsigned side, uint32_t sequence)
{
	struct tcp_flow *nearest = NULL;
	uint32_t least = 0;

	for (struct tcp_flow *f = tcp_flow_first(t, shard, hash); f; f = f->next) {
		uint32_t far = distance(sequence, expected_acknowledgement(t, &f->direction[side]));

		if (memcmp(&f->key, key, sizeof(*key)) != 0 || !was_edited(f) || (nearest && far >= least))
			continue;
		nearest = f;
		least = far;
	}
	return nearest;
}

/* ---- gaps ------------------------------------------------------------------------------------- */

bool tcp_in_gap(const struct tcp_direction *d, uint32_t begin, uint32_t end)
{
	for (unsigned i = 0; i < d->gaps; i++)
		if (!before(begin, d->gap[i].begin) && !before(d->gap[i].end, end))
			return true;
	return false;
}

/*
 * Adds a gap after all others. If there are too many gaps, the oldest one is removed: its text will not be edited.
 */
static void add_gap(struct tcp_direction *d, uint32_t begin, uint32_t end)
{
	if (!before(begin, end))
		return;
	if (!d->gap)
		d->gap = calloc(TCP_GAPS, sizeof(*d->gap));
	if (!d->gap)
		return;
	/* Join the two gaps, so that text can be replaced across both of them. */
	if (d->gaps && d->gap[d->gaps - 1].end == begin) {
		d->gap[d->gaps - 1].end = end;
		return;
	}
	if (d->gaps == TCP_GAPS)
		memmove(d->gap, d->gap + 1, --d->gaps * sizeof(*d->gap));
	d->gap[d->gaps++] = (struct tcp_range){ begin, end };
}

/* Removes [begin, end), which has now passed, from the gaps. */
static void fill_gaps(struct tcp_direction *d, uint32_t begin, uint32_t end)
{
	struct tcp_range kept[TCP_GAPS * 2];
	unsigned n = 0;

	for (unsigned i = 0; i < d->gaps; i++) {
		struct tcp_range g = d->gap[i];

		if (before(g.begin, begin))
			kept[n++] = (struct tcp_range){ g.begin, before(begin, g.end) ? begin : g.end };
		if (before(end, g.end))
			kept[n++] = (struct tcp_range){ before(g.begin, end) ? end : g.begin, g.end };
	}
	d->gaps = n < TCP_GAPS ? n : TCP_GAPS;
	if (d->gaps)
		memcpy(d->gap, kept + (n - d->gaps), d->gaps * sizeof(*d->gap));
}

/* ---- a segment -------------------------------------------------------------------------------- */

/* Initialises a direction from its first segment. */
static void learn(const struct ipq_tcp *t, struct tcp_direction *d, const struct ipq_tcp_segment *s,
		  int scale)
{
	bool syn = s->flags & IPQ_TCP_SYN;

	d->known = true;
	d->has_isn = syn;
	d->isn = s->sequence;
	d->floor = d->next = s->text;
	d->scale = (int8_t)(scale > SCALE_MAX ? SCALE_MAX : scale);
	/* A segment that is retransmitted now may have reached the receiver before the table had the connection. */
	if (!syn && !t->recorded) {
		add_gap(d, s->text, s->end);
		d->next = s->end;
	}
}

int tcp_window_scale(const struct tcp_flow *f, unsigned side)
{
	const struct tcp_direction *d = &f->direction[side], *other = &f->direction[!side];

	if (!d->has_isn || !other->has_isn)
		return -1;
	return d->scale < 0 || other->scale < 0 ? 0 : d->scale;
}

static void learn_window(struct tcp_flow *f, const struct ipq_tcp_segment *s)
{
	int scale = s->flags & IPQ_TCP_SYN ? 0 : tcp_window_scale(f, s->side);
	uint32_t window = (uint32_t)s->window << (scale < 0 ? SCALE_MAX : scale);

	if (window > f->direction[s->side].window)
		f->direction[s->side].window = window;
}

void tcp_arrive(const struct ipq_tcp *t, struct tcp_flow *f, struct ipq_tcp_segment *s, int scale)
{
	struct tcp_direction *d = &f->direction[s->side], *other = &f->direction[!s->side];

	s->fresh = d->next;
	if (!belongs(t, f, s))
		return;
	s->state |= TCP_IN_WINDOW;
	if (s->flags & IPQ_TCP_RST)
		return;
	if (!d->known)
		learn(t, d, s, scale);
	s->fresh = d->next;
	learn_window(f, s);
	if (s->flags & IPQ_TCP_ACK && other->known &&
	    !before(expected_acknowledgement(t, other), s->acknowledgement))
		d->acknowledged = true;
	if (t->in_order && before(d->next, s->text) && (s->text != s->end || s->flags & IPQ_TCP_FIN))
		s->state |= TCP_DROP_SEGMENT;
}

/* Records that the receiver has everything before `acknowledgement`. */
static void settle(const struct ipq_tcp *t, struct tcp_direction *sender, uint32_t acknowledgement)
{
	uint32_t sequence =
		t->recorded ? acknowledgement : tcp_log_unmap(&sender->log, acknowledgement, false);

	if (before(sequence, sender->floor) || before(sender->next, sequence))
		return;
	sender->floor = sequence;
	if (t->recorded)
		return;
	tcp_log_prune(&sender->log, sequence);
	if (sender->gaps)
		fill_gaps(sender, sequence - (UINT32_C(1) << 30), sequence);
	if (sender->has_unlogged && !before(sequence, sender->unlogged.end))
		sender->has_unlogged = false;
}

/*
 * In a recording, a segment without payload may have been captured before payload that was sent earlier. Its
 * sequence number is already in the output, so the length of that payload cannot change any more. A number beyond
 * the window has no such effect.
 */
static void keep_number(struct tcp_direction *d, const struct tcp_direction *receiver, uint32_t number)
{
	if (!before(d->next, number) || number - d->next > offered_window(receiver))
		return;
	add_gap(d, d->next, number);
	d->next = number;
}

enum tcp_class tcp_depart(const struct ipq_tcp *t, struct tcp_flow *f, const struct ipq_tcp_segment *s)
{
	struct tcp_direction *d = &f->direction[s->side], *other = &f->direction[!s->side];
	uint32_t end = s->end + ((s->flags & IPQ_TCP_FIN) != 0);

	if (s->state & TCP_IN_WINDOW && s->flags & IPQ_TCP_RST)
		f->reset = true;
	else if (s->state & TCP_IN_WINDOW) {
		if (s->text != end) {
			f->reset = false;
			add_gap(d, d->next, s->text);
			fill_gaps(d, s->text, s->end);
		}
		if (s->flags & IPQ_TCP_FIN) {
			d->has_fin = true;
			d->fin = end;
		}
		if (s->text != end && before(d->next, end))
			d->next = end;
		if (t->recorded)
			keep_number(d, other, s->text);
		if (s->flags & IPQ_TCP_ACK && other->known)
			settle(t, other, s->acknowledgement);
	}
	return is_closed(f) || !is_established(f) ? TCP_TEMPORARY : was_edited(f) ? TCP_EDITED : TCP_CLEAN;
}
