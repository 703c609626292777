/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The cost of flows that a program leaves to the kernel. Each method (struct way) has its own network namespace, with
 * its rules in INPUT and its program. The driver sends UDP over loopback and TCP over veth; the methods take turns,
 * and a ratio is the median of the ratios of all rounds. CPU time is that of the program and of the driver, because
 * the kernel delivers in the driver's time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <ipq.h>
#include "bench.h"

#define FLOWS 4
#define WINDOW 64
#define PER_FLOW 30
#define SHORT_FLOWS 512 /* number of flows per slice */
#define AT_ONCE 64
#define SLICES 10 /* number of turns in a round: they are short, because other processes use the machine */
#define STREAM_BYTES 30000000 /* per slice */
#define MAX_ROUNDS 101
#define MILLION 1000000

enum { NOTHING, TABLES, LEFT, QUEUED, WAYS };

static const struct {
	const char *name, *what;
} ways[WAYS] = { { "nothing", "no rule at all" },
		 { "tables", "the rules without the one that queues" },
		 { "left", "ipq_accept_flow(): flows left to the kernel" },
		 { "queued", "ipq_accept(): every packet queued" } };

/* The counters of a program, which the driver reads. */
struct seen {
	_Atomic uint64_t packets, ready;
};

static struct way {
	int net;
	pid_t pid;
	struct seen *seen;
	int sink, from[FLOWS]; /* UDP */
	int stream[2];	       /* both ends of the TCP connection */
} way[WAYS];

struct turn {
	double rate, cpu; /* units per second; ns per unit */
};

static const struct timeval patience = { .tv_sec = 10 }; /* longest wait of a receive */

static struct sockaddr_in address(uint32_t host, unsigned port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons((uint16_t)port),
				     .sin_addr = { htonl(host) } };
}

/* ---- the programs -------------------------------------------------------------------------------- */

/* Decides packets until it is killed. */
static int decide_all(struct seen *seen, bool flows)
{
	const struct ipq_options options = { .size = sizeof(options), .flow_max = 1 << 20 };
	struct ipq_packet packet[64];
	struct ipq_queue *q;
	int n = ipq_queue_open(&q, "nfqueue:0", &options);

	if (n < 0)
		return 1;
	seen->ready = 1;
	while ((n = ipq_queue_recv(q, packet, 64, IPQ_FOREVER)) >= 0) {
		seen->packets += (unsigned)n;
		for (int i = 0; i < n; i++)
			if ((flows ? ipq_accept_flow(q, &packet[i]) : ipq_accept(q, &packet[i])) < 0)
				return 1;
	}
	return 1;
}

