/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The transport of most handles: h->fd is the queue's own socket, with one receive and one send for each
 * packet.
 *
 * A reader receives into the handle's scratch memory and writes ip_queue's message from there into the
 * program's buffer. A second reader at the same time (or after one that was cancelled while it used the
 * scratch memory) allocates memory for the call.
 *
 * A packet of the other family is dropped, as ip_queue did when no program had asked for that family. But
 * it has made h->fd readable. So on the first one, read returns READ_WRONG_FAMILY, and classic.c lets an
 * engine take the queue over: from then on h->fd carries messages of this family only.
 *
 * A request that ip_queue refused with NLMSG_ERROR (an unknown mode or verdict, an id of more than 32 bits)
 * is not sent. source_ops.refuse puts the refusal in the order of messages.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h> /* must precede <linux/netfilter.h>: the definitions would clash */
#include <linux/netfilter.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "classic/classic.h"
#include "core/core.h"
#include "util/clock.h"
#include "util/compiler.h"

/*
 * Computes the receive buffer for a full queue in bytes, from the memory that the kernel charges for a packet of
 * `range` bytes.
 */
static uint32_t buffer_for_mode(uint32_t queue_length, uint8_t mode, uint32_t range)
{
	uint64_t each = 1024, all;

	if (mode == IPQ_COPY_PACKET)
		each = range == 0 ? 65536 + 4096 : 2 * (uint64_t)range + 1024;
	if (each > 65536 + 4096)
		each = 65536 + 4096;
	all = each * queue_length;
	return all > 256U << 20 ? 256U << 20 : (uint32_t)all;
}

int classic_receive_buffer(const struct classic *c)
{
	int bytes = 0;
	socklen_t len = sizeof(bytes);

	return getsockopt(c->public.fd, SOL_SOCKET, SO_RCVBUF, &bytes, &len) < 0 ? -errno : bytes;
}

static void close_direct(struct classic *c)
{
	classic_batch_free(c);
	c->source->ops->close(c->source);
	close(c->public.fd);
}

static int open_direct(struct classic *c, const char *name, struct ipq_error *e)
{
	struct sockaddr_nl local;
	socklen_t len = sizeof(local);
	int err = source_open(&c->source, name, e);

	if (err < 0)
		return err;
	c->scratch = malloc(SOURCE_SLOT_SIZE);
	if (c->scratch == NULL) {
		c->source->ops->close(c->source);
		return ipq_fail(e, ENOMEM, "no memory");
	}
	c->transport = &classic_direct;
	/*
	 * h->fd is a duplicate, because classic_share replaces it while other threads use the source's descriptor.
	 */
	c->public.fd = fcntl(c->source->ops->fd(c->source), F_DUPFD_CLOEXEC, 0);
	if (c->public.fd < 0) {
		err = -errno;
		c->source->ops->close(c->source);
		return ipq_fail(e, -err, "cannot duplicate a descriptor: %s", strerror(-err));
	}
	if (getsockname(c->public.fd, (struct sockaddr *)&local, &len) == 0 && len == sizeof(local))
		c->public.local = local;
	c->default_rcvbuf = classic_receive_buffer(c);
	err = c->batch > 1 ? classic_batch_set(c, c->batch) : 0;
	if (err < 0)
		close_direct(c);
	return err;
}

static void wake_direct(struct classic *c)
{
	int readers;

	for (readers = atomic_load(&c->refs) - 1; readers > 0; readers--)
		c->source->ops->wake(c->source);
}

/* ---- settings --------------------------------------------------------------------------------------- */

static int configure(struct classic *c)
{
	struct source_config config = {
		.mode = (enum copy_mode)c->mode,
		.range = c->range,
		.queue_length = c->queue_length,
		.receive_buffer = c->receive_buffer,
		.flags = IPQ_O_SEGMENT | IPQ_O_TIMESTAMP | (c->fail_open ? IPQ_O_FAIL_OPEN : 0),
	};
	struct ipq_error e = { "" };
	int err;

	if (config.receive_buffer == 0 && classic_receive_buffer(c) == c->default_rcvbuf)
		config.receive_buffer = buffer_for_mode(c->queue_length, c->mode, c->range);
	err = c->source->ops->configure(c->source, &config, &e);
	memcpy(c->explanation, e.text, sizeof(c->explanation));
	c->busy = err == -EBUSY;
	if (err < 0)
		return err;
	/* The size that was chosen here becomes the default, so that the next mode can choose again. */
	if (c->receive_buffer == 0 && config.receive_buffer != 0)
		c->default_rcvbuf = classic_receive_buffer(c);
	c->configured = true;
	return 0;
}

