/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that we write: recordings and logs, whose content is not for everybody. */
#ifndef UTIL_SAFE_OPEN_H
#define UTIL_SAFE_OPEN_H

#include "util/error.h"

/*
 * Opens path for writing, and makes it, with mode 0600, if there is none. Nothing is emptied. flags: more of
 * open(2). Where everybody may make files (/tmp), what is found there may be a trap: a symbolic link, another
 * name of a file of ours, and what belongs to somebody else are refused. A descriptor, or -errno with words
 * in *e.
 */
int safe_open(const char *path, int flags, struct ipq_error *e);

/* Packets on a terminal are commands to it. 0, or -errno with words in *e. */
int safe_open_refuse_terminal(int fd, const char *path, struct ipq_error *e);

#endif
