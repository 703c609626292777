/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ipq: user-space packet queueing. A firewall rule queues packets in the kernel, the program receives them in
 * batches and gives a verdict for each, and the library sends the verdicts to the kernel in batches.
 *
 *	#include <ipq.h>
 *
 *	int main(void)
 *	{
 *		struct ipq_packet packet[64];
 *		struct ipq_queue *q;
 *		int n;
 *
 *		if (ipq_queue_open(&q, "nfqueue:0", NULL) < 0)
 *			return 1;
 *		while ((n = ipq_queue_recv(q, packet, 64, IPQ_FOREVER)) >= 0)
 *			for (int i = 0; i < n; i++)
 *				ipq_accept(q, &packet[i]);
 *		ipq_queue_close(q);
 *		return 1;
 *	}
 *
 * Errors are returned as -errno; ipq_queue_error() returns a text with cause and remedy. All numbers are in
 * host byte order unless a comment says otherwise. A queue is used by one thread at a time; only
 * ipq_queue_wake() may be called from any thread and from signal handlers. The library never prints or exits.
 * Guide: ipq(7); each call has a man page.
 */
#ifndef IPQ_H
#define IPQ_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct ipq_queue; /* opaque */

#define IPQ_FOREVER (-1) /* a timeout */

/* ---- opening ---------------------------------------------------------------------------------- */

/*
 * Flags of struct ipq_options. If the kernel does not support a flag, open fails with -EOPNOTSUPP, and the error text
 * names the flag.
 */
enum ipq_option_flags {
	IPQ_O_META_ONLY = 1 << 0, /* no payload is copied */
	/* accept packets that find the queue or the receive buffer full, instead of dropping them */
	IPQ_O_FAIL_OPEN = 1 << 1,
	IPQ_O_SEGMENT = 1 << 2,		 /* the kernel splits large (GSO) packets and completes checksums */
	IPQ_O_CONNTRACK = 1 << 3,	 /* attach conntrack id, state, mark and tuples */
	IPQ_O_OWNER = 1 << 4,		 /* attach uid and gid of the socket that sent the packet */
	IPQ_O_SECURITY_CONTEXT = 1 << 5, /* attach the security context of that socket */
	IPQ_O_TIMESTAMP = 1 << 6,   /* attach arrival times (a small cost for every packet of the host) */
	IPQ_O_BEST_EFFORT = 1 << 7, /* omit unsupported flags instead of failing; see ipq_queue_flags() */
	IPQ_O_FLOWS = 1 << 8 /* end flow verdicts of earlier runs at open, not at the first flow verdict */
};

/* A member that is 0 has its default. The struct begins with its size for forward and backward ABI compatibility. */
struct ipq_options {
	size_t size;		 /* sizeof(struct ipq_options) */
	uint32_t flags;		 /* IPQ_O_* flags */
	uint32_t copy_range;	 /* maximum payload bytes; 0: the whole packet */
	uint32_t queue_length;	 /* maximum number of packets waiting in the kernel; 0: 8192 */
	uint32_t receive_buffer; /* bytes; 0: enough for queue_length */
	uint32_t spin_usec;	 /* microseconds to poll before sleeping, as long as polling helps; 0: none */
	uint32_t reserved;	 /* must be 0 */
	char *error;		 /* buffer for the error text if open fails, always NUL-terminated; or NULL */
	size_t error_size;	 /* size of that buffer */
	/* Since 0.2.0: settings of ipq_accept_flow() and the related calls. */
	uint32_t flow_mask; /* the bits of packet marks and connection marks that are used; 0: 0xff000000 */
	uint32_t flow_mark; /* value of an accepted flow in these bits; 0: 0x41000000 */
	uint32_t flow_max;  /* maximum number of flows that the library remembers; 0: 65536 */
	uint32_t reserved2; /* must be 0 */
};

