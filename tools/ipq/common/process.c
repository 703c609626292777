/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include "common/process.h"

#define EXITING 4U /* the flag PF_EXITING of the kernel */

bool process_read(pid_t pid, struct process *p)
{
	char path[32], text[512];
	const char *end;
	unsigned flags = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	end = strrchr(text, ')'); /* the name of the program is in parentheses, and may contain parentheses */
	if (end == NULL || sscanf(end, ") %*c %d %*d %*d %*d %*d %u", &p->parent, &flags) != 2)
		return false;
	p->ending = (flags & EXITING) != 0;
	return true;
}
