/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "core/verdicts.h"
#include "util/compiler.h"

enum { PENDING, DECIDED, SENT };

void verdicts_free(struct verdicts *v)
{
	free(v->id);
	free(v->state);
	free(v->log);
	free(v->extra);
	memset(v, 0, sizeof(*v));
}

static uint32_t slot(const struct verdicts *v, uint32_t position)
{
	return position & (v->room - 1);
}

static bool after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

/* Compares ids by their distance from the oldest id, because the ids in the ring may wrap at 32 bits. */
__noinline static uint32_t search(const struct verdicts *v, uint32_t id)
{
	uint32_t oldest = v->id[slot(v, v->head)], low = v->head, high = v->tail;

	while (low != high) {
		uint32_t mid = low + (high - low) / 2;

		if (id - oldest > v->id[slot(v, mid)] - oldest)
			low = mid + 1;
		else
			high = mid;
	}
	return low != v->tail && v->id[slot(v, low)] == id ? low : v->tail;
}

/*
 * The position of id, or tail if it is not in the ring. The newest ids mostly have no gaps: then the first guess is
 * right.
 */
static uint32_t find(const struct verdicts *v, uint32_t id)
{
	uint32_t guess;

	if (v->head == v->tail)
		return v->tail;
	guess = v->tail - 1 - (v->id[slot(v, v->tail - 1)] - id);
	if (guess - v->head < v->tail - v->head && v->id[slot(v, guess)] == id)
		return guess;
	return search(v, id);
}

/*
 * Makes room in a full ring: moves all entries to a new ring, except packets whose verdict was sent. There are many
 * such packets if one packet waits for a long time. The new ring is larger only if more than half of the old one is
 * needed, so its size depends only on the number of waiting packets.
 */
__cold static int renew_ring(struct verdicts *v)
{
	uint64_t needed = v->waiting + v->count;
	uint32_t room = v->room == 0 ? 256 : needed > v->room / 2 ? 2 * v->room : v->room, from, to = v->head;
	uint32_t *id = malloc(room * sizeof(*id));
	uint8_t *state = malloc(room * sizeof(*state));
	size_t i;

	if (id == NULL || state == NULL) {
		free(id);
		free(state);
		return -ENOMEM;
	}
	for (from = v->head; from != v->tail; from++) {
		if (v->state[slot(v, from)] == SENT)
			continue;
		id[to & (room - 1)] = v->id[slot(v, from)];
		state[to++ & (room - 1)] = v->state[slot(v, from)];
	}
	free(v->id);
	free(v->state);
	v->id = id;
	v->state = state;
	v->room = room;
	v->tail = to;
	for (i = v->first; i < v->first + v->count; i++)
		v->log[i].at = find(v, v->log[i].id);
	return 0;
}

/* Moves the entries with a later id up by one. Returns the free position. */
__cold static uint32_t insert_slot(struct verdicts *v, uint32_t id)
{
	uint32_t at;
	size_t i;

	for (at = v->tail; at != v->head && after(v->id[slot(v, at - 1)], id); at--) {
		v->id[slot(v, at)] = v->id[slot(v, at - 1)];
		v->state[slot(v, at)] = v->state[slot(v, at - 1)];
	}
	for (i = v->first; i < v->first + v->count; i++)
		v->log[i].at += !after(at, v->log[i].at);
	return at;
}

int verdicts_add_pending(struct verdicts *v, uint32_t id)
{
	uint32_t at;

	if (v->tail - v->head == v->room && renew_ring(v) < 0)
		return -ENOMEM;
	at = v->tail;
	/*
	 * Ids arrive in order, except those of packets that were deferred while the queue was reconfigured.
	 */
	if (at != v->head && after(v->id[slot(v, at - 1)], id))
		at = insert_slot(v, id);
	v->id[slot(v, at)] = id;
	v->state[slot(v, at)] = PENDING;
	v->tail++;
	v->waiting++;
	return 0;
}

static void *grow(void *array, size_t count, size_t *room, size_t size)
{
	size_t more = *room != 0 ? 2 * *room : 64;

	if (count < *room)
		return array;
	array = realloc(array, more * size);
	if (array != NULL)
		*room = more;
	return array;
}

/*
 * Makes room for one more entry in the log: at the front, if half of the log or more has been sent, else by enlarging
 * it.
 */
__cold static int make_room(struct verdicts *v)
{
	struct pending *grown;

	if (v->first > 0 && v->first >= v->log_room / 2) {
		memmove(v->log, v->log + v->first, v->count * sizeof(*v->log));
		v->first = 0;
		return 0;
	}
	grown = grow(v->log, v->first + v->count, &v->log_room, sizeof(*v->log));
	if (grown == NULL)
		return -ENOMEM;
	v->log = grown;
	return 0;
}

