// SPDX-License-Identifier: LGPL-2.1-or-later
/* Groups of queues on simulated kernels: counters, and failures of the handler and of the start. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <unistd.h>
#include <ipq.h>
#include "../directory_entries.h"
#include "kernel.h"
#include "util/netlink.h"

#define QUEUES 2

static struct kernel kernel[QUEUES];
static unsigned opened;
static bool no_second_queue;
static struct ipq_group *g;

int __wrap_netlink_open(bool *absent);
int __wrap_netlink_open(bool *absent)
{
	*absent = false;
	if (no_second_queue && opened == 1)
		return -EMFILE;
	return kernel_open(&kernel[opened++]);
}

static bool no_second_thread;
static unsigned threads;
static pthread_t newest;

int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg)
{
	int err;

	/* the first two threads belong to the simulated kernels */
	if (no_second_thread && ++threads == QUEUES + 2)
		return EAGAIN;
	err = __real_pthread_create(t, a, f, arg);
	newest = *t;
	return err;
}

struct handler {
	atomic_uint calls, packets;
	unsigned failing;	 /* one of this many calls succeeds, the others fail */
	atomic_uint fails, last; /* how many of the next calls fail; the number of packets of the last call */
	atomic_bool busy;	 /* the handler does not return while this is set */
	bool leaves;		 /* the handler leaves packets without a verdict */
	bool drops;
};

static int handle(struct ipq_queue *q, struct ipq_packet *packet, unsigned n, void *context)
{
	struct handler *h = context;

	h->last = n;
	while (h->busy)
		usleep(100);
	if (atomic_fetch_add(&h->calls, 1) % (h->failing + 1) < h->failing)
		return -EIO;
	if (h->fails > 0) {
		h->fails--;
		return -EIO;
	}
	for (unsigned i = 0; i < n && !h->leaves; i++)
		h->drops ? ipq_drop(q, &packet[i]) : ipq_accept(q, &packet[i]);
	atomic_fetch_add(&h->packets, n);
	return 0;
}

static int start(struct handler *h, uint32_t restarts)
{
	const struct ipq_group_options o = {
		.size = sizeof(o), .first = 300, .count = QUEUES, .restarts = restarts
	};

	opened = threads = 0;
	return ipq_group_start(&g, &o, handle, (void *[]){ &h[0], &h[1] });
}

static void deliver(unsigned queue, uint32_t id)
{
	unsigned char message[256];

	kernel_send(&kernel[queue], message, kernel_packet(message, id, "bytes of a packet...", 20));
}

static void await(atomic_uint *counter, unsigned n)
{
	for (unsigned i = 0; i < 5000 && atomic_load(counter) < n; i++)
		usleep(1000);
	assert_int_equal(atomic_load(counter), n);
}

static void close_kernels(void)
{
	for (unsigned i = 0; i < opened; i++)
		kernel_close(&kernel[i]);
}

static void numbers_beyond_the_last_queue_are_refused(void **state)
{
	static const struct {
		uint32_t first, count;
		bool fits;
	} all[] = { { 65535, 1, true },
		    { 65534, 2, true },
		    { 65535, 2, false },
		    { 65536, 1, false },
		    { 1, 65536, false } };
	struct handler h[QUEUES] = { { .failing = 0 } };

	(void)state;
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const struct ipq_group_options o = { .size = sizeof(o),
						     .first = all[i].first,
						     .count = all[i].count };
		int err;

		opened = threads = 0;
		err = ipq_group_start(&g, &o, handle, (void *[]){ &h[0], &h[1] });
		assert_int_equal(err, all[i].fits ? 0 : -EINVAL);
		assert_int_equal(opened, all[i].fits ? all[i].count : 0);
		if (err == 0)
			assert_int_equal(ipq_group_stop(g), 0);
		close_kernels();
	}
}

static void counters_of_all_queues_are_added_up(void **state)
{
	struct handler h[QUEUES] = { { .leaves = true }, { .leaves = true } };
	struct ipq_stats s = { .size = sizeof(s) };

	(void)state;
	assert_int_equal(start(h, 0), 0);
	for (uint32_t id = 1; id <= 3; id++)
		deliver(id % 2, id);
	await(&h[0].packets, 1);
	await(&h[1].packets, 2);
	/* the counters are published after the handler has returned */
	for (unsigned i = 0; i < 1000 && s.waiting < 3; i++) {
		usleep(1000);
		assert_int_equal(ipq_group_stats(g, &s), 0);
	}
	assert_int_equal(s.waiting, 3);
	assert_int_equal(s.received, 3);
	assert_true(s.receives >= 2);
	assert_int_equal(s.accepted, 0);
	assert_int_equal(ipq_group_stop(g), 0);
	close_kernels();
}

