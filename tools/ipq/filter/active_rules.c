/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/text.h"
#include "filter/active_rules.h"

/* ---- reading ------------------------------------------------------------------------------------- */

/* The rule with a caret below the mistake. */
static void show_mistake(const char *where, const char *text, const struct rule_error *e)
{
	text_complain("ipq filter", "%s: %s", where, e->text);
	text_point(text, e->offset);
}

static int add(struct ruleset *set, const char *where, const char *text)
{
	struct rule_error e;
	int err = ruleset_add(set, text, &e);

	if (err == -EINVAL)
		show_mistake(where, text, &e);
	return err;
}

/* One rule a line; empty lines and what follows a # at the beginning of a word is comment. */
static char *strip(char *line)
{
	char *end;

	for (char *at = line; *at != '\0'; at++) {
		if (*at == '#' && (at == line || isspace((unsigned char)at[-1]))) {
			*at = '\0';
			break;
		}
	}
	while (isspace((unsigned char)*line))
		line++;
	end = line + strlen(line);
	while (end > line && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return line;
}

static int add_file(struct ruleset *set, const char *path)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char *line = NULL, where[320];
	unsigned number = 0;
	size_t room = 0;
	int err = 0;

	if (f == NULL) {
		err = -errno;
		text_complain("ipq filter", "%s: %s", path, strerror(-err));
		return err;
	}
	while (err == 0 && getline(&line, &room, f) >= 0) {
		char *text = strip(line);

		number++;
		snprintf(where, sizeof(where), "%s, line %u", path, number);
		if (*text != '\0')
			err = add(set, where, text);
	}
	free(line);
	/* a directory opens, and fails when it is read */
	if (err == 0 && ferror(f)) {
		err = -EIO;
		text_complain("ipq filter", "%s cannot be read: %s", path, strerror(errno));
	}
	if (f != stdin)
		fclose(f);
	return err;
}

int active_rules_load(struct active_rules **active_rules, const struct active_rules_source *from,
		      unsigned workers)
{
	struct active_rules *p = calloc(1, sizeof(*p));
	char where[32];
	int err = p != NULL ? 0 : -ENOMEM;

	*active_rules = NULL;
	if (err == 0 && from->file != NULL)
		err = add_file(&p->set, from->file);
	for (unsigned i = 0; i < from->count && err == 0; i++) {
		snprintf(where, sizeof(where), "rule %u", p->set.count + 1);
		err = add(&p->set, where, from->text[i]);
	}
	if (err == 0)
		err = ruleset_finish(&p->set);
	if (err == 0) {
		p->workers = workers;
		p->resizes_tcp = active_rules_resize_tcp(p) != NULL;
		p->counters = calloc((size_t)workers * (p->set.count + 1), sizeof(*p->counters));
		p->base = calloc(p->set.count + 1, sizeof(*p->base));
		err = p->counters != NULL && p->base != NULL ? 0 : -ENOMEM;
	}
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
	ruleset_free(&p->set);
	free(p->counters);
	free(p->base);
	free(p);
}

/* ---- counters ------------------------------------------------------------------------------------ */

static void add_tally(struct counters *to, const struct counters *from)
{
	to->packets += from->packets;
	to->bytes += from->bytes;
	to->dropped += from->dropped;
	to->places += from->places;
}

void active_rules_sum(const struct active_rules *p, unsigned rule, struct counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	add_tally(sum, &p->base[rule]);
	for (unsigned w = 0; w < p->workers; w++)
		add_tally(sum, active_rules_counters(p, w, rule));
}

/* The rule of the old plan with this text; count when it has none. */
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
		add_tally(&p->base[i], &sum);
	}
}

