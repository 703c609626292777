// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The requests of the nfqueue source, and its reaction if the kernel refuses them, answers late or does not answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../exec_again.h"
#include "kernel.h"
#include "util/netlink.h"

static struct kernel k;
static struct source *s;
static struct ipq_error e;
static unsigned char memory[4096];
static uint32_t receive_buffer;

static int begin(void **state)
{
	(void)state;
	receive_buffer = 1 << 20;
	s = kernel_start(&k, "65535");
	return s != NULL ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	kernel_stop(&k, s);
	return 0;
}

static int configure(uint32_t flags, uint32_t range, uint32_t length)
{
	const struct source_config c = { .mode = COPY_PACKET,
					 .range = range,
					 .queue_length = length,
					 .receive_buffer = receive_buffer,
					 .flags = flags };

	e.text[0] = '\0';
	return s->ops->configure(s, &c, &e);
}

/* Finds the first request, from number `from` on, for which `is` returns true; NULL: none. */
static const struct kernel_request *find(unsigned from, bool (*is)(const struct kernel_request *r))
{
	for (unsigned i = from; i < k.requests; i++)
		if (is(&k.request[i]))
			return &k.request[i];
	return NULL;
}

static bool is_bind(const struct kernel_request *r)
{
	return r->command == NFQNL_CFG_CMD_BIND;
}

static bool is_unbind(const struct kernel_request *r)
{
	return r->command == NFQNL_CFG_CMD_UNBIND;
}

static bool is_mode(const struct kernel_request *r)
{
	return r->mode != 0;
}

static bool is_length(const struct kernel_request *r)
{
	return r->has_length;
}

static bool is_fail_open(const struct kernel_request *r)
{
	return r->has_flags && r->mask == NFQA_CFG_F_FAIL_OPEN;
}

static bool is_conntrack(const struct kernel_request *r)
{
	return r->has_flags && r->mask == NFQA_CFG_F_CONNTRACK;
}

static bool is_gso(const struct kernel_request *r)
{
	return r->has_flags && r->mask == NFQA_CFG_F_GSO;
}

static void first_configuration_asks_for_everything(void **state)
{
	int size = 0, on = 0;
	socklen_t len = sizeof(size);

	(void)state;
	assert_int_equal(configure(IPQ_O_FAIL_OPEN | IPQ_O_TIMESTAMP, 1000, 3000),
			 IPQ_O_FAIL_OPEN | IPQ_O_TIMESTAMP);
	assert_string_equal(e.text, "");
	for (unsigned i = 0; i < k.requests; i++)
		assert_int_equal(k.request[i].queue, 65535);
	for (unsigned i = 0; i < 2; i++) { /* Linux before 3.8 needs these requests */
		assert_int_equal(k.request[i].command, NFQNL_CFG_CMD_PF_BIND);
		assert_int_equal(k.request[i].family, i == 0 ? AF_INET : AF_INET6);
	}
	assert_ptr_equal(find(0, is_bind), &k.request[2]);
	assert_int_equal(find(0, is_mode)->mode, NFQNL_COPY_PACKET + 1);
	assert_int_equal(find(0, is_mode)->range, 1000);
	assert_ptr_equal(find(0, is_mode),
			 &k.request[k.requests - 1]); /* no packet is queued before the mode is set */
	assert_int_equal(find(0, is_length)->length, 3000);
	assert_int_equal(find(0, is_fail_open)->flags, NFQA_CFG_F_FAIL_OPEN);
	assert_int_equal(find(0, is_gso)->flags, NFQA_CFG_F_GSO); /* packets are not split */
	assert_null(find(0, is_conntrack));
	assert_int_equal(getsockopt(s->ops->fd(s), SOL_SOCKET, SO_TIMESTAMP, &on, &len), 0);
	assert_int_equal(on, 1);
	assert_int_equal(getsockopt(s->ops->fd(s), SOL_SOCKET, SO_RCVBUF, &size, &len), 0);
	assert_true(size >= 212992);
	receive_buffer = 100000;
	assert_int_equal(configure(IPQ_O_FAIL_OPEN | IPQ_O_TIMESTAMP, 1000, 3000),
			 IPQ_O_FAIL_OPEN | IPQ_O_TIMESTAMP);
	assert_int_equal(getsockopt(s->ops->fd(s), SOL_SOCKET, SO_RCVBUF, &size, &len), 0);
	assert_int_equal(size, 100000);
}

