/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command ipq with a worker of ipq filter that fails. IPQ_FAULT="KIND WORKER ROW": in this worker (from 0), ROW
 * calls in a row fail, then one succeeds, and so on. KIND: packet (the decision on a packet), receive, send.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "filter/decide.h"

static char kind[16];
static unsigned worker, row;
static _Thread_local bool here;
static _Thread_local unsigned calls;

__attribute__((constructor)) static void read_environment(void)
{
	const char *fault = getenv("IPQ_FAULT");

	if (fault == NULL || sscanf(fault, "%15s %u %u", kind, &worker, &row) != 3)
		abort();
}

static bool fails(const char *what)
{
	if (!here || strcmp(kind, what) != 0 || calls++ % (row + 1) == row)
		return false;
	errno = ENOMEM;
	return true;
}

#define WRAP(type, name, parameters, arguments, what, failed)          \
	type __real_##name parameters;                                 \
	type __wrap_##name parameters;                                 \
	type __wrap_##name parameters                                  \
	{                                                              \
		return fails(what) ? failed : __real_##name arguments; \
	}

WRAP(int, decide_packet, (struct worker * w, struct ipq_packet *packet), (w, packet), "packet", -ENOMEM)
WRAP(ssize_t, recv, (int fd, void *buf, size_t len, int flags), (fd, buf, len, flags), "receive", -1)
WRAP(int, recvmmsg, (int fd, struct mmsghdr *m, unsigned n, int flags, struct timespec *t),
     (fd, m, n, flags, t), "receive", -1)
WRAP(ssize_t, send, (int fd, const void *buf, size_t len, int flags), (fd, buf, len, flags), "send", -1)
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags), "send", -1)

/* The worker calls this function before each receive. */
int __real_decide_timeout(struct worker *w);
int __wrap_decide_timeout(struct worker *w);
int __wrap_decide_timeout(struct worker *w)
{
	here = w->index == worker;
	return __real_decide_timeout(w);
}
