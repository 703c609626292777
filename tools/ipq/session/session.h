/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shared by watch and filter: options, the firewall rules, a thread for each queue, signals, and an orderly end:
 * no packet is lost, no rule is left. The subcommand provides the handler.
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
	int64_t now;	   /* ns; the capture file's time if there is one, else CLOCK_MONOTONIC */
	bool clock_runs;   /* now was set by a packet of the capture file */
	int error;	   /* why it ended: 0 or -errno */
	unsigned count;	   /* packets of packet[] that the handler has not finished */
	unsigned next;	   /* index in packet[]: the handler failed at this one; 0: it has not begun */
	unsigned failures; /* failures in a row */
	int64_t reported;  /* when a failure was reported, ns */
	pthread_t thread;
	bool started;
	void *context; /* the subcommand's own */
	_Atomic uint64_t packets, bytes;
	_Atomic uint64_t continued; /* packets that session_accept() repeats */
};

/* started, signal and tick run in the main thread, all others in the worker's thread. NULL: nothing to do. */
struct session_handler {
	/* Decides n packets of w->packet. Returns 0 or -errno: then it is called again, and continues with w->next.
	 * After more than SESSION_FAILURES_MAX failures in a row the worker ends. */
	int (*batch)(struct worker *w, unsigned n);
	/* Called before each wait. Returns how long the worker may wait: ms, or IPQ_FOREVER. */
	int (*timeout)(struct worker *w);
	/* Called after each wait. 0 or -errno, as batch. */
	int (*wake)(struct worker *w);
	/* At the end: decides whatever is still held. Called again if packets of a capture file come after that. */
	void (*finish)(struct worker *w);
	/* Main thread: packets are decided from now on. */
	void (*started)(struct session *s);
	/* Main thread: SIGHUP, SIGUSR1, SIGUSR2. */
	void (*signal)(struct session *s, int signo);
	/* Main thread: from time to time, at least once per second. */
	void (*tick)(struct session *s);
};

struct session {
	const struct command *command;
	char name[32]; /* "ipq filter" */
	const struct session_handler *handler;
	void *context; /* the subcommand's own */

	/* options */
	const char *source; /* NULL: a queue of the kernel */
	unsigned hooks;	    /* --on: bits as in rules_options; 0: without our own rules */
	enum rules_kind rules_kind;
	enum rules_via via;
	uint32_t mark_bits; /* 0: the default */
	uint32_t snaplen;   /* RULES_LOG: see rules_options */
	unsigned queue_first, queue_last;
	bool queue_given, bypass, dry_run, quiet, keep_rules;
	bool flows;	       /* decided flows are left to the kernel, with --on by our own rules */
	bool needs_reader;     /* end when the reader of the standard output has closed it */
	bool reads_later;      /* reads a file of rules on SIGHUP */
	const char *writes_in; /* a directory in which files are created later; NULL: none */
	uint32_t flags;	       /* IPQ_O_ */
	uint32_t required;     /* the flags without which the start fails */
	uint32_t copy_range;
	struct output *output;		  /* the session starts its threads */
	const struct bpf_program *filter; /* for the firewall rule */
	size_t filters;
	int64_t progress_total; /* bytes of the capture file; 0: no progress line */

	struct worker *worker;
	unsigned workers;
	bool virtual_time; /* packets come from a capture file */
	struct rules *rules;
	_Atomic uint32_t repeat_mark, repeat_mask; /* see session_accept() */
	_Atomic uint64_t came_back;		   /* packets that had our mark already */
	_Atomic bool keeps_flows;		   /* the rules leave decided flows to the kernel */
	uint64_t passed, passed_bytes;		   /* packets of such flows: see session_count_passed() */
	int64_t checked;			   /* time of the last check of the rules, ns */
	int missing;				   /* the result that was reported */
	int wake_fd;				   /* eventfd: a worker has ended, or session_stop() */
	_Atomic bool stopping;			   /* the session must end */
	_Atomic bool leaving; /* no packet is queued any more: workers empty their queues */
	_Atomic bool fed;     /* the rules could not be removed: packets are still queued */
	bool interrupted;     /* a signal has ended the session */
	_Atomic unsigned ended;
	int error;
};

/* The options that both have: long options to append to, and what to do with them. */
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

/* Handles an option. 0: accepted. 1: it is another option. EXIT_USAGE: a bad value; prints a message. */
int session_option(struct session *s, int option, const char *value);
/* Can the options be combined? 0, or EXIT_USAGE after a message. */
int session_check(struct session *s);

/*
 * Up to session_run() SIGINT, SIGTERM and SIGQUIT end the process, also if it was started with these ignored, as by a
 * shell in the background: opening a FIFO may take for ever.
 */
void session_end_by_signals(void);
/* Runs to the end; context[i] becomes that of worker i. Returns the exit status: 0, or 1 after a message. */
int session_run(struct session *s, void *const *context);
/* Closes the queues. */
void session_close(struct session *s);

/*
 * Changes an accept verdict so that the packet continues with the firewall rule after ours. Does not change other
 * verdicts, nor accept where this is not needed (nftables, a capture file, the user's own rules).
 */
void session_accept(struct worker *w, const struct ipq_packet *packet, struct ipq_verdict *verdict);

/* rules_extend() on the session's rules; with --keep-rules it adds them again before that if they are missing. */
int session_extend_rules(struct session *s, const struct bpf_program *filter, size_t filters,
			 struct ipq_error *e);

/* Main thread: asks the firewall how many packets of decided flows passed, for s->passed. */
void session_count_passed(struct session *s);

/* Ends the session from any thread. */
void session_stop(struct session *s);
/* Makes every worker call its handler's wake(). */
void session_wake_all(struct session *s);

/* The time when this packet arrived, in ns since 1970. */
int64_t session_packet_time(const struct worker *w, const struct ipq_packet *packet);
/* In a capture file the packets are the clock, which never goes back. True: this packet has advanced it. */
bool session_advance_clock(struct worker *w, const struct ipq_packet *packet);
/* Copies the name of an interface; "" for none. */
void session_interface(struct worker *w, const struct ipq_packet *packet, bool in, char name[32]);

/* The sum of the workers' statistics. Call it when they have ended. */
void session_stats(struct session *s, struct ipq_stats *sum);

#endif
