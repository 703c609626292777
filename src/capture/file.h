/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Capture files as streams of records: reading pcap and pcapng, writing pcap. Neither knows of packets or
 * verdicts.
 */
#ifndef CAPTURE_FILE_H
#define CAPTURE_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "capture/link_layer.h"
#include "source/source.h"

/* A record as it stands in the file. */
struct capture_record {
	int64_t sec;
	uint64_t nsec;	      /* some files have more than a second's worth, and keep it */
	uint32_t caplen, len; /* bytes here, bytes of the frame */
};

struct capture_reader;

/* Opens path ("-": standard input) and reads what stands before the first record. */
int capture_reader_open(struct capture_reader **r, const char *path, struct ipq_error *e);
void capture_reader_close(struct capture_reader *r);

/*
 * The next record, valid until the next call. 1; 0 when a pipe has nothing yet; -ENODATA at the end;
 * -EBADMSG when the file is cut or damaged, with the place in *e; -errno when reading failed. Blocks only
 * for the rest of a record whose beginning has come through a pipe.
 */
int capture_read(struct capture_reader *r, struct capture_record *record, const uint8_t **data,
		 struct ipq_error *e);

/* The descriptor to wait for when capture_read returned 0. */
int capture_reader_fd(const struct capture_reader *r);
bool capture_reader_ready(const struct capture_reader *r);
const struct frame_link *capture_reader_link(const struct capture_reader *r);
bool capture_reader_nanoseconds(const struct capture_reader *r);
uint64_t capture_reader_position(const struct capture_reader *r); /* bytes read so far */
uint64_t capture_reader_size(const struct capture_reader *r);	  /* of the file; 0 when it is none */

struct capture_writer;

/*
 * Creates or empties path ("-": standard output) and writes the file's header. Refuses (-EINVAL) the file
 * that r reads. What is written has r's link type and resolution of time.
 */
int capture_writer_open(struct capture_writer **w, const char *path, const struct capture_reader *r,
			struct ipq_error *e);
void capture_writer_close(struct capture_writer *w); /* flushes */
void capture_writer_close_after_fork(
	struct capture_writer *w); /* what is buffered: a forked child's copy of it */

/*
 * Appends a record whose bytes are head and then body; caplen of the record is their sum. 0 or -errno;
 * after an error nothing more can be written and every call returns it. No cancellation point.
 */
int capture_write(struct capture_writer *w, const struct capture_record *record, const void *head,
		  size_t head_len, const void *body, size_t body_len);
int capture_flush(struct capture_writer *w);
uint64_t capture_writer_position(const struct capture_writer *w); /* bytes written so far, buffered or not */

#endif
