/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Configuration requests of a queue, each of which waits for its acknowledgement: see the theory of operation in
 * source.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include "nfqueue/adopted.h"
#include "nfqueue/messages.h"
#include "nfqueue/requests.h"

#define CONFIG_TRIES 5
#define ANSWER_WAIT_MS 1000

/* Defers a message that was read before an acknowledgement. If there is no memory for it, its packet is dropped. */
static int defer(struct nfqueue *q, const unsigned char *message, size_t len, struct ipq_packet *p,
		 struct nfq_reply *r)
{
	int err = nfqueue_defer(q, message, len, NULL);

	if (err == 0)
		return nfqueue_send_noop(q, SEQ_DEFERRED);
	if (q->adopted != NULL)
		adopted_translate(q->adopted, message, len, p, r);
	if (r->kind == NFQ_PACKET || r->kind == NFQ_OTHER)
		nfqueue_drop(q, r, p->id);
	return err;
}

/* Reads all messages of the socket: records acknowledgements and defers the others. 0 or -errno. */
static int drain_until_ack(struct nfqueue *q)
{
	unsigned char *buf = malloc(SOURCE_SLOT_SIZE);
	int err = 0;
	uint32_t last = q->seq;
	unsigned announced = 0; /* number of acknowledgements of SEQ_DEFERRED that were read here */

	if (buf == NULL)
		return -ENOMEM;
	while (err == 0 && atomic_load(&q->answered) != last) {
		struct ipq_packet p = { .id = 0 };
		struct nfq_reply r;
		ssize_t n = recv(nfqueue_socket_of(q, q->asked), buf, SOURCE_SLOT_SIZE, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err = errno == EAGAIN || errno == ENOBUFS ? 0 : -errno;
			break;
		}
		nfq_parse(buf, (size_t)n, &p, &r);
		if (q->adopted != NULL && q->adopted->collecting != COLLECT_NOT && r.kind != NFQ_ACK)
			err = adopted_collect(q->adopted, buf, (size_t)n, &p, &r);
		else if (r.kind == NFQ_ACK && r.type != NLMSG_NOOP)
			nfqueue_post_ack(q, r.seq, r.refusal.error);
		else if (r.kind == NFQ_ACK && r.seq == nfqueue_noop_seq(q, SEQ_DEFERRED))
			announced++;
		else
			err = defer(q, buf, (size_t)n, &p, &r);
	}
	free(buf);
	/*
	 * recv_many() may have returned deferred messages without reading their NOOPs: repeat only those that are
	 * still needed.
	 */
	if (announced > atomic_load(&q->deferred_count))
		announced = atomic_load(&q->deferred_count);
	while (announced-- > 0)
		nfqueue_send_noop(q, SEQ_DEFERRED);
	return err;
}

/* Sends a request and waits for its acknowledgement. Returns 0, the kernel's -errno, -ETIMEDOUT. */
static int ask(struct nfqueue *q, struct nlmsghdr *nlh)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int try, wait, err = 0;

	nlh->nlmsg_flags |= NLM_F_ACK;
	for (try = 0; try < CONFIG_TRIES; try++) {
		nlh->nlmsg_seq = ++q->seq;
		atomic_store(&q->awaited, nlh->nlmsg_seq);
		if (send(nfqueue_socket_of(q, q->asked), nlh, nlh->nlmsg_len, 0) < 0)
			return -errno;
		for (wait = 0; wait <= ANSWER_WAIT_MS / CONFIG_TRIES; wait++) {
			err = drain_until_ack(q);
			if (err < 0)
				return err;
			if (atomic_load(&q->answered) == nlh->nlmsg_seq)
				return -atomic_load(&q->answer);
			/* another thread has read the acknowledgement, or it was lost */
			nanosleep(&pause, NULL);
		}
	}
	return -ETIMEDOUT;
}

int nfqueue_ask_command(struct nfqueue *q, uint8_t command, uint16_t family)
{
	const struct nfqnl_msg_config_cmd cmd = { .command = command, .pf = htons(family) };
	struct nfq_config m = nfq_config(q->asked);

	nfq_config_put(&m, NFQA_CFG_CMD, &cmd, sizeof(cmd));
	return ask(q, &m.nlh);
}

static int ask_flags(struct nfqueue *q, uint32_t mask, uint32_t flags)
{
	struct nfq_config m = nfq_config(q->asked);

	nfq_config_put_flags(&m, mask, flags);
	return ask(q, &m.nlh);
}

int nfqueue_ask_length(struct nfqueue *q, uint32_t length)
{
	struct nfq_config m = nfq_config(q->asked);

	length = htonl(length);
	nfq_config_put(&m, NFQA_CFG_QUEUE_MAXLEN, &length, sizeof(length));
	return ask(q, &m.nlh);
}

int nfqueue_ask_mode(struct nfqueue *q, enum copy_mode mode, uint32_t range)
{
	const struct nfqnl_msg_config_params params = { .copy_range = htonl(range),
							.copy_mode = (uint8_t)mode };
	struct nfq_config m = nfq_config(q->asked);

	nfq_config_put(&m, NFQA_CFG_PARAMS, &params, sizeof(params));
	return ask(q, &m.nlh);
}

int nfqueue_ask_all_flags(struct nfqueue *q, uint32_t wanted, uint32_t change, struct ipq_error *e)
{
	uint32_t got = wanted;
	const struct nfq_flag *f;
	int err;

	for (f = nfq_flags; f->flag != 0; f++) {
		if (!(change & f->flag))
			continue;
		err = ask_flags(q, f->kernel, wanted & f->flag ? f->kernel : 0);
		if (err == 0 || !(wanted & f->flag))
			continue;
		if (!(wanted & IPQ_O_BEST_EFFORT))
			return ipq_fail(
				e, err == -EINVAL ? EOPNOTSUPP : -err,
				"this kernel does not support %s: omit it, or open with IPQ_O_BEST_EFFORT",
				f->name);
		got &= ~f->flag;
	}
	/* NFQA_CFG_F_GSO: packets are not split. Kernels before 3.10 always split them. */
	if ((change & IPQ_O_SEGMENT) &&
	    ask_flags(q, NFQA_CFG_F_GSO, wanted & IPQ_O_SEGMENT ? 0 : NFQA_CFG_F_GSO) < 0)
		got |= IPQ_O_SEGMENT;
	return (int)got;
}
