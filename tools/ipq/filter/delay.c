/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include "filter/delay.h"

static bool earlier(const struct delayed *a, const struct delayed *b)
{
	return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void swap(struct delayed *a, struct delayed *b)
{
	struct delayed t = *a;

	*a = *b;
	*b = t;
}

/* Inserts a packet, for which there is room. */
static void insert(struct delays *d, const struct delayed *new)
{
	size_t i = d->count++;

	d->heap[i] = *new;
	for (; i > 0 && earlier(&d->heap[i], &d->heap[(i - 1) / 2]); i = (i - 1) / 2)
		swap(&d->heap[i], &d->heap[(i - 1) / 2]);
}

int delays_add(struct delays *d, int64_t due, struct ipq_packet *packet, const struct ipq_verdict *verdict,
	       void *payload)
{
	if (d->count == d->room) {
		size_t room = d->room > 0 ? d->room * 2 : 256;
		struct delayed *grown = realloc(d->heap, room * sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		d->heap = grown;
		d->room = room;
	}
	insert(d, &(struct delayed){ due, d->order++, packet, *verdict, payload });
	return 0;
}

void delays_put_back(struct delays *d, const struct delayed *last)
{
	insert(d, last);
}

static void sink(struct delays *d)
{
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < d->count && earlier(&d->heap[child + 1], &d->heap[child]))
			child++;
		if (child >= d->count || !earlier(&d->heap[child], &d->heap[i]))
			return;
		swap(&d->heap[i], &d->heap[child]);
		i = child;
	}
}

int delays_take(struct delays *d, int64_t now, struct delayed *out)
{
	if (d->count == 0 || d->heap[0].due > now)
		return 0;
	*out = d->heap[0];
	d->heap[0] = d->heap[--d->count];
	sink(d);
	return 1;
}

int ms_until(int64_t due, int64_t now)
{
	int64_t ms = (due - now + 999999) / 1000000;

	return ms < 0 ? 0 : ms > INT_MAX ? INT_MAX : (int)ms;
}

int delays_timeout(const struct delays *d, int64_t now)
{
	return d->count == 0 ? -1 : ms_until(d->heap[0].due, now);
}

void delays_free(struct delays *d)
{
	for (size_t i = 0; i < d->count; i++) {
		ipq_packet_free(d->heap[i].packet);
		free(d->heap[i].payload);
	}
	free(d->heap);
	*d = (struct delays){ .heap = NULL };
}
