/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation: one netlink socket receives the packets of one queue of nfnetlink_queue.
 *
 * The socket is connected to the kernel (port id 0), so that the kernel refuses messages from other processes
 * (doc/assumptions/netlink-connect.c) and sender addresses need not be checked.
 *
 * It is readable exactly when recv() has something to return. In two cases this needs a NOOP with a request for
 * acknowledgement: the acknowledgement makes the socket readable once. A NOOP needs no capability and can be sent
 * from any thread and signal handler.
 * - Packets that arrive between a configuration request and its acknowledgement are read before the
 *   acknowledgement. They are deferred, and a NOOP (SEQ_DEFERRED) announces each.
 * - A NOOP (SEQ_WAKE) wakes a blocked recv(). If packets came in the same batch they are returned first; the
 *   wake is recorded, and another NOOP (SEQ_READABLE) keeps the socket readable for it.
 *
 * The kernel answers a request before the send returns. If the socket is empty and the answer has not been
 * read, then either it was lost to a full buffer, and the request is sent again (all requests may be
 * repeated), or another thread has read it in recv() and records it in `answer`.
 *
 * NETLINK_NO_ENOBUFS: the socket does not report an overrun. A report would stop delivery until the socket is
 * empty. Lost packets are counted in /proc and show as a gap in the ids.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "nfqueue/diagnose.h"
#include "nfqueue/held.h"
#include "nfqueue/messages.h"
#include "nfqueue/recover.h"
#include "nfqueue/requests.h"
#include "nfqueue/state.h"
#include "source/links.h"
#include "util/clock.h"
#include "util/netlink.h"

#define REQUEUES_MAX 65536 /* maximum number of packets that are queued again after each change of mode */

static int nfqueue_fd(const struct source *s)
{
	return nfqueue(s)->fd;
}

/* ---- opening ------------------------------------------------------------------------------------ */

static void nfqueue_close(struct source *s)
{
	struct nfqueue *q = nfqueue(s);

	while (q->deferred != NULL) {
		struct deferred *d = q->deferred;

		q->deferred = d->next;
		free(d);
	}
	if (q->fd >= 0)
		/* if no other process holds the socket, the kernel unbinds the queue and drops its packets */
		close(q->fd);
	if (q->held)
		held_close(q->number);
	adopted_free(q->adopted);
	links_close(q->base.links);
	free(q->batch);
	pthread_mutex_destroy(&q->config_lock);
	pthread_mutex_destroy(&q->deferred_lock);
	free(q);
}

/* Parses the queue number, and the descriptor after ",fd=": -1 if there is none. */
static bool parse_argument(const char *arg, unsigned long *number, long *fd)
{
	static const char option[] = ",fd=";
	char *end;

	*fd = -1;
	errno = 0;
	*number = strtoul(arg, &end, 10);
	if (arg[0] < '0' || arg[0] > '9' || errno != 0 || *number > 65535)
		return false;
	if (strncmp(end, option, strlen(option)) != 0)
		return *end == '\0';
	end += strlen(option);
	if (*end < '0' || *end > '9')
		return false;
	*fd = strtol(end, &end, 10);
	return *end == '\0' && errno == 0 && *fd <= INT32_MAX;
}

/* Opens a new socket, a held one, or a duplicate of the given one. */
static int open_socket(struct nfqueue *q, long given)
{
	int fd = given >= 0 ? fcntl((int)given, F_DUPFD_CLOEXEC, 0) : held_open(q->number);

	if (given >= 0 && fd < 0)
		return -errno;
	if (fd == -ENOENT)
		return netlink_open(&q->absent);
	q->held = fd >= 0 && given < 0;
	if (fd < 0)
		return fd;
	/*
	 * The socket may contain acknowledgements of a predecessor. The answer to one of its NOOPs must not wake
	 * this reader.
	 */
	q->seq = (uint32_t)now_us();
	q->noop_mask = q->seq;
	q->adopted = adopted_new();
	q->base.held = q->adopted != NULL;
	if (q->held && q->base.held)
		q->adopted->spare_fd = held_open_spare(q->number);
	if (q->base.held)
		return fd;
	close(fd);
	return -ENOMEM;
}

