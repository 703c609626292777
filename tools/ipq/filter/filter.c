/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ipq filter: decides packets by rules. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "common/text.h"
#include "filter/control.h"
#include "filter/metadata.h"
#include "filter/pcap_text.h"
#include "filter/rule_check.h"
#include "util/clock.h"

static const struct session_handler handler = { .batch = decide_batch,
						.timeout = decide_timeout,
						.wake = decide_wake,
						.finish = decide_finish,
						.started = control_started,
						.signal = control_signal,
						.tick = control_tick };

/* ---- options ------------------------------------------------------------------------------------- */

static const struct option long_options[] = { SESSION_LONG_OPTIONS,
					      { "file", required_argument, NULL, 'f' },
					      { "write", required_argument, NULL, 'w' },
					      { "record", required_argument, NULL, 1 },
					      { "counters", no_argument, NULL, 2 },
					      { "json", no_argument, NULL, 3 },
					      { "check", no_argument, NULL, 4 },
					      { "strict", no_argument, NULL, 5 },
					      { "seed", required_argument, NULL, 6 },
					      { "hold", required_argument, NULL, 7 },
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

static int set_seed(struct filter *f)
{
	char *end;

	errno = 0;
	f->seed = strtoull(optarg, &end, 10);
	if (errno != 0 || *end != '\0' || !isdigit((unsigned char)optarg[0]))
		return command_usage(&command_filter, "--seed needs a number");
	return 0;
}

static int set_hold(struct filter *f)
{
	f->common.hold = action_time(optarg);
	if (f->common.hold < 0 || f->common.hold > 1000000000)
		return command_usage(&command_filter,
				     "--hold needs a time up to 1s, such as 20ms; 0ms: do not hold");
	return 0;
}

static int option(struct filter *f, int c)
{
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
	case 4:
		f->check = true;
		return 0;
	case 5:
		f->strict = true;
		return 0;
	case 6:
		return set_seed(f);
	case 7:
		return set_hold(f);
	default:
		return session_option(&f->session, c, optarg);
	}
}

static int parse(struct filter *f, int argc, char **argv)
{
	int c, status = 0;

	opterr = 0;
	while (status == 0 &&
	       (c = getopt_long(argc, argv, "+:f:w:" SESSION_SHORT_OPTIONS, long_options, NULL)) != -1)
		status = c == '?' || c == ':' ? command_bad_option(&command_filter, long_options, argv, c)
					      : option(f, c);
	if (status != 0)
		return status;
	f->rules.text = argv + optind;
	f->rules.count = (unsigned)(argc - optind);
	for (unsigned i = 0; i < f->rules.count; i++)
		if (f->rules.text[i][0] == '-')
			return command_usage(&command_filter, "\"%s\" follows a rule: options come first",
					     f->rules.text[i]);
	if (f->record_given && f->record_path == NULL)
		return command_usage(&command_filter,
				     "--record selects packets for -w FILE, which is missing");
	if (f->rules.count == 0 && f->rules.file == NULL)
		return command_usage(&command_filter, "no rules: try 'drop tcp port 23', or -f FILE");
	return session_check(&f->session);
}

/* ---- running ------------------------------------------------------------------------------------- */

static int prepare_workers(struct filter *f, unsigned n, void **context)
{
	int err = edits_open(&f->common.edits, f->session.virtual_time);

	if (err < 0)
		return err;
	for (unsigned i = 0; i < n; i++) {
		context[i] = filter_worker_new(&f->common, f->seed + i);
		if (context[i] == NULL)
			return -ENOMEM;
	}
	return 0;
}

static uint64_t not_edited(const struct active_rules *rules)
{
	struct counters sum;
	uint64_t n = 0;

	for (unsigned i = 0; i <= rules->set.count; i++) {
		active_rules_sum(rules, i, &sum);
		n += sum.not_edited;
	}
	return n;
}

