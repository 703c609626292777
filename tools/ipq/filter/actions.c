/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/suggest.h"
#include "filter/actions.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define SECOND INT64_C(1000000000)

const struct action_word action_words[] = {
	{ "accept", ACTION_ACCEPT, 0, "[flow [after NUMBER]]" },
	{ "drop", ACTION_DROP, 0, "[PERCENT%], [flow [after NUMBER]]" },
	{ "reject", ACTION_REJECT, NEEDS_WHOLE_PACKET | NEEDS_RAW_SOCKET, "" },
	{ "repeat", ACTION_REPEAT, 0, "MARK" },
	{ "queue", ACTION_QUEUE, 0, "NUMBER" },
	{ "mark", ACTION_MARK, 0, "NUMBER[/MASK], NUMBER flow [after NUMBER]" },
	{ "ctmark", ACTION_CTMARK, 0, "NUMBER[/MASK]" },
	{ "set", ACTION_SET, NEEDS_EDIT, "src|dst ADDRESS, src|dst port NUMBER, ttl NUMBER, dscp NUMBER" },
	{ "strip", ACTION_STRIP, NEEDS_EDIT, "tcp option NUMBER" },
	{ "rewrite", ACTION_REWRITE, NEEDS_EDIT, "[http] /THIS/THAT/[g]" },
	{ "delay", ACTION_DELAY, 0, "TIME [jitter TIME]" },
	{ "reorder", ACTION_REORDER, 0, "PERCENT% TIME" },
	{ "duplicate", ACTION_DUPLICATE, NEEDS_WHOLE_PACKET | NEEDS_SEGMENTS | NEEDS_RAW_SOCKET,
	  "[PERCENT%]" },
	{ "rate", ACTION_RATE, NEEDS_SEGMENTS, "NUMBER/s [burst NUMBER], NUMBERMbit/s" },
	{ "log", ACTION_LOG, 0, "" },
	{ "record", ACTION_RECORD, 0, "" },
	{ "count", ACTION_COUNT, 0, "" },
	{ NULL, ACTION_COUNT, 0, NULL },
};

const char *action_name(enum action_type type)
{
	const struct action_word *w = action_words;

	while (w->type != type)
		w++;
	return w->name;
}

bool action_ends(const struct action *a)
{
	return a->flow || (a->type <= ACTION_QUEUE && (a->type != ACTION_DROP || a->probability == ALWAYS));
}

/* ---- values -------------------------------------------------------------------------------------- */

/* Whether there is a percentage at the cursor. */
static bool at_percentage(const struct cursor *c)
{
	size_t len = cursor_value_length(c->at);

	return isdigit((unsigned char)*c->at) && c->at[len - 1] == '%';
}

/* Reads a percentage, such as 10% or 0.5%. */
static int read_percentage(struct cursor *c, uint32_t *probability)
{
	double value;
	char *end;

	cursor_skip_space(c);
	if (!at_percentage(c))
		return cursor_fail(c, c->at, "a percentage must follow, as in: 10%%, or 0.5%%");
	value = strtod(c->at, &end);
	if (*end != '%' || end + 1 != c->at + cursor_value_length(c->at))
		return cursor_fail(c, c->at, "a percentage must follow, as in: 10%%, or 0.5%%");
	if (value <= 0 || value > 100)
		return cursor_fail(c, c->at, "a percentage is more than 0 and at most 100");
	*probability = value >= 100 ? ALWAYS : (uint32_t)(value / 100 * 4294967296.0);
	if (*probability == 0)
		return cursor_fail(c, c->at, "this percentage is too small");
	c->at = end + 1;
	return 0;
}

