/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The last error of libipq, which each thread has for itself, and the results of calls that fail or time out.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <libipq.h>
#include "classic/classic.h"
#include "util/clock.h"
#include "util/compiler.h"

static const char *const error_text[] = {
	[IPQ_ERR_NONE] = "Unknown error",
	[IPQ_ERR_IMPL] = "Implementation error",
	[IPQ_ERR_HANDLE] = "Unable to create netlink handle",
	[IPQ_ERR_SOCKET] = "Unable to create netlink socket",
	[IPQ_ERR_BIND] = "Unable to bind netlink socket",
	[IPQ_ERR_BUFFER] = "Unable to allocate buffer",
	[IPQ_ERR_RECV] = "Failed to receive netlink message",
	[IPQ_ERR_NLEOF] = "Received EOF on netlink socket",
	[IPQ_ERR_ADDRLEN] = "Invalid peer address length",
	[IPQ_ERR_STRUNC] = "Sent message truncated",
	[IPQ_ERR_RTRUNC] = "Received message truncated",
	[IPQ_ERR_NLRECV] = "Received error from netlink",
	[IPQ_ERR_SEND] = "Failed to send netlink message",
	[IPQ_ERR_SUPP] = "Operation not supported",
	[IPQ_ERR_RECVBUF] = "Receive buffer size invalid",
	[IPQ_ERR_TIMEOUT] = "Timeout",
	[IPQ_ERR_PROTOCOL] = "Invalid protocol specified",
};

static _Thread_local int last_error;

__cold long classic_fail(int ipq_error, int err)
{
	last_error = ipq_error;
	if (err != 0)
		errno = err;
	return -1;
}

struct read_result classic_read_failed(int ipq_error, int err)
{
	return classic_read_done(classic_fail(ipq_error, err));
}

struct read_result classic_timed_out(void)
{
	classic_fail(IPQ_ERR_TIMEOUT, 0);
	errno = 0;
	return classic_read_done(0);
}

__cancelled_frame struct read_result classic_wait(const struct classic *c, int64_t deadline)
{
	struct pollfd p = { .fd = c->public.fd, .events = POLLIN };
	int64_t left = deadline == READ_NOW ? 0 : deadline - now_us();
	struct timespec t = { .tv_sec = left > 0 ? (time_t)(left / 1000000) : 0,
			      .tv_nsec = left > 0 ? (long)(left % 1000000 * 1000) : 0 };
	int n = ppoll(&p, 1, deadline == READ_FOREVER ? NULL : &t, NULL);

	if (n < 0)
		return errno == EINTR ? classic_read_done(0) : classic_read_failed(IPQ_ERR_RECV, errno);
	return n == 0 ? classic_timed_out() : (struct read_result){ READ_NOTHING, 0 };
}

char *ipq_errstr(void)
{
	return (char *)error_text[last_error];
}

void ipq_perror(const char *s)
{
	int err = errno;

	fputs(s != NULL ? s : "ERROR", stderr);
	if (last_error != IPQ_ERR_NONE)
		fprintf(stderr, ": %s", ipq_errstr());
	if (err != 0)
		fprintf(stderr, ": %s", strerror(err));
	fputc('\n', stderr);
}
