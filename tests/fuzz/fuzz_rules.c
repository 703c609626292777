/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rules as a user might type them, one per line. The set is applied to complete and truncated packets of every
 * kind, as one program and rule by rule. Both must have the same result. A rate must not be exceeded, and the caret
 * below a mistake must point into the line.
 */
#include <netdb.h>
#include "filter/ruleset.h"
#include "../unit/edit_packets.h"
#include "main.h"

#define RULES_MAX 16
#define LINE_MAX_LEN 200

/* Names in filters are not resolved: a fuzzer that queries the network is only slower. */
__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
						       const struct addrinfo *hints, struct addrinfo **result)
{
	(void)node, (void)service, (void)hints, (void)result;
	return EAI_NONAME;
}

static void match(const struct ruleset *set, const uint8_t *packet, uint32_t len, uint32_t full_len)
{
	static struct view view;
	const struct ipq_packet none = { .present = 0 };
	uint8_t *p = exact_copy(packet, len);
	struct subject s = { .packet = &none, .view = &view };
	unsigned first = set->count;

	view_set(&view, p, len, full_len);
	for (unsigned i = set->count; i-- > 0;) {
		if (expression_match(set->rule[i].expression, &s))
			first = i;
		require(ruleset_match(set, i, &s) == first);
	}
	require(ruleset_match(set, set->count, &s) == set->count);
	free(p);
}

static void match_all(const struct ruleset *set)
{
	static uint8_t packet[1200];

	for (size_t i = 0; i < SHAPES; i++) {
		uint32_t len;

		random_state = i;
		len = (uint32_t)build(packet, shapes[i].shape, 40).len;
		for (uint32_t cut = 0; cut < 60 && cut < len; cut += 19)
			match(set, packet, cut, len);
		match(set, packet, len, len);
	}
}

/* Checks a rate with a packet of 100 bytes each millisecond, for 100 milliseconds. */
static void rate(struct rate *r)
{
	int64_t passed = 0, most, cost = (r->bits ? 800 : 1) * r->period / r->units;

	for (int64_t now = 0; now < 100000000; now += 1000000)
		passed += rate_pass(r, 100, now);
	most = 100;
	if (cost > 0)
		most = (r->burst + 99000000) / cost + 1;
	require(passed >= 1 && passed <= (most < 100 ? most : 100));
}

static void look(struct action *a, size_t len)
{
	switch (a->type) {
	case ACTION_RATE:
		rate(&a->rate);
		break;
	case ACTION_REWRITE:
		require(a->rewrite.from_len > 0 && a->rewrite.from_len + a->rewrite.to_len < len);
		break;
	case ACTION_DELAY:
		require(a->delay >= 0 && a->delay <= INT64_C(3600000000000) && a->jitter <= a->delay);
		break;
	case ACTION_QUEUE:
		require(a->number <= 65535);
		break;
	default:
		require(a->probability > 0);
		break;
	}
}

static void look_at_rule(struct rule *rule)
{
	size_t len = strlen(rule->text);

	require(rule->condition >= rule->text && rule->condition <= rule->text + len);
	for (unsigned i = 0; i < rule->actions; i++)
		look(&rule->action[i], len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ruleset set = { .rule = NULL };
	struct rule_error e;
	char line[LINE_MAX_LEN + 1];
	size_t at = 0;

	for (unsigned n = 0; n < RULES_MAX && at < size; n++) {
		const uint8_t *newline = memchr(data + at, '\n', size - at);
		size_t len = newline != NULL ? (size_t)(newline - data) - at : size - at;

		snprintf(line, sizeof(line), "%.*s", (int)(len < LINE_MAX_LEN ? len : LINE_MAX_LEN),
			 (const char *)data + at);
		at += len + 1;
		/* The caret must be below the text or just after it. */
		if (ruleset_add(&set, line, &e) < 0)
			require(e.offset <= strlen(line) && e.text[0] != '\0');
	}
	require(ruleset_finish(&set) == 0);
	match_all(&set);
	for (unsigned i = 0; i < set.count; i++)
		look_at_rule(&set.rule[i]);
	ruleset_free(&set);
	return 0;
}
