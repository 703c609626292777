// SPDX-License-Identifier: LGPL-2.1-or-later
/* Flow verdicts over a source without a kernel: keys, order, forgetting, limits. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include "core/flows.h"
#include "fake.h"

/* Builds an IPv4 packet with ports. flags: the TCP flags. */
static size_t build(uint8_t *p, uint8_t protocol, unsigned host, unsigned from, unsigned to, uint8_t flags)
{
	memset(p, 0, 40);
	p[0] = 0x45;
	p[3] = 40;
	p[8] = 64;
	p[9] = protocol;
	p[12] = 10;
	p[15] = (uint8_t)host;
	p[16] = 10;
	p[19] = 99;
	p[20] = (uint8_t)(from >> 8);
	p[21] = (uint8_t)from;
	p[22] = (uint8_t)(to >> 8);
	p[23] = (uint8_t)to;
	p[32] = 0x50;
	p[33] = flags;
	return 40;
}

static bool key_of(const uint8_t *bytes, size_t len, struct flow_key *key)
{
	struct ipq_packet packet = { .present = IPQ_HAS_PAYLOAD, .payload_len = (uint32_t)len };
	uint8_t copy[128];
	bool opens = true, found;

	memcpy(copy, bytes, len);
	packet.payload = copy;
	found = flow_key_of_packet(key, &packet, &opens);
	assert_false(opens); /* no packet of these tests is the first one of a TCP connection */
	return found;
}

static void both_directions_have_the_same_key(void **state)
{
	struct ipq_tuple tuple = {
		.family = AF_INET, .protocol = 6, .source_port = 80, .destination_port = 5000
	};
	struct flow_key there, back, given;
	uint8_t p[40], r[40];

	(void)state;
	build(p, 6, 1, 5000, 80, 16);
	build(r, 6, 1, 80, 5000, 16);
	memcpy(r + 12, p + 16, 4);
	memcpy(r + 16, p + 12, 4);
	assert_true(key_of(p, 40, &there) && key_of(r, 40, &back));
	assert_memory_equal(&there, &back, sizeof(there));
	memcpy(tuple.source, p + 16, 4);
	memcpy(tuple.destination, p + 12, 4);
	assert_true(flow_key_of_tuple(&given, &tuple));
	assert_memory_equal(&there, &given, sizeof(there));
	build(p, 17, 1, 5000, 80, 0);
	assert_true(key_of(p, 40, &back));
	assert_memory_not_equal(&there, &back, sizeof(there));
	build(p, 6, 1, 5000, 80, 16); /* from an address to the same address */
	build(r, 6, 1, 80, 5000, 16);
	memcpy(p + 16, p + 12, 4);
	memcpy(r + 16, r + 12, 4);
	assert_true(key_of(p, 40, &there) && key_of(r, 40, &back));
	assert_memory_equal(&there, &back, sizeof(there));
}

static void icmp_queries_and_their_answers_are_one_flow(void **state)
{
	static const uint8_t queries[] = { 0, 8, 13, 14, 15, 16, 17, 18 }, others[] = { 3, 5, 11, 12, 19 };
	struct ipq_tuple tuple = { .family = AF_INET,
				   .protocol = 1,
				   .source = { 10, 0, 0, 1 },
				   .destination = { 10, 0, 0, 99 },
				   .source_port = 7 };
	struct flow_key key, given;
	uint8_t p[40];

	(void)state;
	assert_true(flow_key_of_tuple(&given, &tuple));
	for (unsigned i = 0; i < sizeof(queries); i++) {
		build(p, 1, 1, queries[i] << 8, 0, 0);
		p[25] = 7;
		assert_true(key_of(p, 40, &key));
		assert_memory_equal(&key, &given, sizeof(key)); /* the id is in the tuple only once */
	}
	for (unsigned i = 0; i < sizeof(others); i++) {
		build(p, 1, 1, others[i] << 8, 0, 0);
		assert_false(key_of(p, 40, &key));
	}
}

static void fragments_and_cut_packets_have_no_key(void **state)
{
	struct flow_key key;
	uint8_t p[40];

	(void)state;
	build(p, 17, 1, 5000, 80, 0);
	for (size_t len = 0; len < 24; len++)
		assert_false(key_of(p, len, &key));
	assert_true(key_of(p, 24, &key));
	p[0] = 0x4f; /* an IP header of 60 bytes */
	assert_false(key_of(p, 40, &key));
	build(p, 6, 1, 5000, 80, 0);
	for (size_t len = 0; len < 34; len++)
		assert_false(key_of(p, len, &key));
	assert_true(key_of(p, 34, &key));
	build(p, 17, 1, 5000, 80, 0);
	p[6] = 0x20;
	assert_false(key_of(p, 40, &key));
	p[6] = 0;
	p[7] = 1;
	assert_false(key_of(p, 40, &key));
	build(p, 1, 1, 8 << 8, 0, 0); /* an echo request */
	for (size_t len = 0; len < 26; len++)
		assert_false(key_of(p, len, &key));
	assert_true(key_of(p, 26, &key));
}

static void ipv6_ports_are_found_behind_extension_headers(void **state)
{
	struct flow_key plain, extended;
	uint8_t p[80] = { 0x60 }, x[80] = { 0x60 };

	(void)state;
	p[6] = 17;
	p[41] = 7;
	p[43] = 9;
	x[6] = 0;
	x[40] = 60;
	x[48] = 17;
	x[57] = 7;
	x[59] = 9;
	assert_true(key_of(p, 60, &plain) && key_of(x, 76, &extended));
	assert_memory_equal(&plain, &extended, sizeof(plain));
	for (size_t len = 1; len < 60; len++)
		assert_false(key_of(x, len, &extended));
	x[41] = 255;
	assert_false(key_of(x, 76, &extended));
}

static void used_flows_survive_eviction(void **state)
{
	struct flow_table t;
	struct flow_key key = { .family = AF_INET };
	struct flow *f;

	(void)state;
	assert_int_equal(flow_table_init(&t, 100), 0);
	for (uint16_t i = 0; i < 1000; i++) {
		key.port[0] = i;
		assert_non_null(flow_add(&t, &key, 1000));
		key.port[0] = 0;
		assert_non_null(flow_find(&t, &key, 1000));
	}
	assert_int_equal(t.count, 100);
	assert_int_equal(t.evicted, 900);
	key.port[0] = 500;
	assert_null(flow_find(&t, &key, 1000));
	key.port[0] = 999;
	f = flow_find(&t, &key, 1000);
	assert_non_null(f);
	f->until = 2000;
	assert_non_null(flow_find(&t, &key, 1999));
	assert_null(flow_find(&t, &key, 2000));
	key.port[0] = 0;
	assert_non_null(flow_find(&t, &key, 1000));
	assert_null(flow_find(&t, &key, 1000 + 180001));
	key.protocol = 6;
	assert_non_null(flow_add(&t, &key, 1000));
	assert_non_null(flow_find(&t, &key, 1000 + 180001));
	flow_table_free(&t);
}

