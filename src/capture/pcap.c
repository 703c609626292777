/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading pcap (draft-ietf-opsawg-pcap), with its variants: nanoseconds, the records of a modified libpcap with 8
 * more bytes (an interface index, a protocol and a packet type), and versions up to 2.3, in which some programs
 * exchanged the two lengths.
 */
#include <errno.h>
#include "capture/reader.h"

enum {
	MAGIC = 0xa1b2c3d4,
	MAGIC_NANOSECONDS = 0xa1b23c4d,
	MAGIC_MODIFIED = 0xa1b2cd34,
	FILE_HEADER = 24,
	RECORD_HEADER = 16,
	MODIFIED_HEADER = 24,
};

bool pcap_magic(struct capture_reader *r, uint32_t magic)
{
	r->swapped = (magic & 0xff) == 0xa1;
	magic = r->swapped ? __builtin_bswap32(magic) : magic;
	r->nanoseconds = magic == MAGIC_NANOSECONDS;
	r->modified = magic == MAGIC_MODIFIED;
	return r->nanoseconds || r->modified || magic == MAGIC;
}

int pcap_open(struct capture_reader *r)
{
	const uint8_t *header = reader_peek(r, FILE_HEADER);
	uint32_t network;

	if (header == NULL)
		return -EBADMSG;
	if (reader_get16(r, header + 4) != 2 || reader_get16(r, header + 6) > 4)
		return reader_damaged(r, "its version is not 2.0 to 2.4");
	r->minor = reader_get16(r, header + 6);
	r->snaplen = reader_get32(r, header + 16);
	network = reader_get32(r, header + 20);
	r->link_type = network & 0x03ffffff;
	/* frames end with a check sequence, whose length is given in 16-bit words */
	if (network & 0x04000000)
		r->fcs_len = (uint8_t)((network >> 28) * 2);
	return reader_take_header(r, FILE_HEADER);
}

int pcap_read(struct capture_reader *r, struct capture_record *record, const uint8_t **data)
{
	uint32_t head = r->modified ? MODIFIED_HEADER : RECORD_HEADER, fraction, length;
	const uint8_t *header = reader_peek(r, head);

	if (header == NULL)
		return reader_at_end(r) ? -ENODATA : -EBADMSG;
	fraction = reader_get32(r, header + 4);
	*record = (struct capture_record){
		.kind = CAPTURE_PCAP,
		.swapped = r->swapped,
		.fcs_len = r->fcs_len,
		.head = head,
		.caplen = reader_get32(r, header + 8),
		.len = reader_get32(r, header + 12),
		.sec = reader_get32(r, header),
		.nsec = r->nanoseconds ? fraction : fraction * 1000ULL,
		.link_type = r->link_type,
		.snaplen = r->snaplen,
		.clock = { .exponent = r->nanoseconds ? 9 : 6 },
	};
	if (r->minor < 3 || (r->minor == 3 && record->caplen > record->len)) {
		length = record->caplen;
		record->caplen = record->len;
		record->len = length;
		record->lengths_swapped = true;
	}
	if (record->caplen > CAPLEN_MAX)
		return reader_damaged(r, "it is longer than a packet can be");
	header = reader_peek(r, head + record->caplen);
	if (header == NULL)
		return -EBADMSG;
	*data = header + head;
	reader_consume(r, head + record->caplen);
	return 1;
}
