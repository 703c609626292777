/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Declarations that the files of this room share. */
#ifndef TCP_TCP_H
#define TCP_TCP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "edit/edit.h"
#include "ipq_tcp.h"

/* Serial number arithmetic (RFC 1982). */
static inline bool before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/* ---- log.c: the replacements in one direction ------------------------------------------------- */

/* The maximum distance of two edits of a log: beyond it, comparisons would become ambiguous. */
#define TCP_SPAN_MAX (UINT32_C(1) << 30)
#define TCP_BLOCK 16

/* A replacement that many edits may share. */
struct tcp_kind {
	uint8_t *bytes; /* NULL: free entry */
	uint32_t refs;
	uint32_t hash;
	uint16_t old_len, new_len;
};

/*
 * Sorted edits [first, end). Each member has its own array, to save memory: many edits may wait for an
 * acknowledgement.
 */
struct tcp_log {
	uint32_t *begin; /* the begin of the old text, as a sequence number of the sender */
	uint32_t *shift; /* the sum that all edits before edit TCP_BLOCK * i add to a sequence number */
	uint8_t *which;	 /* index in `kind` */
	struct tcp_kind *kind;
	uint32_t first, end, room;
	uint32_t kinds;
	uint32_t text_bytes;
	uint32_t summed;      /* edits before this one have their shifts computed: see tcp_log_sum() */
	uint32_t base, total; /* the shift before the first edit, and after the last one */
};

/* Maps a position. For a position inside a replaced text, `up` chooses its end, otherwise its beginning. */
uint32_t tcp_log_map(const struct tcp_log *log, uint32_t sequence, bool up);
uint32_t tcp_log_unmap(const struct tcp_log *log, uint32_t mapped, bool up);

/* Whether an edit begins in [begin, end), or begin is inside an edit. */
bool tcp_log_covers(const struct tcp_log *log, uint32_t begin, uint32_t end);

/* Maps a position with a cursor. Call it with ascending positions. */
uint32_t tcp_log_cursor(const struct tcp_log *log, uint32_t begin);
bool tcp_log_covers_next(const struct tcp_log *log, uint32_t *cursor, uint32_t begin, uint32_t end);

/* Adds an edit; the log may then use `limit` bytes. 0, -EEXIST, -ENOBUFS (limit), -ENOMEM. */
int tcp_log_add(struct tcp_log *log, uint32_t begin, const void *bytes, uint16_t old_len, uint16_t new_len,
		size_t limit);

/*
 * Repeats the last edit that ends at or before number[0]. Adds it at n positions, which are all before the next
 * edit. The log may then use `limit` bytes. Returns the number of positions for which there was room.
 */
uint32_t tcp_log_repeat(struct tcp_log *log, const uint32_t *number, uint32_t n, size_t limit);

/* Finds the first edit that begins after sequence; *begin: its first number. false: there is none. */
bool tcp_log_next(const struct tcp_log *log, uint32_t sequence, uint32_t *begin);

/* Compares two texts. Most texts are short: a call of memcmp or memcpy would cost more than this loop. */
static inline bool tcp_same_text(const uint8_t *a, const uint8_t *b, size_t n)
{
	return n > 2 ? memcmp(a, b, n) == 0 : (n == 0 || a[0] == b[0]) && (n < 2 || a[1] == b[1]);
}

static inline void tcp_copy_text(uint8_t *to, const uint8_t *from, size_t n)
{
	if (n == 1)
		*to = *from;
	else if (n == 2)
		memcpy(to, from, 2);
	else if (n)
		memcpy(to, from, n);
}

/* Computes the shifts. Call it after all edits of a segment were added and before positions are mapped. */
void tcp_log_sum(struct tcp_log *log);

/* The number of edits that begin after this position. */
uint32_t tcp_log_count_after(const struct tcp_log *log, uint32_t sequence);

/*
 * Does the same as tcp_log_add() for an edit that comes after all others and has the text of the last one, if there
 * is room. It is inline, because a segment may be full of matches.
 */
static inline bool tcp_log_append(struct tcp_log *log, uint32_t begin, const void *bytes, size_t old_len,
				  size_t new_len)
{
	uint32_t i = log->end;
	struct tcp_kind *k;

	if (i == log->first || i == log->room)
		return false;
	k = &log->kind[log->which[i - 1]];
	if (k->old_len != old_len || k->new_len != new_len || before(begin, log->begin[i - 1] + k->old_len) ||
	    begin - log->begin[log->first] > TCP_SPAN_MAX || !tcp_same_text(k->bytes, bytes, new_len))
		return false;
	k->refs++;
	log->begin[i] = begin;
	log->which[i] = log->which[i - 1];
	if (i % TCP_BLOCK == 0)
		log->shift[i / TCP_BLOCK] = log->total;
	if (log->summed == i)
		log->summed++;
	log->end++;
	log->total += (uint32_t)(new_len - old_len);
	return true;
}

