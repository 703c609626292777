/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation: ip_queue's own protocol on a datagram socket, as libipq always spoke it. At the
 * other end is an engine in this process (a capture file, both families on one queue, or because the
 * program reads h->fd itself), or the kernel's ip_queue where there is one (Linux up to 3.4).
 *
 * Only the first mode request is acknowledged: until it succeeds no packet can come, so that the answer is
 * the next message and nothing is read past it. Later requests are refused, if at all, by a message.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "classic/host.h"
#include "core/core.h"
#include "ipqueue/messages.h"

#define HEAD (sizeof(ipq_packet_msg_t) + NLMSG_HDRLEN)
#define ANSWER_WAIT_MS 5000
#define ANSWER_LOOK_MS 50
#define ANSWERED (-2) /* what was read is for the thread that sets a mode */

/* ---- opening ------------------------------------------------------------------------------------- */

static int open_kernel(struct classic *c, struct ipq_error *e)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC,
			c->family == AF_INET6 ? NETLINK_IP6_FW : NETLINK_FIREWALL);

	if (fd < 0)
		return ipq_fail(e, errno,
				"this kernel has no ip_queue (it left Linux in 3.5): use nfqueue:NUMBER");
	if (bind(fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0 ||
	    connect(fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0) {
		int err = errno;

		close(fd);
		return ipq_fail(e, err, "cannot bind to ip_queue: %s", strerror(err));
	}
	return fd;
}

static int open_wire(struct classic *c, const char *name, struct ipq_error *e)
{
	struct sockaddr_nl local;
	socklen_t len = sizeof(local);
	int fd;

	if (strcmp(name, "ip_queue:") == 0 || strcmp(name, "ip6_queue:") == 0)
		fd = open_kernel(c, e);
	else
		fd = host_attach(&c->host, source_skip_engine(name), c->family, e);
	if (fd < 0)
		return fd;
	c->transport = &classic_wire;
	c->public.fd = fd;
	if (c->host == NULL && getsockname(fd, (struct sockaddr *)&local, &len) == 0)
		c->public.local = local;
	return 0;
}

int classic_fall_back(struct classic *c)
{
	const char *name = c->family == AF_INET6 ? "ip6_queue:" : "ip_queue:";
	int fd = open_kernel(c, NULL), own = c->public.fd;
	char *source_name = fd >= 0 ? strdup(name) : NULL;
	struct sockaddr_nl local;
	socklen_t len = sizeof(local);
	int readers;

	if (fd < 0 || source_name == NULL || dup3(fd, own, O_CLOEXEC) < 0) {
		if (fd >= 0)
			close(fd);
		free(source_name);
		return -ECONNREFUSED;
	}
	close(fd);
	if (c->host != NULL) {
		host_detach(c->host);
		c->source = NULL; /* was the engine's */
	}
	c->host = NULL;
	c->probes = false;
	free(c->source_name);
	c->source_name = source_name; /* no handle of the other family shares it */
	c->explanation[0] = '\0';
	if (getsockname(own, (struct sockaddr *)&local, &len) == 0)
		c->public.local = local;
	c->transport = &classic_wire;
	for (readers = atomic_load(&c->refs) - 1; readers > 0 && c->source != NULL; readers--)
		c->source->ops->wake(c->source);
	return 0;
}

/* A reader that sleeps sees the end of the socket. */
static void wake_wire(struct classic *c)
{
	shutdown(c->public.fd, SHUT_RDWR);
}

static void close_wire(struct classic *c)
{
	close(c->public.fd);
	if (c->host != NULL) {
		host_detach(c->host);
	} else if (c->source != NULL) { /* tried before the kernel's ip_queue was */
		classic_batch_free(c);
		c->source->ops->close(c->source);
	}
}

/* ---- requests ---------------------------------------------------------------------------------------- */

/* Netlink takes a request at once; an engine's socket may be full for a moment, and the program's O_NONBLOCK
 * speaks of reading. */
static int send_request(struct classic *c, struct iovec *iov, size_t pieces)
{
	struct pollfd room = { .fd = c->public.fd, .events = POLLOUT };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = pieces };

	while (sendmsg(c->public.fd, &msg, MSG_NOSIGNAL) < 0) {
		if (errno == EAGAIN)
			poll(&room, 1, -1);
		else if (errno != EINTR)
			return errno == EPIPE ? -ECONNREFUSED : -errno;
	}
	return 0;
}

