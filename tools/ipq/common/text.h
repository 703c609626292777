/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Escapes text that other users or programs chose (names of processes, comments of rules), for a terminal or for
 * JSON.
 */
#ifndef IPQ_COMMON_TEXT_H
#define IPQ_COMMON_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* The plural ending of a noun after this number. */
#define TEXT_PLURAL(n) ((n) == 1 ? "" : "s")

/*
 * From now on text_complain() and text_note() call this function; NULL: they write to the standard error, which may
 * block.
 */
void text_redirect(void (*to)(const char *text, size_t len));

/* Writes the text unchanged to the standard error, in whole lines. */
void text_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Replaces everything except printable ASCII by \xNN, and doubles backslashes. Cuts the result to the room. Returns
 * `to`.
 */
char *text_safe(char *to, size_t room, const char *text);

/* Writes the text to a stream, escaped in the same way. */
void text_put(FILE *out, const char *text);

/*
 * Writes the text with one column per byte, so that a caret in the next line points to the right byte: ? for
 * unprintable bytes, a space for each tab.
 */
void text_put_columns(FILE *out, const char *text);

/* Writes to standard error: who (a constant), ": ", the formatted text escaped, a newline. */
void text_complain(const char *who, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints two lines to the standard error: the text, and a caret below the byte at offset. */
void text_point(const char *text, size_t offset);

/* Writes a JSON string in quotes. Well-formed UTF-8 is kept, but control characters and characters that change the
 * direction of writing become \uNNNN, and invalid bytes become U+FFFD. */
void text_put_json(FILE *out, const char *text);

#endif
