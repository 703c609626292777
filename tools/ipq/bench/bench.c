/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ipq bench: measures how fast this machine queues packets, in a private network namespace.
 *
 * A child process does all the work in a new network namespace. When the child ends, the kernel removes the
 * namespace with its rules and queue. One thread sends datagrams over loopback, another one owns the queue and
 * accepts them. To measure throughput, up to WINDOW packets are in flight, fewer than the queue can hold, so no
 * packet should be lost. To measure latency, one packet is in flight, timed from before the send to its arrival.
 */
#include <errno.h>
#include <arpa/inet.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <ipq.h>
#include "command.h"
#include "common/test_netns.h"
#include "common/text.h"
#include "util/clock.h"

#define PORT 9 /* the port of the rule that test_netns_try() adds */
#define BATCH 64u
#define WINDOW 2048u
#define SAMPLES_MAX 200000u
#define SPIN_USEC 100

static int run(int argc, char **argv);

const struct command command_bench = {
	.name = "bench",
	.summary = "measure how many packets per second this machine can queue",
	.help = "Usage: ipq bench [--seconds N] [--json]\n"
		"\n"
		"Sends packets over loopback in a private network namespace, with and without a\n"
		"queue, for some seconds. Measures packets per second with many packets in\n"
		"flight, and the latency of a single packet. Does not touch the machine's network\n"
		"and rules. Any user may run it if user namespaces are allowed.\n"
		"\n"
		"  --seconds N   duration of each of six measurements, 0.1 to 10 (0.5)\n"
		"  --json        print one JSON object\n"
		"\n"
		"  ipq bench\n"
		"  ipq bench --seconds 3\n"
		"  ipq bench --json | jq .measurements\n"
		"\n"
		"Exit status: 0 success, 1 failed, 2 usage. See ipq-bench(1).\n",
	.run = run,
};

struct measurement {
	const char *name;
	unsigned bytes; /* bytes of payload */
	bool queued, latency;
	uint32_t spin_usec;

	uint64_t packets, lost;
	double seconds;
	double p50, p99; /* latency in microseconds */
};

static struct measurement plan[] = {
	{ .name = "no queue, 32 bytes", .bytes = 32 },
	{ .name = "no queue, one at a time", .bytes = 32, .latency = true },
	{ .name = "queue, 32 bytes", .bytes = 32, .queued = true },
	{ .name = "queue, 1400 bytes", .bytes = 1400, .queued = true },
	{ .name = "queue, one at a time", .bytes = 32, .queued = true, .latency = true },
	{ .name = "queue, one, reader spins",
	  .bytes = 32,
	  .queued = true,
	  .latency = true,
	  .spin_usec = SPIN_USEC },
};
#define PLAN (sizeof(plan) / sizeof(plan[0]))

/* ---- the reader ------------------------------------------------------------------------------------ */

struct reader {
	struct ipq_queue *queue;
	pthread_t thread;
	_Atomic uint64_t decided;
	_Atomic int error;
};

static void *read_queue(void *arg)
{
	struct ipq_packet packet[BATCH];
	struct reader *r = arg;
	int n;

	while ((n = ipq_queue_recv(r->queue, packet, BATCH, IPQ_FOREVER)) >= 0 || n == -EINTR) {
		for (int i = 0; i < n; i++)
			ipq_accept(r->queue, &packet[i]);
		ipq_queue_flush(r->queue);
		atomic_fetch_add(&r->decided, n > 0 ? (uint64_t)n : 0);
	}
	atomic_store(&r->error, n == -ECANCELED ? 0 : n);
	return NULL;
}

static int start_reader(struct reader *r, uint32_t spin_usec)
{
	char error[256] = "";
	const struct ipq_options options = {
		.size = sizeof(options), .spin_usec = spin_usec, .error = error, .error_size = sizeof(error)
	};
	int err;

	*r = (struct reader){ .queue = NULL };
	err = ipq_queue_open(&r->queue, "nfqueue:0", &options);
	if (err < 0) {
		fprintf(stderr, "ipq bench: %s\n", error);
		return err;
	}
	err = -pthread_create(&r->thread, NULL, read_queue, r);
	if (err < 0)
		ipq_queue_close(r->queue);
	return err;
}

