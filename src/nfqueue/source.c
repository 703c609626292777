/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation: one netlink socket receives the packets of one queue of nfnetlink_queue.
 *
 * The socket is connected to the kernel (port id 0), so that the kernel refuses messages from other processes
 * (doc/assumptions/netlink-connect.c) and sender addresses need not be checked.
 *
 * It is readable exactly when recv() has something to return. In two cases that takes a NOOP with a request
 * for acknowledgement: the acknowledgement makes the socket readable once. It needs no capability and can be
 * sent from any thread and signal handler.
 * - Packets that arrive between a configuration request and its acknowledgement are read before the
 *   acknowledgement. They are deferred, and a NOOP (SEQ_DEFERRED) announces each.
 * - A NOOP (SEQ_WAKE) wakes a blocked recv(). If packets came in the same batch they are returned first; the
 *   wake is recorded, and another NOOP (SEQ_READABLE) keeps the socket readable for it.
 *
 * The kernel answers a request before the send returns. If the socket is empty and the answer has not been
 * read, then either it was lost to a full buffer, and the request is sent again (all requests may be
 * repeated), or another thread has read it in recv() and records it in `answer`.
 *
 * NETLINK_NO_ENOBUFS: an overrun is not reported by the socket, which would stop delivery until the socket is
 * empty. Lost packets are counted in /proc and show as a gap in the ids.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
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
#include "nfqueue/messages.h"
#include "nfqueue/state.h"
#include "source/links.h"
#include "util/netlink.h"

#define CONFIG_TRIES 5
#define ANSWER_WAIT_MS 1000
#define REQUEUES_MAX 65536 /* after each change of mode */

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
		close(q->fd); /* the kernel unbinds the queue and drops its packets */
	links_close(q->base.links);
	free(q->batch);
	pthread_mutex_destroy(&q->config_lock);
	pthread_mutex_destroy(&q->deferred_lock);
	free(q);
}

static int nfqueue_open(struct source **s, const char *arg, struct ipq_error *e)
{
	struct nfqueue *q;
	unsigned long number;
	char *end;
	int err;

	*s = NULL;
	errno = 0;
	number = strtoul(arg, &end, 10);
	if (arg[0] < '0' || arg[0] > '9' || *end != '\0' || errno != 0 || number > 65535)
		return ipq_fail(e, EINVAL,
				"\"nfqueue:%s\": use a queue number from 0 to 65535 after the colon", arg);
	q = calloc(1, sizeof(*q));
	if (q == NULL)
		return ipq_fail(e, ENOMEM, "no memory");
	q->base.ops = &source_nfqueue;
	q->fd = -1;
	q->number = q->base.queue_number = (uint16_t)number;
	q->config.flags = IPQ_O_SEGMENT; /* the kernel's default */
	q->deferred_end = &q->deferred;
	pthread_mutex_init(&q->config_lock, NULL);
	pthread_mutex_init(&q->deferred_lock, NULL);
	q->batch = nfqueue_new_batch();
	q->fd = q->batch != NULL ? netlink_open(&q->absent) : -ENOMEM;
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

/* Defers a message that was read before an acknowledgement. Without memory for it, its packet is dropped. */
static int defer(struct nfqueue *q, const unsigned char *message, size_t len, const struct nfq_reply *r,
		 uint32_t id)
{
	int err = nfqueue_defer(q, message, len, NULL);

	if (err == 0)
		return nfqueue_send_noop(q, SEQ_DEFERRED);
	if (r->kind == NFQ_PACKET || r->kind == NFQ_OTHER)
		nfqueue_drop(q, r, id);
	return err;
}

/* Reads all messages of the socket: records acknowledgements and defers the others. 0 or -errno. */
static int drain_until_ack(struct nfqueue *q)
{
	unsigned char *buf = malloc(SOURCE_SLOT_SIZE);
	int err = 0;
	uint32_t last = q->seq;
	unsigned announced = 0; /* acknowledgements of SEQ_DEFERRED that were read here */

	if (buf == NULL)
		return -ENOMEM;
	while (err == 0 && atomic_load(&q->answered) != last) {
		struct ipq_packet p = { .id = 0 };
		struct nfq_reply r;
		ssize_t n = recv(q->fd, buf, SOURCE_SLOT_SIZE, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err = errno == EAGAIN || errno == ENOBUFS ? 0 : -errno;
			break;
		}
		nfq_parse(buf, (size_t)n, &p, &r);
		if (r.kind == NFQ_ACK && r.type != NLMSG_NOOP)
			nfqueue_post_ack(q, r.seq, r.refusal.error);
		else if (r.kind == NFQ_ACK && r.seq == SEQ_DEFERRED)
			announced++;
		else
			err = defer(q, buf, (size_t)n, &r, p.id);
	}
	free(buf);
	/* recv_many() returns deferred messages without their NOOPs: repeat only those still needed. */
	if (announced > atomic_load(&q->deferred_count))
		announced = atomic_load(&q->deferred_count);
	while (announced-- > 0)
		nfqueue_send_noop(q, SEQ_DEFERRED);
	return err;
}

/* Sends a request and waits for its acknowledgement. Returns 0, the kernel's -errno, -ETIMEDOUT. */
static int ask(struct nfqueue *q, struct nlmsghdr *nlh)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int try, wait, err = 0;

	for (try = 0; try < CONFIG_TRIES; try++) {
		nlh->nlmsg_seq = ++q->seq;
		atomic_store(&q->awaited, nlh->nlmsg_seq);
		if (send(q->fd, nlh, nlh->nlmsg_len, 0) < 0)
			return -errno;
		for (wait = 0; wait <= ANSWER_WAIT_MS / CONFIG_TRIES; wait++) {
			err = drain_until_ack(q);
			if (err < 0)
				return err;
			if (atomic_load(&q->answered) == nlh->nlmsg_seq)
				return -atomic_load(&q->answer);
			nanosleep(&pause, NULL); /* another thread has read it, or it was lost */
		}
	}
	return -ETIMEDOUT;
}

