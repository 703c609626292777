/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recording to a pcapng file (draft-ietf-opsawg-pcapng). Any thread.
 *
 * All interfaces have the link type LINUX_SLL, "Linux cooked": libpcap refuses files whose interfaces differ,
 * and it compares LINKTYPE_RAW with another number (DLT_RAW). Each packet has its input or output interface and its
 * direction (epb_flags). A comment has the verdict. A custom option 2988 with netfilter's private enterprise number
 * 21373 has a text that src/capture/metadata.c reads: "ipq", followed by words hook=NAME, indev=NAME, outdev=NAME,
 * mark=NUMBER and verdict=NAME.
 */
#ifndef IPQ_OUTPUT_PCAPNG_H
#define IPQ_OUTPUT_PCAPNG_H

#include <stdbool.h>
#include <stdint.h>
#include <ipq.h>
#include "source/source.h"

struct pcapng;

struct pcapng_record {
	const struct ipq_packet *packet;
	int64_t time;		    /* ns since 1970 */
	char indev[16], outdev[16]; /* names of the interfaces; "": none */
	const char *comment;
};

/* Opens a recording; "-" is the standard output. 0, or -errno with a message in *e. */
int pcapng_open(struct pcapng **file, const char *path, struct ipq_error *e);
int pcapng_write(struct pcapng *file, const struct pcapng_record *record);
/* Bytes so far. Do not call it while another thread writes. */
uint64_t pcapng_size(const struct pcapng *file);
/* Writes what is buffered to the file. */
int pcapng_flush(struct pcapng *file);
/* Closes the file. Returns the first error of a write, or 0. NULL is allowed. */
int pcapng_close(struct pcapng *file);

#endif
