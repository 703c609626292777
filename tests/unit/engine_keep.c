/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An engine that stores packets which a client has not decided, for the next client. */
#include "engine_room.h"
#include "ipqueue/state.h"

static const struct engine_options keep = { .keep = true };

static int owner(struct room *r, uint8_t family, uint32_t pid)
{
	int fd = add(r, family, WIRE_LP64, pid);

	ask_mode(fd, WIRE_LP64, pid, COPY_PACKET, 0);
	settle(r);
	return fd;
}

static void expect_offered(int fd, const uint32_t *id, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		assert_int_equal(next_id(fd), id[i]);
}

static void accept_all(struct room *r, int fd, uint32_t pid, const uint32_t *id, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		ask_verdict(fd, pid, NF_ACCEPT, id[i], NULL, 0);
	settle(r);
	for (unsigned i = from; i < to; i++)
		expect_verdict(r, id[i], NF_ACCEPT);
}

static void next_client_gets_undecided_packets_in_order_under_their_ids(void **state)
{
	struct room r = open_room(false, &keep);
	int fd = owner(&r, AF_INET, 7);
	uint32_t id[12];

	(void)state;
	for (int i = 0; i < 8; i++)
		id[i] = fake_push_plain(r.fake, AF_INET, 100);
	settle(&r);
	expect_offered(fd, id, 0, 5);
	accept_all(&r, fd, 7, id, 0, 2);
	accept_all(&r, fd, 7, id, 3, 4);
	close(fd);
	settle(&r);
	for (int i = 8; i < 12; i++)
		id[i] = fake_push_plain(r.fake, AF_INET, 100);
	settle(&r);
	assert_int_equal(r.fake->config.mode, COPY_PACKET);
	assert_null(fake_verdict(r.fake));
	fd = owner(&r, AF_INET, 8);
	expect_offered(fd, id, 2, 3);
	expect_offered(fd, id, 4, 12);
	ask_verdict(fd, 8, NF_ACCEPT, id[0], NULL, 0); /* a packet that was decided long ago */
	settle(&r);
	assert_int_equal(next_error(fd), ENOENT);
	accept_all(&r, fd, 8, id, 2, 3);
	accept_all(&r, fd, 8, id, 4, 12);
	assert_int_equal(counts(&r, AF_INET).packets, 12);
	assert_int_equal(counts(&r, AF_INET).accepted, 12);
	assert_int_equal(counts(&r, AF_INET).queue_length, 0);
	close(fd);
	close_room(&r);
}

static void payload_is_offered_again_unchanged(void **state)
{
	static unsigned char one[ROOM], two[ROOM];
	struct room r = open_room(false, &keep);
	int fd = owner(&r, AF_INET, 7), len;
	struct wire_packet p;
	const void *payload;
	size_t size;

	(void)state;
	fake_push_plain(r.fake, AF_INET, 1001);
	settle(&r);
	len = next(fd, one);
	close(fd);
	settle(&r);
	for (unsigned i = 0; i < 3; i++) { /* also to the third and the fourth client */
		fd = owner(&r, AF_INET, 7);
		assert_int_equal(next(fd, two), len);
		assert_memory_equal(one, two, (size_t)len);
		if (i == 2)
			break;
		close(fd);
		settle(&r);
	}
	assert_true(get_packet(WIRE_LP64, two, (size_t)len, &p, &payload, &size));
	assert_int_equal(size, 1001);
	close(fd);
	close_room(&r);
}

/* The first client gets 21 bytes and padding, which must not replace bytes of the packet. */
static void next_client_with_a_larger_range_gets_all_bytes(void **state)
{
	struct room r = open_room(false, &keep);
	int fd = add(&r, AF_INET, WIRE_LP64, 7), len;
	static unsigned char buf[ROOM];
	const unsigned char *payload;
	struct wire_packet p;
	const void *at;
	size_t size;

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 21);
	settle(&r);
	fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	assert_int_equal(next(fd, buf), 112 + 24);
	close(fd);
	settle(&r);
	fd = owner(&r, AF_INET, 8);
	len = next(fd, buf);
	assert_true(len > 0);
	assert_true(get_packet(WIRE_LP64, buf, (size_t)len, &p, &at, &size));
	assert_int_equal(size, 60);
	payload = at;
	for (unsigned i = 0; i < 60; i++)
		assert_int_equal(payload[i], i);
	close(fd);
	close_room(&r);
}

