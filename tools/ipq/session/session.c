/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The main thread owns the firewall rules and all signals; each worker owns a queue. So that no packet is lost, a
 * session ends in this order: the rules that queue are removed; the workers empty their queues and decide the
 * packets that they hold; the other rules are removed; the queues are closed. The order is the same after Ctrl-C,
 * after an error and at the end of a capture file.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "common/interrupt.h"
#include "common/privileges.h"
#include "common/service.h"
#include "common/text.h"
#include "core/core.h"
#include "firewall/probe.h"
#include "nflog/nflog.h"
#include "session/session.h"
#include "util/clock.h"

#define STALLED_MS 500
#define LOG_FLUSH_MS 20	  /* longer than 10 ms, after which the kernel sends an NFLOG buffer */
#define FIRST_QUEUE 61000 /* far away from the numbers that users choose */
#define LAST_QUEUE 65534  /* firewall_lock() uses 65535 as its lock */

/* The last one, SIGHUP, ends only a session that cannot reload. */
static const int end_signals[] = { SIGINT, SIGTERM, SIGQUIT, SIGHUP };
#define ENDS 3

static sigset_t signal_set(const int *signo, size_t n)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < n; i++)
		sigaddset(&set, signo[i]);
	return set;
}

static const char *name_of(const struct session *s, char name[32])
{
	snprintf(name, 32, "ipq %s", s->command->name);
	return name;
}

static int complain(const struct session *s, const char *text)
{
	char who[32];

	text_complain(name_of(s, who), "%s", text);
	return 1;
}

/* ---- workers ------------------------------------------------------------------------------------- */

int64_t session_packet_time(const struct worker *w, const struct ipq_packet *packet)
{
	if ((packet->present & IPQ_HAS_TIMESTAMP) != 0 && packet->timestamp != 0)
		return packet->timestamp;
	return w->session->virtual_time ? w->now : clock_ns(CLOCK_REALTIME);
}

bool session_advance_clock(struct worker *w, const struct ipq_packet *packet)
{
	if (!w->session->virtual_time || (packet->present & IPQ_HAS_TIMESTAMP) == 0 ||
	    (w->clock_runs && packet->timestamp <= w->now))
		return false;
	w->clock_runs = true;
	w->now = packet->timestamp;
	return true;
}

void session_interface(struct worker *w, const struct ipq_packet *packet, bool in, char name[32])
{
	uint32_t index = in ? packet->indev : packet->outdev;

	name[0] = '\0';
	if ((packet->present & (in ? IPQ_HAS_INDEV : IPQ_HAS_OUTDEV)) != 0)
		snprintf(name, 32, "%s", ipq_queue_interface(w->queue, index, NULL));
}

static void count_batch(struct worker *w, unsigned n)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += w->packet[i].full_len;
	atomic_fetch_add_explicit(&w->packets, n, memory_order_relaxed);
	atomic_fetch_add_explicit(&w->bytes, bytes, memory_order_relaxed);
}

/*
 * Receives packets (or takes the packets that are left after a failure) and calls the handler to decide them. 1, 0
 * on timeout, -errno.
 */
static int take_turn(struct worker *w, int timeout_ms)
{
	int err, n = (int)w->count;
	unsigned next = w->next;

	if (n == 0) {
		n = ipq_queue_recv(w->queue, w->packet, SOURCE_BATCH_MAX, timeout_ms);
		if (n == -EINTR || n == -ECANCELED)
			return 1;
		if (n <= 0)
			return n;
		w->count = (unsigned)n;
		count_batch(w, w->count);
	}
	if (!w->session->virtual_time)
		w->now = clock_ns(CLOCK_MONOTONIC);
	err = w->session->handler->batch(w, w->count);
	if (err >= 0)
		w->count = 0;
	else if (w->next != next)
		w->failures = 0;
	return err >= 0 ? 1 : err;
}

