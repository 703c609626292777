/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds the word for the question "Did you mean ...?" */
#ifndef IPQ_COMMON_SUGGEST_H
#define IPQ_COMMON_SUGGEST_H

#include <stddef.h>

/*
 * Returns the word of the list `known` (it ends with NULL) that is most similar to this word; NULL: no word is
 * similar.
 */
const char *suggest(const char *word, size_t len, const char *const known[]);

#endif
