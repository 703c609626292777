/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ip_queue's messages on a socket, as the library of 2001 used it. The other end is an engine in this
 * process (a capture file, both families on one queue, a program that reads h->fd itself) or the ip_queue
 * of a kernel up to 3.4.
 *
 * An engine in this process serves a request before the call returns. Otherwise only the first mode request asks
 * for an acknowledgement: no packet can come before this request succeeds, so the acknowledgement is the next
 * message. Later requests are refused by a message, which the program reads.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "classic/host.h"
#include "core/core.h"
#include "ipqueue/messages.h"
#include "util/compiler.h"

#define HEAD (sizeof(ipq_packet_msg_t) + NLMSG_HDRLEN)
#define ACK_WAIT_MS 5000
#define ACK_POLL_MS 50

/* ---- opening ------------------------------------------------------------------------------------- */

static int open_kernel(struct classic *c, struct ipq_error *e)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC,
			c->family == AF_INET6 ? NETLINK_IP6_FW : NETLINK_FIREWALL);

	if (fd < 0)
		return ipq_fail(e, errno,
				"this kernel has no ip_queue (removed in Linux 3.5): use nfqueue:NUMBER");
	if (bind(fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0 ||
	    connect(fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0) {
		int err = errno;

		close(fd);
		return ipq_fail(e, err, "cannot bind to ip_queue: %s", strerror(err));
	}
	return fd;
}

static void read_local_address(struct classic *c)
{
	struct sockaddr_nl local;
	socklen_t len = sizeof(local);

	if (getsockname(c->public.fd, (struct sockaddr *)&local, &len) == 0 && len == sizeof(local))
		c->public.local = local;
}

/* "ip_queue:" is not in core's registry: it is for the classic calls only. */
static int open_socket(struct classic *c, const char *name, struct ipq_error *e)
{
	bool kernel = strcmp(name, "ip_queue:") == 0 || strcmp(name, "ip6_queue:") == 0;

	c->public.fd = kernel ? open_kernel(c, e)
			      : host_attach(&c->host, &c->client, source_skip_engine(name), c->family, e);
	if (c->public.fd < 0)
		return c->public.fd;
	c->transport = &classic_over_socket;
	if (kernel)
		read_local_address(c);
	return 0;
}

static void wake_source_readers(struct classic *c)
{
	int readers;

	for (readers = atomic_load(&c->refs) - 1; readers > 0; readers--)
		c->source->ops->wake(c->source);
}

int classic_fall_back(struct classic *c)
{
	const char *name = c->family == AF_INET6 ? "ip6_queue:" : "ip_queue:";
	int fd = open_kernel(c, NULL);
	char *source_name = fd >= 0 ? strdup(name) : NULL;
	bool moved = source_name != NULL && dup3(fd, c->public.fd, O_CLOEXEC) >= 0;

	if (fd >= 0)
		close(fd);
	if (!moved) {
		free(source_name);
		return -ECONNREFUSED;
	}
	if (c->host != NULL) {
		host_detach(c->host);
		c->source = NULL; /* the engine owned the source */
	}
	c->host = NULL;
	c->may_fall_back = false;
	free(c->source_name);
	c->source_name = source_name; /* the other family has no handle that shares this source */
	c->explanation[0] = '\0';
	read_local_address(c);
	c->transport = &classic_over_socket;
	if (c->source != NULL)
		wake_source_readers(c);
	return 0;
}

/*
 * The engine owns the queue's socket from now on, and h->fd becomes a connection to the engine. Packets that the
 * program has read but not decided still wait in the kernel, and the engine passes their verdicts on. Readers that
 * sleep on the old socket are woken. For the length of the grace period the new h->fd is readable, so that a poll
 * in another thread returns.
 */
int classic_share(struct classic *c, struct ipq_error *e)
{
	const struct timespec grace = { .tv_nsec = 20000000 };
	int fd, err, tries;

	if (c->batching != NULL)
		return ipq_fail(e, EBUSY,
				"the handle of the other family reads queue %u in batches: unset IPQ_BATCH",
				c->source->queue_number);
	fd = host_adopt(&c->host, &c->client, c->source_name, c->source, c->family, e);
	if (fd < 0)
		return fd;
	err = dup3(fd, c->public.fd, O_CLOEXEC) < 0 ? -errno : 0;
	close(fd);
	if (err < 0) {
		host_release_source(c->host);
		c->host = NULL;
		return ipq_fail(e, -err, "cannot duplicate a descriptor: %s", strerror(-err));
	}
	/*
	 * The port of the queue's socket is not the process ID if another process or socket already uses that port.
	 */
	c->public.local.nl_pid = (uint32_t)c->pid;
	c->transport = &classic_over_socket;
	/* the old socket stays readable: the engine does not receive before a mode is set */
	c->source->ops->wake(c->source);
	wake_source_readers(c);
	nanosleep(&grace, NULL);
	if (!c->configured)
		return 0;
	/* The change cannot be undone, so a short lack of memory must not make it fail. */
	for (tries = 0; tries < 10; tries++) {
		err = classic_over_socket.set_mode(c, c->mode, c->range);
		if (err != -ENOBUFS && err != -ENOMEM)
			break;
		recv(c->public.fd, &(char){ 0 }, 1, MSG_DONTWAIT); /* discard the message with the refusal */
		nanosleep(&grace, NULL);
	}
	return err;
}

/* Readers that sleep on the socket see its end. */
static void wake_readers(struct classic *c)
{
	shutdown(c->public.fd, SHUT_RDWR);
}

static void close_socket(struct classic *c)
{
	close(c->public.fd);
	if (c->host != NULL) {
		host_detach(c->host);
	} else if (c->source != NULL) { /* nfnetlink_queue was tried before the kernel's ip_queue */
		classic_batch_free(c);
		c->source->ops->close(c->source);
	}
}

/* ---- requests ---------------------------------------------------------------------------------------- */

/*
 * Returns 0, -errno, or a positive errno: the engine has refused the request and has also sent a message. If the
 * kernel or another process serves the request, its result is not known yet.
 *
 * A netlink socket accepts a request immediately. An engine's socket may be full for a moment: then this function
 * waits even if the program has set O_NONBLOCK, which is meant for its reads only.
 */
static int send_request(struct classic *c, const struct iovec *iov, size_t pieces)
{
	struct pollfd room = { .fd = c->public.fd, .events = POLLOUT };
	struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (unsigned)pieces };
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int err = c->host != NULL ? host_request(c->host, c->client, iov, pieces) : -EAGAIN;

	/* -ENOENT: the program has closed h->fd, and the socket will report that */
	if (err != -EAGAIN && err != -ENOENT)
		return err;
	/* A mode is sent by sendto, as the library of 2001 did: ipq run recognises it. */
	while ((pieces == 1 && iov->iov_len == CLASSIC_MODE_REQUEST
			? sendto(c->public.fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL,
				 (struct sockaddr *)&kernel, sizeof(kernel))
			: sendmsg(c->public.fd, &msg, MSG_NOSIGNAL)) < 0) {
		if (errno == EAGAIN)
			poll(&room, 1, -1);
		else if (errno != EINTR)
			return errno == EPIPE ? -ECONNREFUSED : -errno;
	}
	return 0;
}

