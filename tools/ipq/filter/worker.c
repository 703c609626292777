/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A worker of `ipq filter`: decides batches of packets, and packets that have waited. */
#include <errno.h>
#include <stdlib.h>
#include "common/text.h"
#include "core/core.h"
#include "filter/decide.h"
#include "filter/http.h"

static struct decide_common *common_of(const struct worker *w)
{
	return w->session->context;
}

/* ---- a worker ------------------------------------------------------------------------------------ */

/* Decides the delayed packets that are due. 0; or -errno: the other packets stay delayed. */
static int release(struct worker *w, int64_t now)
{
	struct filter_worker *d = w->context;
	struct delayed next;
	int err;

	while (delays_take(&d->delays, now, &next)) {
		if (w->session->virtual_time)
			err = queue_decide_at(w->queue, next.packet, &next.verdict, next.due);
		else
			err = ipq_decide(w->queue, next.packet, &next.verdict);
		if (err < 0 && err != -ENOENT) {
			delays_put_back(&d->delays, &next);
			return err;
		}
		ipq_packet_free(next.packet);
		free(next.payload);
	}
	return 0;
}

/*
 * In a capture file, time advances with the packets: delayed packets that were due before this one are sent first.
 */
static int advance_clock(struct worker *w, const struct ipq_packet *packet)
{
	return session_advance_clock(w, packet) ? release(w, packet->timestamp - 1) : 0;
}

static void count_flows(struct worker *w)
{
	struct filter_worker *d = w->context;
	struct ipq_flow_stats stats = { .size = sizeof(stats) };

	if (ipq_flow_stats(w->queue, &stats) < 0)
		return;
	atomic_store_explicit(&d->flows, stats.decided, memory_order_relaxed);
	atomic_store_explicit(&d->flow_packets, stats.packets, memory_order_relaxed);
	atomic_store_explicit(&d->flow_bytes, stats.bytes, memory_order_relaxed);
}

/* Switches to the newest rules. They decide again the flows that the old rules have decided. */
static void use_newest_rules(struct worker *w)
{
	struct filter_worker *d = w->context;
	struct active_rules *newest = common_of(w)->active_rules, *used = d->active_rules;

	if (used->flows)
		count_flows(w);
	if (used == newest)
		return;
	if (used->flows && ipq_forget_flows(w->queue) < 0)
		text_complain("ipq filter", "decided flows could not be forgotten: %s",
			      ipq_queue_error(w->queue));
	d->active_rules = newest;
}

/* ---- packets that wait for the next segment --------------------------------------------------------- */

static bool may_split(const struct worker *w, const struct ipq_packet *packet)
{
	const struct filter_worker *d = w->context;
	const struct active_rules *rules = d->active_rules;

	return common_of(w)->hold > 0 && (packet->present & IPQ_HAS_PAYLOAD) != 0 &&
	       packet->payload_len > 0 &&
	       (rules->rewrites_http || rules->splits[packet->payload[packet->payload_len - 1]]);
}

static bool needs_next(const struct rewrite *r, const uint8_t *payload, size_t len,
		       const struct following *next)
{
	struct http_message m;

	return r->http ? http_look(&m, payload, len, next) == HTTP_OPEN
		       : across_find(r, payload, len, next, NULL) == ACROSS_OPEN;
}

/* Whether a rule's text may begin at the end of this segment, so that the next segment is needed. */
static bool is_open(struct worker *w, const struct ipq_packet *packet, const struct segment *s,
		    const struct following *next)
{
	struct filter_worker *d = w->context;
	const struct active_rules *rules = d->active_rules;

	if (s->payload_len == 0 || next->ended)
		return false;
	for (unsigned i = 0; i < rules->set.count; i++) {
		const struct rule *rule = &rules->set.rule[i];

		for (unsigned j = 0; j < rule->actions; j++)
			if (rule->action[j].type == ACTION_REWRITE &&
			    needs_next(&rule->action[j].rewrite, s->payload, s->payload_len, next) &&
			    ruleset_may_match(&rules->set, rule, packet, &d->view))
				return true;
	}
	return false;
}

static int decide_now(struct worker *w, struct ipq_packet *packet)
{
	int err = advance_clock(w, packet);

	if (err < 0)
		return err;
	if (queue_decided_flow(w->queue, packet))
		return 0;
	err = decide_packet(w, packet);
	return err == -ENOENT ? 0 : err;
}

/* Decides a held packet. If that fails, the packet stays held. */
static int decide_held(struct worker *w, unsigned i)
{
	struct filter_worker *d = w->context;
	int err = decide_now(w, d->hold.held[i].packet);

	if (err == 0)
		ipq_packet_free(hold_take(&d->hold, i));
	d->editor.following.count = 0;
	return err;
}

/* Whether packet i can be decided, or must wait for the next segment. give_up: it is decided in any case. */
static bool is_ready(struct worker *w, unsigned i, bool give_up)
{
	struct filter_worker *d = w->context;
	const struct held *held = &d->hold.held[i];

	d->editor.following.count = 0;
	if (!held->parsed || !may_split(w, held->packet))
		return true;
	hold_following(&d->hold, i, &d->editor.following);
	if (!is_open(w, held->packet, &held->segment, &d->editor.following))
		return true;
	if (give_up)
		atomic_fetch_add_explicit(&common_of(w)->edits.late, 1, memory_order_relaxed);
	return give_up;
}

/*
 * Decides the held packets that need not wait any longer, in order. of: only packets of this direction; NULL: all
 * packets.
 */
