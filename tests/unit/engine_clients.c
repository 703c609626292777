// SPDX-License-Identifier: LGPL-2.1-or-later
/* The engine and its clients: batches, slow clients, hostile clients, and clients that end. */
#include "engine_room.h"
#include "rounds.h"

static void packets_and_verdicts_are_sent_in_batches(void **state)
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
	assert_true(r.fake->receives <= 4); /* only two of the receives are empty */
	for (i = 0; i < 128; i++)
		ask_verdict(fd, 7, NF_ACCEPT, next_id(fd), NULL, 0);
	settle(&r);
	assert_true(r.fake->sends <= 3);
	for (i = 0; i < 128; i++)
		expect_verdict(&r, first + (uint32_t)i, NF_ACCEPT);
	close(fd);
	close_room(&r);
}

static void each_family_gets_its_packets_in_its_layout(void **state)
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
		assert_memory_equal(buf + 88 + 61, "\0\0\0", 3); /* the padding was cleared */
	}
	assert_int_equal(next(v4, buf), 0);
	assert_int_equal(next(v6, buf), 0);
	close(v4);
	close(v6);
	close_room(&r);
}

static void metadata_is_that_of_the_packet(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7), n;
	const struct ipq_packet meta = { .present = IPQ_HAS_PAYLOAD | IPQ_HAS_TIMESTAMP | IPQ_HAS_INDEV |
						    IPQ_HAS_OUTDEV | IPQ_HAS_HWADDR,
					 .family = AF_INET,
					 .timestamp = 1234567890123456789,
					 .indev = fake_interface("in", 1),
					 .outdev = fake_interface("out", 772),
					 .hw_addr = { 1, 2, 3, 4, 5, 6, 7, 8 },
					 .hw_addr_len = 250, /* a capture file may contain such a length */
					 .mark = 9 };
	unsigned char buf[ROOM], bytes[60] = { 0x45 };
	struct ipq_packet bare = meta;
	const void *payload;
	struct wire_packet p;
	size_t len;

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 0);
	settle(&r);
	fake_push(r.fake, &meta, bytes, sizeof(bytes));
	settle(&r);
	n = next(fd, buf);
	assert_true(n > 0);
	assert_true(get_packet(WIRE_LP64, buf, (size_t)n, &p, &payload, &len));
	assert_true(p.timestamp_sec == 1234567890 && p.timestamp_usec == 123456);
	assert_string_equal(p.indev, "in");
	assert_string_equal(p.outdev, "out");
	assert_int_equal(p.hw_type, 1);
	assert_int_equal(p.hw_addrlen, 8);
	assert_memory_equal(p.hw_addr, meta.hw_addr, 8);
	bare.present = IPQ_HAS_PAYLOAD; /* the other fields are not valid */
	fake_push(r.fake, &bare, bytes, sizeof(bytes));
	settle(&r);
	n = next(fd, buf);
	assert_true(n > 0);
	assert_true(get_packet(WIRE_LP64, buf, (size_t)n, &p, &payload, &len));
	assert_true(p.timestamp_sec == 0 && p.timestamp_usec == 0 && p.mark == 0);
	assert_true(p.indev[0] == '\0' && p.outdev[0] == '\0');
	assert_true(p.hw_type == 0 && p.hw_addrlen == 0 && p.hw_addr[0] == 0);
	close(fd);
	close_room(&r);
}

/* A program may send requests with the port id of another socket, whose program comes later. */
static void socket_of_the_peer_gets_its_packets_when_it_comes(void **state)
{
	struct room r = open_room(false, NULL);
	int first = add(&r, AF_INET, WIRE_LP64, 7), other, late;
	uint32_t id;

	(void)state;
	ask_mode(first, WIRE_LP64, 9, COPY_META, 0);
	settle(&r);
	other = add(&r, AF_INET, WIRE_LP64, 5);
	settle(&r);
	close(other); /* it has nothing to do with the peer */
	settle(&r);
	assert_int_equal(counts(&r, AF_INET).peer_pid, 9);
	late = add(&r, AF_INET, WIRE_LP64, 9);
	id = fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	assert_int_equal(next_id(late), id);
	close(first); /* the peer has its own socket now */
	settle(&r);
	assert_int_equal(counts(&r, AF_INET).peer_pid, 9);
	assert_null(fake_verdict(r.fake));
	id = fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	assert_int_equal(next_id(late), id);
	close(late);
	settle(&r);
	assert_int_equal(counts(&r, AF_INET).peer_pid, 0);
	first = add(&r, AF_INET, WIRE_LP64, 7);
	ask_mode(first, WIRE_LP64, 9, COPY_META, 0);
	settle(&r);
	close(first); /* the peer has no socket yet: it ends together with the client that named it */
	settle(&r);
	assert_int_equal(counts(&r, AF_INET).peer_pid, 0);
	close_room(&r);
}