static int nfqueue_open(struct source **s, const char *arg, struct ipq_error *e)
{
	struct nfqueue *q;
	unsigned long number;
	long fd;
	int err;

	*s = NULL;
	if (!parse_argument(arg, &number, &fd))
		return ipq_fail(e, EINVAL,
				"\"nfqueue:%s\": use a queue number from 0 to 65535 after the colon, and "
				"\",fd=\" and a descriptor to take over an open socket",
				arg);
	q = calloc(1, sizeof(*q));
	if (q == NULL)
		return ipq_fail(e, ENOMEM, "no memory");
	q->base.ops = &source_nfqueue;
	q->fd = -1;
	q->number = q->base.queue_number = q->asked = (uint16_t)number;
	q->config.flags = IPQ_O_SEGMENT; /* the kernel's default is to split packets */
	q->deferred_end = &q->deferred;
	pthread_mutex_init(&q->config_lock, NULL);
	pthread_mutex_init(&q->deferred_lock, NULL);
	q->batch = nfqueue_new_batch();
	q->fd = q->batch != NULL ? open_socket(q, fd) : -ENOMEM;
	err = q->fd < 0 ? q->fd : links_open(&q->base.links);
	if (err < 0) {
		nfqueue_close(&q->base);
		return ipq_fail(e, -err, "cannot open a netlink socket: %s", strerror(-err));
	}
	*s = &q->base;
	return 0;
}

/* ---- requests that are acknowledged ---------------------------------------------------------------- */

static int nfqueue_wake(struct source *s)
{
	return nfqueue_send_noop(nfqueue(s), SEQ_WAKE);
}

static int nfqueue_refuse(struct source *s, const struct source_refusal *refusal)
{
	struct nfqueue *q = nfqueue(s);
	int err = nfqueue_defer(q, NULL, 0, refusal);

	return err < 0 ? err : nfqueue_send_noop(q, SEQ_DEFERRED);
}

/* ---- configuration ---------------------------------------------------------------------------------- */

/*
 * The kernel's EPERM has two causes: no CAP_NET_ADMIN, or another socket owns the queue. `capable`
 * distinguishes them. /proc/net/netfilter/nfnetlink_queue would, too, but an ordinary user in their own user
 * namespace may not read it.
 */
static int explain_bind(struct nfqueue *q, int err, bool capable, struct ipq_error *e)
{
	struct queue_line line;
	char command[64], *c;
	pid_t pid;

	if (err == -EINVAL || err == -EOPNOTSUPP || err == -ENOSYS)
		return ipq_fail(e, ECONNREFUSED,
				"this kernel has no nfnetlink_queue: load it with \"modprobe "
				"nfnetlink_queue\", or use a kernel with CONFIG_NETFILTER_NETLINK_QUEUE");
	if (err != -EPERM && err != -EBUSY)
		return ipq_fail(e, -err, "cannot take queue %u: %s", q->number, strerror(-err));
	if (!capable)
		return ipq_fail(e, EPERM,
				"taking queue %u needs CAP_NET_ADMIN: run as root, or in a namespace of your "
				"own (unshare -Urn)",
				q->number);
	if (queue_line(q->number, &line) < 0)
		return ipq_fail(e, EBUSY,
				"queue %u is taken by another program: stop it or use another queue number",
				q->number);
	if (queue_owner(line.port_id, &pid, command) < 0)
		return ipq_fail(e, EBUSY,
				"queue %u is taken by netlink port %u: stop that program or use another "
				"queue number",
				q->number, line.port_id);
	/*
	 * Programs print error texts, and a process can choose any bytes as its name: replace control characters.
	 */
	for (c = command; *c != '\0'; c++)
		if (*c < 0x20 || *c >= 0x7f)
			*c = '?';
	return ipq_fail(e, EBUSY, "queue %u is taken by %s (pid %d): stop it or use another queue number",
			q->number, command, (int)pid);
}

