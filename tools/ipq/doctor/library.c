/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds the libipq.so.0 that the dynamic loader uses. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/subprocess.h"
#include "doctor/doctor.h"
#include "doctor/elf_scan.h"

#define FILE_MAX_BYTES (256u << 20)
#define CACHED_MAX 16

/* Opens regular files only, because opening a device or a FIFO may have effects. */
static int open_regular(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	}
	*size = st.st_size > FILE_MAX_BYTES ? FILE_MAX_BYTES : (size_t)st.st_size;
	return fd;
}

static int read_all(int fd, uint8_t *bytes, size_t *size)
{
	size_t used = 0;

	while (used < *size) {
		ssize_t n = read(fd, bytes + used, *size - used);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break; /* the file has become shorter */
		used += n > 0 ? (size_t)n : 0;
	}
	*size = used;
	return 0;
}

int doctor_read_elf(const char *path, struct elf_facts *e, char *script, size_t room)
{
	size_t size = 0;
	int fd = open_regular(path, &size), err;
	uint8_t *bytes;

	if (fd < 0)
		return fd;
	bytes = malloc(size + 1);
	err = bytes == NULL ? -ENOMEM : read_all(fd, bytes, &size);
	close(fd);
	if (err == 0)
		err = elf_read(e, bytes, size);
	if (err == -ENOEXEC && script != NULL && room > 0) {
		script[0] = '\0';
		if (size > 2 && bytes[0] == '#' && bytes[1] == '!') {
			bytes[size] = '\0';
			snprintf(script, room, "%.*s", (int)strcspn((char *)bytes + 2, "\n"),
				 (char *)bytes + 2);
		}
	}
	free(bytes);
	return err;
}

bool doctor_cached_library(const char *cache, unsigned n, char *path, size_t room)
{
	while (cache != NULL && (cache = strstr(cache, "libipq.so.0 (")) != NULL) {
		const char *arrow = strstr(cache, " => "), *end = strchr(cache, '\n');

		cache++;
		if (arrow == NULL || (end != NULL && arrow > end) || n-- > 0)
			continue;
		arrow += 4;
		snprintf(path, room, "%.*s", (int)strcspn(arrow, "\n"), arrow);
		return true;
	}
	return false;
}

void doctor_library(struct doctor *d)
{
	char path[512], installed[512], *cache = NULL;
	bool found = false, ours_cached = false;
	struct elf_facts *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return;
	snprintf(installed, sizeof(installed), "%s/libipq.so.0", IPQ_LIBDIR);
	subprocess_run_line("ldconfig -p", &cache);
	for (unsigned i = 0; i < CACHED_MAX && doctor_cached_library(cache, i, path, sizeof(path)); i++) {
		if (doctor_read_elf(path, e, NULL, 0) < 0)
			continue;
		found = true;
		ours_cached |= (e->apis & API_OURS) != 0 && strcmp(path, installed) == 0;
		if ((e->apis & API_OURS) != 0)
			doctor_say(d, CHECK_OK, "libipq", NULL, "%s, %u bits, is this library", path,
				   e->bits);
		else
			doctor_say(d, CHECK_WARNING, "libipq",
				   "ipq run -- PROGRAM   (or: ipq doctor --program PROGRAM)",
				   "%s is the old library, which needs the kernel's ip_queue", path);
	}
	if (!ours_cached && access(installed, R_OK) == 0)
		doctor_say(d, CHECK_WARNING, "libipq", "sudo ldconfig",
			   "%s is installed, but the loader does not find it", installed);
	else if (!found)
		doctor_say(d, CHECK_OK, "libipq", NULL,
			   "no libipq.so.0 is installed: only programs that are linked with it need it");
	free(cache);
	free(e);
}
