/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The supervisor of ipq run ends when no process is left under its filter. It assumes of a seccomp listener that
 *  - poll() reports POLLHUP when the last process under the filter has ended and was waited for, and not earlier,
 *    also if that is a grandchild;
 *  - ADDFD for a notification that does not exist fails with ENOENT if the kernel supports ADDFD and its flags, so that
 *    the supervisor can test the support before it starts a program.
 * Linux 5.9.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include "assume.h"

#define SKIPPED 77
static int listen_to_myself(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = { 1, &allow };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return (int)syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			    &program);
}

static int hangs_up(int listener, int timeout_ms)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1 && (p.revents & POLLHUP) != 0;
}

/* Sends the descriptor of the listener and the pid of the grandchild. Both processes run until they are killed. */
static int child(int report)
{
	int listener = listen_to_myself();
	pid_t grandchild;

	if (listener < 0)
		return 1;
	grandchild = fork();
	if (grandchild == 0) {
		alarm(10); /* in case the other processes fail */
		close(listener);
		pause();
	}
	if (write(report, (int[]){ listener, grandchild }, 2 * sizeof(int)) < 0)
		return 1;
	return 0;
}

int main(void)
{
	struct seccomp_notif_addfd add = { .srcfd = 0 };
	int report[2], got[2], pidfd, listener, status;
	pid_t pid;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	ASSUME(pipe(report) == 0);
	pid = fork();
	if (pid == 0) {
		alarm(10);
		status = child(report[1]);
		pause();
		_exit(status);
	}
	close(report[1]);
	ASSUME(read(report[0], got, sizeof(got)) == (ssize_t)sizeof(got));
	pidfd = (int)syscall(__NR_pidfd_open, pid, 0);
	listener = (int)syscall(__NR_pidfd_getfd, pidfd, got[0], 0);
	if (listener < 0 && errno == EPERM) {
		kill(got[1], SIGKILL);
		kill(pid, SIGKILL);
		puts("skipped: not allowed to take a child's descriptor");
		return SKIPPED;
	}
	ASSUME(listener >= 0);

	ASSUME(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0 && errno == ENOENT);
	add.flags = 1U << 31;
	ASSUME(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0 && errno == EINVAL);

	ASSUME(!hangs_up(listener, 0));
	kill(pid, SIGKILL);
	ASSUME(waitpid(pid, &status, 0) == pid);
	ASSUME(!hangs_up(listener, 50)); /* the grandchild lives */
	kill(got[1], SIGKILL);
	ASSUME(waitpid(got[1], &status, 0) == got[1]); /* this process is its subreaper */
	ASSUME(hangs_up(listener, 1000));
	return 0;
}
