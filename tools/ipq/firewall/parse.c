/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parses rules that queue in the output of iptables-save and of nft. Each line is split into words. A text in
 * quotes is one word and never a keyword, so a comment is never mistaken for a rule.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "firewall/firewall.h"
#include "firewall/reach.h"

#define WORDS 256 /* maximum number of words of a rule that are read */

struct word {
	char text[96]; /* cut */
	bool quoted;
};

struct line {
	struct word word[WORDS];
	size_t count;
};

static bool is(const struct line *l, size_t i, const char *text)
{
	return i < l->count && !l->word[i].quoted && strcmp(l->word[i].text, text) == 0;
}

static const char *at(const struct line *l, size_t i)
{
	return i < l->count ? l->word[i].text : "";
}

/* Reads a word, up to one of the characters in `stops`. Returns the position after the word. */
static const char *read_word(const char *s, const char *stops, struct word *w)
{
	size_t used = 0;
	char quote = '\0';

	*w = (struct word){ .text = "" };
	for (; *s != '\0' && *s != '\n' && (quote != '\0' || strchr(stops, *s) == NULL); s++) {
		if (quote == '\0' && *s == '"') {
			quote = *s;
			w->quoted = true;
			continue;
		}
		if (quote != '\0' && *s == quote) {
			quote = '\0';
			continue;
		}
		if (quote != '\0' && *s == '\\' && s[1] != '\0' && s[1] != '\n')
			s++;
		if (used + 1 < sizeof(w->text))
			w->text[used++] = *s;
	}
	w->text[used] = '\0';
	return s;
}

/* Makes room for one more element. */
static void *grow(void *array, size_t count, size_t size)
{
	if ((count & (count - 1)) != 0 && count > 0)
		return array; /* count is not a power of two, so there is room */
	return realloc(array, (count == 0 ? 1 : 2 * count) * size);
}

static int add_rule(struct firewall *f, const struct queue_rule *r)
{
	struct queue_rule *grown = grow(f->rule, f->count, sizeof(*grown));

	if (grown == NULL)
		return -ENOMEM;
	f->rule = grown;
	f->rule[f->count++] = *r;
	return 0;
}

static int add_chain(struct firewall *f, const char *family, const char *table, const char *chain)
{
	struct firewall_chain *grown = grow(f->chain, f->chains, sizeof(*grown));
	struct firewall_chain *c;

	if (grown == NULL)
		return -ENOMEM;
	f->chain = grown;
	c = &f->chain[f->chains++];
	snprintf(c->family, sizeof(c->family), "%s", family);
	snprintf(c->table, sizeof(c->table), "%s", table);
	snprintf(c->chain, sizeof(c->chain), "%s", chain);
	return 0;
}

/* Finds or creates the entry of a queue. NULL: no memory. */
static struct kept_flows *flow_entry(struct firewall *f, enum firewall_kind kind, uint16_t queue)
{
	struct kept_flows *grown;

	for (size_t i = 0; i < f->flows; i++)
		if (f->flow[i].kind == kind && f->flow[i].queue == queue)
			return &f->flow[i];
	grown = grow(f->flow, f->flows, sizeof(*grown));
	if (grown == NULL)
		return NULL;
	f->flow = grown;
	f->flow[f->flows] = (struct kept_flows){ .kind = kind, .queue = queue };
	return &f->flow[f->flows++];
}

/* Reads a number that consists of digits only, up to 65535. */
static bool read_number(const char *s, const char *end, uint16_t *value)
{
	uint32_t n = 0;

	if (s == end || end - s > 5)
		return false;
	for (; s < end; s++) {
		if (!isdigit((unsigned char)*s))
			return false;
		n = n * 10 + (uint32_t)(*s - '0');
	}
	*value = (uint16_t)n;
	return n <= UINT16_MAX;
}

/* Reads a number "3", or a range "0-3" with this separator. */
static bool read_range(const char *s, char separator, uint16_t *first, uint16_t *last)
{
	const char *middle = strchr(s, separator);

	if (middle == NULL)
		return read_number(s, s + strlen(s), first) && (*last = *first, true);
	return read_number(s, middle, first) && read_number(middle + 1, s + strlen(s), last) &&
	       *first <= *last;
}

enum flow_rule { NO_FLOW, FLOW_LEFT, FLOW_PASSED };

