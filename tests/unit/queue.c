// SPDX-License-Identifier: LGPL-2.1-or-later
/* The new calls over a source that is never found empty. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "fake.h"
#include "queue.h"

#define EACH 32 /* packets a receive: enough for a queue to be busy */
#define ROUNDS 1500

static size_t largest; /* of all tables that have grown */

void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size)
{
	if (size > largest)
		largest = size;
	return __real_realloc(p, size);
}

/* All have the mark that they were given, in the order of the packets. */
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
 * While a queue is busy its newest verdicts leave after the next packets, so that there may always be some that have
 * not left. What goes beside a verdict is forgotten when all have left, which must happen all the same.
 */
static void what_goes_with_verdicts_does_not_gather(void **state)
{
	struct fake *f = fake_new(false);
	struct ipq_packet packet[64];
	struct ipq_queue *q;
	uint32_t id = f->next_id;
	unsigned round, decided = 0, moderated = 0;
	int i, n;

	(void)state;
	largest = 0;
	assert_int_equal(queue_over(&q, fake_source(f), 4096, 0, 0), 0);
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < EACH; i++)
			fake_push_plain(f, AF_INET, 20);
		n = ipq_queue_recv(q, packet, 64, 1000);
		assert_int_equal(n, EACH);
		moderated += fake_waiting(f) > EACH;
		decided += look_at_verdicts(f, &id);
		for (i = 0; i < n; i++) {
			struct ipq_verdict v = { .size = sizeof(v), .present = IPQ_SET_MARK, .mark = packet[i].id ^ 0x5a5a,
						 .code = IPQ_ACCEPT };

			assert_int_equal(ipq_decide(q, &packet[i], &v), 0);
		}
	}
	assert_true(moderated > 0);
	assert_int_equal(ipq_queue_flush(q), 0);
	decided += look_at_verdicts(f, &id);
	assert_int_equal(decided, ROUNDS * EACH);
	assert_int_equal(fake_waiting(f), 0);
	assert_true(largest < (size_t)1 << 20); /* 4.6 MB before */
	ipq_queue_close(q);
	fake_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_goes_with_verdicts_does_not_gather),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
