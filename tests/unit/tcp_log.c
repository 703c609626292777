// SPDX-License-Identifier: LGPL-2.1-or-later
/* Compares the edits of one direction of a connection with a model that scans all of them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>

#include "tcp/tcp.h"
#include "rounds.h"

#define LIMIT (1 << 20)
#define MOST 1000

struct edit {
	uint32_t begin;
	uint16_t old_len, new_len;
	uint8_t text[8];
};

static struct edit model[MOST];
static unsigned edits;
static uint32_t base; /* the sum of the changes by removed edits */
static uint64_t seed;

static uint32_t below(uint32_t limit)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % limit;
}

static uint32_t end_of(const struct edit *m)
{
	return m->begin + m->old_len;
}

static uint32_t delta(const struct edit *m)
{
	return (uint32_t)m->new_len - m->old_len;
}

static bool keeps_len(const struct edit *m)
{
	return m->old_len == m->new_len;
}

static uint32_t shift_before(unsigned i)
{
	uint32_t shift = base;

	while (i-- > 0)
		shift += delta(&model[i]);
	return shift;
}

static uint32_t mapped(uint32_t sequence, bool up)
{
	unsigned i = 0;

	while (i < edits && !before(sequence, end_of(&model[i])))
		i++;
	if (i == edits || !before(model[i].begin, sequence) || keeps_len(&model[i]))
		return sequence + shift_before(i);
	return model[i].begin + shift_before(i) + (up ? model[i].new_len : 0);
}

static uint32_t unmapped(uint32_t number, bool up)
{
	unsigned i = 0;
	uint32_t begin;

	while (i < edits && !before(number, model[i].begin + shift_before(i)))
		i++;
	if (i == 0)
		return number - base;
	begin = model[i - 1].begin + shift_before(i - 1);
	if (!before(number, begin + model[i - 1].new_len) || keeps_len(&model[i - 1]))
		return number - shift_before(i);
	return number != begin && up ? end_of(&model[i - 1]) : model[i - 1].begin;
}

static size_t copied(uint32_t begin, uint32_t *end, const uint8_t *from, uint8_t *to, size_t room)
{
	uint32_t at = begin;
	size_t len = 0;

	while (before(at, *end)) {
		const struct edit *m = model;

		while (m < model + edits && !before(at, end_of(m)))
			m++;
		if (m < model + edits && m->begin == at) {
			size_t n = keeps_len(m) && *end - at < m->new_len ? *end - at : m->new_len;

			if (n > room - len) {
				*end = at;
				break;
			}
			memcpy(to + len, m->text, n);
			len += n;
			at = end_of(m);
		} else if (m < model + edits && before(m->begin, at) && !keeps_len(m)) {
			at = end_of(m);
		} else if (len == room) {
			*end = at;
		} else if (m < model + edits && before(m->begin, at)) {
			to[len++] = m->text[at++ - m->begin];
		} else {
			to[len++] = from[at++ - begin];
		}
	}
	return len;
}

static bool covered(uint32_t begin, uint32_t end)
{
	for (unsigned i = 0; i < edits; i++)
		if (before(model[i].begin, end) && before(begin, end_of(&model[i])))
			return true;
	return false;
}

static void insert(const struct edit *m)
{
	unsigned i = 0;

	while (i < edits && before(model[i].begin, m->begin))
		i++;
	memmove(&model[i + 1], &model[i], (edits - i) * sizeof(*m));
	model[i] = *m;
	edits++;
}

static void forget_oldest(unsigned n)
{
	base = shift_before(n);
	edits -= n;
	memmove(model, model + n, edits * sizeof(*model));
}

/* Makes a random edit. Some edits have the same text. */
static struct edit any_edit(uint32_t begin)
{
	struct edit m = { .begin = begin,
			  .old_len = (uint16_t)(1 + below(4)),
			  .new_len = (uint16_t)below(8) };

	m.text[0] = (uint8_t)below(6);
	for (size_t i = 1; i < sizeof(m.text); i++)
		m.text[i] = (uint8_t)(m.text[0] + i);
	return m;
}

