// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The verdicts that the source gets for rules of ipq filter, including marks, queues, delays, and the end of the
 * filter.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h> /* must precede <linux/netfilter.h> */
#include <linux/netfilter.h>
#include <stdlib.h>
#include <string.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "core/core.h"
#include "fake.h"
#include "filter/decide.h"
#include "util/bytes.h"

#define MS INT64_C(1000000)
#define OWN_QUEUE 300

static struct fake *f;
static struct decide_common common;
static struct session session;
static struct worker worker;

/* ---- replacements for the functions of the session --------------------------------------------------- */

void session_accept(struct worker *w, const struct ipq_packet *packet, struct ipq_verdict *verdict)
{
	(void)w;
	(void)packet;
	(void)verdict;
}

bool session_advance_clock(struct worker *w, const struct ipq_packet *packet)
{
	(void)w;
	(void)packet;
	return false;
}

int64_t session_packet_time(const struct worker *w, const struct ipq_packet *packet)
{
	(void)packet;
	return w->now;
}

void session_interface(struct worker *w, const struct ipq_packet *packet, bool in, char name[32])
{
	(void)w;
	(void)packet;
	(void)in;
	name[0] = '\0';
}

/* ---- replacements for the functions that write and send ---------------------------------------------- */

static unsigned records, copies;
static char comment[64]; /* the comment of the last record */
static uint8_t copied[64];
static bool no_copy;

bool __wrap_output_record(struct output *o, const struct pcapng_record *r);
bool __wrap_output_record(struct output *o, const struct pcapng_record *r)
{
	(void)o;
	records++;
	snprintf(comment, sizeof(comment), "%s", r->comment);
	return true;
}

bool __wrap_send_copy(struct injector *in, struct worker *w, const struct ipq_packet *packet,
		      const void *bytes, size_t len);
bool __wrap_send_copy(struct injector *in, struct worker *w, const struct ipq_packet *packet,
		      const void *bytes, size_t len)
{
	(void)in;
	(void)w;
	(void)packet;
	copies++;
	memcpy(copied, bytes, len < sizeof(copied) ? len : sizeof(copied));
	return !no_copy;
}

/* ---- interfaces -------------------------------------------------------------------------------------- */

int __wrap_ioctl(int fd, unsigned long request, struct ifreq *r);
int __wrap_ioctl(int fd, unsigned long request, struct ifreq *r)
{
	(void)fd;
	if (request != SIOCGIFMTU)
		return -1;
	r->ifr_mtu = strcmp(r->ifr_name, "narrow") == 0 ? 100 : 1000;
	return 0;
}

/* ---- the verdicts that fail -------------------------------------------------------------------------- */

static int next_error; /* the error of the next verdict */

int __real_ipq_decide(struct ipq_queue *q, const struct ipq_packet *packet,
		      const struct ipq_verdict *verdict);
int __wrap_ipq_decide(struct ipq_queue *q, const struct ipq_packet *packet,
		      const struct ipq_verdict *verdict);
int __wrap_ipq_decide(struct ipq_queue *q, const struct ipq_packet *packet, const struct ipq_verdict *verdict)
{
	int err = next_error;

	next_error = 0;
	return err < 0 ? err : __real_ipq_decide(q, packet, verdict);
}

/* ------------------------------------------------------------------------------------------------- */

/* Starts a worker that uses these rules. */
static void begin(const char *const *text, unsigned n)
{
	struct active_rules_source from = { .text = (char *const *)text, .count = n };
	struct active_rules *rules;

	memset(&common, 0, sizeof(common));
	memset(&session, 0, sizeof(session));
	memset(&worker, 0, sizeof(worker));
	assert_int_equal(active_rules_load(&rules, &from, 1), 0);
	common.active_rules = rules;
	assert_int_equal(edits_open(&common.edits, false), 0);
	common.injector.ipv4 = common.injector.ipv6 = -1;
	session.context = &common;
	session.queue_first = session.queue_last = OWN_QUEUE;
	session.workers = 1;
	session.worker = &worker;
	worker.session = &session;
	worker.now = 1000 * MS;
	worker.context = filter_worker_new(&common, 7);
	assert_non_null(worker.context);
	f = fake_new(false);
	assert_int_equal(queue_create(&worker.queue, fake_source(f), 4096, IPQ_O_CONNTRACK, 0), 0);
}

