/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading pcapng (draft-ietf-opsawg-pcapng). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "capture/reader.h"

#define INTERFACES_MAX 65536

enum block {
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET_OLD = 2,
	BLOCK_PACKET_SIMPLE = 3,
	BLOCK_PACKET = 6,
	BLOCK_SECTION = 0x0a0d0d0a
};

/* Options of a packet block. The flags contain the length of the frame check sequence in bytes (0: unknown). */
enum packet_option { OPTION_FLAGS = 2, FLAGS_FCS_SHIFT = 5, FLAGS_FCS_MASK = 15 };

enum option { OPTION_IF_NAME = 2, OPTION_IF_TSRESOL = 9, OPTION_IF_FCSLEN = 13, OPTION_IF_TSOFFSET = 14 };

/* Reads the type and the length of the next block, and checks the length. Does not consume the block. */
static int next_block(struct capture_reader *r, uint32_t *type, uint32_t *len)
{
	const uint8_t *block = reader_peek(r, 12);
	uint32_t magic;

	if (block == NULL)
		return reader_at_end(r) ? -ENODATA : -EBADMSG;
	*type = reader_get32(r, block);
	if (*type == BLOCK_SECTION) {
		memcpy(&magic, block + 8, sizeof(magic));
		if (magic != 0x1a2b3c4d && magic != 0x4d3c2b1a)
			return reader_damaged(r, "a section header without a valid byte order");
		r->swapped = magic == 0x4d3c2b1a;
		r->interfaces = 0;
		block = reader_peek(r, 14);
		if (block == NULL)
			return -EBADMSG;
		if (reader_get16(r, block + 12) != 1)
			return reader_damaged(r, "its version of pcapng is not 1.x");
	}
	*len = reader_get32(r, block + 4);
	if (*len < (*type == BLOCK_SECTION ? 28U : 12U) || *len % 4 != 0)
		return reader_damaged(r, "a block of impossible length");
	return 0;
}

/* Returns a block of at least min bytes in one piece, after comparing its two length fields. */
static const uint8_t *whole_block(struct capture_reader *r, uint32_t len, uint32_t min)
{
	const uint8_t *block;

	if (len < min || len > READ_BUFFER) {
		reader_damaged(r, "a block of impossible length");
		return NULL;
	}
	block = reader_peek(r, len);
	if (block != NULL && reader_get32(r, block + len - 4) != len) {
		reader_damaged(r, "the two lengths of a block differ");
		return NULL;
	}
	return block;
}

static uint16_t swap16(bool swapped, const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return swapped ? __builtin_bswap16(v) : v;
}

const uint8_t *pcapng_option(bool swapped, const uint8_t *p, size_t len, size_t *at, uint16_t *code,
			     size_t *size)
{
	const uint8_t *value = p + *at + 4;
	size_t padded;

	if (*at > len || len - *at < 4)
		return NULL;
	*code = swap16(swapped, p + *at);
	*size = swap16(swapped, p + *at + 2);
	padded = 4 + ((*size + 3) & ~(size_t)3);
	if (*code == 0 || padded > len - *at)
		return NULL;
	*at += padded;
	return value;
}

bool pcapng_option_is_read(uint16_t code)
{
	return code == OPTION_IF_NAME || code == OPTION_IF_TSRESOL || code == OPTION_IF_FCSLEN ||
	       code == OPTION_IF_TSOFFSET;
}

static int64_t signed64(const struct capture_reader *r, const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return (int64_t)(r->swapped ? __builtin_bswap64(v) : v);
}

static void interface_options(const struct capture_reader *r, const uint8_t *p, size_t len,
			      struct interface *i)
{
	size_t at = 0, size;
	const uint8_t *value;
	uint16_t code;

