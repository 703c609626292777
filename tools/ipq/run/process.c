/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processes, signals and messages: used by both processes of ipq run. */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/wait.h>
#include "common/process.h"
#include "common/text.h"
#include "run/run.h"
#include "util/clock.h"

void run_complain(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	text_complain("ipq run", "%s", text);
}

void run_signals(sigset_t *set)
{
	static const int forwarded[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM };

	sigemptyset(set);
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
		sigaddset(set, forwarded[i]);
	sigaddset(set, SIGCHLD);
}

void run_give_away(int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0)
		dup2(null, fd);
	close(null);
}

/* Kills the children of this process, except `spared`. Returns their number, including those that have ended. */
static unsigned kill_children(pid_t spared)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	struct process p;
	unsigned n = 0;

	while (proc != NULL && (entry = readdir(proc)) != NULL) {
		pid_t pid = atoi(entry->d_name); /* 0: the entry is not a process */

		if (pid <= 0 || pid == spared || !process_read(pid, &p) || p.parent != getpid())
			continue;
		kill(pid, SIGKILL);
		n++;
	}
	if (proc != NULL)
		closedir(proc);
	return n;
}

void run_kill_descendants(pid_t spared)
{
	int64_t give_up = now_ms() + 5000;
	pid_t pid;

	/*
	 * When a process dies, its children become children of this process. So the loop ends with the last
	 * generation.
	 */
	while (now_ms() < give_up) {
		unsigned n = kill_children(spared);

		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			;
		if (pid < 0 || (spared > 0 && n == 0))
			return; /* no process is left */
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
}

/* Finds an executable program as execvp() does. */
static bool find_program(const char *name, char path[PATH_MAX])
{
	const char *at = getenv("PATH");
	size_t len;

	if (strchr(name, '/') != NULL)
		return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX && access(path, X_OK) == 0;
	for (; at != NULL && *at != '\0'; at += len + (at[len] == ':')) {
		len = strcspn(at, ":");
		if (snprintf(path, PATH_MAX, "%.*s%s%s", (int)len, at, len > 0 ? "/" : "", name) < PATH_MAX &&
		    access(path, X_OK) == 0)
			return true;
	}
	return false;
}

static bool is_elf(const char *path)
{
	char magic[SELFMAG] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool yes =
		fd >= 0 && read(fd, magic, sizeof(magic)) == SELFMAG && memcmp(magic, ELFMAG, SELFMAG) == 0;

	if (fd >= 0)
		close(fd);
	return yes;
}

/*
 * Executes the program. execvp() passes a file that the kernel refuses to a shell, which is right for a script
 * without "#!". For a binary, such as a 32-bit one on a kernel without 32-bit support, the shell's error message
 * would be misleading. Returns only on failure.
 */
void run_execute(char **program)
{
	char path[PATH_MAX];

	if (find_program(program[0], path) && is_elf(path))
		execv(path, program);
	else
		execvp(program[0], program);
}
