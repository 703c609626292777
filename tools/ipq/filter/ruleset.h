/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rules of `ipq filter`: an action and a filter in the language of pcap-filter(7), first match wins.
 * Parsing gives a set that is read by any number of threads at once; the only thing in it that changes
 * is the clock of a rate, which is atomic.
 */
#ifndef IPQ_FILTER_RULESET_H
#define IPQ_FILTER_RULESET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <pcap/pcap.h>

enum action {
	ACTION_ACCEPT,
	ACTION_DROP,
	ACTION_MARK,	/* accept with another mark */
	ACTION_REWRITE, /* accept with other payload */
	ACTION_DELAY,	/* accept later */
	ACTION_RATE,	/* accept so many a second, drop the others */
	ACTION_REPEAT,	/* set a mark and send the packet through the hook again */
	ACTION_QUEUE,	/* to another queue */
	ACTION_LOG,	/* show, and go on with the next rule */
	ACTION_COUNT	/* count, and go on with the next rule */
};

struct rewrite {
	unsigned char *from, *to;
	size_t from_len, to_len;
	bool all; /* every place in a packet, not only the first */
};

struct rule {
	enum action action;
	char *text;	    /* as it was written */
	const char *filter; /* inside text; "" matches everything */
	uint32_t number;    /* mark or queue */
	int64_t interval;   /* ns: the delay, or what one packet uses up of a rate */
	int64_t burst;	    /* ns: how far a rate may run ahead */
	struct rewrite rewrite;
	struct bpf_program program;
	_Atomic int64_t used_until; /* rate: the time up to which it is used up, ns */
};

struct ruleset {
	struct rule *rule;
	unsigned count;
	struct bpf_insn *code; /* all filters in one program that returns the matching rule's number + 1 */
	unsigned *start;       /* of each rule in code; start[count] is the end */
};

/* Where a rule does not parse and why. */
struct rule_error {
	size_t offset; /* in the text; its length: something is missing at the end */
	char text[256];
};

/* Adds a rule at the end. 0, -EINVAL with *e filled in, -ENOMEM. */
int ruleset_add(struct ruleset *set, const char *text, struct rule_error *e);
/* Links the filters into one program. Call once, when all are added. 0 or -ENOMEM. */
int ruleset_finish(struct ruleset *set);
void ruleset_free(struct ruleset *set);

/* The first rule not before `from` that matches; count when none does. */
unsigned ruleset_match(const struct ruleset *set, unsigned from, const uint8_t *payload, uint32_t len,
		       uint32_t full_len);

/* Compiles a filter for packets that begin with their IP header. 0, or -EINVAL with *e (offset in filter). */
int filter_compile(struct bpf_program *program, const char *filter, struct rule_error *e);

/* May a packet pass at `now` (ns)? Uses up its share when it may. */
bool rule_rate_pass(struct rule *rule, int64_t now);

#endif
