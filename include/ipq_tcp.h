/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ipq_tcp: changes the length of TCP payload and adjusts the sequence numbers of the connection.
 *
 *	#include <ipq.h>
 *	#include <ipq_tcp.h>
 *
 *	static void rewrite(struct ipq_queue *q, struct ipq_tcp *tcp, const struct ipq_packet *packet)
 *	{
 *		uint8_t buffer[65531];
 *		struct ipq_edit e;
 *		int result = IPQ_TCP_UNCHANGED;
 *
 *		memcpy(buffer, packet->payload, packet->payload_len);
 *		if (ipq_edit_begin(&e, buffer, packet->payload_len, sizeof(buffer), packet->flags) == 0)
 *			result = ipq_tcp_substitute(tcp, &e, 0, "evil", 4, "goodness", 8);
 *		if (result == IPQ_TCP_CHANGED)
 *			ipq_replace(q, packet, e.data, e.len);
 *		else
 *			ipq_accept(q, packet);
 *	}
 *
 * Pass every packet of both directions of a connection to one table. The table stores the sequence number of each
 * replacement until the receiver has acknowledged it. So
 * - a retransmitted segment is sent exactly as the first time, even if its sender divides it differently, and
 *   whatever the caller replaces now;
 * - sequence numbers, acknowledgements, SACK blocks and urgent pointers are adjusted in both directions;
 * - text that was sent without a change is never changed later.
 * Each segment is searched separately: text that is split between two segments is not found.
 *
 * Live and recorded packets differ. In a recording (IPQ_TCP_RECORDED) an acknowledgement refers to the original text,
 * so it is adjusted in the same direction as sequence numbers. Gaps are kept, and no packet is dropped.
 *
 * A live segment after a gap (its predecessor was lost or is late) is sent at once. When the text in the gap arrives
 * later, it can only be replaced by text of the same length. With IPQ_TCP_IN_ORDER a segment after a gap is dropped
 * and its sender retransmits it: all text can be replaced, but throughput is lower if packets are lost.
 *
 * An attacker who guesses addresses and ports cannot change the state of a connection: a SYN creates a new state and
 * does not change the old one, and each packet belongs to the state whose windows contain its numbers. Tables are
 * bounded and their hash has a random key. A connection that was edited is replaced by a new one only after it has
 * been idle for two hours. Memory for a connection is bounded; when it is used up, further text is not replaced, and
 * is counted.
 *
 * Packets with TCP-MD5 or TCP-AO options, an Authentication Header, ESP or Multipath TCP are refused and counted.
 *
 * Any number of threads may use one table. All numbers are in host byte order. Calls return 0 or -errno unless stated
 * otherwise. They block only while another thread handles a packet of the same connection.
 */
#ifndef IPQ_TCP_H
#define IPQ_TCP_H

#include <stddef.h>
#include <stdint.h>
#include <ipq_edit.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct ipq_tcp;

/* Bits of ipq_tcp_options.flags. */
enum ipq_tcp_option_flags {
	IPQ_TCP_RECORDED = 1 << 0, /* packets come from a capture file */
	IPQ_TCP_IN_ORDER = 1 << 1  /* live packets: drop a segment that arrives after a gap */
};

/* Set size to sizeof(struct ipq_tcp_options), and unused members to 0. */
struct ipq_tcp_options {
	size_t size;
	uint32_t flags;		  /* IPQ_TCP_* flags */
	uint32_t max_connections; /* maximum number of connections; 0: 65536 */
	/* maximum memory for one connection, at least 1280; 0: 64 KiB, recorded 4 MiB */
	uint32_t max_connection_bytes;
	uint32_t reserved;
	uint64_t max_bytes; /* maximum memory for all connections; 0: 256 MiB */
};

/* Creates an empty table; options may be NULL. Free it with ipq_tcp_close(). -EINVAL: unknown flags, or
 * options->size is not set. -ENOMEM. Errors of getrandom(2). */
int ipq_tcp_open(struct ipq_tcp **table, const struct ipq_tcp_options *options);

/* Frees a table. No thread may use it afterwards. t may be NULL. */
void ipq_tcp_close(struct ipq_tcp *t);

/* ---- one call per packet ---------------------------------------------------------------------- */

/* What the caller must do with the packet. */
enum ipq_tcp_result {
	IPQ_TCP_UNCHANGED, /* accept the original packet */
	IPQ_TCP_CHANGED,   /* send e->len bytes at e->data */
	/* drop the packet; its sender retransmits it. Live packets only; rare without IPQ_TCP_IN_ORDER */
	IPQ_TCP_DROP
};

/*
 * Replaces every occurrence of old_bytes in a packet that ipq_edit_begin() parsed, and adjusts the numbers in its
 * header for earlier replacements. Returns one of ipq_tcp_result, or -errno of ipq_tcp_begin(). Text that cannot be
 * replaced is counted: see ipq_tcp_stats(). zone: see ipq_tcp_begin().
 */
int ipq_tcp_substitute(struct ipq_tcp *t, struct ipq_edit *e, uint32_t zone, const void *old_bytes,
		       size_t old_len, const void *new_bytes, size_t new_len);

/* ---- the same in steps ------------------------------------------------------------------------ */

