/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A set of packet ids: who still waits. Ids come from a source and mostly count up, which is fastest. */
#ifndef IPQUEUE_IDSET_H
#define IPQUEUE_IDSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero is the empty set. */
struct idset {
	uint64_t *slot; /* USED | id, or 0 */
	size_t mask;	/* slots - 1, slots is a power of two; 0: none allocated */
	size_t count;
	size_t displaced; /* ids that are not in the slot that is theirs by number */
};

/* Makes room for more ids, so that as many idset_add() cannot fail. 0 or -ENOMEM. */
int idset_reserve(struct idset *set, size_t more);
/* Room must be reserved. An id that is there already stays there once. */
void idset_add(struct idset *set, uint32_t id);
/* Takes id out; false when it was not there. */
bool idset_remove(struct idset *set, uint32_t id);
/* Takes any one id out; false when the set is empty. Start with *cursor 0; between calls only remove. */
bool idset_take(struct idset *set, size_t *cursor, uint32_t *id);
void idset_free(struct idset *set);

#endif
