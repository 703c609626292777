// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the recordings in tests/replay cannot show: batches, slow and hostile clients, sources that end,
 * refuse or were in use before, threads. The source is tests/fake.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "ipqueue/engine.h"
#include <linux/netfilter.h>
#include <linux/netlink.h>
#include "fake.h"
#include "packet_message.h"

#define ROOM 70000

struct room {
	struct fake *fake;
	struct engine *engine;
};

static struct room open_room(bool lossless, const struct engine_options *options)
{
	struct room r = { .fake = fake_new(true) };

	r.fake->lossless = lossless;
	assert_int_equal(engine_open(&r.engine, fake_source(r.fake), options, NULL), 0);
	return r;
}

static void close_room(struct room *r)
{
	engine_close(r->engine);
	assert_true(r->fake->closed);
	fake_free(r->fake);
}

static int add(struct room *r, uint8_t family, enum wire_layout layout, uint32_t pid)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(engine_add(r->engine, pair[1], family, layout, pid, true), 0);
	return pair[0];
}

/* Steps until there is nothing to do. Returns what the last step said. */
static int settle(struct room *r)
{
	struct pollfd p = { .fd = engine_fd(r->engine), .events = POLLIN };
	int i, ret = 0;

	for (i = 0; i < 100000 && ret == 0 && poll(&p, 1, 0) > 0; i++)
		ret = engine_step(r->engine, 0);
	assert_true(i < 100000);
	return ret;
}

static void ask_mode(int fd, enum wire_layout layout, uint32_t pid, uint8_t mode, uint64_t range)
{
	unsigned char buf[64];
	size_t len = wire_put_mode(layout, buf, pid, mode, range);

	assert_int_equal(send(fd, buf, len, 0), len);
}

static void ask_verdict(int fd, uint32_t pid, uint32_t value, uint64_t id, const void *payload, size_t len)
{
	static unsigned char buf[ROOM];
	size_t whole = wire_put_verdict(WIRE_LP64, buf, pid, value, id, len);

	if (len > 0)
		memcpy(buf + whole - len, payload, len);
	assert_int_equal(send(fd, buf, whole, MSG_NOSIGNAL), whole);
}

/* 0 when there is no message, -1 at the end of file. */
static int next(int fd, unsigned char *buf)
{
	ssize_t n = recv(fd, buf, ROOM, MSG_DONTWAIT);

	if (n < 0) {
		assert_int_equal(errno, EAGAIN);
		return 0;
	}
	return n == 0 ? -1 : (int)n;
}

static uint32_t next_id(int fd)
{
	static unsigned char buf[ROOM];
	struct wire_packet p;
	const void *payload;
	size_t len;
	int n = next(fd, buf);

	assert_true(n > 0);
	assert_true(get_packet(WIRE_LP64, buf, (size_t)n, &p, &payload, &len));
	return (uint32_t)p.packet_id;
}

/* The error of the next message, which must be NLMSG_ERROR: positive errno. */
static int next_error(int fd)
{
	unsigned char buf[ROOM];
	struct nlmsghdr h;
	int error, n = next(fd, buf);

	assert_true(n >= 36);
	memcpy(&h, buf, sizeof(h));
	memcpy(&error, buf + 16, sizeof(error));
	assert_int_equal(h.nlmsg_type, NLMSG_ERROR);
	return -error;
}

static void expect_verdict(struct room *r, uint32_t id, uint32_t code)
{
	struct fake_verdict *v = fake_verdict(r->fake);

	assert_non_null(v);
	assert_int_equal(v->id, id);
	assert_int_equal(v->code, code);
	fake_verdict_free(v);
}

static struct engine_counts counts(struct room *r, uint8_t family)
{
	struct engine_counts c;

	engine_counts(r->engine, family, &c);
	return c;
}

/* ---- the source ------------------------------------------------------------------------------- */

static void source_is_taken_only_when_a_client_asks(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);

	(void)state;
	settle(&r);
	assert_int_equal(r.fake->configured, 0);
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	assert_int_equal(r.fake->configured, 1);
	assert_int_equal(r.fake->config.mode, COPY_META);
	close(fd);
	close_room(&r);
}

static void source_copies_the_largest_of_what_both_families_asked(void **state)
{
	struct room r = open_room(false, NULL);
	int v4 = add(&r, AF_INET, WIRE_LP64, 7), v6 = add(&r, AF_INET6, WIRE_LP64, 7);

	(void)state;
	ask_mode(v4, WIRE_LP64, 7, COPY_PACKET, 100);
	ask_mode(v6, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	assert_true(r.fake->config.mode == COPY_PACKET && r.fake->config.range == 100);
	ask_mode(v6, WIRE_LP64, 7, COPY_PACKET, 200);
	settle(&r);
	assert_true(r.fake->config.mode == COPY_PACKET && r.fake->config.range == 200);
	ask_mode(v4, WIRE_LP64, 7, COPY_PACKET, 0);
	settle(&r);
	assert_true(r.fake->config.mode == COPY_PACKET && r.fake->config.range == 0);
	close(v4);
	settle(&r);
	assert_true(r.fake->config.mode == COPY_PACKET && r.fake->config.range == 200);
	close(v6);
	settle(&r);
	assert_int_equal(r.fake->config.mode, COPY_NONE);
	close_room(&r);
}

static void source_that_refuses_is_the_answer_and_the_mode_stays(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);

	(void)state;
	r.fake->configure_error = ECONNREFUSED;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	assert_int_equal(next_error(fd), ECONNREFUSED);
	assert_int_equal(counts(&r, AF_INET).mode, COPY_NONE);
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	assert_int_equal(counts(&r, AF_INET).mode, COPY_META);
	close(fd);
	close_room(&r);
}

