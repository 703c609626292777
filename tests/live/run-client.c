/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program that speaks ip_queue's raw protocol, without libipq, for `ipq run`. Built statically, 64-bit and 32-bit,
 * and with VIA_SOCKETCALL as programs of 2003 were.
 *
 *	accept N [range]   owns the queue, accepts N packets (0: to the end of the file), prints how many
 *	drop N             drops them
 *	both N             IPv4 and IPv6 in two threads, N packets each
 *	address HOW N      accepts N packets; the sender's address is netlink's in recvmsg (HOW: msg), recvfrom with
 *			   MSG_PEEK (peek), all of recvfrom (from)
 *	effect ASPECT HOW  see run-client-effect.h
 *	probe              all calls on the socket return the same as with netlink
 *	probe-kernel       the same with two families that the kernel still has: checks the probe itself
 *	unrelated          other sockets are not affected
 *	x32                a call as from an x32 program is refused as an unknown protocol
 *	storm              hostile: garbage, thousands of sockets, threads that die while they ask
 *	misuse             hostile: wrong pointers and lengths, arguments that change while they are read
 *	crowd              hostile: handles that are passed on, inherited, and left by dead processes
 *	linger             hostile: sends a descriptor whose close takes 20 seconds
 *	daemon FILE        goes into the background and accepts; FILE appears when the queue is owned
 *	sleep FILE         owns the queue, creates FILE, and does nothing
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/netfilter_ipv4/ip_queue.h>

#ifdef VIA_SOCKETCALL
#define CALL(name, number, ...) syscall(__NR_socketcall, SYS_##number, (long[]){ __VA_ARGS__ })
#else
#define CALL(name, number, ...) syscall(__NR_##name, __VA_ARGS__)
#endif

static int open_socket(int domain, int type, int protocol)
{
	return (int)CALL(socket, SOCKET, domain, type, protocol);
}

static int bind_to(int fd, const void *address, socklen_t len)
{
	return (int)CALL(bind, BIND, fd, (long)address, (long)len);
}

static int connect_to(int fd, const void *address, socklen_t len)
{
	return (int)CALL(connect, CONNECT, fd, (long)address, (long)len);
}

static int name_of(int fd, void *address, socklen_t *len)
{
	return (int)CALL(getsockname, GETSOCKNAME, fd, (long)address, (long)len);
}

static int set_option(int fd, int level, int option, const void *value, socklen_t len)
{
	return (int)CALL(setsockopt, SETSOCKOPT, fd, level, option, (long)value, (long)len);
}

static int get_option(int fd, int level, int option, void *value, socklen_t *len)
{
	return (int)CALL(getsockopt, GETSOCKOPT, fd, level, option, (long)value, (long)len);
}

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

#define EXPECT(condition)                                                                   \
	do {                                                                                \
		if (!(condition)) {                                                         \
			fprintf(stderr, "line %d: not so: %s (%s)\n", __LINE__, #condition, \
				strerror(errno));                                           \
			exit(1);                                                            \
		}                                                                           \
	} while (0)

/* ---- a client of ip_queue ----------------------------------------------------------------------- */

static int open_queue(int protocol)
{
	struct sockaddr_nl me = { .nl_family = AF_NETLINK, .nl_pid = (uint32_t)getpid() };
	int fd = open_socket(AF_NETLINK, SOCK_RAW, protocol);

	if (fd < 0)
		die("socket");
	if (bind_to(fd, &me, sizeof(me)) < 0)
		die("bind");
	return fd;
}

static void request(int fd, uint16_t type, const ipq_peer_msg_t *body)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct {
		struct nlmsghdr header;
		ipq_peer_msg_t body;
	} m = { .header = { .nlmsg_len = sizeof(m),
			    .nlmsg_type = type,
			    .nlmsg_flags = NLM_F_REQUEST,
			    .nlmsg_pid = (uint32_t)getpid() } };

	m.body = *body;
	if (sendto(fd, &m, sizeof(m), 0, (void *)&kernel, sizeof(kernel)) != (ssize_t)sizeof(m))
		die("sendto");
}

static void set_mode(int fd, unsigned char mode, size_t range)
{
	ipq_peer_msg_t body = { .msg.mode = { .value = mode, .range = range } };

	request(fd, IPQM_MODE, &body);
}