static int wake(struct worker *w)
{
	if (!w->session->virtual_time)
		w->now = clock_ns(CLOCK_MONOTONIC);
	return w->session->handler->wake != NULL ? w->session->handler->wake(w) : 0;
}

/*
 * Whether the worker tries again after a failure, such as a lack of memory. Its queue waits a little longer each time;
 * the other workers continue.
 */
static bool tries_again(struct worker *w, int err)
{
	const struct session *s = w->session;
	int64_t now = clock_ns(CLOCK_MONOTONIC);
	char queue[32], text[128];

	if (s->virtual_time || w->failures == SESSION_FAILURES_MAX)
		return false;
	if (w->failures == 0 && now - w->reported >= 1000000000) {
		snprintf(queue, sizeof(queue), "queue %u", s->queue_first + w->index);
		snprintf(text, sizeof(text), "%s: %s; trying again", s->source != NULL ? s->source : queue,
			 strerror(-err));
		complain(s, text);
		w->reported = now;
	}
	nanosleep(&(struct timespec){ .tv_nsec = 1000000L << w->failures++ }, NULL);
	return true;
}

/* Receives until the source ends, an error occurs, or join_workers() is called. */
static int receive(struct worker *w)
{
	const struct session_handler *h = w->session->handler;

	while (!w->session->leaving) {
		int err = take_turn(w, h->timeout != NULL ? h->timeout(w) : -1);

		if (err >= 0)
			err = wake(w);
		if (err >= 0)
			w->failures = 0;
		else if (!tries_again(w, err))
			return err;
	}
	return 0;
}

/*
 * Decides the packets that were queued before the rules were removed. The time for this is limited, because a rule
 * of another program may also feed the queue. The kernel holds copies for LOG_FLUSH_MS before it sends them.
 */
static void drain(struct worker *w)
{
	int wait_ms = w->session->rules_kind == RULES_LOG ? LOG_FLUSH_MS : 0;
	int64_t deadline = clock_ns(CLOCK_MONOTONIC) + 1000000000;
	int n;

	do
		n = take_turn(w, wait_ms);
	while (n != 0 && (n > 0 || tries_again(w, n)) && clock_ns(CLOCK_MONOTONIC) <= deadline);
}

/* Reports the frames of a capture file that were not read. */
static void note_unread(const struct worker *w)
{
	struct ipq_stats stats = { .size = sizeof(stats) };

	if (!w->session->quiet && ipq_queue_stats(w->queue, &stats) == 0 && stats.malformed > 0)
		text_note("ipq %s: %s\n", w->session->command->name, ipq_queue_error(w->queue));
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct session *s = w->session;

	w->error = receive(w);
	if (w->error == -ENODATA) {
		note_unread(w);
		w->error = 0;
	} else if (w->error == 0 && !s->virtual_time && !s->fed) {
		drain(w);
	}
	do
		if (s->handler->finish != NULL)
			s->handler->finish(w);
	/* process packets that finish() has repeated */
	while (s->virtual_time && w->error == 0 && take_turn(w, 0) > 0);
	ipq_queue_flush(w->queue);
	atomic_fetch_add(&s->ended, 1);
	eventfd_write(s->wake_fd, 1);
	return NULL;
}

void session_stop(struct session *s)
{
	s->stopping = true;
	eventfd_write(s->wake_fd, 1);
}

void session_wake_all(struct session *s)
{
	for (unsigned i = 0; i < s->workers; i++)
		if (s->worker[i].queue != NULL)
			ipq_queue_wake(s->worker[i].queue);
}

/* ---- start and end ------------------------------------------------------------------------------- */

/* Called when the start has failed. If a signal was the reason, the start counts as ended, not as failed. */
static int start_failed(struct session *s, int err, const char *text)
{
	if (err != -EINTR && !interrupt_pending())
		return complain(s, text);
	s->interrupted = true;
	text_note("ipq %s: interrupted while it started; no rule was added\n", s->command->name);
	return 0;
}