static void verdict_that_the_source_refuses_later_is_answered_with_its_request(void **state)
{
	struct room r = open_room(false, NULL);
	unsigned char buf[ROOM], request[64];
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	uint32_t id;

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	id = next_id(fd);
	fake_forget(r.fake, 0); /* every packet without interface: the kernel has flushed it */
	ask_verdict(fd, 7, NF_ACCEPT, id, NULL, 0);
	settle(&r);
	assert_int_equal(next(fd, buf), 60);
	wire_put_verdict(WIRE_LP64, request, 7, NF_ACCEPT, id, 0);
	assert_memory_equal(buf + 20, request, 40);
	assert_int_equal(next(fd, buf), 0);
	close(fd);
	close_room(&r);
}

static void adopted_source_gets_verdicts_on_ids_the_engine_never_saw(void **state)
{
	static const struct engine_options adopt = { .adopt = true };
	struct room r = open_room(false, &adopt);
	struct ipq_packet before;
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	uint32_t id = fake_push_plain(r.fake, AF_INET, 60);

	(void)state;
	fake_receive(r.fake, &before); /* by whoever had the source before */
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	ask_verdict(fd, 7, NF_ACCEPT, id, NULL, 0);
	settle(&r);
	expect_verdict(&r, id, NF_ACCEPT);
	ask_verdict(fd, 7, NF_ACCEPT, id, NULL, 0); /* now nobody knows it */
	settle(&r);
	assert_int_equal(next_error(fd), ENOENT);
	close(fd);
	close_room(&r);
}

static void adopted_source_keeps_the_families_apart(void **state)
{
	static const struct engine_options adopt = { .adopt = true };
	struct room r = open_room(false, &adopt);
	int v4 = add(&r, AF_INET, WIRE_LP64, 7), v6 = add(&r, AF_INET6, WIRE_LP64, 7);
	uint32_t id;

	(void)state;
	ask_mode(v4, WIRE_LP64, 7, COPY_META, 0);
	ask_mode(v6, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	id = next_id(v4);
	ask_verdict(v6, 7, NF_DROP, id, NULL, 0);
	settle(&r);
	assert_int_equal(next_error(v6), ENOENT);
	ask_verdict(v4, 7, NF_ACCEPT, id, NULL, 0);
	settle(&r);
	expect_verdict(&r, id, NF_ACCEPT);
	assert_int_equal(fake_waiting(r.fake), 0);
	close(v4);
	close(v6);
	close_room(&r);
}

static void packet_that_is_held_back_cannot_be_judged(void **state)
{
	static const struct engine_options adopt = { .queue_length = 2, .adopt = true };
	struct room r = open_room(true, &adopt);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	uint32_t first;

	(void)state;
	first = fake_push_plain(r.fake, AF_INET, 60);
	fake_push_plain(r.fake, AF_INET, 60);
	fake_push_plain(r.fake, AF_INET, 60);
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	ask_verdict(fd, 7, NF_ACCEPT, first + 2, NULL, 0); /* guessed: nobody has been given it */
	settle(&r);
	assert_int_equal(next_id(fd), first);
	assert_int_equal(next_id(fd), first + 1);
	assert_int_equal(next_error(fd), ENOENT);
	ask_verdict(fd, 7, NF_ACCEPT, first, NULL, 0);
	settle(&r);
	expect_verdict(&r, first, NF_ACCEPT);
	assert_int_equal(next_id(fd), first + 2);
	ask_verdict(fd, 7, NF_DROP, first + 2, NULL, 0);
	settle(&r);
	expect_verdict(&r, first + 2, NF_DROP);
	assert_int_equal(fake_waiting(r.fake), 1);
	close(fd);
	close_room(&r);
}

static void requeued_packets_go_to_the_sources_own_queue(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	uint32_t id = fake_push_plain(r.fake, AF_INET, 60);

	(void)state;
	r.fake->source.queue_number = 5;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	ask_verdict(fd, 7, NF_QUEUE, id, NULL, 0);
	settle(&r);
	expect_verdict(&r, id, 5u << 16 | NF_QUEUE);
	close(fd);
	close_room(&r);
}

static void replacement_that_the_source_cannot_carry_drops_the_packet_only(void **state)
{
	struct room r = open_room(false, NULL);
	unsigned char buf[ROOM] = { 0x45 };
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	uint32_t first = fake_push_plain(r.fake, AF_INET, 60), second = fake_push_plain(r.fake, AF_INET, 60);

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	r.fake->send_error = EMSGSIZE;
	ask_verdict(fd, 7, NF_ACCEPT, first, buf, 65535);
	ask_verdict(fd, 7, NF_ACCEPT, second, NULL, 0);
	assert_int_equal(settle(&r), 0);
	expect_verdict(&r, first, NF_DROP);
	expect_verdict(&r, second, NF_ACCEPT);
	close(fd);
	close_room(&r);
}

static void shortage_for_a_moment_costs_no_verdict(void **state)
{
	static const int shortages[] = { ENOBUFS, ENOMEM, EAGAIN, EINTR };
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	unsigned i;

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	for (i = 0; i < sizeof(shortages) / sizeof(shortages[0]); i++) {
		uint32_t id = fake_push_plain(r.fake, AF_INET, 60);

		settle(&r);
		r.fake->send_error = shortages[i];
		ask_verdict(fd, 7, NF_ACCEPT, id, NULL, 0);
		assert_int_equal(settle(&r), 0);
		expect_verdict(&r, id, NF_ACCEPT);
	}
	close(fd);
	close_room(&r);
}

static void source_that_dies_ends_the_step_with_its_error(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	uint32_t id = fake_push_plain(r.fake, AF_INET, 60);

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	r.fake->send_error = EPERM;
	ask_verdict(fd, 7, NF_ACCEPT, id, NULL, 0);
	assert_int_equal(settle(&r), -EPERM);
	close(fd);
	close_room(&r);
}

/* ---- batches ---------------------------------------------------------------------------------- */

static void packets_and_verdicts_travel_in_batches(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7), i;
	uint32_t first;

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	first = fake_push_plain(r.fake, AF_INET, 60);
	for (i = 1; i < 128; i++)
		fake_push_plain(r.fake, AF_INET, 60);
	r.fake->receives = 0;
	settle(&r);
	assert_true(r.fake->receives <= 4); /* two are empty: that there is no more, and that it may rest */
	for (i = 0; i < 128; i++)
		ask_verdict(fd, 7, NF_ACCEPT, next_id(fd), NULL, 0);
	settle(&r);
	assert_true(r.fake->sends <= 3);
	for (i = 0; i < 128; i++)
		expect_verdict(&r, first + (uint32_t)i, NF_ACCEPT);
	close(fd);
	close_room(&r);
}