/* More packets wait than the limit: some in the engine, some that it has not received. */
static void packets_beyond_the_limit_wait_across_clients(void **state)
{
	struct room r = open_room(false, &keep);
	uint32_t id[500];
	unsigned decided = 0;

	(void)state;
	engine_set_queue_max(r.engine, AF_INET, 10);
	for (int i = 0; i < 500; i++)
		id[i] = fake_push_plain(r.fake, AF_INET, 200);
	for (uint32_t pid = 7; decided < 500; pid++) {
		int fd = owner(&r, AF_INET, pid);

		assert_true(counts(&r, AF_INET).queue_length <= 10);
		expect_offered(fd, id, decided, decided + 7 < 500 ? decided + 7 : 500);
		for (int i = 0; i < 3 && decided < 500; i++, decided++)
			accept_all(&r, fd, pid, id, decided, decided + 1);
		close(fd);
		settle(&r);
	}
	assert_int_equal(counts(&r, AF_INET).queue_dropped, 0);
	assert_int_equal(counts(&r, AF_INET).dropped, 0);
	close_room(&r);
}

static void limit_below_the_number_of_waiting_packets_is_kept(void **state)
{
	struct room r = open_room(false, &keep);
	unsigned char buf[ROOM];
	uint32_t id[20];
	int fd;

	(void)state;
	engine_set_queue_max(r.engine, AF_INET, 10);
	for (int i = 0; i < 20; i++)
		id[i] = fake_push_plain(r.fake, AF_INET, 60);
	fd = owner(&r, AF_INET, 7);
	expect_offered(fd, id, 0, 10);
	engine_set_queue_max(r.engine, AF_INET, 5);
	settle(&r); /* the engine has nothing to do */
	assert_int_equal(next(fd, buf), 0);
	accept_all(&r, fd, 7, id, 0, 6);
	expect_offered(fd, id, 10, 11);
	assert_int_equal(next(fd, buf), 0);
	close(fd);
	close_room(&r);
}

static void end_client(void *fd)
{
	close(*(int *)fd);
}

/* The client ends after the engine has read its requests, and before the engine sends a packet. */
static void packet_for_a_client_that_ends_meanwhile_stays(void **state)
{
	struct room r = open_room(false, &keep);
	int fd = owner(&r, AF_INET, 7);
	uint32_t id;

	(void)state;
	r.fake->context = &fd;
	r.fake->meanwhile = end_client;
	id = fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	assert_null(r.fake->meanwhile);
	assert_null(fake_verdict(r.fake));
	fd = owner(&r, AF_INET, 8);
	assert_int_equal(next_id(fd), id);
	assert_int_equal(counts(&r, AF_INET).netlink_dropped, 0);
	close(fd);
	close_room(&r);
}

static void packets_for_a_closed_socket_stay(void **state)
{
	struct room r = open_room(false, &keep);
	int fd = owner(&r, AF_INET, 7);
	uint32_t id[100];

	(void)state;
	for (int i = 0; i < 100; i++)
		id[i] = fake_push_plain(r.fake, AF_INET, 200);
	close(fd); /* the engine notices the end when it sends */
	settle(&r);
	fd = owner(&r, AF_INET, 8);
	expect_offered(fd, id, 0, 100);
	accept_all(&r, fd, 8, id, 0, 100);
	assert_int_equal(counts(&r, AF_INET).dropped, 0);
	close(fd);
	close_room(&r);
}

