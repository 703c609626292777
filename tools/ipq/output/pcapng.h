/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records to a pcapng file (draft-ietf-opsawg-pcapng). May be used from any thread. */
#ifndef IPQ_OUTPUT_PCAPNG_H
#define IPQ_OUTPUT_PCAPNG_H

#include <stdbool.h>
#include <stdint.h>
#include <ipq.h>
#include "source/source.h"

struct pcapng;

struct pcapng_record {
	const struct ipq_packet *packet;
	int64_t time;		    /* time in ns since 1970 */
	char indev[16], outdev[16]; /* names of the interfaces; "": none */
	const char *comment;
};

/* Opens a recording; "-" is the standard output. 0, or -errno with a message in *e. */
int pcapng_open(struct pcapng **file, const char *path, struct ipq_error *e);
int pcapng_write(struct pcapng *file, const struct pcapng_record *record);
/* The number of bytes written so far. Do not call it while another thread writes. */
uint64_t pcapng_size(const struct pcapng *file);
/* Writes the buffered bytes to the file. */
int pcapng_flush(struct pcapng *file);
/* Closes the file. Returns the first error of a write, or 0. NULL is allowed. */
int pcapng_close(struct pcapng *file);

#endif
