// SPDX-License-Identifier: LGPL-2.1-or-later
/* The new calls with a source that is never found empty, and with packets that are kept. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include "fake.h"
#include "core/core.h"

#define EACH 32 /* packets per receive: enough for a queue to be busy */
#define ROUNDS 1500

static size_t largest; /* the size of the largest table so far */
static bool no_memory; /* no table can grow */

void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size)
{
	if (size > largest)
		largest = size;
	return no_memory ? NULL : __real_realloc(p, size);
}

/* Checks that all verdicts have the given mark and the order of the packets. */
static unsigned look_at_verdicts(struct fake *f, uint32_t *id)
{
	struct fake_verdict *v;
	unsigned n = 0;

	while ((v = fake_verdict(f)) != NULL) {
		assert_int_equal(v->id, (*id)++);
		assert_int_equal(v->mark, v->id ^ 0x5a5a);
		fake_verdict_free(v);
		n++;
	}
	return n;
}

/*
 * On a busy queue, the newest verdicts are sent after the next receive, so some verdicts may always be pending.
 * Attributes of verdicts are freed only when no verdict is pending, so this must happen from time to time.
 */
static void memory_of_verdict_attributes_is_bounded_on_busy_queue(void **state)
{
	struct fake *f = fake_new(false);
	struct ipq_packet packet[64];
	struct ipq_queue *q;
	uint32_t id = f->next_id;
	unsigned round, decided = 0, moderated = 0;
	int i, n;

	(void)state;
	largest = 0;
	assert_int_equal(queue_create(&q, fake_source(f), 4096, 0, 0), 0);
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < EACH; i++)
			fake_push_plain(f, AF_INET, 20);
		n = ipq_queue_recv(q, packet, 64, 1000);
		assert_int_equal(n, EACH);
		moderated += fake_waiting(f) > EACH;
		decided += look_at_verdicts(f, &id);
		for (i = 0; i < n; i++) {
			struct ipq_verdict v = { .size = sizeof(v),
						 .present = IPQ_SET_MARK,
						 .mark = packet[i].id ^ 0x5a5a,
						 .code = IPQ_ACCEPT };

			assert_int_equal(ipq_decide(q, &packet[i], &v), 0);
		}
	}
	assert_true(moderated > 0);
	assert_int_equal(ipq_queue_flush(q), 0);
	decided += look_at_verdicts(f, &id);
	assert_int_equal(decided, ROUNDS * EACH);
	assert_int_equal(fake_waiting(f), 0);
	assert_true(largest < (size_t)1 << 20); /* before a correction it was 4.6 MB */
	ipq_queue_close(q);
	fake_free(f);
}

/* Checks a copy: attributes must be aligned, whatever the lengths before them are. */
static void keep_and_compare(uint8_t *bytes, uint16_t ct, uint16_t exp, uint16_t link, uint16_t context,
			     uint16_t payload)
{
	struct ipq_packet p = {
		.id = 7,
		.present = payload > 0 ? IPQ_HAS_PAYLOAD : 0,
		.conntrack = bytes,
		.conntrack_len = ct,
		.expectation = bytes + 64,
		.expectation_len = exp,
		.link_header = bytes + 128,
		.link_header_len = link,
		.security_context = (const char *)bytes + 192,
		.security_context_len = context,
		.payload = bytes + 256,
		.payload_len = payload,
	};
	struct ipq_packet *kept = ipq_packet_keep(&p);
	uint8_t before[512];
	unsigned i;

	assert_non_null(kept);
	memcpy(before, bytes, sizeof(before));
	memset(bytes, 0xee, sizeof(before)); /* the slot is used for another packet */
	assert_int_equal(kept->id, 7);
	assert_true(ct == 0 || (uintptr_t)kept->conntrack % 4 == 0);
	assert_true(exp == 0 || (uintptr_t)kept->expectation % 4 == 0);
	assert_true(ct == 0 || memcmp(kept->conntrack, before, ct) == 0);
	assert_true(exp == 0 || memcmp(kept->expectation, before + 64, exp) == 0);
	assert_true(link == 0 || memcmp(kept->link_header, before + 128, link) == 0);
	assert_true(context == 0 || memcmp(kept->security_context, before + 192, context) == 0);
	assert_true(payload == 0 || memcmp(kept->payload, before + 256, payload) == 0);
	for (i = 0; i < payload; i++)
		kept->payload[i]++; /* the caller may write to all of the memory */
	ipq_packet_free(kept);
	memcpy(bytes, before, sizeof(before));
}

static void kept_packet_has_all_its_bytes(void **state)
{
	static const uint16_t lengths[] = { 0, 1, 3, 4, 14, 63 };
	uint8_t bytes[512];
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	for (i = 0; i < 6 * 6 * 6; i++) {
		keep_and_compare(bytes, lengths[i % 6], lengths[i / 6 % 6], lengths[i / 36], 20, 200);
		keep_and_compare(bytes, 0, lengths[i % 6], 0, lengths[i / 6 % 6], lengths[i / 36]);
	}
}

