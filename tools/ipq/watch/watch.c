/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ipq watch: shows packets. With --on they are copies that the kernel logs to us (nflog:N): no packet waits, and none is
 * changed. Packets of a queue are accepted, and the verdicts are sent before anything is shown.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <pcap/pcap.h>
#include "common/text.h"
#include "filter/needs.h"
#include "output/output.h"
#include "session/session.h"
#include "watch/partial.h"

#define HEADERS 256 /* bytes of a packet that a line is made of */

struct watch {
	struct session session;
	struct print_style style;
	struct expression *expression; /* the filter; NULL: none */
	struct bpf_program filter;     /* for the firewall rule */
	const char *record_path;
	uint64_t limit; /* packets to show; 0: no end */
	_Atomic uint64_t shown;
};

/* A worker's context is its view of a packet; NULL when there is no filter. */
static bool wanted(struct worker *w, const struct ipq_packet *packet)
{
	const struct watch *watch = w->session->context;
	struct view *view = w->context;
	bool payload = (packet->present & IPQ_HAS_PAYLOAD) != 0;
	struct subject s = { .packet = packet,
			     .queue = w->queue,
			     .mark = (packet->present & IPQ_HAS_MARK) != 0 ? packet->mark : 0,
			     .queue_number = (uint16_t)(w->session->queue_first + w->index),
			     .view = view };

	if (view == NULL)
		return true;
	view_set(view, packet->payload, payload ? packet->payload_len : 0, packet->full_len);
	return expression_match(watch->expression, &s);
}

/* No packet waits, and nothing is decided. */
static bool is_passive(const struct watch *watch)
{
	return watch->session.rules_kind == RULES_LOG;
}

static void record(struct worker *w, const struct print_packet *p)
{
	const struct watch *watch = w->session->context;
	struct ipq_packet packet = *p->packet;
	struct pcapng_record r = { .packet = &packet, .time = p->time, .comment = p->verdict };

	if (watch->record_path == NULL)
		return;
	snprintf(r.indev, sizeof(r.indev), "%.15s", p->indev);
	snprintf(r.outdev, sizeof(r.outdev), "%.15s", p->outdev);
	if (is_passive(watch) && is_checksum_partial(&packet))
		packet.flags |= IPQ_PACKET_CHECKSUM_NOT_READY;
	output_record(w->session->output, &r);
}

static void show(struct worker *w, const struct ipq_packet *packet)
{
	struct watch *watch = w->session->context;
	struct print_packet p = { .packet = packet,
				  .time = session_packet_time(w, packet),
				  .verdict = is_passive(watch) ? NULL : "accept" };
	uint64_t number = atomic_fetch_add(&watch->shown, 1) + 1;

	if (watch->limit != 0 && number > watch->limit)
		return;
	session_interface(w, packet, true, p.indev);
	session_interface(w, packet, false, p.outdev);
	if (watch->record_path == NULL || strcmp(watch->record_path, "-") != 0)
		output_packet(w->session->output, &p);
	record(w, &p);
	if (watch->limit != 0 && number == watch->limit)
		session_stop(w->session);
}

/* A verdict for a copy has no effect, but the library counts it as waiting until there is one. */
static int accept_all(struct worker *w, unsigned n)
{
	int err;

	for (unsigned i = 0; i < n; i++) {
		struct ipq_verdict accept = { .size = sizeof(accept), .code = IPQ_ACCEPT };

		session_accept(w, &w->packet[i], &accept);
		err = ipq_decide(w->queue, &w->packet[i], &accept);
		if (err < 0 && err != -ENOENT)
			return err;
	}
	return ipq_queue_flush(w->queue);
}

static int batch(struct worker *w, unsigned n)
{
	int err = accept_all(w, n);

	for (unsigned i = 0; i < n && err == 0; i++)
		if (wanted(w, &w->packet[i]))
			show(w, &w->packet[i]);
	return err;
}

/* With nothing left to write to there is nothing to watch for. */
static void failed(void *context, bool recording)
{
	struct watch *watch = context;

	if (!recording || strcmp(watch->record_path, "-") == 0)
		session_stop(&watch->session);
}

static const struct session_handler handler = { .batch = batch };

/* ---- options ------------------------------------------------------------------------------------- */

static const struct option long_options[] = { SESSION_LONG_OPTIONS,
					      { "write", required_argument, NULL, 'w' },
					      { "count", required_argument, NULL, 'c' },
					      { "bytes", no_argument, NULL, 'x' },
					      { "json", no_argument, NULL, 1 },
					      { NULL, 0, NULL, 0 } };

static int set_limit(struct watch *watch)
{
	char *end;

	errno = 0;
	watch->limit = strtoull(optarg, &end, 10);
	if (errno != 0 || *end != '\0' || optarg[0] < '0' || optarg[0] > '9' || watch->limit == 0)
		return command_usage(&command_watch, "-c wants a number of packets, as in -c 10");
	return 0;
}

static int option(struct watch *watch, int c)
{
	switch (c) {
	case 'w':
		watch->record_path = optarg;
		return 0;
	case 'c':
		return set_limit(watch);
	case 'x':
		watch->style.bytes = true;
		return 0;
	case 1:
		watch->style.json = true;
		return 0;
	default:
		return session_option(&watch->session, c, optarg);
	}
}