static void end(void)
{
	ipq_queue_close(worker.queue);
	fake_free(f);
	filter_worker_free(worker.context);
	edits_close(&common.edits);
	active_rules_free(common.active_rules);
}

/* Delivers a UDP packet of 40 bytes, to this port and with this mark. */
static void arrives(uint16_t port, uint32_t mark)
{
	uint8_t bytes[40] = { 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 7 };
	struct ipq_packet p = { .family = AF_INET, .hook = 1, .present = IPQ_HAS_MARK, .mark = mark };

	bytes[22] = (uint8_t)(port >> 8);
	bytes[23] = (uint8_t)port;
	bytes[25] = 20;
	fake_push(f, &p, bytes, sizeof(bytes));
	assert_int_equal(ipq_queue_recv(worker.queue, worker.packet, 1, 1000), 1);
	assert_int_equal(decide_batch(&worker, 1), 0);
	assert_int_equal(ipq_queue_flush(worker.queue), 0);
}

/* Returns the next verdict that was sent; id 0: none. */
static struct source_verdict sent(void)
{
	struct fake_verdict *v = fake_verdict(f);
	struct source_verdict given = { .id = 0 };

	if (v != NULL)
		given = v->given;
	fake_verdict_free(v);
	return given;
}

static struct source_verdict verdict_on(uint16_t port, uint32_t mark)
{
	arrives(port, mark);
	return sent();
}

/* Returns the counters of a rule. Valid until the next call. */
static const struct counters *counters(unsigned rule)
{
	static struct counters sum;

	active_rules_sum(common.active_rules, rule, &sum);
	return &sum;
}

static void marks_change_their_bits_and_are_seen_by_later_rules(void **state)
{
	static const char *const text[] = { "mark 0x10/0xf0 udp port 1", "mark 7 udp port 2",
					    "mark 0 udp port 3", "drop mark 7" };
	struct source_verdict v;

	(void)state;
	begin(text, 4);
	v = verdict_on(1, 0xabcd);
	assert_int_equal(v.present, IPQ_SET_MARK);
	assert_int_equal(v.mark, 0xab1d);
	assert_int_equal(v.code, NF_ACCEPT);
	/* the mark that an earlier rule has given to the packet is tested */
	assert_int_equal(verdict_on(2, 0xabcd).code, NF_DROP);
	v = verdict_on(3, 5);
	assert_int_equal(v.present, IPQ_SET_MARK);
	assert_int_equal(v.mark, 0);
	assert_int_equal(verdict_on(5, 7).code, NF_DROP);
	v = verdict_on(5, 8);
	assert_int_equal(v.present, 0);
	assert_int_equal(v.code, NF_ACCEPT);
	end();
}

static void marks_of_connections_add_up(void **state)
{
	static const char *const text[] = { "ctmark 0x1/0xf udp", "ctmark 0x20/0xf0 udp",
					    "ctmark 0x2/0xf udp port 2" };
	struct source_verdict v;

	(void)state;
	begin(text, 3);
	v = verdict_on(1, 0);
	assert_int_equal(v.present, IPQ_SET_CONNTRACK_MARK);
	assert_int_equal(v.conntrack_mark, 0x21);
	assert_int_equal(v.conntrack_mark_mask, 0xff);
	v = verdict_on(2, 0);
	assert_int_equal(v.conntrack_mark, 0x22);
	assert_int_equal(v.conntrack_mark_mask, 0xff);
	end();
}

static void packets_go_to_other_queues_but_not_to_their_own(void **state)
{
	static const char *const text[] = { "queue 301 udp port 1", "queue 300 udp port 2", "queue 65535" };

	(void)state;
	begin(text, 3);
	assert_int_equal(verdict_on(1, 0).code, NF_QUEUE_NR(301));
	assert_int_equal(verdict_on(2, 0).code, NF_ACCEPT);
	assert_int_equal(verdict_on(3, 0).code, NF_QUEUE_NR(65535U));
	end();
}