static int open_rules(struct session *s)
{
	struct ipq_error e = { .text = "" };
	struct rules_options options = { .who = s->name,
					 .kind = s->rules_kind,
					 .hooks = s->hooks,
					 .via = s->via,
					 .bypass = s->bypass,
					 .flows = s->flows,
					 .mark_bits = s->mark_bits,
					 .snaplen = s->snaplen,
					 .filter = s->filter,
					 .filters = s->filters,
					 .dry = s->dry_run };
	struct mark repeat;
	int err;

	name_of(s, s->name);
	err = rules_open(&s->rules, &options, &e);
	if (err < 0)
		return start_failed(s, err, e.text);
	repeat = rules_mark(s->rules);
	s->repeat_mark = repeat.mark;
	s->repeat_mask = repeat.mask;
	return 0;
}

/* Fails if the kernel lacks a required flag. */
static int check_flags(uint32_t missing, struct ipq_error *e)
{
	if ((missing & IPQ_O_CONNTRACK) != 0)
		return ipq_fail(
			e, EOPNOTSUPP,
			"this kernel sends no connection state with packets, as needed for state and ctmark "
			"(CONFIG_NETFILTER_NETLINK_GLUE_CT)");
	if ((missing & IPQ_O_OWNER) != 0)
		return ipq_fail(e, EOPNOTSUPP,
				"this kernel sends no owner with packets, as needed for uid and gid");
	return 0;
}

static void accept_of_flow(void *context, const struct ipq_packet *packet, struct ipq_verdict *verdict)
{
	session_accept(context, packet, verdict);
}

static bool keeps_flows(void *context)
{
	const struct worker *w = context;

	return atomic_load_explicit(&w->session->keeps_flows, memory_order_relaxed);
}

static const struct queue_flow_rules kept_by_kernel = { .accept = accept_of_flow, .keep = keeps_flows },
				     kept_by_library = { .accept = accept_of_flow };

static void ask_flows(struct worker *w, bool marks)
{
	const struct session *s = w->session;

	queue_ask_flows(w->queue, s->rules == NULL ? NULL : marks ? &kept_by_kernel : &kept_by_library, w);
}

void session_count_passed(struct session *s)
{
	if (s->rules != NULL)
		rules_passed(s->rules, &s->passed, &s->passed_bytes);
}

/* Opens a queue. 0 or -errno with a text in *e. */
static int open_queue(struct session *s, struct worker *w, struct ipq_error *e)
{
	char name[32];
	struct ipq_options options = { .size = sizeof(options),
				       .flags = s->flags | IPQ_O_BEST_EFFORT,
				       .copy_range = s->copy_range,
				       .error = e->text,
				       .error_size = sizeof(e->text) };
	unsigned number = s->queue_first + w->index;
	struct mark flow = { .mask = 0 };
	int err;

	if (s->rules != NULL)
		flow = rules_flow_mark(s->rules);
	options.flow_mark = flow.mark; /* 0: the library's default, for the user's own rules */
	options.flow_mask = flow.mask;
	/* The flag ends the decisions of an earlier run. */
	if (s->flows && (s->rules == NULL || flow.mask != 0))
		options.flags |= IPQ_O_FLOWS;
	e->text[0] = '\0';
	err = s->rules != NULL ? rules_number_free(s->rules, (uint16_t)number, e) : 0;
	if (err < 0)
		return err;
	snprintf(name, sizeof(name), "%s:%u", s->rules_kind == RULES_LOG ? "nflog" : "nfqueue", number);
	err = ipq_queue_open(&w->queue, s->source != NULL ? s->source : name, &options);
	if (err == 0) {
		ask_flows(w, flow.mask != 0);
		return check_flags(s->required & ~ipq_queue_flags(w->queue), e);
	}
	if (e->text[0] == '\0')
		ipq_fail(e, -err, "%s", strerror(-err));
	return err;
}

/*
 * Opens the first free queue number. Two processes may start at the same time, so a number counts as free only if
 * it can be bound.
 */
