/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "common/tool.h"
#include "firewall/rules_exec.h"

void argv_add(struct argv_builder *w, const char *format, ...)
{
	char **grown = realloc(w->word, (w->count + 2) * sizeof(*grown));
	va_list args;

	if (grown == NULL) {
		w->failed = -ENOMEM;
		return;
	}
	w->word = grown;
	va_start(args, format);
	if (vasprintf(&w->word[w->count], format, args) < 0) {
		w->word[w->count] = NULL;
		w->failed = -ENOMEM;
	} else {
		w->word[++w->count] = NULL;
	}
	va_end(args);
}

void argv_add_list(struct argv_builder *w, const char *list)
{
	while (*list != '\0') {
		size_t len = strcspn(list, " ");

		argv_add(w, "%.*s", (int)len, list);
		list += len;
		list += strspn(list, " ");
	}
}

void argv_free(struct argv_builder *w)
{
	for (size_t i = 0; i < w->count; i++)
		free(w->word[i]);
	free(w->word);
	*w = (struct argv_builder){ .word = NULL };
}

void argv_print(const struct argv_builder *w, FILE *out)
{
	for (size_t i = 0; i < w->count; i++) {
		bool plain = w->word[i][0] != '\0' && strpbrk(w->word[i], " \t'\"\\$;{}()<>|&*?") == NULL;

		fprintf(out, plain ? "%s%s" : "%s'%s'", i > 0 ? " " : "", w->word[i]);
	}
	fputc('\n', out);
}

/* In a process group of its own, with signals as in a fresh shell: Ctrl-C is for us, not for the tool. */
static int start(char *const argv[], const int fds[3], int lifeline, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	char path[512];
	int err;

	if (!tool_find(argv[0], path, sizeof(path)))
		return -ENOENT;
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	for (int i = 0; i < 3; i++) {
		if (fds[i] < 0)
			posix_spawn_file_actions_addopen(&actions, i, "/dev/null",
							 i == 0 ? O_RDONLY : O_WRONLY, 0);
		else
			posix_spawn_file_actions_adddup2(&actions, fds[i], i);
	}
	if (lifeline >= 0)
		posix_spawn_file_actions_adddup2(&actions, lifeline, 3);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setflags(&attr,
				 POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	err = posix_spawn(pid, path, &actions, &attr, argv, tool_environment());
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return -err;
}

struct stream {
	int fd;
	char *buf;
	size_t room, used;
};

/* What does not fit is read and thrown away, so that the tool never waits for us. */
static void take(struct stream *s)
{
	char waste[4096];
	size_t room = s->room > s->used + 1 ? s->room - s->used - 1 : 0;
	ssize_t n = room > 0 ? read(s->fd, s->buf + s->used, room) : read(s->fd, waste, sizeof(waste));

	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0) {
		close(s->fd);
		s->fd = -1;
	} else if (room > 0) {
		s->used += (size_t)n;
	}
}

static void take_all(struct stream s[2])
{
	while (s[0].fd >= 0 || s[1].fd >= 0) {
		struct pollfd p[2] = { { .fd = s[0].fd, .events = POLLIN },
				       { .fd = s[1].fd, .events = POLLIN } };

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		for (int i = 0; i < 2; i++)
			if (s[i].fd >= 0 && p[i].revents != 0)
				take(&s[i]);
	}
}

static void close_both(int fds[2])
{
	if (fds[0] >= 0)
		close(fds[0]);
	if (fds[1] >= 0)
		close(fds[1]);
}

/* A pair of sockets: writing to a tool that has gone is an error then, not a signal. */
static int input_pipe(int fds[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
}

int exec_run(char *const argv[], int lifeline, const char *input, char *out, size_t out_room, char *err,
	     size_t err_room)
{
	int in[2] = { -1, -1 }, pipe_out[2] = { -1, -1 }, pipe_err[2] = { -1, -1 }, status, failed;
	struct stream s[2];
	pid_t pid;

	if (input_pipe(in) < 0 || pipe2(pipe_out, O_CLOEXEC) < 0 || pipe2(pipe_err, O_CLOEXEC) < 0) {
		failed = -errno;
		goto undo;
	}
	failed = start(argv, (int[3]){ in[0], pipe_out[1], pipe_err[1] }, lifeline, &pid);
	if (failed < 0)
		goto undo;
	close(in[0]);
	close(pipe_out[1]);
	close(pipe_err[1]);
	/* Scripts are far smaller than a pipe holds, so this write does not wait for the tool. */
	if (input != NULL && send(in[1], input, strlen(input), MSG_NOSIGNAL) < 0)
		failed = -errno;
	close(in[1]);
	s[0] = (struct stream){ .fd = pipe_out[0], .buf = out, .room = out != NULL ? out_room : 0 };
	s[1] = (struct stream){ .fd = pipe_err[0], .buf = err, .room = err != NULL ? err_room : 0 };
	take_all(s);
	for (int i = 0; i < 2; i++)
		if (s[i].room > 0)
			s[i].buf[s[i].used] = '\0';
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (failed < 0)
		return failed;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
undo:
	close_both(in);
	close_both(pipe_out);
	close_both(pipe_err);
	return failed;
}

int exec_start(char *const argv[], pid_t *pid, int *fd)
{
	int in[2], err;

	if (input_pipe(in) < 0)
		return -errno;
	err = start(argv, (int[3]){ in[0], -1, -1 }, -1, pid);
	close(in[0]);
	if (err < 0)
		close(in[1]);
	else
		*fd = in[1];
	return err;
}

void exec_reap(pid_t pid, int timeout_ms)
{
	const struct timespec pause = { .tv_nsec = 5000000 };

	for (int waited = 0; waited < timeout_ms; waited += 5) {
		if (waitpid(pid, NULL, WNOHANG) != 0)
			return;
		nanosleep(&pause, NULL);
	}
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}