/* Adds a rule with counters if it is in a chain or table named "ipq-5" or "ipq-flows-5", with this separator. */
static int count_flow(struct firewall *f, const struct queue_rule *r, const char *name, char separator,
		      enum flow_rule rule)
{
	struct kept_flows *flow;
	char flows[7] = "flows-";
	uint16_t queue;

	flows[5] = separator;
	if (rule == NO_FLOW || !r->counted || strncmp(name, "ipq", 3) != 0 || name[3] != separator)
		return 0;
	name += strncmp(name + 4, flows, 6) == 0 ? 10 : 4;
	if (!read_number(name, name + strlen(name), &queue))
		return 0;
	flow = flow_entry(f, r->kind, queue);
	if (flow == NULL)
		return -ENOMEM;
	if (rule == FLOW_LEFT) {
		flow->left += r->packets;
	} else {
		flow->packets += r->packets;
		flow->bytes += r->bytes;
	}
	return 0;
}

static void copy_text(char *to, size_t room, const char *from, size_t len)
{
	snprintf(to, room, "%.*s", (int)(len < room ? len : room - 1), from);
}

/* ---- iptables-save -------------------------------------------------------------------------------- */

static size_t split(const char *s, struct line *l)
{
	const char *start = s;

	l->count = 0;
	while (*s != '\0' && *s != '\n') {
		struct word w;

		if (*s == ' ' || *s == '\t') {
			s++;
			continue;
		}
		s = read_word(s, " \t", &w);
		if (l->count < WORDS)
			l->word[l->count++] = w;
	}
	return (size_t)(s - start);
}

/* Reads the target: the words after -j. */
static void read_target(const struct line *l, size_t i, struct queue_rule *r)
{
	for (i += 1; i < l->count; i++) {
		if (is(l, i, "--queue-num") || is(l, i, "--queue-balance"))
			r->computed = !read_range(at(l, i + 1), ':', &r->first, &r->last);
		else if (is(l, i, "--queue-bypass"))
			r->bypass = true;
	}
}

/* Joins words i to end - 1, separated by spaces. */
static void join_words(const struct line *l, size_t i, size_t end, char *to, size_t room)
{
	size_t used = 0;

	to[0] = '\0';
	for (; i < end && used < room; i++)
		used += (size_t)snprintf(to + used, room - used, "%s%s", used > 0 ? " " : "", at(l, i));
}

static enum reach_end end_of_target(const char *target, const struct queue_rule *r)
{
	static const char *const decide[] = { "ACCEPT", "DROP", "REJECT" };

	for (size_t i = 0; i < sizeof(decide) / sizeof(decide[0]); i++)
		if (strcmp(target, decide[i]) == 0)
			return REACH_DECIDES;
	if (strcmp(target, "NFQUEUE") == 0 || strcmp(target, "QUEUE") == 0)
		/* ipq repeats accepted packets, so the following rules are applied to them. */
		return r->bypass || strncmp(r->chain, "ipq-", 4) == 0 ? REACH_GOES_ON : REACH_DECIDES;
	return strcmp(target, "RETURN") == 0 ? REACH_RETURNS : REACH_JUMPS;
}

/* The index of -j or -g, or l->count if there is none. Removes the comment from the line. */
static size_t find_target(struct line *l, size_t i)
{
	for (; i + 1 < l->count; i++) {
		if (is(l, i, "-m") && is(l, i + 1, "comment") && is(l, i + 2, "--comment") &&
		    i + 3 < l->count) {
			memmove(&l->word[i], &l->word[i + 4], (l->count - i - 4) * sizeof(l->word[0]));
			l->count -= 4;
			i--; /* the next word has moved to this index */
		} else if (is(l, i, "--comment")) {
			i++; /* skip the comment, which has no quotes if it is one word */
		} else if (is(l, i, "-j") || is(l, i, "--jump") || is(l, i, "-g")) {
			return i;
		}
	}
	return l->count;
}

/* The kind of a flow rule. i: the index of the word that follows the chain's name. */
static enum flow_rule flow_rule_of_save(const struct line *l, size_t i, size_t jump)
{
	const char *target = at(l, jump + 1);

	if (is(l, i + 1, "connmark") && is(l, i + 2, "--mark") && strcmp(target, "RETURN") == 0)
		return FLOW_PASSED;
	return is(l, jump, "-g") && strncmp(target, "ipq-", 4) == 0 && strstr(target, "-left") != NULL
		       ? FLOW_LEFT
		       : NO_FLOW;
}

