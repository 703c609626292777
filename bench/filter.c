/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * "ipq filter" with ten rules compared with the same ten decisions programmed in C and in Python, and over a
 * capture.
 *
 * The three are separate programs, started by fork and exec. Driver and consumer share a processor, and the consumer is
 * SCHED_BATCH, so that it does not preempt the driver: a whole group waits when the consumer runs. There are no GSO
 * packets, because one of the three would receive them whole and another one split. The arriving packets show the
 * decisions: a firewall rule after the queue drops packets of the marked port that have no mark.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

#define GROUP 1024u
#define GROUPS 40u /* number of groups in a measurement, multiplied by --scale */
#define PORT_DROPPED 9010
#define PORT_MARKED 9011
#define SIZE 64
#define MAX_ROUNDS 101

#define RULES                                                                                               \
	"drop tcp dst port 23", "drop udp dst port 9010", "drop icmp", "drop src net 192.0.2.0/24",         \
		"drop tcp dst port 25 and not src net 10.0.0.0/8", "drop udp src port 53 and greater 1000", \
		"drop tcp[tcpflags] & tcp-syn != 0 and dst port 8080", "mark 7 udp dst port 9011",          \
		"drop dst host 203.0.113.9", "accept"

static const char *const by_ipq[] = { BENCH_IPQ, "filter", "--quiet", RULES, NULL };
static const char *const by_hand[] = { BENCH_HAND, NULL };
static const char *const by_python[] = { "python3", BENCH_PYTHON, NULL };

enum { IPQ, HAND, PYTHON, PROGRAMS };
static const struct {
	const char *name, *const *argv;
} programs[PROGRAMS] = { { "ipq filter", by_ipq }, { "C, by hand", by_hand }, { "python3", by_python } };

struct ground {
	int out;
	int in[4]; /* accepted, marker, dropped, marked */
};
static const uint16_t ports[4] = { PORT_PACKETS, PORT_MARKERS, PORT_DROPPED, PORT_MARKED };

struct filter_result {
	bool done;
	double rate, cpu; /* packets/s, ns a packet */
};

/* ---- programs ------------------------------------------------------------------------------------ */

