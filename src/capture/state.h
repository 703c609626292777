/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The inside of the capture source, shared by its halves: see source_pcap.c for how it works. */
#ifndef CAPTURE_STATE_H
#define CAPTURE_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "capture/capture.h"
#include "capture/held.h"
#include "capture/source.h"
#include "source/source.h"

#define REFUSALS_MAX 1024 /* not yet reported; more are only counted, as a full socket would lose them */
#define PAYLOAD_MAX 65535
#define NSEC 1000000000LL

enum wait {
	WAIT_NOTHING, /* recv has something: "ready" is readable */
	WAIT_VERDICT, /* nothing until send or configure is called */
	WAIT_TIME,    /* the record at hand is not due: "timer" is armed */
	WAIT_INPUT    /* a pipe is empty: its descriptor is in the set */
};

struct pcap_source {
	struct source source;
	struct source_pcap_name name;

	/* the receiver's own */
	struct capture_reader *in;
	bool at_hand; /* record, data and frame hold what is to be delivered next */
	struct capture_record record;
	const uint8_t *data;
	struct frame frame;
	bool clock_runs;
	int64_t clock_start, file_start; /* what the clocks showed at the first record */
	struct ipq_error end_text;

	pthread_mutex_t lock;
	struct source_config config;
	bool configured;
	struct capture_writer *out;
	struct held_store store;
	struct held_list again;	  /* come back, not yet delivered */
	struct held_list passing; /* no IP; id is that of the first packet behind */
	uint32_t next_id;
	int end; /* what recv returns when all is delivered: -ENODATA, -errno; 0: not there yet */
	struct source_refusal refusal[REFUSALS_MAX];
	unsigned refusals;
	struct pcap_summary summary;
	struct ipq_error write_text;

	enum wait wait;
	int poll_fd, ready_fd, timer_fd, wake_fd;
	atomic_bool woken;
};

static inline struct pcap_source *pcap_of(struct source *s)
{
	return (struct pcap_source *)s;
}

/* Lock held, for all of these. */

/* What makes the descriptor readable from now on. due is for WAIT_TIME, by CLOCK_MONOTONIC. */
void source_pcap_wait_for(struct pcap_source *p, enum wait wait, int64_t due);
/* As many wait for verdicts as may. */
bool source_pcap_full(const struct pcap_source *p);
/* Puts into the file what is buffered. 0 or -errno, also in words. */
int source_pcap_flush(struct pcap_source *p);
/* Lets the frames without IP go that stand before packet id, or all when nothing waits. 0 or -errno. */
int source_pcap_let_pass(struct pcap_source *p, uint32_t id, bool all);

int source_pcap_recv(struct source *s, struct source_slot *slot, struct ipq_packet *packet, unsigned max,
		     int timeout_ms, source_refused refused, void *context);
int source_pcap_send(struct source *s, const struct source_verdict *verdict, unsigned n);

#endif