static struct nlmsghdr *request(struct nfqueue *q, void *buf)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *gen;

	nlh->nlmsg_type = (NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_CONFIG;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	gen = mnl_nlmsg_put_extra_header(nlh, sizeof(*gen));
	gen->nfgen_family = AF_UNSPEC;
	gen->version = NFNETLINK_V0;
	gen->res_id = htons(q->number);
	return nlh;
}

static int ask_command(struct nfqueue *q, uint8_t command, uint16_t family)
{
	struct nfqnl_msg_config_cmd cmd = { .command = command, .pf = htons(family) };
	unsigned char buf[128];
	struct nlmsghdr *nlh = request(q, buf);

	mnl_attr_put(nlh, NFQA_CFG_CMD, sizeof(cmd), &cmd);
	return ask(q, nlh);
}

static int ask_flags(struct nfqueue *q, uint32_t mask, uint32_t flags)
{
	unsigned char buf[128];
	struct nlmsghdr *nlh = request(q, buf);

	mnl_attr_put_u32(nlh, NFQA_CFG_MASK, htonl(mask));
	mnl_attr_put_u32(nlh, NFQA_CFG_FLAGS, htonl(flags));
	return ask(q, nlh);
}

static int ask_length(struct nfqueue *q, uint32_t length)
{
	unsigned char buf[128];
	struct nlmsghdr *nlh = request(q, buf);

	mnl_attr_put_u32(nlh, NFQA_CFG_QUEUE_MAXLEN, htonl(length));
	return ask(q, nlh);
}

static int ask_mode(struct nfqueue *q, enum copy_mode mode, uint32_t range)
{
	struct nfqnl_msg_config_params params = { .copy_range = htonl(range), .copy_mode = (uint8_t)mode };
	unsigned char buf[128] = { 0 }; /* libmnl does not clear the padding after 5 bytes */
	struct nlmsghdr *nlh = request(q, buf);

	mnl_attr_put(nlh, NFQA_CFG_PARAMS, sizeof(params), &params);
	return ask(q, nlh);
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
	/* Programs print error texts, and a process can choose any bytes as its name. */
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
	/* Needed before Linux 3.8; later kernels accept and ignore it if the caller has the capability. */
	capable = ask_command(q, NFQNL_CFG_CMD_PF_BIND, AF_INET) != -EPERM;
	ask_command(q, NFQNL_CFG_CMD_PF_BIND, AF_INET6);
	err = ask_command(q, NFQNL_CFG_CMD_BIND, AF_UNSPEC);
	/* This socket owns the queue: an acknowledgement was lost. If another owned it: EPERM. */
	if (err == -EBUSY)
		err = 0;
	q->bound = err == 0 || err == -ETIMEDOUT; /* after a timeout it may be bound: unbind on failure */
	return err < 0 ? explain_bind(q, err, capable, e) : 0;
}

