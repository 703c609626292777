/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "common/text.h"

/* Escapes one byte. Returns the length, at most 4. */
static size_t escape(char to[5], unsigned char c)
{
	if (c == '\\')
		return (size_t)snprintf(to, 5, "\\\\");
	return (size_t)snprintf(to, 5, c >= 0x20 && c < 0x7f ? "%c" : "\\x%02x", c);
}

char *text_safe(char *to, size_t room, const char *text)
{
	size_t used = 0, n;
	char one[5];

	for (; *text != '\0'; text++) {
		n = escape(one, (unsigned char)*text);
		if (used + n >= room)
			break;
		memcpy(to + used, one, n);
		used += n;
	}
	to[used] = '\0';
	return to;
}

void text_put(FILE *out, const char *text)
{
	char one[5];

	for (; *text != '\0'; text++) {
		escape(one, (unsigned char)*text);
		fputs(one, out);
	}
}

void text_put_columns(FILE *out, const char *text)
{
	for (; *text != '\0'; text++)
		fputc(*text >= 0x20 && *text < 0x7f    ? *text
		      : *text >= '\t' && *text <= '\r' ? ' '
						       : '?',
		      out);
}

static void put_to_stderr(const char *text, size_t len)
{
	fwrite(text, 1, len, stderr);
}

static void (*put)(const char *text, size_t len) = put_to_stderr;

void text_redirect(void (*to)(const char *text, size_t len))
{
	put = to != NULL ? to : put_to_stderr;
}

void text_note(const char *format, ...)
{
	char *text = NULL;
	va_list args;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	if (len > 0)
		put(text, (size_t)len);
	if (len >= 0)
		free(text);
}

void text_complain(const char *who, const char *format, ...)
{
	char *text = NULL, *line = NULL;
	size_t len = 0;
	va_list args;
	FILE *f;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	f = open_memstream(&line, &len);
	if (f != NULL) {
		fprintf(f, "%s: ", who);
		text_put(f, text != NULL ? text : "out of memory");
		fputc('\n', f);
		if (fclose(f) == 0)
			put(line, len);
	}
	free(line);
	free(text);
}

void text_point(const char *text, size_t offset)
{
	char *lines = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&lines, &len);

	if (f != NULL) {
		fputs("  ", f);
		text_put_columns(f, text);
		fprintf(f, "\n  %*s^\n", (int)offset, "");
		if (fclose(f) == 0)
			put(lines, len);
	}
	free(lines);
}

/* Length of the character that begins here: 2 to 4, or 0 if it is not UTF-8 (RFC 3629). */
static size_t character(const unsigned char *s)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t n = s[0] >= 0xc2 && s[0] < 0xe0	 ? 2
		   : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
		   : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
						 : 0;

	if (s[0] == 0xe0)
		low = 0xa0; /* lower values have a shorter form */
	else if (s[0] == 0xed)
		high = 0x9f; /* higher values are surrogates */
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f; /* higher values are beyond U+10FFFF */
	if (n == 0 || s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (s[i] < 0x80 || s[i] > 0xbf)
			return 0;
	return n;
}

/*
 * The code of a deceptive character: a C1 control, a line separator, or a character that changes the direction of
 * writing. Such a character would change what a screen shows. n: bytes of UTF-8, 2 or 3. 0: not deceptive.
 */
static unsigned deceptive(const unsigned char *s, size_t n)
{
	unsigned c = n == 2 ? (s[0] & 0x1fU) << 6 | (s[1] & 0x3fU)
			    : (s[0] & 0x0fU) << 12 | (s[1] & 0x3fU) << 6 | (s[2] & 0x3fU);
	bool is = c < 0xa0 || c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
		  (c >= 0x2066 && c <= 0x2069);

	return is ? c : 0;
}

void text_put_json(FILE *out, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	fputc('"', out);
	while (*s != '\0') {
		size_t n = *s < 0x80 ? 1 : character(s);

		if (n == 0)
			fputs("\\ufffd", out);
		else if (*s < 0x20 || *s == 0x7f)
			fprintf(out, "\\u%04x", *s);
		else if ((n == 2 || n == 3) && deceptive(s, n) != 0)
			fprintf(out, "\\u%04x", deceptive(s, n));
		else if (*s == '"' || *s == '\\')
			fprintf(out, "\\%c", *s);
		else
			fwrite(s, 1, n, out);
		s += n == 0 ? 1 : n;
	}
	fputc('"', out);
}
