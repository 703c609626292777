// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * newapi TEST: <ipq.h> with real packets. Each test opens queues, sends datagrams to itself over loopback
 * through the rules that newapi.sh has set, and asserts on what the sockets received. Exits 0, 1, or 77 if this kernel
 * or user cannot run the test.
 *
 *	UDP ports 7000 to 7099		OUTPUT, queue 0
 *	TCP port 7001, from and to	OUTPUT, queue 4: TCP retransmits long after a test
 *	UDP port 7100			OUTPUT, queues 2 and 3 by address (--queue-balance 2:3)
 *	UDP port 7200			INPUT, queue 0
 *	mark 42				INPUT, dropped
 *
 * Some tests need their own environment: conntrack.sh, bridge.sh, origin.sh.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <ipq.h>
#include <ipq_edit.h>
#include "util/clock.h"

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

static void skip(const char *why)
{
	printf("skipped: %s\n", why);
	exit(failures ? 1 : 77);
}

/* ---- tools ---------------------------------------------------------------------------------------- */

static int rx = -1, tx = -1;

static struct sockaddr_in address(uint32_t host, uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(host) };
}

static void sockets(uint16_t port)
{
	struct sockaddr_in any = address(INADDR_ANY, port), to = address(INADDR_LOOPBACK, port);
	int room = 8 << 20;

	close(rx);
	close(tx);
	rx = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	tx = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	setsockopt(rx, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (bind(rx, (struct sockaddr *)&any, sizeof(any)) < 0 ||
	    connect(tx, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror("sockets");
		exit(2);
	}
}

static void say(const char *text)
{
	if (send(tx, text, strlen(text), 0) < 0 && errno != ECONNREFUSED && errno != EPERM)
		perror("send");
}

static void say_numbers(unsigned n)
{
	char text[16];

	for (unsigned i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "%u", i);
		say(text);
	}
}

/* The next text that arrives within a moment; "": none. */
static const char *heard(void)
{
	static char text[2048];
	struct pollfd p = { .fd = rx, .events = POLLIN };
	ssize_t n = poll(&p, 1, 300) > 0 ? recv(rx, text, sizeof(text) - 1, 0) : 0;

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static unsigned heard_in_all(void)
{
	unsigned n = 0;

	while (*heard() != '\0')
		n++;
	return n;
}

static struct ipq_queue *open_number(const char *source, uint32_t flags, uint32_t queue_length)
{
	char error[320];
	struct ipq_options o = { .size = sizeof(o),
				 .flags = flags,
				 .queue_length = queue_length,
				 .error = error,
				 .error_size = sizeof(error) };
	struct ipq_queue *q;

	if (ipq_queue_open(&q, source, &o) < 0) {
		printf("cannot open: %s\n", error);
		exit(1);
	}
	return q;
}

static struct ipq_queue *open_with(uint32_t flags, uint32_t queue_length)
{
	return open_number(NULL, flags, queue_length);
}

static struct ipq_queue *open_plain(void)
{
	return open_with(0, 0);
}

static struct ipq_stats stats_of(struct ipq_queue *q)
{
	struct ipq_stats s = { .size = sizeof(s) };

	want(ipq_queue_stats(q, &s) == 0);
	return s;
}

static bool one(struct ipq_queue *q, struct ipq_packet *p)
{
	return want(ipq_queue_recv(q, p, 1, 2000) == 1);
}

/* Whether this is the UDP packet to port 7000 with this text. */
static bool is_text(const struct ipq_packet *p, const char *text)
{
	return p->payload_len == 28 + strlen(text) && memcmp(p->payload + 28, text, strlen(text)) == 0;
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return (int)syscall(SYS_capset, &header, none);
}

/* ---- receiving and deciding ----------------------------------------------------------------------- */

static void batches(void)
{
	struct ipq_queue *q = open_plain();
	struct ipq_packet p[200];
	uint32_t id = 0;
	unsigned all = 0;
	int n;

	sockets(7000);
	say_numbers(200);
	want(ipq_queue_recv(q, p, 0, 0) == -EINVAL);
	while (all < 200 && (n = ipq_queue_recv(q, p, 200, 2000)) > 0) {
		want(n == (200 - all < 64 ? 200 - (int)all : 64));
		for (int i = 0; i < n; i++) {
			want(id == 0 || p[i].id == id + 1);
			id = p[i].id;
			want(p[i].family == AF_INET && p[i].hook == 3 && p[i].full_len == p[i].payload_len);
			want(ipq_accept(q, &p[i]) == 0);
		}
		all += (unsigned)n;
	}
	/* either the last batch has not been sent yet, or all packets have been decided */
	want(*heard() == '\0' || all == 200);
	want(ipq_queue_flush(q) == 0);
	want(stats_of(q).received == 200 && stats_of(q).accepted == 200 && stats_of(q).waiting == 0);
	want(stats_of(q).receives <= 4 && stats_of(q).sends <= 4);
	ipq_queue_close(q);
}

static void order_of_verdicts(void)
{
	struct ipq_queue *q = open_plain();
	struct ipq_packet p[64], *kept[100];
	int n, have = 0;
	char text[16];

	sockets(7000);
	say_numbers(100);
	while (have < 100 && (n = ipq_queue_recv(q, p, 64, 2000)) > 0)
		for (int i = 0; i < n; i++)
			kept[have++] = ipq_packet_keep(&p[i]);
	want(have == 100 && stats_of(q).waiting == 100);
	for (int i = 0; i < 100; i++) /* decides each packet once, in any order, and drops every third one */
		want((i % 3 == 0 ? ipq_drop : ipq_accept)(q, kept[i * 37 % 100]) == 0);
	want(ipq_accept(q, kept[5]) == -ENOENT && strstr(ipq_queue_error(q), "already decided") != NULL);
	want(ipq_queue_flush(q) == 0);
	for (int i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "%d", i * 37 % 100);
		want(i % 3 == 0 || strcmp(heard(), text) == 0);
		want(is_text(kept[i], (snprintf(text, sizeof(text), "%d", i), text)));
	}
	want(*heard() == '\0');
	want(stats_of(q).accepted == 66 && stats_of(q).dropped == 34 && stats_of(q).refused == 0);
	for (int i = 0; i < 100; i++)
		ipq_packet_free(kept[i]);
	ipq_queue_close(q);
}

static void replace_one(struct ipq_queue *q, const char *before, const char *after, bool keep)
{
	uint8_t buffer[2048];
	struct ipq_packet p, *kept = &p;
	struct ipq_edit e;
	bool same = strlen(before) == strlen(after);

	say(before);
	if (!one(q, &p))
		return;
	if (keep) {
		kept = ipq_packet_keep(&p);
		/* after this receive, the old pointers are no longer valid */
		want(ipq_queue_recv(q, &p, 1, 0) == 0);
	}
	if (!same)
		memcpy(buffer, kept->payload, kept->payload_len);
	want(ipq_edit_begin(&e, same ? kept->payload : buffer, kept->payload_len,
			    same ? kept->payload_len : sizeof(buffer), kept->flags) == 0);
	want(ipq_edit_replace(&e, 0, strlen(before), after, strlen(after)) == 0);
	want(ipq_replace(q, kept, e.data, e.len) == 0);
	/* the caller may change the bytes, because the payload was copied */
	memset(buffer, 0, sizeof(buffer));
	if (keep)
		ipq_packet_free(kept);
	want(ipq_queue_flush(q) == 0);
	want(strcmp(heard(), after) == 0);
}

static void replacements(void)
{
	static const uint8_t big[65532];
	struct ipq_queue *q = open_plain();
	struct ipq_packet p;

	sockets(7000);
	for (int keep = 0; keep < 2; keep++) {
		replace_one(q, "hello", "HELLO", keep);
		replace_one(q, "halfhalf", "half", keep);
		replace_one(q, "half", "halfhalfhalf!", keep);
	}
	want(stats_of(q).replaced == 6 && stats_of(q).accepted == 6);
	say("stays");
	if (one(q, &p)) {
		want(p.flags & IPQ_PACKET_CHECKSUM_NOT_READY);
		want(ipq_replace(q, &p, big, 65532) == -EMSGSIZE);
		want(ipq_replace(q, &p, big, 0) == -EINVAL && ipq_replace(q, &p, NULL, 20) == -EINVAL);
		/* these bytes are not a packet with a checksum */
		want(ipq_replace(q, &p, big, 40) == -EBADMSG);
		want(ipq_accept(q, &p) == 0);
	}
	ipq_queue_close(q); /* this call sends pending verdicts */
	want(strcmp(heard(), "stays") == 0);
}

/* The kernel reports and sets priorities since 5.18. */
static bool has_priority(void)
{
	unsigned major = 0, minor = 0;
	struct utsname u;

	return uname(&u) == 0 && sscanf(u.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 5 || (major == 5 && minor >= 18));
}

/* Receives the packets with the numbers 0 to n-1, each with this mark (0: no mark). */
static void receive_numbers(struct ipq_queue *q, struct ipq_packet *p, unsigned n, uint32_t mark)
{
	char text[16];

	for (unsigned i = 0; i < n && one(q, &p[i]); i++) {
		snprintf(text, sizeof(text), "%u", i);
		want(is_text(&p[i], text));
		want(mark == 0 ? !(p[i].present & IPQ_HAS_MARK) : p[i].mark == mark);
	}
}

/* Equal verdicts with equal marks share a message (tests/unit/verdicts.c): the kernel applies it to each packet. */
static void equal_marks(void)
{
	struct ipq_verdict v = { .size = sizeof(v), .present = IPQ_SET_MARK, .code = IPQ_REPEAT, .mark = 7 };
	struct ipq_queue *q = open_plain();
	struct ipq_packet p[8];
	uint64_t sends;

	sockets(7000);
	say_numbers(8);
	receive_numbers(q, p, 8, 0);
	sends = stats_of(q).sends;
	for (unsigned i = 0; i < 8; i++)
		want(ipq_decide(q, &p[i], &v) == 0);
	want(ipq_queue_flush(q) == 0 && stats_of(q).sends == sends + 1);
	receive_numbers(q, p, 8, 7);
	v.code = IPQ_ACCEPT;
	for (unsigned i = 0; i < 8; i++) {
		v.mark = i < 4 ? 8 : 42; /* the rule for mark 42 drops the packet */
		want(ipq_decide(q, &p[i], &v) == 0);
	}
	want(ipq_queue_flush(q) == 0);
	want(heard_in_all() == 4);
	want(stats_of(q).refused == 0 && stats_of(q).waiting == 0 && stats_of(q).accepted == 8);
	ipq_queue_close(q);
}

static void verdict_codes(void)
{
	struct ipq_verdict v = { .size = sizeof(v),
				 .present = IPQ_SET_MARK | IPQ_SET_PRIORITY,
				 .code = IPQ_REPEAT,
				 .mark = 7,
				 .priority = 0x10003 };
	struct ipq_queue *q = open_plain(), *other;
	struct ipq_packet p;

	want(ipq_queue_open(&other, "nfqueue:1", NULL) == 0);
	sockets(7000);
	say("round");
	want(one(q, &p) && !(p.present & IPQ_HAS_MARK) && ipq_decide(q, &p, &v) == 0);
	want(one(q, &p) && (p.present & IPQ_HAS_MARK) && p.mark == 7 && is_text(&p, "round"));
	if (has_priority())
		want((p.present & IPQ_HAS_PRIORITY) && p.priority == 0x10003);
	v = (struct ipq_verdict){ .size = sizeof(v), .code = IPQ_QUEUE, .queue = 1 };
	want(ipq_decide(q, &p, &v) == 0 && ipq_queue_flush(q) == 0);
	want(one(other, &p) && is_text(&p, "round"));
	v = (struct ipq_verdict){ .size = sizeof(v), .code = IPQ_STOP };
	want(ipq_decide(other, &p, &v) == 0 && ipq_queue_flush(other) == 0);
	want(strcmp(heard(), "round") == 0);
	want(stats_of(q).other == 2 && stats_of(other).other == 1);

	say("marked");
	v = (struct ipq_verdict){
		.size = sizeof(v), .present = IPQ_SET_MARK, .code = IPQ_ACCEPT, .mark = 42
	};
	want(one(q, &p) && ipq_decide(q, &p, &v) == 0 && ipq_queue_flush(q) == 0);
	want(*heard() == '\0'); /* the rule for mark 42 has dropped it */

	say("last");
	want(one(q, &p));
	v.code = 2; /* 2: NF_STOLEN, which only the kernel may use */
	want(ipq_decide(q, &p, &v) == -EINVAL);
	v.code = 6;
	want(ipq_decide(q, &p, &v) == -EINVAL);
	v = (struct ipq_verdict){ .size = sizeof(v), .present = 1u << 30, .code = IPQ_DROP };
	want(ipq_decide(q, &p, &v) == -EINVAL);
	v = (struct ipq_verdict){ .size = 3, .code = IPQ_DROP };
	want(ipq_decide(q, &p, &v) == -EINVAL);
	want(ipq_accept(q, &p) == 0 && ipq_queue_flush(q) == 0 && strcmp(heard(), "last") == 0);
	ipq_queue_close(other);
	ipq_queue_close(q);
}

/* ---- TCP with packets of up to 64 KiB --------------------------------------------------------------- */

struct consumer {
	struct ipq_queue *q;
	atomic_bool done;
	unsigned large, not_ready, packets;
	int error;
};

static void *send_all_back(void *arg)
{
	struct consumer *c = arg;
	struct ipq_packet p[64];

	while (!atomic_load(&c->done) && c->error == 0) {
		int n = ipq_queue_recv(c->q, p, 64, 100);

		if (n < 0)
			c->error = n;
		for (int i = 0; i < n && c->error == 0; i++) {
			c->packets++;
			c->large += p[i].payload_len > 1500;
			c->not_ready += (p[i].flags & IPQ_PACKET_CHECKSUM_NOT_READY) != 0;
			c->error = ipq_replace(c->q, &p[i], p[i].payload, p[i].payload_len);
		}
	}
	ipq_queue_flush(c->q);
	return NULL;
}

/* Sends 4 MB through one connection. Returns how many bytes arrived unchanged. */
static size_t tcp_stream(void)
{
	struct sockaddr_in at = address(INADDR_LOOPBACK, 7001);
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1, in, out = socket(AF_INET, SOCK_STREAM, 0);
	static uint8_t chunk[1 << 16], got[1 << 16];
	size_t total = 0;
	pid_t child;

	for (size_t i = 0; i < sizeof(chunk); i++)
		chunk[i] = (uint8_t)(i * 7 + i / 251);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(listener, 1) < 0 ||
	    connect(out, (struct sockaddr *)&at, sizeof(at)) < 0)
		return 0;
	in = accept(listener, NULL, NULL);
	child = fork();
	if (child == 0) {
		for (int i = 0; i < 64; i++)
			for (size_t sent = 0; sent < sizeof(chunk);) {
				ssize_t n = send(out, chunk + sent, sizeof(chunk) - sent, 0);

				if (n < 0)
					_exit(1);
				sent += (size_t)n;
			}
		_exit(0);
	}
	close(out);
	for (;;) {
		ssize_t n = recv(in, got, sizeof(got) - total % sizeof(got), 0);

		if (n <= 0 || memcmp(got, chunk + total % sizeof(chunk), (size_t)n) != 0)
			break;
		total += (size_t)n;
	}
	waitpid(child, NULL, 0);
	close(in);
	close(listener);
	return total;
}

