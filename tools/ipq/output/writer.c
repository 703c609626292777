/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation. The buffer is a ring of items. Each item is a header and its bytes, in one piece. If an item
 * does not fit before the end of the memory, a header without an item fills the rest. `head` and `tail` count bytes
 * and never decrease. The thread reads an item in place, without the lock, and moves `tail` afterwards, so that
 * producers hold the lock only while they copy an item.
 *
 * The thread is detached. If its write() never returns, the process can still end.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "output/writer.h"
#include "util/clock.h"

#define REPORT_MS 1000 /* minimum time between two reports of dropped items */

struct head {
	size_t room; /* bytes that the item occupies in the ring, including this header */
	size_t len;  /* bytes of the item */
	bool item;
} __attribute__((aligned(16)));

struct writer {
	const struct writer_ops *ops;
	void *context;
	const _Atomic bool *lossless;
	unsigned char *ring;
	size_t size;

	pthread_mutex_t lock; /* protects the members below */
	pthread_cond_t filled, freed, ended;
	size_t head, tail;
	uint64_t items, dropped, reported;
	int64_t report_time;
	int error;
	bool idle, ending, done;
};

static struct timespec in_ms(int ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000L;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	return t;
}

/* ---- producers ----------------------------------------------------------------------------------- */

static size_t room_for(const struct writer *w, size_t need)
{
	size_t to_end = w->size - w->head % w->size;

	return to_end < need ? to_end + need : need;
}

/* Waits for room if the writer is lossless. Called with the lock held. False: there is no room. */
static bool wait_for_room(struct writer *w, size_t need)
{
	while (w->error == 0 && !w->ending) {
		struct timespec until = in_ms(50);

		if (w->head - w->tail + room_for(w, need) <= w->size)
			return true;
		if (w->lossless == NULL || *w->lossless || need > w->size / 2)
			return false;
		pthread_cond_timedwait(&w->freed, &w->lock, &until);
	}
	return false;
}

static void put(struct writer *w, size_t need, size_t len, const struct iovec *piece, unsigned n)
{
	struct head *h = (struct head *)(void *)(w->ring + w->head % w->size);
	size_t to_end = w->size - w->head % w->size;
	unsigned char *at;

	if (to_end < need) {
		*h = (struct head){ .room = to_end };
		w->head += to_end;
		h = (struct head *)(void *)w->ring;
	}
	*h = (struct head){ .room = need, .len = len, .item = true };
	at = (unsigned char *)(h + 1);
	for (unsigned i = 0; i < n; i++) {
		if (piece[i].iov_len > 0)
			memcpy(at, piece[i].iov_base, piece[i].iov_len);
		at += piece[i].iov_len;
	}
	w->head += need;
	w->items++;
}

bool writer_put(struct writer *w, const struct iovec *piece, unsigned n)
{
	size_t len = 0, need;
	bool fits;

	for (unsigned i = 0; i < n; i++)
		len += piece[i].iov_len;
	need = (sizeof(struct head) + len + sizeof(struct head) - 1) / sizeof(struct head) *
	       sizeof(struct head);
	pthread_mutex_lock(&w->lock);
	fits = wait_for_room(w, need);
	if (fits)
		put(w, need, len, piece, n);
	else
		w->dropped++;
	if (w->idle)
		pthread_cond_signal(&w->filled);
	w->idle = false;
	pthread_mutex_unlock(&w->lock);
	return fits;
}

/* ---- the thread ---------------------------------------------------------------------------------- */

/* Records an error. Called with the lock held. The lock is released while `failed` runs. */
static void note_error(struct writer *w, int err)
{
	if (err >= 0 || w->error != 0)
		return;
	w->error = err;
	pthread_cond_broadcast(&w->freed);
	pthread_mutex_unlock(&w->lock);
	if (w->ops->failed != NULL)
		w->ops->failed(w->context, err);
	pthread_mutex_lock(&w->lock);
}

static void report_dropped(struct writer *w)
{
	uint64_t n = w->dropped - w->reported;

	if (n == 0 || w->error != 0 || w->ops->dropped == NULL || w->head - w->tail > w->size / 2 ||
	    now_ms() < w->report_time + REPORT_MS)
		return;
	w->reported = w->dropped;
	w->report_time = now_ms();
	pthread_mutex_unlock(&w->lock);
	w->ops->dropped(w->context, n);
	pthread_mutex_lock(&w->lock);
}