static void later_configuration_asks_for_what_changes(void **state)
{
	unsigned before;

	(void)state;
	assert_int_equal(configure(IPQ_O_FAIL_OPEN | IPQ_O_SEGMENT, 1000, 3000),
			 IPQ_O_FAIL_OPEN | IPQ_O_SEGMENT);
	before = k.requests;
	assert_int_equal(configure(IPQ_O_FAIL_OPEN | IPQ_O_SEGMENT, 70000, 3000),
			 IPQ_O_FAIL_OPEN | IPQ_O_SEGMENT);
	assert_int_equal(k.requests, before + 1);
	assert_int_equal(find(before, is_mode)->range, 0); /* range 0: the complete packet */
	before = k.requests;
	assert_int_equal(configure(IPQ_O_SEGMENT, 1000, 4000), IPQ_O_SEGMENT);
	assert_null(find(before, is_bind));
	assert_int_equal(find(before, is_length)->length, 4000);
	assert_int_equal(find(before, is_fail_open)->flags, 0);
	assert_null(find(before, is_gso));
}

static int refuse_conntrack(struct kernel *kernel, const struct kernel_request *r)
{
	(void)kernel;
	return is_conntrack(r) ? EOPNOTSUPP : 0;
}

static void flag_that_the_kernel_lacks_is_an_error_or_left_out(void **state)
{
	const uint32_t wanted = IPQ_O_CONNTRACK | IPQ_O_SEGMENT | IPQ_O_BEST_EFFORT;

	(void)state;
	k.answer = refuse_conntrack;
	assert_int_equal(configure(IPQ_O_CONNTRACK | IPQ_O_SEGMENT, 0, 3000), -EOPNOTSUPP);
	assert_non_null(strstr(e.text, "conntrack"));
	assert_non_null(find(0, is_unbind));
	assert_int_equal(configure(wanted, 0, 3000), wanted & ~(uint32_t)IPQ_O_CONNTRACK);
}

static int refuse_mode(struct kernel *kernel, const struct kernel_request *r)
{
	(void)kernel;
	return is_mode(r) ? EIO : 0;
}

/* The program may try another queue afterwards, so the source must not keep the first queue. */
static void failed_first_configuration_gives_the_queue_back(void **state)
{
	unsigned before;

	(void)state;
	k.answer = refuse_mode;
	assert_int_equal(configure(IPQ_O_SEGMENT, 0, 3000), -EIO);
	assert_non_null(find(0, is_unbind));
	k.answer = NULL;
	before = k.requests;
	assert_int_equal(configure(IPQ_O_SEGMENT, 0, 3000), IPQ_O_SEGMENT);
	assert_non_null(find(before, is_bind));
	assert_non_null(find(before, is_length));
	k.answer = refuse_mode;
	before = k.requests;
	assert_int_equal(configure(IPQ_O_SEGMENT, 100, 3000), -EIO);
	assert_null(find(before, is_unbind)); /* if a later configuration fails, the source keeps the queue */
}

static int refuse_bind(struct kernel *kernel, const struct kernel_request *r)
{
	(void)kernel;
	return is_bind(r) ? EPERM : 0;
}

static int refuse_all(struct kernel *kernel, const struct kernel_request *r)
{
	(void)kernel;
	(void)r;
	return EPERM;
}

static int know_nothing(struct kernel *kernel, const struct kernel_request *r)
{
	(void)kernel;
	(void)r;
	return EINVAL;
}

static void refused_queue_is_explained(void **state)
{
	(void)state;
	k.answer = refuse_bind;
	assert_int_equal(configure(IPQ_O_SEGMENT, 0, 3000), -EBUSY);
	assert_non_null(strstr(e.text, "is taken by"));
	k.answer = refuse_all;
	assert_int_equal(configure(IPQ_O_SEGMENT, 0, 3000), -EPERM);
	assert_non_null(strstr(e.text, "CAP_NET_ADMIN"));
	k.answer = know_nothing;
	assert_int_equal(configure(IPQ_O_SEGMENT, 0, 3000), -ECONNREFUSED);
	assert_non_null(strstr(e.text, "modprobe"));
}

static unsigned lose;

static int lose_some(struct kernel *kernel, const struct kernel_request *r)
{
	(void)kernel;
	return is_length(r) && lose > 0 && lose-- ? -1 : 0;
}

static void request_whose_answer_is_lost_is_repeated(void **state)
{
	(void)state;
	lose = 1;
	k.answer = lose_some;
	assert_int_equal(configure(IPQ_O_SEGMENT, 0, 3000), IPQ_O_SEGMENT);
	assert_int_equal(lose, 0);
}

static bool late;

/* The first request for a length is refused, but this answer arrives after the second request was sent. */
static int answer_late(struct kernel *kernel, const struct kernel_request *r)
{
	struct {
		struct nlmsghdr nlh;
		struct nlmsgerr error;
	} answer = { .nlh = { .nlmsg_len = sizeof(answer), .nlmsg_type = NLMSG_ERROR },
		     .error = { .error = -EIO,
				.msg = { .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG } } };

	if (!is_length(r))
		return 0;
	if (late) {
		late = false;
		return -1;
	}
	answer.error.msg.nlmsg_seq = nfqueue(s)->seq - 1;
	memcpy(kernel->before, &answer, sizeof(answer));
	kernel->before_len = sizeof(answer);
	return 0;
}

