/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include "core/flow_table.h"
#include "util/bytes.h"
#include "util/ip.h"
#include "util/keyed_hash.h"

/* A flow that was idle for this long has ended. conntrack's own timeouts are 2 minutes and 5 days. */
#define IDLE_MS (180 * 1000)
#define IDLE_TCP_MS (124 * 60 * 1000) /* the minimum of RFC 5382, section 5 */

/* ---- keys --------------------------------------------------------------------------------------- */

static void sort_endpoints(struct flow_key *key)
{
	uint8_t address[16];
	uint16_t port = key->port[0];
	int order = memcmp(key->address[0], key->address[1], 16);

	if (order < 0 || (order == 0 && key->port[0] <= key->port[1]))
		return;
	memcpy(address, key->address[0], 16);
	memcpy(key->address[0], key->address[1], 16);
	memcpy(key->address[1], address, 16);
	key->port[0] = key->port[1];
	key->port[1] = port;
}

/* Whether the ICMP message has an id, that is, it is a query or its reply. */
static bool is_query(uint8_t protocol, uint8_t type)
{
	return protocol == IPPROTO_ICMP ? type == 0 || type == 8 || (type >= 13 && type <= 18)
					: type == 128 || type == 129;
}

static bool take_ports(struct flow_key *key, const uint8_t *at, size_t len, bool *opens)
{
	switch (key->protocol) {
	case IPPROTO_TCP:
		if (len < 14)
			return false;
		*opens = (at[13] & (TH_SYN | TH_ACK)) == TH_SYN;
		break;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		if (len < 4)
			return false;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (len < 6 || !is_query(key->protocol, at[0]))
			return false;
		key->port[0] = key->port[1] = get16(at + 4);
		return true;
	default:
		return true; /* protocols without ports */
	}
	key->port[0] = get16(at);
	key->port[1] = get16(at + 2);
	return true;
}

bool flow_key_of_packet(struct flow_key *key, const struct ipq_packet *packet, bool *opens)
{
	const uint8_t *p = packet->payload;
	size_t len = packet->payload_len;
	struct ip_headers h;

	*opens = false;
	memset(key, 0, sizeof(*key));
	if ((packet->present & IPQ_HAS_PAYLOAD) == 0)
		return false;
	ip_begin(&h, p, len);
	if (h.version == 6) /* conntrack does not skip an Authentication Header after IPv4 */
		ip_skip_all(&h, p, len);
	if (h.version == 0 || h.fragment || h.cut || h.transport < 20 || h.transport > len)
		return false;
	key->family = h.version == 4 ? AF_INET : AF_INET6;
	key->protocol = h.protocol;
	memcpy(key->address[0], p + h.address, h.address_len);
	memcpy(key->address[1], p + h.address + h.address_len, h.address_len);
	if (!take_ports(key, p + h.transport, len - h.transport, opens))
		return false;
	sort_endpoints(key);
	return true;
}

bool flow_key_of_tuple(struct flow_key *key, const struct ipq_tuple *tuple)
{
	size_t len = tuple->family == AF_INET ? 4 : 16;

	memset(key, 0, sizeof(*key));
	if (tuple->family != AF_INET && tuple->family != AF_INET6)
		return false;
	key->family = tuple->family;
	key->protocol = tuple->protocol;
	memcpy(key->address[0], tuple->source, len);
	memcpy(key->address[1], tuple->destination, len);
	key->port[0] = tuple->source_port;
	key->port[1] = tuple->destination_port;
	if (tuple->protocol == IPPROTO_ICMP || tuple->protocol == IPPROTO_ICMPV6)
		key->port[1] = key->port[0];
	sort_endpoints(key);
	return true;
}

/* ---- the table ---------------------------------------------------------------------------------- */

