/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Without libFuzzer: a main() that runs the files on its command line. Include it last. */
#ifndef FUZZ_MAIN_H
#define FUZZ_MAIN_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * Aborts unless the condition holds, which it must for any input. libFuzzer stores the input of a program that
 * aborts.
 */
static inline void require(int condition)
{
	if (!condition)
		abort();
}

/* Returns a copy whose memory ends at its last byte, so that a sanitizer finds an overrun of one byte. */
static inline void *exact_copy(const void *from, size_t len)
{
	void *copy = malloc(len > 0 ? len : 1);

	require(copy != NULL);
	if (len > 0)
		memcpy(copy, from, len);
	return copy;
}

#ifndef FUZZING
int main(int argc, char **argv)
{
	static uint8_t data[1 << 20];

	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rbe");
		size_t n;

		if (f == NULL) {
			perror(argv[i]);
			return 1;
		}
		n = fread(data, 1, sizeof(data), f);
		fclose(f);
		LLVMFuzzerTestOneInput(data, n);
	}
	return 0;
}
#endif
#endif
