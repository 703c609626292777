/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any file as a program to inspect. What is found must be terminated and inside its room. Without
 * -DFUZZING a program that runs the files it is given.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "elf_facts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int true_, const char *what)
{
	if (true_)
		return;
	fprintf(stderr, "fuzz_elf: %s\n", what);
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct elf_facts e;

	if (elf_read(&e, data, size) < 0)
		return 0;
	must(e.bits == 32 || e.bits == 64, "neither 32 nor 64 bits");
	must(e.needed_count <= ELF_NEEDED, "too many libraries");
	for (unsigned i = 0; i < e.needed_count; i++)
		must(strnlen(e.needed[i], sizeof(e.needed[i])) < sizeof(e.needed[i]),
		     "a library's name does not end");
	must(strnlen(e.interpreter, sizeof(e.interpreter)) < sizeof(e.interpreter),
	     "the loader's name does not end");
	must(strnlen(e.runpath, sizeof(e.runpath)) < sizeof(e.runpath), "the path does not end");
	must(strnlen(e.soname, sizeof(e.soname)) < sizeof(e.soname), "the own name does not end");
	return 0;
}

#ifndef FUZZING
int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		uint8_t *data = malloc(1 << 20);
		size_t size = f != NULL && data != NULL ? fread(data, 1, 1 << 20, f) : 0;

		if (f == NULL || data == NULL) {
			fprintf(stderr, "%s: cannot be read\n", argv[i]);
			return 1;
		}
		LLVMFuzzerTestOneInput(data, size);
		fclose(f);
		free(data);
	}
	return argc > 1 ? 0 : 1;
}
#endif
