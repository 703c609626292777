/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Coalescing changes the cost of verdicts, never their effect. The reference is the kernel's rule, in a few lines: a
 * single message decides one packet, a batch decides every waiting packet up to its id, oldest first. Packed messages
 * must have the same effect as verdicts that are sent one by one: the same packets, the same verdicts, in the same
 * order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "core/verdicts.h"
#include "rounds.h"

#define PACKETS 8

struct kernel {
	uint32_t waiting[64];
	unsigned count;
	/* The verdicts that have taken effect, in order. */
	uint32_t id[64], code[64], mark[64];
	unsigned done;
};

static void reinject(struct kernel *k, unsigned at, const struct source_verdict *v)
{
	k->id[k->done] = k->waiting[at];
	k->code[k->done] = v->code;
	k->mark[k->done++] = v->present & IPQ_SET_MARK ? v->mark : 0;
	memmove(k->waiting + at, k->waiting + at + 1, (k->count - at - 1) * sizeof(k->waiting[0]));
	k->count--;
}

static void judge(struct kernel *k, const struct source_verdict *v)
{
	unsigned at;

	if (v->batch) {
		assert_int_equal(v->present & ~(uint32_t)IPQ_SET_MARK, 0);
		while (k->count > 0 && (int32_t)(k->waiting[0] - v->id) <= 0)
			reinject(k, 0, v);
		return;
	}
	for (at = 0; at < k->count && k->waiting[at] != v->id; at++)
		;
	assert_true(at < k->count); /* in this case the kernel would answer ENOENT */
	reinject(k, at, v);
}

struct given {
	uint32_t id, code, mark; /* mark 0: the verdict has no mark */
};

static void give(struct verdicts *v, const struct given *g)
{
	struct source_verdict extra = { .present = IPQ_SET_MARK, .mark = g->mark };

	assert_int_equal(verdicts_set(v, g->id, g->code, g->mark ? &extra : NULL), 0);
}

/* Sends all pending verdicts, at most max messages at a time. Returns the number of messages. */
static unsigned flush(struct verdicts *v, struct kernel *k, unsigned max)
{
	struct source_verdict out[64];
	size_t covers[64];
	unsigned n, i, messages = 0;

	while (v->count > 0) {
		n = verdicts_pack(v, v->count, out, covers, max);
		assert_true(n > 0);
		for (i = 0; i < n; i++)
			judge(k, &out[i]);
		verdicts_sent(v, covers[n - 1]);
		messages += n;
	}
	return messages;
}

static void expect(const struct kernel *k, const struct given *g, unsigned n)
{
	unsigned i;

	assert_int_equal(k->done, n);
	for (i = 0; i < n; i++) {
		assert_int_equal(k->id[i], g[i].id);
		assert_int_equal(k->code[i], g[i].code);
		assert_int_equal(k->mark[i], g[i].mark);
	}
}

static void receive(struct verdicts *v, struct kernel *k, uint32_t id)
{
	assert_int_equal(verdicts_add_pending(v, id), 0);
	k->waiting[k->count++] = id;
}

/*
 * Receives packets, gives the n verdicts of g in this order, and flushes after each verdict whose bit is set in
 * `flushes`. The other packets stay undecided. Returns the number of messages.
 */
static unsigned play(uint32_t first, unsigned packets, const struct given *g, unsigned n, unsigned flushes,
		     unsigned max)
{
	/* Positions wrap like ids. In this test they wrap in the middle of the packets. */
	struct verdicts v = { .head = UINT32_MAX - 2, .tail = UINT32_MAX - 2 };
	struct kernel k = { .count = 0 };
	unsigned i, messages = 0;

	for (i = 0; i < packets; i++)
		receive(&v, &k, first + i);
	for (i = 0; i < n; i++) {
		give(&v, &g[i]);
		if (flushes & (1U << i))
			messages += flush(&v, &k, max);
	}
	messages += flush(&v, &k, max);
	expect(&k, g, n);
	assert_int_equal(k.count, packets - n);
	assert_int_equal(v.waiting, packets - n);
	verdicts_free(&v);
	return messages;
}

