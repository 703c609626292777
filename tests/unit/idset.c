// SPDX-License-Identifier: LGPL-2.1-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "ipqueue/idset.h"

static void empty_set_contains_no_id(void **state)
{
	struct idset set = { 0 };
	size_t cursor = 0;
	uint32_t id;

	(void)state;
	assert_false(idset_remove(&set, 0));
	assert_false(idset_take(&set, &cursor, &id));
	idset_free(&set);
}

static void id_added_twice_is_removed_once(void **state)
{
	struct idset set = { 0 };

	(void)state;
	assert_int_equal(idset_reserve(&set, 3), 0);
	idset_add(&set, 0);
	idset_add(&set, UINT32_MAX);
	idset_add(&set, UINT32_MAX);
	assert_int_equal(set.count, 2);
	assert_true(idset_remove(&set, UINT32_MAX));
	assert_false(idset_remove(&set, UINT32_MAX));
	assert_true(idset_remove(&set, 0));
	assert_false(idset_remove(&set, 0));
	idset_free(&set);
}

/* Compares with a plain array: colliding ids, random order, growth, ids beyond the table's end and around zero. */
static void removal_keeps_all_other_ids(void **state)
{
	enum { N = 300 };
	static const uint32_t starts[] = { 0, 1000000, UINT32_MAX - 150 };
	struct idset set = { 0 };
	uint8_t in[3 * N] = { 0 };
	size_t count = 0;
	unsigned step, seed = 1;

	(void)state;
	for (step = 0; step < 200000; step++) {
		unsigned k = (unsigned)rand_r(&seed) % (3 * N);
		/* Every other id differs only in bits above the table's size, so that many ids have the same slot. */
		uint32_t i = k % N, id = starts[k / N] + (i % 2 == 0 ? i : i << 16);

		if (rand_r(&seed) % 2 == 0) {
			assert_int_equal(idset_reserve(&set, 1), 0);
			idset_add(&set, id);
			count += !in[k];
			in[k] = 1;
		} else {
			assert_int_equal(idset_remove(&set, id), in[k]);
			count -= in[k];
			in[k] = 0;
		}
		assert_int_equal(set.count, count);
	}
	idset_free(&set);
}

/* In the larger table, the ids still have the same slot: all but one of them are displaced. */
static void displaced_ids_are_found_after_growth(void **state)
{
	struct idset set = { 0 };

	(void)state;
	assert_int_equal(idset_reserve(&set, 32), 0);
	for (uint32_t i = 0; i < 32; i++)
		idset_add(&set, i << 16);
	assert_int_equal(idset_reserve(&set, 1), 0);
	for (uint32_t i = 0; i < 32; i++)
		assert_true(idset_remove(&set, i << 16));
	assert_int_equal(set.count, 0);
	idset_free(&set);
}

static void take_returns_every_id_once(void **state)
{
	struct idset set = { 0 };
	uint8_t seen[500] = { 0 };
	size_t cursor = 0, n = 0;
	uint32_t i, id;

	(void)state;
	assert_int_equal(idset_reserve(&set, 500), 0);
	for (i = 0; i < 500; i++)
		idset_add(&set, UINT32_MAX - 250 + i);
	while (idset_take(&set, &cursor, &id)) {
		i = id - (UINT32_MAX - 250);
		assert_true(i < 500);
		assert_int_equal(seen[i], 0);
		seen[i] = 1;
		n++;
	}
	assert_int_equal(n, 500);
	idset_free(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_set_contains_no_id),
		cmocka_unit_test(id_added_twice_is_removed_once),
		cmocka_unit_test(removal_keeps_all_other_ids),
		cmocka_unit_test(displaced_ids_are_found_after_growth),
		cmocka_unit_test(take_returns_every_id_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
