// SPDX-License-Identifier: LGPL-2.1-or-later
/* Requests whose end the program does not wait for, and packets that arrive right after them. */
#include "engine_room.h"

static const struct engine_options early = { .early = true };

/* The events between the engine's poll and its receive: a request or the end of the program, and packets. */
struct event {
	struct room *room;
	int fd;
	uint8_t family;
	bool asks, ends;
	enum copy_mode mode;
	uint32_t range;
	unsigned packets;
};

static void happen(void *context)
{
	const struct event *event = context;

	if (event->asks)
		ask_mode(event->fd, WIRE_LP64, 7, (uint8_t)event->mode, event->range);
	if (event->ends) {
		ask_verdict(event->fd, 7, NF_ACCEPT, 4711, NULL, 0); /* a verdict that will be refused */
		close(event->fd);
	}
	for (unsigned i = 0; i < event->packets; i++)
		fake_push_plain(event->room->fake, event->family, 60);
}

static void let(struct event *event)
{
	event->room->fake->context = event;
	event->room->fake->meanwhile = happen;
}

static void expect_lengths(int fd, const size_t *data_len, unsigned n)
{
	static unsigned char buf[ROOM];

	for (unsigned i = 0; i < n; i++)
		assert_int_equal(next(fd, buf), 112 + ((data_len[i] + 3) & ~(size_t)3));
	assert_int_equal(next(fd, buf), 0);
}

static void early_source_is_configured_when_a_client_is_added(void **state)
{
	struct room r = open_room(false, &early);
	int fd, other;

	(void)state;
	fd = add(&r, AF_INET, WIRE_LP64, 7);
	assert_true(r.fake->configured == 1 && r.fake->config.mode == COPY_PACKET &&
		    r.fake->config.range == 65530);
	other = add(&r, AF_INET6, WIRE_LP64, 7);
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	assert_int_equal(r.fake->config.mode, COPY_META);
	close(fd);
	settle(&r);
	/* only one of the programs has sent a request so far */
	assert_int_equal(r.fake->config.mode, COPY_PACKET);
	/* a program whose mode is NONE wants no packets, and there is a peer now */
	for (unsigned i = 0; i < 2; i++) {
		fd = i == 0 ? add(&r, AF_INET, WIRE_LP64, 7) : other;
		ask_mode(fd, WIRE_LP64, 7, COPY_NONE, 0);
		settle(&r);
		assert_int_equal(r.fake->config.mode, COPY_NONE);
		close(fd);
		settle(&r);
		assert_int_equal(r.fake->config.mode, i == 0 ? COPY_PACKET : COPY_NONE);
	}
	close_room(&r);
}

static void early_source_is_not_taken_for_a_client_without_the_capability(void **state)
{
	struct room r = open_room(false, &early);
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_true(engine_add(r.engine, pair[1], AF_INET, WIRE_LP64, 7, false) > 0);
	assert_int_equal(r.fake->configured, 0);
	close(pair[0]);
	settle(&r);
	assert_int_equal(r.fake->configured, 0);
	close_room(&r);
}

static void source_that_was_busy_is_configured_by_the_first_mode(void **state)
{
	struct room r = { .fake = fake_new(true) };
	int fd;

	(void)state;
	r.fake->configure_error = EBUSY;
	assert_int_equal(engine_open(&r.engine, fake_source(r.fake), &early, NULL), 0);
	fd = add(&r, AF_INET, WIRE_LP64, 7);
	assert_int_equal(r.fake->configured, 0);
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	assert_int_equal(r.fake->config.mode, COPY_META);
	close(fd);
	close_room(&r);
}

static void packet_before_the_first_mode_is_dropped(void **state)
{
	struct room r = open_room(false, &early);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	uint32_t before = fake_push_plain(r.fake, AF_INET, 60), after;

	(void)state;
	settle(&r); /* only this event makes the engine receive the packet */
	expect_verdict(&r, before, NF_DROP);
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 20);
	after = fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	assert_int_equal(next_id(fd), after);
	close(fd);
	close_room(&r);
}