static void hash_of_each_table_has_another_key(void **state)
{
	struct flow_table a, b;

	(void)state;
	assert_int_equal(flow_table_init(&a, 3), 0);
	assert_int_equal(flow_table_init(&b, 3), 0);
	assert_memory_not_equal(a.hash_key, b.hash_key, sizeof(a.hash_key));
	flow_table_free(&a);
	flow_table_free(&b);
}

static void room_of_removed_flows_is_used_again(void **state)
{
	struct flow_key key = { .family = AF_INET };
	struct flow_table t;

	(void)state;
	assert_int_equal(flow_table_init(&t, 3), 0);
	for (uint16_t i = 0; i < 9; i++) {
		key.port[0] = i;
		assert_non_null(flow_add(&t, &key, 1000));
		for (uint16_t j = 0; i % 3 == 2 && j < 3; j++) {
			key.port[0] = (uint16_t)(i - j);
			flow_remove(&t, flow_find(&t, &key, 1000));
		}
	}
	assert_int_equal(t.count, 0);
	assert_int_equal(t.evicted, 0);
	flow_table_free(&t);
}

static void flow_that_holds_a_packet_is_not_evicted(void **state)
{
	struct flow_key key = { .family = AF_INET };
	struct flow_table t;

	(void)state;
	assert_int_equal(flow_table_init(&t, 3), 0);
	for (uint16_t i = 0; i < 3; i++) {
		key.port[0] = i;
		flow_add(&t, &key, 1000)->held = i == 0;
	}
	key.port[0] = 3;
	assert_non_null(flow_add(&t, &key, 1000));
	key.port[0] = 1;
	assert_null(flow_find(&t, &key, 1000));
	key.port[0] = 0;
	assert_non_null(flow_find(&t, &key, 1000));
	flow_find(&t, &key, 1000)->until = 500; /* the flow's timeout has passed */
	assert_non_null(flow_find(&t, &key, 1000));
	for (uint16_t i = 2; i < 4; i++) {
		key.port[0] = i;
		flow_find(&t, &key, 1000)->held = true;
	}
	key.port[0] = 4;
	assert_null(flow_add(&t, &key, 1000));
	flow_table_free(&t);
}

/* ---- whole queues ------------------------------------------------------------------------------- */

static struct ipq_queue *open_queue(struct fake *f)
{
	struct ipq_queue *q;

	assert_int_equal(queue_create(&q, fake_source(f), 4096, 0, 0), 0);
	q->flow_mask = FLOWS_MASK;
	q->flow_mark = FLOWS_MARK;
	q->flow_max = FLOWS_MAX;
	return q;
}

static void push(struct fake *f, uint8_t protocol, unsigned port, uint8_t flags)
{
	const struct ipq_packet meta = { .present = IPQ_HAS_PAYLOAD, .family = AF_INET, .full_len = 1500 };
	uint8_t p[40];

	fake_push(f, &meta, p, build(p, protocol, 1, port, 80, flags));
}

/* Receives n packets, of at most 8 that wait, and accepts the flow of each. */
static void accept_flows(struct ipq_queue *q, struct ipq_packet *packet, int n)
{
	assert_int_equal(ipq_queue_recv(q, packet, 8, 0), n);
	for (int i = 0; i < n; i++)
		assert_int_equal(ipq_accept_flow(q, &packet[i]), 0);
}

static unsigned verdicts_given(struct fake *f, uint32_t code)
{
	struct fake_verdict *v;
	unsigned n = 0;

	while ((v = fake_verdict(f)) != NULL) {
		n += v->code == code;
		fake_verdict_free(v);
	}
	return n;
}

static void later_packets_of_decided_flows_are_not_returned(void **state)
{
	struct fake *f = fake_new(false);
	struct ipq_queue *q = open_queue(f);
	struct ipq_flow_stats stats = { .size = sizeof(stats) };
	struct ipq_stats all = { .size = sizeof(all) };
	struct ipq_packet packet[8];

	(void)state;
	push(f, 17, 1000, 0);
	push(f, 17, 2000, 0);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 0), 2);
	assert_int_equal(ipq_accept_flow(q, &packet[0]), 0);
	assert_int_equal(ipq_drop_flow(q, &packet[1]), 0);
	assert_int_equal(ipq_accept_flow(q, &packet[0]), -ENOENT);
	assert_non_null(strstr(ipq_queue_error(q), "is already decided"));
	push(f, 17, 1000, 0);
	push(f, 17, 2000, 0);
	push(f, 17, 3000, 0);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 60000), 1);
	assert_int_equal(packet[0].payload[20] << 8 | packet[0].payload[21], 3000);
	assert_int_equal(ipq_accept(q, &packet[0]), 0);
	assert_int_equal(ipq_queue_flush(q), 0);
	assert_int_equal(fake_waiting(f), 0);
	assert_int_equal(ipq_flow_stats(q, &stats), 0);
	assert_true(stats.keeper == IPQ_FLOWS_LIBRARY && stats.flows == 2 && stats.packets == 2);
	assert_int_equal(ipq_queue_stats(q, &all), 0);
	assert_true(all.received == 5 && all.accepted == 3 && all.dropped == 2);
	ipq_queue_close(q);
	fake_free(f);
}

static void verdicts_keep_the_order_of_the_packets_of_a_capture_file(void **state)
{
	static const unsigned ports[] = { 1000, 2000, 1000, 3000, 1000, 2000 };
	struct fake *f = fake_new(false);
	struct ipq_queue *q = open_queue(f);
	struct ipq_packet packet[8];
	unsigned last = 0;

	(void)state;
	push(f, 17, 1000, 0);
	accept_flows(q, packet, 1);
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		push(f, 17, ports[i], 0);
	for (unsigned i = 0; i < 3; i++) { /* the library decides the other packets */
		assert_int_equal(ipq_queue_recv(q, packet, 8, 60000), 1);
		assert_int_equal(ipq_accept(q, packet), 0);
	}
	assert_int_equal(ipq_queue_flush(q), 0);
	for (struct fake_verdict *v; (v = fake_verdict(f)) != NULL; fake_verdict_free(v)) {
		assert_int_equal(v->id & 0xffff, last + 1);
		last++;
	}
	assert_int_equal(last, 7);
	ipq_queue_close(q);
	fake_free(f);
}

