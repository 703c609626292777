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

/* The writer's thread makes all these calls, with the context. */
struct writer_ops {
	/* Writes one item, which is aligned to 16 bytes. 0, or -errno: no more items are written. */
	int (*write)(void *context, const void *item, size_t len);
	/* Called when the buffer is empty: writes the bytes that were not written yet. 0 or -errno. */
	int (*flush)(void *context);
	/* The last call, which is made even after an error. 0 or -errno. NULL: nothing to do. */
	int (*close)(void *context);
	/* Called once, for the first error. NULL: not wanted. */
	void (*failed)(void *context, int error);
	/* Called when there is room again: n items were dropped since the previous call. NULL: not wanted. */
	void (*dropped)(void *context, uint64_t n);
};

/*
 * Starts the thread. size: bytes of buffer, a power of two. lossless: NULL, or producers wait for room until this is
 * true. 0 or -errno.
 */
int writer_start(struct writer **w, const struct writer_ops *ops, void *context, size_t size,
		 const _Atomic bool *lossless);

/* Copies an item of n pieces into the buffer. False: the item was dropped. May be called from any thread. */
bool writer_put(struct writer *w, const struct iovec *piece, unsigned n);

/* The number of items dropped so far, for lack of room or after an error. */
uint64_t writer_dropped(struct writer *w);
/* The first error; 0: none. */
int writer_error(struct writer *w);

/*
 * Ends the input. Waits until all items are written, but at most timeout_ms. True: the thread has ended. False: the
 * thread still runs; call it again.
 */
bool writer_end(struct writer *w, int timeout_ms);
/* Frees a writer whose thread has ended. If write() is still stuck, does not free it. */
void writer_free(struct writer *w);

#endif
