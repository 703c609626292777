/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The calls of <libipq.h>, the environment, and the list of open handles. A handle is the public structure
 * followed by private members; its transport delivers the packets.
 *
 * Any thread may call any function at any time. ipq_read takes no lock. A handle that is destroyed during
 * an ipq_read is freed when its last reader has left (refs).
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <libipq.h>
#include "classic/classic.h"
#include "core/core.h"
#include "util/clock.h"
#include "util/compiler.h"

/* ---- the environment, read before the program can clear it ----------------------------------------- */

static struct {
	char *source, *source_inet6;
	unsigned batch;
} setting;

__attribute__((constructor)) static void read_environment(void)
{
	const char *source = secure_getenv("IPQ_SOURCE"), *inet6 = secure_getenv("IPQ_SOURCE_INET6");
	const char *batch = secure_getenv("IPQ_BATCH");

	setting.source = source != NULL && *source != '\0' ? strdup(source) : NULL;
	setting.source_inet6 = inet6 != NULL && *inet6 != '\0' ? strdup(inet6) : setting.source;
	setting.batch = batch != NULL ? (unsigned)strtoul(batch, NULL, 10) : 0;
}

/* ---- open and close --------------------------------------------------------------------------------- */

/* A process may have one handle of each family: ip_queue identified a program by its netlink port. */
static struct {
	pthread_mutex_t lock;
	struct classic *first;
} open_handles = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Call this function with open_handles.lock held. */
static bool is_taken(const struct classic *c)
{
	const struct classic *other;

	for (other = open_handles.first; other != NULL; other = other->next)
		if (other->family == c->family && other->pid == c->pid)
			return true;
	return false;
}

static void list_del(struct classic *c)
{
	struct classic **at;

	pthread_mutex_lock(&open_handles.lock);
	for (at = &open_handles.first; *at != NULL && *at != c; at = &(*at)->next)
		;
	if (*at != NULL)
		*at = c->next;
	pthread_mutex_unlock(&open_handles.lock);
}

static void free_handle(struct classic *c)
{
	free(c->scratch);
	free(c->source_name);
	free(c);
}

#define READERS_WAIT_MS 500

static void release(struct classic *c)
{
	if (atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	c->transport->close(c);
	free_handle(c);
}

/* Finds an open handle of the other family on the same source. A queue has one owner, so an engine must serve
 * both. */
static struct classic *find_sharer(const struct classic *c)
{
	struct classic *other;

	for (other = open_handles.first; other != NULL; other = other->next)
		if (other != c && other->family != c->family && other->pid == c->pid &&
		    strcmp(other->source_name, c->source_name) == 0)
			return other;
	return NULL;
}

/* Call this function with open_handles.lock held. */
static int open_transport(struct classic *c, struct ipq_error *e)
{
	struct classic *other = find_sharer(c);
	int err = 0;

	if (source_kind(c->source_name) != &source_nfqueue)
		return classic_over_socket.open(c, c->source_name, e);
	if (other == NULL)
		return classic_direct.open(c, c->source_name, e);
	if (other->transport == &classic_direct)
		err = classic_share(other, e);
	return err < 0 ? err : classic_over_socket.open(c, c->source_name, e);
}

static struct classic *new_handle(uint8_t family)
{
	const char *source = family == AF_INET6 ? setting.source_inet6 : setting.source;
	struct classic *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->source_name = strdup(source != NULL ? source : SOURCE_DEFAULT);
	if (c->source_name == NULL) {
		free(c);
		return NULL;
	}
	c->refs = 1;
	c->pid = getpid();
	c->family = family;
	c->batch = setting.batch;
	c->may_fall_back = source == NULL;
	c->queue_length = CLASSIC_QUEUE_LENGTH;
	c->public.local.nl_family = c->public.peer.nl_family = AF_NETLINK;
	c->public.local.nl_pid = (uint32_t)c->pid;
	return c;
}

struct ipq_handle *ipq_create_handle(uint32_t flags, uint32_t protocol)
{
	struct ipq_error e = { "" };
	int saved = errno, err;
	struct classic *c;
	bool taken;
	int cancel;

	(void)flags;
	if (protocol != PF_INET && protocol != PF_INET6) {
		classic_fail(IPQ_ERR_PROTOCOL, 0);
		return NULL;
	}
	c = new_handle((uint8_t)protocol);
	if (c == NULL) {
		classic_fail(IPQ_ERR_HANDLE, ENOMEM);
		return NULL;
	}
	/*
	 * The lock is held throughout: if two threads each open a handle of one family, the second one must see the
	 * handle of the first.
	 */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	pthread_mutex_lock(&open_handles.lock);
	taken = is_taken(c);
	err = taken ? -EADDRINUSE : open_transport(c, &e);
	if (err == 0) {
		c->next = open_handles.first;
		open_handles.first = c;
	}
	pthread_mutex_unlock(&open_handles.lock);
	pthread_setcancelstate(cancel, NULL);
	if (err < 0) {
		free_handle(c);
		classic_fail(taken ? IPQ_ERR_BIND : IPQ_ERR_SOCKET, -err);
		return NULL;
	}
	errno = saved;
	return &c->public;
}

/*
 * Waits until all threads have left ipq_read, so that the queue is free when ipq_destroy_handle returns. The wait is
 * limited, because a signal handler may have interrupted ipq_read in this thread. Then the last reader closes the
 * handle.
 */
static void await_readers(struct classic *c)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int i;

	for (i = 0; i < READERS_WAIT_MS && atomic_load(&c->refs) > 1; i++) {
		c->transport->wake(c);
		nanosleep(&pause, NULL);
	}
}

