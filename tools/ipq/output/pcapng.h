/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recording to a pcapng file (draft-ietf-opsawg-pcapng): packets from the IP header on, each with the
 * interface it came from or leaves by, its direction, and what was decided as a comment. Any thread.
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
	int64_t time;	       /* ns since 1970 */
	const char *interface; /* its name; "" when there is none */
	const char *comment;
};

/* "-" is the standard output. 0, or -errno with words in *e. */
int pcapng_open(struct pcapng **file, const char *path, struct ipq_error *e);
int pcapng_write(struct pcapng *file, const struct pcapng_record *record);
/* What was written reaches the file. */
int pcapng_flush(struct pcapng *file);
/* The first error that a write had, or 0. NULL is allowed. */
int pcapng_close(struct pcapng *file);

#endif
