// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A session of ipq watch or filter without firewall rules of its own: verdicts with our mark, failures, and the
 * end.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "capture_file.h"
#include "kernel.h"
#include "session/session.h"
#include "util/clock.h"
#include "util/netlink.h"

static struct kernel kernel;
static const struct command command = { .name = "test" };

int __wrap_netlink_open(bool *absent);
int __wrap_netlink_open(bool *absent)
{
	*absent = false;
	return kernel_open(&kernel);
}

/* If set, ipq_queue_stats() returns these counters, multiplied by the address of the queue. */
static const struct ipq_stats *invented;
int __real_ipq_queue_stats(struct ipq_queue *q, struct ipq_stats *stats);
int __wrap_ipq_queue_stats(struct ipq_queue *q, struct ipq_stats *stats);
int __wrap_ipq_queue_stats(struct ipq_queue *q, struct ipq_stats *stats)
{
	uint64_t times = (uintptr_t)q;

	if (invented == NULL)
		return __real_ipq_queue_stats(q, stats);
	if (times == 3)
		return -EIO;
	*stats = (struct ipq_stats){ .size = sizeof(*stats),
				     .received = times * invented->received,
				     .accepted = times * invented->accepted,
				     .dropped = times * invented->dropped,
				     .other = times * invented->other,
				     .replaced = times * invented->replaced,
				     .refused = times * invented->refused,
				     .lost = times * invented->lost,
				     .queue_dropped = times * invented->queue_dropped,
				     .malformed = times * invented->malformed,
				     .waiting = times * invented->waiting };
	return 0;
}

static void counters_of_all_workers_are_added(void **state)
{
	static const struct ipq_stats counts = { .received = 1,
						 .accepted = 10,
						 .dropped = 20,
						 .other = 30,
						 .replaced = 40,
						 .refused = 50,
						 .lost = 60,
						 .queue_dropped = 70,
						 .malformed = 80,
						 .waiting = 90 };
	struct session s = { .workers = 4 };
	struct ipq_stats sum;

	(void)state;
	s.worker = calloc(s.workers, sizeof(*s.worker));
	assert_non_null(s.worker);
	s.worker[0].queue = (struct ipq_queue *)1;
	s.worker[0].continued = 3;		   /* accepted with IPQ_REPEAT */
	s.worker[1].queue = (struct ipq_queue *)3; /* its counters cannot be read */
	s.worker[3].queue = (struct ipq_queue *)2;
	invented = &counts;
	session_stats(&s, &sum);
	invented = NULL;
	assert_int_equal(sum.received, 3);
	assert_int_equal(sum.accepted, 33);
	assert_int_equal(sum.dropped, 60);
	assert_int_equal(sum.other, 87);
	assert_int_equal(sum.replaced, 120);
	assert_int_equal(sum.refused, 150);
	assert_int_equal(sum.lost, 180);
	assert_int_equal(sum.queue_dropped, 210);
	assert_int_equal(sum.malformed, 240);
	assert_int_equal(sum.waiting, 270);
	free(s.worker);
}

/* ---- verdicts ------------------------------------------------------------------------------------ */

static void accepted_packets_are_repeated_once_with_our_mark(void **state)
{
	static const struct {
		uint32_t has, code, set; /* set: the mark of the verdict; 0: no mark */
		uint32_t code_after, mark_after;
	} cases[] = {
		{ 0, IPQ_ACCEPT, 0, IPQ_REPEAT, 0x41000000 },
		{ 7, IPQ_ACCEPT, 0, IPQ_REPEAT, 0x41000007 },
		{ 7, IPQ_ACCEPT, 9, IPQ_REPEAT, 0x41000009 },
		{ 0x22000007, IPQ_ACCEPT, 0, IPQ_REPEAT, 0x41000007 },
		{ 0x41000007, IPQ_ACCEPT, 0, IPQ_ACCEPT, 7 }, /* a packet that has our mark already */
		{ 0x41000007, IPQ_ACCEPT, 9, IPQ_ACCEPT, 9 },
		{ 7, IPQ_DROP, 0, IPQ_DROP, 0 },
		{ 7, IPQ_QUEUE, 9, IPQ_QUEUE, 9 },
	};
	struct session s = { .repeat_mark = 0x41000000, .repeat_mask = 0xff000000 };
	static struct worker w = { .index = 0 };

	(void)state;
	w.session = &s;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ipq_packet p = { .present = cases[i].has != 0 ? IPQ_HAS_MARK : 0,
					.mark = cases[i].has };
		struct ipq_verdict v = { .code = cases[i].code,
					 .present = cases[i].set != 0 ? IPQ_SET_MARK : 0,
					 .mark = cases[i].set };

		session_accept(&w, &p, &v);
		assert_int_equal(v.code, cases[i].code_after);
		assert_int_equal(v.present & IPQ_SET_MARK ? v.mark : 0, cases[i].mark_after);
	}
	assert_int_equal(w.continued, 4);
	assert_int_equal(s.came_back, 2);
	s.repeat_mask = 0; /* with nftables, or with the user's own rules */
	session_accept(&w, &(struct ipq_packet){ .id = 1 }, &(struct ipq_verdict){ .code = IPQ_ACCEPT });
	assert_int_equal(w.continued, 4);
}

