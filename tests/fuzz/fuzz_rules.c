/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rules as somebody might type them, a line each; what parses is run over whole and cut packets of every
 * shape, alone and as one program, which must agree from whichever rule on. A rate lets no more pass than it
 * says, and the caret below a mistake points into the line.
 */
#include <netdb.h>
#include "filter/ruleset.h"
#include "../unit/edit_packets.h"
#include "main.h"

#define RULES_MAX 16
#define LINE_MAX_LEN 200

/* Names in filters are not looked up: a fuzzer that asks the network finds nothing but slowness. */
__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
						       const struct addrinfo *hints, struct addrinfo **result)
{
	(void)node, (void)service, (void)hints, (void)result;
	return EAI_NONAME;
}

static void match(const struct ruleset *set, const uint8_t *packet, uint32_t len, uint32_t full_len)
{
	uint8_t *p = exact_copy(packet, len);
	unsigned first = set->count;

	for (unsigned i = set->count; i-- > 0;) {
		if (bpf_filter(set->rule[i].program.bf_insns, p, full_len, len) != 0)
			first = i;
		require(ruleset_match(set, i, p, len, full_len) == first);
	}
	require(ruleset_match(set, set->count, p, len, full_len) == set->count);
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

/* A packet each millisecond, for 100 of them. */
static void rate(struct rule *rule)
{
	int64_t passed = 0, most;

	for (int64_t now = 0; now < 100000000; now += 1000000)
		passed += rule_rate_pass(rule, now);
	most = 100;
	if (rule->interval > 0)
		most = (rule->burst + 99000000) / rule->interval + 1;
	require(passed >= 1 && passed <= (most < 100 ? most : 100));
}

static void look(struct rule *rule)
{
	size_t len = strlen(rule->text);

	require(rule->filter >= rule->text && rule->filter <= rule->text + len);
	switch (rule->action) {
	case ACTION_RATE:
		rate(rule);
		break;
	case ACTION_REWRITE:
		require(rule->rewrite.from_len > 0 && rule->rewrite.from_len + rule->rewrite.to_len < len);
		break;
	case ACTION_DELAY:
		require(rule->interval >= 0 && rule->interval <= INT64_C(3600000000000));
		break;
	case ACTION_QUEUE:
		require(rule->number <= 65535);
		break;
	default:
		break;
	}
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
		/* The caret stands under the text or just behind it. */
		if (ruleset_add(&set, line, &e) < 0)
			require(e.offset <= strlen(line) && e.text[0] != '\0');
	}
	require(ruleset_finish(&set) == 0);
	match_all(&set);
	for (unsigned i = 0; i < set.count; i++)
		look(&set.rule[i]);
	ruleset_free(&set);
	return 0;
}
