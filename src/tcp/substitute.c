// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Replaces every occurrence of a text in a segment.
 *
 * A hostile segment may contain the text 1,400 times. So ipq_tcp_replace() handles one occurrence, and a loop in
 * this file handles the following ones that get the same result.
 */
#include <errno.h>

#include "tcp/across.h"
#include "tcp/tcp.h"

#define MANY 1024
#define PIECE 2048

struct text {
	const uint8_t *old, *new;
	size_t old_len, new_len;
};

static size_t search(const uint8_t *p, size_t at, size_t end, const struct text *t)
{
	const uint8_t *found = NULL;

	if (end - at >= t->old_len)
		found = t->old_len == 1 ? memchr(p + at, *t->old, end - at)
					: memmem(p + at, end - at, t->old, t->old_len);
	return found ? (size_t)(found - p) : end;
}

/*
 * Returns the next occurrence in [at, end), or end. If a segment has many occurrences, the next one is often at
 * `at` itself.
 */
static inline size_t find(const uint8_t *p, size_t at, size_t end, const struct text *t)
{
	if (end - at >= t->old_len && tcp_same_text(p + at, t->old, t->old_len))
		return at;
	return search(p, at, end, t);
}

/* Called when there is no occurrence in [at, end). Returns where the next one may begin. */
static size_t beyond(size_t at, size_t end, const struct text *t)
{
	return end - at < t->old_len ? at : end - t->old_len + 1;
}

static struct tcp_direction *direction_of(const struct ipq_tcp_segment *s)
{
	return &((struct tcp_flow *)s->connection)->direction[s->side];
}

/* The gap that contains this number, or NULL. */
static const struct tcp_range *gap_at(const struct tcp_direction *d, uint32_t number)
{
	for (unsigned i = 0; i < d->gaps; i++)
		if (!before(number, d->gap[i].begin) && before(number, d->gap[i].end))
			return &d->gap[i];
	return NULL;
}

/* The first position from `at` on whose bytes were not sent before, or can still be replaced. */
static size_t skip_sent(const struct ipq_tcp_segment *s, size_t at, bool same_len)
{
	const struct tcp_direction *d = direction_of(s);
	uint32_t begin = s->text + (uint32_t)at, next = s->fresh;

	if (!before(begin, s->fresh) || gap_at(d, begin))
		return at;
	for (unsigned i = 0; i < d->gaps; i++)
		if (before(begin, d->gap[i].begin) && before(d->gap[i].begin, next))
			next = d->gap[i].begin;
	if (same_len && d->has_unlogged && before(begin, d->unlogged.end) && before(d->unlogged.begin, next))
		next = d->unlogged.begin;
	return before(begin, next) ? next - s->text : at;
}

/* The end of the text that gets the same result as the text at `number`. Returned as an offset in the payload. */
static size_t alike_until(const struct ipq_tcp_segment *s, uint32_t number)
{
	const struct tcp_direction *d = direction_of(s);
	const struct tcp_range *gap = gap_at(d, number);
	uint32_t end = s->end;

	if (before(number, s->fresh))
		end = gap ? gap->end : d->unlogged.end;
	if (before(s->end, end))
		end = s->end;
	return before(number, end) ? end - s->text : number - s->text;
}

/*
 * Collects the sequence numbers of at most `most` occurrences in [*at, end). Sets *at to the place to continue from.
 */
static uint32_t collect(const uint8_t *p, size_t *at, size_t end, const struct text *t, uint32_t text,
			uint32_t *number, uint32_t most)
{
	const uint8_t first = *t->old;
	size_t i = *at, len = t->old_len, found;
	uint32_t n = 0;

	for (; n < most; i = found + len) {
		/* A fast path for texts of one byte, which an attacker could repeat very often. */
		for (; len == 1 && n < most && i < end && p[i] == first; i++)
			number[n++] = text + (uint32_t)i;
		found = n < most ? find(p, i, end, t) : end;
		if (found == end)
			break;
		number[n++] = text + (uint32_t)found;
	}
	*at = n < most ? beyond(i, end, t) : i;
	return n;
}

