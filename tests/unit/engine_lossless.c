// SPDX-License-Identifier: LGPL-2.1-or-later
/* The engine on a source whose packets can wait, and the end of a source. */
#include "engine_room.h"

static void lossless_source_waits_for_a_slow_client(void **state)
{
	struct room r = open_room(true, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7), i;
	struct engine_counters c;

	(void)state;
	engine_set_queue_max(r.engine, AF_INET, 10);
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

static void lossless_source_waits_for_room_in_the_socket(void **state)
{
	struct room r = open_room(true, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7), i;
	struct engine_counters c;

	(void)state;
	engine_set_queue_max(r.engine, AF_INET, 100000);
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

static void lossless_source_holds_packets_for_the_second_family(void **state)
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
	assert_int_equal(next_id(four), id[0]); /* the missing owner of IPv6 does not delay IPv4 */
	assert_int_equal(next_id(four), id[2]);
	assert_null(fake_verdict(r.fake));
	six = add(&r, AF_INET6, WIRE_LP64, 8);
	ask_mode(six, WIRE_LP64, 8, 2, 0);
	settle(&r);
	assert_int_equal(next_id(six), id[1]);
	/* After the client of a family has ended, the engine does not wait for the family again. */
	close(six);
	settle(&r);
	expect_verdict(&r, id[1], NF_DROP);
	id[1] = fake_push_plain(r.fake, AF_INET6, 60);
	settle(&r);
	expect_verdict(&r, id[1], NF_DROP);
	close(four);
	close_room(&r);
}

static void lossless_source_waits_once_for_a_family_without_peer(void **state)
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

static void lossless_source_is_not_read_before_a_mode_is_set(void **state)
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

static void end_of_source_is_read_as_end_of_socket(void **state)
{
	struct room r = open_room(true, NULL);
	unsigned char buf[ROOM];
	struct sockaddr_nl from;
	socklen_t len = sizeof(from);
	int pair[2], fd;
	uint32_t id;

	(void)state;
	assert_int_equal(engine_socketpair(pair, 0), 0);
	assert_true(engine_add(r.engine, pair[0], AF_INET, WIRE_LP64, 7, true) > 0);
	fd = pair[1];
	fake_push_plain(r.fake, AF_INET, 60);
	fake_end(r.fake);
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	assert_int_equal(settle(&r), 0); /* a packet still waits */
	id = next_id(fd);
	assert_int_equal(next(fd, buf), 0);
	ask_verdict(fd, 7, NF_ACCEPT, id, NULL, 0);
	assert_int_equal(settle(&r), -ENODATA);
	/* The end of file must have an address, too, because the libipq of 2001 checks the address first. */
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

static void end_waits_while_packets_have_no_verdict(void **state)
{
	struct room r = open_room(true, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	unsigned char buf[ROOM];

	(void)state;
	fake_push_plain(r.fake, AF_INET, 60);
	fake_end(r.fake);
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	assert_int_equal(settle(&r), 0);
	/* the client has not even read the packet, so there is no end yet */
	assert_int_equal(after_silence(&r), 0);
	next_id(fd);
	engine_step(r.engine, 0);
	assert_int_equal(next(fd, buf), 0);
	assert_int_equal(after_silence(&r), 0);
	assert_int_equal(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), 0);
	assert_int_equal(next(fd, buf), -1);
	close(fd);
	close_room(&r);
}

static void packets_before_damage_in_a_file_can_be_decided(void **state)
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

static void comes_back(uint32_t verdict)
{
	struct room r = open_room(true, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	uint32_t id;

	fake_push_plain(r.fake, AF_INET, 60);
	fake_end(r.fake);
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	id = next_id(fd);
	fake_repeats(r.fake);
	ask_verdict(fd, 7, verdict, id, NULL, 0);
	settle(&r);
	expect_verdict(&r, id, verdict);
	id = next_id(fd);
	ask_verdict(fd, 7, NF_ACCEPT, id, NULL, 0);
	assert_int_equal(settle(&r), -ENODATA);
	expect_verdict(&r, id, NF_ACCEPT);
	close(fd);
	close_room(&r);
}

static void packet_repeated_at_the_end_comes_back(void **state)
{
	(void)state;
	comes_back(NF_REPEAT);
	comes_back(NF_QUEUE); /* to the queue of the source */
}

static bool has_something_to_do(const struct room *r)
{
	struct pollfd p = { .fd = engine_fd(r->engine), .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* The thread that steps the engine must be woken by another thread's verdict if packets wait for room. */
static void verdict_of_another_thread_makes_room_for_held_packets(void **state)
{
	struct room r = open_room(true, NULL);
	unsigned char request[64];
	struct iovec piece = { request, 0 };
	uint32_t id[3];
	int pair[2], client;

	(void)state;
	assert_int_equal(engine_socketpair(pair, 0), 0);
	client = engine_add(r.engine, pair[0], AF_INET, WIRE_LP64, 7, true);
	assert_true(client > 0);
	engine_set_queue_max(r.engine, AF_INET, 2);
	for (unsigned i = 0; i < 3; i++)
		id[i] = fake_push_plain(r.fake, AF_INET, 60);
	ask_mode(pair[1], WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	assert_false(has_something_to_do(&r));
	piece.iov_len = wire_put_verdict(WIRE_LP64, request, 7, NF_ACCEPT, id[0], 0);
	assert_int_equal(engine_request(r.engine, (uint32_t)client, &piece, 1), 0);
	expect_verdict(&r, id[0], NF_ACCEPT);
	assert_true(has_something_to_do(&r));
	settle(&r);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(next_id(pair[1]), id[i]);
	close(pair[1]);
	close_room(&r);
}

static void room_in_the_socket_is_noticed(void **state)
{
	struct room r = open_room(true, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	unsigned char buf[ROOM];
	unsigned got = 0;

	(void)state;
	for (unsigned i = 0; i < 400; i++)
		fake_push_plain(r.fake, AF_INET, 30000);
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 0);
	settle(&r);
	assert_in_range(counts(&r, AF_INET).packets, 1, 399);
	while (got < 400) { /* the program reads, but sends nothing */
		while (next(fd, buf) > 0)
			got++;
		assert_true(got == 400 || has_something_to_do(&r));
		settle(&r);
	}
	assert_int_equal(got, 400);
	close(fd);
	close_room(&r);
}

static void end_is_sent_to_client_without_verdicts(void **state)
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lossless_source_waits_for_a_slow_client),
		cmocka_unit_test(lossless_source_waits_for_room_in_the_socket),
		cmocka_unit_test(lossless_source_holds_packets_for_the_second_family),
		cmocka_unit_test(lossless_source_waits_once_for_a_family_without_peer),
		cmocka_unit_test(lossless_source_is_not_read_before_a_mode_is_set),
		cmocka_unit_test(source_without_descriptor_is_read_to_its_end),
		cmocka_unit_test(end_of_source_is_read_as_end_of_socket),
		cmocka_unit_test(end_waits_while_packets_have_no_verdict),
		cmocka_unit_test(packets_before_damage_in_a_file_can_be_decided),
		cmocka_unit_test(packet_repeated_at_the_end_comes_back),
		cmocka_unit_test(verdict_of_another_thread_makes_room_for_held_packets),
		cmocka_unit_test(room_in_the_socket_is_noticed),
		cmocka_unit_test(end_is_sent_to_client_without_verdicts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
