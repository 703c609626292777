/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation: the kernel is asked about an interface when the first packet names it. Then the events
 * RTM_NEWLINK and RTM_DELLINK keep the entry current. They wait in the socket and are read at most once per
 * tick of the coarse clock (1 to 4 ms), so that most packets cost no system call here. If events were lost
 * (ENOBUFS) the table is emptied and filled again on demand.
 *
 * A forked child must not share the socket, because each process would read the answers of the other: it opens its own
 * socket at first use.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include "source/links.h"
#include "util/fork_count.h"

#define LOOKUP_WAIT_MS 1000
#define MESSAGES_MAX 4096 /* maximum per call, so that a call ends however fast events arrive */

struct link_entry {
	uint32_t index;
	uint16_t type;
	char name[IFNAMSIZ];
};

struct links {
	pthread_mutex_t lock;
	struct mnl_socket *socket;
	struct link_entry *entry; /* sorted by index */
	size_t count, room;
	uint32_t seq;
	unsigned forks;	      /* value of fork_depth when the socket was opened */
	struct timespec tick; /* when events were last read */
	unsigned char buf[32768];
};

static int open_socket(struct links *l)
{
	static const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	l->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (l->socket == NULL)
		return -errno;
	/*
	 * The socket is connected, so that it receives messages only from the kernel
	 * (doc/assumptions/netlink-connect.c).
	 */
	if (mnl_socket_bind(l->socket, RTMGRP_LINK, MNL_SOCKET_AUTOPID) < 0 ||
	    connect(mnl_socket_get_fd(l->socket), (const struct sockaddr *)&kernel, sizeof(kernel)) < 0) {
		int err = errno;

		mnl_socket_close(l->socket);
		l->socket = NULL;
		return -err;
	}
	l->count = 0;
	return 0;
}

int links_open(struct links **links)
{
	struct links *l = calloc(1, sizeof(*l));
	int err;

	*links = NULL;
	if (l == NULL)
		return -ENOMEM;
	pthread_mutex_init(&l->lock, NULL);
	l->forks = atomic_load(&fork_depth);
	err = open_socket(l);
	if (err < 0) {
		free(l);
		return err;
	}
	*links = l;
	return 0;
}

void links_close(struct links *l)
{
	if (l == NULL)
		return;
	if (l->socket != NULL)
		mnl_socket_close(l->socket);
	pthread_mutex_destroy(&l->lock);
	free(l->entry);
	free(l);
}

/* The position of the entry of `index`, or where to insert it. */
static size_t position(const struct links *l, uint32_t index)
{
	size_t low = 0, high = l->count;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (l->entry[mid].index < index)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct link_entry *find(const struct links *l, uint32_t index)
{
	size_t i = position(l, index);

	return i < l->count && l->entry[i].index == index ? &l->entry[i] : NULL;
}

static void forget(struct links *l, uint32_t index)
{
	struct link_entry *e = find(l, index);

	if (e == NULL)
		return;
	l->count--;
	memmove(e, e + 1, (size_t)(l->entry + l->count - e) * sizeof(*e));
}

static struct link_entry *insert(struct links *l, uint32_t index)
{
	size_t i = position(l, index);

	if (i < l->count && l->entry[i].index == index)
		return &l->entry[i];
	if (l->count == l->room) {
		size_t room = l->room ? 2 * l->room : 16;
		struct link_entry *grown = realloc(l->entry, room * sizeof(*grown));

		if (grown == NULL)
			return NULL;
		l->entry = grown;
		l->room = room;
	}
	memmove(l->entry + i + 1, l->entry + i, (l->count - i) * sizeof(*l->entry));
	l->count++;
	l->entry[i].index = index;
	return &l->entry[i];
}

static void copy_name(char name[IFNAMSIZ], const char *from, size_t len)
{
	memset(name, 0, IFNAMSIZ);
	memcpy(name, from, strnlen(from, len < IFNAMSIZ ? len : IFNAMSIZ - 1));
}

static int keep_name(const struct nlattr *attr, void *name)
{
	if (mnl_attr_get_type(attr) == IFLA_IFNAME)
		*(const struct nlattr **)name = attr;
	return MNL_CB_OK;
}

/*
 * Applies one message. wanted: the index to add to the table, or 0. Other indexes are not added, but their entries
 * are updated.
 */
static void take(struct links *l, const struct nlmsghdr *nlh, uint32_t wanted)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *name = NULL;
	struct link_entry *e;
	uint32_t index;

	if ((nlh->nlmsg_type != RTM_NEWLINK && nlh->nlmsg_type != RTM_DELLINK) ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(*info))
		return;
	/* AF_BRIDGE: a bridge reports a change of one of its ports, not of the interface. */
	if (info->ifi_family != AF_UNSPEC)
		return;
	index = (uint32_t)info->ifi_index;
	if (nlh->nlmsg_type == RTM_DELLINK) {
		forget(l, index);
		return;
	}
	if (index != wanted && find(l, index) == NULL)
		return;
	mnl_attr_parse(nlh, sizeof(*info), keep_name, &name);
	e = name != NULL ? insert(l, index) : NULL;
	if (e == NULL)
		return;
	e->type = info->ifi_type;
	copy_name(e->name, mnl_attr_get_payload(name), mnl_attr_get_payload_len(name));
}