static void packets_after_the_first_mode_are_delivered(void **state)
{
	struct room r = open_room(false, &early);
	int v4 = add(&r, AF_INET, WIRE_LP64, 7), v6 = add(&r, AF_INET6, WIRE_LP64, 7);
	struct event first = {
		&r, v4, AF_INET, .asks = true, .mode = COPY_PACKET, .range = 24, .packets = 1
	};
	struct event second = {
		&r, v6, AF_INET6, .asks = true, .mode = COPY_PACKET, .range = 0, .packets = 1
	};

	(void)state;
	/* the engine cannot know whether the packet came before the request */
	fake_push_plain(r.fake, AF_INET, 60);
	let(&first);
	settle(&r);
	expect_lengths(v4, (size_t[]){ 24, 24 }, 2);
	fake_push_plain(r.fake, AF_INET, 60);
	let(&second);
	settle(&r);
	expect_lengths(v4, (size_t[]){ 24 }, 1);
	expect_lengths(v6, (size_t[]){ 60 }, 1);
	close(v4);
	close(v6);
	close_room(&r);
}

static void new_mode_applies_to_packets_that_came_after_it(void **state)
{
	struct room r = open_room(false, &early);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	struct event change = {
		&r, fd, AF_INET, .asks = true, .mode = COPY_PACKET, .range = 24, .packets = 1
	};

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 0);
	settle(&r);
	fake_push_plain(r.fake, AF_INET, 60);
	let(&change);
	settle(&r);
	expect_lengths(fd, (size_t[]){ 24, 24 }, 2);
	change.mode = COPY_NONE;
	let(&change);
	fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	expect_lengths(fd, NULL, 0);
	close(fd);
	close_room(&r);
}

/*
 * In epoll's list of ready descriptors, the source still comes before the client, because it was reported last
 * time.
 */
static void new_mode_applies_to_a_packet_soon_after_another_one(void **state)
{
	struct room r = open_room(false, &early);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	struct event change = { &r, fd, AF_INET, .asks = true, .mode = COPY_PACKET, .range = 24 };

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 0);
	settle(&r);
	fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	let(&change);
	fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	expect_lengths(fd, (size_t[]){ 60, 24 }, 2);
	close(fd);
	close_room(&r);
}

/* After a packet that came alone, the engine expects only one verdict. */
static void new_mode_after_a_verdict_applies_to_the_next_packet(void **state)
{
	struct room r = open_room(false, &early);
	int fd = add(&r, AF_INET, WIRE_LP64, 7), i;
	uint32_t id;

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 0);
	settle(&r);
	for (i = 0; i < 3; i++) {
		fake_push_plain(r.fake, AF_INET, 60);
		settle(&r);
		id = next_id(fd);
		ask_verdict(fd, 7, NF_ACCEPT, id, NULL, 0);
		ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 24);
		if (i == 1)
			assert_int_equal(engine_step(r.engine, 0), 0);
		fake_push_plain(r.fake, AF_INET, 60);
		settle(&r);
		expect_verdict(&r, id, NF_ACCEPT);
		expect_lengths(fd, (size_t[]){ 24 }, 1);
		ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 0);
		ask_verdict(fd, 7, NF_ACCEPT, id + 1, NULL, 0);
		settle(&r);
		expect_verdict(&r, id + 1, NF_ACCEPT);
	}
	close(fd);
	close_room(&r);
}

static void refusal_comes_before_packets_if_the_program_does_not_wait(void **state)
{
	struct room r = open_room(false, &early);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, 9, 0);
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 20);
	fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	assert_int_equal(next_error(fd), EINVAL);
	expect_lengths(fd, (size_t[]){ 20 }, 1);
	ask_mode(fd, WIRE_LP64, 7, 9, 0);
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 24);
	fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	assert_int_equal(next_error(fd), EINVAL);
	expect_lengths(fd, (size_t[]){ 24 }, 1);
	close(fd);
	close_room(&r);
}