static int take_queue(struct nfqueue *q, struct ipq_error *e)
{
	bool capable;
	int err;

	if (q->absent)
		return explain_bind(q, -EOPNOTSUPP, true, e);
	/*
	 * This request is needed before Linux 3.8; later kernels accept and ignore it if the caller has the
	 * capability.
	 */
	capable = nfqueue_ask_command(q, NFQNL_CFG_CMD_PF_BIND, AF_INET) != -EPERM;
	nfqueue_ask_command(q, NFQNL_CFG_CMD_PF_BIND, AF_INET6);
	err = nfqueue_ask_command(q, NFQNL_CFG_CMD_BIND, AF_UNSPEC);
	/*
	 * EBUSY: this socket already owns the queue, because an acknowledgement was lost. (If another socket owned
	 * the queue, the error would be EPERM.)
	 */
	if (err == -EBUSY)
		err = 0;
	/* after a timeout the queue may be bound: unbind it on failure */
	q->bound = err == 0 || err == -ETIMEDOUT;
	return err < 0 ? explain_bind(q, err, capable, e) : 0;
}

static void set_receive_buffer(const struct nfqueue *q, uint32_t bytes)
{
	int now = 0;
	socklen_t len = sizeof(now);

	if (q->held && getsockopt(q->fd, SOL_SOCKET, SO_RCVBUF, &now, &len) == 0 && (int64_t)now >= bytes)
		return;
	netlink_set_receive_buffer(q->fd, bytes);
}

static uint32_t kernel_length(const struct nfqueue *q, const struct source_config *c)
{
	uint32_t length = q->held && c->queue_length < held_length() ? held_length() : c->queue_length;

	return q->held && length > HELD_LENGTH_MAX ? HELD_LENGTH_MAX : length;
}

/*
 * Notifies the keeper. For HELD_TAKES, returns whether the messages in the socket fit this configuration, or
 * -EPIPE.
 */
static int notify_keeper(const struct nfqueue *q, enum held_event event, const struct source_config *c)
{
	const struct held_config config = { c->mode, c->range, c->flags, kernel_length(q, c) };
	int answer = q->held ? held_notify(event, q->number, &config) : 0;

	return answer > 0 ? q->adopted->spare_fd >= 0 : answer;
}

/* Allows packets that came without their payload to be queued once more: see requeue() in io.c. */
static void allow_requeues(struct nfqueue *q, enum copy_mode mode)
{
	atomic_store(&q->requeues_left, mode == COPY_PACKET ? REQUEUES_MAX : 0);
}

static bool same_messages(const struct source_config *a, const struct source_config *b)
{
	return a->mode == b->mode && a->range == b->range && a->flags == b->flags &&
	       a->queue_length == b->queue_length;
}

static void set_timestamps(int fd, const struct source_config *c)
{
	int on = (c->flags & IPQ_O_TIMESTAMP) != 0 && c->mode != COPY_NONE;

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on));
}

/* Requests only changes, because packets that arrive during a request have to be deferred. 0 or -errno. */
static int request_changes(struct nfqueue *q, const struct source_config *c, uint32_t range, bool first,
			   struct ipq_error *e)
{
	uint32_t change = first && q->adopted != NULL ? UINT32_MAX : c->flags ^ q->config.flags;
	int err;

	if (first)
		q->flags = IPQ_O_SEGMENT;
	if (change != 0) {
		err = nfqueue_ask_all_flags(q, c->flags, change, e);
		if (err < 0)
			return err;
		q->flags = err;
	}
	if (first || c->queue_length != q->config.queue_length) {
		err = nfqueue_ask_length(q, kernel_length(q, c));
		if (err < 0)
			return ipq_fail(e, -err, "cannot set the length of queue %u: %s", q->number,
					strerror(-err));
	}
	/* Set the mode last: before the first mode, no packet is queued. */
	allow_requeues(q, c->mode);
	err = nfqueue_ask_mode(q, c->mode, range);
	if (err < 0) {
		allow_requeues(q, q->config.mode); /* restore it: the mode has not changed */
		return ipq_fail(e, -err, "cannot set the copy mode of queue %u: %s", q->number,
				strerror(-err));
	}
	return 0;
}

