/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pair of sockets between an engine and a program that uses its end as a netlink socket. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <linux/netlink.h>
#include "ipqueue/engine.h"

#define ATTEMPTS 100

/* Linux 6.16, where asm-generic counts the options. Not in older headers. */
#if !defined(SO_PASSRIGHTS) && !defined(__mips__) && !defined(__sparc__) && !defined(__hppa__) && \
	!defined(__alpha__)
#define SO_PASSRIGHTS 83
#endif

/* The engine would have to close descriptors that a program sends, which can block (a TCP socket that
 * lingers). */
static void refuse_descriptors(int fd)
{
#ifdef SO_PASSRIGHTS
	int off = 0;

	setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
#else
	(void)fd;
#endif
}

/* Names are unique in a network namespace: another process may have taken one. */
static int name_socket(int fd)
{
	static atomic_uint_fast32_t last;
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	uint32_t serial;
	int i;

	if (atomic_load(&last) == 0 && getrandom(&serial, sizeof(serial), GRND_NONBLOCK) == sizeof(serial))
		atomic_store(&last, serial);
	for (i = 0; i < ATTEMPTS; i++) {
		serial = (uint32_t)atomic_fetch_add(&last, 1) + 1;
		memcpy(name.sun_path + 6, &serial, sizeof(serial));
		if (bind(fd, (const struct sockaddr *)&name, sizeof(struct sockaddr_nl)) == 0)
			return 0;
		if (errno != EADDRINUSE)
			break;
	}
	return -errno;
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
	int err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0, pair) < 0)
		return -errno;
	refuse_descriptors(pair[0]);
	/* Netlink takes a request at once, also on a non-blocking descriptor. Here it waits in the socket
	 * until the engine reads it, so there must be room for a verdict on every packet. */
	engine_enlarge(pair[1], ENGINE_BUFFER);
	err = name_socket(pair[0]);
	if (err < 0) {
		close(pair[0]);
		close(pair[1]);
	}
	return err;
}