/*
 * Tries every order of up to 8 packets, and every subset of undecided packets, which are those after the end of a
 * shortened order.
 */
static void permute(struct given *g, unsigned at, unsigned n, uint32_t first, unsigned long *played)
{
	unsigned i, cut;

	if (at == n) {
		for (cut = 1; cut <= n; cut++)
			play(first, n, g, cut, 0, 64);
		++*played;
		return;
	}
	for (i = at; i < n; i++) {
		struct given t = g[at];

		g[at] = g[i];
		g[i] = t;
		permute(g, at + 1, n, first, played);
		t = g[at];
		g[at] = g[i];
		g[i] = t;
	}
}

static void packing_any_order_of_8_packets_equals_single_verdicts(void **state)
{
	struct given g[PACKETS];
	unsigned long played, orders = 1;
	unsigned i, n;

	(void)state;
	for (i = 0; i < PACKETS; i++)
		g[i] = (struct given){ 100 + i, NF_ACCEPT, 0 };
	for (n = 1; n <= PACKETS; n++) {
		played = 0;
		orders *= n;
		permute(g, 0, n, 100, &played);
		assert_int_equal(played, orders);
	}
	assert_int_equal(orders, 40320);
}

/*
 * Tries all complete orders like permute, with each packet accepted or dropped: 8! * 2^8 cases, without those that
 * only exchange the two verdicts.
 */
static void permute_mixed(struct given *g, unsigned at, unsigned n, unsigned long *played)
{
	unsigned i, mix;

	for (mix = 0; at == n && mix < 1U << (n - 1); mix++) {
		for (i = 0; i < n; i++)
			g[i].code = mix >> i & 1 ? NF_DROP : NF_ACCEPT;
		play(1, n, g, n, 0, 64);
		++*played;
	}
	for (i = at; i < n; i++) {
		struct given t = g[at];

		g[at] = g[i];
		g[i] = t;
		permute_mixed(g, at + 1, n, played);
		t = g[at];
		g[at] = g[i];
		g[i] = t;
	}
}

static void packing_any_order_of_two_kinds_equals_single_verdicts(void **state)
{
	static const unsigned long wanted[] = { 0, 1, 4, 24, 192, 1920, 23040, 322560, 5160960 };
	unsigned long played;
	struct given g[PACKETS];
	double seconds = 0;
	clock_t began;
	unsigned i, n;

	(void)state;
	for (n = 1; n <= PACKETS; n++) {
		/* With sanitizers, valgrind or emulated processors, this takes minutes instead of 6 s. */
		if (n > 1 && seconds * (double)wanted[n] / (double)wanted[n - 1] > rounds(12)) {
			print_message("%u took %.1f s: more are left out here\n", n - 1, seconds);
			break;
		}
		for (i = 0; i < n; i++)
			g[i] = (struct given){ 1 + i, NF_ACCEPT, 0 };
		played = 0;
		began = clock();
		permute_mixed(g, 0, n, &played);
		seconds = (double)(clock() - began) / CLOCKS_PER_SEC;
		assert_int_equal(played, wanted[n]);
	}
}

/*
 * Tries up to 6 packets, each accepted, accepted with one of two marks, or repeated with a mark, in every order,
 * with every pattern of flushes.
 */
static void packing_any_mix_of_verdicts_equals_single_verdicts(void **state)
{
	static const struct {
		uint32_t code, mark;
	} kind[] = { { NF_ACCEPT, 0 }, { NF_ACCEPT, 8 }, { NF_REPEAT, 7 }, { NF_ACCEPT, 7 } };
	unsigned n, mix, i, flushes;

	(void)state;
	for (n = 1; n <= 6; n++) {
		for (mix = 0; mix < 1U << (2 * n); mix++) {
			struct given g[6];

			for (i = 0; i < n; i++)
				g[i] = (struct given){ 1 + i, kind[mix >> (2 * i) & 3].code,
						       kind[mix >> (2 * i) & 3].mark };
			for (flushes = 0; flushes < 1U << n; flushes++)
				play(1, n, g, n, flushes, 64);
		}
	}
	for (mix = 0; mix < 1U << 8; mix++) {
		struct given g[4];
		unsigned long played = 0;

		for (i = 0; i < 4; i++)
			g[i] = (struct given){ 1 + i, kind[mix >> (2 * i) & 3].code,
					       kind[mix >> (2 * i) & 3].mark };
		permute(g, 0, 4, 1, &played);
	}
}