static int read_time(struct cursor *c, int64_t *ns, const char *what)
{
	static const struct {
		const char *name;
		int64_t ns;
	} unit[] = { { "us", 1000 }, { "ms", 1000000 }, { "s", SECOND } };
	uint64_t n;
	int err = cursor_number(c, 3600000000, "ums", &n, what);

	if (err < 0)
		return err;
	for (size_t i = 0; i < COUNT(unit); i++) {
		size_t len = strlen(unit[i].name);

		if (cursor_value_length(c->at) != len || strncmp(c->at, unit[i].name, len) != 0)
			continue;
		*ns = (int64_t)n * unit[i].ns;
		if (*ns > 3600 * SECOND)
			return cursor_fail(c, c->at, "a packet can be held for an hour at most");
		c->at += len;
		return 0;
	}
	return cursor_fail(c, c->at, "%s", what);
}

int64_t action_time(const char *text)
{
	struct rule_error e;
	struct cursor c = { .text = text, .at = text, .e = &e };
	int64_t ns = 0;

	return read_time(&c, &ns, "") == 0 && *c.at == '\0' ? ns : -EINVAL;
}

static int read_delay(struct action *a, struct cursor *c)
{
	int err = read_time(c, &a->delay, "a time must follow, as in: delay 50ms icmp (units: us, ms, s)");

	if (err < 0)
		return err;
	cursor_skip_space(c);
	if (!cursor_take(c, "jitter"))
		return 0;
	err = read_time(c, &a->jitter, "a time must follow, as in: delay 50ms jitter 10ms");
	if (err == 0 && a->jitter > a->delay)
		return cursor_fail(c, c->at - 1, "the jitter is larger than the delay");
	return err;
}

/*
 * Reads "bit", "kbit", "Mbit", "Gbit" or "B", "kB", "MB", "GB". Returns the number of bits in one unit; 0: not a
 * unit.
 */
static uint64_t read_size_unit(struct cursor *c)
{
	static const char prefixes[] = "kMG";
	const char *at = c->at, *prefix = *at != '\0' ? strchr(prefixes, *at) : NULL;
	uint64_t bits = 1;

	for (const char *p = prefixes; prefix != NULL && p <= prefix; p++)
		bits *= 1000;
	at += prefix != NULL;
	if (strncmp(at, "bit", 3) == 0) {
		at += 3;
	} else if (*at == 'B') {
		at++;
		bits *= 8;
	} else {
		return 0;
	}
	c->at = at;
	return bits;
}

static int read_burst(struct action *a, struct cursor *c)
{
	static const char what[] = "a size must follow, as in: burst 20, or burst 100kB";
	struct rate *rate = &a->rate;
	double burst = (double)rate->units / 10; /* the default burst is a tenth of a period */
	uint64_t n, unit = 1;
	int err;

	cursor_skip_space(c);
	if (burst < 1)
		burst = 1;
	if (cursor_take(c, "burst")) {
		err = cursor_number(c, 1000000000, rate->bits ? "bkMGB" : "", &n, what);
		if (err < 0)
			return err;
		if (rate->bits)
			unit = read_size_unit(c);
		if (unit == 0)
			return cursor_fail(c, c->at, "%s", what);
		if (n == 0)
			return cursor_fail(c, c->at - 1, "burst must be positive");
		burst = (double)n * (double)unit;
	}
	burst = (rate->bits ? burst : burst - 1) * (double)rate->period / (double)rate->units;
	rate->burst = burst > 1e18 ? INT64_C(1000000000000000000) : (int64_t)burst;
	return 0;
}

static int read_rate(struct action *a, struct cursor *c)
{
	static const char what[] =
		"a rate must follow, as in: rate 100/s, or rate 10Mbit/s (units: /s, /m, /h)";
	uint64_t n, unit;
	int err = cursor_number(c, 1000000000, "/bkMGB", &n, what);

	if (err < 0)
		return err;
	if (n == 0)
		return cursor_fail(c, c->at - 1, "a rate must be positive: to let nothing pass, use drop");
	unit = read_size_unit(c);
	a->rate.bits = unit > 0;
	a->rate.used_until = INT64_MIN; /* times of a capture file may be negative */
	if (c->at[0] != '/' || c->at[1] == '\0' || strchr("smh", c->at[1]) == NULL ||
	    cursor_value_length(c->at) != 2)
		return cursor_fail(c, c->at, "%s", what);
	a->rate.units = (int64_t)(n * (unit > 0 ? unit : 1));
	if (a->rate.units > INT64_C(1000000000000))
		return cursor_fail(c, c->at, "this rate is too high");
	a->rate.period = SECOND * (c->at[1] == 's' ? 1 : c->at[1] == 'm' ? 60 : 3600);
	c->at += 2;
	return read_burst(a, c);
}