static void flow_is_decided_after_so_many_packets(void **state)
{
	const struct ipq_flow_verdict v = { .size = sizeof(v), .code = IPQ_DROP, .after = 3 };
	struct fake *f = fake_new(false);
	struct ipq_queue *q = open_queue(f);
	struct ipq_packet packet[8];
	unsigned seen = 0, accepted = 0, dropped = 0;

	(void)state;
	for (int i = 0; i < 10; i++) {
		push(f, 17, 1000, 0);
		if (ipq_queue_recv(q, packet, 8, 0) == 1) {
			seen++;
			assert_int_equal(ipq_decide_flow(q, packet, &v), 0);
		}
		assert_int_equal(ipq_queue_flush(q), 0);
	}
	assert_int_equal(seen, 4);
	for (struct fake_verdict *given; (given = fake_verdict(f)) != NULL; fake_verdict_free(given)) {
		accepted += given->code == IPQ_ACCEPT;
		dropped += given->code == IPQ_DROP;
		assert_true(given->code == IPQ_DROP || dropped == 0);
	}
	assert_int_equal(accepted, 3);
	assert_int_equal(dropped, 7);
	ipq_queue_close(q);
	fake_free(f);
}

static void packets_received_with_the_deciding_one_get_its_verdict(void **state)
{
	const struct ipq_flow_verdict leave = { .size = sizeof(leave), .code = IPQ_ACCEPT, .after = 2 };
	struct fake *f = fake_new(false);
	struct ipq_queue *q = open_queue(f);
	struct ipq_packet packet[8];

	(void)state;
	for (int i = 0; i < 6; i++)
		push(f, 6, 1000, i == 5 ? 2 : 16);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 0), 6);
	assert_int_equal(ipq_drop_flow(q, &packet[0]), 0);
	for (int i = 1; i < 6; i++) {
		assert_int_equal(ipq_queue_flush(q), 0);
		assert_int_equal(ipq_decide_flow(q, &packet[i], &leave), 0);
	}
	assert_int_equal(ipq_queue_flush(q), 0);
	/* The last packet opens a new connection. */
	assert_int_equal(verdicts_given(f, IPQ_DROP), 5);
	assert_int_equal(q->flows->table.flow[q->flows->table.newest].seen, 1); /* the flow of this packet */
	ipq_queue_close(q);
	fake_free(f);
}

static void new_tcp_connection_is_returned(void **state)
{
	struct fake *f = fake_new(false);
	struct ipq_queue *q = open_queue(f);
	struct ipq_packet packet[8];

	(void)state;
	push(f, 6, 1000, 2);
	accept_flows(q, packet, 1);
	push(f, 6, 1000, 16);
	push(f, 6, 1000, 18); /* SYN and ACK: an answer */
	assert_int_equal(ipq_queue_recv(q, packet, 8, 0), 0);
	push(f, 6, 1000, 2);
	accept_flows(q, packet, 1);
	push(f, 6, 1000, 0xc2); /* ECE and CWR: the sender supports ECN (RFC 3168) */
	accept_flows(q, packet, 1);
	ipq_queue_close(q);
	fake_free(f);
}

static void forgotten_flows_are_returned(void **state)
{
	struct ipq_tuple tuple = { .family = AF_INET,
				   .protocol = 17,
				   .source_port = 1000,
				   .destination_port = 80,
				   .source = { 10, 0, 0, 1 },
				   .destination = { 10, 0, 0, 99 } };
	struct ipq_flow_counters counters = { .size = sizeof(counters) };
	struct fake *f = fake_new(false);
	struct ipq_queue *q = open_queue(f);
	struct ipq_packet packet[8];

	(void)state;
	for (int i = 0; i < 3; i++) {
		push(f, 17, 1000, 0);
		assert_int_equal(ipq_queue_recv(q, packet, 8, 0), 1);
		assert_int_equal(ipq_accept_flow(q, packet), 0);
		push(f, 17, 1000, 0);
		assert_int_equal(ipq_queue_recv(q, packet, 8, 0), 0);
		assert_int_equal(ipq_flow_counters(q, &tuple, &counters), 0);
		assert_true(counters.packets == 1 && counters.bytes == 1500 && counters.code == IPQ_ACCEPT);
		assert_int_equal(counters.size, sizeof(counters));
		assert_int_equal(i == 0 ? ipq_forget_flow(q, &tuple) : ipq_forget_flows(q), 0);
		assert_int_equal(ipq_forget_flow(q, &tuple), -ENOENT);
		assert_int_equal(ipq_flow_counters(q, &tuple, &counters), -ENOENT);
	}
	ipq_queue_close(q);
	fake_free(f);
}

static void invalid_flow_verdicts_are_refused(void **state)
{
	struct fake *f = fake_new(false);
	struct ipq_queue *q = open_queue(f);
	struct ipq_packet packet[8];
	const struct ipq_flow_verdict wrong[] = {
		{ .size = sizeof(wrong[0]), .code = IPQ_QUEUE },
		{ .size = sizeof(wrong[0]), .code = IPQ_DROP, .present = IPQ_SET_MARK },
		{ .size = sizeof(wrong[0]), .code = IPQ_ACCEPT, .present = IPQ_SET_PRIORITY },
		{ .size = 4, .code = IPQ_ACCEPT },
	};

	(void)state;
	push(f, 17, 1000, 0);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 0), 1);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(ipq_decide_flow(q, packet, &wrong[i]), -EINVAL);
	assert_int_equal(ipq_accept(q, packet), 0);
	ipq_queue_close(q);
	fake_free(f);
}

/* ---- flows left to the kernel ------------------------------------------------------------------- */

/* Opens a queue as if the firewall rules existed. */
static struct ipq_queue *open_left(struct fake *f)
{
	struct ipq_queue *q = open_queue(f);

	q->flows = flows_create(q);
	assert_non_null(q->flows);
	q->flows->keeper = IPQ_FLOWS_MARK;
	q->flows->held_max_us = INT64_MAX; /* the test must not depend on the speed of the machine */
	q->flows->repeats = q->flows->revoked = true;
	q->flows->one_by_one = false;
	return q;
}

