/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The interface between sources of packets and their readers. A source reads packets of one kind of origin, such as
 * a queue of the kernel or a capture file, and does not depend on its readers. A reader provides memory and handles
 * packets and verdicts, but does not depend on netlink or files. The interface stores no state of a reader: recv
 * and send may run in different threads without a lock. This room also has the table of interfaces, links.h. It may
 * use util.
 */
#ifndef SOURCE_SOURCE_H
#define SOURCE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <ipq.h>
#include "util/compiler.h"
#include "util/error.h"

struct links;

enum copy_mode {
	COPY_NONE,
	COPY_META,
	COPY_PACKET
}; /* these are the kernel's values, in ip_queue and in nfnetlink_queue */

struct source_config {
	enum copy_mode mode;
	uint32_t range;		 /* COPY_PACKET: maximum payload bytes, 0: all */
	uint32_t queue_length;	 /* maximum number of waiting packets */
	uint32_t receive_buffer; /* receive buffer in bytes; 0: unchanged */
	uint32_t flags;		 /* IPQ_O_* flags */
	/* The source may store payloads that do not fit into their slot in its own memory, until the next recv. */
	bool beyond_slot;
};

/* Maximum bytes of a packet in a capture file: the maximum of libpcap and Wireshark. */
#define SOURCE_FILE_PACKET_MAX 262144

/* Maximum number of packets that one receive returns. */
#define SOURCE_BATCH_MAX 64

/*
 * Size of a slot: memory for one packet (struct iovec), enough for any packet with all its attributes. It is not a
 * multiple of 4 KiB: otherwise the beginnings of all slots would compete for the same cache lines.
 */
#define SOURCE_SLOT_SIZE (65536 + 4096 + 64)

/* A verdict for a packet, with all settings of struct ipq_verdict. */
struct source_verdict {
	uint32_t id;
	uint32_t batch;	  /* 1: applies to every waiting packet up to id (with a mark, or with a code only) */
	uint32_t present; /* IPQ_SET_* bits */
	uint32_t code;	  /* NF_ value, the queue number of NF_QUEUE in the upper 16 bits */
	uint32_t tag;	  /* returned in source_refusal; the sequence number of the netlink message */
	uint32_t mark, priority, conntrack_mark, conntrack_mark_mask;
	uint16_t vlan_proto, vlan_tci;
	uint8_t conntrack_labels[16];
	const void *payload;
	size_t payload_len;
	int64_t timestamp; /* ns since 1970, valid with SOURCE_SET_TIMESTAMP */
};

/*
 * A bit of source_verdict.present: in a capture file, the packet's record gets this time. Other sources ignore it.
 */
#define SOURCE_SET_TIMESTAMP (1U << 31)

/* A verdict or mode that the origin refused after it was sent. */
struct source_refusal {
	int error;   /* positive errno */
	bool mode;   /* a mode was refused: code is the mode, id its range; false: a verdict was refused */
	uint64_t id; /* id of the packet; 0 if unknown */
	uint32_t code;
	uint32_t tag;
	uint32_t payload_len;
};
/*
 * Called for a refusal. Return true if the reader acts on it, so recv must return; false: recv continues with the
 * next message.
 */
typedef bool (*source_refused)(void *context, const struct source_refusal *refusal);

struct source_counts {
	uint64_t lost; /* packets that were not received, counted by gaps in the ids */
	uint64_t queue_dropped;
	uint64_t waiting; /* waiting packets according to the origin */
	uint64_t malformed;
};

struct source {
	const struct source_ops *ops;
	struct links *links;   /* interfaces of the origin's network namespace; NULL: none */
	uint16_t queue_number; /* NF_QUEUE with this number queues a packet to this source again */
	bool held;	       /* after close, packets without a verdict wait for another reader */
};

/* Functions of a source. Every call returns 0 or more, or -errno, with a text in *e if it has that argument. */
struct source_ops {
	const char *name; /* the part of a source's name before the colon */
	bool lossless;	  /* packets can wait for any time, as in a capture file */
	bool copies;	  /* the packets are copies and do not wait: verdicts have no effect */

	/* Opens a source. arg is the part of the name after the colon. configure claims the origin later. */
	int (*open)(struct source **s, const char *arg, struct ipq_error *e);
	void (*close)(struct source *s);

	/* The first call claims the origin; each call changes its settings. Returns the flags in force. */
	int (*configure)(struct source *s, const struct source_config *config, struct ipq_error *e);

	/* A descriptor that is readable if recv would not block; -1: recv never blocks. */
	int (*fd)(const struct source *s);

	/*
	 * Receives up to max packets. timeout_ms as in ipq_queue_recv(). Returns the count, -EINTR, -ECANCELED (woken),
	 * -ENODATA (end), or another -errno. 0: timeout, or only other messages were received. After 0 with timeout_ms
	 * 0, no message is left, unless refused() returned true. With max 1 any thread may call it; with more, one
	 * thread at a time, and slot[] must stay valid until the next call (its elements may change).
	 */
	int (*recv)(struct source *s, const struct iovec *slot, struct ipq_packet *packet, unsigned max,
		    int timeout_ms, source_refused refused, void *context);

	/* Sends verdicts in order. Returns how many were sent, or -errno if it sent none. */
	int (*send)(struct source *s, const struct source_verdict *verdict, unsigned n);

	int (*counts)(struct source *s, struct source_counts *counts);
	int (*wake)(struct source *s); /* wakes recv; async-signal-safe */

	/* The following functions may be NULL. */

	/* Frees a source in a child of fork; the parent keeps using it. Writes nothing. NULL: as close. */
	void (*close_after_fork)(struct source *s);
	/* Makes a later recv report this refusal. It belongs to a request that cannot be sent. */
	int (*refuse)(struct source *s, const struct source_refusal *refusal);

	/* Memory used by packets that were not received yet; grows with their number. -1: unknown. */
	int64_t (*backlog)(const struct source *s);
	/* Text of the last error of recv or send: cause and remedy. Never NULL, valid until close. */
	const char *(*error)(const struct source *s);
	/* Accepts a copy of a waiting packet, as this verdict would. The packet still waits. 0 or -errno. */
	int (*copy)(struct source *s, const struct source_verdict *verdict);
	/* Whether recv returns nothing until more packets are decided. */
	bool (*full)(struct source *s);
	/* The verdict on a packet when it was recorded, such as "drop"; "": unknown. Valid until the next recv. */
	const char *(*verdict)(const struct source *s, uint32_t id);
	/* Name (padded with zeros) and ARPHRD_ type of an interface, if links is NULL. 0 or -ENODEV. */
	int (*interface)(const struct source *s, uint32_t index, char name[16], uint16_t *type);
};

/* Name (IFNAMSIZ bytes, padded with zeros, "" if unknown) and ARPHRD_ type of an interface of the origin. */
void source_interface(const struct source *s, uint32_t index, char name[16], uint16_t *type);

#endif
