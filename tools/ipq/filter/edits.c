/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Edits are collected while the rules are matched, and made afterwards. First TCP options are removed, because a
 * signed segment can be rewritten only after its signature was removed. Then text is rewritten, in the order of the
 * rules. Addresses and ports change last, because until then they identify the connection. If an edit cannot be made,
 * the packet stays unchanged, and the failure is counted.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/netfilter.h>
#include <ipq_edit.h>
#include "filter/edits.h"
#include "filter/http.h"

int edits_open(struct edits_shared *shared, bool recorded)
{
	struct ipq_tcp_options options = { .size = sizeof(options),
					   .flags = recorded ? IPQ_TCP_RECORDED : 0 };

	shared->mtu_socket = recorded ? -1 : socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return ipq_tcp_open(&shared->tcp, &options);
}

void edits_close(struct edits_shared *shared)
{
	ipq_tcp_close(shared->tcp);
	if (shared->mtu_socket >= 0)
		close(shared->mtu_socket);
}

static void count_not_edited(struct editor *ed, struct counters *counters, unsigned reason)
{
	counters_add(&counters->not_edited, 1);
	if (reason < IPQ_EDIT_REASON_COUNT)
		atomic_fetch_add_explicit(&ed->shared->not_edited[reason], 1, memory_order_relaxed);
}

void edits_add(struct editor *ed, const struct action *action, struct counters *counters)
{
	if (ed->count == EDITS_MAX) {
		count_not_edited(ed, counters, IPQ_EDIT_REASON_ARGUMENT);
		return;
	}
	ed->edit[ed->count].action = action;
	ed->edit[ed->count++].counters = counters;
}

/* ---- rewrite ------------------------------------------------------------------------------------- */

static bool is_loopback(struct worker *w, const struct ipq_packet *packet)
{
	uint32_t index = (packet->present & IPQ_HAS_INDEV) != 0 ? packet->indev : packet->outdev;
	uint16_t type = 0;

	if ((packet->present & (IPQ_HAS_INDEV | IPQ_HAS_OUTDEV)) == 0)
		return false;
	ipq_queue_interface(w->queue, index, &type);
	return type == ARPHRD_LOOPBACK;
}

/*
 * The hooks, as bits, that a loopback packet has passed before this one. A loopback packet passes four hooks, in the
 * same order in both directions.
 */
static unsigned loopback_hooks_before(unsigned hook)
{
	static const uint8_t way[] = { NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING, NF_INET_PRE_ROUTING,
				       NF_INET_LOCAL_IN };
	unsigned before = 0;

	for (unsigned i = 0; i < sizeof(way) && way[i] != hook; i++)
		before |= 1U << way[i];
	return before;
}

/* The hooks, as bits, that a packet from or to another machine has passed before this one. */
static unsigned hooks_before(const struct ipq_packet *packet)
{
	switch (packet->hook) {
	case NF_INET_LOCAL_IN:
	case NF_INET_FORWARD:
		return 1U << NF_INET_PRE_ROUTING;
	case NF_INET_POST_ROUTING: /* a packet that is forwarded, or sent by this machine */
		return (packet->present & IPQ_HAS_INDEV) != 0
			       ? 1U << NF_INET_PRE_ROUTING | 1U << NF_INET_FORWARD
			       : 1U << NF_INET_LOCAL_OUT;
	default:
		return 0;
	}
}

/*
 * A packet is rewritten at the first of our hooks that it passes. If both directions pass two hooks in the same
 * order, only one of the hooks can change lengths: acknowledgements would have to pass them in reverse order.
 */
bool edits_passed_before(struct edits_shared *shared, struct worker *w, const struct active_rules *rules,
			 const struct ipq_packet *packet, uint8_t protocol)
{
	unsigned ours = w->session->hooks, here = packet->hook;

	if (here >= NF_INET_NUMHOOKS)
		return false;
	if (!is_loopback(w, packet))
		return !rules->rewrites_by_metadata && (ours & hooks_before(packet)) != 0;
	if (protocol != IPPROTO_TCP)
		return !rules->rewrites_by_metadata && (ours & loopback_hooks_before(here)) != 0;
	/* With the user's own firewall rules, the hooks are learnt from the packets. */
	if (ours == 0)
		ours = atomic_fetch_or_explicit(&shared->hooks, 1U << here, memory_order_relaxed);
	return (ours & loopback_hooks_before(here)) != 0;
}

