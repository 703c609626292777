/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Makes the answer to a rejected packet: a TCP reset, or ICMP port unreachable. No I/O. */
#ifndef IPQ_FILTER_REJECT_H
#define IPQ_FILTER_REJECT_H

#include <stddef.h>
#include <stdint.h>
#include "output/decode.h"

#define REJECT_MAX 1280

/*
 * Makes the answer to a packet of full_len bytes, of which len bytes are at p. source: the source address of an
 * ICMP answer, 4 or 16 bytes; NULL: the address that the packet was sent to. Returns the length of the answer; 0:
 * no answer may be sent, as for resets, ICMP errors, multicast and later fragments (RFC 1122, section 3.2.2; RFC
 * 4443, section 2.4).
 */
size_t reject_answer(uint8_t answer[REJECT_MAX], const struct decoded *d, const uint8_t *p, uint32_t len,
		     uint32_t full_len, const uint8_t *source);

/* Whether the answer will be an ICMP message. Only then is `source` used. */
bool reject_is_icmp(const struct decoded *d);

#endif
