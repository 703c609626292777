/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any file as a program to inspect. The results must be NUL-terminated, within their buffers, and consistent; nothing
 * is read beyond the end of the file.
 */
#include "doctor/elf_scan.h"
#include "main.h"

static void look(const struct elf_facts *e)
{
	const char *name = elf_machine(e->machine);

	require(e->bits == 32 || e->bits == 64);
	require(name == NULL || *name != '\0');
	require(e->needed_count <= ELF_NEEDED);
	for (unsigned i = 0; i < e->needed_count; i++) {
		size_t len = strnlen(e->needed[i], sizeof(e->needed[i]));

		require(len > 0 && len < sizeof(e->needed[i]));
	}
	require(strnlen(e->interpreter, sizeof(e->interpreter)) < sizeof(e->interpreter));
	require(strnlen(e->runpath, sizeof(e->runpath)) < sizeof(e->runpath));
	require(strnlen(e->soname, sizeof(e->soname)) < sizeof(e->soname));
	require(e->dynamic == (e->interpreter[0] != '\0' || e->needed_count > 0));
	require((e->apis & (API_LIBIPQ | API_LIBIPQ_STATIC)) != (API_LIBIPQ | API_LIBIPQ_STATIC));
	require((e->apis & (API_NFQUEUE | API_NFQUEUE_STATIC)) != (API_NFQUEUE | API_NFQUEUE_STATIC));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct elf_facts e, again;
	uint8_t *file = exact_copy(data, size);
	int err = elf_read(&e, file, size);

	if (err == 0) {
		look(&e);
		require(elf_read(&again, file, size) == 0 && memcmp(&e, &again, sizeof(e)) == 0);
	}
	free(file);
	return 0;
}
