/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The messages between ip_queue and the program that owns the queue, unchanged since Linux 2.4. Linux 3.5 removed this
 * file together with ip_queue; programs that include it find it here. The layout is frozen: native byte order, native
 * long and size_t.
 *
 * Every message is a netlink message: a struct nlmsghdr with one of the IPQM_ types, then one of
 * the structures below.
 */
#ifndef _IP_QUEUE_H
#define _IP_QUEUE_H

#include <stddef.h>
#include <sys/types.h>
#ifndef _LINUX_IF_H /* <net/if.h> cannot follow <linux/if.h> */
#include <net/if.h> /* before any kernel header, so that <linux/if.h> can follow */
#endif
#include <linux/types.h>
#include <linux/netlink.h>
#ifndef IFNAMSIZ /* <net/if.h> does not define it under -std=c89 and -std=c99 */
#define IFNAMSIZ 16
#endif

/* Netlink families of ip_queue and ip6_queue. */
#ifndef NETLINK_FIREWALL
#define NETLINK_FIREWALL 3
#endif
#ifndef NETLINK_IP6_FW
#define NETLINK_IP6_FW 13
#endif

/* A packet, kernel to program (IPQM_PACKET). Sizes: 96 bytes (LP64), 72 bytes (ILP32). */
typedef struct ipq_packet_msg {
	unsigned long packet_id; /* identifies the packet in the verdict */
	unsigned long mark;	 /* netfilter mark */
	long timestamp_sec; /* time of arrival; seconds and microseconds are 0 for a packet of this host */
	long timestamp_usec;
	unsigned int hook;	    /* NF_INET_PRE_ROUTING (0) to NF_INET_POST_ROUTING (4) */
	char indev_name[IFNAMSIZ];  /* "" if the packet has no input device */
	char outdev_name[IFNAMSIZ]; /* "" if the packet has no output device yet */
	__be16 hw_protocol;	    /* EtherType, network byte order; 0 at NF_INET_LOCAL_OUT */
	unsigned short hw_type;	    /* ARPHRD_ type of the incoming device */
	unsigned char hw_addrlen;   /* valid bytes of hw_addr */
	unsigned char hw_addr[8];   /* link-layer source address */
	size_t data_len;	    /* bytes of payload[] */
	unsigned char payload[0];   /* bytes from the network header on; IPQ_COPY_PACKET only */
} ipq_packet_msg_t;

/* Program to kernel (IPQM_MODE): takes the queue and sets the copy mode. 16 bytes (LP64), 8 bytes (ILP32). */
typedef struct ipq_mode_msg {
	unsigned char value; /* IPQ_COPY_ */
	size_t range;	     /* maximum payload bytes, IPQ_COPY_PACKET only; 0: all */
} ipq_mode_msg_t;

/* Program to kernel (IPQM_VERDICT): decides one packet. 24 bytes (LP64), 12 (ILP32). */
typedef struct ipq_verdict_msg {
	unsigned int value;	  /* NF_ACCEPT, NF_DROP, ... */
	unsigned long id;	  /* packet_id of the packet */
	size_t data_len;	  /* bytes of payload[]; 0: the packet is unchanged */
	unsigned char payload[0]; /* the new contents of the packet */
} ipq_verdict_msg_t;

/* A request of the program: a verdict or a mode. Requests of both kinds have the size of this union. */
typedef struct ipq_peer_msg {
	union {
		ipq_verdict_msg_t verdict;
		ipq_mode_msg_t mode;
	} msg;
} ipq_peer_msg_t;

enum {
	IPQ_COPY_NONE,	/* queue no packets and drop all of them: the state before the first request */
	IPQ_COPY_META,	/* copy everything except the payload */
	IPQ_COPY_PACKET /* copy the payload, too */
};
#define IPQ_COPY_MAX IPQ_COPY_PACKET

#define IPQM_BASE 0x10
#define IPQM_MODE (IPQM_BASE + 1)
#define IPQM_VERDICT (IPQM_BASE + 2)
#define IPQM_PACKET (IPQM_BASE + 3)
#define IPQM_MAX (IPQM_BASE + 4)

#endif
