/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ipq filter: decides packets by rules.
 *
 * A reload swaps the whole plan: the main thread parses, each worker takes the new plan over between two
 * batches, and once all have, the old one's counters are folded into the new one and it is freed. A file
 * that does not parse changes nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include "common/text.h"
#include "filter/decide.h"
#include "util/clock.h"

struct filter {
	struct session session;
	struct decide_common common;
	struct active_rules_source rules;
	struct active_rules *old;		   /* still in use by a worker that has not looked yet */
	struct bpf_program *filters, *old_filters; /* of the firewall rules */
	const char *record_path;
	bool counters, record_given;
	unsigned lines; /* of the table on the terminal */
	int64_t shown;
};

/* The session's context is the part that workers know. */
static struct filter *filter_of(struct session *s)
{
	return (struct filter *)((char *)s - offsetof(struct filter, session));
}

/* ---- the main thread ----------------------------------------------------------------------------- */

/* Frees the old rules once no worker uses them. Only then packets that only they need stop coming. */
static void retire(struct filter *f, bool ended)
{
	struct ipq_error e;

	if (f->old == NULL)
		return;
	for (unsigned i = 0; i < f->session.workers && !ended; i++) {
		const struct filter_worker *d = f->session.worker[i].context;

		if (d->active_rules == f->old)
			return;
	}
	if (f->session.rules != NULL && rules_settle(f->session.rules, &e) < 0)
		text_complain("ipq filter", "packets that the new rules do not need come too: %s", e.text);
	active_rules_restore(f->common.active_rules, f->old);
	active_rules_free(f->old);
	free(f->old_filters);
	f->old = NULL;
	f->old_filters = NULL;
}

/* Wakes the workers until they use the newest rules: they are between two batches. At most a second. */
static void wait_for_workers(struct filter *f)
{
	for (int i = 0; i < 1000 && f->old != NULL; i++) {
		session_wake_all(&f->session);
		usleep(1000);
		retire(f, false);
	}
}

/* The firewall sends what the old rules and the new ones decide. 0, or -errno and nothing has changed. */
static int prepare_change(struct filter *f, struct active_rules *new, struct bpf_program *filters)
{
	struct session *s = &f->session;
	struct ipq_error e = { .text = "out of memory" };
	int err = filters != NULL ? 0 : -ENOMEM;

	if (err == 0 && active_rules_need_segments(new) && (s->flags & IPQ_O_SEGMENT) == 0)
		err = ipq_fail(&e, EBUSY, "cannot add rewrite or rate on reload; restart ipq filter");
	if (err == 0 && s->rules != NULL) {
		size_t count = active_rules_filters(new, filters);

		err = session_extend_rules(s, filters, count, &e);
		new->kernel_accepts = count > 0;
	}
	if (err < 0)
		text_complain("ipq filter", "%s", e.text);
	return err;
}

/*
 * All or nothing, and each packet is decided by all of the old rules or all of the new ones: the firewall sends what
 * either needs before the workers change, and stops sending what only the old ones need after that.
 */
static void reload(struct filter *f)
{
	struct bpf_program *filters = NULL;
	struct active_rules *new = NULL;
	int err;

	wait_for_workers(f);
	err = f->old != NULL ? -EBUSY : active_rules_load(&new, &f->rules, f->session.workers);
	if (err == 0) {
		filters = calloc(new->set.count + 1, sizeof(*filters));
		err = prepare_change(f, new, filters);
	}
	if (err < 0) {
		active_rules_free(new);
		free(filters);
		text_note("ipq filter: the rules stay as they were\n");
		return;
	}
	active_rules_restore_rates(new, f->common.active_rules);
	f->old = f->common.active_rules;
	f->old_filters = f->filters;
	f->filters = filters;
	f->common.active_rules = new;
	wait_for_workers(f);
	if (!f->session.quiet)
		text_note("ipq filter: %u rules in force\n", new->set.count);
}

/* In place means over the last table: only where it fits the terminal, and with lines that do not wrap. */
static void print_counters(struct filter *f, bool in_place)
{
	const struct active_rules *active_rules = f->common.active_rules;
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	bool json = f->common.style.json;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return;
	in_place = in_place && !json && isatty(STDERR_FILENO);
	if (in_place)
		ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
	in_place = in_place && active_rules->set.count + 3 < size.ws_row;
	if (in_place && f->lines > 0)
		text_note("\r\033[%uA\033[J", f->lines);
	f->lines = active_rules_print(active_rules, out, json,
				      in_place && size.ws_col > 1 ? size.ws_col - 1U : 0);
	if (!in_place)
		f->lines = 0;
	if (fclose(out) == 0 && json)
		output_text(f->session.output, text, len);
	else if (!json)
		text_note("%s", text);
	free(text);
}

