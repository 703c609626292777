/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Executes a test program again; in a cross build, with the emulator that the cross file names. */
#ifndef EXEC_AGAIN_H
#define EXEC_AGAIN_H

#include <stdlib.h>
#include <unistd.h>

static inline void exec_again(char *program, char **argv)
{
	char *emulator = getenv("EMULATOR"), *under[8] = { emulator, program };

	for (int i = 1; i < 6 && argv[i] != NULL; i++)
		under[i + 1] = argv[i];
	if (emulator != NULL && *emulator != '\0')
		execvp(emulator, under);
	else
		execv(program, argv);
}

#endif
