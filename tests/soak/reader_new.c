// SPDX-License-Identifier: LGPL-2.1-or-later
/* A reader with <ipq.h>. */
#include <errno.h>
#include <linux/netfilter.h>
#include <string.h>
#include <ipq.h>
#include "soak.h"

#define AT_ONCE 64

static struct ipq_queue *queue;

static int open_new(const struct settings *s)
{
	char error[256] = "", name[32];
	struct ipq_options o = { .size = sizeof(o),
				 .flags = s->flags,
				 .queue_length = s->queue_length,
				 .receive_buffer = s->receive_buffer,
				 .spin_usec = s->spin_usec,
				 .error = error,
				 .error_size = sizeof(error) };
	int err;

	snprintf(name, sizeof(name), "nfqueue:%u", s->queue);
	err = ipq_queue_open(&queue, name, &o);
	if (err < 0)
		violation("ipq_queue_open: %s", error);
	return err;
}

static struct look look_of(struct ipq_packet *p)
{
	return (struct look){ .packet = p,
			      .id = p->id,
			      .payload = p->payload,
			      .len = p->present & IPQ_HAS_PAYLOAD ? p->payload_len : 0,
			      .flags = p->flags,
			      .mark = p->mark,
			      .has_mark = p->present & IPQ_HAS_MARK };
}

static int receive(int timeout_ms)
{
	static struct ipq_packet packet[AT_ONCE];
	int n = ipq_queue_recv(queue, packet, S->settings.batch, timeout_ms);

	for (int i = 0; i < n; i++) {
		struct look l = look_of(&packet[i]);

		reader_look(&l);
	}
	return n;
}

static void decide(const struct look *l, const struct action *a)
{
	struct ipq_verdict v = { .size = sizeof(v), .code = a->code };
	int err;

	if (a->mark != 0) {
		v.present |= IPQ_SET_MARK;
		v.mark = a->mark;
	}
	if (v.present != 0 || a->code == NF_REPEAT)
		err = ipq_decide(queue, l->packet, &v);
	else if (a->payload != NULL)
		err = ipq_replace(queue, l->packet, a->payload, a->len);
	else
		err = a->code == NF_DROP ? ipq_drop(queue, l->packet) : ipq_accept(queue, l->packet);
	if (err < 0)
		violation("packet %lu cannot be decided: %s", l->id, ipq_queue_error(queue));
}

static struct look keep(const struct look *l)
{
	struct ipq_packet *kept = ipq_packet_keep(l->packet);

	return kept != NULL ? look_of(kept) : (struct look){ 0 };
}

static void free_kept(struct look *l)
{
	ipq_packet_free(l->packet);
}

static void flush(void)
{
	if (ipq_queue_flush(queue) < 0)
		violation("ipq_queue_flush: %s", ipq_queue_error(queue));
}

static struct ipq_stats stats(void)
{
	struct ipq_stats s = { .size = sizeof(s) };

	ipq_queue_stats(queue, &s);
	return s;
}

static uint64_t lost(void)
{
	return S->sees_table ? 0 : stats().lost;
}

static uint64_t refused(void)
{
	struct ipq_stats s = stats();

	return s.refused + s.malformed;
}

static void close_new(void)
{
	ipq_queue_close(queue);
	queue = NULL;
}

const struct reader_ops reader_new = {
	.marks = true,
	.open = open_new,
	.close = close_new,
	READER_OPS,
};
