/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * answers API: the kernel's answers to requests of the nfqueue source arrive late, twice, not at all, or after an
 * older answer. Another process sends forged answers. The queue must work, or the request must fail with a message
 * after a timeout.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "packets.h"

enum fate { IN_ORDER, LATE, DOUBLED, STALE_FIRST, FIRST_MISSING, MISSING };

#define LATE_MS 40
#define ANSWER_MAX 512

/* The treatment of answers on the socket that sends requests. Only one thread at a time uses it. */
static struct {
	atomic_int fate;		/* a value of enum fate */
	unsigned char held[ANSWER_MAX]; /* the answer that is being delayed */
	ssize_t held_len;
	int64_t due;   /* time in ms at which the delayed answer is delivered */
	uint32_t seen; /* sequence number of the last answer */
	unsigned answers;
} wire;

struct answer {
	struct nlmsghdr nlh;
	struct nlmsgerr error;
};

static bool is_answer(const void *buf, ssize_t len, struct answer *a)
{
	if (len < (ssize_t)sizeof(*a) || len > ANSWER_MAX)
		return false;
	memcpy(a, buf, sizeof(*a));
	return a->nlh.nlmsg_type == NLMSG_ERROR &&
	       a->error.msg.nlmsg_type == (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG);
}

static ssize_t return_eagain(void)
{
	errno = EAGAIN;
	return -1;
}

static void hold_answer(const void *buf, ssize_t len, int64_t due)
{
	memcpy(wire.held, buf, (size_t)len);
	wire.held_len = len;
	wire.due = due;
}

static ssize_t return_held_answer(void *buf)
{
	ssize_t len = wire.held_len;

	memcpy(buf, wire.held, (size_t)len);
	wire.held_len = 0;
	return len;
}

/* Treats an answer that was just received as the test requires. */
static ssize_t apply_fate(void *buf, ssize_t len, struct answer *a)
{
	bool again = a->error.msg.nlmsg_seq == wire.seen + 1; /* the answer to a repeated request */

	wire.answers++;
	wire.seen = a->error.msg.nlmsg_seq;
	switch (atomic_load(&wire.fate)) {
	case LATE:
		hold_answer(buf, len, clock_ms() + LATE_MS);
		return return_eagain();
	case DOUBLED:
		hold_answer(buf, len, 0);
		return len;
	case STALE_FIRST:
		hold_answer(buf, len, 0);
		a->error.error = -EPERM;
		a->error.msg.nlmsg_seq--;
		memcpy(buf, a, sizeof(*a));
		return len;
	case FIRST_MISSING: /* every other answer is lost, so each request is sent twice */
		return wire.answers % 2 == 1 || !again ? return_eagain() : len;
	case MISSING:
		return return_eagain();
	default:
		return len;
	}
}

ssize_t __real_recv(int fd, void *buf, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags)
{
	struct answer a;
	ssize_t n;

	if (wire.held_len > 0 && len >= ANSWER_MAX)
		return clock_ms() >= wire.due ? return_held_answer(buf) : return_eagain();
	n = __real_recv(fd, buf, len, flags);
	return n > 0 && is_answer(buf, n, &a) ? apply_fate(buf, n, &a) : n;
}

/* ---- the tests -------------------------------------------------------------------------------------------
 */

static void queue_works(struct reader *r)
{
	static unsigned next;
	/* an engine may still wait for an answer, for 200 ms */
	int wait_ms = api == ENGINE ? 600 : 100;

	say(next, 10);
	next += 10;
	want(reader_work(r, wait_ms) == 10);
	reader_flush(r);
	want(heard(wait_ms) == 5);
	want(r->refusals == 0);
}

/* Changes a setting. Only the classic calls can do that. */
static int ask_again(struct reader *r)
{
	return api == NEW || ipq_set_mode(r->h, IPQ_COPY_PACKET, 1000) > 0 ? 0 : -errno;
}

/*
 * A mode request has failed. The next read returns a message about the failure, as with ip_queue; later reads do
 * not.
 */
