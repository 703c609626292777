/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One measurement: start a consumer, warm it up, run the traffic, read the clocks, check the sums. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <inttypes.h>
#include "bench.h"

#define SETTLE_MS 20 /* time for kernel threads to finish the work of a run */

struct reader {
	const struct consumer *consumer;
	const struct job *job;
	unsigned queue;
};

static void pause_ms(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

static void *read_queue(void *arg)
{
	const struct reader *r = arg;

	if (r->job->cpu >= 0)
		pin_to(r->job->cpu + (int)r->queue);
	_exit(r->consumer->run(r->job, r->queue, &r->job->tally[r->queue]) == UNAVAILABLE ? UNAVAILABLE : 1);
}

static pid_t consumer_start(const struct consumer *c, const struct job *job)
{
	struct reader reader[MAX_QUEUES];
	pthread_t thread;
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* in its own group, because the kernel sends SIGHUP to an orphaned group that has a stopped process */
	setpgid(0, 0);
	for (unsigned i = 0; i < job->queues; i++)
		reader[i] = (struct reader){ c, job, i };
	for (unsigned i = 1; i < job->queues; i++)
		if (pthread_create(&thread, NULL, read_queue, &reader[i]) != 0)
			_exit(1);
	read_queue(&reader[0]);
	_exit(1);
}

static int consumer_await(pid_t pid, const struct job *job)
{
	siginfo_t end = { 0 };

	for (unsigned ms = 0; ms < 5000; ms++) {
		unsigned ready = 0;

		for (unsigned i = 0; i < job->queues; i++)
			ready += job->tally[i].ready;
		if (ready == job->queues)
			return 0;
		if (waitid(P_PID, (id_t)pid, &end, WEXITED | WNOHANG | WNOWAIT) < 0 || end.si_pid == pid)
			break;
		pause_ms(1);
	}
	return end.si_status == UNAVAILABLE ? UNAVAILABLE : -1;
}

/* A process between the consumer and the queue must release the queue before the next consumer starts. */
static void consumer_end(const struct consumer *c, pid_t pid)
{
	bool asked = (c->traits & SUPERVISED) != 0;

	if (asked)
		kill(pid, SIGTERM);
	for (unsigned ms = 0; asked && ms < 2000; ms++) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return;
		pause_ms(1);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static unsigned packets_of(const struct scenario *s, unsigned scale)
{
	unsigned n = s->packets * scale;

	if (s->hold > 1)
		return (n + s->hold - 1) / s->hold * s->hold;
	return s->pattern == WINDOW ? n / s->group * s->group : n;
}

static unsigned warm_up_of(const struct scenario *s)
{
	if (s->pattern == TCP)
		return 4;
	if (s->pattern == LATENCY)
		return 200;
	if (s->hold > 1)
		return s->hold;
	return s->pattern == WINDOW ? 2048 / s->group * s->group : 2048;
}

/* Checks: sent = accepted + dropped + lost; accepted = arrived; lost = the kernel's count (see bench.h) */
static int check_sums(const struct scenario *s, const struct consumer *c, const struct job *job,
		      struct traffic *t, struct result *r)
{
	for (unsigned i = 0; i < job->queues; i++) {
		r->accepted += job->tally[i].accepted;
		r->dropped += job->tally[i].dropped;
	}
	r->total_sent = traffic_sent(t);
	r->arrived = traffic_arrived(t, r->accepted);
	r->lost = r->total_sent - r->accepted - r->dropped;
	if (!r->overflow_known && r->accepted == r->arrived)
		return 0;
	if (r->accepted == r->arrived && r->lost >= r->overflow &&
	    r->lost <= r->overflow * (s->segments > 1 ? s->segments : 1))
		return 0;
	fprintf(stderr,
		"bench: %s, %s: sent %" PRIu64 ", accepted %" PRIu64 ", dropped %" PRIu64
		", overflow %" PRIu64 ", arrived %" PRIu64 ": "
		"the sums disagree\n",
		s->name, c->name, r->total_sent, r->accepted, r->dropped, r->overflow, r->arrived);
	return -1;
}

/* A running consumer and its environment. */
struct stand {
	const struct scenario *s;
	const struct consumer *consumer;
	struct job job;
	struct traffic *traffic; /* NULL for TCP */
	pid_t pid;
	int net; /* the consumer's own network namespace, or -1 */
};

static void stand_down(struct stand *st)
{
	if (st->pid > 0)
		consumer_end(st->consumer, st->pid);
	traffic_close(st->traffic);
	if (st->job.tally_file >= 0)
		close(st->job.tally_file);
	if (st->job.tally != MAP_FAILED)
		munmap(st->job.tally, sizeof(*st->job.tally) * MAX_QUEUES);
	if (st->net >= 0)
		close(st->net);
}

/* Starts a consumer in the current network namespace. In any case, call stand_down afterwards. */
static int stand_up(struct stand *st, const struct scenario *s, const struct consumer *c, bool pin)
{
	size_t size = sizeof(struct tally) * MAX_QUEUES;
	int file = memfd_create("tally", 0), err;
	enum placement place = pin && s->place == PLACED_ANYWHERE ? PLACED_APART : s->place;
	void *tally = file < 0 || ftruncate(file, (off_t)size) < 0
			      ? MAP_FAILED
			      : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

	*st = (struct stand){ .s = s, .consumer = c, .pid = -1, .net = -1 };
	pin_to(place == PLACED_ANYWHERE ? -1 : 0);
	st->job = (struct job){ .verdict = s->verdict,
				.order = s->order,
				.hold = s->hold,
				.meta = s->meta,
				.queues = s->queues ? s->queues : 1,
				.split = s->split || s->segments > 1,
				.cpu = place == PLACED_APART	  ? 1
				       : place == PLACED_TOGETHER ? 0
								  : -1,
				.queue_length = s->queue_length ? s->queue_length : 8192,
				.tally = tally,
				.tally_file = file };
	if (tally == MAP_FAILED || ground_rules(st->job.queues) < 0)
		return -1;
	st->pid = consumer_start(c, &st->job);
	err = st->pid < 0 ? -1 : consumer_await(st->pid, &st->job);
	if (err != 0)
		return err;
	return s->pattern == TCP ? tcp_start() : traffic_open(&st->traffic, s);
}

static int warm_up(struct stand *st, unsigned packets)
{
	struct result ignored = { 0 };

	return st->traffic == NULL ? tcp_run(packets, &ignored)
				   : traffic_warm_up(st->traffic, &st->job, packets);
}

/* Runs the traffic and adds to the result. The CPU time in the result is a sum in ns until finish(). */
static int timed(struct stand *st, unsigned packets, long settle_ms, struct result *r)
{
	uint64_t kernel = kernel_threads_ns(), cpu = process_ns(st->pid);
	int err = st->traffic == NULL ? tcp_run(packets, r) : traffic_run(st->traffic, &st->job, packets, r);

	if (err < 0)
		return err;
	pause_ms(settle_ms > 0 ? 1 : 0);
	r->cpu += (double)(process_ns(st->pid) - cpu);
	pause_ms(settle_ms);
	/* If a kernel thread has ended in the meantime, its time is lost. Then the figure is unknown. */
	kernel = kernel_threads_ns() - kernel;
	r->kernel += (int64_t)kernel < 0 ? 0 : (double)kernel;
	return 0;
}

static int finish(struct stand *st, struct result *r)
{
	struct queue_counts counts = ground_queues();
	int err = 0;

	r->cpu /= (double)r->handled;
	r->kernel /= (double)r->handled;
	r->overflow = counts.overflow;
	r->overflow_known = counts.known;
	if (st->traffic != NULL) {
		traffic_latency(st->traffic, r);
		err = check_sums(st->s, st->consumer, &st->job, st->traffic, r);
	}
	r->done = err == 0;
	return err;
}

int measure(const struct scenario *s, const struct consumer *c, unsigned scale, bool pin, struct result *r)
{
	struct stand st;
	int err;

	memset(r, 0, sizeof(*r));
	err = stand_up(&st, s, c, pin);
	if (err == 0)
		err = warm_up(&st, warm_up_of(s));
	if (err == 0) {
		pause_ms(SETTLE_MS);
		err = timed(&st, packets_of(s, scale), SETTLE_MS, r);
	}
	if (err == 0)
		err = finish(&st, r);
	stand_down(&st);
	return err;
}

/*
 * The machine's speed often changes more from one second to the next than consumers differ. So consumers exist at the
 * same time, each in its own network namespace, and take turns of about 10 ms. The others sleep, or are stopped if they
 * never sleep.
 */
static unsigned turns_of(const struct scenario *s, unsigned scale)
{
	if (s->pattern == LATENCY)
		return packets_of(s, scale) / 100;
	return s->pattern == FLOOD || s->pattern == PACED ? 5 : 10;
}

static unsigned whole_groups(const struct scenario *s, unsigned packets)
{
	unsigned group = s->group > 0 ? s->group : 1;

	return packets < group ? group : packets / group * group;
}

static int take_turn(struct stand *st, unsigned packets, struct result *r)
{
	bool sleepless = (st->consumer->traits & LATENCY_ONLY) != 0;
	int err;

	if (ground_enter_net(st->net) < 0)
		return -1;
	if (sleepless)
		kill(st->pid, SIGCONT);
	err = warm_up(st, whole_groups(st->s, 16));
	if (err == 0)
		err = timed(st, packets, st->s->pattern == LATENCY ? 0 : SETTLE_MS, r);
	if (sleepless)
		kill(st->pid, SIGSTOP);
	return err;
}

static int stand_up_in_own_net(struct stand *st, const struct scenario *s, const struct consumer *c, bool pin)
{
	int net = ground_new_net(), err;

	err = stand_up(st, s, c, pin);
	st->net = net;
	if (err == 0)
		err = net < 0 ? -1 : warm_up(st, warm_up_of(s));
	if (err == 0 && (c->traits & LATENCY_ONLY))
		kill(st->pid, SIGSTOP);
	return err;
}

void measure_in_turn(const struct scenario *s, struct contest *all, unsigned n, unsigned scale, bool pin)
{
	unsigned turns = turns_of(s, scale), packets = whole_groups(s, packets_of(s, scale) / turns);
	struct stand stand[MAX_CONSUMERS];
	int home = ground_net();

	for (unsigned i = 0; i < n; i++) {
		memset(all[i].result, 0, sizeof(*all[i].result));
		all[i].err = stand_up_in_own_net(&stand[i], s, all[i].consumer, pin);
	}
	for (unsigned turn = 0; turn < turns; turn++)
		for (unsigned i = 0; i < n; i++) {
			unsigned k = (turn + i) % n;

			if (all[k].err == 0)
				all[k].err = take_turn(&stand[k], packets, all[k].result);
		}
	for (unsigned i = 0; i < n; i++) {
		ground_enter_net(stand[i].net);
		if (all[i].err == 0)
			all[i].err = finish(&stand[i], all[i].result);
		stand_down(&stand[i]);
	}
	ground_enter_net(home);
	close(home);
}
