// SPDX-License-Identifier: LGPL-2.1-or-later
/* Which messages the verdict calls send, and when: settings, replacements, limits, and the moderation of a busy
 * queue. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <linux/netfilter.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "core/state.h"
#include "fake.h"
#include "util/clock.h"
#include "util/fork_count.h"

#define EACH 32 /* packets per receive: enough for a queue to be busy */

static struct fake *f;
static struct ipq_queue *q;

static bool no_memory; /* allocations of tables and slots fail */

void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	return no_memory ? MAP_FAILED : __real_mmap(at, size, protection, flags, fd, offset);
}

void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	return __wrap_mmap(at, size, protection, flags, fd, offset);
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	return no_memory && size >= 256 ? NULL : __real_malloc(size);
}

static int begin(void **state)
{
	(void)state;
	f = fake_new(false);
	return queue_create(&q, fake_source(f), 4096, IPQ_O_CONNTRACK, 0);
}

static int end(void **state)
{
	(void)state;
	ipq_queue_close(q);
	fake_free(f);
	return 0;
}

static void receive(struct ipq_packet *packet, unsigned n, uint8_t family)
{
	for (unsigned i = 0; i < n; i++)
		fake_push_plain(f, family, 20);
	assert_int_equal(ipq_queue_recv(q, packet, n, 1000), n);
}

/* Returns the next verdict that was sent. */
static struct source_verdict sent(uint8_t *payload)
{
	struct fake_verdict *v;
	struct source_verdict given;

	assert_int_equal(ipq_queue_flush(q), 0);
	v = fake_verdict(f);
	assert_non_null(v);
	given = v->given;
	if (payload != NULL)
		memcpy(payload, v->payload, v->payload_len);
	fake_verdict_free(v);
	return given;
}

/* ---- settings ----------------------------------------------------------------------------------- */

static void every_setting_is_sent(void **state)
{
	struct ipq_verdict v = { .size = sizeof(v),
				 .code = IPQ_QUEUE,
				 .queue = 300,
				 .present = IPQ_SET_MARK | IPQ_SET_PRIORITY | IPQ_SET_CONNTRACK_MARK |
					    IPQ_SET_CONNTRACK_LABELS | IPQ_SET_VLAN,
				 .mark = 1,
				 .priority = 2,
				 .conntrack_mark = 3,
				 .conntrack_mark_mask = 4,
				 .vlan_proto = 5,
				 .vlan_tci = 6,
				 .conntrack_labels = "0123456789abcde" };
	struct source_verdict s;
	struct ipq_packet p;

	(void)state;
	receive(&p, 1, AF_BRIDGE);
	assert_int_equal(ipq_decide(q, &p, &v), 0);
	s = sent(NULL);
	assert_int_equal(s.id, p.id);
	assert_int_equal(s.code, NF_QUEUE_NR(300));
	assert_int_equal(s.present, v.present);
	assert_int_equal(s.mark, 1);
	assert_int_equal(s.priority, 2);
	assert_int_equal(s.conntrack_mark, 3);
	assert_int_equal(s.conntrack_mark_mask, 4);
	assert_int_equal(s.vlan_proto, 5);
	assert_int_equal(s.vlan_tci, 6);
	assert_memory_equal(s.conntrack_labels, "0123456789abcde", 16);
}

static void every_verdict_code_is_sent(void **state)
{
	static const uint32_t code[] = { IPQ_DROP, IPQ_ACCEPT, IPQ_REPEAT, IPQ_STOP };
	struct ipq_packet p;

	(void)state;
	for (unsigned i = 0; i < sizeof(code) / sizeof(code[0]); i++) {
		struct ipq_verdict v = { .size = sizeof(v), .code = code[i] };

		receive(&p, 1, AF_INET);
		assert_int_equal(ipq_decide(q, &p, &v), 0);
		assert_int_equal(sent(NULL).code, code[i]);
	}
}