static void each_family_gets_its_own_packets_in_its_own_layout(void **state)
{
	struct room r = open_room(false, NULL);
	int v4 = add(&r, AF_INET, WIRE_LP64, 7), v6 = add(&r, AF_INET6, WIRE_ILP32, 8), i;
	unsigned char buf[ROOM];
	struct wire_packet p;
	const void *payload;
	size_t len;

	(void)state;
	ask_mode(v4, WIRE_LP64, 7, COPY_PACKET, 40);
	ask_mode(v6, WIRE_ILP32, 8, COPY_PACKET, 0);
	settle(&r);
	for (i = 0; i < 20; i++)
		fake_push_plain(r.fake, i % 2 == 0 ? AF_INET : AF_INET6, 61);
	settle(&r);
	for (i = 0; i < 10; i++) {
		assert_int_equal(next(v4, buf), 112 + 40);
		assert_true(get_packet(WIRE_LP64, buf, 152, &p, &payload, &len));
		assert_int_equal(p.packet_id, 0x20000001 + 2 * i);
		assert_int_equal(next(v6, buf), 88 + 64);
		assert_true(get_packet(WIRE_ILP32, buf, 152, &p, &payload, &len));
		assert_int_equal(p.packet_id, 0x20000002 + 2 * i);
		assert_int_equal(len, 61);
		assert_memory_equal(buf + 88 + 61, "\0\0\0", 3); /* cleared padding */
	}
	assert_int_equal(next(v4, buf), 0);
	assert_int_equal(next(v6, buf), 0);
	close(v4);
	close(v6);
	close_room(&r);
}

static void packets_that_nobody_wants_are_dropped_and_counted(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	uint32_t v6, bridge;

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	v6 = fake_push_plain(r.fake, AF_INET6, 60);
	bridge = fake_push_plain(r.fake, AF_BRIDGE, 60);
	settle(&r);
	expect_verdict(&r, bridge, NF_DROP);
	expect_verdict(&r, v6, NF_DROP);
	assert_true(counts(&r, AF_INET6).wrong_family == 1 && counts(&r, AF_INET6).dropped == 1);
	assert_true(counts(&r, AF_UNSPEC).wrong_family == 1);
	assert_true(counts(&r, AF_INET).wrong_family == 0);
	close(fd);
	close_room(&r);
}

/* ---- clients ---------------------------------------------------------------------------------- */

static void packet_without_its_bytes_is_not_for_who_wants_bytes(void **state)
{
	struct room r = open_room(false, NULL);
	struct ipq_packet bare = { .family = AF_INET, .hook = 1, .hw_protocol = 0x0800 };
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	uint32_t early, late;

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 0);
	settle(&r);
	early = fake_push(r.fake, &bare, NULL, 0);
	late = fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	expect_verdict(&r, early, NF_DROP);
	assert_int_equal(next_id(fd), late);
	assert_int_equal(counts(&r, AF_INET).wrong_family, 1);
	/* Who had them without is told of those that were under way. */
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 0);
	settle(&r);
	early = fake_push(r.fake, &bare, NULL, 0);
	settle(&r);
	assert_int_equal(next_id(fd), early);
	close(fd);
	close_room(&r);
}

static void verdicts_left_behind_by_a_closed_client_still_count(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	uint32_t a, b;

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	a = fake_push_plain(r.fake, AF_INET, 60);
	b = fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	ask_verdict(fd, 7, NF_ACCEPT, a, NULL, 0);
	close(fd); /* with unread packets: this end sees ECONNRESET first */
	settle(&r);
	expect_verdict(&r, a, NF_ACCEPT);
	expect_verdict(&r, b, NF_DROP);
	assert_int_equal(counts(&r, AF_INET).peer_pid, 0);
	close_room(&r);
}

static void peer_that_has_closed_makes_nobody_busy(void **state)
{
	struct room r = open_room(false, NULL);
	int first = add(&r, AF_INET, WIRE_LP64, 7), second;
	uint32_t id = fake_push_plain(r.fake, AF_INET, 60);
	unsigned char buf[ROOM];

	(void)state;
	ask_mode(first, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	/* The newcomer's event stands first in the set, its request comes before the other's end is seen. */
	second = add(&r, AF_INET, WIRE_LP64, 8);
	ask_mode(second, WIRE_LP64, 8, COPY_PACKET, 33);
	ask_verdict(first, 7, NF_ACCEPT, id, NULL, 0);
	close(first);
	settle(&r);
	assert_int_equal(next(second, buf), 0); /* no EBUSY */
	assert_true(counts(&r, AF_INET).peer_pid == 8 && counts(&r, AF_INET).range == 33);
	expect_verdict(&r, id, NF_ACCEPT);
	close(second);
	close_room(&r);
}

static void client_of_unknown_pid_is_known_by_its_first_request(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 0);
	unsigned char buf[ROOM];

	(void)state;
	ask_mode(fd, WIRE_LP64, 4321, COPY_META, 0);
	fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	assert_int_equal(counts(&r, AF_INET).peer_pid, 4321);
	assert_int_equal(next(fd, buf), 112);
	close(fd);
	close_room(&r);
}

