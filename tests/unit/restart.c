/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "common/restart.h"

static void program_that_worked_starts_again_at_once(void **state)
{
	struct restart r = { .limit = 3 };

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(restart_delay_ms(&r, true, 5), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(restart_delay_ms(&r, false, 10000), 0);
}

static void program_that_fails_at_once_waits_longer_each_time(void **state)
{
	static const int delays[] = { 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000 };
	struct restart r = { .limit = 10 };

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++)
			assert_int_equal(restart_delay_ms(&r, false, 3), delays[i]);
		if (round == 0)
			/* the count of failures begins again at 0 */
			assert_int_equal(restart_delay_ms(&r, true, 3), 0);
	}
	assert_int_equal(restart_delay_ms(&r, false, 3), -1);
}

static void limit_of_zero_is_no_limit(void **state)
{
	struct restart r = { .limit = 0 };

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_true(restart_delay_ms(&r, false, 3) >= 0);
	assert_int_equal(restart_delay_ms(&r, false, 3), 5000);
}

static void requests_to_end_are_no_failures(void **state)
{
	static const int asks[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM },
			 kills[] = { SIGKILL, SIGSEGV, SIGABRT, SIGBUS };

	(void)state;
	assert_false(restart_is_failure(0));
	assert_true(restart_is_failure(1 << 8));
	for (size_t i = 0; i < 4; i++) {
		assert_false(restart_is_failure(asks[i]));
		assert_true(restart_is_failure(kills[i]));
		assert_true(restart_is_failure(kills[i] | 0x80)); /* 0x80: with a core file */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(program_that_worked_starts_again_at_once),
		cmocka_unit_test(program_that_fails_at_once_waits_longer_each_time),
		cmocka_unit_test(limit_of_zero_is_no_limit),
		cmocka_unit_test(requests_to_end_are_no_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
