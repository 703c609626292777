/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Capture files as streams of records: pcap and pcapng. A record keeps the bytes around its frame (the record
 * header; the block with its options), so that it can be written to another file as it was.
 */
#ifndef CAPTURE_FILE_H
#define CAPTURE_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <linux/if.h>
#include "capture/link_layer.h"
#include "source/source.h"

enum capture_kind {
	CAPTURE_BLOCK, /* a part of the file without a frame, such as the description of an interface */
	CAPTURE_PCAP,
	CAPTURE_ENHANCED, /* packet blocks of pcapng */
	CAPTURE_OLD,
	CAPTURE_SIMPLE
};

/* The clock of a file: it counts in 10^-exponent or 2^-exponent seconds, from offset seconds after 1970 on. */
struct capture_clock {
	bool binary;
	uint8_t exponent;
	int64_t offset;
};

/* The exponent of the finest clock: its units in a second fit into 64 bits. */
static inline unsigned capture_finest_exponent(const struct capture_clock *clock)
{
	return clock->binary ? 63 : 19;
}

struct capture_record {
	enum capture_kind kind;
	bool swapped;	      /* the file has the other byte order */
	bool lengths_swapped; /* pcap up to 2.3: the two length fields are exchanged */
	bool begins_section;  /* CAPTURE_BLOCK: the block is the header of a section */
	bool is_interface;    /* the block describes an interface */
	bool continues;	      /* the next record is another piece of this block */
	uint8_t fcs_len;      /* bytes of frame check sequence at the end of the frame */
	uint32_t head, tail;  /* bytes of the record before and after its frame */
	uint32_t caplen, len; /* captured bytes of the frame, bytes of the frame */
	int64_t sec;	      /* time: seconds since 1970, may be negative */
	uint64_t nsec;	      /* time: nanoseconds to add to sec, in some files more than a second */
	uint32_t link_type;   /* link type of the interface */
	/* limit of captured bytes in the file, or of the interface in pcapng; 0: no limit */
	uint32_t snaplen;
	uint32_t interface_index; /* pcapng: index of the interface in its section */
	char interface[IFNAMSIZ]; /* name of the interface; "": not known */
	struct capture_clock clock;
};

/* Stores a number in the byte order of a file. swapped: not that of this machine. */
static inline void capture_put32(bool swapped, void *p, uint32_t v)
{
	if (swapped)
		v = __builtin_bswap32(v);
	memcpy(p, &v, sizeof(v));
}

/* The number of bytes that a record occupies in its file. */
static inline size_t capture_record_size(const struct capture_record *record)
{
	return (size_t)record->head + record->caplen + record->tail;
}

/* ---- reading ---- */

struct capture_reader;

/* Opens path ("-": standard input), uncompressed or compressed by gzip or zstd, and reads its header. */
int capture_reader_open(struct capture_reader **r, const char *path, struct ipq_error *e);
void capture_reader_close(struct capture_reader *r);

/* From now on capture_read() returns the blocks of pcapng that have no frame, too. */
void capture_reader_keep_blocks(struct capture_reader *r);

/*
 * Reads the next record. *data is set to its frame; record->head bytes before and record->tail bytes after it
 * belong to it. Both are valid until the next call. Returns 1; 0 when a pipe has no data yet; -ENODATA at the end;
 * -EBADMSG when the file is cut or damaged, with the place in *e; -errno when reading failed. Blocks only for the
 * rest of a record whose beginning has been read from a pipe.
 */
int capture_read(struct capture_reader *r, struct capture_record *record, const uint8_t **data,
		 struct ipq_error *e);

/* The descriptor to wait for when capture_read() returned 0. */
int capture_reader_fd(const struct capture_reader *r);
bool capture_reader_ready(const struct capture_reader *r);
bool capture_reader_has_sections(const struct capture_reader *r); /* the file is pcapng */
/* The file's header, which an output file begins with. */
const void *capture_reader_header(const struct capture_reader *r, size_t *len);
uint64_t capture_reader_position(const struct capture_reader *r); /* bytes read so far */
/* size of the file; 0: a pipe, or compressed */
uint64_t capture_reader_size(const struct capture_reader *r);

/*
 * Finds the next option with this code in the bytes that follow the frame of a packet block (tail: record->tail
 * bytes). The search starts at *at, which is 0 for the first call. Returns the option's value and sets *size and
 * *at (its end); NULL: no more such options.
 */
const uint8_t *capture_option(const struct capture_record *record, const uint8_t *tail, uint16_t code,
			      size_t *at, size_t *size);

/* ---- writing ---- */

struct capture_writer;

/*
 * Creates or truncates path ("-": standard output) and writes the header of the file that r reads. Refuses
 * (-EINVAL) to write to that file.
 */
int capture_writer_open(struct capture_writer **w, const char *path, const struct capture_reader *r,
			struct ipq_error *e);
void capture_writer_close(struct capture_writer *w); /* flushes */
/* discards buffered bytes, in a forked child */
void capture_writer_close_after_fork(struct capture_writer *w);

/* Appends bytes. 0 or -errno; after an error every call returns it. No cancellation point. */
int capture_write(struct capture_writer *w, const void *bytes, size_t len);

/* A piece of a frame that replaces the frame of a record. */
struct capture_piece {
	const void *bytes;
	size_t len;
};

/*
 * Appends a record with another frame, given in n pieces. len: the length of the frame, including bytes that were not
 * captured. time: the new time (ns since 1970), or NULL. raw: the record as it is in its file. Returns as
 * capture_write() does.
 */
int capture_write_changed(struct capture_writer *w, const struct capture_record *record, const uint8_t *raw,
			  const struct capture_piece *piece, unsigned n, uint32_t len, const int64_t *time);
int capture_flush(struct capture_writer *w);
/*
 * Overwrites bytes at a position that was written before. False: the output is a pipe, or opened for appending.
 */
bool capture_overwrite(struct capture_writer *w, uint64_t position, const void *bytes, size_t len);
uint64_t capture_writer_position(const struct capture_writer *w); /* bytes written so far, buffered or not */

#endif
