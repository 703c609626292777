/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as messages of rtnetlink: the table of interfaces reads datagrams from the input instead of a socket
 * (-Wl,--wrap). It always returns names that are terminated and padded with zeros. An interface that no message has
 * announced has no name.
 *
 * Input: steps. Each has one byte, the requested index, and up to two datagrams: the contents of the socket and, if
 * the table requests an unknown index, the answer. Each has two bytes of length first. A length of 0 means no
 * datagram, 0xffff an overrun (ENOBUFS), 0xfffe a signal (EINTR).
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <net/if.h>
#include <stdbool.h>
#include <time.h>
#include "source/links.h"
#include "main.h"

static struct {
	const uint8_t *at;
	size_t left;
	bool told; /* the socket is empty until the table sends a request */
	bool mute; /* the socket stays empty even after a request */
	uint32_t seq;
} in;

ssize_t __wrap_mnl_socket_recvfrom(const struct mnl_socket *s, void *buf, size_t size);
ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *s, const void *buf, size_t len);
int __wrap_poll(void *fds, unsigned long n, int timeout);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);

ssize_t __wrap_mnl_socket_recvfrom(const struct mnl_socket *s, void *buf, size_t size)
{
	struct nlmsghdr nlh;
	size_t len;

	errno = EAGAIN;
	if (in.told || in.mute || in.left < 2)
		return -1;
	len = (size_t)(in.at[0] << 8 | in.at[1]);
	in.told = true;
	in.at += 2;
	in.left -= 2;
	if (len == 0)
		return -1;
	if (len >= 0xfffe) {
		errno = len == 0xffff ? ENOBUFS : EINTR;
		return -1;
	}
	if (len > in.left)
		len = in.left;
	if (len > size) { /* a message that is too long, as in libmnl */
		errno = ENOSPC;
		return -1;
	}
	memcpy(buf, in.at, len);
	in.at += len;
	in.left -= len;
	/* A recorded answer becomes the answer to the last request. */
	if (len >= sizeof(nlh)) {
		memcpy(&nlh, buf, sizeof(nlh));
		if (nlh.nlmsg_seq == 1) {
			nlh.nlmsg_seq = in.seq;
			nlh.nlmsg_pid = mnl_socket_get_portid(s);
			memcpy(buf, &nlh, sizeof(nlh));
		}
	}
	return (ssize_t)len;
}

ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *s, const void *buf, size_t len)
{
	const struct nlmsghdr *nlh = buf;

	(void)s;
	require(len >= sizeof(*nlh) && nlh->nlmsg_len == len);
	in.seq = nlh->nlmsg_seq;
	in.told = false;
	return (ssize_t)len;
}

int __wrap_poll(void *fds, unsigned long n, int timeout)
{
	(void)fds;
	(void)n;
	(void)timeout;
	return 0;
}

/* At each reading of the clock, a tick has passed, so events are read every time. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
	static long ticks;

	(void)clock;
	*t = (struct timespec){ .tv_sec = ++ticks };
	return 0;
}

static void get(struct links *l, uint32_t index, char name[IFNAMSIZ], uint16_t *type)
{
	size_t len;

	memset(name, 'x', IFNAMSIZ);
	links_get(l, index, name, type);
	len = strnlen(name, IFNAMSIZ);
	require(len < IFNAMSIZ);
	for (; len < IFNAMSIZ; len++)
		require(name[len] == '\0');
	require(index != 0 || *name == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[IFNAMSIZ], again[IFNAMSIZ];
	uint16_t type, same_type;
	struct links *l;

	in.at = data;
	in.left = size;
	require(links_open(&l) == 0);
	while (in.left > 0) {
		uint32_t index = *in.at++;

		in.left--;
		in.told = in.mute = false;
		get(l, index, name, &type);
		/* Without new messages the table does not change. */
		in.mute = true;
		get(l, index, again, &same_type);
		require(memcmp(name, again, sizeof(name)) == 0 && type == same_type);
	}
	links_close(l);
	return 0;
}