/* What the next message says to the request c->seq. 0 or -errno; -EAGAIN: there is none yet. */
static int read_answer(struct classic *c)
{
	unsigned char buf[512];
	struct nlmsgerr answer;
	struct nlmsghdr nlh;
	ssize_t n = recv(c->public.fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0)
		return -errno;
	if (n < (ssize_t)(NLMSG_HDRLEN + sizeof(answer)))
		return n == 0 ? -ECONNREFUSED : -EBADMSG;
	memcpy(&nlh, buf, sizeof(nlh));
	memcpy(&answer, buf + NLMSG_HDRLEN, sizeof(answer));
	if (nlh.nlmsg_type != NLMSG_ERROR)
		return -EBADMSG;
	return nlh.nlmsg_seq == c->seq ? answer.error : -EAGAIN; /* late: of a request that was given up */
}

/* The answer to the request with NLM_F_ACK that was just sent, by whichever thread reads it: 0 or -errno. */
static int await_answer(struct classic *c)
{
	struct pollfd wait = { .fd = c->public.fd, .events = POLLIN };
	int i, err;

	for (i = 0; i < ANSWER_WAIT_MS / ANSWER_LOOK_MS; i++) {
		poll(&wait, 1, ANSWER_LOOK_MS);
		if (atomic_exchange(&c->acknowledged, false))
			return 0;
		err = read_answer(c);
		if (err != -EAGAIN && err != -EINTR)
			return err;
	}
	return -ETIMEDOUT;
}

static int set_mode(struct classic *c, uint8_t mode, uint32_t range)
{
	unsigned char request[NLMSG_HDRLEN + sizeof(ipq_peer_msg_t)];
	struct iovec iov = { request, sizeof(request) };
	struct nlmsghdr *nlh = (struct nlmsghdr *)(void *)request;
	int err;

	iov.iov_len = wire_put_mode(WIRE_NATIVE, request, c->public.local.nl_pid, mode, range);
	if (!c->configured && mode <= IPQ_COPY_MAX) {
		nlh->nlmsg_flags |= NLM_F_ACK;
		nlh->nlmsg_seq = ++c->seq;
	}
	err = send_request(c, &iov, 1);
	if (err == 0 && (nlh->nlmsg_flags & NLM_F_ACK)) {
		err = await_answer(c);
		c->configured = err == 0;
	}
	return err;
}

static int set_verdict(struct classic *c, uint64_t id, uint32_t verdict, const void *payload, size_t len)
{
	unsigned char head[NLMSG_HDRLEN + sizeof(ipq_peer_msg_t)];
	struct iovec iov[2] = { { head, sizeof(head) }, { (void *)(uintptr_t)payload, len } };

	wire_put_verdict(WIRE_NATIVE, head, c->public.local.nl_pid, verdict, id, len);
	atomic_fetch_add_explicit(&c->verdicts, 1, memory_order_relaxed);
	return classic_sent(send_request(c, iov, len > 0 ? 2 : 1), len);
}

/* ---- messages ---------------------------------------------------------------------------------------- */

/* A packet whose payload was cut by the caller's buffer becomes one of a smaller range. */
static ssize_t shorten(unsigned char *buf, size_t len, struct nlmsghdr *nlh)
{
	ipq_packet_msg_t *m = ipq_get_packet(buf);
	size_t data_len;

	if (nlh->nlmsg_type != IPQM_PACKET || len < HEAD)
		return classic_fail(IPQ_ERR_RTRUNC, 0);
	memcpy(&data_len, &m->data_len, sizeof(data_len));
	if (data_len > len - HEAD)
		data_len = len - HEAD;
	memcpy(&m->data_len, &data_len, sizeof(data_len));
	nlh->nlmsg_len = (uint32_t)(HEAD + data_len);
	memcpy(buf, nlh, sizeof(*nlh));
	return (ssize_t)nlh->nlmsg_len;
}

