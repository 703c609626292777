/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Private to ipq run:
 *
 *	run.c        the command line, and the process that the shell waits for
 *	supervise.c  the supervisor: answers the program's system calls, steps the engine
 *	start.c      starts the program, also again
 *	calls.c      the answers to system calls
 *	transfer.c   messages that are received and sent
 *	inspect.c    the program's memory, descriptors and credentials
 *	seccomp.c    the filter, which selects the system calls that are passed to the supervisor
 *	process.c    processes, signals and messages, for both
 */
#ifndef IPQ_RUN_RUN_H
#define IPQ_RUN_RUN_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <linux/seccomp.h>
#include "ipqueue/engine.h"

/* The exit statuses that env and timeout use. */
enum { RUN_FAILED = 125, RUN_NOT_EXECUTABLE = 126, RUN_NOT_FOUND = 127 };

struct run_options {
	const char *source;
	const char *log; /* path of a log; NULL: none; "-": stderr */
	bool exact;	 /* option --exact: answer all calls that receive or send */
	char **program;	 /* the program's argv, which ends with NULL */
	sigset_t mask;	 /* the program's signal mask, and its handling of SIGCHLD */
	void (*sigchld)(int);
	bool restart;
	unsigned restart_limit;
};

/* ---- process.c -------------------------------------------------------------------------------- */

/* The signals that are forwarded to the program, and SIGCHLD. */
void run_signals(sigset_t *set);

/* Prints a message, "ipq run: ...", to stderr. */
void run_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Replaces this descriptor by the null device. */
void run_give_away(int fd);

/* Kills and reaps all descendants except this child (0: no exception). The caller must be a child subreaper. */
void run_kill_descendants(pid_t spared);

/* Executes the program, as execvp() does. Returns only on failure. */
void run_execute(char **program);

/* ---- start.c ---------------------------------------------------------------------------------- */

/*
 * Starts the program. With --restart, starts it from a process that still has the caller's descriptors, privileges
 * and limits.
 */
struct run_starter {
	const struct run_options *options;
	pid_t pid; /* pid of that process; 0: there is none, and the caller forks */
	int socket;
};

/*
 * Call it before the supervisor changes its descriptors and privileges. The starter closes its copy of `link`. 0 or
 * -errno.
 */
int run_starter_open(struct run_starter *starter, const struct run_options *options, int link);
void run_starter_close(struct run_starter *starter);

/*
 * Starts the program as a child of this process. Returns its pid, or -errno. The child sends its listener over
 * *our_end, and waits for a byte.
 */
pid_t run_start(const struct run_starter *starter, int *our_end);

/* Receives a descriptor. -1: there is none. */
int run_receive_descriptor(int socket);

/* ---- seccomp.c ----------------------------------------------------------------------------- */

enum run_call {
	CALL_SOCKET,
	CALL_BIND,
	CALL_CONNECT,
	CALL_GETSOCKNAME,
	CALL_GETPEERNAME,
	CALL_SETSOCKOPT,
	CALL_GETSOCKOPT,
	CALL_SENDTO,
	CALL_RECVMSG,
	CALL_RECVMMSG,
	CALL_RECVFROM,
	CALL_SENDMSG,
	CALL_SENDMMSG,
	CALL_OPEN, /* this call and the following ones are not part of socketcall(2) */
	CALL_OPENAT,
	CALL_COUNT
};

/* A sendmmsg with these flags is never passed to the supervisor. MSG_CONFIRM has no effect on Unix sockets. */
#define RUN_NATIVE_FLAGS (MSG_NOSIGNAL | MSG_CONFIRM)

/* One of the system call interfaces that a program may use. */
struct run_arch {
	uint32_t audit; /* AUDIT_ARCH_ of the notification */
	enum wire_layout layout;
	int nr[CALL_COUNT]; /* system call numbers; -1: this interface does not have the call */
	int socketcall;	    /* the number of socketcall(2), which has its arguments in memory; -1: none */
};

/* The interface of the call in a notification; NULL: unknown. */
const struct run_arch *run_arch_find(uint32_t audit);

/* Whether this is a call of an x32 program. Only on x86_64. */
bool run_is_x32(const struct seccomp_data *data);

/* Finds the call; CALL_COUNT: another one. *memory: set if the arguments are longs in memory, at args[1]. */
enum run_call run_call_find(const struct run_arch *arch, const struct seccomp_data *data, bool *memory);