static int open_free_queue(struct session *s, struct ipq_error *e)
{
	bool log = s->rules_kind == RULES_LOG;

	for (unsigned n = FIRST_QUEUE; n <= LAST_QUEUE; n++) {
		int err;

		if (probe_number(log, (uint16_t)n) > 0)
			continue;
		s->queue_first = s->queue_last = n;
		err = open_queue(s, &s->worker[0], e);
		if (err == 0 || (err != -EBUSY && !(err == -EPERM && probe_number(log, (uint16_t)n) > 0)))
			return err;
	}
	return ipq_fail(e, EBUSY, "no free number from %d to %d: name one with --queue", FIRST_QUEUE,
			LAST_QUEUE);
}

static int open_workers(struct session *s, void *const *context)
{
	bool pick = s->hooks != 0 && !s->queue_given;
	unsigned n = s->source != NULL || pick ? 1 : s->queue_last - s->queue_first + 1;
	struct ipq_error e;

	s->worker = calloc(n, sizeof(*s->worker));
	if (s->worker == NULL)
		return complain(s, "out of memory");
	s->workers = n;
	for (unsigned i = 0; i < s->workers; i++) {
		s->worker[i].session = s;
		s->worker[i].index = i;
		s->worker[i].context = context[i];
		s->worker[i].now = s->virtual_time ? 0 : clock_ns(CLOCK_MONOTONIC);
		if ((pick ? open_free_queue(s, &e) : open_queue(s, &s->worker[i], &e)) < 0)
			return complain(s, e.text);
	}
	return 0;
}

/* No rules exist yet. So if a signal ends the process while it opens a FIFO, there is nothing to remove. */
static int open_sources(struct session *s, void *const *context)
{
	const sigset_t ends = signal_set(end_signals, ENDS);
	sigset_t blocked;
	int status;

	if (s->rules == NULL)
		sigprocmask(SIG_UNBLOCK, &ends, &blocked);
	status = open_workers(s, context);
	if (s->rules == NULL)
		sigprocmask(SIG_SETMASK, &blocked, NULL);
	return status;
}

static int start_workers(struct session *s)
{
	for (unsigned i = 0; i < s->workers; i++) {
		if (pthread_create(&s->worker[i].thread, NULL, work, &s->worker[i]) != 0)
			return complain(s, "no thread could be started: too many processes?");
		s->worker[i].started = true;
	}
	return 0;
}

/*
 * Ends the process if a worker reads a pipe whose writer has stopped in the middle of a packet: such a worker
 * cannot be woken.
 */
static void leave_stalled_input(struct session *s)
{
	struct pollfd p = { .fd = s->wake_fd, .events = POLLIN };

	if (!s->virtual_time || !s->interrupted || !s->worker[0].started || atomic_load(&s->ended) > 0 ||
	    poll(&p, 1, STALLED_MS) > 0)
		return;
	complain(s, "the input has stalled in the middle of a packet: ending without the rest of it");
	output_finish(s->output, true);
	_exit(output_close(s->output, 1));
}

static void join_workers(struct session *s)
{
	eventfd_t ignored;

	eventfd_read(s->wake_fd, &ignored);
	s->stopping = s->leaving = true;
	session_wake_all(s);
	if (s->workers > 0)
		leave_stalled_input(s);
	for (unsigned i = 0; i < s->workers; i++) {
		struct worker *w = &s->worker[i];

		if (w->started)
			pthread_join(w->thread, NULL);
		w->started = false;
		if (w->error < 0 && s->error == 0) {
			const char *why = ipq_queue_error(w->queue);

			s->error = w->error;
			complain(s, *why != '\0' ? why : strerror(-w->error));
		}
	}
}