/* A packet between ipq_tcp_begin() and ipq_tcp_end(). The caller allocates it; its members are internal. */
struct ipq_tcp_segment {
	struct ipq_tcp *table;
	struct ipq_edit *edit;
	void *connection, *shard;
	uint32_t side, text, end, fresh;
	uint32_t sequence, acknowledgement;
	uint16_t flags, window;
	uint32_t state;
	int32_t refusal;
	uint32_t length, room, replaced;
	uint32_t reserved[4];
};

/* Flags of ipq_tcp_begin(). */
enum ipq_tcp_begin_flags {
	/* Do not add a new connection to the table, because no text of this packet will be replaced. */
	IPQ_TCP_KNOWN_ONLY = 1 << 0
};

/*
 * Starts the edit of a packet that ipq_edit_begin() parsed. Until ipq_tcp_end(), e contains the original packet:
 * search it with ipq_edit_find() and replace text with ipq_tcp_replace(). Addresses and ports may be changed after
 * ipq_tcp_end(). A packet that is not TCP or cannot be edited is not an error: then ipq_tcp_replace() returns the
 * reason.
 *
 * zone distinguishes the places that the same packet passes one after the other, for example the hooks OUTPUT and INPUT
 * for loopback traffic. Otherwise pass 0.
 *
 * Locks the connection until ipq_tcp_end(), which must always follow soon. -EDEADLK: this thread has not ended an
 * earlier packet. -EINVAL: unknown flags. After an error do not call ipq_tcp_end().
 */
int ipq_tcp_begin(struct ipq_tcp *t, struct ipq_tcp_segment *s, struct ipq_edit *e, uint32_t zone,
		  uint32_t flags);

/*
 * Announces that text of this connection, in either direction, will be replaced: old_len bytes by new_len
 * bytes, once per segment, or any number of times if `every` is not 0. In a live SYN this lowers the maximum
 * segment size, so that segments still fit after they have grown, and removes the offer of Multipath TCP,
 * whose payload cannot be changed. Other packets are not changed.
 */
void ipq_tcp_expect(struct ipq_tcp_segment *s, size_t old_len, size_t new_len, int every);

/*
 * Replaces old_len bytes at offset of the original payload by new_len bytes, which are copied. If old_len is 0, they
 * are inserted. Returns 1 if the bytes will be replaced, 0 if some of them were sent before and are sent the same way
 * again. Otherwise the bytes are not replaced; e->reason has the reason, and the return value is
 * -ESTALE              later payload was already sent, so that the length cannot change; also for the first segment of
 *                      a live connection that was established before the table existed
 * -ENOBUFS             the memory for this connection or for all is used up, or all connections in the table are in use
 * -EMSGSIZE            the packet would be larger than 65535 bytes
 * -ENOSPC              the packet would be larger than e->room
 * -EOPNOTSUPP          the packet is protected by TCP-MD5, TCP-AO, AH or ESP, or is Multipath TCP or a fragment
 * -ENODATA             only the first bytes of the packet are present (IPQ_EDIT_CUT)
 * -ERANGE              the sequence or acknowledgement number is outside the window
 * -EEXIST              the bytes overlap with bytes that were replaced in this packet
 * -EPROTONOSUPPORT     the packet is not TCP
 * -EBADMSG             the packet is malformed
 * -EINVAL              the bytes are outside the payload, both lengths are 0, or the call is not between
 *                      ipq_tcp_begin() and ipq_tcp_end()
 * -ENOMEM              no memory
 */
int ipq_tcp_replace(struct ipq_tcp_segment *s, size_t offset, size_t old_len, const void *bytes,
		    size_t new_len);

/* Makes the replacements and adjusts the sequence numbers. Never fails. */
enum ipq_tcp_result ipq_tcp_end(struct ipq_tcp_segment *s);

/* ---- counters --------------------------------------------------------------------------------- */

/* Set size before ipq_tcp_stats(). New members are added at the end. */
struct ipq_tcp_stats {
	size_t size;
	uint32_t connections; /* connections in the table now */
	uint32_t reserved;
	uint64_t bytes;	   /* memory that these connections use */
	uint64_t segments; /* segments of connections in the table */
	uint64_t changed;  /* segments that were changed */
	uint64_t dropped;  /* segments that were dropped (IPQ_TCP_DROP) */
	/* segments sent without their last bytes, because earlier replacements did not fit */
	uint64_t cut;
	uint64_t replaced; /* replaced texts */
	uint64_t evicted;  /* connections removed for new ones */
	/* Texts that were not replaced: */
	uint64_t late;	     /* later payload was already sent (-ESTALE) */
	uint64_t no_memory;  /* no memory (-ENOBUFS, -ENOMEM) */
	uint64_t no_room;    /* the packet would be too large (-EMSGSIZE, -ENOSPC) */
	uint64_t protection; /* TCP-MD5, TCP-AO, AH or ESP (-EOPNOTSUPP) */
	uint64_t multipath;  /* Multipath TCP (-EOPNOTSUPP) */
	uint64_t fragment;   /* the text is in a fragment (-EOPNOTSUPP) */
	uint64_t window;     /* numbers outside the window (-ERANGE) */
	uint64_t other;	     /* not TCP, malformed */
};

/* Fills in *stats up to its size. May be called from any thread. -EINVAL: size is not set. */
int ipq_tcp_stats(struct ipq_tcp *t, struct ipq_tcp_stats *stats);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