int ipq_destroy_handle(struct ipq_handle *h)
{
	int saved = errno;
	struct classic *c = classic(h);

	if (h == NULL)
		return 0;
	list_del(c);
	atomic_store(&c->closing, true);
	if (c->pid == getpid())
		await_readers(c);
	else
		atomic_store(&c->refs, 1); /* the readers are threads of the parent process */
	release(c);
	errno = saved;
	return 0;
}

/* ---- requests and messages ------------------------------------------------------------------------- */

int ipq_set_mode(const struct ipq_handle *h, uint8_t mode, size_t range)
{
	/* Like ip_queue, uses 32 bits of range. The sources check the maximum. */
	uint32_t bytes = mode == IPQ_COPY_PACKET ? (uint32_t)range : 0;
	struct classic *c = classic(h);
	int saved = errno, err;

	if (h == NULL)
		return (int)classic_fail(IPQ_ERR_IMPL, EINVAL);
	err = c->transport->set_mode(c, mode, bytes);
	if (err == -ECONNREFUSED && c->may_fall_back && classic_fall_back(c) == 0)
		err = c->transport->set_mode(c, mode, bytes);
	if (err < 0)
		return (int)classic_fail(IPQ_ERR_SEND, -err);
	errno = saved;
	return (int)(sizeof(struct nlmsghdr) + NLMSG_LENGTH(sizeof(ipq_peer_msg_t)));
}

/* A packet of the other family arrived. READ_DONE, or READ_WOKEN: read again. */
__cold static struct read_result hand_off_to_engine(struct classic *c, ssize_t bytes)
{
	struct ipq_error e = { "" };
	int err = 0, cancel;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	pthread_mutex_lock(&open_handles.lock);
	if (c->transport == &classic_direct) /* otherwise another reader has already handed off */
		err = c->batching == NULL ? classic_share(c, &e) : -EBUSY;
	pthread_mutex_unlock(&open_handles.lock);
	pthread_setcancelstate(cancel, NULL);
	return err == 0 && bytes != 0 ? classic_read_done(bytes) : (struct read_result){ READ_WOKEN, 0 };
}

/* Reads until there is a result. A read must be repeated when the handle gets another transport. */
__noinline __cancelled_frame static ssize_t read_again(struct classic *c, struct read_result r,
						       unsigned char *buf, size_t len, int64_t deadline)
{
	for (;;) {
		if (r.event == READ_WRONG_FAMILY)
			r = hand_off_to_engine(c, r.bytes);
		if (r.event == READ_DONE)
			return r.bytes;
		if (atomic_load(&c->closing))
			return classic_fail(IPQ_ERR_RECV, EBADF);
		r = c->transport->read(c, buf, len, deadline);
	}
}

__cancelled_frame static ssize_t read_until(struct classic *c, unsigned char *buf, size_t len,
					    int64_t deadline)
{
	return read_again(c, c->transport->read(c, buf, len, deadline), buf, len, deadline);
}

static void leave(void *c)
{
	release(c);
}

/*
 * Reads in a process with several threads: the handle must not be freed before this reader has returned or was
 * cancelled.
 */
__cancelled_frame static ssize_t read_among_threads(struct classic *c, unsigned char *buf, size_t len,
						    int64_t deadline)
{
	ssize_t n;

	atomic_fetch_add(&c->refs, 1);
	pthread_cleanup_push(leave, c);
	n = read_until(c, buf, len, deadline);
	if (atomic_load(&c->closing)) /* a message that was read is lost together with the handle */
		n = classic_fail(IPQ_ERR_RECV, EBADF);
	pthread_cleanup_pop(1);
	return n;
}

