/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Private: the packets that wait for a verdict, and the verdicts that have not been sent. No I/O.
 *
 * Verdicts are sent in the order in which they were given. The kernel can apply one verdict, with or without a
 * mark, to every waiting packet up to an id. Such a message replaces a run of verdicts only if they are equal and
 * belong, in order, to exactly the packets that wait up to that id. So it has the same effect as the single
 * messages.
 */
#ifndef CORE_VERDICTS_H
#define CORE_VERDICTS_H

#include <stdbool.h>
#include "source/source.h"

/* Values of pending.extra for verdicts that can be part of a run. */
enum { VERDICT_BARE = -1, VERDICT_MARK = -2 };

/* A verdict that has not been sent. */
struct pending {
	uint32_t at; /* position in the ring */
	uint32_t id, code;
	int32_t extra; /* index in verdicts.extra[]; VERDICT_BARE: code only; VERDICT_MARK: code and mark */
	uint32_t mark; /* the mark with VERDICT_MARK, else 0 */
};

struct verdicts {
	/*
	 * Ring of packets without a sent verdict, oldest first, and their states. Positions grow and wrap.
	 * Packets after the oldest waiting one stay in the ring when their verdict was sent (state SENT), until the
	 * ring is full.
	 */
	uint32_t *id;
	uint8_t *state;
	uint32_t room, head, tail; /* room, the size of the ring, is a power of 2 */
	uint64_t waiting;	   /* packets without a verdict */
	/* some waiting packets are not in the ring, so each verdict needs its own message */
	bool unknown_pending;
	/* Verdicts in the order given: `count` of them, from log[first] on. */
	struct pending *log;
	size_t first, count, log_room;
	struct source_verdict *extra;
	size_t extra_count, extra_room;
};

void verdicts_free(struct verdicts *v);

/* Whether the packet waits for a verdict. */
bool verdicts_is_pending(const struct verdicts *v, uint32_t id);

/* Adds a packet that was received. 0, -ENOMEM. */
int verdicts_add_pending(struct verdicts *v, uint32_t id);

/*
 * Records a verdict for a packet. *extra has all settings besides the code (NULL: none). It is copied, except the
 * payload. 0, -ENOENT (the packet does not wait for a verdict), -ENOMEM.
 */
int verdicts_set(struct verdicts *v, uint32_t id, uint32_t code, const struct source_verdict *extra);

/*
 * Fills out[] with up to max messages for the first `end` verdicts, in order; out[0] to out[i] carry the
 * first covers[i] of them. Nothing is changed until verdicts_sent(). Returns the number of messages.
 */
unsigned verdicts_pack(struct verdicts *v, size_t end, struct source_verdict *out, size_t *covers,
		       unsigned max);

/* The first n verdicts have been sent: removes them. */
void verdicts_sent(struct verdicts *v, size_t n);

#endif