static uint32_t push_cut(struct room *r, uint32_t len, uint32_t full_len)
{
	struct ipq_packet p = { .present = IPQ_HAS_PAYLOAD, .family = AF_INET, .full_len = full_len };
	static const unsigned char bytes[100];

	return fake_push(r->fake, &p, bytes, len);
}

static void packet_that_was_cut_to_the_old_range_comes_back_with_the_new_one(void **state)
{
	struct room r = open_room(false, &early);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	uint32_t cut;

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 24);
	settle(&r);
	push_cut(&r, 24, 100);
	settle(&r);
	expect_lengths(fd, (size_t[]){ 24 }, 1); /* nothing has changed */
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 60);
	cut = push_cut(&r, 24, 100);
	push_cut(&r, 24, 24); /* the complete packet */
	push_cut(&r, 60, 100);
	settle(&r);
	expect_verdict(&r, cut, NF_QUEUE);
	assert_null(fake_verdict(r.fake));
	expect_lengths(fd, (size_t[]){ 24, 60 }, 2);
	/* Packets with the old range may still arrive, but they have enough bytes for the new one. */
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 24);
	push_cut(&r, 24, 100);
	settle(&r);
	expect_lengths(fd, (size_t[]){ 24 }, 1);
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 0); /* complete packets */
	cut = push_cut(&r, 24, 100);
	settle(&r);
	expect_verdict(&r, cut, NF_QUEUE);
	expect_lengths(fd, NULL, 0);
	close(fd);
	close_room(&r);
}

/* The packet comes back with another id, so the old one must not be offered to the next client. */
static void packet_that_is_queued_again_is_not_kept(void **state)
{
	static const struct engine_options keep = { .keep = true };
	struct room r = open_room(false, &keep);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	uint32_t cut, whole;

	(void)state;
	engine_set_queue_max(r.engine, AF_INET, 1);
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 24);
	whole = push_cut(&r, 24, 24);
	cut = push_cut(&r, 24, 100); /* there is no room for it yet, so the engine keeps it */
	settle(&r);
	assert_int_equal(next_id(fd), whole);
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 60);
	ask_verdict(fd, 7, NF_ACCEPT, whole, NULL, 0);
	settle(&r);
	expect_verdict(&r, whole, NF_ACCEPT);
	expect_verdict(&r, cut, NF_QUEUE);
	whole = push_cut(&r, 60, 100);
	settle(&r);
	assert_int_equal(next_id(fd), whole);
	close(fd);
	settle(&r);
	fd = add(&r, AF_INET, WIRE_LP64, 8);
	ask_mode(fd, WIRE_LP64, 8, COPY_PACKET, 60);
	settle(&r);
	assert_int_equal(next_id(fd), whole);
	assert_null(fake_verdict(r.fake));
	close(fd);
	close_room(&r);
}

