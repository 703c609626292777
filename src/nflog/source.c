/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation. The kernel collects copies of packets in a datagram, which holds one netlink message for
 * each, and sends it when `batch` copies are in it, when it is full, or 10 ms after the first copy. recv() reads a
 * datagram into memory of the source and copies one message into each slot. Messages that are left wait for the
 * next recv(). Meanwhile a NOOP, which the kernel acknowledges, keeps the socket readable. A wake is a NOOP with
 * another sequence number.
 *
 * The lock covers the datagram and the settings. It is not held while waiting.
 *
 * No packet waits for a verdict: send() returns as if it had sent all verdicts. A copy that does not fit into the
 * socket is lost; the next copy shows a gap in the group's numbers.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "nflog/messages.h"
#include "nflog/nflog.h"
#include "source/links.h"
#include "util/clock.h"
#include "util/netlink.h"

#define SEQ_WAKE 0x77616b65U
#define SEQ_READABLE 0x72656164U
#define BATCH_DEFAULT 32
#define BATCH_MAX 1024
#define TIMEOUT 1 /* timeout in hundredths of a second */
/* The kernel's limit for collected copies, plus room for the attributes of one long packet. */
#define DATAGRAM_MAX (131072 + 4096)
#define TRIES 5

/* A datagram that was read while waiting for an answer: the next recv() returns it first. */
struct early {
	struct early *next;
	size_t len;
	unsigned char bytes[];
};

struct nflog {
	struct source base;
	int fd;
	uint16_t group;
	uint32_t batch;
	bool absent; /* this kernel has no NETLINK_NETFILTER: the socket is a placeholder */

	pthread_mutex_t lock; /* protects the members below */
	bool bound, meta_only;
	bool woken;	/* recv() has not yet returned for this wake */
	bool announced; /* a NOOP was sent because of messages that are left */
	uint32_t seq;	/* sequence number of the last request */
	uint32_t last_id;
	unsigned char *datagram;
	size_t len, at; /* bytes of the datagram; bytes of it that were parsed */
	struct early *early, **early_end;

	bool counting;
	uint32_t next; /* expected number of the next packet */
	atomic_uint_fast64_t lost, malformed;
};

static struct nflog *nflog(const struct source *s)
{
	return (struct nflog *)(uintptr_t)s;
}

/* A cancelled thread must not leave the lock locked. */
static int lock(struct nflog *q)
{
	int cancel;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	pthread_mutex_lock(&q->lock);
	return cancel;
}

static void unlock(struct nflog *q, int cancel)
{
	pthread_mutex_unlock(&q->lock);
	pthread_setcancelstate(cancel, NULL);
}

/* ---- opening ------------------------------------------------------------------------------------- */

static void nflog_close(struct source *s)
{
	struct nflog *q = nflog(s);

	while (q->early != NULL) {
		struct early *next = q->early->next;

		free(q->early);
		q->early = next;
	}
	if (q->fd >= 0)
		close(q->fd); /* the kernel ends the group when its socket is closed */
	links_close(q->base.links);
	pthread_mutex_destroy(&q->lock);
	free(q->datagram);
	free(q);
}

/* Parses "5" or "5,batch=1". */
static int parse_name(struct nflog *q, const char *arg, struct ipq_error *e)
{
	unsigned long group, batch = BATCH_DEFAULT;
	char *end;

	errno = 0;
	group = strtoul(arg, &end, 10);
	if (arg[0] < '0' || arg[0] > '9' || (*end != '\0' && *end != ',') || errno != 0 || group > 65535)
		return ipq_fail(e, EINVAL, "\"nflog:%s\": use a group from 0 to 65535 after the colon", arg);
	if (strncmp(end, ",batch=", 7) == 0 && end[7] >= '0' && end[7] <= '9')
		batch = strtoul(end + 7, &end, 10);
	if (*end != '\0' || errno != 0 || batch == 0 || batch > BATCH_MAX)
		return ipq_fail(e, EINVAL,
				"\"nflog:%s\": only batch=N may follow the group, with N from 1 to %d", arg,
				BATCH_MAX);
	q->group = (uint16_t)group;
	q->batch = (uint32_t)batch;
	return 0;
}

static int nflog_open(struct source **s, const char *arg, struct ipq_error *e)
{
	struct nflog *q = calloc(1, sizeof(*q));
	int err;

	*s = NULL;
	if (q == NULL)
		return ipq_fail(e, ENOMEM, "no memory");
	q->base.ops = &source_nflog;
	q->fd = -1;
	q->early_end = &q->early;
	pthread_mutex_init(&q->lock, NULL);
	err = parse_name(q, arg, e);
	if (err < 0)
		goto out;
	q->datagram = malloc(DATAGRAM_MAX);
	q->fd = q->datagram != NULL ? netlink_open(&q->absent) : -ENOMEM;
	err = q->fd < 0 ? q->fd : links_open(&q->base.links);
	if (err < 0)
		ipq_fail(e, -err, "cannot open a netlink socket: %s", strerror(-err));
	else
		*s = &q->base;
out:
	if (err < 0)
		nflog_close(&q->base);
	return err;
}