static void second_family_is_awaited_for_a_moment(void **state)
{
	struct room r = open_room(false, &keep);
	int four = owner(&r, AF_INET, 7), six = owner(&r, AF_INET6, 8);
	uint32_t id[3];

	(void)state;
	for (int round = 0; round < 2; round++) {
		id[0] = fake_push_plain(r.fake, AF_INET6, 100);
		id[1] = fake_push_plain(r.fake, AF_INET, 100);
		settle(&r);
		close(four);
		close(six);
		settle(&r);
		four = owner(&r, AF_INET, 17);
		expect_offered(four, id, 1, 2);
		accept_all(&r, four, 17, id, 1, 2);
		assert_null(fake_verdict(r.fake));
		if (round == 0) {
			six = owner(&r, AF_INET6, 18);
			expect_offered(six, id, 0, 1);
			accept_all(&r, six, 18, id, 0, 1);
			four = (close(four), settle(&r), owner(&r, AF_INET, 7));
		}
	}
	ask_mode(four, WIRE_LP64, 17, COPY_META, 0);
	settle(&r);
	assert_int_equal(r.fake->config.mode, COPY_PACKET); /* the next owner of IPv6 is expected */
	for (int i = 0; i < 100 && fake_waiting(r.fake) > 0; i++) {
		usleep(10000);
		settle(&r);
	}
	expect_verdict(&r, id[0], NF_DROP);
	assert_int_equal(counts(&r, AF_INET6).wrong_family, 1);
	assert_int_equal(r.fake->config.mode, COPY_META); /* the other family's mode has ended */
	close(four);
	close_room(&r);
}

static void end_of_a_file_comes_after_the_packets_that_are_offered_again(void **state)
{
	struct room r = open_room(true, &keep);
	int fd = owner(&r, AF_INET, 7);
	unsigned char buf[ROOM];
	uint32_t id[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		id[i] = fake_push_plain(r.fake, AF_INET, 100);
	fake_end(r.fake);
	settle(&r);
	accept_all(&r, fd, 7, id, 0, 1);
	close(fd);
	settle(&r);
	fd = owner(&r, AF_INET, 8);
	expect_offered(fd, id, 1, 4);
	accept_all(&r, fd, 8, id, 1, 4);
	assert_int_equal(next(fd, buf), -1);
	close(fd);
	close_room(&r);
}

static void owner_gets_each_packet_once(void **state)
{
	struct room r = open_room(false, &keep);
	int fd = owner(&r, AF_INET, 7);
	unsigned char buf[ROOM];
	uint32_t id[6];

	(void)state;
	for (int i = 0; i < 6; i++) {
		id[i] = fake_push_plain(r.fake, AF_INET, 100);
		if (i % 2 == 1)
			settle(&r);
	}
	expect_offered(fd, id, 0, 6);
	assert_int_equal(next(fd, buf), 0);
	accept_all(&r, fd, 7, id, 0, 6);
	assert_int_equal(next(fd, buf), 0);
	assert_int_equal(counts(&r, AF_INET).packets, 6);
	close(fd);
	close_room(&r);
}

/* A packet such as ARP from a bridge waits for no client, neither before the first one nor between two. */
static void packet_of_no_family_is_dropped_at_once(void **state)
{
	const struct ipq_packet arp = { .present = IPQ_HAS_PAYLOAD, .family = AF_UNSPEC, .full_len = 28 };
	struct room r = open_room(false, &keep);
	int fd = owner(&r, AF_INET, 7);
	uint8_t bytes[28] = { 0, 1, 8 };

	(void)state;
	for (unsigned i = 1; i <= 3; i++) {
		uint32_t id = fake_push(r.fake, &arp, bytes, sizeof(bytes)), ip;

		settle(&r);
		expect_verdict(&r, id, NF_DROP);
		assert_int_equal(counts(&r, AF_UNSPEC).wrong_family, i);
		ip = fake_push_plain(r.fake, AF_INET, 100);
		settle(&r);
		if (i == 1) {
			expect_offered(fd, &ip, 0, 1);
			close(fd);
			settle(&r);
		}
	}
	assert_null(fake_verdict(r.fake));
	close_room(&r);
}

/* The client was killed between socket() and its first mode. */
static void client_without_a_mode_loses_no_packets_for_the_next_one(void **state)
{
	const struct engine_options options[] = { keep, { .keep = true, .early = true } };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct room r = open_room(false, &options[i]);
		int fd = owner(&r, AF_INET, 7);
		uint32_t id[3];

		id[0] = fake_push_plain(r.fake, AF_INET, 100);
		settle(&r);
		close(fd);
		settle(&r);
		close(add(&r, AF_INET, WIRE_LP64, 0)); /* the client's port is not known yet */
		id[1] = fake_push_plain(r.fake, AF_INET, 100);
		settle(&r);
		fd = add(&r, AF_INET, WIRE_LP64, 9);
		ask_verdict(fd, 9, NF_ACCEPT, 4711, NULL, 0); /* this request makes the client the peer */
		settle(&r);
		close(fd);
		id[2] = fake_push_plain(r.fake, AF_INET, 100);
		settle(&r);
		assert_true(r.fake->config.mode == COPY_PACKET && r.fake->config.range == 0);
		assert_null(fake_verdict(r.fake));
		fd = owner(&r, AF_INET, 8);
		expect_offered(fd, id, 0, 3);
		accept_all(&r, fd, 8, id, 0, 3);
		close(fd);
		close_room(&r);
	}
}

