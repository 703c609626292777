/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation. Every filter is compiled by libpcap on its own, so that an error can be shown in
 * its place, and the programs are then laid end to end: "return 0" becomes a jump to the next program,
 * "return n" becomes "return number of the rule". Both are one instruction for one, so no offset inside
 * a program changes, and a packet costs one call of the interpreter however many rules there are. To go
 * on behind rule i, start at the first instruction of rule i + 1: programs share nothing, libpcap's code
 * sets every register and memory cell before it reads it.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "filter/ruleset.h"

#define SNAPLEN 262144
#define NO_MATCH UINT32_MAX

static const struct {
	const char *name;
	enum action action;
} actions[] = {
	{ "accept", ACTION_ACCEPT },   { "drop", ACTION_DROP },	  { "mark", ACTION_MARK },
	{ "rewrite", ACTION_REWRITE }, { "delay", ACTION_DELAY }, { "rate", ACTION_RATE },
	{ "repeat", ACTION_REPEAT },   { "queue", ACTION_QUEUE }, { "log", ACTION_LOG },
	{ "count", ACTION_COUNT },
};

/* What is being read, and where. */
struct cursor {
	const char *text;
	const char *at;
	struct rule_error *e;
};

static int wrong(const struct cursor *c, const char *at, const char *why)
{
	c->e->offset = (size_t)(at - c->text);
	snprintf(c->e->text, sizeof(c->e->text), "%s", why);
	return -EINVAL;
}

static void skip_space(struct cursor *c)
{
	while (isspace((unsigned char)*c->at))
		c->at++;
}

static size_t word_length(const char *at)
{
	size_t n = 0;

	while (at[n] != '\0' && !isspace((unsigned char)at[n]))
		n++;
	return n;
}

/* Decimal or 0x, up to max. The digits must be followed by a space, the end, or one of `stop`. */
static int read_number(struct cursor *c, uint64_t max, const char *stop, uint64_t *value, const char *what)
{
	char *end;

	skip_space(c);
	if (!isdigit((unsigned char)*c->at))
		return wrong(c, c->at, what);
	errno = 0;
	*value = strtoull(c->at, &end, c->at[0] == '0' && (c->at[1] | 32) == 'x' ? 16 : 10);
	if (errno != 0 || *value > max)
		return wrong(c, c->at, "this number is too large");
	if (*end != '\0' && !isspace((unsigned char)*end) && strchr(stop, *end) == NULL)
		return wrong(c, end, what);
	c->at = end;
	return 0;
}

static int read_u32(struct cursor *c, uint32_t max, uint32_t *value, const char *what)
{
	uint64_t n;
	int err = read_number(c, max, "", &n, what);

	if (err == 0)
		*value = (uint32_t)n;
	return err;
}

static int read_delay(struct cursor *c, struct rule *rule)
{
	static const char what[] = "a time is wanted here, as in: delay 50ms icmp (units: us, ms, s)";
	static const struct {
		const char *name;
		int64_t ns;
	} unit[] = { { "us", 1000 }, { "ms", 1000000 }, { "s", 1000000000 } };
	uint64_t n;
	int err = read_number(c, 3600000000, "ums", &n, what);

	if (err < 0)
		return err;
	for (size_t i = 0; i < sizeof(unit) / sizeof(unit[0]); i++) {
		if (word_length(c->at) != strlen(unit[i].name) ||
		    strncmp(c->at, unit[i].name, strlen(unit[i].name)) != 0)
			continue;
		rule->interval = (int64_t)n * unit[i].ns;
		if (rule->interval > INT64_C(3600000000000))
			return wrong(c, c->at, "a packet can be held for an hour at most");
		c->at += strlen(unit[i].name);
		return 0;
	}
	return wrong(c, c->at, what);
}