int flow_table_init(struct flow_table *t, uint32_t max)
{
	uint32_t buckets = 16;

	while (buckets < max && buckets < 1U << 31)
		buckets *= 2;
	*t = (struct flow_table){ .max = max, .buckets = buckets };
	/* The kernel hands out the pages of large blocks when they are first used. */
	t->flow = calloc((size_t)max + 1, sizeof(*t->flow));
	t->bucket = calloc(buckets, sizeof(*t->bucket));
	if (t->flow == NULL || t->bucket == NULL ||
	    getrandom(t->hash_key, sizeof(t->hash_key), 0) != sizeof(t->hash_key)) {
		flow_table_free(t);
		return -ENOMEM;
	}
	return 0;
}

void flow_table_free(struct flow_table *t)
{
	free(t->flow);
	free(t->bucket);
	*t = (struct flow_table){ .flow = NULL };
}

static uint32_t *bucket_of(struct flow_table *t, const struct flow_key *key)
{
	uint64_t word[sizeof(*key) / 8];

	_Static_assert(sizeof(*key) % 8 == 0, "the key must have no padding");
	memcpy(word, key, sizeof(*key));
	return &t->bucket[keyed_hash(t->hash_key, word, sizeof(word) / 8) & (t->buckets - 1)];
}

static uint32_t index_of(const struct flow_table *t, const struct flow *f)
{
	return (uint32_t)(f - t->flow);
}

static void unlink_use(struct flow_table *t, const struct flow *f)
{
	if (f->newer != 0)
		t->flow[f->newer].older = f->older;
	else
		t->newest = f->older;
	if (f->older != 0)
		t->flow[f->older].newer = f->newer;
	else
		t->oldest = f->newer;
}

static void link_newest(struct flow_table *t, struct flow *f)
{
	uint32_t i = index_of(t, f);

	f->newer = 0;
	f->older = t->newest;
	if (t->newest != 0)
		t->flow[t->newest].newer = i;
	else
		t->oldest = i;
	t->newest = i;
}

void flow_remove(struct flow_table *t, struct flow *f)
{
	uint32_t *link = bucket_of(t, &f->key), i = index_of(t, f);

	while (*link != i)
		link = &t->flow[*link].chain;
	*link = f->chain;
	unlink_use(t, f);
	f->chain = t->unused;
	t->unused = i;
	t->count--;
}

static bool has_ended(const struct flow *f, int64_t now)
{
	int64_t idle = f->key.protocol == IPPROTO_TCP ? IDLE_TCP_MS : IDLE_MS;

	return now - f->used > idle || (f->until != 0 && now >= f->until);
}

struct flow *flow_find(struct flow_table *t, const struct flow_key *key, int64_t now)
{
	for (uint32_t i = *bucket_of(t, key); i != 0; i = t->flow[i].chain) {
		struct flow *f = &t->flow[i];

		if (memcmp(&f->key, key, sizeof(*key)) != 0)
			continue;
		if (!f->held && has_ended(f, now)) {
			flow_remove(t, f);
			return NULL;
		}
		f->used = now;
		unlink_use(t, f);
		link_newest(t, f);
		return f;
	}
	return NULL;
}

/* Removes the flow that was used least recently among those that hold no packet. */
static bool evict(struct flow_table *t)
{
	uint32_t i = t->oldest;

	while (i != 0 && t->flow[i].held)
		i = t->flow[i].newer;
	if (i == 0)
		return false;
	flow_remove(t, &t->flow[i]);
	t->evicted++;
	return true;
}

struct flow *flow_add(struct flow_table *t, const struct flow_key *key, int64_t now)
{
	struct flow *f = flow_find(t, key, now);
	uint32_t *bucket = bucket_of(t, key), i;

	if (f != NULL)
		return f;
	if (t->count == t->max && !evict(t))
		return NULL;
	i = t->unused;
	if (i != 0)
		t->unused = t->flow[i].chain;
	else
		i = ++t->touched;
	f = &t->flow[i];
	*f = (struct flow){ .key = *key, .chain = *bucket, .used = now, .code = IPQ_STOP };
	*bucket = i;
	link_newest(t, f);
	t->count++;
	return f;
}
