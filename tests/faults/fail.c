/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/socket.h>
#include "fail.h"

static struct {
	atomic_bool armed, hit;
	atomic_ulong count;
	enum fail_kind kind;
	unsigned long site;
	bool lasting;
	int error;
} now;

void fail_arm(enum fail_kind kind, unsigned long site, bool lasting, int error)
{
	now.kind = kind;
	now.site = site;
	now.lasting = lasting;
	now.error = error;
	atomic_store(&now.count, 0);
	atomic_store(&now.hit, false);
	atomic_store(&now.armed, true);
}

bool fail_disarm(void)
{
	atomic_store(&now.armed, false);
	return atomic_load(&now.hit);
}

static bool fails(enum fail_kind kind, int error)
{
	unsigned long n;

	if (!atomic_load(&now.armed) || kind != now.kind)
		return false;
	n = atomic_fetch_add(&now.count, 1) + 1;
	if (now.site == 0 || n < now.site || (n > now.site && !now.lasting))
		return false;
	atomic_store(&now.hit, true);
	errno = error;
	return true;
}

/* WRAP(type, name, parameters, arguments, kind, error, return value of a failure) */
#define WRAP(type, name, parameters, arguments, kind, error, failed)          \
	type __real_##name parameters;                                        \
	type __wrap_##name parameters;                                        \
	type __wrap_##name parameters                                         \
	{                                                                     \
		return fails(kind, error) ? failed : __real_##name arguments; \
	}

WRAP(void *, malloc, (size_t n), (n), FAIL_RESOURCES, ENOMEM, NULL)
WRAP(void *, calloc, (size_t n, size_t size), (n, size), FAIL_RESOURCES, ENOMEM, NULL)
WRAP(void *, realloc, (void *p, size_t n), (p, n), FAIL_RESOURCES, ENOMEM, NULL)
WRAP(char *, strdup, (const char *s), (s), FAIL_RESOURCES, ENOMEM, NULL)
WRAP(void *, mmap, (void *at, size_t n, int prot, int flags, int fd, long offset),
     (at, n, prot, flags, fd, offset), FAIL_RESOURCES, ENOMEM, (void *)-1)
WRAP(int, socket, (int domain, int type, int protocol), (domain, type, protocol), FAIL_RESOURCES, EMFILE, -1)
WRAP(int, socketpair, (int domain, int type, int protocol, int *pair), (domain, type, protocol, pair),
     FAIL_RESOURCES, EMFILE, -1)
WRAP(int, pipe2, (int *pair, int flags), (pair, flags), FAIL_RESOURCES, EMFILE, -1)
WRAP(int, dup3, (int from, int to, int flags), (from, to, flags), FAIL_RESOURCES, EBUSY, -1)
WRAP(int, epoll_create1, (int flags), (flags), FAIL_RESOURCES, EMFILE, -1)
WRAP(int, eventfd, (unsigned value, int flags), (value, flags), FAIL_RESOURCES, EMFILE, -1)
WRAP(int, timerfd_create, (int clock, int flags), (clock, flags), FAIL_RESOURCES, EMFILE, -1)
WRAP(int, bind, (int fd, const struct sockaddr *a, socklen_t len), (fd, a, len), FAIL_RESOURCES, ENOMEM, -1)
WRAP(int, connect, (int fd, const struct sockaddr *a, socklen_t len), (fd, a, len), FAIL_RESOURCES, ENOMEM,
     -1)
WRAP(struct mnl_socket *, mnl_socket_open2, (int bus, int flags), (bus, flags), FAIL_RESOURCES, EMFILE, NULL)
WRAP(int, mnl_socket_bind, (struct mnl_socket * s, unsigned groups, pid_t pid), (s, groups, pid),
     FAIL_RESOURCES, ENOMEM, -1)

WRAP(ssize_t, recv, (int fd, void *buf, size_t len, int flags), (fd, buf, len, flags), FAIL_RECEIVES,
     now.error, -1)
WRAP(ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags), (fd, msg, flags), FAIL_RECEIVES, now.error,
     -1)
WRAP(int, recvmmsg, (int fd, struct mmsghdr *msg, unsigned n, int flags, struct timespec *t),
     (fd, msg, n, flags, t), FAIL_RECEIVES, now.error, -1)
WRAP(ssize_t, send, (int fd, const void *buf, size_t len, int flags), (fd, buf, len, flags), FAIL_SENDS,
     now.error, -1)
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags), FAIL_SENDS, now.error,
     -1)
WRAP(ssize_t, mnl_socket_sendto, (const struct mnl_socket *s, const void *buf, size_t len), (s, buf, len),
     FAIL_SENDS, now.error, -1)
WRAP(ssize_t, mnl_socket_recvfrom, (const struct mnl_socket *s, void *buf, size_t len), (s, buf, len),
     FAIL_RECEIVES, now.error, -1)
WRAP(int, poll, (struct pollfd * p, nfds_t n, int timeout), (p, n, timeout), FAIL_WAITS, now.error, -1)
WRAP(int, ppoll, (struct pollfd * p, nfds_t n, const struct timespec *t, const sigset_t *mask),
     (p, n, t, mask), FAIL_WAITS, now.error, -1)

int __real_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*start)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*start)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
	return fails(FAIL_RESOURCES, EAGAIN) ? EAGAIN : __real_pthread_create(t, attr, start, arg);
}
