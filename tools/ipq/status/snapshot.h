/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A snapshot of the queues of this network namespace, their owners, and the rules that feed them. */
#ifndef IPQ_STATUS_SNAPSHOT_H
#define IPQ_STATUS_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "firewall/firewall.h"
#include "nfqueue/diagnose.h"

struct queue_row {
	struct queue_line line;
	bool owned;   /* a process owns the queue; false: only rules name it */
	bool counted; /* all members of `line` are known, not only the number */
	pid_t pid;    /* pid of the owner; 0: unknown */
	char command[64];
	unsigned rules;	    /* number of rules that name the queue */
	unsigned reached;   /* number of those rules that packets reach */
	bool ipv4, ipv6;    /* address families of the rules that packets reach */
	bool rules_counted; /* rule_packets is known for all of these rules */
	uint64_t rule_packets;
	bool stuck;  /* packets wait, and none was decided for half a second */
	bool bypass; /* all these rules have bypass */
};

/* A process that holds a netfilter socket, and so may own a queue. */
struct queue_suspect {
	pid_t pid;
	char command[64];
};

struct snapshot {
	int64_t time;	       /* time in ns, of CLOCK_MONOTONIC */
	struct queue_row *row; /* rows sorted by number: queues with an owner, and queues that a rule names */
	size_t count;
	struct firewall firewall;
	bool ipv6;	   /* the kernel has IPv6 */
	unsigned computed; /* number of rules whose queue number is unknown */
	int table;	   /* 0, or why the kernel's table of queues could not be read (-errno) */
	/* the kernel did not answer other questions about queues either: owners are unknown */
	bool blind;
	struct queue_suspect suspect[8]; /* valid only if table is not 0 */
	unsigned suspects;
};

/*
 * Takes a snapshot. If packets wait, it reads the table again half a second later to find out whether their queue
 * is stuck; `quick` prevents that. 0, or -errno if nothing can be read.
 */
int snapshot_take(struct snapshot *s, bool quick);
void snapshot_free(struct snapshot *s);

/* The problem of a queue. */
enum queue_problem {
	QUEUE_OK,
	QUEUE_BLOCKED,	  /* not owned; an ipq process that has ended left its rules, which drop packets */
	QUEUE_ORPHAN,	  /* not owned; a rule without bypass drops its packets */
	QUEUE_BYPASSED,	  /* not owned; its rules let packets pass */
	QUEUE_NO_MODE,	  /* owned; its owner set no copy mode */
	QUEUE_STUCK,	  /* owned; packets wait and none is decided */
	QUEUE_SHADOWED,	  /* owned; earlier rules decide all of its packets */
	QUEUE_UNREACHED,  /* owned; no hook calls the chain that names it */
	QUEUE_PARTLY,	  /* owned; like SHADOWED or UNREACHED, but packets reach another rule */
	QUEUE_PASSED,	  /* owned by ipq; an earlier rule of another program accepts packets */
	QUEUE_ONE_FAMILY, /* owned by ipq, whose rules for the other family are missing */
	QUEUE_FORWARDED,  /* owned; no rule names it, but another queue's verdicts sent packets to it */
	QUEUE_IDLE,	  /* owned; no rule names it, and no packet came */
};

enum queue_problem row_problem(const struct snapshot *s, const struct queue_row *row);
/* Describes the problem as text, and the remedy: a command or advice ("": none). */
void row_explain(const struct snapshot *s, const struct queue_row *row, char *text, size_t size, char *remedy,
		 size_t remedy_size);

/* Whether the queue's packets are dropped: a rule without bypass feeds it, and no process owns it. */
bool row_is_orphan(const struct snapshot *s, const struct queue_row *row);
/* Whether the queue's owner waits for packets that no rule queues, as far as rules could be read. */
bool row_is_idle(const struct snapshot *s, const struct queue_row *row);

#endif
