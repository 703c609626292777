/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A group of queues with a thread for each. Threads share nothing on the packet path: each has its own queue,
 * slots and verdicts, and reads only whether the group stops. Each publishes its counters after a batch, so
 * that any thread can add them up.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/core.h"
#include "core/state.h"

struct member {
	struct ipq_group *group;
	struct ipq_queue *queue;
	void *context;
	pthread_t thread;
	bool running;
	int processor;	   /* the processor to which the thread is bound; -1: not bound */
	unsigned failures; /* failures in a row */
	unsigned left;	   /* packets of packet[] that must be passed to the handler again */
	/* the thread that this one replaced; the thread that join_all() waits for */
	pthread_t previous, joined;
	bool has_previous, joining; /* protected by thread_lock, like thread, previous and joined */
	pthread_mutex_t thread_lock;
	struct ipq_packet packet[SOURCE_BATCH_MAX];
	pthread_mutex_t stats_lock; /* taken once per batch; contended only while counters are read */
	struct ipq_stats stats;
};

struct ipq_group {
	unsigned count, batch, restarts;
	ipq_group_handler handler;
	atomic_bool stopping;
	atomic_int result; /* the first error */
	struct member member[];
};

static void publish(struct member *m)
{
	struct ipq_stats now = { .size = sizeof(now) };

	queue_counters(m->queue, &now);
	pthread_mutex_lock(&m->stats_lock);
	m->stats = now;
	pthread_mutex_unlock(&m->stats_lock);
}

/* Wakes all threads. The first error is kept. */
static void stop(struct ipq_group *g, int result)
{
	int none = 0;
	unsigned i;

	atomic_compare_exchange_strong(&g->result, &none, result);
	atomic_store(&g->stopping, true);
	for (i = 0; i < g->count; i++)
		if (g->member[i].queue != NULL) /* NULL: the queue could not be opened */
			ipq_queue_wake(g->member[i].queue);
}

static void stay_on(int processor)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(processor, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

/* Joins the thread that this one has replaced, unless join_all() is already doing so. */
static void join_previous(struct member *m)
{
	bool mine;

	pthread_mutex_lock(&m->thread_lock);
	mine = m->has_previous && !(m->joining && pthread_equal(m->joined, m->previous));
	m->has_previous = false;
	pthread_mutex_unlock(&m->thread_lock);
	if (mine)
		pthread_join(m->previous, NULL);
}

/* The packets of the batch that have no verdict move to the front. */
static unsigned undecided(struct member *m, unsigned n)
{
	unsigned i, left = 0;

	for (i = 0; i < n; i++)
		if (verdicts_is_pending(&m->queue->verdicts, m->packet[i].id))
			m->packet[left++] = m->packet[i];
	return left;
}

/*
 * Whether the member continues after a failure. If so, it first passes the packets without a verdict to the handler
 * again.
 */
static bool goes_on(struct member *m)
{
	struct ipq_group *g = m->group;

	if (atomic_load(&g->stopping) || m->failures >= g->restarts)
		return false;
	m->failures++;
	m->left = undecided(m, m->left);
	return true;
}

/* Receives and handles one batch. 0 or -errno. */
static int handle(struct member *m)
{
	struct ipq_group *g = m->group;
	int err, n = m->left > 0 ? (int)m->left : ipq_queue_recv(m->queue, m->packet, g->batch, IPQ_FOREVER);

	if (n == -EINTR || n == -ECANCELED)
		return 0;
	m->left = n > 0 ? (unsigned)n : 0;
	err = n < 0 ? n : g->handler(m->queue, m->packet, (unsigned)n, m->context);
	if (err < 0 && goes_on(m))
		return 0;
	if (err >= 0) {
		m->left = m->failures = 0;
		err = ipq_queue_flush(m->queue);
	}
	publish(m);
	return err;
}

static void ended(void *arg);

static void serve(struct member *m)
{
	int err = 0;

	if (m->processor >= 0)
		stay_on(m->processor);
	while (err >= 0 && !atomic_load_explicit(&m->group->stopping, memory_order_relaxed))
		err = handle(m);
	if (err < 0)
		stop(m->group, err);
}

static void *run(void *arg)
{
	join_previous(arg);
	pthread_cleanup_push(ended, arg);
	serve(arg);
	pthread_cleanup_pop(0);
	return NULL;
}

/* The i-th processor that this process may use, or -1. */
static int nth_processor(unsigned i)
{
	cpu_set_t allowed;
	int cpu, seen = -1;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0 || CPU_COUNT(&allowed) == 0)
		return -1;
	i %= (unsigned)CPU_COUNT(&allowed);
	for (cpu = 0; cpu < CPU_SETSIZE && seen < (int)i; cpu++)
		seen += CPU_ISSET(cpu, &allowed) ? 1 : 0;
	return cpu - 1;
}

static int start_thread(struct member *m)
{
	int err;

	pthread_mutex_lock(&m->thread_lock);
	err = pthread_create(&m->thread, NULL, run, m);
	pthread_mutex_unlock(&m->thread_lock);
	return -err;
}

/* Runs when a thread ends inside the handler or is cancelled. Starts another thread in its place. */
static void ended(void *arg)
{
	struct member *m = arg;
	int err = -ECANCELED;

	if (goes_on(m)) {
		m->previous = pthread_self();
		m->has_previous = true;
		err = start_thread(m);
	}
	if (err < 0) {
		m->has_previous = false;
		stop(m->group, err);
	}
}