static void client_that_never_reads_loses_its_own_packets_only(void **state)
{
	struct room r = open_room(false, NULL);
	int lazy = add(&r, AF_INET, WIRE_LP64, 7), busy = add(&r, AF_INET6, WIRE_LP64, 8), i;
	struct engine_counts c;

	(void)state;
	engine_set_queue_max(r.engine, AF_INET, 100000);
	ask_mode(lazy, WIRE_LP64, 7, COPY_PACKET, 0);
	ask_mode(busy, WIRE_LP64, 8, COPY_PACKET, 0);
	settle(&r);
	for (i = 0; i < 3000; i++) {
		fake_push_plain(r.fake, AF_INET, 20000);
		fake_push_plain(r.fake, AF_INET6, 60);
		settle(&r);
		ask_verdict(busy, 8, NF_ACCEPT, next_id(busy), NULL, 0);
		while (r.fake->verdicts != NULL)
			fake_verdict_free(fake_verdict(r.fake));
	}
	settle(&r);
	c = counts(&r, AF_INET);
	assert_true(c.netlink_dropped > 0 && c.packets > 0);
	assert_int_equal(c.netlink_dropped + c.packets, 3000);
	assert_int_equal(c.queue_length, c.packets);
	assert_int_equal(fake_waiting(r.fake), c.packets); /* what was lost was given back to the source */
	c = counts(&r, AF_INET6);
	assert_true(c.packets == 3000 && c.accepted == 3000 && c.netlink_dropped == 0);
	close(lazy);
	settle(&r);
	assert_int_equal(fake_waiting(r.fake), 0);
	close(busy);
	close_room(&r);
}

static void program_that_is_slow_for_a_moment_loses_nothing(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7), i;
	struct engine_counts c;

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	for (i = 0; i < 150; i++)
		fake_push_plain(r.fake, AF_INET, 1500);
	settle(&r);
	c = counts(&r, AF_INET);
	assert_true(c.packets == 150 && c.netlink_dropped == 0);
	close(fd);
	close_room(&r);
}

