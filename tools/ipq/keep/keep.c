/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ipq keep: holds the sockets of queues, so that packets wait while their program is restarted. It reads no packet.
 *
 * The program inherits the sockets and a connection to this process (nfqueue/held.h). On the connection the program
 * sends a notice before it takes a queue, and waits for the answer. A new version of the program (SIGHUP) gets its
 * answer when the old program has ended: so the new program starts while the old one still decides packets.
 *
 * A program has ended when the process that was started has ended, unless this process exits with 0 and a
 * descendant has the connection (a daemon). A program also counts as ended when all of its processes have closed
 * the connection, for example, by exec of another program: then the other program does not have the sockets.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/capability.h>
#include "command.h"
#include "common/privileges.h"
#include "common/restart.h"
#include "common/service.h"
#include "common/text.h"
#include "keep/program.h"
#include "keep/queue.h"
#include "nfqueue/held.h"
#include "util/clock.h"

#define WHO "ipq keep"
#define LENGTH 16384
#define PATIENCE_MS 5000
#define GRACE_MS 5000
#define CLOSED_MS 500  /* maximum time between the end of the connection and the end of the process */
#define DELAY_SHARE 10 /* divisor of the usual delay, because packets wait meanwhile */
#define KEEP_FAILED 125

enum restart_when { RESTART_ON_FAILURE, RESTART_ALWAYS, RESTART_NO };

struct options {
	unsigned first, last;
	uint32_t length;
	enum restart_when when;
	unsigned limit;
	int patience_ms, grace_ms, watchdog_ms; /* watchdog_ms 0: no watchdog */
	bool open;
};

struct keeper {
	struct options o;
	struct kept_queue queue[KEEP_QUEUES_MAX];
	unsigned count;
	struct program_start start;
	struct program now, next; /* next: a new version of the program, which has not taken a queue yet */
	bool next_waits;	  /* the notice that `next` has sent, which has no answer yet */
	struct held_notice notice;
	struct restart restart;
	int64_t start_at; /* time of the planned start; 0: no start is planned */
	int ending;	  /* the signal that told this process to end; 0: none */
	bool ready;	  /* the service manager was notified */
	bool done;
	int result;
	int signals;
};

/* ---- starting and ending ----------------------------------------------------------------------------- */

static void finish(struct keeper *k, int result)
{
	k->done = true;
	k->result = result;
}

static void take(struct keeper *k, struct kept_queue *q, const struct held_config *config)
{
	q->configured = q->configured && memcmp(&q->config, config, sizeof(*config)) == 0;
	program_answer(&k->now, q->configured);
	q->taken = true;
	q->policy = false;
	q->decided_last = now_ms();
	if (!k->ready)
		service_notify("READY=1");
	k->ready = true;
}

/* Handles a notice of the program that runs. */
static void take_notice(struct keeper *k, const struct held_notice *notice)
{
	struct kept_queue *q = k->queue;

	while (q < k->queue + k->count && q->number != notice->queue)
		q++;
	if (q == k->queue + k->count)
		return;
	if (notice->event == HELD_TAKES) {
		take(k, q, &notice->config);
	} else {
		q->configured = notice->event == HELD_CONFIGURED;
		q->config = notice->config;
		if (notice->event == HELD_CHANGES)
			program_answer(&k->now, false);
	}
}

/* The new program has not taken a queue yet. Packets wait for it, but not longer than the patience. */
static void begin_patience(struct keeper *k, int64_t now)
{
	for (unsigned i = 0; i < k->count; i++) {
		struct kept_queue *q = &k->queue[i];

		/* A program that has decided nothing does not prolong the time during which packets wait. */
		if (q->policy_at == 0 || q->decided != q->decided_at_start)
			q->policy_at = now + k->o.patience_ms;
		q->taken = false;
		q->decided_at_start = q->decided;
	}
}

static void start(struct keeper *k, struct program *p)
{
	int err = program_start(p, &k->start, p == &k->next, now_ms());

	if (err < 0)
		text_complain(WHO, "cannot start the program: %s", strerror(-err));
	if (err < 0 && p == &k->now)
		k->start_at = now_ms() + 1000;
}

static int exit_status(const struct keeper *k, int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return k->ending != 0 && WTERMSIG(status) == k->ending ? 0 : 128 + WTERMSIG(status);
}

