// SPDX-License-Identifier: LGPL-2.1-or-later
/* The processes of a lane. It is a violation if one ends too early, or with a wrong status.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "soak.h"

#define CHILDREN_MAX 8

static pid_t child[CHILDREN_MAX]; /* pids of the processes; 0: free entry */

static pid_t note(pid_t pid)
{
	for (unsigned i = 0; pid > 0 && i < CHILDREN_MAX; i++) {
		if (child[i] == 0) {
			child[i] = pid;
			return pid;
		}
	}
	perror("soak: fork");
	exit(1);
}

pid_t start(void (*work)(void))
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		work();
		exit(0);
	}
	return note(pid);
}

pid_t start_program(char *const argv[], const char *output)
{
	pid_t pid = fork();

	if (pid == 0) {
		int fd = output != NULL ? open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (fd >= 0 && (dup2(fd, 1) < 0 || dup2(fd, 2) < 0))
			_exit(126);
		execv(argv[0], argv);
		perror(argv[0]);
		_exit(127);
	}
	return note(pid);
}

static void ended(pid_t pid, const char *what, int status)
{
	for (unsigned i = 0; i < CHILDREN_MAX; i++)
		if (child[i] == pid)
			child[i] = 0;
	if (WIFSIGNALED(status))
		violation("%s was killed by signal %d", what, WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		violation("%s ended with status %d", what, WEXITSTATUS(status));
}

/* Ends a process. signal: 0 if the process ends by itself. After ten seconds it is killed. */
void stop_program(pid_t pid, const char *what, int signal)
{
	int status;

	if (signal != 0)
		kill(pid, signal);
	for (unsigned i = 0; i < 10000; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid) {
			ended(pid, what, status);
			return;
		}
		usleep(1000);
	}
	violation("%s does not end", what);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	ended(pid, what, 0);
}

void watch_children(void)
{
	int status;

	for (unsigned i = 0; i < CHILDREN_MAX; i++) {
		pid_t pid = child[i];

		if (pid > 0 && waitpid(pid, &status, WNOHANG) == pid) {
			ended(pid, "a process of the lane", status);
			violation("process %d ended too early", pid);
		}
	}
}
