/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of the capture source, shared by its files: see source.c for how it works. */
#ifndef CAPTURE_STATE_H
#define CAPTURE_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <linux/if.h>
#include "capture/capture.h"
#include "capture/file.h"
#include "capture/held.h"

#define REFUSALS_MAX 1024 /* refusals that wait to be reported; further ones are only counted */
#define INTERFACES_KNOWN 256
#define LINK_TYPES_UNREAD 8
#define PASSING_MAX 8192 /* frames without IP that wait for the packets before them */
#define NSEC 1000000000LL

/* The parsed name of a source. */
struct source_pcap_name {
	char *in, *out; /* out: NULL if there is no output file */
	bool by_clock;
	uint8_t hook;
	bool hook_given, indev_given,
		outdev_given; /* these options were given: they override the interface of the packet */
	char indev[IFNAMSIZ], outdev[IFNAMSIZ]; /* padded with NULs */
};

/* An interface of the packets. Its index is its position in pcap_source.interface, counted from 1. */
struct pcap_interface {
	char name[IFNAMSIZ];
	uint16_t type; /* ARPHRD_ type */
};

/* The recorded verdict of a packet that was delivered. */
struct recorded {
	uint32_t id;
	char verdict[16]; /* name of the verdict; "": not known */
};

/* Frames of an interface whose link type is not supported. */
struct unread {
	uint32_t link_type;
	uint64_t frames;
};

/* Parses the name of a source. 0; -EINVAL with a message in *e; -ENOMEM. */
int source_pcap_name_parse(struct source_pcap_name *name, const char *arg, struct ipq_error *e);
void source_pcap_name_free(struct source_pcap_name *name);
/* Parses the name of a hook. 0 or -EINVAL. */
int source_pcap_hook_parse(const char *text, uint8_t *hook);

enum wait {
	WAIT_NOTHING, /* recv has something to return: ready_fd is readable */
	WAIT_VERDICT, /* wait until send or configure is called */
	WAIT_TIME,    /* the next record is not due yet: timer_fd is armed */
	WAIT_INPUT    /* the input pipe is empty: its descriptor is in the epoll set */
};

struct pcap_source {
	struct source source;
	struct source_pcap_name name;

	/* used by the receiver only */
	struct capture_reader *in;
	bool at_hand; /* record, data and frame belong to the packet that is delivered next */
	struct recorded recorded[SOURCE_BATCH_MAX];
	uint8_t *large[SOURCE_BATCH_MAX]; /* memory for packets that do not fit into their slot */
	struct capture_record record;
	const uint8_t *data;
	struct frame frame;
	bool clock_runs;
	/* values of the monotonic clock and of the timestamp at the first record */
	int64_t clock_start, file_start;
	struct ipq_error end_text;
	/* the last entry counts the frames of all further link types */
	struct unread unread[LINK_TYPES_UNREAD];
	uint64_t frames_unread;

	pthread_mutex_t lock;
	struct source_config config;
	bool configured;
	struct capture_writer *out;
	bool limit_raised; /* pcap: the limit of captured bytes in the header of the output */
	/* section of the record that is read now; NULL: no output file, or pcap */
	struct section *section;
	struct section *out_section; /* the section of the last record in the output */
	bool inside_block;	     /* the rest of a long block is read before the next record */
	struct held_store store;
	struct held_list again;	  /* repeated packets, not yet delivered again */
	struct held_list passing; /* frames without IP; their id is that of the next packet */
	uint32_t passing_count;
	uint32_t next_id;
	int end; /* result of recv after the last packet: -ENODATA or -errno; 0: end not reached */
	struct source_refusal refusal[REFUSALS_MAX];
	unsigned refusals;
	struct pcap_summary summary;
	struct pcap_interface interface[INTERFACES_KNOWN];
	uint32_t interfaces;
	struct ipq_error write_text;

	enum wait wait;
	int poll_fd, ready_fd, timer_fd, wake_fd;
	atomic_bool woken;
};

static inline struct pcap_source *pcap_of(struct source *s)
{
	return (struct pcap_source *)s;
}

/* Opens the descriptors. 0 or -errno. */
int source_pcap_wait_open(struct pcap_source *p);
void source_pcap_wait_close(struct pcap_source *p);

/* Hold the lock when you call the following functions. */

/* Selects the event that makes the descriptor readable. due: for WAIT_TIME, by CLOCK_MONOTONIC. */
void source_pcap_wait_for(struct pcap_source *p, enum wait wait, int64_t due);
/*
 * Whether the limit of packets waiting for verdicts is reached. Frames without IP do not count: they get no
 * verdict.
 */
bool source_pcap_full(const struct pcap_source *p);
/* Writes an accepted packet, with the verdict's payload if it has one. 0, or -errno with a message in
 * write_text. */
int source_pcap_write(struct pcap_source *p, const struct held *h, const struct source_verdict *v);
/* Makes the frame with the verdict's payload, in pieces. The first one is memory to be freed. 0 or
 * -ENOMEM. */
int source_pcap_change_frame(const struct held *h, const struct source_verdict *v,
			     struct capture_piece piece[3]);
/* Writes the buffer to the file. 0, or -errno with a message in write_text. */
int source_pcap_flush(struct pcap_source *p);
/* Writes the frames without IP that precede packet id in the file; all of them if all is set. 0 or -errno. */
int source_pcap_let_pass(struct pcap_source *p, uint32_t id, bool all);

/* Whether the transport checksum is partial: the network card would have completed it. */
bool source_pcap_checksum_partial(const struct held *h);
/* Fills in hook, mark and interfaces, and the recorded verdict. */
void source_pcap_fill_metadata(struct pcap_source *p, const struct held *h, struct ipq_packet *packet,
			       struct recorded *recorded);

int source_pcap_recv(struct source *s, const struct iovec *slot, struct ipq_packet *packet, unsigned max,
		     int timeout_ms, source_refused refused, void *context);
int source_pcap_send(struct source *s, const struct source_verdict *verdict, unsigned n);
int source_pcap_copy(struct source *s, const struct source_verdict *verdict);

#endif
