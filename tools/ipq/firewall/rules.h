/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The firewall rule that feeds a queue: put up, taken down, never left behind.
 *
 *	rules_pick_queue -> rules_open -> (bind the queue) -> rules_install -> ... -> rules_close
 *
 * rules_open prepares everything that can fail without touching a packet; rules_install makes packets
 * come, so the queue must be bound by then. What a process leaves that was killed goes away by itself,
 * or at the next rules_open: see rules.c.
 */
#ifndef IPQ_FIREWALL_RULES_H
#define IPQ_FIREWALL_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <pcap/bpf.h>
#include "source/source.h"

struct rules; /* opaque */

enum rules_via { RULES_AUTO, RULES_NFTABLES, RULES_IPTABLES };

struct rules_options {
	const char *on; /* "INPUT,OUTPUT", in any case */
	enum rules_via via;
	uint16_t queue_first, queue_last;
	bool bypass;			  /* let packets through while nobody owns the queue */
	const struct bpf_program *filter; /* only packets that one of these matches; DLT_RAW */
	size_t filters;			  /* 0: every packet */
	bool dry;			  /* only for rules_print(): nothing is created */
};

/* First of `count` adjacent queue numbers that nobody has bound in this network namespace. */
int rules_pick_queue(unsigned count, uint16_t *first, struct ipq_error *e);

/* Call before threads exist: it may fork. 0 or -errno with words in *e. */
int rules_open(struct rules **rules, const struct rules_options *options, struct ipq_error *e);
int rules_install(struct rules *rules, struct ipq_error *e);
/*
 * Other filters from now on. The new rules stand before the old ones go, so that nothing slips through in
 * between. Nothing to do where all packets cross anyway. The filters must stay until the next change.
 */
int rules_change(struct rules *rules, const struct bpf_program *filter, size_t filters, struct ipq_error *e);
/* Takes down what stands and frees. Whatever happens all of it is tried. NULL is allowed. */
void rules_close(struct rules *rules);

/* The plan, as the commands that would be typed. */
void rules_print(const struct rules *rules, FILE *out);

#endif
