/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Capture files as a source of packets. This is the only header of the room that others include.
 *
 * The name of a source is pcap:IN[,OUT][,OPTION=VALUE]... IN and OUT may be "-" for standard input and
 * output, OUT may be empty. A comma or backslash in a file's name is written with a backslash before it.
 * Options:
 *
 *   pace=fast|file   deliver at once (default), or at the intervals of the timestamps
 *   hook=NAME        PREROUTING, INPUT (default), FORWARD, OUTPUT or POSTROUTING
 *   indev=NAME       input interface (hooks up to FORWARD; default "pcap0")
 *   outdev=NAME      output interface (hooks from FORWARD on; default "pcap0")
 */
#ifndef CAPTURE_CAPTURE_H
#define CAPTURE_CAPTURE_H

#include <stdint.h>
#include "source/source.h"

extern const struct source_ops source_pcap;

struct pcap_summary {
	uint64_t delivered; /* packets, including repeated ones */
	uint64_t accepted;  /* written to OUT, if there is one */
	uint64_t replaced;  /* accepted packets with a new payload */
	uint64_t dropped;
	uint64_t repeated;		 /* NF_REPEAT and NF_QUEUE: delivered again under a new id */
	uint64_t unread;		 /* the part of `passed` with an unsupported link type */
	uint64_t passed;		 /* frames without an IP packet, written to OUT without a verdict */
	uint64_t waiting;		 /* waiting for a verdict; dropped when the source is closed */
	uint64_t refused;		 /* verdicts for unknown ids, and invalid ones */
	uint64_t ignored;		 /* marks, priorities and the like, which a file cannot store */
	uint64_t bytes_read, bytes_size; /* bytes of IN read so far; size of IN, 0 for a pipe */
	uint64_t bytes_written;
};

/* The counters of a source with s->ops == &source_pcap. Any thread may call it. */
void source_pcap_summary(struct source *s, struct pcap_summary *summary);

#endif
