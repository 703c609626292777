/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation: nfnetlink_queue's packets as ip_queue's messages, one receive and one send a
 * packet. h->fd is the queue's own socket. A reader receives into the handle's scratch memory and writes
 * ip_queue's message from there into the caller's buffer. A second reader of the same handle at the same time
 * (or after a reader that was cancelled while it used the scratch memory) allocates memory for the call.
 *
 * A packet of the other family in this queue is dropped, as ip_queue dropped what nobody had asked for. But
 * it has made h->fd readable for nothing, which programs that select() and then read must not see: from the
 * first one on an engine takes the queue over (classic_share) and h->fd carries this family's messages only.
 *
 * Requests that ip_queue refused by a message (a mode or verdict that does not exist, an id of more than
 * 32 bits) are never sent: the refusal is put into the stream of messages, see source_nfqueue.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "classic/classic.h"
#include "classic/host.h"
#include "core/core.h"
#include "ipqueue/messages.h"
#include "util/clock.h"
#include "util/compiler.h"

/* What reading may come to beside a message. */
#define MOVED (-2)	/* to an engine: classic_wire reads from here on */
#define NOT_FOR_US (-3) /* woken, or nothing that the program is told */
#define FOREIGN (-4)	/* a packet of another family, dropped */

#define MOMENT_NS 4000000 /* a tick of the clock, or less */

/* A full queue fits: this much the kernel charges for a packet that carries range bytes (doc/assumptions). */
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

static void close_nfqueue(struct classic *c)
{
	classic_batch_free(c);
	c->source->ops->close(c->source);
	close(c->public.fd);
}

static int open_nfqueue(struct classic *c, const char *name, struct ipq_error *e)
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
	c->transport = &classic_nfqueue;
	/* A number of the program's own: threads may be about to use the source's when this one turns into
	 * something else (classic_share). */
	c->public.fd = fcntl(c->source->ops->fd(c->source), F_DUPFD_CLOEXEC, 0);
	if (c->public.fd < 0) {
		err = -errno;
		c->source->ops->close(c->source);
		return ipq_fail(e, -err, "cannot duplicate a descriptor: %s", strerror(-err));
	}
	if (getsockname(c->public.fd, (struct sockaddr *)&local, &len) == 0)
		c->public.local = local;
	c->default_rcvbuf = classic_receive_buffer(c);
	err = c->batch > 1 ? classic_batch_set(c, c->batch) : 0;
	if (err < 0)
		close_nfqueue(c);
	return err;
}

static void wake_readers(struct classic *c)
{
	int readers;

	for (readers = atomic_load(&c->refs) - 1; readers > 0; readers--)
		c->source->ops->wake(c->source);
}

/*
 * The queue's socket goes to an engine, and the program's number for it becomes a connection to that engine.
 * Packets that the program has read but not judged go on waiting in the kernel, and the engine passes their
 * verdicts through. Readers that sleep on the old socket are woken, and a poll of the program's own on it finds it
 * readable once more before the engine reads from it.
 */
int classic_share(struct classic *c, struct ipq_error *e)
{
	const struct timespec grace = { .tv_nsec = 20000000 };
	int fd, err, tries;

	if (c->batching != NULL)
		return ipq_fail(e, EBUSY,
				"queue %u is read in batches by the other family's handle: unset IPQ_BATCH",
				c->source->queue_number);
	fd = host_adopt(&c->host, c->source_name, c->source, c->family, e);
	if (fd < 0)
		return fd;
	err = dup3(fd, c->public.fd, O_CLOEXEC) < 0 ? -errno : 0;
	close(fd);
	if (err < 0) {
		host_release_source(c->host);
		c->host = NULL;
		return ipq_fail(e, -err, "cannot duplicate a descriptor: %s", strerror(-err));
	}
	c->transport = &classic_wire;
	/* The engine does not read before it is told a mode. */
	c->source->ops->wake(c->source);
	wake_readers(c);
	nanosleep(&grace, NULL);
	if (!c->configured)
		return 0;
	/* There is no way back from here: a shortage of memory for a moment must not end it. */
	for (tries = 0; tries < 10; tries++) {
		err = classic_wire.set_mode(c, c->mode, c->range);
		if (err != -ENOBUFS && err != -ENOMEM)
			break;
		nanosleep(&grace, NULL);
	}
	return err;
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

	if (config.receive_buffer == 0 && classic_receive_buffer(c) == c->default_rcvbuf) {
		config.receive_buffer = buffer_for_mode(c->queue_length, c->mode, c->range);
	}
	err = c->source->ops->configure(c->source, &config, &e);
	memcpy(c->explanation, e.text, sizeof(c->explanation));
	if (err < 0)
		return err;
	/* What was chosen here counts as the default, so that a new range may choose again. */
	if (c->receive_buffer == 0 && config.receive_buffer != 0)
		c->default_rcvbuf = classic_receive_buffer(c);
	c->configured = true;
	return 0;
}

