/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A packet as a line of text or of JSON. Text from packets and names of interfaces are escaped.
 */
#ifndef IPQ_OUTPUT_PRINT_H
#define IPQ_OUTPUT_PRINT_H

#include <stdbool.h>
#include <stdio.h>
#include <ipq.h>

struct print_style {
	bool colour;
	bool json;
	bool bytes;   /* a hex dump below the line, or in the JSON */
	bool text;    /* the payload as text below the line */
	bool verbose; /* more fields of the headers */
};

struct print_packet {
	const struct ipq_packet *packet;
	int64_t time;		    /* ns since 1970 */
	char indev[32], outdev[32]; /* names; "": none */
	const char *verdict;	    /* "accept"; NULL: not decided */
};

/* True for a terminal that is not "dumb", unless NO_COLOR is set. */
bool print_wants_colour(FILE *out);

/* Writes one line, or with style->bytes and style->text several. */
void print_packet(FILE *out, const struct print_style *style, const struct print_packet *p);

/* The name of a hook, such as "INPUT"; "-" for a number that no hook has. */
const char *print_hook(unsigned hook);

#endif