/*
 * Reads. Restores errno unless the read has set it and returned no message. ipq_read does not need this for a read that
 * waits for ever in a process with one thread: such a read changes errno only if it fails.
 */
__noinline __cancelled_frame static ssize_t read_with_errno(struct classic *c, unsigned char *buf, size_t len,
							    int timeout)
{
	int64_t deadline = timeout == 0 ? READ_FOREVER : timeout < 0 ? READ_NOW : now_us() + timeout;
	int saved = errno;
	ssize_t n;

	errno = 0;
	n = single_threaded() ? read_until(c, buf, len, deadline) : read_among_threads(c, buf, len, deadline);
	if (n > 0 || errno == 0)
		errno = saved;
	return n;
}

__hot __cancelled_frame ssize_t ipq_read(const struct ipq_handle *h, unsigned char *buf, size_t len,
					 int timeout)
{
	struct classic *c = classic(h);
	const struct transport *t;
	struct read_result r;

	if (unlikely(h != NULL && len < sizeof(struct nlmsgerr)))
		return classic_fail(IPQ_ERR_RECVBUF, 0);
	if (unlikely(h == NULL || buf == NULL))
		return classic_fail(IPQ_ERR_IMPL, EINVAL);
	if (timeout != 0 || !single_threaded())
		return read_with_errno(c, buf, len, timeout);
	t = c->transport;
	r = DIRECT_CALL(classic_direct_read, t->read, c, buf, len, READ_FOREVER);
	return likely(r.event == READ_DONE) ? r.bytes : read_again(c, r, buf, len, READ_FOREVER);
}

__hot int ipq_set_verdict(const struct ipq_handle *h, ipq_id_t id, unsigned int verdict, size_t data_len,
			  unsigned char *buf)
{
	struct classic *c = classic(h);
	const struct transport *t;

	if (unlikely(h == NULL))
		return (int)classic_fail(IPQ_ERR_IMPL, EINVAL);
	if (buf == NULL)
		data_len = 0;
	if (data_len == 0)
		buf = NULL;
	if (unlikely(data_len > CLASSIC_REQUEST_MAX))
		return classic_sent(-EMSGSIZE, 0);
	t = c->transport;
	return DIRECT_CALL(classic_direct_set_verdict, t->set_verdict, c, id, verdict, buf, data_len);
}

/* ---- the extension point ----------------------------------------------------------------------------- */

static int get_stats(struct classic *c, struct ipq_ctl_stats *stats)
{
	struct ipq_ctl_stats now = { 0 };
	size_t size;

	if (stats == NULL || stats->size < sizeof(stats->size))
		return -EINVAL;
	size = stats->size < sizeof(now) ? stats->size : sizeof(now);
	c->transport->stats(c, &now);
	now.size = stats->size;
	memcpy(stats, &now, size);
	return 0;
}

/* Sets fail-open. If this fails, the old value is restored; otherwise every later request would fail, too. */
static int set_fail_open(struct classic *c, bool fail_open)
{
	bool before = c->fail_open;
	int err;

	c->fail_open = fail_open;
	err = c->transport->reconfigure(c);
	if (err < 0)
		c->fail_open = before;
	return err;
}

int ipq_ctl(const struct ipq_handle *h, int request, ...)
{
	struct classic *c = classic(h);
	int saved = errno, ret;
	va_list args;

	if (h == NULL)
		return (int)classic_fail(IPQ_ERR_IMPL, EINVAL);
	va_start(args, request);
	switch (request) {
	case IPQ_CTL_QUEUE_LENGTH:
		c->queue_length = va_arg(args, unsigned int);
		ret = c->transport->reconfigure(c);
		break;
	case IPQ_CTL_RECEIVE_BUFFER:
		c->receive_buffer = va_arg(args, unsigned int);
		ret = c->transport->reconfigure(c);
		if (ret == 0)
			ret = classic_receive_buffer(c);
		break;
	case IPQ_CTL_FAIL_OPEN:
		ret = set_fail_open(c, va_arg(args, int) != 0);
		break;
	case IPQ_CTL_BATCH:
		ret = c->transport->set_batch(c, va_arg(args, unsigned int));
		break;
	case IPQ_CTL_STATS:
		ret = get_stats(c, va_arg(args, struct ipq_ctl_stats *));
		break;
	case IPQ_CTL_EXPLAIN:
		ret = 0;
		*va_arg(args, const char **) = c->explanation;
		break;
	default:
		ret = -ENOTSUP;
		break;
	}
	va_end(args);
	if (ret < 0)
		return (int)classic_fail(IPQ_ERR_SUPP, -ret);
	errno = saved;
	return ret;
}