static int set_mode(struct classic *c, uint8_t mode, uint32_t range)
{
	struct source_refusal refusal = { .error = EINVAL, .mode = true, .code = mode, .id = range };

	int err;

	if (mode > IPQ_COPY_MAX)
		return c->source->ops->refuse(c->source, &refusal);
	c->mode = mode;
	c->range = range;
	err = configure(c);
	if (err < 0) { /* ip_queue reported failures by a message: programs may ignore the result and read */
		refusal.error = -err;
		c->source->ops->refuse(c->source, &refusal);
	}
	return err;
}

static int reconfigure(struct classic *c)
{
	return c->configured ? configure(c) : 0;
}

/* ---- reading ------------------------------------------------------------------------------------------ */

static bool keep_refusal(void *context, const struct source_refusal *refusal)
{
	*(struct source_refusal *)context = *refusal;
	return true;
}

/* The result of a read that returned no packet of this family; n: the result of recv. */
__cold static struct read_result other_result(struct classic *c, int n, const struct ipq_packet *p,
					      const struct source_refusal *refusal, unsigned char *buf,
					      size_t len)
{
	const struct source_verdict drop = { .id = p->id, .code = NF_DROP };

	if (c->closing || n == -ECANCELED)
		return (struct read_result){ READ_WOKEN, 0 };
	if (n < 0)
		return classic_read_failed(IPQ_ERR_RECV, -n);
	if (refusal->error != 0)
		return classic_read_done(classic_deliver_refusal(c, refusal, buf, len));
	if (n == 0)
		return (struct read_result){ READ_NOTHING, 0 };
	atomic_fetch_add(&c->wrong_family, 1);
	source_send(c->source, &drop, 1);
	return (struct read_result){ READ_WRONG_FAMILY, 0 };
}

/* Reads a message. memory: SOURCE_SLOT_SIZE bytes. */
__cancelled_frame static inline struct read_result read_into(struct classic *c, unsigned char *memory,
							     struct known_interface *known,
							     unsigned char *buf, size_t len, int timeout_ms)
{
	const struct iovec slot = { memory, SOURCE_SLOT_SIZE };
	struct source_refusal refusal;
	struct ipq_packet p;
	int n;

	refusal.error = 0;
	n = source_recv(c->source, &slot, &p, 1, timeout_ms, keep_refusal, &refusal);
	if (unlikely(n <= 0 || refusal.error != 0 || p.family != c->family || c->closing))
		return other_result(c, n, &p, &refusal, buf, len);
	return classic_read_done(classic_deliver(c, &p, known, buf, len));
}

/* Reads for a thread that does not have the scratch memory. */
__noinline __cancelled_frame static struct read_result
read_with_own_memory(struct classic *c, unsigned char *buf, size_t len, int timeout_ms)
{
	unsigned char *memory = malloc(SOURCE_SLOT_SIZE);
	struct read_result r;

	if (memory == NULL)
		return classic_read_failed(IPQ_ERR_RECV, ENOMEM);
	pthread_cleanup_push(free, memory);
	r = read_into(c, memory, NULL, buf, len, timeout_ms);
	pthread_cleanup_pop(1);
	return r;
}

/* Reads the next message. timeout_ms is 0 or IPQ_FOREVER. */
__cancelled_frame static struct read_result read_message(struct classic *c, unsigned char *buf, size_t len,
							 int timeout_ms)
{
	struct read_result r;

	if (!single_threaded() && atomic_flag_test_and_set_explicit(&c->scratch_taken, memory_order_acquire))
		return read_with_own_memory(c, buf, len, timeout_ms);
	r = read_into(c, c->scratch, c->known, buf, len, timeout_ms);
	atomic_flag_clear_explicit(&c->scratch_taken, memory_order_release);
	return r;
}

/*
 * Continues a read that was ended by a packet of the other family. `called`: the time at which the read began. If
 * the program slept in ipq_read, it continues to sleep. If no time has passed since the call, the program had seen
 * h->fd readable before. It does not expect to sleep, so it gets the next message or an acknowledgement.
 */
__cold __cancelled_frame static struct read_result after_wrong_family(struct classic *c, unsigned char *buf,
								      size_t len, int64_t called)
{
	struct read_result r = { READ_WRONG_FAMILY, 0 };

	if (now_coarse_ns() != called)
		return r;
	r = read_message(c, buf, len, 0);
	if (r.event == READ_DONE)
		return r;
	return (struct read_result){ READ_WRONG_FAMILY, classic_deliver_nothing(c, buf, len) };
}

