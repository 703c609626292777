/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ipq run: what its parts know of each other.
 *
 *	run.c            the command line, and the process that the shell waits for
 *	run_supervise.c  the supervisor: starts the program, answers it, feeds it packets
 *	run_filter.c     which system calls of the program come to the supervisor
 *	run_calls.c      what the supervisor answers
 */
#ifndef IPQ_RUN_RUN_H
#define IPQ_RUN_RUN_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <linux/seccomp.h>
#include "ipqueue/engine.h"

/* As env and timeout do. */
enum { RUN_FAILED = 125, RUN_NOT_EXECUTABLE = 126, RUN_NOT_FOUND = 127 };

struct run_options {
	const char *source;
	const char *log; /* NULL: none; "-": stderr */
	char **program;	 /* argv, NULL at its end */
	sigset_t mask;	 /* the program's, and what it does about SIGCHLD */
	void (*sigchld)(int);
};

/* The signals that are handed on to the program, and SIGCHLD. */
void run_signals(sigset_t *set);

/* Our own complaints: "ipq run: ..." on stderr. */
void run_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- run_filter.c ----------------------------------------------------------------------------- */

enum run_call {
	CALL_SOCKET,
	CALL_BIND,
	CALL_CONNECT,
	CALL_GETSOCKNAME,
	CALL_SETSOCKOPT,
	CALL_GETSOCKOPT,
	CALL_COUNT
};

/* A way into the kernel that a program may use. */
struct run_arch {
	uint32_t audit; /* AUDIT_ARCH_ of the notification */
	enum wire_layout layout;
	int nr[CALL_COUNT]; /* system call numbers; -1: there is none */
	int socketcall;	    /* all of the above through one door, arguments in memory; -1: none */
};

/* The one that a notification came by; NULL: unknown. */
const struct run_arch *run_arch_find(uint32_t audit);

/* x86_64 only: the call came from an x32 program. */
bool run_is_x32(const struct seccomp_data *data);

/* Which call data is, or CALL_COUNT. *memory: its arguments are longs in memory at args[1]. */
enum run_call run_call_find(const struct run_arch *arch, const struct seccomp_data *data, bool *memory);

/* Puts the calling process under the filter. The listener, or -errno with words in *e. */
int run_filter_install(struct ipq_error *e);

/* ---- run_calls.c ------------------------------------------------------------------------------ */

struct run_calls;

/* listener is the filter's; limit bounds the descriptors of this process and so the program's sockets.
 * engine may become NULL later: see run_calls_orphan. 0 or -errno with words in *e. */
int run_calls_open(struct run_calls **result, int listener, struct engine *engine, bool everybody_capable,
		   unsigned limit, FILE *log, struct ipq_error *e);
void run_calls_close(struct run_calls *calls);

/* Answers one waiting call. Call when the listener is readable: it does not block then. */
void run_calls_answer(struct run_calls *calls);

/* The engine is gone: new sockets are refused. */
void run_calls_orphan(struct run_calls *calls);

/* ---- run_supervise.c -------------------------------------------------------------------------- */

/* What the supervisor tells the process that the shell waits for, over their link. */
struct run_report {
	int status;    /* of the program, as waitpid gives it */
	bool detached; /* descendants of the program live on, and the supervisor with them */
};

/* The supervisor's whole life, in a process of its own. Does not return. */
void run_supervise(const struct run_options *options, int link) __attribute__((noreturn));

/* The null device takes the place of this descriptor. */
void run_give_away(int fd);

/* Kills and reaps every descendant (the caller is a child subreaper). */
void run_kill_descendants(void);

#endif
