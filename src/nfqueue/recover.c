/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation: a queue lives as long as its socket. If another process holds the socket, a program can
 * die and its successor can continue, but the kernel does not repeat the messages that the predecessor has
 * read. It does so when the packets are queued once more, with a verdict NF_QUEUE for all of them.
 *
 * If they were queued in the same queue, packets that arrive on other processors at this moment would come
 * between them, in another order. So they are moved to a spare queue, which belongs to the same socket and in
 * which nothing else arrives. Its packets are decided first, and those of the main queue afterwards.
 *
 * 1. All messages in the socket are read and ignored.
 * 2. Packets in the spare queues are moved once more: the predecessor may have died after the same steps. They
 *    are older than those in the main queue. They go from B, the second one, to A and back from A to B.
 * 3. The packets of the main queue are moved to B.
 * 4. The messages are read up to an acknowledgement. Those of B are kept. Those of the main queue may belong
 *    to packets that were moved, or to packets that arrived afterwards, so all up to the last of them are moved.
 * 5. The messages are read once more, and now all are kept, first those of B.
 *
 * No step needs to know an id: a batch verdict covers all ids that precede the given one by up to 2^31, so
 * three of them cover all packets in their order, also if the ids wrap.
 *
 * When the last packet of B has a verdict, B is unbound.
 */
#include <errno.h>
#include <netinet/in.h> /* before <linux/netfilter.h>, whose definitions would clash */
#include <linux/netfilter.h>
#include <string.h>
#include <sys/socket.h>
#include "nfqueue/adopted.h"
#include "nfqueue/recover.h"
#include "nfqueue/requests.h"

static int move(const struct nfqueue *q, uint16_t from, uint16_t to, uint32_t last)
{
	const struct source_verdict verdict = { .batch = 1, .id = last, .code = NF_QUEUE_NR((uint32_t)to) };
	const struct nfq_bare message = nfq_bare(from, &verdict);

	while (send(q->fd, &message, sizeof(message), 0) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int move_all(const struct nfqueue *q, uint16_t from, uint16_t to)
{
	int err = move(q, from, to, INT32_MAX);

	if (err == 0)
		err = move(q, from, to, UINT32_MAX);
	return err < 0 ? err : move(q, from, to, INT32_MAX);
}

static int open_spare(struct nfqueue *q, uint16_t number, const struct source_config *c, uint32_t range)
{
	struct ipq_error ignored;
	int err;

	q->asked = number;
	err = nfqueue_ask_command(q, NFQNL_CFG_CMD_BIND, AF_UNSPEC);
	if (err == -EBUSY) /* the predecessor has bound it to this socket */
		err = 0;
	if (err == 0) {
		nfqueue_ask_all_flags(q, c->flags | IPQ_O_BEST_EFFORT, UINT32_MAX, &ignored);
		err = nfqueue_ask_length(q, UINT32_MAX);
	}
	if (err == 0)
		err = nfqueue_ask_mode(q, c->mode, range);
	q->asked = q->number;
	return err;
}

static int unbind(struct nfqueue *q, uint16_t number)
{
	int err;

	q->asked = number;
	err = nfqueue_ask_command(q, NFQNL_CFG_CMD_UNBIND, AF_UNSPEC);
	q->asked = q->number;
	return err;
}

/* Reads the messages up to an acknowledgement. The request has no effect. */
static int collect(struct nfqueue *q, enum collecting collecting)
{
	q->adopted->collecting = collecting;
	return nfqueue_ask_command(q, NFQNL_CFG_CMD_PF_BIND, AF_INET);
}

static int recover(struct nfqueue *q)
{
	struct adopted *a = q->adopted;
	int err = move_all(q, nfqueue_spare(q->number, 1), nfqueue_spare(q->number, 0));

	if (err == 0)
		err = move_all(q, nfqueue_spare(q->number, 0), nfqueue_spare(q->number, 1));
	if (err == 0)
		err = move_all(q, q->number, nfqueue_spare(q->number, 1));
	if (err == 0)
		err = collect(q, COLLECT_SPARE);
	if (err == 0 && a->main_seen)
		err = move(q, q->number, nfqueue_spare(q->number, 1), a->main_last);
	if (err == 0)
		err = collect(q, COLLECT_ALL);
	if (err == 0)
		err = unbind(q, nfqueue_spare(q->number, 0));
	if (err == 0)
		err = adopted_finish(a);
	if (err == 0 && atomic_load(&a->left) == 0)
		err = unbind(q, nfqueue_spare(q->number, 1));
	if (err == 0 && atomic_load(&a->collected) > 0)
		err = nfqueue_send_noop(q, SEQ_READABLE);
	return err;
}

int nfqueue_recover(struct nfqueue *q, const struct source_config *c, uint32_t range, struct ipq_error *e)
{
	const uint16_t spare[] = { nfqueue_spare(q->number, 0), nfqueue_spare(q->number, 1) };
	int err, i;

	q->adopted->spare = nfqueue_spare(q->number, 1);
	for (i = 0; i < 2; i++) {
		err = open_spare(q, spare[i], c, range);
		if (err < 0)
			return ipq_fail(e, -err,
					"cannot take queue %u, which is needed to take over queue %u: %s",
					spare[i], q->number,
					err == -EPERM ? "another program has it" : strerror(-err));
	}
	err = recover(q);
	return err < 0 ? ipq_fail(e, -err, "cannot take over the packets of queue %u: %s", q->number,
				  strerror(-err))
		       : 0;
}
