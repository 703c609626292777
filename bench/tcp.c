/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One TCP stream into the driver's namespace:
 *
 *	second namespace                      driver's namespace
 *	sender  10.9.0.2 bench1 ---- veth ---- bench0 10.9.0.1  -> INPUT -> queue -> receiver
 *
 * MTU 1500, the default offloads of veth: packets of up to 64 KiB travel whole; the queue splits them unless its reader
 * sets NFQA_CFG_F_GSO.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <inttypes.h>
#include "bench.h"

#define CHUNK (256u << 10)

static int control = -1; /* socket for control: the number of bytes goes to the sender, a 0 comes back */
static int listener = -1;

static int patient(int fd)
{
	struct timeval patience = { .tv_sec = 10 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return fd;
}

static struct sockaddr_in meeting_point(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(PORT_TCP) };

	inet_pton(AF_INET, "10.9.0.1", &addr.sin_addr);
	return addr;
}

static void send_stream(int fd, uint64_t bytes, int from)
{
	static char chunk[CHUNK];
	struct sockaddr_in addr = meeting_point();
	struct linger no_linger = { .l_onoff = 1 };
	char done;

	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		while (bytes > 0) {
			ssize_t n = send(fd, chunk, bytes < CHUNK ? bytes : CHUNK, MSG_NOSIGNAL);

			if (n < 0)
				break;
			bytes -= (uint64_t)n;
		}
	/* the receiver has all bytes, or has given up: leave no packets in the queue */
	if (read(from, &done, 1) == 1)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &no_linger, sizeof(no_linger));
	close(fd);
}

static _Noreturn void sender(int from)
{
	uint64_t bytes;
	char ready = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (unshare(CLONE_NEWNET) < 0 || write(from, &ready, 1) != 1 || read(from, &ready, 1) != 1)
		_exit(1);
	if (ground_command("ip addr add 10.9.0.2/24 dev bench1 && ip link set bench1 up") < 0)
		_exit(1);
	if (write(from, &ready, 1) != 1)
		_exit(1);
	while (read(from, &bytes, sizeof(bytes)) == sizeof(bytes))
		send_stream(patient(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), bytes, from);
	_exit(0);
}

int tcp_start(void)
{
	struct sockaddr_in addr = meeting_point();
	int pair[2], one = 1;
	char ready = 0;
	pid_t pid;

	if (control >= 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 || (pid = fork()) < 0)
		return -1;
	if (pid == 0) {
		close(pair[0]);
		sender(pair[1]);
	}
	close(pair[1]);
	if (read(pair[0], &ready, 1) != 1 ||
	    ground_command("ip link add bench0 type veth peer name bench1 netns %d && "
			   "ip addr add 10.9.0.1/24 dev bench0 && ip link set bench0 up",
			   pid) < 0 ||
	    write(pair[0], &ready, 1) != 1 || read(pair[0], &ready, 1) != 1)
		return -1;
	listener = patient(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(listener, 1) < 0)
		return -1;
	control = pair[0];
	return 0;
}

int tcp_run(unsigned megabytes, struct result *r)
{
	uint64_t bytes = (uint64_t)megabytes * 1000000, got = 0, start;
	char done = 0;
	ssize_t n = 0;
	int fd;

	if (write(control, &bytes, sizeof(bytes)) != sizeof(bytes))
		return -1;
	fd = accept(listener, NULL, NULL);
	start = now_ns();
	if (fd >= 0)
		patient(fd);
	while (fd >= 0 && got < bytes && (n = recv(fd, NULL, 4u << 20, MSG_TRUNC)) > 0)
		got += (uint64_t)n;
	r->seconds = (double)(now_ns() - start) / 1e9;
	if (fd >= 0)
		close(fd);
	if (write(control, &done, 1) != 1 || got != bytes) {
		fprintf(stderr, "bench: TCP: %" PRIu64 " of %" PRIu64 " bytes arrived\n", got, bytes);
		return -1;
	}
	r->sent = r->handled = bytes / 1000;
	r->rate = (double)bytes / 1e6 / r->seconds;
	return 0;
}
