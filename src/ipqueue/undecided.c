/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copies of the packets that were offered and not decided (engine_options.keep). When a client ends, the next
 * owner of its family is offered them again, in the same order and under their ids, before any newer packet.
 *
 * Invariant: a family's list is in the order of arrival. The packets before f->again are in the waiting set,
 * or in e->packet[] and not done; the others wait for an owner.
 */
#include <stdlib.h>
#include <string.h>
#include "ipqueue/state.h"

struct undecided {
	struct undecided *next, *prev; /* in the order of arrival */
	struct undecided *chain;       /* of the same bucket */
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

/* A program that was killed may have left packets undecided: without memory for a copy they are dropped. */
void undecided_add(struct engine *e, struct family *f, const struct ipq_packet *p)
{
	struct undecided **at = bucket(f, p->id), *u;
	size_t len = (p->present & IPQ_HAS_PAYLOAD) != 0 ? p->payload_len : 0;

	if (!e->keep || *at != NULL)
		return;
	u = malloc(sizeof(*u) + len);
	if (u == NULL)
		return;
	*u = (struct undecided){ .packet = *p, .prev = f->newest };
	u->packet.payload = u->payload;
	/* These refer to the slot. A message to a client contains none of them. */
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
}

bool undecided_remove(struct family *f, uint32_t id)
{
	struct undecided **at = bucket(f, id), *u = *at;

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
	free(u);
	return true;
}

bool undecided_has(struct family *f, uint32_t id)
{
	return *bucket(f, id) != NULL;
}

/* Packets that are held were not offered yet, and are newer than all others. */
void undecided_offer_again(struct engine *e, struct family *f)
{
	e->held = 0;
	for (unsigned i = 0; i < e->received; i++) {
		if (!e->done[i] && e->packet[i].family == f->af) {
			undecided_add(e, f, &e->packet[i]);
			e->done[i] = undecided_has(f, e->packet[i].id);
		}
		e->held += !e->done[i];
	}
	f->again = f->oldest;
}

unsigned undecided_take(struct engine *e)
{
	unsigned n = 0;

	for (struct family *f = e->family; f < e->family + 2; f++)
		for (; f->again != NULL && n < BATCH; f->again = f->again->next)
			e->packet[n++] = f->again->packet;
	return n;
}

bool undecided_are_left(const struct engine *e)
{
	return e->family[0].again != NULL || e->family[1].again != NULL;
}

void undecided_free(struct family *f)
{
	struct undecided *u;

	while ((u = f->oldest) != NULL) {
		f->oldest = u->next;
		free(u);
	}
}