static void next_verdict(struct fake *f, uint32_t id, uint32_t code, uint32_t mark)
{
	struct fake_verdict *v = fake_verdict(f);

	assert_non_null(v);
	assert_int_equal(v->id & 0xffff, id); /* the first id of the fake source is not 1 */
	assert_int_equal(v->code, code);
	assert_int_equal(v->mark, mark);
	fake_verdict_free(v);
}

static void flow_is_left_when_no_packet_waits(void **state)
{
	struct ipq_stats stats = { .size = sizeof(stats) };
	struct fake *f = fake_new(true);
	struct ipq_queue *q = open_left(f);
	struct ipq_packet packet[8];

	(void)state;
	push(f, 17, 1000, 0);
	push(f, 17, 1000, 0);
	assert_int_equal(ipq_queue_recv(q, packet, 1, 0), 1);
	assert_int_equal(ipq_accept_flow(q, packet), 0);
	assert_int_equal(ipq_accept_flow(q, packet), 0);
	assert_int_equal(ipq_queue_flush(q), 0);
	next_verdict(f, 1, IPQ_ACCEPT, 0);
	assert_int_equal(ipq_queue_recv(q, packet, 1, 50), 0);
	next_verdict(f, 2, IPQ_REPEAT, FLOWS_MARK);
	push(f, 17, 2000, 0);
	push(f, 17, 3000, 0);
	assert_int_equal(ipq_queue_recv(q, packet, 2, 0), 2);
	assert_int_equal(ipq_accept_flow(q, &packet[0]), 0);
	assert_int_equal(ipq_drop_flow(q, &packet[1]), 0);
	assert_int_equal(ipq_queue_flush(q), 0);
	next_verdict(f, 4, IPQ_REPEAT, FLOWS_MARK ^ 3 << 24);
	next_verdict(f, 3, IPQ_REPEAT, FLOWS_MARK);
	/* The rules accept or drop the repeated packet, so the statistics count it as accepted or dropped. */
	assert_int_equal(ipq_queue_stats(q, &stats), 0);
	assert_true(stats.accepted == 3 && stats.dropped == 1 && stats.other == 0);
	ipq_queue_close(q);
	fake_free(f);
}

/* With IPQ_O_CONNTRACK the verdict sets the mark of the connection, so the packet is not repeated. */
static void flow_is_left_with_the_connection_mark(void **state)
{
	struct fake *f = fake_new(true);
	struct ipq_queue *q = open_left(f);
	struct ipq_packet packet[8];

	(void)state;
	q->flows->keeper = IPQ_FLOWS_CONNTRACK;
	q->flows->repeats = false;
	push(f, 17, 1000, 0);
	push(f, 17, 2000, 0);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 0), 2);
	assert_int_equal(ipq_accept_flow(q, &packet[0]), 0);
	assert_int_equal(ipq_drop_flow(q, &packet[1]), 0);
	assert_int_equal(ipq_queue_flush(q), 0);
	for (unsigned i = 0; i < 2; i++) {
		struct fake_verdict *v = fake_verdict(f);

		assert_non_null(v);
		assert_int_equal(v->id, packet[1 - i].id);
		assert_int_equal(v->code, i == 0 ? IPQ_DROP : IPQ_ACCEPT);
		assert_int_equal(v->given.present, IPQ_SET_CONNTRACK_MARK);
		assert_int_equal(v->given.conntrack_mark, i == 0 ? FLOWS_MARK ^ 3 << 24 : FLOWS_MARK);
		assert_int_equal(v->given.conntrack_mark_mask, FLOWS_MASK);
		fake_verdict_free(v);
	}
	ipq_queue_close(q);
	fake_free(f);
}

static void other_bits_of_the_mark_stay(void **state)
{
	struct ipq_packet meta = {
		.present = IPQ_HAS_PAYLOAD | IPQ_HAS_MARK, .family = AF_INET, .full_len = 40, .mark = 5
	};
	struct fake *f = fake_new(true);
	struct ipq_queue *q = open_left(f);
	struct ipq_packet packet[8];
	uint8_t p[40];

	(void)state;
	build(p, 17, 1, 1000, 80, 0);
	fake_push(f, &meta, p, 40);
	accept_flows(q, packet, 1);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 50), 0);
	next_verdict(f, 1, IPQ_REPEAT, FLOWS_MARK | 5);
	assert_int_equal(q->stats.accepted, 1);
	assert_int_equal(q->stats.other, 0);
	ipq_queue_close(q);
	fake_free(f);
}

/* If the kernel decided the flow while packets of it wait, later packets of the flow would overtake them. */
static void packet_held_for_too_long_is_accepted_alone(void **state)
{
	struct fake *f = fake_new(true);
	struct ipq_queue *q = open_left(f);
	struct ipq_packet packet[8];

	(void)state;
	q->flows->held_max_us = -1;
	push(f, 17, 1000, 0);
	push(f, 17, 1000, 0);
	push(f, 17, 2000, 0);
	push(f, 17, 3000, 0);
	assert_int_equal(ipq_queue_recv(q, packet, 1, 0), 1);
	assert_int_equal(ipq_accept_flow(q, packet), 0);
	usleep(10);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 0), 2);
	next_verdict(f, 1, IPQ_ACCEPT, 0); /* before the call returns: the program may be slow */
	next_verdict(f, 2, IPQ_ACCEPT, 0);
	assert_int_equal(fake_waiting(f), 2);
	ipq_queue_close(q);
	fake_free(f);
}

/*
 * Decides a flow while a packet of another flow always waits. Returns the number of packets with the mark of the
 * flow.
 */
static unsigned marks_without_an_empty_queue(unsigned times, bool losing)
{
	struct fake *f = fake_new(true);
	struct ipq_queue *q = open_left(f);
	struct ipq_packet packet[8];
	unsigned marks;

	q->flows->held_max_us = -1;
	f->counts.lost = 3; /* lost before any packet was held */
	push(f, 17, 1000, 0);
	for (unsigned i = 0; i < times; i++) {
		push(f, 17, 3000, 0);
		assert_int_equal(ipq_queue_recv(q, packet, 1, 0), 1);
		if (i == 0)
			assert_int_equal(ipq_accept_flow(q, packet), 0);
		else
			assert_int_equal(ipq_accept(q, packet), 0);
		push(f, 17, 1000, 0);
		f->counts.lost += losing;
	}
	assert_int_equal(ipq_queue_flush(q), 0);
	marks = verdicts_given(f, IPQ_REPEAT);
	ipq_queue_close(q);
	fake_free(f);
	return marks;
}

