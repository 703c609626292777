/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * traffic: sends, receives and compares data whose every byte is known beforehand. Exits 0 only if exactly the expected
 * data arrived.
 *
 *	traffic udp [-n COUNT] [-s SIZE | -s MIN-MAX] [-e COUNT] [-r RATE] [-o] PORT
 *		sends COUNT datagrams (1000; sizes from MIN to MAX, mixed); -e of them must arrive (all);
 *		-r: RATE per second, as far as the receive buffer allows; -o: in the order of their numbers
 *	traffic tcp [-n BYTES] [-e BYTES] PORT
 *		one connection, BYTES through it (-e 0: it must not be established)
 *	traffic owned QUEUE
 *		exits 0 if a program owns this queue of the kernel
 *	traffic say [-t] PORT TEXT...
 *		sends each text, as a datagram or (-t) over one connection each, and prints what arrived
 *		for it on a line: the text, or (nothing)
 *
 * -f PORT: datagrams from this port; -1: the next one is sent when one has arrived. Everywhere: -a ADDRESS to send to
 * (127.0.0.1; one with a colon is IPv6), -N NAMESPACE: the receiver is in this namespace of `ip netns`, -w MILLISECONDS
 * to wait for expected data (10000), and then for unexpected data (1500).
 *
 * A datagram of 8 bytes and more begins with its number; the rest is a function of number and size. At most a window of
 * datagrams is in flight, so that our own receive buffer never overflows.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DATAGRAM_MAX 65507
#define WINDOW_BYTES 131072
#define WINDOW_PACKETS 32

struct settings {
	uint64_t count;
	long long expected; /* bytes or datagrams that must arrive; -1: all */
	size_t min, max;
	const char *address, *netns;
	/* times to wait in ms: for data that must not arrive, and for data that must arrive */
	int wait_ms, patience_ms;
	bool stream, one_by_one, ordered;
	unsigned rate;
	uint16_t port, from;
};

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static void usage(void)
{
	fputs("usage: traffic udp|tcp [-n COUNT] [-s MIN-MAX] [-e COUNT] [-a ADDRESS] [-N NETNS] [-w MS] "
	      "[-f PORT] [-1] PORT\n"
	      "       traffic owned QUEUE\n"
	      "       traffic say [-t] [-a ADDRESS] [-N NETNS] [-w MS] PORT TEXT...\n",
	      stderr);
	exit(2);
}

/* Splitmix64, a fast generator: every seed gives another stream. */
static uint64_t scramble(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static void fill(uint8_t *to, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t word = scramble(seed + i);

		memcpy(to + i, &word, len - i < 8 ? len - i : 8);
	}
}

static size_t size_of(const struct settings *s, uint64_t number)
{
	/* The smallest and the largest size come first, then random sizes. */
	if (number == 0)
		return s->min;
	if (number == 1)
		return s->max;
	return s->min + scramble(number) % (s->max - s->min + 1);
}

static void make_datagram(uint8_t *to, size_t size, uint64_t number)
{
	if (size < sizeof(number)) {
		fill(to, size, size);
		return;
	}
	memcpy(to, &number, sizeof(number));
	fill(to + sizeof(number), size - sizeof(number), scramble(number));
}

static socklen_t make_address(union address *a, const char *text, uint16_t port)
{
	memset(a, 0, sizeof(*a));
	if (strchr(text, ':')) {
		a->in6.sin6_family = AF_INET6;
		a->in6.sin6_port = htons(port);
		if (inet_pton(AF_INET6, text, &a->in6.sin6_addr) != 1)
			usage();
		return sizeof(a->in6);
	}
	a->in.sin_family = AF_INET;
	a->in.sin_port = htons(port);
	if (inet_pton(AF_INET, text, &a->in.sin_addr) != 1)
		usage();
	return sizeof(a->in);
}

