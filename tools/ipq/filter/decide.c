/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Decides one packet: applies the rules in order until one ends the processing; then makes the edits of the rules;
 * then records the packet; then gives the verdict, immediately or after a delay. Conditions see the packet as it
 * arrived, except for the mark.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <ipq_edit.h>
#include "common/text.h"
#include "core/core.h"
#include "filter/copies.h"
#include "filter/decide.h"

/* The result of the rules for a packet. */
struct outcome {
	struct ipq_verdict verdict;
	int64_t delay;		   /* ns */
	const struct rule *rule;   /* the last rule that matched; NULL: none */
	const struct action *flow; /* the action that also decides the rest of the flow; NULL: none */
	struct counters *counters; /* counters of the rule that ended the processing, or of "no rule" */
	bool dropped;		   /* the packet was dropped by chance or by a rate */
	bool record;		   /* a rule with "record" has matched */
	bool rejected;
	unsigned copies; /* number of copies to send; the members below belong to the last rule with a copy */
	struct counters *copied;
};

static struct decide_common *common_of(const struct worker *w)
{
	return w->session->context;
}

/* ---- rules --------------------------------------------------------------------------------------- */

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

static bool drop_by(struct outcome *o, struct counters *counters)
{
	o->verdict.code = IPQ_DROP;
	o->dropped = true;
	o->counters = counters;
	return true;
}

static void set_mark(struct outcome *o, struct subject *s, uint32_t mark)
{
	s->mark = mark;
	o->verdict.present |= IPQ_SET_MARK;
	o->verdict.mark = mark;
}

/* A second change of the mark is added to the first one: the bits of both masks change. */
static void set_ctmark(struct outcome *o, const struct action *a)
{
	bool first = (o->verdict.present & IPQ_SET_CONNTRACK_MARK) == 0;

	o->verdict.present |= IPQ_SET_CONNTRACK_MARK;
	o->verdict.conntrack_mark = (first ? 0 : o->verdict.conntrack_mark & ~a->mask) | a->number;
	o->verdict.conntrack_mark_mask = (first ? 0 : o->verdict.conntrack_mark_mask) | a->mask;
}

/* Whether the packet was queued again too often. Then it is accepted. */
static bool is_loop(struct worker *w, const struct subject *s, const struct action *a)
{
	struct filter_worker *d = w->context;
	struct decide_common *c = common_of(w);
	bool own_queue = a->type == ACTION_QUEUE && a->number == s->queue_number;

	if (!own_queue && !loops_found(&d->loops, s->view->data, s->view->len, w->now))
		return false;
	if (atomic_fetch_add(&c->loops, 1) == 0)
		text_complain("ipq filter", "%s: such packets are accepted",
			      own_queue ? "a rule sends packets to the queue from which they come"
					: "a packet was queued a thousand times, because two rules send "
					  "it back and forth");
	return true;
}

static void send_back(struct worker *w, struct outcome *o, struct subject *s, const struct action *a)
{
	if (is_loop(w, s, a))
		return;
	if (a->type == ACTION_REPEAT) {
		set_mark(o, s, a->number);
		o->verdict.code = IPQ_REPEAT;
	} else {
		o->verdict.code = IPQ_QUEUE;
		o->verdict.queue = (uint16_t)a->number;
	}
}

/* Carries out one action. True: no further rule is applied to the packet. */
static bool take_action(struct worker *w, struct action *a, struct counters *counters, struct outcome *o,
			struct subject *s)
{
	struct filter_worker *d = w->context;

	switch (a->type) {
	case ACTION_DROP:
		if (!chance_hits(&d->chance, a->probability))
			return false;
		if (a->probability != ALWAYS)
			return drop_by(o, counters);
		o->verdict.code = IPQ_DROP;
		o->flow = a->flow ? a : NULL;
		return true;
	case ACTION_REJECT:
		o->verdict.code = IPQ_DROP;
		o->rejected = true;
		return true;
	case ACTION_DUPLICATE:
		o->copies += chance_hits(&d->chance, a->probability);
		o->copied = counters;
		return false;
	case ACTION_REPEAT:
	case ACTION_QUEUE:
		send_back(w, o, s, a);
		return true;
	case ACTION_MARK:
		set_mark(o, s, (s->mark & ~a->mask) | a->number);
		o->flow = a->flow ? a : NULL;
		return a->flow;
	case ACTION_CTMARK:
		set_ctmark(o, a);
		return false;
	case ACTION_REORDER:
		if (chance_hits(&d->chance, a->probability))
			o->delay += a->delay;
		return false;
	case ACTION_DELAY:
		o->delay += a->delay + chance_around(&d->chance, a->jitter);
		return false;
	case ACTION_RATE:
		return !rate_pass(&a->rate, s->view->full_len, w->now) && drop_by(o, counters);
	case ACTION_LOG:
		log_packet(w, s->packet);
		return false;
	case ACTION_RECORD:
		o->record = true;
		return false;
	case ACTION_ACCEPT:
		o->flow = a->flow ? a : NULL;
		return true;
	default:
		if ((a->needs & NEEDS_EDITOR) != 0)
			edits_add(&d->editor, a, counters);
		return false;
	}
}