static void take_item(struct writer *w)
{
	const struct head *h = (const struct head *)(const void *)(w->ring + w->tail % w->size);
	size_t room = h->room;
	int err = 0;

	if (h->item && w->error == 0) {
		pthread_mutex_unlock(&w->lock);
		err = w->ops->write(w->context, h + 1, h->len);
		pthread_mutex_lock(&w->lock);
	} else if (h->item) {
		w->dropped++;
	}
	w->items -= h->item;
	w->tail += room;
	if (w->lossless != NULL)
		pthread_cond_broadcast(&w->freed);
	note_error(w, err);
}

/* Called when the buffer is empty: flushes, reports dropped items, and waits. */
static void rest(struct writer *w)
{
	int err = 0;

	if (w->error == 0) {
		pthread_mutex_unlock(&w->lock);
		err = w->ops->flush(w->context);
		pthread_mutex_lock(&w->lock);
	}
	note_error(w, err);
	report_dropped(w);
	if (w->head != w->tail || w->ending)
		return;
	w->idle = true;
	while (w->idle && !w->ending) {
		struct timespec until = in_ms(REPORT_MS);

		/* If the last report was a moment ago, the next one is made later. */
		if (w->dropped == w->reported)
			pthread_cond_wait(&w->filled, &w->lock);
		else if (pthread_cond_timedwait(&w->filled, &w->lock, &until) == ETIMEDOUT)
			report_dropped(w);
	}
	w->idle = false;
}

static void *run(void *arg)
{
	struct writer *w = arg;
	bool flushed = false;
	int err = 0;

	pthread_mutex_lock(&w->lock);
	while (!flushed) {
		while (w->head != w->tail) {
			take_item(w);
			report_dropped(w);
		}
		flushed = w->ending;
		rest(w);
		flushed &= w->head == w->tail;
	}
	pthread_mutex_unlock(&w->lock);
	if (w->ops->close != NULL)
		err = w->ops->close(w->context);
	pthread_mutex_lock(&w->lock);
	note_error(w, err);
	w->done = true;
	pthread_cond_signal(&w->ended);
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* ---- start and end ------------------------------------------------------------------------------- */

static struct writer *new_writer(size_t size)
{
	struct writer *w = calloc(1, sizeof(*w));
	pthread_condattr_t monotonic;

	if (w == NULL)
		return NULL;
	w->ring = aligned_alloc(sizeof(struct head), size);
	if (w->ring == NULL) {
		free(w);
		return NULL;
	}
	w->size = size;
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&w->filled, &monotonic);
	pthread_cond_init(&w->freed, &monotonic);
	pthread_cond_init(&w->ended, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return w;
}

int writer_start(struct writer **writer, const struct writer_ops *ops, void *context, size_t size,
		 const _Atomic bool *lossless)
{
	struct writer *w = new_writer(size);
	pthread_attr_t detached;
	pthread_t thread;
	int err;

	*writer = NULL;
	if (w == NULL)
		return -ENOMEM;
	w->ops = ops;
	w->context = context;
	w->lossless = lossless;
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	err = pthread_create(&thread, &detached, run, w);
	pthread_attr_destroy(&detached);
	if (err != 0) {
		w->done = true;
		writer_free(w);
		return -err;
	}
	*writer = w;
	return 0;
}

uint64_t writer_dropped(struct writer *w)
{
	uint64_t n;

	pthread_mutex_lock(&w->lock);
	n = w->dropped + (w->ending && !w->done ? w->items : 0);
	pthread_mutex_unlock(&w->lock);
	return n;
}

int writer_error(struct writer *w)
{
	int err;

	pthread_mutex_lock(&w->lock);
	err = w->error;
	pthread_mutex_unlock(&w->lock);
	return err;
}

bool writer_end(struct writer *w, int timeout_ms)
{
	struct timespec until = in_ms(timeout_ms);
	bool done;

	pthread_mutex_lock(&w->lock);
	w->ending = true;
	pthread_cond_signal(&w->filled);
	while (!w->done && pthread_cond_timedwait(&w->ended, &w->lock, &until) != ETIMEDOUT)
		;
	done = w->done;
	pthread_mutex_unlock(&w->lock);
	return done;
}

void writer_free(struct writer *w)
{
	if (w == NULL || !w->done)
		return;
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->filled);
	pthread_cond_destroy(&w->freed);
	pthread_cond_destroy(&w->ended);
	free(w->ring);
	free(w);
}
