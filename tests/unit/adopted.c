/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A queue that is taken over: the ids of its two queues become one sequence, and verdicts are sent to the right queue.
 * */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "nfqueue/adopted.h"

#define MAIN 7
#define SPARE (7 ^ 0xc000)

static unsigned char bytes[64];
static struct ipq_packet p;
static struct nfq_reply r;

/* Builds the message of a packet of this queue. */
static size_t message(uint16_t queue, uint32_t id)
{
	const struct nfqnl_msg_packet_hdr hdr = { .packet_id = htonl(id) };
	const struct {
		struct nlmsghdr nlh;
		struct nfgenmsg gen;
		struct nlattr attribute;
	} head = { .nlh = { .nlmsg_len = sizeof(head) + 8,
			    .nlmsg_type = (NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_PACKET },
		   .gen = { .res_id = htons(queue) },
		   .attribute = { NLA_HDRLEN + sizeof(hdr), NFQA_PACKET_HDR } };

	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, &head, sizeof(head));
	memcpy(bytes + sizeof(head), &hdr, sizeof(hdr));
	nfq_parse(bytes, sizeof(head) + 8, &p, &r);
	assert_int_equal(r.kind, NFQ_PACKET);
	return sizeof(head) + 8;
}

static void collect(struct adopted *a, uint16_t queue, uint32_t id)
{
	size_t len = message(queue, id);

	assert_int_equal(adopted_collect(a, bytes, len, &p, &r), 0);
}

/* Adopts a queue whose spare queue has `count` packets, from `first` on. */
static struct adopted *adopt(uint32_t first, unsigned count)
{
	struct adopted *a = adopted_new();
	unsigned i;

	assert_non_null(a);
	a->main = MAIN;
	a->spare = SPARE;
	a->collecting = COLLECT_SPARE;
	for (i = 0; i < count; i++)
		collect(a, SPARE, first + i);
	return a;
}

/* Returns the reader's id of the oldest collected message. */
static uint32_t next_id(struct adopted *a)
{
	struct held_message *m = adopted_pop(a);
	uint32_t id;

	assert_non_null(m);
	nfq_parse(m->bytes, m->len, &p, &r);
	adopted_translate(a, m->bytes, m->len, &p, &r);
	id = p.id;
	free(m);
	return id;
}

static uint32_t main_id(struct adopted *a, uint32_t id)
{
	size_t len = message(MAIN, id);

	assert_false(adopted_translate(a, bytes, len, &p, &r));
	return p.id;
}

static void packets_of_the_spare_queue_come_first(void **state)
{
	struct adopted *a = adopt(UINT32_MAX - 1, 3); /* the ids wrap */
	uint32_t id;

	(void)state;
	collect(a, MAIN, 20);
	assert_true(a->main_seen);
	assert_int_equal(a->main_last, 20);
	a->collecting = COLLECT_ALL;
	collect(a, MAIN, 21);
	collect(a, SPARE, 1);
	assert_int_equal(adopted_finish(a), 0);
	assert_int_equal(atomic_load(&a->left), 4);
	assert_int_equal(next_id(a), UINT32_MAX - 1);
	assert_int_equal(next_id(a), UINT32_MAX);
	assert_int_equal(next_id(a), 0);
	assert_int_equal(next_id(a), 1);
	id = next_id(a);
	assert_true((int32_t)(id - 1) > 0);
	assert_int_equal(main_id(a, 22), id + 1);
	assert_null(adopted_pop(a));
	assert_int_equal(atomic_load(&a->collected), 0);
	adopted_free(a);
}

static void messages_before_the_move_are_ignored(void **state)
{
	struct adopted *a = adopted_new();

	(void)state;
	a->main = MAIN;
	a->spare = SPARE;
	a->collecting = COLLECT_NONE;
	collect(a, SPARE, 1);
	collect(a, MAIN, 1);
	assert_false(a->main_seen);
	assert_int_equal(adopted_finish(a), 0);
	assert_null(adopted_pop(a));
	/* no packet was left, so the reader's ids are those of the kernel */
	assert_int_equal(main_id(a, 5), 5);
	adopted_free(a);
}

static void verdict_goes_to_the_queue_of_its_packet(void **state)
{
	struct adopted *a = adopt(5, 3);
	struct source_verdict v = { .id = 6 }, spare, main;
	struct adopted_parts parts;

	(void)state;
	assert_int_equal(adopted_finish(a), 0);
	parts = adopted_split(a, &v, &spare, &main);
	assert_true(parts.spare && !parts.main);
	assert_int_equal(spare.id, 6);
	assert_false(adopted_decided(a, &spare));
	assert_false(adopted_decided(a, &spare)); /* the verdict was given a second time */
	assert_int_equal(atomic_load(&a->left), 2);

	v.id = main_id(a, 100);
	parts = adopted_split(a, &v, &spare, &main);
	assert_true(!parts.spare && parts.main);
	assert_int_equal(main.id, 100);

	v.batch = 1;
	parts = adopted_split(a, &v, &spare, &main);
	assert_true(parts.spare && parts.main);
	assert_int_equal(spare.id, 7);
	assert_int_equal(main.id, 100);
	assert_true(adopted_decided(a, &spare));
	parts = adopted_split(a, &v, &spare, &main);
	assert_true(!parts.spare && parts.main);
	adopted_free(a);
}