/* Logs the last edit before `at` again for each occurrence in [at, end). Returns the place to continue from. */
static size_t log_more(struct ipq_tcp_segment *s, const struct text *t, size_t at, size_t end, int *places)
{
	const uint8_t *p = s->edit->data + s->edit->payload;
	struct tcp_log *log = &direction_of(s)->log;
	uint32_t number[MANY], n, most = MANY, next;

	if (tcp_log_next(log, s->text + (uint32_t)at - 1, &next) && before(next, s->text + (uint32_t)end))
		end = next - s->text;
	if (t->new_len > t->old_len && (s->room - s->length) / (t->new_len - t->old_len) < most)
		most = (uint32_t)((s->room - s->length) / (t->new_len - t->old_len));
	n = collect(p, &at, end, t, s->text, number, most);
	if (!n)
		return at;
	most = tcp_log_repeat(log, number, n, tcp_log_limit(s->table, s->connection, log));
	s->length += most * (uint32_t)(t->new_len - t->old_len);
	s->replaced += most;
	*places += (int)most;
	return most < n ? number[most] - s->text : at;
}

/* Replaces the text in this piece of the payload. Returns the end of the last replacement; 0: none. */
static size_t write_piece(struct ipq_tcp_segment *s, const struct text *t, uint8_t *piece, size_t len,
			  uint32_t begin, int *places)
{
	const struct tcp_log *log = s->connection ? &direction_of(s)->log : NULL;
	uint32_t cursor = log ? tcp_log_cursor(log, begin) : 0;
	size_t at = 0, last = 0;

	while ((at = find(piece, at, len, t)) < len) {
		uint32_t number = begin + (uint32_t)at;

		if (log && tcp_log_covers_next(log, &cursor, number, number + (uint32_t)t->old_len)) {
			at++;
			continue;
		}
		tcp_copy_text(piece + at, t->new, t->new_len);
		at = last = at + t->old_len;
		s->replaced++;
		++*places;
	}
	return last;
}

/* Replaces text by text of the same length that is not in the log. range is NULL if there is no connection. */
static size_t write_more(struct ipq_tcp_segment *s, const struct text *t, size_t at, size_t end,
			 struct tcp_range *range, int *places)
{
	const uint8_t *p = s->edit->data + s->edit->payload;
	uint8_t piece[PIECE];
	size_t found;

	if (t->old_len > PIECE)
		return at;
	while ((found = find(p, at, end, t)) < end) {
		size_t len = end - found < PIECE ? end - found : PIECE, done;

		memcpy(piece, p + found, len);
		done = write_piece(s, t, piece, len, s->text + (uint32_t)found, places);
		edit_write(s->edit, s->edit->payload + found, piece, done);
		at = found + (done ? done : beyond(0, len, t));
		if (range && done && before(range->end, s->text + (uint32_t)at))
			range->end = s->text + (uint32_t)at;
	}
	return beyond(at, end, t);
}

static size_t count_late(const struct ipq_tcp_segment *s, const struct text *t, size_t at, size_t end)
{
	const uint8_t *p = s->edit->data + s->edit->payload;
	unsigned n = 0;
	size_t found;

	for (; (found = find(p, at, end, t)) < end; at = found + 1)
		n++;
	tcp_count_many(s->table, TCP_LATE, n);
	return beyond(at, end, t);
}