/* Bytes without sense, sizes without sense, floods: no crash, no answer that blocks, no harm to another. */
static void program_that_does_not_block_gets_rid_of_all_its_verdicts(void **state)
{
	struct room r = open_room(true, NULL);
	int pair[2], i, n;

	(void)state;
	assert_int_equal(engine_socketpair(pair, SOCK_NONBLOCK), 0);
	assert_int_equal(engine_add(r.engine, pair[0], AF_INET, WIRE_LP64, 7, true), 0);
	for (i = 0; i < 1024; i++)
		fake_push_plain(r.fake, AF_INET, 60);
	ask_mode(pair[1], WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	/* The engine's thread sleeps while the program decides all that it was given. */
	n = (int)counts(&r, AF_INET).queue_length;
	assert_true(n > 200);
	for (i = 0; i < n; i++)
		ask_verdict(pair[1], 7, NF_ACCEPT, next_id(pair[1]), NULL, 0);
	settle(&r);
	assert_true(counts(&r, AF_INET).accepted == (uint64_t)n);
	close(pair[1]);
	close_room(&r);
}

static void garbage_harms_nobody(void **state)
{
	struct room r = open_room(false, NULL);
	int bad = add(&r, AF_INET, WIRE_LP64, 7), good = add(&r, AF_INET6, WIRE_LP64, 8), i;
	static unsigned char buf[ROOM * 2];
	unsigned seed = 1;

	(void)state;
	ask_mode(good, WIRE_LP64, 8, COPY_META, 0);
	settle(&r);
	for (i = 0; i < 20000; i++) {
		size_t len = (size_t)rand_r(&seed) % (i % 100 == 0 ? sizeof(buf) : 100), k;
		struct nlmsghdr h = { .nlmsg_len =
					      (uint32_t)(rand_r(&seed) % 3 == 0 ? rand_r(&seed) : (int)len),
				      .nlmsg_type = (uint16_t)(0x10 + rand_r(&seed) % 5),
				      .nlmsg_flags =
					      (uint16_t)(NLM_F_REQUEST | (rand_r(&seed) % 2) * NLM_F_ACK),
				      .nlmsg_pid = (uint32_t)(rand_r(&seed) % 4 == 0 ? 8 : 7) };

		for (k = 0; k < 64 && k < len; k++)
			buf[k] = (unsigned char)rand_r(&seed);
		if (rand_r(&seed) % 4 != 0)
			memcpy(buf, &h, len < sizeof(h) ? len : sizeof(h));
		send(bad, buf, len, MSG_DONTWAIT); /* nobody reads the answers */
		if (i % 64 == 0)
			settle(&r);
	}
	settle(&r);
	fake_push_plain(r.fake, AF_INET6, 60);
	settle(&r);
	ask_verdict(good, 8, NF_ACCEPT, next_id(good), NULL, 0);
	settle(&r);
	assert_int_equal(counts(&r, AF_INET6).accepted, 1);
	close(bad);
	close(good);
	settle(&r);
	close_room(&r);
}

/* As after a fork of the process that the engine lives in: the descriptor lives on elsewhere. */
static void closed_client_is_forgotten_though_its_socket_was_inherited(void **state)
{
	struct room r = open_room(false, NULL);
	int pair[2], inherited, i;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	inherited = dup(pair[1]);
	assert_int_equal(engine_add(r.engine, pair[1], AF_INET, WIRE_LP64, 7, true), 0);
	ask_mode(pair[0], WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	close(pair[0]);
	for (i = 0; i < 3; i++)
		settle(&r);
	assert_int_equal(counts(&r, AF_INET).peer_pid, 0);
	close(inherited);
	close_room(&r);
}

static void end_of_a_datagram_client_shows_with_the_next_packet(void **state)
{
	struct room r = open_room(false, NULL);
	int pair[2];
	uint32_t id;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	assert_int_equal(engine_add(r.engine, pair[1], AF_INET, WIRE_LP64, 7, true), 0);
	ask_mode(pair[0], WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	id = fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	assert_int_equal(next_id(pair[0]), id);
	ask_verdict(pair[0], 7, NF_ACCEPT, id, NULL, 0);
	settle(&r);
	expect_verdict(&r, id, NF_ACCEPT);
	close(pair[0]);
	id = fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	expect_verdict(&r, id, NF_DROP);
	assert_int_equal(counts(&r, AF_INET).peer_pid, 0);
	close_room(&r);
}

static void empty_datagram_is_not_the_end(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);

	(void)state;
	assert_int_equal(send(fd, "", 0, 0), 0);
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	assert_int_equal(counts(&r, AF_INET).peer_pid, 7);
	close(fd);
	close_room(&r);
}

static void unfit_sockets_are_refused_and_stay_the_callers(void **state)
{
	struct room r = open_room(false, NULL);
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(engine_add(r.engine, pair[1], AF_INET, WIRE_LP64, 7, true), -EINVAL);
	close(pair[0]);
	assert_int_equal(close(pair[1]), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(engine_add(r.engine, pair[1], AF_BRIDGE, WIRE_LP64, 7, true), -EINVAL);
	close(pair[0]);
	assert_int_equal(close(pair[1]), 0);
	assert_int_equal(engine_add(r.engine, -1, AF_INET, WIRE_LP64, 7, true), -EBADF);
	close_room(&r);
}

/* ---- much to do ------------------------------------------------------------------------------- */

static bool has_something_to_do(const struct room *r)
{
	struct pollfd p = { .fd = engine_fd(r->engine), .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* A client that has just been brought a whole batch: the engine looks at it without being told. Returns its socket. */
static int add_busy(struct room *r, uint32_t *first)
{
	int fd = add(r, AF_INET, WIRE_LP64, 7), i;

	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(r);
	assert_false(has_something_to_do(r));
	*first = fake_push_plain(r->fake, AF_INET, 60);
	for (i = 1; i < 64; i++)
		fake_push_plain(r->fake, AF_INET, 60);
	assert_int_equal(engine_step(r->engine, 0), 0);
	assert_int_equal(next_id(fd), *first);
	assert_true(has_something_to_do(r));
	return fd;
}

static void busy_client_is_served_and_heard_when_it_is_busy_no_more(void **state)
{
	struct room r = open_room(false, NULL);
	uint32_t first;
	int fd = add_busy(&r, &first);

	(void)state;
	ask_verdict(fd, 7, NF_ACCEPT, first, NULL, 0);
	assert_int_equal(engine_step(r.engine, 0), 0);
	expect_verdict(&r, first, NF_ACCEPT);
	assert_int_equal(engine_step(r.engine, 0), 0);
	assert_false(has_something_to_do(&r));
	ask_verdict(fd, 7, NF_DROP, first + 1, NULL, 0);
	assert_true(has_something_to_do(&r));
	settle(&r);
	expect_verdict(&r, first + 1, NF_DROP);
	fake_push_plain(r.fake, AF_INET, 60);
	assert_true(has_something_to_do(&r));
	close(fd);
	close_room(&r);
}

static void end_of_a_busy_client_drops_what_it_had(void **state)
{
	struct room r = open_room(false, NULL);
	uint32_t first;
	int fd = add_busy(&r, &first), i;

	(void)state;
	close(fd);
	assert_int_equal(engine_step(r.engine, 0), 0);
	settle(&r);
	for (i = 0; i < 64; i++) {
		struct fake_verdict *v = fake_verdict(r.fake);

		assert_non_null(v);
		assert_int_equal(v->code, NF_DROP);
		fake_verdict_free(v);
	}
	assert_int_equal(counts(&r, AF_INET).peer_pid, 0);
	close_room(&r);
}

static void others_are_answered_while_one_is_busy(void **state)
{
	struct room r = open_room(false, NULL);
	uint32_t first;
	int fd = add_busy(&r, &first), other = add(&r, AF_INET, WIRE_LP64, 8);

	(void)state;
	ask_mode(other, WIRE_LP64, 8, COPY_META, 0);
	ask_verdict(fd, 7, NF_ACCEPT, first, NULL, 0);
	assert_int_equal(engine_step(r.engine, 0), 0);
	assert_int_equal(next_error(other), EBUSY);
	expect_verdict(&r, first, NF_ACCEPT);
	close(fd);
	close(other);
	close_room(&r);
}

/* As a child of fork does when its parent, which stepped the engine, has ended. */
static void engine_that_is_resumed_hears_everybody(void **state)
{
	struct room r = open_room(false, NULL);
	uint32_t first;
	int fd = add_busy(&r, &first);

	(void)state;
	engine_resume(r.engine);
	assert_false(has_something_to_do(&r));
	ask_verdict(fd, 7, NF_ACCEPT, first, NULL, 0);
	assert_true(has_something_to_do(&r));
	settle(&r);
	expect_verdict(&r, first, NF_ACCEPT);
	fake_push_plain(r.fake, AF_INET, 60);
	assert_true(has_something_to_do(&r));
	close(fd);
	close_room(&r);
}

static void ends_well(pid_t other)
{
	int status = 1;

	assert_int_equal(waitpid(other, &status, 0), other);
	assert_int_equal(status, 0);
}

/* Here the child goes first and this process, which shares as much with it as it would with its parent, resumes. */
static void who_resumes_knows_what_was_asked_of_the_other(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7), second = add(&r, AF_INET, WIRE_LP64, 8);
	pid_t other;

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 40);
	other = fork();
	if (other == 0) {
		settle(&r);
		_exit(0);
	}
	ends_well(other);
	assert_int_equal(r.fake->configured, 0);
	engine_resume(r.engine);
	assert_true(r.fake->configured > 0);
	assert_int_equal(r.fake->config.mode, COPY_PACKET);
	assert_int_equal(r.fake->config.range, 40);
	fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	ask_verdict(fd, 7, NF_ACCEPT, next_id(fd), NULL, 0);
	ask_mode(second, WIRE_LP64, 8, COPY_META, 0);
	settle(&r);
	assert_int_equal(next_error(second), EBUSY);
	close(fd);
	close(second);
	close_room(&r);
}

static void who_resumes_forgets_clients_of_the_other(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 8);
	pid_t other = fork();

	(void)state;
	if (other == 0) {
		int own = add(&r, AF_INET, WIRE_LP64, 7);

		ask_mode(own, WIRE_LP64, 7, COPY_PACKET, 0);
		settle(&r);
		_exit(0);
	}
	ends_well(other);
	engine_resume(r.engine);
	assert_int_equal(counts(&r, AF_INET).peer_pid, 0);
	ask_mode(fd, WIRE_LP64, 8, COPY_META, 0);
	settle(&r);
	assert_int_equal(counts(&r, AF_INET).peer_pid, 8);
	close(fd);
	close_room(&r);
}

/* Packets have come and gone there: which ones wait the source knows, and verdicts on unknown ones go through. */
static void who_resumes_does_not_count_what_the_other_decided(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	uint32_t id;
	pid_t other;

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 0);
	fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	id = next_id(fd);
	assert_int_equal(counts(&r, AF_INET).queue_length, 1);
	other = fork();
	if (other == 0) {
		fake_push_plain(r.fake, AF_INET, 60);
		settle(&r);
		_exit(0);
	}
	ends_well(other);
	engine_resume(r.engine);
	assert_int_equal(counts(&r, AF_INET).packets, 2);
	assert_int_equal(counts(&r, AF_INET).queue_length, 0);
	ask_verdict(fd, 7, NF_ACCEPT, id, NULL, 0);
	settle(&r);
	expect_verdict(&r, id, NF_ACCEPT);
	close(fd);
	close_room(&r);
}

/* ---- sources that can wait, and end ----------------------------------------------------------- */

static void patient_source_waits_for_a_slow_program(void **state)
{
	static const struct engine_options options = { .queue_length = 10 };
	struct room r = open_room(true, &options);
	int fd = add(&r, AF_INET, WIRE_LP64, 7), i;
	struct engine_counts c;

	(void)state;
	for (i = 0; i < 1000; i++)
		fake_push_plain(r.fake, AF_INET, 1500);
	fake_end(r.fake);
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 0);
	for (i = 0; i < 1000; i++) {
		settle(&r);
		c = counts(&r, AF_INET);
		assert_true(c.queue_length <= 10);
		ask_verdict(fd, 7, NF_ACCEPT, next_id(fd), NULL, 0);
	}
	assert_int_equal(settle(&r), -ENODATA);
	c = counts(&r, AF_INET);
	assert_true(c.accepted == 1000 && c.queue_dropped == 0 && c.netlink_dropped == 0);
	close(fd);
	close_room(&r);
}