/* The client's port is not known yet, so the client is not the peer. */
static void end_of_a_client_that_asked_nothing_lets_no_packets_wait(void **state)
{
	struct room r = open_room(false, &(struct engine_options){ .keep = true, .early = true });
	uint32_t id;

	(void)state;
	close(add(&r, AF_INET, WIRE_LP64, 0));
	settle(&r);
	assert_int_equal(r.fake->config.mode, COPY_NONE);
	id = fake_push_plain(r.fake, AF_INET, 100);
	settle(&r);
	expect_verdict(&r, id, NF_DROP);
	close_room(&r);
}

static void decided_packets_take_no_room(void **state)
{
	static struct engine e = { .keep = true };
	struct family *f = &e.family[0];
	uint8_t bytes[1000] = { 0x45 };
	struct ipq_packet p = { .present = IPQ_HAS_PAYLOAD, .payload = bytes, .payload_len = sizeof(bytes) };

	(void)state;
	for (p.id = 1; p.id <= 3; p.id++)
		assert_true(undecided_add(&e, f, &p, false));
	assert_int_equal(f->kept, 3);
	assert_int_equal(f->kept_bytes, 3000);
	assert_true(undecided_have_room(&e));
	f->kept_bytes += KEEP_BYTES - 3000;
	assert_false(undecided_have_room(&e));
	assert_true(undecided_remove(f, 2));
	assert_true(undecided_have_room(&e));
	assert_int_equal(f->kept_bytes, KEEP_BYTES - 1000);
	assert_false(undecided_remove(f, 2));
	undecided_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(next_client_gets_undecided_packets_in_order_under_their_ids),
		cmocka_unit_test(payload_is_offered_again_unchanged),
		cmocka_unit_test(next_client_with_a_larger_range_gets_all_bytes),
		cmocka_unit_test(packets_beyond_the_limit_wait_across_clients),
		cmocka_unit_test(decided_packets_take_no_room),
		cmocka_unit_test(limit_below_the_number_of_waiting_packets_is_kept),
		cmocka_unit_test(packet_for_a_client_that_ends_meanwhile_stays),
		cmocka_unit_test(packets_for_a_closed_socket_stay),
		cmocka_unit_test(second_family_is_awaited_for_a_moment),
		cmocka_unit_test(end_of_a_file_comes_after_the_packets_that_are_offered_again),
		cmocka_unit_test(owner_gets_each_packet_once),
		cmocka_unit_test(packet_of_no_family_is_dropped_at_once),
		cmocka_unit_test(client_without_a_mode_loses_no_packets_for_the_next_one),
		cmocka_unit_test(end_of_a_client_that_asked_nothing_lets_no_packets_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
