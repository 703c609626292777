/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Questions to the kernel's nfnetlink_queue that change nothing. */
#ifndef IPQ_FIREWALL_PROBE_H
#define IPQ_FIREWALL_PROBE_H

#include <stdbool.h>
#include <stdint.h>

enum probe_kernel {
	PROBE_PRESENT,
	PROBE_NO_QUEUE,	    /* no nfnetlink_queue, or its module is not loaded */
	PROBE_NO_NFNETLINK, /* not even nfnetlink */
	PROBE_FORBIDDEN	    /* no CAP_NET_ADMIN: the kernel does not answer */
};

/* Does this kernel have it? */
enum probe_kernel probe_kernel(void);

/*
 * owned[i] becomes 1 for every queue of first to last that a program owns, else 0. 0, or -errno: -EPERM
 * without CAP_NET_ADMIN, -EOPNOTSUPP where there is no nfnetlink_queue. All 65536 take a few hundredths
 * of a second.
 */
int probe_queues(uint8_t *owned, uint32_t first, uint32_t last);

/*
 * Is this queue (log: this NFLOG group) bound by a process? 1, 0, or -errno: unknown. Works in every process and user
 * namespace with CAP_NET_ADMIN over this network namespace.
 */
int probe_number(bool log, uint16_t number);

/* Binds a queue or group as its owner. A descriptor; closing it gives the number up. -EBUSY, or another -errno. */
int probe_bind(bool log, uint16_t number);

/*
 * A number that changes when the rules change: nftables' generation, which includes iptables-nft, or the size and
 * layout of the legacy table mangle. 0: unknown.
 */
uint64_t probe_generation(bool legacy, bool ipv6);

/* Stores the port ids of the netfilter netlink sockets of this network namespace. Returns their number, or -errno. */
int netfilter_sockets(uint32_t *port, unsigned max);

#endif