static void failure_is_read_once(struct reader *r)
{
	if (api == NEW)
		return;
	want(ipq_read(r->h, r->buf, sizeof(r->buf), 600000) > 0 && ipq_message_type(r->buf) == NLMSG_ERROR &&
	     ipq_get_msgerr(r->buf) == ETIMEDOUT);
	want(ipq_read(r->h, r->buf, sizeof(r->buf), 100000) == 0);
}

static void queue_works_despite(enum fate fate)
{
	struct reader r = { .q = NULL };
	const char *why = "";

	atomic_store(&wire.fate, fate);
	if (want(reader_open(&r, &why) == 0)) {
		queue_works(&r);
		want(ask_again(&r) == 0);
		atomic_store(&wire.fate, IN_ORDER);
		queue_works(&r);
	} else {
		printf("%s\n", why);
	}
	atomic_store(&wire.fate, IN_ORDER);
	reader_close(&r);
	want(queue_is_free());
}

static void missing_answer_is_an_error(void)
{
	struct reader r = { .q = NULL };
	int64_t start = clock_ms();
	const char *why = "";

	atomic_store(&wire.fate, MISSING);
	want(reader_open(&r, &why) == -ETIMEDOUT && *why != '\0');
	/* An engine sends a request when it is created, and another one for the mode. */
	want(clock_ms() - start < (api == ENGINE ? 16000 : 8000));
	atomic_store(&wire.fate, IN_ORDER);
	want(reader_open(&r, &why) == 0); /* opened with the same handle, if there is one */
	failure_is_read_once(&r);
	queue_works(&r);
	if (api == STRICT || api == BATCH) {
		atomic_store(&wire.fate, MISSING);
		want(ask_again(&r) == -ETIMEDOUT);
		atomic_store(&wire.fate, IN_ORDER);
		failure_is_read_once(&r);
		queue_works(&r);
	}
	reader_close(&r);
	want(queue_is_free());
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	want(syscall(SYS_capset, &header, none) == 0);
}

/* Whether the kernel delivers a message from another socket to this address. */
static bool reaches(int protocol, struct sockaddr_nl to)
{
	struct answer forged = { .nlh = { .nlmsg_len = sizeof(forged), .nlmsg_type = NLMSG_ERROR },
				 .error = { .error = -EPERM,
					    .msg = { .nlmsg_type =
							     NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG } } };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	ssize_t n = sendto(fd, &forged, sizeof(forged), 0, (struct sockaddr *)&to, sizeof(to));

	close(fd);
	return n >= 0;
}

/* The number of this process's netlink sockets that accept messages from other processes. */
static unsigned reachable(void)
{
	unsigned sockets = 0, reached = 0;
	int fd, protocol;

	for (fd = 3; fd < 200; fd++) {
		struct sockaddr_nl own = { .nl_family = 0 };
		socklen_t len = sizeof(own), size = sizeof(protocol);

		if (getsockname(fd, (struct sockaddr *)&own, &len) < 0 || own.nl_family != AF_NETLINK ||
		    getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) < 0)
			continue;
		sockets++;
		own.nl_groups = 0;
		if (reaches(protocol, own)) {
			printf("descriptor %d (protocol %d) accepts messages from other processes\n", fd,
			       protocol);
			reached++;
		}
	}
	want(sockets >= 2); /* the sockets of the queue and of the table of interfaces */
	return reached;
}

static void only_the_kernel_can_send_to_the_sockets(void)
{
	struct reader r = { .q = NULL };
	const char *why = "";
	int status = 1;

	want(reader_open(&r, &why) == 0);
	want(reachable() == 0);
	if (fork() == 0) {
		failures = 0;
		drop_capabilities();
		want(reachable() == 0);
		_exit(failures != 0);
	}
	wait(&status);
	want(status == 0);
	queue_works(&r);
	reader_close(&r);
}

int main(int argc, char **argv)
{
	(void)argc;
	choose_api(argv);
	open_sockets();
	queue_works_despite(LATE);
	queue_works_despite(DOUBLED);
	queue_works_despite(STALE_FIRST);
	queue_works_despite(FIRST_MISSING);
	missing_answer_is_an_error();
	only_the_kernel_can_send_to_the_sockets();
	return failures != 0;
}
