/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "output/writer.h"
#include "util/clock.h"

/* The target of the writes. Each item begins with its number, and all its bytes have this value. */
struct target {
	pthread_mutex_t gate; /* while this mutex is locked, write() blocks */
	_Atomic unsigned written, flushed, closed, failures;
	_Atomic uint64_t reported;
	unsigned last[4]; /* number of the last item, by producer */
	bool in_order;
	int error, close_error;
};

struct item {
	unsigned producer, number;
};

static int write_item(void *context, const void *bytes, size_t len)
{
	const struct item *item = bytes;
	struct target *t = context;
	const uint8_t *rest = (const uint8_t *)(item + 1);

	pthread_mutex_lock(&t->gate);
	pthread_mutex_unlock(&t->gate);
	if (t->error != 0)
		return t->error;
	t->in_order &= item->number > t->last[item->producer];
	t->last[item->producer] = item->number;
	for (size_t i = 0; i < len - sizeof(*item); i++)
		t->in_order &= rest[i] == (uint8_t)item->number;
	t->written++;
	return 0;
}

static int flush(void *context)
{
	((struct target *)context)->flushed++;
	return 0;
}

static int close_target(void *context)
{
	((struct target *)context)->closed++;
	return ((struct target *)context)->close_error;
}

static void failed(void *context, int error)
{
	struct target *t = context;

	assert_int_equal(error, t->error != 0 ? t->error : t->close_error);
	t->failures++;
}

static void dropped(void *context, uint64_t n)
{
	((struct target *)context)->reported += n;
}

static const struct writer_ops ops = {
	.write = write_item, .flush = flush, .close = close_target, .failed = failed, .dropped = dropped
};

static bool put(struct writer *w, unsigned producer, unsigned number, size_t len)
{
	struct item item = { producer, number };
	uint8_t bytes[1024];
	struct iovec piece[] = { { &item, sizeof(item) }, { bytes, len } };

	memset(bytes, (int)number, sizeof(bytes));
	return writer_put(w, piece, 2);
}

static struct target *new_target(void)
{
	struct target *t = calloc(1, sizeof(*t));

	pthread_mutex_init(&t->gate, NULL);
	t->in_order = true;
	return t;
}

static void end(struct writer *w, struct target *t)
{
	assert_true(writer_end(w, 10000));
	assert_int_equal(t->closed, 1);
	writer_free(w);
	pthread_mutex_destroy(&t->gate);
	free(t);
}

static void items_of_any_length_arrive_whole_and_in_order(void **state)
{
	struct target *t = new_target();
	struct writer *w;

	(void)state;
	assert_int_equal(writer_start(&w, &ops, t, 4096, NULL), 0);
	srandom(1);
	for (unsigned i = 1; i <= 5000; i++)
		while (!put(w, 0, i, (unsigned)random() % 1000))
			usleep(10);
	assert_true(writer_end(w, 10000));
	assert_int_equal(t->written, 5000);
	assert_true(t->in_order);
	assert_true(t->flushed > 0);
	end(w, t);
}

static void stuck_write_drops_and_counts_without_waiting(void **state)
{
	struct target *t = new_target();
	unsigned taken = 0, refused = 0;
	struct timespec t_now;
	struct writer *w;
	int64_t began;

	(void)state;
	assert_int_equal(writer_start(&w, &ops, t, 4096, NULL), 0);
	pthread_mutex_lock(&t->gate);
	began = now_ms();
	for (unsigned i = 1; i <= 10000; i++)
		put(w, 0, i, 100) ? taken++ : refused++;
	assert_true(now_ms() - began < 2000);
	assert_true(taken > 10 && taken < 60);
	assert_int_equal(writer_dropped(w), refused);
	/*
	 * After the request to end, items that are not written count as dropped. The time limit is in the next
	 * second.
	 */
	clock_gettime(CLOCK_MONOTONIC, &t_now);
	assert_false(writer_end(w, 1000 - (int)(t_now.tv_nsec / 1000000)));
	assert_int_equal(writer_dropped(w), refused + taken);
	pthread_mutex_unlock(&t->gate);
	assert_true(writer_end(w, 10000));
	assert_int_equal(t->written, taken);
	assert_int_equal(writer_dropped(w), refused);
	end(w, t);
}