static int set_mode(struct classic *c, uint8_t mode, uint32_t range)
{
	struct source_refusal refusal = { .error = EINVAL, .mode = true, .code = mode, .id = range };

	if (mode > IPQ_COPY_MAX)
		return c->source->ops->refuse(c->source, &refusal);
	c->mode = mode;
	c->range = range;
	return configure(c);
}

static int reconfigure(struct classic *c)
{
	return c->configured ? configure(c) : 0;
}

/* ---- messages ---------------------------------------------------------------------------------------- */

/* Copies what fits of a short message, as recvfrom did; ip_queue's programs can still read the id. */
__cold static ssize_t deliver_short(unsigned char *buf, size_t len, const void *message, size_t message_len)
{
	memcpy(buf, message, len < message_len ? len : message_len);
	return classic_fail(IPQ_ERR_RTRUNC, 0);
}

/* When the packet came, in nanoseconds; where its origin does not say so, when it is read. Of which clock is all the same. */
static int64_t packet_time(const struct ipq_packet *p)
{
	struct timespec now;

	if (p->present & IPQ_HAS_TIMESTAMP)
		return p->timestamp;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* known: what the interface of the last packet was, or NULL. It holds for packets of the same moment. */
static void describe_interface(struct classic *c, uint32_t index, const struct ipq_packet *p,
			       struct known_interface *known, char name[IFNAMSIZ], uint16_t *type)
{
	int64_t moment;

	if (known == NULL) {
		source_interface(c->source, index, name, type);
		return;
	}
	moment = packet_time(p);
	if (known->index != index || (uint64_t)moment - (uint64_t)known->moment >= MOMENT_NS) {
		source_interface(c->source, index, known->name, &known->type);
		known->index = index;
		known->moment = moment;
	}
	memcpy(name, known->name, IFNAMSIZ);
	*type = known->type;
}

/* A packet message as this process's word size has it, payload excluded. */
struct __attribute__((may_alias)) message {
	struct nlmsghdr nlh;
	ipq_packet_msg_t packet;
};
typedef struct message __attribute__((aligned(1))) message_anywhere; /* a program's buffer is just bytes */

static void describe(struct classic *c, const struct ipq_packet *p, struct known_interface *known,
		     message_anywhere *m)
{
	uint16_t type;

	m->nlh = (struct nlmsghdr){ .nlmsg_type = IPQM_PACKET };
	memset(&m->packet, 0, sizeof(m->packet));
	m->packet.packet_id = p->id;
	m->packet.mark = p->mark;
	m->packet.hook = p->hook;
	m->packet.hw_protocol = htons(p->hw_protocol);
	if (p->present & IPQ_HAS_TIMESTAMP) {
		m->packet.timestamp_sec = (long)(p->timestamp / 1000000000);
		m->packet.timestamp_usec = (long)(p->timestamp % 1000000000 / 1000);
	}
	if (p->present & IPQ_HAS_HWADDR) {
		m->packet.hw_addrlen = p->hw_addr_len;
		memcpy(m->packet.hw_addr, p->hw_addr, sizeof(p->hw_addr));
	}
	if (p->present & IPQ_HAS_INDEV) {
		describe_interface(c, p->indev, p, known, m->packet.indev_name, &type);
		m->packet.hw_type = type;
	}
	if (p->present & IPQ_HAS_OUTDEV)
		describe_interface(c, p->outdev, p, known != NULL ? known + 1 : NULL, m->packet.outdev_name,
				   &type);
}

__cold static ssize_t deliver_without_payload(struct classic *c, const struct ipq_packet *p,
					      unsigned char *buf, size_t len)
{
	message_anywhere m;

	describe(c, p, NULL, &m);
	m.nlh.nlmsg_len = sizeof(m);
	return deliver_short(buf, len, &m, sizeof(m));
}

/* known: the interfaces of the packet before, or NULL. */
ssize_t classic_deliver(struct classic *c, const struct ipq_packet *p, struct known_interface *known,
			unsigned char *buf, size_t len)
{
	size_t data_len = p->payload_len, whole, rounded;
	message_anywhere *m = (message_anywhere *)buf;

	count(&c->packets);
	if (unlikely(len < sizeof(*m)))
		return deliver_without_payload(c, p, buf, len);
	if (data_len > len - sizeof(*m))
		data_len = len - sizeof(*m);
	if (data_len > 0)
		memcpy(buf + sizeof(*m), p->payload, data_len);
	describe(c, p, known, m);
	m->packet.data_len = data_len;
	whole = sizeof(*m) + data_len;
	rounded = NLMSG_ALIGN(whole);
	if (unlikely(rounded > len)) /* no room for the padding: not insisted on */
		rounded = whole;
	else if (rounded > whole)
		memset(buf + whole, 0, rounded - whole);
	m->nlh.nlmsg_len = (uint32_t)rounded;
	return (ssize_t)rounded;
}

/* ip_queue's answer to a request that it refused: the request quoted, without its payload. */
__cold ssize_t classic_deliver_refusal(struct classic *c, const struct source_refusal *r, unsigned char *buf,
				       size_t len)
{
	unsigned char request[sizeof(ipq_peer_msg_t) + NLMSG_HDRLEN] = { 0 };
	unsigned char message[sizeof(request) + NLMSG_HDRLEN + 4];
	int error = r->error == ENODEV ? ENOENT : r->error; /* no queue was ever taken: no such packet */
	size_t n, quote = sizeof(request);

	atomic_fetch_add(&c->refused, 1);
	if (r->mode)
		wire_put_mode(WIRE_NATIVE, request, c->public.local.nl_pid, (uint8_t)r->code, r->id);
	else
		wire_put_verdict(WIRE_NATIVE, request, c->public.local.nl_pid, r->tag, r->id, r->payload_len);
	if (len >= NLMSG_HDRLEN + sizeof(struct nlmsgerr) && len < sizeof(message))
		quote = len - NLMSG_HDRLEN - 4;
	n = wire_put_error(message, error, c->public.local.nl_pid, request, quote);
	if (n > len)
		return deliver_short(buf, len, message, n);
	memcpy(buf, message, n);
	return (ssize_t)n;
}

__cold static void drop_foreign(struct classic *c, uint32_t id)
{
	const struct source_verdict drop = { .id = id, .code = NF_DROP };

	atomic_fetch_add(&c->wrong_family, 1);
	source_send(c->source, &drop, 1);
}

static void keep_refusal(void *context, const struct source_refusal *refusal)
{
	*(struct source_refusal *)context = *refusal;
}

/* What recv() brought instead of a packet for us: a message for the program, or why there is none. */
__cold static ssize_t hand_over_other(struct classic *c, int n, const struct ipq_packet *p,
				      const struct source_refusal *refusal, unsigned char *buf, size_t len)
{
	if (c->closing)
		return classic_fail(IPQ_ERR_RECV, EBADF);
	if (n == -ECANCELED)
		return c->transport != &classic_nfqueue ? MOVED : NOT_FOR_US;
	if (n < 0)
		return classic_fail(IPQ_ERR_RECV, -n);
	if (refusal->error != 0)
		return classic_deliver_refusal(c, refusal, buf, len);
	if (n == 0)
		return 0;
	drop_foreign(c, p->id);
	return FOREIGN;
}

/*
 * One message that is there (or, timeout_ms IPQ_FOREVER, the next one); 0 when nothing was there, NOT_FOR_US,
 * FOREIGN. memory: SOURCE_SLOT_SIZE bytes.
 */
static inline ssize_t read_into(struct classic *c, unsigned char *memory, struct known_interface *known,
				unsigned char *buf, size_t len, int timeout_ms)
{
	const struct iovec slot = { memory, SOURCE_SLOT_SIZE };
	struct source_refusal refusal;
	struct ipq_packet p;
	int n;

	refusal.error = 0;
	n = source_recv(c->source, &slot, &p, 1, timeout_ms, keep_refusal, &refusal);
	if (unlikely(n <= 0 || refusal.error != 0 || p.family != c->family || c->closing))
		return hand_over_other(c, n, &p, &refusal, buf, len);
	return classic_deliver(c, &p, known, buf, len);
}

/* For a reader that does not have the scratch memory. */
__noinline static ssize_t read_with_own_memory(struct classic *c, unsigned char *buf, size_t len,
					       int timeout_ms)
{
	unsigned char *memory = malloc(SOURCE_SLOT_SIZE);
	ssize_t ret;

	if (memory == NULL)
		return classic_fail(IPQ_ERR_RECV, ENOMEM);
	pthread_cleanup_push(free, memory);
	ret = read_into(c, memory, NULL, buf, len, timeout_ms);
	pthread_cleanup_pop(1);
	return ret;
}

static ssize_t read_message(struct classic *c, unsigned char *buf, size_t len, int timeout_ms)
{
	ssize_t ret;

	if (!single_threaded() && atomic_flag_test_and_set_explicit(&c->scratch_taken, memory_order_acquire))
		return read_with_own_memory(c, buf, len, timeout_ms);
	ret = read_into(c, c->scratch, c->known, buf, len, timeout_ms);
	atomic_flag_clear_explicit(&c->scratch_taken, memory_order_release);
	return ret;
}

static bool same_tick(const struct timespec *a)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return a->tv_sec == now.tv_sec && a->tv_nsec == now.tv_nsec;
}

