// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * nflog TEST: copies of datagrams to UDP port 7000 on loopback come from NFLOG group 7, in OUTPUT; nflog.sh has set the
 * rule. Exits 0, 1, or 77 if this kernel cannot run the test.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <ipq.h>

static int failures;
#define want(what) check(what, #what, __LINE__)

static bool check(bool right, const char *what, int line)
{
	if (!right) {
		printf("line %d: not so: %s\n", line, what);
		failures++;
	}
	return right;
}

static struct ipq_queue *open_group(const char *name, struct ipq_options *o)
{
	char error[320] = "";
	struct ipq_queue *q;

	o->size = sizeof(*o);
	o->error = error;
	o->error_size = sizeof(error);
	if (!want(ipq_queue_open(&q, name, o) == 0)) {
		printf("%s\n", error);
		return NULL;
	}
	return q;
}

/* Sends n datagrams of len bytes, each with its number. */
static int send_numbers(unsigned n, size_t len)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(7000),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int in = socket(AF_INET, SOCK_DGRAM, 0), out = socket(AF_INET, SOCK_DGRAM, 0);
	static unsigned char bytes[60000];

	want(bind(in, (struct sockaddr *)&to, sizeof(to)) == 0);
	for (unsigned i = 0; i < n; i++) {
		unsigned char got[4];

		memcpy(bytes, &i, sizeof(i));
		want(sendto(out, bytes, len, 0, (struct sockaddr *)&to, sizeof(to)) == (ssize_t)len);
		want(recv(in, got, sizeof(got), MSG_DONTWAIT) == 4 && memcmp(got, bytes, 4) == 0);
	}
	close(in);
	close(out);
	return 0;
}

static unsigned number_of(const struct ipq_packet *p)
{
	unsigned n = ~0U;

	if ((p->present & IPQ_HAS_PAYLOAD) && p->payload_len >= 32)
		memcpy(&n, p->payload + 28, sizeof(n));
	return n;
}

/*
 * Several copies arrive in one datagram. A reader that receives one copy at a time must get each, and poll must
 * report each.
 */
static void one_at_a_time(void)
{
	struct ipq_options o = { .flags = 0 };
	struct ipq_queue *q = open_group("nflog:7", &o);
	struct ipq_packet p;
	struct pollfd ready;

	if (q == NULL)
		return;
	send_numbers(100, 100);
	ready = (struct pollfd){ .fd = ipq_queue_fd(q), .events = POLLIN };
	for (unsigned i = 0; i < 100; i++) {
		int n = 0;

		while (n == 0 && want(poll(&ready, 1, 1000) == 1))
			n = ipq_queue_recv(q, &p, 1, 0);
		if (!want(n == 1) || !want(number_of(&p) == i))
			break;
		want(p.full_len == 128 && p.payload_len == 128 && p.hook == 3 && p.family == AF_INET);
		want((p.present & IPQ_HAS_OUTDEV) &&
		     strcmp(ipq_queue_interface(q, p.outdev, NULL), "lo") == 0);
		want((p.present & IPQ_HAS_UID) && p.uid == getuid());
		want(ipq_drop(q, &p) == 0);
	}
	want(ipq_queue_recv(q, &p, 1, 50) == 0);
	ipq_queue_close(q);
}

/* A single copy must arrive soon, although the kernel collects up to 32 copies. */
static void soon(void)
{
	struct ipq_options o = { .flags = 0 };
	struct ipq_queue *q = open_group("nflog:7", &o);
	struct ipq_packet p[4];

	if (q == NULL)
		return;
	send_numbers(1, 8);
	want(ipq_queue_recv(q, p, 4, 100) == 1 && p[0].full_len == 36);
	ipq_queue_close(q);
}

/* A copy must have only the bytes of the copy range, and full_len must be the packet's length. */
static void lengths(void)
{
	struct ipq_options cut = { .copy_range = 60 }, meta = { .flags = IPQ_O_META_ONLY };
	struct ipq_queue *q = open_group("nflog:7", &cut);
	struct ipq_packet p[4];

	if (q == NULL)
		return;
	send_numbers(1, 50000);
	want(ipq_queue_recv(q, p, 4, 1000) == 1);
	want(p[0].payload_len == 60 && p[0].full_len == 50028 && (p[0].flags & IPQ_PACKET_TRUNCATED));
	ipq_queue_close(q);
	q = open_group("nflog:7", &meta);
	if (q == NULL)
		return;
	send_numbers(1, 1000);
	want(ipq_queue_recv(q, p, 4, 1000) == 1);
	want(!(p[0].present & IPQ_HAS_PAYLOAD) && p[0].full_len == 1028);
	ipq_queue_close(q);
}

/* Copies that do not fit into the socket are lost, but the packets are not. */
static void lost(void)
{
	struct ipq_options o = { .receive_buffer = 20000 };
	struct ipq_queue *q = open_group("nflog:7,batch=1", &o);
	struct ipq_stats s = { .size = sizeof(s) };
	struct ipq_packet p[64];
	unsigned received = 0;
	int n;

	if (q == NULL)
		return;
	send_numbers(500, 8);
	while ((n = ipq_queue_recv(q, p, 64, 100)) > 0)
		received += (unsigned)n;
	send_numbers(1, 8); /* this packet shows the gap in the numbers */
	while ((n = ipq_queue_recv(q, p, 64, 100)) > 0)
		received += (unsigned)n;
	want(ipq_queue_stats(q, &s) == 0);
	want(received < 501 && s.received == received && s.received + s.lost == 501 && s.malformed == 0);
	ipq_queue_close(q);
}

static void *wake(void *q)
{
	usleep(100000);
	ipq_queue_wake(q);
	return NULL;
}

static void woken(void)
{
	struct ipq_options o = { .flags = 0 };
	struct ipq_queue *q = open_group("nflog:7", &o);
	struct ipq_packet p[4];
	pthread_t thread;

	if (q == NULL)
		return;
	pthread_create(&thread, NULL, wake, q);
	want(ipq_queue_recv(q, p, 4, 5000) == -ECANCELED);
	pthread_join(thread, NULL);
	/* If there are packets and a wake at the same time, the packets are returned first. */
	send_numbers(3, 8);
	usleep(50000);
	ipq_queue_wake(q);
	want(ipq_queue_recv(q, p, 4, 1000) == 3);
	want(ipq_queue_recv(q, p, 4, 1000) == -ECANCELED);
	want(ipq_queue_recv(q, p, 4, 0) == 0);
	ipq_queue_close(q);
}

/* A flag that nfnetlink_log does not support is refused and named, or omitted on request. */
static void lacking(void)
{
	struct ipq_options strict = { .size = sizeof(strict), .flags = IPQ_O_SEGMENT };
	struct ipq_options lax = { .flags = IPQ_O_SEGMENT | IPQ_O_OWNER | IPQ_O_BEST_EFFORT };
	struct ipq_queue *q;

	want(ipq_queue_open(&q, "nflog:7", &strict) == -EOPNOTSUPP && q == NULL);
	q = open_group("nflog:7", &lax);
	want(q != NULL && ipq_queue_flags(q) == (IPQ_O_OWNER | IPQ_O_BEST_EFFORT));
	ipq_queue_close(q);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} tests[] = { { "one at a time", one_at_a_time },
		      { "soon", soon },
		      { "lengths", lengths },
		      { "lost", lost },
		      { "woken", woken },
		      { "lacking", lacking } };

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		int before = failures;

		tests[i].run();
		printf("%s: %s\n", tests[i].name, failures == before ? "ok" : "FAILED");
	}
	return failures != 0;
}
