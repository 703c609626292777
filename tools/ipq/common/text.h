/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text that others chose (names of processes, comments of rules) on its way to a terminal or a reader of
 * JSON. */
#ifndef IPQ_COMMON_TEXT_H
#define IPQ_COMMON_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* Where text_complain() and text_note() write from now on; NULL: the standard error, which may block. */
void text_redirect(void (*put)(const char *text, size_t len));

/* Text as it is to the standard error, whole lines. */
void text_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Everything but printable ASCII becomes \xNN, a backslash is doubled. Cut to the room. Returns `to`. */
char *text_safe(char *to, size_t room, const char *text);

/* The same, to a stream. */
void text_put(FILE *out, const char *text);

/* The same with a column for each byte, so that a caret below it points to the right one: ? for what is not
 * printable, blanks for tabs. */
void text_put_columns(FILE *out, const char *text);

/* On standard error: who (a constant), ": ", the formatted text made harmless, a newline. */
void text_complain(const char *who, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Text with a caret below the byte at offset, in two lines on the standard error. */
void text_point(const char *text, size_t offset);

/* In quotes. Well-formed UTF-8 stays, but what would turn the text around it on a screen is written as
 * \uNNNN, as control characters are; a byte that belongs to none becomes U+FFFD. */
void text_put_json(FILE *out, const char *text);

#endif