static int settle(struct worker *w, const struct direction *of, bool give_up)
{
	struct filter_worker *d = w->context;
	int err = 0;

	while (err == 0 && d->hold.count > 0) {
		int i = of != NULL ? hold_find(&d->hold, of) : 0;

		if (i < 0 || !is_ready(w, (unsigned)i, give_up))
			break;
		err = decide_held(w, (unsigned)i);
	}
	d->editor.following.count = 0;
	return err;
}

/* Decides the packet that has waited longest, and then the packets that waited for it. */
static int give_up_first(struct worker *w)
{
	struct filter_worker *d = w->context;
	struct direction of = d->hold.held[0].segment.direction;
	int err = 0;

	if (!w->session->virtual_time && d->hold.held[0].parsed)
		return settle(w, &of, true);
	if (is_ready(w, 0, true))
		err = decide_held(w, 0);
	return err < 0 ? err : settle(w, NULL, false);
}

/* In a capture file, all packets after a waiting packet wait as well, so that their order does not change. */
static int arrive_in_file(struct worker *w, const struct ipq_packet *packet)
{
	struct filter_worker *d = w->context;
	struct segment s;
	bool parsed = segment_read(&s, packet);
	int err;

	while ((err = hold_add(&d->hold, packet, parsed ? &s : NULL, w->now)) == -ENOBUFS &&
	       d->hold.count > 0) {
		err = give_up_first(w);
		if (err < 0)
			return err;
	}
	return err < 0 ? err : settle(w, NULL, false);
}

static int arrive(struct worker *w, struct ipq_packet *packet)
{
	static const struct following nothing;
	struct filter_worker *d = w->context;
	struct decide_common *c = common_of(w);
	struct segment s;
	int err = 0, first;

	if (d->hold.count == 0 && !may_split(w, packet))
		return decide_now(w, packet);
	if (w->session->virtual_time && d->hold.count > 0)
		return arrive_in_file(w, packet);
	if (inject_is_own(&c->injector, packet) || !segment_read(&s, packet) ||
	    edits_passed_before(&c->edits, w, d->active_rules, packet, IPPROTO_TCP))
		return decide_now(w, packet);
	first = segment_delivers(&s) ? hold_find(&d->hold, &s.direction) : -1;
	if (first >= 0 && tcp_before(d->hold.held[first].segment.sequence, s.end)) {
		if ((s.flags & (IPQ_TCP_SYN | IPQ_TCP_RST)) == 0 &&
		    hold_add(&d->hold, packet, &s, w->now) == 0) {
			settle(w, &s.direction, false); /* if this fails, decide_wake() continues */
			return 0;
		}
		err = settle(w, &s.direction, true);
	}
	if (err < 0 || !is_open(w, packet, &s, &nothing))
		return err < 0 ? err : decide_now(w, packet);
	if (hold_add(&d->hold, packet, &s, w->now) == 0) {
		atomic_fetch_add_explicit(&c->edits.held, 1, memory_order_relaxed);
		return 0;
	}
	atomic_fetch_add_explicit(&c->edits.late, 1, memory_order_relaxed);
	return decide_now(w, packet);
}

/*
 * A capture file delivers nothing while very many packets wait for their verdict, and then time does not advance. So
 * the packets that are due first are written early, with the time at which they are due.
 */
static int make_room(struct worker *w)
{
	struct filter_worker *d = w->context;
	int err = 0;

	while (w->session->virtual_time && err == 0 && d->delays.count + d->hold.count > 0 &&
	       queue_is_full(w->queue)) {
		err = ipq_queue_flush(w->queue);
		if (err == 0 && queue_is_full(w->queue))
			err = d->delays.count > 0 ? release(w, d->delays.heap[0].due) : give_up_first(w);
	}
	return err;
}

/* ---- handlers of the session ----------------------------------------------------------------------- */

int decide_batch(struct worker *w, unsigned n)
{
	/*
	 * Use the new rules for packets that arrived together with the wakeup, because these rules were reported to
	 * be in force.
	 */
	use_newest_rules(w);
	for (; w->next < n; w->next++) {
		int err = arrive(w, &w->packet[w->next]);

		if (err < 0)
			return err;
	}
	w->next = 0;
	return make_room(w);
}

int decide_timeout(struct worker *w)
{
	const struct filter_worker *d = w->context;
	int delay = delays_timeout(&d->delays, w->now), hold;

	if (w->session->virtual_time)
		return IPQ_FOREVER;
	if (d->hold.count == 0)
		return delay;
	hold = ms_until(d->hold.held[0].since + common_of(w)->hold, w->now);
	return delay < 0 || hold < delay ? hold : delay;
}

int decide_wake(struct worker *w)
{
	const struct filter_worker *d = w->context;
	int err = 0;

	use_newest_rules(w);
	while (err == 0 && !w->session->virtual_time && d->hold.count > 0 &&
	       d->hold.held[0].since + common_of(w)->hold <= w->now)
		err = give_up_first(w);
	return err == 0 ? release(w, w->now) : err;
}

void decide_finish(struct worker *w)
{
	const struct filter_worker *d = w->context;

	while (d->hold.count > 0)
		if (give_up_first(w) < 0)
			break;
	release(w, INT64_MAX);
	if (((const struct active_rules *)d->active_rules)->flows)
		count_flows(w);
}

struct filter_worker *filter_worker_new(struct decide_common *common, uint64_t seed)
{
	struct filter_worker *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->active_rules = common->active_rules;
	d->chance.state = seed;
	d->editor.shared = &common->edits;
	return d;
}

void filter_worker_free(struct filter_worker *d)
{
	if (d == NULL)
		return;
	delays_free(&d->delays);
	hold_free(&d->hold);
	free(d);
}