static void mark_of_0_is_sent(void **state)
{
	struct ipq_verdict v = { .size = sizeof(v), .code = IPQ_ACCEPT, .present = IPQ_SET_MARK };
	struct ipq_packet p;

	(void)state;
	receive(&p, 1, AF_INET);
	assert_int_equal(ipq_decide(q, &p, &v), 0);
	assert_int_equal(sent(NULL).present, IPQ_SET_MARK);
}

static void invalid_verdicts_are_refused(void **state)
{
	static const struct {
		struct ipq_verdict v;
		int err;
	} wrong[] = {
		{ { .code = IPQ_STOP + 1 }, -EINVAL },
		{ { .code = NF_STOLEN }, -EINVAL },
		{ { .code = IPQ_ACCEPT, .present = 1 << 6 }, -EINVAL },
		{ { .code = IPQ_ACCEPT, .present = IPQ_SET_VLAN }, -EOPNOTSUPP },
		{ { .code = IPQ_ACCEPT, .present = IPQ_SET_PAYLOAD }, -EINVAL },
		{ { .code = IPQ_ACCEPT, .present = IPQ_SET_PAYLOAD, .payload = "x" }, -EINVAL },
		{ { .code = IPQ_ACCEPT, .present = IPQ_SET_CONNTRACK_MARK }, -EOPNOTSUPP },
		{ { .code = IPQ_ACCEPT, .present = IPQ_SET_CONNTRACK_LABELS }, -EOPNOTSUPP },
	};
	struct ipq_verdict short_one = { .size = 8, .code = IPQ_ACCEPT };
	struct ipq_packet p;

	(void)state;
	q->flags = ~(uint32_t)IPQ_O_CONNTRACK;
	receive(&p, 1, AF_INET);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct ipq_verdict v = wrong[i].v;

		v.size = sizeof(v);
		assert_int_equal(ipq_decide(q, &p, &v), wrong[i].err);
		assert_true(strlen(ipq_queue_error(q)) > 0);
	}
	assert_int_equal(ipq_decide(q, &p, &short_one), -EINVAL);
	assert_int_equal(ipq_accept(q, &p), 0);
	assert_int_equal(ipq_accept(q, &p), -ENOENT);
	assert_non_null(strstr(ipq_queue_error(q), "is already decided"));
	assert_int_equal(sent(NULL).code, NF_ACCEPT);
	assert_int_equal(ipq_drop(q, &p), -ENOENT);
}

static void receive_of_no_packet_is_refused_and_of_many_is_limited(void **state)
{
	struct ipq_packet packet[100];

	(void)state;
	assert_int_equal(ipq_queue_recv(q, packet, 0, 0), -EINVAL);
	for (unsigned i = 0; i < 100; i++)
		fake_push_plain(f, AF_INET, 20);
	assert_int_equal(ipq_queue_recv(q, packet, 100, 0), SOURCE_BATCH_MAX);
}

static void statistics_count_what_was_sent(void **state)
{
	struct ipq_verdict repeat = { .size = sizeof(repeat), .code = IPQ_REPEAT }, priority = {
		.size = sizeof(priority), .code = IPQ_ACCEPT, .present = IPQ_SET_PRIORITY
	};
	struct ipq_stats s = { .size = sizeof(s) };
	struct ipq_packet p[7];

	(void)state;
	receive(p, 7, AF_INET);
	assert_int_equal(ipq_accept(q, &p[0]), 0);
	assert_int_equal(ipq_drop(q, &p[1]), 0);
	assert_int_equal(ipq_drop(q, &p[2]), 0);
	assert_int_equal(ipq_decide(q, &p[3], &repeat), 0);
	assert_int_equal(ipq_decide(q, &p[4], &priority), 0);
	assert_int_equal(ipq_replace(q, &p[5], "a packet", 8), 0);
	assert_int_equal(ipq_queue_stats(q, &s), 0);
	assert_int_equal(s.accepted + s.dropped + s.other, 0);
	assert_int_equal(ipq_queue_flush(q), 0);
	assert_int_equal(ipq_queue_stats(q, &s), 0);
	assert_int_equal(s.received, 7);
	assert_int_equal(s.accepted, 3);
	assert_int_equal(s.dropped, 2);
	assert_int_equal(s.other, 1);
	assert_int_equal(s.replaced, 1);
	assert_int_equal(s.waiting, 1);
}

