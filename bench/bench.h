/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation
 *
 * The driver (main.c) makes a private network namespace, and in most scenarios another one for each consumer. Each
 * consumer is a process, so that its CPU time can be measured. The driver sends the traffic and receives the
 * accepted packets: no figure comes from a consumer. Consumers count in shared memory, only so that the sums can be
 * checked afterwards: sent = accepted + dropped + overflow, and accepted = arrived. A measurement whose sums
 * disagree fails the whole run. (If the kernel splits a merged packet and the queue is full, it drops the first
 * piece that does not fit and all pieces after it, but counts only one drop. Then the sum is checked against a
 * lower and an upper bound.)
 *
 * Measurements are paired: in a round the consumers take turns of about 10 ms: A, B, C, A, B, C ... (measure.c). A
 * ratio is the median of the ratios of all rounds, so a disturbance that affects a whole round has little effect on
 * it.
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
#define PORT_PACKETS 9000 /* port of the packets; its socket is emptied from time to time */
#define PORT_MARKERS 9001 /* port of the last packets of each group: the driver sleeps until they arrive */
#define PORT_TCP 9100
/* The mark of packets to PORT_MARKERS: consumers accept them, whatever they do with other packets. */
#define MARKER 0x6d61726bu
#define RECEIVE_BUFFER (32u << 20)

enum bench_verdict { ALWAYS_ACCEPT, ALWAYS_DROP, SEND_BACK, ACCEPT_AND_DROP };
enum bench_order { OLDEST_FIRST, NEWEST_FIRST, SHUFFLED };

/* The counters of one reader. Only that reader writes them. */
struct tally {
	_Alignas(128) _Atomic uint32_t ready;
	_Atomic uint64_t received, accepted, dropped;
};

static inline void tally_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_release);
}

