// SPDX-License-Identifier: LGPL-2.1-or-later
/* The effects of a queue's options; and a closed queue must leave nothing behind. A capture file is the source. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <net/if.h> /* must precede <linux/if.h> */
#include "../directory_entries.h"
#include "capture/state.h"
#include "capture_file.h"
#include "core/flow_table.h"
#include "core/state.h"

static bool no_flows; /* the allocation of the flow table fails */

struct flows *__real_flows_create(const struct ipq_queue *q);
struct flows *__wrap_flows_create(const struct ipq_queue *q);
struct flows *__wrap_flows_create(const struct ipq_queue *q)
{
	return no_flows ? NULL : __real_flows_create(q);
}

static struct capture_file in;
static char source[64], words[320];

static const char *capture(void)
{
	put_header(&in, false, false, 1);
	put_frame(&in, 1, 1, 100, 1);
	snprintf(source, sizeof(source), "pcap:%s", place(&in));
	return source;
}

static int open_queue(struct ipq_queue **q, struct ipq_options o)
{
	o.size = sizeof(o);
	o.error = words;
	o.error_size = sizeof(words);
	words[0] = '\0';
	return ipq_queue_open(q, capture(), &o);
}

/* Returns the settings of the source and the size of the slots. */
static struct source_config settings(struct ipq_options o, size_t *slot)
{
	struct source_config c;
	struct ipq_queue *q;

	assert_int_equal(open_queue(&q, o), 0);
	c = pcap_of(q->source)->config;
	*slot = q->slot_size;
	assert_int_equal(q->memory_size, SOURCE_BATCH_MAX * q->slot_size);
	ipq_queue_close(q);
	return c;
}

static void defaults_have_room_for_whole_packets(void **state)
{
	struct source_config c;
	size_t slot;

	(void)state;
	c = settings((struct ipq_options){ .flags = 0 }, &slot);
	assert_int_equal(c.mode, COPY_PACKET);
	assert_int_equal(c.range, 0);
	assert_true(c.beyond_slot);
	assert_int_equal(c.queue_length, 8192);
	assert_int_equal(c.receive_buffer, 64 << 20);
	assert_in_range(slot, 65536 + 4096, 65536 + 2 * 4096 + 64);
	assert_int_not_equal(slot % 4096, 0);
}

static void slots_have_room_for_the_range_and_attributes(void **state)
{
	struct source_config c;
	size_t slot;

	(void)state;
	c = settings((struct ipq_options){ .copy_range = 5000 }, &slot);
	assert_int_equal(c.range, 5000);
	assert_false(c.beyond_slot);
	assert_in_range(slot, 5000 + 4096, 5000 + 3 * 4096);
	settings((struct ipq_options){ .copy_range = UINT32_MAX }, &slot);
	assert_in_range(slot, 65536 + 4096, 65536 + 2 * 4096 + 64);
	c = settings((struct ipq_options){ .flags = IPQ_O_META_ONLY, .copy_range = 5000 }, &slot);
	assert_int_equal(c.mode, COPY_META);
	assert_in_range(slot, 4096, 3 * 4096);
}

static void receive_buffer_follows_the_length_of_the_queue(void **state)
{
	size_t slot;

	(void)state;
	assert_int_equal(settings((struct ipq_options){ .flags = IPQ_O_META_ONLY }, &slot).receive_buffer,
			 8192 << 10);
	assert_int_equal(
		settings((struct ipq_options){ .queue_length = 100000, .flags = IPQ_O_TIMESTAMP }, &slot)
			.receive_buffer,
		409600000);
	assert_int_equal(settings((struct ipq_options){ .queue_length = UINT32_MAX }, &slot).receive_buffer,
			 512 << 20);
	assert_int_equal(settings((struct ipq_options){ .queue_length = 100, .receive_buffer = 7 }, &slot)
				 .receive_buffer,
			 7);
	assert_int_equal(
		settings((struct ipq_options){ .queue_length = 100, .flags = IPQ_O_META_ONLY }, &slot)
			.receive_buffer,
		102400);
}

static void unknown_options_are_refused(void **state)
{
	static const struct ipq_options wrong[] = {
		{ .flags = 1 << 9 },
		{ .flags = 1U << 31 },
		{ .reserved = 2 },
		{ .reserved2 = 1 },
		{ .flow_max = FLOW_TABLE_MAX + 1 },
		{ .flow_mask = 0xf0, .flow_mark = 0x11 },
	};
	struct ipq_queue *q;

	(void)state;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(open_queue(&q, wrong[i]), -EINVAL);
		assert_null(q);
		assert_true(words[0] != '\0');
	}
}

static void largest_table_of_flows_is_accepted(void **state)
{
	struct ipq_queue *q;

	(void)state;
	assert_int_equal(open_queue(&q, (struct ipq_options){ .flow_max = FLOW_TABLE_MAX }), 0);
	assert_int_equal(q->flow_max, FLOW_TABLE_MAX);
	ipq_queue_close(q);
}

static void mask_and_mark_of_flows_are_those_of_the_program(void **state)
{
	static const struct {
		uint32_t mask, mark, expected_mask, expected_mark;
	} all[] = { { 0, 0, FLOWS_MASK, FLOWS_MARK },
		    { 0xf0, 0x10, 0xf0, 0x10 },
		    { 0x3f0, 0x290, 0x3f0, 0x290 } };
	struct ipq_queue *q;

	(void)state;
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_int_equal(open_queue(&q, (struct ipq_options){ .flow_mask = all[i].mask,
								      .flow_mark = all[i].mark,
								      .flow_max = 100 + i }),
				 0);
		assert_int_equal(q->flow_mask, all[i].expected_mask);
		assert_int_equal(q->flow_mark, all[i].expected_mark);
		assert_int_equal(q->flow_max, 100 + i);
		ipq_queue_close(q);
	}
}

static void closed_and_refused_queues_leave_nothing_behind(void **state)
{
	struct ipq_queue *q;
	unsigned char resident;
	void *memory;
	unsigned open;

	(void)state;
	assert_int_equal(open_queue(&q, (struct ipq_options){ .flags = 0 }), 0);
	ipq_queue_close(q);
	open = directory_entries("/proc/self/fd");
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(open_queue(&q, (struct ipq_options){ .flags = IPQ_O_FLOWS }), 0);
		assert_true(ipq_queue_flags(q) & IPQ_O_FLOWS);
		memory = q->memory;
		assert_int_equal(mincore(memory, 4096, &resident), 0);
		ipq_queue_close(q);
		assert_int_equal(mincore(memory, 4096, &resident), -1); /* the memory is no longer mapped */
		assert_int_equal(open_queue(&q, (struct ipq_options){ .flags = IPQ_O_CONNTRACK }),
				 -EOPNOTSUPP);
		assert_null(q);
		no_flows = true;
		assert_int_equal(open_queue(&q, (struct ipq_options){ .flags = IPQ_O_FLOWS }), -ENOMEM);
		assert_null(q);
		assert_true(words[0] != '\0');
		no_flows = false;
	}
	assert_int_equal(directory_entries("/proc/self/fd"), open);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_have_room_for_whole_packets),
		cmocka_unit_test(slots_have_room_for_the_range_and_attributes),
		cmocka_unit_test(receive_buffer_follows_the_length_of_the_queue),
		cmocka_unit_test(unknown_options_are_refused),
		cmocka_unit_test(largest_table_of_flows_is_accepted),
		cmocka_unit_test(mask_and_mark_of_flows_are_those_of_the_program),
		cmocka_unit_test(closed_and_refused_queues_leave_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