static void fail_start(const struct ipq_group_options *o, const char *text)
{
	if (o->error != NULL && o->error_size > 0)
		snprintf(o->error, o->error_size, "%s", text);
}

static int open_member(struct member *m, const struct ipq_group_options *o, uint32_t number)
{
	struct ipq_options options = { 0 };
	char name[32], text[sizeof(struct ipq_error)] = "";
	struct ipq_error e;
	int err;

	if (o->queue != NULL) {
		err = copy_struct_in(&options, sizeof(options), o->queue,
				     offsetof(struct ipq_options, copy_range), "ipq_options", &e);
		if (err < 0) {
			fail_start(o, e.text);
			return err;
		}
	}
	options.size = sizeof(options);
	options.error = text;
	options.error_size = sizeof(text);
	snprintf(name, sizeof(name), "nfqueue:%u", number);
	err = ipq_queue_open(&m->queue, name, &options);
	if (err < 0)
		fail_start(o, text);
	return err;
}

static unsigned processors(void)
{
	cpu_set_t allowed;

	return sched_getaffinity(0, sizeof(allowed), &allowed) < 0 || CPU_COUNT(&allowed) == 0
		       ? 1
		       : (unsigned)CPU_COUNT(&allowed);
}

static void join(struct member *m)
{
	bool last;

	do {
		pthread_mutex_lock(&m->thread_lock);
		m->joined = m->thread;
		m->joining = true;
		pthread_mutex_unlock(&m->thread_lock);
		pthread_join(m->joined, NULL);
		pthread_mutex_lock(&m->thread_lock);
		m->joining = false;
		last = pthread_equal(m->thread, m->joined) != 0;
		pthread_mutex_unlock(&m->thread_lock);
	} while (!last);
}

static int join_all(struct ipq_group *g)
{
	unsigned i;

	for (i = 0; i < g->count; i++) {
		struct member *m = &g->member[i];

		if (m->running)
			join(m);
		m->running = false;
	}
	return atomic_load(&g->result);
}

static void release(struct ipq_group *g)
{
	unsigned i;

	for (i = 0; i < g->count; i++) {
		ipq_queue_close(g->member[i].queue);
		pthread_mutex_destroy(&g->member[i].stats_lock);
		pthread_mutex_destroy(&g->member[i].thread_lock);
	}
	free(g);
}

int ipq_group_start(struct ipq_group **group, const struct ipq_group_options *options,
		    ipq_group_handler handler, void *const *context)
{
	struct ipq_group_options o = { 0 };
	struct ipq_error e = { "" };
	struct ipq_group *g;
	unsigned i;
	int err = 0;

	*group = NULL;
	if (options != NULL) {
		err = copy_struct_in(&o, sizeof(o), options, sizeof(options->size), "ipq_group_options", &e);
		if (err < 0) {
			fail_start(&o, e.text);
			return err;
		}
	}
	if (o.count == 0)
		o.count = processors();
	if (handler == NULL || o.first > 65535 || o.count > 65536 - o.first) {
		fail_start(&o, "pass a handler, and set first and count for queue numbers 0 to 65535");
		return -EINVAL;
	}
	g = calloc(1, sizeof(*g) + o.count * sizeof(g->member[0]));
	if (g == NULL)
		return -ENOMEM;
	g->batch = o.batch == 0 || o.batch > SOURCE_BATCH_MAX ? SOURCE_BATCH_MAX : o.batch;
	g->handler = handler;
	g->restarts = o.restarts;
	for (i = 0; i < o.count && err == 0; i++) {
		struct member *m = &g->member[i];

		m->group = g;
		m->context = context != NULL ? context[i] : NULL;
		m->processor = o.pin != 0 ? nth_processor(i) : -1;
		pthread_mutex_init(&m->stats_lock, NULL);
		pthread_mutex_init(&m->thread_lock, NULL);
		g->count = i + 1;
		err = open_member(m, &o, o.first + i);
	}
	/* Start no thread before all queues are open. */
	for (i = 0; i < o.count && err == 0; i++) {
		err = start_thread(&g->member[i]);
		g->member[i].running = err == 0;
	}
	if (err < 0) {
		stop(g, err);
		join_all(g);
		release(g);
		return err;
	}
	*group = g;
	return 0;
}

int ipq_group_wait(struct ipq_group *group)
{
	return join_all(group);
}

int ipq_group_stop(struct ipq_group *group)
{
	int result;

	if (group == NULL)
		return 0;
	stop(group, 0);
	result = join_all(group);
	release(group);
	return result;
}

static void add(struct ipq_stats *sum, const struct ipq_stats *one)
{
	sum->received += one->received;
	sum->accepted += one->accepted;
	sum->dropped += one->dropped;
	sum->other += one->other;
	sum->replaced += one->replaced;
	sum->refused += one->refused;
	sum->lost += one->lost;
	sum->queue_dropped += one->queue_dropped;
	sum->malformed += one->malformed;
	sum->waiting += one->waiting;
	sum->receives += one->receives;
	sum->sends += one->sends;
}

int ipq_group_stats(struct ipq_group *group, struct ipq_stats *stats)
{
	struct ipq_stats sum = { 0 };
	unsigned i;

	for (i = 0; i < group->count; i++) {
		struct member *m = &group->member[i];
		struct ipq_stats one;

		pthread_mutex_lock(&m->stats_lock);
		one = m->stats;
		pthread_mutex_unlock(&m->stats_lock);
		queue_add_losses(m->queue, &one);
		add(&sum, &one);
	}
	return copy_struct_out(stats, &sum, sizeof(sum), sizeof(sum.size) + 1);
}