/*
 * Opens a source of packets, ready to receive. source is
 *
 * "nfqueue:N"          the kernel's queue number N (needs CAP_NET_ADMIN in the network namespace)
 * "nflog:N[,batch=M]"  copies of the packets that rules log to NFLOG group N (CAP_NET_ADMIN as above). Packets
 *                      never wait: verdicts are counted and have no effect. The kernel sends up to M copies
 *                      together (default 32), at most 10 ms after the first
 * "pcap:IN[,OUT]"      a capture file; accepted packets are written to OUT
 *
 * or NULL for "nfqueue:0". options may be NULL. Does not block, unless a capture file is a pipe without data.
 * Returns 0, or -errno with *q = NULL:
 * -EPERM               the process has no CAP_NET_ADMIN
 * -EBUSY               another program owns the queue or group
 * -ECONNREFUSED        this kernel has no nfnetlink_queue or nfnetlink_log
 * -EOPNOTSUPP          this kernel does not support one of the flags
 * -EINVAL              the name or an option is wrong
 * -ENOMEM              no memory
 * or the error of opening a file.
 */
int ipq_queue_open(struct ipq_queue **q, const char *source, const struct ipq_options *options);

/* Sends pending verdicts and closes. The kernel drops packets without a verdict. NULL is allowed. */
void ipq_queue_close(struct ipq_queue *q);

/* Text of the last error of this queue: cause and remedy. Valid until the next call on q; never NULL. */
const char *ipq_queue_error(const struct ipq_queue *q);

/* The IPQ_O_ flags in force: those requested, without those that IPQ_O_BEST_EFFORT omitted. */
uint32_t ipq_queue_flags(const struct ipq_queue *q);

/* ---- packets ---------------------------------------------------------------------------------- */

/* Bits of ipq_packet.present: the fields that are set. The content of other fields is unspecified. */
enum ipq_packet_fields {
	IPQ_HAS_MARK = 1 << 0,
	IPQ_HAS_TIMESTAMP = 1 << 1,
	IPQ_HAS_INDEV = 1 << 2,
	IPQ_HAS_OUTDEV = 1 << 3,
	IPQ_HAS_PHYSINDEV = 1 << 4,
	IPQ_HAS_PHYSOUTDEV = 1 << 5,
	IPQ_HAS_HWADDR = 1 << 6,
	IPQ_HAS_PAYLOAD = 1 << 7,
	IPQ_HAS_UID = 1 << 8,
	IPQ_HAS_GID = 1 << 9,
	IPQ_HAS_SECURITY_CONTEXT = 1 << 10,
	IPQ_HAS_VLAN = 1 << 11,
	IPQ_HAS_LINK_HEADER = 1 << 12,
	IPQ_HAS_PRIORITY = 1 << 13,
	IPQ_HAS_CGROUP = 1 << 14,
	IPQ_HAS_CONNTRACK = 1 << 15,
	IPQ_HAS_CONNTRACK_INFO = 1 << 16,
	IPQ_HAS_EXPECTATION = 1 << 17
};

/* Bits of ipq_packet.flags. */
enum ipq_packet_flags {
	/* partial checksum, completed by hardware: see ipq_replace() */
	IPQ_PACKET_CHECKSUM_NOT_READY = 1 << 0,
	IPQ_PACKET_GSO = 1 << 1,		   /* the packet may exceed the MTU and is split later */
	IPQ_PACKET_CHECKSUM_NOT_VERIFIED = 1 << 2, /* the checksum of this received packet was not verified */
	IPQ_PACKET_TRUNCATED = 1 << 3 /* payload is only the first payload_len of full_len bytes */
};

/*
 * A packet. Pointers refer to memory owned by the queue and are valid until the next ipq_queue_recv() or
 * ipq_queue_close(); ipq_packet_keep() makes a copy that stays valid.
 */
