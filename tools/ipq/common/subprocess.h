/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The system's own tools, asked for facts: bounded in time and in what they may answer. */
#ifndef IPQ_COMMON_SUBPROCESS_H
#define IPQ_COMMON_SUBPROCESS_H

#define TOOL_WORDS 32 /* in a command, at most */

/*
 * Runs a tool, in the C locale, its standard error to nowhere, and reads what it says.
 * *output (may be NULL: not wanted) is terminated and freed by the caller; NULL after an error.
 * Returns the exit status; -ENOENT (no such tool), -ETIMEDOUT (killed after 5 s), -EFBIG (said more
 * than 16 MiB), or another -errno.
 */
int subprocess_run(const char *const argv[], char **output);

/* A command line of words without quotes or spaces inside. */
int subprocess_run_line(const char *line, char **output);

#endif
