// SPDX-License-Identifier: LGPL-2.1-or-later
/* Verdicts for packets of decided flows. See flows.h. */
#include <errno.h>
#include <stdlib.h>
#include <linux/netfilter.h>
#include "core/flows.h"
#include "nfqueue/conntrack_marks.h"
#include "util/clock.h"

#define DROP_MARK_MS 1000 /* time between two attempts to leave a dropped flow to the kernel */

/* Fills in the verdict that makes the kernel keep the flow from now on. */
static void set_leaving(const struct flows *fl, struct source_verdict *v, uint32_t code, uint32_t packet_mark)
{
	uint32_t value = code == NF_DROP ? fl->drop : fl->leave;

	if (fl->keeper == IPQ_FLOWS_CONNTRACK) {
		v->code = code;
		v->present = IPQ_SET_CONNTRACK_MARK;
		v->conntrack_mark = value;
		v->conntrack_mark_mask = fl->mask;
	} else {
		v->code = NF_REPEAT;
		v->present = IPQ_SET_MARK;
		v->mark = (packet_mark & ~fl->mask) | value;
	}
}

static uint32_t mark_of(const struct ipq_packet *packet)
{
	return packet->present & IPQ_HAS_MARK ? packet->mark : 0;
}

/* Sends a verdict, unless the program has decided the packet in the meantime. */
static void give(struct ipq_queue *q, uint32_t id, const struct source_verdict *v)
{
	verdicts_set(&q->verdicts, id, v->code, v->present != 0 ? v : NULL);
}

uint32_t flows_code(const struct flows *fl, uint32_t code, uint32_t mark)
{
	if (!fl->repeats || code != NF_REPEAT)
		return code;
	return (mark & fl->mask) == fl->leave ? NF_ACCEPT : (mark & fl->mask) == fl->drop ? NF_DROP : code;
}

/*
 * Whether the kernel can keep this flow. A flow that the kernel keeps can have no timeout, and its packets can get
 * no mark.
 */
static bool kernel_can_keep(const struct ipq_queue *q, const struct flow *f)
{
	return q->flows->keeper != IPQ_FLOWS_LIBRARY && !f->has_mark && f->until == 0 &&
	       (q->flow_rules == NULL || q->flow_rules->keep(q->flow_context));
}

/* Accepts one packet with this mark. */
static struct source_verdict accept_one(struct ipq_queue *q, uint32_t mark)
{
	const struct ipq_packet packet = { .present = IPQ_HAS_MARK, .mark = mark };
	struct ipq_verdict v = { .code = IPQ_ACCEPT };

	flows_adapt(q, &packet, &v);
	return (struct source_verdict){ .code = v.code, .present = v.present, .mark = v.mark };
}

static void give_held(struct ipq_queue *q, struct flow *f, bool leave)
{
	struct source_verdict v = { .code = NF_ACCEPT };

	/* The program may have changed its decision in the meantime. */
	if (leave && f->code == IPQ_ACCEPT && kernel_can_keep(q, f))
		set_leaving(q->flows, &v, NF_ACCEPT, f->held_mark);
	else
		v = accept_one(q, f->held_mark);
	give(q, f->held_id, &v);
	f->held = false;
}

void flows_release(struct ipq_queue *q, bool leave)
{
	struct flows *fl = q->flows;

	for (unsigned i = 0; i < fl->held_count; i++)
		give_held(q, &fl->table.flow[fl->held[i]], leave);
	fl->held_count = 0;
}

void flows_release_one(struct ipq_queue *q)
{
	struct flows *fl = q->flows;

	give_held(q, &fl->table.flow[fl->held[--fl->held_count]], true);
}

static uint64_t lost_packets(const struct ipq_queue *q)
{
	struct source_counts counts;

	return q->source->ops->counts(q->source, &counts) < 0 ? 0 : counts.lost + counts.queue_dropped;
}

/*
 * Called when packets were held for HELD_MAX_US and no receive has found the socket empty. Whether the kernel must keep
 * the flows nevertheless.
 */
static bool overdue(const struct ipq_queue *q)
{
	struct flows *fl = q->flows;

	if (++fl->overdue == 1)
		fl->lost_before = lost_packets(q);
	return fl->overdue > OVERDUE_MAX ||
	       (fl->overdue > OVERDUE_MAX_LOSING && lost_packets(q) != fl->lost_before);
}

bool flows_release_due(struct ipq_queue *q, bool empty)
{
	struct flows *fl = q->flows;

	if (fl->held_count == 0 || (!empty && now_us() - fl->held_since <= fl->held_max_us))
		return false;
	if (empty) {
		fl->overdue = 0;
		flows_release_one(q);
	} else {
		flows_release(q, overdue(q));
	}
	return true;
}

