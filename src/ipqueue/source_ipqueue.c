/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation: the kernel's own ip_queue and ip6_queue, of Linux up to 3.4, as a source. In the
 * kernel's place somebody else may speak the protocol on a socket that this process was given
 * ("ip_queue:fd=N"): the engine, or a test.
 *
 * ip_queue names a packet by its address, which comes again as soon as that packet has gone; readers get
 * numbers that count up (idmap.c). It names interfaces by name only; they get numbers here as they are seen.
 *
 * The first request asks for the mode NONE and for an acknowledgement: no packet can come before that answer,
 * so it is the next message and nothing is read past it. Everything later goes unacknowledged, and a refusal
 * of it comes among the packets: its sequence number says of what.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <linux/netlink.h>
#include <linux/netfilter_ipv4/ip_queue.h>
#include "ipqueue/source_ipqueue.h"

#define ANSWER_WAIT_MS 5000
#define SEND_BUFFER (256 * 1024) /* the largest replacement fits */
#define ABSENT "this kernel has no %s (it left Linux in 3.5): use nfqueue:NUMBER"

static const char *name_of(const struct ipqueue *q)
{
	return q->family == AF_INET6 ? "ip6_queue" : "ip_queue";
}

/* ---- opening ------------------------------------------------------------------------------------ */

