/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A source with packets from a test, which records the verdicts. Single-threaded. */
#ifndef FAKE_H
#define FAKE_H

#include "source/source.h"

struct fake_verdict {
	uint32_t id, code, tag, mark;
	bool replaced;
	struct source_verdict given; /* as it was sent; its payload is gone */
	unsigned char *payload;	     /* the accepted bytes: the replacement, or the packet itself */
	size_t payload_len;
	struct fake_verdict *next;
};

struct fake {
	struct source source;		       /* first: the seam's view */
	int event;			       /* readable while there is something; -1: recv never blocks */
	struct fake_packet *packets, *waiting; /* to be received; handed out */
	struct fake_verdict *verdicts;	       /* in order */
	struct source_refusal refusal[1024];   /* more than an engine asks between two looks */
	unsigned refusals;
	unsigned long refused; /* all that there ever were */
	uint32_t next_id;
	bool end; /* after the last packet recv returns -ENODATA, or this: */
	int end_error;
	bool lossless; /* set before the source is asked for */
	bool repeats;  /* NF_REPEAT and NF_QUEUE bring packets back */
	struct source_config config;
	unsigned configured, sends, receives;
	int configure_error, send_error; /* given once, then cleared */
	unsigned send_most;		 /* verdicts that a send takes; 0: all */
	/* Called when packets are about to be received, once: what comes between the reader's poll and its recv. */
	void (*meanwhile)(void *context);
	void *context;
	struct source_counts counts; /* returned, with the number of packets that wait */
	bool closed_is_freed; /* close frees all; else the test looks at it afterwards and calls fake_free */
	bool closed;
};

struct fake *fake_new(bool with_descriptor);
void fake_free(struct fake *f);
struct source *fake_source(struct fake *f);

/*
 * The id it got. The payload is copied; id, payload and payload_len of p are not looked at; full_len is at least len.
 */
uint32_t fake_push(struct fake *f, const struct ipq_packet *p, const void *payload, size_t len);
/* An Internet packet without anything special. */
uint32_t fake_push_plain(struct fake *f, uint8_t family, size_t len);
/* Packets of that interface are gone, as when it goes down; a verdict on them is refused. */
void fake_forget(struct fake *f, uint32_t interface);
/* Hands the next packet out past the reader, as if it had been before the reader's time. */
void fake_receive(struct fake *f, struct ipq_packet *packet);
void fake_end(struct fake *f);
void fake_repeats(struct fake *f);
size_t fake_waiting(const struct fake *f);
/* The oldest verdict, to be freed with fake_verdict_free(); NULL: none. */
struct fake_verdict *fake_verdict(struct fake *f);
void fake_verdict_free(struct fake_verdict *v);

/* Interfaces: the index of a name with that type, made when there is none. */
uint32_t fake_interface(const char *name, uint16_t type);

#endif
