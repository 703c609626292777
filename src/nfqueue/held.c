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
	int fd, spare; /* descriptors of the queue and of its spare queues; spare -1: none */
	atomic_bool in_use;
};

static struct {
	struct held *queue;
	unsigned count;
	uint32_t length;
	int keeper;  /* descriptor of the connection to the keeper; 0: none */
	bool beside; /* the old version of the program still has the queues */
	pthread_mutex_t keeper_lock;
} held = { .keeper_lock = PTHREAD_MUTEX_INITIALIZER };

static bool is_queue_socket(int fd)
{
	int domain = 0, protocol = 0;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_NETLINK &&
	       getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == 0 && protocol == NETLINK_NETFILTER;
}

static struct held *find(uint16_t number)
{
	unsigned i;

	for (i = 0; i < held.count; i++)
		if (held.queue[i].number == number)
			return &held.queue[i];
	return NULL;
}

/* Whether the name (len bytes) consists of this prefix and a queue number. */
static bool has_number(const char *name, size_t len, const char *prefix, uint16_t *number)
{
	const size_t before = strlen(prefix);
	unsigned long n;
	char *end;

	if (len <= before || memcmp(name, prefix, before) != 0 || name[before] < '0' || name[before] > '9')
		return false;
	n = strtoul(name + before, &end, 10);
	*number = (uint16_t)n;
	return end == name + len && n <= UINT16_MAX;
}

/* Stores an inherited descriptor with its name. Makes it close-on-exec. */
static void add(const char *name, size_t len, int fd)
{
	struct held *queue;
	uint16_t number;

	if (len == strlen(HELD_KEEPER) && memcmp(name, HELD_KEEPER, len) == 0 &&
	    fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
		held.keeper = fd;
	if (has_number(name, len, HELD_QUEUE, &number) && is_queue_socket(fd)) {
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		held.queue[held.count].number = number;
		held.queue[held.count].spare = -1;
		held.queue[held.count++].fd = fd;
	} else if (has_number(name, len, HELD_SPARE, &number) && is_queue_socket(fd) &&
		   (queue = find(number)) != NULL) {
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		queue->spare = fd;
	}
}

/* Reads the environment when the library is loaded, before the program can clear it. */
__attribute__((constructor)) static void read_environment(void)
{
	const char *pid = secure_getenv("LISTEN_PID"), *fds = secure_getenv("LISTEN_FDS");
	const char *name = secure_getenv("LISTEN_FDNAMES"), *keep = secure_getenv("IPQ_KEEP");
	unsigned long count = fds != NULL ? strtoul(fds, NULL, 10) : 0, i;

	if (name == NULL || count == 0 || count > HELD_MAX)
		return;
	held.length = keep != NULL ? (uint32_t)strtoul(keep, NULL, 10) : 0;
	held.beside = secure_getenv("IPQ_KEEP_BESIDE") != NULL;
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

int held_open_spare(uint16_t number)
{
	const struct held *queue = find(number);

	return queue == NULL || queue->spare < 0 ? -1 : fcntl(queue->spare, F_DUPFD_CLOEXEC, 0);
}

bool held_has(uint16_t number)
{
	return find(number) != NULL;
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

int held_notify(enum held_event event, uint16_t number, const struct held_config *config)
{
	const struct held_notice notice = { event, number, *config };
	bool alone;
	char answer = 0;
	ssize_t n;

	if (held.keeper == 0)
		return 0;
	pthread_mutex_lock(&held.keeper_lock);
	n = send(held.keeper, &notice, sizeof(notice), MSG_NOSIGNAL);
	if (n > 0 && event != HELD_CONFIGURED)
		while ((n = recv(held.keeper, &answer, 1, 0)) < 0 && errno == EINTR)
			;
	/* The keeper has ended. The program continues without it, except while its old version has the queues. */
	alone = n <= 0 && held.beside;
	held.beside = alone;
	pthread_mutex_unlock(&held.keeper_lock);
	return alone ? -EPIPE : answer == 1;
}