/* Sets one flag at a time, so that an error can name it. Returns the flags in force. */
static int set_flags(struct nfqueue *q, uint32_t wanted, struct ipq_error *e)
{
	static const struct {
		uint32_t flag, kernel;
		const char *name;
	} all[] = {
		{ IPQ_O_FAIL_OPEN, NFQA_CFG_F_FAIL_OPEN, "fail-open (NFQA_CFG_F_FAIL_OPEN, Linux 3.6)" },
		{ IPQ_O_CONNTRACK, NFQA_CFG_F_CONNTRACK,
		  "conntrack (NFQA_CFG_F_CONNTRACK, module nf_conntrack_netlink)" },
		{ IPQ_O_OWNER, NFQA_CFG_F_UID_GID,
		  "the owner's uid and gid (NFQA_CFG_F_UID_GID, Linux 3.14)" },
		{ IPQ_O_SECURITY_CONTEXT, NFQA_CFG_F_SECCTX,
		  "security contexts (NFQA_CFG_F_SECCTX, CONFIG_NETWORK_SECMARK)" },
	};
	uint32_t got = wanted, change = wanted ^ q->config.flags;
	size_t i;
	int err;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (!(change & all[i].flag))
			continue;
		err = ask_flags(q, all[i].kernel, wanted & all[i].flag ? all[i].kernel : 0);
		if (err == 0 || !(wanted & all[i].flag))
			continue;
		if (!(wanted & IPQ_O_BEST_EFFORT))
			return ipq_fail(
				e, err == -EINVAL ? EOPNOTSUPP : -err,
				"this kernel does not support %s: omit it, or open with IPQ_O_BEST_EFFORT",
				all[i].name);
		got &= ~all[i].flag;
	}
	/* NFQA_CFG_F_GSO: packets are not split. Kernels before 3.10 always split them. */
	if ((change & IPQ_O_SEGMENT) &&
	    ask_flags(q, NFQA_CFG_F_GSO, wanted & IPQ_O_SEGMENT ? 0 : NFQA_CFG_F_GSO) < 0)
		got |= IPQ_O_SEGMENT;
	return (int)got;
}

/* Requests only changes, because packets that arrive during a request have to be deferred. */
static int configure(struct nfqueue *q, const struct source_config *c, struct ipq_error *e)
{
	/* 0 is the whole packet, as in ip_queue. */
	uint32_t range = c->range > NFQ_PAYLOAD_MAX ? 0 : c->range;
	int on = (c->flags & IPQ_O_TIMESTAMP) != 0 && c->mode != COPY_NONE, err;
	bool first = !q->bound;

	if (first) {
		err = take_queue(q, e);
		if (err < 0)
			return err;
	}
	netlink_set_receive_buffer(q->fd, c->receive_buffer);
	setsockopt(q->fd, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on));
	if (first)
		q->flags = IPQ_O_SEGMENT;
	if (c->flags != q->config.flags) {
		q->flags = set_flags(q, c->flags, e);
		if (q->flags < 0)
			return q->flags;
	}
	if (first || c->queue_length != q->config.queue_length) {
		err = ask_length(q, c->queue_length);
		if (err < 0)
			return ipq_fail(e, -err, "cannot set the length of queue %u: %s", q->number,
					strerror(-err));
	}
	/* The mode comes last: before the first one, nothing is queued. */
	atomic_store(&q->requeues_left, c->mode == COPY_PACKET ? REQUEUES_MAX : 0);
	err = ask_mode(q, c->mode, range);
	if (err < 0) {
		atomic_store(&q->requeues_left,
			     q->config.mode == COPY_PACKET ? REQUEUES_MAX : 0); /* the mode is unchanged */
		return ipq_fail(e, -err, "cannot set the copy mode of queue %u: %s", q->number,
				strerror(-err));
	}
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
		ask_command(q, NFQNL_CFG_CMD_UNBIND, AF_UNSPEC);
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
		c->lost = span - (uint32_t)received; /* both modulo 2^32 */
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