static void flow_is_left_to_the_kernel_though_the_queue_is_never_empty(void **state)
{
	(void)state;
	assert_int_equal(marks_without_an_empty_queue(OVERDUE_MAX_LOSING - 1, true), 0);
	assert_in_range(marks_without_an_empty_queue(OVERDUE_MAX_LOSING + 4, true), 1, 4);
	assert_int_equal(marks_without_an_empty_queue(OVERDUE_MAX - 1, false), 0);
	assert_in_range(marks_without_an_empty_queue(OVERDUE_MAX + 4, false), 1, 4);
}

static void push_late(void *context)
{
	push(context, 17, 1000, 0);
}

/* Called by the first receive: lets the second one add a packet. */
static void wait_for_second_receive(void *context)
{
	((struct fake *)context)->meanwhile = push_late;
}

/* Called when packets are about to be received: adds a packet of another flow, so that the receive returns. */
static void push_other(void *context)
{
	push(context, 17, 2000, 0);
}

/* A packet that is held back must not wait for the next packet. */
static void receive_does_not_wait_while_a_packet_is_held(void **state)
{
	struct fake *f = fake_new(true);
	struct ipq_queue *q = open_left(f);
	struct ipq_packet packet[8];

	(void)state;
	f->context = f;
	f->meanwhile = push_late;
	assert_int_equal(ipq_queue_recv(q, packet, 8, IPQ_FOREVER), 1);
	assert_int_equal(f->timeout_ms, IPQ_FOREVER);
	assert_int_equal(ipq_accept_flow(q, packet), 0);
	f->meanwhile = push_other;
	assert_int_equal(ipq_queue_recv(q, packet, 8, IPQ_FOREVER), 1);
	assert_int_equal(f->timeout_ms, 0);
	f->meanwhile = push_late;
	assert_int_equal(ipq_accept(q, packet), 0);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 50), 0);
	assert_int_equal(fake_waiting(f), 0);
	f->meanwhile = push_other;
	assert_int_equal(ipq_queue_recv(q, packet, 8, 50000), 1);
	assert_in_range(f->timeout_ms, 40000, 50000);
	ipq_queue_close(q);
	fake_free(f);
}

/* Called by the first receive: a packet of a decided flow arrives late. The next receive adds another packet. */
static void push_after_110_ms(void *context)
{
	usleep(110000);
	push_late(context);
	((struct fake *)context)->meanwhile = push_other;
}

static void receive_without_timeout_ends_with_a_packet_only(void **state)
{
	struct fake *f = fake_new(false);
	struct ipq_queue *q = open_queue(f);
	struct ipq_packet packet[8];

	(void)state;
	push(f, 17, 1000, 0);
	accept_flows(q, packet, 1);
	f->meanwhile = push_after_110_ms;
	f->context = f;
	assert_int_equal(ipq_queue_recv(q, packet, 8, IPQ_FOREVER), 1);
	assert_int_equal(packet[0].payload[20] << 8 | packet[0].payload[21], 2000);
	ipq_queue_close(q);
	fake_free(f);
}

/* The kernel needs time for each verdict, and packets can arrive meanwhile. */
static void each_flow_is_left_after_a_receive_of_its_own(void **state)
{
	struct fake *f = fake_new(true);
	struct ipq_queue *q = open_left(f);
	struct ipq_packet packet[8];

	(void)state;
	push(f, 17, 1000, 0);
	push(f, 17, 2000, 0);
	accept_flows(q, packet, 2);
	f->receives = f->sends = 0;
	assert_int_equal(ipq_queue_recv(q, packet, 8, 0), 0);
	assert_int_equal(f->sends, 2);
	assert_int_equal(f->receives, 3);
	next_verdict(f, 2, IPQ_REPEAT, FLOWS_MARK);
	next_verdict(f, 1, IPQ_REPEAT, FLOWS_MARK);

	push(f, 17, 5000, 0);
	push(f, 17, 6000, 0);
	accept_flows(q, packet, 2);
	f->sends = 0;
	assert_int_equal(ipq_queue_flush(q), 0);
	assert_int_equal(f->sends, 2);
	assert_int_equal(verdicts_given(f, IPQ_REPEAT), 2);
	ipq_queue_close(q);
	fake_free(f);
}

/*
 * A packet of the second flow arrives after the first of two flows was left to the kernel. It must keep its place in
 * the order.
 */
static void flow_is_not_left_if_its_packet_arrives_meanwhile(void **state)
{
	struct fake *f = fake_new(true);
	struct ipq_queue *q = open_left(f);
	struct ipq_packet packet[8];

	(void)state;
	push(f, 17, 1000, 0);
	push(f, 17, 2000, 0);
	accept_flows(q, packet, 2);
	f->meanwhile = wait_for_second_receive;
	f->context = f;
	assert_int_equal(ipq_queue_recv(q, packet, 8, 0), 0);
	next_verdict(f, 2, IPQ_REPEAT, FLOWS_MARK);
	next_verdict(f, 1, IPQ_ACCEPT, 0);
	next_verdict(f, 3, IPQ_REPEAT, FLOWS_MARK);
	ipq_queue_close(q);
	fake_free(f);
}

/* One packet may have passed the rule on another CPU before its connection had the mark. */
static void sixteen_packets_with_the_connection_mark_are_a_proof(void **state)
{
	/* An attribute CTA_MARK. */
	uint8_t connection[8] = {
		0, 0, 0, 0, FLOWS_MARK >> 24, FLOWS_MARK >> 16 & 255, FLOWS_MARK >> 8 & 255,
		5 /* a bit of others */
	};
	struct ipq_packet meta = { .present = IPQ_HAS_PAYLOAD | IPQ_HAS_CONNTRACK,
				   .family = AF_INET,
				   .full_len = 40,
				   .conntrack = connection,
				   .conntrack_len = sizeof(connection) };
	struct fake *f = fake_new(true);
	struct ipq_queue *q = open_left(f);
	struct ipq_packet packet[8];
	uint8_t p[40];

	(void)state;
	*(uint16_t *)(void *)connection = 8;
	*(uint16_t *)(void *)(connection + 2) = 8;
	q->flows->keeper = IPQ_FLOWS_CONNTRACK;
	q->flows->repeats = false;
	build(p, 17, 1, 1000, 80, 0);
	fake_push(f, &meta, p, 40);
	accept_flows(q, packet, 1);
	for (unsigned i = 1; i <= MARKED_CAME_MAX; i++) {
		assert_int_equal(q->flows->keeper, IPQ_FLOWS_CONNTRACK);
		fake_push(f, &meta, p, 40);
		assert_int_equal(ipq_queue_recv(q, packet, 8, 0), 0);
	}
	assert_int_equal(q->flows->keeper, IPQ_FLOWS_LIBRARY);
	assert_int_equal(q->flows->came_back, MARKED_CAME_MAX);
	ipq_queue_close(q);
	fake_free(f);
}

