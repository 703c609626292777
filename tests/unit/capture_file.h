/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Capture files in memory for tests, written by hand, so that the reader is tested against the format. */
#ifndef UNIT_CAPTURE_FILE_H
#define UNIT_CAPTURE_FILE_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include "../exec_again.h"

struct capture_file {
	uint8_t bytes[1 << 18];
	size_t len;
	bool swapped;
	int fd; /* descriptor of the file; -1: not written yet */
	char path[32];
};

#define HOST_IS_BIG (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
/* Combines two fields of 16 bits into one word of 32 bits, in a file in our byte order. */
#define HALVES(first, second) \
	(HOST_IS_BIG ? (uint32_t)(first) << 16 | (second) : (uint32_t)(second) << 16 | (first))

static inline void put(struct capture_file *f, const void *bytes, size_t len)
{
	if (f->len + len > sizeof(f->bytes))
		abort();
	if (len > 0) /* memcpy does not accept NULL, even for 0 bytes */
		memcpy(f->bytes + f->len, bytes, len);
	f->len += len;
}

static inline void put32(struct capture_file *f, uint32_t v)
{
	v = f->swapped ? __builtin_bswap32(v) : v;
	put(f, &v, 4);
}

static inline void put16(struct capture_file *f, uint16_t v)
{
	v = f->swapped ? __builtin_bswap16(v) : v;
	put(f, &v, 2);
}

static inline void put_header(struct capture_file *f, bool swapped, bool nanoseconds, uint32_t link_type)
{
	f->len = 0;
	f->swapped = swapped;
	put32(f, nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4);
	put16(f, 2);
	put16(f, 4);
	put32(f, 0);
	put32(f, 0);
	put32(f, 262144);
	put32(f, link_type);
}

/* The header of a pcapng section, at the beginning of the file. */
static inline void put_section(struct capture_file *f, bool swapped)
{
	f->len = 0;
	f->swapped = swapped;
	put32(f, 0x0a0d0d0a);
	put32(f, 28);
	put32(f, 0x1a2b3c4d);
	put16(f, 1);
	put16(f, 0);
	put32(f, UINT32_MAX);
	put32(f, UINT32_MAX);
	put32(f, 28);
}

static inline void put_record(struct capture_file *f, uint32_t sec, uint32_t fraction, const void *bytes,
			      uint32_t caplen, uint32_t len)
{
	put32(f, sec);
	put32(f, fraction);
	put32(f, caplen);
	put32(f, len);
	put(f, bytes, caplen);
}

/* An Ethernet frame of len bytes with an IPv4 UDP packet whose last byte is n; len includes pad bytes of
 * padding. */
static inline void make_frame(uint8_t *to, size_t len, size_t pad, uint8_t n)
{
	static const uint8_t head[] = { 2, 0, 0, 0, 0, 1,  2,  0, 0, 0,	 0, 9, 8, 0,  0x45, 0, 0,
					0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0,    0, 2 };
	size_t ip_len = len - 14 - pad;

	memset(to, 0x55, len);
	memcpy(to, head, sizeof(head));
	to[16] = (uint8_t)(ip_len >> 8);
	to[17] = (uint8_t)ip_len;
	to[14 + ip_len - 1] = n;
}

static inline void put_frame(struct capture_file *f, uint32_t sec, uint32_t fraction, size_t len, uint8_t n)
{
	uint8_t frame[9000];

	make_frame(frame, len, 0, n);
	put_record(f, sec, fraction, frame, (uint32_t)len, (uint32_t)len);
}

static inline void put_arp(struct capture_file *f, uint8_t n)
{
	uint8_t frame[42] = { 255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 9, 8, 6 };

	frame[41] = n;
	put_record(f, 5, 0, frame, sizeof(frame), sizeof(frame));
}

/* Gives the file a path, which exists as long as the descriptor. */
static inline const char *place(struct capture_file *f)
{
	if (f->fd <= 0)
		f->fd = memfd_create("capture", MFD_CLOEXEC);
	if (f->fd < 0 || ftruncate(f->fd, 0) < 0 || pwrite(f->fd, f->bytes, f->len, 0) != (ssize_t)f->len)
		abort();
	snprintf(f->path, sizeof(f->path), "/proc/self/fd/%d", f->fd);
	return f->path;
}

static inline void fetch(struct capture_file *f)
{
	ssize_t n = pread(f->fd, f->bytes, sizeof(f->bytes), 0);

	if (n < 0)
		abort();
	f->len = (size_t)n;
}

#define IN_FD 50 /* IPQ_SOURCE names these descriptors */
#define OUT_FD 51

/*
 * Starts this program again with IPQ_SOURCE for these files, because the library reads the environment when it is
 * loaded. out: NULL if there is no output file.
 */
static inline _Noreturn void start_again(char **argv, struct capture_file *in, struct capture_file *out)
{
	place(in);
	if (out != NULL)
		place(out);
	if (dup2(in->fd, IN_FD) < 0 || (out != NULL && dup2(out->fd, OUT_FD) < 0))
		abort();
	setenv("IPQ_SOURCE", out != NULL ? "pcap:/proc/self/fd/50,/proc/self/fd/51" : "pcap:/proc/self/fd/50",
	       1);
	exec_again(argv[0], argv); /* not /proc/self/exe: under valgrind, that is valgrind itself */
	perror(argv[0]);
	abort();
}

#endif
