// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The table of interfaces: look-ups, renaming, removal, lost events. The test itself simulates the kernel's
 * answers.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "source/links.h"

/* ---- the socket --------------------------------------------------------------------------------- */

static unsigned char waiting[64][256]; /* datagrams that the library will read */
static size_t length[64];
static unsigned written, taken, requests;
static int receive_error; /* an error that is reported once */
static bool silent;	  /* requests are not answered */
static bool slow;	  /* requests are answered during the poll */
static int slow_index;
static uint32_t slow_seq, port;

static void put_event(uint16_t type, int index, const char *name, uint16_t arphrd, uint8_t family,
		      uint32_t seq, uint32_t pid)
{
	unsigned char *at = waiting[written++ % 64];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(at);
	struct ifinfomsg *info;

	nlh->nlmsg_type = type;
	nlh->nlmsg_seq = seq;
	nlh->nlmsg_pid = pid;
	info = mnl_nlmsg_put_extra_header(nlh, sizeof(*info));
	info->ifi_family = family;
	info->ifi_index = index;
	info->ifi_type = arphrd;
	if (name != NULL)
		mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	length[(written - 1) % 64] = nlh->nlmsg_len;
}

/* Moves the newest datagram to the end of the one before it. */
static void join_events(void)
{
	size_t at = length[(written - 2) % 64];

	memcpy(waiting[(written - 2) % 64] + at, waiting[(written - 1) % 64], length[(written - 1) % 64]);
	length[(written - 2) % 64] += length[(written - 1) % 64];
	written--;
}

static void event(uint16_t type, int index, const char *name)
{
	put_event(type, index, name, (uint16_t)(index + 100), AF_UNSPEC, 0, 0);
}

ssize_t __wrap_mnl_socket_recvfrom(const struct mnl_socket *s, void *buf, size_t size);
ssize_t __wrap_mnl_socket_recvfrom(const struct mnl_socket *s, void *buf, size_t size)
{
	size_t len;

	(void)s;
	errno = receive_error != 0 ? receive_error : EAGAIN;
	if (receive_error != 0 || taken == written) {
		receive_error = 0;
		return -1;
	}
	len = length[taken % 64];
	assert_true(len <= size);
	memcpy(buf, waiting[taken++ % 64], len);
	return (ssize_t)len;
}

/* Simulates a kernel that has interfaces 1 to 99, called first1 and so on. */
ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *s, const void *request, size_t len);
ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *s, const void *request, size_t len)
{
	const struct nlmsghdr *nlh = request;
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(nlh);
	char name[16];

	requests++;
	port = mnl_socket_get_portid(s);
	slow_seq = nlh->nlmsg_seq;
	slow_index = info->ifi_index;
	assert_int_equal(nlh->nlmsg_type, RTM_GETLINK);
	snprintf(name, sizeof(name), "first%d", info->ifi_index);
	if (!silent && !slow && info->ifi_index < 100)
		put_event(RTM_NEWLINK, info->ifi_index, name, (uint16_t)(info->ifi_index + 100), AF_UNSPEC,
			  nlh->nlmsg_seq, mnl_socket_get_portid(s));
	return (ssize_t)len;
}

int __wrap_poll(void *fds, unsigned long n, int timeout);
int __wrap_poll(void *fds, unsigned long n, int timeout)
{
	(void)fds;
	(void)n;
	(void)timeout;
	if (slow)
		put_event(RTM_NEWLINK, slow_index, "slow", (uint16_t)(slow_index + 100), AF_UNSPEC, slow_seq,
			  port);
	return taken != written;
}

/* ------------------------------------------------------------------------------------------------- */

static struct links *l;

static int begin(void **state)
{
	(void)state;
	written = taken = requests = 0;
	receive_error = 0;
	silent = slow = false;
	return links_open(&l);
}

static int end(void **state)
{
	(void)state;
	links_close(l);
	return 0;
}

/* Events are read once per tick of the coarse clock. */
static void next_tick(void)
{
	usleep(12000);
}

static void expect(uint32_t index, const char *name)
{
	char got[16];
	uint16_t type;

	errno = 77;
	links_get(l, index, got, &type);
	assert_string_equal(got, name);
	assert_int_equal(type, *name != '\0' ? index + 100 : 0);
	assert_int_equal(errno, 77);
}

static void interfaces_are_asked_for_once(void **state)
{
	static const uint32_t order[] = { 5, 1,	 9,  3,	 7,  40, 2,  30, 4,  6,
					  8, 10, 20, 21, 22, 23, 24, 25, 26, 27 };

	(void)state;
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < 20; i++) {
			char name[16];

			snprintf(name, sizeof(name), "first%u", order[i]);
			expect(order[i], name);
		}
	assert_int_equal(requests, 20);
	expect(0, "");
	assert_int_equal(requests, 20);
	expect(100, ""); /* the simulated kernel has no such interface */
	assert_int_equal(requests, 21);
	for (uint32_t i = 30; i < 100; i++) {
		char name[16];

		snprintf(name, sizeof(name), "first%u", i);
		expect(i, name);
	}
}

