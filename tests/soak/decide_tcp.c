// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The reader's decisions on TCP: most segments are accepted, some dropped or repeated. One byte in 4096 to the
 * server is changed; the positions are the same in retransmissions.
 */
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <netinet/tcp.h>
#include <string.h>
#include <ipq_edit.h>
#include "soak.h"

static uint8_t scratch[65536];

static const struct tcphdr *tcp_of(const struct ipq_edit *e)
{
	return (const struct tcphdr *)(e->data + e->transport);
}

static int change(struct ipq_edit *e, uint32_t offset)
{
	uint32_t first = (XOR_EVERY + XOR_AT - offset % XOR_EVERY) % XOR_EVERY;

	for (uint32_t at = first; at < e->payload_len; at += XOR_EVERY) {
		uint8_t byte = e->data[e->payload + at] ^ 0x55;

		if (ipq_edit_replace(e, at, 1, &byte, 1) < 0)
			return -1;
	}
	return first < e->payload_len;
}

static void accept_changed(struct ipq_edit *e, const struct look *l, struct action *a)
{
	const struct tcphdr *tcp = tcp_of(e);
	uint32_t *isn = &S->isn[e->version == 6][ntohs(tcp->source)];
	int changed;

	if (tcp->syn && !tcp->ack)
		*isn = ntohl(tcp->seq);
	if (e->payload_len == 0)
		return;
	changed = change(e, ntohl(tcp->seq) - *isn - 1);
	if (changed < 0)
		violation("packet %lu cannot be edited", l->id);
	if (changed <= 0)
		return;
	a->payload = scratch;
	a->len = e->len;
}

void decide_tcp(const struct look *l, struct action *a)
{
	static uint64_t random = 1;
	struct ipq_edit e;

	random = scramble(random ^ S->seed);
	if (l->len > sizeof(scratch) || l->len == 0) {
		violation("packet %lu has %zu bytes", l->id, l->len);
		return;
	}
	memcpy(scratch, l->payload, l->len);
	if (ipq_edit_begin(&e, scratch, l->len, sizeof(scratch), l->flags) < 0 || e.transport_error < 0) {
		violation("packet %lu is no TCP", l->id);
	} else if (random % 512 == 0) {
		a->code = NF_DROP;
	} else if (random % 64 == 1) {
		a->code = NF_REPEAT;
		S->repeats++;
	} else {
		accept_changed(&e, l, a);
	}
}
