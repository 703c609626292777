/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packets held until their verdict. Ids are consecutive, so the hash id & mask has no collisions while few packets
 * wait.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "capture/held.h"

#define BUCKETS_MAX (1U << 16)

int held_init(struct held_store *s, uint32_t expected)
{
	uint32_t n = 64;

	while (n < expected && n < BUCKETS_MAX)
		n *= 2;
	memset(s, 0, sizeof(*s));
	s->bucket = calloc(n, sizeof(struct held *));
	if (s->bucket == NULL)
		return -ENOMEM;
	s->bucket_mask = n - 1;
	return 0;
}

void held_free(struct held_store *s)
{
	struct held *h;

	while ((h = s->waiting.first) != NULL) {
		held_decided(s, h);
		held_give_back(s, h);
	}
	while ((h = s->unused) != NULL) {
		s->unused = h->next;
		free(h);
	}
	free(s->bucket);
	s->bucket = NULL;
}

struct held *held_take(struct held_store *s, size_t len)
{
	struct held *h = s->unused;

	if (h == NULL) {
		h = malloc(sizeof(*h));
		if (h == NULL)
			return NULL;
	} else {
		s->unused = h->next;
	}
	h->next = NULL;
	h->data = h->inside;
	h->longer = NULL;
	h->longer_room = 0;
	h->marked = h->changed = false;
	h->section = NULL;
	s->in_use++;
	if (held_resize(s, h, len, 0) == 0)
		return h;
	held_give_back(s, h);
	return NULL;
}

int held_resize(struct held_store *s, struct held *h, size_t len, size_t keep)
{
	uint8_t *longer;

	if (len <= sizeof(h->inside) || len <= h->longer_room)
		return 0;
	longer = malloc(len);
	if (longer == NULL)
		return -ENOMEM;
	memcpy(longer, h->data, keep);
	free(h->longer);
	s->longer_bytes += len - h->longer_room;
	h->longer_room = len;
	h->data = h->longer = longer;
	return 0;
}

void held_give_back(struct held_store *s, struct held *h)
{
	section_release(h->section);
	s->longer_bytes -= h->longer_room;
	free(h->longer);
	h->longer = NULL;
	h->longer_room = 0;
	h->next = s->unused;
	s->unused = h;
	s->in_use--;
}

void held_list_append(struct held_list *l, struct held *h)
{
	h->next = NULL;
	h->previous = l->last;
	*(l->last != NULL ? &l->last->next : &l->first) = h;
	l->last = h;
}

void held_list_remove(struct held_list *l, struct held *h)
{
	*(h->previous != NULL ? &h->previous->next : &l->first) = h->next;
	*(h->next != NULL ? &h->next->previous : &l->last) = h->previous;
	h->next = h->previous = NULL;
}

void held_wait(struct held_store *s, struct held *h, uint32_t id)
{
	struct held **bucket = &s->bucket[id & s->bucket_mask];

	h->id = id;
	h->next_in_bucket = *bucket;
	*bucket = h;
	held_list_append(&s->waiting, h);
	s->waiting_count++;
}

struct held *held_find(const struct held_store *s, uint32_t id)
{
	struct held *h = s->waiting_count > 0 ? s->bucket[id & s->bucket_mask] : NULL;

	while (h != NULL && h->id != id)
		h = h->next_in_bucket;
	return h;
}

void held_decided(struct held_store *s, struct held *h)
{
	struct held **at = &s->bucket[h->id & s->bucket_mask];

	while (*at != h)
		at = &(*at)->next_in_bucket;
	*at = h->next_in_bucket;
	held_list_remove(&s->waiting, h);
	s->waiting_count--;
}