struct ipq_packet {
	uint32_t present;     /* IPQ_HAS_* bits */
	uint32_t flags;	      /* IPQ_PACKET_* bits */
	uint32_t id;	      /* identifies the packet in verdicts; consecutive in a queue, wraps */
	uint8_t family;	      /* AF_INET, AF_INET6, AF_BRIDGE, ... (NFPROTO_ of the hook) */
	uint8_t hook;	      /* NF_INET_PRE_ROUTING (0) ... NF_INET_POST_ROUTING (4) */
	uint16_t hw_protocol; /* EtherType; 0 at NF_INET_LOCAL_OUT */
	uint8_t *payload;     /* starts at the network header; send changed bytes with ipq_replace() */
	uint32_t payload_len; /* bytes at payload */
	uint32_t full_len;    /* length of the packet, even if the payload is truncated */
	int64_t timestamp;    /* arrival, nanoseconds since 1970 UTC */
	uint32_t mark;
	uint32_t indev, outdev;		/* interface indexes, see ipq_queue_interface() */
	uint32_t physindev, physoutdev; /* bridge ports */
	uint32_t uid, gid;
	uint32_t priority;
	uint32_t cgroup;     /* net_cls class id */
	uint16_t vlan_proto; /* bridge family: EtherType of the tag, 0x8100 or 0x88a8 */
	uint16_t vlan_tci;   /* priority (3 bits), drop eligible (1), VLAN id (12) */
	uint8_t hw_addr[8];  /* link-layer source address */
	uint8_t hw_addr_len;
	uint8_t reserved1;
	uint16_t link_header_len;
	const uint8_t *link_header;   /* bridge family: the whole header, without the VLAN tag */
	const char *security_context; /* not NUL-terminated */
	uint16_t security_context_len;
	uint16_t conntrack_len; /* bytes at `conntrack`; ipq_packet_conntrack() parses them */
	/* IP_CT_ESTABLISHED (0), IP_CT_RELATED (1), IP_CT_NEW (2), + 3 for replies */
	uint32_t conntrack_info;
	const void *conntrack;	 /* netlink attributes CTA_* as the kernel sent them */
	const void *expectation; /* netlink attributes CTA_EXPECT_*; no kernel up to 6.18 sends them */
	uint16_t expectation_len;
	uint16_t reserved2[3];
	uint64_t reserved3[6];
};

/*
 * Sends pending verdicts, then receives up to max packets (at most 64) into packet[]. timeout_ms:
 * milliseconds to wait, IPQ_FOREVER, or 0: do not block. An overrun of the socket is not an error: the lost packets are
 * counted, see ipq_queue_stats(). Returns the number of packets, 0 on timeout, or
 * -EINTR       a signal arrived
 * -ECANCELED   ipq_queue_wake() was called
 * -ENODATA     the capture file has ended
 * -EPERM       the process gave up CAP_NET_ADMIN
 * -EINVAL      max is 0
 * or another -errno if the source failed.
 */
int ipq_queue_recv(struct ipq_queue *q, struct ipq_packet *packet, unsigned max, int timeout_ms);

/*
 * Copies a packet. The copy stays valid after the next receive, so the packet can be decided at any later
 * time and in any order. Returns NULL if there is no memory.
 */
struct ipq_packet *ipq_packet_keep(const struct ipq_packet *packet);
void ipq_packet_free(struct ipq_packet *kept);

/*
 * Gives the memory of the packets received so far to the caller, who frees it with munmap(*memory, *size).
 * The packets of the last receive stay valid until then, also after ipq_queue_close(). The queue continues
 * with new memory. This call is for language bindings whose users may hold a view of a packet for any time.
 * It costs a system call, but no copy. It sends pending verdicts first. Returns 0, or -errno of
 * ipq_queue_flush(), or -ENOMEM; after an error the memory still belongs to the queue.
 */
int ipq_queue_detach_memory(struct ipq_queue *q, void **memory, size_t *size);

/*
 * Name of an interface in the queue's network namespace, "" if unknown. Its ARPHRD_ type is stored in *type
 * unless type is NULL. Valid until the next call on q.
 */
const char *ipq_queue_interface(struct ipq_queue *q, uint32_t index, uint16_t *type);

struct ipq_tuple {
	uint8_t family;	      /* AF_INET, AF_INET6 */
	uint8_t protocol;     /* IPPROTO_* number */
	uint16_t source_port; /* port; or, for an ICMP query, its id */
	uint16_t destination_port;
	uint8_t icmp_type, icmp_code;
	uint8_t source[16], destination[16]; /* network byte order; 4 bytes for AF_INET */
};

struct ipq_conntrack {
	size_t size;			    /* set it to sizeof(struct ipq_conntrack) before the call */
	uint32_t present;		    /* IPQ_CT_HAS_* bits */
	uint32_t id, status, mark, timeout; /* timeout in seconds */
	uint16_t zone;
	uint8_t tcp_state;
	uint8_t reserved;
	struct ipq_tuple original, reply;
	uint8_t labels[16];
};

