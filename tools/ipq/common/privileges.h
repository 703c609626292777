/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Drops privileges of a process of the command once it is set up. doc/security.md lists what each process keeps.
 *
 * Failures are ignored: an older kernel may lack one of the mechanisms, and a container may forbid it. Call these
 * functions before threads are started, because each thread has its own privileges.
 */
#ifndef IPQ_COMMON_PRIVILEGES_H
#define IPQ_COMMON_PRIVILEGES_H

#include <stdint.h>
#include <linux/capability.h>

#define PRIVILEGE(capability) (UINT64_C(1) << (capability))

/* Drops all capabilities except these, also for programs that are executed later. */
void privileges_keep(uint64_t capabilities);

/*
 * From now on this process, and programs that it executes, cannot open files for writing, create or remove them by
 * name. There are two exceptions: the files in this list (it ends with NULL; missing files are ignored), and
 * regular files in directories of the list. Open files stay open. Call privileges_keep() first.
 */
void privileges_write_only(const char *const files[]);

/* Closes inherited descriptors above standard error, that is, those without close-on-exec. */
void privileges_close_inherited(void);

#endif
