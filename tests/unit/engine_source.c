// SPDX-License-Identifier: LGPL-2.1-or-later
/* The engine and its source: settings, verdicts that are refused, failures. */
#include <fcntl.h>
#include "engine_room.h"
#include <linux/netfilter_ipv4/ip_queue.h>

static void source_is_configured_by_the_first_mode_request(void **state)
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
	/* The queue has room for both families and for a batch, so that the engine's limits are reached first. */
	assert_int_equal(r.fake->config.flags, IPQ_O_SEGMENT | IPQ_O_TIMESTAMP | IPQ_O_BEST_EFFORT);
	assert_int_equal(r.fake->config.queue_length, 1024 + 1024 + SOURCE_BATCH_MAX);
	assert_int_equal(r.fake->config.receive_buffer, (1024 + 1024 + SOURCE_BATCH_MAX) * 4096);
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	assert_int_equal(r.fake->configured, 1); /* nothing has changed */
	engine_set_queue_max(r.engine, AF_INET6, 100);
	assert_int_equal(r.fake->configured, 2);
	assert_int_equal(r.fake->config.queue_length, 1024 + 100 + SOURCE_BATCH_MAX);
	engine_set_queue_max(r.engine, AF_INET6, UINT32_MAX);
	assert_int_equal(r.fake->config.queue_length, UINT32_MAX);
	assert_int_equal(r.fake->config.receive_buffer, 16 << 20);
	close(fd);
	close_room(&r);
}

static char *log_text;
static size_t log_size;

static bool has_line(const char *part)
{
	return strstr(log_text, part) != NULL;
}

static void log_names_clients_requests_and_failures(void **state)
{
	struct engine_options options = { .log = open_memstream(&log_text, &log_size) };
	struct room r;
	uint32_t id;
	int fd;

	(void)state;
	assert_non_null(options.log);
	r = open_room(false, &options);
	fd = add(&r, AF_INET, WIRE_LP64, 7);
	r.fake->configure_error = ECONNREFUSED;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	assert_int_equal(next_error(fd), ECONNREFUSED);
	ask_mode(fd, WIRE_LP64, 7, COPY_PACKET, 40);
	id = fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	assert_int_equal(next_id(fd), id);
	fake_push_plain(r.fake, AF_INET, 60);
	ask_verdict(fd, 7, NF_ACCEPT, id, NULL, 0);
	ask_verdict(fd, 7, NF_ACCEPT, 4711, NULL, 0);
	settle(&r);
	close(fd);
	settle(&r);
	assert_int_equal(fflush(options.log), 0);
	assert_true(has_line("client 1: new, pid 7, IPv4, 64-bit\n"));
	assert_true(has_line("client 1: pid 7 is the peer now\n"));
	assert_true(
		has_line("client 1: injected by the test\n")); /* why the source refused its configuration */
	assert_true(has_line("client 1: request of type 0x11 refused: Connection refused\n"));
	assert_true(has_line("source: copies payload, range 40\n"));
	assert_true(has_line("client 1: mode 2, range 40\n"));
	assert_true(has_line("client 1: request of type 0x12 refused: No such file or directory\n"));
	assert_true(has_line("client 1: end, 1 waiting packets dropped\n"));
	assert_true(has_line("source: copies nothing, range 0\n"));
	assert_false(has_line("cannot send"));
	r.fake->refusal[r.fake->refusals++] = (struct source_refusal){ .error = ENOENT, .id = 4712 };
	fake_push_plain(r.fake, AF_INET, 60);
	fd = add(&r, AF_INET6, WIRE_ILP32, 8);
	ask_mode(fd, WIRE_ILP32, 8, COPY_META, 0);
	id = fake_push_plain(r.fake, AF_INET6, 60);
	settle(&r);
	r.fake->send_error = EPERM;
	close(fd); /* the packet is dropped */
	assert_int_equal(settle(&r), -EPERM);
	assert_int_equal(fflush(options.log), 0);
	assert_true(has_line("source: verdict on packet 4712 refused: No such file or directory\n"));
	assert_true(has_line("client 2: new, pid 8, IPv6, 32-bit\n"));
	assert_true(has_line("source: cannot send verdicts: injected by the test\n"));
	assert_true(has_line("source: failed: injected by the test\n"));
	close_room(&r);
	fclose(options.log);
	free(log_text);
}

