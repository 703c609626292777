/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "filter/delay.h"

static void packets_are_released_by_time_then_by_arrival(void **state)
{
	const struct ipq_packet packet = { .present = 0 };
	const struct ipq_verdict verdict = { .size = sizeof(verdict) };
	struct delays d = { .heap = NULL };
	struct delayed out;
	int64_t last = -1;
	uint64_t order = 0;
	unsigned taken = 0;

	(void)state;
	srandom(2);
	for (int i = 0; i < 3000; i++)
		assert_int_equal(delays_add(&d, random() % 500, ipq_packet_keep(&packet), &verdict, NULL), 0);
	for (int64_t now = 0; now < 500; now++) {
		while (delays_take(&d, now, &out)) {
			assert_true(out.due == now);
			assert_true(out.due > last || out.order > order);
			last = out.due;
			order = out.order;
			ipq_packet_free(out.packet);
			taken++;
		}
	}
	assert_int_equal(taken, 3000);
	delays_free(&d);
}

static void timeout_ends_when_next_packet_is_due(void **state)
{
	const struct ipq_packet packet = { .present = 0 };
	const struct ipq_verdict verdict = { .size = sizeof(verdict) };
	struct delays d = { .heap = NULL };
	struct delayed out;

	(void)state;
	assert_int_equal(delays_timeout(&d, 0), -1);
	assert_int_equal(delays_add(&d, 1500000, ipq_packet_keep(&packet), &verdict, NULL), 0);
	assert_int_equal(delays_timeout(&d, 0), 2);
	assert_int_equal(delays_timeout(&d, 1500000), 0);
	assert_int_equal(delays_timeout(&d, INT64_C(1) << 40), 0);
	assert_int_equal(delays_take(&d, 1499999, &out), 0);
	delays_free(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_are_released_by_time_then_by_arrival),
		cmocka_unit_test(timeout_ends_when_next_packet_is_due),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