/*
 * Reads the acknowledgement of request c->seq: 0 or -errno. -EAGAIN: it has not arrived yet. A refusal stays in the
 * socket: the program may ignore the result and read.
 */
static int read_acknowledgement(struct classic *c)
{
	unsigned char buf[512];
	struct nlmsgerr answer;
	struct nlmsghdr nlh;
	ssize_t n = recv(c->public.fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_PEEK);

	if (n < 0)
		return -errno;
	if (n < (ssize_t)(NLMSG_HDRLEN + sizeof(answer)))
		return n == 0 ? -ECONNREFUSED : -EBADMSG;
	memcpy(&nlh, buf, sizeof(nlh));
	memcpy(&answer, buf + NLMSG_HDRLEN, sizeof(answer));
	if (nlh.nlmsg_type != NLMSG_ERROR)
		return -EBADMSG;
	if (nlh.nlmsg_seq == c->seq && answer.error != 0)
		return answer.error;
	recv(c->public.fd, buf, sizeof(buf), MSG_DONTWAIT);
	/* acknowledgement of an earlier request that has timed out */
	return nlh.nlmsg_seq == c->seq ? 0 : -EAGAIN;
}

/* Waits for the acknowledgement, which another thread may read before this one. 0 or -errno. */
static int await_acknowledgement(struct classic *c)
{
	struct pollfd wait = { .fd = c->public.fd, .events = POLLIN };
	int i, err;

	for (i = 0; i < ACK_WAIT_MS / ACK_POLL_MS; i++) {
		poll(&wait, 1, ACK_POLL_MS);
		if (atomic_exchange(&c->acknowledged, false))
			return 0;
		err = read_acknowledgement(c);
		if (err != -EAGAIN && err != -EINTR)
			return err;
	}
	return -ETIMEDOUT;
}

/* An engine in this process answers at once. Otherwise the first mode asks for an acknowledgement. */
static int set_mode(struct classic *c, uint8_t mode, uint32_t range)
{
	unsigned char request[CLASSIC_MODE_REQUEST];
	struct nlmsghdr *nlh = (struct nlmsghdr *)(void *)request;
	bool remote = c->host == NULL || host_is_remote(c->host);
	int err;

	classic_put_mode(c, request, mode, range);
	if (remote && !c->configured && mode <= IPQ_COPY_MAX) {
		nlh->nlmsg_flags |= NLM_F_ACK;
		nlh->nlmsg_seq = ++c->seq;
	}
	err = send_request(c, &(struct iovec){ request, sizeof(request) }, 1);
	if (mode > IPQ_COPY_MAX)
		return err < 0 ? err : 0;
	if (err == 0 && (nlh->nlmsg_flags & NLM_F_ACK))
		err = await_acknowledgement(c);
	c->configured |= err == 0;
	return err > 0 ? -err : err;
}