	while ((value = pcapng_option(r->swapped, p, len, &at, &code, &size)) != NULL) {
		if (code == OPTION_IF_TSRESOL && size == 1) {
			i->clock.binary = value[0] & 0x80;
			i->clock.exponent = value[0] & 0x7f;
		} else if (code == OPTION_IF_TSOFFSET && size == 8) {
			i->clock.offset = signed64(r, value);
		} else if (code == OPTION_IF_FCSLEN && size == 1) {
			i->fcs_len = value[0];
		} else if (code == OPTION_IF_NAME && size < sizeof(i->name)) {
			memset(i->name, 0, sizeof(i->name));
			memcpy(i->name, value, size);
		}
	}
}

/* Stores the description of an interface. Does not consume the block. */
static int add_interface(struct capture_reader *r, uint32_t len)
{
	const uint8_t *block = whole_block(r, len, 20);
	struct interface *i;

	if (block == NULL)
		return -EBADMSG;
	if (r->interfaces == r->interface_room) {
		uint32_t room = r->interface_room != 0 ? r->interface_room * 2 : 8;

		if (room > INTERFACES_MAX)
			return reader_damaged(r, "too many interfaces");
		i = realloc(r->interface, room * sizeof(*i));
		if (i == NULL)
			return -ENOMEM;
		r->interface = i;
		r->interface_room = room;
	}
	i = &r->interface[r->interfaces++];
	*i = (struct interface){ .link_type = reader_get16(r, block + 8),
				 .snaplen = reader_get32(r, block + 12),
				 .clock = { .exponent = 6 } };
	interface_options(r, block + 16, len - 20, i);
	return 0;
}

static void set_time(struct capture_record *record, uint64_t stamp)
{
	struct capture_clock clock = record->clock;
	uint64_t units = 1, fraction;
	int64_t sec;

	for (; clock.exponent > capture_finest_exponent(&clock); clock.exponent--)
		stamp /= clock.binary ? 2 : 10;
	if (clock.binary) {
		units <<= clock.exponent;
		fraction = stamp % units;
		if (clock.exponent > 32)
			record->nsec = (fraction >> (clock.exponent - 32)) * NSEC_PER_SEC >> 32;
		else
			record->nsec = fraction * NSEC_PER_SEC >> clock.exponent;
	} else {
		for (int n = 0; n < clock.exponent; n++)
			units *= 10;
		fraction = stamp % units;
		record->nsec = units <= NSEC_PER_SEC ? fraction * (NSEC_PER_SEC / units)
						     : fraction / (units / NSEC_PER_SEC);
	}
	sec = (int64_t)(stamp / units);
	if (stamp / units > INT64_MAX || __builtin_add_overflow(sec, clock.offset, &record->sec))
		record->sec = 0;
}

/* The length of the check sequence in a packet's flags takes precedence over that of its interface. */
static void read_flags(const struct capture_reader *r, struct capture_record *record, const uint8_t *tail)
{
	size_t at = 0, size;
	const uint8_t *value = capture_option(record, tail, OPTION_FLAGS, &at, &size);
	unsigned fcs_len;

	if (value == NULL || size != 4)
		return;
	fcs_len = reader_get32(r, value) >> FLAGS_FCS_SHIFT & FLAGS_FCS_MASK;
	if (fcs_len != 0)
		record->fcs_len = (uint8_t)fcs_len;
}

static const enum capture_kind kinds[] = {
	[BLOCK_PACKET_OLD] = CAPTURE_OLD,
	[BLOCK_PACKET_SIMPLE] = CAPTURE_SIMPLE,
	[BLOCK_PACKET] = CAPTURE_ENHANCED,
};

/*
 * Reads a packet block. There are three kinds: two of them name the interface in different ways, the third has no
 * time.
 */
static int read_packet_block(struct capture_reader *r, uint32_t type, uint32_t len,
			     struct capture_record *record, const uint8_t **data)
{
	uint32_t head = type == BLOCK_PACKET_SIMPLE ? 12 : 28, index = 0;
	const uint8_t *block = whole_block(r, len, head + 4);
	const struct interface *i;

