/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The cost of ipq run's seccomp filter for a program that does not use ip_queue.
 *
 *	run-cost IPQ [ROUNDS]
 *
 * Measures the same calls in turn, without and under `IPQ run`, and prints medians of nanoseconds and
 * the median of the ratios within the rounds. The source is an empty capture file, so that no privilege is needed.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "bench.h"

#define MAX_ROUNDS 99

static int a, b; /* two UDP sockets on loopback, connected to each other */
static char text[1400];

static void datagram_there_and_back(void)
{
	if (send(a, text, sizeof(text), 0) < 0 || recv(b, text, sizeof(text), 0) < 0 ||
	    send(b, text, sizeof(text), 0) < 0 || recv(a, text, sizeof(text), 0) < 0)
		_exit(1);
}

static void cheapest_call(void)
{
	syscall(SYS_getppid);
}

static void ask_for_name(void)
{
	struct sockaddr_in name;
	socklen_t len = sizeof(name);

	getsockname(a, (struct sockaddr *)&name, &len);
}

static void open_and_connect(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(9),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		_exit(1);
	close(fd);
}

static const struct {
	const char *what;
	void (*call)(void);
	int times;
} tasks[] = {
	{ "UDP, 1400 bytes there and back", datagram_there_and_back, 50000 },
	{ "socket, connect, close", open_and_connect, 50000 },
	{ "getppid, the cheapest call", cheapest_call, 1000000 },
	{ "getsockname, which is handed over", ask_for_name, 20000 },
};
#define TASKS (sizeof(tasks) / sizeof(tasks[0]))

static int half(void)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	return fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0 ? fd : -1;
}

static int join(int from, int to)
{
	struct sockaddr_in name;
	socklen_t len = sizeof(name);

	return getsockname(to, (struct sockaddr *)&name, &len) < 0 ||
			       connect(from, (struct sockaddr *)&name, len) < 0
		       ? -1
		       : 0;
}

/* The measured program: it prints one line of numbers. */
static int measured(void)
{
	a = half();
	b = half();
	if (a < 0 || b < 0 || join(a, b) < 0 || join(b, a) < 0)
		return 1;
	for (size_t i = 0; i < TASKS; i++) {
		struct timespec from, to;

		for (int n = 0; n < tasks[i].times / 10; n++)
			tasks[i].call();
		clock_gettime(CLOCK_MONOTONIC, &from);
		for (int n = 0; n < tasks[i].times; n++)
			tasks[i].call();
		clock_gettime(CLOCK_MONOTONIC, &to);
		printf("%.1f ",
		       ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) /
			       tasks[i].times);
	}
	return puts("") < 0;
}

static int run(const char *command, double result[TASKS])
{
	FILE *f = popen(command, "r");
	int good = 1;

	if (f == NULL)
		return -1;
	for (size_t i = 0; i < TASKS; i++)
		good &= fscanf(f, "%lf", &result[i]) == 1;
	return pclose(f) == 0 && good ? 0 : -1;
}

static int make_capture(char *name)
{
	static const uint32_t header[] = { 0xa1b2c3d4, 2 | 4 << 16, 0, 0, 65535, 101 };
	int fd = mkstemp(name);

	if (fd < 0 || write(fd, header, sizeof(header)) != (ssize_t)sizeof(header))
		return -1;
	return close(fd);
}

int main(int argc, char **argv)
{
	char capture[] = "/tmp/run-cost-XXXXXX", plain[600], under[1300], self[500] = "";
	static double native[TASKS][MAX_ROUNDS], filtered[TASKS][MAX_ROUNDS], ratio[TASKS][MAX_ROUNDS];
	double one[TASKS], other[TASKS];
	int rounds = argc > 2 ? atoi(argv[2]) : 7, failed = 0;

	if (argc == 2 && strcmp(argv[1], "--measured") == 0)
		return measured();
	if (argc < 2 || rounds < 1 || rounds > MAX_ROUNDS)
		return fprintf(stderr, "usage: run-cost IPQ [ROUNDS]\n"), 2;
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0 || make_capture(capture) < 0)
		return perror("run-cost"), 1;
	snprintf(plain, sizeof(plain), "'%s' --measured", self);
	snprintf(under, sizeof(under), "'%s' run --source 'pcap:%s' -- %s", argv[1], capture, plain);
	for (int r = 0; r < rounds && !failed; r++) {
		failed = r % 2 ? run(under, other) < 0 || run(plain, one) < 0
			       : run(plain, one) < 0 || run(under, other) < 0;
		for (size_t i = 0; i < TASKS; i++) {
			native[i][r] = one[i];
			filtered[i][r] = other[i];
			ratio[i][r] = other[i] / one[i];
		}
	}
	unlink(capture);
	if (failed)
		return fprintf(stderr, "run-cost: a measurement failed\n"), 1;
	printf("%-36s %10s %14s %7s %10s\n", "", "ns alone", "under ipq run", "ratio", "difference");
	for (size_t i = 0; i < TASKS; i++) {
		double alone = median(native[i], (unsigned)rounds),
		       supervised = median(filtered[i], (unsigned)rounds);

		printf("%-36s %10.0f %14.0f %7.3f %10.0f\n", tasks[i].what, alone, supervised,
		       median(ratio[i], (unsigned)rounds), supervised - alone);
	}
	return 0;
}
