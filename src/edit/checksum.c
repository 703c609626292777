// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Computes Internet checksums (RFC 1071) and the checksum of SCTP from all bytes: ipq_checksum_complete() and
 * ipq_checksum_verify().
 */
#include <errno.h>
#include <netinet/in.h>

#include "edit/edit.h"

/* Sum of pseudo-header and covered bytes, including the checksum field. */
static uint16_t transport_sum(const struct ipq_edit *e)
{
	size_t address = e->version == 4 ? 4 : 16;
	uint64_t sum = sum_bytes(e->data + e->transport, e->covered, false);

	if (edit_has_pseudo_header(e))
		sum += (uint64_t)sum_bytes(e->data + e->final_source, address, false) +
		       sum_bytes(e->data + e->final_destination, address, false) + htons(e->protocol) +
		       sum_length(e->transport_len);
	return sum_fold(sum);
}

/* The checksum of SCTP, computed with zeros in its field. */
static uint32_t sctp_checksum(const struct ipq_edit *e)
{
	static const uint8_t zeros[4];
	size_t rest = e->checksum + sizeof(zeros);
	uint32_t crc = edit_crc32c(UINT32_MAX, e->data + e->transport, e->checksum - e->transport);

	crc = edit_crc32c(crc, zeros, sizeof(zeros));
	return ~edit_crc32c(crc, e->data + rest, e->transport + e->covered - rest);
}

/*
 * Whether the checksum can be computed: the packet has all bytes that it covers, and the address in the pseudo-header
 * is known. 0 or -errno.
 */
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
	if (e.protocol == IPPROTO_SCTP) {
		put_little32(e.data + e.checksum, sctp_checksum(&e));
		return 0;
	}
	put16(e.data + e.checksum, 0);
	check = (uint16_t)~transport_sum(&e);
	/* In UDP, a checksum field of 0 means that there is no checksum (RFC 768). */
	if (!check && (e.protocol == IPPROTO_UDP || e.protocol == IPPROTO_UDPLITE))
		check = UINT16_MAX;
	memcpy(e.data + e.checksum, &check, sizeof(check));
	return 0;
}

int ipq_checksum_verify(const void *packet, size_t len)
{
	struct ipq_edit e;
	int wrong = 0;
	/* casting const away is safe: ipq_edit_begin() writes only to e */
	int err = ipq_edit_begin(&e, (void *)(uintptr_t)packet, len, len, 0);

	if (err)
		return err;
	if (e.version == 4 && sum_bytes(e.data, (e.data[0] & 15) * 4u, false) != UINT16_MAX)
		wrong |= IPQ_CHECKSUM_NETWORK_WRONG;
	err = transport_summable(&e);
	if (err) /* report a wrong checksum of the network header even after an error */
		return wrong ? wrong : err;
	if (e.protocol == IPPROTO_SCTP)
		return sctp_checksum(&e) == get_little32(e.data + e.checksum)
			       ? wrong
			       : wrong | IPQ_CHECKSUM_TRANSPORT_WRONG;
	if ((e.protocol == IPPROTO_UDP || e.protocol == IPPROTO_UDPLITE) && !get16(e.data + e.checksum)) {
		/* The packet has no checksum, which only UDP over IPv4 allows. */
		if (e.version != 4 || e.protocol != IPPROTO_UDP)
			wrong |= IPQ_CHECKSUM_TRANSPORT_WRONG;
	} else if (transport_sum(&e) != UINT16_MAX) {
		wrong |= IPQ_CHECKSUM_TRANSPORT_WRONG;
	}
	return wrong;
}