/* ---- requests ------------------------------------------------------------------------------------ */

static int keep_early(struct nflog *q, const unsigned char *bytes, size_t len)
{
	struct early *early = malloc(sizeof(*early) + len);

	if (early == NULL)
		return -ENOMEM;
	early->next = NULL;
	early->len = len;
	memcpy(early->bytes, bytes, len);
	*q->early_end = early;
	q->early_end = &early->next;
	return 0;
}

/*
 * Reads messages until the answer to the last request. Returns the kernel's answer, 0 or -errno; -EAGAIN: the
 * answer was lost.
 */
static int read_answer(struct nflog *q, unsigned char *buf)
{
	for (;;) {
		ssize_t n = recv(q->fd, buf, DATAGRAM_MAX, MSG_DONTWAIT);
		struct nflog_message m;
		struct ipq_packet p;
		int err;

		if (n <= 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		nflog_parse(buf, (size_t)n, &p, &m);
		if (m.kind == NFLOG_ACK && m.seq == q->seq && m.type != NLMSG_NOOP)
			return -m.error;
		err = keep_early(q, buf, (size_t)n);
		if (err < 0)
			return err;
	}
}

static int ask(struct nflog *q, const struct nflog_config *config)
{
	uint32_t buf[NFLOG_REQUEST_MAX / 4];
	unsigned char *answer = malloc(DATAGRAM_MAX);
	int err = answer != NULL ? -EAGAIN : -ENOMEM;

	for (int try = 0; err == -EAGAIN && try < TRIES; try++) {
		const struct nlmsghdr *nlh = nflog_request(buf, ++q->seq, config);

		err = send(q->fd, nlh, nlh->nlmsg_len, 0) < 0 ? -errno : read_answer(q, answer);
	}
	free(answer);
	if (q->early != NULL && !q->announced)
		q->announced = netlink_send_noop(q->fd, SEQ_READABLE) == 0;
	return err == -EAGAIN ? -ETIMEDOUT : err;
}

/*
 * Whether the process has the capability. The kernel answers EPERM to a process without it, and also if another
 * socket owns the group. So this sends a request that has no effect, because no family has its number: a capable
 * process gets another error.
 */
static bool is_capable(struct nflog *q)
{
	return ask(q, &(struct nflog_config){ .command = NFULNL_CFG_CMD_PF_BIND, .family = 255 }) != -EPERM;
}

static int explain_bind(struct nflog *q, int err, struct ipq_error *e)
{
	if (err == -EINVAL || err == -EOPNOTSUPP || err == -ENOSYS)
		return ipq_fail(
			e, ECONNREFUSED,
			"this kernel has no nfnetlink_log: load it with \"modprobe nfnetlink_log\", or "
			"use a kernel with CONFIG_NETFILTER_NETLINK_LOG");
	if (err != -EPERM && err != -EBUSY)
		return ipq_fail(e, -err, "cannot take NFLOG group %u: %s", q->group, strerror(-err));
	if (!is_capable(q))
		return ipq_fail(
			e, EPERM,
			"taking NFLOG group %u needs CAP_NET_ADMIN: run as root, or in a namespace of "
			"your own (unshare -Urn)",
			q->group);
	return ipq_fail(e, EBUSY,
			"NFLOG group %u is taken by another program: stop it or use another group number",
			q->group);
}

/* ---- configuration ------------------------------------------------------------------------------- */

/*
 * Bytes of a batch of packets with this range and their attributes. A little less than a power of two, because the
 * kernel adds its own header.
 */
static uint32_t datagram_size(const struct nflog *q, uint32_t range)
{
	uint32_t each = (range < 1500 ? range : 1500) + 300, size = 4096;

	while (size < 65536 && size - 512 < q->batch * each)
		size *= 2;
	return size - 512;
}

static int unbind(struct nflog *q)
{
	int err = 0;

	if (q->bound)
		err = ask(q, &(struct nflog_config){ .group = q->group, .command = NFULNL_CFG_CMD_UNBIND });
	q->bound = false;
	q->counting = false;
	return err;
}

/* All other flags of options.flags are refused. */
#define USABLE_FLAGS                                                                           \
	(IPQ_O_META_ONLY | IPQ_O_FAIL_OPEN | IPQ_O_CONNTRACK | IPQ_O_OWNER | IPQ_O_TIMESTAMP | \
	 IPQ_O_BEST_EFFORT | IPQ_O_FLOWS)

static int check_flags(uint32_t flags, struct ipq_error *e)
{
	if ((flags & IPQ_O_BEST_EFFORT) != 0)
		return 0;
	if ((flags & IPQ_O_SEGMENT) != 0)
		return ipq_fail(
			e, EOPNOTSUPP,
			"nfnetlink_log does not split large packets (IPQ_O_SEGMENT): omit the flag, or open "
			"with IPQ_O_BEST_EFFORT");
	if ((flags & ~(uint32_t)USABLE_FLAGS) != 0)
		return ipq_fail(
			e, EOPNOTSUPP,
			"nfnetlink_log has no security context (IPQ_O_SECURITY_CONTEXT): omit the flag, or "
			"open with IPQ_O_BEST_EFFORT");
	return 0;
}

/* All settings are in one message, so that no packet is sent with only some of them. */
static int bind_group(struct nflog *q, const struct source_config *c, struct ipq_error *e)
{
	struct nflog_config config = { .group = q->group,
				       .command = q->bound ? NFULNL_CFG_CMD_NONE : NFULNL_CFG_CMD_BIND,
				       .settings = true,
				       .range = c->range,
				       .threshold = q->batch,
				       .timeout = TIMEOUT,
				       .conntrack = (c->flags & IPQ_O_CONNTRACK) != 0 };
	uint32_t flags = c->flags & USABLE_FLAGS;
	int err;

	if (c->mode == COPY_META)
		config.range = NFLOG_LENGTH_RANGE; /* the length field is in the packet's header */
	else if (c->range == 0 || c->range > NFLOG_PAYLOAD_MAX)
		config.range = NFLOG_PAYLOAD_MAX;
	config.buffer = datagram_size(q, config.range);
	err = ask(q, &config);
	if (err < 0 && config.conntrack && err != -EPERM) {
		config.conntrack = false;
		flags &= ~(uint32_t)IPQ_O_CONNTRACK;
		err = ask(q, &config);
		if (err == 0 && (c->flags & IPQ_O_BEST_EFFORT) == 0)
			return ipq_fail(
				e, EOPNOTSUPP,
				"this kernel logs no conntrack entries (IPQ_O_CONNTRACK): load "
				"nf_conntrack_netlink, omit the flag, or open with IPQ_O_BEST_EFFORT");
	}
	if (err < 0)
		return explain_bind(q, err, e);
	q->bound = true;
	q->meta_only = c->mode == COPY_META;
	return (int)flags;
}

static int configure(struct nflog *q, const struct source_config *c, struct ipq_error *e)
{
	int on = (c->flags & IPQ_O_TIMESTAMP) != 0 && c->mode != COPY_NONE;
	int err = check_flags(c->flags, e);

	if (err < 0)
		return err;
	if (q->absent)
		return explain_bind(q, -EOPNOTSUPP, e);
	netlink_set_receive_buffer(q->fd, c->receive_buffer);
	setsockopt(q->fd, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on));
	if (c->mode == COPY_NONE) {
		err = unbind(q);
		return err < 0 ? explain_bind(q, err, e) : (int)c->flags;
	}
	return bind_group(q, c, e);
}

