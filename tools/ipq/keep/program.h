/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One run of the program of ipq keep, in its own process group. */
#ifndef IPQ_KEEP_PROGRAM_H
#define IPQ_KEEP_PROGRAM_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>
#include "keep/queue.h"

struct program {
	pid_t pid;    /* process that was started; 0: the program does not run */
	pid_t reader; /* the process that has taken a queue, if it is not `pid`; otherwise 0 */
	int control;  /* our end of the connection; -1: all processes of the program have closed their ends */
	bool exited;  /* `pid` has ended with `status`; a descendant continues as a daemon */
	int status;
	bool took;     /* the program has taken a queue */
	int asked_end; /* the signal that was sent to end it; 0: none */
	int64_t started;
	int64_t kill_at; /* time at which SIGKILL follows SIGTERM; 0: never */
	/* time at which the connection was closed, by the end of the process or before; 0: it is open */
	int64_t closed_at;
};

struct program_start {
	char *const *argv;
	const struct kept_queue *queue;
	unsigned count;
	uint32_t length;     /* length of the queues */
	sigset_t mask;	     /* signal mask for the program */
	int min_fd;	     /* descriptors with this number and above are not passed on */
	struct rlimit files; /* limit of open files for the program */
};

/* Starts the program. beside: the old version still runs. 0 or -errno. */
int program_start(struct program *p, const struct program_start *start, bool beside, int64_t now);

/* Sends `signal` (SIGTERM) now, and SIGKILL after this time. */
void program_stop(struct program *p, int signal, int64_t now, int grace_ms);

/* Sends a signal to all known processes of the program. */
void program_signal(const struct program *p, int signal);

/* Reads a notice from the connection. 0; -1: there is none; -2: the connection has ended. */
int program_notice(struct program *p, struct held_notice *notice);

void program_answer(const struct program *p, bool yes);

/* Call it when process pid has ended. Returns whether this was the last process of the program. */
bool program_reaped(struct program *p, pid_t pid, int status);

/* Whether a process of the program may still run. */
bool program_runs(const struct program *p);

/* Whether a descendant that has taken a queue still exists, at least as a zombie. */
bool program_has_daemon(const struct program *p);

/*
 * Call it after the connection has ended. Whether the process that read from it is about to end, too. If not, it
 * has executed another program.
 */
bool program_is_ending(const struct program *p);

/* Kills the remaining processes and closes the connection. */
void program_clear(struct program *p);

#endif