static void detached_memory_keeps_packets_after_next_receive(void **state)
{
	struct fake *f = fake_new(false);
	struct ipq_packet old, new;
	struct ipq_queue *q;
	uint8_t before[20];
	void *memory;
	size_t size;

	(void)state;
	assert_int_equal(queue_create(&q, fake_source(f), 4096, 0, 0), 0);
	fake_push_plain(f, AF_INET, 20);
	assert_int_equal(ipq_queue_recv(q, &old, 1, 1000), 1);
	memcpy(before, old.payload, 20);
	assert_int_equal(ipq_queue_detach_memory(q, &memory, &size), 0);
	assert_true(old.payload >= (uint8_t *)memory && old.payload + 20 <= (uint8_t *)memory + size);
	fake_push_plain(f, AF_INET, 40);
	assert_int_equal(ipq_queue_recv(q, &new, 1, 1000), 1);
	assert_true(new.payload < (uint8_t *)memory || new.payload >= (uint8_t *)memory + size);
	assert_int_equal(ipq_accept(q, &old), 0);
	assert_int_equal(ipq_queue_flush(q), 0);
	assert_int_equal(ipq_accept(q, &new), 0);
	assert_int_equal(ipq_queue_flush(q), 0);
	assert_int_equal(fake_waiting(f), 0);
	ipq_queue_close(q);
	assert_memory_equal(old.payload, before, 20);
	munmap(memory, size);
	fake_free(f);
}

static void verdict_without_memory_can_be_given_again(void **state)
{
	struct ipq_verdict v = {
		.size = sizeof(v), .code = IPQ_ACCEPT, .present = IPQ_SET_PRIORITY, .priority = 3
	};
	struct fake *f = fake_new(false);
	struct fake_verdict *given;
	struct ipq_packet packet[2];
	struct ipq_queue *q;

	(void)state;
	assert_int_equal(queue_create(&q, fake_source(f), 4096, 0, 0), 0);
	fake_push_plain(f, AF_INET, 20);
	fake_push_plain(f, AF_INET, 20);
	assert_int_equal(ipq_queue_recv(q, packet, 2, 0), 2);
	no_memory = true;
	assert_int_equal(ipq_accept(q, &packet[0]), -ENOMEM);
	assert_non_null(strstr(ipq_queue_error(q), strerror(ENOMEM)));
	no_memory = false;
	assert_int_equal(ipq_accept(q, &packet[0]), 0);
	no_memory = true; /* there is room for the verdict, but not for its attributes */
	assert_int_equal(ipq_decide(q, &packet[1], &v), -ENOMEM);
	no_memory = false;
	assert_int_equal(ipq_decide(q, &packet[1], &v), 0);
	assert_int_equal(ipq_queue_flush(q), 0);
	for (unsigned i = 0; i < 2; i++) {
		given = fake_verdict(f);
		assert_non_null(given);
		assert_int_equal(given->id, packet[i].id);
		assert_int_equal(given->given.priority, i == 0 ? 0 : 3);
		fake_verdict_free(given);
	}
	ipq_queue_close(q);
	fake_free(f);
}

static bool count_refusal(void *context, const struct source_refusal *refusal)
{
	assert_int_equal(refusal->error, ENOENT);
	++*(unsigned *)context;
	return true;
}

static void push_late(void *context)
{
	fake_push_plain(context, AF_INET, 20);
}

/* Called by the first receive: lets the second one add a packet. */
static void wait_for_second_receive(void *context)
{
	((struct fake *)context)->meanwhile = push_late;
}

/* If there is a callback for refusals, a receive waits for refusals as well as for packets. */
static void receive_returns_after_a_reported_refusal(void **state)
{
	struct fake *f = fake_new(false);
	struct ipq_packet packet[4];
	struct ipq_queue *q;
	unsigned refusal_reported = 0;

	(void)state;
	assert_int_equal(queue_create(&q, fake_source(f), 4096, 0, 0), 0);
	queue_on_refused(q, count_refusal, &refusal_reported);
	fake_push_plain(f, AF_INET, 20);
	assert_int_equal(ipq_queue_recv(q, packet, 4, IPQ_FOREVER), 1);
	fake_forget(f, 0);
	fake_end(f);
	assert_int_equal(ipq_accept(q, packet), 0);
	assert_int_equal(ipq_queue_recv(q, packet, 4, IPQ_FOREVER), 0);
	assert_int_equal(refusal_reported, 1);
	f->end = false;
	f->context = f;
	f->meanwhile = wait_for_second_receive;
	assert_int_equal(ipq_queue_recv(q, packet, 4, IPQ_FOREVER),
			 1); /* only a new refusal ends a receive */
	fake_end(f);
	assert_int_equal(ipq_queue_recv(q, packet, 4, IPQ_FOREVER), -ENODATA);
	ipq_queue_close(q);
	fake_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(receive_returns_after_a_reported_refusal),
		cmocka_unit_test(memory_of_verdict_attributes_is_bounded_on_busy_queue),
		cmocka_unit_test(verdict_without_memory_can_be_given_again),
		cmocka_unit_test(kept_packet_has_all_its_bytes),
		cmocka_unit_test(detached_memory_keeps_packets_after_next_receive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