static void add(struct tcp_log *log, uint32_t begin)
{
	struct edit m = any_edit(begin);
	bool overlaps = covered(m.begin, end_of(&m));

	if (edits == MOST - 100)
		return;
	assert_int_equal(tcp_log_add(log, m.begin, m.text, m.old_len, m.new_len, LIMIT),
			 overlaps ? -EEXIST : 0);
	if (!overlaps)
		insert(&m);
}

/* Appends the last edit once more, after itself. */
static void append(struct tcp_log *log)
{
	struct edit m = model[edits - 1];

	m.begin = end_of(&m) + below(3);
	if (edits < MOST - 100 && tcp_log_append(log, m.begin, m.text, m.old_len, m.new_len))
		insert(&m);
}

/* Repeats an edit several times, between the edit and the next one. */
static void repeat(struct tcp_log *log)
{
	unsigned i = below(edits), n = 0, want = 1 + below(60), done;
	struct edit m = model[i];
	uint32_t number[64], at = end_of(&m);

	while (n < want && (i + 1 == edits || !before(model[i + 1].begin, at + m.old_len))) {
		number[n++] = at;
		at += m.old_len + below(2);
	}
	if (n == 0 || edits + n > MOST - 100)
		return;
	done = tcp_log_repeat(log, number, n, LIMIT);
	assert_in_range(done, 1, n);
	for (unsigned k = 0; k < done; k++) {
		m.begin = number[k];
		insert(&m);
	}
}

static void remove_one(struct tcp_log *log)
{
	unsigned i = below(edits);

	tcp_log_remove(log, model[i].begin + 1); /* no edit begins at this position, or another one does */
	for (unsigned k = 0; k < edits; k++)
		if (model[k].begin == model[i].begin + 1) {
			memmove(&model[k], &model[k + 1], (--edits - k) * sizeof(*model));
			return;
		}
	tcp_log_remove(log, model[i].begin);
	memmove(&model[i], &model[i + 1], (--edits - i) * sizeof(*model));
}

static void prune(struct tcp_log *log)
{
	uint32_t sequence = model[below(edits)].begin + below(5);
	unsigned n = 0;

	if (below(2) == 0) {
		n = 1 + below(20);
		tcp_log_prune_oldest(log, n);
		forget_oldest(n < edits ? n : edits);
		return;
	}
	while (n < edits && !before(sequence, end_of(&model[n])))
		n++;
	tcp_log_prune(log, sequence);
	forget_oldest(n);
}

static void compare(const struct tcp_log *log, uint32_t first)
{
	uint8_t from[4096], to[8192], expected[8192];
	uint32_t span = edits > 0 ? end_of(&model[edits - 1]) - first + 20 : 20;

	assert_int_equal(log->end - log->first, edits);
	assert_int_equal(log->total, shift_before(edits));
	for (unsigned i = 0; i < 12; i++) {
		uint32_t at = first + below(span), end = at + below(300), stop = end, stopped = end;
		uint32_t number = first + base + below(span + 100);
		size_t room = below(600), len;

		for (int up = 0; up < 2; up++) {
			assert_int_equal(tcp_log_map(log, at, up), mapped(at, up));
			assert_int_equal(tcp_log_unmap(log, number, up), unmapped(number, up));
		}
		assert_int_equal(tcp_log_covers(log, at, end), covered(at, end));
		for (size_t k = 0; k < 300; k++)
			from[k] = (uint8_t)(128 + k);
		memset(to, 0xee, sizeof(to));
		len = copied(at, &stopped, from, expected, room);
		assert_int_equal(tcp_log_copy(log, at, &stop, from, to, room), len);
		assert_int_equal(stop, stopped);
		assert_memory_equal(to, expected, len);
		for (size_t k = len; k < room + 64; k++)
			assert_int_equal(to[k], 0xee);
	}
	if (edits > 0) {
		unsigned i = below(edits);

		assert_int_equal(tcp_log_count_after(log, model[i].begin), edits - i - 1);
		assert_int_equal(tcp_log_count_after(log, model[i].begin - 1), edits - i);
	}
}