static void source_copies_the_larger_of_both_ranges(void **state)
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

static void refused_configuration_is_reported_and_keeps_the_mode(void **state)
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

static void verdict_refused_by_the_source_is_reported_with_its_request(void **state)
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
	fake_forget(r.fake, 0); /* interface 0: removes every packet that has no interface */
	ask_verdict(fd, 7, NF_ACCEPT, id, NULL, 0);
	settle(&r);
	assert_int_equal(next(fd, buf), 60);
	wire_put_verdict(WIRE_LP64, request, 7, NF_ACCEPT, id, 0);
	assert_memory_equal(buf + 20, request, 40);
	assert_int_equal(next(fd, buf), 0);
	assert_int_equal(counts(&r, AF_INET).queue_length, 0); /* the source does not have the packet */
	close(fd);
	close_room(&r);
}

static void verdict_on_unknown_id_is_passed_to_an_adopted_source(void **state)
{
	static const struct engine_options adopt = { .adopt = true };
	struct room r = open_room(false, &adopt);
	struct ipq_packet before;
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	uint32_t id = fake_push_plain(r.fake, AF_INET, 60);

	(void)state;
	fake_receive(r.fake, &before); /* the source has a packet that an earlier reader received */
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	ask_verdict(fd, 7, NF_ACCEPT, id, NULL, 0);
	settle(&r);
	expect_verdict(&r, id, NF_ACCEPT);
	ask_verdict(fd, 7, NF_ACCEPT, id, NULL, 0); /* the packet already has a verdict */
	settle(&r);
	assert_int_equal(next_error(fd), ENOENT);
	close(fd);
	close_room(&r);
}

static void verdict_on_packet_of_other_family_is_refused(void **state)
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

static void verdict_on_held_packet_is_refused(void **state)
{
	static const struct engine_options adopt = { .adopt = true };
	struct room r = open_room(true, &adopt);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	uint32_t first;

	(void)state;
	engine_set_queue_max(r.engine, AF_INET, 2);
	first = fake_push_plain(r.fake, AF_INET, 60);
	fake_push_plain(r.fake, AF_INET, 60);
	fake_push_plain(r.fake, AF_INET, 60);
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	ask_verdict(fd, 7, NF_ACCEPT, first + 2, NULL, 0); /* a packet that no client has seen */
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

static void nf_queue_without_number_returns_to_the_source_queue(void **state)
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

static void replacement_too_large_for_the_source_drops_one_packet(void **state)
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

static void verdicts_survive_a_short_lack_of_memory(void **state)
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

static void expect_device(int fd, const char *name)
{
	static unsigned char buf[ROOM];
	struct wire_packet p;
	const void *payload;
	size_t len;
	int n = next(fd, buf);

	assert_true(n > 0 && get_packet(WIRE_LP64, buf, (size_t)n, &p, &payload, &len));
	assert_string_equal(p.indev, name);
	assert_int_equal(p.hw_type, p.hw_addrlen > 0 && *name != '\0');
}

static int name_of_a_capture(const struct source *s, uint32_t index, char name[IFNAMSIZ], uint16_t *type)
{
	(void)s;
	snprintf(name, IFNAMSIZ, "cap%u", index);
	*type = 1;
	return 0;
}

/* A capture file has its own interfaces. */
static void name_of_an_interface_is_that_of_the_source(void **state)
{
	const struct ipq_packet p = {
		.family = AF_INET, .present = IPQ_HAS_INDEV | IPQ_HAS_HWADDR, .indev = 3, .hw_addr_len = 6
	};
	struct room r = open_room(false, NULL);
	struct source_ops ops = *r.fake->source.ops;
	const struct source_ops *before = r.fake->source.ops;
	int fd = add(&r, AF_INET, WIRE_LP64, 7);

	(void)state;
	ops.interface = name_of_a_capture;
	r.fake->source.ops = &ops;
	r.fake->source.links = NULL;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	fake_push(r.fake, &p, NULL, 0);
	settle(&r);
	expect_device(fd, "cap3");
	ops.interface = NULL;
	fake_push(r.fake, &p, NULL, 0);
	settle(&r);
	expect_device(fd, "");
	r.fake->source.ops = before;
	close(fd);
	close_room(&r);
}

static void each_packet_has_the_current_name_of_its_interface(void **state)
{
	struct ipq_packet p = { .family = AF_INET, .present = IPQ_HAS_INDEV };
	uint32_t first = fake_interface("first", 1), second = fake_interface("second", 1);
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7), i;

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	for (i = 0; i < 4; i++) {
		p.indev = i < 2 ? first : second;
		fake_push(r.fake, &p, NULL, 0);
	}
	settle(&r);
	for (i = 0; i < 4; i++)
		expect_device(fd, i < 2 ? "first" : "second");
	fake_rename(second, "renamed");
	fake_push(r.fake, &p, NULL, 0);
	settle(&r);
	expect_device(fd, "renamed");
	close(fd);
	close_room(&r);
}