static void lost_packet_of_the_spare_queue_is_not_waited_for(void **state)
{
	struct adopted *a = adopt(1, 1);
	const struct source_verdict all = { .id = 3, .batch = 1 }, unknown = { .id = 4 };

	(void)state;
	collect(a, SPARE, 3); /* packet 2 was lost, because it did not fit into the socket's buffer */
	assert_int_equal(adopted_finish(a), 0);
	assert_int_equal(atomic_load(&a->left), 2);
	assert_false(adopted_decided(a, &unknown));
	assert_true(adopted_decided(a, &all));
	adopted_free(a);
}

static void message_of_the_other_spare_queue_is_ignored(void **state)
{
	struct adopted *a = adopt(5, 1);

	(void)state;
	collect(a, MAIN ^ 0x8000, 9);
	assert_false(a->main_seen);
	a->collecting = COLLECT_ALL;
	collect(a, MAIN ^ 0x8000, 9);
	assert_int_equal(atomic_load(&a->collected), 1);
	adopted_free(a);
}

/* The refusal of a verdict has the id that the reader knows, or is hidden if it belongs to the predecessor. */
static void refusal_has_the_id_of_the_reader(void **state)
{
	static const struct {
		uint16_t queue;
		bool unread, hidden;
		uint32_t id;
	} all[] = { { SPARE, false, false, 5 },
		    { MAIN, false, false, 100 },
		    { MAIN, true, false, 90 },
		    { MAIN, true, true, 89 } };
	struct adopted *a = adopt(5, 1);
	uint32_t shift;

	(void)state;
	assert_int_equal(adopted_finish(a), 0);
	shift = main_id(a, 100) - 100;
	assert_int_not_equal(shift, 0);
	message(SPARE, 5);
	assert_true(adopted_translate(a, bytes, 32, &p, &r));
	assert_int_equal(p.id, 5);
	a->first = 90; /* the first packet that this process reads */
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct {
			struct nlmsghdr nlh;
			int error;
			struct nlmsghdr quoted;
			struct nfgenmsg gen;
		} refusal = { .error = -ENOENT, .gen = { .res_id = htons(all[i].queue) } };
		bool spare;

		a->unread = all[i].unread;
		r = (struct nfq_reply){ .kind = NFQ_REFUSED,
					.refusal = { .error = ENOENT, .id = all[i].id } };
		spare = adopted_translate(a, (const unsigned char *)&refusal, sizeof(refusal), &p, &r);
		assert_int_equal(spare, all[i].queue == SPARE);
		assert_int_equal(r.kind, all[i].hidden ? NFQ_ACK : NFQ_REFUSED);
		if (all[i].hidden)
			assert_int_equal(r.type, NLMSG_NOOP);
		else
			assert_int_equal(r.refusal.id, all[i].id + (spare ? 0 : shift));
		r = (struct nfq_reply){ .kind = NFQ_REFUSED, .refusal = { .error = ENOENT, .id = 95 } };
		adopted_translate(a, (const unsigned char *)&refusal, sizeof(refusal) - 1, &p, &r);
		assert_int_equal(r.refusal.id, 95); /* the queue is unknown */
	}
	adopted_free(a);
	assert_int_equal(mincore(a, 4096, bytes), -1); /* the memory is no longer mapped */
}

/* One process reads and another one decides: the second process must use the ids that the first one has given. */
static void process_after_a_fork_decides_by_the_same_ids(void **state)
{
	struct adopted *a = adopt(5, 1);
	struct source_verdict v = { .id = 0 }, spare, main;
	int ends[2], status = -1;
	pid_t pid;

	(void)state;
	assert_int_equal(adopted_finish(a), 0);
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		if (read(ends[0], &v.id, sizeof(v.id)) != sizeof(v.id))
			_exit(2);
		adopted_split(a, &v, &spare, &main);
		spare.id = 5;
		_exit(main.id == 500 && adopted_decided(a, &spare) ? 0 : 1);
	}
	v.id = main_id(a, 500);
	assert_int_equal(write(ends[1], &v.id, sizeof(v.id)), sizeof(v.id));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(atomic_load(&a->left), 0);
	close(ends[0]);
	close(ends[1]);
	adopted_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_of_the_spare_queue_come_first),
		cmocka_unit_test(messages_before_the_move_are_ignored),
		cmocka_unit_test(verdict_goes_to_the_queue_of_its_packet),
		cmocka_unit_test(lost_packet_of_the_spare_queue_is_not_waited_for),
		cmocka_unit_test(message_of_the_other_spare_queue_is_ignored),
		cmocka_unit_test(refusal_has_the_id_of_the_reader),
		cmocka_unit_test(process_after_a_fork_decides_by_the_same_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
