/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The actions of rules, and their syntax. */
#ifndef IPQ_FILTER_ACTIONS_H
#define IPQ_FILTER_ACTIONS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "filter/cursor.h"

enum action_type {
	/* These are final: no further rule sees the packet. */
	ACTION_ACCEPT,
	ACTION_DROP, /* with a probability: only that share of packets */
	ACTION_REJECT,
	ACTION_REPEAT, /* set a mark and send the packet through the hook again */
	ACTION_QUEUE,  /* to another queue */
	/* After these, the next rule follows. */
	ACTION_MARK,
	ACTION_CTMARK,
	ACTION_SET,
	ACTION_STRIP,
	ACTION_REWRITE,
	ACTION_DELAY,
	ACTION_REORDER, /* delay some of them */
	ACTION_DUPLICATE,
	ACTION_RATE, /* drop packets beyond a rate */
	ACTION_LOG,
	ACTION_RECORD,
	ACTION_COUNT,
};

enum set_field { SET_SOURCE, SET_DESTINATION, SET_SOURCE_PORT, SET_DESTINATION_PORT, SET_TTL, SET_DSCP };

struct rewrite {
	unsigned char *from, *to;
	size_t from_len, to_len;
	bool http; /* only in bodies of HTTP/1 messages */
	bool all;  /* every occurrence in a packet, not only the first */
};

struct rate {
	bool bits;		    /* counts bits, not packets */
	int64_t units, period;	    /* `units` packets or bits in `period` ns */
	int64_t burst;		    /* ns by which used_until may be ahead of the clock */
	_Atomic int64_t used_until; /* the time up to which the rate is used up, ns */
};

#define ALWAYS UINT32_MAX

/* What an action needs besides the headers of a packet. */
enum action_needs {
	NEEDS_WHOLE_PACKET = 1 << 0,
	NEEDS_SEGMENTS = 1 << 1,   /* packets as they are on the wire, not several in one */
	NEEDS_RAW_SOCKET = 1 << 2, /* it sends packets */
	NEEDS_EDITOR = 1 << 3,	   /* it changes the packet: see edits.c */
	NEEDS_EDIT = NEEDS_WHOLE_PACKET | NEEDS_SEGMENTS | NEEDS_EDITOR
};

struct action {
	enum action_type type;
	unsigned needs;	       /* enum action_needs */
	uint32_t number, mask; /* mark, queue, port, TTL, DSCP, option */
	uint32_t probability;  /* numerator over 2^32 - 1, or ALWAYS */
	bool flow;	       /* ACCEPT, DROP, MARK: also the rest of the packet's flow */
	uint32_t after;	       /* after so many packets of the flow; 0: at once */
	int64_t delay, jitter; /* ns */
	enum set_field field;
	uint8_t address[16];
	uint8_t address_len;
	struct rewrite rewrite;
	struct rate rate;
};

/* The name of an action, with its syntax for help and completion. */
struct action_word {
	const char *name;
	enum action_type type;
	unsigned needs;	   /* enum action_needs */
	const char *usage; /* the words after the name; "": none */
};

extern const struct action_word action_words[]; /* the last has no name */
extern const char *const flow_words[];		/* those after accept, drop and mark; NULL is the last */

/* Reads one action. 0, -EINVAL with *c->e, -ENOMEM. Free it in any case. */
int action_parse(struct action *a, struct cursor *c);
void action_free(struct action *a);
/* Is it the last action for every packet that it applies to? False for drop 10%. */
bool action_ends(const struct action *a);
const char *action_name(enum action_type type);

/* A time such as 20ms, for an option: ns, or -EINVAL. */
int64_t action_time(const char *text);

/* May a packet of this many bytes pass at `now` (ns)? If so, it is counted. */
bool rate_pass(struct rate *rate, uint32_t bytes, int64_t now);

#endif
