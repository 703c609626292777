/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An engine on a fake source, and what its clients send and read. */
#ifndef ENGINE_ROOM_H
#define ENGINE_ROOM_H

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <sys/socket.h>
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

/* A forked child ends without closing its engine: this pointer prevents valgrind from reporting a leak. */
static struct engine *volatile opened_last;

static inline struct room open_room(bool lossless, const struct engine_options *options)
{
	struct room r = { .fake = fake_new(true) };

	r.fake->lossless = lossless;
	assert_int_equal(engine_open(&r.engine, fake_source(r.fake), options, NULL), 0);
	opened_last = r.engine;
	return r;
}

static inline void close_room(struct room *r)
{
	engine_close(r->engine);
	assert_true(r->fake->closed);
	fake_free(r->fake);
}

static inline int add(struct room *r, uint8_t family, enum wire_layout layout, uint32_t pid)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_true(engine_add(r->engine, pair[1], family, layout, pid, true) > 0);
	return pair[0];
}

/* Steps until there is no work left. Returns the result of the last step. */
static inline int settle(struct room *r)
{
	struct pollfd p = { .fd = engine_fd(r->engine), .events = POLLIN };
	int i, ret = 0;

	for (i = 0; i < 100000 && ret == 0 && poll(&p, 1, 0) > 0; i++)
		ret = engine_step(r->engine, 0);
	assert_true(i < 100000);
	return ret;
}

static inline void ask_mode(int fd, enum wire_layout layout, uint32_t pid, uint8_t mode, uint64_t range)
{
	unsigned char buf[64];
	size_t len = wire_put_mode(layout, buf, pid, mode, range);

	assert_int_equal(send(fd, buf, len, 0), len);
}

static inline void ask_verdict(int fd, uint32_t pid, uint32_t value, uint64_t id, const void *payload,
			       size_t len)
{
	static unsigned char buf[ROOM];
	size_t whole = wire_put_verdict(WIRE_LP64, buf, pid, value, id, len);

	if (len > 0)
		memcpy(buf + whole - len, payload, len);
	assert_int_equal(send(fd, buf, whole, MSG_NOSIGNAL), whole);
}

/* Reads the next message. 0: there is none; -1: the end of file. */
static inline int next(int fd, unsigned char *buf)
{
	ssize_t n = recv(fd, buf, ROOM, MSG_DONTWAIT);

	if (n < 0) {
		assert_int_equal(errno, EAGAIN);
		return 0;
	}
	return n == 0 ? -1 : (int)n;
}

static inline uint32_t next_id(int fd)
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

/* Returns the error of the next message, which must be an NLMSG_ERROR: a positive errno. */
static inline int next_error(int fd)
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

static inline void expect_verdict(struct room *r, uint32_t id, uint32_t code)
{
	struct fake_verdict *v = fake_verdict(r->fake);

	assert_non_null(v);
	assert_int_equal(v->id, id);
	assert_int_equal(v->code, code);
	fake_verdict_free(v);
}

static inline struct engine_counters counts(struct room *r, uint8_t family)
{
	struct engine_counters c;

	engine_counts(r->engine, family, &c);
	return c;
}

#endif