static void time_of_a_file_never_goes_back(void **state)
{
	struct session s = { .virtual_time = true };
	struct ipq_packet p = { .present = IPQ_HAS_TIMESTAMP, .timestamp = -5 };
	static struct worker w = { .index = 0 };

	(void)state;
	w.session = &s;
	assert_true(session_advance_clock(&w, &p)); /* the first packet sets the clock, even before 1970 */
	assert_int_equal(w.now, -5);
	assert_false(session_advance_clock(&w, &p));
	p.timestamp = 7;
	assert_true(session_advance_clock(&w, &p));
	p.timestamp = 6;
	assert_false(session_advance_clock(&w, &p));
	assert_int_equal(w.now, 7);
	assert_int_equal(session_packet_time(&w, &p), 6);
	p.present = 0;
	assert_int_equal(session_packet_time(&w, &p), 7);
	s.virtual_time = false;
	assert_false(session_advance_clock(&w, &p));
}

/* ---- running ------------------------------------------------------------------------------------- */

static unsigned calls, fails; /* fails: number of failures before each success */
static atomic_uint done;

static int batch(struct worker *w, unsigned n)
{
	if (calls++ % (fails + 1) < fails)
		return -EIO;
	for (unsigned i = 0; i < n; i++)
		ipq_accept(w->queue, &w->packet[i]);
	if (atomic_fetch_add(&done, n) + n == 6)
		session_stop(w->session);
	return 0;
}

/* Makes a source deliver six packets, one per receive, so that each is a batch. */
static void send_six_packets(struct session *s)
{
	unsigned char message[256] = { 0 };

	for (uint32_t id = 1; s->source == NULL && id <= 6; id++) {
		kernel_send(&kernel, message, kernel_packet(message, id, "bytes of a packet...", 20));
		for (unsigned i = 0; i < 1000 && done < id; i++)
			usleep(1000);
	}
}

static const struct session_handler handler = { .batch = batch, .started = send_six_packets };

/* Runs a session in a child, which gives up its privileges. Returns its exit status. */
static int run(struct session *s)
{
	const struct output_options options = { .who = "ipq test", .include_own = true };
	struct ipq_error e;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		s->command = &command;
		s->handler = &handler;
		s->quiet = true;
		if (output_open(&s->output, &options, &e) < 0)
			_exit(100);
		status = session_run(s, (void *[]){ NULL });
		session_close(s);
		if (s->source == NULL)
			kernel_close(&kernel);
		output_finish(s->output, false);
		status = output_close(s->output, status);
		_exit(status == 0 && done != 6 ? 101 : status);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static const char *six_packets(void)
{
	static struct capture_file in;
	static char name[64];

	put_header(&in, false, false, 1);
	for (unsigned i = 0; i < 6; i++)
		put_frame(&in, i, 0, 100, 1);
	snprintf(name, sizeof(name), "pcap:%s", place(&in));
	return name;
}

static void session_on_a_file_ends_with_it(void **state)
{
	(void)state;
	fails = 0;
	assert_int_equal(run(&(struct session){ .source = six_packets(), .virtual_time = true }), 0);
}

static void error_on_a_file_ends_the_session_with_status_1(void **state)
{
	(void)state;
	fails = 1;
	assert_int_equal(run(&(struct session){ .source = six_packets(), .virtual_time = true }), 1);
}

/* With two failures before each success there are 12 failures in total, while 8 in a row would be too many. */
static void failures_are_forgotten_after_a_success(void **state)
{
	struct session s = { .queue_first = 300, .queue_last = 300, .queue_given = true };
	int64_t began = now_ms();

	(void)state;
	fails = 2;
	assert_int_equal(run(&s), 0);
	assert_true(now_ms() - began < 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_of_all_workers_are_added),
		cmocka_unit_test(accepted_packets_are_repeated_once_with_our_mark),
		cmocka_unit_test(time_of_a_file_never_goes_back),
		cmocka_unit_test(session_on_a_file_ends_with_it),
		cmocka_unit_test(error_on_a_file_ends_the_session_with_status_1),
		cmocka_unit_test(failures_are_forgotten_after_a_success),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
