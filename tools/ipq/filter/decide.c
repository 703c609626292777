/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <ipq_edit.h>
#include "filter/decide.h"

/* How a packet is to leave. */
struct outcome {
	struct ipq_verdict verdict;
	int64_t delay;		 /* ns */
	const struct rule *rule; /* that decided; NULL: none */
	struct counters *counters;
	bool dropped; /* by the rule's rate, or because it could not be edited */
};

static struct decide_common *common_of(const struct worker *w)
{
	return w->session->context;
}

/* ---- one packet ---------------------------------------------------------------------------------- */

static void add(_Atomic uint64_t *counter, uint64_t n)
{
	/* One writer: no locked instruction is needed. */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static void names_of(struct worker *w, const struct ipq_packet *packet, struct print_packet *p)
{
	p->packet = packet;
	p->time = session_packet_time(w, packet);
	session_interface(w, packet, true, p->indev);
	session_interface(w, packet, false, p->outdev);
}

static void log_packet(struct worker *w, const struct ipq_packet *packet)
{
	struct print_packet p = { .verdict = "log" };

	names_of(w, packet, &p);
	output_packet(w->session->output, &p);
}

static void drop(struct outcome *o)
{
	o->verdict.code = IPQ_DROP;
	o->dropped = true;
}

static void set_mark(struct outcome *o, uint32_t mark)
{
	o->verdict.present |= IPQ_SET_MARK;
	o->verdict.mark = mark;
}

static void apply_rule(struct worker *w, struct rule *rule, struct outcome *o)
{
	o->rule = rule;
	switch (rule->action) {
	case ACTION_DROP:
		o->verdict.code = IPQ_DROP;
		break;
	case ACTION_MARK:
		set_mark(o, rule->number);
		break;
	case ACTION_REPEAT:
		set_mark(o, rule->number);
		o->verdict.code = IPQ_REPEAT;
		break;
	case ACTION_QUEUE:
		o->verdict.code = IPQ_QUEUE;
		o->verdict.queue = (uint16_t)rule->number;
		break;
	case ACTION_DELAY:
		o->delay = rule->interval;
		break;
	case ACTION_RATE:
		if (!rule_rate_pass(rule, w->now))
			drop(o);
		break;
	default:
		break;
	}
}

/* A repeated packet carries the rule's mark and is not repeated again. */
static bool was_repeated(const struct rule *rule, const struct ipq_packet *packet)
{
	return rule->action == ACTION_REPEAT && (packet->present & IPQ_HAS_MARK) != 0 &&
	       packet->mark == rule->number;
}

static void choose(struct worker *w, const struct active_rules *active_rules, const struct ipq_packet *packet,
		   struct outcome *o)
{
	bool payload = (packet->present & IPQ_HAS_PAYLOAD) != 0;
	unsigned i = 0;

	for (;; i++) {
		i = ruleset_match(&active_rules->set, i, packet->payload, payload ? packet->payload_len : 0,
				  packet->full_len);
		o->counters = active_rules_counters(active_rules, w->index, i);
		if (i == active_rules->set.count)
			break;
		if (was_repeated(&active_rules->set.rule[i], packet))
			continue;
		if (active_rules->set.rule[i].action != ACTION_LOG &&
		    active_rules->set.rule[i].action != ACTION_COUNT)
			break;
		add(&o->counters->packets, 1);
		add(&o->counters->bytes, packet->full_len);
		if (active_rules->set.rule[i].action == ACTION_LOG)
			log_packet(w, packet);
	}
	add(&o->counters->packets, 1);
	add(&o->counters->bytes, packet->full_len);
	if (i < active_rules->set.count)
		apply_rule(w, &active_rules->set.rule[i], o);
}

/* A packet that stays on this machine passes OUTPUT and INPUT: two places, two streams. */
static uint32_t flow_zone(struct worker *w, const struct ipq_packet *packet)
{
	uint32_t index = (packet->present & IPQ_HAS_INDEV) != 0 ? packet->indev : packet->outdev;
	uint16_t type = 0;

	if ((packet->present & (IPQ_HAS_INDEV | IPQ_HAS_OUTDEV)) == 0)
		return 0;
	ipq_queue_interface(w->queue, index, &type);
	return type == ARPHRD_LOOPBACK ? packet->hook + 1U : 0;
}

static int rewrite_plain(struct ipq_edit *e, const struct rewrite *r)
{
	int at, err;

	if (r->all)
		return ipq_edit_substitute(e, r->from, r->from_len, r->to, r->to_len);
	at = ipq_edit_find(e, 0, r->from, r->from_len);
	if (at < 0)
		return at == -ENOENT ? 0 : at;
	err = ipq_edit_replace(e, (size_t)at, r->from_len, r->to, r->to_len);
	return err < 0 ? err : 1;
}

/*
 * The rule that will rewrite the answers to this SYN, if it changes their length: the one that matches the
 * packet with its sides exchanged.
 */
static const struct rewrite *rewrite_of_answers(struct filter_worker *d, const struct ipq_edit *e)
{
	const struct active_rules *active_rules = d->active_rules;
	const struct rule *rule;
	size_t len = e->version == 4 ? 4 : 16, at = e->version == 4 ? 12 : 8;
	uint8_t *p = d->mirrored;
	unsigned i;

	if (!active_rules->resizes_tcp || e->protocol != IPPROTO_TCP || e->transport_error < 0 ||
	    (e->data[e->transport + 13] & (IPQ_TCP_SYN | IPQ_TCP_ACK)) != IPQ_TCP_SYN)
		return NULL;
	memcpy(p, e->data, e->len);
	memcpy(p + at, e->data + at + len, len);
	memcpy(p + at + len, e->data + at, len);
	memcpy(p + e->transport, e->data + e->transport + 2, 2);
	memcpy(p + e->transport + 2, e->data + e->transport, 2);
	i = ruleset_match(&active_rules->set, 0, p, e->len, e->len);
	rule = i < active_rules->set.count ? &active_rules->set.rule[i] : NULL;
	return rule != NULL && rule->action == ACTION_REWRITE &&
			       rule->rewrite.from_len != rule->rewrite.to_len
		       ? &rule->rewrite
		       : NULL;
}

/* The number of places changed, FLOW_SAME, FLOW_DROP or -errno. */
static int edit_packet(struct worker *w, const struct ipq_packet *packet, const struct rewrite *r,
		       struct ipq_edit *e)
{
	struct filter_worker *d = w->context;
	const struct rewrite *answers;
	size_t room = packet->payload_len > VERDICT_MAX ? packet->payload_len : VERDICT_MAX;
	int err, done = FLOW_SAME;

	if ((packet->present & IPQ_HAS_PAYLOAD) == 0 || packet->payload_len > PACKET_MAX)
		return r != NULL ? -EMSGSIZE : FLOW_SAME;
	memcpy(d->edited, packet->payload, packet->payload_len);
	err = ipq_edit_begin(e, d->edited, packet->payload_len, room, packet->flags);
	if (err < 0)
		return r != NULL ? err : FLOW_SAME;
	answers = r == NULL ? rewrite_of_answers(d, e) : NULL;
	if (answers != NULL)
		return flow_expect(d->flows, flow_zone(w, packet), e, answers, w->now);
	if (r == NULL || r->from_len != r->to_len)
		done = flow_pass(d->flows, flow_zone(w, packet), e, r, w->now);
	/* Not TCP, or of the same length: nothing to remember. */
	if (done == FLOW_SAME && r != NULL)
		done = rewrite_plain(e, r);
	return done;
}

static void edit(struct worker *w, const struct ipq_packet *packet, struct outcome *o)
{
	struct filter_worker *d = w->context;
	const struct rewrite *r =
		o->rule != NULL && o->rule->action == ACTION_REWRITE ? &o->rule->rewrite : NULL;
	struct ipq_edit e;
	int done;

	if ((r == NULL && flows_count(d->flows) == 0 && !d->active_rules->resizes_tcp) ||
	    o->verdict.code == IPQ_DROP)
		return;
	done = edit_packet(w, packet, r, &e);
	if (done == -EPROTONOSUPPORT || done == -EOPNOTSUPP || done == -ENODATA)
		return; /* nothing in it that could be edited: an unknown protocol, a fragment */
	if (done == FLOW_SAME)
		return;
	if (done < 0) {
		drop(o);
		return;
	}
	add(&o->counters->places, (uint64_t)done);
	if (e.len == packet->payload_len && memcmp(e.data, packet->payload, e.len) == 0)
		return;
	if (e.len > VERDICT_MAX) {
		drop(o);
		return;
	}
	o->verdict.present |= IPQ_SET_PAYLOAD;
	o->verdict.payload = e.data;
	o->verdict.payload_len = e.len;
}

static const char *verdict_name(const struct outcome *o)
{
	switch (o->verdict.code) {
	case IPQ_DROP:
		return "drop";
	case IPQ_REPEAT:
		return "repeat";
	case IPQ_QUEUE:
		return "queue";
	default:
		return (o->verdict.present & IPQ_SET_PAYLOAD) != 0 ? "rewrite" : "accept";
	}
}

static void record(struct worker *w, const struct ipq_packet *packet, const struct outcome *o)
{
	struct decide_common *c = common_of(w);
	bool dropped = o->verdict.code == IPQ_DROP;
	struct print_packet names;
	char comment[320];
	struct pcapng_record r;

	if (!c->record || (c->record_what == RECORD_DROP && !dropped) ||
	    (c->record_what == RECORD_ACCEPT && dropped))
		return;
	names_of(w, packet, &names);
	snprintf(comment, sizeof(comment), "%s: %s", verdict_name(o),
		 o->rule != NULL ? o->rule->text : "no rule matched");
	r = (struct pcapng_record){ .packet = packet,
				    .time = names.time,
				    .interface = names.indev[0] != '\0' ? names.indev : names.outdev,
				    .comment = comment };
	output_record(w->session->output, &r);
}

static int send_later(struct worker *w, const struct ipq_packet *packet, struct outcome *o)
{
	struct filter_worker *d = w->context;
	struct ipq_packet *kept = ipq_packet_keep(packet);
	uint32_t len = (uint32_t)o->verdict.payload_len;

	if (kept == NULL)
		return -ENOMEM;
	/* Only a connection's numbers were edited: that never makes a packet longer. */
	if ((o->verdict.present & IPQ_SET_PAYLOAD) != 0 && len <= kept->payload_len) {
		memcpy(kept->payload, o->verdict.payload, len);
		o->verdict.payload = kept->payload;
	}
	if (delays_add(&d->delays, w->now + o->delay, kept, &o->verdict) < 0) {
		ipq_packet_free(kept);
		return -ENOMEM;
	}
	return 0;
}

static int decide(struct worker *w, struct ipq_packet *packet)
{
	struct filter_worker *d = w->context;
	struct active_rules *active_rules = atomic_load_explicit(&d->active_rules, memory_order_relaxed);
	struct outcome o = { .verdict = { .size = sizeof(o.verdict), .code = IPQ_ACCEPT } };

	if (w->session->virtual_time && (packet->present & IPQ_HAS_TIMESTAMP) != 0 &&
	    packet->timestamp > w->now)
		w->now = packet->timestamp;
	choose(w, active_rules, packet, &o);
	edit(w, packet, &o);
	if (o.dropped)
		add(&o.counters->dropped, 1);
	record(w, packet, &o);
	session_accept(w, packet, &o.verdict);
	if (o.delay > 0)
		return send_later(w, packet, &o);
	if (o.verdict.present == 0 && o.verdict.code == IPQ_ACCEPT)
		return ipq_accept(w->queue, packet);
	if (o.verdict.present == 0 && o.verdict.code == IPQ_DROP)
		return ipq_drop(w->queue, packet);
	return ipq_decide(w->queue, packet, &o.verdict);
}

/* ---- a worker ------------------------------------------------------------------------------------ */

static void release(struct worker *w, int64_t now)
{
	struct filter_worker *d = w->context;
	struct delayed next;

	while (delays_take(&d->delays, now, &next)) {
		ipq_decide(w->queue, next.packet, &next.verdict);
		ipq_packet_free(next.packet);
	}
}

int decide_batch(struct worker *w, unsigned n)
{
	struct decide_common *c = common_of(w);
	struct filter_worker *d = w->context;

	/* What arrived with the wakeup is judged by the rules that it came for: they were said to be in force. */
	d->active_rules = c->active_rules;
	for (unsigned i = 0; i < n; i++) {
		int err = decide(w, &w->packet[i]);

		if (err < 0 && err != -ENOENT)
			return err;
		if (w->session->virtual_time)
			release(w, w->now);
	}
	return 0;
}

int decide_timeout(struct worker *w)
{
	const struct filter_worker *d = w->context;

	/* In a capture file the next packet is the clock. */
	return w->session->virtual_time ? IPQ_FOREVER : delays_timeout(&d->delays, w->now);
}

void decide_wake(struct worker *w)
{
	struct filter_worker *d = w->context;

	d->active_rules = common_of(w)->active_rules;
	release(w, w->now);
}

void decide_finish(struct worker *w)
{
	release(w, INT64_MAX);
}

struct filter_worker *filter_worker_new(struct active_rules *active_rules)
{
	struct filter_worker *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->active_rules = active_rules;
	d->flows = flows_new();
	if (d->flows != NULL)
		return d;
	free(d);
	return NULL;
}

void filter_worker_free(struct filter_worker *d)
{
	if (d == NULL)
		return;
	delays_free(&d->delays);
	flows_free(d->flows);
	free(d);
}
