/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "packets.h"

#define PORT 7000
#define SENDERS 64 /* number of sending sockets: each can have 200 waiting packets */
#define TEXT 28	   /* offset of the number's text in a packet */

int api, failures;
static int rx, tx[SENDERS];
static unsigned char arrived[100000]; /* number of arrivals of each number */

void choose_api(char **argv)
{
	static const char *const names[] = { "new", "strict", "batch", "engine" };

	for (api = 0; api < 4 && (argv[1] == NULL || strcmp(argv[1], names[api]) != 0); api++)
		;
	if (api == 4)
		exit(2);
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* The library reads its environment when it is loaded, so this program must be started again. */
	if (api < BATCH || getenv(api == BATCH ? "IPQ_BATCH" : "IPQ_SOURCE") != NULL)
		return;
	setenv(api == BATCH ? "IPQ_BATCH" : "IPQ_SOURCE", api == BATCH ? "8" : "engine:nfqueue:0", 1);
	execv("/proc/self/exe", argv);
	exit(2);
}

bool check(bool right, const char *what, const char *file, int line)
{
	if (!right) {
		printf("%s:%d: not so: %s\n", file, line, what);
		failures++;
	}
	return right;
}

int64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- traffic --------------------------------------------------------------------------------------------
 */

void open_sockets(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(PORT),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int room = 8 << 20, i;

	rx = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(rx, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	setsockopt(rx, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (bind(rx, (struct sockaddr *)&to, sizeof(to)) < 0)
		abort();
	for (i = 0; i < SENDERS; i++) {
		tx[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (connect(tx[i], (struct sockaddr *)&to, sizeof(to)) < 0)
			abort();
	}
}

void say(unsigned first, unsigned n)
{
	char text[16];

	for (; n > 0; n--, first++) {
		snprintf(text, sizeof(text), "%u", first);
		if (sendto(tx[first % SENDERS], text, strlen(text), 0, NULL, 0) < 0)
			abort();
	}
}

unsigned heard(int wait_ms)
{
	struct pollfd wait = { .fd = rx, .events = POLLIN };
	unsigned n = 0, number;
	char text[16];
	ssize_t len;

	while ((len = recvfrom(rx, text, sizeof(text) - 1, 0, NULL, NULL)) >= 0 ||
	       poll(&wait, 1, wait_ms) > 0) {
		if (len < 0)
			continue;
		text[len] = '\0';
		number = (unsigned)strtoul(text, NULL, 10);
		if (number % 2 != 0 || number >= sizeof(arrived) || arrived[number]++ > 0) {
			printf("wrong verdict: «%s» arrived\n", text);
			failures++;
		}
		n++;
	}
	return n;
}

/* ---- readers --------------------------------------------------------------------------------------------
 */

static int classic_open(struct reader *r, const char **why)
{
	if (r->h == NULL)
		r->h = ipq_create_handle(0, PF_INET);
	if (r->h != NULL && ipq_set_mode(r->h, IPQ_COPY_PACKET, 0) > 0)
		return 0;
	*why = ipq_errstr();
	return -errno;
}

int reader_open(struct reader *r, const char **why)
{
	static char text[320];
	struct ipq_options o = { .size = sizeof(o), .error = text, .error_size = sizeof(text) };

	*why = text;
	return api == NEW ? ipq_queue_open(&r->q, "nfqueue:0", &o) : classic_open(r, why);
}

static unsigned number_in(const uint8_t *payload, size_t len)
{
	char text[16] = "";

	if (len > TEXT)
		memcpy(text, payload + TEXT, len - TEXT < 15 ? len - TEXT : 15);
	return (unsigned)strtoul(text, NULL, 10);
}

static int classic_next(struct reader *r, struct seen *s, int timeout_ms)
{
	int timeout = timeout_ms < 0 ? 0 : timeout_ms == 0 ? -1 : timeout_ms * 1000;
	ipq_packet_msg_t *m;
	ssize_t n;

	for (;;) {
		errno = 0;
		n = ipq_read(r->h, r->buf, sizeof(r->buf), timeout);
		if (n <= 0)
			return n == 0 && errno != EINTR ? 0 : -errno;
		if (ipq_message_type(r->buf) == IPQM_PACKET)
			break;
		r->refusals++;
	}
	m = ipq_get_packet(r->buf);
	s->id = m->packet_id;
	s->number = number_in(m->payload, m->data_len);
	return 1;
}

int reader_next(struct reader *r, struct seen *s, int timeout_ms)
{
	if (api != NEW)
		return classic_next(r, s, timeout_ms);
	if (r->next == r->count) {
		r->next = r->count = 0;
		r->count = ipq_queue_recv(r->q, r->packet, 8, timeout_ms);
		if (r->count <= 0) {
			int n = r->count;

			r->count = 0;
			return n;
		}
	}
	s->packet = r->packet[r->next++];
	s->number = number_in(s->packet.payload, s->packet.payload_len);
	return 1;
}

int reader_decide(struct reader *r, const struct seen *s, bool accept)
{
	if (api == NEW)
		return (accept ? ipq_accept : ipq_drop)(r->q, &s->packet);
	return ipq_set_verdict(r->h, s->id, accept ? NF_ACCEPT : NF_DROP, 0, NULL) > 0 ? 0 : -errno;
}

int reader_judge(struct reader *r, const struct seen *s)
{
	return reader_decide(r, s, s->number % 2 == 0);
}

unsigned reader_work(struct reader *r, int wait_ms)
{
	unsigned n = 0;
	struct seen s;
	int got;

	while ((got = reader_next(r, &s, wait_ms)) > 0) {
		want(reader_judge(r, &s) == 0);
		n++;
	}
	want(got == 0);
	return n;
}

void reader_flush(struct reader *r)
{
	if (api == NEW)
		want(ipq_queue_flush(r->q) == 0);
	else if (api == BATCH) /* this call changes nothing, but sends pending verdicts */
		want(ipq_ctl(r->h, IPQ_CTL_BATCH, 1) == 0 && ipq_ctl(r->h, IPQ_CTL_BATCH, 8) == 0);
}

void reader_close(struct reader *r)
{
	ipq_queue_close(r->q);
	ipq_destroy_handle(r->h);
	*r = (struct reader){ .q = NULL };
}

uint64_t reader_losses(struct reader *r)
{
	struct ipq_stats s = { .size = sizeof(s) };
	struct ipq_ctl_stats c = { .size = sizeof(c) };

	if (api == NEW)
		return want(ipq_queue_stats(r->q, &s) == 0) ? s.lost + s.queue_dropped : 0;
	return want(ipq_ctl(r->h, IPQ_CTL_STATS, &c) == 0) ? c.lost + c.queue_dropped : 0;
}

bool queue_is_free(void)
{
	struct ipq_queue *q;
	int tries;

	for (tries = 0; tries < 200; tries++) {
		if (ipq_queue_open(&q, "nfqueue:0", NULL) == 0) {
			ipq_queue_close(q);
			return true;
		}
		usleep(10000);
	}
	return false;
}