/* Removes the edit that begins at this position. */
void tcp_log_remove(struct tcp_log *log, uint32_t begin);

/*
 * Remove edits from the log: those that end at or before sequence (a limited number per call), or the n oldest
 * ones. Positions after these edits map as before.
 */
void tcp_log_prune(struct tcp_log *log, uint32_t sequence);
void tcp_log_prune_oldest(struct tcp_log *log, uint32_t n);

/* Copies the text [begin, *end) as the receiver gets it, at most room bytes. Lowers *end if not all of it fits. */
size_t tcp_log_copy(const struct tcp_log *log, uint32_t begin, uint32_t *end, const uint8_t *from,
		    uint8_t *to, size_t room);

size_t tcp_log_bytes(const struct tcp_log *log);
void tcp_log_free(struct tcp_log *log);

/* ---- table.c: connections, memory, counters --------------------------------------------------- */

struct tcp_key {
	uint8_t address[2][16]; /* both endpoints, the smaller one first */
	uint16_t port[2];
	uint32_t zone;
	uint64_t version;
};

struct tcp_range {
	uint32_t begin, end;
};

/* Gaps that are remembered per direction. */
#define TCP_GAPS 32

struct tcp_direction {
	struct tcp_log log;
	/* array of TCP_GAPS, or NULL. Sorted ranges of text before `next` that has not passed yet */
	struct tcp_range *gap;
	/* range of text that was replaced by text of the same length, without an entry in the log */
	struct tcp_range unlogged;
	uint32_t gaps;
	uint32_t isn;
	uint32_t floor;	 /* the receiver has acknowledged everything before this number */
	uint32_t next;	 /* everything before this number was forwarded or is in a gap */
	uint32_t fin;	 /* sequence number after the FIN */
	uint32_t window; /* the largest window that this side has offered, in bytes */
	int8_t scale;	 /* window scale in this side's SYN; -1: none */
	bool known, has_isn, has_fin, has_unlogged;
	bool acknowledged; /* this side has acknowledged something of the other side */
};

/* The classes of connections, in the order in which they are removed for new ones. */
enum tcp_class {
	TCP_TEMPORARY, /* connections that are not established, or are closed */
	/* connections that were never edited: they can be removed and added again without harm */
	TCP_CLEAN,
	TCP_EDITED,
	TCP_CLASSES
};

struct tcp_flow {
	struct tcp_flow *next; /* next connection in the bucket */
	struct tcp_flow *older, *newer;
	struct tcp_key key;
	struct tcp_direction direction[2];
	int64_t used;	/* ms */
	uint64_t order; /* position in the shard's order of use */
	size_t bytes;
	uint32_t bucket;
	uint8_t class;
	bool reset, multipath;
};

struct tcp_list {
	struct tcp_flow *oldest, *newest;
};

struct tcp_shard {
	pthread_mutex_t lock;
	struct tcp_flow **bucket;
	struct tcp_list list[TCP_CLASSES];
	uint32_t count;
	uint64_t order;
	uint8_t *scratch; /* memory to build a payload */
	size_t scratch_room;
};

/* The counters, in the same order as in struct ipq_tcp_stats from `segments` on. */
enum tcp_counter {
	TCP_SEGMENTS,
	TCP_CHANGED,
	TCP_DROPPED,
	TCP_CUT,
	TCP_REPLACED,
	TCP_EVICTED,
	TCP_LATE,
	TCP_NO_MEMORY,
	TCP_NO_ROOM,
	TCP_PROTECTED,
	TCP_MULTIPATH,
	TCP_FRAGMENT,
	TCP_WINDOW,
	TCP_OTHER,
	TCP_COUNTERS
};

struct ipq_tcp {
	struct tcp_shard *shard;
	uint32_t shards, buckets; /* number of shards, and of buckets per shard: powers of two */
	uint32_t max_flows;	  /* maximum number of connections per shard */
	uint32_t max_flow_bytes;
	uint64_t max_bytes;
	bool recorded, in_order;
	uint64_t hash_key[2];
	int64_t (*clock)(void); /* ms */
	atomic_size_t bytes;
	atomic_uint flows;
	atomic_uint_fast64_t counter[TCP_COUNTERS];
};

static inline void tcp_count_many(struct ipq_tcp *t, enum tcp_counter c, unsigned n)
{
	atomic_fetch_add_explicit(&t->counter[c], n, memory_order_relaxed);
}