/* The task of a consumer. */
struct job {
	enum bench_verdict verdict;
	enum bench_order order; /* used when hold > 1 */
	/* number of packets to collect before the first of them is decided; 1: decide immediately */
	unsigned hold;
	unsigned queues;
	bool meta;  /* copy no payload */
	bool split; /* NFQA_CFG_F_GSO off for all consumers: merged packets arrive split */
	int cpu;    /* processor of the first thread; -1: any */
	uint32_t queue_length;
	struct tally *tally; /* one for each queue */
	int tally_file;	     /* descriptor of the mapped file */
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

/* The abilities of a consumer, besides accepting and dropping packets immediately. */
enum consumer_traits {
	ANY_ORDER = 1 << 0,
	REPLACES = 1 << 1,
	MANY_QUEUES = 1 << 2,
	LATENCY_ONLY = 1 << 3,
	SUPERVISED = 1 << 4,
	HOLDING_ONLY = 1 << 5,
	OTHER_TREE = 1 << 6 /* the consumer is loaded by other_tree_load */
};

#define UNAVAILABLE 77
/* Reads the queue until it is killed. Returns only on failure, after a message on stderr: UNAVAILABLE, or -1. */
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
int old_program(char **argument); /* the program that consume_run starts */
#define REFERENCE "nfq"		  /* the consumer by which ratios are divided */

/* ---- hold.c: holding back packets, for consumers that decide one packet at a time -------------- */

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
/* The indexes 0 .. n - 1 in the order in which the packets are decided. NULL: no memory. */
uint32_t *order_make(enum bench_order order, unsigned n);
int hold_init(struct hold *hold, const struct job *job, struct tally *tally, decide_one *decide,
	      void *context);
/* Gives a verdict without payload, now or when job->hold packets wait. */
int hold_packet(struct hold *hold, uint32_t id, uint32_t mark);

int socket_enlarge(int fd); /* sets the same receive buffer for every consumer; returns the size in force */

/* ---- scenarios (scenarios.c) ------------------------------------------------------------------ */

enum pattern {
	WINDOW,	 /* groups are sent while at most `window` packets are in flight */
	LATENCY, /* one packet in flight, each timed */
	PACED,	 /* sent at a fixed rate, independent of arrivals; each packet timed */
	FLOOD,	 /* sent without waiting; overflow is counted */
	HOLDING, /* bursts, paced so that nothing overflows, for consumers that hold packets back */
	TCP	 /* a stream over veth, MTU 1500 */
};

enum placement {
	PLACED_ANYWHERE, /* the scheduler chooses the processors */
	PLACED_APART, /* the driver on the first processor, the consumer on the following ones, as with --pin */
	PLACED_TOGETHER /* driver and consumer on one processor */
};

struct scenario {
	const char *name, *what;
	enum pattern pattern;
	unsigned size;		/* UDP payload bytes */
	unsigned group, window; /* number of packets */
	unsigned segments;	/* packets that arrive together (one UDP GSO send); 0: each is sent alone */
	unsigned packets;	/* packets in a measurement; for TCP, megabytes */
	enum bench_verdict verdict;
	enum bench_order order;
	unsigned hold;
	unsigned rate; /* PACED: packets per second */
	unsigned queues;
	bool meta, split;
	enum placement place;
	bool awake;	       /* the driver polls for arrivals instead of sleeping */
	bool one_by_one;       /* the sender makes one system call for each packet */
	unsigned queue_length; /* length of the queue; 0: 8192 */
};
extern const struct scenario scenarios[];
extern const unsigned scenario_count;
bool scenario_suits(const struct scenario *s, const struct consumer *c);

/* ---- one measurement ---------------------------------------------------------------------------- */

struct result {
	bool done, overflow_known;
	uint64_t sent, handled; /* packets decided by the consumer within the measured time */
	/* counts over the consumer's lifetime, including the warm-up */
	uint64_t total_sent, accepted, dropped, arrived;
	/* packets that the consumer never received; and the kernel's count of them */
	uint64_t lost, overflow;
	double seconds;
	double rate;	       /* packets per second; for TCP, megabytes per second */
	double cpu, kernel;    /* ns per packet (TCP: per kilobyte) of the consumer, and of kernel threads */
	double p50, p99, p999; /* latencies in us, for LATENCY and PACED */
	double p99_window;     /* the median of the p99s of each 200 packets */
};

/* Returns 0, UNAVAILABLE (this consumer cannot do it), or -1 */
int measure(const struct scenario *s, const struct consumer *c, unsigned scale, bool pin, struct result *r);

/* Several consumers, which take turns. Not for TCP. */
struct contest {
	const struct consumer *consumer;
	struct result *result;
	int err; /* the result of measure() */
};
void measure_in_turn(const struct scenario *s, struct contest *all, unsigned n, unsigned scale, bool pin);

struct traffic;
int traffic_open(struct traffic **t, const struct scenario *s);
void traffic_close(struct traffic *t);
/* Sends packets in the scenario's pattern and waits until all are decided. Adds to the result. */
int traffic_run(struct traffic *t, const struct job *job, unsigned packets, struct result *r);
/* Sends the same packets without a result. */
int traffic_warm_up(struct traffic *t, const struct job *job, unsigned packets);
/* Writes the latencies of all runs so far. */
void traffic_latency(struct traffic *t, struct result *r);
uint64_t traffic_sent(const struct traffic *t);
/* Waits until the accepted packets have arrived and counts them. */
uint64_t traffic_arrived(struct traffic *t, uint64_t expected);

int tcp_start(void); /* starts the second namespace, which exists until the driver ends */
int tcp_run(unsigned megabytes, struct result *r);

/* ---- ipq filter (filter.c) ------------------------------------------------------------------------ */

/* Prints tables and limits; returns the number of failures. */
unsigned filter_measure(unsigned rounds, unsigned scale, unsigned capture_mib, bool live, bool capture);

/* ---- flows left to the kernel (flows.c) ----------------------------------------------------------- */

/* Prints tables and limits; returns the number of failures. */
unsigned flows_measure(unsigned rounds, unsigned scale);

/* ---- the environment (ground.c) ----------------------------------------------------------------- */

int ground_enter(void); /* enters private namespaces and brings up loopback */
int ground_net(void);	/* a descriptor of the current network namespace; or -1 */
/* enters a new network namespace and brings up loopback; returns the value of ground_net() */
int ground_new_net(void);
int ground_enter_net(int net);
const char *ground_iptables(void); /* the name of an iptables command that can queue packets here, or NULL */
int ground_rules(unsigned queues);
int ground_command(const char *format, ...) __attribute__((format(printf, 1, 2)));
struct queue_counts {
	bool known; /* false: only root of the first user namespace can read the file */
	uint64_t waiting;
	uint64_t overflow; /* dropped by the kernel before a consumer received them */
};
struct queue_counts ground_queues(void);
uint64_t ground_sink_errors(void); /* UDP packets that found a socket of the driver full */
uint64_t kernel_threads_ns(void);
uint64_t process_ns(pid_t pid); /* CPU time of a process and its descendants */
uint64_t now_ns(void);
void pin_to(int cpu); /* processor; -1: any */

/* ---- figures (report.c, judge.c) ----------------------------------------------------------------- */

enum metric { RATE, CPU, CPU_AND_KERNEL, P50, P99, P99_WINDOW, P999 };
struct results {
	unsigned rounds;
	struct result *cell; /* [scenario][consumer][round] */
};
struct result *result_at(const struct results *all, unsigned scenario, unsigned consumer, unsigned round);
double median(double *value, unsigned n); /* sorts the values; NAN if n is 0 */
double median_of(const struct results *all, unsigned scenario, unsigned consumer, enum metric metric);
/* A row in the results of a scenario. */
struct place {
	unsigned scenario, consumer;
};
/* The median over the rounds of a's figure divided by b's (NAN if one is missing), and the quartiles. */
double ratio_of(const struct results *all, struct place a, struct place b, enum metric metric, double *low,
		double *high);
int consumer_index(const char *name); /* -1: no consumer has this name */
int scenario_index(const char *name);
void report_scenario(const struct results *all, unsigned scenario);
int report_csv(const struct results *all, const char *directory);
/* Compares the results with the project's own limits. Prints a line for each limit that was measured. */
void judge(const struct results *all);

#endif
