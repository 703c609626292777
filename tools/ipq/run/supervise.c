/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The supervisor: starts the program, answers its system calls, steps the engine. There are three
 * processes:
 *
 *	ipq run ---- the supervisor ---- the program ---- its children
 *
 * "ipq run" is the one that the shell waits for: it forwards signals and ends as the program ends. The
 * supervisor is the program's parent and, as a child subreaper, the parent of every descendant whose parent has ended:
 * so it can find and end them all. If the supervisor dies, "ipq run" can do the same.
 *
 * Invariant: a process under the filter never outlives both. Each of the two watches the other one over their link,
 * and kills all descendants when the other one has died. There is one exception: when the program has ended but
 * descendants are alive (it has become a daemon), the supervisor reports the status, "ipq run" ends with it, and
 * the supervisor stays until the last of them has ended: the filter's listener then has POLLHUP
 * (doc/assumptions/listener-hangs-up.c).
 *
 * With --restart, a program that fails starts again (start.c): first all its remaining processes are killed; then the
 * engine applies the verdicts that the program sent, and keeps its undecided packets for the successor.
 *
 * The supervisor has its own process group, so signals from the terminal (^C, ^Z, a hangup) reach the program but not
 * the supervisor.
 */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "common/privileges.h"
#include "common/restart.h"
#include "common/text.h"
#include "core/core.h"
#include "run/run.h"
#include "util/safe_open.h"
#include "util/clock.h"

/* Descendants that are alive this long after the program has ended count as daemons. */
#define GRACE_MS 200
/* The limit of the program's sockets. */
#define MAX_SOCKETS 1024
#define MAX_INHERITED 1024

struct supervisor {
	const struct run_options *options;
	int link; /* socket to "ipq run" */
	int signals;
	struct run_starter starter;
	/* socket to the child until the program runs: transfers the listener, then a byte to start */
	int our_end;
	int listener; /* -1: no process is under the filter */
	pid_t program;
	bool ended;	    /* the program has ended */
	int status;	    /* the program's status */
	bool stopping;	    /* the user wants the program to end */
	bool waiting;	    /* the program will start again at restart_at */
	bool source_ended;  /* there are no more packets */
	bool source_failed; /* the failure was reported */
	bool detached;
	int64_t deadline; /* end of the grace period, in ms */
	int64_t started_at, restart_at;
	uint64_t decided; /* number of packets that were already decided when the program was started */
	struct restart restart;
	FILE *log;
	struct engine *engine;
	struct run_calls *calls;
	int inherited[MAX_INHERITED];
	unsigned inherited_count;
};

/* ---- descriptors and capabilities that the supervisor gives up ------------------------------------ */

static void list_inherited(struct supervisor *s)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	/* The library has marked the sockets of ipq keep as close-on-exec, because they are not for the program. */
	while (dir != NULL && (entry = readdir(dir)) != NULL && s->inherited_count < MAX_INHERITED) {
		int fd = atoi(entry->d_name), flags = fcntl(fd, F_GETFD);

		if (fd > STDERR_FILENO && fd != s->link && flags >= 0 && (flags & FD_CLOEXEC) == 0)
			s->inherited[s->inherited_count++] = fd;
	}
	if (dir != NULL)
		closedir(dir);
}

/* Closes descriptors that are for the program. If this process kept a pipe open, its reader would never read the end.
 * */
static void close_inherited(const struct supervisor *s)
{
	for (unsigned i = 0; i < s->inherited_count; i++)
		close(s->inherited[i]);
	run_give_away(STDIN_FILENO);
	run_give_away(STDOUT_FILENO);
}

/*
 * Keeps CAP_NET_ADMIN for the queue. Keeps the other capabilities in order to answer and to end a program that has
 * changed its user: then the program's memory and descriptors in /proc belong to that user. Without CAP_SYS_PTRACE,
 * the kernel lets us read the program's memory only while we have all its capabilities, so none is dropped.
 */
static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data) < 0 || (data[0].effective & PRIVILEGE(CAP_SYS_PTRACE)) == 0)
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	else
		privileges_keep(PRIVILEGE(CAP_NET_ADMIN) | PRIVILEGE(CAP_SYS_PTRACE) |
				PRIVILEGE(CAP_DAC_OVERRIDE) | PRIVILEGE(CAP_KILL));
}

/* Limits the descriptors of this process, which also limits the program's sockets. */
static unsigned limit_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 256;
	limit.rlim_cur = limit.rlim_max < MAX_SOCKETS + 64 ? limit.rlim_max : MAX_SOCKETS + 64;
	setrlimit(RLIMIT_NOFILE, &limit);
	return (unsigned)limit.rlim_cur;
}

