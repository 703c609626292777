/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The code that watch and filter share: options, the firewall rules, a thread for each queue, signals, and the end,
 * at which no packet is lost and no rule is left. The subcommand provides the handler.
 */
#ifndef IPQ_SESSION_SESSION_H
#define IPQ_SESSION_SESSION_H

#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <ipq.h>
#include "command.h"
#include "firewall/rules.h"
#include "output/output.h"

#define SESSION_QUEUES_MAX 64
#define SESSION_FAILURES_MAX 8

struct session;

/* One queue and the thread that owns it. */
struct worker {
	struct session *session;
	unsigned index;
	struct ipq_queue *queue;
	struct ipq_packet packet[SOURCE_BATCH_MAX];
	int64_t now;	   /* time in ns, of the capture file if there is one, else of CLOCK_MONOTONIC */
	bool clock_runs;   /* a packet of the capture file has set `now` */
	int error;	   /* the reason why the worker ended: 0 or -errno */
	unsigned count;	   /* number of packets in packet[] that the handler has not finished */
	unsigned next;	   /* index in packet[] at which the handler failed; 0: it has not begun */
	unsigned failures; /* failures in a row */
	int64_t reported;  /* time in ns when a failure was last reported */
	pthread_t thread;
	bool started;
	void *context; /* state of the subcommand */
	_Atomic uint64_t packets, bytes;
	_Atomic uint64_t continued; /* number of packets that session_accept() has repeated */
};

/*
 * started, signal and tick are called in the main thread, all others in the worker's thread. NULL: nothing to do.
 */
struct session_handler {
	/*
	 * Decides n packets of w->packet. Returns 0 or -errno. After an error the handler is called again and
	 * continues with w->next. After more than SESSION_FAILURES_MAX failures in a row the worker ends.
	 */
	int (*batch)(struct worker *w, unsigned n);
	/* Called before each wait. Returns in ms how long the worker may wait, or IPQ_FOREVER. */
	int (*timeout)(struct worker *w);
	/* Called after each wait. Returns 0 or -errno, like batch. */
	int (*wake)(struct worker *w);
	/*
	 * Called at the end: decides all packets that are still held. Called again if packets of a capture file
	 * come after that.
	 */
	void (*finish)(struct worker *w);
	/* Called in the main thread when packets are decided from now on. */
	void (*started)(struct session *s);
	/* Called in the main thread for SIGHUP, SIGUSR1 and SIGUSR2. */
	void (*signal)(struct session *s, int signo);
	/* Called in the main thread from time to time, at least once per second. */
	void (*tick)(struct session *s);
};

struct session {
	const struct command *command;
	char name[32]; /* name for messages: "ipq filter" */
	const struct session_handler *handler;
	void *context; /* state of the subcommand */

	/* values of options */
	const char *source; /* NULL: a queue of the kernel */
	unsigned hooks;	    /* --on: bits of hooks, as in rules_options; 0: no rules of our own */
	enum rules_kind rules_kind;
	enum rules_via via;
	uint32_t mark_bits; /* mask for the mark; 0: the default */
	uint32_t snaplen;   /* bytes per packet for RULES_LOG: see rules_options */
	unsigned queue_first, queue_last;
	bool queue_given, bypass, dry_run, quiet, keep_rules;
	bool flows;	       /* decided flows are left to the kernel; with --on, by our own rules */
	bool needs_reader;     /* end when the reader of the standard output has closed it */
	bool reads_later;      /* the file of rules is read again on SIGHUP */
	const char *writes_in; /* a directory in which files are created later; NULL: none */
	uint32_t flags;	       /* IPQ_O_ flags for the queues */
	uint32_t required;     /* those flags without which the start must fail */
	uint32_t copy_range;
	struct output *output;		  /* output whose threads the session starts */
	const struct bpf_program *filter; /* filters for the firewall rule */
	size_t filters;
	int64_t progress_total; /* bytes of the capture file; 0: no progress line */

