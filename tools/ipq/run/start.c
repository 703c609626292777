/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starts the program. The child installs the filter and sends its listener over a socket, then waits until the
 * supervisor is ready for the program's system calls.
 *
 * With --restart, a process of its own, the starter, is forked before the supervisor changes itself: it keeps the
 * caller's descriptors, capabilities and limits for each new start. It starts the program as a child of the
 * supervisor (CLONE_PARENT), not as its own child.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "run/run.h"
#include "util/error.h"

/*
 * Uses a call that the filter leaves to the kernel (sendmmsg with these flags), because no process answers calls
 * yet.
 */
static int send_descriptor(int socket, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec piece = { "", 1 };
	struct mmsghdr m = { .msg_hdr = { .msg_iov = &piece,
					  .msg_iovlen = 1,
					  .msg_control = control,
					  .msg_controllen = sizeof(control) } };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m.msg_hdr);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return syscall(__NR_sendmmsg, socket, &m, 1, RUN_NATIVE_FLAGS) < 0 ? -errno : 0;
}

int run_receive_descriptor(int socket)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte;
	struct iovec piece = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	struct cmsghdr *c;
	int fd = -1;

	if (recvmsg(socket, &msg, MSG_CMSG_CLOEXEC) != 1)
		return -1;
	c = CMSG_FIRSTHDR(&msg);
	if (c != NULL && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* Called in the child that becomes the program. link is its socket to the supervisor. */
static void __attribute__((noreturn)) become_program(const struct run_options *options, int link)
{
	char **program = options->program;
	struct ipq_error e;
	int listener;
	char go;

	/* If the supervisor is killed, the kernel kills the program. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	listener = run_filter_install(options->exact, &e);
	if (listener < 0) {
		run_complain("%s", e.text);
		_exit(RUN_FAILED);
	}
	if (send_descriptor(link, listener) < 0 || read(link, &go, 1) != 1)
		_exit(RUN_FAILED); /* the supervisor has reported why */
	close(listener);
	close(link);
	signal(SIGCHLD, options->sigchld);
	sigprocmask(SIG_SETMASK, &options->mask, NULL);
	/* A program that uses our library would open the source itself. */
	setenv("IPQ_SOURCE", "ip_queue:", 1);
	unsetenv("IPQ_SOURCE_INET6");
	run_execute(program);
	listener = errno;
	run_complain("cannot run \"%s\": %s%s", program[0], strerror(listener),
		     listener == ENOEXEC
			     ? ": not a program that this kernel can run; see ipq doctor --program"
			     : "");
	_exit(listener == ENOENT ? RUN_NOT_FOUND : RUN_NOT_EXECUTABLE);
}

/* ---- the starter -------------------------------------------------------------------------------- */

/* Forks a child of this process's parent. The C library has no function for this. */
static pid_t fork_sibling(void)
{
#ifdef __s390__
	return (pid_t)syscall(SYS_clone, 0, CLONE_PARENT | SIGCHLD, NULL, NULL, 0);
#else
	return (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, NULL, NULL, 0);
#endif
}

static void __attribute__((noreturn)) serve_starts(const struct run_options *options, int socket)
{
	int link;
	pid_t pid;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while ((link = run_receive_descriptor(socket)) >= 0) {
		pid = fork_sibling();
		if (pid == 0) {
			close(socket);
			become_program(options, link);
		}
		if (pid < 0)
			pid = -errno;
		close(link);
		if (send(socket, &pid, sizeof(pid), MSG_NOSIGNAL) != sizeof(pid))
			break;
	}
	_exit(0);
}

int run_starter_open(struct run_starter *starter, const struct run_options *options, int link)
{
	int pair[2];

	*starter = (struct run_starter){ .options = options, .socket = -1 };
	if (!options->restart)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	starter->pid = fork();
	if (starter->pid == 0) {
		close(link);
		close(pair[0]);
		serve_starts(options, pair[1]);
	}
	close(pair[1]);
	starter->socket = pair[0];
	return starter->pid < 0 ? -errno : 0;
}

void run_starter_close(struct run_starter *starter)
{
	if (starter->pid <= 0)
		return;
	close(starter->socket);
	kill(starter->pid, SIGKILL);
	waitpid(starter->pid, NULL, 0);
	starter->pid = 0;
}

static pid_t ask_starter(const struct run_starter *starter, int program_end)
{
	pid_t pid;
	int err = send_descriptor(starter->socket, program_end);

	if (err < 0)
		return err;
	return recv(starter->socket, &pid, sizeof(pid), 0) == sizeof(pid) ? pid : -ECHILD;
}

pid_t run_start(const struct run_starter *starter, int *our_end)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	if (starter->pid > 0) {
		pid = ask_starter(starter, pair[1]);
	} else {
		pid = fork();
		if (pid == 0) {
			close(pair[0]);
			become_program(starter->options, pair[1]);
		}
		if (pid < 0)
			pid = -errno;
	}
	close(pair[1]);
	*our_end = pair[0];
	return pid;
}
