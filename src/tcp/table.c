// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Connections by address: a hash with a random key, in shards that each have a lock.
 *
 * When the table is full, each new connection replaces an old one. Each class has a list by time of use. A
 * connection that was edited is removed only when it has been idle for long. If no connection can be removed, a new
 * connection is not added and not edited. So a flood of packets removes only connections that are new, closed or
 * were never edited. A connection that was never edited can be added again; only a text that is split between two
 * segments at that moment is missed.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "tcp/tcp.h"
#include "util/clock.h"
#include "util/keyed_hash.h"

enum {
	CONNECTIONS_DEFAULT = 65536,
	CONNECTION_BYTES_MIN = 1280,
	CONNECTION_BYTES_LIVE = 64 << 10,
	CONNECTION_BYTES_RECORDED = 4 << 20,
	BYTES_DEFAULT = 256 << 20,
	SHARDS_MAX = 16,
	SHARD_CONNECTIONS_MIN = 1024,
	/* maximum number of connections to remove for one new connection */
	EVICT_MAX = 2,
	IDLE_MS = (2 * 60 + 4) * 60 * 1000, /* timeout of RFC 5382, section 5 */
};

/* ---- hash ------------------------------------------------------------------------------------- */

uint64_t tcp_hash(const struct ipq_tcp *t, const struct tcp_key *key)
{
	uint64_t word[sizeof(*key) / 8];

	static_assert(sizeof(*key) % 8 == 0, "the key must have no padding");
	memcpy(word, key, sizeof(*key));
	return keyed_hash(t->hash_key, word, sizeof(word) / 8);
}

struct tcp_shard *tcp_shard_of(const struct ipq_tcp *t, uint64_t hash)
{
	return &t->shard[hash >> 32 & (t->shards - 1)];
}

/* ---- lists ------------------------------------------------------------------------------------ */

static void list_remove(struct tcp_list *list, struct tcp_flow *f)
{
	*(f->older ? &f->older->newer : &list->oldest) = f->newer;
	*(f->newer ? &f->newer->older : &list->newest) = f->older;
}

static void list_add(struct tcp_list *list, struct tcp_flow *f)
{
	f->older = list->newest;
	f->newer = NULL;
	*(list->newest ? &list->newest->newer : &list->oldest) = f;
	list->newest = f;
}

unsigned tcp_make_key(struct tcp_key *key, unsigned version, const uint8_t *addresses, const uint8_t *ports,
		      uint32_t zone)
{
	size_t len = version == 4 ? 4 : 16;
	int order = memcmp(addresses, addresses + len, len);
	unsigned side;

	if (!order)
		order = memcmp(ports, ports + 2, 2);
	side = order > 0;
	memset(key, 0, sizeof(*key));
	memcpy(key->address[side], addresses, len);
	memcpy(key->address[!side], addresses + len, len);
	memcpy(&key->port[side], ports, 2);
	memcpy(&key->port[!side], ports + 2, 2);
	key->version = version;
	key->zone = zone;
	return side;
}

struct tcp_flow *tcp_flow_first(const struct ipq_tcp *t, const struct tcp_shard *shard, uint64_t hash)
{
	return shard->bucket[hash & (t->buckets - 1)];
}

void tcp_flow_forget(struct ipq_tcp *t, struct tcp_shard *shard, struct tcp_flow *f)
{
	struct tcp_flow **at = &shard->bucket[f->bucket];

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	list_remove(&shard->list[f->class], f);
	shard->count--;
	atomic_fetch_sub_explicit(&t->flows, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&t->bytes, f->bytes, memory_order_relaxed);
	for (unsigned i = 0; i < 2; i++) {
		tcp_log_free(&f->direction[i].log);
		free(f->direction[i].gap);
	}
	free(f);
}

/* Removes the connection whose loss does the least harm. False: all connections are in use. */
static bool evict(struct ipq_tcp *t, struct tcp_shard *shard)
{
	for (unsigned class = 0; class < TCP_CLASSES; class ++) {
		struct tcp_flow *f = shard->list[class].oldest;

		if (!f || (class == TCP_EDITED && !t->recorded && t->clock() - f->used < IDLE_MS))
			continue;
		tcp_flow_forget(t, shard, f);
		tcp_count(t, TCP_EVICTED);
		return true;
	}
	return false;
}

static bool is_full(const struct ipq_tcp *t, const struct tcp_shard *shard)
{
	return shard->count >= t->max_flows ||
	       atomic_load_explicit(&t->bytes, memory_order_relaxed) + sizeof(struct tcp_flow) > t->max_bytes;
}

struct tcp_flow *tcp_flow_new(struct ipq_tcp *t, struct tcp_shard *shard, const struct tcp_key *key,
			      uint64_t hash)
{
	struct tcp_flow *f;
	int tries = 0;

	while (is_full(t, shard))
		if (tries++ >= EVICT_MAX || !evict(t, shard))
			return NULL;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->key = *key;
	f->bytes = sizeof(*f);
	f->bucket = (uint32_t)(hash & (t->buckets - 1));
	f->next = shard->bucket[f->bucket];
	f->used = t->clock();
	f->order = ++shard->order;
	shard->bucket[f->bucket] = f;
	list_add(&shard->list[TCP_TEMPORARY], f);
	shard->count++;
	atomic_fetch_add_explicit(&t->flows, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&t->bytes, f->bytes, memory_order_relaxed);
	return f;
}

