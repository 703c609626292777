/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * netlink_socket PROTOCOL: prints the results of calls on a netlink socket in many states, a line for each call.
 * The results for NETLINK_ROUTE (0), whose calls the kernel answers, and for ip_queue (3) under ipq run must be the
 * same. Both refuse a request of an unknown type with a message, so there is something to receive.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/netlink.h>

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

static int protocol, fd;
static unsigned char buf[4096];

static void say(const char *what, long result)
{
	printf("%s: %ld, %s\n", what, result, result < 0 ? strerror(errno) : "-");
	fflush(stdout);
}

#define SAY(call) say(#call, (long)(call))

static const char *port(unsigned p)
{
	return p == 0 ? "0" : p == (unsigned)getpid() ? "own" : p > UINT32_MAX / 2 ? "high" : "other";
}

static void say_address(const char *what, long result, const void *address, socklen_t len)
{
	struct sockaddr_nl a;

	memcpy(&a, address, sizeof(a));
	printf("%s: %ld, %s, length %u, family %u, pad %u, port %s, groups %u\n", what, result,
	       result < 0 ? strerror(errno) : "-", len, a.nl_family, a.nl_pad, port(a.nl_pid), a.nl_groups);
	fflush(stdout);
}

static void names(const char *when)
{
	static const socklen_t rooms[] = { 128, 12, 5, 0 };
	struct sockaddr_storage a;
	socklen_t len;
	int ret;

	printf("names, %s:\n", when);
	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		memset(&a, 0x55, sizeof(a));
		len = rooms[i];
		ret = getsockname(fd, (void *)&a, &len);
		say_address("getsockname", ret, &a, len);
		memset(&a, 0x55, sizeof(a));
		len = rooms[i];
		ret = getpeername(fd, (void *)&a, &len);
		say_address("getpeername", ret, &a, len);
	}
	len = (socklen_t)-1;
	SAY(getsockname(fd, (void *)&a, &len));
	len = sizeof(a);
	SAY(getsockname(fd, NULL, &len));
}

static int new_socket(int type)
{
	return socket(AF_NETLINK, type, protocol);
}

static int bind_to(unsigned family, unsigned pid, socklen_t len)
{
	struct sockaddr_storage a;
	const struct sockaddr_nl nl = { .nl_family = (sa_family_t)family, .nl_pid = pid };

	memset(&a, 0, sizeof(a));
	memcpy(&a, &nl, sizeof(nl));
	return bind(fd, (void *)&a, len);
}

static int connect_to(unsigned family)
{
	const struct sockaddr_nl a = { .nl_family = (sa_family_t)family };

	return connect(fd, (const void *)&a, sizeof(a));
}

/* Sends a request that will be refused, and waits for the refusal. */
static long ask(void)
{
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	const struct nlmsghdr request = {
		.nlmsg_len = sizeof(request),
		.nlmsg_type = 0x3fff,
		.nlmsg_flags = NLM_F_REQUEST,
		.nlmsg_seq = 77,
		.nlmsg_pid = (unsigned)getpid(),
	};
	struct pollfd p = { fd, POLLIN, 0 };
	long n = sendto(fd, &request, sizeof(request), 0, (const void *)&kernel, sizeof(kernel));

	poll(&p, 1, 2000);
	return n;
}

static long unread(void)
{
	long n = 0;

	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) >= 0)
		n++;
	return n;
}

/* ---- bind, connect, options ------------------------------------------------------------------------- */

static void binds(void)
{
	int first;

	SAY(new_socket(SOCK_STREAM));
	SAY(new_socket(SOCK_SEQPACKET));
	SAY(new_socket(SOCK_RAW | 0x100));
	fd = new_socket(SOCK_RAW);
	names("new");
	SAY(bind_to(AF_NETLINK, 0, 11));
	SAY(bind_to(AF_NETLINK, 0, 2));
	SAY(bind_to(AF_INET, 0, 12));
	SAY(bind_to(AF_UNIX, 0, 12));
	SAY(bind(fd, NULL, 12));
	names("after refusals");
	SAY(bind_to(AF_NETLINK, 0, 16)); /* 16: the size of a struct sockaddr */
	names("bound");
	SAY(bind_to(AF_NETLINK, 0, 12));
	SAY(bind_to(AF_NETLINK, (unsigned)getpid(), 12));
	SAY(bind_to(AF_NETLINK, (unsigned)getpid(), 128));
	SAY(bind_to(AF_NETLINK, (unsigned)getpid() + 1, 12));
	first = fd;
	fd = new_socket(SOCK_DGRAM);
	SAY(bind_to(AF_NETLINK, (unsigned)getpid(), 12));
	SAY(bind_to(AF_NETLINK, 0, 12));
	names("second");
	close(fd);
	fd = new_socket(SOCK_RAW);
	SAY(bind_to(AF_NETLINK, 0xfffffff0, 12));
	names("a port of its choice");
	close(fd);
	fd = new_socket(SOCK_RAW);
	SAY(ask());
	names("not bound, but used");
	SAY(bind_to(AF_NETLINK, 0, 12));
	SAY(unread());
	close(fd);
	fd = new_socket(SOCK_RAW);
	SAY(connect_to(AF_INET));
	SAY(connect_to(AF_NETLINK));
	names("connected");
	SAY(connect_to(AF_UNSPEC));
	names("no longer connected");
	close(fd);
	close(first);
	fd = new_socket(SOCK_RAW);
	SAY(bind_to(AF_NETLINK, 0, 12));
	names("the port is free again");
}