/* A client cannot stop the engine by sending many requests: after a limited number, others get their turn. */
static void step_serves_a_limited_number_of_requests(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	const int size = 1 << 20;
	unsigned answers = 0;
	unsigned char buf[ROOM];

	(void)state;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	for (unsigned i = 0; i < 300; i++)
		ask_mode(fd, WIRE_LP64, 7, 9, 0);
	assert_int_equal(engine_step(r.engine, 0), 0);
	while (next(fd, buf) > 0)
		answers++;
	assert_int_equal(answers, 4 * SOURCE_BATCH_MAX);
	settle(&r);
	while (next(fd, buf) > 0)
		answers++;
	assert_int_equal(answers, 300);
	close(fd);
	close_room(&r);
}

static void buffer_of_a_socket_is_enlarged_but_not_reduced(void **state)
{
	int before, after, pair[2];
	socklen_t len = sizeof(int);

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(getsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &before, &len), 0);
	engine_enlarge(pair[0], before / 4);
	assert_int_equal(getsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &after, &len), 0);
	assert_int_equal(after, before);
	engine_enlarge(pair[0], before / 2 + 4096);
	assert_int_equal(getsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &after, &len), 0);
	assert_int_equal(after, before + 8192);
	close(pair[0]);
	close(pair[1]);
}

static void client_after_the_end_is_told(void **state)
{
	struct room r = open_room(true, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7), late;
	unsigned char buf[ROOM];

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	fake_end(r.fake);
	settle(&r);
	assert_int_equal(next(fd, buf), -1);
	late = add(&r, AF_INET, WIRE_LP64, 8);
	assert_int_equal(next(late, buf), -1);
	close(fd);
	close(late);
	close_room(&r);
}

static void padding_has_no_bytes_of_an_earlier_packet(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	unsigned char buf[ROOM];

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 0);
	settle(&r);
	for (size_t len = 64; len > 60; len--) {
		fake_push_plain(r.fake, AF_INET, len);
		settle(&r);
		assert_int_equal(next(fd, buf), 112 + 64);
		for (size_t i = len; i < 64; i++)
			assert_int_equal(buf[112 + i], 0);
	}
	close(fd);
	close_room(&r);
}

static void packets_without_a_peer_are_dropped_and_counted(void **state)
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

static void packet_without_payload_is_dropped_before_mode_meta(void **state)
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
	/*
	 * After mode META, packets without bytes may still arrive: the engine queues them again to get their bytes.
	 */
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 0);
	settle(&r);
	early = fake_push(r.fake, &bare, NULL, 0);
	settle(&r);
	expect_verdict(&r, early, NF_QUEUE);
	close(fd);
	close_room(&r);
}

static void verdicts_sent_before_close_are_applied(void **state)
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
	close(fd); /* there are unread packets, so the engine's end first sees ECONNRESET */
	settle(&r);
	expect_verdict(&r, a, NF_ACCEPT);
	expect_verdict(&r, b, NF_DROP);
	assert_int_equal(counts(&r, AF_INET).peer_pid, 0);
	close_room(&r);
}