static void describe(const struct program *p, char *text, size_t size)
{
	if (!p->exited)
		snprintf(text, size, "closed its descriptors");
	else if (WIFSIGNALED(p->status))
		snprintf(text, size, "was killed by signal %d (%s)", WTERMSIG(p->status),
			 strsignal(WTERMSIG(p->status)));
	else
		snprintf(text, size, "ended with status %d", WEXITSTATUS(p->status));
}

static bool worked(const struct keeper *k)
{
	for (unsigned i = 0; i < k->count; i++)
		if (k->queue[i].taken && k->queue[i].decided != k->queue[i].decided_at_start)
			return true;
	return false;
}

static bool is_to_restart(const struct keeper *k, const struct program *p)
{
	if (k->ending != 0 || k->o.when == RESTART_NO)
		return false;
	if (!p->took && p->exited && WIFEXITED(p->status) && WEXITSTATUS(p->status) >= 126)
		return false; /* the program cannot be executed */
	return k->o.when == RESTART_ALWAYS || !p->exited || restart_is_failure(p->status);
}

static void plan_restart(struct keeper *k, const struct program *p, int64_t now)
{
	int delay = restart_delay_ms(&k->restart, worked(k), now - p->started);
	char what[96];

	describe(p, what, sizeof(what));
	if (delay < 0) {
		text_complain(WHO, "the program %s; it decided no packet in %u starts: giving up", what,
			      k->restart.failures);
		finish(k, 1);
		return;
	}
	text_complain(WHO, "the program %s; starting it again%s", what, delay > 0 ? " in a moment" : "");
	k->start_at = now + delay / DELAY_SHARE;
}

/*
 * Call it when the program has ended. A new version that has started already takes its place; otherwise the program
 * is started again.
 */
static void succeed(struct keeper *k)
{
	int64_t now = now_ms();
	struct program ended = k->now;
	struct held_notice notice = { 0 };

	while (program_notice(&k->now, &notice) == 0)
		take_notice(k, &notice);
	program_clear(&k->now);
	kept_update(k->queue, k->count, now);
	if (program_runs(&k->next)) {
		begin_patience(k, now);
		k->now = k->next;
		k->next = (struct program){ .control = -1 };
		if (k->next_waits)
			take_notice(k, &k->notice);
		k->next_waits = false;
	} else if (is_to_restart(k, &ended)) {
		plan_restart(k, &ended, now);
		begin_patience(k, now);
	} else {
		finish(k, ended.exited ? exit_status(k, ended.status) : 1);
	}
}

static void upgrade(struct keeper *k)
{
	if (program_runs(&k->next)) {
		text_complain(WHO, "a new version is starting already");
		return;
	}
	if (!program_runs(&k->now)) {
		k->start_at = now_ms();
		return;
	}
	k->next_waits = false;
	start(k, &k->next);
}

/* ---- events ------------------------------------------------------------------------------------------ */

static void drop_next(struct keeper *k)
{
	char what[96];

	describe(&k->next, what, sizeof(what));
	text_complain(WHO, "the new version %s before it took a queue; the old one continues", what);
	program_clear(&k->next);
	k->next_waits = false;
}

static void reap(struct keeper *k)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (program_reaped(&k->next, pid, status))
			drop_next(k);
		else if (program_reaped(&k->now, pid, status))
			succeed(k);
	}
}

static void end_all(struct keeper *k, int signal)
{
	k->ending = signal;
	k->start_at = 0;
	program_clear(&k->next);
	if (program_runs(&k->now))
		program_stop(&k->now, signal, now_ms(), k->o.grace_ms);
	else
		finish(k, 0);
}

