// SPDX-License-Identifier: LGPL-2.1-or-later
/* The calls that decide whole flows. See flows.h. */
#include <errno.h>
#include <linux/netfilter.h>
#include <stdlib.h>
#include <string.h>
#include "core/flows.h"
#include "nfqueue/conntrack_marks.h"
#include "util/clock.h"

/* Returns the flow table. The first call creates it, so that a queue without decided flows has no cost. */
static struct flows *flows_of(struct ipq_queue *q)
{
	if (q->flows == NULL)
		q->flows = flows_create(q);
	if (q->flows == NULL)
		ipq_fail(&q->error, ENOMEM, "no memory for a table of %u flows: lower flow_max", q->flow_max);
	return q->flows;
}

static int fail_pending(struct ipq_queue *q, uint32_t id)
{
	return ipq_fail(&q->error, ENOENT,
			"packet %u does not wait for a verdict: it was never received or is already decided",
			id);
}

static int decide_one(struct ipq_queue *q, const struct ipq_packet *packet, struct ipq_verdict v)
{
	v.size = sizeof(v);
	flows_adapt(q, packet, &v);
	return ipq_decide(q, packet, &v);
}

/* Decides one packet. Fragments and the like have no ports, so they are decided one by one. */
static int decide_packet(struct ipq_queue *q, const struct ipq_packet *packet, uint32_t code)
{
	q->flows->no_key++;
	return decide_one(q, packet, (struct ipq_verdict){ .code = code });
}

/* Accepts a packet of a flow that is not decided yet, because `after` lets its first packets pass. */
static int accept_early(struct ipq_queue *q, const struct ipq_packet *packet,
			const struct ipq_flow_verdict *v)
{
	return decide_one(q, packet,
			  (struct ipq_verdict){ .code = IPQ_ACCEPT, .present = v->present, .mark = v->mark });
}

/*
 * Gives the packet the decision of its flow. The packet may have been received together with the one that decided
 * the flow.
 */
static int keep_decision(struct ipq_queue *q, struct flow *f, const struct ipq_packet *packet, int64_t now)
{
	return f->code == IPQ_DROP ? flows_drop(q, f, packet, now) : flows_accept(q, f, packet);
}

static int decide_flow(struct ipq_queue *q, struct flow *f, const struct ipq_packet *packet,
		       const struct ipq_flow_verdict *v, int64_t now)
{
	struct flows *fl = q->flows;

	if (f->code == IPQ_STOP)
		fl->decided++;
	f->code = v->code;
	f->has_mark = (v->present & IPQ_SET_MARK) != 0;
	f->mark = v->mark;
	f->until = v->timeout != 0 ? now + (int64_t)v->timeout * 1000 : 0;
	flows_revoke_earlier(fl);
	return keep_decision(q, f, packet, now);
}

static int take_verdict(struct ipq_queue *q, struct ipq_flow_verdict *v, const struct ipq_flow_verdict *given)
{
	int err = copy_struct_in(v, sizeof(*v), given, offsetof(struct ipq_flow_verdict, mark),
				 "ipq_flow_verdict", &q->error);

	if (err < 0)
		return err;
	if (v->code != IPQ_ACCEPT && v->code != IPQ_DROP)
		return ipq_fail(&q->error, EINVAL, "the verdict of a flow is IPQ_ACCEPT or IPQ_DROP, not %u",
				v->code);
	if ((v->present & ~(uint32_t)IPQ_SET_MARK) != 0 || (v->present != 0 && v->code == IPQ_DROP))
		return ipq_fail(&q->error, EINVAL,
				"a flow verdict can set the mark of accepted packets only");
	return 0;
}

int ipq_decide_flow(struct ipq_queue *q, const struct ipq_packet *packet,
		    const struct ipq_flow_verdict *verdict)
{
	struct flows *fl = flows_of(q);
	struct ipq_flow_verdict v;
	int64_t now = now_ms();
	struct flow_key key;
	struct flow *f = NULL;
	bool opens;
	int err = take_verdict(q, &v, verdict);

	if (err < 0)
		return err;
	if (fl == NULL)
		return -ENOMEM;
	if (!verdicts_is_pending(&q->verdicts, packet->id))
		return fail_pending(q, packet->id);
	if (flow_key_of_packet(&key, packet, &opens))
		f = flow_add(&fl->table, &key, now);
	if (f == NULL)
		return decide_packet(q, packet, v.code);
	if (opens && f->code != IPQ_STOP) {
		flows_overtake(q, packet);
		f->code = IPQ_STOP;
		f->seen = 0;
	}
	if (v.after != 0 && f->code != IPQ_STOP)
		return keep_decision(q, f, packet, now);
	if (++f->seen <= v.after)
		return accept_early(q, packet, &v);
	return decide_flow(q, f, packet, &v, now);
}

int ipq_accept_flow(struct ipq_queue *q, const struct ipq_packet *packet)
{
	const struct ipq_flow_verdict accept = { .size = sizeof(accept), .code = IPQ_ACCEPT };

	return ipq_decide_flow(q, packet, &accept);
}

int ipq_drop_flow(struct ipq_queue *q, const struct ipq_packet *packet)
{
	const struct ipq_flow_verdict drop = { .size = sizeof(drop), .code = IPQ_DROP };

	return ipq_decide_flow(q, packet, &drop);
}