static void packet_is_repeated_once_by_each_rule(void **state)
{
	static const char *const text[] = { "repeat 9 udp", "repeat 10 udp port 1", "drop mark 10" };
	struct source_verdict v;

	(void)state;
	begin(text, 3);
	v = verdict_on(1, 0);
	assert_int_equal(v.code, NF_REPEAT);
	assert_int_equal(v.mark, 9);
	v = verdict_on(1, 9);
	assert_int_equal(v.code, NF_REPEAT);
	assert_int_equal(v.mark, 10);
	assert_int_equal(verdict_on(1, 10).code, NF_DROP);
	assert_int_equal(verdict_on(2, 9).code, NF_ACCEPT);
	end();
}

static void first_rule_that_ends_decides(void **state)
{
	static const char *const rules[] = { "accept udp port 1", "drop udp port 1 or udp port 2" };

	(void)state;
	begin(rules, 2);
	assert_int_equal(verdict_on(1, 0).code, NF_ACCEPT);
	assert_int_equal(verdict_on(2, 0).code, NF_DROP);
	assert_int_equal(verdict_on(3, 0).code, NF_ACCEPT);
	assert_int_equal(counters(0)->packets, 1);
	assert_int_equal(counters(0)->bytes, 40);
	assert_int_equal(counters(1)->packets, 1);
	assert_int_equal(counters(2)->packets, 1); /* matched by no rule */
	assert_int_equal(counters(1)->dropped, 0); /* only drops by chance or a rate are counted */
	end();
}

static void packets_beyond_a_rate_are_dropped_and_counted(void **state)
{
	static const char *const text[] = { "rate 10/s burst 2, mark 5 udp", "count udp" };

	(void)state;
	begin(text, 2);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(verdict_on(1, 0).code, i < 2 ? NF_ACCEPT : NF_DROP);
	assert_int_equal(counters(0)->packets, 5);
	assert_int_equal(counters(0)->dropped, 3);
	assert_int_equal(counters(1)->packets, 2); /* no rule is applied to a dropped packet */
	worker.now += 100 * MS;
	assert_int_equal(verdict_on(1, 0).code, NF_ACCEPT);
	end();
}

static void delays_add_up_and_keep_the_order(void **state)
{
	static const char *const text[] = { "delay 10ms udp", "delay 20ms udp port 1", "mark 5 udp port 1",
					    "drop udp port 9" };
	struct source_verdict v;

	(void)state;
	begin(text, 4);
	arrives(1, 0);
	arrives(2, 0);
	assert_int_equal(sent().id, 0);
	assert_int_equal(verdict_on(9, 0).code, NF_DROP); /* decided immediately */
	assert_int_equal(decide_timeout(&worker), 10);
	worker.now += 10 * MS;
	decide_wake(&worker);
	assert_int_equal(ipq_queue_flush(worker.queue), 0);
	v = sent();
	assert_int_equal(v.present, 0);
	assert_int_equal(v.code, NF_ACCEPT);
	assert_int_equal(sent().id, 0);
	assert_int_equal(decide_timeout(&worker), 20);
	worker.now += 20 * MS - 1;
	decide_wake(&worker);
	assert_int_equal(ipq_queue_flush(worker.queue), 0);
	assert_int_equal(sent().id, 0);
	worker.now++;
	decide_wake(&worker);
	assert_int_equal(ipq_queue_flush(worker.queue), 0);
	v = sent();
	assert_int_equal(v.present, IPQ_SET_MARK);
	assert_int_equal(v.mark, 5);
	assert_int_equal(decide_timeout(&worker), -1);
	end();
}

static void delayed_packet_is_decided_after_a_failure(void **state)
{
	static const char *const text[] = { "delay 10ms udp" };

	(void)state;
	begin(text, 1);
	arrives(1, 0);
	arrives(2, 0);
	worker.now += 10 * MS;
	next_error = -ENOMEM;
	assert_int_equal(decide_wake(&worker), -ENOMEM);
	assert_int_equal(decide_wake(&worker), 0);
	assert_int_equal(ipq_queue_flush(worker.queue), 0);
	assert_int_equal(fake_waiting(f), 0);
	end();
}

/* A packet may be delayed while another one waits for the next segment. */
static void worker_wakes_at_the_first_of_its_times(void **state)
{
	static const char *const text[] = { "delay 15ms udp" };
	struct filter_worker *d;

	(void)state;
	begin(text, 1);
	d = worker.context;
	common.hold = 20 * MS;
	d->hold.count = 1;
	d->hold.held[0].since = worker.now;
	assert_int_equal(decide_timeout(&worker), 20);
	arrives(1, 0);
	assert_int_equal(decide_timeout(&worker), 15);
	d->hold.held[0].since -= 10 * MS;
	assert_int_equal(decide_timeout(&worker), 10);
	d->hold.count = 0;
	end();
}

