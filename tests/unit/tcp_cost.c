/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Measures the cost of hostile TCP packets in ipq_tcp.h: thread time per packet, and memory per connection.
 *
 *	tcp_cost [LIMIT [ATTACK]]
 *
 * Fails if the 99th percentile of an attack is above LIMIT microseconds (20), or a connection uses more than 64 KiB.
 * Also prints wall-clock time, which includes the time of other processes. These also slow down the thread, so an
 * attack is repeated before it counts as too expensive.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ipq_tcp.h"
#include "tcp_packet.h"

enum { PACKETS = 20000, TRIES = 5, TEXT_MAX = 1400, ISN = 1000, MEMORY_MAX = 64 << 10 };

static char matches[TEXT_MAX], mixed[TEXT_MAX];
static uint64_t chance_state = 88172645463325252;

static uint32_t below(uint32_t n)
{
	chance_state ^= chance_state << 13;
	chance_state ^= chance_state >> 7;
	chance_state ^= chance_state << 17;
	return (uint32_t)((chance_state >> 32) * n >> 32);
}

static int64_t clock_now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

struct cost {
	int64_t cpu[PACKETS], wall[PACKETS];
	uint64_t replaced, no_memory, connections, bytes;
};

static void pass(struct ipq_tcp *t, const struct packet *p, const char *new, struct cost *c, unsigned i)
{
	size_t len = write_packet(p);
	int64_t wall = clock_now(CLOCK_MONOTONIC), cpu = clock_now(CLOCK_THREAD_CPUTIME_ID);
	struct ipq_tcp_stats stats = { .size = sizeof(stats) };
	struct ipq_edit e;

	if (ipq_edit_begin(&e, buffer, len, 65531, 0) == 0)
		ipq_tcp_substitute(t, &e, 0, "a", 1, new, strlen(new));
	if (!c)
		return;
	c->cpu[i] = clock_now(CLOCK_THREAD_CPUTIME_ID) - cpu;
	c->wall[i] = clock_now(CLOCK_MONOTONIC) - wall;
	ipq_tcp_stats(t, &stats);
	if (stats.connections && stats.bytes / stats.connections > c->bytes)
		c->bytes = stats.bytes / stats.connections;
	c->connections = stats.connections;
	c->replaced = stats.replaced;
	c->no_memory = stats.no_memory;
}

/* ---- attacks: each function makes the next packet --------------------------------------------- */

/* 400 segments full of matches without an acknowledgement; then the same text, divided into other pieces. */
static void full(struct packet *p, unsigned i)
{
	p->sequence = ISN + 1 + i % 400 * TEXT_MAX + (i / 400 % 2 ? TEXT_MAX / 2 : 0);
	p->text = matches;
	p->text_len = TEXT_MAX;
}

/* 400 segments full of matches, all of which are acknowledged from time to time. */
static void acknowledged(struct packet *p, unsigned i)
{
	uint32_t sent = i / 3 * 2;

	if (i % 3 == 2) {
		p->side = 1;
		/* each "a" was replaced by "bb" */
		p->acknowledgement = ISN + 1 + (sent + 2) * TEXT_MAX * 2;
		return;
	}
	p->sequence = ISN + 1 + (sent + i % 3) * TEXT_MAX;
	p->text = matches;
	p->text_len = TEXT_MAX;
}

static void random_places(struct packet *p, unsigned i)
{
	(void)i;
	p->side = below(4) == 0;
	p->flags = below(20) ? IPQ_TCP_ACK : below(64);
	p->sequence = ISN + 1 + below(600000);
	p->acknowledgement = ISN + 1 + below(600000);
	p->text = below(2) ? matches : mixed;
	p->text_len = below(TEXT_MAX + 1);
	if (!p->text_len)
		p->text = NULL;
}

/* Pieces of a growing stream, each of which overlaps earlier pieces. */
static void overlaps(struct packet *p, unsigned i)
{
	uint32_t back = below(40000);

	p->sequence = ISN + 1 + i * 100 - (back < i * 100 ? back : 0);
	p->text = mixed;
	p->text_len = 1 + below(TEXT_MAX);
}

/* Every other segment; then the gaps, from the last one to the first. */
static void gaps(struct packet *p, unsigned i)
{
	uint32_t at = i % 64 < 32 ? i % 64 * 2 + 1 : (63 - i % 64) * 2;

	p->sequence = ISN + 1 + (i / 64 * 64 + at) * 700;
	p->text = i / 64 % 2 ? matches : mixed;
	p->text_len = 700;
}

