/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "filter/cursor.h"

int cursor_fail(const struct cursor *c, const char *at, const char *format, ...)
{
	va_list args;

	c->e->offset = (size_t)(at - c->text);
	va_start(args, format);
	vsnprintf(c->e->text, sizeof(c->e->text), format, args);
	va_end(args);
	return -EINVAL;
}

void cursor_skip_space(struct cursor *c)
{
	while (isspace((unsigned char)*c->at))
		c->at++;
}

static bool ends_value(char c)
{
	return c == '\0' || isspace((unsigned char)c) || strchr(",()", c) != NULL;
}

size_t cursor_value_length(const char *at)
{
	size_t n = 0;

	while (!ends_value(at[n]))
		n++;
	return n;
}

bool cursor_take(struct cursor *c, const char *word)
{
	size_t len = strlen(word);

	if (cursor_value_length(c->at) != len || strncmp(c->at, word, len) != 0)
		return false;
	c->at += len;
	cursor_skip_space(c);
	return true;
}

int cursor_number(struct cursor *c, uint64_t max, const char *stop, uint64_t *value, const char *what)
{
	char *end;

	cursor_skip_space(c);
	if (!isdigit((unsigned char)*c->at))
		return cursor_fail(c, c->at, "%s", what);
	errno = 0;
	*value = strtoull(c->at, &end, c->at[0] == '0' && (c->at[1] | 32) == 'x' ? 16 : 10);
	if (errno != 0 || *value > max)
		return cursor_fail(c, c->at, "this number is too large");
	if (!ends_value(*end) && strchr(stop, *end) == NULL)
		return cursor_fail(c, end, "%s", what);
	c->at = end;
	return 0;
}

int cursor_u32(struct cursor *c, uint32_t max, uint32_t *value, uint32_t *mask, const char *what)
{
	uint64_t n = 0;
	int err = cursor_number(c, max, mask != NULL ? "/" : "", &n, what);

	if (err < 0)
		return err;
	*value = (uint32_t)n;
	if (mask == NULL)
		return 0;
	*mask = UINT32_MAX;
	if (*c->at != '/')
		return 0;
	c->at++;
	err = cursor_number(c, UINT32_MAX, "", &n, "a mask must follow the slash, as in: 0x10/0xff");
	if (err == 0)
		*mask = (uint32_t)n;
	return err;
}
