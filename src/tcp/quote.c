// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Changes ICMP errors, which quote the segment that caused them in its form after the edit. The sender of the segment
 * would ignore an error about numbers that it has not sent, and would not learn the MTU of a path, for example.
 */
#include <netinet/in.h>

#include "tcp/tcp.h"
#include "util/ip.h"

enum { QUOTED_MIN = 8, QUOTED_ACKNOWLEDGEMENT = 12 };

static bool is_error(const struct ipq_edit *e)
{
	uint8_t type;

	if (e->transport_error || e->flags & (IPQ_EDIT_AUTHENTICATED | IPQ_EDIT_FRAGMENT))
		return false;
	type = e->data[e->transport];
	if (e->version == 4)
		return e->protocol == IPPROTO_ICMP && (type == 3 || type == 4 || type == 11 || type == 12);
	return e->protocol == IPPROTO_ICMPV6 && type < 128;
}

static void move_number(struct ipq_edit *e, size_t at, uint32_t number)
{
	uint8_t bytes[4];

	put32(bytes, number);
	edit_write(e, at, bytes, sizeof(bytes));
}

/* Changes the numbers in a quoted TCP header. It begins at `tcp`, and len bytes of it are present. */
static void move_numbers(const struct ipq_tcp *t, const struct tcp_flow *f, unsigned side, struct ipq_edit *e,
			 size_t tcp, size_t len)
{
	const struct tcp_log *log = &f->direction[side].log, *other = &f->direction[!side].log;
	uint32_t sequence = get32(e->data + tcp + 4);

	move_number(e, tcp + 4,
		    t->recorded ? tcp_log_map(log, sequence, true) : tcp_log_unmap(log, sequence, false));
	if (len >= QUOTED_ACKNOWLEDGEMENT)
		move_number(e, tcp + 8, tcp_log_map(other, get32(e->data + tcp + 8), true));
}

bool tcp_move_quote(const struct ipq_tcp *t, struct ipq_edit *e, uint32_t zone)
{
	const uint8_t *quote = e->data + e->payload;
	struct tcp_shard *shard;
	struct ip_headers h;
	struct tcp_flow *f;
	struct tcp_key key;
	unsigned side;
	uint64_t hash;

	if (!is_error(e))
		return false;
	ip_begin(&h, quote, e->payload_len);
	ip_skip_all(&h, quote, e->payload_len);
	if (h.version != e->version || h.protocol != IPPROTO_TCP || h.later_fragment || h.cut ||
	    h.transport < 20 || h.transport > e->payload_len || e->payload_len - h.transport < QUOTED_MIN)
		return false;
	side = tcp_make_key(&key, h.version, quote + h.address, quote + h.transport, zone);
	hash = tcp_hash(t, &key);
	shard = tcp_shard_of(t, hash);
	if (pthread_mutex_lock(&shard->lock))
		return false;
	f = tcp_find_quoted(t, shard, &key, hash, side, get32(quote + h.transport + 4));
	if (f)
		move_numbers(t, f, side, e, e->payload + h.transport, e->payload_len - h.transport);
	pthread_mutex_unlock(&shard->lock);
	return f;
}
