/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A thread that writes what other threads produce, through a bounded buffer. A producer copies an item into the buffer
 * and continues: it never waits for a file, a pipe or a terminal. An item that does not fit is dropped and counted.
 */
#ifndef IPQ_OUTPUT_WRITER_H
#define IPQ_OUTPUT_WRITER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct writer;

/* All calls are made by the writer's thread, with the context. */
struct writer_ops {
	/* Takes one item, aligned to 16 bytes. 0, or -errno: no more items are written. */
	int (*write)(void *context, const void *item, size_t len);
	/* The buffer is empty: writes what is held back. 0 or -errno. */
	int (*flush)(void *context);
	/* The last call, also after an error. 0 or -errno. NULL: nothing to do. */
	int (*close)(void *context);
	/* Called once, for the first error. NULL: not wanted. */
	void (*failed)(void *context, int error);
	/* Called when there is room again: n items were dropped since the last call. NULL: not wanted. */
	void (*dropped)(void *context, uint64_t n);
};

/*
 * Starts the thread. size: bytes of buffer, a power of two. lossless: NULL, or producers wait for room until this is
 * true. 0 or -errno.
 */
int writer_start(struct writer **w, const struct writer_ops *ops, void *context, size_t size,
		 const _Atomic bool *lossless);

/* Copies an item of n pieces into the buffer. False: it was dropped. Any thread. */
bool writer_put(struct writer *w, const struct iovec *piece, unsigned n);

/* Items dropped so far: no room, or after an error. */
uint64_t writer_dropped(struct writer *w);
/* The first error, or 0. */
int writer_error(struct writer *w);

/*
 * Ends the input. Waits until all items are written, up to timeout_ms. True: the thread has ended. False: not yet; the
 * call may be repeated.
 */
bool writer_end(struct writer *w, int timeout_ms);
/* Frees a writer that has ended; if its write() is stuck, it is not freed. */
void writer_free(struct writer *w);

#endif