/* SYN and RST with the addresses of the connection and numbers inside and outside its windows. */
static void forged(struct packet *p, unsigned i)
{
	static const unsigned flags[] = { IPQ_TCP_SYN, IPQ_TCP_SYN | IPQ_TCP_ACK, IPQ_TCP_RST,
					  IPQ_TCP_RST | IPQ_TCP_ACK };

	p->side = below(2);
	p->flags = i % 4 == 3 ? IPQ_TCP_ACK : flags[below(4)];
	p->sequence = below(2) ? ISN + 1 + below(100000) : below(UINT32_MAX);
	p->acknowledgement = below(2) ? ISN + 1 + below(100000) : below(UINT32_MAX);
	if (i % 4 == 3) {
		p->text = matches;
		p->text_len = 200;
	}
}

/* SYNs of other connections, more than the table holds. */
static void flood(struct packet *p, unsigned i)
{
	p->flags = IPQ_TCP_SYN;
	p->port = (uint16_t)(1 + below(65000));
	p->address = (uint8_t)(1 + below(200));
	p->sequence = i;
}

static const struct attack {
	const char *name;
	void (*next)(struct packet *p, unsigned i);
	const char *new;
	uint32_t max_connections;
} attacks[] = {
	{ "full of matches, longer", full, "bb", 0 },
	{ "full of matches, removed", full, "", 0 },
	{ "full of matches, same length", full, "b", 0 },
	{ "full and acknowledged", acknowledged, "bb", 0 },
	{ "random places", random_places, "bb", 0 },
	{ "random places, same length", random_places, "b", 0 },
	{ "overlaps", overlaps, "bb", 0 },
	{ "overlaps, same length", overlaps, "b", 0 },
	{ "gaps", gaps, "bb", 0 },
	{ "gaps, same length", gaps, "b", 0 },
	{ "forged SYN and RST", forged, "bb", 0 },
	{ "flood of SYNs", flood, "bb", 1000 },
};

static struct ipq_tcp *connect_sides(const struct attack *a)
{
	struct ipq_tcp_options options = { .size = sizeof(options), .max_connections = a->max_connections };
	struct ipq_tcp *t;

	if (ipq_tcp_open(&t, &options) != 0)
		exit(1);
	pass(t, &(struct packet){ .flags = IPQ_TCP_SYN, .sequence = ISN }, "", NULL, 0);
	pass(t,
	     &(struct packet){ .side = 1,
			       .flags = IPQ_TCP_SYN | IPQ_TCP_ACK,
			       .sequence = ISN,
			       .acknowledgement = ISN + 1 },
	     "", NULL, 0);
	pass(t, &(struct packet){ .flags = IPQ_TCP_ACK, .sequence = ISN + 1, .acknowledgement = ISN + 1 }, "",
	     NULL, 0);
	return t;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static double part(const int64_t *sorted, double p)
{
	return (double)sorted[(size_t)(p * (PACKETS - 1))] / 1000;
}

static bool measure(const struct attack *a, double limit)
{
	static struct cost c;
	struct ipq_tcp *t = connect_sides(a);
	bool ok;

	memset(&c, 0, sizeof(c));
	for (unsigned i = 0; i < PACKETS; i++) {
		struct packet p = { .flags = IPQ_TCP_ACK, .sequence = ISN + 1, .acknowledgement = ISN + 1 };

		a->next(&p, i);
		pass(t, &p, a->new, &c, i);
	}
	ipq_tcp_close(t);
	qsort(c.cpu, PACKETS, sizeof(c.cpu[0]), compare);
	qsort(c.wall, PACKETS, sizeof(c.wall[0]), compare);
	ok = part(c.cpu, .99) <= limit && c.bytes <= MEMORY_MAX;
	printf("%-30s CPU p50 %5.1f p90 %5.1f p99 %5.1f max %6.1f us, wall p99 %5.1f us; %5llu bytes; %llu "
	       "replaced, "
	       "%llu refused%s\n",
	       a->name, part(c.cpu, .5), part(c.cpu, .9), part(c.cpu, .99), part(c.cpu, 1), part(c.wall, .99),
	       (unsigned long long)c.bytes, (unsigned long long)c.replaced, (unsigned long long)c.no_memory,
	       ok ? "" : " FAILED");
	return ok;
}

static bool try(const struct attack *a, double limit)
{
	for (unsigned i = 0; i < TRIES; i++)
		if (measure(a, limit))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	double limit = argc > 1 ? strtod(argv[1], NULL) : 20;
	bool ok = true;

	memset(matches, 'a', sizeof(matches));
	for (size_t i = 0; i < sizeof(mixed); i++)
		mixed[i] = (char)("abcd"[below(4)]);
	for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++)
		if (argc <= 2 || strcmp(argv[2], attacks[i].name) == 0)
			ok &= try(&attacks[i], limit);
	return !ok;
}