/* A socket belongs to the network namespace in which it was created, even if its owner enters another one. */
static int receiving_socket(const struct settings *s, int type)
{
	int here = -1, fd, on = 1, room = 8 << 20;
	union address a;
	socklen_t len = make_address(&a, s->address, s->port);

	if (s->netns) {
		char path[256];
		int there;

		snprintf(path, sizeof(path), "/run/netns/%s", s->netns);
		here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
		there = open(path, O_RDONLY | O_CLOEXEC);
		if (here < 0 || there < 0 || setns(there, CLONE_NEWNET) < 0)
			die(path);
		close(there);
	}
	fd = socket(a.any.sa_family, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (bind(fd, &a.any, len) < 0)
		die("bind");
	if (type == SOCK_STREAM && listen(fd, 8) < 0)
		die("listen");
	if (here >= 0) {
		if (setns(here, CLONE_NEWNET) < 0)
			die("setns");
		close(here);
	}
	return fd;
}

static int sending_socket(const struct settings *s, int type)
{
	union address a;
	socklen_t len = make_address(&a, s->address, s->port);
	int fd = socket(a.any.sa_family, type | SOCK_CLOEXEC, 0), room = 1 << 20;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if (s->from != 0) {
		union address from = { .any = { .sa_family = a.any.sa_family } };

		from.in.sin_port = htons(s->from); /* at the same offset for IPv6 */
		if (bind(fd, &from.any, len) < 0)
			die("bind");
	}
	if (type == SOCK_DGRAM && connect(fd, &a.any, len) < 0)
		die("connect");
	return fd;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n;

	do
		n = poll(&p, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	return n > 0;
}

/* ---- udp ------------------------------------------------------------------------------------- */

struct arrivals {
	uint64_t right, wrong, twice;
	/* number of the newest datagram, and how often a number was smaller than the one before */
	uint64_t newest, back;
	uint8_t *seen;	   /* a bit for each number */
	uint64_t small[8]; /* datagrams too small to carry a number, by size */
};

/* A datagram that arrived must be one of ours, byte for byte, and arrive for the first time. */
static void check_datagram(const struct settings *s, struct arrivals *a, const uint8_t *got, size_t size)
{
	static uint8_t wanted[DATAGRAM_MAX + 8];
	uint64_t number;

	if (size < sizeof(number)) {
		make_datagram(wanted, size, 0);
		if (memcmp(got, wanted, size) == 0) {
			a->small[size]++;
			a->right++;
		} else {
			a->wrong++;
		}
		return;
	}
	memcpy(&number, got, sizeof(number));
	if (number >= s->count || size_of(s, number) != size) {
		a->wrong++;
		return;
	}
	make_datagram(wanted, size, number);
	if (memcmp(got, wanted, size) != 0) {
		a->wrong++;
	} else if (a->seen[number / 8] & (1 << (number % 8))) {
		a->twice++;
	} else {
		a->seen[number / 8] |= (uint8_t)(1 << (number % 8));
		a->right++;
		a->back += number < a->newest;
		a->newest = number;
	}
}

/* Receives until limit datagrams have arrived in total, or no more arrive. */
static void take(const struct settings *s, int fd, struct arrivals *a, uint64_t limit, int timeout_ms)
{
	static uint8_t got[DATAGRAM_MAX + 8];

	while (a->right + a->wrong + a->twice < limit && readable(fd, timeout_ms)) {
		ssize_t n = recv(fd, got, sizeof(got), 0);

		if (n < 0)
			die("recv");
		check_datagram(s, a, got, (size_t)n);
	}
}

/* More datagrams without a number than were sent are copies. */
static void count_small_copies(const struct settings *s, struct arrivals *a)
{
	uint64_t sent[8] = { 0 };

	for (uint64_t i = 0; i < s->count; i++)
		if (size_of(s, i) < 8)
			sent[size_of(s, i)]++;
	for (int size = 0; size < 8; size++)
		if (a->small[size] > sent[size]) {
			a->twice += a->small[size] - sent[size];
			a->right -= a->small[size] - sent[size];
		}
}

/* The number of datagrams that fit into the receive buffer, whose overhead is about 700 bytes each. */
static uint64_t room_for(const struct settings *s, int in)
{
	int bytes = 0;
	socklen_t len = sizeof(bytes);

	getsockopt(in, SOL_SOCKET, SO_RCVBUF, &bytes, &len);
	return (uint64_t)bytes / (s->max + 1000) + 1;
}

/* Waits until the next datagram is due. Receives in the meantime. */
static void pace(const struct settings *s, int in, struct arrivals *a, uint64_t sent, uint64_t start,
		 int *give_up)
{
	uint64_t due = start + sent * 1000000000 / s->rate, window = room_for(s, in);

	take(s, in, a, UINT64_MAX, 0);
	while (now_ns() < due) {
		usleep(50);
		take(s, in, a, UINT64_MAX, 0);
	}
	if (sent < window)
		return;
	take(s, in, a, sent - window, *give_up);
	if (a->right + a->wrong + a->twice < sent - window)
		*give_up = 0;
}

static int udp(const struct settings *s)
{
	static uint8_t datagram[DATAGRAM_MAX + 8];
	int in = receiving_socket(s, SOCK_DGRAM), out = sending_socket(s, SOCK_DGRAM);
	uint64_t expected = s->expected < 0 ? s->count : (uint64_t)s->expected;
	bool lossless = expected == s->count;
	struct arrivals a = { .seen = calloc((size_t)(s->count / 8 + 1), 1) };
	size_t under_way = 0;
	uint64_t start = now_ns();
	int give_up = s->patience_ms;

	if (!a.seen)
		die("calloc");
	for (uint64_t i = 0; i < s->count; i++) {
		size_t size = size_of(s, i);

		make_datagram(datagram, size, i);
		if (send(out, datagram, size, 0) != (ssize_t)size)
			die("send");
		if (s->rate > 0) {
			pace(s, in, &a, i + 1, start, &give_up);
			continue;
		}
		under_way += size;
		if (!s->one_by_one && under_way < WINDOW_BYTES && (i + 1) % WINDOW_PACKETS)
			continue;
		/*
		 * If some datagrams must be lost, do not wait for them. If none may be lost, wait for a missing one
		 * only once, not in each window.
		 */
		take(s, in, &a, lossless ? i + 1 : UINT64_MAX, lossless ? give_up : 0);
		if (lossless && a.right + a.wrong + a.twice < i + 1)
			give_up = 10;
		under_way = 0;
	}
	take(s, in, &a, expected, s->patience_ms);
	take(s, in, &a, UINT64_MAX, lossless && a.right == s->count ? 50 : s->wait_ms);
	count_small_copies(s, &a);
	printf("udp: %llu sent, %llu arrived as sent, %llu changed, %llu twice; expected %llu\n",
	       (unsigned long long)s->count, (unsigned long long)a.right, (unsigned long long)a.wrong,
	       (unsigned long long)a.twice, (unsigned long long)expected);
	if (s->ordered)
		printf("udp: %llu steps back\n", (unsigned long long)a.back);
	free(a.seen);
	return a.right != expected || a.wrong || a.twice || (s->ordered && a.back > 0);
}

/* ---- tcp ------------------------------------------------------------------------------------- */

static int wait_for_connection(const struct settings *s)
{
	return s->expected == 0 ? s->wait_ms : s->patience_ms;
}

/* Connects, with a timeout. */
static int connect_out(const struct settings *s)
{
	union address a;
	socklen_t len = make_address(&a, s->address, s->port);
	int fd = sending_socket(s, SOCK_STREAM), error = 0;
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof(error);

	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (connect(fd, &a.any, len) < 0) {
		if (errno != EINPROGRESS)
			die("connect");
		if (poll(&p, 1, wait_for_connection(s)) != 1 ||
		    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) || error) {
			close(fd);
			return -1;
		}
	}
	fcntl(fd, F_SETFL, 0);
	return fd;
}

static void tcp_send_all(int fd, uint64_t bytes)
{
	static uint8_t chunk[1 << 18];

	for (uint64_t at = 0; at < bytes;) {
		size_t len = bytes - at < sizeof(chunk) ? (size_t)(bytes - at) : sizeof(chunk);

		fill(chunk, len, at);
		for (size_t done = 0; done < len;) {
			ssize_t n = send(fd, chunk + done, len - done, MSG_NOSIGNAL);

			if (n < 0)
				_exit(1);
			done += (size_t)n;
		}
		at += len;
	}
}

static bool recv_exactly(int fd, uint8_t *to, size_t len, int timeout_ms)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = readable(fd, timeout_ms) ? recv(fd, to + done, len - done, 0) : -1;

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static int tcp(const struct settings *s)
{
	static uint8_t got[1 << 18], wanted[1 << 18];
	uint64_t expected = s->expected < 0 ? s->count : (uint64_t)s->expected, at = 0;
	int listener = receiving_socket(s, SOCK_STREAM), out = connect_out(s), in, status;
	bool right = true;
	pid_t sender;

	if (out < 0) {
		printf("tcp: no connection; expected %llu bytes\n", (unsigned long long)expected);
		return expected != 0;
	}
	in = readable(listener, wait_for_connection(s)) ? accept(listener, NULL, NULL) : -1;
	if (in < 0) {
		puts("tcp: the connection did not come in");
		return expected != 0;
	}
	sender = fork();
	if (sender < 0)
		die("fork");
	if (!sender) {
		tcp_send_all(out, s->count);
		_exit(0);
	}
	close(out);
	while (right && at < expected) {
		size_t len = expected - at < sizeof(got) ? (size_t)(expected - at) : sizeof(got);

		fill(wanted, len, at);
		right = recv_exactly(in, got, len, 10000) && memcmp(got, wanted, len) == 0;
		at += right ? len : 0;
	}
	/* Only the end of file may follow. */
	if (right && (!readable(in, 10000) || recv(in, got, 1, 0) != 0))
		right = false;
	close(in);
	waitpid(sender, &status, 0);
	printf("tcp: %llu sent, the first %llu arrived as sent; expected %llu\n",
	       (unsigned long long)s->count, (unsigned long long)at, (unsigned long long)expected);
	return !right || at != expected || expected == 0;
}

/* ---- say ------------------------------------------------------------------------------------- */

static ssize_t say_stream(const struct settings *s, int listener, const char *text, char *got, size_t room)
{
	int out = connect_out(s), in;
	ssize_t n = 0;

	if (out < 0)
		return -1;
	in = readable(listener, wait_for_connection(s)) ? accept(listener, NULL, NULL) : -1;
	if (in >= 0 && send(out, text, strlen(text), MSG_NOSIGNAL) > 0)
		n = readable(in, s->patience_ms) ? recv(in, got, room, 0) : -1;
	close(out);
	if (in >= 0)
		close(in);
	return in < 0 ? -1 : n;
}

static int say(const struct settings *s, char **text)
{
	static char got[DATAGRAM_MAX + 1];
	int in = receiving_socket(s, s->stream ? SOCK_STREAM : SOCK_DGRAM);
	int out = s->stream ? -1 : sending_socket(s, SOCK_DGRAM);

	for (; *text; text++) {
		ssize_t n = -1;

		if (s->stream) {
			n = say_stream(s, in, *text, got, sizeof(got));
		} else {
			if (send(out, *text, strlen(*text), 0) < 0 && errno != ECONNREFUSED && errno != EPERM)
				die("send");
			if (readable(in, s->patience_ms))
				n = recv(in, got, sizeof(got), 0);
		}
		if (n < 0)
			puts("(nothing)");
		else
			printf("%.*s\n", (int)n, got);
		fflush(stdout);
	}
	return 0;
}

/* ---- owned ----------------------------------------------------------------------------------- */

/*
 * Sends a verdict for no packet, which changes nothing: the kernel returns ENODEV if no process owns the
 * queue and EPERM if another process does. /proc shows it too, but is not readable in a user namespace.
 */
static int owned(uint16_t queue)
{
	struct {
		struct nlmsghdr header;
		struct nfgenmsg generic;
		struct nlattr attribute;
		struct nfqnl_msg_verdict_hdr verdict;
	} request = {
		.header = { .nlmsg_len = sizeof(request),
			    .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.generic = { .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(queue) },
		.attribute = { .nla_len = sizeof(struct nlattr) + sizeof(struct nfqnl_msg_verdict_hdr),
			       .nla_type = NFQA_VERDICT_HDR },
		.verdict = { .verdict = htonl(NF_DROP) },
	};
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char quoted[256];
	} answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

	if (fd < 0 || send(fd, &request, sizeof(request), 0) < 0 || !readable(fd, 1000) ||
	    recv(fd, &answer, sizeof(answer), 0) < (ssize_t)NLMSG_LENGTH(sizeof(answer.error)))
		die("owned");
	close(fd);
	return answer.error.error != -EPERM;
}

static void read_sizes(struct settings *s, const char *text)
{
	char *end;

	s->min = s->max = strtoul(text, &end, 0);
	if (*end == '-')
		s->max = strtoul(end + 1, &end, 0);
	if (*end || s->min > s->max || s->max > DATAGRAM_MAX)
		usage();
}

int main(int argc, char **argv)
{
	struct settings s = { .count = 1000,
			      .expected = -1,
			      .max = 1400,
			      .address = "127.0.0.1",
			      .wait_ms = 1500,
			      .patience_ms = 10000 };
	const char *what = argc > 1 ? argv[1] : "";
	int option;

	while ((option = getopt(argc - (argc > 1), argv + (argc > 1), "n:s:e:a:N:w:f:1tr:o")) != -1) {
		switch (option) {
		case 'n':
			s.count = strtoull(optarg, NULL, 0);
			break;
		case 's':
			read_sizes(&s, optarg);
			break;
		case 'e':
			s.expected = strtoll(optarg, NULL, 0);
			break;
		case 'a':
			s.address = optarg;
			break;
		case 'N':
			s.netns = optarg;
			break;
		case 'w':
			s.wait_ms = s.patience_ms = atoi(optarg);
			break;
		case 'f':
			s.from = (uint16_t)atoi(optarg);
			break;
		case '1':
			s.one_by_one = true;
			break;
		case 't':
			s.stream = true;
			break;
		case 'r':
			s.rate = (unsigned)atoi(optarg);
			break;
		case 'o':
			s.ordered = true;
			break;
		default:
			usage();
		}
	}
	argv += optind + (argc > 1);
	if (strcmp(what, "owned") == 0 && *argv)
		return owned((uint16_t)atoi(*argv));
	if (!*argv || (s.port = (uint16_t)atoi(*argv)) == 0)
		usage();
	if (strcmp(what, "udp") == 0)
		return udp(&s);
	if (strcmp(what, "tcp") == 0)
		return tcp(&s);
	if (strcmp(what, "say") == 0)
		return say(&s, argv + 1);
	usage();
}
