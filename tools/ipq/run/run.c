/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ipq run: runs a program written for ip_queue, unmodified, on the current kernel or on a capture file.
 *
 * This file is the process that the shell waits for. It forwards signals to the supervisor (supervise.c) and ends
 * in the same way as the program.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "command.h"
#include "common/privileges.h"
#include "common/restart.h"
#include "run/run.h"

static int run(int argc, char **argv);

const struct command command_run = {
	.name = "run",
	.runs_program = true,
	.summary = "run a program written for ip_queue, unmodified",
	.help = "Usage: ipq run [OPTION...] [--] PROGRAM [ARGUMENT...]\n"
		"\n"
		"Runs PROGRAM, which was written for ip_queue, on a kernel without ip_queue.\n"
		"PROGRAM may be static or dynamic, 64-bit or 32-bit, with or without libipq.\n"
		"\n"
		"  --source NAME  where packets come from: nfqueue:N (default: $IPQ_SOURCE, or\n"
		"                 nfqueue:0), pcap:IN[,OUT], or nflog:GROUP (copies; verdicts\n"
		"                 have no effect)\n"
		"  --log FILE     append a line for each event, and a summary (-: standard error)\n"
		"  --exact        every call behaves as with ip_queue, but packets take ten times\n"
		"                 as long: see ipq-run(1)\n"
		"  --restart      start PROGRAM again when it fails, with the undecided packets\n"
		"  --restart-limit N   end after N failures in a row without a verdict (10)\n"
		"\n"
		"  sudo ipq run -- ./old-program its arguments\n"
		"  sudo ipq run --log - -- ./old-program\n"
		"  ipq run --source pcap:in.pcap,out.pcap -- ./old-program\n"
		"\n"
		"Exit status: that of PROGRAM; 125: ipq run itself failed; 126: PROGRAM cannot be\n"
		"run; 127: PROGRAM was not found. See ipq-run(1).\n",
	.run = run,
};

/*
 * Parses "--name=value" or "--name value". 1: the word is this option; 0: it is another word; -1: the value is
 * missing.
 */
static int option(const char *name, char **argv, int *i, const char **value)
{
	size_t len = strlen(name);

	if (strncmp(argv[*i], name, len) != 0 || (argv[*i][len] != '\0' && argv[*i][len] != '='))
		return 0;
	*value = argv[*i][len] == '=' ? argv[*i] + len + 1 : argv[++*i];
	return *value != NULL ? 1 : -1;
}

static bool read_limit(const char *text, struct run_options *options)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	options->restart_limit = (unsigned)n;
	return text[0] >= '0' && text[0] <= '9' && *end == '\0' && n <= UINT_MAX;
}

static int parse(char **argv, struct run_options *options)
{
	const char *limit;
	int i, found;

	*options =
		(struct run_options){ .source = secure_getenv("IPQ_SOURCE"), .restart_limit = RESTART_LIMIT };
	for (i = 1; argv[i] != NULL && argv[i][0] == '-'; i++) {
		const char *word = argv[i];

		if (strcmp(word, "--") == 0) {
			i++;
			break;
		}
		if (strcmp(word, "--exact") == 0) {
			options->exact = true;
			continue;
		}
		if (strcmp(word, "--restart") == 0) {
			options->restart = true;
			continue;
		}
		found = option("--source", argv, &i, &options->source);
		if (found == 0)
			found = option("--log", argv, &i, &options->log);
		if (found == 0 && (found = option("--restart-limit", argv, &i, &limit)) > 0 &&
		    !read_limit(limit, options))
			return command_usage(&command_run, "--restart-limit takes a number, not \"%s\"",
					     limit);
		if (found == 0)
			return command_usage(&command_run, "unknown option \"%s\"", word);
		if (found < 0)
			return command_usage(&command_run, "%s needs a value", word);
	}
	if (argv[i] == NULL)
		return command_usage(&command_run, "name the program to run");
	if (options->source == NULL || options->source[0] == '\0')
		options->source = "nfqueue:0";
	options->program = argv + i;
	return 0;
}

/* Forwards a signal that was sent to this process but is meant for the program. */
static void forward(int signals, int link, pid_t supervisor)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) != sizeof(info) || info.ssi_signo == SIGCHLD)
		return;
	/* A signal from the terminal goes to the whole process group, so the program has it already. The supervisor
	 * only needs to know that it must not start the program again. */
	if (info.ssi_code != SI_KERNEL)
		kill(supervisor, (int)info.ssi_signo);
	else if (info.ssi_signo != SIGALRM)
		(void)!send(link, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Waits for the supervisor's report. False: the supervisor has died. */
static bool wait_for_report(int link, int signals, pid_t supervisor, struct run_report *report)
{
	for (;;) {
		struct pollfd p[2] = { { .fd = link, .events = POLLIN },
				       { .fd = signals, .events = POLLIN } };

		if (poll(p, 2, -1) < 0)
			continue;
		if ((p[0].revents & POLLIN) != 0)
			return recv(link, report, sizeof(*report), 0) == sizeof(*report);
		if (p[0].revents != 0)
			return false;
		if (p[1].revents != 0)
			forward(signals, link, supervisor);
	}
}

/* Ends this process in the way the program has ended. */
static int end_like(int status)
{
	struct rlimit no_core = { 0, 0 };
	sigset_t set;

	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status);
	setrlimit(RLIMIT_CORE, &no_core); /* one core file is enough */
	signal(WTERMSIG(status), SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, WTERMSIG(status));
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(WTERMSIG(status));
	return 128 + WTERMSIG(status);
}

/*
 * Opens those of the descriptors 0, 1 and 2 that are closed. Otherwise our sockets would get these numbers, and the
 * program would inherit them.
 */
static void fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	close(fd);
}

/*
 * Closes inherited descriptors, which are meant for the program: if this process kept a pipe open, the pipe's
 * reader would never read its end. The capabilities that are kept are needed to see and end processes that have
 * changed their user.
 */
static void keep_nothing(void)
{
	privileges_close_inherited();
	run_give_away(STDIN_FILENO);
	run_give_away(STDOUT_FILENO);
	privileges_keep(PRIVILEGE(CAP_KILL) | PRIVILEGE(CAP_SYS_PTRACE));
}

static int wait_for_program(int link, int signals, pid_t supervisor)
{
	struct run_report report;

	keep_nothing();
	if (!wait_for_report(link, signals, supervisor, &report)) {
		run_complain("the supervisor was killed; the program is killed, too");
		run_kill_descendants(0);
		return RUN_FAILED;
	}
	if (!report.detached)
		waitpid(supervisor, NULL, 0);
	return end_like(report.status);
}

static int run(int argc, char **argv)
{
	struct run_options options;
	sigset_t set;
	int link[2], signals;
	pid_t supervisor;

	(void)argc;
	if (parse(argv, &options) != 0)
		return RUN_FAILED;
	fill_standard_descriptors();
	run_signals(&set);
	sigprocmask(SIG_BLOCK, &set, &options.mask);
	options.sigchld = signal(SIGCHLD, SIG_DFL); /* if SIGCHLD is ignored, waitpid does not work */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) < 0 ||
	    (supervisor = fork()) < 0) {
		run_complain("cannot start: %s", strerror(errno));
		return RUN_FAILED;
	}
	if (supervisor == 0) {
		close(signals);
		close(link[0]);
		run_supervise(&options, link[1]);
	}
	close(link[1]);
	return wait_for_program(link[0], signals, supervisor);
}
