/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ipq_tcp: change the length of TCP payload; sequence numbers of the connection follow.
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
 * Pass every packet of a connection, of both directions, through one table. The table remembers which text it
 * replaced at which sequence number, until the receiver has acknowledged the text. So
 * - a segment that is sent again leaves as it left the first time, however its sender cuts it now, and
 *   whatever the caller wants to replace now;
 * - sequence numbers, acknowledgements, SACK blocks, urgent pointers and windows follow in both directions;
 * - text that was sent on without a change is never changed later.
 * Text is searched in each segment for itself: text that is split between two segments is not found.
 *
 * Live and recorded packets differ. In a recording (IPQ_TCP_RECORDED) nothing is sent again, and an
 * acknowledgement refers to the text that the sender sent, so it moves in the same direction as sequence numbers.
 * Gaps stay, and nothing is dropped.
 *
 * When a live segment arrives after a gap (its predecessor was lost or is late), it is sent on at once. Then the
 * text in the gap, when it arrives, can be replaced by text of the same length only. With IPQ_TCP_IN_ORDER such
 * a segment is dropped instead: its sender sends it again, all text is found, and throughput suffers from loss.
 *
 * An attacker who guesses addresses and ports cannot change the state of a connection: a SYN begins a new
 * state next to the old one, and each packet belongs to the state whose windows contain its numbers. Tables are
 * bounded and their hash has a random key. A connection that was edited makes way for a new one only after it
 * has been idle for two hours. Memory for one connection is bounded; when it is used up, further text is left
 * as it is and counted, and the stream stays correct.
 *
 * Packets with TCP-MD5 or TCP-AO options, an Authentication Header, ESP or Multipath TCP are refused and counted.
 *
 * Any number of threads may use one table. All numbers are in host byte order. Calls return 0 or -errno unless
 * stated otherwise. None of them blocks, except for the time in which another thread has the connection's lock.
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
	IPQ_TCP_IN_ORDER = 1 << 1  /* live: drop a segment that arrives after a gap */
};

/* Set size to sizeof(struct ipq_tcp_options), and what is not needed to 0. */
struct ipq_tcp_options {
	size_t size;
	uint32_t flags;		       /* IPQ_TCP_ */
	uint32_t max_connections;      /* 0: 65536 */
	uint32_t max_connection_bytes; /* of memory for one connection; 0: 64 KiB, recorded 4 MiB */
	uint32_t reserved;
	uint64_t max_bytes; /* of memory for all connections; 0: 256 MiB */
};

/* Makes an empty table; options may be NULL. Free it with ipq_tcp_close(). -EINVAL: unknown flags, or
 * options->size is not set. -ENOMEM. Errors of getrandom(2). */
int ipq_tcp_open(struct ipq_tcp **t, const struct ipq_tcp_options *options);

/* Frees a table. No thread may use it any more. t may be NULL. */
void ipq_tcp_close(struct ipq_tcp *t);

/* ---- one call per packet ---------------------------------------------------------------------- */

/* What to do with a packet. */
enum ipq_tcp_result {
	IPQ_TCP_UNCHANGED, /* send it as it came */
	IPQ_TCP_CHANGED,   /* send e->len bytes at e->data */
	IPQ_TCP_DROP /* drop it, its sender sends it again: only live, and rare without IPQ_TCP_IN_ORDER */
};

/*
 * Replaces every occurrence of old_bytes in a packet that ipq_edit_begin() has read, and moves the numbers that
 * depend on earlier replacements. Returns one of ipq_tcp_result, or -errno of ipq_tcp_begin(). Text that could not
 * be replaced is left and counted: see ipq_tcp_stats(). zone: see ipq_tcp_begin().
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
	uint32_t reserved[7];
};

/* Flags of ipq_tcp_begin(). */
enum ipq_tcp_begin_flags {
	/* Do not remember the connection if it is new: no text will be replaced, or not yet. */
	IPQ_TCP_KNOWN_ONLY = 1 << 0
};