static void on_signal(struct keeper *k)
{
	struct signalfd_siginfo info;

	if (read(k->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGCHLD)
		reap(k);
	else if (info.ssi_signo == SIGHUP)
		upgrade(k);
	else
		end_all(k, (int)info.ssi_signo);
}

/* Reads a notice. If the connection has ended, usually the program has ended, too, which the kernel reports next. */
static void on_message_now(struct keeper *k)
{
	struct held_notice notice = { 0 };
	int err = program_notice(&k->now, &notice);

	if (err == 0) {
		take_notice(k, &notice);
	} else if (err == -2) {
		k->now.closed_at = now_ms();
		if (k->now.exited ? !program_has_daemon(&k->now) : !program_is_ending(&k->now))
			succeed(k);
	}
}

static void on_message_next(struct keeper *k)
{
	int err = program_notice(&k->next, &k->notice);

	if (err == 0) {
		k->next_waits = true;
		program_stop(&k->now, SIGTERM, now_ms(), k->o.grace_ms);
	} else if (err == -2) {
		k->next.closed_at = now_ms();
	}
}

static void watch_start(const struct keeper *k, struct program *p, int64_t now)
{
	int ms = k->o.patience_ms > k->o.watchdog_ms ? k->o.patience_ms : k->o.watchdog_ms;

	if (!program_runs(p) || p->took || now - p->started < ms)
		return;
	text_complain(WHO, "the program has opened no queue for %d ms", ms);
	program_signal(p, SIGKILL);
	p->started = now;
}

/* A program that is alive but decides nothing while packets wait is treated as dead. */
static void watch(struct keeper *k, int64_t now)
{
	watch_start(k, &k->now, now);
	watch_start(k, &k->next, now);
	kept_update(k->queue, k->count, now);
	for (unsigned i = 0; i < k->count; i++) {
		if (!k->queue[i].taken || now - k->queue[i].decided_last < k->o.watchdog_ms)
			continue;
		text_complain(WHO,
			      "the program has decided nothing for %d ms while %u packets wait in queue %u",
			      k->o.watchdog_ms, k->queue[i].waiting, k->queue[i].number);
		program_signal(&k->now, SIGKILL);
		k->queue[i].decided_last = now;
	}
}

static void apply_policies(struct keeper *k, int64_t now)
{
	for (unsigned i = 0; i < k->count; i++) {
		struct kept_queue *q = &k->queue[i];

		if (q->policy_at == 0 || now < q->policy_at)
			continue;
		q->policy_at = 0;
		if (q->taken || q->policy)
			continue;
		kept_apply_policy(q, k->o.open);
		text_complain(WHO, "no program has queue %u: its packets are %s", q->number,
			      k->o.open ? "accepted" : "dropped");
	}
}

static void on_time(struct keeper *k)
{
	int64_t now = now_ms();

	if (k->now.kill_at != 0 && now >= k->now.kill_at) {
		program_signal(&k->now, SIGKILL);
		k->now.kill_at = now + 1000;
	}
	if (k->now.closed_at != 0 && now >= k->now.closed_at + CLOSED_MS) {
		k->now.exited = false; /* the status of a daemon is unknown if it is not our child */
		succeed(k);
	}
	if (k->next.closed_at != 0 && now >= k->next.closed_at + CLOSED_MS)
		drop_next(k);
	if (k->start_at != 0 && now >= k->start_at) {
		k->start_at = 0;
		start(k, &k->now);
	}
	apply_policies(k, now);
	if (k->o.watchdog_ms > 0 && program_runs(&k->now))
		watch(k, now);
}

static void sooner(int64_t *end, int64_t time)
{
	if (time != 0 && (*end == 0 || time < *end))
		*end = time;
}

static int timeout(const struct keeper *k)
{
	int64_t end = 0, now = now_ms();

	sooner(&end, k->now.kill_at);
	sooner(&end, k->start_at);
	sooner(&end, k->now.closed_at != 0 ? k->now.closed_at + CLOSED_MS : 0);
	sooner(&end, k->next.closed_at != 0 ? k->next.closed_at + CLOSED_MS : 0);
	for (unsigned i = 0; i < k->count; i++)
		sooner(&end, k->queue[i].policy_at);
	if (k->o.watchdog_ms > 0 && program_runs(&k->now))
		sooner(&end, now + k->o.watchdog_ms / 4 + 1);
	return end == 0 ? -1 : end <= now ? 0 : (int)(end - now);
}

static int serve(struct keeper *k)
{
	begin_patience(k, now_ms());
	start(k, &k->now);
	while (!k->done) {
		struct pollfd p[] = { { .fd = k->signals, .events = POLLIN },
				      { .fd = program_runs(&k->now) ? k->now.control : -1, .events = POLLIN },
				      { .fd = program_runs(&k->next) ? k->next.control : -1,
					.events = POLLIN } };

		if (poll(p, 3, timeout(k)) > 0) {
			/* Handle one event per iteration, because it may change the meaning of the others. */
			if (p[0].revents != 0)
				on_signal(k);
			else if (p[1].revents != 0)
				on_message_now(k);
			else
				on_message_next(k);
		}
		on_time(k);
	}
	program_clear(&k->now);
	program_clear(&k->next);
	return k->result;
}

/* ---- setup ------------------------------------------------------------------------------------------- */

/*
 * Keeps the privileges to change the queues and to end a program that has changed its user. A program that root
 * starts still gets all capabilities of the bounding set when it is executed.
 */
static void drop_rights(void)
{
	const uint32_t kept = 1U << CAP_NET_ADMIN | 1U << CAP_KILL;
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (geteuid() != 0 || syscall(SYS_capget, &header, data) < 0)
		return;
	data[0].permitted &= kept;
	data[0].effective = data[0].permitted;
	data[1].permitted = data[1].effective = 0;
	syscall(SYS_capset, &header, data);
}

/*
 * Raises the limit of open files. There are two sockets for each queue, and the child process that starts a program
 * has two descriptors for each socket. The program itself gets the usual limit.
 */
static int allow_files(struct keeper *k)
{
	unsigned count = k->o.last - k->o.first + 1;
	struct rlimit files;

	k->start.min_fd = (int)(8 + 2 * count);
	if (getrlimit(RLIMIT_NOFILE, &k->start.files) < 0)
		return -errno;
	files = k->start.files;
	if (files.rlim_cur < 32 + 4 * count)
		files.rlim_cur = 32 + 4 * count;
	if (files.rlim_cur <= files.rlim_max && setrlimit(RLIMIT_NOFILE, &files) == 0)
		return 0;
	text_complain(WHO, "the limit of %llu open files is too low for %u queues",
		      (unsigned long long)files.rlim_max, count);
	return -EMFILE;
}

static int open_queues(struct keeper *k)
{
	struct ipq_error e = { "" };

	if (allow_files(k) < 0)
		return -EMFILE;
	for (unsigned number = k->o.first; number <= k->o.last; number++) {
		int err = kept_open(&k->queue[k->count], (uint16_t)number, k->o.length, k->start.min_fd, &e);

		if (err < 0) {
			text_complain(WHO, "%s", e.text);
			return err;
		}
		k->count++;
	}
	if (kept_update(k->queue, k->count, now_ms()) < 0 && k->o.watchdog_ms > 0) {
		text_complain(WHO,
			      "--watchdog needs /proc/net/netfilter/nfnetlink_queue, which is not readable");
		return -EACCES;
	}
	return 0;
}

static int keep(const struct options *o, char **argv)
{
	static struct keeper k;
	sigset_t set;

	k = (struct keeper){
		.o = *o, .restart = { .limit = o->limit }, .now = { .control = -1 }, .next = { .control = -1 }
	};
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGCHLD, SIG_DFL); /* if SIGCHLD is ignored, waitpid does not work */
	sigprocmask(SIG_BLOCK, &set, &k.start.mask);
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* daemons become children of this process */
	if (open_queues(&k) < 0)
		return KEEP_FAILED;
	k.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (k.signals < 0) {
		text_complain(WHO, "cannot start: %s", strerror(errno));
		return KEEP_FAILED;
	}
	k.start.argv = argv;
	k.start.queue = k.queue;
	k.start.count = k.count;
	k.start.length = o->length;
	drop_rights();
	return serve(&k);
}

