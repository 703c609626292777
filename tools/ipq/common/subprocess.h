/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs the system's tools, with limits on time and on the size of the output. */
#ifndef IPQ_COMMON_SUBPROCESS_H
#define IPQ_COMMON_SUBPROCESS_H

#include <stddef.h>

#define TOOL_WORDS 32 /* maximum number of words in a command */

struct subprocess {
	const char *const *argv; /* the command: words that end with NULL */
	const char *input;	 /* the tool's standard input; NULL: /dev/null */
	char **output;		 /* the tool's standard output, which the caller frees; NULL: not wanted */
	/* the tool's standard error, NUL-terminated and truncated; NULL: not wanted */
	char *error;
	size_t error_size;
	int timeout_ms; /* after this time the tool is killed */
	int hold;	/* a descriptor that the tool keeps open while it runs; 0: none */
};

/*
 * Runs a tool in the C locale and in its own process group, so that Ctrl-C does not reach it. *output is NULL after an
 * error. Returns the exit status, -ENOENT (no such tool), -ETIMEDOUT (killed), -EINTR (killed, see interrupt.h), -EFBIG
 * (more than 16 MiB of output), or another -errno.
 */
int subprocess_exec(const struct subprocess *p);

/* Does the same with a limit of 5 s, without input and error text. output may be NULL. */
int subprocess_run(const char *const argv[], char **output);

/* Does the same for a command line whose words have no quotes or spaces. */
int subprocess_run_line(const char *line, char **output);

#endif
