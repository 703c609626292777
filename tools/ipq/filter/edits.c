/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Edits are collected while the rules are matched and made when they are through: rewrites first, in the order of
 * the rules, then headers. An edit that cannot be made leaves the packet as it was and is counted.
 */
#include <errno.h>
#include <string.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <ipq_edit.h>
#include "filter/edits.h"

void edits_add(struct editor *ed, const struct action *action, struct counters *counters)
{
	if (ed->count == EDITS_MAX) {
		counters_add(&counters->not_edited, 1);
		return;
	}
	ed->edit[ed->count].action = action;
	ed->edit[ed->count++].counters = counters;
}

/* ---- rewrite ------------------------------------------------------------------------------------- */

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

/* Places changed, or -errno: the text is there and cannot be changed. */
static int rewrite_plain(struct ipq_edit *e, const struct rewrite *r)
{
	int at = ipq_edit_find(e, 0, r->from, r->from_len), err;

	if (at < 0)
		return 0;
	if (r->all)
		return ipq_edit_substitute(e, r->from, r->from_len, r->to, r->to_len);
	err = ipq_edit_replace(e, (size_t)at, r->from_len, r->to, r->to_len);
	return err < 0 ? err : 1;
}

static bool resizes(const struct action *a)
{
	return a->type == ACTION_REWRITE && a->rewrite.from_len != a->rewrite.to_len;
}

/* The rewrite of a later packet of this connection's other side, if it changes the length: one whose rule may
 * match this SYN with its sides exchanged. */
static const struct rewrite *rewrite_of_answers(struct editor *ed, const struct active_rules *rules,
						const struct ipq_edit *e)
{
	size_t len = e->version == 4 ? 4 : 16, at = e->version == 4 ? 12 : 8;
	uint8_t *p = ed->mirrored;

	if (!rules->resizes_tcp || e->protocol != IPPROTO_TCP || e->transport_error < 0 ||
	    (e->data[e->transport + 13] & (IPQ_TCP_SYN | IPQ_TCP_ACK)) != IPQ_TCP_SYN)
		return NULL;
	memcpy(p, e->data, e->len);
	memcpy(p + at, e->data + at + len, len);
	memcpy(p + at + len, e->data + at, len);
	memcpy(p + e->transport, e->data + e->transport + 2, 2);
	memcpy(p + e->transport + 2, e->data + e->transport, 2);
	for (unsigned i = 0; i < rules->set.count; i++) {
		const struct rule *rule = &rules->set.rule[i];
		const struct action *a = rule_action(rule, ACTION_REWRITE);

		if (a != NULL && resizes(a) && bpf_filter(rule->candidates.bf_insns, p, e->len, e->len) != 1)
			return &a->rewrite;
	}
	return NULL;
}

static void count_rewrite(struct counters *counters, int done)
{
	if (done > 0)
		counters_add(&counters->places, (uint64_t)done);
	else if (done < 0)
		counters_add(&counters->not_edited, 1);
}

/* Rewrites, and the numbers of connections that were rewritten before. False: the packet must come again. */
static bool rewrite(struct editor *ed, struct worker *w, const struct active_rules *rules,
		    const struct ipq_packet *packet, struct ipq_edit *e)
{
	const struct rewrite *answers, *resizing = NULL;
	struct counters *counters = NULL;
	int done;

	for (unsigned i = 0; i < ed->count; i++) {
		const struct action *a = ed->edit[i].action;

		if (a->type != ACTION_REWRITE)
			continue;
		if (e->protocol != IPPROTO_TCP || !resizes(a)) {
			count_rewrite(ed->edit[i].counters, rewrite_plain(e, &a->rewrite));
		} else if (resizing == NULL) {
			resizing = &a->rewrite;
			counters = ed->edit[i].counters;
		} else if (ipq_edit_find(e, 0, a->rewrite.from, a->rewrite.from_len) >= 0) {
			counters_add(&ed->edit[i].counters->not_edited, 1);
		}
	}
	if (flows_count(ed->flows) == 0 && !rules->resizes_tcp)
		return true;
	answers = resizing == NULL ? rewrite_of_answers(ed, rules, e) : NULL;
	done = answers != NULL ? flow_expect(ed->flows, flow_zone(w, packet), e, answers, w->now)
			       : flow_pass(ed->flows, flow_zone(w, packet), e, resizing, w->now);
	if (done == FLOW_DROP)
		return false;
	if (done == FLOW_SAME && resizing != NULL)
		done = rewrite_plain(e, resizing);
	if (counters != NULL && done != FLOW_SAME)
		count_rewrite(counters, done);
	return true;
}

/* ---- headers ------------------------------------------------------------------------------------- */

static int set_field(struct ipq_edit *e, const struct action *a)
{
	switch (a->field) {
	case SET_SOURCE:
		return ipq_edit_set_source(e, a->address, a->address_len);
	case SET_DESTINATION:
		return ipq_edit_set_destination(e, a->address, a->address_len);
	case SET_SOURCE_PORT:
		return ipq_edit_set_source_port(e, (uint16_t)a->number);
	case SET_DESTINATION_PORT:
		return ipq_edit_set_destination_port(e, (uint16_t)a->number);
	case SET_TTL:
		return ipq_edit_set_ttl(e, (uint8_t)a->number);
	default:
		return ipq_edit_set_dscp(e, a->number);
	}
}

static void edit_header(struct ipq_edit *e, const struct action *a, struct counters *counters)
{
	int err = a->type == ACTION_SET ? set_field(e, a) : ipq_edit_clear_tcp_option(e, (uint8_t)a->number);

	/* A packet that has no such option is as it should be. */
	if (err == 0)
		counters_add(&counters->places, 1);
	else if (a->type == ACTION_SET || (err != -ENOENT && err != -EPROTONOSUPPORT))
		counters_add(&counters->not_edited, 1);
}

/* ---- all ----------------------------------------------------------------------------------------- */

static void count_all_not_edited(const struct editor *ed)
{
	for (unsigned i = 0; i < ed->count; i++)
		counters_add(&ed->edit[i].counters->not_edited, 1);
}

int edits_apply(struct editor *ed, struct worker *w, const struct active_rules *rules,
		const struct ipq_packet *packet, struct ipq_edit *e)
{
	size_t room = w->session->virtual_time ? PACKET_MAX : VERDICT_MAX;

	if (ed->count == 0 && flows_count(ed->flows) == 0 && !rules->resizes_tcp)
		return 0;
	if ((packet->present & IPQ_HAS_PAYLOAD) == 0 || packet->payload_len > room) {
		count_all_not_edited(ed);
		return 0;
	}
	memcpy(ed->edited, packet->payload, packet->payload_len);
	if (ipq_edit_begin(e, ed->edited, packet->payload_len, room, packet->flags) < 0) {
		count_all_not_edited(ed);
		return 0;
	}
	if (!rewrite(ed, w, rules, packet, e))
		return -1;
	for (unsigned i = 0; i < ed->count; i++)
		if (ed->edit[i].action->type != ACTION_REWRITE)
			edit_header(e, ed->edit[i].action, ed->edit[i].counters);
	return e->len != packet->payload_len || memcmp(e->data, packet->payload, e->len) != 0;
}