static void wrapping_ids_become_one_message(void **state)
{
	struct given g[PACKETS];
	unsigned i;

	(void)state;
	for (i = 0; i < PACKETS; i++)
		g[i] = (struct given){ UINT32_MAX - 3 + i, NF_ACCEPT, 0 };
	assert_int_equal(play(UINT32_MAX - 3, PACKETS, g, PACKETS, 0, 64), 1);
}

/* Checks that verdicts are coalesced at all. */
static void verdicts_in_order_become_one_message(void **state)
{
	struct given g[PACKETS];
	unsigned i;

	(void)state;
	for (i = 0; i < PACKETS; i++)
		g[i] = (struct given){ 5 + i, NF_ACCEPT, 0 };
	assert_int_equal(play(5, PACKETS, g, PACKETS, 0, 64), 1);
	g[3].mark = 9;
	assert_int_equal(play(5, PACKETS, g, PACKETS, 0, 64), 3);
	/* The oldest packet still waits, so no batch may decide packets after it. */
	assert_int_equal(play(4, PACKETS + 1, g, PACKETS, 0, 64), PACKETS);
}

/* NFQNL_MSG_VERDICT_BATCH supports NFQA_MARK: the kernel sets it on every packet that the message decides. */
static void equal_verdicts_with_equal_marks_become_one_message(void **state)
{
	struct given g[PACKETS];
	unsigned i;

	(void)state;
	for (i = 0; i < PACKETS; i++)
		g[i] = (struct given){ 5 + i, NF_REPEAT, 0x100 };
	assert_int_equal(play(5, PACKETS, g, PACKETS, 0, 64), 1);
	g[3].mark = 0x200; /* runs of 3, 1 and 4 */
	assert_int_equal(play(5, PACKETS, g, PACKETS, 0, 64), 3);
	g[3] = (struct given){ 8, NF_ACCEPT, 0x100 };
	assert_int_equal(play(5, PACKETS, g, PACKETS, 0, 64), 3);
	g[3] = (struct given){ 8, NF_REPEAT, 0 };
	assert_int_equal(play(5, PACKETS, g, PACKETS, 0, 64), 3);
	g[3] = (struct given){ 9, NF_REPEAT, 0x100 }; /* the ids are out of order: 5 to 7, 9, 8 to 12 */
	g[4].id = 8;
	assert_int_equal(play(5, PACKETS, g, PACKETS, 0, 64), 3);
	/* The oldest packet still waits. */
	assert_int_equal(play(4, PACKETS + 1, g, PACKETS, 0, 64), PACKETS);
}

static void mark_of_0_is_not_the_same_as_no_mark(void **state)
{
	const struct source_verdict zero = { .present = IPQ_SET_MARK };
	struct verdicts v = { 0 };
	struct source_verdict out[4];
	size_t covers[4];
	uint32_t id;

	(void)state;
	for (id = 1; id <= 4; id++) {
		assert_int_equal(verdicts_add_pending(&v, id), 0);
		assert_int_equal(verdicts_set(&v, id, NF_ACCEPT, id <= 2 ? &zero : NULL), 0);
	}
	assert_int_equal(verdicts_pack(&v, 4, out, covers, 4), 2);
	assert_true(out[0].batch && out[0].id == 2 && out[0].present == IPQ_SET_MARK && out[0].mark == 0);
	assert_true(out[1].batch && out[1].id == 4 && out[1].present == 0);
	verdicts_free(&v);
}

