/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A source with packets from a test, which records the verdicts. Single-threaded. */
#ifndef FAKE_H
#define FAKE_H

#include "source/source.h"

struct fake_verdict {
	uint32_t id, code, tag, mark;
	bool replaced;
	struct source_verdict given; /* the verdict as it was sent, but its payload is no longer valid */
	unsigned char *payload;	     /* the accepted bytes: the replacement, or those of the packet */
	size_t payload_len;
	struct fake_verdict *next;
};

struct fake {
	struct source source; /* must be first: the struct that readers use */
	int event;	      /* readable if recv returns something; -1: recv never blocks */
	/* packets that are not received yet; packets that are received and undecided */
	struct fake_packet *packets, *waiting;
	struct fake_verdict *verdicts; /* the recorded verdicts, in order */
	/* refusals that recv reports; more than an engine reads at a time */
	struct source_refusal refusal[1024];
	unsigned refusals;
	unsigned long refused; /* the number of all refusals so far */
	uint32_t next_id;
	bool end; /* true: after the last packet, recv returns -end_error, or -ENODATA if that is 0 */
	int end_error;
	bool lossless; /* set this member before the source is used */
	bool repeats;  /* NF_REPEAT and NF_QUEUE deliver packets again */
	struct source_config config;
	unsigned configured, sends, receives;
	int timeout_ms;			 /* the timeout of the last receive */
	int configure_error, send_error; /* an error that is returned once, then cleared */
	unsigned send_most;		 /* maximum number of verdicts that one send accepts; 0: all */
	/*
	 * Called once, when packets are about to be received. It simulates an event between the reader's poll and
	 * its recv.
	 */
	void (*meanwhile)(void *context);
	void *context;
	/* the counts that are returned; the number of waiting packets is added */
	struct source_counts counts;
	bool closed_is_freed; /* close frees the source; otherwise the test calls fake_free */
	bool closed;
};

struct fake *fake_new(bool with_descriptor);
void fake_free(struct fake *f);
struct source *fake_source(struct fake *f);

/*
 * Adds a packet and returns its id. The payload is copied; id, payload and payload_len of p are ignored; full_len is at
 * least len.
 */
uint32_t fake_push(struct fake *f, const struct ipq_packet *p, const void *payload, size_t len);
/* Adds a plain IP packet and returns its id. */
uint32_t fake_push_plain(struct fake *f, uint8_t family, size_t len);
/*
 * Removes the packets of an interface, as the kernel does when the interface goes down. Verdicts on them are
 * refused.
 */
void fake_forget(struct fake *f, uint32_t interface);
/* Receives the next packet without the reader, as if another one had received it earlier. */
void fake_receive(struct fake *f, struct ipq_packet *packet);
void fake_end(struct fake *f);
void fake_repeats(struct fake *f);
size_t fake_waiting(const struct fake *f);
/* Returns the oldest verdict; free it with fake_verdict_free(). NULL: none. */
struct fake_verdict *fake_verdict(struct fake *f);
void fake_verdict_free(struct fake_verdict *v);

/* Returns the index of the interface with this name and type, which is created if necessary. */
uint32_t fake_interface(const char *name, uint16_t type);
void fake_rename(uint32_t interface, const char *name);

#endif
