// SPDX-License-Identifier: LGPL-2.1-or-later
/* Internet checksums (RFC 1071) from scratch: ipq_checksum_complete() and ipq_checksum_verify(). */
#include <errno.h>
#include <netinet/in.h>

#include "edit/edit.h"

/*
 * 32 bytes a turn, each 64-bit word as two 32-bit halves into accumulators of 64 bits: all together they cannot
 * overflow before 2^29 turns, so no carry has to be looked at, and four chains keep the processor's adders busy.
 * Where a word ends up among the 16-bit columns of an accumulator does not matter: folding adds them up.
 */
static inline uint64_t sum_unfolded(const uint8_t *p, size_t len)
{
	uint64_t a = 0, b = 0, c = 0, d = 0, w[4];
	uint32_t word;
	uint16_t half = 0;

	for (; len >= sizeof(w); len -= sizeof(w), p += sizeof(w)) {
		memcpy(w, p, sizeof(w));
		a += (w[0] & UINT32_MAX) + (w[0] >> 32);
		b += (w[1] & UINT32_MAX) + (w[1] >> 32);
		c += (w[2] & UINT32_MAX) + (w[2] >> 32);
		d += (w[3] & UINT32_MAX) + (w[3] >> 32);
	}
	for (; len >= sizeof(word); len -= sizeof(word), p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		a += word;
	}
	if (len & 2) {
		memcpy(&half, p, 2);
		b += half;
		p += 2;
	}
	if (len & 1) {
		half = 0;
		memcpy(&half, p, 1);
		c += half;
	}
	return a + b + c + d;
}

uint16_t sum_bytes(const void *bytes, size_t len, bool odd)
{
	uint16_t sum = sum_fold(sum_unfolded(bytes, len));

	return (uint16_t)(odd ? sum << 8 | sum >> 8 : sum);
}

bool edit_has_pseudo_header(const struct ipq_edit *e)
{
	return e->protocol != IPPROTO_ICMP;
}

/* Sum of pseudo-header and covered bytes, the checksum field among them. */
static uint16_t transport_sum(const struct ipq_edit *e)
{
	size_t address = e->version == 4 ? 4 : 16;
	uint64_t sum = sum_unfolded(e->data + e->transport, e->covered);

	if (edit_has_pseudo_header(e))
		sum += sum_unfolded(e->data + e->final_source, address) +
		       sum_unfolded(e->data + e->final_destination, address) + htons(e->protocol) +
		       htons((uint16_t)e->transport_len);
	return sum_fold(sum);
}

/* Is the sum of everything the checksum covers within reach? */
static int transport_summable(const struct ipq_edit *e)
{
	if (e->flags & IPQ_EDIT_FRAGMENT)
		return -EOPNOTSUPP;
	if (e->transport_error)
		return e->transport_error;
	return edit_has_pseudo_header(e) && !e->final_destination ? -EOPNOTSUPP : 0;
}

int ipq_checksum_complete(void *packet, size_t len)
{
	struct ipq_edit e;
	uint16_t check;
	int err = ipq_edit_begin(&e, packet, len, len, 0);

	if (err)
		return err;
	if (e.version == 4) {
		put16(e.data + 10, 0);
		check = (uint16_t)~sum_bytes(e.data, (e.data[0] & 15) * 4u, false);
		memcpy(e.data + 10, &check, sizeof(check));
	}
	err = e.flags & IPQ_EDIT_AUTHENTICATED ? -EOPNOTSUPP : transport_summable(&e);
	if (err)
		return err;
	put16(e.data + e.checksum, 0);
	check = (uint16_t)~transport_sum(&e);
	/* UDP has no use for 0: it means no checksum (RFC 768). */
	if (!check && (e.protocol == IPPROTO_UDP || e.protocol == IPPROTO_UDPLITE))
		check = UINT16_MAX;
	memcpy(e.data + e.checksum, &check, sizeof(check));
	return 0;
}

int ipq_checksum_verify(const void *packet, size_t len)
{
	struct ipq_edit e;
	int wrong = 0;
	/* Begin writes only to e: the cast gives nothing away. */
	int err = ipq_edit_begin(&e, (void *)(uintptr_t)packet, len, len, 0);

	if (err)
		return err;
	if (e.version == 4 && sum_bytes(e.data, (e.data[0] & 15) * 4u, false) != UINT16_MAX)
		wrong |= IPQ_CHECKSUM_NETWORK_WRONG;
	err = transport_summable(&e);
	if (err) /* a wrong network header is news, whatever comes behind it */
		return wrong ? wrong : err;
	if ((e.protocol == IPPROTO_UDP || e.protocol == IPPROTO_UDPLITE) && !get16(e.data + e.checksum)) {
		/* None given: right for UDP over IPv4 alone. */
		if (e.version != 4 || e.protocol != IPPROTO_UDP)
			wrong |= IPQ_CHECKSUM_TRANSPORT_WRONG;
	} else if (transport_sum(&e) != UINT16_MAX) {
		wrong |= IPQ_CHECKSUM_TRANSPORT_WRONG;
	}
	return wrong;
}