static void show_progress(struct session *s, int64_t began)
{
	double seconds = (double)(clock_ns(CLOCK_MONOTONIC) - began) / 1e9;
	uint64_t packets = atomic_load(&s->worker[0].packets), bytes = atomic_load(&s->worker[0].bytes);
	/* In the file, each packet also has a header, which `bytes` does not include. */
	double done = (double)(bytes + packets * 16) / (double)s->progress_total;

	text_note("\r%3.0f%%  %llu packets  %.0f MB/s \033[K", done > 1 ? 100.0 : done * 100,
		  (unsigned long long)packets, (double)bytes / 1e6 / seconds);
}

static bool wants_progress(struct session *s)
{
	const char *path = s->virtual_time ? s->source + 5 : "";
	char name[4096];
	struct stat st;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(path, ","), path);
	if (s->quiet || !s->virtual_time || !isatty(STDERR_FILENO) || stat(name, &st) < 0 ||
	    st.st_size < 1 << 20)
		return false;
	s->progress_total = st.st_size;
	return true;
}

/* Handles SIGHUP, SIGUSR1 and SIGUSR2, unless they end the session. */
static void take_request(struct session *s, int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info) && s->handler->signal != NULL)
		s->handler->signal(s, (int)info.ssi_signo);
}

static bool is_stopping(struct session *s)
{
	if (interrupt_pending()) {
		interrupt_take();
		s->stopping = s->interrupted = true;
	}
	return s->stopping;
}

/* Reports the state of the rules if it has changed. */
static void report_rules(struct session *s, int state, const char *text)
{
	if (state == s->missing)
		return;
	s->missing = state;
	if (state < 0)
		complain(s, text);
	else
		complain(s, "the rules are in force again");
}

static int restore_rules(struct session *s, struct ipq_error *e)
{
	int err = rules_restore(s->rules, e);

	if (err == 0)
		complain(s, "the rules were added again (--keep-rules)");
	return err;
}

int session_extend_rules(struct session *s, const struct bpf_program *filter, size_t filters,
			 struct ipq_error *e)
{
	int err = rules_extend(s->rules, filter, filters, e);

	if (err != -ENOENT || !s->keep_rules)
		return err;
	complain(s, e->text);
	err = restore_rules(s, e);
	return err < 0 ? err : rules_extend(s->rules, filter, filters, e);
}

static void check_rules(struct session *s)
{
	struct ipq_error e = { .text = "" };
	int64_t now = clock_ns(CLOCK_MONOTONIC);
	struct mark repeat;
	int err;

	if (s->rules == NULL || now - s->checked < 1000000000)
		return;
	err = rules_check(s->rules, &e);
	if (interrupt_pending())
		return;
	repeat = rules_mark(s->rules);
	s->repeat_mask = repeat.mask;
	s->keeps_flows = rules_keep_flows(s->rules);
	if (err == -ENOENT && s->keep_rules) {
		complain(s, e.text);
		err = restore_rules(s, &e);
		s->missing = 0;
	}
	if (err != -EBUSY && err != -ELOOP)
		report_rules(s, err, e.text);
	else if (err == -ELOOP)
		complain(s, e.text);
	s->checked = clock_ns(CLOCK_MONOTONIC);
}

void session_accept(struct worker *w, const struct ipq_packet *packet, struct ipq_verdict *verdict)
{
	struct session *s = w->session;
	uint32_t mask = atomic_load_explicit(&s->repeat_mask, memory_order_relaxed);
	uint32_t mark = atomic_load_explicit(&s->repeat_mark, memory_order_relaxed);
	uint32_t has = (packet->present & IPQ_HAS_MARK) != 0 ? packet->mark : 0;
	uint32_t want = (verdict->present & IPQ_SET_MARK) != 0 ? verdict->mark : has;

	if (mask == 0 || verdict->code != IPQ_ACCEPT)
		return;
	verdict->present |= IPQ_SET_MARK;
	if (mark != 0 && (has & mask) == mark) {
		/* The packet was repeated before, and no rule of ours has cleared its mark. */
		atomic_fetch_add_explicit(&s->came_back, 1, memory_order_relaxed);
		verdict->mark = want & ~mask;
		return;
	}
	atomic_fetch_add_explicit(&w->continued, 1, memory_order_relaxed);
	verdict->code = IPQ_REPEAT;
	verdict->mark = (want & ~mask) | mark;
}