static void closed_peer_does_not_make_the_next_client_busy(void **state)
{
	struct room r = open_room(false, NULL);
	int first = add(&r, AF_INET, WIRE_LP64, 7), second;
	uint32_t id = fake_push_plain(r.fake, AF_INET, 60);
	unsigned char buf[ROOM];

	(void)state;
	ask_mode(first, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	/* The second client's request is served before the engine notices that the first client has ended. */
	second = add(&r, AF_INET, WIRE_LP64, 8);
	ask_mode(second, WIRE_LP64, 8, COPY_PACKET, 33);
	ask_verdict(first, 7, NF_ACCEPT, id, NULL, 0);
	close(first);
	settle(&r);
	assert_int_equal(next(second, buf), 0); /* the request is not refused with EBUSY */
	assert_true(counts(&r, AF_INET).peer_pid == 8 && counts(&r, AF_INET).range == 33);
	expect_verdict(&r, id, NF_ACCEPT);
	close(second);
	close_room(&r);
}

static void pid_is_taken_from_the_first_request(void **state)
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

static void client_that_does_not_read_loses_only_its_own_packets(void **state)
{
	struct room r = open_room(false, NULL);
	int lazy = add(&r, AF_INET, WIRE_LP64, 7), busy = add(&r, AF_INET6, WIRE_LP64, 8), i;
	struct engine_counters c;

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
	/* packets that were lost have been dropped in the source */
	assert_int_equal(fake_waiting(r.fake), c.packets);
	c = counts(&r, AF_INET6);
	assert_true(c.packets == 3000 && c.accepted == 3000 && c.netlink_dropped == 0);
	close(lazy);
	settle(&r);
	assert_int_equal(fake_waiting(r.fake), 0);
	close(busy);
	close_room(&r);
}

/* A packet larger than the socket: packets after it must not be lost. */
static void packet_beyond_the_socket_is_lost_alone(void **state)
{
	struct room r = open_room(false, NULL);
	const int small = 8192;
	struct engine_counters c;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_true(engine_add(r.engine, pair[1], AF_INET, WIRE_LP64, 7, true) > 0);
	ask_mode(pair[0], WIRE_LP64, 7, COPY_PACKET, 0);
	settle(&r);
	assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	fake_push_plain(r.fake, AF_INET, 60);
	fake_push_plain(r.fake, AF_INET, 30000);
	fake_push_plain(r.fake, AF_INET, 60);
	fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	c = counts(&r, AF_INET);
	assert_int_equal(c.netlink_dropped, 1);
	assert_int_equal(c.packets, 3);
	close(pair[0]);
	close_room(&r);
}

static void short_pause_of_a_client_loses_no_packet(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7), i;
	struct engine_counters c;

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

static void nonblocking_client_can_send_all_its_verdicts(void **state)
{
	struct room r = open_room(true, NULL);
	int pair[2], i, n;

	(void)state;
	assert_int_equal(engine_socketpair(pair, SOCK_NONBLOCK), 0);
	assert_true(engine_add(r.engine, pair[0], AF_INET, WIRE_LP64, 7, true) > 0);
	for (i = 0; i < 1024; i++)
		fake_push_plain(r.fake, AF_INET, 60);
	ask_mode(pair[1], WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	/* The engine does not step while the client sends verdicts on all its packets. */
	n = (int)counts(&r, AF_INET).queue_length;
	assert_true(n > 200);
	for (i = 0; i < n; i++)
		ask_verdict(pair[1], 7, NF_ACCEPT, next_id(pair[1]), NULL, 0);
	settle(&r);
	assert_true(counts(&r, AF_INET).accepted == (uint64_t)n);
	close(pair[1]);
	close_room(&r);
}

/* Random bytes, random sizes, and floods must not cause a crash, and no send may block. */
static void random_requests_affect_no_other_client(void **state)
{
	struct room r = open_room(false, NULL);
	int bad = add(&r, AF_INET, WIRE_LP64, 7), good = add(&r, AF_INET6, WIRE_LP64, 8), i;
	static unsigned char buf[ROOM * 2];
	unsigned seed = 1;

	(void)state;
	ask_mode(good, WIRE_LP64, 8, COPY_META, 0);
	settle(&r);
	for (i = 0; i < (int)rounds(6000); i++) {
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
		send(bad, buf, len, MSG_DONTWAIT); /* the client does not read the answers */
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

/* Another process has a copy of the descriptor, as after a fork of the engine's process. */
static void closed_client_ends_if_another_process_has_its_socket(void **state)
{
	struct room r = open_room(false, NULL);
	int pair[2], inherited, i;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	inherited = dup(pair[1]);
	assert_true(engine_add(r.engine, pair[1], AF_INET, WIRE_LP64, 7, true) > 0);
	ask_mode(pair[0], WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	close(pair[0]);
	for (i = 0; i < 3; i++)
		settle(&r);
	assert_int_equal(counts(&r, AF_INET).peer_pid, 0);
	close(inherited);
	close_room(&r);
}

static void request_of_the_calling_thread_takes_effect_without_a_step(void **state)
{
	struct room r = open_room(false, NULL);
	unsigned char buf[64];
	struct iovec piece[2] = { { buf, 0 }, { NULL, 0 } };
	int pair[2], client;

	(void)state;
	assert_int_equal(engine_socketpair(pair, 0), 0);
	client = engine_add(r.engine, pair[0], AF_INET, WIRE_LP64, 7, true);
	assert_true(client > 0);
	/* this request is already in the socket, so it is served first */
	ask_mode(pair[1], WIRE_LP64, 7, COPY_META, 0);
	piece[0].iov_len = wire_put_mode(WIRE_LP64, buf, 7, COPY_PACKET, 40);
	assert_int_equal(engine_request(r.engine, (uint32_t)client, piece, 1), 0);
	assert_true(counts(&r, AF_INET).mode == COPY_PACKET && counts(&r, AF_INET).range == 40);
	piece[0].iov_len = wire_put_mode(WIRE_LP64, buf, 7, COPY_PACKET, 65536);
	assert_int_equal(engine_request(r.engine, (uint32_t)client, piece, 1), 0);
	assert_int_equal(counts(&r, AF_INET).range, 65535); /* the maximum: no packet is longer */
	piece[0].iov_len = wire_put_verdict(WIRE_LP64, buf, 7, NF_ACCEPT, 1, 20) - 20;
	piece[1] = (struct iovec){ buf, 20 };
	assert_int_equal(engine_request(r.engine, (uint32_t)client, piece, 2), ENOENT);
	assert_int_equal(next_error(pair[1]), ENOENT);
	close(pair[1]);
	assert_int_equal(engine_request(r.engine, (uint32_t)client, piece, 1), -ENOENT);
	assert_int_equal(counts(&r, AF_INET).peer_pid, 0);
	close_room(&r);
}

#define WHOLE (112 + 60) /* length of a message with a packet of 60 bytes */
#define CUT (112 + 24)	 /* length of a message with 21 bytes and padding */

static void earlier_packets_come_before_a_new_mode_and_a_refusal(void **state)
{
	struct room r = open_room(false, NULL);
	static unsigned char buf[ROOM];
	unsigned char request[64];
	struct iovec piece = { request, 0 };
	int pair[2], client;

	(void)state;
	assert_int_equal(engine_socketpair(pair, 0), 0);
	client = engine_add(r.engine, pair[0], AF_INET, WIRE_LP64, 7, true);
	assert_true(client > 0);
	piece.iov_len = wire_put_mode(WIRE_LP64, request, 7, COPY_PACKET, 0);
	assert_int_equal(engine_request(r.engine, (uint32_t)client, &piece, 1), 0);
	fake_push_plain(r.fake, AF_INET, 60);
	piece.iov_len = wire_put_mode(WIRE_LP64, request, 7, COPY_PACKET, 21);
	assert_int_equal(engine_request(r.engine, (uint32_t)client, &piece, 1), 0);
	fake_push_plain(r.fake, AF_INET, 60);
	piece.iov_len = wire_put_verdict(WIRE_LP64, request, 7, NF_ACCEPT, 4711, 0);
	assert_int_equal(engine_request(r.engine, (uint32_t)client, &piece, 1), ENOENT);
	assert_int_equal(next(pair[1], buf), WHOLE);
	assert_int_equal(next(pair[1], buf), CUT);
	assert_int_equal(next_error(pair[1]), ENOENT);
	close(pair[1]);
	close_room(&r);
}

/*
 * The engine cannot know whether the packet or the request came first. A packet that came after the request must
 * have the new range.
 */
static void mode_that_the_program_sends_applies_to_all_packets_in_the_source(void **state)
{
	struct room r = open_room(false, NULL);
	static unsigned char buf[ROOM];
	int fd = add(&r, AF_INET, WIRE_LP64, 7);

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 0);
	settle(&r);
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 21);
	fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	assert_int_equal(next(fd, buf), CUT);
	close(fd);
	close_room(&r);
}

static void empty_datagram_does_not_end_the_client(void **state)
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

static void unsuitable_sockets_are_refused_and_not_closed(void **state)
{
	struct room r = open_room(false, NULL);
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_and_verdicts_are_sent_in_batches),
		cmocka_unit_test(each_family_gets_its_packets_in_its_layout),
		cmocka_unit_test(metadata_is_that_of_the_packet),
		cmocka_unit_test(socket_of_the_peer_gets_its_packets_when_it_comes),
		cmocka_unit_test(step_serves_a_limited_number_of_requests),
		cmocka_unit_test(buffer_of_a_socket_is_enlarged_but_not_reduced),
		cmocka_unit_test(client_after_the_end_is_told),
		cmocka_unit_test(padding_has_no_bytes_of_an_earlier_packet),
		cmocka_unit_test(packets_without_a_peer_are_dropped_and_counted),
		cmocka_unit_test(packet_without_payload_is_dropped_before_mode_meta),
		cmocka_unit_test(verdicts_sent_before_close_are_applied),
		cmocka_unit_test(closed_peer_does_not_make_the_next_client_busy),
		cmocka_unit_test(pid_is_taken_from_the_first_request),
		cmocka_unit_test(client_that_does_not_read_loses_only_its_own_packets),
		cmocka_unit_test(packet_beyond_the_socket_is_lost_alone),
		cmocka_unit_test(short_pause_of_a_client_loses_no_packet),
		cmocka_unit_test(nonblocking_client_can_send_all_its_verdicts),
		cmocka_unit_test(random_requests_affect_no_other_client),
		cmocka_unit_test(closed_client_ends_if_another_process_has_its_socket),
		cmocka_unit_test(request_of_the_calling_thread_takes_effect_without_a_step),
		cmocka_unit_test(earlier_packets_come_before_a_new_mode_and_a_refusal),
		cmocka_unit_test(mode_that_the_program_sends_applies_to_all_packets_in_the_source),
		cmocka_unit_test(empty_datagram_does_not_end_the_client),
		cmocka_unit_test(unsuitable_sockets_are_refused_and_not_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