static void full_socket_holds_a_patient_source(void **state)
{
	static const struct engine_options options = { .queue_length = 100000 };
	struct room r = open_room(true, &options);
	int fd = add(&r, AF_INET, WIRE_LP64, 7), i;
	struct engine_counts c;

	(void)state;
	for (i = 0; i < 2000; i++)
		fake_push_plain(r.fake, AF_INET, 30000);
	fake_end(r.fake);
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 0);
	settle(&r);
	c = counts(&r, AF_INET);
	assert_true(c.packets > 0 && c.packets < 2000);
	for (i = 0; i < 2000; i++) {
		ask_verdict(fd, 7, NF_ACCEPT, next_id(fd), NULL, 0);
		if (i % 50 == 0 || (i > 1900 && i < 1999))
			settle(&r);
	}
	assert_int_equal(settle(&r), -ENODATA);
	c = counts(&r, AF_INET);
	assert_true(c.accepted == 2000 && c.netlink_dropped == 0);
	close(fd);
	close_room(&r);
}

static void a_patient_source_loses_nothing_to_the_family_that_asks_second(void **state)
{
	struct room r = open_room(true, NULL);
	int four = add(&r, AF_INET, WIRE_LP64, 7), six;
	uint32_t id[3];

	(void)state;
	id[0] = fake_push_plain(r.fake, AF_INET, 40);
	id[1] = fake_push_plain(r.fake, AF_INET6, 60);
	id[2] = fake_push_plain(r.fake, AF_INET, 40);
	ask_mode(four, WIRE_LP64, 7, 2, 0);
	settle(&r);
	assert_int_equal(next_id(four), id[0]); /* the other family does not wait */
	assert_int_equal(next_id(four), id[2]);
	assert_null(fake_verdict(r.fake));
	six = add(&r, AF_INET6, WIRE_LP64, 8);
	ask_mode(six, WIRE_LP64, 8, 2, 0);
	settle(&r);
	assert_int_equal(next_id(six), id[1]);
	/* Who has been there and gone is not waited for. */
	close(six);
	settle(&r);
	expect_verdict(&r, id[1], NF_DROP);
	id[1] = fake_push_plain(r.fake, AF_INET6, 60);
	settle(&r);
	expect_verdict(&r, id[1], NF_DROP);
	close(four);
	close_room(&r);
}

