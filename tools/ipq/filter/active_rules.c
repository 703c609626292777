/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <pcap/pcap.h>
#include "common/text.h"
#include "filter/active_rules.h"
#include "filter/needs.h"
#include "filter/rule_file.h"

static int prepare(struct active_rules *p, unsigned workers)
{
	int err = ruleset_finish(&p->set);

	if (err < 0)
		return err;
	p->workers = workers;
	p->counters = calloc((size_t)workers * (p->set.count + 1), sizeof(*p->counters));
	p->base = calloc(p->set.count + 1, sizeof(*p->base));
	return p->counters != NULL && p->base != NULL ? active_rules_find_needs(p) : -ENOMEM;
}

int active_rules_load(struct active_rules **active_rules, const struct active_rules_source *from,
		      unsigned workers)
{
	struct active_rules *p = calloc(1, sizeof(*p));
	int err = p != NULL ? 0 : -ENOMEM;

	*active_rules = NULL;
	if (err == 0)
		err = rules_read(&p->set, from);
	if (err == 0)
		err = prepare(p, workers);
	if (err == -ENOMEM)
		text_complain("ipq filter", "out of memory");
	if (err < 0)
		active_rules_free(p);
	else
		*active_rules = p;
	return err;
}

void active_rules_free(struct active_rules *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->filters; i++)
		pcap_freecode(&p->filter[i]);
	ruleset_free(&p->set);
	free(p->filter);
	free(p->counters);
	free(p->base);
	free(p);
}

/* ---- counters ------------------------------------------------------------------------------------ */

static void add_counters(struct counters *to, const struct counters *from)
{
	to->packets += from->packets;
	to->bytes += from->bytes;
	to->dropped += from->dropped;
	to->places += from->places;
	to->not_edited += from->not_edited;
}

void active_rules_sum(const struct active_rules *p, unsigned rule, struct counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	add_counters(sum, &p->base[rule]);
	for (unsigned w = 0; w < p->workers; w++)
		add_counters(sum, active_rules_counters(p, w, rule));
}

/* Sets the counters to 0. Only the workers write them, so this subtracts the current values in the base. */
void active_rules_reset(struct active_rules *p)
{
	for (unsigned i = 0; i <= p->set.count; i++) {
		struct counters sum, *base = &p->base[i];

		active_rules_sum(p, i, &sum);
		base->packets -= sum.packets;
		base->bytes -= sum.bytes;
		base->dropped -= sum.dropped;
		base->places -= sum.places;
		base->not_edited -= sum.not_edited;
	}
}

/* The index of the old rule with this text; `count` if there is none. */
static unsigned same_rule(const struct active_rules *old, const char *text)
{
	unsigned i;

	for (i = 0; i < old->set.count; i++)
		if (strcmp(old->set.rule[i].text, text) == 0)
			break;
	return i;
}

void active_rules_restore(struct active_rules *p, const struct active_rules *old)
{
	for (unsigned i = 0; i <= p->set.count; i++) {
		unsigned from = i < p->set.count ? same_rule(old, p->set.rule[i].text) : old->set.count;
		struct counters sum;

		if (i < p->set.count && from == old->set.count)
			continue;
		active_rules_sum(old, from, &sum);
		add_counters(&p->base[i], &sum);
	}
}

void active_rules_restore_rates(struct active_rules *p, const struct active_rules *old)
{
	for (unsigned i = 0; i < p->set.count; i++) {
		unsigned from = same_rule(old, p->set.rule[i].text);

		for (unsigned j = 0; from < old->set.count && j < p->set.rule[i].actions; j++)
			p->set.rule[i].action[j].rate.used_until =
				old->set.rule[from].action[j].rate.used_until;
	}
}

static void format_row(const struct active_rules *p, FILE *out, unsigned i)
{
	bool last = i + 1 == p->set.count;
	struct counters t;

	active_rules_sum(p, i, &t);
	if (i < p->set.count)
		fprintf(out, "%4u", i + 1);
	else
		fputs("   -", out);
	fprintf(out, " %12llu %14llu  ", (unsigned long long)t.packets, (unsigned long long)t.bytes);
	if (i == p->set.count)
		fputs(p->kernel_accepts ? "no rule decided" : "no rule decided: accepted", out);
	else
		text_put_columns(out, p->set.rule[i].text);
	if (p->kernel_accepts && last && p->set.rule[i].condition[0] == '\0')
		fputs("  (in the kernel, not counted)", out);
	if (t.places > 0)
		fprintf(out, "  (%llu rewritten)", (unsigned long long)t.places);
	if (t.dropped > 0)
		fprintf(out, "  (%llu dropped)", (unsigned long long)t.dropped);
	if (t.not_edited > 0)
		fprintf(out, "  (%llu not edited)", (unsigned long long)t.not_edited);
}

static void print_row(const struct active_rules *p, FILE *out, unsigned i, unsigned width)
{
	char *text = NULL;
	size_t size;
	FILE *row = open_memstream(&text, &size);

	if (row == NULL)
		return;
	format_row(p, row, i);
	if (fclose(row) == 0)
		fprintf(out, "%.*s\n", width > 0 && width < size ? (int)width : (int)size, text);
	free(text);
}

static void print_json_row(const struct active_rules *p, FILE *out, unsigned i)
{
	struct counters t;

	active_rules_sum(p, i, &t);
	if (i < p->set.count) {
		fprintf(out, "%s{\"rule\":", i > 0 ? "," : "");
		text_put_json(out, p->set.rule[i].text);
		fputc(',', out);
	} else {
		fputs("],\"no_rule\":{", out);
	}
	fprintf(out,
		"\"packets\":%llu,\"bytes\":%llu,\"dropped\":%llu,\"rewritten\":%llu,"
		"\"not_edited\":%llu}",
		(unsigned long long)t.packets, (unsigned long long)t.bytes, (unsigned long long)t.dropped,
		(unsigned long long)t.places, (unsigned long long)t.not_edited);
}

static void print_flows(const struct flow_totals *flows, FILE *out, bool json)
{
	fprintf(out,
		json ? ",\"flows\":{\"decided\":%llu,\"packets\":%llu,\"bytes\":%llu"
		     : "     %12llu flows decided: %llu more packets, %llu bytes of them",
		(unsigned long long)flows->decided, (unsigned long long)flows->packets,
		(unsigned long long)flows->bytes);
	if (flows->in_kernel)
		fprintf(out,
			json ? ",\"kernel_packets\":%llu,\"kernel_bytes\":%llu"
			     : "; in the kernel %llu packets, %llu bytes",
			(unsigned long long)flows->passed, (unsigned long long)flows->passed_bytes);
	fputs(json ? "}" : "\n", out);
}

unsigned active_rules_print(const struct active_rules *p, const struct flow_totals *flows, FILE *out,
			    bool json, unsigned width)
{
	fputs(json ? "{\"rules\":[" : "   #      packets          bytes  rule\n", out);
	for (unsigned i = 0; i <= p->set.count; i++) {
		if (json)
			print_json_row(p, out, i);
		else
			print_row(p, out, i, width);
	}
	if (flows != NULL)
		print_flows(flows, out, json);
	return p->set.count + 2 + (flows != NULL);
}
