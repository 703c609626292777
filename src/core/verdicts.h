/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who still waits for a verdict, and the verdicts that have not been sent. Pure: no I/O.
 *
 * Verdicts leave in the order in which they were given. A run of them becomes one message for every
 * packet up to an id only if it names, in order and with the same bare verdict, exactly the packets that
 * wait up to there: the kernel then does what the single messages would have done.
 */
#ifndef CORE_VERDICTS_H
#define CORE_VERDICTS_H

#include <stdbool.h>
#include "source/source.h"

struct pending {
	uint32_t at; /* position in the ring */
	uint32_t id, code;
	int32_t extra; /* index of struct source_verdict in extra[], or -1: a bare verdict */
};

struct verdicts {
	/* Ring of ids that wait, ascending as the kernel counts (they wrap); state says what is known of each. */
	uint32_t *id;
	uint8_t *state;
	uint32_t room, head, tail; /* room is a power of 2; positions only grow, and wrap */
	uint64_t waiting;	   /* without a verdict */
	bool unknown_pending; /* packets wait that are not known here: no verdict may stand for more than its own */
	/* Verdicts in the order given: count of them, from log[first] on. */
	struct pending *log;
	size_t first, count, log_room;
	struct source_verdict *extra;
	size_t extra_count, extra_room;
};

void verdicts_free(struct verdicts *v);

/* A packet was received. 0, -ENOMEM. */
int verdicts_add_pending(struct verdicts *v, uint32_t id);

/* A verdict for it. Anything beyond the code is given in *extra (copied; payload and labels are not), else NULL.
 * 0, -ENOENT (does not wait), -ENOMEM. */
int verdicts_set(struct verdicts *v, uint32_t id, uint32_t code, const struct source_verdict *extra);

/* Is there one verdict to be sent, and a bare one? *out is it then. */
bool verdicts_only(const struct verdicts *v, struct source_verdict *out);

/*
 * Fills out[] with up to max messages for the first end verdicts that were given, in order; covers[i] says how
 * many verdicts out[0] to out[i] stand for. Nothing is changed until verdicts_sent().
 */
unsigned verdicts_pack(struct verdicts *v, size_t end, struct source_verdict *out, size_t *covers,
		       unsigned max);

/* The first n verdicts have been sent: they are forgotten. */
void verdicts_sent(struct verdicts *v, size_t n);

#endif