/* A source that refuses a replacement must accept a drop; otherwise it has failed. */
static void source_that_refuses_a_drop_has_failed(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	uint32_t id = fake_push_plain(r.fake, AF_INET, 60);

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	r.fake->send_error = EINVAL;
	ask_verdict(fd, 7, NF_DROP, id, NULL, 0);
	assert_int_equal(settle(&r), -EINVAL);
	close(fd);
	close_room(&r);
}

static void failed_source_ends_the_step_with_its_error(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	uint32_t id = fake_push_plain(r.fake, AF_INET, 60);

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	r.fake->send_error = EPERM;
	ask_verdict(fd, 7, NF_ACCEPT, id, NULL, 0);
	engine_wake(r.engine); /* the error is more important */
	assert_int_equal(settle(&r), -EPERM);
	assert_int_equal(engine_failure(r.engine), -EPERM);
	assert_false(engine_lives(r.engine));
	close(fd);
	close_room(&r);
}

/* ---- requests -------------------------------------------------------------------------------------- */

/* Sends a request with pid 7 after one of its header fields was changed. */
static void ask_changed(int fd, unsigned char *request, size_t len, uint16_t type, uint16_t flags,
			uint32_t pid)
{
	struct nlmsghdr h;

	memcpy(&h, request, sizeof(h));
	h.nlmsg_len = (uint32_t)len;
	h.nlmsg_type = type;
	h.nlmsg_flags = flags;
	h.nlmsg_pid = pid;
	memcpy(request, &h, sizeof(h));
	assert_int_equal(send(fd, request, len, 0), len);
}

