// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A reader with <libipq.h>: one handle, strict or in batches; one for each family, so that the library runs an engine
 * in a thread; or, under `ipq run` with IPQ_SOURCE=ip_queue:, ip_queue's own protocol.
 */
#include <linux/netfilter.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <libipq.h>
#include "soak.h"

static struct ipq_handle *handle[2]; /* the handles for IPv4 and IPv6; or NULL */
static unsigned char buffer[65536 + 256];

static int open_family(struct ipq_handle **h, uint32_t protocol, const struct settings *s)
{
	*h = ipq_create_handle(0, protocol);
	if (*h == NULL)
		return violation("ipq_create_handle: %s", ipq_errstr()), -errno;
	if (S->kind != RUN) {
		ipq_ctl(*h, IPQ_CTL_QUEUE_LENGTH, s->queue_length);
		if (s->receive_buffer > 0)
			ipq_ctl(*h, IPQ_CTL_RECEIVE_BUFFER, s->receive_buffer);
		if (S->kind == BATCH && ipq_ctl(*h, IPQ_CTL_BATCH, s->batch) < 0)
			violation("IPQ_CTL_BATCH: %s", strerror(errno));
	}
	if (ipq_set_mode(*h, IPQ_COPY_PACKET, 0) < 0)
		return violation("ipq_set_mode: %s: %s", ipq_errstr(), strerror(errno)), -errno;
	return 0;
}

static int open_classic(const struct settings *s)
{
	int err = 0;

	if (s->flows & IPV4_FLOWS)
		err = open_family(&handle[0], PF_INET, s);
	if (err == 0 && s->flows & IPV6_FLOWS)
		err = open_family(&handle[1], PF_INET6, s);
	return err;
}

static int read_one(struct ipq_handle *h, int timeout_us)
{
	ssize_t n = ipq_read(h, buffer, sizeof(buffer), timeout_us);
	ipq_packet_msg_t *m;
	struct look l;

	if (n <= 0)
		return n == 0 ? 0 : -(errno != 0 ? errno : EIO);
	if (ipq_message_type(buffer) != IPQM_PACKET) {
		violation("a request was refused: %s", strerror(ipq_get_msgerr(buffer)));
		return 1;
	}
	m = ipq_get_packet(buffer);
	l = (struct look){ .packet = h,
			   .id = m->packet_id,
			   .payload = m->payload,
			   .len = m->data_len,
			   .mark = (uint32_t)m->mark,
			   .has_mark = true };
	reader_look(&l);
	return 1;
}

/*
 * With both families: calls poll, then reads once from each handle that is ready, as programs did. Each read must
 * return a packet.
 */
static int read_ready(int timeout_ms)
{
	struct pollfd p[2] = { { .fd = handle[0]->fd, .events = POLLIN },
			       { .fd = handle[1]->fd, .events = POLLIN } };
	int ready = poll(p, 2, timeout_ms), n, sum = 0;

	for (unsigned i = 0; ready > 0 && i < 2; i++) {
		if (p[i].revents == 0)
			continue;
		n = read_one(handle[i], 1000000);
		if (n == 0)
			violation("a handle was readable, and nothing came for a second");
		if (n < 0)
			return n;
		sum += n;
	}
	return sum;
}

static int receive(int timeout_ms)
{
	int n = 0, i;

	if (handle[0] != NULL && handle[1] != NULL)
		return read_ready(timeout_ms);
	for (i = 0; i < 64 && n >= 0; i++) {
		n = read_one(handle[0] != NULL ? handle[0] : handle[1], timeout_ms * 1000);
		if (n == 0)
			break;
	}
	return n < 0 ? n : i;
}

static void decide(const struct look *l, const struct action *a)
{
	if (ipq_set_verdict(l->packet, l->id, a->code, a->payload != NULL ? a->len : 0,
			    (unsigned char *)(uintptr_t)a->payload) < 0)
		violation("packet %lu cannot be decided: %s", l->id, ipq_errstr());
}

/* Copies only the id and, for TCP, the bytes. */
static struct look keep(const struct look *l)
{
	struct look kept = *l;

	kept.payload = S->tcp ? malloc(l->len) : NULL;
	kept.len = kept.payload != NULL ? l->len : 0;
	if (kept.payload != NULL)
		memcpy(kept.payload, l->payload, l->len);
	return kept;
}

static void free_kept(struct look *l)
{
	free(l->payload);
}

/* Sends pending verdicts: those of a batch are sent when the program waits for the next batch. */
static void flush(void)
{
}

static uint64_t sum_of(bool losses)
{
	struct queue_line line;
	uint64_t sum = 0, handles = 0;

	for (unsigned i = 0; i < 2; i++) {
		struct ipq_ctl_stats s = { .size = sizeof(s) };

		if (handle[i] == NULL || ipq_ctl(handle[i], IPQ_CTL_STATS, &s) < 0)
			continue;
		/*
		 * Packets may be dropped because two handles are opened one after the other: for a moment no handle
		 * has the second family.
		 */
		if (s.foreign > 0 && S->kind != ENGINE)
			violation("%llu packets were of another family", (unsigned long long)s.foreign);
		sum += losses ? s.lost + s.queue_dropped + s.foreign : s.refused;
		handles++;
	}
	/* Both handles report the losses of the queue that they share. */
	if (losses && S->kind == ENGINE && queue_line(S->settings.queue, &line))
		sum -= handles * (uint64_t)(line.queue_dropped + line.user_dropped);
	return sum;
}

/* Returns the packets that the library's engine has lost, which the kernel does not count. */
static uint64_t lost(void)
{
	if (S->kind == RUN || (S->kind != ENGINE && S->sees_table))
		return 0;
	return sum_of(true);
}

static uint64_t refused(void)
{
	return S->kind == RUN ? 0 : sum_of(false);
}

static void close_classic(void)
{
	for (unsigned i = 0; i < 2; i++) {
		ipq_destroy_handle(handle[i]);
		handle[i] = NULL;
	}
}

const struct reader_ops reader_classic = {
	.open = open_classic,
	.close = close_classic,
	READER_OPS,
};
