/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The representation of an expression, for the files expression*.c. */
#ifndef IPQ_FILTER_EXPRESSION_TREE_H
#define IPQ_FILTER_EXPRESSION_TREE_H

#include "filter/metadata.h"
#include "filter/pcap_text.h"

enum node_type { NODE_AND, NODE_OR, NODE_NOT, NODE_PCAP, NODE_METADATA };

struct node {
	enum node_type type;
	struct node *left, *right; /* children; a NOT node has only `left` */
	/* PCAP node: one primitive */
	char *text;
	struct bpf_program program;
	struct pcap_primitive primitive;
	bool names_extension; /* the protocol is an extension header, as in: ip6 proto 0 */
	/* METADATA node: the test */
	struct metadata_test test;
};

struct expression {
	struct node *root; /* root of the tree; NULL: matches every packet */
	bool metadata;
	uint32_t flags;
};

/* The set of packets to which a text applies. */
enum text_scope {
	TEXT_PACKET,
	TEXT_SEGMENTED, /* packets before they are split: see expression_candidates() */
	TEXT_FLOW	/* all packets of the flow of a matching packet */
};

/*
 * Makes the text that expression_candidates() compiles. 1: *text was allocated by malloc(); 0: every packet
 * matches; -ENOMEM.
 */
int expression_text(const struct expression *x, enum text_scope scope, char **text);

#endif
