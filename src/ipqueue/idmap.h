/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who waits at an origin that names its packets by 64-bit numbers which come again (ip_queue: addresses in
 * the kernel): each gets a number of 32 bits that counts up. Found by either, in the order of arrival.
 */
#ifndef IPQUEUE_IDMAP_H
#define IPQUEUE_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct idmap_entry {
	struct idmap_entry *next, *previous; /* in the order of arrival */
	struct idmap_entry *next_by_ours, *next_by_theirs;
	uint64_t theirs;
	uint32_t ours;
	bool taken; /* the caller's own: a verdict is on its way */
};

#define IDMAP_BUCKETS 4096

/* All zero is the empty map. */
struct idmap {
	struct idmap_entry *first, *last;
	struct idmap_entry *by_ours[IDMAP_BUCKETS], *by_theirs[IDMAP_BUCKETS];
	struct idmap_entry *unused;
	uint32_t last_ours;
	size_t count;
};

/* A packet has come. One with the same number that still waited has gone without a word: nothing is known of
 * it any more. NULL: no memory. */
struct idmap_entry *idmap_add(struct idmap *m, uint64_t theirs);
struct idmap_entry *idmap_find(const struct idmap *m, uint32_t ours);
void idmap_remove(struct idmap *m, struct idmap_entry *entry);
void idmap_free(struct idmap *m);

#endif