static void verdicts_of_a_failed_send_stay_pending(void **state)
{
	struct ipq_packet p;

	(void)state;
	receive(&p, 1, AF_INET);
	assert_int_equal(ipq_accept(q, &p), 0);
	f->send_error = ENOBUFS;
	assert_int_equal(ipq_queue_flush(q), -ENOBUFS);
	f->send_error = ENOBUFS;
	assert_int_equal(ipq_queue_recv(q, &p, 1, 0), -ENOBUFS);
	assert_int_equal(fake_waiting(f), 1);
	assert_int_equal(sent(NULL).id, p.id);
}

static void verdicts_that_a_send_does_not_take_are_sent_later(void **state)
{
	struct ipq_stats s = { .size = sizeof(s) };
	struct ipq_packet p[10];

	(void)state;
	f->send_most = 3;
	receive(p, 10, AF_INET);
	for (unsigned i = 0; i < 10; i++) /* the verdicts differ, so that no two are in a batch */
		assert_int_equal(i % 2 ? ipq_accept(q, &p[i]) : ipq_drop(q, &p[i]), 0);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(sent(NULL).id, p[i].id);
	assert_int_equal(ipq_queue_stats(q, &s), 0);
	assert_int_equal(s.accepted, 5);
	assert_int_equal(s.dropped, 5);
	assert_int_equal(s.waiting, 0);
}

static void losses_of_the_source_are_in_the_statistics(void **state)
{
	struct ipq_stats s = { .size = sizeof(s) };

	(void)state;
	f->counts = (struct source_counts){ .lost = 1, .queue_dropped = 2, .malformed = 3 };
	assert_int_equal(ipq_queue_stats(q, &s), 0);
	assert_int_equal(s.lost, 1);
	assert_int_equal(s.queue_dropped, 2);
	assert_int_equal(s.malformed, 3);
}

static void signals_and_wakes_are_returned_as_such(void **state)
{
	struct ipq_packet p;

	(void)state;
	f->end = true;
	f->end_error = EINTR;
	assert_int_equal(ipq_queue_recv(q, &p, 1, IPQ_FOREVER), -EINTR);
	assert_non_null(strstr(ipq_queue_error(q), "signal"));
	f->end_error = ECANCELED;
	assert_int_equal(ipq_queue_recv(q, &p, 1, IPQ_FOREVER), -ECANCELED);
	assert_non_null(strstr(ipq_queue_error(q), "woken"));
}

/* Without its record, a verdict for several packets could accept the packet. */
static void packet_without_memory_for_its_record_is_dropped(void **state)
{
	struct ipq_packet p[2];

	(void)state;
	fake_push_plain(f, AF_INET, 20);
	fake_push_plain(f, AF_INET, 20);
	no_memory = true;
	assert_int_equal(ipq_queue_recv(q, p, 2, 0), -ENOMEM);
	no_memory = false;
	assert_int_equal(fake_waiting(f), 0);
	assert_int_equal(sent(NULL).code, NF_DROP);
	assert_int_equal(sent(NULL).code, NF_DROP);
}

/* The table has room for 256 packets, that is, for only one of the last three. */
static void only_packets_without_memory_for_their_record_are_dropped(void **state)
{
	struct ipq_packet p[64];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		receive(p, 64, AF_INET);
	receive(p, 63, AF_INET);
	for (unsigned i = 0; i < 3; i++)
		fake_push_plain(f, AF_INET, 20);
	no_memory = true;
	assert_int_equal(ipq_queue_recv(q, p, 64, 0), 1);
	no_memory = false;
	assert_int_equal(fake_waiting(f), 256);
	assert_int_equal(q->stats.dropped, 2);
	assert_int_equal(q->stats.sends, 2);
}

static void spinning_ends_with_the_timeout(void **state)
{
	int64_t before = now_ms();
	struct ipq_packet p;

	(void)state;
	q->spin_usec = q->spin_now = 2000000;
	assert_int_equal(ipq_queue_recv(q, &p, 1, 5), 0);
	assert_in_range(now_ms() - before, 5, 1500);
}

