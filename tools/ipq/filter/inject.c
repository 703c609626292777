/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include "filter/inject.h"
#include "util/clock.h"

#define EXPECTED_FOR INT64_C(1000000000) /* maximum time in ns until a packet that we sent arrives */

#ifndef IPV6_HDRINCL
#define IPV6_HDRINCL 36
#endif

void inject_init(struct injector *in)
{
	in->ipv4 = in->ipv6 = -1;
	pthread_mutex_init(&in->lock, NULL);
}

int inject_open(struct injector *in)
{
	int on = 1, err = 0;

	in->ipv4 = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
	if (in->ipv4 < 0)
		err = -errno;
	in->ipv6 = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
	/* No IPv6 socket is needed on a kernel without IPv6, which has no IPv6 packets. */
	if (err == 0 && in->ipv6 < 0 && errno != EAFNOSUPPORT)
		err = -errno;
	if (err == 0 && in->ipv6 >= 0 &&
	    setsockopt(in->ipv6, IPPROTO_IPV6, IPV6_HDRINCL, &on, sizeof(on)) < 0)
		err = -errno;
	if (err == 0 && getrandom(&in->key, sizeof(in->key), 0) < 0)
		err = -errno;
	if (err < 0)
		inject_close(in);
	return err;
}

void inject_close(struct injector *in)
{
	if (in->ipv4 >= 0)
		close(in->ipv4);
	if (in->ipv6 >= 0)
		close(in->ipv6);
	in->ipv4 = in->ipv6 = -1;
}

/* ---- our packets that arrive in the queue ------------------------------------------------------------- */

/*
 * A hash of a packet without the fields that the kernel fills in or changes: length, id, checksum and TTL of IPv4.
 */
static uint64_t hash(const struct injector *in, const uint8_t *p, size_t len)
{
	uint64_t h = UINT64_C(14695981039346656037) ^ in->key;

	for (size_t i = 0; i < len && i < 96; i++) {
		bool varies = p[0] >> 4 == 4 &&
			      (i == 2 || i == 3 || i == 4 || i == 5 || i == 8 || i == 10 || i == 11);

		h = (h ^ (varies ? 0 : p[i])) * UINT64_C(1099511628211);
	}
	h ^= h >> 29;
	return h != 0 ? h : 1;
}

/* The first of the slots for this hash. */
static struct inject_slot *place(struct injector *in, uint64_t h)
{
	return &in->slot[h % (INJECT_SLOTS / INJECT_WAYS) * INJECT_WAYS];
}

static bool is_free(const struct inject_slot *s, int64_t now)
{
	return s->turns == 0 || s->until < now;
}

/* The slot of this packet if it is expected, or NULL. */
static struct inject_slot *find_slot(struct injector *in, uint64_t h, int64_t now)
{
	struct inject_slot *s = place(in, h), *end = s + INJECT_WAYS;

	for (; s < end; s++)
		if (s->hash == h && !is_free(s, now))
			return s;
	return NULL;
}

/* Returns a free slot; if none is free, frees the slot of the oldest packet. */
static struct inject_slot *take_slot(struct injector *in, uint64_t h, int64_t now)
{
	struct inject_slot *s = place(in, h), *end = s + INJECT_WAYS, *oldest = s;

	for (; s < end && !is_free(oldest, now); s++)
		if (is_free(s, now) || s->until < oldest->until)
			oldest = s;
	oldest->hash = h;
	oldest->turns = 0;
	return oldest;
}

static void expect(struct injector *in, const uint8_t *packet, size_t len, int turns)
{
	uint64_t h = hash(in, packet, len);
	int64_t now = now_ns();
	struct inject_slot *s;

	pthread_mutex_lock(&in->lock);
	s = find_slot(in, h, now);
	if (s == NULL)
		s = take_slot(in, h, now);
	s->turns += turns;
	s->until = now + EXPECTED_FOR;
	pthread_mutex_unlock(&in->lock);
	in->expected = 1;
}

bool inject_find(struct injector *in, const struct ipq_packet *packet)
{
	struct inject_slot *s;
	uint64_t h;

	if ((packet->present & IPQ_HAS_PAYLOAD) == 0 || packet->payload_len < 20)
		return false;
	h = hash(in, packet->payload, packet->payload_len);
	pthread_mutex_lock(&in->lock);
	s = find_slot(in, h, now_ns());
	if (s != NULL)
		s->turns--;
	pthread_mutex_unlock(&in->lock);
	return s != NULL;
}

/* ---- sending --------------------------------------------------------------------------------------- */

bool inject_send(struct injector *in, uint8_t *packet, size_t len, uint32_t device, int turns)
{
	struct sockaddr_in to4 = { .sin_family = AF_INET };
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6 };
	ssize_t n;

	if (turns > 0)
		expect(in, packet, len, turns);
	if (packet[0] >> 4 == 4) {
		memcpy(&to4.sin_addr, packet + 16, 4);
		n = sendto(in->ipv4, packet, len, MSG_NOSIGNAL, (struct sockaddr *)&to4, sizeof(to4));
	} else {
		memcpy(&to6.sin6_addr, packet + 24, 16);
		if (IN6_IS_ADDR_LINKLOCAL(&to6.sin6_addr))
			to6.sin6_scope_id = device;
		n = sendto(in->ipv6, packet, len, MSG_NOSIGNAL, (struct sockaddr *)&to6, sizeof(to6));
	}
	atomic_fetch_add_explicit(n < 0 ? &in->failed : &in->sent, 1, memory_order_relaxed);
	return n >= 0;
}

bool inject_own_address(const uint8_t *destination, size_t len, uint8_t own[16])
{
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons(9) };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons(9) };
	struct sockaddr *a = len == 4 ? (struct sockaddr *)&a4 : (struct sockaddr *)&a6;
	socklen_t size = len == 4 ? sizeof(a4) : sizeof(a6);
	int fd = socket(a->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool found;

	if (fd < 0)
		return false;
	memcpy(len == 4 ? (void *)&a4.sin_addr : (void *)&a6.sin6_addr, destination, len);
	found = connect(fd, a, size) == 0 && getsockname(fd, a, &size) == 0;
	if (found)
		memcpy(own, len == 4 ? (void *)&a4.sin_addr : (void *)&a6.sin6_addr, len);
	close(fd);
	return found;
}