/*
 * Rewrites text without changing connections. Returns the number of places that were changed; or -errno: the packet
 * has the text, but cannot be changed.
 */
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

/*
 * Finds a rewrite that may apply to the other direction of this connection and changes the length. Matches the
 * rules against this SYN with source and destination exchanged. NULL: none.
 */
static const struct rewrite *rewrite_of_answers(struct editor *ed, const struct active_rules *rules,
						const struct ipq_edit *e)
{
	size_t len = e->version == 4 ? 4 : 16, at = e->version == 4 ? 12 : 8;
	uint8_t *p = ed->mirrored;

	if (!rules->resizes_tcp || e->transport_error < 0 || (e->data[e->transport + 13] & IPQ_TCP_SYN) == 0)
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

/* Counts a rewrite. done: its result. */
static void count_rewrite(struct editor *ed, struct counters *counters, int done, const struct ipq_edit *e)
{
	if (done > 0)
		counters_add(&counters->places, (uint64_t)done);
	else if (done < 0)
		count_not_edited(ed, counters, e->reason);
}

static void expect(struct ipq_tcp_segment *s, const struct rewrite *r)
{
	ipq_tcp_expect(s, r->from_len, r->to_len, r->all);
	/* the Content-Length field may become two digits longer */
	if (r->http && r->from_len != r->to_len)
		ipq_tcp_expect(s, 1, 3, false);
}

/* Replaces text of one rule that begins in this segment and ends in a later one. */
static int rewrite_across(struct editor *ed, struct ipq_tcp_segment *s, const struct ipq_edit *e,
			  const struct rewrite *r)
{
	struct tcp_across text;
	int result;

	if (e->transport_error < 0 ||
	    across_find(r, e->data + e->payload, e->payload_len, &ed->following, &text) != ACROSS_FOUND)
		return 0;
	result = tcp_replace_across(s, &text, r->to, r->to_len);
	if (result > 0)
		atomic_fetch_add_explicit(&ed->shared->across, 1, memory_order_relaxed);
	return result == -EEXIST ? 0 : result;
}

/* Makes the http rewrites of the message that begins in this segment: either all of them or none. */
static int rewrite_message(struct editor *ed, struct ipq_tcp_segment *s, struct http_message *m,
			   const struct ipq_edit *e)
{
	int places[EDITS_MAX] = { 0 },
	    err = http_begin(m, e->data + e->payload, e->payload_len, &ed->following);

	for (unsigned i = 0; i < ed->count && err >= 0; i++) {
		const struct action *a = ed->edit[i].action;

		if (a->type == ACTION_REWRITE && a->rewrite.http)
			err = places[i] = http_rewrite(m, s, e->payload_len, &ed->following, &a->rewrite);
	}
	if (err < 0)
		http_take_back(m, s, e->payload_len, &ed->following);
	else
		err = http_end(m, s, e->payload_len, &ed->following);
	for (unsigned i = 0; i < ed->count && err == 0; i++)
		counters_add(&ed->edit[i].counters->places, (uint64_t)places[i]);
	return err;
}

static void rewrite_http(struct editor *ed, struct ipq_tcp_segment *s, const struct ipq_edit *e)
{
	struct http_message m;
	struct counters *counters = NULL;
	enum http_result result;
	int err = 0;

	for (unsigned i = 0; i < ed->count && counters == NULL; i++)
		if (ed->edit[i].action->type == ACTION_REWRITE && ed->edit[i].action->rewrite.http)
			counters = ed->edit[i].counters;
	if (counters == NULL || e->transport_error < 0)
		return;
	result = http_look(&m, e->data + e->payload, e->payload_len, &ed->following);
	if (result == HTTP_WHOLE) {
		err = rewrite_message(ed, s, &m, e);
		http_free(&m);
	}
	if (err < 0)
		count_not_edited(ed, counters,
				 e->reason != IPQ_EDIT_REASON_NONE ? e->reason : IPQ_EDIT_REASON_MEMORY);
	if (result == HTTP_OPEN || result == HTTP_REFUSED) {
		counters_add(&counters->not_edited, 1);
		atomic_fetch_add_explicit(&ed->shared->messages, 1, memory_order_relaxed);
	}
}

/* Makes all rewrites of a TCP packet, and adjusts the numbers of connections that were rewritten before. */
static bool rewrite_tcp(struct editor *ed, const struct active_rules *rules, struct ipq_edit *e)
{
	const struct rewrite *answers = rewrite_of_answers(ed, rules, e);
	struct edits_shared *shared = ed->shared;
	bool wanted = rules->resizes_tcp;
	struct ipq_tcp_segment s;
	int refused;

	for (unsigned i = 0; i < ed->count; i++)
		wanted |= ed->edit[i].action->type == ACTION_REWRITE;
	if (wanted)
		atomic_store_explicit(&shared->used, true, memory_order_relaxed);
	if (ipq_tcp_begin(shared->tcp, &s, e, 0, wanted ? 0 : IPQ_TCP_KNOWN_ONLY) < 0)
		return true;
	if (answers != NULL)
		expect(&s, answers);
	for (unsigned i = 0; i < ed->count; i++) {
		const struct rewrite *r = &ed->edit[i].action->rewrite;
		int places;

		if (ed->edit[i].action->type != ACTION_REWRITE)
			continue;
		expect(&s, r);
		if (r->http)
			continue;
		places = tcp_replace_text(&s, r->from, r->from_len, r->to, r->to_len, r->all, &refused);
		count_rewrite(ed, ed->edit[i].counters, places, e);
		count_rewrite(ed, ed->edit[i].counters, refused, e);
		if (ed->following.count > 0)
			count_rewrite(ed, ed->edit[i].counters, rewrite_across(ed, &s, e, r), e);
	}
	rewrite_http(ed, &s, e);
	return ipq_tcp_end(&s) != IPQ_TCP_DROP;
}

/*
 * Adjusts quotes in ICMP errors, except in errors that this machine sends: these may quote a packet before its
 * edit.
 */
static void move_quote(struct editor *ed, const struct ipq_packet *packet, struct ipq_edit *e)
{
	struct ipq_tcp_segment s;

	if (packet->hook == NF_INET_LOCAL_OUT ||
	    (packet->hook == NF_INET_POST_ROUTING && (packet->present & IPQ_HAS_INDEV) == 0))
		return;
	if (ipq_tcp_begin(ed->shared->tcp, &s, e, 0, IPQ_TCP_KNOWN_ONLY) == 0)
		ipq_tcp_end(&s);
}

/* Makes the rewrites. False: drop the packet; its sender will retransmit it. */
static bool rewrite(struct editor *ed, struct worker *w, const struct active_rules *rules,
		    const struct ipq_packet *packet, struct ipq_edit *e)
{
	if (edits_passed_before(ed->shared, w, rules, packet, e->protocol))
		return true;
	if (e->protocol == IPPROTO_TCP)
		return rewrite_tcp(ed, rules, e);
	move_quote(ed, packet, e);
	for (unsigned i = 0; i < ed->count; i++) {
		const struct action *a = ed->edit[i].action;

		if (a->type == ACTION_REWRITE && !a->rewrite.http)
			count_rewrite(ed, ed->edit[i].counters, rewrite_plain(e, &a->rewrite), e);
	}
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

static void edit_header(struct editor *ed, struct ipq_edit *e, const struct action *a,
			struct counters *counters)
{
	int err = a->type == ACTION_SET ? set_field(e, a) : ipq_edit_clear_tcp_option(e, (uint8_t)a->number);

	/* If the packet has no such option, no change is needed. */
	if (err == 0)
		counters_add(&counters->places, 1);
	else if (a->type == ACTION_SET || (err != -ENOENT && err != -EPROTONOSUPPORT))
		count_not_edited(ed, counters, e->reason);
}

static void edit_headers(struct editor *ed, struct ipq_edit *e, enum action_type type)
{
	for (unsigned i = 0; i < ed->count; i++)
		if (ed->edit[i].action->type == type)
			edit_header(ed, e, ed->edit[i].action, ed->edit[i].counters);
}

/* ---- MTU --------------------------------------------------------------------------------------- */

static uint32_t mtu_of(struct editor *ed, struct worker *w, uint32_t index)
{
	struct ifreq request = { .ifr_name = "" };

	if (ed->mtu_index == index && w->now - ed->mtu_time < 1000000000)
		return ed->mtu;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%.15s",
		 ipq_queue_interface(w->queue, index, NULL));
	ed->mtu = ioctl(ed->shared->mtu_socket, SIOCGIFMTU, &request) == 0 ? (uint32_t)request.ifr_mtu : 0;
	ed->mtu_index = index;
	ed->mtu_time = w->now;
	return ed->mtu;
}

static void count_growth(struct editor *ed, struct worker *w, const struct ipq_packet *packet, uint32_t len)
{
	uint32_t mtu;

	if (ed->shared->mtu_socket < 0 || (packet->present & IPQ_HAS_OUTDEV) == 0 ||
	    len <= packet->payload_len)
		return;
	mtu = mtu_of(ed, w, packet->outdev);
	if (packet->payload_len <= mtu && len > mtu)
		atomic_fetch_add_explicit(&ed->shared->beyond_mtu, 1, memory_order_relaxed);
}

/* ---- all edits of a packet -------------------------------------------------------------------------- */

static void count_all_not_edited(struct editor *ed, unsigned reason)
{
	for (unsigned i = 0; i < ed->count; i++)
		count_not_edited(ed, ed->edit[i].counters, reason);
}

/*
 * If only the first bytes of a packet are present, its text is not rewritten, but its sequence numbers are
 * adjusted.
 */
static void refuse_rewrites(struct editor *ed)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ed->count; i++)
		if (ed->edit[i].action->type == ACTION_REWRITE)
			count_not_edited(ed, ed->edit[i].counters, IPQ_EDIT_REASON_CUT);
		else
			ed->edit[n++] = ed->edit[i];
	ed->count = n;
}

