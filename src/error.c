/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Errors in words. Apart from source.c, so that one source can be linked without the others. */
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
