// SPDX-License-Identifier: LGPL-2.1-or-later
/* The engine under load, in a thread, and after a fork. */
#include <pthread.h>
#include <sys/wait.h>
#include "engine_room.h"

static bool has_something_to_do(const struct room *r)
{
	struct pollfd p = { .fd = engine_fd(r->engine), .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/*
 * Adds a client to which a complete batch was just sent, so that the engine polls the client. Returns its socket.
 */
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

static void busy_client_is_polled_and_then_watched_again(void **state)
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

static void end_of_busy_client_drops_its_packets(void **state)
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

static void other_clients_are_served_while_one_is_busy(void **state)
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

/* A forked child resumes the engine when its parent, which stepped the engine, has ended. */
static void resumed_engine_watches_source_and_clients(void **state)
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

/* The child steps the engine first, then this process resumes it. The reverse is equivalent. */
static void resumed_engine_has_the_mode_set_in_the_other_process(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7), second = add(&r, AF_INET, WIRE_LP64, 8);
	uint32_t id;
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
	assert_int_equal(r.fake->configured, 1);
	assert_int_equal(r.fake->config.mode, COPY_PACKET);
	assert_int_equal(r.fake->config.range, 40);
	fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	ask_verdict(fd, 7, NF_ACCEPT, next_id(fd), NULL, 0);
	id = fake_push(r.fake, &(struct ipq_packet){ .family = AF_INET }, NULL, 0);
	settle(&r); /* no mode was META, so a packet without payload came before the peer */
	expect_verdict(&r, id - 1, NF_ACCEPT);
	expect_verdict(&r, id, NF_DROP);
	ask_mode(second, WIRE_LP64, 8, COPY_META, 0);
	settle(&r);
	assert_int_equal(next_error(second), EBUSY);
	close(fd);
	close(second);
	close_room(&r);
}

static void resumed_engine_drops_a_peer_of_the_other_process(void **state)
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
	assert_int_equal(r.fake->config.mode, COPY_NONE); /* no other client has set a mode */
	ask_mode(fd, WIRE_LP64, 8, COPY_META, 0);
	settle(&r);
	assert_int_equal(counts(&r, AF_INET).peer_pid, 8);
	close(fd);
	close_room(&r);
}

/* After mode META, packets without bytes may still arrive. */
static void resumed_engine_delivers_packets_that_were_queued_before_its_mode(void **state)
{
	const struct ipq_packet bare = { .family = AF_INET, .hook = 1, .hw_protocol = 0x0800 };
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	uint32_t id;
	pid_t other;

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 0);
	other = fork();
	if (other == 0) {
		settle(&r);
		_exit(0);
	}
	ends_well(other);
	engine_resume(r.engine);
	id = fake_push(r.fake, &bare, NULL, 0);
	settle(&r);
	assert_int_equal(next_id(fd), id);
	close(fd);
	close_room(&r);
}

/* Only the source knows which packets wait, so verdicts on unknown ids are passed on to it. */
static void resumed_engine_passes_verdicts_on_packets_it_does_not_know(void **state)
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

static void *run(void *engine)
{
	int ret;

	do
		ret = engine_step(engine, -1);
	while (ret == 0);
	return (void *)(intptr_t)ret;
}

static void engine_in_a_thread_accepts_clients_and_wakes(void **state)
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
		/* this call waits for the engine's thread */
		assert_true(recv(fd, buf, sizeof(buf), 0) >= 36);
		engine_proc_text(r.engine, AF_INET, (char *)buf, sizeof(buf));
		close(fd);
	}
	engine_wake(r.engine);
	assert_int_equal(pthread_join(thread, &ret), 0);
	assert_int_equal((intptr_t)ret, -ECANCELED);
	close_room(&r);
}

static void step_ends_when_a_watched_descriptor_is_readable(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7), end[2];

	(void)state;
	assert_int_equal(pipe(end), 0);
	assert_int_equal(engine_watch(r.engine, end[0], true), 0);
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	assert_int_equal(engine_step(r.engine, 0), 0);
	assert_int_equal(write(end[1], "x", 1), 1);
	ask_mode(fd, WIRE_LP64, 7, 9, 0);
	assert_int_equal(engine_step(r.engine, -1), 1);
	assert_int_equal(next_error(fd), EINVAL); /* the engine has also served the requests */
	assert_int_equal(engine_watch(r.engine, end[0], false), 0);
	assert_int_equal(engine_step(r.engine, 0), 0);
	close(end[1]);
	assert_int_equal(engine_watch(r.engine, end[0], true), 0);
	assert_int_equal(engine_step(r.engine, 0), 1);
	close(end[0]);
	close(fd);
	close_room(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(busy_client_is_polled_and_then_watched_again),
		cmocka_unit_test(end_of_busy_client_drops_its_packets),
		cmocka_unit_test(other_clients_are_served_while_one_is_busy),
		cmocka_unit_test(resumed_engine_watches_source_and_clients),
		cmocka_unit_test(resumed_engine_has_the_mode_set_in_the_other_process),
		cmocka_unit_test(resumed_engine_drops_a_peer_of_the_other_process),
		cmocka_unit_test(resumed_engine_delivers_packets_that_were_queued_before_its_mode),
		cmocka_unit_test(resumed_engine_passes_verdicts_on_packets_it_does_not_know),
		cmocka_unit_test(step_ends_when_a_watched_descriptor_is_readable),
		cmocka_unit_test(engine_in_a_thread_accepts_clients_and_wakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