static int save_rule(struct firewall *f, struct reach *reach, struct queue_rule *r, struct line *l,
		     const char *s, size_t len)
{
	size_t first = at(l, 0)[0] == '[' ? 1 : 0; /* the counters that iptables-save -c prints */
	const char *text = strstr(s, "-A ");
	struct reach_rule rule = { .end = REACH_GOES_ON };
	size_t jump;
	int err = 0;

	if (!is(l, first, "-A") || text == NULL || text >= s + len)
		return 0;
	jump = find_target(l, first + 2);
	if (jump == l->count)
		return 0; /* a rule without a target only counts */
	snprintf(r->chain, sizeof(r->chain), "%.63s", at(l, first + 1));
	r->first = r->last = 0;
	r->bypass = r->computed = false;
	r->counted = first == 1 && sscanf(at(l, 0), "[%" SCNu64 ":%" SCNu64, &r->packets, &r->bytes) == 2;
	copy_text(r->text, sizeof(r->text), text, len - (size_t)(text - s));
	if (is(l, jump + 1, "NFQUEUE") || is(l, jump + 1, "QUEUE")) {
		read_target(l, jump + 1, r);
		err = add_rule(f, r);
		rule.queue_rule = f->count;
	}
	if (err == 0)
		err = count_flow(f, r, r->chain, '-', flow_rule_of_save(l, first + 2, jump));
	snprintf(rule.chain, sizeof(rule.chain), "%s", r->chain);
	snprintf(rule.target, sizeof(rule.target), "%.63s", at(l, jump + 1));
	copy_text(rule.text, sizeof(rule.text), r->text, strlen(r->text));
	join_words(l, first + 2, jump, rule.match, sizeof(rule.match));
	rule.end = end_of_target(rule.target, r);
	return err < 0 ? err : reach_add(reach, &rule);
}

int firewall_parse_save(struct firewall *f, enum firewall_kind kind, const char *text)
{
	bool six = kind == FIREWALL_IP6TABLES_LEGACY || kind == FIREWALL_IP6TABLES_NFT;
	bool nft = kind == FIREWALL_IPTABLES_NFT || kind == FIREWALL_IP6TABLES_NFT;
	struct queue_rule r = { .kind = kind };
	struct reach reach = { .rule = NULL };
	struct line *l = malloc(sizeof(*l));
	int err = l == NULL ? -ENOMEM : 0;

	snprintf(r.family, sizeof(r.family), six ? "ip6" : "ip");
	while (err == 0 && *text != '\0') {
		size_t len = split(text, l);

		if (text[0] == '*')
			snprintf(r.table, sizeof(r.table), "%.63s", at(l, 0) + 1);
		if (text[0] == ':' && nft)
			err = add_chain(f, r.family, r.table, at(l, 0) + 1);
		/* only a chain with a policy is called by a hook */
		if (text[0] == ':' && strcmp(at(l, 1), "-") != 0)
			err = err == 0 ? reach_add_base(&reach, at(l, 0) + 1) : err;
		else if (text[0] == 'C') /* the line COMMIT */
			reach_finish(&reach, f);
		else if (text[0] != '#' && text[0] != ':' && text[0] != '*')
			err = save_rule(f, &reach, &r, l, text, len);
		text += len + (text[len] == '\n');
	}
	reach_finish(&reach, f);
	free(l);
	return err;
}

/* ---- nft list ruleset ------------------------------------------------------------------------------ */

struct nft {
	struct firewall *f;
	struct reach reach;
	struct queue_rule r;	 /* family, table and chain of the current position */
	unsigned depth;		 /* number of open braces */
	unsigned chain_depth;	 /* number of open braces inside the chain; 0: not in a chain */
	struct line line;	 /* the words of the statement so far */
	const char *start, *end; /* begin and end of the statement's text */
};

static bool shown_before(const struct nft *n)
{
	for (size_t i = 0; i < n->f->chains; i++) {
		const struct firewall_chain *c = &n->f->chain[i];

		if (strcmp(c->family, n->r.family) == 0 && strcmp(c->table, n->r.table) == 0 &&
		    strcmp(c->chain, n->r.chain) == 0)
			return true;
	}
	return false;
}