static int stop_reader(struct reader *r, uint64_t *lost)
{
	struct ipq_stats stats = { .size = sizeof(stats) };

	/* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): only called for a reader that was started */
	ipq_queue_wake(r->queue);
	pthread_join(r->thread, NULL);
	if (ipq_queue_stats(r->queue, &stats) == 0)
		*lost = stats.lost + stats.queue_dropped;
	ipq_queue_close(r->queue);
	return atomic_load(&r->error);
}

/* ---- traffic --------------------------------------------------------------------------------------- */

struct traffic {
	int sink, source;
};

static int open_traffic(struct traffic *t)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(PORT),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval second = { .tv_sec = 1 };
	int err;

	t->sink = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	t->source = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (t->sink >= 0 && t->source >= 0 && bind(t->sink, (struct sockaddr *)&to, sizeof(to)) == 0 &&
	    connect(t->source, (struct sockaddr *)&to, sizeof(to)) == 0 &&
	    setsockopt(t->sink, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second)) == 0)
		return 0;
	err = -errno;
	close(t->sink);
	close(t->source);
	return err;
}

static int send_batch(const struct traffic *t, unsigned bytes)
{
	static char payload[2048];
	struct iovec iov = { .iov_base = payload, .iov_len = bytes };
	struct mmsghdr m[BATCH];
	int n;

	for (unsigned i = 0; i < BATCH; i++)
		m[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };
	n = sendmmsg(t->source, m, BATCH, 0);
	/* ENOBUFS: the kernel dropped a packet, which is counted as lost later */
	return n < 0 && errno != EINTR && errno != ENOBUFS && errno != EAGAIN ? -errno : n < 0 ? 0 : n;
}

/* The sink does not read: its buffer is soon full, and then the kernel discards packets immediately. */
static int measure_rate(struct measurement *m, const struct traffic *t, const struct reader *r,
			double seconds)
{
	int64_t start = now_ns(), end = start + (int64_t)(seconds * 1e9), now = start;
	uint64_t sent = 0;

	while (now < end) {
		uint64_t decided = m->queued ? atomic_load(&r->decided) : sent;

		if (m->queued && atomic_load(&r->error) < 0)
			return atomic_load(&r->error);
		if (sent - decided + BATCH <= WINDOW) {
			int n = send_batch(t, m->bytes);

			if (n < 0)
				return n;
			sent += (uint64_t)n;
		} else {
			nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
		}
		now = now_ns();
	}
	m->packets = m->queued ? atomic_load(&r->decided) : sent;
	m->seconds = (double)(now - start) / 1e9;
	return m->packets > 0 ? 0 : -ETIMEDOUT;
}