static void renamed_interface_has_its_new_name(void **state)
{
	(void)state;
	expect(1, "first1");
	expect(2, "first2");
	event(RTM_NEWLINK, 2, "new");
	event(RTM_NEWLINK, 3, "unknown"); /* the library has not requested this interface */
	next_tick();
	expect(1, "first1");
	expect(2, "new");
	put_event(RTM_NEWLINK, 2, "bonded", 102, AF_UNSPEC, 0, 0);
	next_tick();
	expect(2, "bonded");
	assert_int_equal(requests, 2);
	expect(3, "first3");
	assert_int_equal(requests, 3);
}

static void type_that_changes_is_noticed(void **state)
{
	char name[16];
	uint16_t type;

	(void)state;
	expect(2, "first2");
	put_event(RTM_NEWLINK, 2, "tun0", 65534, AF_UNSPEC, 0, 0);
	next_tick();
	links_get(l, 2, name, &type);
	assert_int_equal(type, 65534);
}

static void removed_interface_is_asked_for_again(void **state)
{
	(void)state;
	for (uint32_t i = 1; i <= 3; i++) {
		char name[16];

		snprintf(name, sizeof(name), "first%u", i);
		expect(i, name);
	}
	event(RTM_NEWLINK, 3, "third");
	event(RTM_DELLINK, 1, "first1");
	event(RTM_DELLINK, 50, "never seen");
	join_events();
	next_tick();
	expect(2, "first2");
	expect(3, "third");
	assert_int_equal(requests, 3);
	expect(1, "first1");
	assert_int_equal(requests, 4);
	event(RTM_NEWLINK, 1, "a");
	event(RTM_NEWLINK, 2, "two");
	join_events();
	event(RTM_NEWLINK, 3, "three");
	join_events();
	event(RTM_DELLINK, 1, NULL);
	join_events();
	next_tick();
	expect(2, "two");
	expect(3, "three");
	assert_int_equal(requests, 4);
	expect(1, "first1");
	assert_int_equal(requests, 5);
}

/* The removal of an interface from a bridge is announced like the removal of a link. */
static void events_of_bridges_are_ignored(void **state)
{
	(void)state;
	expect(2, "first2");
	put_event(RTM_DELLINK, 2, "first2", 102, AF_BRIDGE, 0, 0);
	put_event(RTM_NEWLINK, 2, "br-port", 102, AF_BRIDGE, 0, 0);
	put_event(RTM_NEWADDR, 2, "address", 102, AF_UNSPEC, 0, 0);
	next_tick();
	expect(2, "first2");
	assert_int_equal(requests, 1);
}

static void lost_events_empty_the_table(void **state)
{
	(void)state;
	expect(1, "first1");
	expect(2, "first2");
	receive_error = ENOBUFS;
	next_tick();
	expect(1, "first1");
	expect(2, "first2");
	assert_int_equal(requests, 4);
	receive_error = EINTR; /* a signal: no event was lost */
	next_tick();
	expect(1, "first1");
	assert_int_equal(requests, 4);
}

/* Two events precede the answer: one about another interface, and one about the requested interface. */
static void events_are_not_taken_for_answers(void **state)
{
	(void)state;
	silent = true;
	event(RTM_NEWLINK, 7, "unasked");
	/* the sequence number is the same, but the port is that of another socket */
	put_event(RTM_NEWLINK, 8, "other", 108, AF_UNSPEC, 1, 0);
	next_tick();
	expect(6, "");
	silent = false;
	expect(7, "first7");
	expect(8, "first8");
	assert_int_equal(requests, 3);
}

/* The answer to an abandoned request arrives before the awaited one. */
static void late_answer_is_not_taken_for_the_awaited_one(void **state)
{
	(void)state;
	silent = true;
	expect(6, "");
	silent = false;
	slow = true;
	put_event(RTM_NEWLINK, 6, "late", 106, AF_UNSPEC, slow_seq, port);
	expect(7, "slow");
	slow = false;
}

static void damaged_messages_are_skipped(void **state)
{
	struct nlmsghdr nlh = { .nlmsg_len = 200, .nlmsg_type = RTM_NEWLINK };
	uint32_t short_len = 20;

	(void)state;
	expect(1, "first1");
	memset(waiting[written % 64], 0, 256);
	memcpy(waiting[written % 64], &nlh, sizeof(nlh));
	((struct nlmsghdr *)(void *)waiting[written % 64])->nlmsg_len =
		short_len; /* a length that is less than the content */
	written++;
	next_tick();
	expect(1, "first1");
	event(RTM_NEWLINK, 1, NULL); /* a message without a name */
	next_tick();
	expect(1, "first1");
	event(RTM_NEWLINK, 1, "a-name-that-is-longer-than-16");
	next_tick();
	expect(1, "a-name-that-is-");
	event(RTM_NEWLINK, 9, "of another");
	event(RTM_NEWLINK, 1, "cut in its name");
	length[(written - 1) % 64] = NLMSG_HDRLEN + sizeof(struct ifinfomsg) + 4;
	next_tick();
	expect(1, "a-name-that-is-");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(interfaces_are_asked_for_once),	TEST(renamed_interface_has_its_new_name),
		TEST(type_that_changes_is_noticed),	TEST(removed_interface_is_asked_for_again),
		TEST(events_of_bridges_are_ignored),	TEST(lost_events_empty_the_table),
		TEST(events_are_not_taken_for_answers), TEST(late_answer_is_not_taken_for_the_awaited_one),
		TEST(damaged_messages_are_skipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