static void flows_are_decided_once_and_forgotten_together(void **state)
{
	const struct ipq_flow_verdict timeout = { .size = sizeof(timeout), .timeout = 5, .code = IPQ_ACCEPT };
	struct ipq_flow_stats stats = { .size = sizeof(stats) };
	struct fake *f = fake_new(false);
	struct ipq_queue *q = open_queue(f);
	struct ipq_packet packet[8];

	(void)state;
	push(f, 17, 9, 0);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 0), 1);
	assert_int_equal(ipq_accept(q, packet), 0);
	assert_int_equal(ipq_queue_flush(q), 0);
	assert_int_equal(ipq_accept_flow(q, packet), -ENOENT);
	assert_int_equal(ipq_flow_stats(q, &stats), 0);
	assert_int_equal(stats.flows, 0);
	q->flows->one_by_one = false;
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned port = 1; port <= 3; port++)
			push(f, 17, port, 0);
		push(f, 17, 3, 0); /* another packet of the last flow */
		assert_int_equal(ipq_queue_recv(q, packet, 8, 0), 4);
		for (unsigned j = 0; j < 4; j++)
			assert_int_equal(ipq_decide_flow(q, &packet[j], &timeout), 0);
		assert_int_equal(ipq_flow_stats(q, &stats), 0);
		assert_int_equal(stats.decided, 3 * (i + 1));
		usleep(10000);
		push(f, 17, 1, 0);
		assert_int_equal(ipq_queue_recv(q, packet, 8, 0), 0);
		assert_int_equal(ipq_forget_flows(q), 0);
	}
	ipq_queue_close(q);
	fake_free(f);
}

static void held_packet_leaves_before_its_flow_is_forgotten(void **state)
{
	struct fake *f = fake_new(true);
	struct ipq_queue *q = open_left(f);
	struct ipq_packet packet[8];

	(void)state;
	push(f, 17, 1000, 0);
	accept_flows(q, packet, 1);
	ipq_forget_flows(q); /* the user who runs this test may not be allowed to change the connections */
	next_verdict(f, 1, IPQ_ACCEPT, 0);
	ipq_queue_close(q);
	fake_free(f);
}

/* The program may not receive again, so a packet that is held back must leave the queue, too. */
static void held_packet_leaves_before_an_error(void **state)
{
	struct ipq_flow_stats stats = { .size = sizeof(stats) };
	struct fake *f = fake_new(true);
	struct ipq_queue *q = open_left(f);
	struct ipq_packet packet[8];

	(void)state;
	push(f, 17, 1000, 0);
	assert_int_equal(ipq_queue_recv(q, packet, 1, 0), 1);
	assert_int_equal(ipq_accept_flow(q, packet), 0);
	push(f, 17, 1000, 0);
	push(f, 17, 2000, 0);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 0), 1);
	fake_end(f);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 0), -ENODATA);
	assert_int_equal(fake_waiting(f), 1);
	assert_int_equal(ipq_flow_stats(q, &stats), 0);
	assert_int_equal(stats.packets, 1);
	assert_int_equal(stats.bytes, 1500);
	ipq_queue_close(q);
	fake_free(f);
}

static void flow_with_timeout_or_mark_is_not_left(void **state)
{
	const struct ipq_flow_verdict timeout = { .size = sizeof(timeout), .timeout = 5, .code = IPQ_ACCEPT },
				      drop = { .size = sizeof(drop), .timeout = 5, .code = IPQ_DROP },
				      mark = { .size = sizeof(mark),
					       .present = IPQ_SET_MARK,
					       .mark = 7,
					       .code = IPQ_ACCEPT };
	struct fake *f = fake_new(true);
	struct ipq_queue *q = open_left(f);
	struct ipq_packet packet[8];

	(void)state;
	for (unsigned port = 1; port <= 3; port++)
		push(f, 17, port, 0);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 0), 3);
	assert_int_equal(ipq_decide_flow(q, &packet[0], &timeout), 0);
	assert_int_equal(ipq_decide_flow(q, &packet[1], &drop), 0);
	assert_int_equal(ipq_decide_flow(q, &packet[2], &mark), 0);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 50), 0);
	next_verdict(f, 1, IPQ_ACCEPT, 0);
	next_verdict(f, 2, IPQ_DROP, 0);
	next_verdict(f, 3, IPQ_ACCEPT, 7);
	ipq_queue_close(q);
	fake_free(f);
}

static void packet_decided_alone_does_not_overtake_its_flow(void **state)
{
	struct fake *f = fake_new(true);
	struct ipq_queue *q = open_left(f);
	struct ipq_packet packet[8];

	(void)state;
	for (int i = 0; i < 3; i++)
		push(f, 17, 1000, 0);
	push(f, 17, 2000, 0);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 0), 4);
	assert_int_equal(ipq_accept_flow(q, &packet[0]), 0);
	assert_int_equal(ipq_accept_flow(q, &packet[3]), 0);
	assert_int_equal(q->flows->held_count, 2);
	assert_int_equal(ipq_drop(q, &packet[1]), 0);
	assert_int_equal(q->flows->held_count, 1); /* only the packet of the other flow is held now */
	assert_true(q->flows->table.flow[q->flows->held[0]].held);
	assert_int_equal(q->flows->table.flow[q->flows->held[0]].held_id, packet[3].id);
	assert_int_equal(ipq_accept(q, &packet[2]), 0);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 50), 0);
	next_verdict(f, 1, IPQ_ACCEPT, 0);
	next_verdict(f, 2, IPQ_DROP, 0);
	next_verdict(f, 3, IPQ_ACCEPT, 0);
	next_verdict(f, 4, IPQ_REPEAT, FLOWS_MARK);
	ipq_queue_close(q);
	fake_free(f);
}