static inline void tcp_count(struct ipq_tcp *t, enum tcp_counter c)
{
	tcp_count_many(t, c, 1);
}

/* Fills in the key. Returns the index of the side that sends. */
unsigned tcp_make_key(struct tcp_key *key, unsigned version, const uint8_t *addresses, const uint8_t *ports,
		      uint32_t zone);
uint64_t tcp_hash(const struct ipq_tcp *t, const struct tcp_key *key);
struct tcp_shard *tcp_shard_of(const struct ipq_tcp *t, uint64_t hash);

/* Hold the lock of the shard when you call the following functions. */
struct tcp_flow *tcp_flow_first(const struct ipq_tcp *t, const struct tcp_shard *shard, uint64_t hash);
struct tcp_flow *tcp_flow_new(struct ipq_tcp *t, struct tcp_shard *shard, const struct tcp_key *key,
			      uint64_t hash); /* NULL: no memory, or all connections are in use */
void tcp_flow_forget(struct ipq_tcp *t, struct tcp_shard *shard, struct tcp_flow *f);
size_t tcp_flow_bytes(const struct tcp_flow *f);
/* Call this when the flow was used: its class and memory may have changed. */
void tcp_flow_touch(struct ipq_tcp *t, struct tcp_shard *shard, struct tcp_flow *f, enum tcp_class class);

/* ---- connection.c: the state of a connection -------------------------------------------------- */

/* Bits of ipq_tcp_segment.state. */
enum tcp_state {
	TCP_IN_WINDOW = 1 << 0,
	TCP_DROP_SEGMENT = 1 << 1,
	TCP_WRITTEN = 1 << 2, /* bytes of the packet have already been changed */
	TCP_APPENDS = 1 << 4, /* the last edit is in this segment, and another may be appended to it */
	/* the connection is not in the table: replace text of the same length immediately */
	TCP_ONE_SHOT = 1 << 3
};

/* Finds the connection of a segment, and creates it if requested. */
struct tcp_flow *tcp_find(struct ipq_tcp *t, struct tcp_shard *shard, const struct tcp_key *key,
			  uint64_t hash, const struct ipq_tcp_segment *s, bool create);

/* Finds the edited connection that sent this sequence number (in the receiver's numbers). */
struct tcp_flow *tcp_find_quoted(const struct ipq_tcp *t, const struct tcp_shard *shard,
				 const struct tcp_key *key, uint64_t hash, unsigned side, uint32_t sequence);

/* Updates the direction from the segment's header. Called before the edit. */
void tcp_arrive(const struct ipq_tcp *t, struct tcp_flow *f, struct ipq_tcp_segment *s, int scale);

/* The window scale of this side's segments other than its SYN. -1: unknown. */
int tcp_window_scale(const struct tcp_flow *f, unsigned side);

/* Whether [begin, end) is in a gap. */
bool tcp_in_gap(const struct tcp_direction *d, uint32_t begin, uint32_t end);

/* Updates the direction after the segment was sent. Returns the connection's class. */
enum tcp_class tcp_depart(const struct ipq_tcp *t, struct tcp_flow *f, const struct ipq_tcp_segment *s);

/* ---- segment.c -------------------------------------------------------------------------------- */

/* Bytes that the log of this direction may use, according to the limits of the connection and of the table. */
size_t tcp_log_limit(const struct ipq_tcp *t, const struct tcp_flow *f, const struct tcp_log *log);

/* ---- quote.c: segments in ICMP errors ---------------------------------------------------------- */

/*
 * In a quoted segment, restores the numbers that the sender of the segment used. Returns whether the packet is an
 * ICMP error with such a quote.
 */
bool tcp_move_quote(const struct ipq_tcp *t, struct ipq_edit *e, uint32_t zone);

/* ---- header.c: fields to adjust --------------------------------------------------------------- */

struct tcp_seen {
	bool multipath; /* the SYN has an option of Multipath TCP */
	int scale;	/* window scale; -1: no such option */
};

void tcp_scan_options(const struct ipq_edit *e, struct tcp_seen *seen);

/* Each function returns whether it changed the packet. mapped: the new sequence number of the text. */
bool tcp_move_acknowledgement(const struct ipq_tcp *t, const struct tcp_flow *f,
			      const struct ipq_tcp_segment *s);
bool tcp_move_urgent(const struct tcp_log *log, const struct ipq_tcp_segment *s, uint32_t mapped);
bool tcp_lower_mss(struct ipq_edit *e, size_t old_len, size_t new_len, bool every);
bool tcp_clear_multipath(struct ipq_edit *e);

#endif
