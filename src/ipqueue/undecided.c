/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copies of the packets that have no verdict (engine_options.keep): first the packets that were offered to the
 * owner of their family, then the packets for which the owner has no room. When the owner ends, all of them are
 * offered to the next owner, in the same order and with the same ids, before any newer packet.
 *
 * Invariant: a family's list is in the order of arrival. The packets before f->again are in the waiting set; f->again
 * and those after it are to be offered. While there are some, a newer packet goes to the end of the list.
 */
#include <stdlib.h>
#include <string.h>
#include "ipqueue/state.h"

struct undecided {
	struct undecided *next, *prev; /* neighbours in the order of arrival */
	struct undecided *chain;       /* next copy in the same bucket */
	bool offered;		       /* the packet was sent to an owner */
	struct ipq_packet packet;
	unsigned char payload[];
};

static struct undecided **bucket(struct family *f, uint32_t id)
{
	struct undecided **at = &f->bucket[id % BUCKETS];

	while (*at != NULL && (*at)->packet.id != id)
		at = &(*at)->chain;
	return at;
}

/* If there is no memory for a copy, the packet is dropped when its client ends. */
bool undecided_add(struct engine *e, struct family *f, const struct ipq_packet *p, bool offered)
{
	struct undecided **at = bucket(f, p->id), *u;
	size_t len = (p->present & IPQ_HAS_PAYLOAD) != 0 ? p->payload_len : 0;

	if (!e->keep || *at != NULL)
		return *at != NULL;
	u = malloc(sizeof(*u) + len);
	if (u == NULL)
		return false;
	*u = (struct undecided){ .packet = *p, .prev = f->newest, .offered = offered };
	u->packet.payload = u->payload;
	/* Clear these pointers, which refer to the slot. A message to a client contains none of the fields. */
	u->packet.link_header = NULL;
	u->packet.security_context = NULL;
	u->packet.conntrack = u->packet.expectation = NULL;
	if (len > 0)
		memcpy(u->payload, p->payload, len);
	*at = u;
	if (f->newest != NULL)
		f->newest->next = u;
	else
		f->oldest = u;
	f->newest = u;
	if (!offered && f->again == NULL)
		f->again = u;
	f->kept++;
	f->kept_bytes += len;
	return true;
}

bool undecided_remove(struct family *f, uint32_t id)
{
	struct undecided **at, *u;

	if (f->kept == 0)
		return false;
	at = bucket(f, id);
	u = *at;
	if (u == NULL)
		return false;
	*at = u->chain;
	if (f->again == u)
		f->again = u->next;
	if (u->prev != NULL)
		u->prev->next = u->next;
	else
		f->oldest = u->next;
	if (u->next != NULL)
		u->next->prev = u->prev;
	else
		f->newest = u->prev;
	f->kept--;
	f->kept_bytes -= (u->packet.present & IPQ_HAS_PAYLOAD) != 0 ? u->packet.payload_len : 0;
	free(u);
	return true;
}

bool undecided_has(struct family *f, uint32_t id)
{
	return *bucket(f, id) != NULL;
}

bool undecided_offered(struct engine *e, struct family *f, const struct ipq_packet *p)
{
	struct undecided *u = *bucket(f, p->id);
	bool first = u == NULL || !u->offered;

	if (u == NULL) {
		undecided_add(e, f, p, true);
		return first;
	}
	u->offered = true;
	if (f->again == u)
		f->again = u->next;
	return first;
}

void undecided_offer_again(struct family *f)
{
	f->again = f->oldest;
}

/*
 * Whether the family's packets wait for an owner: either for the first one (for a moment), or for the successor of
 * one that has ended.
 */
static bool awaits_owner(const struct family *f)
{
	return f->peer_pid == 0 ? !f->owner_decided : f->mode == COPY_NONE && f->last_mode != COPY_NONE;
}

void undecided_store(struct engine *e)
{
	for (unsigned i = 0; e->keep && i < e->received; i++) {
		struct family *f = engine_family(e, e->packet[i].family);

		if (f != NULL && !e->done[i] && (f->again != NULL || awaits_owner(f)))
			e->done[i] = undecided_add(e, f, &e->packet[i], false);
	}
}

/* The number of the family's packets that engine_deliver() can deliver or drop now. */
static unsigned room(const struct engine *e, const struct family *f)
{
	const struct family *other = &e->family[f == &e->family[0]];

	if (awaits_owner(f)) /* the other family has its owner: start the timer now */
		return f->peer_pid == 0 && other->peer_pid != 0 && other->mode != COPY_NONE &&
		       !e->awaiting_owner;
	if (f->owner != NULL && f->owner->blocked)
		return 0;
	if (f->peer_pid == 0 || f->waiting.count == 0)
		return BATCH;
	if (f->waiting.count >= f->queue_max)
		return 0;
	return f->queue_max - f->waiting.count < BATCH ? f->queue_max - (unsigned)f->waiting.count : BATCH;
}

bool undecided_can_offer(const struct engine *e)
{
	return (e->family[0].again != NULL && room(e, &e->family[0]) > 0) ||
	       (e->family[1].again != NULL && room(e, &e->family[1]) > 0);
}

unsigned undecided_take(struct engine *e)
{
	unsigned n = 0, end;

	for (struct family *f = e->family; f < e->family + 2; f++) {
		end = n + room(e, f);
		for (struct undecided *u = f->again; u != NULL && n < end && n < BATCH; u = u->next)
			e->packet[n++] = u->packet;
	}
	return n;
}

bool undecided_are_left(const struct engine *e)
{
	return e->family[0].again != NULL || e->family[1].again != NULL;
}

bool undecided_have_room(const struct engine *e)
{
	return e->family[0].kept + e->family[1].kept < KEEP_PACKETS &&
	       e->family[0].kept_bytes + e->family[1].kept_bytes < KEEP_BYTES;
}

void undecided_free(struct family *f)
{
	struct undecided *u;

	while ((u = f->oldest) != NULL) {
		f->oldest = u->next;
		free(u);
	}
}
