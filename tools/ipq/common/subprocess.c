/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/interrupt.h"
#include "common/subprocess.h"
#include "common/tool.h"
#include "util/clock.h"

#define TIME_MS 5000
#define OUTPUT_MAX (16u << 20)
#define HELD_FD 3

/* The parent's ends of the child's standard streams; -1: closed, or /dev/null. */
struct streams {
	int in, out, err;
	const char *input;
	char *output;
	size_t used, room;
	char *error;
	size_t error_used, error_size;
};

/* Starts the tool in its own process group, with default signal handling. */
static int start(const struct subprocess *p, const int fds[3], pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	char path[512];
	int err;

	if (!tool_find(p->argv[0], path, sizeof(path)))
		return -ENOENT;
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	for (int i = 0; i < 3; i++) {
		if (fds[i] >= 0)
			posix_spawn_file_actions_adddup2(&actions, fds[i], i);
		else
			posix_spawn_file_actions_addopen(&actions, i, "/dev/null",
							 i == 0 ? O_RDONLY : O_WRONLY, 0);
	}
	if (p->hold > 0)
		posix_spawn_file_actions_adddup2(&actions, p->hold, HELD_FD);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setflags(&attr,
				 POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	err = posix_spawn(pid, path, &actions, &attr, (char *const *)p->argv, tool_environment());
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return -err;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* If the tool ends early, the write fails instead of raising SIGPIPE. */
static void feed(struct streams *s)
{
	ssize_t n;

	if (s->input == NULL) {
		close_fd(&s->in);
		return;
	}
	n = send(s->in, s->input, strlen(s->input), MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0)
		s->input += n;
	if (*s->input == '\0' || (n < 0 && errno != EINTR && errno != EAGAIN))
		close_fd(&s->in);
}

static int read_output(struct streams *s)
{
	ssize_t n;

	if (s->room - s->used < 4096) {
		size_t room = s->room == 0 ? 65536 : 2 * s->room;
		char *grown = room <= OUTPUT_MAX ? realloc(s->output, room) : NULL;

		if (grown == NULL)
			return room <= OUTPUT_MAX ? -ENOMEM : -EFBIG;
		s->output = grown;
		s->room = room;
	}
	n = read(s->out, s->output + s->used, s->room - s->used - 1);
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	if (n == 0)
		close_fd(&s->out);
	s->used += (size_t)n;
	s->output[s->used] = '\0';
	return 0;
}

/* Bytes beyond the room are read and discarded, so that the tool never blocks. */
static void read_error(struct streams *s)
{
	char excess[512];
	size_t room = s->error_size - s->error_used - 1;
	ssize_t n = room > 0 ? read(s->err, s->error + s->error_used, room)
			     : read(s->err, excess, sizeof(excess));

	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		close_fd(&s->err);
	if (n > 0 && room > 0)
		s->error_used += (size_t)n;
	if (s->error != NULL)
		s->error[s->error_used] = '\0';
}

static int transfer(struct streams *s, int timeout_ms)
{
	int64_t end = now_ms() + timeout_ms;
	int err = 0;

	while (err == 0 && (s->out >= 0 || s->err >= 0)) {
		struct pollfd p[4] = { { .fd = s->in, .events = POLLOUT },
				       { .fd = s->out, .events = POLLIN },
				       { .fd = s->err, .events = POLLIN },
				       { .fd = interrupt_fd(), .events = POLLIN } };
		int64_t left = end - now_ms();

		if (interrupt_pending())
			return -EINTR;
		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(p, 4, (int)left) <= 0)
			continue;
		if (p[0].revents != 0)
			feed(s);
		if (p[1].revents != 0)
			err = read_output(s);
		if (p[2].revents != 0)
			read_error(s);
	}
	return err;
}

/* The tool has closed its output: waits for its end, or kills it. */
static int reap(pid_t pid, bool kill_now)
{
	int status = 0, tries = TIME_MS;

	if (kill_now)
		kill(-pid, SIGKILL);
	while (!kill_now && waitpid(pid, &status, WNOHANG) == 0) {
		struct timespec pause = { .tv_nsec = 1000000 };

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
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Opens the streams that are needed. The output is always read: when it ends, the tool has ended. */
static int open_streams(const struct subprocess *p, struct streams *s, int child[3])
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 }, failed = 0;

	if ((p->input != NULL && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) < 0) ||
	    pipe2(out, O_CLOEXEC) < 0 || (p->error != NULL && pipe2(err, O_CLOEXEC) < 0))
		failed = -errno;
	child[0] = in[0];
	child[1] = out[1];
	child[2] = err[1];
	s->in = in[1];
	s->out = out[0];
	s->err = err[0];
	return failed;
}

int subprocess_exec(const struct subprocess *p)
{
	struct streams s = { .input = p->input, .error = p->error, .error_size = p->error_size };
	int child[3], err, status = 0;
	pid_t pid = -1;

	if (p->output != NULL)
		*p->output = NULL;
	if (p->error != NULL)
		p->error[0] = '\0';
	err = open_streams(p, &s, child);
	if (err == 0)
		err = interrupt_pending() ? -EINTR : start(p, child, &pid);
	for (int i = 0; i < 3; i++)
		close_fd(&child[i]);
	if (err == 0) {
		err = transfer(&s, p->timeout_ms);
		status = reap(pid, err < 0);
	}
	close_fd(&s.in);
	close_fd(&s.out);
	close_fd(&s.err);
	if (err < 0 || p->output == NULL || status < 0) {
		free(s.output);
		return err < 0 ? err : status;
	}
	*p->output = s.output;
	return status;
}

int subprocess_run(const char *const argv[], char **output)
{
	struct subprocess p = { .argv = argv, .output = output, .timeout_ms = TIME_MS };

	return subprocess_exec(&p);
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
