/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Predicates about the metadata of a packet, which the kernel reports in addition to the packet's bytes. */
#ifndef IPQ_FILTER_METADATA_H
#define IPQ_FILTER_METADATA_H

#include "filter/expression.h"

enum metadata_kind {
	METADATA_IN,
	METADATA_OUT,
	METADATA_HOOK,
	METADATA_MARK,
	METADATA_CTMARK,
	METADATA_UID,
	METADATA_GID,
	METADATA_STATE,
	METADATA_LENGTH,
	METADATA_QUEUE
};

struct metadata_test {
	enum metadata_kind kind;
	/* IN, OUT: name patterns, each with its terminator, an empty one at the end; NULL: any name */
	char *names;
	/* UID, GID, LENGTH, QUEUE: a range; MARK, CTMARK: value and mask; HOOK, STATE: a set */
	uint32_t first, last;
};

/* Words that begin a predicate; the list ends with NULL. */
extern const char *const metadata_words[];

/* Reads a predicate. 1: it was read. 0: there is no predicate at the cursor. -EINVAL with *c->e, -ENOMEM. */
int metadata_parse(struct metadata_test *test, struct cursor *c);
void metadata_free(struct metadata_test *test);
bool metadata_match(const struct metadata_test *test, const struct subject *s);
/* The IPQ_O_ flag that the test needs, or 0. */
uint32_t metadata_flags(const struct metadata_test *test);

#endif