static void held_packets_leave_at_the_end(void **state)
{
	static const char *const text[] = { "delay 1s udp", "queue 7 udp port 1" };
	unsigned queued = 0, accepted = 0;

	(void)state;
	begin(text, 2);
	for (unsigned i = 0; i < 50; i++)
		arrives((uint16_t)(1 + i % 2), 0);
	assert_int_equal(fake_waiting(f), 50);
	decide_finish(&worker);
	assert_int_equal(ipq_queue_flush(worker.queue), 0);
	assert_int_equal(fake_waiting(f), 0);
	for (unsigned i = 0; i < 50; i++) {
		struct source_verdict v = sent();

		if (v.id == 0)
			break;
		queued += v.code == NF_QUEUE_NR(7);
		accepted += v.code == NF_ACCEPT;
	}
	assert_int_equal(queued, 25);
	assert_true(accepted > 0);
	end();
}

static void records_are_those_that_were_asked_for(void **state)
{
	static const char *const text[] = { "record udp port 1", "drop udp port 2" };
	static const struct {
		enum record_what what;
		bool selected;
		unsigned of[3]; /* number of packets to each of the ports 1 to 3 */
	} all[] = { { RECORD_ALL, false, { 1, 1, 1 } },
		    { RECORD_DROP, false, { 0, 1, 0 } },
		    { RECORD_ACCEPT, false, { 1, 0, 1 } },
		    { RECORD_ALL, true, { 1, 0, 0 } },
		    { RECORD_DROP, true, { 0, 0, 0 } } };

	(void)state;
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		begin(text, 2);
		common.record = true;
		common.record_what = all[i].what;
		((struct active_rules *)common.active_rules)->selects_records = all[i].selected;
		for (unsigned k = 0; k < 3; k++) {
			records = 0;
			arrives((uint16_t)(1 + k), 0);
			assert_int_equal(records, all[i].of[k]);
		}
		common.record = false;
		arrives(1, 0);
		assert_int_equal(records, all[i].of[2]);
		end();
	}
	begin(text, 2);
	common.record = true;
	((struct active_rules *)common.active_rules)->selects_records = false;
	arrives(2, 0);
	assert_string_equal(comment, "drop: drop udp port 2");
	arrives(3, 0);
	assert_string_equal(comment, "accept: no rule matched");
	end();
}

static void copies_are_those_of_packets_that_pass(void **state)
{
	static const char *const text[] = { "duplicate udp", "duplicate udp port 1", "drop udp port 2",
					    "rewrite /AAA/BBB/ udp port 3" };

	(void)state;
	begin(text, 4);
	for (uint16_t port = 1; port <= 3; port++) {
		copies = 0;
		assert_int_equal(verdict_on(port, 0).code, port == 2 ? NF_DROP : NF_ACCEPT);
		assert_int_equal(copies, port == 1 ? 2 : port == 2 ? 0 : 1);
	}
	assert_int_equal(copied[23], 3); /* the complete packet was copied */
	assert_int_equal(counters(0)->not_edited, 0);
	no_copy = true;
	arrives(4, 0);
	no_copy = false;
	assert_int_equal(counters(0)->not_edited, 1);
	end();
}

/* No rule can be applied to a packet whose headers are longer than the copied bytes. */
static void packet_with_hidden_ports_is_dropped(void **state)
{
	static const char *const text[] = { "drop udp port 1" };
	uint8_t bytes[60] = { 0x60, 0, 0, 0, 0, 160, 0, 64, 0xfd };
	struct ipq_packet p = { .family = AF_INET6, .hook = 1, .flags = IPQ_PACKET_TRUNCATED };

	(void)state;
	begin(text, 1);
	bytes[40] = 17; /* UDP, after 160 bytes of options */
	bytes[41] = 19;
	fake_push(f, &p, bytes, sizeof(bytes));
	assert_int_equal(ipq_queue_recv(worker.queue, worker.packet, 1, 1000), 1);
	worker.packet[0].full_len = 200;
	assert_int_equal(decide_batch(&worker, 1), 0);
	assert_int_equal(ipq_queue_flush(worker.queue), 0);
	assert_int_equal(sent().code, NF_DROP);
	assert_int_equal(counters(1)->packets, 1); /* counted as matched by no rule */
	assert_int_equal(counters(1)->dropped, 1);
	end();
}