static void decide(int fd, unsigned long id, unsigned verdict)
{
	ipq_peer_msg_t body = { .msg.verdict = { .value = verdict, .id = id } };

	request(fd, IPQM_VERDICT, &body);
}

/* Reads a packet. 1; 0: the end. */
static int read_packet(int fd, unsigned long *id)
{
	static __thread unsigned char buf[65536 + 256] __attribute__((aligned(8)));
	struct sockaddr_nl from;
	socklen_t len = sizeof(from);
	const struct nlmsghdr *header = (const void *)buf;
	const ipq_packet_msg_t *packet = (const void *)(buf + sizeof(*header));
	ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (void *)&from, &len);

	if (n == 0)
		return 0;
	if (n < 0)
		die("recvfrom");
	/* Checks the two properties that libipq itself checks. */
	if (len != sizeof(from) || from.nl_pid != 0) {
		fprintf(stderr, "address of %u bytes, nl_pid %u\n", (unsigned)len, from.nl_pid);
		exit(1);
	}
	if (header->nlmsg_type == NLMSG_ERROR) {
		errno = -*(const int *)(header + 1);
		die("refused");
	}
	if (header->nlmsg_type != IPQM_PACKET || n < (ssize_t)(sizeof(*header) + sizeof(*packet)) ||
	    packet->data_len > (size_t)n - sizeof(*header) - sizeof(*packet)) {
		fprintf(stderr, "malformed packet message of %zd bytes\n", n);
		exit(1);
	}
	*id = packet->packet_id;
	return 1;
}

/* Reads a packet and decides it. 1; 0: the end. */
static int one_packet(int fd, unsigned verdict)
{
	unsigned long id;

	if (!read_packet(fd, &id))
		return 0;
	decide(fd, id, verdict);
	return 1;
}

static unsigned long handle(int protocol, unsigned long count, size_t range, unsigned verdict)
{
	int fd = open_queue(protocol);
	unsigned long n = 0;

	set_mode(fd, IPQ_COPY_PACKET, range);
	while ((count == 0 || n < count) && one_packet(fd, verdict))
		n++;
	close(fd);
	return n;
}

struct side {
	int protocol;
	unsigned long count, seen;
};

static void *side_thread(void *arg)
{
	struct side *s = arg;

	s->seen = handle(s->protocol, s->count, 0, 1);
	return NULL;
}

static int both(unsigned long count)
{
	struct side s[2] = { { NETLINK_FIREWALL, count, 0 }, { NETLINK_IP6_FW, count, 0 } };
	pthread_t t[2];

	for (int i = 0; i < 2; i++)
		EXPECT(pthread_create(&t[i], NULL, side_thread, &s[i]) == 0);
	for (int i = 0; i < 2; i++)
		EXPECT(pthread_join(t[i], NULL) == 0);
	printf("%lu IPv4 and %lu IPv6 packets\n", s[0].seen, s[1].seen);
	return 0;
}

/* ---- the sender's address ---------------------------------------------------------------------- */

static unsigned char address_buf[65536 + 256] __attribute__((aligned(8)));

/* Receives in two pieces, as a program does that reads the header first. */
static ssize_t receive_msg(int fd, size_t len, int flags, struct sockaddr_nl *from)
{
	struct iovec iov[2] = { { address_buf, len < 16 ? len : 16 },
				{ address_buf + 16, len < 16 ? 0 : len - 16 } };
	struct msghdr msg = {
		.msg_name = from, .msg_namelen = 64, .msg_iov = iov, .msg_iovlen = 2, .msg_flags = -1
	};
	ssize_t n = CALL(recvmsg, RECVMSG, fd, (long)&msg, flags);

	EXPECT(n < 0 || (msg.msg_namelen == sizeof(*from) && msg.msg_controllen == 0 &&
			 msg.msg_flags == (len == 8 ? MSG_TRUNC : 0)));
	return n;
}

static ssize_t receive_from(int fd, size_t len, int flags, struct sockaddr_nl *from)
{
	socklen_t from_len = 64;
	ssize_t n = CALL(recvfrom, RECVFROM, fd, (long)address_buf, (long)len, flags, (long)from,
			 (long)&from_len);

	EXPECT(n < 0 || from_len == sizeof(*from));
	return n;
}

static void on_alarm(int signal)
{
	(void)signal;
}

