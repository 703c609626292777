// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The edits of one direction of a connection.
 *
 * Theory of operation. A position is a sequence number of the sender; it is mapped to the sequence number under
 * which the receiver knows it. Edits are sorted and do not overlap. Each has at least one old byte, and its new
 * text belongs to the first one: the segment that contains this byte carries the whole new text, and no segment
 * carries the other old bytes. If the length stays the same, each new byte belongs to the old byte at its position,
 * and no number changes. So a segment can be cut anywhere, and its text is always the same.
 *
 * When the receiver has acknowledged edits, the log keeps only their sum (`base`). All arithmetic is modulo 2^32;
 * an edit that is more than 2^30 before the newest one is forgotten, so that comparisons stay unambiguous.
 */
#include <errno.h>
#include <stdlib.h>

#include "tcp/tcp.h"

#define KINDS_MAX 256
#define EDITS_FIRST TCP_BLOCK
#define MALLOC_OVERHEAD 16
/* Maximum number of edits that one packet may remove. A segment full of matches has up to 1,400 edits. */
#define PRUNE_MAX 4096

static const struct tcp_kind *kind_of(const struct tcp_log *log, uint32_t i)
{
	return &log->kind[log->which[i]];
}

static uint32_t delta_of(const struct tcp_log *log, uint32_t i)
{
	return (uint32_t)kind_of(log, i)->new_len - kind_of(log, i)->old_len;
}

static uint32_t shift_before(const struct tcp_log *log, uint32_t i)
{
	uint32_t at = i - i % TCP_BLOCK, shift;

	if (i == log->end)
		return log->total;
	if (at <= log->first) {
		at = log->first;
		shift = log->base;
	} else {
		shift = log->shift[at / TCP_BLOCK];
	}
	for (; at < i; at++)
		shift += delta_of(log, at);
	return shift;
}

void tcp_log_sum(struct tcp_log *log)
{
	uint32_t i = log->summed, shift;

	if (i > log->first) {
		shift = shift_before(log, i - 1) + delta_of(log, i - 1);
	} else {
		i = log->first;
		shift = log->base;
	}
	for (; i < log->end; i++) {
		if (i % TCP_BLOCK == 0)
			log->shift[i / TCP_BLOCK] = shift;
		shift += delta_of(log, i);
	}
	log->summed = log->end;
}

static uint32_t old_end(const struct tcp_log *log, uint32_t i)
{
	return log->begin[i] + kind_of(log, i)->old_len;
}

static uint32_t new_len(const struct tcp_log *log, uint32_t i)
{
	return kind_of(log, i)->new_len;
}

static bool keeps_len(const struct tcp_kind *k)
{
	return k->old_len == k->new_len;
}

