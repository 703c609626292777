/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The seam between where packets come from and who decides them.
 *
 * A source knows one kind of origin (the kernel's nfnetlink_queue, a capture file)
 * and nothing of its readers. Readers (queue.c, classic.c, engine.c) bring the memory, know packets and
 * verdicts, and nothing of netlink or files. Packets flow one way, verdicts the other; nothing here is
 * kept for a reader, so that recv and send may run in different threads without a lock.
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
}; /* the kernel's values, in ip_queue and nfnetlink_queue alike */

struct source_config {
	enum copy_mode mode;
	uint32_t range;		 /* COPY_PACKET: payload bytes at most, 0: all */
	uint32_t queue_length;	 /* packets waiting at most */
	uint32_t receive_buffer; /* bytes; 0: leave as it is */
	uint32_t flags;		 /* IPQ_O_ */
	/* The source may keep payloads that do not fit into their slot in memory of its own, until the next recv. */
	bool beyond_slot;
};

/* Bytes of a packet in a capture file at most: the maximum of libpcap and Wireshark. */
#define SOURCE_FILE_PACKET_MAX 262144

/* Packets that one receive returns at most. */
#define SOURCE_BATCH_MAX 64

/*
 * A slot, memory for one packet (struct iovec), that holds any packet with all its attributes. Not a multiple of
 * 4 KiB: else the beginnings of all slots would compete for the same cache lines.
 */
#define SOURCE_SLOT_SIZE (65536 + 4096 + 64)

/* A verdict as sources take it: everything of struct ipq_verdict, by packet id. */
struct source_verdict {
	uint32_t id;
	uint32_t batch;	  /* 1: for every waiting packet up to id (with a mark, or bare) */
	uint32_t present; /* IPQ_SET_ */
	uint32_t code;	  /* NF_ value, the queue number of NF_QUEUE in the upper 16 bits */
	uint32_t tag;	  /* comes back in source_refusal; netlink's sequence number */
	uint32_t mark, priority, conntrack_mark, conntrack_mark_mask;
	uint16_t vlan_proto, vlan_tci;
	uint8_t conntrack_labels[16];
	const void *payload;
	size_t payload_len;
	int64_t timestamp; /* ns since 1970, with SOURCE_SET_TIMESTAMP */
};

/* A bit of source_verdict.present: a capture file records this time for the packet. Others ignore it. */
#define SOURCE_SET_TIMESTAMP (1U << 31)

/* A verdict or configuration that the origin refused after it was sent. */
struct source_refusal {
	int error;   /* positive errno */
	bool mode;   /* a mode: code is its value, id its range; else a verdict */
	uint64_t id; /* of the packet; 0 when unknown */
	uint32_t code;
	uint32_t tag;
	uint32_t payload_len;
};
typedef void (*source_refused)(void *context, const struct source_refusal *refusal);

struct source_counts {
	uint64_t lost; /* packets that the reader never got: gaps in the ids */
	uint64_t queue_dropped;
	uint64_t waiting; /* as the origin counts them */
	uint64_t malformed;
};

struct source {
	const struct source_ops *ops;
	struct links *links;   /* of the origin's network namespace; NULL when it has none */
	uint16_t queue_number; /* what NF_QUEUE must carry to bring a packet back here */
};

/* Every call returns 0 or more, or -errno with words in *e where it has one. */
struct source_ops {
	const char *name; /* what stands before the colon */
	bool lossless;	  /* packets may stay in it for as long as the reader likes: a file */

	/* arg is what stands behind the colon. Nothing is taken yet: see configure. */
	int (*open)(struct source **s, const char *arg, struct ipq_error *e);
	void (*close)(struct source *s);

	/* Takes the origin on the first call and changes its settings on any. Returns the flags in force. */
	int (*configure)(struct source *s, const struct source_config *config, struct ipq_error *e);

	/* A descriptor that is readable when recv would return something; -1: recv never blocks. */
	int (*fd)(const struct source *s);

	/*
	 * Up to max packets. timeout_ms as in ipq_queue_recv(). Returns the count (0: timed out, or only
	 * refusals came), -EINTR, -ECANCELED (woken), -ENODATA (end), -errno. Any thread with max 1; with
	 * more, one thread at a time; slot[] must stay valid until the next call (its elements may change).
	 */
	int (*recv)(struct source *s, const struct iovec *slot, struct ipq_packet *packet, unsigned max,
		    int timeout_ms, source_refused refused, void *context);

	/* Sends verdicts in order, in as few system calls as it takes. Returns how many went, or -errno for none. */
	int (*send)(struct source *s, const struct source_verdict *verdict, unsigned n);

	int (*counts)(struct source *s, struct source_counts *counts);
	int (*wake)(struct source *s); /* async-signal-safe */

	/* NULL where there is nothing to say. */

	/* Frees what this process, a child of fork, has of a source that another one goes on with: nothing is written.
	 * NULL: close does no more. */
	void (*close_after_fork)(struct source *s);
	/* Has a refusal come out of a later recv, in its turn, for a request that cannot even be sent. */
	int (*refuse)(struct source *s, const struct source_refusal *refusal);

	/* Memory that is taken by what waits to be received: more when more waits. -1 when not known. */
	int64_t (*backlog)(const struct source *s);
	/* Cause and remedy of the last recv or send that failed; never NULL, valid until close. */
	const char *(*error)(const struct source *s);
	/* Passes on a packet that waits, as accepted by this verdict, and lets it wait on. 0 or -errno. */
	int (*copy)(struct source *s, const struct source_verdict *verdict);
	/* Name (padded with zeros) and ARPHRD_ type of an interface, for sources without links. 0, -ENODEV. */
	int (*interface)(const struct source *s, uint32_t index, char name[16], uint16_t *type);
};

/* Name (IFNAMSIZ bytes, padded with zeros, "" when unknown) and ARPHRD_ type of an interface of the origin. */
void source_interface(const struct source *s, uint32_t index, char name[16], uint16_t *type);

#endif
