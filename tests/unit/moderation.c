/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When a busy reader pauses and when not: the test counts how often it reads the backlog. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/time.h>
#include <unistd.h>
#include <cmocka.h>
#include "util/clock.h"
#include "core/moderation.h"

static int64_t waiting, added; /* bytes that wait in the socket; bytes added between two readings */
static unsigned looks;
static int64_t first_look; /* the time of the first reading */

static int64_t backlog(const struct source *s)
{
	(void)s;
	if (looks++ == 0)
		first_look = now_us();
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
	int64_t began = now_us();
	struct moderation m;

	(void)state;
	begin(&m, 1);
	assert_true(slept(&m, 16) >= 50);
	assert_int_equal(looks, 2); /* the first pause is divided in two */
	assert_true(first_look - began >= 25);
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
	/* The pauses begin at once, then 1, 2, 4 and 8 milliseconds after the last one, measured in real time. */
	for (after = 0; after < now_us() - began; after = 2 * after + 1000)
		most++;
	assert_in_range(looks, 2, 2 * most);
	moderation_end(&m);
}

static void pauses_come_back(void **state)
{
	struct moderation m;

	(void)state;
	begin(&m, 0);
	for (int64_t backoff = 1000; backoff <= 64000; backoff *= 2) {
		slept(&m, 20);
		assert_int_equal(m.backoff, backoff);
		m.not_before = 0;
	}
	m.backoff = 60000;
	slept(&m, 20);
	assert_int_equal(m.backoff, 64000);
	assert_true(m.not_before <= now_us() + 64000);
	moderation_end(&m);
}

static void source_without_a_backlog_has_no_pauses(void **state)
{
	static const struct source_ops none = { .backlog = NULL };
	const struct source file = { .ops = &none };
	struct moderation m;

	(void)state;
	begin(&m, 1);
	moderation_note(&m, 16, 64);
	assert_int_equal(moderation_pause(&m, &file), 0);
	moderation_end(&m);
}

static void pauses_are_trusted_for_a_millisecond(void **state)
{
	struct moderation m;

	(void)state;
	begin(&m, 1);
	slept(&m, 16);
	assert_in_range(m.trusted_until, 1, now_us() + 1000);
	moderation_end(&m);
}

static void child_of_fork_has_no_pauses(void **state)
{
	struct moderation m;

	(void)state;
	begin(&m, 1);
	m.owner = getppid();
	slept(&m, 16);
	assert_int_equal(looks, 0);
	moderation_end(&m);
}

static void ignore(int signo)
{
	(void)signo;
}

static void signal_ends_a_pause(void **state)
{
	/* without SA_RESTART, so that the signal interrupts the pause */
	const struct sigaction action = { .sa_handler = ignore };
	const struct itimerval often = { { 0, 20 }, { 0, 20 } }, never = { { 0, 0 }, { 0, 0 } };
	struct moderation m;
	int err = 0;

	(void)state;
	begin(&m, 1);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (unsigned i = 0; i < 100000 && err == 0; i++) {
		moderation_note(&m, 16, 64);
		err = moderation_pause(&m, &source);
	}
	setitimer(ITIMER_REAL, &never, NULL);
	assert_int_equal(err, -EINTR);
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
	/*
	 * No verdict may wait either if the program takes more than a millisecond between receives. The loop
	 * repeats the test until the machine is fast enough once.
	 */
	do {
		moderation_note(&m, 30, 64);
		moderation_note(&m, 40, 64);
		keeps = moderation_deferred_count(&m);
	} while (keeps == 0 && ++i < 1000);
	assert_int_equal(keeps, 70);
	m.received -= 1000;
	assert_int_equal(moderation_deferred_count(&m), 0);
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
		cmocka_unit_test(pauses_come_back),
		cmocka_unit_test(pauses_are_trusted_for_a_millisecond),
		cmocka_unit_test(child_of_fork_has_no_pauses),
		cmocka_unit_test(signal_ends_a_pause),
		cmocka_unit_test(source_without_a_backlog_has_no_pauses),
		cmocka_unit_test(verdicts_of_two_receives_are_deferred_on_busy_queue_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