/* ---- opening ------------------------------------------------------------------------------------ */

static int open_log(struct supervisor *s)
{
	const char *name = s->options->log;
	struct ipq_error e;
	int fd;

	if (name == NULL)
		return 0;
	/* O_NONBLOCK: if the pipe is full, lines are lost, but packets do not wait. */
	if (strcmp(name, "-") == 0)
		fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	else
		fd = safe_open(name, O_APPEND | O_NONBLOCK, &e);
	s->log = fd >= 0 ? fdopen(fd, "a") : NULL;
	if (s->log == NULL) {
		run_complain("cannot write the log: %s",
			     fd < 0 && strcmp(name, "-") != 0 ? e.text : strerror(errno));
		return -1;
	}
	setvbuf(s->log, NULL, _IOLBF, BUFSIZ);
	return 0;
}

/*
 * on: step() waits for everything that this process waits for. Otherwise it waits only for the engine's events. 0
 * or -errno.
 */
static int watch(const struct supervisor *s, bool on)
{
	const int fd[] = { s->listener, s->signals, s->link };
	int err = 0;

	for (size_t i = 0; s->engine != NULL && i < sizeof(fd) / sizeof(fd[0]); i++)
		if (fd[i] >= 0 && err == 0)
			err = engine_watch(s->engine, fd[i], on);
	return err;
}

static void stop_watching(const struct supervisor *s, int *fd)
{
	if (s->engine != NULL)
		engine_watch(s->engine, *fd, false);
	close(*fd);
	*fd = -1;
}

/* Opens the source and the engine, starts the program, and receives the listener of its filter. */
static int open_all(struct supervisor *s)
{
	struct engine_options options = { .log = s->log, .early = true };
	struct ipq_error e = { .text = "" };
	struct source *source;
	bool capture;
	unsigned limit;
	int err;

	err = source_open(&source, s->options->source, &e);
	if (err < 0) {
		run_complain("%s", e.text[0] != '\0' ? e.text : strerror(-err));
		return -1;
	}
	/* A capture file needs no capability. */
	capture = source->ops->lossless;
	/*
	 * Find out now whether the output file can be written. Otherwise the program would get EINVAL much later.
	 */
	if (capture && source->ops->configure(source, &(struct source_config){ .mode = COPY_NONE }, &e) < 0) {
		run_complain("%s", e.text);
		return -1;
	}
	options.keep = s->options->restart || source->held;
	err = engine_open(&s->engine, source, &options, &e);
	if (err < 0) {
		run_complain("%s", e.text[0] != '\0' ? e.text : strerror(-err));
		return -1;
	}
	s->listener = run_receive_descriptor(s->our_end);
	if (s->listener < 0)
		return -1; /* the child has reported the reason */
	close_inherited(s);
	limit = limit_descriptors();
	if (run_calls_open(&s->calls, s->listener, s->engine, capture, limit, s->log, &e) < 0) {
		run_complain("%s", e.text);
		return -1;
	}
	err = watch(s, true);
	if (err < 0) {
		run_complain("cannot wait for the program's calls: %s", strerror(-err));
		return -1;
	}
	drop_capabilities();
	return 0;
}

/* ---- the loop ----------------------------------------------------------------------------------- */

static void log_summary(const struct supervisor *s)
{
	static const struct {
		uint8_t family;
		const char *name;
	} families[] = { { AF_INET, "IPv4" }, { AF_INET6, "IPv6" } };
	struct engine_counters n;

	for (size_t i = 0; s->log != NULL && s->engine != NULL && i < 2; i++) {
		engine_counts(s->engine, families[i].family, &n);
		fprintf(s->log,
			"summary: %s: %llu packets, %llu accepted, %llu replaced, %llu dropped, %llu without "
			"a "
			"reader, %llu lost to a full queue, %llu to a full socket\n",
			families[i].name, (unsigned long long)n.packets, (unsigned long long)n.accepted,
			(unsigned long long)n.replaced, (unsigned long long)n.dropped,
			(unsigned long long)n.wrong_family, (unsigned long long)n.queue_dropped,
			(unsigned long long)n.netlink_dropped);
	}
}

static void close_engine(struct supervisor *s)
{
	if (s->engine == NULL)
		return;
	log_summary(s);
	if (s->calls != NULL)
		run_calls_orphan(s->calls);
	engine_close(s->engine);
	s->engine = NULL;
}