static void option(int level, int name, socklen_t len)
{
	unsigned char value[16];
	int ret;

	memset(value, 0x77, sizeof(value));
	ret = getsockopt(fd, level, name, value, &len);
	printf("getsockopt %d %d: %d, %s, length %u, value %u %u %u %u\n", level, name, ret,
	       ret < 0 ? strerror(errno) : "-", len, value[0], value[1], value[2], value[3]);
}

static void options(void)
{
	static const int remembered[] = { NETLINK_PKTINFO, NETLINK_BROADCAST_ERROR, NETLINK_NO_ENOBUFS };
	const int one = 1, zero = 0;

	for (socklen_t len = 0; len < 10; len++) {
		option(SOL_SOCKET, SO_TYPE, len);
		option(SOL_SOCKET, SO_DOMAIN, len);
		option(SOL_NETLINK, NETLINK_PKTINFO, len);
	}
	for (size_t i = 0; i < sizeof(remembered) / sizeof(remembered[0]); i++) {
		option(SOL_NETLINK, remembered[i], 4);
		SAY(setsockopt(fd, SOL_NETLINK, remembered[i], &one, 4));
		option(SOL_NETLINK, remembered[i], 4);
		SAY(setsockopt(fd, SOL_NETLINK, remembered[i], &zero, 4));
		option(SOL_NETLINK, remembered[i], 4);
		SAY(setsockopt(fd, SOL_NETLINK, remembered[i], &one, 1));
		SAY(setsockopt(fd, SOL_NETLINK, remembered[i], NULL, 4));
	}
	SAY(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &one, 4));
	SAY(setsockopt(fd, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, &one, 4));
	SAY(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &zero, 4));
	SAY(setsockopt(fd, SOL_NETLINK, 99, &one, 4));
	option(SOL_NETLINK, 99, 4);
}

/* ---- receiving ---------------------------------------------------------------------------------------- */

static void receives_from(int flags, size_t size, socklen_t room)
{
	struct sockaddr_storage from;
	long n;

	ask();
	memset(&from, 0x55, sizeof(from));
	n = recvfrom(fd, buf, size, flags, (void *)&from, &room);
	printf("flags %x, size %zu: ", (unsigned)flags, size);
	say_address("recvfrom", n, &from, room);
	SAY(unread());
}

static void receives_message(int flags, size_t size, socklen_t room, size_t control_room)
{
	char control[128];
	struct sockaddr_storage from;
	struct iovec piece[2] = { { buf, 10 }, { buf + 10, size } };
	struct msghdr m = { .msg_name = &from,
			    .msg_namelen = room,
			    .msg_iov = piece,
			    .msg_iovlen = 2,
			    .msg_control = control,
			    .msg_controllen = control_room };
	long n;

	ask();
	memset(&from, 0x55, sizeof(from));
	n = recvmsg(fd, &m, flags);
	printf("flags %x, flags %x, control %zu: ", (unsigned)flags, (unsigned)m.msg_flags,
	       (size_t)m.msg_controllen);
	say_address("recvmsg", n, &from, m.msg_namelen);
	SAY(unread());
}

static int receive_many(struct sockaddr_nl *from, unsigned vlen, int flags, unsigned *len)
{
	struct iovec piece = { buf, sizeof(buf) };
	struct mmsghdr m = { .msg_hdr = { .msg_name = from,
					  .msg_namelen = sizeof(*from),
					  .msg_iov = &piece,
					  .msg_iovlen = 1 } };
	int n = recvmmsg(fd, &m, vlen, flags, NULL);

	*len = m.msg_len;
	return n;
}

