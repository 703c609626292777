/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "common/subprocess.h"
#include "common/tool.h"
#include "util/clock.h"

#define TIME_MS 5000
#define OUTPUT_MAX (16u << 20)

/* In a process group of its own, signals as in a fresh shell: Ctrl-C is for us. */
static int start(const char *path, const char *const argv[], int output, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int err;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, output, 1);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setflags(&attr,
				 POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	err = posix_spawn(pid, path, &actions, &attr, (char *const *)argv, tool_environment());
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return -err;
}

struct buffer {
	char *bytes;
	size_t used, room;
};

/* Reads what is there. 1: more may come; 0: the end; or -errno. */
static int take(int fd, struct buffer *b)
{
	ssize_t n;

	if (b->room - b->used < 4096) {
		size_t room = b->room == 0 ? 65536 : 2 * b->room;
		char *grown = room <= OUTPUT_MAX ? realloc(b->bytes, room) : NULL;

		if (grown == NULL)
			return room <= OUTPUT_MAX ? -ENOMEM : -EFBIG;
		b->bytes = grown;
		b->room = room;
	}
	n = read(fd, b->bytes + b->used, b->room - b->used - 1);
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 1 : -errno;
	b->used += (size_t)n;
	b->bytes[b->used] = '\0';
	return n > 0;
}

static int take_all(int fd, struct buffer *b)
{
	int64_t end = now_ms() + TIME_MS;
	int more = 1;

	while (more > 0) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = end - now_ms();

		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)left) > 0)
			more = take(fd, b);
	}
	return more;
}

/* It has closed its output: it is about to end, or is made to. */
static int reap(pid_t pid, bool kill_now)
{
	int status = 0, tries = TIME_MS / 10;

	if (kill_now)
		kill(-pid, SIGKILL);
	while (!kill_now && waitpid(pid, &status, WNOHANG) == 0) {
		struct timespec pause = { .tv_nsec = 10000000 };

		if (tries-- > 0) {
			nanosleep(&pause, NULL);
			continue;
		}
		kill(-pid, SIGKILL);
		kill_now = true;
	}
	if (kill_now) {
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		return -ETIMEDOUT;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -ECANCELED;
}

int subprocess_run(const char *const argv[], char **output)
{
	struct buffer b = { .bytes = NULL };
	int fd[2], err, status;
	char path[512];
	pid_t pid;

	if (output != NULL)
		*output = NULL;
	if (!tool_find(argv[0], path, sizeof(path)))
		return -ENOENT;
	if (pipe2(fd, O_CLOEXEC) < 0)
		return -errno;
	err = start(path, argv, fd[1], &pid);
	close(fd[1]);
	if (err < 0) {
		close(fd[0]);
		return err;
	}
	err = take_all(fd[0], &b);
	close(fd[0]);
	status = reap(pid, err < 0);
	if (err < 0 || output == NULL || status < 0) {
		free(b.bytes);
		return err < 0 ? err : status;
	}
	*output = b.bytes;
	return status;
}

int subprocess_run_line(const char *line, char **output)
{
	const char *argv[TOOL_WORDS + 1];
	char words[512], *save = NULL;
	size_t n = 0;

	if (snprintf(words, sizeof(words), "%s", line) >= (int)sizeof(words))
		return -E2BIG;
	for (char *w = strtok_r(words, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
		if (n == TOOL_WORDS)
			return -E2BIG;
		argv[n++] = w;
	}
	argv[n] = NULL;
	return n > 0 ? subprocess_run(argv, output) : -EINVAL;
}