/* Accepts the packet that the flow holds back, if any. */
static void unhold(struct ipq_queue *q, struct flow *f)
{
	struct flows *fl = q->flows;
	unsigned i = 0;

	if (!f->held)
		return;
	while (fl->held[i] != (uint32_t)(f - fl->table.flow))
		i++;
	fl->held[i] = fl->held[--fl->held_count];
	give_held(q, f, false);
}

void flows_overtake(struct ipq_queue *q, const struct ipq_packet *packet)
{
	struct flow_key key;
	struct flow *f;
	bool opens;

	if (q->flows->held_count == 0 || !flow_key_of_packet(&key, packet, &opens))
		return;
	f = flow_find(&q->flows->table, &key, now_ms());
	if (f != NULL && f->held_id != packet->id)
		unhold(q, f);
}

void flows_choose_keeper(const struct ipq_queue *q, struct flows *fl)
{
	fl->one_by_one = q->source->ops != &source_nfqueue && !q->asks_flows;
	fl->keeper = IPQ_FLOWS_LIBRARY;
	if (q->source->ops != &source_nfqueue) {
		fl->why = "this source has no firewall rules";
	} else if (q->flow_rules != NULL && q->flow_rules->keep == NULL) {
		fl->why = "the program's own rules have no marks for flows";
	} else if (q->flow_rules == NULL && (q->flags & IPQ_O_CONNTRACK) != 0) {
		fl->keeper = IPQ_FLOWS_CONNTRACK;
		fl->why = "verdicts set the connection mark";
	} else {
		fl->keeper = IPQ_FLOWS_MARK;
		fl->why = "verdicts carry a packet mark that the rules save in the connection";
	}
	fl->repeats = fl->keeper == IPQ_FLOWS_MARK;
}

struct flows *flows_create(const struct ipq_queue *q)
{
	struct flows *fl = calloc(1, sizeof(*fl));

	if (fl == NULL || flow_table_init(&fl->table, q->flow_max) < 0) {
		free(fl);
		return NULL;
	}
	fl->held_max_us = HELD_MAX_US;
	fl->mask = q->flow_mask;
	fl->leave = q->flow_mark;
	fl->drop = fl->leave ^ 3 * (fl->mask & -fl->mask);
	flows_choose_keeper(q, fl);
	return fl;
}

/*
 * The decisions of an earlier run are stored in connection marks. If those cannot be changed, the decisions last as
 * long as the connections.
 */
void flows_revoke_earlier(struct flows *fl)
{
	if (fl->revoked || fl->keeper == IPQ_FLOWS_LIBRARY)
		return;
	fl->revoked = true;
	conntrack_clear_marks(fl->leave, fl->mask);
	conntrack_clear_marks(fl->drop, fl->mask);
}

void flows_destroy(struct flows *fl)
{
	if (fl != NULL)
		flow_table_free(&fl->table);
	free(fl);
}

/* Holds the packet back. If another packet of the flow is held, that one is accepted. */
static void hold(struct ipq_queue *q, struct flow *f, const struct ipq_packet *packet)
{
	struct flows *fl = q->flows;
	uint32_t i = (uint32_t)(f - fl->table.flow);

	if (f->held && f->held_id != packet->id) {
		struct source_verdict v = accept_one(q, f->held_mark);

		give(q, f->held_id, &v);
	} else if (!f->held && fl->held_count == HELD_MAX) {
		uint32_t *room = &fl->held[fl->held_next++ % HELD_MAX];

		give_held(q, &fl->table.flow[*room], true);
		*room = i;
	} else if (!f->held) {
		if (fl->held_count == 0)
			fl->held_since = now_us();
		fl->held[fl->held_count++] = i;
	}
	f->held = true;
	f->held_id = packet->id;
	f->held_mark = mark_of(packet);
}

void flows_adapt(struct ipq_queue *q, const struct ipq_packet *packet, struct ipq_verdict *v)
{
	if (q->flow_rules != NULL && v->code == IPQ_ACCEPT)
		q->flow_rules->accept(q->flow_context, packet, v);
}

int flows_accept(struct ipq_queue *q, struct flow *f, const struct ipq_packet *packet)
{
	struct ipq_verdict accept = { .size = sizeof(accept), .code = IPQ_ACCEPT };
	struct source_verdict v;

	if (!verdicts_is_pending(&q->verdicts, packet->id))
		return -ENOENT;
	if (kernel_can_keep(q, f)) {
		hold(q, f, packet);
		return 0;
	}
	unhold(q, f);
	if (f->has_mark) {
		accept.present = IPQ_SET_MARK;
		accept.mark = f->mark;
	}
	flows_adapt(q, packet, &accept);
	v = (struct source_verdict){ .present = accept.present, .mark = accept.mark };
	return verdicts_set(&q->verdicts, packet->id, accept.code, v.present != 0 ? &v : NULL);
}

