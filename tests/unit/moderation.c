/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When a busy reader pauses and when not: the test counts how often it reads the backlog. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "util/clock.h"
#include "core/moderation.h"

static int64_t waiting, added; /* waiting bytes; bytes added between two readings */
static unsigned looks;

static int64_t backlog(const struct source *s)
{
	(void)s;
	looks++;
	return waiting += added;
}

static const struct source_ops ops = { .backlog = backlog };
static const struct source source = { .ops = &ops };

static void begin(struct moderation *m, int64_t growth)
{
	*m = (struct moderation){ 0 };
	moderation_begin(m);
	waiting = looks = 0;
	added = growth;
}

/* Returns how many microseconds the reader slept after a receive that returned n of 64 requested packets. */
static int64_t slept(struct moderation *m, unsigned n)
{
	int64_t before;

	moderation_note(m, n, 64);
	before = now_us();
	assert_int_equal(moderation_pause(m, &source), 0);
	return now_us() - before;
}

static void small_batch_is_followed_by_a_pause(void **state)
{
	struct moderation m;

	(void)state;
	begin(&m, 1);
	assert_true(slept(&m, 16) >= 50);
	assert_int_equal(looks, 2); /* the first pause has two halves */
	assert_true(slept(&m, 24) >= 50);
	moderation_end(&m);
}

static void large_batch_is_not_followed_by_a_pause(void **state)
{
	struct moderation m;

	(void)state;
	begin(&m, 1);
	slept(&m, 25);
	slept(&m, 63);
	slept(&m, 64);
	assert_int_equal(looks, 0);
	moderation_end(&m);
}

static void pauses_without_packets_become_rarer(void **state)
{
	struct moderation m;
	int64_t began = now_us(), after;
	unsigned most = 0;

	(void)state;
	begin(&m, 0);
	while (now_us() < began + 30000)
		slept(&m, 20);
	/* At once, and 1, 2, 4, 8 milliseconds after the last pause, by the time that has really passed. */
	for (after = 0; after < now_us() - began; after = 2 * after + 1000)
		most++;
	assert_in_range(looks, 2, 2 * most);
	moderation_end(&m);
}

/* Notes receives of a busy queue, enough for moderation to begin. */
static void note_busy_receives(struct moderation *m, unsigned n)
{
	while (n-- > 0)
		moderation_note(m, 16, 64);
}

static void verdicts_of_two_receives_are_deferred_on_busy_queue_only(void **state)
{
	struct moderation m;
	unsigned i = 0;
	size_t keeps;

	(void)state;
	begin(&m, 1);
	note_busy_receives(&m, 15);
	assert_int_equal(moderation_deferred_count(&m), 0);
	/* No verdict waits if the program took more than a millisecond between the receives, so this is repeated until
	 * it did not. */
	do {
		moderation_note(&m, 30, 64);
		moderation_note(&m, 40, 64);
		keeps = moderation_deferred_count(&m);
	} while (keeps == 0 && ++i < 1000);
	assert_int_equal(keeps, 70);
	moderation_note(&m, 15, 64);
	assert_int_equal(moderation_deferred_count(&m), 0);
	note_busy_receives(&m, 15);
	assert_int_equal(moderation_deferred_count(&m), 0);
	moderation_end(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_batch_is_followed_by_a_pause),
		cmocka_unit_test(large_batch_is_not_followed_by_a_pause),
		cmocka_unit_test(pauses_without_packets_become_rarer),
		cmocka_unit_test(verdicts_of_two_receives_are_deferred_on_busy_queue_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