/*
 * Whether this rule has already repeated the packet. A repeated packet has the mark of the rule that repeated it.
 * That rule, and those before it, do not repeat the packet again; otherwise two rules could repeat it in turn for
 * ever.
 */
static bool was_repeated(const struct ruleset *set, unsigned i, const struct ipq_packet *packet)
{
	if (rule_action(&set->rule[i], ACTION_REPEAT) == NULL || (packet->present & IPQ_HAS_MARK) == 0)
		return false;
	for (; i < set->count; i++) {
		const struct action *a = rule_action(&set->rule[i], ACTION_REPEAT);

		if (a != NULL && a->number == packet->mark)
			return true;
	}
	return false;
}

static void count(struct counters *counters, const struct subject *s)
{
	counters_add(&counters->packets, 1);
	counters_add(&counters->bytes, s->view->full_len);
}

/*
 * Whether the extension headers are longer than the copied part, so that the copy has no protocol and ports. No
 * ordinary packet has so many extension headers. Such a packet is dropped, because no rule can be applied to it.
 */
static bool is_hidden(const struct active_rules *rules, struct view *v)
{
	return rules->set.reach.transport && v->extensions && v->len < v->full_len && view_decode(v)->cut;
}

static void match_rules(struct worker *w, const struct active_rules *rules, struct outcome *o,
			struct subject *s)
{
	const struct ruleset *set = &rules->set;
	bool ended = false;

	for (unsigned i = 0; !ended; i++) {
		struct counters *counters;

		i = ruleset_match(set, i, s);
		if (i < set->count && was_repeated(set, i, s->packet))
			continue;
		counters = active_rules_counters(rules, w->index, i);
		count(counters, s);
		if (i == set->count)
			return;
		o->rule = &set->rule[i];
		for (unsigned j = 0; j < set->rule[i].actions && !ended; j++)
			ended = take_action(w, &set->rule[i].action[j], counters, o, s);
	}
}

/* ---- one packet ---------------------------------------------------------------------------------- */

static void edit(struct worker *w, const struct active_rules *rules, const struct ipq_packet *packet,
		 struct outcome *o)
{
	struct filter_worker *d = w->context;
	struct ipq_edit e;
	int done;

