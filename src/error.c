/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Errors in words. Apart from source.c, so that one source can be linked without the others. */
#include <errno.h>
#include <string.h>
#include <stdio.h>
#include "source.h"

int ipq_fail(struct ipq_error *e, int err, const char *format, ...)
{
	va_list args;

	if (e != NULL) {
		va_start(args, format);
		vsnprintf(e->text, sizeof(e->text), format, args);
		va_end(args);
	}
	return -err;
}

int ipq_take(void *to, size_t known, const void *given, size_t least, const char *name, struct ipq_error *e)
{
	const unsigned char *bytes = given;
	size_t size, i;

	memcpy(&size, given, sizeof(size));
	if (size < least || size > 65536)
		return ipq_fail(e, EINVAL, "the size in struct %s is %zu: set it to sizeof(struct %s)", name, size, name);
	for (i = known; i < size; i++)
		if (bytes[i] != 0)
			return ipq_fail(e, EINVAL, "the program sets a field of struct %s that this libipq does not know: "
					"use a newer libipq", name);
	memset(to, 0, known);
	memcpy(to, given, size < known ? size : known);
	return 0;
}
