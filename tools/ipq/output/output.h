/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Output of a command while packets wait for it: lines, and a recording. Calls copy into bounded buffers and never
 * wait for a file, a pipe or a terminal; threads of their own write (writer.h). With a capture file as the source no
 * packet waits, and the calls wait for room instead of dropping.
 *
 *	output_open -> (give up privileges) -> output_start -> ... -> output_finish -> output_close
 */
#ifndef IPQ_OUTPUT_OUTPUT_H
#define IPQ_OUTPUT_OUTPUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "output/pcapng.h"
#include "output/print.h"
#include "output/recorder.h"
#include "source/source.h"

struct output;

struct output_options {
	const char *who; /* begin of messages: "ipq watch" */
	struct print_style style;
	struct recorder_options record; /* path NULL: no recording */
	/* NULL: drop lines and records if there is no room; otherwise wait for room until this is true */
	const _Atomic bool *lossless;
	/* show packets of the connection that carries the standard output, too (own_link.h) */
	bool include_own;
	/*
	 * Called by any thread when writing has failed: to the standard output or, if recording is set, to the
	 * file. Nothing more is written.
	 */
	void (*failed)(void *context, bool recording);
	void *context;
};

/* Opens the file to record to. 0, or -errno with a text in *e. */
int output_open(struct output **o, const struct output_options *options, struct ipq_error *e);
/* Starts the threads. From now on text_complain() and text_note() do not wait either. 0 or -errno. */
int output_start(struct output *o);

/*
 * Prints a packet as a line, or as JSON. p->verdict is used later, so it must be a constant. May be called from any
 * thread. False: the line was dropped.
 */
bool output_packet(struct output *o, const struct print_packet *p);
/* Prints whole lines to the standard output. */
bool output_text(struct output *o, const char *text, size_t len);
/* Records a packet in the file, if a file was opened. */
bool output_record(struct output *o, const struct pcapng_record *r);

/*
 * Waits until lines and records are written. If `interrupted` is set, or SIGINT, SIGTERM, SIGQUIT or SIGHUP is pending
 * and blocked, waits at most 0.3 s.
 */
void output_finish(struct output *o, bool interrupted);

/* The number of lines and records that were dropped. */
uint64_t output_lines_dropped(const struct output *o);
uint64_t output_records_dropped(const struct output *o);

/*
 * Reports lost lines and records, and frees the output. Returns the exit status: `status`, or 1 if something could
 * not be written. If a thread is still stuck in a write, ends the process with this exit status instead.
 */
int output_close(struct output *o, int status);

#endif