	if (o->verdict.code == IPQ_DROP)
		return;
	done = edits_apply(&d->editor, w, rules, packet, &e);
	if (done == 0)
		return;
	if (done < 0) {
		o->verdict.code = IPQ_DROP;
		o->dropped = true;
		o->counters = active_rules_counters(rules, w->index,
						    o->rule != NULL ? (unsigned)(o->rule - rules->set.rule)
								    : rules->set.count);
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

static void record(struct worker *w, const struct active_rules *rules, const struct ipq_packet *packet,
		   const struct outcome *o)
{
	struct decide_common *c = common_of(w);
	bool dropped = o->verdict.code == IPQ_DROP;
	struct print_packet names;
	char comment[320];
	struct pcapng_record r;

	if (!c->record || (c->record_what == RECORD_DROP && !dropped) ||
	    (c->record_what == RECORD_ACCEPT && dropped) || (rules->selects_records && !o->record))
		return;
	names_of(w, packet, &names);
	snprintf(comment, sizeof(comment), "%s: %s", verdict_name(o),
		 o->rule != NULL ? o->rule->text : "no rule matched");
	r = (struct pcapng_record){ .packet = packet, .time = names.time, .comment = comment };
	snprintf(r.indev, sizeof(r.indev), "%.15s", names.indev);
	snprintf(r.outdev, sizeof(r.outdev), "%.15s", names.outdev);
	output_record(w->session->output, &r);
}

/* Sends additional packets: copies (not of a dropped packet), and the answer to a rejected one. */
static void send_own(struct worker *w, const struct ipq_packet *packet, const struct outcome *o)
{
	struct filter_worker *d = w->context;
	struct injector *in = &common_of(w)->injector;
	bool changed = (o->verdict.present & IPQ_SET_PAYLOAD) != 0;

	if (o->rejected)
		send_answer(in, w, packet, &d->view);
	for (unsigned i = 0; i < o->copies && o->verdict.code != IPQ_DROP; i++) {
		bool sent = w->session->virtual_time
				    ? queue_copy(w->queue, packet, &o->verdict) == 0
				    : send_copy(in, w, packet, changed ? o->verdict.payload : packet->payload,
						changed ? o->verdict.payload_len : packet->payload_len);

		if (!sent)
			counters_add(&o->copied->not_edited, 1);
	}
}

/* Delays the verdict. The heap then owns the packet and the bytes that replace it. */
static int send_later(struct worker *w, const struct ipq_packet *packet, struct outcome *o)
{
	struct filter_worker *d = w->context;
	struct ipq_packet *kept = ipq_packet_keep(packet);
	void *payload = NULL;
	int err = kept != NULL ? 0 : -ENOMEM;

	if (err == 0 && (o->verdict.present & IPQ_SET_PAYLOAD) != 0) {
		payload = malloc(o->verdict.payload_len);
		if (payload != NULL)
			memcpy(payload, o->verdict.payload, o->verdict.payload_len);
		else
			err = -ENOMEM;
		o->verdict.payload = payload;
	}
	if (err == 0)
		err = delays_add(&d->delays, w->now + o->delay, kept, &o->verdict, payload);
	if (err < 0) {
		ipq_packet_free(kept);
		free(payload);
	}
	return err;
}

static void subject_init(struct subject *s, struct worker *w, struct ipq_packet *packet)
{
	struct filter_worker *d = w->context;
	bool payload = (packet->present & IPQ_HAS_PAYLOAD) != 0;

	*s = (struct subject){ .packet = packet,
			       .queue = w->queue,
			       .mark = (packet->present & IPQ_HAS_MARK) != 0 ? packet->mark : 0,
			       .queue_number = (uint16_t)(w->session->queue_first + w->index),
			       .view = &d->view };
	view_set(&d->view, packet->payload, payload ? packet->payload_len : 0, packet->full_len);
	d->editor.count = 0;
}

/* Decides the flow. rules_fit() has refused other actions for packets of such flows. */
static int decide_flow(struct worker *w, const struct ipq_packet *packet, const struct outcome *o)
{
	struct ipq_flow_verdict v = { .size = sizeof(v), .code = o->verdict.code, .after = o->flow->after };

	if (o->flow->type == ACTION_MARK) {
		v.present = IPQ_SET_MARK;
		v.mark = o->flow->number;
	}

	return ipq_decide_flow(w->queue, packet, &v);
}

int decide_packet(struct worker *w, struct ipq_packet *packet)
{
	struct filter_worker *d = w->context;
	struct active_rules *rules = atomic_load_explicit(&d->active_rules, memory_order_relaxed);
	struct outcome o = { .verdict = { .size = sizeof(o.verdict), .code = IPQ_ACCEPT } };
	struct subject s;

	subject_init(&s, w, packet);
	if (is_hidden(rules, &d->view)) {
		drop_by(&o, active_rules_counters(rules, w->index, rules->set.count));
		count(o.counters, &s);
	} else if (!inject_is_own(&common_of(w)->injector, packet)) {
		match_rules(w, rules, &o, &s);
		edit(w, rules, packet, &o);
	}
	if (o.dropped)
		counters_add(&o.counters->dropped, 1);
	record(w, rules, packet, &o);
	if (o.rejected || o.copies > 0)
		send_own(w, packet, &o);
	if (o.flow != NULL)
		return decide_flow(w, packet, &o);
	session_accept(w, packet, &o.verdict);
	if (o.delay > 0 && o.verdict.code != IPQ_DROP)
		return send_later(w, packet, &o);
	if (o.verdict.present == 0 && o.verdict.code == IPQ_ACCEPT)
		return ipq_accept(w->queue, packet);
	if (o.verdict.code == IPQ_DROP)
		return ipq_drop(w->queue, packet);
	return ipq_decide(w->queue, packet, &o.verdict);
}