enum ipq_conntrack_fields {
	IPQ_CT_HAS_ID = 1 << 0,
	IPQ_CT_HAS_STATUS = 1 << 1,
	IPQ_CT_HAS_MARK = 1 << 2,
	IPQ_CT_HAS_TIMEOUT = 1 << 3,
	IPQ_CT_HAS_ZONE = 1 << 4,
	IPQ_CT_HAS_TCP_STATE = 1 << 5,
	IPQ_CT_HAS_ORIGINAL = 1 << 6,
	IPQ_CT_HAS_REPLY = 1 << 7,
	IPQ_CT_HAS_LABELS = 1 << 8
};

/* Reads a packet's conntrack entry. 0, -ENODATA (none attached), -EBADMSG (malformed), -EINVAL (size). */
int ipq_packet_conntrack(const struct ipq_packet *packet, struct ipq_conntrack *ct);

/* ---- verdicts --------------------------------------------------------------------------------- */

/*
 * Each call records the verdict for one packet: a received packet, or a copy from ipq_packet_keep(). Each
 * packet gets one verdict. The next ipq_queue_recv(), ipq_queue_flush() or ipq_queue_close() sends the
 * verdicts in the order of the calls. Returns 0, -ENOENT (the packet does not wait for a verdict) or -ENOMEM;
 * if so many verdicts are pending that the call sends them, also the errors of ipq_queue_flush(). If the
 * kernel refuses a verdict later, the library counts it as refused.
 */
int ipq_accept(struct ipq_queue *q, const struct ipq_packet *packet);
int ipq_drop(struct ipq_queue *q, const struct ipq_packet *packet);
/*
 * Accepts the packet with new content: len bytes that start at the network header, with correct lengths and
 * checksums (ipq_edit.h has calls for that). The bytes are copied, unless they lie in packet->payload. A
 * partial checksum (IPQ_PACKET_CHECKSUM_NOT_READY) is completed. Also returns -EMSGSIZE: more than 65531
 * bytes.
 */
int ipq_replace(struct ipq_queue *q, const struct ipq_packet *packet, const void *bytes, size_t len);

/* Bits of ipq_verdict.present. */
enum ipq_verdict_fields {
	IPQ_SET_MARK = 1 << 0,
	IPQ_SET_PRIORITY = 1 << 1,
	IPQ_SET_CONNTRACK_MARK = 1 << 2,
	IPQ_SET_CONNTRACK_LABELS = 1 << 3,
	IPQ_SET_VLAN = 1 << 4,
	IPQ_SET_PAYLOAD = 1 << 5
};

enum ipq_verdict_code {
	IPQ_DROP = 0,
	IPQ_ACCEPT = 1,
	IPQ_QUEUE = 3,	/* queue the packet to queue number ipq_verdict.queue */
	IPQ_REPEAT = 4, /* traverse the hook again; set a mark that the rule excludes, or it loops */
	IPQ_STOP = 5	/* accept the packet, and skip the remaining functions of this hook */
};

struct ipq_verdict {
	size_t size;	  /* sizeof(struct ipq_verdict) */
	uint32_t present; /* IPQ_SET_* bits */
	uint32_t code;	  /* IPQ_DROP ... */
	uint16_t queue;	  /* queue number for IPQ_QUEUE */
	uint16_t vlan_proto, vlan_tci;
	uint16_t reserved;
	uint32_t mark;
	uint32_t priority;
	/* mask: the bits of the connection mark to change; 0: all */
	uint32_t conntrack_mark, conntrack_mark_mask;
	uint8_t conntrack_labels[16];
	const void *payload;
	size_t payload_len;
};

/*
 * Gives any verdict, with all settings that the kernel can apply together with it. In addition to the errors above:
 * -EINVAL (code, present or size), -EOPNOTSUPP for settings that the kernel would ignore: a conntrack mark or
 * labels without IPQ_O_CONNTRACK in force, and the VLAN tag of a packet that is not of the bridge family.
 */
int ipq_decide(struct ipq_queue *q, const struct ipq_packet *packet, const struct ipq_verdict *verdict);

/* Sends pending verdicts now. 0 or -errno; verdicts that could not be sent stay pending. */
int ipq_queue_flush(struct ipq_queue *q);

/* ---- flows ------------------------------------------------------------------------------------ */