/* A capture that is damaged, and did not just end, says so in errno, and where in IPQ_CTL_EXPLAIN. */
static ssize_t no_more_packets(struct classic *c)
{
	struct ipq_error e = { "" };
	int err = c->host != NULL ? host_failure(c->host, &e) : 0;

	memcpy(c->explanation, e.text, sizeof(c->explanation));
	return classic_fail(IPQ_ERR_NLEOF, -err);
}

static ssize_t receive(struct classic *c, unsigned char *buf, size_t len, int flags)
{
	struct nlmsghdr nlh;
	ssize_t n = recv(c->public.fd, buf, len, flags | MSG_TRUNC);

	if (atomic_load(&c->closing))
		return classic_fail(IPQ_ERR_RECV, EBADF);
	if (n < 0)
		return classic_fail(IPQ_ERR_RECV, errno);
	if (n == 0)
		return no_more_packets(c);
	if (n < NLMSG_HDRLEN)
		return classic_fail(IPQ_ERR_RTRUNC, 0);
	memcpy(&nlh, buf, sizeof(nlh));
	if (nlh.nlmsg_type == NLMSG_ERROR && (size_t)n <= len && ipq_get_msgerr(buf) == 0) {
		atomic_store(&c->acknowledged, true); /* for the thread that sets a mode */
		return ANSWERED;
	}
	if (nlh.nlmsg_type == NLMSG_ERROR)
		atomic_fetch_add(&c->refused, 1);
	if (nlh.nlmsg_type == IPQM_PACKET)
		atomic_fetch_add_explicit(&c->packets, 1, memory_order_relaxed);
	return (size_t)n <= len ? n : shorten(buf, len, &nlh);
}

static ssize_t read_wire(struct classic *c, unsigned char *buf, size_t len, int timeout)
{
	struct pollfd wait = { .fd = c->public.fd, .events = POLLIN };
	struct timespec t = { .tv_sec = timeout / 1000000, .tv_nsec = timeout % 1000000 * 1000L };
	ssize_t n;

	if (timeout < 0)
		t = (struct timespec){ 0, 0 };
	do {
		n = timeout != 0 ? ppoll(&wait, 1, &t, NULL) : 1;
		if (n < 0)
			return errno == EINTR ? 0 : classic_fail(IPQ_ERR_RECV, errno);
		if (n == 0)
			return classic_timed_out();
		n = receive(c, buf, len, timeout != 0 ? MSG_DONTWAIT : 0);
	} while (n == ANSWERED);
	if (n < 0 && timeout != 0 && errno == EAGAIN)
		return classic_timed_out(); /* another reader was faster */
	return n;
}

/* ---- settings ------------------------------------------------------------------------------------------ */

static int reconfigure(struct classic *c)
{
	int bytes = (int)(c->receive_buffer / 2);

	if (c->fail_open)
		return -EOPNOTSUPP;
	if (c->receive_buffer != 0 &&
	    setsockopt(c->public.fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)) < 0)
		return -errno;
	if (c->host != NULL)
		host_set_queue_length(c->host, c->family, c->queue_length);
	return 0;
}

static int set_batch(struct classic *c, unsigned batch)
{
	(void)c;
	(void)batch;
	return 0; /* the engine collects verdicts as they come */
}

static void stats(struct classic *c, struct ipq_ctl_stats *s)
{
	if (c->host != NULL)
		host_stats(c->host, c->family, s);
	s->foreign += atomic_load(&c->wrong_family);
	s->packets = atomic_load(&c->packets);
	s->verdicts = atomic_load(&c->verdicts);
	s->refused = atomic_load(&c->refused);
}

const struct transport classic_wire = {
	.open = open_wire,
	.wake = wake_wire,
	.close = close_wire,
	.set_mode = set_mode,
	.read = read_wire,
	.set_verdict = set_verdict,
	.reconfigure = reconfigure,
	.set_batch = set_batch,
	.stats = stats,
};
