/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The number of rounds of random tests: a tenth in slow builds, that is, with valgrind and sanitizers.
 * scripts/check sets the variable for these.
 */
#ifndef ROUNDS_H
#define ROUNDS_H

#include <stdlib.h>

static inline unsigned rounds(unsigned n)
{
	return getenv("IPQ_FEW_ROUNDS") != NULL ? n / 10 : n;
}

#endif
