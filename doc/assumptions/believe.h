/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A belief that does not hold ends the program with status 1 and says which it was. */
#ifndef BELIEVE_H
#define BELIEVE_H

#include <stdio.h>

#define BELIEVE(condition)                                           \
	do {                                                         \
		if (!(condition)) {                                  \
			fprintf(stderr, "not so: %s\n", #condition); \
			return 1;                                    \
		}                                                    \
	} while (0)

#endif
