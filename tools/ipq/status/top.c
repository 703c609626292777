/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table on the terminal's alternate screen. The terminal is restored when the program ends or is stopped. Each
 * frame is one write.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "command.h"
#include "status/status.h"
#include "util/clock.h"

#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[?25h\033[?1049l"

struct screen {
	struct termios before;
	unsigned columns, lines;
	int signals;
};

static void put(const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, bytes, len);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
}

static void enter(struct screen *s)
{
	struct termios raw = s->before;

	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	put(ENTER, sizeof(ENTER) - 1);
}

static void leave(const struct screen *s)
{
	put(LEAVE, sizeof(LEAVE) - 1);
	tcsetattr(STDIN_FILENO, TCSANOW, &s->before);
}

static void measure(struct screen *s)
{
	struct winsize w;

	s->columns = 80;
	s->lines = 24;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 && w.ws_row > 0) {
		s->columns = w.ws_col;
		s->lines = w.ws_row;
	}
}

/* Prints as much of the text as fits on the screen. The text has only printable ASCII and newlines. */
static void draw(const struct screen *s, const char *text)
{
	char *frame = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&frame, &len);
	unsigned line = 0;

	if (out == NULL)
		return;
	fputs("\033[H", out);
	while (*text != '\0' && line < s->lines) {
		size_t n = strcspn(text, "\n");

		fprintf(out, "%s%.*s\033[K", line > 0 ? "\r\n" : "", (int)(n < s->columns ? n : s->columns),
			text);
		text += n + (text[n] == '\n');
		line++;
	}
	fputs(line < s->lines ? "\r\n\033[J" : "", out);
	if (fclose(out) == 0)
		put(frame, len);
	free(frame);
}

static void show(struct screen *s, const struct snapshot *now, const struct snapshot *before,
		 unsigned interval_ms)
{
	const struct status_view view = { .now = now, .before = before, .columns = s->columns };
	char *text = NULL, clock[16] = "";
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	time_t t = time(NULL);
	struct tm tm;

	if (out == NULL)
		return;
	if (localtime_r(&t, &tm) != NULL)
		strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	fprintf(out, "ipq status  %s  every %g s  q: quit\n\n", clock, interval_ms / 1000.0);
	status_print(&view, out);
	if (fclose(out) == 0)
		draw(s, text);
	free(text);
}

/* Restores the terminal, and then stops the process, which is the default action of Ctrl-Z. */
static void suspend(struct screen *s)
{
	leave(s);
	raise(SIGSTOP);
	enter(s);
	measure(s);
}

enum event { NOTHING, AGAIN, QUIT };

static enum event on_signal(struct screen *s)
{
	struct signalfd_siginfo info;

	if (read(s->signals, &info, sizeof(info)) != sizeof(info))
		return NOTHING;
	if (info.ssi_signo == SIGTSTP)
		suspend(s);
	else if (info.ssi_signo != SIGWINCH)
		return QUIT;
	measure(s);
	return AGAIN;
}

/* Reads only one key, because keys after q are for the shell. */
static enum event on_key(void)
{
	char key;
	ssize_t n = read(STDIN_FILENO, &key, 1);

	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		return QUIT; /* the terminal has disappeared */
	if (n > 0 && (key == 'q' || key == 'Q' || key == 4))
		return QUIT;
	return n > 0 ? AGAIN : NOTHING;
}

/* Waits until the next update. A resize or a key redraws the table. */
static enum event wait_for(struct screen *s, int64_t until)
{
	struct pollfd p[2] = { { .fd = s->signals, .events = POLLIN },
			       { .fd = STDIN_FILENO, .events = POLLIN } };
	int64_t left = until - now_ms();

	if (poll(p, 2, left > 0 ? (int)left : 0) <= 0)
		return NOTHING;
	if (p[0].revents != 0)
		return on_signal(s);
	return on_key();
}

static int loop(struct screen *s, unsigned interval_ms)
{
	struct snapshot now = { .row = NULL }, before = { .row = NULL };
	bool have_before = false;
	int err;

	for (;;) {
		enum event event = AGAIN;
		int64_t next;

		err = snapshot_take(&now, true);
		if (err < 0)
			break;
		/* the interval counts from now on: a snapshot may take longer than the interval */
		next = now_ms() + interval_ms;
		while (event != QUIT && (event == AGAIN || now_ms() < next)) {
			if (event == AGAIN)
				show(s, &now, have_before ? &before : NULL, interval_ms);
			event = wait_for(s, next);
		}
		if (have_before)
			snapshot_free(&before);
		before = now;
		have_before = true;
		if (event == QUIT)
			break;
	}
	if (have_before)
		snapshot_free(&before);
	return err;
}

int status_watch(unsigned interval_ms)
{
	static const int caught[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP };
	struct screen s = { .signals = -1 };
	sigset_t set, old;
	int err;

	if (!isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &s.before) < 0) {
		fputs("ipq status: --watch needs a terminal; otherwise call ipq status --json repeatedly\n",
		      stderr);
		return EXIT_USAGE;
	}
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		sigaddset(&set, caught[i]);
	sigprocmask(SIG_BLOCK, &set, &old);
	s.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s.signals < 0) {
		fprintf(stderr, "ipq status: %s\n", strerror(errno));
		return 1;
	}
	measure(&s);
	enter(&s);
	err = loop(&s, interval_ms);
	leave(&s);
	close(s.signals);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (err < 0)
		fprintf(stderr, "ipq status: cannot read queues and rules: %s\n", strerror(-err));
	return err < 0;
}