	struct worker *worker;
	unsigned workers;
	bool virtual_time; /* packets come from a capture file */
	struct rules *rules;
	/* the mark with which accepted packets are repeated: see session_accept() */
	_Atomic uint32_t repeat_mark, repeat_mask;
	_Atomic uint64_t came_back; /* packets that already had our mark */
	_Atomic bool keeps_flows;   /* the rules now leave decided flows to the kernel */
	/* packets and bytes of such flows: see session_count_passed() */
	uint64_t passed, passed_bytes;
	int64_t checked; /* time in ns of the last check of the rules */
	int missing;	 /* the result of the check that was last reported */
	/* eventfd that is signalled when a worker has ended, or by session_stop() */
	int wake_fd;
	_Atomic bool stopping; /* the session must end */
	_Atomic bool leaving;  /* no packet is queued any more: workers empty their queues */
	_Atomic bool fed;      /* the rules could not be removed: packets are still queued */
	bool interrupted;      /* a signal has ended the wait or the session */
	_Atomic unsigned ended;
	int error;
};

/* The options that both subcommands have: long options to append to their own, and functions to handle them. */
#define SESSION_SHORT_OPTIONS "s:q:"
#define SESSION_LONG_OPTIONS                                                                            \
	{ "source", required_argument, NULL, 's' }, { "queue", required_argument, NULL, 'q' },          \
		{ "queues", required_argument, NULL, 'q' }, { "on", required_argument, NULL, 1000 },    \
		{ "via", required_argument, NULL, 1001 }, { "bypass", no_argument, NULL, 1002 },        \
		{ "dry-run", no_argument, NULL, 1003 }, { "mark-bits", required_argument, NULL, 1005 }, \
		{ "keep-rules", no_argument, NULL, 1006 },                                              \
	{                                                                                               \
		"quiet", no_argument, NULL, 1004                                                        \
	}

/*
 * Handles an option. 0: it was accepted. 1: it is not one of these options. EXIT_USAGE: it has a bad value; prints
 * a message.
 */
int session_option(struct session *s, int option, const char *value);
/* Whether the options can be combined. 0, or EXIT_USAGE after a message. */
int session_check(struct session *s);

/*
 * From now on until session_run(), SIGINT, SIGTERM and SIGQUIT end the process, even if they were ignored when the
 * process was started, as in the background of a shell. This is needed because opening a FIFO may take for ever.
 */
void session_end_by_signals(void);
/*
 * Runs the session to its end. context[i] becomes the context of worker i. Returns the exit status: 0, or 1 after a
 * message.
 */
int session_run(struct session *s, void *const *context);
/* Closes the queues. */
void session_close(struct session *s);

/*
 * Changes an accept verdict so that the packet continues with the firewall rule after ours. Other verdicts are not
 * changed. Accept verdicts are not changed either where this is not needed (nftables, a capture file, the user's
 * own rules).
 */
void session_accept(struct worker *w, const struct ipq_packet *packet, struct ipq_verdict *verdict);

/*
 * Calls rules_extend() for the session's rules. With --keep-rules, first adds the rules again if they are missing.
 */
int session_extend_rules(struct session *s, const struct bpf_program *filter, size_t filters,
			 struct ipq_error *e);

/* Stores in s->passed how many packets of decided flows the firewall has passed. Called in the main thread. */
void session_count_passed(struct session *s);

/* Ends the session. May be called from any thread. */
void session_stop(struct session *s);
/* Makes every worker call its handler's wake(). */
void session_wake_all(struct session *s);

/* The time at which this packet arrived, in ns since 1970. */
int64_t session_packet_time(const struct worker *w, const struct ipq_packet *packet);
/*
 * In a capture file the time advances with the packets, and never goes back. True: this packet has advanced the
 * time.
 */
bool session_advance_clock(struct worker *w, const struct ipq_packet *packet);
/* Copies the name of an interface; "" if there is none. */
void session_interface(struct worker *w, const struct ipq_packet *packet, bool in, char name[32]);

/* Computes the sum of the workers' statistics. Call it when the workers have ended. */
void session_stats(struct session *s, struct ipq_stats *sum);

#endif