static void wait_for_end(struct session *s, int requests)
{
	int64_t began = clock_ns(CLOCK_MONOTONIC);
	bool progress = wants_progress(s);

	while (!is_stopping(s) && atomic_load(&s->ended) == 0) {
		struct pollfd p[4] = { { .fd = requests, .events = POLLIN },
				       { .fd = s->wake_fd, .events = POLLIN },
				       { .fd = s->needs_reader ? STDOUT_FILENO : -1 },
				       { .fd = interrupt_fd(), .events = POLLIN } };
		eventfd_t ignored;

		poll(p, 4, progress ? 250 : 1000);
		if (p[0].revents != 0)
			take_request(s, requests);
		if (p[1].revents != 0)
			eventfd_read(s->wake_fd, &ignored);
		s->stopping |= (p[2].revents & (POLLERR | POLLHUP)) != 0;
		if (progress)
			show_progress(s, began);
		if (s->handler->tick != NULL)
			s->handler->tick(s);
		check_rules(s);
	}
	if (progress)
		text_note("\r\033[K");
}

/*
 * Packets may be hostile: from here on the process can only decide packets and change its rules. The tools that
 * change rules inherit these limited privileges.
 */
static void give_up_privileges(const struct session *s)
{
	const char *lock = secure_getenv("XTABLES_LOCKFILE");
	const char *const written[] = { "/dev/null", lock != NULL ? lock : "/run/xtables.lock", s->writes_in,
					NULL };
	uint64_t keep = s->virtual_time ? 0 : PRIVILEGE(CAP_NET_ADMIN);

	if (s->rules != NULL)
		keep |= PRIVILEGE(CAP_NET_RAW); /* iptables-legacy uses a raw socket */
	if (s->reads_later)
		keep |= PRIVILEGE(CAP_DAC_READ_SEARCH);
	if (s->writes_in != NULL)
		keep |= PRIVILEGE(CAP_DAC_OVERRIDE);
	privileges_close_inherited();
	privileges_keep(keep);
	privileges_write_only(written);
}

/*
 * Lets packets wait if this process is killed, until the service manager has started it again. The new process
 * takes over the queues of the same numbers, with their packets (see nfqueue/held.h).
 */
static void keep_queues(const struct session *s)
{
	char name[32];

	if (s->source != NULL || !s->queue_given || s->rules_kind != RULES_QUEUE)
		return;
	for (unsigned i = 0; i < s->workers; i++) {
		snprintf(name, sizeof(name), "ipq-queue-%u", s->queue_first + i);
		service_keep_descriptor(ipq_queue_fd(s->worker[i].queue), name);
	}
}

static int run(struct session *s, void *const *context, int requests)
{
	struct ipq_error e = { .text = "" };
	int status = s->hooks != 0 ? open_rules(s) : 0, err = 0;

	if (status != 0 || s->interrupted)
		return status;
	if (s->dry_run) {
		unsigned first = s->queue_given ? s->queue_first : FIRST_QUEUE;

		rules_print(s->rules, (uint16_t)first, (uint16_t)(s->queue_given ? s->queue_last : first),
			    stdout);
		return 0;
	}
	if (open_sources(s, context) != 0)
		return 1;
	give_up_privileges(s);
	if (output_start(s->output) < 0)
		return complain(s, "no thread could be started: too many processes?");
	if (start_workers(s) != 0)
		return 1;
	if (s->rules != NULL)
		err = rules_install(s->rules, (uint16_t)s->queue_first, (uint16_t)s->queue_last, &e);
	if (err < 0)
		return start_failed(s, err, e.text);
	s->keeps_flows = s->rules != NULL && rules_keep_flows(s->rules);
	if (s->flows && s->rules != NULL && !s->keeps_flows)
		complain(s, "this kernel has no connection marks: packets of decided flows are queued, too");
	s->checked = clock_ns(CLOCK_MONOTONIC);
	if (s->handler->started != NULL)
		s->handler->started(s);
	keep_queues(s);
	service_notify("READY=1");
	wait_for_end(s, requests);
	service_notify("STOPPING=1");
	return 0;
}

