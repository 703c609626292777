/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The firewall rules of one ipq process.
 *
 *	rules_open -> (bind a queue that rules_number_free() allows) -> rules_install -> ... ->
 *	rules_stop -> (decide the packets that wait) -> rules_close
 *
 * rules_open takes the lock for changes of such rules, reads the rules of other ipq processes, and does not change
 * anything. rules_install adds the rules, in one transaction for each family, for all families or none, and releases
 * the lock. If the process is killed, its rules remain, and without a bound queue the kernel drops the packets that
 * they match. Rules that drop nothing (RULES_LOG, bypass) are then removed by a guardian process.
 */
#ifndef IPQ_FIREWALL_RULES_H
#define IPQ_FIREWALL_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h> /* pcap/bpf.h needs this header but does not include it */
#include <pcap/bpf.h>
#include "firewall/chains.h"

#define RULES_MARK_BITS 0xff000000 /* the default mask */

struct rules; /* opaque */

enum rules_kind {
	RULES_QUEUE, /* packets wait for a verdict: NFQUEUE, "queue num" */
	RULES_LOG    /* copies are sent, and no packet waits: NFLOG, "log group" */
};

enum rules_via { RULES_AUTO, RULES_NFTABLES, RULES_IPTABLES, RULES_IPTABLES_LEGACY, RULES_IPTABLES_NFT };

struct rules_options {
	const char *who; /* begin of messages: "ipq filter" */
	enum rules_kind kind;
	unsigned hooks; /* bit i: the hook hook_names[i] */
	enum rules_via via;
	bool bypass;	    /* RULES_QUEUE: accept packets while no process is bound */
	bool flows;	    /* RULES_QUEUE: the kernel keeps decided flows: see rules_flow_mark() */
	uint32_t mark_bits; /* bits of the packet mark for repeated packets; 0: the default */
	uint32_t snaplen;   /* RULES_LOG: bytes of each packet that are copied; 0: all */
	/* only packets that one of these filters (DLT_RAW) matches. Must stay valid */
	const struct bpf_program *filter;
	size_t filters; /* number of filters; 0: every packet */
	bool dry;	/* set only for rules_print(): takes no lock, and creates nothing */
};

/*
 * Parses a list of hooks, such as "INPUT,OUTPUT", in upper or lower case. Sets their bits in *hooks, and does not
 * change the others. 0 or -EINVAL.
 */
int rules_parse_hooks(const char *on, unsigned *hooks, struct ipq_error *e);
/* Parses a mask of 4 to 31 adjacent bits, such as "0xff000000". 0 or -EINVAL. */
int rules_parse_mark_bits(const char *text, uint32_t *mask, struct ipq_error *e);

/*
 * Call this before threads exist, because it may fork. 0 or -errno with a text in *e. All calls return -EINTR when
 * a signal has arrived while they waited: see interrupt.h.
 */
int rules_open(struct rules **rules, const struct rules_options *options, struct ipq_error *e);

/*
 * Whether these rules may use this number: 0, or -EBUSY with a text in *e. They must not if rules of a dead process
 * with this number cannot be removed: those rules would look like the rules of a live process, and their packets would
 * be queued to us. Does not check whether the number is bound.
 */
int rules_number_free(const struct rules *rules, uint16_t number, struct ipq_error *e);

/*
 * Installs the rules. The queues (or the group: first == last) must be bound, and a thread must read them. Then
 * removes rules of dead processes: those that drop nothing and, with RULES_QUEUE, those on the same hooks. After an
 * error nothing has changed, or the rules that are left were reported on stderr; after -EINTR nothing has changed.
 */
int rules_install(struct rules *rules, uint16_t first, uint16_t last, struct ipq_error *e);

/*
 * The mark with which accepted packets are repeated (NF_REPEAT), so that they continue with the rule after ours.
 * mask 0: a plain accept is enough. Valid from rules_open on.
 */
struct mark rules_mark(const struct rules *rules);

/*
 * rules_flow_mark: the value for the library's flow_mark. A packet that is repeated with it makes the kernel accept
 * the rest of its flow. mask 0: these rules keep no flows. Valid from rules_open on. rules_keep_flows: whether such
 * rules are in force, as far as known.
 */
struct mark rules_flow_mark(const struct rules *rules);
bool rules_keep_flows(const struct rules *rules);

/* Packets and bytes of these flows that passed since the rules were installed. 0 or -errno. */
int rules_passed(struct rules *rules, uint64_t *packets, uint64_t *bytes);

/*
 * Change the filters in two steps, so that each packet is decided by all old rules or by all new ones:
 * rules_extend: packets of the old and of the new filters are queued. All or nothing: after an error the old rules
 *	are in force. Then the program switches to its new rules.
 * rules_settle: only packets of the new filters are queued. After an error, too many packets are queued, which is
 *	harmless; call it again.
 * Both do nothing if all packets are queued anyway. The filters must stay valid until the next settle.
 */
int rules_extend(struct rules *rules, const struct bpf_program *filter, size_t filters, struct ipq_error *e);
int rules_settle(struct rules *rules, struct ipq_error *e);

/*
 * Checks whether the rules are still in force. 0; or, with a text in *e: -ENOENT (another program has removed
 * them), -ELOOP (a rule before ours changes marks, so a repeated packet would be repeated for ever; rules_mark()
 * has mask 0 from now on), or another -errno (the rules could not be read).
 */
int rules_check(struct rules *rules, struct ipq_error *e);
/* Adds the rules again after another program has removed them. */
int rules_restore(struct rules *rules, struct ipq_error *e);

/*
 * Removes the rules in two steps; this is the first one. From rules_stop on no further packet is queued, and
 * accepted packets still reach the rules that clear their mark. It waits up to 60 s for the xtables lock. 0, or
 * -errno: packets may still be queued. NULL is allowed.
 */
int rules_stop(struct rules *rules);
/*
 * The second step, after rules_stop: removes all rules and frees the struct. 0, or -errno with a text in *e; then
 * the rules that are left were reported on stderr. NULL is allowed.
 */
int rules_close(struct rules *rules, struct ipq_error *e);

/* Frees the struct and leaves the rules in force: the kernel drops packets that they match from now on. */
void rules_abandon(struct rules *rules);

/* Prints the rules as input for iptables-restore or nft. */
void rules_print(const struct rules *rules, uint16_t first, uint16_t last, FILE *out);

#endif