/* What a program reads that had seen h->fd readable for a packet that was not its own: "error 0", by the rules
 * of netlink an acknowledgement, and no packet. */
static ssize_t deliver_nothing(struct classic *c, unsigned char *buf, size_t len)
{
	unsigned char request[NLMSG_HDRLEN + sizeof(ipq_peer_msg_t)],
		message[NLMSG_HDRLEN + sizeof(struct nlmsgerr)];
	size_t n;

	wire_put_mode(WIRE_NATIVE, request, c->public.local.nl_pid, c->mode, c->range);
	n = wire_put_error(message, 0, c->public.local.nl_pid, request, NLMSG_HDRLEN);
	if (n > len)
		return deliver_short(buf, len, message, n);
	memcpy(buf, message, n);
	return (ssize_t)n;
}

/*
 * The first packet of the other family. The program may sleep in ipq_read: then it goes on sleeping. Or it had
 * seen h->fd readable, does not expect to sleep and would not wake up for its other work: which of the two shows
 * in whether time has passed since the call.
 */
__cold static ssize_t hand_off_to_engine(struct classic *c, unsigned char *buf, size_t len,
					 const struct timespec *called)
{
	struct ipq_error e = { "" };
	bool at_once = called != NULL && same_tick(called);
	ssize_t n;

	n = at_once ? read_message(c, buf, len, 0) : 0;
	if (n != 0 && n != FOREIGN && n != NOT_FOR_US)
		return n;
	if (classic_share_locked(c, &e) < 0)
		return NOT_FOR_US;
	return at_once ? deliver_nothing(c, buf, len) : MOVED;
}