static void packet_without_payload_comes_back_after_mode_meta(void **state)
{
	struct room r = open_room(false, &early);
	struct ipq_packet bare = { .family = AF_INET, .hook = 1, .hw_protocol = 0x0800 };
	int v4 = add(&r, AF_INET, WIRE_LP64, 7), v6 = add(&r, AF_INET6, WIRE_LP64, 7);
	struct event change = { &r, v4, AF_INET, .asks = true, .mode = COPY_PACKET, .range = 24 };
	uint32_t id;

	(void)state;
	ask_mode(v6, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	for (unsigned i = 0; i < 2; i++) { /* the client's first mode, and a mode after META */
		let(&change);
		id = fake_push(r.fake, &bare, NULL, 0);
		fake_push(r.fake, &bare, NULL, 0);
		settle(&r);
		expect_verdict(&r, id, NF_QUEUE);
		fake_verdict_free(fake_verdict(r.fake));
		expect_lengths(v4, NULL, 0);
		ask_mode(v4, WIRE_LP64, 7, COPY_META, 0);
		fake_push(r.fake, &bare, NULL, 0);
		settle(&r);
		expect_lengths(v4, (size_t[]){ 0 }, 1);
	}
	close(v4);
	close(v6);
	close_room(&r);
}

/*
 * Adds a client whose mode requests are served before the call returns, as with libipq. Returns the program's end.
 */
static int add_waiting(struct room *r, uint32_t *client)
{
	int pair[2], ret;

	assert_int_equal(engine_socketpair(pair, 0), 0);
	ret = engine_add(r->engine, pair[0], AF_INET, WIRE_LP64, 7, true);
	assert_true(ret > 0);
	*client = (uint32_t)ret;
	return pair[1];
}

static void set_mode(struct room *r, uint32_t client, enum copy_mode mode, uint32_t range)
{
	unsigned char request[64];
	const struct iovec piece = { request, wire_put_mode(WIRE_LP64, request, 7, (uint8_t)mode, range) };

	assert_int_equal(engine_request(r->engine, client, &piece, 1), 0);
}

static void packet_that_was_cut_is_delivered_if_the_program_waited(void **state)
{
	struct room r = open_room(false, &early);
	uint32_t client, id;
	int fd = add_waiting(&r, &client);

	(void)state;
	set_mode(&r, client, COPY_PACKET, 24);
	id = push_cut(&r, 24, 24);
	settle(&r);
	expect_lengths(fd, (size_t[]){ 24 }, 1);
	ask_verdict(fd, 7, NF_ACCEPT, id, NULL, 0); /* for a verdict the program never waits */
	settle(&r);
	expect_verdict(&r, id, NF_ACCEPT);
	set_mode(&r, client, COPY_PACKET, 60);
	push_cut(&r, 24, 100);
	settle(&r);
	expect_lengths(fd, (size_t[]){ 24 }, 1);
	close(fd);
	close_room(&r);
}

/*
 * The last request of a client that ends is refused. Because of this the engine receives packets although a batch
 * is not finished.
 */
static void end_of_a_client_during_a_batch_loses_no_packet_of_the_other_family(void **state)
{
	struct room r = open_room(false, NULL);
	uint32_t client;
	int v4 = add_waiting(&r, &client), v6 = add(&r, AF_INET6, WIRE_LP64, 7), i;
	struct event end = { .room = &r, .fd = v4, .ends = true };

	(void)state;
	set_mode(&r, client, COPY_META, 0);
	ask_mode(v6, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	for (i = 0; i < 200; i++)
		fake_push_plain(r.fake, i % 2 == 0 ? AF_INET : AF_INET6, 60);
	let(&end);
	settle(&r);
	for (i = 0; i < 100; i++)
		next_id(v6);
	close(v6);
	close_room(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(early_source_is_configured_when_a_client_is_added),
		cmocka_unit_test(early_source_is_not_taken_for_a_client_without_the_capability),
		cmocka_unit_test(source_that_was_busy_is_configured_by_the_first_mode),
		cmocka_unit_test(packet_before_the_first_mode_is_dropped),
		cmocka_unit_test(packets_after_the_first_mode_are_delivered),
		cmocka_unit_test(new_mode_applies_to_packets_that_came_after_it),
		cmocka_unit_test(new_mode_applies_to_a_packet_soon_after_another_one),
		cmocka_unit_test(new_mode_after_a_verdict_applies_to_the_next_packet),
		cmocka_unit_test(refusal_comes_before_packets_if_the_program_does_not_wait),
		cmocka_unit_test(packet_that_was_cut_to_the_old_range_comes_back_with_the_new_one),
		cmocka_unit_test(packet_that_is_queued_again_is_not_kept),
		cmocka_unit_test(packet_without_payload_comes_back_after_mode_meta),
		cmocka_unit_test(packet_that_was_cut_is_delivered_if_the_program_waited),
		cmocka_unit_test(end_of_a_client_during_a_batch_loses_no_packet_of_the_other_family),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