/*
 * Drops a packet of a dropped flow. With iptables, the kernel can keep a dropped flow only if the connection is
 * confirmed, that is, after one of its packets has passed. With a set of nftables, it can keep any dropped flow. So
 * the mark is tried from time to time, not with every packet.
 */
int flows_drop(struct ipq_queue *q, struct flow *f, const struct ipq_packet *packet, int64_t now)
{
	struct source_verdict v = { .code = NF_DROP };

	unhold(q, f);
	if (kernel_can_keep(q, f) && (f->marked == 0 || now - f->marked >= DROP_MARK_MS)) {
		f->marked = now;
		set_leaving(q->flows, &v, NF_DROP, mark_of(packet));
	}
	return verdicts_set(&q->verdicts, packet->id, v.code, v.present != 0 ? &v : NULL);
}

/*
 * Returns true if the packet already has our own mark: the rules that should have removed the mark are missing. From
 * now on the table decides, so that no packet is repeated again.
 */
static bool came_back(struct ipq_queue *q, const struct ipq_packet *packet)
{
	struct flows *fl = q->flows;
	uint32_t value = mark_of(packet) & fl->mask;
	struct ipq_verdict v = { .code = IPQ_ACCEPT,
				 .present = IPQ_SET_MARK,
				 .mark = mark_of(packet) & ~fl->mask };

	if (!fl->repeats || (value != fl->leave && value != fl->drop))
		return false;
	if (fl->keeper == IPQ_FLOWS_MARK) {
		fl->keeper = IPQ_FLOWS_LIBRARY;
		fl->why = "packets with the flow mark were queued again: the rules of \"ipq rules --flows\" "
			  "are missing";
	}
	fl->came_back++;
	if (value == fl->drop)
		v = (struct ipq_verdict){ .code = IPQ_DROP };
	flows_adapt(q, packet, &v);
	give(q, packet->id, &(struct source_verdict){ .code = v.code, .present = v.present, .mark = v.mark });
	return true;
}

/*
 * If a packet of a connection with our mark is queued, the rule that should have accepted it is missing. But the packet
 * may have passed that rule on another CPU before the mark was set, so one packet is no proof.
 */
static void check_connection(struct flows *fl, struct flow *f, const struct ipq_packet *packet)
{
	struct ipq_conntrack ct = { .size = sizeof(ct) };

	if (fl->keeper != IPQ_FLOWS_CONNTRACK || ipq_packet_conntrack(packet, &ct) < 0 ||
	    (ct.present & IPQ_CT_HAS_MARK) == 0 || (ct.mark & fl->mask) != fl->leave ||
	    ++f->marked_came < MARKED_CAME_MAX)
		return;
	fl->keeper = IPQ_FLOWS_LIBRARY;
	fl->why = "packets of marked connections were queued: the rules of \"ipq rules --flows\" are missing";
	fl->came_back += f->marked_came;
}

/* If the packet belongs to a decided flow, gives it the verdict of the flow. Returns whether it did. */
static bool take(struct ipq_queue *q, const struct ipq_packet *packet, int64_t now)
{
	struct flows *fl = q->flows;
	struct flow_key key;
	struct flow *f;
	bool opens;

	if (came_back(q, packet))
		return true;
	if (!flow_key_of_packet(&key, packet, &opens))
		return false;
	f = flow_find(&fl->table, &key, now);
	if (f == NULL || f->code == IPQ_STOP)
		return false;
	if (opens) {
		/* This is a new connection between the same ports: the program has not seen it. */
		unhold(q, f);
		flow_remove(&fl->table, f);
		return false;
	}
	f->packets++;
	f->bytes += packet->full_len;
	fl->packets++;
	fl->bytes += packet->full_len;
	check_connection(fl, f, packet);
	if (f->code == IPQ_DROP)
		flows_drop(q, f, packet, now);
	else
		flows_accept(q, f, packet);
	return true;
}

int flows_take(struct ipq_queue *q, struct ipq_packet *packet, int n)
{
	int64_t now = now_ms();
	int left = 0;

	for (int i = 0; i < n; i++) {
		if (take(q, &packet[i], now))
			continue;
		if (left != i)
			packet[left] = packet[i];
		left++;
	}
	return left;
}