static void late_answer_of_an_older_request_is_ignored(void **state)
{
	(void)state;
	late = true;
	k.answer = answer_late;
	assert_int_equal(configure(IPQ_O_SEGMENT, 0, 3000), IPQ_O_SEGMENT);
}

/* Packets arrive before the answer to a request. The next receives must return them, in order. */
static int deliver_before(struct kernel *kernel, const struct kernel_request *r)
{
	static uint32_t id;

	if (is_mode(r) || is_length(r))
		kernel->before_len = kernel_packet(kernel->before, ++id, "bytes of a packet...", 20);
	return 0;
}

static bool ignore(void *context, const struct source_refusal *refusal)
{
	(void)context;
	(void)refusal;
	return false;
}

static void packets_during_a_configuration_are_kept(void **state)
{
	const struct iovec slot = { memory, sizeof(memory) };
	struct ipq_packet p;

	(void)state;
	k.answer = deliver_before;
	assert_int_equal(configure(IPQ_O_SEGMENT, 0, 3000), IPQ_O_SEGMENT);
	for (uint32_t id = 1; id <= 2; id++) {
		int n = 0;

		for (unsigned tries = 0; n == 0 && tries < 10; tries++)
			n = nfqueue_recv(s, &slot, &p, 1, 1000, ignore, NULL);
		assert_int_equal(n, 1);
		assert_int_equal(p.id, id);
		assert_int_equal(p.payload_len, 20);
	}
}

static void queue_numbers_are_0_to_65535(void **state)
{
	static const char *const wrong[] = { "65536", "-1", "+1",  " 1",	 "",
					     "x",     "1x", "0x1", "4294967296", "18446744073709551617" };
	struct source *other;

	(void)state;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(source_nfqueue.open(&other, wrong[i], &e), -EINVAL);
	assert_int_equal(source_nfqueue.open(&other, "0", &e), 0);
	assert_int_equal(other->queue_number, 0);
	other->ops->close(other);
	assert_int_equal(s->queue_number, 65535);
}

static void descriptor_of_a_queue_is_a_number(void **state)
{
	static const char *const wrong[] = { "5,fd=",	"5,fd=x",	    "5,fd=-1", "5,fd=+1", "5,fd= 1",
					     "5,fd=1x", "5,fd=99999999999", "5,fd",    "5,df=1",  "5fd=1" };
	struct source *other;
	char name[16];
	bool absent;
	int fd = netlink_open(&absent);

	(void)state;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(source_nfqueue.open(&other, wrong[i], &e), -EINVAL);
	for (int digit = 1; digit <= 9; digit++) {
		int given = fcntl(fd, F_DUPFD_CLOEXEC, 10 * digit);

		snprintf(name, sizeof(name), "5,fd=%d", given);
		assert_int_equal(source_nfqueue.open(&other, name, &e), 0);
		assert_true(other->ops->fd(other) >= 0 && other->ops->fd(other) != given);
		other->ops->close(other);
		assert_int_equal(close(given), 0); /* the caller's descriptor is still open */
		assert_int_equal(source_nfqueue.open(&other, name, &e), -EBADF);
	}
	close(fd);
}

static char *program; /* path of this program */

/* The program may have got LISTEN_FDS without names, which the library needs. */
static void inherited_descriptors_without_names_are_ignored(void **state)
{
	char pid[16];
	int status = -1;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		snprintf(pid, sizeof(pid), "%d", (int)getpid());
		setenv("LISTEN_PID", pid, 1);
		setenv("LISTEN_FDS", "1", 1);
		unsetenv("LISTEN_FDNAMES");
		exec_again(program, (char *[]){ program, "only start", NULL });
		_exit(1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void socket_of_the_kernel_is_no_placeholder(void **state)
{
	bool absent = true;
	int fd;

	(void)state;
	errno = EPROTONOSUPPORT; /* of an earlier call */
	fd = netlink_open(&absent);
	assert_true(fd >= 0);
	assert_false(absent);
	close(fd);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(first_configuration_asks_for_everything),
		TEST(later_configuration_asks_for_what_changes),
		TEST(flag_that_the_kernel_lacks_is_an_error_or_left_out),
		TEST(failed_first_configuration_gives_the_queue_back),
		TEST(refused_queue_is_explained),
		TEST(request_whose_answer_is_lost_is_repeated),
		TEST(late_answer_of_an_older_request_is_ignored),
		TEST(packets_during_a_configuration_are_kept),
		TEST(queue_numbers_are_0_to_65535),
		TEST(descriptor_of_a_queue_is_a_number),
		TEST(inherited_descriptors_without_names_are_ignored),
		TEST(socket_of_the_kernel_is_no_placeholder),
	};

	program = argv[0];
	if (argc > 1) /* started by inherited_descriptors_without_names_are_ignored */
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