static void on_signal(struct session *s, int signo)
{
	struct filter *f = filter_of(s);

	if (signo == SIGHUP)
		reload(f);
	else
		print_counters(f, false);
	f->lines = 0;
}

static void tick(struct session *s)
{
	struct filter *f = filter_of(s);
	int64_t second = now_ns() / 1000000000;

	retire(f, false);
	if (!f->counters || second == f->shown || s->virtual_time)
		return;
	f->shown = second;
	print_counters(f, true);
}

static const struct session_handler handler = { .batch = decide_batch,
						.timeout = decide_timeout,
						.wake = decide_wake,
						.finish = decide_finish,
						.signal = on_signal,
						.tick = tick };

/* ---- options ------------------------------------------------------------------------------------- */

static const struct option long_options[] = { SESSION_LONG_OPTIONS,
					      { "file", required_argument, NULL, 'f' },
					      { "write", required_argument, NULL, 'w' },
					      { "record", required_argument, NULL, 1 },
					      { "counters", no_argument, NULL, 2 },
					      { "json", no_argument, NULL, 3 },
					      { NULL, 0, NULL, 0 } };

static int set_record(struct filter *f, const char *value)
{
	static const char *const names[] = { "all", "drop", "accept" };

	for (unsigned i = 0; i < 3; i++) {
		if (strcmp(value, names[i]) == 0) {
			f->common.record_what = i;
			f->record_given = true;
			return 0;
		}
	}
	return command_usage(&command_filter, "--record is all, drop or accept");
}

static int option(struct filter *f, int c)
{
	int status;

	switch (c) {
	case 'f':
		f->rules.file = optarg;
		return 0;
	case 'w':
		f->record_path = optarg;
		return 0;
	case 1:
		return set_record(f, optarg);
	case 2:
		f->counters = true;
		return 0;
	case 3:
		f->common.style.json = true;
		return 0;
	default:
		status = session_option(&f->session, c, optarg);
		return status == 1 ? command_usage(&command_filter, "unknown option or missing value")
				   : status;
	}
}

static int parse(struct filter *f, int argc, char **argv)
{
	int c, status = 0;

	opterr = 0;
	while (status == 0 &&
	       (c = getopt_long(argc, argv, "+f:w:" SESSION_SHORT_OPTIONS, long_options, NULL)) != -1)
		status = option(f, c);
	if (status != 0)
		return status;
	f->rules.text = argv + optind;
	f->rules.count = (unsigned)(argc - optind);
	for (unsigned i = 0; i < f->rules.count; i++)
		if (f->rules.text[i][0] == '-')
			return command_usage(&command_filter,
					     "\"%s\" stands behind a rule: options come first",
					     f->rules.text[i]);
	if (f->record_given && f->record_path == NULL)
		return command_usage(&command_filter,
				     "--record says which packets -w FILE gets: it needs that");
	if (f->rules.count == 0 && f->rules.file == NULL)
		return command_usage(&command_filter, "no rules: try 'drop tcp port 23', or -f FILE");
	return session_check(&f->session);
}

/* A connection whose text changes its length needs both directions here. */
static void warn_one_way(const struct filter *f)
{
	const struct rule *r = active_rules_resize_tcp(f->common.active_rules);
	unsigned hooks = f->session.hooks, input = 1U << 1, forward = 1U << 2, output = 1U << 3;

	if (r == NULL || hooks == 0 || (hooks & forward) != 0 ||
	    ((hooks & input) != 0 && (hooks & output) != 0))
		return;
	text_complain("ipq filter",
		      "\"%s\" changes the length of TCP payload: packets both ways must pass, or", r->text);
	fputs("connections stall. Use --on INPUT,OUTPUT (this machine's own) or --on FORWARD (a router's).\n",
	      stderr);
}

/* ---- running ------------------------------------------------------------------------------------- */

static int prepare_workers(struct filter *f, unsigned n, void **context)
{
	for (unsigned i = 0; i < n; i++) {
		context[i] = filter_worker_new(f->common.active_rules);
		if (context[i] == NULL)
			return -ENOMEM;
	}
	return 0;
}

static void report(struct filter *f, int status)
{
	struct ipq_stats stats;

	retire(f, true);
	session_stats(&f->session, &stats);
	if (f->session.quiet || (status != 0 && stats.received == 0))
		return;
	print_counters(f, f->counters);
	if (f->common.style.json)
		return;
	text_note("%llu packets: %llu accepted, %llu dropped, %llu sent elsewhere; %llu with new payload\n",
		  (unsigned long long)stats.received, (unsigned long long)stats.accepted,
		  (unsigned long long)stats.dropped, (unsigned long long)stats.other,
		  (unsigned long long)stats.replaced);
	if (stats.lost > 0)
		text_note("%llu packets were lost because they came faster than they were decided; try "
			  "--queues\n",
			  (unsigned long long)stats.lost);
}