static void flow_accepted_then_dropped_is_not_left(void **state)
{
	struct fake *f = fake_new(true);
	struct ipq_queue *q = open_left(f);
	struct ipq_packet packet[8];

	(void)state;
	for (int i = 0; i < 3; i++)
		push(f, 17, 1000, 0);
	assert_int_equal(ipq_queue_recv(q, packet, 2, 0), 2);
	assert_int_equal(ipq_accept_flow(q, &packet[0]), 0);
	assert_int_equal(ipq_drop_flow(q, &packet[1]), 0);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 50), 0);
	next_verdict(f, 1, IPQ_ACCEPT, 0);
	next_verdict(f, 2, IPQ_REPEAT, FLOWS_MARK ^ 3 << 24);
	assert_int_equal(ipq_queue_flush(q), 0);
	next_verdict(f, 3, IPQ_DROP, 0);
	q->flows->table.flow[q->flows->table.newest].marked -= 1000; /* as if a second had passed */
	push(f, 17, 1000, 0);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 50), 0);
	next_verdict(f, 4, IPQ_REPEAT, FLOWS_MARK ^ 3 << 24);
	push(f, 17, 2000, 0);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 50), 1);
	assert_int_equal(ipq_accept_flow(q, packet), 0);
	assert_int_equal(ipq_drop(q, packet), 0); /* the program changes its decision */
	assert_int_equal(ipq_queue_flush(q), 0);
	next_verdict(f, 5, IPQ_DROP, 0);
	ipq_queue_close(q);
	fake_free(f);
}

static void new_connection_of_a_held_flow_is_returned(void **state)
{
	struct fake *f = fake_new(true);
	struct ipq_queue *q = open_left(f);
	struct ipq_packet packet[8];

	(void)state;
	push(f, 6, 1000, 16);
	accept_flows(q, packet, 1);
	push(f, 6, 1000, 2);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 0), 1);
	assert_int_equal(ipq_drop(q, packet), 0);
	assert_int_equal(ipq_queue_flush(q), 0);
	next_verdict(f, 1, IPQ_ACCEPT, 0);
	next_verdict(f, 2, IPQ_DROP, 0);
	ipq_queue_close(q);
	fake_free(f);
}

static void more_held_flows_than_fit_leave_one_by_one(void **state)
{
	struct fake *f = fake_new(true);
	struct ipq_queue *q = open_left(f);
	struct ipq_packet packet[32];

	(void)state;
	for (unsigned i = 0; i < 2 * HELD_MAX; i++)
		push(f, 17, 1 + i, 0);
	for (int n; (n = ipq_queue_recv(q, packet, 32, 50)) > 0;)
		while (n-- > 0) {
			assert_int_equal(ipq_accept_flow(q, &packet[n]), 0);
			assert_true(q->flows->held_count <= HELD_MAX);
		}
	assert_int_equal(verdicts_given(f, IPQ_REPEAT), 2 * HELD_MAX);
	assert_int_equal(fake_waiting(f), 0);

	/* A second verdict for the same packet does not need room. */
	for (unsigned i = 0; i < HELD_MAX / 2; i++) {
		push(f, 17, 1 + i, 0);
		push(f, 17, 2000 + i, 0);
		assert_int_equal(ipq_queue_recv(q, packet, 32, 0), 1);
		assert_int_equal(ipq_accept_flow(q, packet), 0);
	}
	assert_int_equal(q->flows->held_count, HELD_MAX);
	assert_int_equal(ipq_accept_flow(q, packet), 0);
	assert_int_equal(q->verdicts.count, 0);
	assert_int_equal(ipq_queue_flush(q), 0);
	assert_int_equal(fake_waiting(f), 0);
	ipq_queue_close(q);
	fake_free(f);
}

static void packets_with_the_mark_of_another_program_are_returned(void **state)
{
	struct ipq_packet meta = { .present = IPQ_HAS_PAYLOAD | IPQ_HAS_MARK,
				   .family = AF_INET,
				   .full_len = 40,
				   .mark = FLOWS_MARK | 5 };
	struct fake *f = fake_new(true);
	struct ipq_queue *q = open_left(f);
	struct ipq_packet packet[8];
	uint8_t p[40];

	(void)state;
	build(p, 17, 1, 1000, 80, 0);
	fake_push(f, &meta, p, 40);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 50), 0);
	assert_int_equal(q->flows->keeper, IPQ_FLOWS_LIBRARY);
	assert_int_equal(q->flows->came_back, 1);
	assert_int_equal(ipq_queue_flush(q), 0);
	next_verdict(f, 1, IPQ_ACCEPT, 5);
	meta.mark ^= 3 << 24; /* the mark of dropped flows */
	fake_push(f, &meta, p, 40);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 50), 0);
	assert_int_equal(ipq_queue_flush(q), 0);
	next_verdict(f, 2, IPQ_DROP, 0);
	meta.mark ^= 3 << 24;
	q->flows->repeats = false; /* no packets are repeated with IPQ_O_CONNTRACK and in capture files */
	fake_push(f, &meta, p, 40);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 0), 1);
	ipq_queue_close(q);
	fake_free(f);
}

static void receive_ends_in_time_though_decided_flows_never_do(void **state)
{
	struct fake *f = fake_new(false);
	struct ipq_queue *q = open_queue(f);
	struct ipq_packet packet;

	(void)state;
	for (int i = 0; i < 20000; i++)
		push(f, 17, 1000, 0);
	assert_int_equal(ipq_queue_recv(q, &packet, 1, 0), 1);
	assert_int_equal(ipq_accept_flow(q, &packet), 0);
	assert_int_equal(ipq_queue_recv(q, &packet, 1, 1), 0);
	assert_int_equal(fake_waiting(f), 0); /* the program may sleep now, so no packet is held back */
	assert_true(f->packets != NULL);
	assert_true(verdicts_given(f, IPQ_ACCEPT) > 0);
	ipq_queue_close(q);
	fake_free(f);
}

static bool keep_flows(void *context)
{
	(void)context;
	return true;
}

static void accept_with_mark(void *context, const struct ipq_packet *packet, struct ipq_verdict *v)
{
	(void)context;
	(void)packet;
	v->present |= IPQ_SET_MARK;
	v->mark = 3;
}

/* With rules of its own, the program may have to add a mark to each packet that it accepts. */
static void rules_of_the_program_apply_to_each_accepted_packet(void **state)
{
	static const struct queue_flow_rules rules = { .keep = keep_flows, .accept = accept_with_mark };
	struct fake *f = fake_new(true);
	struct ipq_queue *q = open_left(f);
	struct ipq_packet packet[8];

	(void)state;
	queue_ask_flows(q, &rules, NULL);
	q->flows->keeper = IPQ_FLOWS_MARK; /* as for a queue of the kernel */
	for (unsigned i = 0; i < 3; i++)
		push(f, 17, 1000, 0);
	assert_int_equal(ipq_queue_recv(q, packet, 8, 0), 3);
	assert_int_equal(ipq_accept_flow(q, &packet[0]), 0);
	assert_true(queue_decided_flow(q, &packet[1]));
	assert_true(queue_decided_flow(q, &packet[2]));
	assert_int_equal(ipq_queue_recv(q, packet, 8, 50), 0);
	next_verdict(f, 1, IPQ_ACCEPT, 3);
	next_verdict(f, 2, IPQ_ACCEPT, 3);
	next_verdict(f, 3, IPQ_REPEAT, FLOWS_MARK);
	ipq_queue_close(q);
	fake_free(f);
}

