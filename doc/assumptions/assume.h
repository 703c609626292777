/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* If the assumption does not hold, prints it and exits with status 1. */
#ifndef ASSUME_H
#define ASSUME_H

#include <stdio.h>

#define ASSUME(condition)                                            \
	do {                                                         \
		if (!(condition)) {                                  \
			fprintf(stderr, "not so: %s\n", #condition); \
			return 1;                                    \
		}                                                    \
	} while (0)

#endif
