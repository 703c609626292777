// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The ip_queue source, against the engine in the kernel's place and against what kernels of the time sent:
 * arguments are scripts of tests/replay, of which those of this word size are played.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <linux/netlink.h>
#include <linux/netfilter_ipv4/ip_queue.h>
#include "ipqueue/engine.h"
#include "fake.h"
#include <linux/netfilter.h>

#define ROOM 70000
#define MANY 100

static char **scripts;

static const struct source_config config = { .mode = COPY_PACKET, .queue_length = 1024 };

struct room {
	struct fake *fake;
	struct engine *engine;
	struct source *source;
	int source_fd; /* of a peer: the source's own */
	struct source_refusal refused[256];
	unsigned refusals;
};

static unsigned char memory[64][SOURCE_SLOT_SIZE];
static struct source_slot slot[64];
static struct ipq_packet packet[64];

static void note(void *context, const struct source_refusal *refusal)
{
	struct room *r = context;

	assert_true(r->refusals < 256);
	r->refused[r->refusals++] = *refusal;
}

static int receive(struct room *r, unsigned max, int timeout_ms)
{
	unsigned i;

	for (i = 0; i < max; i++)
		slot[i] = (struct source_slot){ .head = memory[i], .head_room = SOURCE_SLOT_SIZE };
	return r->source->ops->recv(r->source, slot, packet, max, timeout_ms, note, r);
}