static void push_one(void *context)
{
	fake_push_plain(context, AF_INET, 20);
}

static void push_one_late(void *context)
{
	usleep(1000);
	push_one(context);
}

/*
 * The reader spins for the full time again after a packet that arrived in time, and for half as long after a later
 * one.
 */
static void spinning_time_is_halved_if_no_packet_arrives_in_it(void **state)
{
	struct ipq_packet p;

	(void)state;
	f->context = f;
	for (unsigned i = 0; i < 2; i++) {
		q->spin_usec = i == 0 ? 10000000 : 100;
		q->spin_now = 40;
		f->meanwhile = i == 0 ? push_one : push_one_late;
		assert_int_equal(ipq_queue_recv(q, &p, 1, IPQ_FOREVER), 1);
		assert_int_equal(q->spin_now, i == 0 ? 10000000 : 20);
	}
}

static void verdict_refused_with_eperm_ends_the_receive(void **state)
{
	struct ipq_packet p;

	(void)state;
	f->refusal[f->refusals++] = (struct source_refusal){ .error = EPERM };
	assert_int_equal(ipq_queue_recv(q, &p, 1, IPQ_FOREVER), -EPERM);
}

static void pending_verdicts_are_sent_by_close(void **state)
{
	struct ipq_packet p;

	(void)state;
	receive(&p, 1, AF_INET);
	assert_int_equal(ipq_accept(q, &p), 0);
	ipq_queue_close(q);
	assert_int_equal(fake_waiting(f), 0);
	assert_int_equal(queue_create(&q, fake_source(f), 4096, 0, 0), 0);
}

/* Receives two packets, between which another process or a cancelled reader has received a packet. */
static void no_batch_over(void (*gap)(void))
{
	struct ipq_packet p[2], theirs;

	receive(&p[0], 1, AF_INET);
	fake_push_plain(f, AF_INET, 20);
	fake_receive(f, &theirs);
	gap();
	receive(&p[1], 1, AF_INET);
	assert_int_equal(ipq_accept(q, &p[0]), 0);
	assert_int_equal(ipq_accept(q, &p[1]), 0);
	assert_false(sent(NULL).batch);
	assert_false(sent(NULL).batch);
	assert_int_equal(fake_waiting(f), 1);
}

static void by_a_fork(void)
{
	atomic_fetch_add(&fork_count, 1);
}

static void exit_thread(void *context)
{
	(void)context;
	pthread_exit(NULL);
}

static void *read_once(void *packet)
{
	ipq_queue_recv(q, packet, 1, 0);
	return packet;
}

static void by_a_cancelled_reader(void)
{
	struct ipq_packet p;
	void *result = &p;
	pthread_t reader;

	f->meanwhile = exit_thread;
	assert_int_equal(pthread_create(&reader, NULL, read_once, &p), 0);
	assert_int_equal(pthread_join(reader, &result), 0);
	assert_null(result);
}

static void no_batch_covers_packets_of_another_process(void **state)
{
	(void)state;
	no_batch_over(by_a_fork);
}

static void no_batch_covers_packets_of_a_cancelled_reader(void **state)
{
	(void)state;
	no_batch_over(by_a_cancelled_reader);
}

/* A fork alone has no effect, because the ids have no gap. */
static void batches_are_used_after_a_fork(void **state)
{
	struct ipq_packet p[4];

	(void)state;
	by_a_fork();
	q->last_id = f->next_id - 1;
	receive(p, 2, AF_INET);
	receive(p + 2, 2, AF_INET);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(ipq_accept(q, &p[i]), 0);
	assert_true(sent(NULL).batch);
	assert_int_equal(fake_waiting(f), 0);
}

static void consecutive_packets_are_decided_by_one_message(void **state)
{
	struct ipq_packet p[EACH];
	unsigned sends;

	(void)state;
	receive(p, EACH, AF_INET);
	for (unsigned i = 0; i < EACH; i++)
		assert_int_equal(ipq_accept(q, &p[i]), 0);
	sends = f->sends;
	assert_int_equal(ipq_queue_flush(q), 0);
	assert_int_equal(f->sends, sends + 1);
	assert_true(sent(NULL).batch);
	assert_int_equal(fake_waiting(f), 0);
}

