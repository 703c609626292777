/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "nfqueue/held.h"

#define FIRST_FD 3
#define HELD_MAX 1024

struct held {
	uint16_t number;
	int fd;
	atomic_bool in_use;
};

static struct {
	struct held *queue;
	unsigned count;
	uint32_t length;
	int keeper; /* 0: none */
	pthread_mutex_t keeper_lock;
} held = { .keeper_lock = PTHREAD_MUTEX_INITIALIZER };

static bool is_queue_socket(int fd)
{
	int domain = 0, protocol = 0;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_NETLINK &&
	       getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == 0 && protocol == NETLINK_NETFILTER;
}

/* The name, of len bytes, of an inherited descriptor. The programs that this one starts do not inherit it. */
static void add(const char *name, size_t len, int fd)
{
	const size_t prefix = strlen(HELD_QUEUE);
	unsigned long number;
	char *end;

	if (len == strlen(HELD_KEEPER) && memcmp(name, HELD_KEEPER, len) == 0 &&
	    fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
		held.keeper = fd;
	if (len <= prefix || memcmp(name, HELD_QUEUE, prefix) != 0 || name[prefix] < '0' ||
	    name[prefix] > '9')
		return;
	number = strtoul(name + prefix, &end, 10);
	if (end != name + len || number > UINT16_MAX || !is_queue_socket(fd))
		return;
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	held.queue[held.count].number = (uint16_t)number;
	held.queue[held.count++].fd = fd;
}

/* At start, before the program can clear the environment. */
__attribute__((constructor)) static void read_environment(void)
{
	const char *pid = secure_getenv("LISTEN_PID"), *fds = secure_getenv("LISTEN_FDS");
	const char *name = secure_getenv("LISTEN_FDNAMES"), *keep = secure_getenv("IPQ_KEEP");
	unsigned long count = fds != NULL ? strtoul(fds, NULL, 10) : 0, i;

	if (name == NULL || count == 0 || count > HELD_MAX)
		return;
	held.length = keep != NULL ? (uint32_t)strtoul(keep, NULL, 10) : 0;
	if (keep == NULL && (pid == NULL || strtol(pid, NULL, 10) != (long)getpid()))
		return;
	held.queue = calloc(count, sizeof(*held.queue));
	for (i = 0; i < count && held.queue != NULL; i++) {
		size_t len = strcspn(name, ":");

		add(name, len, FIRST_FD + (int)i);
		name += len + (name[len] == ':');
	}
}

int held_open(uint16_t number)
{
	unsigned i;
	int fd;

	for (i = 0; i < held.count; i++) {
		if (held.queue[i].number != number || atomic_exchange(&held.queue[i].in_use, true))
			continue;
		fd = fcntl(held.queue[i].fd, F_DUPFD_CLOEXEC, 0);
		if (fd >= 0)
			return fd;
		atomic_store(&held.queue[i].in_use, false);
		return -errno;
	}
	return -ENOENT;
}

bool held_has(uint16_t number)
{
	unsigned i;

	for (i = 0; i < held.count; i++)
		if (held.queue[i].number == number)
			return true;
	return false;
}

void held_close(uint16_t number)
{
	unsigned i;

	for (i = 0; i < held.count; i++)
		if (held.queue[i].number == number)
			atomic_store(&held.queue[i].in_use, false);
}

uint32_t held_length(void)
{
	return held.length;
}

void held_await_turn(uint16_t number)
{
	const uint32_t message = number;
	char answer;

	if (held.keeper == 0)
		return;
	pthread_mutex_lock(&held.keeper_lock);
	/* An error means that the keeper has ended. The program continues without it. */
	if (send(held.keeper, &message, sizeof(message), MSG_NOSIGNAL) == sizeof(message))
		while (recv(held.keeper, &answer, 1, 0) < 0 && errno == EINTR)
			;
	pthread_mutex_unlock(&held.keeper_lock);
}