static void drops_are_reported_when_there_is_room_again(void **state)
{
	struct target *t = new_target();
	struct writer *w;

	(void)state;
	assert_int_equal(writer_start(&w, &ops, t, 4096, NULL), 0);
	pthread_mutex_lock(&t->gate);
	for (unsigned i = 1; i <= 1000; i++)
		put(w, 0, i, 100);
	assert_int_equal(t->reported, 0);
	pthread_mutex_unlock(&t->gate);
	for (int i = 0; i < 5000 && t->reported == 0; i++)
		usleep(1000);
	assert_int_equal(t->reported, writer_dropped(w));
	assert_true(t->reported > 900);
	end(w, t);
}

static void error_ends_writing_and_is_reported_once(void **state)
{
	struct target *t = new_target();
	struct writer *w;

	(void)state;
	t->error = -ENOSPC;
	t->close_error = -EIO; /* an error that is a consequence of the first one */
	assert_int_equal(writer_start(&w, &ops, t, 4096, NULL), 0);
	for (unsigned i = 1; i <= 1000; i++)
		put(w, 0, i, 100);
	assert_true(writer_end(w, 10000));
	assert_int_equal(writer_error(w), -ENOSPC);
	assert_int_equal(t->failures, 1);
	assert_int_equal(t->written, 0);
	assert_int_equal(writer_dropped(w), 999); /* all items except the one that failed */
	end(w, t);
}

static void error_of_the_close_is_one_of_the_writer(void **state)
{
	struct target *t = new_target();
	struct writer *w;

	(void)state;
	t->close_error = -EIO;
	assert_int_equal(writer_start(&w, &ops, t, 4096, NULL), 0);
	put(w, 0, 1, 100);
	assert_true(writer_end(w, 10000));
	assert_int_equal(t->written, 1);
	assert_int_equal(writer_error(w), -EIO);
	end(w, t);
}

static void lossless_producer_waits_for_room_until_stopped(void **state)
{
	static _Atomic bool off;
	struct target *t = new_target();
	struct writer *w;

	(void)state;
	assert_int_equal(writer_start(&w, &ops, t, 4096, &off), 0);
	for (unsigned i = 1; i <= 20000; i++)
		assert_true(put(w, 0, i, 100));
	pthread_mutex_lock(&t->gate);
	off = true;
	for (unsigned i = 20001; i <= 21000; i++)
		put(w, 0, i, 100);
	pthread_mutex_unlock(&t->gate);
	assert_true(writer_end(w, 10000));
	assert_int_equal(t->written + writer_dropped(w), 21000);
	assert_true(t->written >= 20000);
	assert_true(t->in_order);
	end(w, t);
}

struct producer {
	struct writer *w;
	unsigned index;
};

static void *produce(void *arg)
{
	const struct producer *p = arg;

	for (unsigned i = 1; i <= 20000; i++)
		put(p->w, p->index, i, i % 200);
	return NULL;
}

static void items_of_four_threads_are_not_mixed(void **state)
{
	struct target *t = new_target();
	struct producer p[4];
	pthread_t thread[4];
	struct writer *w;

	(void)state;
	assert_int_equal(writer_start(&w, &ops, t, 1 << 16, NULL), 0);
	for (unsigned i = 0; i < 4; i++) {
		p[i] = (struct producer){ w, i };
		assert_int_equal(pthread_create(&thread[i], NULL, produce, &p[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	assert_true(writer_end(w, 10000));
	assert_true(t->in_order);
	assert_int_equal(t->written + writer_dropped(w), 80000);
	end(w, t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_of_any_length_arrive_whole_and_in_order),
		cmocka_unit_test(stuck_write_drops_and_counts_without_waiting),
		cmocka_unit_test(drops_are_reported_when_there_is_room_again),
		cmocka_unit_test(error_ends_writing_and_is_reported_once),
		cmocka_unit_test(error_of_the_close_is_one_of_the_writer),
		cmocka_unit_test(lossless_producer_waits_for_room_until_stopped),
		cmocka_unit_test(items_of_four_threads_are_not_mixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
