/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation
 *
 * The driver (main.c) makes a private network namespace, for most scenarios another one for each consumer, and
 * starts consumers, each a process of its own, so that its CPU time is its own. The driver itself sends the
 * traffic and receives what was accepted: no figure comes from a consumer itself. Consumers
 * keep a tally in shared memory, only so that the sums can be checked afterwards: sent = accepted + dropped +
 * overflow, and accepted = arrived. A measurement whose sums disagree fails the whole run. (Of a merged packet
 * that is split in front of a full queue, the kernel drops all that follows the first piece that did not fit and
 * counts that one piece: there the sum is checked between these bounds.)
 *
 * Measurements are paired: A, B, C, A, B, C ..., by turns of some 10 ms within a round (measure.c), one round
 * after another, and a ratio is the median of the ratios within the rounds, so that what disturbs a whole
 * round cancels out.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define MAX_QUEUES 2
#define MAX_CONSUMERS 32
#define BATCH 64u
#define PORT_PACKETS 9000 /* read now and then */
#define PORT_MARKERS 9001 /* the last packets of each group: the driver sleeps until they arrive */
#define PORT_TCP 9100
#define MARKER 0x6d61726bu /* their mark: consumers accept them even where they drop */
#define RECEIVE_BUFFER (32u << 20)

enum bench_verdict { ALWAYS_ACCEPT, ALWAYS_DROP, SEND_BACK, ACCEPT_AND_DROP };
enum bench_order { OLDEST_FIRST, NEWEST_FIRST, SHUFFLED };

/* What one reader has done. Written by that reader only. */
struct tally {
	_Alignas(128) _Atomic uint32_t ready;
	_Atomic uint64_t received, accepted, dropped;
};

static inline void tally_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_release);
}

/* What a consumer has to do. */
struct job {
	enum bench_verdict verdict;
	enum bench_order order; /* when hold > 1 */
	unsigned hold;		/* packets collected before the first of them is decided; 1: decide at once */
	unsigned queues;
	bool meta;  /* copy no payload */
	bool split; /* NFQA_CFG_F_GSO off for all consumers: merged packets arrive split */
	int cpu;    /* of the first thread; -1: any */
	uint32_t queue_length;
	struct tally *tally; /* one for each queue */
	int tally_file;	     /* the mapped file */
};

/* The verdict that every consumer has to give: NF_ACCEPT or NF_DROP. */
static inline unsigned job_verdict(const struct job *job, uint32_t id, uint32_t mark)
{
	if (job->verdict == ALWAYS_ACCEPT || job->verdict == SEND_BACK || mark == MARKER)
		return 1;
	return job->verdict == ACCEPT_AND_DROP ? id & 1 : 0;
}

static inline void tally_verdict(struct tally *tally, unsigned verdict)
{
	tally_add(verdict ? &tally->accepted : &tally->dropped, 1);
}

/* What a consumer can do besides accepting and dropping at once. */
enum consumer_traits {
	ANY_ORDER = 1 << 0,
	REPLACES = 1 << 1,
	MANY_QUEUES = 1 << 2,
	LATENCY_ONLY = 1 << 3,
	SUPERVISED = 1 << 4,
	HOLDING_ONLY = 1 << 5,
	OTHER_TREE = 1 << 6 /* loaded by other_tree_load */
};

#define UNAVAILABLE 77
/* Reads the queue until it is killed; returns only after saying on stderr why: UNAVAILABLE, or -1. */
typedef int consumer_run(const struct job *job, unsigned queue, struct tally *tally);

struct consumer {
	const char *name, *title;
	unsigned traits;
	consumer_run *run;
};

consumer_run consume_ipq, consume_ipq_spin, consume_ipq_keep, consume_classic, consume_classic_batch;
consumer_run consume_run, consume_relay;
consumer_run consume_ipq_old, consume_classic_old, consume_run_old;
consumer_run consume_nfq, consume_mnl, consume_raw_one, consume_raw_spin, consume_raw_packed,
	consume_raw_batch;
extern const struct consumer consumers[];
extern const unsigned consumer_count;
int other_tree_load(const char *path); /* a shared object that bench/run --against has built */
#define OLD_PROGRAM "--old-program"
int old_program(char **argument); /* what consume_run starts */
#define REFERENCE "nfq"		  /* what ratios are taken against */

/* ---- consumers that decide one packet at a time share the holding back (hold.c) ---------------- */

typedef int decide_one(void *context, uint32_t id, unsigned verdict);
struct hold {
	const struct job *job;
	struct tally *tally;
	decide_one *decide;
	void *context;
	uint32_t *id;
	uint32_t *order;
	unsigned n;
};
/* Places 0 .. n - 1 in the order in which they are to be decided. NULL: no memory. */
uint32_t *order_make(enum bench_order order, unsigned n);
int hold_init(struct hold *hold, const struct job *job, struct tally *tally, decide_one *decide,
	      void *context);
/* A bare verdict now, or once job->hold packets wait. */
int hold_packet(struct hold *hold, uint32_t id, uint32_t mark);

int socket_enlarge(int fd); /* the same receive buffer for every consumer; returns the size in force */

/* ---- scenarios (scenarios.c) ------------------------------------------------------------------ */

enum pattern {
	WINDOW,	 /* groups are sent as long as no more than window packets are under way */
	LATENCY, /* one packet in flight, each timed */
	PACED,	 /* sent at a fixed rate, whatever arrives, each timed */
	FLOOD,	 /* sent without waiting; what overflows is counted */
	HOLDING, /* bursts, paced so that nothing overflows, for consumers that hold packets back */
	TCP	 /* a stream over veth, MTU 1500 */
};