/* Returns whether one of the descriptors of watch() may be ready. */
static bool step(struct supervisor *s, int timeout_ms)
{
	int ret = engine_step(s->engine, timeout_ms);

	s->source_ended |= ret == -ENODATA;
	/*
	 * -ENODATA: the capture file has ended. Programs that read it know that; other programs may still open it.
	 */
	if (ret >= 0 || ret == -ENODATA || ret == -EINTR || ret == -ECANCELED)
		return ret != 0;
	if (!s->source_failed)
		run_complain("%s", engine_error(s->engine));
	s->source_failed = true;
	if (!engine_lives(s->engine))
		close_engine(s); /* programs read an end of file */
	return true;
}

/* Applies the verdicts that the program sent before it ended. */
static void drain(struct supervisor *s)
{
	int64_t give_up = now_ms() + 2000;

	watch(s, false);
	while (s->engine != NULL && now_ms() < give_up) {
		struct pollfd p = { .fd = engine_fd(s->engine), .events = POLLIN };

		if (poll(&p, 1, 0) != 1)
			return;
		step(s, 0);
	}
}

static void report(const struct supervisor *s, bool detached)
{
	struct run_report r = { .status = s->status, .detached = detached };

	(void)!send(s->link, &r, sizeof(r), MSG_NOSIGNAL);
}

/* ---- the next start ----------------------------------------------------------------------------- */

static uint64_t decided(const struct supervisor *s)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct engine_counters n;
	uint64_t sum = 0;

	for (size_t i = 0; i < 2; i++) {
		engine_counts(s->engine, families[i], &n);
		/* Packets that the engine itself has dropped do not count. */
		sum += n.accepted + n.dropped - n.wrong_family - n.queue_dropped - n.netlink_dropped;
	}
	return sum;
}

static void started(struct supervisor *s)
{
	close(s->our_end);
	s->our_end = -1;
	s->started_at = now_ms();
	s->decided = decided(s);
	if (s->log != NULL) {
		fputs("program: ", s->log);
		text_put(s->log, s->options->program[0]);
		fprintf(s->log, ", process %d\n", (int)s->program);
	}
}

static void describe(int status, char *text, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(text, size, "killed by signal %d", WTERMSIG(status));
	else
		snprintf(text, size, "exit status %d", WEXITSTATUS(status));
}

/* Called when the program has ended: decides whether it starts again, and when. */
static bool plan_restart(struct supervisor *s)
{
	char how[64];
	int delay;

	if (s->starter.pid == 0 || s->stopping || s->source_ended || s->engine == NULL ||
	    !restart_is_failure(s->status))
		return false;
	run_kill_descendants(s->starter.pid);
	stop_watching(s, &s->listener);
	run_calls_set_listener(s->calls, -1);
	drain(s);
	if (s->engine == NULL)
		return false;
	describe(s->status, how, sizeof(how));
	delay = restart_delay_ms(&s->restart, decided(s) != s->decided, now_ms() - s->started_at);
	if (delay < 0) {
		run_complain("the program has failed %u times without deciding a packet (%s): it is not "
			     "started again",
			     s->restart.failures, how);
		return false;
	}
	run_complain("the program has ended (%s): it starts again in %d ms", how, delay);
	s->restart_at = now_ms() + delay;
	return watch(s, true) == 0;
}

static void restart(struct supervisor *s)
{
	s->waiting = false;
	s->program = run_start(&s->starter, &s->our_end);
	s->listener = s->program > 0 ? run_receive_descriptor(s->our_end) : -1;
	if (s->listener < 0 || (s->engine != NULL && engine_watch(s->engine, s->listener, true) < 0) ||
	    (run_calls_set_listener(s->calls, s->listener), write(s->our_end, "", 1)) != 1) {
		run_complain("cannot start the program again");
		s->stopping = true;
		return;
	}
	s->ended = false;
	started(s);
}

/* ---- events -------------------------------------------------------------------------------------- */

static void reap(struct supervisor *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == s->starter.pid) /* the starter was killed, so the program cannot start again */
			s->starter.pid = 0;
		if (pid != s->program)
			continue; /* an orphan that has ended: this process is its subreaper */
		s->ended = true;
		s->status = status;
		s->deadline = now_ms() + GRACE_MS;
		s->waiting = plan_restart(s);
		if (!s->waiting)
			run_starter_close(&s->starter);
	}
}

static void handle_signal(struct supervisor *s)
{
	struct signalfd_siginfo info;

	if (read(s->signals, &info, sizeof(info)) != sizeof(info))
		return;
	s->stopping |= info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM || info.ssi_signo == SIGQUIT;
	if (info.ssi_signo == SIGCHLD)
		reap(s);
	else if (!s->ended)
		kill(s->program, (int)info.ssi_signo);
	else if (!s->waiting && (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT))
		run_kill_descendants(0); /* then no process is under the filter, so the listener hangs up */
}