/* The next packet is edited in the same memory, so the text must be copied. */
static void text_of_a_delayed_packet_is_kept(void **state)
{
	static const char *const text[] = { "rewrite /#/1/ udp port 35", "rewrite /$/2/ udp port 36",
					    "delay 1s udp" };

	(void)state;
	begin(text, 3);
	/* ports whose low bytes are "#" and "$", which otherwise only the payload has */
	for (uint16_t port = 35; port <= 36; port++) {
		uint8_t bytes[40] = { 0x45, 0, 0, 40, 0,  0, 0, 0, 64, 17, 0, 0,
				      10,   0, 0, 1,  10, 0, 0, 2, 0,  7,  0 };
		struct ipq_packet p = { .family = AF_INET, .hook = 1 };

		bytes[23] = (uint8_t)port;
		bytes[25] = 20;
		memset(bytes + 28, port, 12);
		fake_push(f, &p, bytes, sizeof(bytes));
		assert_int_equal(ipq_queue_recv(worker.queue, worker.packet, 1, 1000), 1);
		assert_int_equal(decide_batch(&worker, 1), 0);
	}
	decide_finish(&worker);
	assert_int_equal(ipq_queue_flush(worker.queue), 0);
	for (unsigned i = 0; i < 2; i++) {
		struct fake_verdict *v = fake_verdict(f);

		assert_non_null(v);
		assert_true(v->replaced);
		assert_int_equal(v->payload_len, 40);
		assert_int_equal(v->payload[28], '1' + i);
		assert_int_equal(v->payload[29], 35 + i);
		fake_verdict_free(v);
	}
	end();
}

static void packets_that_grow_beyond_the_mtu_are_counted(void **state)
{
	static const char *const text[] = { "rewrite /#/+++/ udp" };
	uint32_t narrow = fake_interface("narrow", ARPHRD_ETHER), wide = fake_interface("wide", ARPHRD_ETHER);
	const struct {
		unsigned len;
		uint32_t outdev;
		bool beyond;
	} all[] = { { 98, narrow, false }, { 99, narrow, true },   { 99, wide, false }, { 99, narrow, true },
		    { 100, narrow, true }, { 101, narrow, false }, { 99, 0, false } };

	(void)state;
	begin(text, 1);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		uint8_t bytes[101] = { 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2 };
		struct ipq_packet p = { .family = AF_INET,
					.hook = NF_INET_LOCAL_OUT,
					.present = all[i].outdev != 0 ? IPQ_HAS_OUTDEV : 0,
					.outdev = all[i].outdev };
		uint64_t before = common.edits.beyond_mtu;

		bytes[3] = (uint8_t)all[i].len;
		bytes[25] = (uint8_t)(all[i].len - 20);
		bytes[30] = '#';
		fake_push(f, &p, bytes, all[i].len);
		assert_int_equal(ipq_queue_recv(worker.queue, worker.packet, 1, 1000), 1);
		assert_int_equal(decide_batch(&worker, 1), 0);
		assert_int_equal(ipq_queue_flush(worker.queue), 0);
		assert_int_equal(sent().payload_len, all[i].len + 2);
		assert_int_equal(common.edits.beyond_mtu - before, all[i].beyond);
	}
	end();
}

