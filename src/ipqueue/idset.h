/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A set of packet ids. It is fastest when the ids count up, as the ids of a source usually do. */
#ifndef IPQUEUE_IDSET_H
#define IPQUEUE_IDSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A struct of zeros is the empty set. */
struct idset {
	uint64_t *slot; /* USED | id, or 0 */
	size_t mask;	/* slots - 1, slots is a power of two; 0: none allocated */
	size_t count;
	size_t displaced; /* ids that are not in the slot that is their hash */
};

/* Makes room for this number of calls of idset_add(), which cannot fail. 0 or -ENOMEM. */
int idset_reserve(struct idset *set, size_t more);
/* Adds an id, for which room must be reserved. Adding it twice has no effect. */
void idset_add(struct idset *set, uint32_t id);
/* Removes an id. False: it is not in the set. */
bool idset_remove(struct idset *set, uint32_t id);
/* Removes any id; false when the set is empty. Start with *cursor 0; do not add between calls. */
bool idset_take(struct idset *set, size_t *cursor, uint32_t *id);
void idset_free(struct idset *set);

#endif
