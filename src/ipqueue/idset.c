// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Open addressing with linear probing, at most half full. The id itself is the hash: ids that count up fill
 * neighbouring slots without a collision. Removal shifts the following ids back, so that there are no tombstones.
 * While every id is in its own slot, which is the usual case, no id needs to be shifted.
 */
#include <errno.h>
#include <stdlib.h>
#include "ipqueue/idset.h"

#define USED (1ULL << 32)
#define SLOTS_MIN 64

static bool at_home(const struct idset *set, size_t i)
{
	return ((uint32_t)set->slot[i] & set->mask) == i;
}

static size_t find(const struct idset *set, uint32_t id)
{
	size_t i = id & set->mask;

	while (set->slot[i] != 0 && set->slot[i] != (USED | id))
		i = (i + 1) & set->mask;
	return i;
}

int idset_reserve(struct idset *set, size_t more)
{
	size_t slots = set->mask != 0 ? set->mask + 1 : SLOTS_MIN, i;
	struct idset bigger = { .count = set->count };

	while (slots / 2 < set->count + more)
		slots *= 2;
	if (slots - 1 == set->mask)
		return 0;
	bigger.mask = slots - 1;
	bigger.slot = calloc(slots, sizeof(*bigger.slot));
	if (bigger.slot == NULL)
		return -ENOMEM;
	for (i = 0; set->mask != 0 && i <= set->mask; i++)
		if (set->slot[i] != 0) {
			size_t to = find(&bigger, (uint32_t)set->slot[i]);

			bigger.slot[to] = set->slot[i];
			bigger.displaced += !at_home(&bigger, to);
		}
	free(set->slot);
	*set = bigger;
	return 0;
}

void idset_add(struct idset *set, uint32_t id)
{
	size_t i = find(set, id);

	if (set->slot[i] != 0)
		return;
	set->slot[i] = USED | id;
	set->count++;
	set->displaced += !at_home(set, i);
}

/* Whether the id in slot i will still be found if it is moved to the hole before it. */
static bool may_move(const struct idset *set, size_t hole, size_t i)
{
	size_t home = (uint32_t)set->slot[i] & set->mask;

	return ((i - home) & set->mask) >= ((i - hole) & set->mask);
}

bool idset_remove(struct idset *set, uint32_t id)
{
	size_t hole, i;

	if (set->count == 0)
		return false;
	hole = find(set, id);
	if (set->slot[hole] == 0)
		return false;
	set->displaced -= !at_home(set, hole);
	for (i = (hole + 1) & set->mask; set->displaced > 0 && set->slot[i] != 0; i = (i + 1) & set->mask)
		if (may_move(set, hole, i)) {
			set->displaced -= !at_home(set, i);
			set->slot[hole] = set->slot[i];
			set->displaced += !at_home(set, hole);
			hole = i;
		}
	set->slot[hole] = 0;
	set->count--;
	return true;
}

bool idset_take(struct idset *set, size_t *cursor, uint32_t *id)
{
	if (set->count == 0)
		return false;
	/* The cursor wraps, because removal may shift an id from the table's end to its beginning. */
	while (set->slot[*cursor & set->mask] == 0)
		++*cursor;
	*id = (uint32_t)set->slot[*cursor & set->mask];
	return idset_remove(set, *id);
}

void idset_free(struct idset *set)
{
	free(set->slot);
	*set = (struct idset){ 0 };
}