static int by_value(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int measure_latency(struct measurement *m, const struct traffic *t, double seconds)
{
	int64_t start = now_ns(), end = start + (int64_t)(seconds * 1e9), before, after = start;
	uint32_t *sample = malloc(SAMPLES_MAX * sizeof(*sample));
	char payload[2048] = "";
	uint32_t n = 0;
	int err = sample == NULL ? -ENOMEM : 0;

	while (err == 0 && after < end && n < SAMPLES_MAX) {
		before = now_ns();
		if (send(t->source, payload, m->bytes, 0) < 0 ||
		    recv(t->sink, payload, sizeof(payload), 0) < 0)
			err = errno == EAGAIN ? -ETIMEDOUT : -errno;
		after = now_ns();
		if (err == 0)
			sample[n++] = after - before > UINT32_MAX ? UINT32_MAX : (uint32_t)(after - before);
	}
	if (err == 0) {
		qsort(sample, n, sizeof(*sample), by_value);
		m->p50 = sample[n / 2] / 1e3;
		m->p99 = sample[(uint64_t)n * 99 / 100] / 1e3;
		m->packets = n;
		m->seconds = (double)(after - start) / 1e9;
	}
	free(sample);
	return err;
}

static int measure(struct measurement *m, double seconds)
{
	struct traffic t;
	struct reader r;
	int err = open_traffic(&t), ended = 0;

	if (err < 0)
		return err;
	if (m->queued)
		err = start_reader(&r, m->spin_usec);
	if (err == 0) {
		err = m->latency ? measure_latency(m, &t, seconds) : measure_rate(m, &t, &r, seconds);
		ended = m->queued ? stop_reader(&r, &m->lost) : 0;
	}
	close(t.sink);
	close(t.source);
	return err < 0 ? err : ended;
}

/* ---- output ------------------------------------------------------------------------------ */

static void print_table(const char *release, enum method method, double seconds)
{
	printf("Linux %s, %ld processors, %s, loopback, %g s each\n\n", release,
	       sysconf(_SC_NPROCESSORS_ONLN), method_rule(method), seconds);
	printf("%-26s %12s %9s %9s %7s\n", "", "packets/s", "p50", "p99", "lost");
	for (size_t i = 0; i < PLAN; i++) {
		const struct measurement *m = &plan[i];

		printf("%-26s", m->name);
		if (m->latency)
			printf(" %12s %6.1f us %6.1f us", "", m->p50, m->p99);
		else
			printf(" %12.0f %9s %9s", (double)m->packets / m->seconds, "", "");
		if (m->queued)
			printf(" %7" PRIu64, m->lost);
		putchar('\n');
	}
}

static void print_json(const char *release, enum method method, double seconds)
{
	fputs("{\"kernel\":", stdout);
	text_put_json(stdout, release);
	printf(",\"processors\":%ld,\"rule\":\"%s\",\"seconds\":%g,\"measurements\":[",
	       sysconf(_SC_NPROCESSORS_ONLN), method_rule(method), seconds);
	for (size_t i = 0; i < PLAN; i++) {
		const struct measurement *m = &plan[i];

		printf("%s{\"name\":\"%s\",\"bytes\":%u,\"queued\":%s", i > 0 ? "," : "", m->name, m->bytes,
		       m->queued ? "true" : "false");
		printf(",\"packets\":%" PRIu64 ",\"packets_per_second\":%.0f", m->packets,
		       (double)m->packets / m->seconds);
		if (m->latency)
			printf(",\"p50_us\":%.1f,\"p99_us\":%.1f,\"spin_us\":%" PRIu32, m->p50, m->p99,
			       m->spin_usec);
		if (m->queued)
			printf(",\"lost\":%" PRIu64, m->lost);
		putchar('}');
	}
	puts("]}");
}

static int failed(const char *what, int err, const char *remedy)
{
	fprintf(stderr, "ipq bench: %s: %s%s\n", what, strerror(-err), remedy);
	return 1;
}

/* Runs the benchmark in the child. Returns the exit status. */
static int bench(double seconds, bool json)
{
	int err = test_netns_enter(), set = -1;
	enum method method = METHODS;
	struct utsname u;

	if (err < 0)
		return failed("cannot create a network namespace", err,
			      "; run as root, or allow user namespaces (sysctl "
			      "kernel.unprivileged_userns_clone, "
			      "user.max_user_namespaces)");
	for (size_t i = 0; i < PLAN; i++) {
		if (plan[i].queued && method == METHODS) {
			for (method = 0; method < METHODS && (set = test_netns_try(method)) != 0; method++)
				;
			if (set != 0) {
				fputs("ipq bench: no firewall tool here can add a queue rule: see \"ipq "
				      "doctor\"\n",
				      stderr);
				return 1;
			}
		}
		err = measure(&plan[i], seconds);
		if (err < 0)
			return failed(plan[i].name, err, "");
	}
	if (uname(&u) < 0)
		strcpy(u.release, "?");
	if (json)
		print_json(u.release, method, seconds);
	else
		print_table(u.release, method, seconds);
	return fflush(stdout) != 0;
}

static int parse(int argc, char **argv, double *seconds, bool *json)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 1 },
		{ "json", no_argument, NULL, 2 },
		{ NULL, 0, NULL, 0 },
	};
	char *end;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (c == 2)
			*json = true;
		else if (c != 1)
			return command_usage(&command_bench,
					     "there is no option \"%s\", or its value is missing",
					     argv[optind - 1]);
		else if (*seconds = strtod(optarg, &end),
			 end == optarg || *end != '\0' || !(*seconds >= 0.1 && *seconds <= 10))
			return command_usage(&command_bench, "--seconds needs 0.1 to 10, not \"%s\"", optarg);
	}
	return optind < argc ? command_usage(&command_bench, "unexpected argument \"%s\"", argv[optind]) : 0;
}

static int run(int argc, char **argv)
{
	double seconds = 0.5;
	bool json = false;
	int err = parse(argc, argv, &seconds, &json), status = 0;
	pid_t child;

	if (err != 0)
		return err;
	fflush(stdout);
	child = fork();
	if (child < 0)
		return failed("cannot start", -errno, "");
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm((unsigned)(seconds * PLAN) + 20); /* end the process if something hangs */
		_exit(bench(seconds, json));
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	fprintf(stderr, "ipq bench: ended by signal %d\n", WTERMSIG(status));
	return 1;
}