/* A batch can only have a mark: a verdict with other settings has its own message. */
static void verdicts_with_more_than_a_mark_are_sent_one_by_one(void **state)
{
	const struct source_verdict more[] = { { .present = IPQ_SET_PRIORITY, .priority = 3 },
					       { .present = IPQ_SET_MARK | IPQ_SET_PRIORITY, .mark = 1 },
					       { .present = IPQ_SET_MARK | IPQ_SET_PAYLOAD, .mark = 1 },
					       { .present = IPQ_SET_MARK | IPQ_SET_CONNTRACK_MARK,
						 .mark = 1 } };
	struct source_verdict out[4];
	size_t covers[4], i;
	uint32_t id;

	(void)state;
	for (i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		struct verdicts v = { 0 };

		for (id = 1; id <= 3; id++) {
			assert_int_equal(verdicts_add_pending(&v, id), 0);
			assert_int_equal(verdicts_set(&v, id, NF_ACCEPT, &more[i]), 0);
		}
		assert_int_equal(verdicts_pack(&v, 3, out, covers, 4), 3);
		for (id = 1; id <= 3; id++)
			assert_true(!out[id - 1].batch && out[id - 1].id == id &&
				    out[id - 1].present == more[i].present);
		verdicts_free(&v);
	}
}

static void packet_is_decided_once(void **state)
{
	struct verdicts v = { 0 };
	struct kernel k = { .count = 0 };
	struct given g = { 1, NF_ACCEPT, 0 };

	(void)state;
	assert_int_equal(flush(&v, &k, 64), 0);
	assert_int_equal(verdicts_pack(&v, 0, NULL, NULL, 1), 0);
	verdicts_sent(&v, 0);
	assert_int_equal(verdicts_set(&v, 1, NF_ACCEPT, NULL), -ENOENT);
	receive(&v, &k, 1);
	receive(&v, &k, 2);
	give(&v, &g);
	assert_int_equal(verdicts_set(&v, 1, NF_DROP, NULL), -ENOENT);
	flush(&v, &k, 64);
	assert_int_equal(verdicts_set(&v, 1, NF_DROP, NULL), -ENOENT);
	assert_int_equal(verdicts_set(&v, 3, NF_DROP, NULL), -ENOENT);
	assert_int_equal(v.waiting, 1);
	verdicts_free(&v);
}

/* If only a part of the verdicts is sent, the others stay pending, in order, and no packet is decided twice. */
static void unsent_verdicts_stay_pending(void **state)
{
	unsigned round;

	(void)state;
	srand(1);
	for (round = 0; round < rounds(1000); round++) {
		struct verdicts v = { 0 };
		struct kernel k = { .count = 0 };
		struct source_verdict out[8];
		size_t covers[8];
		struct given g[16];
		unsigned i, n, taken, total = 0;

		for (i = 0; i < 16; i++)
			receive(&v, &k, 10 + 2 * i); /* the ids have gaps because of lost packets */
		for (i = 0; i < 16; i++) {
			g[i] = (struct given){ 10 + 2 * i, rand() % 3 ? NF_ACCEPT : NF_DROP,
					       rand() % 4 ? 0 : 1 + (uint32_t)rand() % 9 };
			give(&v, &g[i]);
		}
		while (v.count > 0) {
			n = verdicts_pack(&v, v.count, out, covers, 1 + (unsigned)rand() % 8);
			taken = (unsigned)rand() % (n + 1);
			for (i = 0; i < taken; i++)
				judge(&k, &out[i]);
			if (taken > 0)
				verdicts_sent(&v, covers[taken - 1]);
			assert_true(++total < 10000);
		}
		expect(&k, g, 16);
		verdicts_free(&v);
	}
}

/*
 * Many packets, verdicts out of order, and more packets between flushes: the ring grows and wraps. The first
 * `stuck` packets wait until the end, so the ring is renewed while it has verdicts that were not sent.
 */