/* ---- options ----------------------------------------------------------------------------------------- */

/* Parses a time: "2s", "500ms", "1m" or "2". Returns ms; -1: the text is not a time. */
static int read_time(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10), unit = 1000;

	if (text[0] < '0' || text[0] > '9')
		return -1;
	if (strcmp(end, "ms") == 0)
		unit = 1;
	else if (strcmp(end, "m") == 0)
		unit = 60000;
	else if (strcmp(end, "s") != 0 && *end != '\0')
		return -1;
	return n <= 86400000 / unit ? (int)(n * unit) : -1;
}

static bool read_number(const char *text, const char **end, unsigned long max, unsigned *number)
{
	char *stop;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &stop, 10);
	*number = (unsigned)n;
	if (end != NULL)
		*end = stop;
	return text[0] >= '0' && text[0] <= '9' && errno == 0 && n <= max && (end != NULL || *stop == '\0');
}

static bool read_queues(const char *text, struct options *o)
{
	const char *end;

	if (!read_number(text, &end, UINT16_MAX, &o->first))
		return false;
	o->last = o->first;
	if (*end == '-' && !read_number(end + 1, NULL, UINT16_MAX, &o->last))
		return false;
	return (*end == '\0' || *end == '-') && o->last >= o->first && o->last - o->first < KEEP_QUEUES_MAX;
}

static bool read_when(const char *text, enum restart_when *when)
{
	static const char *const words[] = { "on-failure", "always", "no" };

	for (unsigned i = 0; i < 3; i++) {
		if (strcmp(text, words[i]) != 0)
			continue;
		*when = (enum restart_when)i;
		return true;
	}
	return false;
}