/* The index of the first edit that begins after sequence. mapped: compares the mapped positions. */
static uint32_t first_after(const struct tcp_log *log, uint32_t sequence, bool mapped)
{
	uint32_t low = log->first, high = log->end;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2, begin = log->begin[middle];

		if (mapped)
			begin += shift_before(log, middle);
		if (before(sequence, begin))
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* The index of the first edit that ends after sequence. */
static uint32_t first_ending_after(const struct tcp_log *log, uint32_t sequence)
{
	uint32_t i = first_after(log, sequence, false);

	return i > log->first && before(sequence, old_end(log, i - 1)) ? i - 1 : i;
}

uint32_t tcp_log_map(const struct tcp_log *log, uint32_t sequence, bool up)
{
	uint32_t i = first_ending_after(log, sequence), mapped;

	if (i == log->end || !before(log->begin[i], sequence) || keeps_len(kind_of(log, i)))
		return sequence + shift_before(log, i);
	mapped = log->begin[i] + shift_before(log, i);
	return up ? mapped + new_len(log, i) : mapped;
}

uint32_t tcp_log_unmap(const struct tcp_log *log, uint32_t mapped, bool up)
{
	uint32_t i = first_after(log, mapped, true), begin;

	if (i == log->first)
		return mapped - log->base;
	begin = log->begin[i - 1] + shift_before(log, i - 1);
	/* The receiver gets a text that became empty together with the bytes before it. */
	if (!before(mapped, begin + new_len(log, i - 1)) || keeps_len(kind_of(log, i - 1)))
		return mapped - shift_before(log, i);
	return mapped != begin && up ? old_end(log, i - 1) : log->begin[i - 1];
}

uint32_t tcp_log_count_after(const struct tcp_log *log, uint32_t sequence)
{
	return log->end - first_after(log, sequence, false);
}

bool tcp_log_covers(const struct tcp_log *log, uint32_t begin, uint32_t end)
{
	uint32_t i = first_ending_after(log, begin);

	return i < log->end && before(log->begin[i], end);
}

uint32_t tcp_log_cursor(const struct tcp_log *log, uint32_t begin)
{
	return first_ending_after(log, begin);
}

bool tcp_log_covers_next(const struct tcp_log *log, uint32_t *cursor, uint32_t begin, uint32_t end)
{
	while (*cursor < log->end && !before(begin, old_end(log, *cursor)))
		++*cursor;
	return *cursor < log->end && before(log->begin[*cursor], end);
}

bool tcp_log_next(const struct tcp_log *log, uint32_t sequence, uint32_t *begin)
{
	uint32_t i = first_after(log, sequence, false);

	if (i < log->end)
		*begin = log->begin[i];
	return i < log->end;
}

/* ---- changes ---------------------------------------------------------------------------------- */

static uint32_t hash_text(const uint8_t *p, size_t len)
{
	uint32_t h = 2166136261U; /* FNV-1a hash, so that most texts need no comparison */

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 16777619U;
	return h;
}

/*
 * Returns the entry for this replacement, or a free entry with its fields set and no bytes yet. -ENOBUFS: all
 * entries are in use.
 */
static int find_kind(struct tcp_log *log, const struct tcp_kind *wanted, const void *bytes)
{
	int unused = -ENOBUFS;

	for (uint32_t i = log->kinds; i-- > 0;) {
		const struct tcp_kind *k = &log->kind[i];

		if (!k->bytes)
			unused = (int)i;
		else if (k->hash == wanted->hash && k->old_len == wanted->old_len &&
			 k->new_len == wanted->new_len && memcmp(k->bytes, bytes, k->new_len) == 0)
			return (int)i;
	}
	return unused;
}

static int grow_kinds(struct tcp_log *log, size_t limit)
{
	uint32_t n = log->kinds ? log->kinds * 2 : 2;
	struct tcp_kind *grown;

	if (n > KINDS_MAX || tcp_log_bytes(log) + (n - log->kinds) * sizeof(*grown) > limit)
		return -ENOBUFS;
	grown = realloc(log->kind, n * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	memset(grown + log->kinds, 0, (n - log->kinds) * sizeof(*grown));
	log->kind = grown;
	log->kinds = n;
	return (int)n - 1;
}

/* Finds or creates the entry of a replacement. Returns its index, or -errno. */
static int get_kind(struct tcp_log *log, const void *bytes, uint16_t old_len, uint16_t new_len, size_t limit)
{
	struct tcp_kind wanted = { .old_len = old_len, .new_len = new_len };
	int i;

	wanted.hash = hash_text(bytes, new_len);
	i = find_kind(log, &wanted, bytes);
	if (i >= 0 && log->kind[i].bytes)
		return i;
	if (tcp_log_bytes(log) + new_len + MALLOC_OVERHEAD > limit)
		return -ENOBUFS;
	if (i < 0)
		i = grow_kinds(log, limit - new_len - MALLOC_OVERHEAD);
	if (i < 0)
		return i;
	wanted.bytes = malloc(new_len + 1U);
	if (!wanted.bytes)
		return -ENOMEM;
	if (new_len)
		memcpy(wanted.bytes, bytes, new_len);
	log->text_bytes += new_len + MALLOC_OVERHEAD;
	log->kind[i] = wanted;
	return i;
}

/* Releases an entry after n edits have stopped using it. */
static void put_kind(struct tcp_log *log, uint32_t i, uint32_t n)
{
	struct tcp_kind *k = &log->kind[i];

	k->refs -= n;
	if (k->refs > 0)
		return;
	log->text_bytes -= k->new_len + MALLOC_OVERHEAD;
	free(k->bytes);
	*k = (struct tcp_kind){ 0 };
}

static size_t edits_bytes(uint32_t room)
{
	return room * (sizeof(uint32_t) + sizeof(uint8_t)) + room / TCP_BLOCK * sizeof(uint32_t);
}

/* Resizes the arrays. If one cannot grow, it stays as it is; then the larger ones do no harm. */
static int resize_edits(struct tcp_log *log, uint32_t room)
{
	uint32_t *begin, *shift;
	uint8_t *which;

	begin = realloc(log->begin, room * sizeof(*begin));
	if (!begin)
		return -ENOMEM;
	log->begin = begin;
	shift = realloc(log->shift, room / TCP_BLOCK * sizeof(*shift));
	if (!shift)
		return -ENOMEM;
	log->shift = shift;
	which = realloc(log->which, room);
	if (!which)
		return -ENOMEM;
	log->which = which;
	log->room = room;
	return 0;
}

/* Makes room for one more edit, if possible for n more. */
static int grow_edits(struct tcp_log *log, uint32_t n, size_t limit)
{
	uint32_t room = log->room + (n > log->room / 2 ? n : log->room / 2);
	/* remove whole blocks, so that the shifts of the other blocks stay right */
	uint32_t by = log->first - log->first % TCP_BLOCK;
	size_t others = tcp_log_bytes(log) - edits_bytes(log->room);

	if (n <= log->room - log->end)
		return 0;
	if (by > log->room / 4) {
		uint32_t used = log->end - by;

		memmove(log->begin, log->begin + by, used * sizeof(*log->begin));
		memmove(log->which, log->which + by, used);
		memmove(log->shift, log->shift + by / TCP_BLOCK,
			(used + TCP_BLOCK - 1) / TCP_BLOCK * sizeof(*log->shift));
		log->first -= by;
		log->summed = log->summed < by ? 0 : log->summed - by;
		log->end = used;
		return grow_edits(log, n, limit);
	}
	room = (room < EDITS_FIRST ? EDITS_FIRST : room) / TCP_BLOCK * TCP_BLOCK;
	if (room == log->room)
		room += TCP_BLOCK;
	while (room > log->room && others + edits_bytes(room) > limit)
		room -= TCP_BLOCK;
	if (room > log->room)
		return resize_edits(log, room);
	return log->end < log->room ? 0 : -ENOBUFS;
}

/* Makes room in the arrays for n edits at `at`. */
static void move_edits(struct tcp_log *log, uint32_t at, uint32_t n)
{
	memmove(log->begin + at + n, log->begin + at, (log->end - at) * sizeof(*log->begin));
	memmove(log->which + at + n, log->which + at, log->end - at);
}

int tcp_log_add(struct tcp_log *log, uint32_t begin, const void *bytes, uint16_t old_len, uint16_t new_len,
		size_t limit)
{
	uint32_t at;
	int kind, err;

	while (log->first < log->end && before(log->begin[log->first], begin - TCP_SPAN_MAX))
		tcp_log_prune_oldest(log, 1);
	err = grow_edits(log, 1, limit);
	if (err)
		return err;
	at = first_ending_after(log, begin);
	if (at < log->end && before(log->begin[at], begin + old_len))
		return -EEXIST;
	kind = get_kind(log, bytes, old_len, new_len, limit);
	if (kind < 0)
		return kind;
	log->kind[kind].refs++;
	move_edits(log, at, 1);
	log->begin[at] = begin;
	log->which[at] = (uint8_t)kind;
	if (at == log->end && at == log->summed) {
		if (at % TCP_BLOCK == 0)
			log->shift[at / TCP_BLOCK] = log->total;
		log->summed++;
	}
	log->end++;
	log->total += delta_of(log, at);
	if (at < log->summed && at + 1 < log->end)
		log->summed = at;
	return 0;
}

uint32_t tcp_log_repeat(struct tcp_log *log, const uint32_t *number, uint32_t n, size_t limit)
{
	uint32_t at, delta;
	bool last;

	if (grow_edits(log, n, limit))
		return 0;
	if (n > log->room - log->end)
		n = log->room - log->end;
	at = first_after(log, number[0], false);
	delta = delta_of(log, at - 1);
	last = at == log->end;
	move_edits(log, at, n);
	memcpy(log->begin + at, number, n * sizeof(*number));
	memset(log->which + at, log->which[at - 1], n);
	log->kind[log->which[at - 1]].refs += n;
	log->end += n;
	for (uint32_t i = (at + TCP_BLOCK - 1) / TCP_BLOCK * TCP_BLOCK; last && i < log->end; i += TCP_BLOCK)
		log->shift[i / TCP_BLOCK] = log->total + (i - at) * delta;
	log->total += n * delta;
	if (last && log->summed == at)
		log->summed = log->end;
	else if (at < log->summed)
		log->summed = at;
	return n;
}

void tcp_log_remove(struct tcp_log *log, uint32_t begin)
{
	uint32_t i = first_after(log, begin, false);

	if (i == log->first || log->begin[--i] != begin)
		return;
	log->total -= delta_of(log, i);
	put_kind(log, log->which[i], 1);
	log->end--;
	memmove(log->begin + i, log->begin + i + 1, (log->end - i) * sizeof(*log->begin));
	memmove(log->which + i, log->which + i + 1, log->end - i);
	if (i < log->summed)
		log->summed = i;
}

static void free_edits(struct tcp_log *log)
{
	free(log->begin);
	free(log->shift);
	free(log->which);
	log->begin = log->shift = NULL;
	log->which = NULL;
	log->room = 0;
}

void tcp_log_prune_oldest(struct tcp_log *log, uint32_t n)
{
	uint32_t end = n < log->end - log->first ? log->first + n : log->end, i = log->first;

	/* Adjacent edits often have the same kind. */
	while (log->first < end) {
		while (i < end && log->which[i] == log->which[log->first])
			i++;
		log->base += (i - log->first) * delta_of(log, log->first);
		put_kind(log, log->which[log->first], i - log->first);
		log->first = i;
	}
	if (log->first < log->end)
		return;
	log->first = log->end = log->summed = 0;
	if (log->room > 64 * EDITS_FIRST)
		free_edits(log);
}

void tcp_log_prune(struct tcp_log *log, uint32_t sequence)
{
	uint32_t n = first_ending_after(log, sequence) - log->first;

	if (n)
		tcp_log_prune_oldest(log, n < PRUNE_MAX ? n : PRUNE_MAX);
}

/* ---- text ------------------------------------------------------------------------------------- */

size_t tcp_log_copy(const struct tcp_log *log, uint32_t begin, uint32_t *end, const uint8_t *from,
		    uint8_t *to, size_t room)
{
	uint32_t at = begin, i = first_ending_after(log, begin), stop = *end;
	/* without this variable the compiler reads log->begin again after each write */
	const uint32_t *edit = log->begin;
	size_t len = 0;

	if (i < log->end && before(edit[i], begin)) {
		const struct tcp_kind *k = kind_of(log, i);

		at = old_end(log, i);
		if (keeps_len(k)) {
			len = (before(at, stop) ? at : stop) - begin;
			len = len < room ? len : room;
			tcp_copy_text(to, k->bytes + (begin - edit[i]), len);
			if (begin + (uint32_t)len != at)
				stop = begin + (uint32_t)len;
		}
		i++;
	}
	while (i < log->end && before(edit[i], stop)) {
		const uint32_t last = log->end;
		const uint8_t *which = log->which, kind = which[i];
		const struct tcp_kind k = log->kind[kind];

		for (; i < last && which[i] == kind && before(edit[i], stop); i++) {
			size_t raw = edit[i] - at, text = k.new_len;

			if (keeps_len(&k) && stop - edit[i] < text)
				text = stop - edit[i];
			if (raw + text > room - len) {
				stop = edit[i];
				break;
			}
			tcp_copy_text(to + len, from + (at - begin), raw);
			tcp_copy_text(to + len + raw, k.bytes, text);
			len += raw + text;
			at = edit[i] + k.old_len;
		}
	}
	if (before(at, stop)) {
		if (stop - at > room - len)
			stop = at + (uint32_t)(room - len);
		tcp_copy_text(to + len, from + (at - begin), stop - at);
		len += stop - at;
	}
	*end = stop;
	return len;
}

size_t tcp_log_bytes(const struct tcp_log *log)
{
	return edits_bytes(log->room) + log->kinds * sizeof(*log->kind) + log->text_bytes;
}

void tcp_log_free(struct tcp_log *log)
{
	for (uint32_t i = 0; i < log->kinds; i++)
		free(log->kind[i].bytes);
	free(log->kind);
	free_edits(log);
	*log = (struct tcp_log){ 0 };
}