static int read_mark(struct action *a, struct cursor *c)
{
	int err = cursor_u32(c, UINT32_MAX, &a->number, &a->mask,
			     "a mark must follow, as in: mark 7, or mark 0x10/0xff");

	if (err == 0 && (a->number & ~a->mask) != 0)
		return cursor_fail(c, c->at, "the value has bits outside of the mask");
	return err;
}

static int read_repeat(struct action *a, struct cursor *c)
{
	int err = cursor_u32(c, UINT32_MAX, &a->number, NULL,
			     "the mark of the repeated packet must follow, as in: repeat 1 udp");

	if (err == 0 && a->number == 0)
		return cursor_fail(
			c, c->at - 1,
			"a packet with mark 0 cannot be recognised, and would be repeated for ever: "
			"use another mark");
	return err;
}

/* ---- set, strip ---------------------------------------------------------------------------------- */

/* Names of code points, from RFC 2474, 2597 and 3246. */
static bool dscp_by_name(const char *word, size_t len, uint32_t *value)
{
	if (len == 2 && strncmp(word, "ef", 2) == 0)
		*value = 46;
	else if (len == 2 && strncmp(word, "be", 2) == 0)
		*value = 0;
	else if (len == 3 && strncmp(word, "cs", 2) == 0 && word[2] >= '0' && word[2] <= '7')
		*value = (uint32_t)(word[2] - '0') * 8;
	else if (len == 4 && strncmp(word, "af", 2) == 0 && word[2] >= '1' && word[2] <= '4' &&
		 word[3] >= '1' && word[3] <= '3')
		*value = (uint32_t)(word[2] - '0') * 8 + (uint32_t)(word[3] - '0') * 2;
	else
		return false;
	return true;
}

static int read_dscp(struct action *a, struct cursor *c)
{
	size_t len = cursor_value_length(c->at);

	a->field = SET_DSCP;
	if (!dscp_by_name(c->at, len, &a->number))
		return cursor_u32(c, 63, &a->number, NULL,
				  "a code point must follow, as in: set dscp 46, or set dscp ef");
	c->at += len;
	return 0;
}

static int read_endpoint(struct action *a, struct cursor *c, bool source)
{
	size_t len;
	char text[64];

	if (cursor_take(c, "port")) {
		a->field = source ? SET_SOURCE_PORT : SET_DESTINATION_PORT;
		return cursor_u32(c, 65535, &a->number, NULL, "a port must follow, as in: set dst port 8080");
	}
	a->field = source ? SET_SOURCE : SET_DESTINATION;
	len = cursor_value_length(c->at);
	snprintf(text, sizeof(text), "%.*s", (int)len, c->at);
	if (inet_pton(AF_INET, text, a->address) == 1)
		a->address_len = 4;
	else if (inet_pton(AF_INET6, text, a->address) == 1)
		a->address_len = 16;
	else
		return cursor_fail(
			c, c->at,
			"an address or a port must follow, as in: set dst 10.0.0.1, or set dst port 80");
	c->at += len;
	return 0;
}

static int read_set(struct action *a, struct cursor *c)
{
	cursor_skip_space(c);
	if (cursor_take(c, "src"))
		return read_endpoint(a, c, true);
	if (cursor_take(c, "dst"))
		return read_endpoint(a, c, false);
	if (cursor_take(c, "dscp"))
		return read_dscp(a, c);
	if (!cursor_take(c, "ttl"))
		return cursor_fail(
			c, c->at,
			"the field to set must follow: src or dst, ttl or dscp, as in: set dst port 8080");
	a->field = SET_TTL;
	return cursor_u32(c, 255, &a->number, NULL, "a number must follow, as in: set ttl 64");
}