enum placement {
	PLACED_ANYWHERE, /* as the scheduler likes */
	PLACED_APART, /* the driver on the first processor, the consumer on the following ones, as with --pin */
	PLACED_TOGETHER /* on one processor */
};

struct scenario {
	const char *name, *what;
	enum pattern pattern;
	unsigned size;		/* UDP payload bytes */
	unsigned group, window; /* packets */
	unsigned segments;	/* packets that arrive at once (one UDP GSO send); 0: each is sent singly */
	unsigned packets;	/* a measurement; TCP: megabytes */
	enum bench_verdict verdict;
	enum bench_order order;
	unsigned hold;
	unsigned rate; /* PACED: packets a second */
	unsigned queues;
	bool meta, split;
	enum placement place;
	bool awake;	       /* the driver looks for what arrives without sleeping */
	bool one_by_one;       /* a system call a packet on the sending side */
	unsigned queue_length; /* 0: 8192 */
};
extern const struct scenario scenarios[];
extern const unsigned scenario_count;
bool scenario_suits(const struct scenario *s, const struct consumer *c);

/* ---- one measurement ---------------------------------------------------------------------------- */

struct result {
	bool done, overflow_known;
	uint64_t sent, handled; /* packets decided by the consumer within the measured time */
	/* over the consumer's whole life, warm-up included */
	uint64_t total_sent, accepted, dropped, arrived;
	uint64_t lost, overflow; /* never seen by the consumer; what the kernel counted of that */
	double seconds;
	double rate;	       /* packets a second; TCP: megabytes a second */
	double cpu, kernel;    /* ns a packet (TCP: a kilobyte): the consumer's, the kernel threads' */
	double p50, p99, p999; /* us, LATENCY and PACED */
};

/* 0, UNAVAILABLE (this consumer can't), or -1 */
int measure(const struct scenario *s, const struct consumer *c, unsigned scale, bool pin, struct result *r);

/* Several at once, which take turns. Not for TCP. */
struct contest {
	const struct consumer *consumer;
	struct result *result;
	int err; /* as measure() returns it */
};
void measure_in_turn(const struct scenario *s, struct contest *all, unsigned n, unsigned scale, bool pin);

struct traffic;
int traffic_open(struct traffic **t, const struct scenario *s);
void traffic_close(struct traffic *t);
/* Sends packets in the scenario's pattern and waits until all are decided. Adds to what the result has. */
int traffic_run(struct traffic *t, const struct job *job, unsigned packets, struct result *r);
/* The same, and forgets it. */
int traffic_warm_up(struct traffic *t, const struct job *job, unsigned packets);
/* Of all runs so far. */
void traffic_latency(struct traffic *t, struct result *r);
uint64_t traffic_sent(const struct traffic *t);
/* Waits until the accepted packets have arrived and counts them. */
uint64_t traffic_arrived(struct traffic *t, uint64_t expected);

int tcp_start(void); /* the second namespace; stays until the driver ends */
int tcp_run(unsigned megabytes, struct result *r);

/* ---- ipq filter (filter.c) ------------------------------------------------------------------------ */

/* Prints tables and limits; returns what failed. */
unsigned filter_measure(unsigned rounds, unsigned scale, unsigned capture_mib, bool live, bool capture);

/* ---- flows left to the kernel (flows.c) ----------------------------------------------------------- */

/* The same. */
unsigned flows_measure(unsigned rounds, unsigned scale);

/* ---- the ground (ground.c) ----------------------------------------------------------------------- */

int ground_enter(void);	  /* private namespaces, loopback up */
int ground_net(void);	  /* the network namespace, as a descriptor; -1 */
int ground_new_net(void); /* enters a new one, loopback up; the same */
int ground_enter_net(int net);
const char *ground_iptables(void); /* one that can queue here, or NULL */
int ground_rules(unsigned queues);
int ground_command(const char *format, ...) __attribute__((format(printf, 1, 2)));
struct queue_counts {
	bool known; /* the file is for root of the first user namespace only */
	uint64_t waiting;
	uint64_t overflow; /* dropped by the kernel before a consumer had them */
};
struct queue_counts ground_queues(void);
uint64_t ground_sink_errors(void); /* UDP packets that arrived at a full socket of the driver's */
uint64_t kernel_threads_ns(void);
uint64_t process_ns(pid_t pid); /* with its descendants' */
uint64_t now_ns(void);
void pin_to(int cpu); /* -1: anywhere */

/* ---- figures (report.c, judge.c) ----------------------------------------------------------------- */

enum metric { RATE, CPU, CPU_AND_KERNEL, P50, P99, P999 };
struct results {
	unsigned rounds;
	struct result *cell; /* [scenario][consumer][round] */
};
struct result *result_at(const struct results *all, unsigned scenario, unsigned consumer, unsigned round);
double median(double *value, unsigned n); /* sorts; NAN for none */
double median_of(const struct results *all, unsigned scenario, unsigned consumer, enum metric metric);
/* A row of a scenario. */
struct place {
	unsigned scenario, consumer;
};
/* Median over the rounds of a's figure divided by b's (NAN when one is missing), and the middle half of them. */
double ratio_of(const struct results *all, struct place a, struct place b, enum metric metric, double *low,
		double *high);
int consumer_index(const char *name); /* -1: not there */
int scenario_index(const char *name);
void report_scenario(const struct results *all, unsigned scenario);
int report_csv(const struct results *all, const char *directory);
/* The limits that the project has set itself; prints one line for each that was measured. */
void judge(const struct results *all);

#endif
