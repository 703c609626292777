/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* "Did you mean ...?" */
#ifndef IPQ_COMMON_SUGGEST_H
#define IPQ_COMMON_SUGGEST_H

#include <stddef.h>

/* The word of the list `known`, which ends with NULL, that is most similar to this word; NULL: none is similar. */
const char *suggest(const char *word, size_t len, const char *const known[]);

#endif