/* Each packet is rewritten at the first of our hooks that it passes. */
static void packet_is_rewritten_at_its_first_hook(void **state)
{
	static const char *const text[] = { "rewrite /#/+++/ udp" };
	const uint32_t eth = fake_interface("eth0", ARPHRD_ETHER);
	enum {
		PRE = 1U << NF_INET_PRE_ROUTING,
		IN = 1U << NF_INET_LOCAL_IN,
		FORWARD = 1U << NF_INET_FORWARD,
		OUT = 1U << NF_INET_LOCAL_OUT,
		POST = 1U << NF_INET_POST_ROUTING,
		FORWARDED = IPQ_HAS_INDEV | IPQ_HAS_OUTDEV
	};
	static const struct {
		unsigned ours;
		uint8_t hook;
		uint32_t present;
		bool before;
	} all[] = { { PRE | IN, NF_INET_PRE_ROUTING, IPQ_HAS_INDEV, false },
		    { PRE | IN, NF_INET_LOCAL_IN, IPQ_HAS_INDEV, true },
		    { IN | OUT, NF_INET_LOCAL_IN, IPQ_HAS_INDEV, false },
		    { PRE | FORWARD, NF_INET_FORWARD, FORWARDED, true },
		    { FORWARD | POST, NF_INET_FORWARD, FORWARDED, false },
		    { FORWARD | POST, NF_INET_POST_ROUTING, FORWARDED, true },
		    { PRE | POST, NF_INET_POST_ROUTING, FORWARDED, true },
		    { OUT | POST, NF_INET_POST_ROUTING, FORWARDED, false },
		    { OUT | POST, NF_INET_LOCAL_OUT, IPQ_HAS_OUTDEV, false },
		    { OUT | POST, NF_INET_POST_ROUTING, IPQ_HAS_OUTDEV, true },
		    { FORWARD | POST, NF_INET_POST_ROUTING, IPQ_HAS_OUTDEV, false } };

	(void)state;
	begin(text, 1);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const struct ipq_packet p = {
			.hook = all[i].hook, .present = all[i].present, .indev = eth, .outdev = eth
		};

		session.hooks = all[i].ours;
		assert_int_equal(
			edits_passed_before(&common.edits, &worker, common.active_rules, &p, IPPROTO_UDP),
			all[i].before);
	}
	end();
}

/* ---- TCP ------------------------------------------------------------------------------------------ */

/* Delivers a packet at this hook. Returns its verdict; the caller frees it. */
static struct fake_verdict *verdict_at(uint8_t hook, uint32_t indev, const void *bytes, size_t len)
{
	struct ipq_packet p = {
		.family = AF_INET, .hook = hook, .present = indev ? IPQ_HAS_INDEV : 0, .indev = indev
	};
	struct fake_verdict *v;

	fake_push(f, &p, bytes, len);
	assert_int_equal(ipq_queue_recv(worker.queue, worker.packet, 1, 1000), 1);
	assert_int_equal(decide_batch(&worker, 1), 0);
	assert_int_equal(ipq_queue_flush(worker.queue), 0);
	v = fake_verdict(f);
	assert_non_null(v);
	return v;
}

/* Writes a segment from 10.0.0.1 port 9 to 10.0.0.2 port 80, or back. Returns its length. */
static size_t segment(uint8_t *to, bool back, uint8_t flags, uint32_t sequence, uint32_t acknowledgement,
		      const char *text)
{
	size_t len = 40 + strlen(text);

	memset(to, 0, 40);
	memcpy(to, "\x45\0\0\0\0\0\0\0\x40\6", 10);
	to[3] = (uint8_t)len;
	memcpy(to + 12, back ? "\12\0\0\2\12\0\0\1" : "\12\0\0\1\12\0\0\2", 8);
	to[21] = back ? 80 : 9;
	to[23] = back ? 9 : 80;
	put32(to + 24, sequence);
	put32(to + 28, acknowledgement);
	to[32] = 0x50;
	to[33] = flags;
	to[34] = 0xff;
	memcpy(to + 40, text, strlen(text));
	assert_int_equal(ipq_checksum_complete(to, len), 0);
	return len;
}

/* The Content-Length field may become two digits longer, even if the text becomes shorter. */
static void http_rewrite_lowers_the_segment_size_for_its_length_field(void **state)
{
	static const char *const rules[] = {
		"rewrite http /evil/x/ tcp dst port 80", /* the SYN's direction */
		"rewrite http /evil/x/ tcp src port 80"
	}; /* that of the answers */
	struct fake_verdict *v;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		uint8_t syn[44];

		begin(&rules[i], 1);
		segment(syn, false, IPQ_TCP_SYN, 100, 0, "\2\4\5\xb4"); /* the option: 1460 */
		syn[32] = 0x60;
		assert_int_equal(ipq_checksum_complete(syn, sizeof(syn)), 0);
		v = verdict_at(NF_INET_LOCAL_OUT, 0, syn, sizeof(syn));
		assert_true(v->replaced);
		assert_int_equal(get16(v->payload + 42), 1458);
		assert_int_equal(ipq_checksum_verify(v->payload, v->payload_len), 0);
		fake_verdict_free(v);
		end();
	}
}

