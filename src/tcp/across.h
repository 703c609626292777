/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Replaces a text wherever it is in a segment, also when it is split between segments. Not public, unlike ipq_tcp.h.
 */
#ifndef TCP_ACROSS_H
#define TCP_ACROSS_H

#include <stdbool.h>
#include <stdint.h>
#include "ipq_tcp.h"

/*
 * Replaces all occurrences of old_bytes in the segment or, if all is false, one occurrence. Returns the number of
 * replacements. *refused: 0, or the error because of which the last occurrence was not replaced.
 */
int tcp_replace_text(struct ipq_tcp_segment *s, const void *old_bytes, size_t old_len, const void *new_bytes,
		     size_t new_len, bool all, int *refused);

#define TCP_ACROSS_MAX 64

struct tcp_across {
	uint32_t offset; /* offset of the text in this segment's payload, or beyond the payload */
	unsigned parts;
	/* number of bytes of the text in the segment in which it begins, and in each segment after that */
	uint32_t part[TCP_ACROSS_MAX];
};

/*
 * Replaces text that begins in this segment, or in a later one. The length of each segment stays the same, except
 * that the last segment gets the rest of the new text. ipq_tcp_end() writes the later parts when their segments
 * pass, even if their sender divides them differently. Returns the values of ipq_tcp_replace().
 */
int tcp_replace_across(struct ipq_tcp_segment *s, const struct tcp_across *text, const void *bytes,
		       size_t new_len);

/* Undoes tcp_replace_across(), before ipq_tcp_end(). */
void tcp_take_back_across(struct ipq_tcp_segment *s, const struct tcp_across *text, size_t new_len);

#endif
