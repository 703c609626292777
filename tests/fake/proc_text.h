/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text that /proc/net/ip_queue and /proc/net/ip6_queue had, from the engine's counters. */
#ifndef PROC_TEXT_H
#define PROC_TEXT_H

#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>
#include "ipqueue/engine.h"

static inline int proc_text(struct engine *e, uint8_t family, char *buf, size_t room)
{
	struct engine_counters c;

	engine_counts(e, family, &c);
	return snprintf(buf, room,
			"Peer PID          : %u\n"
			"Copy mode         : %u\n"
			"Copy range        : %u\n"
			"Queue length      : %u\n"
			"Queue max. length : %u\n"
			"Queue dropped     : %" PRIu64 "\n"
			"%s : %" PRIu64 "\n",
			c.peer_pid, (unsigned)c.mode, c.range, c.queue_length, c.queue_max, c.queue_dropped,
			family == AF_INET6 ? "Netfilter dropped" : "Netlink dropped  ", c.netlink_dropped);
}

#endif
