/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation: a lane (udp or tcp) is a queue of the kernel, a process that sends, one that receives, and one
 * reader at a time. All of them map one piece of memory, struct shared, where each field has one writer. The
 * coordinator (main.c) divides the time into eras. An era has one kind of reader:
 *
 *	gate shut -> reader opens -> gate open ... reloads, bursts ... gate shut -> drained -> accounts ->
 *closed
 *
 * The fate of a packet is recorded twice: by the reader before it gives the verdict (fate), and by the receiver
 * (arrived). At the end of an era no packet is in flight, and every packet must be accounted for:
 *
 *	sent + repeated = handed out + overflow (as the kernel and ip_queue's engine count it) + lost at
 *reloads to arrive       = arrived once each + dropped by full receiving sockets (as the kernel counts it)
 *
 * The second equation, and the first without a reload, hold exactly. A reload during traffic loses the packets that
 * wait, and those that arrive while the queue has no owner. Only numbers in a certain range may be missing: from
 * the last number received before the reload (minus REORDER, because ids may be out of order) to the last number
 * sent before the queue was open again.
 */
#ifndef SOAK_H
#define SOAK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* Number of flows. UDP: IPv4 and IPv6 through OUTPUT, IPv4 and IPv6 through INPUT. TCP: IPv4 and IPv6. */
#define FLOWS 4
#define IPV4_FLOWS 0x5
#define IPV6_FLOWS 0xa
#define ERA_PACKETS (1u << 20) /* maximum number of packets of a flow in an era */
#define RELOADS_MAX 16
#define TABLE (1u << 17) /* bytes of the table; each payload is a slice of the table */
#define DATAGRAM_MIN sizeof(struct header)
/* Minimum number of bytes that are copied of a larger packet; 65531 after the first mode under ipq run. */
#define KERNEL_COPIES 65530
#define XOR_EVERY 4096 /* the reader changes one byte out of this number in a TCP stream */
#define XOR_AT 7

enum kind { NEW, STRICT, BATCH, ENGINE, RUN, FILTER, KINDS };
enum class { ACCEPT, DROP, MARK, REPEAT, REPLACE, HOLD, CLASSES };
enum fate { UNSEEN, ACCEPTED, DROPPED, MARKED, REPEATED, AGAIN, REPLACED, HELD, RELEASED, ABANDONED };
enum role { READS_NEW, READS_CLASSIC, READS_UNDER_RUN };
enum order { IDLE, OPEN, RELOAD, DRAIN, CLOSE, QUIT };

#define MARK_OF(seq) (0x1000 + (uint32_t)((seq)&0xff))
#define REPEAT_MARK 9
#define FILTER_MARK 7

/* The beginning of each datagram; the body is a slice of the table. */
struct header {
	char magic[4]; /* `ipq filter` rewrites these bytes */
	uint8_t class; /* the rules of `ipq filter` match this byte */
	uint8_t flow;
	uint16_t era;
	uint32_t size, check;
	uint64_t seq;
	int64_t sent_ns;
};
#define MAGIC "SOAK"
#define REWRITTEN "soaked-through"

struct settings { /* the settings of a reader, which change at each reload */
	uint32_t flags, queue_length, receive_buffer, spin_usec, batch, queue, flows;
};

struct health {
	uint64_t heap; /* bytes of the heap that are in use */
	uint64_t rss_kib, descriptors, threads;
};

struct queue_line { /* a line of /proc/net/netfilter/nfnetlink_queue */
	uint64_t waiting, queue_dropped, user_dropped, ids;
};

#define BUCKETS (64 * 16)
struct histogram {
	uint64_t count, max, bucket[BUCKETS];
};

struct flow {
	_Atomic uint64_t claimed; /* only numbers below this one may have been sent */
	_Atomic uint64_t sent;
	_Atomic uint64_t handed;       /* one more than the highest number that the reader has received */
	_Atomic uint64_t arrived;      /* one more than the highest number that the receiver has received */
	_Atomic uint64_t socket_drops; /* all drops so far by the receiving socket */
	/* the value of socket_drops when this era began; written by the coordinator */
	uint64_t socket_drops_before;
};

struct totals { /* sums over all eras; written by the coordinator */
	uint64_t sent, arrived, dropped, overflow, socket_drops, reload_losses, repeats, reloads, handed;
};

struct window { /* the numbers that a reload may have lost */
	uint64_t from[FLOWS], to[FLOWS];
};

struct shared {
	/* members that the coordinator writes */
	uint64_t seed;
	bool tcp, sees_table;
	_Atomic uint32_t era;
	enum kind kind;
	_Atomic uint32_t gate; /* a bit for each flow that may send */
	_Atomic bool burst, ending;
	_Atomic uint32_t order_number;
	enum order order;
	enum role order_for;
	struct settings next; /* the settings for the next opening */
	struct totals total;
	/* members that the sender writes */
	_Atomic uint32_t gate_seen;
	struct flow flow[FLOWS];
	_Atomic uint64_t bytes_sent;
	/* members that the receiver writes */
	_Atomic uint32_t idle_ticks, connections;
	_Atomic uint64_t bytes_arrived;
	struct histogram prompt, held;
	/* members that the reader writes */
	_Atomic uint32_t order_done;
	int order_result;
	struct settings settings;		    /* the settings in force */
	_Atomic uint64_t handed, repeats, overflow; /* counts of this era */
	unsigned reloads;
	struct window window[RELOADS_MAX];
	struct health opened, drained, closed;
	uint32_t isn[2][65536]; /* initial sequence numbers of TCP by source port, for IPv4 and IPv6 */
	/* members that any thread may write */
	_Atomic uint32_t violations;
	uint8_t table[TABLE];
	uint8_t fate[FLOWS][ERA_PACKETS];    /* the fate of each packet; written by the reader */
	uint8_t arrived[FLOWS][ERA_PACKETS]; /* how often each packet has arrived; written by the receiver */
};

extern struct shared *S;
extern const char *const kind_name[KINDS];

/* Prints a violation with its context, at most twenty times. */
void violation(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Functions of packets.c: contents and fates of datagrams, computed from seed, era, flow and number */
uint64_t scramble(uint64_t x);
uint64_t number_of(unsigned flow, uint64_t seq); /* a random number, which is the same in all processes */
enum class class_of(unsigned flow, uint64_t seq);
void header_make(struct header *h, unsigned flow, uint64_t seq);
bool header_check(const struct header *h);
const uint8_t *body_of(const struct header *h);
/* A replacement: `cut` bytes at the beginning of the body are replaced by `add` bytes. */
void replacement_of(const struct header *h, size_t *cut, size_t *add, const uint8_t **bytes);
/* Checks len bytes of payload: NULL, or a text about the error. FILTER: the only fate is the class. */
const char *payload_check(const uint8_t *payload, size_t len, enum fate fate, struct header *h);
void stream_make(uint8_t *to, size_t len, unsigned flow, uint64_t offset, bool changed);

/* Functions of udp.c and tcp.c: both ends */
void udp_send(void);
void udp_receive(void);
void tcp_send(void);
void tcp_receive(void);

/* Functions of reader.c */
struct look {	      /* a packet that waits, for both APIs */
	void *packet; /* a struct ipq_packet, or a struct ipq_handle */
	unsigned long id;
	uint8_t *payload;
	size_t len;
	uint32_t flags, mark;
	bool has_mark;
};
struct action {
	uint32_t code;		/* NF_ACCEPT, NF_DROP, NF_REPEAT */
	uint32_t mark;		/* 0: the mark does not change */
	const uint8_t *payload; /* NULL: the payload does not change */
	size_t len;
};
struct reader_ops {
	bool marks; /* whether verdicts may have marks */
	int (*open)(const struct settings *s);
	/* calls reader_look for each packet; returns the number of packets, or -errno */
	int (*receive)(int timeout_ms);
	void (*decide)(const struct look *l, const struct action *a);
	struct look (*keep)(const struct look *l);
	void (*free)(struct look *kept);
	void (*flush)(void);
	/* returns losses that the kernel's table of queues does not count; without the table, all losses */
	uint64_t (*lost)(void);
	uint64_t (*refused)(void);
	void (*close)(void);
};
/* The operations of a reader, which have the same names in each file. */
#define READER_OPS                                                                                           \
	.receive = receive, .decide = decide, .keep = keep, .free = free_kept, .flush = flush, .lost = lost, \
	.refused = refused
extern const struct reader_ops reader_new, reader_classic;
enum role role_of(enum kind kind);
int reader_main(const struct reader_ops *ops, enum role role);
void reader_look(struct look *l);
void decide_tcp(const struct look *l, struct action *a); /* function of decide_tcp.c */

/* functions of health.c */
bool queue_line(unsigned queue, struct queue_line *line);
void health_of(pid_t pid, struct health *h); /* `heap` is filled in only for this process */
uint64_t now_ns(void);
void histogram_add(struct histogram *h, uint64_t ns);
void histogram_print(const char *what, const struct histogram *h);
/* a counter of this namespace, the sum of IPv4 and IPv6 */
uint64_t snmp(const char *protocol, const char *name);

/* functions of account.c */
void account_udp(const char *log); /* log: the output of RUN or FILTER; NULL for other readers */
void account_tcp(void);
/* more: how much the values may have grown */
void account_health(const char *of, const char *when, const struct health *before, const struct health *now,
		    const struct health *more);

/* functions of process.c: the processes of a lane */
pid_t start(void (*work)(void));
pid_t start_program(char *const argv[], const char *output);
void stop_program(pid_t pid, const char *what, int signal);
void watch_children(void); /* checks that no child has ended */

#endif
