/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to `ipq watch`: the settings of its command line. */
#ifndef IPQ_WATCH_WATCH_H
#define IPQ_WATCH_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <pcap/pcap.h>
#include "filter/expression.h"
#include "output/output.h"
#include "session/session.h"

struct watch {
	struct session session;
	struct print_style style;
	struct recorder_options record;
	struct expression *expression; /* filter for the packets to show; NULL: show all */
	struct bpf_program filter;     /* filter for the firewall rule */
	uint64_t limit;		       /* number of packets to show; 0: no limit */
	_Atomic uint64_t shown;

	/* arguments from the command line */
	const char *interface, *file;
	char *source;	 /* name of the source, made from `file` or a group */
	char *directory; /* the directory in which recordings are created */
	unsigned group;
	bool group_given, include_own;
};

/* Parses the command line. 0, or the exit status after a message. Call watch_free_options() in any case. */
int watch_parse(struct watch *watch, int argc, char **argv);
void watch_free_options(struct watch *watch);

#endif
