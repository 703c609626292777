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

#define SETTLE_MS 20 /* kernel threads finish what a run left them */

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

	if (r->job->pin)
		pin_to(1 + (int)r->queue);
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

/* What stands between us and the queue must have let go of it when the next consumer comes. */
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

/* sent = accepted + dropped + lost, accepted = arrived, lost = what the kernel counted (see bench.h) */
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

static int run(const struct scenario *s, const struct job *job, struct traffic *t, pid_t pid,
	       unsigned packets, struct result *r)
{
	struct queue_counts counts;
	uint64_t cpu, kernel;
	int err;

	err = s->pattern == TCP ? tcp_run(warm_up_of(s), r) : traffic_run(t, job, warm_up_of(s), r);
	if (err < 0)
		return err;
	pause_ms(SETTLE_MS);
	kernel = kernel_threads_ns();
	cpu = process_ns(pid);
	err = s->pattern == TCP ? tcp_run(packets, r) : traffic_run(t, job, packets, r);
	if (err < 0)
		return err;
	pause_ms(1);
	r->cpu = (double)(process_ns(pid) - cpu) / (double)r->handled;
	pause_ms(SETTLE_MS);
	/* a kernel thread that ended meanwhile takes its time along: then there is nothing to report */
	kernel = kernel_threads_ns() - kernel;
	r->kernel = (int64_t)kernel < 0 ? 0 : (double)kernel / (double)r->handled;
	counts = ground_queues();
	r->overflow = counts.overflow;
	r->overflow_known = counts.known;
	return 0;
}

int measure(const struct scenario *s, const struct consumer *c, unsigned scale, bool pin, struct result *r)
{
	int file = memfd_create("tally", 0);
	struct tally *tally = file < 0 || ftruncate(file, sizeof(*tally) * MAX_QUEUES) < 0 ?
				      MAP_FAILED :
				      mmap(NULL, sizeof(*tally) * MAX_QUEUES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	struct job job = { .verdict = s->verdict,
			   .order = s->order,
			   .hold = s->hold,
			   .meta = s->meta,
			   .queues = s->queues ? s->queues : 1,
			   .split = s->split || s->segments > 1,
			   .pin = pin || s->apart,
			   .queue_length = s->queue_length ? s->queue_length : 8192,
			   .tally = tally,
			   .tally_file = file };
	struct traffic *t = NULL;
	pid_t pid = -1;
	int err = -1;

	memset(r, 0, sizeof(*r));
	pin_to(job.pin ? 0 : -1);
	if (tally == MAP_FAILED || ground_rules(job.queues) < 0)
		return -1;
	pid = consumer_start(c, &job);
	err = pid < 0 ? -1 : consumer_await(pid, &job);
	if (err != 0)
		goto out;
	err = -1;
	if (s->pattern == TCP ? tcp_start() < 0 : traffic_open(&t, s) < 0)
		goto out;
	err = run(s, &job, t, pid, packets_of(s, scale), r);
	if (err == 0 && s->pattern != TCP)
		err = check_sums(s, c, &job, t, r);
	r->done = err == 0;
out:
	if (pid > 0)
		consumer_end(c, pid);
	traffic_close(t);
	close(file);
	munmap(tally, sizeof(*tally) * MAX_QUEUES);
	return err;
}