/*
 * A flow consists of all packets between two addresses and ports of one protocol, in both directions. For
 * ICMP, it consists of a query and its replies. A flow verdict decides the packet and the rest of its flow:
 * later packets are not returned to the program.
 *
 * The library remembers decided flows and gives their packets the verdict. This works with every source and without
 * firewall rules. With the rules that `ipq rules --flows` prints, the kernel keeps accepted flows: their packets are no
 * longer queued and cost nothing. ipq_flow_stats() reports who keeps the flows and why.
 *
 * A flow is forgotten after its timeout; after 180 seconds without a packet (TCP: 124 minutes) while the library keeps
 * it; when flow_max flows were used more recently; and when a TCP connection is opened again between the same ports.
 * Flows that the kernel keeps end with their connection. While the rules exist, packets of these flows also pass after
 * the program has ended, until the next run gives its first flow verdict with the same flow_mark, or sets IPQ_O_FLOWS.
 */

/* Who keeps the decided flows. */
enum ipq_flow_keeper {
	IPQ_FLOWS_LIBRARY = 0,	/* each packet is still queued, and the library decides it */
	IPQ_FLOWS_MARK = 1,	/* the kernel, by a packet mark that the rules save in the connection */
	IPQ_FLOWS_CONNTRACK = 2 /* the kernel, by a verdict that sets the connection mark (IPQ_O_CONNTRACK) */
};

/*
 * Accept or drop the packet and the rest of its flow. For a packet that belongs to no flow (a fragment, an
 * ICMP error, a payload cut before the ports), only this packet is decided. The verdict of an accepted packet
 * may be delayed until after the next receive, so that no packet of the flow overtakes another one. Returns
 * the errors of ipq_accept().
 */
int ipq_accept_flow(struct ipq_queue *q, const struct ipq_packet *packet);
int ipq_drop_flow(struct ipq_queue *q, const struct ipq_packet *packet);

struct ipq_flow_verdict {
	size_t size;	  /* sizeof(struct ipq_flow_verdict) */
	uint32_t code;	  /* IPQ_ACCEPT or IPQ_DROP */
	uint32_t present; /* IPQ_SET_MARK, or 0 */
	uint32_t mark;	  /* mark for every packet of an accepted flow; the library keeps such a flow */
	/* Seconds until the flow is forgotten; 0: no limit. The library keeps a flow with a timeout. */
	uint32_t timeout;
	uint32_t after; /* accept this many packets of the flow first; the next one decides the flow */
	uint32_t reserved;
};

/* Accepts or drops the packet and the rest of its flow, with more settings. Also returns -EINVAL (code, present or
 * size). */
int ipq_decide_flow(struct ipq_queue *q, const struct ipq_packet *packet,
		    const struct ipq_flow_verdict *verdict);

/*
 * Forget one decided flow (tuple is that of either direction), or all of them: their next packets are
 * returned to the program. The calls also remove the marks of connections; ipq_forget_flow() makes a few
 * system calls for this, ipq_forget_flows() two for each connection. Return 0, -ENOENT (no such flow was
 * decided), -EINVAL (tuple), or an error of the kernel's conntrack interface.
 */
int ipq_forget_flow(struct ipq_queue *q, const struct ipq_tuple *tuple);
int ipq_forget_flows(struct ipq_queue *q);

struct ipq_flow_stats {
	size_t size;	    /* set it to sizeof(struct ipq_flow_stats) before the call */
	uint32_t keeper;    /* enum ipq_flow_keeper */
	uint32_t reserved;  /* 0 */
	uint64_t flows;	    /* flows in the library's table, decided or counted for `after` */
	uint64_t decided;   /* flows decided since open */
	uint64_t packets;   /* packets of decided flows that were queued and then decided by the library */
	uint64_t bytes;	    /* bytes of these packets */
	uint64_t evicted;   /* flows forgotten because flow_max was reached */
	uint64_t no_key;    /* flow verdicts for packets that belong to no flow */
	uint64_t came_back; /* packets that came back because firewall rules are missing */
	const char *why;    /* the reason why `keeper` keeps the flows, a static text */
};

/* Counters since open. 0, -EINVAL (size) or -ENOMEM. */
int ipq_flow_stats(struct ipq_queue *q, struct ipq_flow_stats *stats);