static void tcp_sent_back(uint32_t flags, bool large)
{
	struct consumer c = { .q = open_number("nfqueue:4", flags, 0) };
	struct ipq_stats s;
	pthread_t t;

	pthread_create(&t, NULL, send_all_back, &c);
	want(tcp_stream() == 4 << 20);
	atomic_store(&c.done, true);
	ipq_queue_wake(c.q);
	pthread_join(t, NULL);
	want(c.error == 0 || c.error == -ECANCELED);
	want((c.large > 0) == large);
	want((c.not_ready > 0) == large);
	s = stats_of(c.q);
	want(s.replaced == s.received && s.received == c.packets && s.refused == 0);
	ipq_queue_close(c.q);
}

static void gso(void)
{
	tcp_sent_back(0, true);
}

static void segments(void)
{
	tcp_sent_back(IPQ_O_SEGMENT, false);
}

/* ---- waiting and waking ----------------------------------------------------------------------------- */

static struct ipq_queue *to_wake;

static void wake_it(int signal)
{
	(void)signal;
	ipq_queue_wake(to_wake);
}

static void nothing(int signal)
{
	(void)signal;
}

static void *wake_later(void *arg)
{
	usleep(50000);
	ipq_queue_wake(arg);
	return NULL;
}

static void *say_later(void *arg)
{
	usleep(50000);
	say(arg);
	return NULL;
}

