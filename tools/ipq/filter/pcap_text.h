/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The packet filter language of pcap-filter(7), compiled by libpcap for packets that begin with their IP header. */
#ifndef IPQ_FILTER_PCAP_TEXT_H
#define IPQ_FILTER_PCAP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <pcap/pcap.h>
#include "filter/cursor.h"

/* The part of a packet that one primitive ("tcp dst port 23") tests. */
enum pcap_part {
	PCAP_NETWORK,  /* bytes or addresses of the network header, or lengths */
	PCAP_PROTOCOL, /* the protocol of the transport header */
	PCAP_TRANSPORT /* the transport header: ports and other fields */
};

/* The properties of a primitive, which follow from its words. */
struct pcap_primitive {
	enum pcap_part part;
	bool ipv4_only; /* tcp[...], udp[...] or sctp[...]: libpcap compiles it for IPv4 only */
	bool length;	/* the result depends on the length of the packet or on bytes of it */
};

/* Whether the word is a reserved word of pcap-filter(7). */
bool pcap_is_keyword(const char *word, size_t len);
/* Prints the words that can be part of a filter here, one per line. */
void pcap_print_words(FILE *out);
/* Number of bytes of the qualifiers before an id ("tcp dst port " of "tcp dst port 23"). */
size_t pcap_qualifiers(const char *text, size_t len);

/* Number of bytes of the token at `at`; 0 at the end. */
size_t pcap_token(const char *at);

/* Compiles one primitive, which is at c->at. Positions of mistakes count from c->text. 0 or -errno. */
int pcap_primitive_compile(const struct cursor *c, size_t len, const char *text, struct bpf_program *program,
			   struct pcap_primitive *primitive);

/* Compiles a text that was checked before. 0, -ENOMEM, or -EINVAL if no packet can match. */
int pcap_text_compile(const char *text, struct bpf_program *program);
/* Whether a packet can match, as far as libpcap finds out. */
bool pcap_text_possible(const char *text);

/* Makes a program that returns `value` for every packet. 0 or -ENOMEM. */
int pcap_program_constant(struct bpf_program *program, uint32_t value);

#endif
