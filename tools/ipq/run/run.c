/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ipq run: a program written for ip_queue, unmodified, on today's kernel or on a capture file.
 *
 * This file is the process that the shell waits for: it hands signals on to the supervisor and ends
 * as the program ends. See run_supervise.c for who is who.
 */
#include <errno.h>
#include <fcntl.h>
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
#include "run/run.h"

static int run(int argc, char **argv);

const struct command command_run = {
	.name = "run",
	.summary = "run a program written for ip_queue, unmodified",
	.help = "Usage: ipq run [--source NAME] [--log FILE] [--] PROGRAM [ARGUMENT...]\n"
		"\n"
		"Runs PROGRAM, which speaks to the kernel's old ip_queue, on today's kernel:\n"
		"static or dynamic, 64-bit or 32-bit, with or without libipq inside.\n"
		"\n"
		"  --source NAME  where packets come from: nfqueue:0 (default, or $IPQ_SOURCE),\n"
		"                 nflog:GROUP (copies, verdicts without effect), pcap:IN[,OUT]\n"
		"  --log FILE     append a line for each event, and a summary (-: standard error)\n"
		"\n"
		"  sudo ipq run -- ./old-program its arguments\n"
		"  sudo ipq run --log - -- ./old-program\n"
		"  ipq run --source pcap:in.pcap,out.pcap -- ./old-program\n"
		"\n"
		"Exit status: that of PROGRAM; 125: ipq run itself failed; 126: PROGRAM cannot be\n"
		"run; 127: there is none. See ipq-run(1).\n",
	.run = run,
};

/* "--name=value" or "--name value". 1: it was that; 0: something else; -1: the value is missing. */
static int option(const char *name, char **argv, int *i, const char **value)
{
	size_t len = strlen(name);

	if (strncmp(argv[*i], name, len) != 0 || (argv[*i][len] != '\0' && argv[*i][len] != '='))
		return 0;
	*value = argv[*i][len] == '=' ? argv[*i] + len + 1 : argv[++*i];
	return *value != NULL ? 1 : -1;
}

static int parse(char **argv, struct run_options *options)
{
	int i, found;

	*options = (struct run_options){ .source = secure_getenv("IPQ_SOURCE") };
	for (i = 1; argv[i] != NULL && argv[i][0] == '-'; i++) {
		const char *word = argv[i];

		if (strcmp(word, "--") == 0) {
			i++;
			break;
		}
		found = option("--source", argv, &i, &options->source);
		if (found == 0)
			found = option("--log", argv, &i, &options->log);
		if (found == 0)
			return command_usage(&command_run, "there is no option \"%s\"", word);
		if (found < 0)
			return command_usage(&command_run, "%s needs a value", word);
	}
	if (argv[i] == NULL)
		return command_usage(&command_run, "which program?");
	if (options->source == NULL || options->source[0] == '\0')
		options->source = "nfqueue:0";
	options->program = argv + i;
	return 0;
}

void run_signals(sigset_t *set)
{
	static const int forwarded[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM };

	sigemptyset(set);
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
		sigaddset(set, forwarded[i]);
	sigaddset(set, SIGCHLD);
}

/* A signal meant for the program has reached us in its place. */
static void forward(int signals, pid_t supervisor)
{
	struct signalfd_siginfo info;

	/* What the terminal sends, the whole process group has got already, the program included. */
	if (read(signals, &info, sizeof(info)) == sizeof(info) && info.ssi_signo != SIGCHLD &&
	    info.ssi_code != SI_KERNEL)
		kill(supervisor, (int)info.ssi_signo);
}

/* Until the supervisor reports, or is gone: false. */
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
			forward(signals, supervisor);
	}
}

/* The caller sees what the program's own parent would have seen. */
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

/* Were 0, 1 or 2 closed, our own sockets would get these numbers, and the program would be given them. */
static void fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	close(fd);
}

/* What the shell gave us is the program's now: a pipe that we held open would never end. We wait, hand
 * signals on, and may have to end processes that have changed their user (and be able to see them). */
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
		run_complain("the supervisor was killed; so is the program");
		run_kill_descendants();
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
	options.sigchld = signal(SIGCHLD, SIG_DFL); /* inherited as ignored, nothing could be waited for */
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
