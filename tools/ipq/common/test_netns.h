/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A network of one's own, to try things in: the machine's own network is never touched. */
#ifndef PRIVATE_H
#define PRIVATE_H

/*
 * Moves the calling process, which must have one thread, into a new network namespace (and a user
 * namespace where it lacks the right), with loopback up. Meant for a child: there is no way back.
 * 0 or -errno.
 */
int private_enter(void);

/* Ways to hand packets to a queue. */
enum way {
	WAY_LEGACY_QUEUE,
	WAY_LEGACY_NFQUEUE,
	WAY_NFT_QUEUE,	 /* iptables-nft -j QUEUE */
	WAY_NFT_NFQUEUE, /* iptables-nft -j NFQUEUE */
	WAY_NFTABLES,	 /* nft ... queue */
	WAYS
};

/* Sets a rule in this way for UDP to port 9 on its way out, queue 0. The tool's exit status, or -errno. */
int private_try(enum way way);

/* Tries all of them in a child with a network of its own. result[way]: as private_try. 0 or -errno. */
int private_try_all(int result[WAYS]);

/* "iptables-legacy"; "iptables-legacy -j QUEUE". */
const char *way_tool(enum way way);
const char *way_rule(enum way way);

#endif
