/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* "Did you mean ...?" */
#ifndef IPQ_COMMON_SUGGEST_H
#define IPQ_COMMON_SUGGEST_H

#include <stddef.h>

/* The known word (a list that ends with NULL) that a person may have meant; NULL: none is near. */
const char *suggest(const char *word, size_t len, const char *const known[]);

#endif
