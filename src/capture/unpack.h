/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compressed input: gzip by zlib, zstd by libzstd. */
#ifndef CAPTURE_UNPACK_H
#define CAPTURE_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct unpack;

/*
 * Begins to unpack a file whose first n bytes are given (at most 512 KiB; 4 bytes are enough to recognise the
 * format). *u: NULL if it is not compressed. 0; -EOPNOTSUPP, with the format's name in *format, if this build
 * cannot unpack it; -ENOMEM.
 */
int unpack_open(struct unpack **u, const uint8_t *bytes, size_t n, const char **format);
void unpack_close(struct unpack *u);

/*
 * Does the same as read(2), for the unpacked bytes of fd. -1 with errno EBADMSG: damaged, or cut; EFBIG: zstd would
 * need too much memory.
 */
ssize_t unpack_read(struct unpack *u, int fd, void *to, size_t room);
/* Whether compressed bytes are in memory. */
bool unpack_ready(const struct unpack *u);

#endif
