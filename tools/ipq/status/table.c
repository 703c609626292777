/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of `ipq status`, printed to a pipe or to a screen of any width. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>
#include "common/text.h"
#include "status/status.h"

#define WIDE 120 /* with at least this number of columns, both rates and totals are shown */

static const char *copy_mode(const struct queue_row *row, char *to, size_t room)
{
	static const char *const names[] = { "none", "meta", "packet" };

	if (!row->counted)
		return "-";
	if (row->line.copy_mode > 2)
		snprintf(to, room, "mode %" PRIu32, row->line.copy_mode);
	else if (row->line.copy_mode < 2)
		return names[row->line.copy_mode];
	else
		snprintf(to, room, "packet %" PRIu32, row->line.copy_range);
	return to;
}

static const struct queue_row *find_row(const struct snapshot *s, const struct queue_row *like)
{
	for (size_t i = 0; s != NULL && i < s->count; i++)
		if (s->row[i].line.number == like->line.number &&
		    s->row[i].line.port_id == like->line.port_id && s->row[i].counted)
			return &s->row[i];
	return NULL;
}

enum counter { PACKETS, QUEUE_FULL, SOCKET_FULL };

static uint32_t counter_of(const struct queue_row *row, enum counter c)
{
	return c == PACKETS	 ? row->line.last_id
	       : c == QUEUE_FULL ? row->line.queue_dropped
				 : row->line.user_dropped;
}

static void print_counter(FILE *out, int width, const struct queue_row *row, enum counter c)
{
	if (row->counted)
		fprintf(out, " %*" PRIu32, width, counter_of(row, c));
	else
		fprintf(out, " %*s", width, "-");
}

/* The counters wrap at 2^32, and so does their difference. */
static void print_rate(FILE *out, int width, const struct status_view *v, const struct queue_row *row,
		       enum counter c)
{
	const struct queue_row *before = row->counted ? find_row(v->before, row) : NULL;
	double seconds = v->before != NULL ? (double)(v->now->time - v->before->time) / 1e9 : 0;

	if (before != NULL && seconds > 0)
		fprintf(out, " %*.0f", width,
			(uint32_t)(counter_of(row, c) - counter_of(before, c)) / seconds);
	else
		fprintf(out, " %*s", width, "-");
}

static void print_owner(FILE *out, int width, const struct snapshot *s, const struct queue_row *row)
{
	char safe[264], text[300];

	if (!row->owned)
		snprintf(text, sizeof(text), "%s", s->blind ? "?" : "none");
	else if (row->pid == 0)
		snprintf(text, sizeof(text), "hidden");
	else
		snprintf(text, sizeof(text), "%" PRId32 " %s", (int32_t)row->pid,
			 text_safe(safe, sizeof(safe), row->command));
	fprintf(out, "%5" PRIu32 " %-*.*s", row->line.number, width, width, text);
}

static void print_row(FILE *out, const struct status_view *v, const struct queue_row *row, int owner)
{
	bool rates = v->columns > 0, totals = v->columns == 0 || v->columns >= WIDE;
	char mode[32];

	print_owner(out, owner, v->now, row);
	if (row->counted)
		fprintf(out, " %7" PRIu32, row->line.waiting);
	else
		fprintf(out, " %7s", "-");
	fprintf(out, " %-12s", copy_mode(row, mode, sizeof(mode)));
	for (enum counter c = PACKETS; c <= SOCKET_FULL && rates; c++)
		print_rate(out, c == PACKETS ? 9 : 8, v, row, c);
	for (enum counter c = PACKETS; c <= SOCKET_FULL && totals; c++)
		print_counter(out, c == PACKETS ? 10 : 11, row, c);
	fprintf(out, " %5u\n", row->rules);
}

static void print_table(FILE *out, const struct status_view *v)
{
	bool rates = v->columns > 0, totals = v->columns == 0 || v->columns >= WIDE;
	int fixed = 5 + 1 + 8 + 13 + 6 + (rates ? 10 + 9 + 9 : 0) + (totals ? 11 + 12 + 12 : 0);
	int owner = v->columns == 0 ? 20 : (int)v->columns - fixed;

	if (owner < 8)
		owner = 8;
	else if (owner > 40)
		owner = 40;
	fprintf(out, "%5s %-*s %7s %-12s", "QUEUE", owner, "OWNER", "WAITING", "COPY");
	if (rates)
		fprintf(out, " %9s %8s %8s", "PACKETS/S", "Q-FULL/S", "S-FULL/S");
	if (totals)
		fprintf(out, " %10s %11s %11s", "PACKETS", "QUEUE-FULL", "SOCKET-FULL");
	fprintf(out, " %5s\n", "RULES");
	for (size_t i = 0; i < v->now->count; i++)
		print_row(out, v, &v->now->row[i], owner);
}