static const struct option long_options[] = {
	{ "queue", required_argument, NULL, 'q' },    { "length", required_argument, NULL, 'l' },
	{ "restart", required_argument, NULL, 'r' },  { "restart-limit", required_argument, NULL, 'n' },
	{ "patience", required_argument, NULL, 'p' }, { "grace", required_argument, NULL, 'g' },
	{ "watchdog", required_argument, NULL, 'w' }, { "open", no_argument, NULL, 'o' },
	{ "closed", no_argument, NULL, 'c' },	      { NULL, 0, NULL, 0 }
};

static int bad(const char *option, const char *value, const char *wanted)
{
	return command_usage(&command_keep, "--%s \"%s\": use %s", option, value, wanted);
}

/* Stores the value of an option. 0, or the exit status. */
static int take_option(struct options *o, int c, char **argv)
{
	static const char a_time[] = "a time such as 5s or 500ms";

	switch (c) {
	case 'q':
		return read_queues(optarg, o)
			       ? 0
			       : bad("queue", optarg,
				     "a number up to 65535, or a range of up to 256 such as 0-3");
	case 'l':
		return read_number(optarg, NULL, HELD_LENGTH_MAX, &o->length) && o->length > 0
			       ? 0
			       : bad("length", optarg, "a number of packets up to 65536");
	case 'r':
		return read_when(optarg, &o->when) ? 0 : bad("restart", optarg, "on-failure, always or no");
	case 'n':
		return read_number(optarg, NULL, INT32_MAX, &o->limit)
			       ? 0
			       : bad("restart-limit", optarg, "a number; 0 is no limit");
	case 'p':
		o->patience_ms = read_time(optarg);
		return o->patience_ms >= 0 ? 0 : bad("patience", optarg, a_time);
	case 'g':
		o->grace_ms = read_time(optarg);
		return o->grace_ms >= 0 ? 0 : bad("grace", optarg, a_time);
	case 'w':
		o->watchdog_ms = read_time(optarg);
		return o->watchdog_ms > 0 ? 0 : bad("watchdog", optarg, a_time);
	case 'o':
	case 'c':
		o->open = c == 'o';
		return 0;
	default:
		return command_bad_option(&command_keep, long_options, argv, c);
	}
}

static int run(int argc, char **argv)
{
	struct options o = {
		.length = LENGTH, .limit = RESTART_LIMIT, .patience_ms = PATIENCE_MS, .grace_ms = GRACE_MS
	};
	int c, status;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:q:", long_options, NULL)) != -1) {
		status = take_option(&o, c, argv);
		if (status != 0)
			return status;
	}
	if (optind >= argc)
		return command_usage(&command_keep, "name the program to run");
	return keep(&o, argv + optind);
}

const struct command command_keep = {
	.name = "keep",
	.runs_program = true,
	.summary = "restart or replace a program without losing a packet",
	.help = "Usage: ipq keep [OPTION...] [--] PROGRAM [ARGUMENT...]\n"
		"\n"
		"Opens queues and runs PROGRAM, which uses libipq or is ipq filter or ipq run.\n"
		"When PROGRAM dies, packets wait. PROGRAM is started again and first gets the\n"
		"undecided packets. On SIGHUP a new version starts beside it and takes over.\n"
		"\n"
		"  -q, --queue N[-M]   the queues (0)\n"
		"      --length N      packets that may wait in each queue (16384)\n"
		"      --restart WHEN  on-failure (default), always, no\n"
		"      --restart-limit N\n"
		"                      end after N starts in a row without a decision\n"
		"                      (10; 0: never)\n"
		"      --patience T    how long packets wait while no program has the queue (5s)\n"
		"      --closed        after that time, drop old and new packets (default)\n"
		"      --open          after that time, accept old and new packets\n"
		"      --watchdog T    kill PROGRAM if it decides nothing for T and packets wait\n"
		"      --grace T       how long PROGRAM may take to end after SIGTERM (5s)\n"
		"\n"
		"  sudo ipq keep -- ./firewall\n"
		"  sudo ipq keep --queue 0-3 --watchdog 2s -- ipq filter --queue 0-3 -f rules\n"
		"\n"
		"Exit status: that of PROGRAM; 1: the limit was reached; 2: usage; 125: ipq keep\n"
		"itself failed; 126: PROGRAM cannot be run; 127: PROGRAM was not found.\n"
		"See ipq-keep(1).\n",
	.run = run,
};
