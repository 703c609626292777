/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Prints a packet as a line of text or of JSON. Texts from packets and names of interfaces are escaped. */
#ifndef IPQ_OUTPUT_PRINT_H
#define IPQ_OUTPUT_PRINT_H

#include <stdbool.h>
#include <stdio.h>
#include <ipq.h>

struct print_style {
	bool colour;
	bool json;
	bool bytes;   /* print a hex dump below the line, or in the JSON */
	bool text;    /* print the payload as text below the line */
	bool verbose; /* print more fields of the headers */
};

struct print_packet {
	const struct ipq_packet *packet;
	int64_t time;		    /* time in ns since 1970 */
	char indev[32], outdev[32]; /* names of the interfaces; "": none */
	const char *verdict;	    /* name of the verdict, such as "accept"; NULL: not decided */
};

/* Whether to use colours. True for a terminal that is not "dumb", unless NO_COLOR is set. */
bool print_wants_colour(FILE *out);

/* Writes one line, or several lines with style->bytes or style->text. */
void print_packet(FILE *out, const struct print_style *style, const struct print_packet *p);

/* The name of a hook, such as "INPUT"; "-" for an invalid number. */
const char *print_hook(unsigned hook);

#endif