static int run_with(struct filter *f)
{
	struct session *s = &f->session;
	unsigned n = s->source != NULL ? 1 : s->queue_last - s->queue_first + 1;
	void *context[SESSION_QUEUES_MAX] = { NULL };
	int status = 1;

	s->filter = f->filters;
	s->reads_later = f->rules.file != NULL;
	s->filters = active_rules_filters(f->common.active_rules, f->filters);
	f->common.active_rules->kernel_accepts = s->hooks != 0 && s->filters > 0;
	s->copy_range = f->record_path != NULL || f->rules.file != NULL
				? 0
				: active_rules_copy_range(f->common.active_rules);
	s->flags = active_rules_need_segments(f->common.active_rules) ? IPQ_O_SEGMENT : 0;
	if (prepare_workers(f, n, context) == 0)
		status = session_run(s, context);
	if (s->worker != NULL)
		report(f, status);
	for (unsigned i = 0; i < n; i++)
		filter_worker_free(context[i]);
	session_close(s);
	output_finish(s->output, s->interrupted);
	return status;
}

static int run(int argc, char **argv)
{
	struct filter f = { .session = { .command = &command_filter, .handler = &handler } };
	struct output_options options = { .who = "ipq filter" };
	struct ipq_error e = { .text = "" };
	struct active_rules *active_rules;
	int status;

	f.session.context = &f.common;
	status = parse(&f, argc, argv);
	if (status != 0)
		return status;
	f.common.style.colour = print_wants_colour(stdout);
	if (active_rules_load(
		    &active_rules, &f.rules,
		    f.session.source != NULL ? 1 : f.session.queue_last - f.session.queue_first + 1) < 0)
		return EXIT_USAGE;
	f.common.active_rules = active_rules;
	warn_one_way(&f);
	f.common.record = f.record_path != NULL && !f.session.dry_run;
	options.style = f.common.style;
	options.record = f.common.record ? f.record_path : NULL;
	options.lossless = f.session.virtual_time ? &f.session.stopping : NULL;
	f.filters = calloc(active_rules->set.count + 1, sizeof(*f.filters));
	status = 1;
	if (output_open(&f.session.output, &options, &e) < 0)
		text_complain("ipq filter", "%s", e.text);
	else if (f.filters != NULL)
		status = run_with(&f);
	active_rules_free(f.common.active_rules);
	free(f.filters);
	free(f.old_filters);
	return output_close(f.session.output, status);
}

const struct command command_filter = {
	.name = "filter",
	.summary = "decide packets by rules: drop, mark, rewrite, delay, limit",
	.help = "Usage: ipq filter [OPTIONS] RULE...\n"
		"\n"
		"RULE is an action and a filter as in tcpdump; the first that matches decides.\n"
		"  accept, drop, mark N, rewrite /this/that/[g], delay TIME, rate N/s [burst N],\n"
		"  repeat N, queue N; log and count go on with the next rule. No match: accept.\n"
		"\n"
		"  --on HOOK,...     set the firewall rule too, remove it at the end: INPUT,\n"
		"                    OUTPUT, FORWARD, PREROUTING, POSTROUTING\n"
		"  --bypass          should ipq be gone, let packets pass; else they are dropped\n"
		"  --dry-run         only show the rule that --on would set\n"
		"  --via nftables|iptables\n"
		"  -q, --queue N, --queues N-M   a thread for each; without --on rules are yours\n"
		"  -s, --source pcap:IN,OUT      decide packets of a capture file, without root\n"
		"  -f, --file FILE   rules, one a line, # comment; SIGHUP reads it again\n"
		"  -w, --write FILE  record packets (pcapng); --record drop|accept|all\n"
		"  --counters        show them every second; else at the end and on SIGUSR1\n"
		"  --json, --quiet\n"
		"\n"
		"  ipq filter --on INPUT 'drop tcp dst port 23'\n"
		"  ipq filter --on OUTPUT 'delay 50ms udp dst port 53'\n"
		"  ipq filter --source pcap:in.pcap,out.pcap 'rewrite /evil/good/g tcp port 80'\n"
		"\n"
		"Exit status: 0 ended or interrupted, 1 failed, 2 usage or a wrong rule.\n"
		"See ipq-filter(1).\n",
	.run = run,
};
