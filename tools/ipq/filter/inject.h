/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packets of our own: answers to rejected packets, and copies. They are sent by raw sockets, and pass the hooks
 * OUTPUT and POSTROUTING, where our own rules may queue them: then they are recognised and accepted. Any thread may
 * call these functions.
 */
#ifndef IPQ_FILTER_INJECT_H
#define IPQ_FILTER_INJECT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ipq.h>

#define INJECT_WAYS 16 /* packets with the same slot that may be in flight at the same time */
#define INJECT_SLOTS (256 * INJECT_WAYS)

struct injector {
	int ipv4, ipv6; /* raw sockets; -1: none */
	uint64_t key;
	_Atomic uint64_t sent, failed;
	_Atomic uint32_t expected; /* packets of ours that may still arrive */
	pthread_mutex_t lock;	   /* of slot */
	struct inject_slot {
		uint64_t hash;
		int64_t until; /* ns, CLOCK_MONOTONIC */
		int turns;     /* how often the packet will still arrive */
	} slot[INJECT_SLOTS];
};

/* Initializes a structure of zeros. */
void inject_init(struct injector *in);

/* Opens the sockets. Call before privileges are given up. 0 or -errno: then none of them is open. */
int inject_open(struct injector *in);
void inject_close(struct injector *in);

/*
 * Sends a packet that begins with its IP header; it may be changed here. It will arrive in our queues `turns` times.
 * device: index of the interface for link-local addresses, or 0.
 */
bool inject_send(struct injector *in, uint8_t *packet, size_t len, uint32_t device, int turns);

bool inject_find(struct injector *in, const struct ipq_packet *packet);

/* Is this a packet of ours that is expected? */
static inline bool inject_is_own(struct injector *in, const struct ipq_packet *packet)
{
	return atomic_load_explicit(&in->expected, memory_order_relaxed) != 0 && inject_find(in, packet);
}

/* The source address, of 4 or 16 bytes, that this machine uses towards `destination`. False: there is no route. */
bool inject_own_address(const uint8_t *destination, size_t len, uint8_t own[16]);

#endif