static void report_text(const struct filter *f, const struct ipq_stats *stats)
{
	text_note("%llu packet%s: %llu accepted, %llu dropped, %llu sent elsewhere; %llu with new payload\n",
		  (unsigned long long)stats->received, TEXT_PLURAL(stats->received),
		  (unsigned long long)stats->accepted, (unsigned long long)stats->dropped,
		  (unsigned long long)stats->other, (unsigned long long)stats->replaced);
	if (stats->lost > 0)
		text_note("%llu packets were lost because they came faster than they were decided; try "
			  "--queues\n",
			  (unsigned long long)stats->lost);
	for (unsigned i = 0; i < IPQ_EDIT_REASON_COUNT; i++)
		if (f->common.edits.not_edited[i] > 0)
			text_note("%llu not edited: %s\n", (unsigned long long)f->common.edits.not_edited[i],
				  ipq_edit_reason_text(i));
	if (f->common.edits.held > 0)
		text_note("held segments: %llu; next segment too late: %llu; texts rewritten across "
			  "segments: %llu\n",
			  (unsigned long long)f->common.edits.held, (unsigned long long)f->common.edits.late,
			  (unsigned long long)f->common.edits.across);
	if (f->common.edits.beyond_mtu > 0)
		text_note("packets that became longer than the MTU: %llu; the kernel fragments or rejects "
			  "them\n",
			  (unsigned long long)f->common.edits.beyond_mtu);
	if (f->common.edits.messages > 0)
		text_note("HTTP bodies not searched (chunked, compressed, too long, or not complete in "
			  "time): %llu\n",
			  (unsigned long long)f->common.edits.messages);
	if (f->common.loops > 0)
		text_note("%llu packets were accepted because they were queued again and again\n",
			  (unsigned long long)f->common.loops);
}

static void report(struct filter *f, int status)
{
	struct ipq_stats stats;

	control_retire(f, true);
	session_stats(&f->session, &stats);
	if (f->session.quiet || (status != 0 && stats.received == 0))
		return;
	control_print_counters(f, f->counters);
	if (!f->common.style.json)
		report_text(f, &stats);
}

static int run_with(struct filter *f)
{
	struct session *s = &f->session;
	struct active_rules *rules = f->common.active_rules;
	unsigned n = s->source != NULL ? 1 : s->queue_last - s->queue_first + 1;
	void *context[SESSION_QUEUES_MAX] = { NULL };
	int status = 1;

	s->filter = rules->filter;
	s->filters = rules->filters;
	s->reads_later = f->rules.file != NULL;
	rules->kernel_accepts = s->hooks != 0 && s->filters > 0;
	s->copy_range = f->record_path != NULL || s->reads_later ? 0 : active_rules_copy_range(rules);
	s->flags = rules->flags;
	s->flows = rules->flows && s->source == NULL;
	s->required = rules->flags & (IPQ_O_OWNER | IPQ_O_CONNTRACK);
	if (prepare_workers(f, n, context) == 0)
		status = session_run(s, context);
	if (s->worker != NULL)
		report(f, status);
	if (status == 0 && f->strict && s->worker != NULL && not_edited(f->common.active_rules) > 0)
		status = 1;
	for (unsigned i = 0; i < n; i++)
		filter_worker_free(context[i]);
	edits_close(&f->common.edits);
	session_close(s);
	output_finish(s->output, s->interrupted);
	return status;
}

/* Reads the rules and checks them. 0, or the exit status. */
static int load(struct filter *f)
{
	struct session *s = &f->session;
	struct active_rules *rules;
	int err = active_rules_load(&rules, &f->rules,
				    s->source != NULL ? 1 : s->queue_last - s->queue_first + 1);

	if (err < 0)
		return err == -ENOMEM ? 1 : EXIT_USAGE;
	f->common.active_rules = rules;
	if (!rules_fit(&rules->set, s, f->record_path != NULL))
		return EXIT_USAGE;
	rules_warn(rules, s);
	return 0;
}

/*
 * Opens the injector's sockets, because the rules of a later reload may need them, too. If they cannot be opened
 * now, only such a reload fails.
 */
static int open_injector(struct filter *f)
{
	bool needed = ruleset_needs(&f->common.active_rules->set, NEEDS_RAW_SOCKET);
	int err;

	if (f->session.source != NULL || f->session.dry_run || (!needed && f->rules.file == NULL))
		return 0;
	err = inject_open(&f->common.injector);
	if (err == 0 || !needed)
		return 0;
	text_complain("ipq filter",
		      "reject and duplicate need a raw socket: %s; run as root, or with CAP_NET_RAW",
		      strerror(-err));
	return err;
}

