/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Machine-readable formats of `ipq status`: JSON (RFC 8259) and OpenMetrics 1.0. */
#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include "common/text.h"
#include "status/status.h"

static const char *json_bool(bool value)
{
	return value ? "true" : "false";
}

static void json_row(const struct snapshot *s, const struct queue_row *row, FILE *out)
{
	static const char *const modes[] = { "none", "meta", "packet" };
	const struct queue_line *l = &row->line;
	char problem[400], remedy[640];

	fprintf(out, "{\"queue\":%" PRIu32 ",\"owned\":%s", l->number,
		s->blind && !row->owned ? "null" : json_bool(row->owned));
	if (row->pid != 0) {
		fprintf(out, ",\"pid\":%" PRId32 ",\"command\":", (int32_t)row->pid);
		text_put_json(out, row->command);
	}
	if (row->counted) {
		fprintf(out, ",\"port_id\":%" PRIu32 ",\"waiting\":%" PRIu32, l->port_id, l->waiting);
		if (l->copy_mode <= 2)
			fprintf(out, ",\"copy_mode\":\"%s\"", modes[l->copy_mode]);
		fprintf(out, ",\"copy_range\":%" PRIu32 ",\"packets\":%" PRIu32, l->copy_range, l->last_id);
		fprintf(out, ",\"dropped_queue_full\":%" PRIu32 ",\"dropped_socket_full\":%" PRIu32,
			l->queue_dropped, l->user_dropped);
	}
	fprintf(out, ",\"rules\":%u,\"bypass\":%s,\"problem\":", row->rules,
		json_bool(row->rules > 0 && row->bypass));
	row_explain(s, row, problem, sizeof(problem), remedy, sizeof(remedy));
	if (problem[0] != '\0')
		text_put_json(out, problem);
	else
		fputs("null", out);
	fputc('}', out);
}

static void json_rule(const struct queue_rule *r, FILE *out)
{
	fprintf(out, "{\"firewall\":\"%s\",\"family\":", firewall_tool(r->kind));
	text_put_json(out, r->family);
	fputs(",\"table\":", out);
	text_put_json(out, r->table);
	fputs(",\"chain\":", out);
	text_put_json(out, r->chain);
	if (!r->computed)
		fprintf(out, ",\"first\":%u,\"last\":%u", r->first, r->last);
	fprintf(out, ",\"bypass\":%s,\"reached\":%s", json_bool(r->bypass), json_bool(!r->unreached));
	if (r->counted)
		fprintf(out, ",\"packets\":%" PRIu64, r->packets);
	fputs(",\"rule\":", out);
	text_put_json(out, r->text);
	fputc('}', out);
}

void status_print_json(const struct snapshot *s, FILE *out)
{
	static const char *const states[] = { "read", "no tool", "refused" };

	fputs("{\"queues\":[", out);
	for (size_t i = 0; i < s->count; i++) {
		fputs(i > 0 ? "," : "", out);
		json_row(s, &s->row[i], out);
	}
	fputs("],\"rules\":[", out);
	for (size_t i = 0; i < s->firewall.count; i++) {
		fputs(i > 0 ? "," : "", out);
		json_rule(&s->firewall.rule[i], out);
	}
	fputs("],\"flows\":[", out);
	for (size_t i = 0; i < s->firewall.flows; i++) {
		const struct kept_flows *f = &s->firewall.flow[i];

		fprintf(out, "%s{\"queue\":%u,\"firewall\":\"%s\",\"left\":%" PRIu64, i > 0 ? "," : "",
			f->queue, firewall_tool(f->kind), f->left);
		fprintf(out, ",\"packets\":%" PRIu64 ",\"bytes\":%" PRIu64 "}", f->packets, f->bytes);
	}
	fputs("],\"firewalls\":{", out);
	for (enum firewall_kind k = 0; k < FIREWALL_KINDS; k++)
		fprintf(out, "%s\"%s\":\"%s\"", k > 0 ? "," : "", firewall_tool(k),
			states[s->firewall.state[k]]);
	fputs("},\"suspects\":[", out);
	for (unsigned i = 0; i < s->suspects; i++) {
		fprintf(out, "%s{\"pid\":%" PRId32 ",\"command\":", i > 0 ? "," : "",
			(int32_t)s->suspect[i].pid);
		text_put_json(out, s->suspect[i].command);
		fputc('}', out);
	}
	fprintf(out, "],\"counters_readable\":%s,\"owners_known\":%s}\n", json_bool(s->table == 0),
		json_bool(!s->blind));
}

/* ---- OpenMetrics ------------------------------------------------------------------------------------ */

/*
 * A metric. Its type must be gauge or counter: a node exporter reads the older text format of Prometheus, which
 * lacks newer types.
 */
struct family {
	const char *name, *type, *unit, *help; /* unit "": the metric has none */
	bool counters;			       /* true: printed only if the kernel's table could be read */
	double (*value)(const struct snapshot *s, const struct queue_row *row);
};

static double waiting(const struct snapshot *s, const struct queue_row *row)
{
	(void)s;
	return row->line.waiting;
}

static double copy_range(const struct snapshot *s, const struct queue_row *row)
{
	(void)s;
	return row->line.copy_mode == 2 ? row->line.copy_range : 0;
}