/* ---- replacements ------------------------------------------------------------------------------- */

/* After the call, the caller may change the bytes: only bytes in the packet itself may be sent without a copy. */
static void replacement_outside_of_the_packet_is_copied(void **state)
{
	struct ipq_packet p[6], *kept;
	uint8_t *bytes[6], own[20], before[6][40], got[40];
	size_t len[6];

	(void)state;
	receive(p, 6, AF_INET);
	kept = ipq_packet_keep(&p[5]);
	assert_non_null(kept);
	memset(own, 7, sizeof(own));
	bytes[0] = own, len[0] = sizeof(own);
	bytes[1] = p[1].payload, len[1] = 21;	  /* the bytes end after the packet */
	bytes[2] = p[2].payload + 19, len[2] = 2; /* the same, with other lengths */
	bytes[3] = p[3].payload - 1, len[3] = 10; /* the bytes begin before the packet */
	bytes[4] = p[0].payload, len[4] = 20;	  /* the bytes are in another packet */
	bytes[5] = kept->payload, len[5] = 20;	  /* the bytes are in a kept packet */
	for (unsigned i = 0; i < 6; i++) {
		memcpy(before[i], bytes[i], len[i]);
		assert_int_equal(ipq_replace(q, i < 5 ? &p[i] : kept, bytes[i], len[i]), 0);
		memset(bytes[i], 0xee, len[i]);
		assert_int_equal(sent(got).payload_len, len[i]);
		assert_memory_equal(got, before[i], len[i]);
	}
	ipq_packet_free(kept);
}

static void length_of_replacement_is_limited(void **state)
{
	static uint8_t bytes[NFQ_PAYLOAD_MAX + 1];
	struct ipq_packet p;

	(void)state;
	receive(&p, 1, AF_INET);
	assert_int_equal(ipq_replace(q, &p, NULL, 20), -EINVAL);
	assert_int_equal(ipq_replace(q, &p, bytes, 0), -EINVAL);
	assert_int_equal(ipq_replace(q, &p, bytes, NFQ_PAYLOAD_MAX + 1), -EMSGSIZE);
	assert_int_equal(ipq_replace(q, &p, bytes, NFQ_PAYLOAD_MAX), 0);
	assert_int_equal(sent(NULL).payload_len, NFQ_PAYLOAD_MAX);
}

/* A UDP packet from 10.0.0.1 to 10.0.0.2 with 4 bytes. Its checksum is that of the pseudo-header, or complete. */
static void partial_checksum_is_completed_once(void **state)
{
	static const uint8_t udp[32] = { 0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0,	   0,	 10,  0,   0,	1,
					 10,   0, 0, 2,	 0, 7, 0, 9, 0,	 12, 0x14, 0x1d, 'a', 'b', 'c', 'd' };
	struct ipq_packet p[2];
	uint8_t bytes[32], partial[32], complete[32];

	(void)state;
	receive(p, 2, AF_INET);
	memcpy(bytes, udp, sizeof(bytes));
	p[0].flags |= IPQ_PACKET_CHECKSUM_NOT_READY;
	assert_int_equal(ipq_replace(q, &p[0], bytes, sizeof(bytes)), 0);
	sent(complete);
	assert_memory_equal(complete + 12, udp + 12, 14);
	assert_memory_not_equal(complete + 26, udp + 26, 2);
	assert_memory_equal(bytes, udp, sizeof(bytes)); /* the copy was completed, not the caller's bytes */
	assert_int_equal(ipq_replace(q, &p[1], bytes, sizeof(bytes)), 0);
	sent(partial);
	assert_memory_equal(partial, udp, sizeof(udp));
}