static void receives(void)
{
	static const int flags[] = { MSG_PEEK,	  MSG_TRUNC,	MSG_PEEK | MSG_TRUNC,
				     MSG_WAITALL, MSG_DONTWAIT, MSG_OOB };
	struct sockaddr_nl from;
	unsigned len;
	int n;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		receives_from(flags[i], sizeof(buf), 128);
		receives_from(flags[i], sizeof(buf), 12);
		receives_from(flags[i], 20, 5);
		receives_from(flags[i], 0, 0);
		receives_message(flags[i], sizeof(buf) - 10, 128, 0);
		receives_message(flags[i], 5, 12, 128);
		receives_message(flags[i], 0, 3, 0);
	}
	ask();
	n = receive_many(&from, 1, 0, &len);
	printf("message of %u bytes: ", len);
	say_address("recvmmsg", n, &from, sizeof(from));
	SAY(receive_many(&from, 1, MSG_DONTWAIT, &len));
	SAY(receive_many(&from, 0, MSG_DONTWAIT, &len));
	SAY(recvmsg(fd, NULL, MSG_DONTWAIT));
	SAY(read(fd, buf, 0));
	ask();
	SAY(read(fd, buf, 10));
	SAY(unread());
}

static void *ask_later(void *arg)
{
	usleep(100000);
	ask();
	return arg;
}

static void on_alarm(int sig)
{
	(void)sig;
}

static void alarm_soon(int flags)
{
	const struct itimerval soon = { { 0, 0 }, { 0, 50000 } };
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_alarm;
	sa.sa_flags = flags;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
}

static void receive_in_each_way(const char *when, bool message_comes, int signal_flags)
{
	struct sockaddr_nl from;
	struct iovec piece = { buf, sizeof(buf) };
	struct msghdr m = { .msg_name = &from, .msg_iov = &piece, .msg_iovlen = 1 };
	socklen_t room;
	pthread_t thread;
	unsigned len;
	long n;

	for (int way = 0; way < 3; way++) {
		memset(&from, 0x55, sizeof(from));
		room = m.msg_namelen = sizeof(from);
		if (signal_flags >= 0)
			alarm_soon(signal_flags);
		if (message_comes)
			pthread_create(&thread, NULL, ask_later, NULL);
		n = way == 0   ? recvfrom(fd, buf, sizeof(buf), MSG_TRUNC, (void *)&from, &room)
		    : way == 1 ? recvmsg(fd, &m, 0)
			       : receive_many(&from, 1, 0, &len);
		if (message_comes)
			pthread_join(thread, NULL);
		printf("%s, way %d: ", when, way);
		say_address("receive", n, &from, sizeof(from));
		unread();
	}
}

static void waits(void)
{
	struct timeval limit = { 0, 60000 };

	receive_in_each_way("waits", true, -1);
	receive_in_each_way("waits, a signal restarts", true, SA_RESTART);
	receive_in_each_way("a signal interrupts", false, 0);
	SAY(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	receive_in_each_way("time limit", false, -1);
	limit.tv_usec = 900000;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	receive_in_each_way("time limit, a message comes", true, -1);
	receive_in_each_way("time limit, a signal interrupts", false, 0);
	limit.tv_usec = 0;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	SAY(fcntl(fd, F_SETFL, O_NONBLOCK));
	receive_in_each_way("does not wait", false, -1);
	SAY(fcntl(fd, F_SETFL, 0));
}

/* ---- descriptors ---------------------------------------------------------------------------------------- */

static void readiness(void)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET }, out;
	struct pollfd p = { fd, POLLIN | POLLOUT | POLLPRI, 0 };
	int ep = epoll_create1(0);

	SAY(poll(&p, 1, 0) >= 0 ? p.revents : -1);
	ask();
	SAY(poll(&p, 1, 0) >= 0 ? p.revents : -1);
	SAY(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	SAY(epoll_wait(ep, &out, 1, 0));
	SAY(epoll_wait(ep, &out, 1, 0));
	ask();
	SAY(epoll_wait(ep, &out, 1, 2000));
	SAY(unread());
	SAY(epoll_wait(ep, &out, 1, 0));
	close(ep);
}

static void descriptors(void)
{
	int copy = dup(fd), original = fd;

	fd = fcntl(fd, F_DUPFD, 50);
	close(original);
	names("a copy");
	receives_from(MSG_TRUNC, sizeof(buf), 12);
	SAY(close(original));
	if (fork() == 0) {
		receives_message(0, sizeof(buf) - 10, 12, 0);
		_exit(0);
	}
	wait(NULL);
	close(fd);
	fd = copy;
	receives_from(MSG_TRUNC, sizeof(buf), 12);
	close(fd);
	fd = new_socket(SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK);
	SAY(fcntl(fd, F_GETFD));
	SAY(fcntl(fd, F_GETFL));
	SAY(bind_to(AF_NETLINK, (unsigned)getpid(), 12));
	close(fd);
}

int main(int argc, char **argv)
{
	protocol = argc > 1 ? atoi(argv[1]) : 0;
	binds();
	options();
	receives();
	waits();
	readiness();
	descriptors();
	return 0;
}