static pid_t program_start(const char *const *argv, bool share)
{
	struct sched_param none = { 0 };
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (share)
		sched_setscheduler(0, SCHED_BATCH, &none);
	execvp(argv[0], (char *const *)argv);
	fprintf(stderr, "bench: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static double cpu_of(const struct rusage *usage)
{
	return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1e9 +
	       (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) * 1e3;
}

/* ---- traffic ------------------------------------------------------------------------------------- */

static int socket_at(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		return -1;
	socket_enlarge(fd);
	if (port != 0 && bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int ground_open(struct ground *g)
{
	bool whole = (g->out = socket_at(0)) >= 0;

	for (unsigned i = 0; i < 4; i++)
		whole = (g->in[i] = socket_at(ports[i])) >= 0 && whole;
	if (!whole)
		fprintf(stderr, "bench: UDP sockets: %s\n", strerror(errno));
	return whole ? 0 : -1;
}

static void ground_close(struct ground *g)
{
	close(g->out);
	for (unsigned i = 0; i < 4; i++)
		close(g->in[i]);
}

static void patience(int fd, long ms)
{
	struct timeval t = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
}

/* n datagrams to one port, in one call. */
static int send_to(const struct ground *g, uint16_t port, unsigned n)
{
	static unsigned char payload[SIZE];
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct iovec bytes = { payload, sizeof(payload) };
	struct mmsghdr message[GROUP];

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (unsigned i = 0; i < n; i++)
		message[i].msg_hdr = (struct msghdr){
			.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &bytes, .msg_iovlen = 1
		};
	return sendmmsg(g->out, message, n, 0) == (int)n ? 0 : -1;
}

static unsigned take_all(int fd)
{
	char byte;
	unsigned n = 0;

	while (recv(fd, &byte, 1, MSG_DONTWAIT) >= 0)
		n++;
	return n;
}

/* Waits until a packet arrives, which shows that the queue has an owner. */
static int await_owner(const struct ground *g, pid_t pid)
{
	siginfo_t end = { 0 };
	char byte;

	patience(g->in[1], 10);
	for (unsigned i = 0; i < 500; i++) {
		if (send_to(g, PORT_MARKERS, 1) == 0 && recv(g->in[1], &byte, 1, 0) >= 0) {
			usleep(20000);
			take_all(g->in[1]);
			patience(g->in[1], 5000);
			return 0;
		}
		if (waitid(P_PID, (id_t)pid, &end, WEXITED | WNOHANG | WNOWAIT) < 0 || end.si_pid == pid)
			break;
	}
	return -1;
}

/*
 * Sends a group: six eighths of it pass all rules, one eighth is dropped by the second rule, and one eighth is marked
 * by the eighth rule. Returns the nanoseconds until the last packet was decided; 0 if not all were decided as expected.
 */
static uint64_t run_group(const struct ground *g)
{
	const unsigned eighth = GROUP / 8;
	uint64_t start = now_ns(), taken;
	char byte;

	if (send_to(g, PORT_PACKETS, 3 * eighth) < 0 || send_to(g, PORT_DROPPED, eighth) < 0 ||
	    send_to(g, PORT_MARKED, eighth) < 0 || send_to(g, PORT_PACKETS, 3 * eighth - 1) < 0 ||
	    send_to(g, PORT_MARKERS, 1) < 0 || recv(g->in[1], &byte, 1, 0) < 0)
		return 0;
	taken = now_ns() - start;
	if (take_all(g->in[0]) != 6 * eighth - 1 || take_all(g->in[2]) != 0 || take_all(g->in[3]) != eighth)
		return 0;
	return taken;
}

/* ---- live ---------------------------------------------------------------------------------------- */

static int firewall(void)
{
	const char *tool = ground_iptables();

	if (tool == NULL) {
		fprintf(stderr, "bench: no iptables that can set -j NFQUEUE here\n");
		return -1;
	}
	return ground_command("%s -F INPUT && %s -t mangle -F INPUT && "
			      "%s -t mangle -A INPUT -p udp --dport %d:%d -j NFQUEUE && "
			      "%s -A INPUT -p udp --dport %d -m mark ! --mark 7 -j DROP",
			      tool, tool, tool, PORT_PACKETS, PORT_MARKED, tool, PORT_MARKED);
}

static int measure_program(unsigned which, unsigned scale, struct filter_result *r)
{
	unsigned groups = GROUPS * scale;
	uint64_t ns = 0, before = 0, one = 1;
	struct rusage usage;
	struct ground g;
	pid_t pid;
	int status;

	if (ground_open(&g) < 0)
		return -1;
	pid = program_start(programs[which].argv, true);
	if (pid < 0 || await_owner(&g, pid) < 0)
		one = 0;
	for (unsigned i = 0; i < groups + 2 && one != 0; i++) {
		if (i == 2) /* the warm-up is over */
			before = process_ns(pid);
		one = run_group(&g);
		ns += i < 2 ? 0 : one;
	}
	ground_close(&g);
	if (pid < 0)
		return -1;
	kill(pid, SIGTERM);
	if (wait4(pid, &status, 0, &usage) < 0 || one == 0) {
		fprintf(stderr, "bench: filter, %s: packets were lost or decided wrongly\n",
			programs[which].name);
		return WIFEXITED(status) && WEXITSTATUS(status) == 127 ? UNAVAILABLE : -1;
	}
	r->done = true;
	r->cpu = (cpu_of(&usage) - (double)before) / (groups * GROUP);
	r->rate = groups * GROUP / ((double)ns / 1e9);
	return 0;
}

static double ratio(const struct filter_result *r, unsigned rounds, unsigned a, unsigned b, bool rate)
{
	double value[MAX_ROUNDS];
	unsigned n = 0;

	for (unsigned i = 0; i < rounds; i++, r += PROGRAMS)
		if (r[a].done && r[b].done)
			value[n++] = rate ? r[a].rate / r[b].rate : r[a].cpu / r[b].cpu;
	return median(value, n);
}

static double typical(const struct filter_result *r, unsigned rounds, unsigned which, bool rate)
{
	double value[MAX_ROUNDS];
	unsigned n = 0;

	for (unsigned i = 0; i < rounds; i++, r += PROGRAMS)
		if (r[which].done)
			value[n++] = rate ? r[which].rate : r[which].cpu;
	return median(value, n);
}

static unsigned compare_programs(unsigned rounds, unsigned scale, struct filter_result *r)
{
	bool unavailable[PROGRAMS] = { false };
	unsigned failed = 0;
	double x;

	for (unsigned i = 0; i < rounds * PROGRAMS; i++) {
		unsigned round = i / PROGRAMS, which = (i + round) % PROGRAMS;
		int err =
			unavailable[which] ? 0 : measure_program(which, scale, &r[round * PROGRAMS + which]);

		unavailable[which] |= err == UNAVAILABLE;
		failed += err < 0;
	}
	printf("\nfilter-live: ten rules, %u bytes, groups of %u, one processor\n  %-14s %10s %9s %6s\n",
	       SIZE, GROUP, "", "packets/s", "CPU ns", "x");
	for (unsigned p = 0; p < PROGRAMS; p++)
		if (!isnan(typical(r, rounds, p, true)))
			printf("  %-14s %10.0f %9.0f %6.2f\n", programs[p].name, typical(r, rounds, p, true),
			       typical(r, rounds, p, false), ratio(r, rounds, p, HAND, false));
	x = ratio(r, rounds, IPQ, HAND, false);
	if (!isnan(x))
		printf("  %-6s CPU: %.2f of the C program's, at most 1.30\n", x <= 1.3 ? "met" : "MISSED", x);
	x = ratio(r, rounds, PYTHON, IPQ, false);
	if (!isnan(x))
		printf("  %-6s python3 takes %.1f times the CPU of ipq filter, which decides %.1f times as "
		       "many a "
		       "second\n",
		       x > 1 ? "met" : "MISSED", x, ratio(r, rounds, IPQ, PYTHON, true));
	return failed;
}

/* ---- a capture ----------------------------------------------------------------------------------- */

struct capture {
	uint64_t bytes, kept; /* bytes of the file, and of the expected filtered file */
};

static void make_packet(uint8_t *p, unsigned len, uint16_t port)
{
	uint32_t sum = 0;

	memset(p, 0, 28);
	p[0] = 0x45;
	p[2] = (uint8_t)(len >> 8);
	p[3] = (uint8_t)len;
	p[8] = 64;
	p[9] = IPPROTO_UDP;
	memcpy(p + 12, "\x0a\1\1\1\x0a\1\1\2", 8);
	for (unsigned i = 0; i < 20; i += 2)
		sum += (unsigned)p[i] << 8 | p[i + 1];
	sum = ~((sum & 0xffff) + (sum >> 16));
	p[10] = (uint8_t)(sum >> 8);
	p[11] = (uint8_t)sum;
	p[20] = 4;
	p[22] = (uint8_t)(port >> 8);
	p[23] = (uint8_t)port;
	p[24] = (uint8_t)((len - 20) >> 8);
	p[25] = (uint8_t)(len - 20);
}

/* Writes packets of 92, 640 and 1428 bytes in turn. Every eighth packet has the port that is dropped. */
static int capture_make(const char *path, uint64_t size, struct capture *c)
{
	static const uint32_t header[6] = { 0xa1b2c3d4, 2 | 4 << 16, 0, 0, 65535, 101 /* bare IP */ };
	static const unsigned lengths[3] = { 92, 640, 1428 };
	static uint8_t packet[1428];
	FILE *f = fopen(path, "we");
	bool whole = f != NULL && fwrite(header, sizeof(header), 1, f) == 1;

	*c = (struct capture){ sizeof(header), sizeof(header) };
	for (uint32_t i = 0; whole && c->bytes < size; i++) {
		unsigned len = lengths[i % 3];
		uint32_t record[4] = { 1700000000u + i / 10000, i % 10000 * 100, len, len };

		make_packet(packet, len, i % 8 == 3 ? PORT_DROPPED : 80);
		whole = fwrite(record, sizeof(record), 1, f) == 1 && fwrite(packet, len, 1, f) == 1;
		c->bytes += sizeof(record) + len;
		c->kept += i % 8 == 3 ? 0 : sizeof(record) + len;
	}
	if (f != NULL && fclose(f) != 0)
		whole = false;
	if (!whole)
		fprintf(stderr, "bench: %s: %s\n", path, strerror(errno));
	return whole ? 0 : -1;
}

static uint64_t size_of(const char *path)
{
	FILE *f = fopen(path, "re");
	long size = f != NULL && fseek(f, 0, SEEK_END) == 0 ? ftell(f) : 0;

	if (f != NULL)
		fclose(f);
	return (uint64_t)size;
}

/* Filters the capture. Returns megabytes per second; 0: failed. *kib: the peak resident size. */
static double filter_capture(const struct capture *c, long *kib)
{
	const char *const argv[] = {
		BENCH_IPQ, "filter", "--quiet", "--source", "pcap:/run/in.pcap,/run/out.pcap", RULES, NULL
	};
	uint64_t start = now_ns(), ns;
	struct rusage usage;
	int status = -1;
	pid_t pid = program_start(argv, false);

	if (pid < 0 || wait4(pid, &status, 0, &usage) < 0 || status != 0)
		return 0;
	ns = now_ns() - start;
	if (size_of("/run/out.pcap") != c->kept) {
		fprintf(stderr, "bench: filter: the filtered capture has not the size that it must have\n");
		return 0;
	}
	*kib = usage.ru_maxrss;
	return (double)c->bytes / 1e6 / ((double)ns / 1e9);
}

/* Filters a capture of a quarter of the size first: both sizes must need the same memory. */
static unsigned compare_captures(unsigned rounds, unsigned mib)
{
	double rate[MAX_ROUNDS];
	long quarter = 0, whole = 0;
	struct capture c;

	if (ground_command("mount -t tmpfs -o size=%um none /run", mib * 9 / 4 + 16) < 0 ||
	    capture_make("/run/in.pcap", (uint64_t)mib << 18, &c) < 0 || filter_capture(&c, &quarter) == 0 ||
	    capture_make("/run/in.pcap", (uint64_t)mib << 20, &c) < 0)
		return 1;
	for (unsigned i = 0; i < rounds; i++) {
		rate[i] = filter_capture(&c, &whole);
		if (rate[i] == 0)
			return 1;
	}
	rate[0] = median(rate, rounds);
	printf("\nfilter-capture: ten rules, %u MiB in memory\n"
	       "  %-6s %.0f MB/s, at least 300\n"
	       "  %-6s %ld KiB resident at most; %ld for a quarter of the file\n",
	       mib, rate[0] >= 300 ? "met" : "MISSED", rate[0],
	       whole <= quarter + quarter / 4 ? "met" : "MISSED", whole, quarter);
	fflush(stdout);
	return ground_command("umount /run") < 0;
}

unsigned filter_measure(unsigned rounds, unsigned scale, unsigned capture_mib, bool live, bool capture)
{
	struct filter_result *r = calloc((size_t)rounds * PROGRAMS, sizeof(*r));
	unsigned failed = 0;

	if (r == NULL)
		return 1;
	if (live) {
		pin_to(0);
		failed += firewall() < 0 ? 1 : compare_programs(rounds, scale, r);
		pin_to(-1);
		fflush(stdout);
	}
	if (capture)
		failed += compare_captures(rounds < 3 ? rounds : 3, capture_mib);
	free(r);
	return failed;
}
