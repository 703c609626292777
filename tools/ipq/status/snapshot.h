/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The queues of this network namespace, whose they are, and the rules that feed them, at one moment. */
#ifndef IPQ_STATUS_SNAPSHOT_H
#define IPQ_STATUS_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "firewall/firewall.h"
#include "nfqueue/diagnose.h"

struct queue_row {
	struct queue_line line;
	bool owned;   /* else only rules name it */
	bool counted; /* line has more than the number */
	pid_t pid;    /* 0: unknown */
	char command[64];
	unsigned rules; /* that feed it */
	bool bypass;	/* all of these have it */
};

/* A process that holds a netfilter socket, and so may own a queue. */
struct queue_suspect {
	pid_t pid;
	char command[64];
};

struct snapshot {
	int64_t time;	       /* CLOCK_MONOTONIC, ns */
	struct queue_row *row; /* by number: owned ones, and those that a rule names */
	size_t count;
	struct firewall firewall;
	unsigned computed; /* rules whose queue cannot be told */
	int table;	   /* 0, or why the kernel's table of queues could not be read (-errno) */
	bool blind;	   /* nor could queues be asked for: who owns what is unknown */
	struct queue_suspect suspect[8]; /* only where table says nothing */
	unsigned suspects;
};

/* 0, or -errno when nothing at all can be known. */
int snapshot_take(struct snapshot *s);
void snapshot_free(struct snapshot *s);

/* Packets for it are dropped: a rule without bypass feeds it, and nobody owns it. */
bool row_is_orphan(const struct snapshot *s, const struct queue_row *row);
/* Somebody waits for packets that no rule sends, as far as rules could be read. */
bool row_is_idle(const struct snapshot *s, const struct queue_row *row);

#endif