static int read_rate(struct cursor *c, struct rule *rule)
{
	static const char what[] = "a rate is wanted here, as in: rate 100/s udp (units: /s, /m, /h)";
	uint64_t n, burst;
	int64_t period;
	int err = read_number(c, 1000000000, "/", &n, what);

	if (err < 0)
		return err;
	if (n == 0)
		return wrong(c, c->at - 1, "a rate of nothing: use drop");
	if (c->at[0] != '/' || c->at[1] == '\0' || strchr("smh", c->at[1]) == NULL || word_length(c->at) != 2)
		return wrong(c, c->at, what);
	period = c->at[1] == 's' ? 1 : c->at[1] == 'm' ? 60 : 3600;
	rule->interval = period * 1000000000 / (int64_t)n;
	c->at += 2;
	skip_space(c);
	burst = n / 10 > 0 ? n / 10 : 1; /* a tenth of a period, one packet at least */
	if (strncmp(c->at, "burst", 5) == 0 && word_length(c->at) == 5) {
		c->at += 5;
		err = read_number(c, 1000000, "", &burst,
				  "the number of packets is wanted here, as in: burst 20");
		if (err < 0)
			return err;
		if (burst == 0)
			return wrong(c, c->at - 1, "a burst holds one packet at least");
	}
	rule->burst = rule->interval * (int64_t)(burst - 1);
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of a rewrite's text, with \n \r \t \0 \xHH, and \ before any other character for itself. */
static int read_byte(struct cursor *c, unsigned char *byte)
{
	static const char letters[] = "nrt0", meaning[] = "\n\r\t";
	const char *known;

	if (*c->at != '\\') {
		*byte = (unsigned char)*c->at++;
		return 0;
	}
	if (c->at[1] == 'x') {
		if (hex_digit(c->at[2]) < 0 || hex_digit(c->at[3]) < 0)
			return wrong(c, c->at, "\\x wants two hexadecimal digits");
		/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): both digits were looked at above */
		*byte = (unsigned char)(hex_digit(c->at[2]) << 4 | hex_digit(c->at[3]));
		c->at += 4;
		return 0;
	}
	if (c->at[1] == '\0')
		return wrong(c, c->at, "nothing stands behind this backslash");
	known = strchr(letters, c->at[1]);
	*byte = known != NULL ? (unsigned char)meaning[known - letters] : (unsigned char)c->at[1];
	c->at += 2;
	return 0;
}

static int read_part(struct cursor *c, char delimiter, unsigned char **bytes, size_t *len)
{
	int err;

	*len = 0;
	*bytes = malloc(strlen(c->at) + 1);
	if (*bytes == NULL)
		return -ENOMEM;
	while (*c->at != delimiter) {
		if (*c->at == '\0')
			return wrong(c, c->at,
				     "the closing delimiter is missing, as in: rewrite /this/that/");
		err = read_byte(c, &(*bytes)[*len]);
		if (err < 0)
			return err;
		(*len)++;
	}
	c->at++;
	return 0;
}

static int read_rewrite(struct cursor *c, struct rule *rule)
{
	struct rewrite *r = &rule->rewrite;
	const char *begin;
	char delimiter;
	int err;

	skip_space(c);
	begin = c->at;
	delimiter = *c->at;
	if (!ispunct((unsigned char)delimiter) || delimiter == '\\')
		return wrong(c, c->at,
			     "what to rewrite is wanted here, as in: rewrite /this/that/g tcp port 80");
	c->at++;
	err = read_part(c, delimiter, &r->from, &r->from_len);
	if (err == 0)
		err = read_part(c, delimiter, &r->to, &r->to_len);
	if (err < 0)
		return err;
	if (r->from_len == 0)
		return wrong(c, begin + 1, "the text to look for is empty");
	if (r->from_len > 65535 || r->to_len > 65535)
		return wrong(c, begin, "this is longer than any packet");
	if (*c->at == 'g') {
		r->all = true;
		c->at++;
	}
	if (word_length(c->at) != 0)
		return wrong(c, c->at,
			     "only g (all places in the packet) may stand behind the last delimiter");
	return 0;
}