static int open_and_run(struct filter *f)
{
	struct output_options options = { .who = "ipq filter" };
	struct ipq_error e = { .text = "" };

	if (open_injector(f) < 0)
		return 1;
	f->common.record = f->record_path != NULL && !f->session.dry_run;
	options.style = f->common.style;
	options.record.path = f->common.record ? f->record_path : NULL;
	options.include_own = f->session.virtual_time;
	options.lossless = f->session.virtual_time ? &f->session.stopping : NULL;
	if (output_open(&f->session.output, &options, &e) == 0)
		return output_close(f->session.output, run_with(f));
	text_complain("ipq filter", "%s", e.text);
	return output_close(f->session.output, 1);
}

static int run(int argc, char **argv)
{
	struct filter f = { .session = { .command = &command_filter, .handler = &handler } };
	int status;

	session_end_by_signals();
	f.session.context = &f.common;
	f.common.hold = HOLD_DEFAULT;
	inject_init(&f.common.injector);
	if (getrandom(&f.seed, sizeof(f.seed), 0) < 0)
		f.seed = (uint64_t)realtime_ns();
	status = parse(&f, argc, argv);
	if (status != 0)
		return status;
	f.common.style.colour = print_wants_colour(stdout);
	status = load(&f);
	if (status == 0 && f.check)
		printf("%u rule%s correct\n", f.common.active_rules->set.count,
		       f.common.active_rules->set.count == 1 ? " is" : "s are");
	else if (status == 0)
		status = open_and_run(&f);
	inject_close(&f.common.injector);
	active_rules_free(f.common.active_rules);
	return status;
}

/* Prints words for completion. */
static void words(FILE *out)
{
	for (const struct action_word *w = action_words; w->name != NULL; w++)
		fprintf(out, "%s\n", w->name);
	for (const char *const *w = flow_words; *w != NULL; w++)
		fprintf(out, "%s\n", *w);
	fputs("if\n", out);
	for (const char *const *w = metadata_words; *w != NULL; w++)
		fprintf(out, "%s\n", *w);
	pcap_print_words(out);
	for (const struct option *o = long_options; o->name != NULL; o++)
		fprintf(out, "--%s\n", o->name);
}

const struct command command_filter = {
	.name = "filter",
	.summary = "decide packets by rules: drop, reject, mark, rewrite, delay, limit",
	.help = "Usage: ipq filter [OPTIONS] RULE...    RULE: ACTION[, ACTION...] [if] CONDITION\n"
		"\n"
		"Rules apply in order. Terminating actions (a packet without one is accepted):\n"
		"  accept, drop [5%], accept|drop|mark N flow [after N], reject, repeat, queue N\n"
		"After other actions the next rule applies: mark N[/MASK], ctmark N,\n"
		"  set src|dst ADDR, set src|dst port N, set ttl|dscp N, strip tcp option N,\n"
		"  delay 50ms [jitter 9ms], reorder 2% 9ms, duplicate [5%], rate 9/s, 9Mbit/s,\n"
		"  log, record, count, rewrite [http] /a/b/[g]\n"
		"CONDITION: a tcpdump filter, in|out IFACE, hook NAME, mark N[/MASK], uid N,\n"
		"  gid N, state new|..., ctmark N, length A-B, queue N; with and, or, not, ( )\n"
		"  --on HOOK,...   add firewall rules, and remove them at the end: INPUT, OUTPUT,\n"
		"        FORWARD, PREROUTING, POSTROUTING; --via, --dry-run, --keep-rules\n"
		"  --bypass        accept packets when ipq is not running; default: drop them\n"
		"  -q, --queue N, --queues N-M    read these queues, a thread for each\n"
		"  -s, --source pcap:IN,OUT       decide packets of a capture file, without root\n"
		"  -f, --file FILE read rules, one per line; SIGHUP reads them again; --check\n"
		"  -w, --write FILE   record packets (pcapng); --record drop|accept|all\n"
		"  --counters      print counters every second, not only at the end; --json,\n"
		"                  --quiet, --strict, --seed N, --mark-bits, --hold\n"
		"  ipq filter --on INPUT 'reject tcp dst port 23'\n"
		"  ipq filter --on OUTPUT 'drop not uid alice and not out lo'\n"
		"  ipq filter --source pcap:in.pcap,out.pcap 'rewrite /evil/good/g tcp port 80'\n"
		"Exit status: 0 ended or interrupted, 1 failed, 2 usage or a wrong rule.\n"
		"See ipq-filter(1).\n",
	.run = run,
	.words = words,
};
