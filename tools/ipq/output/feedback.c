/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "output/decode.h"
#include "output/feedback.h"

#define LINES 64 /* number of remembered lines */
#define BEGIN 24 /* number of remembered bytes of each line, which begins with its time */
#define LINKS_MAX 16

/* A connection, the same for both directions. */
struct link {
	uint8_t protocol, version;
	struct {
		uint8_t address[16];
		uint16_t port;
	} end[2];
};

struct feedback {
	pthread_mutex_t lock;
	char line[LINES][BEGIN];
	unsigned lines; /* number of lines so far; the last LINES of them are in line[] */

	/* Entries below `count` never change, so they are read without the lock. */
	struct link link[LINKS_MAX];
	atomic_uint count;
};

struct feedback *feedback_new(void)
{
	struct feedback *f = calloc(1, sizeof(*f));

	if (f != NULL)
		pthread_mutex_init(&f->lock, NULL);
	return f;
}

void feedback_free(struct feedback *f)
{
	if (f == NULL)
		return;
	pthread_mutex_destroy(&f->lock);
	free(f);
}

void feedback_note(struct feedback *f, const char *bytes, size_t len)
{
	if (len < BEGIN)
		return;
	pthread_mutex_lock(&f->lock);
	memcpy(f->line[f->lines++ % LINES], bytes, BEGIN);
	pthread_mutex_unlock(&f->lock);
}

static void read_link(struct link *link, const struct decoded *d)
{
	size_t len = d->version == 4 ? 4 : 16;
	bool swap = memcmp(d->source, d->destination, len) > 0 ||
		    (memcmp(d->source, d->destination, len) == 0 && d->source_port > d->destination_port);

	memset(link, 0, sizeof(*link));
	link->protocol = d->protocol;
	link->version = d->version;
	memcpy(link->end[swap].address, d->source, len);
	memcpy(link->end[!swap].address, d->destination, len);
	link->end[swap].port = d->source_port;
	link->end[!swap].port = d->destination_port;
}

static bool is_known(struct feedback *f, const struct link *link, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (memcmp(&f->link[i], link, sizeof(*link)) == 0)
			return true;
	return false;
}

/* Whether the payload begins like a line that was written recently. Called with the lock held. */
static bool begins_like_a_line(const struct feedback *f, const uint8_t *payload)
{
	unsigned n = f->lines < LINES ? f->lines : LINES;

	for (unsigned i = 0; i < n; i++)
		if (memcmp(f->line[i], payload, BEGIN) == 0)
			return true;
	return false;
}

static enum feedback_answer learn(struct feedback *f, const struct link *link, const uint8_t *payload)
{
	enum feedback_answer answer = FEEDBACK_NO;
	unsigned count;

	pthread_mutex_lock(&f->lock);
	count = atomic_load(&f->count);
	if (is_known(f, link, count)) {
		answer = FEEDBACK_KNOWN;
	} else if (count < LINKS_MAX && begins_like_a_line(f, payload)) {
		f->link[count] = *link;
		atomic_store(&f->count, count + 1);
		answer = FEEDBACK_NEW;
	}
	pthread_mutex_unlock(&f->lock);
	return answer;
}

static void name_link(const struct decoded *d, char name[160])
{
	int family = d->version == 4 ? AF_INET : AF_INET6;
	char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];

	snprintf(name, 160, "%s host %s port %u and host %s port %u", d->tcp ? "tcp" : "udp",
		 inet_ntop(family, d->source, source, sizeof(source)), d->source_port,
		 inet_ntop(family, d->destination, destination, sizeof(destination)), d->destination_port);
}

enum feedback_answer feedback_check(struct feedback *f, const struct ipq_packet *packet, char name[160])
{
	const uint8_t *p = packet->payload;
	unsigned count = atomic_load(&f->count);
	enum feedback_answer answer;
	struct decoded d;
	struct link link;
	uint32_t at;

	decode(&d, p, packet->payload_len);
	if (!d.ports || d.fragment)
		return FEEDBACK_NO;
	at = d.transport + (d.tcp ? (uint32_t)(p[d.transport + 12] >> 4) * 4 : 8);
	/* Lines begin with the digit of a time, or with the brace of an object. */
	if (count == 0 &&
	    (packet->payload_len < at + BEGIN || ((p[at] < '0' || p[at] > '2') && p[at] != '{')))
		return FEEDBACK_NO;
	read_link(&link, &d);
	if (is_known(f, &link, count))
		return FEEDBACK_KNOWN;
	answer = packet->payload_len >= at + BEGIN ? learn(f, &link, p + at) : FEEDBACK_NO;
	if (answer == FEEDBACK_NEW)
		name_link(&d, name);
	return answer;
}