void queue_ask_flows(struct ipq_queue *q, const struct queue_flow_rules *rules, void *context)
{
	q->asks_flows = true;
	q->flow_rules = rules;
	q->flow_context = context;
	if (q->flows != NULL)
		flows_choose_keeper(q, q->flows);
}

bool queue_decided_flow(struct ipq_queue *q, const struct ipq_packet *packet)
{
	struct ipq_packet one;

	if (q->flows == NULL)
		return false;
	one = *packet;
	return flows_take(q, &one, 1) == 0;
}

/* ---- forgetting --------------------------------------------------------------------------------- */

static int fail_marks(struct ipq_queue *q, int err)
{
	return ipq_fail(
		&q->error, -err,
		"the kernel did not remove the connection marks (%s): the kernel's table of connections must "
		"be readable through netlink (nf_conntrack_netlink)",
		strerror(-err));
}

/* Sends all pending verdicts, so that no later one sets the connection's mark again. */
static int settle(struct ipq_queue *q)
{
	flows_release(q, false);
	return ipq_queue_flush(q);
}

int ipq_forget_flow(struct ipq_queue *q, const struct ipq_tuple *tuple)
{
	struct flows *fl = flows_of(q);
	struct flow_key key;
	struct flow *f;
	int err = 0;

	if (fl == NULL)
		return -ENOMEM;
	if (!flow_key_of_tuple(&key, tuple))
		return ipq_fail(&q->error, EINVAL, "tuple.family is not AF_INET or AF_INET6");
	err = settle(q);
	if (err < 0)
		return err;
	f = flow_find(&fl->table, &key, now_ms());
	if (f != NULL)
		flow_remove(&fl->table, f);
	if (fl->keeper != IPQ_FLOWS_LIBRARY)
		err = conntrack_clear_mark(tuple, fl->mask);
	if (err == -ENOENT)
		err = f != NULL ? 0 : -ENOENT;
	if (err == -ENOENT)
		return ipq_fail(&q->error, ENOENT, "no such flow was decided");
	return err < 0 ? fail_marks(q, err) : f != NULL || fl->keeper != IPQ_FLOWS_LIBRARY ? 0 : -ENOENT;
}

int ipq_forget_flows(struct ipq_queue *q)
{
	struct flows *fl = flows_of(q);
	int err = 0;

	if (fl == NULL)
		return -ENOMEM;
	err = settle(q);
	if (err < 0)
		return err;
	while (fl->table.newest != 0)
		flow_remove(&fl->table, &fl->table.flow[fl->table.newest]);
	if (fl->keeper == IPQ_FLOWS_LIBRARY)
		return 0;
	err = conntrack_clear_marks(fl->leave, fl->mask);
	if (err == 0)
		err = conntrack_clear_marks(fl->drop, fl->mask);
	return err < 0 ? fail_marks(q, err) : 0;
}

/* ---- statistics --------------------------------------------------------------------------------- */

int ipq_flow_stats(struct ipq_queue *q, struct ipq_flow_stats *stats)
{
	const struct flows *fl = flows_of(q);
	struct ipq_flow_stats now = { .size = sizeof(now) };

	if (fl == NULL)
		return -ENOMEM;
	now.keeper = fl->keeper;
	now.flows = fl->table.count;
	now.decided = fl->decided;
	now.packets = fl->packets;
	now.bytes = fl->bytes;
	now.evicted = fl->table.evicted;
	now.no_key = fl->no_key;
	now.came_back = fl->came_back;
	now.why = fl->why;
	if (copy_struct_out(stats, &now, sizeof(now), sizeof(now.size) + 1) < 0)
		return ipq_fail(
			&q->error, EINVAL,
			"the size in struct ipq_flow_stats is %zu: set it to sizeof(struct ipq_flow_stats)",
			stats->size);
	return 0;
}

int ipq_flow_counters(struct ipq_queue *q, const struct ipq_tuple *tuple, struct ipq_flow_counters *counters)
{
	struct flows *fl = flows_of(q);
	struct ipq_flow_counters now = { .size = sizeof(now) };
	struct flow_key key;
	struct flow *f;

	if (fl == NULL)
		return -ENOMEM;
	if (!flow_key_of_tuple(&key, tuple))
		return ipq_fail(&q->error, EINVAL, "tuple.family is not AF_INET or AF_INET6");
	f = flow_find(&fl->table, &key, now_ms());
	if (f == NULL || f->code == IPQ_STOP)
		return ipq_fail(&q->error, ENOENT, "no such flow was decided");
	now.code = f->code;
	now.packets = f->packets;
	now.bytes = f->bytes;
	if (fl->keeper != IPQ_FLOWS_LIBRARY &&
	    conntrack_counters(tuple, &now.connection_packets, &now.connection_bytes) == 0)
		now.present = IPQ_FLOW_HAS_CONNECTION;
	if (copy_struct_out(counters, &now, sizeof(now), sizeof(now.size) + 1) < 0)
		return ipq_fail(
			&q->error, EINVAL,
			"set the size in struct ipq_flow_counters to sizeof(struct ipq_flow_counters)");
	return 0;
}