static double packets(const struct snapshot *s, const struct queue_row *row)
{
	(void)s;
	return row->line.last_id;
}

static double queue_full(const struct snapshot *s, const struct queue_row *row)
{
	(void)s;
	return row->line.queue_dropped;
}

static double socket_full(const struct snapshot *s, const struct queue_row *row)
{
	(void)s;
	return row->line.user_dropped;
}

static double owned(const struct snapshot *s, const struct queue_row *row)
{
	(void)s;
	return row->owned;
}

static double rules(const struct snapshot *s, const struct queue_row *row)
{
	(void)s;
	return row->rules;
}

static double orphan(const struct snapshot *s, const struct queue_row *row)
{
	return row_is_orphan(s, row);
}

static double idle(const struct snapshot *s, const struct queue_row *row)
{
	return row_is_idle(s, row);
}

static const struct family families[] = {
	{ "ipq_queue_owned", "gauge", "", "Whether a program owns the queue.", false, owned },
	{ "ipq_queue_rules", "gauge", "", "Firewall rules that feed the queue.", false, rules },
	{ "ipq_queue_orphaned", "gauge", "", "Whether packets are dropped because the queue has no owner.",
	  false, orphan },
	{ "ipq_queue_idle", "gauge", "", "Whether the queue has an owner and no rule.", false, idle },
	{ "ipq_queue_waiting_packets", "gauge", "packets", "Packets without a verdict.", true, waiting },
	{ "ipq_queue_copy_range_bytes", "gauge", "bytes", "Maximum payload copied of each packet.", true,
	  copy_range },
	{ "ipq_queue_handed_packets", "counter", "packets",
	  "Packets sent to the owner, including those lost at its socket.", true, packets },
	{ "ipq_queue_full_dropped_packets", "counter", "packets", "Packets dropped because too many waited.",
	  true, queue_full },
	{ "ipq_queue_socket_dropped_packets", "counter", "packets",
	  "Packets dropped because the owner's receive buffer was full.", true, socket_full },
};

static void print_head(const char *name, const char *type, const char *unit, const char *help, FILE *out)
{
	fprintf(out, "# TYPE %s %s\n", name, type);
	if (unit[0] != '\0')
		fprintf(out, "# UNIT %s %s\n", name, unit);
	fprintf(out, "# HELP %s %s\n", name, help);
}

/* Prints text as the value of a label. The result is escaped, printable ASCII. */
static void print_label(const char *text, FILE *out)
{
	char safe[264];

	for (const char *s = text_safe(safe, sizeof(safe), text); *s != '\0'; s++)
		fprintf(out, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
}

static void print_family(const struct snapshot *s, const struct family *f, FILE *out)
{
	const char *suffix = strcmp(f->type, "counter") == 0 ? "_total" : "";

	print_head(f->name, f->type, f->unit, f->help, out);
	for (size_t i = 0; i < s->count; i++)
		if (!f->counters || s->row[i].counted)
			fprintf(out, "%s%s{queue=\"%" PRIu32 "\"} %.0f\n", f->name, suffix,
				s->row[i].line.number, f->value(s, &s->row[i]));
}

static const struct {
	const char *name, *unit, *help;
	size_t value; /* offset of the value, a uint64_t in struct kept_flows */
} flow_families[] = {
	{ "ipq_queue_left_flows", "flows", "How often a decided flow was left to the kernel.",
	  offsetof(struct kept_flows, left) },
	{ "ipq_queue_passed_packets", "packets", "Packets of accepted flows that the kernel let pass.",
	  offsetof(struct kept_flows, packets) },
	{ "ipq_queue_passed_bytes", "bytes", "Bytes of accepted flows that the kernel let pass.",
	  offsetof(struct kept_flows, bytes) },
};

static void print_flow_families(const struct snapshot *s, FILE *out)
{
	for (size_t i = 0; i < sizeof(flow_families) / sizeof(flow_families[0]); i++) {
		print_head(flow_families[i].name, "counter", flow_families[i].unit, flow_families[i].help,
			   out);
		for (size_t j = 0; j < s->firewall.flows; j++) {
			const struct kept_flows *f = &s->firewall.flow[j];
			uint64_t value;

			memcpy(&value, (const char *)f + flow_families[i].value, sizeof(value));
			fprintf(out, "%s_total{queue=\"%u\",firewall=\"%s\"} %" PRIu64 "\n",
				flow_families[i].name, f->queue, firewall_tool(f->kind), value);
		}
	}
}

void status_print_openmetrics(const struct snapshot *s, FILE *out)
{
	print_head("ipq_queue_owner", "gauge", "", "The process that owns the queue; the value is always 1.",
		   out);
	for (size_t i = 0; i < s->count; i++) {
		const struct queue_row *row = &s->row[i];

		if (row->pid == 0)
			continue;
		fprintf(out, "ipq_queue_owner{queue=\"%" PRIu32 "\",pid=\"%" PRId32 "\",command=\"",
			row->line.number, (int32_t)row->pid);
		print_label(row->command, out);
		fputs("\"} 1\n", out);
	}
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		print_family(s, &families[i], out);
	print_flow_families(s, out);
	print_head("ipq_counters_readable", "gauge", "",
		   "Whether the kernel's table of queues could be read.", out);
	fprintf(out, "ipq_counters_readable %d\n# EOF\n", s->table == 0);
}
