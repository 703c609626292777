/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long random tests go on: a fifth where everything takes long. scripts/check says so for valgrind and
 * sanitizers.
 */
#ifndef ROUNDS_H
#define ROUNDS_H

#include <stdlib.h>

static inline unsigned rounds(unsigned n)
{
	return getenv("IPQ_FEW_ROUNDS") != NULL ? n / 5 : n;
}

#endif
