/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <netinet/in.h>
#include "filter/hold.h"
#include "util/bytes.h"

/* ---- segments ------------------------------------------------------------------------------------ */

static uint32_t sum_direction(const struct direction *d)
{
	uint32_t sum = 0, word;

	for (size_t i = 0; i < sizeof(d->addresses); i += sizeof(word)) {
		memcpy(&word, d->addresses + i, sizeof(word));
		sum = sum * 31 + word;
	}
	memcpy(&word, d->ports, sizeof(word));
	return sum * 31 + word;
}

bool segment_read(struct segment *s, const struct ipq_packet *packet)
{
	struct direction *d = &s->direction;
	const uint8_t *p, *addresses;
	struct ipq_edit e; /* this edit is used only for reading */

	if ((packet->present & IPQ_HAS_PAYLOAD) == 0 || packet->payload_len < packet->full_len ||
	    ipq_edit_begin(&e, (void *)(uintptr_t)packet->payload, packet->payload_len, packet->payload_len,
			   packet->flags) < 0 ||
	    e.protocol != IPPROTO_TCP || e.transport_error < 0 ||
	    (e.flags & (IPQ_EDIT_FRAGMENT | IPQ_EDIT_AUTHENTICATED)) != 0)
		return false;
	p = e.data + e.transport;
	addresses = e.data + (e.version == 4 ? 12 : 8);
	*d = (struct direction){ .version = e.version, .hook = packet->hook };
	memcpy(d->ports, p, sizeof(d->ports));
	memcpy(d->addresses, addresses, e.version == 4 ? 8 : 32);
	d->sum = sum_direction(d);
	s->payload = e.data + e.payload;
	s->payload_len = e.payload_len;
	s->sequence = get32(p + 4);
	s->flags = p[13];
	s->end = s->sequence + ((s->flags & IPQ_TCP_SYN) != 0) + s->payload_len;
	return true;
}

static bool same_direction(const struct direction *a, const struct direction *b)
{
	return a->sum == b->sum && memcmp(a, b, sizeof(*a)) == 0;
}

bool segment_delivers(const struct segment *s)
{
	return s->payload_len > 0 || (s->flags & (IPQ_TCP_SYN | IPQ_TCP_FIN | IPQ_TCP_RST)) != 0;
}

/* ---- packets ------------------------------------------------------------------------------------- */

int hold_add(struct hold *h, const struct ipq_packet *packet, const struct segment *s, int64_t now)
{
	struct held *held = &h->held[h->count];

	if (h->count == HOLD_PACKETS || h->bytes + packet->payload_len > HOLD_BYTES)
		return -ENOBUFS;
	held->packet = ipq_packet_keep(packet);
	if (held->packet == NULL)
		return -ENOMEM;
	held->since = now;
	held->parsed = s != NULL;
	if (s != NULL) {
		held->segment = *s;
		held->segment.payload = (const uint8_t *)held->packet->payload +
					(s->payload - (const uint8_t *)packet->payload);
	}
	h->bytes += packet->payload_len;
	h->count++;
	return 0;
}

struct ipq_packet *hold_take(struct hold *h, unsigned i)
{
	struct ipq_packet *packet = h->held[i].packet;

	h->bytes -= packet->payload_len;
	h->count--;
	memmove(&h->held[i], &h->held[i + 1], (h->count - i) * sizeof(h->held[0]));
	return packet;
}

static const struct segment *held_segment(const struct hold *h, unsigned i, const struct direction *d)
{
	const struct held *held = &h->held[i];

	return held->parsed && same_direction(&held->segment.direction, d) ? &held->segment : NULL;
}

int hold_find(const struct hold *h, const struct direction *d)
{
	int found = -1;

	for (unsigned i = 0; i < h->count; i++) {
		const struct segment *s = held_segment(h, i, d);

		if (s != NULL && (found < 0 || tcp_before(s->sequence, h->held[found].segment.sequence)))
			found = (int)i;
	}
	return found;
}

/* A held packet whose text continues after `end`, or NULL. */
static const struct segment *find_next(const struct hold *h, unsigned i, uint32_t end)
{
	for (unsigned j = 0; j < h->count; j++) {
		const struct segment *s = held_segment(h, j, &h->held[i].segment.direction);

		if (s != NULL && j != i && (s->flags & (IPQ_TCP_SYN | IPQ_TCP_RST)) == 0 &&
		    tcp_before(end, s->end) && !tcp_before(end, s->sequence))
			return s;
	}
	return NULL;
}

void hold_following(const struct hold *h, unsigned i, struct following *next)
{
	const struct segment *s = &h->held[i].segment, *other;
	uint32_t end = s->end;

	next->count = 0;
	next->ended = (s->flags & (IPQ_TCP_FIN | IPQ_TCP_RST)) != 0;
	while (!next->ended && (other = find_next(h, i, end)) != NULL) {
		next->part[next->count].bytes = other->payload + (end - other->sequence);
		next->part[next->count++].len = other->end - end;
		end = other->end;
		next->ended = (other->flags & IPQ_TCP_FIN) != 0 || next->count == TCP_ACROSS_MAX - 1;
	}
}

void hold_free(struct hold *h)
{
	while (h->count > 0)
		ipq_packet_free(hold_take(h, h->count - 1));
}
