/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks the kernel about nfnetlink_queue, without changing anything. */
#ifndef IPQ_FIREWALL_PROBE_H
#define IPQ_FIREWALL_PROBE_H

#include <stdbool.h>
#include <stdint.h>

enum probe_kernel {
	PROBE_PRESENT,
	PROBE_NO_QUEUE,	    /* this kernel has no nfnetlink_queue, or its module is not loaded */
	PROBE_NO_NFNETLINK, /* this kernel has no nfnetlink */
	PROBE_FORBIDDEN	    /* the process has no CAP_NET_ADMIN, so the kernel does not answer */
};

/* Whether this kernel has nfnetlink_queue. */
enum probe_kernel probe_kernel(void);

/*
 * Finds the queues with an owner. Of the queues first to last, owned[i] becomes 1 if a program owns the queue, else
 * 0. 0, or -errno: -EPERM without CAP_NET_ADMIN, -EOPNOTSUPP without nfnetlink_queue. Checking all 65536 queues
 * takes a few hundredths of a second.
 */
int probe_queues(uint8_t *owned, uint32_t first, uint32_t last);

/*
 * Whether a process has bound this queue (log: this NFLOG group). 1, 0, or -errno: unknown. Works in every process
 * and user namespace with CAP_NET_ADMIN over this network namespace.
 */
int probe_number(bool log, uint16_t number);

/*
 * Binds a queue or group and becomes its owner. Returns a descriptor; closing it gives the number up. -EBUSY, or
 * another -errno.
 */
int probe_bind(bool log, uint16_t number);

/*
 * A number that changes when the rules change. For nftables, including iptables-nft, it is the generation; for the
 * legacy table mangle, it depends on the table's size and layout. 0: unknown.
 */
uint64_t probe_generation(bool legacy, bool ipv6);

/* Stores the port ids of the netfilter netlink sockets of this network namespace. Returns their number, or -errno. */
int netfilter_sockets(uint32_t *port, unsigned max);

#endif