/* Reads "mod 3 offset 4", which means the numbers 4 to 6. */
static bool read_modulus(const struct line *l, size_t i, struct queue_rule *r)
{
	uint16_t modulus = 0, offset = 0;

	for (; i + 1 < l->count; i++) {
		const char *number = at(l, i + 1);

		if (is(l, i, "mod"))
			read_number(number, number + strlen(number), &modulus);
		else if (is(l, i, "offset"))
			read_number(number, number + strlen(number), &offset);
	}
	if (modulus == 0 || offset + modulus - 1 > UINT16_MAX)
		return false;
	r->first = offset;
	r->last = (uint16_t)(offset + modulus - 1);
	return true;
}

static bool is_flags(const char *word, bool *bypass)
{
	bool found = false;

	while (*word != '\0') {
		size_t len = strcspn(word, ",");

		if (len == 6 && strncmp(word, "bypass", 6) == 0)
			*bypass = true;
		else if (len != 6 || strncmp(word, "fanout", 6) != 0)
			return false;
		found = true;
		word += len + (word[len] == ',');
	}
	return found;
}

/*
 * Reads the words after "queue": [flags F[,F]] [num|to] NUMBER|RANGE|EXPRESSION [F[,F]]. Without any words, the
 * number is 0.
 */
static void read_queue(const struct line *l, size_t i, struct queue_rule *r)
{
	bool number = false;

	r->first = r->last = 0;
	r->bypass = r->computed = false;
	for (; i < l->count && !is(l, i, "comment"); i++) {
		if (is(l, i, "flags") || is(l, i, "num") || is(l, i, "to") || is_flags(at(l, i), &r->bypass))
			continue;
		if (number)
			continue;
		number = true;
		if (read_range(at(l, i), '-', &r->first, &r->last))
			continue;
		r->computed = is(l, i, "numgen") || is(l, i, "symhash") || is(l, i, "jhash")
				      ? !read_modulus(l, i, r)
				      : true;
		return;
	}
}

static bool is_queue_statement(const struct line *l, size_t i)
{
	if (i > 0 && (is(l, i - 1, "jump") || is(l, i - 1, "goto")))
		return false; /* a chain with that name */
	return is(l, i, "queue");
}

/*
 * Whether the statement is `xt target "NFQUEUE"`. nft shows iptables' rules in this form if it was built without
 * xtables support.
 */
static bool is_xt_target(const struct line *l, size_t i)
{
	return is(l, i, "xt") && is(l, i + 1, "target") &&
	       (strcmp(at(l, i + 2), "NFQUEUE") == 0 || strcmp(at(l, i + 2), "QUEUE") == 0);
}

/* Removes "counter packets N bytes N" from the statement, and reads the numbers. */
static void take_counter(struct line *l, struct queue_rule *r)
{
	r->counted = false;
	for (size_t i = 0; i + 4 < l->count; i++) {
		if (!is(l, i, "counter") || !is(l, i + 1, "packets") || !is(l, i + 3, "bytes"))
			continue;
		r->counted = sscanf(at(l, i + 2), "%" SCNu64, &r->packets) == 1 &&
			     sscanf(at(l, i + 4), "%" SCNu64, &r->bytes) == 1;
		memmove(&l->word[i], &l->word[i + 5], (l->count - i - 5) * sizeof(l->word[0]));
		l->count -= 5;
		return;
	}
}

/* The effect of the statement on packets, and the index of the word that causes it. */
static enum reach_end end_of_statement(const struct line *l, size_t *place)
{
	for (size_t i = 0; i < l->count && !is(l, i, "comment"); i++) {
		*place = i;
		if (is(l, i, "accept") || is(l, i, "drop") || is(l, i, "reject"))
			return REACH_DECIDES;
		if (is(l, i, "return"))
			return REACH_RETURNS;
		if (is(l, i, "jump") || is(l, i, "goto"))
			return REACH_JUMPS;
		if (is(l, i, "queue"))
			return REACH_GOES_ON;
	}
	*place = l->count;
	return REACH_GOES_ON;
}

static enum flow_rule flow_rule_of_nft(const struct line *l)
{
	if (l->count < 3)
		return NO_FLOW;
	if (is(l, 0, "ct") && is(l, 1, "mark") && is(l, l->count - 1, "accept"))
		return FLOW_PASSED;
	return is(l, l->count - 2, "goto") && is(l, l->count - 1, "left") ? FLOW_LEFT : NO_FLOW;
}

