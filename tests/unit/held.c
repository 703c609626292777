/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Held packets: they must be found by id in any order, and their memory must be reused and limited. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "capture/held.h"

static struct held *add(struct held_store *s, uint32_t id, size_t len)
{
	struct held *h = held_take(s, len);

	assert_non_null(h);
	memset(h->data, (int)(id & 0xff), len);
	held_wait(s, h, id);
	return h;
}

static void ids_are_found_across_wrap_and_in_any_order(void **state)
{
	const uint32_t first = UINT32_MAX - 500;
	struct held_store s;

	(void)state;
	assert_int_equal(held_init(&s, 100), 0); /* room for fewer packets than will wait */
	for (uint32_t i = 0; i < 1000; i++)
		add(&s, first + i, 60);
	for (uint32_t i = 0; i < 1000; i++) {
		uint32_t n = i * 7 % 1000; /* each packet once, in any order */
		struct held *h = held_find(&s, first + n);

		assert_non_null(h);
		assert_int_equal(h->id, first + n);
		assert_int_equal(h->data[59], (first + n) & 0xff);
		held_decided(&s, h);
		held_give_back(&s, h);
		assert_null(held_find(&s, first + n));
	}
	assert_int_equal(s.waiting_count, 0);
	assert_int_equal(s.in_use, 0);
	assert_null(s.waiting.first);
	assert_null(s.waiting.last);
	held_free(&s);
}

static void memory_is_reused_while_one_packet_waits(void **state)
{
	struct held_store s;
	unsigned unused = 0;

	(void)state;
	assert_int_equal(held_init(&s, 16), 0);
	add(&s, 1, 100);
	for (uint32_t id = 2; id < 5000; id++) {
		struct held *h = add(&s, id, id % 9000);

		held_decided(&s, h);
		held_give_back(&s, h);
		assert_int_equal(s.longer_bytes, 0);
	}
	for (struct held *h = s.unused; h != NULL; h = h->next)
		unused++;
	assert_int_equal(unused, 1);
	assert_int_equal(held_find(&s, 1)->data[99], 1);
	held_free(&s);
}

static void growth_keeps_the_header(void **state)
{
	struct held_store s;
	struct held *h;

	(void)state;
	assert_int_equal(held_init(&s, 16), 0);
	h = add(&s, 5, 14);
	assert_int_equal(held_resize(&s, h, 3000, 14), 0);
	assert_int_equal(h->data[13], 5);
	memset(h->data + 14, 6, 3000 - 14);
	assert_int_equal(held_resize(&s, h, 60000, 14), 0);
	assert_int_equal(h->data[13], 5);
	memset(h->data + 14, 7, 60000 - 14);
	assert_int_equal(s.longer_bytes, 60000);
	assert_int_equal(held_resize(&s, h, 100, 14), 0);
	assert_int_equal(h->data[13], 5);
	held_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_are_found_across_wrap_and_in_any_order),
		cmocka_unit_test(memory_is_reused_while_one_packet_waits),
		cmocka_unit_test(growth_keeps_the_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
