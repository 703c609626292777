/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of a reader of capture files, shared by the files that read. */
#ifndef CAPTURE_READER_H
#define CAPTURE_READER_H

#include "capture/file.h"
#include "capture/unpack.h"

#define READ_BUFFER (512 * 1024)
#define CAPLEN_MAX SOURCE_FILE_PACKET_MAX
#define NSEC_PER_SEC 1000000000ULL

/* A description of an interface in a pcapng file. */
struct interface {
	uint16_t link_type;
	uint8_t fcs_len;
	uint32_t snaplen;
	struct capture_clock clock;
	char name[IFNAMSIZ];
};

struct capture_reader {
	char *path;
	int fd;
	struct unpack *unpack; /* NULL: not compressed */
	bool pipe;	       /* a pipe: it may have no data yet */
	bool in_record;	       /* peek does not wait for the rest of a record that comes through a pipe */
	/* peek failed because a pipe has no data yet: bytes that were not consumed are read again */
	bool partial;
	bool end;    /* end of file was reached */
	bool blocks; /* the file is pcapng */
	bool keep_blocks;
	bool swapped;
	int error; /* errno of a failed read */

	/* variants of pcap */
	bool nanoseconds, modified;
	uint16_t minor; /* version */
	uint8_t fcs_len;
	uint32_t link_type, snaplen;

	/* state of pcapng */
	struct interface *interface;
	uint32_t interfaces, interface_room;
	/* type of the block without a frame that is returned next; 0: continue the last one */
	uint32_t block;
	uint32_t block_left; /* bytes of this block that are still to be returned */

	uint8_t *header;
	size_t header_len;
	uint64_t size;
	uint64_t position; /* offset of buffer[at] in the file */
	uint64_t records;
	const char *damage; /* the defect, when a function returned -EBADMSG and the file is not truncated */
	size_t at, filled;
	uint8_t buffer[READ_BUFFER];
};

/* Functions of input.c */
/* reads a number in the byte order of the file */
uint32_t reader_get32(const struct capture_reader *r, const uint8_t *p);
uint16_t reader_get16(const struct capture_reader *r, const uint8_t *p);
/*
 * Returns the next n bytes of the file in one piece, without consuming them. NULL: the file ends before, or
 * r->partial is set.
 */
const uint8_t *reader_peek(struct capture_reader *r, size_t n);
void reader_consume(struct capture_reader *r, size_t n);
/* Consumes n bytes, which may be more than the buffer has. False: the file ends before. */
bool reader_skip(struct capture_reader *r, uint64_t n);
bool reader_at_end(struct capture_reader *r);
/* Stores a description of the defect. Returns -EBADMSG. */
int reader_damaged(struct capture_reader *r, const char *what);
/* Stores the first n bytes as the file's header, and consumes them. 0, -EBADMSG, -ENOMEM. */
int reader_take_header(struct capture_reader *r, size_t n);

/*
 * Functions of pcap.c and pcapng.c. They return 0 or -errno; the read functions return the values of
 * capture_read().
 */
bool pcap_magic(struct capture_reader *r, uint32_t magic);
int pcap_open(struct capture_reader *r);
int pcap_read(struct capture_reader *r, struct capture_record *record, const uint8_t **data);
int pcapng_read_header(struct capture_reader *r);
/*
 * Reads the option at *at, in len bytes of options: its value, code and size. Moves *at to the next option. NULL:
 * no more options.
 */
const uint8_t *pcapng_option(bool swapped, const uint8_t *p, size_t len, size_t *at, uint16_t *code,
			     size_t *size);
/* Whether packets depend on this option of their interface. */
bool pcapng_option_is_read(uint16_t code);
/* begin: the position of the block in the file. */
int pcapng_read(struct capture_reader *r, struct capture_record *record, const uint8_t **data,
		uint64_t *begin);

#endif