static int nft_statement(struct nft *n)
{
	size_t len = n->start == NULL ? 0 : (size_t)(n->end - n->start), place = 0;
	struct reach_rule rule = { .queue_rule = 0 };
	int err = 0;

	if (n->line.count > 0 && is(&n->line, 0, "type"))
		err = reach_add_base(&n->reach, n->r.chain);
	take_counter(&n->line, &n->r);
	if (err == 0)
		err = count_flow(n->f, &n->r, n->r.table, '_', flow_rule_of_nft(&n->line));
	copy_text(n->r.text, sizeof(n->r.text), n->start != NULL ? n->start : "", len);
	for (size_t i = 0; i < n->line.count && err == 0; i++) {
		bool queue = is_queue_statement(&n->line, i);

		if (!queue && !is_xt_target(&n->line, i))
			continue;
		if (queue)
			read_queue(&n->line, i + 1, &n->r);
		n->r.computed |= !queue;
		if (!shown_before(n)) {
			err = add_rule(n->f, &n->r);
			rule.queue_rule = n->f->count;
		}
		break;
	}
	rule.end = end_of_statement(&n->line, &place);
	if (err == 0 && place < n->line.count) {
		snprintf(rule.chain, sizeof(rule.chain), "%s", n->r.chain);
		snprintf(rule.target, sizeof(rule.target), "%.63s", at(&n->line, place + 1));
		copy_text(rule.text, sizeof(rule.text), n->r.text, strlen(n->r.text));
		join_words(&n->line, 0, place, rule.match, sizeof(rule.match));
		err = reach_add(&n->reach, &rule);
	}
	n->line.count = 0;
	n->start = NULL;
	return err;
}

static void open_brace(struct nft *n)
{
	n->depth++;
	if (n->chain_depth != 0)
		return; /* the brace begins a set inside a rule */
	if (n->depth == 1 && is(&n->line, 0, "table")) {
		snprintf(n->r.family, sizeof(n->r.family), "%.7s",
			 n->line.count > 2 ? at(&n->line, 1) : "ip");
		snprintf(n->r.table, sizeof(n->r.table), "%.63s", at(&n->line, n->line.count - 1));
	} else if (n->depth == 2 && is(&n->line, 0, "chain")) {
		snprintf(n->r.chain, sizeof(n->r.chain), "%.63s", at(&n->line, 1));
		n->chain_depth = n->depth;
	}
	n->line.count = 0;
	n->start = NULL;
}

static int close_brace(struct nft *n, const char *s)
{
	int err = 0;

	if (n->chain_depth != 0 && n->depth == n->chain_depth) {
		err = nft_statement(n);
		n->chain_depth = 0;
	} else if (n->chain_depth == 0) {
		n->line.count = 0;
	} else {
		n->end = s + 1; /* the brace ends a set, and perhaps the rule */
	}
	if (n->depth > 0)
		n->depth--;
	if (n->depth == 0)
		reach_finish(&n->reach, n->f); /* the brace ends the table */
	return err;
}

/* Reads one word, brace or end of line. Returns its length, or -ENOMEM. */
static int nft_step(struct nft *n, const char *s)
{
	struct word w;
	const char *end;

	if (*s == '{') {
		open_brace(n);
		return 1;
	}
	if (*s == '}')
		return close_brace(n, s) < 0 ? -ENOMEM : 1;
	if (*s == '\n' || *s == ';') {
		if (n->chain_depth == 0) {
			n->line.count = 0;
			n->start = NULL;
		} else if (n->chain_depth == n->depth) { /* the line end is not inside the braces of a set */
			return nft_statement(n) < 0 ? -ENOMEM : 1;
		}
		return 1;
	}
	if (*s == ' ' || *s == '\t')
		return 1;
	if (*s == '#')
		return (int)strcspn(s, "\n");
	end = read_word(s, " \t{};", &w);
	if (n->start == NULL)
		n->start = s;
	if (n->line.count < WORDS)
		n->line.word[n->line.count++] = w;
	n->end = end;
	return end > s ? (int)(end - s) : 1;
}

int firewall_parse_nft(struct firewall *f, const char *text)
{
	struct nft *n = calloc(1, sizeof(*n));
	int len = 1;

	if (n == NULL)
		return -ENOMEM;
	n->f = f;
	n->r.kind = FIREWALL_NFT;
	while (*text != '\0' && (len = nft_step(n, text)) > 0)
		text += len;
	reach_finish(&n->reach, f);
	free(n);
	return len < 0 ? len : 0;
}
