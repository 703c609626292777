/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds text of a rewrite that begins at the end of one TCP segment and continues in the next ones. */
#ifndef IPQ_FILTER_ACROSS_H
#define IPQ_FILTER_ACROSS_H

#include "filter/actions.h"
#include "tcp/across.h"

/* The payload of the segments that follow a segment, in order and without gaps. */
struct following {
	unsigned count;
	bool ended; /* no segment can follow these */
	struct {
		const uint8_t *bytes;
		uint32_t len;
	} part[TCP_ACROSS_MAX - 1];
};

enum across_result {
	ACROSS_NONE,
	ACROSS_FOUND,
	ACROSS_OPEN, /* the result depends on the next segment */
};

/*
 * Whether the text begins in the last bytes of this payload. found: set to the parts of the text; NULL: not wanted.
 */
enum across_result across_find(const struct rewrite *r, const uint8_t *payload, size_t len,
			       const struct following *next, struct tcp_across *found);

#endif