static void play_random_traffic(unsigned stuck)
{
	unsigned round;

	srand(2);
	for (round = 0; round < rounds(100); round++) {
		struct verdicts v = { 0 };
		struct kernel k = { .count = 0 };
		uint32_t next = (uint32_t)rand() * 2U, held[48];
		unsigned count = 0, step, judged = 0;

		for (step = 0; step < (stuck > 0 ? 4000U : 400U); step++) {
			if (count < 48 && k.count < 64 && rand() % 2) {
				next += rand() % 10 ? 1 : 2;
				receive(&v, &k, next);
				held[count++] = next;
			} else if (count > stuck) {
				unsigned pick = stuck + (rand() % 3 ? 0 : (unsigned)rand() % (count - stuck));
				struct given g = { held[pick], NF_ACCEPT,
						   rand() % 3 ? 0 : 3 + (uint32_t)rand() % 2 };

				give(&v, &g);
				memmove(held + pick, held + pick + 1, (count - pick - 1) * sizeof(held[0]));
				count--;
				judged++;
			}
			if (rand() % 5 == 0) {
				flush(&v, &k, 1 + (unsigned)rand() % 64);
				assert_int_equal(k.done, judged);
				k.done = judged = 0;
				assert_int_equal(k.count, count);
			}
		}
		assert_true(v.room <= 256);
		verdicts_free(&v);
	}
}

static void packing_random_traffic_equals_single_verdicts(void **state)
{
	(void)state;
	play_random_traffic(0);
}

static void packing_random_traffic_past_held_packets_equals_single_verdicts(void **state)
{
	(void)state;
	play_random_traffic(1);
	play_random_traffic(20);
}

static void packet_added_out_of_order_is_decided_in_order(void **state)
{
	struct verdicts v = { 0 };
	struct kernel k = { .count = 0 };
	struct given g[3] = { { 2, NF_ACCEPT, 0 }, { 1, NF_ACCEPT, 0 }, { 3, NF_ACCEPT, 0 } };

	(void)state;
	k.waiting[0] = 1, k.waiting[1] = 2, k.waiting[2] = 3;
	k.count = 3;
	verdicts_add_pending(&v, 2);
	give(&v, &g[0]);
	verdicts_add_pending(&v, 1); /* packet 1 was deferred */
	verdicts_add_pending(&v, 3);
	give(&v, &g[1]);
	give(&v, &g[2]);
	flush(&v, &k, 64);
	expect(&k, g, 3);
	verdicts_free(&v);
}

/* Packet 2 has a pending verdict when packet 1 arrives. The verdict must stay with packet 2. */
static void late_packet_does_not_change_pending_verdicts(void **state)
{
	struct verdicts v = { .head = UINT32_MAX, .tail = UINT32_MAX };
	struct kernel k = { .waiting = { 1, 2 }, .count = 2 };
	struct given g[2] = { { 2, NF_DROP, 0 }, { 1, NF_ACCEPT, 0 } };

	(void)state;
	verdicts_add_pending(&v, 2);
	give(&v, &g[0]);
	verdicts_add_pending(&v, 1);
	flush(&v, &k, 64);
	assert_int_equal(verdicts_set(&v, 2, NF_ACCEPT, NULL), -ENOENT);
	give(&v, &g[1]);
	flush(&v, &k, 64);
	expect(&k, g, 2);
	verdicts_free(&v);
}

static void memory_is_constant_over_10000_verdicts(void **state)
{
	const struct source_verdict prioritized = { .present = IPQ_SET_PRIORITY, .priority = 1 };
	struct verdicts v = { 0 };
	struct source_verdict out[4];
	size_t covers[4];
	uint32_t id;

	(void)state;
	for (id = 1; id < 10000; id++) {
		assert_int_equal(verdicts_add_pending(&v, id), 0);
		assert_int_equal(verdicts_set(&v, id, NF_ACCEPT, &prioritized), 0);
		assert_int_equal(verdicts_pack(&v, v.count, out, covers, 4), 1);
		verdicts_sent(&v, covers[0]);
	}
	assert_true(v.room <= 256 && v.log_room <= 64 && v.extra_room <= 64);
	verdicts_free(&v);
}