size_t tcp_flow_bytes(const struct tcp_flow *f)
{
	size_t bytes = sizeof(*f);

	for (unsigned i = 0; i < 2; i++)
		bytes += tcp_log_bytes(&f->direction[i].log) +
			 (f->direction[i].gap ? TCP_GAPS * sizeof(struct tcp_range) : 0);
	return bytes;
}

void tcp_flow_touch(struct ipq_tcp *t, struct tcp_shard *shard, struct tcp_flow *f, enum tcp_class class)
{
	size_t bytes = tcp_flow_bytes(f);

	atomic_fetch_add_explicit(&t->bytes, bytes - f->bytes, memory_order_relaxed);
	f->bytes = bytes;
	f->used = t->clock();
	f->order = ++shard->order;
	list_remove(&shard->list[f->class], f);
	f->class = (uint8_t) class;
	list_add(&shard->list[class], f);
}

/* ---- open and close --------------------------------------------------------------------------- */

static int64_t clock_ms(void)
{
	return now_coarse_ns() / 1000000;
}

static_assert(sizeof(struct tcp_flow) + 2 * TCP_GAPS * sizeof(struct tcp_range) < CONNECTION_BYTES_MIN - 192,
	      "at least 192 bytes for edits");

static int take_options(struct ipq_tcp *t, const struct ipq_tcp_options *given)
{
	struct ipq_tcp_options o = { 0 };
	uint64_t max;

	if (given && given->size < sizeof(given->size))
		return -EINVAL;
	if (given)
		memcpy(&o, given, given->size < sizeof(o) ? given->size : sizeof(o));
	if (o.flags & ~(uint32_t)(IPQ_TCP_RECORDED | IPQ_TCP_IN_ORDER))
		return -EINVAL;
	t->recorded = o.flags & IPQ_TCP_RECORDED;
	t->in_order = !t->recorded && o.flags & IPQ_TCP_IN_ORDER;
	max = o.max_connections ? o.max_connections : CONNECTIONS_DEFAULT;
	t->max_flow_bytes = o.max_connection_bytes ? o.max_connection_bytes
			    : t->recorded	   ? CONNECTION_BYTES_RECORDED
						   : CONNECTION_BYTES_LIVE;
	if (t->max_flow_bytes < CONNECTION_BYTES_MIN)
		t->max_flow_bytes = CONNECTION_BYTES_MIN;
	t->max_bytes = o.max_bytes ? o.max_bytes : BYTES_DEFAULT;
	for (t->shards = 1; t->shards < SHARDS_MAX && max / t->shards > SHARD_CONNECTIONS_MIN;)
		t->shards *= 2;
	t->max_flows = (uint32_t)((max + t->shards - 1) / t->shards);
	for (t->buckets = 1; t->buckets < t->max_flows && t->buckets < UINT32_C(1) << 24;)
		t->buckets *= 2;
	return 0;
}

static int make_shards(struct ipq_tcp *t)
{
	pthread_mutexattr_t attributes;

	t->shard = calloc(t->shards, sizeof(*t->shard));
	if (!t->shard)
		return -ENOMEM;
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
	for (unsigned i = 0; i < t->shards; i++)
		pthread_mutex_init(&t->shard[i].lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
	for (unsigned i = 0; i < t->shards; i++) {
		t->shard[i].bucket = calloc(t->buckets, sizeof(struct tcp_flow *));
		if (!t->shard[i].bucket)
			return -ENOMEM;
	}
	return 0;
}

int ipq_tcp_open(struct ipq_tcp **table, const struct ipq_tcp_options *options)
{
	struct ipq_tcp *t = calloc(1, sizeof(*t));
	int err;

	*table = NULL;
	if (!t)
		return -ENOMEM;
	t->clock = clock_ms;
	err = take_options(t, options);
	if (!err && getrandom(t->hash_key, sizeof(t->hash_key), 0) != sizeof(t->hash_key))
		err = -errno;
	if (!err)
		err = make_shards(t);
	if (err)
		ipq_tcp_close(t);
	else
		*table = t;
	return err;
}

void ipq_tcp_close(struct ipq_tcp *t)
{
	if (!t)
		return;
	for (unsigned i = 0; t->shard && i < t->shards; i++) {
		struct tcp_shard *shard = &t->shard[i];

		for (unsigned class = 0; class < TCP_CLASSES; class ++) {
			struct tcp_flow *next;

			for (struct tcp_flow *f = shard->list[class].oldest; f; f = next) {
				next = f->newer;
				tcp_flow_forget(t, shard, f);
			}
		}
		free(shard->bucket);
		free(shard->scratch);
		pthread_mutex_destroy(&shard->lock);
	}
	free(t->shard);
	free(t);
}

int ipq_tcp_stats(struct ipq_tcp *t, struct ipq_tcp_stats *stats)
{
	struct ipq_tcp_stats all = { .size = stats->size };
	uint64_t counter[TCP_COUNTERS];

	static_assert(sizeof(all) == offsetof(struct ipq_tcp_stats, segments) + sizeof(counter),
		      "a counter for each member");
	if (stats->size < sizeof(stats->size))
		return -EINVAL;
	all.connections = atomic_load_explicit(&t->flows, memory_order_relaxed);
	all.bytes = atomic_load_explicit(&t->bytes, memory_order_relaxed);
	for (unsigned i = 0; i < TCP_COUNTERS; i++)
		counter[i] = atomic_load_explicit(&t->counter[i], memory_order_relaxed);
	memcpy((uint8_t *)&all + offsetof(struct ipq_tcp_stats, segments), counter, sizeof(counter));
	memcpy(stats, &all, stats->size < sizeof(all) ? stats->size : sizeof(all));
	return 0;
}
