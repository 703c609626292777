/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Capture files as a source of packets: what stands behind "pcap:", and what became of the packets.
 *
 * The name is IN[,OUT][,OPTION=VALUE]...; IN and OUT may be "-" for standard input and output, OUT may be
 * empty. A comma or backslash in a file's name is written with a backslash before it. Options:
 *
 *   pace=fast|file   as fast as the reader goes (default), or by the clock of the file
 *   hook=NAME        where the packets seem to come from: PREROUTING, INPUT (default), FORWARD, OUTPUT,
 *                    POSTROUTING
 *   indev=NAME       the interface they seem to come in by (hooks up to FORWARD; default "pcap0")
 *   outdev=NAME      the interface they seem to leave by (hooks from FORWARD on; default "pcap0")
 */
#ifndef CAPTURE_SOURCE_H
#define CAPTURE_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/if.h>
#include "source/source.h"

struct source_pcap_name {
	char *in, *out; /* out: NULL when nothing is written */
	bool by_clock;
	uint8_t hook;
	char indev[IFNAMSIZ], outdev[IFNAMSIZ]; /* padded with zeros */
};

/* 0; -EINVAL with words in *e; -ENOMEM. */
int source_pcap_name_parse(struct source_pcap_name *name, const char *arg, struct ipq_error *e);
void source_pcap_name_free(struct source_pcap_name *name);

struct pcap_summary {
	uint64_t delivered; /* packets handed out, those that came back included */
	uint64_t accepted;  /* written to OUT, if there is one */
	uint64_t replaced;  /* of these, with new payload */
	uint64_t dropped;
	uint64_t repeated;		 /* NF_REPEAT and NF_QUEUE: came back under a new id */
	uint64_t passed;		 /* frames without an IP packet, written to OUT unseen */
	uint64_t waiting;		 /* no verdict yet; dropped if the source is closed now */
	uint64_t refused;		 /* verdicts on ids that did not wait, or that no kernel would take */
	uint64_t ignored;		 /* marks, priorities and the like, which a file has no place for */
	uint64_t bytes_read, bytes_size; /* how far in IN; size is 0 for a pipe */
	uint64_t bytes_written;
};

/* For s->ops == &source_pcap. Any thread. */
void source_pcap_summary(struct source *s, struct pcap_summary *summary);

#endif