/*
 * Stops the queueing of packets. After an error, however, rules without bypass stay: otherwise a packet that causes
 * an error would open the firewall. Returns 1 if rules stay.
 */
static int stop_rules(struct session *s)
{
	bool failed = false;

	for (unsigned i = 0; i < s->workers; i++)
		failed |= s->worker[i].started && atomic_load(&s->ended) > 0 && s->worker[i].error < 0;
	if (s->rules != NULL && failed && s->rules_kind == RULES_QUEUE && !s->bypass) {
		rules_abandon(s->rules);
		s->rules = NULL;
		return complain(
			s,
			"after this error the rules stay and packets that they match are dropped. Start ipq "
			"filter on the same hook again, or remove them: ipq clean");
	}
	session_count_passed(s);
	s->keeps_flows = false;
	s->fed = rules_stop(s->rules) < 0;
	return 0;
}

/* Removes the rules. Returns 1 if rules are left. */
static int close_rules(struct session *s)
{
	struct ipq_error e;
	int err = rules_close(s->rules, &e);

	s->rules = NULL;
	return err < 0 ? complain(s, e.text) : 0;
}

void session_end_by_signals(void)
{
	for (unsigned i = 0; i < ENDS; i++)
		signal(end_signals[i], SIG_DFL);
}

/* Opens a descriptor for signals of this set, and blocks these signals. */
static int open_signals(const int *signo, size_t n)
{
	const sigset_t set = signal_set(signo, n);

	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int session_run(struct session *s, void *const *context)
{
	static const int others[] = { SIGUSR1, SIGUSR2, SIGHUP };
	bool reloads = s->handler->signal != NULL;
	int interrupts = open_signals(end_signals, reloads ? ENDS : ENDS + 1),
	    requests = open_signals(others, reloads ? 3 : 2);
	int status, left;

	/* If the reader closes the pipe, the write fails with EPIPE, and the session ends in the usual order. */
	signal(SIGPIPE, SIG_IGN);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (interrupts < 0 || requests < 0 || s->wake_fd < 0)
		return complain(s, strerror(errno));
	interrupt_from(interrupts);
	status = run(s, context, requests);
	left = stop_rules(s);
	join_workers(s);
	left |= close_rules(s);
	interrupt_from(-1);
	close(interrupts);
	close(requests);
	if (s->came_back > 0)
		text_complain(s->name, "%llu accepted packets were queued again because rules were missing",
			      (unsigned long long)s->came_back);
	return status != 0 ? status : s->error < 0 || left;
}

void session_stats(struct session *s, struct ipq_stats *sum)
{
	*sum = (struct ipq_stats){ .size = sizeof(*sum) };
	for (unsigned i = 0; i < s->workers; i++) {
		struct ipq_stats one = { .size = sizeof(one) };

		if (s->worker[i].queue == NULL || ipq_queue_stats(s->worker[i].queue, &one) < 0)
			continue;
		sum->received += one.received;
		sum->accepted += one.accepted + s->worker[i].continued;
		sum->dropped += one.dropped;
		sum->other += one.other - s->worker[i].continued;
		sum->replaced += one.replaced;
		sum->refused += one.refused;
		sum->lost += one.lost;
		sum->queue_dropped += one.queue_dropped;
		sum->malformed += one.malformed;
		sum->waiting += one.waiting;
	}
}

void session_close(struct session *s)
{
	for (unsigned i = 0; i < s->workers; i++)
		ipq_queue_close(s->worker[i].queue);
	free(s->worker);
	s->worker = NULL;
	s->workers = 0;
	close(s->wake_fd);
}