static ssize_t read_blocking(struct classic *c, unsigned char *buf, size_t len)
{
	struct timespec called;
	ssize_t n;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &called);
	do {
		n = read_message(c, buf, len, IPQ_FOREVER);
		if (n == FOREIGN)
			n = hand_off_to_engine(c, buf, len, &called);
	} while (n == 0 || n == NOT_FOR_US);
	return n != MOVED ? n : classic_wire.read(c, buf, len, 0);
}

/* What is left of a timeout that ends at end, as ipq_read has it. */
static int time_left(int64_t end)
{
	int64_t left = end - now_us();

	return left > 0 ? (int)left : -1;
}

/* timeout in microseconds, as ipq_read has it: not 0. */
__noinline static ssize_t read_timed(struct classic *c, unsigned char *buf, size_t len, int timeout)
{
	struct pollfd wait = { .fd = c->public.fd, .events = POLLIN };
	int64_t left, end;
	struct timespec t;
	ssize_t n;

	end = timeout > 0 ? now_us() + timeout : 0;
	for (;;) {
		if (timeout > 0) {
			left = end - now_us();
			t = (struct timespec){ .tv_sec = left > 0 ? (time_t)(left / 1000000) : 0,
					       .tv_nsec = left > 0 ? (long)(left % 1000000 * 1000) : 0 };
			n = ppoll(&wait, 1, &t, NULL);
			if (n < 0)
				return errno == EINTR ? 0 : classic_fail(IPQ_ERR_RECV, errno);
			if (n == 0)
				return classic_timed_out();
		}
		n = c->transport == &classic_nfqueue ? read_message(c, buf, len, 0) : MOVED;
		if (n == FOREIGN)
			n = hand_off_to_engine(c, buf, len, NULL);
		if (n == MOVED)
			return classic_wire.read(c, buf, len, timeout > 0 ? time_left(end) : timeout);
		if (n != 0 && n != NOT_FOR_US)
			return n;
		if (timeout < 0 && n == 0)
			return classic_timed_out();
	}
}