/*
 * Begins with a packet that ipq_edit_begin() has read. Between this call and ipq_tcp_end(), e shows the packet as
 * it came: search it with ipq_edit_find() and replace text with ipq_tcp_replace(). Addresses and ports may
 * be changed after ipq_tcp_end(). A packet that is not TCP, or cannot be edited, is no error: then
 * ipq_tcp_replace() returns the reason.
 *
 * zone distinguishes places that see the same packet one after the other, for example the hooks OUTPUT and
 * INPUT for loopback traffic. Otherwise pass 0.
 *
 * Holds a lock until ipq_tcp_end(): call that in any case, and soon. -EDEADLK: this thread has not yet
 * ended an earlier packet. -EINVAL: unknown flags. After an error do not call ipq_tcp_end().
 */
int ipq_tcp_begin(struct ipq_tcp *t, struct ipq_tcp_segment *s, struct ipq_edit *e, uint32_t zone,
		  uint32_t flags);

/*
 * Announces that text of this connection, of either direction, will be replaced: old_len bytes by new_len bytes;
 * every: any number of times per segment, otherwise once. In a live SYN this lowers the maximum segment
 * size, so that segments still fit after they have grown, and removes the offer of Multipath TCP, which does not
 * allow payload to change. Does nothing to other packets.
 */
void ipq_tcp_expect(struct ipq_tcp_segment *s, size_t old_len, size_t new_len, int every);

/*
 * Replaces old_len bytes at offset of the payload as it came by new_len bytes. They are copied. With old_len 0
 * bytes are inserted. 1: they will be replaced. 0: (some of) these bytes were sent on before and are sent the same
 * way again. Otherwise they stay; e->reason has the reason, and the return value is:
 * -ESTALE: later payload was sent on before, so that the length cannot change; so it is with the first segment
 * of a live connection that was established before the table knew it. -ENOBUFS: memory for this connection or
 * for all is used up, or all connections in the table are in use. -EMSGSIZE, -ENOSPC: the packet would be
 * larger than 65535 bytes or than e->room. -EOPNOTSUPP: protected by TCP-MD5, TCP-AO, AH or ESP, Multipath TCP,
 * or a fragment. -ERANGE: sequence or acknowledgement number outside the window. -EEXIST: overlaps with bytes that were
 * replaced in this packet. -EPROTONOSUPPORT: not TCP. -EBADMSG: malformed. -EINVAL: outside the payload, or nothing to
 * replace. -ENOMEM.
 */
int ipq_tcp_replace(struct ipq_tcp_segment *s, size_t offset, size_t old_len, const void *bytes,
		    size_t new_len);

/* Carries the replacements out and moves the numbers. Never fails. */
enum ipq_tcp_result ipq_tcp_end(struct ipq_tcp_segment *s);

/* ---- counters --------------------------------------------------------------------------------- */

/* Set size before ipq_tcp_stats(). Members added later are at the end. */
struct ipq_tcp_stats {
	size_t size;
	uint32_t connections; /* remembered now */
	uint32_t reserved;
	uint64_t bytes;	   /* of memory that they use */
	uint64_t segments; /* of connections that were remembered */
	uint64_t changed;  /* of these */
	uint64_t dropped;  /* of these: IPQ_TCP_DROP */
	uint64_t cut;	   /* sent on without their end, because what was replaced before did not fit */
	uint64_t replaced; /* texts */
	uint64_t evicted;  /* connections that made way for new ones */
	/* Texts that were left as they were: */
	uint64_t late;	     /* -ESTALE */
	uint64_t no_memory;  /* -ENOBUFS, -ENOMEM */
	uint64_t no_room;    /* -EMSGSIZE, -ENOSPC */
	uint64_t protection; /* -EOPNOTSUPP: TCP-MD5, TCP-AO, AH, ESP */
	uint64_t multipath;  /* -EOPNOTSUPP: Multipath TCP */
	uint64_t fragment;   /* -EOPNOTSUPP: in a fragment */
	uint64_t window;     /* -ERANGE */
	uint64_t other;	     /* not TCP, malformed */
};

/* Fills in as much of *stats as its size has. Any thread. -EINVAL: size is not set. */
int ipq_tcp_stats(struct ipq_tcp *t, struct ipq_tcp_stats *stats);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