static void a_family_that_nobody_asks_for_delays_a_patient_source_once(void **state)
{
	struct room r = open_room(true, NULL);
	int four = add(&r, AF_INET, WIRE_LP64, 7);
	struct pollfd p = { .fd = engine_fd(r.engine), .events = POLLIN };
	uint32_t id;

	(void)state;
	ask_mode(four, WIRE_LP64, 7, 2, 0);
	id = fake_push_plain(r.fake, AF_INET6, 60);
	settle(&r);
	assert_null(fake_verdict(r.fake));
	assert_int_equal(poll(&p, 1, 5000), 1);
	settle(&r);
	expect_verdict(&r, id, NF_DROP);
	assert_true(counts(&r, AF_INET6).wrong_family == 1);
	id = fake_push_plain(r.fake, AF_INET6, 60);
	settle(&r);
	expect_verdict(&r, id, NF_DROP);
	id = fake_push_plain(r.fake, AF_INET, 40);
	settle(&r);
	assert_int_equal(next_id(four), id);
	close(four);
	close_room(&r);
}

static void nothing_is_read_from_a_patient_source_while_nobody_is_ready(void **state)
{
	struct room r = open_room(true, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_NONE, 0);
	fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	assert_int_equal(r.fake->receives, 0);
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	assert_int_equal(next_id(fd), 0x20000001);
	close(fd);
	close_room(&r);
}

static void source_without_descriptor_is_read_to_its_end(void **state)
{
	struct room r = { .fake = fake_new(false) };
	int fd, i;

	(void)state;
	assert_int_equal(engine_open(&r.engine, fake_source(r.fake), NULL, NULL), 0);
	fd = add(&r, AF_INET, WIRE_LP64, 7);
	for (i = 0; i < 200; i++)
		fake_push_plain(r.fake, AF_INET, 60);
	fake_end(r.fake);
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	for (i = 0; i < 200; i++)
		ask_verdict(fd, 7, NF_DROP, next_id(fd), NULL, 0);
	assert_int_equal(settle(&r), -ENODATA);
	close(fd);
	close_room(&r);
}

static void end_of_the_source_reads_as_the_end_of_the_socket(void **state)
{
	struct room r = open_room(true, NULL);
	unsigned char buf[ROOM];
	struct sockaddr_nl from;
	socklen_t len = sizeof(from);
	int pair[2], fd;
	uint32_t id;

	(void)state;
	assert_int_equal(engine_socketpair(pair, 0), 0);
	assert_int_equal(engine_add(r.engine, pair[0], AF_INET, WIRE_LP64, 7, true), 0);
	fd = pair[1];
	fake_push_plain(r.fake, AF_INET, 60);
	fake_end(r.fake);
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	assert_int_equal(settle(&r), 0); /* a packet still waits */
	id = next_id(fd);
	assert_int_equal(next(fd, buf), 0);
	ask_verdict(fd, 7, NF_ACCEPT, id, NULL, 0);
	assert_int_equal(settle(&r), -ENODATA);
	/* The end, too, comes from the kernel: libipq of 2001 looks at the address first. */
	assert_int_equal(recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len), 0);
	assert_true(len == sizeof(from) && from.nl_pid == 0);
	assert_int_equal(next(fd, buf), -1);
	expect_verdict(&r, id, NF_ACCEPT);
	close(fd);
	close_room(&r);
}

static int after_silence(struct room *r)
{
	usleep(1100000);
	return settle(r);
}

/* A verdict may bring a packet back; but a program may also never give one. */
static void the_end_waits_for_silence_while_packets_wait(void **state)
{
	struct room r = open_room(true, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	unsigned char buf[ROOM];

	(void)state;
	fake_push_plain(r.fake, AF_INET, 60);
	fake_end(r.fake);
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	assert_int_equal(settle(&r), 0);
	assert_int_equal(after_silence(&r), 0); /* it has not even read the packet */
	next_id(fd);
	engine_step(r.engine, 0);
	assert_int_equal(next(fd, buf), 0);
	assert_int_equal(after_silence(&r), 0);
	assert_int_equal(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), 0);
	assert_int_equal(next(fd, buf), -1);
	close(fd);
	close_room(&r);
}