/* Stores a verdict in extra[]. Returns its index, or -ENOMEM. */
__noinline static int keep_extra(struct verdicts *v, const struct source_verdict *extra)
{
	struct source_verdict *grown = grow(v->extra, v->extra_count, &v->extra_room, sizeof(*v->extra));

	if (grown == NULL)
		return -ENOMEM;
	v->extra = grown;
	v->extra[v->extra_count] = *extra;
	return (int)v->extra_count++;
}

bool verdicts_is_pending(const struct verdicts *v, uint32_t id)
{
	uint32_t at = find(v, id);

	return at != v->tail && v->state[slot(v, at)] == PENDING;
}

int verdicts_set(struct verdicts *v, uint32_t id, uint32_t code, const struct source_verdict *extra)
{
	uint32_t at = find(v, id);
	uint32_t mark = 0;
	int32_t index = VERDICT_BARE;

	if (at == v->tail || v->state[slot(v, at)] != PENDING)
		return -ENOENT;
	if (v->first + v->count == v->log_room && make_room(v) < 0)
		return -ENOMEM;
	if (extra != NULL && extra->present == IPQ_SET_MARK) {
		index = VERDICT_MARK;
		mark = extra->mark;
	} else if (extra != NULL) {
		index = keep_extra(v, extra);
		if (index < 0)
			return index;
	}
	v->log[v->first + v->count++] = (struct pending){ at, id, code, index, mark };
	v->state[slot(v, at)] = DECIDED;
	v->waiting--;
	return 0;
}

/* The first position, starting at `at`, that is not SENT. */
static uint32_t next_live(const struct verdicts *v, uint32_t at)
{
	while (at != v->tail && v->state[slot(v, at)] == SENT)
		at++;
	return at;
}

/*
 * The number of verdicts from first to end that are equal and belong to exactly the oldest waiting packets, in
 * order. The kernel compares ids as signed distances, so a run must span less than half of all ids.
 */
static size_t run_length(const struct verdicts *v, const struct pending *first, const struct pending *end,
			 uint32_t oldest)
{
	const struct pending *p = first;

	if (v->unknown_pending || p->extra >= 0)
		return 1;
	while (p < end && p->at == oldest && p->code == first->code && p->extra == first->extra &&
	       p->mark == first->mark && p->id - first->id <= INT32_MAX) {
		oldest = next_live(v, oldest + 1);
		p++;
	}
	return p == first ? 1 : (size_t)(p - first);
}

static void set_state(struct verdicts *v, const struct pending *p, size_t n, uint8_t state)
{
	for (; n > 0; n--, p++)
		v->state[slot(v, p->at)] = state;
}

/* Fills in the message for one verdict. */
static inline void fill(const struct verdicts *v, const struct pending *p, struct source_verdict *out)
{
	if (p->extra >= 0)
		*out = v->extra[p->extra];
	else
		*out = (struct source_verdict){ .present = p->extra == VERDICT_MARK ? IPQ_SET_MARK : 0,
						.mark = p->mark };
	out->id = p->id;
	out->code = p->code;
}

unsigned verdicts_pack(struct verdicts *v, size_t end, struct source_verdict *out, size_t *covers,
		       unsigned max)
{
	const struct pending *log;
	uint32_t oldest = next_live(v, v->head);
	size_t done = 0, marked = 0;
	unsigned n;

	if (end == 0)
		return 0; /* there may be no log yet */
	if (end == 1) {
		fill(v, &v->log[v->first], out);
		*covers = 1;
		return 1;
	}
	log = v->log + v->first;
	for (n = 0; n < max && done < end; n++) {
		const struct pending *p = &log[done];
		size_t run = run_length(v, p, log + end, oldest);

		fill(v, p, &out[n]);
		out[n].batch = run > 1;
		out[n].id = p[run - 1].id;
		done += run;
		covers[n] = done;
		if (done < end) { /* the next run may begin at the verdict after these */
			set_state(v, p, run, SENT);
			marked = done;
			oldest = next_live(v, oldest);
		}
	}
	set_state(v, log, marked, DECIDED);
	return n;
}

void verdicts_sent(struct verdicts *v, size_t n)
{
	if (n > 0)
		set_state(v, v->log + v->first, n, SENT);
	v->first += n;
	v->count -= n;
	if (v->count == 0)
		v->first = v->extra_count = 0;
	while (v->head != v->tail && v->state[slot(v, v->head)] == SENT)
		v->head++;
}