static void detach(struct supervisor *s)
{
	s->detached = true;
	if (s->log != NULL)
		fprintf(s->log, "program: ended; process %d continues for its children\n", (int)getpid());
	report(s, true);
	stop_watching(s, &s->link);
	run_give_away(STDERR_FILENO);
}

static int timeout_of(const struct supervisor *s)
{
	int64_t left = (s->waiting ? s->restart_at : s->deadline) - now_ms();

	if (!s->ended || s->detached)
		return run_calls_timeout(s->calls);
	return left > 0 ? (int)left : 0;
}

/* Reads the link. False: it has ended. */
static bool asked_to_stop(struct supervisor *s)
{
	char byte;

	if (recv(s->link, &byte, 1, MSG_DONTWAIT) <= 0)
		return false;
	s->stopping = true;
	return true;
}

/* Handles the events that step() does not handle. False: "ipq run" was killed. */
static bool handle_events(struct supervisor *s, int timeout_ms)
{
	enum { LISTENER, SIGNALS, LINK, COUNT };
	struct pollfd p[COUNT] = {
		[LISTENER] = { .fd = s->listener, .events = POLLIN },
		[SIGNALS] = { .fd = s->signals, .events = POLLIN },
		[LINK] = { .fd = s->link, .events = POLLIN },
	};

	if (poll(p, COUNT, timeout_ms) <= 0)
		return true;
	if (p[LINK].revents != 0 && !asked_to_stop(s))
		return false;
	if ((p[LISTENER].revents & POLLIN) != 0)
		run_calls_answer(s->calls);
	else if (p[LISTENER].revents != 0)
		stop_watching(s, &s->listener);
	if (p[SIGNALS].revents != 0)
		handle_signal(s);
	if (s->stopping)
		s->waiting = false;
	return true;
}

/* Answers calls until no process is under the filter. */
static void serve(struct supervisor *s)
{
	bool lives = true;

	while (lives && (!s->ended || s->listener >= 0 || s->waiting)) {
		int timeout = timeout_of(s);

		if (s->waiting && timeout == 0) {
			restart(s);
			continue;
		}
		if (s->ended && !s->detached && !s->waiting && timeout == 0) {
			detach(s);
			continue;
		}
		/*
		 * Let the engine serve requests first: then a call that receives finds the refusal of a verdict
		 * that was sent before.
		 */
		if (s->engine == NULL)
			lives = handle_events(s, timeout);
		else if (step(s, timeout))
			lives = handle_events(s, 0);
		run_calls_retry(s->calls);
	}
	if (!lives)
		run_kill_descendants(0);
}

static void __attribute__((noreturn)) finish(struct supervisor *s)
{
	char how[64];

	drain(s);
	close_engine(s);
	if (s->log != NULL) {
		describe(s->status, how, sizeof(how));
		fprintf(s->log, "program: %s\n", how);
		fclose(s->log);
	}
	run_calls_close(s->calls);
	if (s->link >= 0)
		report(s, false);
	_exit(0);
}

/* Called if the program could not be started. Ends this process. */
static void __attribute__((noreturn)) fail(struct supervisor *s)
{
	s->status = RUN_FAILED << 8;
	if (s->our_end >= 0)
		close(s->our_end); /* closing it makes the child end */
	if (s->program > 0)
		waitpid(s->program, NULL, 0);
	if (s->engine != NULL)
		engine_close(s->engine);
	report(s, false);
	_exit(0);
}

void run_supervise(const struct run_options *options, int link)
{
	static struct supervisor s;
	sigset_t all, forwarded;
	int err;

	s = (struct supervisor){ .options = options,
				 .link = link,
				 .listener = -1,
				 .our_end = -1,
				 .signals = -1,
				 .restart.limit = options->restart_limit };
	list_inherited(&s);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	/*
	 * Block all signals, so that neither a closed socket (SIGPIPE) nor writing to the terminal (SIGTTOU) ends
	 * or stops this process.
	 */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	run_signals(&forwarded);
	s.signals = signalfd(-1, &forwarded, SFD_CLOEXEC | SFD_NONBLOCK);
	err = s.signals < 0 ? -errno : run_starter_open(&s.starter, options, link);
	if (err == 0) {
		s.program = run_start(&s.starter, &s.our_end);
		err = s.program < 0 ? (int)s.program : 0;
	}
	if (err < 0) {
		run_complain("cannot start: %s", strerror(-err));
		fail(&s);
	}
	setpgid(0, 0);
	if (open_log(&s) < 0 || open_all(&s) < 0 || write(s.our_end, "", 1) != 1)
		fail(&s);
	started(&s);
	serve(&s);
	finish(&s);
}
