/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The facts that the kernel reports about a process. */
#ifndef IPQ_COMMON_PROCESS_H
#define IPQ_COMMON_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

struct process {
	pid_t parent;
	bool ending; /* the process has begun to exit; set before the kernel closes its descriptors */
};

/* Reads the facts. False: there is no such process, or /proc is not mounted. */
bool process_read(pid_t pid, struct process *p);

#endif