static int configure(struct nfqueue *q, const struct source_config *c, struct ipq_error *e)
{
	/* A range of 0 means the whole packet, as in ip_queue. */
	const uint32_t range = c->range > NFQ_PAYLOAD_MAX ? 0 : c->range;
	const bool first = !q->bound, adopts = first && q->adopted != NULL;
	bool unread = false; /* the messages in the socket already fit c */
	int err = 0;

	if (adopts && c->mode == COPY_NONE)
		return (int)c->flags; /* packets wait in the queue until a mode is set */
	if (adopts) {
		err = notify_keeper(q, HELD_TAKES, c);
		if (err < 0)
			return ipq_fail(
				e, -err,
				"ipq keep has ended, and the old version of this program still has queue %u",
				q->number);
		unread = q->adopted->unread = err > 0;
		err = 0;
		q->adopted->collecting = COLLECT_NONE;
		set_timestamps(q->adopted->spare_fd, c);
	} else if (q->adopted != NULL && !same_messages(c, &q->config)) {
		notify_keeper(q, HELD_CHANGES, c);
	}
	if (first && !unread) {
		err = take_queue(q, e);
		if (err < 0)
			return err;
	}
	set_receive_buffer(q, c->receive_buffer);
	set_timestamps(q->fd, c);
	if (unread)
		allow_requeues(q, c->mode);
	else
		err = request_changes(q, c, range, first, e);
	if (err == 0 && adopts)
		err = nfqueue_recover(q, c, range, e);
	if (err < 0)
		return err;
	if (adopts && !unread)
		notify_keeper(q, HELD_CONFIGURED, c);
	q->bound = true;
	q->config = *c;
	return q->flags;
}

static int nfqueue_configure(struct source *s, const struct source_config *c, struct ipq_error *e)
{
	struct nfqueue *q = nfqueue(s);
	bool was_bound;
	int ret, cancel;

	/* A thread must not be cancelled while it holds the lock. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	pthread_mutex_lock(&q->config_lock);
	was_bound = q->bound;
	ret = configure(q, c, e);
	if (ret < 0 && !was_bound && q->bound) {
		if (q->adopted == NULL)
			nfqueue_ask_command(q, NFQNL_CFG_CMD_UNBIND, AF_UNSPEC);
		q->bound = false;
	}
	pthread_mutex_unlock(&q->config_lock);
	pthread_setcancelstate(cancel, NULL);
	return ret;
}

static int nfqueue_counts(struct source *s, struct source_counts *c)
{
	struct nfqueue *q = nfqueue(s);
	struct queue_line line;
	uint64_t received = atomic_load(&q->received);
	uint32_t span = (uint32_t)(atomic_load(&q->last_id) - atomic_load(&q->first_id)) + 1;

	memset(c, 0, sizeof(*c));
	c->malformed = atomic_load(&q->malformed);
	if (q->bound && queue_line(q->number, &line) == 0) {
		c->lost = line.user_dropped;
		c->queue_dropped = line.queue_dropped;
		c->waiting = line.waiting;
	} else if (received > 0) {
		c->lost = span - (uint32_t)received; /* both numbers count modulo 2^32 */
	}
	return 0;
}

static int64_t nfqueue_backlog(const struct source *s)
{
	return netlink_backlog(nfqueue(s)->fd);
}

const struct source_ops source_nfqueue = {
	.name = "nfqueue",
	.open = nfqueue_open,
	.close = nfqueue_close,
	.configure = nfqueue_configure,
	.fd = nfqueue_fd,
	.recv = nfqueue_recv,
	.send = nfqueue_send,
	.refuse = nfqueue_refuse,
	.counts = nfqueue_counts,
	.wake = nfqueue_wake,
	.backlog = nfqueue_backlog,
};