/* An error that this machine sends may quote a packet before its edit. Others quote it afterwards. */
static void quotes_are_moved_except_in_errors_of_this_machine(void **state)
{
	static const char *const text[] = { "rewrite /evil/goodness/ tcp" };
	const uint32_t eth = fake_interface("eth0", ARPHRD_ETHER);
	const struct {
		uint8_t hook;
		uint32_t indev;
		bool moved;
	} all[] = { { NF_INET_PRE_ROUTING, eth, true }, { NF_INET_LOCAL_IN, eth, true },
		    { NF_INET_FORWARD, eth, true },	{ NF_INET_LOCAL_OUT, 0, false },
		    { NF_INET_POST_ROUTING, 0, false }, { NF_INET_POST_ROUTING, eth, true } };
	uint8_t bytes[100];
	struct fake_verdict *v;

	(void)state;
	begin(text, 1);
	fake_verdict_free(verdict_at(1, eth, bytes, segment(bytes, false, IPQ_TCP_SYN, 100, 0, "")));
	fake_verdict_free(
		verdict_at(1, eth, bytes, segment(bytes, true, IPQ_TCP_SYN | IPQ_TCP_ACK, 500, 101, "")));
	v = verdict_at(1, eth, bytes, segment(bytes, false, IPQ_TCP_ACK, 101, 501, "evil"));
	assert_true(v->replaced);
	assert_int_equal(v->payload_len, 48);
	fake_verdict_free(v);
	v = verdict_at(1, eth, bytes, segment(bytes, false, IPQ_TCP_ACK, 105, 501, "more"));
	assert_int_equal(get32(v->payload + 24), 109);
	fake_verdict_free(v);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		uint8_t error[28 + 40] = { 0x45, 0,  0, 68, 0, 0,  0, 0, 64, 1, 0,
					   0,	 10, 0, 0,  2, 10, 0, 0, 1,  3, 4 };

		segment(error + 28, false, IPQ_TCP_ACK, 109, 501, "");
		assert_int_equal(ipq_checksum_complete(error, sizeof(error)), 0);
		v = verdict_at(all[i].hook, all[i].indev, error, sizeof(error));
		assert_int_equal(v->replaced, all[i].moved);
		if (v->replaced)
			assert_int_equal(get32(v->payload + 28 + 24), 105);
		fake_verdict_free(v);
	}
	end();
}

/* A loopback packet passes OUTPUT, POSTROUTING, PREROUTING and INPUT. */
static void loopback_packet_is_rewritten_at_its_first_hook(void **state)
{
	static const char *const text[] = { "rewrite /#/+++/" };
	static const uint8_t way[] = { NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING, NF_INET_PRE_ROUTING,
				       NF_INET_LOCAL_IN };
	const uint32_t lo = fake_interface("lo", ARPHRD_LOOPBACK);

	(void)state;
	begin(text, 1);
	for (unsigned ours = 1; ours < 16; ours++) { /* a bit for each hook on the way */
		session.hooks = 0;
		for (unsigned i = 0; i < 4; i++)
			session.hooks |= (ours >> i & 1) << way[i];
		for (unsigned i = 0; i < 4; i++) {
			bool out = way[i] >= NF_INET_LOCAL_OUT, before = (ours & ((1U << i) - 1)) != 0;
			const struct ipq_packet p = { .hook = way[i],
						      .present = out ? IPQ_HAS_OUTDEV : IPQ_HAS_INDEV,
						      .indev = out ? 0 : lo,
						      .outdev = out ? lo : 0 };

			assert_int_equal(edits_passed_before(&common.edits, &worker, common.active_rules, &p,
							     IPPROTO_UDP),
					 before);
			assert_int_equal(edits_passed_before(&common.edits, &worker, common.active_rules, &p,
							     IPPROTO_TCP),
					 before);
		}
	}
	end();
}

/*
 * With the user's own firewall rules, the hooks of TCP are learnt from the packets: both directions pass them in the
 * same order, so only the first one may change lengths.
 */
