/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Functions that read the text of a rule: words, numbers, and the positions of mistakes. */
#ifndef IPQ_FILTER_CURSOR_H
#define IPQ_FILTER_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RULE_TEXT_MAX 4096

/* A mistake in a rule. */
struct rule_error {
	/* offset of the mistake in the text; the text's length if something is missing at the end */
	size_t offset;
	char text[256];
};

struct cursor {
	const char *text; /* the beginning of the rule */
	const char *at;
	struct rule_error *e;
};

/* Records a mistake at `at`. Returns -EINVAL. */
int cursor_fail(const struct cursor *c, const char *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

void cursor_skip_space(struct cursor *c);
/* The number of bytes up to the next space, comma or parenthesis, or up to the end. */
size_t cursor_value_length(const char *at);
/* Whether this word is at the cursor. If so, moves the cursor past the word and the spaces after it. */
bool cursor_take(struct cursor *c, const char *word);

/*
 * Reads a number, decimal or 0x, up to max. A space, the end, a comma, a parenthesis or a character of `stop`
 * must follow. `what` is the message when there is no number. 0 or -EINVAL.
 */
int cursor_number(struct cursor *c, uint64_t max, const char *stop, uint64_t *value, const char *what);
/*
 * Reads a number of 32 bits with an optional "/mask". Without a mask, *mask is set to all ones. mask NULL: no mask
 * is allowed.
 */
int cursor_u32(struct cursor *c, uint32_t max, uint32_t *value, uint32_t *mask, const char *what);

#endif
