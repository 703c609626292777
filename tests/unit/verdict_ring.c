// SPDX-License-Identifier: LGPL-2.1-or-later
/* The ring of packets without a verdict: gaps in the ids, packets that arrive late, sends that fail in part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/netfilter.h>
#include "core/verdicts.h"

static struct source_verdict out[64];
static size_t covers[64];

static void add(struct verdicts *v, uint32_t id)
{
	assert_int_equal(verdicts_add_pending(v, id), 0);
}

static void accept_id(struct verdicts *v, uint32_t id)
{
	assert_int_equal(verdicts_set(v, id, NF_ACCEPT, NULL), 0);
}

static void absent_id_is_refused(void **state)
{
	struct verdicts v = { 0 };

	(void)state;
	add(&v, 10);
	add(&v, 20);
	add(&v, 30);
	for (uint32_t id = 0; id < 40; id++) {
		assert_int_equal(verdicts_is_pending(&v, id), id == 10 || id == 20 || id == 30);
		if (id != 10 && id != 20 && id != 30)
			assert_int_equal(verdicts_set(&v, id, NF_ACCEPT, NULL), -ENOENT);
	}
	accept_id(&v, 20);
	assert_false(verdicts_is_pending(&v, 20));
	assert_int_equal(v.waiting, 2);
	verdicts_free(&v);
}

static void ids_with_gaps_are_found_where_they_wrap(void **state)
{
	struct verdicts v = { 0 };
	static const uint32_t ids[] = { UINT32_MAX - 20, UINT32_MAX - 10, UINT32_MAX, 7, 9, 30 };

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		add(&v, ids[i]);
	for (unsigned i = 0; i < 6; i++)
		assert_true(verdicts_is_pending(&v, ids[i]));
	verdicts_free(&v);
}

/* Packet 2 has arrived after 1, 3 and 4. A batch for those three must not cover it. */
static void batch_does_not_cover_a_late_packet(void **state)
{
	struct verdicts v = { 0 };
	unsigned n;

	(void)state;
	add(&v, 1);
	add(&v, 3);
	add(&v, 4);
	add(&v, 2);
	accept_id(&v, 1);
	accept_id(&v, 3);
	accept_id(&v, 4);
	n = verdicts_pack(&v, v.count, out, covers, 64);
	for (unsigned i = 0; i < n; i++)
		assert_true(!out[i].batch || out[i].id < 2);
	verdicts_free(&v);
}

static void no_batch_while_other_packets_may_wait(void **state)
{
	struct verdicts v = { .unknown_pending = true };

	(void)state;
	for (uint32_t id = 1; id <= 3; id++)
		add(&v, id);
	for (uint32_t id = 1; id <= 3; id++)
		accept_id(&v, id);
	assert_int_equal(verdicts_pack(&v, v.count, out, covers, 64), 3);
	for (unsigned i = 0; i < 3; i++)
		assert_false(out[i].batch);
	verdicts_free(&v);
}

/*
 * One of several messages is sent, and then the ring is renewed. The other messages must still belong to their
 * packets.
 */
static void partly_sent_verdicts_do_not_touch_later_packets(void **state)
{
	struct verdicts v = { 0 };

	(void)state;
	for (uint32_t id = 1; id <= 256; id++)
		add(&v, id);
	for (uint32_t id = 1; id <= 4; id++)
		assert_int_equal(verdicts_set(&v, id, id % 2 ? NF_ACCEPT : NF_DROP, NULL), 0);
	assert_int_equal(verdicts_pack(&v, v.count, out, covers, 64), 4);
	verdicts_sent(&v, covers[0]);
	for (uint32_t id = 257; id <= 300; id++)
		add(&v, id);
	assert_int_equal(verdicts_pack(&v, v.count, out, covers, 64), 3);
	verdicts_sent(&v, covers[2]);
	for (uint32_t id = 5; id <= 300; id++)
		accept_id(&v, id);
	verdicts_free(&v);
}

static void mark_of_0_is_sent(void **state)
{
	const struct source_verdict clear = { .present = IPQ_SET_MARK };
	struct verdicts v = { 0 };

	(void)state;
	add(&v, 1);
	assert_int_equal(verdicts_set(&v, 1, NF_ACCEPT, &clear), 0);
	assert_int_equal(verdicts_pack(&v, v.count, out, covers, 64), 1);
	assert_int_equal(out[0].present, IPQ_SET_MARK);
	assert_int_equal(out[0].mark, 0);
	verdicts_free(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(absent_id_is_refused),
		cmocka_unit_test(ids_with_gaps_are_found_where_they_wrap),
		cmocka_unit_test(batch_does_not_cover_a_late_packet),
		cmocka_unit_test(no_batch_while_other_packets_may_wait),
		cmocka_unit_test(partly_sent_verdicts_do_not_touch_later_packets),
		cmocka_unit_test(mark_of_0_is_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
