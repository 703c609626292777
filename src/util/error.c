/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "util/error.h"

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

int copy_struct_in(void *to, size_t known, const void *given, size_t min_size, const char *name,
		   struct ipq_error *e)
{
	const unsigned char *bytes = given;
	size_t size, i;

	memcpy(&size, given, sizeof(size));
	if (size < min_size || size > 65536)
		return ipq_fail(e, EINVAL, "the size in struct %s is %zu: set it to sizeof(struct %s)", name,
				size, name);
	/* Fill in the struct on failure, too: the caller reads the program's error buffer from it. */
	memset(to, 0, known);
	memcpy(to, given, size < known ? size : known);
	for (i = known; i < size; i++)
		if (bytes[i] != 0)
			return ipq_fail(
				e, EINVAL,
				"the program sets a field of struct %s that this libipq does not know: "
				"use a newer libipq",
				name);
	return 0;
}

int copy_struct_out(void *given, const void *ours, size_t known, size_t min_size)
{
	size_t size;

	memcpy(&size, given, sizeof(size));
	if (size < min_size || size > 65536)
		return -EINVAL;
	memcpy((unsigned char *)given + sizeof(size), (const unsigned char *)ours + sizeof(size),
	       (size < known ? size : known) - sizeof(size));
	if (size > known)
		memset((unsigned char *)given + known, 0, size - known);
	return 0;
}