/*
 * Installs the filter in the calling process. exact: selects all calls that receive or send. Returns the listener,
 * or -errno with a text in *e.
 */
int run_filter_install(bool exact, struct ipq_error *e);

/* ---- inspect.c -------------------------------------------------------------------------------- */

/* A call and its arguments. */
struct call {
	enum run_call what;
	uint64_t id;
	pid_t tid;
	const struct run_arch *arch;
	bool x32;
	int memory; /* descriptor of the program's memory; -1: not opened */
	uint64_t arg[6];
	bool later;	  /* answer the call later: when there is a message, or at the deadline */
	int64_t deadline; /* deadline on the clock of now_ms(); 0: not known yet */
	int engine_end;	  /* the engine's end of the socket from which a message was received; -1: none */
};

struct identity {
	uint32_t pid; /* the program's process id in its own namespace */
	bool capable;
};

/* Opens call->memory. False with errno set. */
bool run_open_memory(struct call *call);
bool run_peek(const struct call *call, uint64_t at, void *to, size_t len);
bool run_poke(const struct call *call, uint64_t at, const void *from, size_t len);
/* Writes a value as getsockname does: the value truncated to the room, and its full length. 0 or -errno. */
int run_poke_value(const struct call *call, uint64_t at, uint64_t len_at, const void *value, uint32_t len);

/* The inode of a socket among the program's descriptors; 0: the descriptor is not a socket, or cannot be read. */
ino_t run_socket_inode(pid_t tid, int fd);
ino_t run_user_namespace(pid_t tid);
bool run_identify(pid_t tid, bool everybody_capable, ino_t own_namespace, struct identity *id);

/* Returns a copy of the descriptor at arg[0]; -1: the descriptor has another inode. */
int run_copy_descriptor(const struct call *call, ino_t inode);

/* ---- transfer.c ------------------------------------------------------------------------------- */

struct run_message {
	bool taken; /* the message was removed from the socket */
	size_t len;
	unsigned char bytes[131072];
};

/* RECEIVE_NATIVE: the kernel carries out the call. RECEIVE_LATER: no message has arrived yet. */
enum receive_result { RECEIVE_DONE, RECEIVE_NATIVE, RECEIVE_LATER };

/*
 * Carries out a call of recvfrom, recvmsg or recvmmsg on fd, a copy of the program's descriptor. recvmmsg receives
 * one message. *result: a count or -errno. RECEIVE_LATER sets the call's deadline.
 */
enum receive_result run_receive(struct call *call, int fd, struct run_message *m, int *result);

/*
 * Reads the message that the program sends; for sendmmsg, the n-th one. False: the kernel carries out the call and
 * reports the error.
 */
bool run_read_request(const struct call *call, unsigned n, struct run_message *m);
/* Writes the length of the n-th message of recvmmsg or sendmmsg to the program's memory. */
bool run_write_length(const struct call *call, unsigned n, uint32_t len);

/* ---- calls.c ------------------------------------------------------------------------------ */

struct run_calls;

/*
 * Creates the state. limit: maximum number of descriptors of this process, which also limits the program's sockets.
 * 0 or -errno with a text in *e.
 */
int run_calls_open(struct run_calls **result, int listener, struct engine *engine, bool everybody_capable,
		   unsigned limit, FILE *log, struct ipq_error *e);
void run_calls_close(struct run_calls *calls);

/* Sets the listener of a program that was started again (-1: none). The table of sockets stays. */
void run_calls_set_listener(struct run_calls *calls, int listener);

/* Answers one call. Does not block if the listener is readable. */
void run_calls_answer(struct run_calls *calls);

/* Call it when the engine may have sent messages: retries calls that wait for them. */
void run_calls_retry(struct run_calls *calls);

/* Milliseconds until run_calls_retry must be called. -1: it must be called only when there is a message. */
int run_calls_timeout(const struct run_calls *calls);

/* Call it when the engine has been closed: new sockets are refused. */
void run_calls_orphan(struct run_calls *calls);

/* ---- supervise.c -------------------------------------------------------------------------- */

/* The supervisor's message to the process that the shell waits for. */
struct run_report {
	int status;    /* the program's status from waitpid */
	bool detached; /* descendants of the program are still alive, and so is the supervisor */
};

/*
 * Runs the supervisor in the calling process, which is only for it. Does not return. It reads a byte from the link
 * when the user wants the program to end.
 */
void run_supervise(const struct run_options *options, int link) __attribute__((noreturn));

#endif
