/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libipq: decide in a program about packets that a firewall rule queues. This is the API of 2001, unchanged.
 *
 *	#include <linux/netfilter.h>
 *	#include <libipq.h>
 *
 *	int main(void)
 *	{
 *		static unsigned char buf[65536 + 128];
 *		struct ipq_handle *h = ipq_create_handle(0, PF_INET);
 *
 *		if (h == NULL || ipq_set_mode(h, IPQ_COPY_PACKET, 0) < 0)
 *			return ipq_perror("accept"), 1;
 *		while (ipq_read(h, buf, sizeof(buf), 0) > 0)
 *			if (ipq_message_type(buf) == IPQM_PACKET)
 *				ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
 *		return ipq_perror("accept"), 1;
 *	}
 *
 *	cc accept.c -lipq && iptables -A INPUT -p icmp -j QUEUE && ./a.out
 *
 * Packets come from the kernel's nfnetlink_queue, or from the source that IPQ_SOURCE in the environment names (see
 * ip_queue(7)), in ip_queue's format. New programs should use <ipq.h>.
 *
 * Threads: any thread may make any call at any time, also on the same handle, unless the handle batches
 * (IPQ_CTL_BATCH); then one thread at a time may use it. Each thread has its own last error. A call that succeeds does
 * not change errno. Man pages: libipq(3) and one for each call.
 */
#ifndef _LIBIPQ_H
#define _LIBIPQ_H

#ifndef _LINUX_IF_H
#include <net/if.h> /* must precede any kernel header, see ip_queue.h */
#endif
#include <errno.h>
#include <unistd.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <asm/types.h>
#include <linux/netlink.h>

#include <linux/netfilter_ipv4/ip_queue.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

typedef unsigned long ipq_id_t;

/* Created by ipq_create_handle only. fd may be polled for reading; SO_RCVBUF and O_NONBLOCK may be set on it. */
struct ipq_handle {
	int fd;
	uint8_t blocking;
	struct sockaddr_nl local;
	struct sockaddr_nl peer;
};

/*
 * Open and close.
 *
 * ipq_create_handle: flags is ignored (0); protocol is PF_INET or PF_INET6. This does not take the queue yet. NULL on
 * failure. ipq_destroy_handle frees the handle; the kernel drops packets without a verdict. It returns 0; NULL is
 * allowed.
 */
struct ipq_handle *ipq_create_handle(uint32_t flags, uint32_t protocol);
int ipq_destroy_handle(struct ipq_handle *h);

/*
 * Takes the queue and sets the copy mode. mode is IPQ_COPY_NONE, IPQ_COPY_META or IPQ_COPY_PACKET; range is
 * the maximum number of payload bytes (IPQ_COPY_PACKET only), 0 for all, at most 65535. Returns > 0 on
 * success, or -1 with errno: EPERM (no CAP_NET_ADMIN), EBUSY (another program owns the queue), ECONNREFUSED
 * (the kernel has no nfnetlink_queue).
 */
int ipq_set_mode(const struct ipq_handle *h, uint8_t mode, size_t range);

/*
 * Reads one message into buf. timeout is in microseconds: 0 waits forever, < 0 does not wait. Returns the length of the
 * message; 0 on timeout, or on a signal during a timeout (errno EINTR); -1 on failure. len must be at least
 * sizeof(struct nlmsgerr). A payload that does not fit is truncated.
 */
ssize_t ipq_read(const struct ipq_handle *h, unsigned char *buf, size_t len, int timeout);

/* The type of the message in buf: IPQM_PACKET, or NLMSG_ERROR for a refused request. Pointers refer to buf. */
int ipq_message_type(const unsigned char *buf);
ipq_packet_msg_t *ipq_get_packet(const unsigned char *buf);
int ipq_get_msgerr(const unsigned char *buf); /* positive errno */

/*
 * Sends a verdict: NF_ACCEPT, NF_DROP, NF_STOLEN, NF_QUEUE, NF_REPEAT or NF_STOP of <linux/netfilter.h>. To
 * replace the packet, pass in buf and data_len its new contents, from the network header on, with correct
 * checksums; otherwise pass NULL and 0. Returns > 0 if the request was sent. If the request is refused
 * (ENOENT: no such packet), ipq_read returns an NLMSG_ERROR message.
 */
int ipq_set_verdict(const struct ipq_handle *h, ipq_id_t id, unsigned int verdict, size_t data_len,
		    unsigned char *buf);

/* Additional settings, see ipq_ctl(3). 0 or more on success, -1 with errno on failure. */
int ipq_ctl(const struct ipq_handle *h, int request, ...);

enum {
	IPQ_CTL_QUEUE_LENGTH = 0x1001, /* unsigned int: packets that may wait in the kernel; default 1024 */
	IPQ_CTL_RECEIVE_BUFFER,	       /* unsigned int: receive buffer in bytes; returns the size in force */
	IPQ_CTL_FAIL_OPEN,	       /* int: 1: accept packets that find the queue full; 0: drop them */
	IPQ_CTL_BATCH,	/* unsigned int: packets per system call, like IPQ_BATCH in the environment; then only
			 * one thread at a time may use the handle. 0 or 1: strict */
	IPQ_CTL_STATS,	/* struct ipq_ctl_stats *: filled in */
	IPQ_CTL_EXPLAIN /* const char **: cause and remedy of the last failure of ipq_set_mode */
};

struct ipq_ctl_stats {
	size_t size;		/* in: sizeof(struct ipq_ctl_stats) */
	uint64_t packets;	/* packets that the program has read */
	uint64_t verdicts;	/* verdicts that were sent */
	uint64_t refused;	/* requests that the kernel refused */
	uint64_t foreign;	/* packets of another address family, dropped by the library */
	uint64_t lost;		/* packets dropped by the kernel: the socket's buffer was full */
	uint64_t queue_dropped; /* packets dropped by the kernel: too many were waiting */
	uint64_t waiting;	/* packets without a verdict */
};

/*
 * Returns the text of the last error of this thread. ipq_perror prints it on stderr, after s (or "ERROR" if s is
 * NULL).
 */
char *ipq_errstr(void);
void ipq_perror(const char *s);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