int edits_apply(struct editor *ed, struct worker *w, const struct active_rules *rules,
		const struct ipq_packet *packet, struct ipq_edit *e)
{
	size_t room = w->session->virtual_time ? PACKET_MAX : VERDICT_MAX, len;
	uint32_t flags = packet->flags;

	if (ed->count == 0 && !rules->resizes_tcp &&
	    !atomic_load_explicit(&ed->shared->used, memory_order_relaxed))
		return 0;
	if ((packet->present & IPQ_HAS_PAYLOAD) == 0 || packet->payload_len > room) {
		count_all_not_edited(ed, IPQ_EDIT_REASON_ROOM);
		return 0;
	}
	memcpy(ed->edited, packet->payload, packet->payload_len);
	if (w->session->virtual_time && (flags & IPQ_PACKET_TRUNCATED) != 0)
		flags |= IPQ_EDIT_CUT;
	if (ipq_edit_begin(e, ed->edited, packet->payload_len, room, flags) < 0) {
		count_all_not_edited(ed, e->reason);
		return 0;
	}
	if ((e->flags & IPQ_EDIT_CUT) != 0)
		refuse_rewrites(ed);
	len = e->len; /* bytes after the end of the packet are already removed: this alone is no change of the packet */
	edit_headers(ed, e, ACTION_STRIP);
	if (!rewrite(ed, w, rules, packet, e))
		return -1;
	edit_headers(ed, e, ACTION_SET);
	count_growth(ed, w, packet, e->len);
	return e->len != len || memcmp(e->data, packet->payload, e->len) != 0;
}
