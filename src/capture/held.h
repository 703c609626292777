/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packets that wait for their verdicts, with the bytes of their records. They are found by id, listed in the order
 * of ids, and removed in any order. Memory is reused. A packet that is never decided does not prevent the reuse of
 * other packets' memory.
 */
#ifndef CAPTURE_HELD_H
#define CAPTURE_HELD_H

#include <stdbool.h>
#include <stdint.h>
#include "capture/file.h"
#include "capture/link_layer.h"
#include "capture/section.h"

/* Enough for a frame of the usual MTU. The size of struct held is not a multiple of the page size. */
#define HELD_INLINE 2048
/*
 * Longer records are allocated separately. The total of these allocations has this limit, but one record may be
 * longer.
 */
#define HELD_LONG_MAX (64U << 20)

struct held {
	struct held *next, *previous, *next_in_bucket;
	uint32_t id;
	uint32_t mark;
	bool marked;
	bool changed; /* the packet differs from the one in the file, after NF_REPEAT or NF_QUEUE */
	struct capture_record record;
	struct frame frame;
	struct section *section; /* pcapng with an output file: the section of the record; else NULL */
	size_t section_len;	 /* bytes of `section` up to this record: see section_len() */
	uint8_t *data;		 /* the record, capture_record_size() bytes */
	uint8_t *longer;
	size_t longer_room;
	uint8_t inside[HELD_INLINE];
};

static inline uint8_t *held_frame(const struct held *h)
{
	return h->data + h->record.head;
}

struct held_list {
	struct held *first, *last;
};

struct held_store {
	struct held_list waiting; /* packets with an id, in the order of the ids */
	struct held **bucket;
	uint32_t bucket_mask;
	uint32_t in_use; /* entries that were taken and not returned */
	uint32_t waiting_count;
	size_t longer_bytes;
	struct held *unused;
};

int held_init(struct held_store *s, uint32_t expected);
void held_free(struct held_store *s);

/* A packet with room for len bytes at data; NULL: no memory. */
struct held *held_take(struct held_store *s, size_t len);
/* Changes the room at data to len bytes and keeps the first `keep` bytes. 0, -ENOMEM. */
int held_resize(struct held_store *s, struct held *h, size_t len, size_t keep);
void held_give_back(struct held_store *s, struct held *h);

/* Adds a packet to the waiting packets. Its id must be greater than the ids of these. */
void held_wait(struct held_store *s, struct held *h, uint32_t id);
struct held *held_find(const struct held_store *s, uint32_t id);
void held_decided(struct held_store *s, struct held *h);

void held_list_append(struct held_list *l, struct held *h);
void held_list_remove(struct held_list *l, struct held *h);

#endif