static int start(struct way *w, bool flows)
{
	w->seen = mmap(NULL, sizeof(*w->seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w->seen == MAP_FAILED)
		return -1;
	w->pid = fork();
	if (w->pid == 0)
		_exit(decide_all(w->seen, flows));
	for (int i = 0; i < 5000 && !w->seen->ready; i++)
		usleep(1000);
	return w->seen->ready ? 0 : -1;
}

/* ---- the environment ------------------------------------------------------------------------------ */

static int add_rules(unsigned i)
{
	const char *tool = ground_iptables();

	if (i == QUEUED)
		return ground_command("%s -t mangle -A INPUT -j NFQUEUE --queue-num 0", tool);
	return ground_command("%s rules --flows --on INPUT | %s | %s-restore -n", BENCH_IPQ,
			      i == TABLES ? "sed /NFQUEUE/d" : "cat", tool);
}

static int open_udp(struct way *w)
{
	struct sockaddr_in to = address(INADDR_LOOPBACK, PORT_PACKETS);

	w->sink = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (bind(w->sink, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    setsockopt(w->sink, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		return -1;
	for (unsigned i = 0; i < FLOWS; i++) {
		w->from[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (connect(w->from[i], (struct sockaddr *)&to, sizeof(to)) < 0)
			return -1;
	}
	return 0;
}

/* A connection over veth from a namespace of its own, so that packets arrive from outside. */
static int open_tcp(struct way *w)
{
	struct sockaddr_in to = address(0x0a090001, PORT_TCP);
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), sender = ground_new_net(), err = -1;

	if (server >= 0 && sender >= 0 &&
	    ground_command("ip link add bench1 type veth peer name bench0 netns /proc/%d/fd/%d && "
			   "ip addr add 10.9.0.2/24 dev bench1 && ip link set bench1 up",
			   (int)getpid(), w->net) == 0 &&
	    (w->stream[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0 &&
	    ground_enter_net(w->net) == 0 &&
	    ground_command("ip addr add 10.9.0.1/24 dev bench0 && ip link set bench0 up") == 0 &&
	    bind(server, (struct sockaddr *)&to, sizeof(to)) == 0 && listen(server, 1) == 0 &&
	    connect(w->stream[0], (struct sockaddr *)&to, sizeof(to)) == 0 &&
	    (w->stream[1] = accept4(server, NULL, NULL, SOCK_CLOEXEC)) >= 0 &&
	    setsockopt(w->stream[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0)
		err = 0;
	close(server);
	close(sender);
	return err;
}

static int open_way(unsigned i)
{
	struct way *w = &way[i];

	w->net = ground_new_net();
	if (w->net < 0 || (i != NOTHING && add_rules(i) < 0) || (i >= LEFT && start(w, i == LEFT) < 0))
		return -1;
	return open_udp(w) < 0 || open_tcp(w) < 0 ? -1 : 0;
}

static void close_ways(void)
{
	for (unsigned i = 0; i < WAYS; i++) {
		if (way[i].pid > 0) {
			kill(way[i].pid, SIGKILL);
			waitpid(way[i].pid, NULL, 0);
		}
	}
}

/* ---- traffic: each returns how many units it moved, 0 after a failure ----------------------------- */

/* Sends n packets of 64 bytes without waiting. */
static bool send_some(int fd, unsigned n)
{
	static char data[64];
	struct iovec iov = { data, sizeof(data) };
	struct mmsghdr packet[WINDOW] = { 0 };

	for (unsigned i = 0; i < n; i++)
		packet[i].msg_hdr = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1 };
	return sendmmsg(fd, packet, n, 0) == (int)n;
}

static bool receive_some(int fd, unsigned n)
{
	static char data[64];
	struct iovec iov = { data, sizeof(data) };
	struct mmsghdr packet[WINDOW] = { 0 };

	for (unsigned i = 0; i < n; i++)
		packet[i].msg_hdr = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1 };
	while (n > 0) {
		int got = recvmmsg(fd, packet, n, MSG_WAITFORONE, NULL);

		if (got <= 0)
			return false;
		n -= (unsigned)got;
	}
	return true;
}

static unsigned long_flows(struct way *w, unsigned scale)
{
	unsigned count = 20 * scale;

	for (unsigned i = 0; i < count; i++) {
		for (unsigned j = 0; j < FLOWS; j++)
			if (!send_some(w->from[j], WINDOW / FLOWS))
				return 0;
		if (!receive_some(w->sink, WINDOW))
			return 0;
	}
	return count * WINDOW;
}

/* Opens a socket with an address of its own, so that each flow of a run is new. */
static int new_flow(void)
{
	static uint32_t host = INADDR_LOOPBACK + (1 << 16);
	struct sockaddr_in from = address(++host, 20000), to = address(INADDR_LOOPBACK, PORT_PACKETS);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0 &&
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	close(fd);
	return -1;
}

/*
 * Sends new flows, at_once of them at a time. The later packets of these flows are sent when their first packets have
 * arrived.
 */
static unsigned short_flows(struct way *w, unsigned scale, unsigned at_once)
{
	unsigned count = SHORT_FLOWS * scale, each = at_once == 1 ? PER_FLOW - 1 : 1;
	bool done = true;
	int fd[AT_ONCE];

	for (unsigned i = 0; i < count && done; i += at_once) {
		for (unsigned j = 0; j < at_once; j++) {
			fd[j] = new_flow();
			done = done && fd[j] >= 0 && send_some(fd[j], 1);
		}
		done = done && receive_some(w->sink, at_once);
		for (unsigned sent = 1; sent < PER_FLOW && done; sent += each) {
			for (unsigned k = 0; k < at_once; k++)
				done = done && send_some(fd[k], each);
			done = done && receive_some(w->sink, at_once * each);
		}
		for (unsigned j = 0; j < at_once; j++)
			close(fd[j]);
	}
	return done ? count * PER_FLOW : 0;
}

static unsigned short_at_once(struct way *w, unsigned scale)
{
	return short_flows(w, scale, AT_ONCE);
}

static unsigned short_alone(struct way *w, unsigned scale)
{
	return short_flows(w, scale, 1);
}

struct sender {
	int fd;
	size_t total;
};

static void *send_stream(void *argument)
{
	static const char data[65536];
	const struct sender *s = argument;
	size_t sent = 0;

	while (sent < s->total) {
		size_t left = s->total - sent;
		ssize_t n = send(s->fd, data, left < sizeof(data) ? left : sizeof(data), MSG_NOSIGNAL);

		if (n <= 0)
			break;
		sent += (size_t)n;
	}
	return NULL;
}

/* Sends a stream from a second thread. Returns the number of kilobytes. */
static unsigned tcp_stream(struct way *w, unsigned scale)
{
	static char data[65536];
	struct sender s = { w->stream[0], (size_t)scale * STREAM_BYTES };
	size_t received = 0;
	pthread_t thread;

	if (pthread_create(&thread, NULL, send_stream, &s) != 0)
		return 0;
	while (received < s.total) {
		ssize_t n = recv(w->stream[1], data, sizeof(data), 0);

		if (n <= 0)
			break;
		received += (size_t)n;
	}
	if (received < s.total)
		shutdown(w->stream[0], SHUT_RDWR); /* the sender must end */
	pthread_join(thread, NULL);
	return received < s.total ? 0 : (unsigned)(received / 1000);
}

/* ---- turns and ratios ---------------------------------------------------------------------------- */

/* The CPU time of the driver and the program. */
static uint64_t cpu_of(const struct way *w)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec + (w->pid > 0 ? process_ns(w->pid) : 0);
}

static int take_turn(unsigned i, unsigned (*traffic)(struct way *, unsigned), unsigned scale, struct turn *t)
{
	uint64_t cpu, start;
	unsigned n;

	if (ground_enter_net(way[i].net) < 0)
		return -1;
	cpu = cpu_of(&way[i]);
	start = now_ns();
	n = traffic(&way[i], scale);
	if (n == 0) {
		fprintf(stderr, "bench: flows, %s: traffic did not arrive\n", ways[i].name);
		return -1;
	}
	t->rate = n / ((double)(now_ns() - start) / 1e9);
	t->cpu = (double)(cpu_of(&way[i]) - cpu) / n;
	return 0;
}

static double ratio(struct turn (*turn)[WAYS], unsigned rounds, unsigned a, unsigned b, bool cpu)
{
	double r[MAX_ROUNDS];

	for (unsigned i = 0; i < rounds; i++)
		r[i] = cpu ? turn[i][a].cpu / turn[i][b].cpu : turn[i][a].rate / turn[i][b].rate;
	return median(r, rounds);
}

static void print_way(struct turn (*turn)[WAYS], unsigned rounds, unsigned w, unsigned reference)
{
	double rate[MAX_ROUNDS], cpu[MAX_ROUNDS], x = ratio(turn, rounds, w, reference, false), low, high;

	for (unsigned i = 0; i < rounds; i++) {
		rate[i] = turn[i][w].rate / turn[i][reference].rate;
		cpu[i] = turn[i][w].cpu;
	}
	median(rate, rounds); /* this call sorts the rates */
	low = rate[rounds / 4];
	high = rate[rounds - 1 - rounds / 4];
	for (unsigned i = 0; i < rounds; i++)
		rate[i] = turn[i][w].rate;
	printf("  %-8s %10.0f %6.2f (%.2f to %.2f) %8.0f %6.2f   %s\n", ways[w].name, median(rate, rounds), x,
	       low, high, median(cpu, rounds), ratio(turn, rounds, w, reference, true), ways[w].what);
}

static void print_limit(bool met, const char *what, double value, double limit)
{
	printf("  %-6s %s: %.2f, limit %.2f\n", met ? "met" : "MISSED", what, value, limit);
}

/*
 * Measures in rounds of short turns. Each round begins with another method, and its figures are the medians of its
 * turns. 0 or -1.
 */
static int compare(const char *title, unsigned first, unsigned reference, unsigned rounds, unsigned scale,
		   unsigned (*traffic)(struct way *, unsigned), struct turn (*turn)[WAYS])
{
	for (unsigned round = 0; round < rounds; round++) {
		double rate[WAYS][SLICES], cpu[WAYS][SLICES];

		for (unsigned i = 0; i < WAYS * SLICES; i++) {
			unsigned w = (i + i / WAYS) % WAYS;
			struct turn t;

			if (w < first)
				continue;
			if (take_turn(w, traffic, scale, &t) < 0)
				return -1;
			rate[w][i / WAYS] = t.rate;
			cpu[w][i / WAYS] = t.cpu;
		}
		for (unsigned w = first; w < WAYS; w++)
			turn[round][w] = (struct turn){ median(rate[w], SLICES), median(cpu[w], SLICES) };
	}
	printf("\n%s\n  %-8s %10s %6s %15s %8s %6s\n", title, "", "/s", "x", "middle half", "CPU ns", "x");
	for (unsigned w = first; w < WAYS; w++)
		print_way(turn, rounds, w, reference);
	return 0;
}

static unsigned udp_and_tcp(unsigned rounds, unsigned scale, struct turn (*turn)[WAYS])
{
	double rate, cpu;

	if (compare("flows-udp: packets of 4 UDP flows, 64 bytes, 64 in flight", NOTHING, TABLES, rounds,
		    scale, long_flows, turn) < 0)
		return 1;
	rate = ratio(turn, rounds, LEFT, TABLES, false);
	cpu = ratio(turn, rounds, LEFT, TABLES, true);
	print_limit(rate >= 0.95, "left, packets/s of tables", rate, 0.95);
	print_limit(cpu <= 1.05, "left, CPU of tables", cpu, 1.05);
	if (compare("flows-tcp: kilobytes of one connection", NOTHING, NOTHING, rounds, scale, tcp_stream,
		    turn) < 0)
		return 1;
	rate = ratio(turn, rounds, LEFT, NOTHING, false);
	print_limit(rate >= 0.95, "left, kB/s of no rule at all", rate, 0.95);
	return 0;
}

static unsigned short_ways(const char *title, unsigned rounds, unsigned scale,
			   unsigned (*traffic)(struct way *, unsigned), struct turn (*turn)[WAYS])
{
	uint64_t before = way[LEFT].seen->packets, flows = (uint64_t)SHORT_FLOWS * SLICES * scale * rounds,
		 seen;

	if (compare(title, LEFT, QUEUED, rounds, scale, traffic, turn) < 0)
		return 1;
	seen = way[LEFT].seen->packets - before;
	printf("  %-6s left: the program saw %llu packets of %llu flows\n", seen == flows ? "met" : "MISSED",
	       (unsigned long long)seen, (unsigned long long)flows);
	return 0;
}

static unsigned many_short(unsigned rounds, unsigned scale, struct turn (*turn)[WAYS])
{
	double cpu;

	if (short_ways("flows-short: packets of flows of 30 packets, 64 bytes, 64 flows at once", rounds,
		       scale, short_at_once, turn) != 0)
		return 1;
	cpu = ratio(turn, rounds, LEFT, QUEUED, true);
	print_limit(cpu <= 0.5, "left, CPU of queued", cpu, 0.5);
	return short_ways("flows-alone: the same, one flow at a time", rounds, scale, short_alone, turn);
}

/* ---- a million decisions ------------------------------------------------------------------------- */

static int write_million(const char *path)
{
	static const uint32_t header[6] = { 0xa1b2c3d4, 0x00040002, 0, 0, 262144, 101 };
	uint32_t record[4] = { 1700000000, 0, 28, 28 };
	uint8_t p[28] = { 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17 };
	FILE *f = fopen(path, "we");
	bool whole = f != NULL && fwrite(header, sizeof(header), 1, f) == 1;

	p[16] = 10;
	p[23] = 9;
	p[25] = 8;
	for (uint32_t i = 0; whole && i < MILLION; i++) {
		p[12] = 10;
		p[13] = (uint8_t)(i >> 16);
		p[14] = (uint8_t)(i >> 8);
		p[15] = (uint8_t)i;
		whole = fwrite(record, sizeof(record), 1, f) == 1 && fwrite(p, sizeof(p), 1, f) == 1;
	}
	return f == NULL || fclose(f) != 0 || !whole ? -1 : 0;
}

/* Runs in its own process, so that memory and time can be measured. flow_max 0: plain ipq_accept(). */
static int decide_million(uint32_t flow_max)
{
	const struct ipq_options options = { .size = sizeof(options), .flow_max = flow_max };
	struct ipq_flow_stats stats = { .size = sizeof(stats) };
	struct ipq_packet packet;
	struct ipq_queue *q;
	int n;

	if (ipq_queue_open(&q, "pcap:/run/flows.pcap,/run/flows-out.pcap", &options) < 0)
		return 1;
	while ((n = ipq_queue_recv(q, &packet, 1, IPQ_FOREVER)) > 0)
		if ((flow_max == 0 ? ipq_accept(q, &packet) : ipq_accept_flow(q, &packet)) < 0)
			return 1;
	return n != -ENODATA || (flow_max != 0 && (ipq_flow_stats(q, &stats) < 0 ||
						   stats.decided != MILLION || stats.flows > flow_max));
}

static unsigned million(void)
{
	static const uint32_t kept[] = { 0, 65536, 1 << 20 };
	unsigned failed = 0;
	double ns[3];

	if (write_million("/run/flows.pcap") < 0)
		return 1;
	printf("\nflows-million: a million flows of a packet each, in a capture file (0: packets, not "
	       "flows)\n");
	for (unsigned i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		struct rusage usage = { .ru_maxrss = 0 };
		int status = -1;
		pid_t pid;

		fflush(stdout);
		pid = fork();
		if (pid == 0)
			_exit(decide_million(kept[i]));
		if (wait4(pid, &status, 0, &usage) < 0 || status != 0)
			failed++;
		ns[i] = ((double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e9 +
			 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e3) /
			MILLION;
		printf("  %8u flows remembered: %5.0f ns of CPU for each, all in all; %ld MiB resident at "
		       "most\n",
		       kept[i], ns[i], usage.ru_maxrss / 1024);
	}
	print_limit(ns[2] - ns[0] <= 3000, "a flow verdict beside a packet verdict, us",
		    (ns[2] - ns[0]) / 1000, 3);
	unlink("/run/flows.pcap");
	unlink("/run/flows-out.pcap");
	return failed;
}

unsigned flows_measure(unsigned rounds, unsigned scale)
{
	struct turn(*turn)[WAYS] = calloc(rounds, sizeof(*turn));
	int home = ground_net();
	unsigned failed = turn == NULL;

	for (unsigned i = 0; i < WAYS && failed == 0; i++)
		failed = open_way(i) < 0;
	if (failed == 0)
		failed = udp_and_tcp(rounds, scale, turn);
	/* At most five rounds: each flow has an entry in the kernel's table of connections for half a minute. */
	if (failed == 0)
		failed = many_short(rounds < 5 ? rounds : 5, 1, turn);
	close_ways();
	ground_enter_net(home);
	free(turn);
	failed += million();
	fflush(stdout);
	return failed;
}