static void print_problems(FILE *out, const struct snapshot *s)
{
	bool any = false;

	for (size_t i = 0; i < s->count; i++) {
		char text[400], remedy[640], safe[1600];

		row_explain(s, &s->row[i], text, sizeof(text), remedy, sizeof(remedy));
		if (text[0] == '\0')
			continue;
		fprintf(out, "%s! queue %" PRIu32 ": %s\n", any ? "" : "\n", s->row[i].line.number,
			text_safe(safe, sizeof(safe), text));
		if (remedy[0] != '\0')
			fprintf(out, "    %s\n", text_safe(safe, sizeof(safe), remedy));
		any = true;
	}
}

static void print_limits(FILE *out, const struct snapshot *s)
{
	char safe[264];

	if (s->table == -EACCES || s->table == -EPERM)
		fputs("\nOnly root of the machine can read the kernel's counters "
		      "(/proc/net/netfilter/\n"
		      "nfnetlink_queue): waiting packets, copy mode and losses are unknown here.\n",
		      out);
	else if (s->table == -ENOENT)
		fputs("\nThis kernel has no nfnetlink_queue, or its module is not loaded: modprobe "
		      "nfnetlink_queue\n",
		      out);
	else if (s->table < 0)
		fprintf(out, "\nThe kernel's table of queues cannot be read: %s\n", strerror(-s->table));
	if (s->table < 0 && s->table != -ENOENT && s->blind)
		fputs("The owners are unknown without CAP_NET_ADMIN: sudo ipq status\n", out);
	for (unsigned i = 0; i < s->suspects; i++)
		fprintf(out, "  has a netfilter socket and may own a queue: %" PRId32 " %s\n",
			(int32_t)s->suspect[i].pid, text_safe(safe, sizeof(safe), s->suspect[i].command));
}

static void print_rule(FILE *out, const struct queue_rule *r)
{
	char number[16], safe[4 * sizeof(r->text)], table[4 * sizeof(r->table)];

	if (r->computed)
		snprintf(number, sizeof(number), "?");
	else if (r->first == r->last)
		snprintf(number, sizeof(number), "%u", r->first);
	else
		snprintf(number, sizeof(number), "%u-%u", r->first, r->last);
	fprintf(out, "%11s  %s, %s %s: ", number, firewall_tool(r->kind), r->family,
		text_safe(table, sizeof(table), r->table));
	if (r->kind == FIREWALL_NFT)
		fprintf(out, "%s: ", text_safe(table, sizeof(table), r->chain));
	fprintf(out, "%s\n", text_safe(safe, sizeof(safe), r->text));
}

static void print_rules(FILE *out, const struct snapshot *s)
{
	if (s->firewall.count > 0)
		fputs("\nRULES FOR QUEUE\n", out);
	for (size_t i = 0; i < s->firewall.count; i++)
		print_rule(out, &s->firewall.rule[i]);
	for (enum firewall_kind k = 0; k < FIREWALL_KINDS; k++)
		if (s->firewall.state[k] == FIREWALL_REFUSED)
			fprintf(out, "%s rules could not be read%s\n", firewall_tool(k),
				geteuid() != 0 ? ": sudo ipq status" : "");
}

static void print_flows(FILE *out, const struct snapshot *s)
{
	if (s->firewall.flows > 0)
		fprintf(out, "\n%5s %10s %12s %15s  %s\n", "QUEUE", "FLOWS LEFT", "PACKETS", "BYTES",
			"KEPT BY CONNECTION MARKS OF");
	for (size_t i = 0; i < s->firewall.flows; i++) {
		const struct kept_flows *f = &s->firewall.flow[i];

		fprintf(out, "%5u %10" PRIu64 " %12" PRIu64 " %15" PRIu64 "  %s\n", f->queue, f->left,
			f->packets, f->bytes, firewall_tool(f->kind));
	}
}

void status_print(const struct status_view *v, FILE *out)
{
	const struct snapshot *s = v->now;

	if (s->count > 0)
		print_table(out, v);
	else if (s->blind)
		fputs("No queue rules are visible.\n", out);
	else
		fputs("There are no queues, and no visible rule names a queue. Start with \"ipq doctor\".\n",
		      out);
	print_problems(out, s);
	print_limits(out, s);
	print_flows(out, s);
	print_rules(out, s);
}
