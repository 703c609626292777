/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The calls that give verdicts. They only record the verdict; ipq_queue_recv and ipq_queue_flush send it. A
 * replacement payload inside the packet's slot is sent from there: the slot is not reused before the verdict has
 * been sent. Any other replacement is copied.
 */
#include <errno.h>
#include <linux/netfilter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <ipq_edit.h>
#include "core/flows.h"
#include "core/state.h"
#include "util/compiler.h"

static int fail_verdict(struct ipq_queue *q, int err, uint32_t id)
{
	if (err == -ENOENT)
		return ipq_fail(
			&q->error, ENOENT,
			"packet %u does not wait for a verdict: it was never received or is already decided",
			id);
	return ipq_fail(&q->error, -err, "cannot record the verdict: %s", strerror(-err));
}

static int set_verdict(struct ipq_queue *q, const struct ipq_packet *packet, uint32_t code,
		       const struct source_verdict *extra)
{
	int err;

	if (unlikely(q->flows != NULL))
		flows_overtake(q, packet);
	err = verdicts_set(&q->verdicts, packet->id, code, extra);

	if (err < 0)
		return fail_verdict(q, err, packet->id);
	if (q->verdicts.count >= PENDING_MAX || q->verdicts.extra_count >= EXTRAS_MAX ||
	    q->copies_size >= COPIES_MAX)
		return ipq_queue_flush(q);
	return 0;
}

int ipq_accept(struct ipq_queue *q, const struct ipq_packet *packet)
{
	return set_verdict(q, packet, NF_ACCEPT, NULL);
}

int ipq_drop(struct ipq_queue *q, const struct ipq_packet *packet)
{
	return set_verdict(q, packet, NF_DROP, NULL);
}

static uint8_t *copy_payload(struct ipq_queue *q, const void *bytes, size_t len)
{
	struct copy *c = malloc(sizeof(*c) + len);

	if (c == NULL)
		return NULL;
	memcpy(c->bytes, bytes, len);
	c->next = q->copies;
	q->copies = c;
	q->copies_size += len;
	return c->bytes;
}

/* Whether the bytes lie in the payload of a packet that is still in its slot. */
static bool in_place(const struct ipq_queue *q, const struct ipq_packet *packet, const uint8_t *bytes,
		     size_t len)
{
	return packet->payload >= q->memory && packet->payload < q->memory + q->memory_size &&
	       bytes >= packet->payload && bytes + len <= packet->payload + packet->payload_len;
}

static int set_payload(struct ipq_queue *q, struct source_verdict *v, const struct ipq_packet *packet,
		       const void *bytes, size_t len)
{
	uint8_t *payload = (uint8_t *)(uintptr_t)bytes;
	size_t max = q->source->ops->lossless ? SOURCE_FILE_PACKET_MAX : NFQ_PAYLOAD_MAX;
	int err = 0;

	if (bytes == NULL || len == 0 || len > max)
		return ipq_fail(&q->error, bytes == NULL || len == 0 ? EINVAL : EMSGSIZE,
				"the replacement has %zu bytes: %s accepts 1 to %zu", len,
				q->source->ops->lossless ? "a capture file" : "the kernel", max);
	if (in_place(q, packet, bytes, len))
		q->pinned = true;
	else
		payload = copy_payload(q, bytes, len);
	if (payload == NULL)
		return ipq_fail(&q->error, ENOMEM, "no memory for the replacement");
	if ((packet->present & IPQ_HAS_PAYLOAD) && (packet->flags & IPQ_PACKET_CHECKSUM_NOT_READY))
		err = ipq_checksum_complete(payload, len);
	/* The kernel does not complete the checksum of replaced bytes. */
	if (err < 0)
		return ipq_fail(&q->error, -err,
				"cannot complete the packet's partial checksum (%s): open the queue with "
				"IPQ_O_SEGMENT, then the kernel completes it",
				strerror(-err));
	v->present |= IPQ_SET_PAYLOAD;
	v->payload = payload;
	v->payload_len = len;
	return 0;
}