static int read_action(struct cursor *c, struct rule *rule)
{
	size_t len, i;

	skip_space(c);
	len = word_length(c->at);
	for (i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strlen(actions[i].name) == len && memcmp(actions[i].name, c->at, len) == 0)
			break;
	if (i == sizeof(actions) / sizeof(actions[0]))
		return wrong(c, c->at,
			     "an action is wanted here: accept, drop, mark N, rewrite /this/that/, delay "
			     "TIME, rate N/s, repeat N, queue N, log or count");
	rule->action = actions[i].action;
	c->at += len;
	switch (rule->action) {
	case ACTION_MARK:
		return read_u32(c, UINT32_MAX, &rule->number, "a mark is wanted here, as in: mark 7 udp");
	case ACTION_REPEAT:
		return read_u32(c, UINT32_MAX, &rule->number,
				"the mark that tells a repeated packet is wanted here, as in: repeat 1 udp");
	case ACTION_QUEUE:
		return read_u32(c, 65535, &rule->number, "a queue number is wanted here, as in: queue 5 udp");
	case ACTION_REWRITE:
		return read_rewrite(c, rule);
	case ACTION_DELAY:
		return read_delay(c, rule);
	case ACTION_RATE:
		return read_rate(c, rule);
	default:
		return 0;
	}
}

static int compile(struct bpf_program *program, const char *filter, char *error, size_t room)
{
	pcap_t *p = pcap_open_dead(DLT_RAW, SNAPLEN);
	int err = 0;

	if (p == NULL)
		return -ENOMEM;
	if (pcap_compile(p, program, filter, 1, PCAP_NETMASK_UNKNOWN) != 0) {
		if (error != NULL)
			snprintf(error, room, "%s", pcap_geterr(p));
		err = -EINVAL;
	}
	pcap_close(p);
	return err;
}

static size_t token_end(const char *filter, size_t at)
{
	static const char single[] = "()[]!&|<>=+-*/%^:";

	if (strchr(single, filter[at]) != NULL)
		return at + 1;
	while (filter[at] != '\0' && !isspace((unsigned char)filter[at]) &&
	       strchr("()[]!&|<>=", filter[at]) == NULL)
		at++;
	return at;
}

/* Does the beginning of a filter make sense, if its parentheses were closed? */
static bool prefix_compiles(const char *filter, size_t len)
{
	struct bpf_program program;
	char *copy = malloc(len * 2 + 1);
	size_t end = len, depth = 0;
	bool good;

	if (copy == NULL)
		return false;
	memcpy(copy, filter, len);
	for (size_t i = 0; i < len; i++) {
		if (filter[i] == '(')
			depth++;
		else if (filter[i] == ')' && depth > 0)
			depth--;
	}
	while (depth-- > 0)
		copy[end++] = ')';
	copy[end] = '\0';
	good = compile(&program, copy, NULL, 0) == 0;
	if (good)
		pcap_freecode(&program);
	free(copy);
	return good;
}

/*
 * libpcap says that there is an error, not where. A name that it did not know stands in its message in
 * quotes; otherwise the mistake is the word behind the longest beginning that compiles.
 */
static size_t locate(const char *filter, const char *message)
{
	const char *open = strchr(message, '\''), *close = open != NULL ? strchr(open + 1, '\'') : NULL;
	const char *mistake = filter;
	char name[64];
	size_t at = 0;

	if (close != NULL && close > open + 1 && (size_t)(close - open) < sizeof(name)) {
		snprintf(name, sizeof(name), "%.*s", (int)(close - open - 1), open + 1);
		mistake = strstr(filter, name);
		if (mistake != NULL)
			return (size_t)(mistake - filter);
		mistake = filter;
	}
	for (unsigned words = 0; words < 64; words++) {
		while (isspace((unsigned char)filter[at]))
			at++;
		if (filter[at] == '\0')
			break;
		at = token_end(filter, at);
		if (prefix_compiles(filter, at)) {
			mistake = filter + at;
			while (isspace((unsigned char)*mistake))
				mistake++;
		}
	}
	return (size_t)(mistake - filter);
}

int filter_compile(struct bpf_program *program, const char *filter, struct rule_error *e)
{
	char message[PCAP_ERRBUF_SIZE];
	const char *said;
	int err;

	if (strlen(filter) > 4096) {
		e->offset = 4096;
		snprintf(e->text, sizeof(e->text), "a filter has 4096 characters at most");
		return -EINVAL;
	}
	err = compile(program, filter, message, sizeof(message));
	if (err == 0)
		return 0;
	if (err == -ENOMEM)
		return err;
	e->offset = locate(filter, message);
	said = strstr(message, "syntax error") != NULL ? "this is no filter from here on, see pcap-filter(7)"
						       : message;
	snprintf(e->text, sizeof(e->text), "%s", said);
	return err;
}

