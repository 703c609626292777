/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * killed_at new|strict|batch|engine Kills a process before and after each system call between opening a queue and
 * reading a packet. Each time the queue must be free immediately, and the next reader must receive every packet.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "packets.h"

#define STEPS_MAX 2000

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(2);
}

/* Creates a child that is stopped and can be traced. Does not return in the child. */
static pid_t traced(void (*life)(void *), void *arg)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		die("fork");
	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(77);
		raise(SIGSTOP);
		life(arg);
		_exit(0);
	}
	if (waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status)) {
		puts("skipped: ptrace is not permitted here");
		exit(77);
	}
	if (ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) < 0)
		die("ptrace");
	return child;
}

/* Continues to the next entry or exit of a system call. False if the process has ended. */
static bool next_call(pid_t child, struct __ptrace_syscall_info *info)
{
	int status, deliver = 0;

	for (;;) {
		if (ptrace(PTRACE_SYSCALL, child, NULL, (void *)(long)deliver) < 0 ||
		    waitpid(child, &status, 0) < 0 || WIFEXITED(status) || WIFSIGNALED(status))
			return false;
		deliver = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
		if (WSTOPSIG(status) != (SIGTRAP | 0x80))
			continue;
		return ptrace(PTRACE_GET_SYSCALL_INFO, child, (void *)sizeof(*info), info) > 0;
	}
}

static void kill_it(pid_t child)
{
	kill(child, SIGKILL);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
}

/* ---- a reader -------------------------------------------------------------------------------------------
 */

static void open_and_read(void *ignored)
{
	struct reader r = { .q = NULL };
	const char *why;
	struct seen s;

	(void)ignored;
	if (reader_open(&r, &why) < 0)
		_exit(4);
	say(1, 1);
	if (reader_next(&r, &s, 1000) != 1)
		_exit(5);
}

static int readers(char **argv)
{
	struct __ptrace_syscall_info info;
	struct reader r = { .q = NULL };
	unsigned step, n;
	const char *why;
	bool alive = true;

	choose_api(argv);
	open_sockets();
	for (step = 1; alive && step < STEPS_MAX; step++) {
		pid_t child = traced(open_and_read, NULL);

		for (n = 0; alive && n < step; n++)
			alive = next_call(child, &info);
		if (alive)
			kill_it(child);
		if (!want(queue_is_free()))
			printf("killed at step %u, system call %llu\n", step,
			       (unsigned long long)info.entry.nr);
	}
	printf("%u steps\n", step);
	want(step > 40 && step < STEPS_MAX);
	want(heard(0) == 0);
	want(reader_open(&r, &why) == 0);
	say(100, 10);
	want(reader_work(&r, 100) == 10);
	reader_flush(&r);
	want(heard(100) == 5);
	reader_close(&r);
	return failures != 0;
}

/* ---- a program ------------------------------------------------------------------------------------------
 */

static void run_program(void *argv)
{
	execvp(((char **)argv)[0], argv);
	_exit(127);
}

static bool is_a_step(unsigned long long nr)
{
	static const int steps[] = {
		SYS_clone, SYS_clone3, SYS_socket, SYS_bind,
#ifdef SYS_vfork
		SYS_vfork, SYS_fork,
#endif
	};
	size_t i;

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]) && nr != (unsigned long long)steps[i]; i++)
		;
	return i < sizeof(steps) / sizeof(steps[0]);
}

static int program(unsigned long wanted, char **argv)
{
	struct __ptrace_syscall_info info;
	unsigned long long nr = 0;
	unsigned long steps = 0;
	pid_t child = traced(run_program, argv);

	while (next_call(child, &info)) {
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
			nr = info.entry.nr;
		if (!is_a_step(nr) || ++steps < wanted)
			continue;
		printf("system call %llu, %s\n", nr,
		       info.op == PTRACE_SYSCALL_INFO_ENTRY ? "before" : "after");
		kill_it(child);
		return 0;
	}
	return 3;
}

int main(int argc, char **argv)
{
	alarm(60);
	if (argc > 2)
		return program(strtoul(argv[1], NULL, 10), argv + 2);
	return readers(argv);
}