static int addresses(const char *how, unsigned long count)
{
	const struct sigaction action = { .sa_handler = on_alarm };
	ssize_t (*receive)(int, size_t, int, struct sockaddr_nl *) =
		how[0] == 'm' ? receive_msg : receive_from;
	struct {
		struct sockaddr_nl nl;
		char room[64];
	} from;
	int fd = open_queue(NETLINK_FIREWALL);
	ssize_t n, peeked;

	set_mode(fd, IPQ_COPY_PACKET, 0);
	sigaction(SIGALRM, &action, NULL);
	ualarm(30000, 0);
	EXPECT(receive(fd, sizeof(address_buf), how[0] == 'p' ? MSG_PEEK : 0, &from.nl) < 0 &&
	       errno == EINTR);
	EXPECT(receive(fd, sizeof(address_buf), MSG_DONTWAIT, &from.nl) < 0 && errno == EAGAIN);
	puts("waits");
	fflush(stdout);
	for (unsigned long i = 0; i < count; i++) {
		memset(&from, 255, sizeof(from));
		peeked = receive(fd, 8, MSG_PEEK | (i % 2 == 0 ? MSG_TRUNC : 0), &from.nl);
		EXPECT(from.nl.nl_family == AF_NETLINK && from.nl.nl_pid == 0 && from.nl.nl_groups == 0);
		memset(&from, 255, sizeof(from));
		n = receive(fd, sizeof(address_buf), how[0] == 'p' ? MSG_WAITALL : 0, &from.nl);
		EXPECT(from.nl.nl_family == AF_NETLINK && from.nl.nl_pid == 0 && from.nl.nl_groups == 0);
		EXPECT(from.room[0] == -1 && peeked == (i % 2 == 0 ? n : 8));
		EXPECT(n > 100 && ((struct nlmsghdr *)address_buf)->nlmsg_type == IPQM_PACKET);
		decide(fd, ((ipq_packet_msg_t *)(address_buf + 16))->packet_id, 1);
	}
	printf("%lu packets\n", count);
	return 0;
}

/* ---- calls on the socket ------------------------------------------------------------------------ */

static int value_of(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	EXPECT(get_option(fd, level, option, &value, &len) == 0 && len == sizeof(value));
	return value;
}

static int probed = NETLINK_FIREWALL, other = NETLINK_IP6_FW;

static void probe_options(int fd)
{
	int one = 1, none = 0, last = 32, many = 33, size = 65536;
	socklen_t len = sizeof(one);

	EXPECT(value_of(fd, SOL_SOCKET, SO_TYPE) == SOCK_RAW);
	EXPECT(value_of(fd, SOL_SOCKET, SO_DOMAIN) == AF_NETLINK);
	EXPECT(value_of(fd, SOL_SOCKET, SO_PROTOCOL) == probed);
	EXPECT(set_option(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) == 0);
	EXPECT(value_of(fd, SOL_SOCKET, SO_RCVBUF) == 2 * size);
	EXPECT(set_option(fd, 270, NETLINK_NO_ENOBUFS, &one, sizeof(one)) == 0);
	EXPECT(value_of(fd, 270, NETLINK_NO_ENOBUFS) == 1);
	EXPECT(value_of(fd, 270, NETLINK_PKTINFO) == 0);
	EXPECT(set_option(fd, 270, NETLINK_PKTINFO, &one, sizeof(one)) == 0);
	EXPECT(set_option(fd, 270, NETLINK_NO_ENOBUFS, &none, sizeof(none)) == 0);
	EXPECT(value_of(fd, 270, NETLINK_NO_ENOBUFS) == 0);
	EXPECT(value_of(fd, 270, NETLINK_PKTINFO) == 1);
	EXPECT(set_option(fd, 270, NETLINK_ADD_MEMBERSHIP, &one, sizeof(one)) == 0);
	EXPECT(set_option(fd, 270, NETLINK_ADD_MEMBERSHIP, &last, sizeof(last)) == 0);
	EXPECT(set_option(fd, 270, NETLINK_ADD_MEMBERSHIP, &none, sizeof(none)) < 0 && errno == EINVAL);
	EXPECT(probed != NETLINK_FIREWALL || /* other families may have more groups */
	       (set_option(fd, 270, NETLINK_ADD_MEMBERSHIP, &many, sizeof(many)) < 0 && errno == EINVAL));
	EXPECT(set_option(fd, 270, NETLINK_NO_ENOBUFS, &one, 2) == 0);
	EXPECT(set_option(fd, 270, NETLINK_ADD_MEMBERSHIP, &one, 2) < 0 && errno == EINVAL);
	EXPECT(set_option(fd, 270, NETLINK_NO_ENOBUFS, (void *)8, sizeof(one)) < 0 && errno == EFAULT);
	EXPECT(set_option(fd, 270, 99, &one, sizeof(one)) < 0 && errno == ENOPROTOOPT);
	EXPECT(get_option(fd, 270, 99, &one, &len) < 0 && errno == ENOPROTOOPT);
}

