/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "common/process.h"
#include "common/text.h"
#include "keep/program.h"
#include "nfqueue/held.h"

#define FIRST_FD 3
#define GONE_TRIES 5000 /* number of tries, which take at least 1 s */
#define NAMES_SIZE (KEEP_QUEUES_MAX * 40 + 20)

static void set_number(const char *name, uint32_t value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	setenv(name, text, 1);
}

/*
 * Passes the descriptors to the program. Called in the child. The order of the descriptors is that of their names:
 * the connection, then two for each queue.
 */
static void give_descriptors(const struct program_start *start, int control, bool beside)
{
	char names[NAMES_SIZE] = HELD_KEEPER;
	size_t len = strlen(names);
	unsigned i;

	dup2(control, FIRST_FD);
	for (i = 0; i < start->count; i++) {
		dup2(start->queue[i].fd, FIRST_FD + 1 + 2 * (int)i);
		dup2(start->queue[i].spare_fd, FIRST_FD + 2 + 2 * (int)i);
		len += (size_t)snprintf(names + len, sizeof(names) - len,
					":" HELD_QUEUE "%u:" HELD_SPARE "%u", start->queue[i].number,
					start->queue[i].number);
	}
	setenv("LISTEN_FDNAMES", names, 1);
	set_number("LISTEN_FDS", 2 * start->count + 1);
	set_number("LISTEN_PID", (uint32_t)getpid());
	set_number("IPQ_KEEP", start->length);
	unsetenv("NOTIFY_SOCKET"); /* this socket is for the keeper only */
	if (beside)
		setenv("IPQ_KEEP_BESIDE", "1", 1);
	else
		unsetenv("IPQ_KEEP_BESIDE");
}

__attribute__((noreturn)) static void execute(const struct program_start *start, int control, bool beside)
{
	int err;

	setpgid(0, 0);
	give_descriptors(start, control, beside);
	setrlimit(RLIMIT_NOFILE, &start->files);
	sigprocmask(SIG_SETMASK, &start->mask, NULL);
	execvp(start->argv[0], start->argv);
	err = errno;
	text_complain("ipq keep", "cannot run \"%s\": %s", start->argv[0], strerror(err));
	_exit(err == ENOENT ? 127 : 126);
}

int program_start(struct program *p, const struct program_start *start, bool beside, int64_t now)
{
	const int on = 1;
	int pair[2], theirs, err;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	/* Use a number above the descriptors that the program gets. */
	theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, start->min_fd);
	err = theirs < 0 ? -errno : 0;
	close(pair[1]);
	setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	pid = err == 0 ? fork() : -1;
	if (pid == 0)
		execute(start, theirs, beside);
	if (err == 0 && pid < 0)
		err = -errno;
	if (theirs >= 0)
		close(theirs);
	if (err < 0) {
		close(pair[0]);
		return err;
	}
	setpgid(pid, pid); /* parent and child both call this, because either may run first */
	*p = (struct program){ .pid = pid, .control = pair[0], .started = now };
	return 0;
}

void program_signal(const struct program *p, int signal)
{
	if (p->pid > 0)
		kill(-p->pid, signal);
	/* a daemon is our child: its pid is not reused until we reap it */
	if (p->exited && p->reader > 0)
		kill(p->reader, signal);
}

void program_stop(struct program *p, int signal, int64_t now, int grace_ms)
{
	if (p->asked_end != 0)
		return;
	p->asked_end = signal;
	p->kill_at = now + grace_ms;
	program_signal(p, signal);
}

int program_notice(struct program *p, struct held_notice *notice)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec piece = { notice, sizeof(*notice) };
	struct msghdr message = {
		.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	const struct cmsghdr *c;
	struct ucred sender;
	ssize_t n = recvmsg(p->control, &message, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return -1;
	if (n != (ssize_t)sizeof(*notice)) {
		close(p->control);
		p->control = -1;
		return -2;
	}
	c = CMSG_FIRSTHDR(&message);
	if (c != NULL && c->cmsg_type == SCM_CREDENTIALS) {
		memcpy(&sender, CMSG_DATA(c), sizeof(sender));
		if (sender.pid > 0 && sender.pid != p->pid)
			p->reader = sender.pid;
	}
	p->took = true;
	return 0;
}

void program_answer(const struct program *p, bool yes)
{
	const char answer = (char)yes;

	if (p->control >= 0)
		send(p->control, &answer, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool program_reaped(struct program *p, pid_t pid, int status)
{
	if (p->pid <= 0 || (pid != p->pid && pid != p->reader))
		return false;
	if (pid == p->pid) {
		p->exited = true;
		p->status = status;
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || p->control < 0)
			return true;
		/*
		 * The program is a daemon: the process that was started has ended, and a descendant has the
		 * connection. The descendant may be in another process group, which the signal has not reached.
		 */
		if (p->asked_end != 0)
			program_signal(p, p->asked_end);
		return false;
	}
	p->reader = 0;
	if (p->exited) /* then the reader is the daemon */
		p->status = status;
	return p->exited;
}

bool program_runs(const struct program *p)
{
	return p->pid > 0;
}

bool program_has_daemon(const struct program *p)
{
	return p->reader > 0 && kill(p->reader, 0) == 0;
}

bool program_is_ending(const struct program *p)
{
	struct process reader;

	return !process_read(p->reader > 0 ? p->reader : p->pid, &reader) || reader.ending;
}

/* Waits for the end of a process of the program: a successor must not share the queue's socket with it. */
static void await_end(pid_t pid)
{
	const struct timespec pause = { .tv_nsec = 200000 };
	int i;

	for (i = 0; i < GONE_TRIES && kill(pid, 0) == 0; i++) {
		while (waitpid(pid, NULL, WNOHANG) > 0)
			;
		nanosleep(&pause, NULL);
	}
}

void program_clear(struct program *p)
{
	program_signal(p, SIGKILL);
	if (p->pid > 0)
		await_end(-p->pid);
	if (p->exited && p->reader > 0)
		await_end(p->reader);
	if (p->control >= 0)
		close(p->control);
	*p = (struct program){ .control = -1 };
}