static void requests_that_ip_queue_refused_are_refused(void **state)
{
	static const struct {
		uint16_t type, flags;
		uint32_t pid, value;
		uint64_t id_add;
		int error;
	} all[] = { { IPQM_VERDICT, 0, 7, NF_DROP, 0, EINVAL },
		    { IPQM_VERDICT, NLM_F_REQUEST | NLM_F_MULTI, 7, NF_DROP, 0, EINVAL },
		    { IPQM_VERDICT, NLM_F_REQUEST, 0, NF_DROP, 0, EINVAL },
		    { IPQM_VERDICT, NLM_F_REQUEST, 1U << 31, NF_DROP, 0, EINVAL },
		    { IPQM_VERDICT, NLM_F_REQUEST, 8, NF_DROP, 0, EBUSY },
		    { IPQM_VERDICT, NLM_F_REQUEST, 7, NF_MAX_VERDICT + 1, 0, EINVAL },
		    { IPQM_VERDICT, NLM_F_REQUEST, 7, NF_DROP, 1ULL << 32, ENOENT },
		    { IPQM_MODE, NLM_F_REQUEST, 7, IPQ_COPY_MAX + 1, 0, EINVAL },
		    { IPQM_PACKET, NLM_F_REQUEST, 7, NF_DROP, 0, EINVAL },
		    { IPQM_MAX, NLM_F_REQUEST, 7, NF_DROP, 0, EINVAL } };
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	unsigned char request[64], buf[ROOM];
	uint32_t id;

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	id = fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	assert_int_equal(next_id(fd), id);
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		size_t len = wire_put_verdict(WIRE_LP64, request, 7, all[i].value, id + all[i].id_add, 0);
		int error;

		ask_changed(fd, request, len, all[i].type, all[i].flags, all[i].pid);
		settle(&r);
		assert_int_equal(next(fd, buf), 20 + len); /* the answer quotes the complete request */
		memcpy(&error, buf + 16, sizeof(error));
		assert_int_equal(-error, all[i].error);
		assert_memory_equal(buf + 20, request, len);
		assert_null(fake_verdict(r.fake));
	}
	ask_changed(fd, request, 20, IPQM_MODE, NLM_F_REQUEST, 7); /* the request is too short */
	settle(&r);
	assert_int_equal(next_error(fd), EINVAL);
	assert_int_equal(counts(&r, AF_INET).mode, COPY_META);
	ask_verdict(fd, 7, NF_STOLEN, id, NULL, 0);
	settle(&r);
	expect_verdict(&r, id, NF_DROP);
	assert_int_equal(counts(&r, AF_INET).dropped, 1);
	assert_int_equal(counts(&r, AF_INET).accepted, 0);
	id = fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	ask_verdict(fd, 7, NF_STOP, id, NULL, 0); /* the packet passes without further rules */
	settle(&r);
	expect_verdict(&r, id, NF_STOP);
	assert_int_equal(counts(&r, AF_INET).accepted, 1);
	close(fd);
	close_room(&r);
}

static void client_without_the_capability_is_refused(void **state)
{
	struct room r = open_room(false, NULL);
	unsigned char request[64];
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_true(engine_add(r.engine, pair[1], AF_INET, WIRE_LP64, 7, false) > 0);
	ask_mode(pair[0], WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	assert_int_equal(next_error(pair[0]), EPERM);
	wire_put_verdict(WIRE_LP64, request, 7, NF_DROP, 1, 0);
	ask_changed(pair[0], request, 40, IPQM_MAX, NLM_F_REQUEST, 7);
	settle(&r);
	assert_int_equal(next_error(pair[0]), EINVAL); /* refused, whichever client sends it */
	assert_int_equal(r.fake->configured, 0);
	close(pair[0]);
	settle(&r);
	assert_int_equal(fcntl(pair[1], F_GETFD), -1);
	close_room(&r);
}

static void replacements_that_ip_queue_ignored_are_ignored(void **state)
{
	static const struct {
		size_t len;
		uint64_t says;
		uint32_t code;
		bool replaced;
	} all[] = { { 20, 20, NF_ACCEPT, true },     { 19, 19, NF_ACCEPT, false },
		    { 40, 30, NF_ACCEPT, false },    { 40, 50, NF_ACCEPT, false },
		    { 40, 0, NF_ACCEPT, false },     { 65535, 65535, NF_ACCEPT, true },
		    { 65536, 65536, NF_DROP, false } };
	static unsigned char request[ROOM];
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		uint32_t id = fake_push_plain(r.fake, AF_INET, 60);
		struct fake_verdict *v;
		size_t len;

		settle(&r);
		assert_int_equal(next_id(fd), id);
		len = wire_put_verdict(WIRE_LP64, request, 7, NF_ACCEPT, id, all[i].len);
		memcpy(request + 32, &all[i].says, sizeof(all[i].says));
		assert_int_equal(send(fd, request, len, 0), len);
		settle(&r);
		v = fake_verdict(r.fake);
		assert_non_null(v);
		assert_int_equal(v->code, all[i].code);
		assert_int_equal(v->replaced, all[i].replaced);
		fake_verdict_free(v);
	}
	assert_int_equal(counts(&r, AF_INET).replaced, 2);
	close(fd);
	close_room(&r);
}

