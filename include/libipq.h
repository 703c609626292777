/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libipq: a program decides what becomes of packets. The API of 2001, unchanged.
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
 * Packets come from today's nfnetlink_queue (or whatever IPQ_SOURCE in the environment names, see
 * ip_queue(7)) in ip_queue's own format. New programs are better served by <ipq.h>.
 *
 * Threads: every call may be made from any thread at any time, on one handle too, unless it batches
 * (IPQ_CTL_BATCH): then by one thread at a time. The last error is kept for each thread. A call that succeeds
 * leaves errno alone. Pages: libipq(3) and one for each call.
 */
#ifndef _LIBIPQ_H
#define _LIBIPQ_H

#ifndef _LINUX_IF_H
#include <net/if.h> /* before any kernel header, see ip_queue.h */
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

/* Made by ipq_create_handle only. Poll fd for reading; set its SO_RCVBUF and O_NONBLOCK as you like. */
struct ipq_handle {
	int fd;
	uint8_t blocking;
	struct sockaddr_nl local;
	struct sockaddr_nl peer;
};

/*
 * Open and close.
 *
 * ipq_create_handle: flags is ignored (0); protocol is PF_INET or PF_INET6. Nothing is asked of the
 * kernel's queue yet. NULL on failure; free the handle with ipq_destroy_handle, which takes NULL too,
 * drops what still waits and returns 0.
 */
struct ipq_handle *ipq_create_handle(uint32_t flags, uint32_t protocol);
int ipq_destroy_handle(struct ipq_handle *h);

/*
 * Ready: take the queue and say what to copy. mode is IPQ_COPY_NONE, IPQ_COPY_META or
 * IPQ_COPY_PACKET; range is payload bytes (IPQ_COPY_PACKET only): 0 for all, 65535 at most. > 0 on
 * success. -1 with errno: EPERM (no CAP_NET_ADMIN), EBUSY (another program has the queue),
 * ECONNREFUSED (the kernel has no queue handler).
 */
int ipq_set_mode(const struct ipq_handle *h, uint8_t mode, size_t range);

/*
 * One message into buf. timeout is in microseconds: 0 waits for ever, < 0 does not wait. Returns the
 * message's length; 0 after the timeout, or on a signal while a timeout runs (errno EINTR); -1 on
 * failure. len is at least sizeof(struct nlmsgerr); a payload that does not fit is shortened.
 */
ssize_t ipq_read(const struct ipq_handle *h, unsigned char *buf, size_t len, int timeout);

/* What is in buf: IPQM_PACKET, or NLMSG_ERROR for a request that was refused. Pointers are into buf. */
int ipq_message_type(const unsigned char *buf);
ipq_packet_msg_t *ipq_get_packet(const unsigned char *buf);
int ipq_get_msgerr(const unsigned char *buf); /* positive errno */

/*
 * Decide: NF_ACCEPT, NF_DROP, NF_STOLEN, NF_QUEUE, NF_REPEAT or NF_STOP of <linux/netfilter.h>. buf with data_len
 * bytes takes the packet's place, from the network header on and with correct checksums; 0 and NULL
 * leave it as it is. > 0 when the request was sent; a refusal (ENOENT: no such packet) is read as an
 * NLMSG_ERROR message.
 */
int ipq_set_verdict(const struct ipq_handle *h, ipq_id_t id, unsigned int verdict, size_t data_len,
		    unsigned char *buf);

/* Settings that libipq never had, see ipq_ctl(3). 0 or more on success, -1 with errno on failure. */
int ipq_ctl(const struct ipq_handle *h, int request, ...);

enum {
	IPQ_CTL_QUEUE_LENGTH = 0x1001, /* unsigned int: packets that may wait in the kernel (1024) */
	IPQ_CTL_RECEIVE_BUFFER,	       /* unsigned int: bytes; what the kernel granted is returned */
	IPQ_CTL_FAIL_OPEN,	       /* int: 1: a full queue lets packets through; 0: drops them */
	IPQ_CTL_BATCH,	/* unsigned int: packets a system call, as IPQ_BATCH in the environment has it;
	                                * from then on for one thread at a time. 0 or 1: strict */
	IPQ_CTL_STATS,	/* struct ipq_ctl_stats *: filled */
	IPQ_CTL_EXPLAIN /* const char **: why ipq_set_mode failed last: cause and remedy */
};

struct ipq_ctl_stats {
	size_t size;		/* in: sizeof(struct ipq_ctl_stats) */
	uint64_t packets;	/* read by the program */
	uint64_t verdicts;	/* sent */
	uint64_t refused;	/* requests that the kernel refused */
	uint64_t foreign;	/* dropped here: another address family */
	uint64_t lost;		/* dropped by the kernel: the socket's buffer was full */
	uint64_t queue_dropped; /* dropped by the kernel: too many were waiting */
	uint64_t waiting;	/* without a verdict now */
};

/* The last error of this thread, in words; and on stderr, after s (or "ERROR" when s is NULL). */
char *ipq_errstr(void);
void ipq_perror(const char *s);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