static int nflog_configure(struct source *s, const struct source_config *c, struct ipq_error *e)
{
	struct nflog *q = nflog(s);
	int cancel = lock(q), ret = configure(q, c, e);

	unlock(q, cancel);
	return ret;
}

/* ---- packets ------------------------------------------------------------------------------------- */

/* Receives the next datagram. 1: received; 0: there is none; or -errno. */
static int fetch(struct nflog *q)
{
	struct early *early = q->early;
	ssize_t n;

	q->len = q->at = 0;
	if (early != NULL) {
		q->early = early->next;
		if (q->early == NULL)
			q->early_end = &q->early;
		memcpy(q->datagram, early->bytes, early->len);
		q->len = early->len;
		free(early);
		return 1;
	}
	n = recv(q->fd, q->datagram, DATAGRAM_MAX, MSG_DONTWAIT);
	if (n > 0)
		q->len = (size_t)n;
	if (n >= 0 || errno == ENOBUFS)
		return n > 0;
	return errno == EAGAIN ? 0 : -errno;
}

/*
 * Copies a message into the slot, as far as it fits, and adjusts the pointers. The payload is the last
 * attribute.
 */
static void deliver(const unsigned char *message, size_t len, const struct iovec *slot, struct ipq_packet *p)
{
	const unsigned char *end = message + (len < slot->iov_len ? len : slot->iov_len);
	ptrdiff_t move = (unsigned char *)slot->iov_base - message;

	memcpy(slot->iov_base, message, (size_t)(end - message));
	if (p->payload != NULL && p->payload + p->payload_len > end) {
		p->payload_len = p->payload < end ? (uint32_t)(end - p->payload) : 0;
		p->flags |= IPQ_PACKET_TRUNCATED;
	}
	if (p->payload != NULL)
		p->payload += move;
	if (p->link_header != NULL && p->link_header + p->link_header_len > end)
		p->present &= ~(uint32_t)IPQ_HAS_LINK_HEADER;
	else if (p->link_header != NULL)
		p->link_header += move;
	if (p->conntrack != NULL && (const uint8_t *)p->conntrack + p->conntrack_len > end)
		p->present &= ~(uint32_t)IPQ_HAS_CONNTRACK;
	else if (p->conntrack != NULL)
		p->conntrack = (const uint8_t *)p->conntrack + move;
}

