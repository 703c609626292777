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
 * Replaces old_bytes wherever they are in the segment, or (all: false) once. Returns the number of replacements.
 * *refused: 0, or the error that kept the last occurrence from being replaced.
 */
int tcp_replace_text(struct ipq_tcp_segment *s, const void *old_bytes, size_t old_len, const void *new_bytes,
		     size_t new_len, bool all, int *refused);

#define TCP_ACROSS_MAX 64

struct tcp_across {
	uint32_t offset; /* in this segment's payload, or beyond it */
	unsigned parts;
	/* bytes of the text in the segment in which it begins, and in those that follow it */
	uint32_t part[TCP_ACROSS_MAX];
};

/*
 * Replaces text that begins in this segment, or in a later one. Each segment keeps as many bytes as it had, so that
 * none grows or shrinks, except that the last one gets what is left. The later segments get their part from
 * ipq_tcp_end() when they pass, even if their sender divides them differently. Returns as ipq_tcp_replace() does.
 */
int tcp_replace_across(struct ipq_tcp_segment *s, const struct tcp_across *text, const void *bytes,
		       size_t new_len);

/* Undoes tcp_replace_across(), before ipq_tcp_end(). */
void tcp_take_back_across(struct ipq_tcp_segment *s, const struct tcp_across *text, size_t new_len);

#endif
