// SPDX-License-Identifier: LGPL-2.1-or-later
/* Verdicts for packets of decided flows. See flows.h. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <linux/netfilter.h>
#include "core/flows.h"
#include "nfqueue/conntrack_marks.h"
#include "util/clock.h"

/* The verdict that makes the kernel keep the flow from now on. */
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

/* The packet may have been decided by the program in the meantime: then there is nothing to do. */
static void give(struct ipq_queue *q, uint32_t id, const struct source_verdict *v)
{
	verdicts_set(&q->verdicts, id, v->code, v->present != 0 ? v : NULL);
}

void flows_release(struct ipq_queue *q)
{
	struct flows *fl = q->flows;

	for (unsigned i = 0; i < fl->held_count; i++) {
		struct flow *f = &fl->table.flow[fl->held[i]];
		struct source_verdict v = { .code = NF_ACCEPT };

		if (fl->keeper != IPQ_FLOWS_LIBRARY)
			set_leaving(fl, &v, NF_ACCEPT, f->held_mark);
		give(q, f->held_id, &v);
		f->held = false;
	}
	fl->held_count = 0;
}

struct flows *flows_create(const struct ipq_queue *q)
{
	struct flows *fl = calloc(1, sizeof(*fl));

	if (fl == NULL || flow_table_init(&fl->table, q->flow_max) < 0) {
		free(fl);
		return NULL;
	}
	fl->mask = q->flow_mask;
	fl->leave = q->flow_mark;
	fl->drop = fl->leave ^ 3 * (fl->mask & -fl->mask);
	if (q->source->ops != &source_nfqueue) {
		fl->keeper = IPQ_FLOWS_LIBRARY;
		fl->why = "this source has no firewall rules";
	} else if (q->flags & IPQ_O_CONNTRACK) {
		fl->keeper = IPQ_FLOWS_CONNTRACK;
		fl->why = "verdicts set the connection mark";
	} else {
		fl->keeper = IPQ_FLOWS_MARK;
		fl->why = "verdicts carry a packet mark that the rules save in the connection";
	}
	return fl;
}

/* They are in connection marks. Where those cannot be changed, old decisions last as long as their connections. */
void flows_revoke_earlier(struct flows *fl)
{
	if (fl->revoked || fl->keeper == IPQ_FLOWS_LIBRARY)
		return;
	fl->revoked = true;
	conntrack_clear_marks(fl->leave, fl->mask);
	conntrack_clear_marks(fl->drop, fl->mask);
}

bool flows_due(const struct flows *fl)
{
	return fl->held_count > 0 && now_us() - fl->held_since > HELD_MAX_US;
}

void flows_destroy(struct flows *fl)
{
	if (fl != NULL)
		flow_table_free(&fl->table);
	free(fl);
}

/* Holds the packet back in place of an older one of its flow, which is accepted. */
static void hold(struct ipq_queue *q, struct flow *f, const struct ipq_packet *packet)
{
	struct flows *fl = q->flows;

	if (f->held) {
		give(q, f->held_id, &(struct source_verdict){ .code = NF_ACCEPT });
	} else {
		if (fl->held_count == HELD_MAX)
			flows_release(q);
		if (fl->held_count == 0)
			fl->held_since = now_us();
		fl->held[fl->held_count++] = (uint32_t)(f - fl->table.flow);
	}
	f->held = true;
	f->held_id = packet->id;
	f->held_mark = mark_of(packet);
}

int flows_accept(struct ipq_queue *q, struct flow *f, const struct ipq_packet *packet)
{
	struct source_verdict v = { .code = NF_ACCEPT };

	if (!verdicts_is_pending(&q->verdicts, packet->id))
		return -ENOENT;
	if (f->has_mark) {
		v.present = IPQ_SET_MARK;
		v.mark = f->mark;
	} else if (q->flows->keeper != IPQ_FLOWS_LIBRARY) {
		hold(q, f, packet);
		return 0;
	}
	return verdicts_set(&q->verdicts, packet->id, v.code, v.present != 0 ? &v : NULL);
}

/*
 * The kernel can keep a dropped flow only if it has confirmed the connection, which it does when a packet has passed.
 * So only segments after the SYN are worth the mark.
 */
static void drop(struct ipq_queue *q, const struct flow *f, const struct ipq_packet *packet)
{
	struct source_verdict v = { .code = NF_DROP };

	if (q->flows->keeper != IPQ_FLOWS_LIBRARY && f->key.protocol == IPPROTO_TCP)
		set_leaving(q->flows, &v, NF_DROP, mark_of(packet));
	give(q, packet->id, &v);
}

/*
 * A packet with our own mark: the rules that should have removed the mark are missing. From now on the table decides,
 * so that no packet is repeated again.
 */
static bool came_back(struct ipq_queue *q, const struct ipq_packet *packet)
{
	struct flows *fl = q->flows;
	uint32_t value = mark_of(packet) & fl->mask;
	struct source_verdict v = { .present = IPQ_SET_MARK, .mark = mark_of(packet) & ~fl->mask };

	if (value == 0 || (value != fl->leave && value != fl->drop))
		return false;
	if (fl->keeper == IPQ_FLOWS_MARK) {
		fl->keeper = IPQ_FLOWS_LIBRARY;
		fl->why = "packets with the flow mark came back: the rules of ipq_accept_flow(3) are missing";
	}
	fl->came_back++;
	v.code = value == fl->leave ? NF_ACCEPT : NF_DROP;
	give(q, packet->id, &v);
	return true;
}

/* A packet of a connection that has our mark: the rule that should have accepted it is missing. */
static void check_connection(struct flows *fl, const struct ipq_packet *packet)
{
	struct ipq_conntrack ct = { .size = sizeof(ct) };

	if (fl->keeper != IPQ_FLOWS_CONNTRACK || ipq_packet_conntrack(packet, &ct) < 0 ||
	    (ct.present & IPQ_CT_HAS_MARK) == 0 || (ct.mark & fl->mask) != fl->leave)
		return;
	fl->keeper = IPQ_FLOWS_LIBRARY;
	fl->why = "packets of marked connections were queued: the rules of ipq_accept_flow(3) are missing";
	fl->came_back++;
}

/* Whether the packet belonged to a decided flow, and got its verdict. */
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
	if (opens && !f->held) {
		/* A new connection between the same ports, which the program has not seen. */
		flow_remove(&fl->table, f);
		return false;
	}
	f->packets++;
	f->bytes += packet->full_len;
	fl->packets++;
	fl->bytes += packet->full_len;
	check_connection(fl, packet);
	if (f->code == IPQ_DROP)
		drop(q, f, packet);
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