static int set_verdict(struct classic *c, uint64_t id, uint32_t verdict, const void *payload, size_t len)
{
	unsigned char head[NLMSG_HDRLEN + sizeof(ipq_peer_msg_t)];
	const struct iovec iov[2] = { { head, sizeof(head) }, { (void *)(uintptr_t)payload, len } };
	int err;

	wire_put_verdict(WIRE_NATIVE, head, c->public.local.nl_pid, verdict, id, len);
	count(&c->verdicts);
	err = send_request(c, iov, len > 0 ? 2 : 1);
	/* the refusal follows as a message, which the program reads */
	return classic_sent(err < 0 ? err : 0, len);
}

/*
 * Handles a message that did not fit into the caller's buffer. A packet is delivered as if its copy range were
 * smaller.
 */
static struct read_result shorten(unsigned char *buf, size_t len, struct nlmsghdr *nlh)
{
	ipq_packet_msg_t *m = ipq_get_packet(buf);
	size_t data_len;

	if (nlh->nlmsg_type != IPQM_PACKET || len < HEAD)
		return classic_read_failed(IPQ_ERR_RTRUNC, 0);
	memcpy(&data_len, &m->data_len, sizeof(data_len));
	if (data_len > len - HEAD)
		data_len = len - HEAD;
	memcpy(&m->data_len, &data_len, sizeof(data_len));
	nlh->nlmsg_len = (uint32_t)(HEAD + data_len);
	memcpy(buf, nlh, sizeof(*nlh));
	return classic_read_done((ssize_t)nlh->nlmsg_len);
}

/* When a capture file is damaged, errno is set, and IPQ_CTL_EXPLAIN returns the position. */
static struct read_result no_more_packets(struct classic *c)
{
	struct ipq_error e = { "" };
	int err = c->host != NULL ? host_failure(c->host, &e) : 0;

	memcpy(c->explanation, e.text, sizeof(c->explanation));
	return classic_read_failed(IPQ_ERR_NLEOF, -err);
}

/* Receives a message. READ_NOTHING: it was an acknowledgement for the thread that sets a mode. */
__cancelled_frame static struct read_result receive(struct classic *c, unsigned char *buf, size_t len,
						    int flags)
{
	struct nlmsghdr nlh;
	ssize_t n = recv(c->public.fd, buf, len, flags | MSG_TRUNC);

	if (n < 0 && flags == MSG_DONTWAIT && errno == EAGAIN && c->host != NULL) {
		host_step(c->host); /* packets may be in the queue although the thread has not run yet */
		n = recv(c->public.fd, buf, len, flags | MSG_TRUNC);
	}
	if (atomic_load(&c->closing))
		return (struct read_result){ READ_WOKEN, 0 };
	if (n < 0 && flags == MSG_DONTWAIT && errno == EAGAIN)
		return classic_timed_out(); /* timeout, or another reader was faster */
	if (n < 0)
		return classic_read_failed(IPQ_ERR_RECV, errno);
	if (n == 0)
		return no_more_packets(c);
	if (n < NLMSG_HDRLEN)
		return classic_read_failed(IPQ_ERR_RTRUNC, 0);
	memcpy(&nlh, buf, sizeof(nlh));
	if (nlh.nlmsg_type == NLMSG_ERROR && (size_t)n <= len && ipq_get_msgerr(buf) == 0) {
		atomic_store(&c->acknowledged, true);
		return (struct read_result){ READ_NOTHING, 0 };
	}
	if (nlh.nlmsg_type == NLMSG_ERROR)
		count(&c->refused);
	if (nlh.nlmsg_type == IPQM_PACKET)
		count(&c->packets);
	return (size_t)n <= len ? classic_read_done(n) : shorten(buf, len, &nlh);
}

__cancelled_frame static struct read_result read_socket(struct classic *c, unsigned char *buf, size_t len,
							int64_t deadline)
{
	struct read_result r;

	do {
		if (deadline != READ_FOREVER && deadline != READ_NOW) {
			r = classic_wait(c, deadline);
			if (r.event != READ_NOTHING && (r.bytes != 0 || errno != 0))
				return r; /* after a timeout, receive() checks once more for a packet */
		}
		r = receive(c, buf, len, deadline == READ_FOREVER ? 0 : MSG_DONTWAIT);
	} while (r.event == READ_NOTHING);
	return r;
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
	return 0; /* the engine sends batches itself */
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

const struct transport classic_over_socket = {
	.open = open_socket,
	.wake = wake_readers,
	.close = close_socket,
	.set_mode = set_mode,
	.read = read_socket,
	.set_verdict = set_verdict,
	.reconfigure = reconfigure,
	.set_batch = set_batch,
	.stats = stats,
};
