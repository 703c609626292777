/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counts the open descriptors (/proc/self/fd) or the threads (/proc/self/task) of this process. */
#ifndef DIRECTORY_ENTRIES_H
#define DIRECTORY_ENTRIES_H

#include <dirent.h>
#include <stdlib.h>

/* The number of entries, without "." and "..". The descriptor that reads /proc/self/fd counts, too. */
static inline unsigned directory_entries(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *entry;
	unsigned n = 0;

	if (d == NULL)
		abort();
	while ((entry = readdir(d)) != NULL)
		n += entry->d_name[0] != '.';
	closedir(d);
	return n;
}

#endif