static void pending_replacement_is_sent_before_its_memory_is_detached(void **state)
{
	struct ipq_packet p;
	void *memory;
	size_t size;

	(void)state;
	receive(&p, 1, AF_INET);
	assert_int_equal(ipq_replace(q, &p, p.payload, 20), 0);
	assert_int_equal(ipq_queue_detach_memory(q, &memory, &size), 0);
	assert_int_equal(fake_waiting(f), 0);
	munmap(memory, size);
}

/* ---- limits of pending verdicts ------------------------------------------------------------------- */

static void replacements_over_1_mib_are_sent(void **state)
{
	static uint8_t bytes[65000];
	struct ipq_packet p[17];
	unsigned sends;

	(void)state;
	receive(p, 17, AF_INET);
	sends = f->sends;
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(ipq_replace(q, &p[i], bytes, sizeof(bytes)), 0);
	assert_int_equal(f->sends, sends);
	assert_int_equal(ipq_replace(q, &p[16], bytes, sizeof(bytes)), 0);
	assert_true(f->sends > sends);
	assert_int_equal(fake_waiting(f), 0);
}

/*
 * Gives this verdict to n waiting packets before the next receive. Returns how many packets wait after the last
 * call.
 */
static size_t waiting_after(unsigned n, const struct ipq_verdict *v)
{
	struct ipq_packet *p = calloc(n, sizeof(*p));
	size_t waiting;

	assert_non_null(p);
	for (unsigned i = 0; i < n; i += SOURCE_BATCH_MAX)
		receive(p + i, SOURCE_BATCH_MAX, AF_INET);
	/* the newest packet first, because the fake source finds it faster */
	for (unsigned i = n; i > 0; i--)
		assert_int_equal(ipq_decide(q, &p[i - 1], v), 0);
	waiting = fake_waiting(f);
	free(p);
	return waiting;
}

static void number_of_pending_verdicts_is_limited(void **state)
{
	struct ipq_verdict v = { .size = sizeof(v), .code = IPQ_DROP };

	(void)state;
	assert_int_equal(waiting_after(EXTRAS_MAX, &v), EXTRAS_MAX);
	assert_int_equal(ipq_queue_flush(q), 0);
	v.present = IPQ_SET_PRIORITY;
	assert_int_equal(waiting_after(EXTRAS_MAX, &v), 0);
	v.present = 0;
	assert_int_equal(waiting_after(PENDING_MAX, &v), 0);
}

/* ---- a busy queue -------------------------------------------------------------------------------- */

static uint8_t replacement_of(uint32_t id)
{
	return (uint8_t)(id * 7 + 1);
}

/* Checks that each packet that was decided has its own replacement. Returns how many there were. */
static unsigned check_replacements(void)
{
	struct fake_verdict *v;
	unsigned n = 0;

	for (; (v = fake_verdict(f)) != NULL; n++) {
		assert_true(v->replaced);
		assert_int_equal(v->payload_len, 20);
		for (unsigned i = 0; i < 20; i++)
			assert_int_equal(v->payload[i], replacement_of(v->id));
		fake_verdict_free(v);
	}
	return n;
}

/*
 * Makes many full receives. in_place: replaces the bytes of the packet itself. Returns after how many receives
 * verdicts were deferred.
 */
static unsigned replace_on_busy_queue(bool in_place, int timeout_ms)
{
	unsigned deferred = 0, decided = 0;
	struct ipq_packet p[EACH];
	uint8_t own[20];

	for (unsigned round = 0; round < 200; round++) {
		for (unsigned i = 0; i < EACH; i++)
			fake_push_plain(f, AF_INET, 20);
		assert_int_equal(ipq_queue_recv(q, p, EACH, timeout_ms), EACH);
		deferred += fake_waiting(f) > EACH;
		decided += check_replacements();
		for (unsigned i = 0; i < EACH; i++) {
			uint8_t *to = in_place ? p[i].payload : own;

			memset(to, replacement_of(p[i].id), 20);
			assert_int_equal(ipq_replace(q, &p[i], to, 20), 0);
		}
	}
	/* No packet arrives: all verdicts are sent before the reader sleeps. */
	assert_int_equal(ipq_queue_recv(q, p, EACH, 1), 0);
	assert_int_equal(fake_waiting(f), 0);
	assert_int_equal(decided + check_replacements(), 200 * EACH);
	return deferred;
}

