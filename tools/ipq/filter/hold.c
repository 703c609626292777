/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <netinet/in.h>
#include "filter/hold.h"
#include "util/bytes.h"

/* ---- segments ------------------------------------------------------------------------------------ */

bool segment_read(struct segment *s, const struct ipq_packet *packet)
{
	struct direction *d = &s->direction;
	const uint8_t *p, *addresses;

	if ((packet->present & IPQ_HAS_PAYLOAD) == 0 || packet->payload_len < packet->full_len ||
	    ipq_edit_begin(&s->e, (void *)(uintptr_t)packet->payload, packet->payload_len,
			   packet->payload_len, packet->flags) < 0 ||
	    s->e.protocol != IPPROTO_TCP || s->e.transport_error < 0 ||
	    (s->e.flags & (IPQ_EDIT_FRAGMENT | IPQ_EDIT_AUTHENTICATED)) != 0)
		return false;
	p = s->e.data + s->e.transport;
	addresses = s->e.data + (s->e.version == 4 ? 12 : 8);
	*d = (struct direction){ .version = s->e.version, .hook = packet->hook };
	memcpy(d->ports, p, sizeof(d->ports));
	memcpy(d->addresses, addresses, s->e.version == 4 ? 8 : 32);
	s->sequence = get32(p + 4);
	s->flags = p[13];
	s->end = s->sequence + ((s->flags & IPQ_TCP_SYN) != 0) + s->e.payload_len;
	return true;
}

static bool same_direction(const struct direction *a, const struct direction *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

bool segment_delivers(const struct segment *s)
{
	return s->e.payload_len > 0 || (s->flags & (IPQ_TCP_SYN | IPQ_TCP_FIN | IPQ_TCP_RST)) != 0;
}

/* ---- packets ------------------------------------------------------------------------------------- */

int hold_add(struct hold *h, const struct ipq_packet *packet, int64_t now)
{
	struct ipq_packet *kept;

	if (h->count == HOLD_PACKETS || h->bytes + packet->payload_len > HOLD_BYTES)
		return -ENOBUFS;
	kept = ipq_packet_keep(packet);
	if (kept == NULL)
		return -ENOMEM;
	h->bytes += kept->payload_len;
	h->held[h->count++] = (struct held){ kept, now };
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

int hold_find(const struct hold *h, const struct direction *d, struct segment *first)
{
	struct segment s;
	int found = -1;

	for (unsigned i = 0; i < h->count; i++) {
		if (!segment_read(&s, h->held[i].packet) || !same_direction(&s.direction, d) ||
		    (found >= 0 && !tcp_before(s.sequence, first->sequence)))
			continue;
		*first = s;
		found = (int)i;
	}
	return found;
}

/* A held packet with text that goes on where the text up to `end` ends. */
static bool find_next(const struct hold *h, unsigned i, const struct direction *d, uint32_t end,
		      struct segment *found)
{
	for (unsigned j = 0; j < h->count; j++)
		if (j != i && segment_read(found, h->held[j].packet) &&
		    same_direction(&found->direction, d) &&
		    (found->flags & (IPQ_TCP_SYN | IPQ_TCP_RST)) == 0 && tcp_before(end, found->end) &&
		    !tcp_before(end, found->sequence))
			return true;
	return false;
}

void hold_following(const struct hold *h, unsigned i, const struct segment *s, struct following *next)
{
	uint32_t end = s->end;
	struct segment other;

	next->count = 0;
	next->ended = (s->flags & (IPQ_TCP_FIN | IPQ_TCP_RST)) != 0;
	while (!next->ended && find_next(h, i, &s->direction, end, &other)) {
		next->part[next->count].bytes = other.e.data + other.e.payload + (end - other.sequence);
		next->part[next->count++].len = other.end - end;
		end = other.end;
		next->ended = (other.flags & IPQ_TCP_FIN) != 0 || next->count == TCP_ACROSS_MAX - 1;
	}
}

void hold_free(struct hold *h)
{
	while (h->count > 0)
		ipq_packet_free(hold_take(h, h->count - 1));
}