static void packets_before_the_damage_of_a_file_are_decided(void **state)
{
	struct room r = open_room(true, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	unsigned char buf[ROOM];
	uint32_t id[2];

	(void)state;
	fake_push_plain(r.fake, AF_INET, 60);
	fake_push_plain(r.fake, AF_INET, 60);
	fake_end(r.fake);
	r.fake->end_error = EBADMSG;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	assert_int_equal(settle(&r), 0);
	id[0] = next_id(fd);
	id[1] = next_id(fd);
	ask_verdict(fd, 7, NF_ACCEPT, id[0], NULL, 0);
	assert_int_equal(settle(&r), 0);
	ask_verdict(fd, 7, NF_ACCEPT, id[1], NULL, 0);
	assert_int_equal(settle(&r), -EBADMSG);
	assert_true(engine_lives(r.engine));
	assert_int_equal(next(fd, buf), -1);
	expect_verdict(&r, id[0], NF_ACCEPT);
	expect_verdict(&r, id[1], NF_ACCEPT);
	close(fd);
	close_room(&r);
}

static void packet_repeated_at_the_very_end_comes_back(void **state)
{
	struct room r = open_room(true, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	uint32_t id;

	(void)state;
	fake_push_plain(r.fake, AF_INET, 60);
	fake_end(r.fake);
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	id = next_id(fd);
	fake_repeats(r.fake);
	ask_verdict(fd, 7, NF_REPEAT, id, NULL, 0);
	settle(&r);
	expect_verdict(&r, id, NF_REPEAT);
	id = next_id(fd);
	ask_verdict(fd, 7, NF_ACCEPT, id, NULL, 0);
	assert_int_equal(settle(&r), -ENODATA);
	expect_verdict(&r, id, NF_ACCEPT);
	close(fd);
	close_room(&r);
}

/* A sniffer: it reads and never gives a verdict. */
static void end_comes_though_verdicts_never_do(void **state)
{
	struct room r = open_room(true, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7), i;
	unsigned char buf[ROOM];

	(void)state;
	fake_push_plain(r.fake, AF_INET, 60);
	fake_end(r.fake);
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	next_id(fd);
	assert_int_equal(next(fd, buf), 0);
	for (i = 0; i < 5 && next(fd, buf) == 0; i++)
		assert_int_equal(engine_step(r.engine, 1000), 0);
	assert_int_equal(next(fd, buf), -1);
	close(fd);
	assert_int_equal(settle(&r), -ENODATA);
	close_room(&r);
}

/* ---- threads ---------------------------------------------------------------------------------- */

static void *run(void *engine)
{
	int ret;

	do
		ret = engine_step(engine, -1);
	while (ret == 0);
	return (void *)(intptr_t)ret;
}

static void engine_in_a_thread_takes_clients_and_wakes(void **state)
{
	struct room r = open_room(false, NULL);
	unsigned char buf[ROOM];
	pthread_t thread;
	void *ret;
	int fd, i;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, run, r.engine), 0);
	for (i = 0; i < 50; i++) {
		unsigned char request[64];
		size_t len = wire_put_mode(WIRE_LP64, request, 7, COPY_META, 0);
		struct nlmsghdr header;

		fd = add(&r, i % 2 == 0 ? AF_INET : AF_INET6, WIRE_LP64, 7);
		memcpy(&header, request, sizeof(header));
		header.nlmsg_flags |= NLM_F_ACK;
		memcpy(request, &header, sizeof(header));
		assert_int_equal(send(fd, request, len, 0), len);
		assert_true(recv(fd, buf, sizeof(buf), 0) >= 36); /* waits for the thread */
		engine_proc(r.engine, AF_INET, (char *)buf, sizeof(buf));
		close(fd);
	}
	engine_wake(r.engine);
	assert_int_equal(pthread_join(thread, &ret), 0);
	assert_int_equal((intptr_t)ret, -ECANCELED);
	close_room(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(source_is_taken_only_when_a_client_asks),
		cmocka_unit_test(source_copies_the_largest_of_what_both_families_asked),
		cmocka_unit_test(source_that_refuses_is_the_answer_and_the_mode_stays),
		cmocka_unit_test(verdict_that_the_source_refuses_later_is_answered_with_its_request),
		cmocka_unit_test(adopted_source_gets_verdicts_on_ids_the_engine_never_saw),
		cmocka_unit_test(adopted_source_keeps_the_families_apart),
		cmocka_unit_test(packet_that_is_held_back_cannot_be_judged),
		cmocka_unit_test(requeued_packets_go_to_the_sources_own_queue),
		cmocka_unit_test(replacement_that_the_source_cannot_carry_drops_the_packet_only),
		cmocka_unit_test(shortage_for_a_moment_costs_no_verdict),
		cmocka_unit_test(source_that_dies_ends_the_step_with_its_error),
		cmocka_unit_test(packets_and_verdicts_travel_in_batches),
		cmocka_unit_test(each_family_gets_its_own_packets_in_its_own_layout),
		cmocka_unit_test(packets_that_nobody_wants_are_dropped_and_counted),
		cmocka_unit_test(packet_without_its_bytes_is_not_for_who_wants_bytes),
		cmocka_unit_test(verdicts_left_behind_by_a_closed_client_still_count),
		cmocka_unit_test(peer_that_has_closed_makes_nobody_busy),
		cmocka_unit_test(client_of_unknown_pid_is_known_by_its_first_request),
		cmocka_unit_test(client_that_never_reads_loses_its_own_packets_only),
		cmocka_unit_test(program_that_is_slow_for_a_moment_loses_nothing),
		cmocka_unit_test(program_that_does_not_block_gets_rid_of_all_its_verdicts),
		cmocka_unit_test(garbage_harms_nobody),
		cmocka_unit_test(closed_client_is_forgotten_though_its_socket_was_inherited),
		cmocka_unit_test(end_of_a_datagram_client_shows_with_the_next_packet),
		cmocka_unit_test(empty_datagram_is_not_the_end),
		cmocka_unit_test(unfit_sockets_are_refused_and_stay_the_callers),
		cmocka_unit_test(busy_client_is_served_and_heard_when_it_is_busy_no_more),
		cmocka_unit_test(end_of_a_busy_client_drops_what_it_had),
		cmocka_unit_test(others_are_answered_while_one_is_busy),
		cmocka_unit_test(engine_that_is_resumed_hears_everybody),
		cmocka_unit_test(who_resumes_knows_what_was_asked_of_the_other),
		cmocka_unit_test(who_resumes_forgets_clients_of_the_other),
		cmocka_unit_test(who_resumes_does_not_count_what_the_other_decided),
		cmocka_unit_test(patient_source_waits_for_a_slow_program),
		cmocka_unit_test(full_socket_holds_a_patient_source),
		cmocka_unit_test(a_patient_source_loses_nothing_to_the_family_that_asks_second),
		cmocka_unit_test(a_family_that_nobody_asks_for_delays_a_patient_source_once),
		cmocka_unit_test(nothing_is_read_from_a_patient_source_while_nobody_is_ready),
		cmocka_unit_test(source_without_descriptor_is_read_to_its_end),
		cmocka_unit_test(end_of_the_source_reads_as_the_end_of_the_socket),
		cmocka_unit_test(the_end_waits_for_silence_while_packets_wait),
		cmocka_unit_test(packets_before_the_damage_of_a_file_are_decided),
		cmocka_unit_test(packet_repeated_at_the_very_end_comes_back),
		cmocka_unit_test(end_comes_though_verdicts_never_do),
		cmocka_unit_test(engine_in_a_thread_takes_clients_and_wakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