void active_rules_restore_rates(struct active_rules *p, const struct active_rules *old)
{
	for (unsigned i = 0; i < p->set.count; i++) {
		unsigned from = same_rule(old, p->set.rule[i].text);

		if (from < old->set.count)
			p->set.rule[i].used_until = old->set.rule[from].used_until;
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
		fputs(p->kernel_accepts ? "no rule matched" : "no rule matched: accepted", out);
	else
		text_put_columns(out, p->set.rule[i].text);
	if (p->kernel_accepts && last && p->set.rule[i].filter[0] == '\0')
		fputs("  (in the kernel, not counted)", out);
	if (t.places > 0)
		fprintf(out, "  (%llu rewritten)", (unsigned long long)t.places);
	if (t.dropped > 0)
		fprintf(out, "  (%llu dropped)", (unsigned long long)t.dropped);
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
	fprintf(out, "\"packets\":%llu,\"bytes\":%llu,\"dropped\":%llu,\"rewritten\":%llu}",
		(unsigned long long)t.packets, (unsigned long long)t.bytes, (unsigned long long)t.dropped,
		(unsigned long long)t.places);
}

unsigned active_rules_print(const struct active_rules *p, FILE *out, bool json, unsigned width)
{
	fputs(json ? "{\"rules\":[" : "   #      packets          bytes  rule\n", out);
	for (unsigned i = 0; i <= p->set.count; i++) {
		if (json)
			print_json_row(p, out, i);
		else
			print_row(p, out, i, width);
	}
	if (json)
		fputs("}\n", out);
	fflush(out);
	return p->set.count + 2;
}

/* ---- what follows -------------------------------------------------------------------------------- */

/* How far one filter reads into a packet; 0: nobody knows, an offset is computed. */
static uint32_t reach(const struct bpf_program *p)
{
	uint32_t far = 1;

	for (unsigned i = 0; i < p->bf_len; i++) {
		const struct bpf_insn *in = &p->bf_insns[i];
		bool load = BPF_CLASS(in->code) == BPF_LD || BPF_CLASS(in->code) == BPF_LDX;
		unsigned mode = BPF_MODE(in->code);

		if (in->code == (BPF_MISC | BPF_TAX))
			return 0;
		if (!load || (mode != BPF_ABS && mode != BPF_IND && mode != BPF_MSH))
			continue;
		if (in->k > 65535)
			return 0;
		/* X is an IPv4 header's length, 60 at most. */
		if (in->k + 4 + (mode == BPF_IND ? 60 : 0) > far)
			far = in->k + 4 + (mode == BPF_IND ? 60 : 0);
	}
	return far;
}

uint32_t active_rules_copy_range(const struct active_rules *p)
{
	uint32_t far = 128; /* headers, for whatever is printed */

	for (unsigned i = 0; i < p->set.count; i++) {
		uint32_t one = reach(&p->set.rule[i].program);

		if (one == 0 || p->set.rule[i].action == ACTION_REWRITE)
			return 0;
		far = one > far ? one : far;
	}
	return far;
}

bool active_rules_need_segments(const struct active_rules *p)
{
	for (unsigned i = 0; i < p->set.count; i++)
		if (p->set.rule[i].action == ACTION_REWRITE || p->set.rule[i].action == ACTION_RATE)
			return true;
	return false;
}

static bool may_match_tcp(const struct rule *rule)
{
	struct bpf_program program;
	struct rule_error e;
	char *both;
	bool may;

	if (asprintf(&both, rule->filter[0] != '\0' ? "tcp and (%s)" : "tcp%s", rule->filter) < 0)
		return true;
	/* libpcap refuses, or compiles to a bare "return 0", what cannot match. */
	may = filter_compile(&program, both, &e) == 0;
	if (may) {
		may = program.bf_len != 1 || program.bf_insns[0].k != 0;
		pcap_freecode(&program);
	}
	free(both);
	return may;
}

const struct rule *active_rules_resize_tcp(const struct active_rules *p)
{
	for (unsigned i = 0; i < p->set.count; i++) {
		const struct rule *r = &p->set.rule[i];

		if (r->action == ACTION_REWRITE && r->rewrite.from_len != r->rewrite.to_len &&
		    may_match_tcp(r))
			return r;
	}
	return NULL;
}

size_t active_rules_filters(const struct active_rules *p, struct bpf_program *filters)
{
	size_t n = 0;

	if (active_rules_resize_tcp(p) != NULL)
		return 0; /* both directions of whatever connection it may be */
	for (unsigned i = 0; i < p->set.count; i++) {
		const struct rule *r = &p->set.rule[i];

		if (r->filter[0] != '\0') {
			filters[n++] = r->program;
			continue;
		}
		/* Accepting the rest is what happens to packets that do not come. */
		return r->action == ACTION_ACCEPT ? n : 0;
	}
	return n;
}