static bool readable(const struct room *r)
{
	struct pollfd p = { .fd = r->source->ops->fd(r->source), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static struct source *open_on(const char *kind, int fd)
{
	struct source *s;
	char name[64];

	snprintf(name, sizeof(name), "%s:fd=%d", kind, fd);
	assert_int_equal(source_open(&s, name, NULL), 0);
	return s;
}

/* ---- the engine in the kernel's place ----------------------------------------------------------- */

static void *serve(void *engine)
{
	while (engine_step(engine, -1) != -ECANCELED)
		;
	return NULL;
}

static void settle(struct room *r)
{
	struct pollfd p = { .fd = engine_fd(r->engine), .events = POLLIN };
	int i, ret = 0;

	for (i = 0; i < 100000 && ret == 0 && poll(&p, 1, 0) > 0; i++)
		ret = engine_step(r->engine, 0);
	assert_true(i < 100000 && (ret == 0 || ret == -ENODATA));
}

/* The first request waits for its answer, so somebody must give it meanwhile. */
static int configure(struct room *r, const struct source_config *c, struct ipq_error *e)
{
	pthread_t thread;
	int ret;

	assert_int_equal(pthread_create(&thread, NULL, serve, r->engine), 0);
	ret = r->source->ops->configure(r->source, c, e);
	engine_wake(r->engine);
	pthread_join(thread, NULL);
	settle(r);
	return ret;
}

static void open_room(struct room *r, uint8_t family, bool capable)
{
	int pair[2];

	memset(r, 0, sizeof(*r));
	r->fake = fake_new(true);
	assert_int_equal(engine_open(&r->engine, fake_source(r->fake), NULL, NULL), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(engine_add(r->engine, pair[1], family, WIRE_NATIVE, 0, capable), 0);
	r->source = open_on(family == AF_INET6 ? "ip6_queue" : "ip_queue", pair[0]);
}

static void close_room(struct room *r)
{
	r->source->ops->close(r->source);
	engine_close(r->engine);
	fake_free(r->fake);
}

static void send_verdict(struct room *r, const struct source_verdict *v)
{
	assert_int_equal(r->source->ops->send(r->source, v, 1), 1);
	settle(r);
}

static void expect_verdict(struct room *r, uint32_t id, uint32_t code, size_t replaced)
{
	struct fake_verdict *v = fake_verdict(r->fake);

	assert_non_null(v);
	assert_int_equal(v->id, id);
	assert_int_equal(v->code, code);
	assert_int_equal(v->replaced, replaced != 0);
	if (replaced != 0)
		assert_int_equal(v->payload_len, replaced);
	fake_verdict_free(v);
}

static void packets_and_verdicts_pass(void **state)
{
	static const unsigned char instead[48] = { 0x45 };
	uint8_t family = *(const uint8_t *)*state;
	uint32_t id[3];
	struct room r;

	open_room(&r, family, true);
	assert_true(configure(&r, &config, NULL) >= 0);
	assert_false(readable(&r));
	for (int i = 0; i < 3; i++)
		id[i] = fake_push_plain(r.fake, family, 60 + (size_t)i);
	settle(&r);
	assert_true(readable(&r));
	assert_int_equal(receive(&r, 64, 0), 3);
	assert_false(readable(&r));
	assert_int_equal(packet[2].family, family);
	assert_int_equal(packet[2].payload_len, 62);
	assert_int_equal(packet[2].payload[61], 61);
	assert_int_equal(slot[2].payload_split, 62);
	send_verdict(&r, &(struct source_verdict){ .id = packet[1].id, .code = NF_DROP });
	send_verdict(&r, &(struct source_verdict){ .id = packet[0].id,
						   .code = NF_ACCEPT,
						   .present = IPQ_SET_PAYLOAD,
						   .payload = instead,
						   .payload_len = sizeof(instead) });
	expect_verdict(&r, id[1], NF_DROP, 0);
	expect_verdict(&r, id[0], NF_ACCEPT, sizeof(instead));
	assert_int_equal(fake_waiting(r.fake), 1);
	close_room(&r);
}

static void a_batch_means_each_that_waits_and_no_other(void **state)
{
	uint32_t id[MANY], ours[MANY];
	struct room r;
	int i, n, got = 0;

	(void)state;
	open_room(&r, AF_INET, true);
	assert_true(configure(&r, &config, NULL) >= 0);
	for (i = 0; i < MANY; i++)
		id[i] = fake_push_plain(r.fake, AF_INET, 40);
	settle(&r);
	while ((n = receive(&r, 64, 0)) > 0)
		for (i = 0; i < n; i++)
			ours[got++] = packet[i].id;
	assert_int_equal(got, MANY);
	/* One is decided by itself, in the same send: the batch is for the rest up to the last but one. */
	assert_int_equal(
		r.source->ops->send(r.source,
				    (const struct source_verdict[]){
					    { .id = ours[7], .code = NF_DROP },
					    { .id = ours[MANY - 2], .code = NF_ACCEPT, .batch = 1 } },
				    2),
		2);
	settle(&r);
	expect_verdict(&r, id[7], NF_DROP, 0);
	for (i = 0; i < MANY - 1; i++)
		if (i != 7)
			expect_verdict(&r, id[i], NF_ACCEPT, 0);
	assert_null(fake_verdict(r.fake));
	assert_int_equal(fake_waiting(r.fake), 1);
	assert_int_equal(receive(&r, 64, 0), 0);
	assert_int_equal(r.refusals, 0);
	close_room(&r);
}

static void expect_refusal(struct room *r, uint32_t id, int error, uint32_t tag)
{
	assert_true(readable(r));
	r->refusals = 0;
	assert_int_equal(receive(r, 64, 0), 0);
	assert_int_equal(r->refusals, 1);
	assert_int_equal(r->refused[0].error, error);
	assert_int_equal(r->refused[0].id, id);
	assert_int_equal(r->refused[0].tag, tag);
	assert_false(r->refused[0].mode);
	assert_false(readable(r));
}

static void what_ip_queue_cannot_carry_is_refused(void **state)
{
	static const unsigned char payload[65536];
	struct room r;
	uint32_t id;

	(void)state;
	open_room(&r, AF_INET, true);
	assert_true(configure(&r, &config, NULL) >= 0);
	fake_push_plain(r.fake, AF_INET, 40);
	settle(&r);
	assert_int_equal(receive(&r, 1, 0), 1);
	id = packet[0].id;
	send_verdict(&r, &(struct source_verdict){
				 .id = id, .code = NF_ACCEPT, .present = IPQ_SET_MARK, .tag = 1 });
	expect_refusal(&r, id, EOPNOTSUPP, 1);
	send_verdict(&r, &(struct source_verdict){ .id = id, .code = NF_QUEUE_NR(3), .tag = 2 });
	expect_refusal(&r, id, EOPNOTSUPP, 2);
	send_verdict(&r, &(struct source_verdict){ .id = id,
						   .code = NF_ACCEPT,
						   .present = IPQ_SET_PAYLOAD,
						   .payload = payload,
						   .payload_len = 65536,
						   .tag = 3 });
	expect_refusal(&r, id, EMSGSIZE, 3);
	send_verdict(&r, &(struct source_verdict){ .id = id + 1, .code = NF_ACCEPT, .tag = 4 });
	expect_refusal(&r, id + 1, ENOENT, 4);
	assert_int_equal(fake_waiting(r.fake), 1);
	send_verdict(&r, &(struct source_verdict){ .id = id, .code = NF_ACCEPT });
	assert_int_equal(fake_waiting(r.fake), 0);
	send_verdict(&r, &(struct source_verdict){ .id = id, .code = NF_ACCEPT, .tag = 5 }); /* twice */
	expect_refusal(&r, id, ENOENT, 5);
	close_room(&r);
}

static void a_refusal_of_the_other_end_names_packet_and_tag(void **state)
{
	struct room r;
	uint32_t id;

	(void)state;
	open_room(&r, AF_INET, true);
	assert_true(configure(&r, &config, NULL) >= 0);
	fake_push(r.fake, &(struct ipq_packet){ .family = AF_INET, .indev = 3, .present = IPQ_HAS_INDEV },
		  "x", 1);
	settle(&r);
	assert_int_equal(receive(&r, 1, 0), 1);
	id = packet[0].id;
	fake_forget(r.fake, 3);
	send_verdict(&r, &(struct source_verdict){ .id = id, .code = NF_DROP, .tag = 77 });
	settle(&r);
	expect_refusal(&r, id, ENOENT, 77);
	assert_int_equal(r.refused[0].code, NF_DROP);
	close_room(&r);
}

static void interfaces_have_numbers_names_and_types(void **state)
{
	uint32_t lo = fake_interface("lo", 772), eth = fake_interface("eth0", 1);
	char name[IFNAMSIZ];
	uint16_t type;
	struct room r;

	(void)state;
	open_room(&r, AF_INET, true);
	assert_true(configure(&r, &config, NULL) >= 0);
	for (int i = 0; i < 2; i++)
		fake_push(r.fake,
			  &(struct ipq_packet){ .family = AF_INET,
						.indev = lo,
						.outdev = eth,
						.hw_addr_len = 6,
						.present = IPQ_HAS_INDEV | IPQ_HAS_OUTDEV | IPQ_HAS_HWADDR },
			  "x", 1);
	settle(&r);
	assert_int_equal(receive(&r, 64, 0), 2);
	assert_int_equal(packet[0].indev, packet[1].indev);
	assert_int_not_equal(packet[0].indev, packet[0].outdev);
	source_interface(r.source, packet[0].indev, name, &type);
	assert_string_equal(name, "lo");
	assert_int_equal(type, 772);
	source_interface(r.source, packet[1].outdev, name, &type);
	assert_string_equal(name, "eth0");
	source_interface(r.source, 99, name, &type);
	assert_string_equal(name, "");
	close_room(&r);
}

static void a_range_cuts_and_says_so(void **state)
{
	struct source_config c = config;
	unsigned char ip[100] = { 0x45, 0, 0, 100 };
	struct room r;

	(void)state;
	c.range = 28;
	open_room(&r, AF_INET, true);
	assert_true(configure(&r, &c, NULL) >= 0);
	fake_push(r.fake, &(struct ipq_packet){ .family = AF_INET }, ip, sizeof(ip));
	settle(&r);
	assert_int_equal(receive(&r, 1, 0), 1);
	assert_int_equal(packet[0].payload_len, 28);
	assert_int_equal(packet[0].full_len, 100);
	assert_true(packet[0].flags & IPQ_PACKET_TRUNCATED);
	/* A later mode goes unacknowledged and holds from the next packet on. */
	c.mode = COPY_META;
	assert_true(r.source->ops->configure(r.source, &c, NULL) >= 0);
	settle(&r);
	fake_push_plain(r.fake, AF_INET, 50);
	settle(&r);
	assert_int_equal(receive(&r, 1, 0), 1);
	assert_false(packet[0].present & IPQ_HAS_PAYLOAD);
	close_room(&r);
}

static void a_small_slot_takes_what_fits(void **state)
{
	unsigned char head[SOURCE_HEAD_MIN], tail[100];
	struct source_slot small = {
		.head = head, .head_room = sizeof(head), .tail = tail, .tail_room = sizeof(tail)
	};
	size_t in_head = sizeof(head) - wire_packet_head(WIRE_NATIVE);
	struct ipq_packet p;
	struct room r;

	(void)state;
	open_room(&r, AF_INET, true);
	assert_true(configure(&r, &config, NULL) >= 0);
	fake_push_plain(r.fake, AF_INET, 4000);
	settle(&r);
	assert_int_equal(r.source->ops->recv(r.source, &small, &p, 1, 0, NULL, NULL), 1);
	assert_int_equal(p.payload_len, in_head + sizeof(tail));
	assert_int_equal(small.payload_split, in_head);
	assert_int_equal(tail[5], (in_head + 5) & 255);
	assert_int_equal(p.full_len, 4000);
	assert_true(p.flags & IPQ_PACKET_TRUNCATED);
	close_room(&r);
}

static void a_taken_queue_and_a_missing_right_are_told_apart(void **state)
{
	struct ipq_error e = { "" };
	struct room r;
	unsigned char request[64];
	size_t len = wire_put_mode(WIRE_NATIVE, request, 4711, COPY_META, 0);
	int pair[2];

	(void)state;
	open_room(&r, AF_INET, false);
	assert_int_equal(configure(&r, &config, &e), -EPERM);
	assert_non_null(strstr(e.text, "CAP_NET_ADMIN"));
	close_room(&r);
	open_room(&r, AF_INET, true);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(engine_add(r.engine, pair[1], AF_INET, WIRE_NATIVE, 0, true), 0);
	assert_int_equal(send(pair[0], request, len, 0), len);
	settle(&r);
	assert_int_equal(configure(&r, &config, &e), -EBUSY);
	assert_non_null(strstr(e.text, "another program"));
	close(pair[0]);
	close_room(&r);
}

static void the_end_of_the_other_side_is_the_end(void **state)
{
	struct room r;

	(void)state;
	open_room(&r, AF_INET, true);
	assert_true(configure(&r, &config, NULL) >= 0);
	fake_push_plain(r.fake, AF_INET, 40);
	fake_end(r.fake);
	settle(&r);
	assert_int_equal(receive(&r, 64, 0), 1);
	send_verdict(&r, &(struct source_verdict){ .id = packet[0].id, .code = NF_ACCEPT });
	engine_close(r.engine);
	assert_true(readable(&r));
	assert_int_equal(receive(&r, 64, -1), -ENODATA);
	assert_int_equal(receive(&r, 64, 0), -ENODATA);
	r.source->ops->close(r.source);
	fake_free(r.fake);
}

static void a_wake_ends_a_wait_once(void **state)
{
	struct room r;

	(void)state;
	open_room(&r, AF_INET, true);
	assert_int_equal(r.source->ops->wake(r.source), 0);
	assert_true(readable(&r));
	assert_int_equal(receive(&r, 64, -1), -ECANCELED);
	assert_false(readable(&r));
	assert_int_equal(receive(&r, 64, 1), 0);
	close_room(&r);
}

static void what_it_cannot_do_is_said(void **state)
{
	const struct source_config wishes = { .mode = COPY_PACKET,
					      .flags = IPQ_O_FAIL_OPEN | IPQ_O_CONNTRACK };
	struct ipq_error e = { "" };
	struct room r;

	(void)state;
	open_room(&r, AF_INET6, true);
	assert_int_equal(configure(&r, &wishes, &e), -EOPNOTSUPP);
	assert_non_null(strstr(e.text, "ip6_queue cannot fail open"));
	assert_true(configure(&r, &config, NULL) >= 0);
	close_room(&r);
}

static void an_end_that_nobody_holds_is_refused(void **state)
{
	struct ipq_error e = { "" };
	struct source *s;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	close(pair[1]);
	s = open_on("ip_queue", pair[0]);
	assert_int_equal(s->ops->configure(s, &config, &e), -ECONNREFUSED);
	assert_non_null(strstr(e.text, "nobody answers in ip_queue's place"));
	s->ops->close(s);
}

static void bad_names_say_what_is_wrong(void **state)
{
	static const char *const names[] = { "ip_queue:0", "ip_queue:fd=", "ip_queue:fd=x",
					     "ip6_queue:fd=99999999999" };
	struct ipq_error e = { "" };
	struct source *s;
	char name[32];
	int pair[2];
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		e.text[0] = '\0';
		assert_int_equal(source_open(&s, names[i], &e), -EINVAL);
		assert_null(s);
		assert_string_not_equal(e.text, "");
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	snprintf(name, sizeof(name), "ip_queue:fd=%d", pair[0]);
	assert_int_equal(source_open(&s, name, &e), -EINVAL);
	assert_non_null(strstr(e.text, "is a stream"));
	assert_int_equal(close(pair[0]) + close(pair[1]), 0);
	/* A descriptor that was not taken stays the caller's. */
	assert_int_equal(source_open(&s, "ip_queue:fd=0", &e), -ENOTSOCK);
	assert_true(lseek(0, 0, SEEK_CUR) >= 0 || errno != EBADF);
}

/* ---- what kernels of the time sent -------------------------------------------------------------- */

struct peer {
	struct room room;
	int fd; /* the kernel's end */
	bool bits_match;
	unsigned packets, errors;
};

static size_t bytes(unsigned char *buf, const char *text)
{
	size_t n = 0, zeros;
	unsigned byte;
	int used;

	while (*text != '\0' && *text != '\n') {
		if (*text == '*') {
			assert_int_equal(sscanf(text, "*%zu*%n", &zeros, &used), 1);
			assert_true(zeros <= ROOM - n);
			memset(buf + n, 0, zeros);
			n += zeros;
		} else {
			assert_int_equal(sscanf(text, "%2x%n", &byte, &used), 1);
			assert_true(n < ROOM);
			buf[n++] = (unsigned char)byte;
		}
		text += used;
	}
	return n;
}

/* The first request: NONE, to be acknowledged, from this process. */
static void *acknowledge(void *arg)
{
	const struct peer *p = arg;
	unsigned char request[256], answer[64];
	struct nlmsghdr nlh;
	ssize_t n = recv(p->fd, request, sizeof(request), 0);

	assert_int_equal(n, wire_request_head(WIRE_NATIVE));
	memcpy(&nlh, request, sizeof(nlh));
	assert_int_equal(nlh.nlmsg_type, IPQM_MODE);
	assert_int_equal(nlh.nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK);
	assert_int_equal(nlh.nlmsg_pid, getpid());
	assert_int_equal(request[16], IPQ_COPY_NONE);
	n = (ssize_t)wire_put_error(answer, 0, nlh.nlmsg_pid, request, WIRE_NLHDR);
	assert_int_equal(send(p->fd, answer, (size_t)n, 0), n);
	return NULL;
}

/* The second: the mode, unacknowledged. */
static void open_peer(struct peer *p, const char *kind)
{
	unsigned char request[256];
	struct nlmsghdr nlh;
	pthread_t thread;
	int pair[2];

	memset(p, 0, sizeof(*p));
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	p->fd = pair[1];
	p->room.source = open_on(kind, pair[0]);
	p->room.source_fd = pair[0];
	assert_int_equal(pthread_create(&thread, NULL, acknowledge, p), 0);
	assert_true(p->room.source->ops->configure(p->room.source, &config, NULL) >= 0);
	pthread_join(thread, NULL);
	assert_int_equal(recv(p->fd, request, sizeof(request), MSG_DONTWAIT), wire_request_head(WIRE_NATIVE));
	memcpy(&nlh, request, sizeof(nlh));
	assert_int_equal(nlh.nlmsg_flags, NLM_F_REQUEST);
	assert_int_equal(request[16], IPQ_COPY_PACKET);
	assert_int_equal(recv(p->fd, request, sizeof(request), MSG_DONTWAIT), -1);
}

static void close_peer(struct peer *p)
{
	p->room.source->ops->close(p->room.source);
	close(p->fd);
}

static void check_interface(const struct peer *p, uint32_t index, const char *name)
{
	char got[IFNAMSIZ];
	uint16_t type;

	source_interface(p->room.source, index, got, &type);
	assert_string_equal(got, name);
}

/* The fields as the kernel's own headers have them: an independent decoder. */
static void check_packet(struct peer *p, const unsigned char *message)
{
	static unsigned char request[256];
	ipq_packet_msg_t m;
	ipq_verdict_msg_t v;
	unsigned long id;

	memcpy(&m, message + NLMSG_HDRLEN, sizeof(m));
	assert_int_equal(receive(&p->room, 64, 0), 1);
	assert_int_equal(packet[0].hook, m.hook);
	assert_int_equal(packet[0].mark, m.mark);
	assert_int_equal(packet[0].timestamp, m.timestamp_sec * 1000000000LL + m.timestamp_usec * 1000LL);
	assert_int_equal((packet[0].present & IPQ_HAS_TIMESTAMP) != 0, m.timestamp_sec != 0);
	assert_int_equal(packet[0].hw_protocol, m.hw_protocol >> 8 | (m.hw_protocol & 255) << 8);
	assert_int_equal(packet[0].hw_addr_len, m.hw_addrlen);
	assert_memory_equal(packet[0].hw_addr, m.hw_addr, m.hw_addrlen);
	check_interface(p, packet[0].indev, m.indev_name);
	check_interface(p, packet[0].outdev, m.outdev_name);
	assert_int_equal(packet[0].payload_len, m.data_len);
	if (m.data_len > 0)
		assert_memory_equal(packet[0].payload, message + NLMSG_HDRLEN + sizeof(m), m.data_len);
	/* The verdict names the packet as the kernel did. */
	assert_int_equal(
		p->room.source->ops->send(
			p->room.source, &(struct source_verdict){ .id = packet[0].id, .code = NF_ACCEPT }, 1),
		1);
	assert_int_equal(recv(p->fd, request, sizeof(request), MSG_DONTWAIT), wire_request_head(WIRE_NATIVE));
	memcpy(&v, request + NLMSG_HDRLEN, sizeof(v));
	id = m.packet_id;
	assert_int_equal(v.id, id);
	assert_int_equal(v.value, NF_ACCEPT);
	assert_int_equal(v.data_len, 0);
	p->packets++;
}

static void check_error(struct peer *p, const unsigned char *message)
{
	int error;

	memcpy(&error, message + NLMSG_HDRLEN, sizeof(error));
	p->room.refusals = 0;
	assert_int_equal(receive(&p->room, 64, 0), 0);
	assert_int_equal(p->room.refusals, error != 0);
	if (error != 0)
		assert_int_equal(p->room.refused[0].error, -error);
	p->errors++;
}

static void play_line(struct peer *p, const char *line)
{
	static unsigned char message[ROOM];
	struct nlmsghdr nlh;
	size_t len;
	int at = 0, bits;

	if (sscanf(line, "bits %d", &bits) == 1)
		p->bits_match = bits == 8 * (int)sizeof(long);
	if (!p->bits_match || sscanf(line, "recv %*s %n", &at) < 0 || at == 0)
		return;
	len = bytes(message, line + at);
	memcpy(&nlh, message, sizeof(nlh));
	assert_int_equal(send(p->fd, message, len, 0), len);
	if (nlh.nlmsg_type == IPQM_PACKET)
		check_packet(p, message);
	else
		check_error(p, message);
}

static void packets_of_real_kernels_are_understood(void **state)
{
	static char line[2 * ROOM + 100];
	unsigned packets = 0, errors = 0;
	char **path;

	(void)state;
	for (path = scripts; *path != NULL; path++) {
		FILE *f = fopen(*path, "r");
		struct peer p;

		assert_non_null(f);
		open_peer(&p, strstr(*path, "ipv6") != NULL ? "ip6_queue" : "ip_queue");
		while (fgets(line, sizeof(line), f) != NULL)
			play_line(&p, line);
		packets += p.packets;
		errors += p.errors;
		close_peer(&p);
		fclose(f);
	}
	print_message("%u packets, %u answers\n", packets, errors);
	assert_true(*scripts == NULL || (packets > 100 && errors > 10));
}

static size_t plain_packet(unsigned char *message, uint64_t id)
{
	return wire_put_packet(WIRE_NATIVE, message, &(struct wire_packet){ .packet_id = id }, 0);
}

static void a_number_that_comes_again_is_another_packet(void **state)
{
	unsigned char message[256];
	struct source_verdict v = { .code = NF_DROP };
	struct peer p;
	size_t len = plain_packet(message, 0x88000e834120);

	(void)state;
	open_peer(&p, "ip_queue");
	assert_int_equal(send(p.fd, message, len, 0), len);
	assert_int_equal(receive(&p.room, 1, 0), 1);
	v.id = packet[0].id;
	/* Its device went down: the kernel forgets it and uses the memory again. */
	assert_int_equal(send(p.fd, message, len, 0), len);
	assert_int_equal(receive(&p.room, 1, 0), 1);
	assert_int_not_equal(packet[0].id, v.id);
	assert_int_equal(p.room.source->ops->send(p.room.source, &v, 1), 1);
	assert_int_equal(recv(p.fd, message, sizeof(message), MSG_DONTWAIT), -1);
	expect_refusal(&p.room, v.id, ENOENT, 0);
	close_peer(&p);
}

static void garbage_is_counted_and_survived(void **state)
{
	unsigned char message[256];
	struct source_counts c;
	struct peer p;
	size_t len = plain_packet(message, 1), i;

	(void)state;
	open_peer(&p, "ip_queue");
	for (i = 1; i < len; i++)
		assert_int_equal(send(p.fd, message, i, 0), i);
	assert_int_equal(send(p.fd, message, len, 0), len);
	for (i = 0; i < 10; i++)
		if (receive(&p.room, 64, 0) == 1)
			break;
	assert_true(i < 10);
	assert_int_equal(p.room.source->ops->counts(p.room.source, &c), 0);
	assert_int_equal(c.malformed, len - 1);
	assert_int_equal(c.waiting, 1);
	close_peer(&p);
}

/* Ids of n packets that wait. */
static void let_wait(struct peer *p, unsigned n, uint32_t *id)
{
	unsigned char message[256];
	unsigned i;

	for (i = 0; i < n; i++) {
		size_t len = plain_packet(message, 0x88000e800000 + 64 * i);

		assert_int_equal(send(p->fd, message, len, 0), len);
		assert_int_equal(receive(&p->room, 1, 0), 1);
		id[i] = packet[0].id;
	}
}

static unsigned waiting(const struct peer *p)
{
	struct source_counts c;

	assert_int_equal(p->room.source->ops->counts(p->room.source, &c), 0);
	return (unsigned)c.waiting;
}

/* More than leave in one call, in their order; and a batch of as many. */
static void many_verdicts_leave_together(void **state)
{
	static struct source_verdict v[3 * MANY];
	static uint32_t id[3 * MANY];
	unsigned char request[256];
	ipq_verdict_msg_t m;
	struct peer p;
	unsigned i;

	(void)state;
	open_peer(&p, "ip_queue");
	let_wait(&p, 2 * MANY, id);
	for (i = 0; i < 2 * MANY; i++)
		v[i] = (struct source_verdict){ .id = id[2 * MANY - 1 - i], .code = i % 2 };
	assert_int_equal(p.room.source->ops->send(p.room.source, v, 2 * MANY), 2 * MANY);
	for (i = 0; i < 2 * MANY; i++) {
		assert_int_equal(recv(p.fd, request, sizeof(request), MSG_DONTWAIT),
				 wire_request_head(WIRE_NATIVE));
		memcpy(&m, request + NLMSG_HDRLEN, sizeof(m));
		assert_int_equal(m.id, (unsigned long)(0x88000e800000 + 64 * (2 * MANY - 1 - i)));
		assert_int_equal(m.value, i % 2);
	}
	assert_int_equal(waiting(&p), 0);
	let_wait(&p, 3 * MANY, id);
	v[0] = (struct source_verdict){ .id = id[3 * MANY - 1], .code = NF_ACCEPT, .batch = 1 };
	assert_int_equal(p.room.source->ops->send(p.room.source, v, 1), 1);
	for (i = 0; i < 3 * MANY; i++)
		assert_int_equal(recv(p.fd, request, sizeof(request), MSG_DONTWAIT),
				 wire_request_head(WIRE_NATIVE));
	assert_int_equal(waiting(&p), 0);
	close_peer(&p);
}

/* What did not leave waits on, and the reason is there in words. */
static void verdicts_that_cannot_leave_are_not_lost(void **state)
{
	struct source_verdict v[2] = { { .code = NF_ACCEPT }, { .code = NF_DROP } };
	const struct source_ops *ops;
	uint32_t id[2];
	struct peer p;

	(void)state;
	open_peer(&p, "ip_queue");
	ops = p.room.source->ops;
	let_wait(&p, 2, id);
	v[0].id = id[0];
	v[1].id = id[1];
	assert_int_equal(shutdown(p.fd, SHUT_RD), 0);
	assert_int_equal(ops->send(p.room.source, v, 2), -EPIPE);
	assert_non_null(strstr(ops->error(p.room.source), "cannot send verdicts to ip_queue"));
	assert_int_equal(waiting(&p), 2);
	/* Still known, and still as they were: the same again is no "no such packet". */
	assert_int_equal(ops->send(p.room.source, v, 2), -EPIPE);
	assert_int_equal(receive(&p.room, 1, 0), 0);
	assert_int_equal(p.room.refusals, 0);
	close_peer(&p);
}

static void *read_all(void *arg)
{
	unsigned char request[70000];
	const struct peer *p = arg;

	usleep(50000); /* the sender waits by now */
	while (recv(p->fd, request, sizeof(request), 0) > 0)
		;
	return NULL;
}

/* The kernel takes a request at once; a socket in its place may be full for a moment. */
static void a_full_socket_is_waited_for(void **state)
{
	static struct source_verdict v[MANY];
	static unsigned char payload[60000];
	static uint32_t id[MANY];
	pthread_t reader;
	struct peer p;
	unsigned i;

	(void)state;
	open_peer(&p, "ip_queue");
	let_wait(&p, MANY, id);
	for (i = 0; i < MANY; i++)
		v[i] = (struct source_verdict){ .id = id[i],
						.code = NF_ACCEPT,
						.present = IPQ_SET_PAYLOAD,
						.payload = payload,
						.payload_len = sizeof(payload) };
	assert_int_equal(fcntl(p.room.source_fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(pthread_create(&reader, NULL, read_all, &p), 0);
	assert_int_equal(p.room.source->ops->send(p.room.source, v, MANY), MANY);
	assert_int_equal(waiting(&p), 0);
	shutdown(p.fd, SHUT_RD);
	pthread_join(reader, NULL);
	close_peer(&p);
}

/* A batch of verdicts of a kind that ip_queue does not have decides nothing. */
static void a_batch_that_it_cannot_carry_is_refused(void **state)
{
	struct source_verdict v = { .code = NF_ACCEPT, .batch = 1, .present = IPQ_SET_MARK, .mark = 1 };
	unsigned char request[256];
	uint32_t id[3];
	struct peer p;

	(void)state;
	open_peer(&p, "ip_queue");
	let_wait(&p, 3, id);
	v.id = id[2];
	assert_int_equal(p.room.source->ops->send(p.room.source, &v, 1), 1);
	assert_int_equal(recv(p.fd, request, sizeof(request), MSG_DONTWAIT), -1);
	expect_refusal(&p.room, id[2], EOPNOTSUPP, 0);
	assert_int_equal(waiting(&p), 3);
	close_peer(&p);
}

/* An error too short to say which. */
static void half_an_answer_is_counted(void **state)
{
	struct nlmsghdr nlh = { .nlmsg_len = sizeof(nlh), .nlmsg_type = NLMSG_ERROR };
	struct source_counts c;
	struct peer p;

	(void)state;
	open_peer(&p, "ip_queue");
	assert_int_equal(send(p.fd, &nlh, sizeof(nlh), 0), sizeof(nlh));
	assert_int_equal(receive(&p.room, 1, 0), 0);
	assert_int_equal(p.room.refusals, 0);
	assert_int_equal(p.room.source->ops->counts(p.room.source, &c), 0);
	assert_int_equal(c.malformed, 1);
	close_peer(&p);
}

int main(int argc, char **argv)
{
	static uint8_t inet = AF_INET, inet6 = AF_INET6;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(packets_and_verdicts_pass, &inet),
		cmocka_unit_test_prestate(packets_and_verdicts_pass, &inet6),
		cmocka_unit_test(a_batch_means_each_that_waits_and_no_other),
		cmocka_unit_test(what_ip_queue_cannot_carry_is_refused),
		cmocka_unit_test(a_refusal_of_the_other_end_names_packet_and_tag),
		cmocka_unit_test(interfaces_have_numbers_names_and_types),
		cmocka_unit_test(a_range_cuts_and_says_so),
		cmocka_unit_test(a_small_slot_takes_what_fits),
		cmocka_unit_test(a_taken_queue_and_a_missing_right_are_told_apart),
		cmocka_unit_test(the_end_of_the_other_side_is_the_end),
		cmocka_unit_test(a_wake_ends_a_wait_once),
		cmocka_unit_test(what_it_cannot_do_is_said),
		cmocka_unit_test(an_end_that_nobody_holds_is_refused),
		cmocka_unit_test(bad_names_say_what_is_wrong),
		cmocka_unit_test(packets_of_real_kernels_are_understood),
		cmocka_unit_test(a_number_that_comes_again_is_another_packet),
		cmocka_unit_test(garbage_is_counted_and_survived),
		cmocka_unit_test(many_verdicts_leave_together),
		cmocka_unit_test(verdicts_that_cannot_leave_are_not_lost),
		cmocka_unit_test(a_full_socket_is_waited_for),
		cmocka_unit_test(a_batch_that_it_cannot_carry_is_refused),
		cmocka_unit_test(half_an_answer_is_counted),
	};

	scripts = argv + (argc > 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