	if (block == NULL)
		return -EBADMSG;
	if (type != BLOCK_PACKET_SIMPLE)
		index = type == BLOCK_PACKET ? reader_get32(r, block + 8) : reader_get16(r, block + 8);
	if (index >= r->interfaces)
		return reader_damaged(r, "it came in by an interface that the file does not describe");
	i = &r->interface[index];
	*record = (struct capture_record){ .kind = kinds[type],
					   .swapped = r->swapped,
					   .fcs_len = i->fcs_len,
					   .head = head,
					   .link_type = i->link_type,
					   .snaplen = i->snaplen,
					   .interface_index = index,
					   .clock = i->clock };
	memcpy(record->interface, i->name, sizeof(i->name));
	if (type == BLOCK_PACKET_SIMPLE) {
		record->len = reader_get32(r, block + 8);
		record->caplen = i->snaplen != 0 && i->snaplen < record->len ? i->snaplen : record->len;
	} else {
		record->caplen = reader_get32(r, block + 20);
		record->len = reader_get32(r, block + 24);
		set_time(record, (uint64_t)reader_get32(r, block + 12) << 32 | reader_get32(r, block + 16));
	}
	if (record->caplen > CAPLEN_MAX || record->caplen > len - head - 4)
		return reader_damaged(r, "it is longer than its block");
	record->tail = len - head - record->caplen;
	*data = block + head;
	read_flags(r, record, *data + record->caplen);
	reader_consume(r, len);
	return 1;
}

/* Returns the next piece of a block without a frame. r->block: its type; 0 after the first piece. */
static int read_piece(struct capture_reader *r, struct capture_record *record, const uint8_t **data)
{
	uint32_t n = r->block_left < READ_BUFFER ? r->block_left : READ_BUFFER;
	const uint8_t *bytes = reader_peek(r, n);

	if (bytes == NULL)
		return -EBADMSG;
	*record = (struct capture_record){ .kind = CAPTURE_BLOCK, .head = n };
	record->begins_section = r->block == BLOCK_SECTION;
	record->is_interface = r->block == BLOCK_INTERFACE;
	*data = bytes + n;
	reader_consume(r, n);
	r->block_left -= n;
	record->continues = r->block_left > 0;
	r->block = 0;
	return 1;
}

int pcapng_read(struct capture_reader *r, struct capture_record *record, const uint8_t **data,
		uint64_t *begin)
{
	uint32_t type = 0, len = 0;
	int err;

	while (capture_reader_ready(r)) {
		if (r->block_left > 0)
			return read_piece(r, record, data);
		*begin = r->position;
		err = next_block(r, &type, &len);
		if (err < 0)
			return err;
		if (type == BLOCK_PACKET || type == BLOCK_PACKET_SIMPLE || type == BLOCK_PACKET_OLD)
			return read_packet_block(r, type, len, record, data);
		err = type == BLOCK_INTERFACE ? add_interface(r, len) : 0;
		if (err < 0)
			return err;
		r->block = type;
		if (r->keep_blocks) {
			r->block_left = len;
			continue;
		}
		if (len <= READ_BUFFER && reader_peek(r, len) == NULL)
			return -EBADMSG;
		r->in_record = false; /* a larger block is consumed in pieces, without a limit */
		if (!reader_skip(r, len))
			return -EBADMSG;
		r->in_record = r->pipe && r->unpack == NULL;
	}
	return 0;
}

int pcapng_read_header(struct capture_reader *r)
{
	uint32_t type = 0, len = 0;
	int err = next_block(r, &type, &len);

	if (err < 0)
		return err == -ENODATA ? -EBADMSG : err;
	return whole_block(r, len, 28) != NULL ? reader_take_header(r, len) : -EBADMSG;
}

const uint8_t *capture_option(const struct capture_record *record, const uint8_t *tail, uint16_t code,
			      size_t *at, size_t *size)
{
	size_t padding = -record->caplen & 3, len = record->tail;
	const uint8_t *value;
	uint16_t found = 0;

	if ((record->kind != CAPTURE_ENHANCED && record->kind != CAPTURE_OLD) || len < padding + 4)
		return NULL;
	do
		value = pcapng_option(record->swapped, tail + padding, len - padding - 4, at, &found, size);
	while (value != NULL && found != code);
	return value;
}
