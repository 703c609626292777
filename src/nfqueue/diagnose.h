/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Diagnosis for error texts and for the command: the queues and owners listed in /proc, and the rights of this
 * process.
 */
#ifndef NFQUEUE_DIAGNOSE_H
#define NFQUEUE_DIAGNOSE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A line of /proc/net/netfilter/nfnetlink_queue. */
struct queue_line {
	uint32_t number, port_id; /* port_id: the owner's netlink address, often its pid */
	uint32_t waiting;
	uint32_t copy_mode, copy_range;
	/* packets dropped because the queue was full; because the socket was full */
	uint32_t queue_dropped, user_dropped;
	uint32_t last_id;
};

/* Reads the lines of up to max queues of the calling thread's network namespace. Returns the count, or -errno. */
int queue_lines(struct queue_line *line, unsigned max);

/* Reads the line of one queue. 0, -ENOENT (no process has it), or another -errno (no /proc). */
int queue_line(uint32_t number, struct queue_line *line);

/*
 * Finds the process that holds the netlink socket with this port id. 0, or -ENOENT if no such process is visible.
 */
int queue_owner(uint32_t port_id, pid_t *pid, char command[64]);

/* Whether the calling thread has CAP_NET_ADMIN among its effective capabilities. */
bool have_net_admin(void);

#endif