static void replacements_on_a_busy_queue_belong_to_their_packets(void **state)
{
	(void)state;
	assert_true(replace_on_busy_queue(false, 1000) > 0);
	/* Nothing may be deferred, because the next receive uses the slots again. */
	assert_int_equal(replace_on_busy_queue(true, 1000), 0);
	assert_true(replace_on_busy_queue(false, 1000) > 0);
}

static void note_sleep(void *context)
{
	assert_int_equal(f->timeout_ms, 1000);
	*(size_t *)context = fake_waiting(f);
	fake_push_plain(f, AF_INET, 20);
}

/* The first receive of a busy queue, with deferred verdicts: it must not wait. */
static void note_look(void *context)
{
	(void)context;
	if (f->timeout_ms == 0)
		f->meanwhile = note_sleep;
}

/* Repeats until the machine is fast enough once that verdicts are deferred. */
static void all_verdicts_are_sent_before_the_reader_sleeps(void **state)
{
	struct ipq_packet p[EACH];
	size_t deferred = 0, waiting;

	(void)state;
	f->context = &waiting;
	for (unsigned round = 0; round < 1000 && deferred == 0; round++) {
		for (unsigned i = 0; i < 20; i++) {
			receive(p, EACH, AF_INET);
			deferred = fake_waiting(f) - EACH;
			for (unsigned j = 0; j < EACH; j++)
				assert_int_equal(ipq_accept(q, &p[j]), 0);
		}
		waiting = 1;
		f->meanwhile = deferred > 0 ? note_look : note_sleep;
		assert_int_equal(ipq_queue_recv(q, p, EACH, 1000), 1);
		assert_int_equal(ipq_accept(q, p), 0);
		if (deferred > 0 && waiting == 1) /* the last receive was not moderated */
			deferred = 0;
		else
			assert_int_equal(waiting, 0);
		assert_int_equal(ipq_queue_flush(q), 0);
	}
	assert_true(deferred > 0);
}

static void receive_without_waiting_sends_all_verdicts_first(void **state)
{
	(void)state;
	assert_int_equal(replace_on_busy_queue(false, 0), 0);
}

/* ---- copies ------------------------------------------------------------------------------------- */

static struct source_verdict copied;
static size_t waiting_at_copy;

static int take_copy(struct source *s, const struct source_verdict *v)
{
	(void)s;
	copied = *v;
	waiting_at_copy = fake_waiting(f);
	return 0;
}

static void copy_has_the_replacement_and_follows_earlier_verdicts(void **state)
{
	struct ipq_verdict v = { .size = sizeof(v),
				 .code = IPQ_ACCEPT,
				 .present = IPQ_SET_PAYLOAD | IPQ_SET_MARK,
				 .payload = "a packet",
				 .payload_len = 8 };
	struct source_ops ops = *f->source.ops;
	struct ipq_packet p[2];

	(void)state;
	receive(p, 2, AF_INET);
	assert_int_equal(queue_copy(q, &p[1], &v), -EOPNOTSUPP);
	assert_int_equal(ipq_replace(q, &p[0], "copied bytes", 12), 0);
	assert_non_null(q->copies);
	assert_int_equal(ipq_queue_flush(q), 0);
	assert_null(q->copies);
	assert_int_equal(q->copies_size, 0);
	receive(p, 1, AF_INET);
	ops.copy = take_copy;
	f->source.ops = &ops;
	assert_int_equal(ipq_accept(q, &p[0]), 0);
	assert_int_equal(queue_copy(q, &p[1], &v), 0);
	assert_int_equal(waiting_at_copy, 1);
	assert_int_equal(copied.id, p[1].id);
	assert_int_equal(copied.present, IPQ_SET_PAYLOAD);
	assert_int_equal(copied.payload_len, 8);
	assert_ptr_equal(copied.payload, v.payload);
	v.present = 0;
	assert_int_equal(queue_copy(q, &p[1], &v), 0);
	assert_int_equal(copied.present, 0);
	f->send_error = EIO;
	assert_int_equal(ipq_accept(q, &p[1]), 0);
	assert_int_equal(queue_copy(q, &p[1], &v), -EIO);
	ipq_queue_close(q);
	q = NULL;
}