static void packet_of_a_refused_verdict_waits_on(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	unsigned char buf[ROOM];
	struct fake_verdict *v;
	uint32_t id;

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	id = fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	assert_int_equal(next_id(fd), id);
	ask_verdict(fd, 7, NF_ACCEPT, id, NULL, 0);
	settle(&r);
	v = fake_verdict(r.fake);
	assert_int_equal(counts(&r, AF_INET).queue_length, 0);
	for (unsigned i = 0; i < 2; i++) /* first a request whose answer no client awaits */
		r.fake->refusal[r.fake->refusals++] =
			(struct source_refusal){ .error = EINVAL,
						 .id = id,
						 .code = NF_ACCEPT,
						 .tag = v->tag + (i == 0 ? 4096 * 4096 : 0) };
	fake_verdict_free(v);
	fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	assert_int_equal(next_error(fd), EINVAL);
	assert_true(next(fd, buf) > 0); /* the packet */
	assert_int_equal(next(fd, buf), 0);
	assert_int_equal(counts(&r, AF_INET).queue_length, 2);
	close(fd);
	close_room(&r);
}

/* The source refuses an older verdict than the last one. */
static void refusal_quotes_the_request_that_was_refused(void **state)
{
	struct room r = open_room(false, NULL);
	int fd = add(&r, AF_INET, WIRE_LP64, 7);
	unsigned char buf[ROOM], request[64];
	uint32_t tag[2], id[2];

	(void)state;
	ask_mode(fd, WIRE_LP64, 7, COPY_META, 0);
	settle(&r);
	for (unsigned i = 0; i < 2; i++)
		id[i] = fake_push_plain(r.fake, AF_INET, 60);
	settle(&r);
	for (unsigned i = 0; i < 2; i++)
		ask_verdict(fd, 7, NF_ACCEPT, next_id(fd), NULL, 0);
	settle(&r);
	for (unsigned i = 0; i < 2; i++) {
		struct fake_verdict *v = fake_verdict(r.fake);

		assert_non_null(v);
		tag[i] = v->tag;
		fake_verdict_free(v);
	}
	r.fake->refusal[r.fake->refusals++] =
		(struct source_refusal){ .error = EINVAL, .id = id[0], .code = NF_ACCEPT, .tag = tag[0] };
	fake_push_plain(r.fake, AF_INET6, 60); /* makes the engine receive */
	settle(&r);
	assert_int_equal(next(fd, buf), 60);
	wire_put_verdict(WIRE_LP64, request, 7, NF_ACCEPT, id[0], 0);
	assert_memory_equal(buf + 20, request, 40);
	close(fd);
	close_room(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(source_is_configured_by_the_first_mode_request),
		cmocka_unit_test(log_names_clients_requests_and_failures),
		cmocka_unit_test(source_copies_the_larger_of_both_ranges),
		cmocka_unit_test(refused_configuration_is_reported_and_keeps_the_mode),
		cmocka_unit_test(verdict_refused_by_the_source_is_reported_with_its_request),
		cmocka_unit_test(verdict_on_unknown_id_is_passed_to_an_adopted_source),
		cmocka_unit_test(verdict_on_packet_of_other_family_is_refused),
		cmocka_unit_test(verdict_on_held_packet_is_refused),
		cmocka_unit_test(nf_queue_without_number_returns_to_the_source_queue),
		cmocka_unit_test(replacement_too_large_for_the_source_drops_one_packet),
		cmocka_unit_test(verdicts_survive_a_short_lack_of_memory),
		cmocka_unit_test(name_of_an_interface_is_that_of_the_source),
		cmocka_unit_test(each_packet_has_the_current_name_of_its_interface),
		cmocka_unit_test(requests_that_ip_queue_refused_are_refused),
		cmocka_unit_test(client_without_the_capability_is_refused),
		cmocka_unit_test(replacements_that_ip_queue_ignored_are_ignored),
		cmocka_unit_test(packet_of_a_refused_verdict_waits_on),
		cmocka_unit_test(refusal_quotes_the_request_that_was_refused),
		cmocka_unit_test(source_that_refuses_a_drop_has_failed),
		cmocka_unit_test(failed_source_ends_the_step_with_its_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