static void rule_free(struct rule *rule)
{
	pcap_freecode(&rule->program);
	free(rule->rewrite.from);
	free(rule->rewrite.to);
	free(rule->text);
}

static int rule_parse(struct rule *rule, const char *text, struct rule_error *e)
{
	struct cursor c;
	int err;

	rule->text = strdup(text);
	if (rule->text == NULL)
		return -ENOMEM;
	c = (struct cursor){ .text = rule->text, .at = rule->text, .e = e };
	err = read_action(&c, rule);
	if (err < 0)
		return err;
	skip_space(&c);
	rule->filter = c.at;
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the rule has the text, and frees it */
	err = filter_compile(&rule->program, rule->filter, e);
	if (err < 0)
		e->offset += (size_t)(rule->filter - rule->text);
	return err;
}

int ruleset_add(struct ruleset *set, const char *text, struct rule_error *e)
{
	struct rule *grown, rule = { .text = NULL };
	int err;

	*e = (struct rule_error){ .offset = 0 };
	err = rule_parse(&rule, text, e);
	if (err < 0)
		goto fail;
	err = -ENOMEM;
	grown = realloc(set->rule, (set->count + 1) * sizeof(*grown));
	if (grown == NULL)
		goto fail;
	set->rule = grown;
	memcpy(&set->rule[set->count++], &rule, sizeof(rule));
	return 0;
fail:
	rule_free(&rule);
	return err;
}

int ruleset_finish(struct ruleset *set)
{
	size_t total = 1;
	unsigned at = 0;

	for (unsigned i = 0; i < set->count; i++)
		total += set->rule[i].program.bf_len;
	set->code = calloc(total, sizeof(*set->code));
	set->start = calloc(set->count + 1, sizeof(*set->start));
	if (set->code == NULL || set->start == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < set->count; i++) {
		const struct bpf_program *p = &set->rule[i].program;

		set->start[i] = at;
		for (unsigned j = 0; j < p->bf_len; j++) {
			struct bpf_insn insn = p->bf_insns[j];

			if (BPF_CLASS(insn.code) == BPF_RET && insn.k != 0)
				insn.k = i + 1;
			else if (BPF_CLASS(insn.code) == BPF_RET)
				insn = (struct bpf_insn)BPF_STMT(BPF_JMP | BPF_JA, p->bf_len - j - 1);
			set->code[at + j] = insn;
		}
		at += p->bf_len;
	}
	set->start[set->count] = at;
	set->code[at] = (struct bpf_insn)BPF_STMT(BPF_RET | BPF_K, NO_MATCH);
	return 0;
}

void ruleset_free(struct ruleset *set)
{
	for (unsigned i = 0; i < set->count; i++)
		rule_free(&set->rule[i]);
	free(set->rule);
	free(set->code);
	free(set->start);
	*set = (struct ruleset){ .rule = NULL };
}

static unsigned match_one_by_one(const struct ruleset *set, unsigned from, const uint8_t *payload,
				 uint32_t len, uint32_t full_len)
{
	unsigned i;

	for (i = from; i < set->count; i++)
		if (bpf_filter(set->rule[i].program.bf_insns, payload, full_len, len) != 0)
			break;
	return i;
}

unsigned ruleset_match(const struct ruleset *set, unsigned from, const uint8_t *payload, uint32_t len,
		       uint32_t full_len)
{
	unsigned found;

	if (from >= set->count)
		return set->count;
	found = bpf_filter(&set->code[set->start[from]], payload, full_len, len);
	if (found == 0)
		return match_one_by_one(set, from, payload, len, full_len);
	return found == NO_MATCH ? set->count : found - 1;
}

/*
 * The generic cell rate algorithm: one number, the time up to which the rate is used up, moved forward by
 * compare and exchange, so that the threads of several queues share a rate without a lock.
 */
bool rule_rate_pass(struct rule *rule, int64_t now)
{
	int64_t used = atomic_load_explicit(&rule->used_until, memory_order_relaxed), begin;

	do {
		begin = used > now ? used : now;
		if (begin - now > rule->burst)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&rule->used_until, &used, begin + rule->interval,
							memory_order_relaxed, memory_order_relaxed));
	return true;
}
