/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opens files for writing: recordings and logs, which other users must not read. */
#ifndef UTIL_SAFE_OPEN_H
#define UTIL_SAFE_OPEN_H

#include "util/error.h"

/*
 * Opens path for writing. Creates the file with mode 0600 if it does not exist, and does not truncate it. flags:
 * further flags of open(2). Some directories are writable for another user: /tmp, a directory of that user, or one
 * that its group may write to. In these, symbolic links are refused, anywhere in the path, and so are files of
 * other users and files with a second name. Returns a descriptor, or -errno with a text in *e.
 */
int safe_open(const char *path, int flags, struct ipq_error *e);

/* Refuses a terminal, which could execute bytes of packets. 0, or -errno with a text in *e. */
int safe_open_refuse_terminal(int fd, const char *path, struct ipq_error *e);

#endif