/* Skips text that was replaced before: it does not change again. */
static size_t skip_replaced(const struct ipq_tcp_segment *s, const struct text *t, size_t at)
{
	const uint8_t *p = s->edit->data + s->edit->payload;
	const struct tcp_direction *d = direction_of(s);
	uint32_t number = s->text + (uint32_t)at, cursor = tcp_log_cursor(&d->log, number);

	if (t->old_len != t->new_len && d->has_unlogged && !before(number, d->unlogged.begin) &&
	    before(number, d->unlogged.end))
		return d->unlogged.end - s->text;
	for (; (at = find(p, at, s->edit->payload_len, t)) < s->edit->payload_len; at++) {
		number = s->text + (uint32_t)at;
		if (!tcp_log_covers_next(&d->log, &cursor, number, number + (uint32_t)t->old_len))
			break;
	}
	return at;
}

/*
 * The sequence number up to which text is not logged, either because it is in the `unlogged` range or because there
 * is no room.
 */
static uint32_t unlogged_until(const struct ipq_tcp_segment *s, size_t at, size_t len)
{
	const struct tcp_direction *d = s->connection ? direction_of(s) : NULL;
	uint32_t begin = s->text + (uint32_t)at;

	return d && d->has_unlogged && before(begin, d->unlogged.end) &&
			       before(d->unlogged.begin, begin + (uint32_t)len)
		       ? d->unlogged.end
		       : s->end;
}

/*
 * The occurrence at `begin` has this result. Handles the occurrences from `at` on that get the same result. Returns
 * the place to continue from.
 */
static size_t treat_alike(struct ipq_tcp_segment *s, const struct text *t, uint32_t begin, size_t at,
			  int result, uint32_t unlogged, int *places)
{
	struct tcp_direction *d;
	size_t until;

	if (!s->connection || s->refusal)
		return result == 1 ? write_more(s, t, at, s->edit->payload_len, NULL, places) : at;
	if (result == 0 || result == -EEXIST)
		return skip_replaced(s, t, at);
	d = direction_of(s);
	until = alike_until(s, begin);
	if (until <= at)
		return at;
	if (result == -ESTALE)
		return count_late(s, t, at, until);
	if (tcp_log_covers(&d->log, begin, begin + 1))
		return log_more(s, t, at, until, places);
	if (before(unlogged, s->text + (uint32_t)until))
		until = before(s->text + (uint32_t)at, unlogged) ? unlogged - s->text : at;
	return write_more(s, t, at, until, &d->unlogged, places);
}

int tcp_replace_text(struct ipq_tcp_segment *s, const void *old_bytes, size_t old_len, const void *new_bytes,
		     size_t new_len, bool all, int *refused)
{
	const struct text t = { old_bytes, new_bytes, old_len, new_len };
	size_t at = 0;
	int places = 0, found;

	*refused = 0;
	for (;;) {
		uint32_t unlogged;
		int result;

		if (s->connection && !s->refusal)
			at = skip_sent(s, at, old_len == new_len);
		found = ipq_edit_find(s->edit, at, old_bytes, old_len);
		if (found < 0)
			return places;
		unlogged = unlogged_until(s, (size_t)found, old_len);
		result = ipq_tcp_replace(s, (size_t)found, old_len, new_bytes, new_len);
		places += result == 1;
		/* -EEXIST: an earlier replacement has changed this text, which is no error. */
		if (result < 0 && result != -EEXIST)
			*refused = result;
		if ((result == 1 && !all) || (*refused && *refused != -ESTALE))
			return places;
		at = (size_t)found + (result == 1 ? old_len : 1);
		at = treat_alike(s, &t, s->text + (uint32_t)found, at, result, unlogged, &places);
	}
}

int ipq_tcp_substitute(struct ipq_tcp *t, struct ipq_edit *e, uint32_t zone, const void *old_bytes,
		       size_t old_len, const void *new_bytes, size_t new_len)
{
	struct ipq_tcp_segment s;
	int err = ipq_tcp_begin(t, &s, e, zone, 0), refused;

	if (err)
		return err;
	ipq_tcp_expect(&s, old_len, new_len, true);
	tcp_replace_text(&s, old_bytes, old_len, new_bytes, new_len, true, &refused);
	return (int)ipq_tcp_end(&s);
}
