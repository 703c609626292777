/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation: a queue lives as long as its socket. If another process holds the socket, a program can
 * die and its successor can continue, but the kernel does not repeat the messages that the predecessor has
 * read. It sends them again only if the packets are queued once more, with a verdict NF_QUEUE for all of them.
 *
 * If they were queued in the same queue, packets that arrive on other processors at this moment would mix with
 * them. So they are moved to a spare queue, which belongs to the same socket and in which nothing else arrives. Its
 * packets are decided first, and those of the main queue afterwards.
 *
 * 1. All messages in the socket are read and ignored.
 * 2. There are two spare queues, A and B. Packets in them are moved from B to A and then back to B: the predecessor
 *    may have died after the same steps. These packets are older than those in the main queue.
 * 3. The packets of the main queue are moved to B.
 * 4. The messages are read up to an acknowledgement. Those of B are kept. Those of the main queue may belong
 *    to packets that were moved, or to packets that arrived afterwards, so all up to the last of them are moved.
 * 5. The messages are read once more, and now all are kept, first those of B.
 *
 * No step needs to know an id: a batch verdict covers all ids that precede the given one by up to 2^31, so
 * three of them cover all packets in their order, also if the ids wrap.
 *
 * When the last packet of B has a verdict, B is unbound.
 *
 * This takes long if very many packets wait, and is repeated if the successor dies soon. ipq keep therefore holds a
 * second socket, for the spare queues, and records whether the messages in the first socket were written with the
 * configuration of this reader. If so, these messages stay there, and step 4 is omitted. Only the packets before
 * the first of these messages are moved: the predecessor has read them and not decided them.
 */
#include <errno.h>
#include <netinet/in.h> /* must precede <linux/netfilter.h>: the definitions would clash */
#include <linux/netfilter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "nfqueue/adopted.h"
#include "nfqueue/messages.h"
#include "nfqueue/recover.h"
#include "nfqueue/requests.h"

static int move(const struct nfqueue *q, uint16_t from, uint16_t to, uint32_t last)
{
	const struct source_verdict verdict = { .batch = 1, .id = last, .code = NF_QUEUE_NR((uint32_t)to) };
	int err = nfqueue_send_bare(nfqueue_socket_of(q, from), from, &verdict);

	return err < 0 ? err : 0;
}

static int move_all(const struct nfqueue *q, uint16_t from, uint16_t to)
{
	int err = move(q, from, to, INT32_MAX);

	if (err == 0)
		err = move(q, from, to, UINT32_MAX);
	return err < 0 ? err : move(q, from, to, INT32_MAX);
}

static int open_spare(struct nfqueue *q, uint16_t number, const struct source_config *c, uint32_t range,
		      struct ipq_error *e)
{
	int err;

	q->asked = number;
	err = nfqueue_ask_command(q, NFQNL_CFG_CMD_BIND, AF_UNSPEC);
	if (err < 0 && err != -EBUSY) /* -EBUSY: the predecessor has bound the queue to this socket */
		return ipq_fail(e, -err, "cannot take queue %u, which is needed to take over queue %u: %s",
				number, q->number, err == -EPERM ? "another program has it" : strerror(-err));
	err = nfqueue_ask_all_flags(q, c->flags, UINT32_MAX, e);
	if (err < 0)
		return err;
	q->flags = err;
	err = nfqueue_ask_length(q, UINT32_MAX);
	if (err == 0)
		err = nfqueue_ask_mode(q, c->mode, range);
	return err < 0 ? ipq_fail(e, -err, "cannot configure queue %u: %s", number, strerror(-err)) : 0;
}

static int unbind(struct nfqueue *q, uint16_t number)
{
	q->asked = number;
	return nfqueue_ask_command(q, NFQNL_CFG_CMD_UNBIND, AF_UNSPEC);
}

/*
 * Reads the messages in this queue's socket up to an acknowledgement. To get one, sends a request that has no
 * effect.
 */
static int collect(struct nfqueue *q, uint16_t number, enum collecting collecting)
{
	q->asked = number;
	q->adopted->collecting = collecting;
	return nfqueue_ask_command(q, NFQNL_CFG_CMD_PF_BIND, AF_INET);
}

/*
 * Finds the oldest packet whose message the predecessor has not read, and removes the messages before it, which are
 * answers to the predecessor. 1: a->first is its id; 0: there is none; -errno.
 */
static int find_unread(struct nfqueue *q)
{
	unsigned char *buf = malloc(SOURCE_SLOT_SIZE);
	int found = buf == NULL ? -ENOMEM : 0;

	while (found == 0) {
		struct ipq_packet p = { .id = 0 };
		struct nfq_reply r;
		ssize_t n = recv(q->fd, buf, SOURCE_SLOT_SIZE, MSG_PEEK | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0 && errno != EINTR && errno != ENOBUFS)
			found = -errno;
		if (n < 0)
			continue;
		nfq_parse(buf, (size_t)n, &p, &r);
		q->adopted->first = p.id;
		if (r.kind == NFQ_PACKET)
			found = 1;
		else
			recv(q->fd, buf, SOURCE_SLOT_SIZE, MSG_DONTWAIT);
	}
	free(buf);
	return found;
}

/* Moves those packets of the queue whose messages were read by the predecessor or by this process. */
static int move_read(struct nfqueue *q)
{
	struct adopted *a = q->adopted;
	int err = a->unread ? find_unread(q) : 0;

	if (err == 1)
		return move(q, q->number, a->spare, a->first - 1);
	a->unread = false;
	if (err == 0)
		err = move_all(q, q->number, a->spare);
	if (err == 0)
		err = collect(q, q->number, COLLECT_SPARE);
	if (err == 0 && a->main_seen)
		err = move(q, q->number, a->spare, a->main_last);
	return err;
}

static int recover(struct nfqueue *q)
{
	struct adopted *a = q->adopted;
	const uint16_t other = nfqueue_spare(q->number, 0);
	int err = move_all(q, a->spare, other);

	if (err == 0)
		err = move_all(q, other, a->spare);
	if (err == 0)
		err = move_read(q);
	if (err == 0)
		err = collect(q, a->spare, COLLECT_ALL);
	if (err == 0)
		err = unbind(q, other);
	if (err == 0)
		err = adopted_finish(a);
	if (err == 0 && atomic_load(&a->left) == 0)
		err = unbind(q, a->spare);
	if (err == 0 && atomic_load(&a->collected) > 0)
		err = nfqueue_send_noop(q, SEQ_READABLE);
	return err;
}

int nfqueue_recover(struct nfqueue *q, const struct source_config *c, uint32_t range, struct ipq_error *e)
{
	int err, i;

	q->adopted->main = q->number;
	q->adopted->spare = nfqueue_spare(q->number, 1);
	q->adopted->collecting = COLLECT_NONE;
	for (err = i = 0; i < 2 && err == 0; i++)
		err = open_spare(q, nfqueue_spare(q->number, (unsigned)i), c, range, e);
	if (err == 0) {
		err = recover(q);
		if (err < 0)
			ipq_fail(e, -err, "cannot take over the packets of queue %u: %s", q->number,
				 strerror(-err));
	}
	q->asked = q->number;
	return err;
}
