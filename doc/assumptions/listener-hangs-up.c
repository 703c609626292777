/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The supervisor of ipq run stays until nobody is left under its filter. It believes of a seccomp
 * listener that
 *  - it shows POLLHUP when the last process under the filter has ended and been waited for, and not
 *    before, also when that is a grandchild;
 *  - an ADDFD for a notification that does not exist fails with ENOENT where the kernel knows ADDFD and
 *    its flags: so they can be told without a program.
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
#include "believe.h"

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

/* Says which descriptor the listener is and who the grandchild; both stay until they are killed. */
static int child(int report)
{
	int listener = listen_to_myself();
	pid_t grandchild;

	if (listener < 0)
		return 1;
	grandchild = fork();
	if (grandchild == 0) {
		alarm(10); /* whatever becomes of the others */
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
	BELIEVE(pipe(report) == 0);
	pid = fork();
	if (pid == 0) {
		alarm(10);
		status = child(report[1]);
		pause();
		_exit(status);
	}
	close(report[1]);
	BELIEVE(read(report[0], got, sizeof(got)) == (ssize_t)sizeof(got));
	pidfd = (int)syscall(__NR_pidfd_open, pid, 0);
	listener = (int)syscall(__NR_pidfd_getfd, pidfd, got[0], 0);
	if (listener < 0 && errno == EPERM) {
		kill(got[1], SIGKILL);
		kill(pid, SIGKILL);
		puts("skipped: not allowed to take a child's descriptor");
		return SKIPPED;
	}
	BELIEVE(listener >= 0);

	BELIEVE(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0 && errno == ENOENT);
	add.flags = 1U << 31;
	BELIEVE(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0 && errno == EINVAL);

	BELIEVE(!hangs_up(listener, 0));
	kill(pid, SIGKILL);
	BELIEVE(waitpid(pid, &status, 0) == pid);
	BELIEVE(!hangs_up(listener, 50)); /* the grandchild lives */
	kill(got[1], SIGKILL);
	BELIEVE(waitpid(got[1], &status, 0) == got[1]); /* it came to us, its subreaper */
	BELIEVE(hangs_up(listener, 1000));
	return 0;
}