__cancelled_frame static struct read_result read_blocking(struct classic *c, unsigned char *buf, size_t len)
{
	int64_t called = now_coarse_ns();
	struct read_result r;

	do
		r = read_message(c, buf, len, IPQ_FOREVER);
	while (r.event == READ_NOTHING);
	return likely(r.event != READ_WRONG_FAMILY) ? r : after_wrong_family(c, buf, len, called);
}

__noinline __cancelled_frame static struct read_result read_timed(struct classic *c, unsigned char *buf,
								  size_t len, int64_t deadline)
{
	struct read_result r;

	do {
		if (deadline != READ_NOW) {
			r = classic_wait(c, deadline);
			if (r.event != READ_NOTHING)
				return r;
		}
		r = read_message(c, buf, len, 0);
		if (r.event == READ_NOTHING && deadline == READ_NOW)
			return classic_timed_out();
	} while (r.event == READ_NOTHING);
	return r;
}

__flatten __cancelled_frame struct read_result classic_direct_read(struct classic *c, unsigned char *buf,
								   size_t len, int64_t deadline)
{
	if (c->batching != NULL)
		return classic_batch_read(c, buf, len, deadline);
	return deadline == READ_FOREVER ? read_blocking(c, buf, len) : read_timed(c, buf, len, deadline);
}

/* ---- verdicts ----------------------------------------------------------------------------------------- */

__cold static int refuse(struct classic *c, int error, uint64_t id, uint32_t verdict, size_t len)
{
	struct source_refusal r = {
		.error = error, .id = id, .code = verdict, .tag = verdict, .payload_len = (uint32_t)len
	};

	return c->source->ops->refuse(c->source, &r);
}

/*
 * ip_queue ignored a replacement that was shorter than an IP header, and dropped the packet if the replacement was
 * longer than any packet.
 */
static void set_replacement(const struct classic *c, struct source_verdict *v, const void *payload,
			    size_t len)
{
	if (len < (c->family == AF_INET6 ? 40U : 20U) || v->code == NF_DROP)
		return;
	if (len > 65535) {
		v->code = NF_DROP;
		return;
	}
	v->present = IPQ_SET_PAYLOAD;
	v->payload = payload;
	v->payload_len = len;
}

__flatten int classic_direct_set_verdict(struct classic *c, uint64_t id, uint32_t verdict,
					 const void *payload, size_t len)
{
	struct source_verdict v = { .id = (uint32_t)id, .code = verdict, .tag = verdict };
	int n;

	if (verdict > NF_MAX_VERDICT)
		return classic_sent(refuse(c, EINVAL, id, verdict, len), len);
	if (id > UINT32_MAX)
		return classic_sent(refuse(c, ENOENT, id, verdict, len), len);
	/* the kernel refuses NF_STOLEN; NF_DROP has the same effect: the packet goes no further */
	if (verdict == NF_STOLEN)
		v.code = NF_DROP;
	else if (verdict == NF_QUEUE)
		v.code = NF_QUEUE_NR((uint32_t)c->source->queue_number);
	if (payload != NULL)
		set_replacement(c, &v, payload, len);
	count(&c->verdicts);
	if (unlikely(c->batching != NULL))
		n = classic_batch_verdict(c, &v);
	else
		n = source_send(c->source, &v, 1);
	if (n < 0)
		atomic_fetch_sub(&c->verdicts, 1);
	return classic_sent(n, len);
}

static void stats(struct classic *c, struct ipq_ctl_stats *s)
{
	struct source_counts counts;

	c->source->ops->counts(c->source, &counts);
	s->packets = atomic_load(&c->packets);
	s->verdicts = atomic_load(&c->verdicts);
	s->refused = atomic_load(&c->refused);
	s->foreign = atomic_load(&c->wrong_family);
	s->lost = counts.lost;
	s->queue_dropped = counts.queue_dropped;
	s->waiting = counts.waiting;
}

const struct transport classic_direct = {
	.open = open_direct,
	.wake = wake_direct,
	.close = close_direct,
	.set_mode = set_mode,
	.read = classic_direct_read,
	.set_verdict = classic_direct_set_verdict,
	.reconfigure = reconfigure,
	.set_batch = classic_batch_set,
	.stats = stats,
};
