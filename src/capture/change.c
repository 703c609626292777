/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records whose frame or time changes, in the format and byte order of their file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "capture/file.h"
#include "util/bytes.h"

#define NSEC 1000000000LL

enum {
	OPTION_HASH = 3, /* in an enhanced packet block: a hash of the original frame */
	BLOCK_ENHANCED = 6,
};

/* A record under construction: the head of pcap, or of a packet block. */
struct head {
	uint8_t bytes[32];
	size_t len;
};

static uint16_t get_file16(const struct capture_record *record, const uint8_t *p)
{
	return record->swapped ? __builtin_bswap16(get_native16(p)) : get_native16(p);
}

/* Converts a time (ns since 1970) to the units of the file. False: these units cannot express the time. */
static bool to_units(const struct capture_clock *clock, int64_t time, uint64_t *stamp)
{
	int64_t sec = time / NSEC - (time % NSEC < 0), nsec = time - sec * NSEC;
	uint64_t units = 1, fraction;

	if (__builtin_sub_overflow(sec, clock->offset, &sec) || sec < 0 ||
	    clock->exponent > capture_finest_exponent(clock))
		return false;
	if (clock->binary) {
		units <<= clock->exponent;
		fraction = clock->exponent <= 32 ? ((uint64_t)nsec << clock->exponent) / NSEC
						 : (((uint64_t)nsec << 32) / NSEC) << (clock->exponent - 32);
	} else {
		for (int n = 0; n < clock->exponent; n++)
			units *= 10;
		fraction = units <= NSEC ? (uint64_t)nsec / (NSEC / units) : (uint64_t)nsec * (units / NSEC);
	}
	return !__builtin_mul_overflow((uint64_t)sec, units, stamp) &&
	       !__builtin_add_overflow(*stamp, fraction, stamp);
}

static void change_time(const struct capture_record *record, struct head *h, int64_t time)
{
	uint64_t stamp, units;

	if (record->kind == CAPTURE_SIMPLE || !to_units(&record->clock, time, &stamp))
		return;
	if (record->kind == CAPTURE_PCAP) {
		units = record->clock.exponent == 9 ? 1000000000 : 1000000;
		if (stamp / units > UINT32_MAX)
			return;
		capture_put32(record->swapped, h->bytes, (uint32_t)(stamp / units));
		capture_put32(record->swapped, h->bytes + 4, (uint32_t)(stamp % units));
		return;
	}
	capture_put32(record->swapped, h->bytes + 12, (uint32_t)(stamp >> 32));
	capture_put32(record->swapped, h->bytes + 16, (uint32_t)stamp);
}

static size_t padding(size_t len)
{
	return -len & 3;
}

/* Copies the options after the frame, except a hash. Returns the number of bytes copied. */
static size_t copy_options(const struct capture_record *record, const uint8_t *tail, uint8_t *to)
{
	size_t at = padding(record->caplen), end = record->tail - 4, n = 0, size;

	while (end >= at + 4) {
		size = 4U + get_file16(record, tail + at + 2);
		size += padding(size);
		if (size > end - at)
			break;
		if (get_file16(record, tail + at) != OPTION_HASH) {
			memcpy(to + n, tail + at, size);
			n += size;
		}
		at += size;
	}
	return n;
}

static void make_head(const struct capture_record *record, const uint8_t *raw, size_t caplen, uint32_t len,
		      struct head *h)
{
	memset(h, 0, sizeof(*h));
	memcpy(h->bytes, raw, record->head);
	h->len = record->head;
	if (record->kind == CAPTURE_PCAP) {
		capture_put32(record->swapped, h->bytes + 8,
			      record->lengths_swapped ? len : (uint32_t)caplen);
		capture_put32(record->swapped, h->bytes + 12,
			      record->lengths_swapped ? (uint32_t)caplen : len);
		return;
	}
	if (record->kind == CAPTURE_SIMPLE) {
		if (caplen == len && (record->snaplen == 0 || len <= record->snaplen)) {
			capture_put32(record->swapped, h->bytes + 8, len);
			return;
		}
		/* A simple block has no captured length (it follows from the snaplen of the interface): write an
		 * enhanced one, with time 0. */
		memset(h->bytes, 0, sizeof(h->bytes));
		capture_put32(record->swapped, h->bytes, BLOCK_ENHANCED);
		h->len = 28;
	}
	capture_put32(record->swapped, h->bytes + 20, (uint32_t)caplen);
	capture_put32(record->swapped, h->bytes + 24, len);
}

/* Writes the end of a packet block: padding, options, and the length, which is stored in the head, too. */
static int write_block(struct capture_writer *w, const struct capture_record *record, const uint8_t *raw,
		       struct head *h, const struct capture_piece *piece, unsigned n, size_t caplen)
{
	const uint8_t *tail = raw + record->head + record->caplen;
	uint8_t options[1024], length[4], *to = options, *large = NULL;
	static const uint8_t zeros[4];
	size_t options_len;
	int err;

	if (record->tail > sizeof(options)) {
		to = large = malloc(record->tail);
		if (large == NULL)
			return -ENOMEM;
	}
	options_len = record->kind == CAPTURE_SIMPLE ? 0 : copy_options(record, tail, to);
	capture_put32(record->swapped, length,
		      (uint32_t)(h->len + caplen + padding(caplen) + options_len + 4));
	memcpy(h->bytes + 4, length, 4);
	capture_write(w, h->bytes, h->len);
	for (unsigned i = 0; i < n; i++)
		capture_write(w, piece[i].bytes, piece[i].len);
	capture_write(w, zeros, padding(caplen));
	capture_write(w, to, options_len);
	err = capture_write(w, length, sizeof(length));
	free(large);
	return err;
}

int capture_write_changed(struct capture_writer *w, const struct capture_record *record, const uint8_t *raw,
			  const struct capture_piece *piece, unsigned n, uint32_t len, const int64_t *time)
{
	size_t caplen = 0;
	struct head h;
	int err;

	for (unsigned i = 0; i < n; i++)
		caplen += piece[i].len;
	make_head(record, raw, caplen, len, &h);
	if (time != NULL)
		change_time(record, &h, *time);
	if (record->kind != CAPTURE_PCAP)
		return write_block(w, record, raw, &h, piece, n, caplen);
	err = capture_write(w, h.bytes, h.len);
	for (unsigned i = 0; i < n; i++)
		err = capture_write(w, piece[i].bytes, piece[i].len);
	return err;
}
