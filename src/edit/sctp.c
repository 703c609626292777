// SPDX-License-Identifier: LGPL-2.1-or-later
/* SCTP (RFC 9260): its checksum, and chunks that must not be edited. */
#include "edit/edit.h"

enum {
	CHUNK_HEADER = 4,
	CHUNK_DATA = 0,
	CHUNK_I_DATA = 64, /* RFC 8260 */
	DATA_HEADER = 16,
	I_DATA_HEADER = 20,
	CHUNK_INIT_ACK = 2,
	CHUNK_COOKIE_ECHO = 10,
	CHUNK_AUTHENTICATION = 15, /* AUTH chunk of RFC 4895 */
};

/* Computes the CRC four bits at a time, with the Castagnoli polynomial in reversed bit order. */
uint32_t edit_crc32c(uint32_t crc, const uint8_t *p, size_t len)
{
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};

	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		crc = table[crc & 15] ^ crc >> 4;
		crc = table[crc & 15] ^ crc >> 4;
	}
	return crc;
}

unsigned edit_sctp_reason(const struct ipq_edit *e)
{
	size_t at = e->payload, end = e->payload + e->payload_len, len;

	for (; at < end; at += (len + 3) & ~(size_t)3) {
		if (end - at < CHUNK_HEADER)
			return IPQ_EDIT_REASON_MALFORMED;
		len = get16(e->data + at + 2);
		if (len < CHUNK_HEADER || len > end - at)
			return IPQ_EDIT_REASON_MALFORMED;
		switch (e->data[at]) {
		case CHUNK_AUTHENTICATION: /* AUTH signs the chunks that follow */
		case CHUNK_INIT_ACK:	   /* these chunks contain a cookie that its sender has signed */
		case CHUNK_COOKIE_ECHO:
			return IPQ_EDIT_REASON_SIGNED;
		default:
			break;
		}
	}
	return IPQ_EDIT_REASON_NONE;
}

bool edit_sctp_is_data(const struct ipq_edit *e, size_t *chunk, size_t begin, size_t end)
{
	size_t at = *chunk, next, header;

	if (e->payload_len == 0)
		return false;
	for (; (next = at + ((get16(e->data + at + 2) + 3u) & ~3u)) <= begin; at = next)
		if (next >= e->payload + e->payload_len)
			return false;
	*chunk = at;
	header = e->data[at] == CHUNK_DATA ? DATA_HEADER : I_DATA_HEADER;
	return (e->data[at] == CHUNK_DATA || e->data[at] == CHUNK_I_DATA) && begin >= at + header &&
	       end <= at + get16(e->data + at + 2);
}