int ipq_replace(struct ipq_queue *q, const struct ipq_packet *packet, const void *bytes, size_t len)
{
	struct source_verdict v = { 0 };
	int err = set_payload(q, &v, packet, bytes, len);

	return err < 0 ? err : set_verdict(q, packet, NF_ACCEPT, &v);
}

static int take_verdict(struct ipq_queue *q, struct ipq_verdict *v, const struct ipq_verdict *given)
{
	const uint32_t known = IPQ_SET_MARK | IPQ_SET_PRIORITY | IPQ_SET_CONNTRACK_MARK |
			       IPQ_SET_CONNTRACK_LABELS | IPQ_SET_VLAN | IPQ_SET_PAYLOAD;
	int err = copy_struct_in(v, sizeof(*v), given, offsetof(struct ipq_verdict, queue), "ipq_verdict",
				 &q->error);

	if (err < 0)
		return err;
	if (v->present & ~known)
		return ipq_fail(&q->error, EINVAL,
				"verdict.present has unknown bits 0x%x: clear them or use a newer libipq",
				v->present & ~known);
	if (v->code > IPQ_STOP || v->code == NF_STOLEN)
		return ipq_fail(&q->error, EINVAL, "verdict.code is %u: use one of enum ipq_verdict_code",
				v->code);
	return 0;
}

/* Refuses settings that the kernel would ignore without an error. */
static int check_offered(struct ipq_queue *q, const struct ipq_packet *packet, uint32_t present)
{
	if ((present & (IPQ_SET_CONNTRACK_MARK | IPQ_SET_CONNTRACK_LABELS)) && !(q->flags & IPQ_O_CONNTRACK))
		return ipq_fail(&q->error, EOPNOTSUPP,
				"cannot set a conntrack mark or labels in this queue: open it with "
				"IPQ_O_CONNTRACK, which fails if the kernel does not support it");
	if ((present & IPQ_SET_VLAN) && packet->family != AF_BRIDGE)
		return ipq_fail(&q->error, EOPNOTSUPP,
				"cannot set the VLAN tag of packet %u: only packets queued by a rule of the "
				"bridge family have one",
				packet->id);
	return 0;
}

/* Records any verdict. time: ns since 1970, for the record in a capture file; NULL: the record keeps its time. */
static int decide(struct ipq_queue *q, const struct ipq_packet *packet, const struct ipq_verdict *verdict,
		  const int64_t *time)
{
	struct ipq_verdict given;
	struct source_verdict v;
	int err = take_verdict(q, &given, verdict);
	uint32_t code;

	if (err == 0)
		err = check_offered(q, packet, given.present);
	if (err < 0)
		return err;
	code = given.code == IPQ_QUEUE ? NF_QUEUE_NR((uint32_t)given.queue) : given.code;
	if (given.present == 0 && time == NULL)
		return set_verdict(q, packet, code, NULL);
	v = (struct source_verdict){
		.present = given.present & ~(uint32_t)IPQ_SET_PAYLOAD,
		.mark = given.mark,
		.priority = given.priority,
		.conntrack_mark = given.conntrack_mark,
		.conntrack_mark_mask = given.conntrack_mark_mask,
		.vlan_proto = given.vlan_proto,
		.vlan_tci = given.vlan_tci,
	};
	if (time != NULL) {
		v.present |= SOURCE_SET_TIMESTAMP;
		v.timestamp = *time;
	}
	if (given.present & IPQ_SET_CONNTRACK_LABELS)
		memcpy(v.conntrack_labels, given.conntrack_labels, sizeof(v.conntrack_labels));
	if (given.present & IPQ_SET_PAYLOAD)
		err = set_payload(q, &v, packet, given.payload, given.payload_len);
	return err < 0 ? err : set_verdict(q, packet, code, &v);
}

int ipq_decide(struct ipq_queue *q, const struct ipq_packet *packet, const struct ipq_verdict *verdict)
{
	return decide(q, packet, verdict, NULL);
}

int queue_decide_at(struct ipq_queue *q, const struct ipq_packet *packet, const struct ipq_verdict *verdict,
		    int64_t time)
{
	return decide(q, packet, verdict, q->source->ops->lossless ? &time : NULL);
}