static void keeper_depends_on_the_source_its_options_and_the_rules(void **state)
{
	static const struct queue_flow_rules with_marks = { .keep = keep_flows }, without = { .keep = NULL };
	static const struct source nfqueue = { .ops = &source_nfqueue };
	static const struct {
		const struct queue_flow_rules *rules;
		uint32_t flags, keeper;
		bool asks, repeats;
	} all[] = { { NULL, 0, IPQ_FLOWS_MARK, false, true },
		    { NULL, IPQ_O_FAIL_OPEN, IPQ_FLOWS_MARK, false, true },
		    { NULL, IPQ_O_CONNTRACK | IPQ_O_FAIL_OPEN, IPQ_FLOWS_CONNTRACK, false, false },
		    { &with_marks, 0, IPQ_FLOWS_MARK, true, true },
		    { &with_marks, IPQ_O_CONNTRACK, IPQ_FLOWS_MARK, true, true },
		    { &without, IPQ_O_CONNTRACK, IPQ_FLOWS_LIBRARY, true, false } };
	struct fake *f = fake_new(false);
	struct ipq_queue *q = open_queue(f);
	struct flows fl = { .keeper = 99 };

	(void)state;
	flows_choose_keeper(q, &fl);
	assert_true(fl.keeper == IPQ_FLOWS_LIBRARY && fl.one_by_one && !fl.repeats && fl.why != NULL);
	q->asks_flows = true;
	flows_choose_keeper(q, &fl);
	assert_true(fl.keeper == IPQ_FLOWS_LIBRARY && !fl.one_by_one);
	q->source = (struct source *)(uintptr_t)&nfqueue;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		q->asks_flows = all[i].asks;
		q->flow_rules = all[i].rules;
		q->flags = all[i].flags;
		fl = (struct flows){ .keeper = 99 };
		flows_choose_keeper(q, &fl);
		assert_int_equal(fl.keeper, all[i].keeper);
		assert_int_equal(fl.repeats, all[i].repeats);
		assert_false(fl.one_by_one);
		assert_non_null(fl.why);
	}
	q->source = fake_source(f);
	ipq_queue_close(q);
	fake_free(f);
}

/* A mask must have bits for two values. It is refused before a source is opened. */
static void flow_options_that_do_not_fit_are_refused(void **state)
{
	const struct ipq_options wrong[] = {
		{ .size = sizeof(wrong[0]), .flow_mask = 0x40000000, .flow_mark = 0x40000000 },
		{ .size = sizeof(wrong[0]), .flow_mask = 0x80000000, .flow_mark = 0x80000000 },
		{ .size = sizeof(wrong[0]), .flow_mask = 0x50000000, .flow_mark = 0x10000000 },
		{ .size = sizeof(wrong[0]), .flow_mask = 0xf0, .flow_mark = 0x30 },
		{ .size = sizeof(wrong[0]), .flow_mask = 0xf0, .flow_mark = 0x11 },
		{ .size = sizeof(wrong[0]), .flow_max = UINT32_MAX },
		{ .size = sizeof(wrong[0]), .reserved2 = 1 },
	};
	struct ipq_queue *q;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(ipq_queue_open(&q, "pcap:/nonexistent", &wrong[i]), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_directions_have_the_same_key),
		cmocka_unit_test(fragments_and_cut_packets_have_no_key),
		cmocka_unit_test(ipv6_ports_are_found_behind_extension_headers),
		cmocka_unit_test(used_flows_survive_eviction),
		cmocka_unit_test(hash_of_each_table_has_another_key),
		cmocka_unit_test(room_of_removed_flows_is_used_again),
		cmocka_unit_test(flow_that_holds_a_packet_is_not_evicted),
		cmocka_unit_test(icmp_queries_and_their_answers_are_one_flow),
		cmocka_unit_test(later_packets_of_decided_flows_are_not_returned),
		cmocka_unit_test(verdicts_keep_the_order_of_the_packets_of_a_capture_file),
		cmocka_unit_test(flow_is_decided_after_so_many_packets),
		cmocka_unit_test(packets_received_with_the_deciding_one_get_its_verdict),
		cmocka_unit_test(new_tcp_connection_is_returned),
		cmocka_unit_test(forgotten_flows_are_returned),
		cmocka_unit_test(invalid_flow_verdicts_are_refused),
		cmocka_unit_test(flow_is_left_when_no_packet_waits),
		cmocka_unit_test(held_packet_leaves_before_an_error),
		cmocka_unit_test(held_packet_leaves_before_its_flow_is_forgotten),
		cmocka_unit_test(flow_is_left_with_the_connection_mark),
		cmocka_unit_test(other_bits_of_the_mark_stay),
		cmocka_unit_test(packet_held_for_too_long_is_accepted_alone),
		cmocka_unit_test(flow_is_left_to_the_kernel_though_the_queue_is_never_empty),
		cmocka_unit_test(each_flow_is_left_after_a_receive_of_its_own),
		cmocka_unit_test(flow_is_not_left_if_its_packet_arrives_meanwhile),
		cmocka_unit_test(receive_does_not_wait_while_a_packet_is_held),
		cmocka_unit_test(receive_without_timeout_ends_with_a_packet_only),
		cmocka_unit_test(sixteen_packets_with_the_connection_mark_are_a_proof),
		cmocka_unit_test(flows_are_decided_once_and_forgotten_together),
		cmocka_unit_test(flow_with_timeout_or_mark_is_not_left),
		cmocka_unit_test(packet_decided_alone_does_not_overtake_its_flow),
		cmocka_unit_test(flow_accepted_then_dropped_is_not_left),
		cmocka_unit_test(new_connection_of_a_held_flow_is_returned),
		cmocka_unit_test(more_held_flows_than_fit_leave_one_by_one),
		cmocka_unit_test(packets_with_the_mark_of_another_program_are_returned),
		cmocka_unit_test(receive_ends_in_time_though_decided_flows_never_do),
		cmocka_unit_test(rules_of_the_program_apply_to_each_accepted_packet),
		cmocka_unit_test(keeper_depends_on_the_source_its_options_and_the_rules),
		cmocka_unit_test(flow_options_that_do_not_fit_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
