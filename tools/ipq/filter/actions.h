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
	/* These actions are final: no further rule is applied to the packet. */
	ACTION_ACCEPT,
	ACTION_DROP, /* with a probability, drop only that share of the packets */
	ACTION_REJECT,
	ACTION_REPEAT, /* set a mark and send the packet through the hook again */
	ACTION_QUEUE,  /* send the packet to another queue */
	/* After these actions, the next rule is applied. */
	ACTION_MARK,
	ACTION_CTMARK,
	ACTION_SET,
	ACTION_STRIP,
	ACTION_REWRITE,
	ACTION_DELAY,
	ACTION_REORDER, /* delay some of the packets */
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
	bool http; /* replace only in bodies of HTTP/1 messages */
	bool all;  /* replace every occurrence in a packet, not only the first */
};

struct rate {
	bool bits;		    /* the rate counts bits; otherwise packets */
	int64_t units, period;	    /* `units` packets or bits in `period` ns */
	int64_t burst;		    /* maximum time in ns by which used_until may be ahead of the clock */
	_Atomic int64_t used_until; /* the time up to which the rate is used up, in ns */
};

#define ALWAYS UINT32_MAX

/* The requirements of an action, besides the headers of a packet. */
enum action_needs {
	NEEDS_WHOLE_PACKET = 1 << 0,
	NEEDS_SEGMENTS = 1 << 1,   /* packets must be as on the wire, not several in one */
	NEEDS_RAW_SOCKET = 1 << 2, /* the action sends packets */
	NEEDS_EDITOR = 1 << 3,	   /* the action changes the packet: see edits.c */
	NEEDS_EDIT = NEEDS_WHOLE_PACKET | NEEDS_SEGMENTS | NEEDS_EDITOR
};

struct action {
	enum action_type type;
	unsigned needs;	       /* bits of enum action_needs */
	uint32_t number, mask; /* a number: mark, queue, port, TTL, DSCP or option */
	uint32_t probability;  /* numerator of a fraction with denominator 2^32 - 1, or ALWAYS */
	bool flow;	       /* for ACCEPT, DROP and MARK: applies to the rest of the packet's flow, too */
	/* applies after this number of packets of the flow; 0: from the first packet on */
	uint32_t after;
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
	unsigned needs;	   /* bits of enum action_needs */
	const char *usage; /* usage of the words after the name; "": none */
};

extern const struct action_word action_words[]; /* the last entry has no name */
/* the words after accept, drop and mark; the last entry is NULL */
extern const char *const flow_words[];

/* Reads one action. 0, -EINVAL with *c->e, -ENOMEM. Free the action in any case. */
int action_parse(struct action *a, struct cursor *c);
void action_free(struct action *a);
/* Whether no further rule is applied to the packets to which the action applies. False for drop 10%. */
bool action_ends(const struct action *a);
const char *action_name(enum action_type type);

/* Reads a time such as 20ms, for an option. Returns ns, or -EINVAL. */
int64_t action_time(const char *text);

/* Whether a packet of this many bytes may pass at the time `now` (ns). If so, the packet is counted. */
bool rate_pass(struct rate *rate, uint32_t bytes, int64_t now);

#endif