static void signal_soon(void (*handler)(int), int flags)
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = flags };
	struct itimerval soon = { .it_value.tv_usec = 50000 };

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
}

static bool readable(struct ipq_queue *q)
{
	struct pollfd p = { .fd = ipq_queue_fd(q), .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static void waking(void)
{
	struct ipq_queue *q = open_plain();
	struct ipq_packet p[8];
	pthread_t t;
	int n;

	sockets(7000);
	to_wake = q;
	pthread_create(&t, NULL, wake_later, q);
	want(ipq_queue_recv(q, p, 8, IPQ_FOREVER) == -ECANCELED);
	pthread_join(t, NULL);
	/* ThreadSanitizer runs a handler only after recvmmsg has returned, but this handler must end recvmmsg. */
#ifndef __SANITIZE_THREAD__
	signal_soon(wake_it, SA_RESTART);
	want(ipq_queue_recv(q, p, 8, IPQ_FOREVER) == -ECANCELED);
#endif
	signal_soon(wake_it,
		    /* poll(2) is never restarted, so the signal may be reported before the wake */
		    SA_RESTART);
	n = ipq_queue_recv(q, p, 8, 2000);
	want(n == -ECANCELED || (n == -EINTR && ipq_queue_recv(q, p, 8, IPQ_FOREVER) == -ECANCELED));
	signal_soon(nothing, 0);
	want(ipq_queue_recv(q, p, 8, IPQ_FOREVER) == -EINTR);
	want(!readable(q));

	want(ipq_queue_wake(q) == 0 && readable(q));
	want(ipq_queue_recv(q, p, 8, IPQ_FOREVER) == -ECANCELED && !readable(q));

	/* A wake comes between packets: the packets are returned first, then the wake. */
	say("one");
	ipq_queue_wake(q);
	say("two");
	want(ipq_queue_recv(q, p, 8, IPQ_FOREVER) == 2);
	want(readable(q));
	want(ipq_accept(q, &p[0]) == 0 && ipq_accept(q, &p[1]) == 0);
	want(ipq_queue_recv(q, p, 8, IPQ_FOREVER) == -ECANCELED);
	want(heard_in_all() == 2);
	want(ipq_queue_recv(q, p, 8, 100) == 0); /* a wake is reported only once */
	want(!readable(q));
	ipq_queue_close(q);
}

static void timeouts_of(uint32_t spin_usec)
{
	struct ipq_options o = { .size = sizeof(o), .spin_usec = spin_usec };
	struct ipq_stats stats = { .size = sizeof(stats) };
	struct ipq_queue *q;
	struct ipq_packet p;
	int64_t start;
	pthread_t t;

	want(ipq_queue_open(&q, "nfqueue:0", &o) == 0);
	sockets(7000);
	start = now_ms();
	want(ipq_queue_recv(q, &p, 1, 0) == 0 && now_ms() - start < 50);
	want(!readable(q));
	start = now_ms();
	want(ipq_queue_recv(q, &p, 1, 100) == 0);
	want(now_ms() - start >= 100 && now_ms() - start < 1000);
	pthread_create(&t, NULL, say_later, (void *)"late");
	want(ipq_queue_recv(q, &p, 1, IPQ_FOREVER) == 1 && is_text(&p, "late"));
	pthread_join(t, NULL);
	say("there");
	want(readable(q));
	want(ipq_queue_recv(q, &p, 1, 0) == 1 && is_text(&p, "there"));
	/* a timeout does not count as a message */
	want(ipq_queue_stats(q, &stats) == 0 && stats.malformed == 0);
	ipq_queue_close(q);
}

static void timeouts(void)
{
	timeouts_of(0);
	timeouts_of(2000);
}

/* ---- the tests in the other files ----------------------------------------------------------------------- */

#include "newapi_open.h"
#include "newapi_more.h"

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "batches", batches },
	{ "order", order_of_verdicts },
	{ "replace", replacements },
	{ "codes", verdict_codes },
	{ "equal-marks", equal_marks },
	{ "gso", gso },
	{ "segments", segments },
	{ "wake", waking },
	{ "timeouts", timeouts },
	{ "refused", opening_refused },
	{ "capability", capability_lost },
	{ "lacking", lacking_flags },
	{ "fields", fields },
	{ "counts", counts_add_up },
	{ "overrun", overrun },
	{ "failopen", fail_open },
	{ "gone", packets_gone },
	{ "group", group },
	{ "group-ends", group_ends },
	{ "group-restarts", group_restarts },
	{ "random", random_verdicts },
	{ "spin", spinning },
	{ "untracked", untracked },
	{ "connections", connections },
	{ "class", class_of_sender },
	{ "context", security_context },
	{ "ports", ports },
	{ "bridged", bridged },
};

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; argc == 2 && i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (strcmp(argv[1], tests[i].name) != 0)
			continue;
		tests[i].run();
		return failures != 0;
	}
	fputs("usage: newapi TEST\n", stderr);
	return 2;
}