static void probe_names(int fd)
{
	struct sockaddr_nl me = { .nl_family = AF_NETLINK, .nl_pid = (uint32_t)getpid() }, got;
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	unsigned char small[8] = { 0 };
	socklen_t len = sizeof(got);
	int second;

	me.nl_family = AF_INET;
	EXPECT(bind_to(fd, &me, sizeof(me)) < 0 && errno == EINVAL);
	me.nl_family = AF_NETLINK;
	EXPECT(bind_to(fd, &me, sizeof(me)) == 0);
	EXPECT(name_of(fd, &got, &len) == 0 && len == sizeof(got));
	EXPECT(got.nl_family == AF_NETLINK && got.nl_pid == (uint32_t)getpid() && got.nl_groups == 0);
	len = sizeof(small) - 4; /* the address is truncated, but its full length is returned */
	EXPECT(name_of(fd, small, &len) == 0 && len == sizeof(got) && memcmp(small, &got, 4) == 0 &&
	       small[4] == 0);
	EXPECT(name_of(fd, (void *)8, &len) < 0 && errno == EFAULT);
	EXPECT(connect_to(fd, &kernel, sizeof(kernel)) == 0);
	me.nl_pid++;
	EXPECT(bind_to(fd, &me, sizeof(me)) < 0 && errno == EINVAL);

	/* The port id is in use while the socket exists, and is free afterwards. */
	me.nl_pid--;
	second = open_socket(AF_NETLINK, SOCK_DGRAM, probed);
	EXPECT(second >= 0);
	EXPECT(bind_to(second, &me, sizeof(me)) < 0 && errno == EADDRINUSE);
	close(fd);
	EXPECT(bind_to(second, &me, sizeof(me)) == 0);
	EXPECT(value_of(second, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM);
	close(second);
}

static int probe(void)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int fd = open_socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, probed), plain;
	char byte;

	EXPECT(fd >= 0);
	EXPECT(fcntl(fd, F_GETFD) == FD_CLOEXEC && (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	EXPECT(recv(fd, &byte, 1, 0) < 0 && errno == EAGAIN);
	plain = open_socket(AF_NETLINK, SOCK_RAW, other);
	EXPECT(plain == fd + 1 && fcntl(plain, F_GETFD) == 0 && (fcntl(plain, F_GETFL) & O_NONBLOCK) == 0);
	EXPECT(value_of(plain, SOL_SOCKET, SO_PROTOCOL) == other);
	EXPECT(sendto(plain, "x", 1, 0, (void *)&kernel, sizeof(kernel)) == 1);
	close(plain);
	EXPECT(open_socket(AF_NETLINK, SOCK_STREAM, probed) < 0 && errno == ESOCKTNOSUPPORT);
	probe_options(fd);
	probe_names(fd);
	puts("netlink's answers");
	return 0;
}

static int unrelated(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK };
	socklen_t len = sizeof(in);
	int fd;

	fd = open_socket(AF_INET, SOCK_DGRAM, 0);
	EXPECT(fd >= 0 && bind_to(fd, &in, sizeof(in)) == 0);
	EXPECT(name_of(fd, &in, &len) == 0 && len == sizeof(in) && in.sin_family == AF_INET &&
	       in.sin_port != 0);
	EXPECT(connect_to(fd, &in, sizeof(in)) == 0);
	EXPECT(value_of(fd, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM);
	EXPECT(value_of(fd, SOL_SOCKET, SO_DOMAIN) == AF_INET);
	close(fd);

	fd = open_socket(AF_UNIX, SOCK_DGRAM, 0); /* a Unix socket, with an address of netlink's length */
	snprintf(un.sun_path + 1, 10, "%09d", (int)getpid());
	EXPECT(fd >= 0 && bind_to(fd, &un, 12) == 0);
	EXPECT(connect_to(fd, &un, 12) == 0);
	EXPECT(bind_to(fd, &nl, sizeof(nl)) < 0 && errno == EINVAL);
	close(fd);

	fd = open_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	len = sizeof(nl);
	EXPECT(fd >= 0 && bind_to(fd, &nl, sizeof(nl)) == 0 && name_of(fd, &nl, &len) == 0);
	EXPECT(nl.nl_family == AF_NETLINK && nl.nl_pid != 0);
	EXPECT(value_of(fd, SOL_SOCKET, SO_PROTOCOL) == NETLINK_ROUTE);
	close(fd);
	EXPECT(name_of(fd, &nl, &len) < 0 && errno == EBADF);
	puts("left alone");
	return 0;
}

#include "run-client-effect.h"
#include "run-client-hostile.h"

/* ---- programs that stay ------------------------------------------------------------------------- */

static void create(const char *file)
{
	int fd = open(file, O_WRONLY | O_CREAT, 0600);

	if (fd < 0)
		die(file);
	close(fd);
}

static int stay(const char *file, int background)
{
	int fd;

	if (background && fork() != 0)
		_exit(42);
	if (background)
		setsid();
	fd = open_queue(NETLINK_FIREWALL);
	set_mode(fd, IPQ_COPY_PACKET, 0);
	create(file);
	if (!background)
		for (;;)
			pause();
	close(0);
	close(1);
	close(2);
	while (one_packet(fd, 1))
		;
	return 0;
}

/* Reads packets, and decides all of them just before the end, after a signal. */
static int decide_late(const char *file, unsigned long count)
{
	const struct sigaction action = { .sa_handler = on_alarm };
	int fd = open_queue(NETLINK_FIREWALL);
	unsigned long id[1000];
	sigset_t usr1, none;

	sigemptyset(&none);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	sigaction(SIGUSR1, &action, NULL);
	EXPECT(count <= sizeof(id) / sizeof(id[0]));
	set_mode(fd, IPQ_COPY_META, 0);
	create(file);
	for (unsigned long i = 0; i < count; i++)
		EXPECT(read_packet(fd, &id[i]));
	unlink(file);
	sigsuspend(&none);
	for (unsigned long i = 0; i < count; i++)
		decide(fd, id[i], 1);
	create(file);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "", *arg = argc > 2 ? argv[2] : "0";
	unsigned long count = strtoul(arg, NULL, 0);
	size_t range = argc > 3 ? strtoul(argv[3], NULL, 0) : 0;

	if (strcmp(what, "runs") == 0) /* "runs" only tests whether this kernel runs such programs */
		return 42;
	if (strcmp(what, "accept") == 0)
		return printf("%lu packets\n", handle(NETLINK_FIREWALL, count, range, 1)) < 0;
	if (strcmp(what, "drop") == 0)
		return printf("%lu packets\n", handle(NETLINK_FIREWALL, count, range, 0)) < 0;
	if (strcmp(what, "both") == 0)
		return both(count);
	if (strcmp(what, "address") == 0)
		return addresses(arg, range);
	how = argc > 3 ? argv[3] : "";
	if (strcmp(what, "effect") == 0)
		return effect(arg);
	if (strcmp(what, "probe") == 0)
		return probe();
	if (strcmp(what, "probe-kernel") == 0) {
		probed = NETLINK_GENERIC;
		other = NETLINK_ROUTE;
		return probe();
	}
	if (strcmp(what, "unrelated") == 0)
		return unrelated();
#ifdef __x86_64__
	if (strcmp(what, "x32") == 0) {
		EXPECT(syscall(0x40000000 | __NR_socket, AF_NETLINK, SOCK_RAW, NETLINK_FIREWALL) < 0 &&
		       errno == EPROTONOSUPPORT);
		return 0;
	}
#endif
	if (strcmp(what, "storm") == 0)
		return storm();
	if (strcmp(what, "misuse") == 0)
		return misuse();
	if (strcmp(what, "crowd") == 0)
		return crowd();
	if (strcmp(what, "linger") == 0)
		return linger();
	if (strcmp(what, "late") == 0)
		return decide_late(arg, range);
	if (strcmp(what, "daemon") == 0 || strcmp(what, "sleep") == 0)
		return stay(arg, what[0] == 'd');
	fprintf(stderr, "there is no \"%s\"\n", what);
	return 2;
}