static void dropped_packets_are_added_up(void **state)
{
	struct handler h[QUEUES] = { { .drops = true }, { .drops = true } };
	struct ipq_stats s = { .size = sizeof(s) };

	(void)state;
	assert_int_equal(start(h, 0), 0);
	for (uint32_t id = 1; id <= 5; id++)
		deliver(id % 2, id);
	for (unsigned i = 0; i < 1000 && s.dropped < 5; i++) {
		usleep(1000);
		assert_int_equal(ipq_group_stats(g, &s), 0);
	}
	assert_int_equal(s.dropped, 5);
	assert_int_equal(ipq_group_stop(g), 0);
	close_kernels();
}

static void ignore(int signo)
{
	(void)signo;
}

static void signal_ends_no_member(void **state)
{
	/* without SA_RESTART, so that the signal interrupts a wait */
	const struct sigaction action = { .sa_handler = ignore };
	struct handler h[QUEUES] = { { .failing = 0 }, { .failing = 0 } };

	(void)state;
	sigaction(SIGUSR1, &action, NULL);
	assert_int_equal(start(h, 0), 0);
	deliver(1, 1);
	await(&h[1].packets, 1);
	usleep(2000); /* time for the group to wait for the next packet */
	pthread_kill(newest, SIGUSR1);
	usleep(2000);
	deliver(1, 2);
	await(&h[1].packets, 2);
	assert_int_equal(ipq_group_stop(g), 0);
	close_kernels();
}

/* Two failures for each success: never three in a row. */
static void failures_in_a_row_end_with_a_success(void **state)
{
	struct handler h[QUEUES] = { { .failing = 2 }, { .failing = 0 } };

	(void)state;
	assert_int_equal(start(h, 2), 0);
	for (uint32_t id = 1; id <= 5; id++) {
		deliver(0, id);
		await(&h[0].packets, id);
	}
	assert_int_equal(h[0].calls, 15);
	h[0].failing = 100;
	h[0].calls = 0;
	deliver(0, 6);
	assert_int_equal(ipq_group_wait(g), -EIO);
	assert_int_equal(h[0].calls, 3);
	assert_int_equal(ipq_group_stop(g), -EIO);
	close_kernels();
}

/* A success counts as no failure, and older packets without a verdict are not passed to the handler again. */
static void handler_gets_the_packets_of_a_failure_again(void **state)
{
	struct handler h[QUEUES] = { { .leaves = true }, { .failing = 0 } };
	uint32_t id = 0;

	(void)state;
	assert_int_equal(start(h, 2), 0);
	while (h[0].last < 3) { /* until three packets are received together */
		h[0].busy = true;
		for (unsigned i = 0; i < 4; i++)
			deliver(0, ++id);
		h[0].busy = false;
		await(&h[0].packets, id);
	}
	h[0].calls = 0;
	for (unsigned i = 0; i < 5; i++) {
		h[0].fails = 2;
		deliver(0, ++id);
		await(&h[0].packets, id);
		assert_int_equal(h[0].last, 1);
	}
	assert_int_equal(h[0].calls, 5 * 3);
	assert_int_equal(ipq_group_stop(g), 0);
	close_kernels();
}

/* The kernels' threads end when all sockets are closed. */
static void await_end_of_threads(void)
{
	for (unsigned i = 0; i < 200 && directory_entries("/proc/self/task") > 1; i++)
		usleep(1000);
	assert_int_equal(directory_entries("/proc/self/task"), 1);
}

static void group_that_cannot_start_leaves_nothing(void **state)
{
	struct handler h[QUEUES] = { { .failing = 0 }, { .failing = 0 } };

	(void)state;
	no_second_thread = true;
	assert_int_equal(start(h, 0), -EAGAIN);
	assert_null(g);
	no_second_thread = false;
	await_end_of_threads();
	close_kernels();
}

static void group_whose_second_queue_fails_leaves_nothing(void **state)
{
	struct handler h[QUEUES] = { { .failing = 0 }, { .failing = 0 } };
	char text[160] = "";
	const struct ipq_group_options o = {
		.size = sizeof(o), .first = 300, .count = QUEUES, .error = text, .error_size = sizeof(text)
	};
	unsigned before = directory_entries("/proc/self/fd");

	(void)state;
	opened = threads = 0;
	no_second_queue = true;
	assert_int_equal(ipq_group_start(&g, &o, handle, (void *[]){ &h[0], &h[1] }), -EMFILE);
	no_second_queue = false;
	assert_null(g);
	assert_non_null(strstr(text, strerror(EMFILE)));
	await_end_of_threads();
	close_kernels();
	assert_int_equal(directory_entries("/proc/self/fd"), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_beyond_the_last_queue_are_refused),
		cmocka_unit_test(counters_of_all_queues_are_added_up),
		cmocka_unit_test(dropped_packets_are_added_up),
		cmocka_unit_test(signal_ends_no_member),
		cmocka_unit_test(failures_in_a_row_end_with_a_success),
		cmocka_unit_test(handler_gets_the_packets_of_a_failure_again),
		cmocka_unit_test(group_that_cannot_start_leaves_nothing),
		cmocka_unit_test(group_whose_second_queue_fails_leaves_nothing),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