static void hooks_of_loopback_are_learnt_from_tcp_packets(void **state)
{
	static const char *const text[] = { "rewrite /#/+++/ mark 1" };
	const uint32_t lo = fake_interface("lo", ARPHRD_LOOPBACK);
	const struct ipq_packet first = { .hook = NF_INET_POST_ROUTING,
					  .present = IPQ_HAS_OUTDEV,
					  .outdev = lo };
	const struct ipq_packet last = { .hook = NF_INET_LOCAL_IN, .present = IPQ_HAS_INDEV, .indev = lo };

	(void)state;
	begin(text, 1);
	/* the first packet that was seen may have passed the other hook */
	assert_false(edits_passed_before(&common.edits, &worker, common.active_rules, &last, IPPROTO_TCP));
	assert_false(edits_passed_before(&common.edits, &worker, common.active_rules, &first, IPPROTO_TCP));
	assert_true(edits_passed_before(&common.edits, &worker, common.active_rules, &last, IPPROTO_TCP));
	assert_false(edits_passed_before(&common.edits, &worker, common.active_rules, &first, IPPROTO_TCP));
	assert_false(edits_passed_before(&common.edits, &worker, common.active_rules, &last, IPPROTO_UDP));
	/* A rule about metadata may match at a later hook only, so other packets are rewritten at any of them. */
	session.hooks = 1U << NF_INET_POST_ROUTING | 1U << NF_INET_LOCAL_IN;
	assert_true(edits_passed_before(&common.edits, &worker, common.active_rules, &last, IPPROTO_TCP));
	assert_false(edits_passed_before(&common.edits, &worker, common.active_rules, &last, IPPROTO_UDP));
	end();
}

static void option_that_a_packet_cannot_have_is_no_failure(void **state)
{
	static const char *const text[] = { "strip tcp option sack", "set ttl 9" };

	(void)state;
	begin(text, 2);
	arrives(1, 0); /* UDP */
	assert_int_equal(sent().present, IPQ_SET_PAYLOAD);
	assert_int_equal(counters(0)->not_edited, 0);
	assert_int_equal(counters(0)->places, 0);
	end();
}

static void edits_that_are_not_possible_are_counted_by_reason(void **state)
{
	static const char *const text[] = { "set src port 7" };
	uint64_t all = 0;

	(void)state;
	begin(text, 1);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t icmp[28] = { 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 8 };
		struct ipq_packet p = { .family = AF_INET, .hook = 1 };

		fake_push(f, &p, icmp, sizeof(icmp));
		assert_int_equal(ipq_queue_recv(worker.queue, worker.packet, 1, 1000), 1);
		assert_int_equal(decide_batch(&worker, 1), 0);
	}
	for (unsigned i = 0; i < IPQ_EDIT_REASON_COUNT; i++)
		all += common.edits.not_edited[i];
	assert_int_equal(counters(0)->not_edited, 2);
	assert_int_equal(all, 2);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(marks_change_their_bits_and_are_seen_by_later_rules),
		cmocka_unit_test(marks_of_connections_add_up),
		cmocka_unit_test(packets_go_to_other_queues_but_not_to_their_own),
		cmocka_unit_test(packet_is_repeated_once_by_each_rule),
		cmocka_unit_test(first_rule_that_ends_decides),
		cmocka_unit_test(packets_beyond_a_rate_are_dropped_and_counted),
		cmocka_unit_test(delays_add_up_and_keep_the_order),
		cmocka_unit_test(delayed_packet_is_decided_after_a_failure),
		cmocka_unit_test(worker_wakes_at_the_first_of_its_times),
		cmocka_unit_test(held_packets_leave_at_the_end),
		cmocka_unit_test(records_are_those_that_were_asked_for),
		cmocka_unit_test(copies_are_those_of_packets_that_pass),
		cmocka_unit_test(packet_with_hidden_ports_is_dropped),
		cmocka_unit_test(text_of_a_delayed_packet_is_kept),
		cmocka_unit_test(packets_that_grow_beyond_the_mtu_are_counted),
		cmocka_unit_test(packet_is_rewritten_at_its_first_hook),
		cmocka_unit_test(http_rewrite_lowers_the_segment_size_for_its_length_field),
		cmocka_unit_test(quotes_are_moved_except_in_errors_of_this_machine),
		cmocka_unit_test(loopback_packet_is_rewritten_at_its_first_hook),
		cmocka_unit_test(hooks_of_loopback_are_learnt_from_tcp_packets),
		cmocka_unit_test(option_that_a_packet_cannot_have_is_no_failure),
		cmocka_unit_test(edits_that_are_not_possible_are_counted_by_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