static void note_number(struct nflog *q, const struct nflog_message *m)
{
	if (!m->numbered)
		return;
	if (q->counting)
		atomic_fetch_add(&q->lost, m->seq - q->next); /* the difference modulo 2^32 */
	q->counting = true;
	q->next = m->seq + 1;
}

/* Reads one message. True: *p is a packet. */
static bool take_message(struct nflog *q, const struct iovec *slot, struct ipq_packet *p)
{
	unsigned char *message = q->datagram + q->at;
	struct nflog_message m;

	nflog_parse(message, q->len - q->at, p, &m);
	q->at += m.len;
	if (m.kind == NFLOG_ACK && m.type == NLMSG_NOOP) {
		q->woken |= m.seq == SEQ_WAKE;
		q->announced &= m.seq != SEQ_READABLE;
	}
	if (m.kind == NFLOG_MALFORMED)
		atomic_fetch_add(&q->malformed, 1);
	if (m.kind != NFLOG_PACKET)
		return false;
	note_number(q, &m);
	p->id = ++q->last_id;
	if (q->meta_only) {
		p->present &= ~(uint32_t)IPQ_HAS_PAYLOAD;
		p->payload = NULL;
		p->payload_len = 0;
	}
	deliver(message, m.len, slot, p);
	return true;
}

/* Receives packets without waiting. Returns their number, 0, -ECANCELED or -errno. */
static int take(struct nflog *q, const struct iovec *slot, struct ipq_packet *packet, unsigned max)
{
	unsigned count = 0;
	int err = 1;

	while (count < max && !q->woken) {
		if (q->at >= q->len)
			err = fetch(q);
		if (err <= 0)
			break;
		count += take_message(q, &slot[count], &packet[count]);
	}
	if (count == 0 && q->woken) {
		q->woken = false;
		return -ECANCELED;
	}
	if ((q->at < q->len || q->early != NULL || q->woken) && !q->announced)
		q->announced = netlink_send_noop(q->fd, SEQ_READABLE) == 0;
	return count > 0 || err > 0 ? (int)count : err;
}

static int nflog_recv(struct source *s, const struct iovec *slot, struct ipq_packet *packet, unsigned max,
		      int timeout_ms, source_refused refused, void *context)
{
	struct nflog *q = nflog(s);
	int64_t end = now_ms() + timeout_ms;

	(void)refused;
	(void)context;
	for (;;) {
		struct pollfd wait = { .fd = q->fd, .events = POLLIN };
		int cancel = lock(q), n = take(q, slot, packet, max);
		int64_t left = timeout_ms < 0 ? -1 : end - now_ms();

		unlock(q, cancel);
		if (n != 0 || timeout_ms == 0 || (timeout_ms > 0 && left <= 0))
			return n;
		n = poll(&wait, 1, (int)left);
		if (n < 0)
			return -errno;
	}
}

static int nflog_send(struct source *s, const struct source_verdict *verdict, unsigned n)
{
	(void)s;
	(void)verdict;
	return (int)n;
}

static int nflog_fd(const struct source *s)
{
	return nflog(s)->fd;
}

static int nflog_wake(struct source *s)
{
	return netlink_send_noop(nflog(s)->fd, SEQ_WAKE);
}

static int nflog_counts(struct source *s, struct source_counts *c)
{
	struct nflog *q = nflog(s);

	*c = (struct source_counts){ .lost = atomic_load(&q->lost), .malformed = atomic_load(&q->malformed) };
	return 0;
}

static int64_t nflog_backlog(const struct source *s)
{
	return netlink_backlog(nflog(s)->fd);
}

const struct source_ops source_nflog = {
	.name = "nflog",
	.copies = true,
	.open = nflog_open,
	.close = nflog_close,
	.configure = nflog_configure,
	.fd = nflog_fd,
	.recv = nflog_recv,
	.send = nflog_send,
	.counts = nflog_counts,
	.wake = nflog_wake,
	.backlog = nflog_backlog,
};
