/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A private network namespace for tests, so that they do not touch the machine's own network. */
#ifndef IPQ_COMMON_TEST_NETNS_H
#define IPQ_COMMON_TEST_NETNS_H

/*
 * Moves the calling process, which must have one thread, into a new network namespace (and a user namespace if
 * it lacks the privilege), with loopback up. Use it in a child: the process cannot return. 0 or -errno.
 */
int test_netns_enter(void);

/* Kinds of rules that queue packets. */
enum method {
	METHOD_LEGACY_QUEUE,
	METHOD_LEGACY_NFQUEUE,
	METHOD_NFT_QUEUE,   /* iptables-nft -j QUEUE */
	METHOD_NFT_NFQUEUE, /* iptables-nft -j NFQUEUE */
	METHOD_NFTABLES,    /* nft ... queue */
	METHODS
};

/* Adds a rule of this kind for outgoing UDP to port 9, with queue 0. Returns the tool's exit status, or -errno. */
int test_netns_try(enum method method);

/*
 * Tries all kinds in a child process in a new network namespace. Stores the result of test_netns_try() in
 * result[method]. 0 or -errno.
 */
int test_netns_try_all(int result[METHODS]);

/*
 * The names of a method: the tool, such as "iptables-legacy"; and the tool with its target, such as
 * "iptables-legacy -j QUEUE".
 */
const char *method_tool(enum method method);
const char *method_rule(enum method method);

#endif
