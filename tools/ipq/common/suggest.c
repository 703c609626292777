/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include "common/suggest.h"

/* The Levenshtein distance of two short words. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t row[33];

	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t change = diagonal + (a[i - 1] != b[j - 1]), add = row[j] + 1,
			       remove = row[j - 1] + 1;

			/* two exchanged letters count as one mistake */
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && change > 1 &&
			    diagonal > 0)
				change = diagonal;
			diagonal = row[j];
			row[j] = change < add ? change : add;
			row[j] = row[j] < remove ? row[j] : remove;
		}
	}
	return row[b_len];
}

const char *suggest(const char *word, size_t len, const char *const known[])
{
	const char *best = NULL;
	size_t near = len > 4 ? 3 : 2;

	if (len < 2 || len > 32)
		return NULL;
	for (; *known != NULL; known++) {
		size_t known_len = strlen(*known), d;

		if (known_len > 32)
			continue;
		d = distance(word, len, *known, known_len);
		if (d < near && d < known_len) {
			near = d;
			best = *known;
		}
	}
	return best;
}
