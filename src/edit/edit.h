/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files behind ipq_edit.h share.
 *
 * Sums are one's complement sums of 16-bit words as they lie in memory: RFC 1071 shows that the result is
 * the same bytes on either endianness, so nothing is swapped but the sum of bytes that begin at an odd
 * offset. A sum that has been folded is 16 bits wide; 0 and 0xffff both mean zero.
 */
#ifndef EDIT_EDIT_H
#define EDIT_EDIT_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

#include "ipq_edit.h"
#include "util/bytes.h"

static inline uint16_t sum_fold(uint64_t sum)
{
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16); /* 18 bits are left */
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* Folded sum of len bytes; odd: they begin at an odd offset of the checksummed data. */
uint16_t sum_bytes(const void *bytes, size_t len, bool odd);

/* What a sum gains when a part of it goes from before to after. */
static inline uint16_t sum_change(uint16_t before, uint16_t after)
{
	return sum_fold((uint64_t)(uint16_t)~before + after);
}

/* Does the transport checksum cover the addresses and a length besides the transport's own bytes? */
bool edit_has_pseudo_header(const struct ipq_edit *e);

/* Can transport header and payload be changed? 0 or -errno. protocol: the one needed, 0 for any. */
int edit_transport(const struct ipq_edit *e, int protocol);

/* Overwrites n bytes at offset of the packet, in the transport header or behind, keeping the checksum. */
void edit_write(struct ipq_edit *e, size_t offset, const void *bytes, size_t n);

/* Puts new_len bytes in place of old_len at offset of the packet, keeping all lengths and the checksum.
 * The caller has seen edit_transport() succeed and adjusts payload or payload_len. */
int edit_splice(struct ipq_edit *e, size_t offset, size_t old_len, const void *bytes, size_t new_len);

#endif
