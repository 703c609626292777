/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ipq watch: shows packets. With --on, the kernel logs copies to us (nflog:N): no packet waits, and none is
 * changed. Packets of a queue are accepted; their verdicts are sent before the packets are shown.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "common/text.h"
#include "core/core.h"
#include "filter/needs.h"
#include "output/names.h"
#include "watch/partial.h"
#include "watch/watch.h"

/*
 * Whether the packet matches the filter. A worker's context is its view of a packet, or NULL if there is no filter.
 */
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

/* Whether the session only watches: no packet waits, and no packet is decided. */
static bool is_passive(const struct watch *watch)
{
	return watch->session.rules_kind == RULES_LOG;
}

static bool records_to_stdout(const struct watch *watch)
{
	return watch->record.path != NULL && strcmp(watch->record.path, "-") == 0;
}

static void record(struct worker *w, const struct print_packet *p)
{
	const struct watch *watch = w->session->context;
	struct ipq_packet packet = *p->packet;
	struct pcapng_record r = { .packet = &packet, .time = p->time, .comment = p->verdict };

	if (watch->record.path == NULL)
		return;
	snprintf(r.indev, sizeof(r.indev), "%.15s", p->indev);
	snprintf(r.outdev, sizeof(r.outdev), "%.15s", p->outdev);
	if (is_passive(watch) && is_checksum_partial(&packet))
		packet.flags |= IPQ_PACKET_CHECKSUM_NOT_READY;
	output_record(w->session->output, &r);
}

/*
 * Shows the verdict that a recording contains. The text is used after the next receive, so it must be a constant.
 */
static void set_recorded_verdict(const struct worker *w, struct print_packet *p)
{
	static const char *const verdicts[] = { "accept", "drop", "rewrite", "repeat", "queue" };
	const char *recorded = queue_recorded_verdict(w->queue, p->packet);

	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++)
		if (strcmp(recorded, verdicts[i]) == 0)
			p->verdict = verdicts[i];
}

static void show(struct worker *w, const struct ipq_packet *packet)
{
	struct watch *watch = w->session->context;
	struct print_packet p = { .packet = packet, .verdict = is_passive(watch) ? NULL : "accept" };
	uint64_t number = atomic_fetch_add(&watch->shown, 1) + 1;

	session_advance_clock(w, packet);
	p.time = session_packet_time(w, packet);
	if (watch->limit != 0 && number > watch->limit)
		return;
	set_recorded_verdict(w, &p);
	session_interface(w, packet, true, p.indev);
	session_interface(w, packet, false, p.outdev);
	if (!records_to_stdout(watch))
		output_packet(w->session->output, &p);
	record(w, &p);
	if (watch->limit != 0 && number == watch->limit)
		session_stop(w->session);
}

/*
 * Accepts all packets. A verdict for a copy has no effect, but the library counts the copy as waiting until the
 * copy has a verdict.
 */
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

/* Called when writing has failed. Ends the session, unless only a recording to a file has failed. */
static void failed(void *context, bool recording)
{
	struct watch *watch = context;

	if (!recording || records_to_stdout(watch))
		session_stop(&watch->session);
}

static const struct session_handler handler = { .batch = batch };

/* Prepares the filter of each worker. 0 or -ENOMEM. */
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

static void report(struct watch *watch, const struct ipq_stats *stats)
{
	uint64_t shown = watch->shown;

	if (watch->limit != 0 && shown > watch->limit)
		shown = watch->limit;
	shown -= output_lines_dropped(watch->session.output);
	text_note("%llu packets shown, %llu received, %llu lost\n", (unsigned long long)shown,
		  (unsigned long long)stats->received, (unsigned long long)stats->lost);
}

static int watch_packets(struct watch *watch)
{
	struct session *s = &watch->session;
	unsigned workers = s->source != NULL ? 1 : s->queue_last - s->queue_first + 1;
	bool whole = watch->record.path != NULL || watch->style.bytes || watch->style.text;
	void *view[SESSION_QUEUES_MAX] = { NULL };
	struct ipq_stats stats;
	int status = 1;
	bool opened;

	s->needs_reader = true;
	s->copy_range = !whole && watch->expression == NULL ? NAMES_BYTES : 0;
	if (watch->expression != NULL && prepare_filter(watch, workers, view) < 0) {
		text_complain("ipq watch", "out of memory");
		goto out;
	}
	s->flags = IPQ_O_OWNER | s->required;
	status = session_run(s, view);
	opened = s->worker != NULL;
	session_stats(s, &stats);
	session_close(s);
	output_finish(s->output, s->interrupted);
	if (!s->quiet && opened && (status == 0 || stats.received > 0))
		report(watch, &stats);
out:
	for (unsigned i = 0; i < workers; i++)
		free(view[i]);
	return status;
}

static int run_with(struct watch *watch)
{
	struct output_options options = { .who = "ipq watch", .failed = failed, .context = watch };
	struct ipq_error e = { .text = "" };
	int status = 1;

	watch->style.colour = print_wants_colour(stdout);
	options.style = watch->style;
	options.record = watch->record;
	if (watch->session.dry_run)
		options.record.path = NULL;
	options.include_own = watch->include_own || watch->session.virtual_time;
	options.lossless = watch->session.virtual_time ? &watch->session.stopping : NULL;
	if (output_open(&watch->session.output, &options, &e) < 0)
		text_complain("ipq watch", "%s", e.text);
	else
		status = watch_packets(watch);
	pcap_freecode(&watch->filter);
	return output_close(watch->session.output, status);
}

static int run(int argc, char **argv)
{
	struct watch watch = { .session = { .command = &command_watch, .handler = &handler } };
	int status;

	session_end_by_signals();
	watch.session.context = &watch;
	status = watch_parse(&watch, argc, argv);
	if (status == 0)
		status = run_with(&watch);
	watch_free_options(&watch);
	return status;
}

const struct command command_watch = {
	.name = "watch",
	.summary = "show packets and let them pass",
	.help = "Usage: ipq watch [OPTIONS] [FILTER]\n"
		"\n"
		"A line for each packet. With --on the kernel sends copies: no packet waits, and\n"
		"none is changed. FILTER: as in tcpdump; also in, out, mark, uid, state ...\n"
		"\n"
		"  --on HOOK,...     watch INPUT, OUTPUT, FORWARD, PREROUTING, POSTROUTING\n"
		"  --via METHOD, --dry-run, --keep-rules   how --on adds its rules\n"
		"  -g, --group N     read copies from NFLOG group N; add the rules yourself\n"
		"  -q, --queue N, --queues N-M   read packets from queues, and accept them\n"
		"  -r, --read FILE   read packets from a capture file, without root\n"
		"  -s, --source NAME read any source of ipq_queue_open(3)\n"
		"  -i, --interface NAME          only packets that come in or leave by NAME\n"
		"  -w, --write FILE  record in pcapng; - is the standard output; -C MEGABYTES and\n"
		"                    -G SECONDS begin a new file, -W N keeps N files\n"
		"  -c, --count N     end after N packets\n"
		"  -v, -x, -A        show more headers, the bytes, the payload as text\n"
		"  --json, --quiet, --include-own (also show the connection of this output)\n"
		"\n"
		"  ipq watch --on INPUT icmp or icmp6\n"
		"  ipq watch --on INPUT,OUTPUT -c 20 -x 'tcp port 80'\n"
		"  ipq watch --on FORWARD -w seen.pcapng --json\n"
		"\n"
		"Exit status: 0 ended or interrupted, 1 failed, 2 usage or a wrong filter.\n"
		"See ipq-watch(1).\n",
	.run = run,
};