/* A program forgets or delays one packet: memory must not grow with the number of other packets. */
static void memory_depends_on_packets_that_wait_not_on_those_that_pass(void **state)
{
	struct verdicts v = { 0 };
	struct source_verdict out[4];
	size_t covers[4];
	uint32_t id;

	(void)state;
	for (id = 1; id <= 100; id++) /* these packets wait until the end */
		assert_int_equal(verdicts_add_pending(&v, id), 0);
	for (; id < rounds(300000); id++) {
		assert_int_equal(verdicts_add_pending(&v, id), 0);
		assert_int_equal(verdicts_set(&v, id, NF_ACCEPT, NULL), 0);
		if (id % 16 != 0)
			continue;
		while (v.count > 0)
			verdicts_sent(&v, covers[verdicts_pack(&v, v.count, out, covers, 4) - 1]);
	}
	assert_true(v.room <= 512);
	for (id = 1; id <= 100; id++)
		assert_int_equal(verdicts_set(&v, id, NF_ACCEPT, NULL), 0);
	while (v.count > 15)
		verdicts_sent(&v, covers[verdicts_pack(&v, v.count - 15, out, covers, 1) - 1]);
	verdicts_free(&v);
}

/* After 2^31 packets, the kernel would mistake the oldest packet for a newer one. */
static void run_ends_before_it_spans_half_of_all_ids(void **state)
{
	const uint32_t id[] = { 1, 5, INT32_MAX, INT32_MAX + 2U, INT32_MAX + 9U };
	struct verdicts v = { 0 };
	struct source_verdict out[8];
	size_t covers[8];
	unsigned i;

	(void)state;
	for (i = 0; i < 5; i++)
		assert_int_equal(verdicts_add_pending(&v, id[i]), 0);
	for (i = 0; i < 5; i++)
		assert_int_equal(verdicts_set(&v, id[i], NF_ACCEPT, NULL), 0);
	assert_int_equal(verdicts_pack(&v, v.count, out, covers, 8), 2);
	assert_true(out[0].batch && out[0].id == INT32_MAX);
	assert_true(out[1].batch && out[1].id == INT32_MAX + 9U);
	verdicts_free(&v);
}

/* As in a busy queue, where the newest verdicts are deferred. */
static void memory_is_bounded_while_newest_verdicts_are_deferred(void **state)
{
	struct verdicts v = { 0 };
	struct source_verdict out[4];
	size_t covers[4];
	uint32_t id;

	(void)state;
	for (id = 1; id < 10000; id++) {
		assert_int_equal(verdicts_add_pending(&v, id), 0);
		assert_int_equal(verdicts_set(&v, id, NF_ACCEPT, NULL), 0);
		if (id % 41 != 0)
			continue;
		assert_int_equal(verdicts_pack(&v, v.count - 8, out, covers, 4), 1);
		assert_int_equal(out[0].id, id - 8);
		assert_int_equal(covers[0], v.count - 8);
		verdicts_sent(&v, covers[0]);
	}
	assert_true(v.room <= 256 && v.log_room <= 128);
	verdicts_free(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packing_any_order_of_8_packets_equals_single_verdicts),
		cmocka_unit_test(packing_any_order_of_two_kinds_equals_single_verdicts),
		cmocka_unit_test(packing_any_mix_of_verdicts_equals_single_verdicts),
		cmocka_unit_test(wrapping_ids_become_one_message),
		cmocka_unit_test(verdicts_in_order_become_one_message),
		cmocka_unit_test(equal_verdicts_with_equal_marks_become_one_message),
		cmocka_unit_test(mark_of_0_is_not_the_same_as_no_mark),
		cmocka_unit_test(verdicts_with_more_than_a_mark_are_sent_one_by_one),
		cmocka_unit_test(packet_is_decided_once),
		cmocka_unit_test(unsent_verdicts_stay_pending),
		cmocka_unit_test(packing_random_traffic_equals_single_verdicts),
		cmocka_unit_test(packet_added_out_of_order_is_decided_in_order),
		cmocka_unit_test(late_packet_does_not_change_pending_verdicts),
		cmocka_unit_test(memory_is_constant_over_10000_verdicts),
		cmocka_unit_test(memory_depends_on_packets_that_wait_not_on_those_that_pass),
		cmocka_unit_test(run_ends_before_it_spans_half_of_all_ids),
		cmocka_unit_test(packing_random_traffic_past_held_packets_equals_single_verdicts),
		cmocka_unit_test(memory_is_bounded_while_newest_verdicts_are_deferred),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
