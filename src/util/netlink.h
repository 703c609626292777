/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A socket to the kernel's netfilter subsystems. */
#ifndef UTIL_NETLINK_H
#define UTIL_NETLINK_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Opens a socket that receives messages from the kernel only. The socket does not report an overrun, because a
 * report would stop delivery until the socket is empty. *absent: this kernel has no NETLINK_NETFILTER, and the
 * socket is a placeholder. Returns a descriptor, or -errno.
 */
int netlink_open(bool *absent);

/* Sends a NOOP that the kernel acknowledges, which makes the socket readable once. Needs no capability.
 * Async-signal-safe. 0 or -errno. */
int netlink_send_noop(int fd, uint32_t seq);

/* Sets the receive buffer to this size, as far as the kernel permits. 0: no change. */
void netlink_set_receive_buffer(int fd, uint32_t bytes);

/* Memory used by the messages that wait in the socket. -1: not known. */
int64_t netlink_backlog(int fd);

#endif