/* The words of the filter may come as one argument or as several. */
static int compile(struct watch *watch, int words, char **word)
{
	struct rule_error e = { .offset = 0 };
	struct cursor c;
	size_t room = 1;
	char *text;
	int err;

	for (int i = 0; i < words; i++)
		room += strlen(word[i]) + 1;
	text = calloc(1, room);
	if (text == NULL)
		return 1;
	for (int i = 0; i < words; i++)
		strcat(strcat(text, i > 0 ? " " : ""), word[i]);
	c = (struct cursor){ .text = text, .at = text, .e = &e };
	err = words > 0 ? expression_parse(&watch->expression, &c) : 0;
	if (err < 0) {
		text_complain("ipq watch", "%s", err == -ENOMEM ? "out of memory" : e.text);
		text_point(text, e.offset);
	}
	free(text);
	return err < 0 ? EXIT_USAGE : 0;
}

static int parse(struct watch *watch, int argc, char **argv)
{
	int c, status = 0;

	opterr = 0;
	while (status == 0 &&
	       (c = getopt_long(argc, argv, "+:w:c:x" SESSION_SHORT_OPTIONS, long_options, NULL)) != -1)
		status = c == '?' || c == ':' ? command_bad_option(&command_watch, long_options, argv, c)
					      : option(watch, c);
	if (watch->session.hooks != 0)
		watch->session.rules_kind = RULES_LOG;
	if (status == 0)
		status = session_check(&watch->session);
	return status != 0 ? status : compile(watch, argc - optind, argv + optind);
}

/* 0 or -ENOMEM. */
static int prepare_filter(struct watch *watch, unsigned workers, void *view[])
{
	struct session *s = &watch->session;
	int filters = needs_filter(watch->expression, &watch->filter);

	s->filter = &watch->filter;
	s->filters = filters > 0 ? (size_t)filters : 0;
	s->required = expression_flags(watch->expression);
	for (unsigned i = 0; i < workers && filters >= 0; i++) {
		view[i] = calloc(1, sizeof(struct view));
		if (view[i] == NULL)
			filters = -ENOMEM;
	}
	return filters < 0 ? filters : 0;
}

static int watch_queues(struct watch *watch)
{
	struct session *s = &watch->session;
	unsigned workers = s->source != NULL ? 1 : s->queue_last - s->queue_first + 1;
	void *view[SESSION_QUEUES_MAX] = { NULL };
	struct ipq_stats stats;
	uint64_t shown;
	bool opened;
	int status;

	s->needs_reader = true;
	s->copy_range =
		watch->record_path == NULL && !watch->style.bytes && watch->expression == NULL ? HEADERS : 0;
	if (watch->expression != NULL && prepare_filter(watch, workers, view) < 0)
		text_complain("ipq watch", "out of memory");
	s->flags = IPQ_O_OWNER | s->required;
	status = session_run(s, view);
	opened = s->worker != NULL;
	session_stats(s, &stats);
	session_close(s);
	for (unsigned i = 0; i < workers; i++)
		free(view[i]);
	output_finish(s->output, s->interrupted);
	shown = watch->limit != 0 && watch->shown > watch->limit ? watch->limit : watch->shown;
	shown -= output_lines_dropped(s->output);
	if (!s->quiet && opened && (status == 0 || stats.received > 0))
		text_note("%llu packets shown, %llu received, %llu lost\n", (unsigned long long)shown,
			  (unsigned long long)stats.received, (unsigned long long)stats.lost);
	return status;
}

static int run(int argc, char **argv)
{
	struct watch watch = { .session = { .command = &command_watch, .handler = &handler } };
	struct output_options options = { .who = "ipq watch", .failed = failed, .context = &watch };
	struct ipq_error e = { .text = "" };
	int status;

	watch.session.context = &watch;
	status = parse(&watch, argc, argv);
	if (status != 0)
		return status;
	watch.style.colour = print_wants_colour(stdout);
	options.style = watch.style;
	options.record = watch.session.dry_run ? NULL : watch.record_path;
	options.lossless = watch.session.virtual_time ? &watch.session.stopping : NULL;
	status = 1;
	if (output_open(&watch.session.output, &options, &e) < 0)
		text_complain("ipq watch", "%s", e.text);
	else
		status = watch_queues(&watch);
	pcap_freecode(&watch.filter);
	expression_free(watch.expression);
	return output_close(watch.session.output, status);
}

const struct command command_watch = {
	.name = "watch",
	.summary = "show queued packets and let them pass",
	.help = "Usage: ipq watch [OPTIONS] [FILTER]\n"
		"\n"
		"A line for each queued packet, which is accepted. FILTER is that of tcpdump: it\n"
		"selects what is shown and, with --on, what is queued at all.\n"
		"\n"
		"  --on HOOK,...     set the firewall rule too, remove it at the end: INPUT,\n"
		"                    OUTPUT, FORWARD, PREROUTING, POSTROUTING\n"
		"  --bypass          should ipq be gone, let packets pass; else they are dropped\n"
		"  --dry-run         only show the rule that --on would set\n"
		"  --via nftables|iptables\n"
		"  -q, --queue N, --queues N-M   default 0; without --on rules are yours\n"
		"  -s, --source pcap:IN          packets of a capture file, without root\n"
		"  -w, --write FILE  record to a pcapng file, - is the standard output\n"
		"  -c, --count N     end after N packets\n"
		"  -x, --bytes       show the bytes too\n"
		"  --json            a line of JSON for each packet\n"
		"\n"
		"  ipq watch --on INPUT icmp or icmp6\n"
		"  ipq watch --on INPUT,OUTPUT -c 20 -x 'tcp port 80'\n"
		"  ipq watch --on FORWARD -w seen.pcapng --json\n"
		"\n"
		"Exit status: 0 ended or interrupted, 1 failed, 2 usage or a wrong filter.\n"
		"See ipq-watch(1).\n",
	.run = run,
};