/* ---- failures ------------------------------------------------------------------------------------- */

static void memory_that_cannot_be_replaced_is_not_detached(void **state)
{
	struct ipq_packet p[2];
	void *memory = &p;
	size_t size = 1;
	int err;

	(void)state;
	receive(p, 2, AF_INET);
	no_memory = true;
	err = ipq_queue_detach_memory(q, &memory, &size);
	no_memory = false;
	assert_int_equal(err, -ENOMEM);
	assert_null(memory);
	assert_int_equal(size, 0);
	assert_int_equal(ipq_accept(q, &p[0]), 0);
	receive(p, 1, AF_INET);
}

static void replacement_without_memory_for_its_copy_is_refused(void **state)
{
	static const uint8_t bytes[1000] = { 0x45 };
	struct ipq_packet p;
	int err;

	(void)state;
	receive(&p, 1, AF_INET);
	no_memory = true;
	err = ipq_replace(q, &p, bytes, sizeof(bytes));
	no_memory = false;
	assert_int_equal(err, -ENOMEM);
	assert_int_equal(ipq_accept(q, &p), 0);
	assert_int_equal(sent(NULL).payload_len, 0);
}

static const char *no_text(const struct source *s)
{
	(void)s;
	return "";
}

static void error_without_a_text_of_the_source_has_one(void **state)
{
	struct source_ops ops = *f->source.ops;
	struct ipq_packet p;

	(void)state;
	ops.error = no_text;
	f->source.ops = &ops;
	receive(&p, 1, AF_INET);
	assert_int_equal(ipq_accept(q, &p), 0);
	f->send_error = EIO;
	assert_int_equal(ipq_queue_flush(q), -EIO);
	assert_non_null(strstr(ipq_queue_error(q), strerror(EIO)));
	ipq_queue_close(q);
	q = NULL;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(every_setting_is_sent),
		TEST(every_verdict_code_is_sent),
		TEST(mark_of_0_is_sent),
		TEST(invalid_verdicts_are_refused),
		TEST(receive_of_no_packet_is_refused_and_of_many_is_limited),
		TEST(statistics_count_what_was_sent),
		TEST(verdicts_of_a_failed_send_stay_pending),
		TEST(verdicts_that_a_send_does_not_take_are_sent_later),
		TEST(losses_of_the_source_are_in_the_statistics),
		TEST(signals_and_wakes_are_returned_as_such),
		TEST(packet_without_memory_for_its_record_is_dropped),
		TEST(only_packets_without_memory_for_their_record_are_dropped),
		TEST(spinning_ends_with_the_timeout),
		TEST(spinning_time_is_halved_if_no_packet_arrives_in_it),
		TEST(batches_are_used_after_a_fork),
		TEST(verdict_refused_with_eperm_ends_the_receive),
		TEST(pending_verdicts_are_sent_by_close),
		TEST(consecutive_packets_are_decided_by_one_message),
		TEST(no_batch_covers_packets_of_another_process),
		TEST(no_batch_covers_packets_of_a_cancelled_reader),
		TEST(replacement_outside_of_the_packet_is_copied),
		TEST(length_of_replacement_is_limited),
		TEST(partial_checksum_is_completed_once),
		TEST(pending_replacement_is_sent_before_its_memory_is_detached),
		TEST(replacements_over_1_mib_are_sent),
		TEST(number_of_pending_verdicts_is_limited),
		TEST(replacements_on_a_busy_queue_belong_to_their_packets),
		TEST(all_verdicts_are_sent_before_the_reader_sleeps),
		TEST(receive_without_waiting_sends_all_verdicts_first),
		TEST(copy_has_the_replacement_and_follows_earlier_verdicts),
		TEST(memory_that_cannot_be_replaced_is_not_detached),
		TEST(replacement_without_memory_for_its_copy_is_refused),
		TEST(error_without_a_text_of_the_source_has_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