static void random_edits_match_the_model(void **state)
{
	(void)state;
	for (unsigned round = 0; round < rounds(100); round++) {
		struct tcp_log log = { 0 };
		uint32_t first = (uint32_t)-3000 + below(6000), next = first;

		seed = round;
		edits = 0;
		base = 0;
		for (unsigned step = 0; step < 400; step++) {
			unsigned what = edits == 0 ? 0 : below(100);

			if (what < 50)
				add(&log, next += below(12));
			else if (what < 60)
				add(&log, model[0].begin + below(next - model[0].begin + 1));
			else if (what < 75)
				append(&log);
			else if (what < 80)
				repeat(&log);
			else if (what < 86)
				remove_one(&log);
			else if (what < 88)
				prune(&log);
			if (edits > 0 && before(next, end_of(&model[edits - 1])))
				next = end_of(&model[edits - 1]);
			if (what >= 88 || step % 50 == 0) {
				tcp_log_sum(&log);
				compare(&log, edits > 0 ? model[0].begin - 10 : next);
			}
		}
		tcp_log_prune_oldest(&log, UINT32_MAX);
		assert_int_equal(log.text_bytes, 0);
		for (uint32_t i = 0; i < log.kinds; i++)
			assert_null(log.kind[i].bytes);
		tcp_log_free(&log);
	}
}

static void texts_are_limited_to_what_an_index_has(void **state)
{
	struct tcp_log log = { 0 };
	uint16_t i;

	(void)state;
	for (i = 0; i < 256; i++)
		assert_int_equal(tcp_log_add(&log, i * 2U, &i, 1, 2, LIMIT), 0);
	assert_int_equal(tcp_log_add(&log, i * 2U, &i, 1, 2, LIMIT), -ENOBUFS);
	assert_int_equal(tcp_log_add(&log, i * 2U, &(uint16_t){ 77 }, 1, 2, LIMIT), 0);
	tcp_log_prune_oldest(&log, 1);
	assert_int_equal(tcp_log_add(&log, i * 2U + 2, &i, 1, 2, LIMIT), 0);
	tcp_log_free(&log);
}

static void memory_is_limited_and_given_back(void **state)
{
	struct tcp_log log = { 0 };
	uint32_t n = 0;
	int err;

	(void)state;
	while ((err = tcp_log_add(&log, 10 * n, &n, 1, sizeof(n), 1000)) == 0)
		n++;
	assert_int_equal(err, -ENOBUFS);
	assert_true(n > 10 && tcp_log_bytes(&log) <= 1000);
	tcp_log_prune_oldest(&log, n);
	for (unsigned again = 0; again < n; again++)
		assert_int_equal(tcp_log_add(&log, 10000 + 10 * again, &again, 1, sizeof(again), 1000), 0);
	tcp_log_free(&log);
	/* The memory of a large log is freed with its last edit. */
	for (n = 0; n < 3000; n++)
		assert_int_equal(tcp_log_add(&log, 10 * n, "ab", 1, 2, LIMIT), 0);
	tcp_log_prune_oldest(&log, n);
	assert_true(tcp_log_bytes(&log) < 100);
	assert_int_equal(tcp_log_add(&log, 10 * n, "ab", 1, 2, LIMIT), 0);
	tcp_log_sum(&log);
	assert_int_equal(tcp_log_map(&log, 10 * n + 1, true), 10 * n + 1 + n + 1);
	tcp_log_free(&log);
}

/* Edits that are too far back must be removed: if two numbers are 2^31 apart, each is before the other. */
static void distant_edits_are_forgotten(void **state)
{
	struct tcp_log log = { 0 };

	(void)state;
	assert_int_equal(tcp_log_add(&log, 0, "ab", 1, 2, LIMIT), 0);
	assert_int_equal(tcp_log_add(&log, 100, "abc", 1, 3, LIMIT), 0);
	assert_int_equal(tcp_log_add(&log, TCP_SPAN_MAX + 50, "abcd", 1, 4, LIMIT), 0);
	tcp_log_sum(&log);
	assert_int_equal(log.end - log.first, 2);
	assert_int_equal(tcp_log_map(&log, TCP_SPAN_MAX + 60, true), TCP_SPAN_MAX + 60 + 6);
	assert_int_equal(tcp_log_map(&log, 60, true), 61);
	assert_false(tcp_log_append(&log, 100 + TCP_SPAN_MAX + 1, "abcd", 1, 4));
	tcp_log_free(&log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_edits_match_the_model),
		cmocka_unit_test(texts_are_limited_to_what_an_index_has),
		cmocka_unit_test(memory_is_limited_and_given_back),
		cmocka_unit_test(distant_edits_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