static int read_strip(struct action *a, struct cursor *c)
{
	static const char what[] =
		"\"tcp option\" and its number or name must follow, as in: strip tcp option sack";
	static const struct {
		const char *name;
		uint8_t kind;
	} names[] = { { "mss", 2 },	  { "wscale", 3 }, { "sackok", 4 }, { "sack", 5 },
		      { "timestamp", 8 }, { "md5", 19 },   { "mptcp", 30 }, { "fastopen", 34 } };
	int err;

	cursor_skip_space(c);
	if (!cursor_take(c, "tcp") || !cursor_take(c, "option"))
		return cursor_fail(c, c->at, "%s", what);
	for (size_t i = 0; i < COUNT(names); i++) {
		if (!cursor_take(c, names[i].name))
			continue;
		a->number = names[i].kind;
		return 0;
	}
	err = cursor_u32(c, 255, &a->number, NULL, what);
	if (err == 0 && a->number < 2)
		return cursor_fail(c, c->at - 1, "options 0 and 1 only fill the header");
	return err;
}

/* ---- rewrite ------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads one byte of a rewrite's text: \n \r \t \0 \xHH, or \ before any other character. */
static int read_byte(struct cursor *c, unsigned char *byte)
{
	static const char letters[] = "nrt0", meaning[] = "\n\r\t";
	const char *known;
	int high, low;

	if (*c->at != '\\') {
		*byte = (unsigned char)*c->at++;
		return 0;
	}
	if (c->at[1] == 'x') {
		high = hex_digit(c->at[2]);
		low = high >= 0 ? hex_digit(c->at[3]) : -1;
		if (low < 0)
			return cursor_fail(c, c->at, "two hexadecimal digits must follow \\x");
		*byte = (unsigned char)((unsigned)high << 4 | (unsigned)low);
		c->at += 4;
		return 0;
	}
	if (c->at[1] == '\0')
		return cursor_fail(c, c->at, "trailing backslash");
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
			return cursor_fail(c, c->at,
					   "the closing delimiter is missing, as in: rewrite /this/that/");
		err = read_byte(c, &(*bytes)[*len]);
		if (err < 0)
			return err;
		(*len)++;
	}
	c->at++;
	return 0;
}

static int read_rewrite(struct action *a, struct cursor *c)
{
	struct rewrite *r = &a->rewrite;
	const char *begin;
	char delimiter;
	int err;

	cursor_skip_space(c);
	r->http = cursor_take(c, "http");
	begin = c->at;
	delimiter = *c->at;
	if (!ispunct((unsigned char)delimiter) || delimiter == '\\')
		return cursor_fail(
			c, c->at, "the text to rewrite must follow, as in: rewrite /this/that/g tcp port 80");
	c->at++;
	err = read_part(c, delimiter, &r->from, &r->from_len);
	if (err == 0)
		err = read_part(c, delimiter, &r->to, &r->to_len);
	if (err < 0)
		return err;
	if (r->from_len == 0)
		return cursor_fail(c, begin + 1, "the text to look for is empty");
	if (r->from_len > 65535 || r->to_len > 65535)
		return cursor_fail(c, begin, "this is longer than any packet");
	if (*c->at == 'g') {
		r->all = true;
		c->at++;
	}
	if (cursor_value_length(c->at) != 0)
		return cursor_fail(c, c->at,
				   "only g (all places in the packet) may follow the last delimiter");
	return 0;
}

/* ---- flow ---------------------------------------------------------------------------------------- */

const char *const flow_words[] = { "flow", "after", NULL };