struct ipq_flow_counters {
	size_t size;	  /* set it to sizeof(struct ipq_flow_counters) before the call */
	uint32_t code;	  /* IPQ_ACCEPT or IPQ_DROP */
	uint32_t present; /* IPQ_FLOW_HAS_CONNECTION, or 0 */
	uint64_t packets; /* packets and bytes decided by the library */
	uint64_t bytes;
	/* All packets and bytes of the connection in both directions, as the kernel counts them. */
	uint64_t connection_packets;
	uint64_t connection_bytes;
};

/* The connection_ members are set: the kernel counts these packets (sysctl net.netfilter.nf_conntrack_acct). */
#define IPQ_FLOW_HAS_CONNECTION 1

/* Counters of one flow. 0, -ENOENT (no such flow was decided), -EINVAL (tuple or size) or -ENOMEM. */
int ipq_flow_counters(struct ipq_queue *q, const struct ipq_tuple *tuple, struct ipq_flow_counters *counters);

/* ---- event loops and counters ------------------------------------------------------------------- */

/*
 * A descriptor for poll and epoll. It is readable when ipq_queue_recv() would return packets or an error without
 * blocking. Call ipq_queue_flush() before you wait.
 */
int ipq_queue_fd(const struct ipq_queue *q);

/*
 * Makes the current or next ipq_queue_recv() return -ECANCELED. May be called from any thread or signal
 * handler. Returns 0 or -errno.
 */
int ipq_queue_wake(struct ipq_queue *q);

struct ipq_stats {
	size_t size;			   /* set it to sizeof(struct ipq_stats) before the call */
	uint64_t received;		   /* packets received */
	uint64_t accepted, dropped, other; /* verdicts sent, by code */
	uint64_t replaced;		   /* verdicts sent with a new payload */
	uint64_t refused;		   /* verdicts that the kernel refused because the packet was gone */
	uint64_t lost;			   /* packets dropped by the kernel: the socket buffer was full */
	uint64_t queue_dropped;		   /* packets dropped by the kernel: the queue was full */
	uint64_t malformed; /* invalid messages; their packets were dropped. Capture files: frames not read */
	uint64_t waiting;   /* packets received that have no verdict yet */
	uint64_t receives, sends; /* attempts to receive packets, and to send verdicts */
};

/* Counters since open. Reads /proc for queue_dropped and lost. 0 or -errno (-EINVAL: size). */
int ipq_queue_stats(struct ipq_queue *q, struct ipq_stats *stats);

/* ---- several cores --------------------------------------------------------------------------- */

struct ipq_group; /* opaque */

/* Called for each batch, in the thread of its queue. Return 0 or -errno (see `restarts`). */
typedef int (*ipq_group_handler)(struct ipq_queue *q, struct ipq_packet *packet, unsigned n, void *context);

struct ipq_group_options {
	size_t size;	/* sizeof(struct ipq_group_options) */
	uint32_t first; /* number of the first queue */
	uint32_t count; /* queues and threads; 0: one for each processor that this process may use */
	/* 1: bind thread i to the i-th processor that this process may use (for --queue-cpu-fanout) */
	uint32_t pin;
	uint32_t batch;			 /* maximum packets per call of the handler; 0: 64 */
	const struct ipq_options *queue; /* options for each queue; or NULL */
	char *error;
	size_t error_size;
	/* How often in a row a handler may fail, or its thread may end, before the group stops (since 0.2.0). The
	 * packets of the batch that have no verdict are passed to the handler again. 0: stop at once. */
	uint32_t restarts;
	uint32_t reserved;
};

/*
 * Opens queues first to first + count - 1 and starts a thread for each. The handler of the i-th queue
 * receives context[i]; context may be NULL. 0, or -errno: then no queue is open and no thread runs.
 */
int ipq_group_start(struct ipq_group **group, const struct ipq_group_options *options,
		    ipq_group_handler handler, void *const *context);
/* Stops the threads, closes the queues, frees the group. Returns the first error of a thread, or 0. */
int ipq_group_stop(struct ipq_group *group);
/* Waits until the group stops because of an error. Returns that error. */
int ipq_group_wait(struct ipq_group *group);
/* The sum of the counters of all queues. May be called from any thread. 0 or -EINVAL (size). */
int ipq_group_stats(struct ipq_group *group, struct ipq_stats *stats);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
