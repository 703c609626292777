/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A network of one's own, to try things in: the machine's own network is never touched. */
#ifndef IPQ_COMMON_TEST_NETNS_H
#define IPQ_COMMON_TEST_NETNS_H

/*
 * Moves the calling process, which must have one thread, into a new network namespace (and a user
 * namespace where it lacks the right), with loopback up. Meant for a child: there is no way back.
 * 0 or -errno.
 */
int test_netns_enter(void);

/* Ways to hand packets to a queue. */
enum method {
	METHOD_LEGACY_QUEUE,
	METHOD_LEGACY_NFQUEUE,
	METHOD_NFT_QUEUE,   /* iptables-nft -j QUEUE */
	METHOD_NFT_NFQUEUE, /* iptables-nft -j NFQUEUE */
	METHOD_NFTABLES,    /* nft ... queue */
	METHODS
};

/* Sets a rule in this way for UDP to port 9 on its way out, queue 0. The tool's exit status, or -errno. */
int test_netns_try(enum method method);

/* Tries all of them in a child with a network of its own. result[way]: as private_try. 0 or -errno. */
int test_netns_try_all(int result[METHODS]);

/* "iptables-legacy"; "iptables-legacy -j QUEUE". */
const char *method_tool(enum method method);
const char *method_rule(enum method method);

#endif