static int read_flow(struct action *a, struct cursor *c)
{
	int err;

	cursor_skip_space(c);
	if (!cursor_take(c, flow_words[0]))
		return 0;
	if (a->probability != ALWAYS)
		return cursor_fail(c, c->at, "a flow is dropped as a whole: drop flow has no percentage");
	if (a->mask != UINT32_MAX)
		return cursor_fail(c, c->at, "mark NUMBER flow sets the whole mark: it has no mask");
	a->flow = true;
	cursor_skip_space(c);
	if (!cursor_take(c, flow_words[1]))
		return 0;
	err = cursor_u32(c, 1000000000, &a->after, NULL,
			 "a number of packets must follow, as in: accept flow after 8 tcp");
	if (err == 0 && a->after == 0)
		return cursor_fail(c, c->at - 1, "\"after\" needs a positive number");
	return err;
}

/* ---- an action ----------------------------------------------------------------------------------- */

static int read_value(struct action *a, struct cursor *c)
{
	int err;

	switch (a->type) {
	case ACTION_ACCEPT:
		return read_flow(a, c);
	case ACTION_DROP:
		cursor_skip_space(c);
		err = at_percentage(c) ? read_percentage(c, &a->probability) : 0;
		return err < 0 ? err : read_flow(a, c);
	case ACTION_DUPLICATE:
		cursor_skip_space(c);
		return at_percentage(c) ? read_percentage(c, &a->probability) : 0;
	case ACTION_REPEAT:
		return read_repeat(a, c);
	case ACTION_QUEUE:
		return cursor_u32(c, 65535, &a->number, NULL,
				  "a queue number must follow, as in: queue 5 udp");
	case ACTION_MARK:
		err = read_mark(a, c);
		return err < 0 ? err : read_flow(a, c);
	case ACTION_CTMARK:
		return read_mark(a, c);
	case ACTION_SET:
		return read_set(a, c);
	case ACTION_STRIP:
		return read_strip(a, c);
	case ACTION_REWRITE:
		return read_rewrite(a, c);
	case ACTION_DELAY:
		return read_delay(a, c);
	case ACTION_REORDER:
		err = read_percentage(c, &a->probability);
		return err < 0 ? err : read_time(c, &a->delay, "a time must follow, as in: reorder 2% 10ms");
	case ACTION_RATE:
		return read_rate(a, c);
	default:
		return 0;
	}
}

static int unknown(struct cursor *c, size_t len)
{
	const char *known[COUNT(action_words)], *meant;

	for (size_t i = 0; i < COUNT(action_words); i++)
		known[i] = action_words[i].name;
	meant = suggest(c->at, len, known);
	if (meant != NULL)
		return cursor_fail(c, c->at, "\"%.*s\" is not an action: did you mean \"%s\"?", (int)len,
				   c->at, meant);
	return cursor_fail(c, c->at,
			   "an action is expected here: accept, drop, reject, mark N, set ..., rewrite "
			   "/this/that/, delay TIME, rate N/s, log, count; see ipq-filter(1)");
}

int action_parse(struct action *a, struct cursor *c)
{
	const struct action_word *w = action_words;
	size_t len;

	*a = (struct action){ .probability = ALWAYS, .mask = UINT32_MAX };
	cursor_skip_space(c);
	len = cursor_value_length(c->at);
	while (w->name != NULL && (strlen(w->name) != len || strncmp(w->name, c->at, len) != 0))
		w++;
	if (w->name == NULL)
		return unknown(c, len);
	a->type = w->type;
	a->needs = w->needs;
	c->at += len;
	return read_value(a, c);
}

void action_free(struct action *a)
{
	free(a->rewrite.from);
	free(a->rewrite.to);
}

/*
 * The generic cell rate algorithm. Its only state is one number: the time up to which the rate is used up. Compare
 * and exchange moves this time forward, so the threads of several queues share a rate without a lock.
 */
bool rate_pass(struct rate *rate, uint32_t bytes, int64_t now)
{
	int64_t used = atomic_load_explicit(&rate->used_until, memory_order_relaxed), begin;
	int64_t cost = (rate->bits ? (int64_t)bytes * 8 : 1) * rate->period / rate->units;

	do {
		begin = used > now ? used : now;
		if (begin - now > rate->burst)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&rate->used_until, &used, begin + cost,
							memory_order_relaxed, memory_order_relaxed));
	return true;
}