__flatten ssize_t classic_nfqueue_read(struct classic *c, unsigned char *buf, size_t len, int timeout)
{
	if (c->batching != NULL)
		return classic_batch_read(c, buf, len, timeout);
	return timeout == 0 ? read_blocking(c, buf, len) : read_timed(c, buf, len, timeout);
}

/* ---- verdicts ----------------------------------------------------------------------------------------- */

__cold static int refuse(struct classic *c, int error, uint64_t id, uint32_t verdict, size_t len)
{
	struct source_refusal r = {
		.error = error, .id = id, .code = verdict, .tag = verdict, .payload_len = (uint32_t)len
	};

	return c->source->ops->refuse(c->source, &r);
}

/* A replacement shorter than an IP header was ignored by ip_queue; one that no packet can be was the packet's end. */
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

__flatten int classic_nfqueue_set_verdict(struct classic *c, uint64_t id, uint32_t verdict,
					  const void *payload, size_t len)
{
	struct source_verdict v = { .id = (uint32_t)id, .code = verdict, .tag = verdict };
	int n;

	if (verdict > NF_MAX_VERDICT)
		return classic_sent(refuse(c, EINVAL, id, verdict, len), len);
	if (id > UINT32_MAX)
		return classic_sent(refuse(c, ENOENT, id, verdict, len), len);
	if (verdict ==
	    NF_STOLEN) /* the kernel takes it no more; what programs meant by it is that the packet is gone */
		v.code = NF_DROP;
	else if (verdict == NF_QUEUE)
		v.code = NF_QUEUE_NR(c->source->queue_number);
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

const struct transport classic_nfqueue = {
	.open = open_nfqueue,
	.wake = wake_readers,
	.close = close_nfqueue,
	.set_mode = set_mode,
	.read = classic_nfqueue_read,
	.set_verdict = classic_nfqueue_set_verdict,
	.reconfigure = reconfigure,
	.set_batch = classic_batch_set,
	.stats = stats,
};
