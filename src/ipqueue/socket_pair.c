/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pair of sockets between an engine and a program that uses its end as a netlink socket. */
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <linux/netlink.h>
#include "ipqueue/engine.h"

#define ATTEMPTS 100

/* Linux 6.16 and later; the value where asm-generic defines the socket options. Older headers lack it. */
#if !defined(SO_PASSRIGHTS) && !defined(__mips__) && !defined(__sparc__) && !defined(__hppa__) && \
	!defined(__alpha__)
#define SO_PASSRIGHTS 83
#endif

/*
 * Refuses descriptors that a program sends: the engine would have to close them, which can block (a TCP socket that
 * lingers).
 */
static void refuse_descriptors(int fd)
{
#ifdef SO_PASSRIGHTS
	int off = 0;

	setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
#else
	(void)fd;
#endif
}

/*
 * Opens a listener with the name whose bytes are all 0. Names are unique in a network namespace, but this one is
 * used only for a moment: the engine's end inherits the name from the listener.
 */
static int open_listener(const struct sockaddr_un *name)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), i, err = 0;

	if (fd < 0)
		return -errno;
	for (i = 0; i < ATTEMPTS; i++) {
		err = bind(fd, (const struct sockaddr *)name, sizeof(struct sockaddr_nl)) < 0 ? -errno : 0;
		if (err != -EADDRINUSE)
			break;
		nanosleep(&pause, NULL);
	}
	if (err == 0 && listen(fd, 1) < 0)
		err = -errno;
	if (err < 0)
		close(fd);
	return err < 0 ? err : fd;
}

/* Accepts the connection of this process. Another process may connect first, so the peer is checked. */
static int accept_own(int listener)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid == getpid())
		return fd;
	if (fd >= 0)
		close(fd);
	return -EADDRINUSE;
}

static int connect_pair(int pair[2], int flags)
{
	const struct sockaddr_un name = { .sun_family = AF_UNIX };
	int listener = open_listener(&name), err = 0;

	if (listener < 0)
		return listener;
	pair[0] = -1;
	pair[1] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);
	if (pair[1] < 0 || connect(pair[1], (const struct sockaddr *)&name, sizeof(struct sockaddr_nl)) < 0)
		err = -errno;
	else
		pair[0] = accept_own(listener);
	close(listener);
	if (err == 0 && pair[0] < 0)
		err = pair[0];
	if (err == 0 && (flags & SOCK_NONBLOCK) == 0 && fcntl(pair[0], F_SETFL, 0) < 0)
		err = -errno;
	if (err < 0 && pair[0] >= 0)
		close(pair[0]);
	if (err < 0 && pair[1] >= 0)
		close(pair[1]);
	return err;
}

void engine_enlarge(int fd, int bytes)
{
	int old = 0;
	socklen_t len = sizeof(old);

	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &old, &len) == 0 && old / 2 >= bytes)
		return;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

int engine_socketpair(int pair[2], int flags)
{
	int err = -EADDRINUSE, i;

	for (i = 0; i < ATTEMPTS && err == -EADDRINUSE; i++)
		err = connect_pair(pair, flags);
	if (err < 0)
		return err;
	refuse_descriptors(pair[0]);
	/*
	 * Netlink accepts a request immediately, even on a non-blocking descriptor. Here a request waits in the
	 * socket until the engine reads it, so the socket must have room for a verdict on every packet.
	 */
	engine_enlarge(pair[1], ENGINE_BUFFER);
	return 0;
}
