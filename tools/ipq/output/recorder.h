/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A recording in one pcapng file, or in a sequence of files. */
#ifndef IPQ_OUTPUT_RECORDER_H
#define IPQ_OUTPUT_RECORDER_H

#include <stdint.h>
#include "output/pcapng.h"

struct recorder;

struct recorder_options {
	const char *path; /* "-": the standard output. If `seconds` is set, a template for strftime(3) */
	uint64_t bytes;	  /* -C: the next file begins when one has reached this size; 0: no limit */
	unsigned seconds; /* -G: the next file begins after this time; 0: no limit */
	unsigned files; /* -W: with `bytes`, overwrite the first file after this number of files; 0: never */
};

/* Opens the first file. 0, or -errno with a text in *e. */
int recorder_open(struct recorder **r, const struct recorder_options *options, struct ipq_error *e);
/* Writes a packet. 0 or -errno; after an error, no more packets can be written. */
int recorder_write(struct recorder *r, const struct pcapng_record *record);
/* Writes the buffered bytes to the file. */
int recorder_flush(struct recorder *r);
/* The name of the file that is now being written. */
const char *recorder_path(const struct recorder *r);
/* Closes the file. Returns the first error of a write, or 0. NULL is allowed. */
int recorder_close(struct recorder *r);

#endif
