/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include "ipqueue/idmap.h"

/* Ours count up. Theirs are aligned addresses: what differs is in the middle. */
static size_t ours_bucket(uint32_t ours)
{
	return ours % IDMAP_BUCKETS;
}

static size_t theirs_bucket(uint64_t theirs)
{
	return (size_t)((theirs * 0x9e3779b97f4a7c15u) >> 52) % IDMAP_BUCKETS;
}

static struct idmap_entry *find_theirs(const struct idmap *m, uint64_t theirs)
{
	struct idmap_entry *e = m->by_theirs[theirs_bucket(theirs)];

	while (e != NULL && e->theirs != theirs)
		e = e->next_by_theirs;
	return e;
}

struct idmap_entry *idmap_find(const struct idmap *m, uint32_t ours)
{
	struct idmap_entry *e = m->by_ours[ours_bucket(ours)];

	while (e != NULL && e->ours != ours)
		e = e->next_by_ours;
	return e;
}

static struct idmap_entry *new_entry(struct idmap *m)
{
	struct idmap_entry *e = m->unused;

	if (e == NULL)
		return malloc(sizeof(*e));
	m->unused = e->next;
	return e;
}

struct idmap_entry *idmap_add(struct idmap *m, uint64_t theirs)
{
	struct idmap_entry *e = find_theirs(m, theirs), **bucket;

	if (e != NULL)
		idmap_remove(m, e);
	e = new_entry(m);
	if (e == NULL)
		return NULL;
	*e = (struct idmap_entry){ .theirs = theirs, .ours = ++m->last_ours, .previous = m->last };
	*(m->last != NULL ? &m->last->next : &m->first) = e;
	m->last = e;
	bucket = &m->by_ours[ours_bucket(e->ours)];
	e->next_by_ours = *bucket;
	*bucket = e;
	bucket = &m->by_theirs[theirs_bucket(theirs)];
	e->next_by_theirs = *bucket;
	*bucket = e;
	m->count++;
	return e;
}

void idmap_remove(struct idmap *m, struct idmap_entry *e)
{
	struct idmap_entry **at;

	for (at = &m->by_ours[ours_bucket(e->ours)]; *at != e; at = &(*at)->next_by_ours)
		;
	*at = e->next_by_ours;
	for (at = &m->by_theirs[theirs_bucket(e->theirs)]; *at != e; at = &(*at)->next_by_theirs)
		;
	*at = e->next_by_theirs;
	*(e->previous != NULL ? &e->previous->next : &m->first) = e->next;
	*(e->next != NULL ? &e->next->previous : &m->last) = e->previous;
	e->next = m->unused;
	m->unused = e;
	m->count--;
}

static void free_list(struct idmap_entry *e)
{
	struct idmap_entry *next;

	for (; e != NULL; e = next) {
		next = e->next;
		free(e);
	}
}

void idmap_free(struct idmap *m)
{
	free_list(m->first);
	free_list(m->unused);
	*m = (struct idmap){ 0 };
}