/*
 * Applies the messages of one datagram of len bytes. True if they include the answer to request seq (0: none). Does
 * not use mnl_nlmsg_ok(): libmnl 1.0.5 compares lengths as int and accepts a length of 2 GiB.
 */
static bool take_all(struct links *l, size_t len, uint32_t seq, uint32_t wanted)
{
	bool answered = false;
	size_t at, step;

	for (at = 0; len - at >= sizeof(struct nlmsghdr); at += step) {
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)(const void *)(l->buf + at);
		bool mine;

		if (nlh->nlmsg_len < sizeof(*nlh) || nlh->nlmsg_len > len - at)
			break;
		mine = seq != 0 && nlh->nlmsg_seq == seq &&
		       nlh->nlmsg_pid == mnl_socket_get_portid(l->socket);
		take(l, nlh, mine ? wanted : 0);
		answered |= mine;
		step = NLMSG_ALIGN(nlh->nlmsg_len);
		if (step > len - at)
			break;
	}
	return answered;
}

/* Reads all messages of the socket. Returns whether they include the answer to request seq (0: none). */
static int drain(struct links *l, uint32_t seq, uint32_t wanted)
{
	bool answered = false;
	int i;

	for (i = 0; i < MESSAGES_MAX; i++) {
		ssize_t n = mnl_socket_recvfrom(l->socket, l->buf, sizeof(l->buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == ENOBUFS || errno == ENOSPC)) {
			/* events were lost, or one was too long: the entries may be out of date */
			l->count = 0;
			continue;
		}
		if (n <= 0)
			break;
		answered |= take_all(l, (size_t)n, seq, wanted);
	}
	return answered;
}

static void look_up(struct links *l, uint32_t index)
{
	char request[NLMSG_ALIGN(sizeof(struct nlmsghdr)) + NLMSG_ALIGN(sizeof(struct ifinfomsg)) + 8];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(request);
	struct ifinfomsg *info;
	struct pollfd wait = { .fd = mnl_socket_get_fd(l->socket), .events = POLLIN };

	nlh->nlmsg_type = RTM_GETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	nlh->nlmsg_seq = ++l->seq ? l->seq : ++l->seq;
	info = mnl_nlmsg_put_extra_header(nlh, sizeof(*info));
	info->ifi_family = AF_UNSPEC;
	info->ifi_index = (int)index;
	/* Omit statistics and virtual functions, so that the answer is short. */
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	if (mnl_socket_sendto(l->socket, nlh, nlh->nlmsg_len) < 0)
		return;
	/* The kernel answers before the send returns. The poll would only be needed if this changed. */
	if (!drain(l, nlh->nlmsg_seq, index) && poll(&wait, 1, LOOKUP_WAIT_MS) > 0)
		drain(l, nlh->nlmsg_seq, index);
}

/* Whether the coarse clock has advanced since the last call. */
static bool tick(struct links *l)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec == l->tick.tv_sec && now.tv_nsec == l->tick.tv_nsec)
		return false;
	l->tick = now;
	return true;
}

/* In a forked child, opens the child's own socket. Another thread may have held the lock during the fork. */
static void notice_fork(struct links *l)
{
	unsigned now = atomic_load_explicit(&fork_depth, memory_order_relaxed);

	if (l->forks == now)
		return;
	l->forks = now;
	pthread_mutex_init(&l->lock, NULL);
	if (l->socket != NULL)
		mnl_socket_close(l->socket);
	open_socket(l);
}

void links_get(struct links *l, uint32_t index, char name[IFNAMSIZ], uint16_t *type)
{
	struct link_entry *e = NULL;
	int saved = errno, cancel;

	memset(name, 0, IFNAMSIZ);
	*type = 0;
	if (l == NULL || index == 0)
		return;
	notice_fork(l);
	/* A thread must not be cancelled while it holds the lock. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	pthread_mutex_lock(&l->lock);
	if (l->socket != NULL) {
		if (tick(l))
			drain(l, 0, 0);
		e = find(l, index);
		if (e == NULL) {
			look_up(l, index);
			e = find(l, index);
		}
	}
	if (e != NULL) {
		memcpy(name, e->name, IFNAMSIZ);
		*type = e->type;
	}
	pthread_mutex_unlock(&l->lock);
	pthread_setcancelstate(cancel, NULL);
	errno = saved; /* for the caller it is not an error that there were no events */
}