/* A message from anybody but the kernel is refused by the kernel (doc/assumptions). */
static int open_kernel(struct ipqueue *q, struct ipq_error *e)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	socklen_t len = sizeof(address);

	q->netlink = true;
	q->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC,
		       q->family == AF_INET6 ? NETLINK_IP6_FW : NETLINK_FIREWALL);
	if (q->fd < 0 && errno == EPROTONOSUPPORT)
		return ipq_fail(e, ECONNREFUSED, ABSENT, name_of(q));
	if (q->fd < 0 || bind(q->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    connect(q->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    getsockname(q->fd, (struct sockaddr *)&address, &len) < 0)
		return ipq_fail(e, errno, "cannot open a socket for %s: %s", name_of(q), strerror(errno));
	q->port = address.nl_pid;
	return 0;
}

/* "fd=N": a descriptor that the caller leaves to us. */
static int take_descriptor(struct ipqueue *q, const char *arg, struct ipq_error *e)
{
	unsigned long fd;
	char *end;
	int type = 0;
	socklen_t len = sizeof(type);

	errno = 0;
	fd = strtoul(arg, &end, 10);
	if (arg[0] < '0' || arg[0] > '9' || *end != '\0' || errno != 0 || fd > INT32_MAX)
		return ipq_fail(e, EINVAL,
				"\"%s:fd=%s\": the number of a descriptor goes behind fd=", name_of(q), arg);
	if (getsockopt((int)fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return ipq_fail(e, errno, "descriptor %lu is no socket: %s", fd, strerror(errno));
	if (type == SOCK_STREAM)
		return ipq_fail(e, EINVAL,
				"descriptor %lu is a stream: ip_queue's messages need SOCK_SEQPACKET or "
				"SOCK_DGRAM",
				fd);
	q->fd = (int)fd;
	q->port = (uint32_t)getpid();
	return 0;
}

static int open_events(struct ipqueue *q, struct ipq_error *e)
{
	struct epoll_event event = { .events = EPOLLIN };
	int bytes = SEND_BUFFER;

	q->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (q->event < 0 || q->poll_fd < 0 || epoll_ctl(q->poll_fd, EPOLL_CTL_ADD, q->fd, &event) < 0 ||
	    epoll_ctl(q->poll_fd, EPOLL_CTL_ADD, q->event, &event) < 0)
		return ipq_fail(e, errno, "cannot set %s up: %s", name_of(q), strerror(errno));
	if (setsockopt(q->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		setsockopt(q->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return 0;
}

static void ipqueue_close(struct source *s)
{
	struct ipqueue *q = ipqueue(s);

	if (q->poll_fd >= 0)
		close(q->poll_fd);
	if (q->event >= 0)
		close(q->event);
	if (q->fd >= 0)
		close(q->fd); /* ip_queue drops what waits */
	idmap_free(&q->waiting);
	free(q->interface);
	pthread_mutex_destroy(&q->lock);
	pthread_mutex_destroy(&q->send_lock);
	free(q);
}

static int open_family(struct source **s, const struct source_ops *ops, uint8_t family, const char *arg,
		       struct ipq_error *e)
{
	struct ipqueue *q = calloc(1, sizeof(*q));
	int err;

	*s = NULL;
	if (q == NULL)
		return ipq_fail(e, ENOMEM, "no memory");
	q->base.ops = ops;
	q->family = family;
	q->fd = q->event = q->poll_fd = -1;
	pthread_mutex_init(&q->send_lock, NULL);
	pthread_mutex_init(&q->lock, NULL);
	if (arg[0] == '\0')
		err = open_kernel(q, e);
	else if (strncmp(arg, "fd=", 3) == 0)
		err = take_descriptor(q, arg + 3, e);
	else
		err = ipq_fail(e, EINVAL, "\"%s:%s\": nothing goes behind the colon", name_of(q), arg);
	if (err == 0)
		err = open_events(q, e);
	if (err < 0) {
		if (!q->netlink)
			q->fd = -1; /* still the caller's */
		ipqueue_close(&q->base);
		return err;
	}
	*s = &q->base;
	return 0;
}

static int open_inet(struct source **s, const char *arg, struct ipq_error *e)
{
	return open_family(s, &source_ipqueue, AF_INET, arg, e);
}

static int open_inet6(struct source **s, const char *arg, struct ipq_error *e)
{
	return open_family(s, &source_ip6queue, AF_INET6, arg, e);
}

/* ---- configuration ------------------------------------------------------------------------------ */

static int send_request(struct ipqueue *q, const void *request, size_t len)
{
	struct pollfd room = { .fd = q->fd, .events = POLLOUT };

	while (send(q->fd, request, len, MSG_NOSIGNAL) < 0) {
		if (errno == EAGAIN)
			poll(&room, 1, -1);
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* The next message, which is the answer: nothing else can come yet. 0 or what it says. */
static int read_answer(struct ipqueue *q)
{
	struct pollfd wait = { .fd = q->fd, .events = POLLIN };
	unsigned char buf[512];
	struct nlmsghdr nlh;
	ssize_t n;
	int error;

	for (;;) {
		n = recv(q->fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n >= 0)
			break;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (errno == EAGAIN && poll(&wait, 1, ANSWER_WAIT_MS) == 0)
			return -ETIMEDOUT;
	}
	if (n == 0)
		return -ECONNREFUSED;
	if (n < (ssize_t)(NLMSG_HDRLEN + sizeof(struct nlmsgerr)))
		return -EBADMSG;
	memcpy(&nlh, buf, sizeof(nlh));
	memcpy(&error, buf + NLMSG_HDRLEN, sizeof(error));
	return nlh.nlmsg_type != NLMSG_ERROR || error > 0 || error < -4095 ? -EBADMSG : error;
}

static int ask_mode(struct ipqueue *q, enum copy_mode mode, uint32_t range, bool answered)
{
	struct source_refusal as = { .mode = true, .code = mode, .id = range };
	unsigned char request[NLMSG_HDRLEN + sizeof(ipq_peer_msg_t)];
	struct nlmsghdr *nlh = (struct nlmsghdr *)(void *)request;
	size_t len = wire_put_mode(WIRE_NATIVE, request, q->port, (uint8_t)mode, range);
	int err;

	if (answered)
		nlh->nlmsg_flags |= NLM_F_ACK;
	pthread_mutex_lock(&q->lock);
	ipqueue_remember(q, request, &as);
	pthread_mutex_unlock(&q->lock);
	err = send_request(q, request, len);
	return err == 0 && answered ? read_answer(q) : err;
}

static int explain(const struct ipqueue *q, int err, struct ipq_error *e)
{
	switch (err) {
	case -ECONNREFUSED:
	case -EPIPE:
		return q->netlink ? ipq_fail(e, ECONNREFUSED, ABSENT, name_of(q))
				  : ipq_fail(e, ECONNREFUSED, "nobody answers in %s's place", name_of(q));
	case -EPERM:
		return ipq_fail(e, EPERM, "taking %s needs CAP_NET_ADMIN: run as root", name_of(q));
	case -EBUSY:
		return ipq_fail(e, EBUSY, "%s is taken by another program (/proc/net/%s says which): stop it",
				name_of(q), name_of(q));
	default:
		return ipq_fail(e, -err, "%s does not take the mode: %s", name_of(q), strerror(-err));
	}
}

static void set_receive_buffer(struct ipqueue *q, uint32_t bytes)
{
	int half = (int)(bytes / 2); /* the kernel doubles it */

	if (bytes == 0)
		return;
	if (setsockopt(q->fd, SOL_SOCKET, SO_RCVBUFFORCE, &half, sizeof(half)) < 0)
		setsockopt(q->fd, SOL_SOCKET, SO_RCVBUF, &half, sizeof(half));
}

/* What may wait is the host's to say (net.ipv4.ip_queue_maxlen), not one program's: queue_length is left. */
static int ipqueue_configure(struct source *s, const struct source_config *c, struct ipq_error *e)
{
	const uint32_t absent = IPQ_O_FAIL_OPEN | IPQ_O_CONNTRACK | IPQ_O_OWNER | IPQ_O_SECURITY_CONTEXT;
	struct ipqueue *q = ipqueue(s);
	bool first = !q->configured;
	int err = 0;

	if ((c->flags & absent) != 0 && (c->flags & IPQ_O_BEST_EFFORT) == 0)
		return ipq_fail(e, EOPNOTSUPP,
				"%s cannot fail open and knows no conntrack entries, owners or security "
				"contexts: ask without them, or with IPQ_O_BEST_EFFORT",
				name_of(q));
	set_receive_buffer(q, c->receive_buffer);
	pthread_mutex_lock(&q->send_lock);
	if (first)
		err = ask_mode(q, COPY_NONE, 0, true);
	q->configured |= err == 0;
	if (err == 0 && (!first || c->mode != COPY_NONE))
		err = ask_mode(q, c->mode, c->mode == COPY_PACKET && c->range <= 65535 ? c->range : 0, false);
	pthread_mutex_unlock(&q->send_lock);
	if (err < 0)
		return explain(q, err, e);
	return (int)((c->flags & ~absent) | IPQ_O_SEGMENT); /* ip_queue split large packets always */
}

/* ---- the rest of the seam ----------------------------------------------------------------------- */

static int ipqueue_fd(const struct source *s)
{
	return ((const struct ipqueue *)(const void *)s)->poll_fd;
}

/* The descriptor first: a reader that sees woken then finds it readable, and clears it. */
static int ipqueue_wake(struct source *s)
{
	eventfd_write(ipqueue(s)->event, 1);
	atomic_store(&ipqueue(s)->woken, true);
	return 0;
}

static const char *ipqueue_error(const struct source *s)
{
	return ((const struct ipqueue *)(const void *)s)->text.text;
}

static int ipqueue_interface(const struct source *s, uint32_t index, char name[16], uint16_t *type)
{
	struct ipqueue *q = (struct ipqueue *)(uintptr_t)s;
	int err = -ENODEV;

	pthread_mutex_lock(&q->lock);
	if (index >= 1 && index <= q->interfaces) {
		memcpy(name, q->interface[index - 1].name, IFNAMSIZ);
		*type = q->interface[index - 1].type;
		err = 0;
	}
	pthread_mutex_unlock(&q->lock);
	return err;
}

/* ip_queue counts for itself; its table is ours only while we are the peer. */
static bool read_table(const struct ipqueue *q, struct source_counts *c)
{
	uint64_t value[7];
	char line[128], path[64];
	unsigned n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/net/%s", name_of(q));
	f = q->netlink ? fopen(path, "re") : NULL;
	if (f == NULL)
		return false;
	while (n < 7 && fgets(line, sizeof(line), f) != NULL) {
		const char *colon = strrchr(line, ':');

		if (colon == NULL || sscanf(colon + 1, "%" SCNu64, &value[n]) != 1)
			break;
		n++;
	}
	fclose(f);
	if (n < 7 || value[0] != q->port)
		return false;
	c->waiting = value[3];
	c->queue_dropped = value[5];
	c->lost = value[6];
	return true;
}

static int ipqueue_counts(struct source *s, struct source_counts *c)
{
	struct ipqueue *q = ipqueue(s);

	*c = (struct source_counts){ .malformed = atomic_load(&q->malformed) };
	if (!read_table(q, c)) {
		c->lost = atomic_load(&q->overruns); /* at least one each */
		pthread_mutex_lock(&q->lock);
		c->waiting = q->waiting.count;
		pthread_mutex_unlock(&q->lock);
	}
	return 0;
}

#define REST                                                                                            \
	.close = ipqueue_close, .configure = ipqueue_configure, .fd = ipqueue_fd, .recv = ipqueue_recv, \
	.send = ipqueue_send, .refuse = ipqueue_refuse, .counts = ipqueue_counts, .wake = ipqueue_wake, \
	.error = ipqueue_error, .interface = ipqueue_interface

const struct source_ops source_ipqueue = { .name = "ip_queue", .open = open_inet, REST };
const struct source_ops source_ip6queue = { .name = "ip6_queue", .open = open_inet6, REST };
