/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packets that this process sends: answers to rejected packets, and copies. It sends them by raw sockets. They pass
 * the hooks OUTPUT and POSTROUTING, where our own rules may queue them: then they are recognised and accepted. Any
 * thread may call these functions.
 */
#ifndef IPQ_FILTER_INJECT_H
#define IPQ_FILTER_INJECT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ipq.h>

#define INJECT_WAYS 16 /* maximum number of packets with the same slot that are in flight at the same time */
#define INJECT_SLOTS (256 * INJECT_WAYS)

struct injector {
	int ipv4, ipv6; /* raw sockets; -1: none */
	uint64_t key;
	_Atomic uint64_t sent, failed;
	_Atomic uint32_t expected; /* number of our packets that may still arrive */
	pthread_mutex_t lock;	   /* protects `slot` */
	struct inject_slot {
		uint64_t hash;
		int64_t until; /* expiry time in ns, CLOCK_MONOTONIC */
		int turns;     /* how many more times the packet will arrive */
	} slot[INJECT_SLOTS];
};

/* Initializes a structure of zeros. */
void inject_init(struct injector *in);

/* Opens the sockets. Call it before privileges are dropped. 0; or -errno: then no socket is open. */
int inject_open(struct injector *in);
void inject_close(struct injector *in);

/*
 * Sends a packet that begins with its IP header. This function may change the packet. The packet will arrive in our
 * queues `turns` times. device: index of the interface for link-local addresses, or 0.
 */
bool inject_send(struct injector *in, uint8_t *packet, size_t len, uint32_t device, int turns);

bool inject_find(struct injector *in, const struct ipq_packet *packet);

/* Whether the packet is one that we sent and whose arrival is expected. */
static inline bool inject_is_own(struct injector *in, const struct ipq_packet *packet)
{
	return atomic_load_explicit(&in->expected, memory_order_relaxed) != 0 && inject_find(in, packet);
}

/*
 * Finds the source address, of 4 or 16 bytes, from which this machine sends to `destination`. False: there is no
 * route.
 */
bool inject_own_address(const uint8_t *destination, size_t len, uint8_t own[16]);

#endif
